"""FACED: 123 subjects who watched 28 clips of nine emotions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from .._io._signals import naming
from .._validation import check_option, list_some, warn
from ._bdf import UNITS_KNOWN_TO_MNE, make_bdf_recording, read_bdf_header
from ._emotions import EMOTIONS, common_word
from ._reading import (
    MICROVOLT,
    check_shape,
    contents,
    find_files,
    join_trials,
    read_all,
    read_table,
)
from ._unpickling import read_pickle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import PathLike
    from ..windows._windows import EEGWindows

_PROCESSED_SFREQ = 250.0
_N_PROCESSED_CHANNELS = 32
# Of the files in Processed_data, which end with A2 and A1; the order is not that of the
# raw recordings.
CHANNELS = (
    "Fp1", "Fp2", "Fz", "F3", "F4", "F7", "F8", "FC1", "FC2", "FC5", "FC6", "Cz", "C3",
    "C4", "T7", "T8", "CP1", "CP2", "CP5", "CP6", "Pz", "P3", "P4", "P7", "P8", "PO3",
    "PO4", "Oz", "O1", "O2",
)  # fmt: skip
_EMOTIONS = (
    "anger", "disgust", "fear", "sadness", "neutral", "amusement", "inspiration", "joy",
    "tenderness",
)  # fmt: skip
# Three clips of each emotion, four neutral ones; they are counted from 1.
EMOTION_OF = dict(
    enumerate((word for word in _EMOTIONS for _ in range(3 + (word == "neutral"))), 1)
)
_N_VIDEOS = len(EMOTION_OF)
_VALENCE_WORDS = {-1: "negative", 0: "neutral", 1: "positive"}
_ONSET, _END = 101, 102
ONSET_FROM = {"whole": "start of the clip", "last30": "30 s before its end"}
"""What onsets count from: windows that differ in it are never paired."""

SCORES = (
    "joy", "tenderness", "inspiration", "amusement", "anger", "disgust", "fear",
    "sadness", "arousal", "valence", "familiarity", "liking",
)  # fmt: skip


def read_faced(
    root: PathLike,
    *,
    subjects: int | Sequence[int] | None = None,
    source: Literal["preprocessed", "raw"] = "preprocessed",
    n_classes: Literal[9, 3, 2] = 9,
    window_seconds: float = 5.0,
    stride_seconds: float = 2.0,
    on_error: Literal["raise", "skip"] = "raise",
) -> EEGWindows:
    """Read FACED: 123 subjects, 28 clips, nine emotions, 30 channels.

    Opening reads no samples: they are decoded when windows are read, and kept as long
    as there is room.

    Parameters
    ----------
    root : path-like
        The folder that holds ``Processed_data`` (or ``Data``, for raw recordings), its
        parent, or that folder itself.
    subjects : int or sequence of int, default=None
        Numbers of the subjects, 0 to 122, in the order wanted. None: all that are
        there.
    source : {"preprocessed", "raw"}, default="preprocessed"
        "preprocessed": the authors' cleaned data, ``Processed_data/sub000.pkl``: the
        last 30 seconds of each clip at 250 Hz.  "raw": ``Data/sub000/data.bdf`` with
        the events in ``evt.bdf``, at 250 or 1000 Hz: whole recordings whose trials are
        whole clips.
    n_classes : {9, 3, 2}, default=9
        9: the emotion.  3: "negative", "neutral" or "positive".  2: "negative" or
        "positive"; neutral clips are left out.
    window_seconds : float, default=5.0
        Length of a window in seconds.
    stride_seconds : float, default=2.0
        Step between windows of a trial in seconds.
    on_error : {"raise", "skip"}, default="raise"
        What a file that cannot be read does.  "skip" leaves it out with one warning
        that names all such files; for that, all files are read to their end at once.

    Returns
    -------
    EEGWindows
        Windows in volts of the 30 scalp channels (the ears' A1 and A2 are dropped):
        dataset "FACED", subjects "000" to "122", session "1"; trial and stimulus are
        the clip's number, "01" to "28".  Labels are words of `EMOTIONS`: what FACED
        calls joy and sadness is "happy" and "sad" here.  Its own word is in the column
        ``emotion``; raw recordings have ``play_order`` as well (the first clip that a
        subject saw is 1), and ``onset_from`` says what onsets count from.  Where
        ``Data/sub000/After_remarks.mat`` is there, the subject's ratings of the clip,
        0 to 7, are columns: ``joy``, ``tenderness``, ``inspiration``, ``amusement``,
        ``anger``, ``disgust``, ``fear``, ``sadness``, ``arousal``, ``valence``,
        ``familiarity``, ``liking``.

    Raises
    ------
    ValueError
        If a file is damaged or not as published (with its name), a subject's number is
        unknown, or a raw recording contradicts ``Recording_info.csv`` or has no row
        there.
    FileNotFoundError
        If no data are found, or a subject that was asked for has none.

    See Also
    --------
    valence_of : Turns labels into -1, 0 and 1.

    Notes
    -----
    Pickle files can run code when Python's pickle opens them. This reader never does:
    it takes arrays of numbers from them, and refuses anything else.

    The unit of raw samples is that of ``Recording_info.csv``, "V" or "uV", unless the
    channel's own header names microvolts or millivolts. T3, T4, T5 and T6 of the first
    cohort are named T7, T8, P7 and P8. An onset counts from the clip's beginning in
    raw recordings, and from 30 seconds before its end in preprocessed ones.

    References
    ----------
    Chen J, Wang X, Huang C, Hu X, Shen X, Zhang D. A large finer-grained affective
    computing EEG dataset. Scientific Data 2023;10:740,
    doi:10.1038/s41597-023-02650-w.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import read_faced
    >>> X = read_faced("FACED", subjects=[0, 1])  # doctest: +SKIP
    >>> X.shape  # doctest: +SKIP
    (728,)
    """
    check_option(source, ("preprocessed", "raw"), "source")
    check_option(n_classes, (9, 3, 2), "n_classes")
    is_raw = source == "raw"
    # Raw recordings lie in a folder for each subject.
    template = "Data/sub{subject}" if is_raw else "Processed_data/sub{subject}.pkl"
    folder, files = find_files(
        root, "FACED", [template], subjects=subjects, known_subjects=range(123)
    )
    read = partial(_read_processed, labels=_labels(n_classes))
    if is_raw:
        files = {key: path / "data.bdf" for key, path in files.items()}
        columns = ("sub", "sample_rate", "unit")
        table = read_table([folder.parent], "Recording_info.csv", columns)
        read = partial(_read_raw, labels=_labels(n_classes), table=table)
    return read_all(files, read, on_error, window_seconds, stride_seconds)


def _labels(n_classes):
    """Return the label of each video that has one."""
    words = {video: common_word(word) for video, word in EMOTION_OF.items()}
    if n_classes == 9:
        return words
    labels = {v: _VALENCE_WORDS[EMOTIONS[word].valence] for v, word in words.items()}
    if n_classes == 2:
        labels = {v: label for v, label in labels.items() if label != "neutral"}
    return labels


def _describe(subject, session):
    return {"dataset": "FACED", "subject": f"{subject:03d}", "session": str(session)}


def trial_columns(video, label, scores, part):
    """Return what is known of a trial: the clip, its label, and the ratings of it."""
    return {
        "onset_from": ONSET_FROM[part],
        "trial": f"{video:02d}",
        "stimulus": f"{video:02d}",
        "label": label,
        "emotion": EMOTION_OF[video],
        **scores,
    }


# Preprocessed data ---------------------------------------------------------------


def _read_processed(path, subject, session, *, labels):
    n_times = _open_processed(path, samples=False).shape[2]
    scores = _read_scores(path.parent.parent / "Data" / path.stem / "After_remarks.mat")
    return join_trials(
        path,
        partial(_read_clips, videos=tuple(labels)),
        [n_times] * len(labels),
        [
            trial_columns(video, labels[video], scores.get(video, {}), "last30")
            for video in labels
        ],
        ch_names=CHANNELS,
        sfreq=_PROCESSED_SFREQ,
        **_describe(subject, session),
    )


def _open_processed(path, samples):
    array = read_pickle(path, samples=samples)
    if not isinstance(array, np.ndarray):
        raise ValueError(f"expected an array, found {type(array).__name__}")
    check_shape("array", array.shape, (_N_VIDEOS, _N_PROCESSED_CHANNELS, None))
    return array


def _read_clips(path, videos):
    data = _open_processed(path, samples=True)
    return (data[video - 1] for video in videos)


# Raw recordings ------------------------------------------------------------------


def _read_raw(path, subject, session, *, labels, table):
    events = path.with_name("evt.bdf")
    for file in (path, events):
        if not file.is_file():
            raise FileNotFoundError(
                f"No {file.name!r} in {str(file.parent)!r}, which holds "
                f"{contents(file.parent)}."
            )
    sfreq, unit = _look_up(table, subject)
    header = read_bdf_header(path)
    places = header.find(CHANNELS)
    if header.sfreq(places[0]) != sfreq:
        raise ValueError(
            f"its rate is {header.sfreq(places[0]):g} Hz, and {sfreq:g} Hz in "
            "Recording_info.csv"
        )
    scores = _read_scores(path.with_name("After_remarks.mat"))
    return make_bdf_recording(
        path,
        header,
        places,
        CHANNELS,
        # MNE turns these units into volts, and takes any other number for volts.
        factors=[
            1.0 if header.units[place] in UNITS_KNOWN_TO_MNE else unit
            for place in places
        ],
        trials=[
            {"start": start, "stop": stop, "play_order": order}
            | trial_columns(video, labels[video], scores.get(video, {}), "whole")
            for order, (video, (start, stop)) in enumerate(
                _find_clips(events).items(), 1
            )
            if video in labels
        ],
        **_describe(subject, session),
    )


def _look_up(table, subject):
    """Return a subject's rate, and its unit in volts."""
    numbers = table["sub"].astype(str).str.extract(r"(\d+)", expand=False)
    rows = table[numbers.astype(float) == subject]
    if len(rows) != 1:
        raise ValueError(
            f"Recording_info.csv has {len(rows)} rows for subject {subject:03d}, "
            "expected one"
        )
    row = rows.iloc[0]
    # Two Unicode characters look like the micro sign.
    unit = str(row["unit"]).strip().lower().translate({0xB5: "u", 0x3BC: "u"})
    if unit not in ("v", "uv"):
        raise ValueError(
            f"Recording_info.csv has the unit {row['unit']!r} for subject "
            f"{subject:03d}, expected 'V' or 'uV'"
        )
    return float(row["sample_rate"]), 1.0 if unit == "v" else MICROVOLT


def _find_clips(path):
    """Return start and stop, in seconds, of each clip by its number, as it was played.

    The code of a clip's number comes before its onset (101), then its end (102).
    """
    import mne

    with naming(path):
        events = mne.read_annotations(path)
        codes = [
            (int(text), float(onset))
            for onset, text in zip(events.onset, events.description, strict=True)
            if text.strip().isdecimal()  # others are remarks of the amplifier
        ]
        codes = [(None, None), *codes, (None, None)]
        clips = {}
        for (video, _), (code, start), (after, stop) in zip(
            codes, codes[1:], codes[2:], strict=False
        ):
            if code != _ONSET:
                continue
            if video not in EMOTION_OF or after != _END:
                raise ValueError(
                    f"the clip that begins at {start:g} s (code {_ONSET}) has the "
                    f"codes {video} before and {after} after it, expected a clip's "
                    f"number, 1 to {_N_VIDEOS}, and {_END}"
                )
            if video in clips:
                raise ValueError(f"the clip {video} begins more than once")
            clips[video] = start, stop
        if not clips:
            raise ValueError(f"no clip begins in it (code {_ONSET})")
    if absent := sorted(set(EMOTION_OF) - set(clips)):
        warn(
            f"{str(path)!r} has no onset of the clips {list_some(absent)}; the others "
            "are read."
        )
    return clips


def _read_scores(path):
    """Return each video's ratings by name; none without the file."""
    if not path.is_file():
        return {}
    from scipy.io import loadmat

    with naming(path):
        content = loadmat(path, squeeze_me=True)
        remarks = np.atleast_1d(content.get("After_remark", ()))
        if not {"vid", "score"} <= set(remarks.dtype.names or ()):
            raise ValueError(
                "expected the struct array 'After_remark' with the fields 'vid' and "
                f"'score', found {list_some(k for k in content if k[0] != '_')}"
            )
        scores = {}
        for video, values in zip(remarks["vid"], remarks["score"], strict=True):
            if video not in EMOTION_OF or video in scores:
                raise ValueError(f"clip {video} is unknown or there twice")
            check_shape(f"score of clip {video}", np.shape(values), (len(SCORES),))
            scores[int(video)] = dict(zip(SCORES, map(float, values), strict=True))
    return scores
