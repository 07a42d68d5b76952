"""Builds networks of braindecode, loads their weights and trains them."""

import contextlib
import difflib
import inspect
import sys
import warnings

import torch
from torch import nn

from .._io._tensor_files import cut, read_state_dict
from .._torch import seeded_torch
from ..channels._channels import canonical_name, spelt_names
from ..classifier._net import ClassifierNet
from ..encoder._weights import tensor_problems

_FINAL = "final_layer"  # braindecode's name of the layer from features to classes
# Warnings that only developers of braindecode can act on.
_FOR_PROGRAMMERS = (FutureWarning, DeprecationWarning)


@contextlib.contextmanager
def _quiet(*categories):
    """Silence warnings of these categories, and the log of MNE."""
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        for category in categories:
            warnings.simplefilter("ignore", category)
        if "mne" in sys.modules:
            # braindecode warns by MNE's function, which writes to MNE's log as well.
            stack.enter_context(sys.modules["mne"].use_log_level("error"))
        yield


def find_class(module):
    """Return the class of a network, given by itself or by its name in braindecode."""
    if _is_network(module):
        return module
    if not isinstance(module, str):
        raise TypeError(
            "module must be a name in braindecode.models or a class of torch modules "
            "(not an instance; its arguments go into module_params), got "
            f"{module!r}."
        )
    with _quiet(*_FOR_PROGRAMMERS):
        import braindecode.models

        networks = dict(inspect.getmembers(braindecode.models, _is_network))
    if module in networks:
        return networks[module]
    lower = {name.lower(): name for name in networks}
    close = difflib.get_close_matches(module.lower(), lower, n=3)
    hint = f" Did you mean {', '.join(lower[c] for c in close)}?" if close else ""
    raise ValueError(
        f"module={module!r} is not the name of a class in braindecode.models.{hint}"
    )


def _is_network(value):
    return isinstance(value, type) and issubclass(value, nn.Module)


def build_again(cls, arguments):
    """Build a network without any warnings; torch's random state stays as it is."""
    with torch.random.fork_rng(devices=[]), _quiet(Warning):
        return cls(**arguments)


def rebuild(cls, arguments, state_dict):
    """Build a network again and give it these tensors."""
    module = build_again(cls, arguments)
    # Some networks of braindecode rename tensors in their own load_state_dict.
    nn.Module.load_state_dict(module, state_dict)
    return module.eval()


def make_module(cls, size, params, ch_names, *, classifies=True):
    """Build a network for windows of a size, and run it on two windows of zeros.

    Parameters
    ----------
    cls : type
        The class.
    size : dict
        Arguments by braindecode's names; the class gets those that it takes.
    params : dict
        Further arguments, which replace arguments of the same name.
    ch_names : tuple of str or None
        Channels, for networks whose ``forward`` asks for them.
    classifies : bool, default=True
        Whether it must return one logit for each class.

    Returns
    -------
    module : torch.nn.Module
        The network, in eval mode.
    arguments : dict
        What it was built with.

    Raises
    ------
    ValueError
        If the network cannot be built, does not take such windows, or does not return
        one logit for each class.
    """
    takes = inspect.signature(cls.__init__).parameters
    arguments = {name: value for name, value in size.items() if name in takes} | params
    n_chans, n_times, sfreq = size["n_chans"], size["n_times"], size["sfreq"]
    try:
        with torch.no_grad(), _quiet(*_FOR_PROGRAMMERS):
            module = cls(**arguments).eval()
            x = torch.zeros(2, n_chans, n_times)
            output = module(x, **forward_arguments(module, ch_names))
    except Exception as error:
        # Networks raise errors of any type if windows are too short for their kernels.
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{cls.__name__} does not take windows of {n_chans} channels and {n_times} "
            f"samples ({n_times / sfreq:.3g} s at {sfreq:g} Hz) with "
            f"module_params={params!r}: they may be too short for its layers, or an "
            f"argument may be missing ({type(error).__name__}: {cut(reason, 500)})."
        ) from error
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output)
    expected = (2, size["n_outputs"])
    if classifies and shape != expected:
        raise ValueError(
            f"{cls.__name__} returns an output of shape {shape} for two windows; "
            f"expected {expected}, one logit for each class."
        )
    return module, arguments


def forward_arguments(module, ch_names):
    """Return further arguments of ``forward``: Labram takes names of channels.

    Names that look like 10-20 sites but are not are marked: networks then refuse them.
    """
    if ch_names and "ch_names" in inspect.signature(module.forward).parameters:
        spelt = zip(ch_names, spelt_names(ch_names), strict=True)
        names = [n if s == canonical_name(n) else s for n, s in spelt]
        return {"ch_names": names}
    return {}


