"""Weight files: our own format, and released checkpoints, read without running code.

Our format is safetensors with one JSON text in the header and a digest: nothing in it
is pickled.  Whoever made a file may have made it wrong, by accident or not, so all that
is taken out of it is checked, and before anything of its size is built.
"""

import errno
import math
import reprlib
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from .._io._tensor_files import (
    cut,
    decode_tensors,
    load_archive,
    read_content,
    write_tensors,
)
from .._validation import check_path, home_hint, list_some
from ..channels._channels import CANONICAL_CHANNELS, CANONICAL_SFREQ
from ..nn import HybridEncoder, NormStatistics, released_to_state_dict
from ..nn.encoder import FEATURES, SUBJECT_NORMS, VARIANTS
from ..windows._amplitude import Amplitude
from ._saved import NOT_KNOWN, Calibration, Seen, file_metadata, no_history

_KIND = "weights"
_FORMAT_VERSION = 4
_ENCODER, _EXTRA = "encoder.", "extra."
_STATISTICS = "statistics."
_CALIBRATION = "calibration."
# No size or count is larger; torch and pandas accept all smaller ones.
_MAX_INT = 2**31 - 1
# Sizes that a tensor of the encoder has as an axis; the other two have none.
_AXES = (
    "hidden_dim",
    "latent_dim",
    "depth",
    "patch_size",
    "n_filters",
    "n_virtual_channels",
)
_SIZES = (*_AXES, "n_heads", "patch_stride")
_OPTIONS = {
    "n_chans": (len(CANONICAL_CHANNELS),),
    "variant": VARIANTS,
    "spatial_activation": ("relu", None),
}
STORED_PARAMETERS = {
    "unknown_channels": ("drop", "position", "error"),
    "missing_channels": ("nearest", "error"),
    "window_norm": ("robust", None),
    "subject_norm": SUBJECT_NORMS,
    "feature": FEATURES,
    "standardize": (True, False),
}
"""Parameters of the estimator that a file keeps, and the values that they take."""

_METADATA = tuple(file_metadata({}, NOT_KNOWN, no_history()))
_CALIBRATED = "calibrated_subjects"  # only where there are some


