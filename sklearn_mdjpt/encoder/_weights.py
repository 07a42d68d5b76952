"""Weight files: our own format, and released checkpoints, read without running code.

Our format is safetensors with one JSON text in the header and a checksum: nothing in it
is pickled.  Whoever made a file may have made it wrong, by accident or not, so all that
is taken out of it is checked, and before anything of its size is built.
"""

import errno
import math
import reprlib
from typing import Any, NamedTuple

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

_KIND = "weights"
_FORMAT_VERSION = 3
_ENCODER, _EXTRA = "encoder.", "extra."
_STATISTICS = "statistics."
# More than any size or count here can mean; torch and pandas take all below it.
_MAX_INT = 2**31 - 1
# Sizes that a tensor of the encoder has as an axis; the other two have none.
_AXES = (
    "n_chans",
    "hidden_dim",
    "latent_dim",
    "depth",
    "patch_size",
    "n_filters",
    "n_virtual_channels",
)
_SIZES = (*_AXES, "n_heads", "patch_stride")
_OPTIONS = {"variant": VARIANTS, "spatial_activation": ("relu", None)}
PARAMETERS = {
    "unknown_channels": ("drop", "position", "error"),
    "missing_channels": ("nearest", "error"),
    "window_norm": ("robust", None),
    "subject_norm": SUBJECT_NORMS,
    "feature": FEATURES,
    "standardize": (True, False),
}
"""Parameters of the estimator that a file keeps, and the values that they take."""

_METADATA = (
    "package_version",
    "parameters",
    "ch_names",
    "sfreq",
    "training_datasets",
    "training_subjects",
    "n_training_subjects",
    "history",
)
_HISTORY = ("isa", "cda", "total", "seconds", "log_spatial_norm")


class WeightsFile(NamedTuple):
    """What a weights file holds.

    Attributes
    ----------
    state_dict : dict of str to Tensor
        Parameters of a `HybridEncoder`, float32.
    config : dict
        Constructor arguments of that `HybridEncoder` that fix its architecture.
    extra : dict of str to Tensor
        Further tensors: "mean" and "scale" of the standardisation, float64, and
        "statistics.*" of ``subject_norm="train"``, float32; empty for released
        checkpoints.
    metadata : dict
        Everything else; empty for released checkpoints.
    """

    state_dict: dict[str, torch.Tensor]
    config: dict[str, Any]
    extra: dict[str, torch.Tensor]
    metadata: dict[str, Any]


