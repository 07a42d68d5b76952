"""Recordings: what windows are cut from.

A `Recording` is one continuous signal with its channels, rate, subject, session and
trials.  `WindowStack` plays the same part for windows that came as an array: all
windows of one subject and session.  Both know how to cut a window, how to give their
signal at another rate, and their robust mean and scale.
"""

from __future__ import annotations

import copy
import difflib
import warnings
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from .._io._signals import (
    SignalInFile,
    map_stamp,
    mapped_file,
    memmap_root,
    signal_in_file,
)
from .._validation import (
    as_id,
    check_ch_names,
    check_ids,
    check_labels,
    check_numeric,
    check_option,
    check_positions,
    check_sfreq,
    join_ids,
    list_some,
    strip_cells,
)
from ..channels._channels import electrode_positions, site_names
from ._content import signal_parts
from ._edf_gaps import refuse_gaps
from ._flaws import mix_channels
from ._marks import (
    BAD_TEXT,
    BORDER_TEXT,
    CUT_TEXT,
    GRACE,
    Marks,
    annotation_marks,
    check_bad_spans,
    check_cuts,
    cut_samples,
    is_mark,
    label_to_text,
    span_samples,
    text_to_label,
)
from ._resampling import cache, resample, resample_cuts, resampled_length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import mne
    from numpy.typing import ArrayLike

    from .._typing import Trials

_MEDIAN_SAMPLES = 2**21
_CHUNK_SAMPLES = 2**22
# A stack this small, in bytes at the new rate, is resampled once and kept.
_STACK_CACHE_BYTES = 2**28
CACHED_SAMPLES = 2**17
"""As many samples, in float64, stay in the processor's cache."""

OUTLIER_FACTOR = 30.0
"""What counts for the amplitude is below this many times the median magnitude."""


