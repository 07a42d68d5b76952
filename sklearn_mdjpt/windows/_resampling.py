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
def _ratio(sfreq, new_sfreq):
    """Return the ratio of two rates as the fraction that the filter works with."""
    ratio = Fraction(new_sfreq / sfreq).limit_denominator(_MAX_RATIO)
    if ratio == 0 or abs(float(ratio) * sfreq / new_sfreq - 1) > 1e-4:
        raise ValueError(f"Cannot resample from {sfreq} Hz to {new_sfreq} Hz.")
    return ratio


@functools.lru_cache
def _filter(ratio):
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
    ratio = float(_ratio(sfreq, new_sfreq))
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
    ratio = _ratio(sfreq, new_sfreq)
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


def resample_cuts(x, starts, n_times, sfreq, new_sfreq, picks, gaps=None):
    """Cut windows from a signal at another rate without resampling all of it.

    The numbers are, to the last bit, those of windows cut from ``resample(x, ...)``:
    the same line is taken out, and each window is resampled from as much of the signal
    as the filter sees, by the same sums.

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
    ratio = _ratio(sfreq, new_sfreq)
    up, down = ratio.numerator, ratio.denominator
    reach = len(_filter(ratio)) // (2 * up) + 1
    length = n_times * down // up + 2 * reach + down + 2
    base = _next_finite(x, picks, range(x.shape[1]), gaps)[1]
    last = _next_finite(x, picks, range(x.shape[1] - 1, -1, -1), gaps)[1]
    slope = (last - base) / max(1, x.shape[1] - 1)
    out = np.empty((len(picks), len(starts), n_times), np.float32)
    for i, start in enumerate(starts):
        # Both rates have a sample where this part begins.
        first = (start * down // up - reach) // down * down
        a, b = max(first, 0), min(first + length, x.shape[1])
        part = np.zeros((len(picks), length))
        inside = part[:, a - first : b - first]
        inside[:] = x[picks, a:b]
        if gaps is not None:
            inside[:, gaps[a:b]] = np.nan
        _bridge_part(inside, x, picks, a, gaps)
        inside -= base + slope * np.arange(a, b)
        skip = start - first // down * up
        new = _resample_part(part, ratio)[:, skip : skip + n_times]
        new += base + slope * (np.arange(start, start + n_times) / float(ratio))
        out[:, i] = new
    return out.swapaxes(0, 1)


def _bridge_part(part, x, picks, a, gaps):
    """Bridge ``part``, samples of x from a on, in place: as `bridge_gaps` does x."""
    holes = ~np.isfinite(part)
    if not holes.any():
        return
    lines = np.flatnonzero(holes.any(axis=1))
    # Where a gap goes on beyond the part, so does its bridge.
    before = _next_finite(x, picks[lines], range(a - 1, -1, -1), gaps)
    after = _next_finite(x, picks[lines], range(a + part.shape[1], x.shape[1]), gaps)
    ends = np.concatenate([*before, *after], axis=1)
    for line, (left_time, left, right_time, right) in zip(lines, ends, strict=True):
        inside = np.flatnonzero(~holes[line])
        times = np.concatenate([[left_time], a + inside, [right_time]])
        values = np.concatenate([[left], part[line, inside], [right]])
        known = np.isfinite(values)
        if known.any():
            missing = np.flatnonzero(holes[line])
            part[line, missing] = np.interp(a + missing, times[known], values[known])
        else:
            part[line] = np.nan


def _next_finite(x, picks, times, gaps):
    """Time and value, each (n_picks, 1), of a channel's first finite sample.

    In the order of ``times``, a range of step 1 or -1; NaN where there is none.
    """
    found = np.full((2, len(picks), 1), np.nan)
    left = np.arange(len(picks))
    step = 1
    while len(times) and len(left):
        some, times = times[:step], times[step:]
        low, high = sorted((some[0], some[-1]))
        part = x[:, low : high + 1][picks[left], :: some.step]
        finite = np.isfinite(part)
        if gaps is not None:
            finite &= ~gaps[low : high + 1][:: some.step]
        done = finite.any(axis=1)
        place = finite[done].argmax(axis=1)
        found[0, left[done], 0] = np.asarray(some)[place]
        found[1, left[done], 0] = part[done, place]
        left = left[~done]
        step *= 16
    return found


def _resample_part(x, ratio):
    up, down = ratio.numerator, ratio.denominator
    return resample_poly(x, up, down, axis=-1, window=_filter(ratio))


cache = BoundedCache(CACHE_BYTES)