def write_weights(path, state_dict, config, extra, metadata):
    """Write a weights file; an older one is replaced only by a whole new one.

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
        # It would be replaced: /dev/null by a file, for everybody.
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


def load_parameters(module, state_dict, source):
    """Copy parameters into a module; raise with a list where they do not fit.

    Parameters
    ----------
    module : HybridEncoder
        Receives the parameters; its buffers (statistics) stay as they are.
    state_dict : dict of str to Tensor
        Parameters by name.
    source : str
        Name of the file, for the message.
    """
    parameters = dict(module.named_parameters())
    problems = _tensor_problems(
        state_dict,
        {name: (tuple(p.shape), torch.float32) for name, p in parameters.items()},
    )
    if problems:
        raise ValueError(f"{source!r} does not fit the encoder: {_join(problems)}.")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(state_dict[name])


def _as(dtype, value):
    return value.detach().to("cpu", dtype)


def _extra_dtype(name):
    """Statistics are used in float32, the standardisation in float64."""
    return torch.float32 if name.startswith(_STATISTICS) else torch.float64


def _decode(content, path):
    tensors, metadata = decode_tensors(
        content, path, kind=_KIND, version=_FORMAT_VERSION
    )
    parts, unknown = {_ENCODER: {}, _EXTRA: {}}, []
    for name, tensor in tensors.items():
        part, dot, rest = name.partition(".")
        if part + dot in parts:
            parts[part + dot][rest] = tensor
        else:
            unknown.append(cut(name, 80))
    problem = f"{str(path)!r} does not hold what a weights file must"
    if unknown:
        raise ValueError(
            f"{problem}: unexpected tensors: {list_some(sorted(unknown))}."
        )
    config = metadata.pop("config", None)
    weights = WeightsFile(parts[_ENCODER], config, parts[_EXTRA], metadata)
    _check(weights, problem)
    return weights


def _decode_released(content, path, activation):
    found = load_archive(content, path)
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


def _check_released(tensors, n_bytes, problem):
    """Raise unless these are plain float32 tensors of which nothing is made up."""
    wrong = []
    for name, value in tensors.items():
        if not isinstance(name, str):
            wrong.append(f"a name is {reprlib.repr(name)}, expected a str")
        elif type(value) not in (torch.Tensor, torch.nn.Parameter):
            wrong.append(f"{cut(name, 80)} is a {type(value).__name__}, no tensor")
        elif value.dtype != torch.float32:
            wrong.append(
                f"{cut(name, 80)} has dtype {_name(value.dtype)}, expected float32"
            )
        elif value.layout != torch.strided or value.device.type != "cpu":
            wrong.append(f"{cut(name, 80)} is not a plain tensor")
        elif not value.numel():
            wrong.append(f"{cut(name, 80)} is empty, of shape {tuple(value.shape)}")
    if not wrong:
        # A tensor of many elements may be one number with strides of zero.
        total = sum(4 * value.numel() for value in tensors.values())
        if total > n_bytes:
            wrong.append(f"its tensors have {total} bytes, the file {n_bytes}")
    if not wrong:
        wrong = [
            f"{cut(name, 80)} holds NaN or inf"
            for name, value in tensors.items()
            if not value.isfinite().all()
        ]
    if wrong:
        raise ValueError(f"{problem}: {_join(wrong)}.")


def _check(weights, problem):
    """Raise unless this is what a file of ours has to hold."""
    wrong = _metadata_problems(weights.metadata)
    if wrong:
        raise ValueError(f"{problem}: {_join(wrong)}.")
    parameters = weights.metadata["parameters"]
    module = _check_encoder(
        weights.state_dict,
        weights.config,
        problem,
        subject_norm=parameters["subject_norm"],
    )
    shapes = {}
    if parameters["standardize"]:
        shapes |= dict.fromkeys(("mean", "scale"), (module.n_features,))
    if parameters["subject_norm"] == "train":
        statistics = module.get_statistics()._asdict()
        shapes |= {_STATISTICS + k: tuple(v.shape) for k, v in statistics.items()}
    wrong = _tensor_problems(
        weights.extra, {name: (of, _extra_dtype(name)) for name, of in shapes.items()}
    )
    if wrong:
        raise ValueError(f"{problem}: {_join(wrong)}.")
    divisors = [
        "scale",
        *(_STATISTICS + k for k in NormStatistics._fields if "std" in k),
    ]
    wrong = [
        f"{name} has values that are not above 0"
        for name in divisors
        if name in weights.extra and not (weights.extra[name] > 0).all()
    ]
    if wrong:
        raise ValueError(f"{problem}: {_join(wrong)}.")


def _metadata_problems(metadata):
    """Say what is wrong in the header, apart from the config."""
    wrong = _key_problems(metadata, _METADATA, "the header")
    if wrong:
        return wrong
    parameters = metadata["parameters"]
    wrong += _key_problems(parameters, PARAMETERS, "parameters")
    if not wrong:
        wrong += _option_problems(parameters, PARAMETERS, "parameters")

    version, sfreq = metadata["package_version"], metadata["sfreq"]
    if not isinstance(version, str):
        wrong.append(f"package_version is {reprlib.repr(version)}, expected a str")
    if metadata["ch_names"] != list(CANONICAL_CHANNELS):
        wrong.append(
            f"ch_names is {reprlib.repr(metadata['ch_names'])}, expected the "
            f"{len(CANONICAL_CHANNELS)} canonical channels in their order"
        )
    if type(sfreq) not in (int, float) or sfreq != CANONICAL_SFREQ:
        wrong.append(f"sfreq is {reprlib.repr(sfreq)}, expected {CANONICAL_SFREQ}")
    return wrong + _training_problems(metadata) + _history_problems(metadata["history"])


def _training_problems(metadata):
    """Say what is wrong with whom the weights were trained on."""
    datasets, subjects, n_subjects = (
        metadata[name]
        for name in ("training_datasets", "training_subjects", "n_training_subjects")
    )
    wrong = [
        f"{name} is {reprlib.repr(names)}, expected a list of str, or null"
        for name, names in (
            ("training_datasets", datasets),
            ("training_subjects", subjects),
        )
        if names is not None
        and not (isinstance(names, list) and all(isinstance(n, str) for n in names))
    ]
    if (datasets is None) != (subjects is None):
        wrong.append("one of training_datasets and training_subjects is null, not both")
    known = len(subjects) if isinstance(subjects, list) else 0
    whole = type(n_subjects) is int and known <= n_subjects <= _MAX_INT
    if n_subjects is not None and not whole:
        wrong.append(
            f"n_training_subjects is {reprlib.repr(n_subjects)}, expected an int of at "
            f"least {known}, or null"
        )
    return wrong


def _history_problems(history):
    columns = history.values() if isinstance(history, dict) else [None]
    if not all(isinstance(column, list) for column in columns):
        return [f"history is {reprlib.repr(history)}, expected an object of lists"]
    # Others may come to join them.
    if missing := [name for name in _HISTORY if name not in history]:
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
    wrong = _key_problems(config, (*_SIZES, *_OPTIONS), "config")
    if not wrong:
        wrong += _option_problems(config, _OPTIONS, "config")
        # No axis is longer than all tensors together, and no block is without one:
        # building blocks takes time, even without memory.
        n_values = sum(value.numel() for value in state_dict.values())
        most = dict.fromkeys(_AXES, min(n_values, _MAX_INT)) | {
            "depth": len(state_dict)
        }
        for key in _SIZES:
            size = config[key]
            if type(size) is not int or not 1 <= size <= _MAX_INT:
                wrong.append(
                    f"config[{key!r}] is {reprlib.repr(size)}, expected an int from 1 "
                    f"to {_MAX_INT}"
                )
            elif size > most.get(key, _MAX_INT):
                wrong.append(f"config[{key!r}] is {size}, more than the tensors have")
    if not wrong and config["n_chans"] != len(CANONICAL_CHANNELS):
        wrong.append(
            f"config['n_chans'] is {config['n_chans']}, expected "
            f"{len(CANONICAL_CHANNELS)}"
        )
    if wrong:
        raise ValueError(f"{problem}: {_join(wrong)}.")
    try:
        with torch.device("meta"):
            module = HybridEncoder(**config, subject_norm=subject_norm)
    except (ValueError, RuntimeError) as error:
        # A RuntimeError: the product of sizes is beyond what torch can count.
        raise ValueError(f"{problem}: {error}") from error
    wrong = _tensor_problems(
        state_dict,
        {
            name: (tuple(parameter.shape), torch.float32)
            for name, parameter in module.named_parameters()
        },
    )
    if wrong:
        raise ValueError(f"{problem}: {_join(wrong)}.")
    return module


def _tensor_problems(tensors, expected):
    """Compare tensors with what is expected: a dict of name to (shape, dtype)."""
    missing = [name for name in expected if name not in tensors]
    # safetensors gives them in a random order.
    unexpected = sorted(cut(name, 80) for name in tensors if name not in expected)
    shapes, dtypes, values = [], [], []
    for name, (shape, dtype) in expected.items():
        tensor = tensors.get(name)
        if tensor is None:
            continue
        if tuple(tensor.shape) != shape:
            shapes.append(f"{name} {tuple(tensor.shape)}, expected {shape}")
        if tensor.dtype != dtype:
            dtypes.append(f"{name} {_name(tensor.dtype)}, expected {_name(dtype)}")
        elif not tensor.isfinite().all():
            values.append(name)
    return [
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


def _join(problems, limit=10):
    text = "; ".join(problems[:limit])
    return text + (f"; ... ({len(problems)} in all)" if len(problems) > limit else "")


def _name(dtype):
    return str(dtype).removeprefix("torch.")
