"""Signals as they come: causal filters, resampling, and samples that are missing."""

import numpy as np
from scipy.signal import butter, sosfilt, sosfilt_zi, upfirdn

from ..windows._resampling import rate_ratio, resampling_filter


class CausalFilter:
    """A Butterworth band-pass that runs on from chunk to chunk.

    Parameters
    ----------
    l_freq, h_freq : float or None
        Edges in hertz; None leaves that side open.
    sfreq : float
        Sampling rate in hertz.
    order : int, default=4
        Order of each edge.
    """

    def __init__(self, l_freq, h_freq, sfreq, order=4):
        self._sections = None
        if l_freq is not None and h_freq is not None:
            edges, kind = (l_freq, h_freq), "bandpass"
        else:
            edges = h_freq if l_freq is None else l_freq
            kind = "lowpass" if l_freq is None else "highpass"
        if edges is not None:
            self._sections = butter(order, edges, kind, fs=sfreq, output="sos")
        self.reset()

    def reset(self):
        """Forget what came before."""
        self._state = None

    def push(self, x):
        """Filter the next samples (n_channels, n_times)."""
        if self._sections is None or not x.shape[1]:
            return x
        if self._state is None:
            # As if the first sample had been there for ever: no step at the start.
            rest = sosfilt_zi(self._sections)[:, None, :]
            self._state = rest * x[None, :, :1]
        out, self._state = sosfilt(self._sections, x, axis=1, zi=self._state)
        return out


