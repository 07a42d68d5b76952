"""Marks of a recording: cuts, where its signal breaks, and spans that are bad.

A cut is a moment at which two pieces of signal meet that were not recorded one after
the other.  Windows, filters and resampling never go across it.  What lies in a bad span
has no effect on anything that is kept.  This is the only place that says which texts
are marks; all ways in and out ask here.
"""

import re
from typing import NamedTuple

import numpy as np

BAD, CUT, BORDER = "bad", "cut", "border"

CUT_TEXT = "EDGE boundary"
"""How `Recording.to_raw` describes a cut, as MNE does."""

BORDER_TEXT = "EDGE trial"
"""How `Recording.to_raw` describes the border of trials that follow on each other.

MNE does not filter across it; it is no cut."""

BAD_TEXT = "BAD span"
"""How `Recording.to_raw` describes a bad span."""

_LABEL_PREFIX = "trial: "
# BrainVision and BIDS put the kind of an event before its text.
_KIND_OF_EVENT = re.compile(r"\s*(comment|stimulus|response|event)\s*/\s*", re.I)
# EEGLAB's event, and its number where the types of events are numbers.
_BOUNDARY = re.compile(r"boundary|-99(\.0*)?", re.I)
GRACE = 0.01
"""Tolerance in samples: times come from tables and files that round."""


