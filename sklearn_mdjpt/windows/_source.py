"""What recordings and stacks of windows have in common."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .._io._signals import (
    SignalInFile,
    map_stamp,
    mapped_file,
    memmap_root,
    signal_in_file,
)
from .._validation import check_ch_names, check_positions, check_sfreq
from ..channels._channels import site_names
from ._amplitude import amplitude_statistics
from ._content import signal_parts
from ._resampling import cache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

CHUNK_SAMPLES = 2**22
"""So many samples of a long signal are worked on at once."""

CACHED_SAMPLES = 2**17
"""As many samples, in float64, stay in the processor's cache."""


class Source:
    """Channels, rate and robust statistics of a signal that windows are cut from."""

    _mix: Callable[[np.ndarray], None]
    _statistics: dict[tuple[int, ...], tuple[np.ndarray, float]]
    trials: pd.DataFrame | None = None
    # What a store keeps beside channels, rate, signal and trials.
    _kept: tuple[str, ...] = ()

    def __init__(self, signal, ch_names, sfreq, positions):
        self._signal = signal
        self.sfreq = check_sfreq(sfreq)
        self.ch_names = check_ch_names(ch_names, signal.shape[-2])
        self.positions = check_positions(positions, len(self.ch_names))
        self._file = mapped_file(signal)
        self.__dict__ |= _no_derived(signal)

    @classmethod
    def _restored(cls, signal, trials, *, ch_names, sfreq, positions, **kept) -> Self:
        """Make one of what a store has kept.

        Without the constructor: what was saved has been checked, which would take
        longer than all else where there are thousands of recordings.
        """
        self = cls.__new__(cls)
        Source.__init__(self, signal, ch_names, sfreq, positions)
        self.__dict__ |= kept if trials is None else kept | {"trials": trials}
        return self

    def _saved(self) -> dict[str, Any]:
        """Return what a store keeps, but signal and trials, as JSON holds it."""
        kept = {name: getattr(self, name) for name in self._kept}
        positions = None if self.positions is None else self.positions.tolist()
        return {
            "ch_names": self.ch_names, "sfreq": self.sfreq, "positions": positions,
        } | kept  # fmt: skip

    @property
    def signal(self) -> np.ndarray:
        """The samples: an array, or what is read from a file when it is asked for."""
        if isinstance(self._signal, SignalInFile):
            return self._signal.open()
        return self._signal

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.ch_names)

    def robust_statistics(self, picks: Sequence[int]) -> tuple[np.ndarray, float]:
        """Centre of each picked channel and one scale for them all.

        After each channel's mean is removed, mean and SD are taken over the samples
        with ``|x| < 30 * median(|x|)``, all picked channels together (mdJPT,
        arXiv:2510.22197, amplitude normalisation).  Samples outside the trials, in bad
        spans, and samples that are not finite do not count.  The median is taken over
        at most two million evenly spaced samples.  Padding does not count either:
        stretches of a second and more in which every picked channel stays the same.

        Parameters
        ----------
        picks : sequence of int
            Channels that take part.

        Returns
        -------
        center : ndarray of shape (n_picks,)
            In the signal's unit.
        scale : float
            In the signal's unit; 1.0 if the picked channels are constant.
        """
        self._check_derived()
        picks = tuple(int(pick) for pick in picks)
        if picks not in self._statistics:
            self._statistics[picks] = amplitude_statistics(self, list(picks))
        return self._statistics[picks]

    def mixed(
        self, matrix: np.ndarray, ch_names: Sequence[str], *, keep_sites: bool = False
    ) -> Self:
        """Return a copy with channels mixed linearly, ``matrix @ signal`` (float32).

        Parameters
        ----------
        matrix : ndarray of shape (n_new_channels, n_channels)
            The mixing.
        ch_names : sequence of str
            Names of the new channels.
        keep_sites : bool, default=False
            Whether channels keep their names, in any order, and with them their
            digitised positions, which are dropped otherwise.

        Returns
        -------
        Recording or WindowStack
        """
        positions = None
        if keep_sites and self.positions is not None:
            old = site_names(self.ch_names)
            positions = self.positions[[old.index(n) for n in site_names(ch_names)]]
        other = copy.copy(self)
        other._mix(matrix)
        other.ch_names = check_ch_names(ch_names, len(matrix))
        other.positions = positions
        other._file = None
        other.__dict__ |= _no_derived(other._signal)
        return other

    def _check_derived(self):
        """Forget what was derived from a mapped file that was written since.

        A signal that is to be read from its file raises where that has changed.
        """
        if isinstance(self._signal, SignalInFile):
            self._signal.check(held=True)
        elif map_stamp(self._signal) != self._derived_from:
            self._forget()

    def _forget(self):
        """Forget statistics and resampled signals: the samples are other ones now."""
        self.__dict__ |= _no_derived(self._signal)
        cache.forget(self)

    def __getstate__(self):
        # What reading derives is no part of the pickle: using windows must not change
        # their hash.
        state = self.__dict__ | {"_statistics": {}, "_derived_from": None}
        reference = self._in_file()
        if reference is not None:
            state["_signal"] = reference
        return state | {"_file": None}

    def _fingerprint_parts(self):
        return signal_parts(self) | {"trials": self.trials}

    def _in_file(self):
        """Describe where the signal lies in a file; None if it lies in none."""
        if isinstance(self._signal, SignalInFile):
            return self._signal
        # Another file may have taken the name of the one that is mapped.
        file = mapped_file(self._signal)
        is_there = file is not None and file == self._file
        return signal_in_file(self._signal) if is_there else None

    def close_file(self) -> None:
        """Let go of a memory map; the file is mapped anew when it is read."""
        if not isinstance(self._signal, SignalInFile):
            self._check_derived()
        self._signal = self._in_file() or self._signal
        self._file = mapped_file(self._signal)

    @property
    def filename(self) -> str | None:
        """The file that the signal is read from; None for an array in memory."""
        if isinstance(self._signal, SignalInFile):
            return self._signal.filename
        root = memmap_root(self._signal)
        return None if root is None else str(root.filename)


def _no_derived(signal):
    """Return what a source has derived from its signal in the beginning: nothing."""
    return {"_statistics": {}, "_derived_from": map_stamp(signal)}


def all_windows(signal, n_times):
    """View (n_channels, n_starts, n_times) of all windows of a signal."""
    return sliding_window_view(np.asarray(signal), n_times, axis=1)


def gather(windows, starts, picks):
    """Copy windows from an array (n_channels, n, n_times), channel by channel.

    Returned as (n_starts, n_picks, n_times): what mixes channels takes the lines of
    all windows at once.
    """
    return windows[picks[:, None], np.asarray(starts)].swapaxes(0, 1)
