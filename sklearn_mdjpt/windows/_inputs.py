"""Whatever a user passes as X, as EEGWindows."""

import sys
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .._validation import check_numeric, check_sfreq
from ..channels._channels import CANONICAL_CHANNELS
from ._braindecode import read_dataset
from ._cutting import COLUMNS
from ._epochs import read_epochs
from ._flaws import refuse_array_flaws, refuse_flaws
from ._windows import EEGWindows

if TYPE_CHECKING:
    from braindecode.datasets import BaseConcatDataset
    from numpy.typing import ArrayLike

    from .._typing import Epochs

# What estimators take as X, for type checkers.
Windows: TypeAlias = "EEGWindows | Epochs | BaseConcatDataset | ArrayLike"


def as_windows(X, *, ch_names=None, sfreq=None):
    """Return X as EEGWindows.

    Parameters
    ----------
    X : EEGWindows, array-like (n_windows, n_channels, n_times), mne.Epochs, list of \
mne.Epochs, or braindecode BaseConcatDataset
        Windows.
    ch_names : sequence of str, default=None
        Channels of an array; the canonical ones where None and it has 60.
    sfreq : float, default=None
        Sampling rate of an array, in hertz.

    Returns
    -------
    EEGWindows
        Where X was something else, its windows count as no recording
        (`WindowStack.is_recording`).
    """
    kind = _kind(X)
    if kind == "windows":
        windows = X
    elif kind == "epochs":
        # Rows stay as they are: a mark is for who makes the windows to heed.
        windows, *_ = read_epochs(EEGWindows, X, dict.fromkeys(COLUMNS))
    elif kind == "braindecode":
        windows, _ = read_dataset(EEGWindows, X)
    else:
        windows = _from_array(X, ch_names, sfreq)
    if not len(windows):
        raise ValueError("X has no windows; at least one is expected.")
    if windows is not X:
        for stack in windows.recordings:
            stack.is_recording = False
    return windows


def is_array(X):
    """Whether X is none of the containers that know their own channels."""
    return _kind(X) == "array"


def check_window_array(X):
    """Return X as a numeric array (n_windows, n_channels, n_times)."""
    X = check_numeric(np.asarray(X), "X")
    if X.ndim != 3:
        raise ValueError(
            "X must be EEGWindows, mne.Epochs or an array of shape (n_windows, "
            f"n_channels, n_times), got {X.ndim} dimensions: {X.shape}."
        )
    if 0 in X.shape[1:]:
        raise ValueError(f"X has no channels or no samples: shape {X.shape}.")
    return X


def check_finite(X, channels=None, *, constant=True):
    """Raise where windows (EEGWindows or 3-D array) cannot be used, naming them.

    Parameters
    ----------
    X : EEGWindows or ndarray of shape (n_windows, n_channels, n_times)
        Windows.
    channels : CommonChannels or ChosenChannels, default=None
        Which channels of EEGWindows are used; None: all.
    constant : bool, default=True
        Whether windows that are constant in every channel will do.

    Raises
    ------
    ValueError
        If windows hold NaN or inf in a channel that is used, or are constant.
    """
    if not isinstance(X, EEGWindows):
        refuse_array_flaws(X, constant=constant)
        return
    blocks = (
        (*block, np.arange(block[0].n_channels) if channels is None
         else channels.picks(block[0]))
        for block in X.blocks()
    )  # fmt: skip
    refuse_flaws(blocks, X.metadata, constant=constant)


def _from_array(X, ch_names, sfreq):
    if hasattr(X, "first_samp") or type(X).__name__ == "Recording":
        raise ValueError(
            f"X is a {type(X).__name__}, which is not cut into windows: use "
            "EEGWindows.from_recordings([Recording.from_raw(raw, ...)])."
        )
    if isinstance(X, list | tuple) and X and isinstance(X[0], EEGWindows):
        raise ValueError("X is a list of EEGWindows: join them with concat_windows.")
    try:
        X = X if isinstance(X, np.ndarray) else np.asarray(X)
    except ValueError as error:
        raise ValueError(
            "X does not make one array; windows of several montages or lengths go "
            f"into EEGWindows ({error})."
        ) from error
    if X.ndim != 3 or X.dtype.kind not in "fiu":
        raise ValueError(
            "X must be EEGWindows, mne.Epochs, a braindecode dataset or a numeric array"
            f" of shape (n_windows, n_channels, n_times); got {type(X).__name__} of "
            f"shape {X.shape} and dtype {X.dtype}."
        )
    if sfreq is None:
        raise ValueError(
            "Unknown sampling rate: for arrays set sfreq=, in hertz (EEGWindows and "
            "Epochs bring their own)."
        )
    if ch_names is None:
        if X.shape[1] != len(CANONICAL_CHANNELS):
            raise ValueError(
                f"X has {X.shape[1]} channels and ch_names is not set; only 60 "
                "channels are taken for the canonical ones."
            )
        ch_names = CANONICAL_CHANNELS
    return EEGWindows.from_arrays(X, ch_names=ch_names, sfreq=check_sfreq(sfreq))


def _kind(X):
    """Return "windows", "epochs" (also for lists of them), "braindecode" or "array"."""
    if isinstance(X, EEGWindows):
        return "windows"
    first = X[0] if isinstance(X, list | tuple) and X else X
    # Without Epochs or datasets these packages, slow to import, are not needed.
    mne, base = map(sys.modules.get, ("mne", "braindecode.datasets.base"))
    if mne is not None and isinstance(first, mne.BaseEpochs):
        return "epochs"
    if base is not None and isinstance(X, base.BaseConcatDataset):
        return "braindecode"
    return "array"
