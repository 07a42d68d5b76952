"""Reading windows as the encoder sees them: 60 channels, 125 Hz, one scale."""

import hashlib
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from .._validation import list_some, warn
from ..channels._channels import (
    CANONICAL_CHANNELS,
    CANONICAL_SFREQ,
    channel_matrix,
    site_names,
)
from ._amplitude import OUTLIER_FACTOR, windows_amplitude
from ._flaws import refuse_flaws
from ._resampling import resampled_length
from ._source import CACHED_SAMPLES


class CanonicalReader:
    """Windows on the canonical channels, read in batches.

    All that can be said of a recording once (its channel matrix, the statistics of
    its amplitude) is found when the reader is made; ``read`` then costs a slice and a
    matrix product.

    Parameters
    ----------
    X : EEGWindows
        Windows of any montages, rates and lengths.
    sfreq : float, default=125.0
        Rate, in hertz, to read at.
    window_norm : {"robust", None}, default="robust"
        "robust" removes the mean of each channel and divides by one robust SD for
        each recording (`Recording.robust_statistics`).
    per_window : bool, default=False
        Whether "robust" takes each window by itself where the windows are no part of a
        recording (`WindowStack.is_recording`).
    unknown_channels, missing_channels, neighbours
        As for `sklearn_mdjpt.channels.channel_matrix`.
    channels : CommonChannels or ChosenChannels, default=None
        Other channels than the canonical ones to map recordings to.

    Attributes
    ----------
    n_times : ndarray of int, shape (n_windows,)
        Length of each window at the reader's rate.
    """

    def __init__(
        self,
        X,
        *,
        sfreq=CANONICAL_SFREQ,
        window_norm="robust",
        per_window=False,
        unknown_channels="drop",
        missing_channels="nearest",
        neighbours="mne",
        channels=None,
    ):
        self._X = X
        self.n_channels = len(channels.names if channels else CANONICAL_CHANNELS)
        self.sfreq = sfreq
        self.window_norm = window_norm
        self.per_window = per_window
        # The fixed amplitude of each window, -1 where it is the recording's own.
        self._amplitude_of, self._amplitudes = np.full(len(X), -1), []
        self._blocks = []
        self._block_of = np.empty(len(X), int)
        self._row_in_block = np.empty(len(X), int)
        self.n_times = np.empty(len(X), int)
        mixings = {}
        for source, rows, starts, n_times in X.blocks():
            positions = source.positions
            key = (
                source.ch_names,
                None if positions is None else positions.tobytes(),
            )
            if key not in mixings:
                if channels is None:
                    matrix = channel_matrix(
                        source.ch_names,
                        positions=positions,
                        unknown_channels=unknown_channels,
                        missing_channels=missing_channels,
                        neighbours=neighbours,
                    )
                else:
                    matrix = channels.matrix(source)
                    matrix = np.eye(self.n_channels) if matrix is None else matrix
                picks = np.flatnonzero(matrix.any(axis=0))
                # A row has at most three entries.  Dense, the product would wake the
                # BLAS library's threads, which then keep those of torch waiting:
                # training takes 1.6 times as long.
                mixings[key] = picks, csr_array(matrix[:, picks].astype(np.float32))
            self._block_of[rows] = len(self._blocks)
            self._row_in_block[rows] = np.arange(len(rows))
            self.n_times[rows] = resampled_length(n_times, source.sfreq, sfreq)
            self._blocks.append(_Block(source, rows, starts, n_times, *mixings[key]))

    def check(self, min_times=1):
        """Raise where windows cannot be used; warn of flat channels.

        Parameters
        ----------
        min_times : int, default=1
            Shortest window, in samples at the reader's rate, that the model takes.

        Raises
        ------
        ValueError
            Windows that hold NaN or inf, that are constant in every channel, or that
            are too short; the message names the windows.  Channels that are not used
            do not count.
        """
        n = len(self.n_times)
        short = np.flatnonzero(self.n_times < min_times)
        if len(short):
            raise ValueError(
                f"Windows are too short for the model: {len(short)} of {n} have fewer "
                f"than {min_times} samples at {self.sfreq:g} Hz "
                f"({min_times / self.sfreq:.3g} s), the first is window {short[0]} "
                f"with {self.n_times[short[0]]} samples."
            )
        refuse_flaws((block[:-1] for block in self._blocks), self._X.metadata)
        flat = {}
        for source, *_, picks, _ in self._blocks:
            for name in source.flat_channels():
                if source.ch_names.index(name) in picks:
                    flat[name] = flat.get(name, 0) + 1
        if flat:
            listed = list_some(
                f"{name} (in {count} recording{'s' * (count > 1)})"
                for name, count in flat.items()
            )
            warn(f"Flat channels: {listed}.")

    def digest(self, window):
        """Return bytes that tell a window's signal, as it was given, from others."""
        block, row = self._blocks[self._block_of[window]], self._row_in_block[window]
        x = block.source.windows(block.starts[[row]], block.n_times[row])
        return hashlib.blake2b(x.tobytes(), digest_size=8).digest()

    def read(self, rows):
        """Return windows of one length on the canonical (or other) channels.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
            Windows of X, all of the same length at the reader's rate.

        Returns
        -------
        ndarray of shape (n, n_channels, n_times)
            Float32.
        """
        rows = np.asarray(rows)
        lengths = np.unique(self.n_times[rows])
        if len(lengths) > 1:
            raise ValueError(f"Windows of several lengths: {list_some(lengths)}.")
        n_new = int(lengths[0]) if len(lengths) else 0
        out = np.empty((len(rows), self.n_channels, n_new), np.float32)
        blocks, fixed = self._block_of[rows], self._amplitude_of[rows]
        for k, number in sorted({*zip(blocks.tolist(), fixed.tolist(), strict=True)}):
            mine = np.flatnonzero((blocks == k) & (fixed == number))
            amplitude = None if number < 0 else self._amplitudes[number]
            out[mine] = self._read_block(
                self._blocks[k], self._row_in_block[rows[mine]], amplitude
            )
        return out

    def amplitude(self, rows):
        """Return the amplitude of some windows, for `fix_amplitudes`.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
            Windows of X.

        Returns
        -------
        Amplitude
            At the windows' own rates.
        """
        rows = np.asarray(rows)
        parts = []
        for k in np.unique(self._block_of[rows]):
            block = self._blocks[k]
            mine = self._row_in_block[rows[self._block_of[rows] == k]]
            for length in np.unique(block.n_times[mine]):
                same = mine[block.n_times[mine] == length]
                x = block.source.windows(block.starts[same], length)[:, block.picks]
                parts.append((block.sites(), x.astype(np.float32, copy=False)))
        return windows_amplitude(parts)

    def fix_amplitudes(self, people, amplitudes):
        """Fix the amplitudes of some people: nothing else of a recording counts.

        Parameters
        ----------
        people : ndarray of str or None, shape (n_windows,)
            The person of each window.
        amplitudes : dict of str to Amplitude
            Of some of them.

        Raises
        ------
        ValueError
            If a window has a channel that the amplitude of its person lacks.
        """
        for block in self._blocks:
            for name in {*people[block.rows]} & amplitudes.keys():
                known = amplitudes[name].centers
                new = [site for site in block.sites() if site not in known]
                if new:
                    raise ValueError(
                        f"{name} was calibrated without the channels {list_some(new)}, "
                        "which the windows have: calibrate with the same cap."
                    )
        self._amplitudes = [*amplitudes.values()]
        numbers = {name: k for k, name in enumerate(amplitudes)}
        self._amplitude_of = np.array([numbers.get(name, -1) for name in people])

    def _read_block(self, block, rows, amplitude):
        source, _, starts, n_times, picks, weights = block
        # (n, n_picks, n_times), in memory channel by channel
        x = source.windows_at(starts[rows], n_times[rows[0]], self.sfreq, picks)
        if self.window_norm == "robust":
            if amplitude is None and self.per_window and not source.is_recording:
                x = _normalise_each(x)
            else:
                if amplitude is None:
                    center, scale = source.robust_statistics(picks)
                else:
                    center, scale = block.known(amplitude)
                # In float64: offsets of millivolts dwarf microvolts of EEG.
                np.subtract(x, center[:, None], out=x, casting="same_kind")
                weights = weights * np.float32(1 / scale)
        lines = x.swapaxes(0, 1).reshape(len(picks), -1)  # (n_picks, n * n_times)
        mixed = (weights @ lines).reshape(-1, len(x), x.shape[2])
        return mixed.swapaxes(0, 1)


