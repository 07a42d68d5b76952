"""Weight files: our own format, and released checkpoints, read without running code.

Our format is safetensors with one JSON text in the header and a checksum: nothing in it
is pickled.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from ._tensor_files import read_tensors, write_tensors
from ._validation import list_some
from .nn import released_to_state_dict

_KIND = "weights"
_FORMAT_VERSION = 2


class WeightsFile(NamedTuple):
    """What a weights file holds.

    Attributes
    ----------
    state_dict : dict of str to Tensor
        Parameters of a `HybridEncoder`.
    config : dict
        Constructor arguments of that `HybridEncoder` that fix its architecture.
    extra : dict of str to Tensor
        Further tensors (standardisation); empty for released checkpoints.
    metadata : dict
        Everything else; empty for released checkpoints.
    """

    state_dict: dict[str, torch.Tensor]
    config: dict[str, Any]
    extra: dict[str, torch.Tensor]
    metadata: dict[str, Any]


def write_weights(path, state_dict, config, extra, metadata):
    """Write a weights file; an older one is replaced only by a whole new one."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(path.parent)!r}.")
    tensors = {f"encoder.{name}": value for name, value in state_dict.items()}
    tensors |= {f"extra.{name}": value for name, value in extra.items()}
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

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is neither format, is damaged, comes from a newer version, or its
        tensors are not those of an encoder.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No weights file {str(path)!r}.")
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:9] == b"{":
        return _read_ours(path)
    if start[:2] == b"PK" or start[:1] == b"\x80":
        return _read_released(path, released_activation)
    raise ValueError(
        f"{str(path)!r} is neither a file written by MDJPTEncoder.save nor a torch "
        "checkpoint."
    )


def _read_ours(path):
    tensors, metadata = read_tensors(path, kind=_KIND, version=_FORMAT_VERSION)
    parts = {"encoder": {}, "extra": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    return WeightsFile(
        parts["encoder"], metadata.pop("config"), parts["extra"], metadata
    )


def _read_released(path, activation):
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Damaged archives raise many things; a pickle that would run code is refused.
        raise ValueError(
            f"{str(path)!r} cannot be read as a checkpoint of tensors and plain values "
            f"(nothing else is unpickled): {error}"
        ) from error
    state_dict = content.get("state_dict", content) if hasattr(content, "get") else {}
    if not state_dict or not all(
        isinstance(value, torch.Tensor) for value in state_dict.values()
    ):
        raise ValueError(f"{str(path)!r} holds no state_dict of tensors.")
    try:
        weights, config = released_to_state_dict(
            state_dict, spatial_activation=activation
        )
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}") from error
    return WeightsFile(weights, config, {}, {})


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
    missing = [name for name in parameters if name not in state_dict]
    unexpected = [name for name in state_dict if name not in parameters]
    wrong = [
        f"{name} {tuple(state_dict[name].shape)}, expected {tuple(p.shape)}"
        for name, p in parameters.items()
        if name in state_dict and state_dict[name].shape != p.shape
    ]
    problems = [
        f"{what}: {list_some(names)}"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("wrong shape", wrong),
        )
        if names
    ]
    if problems:
        raise ValueError(f"{source!r} does not fit the encoder. " + "; ".join(problems))
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(state_dict[name])
