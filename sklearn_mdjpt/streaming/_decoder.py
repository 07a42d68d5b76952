"""StreamingDecoder: EEG comes in chunks of any length, probabilities go out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._validation import (
    check_ch_names,
    check_number,
    check_sfreq,
    list_some,
    split_ids,
    warn,
)
from ..channels._channels import CANONICAL_SFREQ, electrode_positions
from ..features._calibration import calibrated
from ..preprocessing._bad_channels import FLAT, N_NEIGHBOURS
from ..windows._windows import EEGWindows
from ._chain import calibrated_people, make_chain, not_alone
from ._signals import (
    CausalFilter,
    CausalResampler,
    DeadChannels,
    Moves,
    Samples,
    channel_spread,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator

# Stamps of chunks jitter; what is not further off is the next sample.
_JITTER_SECONDS = 0.05
# A stamp that is so much earlier than expected is of a clock that began anew.
_RESTART_SECONDS = 1.0
# Signals of a calibration and of later are rarely so many times apart.
_FAR_RATIO = 30.0
_NOBODY = "stream/1"


class StreamEvent(NamedTuple):
    """What happened to a stream; see ``events_`` of `StreamingDecoder`."""

    time: float
    kind: str
    text: str


class StreamingDecoder:
    """Decode EEG while it comes: chunks in, probabilities out.

    Chunks of any length are filtered and resampled causally, cut into windows, and go
    through the steps of a fitted model one window at a time.  Nothing uses what comes
    later: smoothing (`LDSSmoother`) becomes its Kalman filter, `RunningNormalizer`
    runs on, and what is standardised by person was fixed by calibration before.

    Parameters
    ----------
    model : classifier
        Fitted to `EEGWindows`, with ``predict_proba``: a pipeline, `MDJPTClassifier`,
        or `sklearn_mdjpt.baselines.combined`.  It is not changed.
    ch_names : sequence of str
        Channels of the chunks, in their order.
    sfreq : float
        Sampling rate of the chunks, in hertz.
    window_seconds : float, default=5.0
        Length of a window; that of the windows the model was fitted to.
    stride_seconds : float, default=1.0
        Time between windows, and between outputs.
    subject : str, default=None
        The person, as "dataset/subject", by which ``model`` knows it from
        `~sklearn_mdjpt.compose.calibrate`.  None: the one person that it was
        calibrated to, or with ``calibration_seconds`` somebody without a name.
    calibration_seconds : float, default=None
        Calibrate to so many seconds of signal at the beginning of the stream, for which
        there is no output.  None: the model was calibrated before, or takes each
        window by itself.
    l_freq, h_freq : float, default=None
        Edges, in hertz, of a causal Butterworth filter of order 4; None leaves that
        side open.  Signals that drift need ``l_freq``, such as 0.5.
    resample : float or None, default=125.0
        Rate, in hertz, at which windows are cut, if ``sfreq`` is higher.  None:
        ``sfreq``, for models that need higher bands than 60 Hz.
    max_gap_seconds : float, default=0.1
        Fewer samples that are missing (NaN, or skipped by the stamps of chunks) are
        bridged by straight lines.  After a longer gap filters and window begin anew.
    positions : array-like of shape (n_channels, 3), default=None
        Digitised electrode positions in metres, for channels without a 10-20 name.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        What the probabilities are of, in their order.
    events_ : list of tuple (time, kind, text)
        What happened, with the attributes of these names: time in seconds, a kind, and
        a sentence.  Kinds are "start" (the first sample is not of 0 s), "calibrated",
        "gap", "overlap" (samples that were there already), "restart" (of the clock),
        "dead channels", "channels live", "far" (features are far from those of the
        calibration: another unit, rate or cap) and "near" (they are so no longer).
    delay_ : float
        Seconds that resampling waits for: a window comes so much later than its end.
    model_ : classifier
        The model, calibrated if that was asked for.

    Raises
    ------
    ValueError
        If a part of the model would standardise a person by the windows that come
        together, and is not calibrated to ``subject``; if a number is out of range.
    TypeError
        If the model has no probabilities, or smooths in a part that is no chain.

    See Also
    --------
    sklearn_mdjpt.compose.calibrate : Calibrates a model beforehand.
    decode_lsl : Takes the chunks from a stream of the Lab Streaming Layer.

    Notes
    -----
    Outputs are the same for any chunks, down to rounding.  A window of an offline
    analysis differs from one of a stream where filters work in both directions, and
    where smoothing uses the future.  Calibration takes windows as the stream makes
    them: ``calibration_seconds`` suits a stream better than a calibration to windows of
    offline filters.

    `reset` keeps the calibration; another person needs another decoder.  A decoder can
    be pickled.

    A channel that does not move in a window (below 0.05 of the median spread of all),
    or is NaN, is replaced in it by the mean of its three nearest living neighbours.
    Where fewer than half live, there is no output.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_mdjpt import DifferentialEntropy, SubjectScaler, WindowFeatures
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.streaming import StreamingDecoder
    >>> X = make_emotion_windows(1, n_subjects=3, n_stimuli=3, random_state=0)
    >>> features = WindowFeatures(DifferentialEntropy(), [SubjectScaler()])
    >>> model = make_pipeline(features, LogisticRegression()).fit(X, X.y)
    >>> signal = X.recordings[0]
    >>> decoder = StreamingDecoder(
    ...     model, ch_names=signal.ch_names, sfreq=signal.sfreq, calibration_seconds=20)
    >>> outputs = []
    >>> for start in range(0, 6000, 50):  # a quarter of a second each
    ...     outputs += decoder.push(signal.signal[:, start:start + 50])
    >>> time, probabilities = outputs[0]
    >>> time, probabilities.shape
    (21.0, (3,))
    """

    events_: list[StreamEvent]
    _start: float | None
    _last_end: float | None
    _n_taken: int
    _collected: list[np.ndarray] | None

    def __init__(
        self,
        model: BaseEstimator,
        *,
        ch_names: Sequence[str],
        sfreq: float,
        window_seconds: float = 5.0,
        stride_seconds: float = 1.0,
        subject: str | None = None,
        calibration_seconds: float | None = None,
        l_freq: float | None = None,
        h_freq: float | None = None,
        resample: float | None = CANONICAL_SFREQ,
        max_gap_seconds: float = 0.1,
        positions: ArrayLike | None = None,
    ) -> None:
        check_is_fitted(model)
        if not hasattr(model, "classes_"):
            raise TypeError(
                f"model must be a fitted classifier, got {type(model).__name__}, which "
                "has no classes_: put a classifier behind features."
            )
        if ch_names is None or isinstance(ch_names, str):
            raise TypeError(f"ch_names must be a list of names, got {ch_names!r}.")
        self.ch_names = check_ch_names(ch_names)
        self.sfreq = check_sfreq(sfreq)
        self._check_numbers(
            window_seconds,
            stride_seconds,
            calibration_seconds,
            max_gap_seconds,
            resample,
        )
        _check_edges(l_freq, h_freq, self.sfreq)
        self._rate = self.sfreq if resample is None else min(self.sfreq, resample)
        self._n_times = round(window_seconds * self._rate)
        self._stride = round(stride_seconds * self._rate)
        if self._n_times < 1 or self._stride < 1:
            raise ValueError(
                f"window_seconds={window_seconds} and stride_seconds={stride_seconds} "
                f"must be at least one sample at {self._rate:g} Hz."
            )
        self.calibration_seconds = calibration_seconds
        self.subject = _find_subject(model, subject, calibration_seconds)
        self._names = _names_of(self.subject)
        self._positions = None if positions is None else np.asarray(positions, float)
        if calibration_seconds is None:
            _check_alone(model, self.subject)
        make_chain(model)  # refuses what cannot be streamed
        self.model, self.classes_ = model, model.classes_
        self._filter = CausalFilter(l_freq, h_freq, self.sfreq)
        self._resampler = CausalResampler(self.sfreq, self._rate)
        self._samples = Samples(len(self.ch_names), round(max_gap_seconds * self.sfreq))
        self.delay_ = self._resampler.delay
        self._spread = 0.0  # of the signals of the calibration in the stream
        self.reset()

    def push(
        self, chunk: ArrayLike, time: float | None = None
    ) -> list[tuple[float, np.ndarray]]:
        """Take the next samples in.

        Parameters
        ----------
        chunk : array-like of shape (n_channels, n_samples)
            In the unit of the windows that the model was fitted to, mostly volts.
            Samples that are missing are NaN.
        time : float, default=None
            Seconds of the chunk's first sample, by the clock of the stream, with which
            samples that were skipped are found; more than 0.05 s of jitter is to be
            taken out before.  None: it follows the last one; a stream begins at 0.

        Returns
        -------
        list of (float, ndarray of shape (n_classes,))
            The end of each window that is complete now, in seconds, and its
            probabilities.

        Raises
        ------
        ValueError, TypeError
            If the chunk has another number of channels, or does not hold real numbers;
            nothing is taken in then.
        """
        x = self._check_chunk(chunk)
        if time is not None:
            check_number(time, "time, of the chunk's first sample,")
        x = self._place(x, time)
        outputs = []
        for lost, part in self._samples.push(x):
            if lost:
                self._begin_again(lost)
            self._n_taken += part.shape[1]
            outputs += self._advance(part)
        return outputs

    def start_trial(self) -> None:
        """Begin a trial, such as a clip: smoothing starts anew with the next window."""
        self._chain.start_trial()

    def reset(self) -> Self:
        """Begin anew, with the calibration of before if there was one.

        Returns
        -------
        StreamingDecoder
            The decoder itself.
        """
        if not hasattr(self, "model_") or self.calibration_seconds is None:
            self.model_ = self.model
        self._collected = None
        if self.calibration_seconds is not None and self.model_ is self.model:
            self._collected = []
        self._chain = make_chain(self.model_)
        self._samples.reset()
        self._dead = DeadChannels(
            electrode_positions(self.ch_names, self._positions), FLAT, N_NEIGHBOURS
        )
        self.events_ = []
        self._silent = np.zeros(len(self.ch_names), bool)
        if self._collected is not None:
            self._spread = 0.0
        self._start = None  # the time of its first sample
        self._n_seconds, self._far = 0.0, False
        self._n_taken = 0  # samples since then, lost ones included
        self._last_end = None
        self._clear(0)
        return self

    # The parts of push ------------------------------------------------------------

    def _check_chunk(self, chunk):
        x = np.asarray(chunk)
        if x.dtype.kind not in "fiu":
            raise TypeError(f"A chunk must hold real numbers, got dtype {x.dtype}.")
        x = x.astype(float)
        if x.ndim != 2 or len(x) != len(self.ch_names):
            raise ValueError(
                f"A chunk must have shape ({len(self.ch_names)}, n_samples), one row "
                f"for each of ch_names; got {x.shape}."
            )
        return x

    def _place(self, x, time):
        """Compare the stamp of a chunk with what is expected; return what is new."""
        if self._start is None:
            self._start = 0.0 if time is None else float(time)
            if self._start:
                text = f"The first sample is of {self._start:.3f} s."
                self._say(self._start, "start", text)
        if time is None:
            return x
        expected = self._time(self._n_taken + self._samples.n_missing)
        late = float(time) - expected
        if abs(late) <= max(1.5 / self.sfreq, _JITTER_SECONDS):
            return x
        n = round(late * self.sfreq)
        if n > 0:
            self._samples.skip(n)
            return x
        if late < -_RESTART_SECONDS:
            text = f"The clock is {-late:.3f} s behind; the window begins anew."
            self._say(float(time), "restart", text)
            self._samples.reset()
            self._start = float(time) - self._n_taken / self.sfreq
            self._last_end = None
            self._clear(self._n_taken)
            return x
        n = min(-n, x.shape[1])
        text = f"{n} samples were there already, and are left out."
        self._say(expected, "overlap", text)
        return x[:, n:]

    def _begin_again(self, lost):
        """Forget the signal before a gap."""
        begin = self._time(self._n_taken)
        self._n_taken += lost
        if self._last_end is not None or self._buffer.shape[1]:
            text = (
                f"{lost} samples ({lost / self.sfreq:.3f} s) are missing; the next "
                "window begins after them."
            )
            self._say(begin, "gap", text)
        self._clear(self._n_taken)

    def _clear(self, n_taken):
        """Begin with an empty window at a sample of the stream."""
        self._filter.reset()
        self._resampler.reset()
        self._buffer = np.zeros((len(self.ch_names), 0))
        self._moves = Moves(len(self.ch_names))
        self._n_between = 0  # samples between windows, that none of them needs
        # Where the buffer begins: a sample of the stream, and samples at the new rate.
        self._origin, self._offset = n_taken, 0

    def _advance(self, part):
        """Filter and resample samples; return the outputs of the windows they end."""
        self._moves.push(part)
        new = self._resampler.push(self._filter.push(part))
        n_between = min(self._n_between, new.shape[1])
        self._n_between -= n_between
        new = new[:, n_between:]
        self._buffer = np.concatenate([self._buffer, new], axis=1)
        outputs = []
        while self._buffer.shape[1] >= self._n_times:
            x = self._buffer[:, : self._n_times]
            end = self._time(self._origin) + (self._offset + self._n_times) / self._rate
            # Of the samples that came in, which are more than those of the window.
            start, stop = (
                round(k * self.sfreq / self._rate)
                for k in (self._offset, self._offset + self._n_times)
            )
            found = self._decode(x, self._moves.between(start, stop), end)
            if found is not None:
                outputs.append((end, found))
            self._n_between = max(self._stride - self._buffer.shape[1], 0)
            self._buffer = self._buffer[:, self._stride :].copy()
            self._offset += self._stride
        return outputs

    def _decode(self, x, moves, end):
        """Return the probabilities of a window; None while there are none."""
        x = self._with_live_channels(x, moves, end)
        if x is None:
            return None
        if self._collected is not None:
            self._collect(x, end)
            return None
        step = 1.0
        if self._last_end is not None:
            step = max((end - self._last_end) * self._rate / self._stride, 1e-3)
        self._last_end = end
        found = self._chain.push(self._windows([x], [end]), step)
        self._say_far(x, end)
        return found

    def _collect(self, x, end):
        """Keep a window to calibrate to; calibrate once there are enough."""
        # Samples count, once each, and not the time that passes.
        new = self._n_times / self._rate
        if self._last_end is not None:
            new = min(new, end - self._last_end)
        self._n_seconds += new
        self._last_end = end
        self._collected.append(x.copy())
        if self._n_seconds < self.calibration_seconds - 0.5 / self._rate:
            return
        n = len(self._collected)
        windows = self._windows(
            self._collected, np.arange(n) * self._stride / self._rate
        )
        self.model_ = calibrated(self.model, windows) or self.model
        _check_alone(self.model_, self.subject)
        self._chain = make_chain(self.model_)
        # A normaliser that runs goes on from the calibration.
        for k in range(n):
            self._chain.push(windows[[k]], 1.0)
        self._chain.start_trial()
        self._spread = np.median([channel_spread(x) for x in self._collected])
        self._collected, self._last_end = None, end
        self._say(end, "calibrated", f"Calibrated to {n} windows of {self.subject}.")

    def _say_far(self, x, end):
        """Say where the person is far from what it was calibrated to."""
        far = self._chain.distance
        if far is None and self._spread:
            ratio = np.median(channel_spread(x)) / self._spread
            if not 1 / _FAR_RATIO < ratio < _FAR_RATIO:
                far = f"Signals are {ratio:.2g} times as large as in the calibration"
        if (far is not None) == self._far:
            return
        self._far = far is not None
        if self._far:
            text = (
                f"{far}: another unit, rate or cap than in the calibration, or an "
                "artefact?"
            )
            self._say(end, "far", text)
            warn(f"At {end:.1f} s of the stream: {text}")
        else:
            self._say(end, "near", "The person is near its calibration again.")

    def _with_live_channels(self, x, moves, end):
        dead = self._dead.find(x, moves)
        for kind, text, changed in (
            ("dead channels", "do not move or are missing" + (
                ": too few live, there is no output" if self._dead.too_many(dead)
                else ", and are made of their neighbours"
             ), dead & ~self._silent),
            ("channels live", "move again", ~dead & self._silent),
        ):  # fmt: skip
            if changed.any():
                names = [self.ch_names[k] for k in np.flatnonzero(changed)]
                self._say(end, kind, f"{list_some(names)} {text}.")
        self._silent = dead
        return self._dead.repair(x, dead)

    def _windows(self, windows, onsets):
        dataset, subject = self._names
        return EEGWindows.from_arrays(
            np.stack(windows).astype(np.float32), ch_names=self.ch_names,
            sfreq=self._rate, dataset=dataset, subject=subject, session="1",
            trial="1", onset=onsets, positions=self._positions,
        )  # fmt: skip

    def _time(self, n_samples):
        return self._start + n_samples / self.sfreq

    def _say(self, time, kind, text):
        self.events_.append(StreamEvent(float(time), kind, text))

    @staticmethod
    def _check_numbers(window, stride, calibration, gap, resample):
        check_number(window, "window_seconds", above=0)
        check_number(stride, "stride_seconds", above=0)
        check_number(gap, "max_gap_seconds", least=0)
        if resample is not None:
            check_sfreq(resample)
        if calibration is not None:
            check_number(calibration, "calibration_seconds", least=window)


def _check_edges(l_freq, h_freq, sfreq):
    for name, value in (("l_freq", l_freq), ("h_freq", h_freq)):
        if value is not None:
            check_number(value, name, above=0, below=sfreq / 2)
    if l_freq is not None and h_freq is not None and l_freq >= h_freq:
        raise ValueError(f"l_freq={l_freq} must be below h_freq={h_freq}.")


def _find_subject(model, subject, calibration_seconds):
    """Return the person of a stream, as "dataset/subject"."""
    if subject is not None:
        if len(split_ids(str(subject))) != 2:
            raise ValueError(
                f"subject must be 'dataset/subject', as in calibrated_subjects_; got "
                f"{subject!r}."
            )
        return str(subject)
    if calibration_seconds is not None:
        return _NOBODY
    known = calibrated_people(model)
    if len(known) > 1:
        raise ValueError(
            f"The model is calibrated to {len(known)} people ({list_some(known)}): say "
            "with subject= whose stream it is."
        )
    return known[0] if known else _NOBODY


def _names_of(subject):
    dataset, name = split_ids(subject)
    return dataset, name


def _check_alone(model, subject):
    """Raise if a window of this person would not stand alone."""
    parts = not_alone(model, subject)
    if parts:
        raise ValueError(
            f"The model has parts that go by all windows of a person together, which a "
            f"stream does not have: {list_some(parts)}. They are not calibrated to "
            f"{subject!r}. Give calibration_seconds, or a model from "
            "sklearn_mdjpt.compose.calibrate and its subject."
        )
