"""FACED: 123 subjects who watched 28 clips of nine emotions."""

from __future__ import annotations

import re
import warnings
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from .._io._signals import DecodedSignal, naming
from .._validation import check_option, list_some
from ..channels._channels import ALIASES
from ..windows._recording import Recording
from ._bdf import UNITS_KNOWN_TO_MNE, decode_bdf, read_bdf_header
from ._emotions import EMOTIONS, common_word
from ._reading import (
    MICROVOLT,
    check_numbers,
    choose,
    contents,
    find_folder,
    make_recording,
    read_all,
)
from ._unpickling import read_pickle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import PathLike
    from ..windows._windows import EEGWindows

_N_SUBJECTS = 123
_PROCESSED_SFREQ = 250.0
_N_PROCESSED_CHANNELS = 32
# Of the files in Processed_data, which end with A2 and A1; the order is not that of the
# raw recordings.
CHANNELS = (
    "Fp1", "Fp2", "Fz", "F3", "F4", "F7", "F8", "FC1", "FC2", "FC5", "FC6", "Cz", "C3",
    "C4", "T7", "T8", "CP1", "CP2", "CP5", "CP6", "Pz", "P3", "P4", "P7", "P8", "PO3",
    "PO4", "Oz", "O1", "O2",
)  # fmt: skip
_OLD_NAMES = {new: old for old, new in ALIASES.items()}
_CLIPS = {
    "anger": range(1, 4),
    "disgust": range(4, 7),
    "fear": range(7, 10),
    "sadness": range(10, 13),
    "neutral": range(13, 17),
    "amusement": range(17, 20),
    "inspiration": range(20, 23),
    "joy": range(23, 26),
    "tenderness": range(26, 29),
}
EMOTION_OF = {video: word for word, videos in _CLIPS.items() for video in videos}
_N_VIDEOS = len(EMOTION_OF)
_VALENCE_WORDS = {-1: "negative", 0: "neutral", 1: "positive"}
_ONSET, _END = 101, 102
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
        subject saw is 1).  Where ``Data/sub000/After_remarks.mat`` is there, the
        subject's ratings of the clip, 0 to 7, are columns: ``joy``, ``tenderness``,
        ``inspiration``, ``amusement``, ``anger``, ``disgust``, ``fear``, ``sadness``,
        ``arousal``, ``valence``, ``familiarity``, ``liking``.

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
    check_option(on_error, ("raise", "skip"), "on_error")
    wanted = check_numbers(subjects, range(_N_SUBJECTS), "subjects")
    labels = _labels(n_classes)
    if source == "preprocessed":
        folder = find_folder(root, "Processed_data", "FACED")
        files = _numbered(folder, r"sub(\d{3})\.pkl")
        looked_for = f"sub000.pkl and the like in {str(folder)!r}"
        read = partial(_read_processed, labels=labels)
    else:
        folder = find_folder(root, "Data", "FACED")
        files = {
            key: path / "data.bdf"
            for key, path in _numbered(folder, r"sub(\d{3})").items()
        }
        looked_for = f"sub000/data.bdf and the like in {str(folder)!r}"
        read = None
    files = choose(files, wanted, None, looked_for=looked_for)
    if read is None:
        read = partial(
            _read_raw, labels=labels, table=_read_recording_info(folder.parent)
        )
    return read_all(
        files,
        read,
        on_error=on_error,
        window_seconds=window_seconds,
        stride_seconds=stride_seconds,
    )


def _labels(n_classes):
    """Return the label of each video that has one."""
    words = {video: common_word(word) for video, word in EMOTION_OF.items()}
    if n_classes == 9:
        return words
    valence = {video: EMOTIONS[word].valence for video, word in words.items()}
    return {
        video: _VALENCE_WORDS[value]
        for video, value in valence.items()
        if n_classes == 3 or value != 0
    }


def _numbered(folder, pattern):
    """Return what lies in a folder by the number in its name, in session 1."""
    found = {}
    for path in folder.iterdir():
        match = re.fullmatch(pattern, path.name)
        if match and int(match[1]) < _N_SUBJECTS:
            found[int(match[1]), 1] = path
    return found


