"""Recordings: continuous signals that windows are cut from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from .._io._signals import SignalInFile
from .._validation import as_id, check_numeric, warn
from ._amplitude import channels_first
from ._flaws import mix_channels
from ._marks import GRACE, Marks, check_bad_spans, check_cuts, cut_samples, span_samples
from ._mne import make_raw, read_raw
from ._resampling import cache, resample, resample_windows, resampled_length
from ._source import CHUNK_SAMPLES, Source, all_windows, gather
from ._trials import check_trials, describe_overlap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import mne
    import pandas as pd
    from numpy.typing import ArrayLike

    from .._typing import Trials


class Recording(Source):
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
    is_recording = True
    trials: pd.DataFrame
    # Of recordings that were pickled when there were none.
    cuts: tuple[float, ...] = ()
    _kept = ("dataset", "subject", "session", "bad_spans", "cuts")

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
            warn(
                f"Trials overlap: {overlap}. Windows of both hold the same samples; "
                "pass trials= that lie apart."
            )
        spans = check_bad_spans(bad_spans)
        self.bad_spans = tuple(span for span in spans if span[0] < span[1])
        points = [start for start, stop in spans if start == stop]
        self.cuts = check_cuts([*cuts, *points], self.duration)

    @classmethod
    def _restored(cls, signal, trials, *, bad_spans, cuts, **kept):
        """As for any source; JSON has lists for tuples."""
        spans = tuple(map(tuple, bad_spans))
        return super()._restored(
            signal, trials, bad_spans=spans, cuts=tuple(cuts), **kept
        )

    def __getstate__(self):
        # See `EEGWindows.__getstate__`.
        return super().__getstate__() | {"trials": self.trials.copy()}

    @property
    def n_times(self) -> int:
        """Number of samples."""
        return self._signal.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_channels, n_times)``."""
        return self._signal.shape

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
        return all_windows(self.signal, n_times).swapaxes(0, 1)[np.asarray(starts)]

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
            x = gather(all_windows(self.signal, n_times), starts, picks)
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
            return gather(all_windows(signal, n_new), new_starts, picks)
        x, bad = self.signal, self.bad_samples()
        out = np.empty((len(picks), len(starts), n_new), np.float32)
        for k in np.unique(piece):
            mine, (a, b) = np.flatnonzero(piece == k), pieces[k]
            out[:, mine] = resample_windows(
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
        step = max(1, CHUNK_SAMPLES // self.n_channels)
        for a in range(0, len(bad), step):
            b = min(a + step, len(bad))
            # One sample of the chunk before, so that changes at its edge count.
            x = np.asarray(self.signal[:, first + max(a - 1, 0) : first + b])
            finite = np.isfinite(x[:, a - b :])
            bad[a:b] = ~finite[channels].all(axis=0)
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
            x = channels_first(self.signal[chunk])[flat]
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

    def _in_order(self, n_bytes: int) -> Iterator[np.ndarray]:
        """Iterate over the signal in the order of a C array, piece by piece.

        Parameters
        ----------
        n_bytes : int
            Largest size of a piece.

        Yields
        ------
        ndarray
            Several whole lines, or a part of one.
        """
        signal = self.signal
        step = max(1, n_bytes // signal.itemsize)
        n_lines = max(1, step // max(1, self.n_times))
        for i in range(0, self.n_channels, n_lines):
            for j in range(0, self.n_times, step):
                yield signal[i : i + n_lines, j : j + step]

    def _n_missing(self, starts: np.ndarray) -> np.ndarray:
        """Return zeros: windows of a recording are numbered by those in X alone."""
        return np.zeros_like(starts)

    def _mix(self, matrix):
        signal = np.empty((len(matrix), self.n_times), np.float32)
        step = max(1, CHUNK_SAMPLES // self.n_channels)
        for a in range(0, self.n_times, step):
            x = self.signal[:, a : a + step].astype(float)
            signal[:, a : a + step] = mix_channels(matrix, x)
        self._signal = signal

    def _chunks(self):
        """Slices over the samples of trials that are not bad, each one once."""
        step = max(1, CHUNK_SAMPLES // self.n_channels)
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
        return cls(
            **read_raw(raw, trials, description),
            dataset=dataset,
            subject=subject,
            session=session,
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
        return make_raw(self, description)

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
