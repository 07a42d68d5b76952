"""Windows that came as an array: what stands in for a recording there."""

import numpy as np

from ._flaws import mix_channels
from ._resampling import cache, resample, resampled_length
from ._source import CACHED_SAMPLES, CHUNK_SAMPLES, Source, gather

# A stack this small, in bytes at the new rate, is resampled once and kept.
_STACK_CACHE_BYTES = 2**28


class WindowStack(Source):
    """Windows of one subject and session that came as an array.

    Parameters
    ----------
    base : ndarray of shape (n_base, n_channels, n_times)
        The array that the windows lie in; it is not copied.
    rows : ndarray of int, shape (n_windows,)
        Which windows of ``base`` are of this subject and session.
    ch_names, sfreq, positions
        As for `Recording`.

    Attributes
    ----------
    is_recording : bool
        Whether the windows count as one recording.  Those that an estimator was given
        as an array, Epochs or a braindecode dataset do not: the reader may normalise
        each of them by itself (``per_window`` of `CanonicalReader`).
    """

    is_continuous = False
    _kept = ("is_recording",)

    def __init__(self, base, rows, ch_names, sfreq, positions=None):
        rows = np.asarray(rows)
        # Neighbouring rows are a view; others stay indexed until they are read.
        if len(rows) and (np.diff(rows) == 1).all():
            base, rows = base[rows[0] : rows[-1] + 1], np.arange(len(rows))
        self._rows = rows
        self.is_recording = True
        super().__init__(base, ch_names, sfreq, positions)

    @classmethod
    def _restored(cls, signal, trials, **kept):
        """As for any source; a store keeps the rows in use only."""
        return super()._restored(signal, trials, _rows=np.arange(len(signal)), **kept)

    @property
    def shape(self):
        """``(n_windows, n_channels, n_times)``."""
        return (len(self._rows), *self._signal.shape[1:])

    @property
    def n_times(self):
        """Number of samples of one window."""
        return self._signal.shape[2]

    def windows(self, starts, n_times):
        """Return windows by their place in the stack."""
        return np.asarray(self.signal[self._rows[np.asarray(starts)]])

    def windows_at(self, starts, n_times, sfreq, picks=None):
        """Return windows at another rate, each resampled by itself.

        As for `Recording`; a stack that is not too large is resampled once.
        """
        picks = np.arange(self.n_channels) if picks is None else picks
        n_new = int(resampled_length(self.n_times, self.sfreq, sfreq))
        n_bytes = 4 * len(self._rows) * self.n_channels * n_new
        stack = None
        if sfreq != self.sfreq and n_bytes <= _STACK_CACHE_BYTES:
            self._check_derived()
            stack = cache.get(
                self,
                sfreq,
                lambda: resample(self.signal[self._rows], self.sfreq, sfreq),
                n_bytes=n_bytes,
            )
        if stack is not None:
            return gather(stack.swapaxes(0, 1), starts, picks)
        base = np.asarray(self.signal).swapaxes(0, 1)
        x = gather(base, self._rows[np.asarray(starts)], picks)
        return resample(x, self.sfreq, sfreq)

    def window_flaws(self, starts, n_times, picks=slice(None)):
        """As for `Recording`."""
        channels = np.arange(self.n_channels)[picks]
        not_finite = np.zeros(len(starts), bool)
        constant = np.zeros(len(starts), bool)
        step = max(1, CACHED_SAMPLES // (self.n_channels * self.n_times))
        for i in range(0, len(starts), step):
            x = self.windows(starts[i : i + step], n_times)
            finite = np.isfinite(x).all(axis=2)[:, channels]
            not_finite[i : i + step] = ~finite.all(axis=1)
            # Most windows move in the first channel; no other one is looked at then.
            still = x[:, channels[0]]
            still = np.flatnonzero((still == still[:, :1]).all(axis=1))
            x = x[still][:, channels]
            constant[i + still] = (x == x[:, :, :1]).all(axis=(1, 2))
        return not_finite, constant

    def flat_channels(self):
        """Return the names of channels that are constant in every window."""
        first = self.signal[self._rows[0]]
        flat = np.flatnonzero((first == first[:, :1]).all(axis=1))
        for chunk in self._chunks() if len(flat) else ():
            x = self.signal[chunk][:, flat]
            flat = flat[(x == x[:, :, :1]).all(axis=(0, 2))]
        return [self.ch_names[i] for i in flat]

    def parts(self):
        """Iterate over the windows of the stack, some at a time."""
        for chunk in self._chunks():
            yield np.asarray(self.signal[chunk])

    def _in_order(self, n_bytes):
        """As for `Recording`, some windows at a time.

        All windows that the amplitude is estimated from, and no others of the array.
        """
        signal = self.signal
        step = max(1, n_bytes // (signal[:1].nbytes or 1))
        for i in range(0, len(self._rows), step):
            yield signal[self._rows[i : i + step]]

    def _n_missing(self, starts):
        """Return how many windows came in the array before each and are not in X."""
        return starts - np.searchsorted(np.unique(starts), starts)

    def _mix(self, matrix):
        stack = np.empty((len(self._rows), len(matrix), self.n_times), np.float32)
        step = max(1, CACHED_SAMPLES // (self.n_channels * self.n_times))
        for i in range(0, len(stack), step):
            rows = self._rows[i : i + step]
            x = self.signal[rows].astype(float)
            stack[i : i + step] = mix_channels(matrix, x)
        self._signal, self._rows = stack, np.arange(len(stack))

    def _chunks(self):
        step = max(1, CHUNK_SAMPLES // (self.n_channels * self.n_times))
        for i in range(0, len(self._rows), step):
            yield (self._rows[i : i + step],)

    def __getstate__(self):
        if self._in_file() is None:
            # A pickle takes the rows in use, not the array they lie in.
            return super().__getstate__() | {
                "_signal": np.ascontiguousarray(self.signal[self._rows]),
                "_rows": np.arange(len(self._rows)),
            }
        return super().__getstate__()