def _whose(subject, session):
    return {"dataset": "FACED", "subject": f"{subject:03d}", "session": str(session)}


def trial_columns(video, label=None):
    """Return the columns of a clip; its label is the emotion unless one is given."""
    name, emotion = f"{video:02d}", EMOTION_OF[video]
    return {
        "trial": name,
        "stimulus": name,
        "label": common_word(emotion) if label is None else label,
        "emotion": emotion,
    }


def scalp_channels(header):
    """Return the places of the scalp's channels in a raw recording, as in `CHANNELS`.

    One cohort has the old names T3, T4, T5 and T6.
    """
    known = {label.upper() for label in header.labels}
    return header.find(
        [
            _OLD_NAMES[name]
            if name.upper() not in known and _OLD_NAMES.get(name) in known
            else name
            for name in CHANNELS
        ]
    )


# Preprocessed data ---------------------------------------------------------------


def _read_processed(path, subject, session, *, labels):
    n_times = _open_processed(path, samples=False).shape[2]
    scores = _read_scores(path.parent.parent / "Data" / path.stem / "After_remarks.mat")
    return make_recording(
        path,
        partial(_decode_processed, videos=tuple(labels)),
        [n_times] * len(labels),
        [
            trial_columns(video, labels[video]) | scores.get(video, {})
            for video in labels
        ],
        ch_names=CHANNELS,
        sfreq=_PROCESSED_SFREQ,
        **_whose(subject, session),
    )


def _open_processed(path, samples):
    array = read_pickle(path, samples=samples)
    if not isinstance(array, np.ndarray):
        raise ValueError(f"expected an array, found {type(array).__name__}")
    expected = (_N_VIDEOS, _N_PROCESSED_CHANNELS)
    if len(array.shape) != 3 or array.shape[:2] != expected or not array.shape[2]:
        raise ValueError(
            f"expected an array of {expected[0]} clips x {expected[1]} channels x "
            f"samples, found the shape {array.shape}"
        )
    return array


def _decode_processed(path, videos):
    """Return the clips that are wanted, joined in time, in volts."""
    data = _open_processed(path, samples=True)  # (28, 32, n_times)
    n_times = data.shape[2]
    signal = np.empty((len(CHANNELS), len(videos) * n_times), np.float32)
    for k, video in enumerate(videos):
        clip = data[video - 1, : len(CHANNELS)]
        signal[:, k * n_times : (k + 1) * n_times] = MICROVOLT * clip
    return signal


# Raw recordings ------------------------------------------------------------------


def _read_raw(path, subject, session, *, labels, table):
    for file in (path, path.with_name("evt.bdf")):
        if not file.is_file():
            raise FileNotFoundError(
                f"No {file.name!r} in {str(file.parent)!r}, which holds "
                f"{contents(file.parent)}."
            )
    sfreq, unit = _look_up(table, subject)
    header = read_bdf_header(path)
    places = scalp_channels(header)
    if header.sfreq(places[0]) != sfreq:
        raise ValueError(
            f"its rate is {header.sfreq(places[0]):g} Hz, and {sfreq:g} Hz in "
            "Recording_info.csv"
        )
    # MNE turns these units into volts, and takes any other number for volts.
    factors = [
        1.0 if header.units[place] in UNITS_KNOWN_TO_MNE else unit for place in places
    ]
    scores = _read_scores(path.with_name("After_remarks.mat"))
    trials = [
        {"start": start, "stop": stop, "play_order": order}
        | trial_columns(video, labels[video])
        | scores.get(video, {})
        for order, (video, start, stop) in enumerate(
            _read_clips(path.with_name("evt.bdf")), 1
        )
        if video in labels
    ]
    names = tuple(header.labels[place] for place in places)
    return Recording(
        DecodedSignal(
            path,
            (len(places), header.n_times(places[0])),
            partial(decode_bdf, labels=names, factors=factors),
        ),
        CHANNELS,
        sfreq,
        trials=trials,
        **_whose(subject, session),
    )


