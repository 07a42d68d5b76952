"""Anti-aliased resampling, with a cache that is bounded in bytes."""

import functools
from fractions import Fraction

import numpy as np
from scipy.signal import firwin, resample_poly

from .._io._cache import BoundedCache

CACHE_BYTES = 2**28
"""Upper bound, in bytes, on resampled signals kept in memory by one process."""

_MAX_RATIO = 4096
_LINE_SAMPLES = 2**22


@functools.lru_cache
def rate_ratio(sfreq, new_sfreq):
    """Return the ratio of two rates as the fraction that the filter works with."""
    ratio = Fraction(new_sfreq / sfreq).limit_denominator(_MAX_RATIO)
    if ratio == 0 or abs(float(ratio) * sfreq / new_sfreq - 1) > 1e-4:
        raise ValueError(f"Cannot resample from {sfreq} Hz to {new_sfreq} Hz.")
    return ratio


@functools.lru_cache
def resampling_filter(ratio):
    """Return the default filter of `resample_poly`, which designs it in each call."""
    max_rate = max(ratio.numerator, ratio.denominator)
    if max_rate == 1:
        return np.ones(1)
    return firwin(20 * max_rate + 1, 1 / max_rate, window=("kaiser", 5.0))


def resampled_length(n_times, sfreq, new_sfreq):
    """Return how many samples ``n_times`` become at the new rate.

    By the very fraction that `resample` uses: with an odd rate such as 500.03 Hz
    windows would otherwise drift away from the resampled recording.
    """
    ratio = float(rate_ratio(sfreq, new_sfreq))
    return np.asarray(np.floor(np.asarray(n_times) * ratio + 0.5), int)


def bridge_gaps(x, gaps=None):
    """Replace NaN and inf by straight lines, channel by channel, in place.

    Filters run over the breaks between trials and over bad spans, where a gap must not
    spoil the windows around it.  (Windows that hold NaN themselves are refused
    elsewhere.)

    Parameters
    ----------
    x : ndarray of float, shape (n_lines, n_times)
        Signals; a line without any finite sample becomes NaN.
    gaps : ndarray of bool, shape (n_times,), default=None
        Samples that are gaps in every line, whatever they hold: bad spans.

    Returns
    -------
    ndarray of shape (n_lines, n_times)
        ``x`` itself.
    """
    gaps = ~np.isfinite(x) if gaps is None else ~np.isfinite(x) | gaps
    for line in np.flatnonzero(gaps.any(axis=1)):
        finite = np.flatnonzero(~gaps[line])
        if len(finite):
            missing = np.flatnonzero(gaps[line])
            x[line, missing] = np.interp(missing, finite, x[line, finite])
        else:
            x[line] = np.nan
    return x