def final_tensors(module, cls, arguments, *, none=False):
    """Return the names of the tensors of the final layer.

    They are all tensors of ``final_layer``, as braindecode calls it, and all other
    tensors whose shape changes with the number of classes.  With ``none`` there need
    not be any.
    """
    tensors = module.state_dict()
    final = {name for name in tensors if _is_inside(name, _FINAL)}
    if "n_outputs" in arguments:
        more = arguments | {"n_outputs": arguments["n_outputs"] + 1}
        other = build_again(cls, more).state_dict()
        final |= {
            name
            for name, tensor in tensors.items()
            if name in other and other[name].shape != tensor.shape
        }
    if not final and not none:
        raise ValueError(
            f"{cls.__name__} has no final layer: it has no layer {_FINAL!r}, and its "
            "constructor does not take n_outputs."
        )
    return final


def load_weights(module, final, path):
    """Copy all tensors but those of the final layer from a file into a network.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    final : set of str
        Names of the tensors that are not loaded.
    path : str or path-like
        The file.

    Raises
    ------
    ValueError
        If names, shapes or kinds of numbers do not match; the message lists them.
    """
    wanted = {k: v for k, v in module.state_dict().items() if k not in final}
    found = _renamed(read_state_dict(path), wanted, getattr(module, "mapping", None))
    found = {
        name: _as_precise(tensor, wanted.get(name))
        for name, tensor in found.items()
        if name not in final and not _is_inside(name, _FINAL)
    }
    expected = {k: (tuple(v.shape), v.dtype) for k, v in wanted.items()}
    problems = tensor_problems(found, expected)
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


def _as_precise(tensor, like):
    """Return floating-point numbers in the precision of the network's own tensor."""
    if like is None or not (tensor.is_floating_point() and like.is_floating_point()):
        return tensor
    return tensor.to(like.dtype)


def _renamed(tensors, wanted, mapping):
    """Return the tensors by the names that the network uses now.

    ``mapping`` has the new name of each tensor that braindecode has renamed.  If a
    network was trained inside another module, all names start with the name of its
    attribute there, which is cut off.
    """
    before = {name.partition(".")[0] for name in tensors}
    if len(before) == 1 and not any(name in wanted for name in tensors):
        tensors = {name.partition(".")[2]: tensor for name, tensor in tensors.items()}
    mapping = mapping or {}
    return {mapping.get(name, name): tensor for name, tensor in tensors.items()}


def _is_inside(name, part):
    return name == part or name.startswith(f"{part}.")


class WindowDataset(torch.utils.data.Dataset):
    """Windows and their classes; each batch reads its own windows.

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


class BaselineNet(ClassifierNet):
    """skorch classifier with seeded dropout and frozen layers.

    `braindecode.EEGClassifier` with skorch's `Freezer` was tried in its place
    (braindecode 1.8, skorch 1.4).  It gave the same scores but for one window, and
    would have needed this class and more:

    - Dropout differs between folds in threads and folds in sequence.
    - A fitted EEGNet can be neither pickled nor copied.
    - ``partial_fit`` builds a new network, and loses weights loaded before it.
    - `Freezer` leaves batch norm and dropout of frozen layers in training mode, so
      that statistics of frozen layers change.
    - Training fails if torch's default dtype is float64, returns as if fitted after
      Ctrl-C, and goes on if the loss is NaN.
    - An array of windows took ten times the memory of their recordings (5 s windows
      every 0.5 s); `WindowDataset` reads one batch at a time.

    Parameters
    ----------
    *args, **kwargs
        As for `skorch.NeuralNetClassifier`.
    seed : int, default=0
        Seed of dropout.
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
        """Take the network and freeze all but the final layer."""
        super().initialize_module()
        self._n_steps = 0
        if self.final is not None:
            for name, parameter in self.module_.named_parameters():
                parameter.requires_grad_(name in self.final)
        return self

    def train_step_single(self, batch, **fit_params):
        """Train on a batch; its random numbers depend only on its number."""
        self._n_steps += 1
        # Dropout draws from torch's global generator, which all threads share.
        with seeded_torch(self.seed + self._n_steps):
            return super().train_step_single(batch, **fit_params)

    def infer(self, x, **fit_params):
        """Run the network; frozen layers behave as in prediction."""
        if self.final is not None and self.module_.training:
            # Otherwise batch norm of frozen layers would follow the new data.
            owners = {name.rpartition(".")[0] for name in self.final} - {""}
            owners.add(_FINAL)
            for name, part in self.module_.named_modules():
                part.training = any(_is_inside(name, owner) for owner in owners)
        return super().infer(x, **fit_params, **(self.extra or {}))