def _read_recording_info(folder):
    """Return the table of rates and units, with a row for each subject's number."""
    path = folder / "Recording_info.csv"
    if not path.is_file():
        raise FileNotFoundError(
            f"No 'Recording_info.csv' in {str(folder)!r}, which holds "
            f"{contents(folder)}; raw recordings have their rates and units there."
        )
    with naming(path):
        table = pd.read_csv(path, encoding="utf-8-sig", dtype=str)
        table.columns = [name.strip().lower() for name in table.columns]
        missing = [n for n in ("sub", "sample_rate", "unit") if n not in table]
        if missing:
            raise ValueError(
                f"it lacks the columns {list_some(missing)}; it has "
                f"{list_some(table.columns)}"
            )
        table.index = [
            int(match[0]) if (match := re.search(r"\d+", str(name))) else -1
            for name in table["sub"]
        ]
    return table


def _look_up(table, subject):
    """Return a subject's rate, and its unit in volts."""
    if list(table.index).count(subject) != 1:
        raise ValueError(
            f"Recording_info.csv has {list(table.index).count(subject)} rows for "
            f"subject {subject:03d}, expected one"
        )
    row = table.loc[subject]
    unit = str(row["unit"]).strip().lower().translate({0xB5: "u", 0x3BC: "u"})
    units = {"v": 1.0, "uv": MICROVOLT}
    if unit not in units:
        raise ValueError(
            f"Recording_info.csv has the unit {row['unit']!r} for subject "
            f"{subject:03d}, expected 'V' or 'uV'"
        )
    return float(row["sample_rate"]), units[unit]


def _read_clips(path):
    """Return (video, start, stop) of each clip, in seconds, in the order of play.

    The code of a clip's number comes before its onset (101), then its end (102).
    """
    import mne

    with naming(path):
        events = mne.read_annotations(path)
        codes = [
            (int(text), float(onset))
            for onset, text in sorted(
                zip(events.onset, events.description, strict=True), key=lambda e: e[0]
            )
            if text.strip().isdecimal()  # others are remarks of the amplifier
        ]
        clips = []
        for k, (code, start) in enumerate(codes):
            if code != _ONSET:
                continue
            before = codes[k - 1][0] if k else None
            after, stop = codes[k + 1] if k + 1 < len(codes) else (None, None)
            if before not in EMOTION_OF or after != _END:
                raise ValueError(
                    f"the clip that begins at {start:g} s (code {_ONSET}) has the "
                    f"codes {before} before and {after} after it, expected a clip's "
                    f"number, 1 to {_N_VIDEOS}, and {_END}"
                )
            clips.append((before, start, stop))
        videos = [video for video, _, _ in clips]
        if len(set(videos)) < len(videos):
            twice = sorted({video for video in videos if videos.count(video) > 1})
            raise ValueError(f"the clips {list_some(twice)} begin more than once")
        if len(videos) < _N_VIDEOS:
            absent = sorted(set(EMOTION_OF) - set(videos))
            if not videos:
                raise ValueError(f"no clip begins in it (code {_ONSET})")
            warnings.warn(
                f"{str(path)!r} has no onset of the clips {list_some(absent)}; the "
                "others are read.",
                stacklevel=2,
            )
    return clips


def _read_scores(path):
    """Return each video's ratings by name; none without the file."""
    if not path.is_file():
        return {}
    from scipy.io import loadmat

    with naming(path):
        content = loadmat(path, squeeze_me=True)
        remarks = content.get("After_remark")
        fields = None if remarks is None else remarks.dtype.names
        if fields is None or not {"vid", "score"} <= set(fields):
            raise ValueError(
                "expected the struct array 'After_remark' with the fields 'vid' and "
                f"'score', found {list_some(k for k in content if k[0] != '_')}"
            )
        scores = {}
        for remark in np.atleast_1d(remarks):
            video, values = int(remark["vid"]), np.ravel(remark["score"])
            if video not in EMOTION_OF or video in scores:
                raise ValueError(f"clip {video} is unknown or there twice")
            if len(values) != len(SCORES):
                raise ValueError(
                    f"clip {video} has {len(values)} ratings, expected {len(SCORES)}"
                )
            scores[video] = dict(zip(SCORES, map(float, values), strict=True))
    return scores