def resample(x, sfreq, new_sfreq, gaps=None):
    """Resample along the last axis with a linear-phase anti-aliasing filter.

    SciPy's polyphase filter, whose gain is one half at the lower of the two Nyquist
    rates.  The line through the first and the last sample is taken out before and
    put back after, so that offsets of millivolts leave neither a transient at the
    borders nor the filter's ripple.  Samples that are not finite are bridged by
    straight lines.

    Parameters
    ----------
    x : ndarray of shape (..., n_times)
        Signals, in any unit.
    sfreq, new_sfreq : float
        Rates in hertz.
    gaps : ndarray of bool, shape (n_times,), default=None
        Samples that are bridged whatever they hold.

    Returns
    -------
    ndarray of shape (..., n_new_times)
        Float32, ``n_new_times = round(n_times * new_sfreq / sfreq)``.
    """
    x = np.asarray(x)
    if sfreq == new_sfreq:
        return x.astype(np.float32, copy=False)
    ratio = rate_ratio(sfreq, new_sfreq)
    n_new = int(resampled_length(x.shape[-1], sfreq, new_sfreq))
    out = np.empty((*x.shape[:-1], n_new), np.float32)
    lines, out_lines = x.reshape(-1, x.shape[-1]), out.reshape(-1, n_new)
    # A few lines at a time: SciPy works in float64, and a recording can be long.
    step = max(1, _LINE_SAMPLES // x.shape[-1])
    for i in range(0, len(lines), step):
        part = bridge_gaps(lines[i : i + step].astype(float), gaps)
        first, last = part[:, :1].copy(), part[:, -1:].copy()
        slope = (last - first) / max(1, x.shape[-1] - 1)
        part -= first + slope * np.arange(x.shape[-1])
        new = _resample_part(part, ratio)
        new = new[:, :n_new]
        new += first + slope * (np.arange(new.shape[1]) / float(ratio))
        out_lines[i : i + step, : new.shape[1]] = new
        # Rounding may ask for one sample more than the filter gives.
        out_lines[i : i + step, new.shape[1] :] = new[:, -1:]
    return out


def resample_windows(x, starts, n_times, sfreq, new_sfreq, picks, gaps=None):
    """Cut windows from a signal at another rate without resampling all of it.

    The numbers are, to the last bit, those of windows cut from ``resample(x, ...)``:
    the same line is taken out, and each window is resampled from as much of the signal
    as the filter sees, by the same sums.  It is for recordings that find no room in the
    cache: of an hour of 32 channels at 1000 Hz a window takes 9 ms and 6 MB in all,
    and 40 ms where a channel is dead and is searched from end to end for a sample.

    Parameters
    ----------
    x : ndarray of shape (n_channels, n_all_times)
        Signals.
    starts : ndarray of int, shape (n_windows,)
        First sample of each window, at the new rate.
    n_times : int
        Length of a window at the new rate.
    sfreq, new_sfreq : float
        Rates in hertz.
    picks : ndarray of int, shape (n_picks,)
        Channels to read.
    gaps : ndarray of bool, shape (n_all_times,), default=None
        As for `resample`.

    Returns
    -------
    ndarray of shape (n_windows, n_picks, n_times)
        Float32, in memory channel by channel.
    """
    ratio = rate_ratio(sfreq, new_sfreq)
    up, down = ratio.numerator, ratio.denominator
    reach = len(resampling_filter(ratio)) // (2 * up) + 1
    length = n_times * down // up + 2 * reach + down + 2
    base = _read_bridged(x, picks, 0, 1, gaps)
    last = _read_bridged(x, picks, x.shape[1] - 1, x.shape[1], gaps)
    slope = (last - base) / max(1, x.shape[1] - 1)
    out = np.empty((len(picks), len(starts), n_times), np.float32)
    for i, start in enumerate(starts):
        # Both rates have a sample where this part begins.
        first = (start * down // up - reach) // down * down
        a, b = max(first, 0), min(first + length, x.shape[1])
        part = np.zeros((len(picks), length))
        inside = part[:, a - first : b - first]
        inside[:] = _read_bridged(x, picks, a, b, gaps)
        inside -= base + slope * np.arange(a, b)
        skip = start - first // down * up
        new = _resample_part(part, ratio)[:, skip : skip + n_times]
        new += base + slope * (np.arange(start, start + n_times) / float(ratio))
        out[:, i] = new
    return out.swapaxes(0, 1)


def _read_bridged(x, picks, a, b, gaps):
    """Return samples a to b of some lines of x, as `bridge_gaps` makes them of all x.

    A gap that goes on beyond these samples is bridged from the nearest finite ones,
    however far away they are: the slice is widened, for such lines alone, until it
    holds them.
    """
    part = _read(x, picks, a, b, gaps)
    lines = np.flatnonzero(~np.isfinite(part[:, [0, -1]]).all(axis=1))
    low, high, reach = a, b, b - a
    while len(lines):
        low, high = max(low - reach, 0), min(high + reach, x.shape[1])
        wide = _read(x, picks[lines], low, high, gaps)
        finite = np.isfinite(wide)
        done = finite[:, : a - low + 1].any(axis=1) | (low == 0)
        done &= finite[:, b - low - 1 :].any(axis=1) | (high == x.shape[1])
        part[lines[done]] = bridge_gaps(wide[done])[:, a - low : b - low]
        lines = lines[~done]
        reach *= 16
    return bridge_gaps(part)


def _read(x, picks, a, b, gaps):
    """Return samples a to b of some lines in float64, with NaN in gaps."""
    part = x[:, a:b][picks].astype(float)
    if gaps is not None:
        part[:, gaps[a:b]] = np.nan
    return part


def _resample_part(x, ratio):
    up, down = ratio.numerator, ratio.denominator
    return resample_poly(x, up, down, axis=-1, window=resampling_filter(ratio))


cache = BoundedCache(CACHE_BYTES)
