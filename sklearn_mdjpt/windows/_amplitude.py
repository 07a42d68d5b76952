"""The amplitude of a signal: robust mean and scale, which outliers do not move."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np

_MEDIAN_SAMPLES = 2**21

OUTLIER_FACTOR = 30.0
"""What counts for the amplitude is below this many times the median magnitude."""


def amplitude_statistics(source, picks, leave_out_padding=True):
    """Return centre and scale of some channels; see `Recording.robust_statistics`.

    Parameters
    ----------
    source : Recording or WindowStack
        What has the signal.
    picks : list of int
        Channels that take part.
    leave_out_padding : bool, default=True
        Whether stretches in which no channel moves do not count.
    """
    chunks, kept = list(source._chunks()), []
    total, count = np.zeros(len(picks)), np.zeros(len(picks))
    value, flat = None, np.ones(len(picks), bool)
    for chunk in chunks:
        raw = np.asarray(source.signal[chunk])
        keep = _not_padding(raw, picks, source.sfreq) if leave_out_padding else None
        kept.append(keep)
        x = _samples(raw, picks, keep).astype(float)
        finite = np.isfinite(x)
        total += np.where(finite, x, 0.0).sum(axis=1)
        count += finite.sum(axis=1)
        if x.shape[1]:
            value = x[:, 0] if value is None else value
            flat &= x[:, -1] == value
            some = np.flatnonzero(flat)
            flat[some] = (x[some] == value[some, None]).all(axis=1)
    if value is None and leave_out_padding:
        return amplitude_statistics(source, picks, leave_out_padding=False)
    mean = total / np.maximum(count, 1)
    # Rounding would leave a flat channel next to nothing instead of nothing.
    mean = mean if value is None else np.where(flat, value, mean)

    stride = int(max(1, np.ceil(count.sum() / _MEDIAN_SAMPLES)))
    # Each window of a stack is thinned by itself: their order must not matter.
    thinned = [
        _samples(source.signal[chunk], picks, keep, stride) - mean[:, None]
        for chunk, keep in zip(chunks, kept, strict=True)
    ]
    magnitude = np.abs(np.concatenate(thinned, axis=1))
    # Flat channels tell nothing of the amplitude of the others.
    magnitude = magnitude[np.isfinite(magnitude) & (magnitude > 0)]
    limit = OUTLIER_FACTOR * np.median(magnitude) if magnitude.size else 0.0

    n, first, second = 0, 0.0, 0.0
    for chunk, keep in zip(chunks, kept, strict=True):
        x = _samples(source.signal[chunk], picks, keep) - mean[:, None]
        x = x[np.abs(x) < limit]
        n, first, second = n + x.size, first + x.sum(), second + (x * x).sum()
    if n == 0:
        return mean, 1.0
    shift = first / n
    scale = np.sqrt(max(second / n - shift**2, 0.0))
    return mean + shift, float(scale) if scale > 0 else 1.0


class Amplitude(NamedTuple):
    """The amplitude of one person's signals, in their unit.

    Attributes
    ----------
    centers : dict of str to float
        Centre of each channel, by the name of its site.
    scale : float
        One robust SD.
    """

    centers: dict[str, float]
    scale: float


def windows_amplitude(parts):
    """Return the amplitude of windows, by the rule of `amplitude_statistics`.

    Parameters
    ----------
    parts : list of (list of str, ndarray of shape (n_windows, n_channels, n_times))
        Sites of the channels, and windows of any lengths.

    Returns
    -------
    Amplitude
    """
    sums, counts = defaultdict(float), defaultdict(int)
    for sites, x in parts:
        totals = x.sum(axis=(0, 2), dtype=float)
        for site, total in zip(sites, totals, strict=True):
            sums[site] += total
            counts[site] += x[:, 0].size
    means = {site: total / counts[site] for site, total in sums.items()}
    centred = [_less(x, [means[site] for site in sites]) for sites, x in parts]
    stride = int(max(1, np.ceil(sum(x.size for x in centred) / _MEDIAN_SAMPLES)))
    magnitude = np.concatenate([np.abs(x[..., ::stride]).ravel() for x in centred])
    # Flat channels tell nothing of the amplitude of the others.
    magnitude = magnitude[magnitude > 0]
    limit = OUTLIER_FACTOR * np.median(magnitude) if magnitude.size else 0.0
    inside = [x[np.abs(x) < limit].astype(float) for x in centred]
    n = sum(x.size for x in inside)
    if n == 0:
        return Amplitude(means, 1.0)
    shift = sum(x.sum() for x in inside) / n
    variance = sum(np.square(x).sum() for x in inside) / n - shift**2
    scale = float(np.sqrt(max(variance, 0.0)))
    centers = {site: float(mean + shift) for site, mean in means.items()}
    return Amplitude(centers, scale if scale > 0 else 1.0)


def _less(x, center):
    """Take a number out of each channel (n, n_channels, n_times); exact if flat."""
    # In float64: offsets of millivolts dwarf microvolts of EEG.
    centred = np.empty_like(x)
    np.subtract(x, np.array(center)[:, None], out=centred, casting="same_kind")
    flat = (x == x[:1, :, :1]).all(axis=(0, 2))
    centred[:, flat] = 0.0
    return centred


def channels_first(x):
    """(n_channels, n) as it is; (n_windows, n_channels, n_times) flattened to it."""
    x = np.asarray(x)
    if x.ndim == 2:
        return x
    return x.transpose(1, 0, 2).reshape(x.shape[1], -1)  # (C, n_windows * n_times)


def _samples(x, picks, keep, stride=1):
    """Every so many samples of some channels, (n_picks, n), of those that are kept."""
    x = channels_first(x[..., ::stride])[picks]
    return x if keep is None else x[:, keep[:, ::stride].ravel()]


def _not_padding(x, picks, n_least):
    """Say which samples (n_windows, n_times) are no padding; None if all are.

    Padding are at least ``n_least`` samples in a row at which no picked channel moves:
    fewer can be chance, where a signal is stored in coarse steps.
    """
    x = x if x.ndim == 3 else x[None]
    still = np.ones((len(x), x.shape[2] - 1), bool)
    for pick in picks:
        line = x[:, pick]
        still &= line[:, 1:] == line[:, :-1]
        if not still.any():
            return None
    steps = np.diff(np.pad(still, [(0, 0), (1, 1)]).astype(np.int8), axis=1)
    windows, starts = np.nonzero(steps == 1)
    stops = np.nonzero(steps == -1)[1] + 1
    long = stops - starts >= n_least
    if not long.any():
        return None
    keep = np.ones((len(x), x.shape[2]), bool)
    for window, start, stop in zip(
        windows[long], starts[long], stops[long], strict=True
    ):
        keep[window, start:stop] = False
    return keep