class WeightsFile(NamedTuple):
    """The content of a weights file.

    Attributes
    ----------
    state_dict : dict of str to Tensor
        Parameters of a `HybridEncoder`, float32.
    config : dict
        Constructor arguments of that `HybridEncoder` that fix its architecture.
    extra : dict of str to Tensor
        Further tensors: "mean" and "scale" of the standardisation, float64, and
        "statistics.*" of ``subject_norm="train"``, float32; "calibration.*" of
        calibrated people, one after the other; empty for released checkpoints.
    metadata : dict
        Everything else; empty for released checkpoints.
    """

    state_dict: dict[str, torch.Tensor]
    config: dict[str, Any]
    extra: dict[str, torch.Tensor]
    metadata: dict[str, Any]

    @property
    def parameters(self):
        """Parameters of the estimator; empty for released checkpoints."""
        return self.metadata.get("parameters", {})

    @property
    def seen(self):
        """Whom the weights were trained on; released checkpoints do not say."""
        names = ("training_datasets", "training_subjects", "n_training_subjects")
        return Seen(*map(self.metadata.get, names))

    @property
    def history(self):
        """The history of the training, as of `MDJPTEncoder`."""
        if "history" not in self.metadata:
            return no_history()
        table = pd.DataFrame(self.metadata["history"], dtype=float)
        return table.set_axis(pd.RangeIndex(1, len(table) + 1, name="epoch"))

    def standardization(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return mean and scale of the features, both None without standardisation."""
        if "mean" not in self.extra:
            return None, None
        return self.extra["mean"].numpy(), self.extra["scale"].numpy()

    def statistics(self):
        """Return the statistics of ``subject_norm="train"``."""
        return NormStatistics(
            *(self.extra[_STATISTICS + k] for k in NormStatistics._fields)
        )

    def calibrations(self):
        """Return the `Calibration` of each person, by name."""
        found = {}
        for k, (name, amplitude) in enumerate(
            self.metadata.get(_CALIBRATED, {}).items()
        ):
            statistics = None
            if amplitude is not None:
                amplitude = Amplitude(**amplitude)
            if _CALIBRATION + NormStatistics._fields[0] in self.extra:
                statistics = NormStatistics(
                    *(self.extra[_CALIBRATION + f][k] for f in NormStatistics._fields)
                )
            found[name] = Calibration(amplitude, statistics)
        return found


def calibration_content(calibrations):
    """Return the tensors and the header of calibrated people, for `write_weights`.

    Parameters
    ----------
    calibrations : dict of str to Calibration
        By person; all of them with statistics, or none.
    """
    if not calibrations:
        return {}, {}
    people, tensors = list(calibrations.values()), {}
    if people[0].statistics is not None:
        for name in NormStatistics._fields:
            values = [getattr(one.statistics, name) for one in people]
            tensors[_CALIBRATION + name] = torch.stack(values)
    amplitudes = {
        name: None if one.amplitude is None else one.amplitude._asdict()
        for name, one in calibrations.items()
    }
    return tensors, {_CALIBRATED: amplitudes}


def write_weights(path, state_dict, config, extra, metadata):
    """Write a weights file; only a complete one replaces an older file.

    Parameters
    ----------
    path : str or path-like
        The file.  A link of this name is replaced, not what it leads to.
    state_dict, config, extra, metadata : dict
        As in `WeightsFile`; tensors of any floating type, on any device.

    Raises
    ------
    ValueError
        If a reader would refuse the file; it is not written then.
    FileNotFoundError, IsADirectoryError, OSError
        If there is no such folder, or no file can be written there.
    """
    path = check_path(path, "The name of a weights file")
    if path.is_dir():
        raise IsADirectoryError(
            errno.EISDIR, "Expected the name of a file, got a folder", str(path)
        )
    if path.exists() and not path.is_file():
        # Writing would replace it: a file in place of /dev/null, for everybody.
        raise OSError(
            errno.EINVAL, "Expected the name of a file, got a device", str(path)
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(path.parent)!r}.{home_hint(path)}"
        )
    content = WeightsFile(
        {name: _as(torch.float32, value) for name, value in state_dict.items()},
        config,
        {name: _as(_extra_dtype(name), value) for name, value in extra.items()},
        metadata,
    )
    _check(content, f"{str(path)!r} is not written, for no one could read it")
    tensors = {_ENCODER + name: value for name, value in content.state_dict.items()}
    tensors |= {_EXTRA + name: value for name, value in content.extra.items()}
    header = {"config": config} | metadata
    write_tensors(path, tensors, header, kind=_KIND, version=_FORMAT_VERSION)


def read_weights(path, *, released_activation="relu"):
    """Read our file or a released checkpoint.

    Parameters
    ----------
    path : str or path-like
        A file of ours (safetensors) or a released ``.ckpt``.
    released_activation : {"relu", None}, default="relu"
        Activation after the spatial mixing of a released checkpoint.

    Returns
    -------
    WeightsFile
        All of it checked: the tensors are those of ``HybridEncoder(**config)``.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file, or it is a folder.
    ValueError
        If it is neither format, is damaged, comes from another version, or its
        content is not that of an encoder.
    """
    content, form = read_content(
        path,
        "a file written by MDJPTEncoder.save or a released checkpoint (a zip archive "
        "of torch.save)",
    )
    if form == "safetensors":
        return _decode(content, path)
    return _decode_released(content, path, released_activation)


def _as(dtype, value):
    return value.detach().to("cpu", dtype)


def _extra_dtype(name):
    """Statistics are used in float32, the standardisation in float64."""
    is_statistics = name.startswith((_STATISTICS, _CALIBRATION))
    return torch.float32 if is_statistics else torch.float64


def _decode(content, path):
    tensors, metadata = decode_tensors(
        content, path, kind=_KIND, version=_FORMAT_VERSION
    )
    problem = f"{str(path)!r} does not hold what a weights file must"
    unknown = [n for n in tensors if not n.startswith((_ENCODER, _EXTRA))]
    if unknown:
        names = sorted(cut(name, 80) for name in unknown)
        raise ValueError(f"{problem}: unexpected tensors: {list_some(names)}.")
    state_dict, extra = (
        {n.removeprefix(of): t for n, t in tensors.items() if n.startswith(of)}
        for of in (_ENCODER, _EXTRA)
    )
    weights = WeightsFile(state_dict, metadata.pop("config", None), extra, metadata)
    _check(weights, problem)
    return weights


def _decode_released(content, path, activation):
    found = load_archive(content, path)
    if "checkpoint_format" in found:
        raise ValueError(
            f"{str(path)!r} is a checkpoint of a training. The end of the training, "
            "the file encoder-*.safetensors beside its checkpoints, can be loaded."
        )
    _check_released(found, len(content), f"{str(path)!r} is no released checkpoint")
    found = {name: tensor.detach() for name, tensor in found.items()}
    try:
        state_dict, config = released_to_state_dict(
            found, spatial_activation=activation
        )
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {cut(error, 5000)}") from error
    _check_encoder(state_dict, config, f"{str(path)!r} does not fit the encoder")
    return WeightsFile(state_dict, config, {}, {})


# Checks ------------------------------------------------------------------------------


def _refuse(problem, reasons):
    """Raise if there are reasons."""
    reasons = list(reasons)
    if reasons:
        text = "; ".join(reasons[:10])
        more = f"; ... ({len(reasons)} in all)" if len(reasons) > 10 else ""
        raise ValueError(f"{problem}: {text}{more}.")


def _check_released(tensors, n_bytes, problem):
    """Raise unless these are plain float32 tensors of which nothing is made up."""
    _refuse(problem, filter(None, map(_released_problem, tensors, tensors.values())))
    # A tensor of many elements may be one number with strides of zero.
    total = sum(4 * value.numel() for value in tensors.values())
    if total > n_bytes:
        raise ValueError(
            f"{problem}: its tensors have {total} bytes, the file {n_bytes}."
        )
    _refuse(
        problem,
        (
            f"{cut(name, 80)} holds NaN or inf"
            for name, value in tensors.items()
            if not value.isfinite().all()
        ),
    )


def _released_problem(name, value):
    """Say what is wrong with a tensor, apart from its numbers; None if nothing is."""
    if not isinstance(name, str):
        return f"a name is {reprlib.repr(name)}, expected a str"
    name = cut(name, 80)
    if type(value) not in (torch.Tensor, torch.nn.Parameter):
        return f"{name} is a {type(value).__name__}, no tensor"
    if value.dtype != torch.float32:
        return f"{name} has dtype {_name(value.dtype)}, expected float32"
    if value.layout != torch.strided or value.device.type != "cpu":
        return f"{name} is not a plain tensor"
    if not value.numel():
        return f"{name} is empty, of shape {tuple(value.shape)}"
    return None


def _check(weights, problem):
    """Raise unless this is what a file of ours has to hold."""
    _refuse(problem, _metadata_problems(weights.metadata))
    parameters = weights.parameters
    module = _check_encoder(
        weights.state_dict, weights.config, problem, parameters["subject_norm"]
    )
    shapes = {}
    if parameters["standardize"]:
        shapes |= dict.fromkeys(("mean", "scale"), (module.n_features,))
    if parameters["subject_norm"] == "train":
        statistics = module.get_statistics()._asdict()
        shapes |= {_STATISTICS + k: tuple(v.shape) for k, v in statistics.items()}
    if n_people := len(weights.metadata.get(_CALIBRATED, ())):
        shapes |= _calibration_shapes(n_people, weights.config, parameters)
    expected = {name: (shape, _extra_dtype(name)) for name, shape in shapes.items()}
    _refuse(problem, tensor_problems(weights.extra, expected))
    # Features are divided by them.
    _refuse(
        problem,
        (
            f"{name} has values that are not above 0"
            for name, value in weights.extra.items()
            if (name == "scale" or "std" in name) and not (value > 0).all()
        ),
    )


def _calibration_shapes(n_people, config, parameters):
    """Return the shape of each tensor of calibrated people."""
    shapes = {}
    if parameters["subject_norm"] is not None:
        names = ("n_chans", "latent_dim", "n_virtual_channels")
        n_chans, latent_dim, n_virtual = (config[name] for name in names)
        channel, spatial = (n_chans, latent_dim), (latent_dim, n_virtual)
        of_one = (channel, channel, spatial, spatial)
        for name, shape in zip(NormStatistics._fields, of_one, strict=True):
            shapes[_CALIBRATION + name] = (n_people, *shape)
    return shapes


def _metadata_problems(metadata):
    """Say what is wrong in the header, apart from the config."""
    expected = _METADATA
    if isinstance(metadata, dict) and _CALIBRATED in metadata:
        expected = (*_METADATA, _CALIBRATED)
    if wrong := _key_problems(metadata, expected, "the header"):
        return wrong
    parameters, sfreq = metadata["parameters"], metadata["sfreq"]
    datasets, subjects = metadata["training_datasets"], metadata["training_subjects"]
    n_subjects = metadata["n_training_subjects"]
    known = len(subjects) if isinstance(subjects, list) else 0
    counts = type(n_subjects) is int and known <= n_subjects <= _MAX_INT
    forms = {
        "package_version": (isinstance(metadata["package_version"], str), "a str"),
        "ch_names": (
            metadata["ch_names"] == list(CANONICAL_CHANNELS),
            f"the {len(CANONICAL_CHANNELS)} canonical channels in their order",
        ),
        "sfreq": (
            type(sfreq) in (int, float) and sfreq == CANONICAL_SFREQ,
            f"{CANONICAL_SFREQ}",
        ),
        "training_datasets": (_are_names(datasets), "a list of str, or null"),
        "training_subjects": (_are_names(subjects), "a list of str, or null"),
        "n_training_subjects": (
            n_subjects is None or counts,
            f"an int of at least {known}, or null",
        ),
    }
    wrong = _key_problems(parameters, STORED_PARAMETERS, "parameters")
    wrong += wrong or _option_problems(parameters, STORED_PARAMETERS, "parameters")
    if _CALIBRATED in metadata:
        has_amplitude = not wrong and parameters["window_norm"] is not None
        wrong += _calibrated_problems(metadata[_CALIBRATED], has_amplitude)
    wrong += [
        f"{name} is {reprlib.repr(metadata[name])}, expected {what}"
        for name, (is_good, what) in forms.items()
        if not is_good
    ]
    if (datasets is None) != (subjects is None):
        wrong.append("one of training_datasets and training_subjects is null, not both")
    return wrong + _history_problems(metadata["history"])


def _calibrated_problems(people, has_amplitude):
    """Say what is wrong with the amplitudes of calibrated people."""
    if not isinstance(people, dict) or not people:
        return [
            f"{_CALIBRATED} is {reprlib.repr(people)}, expected an object of people"
        ]
    what = "an object of centers and scale" if has_amplitude else "null"
    return [
        f"{_CALIBRATED}[{cut(name, 80)!r}] is {reprlib.repr(one)}, expected {what}"
        for name, one in people.items()
        if not (_is_amplitude(one) if has_amplitude else one is None)
    ]


def _is_amplitude(value):
    if not isinstance(value, dict) or set(value) != set(Amplitude._fields):
        return False
    centers, scale = value["centers"], value["scale"]
    if not isinstance(centers, dict) or not centers or not _is_number(scale):
        return False
    return scale > 0 and all(map(_is_number, centers.values()))


def _is_number(value):
    return value is not None and _is_number_or_none(value)


def _are_names(names):
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names is None or is_list


def _history_problems(history):
    columns = history.values() if isinstance(history, dict) else [None]
    if not all(isinstance(column, list) for column in columns):
        return [f"history is {reprlib.repr(history)}, expected an object of lists"]
    # Later versions may add others.
    if missing := [name for name in no_history() if name not in history]:
        return [f"history lacks {list_some(missing)}"]
    if len({len(column) for column in columns}) > 1:
        return ["history has columns of unequal length"]
    wrong = [x for column in columns for x in column if not _is_number_or_none(x)]
    return [f"history has {reprlib.repr(x)}, expected a number" for x in wrong[:1]]


def _is_number_or_none(value):
    if type(value) is float:
        return math.isfinite(value)
    return value is None or (type(value) is int and abs(value) <= _MAX_INT)


def _key_problems(found, expected, name):
    if not isinstance(found, dict):
        return [f"{name} is {reprlib.repr(found)}, expected an object"]
    missing = [key for key in expected if key not in found]
    unexpected = [cut(key, 80) for key in found if key not in expected]
    return [
        f"{name} {what} {list_some(keys)}"
        for what, keys in (("lacks", missing), ("has unexpected", unexpected))
        if keys
    ]


def _option_problems(found, options, name):
    # Types are compared as well: 1 is equal to True.
    return [
        f"{name}[{key!r}] is {reprlib.repr(found[key])}, expected one of {of}"
        for key, of in options.items()
        if not any(isinstance(found[key], type(o)) and found[key] == o for o in of)
    ]


def _check_encoder(state_dict, config, problem, subject_norm=None):
    """Raise unless these are the weights of a network; return it, without memory."""
    _refuse(problem, _key_problems(config, (*_SIZES, *_OPTIONS), "config"))
    wrong = _option_problems(config, _OPTIONS, "config")
    # No axis is longer than all tensors together, and no block is without one:
    # building blocks takes time, even without memory.
    n_values = sum(value.numel() for value in state_dict.values())
    most = dict.fromkeys(_AXES, n_values) | {"depth": len(state_dict)}
    for key in _SIZES:
        size = config[key]
        if type(size) is not int or not 1 <= size <= _MAX_INT:
            wrong.append(
                f"config[{key!r}] is {reprlib.repr(size)}, expected an int from 1 to "
                f"{_MAX_INT}"
            )
        elif size > most.get(key, _MAX_INT):
            wrong.append(f"config[{key!r}] is {size}, more than the tensors have")
    _refuse(problem, wrong)
    try:
        with torch.device("meta"):
            module = HybridEncoder(**config, subject_norm=subject_norm)
    except (ValueError, RuntimeError) as error:
        # A RuntimeError: the product of sizes is beyond what torch can count.
        raise ValueError(f"{problem}: {error}") from error
    expected = {
        name: (tuple(parameter.shape), torch.float32)
        for name, parameter in module.named_parameters()
    }
    _refuse(problem, tensor_problems(state_dict, expected))
    return module


def tensor_problems(tensors, expected):
    """Compare tensors with what is expected: a dict of name to (shape, dtype)."""
    problems = {
        "missing": [name for name in expected if name not in tensors],
        # safetensors gives them in a random order.
        "unexpected": sorted(cut(name, 80) for name in tensors if name not in expected),
        "wrong shape": [],
        "wrong dtype": [],
        "NaN or inf": [],
    }
    for name, (shape, dtype) in expected.items():
        tensor = tensors.get(name)
        if tensor is None:
            continue
        found = tuple(tensor.shape)
        if found != shape:
            problems["wrong shape"].append(f"{name} {found}, expected {shape}")
        if tensor.dtype != dtype:
            problems["wrong dtype"].append(
                f"{name} {_name(tensor.dtype)}, expected {_name(dtype)}"
            )
        elif not tensor.isfinite().all():
            problems["NaN or inf"].append(name)
    return [f"{what}: {list_some(names)}" for what, names in problems.items() if names]


def _name(dtype):
    return str(dtype).removeprefix("torch.")