class CausalResampler:
    """The filter of offline resampling, but for its ripple, run on from chunk to chunk.

    Sample k of the output belongs to the time k / new_sfreq, as offline; it comes as
    soon as all that the filter needs has come.

    Parameters
    ----------
    sfreq, new_sfreq : float
        Rates in hertz.

    Attributes
    ----------
    delay : float
        Seconds that an output waits for.
    """

    def __init__(self, sfreq, new_sfreq):
        ratio = rate_ratio(sfreq, new_sfreq)
        self._up, self._down = ratio.numerator, ratio.denominator
        self._taps = resampling_filter(ratio).copy()
        # Each phase lets a constant through as it is: a channel that stands still goes
        # on to stand still.
        for phase in range(self._up):
            self._taps[phase :: self._up] /= self._taps[phase :: self._up].sum()
        self._half = (len(self._taps) - 1) // 2
        self._same = sfreq == new_sfreq
        self.delay = 0.0 if self._same else self._half / (self._up * sfreq)
        self.reset()

    def reset(self):
        """Forget what came before."""
        self._x, self._start, self._next, self._base = None, 0, 0, 0.0

    def push(self, x):
        """Resample the next samples (n_channels, n_times); return what is ready."""
        if self._same:
            return x
        if not x.shape[1]:
            return x
        if self._x is None:
            # As if the first sample had been there for ever.
            self._base = x[:, :1].copy()
            self._x = np.zeros((len(x), -(-self._half // self._up)))
            self._start = -self._x.shape[1]
        self._x = np.concatenate([self._x, x - self._base], axis=1)
        last = self._start + self._x.shape[1] - 1
        n_ready = (last * self._up - self._half) // self._down + 1 - self._next
        if n_ready <= 0:
            return x[:, :0]
        # Outputs begin on a sample of `upfirdn` once zeros are put before the taps.
        offset = self._half - self._start * self._up
        n_zeros = -offset % self._down
        taps = np.concatenate([np.zeros(n_zeros), self._taps])
        skip = self._next + (offset + n_zeros) // self._down
        out = upfirdn(taps, self._x, self._up, self._down, axis=1)
        out = out[:, skip : skip + n_ready] + self._base
        self._next += n_ready
        # The first sample that the next output needs.
        first = -(-(self._next * self._down - self._half) // self._up)
        keep = max(first - self._start, 0)
        self._x, self._start = self._x[:, keep:].copy(), self._start + keep
        return out


class Samples:
    """Fills in samples that are missing, and says where too many are.

    Parameters
    ----------
    n_channels : int
        Number of channels.
    max_gap : int
        Most samples in a row that are filled in.
    """

    def __init__(self, n_channels, max_gap):
        self.n_channels, self.max_gap = n_channels, max_gap
        self.reset()

    def reset(self):
        """Forget what came before."""
        self._last, self._missing = None, 0

    @property
    def n_missing(self):
        """Samples that are missing since the last one that came."""
        return self._missing

    def skip(self, n_samples):
        """Count samples that never came."""
        self._missing += n_samples

    def push(self, x):
        """Take the next samples in.

        Parameters
        ----------
        x : ndarray of shape (n_channels, n_times)
            The samples; NaN or inf are missing.

        Yields
        ------
        n_lost : int
            Samples that are lost before these: filters must begin anew if there are
            any.
        x : ndarray of shape (n_channels, n_some_times)
            Samples, missing ones filled in.
        """
        there = np.isfinite(x).any(axis=0)
        starts = np.flatnonzero(np.diff(there, prepend=False) & there)
        stops = np.flatnonzero(np.diff(there, append=False) & there) + 1
        position = 0
        for start, stop in zip(starts, stops, strict=True):
            self._missing += start - position
            position = stop
            part = self._hold(x[:, start:stop])
            lost, bridge = 0, part[:, :0]
            if self._missing > self.max_gap or self._last is None:
                lost = self._missing
            elif self._missing:
                share = np.arange(1, self._missing + 1) / (self._missing + 1)
                step = part[:, :1] - self._last[:, None]
                bridge = self._last[:, None] + share * step
            self._missing, self._last = 0, part[:, -1].copy()
            yield lost, np.concatenate([bridge, part], axis=1)
        self._missing += x.shape[1] - position

    def _hold(self, x):
        """Hold the last value of channels that are missing alone."""
        bad = ~np.isfinite(x)
        if not bad.any():
            return x
        before = np.zeros(len(x)) if self._last is None else self._last
        padded = np.concatenate([before[:, None], np.where(bad, 0.0, x)], axis=1)
        known = np.concatenate([np.ones((len(x), 1), bool), ~bad], axis=1)
        place = np.where(known, np.arange(known.shape[1]), 0)
        place = np.maximum.accumulate(place, axis=1)
        return np.take_along_axis(padded, place, axis=1)[:, 1:]


def channel_spread(x):
    """Return the median distance of each channel's samples from their median."""
    return np.median(np.abs(x - np.median(x, axis=1, keepdims=True)), axis=1)


class Moves:
    """Remembers which samples that came in differ from the one before.

    Parameters
    ----------
    n_channels : int
        Number of channels.
    """

    def __init__(self, n_channels):
        self._moves, self._first = np.zeros((n_channels, 0), bool), 0
        self._last = np.full((n_channels, 1), np.nan)

    def push(self, x):
        """Take the next samples (n_channels, n_times) in."""
        if x.shape[1]:
            new = np.diff(x, axis=1, prepend=self._last) != 0
            self._moves = np.concatenate([self._moves, new], axis=1)
            self._last = x[:, -1:].copy()

    def between(self, start, stop):
        """Return those of some samples, counted from the first; forget earlier ones."""
        n = max(start - self._first, 0)
        self._moves, self._first = self._moves[:, n:].copy(), self._first + n
        return self._moves[:, : stop - self._first]


class DeadChannels:
    """Replaces channels of a window that do not move by the mean of their neighbours.

    Parameters
    ----------
    positions : ndarray of shape (n_channels, 3)
        Where the electrodes are; NaN where that is not known.
    flat : float
        A channel is dead below this share of the median spread of all.
    n_neighbours : int
        How many living channels a dead one is made of.
    """

    def __init__(self, positions, flat, n_neighbours):
        self.flat, self.n_neighbours = flat, n_neighbours
        self._means = np.zeros((len(positions), 1))  # of when they last lived
        distances = np.linalg.norm(positions[:, None] - positions, axis=2)
        self._distances = np.where(np.isnan(distances), np.inf, distances)

    def find(self, x, moves):
        """Return which channels of a window are dead.

        Parameters
        ----------
        x : ndarray of shape (n_channels, n_times)
            Filtered and resampled, so that what stood still may still ring.
        moves : ndarray of bool, shape (n_channels, n_samples)
            Whether each sample that came in differs from the one before.
        """
        spread = channel_spread(x)
        moving = spread[spread > 0]
        limit = self.flat * np.median(moving) if moving.size else np.inf
        return (spread < limit) | (moves.mean(axis=1) < 0.5)

    def too_many(self, dead):
        """Whether too few channels live to make up for the dead ones."""
        return np.count_nonzero(~dead) < max(self.n_neighbours, len(dead) / 2)

    def repair(self, x, dead):
        """Return the window with its dead channels replaced; None if too few live."""
        live = np.flatnonzero(~dead)
        means = x.mean(axis=1, keepdims=True)
        self._means[live] = means[live]
        if self.too_many(dead):
            return None
        x = x.copy()
        for k in np.flatnonzero(dead):
            near = live[np.argsort(self._distances[k, live], kind="stable")]
            near = near[: self.n_neighbours]
            x[k] = self._means[k] + (x[near] - means[near]).mean(axis=0)
        return x
