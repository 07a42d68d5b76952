"""Windows that cannot be used, by the channels that are; and mixing of these alone."""

import numpy as np

from .._validation import list_some, name_windows

_BATCH_SAMPLES = 2**20


def refuse_flaws(blocks, metadata, *, constant=False):
    """Raise where windows cannot be used, naming them and their channels.

    Only channels that are used count: what an unused one holds changes nothing.

    Parameters
    ----------
    blocks : sequence of (source, rows, starts, n_times, picks)
        Windows of recordings, as of `EEGWindows.blocks`, and the channels in use, an
        array of int.
    metadata : DataFrame
        As of `EEGWindows`.
    constant : bool, default=False
        Whether windows that are constant in every channel will do.

    Raises
    ------
    ValueError
        If windows hold NaN or inf, or are constant.
    """
    n = len(metadata)
    not_finite, still = np.zeros(n, bool), np.zeros(n, bool)
    channels = {}
    for source, rows, starts, n_times, picks in blocks:
        for length in np.unique(n_times):
            same = n_times == length
            bad, constant_ones = source.window_flaws(starts[same], length, picks)
            not_finite[rows[same]], still[rows[same]] = bad, constant_ones
            for name in _not_finite_channels(source, starts[same][bad], length, picks):
                channels[name] = None
    if not_finite.any():
        raise ValueError(
            f"{not_finite.sum()} of {n} windows hold NaN or inf: "
            f"{name_windows(np.flatnonzero(not_finite), metadata)}. Channels: "
            f"{list_some(channels)}. Leave out these windows or these channels."
        )
    if still.any() and not constant:
        raise ValueError(
            f"{still.sum()} of {n} windows are constant in every channel: "
            f"{name_windows(np.flatnonzero(still), metadata)}."
        )


def refuse_array_flaws(X, *, constant=False):
    """Raise where windows of an array cannot be used; all its channels count.

    Parameters
    ----------
    X : ndarray of shape (n_windows, n_channels, n_times)
        Windows.
    constant : bool, default=False
        As for `refuse_flaws`.

    Raises
    ------
    ValueError
        As of `refuse_flaws`.
    """
    bad = ~np.isfinite(X).all(axis=2)  # (n_windows, n_channels)
    if bad.any():
        rows = np.flatnonzero(bad.any(axis=1))
        raise ValueError(
            f"{len(rows)} of {len(X)} windows hold NaN or inf: windows "
            f"{list_some(rows)}. Channels, counted from 0: "
            f"{list_some(np.flatnonzero(bad.any(axis=0)))}."
        )
    still = (X == X[:, :, :1]).all(axis=(1, 2))
    if still.any() and not constant:
        raise ValueError(
            f"{still.sum()} of {len(X)} windows are constant in every channel: "
            f"windows {list_some(np.flatnonzero(still))}."
        )


def mix_channels(matrix, x):
    """Mix channels linearly; one of weight 0 adds nothing, whatever it holds.

    Parameters
    ----------
    matrix : ndarray of shape (n_new_channels, n_channels)
        The mixing.
    x : ndarray of shape (..., n_channels, n_times)
        Signals.

    Returns
    -------
    ndarray of shape (..., n_new_channels, n_times)
    """
    used = matrix.any(axis=0)
    # NaN times 0 is NaN.
    return matrix @ x if used.all() else matrix[:, used] @ x[..., used, :]


def _not_finite_channels(source, starts, n_times, picks):
    """Names of the channels in use that hold NaN or inf in any of some windows."""
    found = np.zeros(len(picks), bool)
    step = max(1, _BATCH_SAMPLES // (source.n_channels * int(n_times)))
    for first in range(0, len(starts), step):
        x = source.windows(starts[first : first + step], n_times)[:, picks]
        found |= ~np.isfinite(x).all(axis=(0, 2))
    return [source.ch_names[k] for k in np.asarray(picks)[found]]
