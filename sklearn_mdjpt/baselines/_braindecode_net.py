"""Networks of braindecode: building them, their weights, their training."""

import contextlib
import difflib
import inspect
import sys
import warnings

import torch
from torch import nn

from .._io._tensor_files import cut, read_state_dict
from .._torch import seeded_torch
from .._validation import list_some
from ..channels._channels import canonical_name, spelt_names
from ..classifier._net import Batches, HeadNet
from ..encoder._callbacks import copy_callbacks

_FINAL = "final_layer"  # braindecode's name for what turns features into classes
_FOR_PROGRAMMERS = (FutureWarning, DeprecationWarning)


def find_class(module):
    """Return the class of a network, given by itself or by its name in braindecode."""
    if isinstance(module, str):
        with warnings.catch_warnings():
            # What braindecode's import has to say is meant for its developers.
            for category in _FOR_PROGRAMMERS:
                warnings.simplefilter("ignore", category)
            import braindecode.models

        found = getattr(braindecode.models, module, None)
        if isinstance(found, type) and issubclass(found, nn.Module):
            return found
        names = [
            name
            for name, value in vars(braindecode.models).items()
            if isinstance(value, type) and issubclass(value, nn.Module)
        ]
        lower = {name.lower(): name for name in names}
        close = difflib.get_close_matches(module.lower(), lower, n=3)
        hint = f" Did you mean {', '.join(lower[c] for c in close)}?" if close else ""
        raise ValueError(
            f"module={module!r} is not the name of a class in braindecode.models.{hint}"
        )
    if isinstance(module, type) and issubclass(module, nn.Module):
        return module
    raise TypeError(
        "module must be a name in braindecode.models or a class of torch modules (not "
        f"an instance; its arguments go into module_params), got {module!r}."
    )


def build(cls, arguments, *, again=False):
    """Build a network, without what its constructor has to say to programmers.

    ``again``: without its other warnings, which were given when it was built first.
    """
    with warnings.catch_warnings(), contextlib.ExitStack() as quiet:
        for category in (Warning,) if again else _FOR_PROGRAMMERS:
            warnings.simplefilter("ignore", category)
        if "mne" in sys.modules:
            # braindecode warns by MNE's means, which log all of it once more.
            quiet.enter_context(sys.modules["mne"].use_log_level("error"))
        return cls(**arguments)


def rebuild(cls, arguments, state_dict):
    """Build a network again, with these tensors; torch's random state stays."""
    with torch.random.fork_rng(devices=[]):
        module = build(cls, arguments, again=True)
    # Not the network's own method: some of braindecode rename tensors in it.
    nn.Module.load_state_dict(module, state_dict)
    return module.eval()


def make_module(cls, words, params, ch_names):
    """Build a network for windows of a size, and try it on two of them.

    Parameters
    ----------
    cls : type
        The class.
    words : dict
        Arguments by braindecode's names; those that the class does not take are left
        out.
    params : dict
        Further arguments, which go before.
    ch_names : tuple of str or None
        Channels, for networks whose ``forward`` asks for them.

    Returns
    -------
    module : torch.nn.Module
        The network, in eval mode.
    arguments : dict
        What it was built with.

    Raises
    ------
    ValueError
        If it cannot be built or does not take such windows, or its output is not one
        logit for each class.
    """
    takes = inspect.signature(cls.__init__).parameters
    arguments = {name: value for name, value in words.items() if name in takes} | params
    n_chans, n_times, sfreq = words["n_chans"], words["n_times"], words["sfreq"]
    problem = (
        f"{cls.__name__} does not take windows of {n_chans} channels and {n_times} "
        f"samples ({n_times / sfreq:.3g} s at {sfreq:g} Hz) with "
        f"module_params={params!r}"
    )
    try:
        module = build(cls, arguments).eval()
        with torch.no_grad():
            x = torch.zeros(2, n_chans, n_times)
            output = module(x, **forward_arguments(module, ch_names))
    except Exception as error:
        # What networks raise where windows are too short for their kernels and pools
        # is of any type.
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{problem}: they may be too short for its layers, or an argument may be "
            f"lacking ({type(error).__name__}: {cut(reason, 500)})."
        ) from error
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output)
    expected = (2, words["n_outputs"])
    if shape != expected:
        raise ValueError(
            f"{cls.__name__} makes an output of shape {shape} of two windows; expected "
            f"{expected}, one logit for each class."
        )
    return module, arguments


def forward_arguments(module, ch_names):
    """Return what ``forward`` takes beside windows: names of channels, in Labram.

    Names that look like sites and are none are marked, so that networks refuse them.
    """
    if ch_names and "ch_names" in inspect.signature(module.forward).parameters:
        spelt = zip(ch_names, spelt_names(ch_names), strict=True)
        names = [n if s == canonical_name(n) else s for n, s in spelt]
        return {"ch_names": names}
    return {}


def final_tensors(module, cls, arguments):
    """Return the names of the tensors of the final layer.

    These are all tensors of what braindecode calls ``final_layer``, and all others
    whose shapes go with the number of classes.
    """
    tensors = module.state_dict()
    final = {name for name in tensors if _is_inside(name, _FINAL)}
    if "n_outputs" in arguments:
        more = arguments | {"n_outputs": arguments["n_outputs"] + 1}
        with torch.random.fork_rng(devices=[]):
            other = build(cls, more, again=True).state_dict()
        final |= {
            name
            for name, tensor in tensors.items()
            if name in other and other[name].shape != tensor.shape
        }
    if not final:
        raise ValueError(
            f"{cls.__name__} has no final layer to tell from the rest: neither is "
            f"there a {_FINAL!r}, nor does its constructor take n_outputs."
        )
    return final