class _Block(NamedTuple):
    """The windows of one recording, and its map to the canonical channels."""

    source: object
    rows: np.ndarray
    starts: np.ndarray
    n_times: np.ndarray
    picks: np.ndarray
    weights: csr_array

    def sites(self):
        """Return the sites of the channels that are used."""
        names = site_names(self.source.ch_names)
        return [names[pick] for pick in self.picks]

    def known(self, amplitude):
        """Return centre by channel, and scale, of an amplitude known beforehand."""
        center = [amplitude.centers[site] for site in self.sites()]
        return np.array(center), amplitude.scale


def _normalise_each(x):
    """Robust z-score of each window by itself (n_windows, n_channels, n_times)."""
    out = np.empty_like(x)
    step = max(1, CACHED_SAMPLES // x[0].size)
    for i in range(0, len(x), step):
        out[i : i + step] = _normalise_some(x[i : i + step])
    return out


def _normalise_some(x):
    x = x - x.mean(axis=2, keepdims=True, dtype=float)
    magnitude = np.abs(x)
    center, scale = x.mean(axis=(1, 2)), x.std(axis=(1, 2))
    # Where more than half of the samples exceed a thirtieth of the largest one, so
    # does their median, which need not be found: there is no outlier.
    largest = magnitude.max(axis=(1, 2), keepdims=True)
    n_large = np.count_nonzero(OUTLIER_FACTOR * magnitude > largest, axis=(1, 2))
    for i in np.flatnonzero(2 * n_large <= magnitude[0].size):
        # As in a recording, flat channels tell nothing of the others' amplitude.
        live = magnitude[i][magnitude[i] > 0]
        limit = OUTLIER_FACTOR * np.median(live) if live.size else 0.0
        inside = x[i][magnitude[i] < limit]
        center[i], scale[i] = (inside.mean(), inside.std()) if inside.size else (0, 0)
    scale[scale == 0] = 1.0
    return (x - center[:, None, None]) / scale[:, None, None]