class Marks(NamedTuple):
    """Cuts and bad spans of a recording, in seconds from its start.

    Attributes
    ----------
    cuts : tuple of float
        Where the signal breaks.
    bad_spans : tuple of (float, float)
        What is bad.
    """

    cuts: tuple
    bad_spans: tuple

    def spare(self, starts, stops, grace=0.0):
        """Return which stretches of time no mark touches.

        Parameters
        ----------
        starts, stops : ndarray of float, shape (n,)
            In seconds.
        grace : float, default=0.0
            Tolerance in seconds.

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        starts, stops = np.asarray(starts) + grace, np.asarray(stops) - grace
        clear = np.ones(len(starts), bool)
        for cut in self.cuts:
            clear &= (cut <= starts) | (cut >= stops)
        for first, end in self.bad_spans:
            clear &= (end <= starts) | (first >= stops)
        return clear


def kind_of_mark(text):
    """Say what a description marks.

    Parameters
    ----------
    text : str
        The description of an annotation or an event.

    Returns
    -------
    {"bad", "cut", "border", None}
        "cut": "EDGE ...", "BAD boundary", EEGLAB's "boundary" (or -99) and
        BrainVision's "New Segment".  "bad": whatever else begins with "BAD".
        "border": what `Recording.to_raw` writes between trials.  None: no mark.  Case
        and blanks do not matter, nor does "Comment/" before the text.
    """
    bare = _text_of_mark(text)
    if bare == BORDER_TEXT.upper():
        return BORDER
    if bare.startswith(("EDGE", "NEW SEGMENT", "LOSTSAMPLES")):
        return CUT
    if _BOUNDARY.fullmatch(bare):
        return CUT
    if bare.startswith("BAD"):
        return CUT if "BOUNDARY" in bare else BAD
    return None


def _text_of_mark(text):
    bare = _KIND_OF_EVENT.sub("", str(text), count=1)
    return " ".join(bare.upper().replace("_", " ").split())


def _stays(text):
    """Whether the samples under a mark are in the signal; else they were removed."""
    return _text_of_mark(text).startswith(("BAD", "EDGE"))


def is_mark(text):
    """Whether a description is a mark, and so no label."""
    return kind_of_mark(text) is not None


def label_to_text(label):
    """Write a label so that it is not read as a mark; ``text_to_label`` undoes it."""
    text = str(label)
    if is_mark(text) or text.startswith(_LABEL_PREFIX):
        return _LABEL_PREFIX + text
    return text


def text_to_label(text):
    """Return the label that a description stands for."""
    return str(text).removeprefix(_LABEL_PREFIX)


def make_marks(texts, onsets, durations, end=np.inf):
    """Make marks of the annotations or events of a recording.

    Parameters
    ----------
    texts : sequence of str
        Descriptions; those that are no marks do not count.
    onsets, durations : sequence of float
        In seconds from the recording's start; a duration may be NaN.
    end : float, default=inf
        Length of the recording in seconds.

    Returns
    -------
    Marks
        EEGLAB's "boundary" and BrainVision's "New Segment" are cuts at their onset: the
        duration is the length of the signal that was removed.  Other marks that last
        are bad spans; marks without a duration are cuts.
    """
    cuts, spans = [], []
    for text, onset, duration in zip(texts, onsets, durations, strict=True):
        kind = kind_of_mark(text)
        if kind in (None, BORDER) or not np.isfinite(onset):
            continue
        lasts = _stays(text) and duration > 0  # not where it is NaN
        if lasts:
            spans.append((max(float(onset), 0.0), float(onset + duration)))
        if kind == CUT or not lasts:
            cuts.append(float(onset))
    return Marks(
        check_cuts([cut for cut in cuts if 0 < cut < end], end),
        check_bad_spans([span for span in spans if span[1] > 0 and span[0] < end]),
    )


def annotation_marks(raw):
    """Return the `Marks` among the annotations of an `mne.io.Raw`.

    One that names channels counts if a good EEG channel is among them.
    """
    import mne

    good = mne.pick_types(raw.info, eeg=True, exclude="bads")
    good = {raw.ch_names[pick] for pick in good}
    marks = raw.annotations
    count = np.array(
        [not names or not good.isdisjoint(names) for names in marks.ch_names], bool
    )
    return make_marks(
        marks.description[count],
        marks.onset[count] - raw.first_time,
        marks.duration[count],
        raw.n_times / raw.info["sfreq"],
    )


def mark_codes(names):
    """Return the codes of events that are marks.

    Parameters
    ----------
    names : dict of str to int
        Events as MNE makes them of annotations.  It leaves out what begins with "bad"
        or "edge": an event of such a name was named by the user, and is none.

    Returns
    -------
    list of int
    """
    return [
        code
        for name, code in names.items()
        if kind_of_mark(name) == CUT and not _stays(name)
    ]


def clear_epochs(epochs):
    """Say which epochs no mark touches, by the annotations that they have kept.

    Parameters
    ----------
    epochs : mne.BaseEpochs
        The Epochs.

    Returns
    -------
    ndarray of bool, shape (n_epochs,)
    """
    clear = ~np.isin(epochs.events[:, 2], mark_codes(epochs.event_id))
    marks = getattr(epochs, "annotations", None)
    if marks is None or not len(marks):
        return clear
    marks = make_marks(marks.description, marks.onset, marks.duration)
    return clear & marks.spare(*epoch_spans(epochs), GRACE / epochs.info["sfreq"])


def epoch_spans(epochs):
    """Return where epochs begin and end, in seconds, as annotations count them.

    Parameters
    ----------
    epochs : mne.BaseEpochs
        The Epochs.

    Returns
    -------
    starts, stops : ndarray of shape (n_epochs,)
        Stops are the ends of the last samples.
    """
    # Times of annotations and events count from the same moment, at the Raw's rate.
    sfreq = getattr(epochs, "_raw_sfreq", epochs.info["sfreq"])
    starts = epochs.events[:, 0] / sfreq + epochs.tmin
    return starts, starts + len(epochs.times) / epochs.info["sfreq"]


def join_marks(one, other):
    """Return the marks of either."""
    return Marks(
        tuple(sorted({*one.cuts, *other.cuts})),
        tuple(sorted({*one.bad_spans, *other.bad_spans})),
    )


def check_cuts(cuts, end=np.inf):
    """Return cuts as a sorted tuple of float.

    Raises
    ------
    ValueError
        If one is no number, or lies outside the recording.
    """
    try:
        times = sorted({float(cut) for cut in cuts})
    except (TypeError, ValueError):
        raise ValueError(
            f"cuts must be times in seconds from the recording's start, got {cuts!r}."
        ) from None
    # Half a millisecond of grace, as for trials.
    wrong = [time for time in times if not -5e-4 <= time <= end + 5e-4]
    if wrong:
        raise ValueError(
            f"cuts must lie inside the recording of {end:g} s, got {wrong[0]:g} (they "
            "are in seconds from its start)."
        )
    return tuple(times)


def check_bad_spans(spans):
    """Return bad spans as a tuple of (start, stop), in the order given.

    Raises
    ------
    ValueError
        If one is no pair of numbers, or ends before it starts.
    """
    checked = []
    for span in spans:
        try:
            start, stop = (float(time) for time in span)
        except (TypeError, ValueError):
            start = stop = np.nan
        if not start <= stop:
            raise ValueError(
                "bad_spans must be pairs (start, stop) in seconds from the "
                f"recording's start with start <= stop, got {span!r}."
            )
        checked.append((start, stop))
    return tuple(checked)


def cut_samples(cuts, sfreq, n_times):
    """Return the first sample after each cut, ascending, ends of the signal left out.

    Parameters
    ----------
    cuts : sequence of float
        Times in seconds.
    sfreq : float
        Rate in hertz.
    n_times : int
        Length of the signal in samples.

    Returns
    -------
    ndarray of int
    """
    samples = np.ceil(np.asarray(cuts, float) * sfreq - GRACE).astype(np.int64)
    return np.unique(samples[(samples > 0) & (samples < n_times)])


def span_samples(spans, sfreq, n_times):
    """Return the samples of bad spans, (n, 2) first and end, merged and ascending.

    Every sample that a span touches is bad.
    """
    merged = []
    for start, stop in sorted(spans):
        first = max(int(np.floor(max(start, 0.0) * sfreq + GRACE)), 0)
        end = int(np.ceil(min(stop * sfreq, n_times) - GRACE))
        end = min(max(end, first + (stop > start)), n_times)
        if end <= first:
            continue
        if merged and first <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([first, end])
    return np.array(merged, np.int64).reshape(-1, 2)


def matching_pieces(cuts, sfreq, n_times, new_sfreq, new_n_times):
    """Return the pieces between cuts at two rates at which times stay the same.

    Parameters
    ----------
    cuts : sequence of float
        Times in seconds.
    sfreq, n_times : float and int
        Rate in hertz, and length in samples.
    new_sfreq, new_n_times : float and int
        The same at the other rate.

    Returns
    -------
    ndarray of int, shape (n_pieces, 4)
        First sample and end of each piece, at the one rate and at the other.
    """
    times = np.asarray(cuts, float)
    old, new = (
        np.ceil(times * rate - GRACE).astype(np.int64) for rate in (sfreq, new_sfreq)
    )
    inside = (old > 0) & (old < n_times)
    old, first = np.unique(old[inside], return_index=True)
    new = np.clip(new[inside][first], 0, new_n_times)
    old = [0, *old, n_times]
    new = [0, *new, new_n_times]
    return np.column_stack([old[:-1], old[1:], new[:-1], new[1:]])