def load_weights(module, final, path):
    """Copy all tensors but those of the final layer from a file into a network.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    final : set of str
        Tensors that stay as they are.
    path : str or path-like
        The file.

    Raises
    ------
    ValueError
        Unless names and shapes match, one for one; all that do not are listed.
    """
    own = module.state_dict()
    wanted = {name: tensor for name, tensor in own.items() if name not in final}
    found = _renamed(read_state_dict(path), wanted, getattr(module, "mapping", None))
    unexpected = [
        cut(name, 80)
        for name in sorted(found)
        if name not in own and not _is_inside(name, _FINAL)
    ]
    missing = [name for name in wanted if name not in found]
    shapes, dtypes, values = [], [], []
    for name, tensor in wanted.items():
        given = found.get(name)
        if given is None:
            continue
        if given.shape != tensor.shape:
            shapes.append(
                f"{name} {tuple(given.shape)}, expected {tuple(tensor.shape)}"
            )
        elif given.dtype != tensor.dtype and not (
            given.is_floating_point() and tensor.is_floating_point()
        ):
            dtypes.append(f"{name} {given.dtype}, expected {tensor.dtype}")
        elif not given.isfinite().all():
            values.append(name)
    problems = [
        f"{what}: {list_some(names)}"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("wrong shape", shapes),
            ("wrong dtype", dtypes),
            ("NaN or inf", values),
        )
        if names
    ]
    if problems:
        raise ValueError(
            f"weights={str(path)!r} is not for this {type(module).__name__}: "
            f"{'; '.join(problems)}. Every tensor but those of the final layer has to "
            "match; module_params, the channels and the windows' length and rate "
            "decide on the shapes."
        )
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(found[name])


def _renamed(tensors, wanted, mapping):
    """Names as the network has them now.

    braindecode says what tensors of older versions are called today.  A network that
    was trained inside another module has its name before all of its own.
    """
    before = {name.partition(".")[0] for name in tensors}
    if len(before) == 1 and not any(name in wanted for name in tensors):
        tensors = {name.partition(".")[2]: tensor for name, tensor in tensors.items()}
    mapping = mapping or {}
    return {mapping.get(name, name): tensor for name, tensor in tensors.items()}


def _is_inside(name, part):
    return name == part or name.startswith(f"{part}.")


class WindowDataset(torch.utils.data.Dataset):
    """Windows that are read when a batch asks for them, and their classes.

    Parameters
    ----------
    read : callable
        Takes rows and returns windows (n, n_chans, n_times), float32.
    codes : ndarray of int, shape (n_windows,)
        Class of each window.
    """

    def __init__(self, read, codes):
        self.read, self.codes = read, torch.from_numpy(codes)

    def __len__(self):
        return len(self.codes)

    def __getitem__(self, rows):
        return torch.from_numpy(self.read(rows)), self.codes[rows]


class BaselineNet(HeadNet):
    """skorch classifier of windows: seeded dropout, and parts that stay as they are.

    Parameters
    ----------
    *args, **kwargs
        As for `skorch.NeuralNetClassifier`.
    seed : int, default=0
        Of dropout.
    final : set of str, default=None
        Names of the only tensors that are trained; None trains all.
    extra : dict, default=None
        Further arguments of the network's ``forward``.
    """

    def __init__(self, *args, seed=0, final=None, extra=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.seed = seed
        self.final = final
        self.extra = extra

    def initialize_module(self):
        """Take the network; fix what is not to be trained."""
        super().initialize_module()
        self._n_steps = 0
        if self.final is not None:
            for name, parameter in self.module_.named_parameters():
                parameter.requires_grad_(name in self.final)
        return self

    def train_step_single(self, batch, **fit_params):
        """Train on a batch, with random numbers that depend on its place only."""
        self._n_steps += 1
        # Dropout draws from torch's one generator, which other threads use as well.
        with seeded_torch(self.seed + self._n_steps):
            return super().train_step_single(batch, **fit_params)

    def infer(self, x, **fit_params):
        """Run the network; parts that are not trained behave as in prediction."""
        if self.final is not None and self.module_.training:
            # Their batch norm would take over the new data's statistics otherwise.
            owners = {name.rpartition(".")[0] for name in self.final} - {""}
            owners.add(_FINAL)
            for name, part in self.module_.named_modules():
                part.training = any(_is_inside(name, owner) for owner in owners)
        return super().infer(x, **fit_params, **(self.extra or {}))


def make_baseline_net(
    module,
    n_classes,
    *,
    class_weights,
    lr,
    weight_decay,
    max_epochs,
    batch_size,
    seeds,
    device,
    final,
    extra,
    callbacks,
    verbose,
):
    """Build the net that trains a network; ``seeds`` are of batches and of dropout."""
    return BaselineNet(
        module,
        criterion=nn.CrossEntropyLoss,
        criterion__weight=class_weights,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=weight_decay,
        lr=lr,
        max_epochs=max_epochs,
        batch_size=batch_size,
        iterator_train=Batches,
        iterator_train__seed=seeds[0],
        iterator_valid=Batches,
        train_split=None,
        classes=list(range(n_classes)),
        seed=seeds[1],
        final=final,
        extra=extra,
        device=device.type if device.index is None else str(device),
        callbacks=copy_callbacks(callbacks),
        callbacks__valid_acc=None,
        verbose=verbose,
    )
