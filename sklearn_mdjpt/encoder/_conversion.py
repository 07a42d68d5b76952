"""Released checkpoints as files of our own format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .._validation import check_option, check_path
from ._saved import NOT_KNOWN, file_metadata, no_history
from ._weights import read_weights, write_weights

if TYPE_CHECKING:
    from .._typing import PathLike

# A released checkpoint was trained with these parameters of `MDJPTEncoder`.  It holds
# no scale of the features.
_PARAMETERS = {
    "unknown_channels": "drop",
    "missing_channels": "nearest",
    "window_norm": "robust",
    "subject_norm": "subject",
    "feature": "mean",
    "standardize": False,
}


def convert(
    checkpoint: PathLike,
    path: PathLike,
    *,
    released_activation: Literal["relu"] | None = "relu",
) -> None:
    """Write a released checkpoint in our own format.

    The file holds the weights that reach an output, the architecture, the channels and
    the rate, and a checksum.  `MDJPTEncoder.load` and ``MDJPTEncoder(weights=path)``
    read it.

    Parameters
    ----------
    checkpoint : str or path-like
        A released ``.ckpt``, with or without what PyTorch Lightning keeps beside the
        weights.
    path : str or path-like
        The new file, conventionally ending in ".safetensors".  A file that is there is
        replaced, at once or not at all.
    released_activation : {"relu", None}, default="relu"
        What follows the spatial mixing.  A checkpoint does not say; our file does.

    Raises
    ------
    ValueError
        If ``checkpoint`` is no released checkpoint, holds anything but tensors and
        plain values, or is a file of our format already; if both are the same file.
    FileNotFoundError, IsADirectoryError, OSError
        If there is no such file or folder, or the new file cannot be written.

    See Also
    --------
    MDJPTEncoder.save : Write a fitted encoder.

    Notes
    -----
    ``MDJPTEncoder.load(path)`` gives features as they come out of the network, of the
    order of 1e-4, as a checkpoint holds no scale of them.
    ``MDJPTEncoder(weights=path).fit(X)`` learns one.  Whom the weights were trained on
    is not known, and stays so.

    Examples
    --------
    >>> from sklearn_mdjpt import MDJPTEncoder, convert
    >>> def load(checkpoint):
    ...     convert(checkpoint, "mdjpt.safetensors")
    ...     return MDJPTEncoder.load("mdjpt.safetensors")
    """
    check_option(released_activation, ("relu", None), "released_activation")
    target = check_path(path, "The name of a weights file")
    content = read_weights(checkpoint, released_activation=released_activation)
    if content.metadata:
        raise ValueError(
            f"{str(checkpoint)!r} is a file of MDJPTEncoder.save already, and no "
            "released checkpoint."
        )
    if target.exists() and target.samefile(checkpoint):
        raise ValueError(
            f"{str(path)!r} is the checkpoint itself, which would be lost; give the "
            "new file another name."
        )
    metadata = file_metadata(_PARAMETERS, NOT_KNOWN, no_history())
    write_weights(path, content.state_dict, content.config, content.extra, metadata)