class _Source:
    """Channels, rate and robust statistics of a signal that windows are cut from."""

    _mix: Callable[[np.ndarray], None]

    def __init__(self, signal, ch_names, sfreq, positions):
        self._signal = signal
        self.sfreq = check_sfreq(sfreq)
        self.ch_names = check_ch_names(ch_names, signal.shape[-2])
        self.positions = check_positions(positions, len(self.ch_names))
        self._file = mapped_file(signal)
        self.__dict__ |= _no_derived(signal)

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
            self._statistics[picks] = self._compute_statistics(list(picks))
        return self._statistics[picks]

    def _compute_statistics(self, picks, leave_out_padding=True):
        chunks, kept = list(self._chunks()), []
        total, count = np.zeros(len(picks)), np.zeros(len(picks))
        value, flat = None, np.ones(len(picks), bool)
        for chunk in chunks:
            raw = np.asarray(self.signal[chunk])
            keep = _not_padding(raw, picks, self.sfreq) if leave_out_padding else None
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
            return self._compute_statistics(picks, leave_out_padding=False)
        mean = total / np.maximum(count, 1)
        # Rounding would leave a flat channel next to nothing instead of nothing.
        mean = mean if value is None else np.where(flat, value, mean)

        stride = int(max(1, np.ceil(count.sum() / _MEDIAN_SAMPLES)))
        # Each window of a stack is thinned by itself: their order must not matter.
        thinned = [
            _samples(self.signal[chunk], picks, keep, stride) - mean[:, None]
            for chunk, keep in zip(chunks, kept, strict=True)
        ]
        magnitude = np.abs(np.concatenate(thinned, axis=1))
        # Flat channels tell nothing of the amplitude of the others.
        magnitude = magnitude[np.isfinite(magnitude) & (magnitude > 0)]
        limit = OUTLIER_FACTOR * np.median(magnitude) if magnitude.size else 0.0

        n, first, second = 0, 0.0, 0.0
        for chunk, keep in zip(chunks, kept, strict=True):
            x = _samples(self.signal[chunk], picks, keep) - mean[:, None]
            x = x[np.abs(x) < limit]
            n, first, second = n + x.size, first + x.sum(), second + (x * x).sum()
        if n == 0:
            return mean, 1.0
        shift = first / n
        scale = np.sqrt(max(second / n - shift**2, 0.0))
        return mean + shift, float(scale) if scale > 0 else 1.0

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
        """Forget what was derived from a map whose file was written since.

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
        return signal_parts(self) | {"trials": getattr(self, "trials", None)}

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


class Recording(_Source):
    """One continuous recording of one subject.

    Parameters
    ----------
    signal : array-like of shape (n_channels, n_times)
        Volts (any unit works: amplitude is normalised later).  A memory map stays on
        disk; arrays are not copied, and are not to be changed afterwards: statistics
        and resampled signals are kept.
    ch_names : sequence of str
        Channel names, unique whatever the case.
    sfreq : float
        Sampling rate in hertz.
    dataset, subject, session : str or int, default=None
        Whose recording it is.  Recordings without a dataset get a name of their own
        when windows are cut.
    trials : DataFrame or list of dict or list of tuple, default=None
        One row for each trial with ``start`` and ``stop`` in seconds from the
        recording's start, and optionally ``trial`` (an id), ``stimulus`` (equal
        across subjects exactly when the clip is), ``label``, and any further columns,
        which become metadata of the windows.  Tuples are (start, stop, stimulus,
        label).  None makes the whole recording one trial.
    positions : array-like of shape (n_channels, 3), default=None
        Digitised electrode positions in metres (head coordinates), used for channels
        whose names are not of the 10-05 system, or of a site that is far away (see
        `sklearn_mdjpt.channels.channel_matrix`).
    bad_spans : sequence of (float, float), default=()
        Stretches (start, stop), in seconds, in which no window is cut.  Their samples
        have no effect on anything: statistics leave them out, and where filters or
        resampling pass, a straight line stands in for them.
    cuts : sequence of float, default=()
        Times, in seconds, at which the signal breaks: pieces that were recorded apart
        meet there.  No window, filter or resampling goes across.

    Attributes
    ----------
    trials : DataFrame
        The trials, with columns ``trial``, ``start``, ``stop``, ``stimulus``,
        ``label`` and the further ones.
    bad_spans : tuple of (float, float)
        The bad spans, in seconds.
    cuts : tuple of float
        The cuts, in seconds, ascending; a bad span without length is one.

    Raises
    ------
    ValueError
        A signal that is not 2-D, names that do not fit, an unusable rate, a trial or a
        cut that lies outside the recording, or a bad span that ends before it starts.

    Warns
    -----
    UserWarning
        If trials overlap: windows of both would hold the same samples.

    See Also
    --------
    EEGWindows.from_recordings : Cut recordings into windows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mdjpt import Recording
    >>> signal = 1e-5 * np.random.default_rng(0).standard_normal((2, 2000))
    >>> Recording(signal, ["C3", "C4"], 200.0, subject="01",
    ...           trials=[{"start": 0, "stop": 8, "stimulus": "clip 1"}])
    <Recording: 2 channels, 10.0 s at 200 Hz, 1 trial, subject 01>
    """

    is_continuous = True
    # Of recordings that were pickled when there were none.
    cuts: tuple[float, ...] = ()

    def __init__(
        self,
        signal: ArrayLike,
        ch_names: Sequence[str],
        sfreq: float,
        dataset: str | int | None = None,
        subject: str | int | None = None,
        session: str | int | None = None,
        trials: Trials | None = None,
        positions: ArrayLike | None = None,
        bad_spans: Sequence[tuple[float, float]] = (),
        cuts: Sequence[float] = (),
    ) -> None:
        if not isinstance(signal, np.ndarray | SignalInFile):
            signal = np.asarray(signal)
        if signal.ndim != 2:
            raise ValueError(
                "signal must have shape (n_channels, n_times), got "
                f"{signal.shape}. Windows as an array go to EEGWindows.from_arrays."
            )
        check_numeric(signal, "signal")
        super().__init__(signal, ch_names, sfreq, positions)
        self.dataset = as_id(dataset)
        self.subject = as_id(subject)
        self.session = as_id(session)
        self.trials = check_trials(trials, self.duration)
        names = self.trials.set_axis([f"trial {k + 1}" for k in self.trials.index])
        overlap = describe_overlap(names, self.sfreq)
        if overlap:
            warnings.warn(
                f"Trials overlap: {overlap}. Windows of both hold the same samples; "
                "pass trials= that lie apart.",
                stacklevel=2,
            )
        spans = check_bad_spans(bad_spans)
        self.bad_spans = tuple(span for span in spans if span[0] < span[1])
        points = [start for start, stop in spans if start == stop]
        self.cuts = check_cuts([*cuts, *points], self.duration)

    def __getstate__(self):
        # See `EEGWindows.__getstate__`.
        return super().__getstate__() | {"trials": self.trials.copy()}

    @property
    def n_times(self) -> int:
        """Number of samples."""
        return self._signal.shape[1]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.n_times / self.sfreq

    def pieces(self) -> list[tuple[int, int]]:
        """Return the stretches between cuts, which nothing goes across.

        Returns
        -------
        list of (int, int)
            First sample and end of each, from the recording's start to its end.
        """
        cuts = cut_samples(self.cuts, self.sfreq, self.n_times)
        borders = [0, *cuts.tolist(), self.n_times]
        return list(zip(borders[:-1], borders[1:], strict=True))

    def bad_samples(self) -> np.ndarray | None:
        """Say which samples lie in bad spans.

        Returns
        -------
        ndarray of bool, shape (n_times,), or None
            None where there is no bad span.
        """
        spans = span_samples(self.bad_spans, self.sfreq, self.n_times)
        if not len(spans):
            return None
        bad = np.zeros(self.n_times, bool)
        for first, end in spans:
            bad[first:end] = True
        return bad

    def holds(self, starts: np.ndarray, n_times: int) -> np.ndarray:
        """Say which windows are free of cuts and bad spans.

        Parameters
        ----------
        starts : ndarray of int, shape (n_windows,)
            First sample of each window.
        n_times : int
            Length of a window in samples.

        Returns
        -------
        ndarray of bool, shape (n_windows,)
            Whether a window may be cut there.
        """
        starts = np.asarray(starts)
        # EEGLAB puts cuts between two samples: time counts here, not the sample.
        return Marks(self.cuts, self.bad_spans).spare(
            starts / self.sfreq, (starts + n_times) / self.sfreq, GRACE / self.sfreq
        )

    def windows(self, starts: np.ndarray, n_times: int) -> np.ndarray:
        """Cut windows.

        Parameters
        ----------
        starts : ndarray of int, shape (n_windows,)
            First sample of each window.
        n_times : int
            Length of a window in samples.

        Returns
        -------
        ndarray of shape (n_windows, n_channels, n_times)
            The windows, copied.
        """
        return _all_cuts(self.signal, n_times).swapaxes(0, 1)[np.asarray(starts)]

    def windows_at(
        self,
        starts: np.ndarray,
        n_times: int,
        sfreq: float,
        picks: np.ndarray | None = None,
    ) -> np.ndarray:
        """Cut windows at another rate; starts and n_times in samples of this one.

        The recording is resampled as a whole, once, and kept as long as it lives if
        the cache has room for it.  Otherwise only what is asked for is resampled, to
        the same numbers: read in random order, recordings that drop each other from
        the cache would be resampled over and over.

        Parameters
        ----------
        starts : ndarray of int, shape (n_windows,)
            First sample of each window.
        n_times : int
            Length of a window in samples.
        sfreq : float
            The other rate, in hertz.
        picks : ndarray of int, default=None
            Channels to read; None reads all.

        Returns
        -------
        ndarray of shape (n_windows, n_picks, n_new_times)
            Float32, a new array, in memory channel by channel.
        """
        picks = np.arange(self.n_channels) if picks is None else picks
        if sfreq == self.sfreq:
            x = _gather(_all_cuts(self.signal, n_times), starts, picks)
            return x.astype(np.float32, copy=False)
        n_new = int(resampled_length(n_times, self.sfreq, sfreq))
        pieces, starts = np.array(self.pieces()), np.asarray(starts)
        lengths = resampled_length(np.diff(pieces)[:, 0], self.sfreq, sfreq)
        # Each piece has a time of its own, at either rate.
        piece = np.searchsorted(pieces[:, 0], starts, side="right") - 1
        local = resampled_length(starts - pieces[piece, 0], self.sfreq, sfreq)
        local = np.minimum(local, lengths[piece] - n_new)
        if (local < 0).any():
            raise ValueError(
                f"{(local < 0).sum()} windows lie across a cut of {self!r}; cut the "
                "windows anew with EEGWindows.from_recordings."
            )
        self._check_derived()
        signal = cache.get(
            self,
            sfreq,
            lambda: self._resampled(pieces, sfreq),
            n_bytes=4 * self.n_channels * int(lengths.sum()),
        )
        if signal is not None:
            new_starts = local + (np.cumsum(lengths) - lengths)[piece]
            return _gather(_all_cuts(signal, n_new), new_starts, picks)
        x, bad = self.signal, self.bad_samples()
        out = np.empty((len(picks), len(starts), n_new), np.float32)
        for k in np.unique(piece):
            mine, (a, b) = np.flatnonzero(piece == k), pieces[k]
            out[:, mine] = resample_cuts(
                x[:, a:b], local[mine], n_new, self.sfreq, sfreq, picks,
                None if bad is None else bad[a:b],
            ).swapaxes(0, 1)  # fmt: skip
        return out.swapaxes(0, 1)

    def _resampled(self, pieces, sfreq):
        """Resample piece by piece, and join them."""
        x, bad = self.signal, self.bad_samples()
        parts = [
            resample(x[:, a:b], self.sfreq, sfreq, None if bad is None else bad[a:b])
            for a, b in pieces
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def window_flaws(
        self, starts: np.ndarray, n_times: int, picks: np.ndarray | slice = slice(None)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Say which windows are not finite, and which are constant in all channels.

        Parameters
        ----------
        starts : ndarray of int, shape (n_windows,)
            First sample of each window.
        n_times : int
            Length of a window in samples.
        picks : ndarray of int, default=slice(None)
            Channels that count.

        Returns
        -------
        not_finite : ndarray of bool, shape (n_windows,)
            Which windows hold NaN or inf.
        constant : ndarray of bool, shape (n_windows,)
            Which are constant in every channel.
        """
        channels = np.arange(self.n_channels)[picks]
        starts = np.asarray(starts)
        first = starts.min()
        starts = starts - first
        bad = np.zeros(starts.max() + n_times, bool)
        still = np.ones(len(bad), bool)  # as the sample before, in all channels
        step = max(1, _CHUNK_SAMPLES // self.n_channels)
        for a in range(0, len(bad), step):
            b = min(a + step, len(bad))
            # One sample of the chunk before, so that changes at its edge count.
            x = np.asarray(self.signal[:, first + max(a - 1, 0) : first + b])
            bad[a:b] = _not_finite(x[:, a - b :], channels)
            same = still[max(a, 1) : b]
            for channel in channels:
                same &= x[channel, 1:] == x[channel, :-1]
                if not same.any():
                    break
        n_bad = np.concatenate([[0], np.cumsum(bad)])
        n_change = np.concatenate([[0], np.cumsum(~still)])
        stops = starts + n_times
        constant = n_change[stops] - n_change[starts + 1] == 0
        return n_bad[stops] - n_bad[starts] > 0, constant

    def flat_channels(self) -> list[str]:
        """Return the names of channels that are constant over all trials.

        Returns
        -------
        list of str
            In the order of ``ch_names``.
        """
        flat = np.arange(self.n_channels)
        for chunk in self._chunks():
            x = _channels_first(self.signal[chunk])[flat]
            flat = flat[(x == x[:, :1]).all(axis=1)]
            if not len(flat):
                break
        return [self.ch_names[i] for i in flat]

    def parts(self) -> Iterator[np.ndarray]:
        """Iterate over the whole signal: here a single array.

        Yields
        ------
        ndarray of shape (n_channels, n_times)
            The signal.
        """
        yield np.asarray(self.signal)

    def _mix(self, matrix):
        signal = np.empty((len(matrix), self.n_times), np.float32)
        step = max(1, _CHUNK_SAMPLES // self.n_channels)
        for a in range(0, self.n_times, step):
            x = self.signal[:, a : a + step].astype(float)
            signal[:, a : a + step] = mix_channels(matrix, x)
        self._signal = signal

    def _chunks(self):
        """Slices over the samples of trials that are not bad, each one once."""
        step = max(1, _CHUNK_SAMPLES // self.n_channels)
        spans = span_samples(self.bad_spans, self.sfreq, self.n_times)
        done = 0
        for start, stop in sorted(
            zip(self.trials["start"], self.trials["stop"], strict=True)
        ):
            a = max(round(start * self.sfreq), done)
            b = min(round(stop * self.sfreq), self.n_times)
            done = max(done, b)
            inside = np.clip(spans, a, max(a, b)).ravel()
            for first, end in zip([a, *inside[1::2]], [*inside[::2], b], strict=True):
                for i in range(first, end, step):
                    yield (slice(None), slice(i, min(i + step, end)))

    @classmethod
    def from_raw(
        cls,
        raw: mne.io.BaseRaw,
        *,
        trials: Trials | None = None,
        dataset: str | int | None = None,
        subject: str | int | None = None,
        session: str | int | None = None,
        description: Literal["label", "stimulus"] = "label",
    ) -> Self:
        """Make a recording from an `mne.io.Raw`.

        EEG channels are kept, bad ones and other types are left out, projections are
        applied.  The signal is copied to memory as float32.

        Parameters
        ----------
        raw : mne.io.BaseRaw
            The recording, in volts; it is not changed.
        trials : DataFrame or list of dict, default=None
            As for `Recording`, seconds from the recording's start.  None takes every
            annotation that has a duration and is no mark; without any, the whole
            recording is one trial.
        dataset, subject, session : str or int, default=None
            As for `Recording`.
        description : {"label", "stimulus"}, default="label"
            What the annotations' descriptions name: the emotion or condition, or the
            clip that was seen.

        Returns
        -------
        Recording
            With the marks of ``raw``, which are never labels.  Annotations that begin
            with "BAD" are its `bad_spans`; its `cuts` are those that begin with "EDGE",
            MNE's "BAD boundary", EEGLAB's "boundary", BrainVision's "New Segment", and
            all that begin with "BAD" and have no duration.

        Raises
        ------
        ValueError
            If no good EEG channel is left, or the file (EDF+D, BDF+D) has gaps that
            MNE reads across.

        Warns
        -----
        UserWarning
            If annotations without a duration make no trial, or trials overlap.
        """
        import mne

        if not isinstance(raw, mne.io.BaseRaw):
            raise TypeError(f"raw must be an mne.io.Raw, got {type(raw).__name__}.")
        if description not in ("label", "stimulus"):
            raise ValueError(
                f"description must be 'label' or 'stimulus'; got {description!r}."
            )
        refuse_gaps(raw)
        picks = pick_good_eeg(raw)
        trials = read_trials(raw, trials, description, stacklevel=3)
        marks = annotation_marks(raw)
        good = raw.copy().pick(picks).load_data(verbose="error")
        good.apply_proj(verbose="error")
        return cls(
            good.get_data().astype(np.float32),
            good.ch_names,
            good.info["sfreq"],
            dataset=dataset,
            subject=subject,
            session=session,
            trials=trials,
            positions=info_positions(good.info),
            bad_spans=marks.bad_spans,
            cuts=marks.cuts,
        )

    def to_raw(
        self, *, description: Literal["label", "stimulus"] = "label"
    ) -> mne.io.RawArray:
        """Make an `mne.io.Raw` of the recording.

        Parameters
        ----------
        description : {"label", "stimulus"}, default="label"
            What the trials' annotations say, as in `from_raw`.  A trial without one is
            described as "trial" and its id or number.  A text that would be taken for
            a mark, such as "bad", becomes "trial: bad", which `from_raw` understands.

        Returns
        -------
        mne.io.RawArray
            EEG channels in the recording's unit, which MNE takes for volts, in
            float64.  Each trial is an annotation, each of the `bad_spans` a "BAD span",
            each of the `cuts` an "EDGE boundary".  Where one trial begins as another
            ends there is an "EDGE trial", so that MNE does not filter across joined
            trials; `from_raw` takes it for no cut.  Electrodes are at their digitised
            positions, else where the 10-05 template has them, else nowhere.

        See Also
        --------
        from_raw : The way back.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_mdjpt import Recording
        >>> signal = 1e-5 * np.random.default_rng(0).standard_normal((2, 2000))
        >>> recording = Recording(signal, ["C3", "C4"], 200.0, trials=[(1, 8)])
        >>> recording.to_raw().annotations.description.tolist()
        ['trial 1']
        """
        check_option(description, ("label", "stimulus"), "description")
        import mne

        info = make_info(self)
        raw = mne.io.RawArray(np.array(self.signal, dtype=float), info, verbose="error")
        raw.set_annotations(self._annotations(description), verbose="error")
        return raw

    def _annotations(self, description):
        import mne

        trials = self.trials
        starts, stops = trials["start"].to_numpy(), trials["stop"].to_numpy()
        texts = [
            label_to_text(text) if not pd.isna(text) else f"trial {trial or k + 1}"
            for k, (text, trial) in enumerate(
                zip(trials[description], trials["trial"], strict=True)
            )
        ]
        # To half a sample: the times of joined trials are sums of rounded lengths.
        joined = [
            start for start in starts if (abs(stops - start) < 0.5 / self.sfreq).any()
        ]
        spans = [
            (max(start, 0.0), min(stop, self.duration), BAD_TEXT)
            for start, stop in self.bad_spans
        ]
        rows = [
            *zip(starts, np.minimum(stops, self.duration), texts, strict=True),
            *((start, start, BORDER_TEXT) for start in joined),
            *((cut, cut, CUT_TEXT) for cut in self.cuts if 0 < cut < self.duration),
            *(span for span in spans if span[1] > span[0]),
        ]
        onsets = [start for start, _, _ in rows]
        durations = [stop - start for start, stop, _ in rows]
        return mne.Annotations(onsets, durations, [text for _, _, text in rows])

    def __repr__(self) -> str:
        n_trials = len(self.trials)
        text = (
            f"<Recording: {self.n_channels} channels, {self.duration:.1f} s at "
            f"{self.sfreq:g} Hz, {n_trials} trial{'s' * (n_trials != 1)}"
        )
        for word in ("dataset", "subject", "session"):
            if getattr(self, word) is not None:
                text += f", {word} {getattr(self, word)}"
        return text + ">"


class WindowStack(_Source):
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
    per_window : bool
        Whether the amplitude of each window is normalised by itself, not that of all
        of them together.
    """

    is_continuous = False

    def __init__(self, base, rows, ch_names, sfreq, positions=None):
        rows = np.asarray(rows)
        # Neighbouring rows are a view; others stay indexed until they are read.
        if len(rows) and (np.diff(rows) == 1).all():
            base, rows = base[rows[0] : rows[-1] + 1], np.arange(len(rows))
        self._rows = rows
        self.per_window = False
        super().__init__(base, ch_names, sfreq, positions)

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
            return _gather(stack.swapaxes(0, 1), starts, picks)
        base = np.asarray(self.signal).swapaxes(0, 1)
        x = _gather(base, self._rows[np.asarray(starts)], picks)
        return resample(x, self.sfreq, sfreq)

    def window_flaws(self, starts, n_times, picks=slice(None)):
        """As for `Recording`."""
        channels = np.arange(self.n_channels)[picks]
        not_finite = np.zeros(len(starts), bool)
        constant = np.zeros(len(starts), bool)
        step = max(1, CACHED_SAMPLES // (self.n_channels * self.n_times))
        for i in range(0, len(starts), step):
            x = self.windows(starts[i : i + step], n_times)
            # Sums and the first channel tell of most windows that they are sound.
            with np.errstate(invalid="ignore", over="ignore"):
                finite = np.isfinite(x.sum(axis=2)[:, channels]).all(axis=1)
            odd = np.flatnonzero(~finite)
            not_finite[i + odd] = ~np.isfinite(x[odd][:, channels]).all(axis=(1, 2))
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

    def _mix(self, matrix):
        stack = np.empty((len(self._rows), len(matrix), self.n_times), np.float32)
        step = max(1, CACHED_SAMPLES // (self.n_channels * self.n_times))
        for i in range(0, len(stack), step):
            rows = self._rows[i : i + step]
            x = self.signal[rows].astype(float)
            stack[i : i + step] = mix_channels(matrix, x)
        self._signal, self._rows = stack, np.arange(len(stack))

    def _chunks(self):
        step = max(1, _CHUNK_SAMPLES // (self.n_channels * self.n_times))
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


def read_trials(raw, trials=None, description="label", *, stacklevel=2):
    """Return the trials that a Raw's annotations name.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    trials : DataFrame or list of dict, default=None
        What is to stand in for annotations of trials.
    description : str, default="label"
        The column that their descriptions make.
    stacklevel : int, default=2
        Of the warning that annotations without a duration make no trial.

    Returns
    -------
    DataFrame or list of dict or None
        In seconds from the recording's start; None if there is none.
    """
    if trials is not None:
        return trials
    end = raw.n_times / raw.info["sfreq"]
    marks = raw.annotations
    rows = [
        (max(onset, 0.0), onset + duration, str(text))
        for onset, duration, text in zip(
            marks.onset - raw.first_time, marks.duration, marks.description, strict=True
        )
        if not is_mark(text)
    ]
    # BrainVision gives each marker the length of a sample; where nothing lasts longer,
    # what was meant is not known, and trials without a window will tell.
    step = 1.5 / raw.info["sfreq"]
    lasts = any(stop - start > step for start, stop, _ in rows)
    least = step if lasts else 0.0
    spans = [row for row in rows if row[1] - row[0] > least]
    points = [text for start, stop, text in rows if stop - start <= least]
    if points:
        warnings.warn(
            f"{len(points)} annotations have no duration and make no trial "
            f"({list_some(sorted(set(points)), 4)}); pass trials= with start and stop.",
            stacklevel=stacklevel,
        )
    trials = [
        {"start": start, "stop": min(stop, end), description: text_to_label(text)}
        for start, stop, text in spans
    ]
    return trials or None


def pick_good_eeg(raw):
    """Return the places of a Raw's good EEG channels; raise if there is none."""
    import mne

    picks = mne.pick_types(raw.info, eeg=True, exclude="bads")
    if not len(picks):
        raise ValueError(
            "The Raw has no good EEG channel; its channel types are "
            f"{list_some(sorted(set(raw.get_channel_types())))}, marked bad: "
            f"{list_some(raw.info['bads']) or 'none'}."
        )
    return picks


def make_info(source):
    """Make an `mne.Info` of a recording's or stack's channels, rate and electrodes."""
    import mne

    info = mne.create_info(list(source.ch_names), source.sfreq, "eeg", verbose="error")
    montage = head_montage(source.ch_names, source.positions)
    if montage is not None:
        info.set_montage(montage, on_missing="ignore", verbose="error")
    return info


def head_montage(ch_names, positions=None):
    """Make an `mne.channels.DigMontage` of the electrodes whose place is known.

    Digitised positions, (n_channels, 3) with NaN where unknown, go before those of the
    template; None if there is no electrode to place.
    """
    import mne

    sites = zip(ch_names, electrode_positions(ch_names, positions), strict=True)
    known = {name: site for name, site in sites if np.isfinite(site).all()}
    if not known:
        return None
    return mne.channels.make_dig_montage(known, coord_frame="head")


def info_positions(info):
    """Digitised positions (n_channels, 3) of an `mne.Info`, NaN where unknown."""
    from mne.io.constants import FIFF

    positions = np.array([ch["loc"][:3] for ch in info["chs"]], dtype=float)
    unknown = ~np.isfinite(positions).all(axis=1) | ~positions.any(axis=1)
    # Positions in an MR image are of another frame, which nothing here relates to it.
    frames = (FIFF.FIFFV_COORD_HEAD, FIFF.FIFFV_COORD_UNKNOWN)
    unknown |= [ch["coord_frame"] not in frames for ch in info["chs"]]
    positions[unknown] = np.nan
    return positions


def _no_derived(signal):
    """Return what a source has derived from its signal in the beginning: nothing."""
    return {"_statistics": {}, "_derived_from": map_stamp(signal)}


def _all_cuts(signal, n_times):
    """View (n_channels, n_starts, n_times) of all windows of a signal."""
    return sliding_window_view(np.asarray(signal), n_times, axis=1)


def _gather(windows, places, picks):
    """Copy windows from an array (n_channels, n, n_times), channel by channel.

    Returned as (n_places, n_picks, n_times): what mixes channels takes the lines of
    all windows at once.
    """
    return windows[picks[:, None], np.asarray(places)].swapaxes(0, 1)


def _not_finite(x, channels):
    """Say which samples (n_times,) are NaN or inf in any of the channels."""
    with np.errstate(invalid="ignore", over="ignore"):
        total = sum(x[channel] for channel in channels)
    suspect = np.flatnonzero(~np.isfinite(total))
    bad = np.zeros(x.shape[1], bool)
    bad[suspect] = ~np.isfinite(x[np.ix_(channels, suspect)]).all(axis=0)
    return bad


def _channels_first(x):
    """(n_channels, n) as it is; (n_windows, n_channels, n_times) flattened to it."""
    x = np.asarray(x)
    if x.ndim == 2:
        return x
    return x.transpose(1, 0, 2).reshape(x.shape[1], -1)  # (C, n_windows * n_times)


def _samples(x, picks, keep, stride=1):
    """Every so many samples of some channels, (n_picks, n), of those that are kept."""
    x = _channels_first(x[..., ::stride])[picks]
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


def check_trials(trials, duration):
    """Return a table of trials; raise when one lies outside the recording."""
    if trials is None:
        trials = [{"start": 0.0, "stop": duration}]
    if not isinstance(trials, pd.DataFrame):
        rows = list(trials)
        if rows and not isinstance(rows[0], dict):
            words = ("start", "stop", "stimulus", "label")
            too_long = [row for row in rows if len(row) > len(words)]
            if too_long:
                raise ValueError(
                    f"A trial given as a tuple is (start, stop, stimulus, label), got "
                    f"{too_long[0]!r}; pass dicts for further columns."
                )
            rows = [dict(zip(words, row, strict=False)) for row in rows]
        trials = pd.DataFrame(rows)
    trials = strip_cells(trials.reset_index(drop=True).astype(object))
    twice = trials.columns[trials.columns.duplicated()]
    if len(twice):
        raise ValueError(f"Several columns of trials are called {list_some(twice)}.")
    lacking = [name for name in ("start", "stop") if name not in trials]
    if lacking:
        raise ValueError(
            f"trials needs columns 'start' and 'stop' (seconds); it lacks "
            f"{list_some(lacking)} and has {list_some(trials.columns)}."
        )
    reserved = [n for n in ("dataset", "subject", "session", "onset") if n in trials]
    if reserved:
        raise ValueError(
            f"trials may not have columns {list_some(reserved)}: windows get these "
            "from the recording. Drop or rename them."
        )
    for name in ("trial", "stimulus", "label"):
        if name not in trials:
            _warn_of_misspelling(name, trials.columns)
            trials[name] = None
    for name, check in (
        ("trial", check_ids),
        ("stimulus", check_ids),
        ("label", check_labels),
    ):
        column = check(trials[name], len(trials), name)
        trials[name] = pd.Series(column, dtype=object)
    # pandas has NaN where it takes a column for text.
    trials["label"] = trials["label"].where(trials["label"].notna(), None)
    for name in ("start", "stop"):
        trials[name] = trials[name].astype(float)
    # Half a millisecond of grace: starts and stops come from rounded tables.
    wrong = (
        ~(trials["start"] >= 0)
        | ~(trials["stop"] > trials["start"])
        | ~(trials["stop"] <= duration + 5e-4)
    )
    if wrong.any():
        row = trials[wrong].iloc[0]
        raise ValueError(
            f"Trial from {row['start']:g} to {row['stop']:g} s does not lie inside "
            f"the recording of {duration:g} s (start and stop are in seconds)."
        )
    first = ["trial", "start", "stop", "stimulus", "label"]
    return trials[first + [name for name in trials if name not in first]]


def describe_overlap(trials, sfreq):
    """Say which trials overlap by more than a sample; None if there are none.

    Parameters
    ----------
    trials : DataFrame
        With ``start`` and ``stop`` in seconds; its index names them.
    sfreq : float
        Rate in hertz.

    Returns
    -------
    str or None
        The first two, and how many further trials begin within another.
    """
    ordered = trials.sort_values("start", kind="stable")
    starts, stops = ordered["start"].to_numpy(float), ordered["stop"].to_numpy(float)
    # A sample of grace: tables hold rounded seconds.
    grace = (1 + 1e-6) / sfreq
    clash = np.flatnonzero(starts[1:] < np.maximum.accumulate(stops)[:-1] - grace)
    if not len(clash):
        return None
    later = clash[0] + 1
    one, other = (
        f"{ordered.index[k]} ({starts[k]:g} to {stops[k]:g} s"
        f"{_text_of_trial(ordered.iloc[k])})"
        for k in (int(np.argmax(stops[:later])), later)
    )
    further = f", and {len(clash) - 1} further" if len(clash) > 1 else ""
    return f"{one} and {other}{further}"


def _text_of_trial(trial):
    """Say what a trial is, as far as it is known."""
    for name in ("trial_type", "label", "stimulus"):
        text = trial.get(name)
        if text is not None and not pd.isna(text):
            return f", {text}"
    return ""


def _warn_of_misspelling(name, columns):
    """Warn of a column that is nearly called ``name``, where there is none."""
    spelt = {str(column).lower(): column for column in columns}
    for close in difflib.get_close_matches(name, spelt, n=1, cutoff=0.75):
        warnings.warn(
            f"trials has no column {name!r}, but one called {str(spelt[close])!r}, "
            "which becomes a column of the metadata only. If it is meant to be "
            f"{name!r}, rename it.",
            stacklevel=4,
        )


def number_trials(recordings):
    """Fill in missing trial ids; raise when one id names two trials of a session.

    Ids count on over recordings of the same dataset, subject and session, so that
    one recording for each trial works as well as one for the whole session.

    Returns
    -------
    list of list of str
        Trial ids of each recording.
    """
    counts, seen, numbered = {}, set(), []
    for recording in recordings:
        key = (recording.dataset, recording.subject, recording.session)
        ids = []
        for given in recording.trials["trial"]:
            counts[key] = counts.get(key, 0) + 1
            trial = given if given is not None else str(counts[key])
            if (*key, trial) in seen:
                raise ValueError(
                    f"Trial {trial!r} appears twice for dataset {key[0]!r}, subject "
                    f"{key[1]!r}, session {key[2]!r}: trial ids are unique within a "
                    "session."
                )
            seen.add((*key, trial))
            ids.append(trial)
        numbered.append(ids)
    return numbered


def warn_short_trials(n_short, n_trials, window_seconds, recordings):
    """Say how many trials were too short to hold a window, and in which recordings."""
    ids = ((r.dataset, r.subject, r.session) for r in recordings)
    names = dict.fromkeys(join_ids(*filter(None, whose)) for whose in ids)
    names.pop("", None)
    whose = f" (of {list_some(names)})" if names else ""
    warnings.warn(
        f"{n_short} of {n_trials} trials{whose} are shorter than a window of "
        f"{window_seconds:g} s and give none.",
        stacklevel=3,
    )
