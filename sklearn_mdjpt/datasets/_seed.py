"""Readers of the SEED family: SEED, SEED-IV, SEED-V and SEED-VII.

The four share a cap of 62 channels, MATLAB files at 200 Hz in microvolts with one
variable for each trial, and Neuroscan files at 1000 Hz.  What differs is how files
are named, and which clip evoked which emotion.
"""

from __future__ import annotations

import csv
import os
import re
import warnings
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from .._io._signals import DecodedSignal, naming
from .._validation import check_option, list_some
from ..windows._marks import annotation_marks, is_mark
from ..windows._recording import Recording
from ._cnt_files import channel_places, open_cnt, read_channels
from ._mat_files import list_variables, read_variable
from ._reading import (
    MICROVOLT,
    check_numbers,
    choose,
    contents,
    find_folder,
    make_recording,
    read_all,
)
from ._seed_tables import (
    CHANNELS,
    SEED_DATES,
    SEED_IV_LABELS,
    SEED_IV_WORDS,
    SEED_LABELS,
    SEED_STARTS,
    SEED_STOPS,
    SEED_V_LABELS,
    SEED_V_TIMES,
    SEED_VII_CLOCKS,
    SEED_VII_LABELS,
    SEED_WORDS,
    VIDEOS_PER_SESSION,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import PathLike
    from ..windows._windows import EEGWindows

_MAT_SFREQ = 200.0
_POINTS_PER_SECOND = 1000  # of the times in SEED's time.txt


def read_seed(
    root: PathLike,
    *,
    subjects: int | Sequence[int] | None = None,
    sessions: int | Sequence[int] | None = None,
    source: Literal["preprocessed", "raw"] = "preprocessed",
    window_seconds: float = 5.0,
    stride_seconds: float = 2.0,
    on_error: Literal["raise", "skip"] = "raise",
) -> EEGWindows:
    """Read SEED: 15 subjects who watched the same 15 film clips in three sessions.

    Each session is one recording of 62 channels.  Files are opened by their headers;
    samples are decoded when windows are read.

    Parameters
    ----------
    root : path-like
        The folder that holds "Preprocessed_EEG" ("SEED_RAW_EEG" for the raw
        recordings), that folder itself, or the parent of the one that holds it.
    subjects : int or sequence of int, default=None
        Numbers, 1 to 15, in the order wanted.  None: all that are there.
    sessions : int or sequence of int, default=None
        Numbers, 1 to 3.  None: all that are there.
    source : {"preprocessed", "raw"}, default="preprocessed"
        "preprocessed" reads the MATLAB files (200 Hz, filtered at 75 Hz), whose trials
        lie one after the other in the recording.  "raw" reads the Neuroscan files
        (1000 Hz) as they are, with what lies between the trials; 62 channels of a
        session take about 1 GB of memory.
    window_seconds : float, default=5.0
        Length of a window.
    stride_seconds : float, default=2.0
        Time from one window's start to the next within a trial.
    on_error : {"raise", "skip"}, default="raise"
        What a file that cannot be read does.  With "skip" each file is decoded once
        now, and what cannot be is left out with a warning; with "raise" damage beyond
        the headers shows when windows are read.

    Returns
    -------
    EEGWindows
        In volts; dataset "SEED", subjects "01" to "15", sessions "1" to "3", trials
        "1" to "15", stimuli "01" to "15" (the same clips in every session), labels
        "positive", "neutral" and "negative".

    Raises
    ------
    FileNotFoundError
        If there is no such folder, no recording, or none of a subject asked for.
    ValueError
        If a file is not as published (it is named), there are several for one
        session, or the folder's label.mat has other labels.

    See Also
    --------
    read_seed_iv : Four emotions, other clips in every session.
    read_seed_v : Five emotions, raw recordings.
    read_seed_vii : Seven emotions.

    Notes
    -----
    The names of the MATLAB files hold a date, not the session's number.  Where all
    dates of a subject are those of the publication they tell the session; otherwise
    the first date is session 1, and so on.

    The raw recordings' trials are where "time.txt" beside them says (samples at
    1000 Hz), and where the publication says without it.

    The authors hand out the data on request.

    References
    ----------
    Zheng W-L, Lu B-L. Investigating critical frequency bands and channels for
    EEG-based emotion recognition with deep neural networks. IEEE Transactions on
    Autonomous Mental Development 2015;7(3):162-175, doi:10.1109/TAMD.2015.2431497.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import read_seed
    >>> X = read_seed("SEED/SEED_EEG", subjects=[1, 2])  # doctest: +SKIP
    """
    subjects = check_numbers(subjects, range(1, 16), "subjects")
    sessions = check_numbers(sessions, range(1, 4), "sessions")
    check_option(source, ("preprocessed", "raw"), "source")
    check_option(on_error, ("raise", "skip"), "on_error")
    trials = _trials(SEED_LABELS, [f"{k:02d}" for k in range(1, 16)])
    if source == "raw":
        folder = find_folder(root, "SEED_RAW_EEG", "SEED")
        files = _list_files(folder, r"(?P<subject>\d+)_(?P<session>\d)\.cnt", 15, 3)
        example = "'1_1.cnt'"
    else:
        folder = find_folder(root, "Preprocessed_EEG", "SEED")
        pattern = r"(?P<subject>\d+)_(?P<session>\d{8})\.mat"
        files = _list_files(folder, pattern, 15, None)
        files = _number_sessions(files, subjects, folder)
        example = "'1_20131027.mat'"
        _check_seed_labels(folder)
    files = _choose(files, subjects, sessions, folder, example)
    if source == "raw":
        starts, stops = _seed_times(folder)

    def read(path, subject, session):
        whose = _whose("SEED", subject, session)
        if source == "raw":
            return _read_cnt(path, lambda raw: (starts, stops), trials, whose)
        numbers = range(1, 16)
        return _read_mat(path, r".*_eeg(\d+)", numbers, numbers, trials, whose)

    return read_all(
        files,
        read,
        on_error=on_error,
        window_seconds=window_seconds,
        stride_seconds=stride_seconds,
    )


def read_seed_iv(
    root: PathLike,
    *,
    subjects: int | Sequence[int] | None = None,
    sessions: int | Sequence[int] | None = None,
    window_seconds: float = 5.0,
    stride_seconds: float = 2.0,
    on_error: Literal["raise", "skip"] = "raise",
) -> EEGWindows:
    """Read SEED-IV: 15 subjects, three sessions of 24 film clips, four emotions.

    Each session is one recording of 62 channels at 200 Hz, its trials one after the
    other.  Files are opened by their headers; samples are decoded when windows are
    read.

    Parameters
    ----------
    root : path-like
        The folder that holds "eeg_raw_data", that folder itself, or the parent of the
        one that holds it.
    subjects : int or sequence of int, default=None
        Numbers, 1 to 15, in the order wanted.  None: all that are there.
    sessions : int or sequence of int, default=None
        Numbers, 1 to 3.  None: all that are there.
    window_seconds : float, default=5.0
        Length of a window.
    stride_seconds : float, default=2.0
        Time from one window's start to the next within a trial.
    on_error : {"raise", "skip"}, default="raise"
        What a file that cannot be read does.  With "skip" each file is decoded once
        now, and what cannot be is left out with a warning; with "raise" damage beyond
        the headers shows when windows are read.

    Returns
    -------
    EEGWindows
        In volts; dataset "SEED-IV", subjects "01" to "15", sessions "1" to "3", trials
        "1" to "24", stimuli "1-01" to "3-24" (session and trial: no clip was shown in
        two sessions), labels "neutral", "sad", "fear" and "happy".

    Raises
    ------
    FileNotFoundError
        If there is no such folder, no recording, or none of a subject asked for.
    ValueError
        If a file is not as published (it is named), there are several for one
        session, or the release's ReadMe.txt has other labels.

    See Also
    --------
    read_seed : Three classes, the same clips in every session.

    Notes
    -----
    The session is the number of the folder that a file is in.  The authors hand out
    the data on request.

    References
    ----------
    Zheng W-L, Liu W, Lu Y, Lu B-L, Cichocki A. EmotionMeter: a multimodal framework
    for recognizing human emotions. IEEE Transactions on Cybernetics
    2019;49(3):1110-1122, doi:10.1109/TCYB.2018.2797176.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import read_seed_iv
    >>> X = read_seed_iv("SEED_IV", sessions=1)  # doctest: +SKIP
    """
    subjects = check_numbers(subjects, range(1, 16), "subjects")
    sessions = check_numbers(sessions, range(1, 4), "sessions")
    check_option(on_error, ("raise", "skip"), "on_error")
    folder = find_folder(root, "eeg_raw_data", "SEED-IV")
    files = {}
    for session in SEED_IV_LABELS:
        inner = folder / str(session)
        if inner.is_dir():
            listed = _list_files(inner, r"(?P<subject>\d+)_\d{8}\.mat", 15, None)
            files |= {
                (subject, session): paths for (subject, _), paths in listed.items()
            }
    files = _choose(files, subjects, sessions, folder, "'1/1_20160518.mat'")
    _check_seed_iv_labels(folder)

    def read(path, subject, session):
        numbers = range(1, 25)
        trials = _trials(
            SEED_IV_LABELS[session], [f"{session}-{k:02d}" for k in numbers]
        )
        whose = _whose("SEED-IV", subject, session)
        return _read_mat(path, r".*_eeg(\d+)", numbers, numbers, trials, whose)

    return read_all(
        files,
        read,
        on_error=on_error,
        window_seconds=window_seconds,
        stride_seconds=stride_seconds,
    )


def read_seed_v(
    root: PathLike,
    *,
    subjects: int | Sequence[int] | None = None,
    sessions: int | Sequence[int] | None = None,
    window_seconds: float = 5.0,
    stride_seconds: float = 2.0,
    on_error: Literal["raise", "skip"] = "raise",
) -> EEGWindows:
    """Read SEED-V: 16 subjects, three sessions of 15 film clips, five emotions.

    Each session is one continuous raw recording of 62 channels at 1000 Hz, with what
    lies between the trials.  Files are opened by their headers; samples are decoded,
    up to 1 GB of a session, when windows are read.

    Parameters
    ----------
    root : path-like
        The folder that holds "EEG_raw", that folder itself, or the parent of the one
        that holds it.
    subjects : int or sequence of int, default=None
        Numbers, 1 to 16, in the order wanted.  None: all that are there.
    sessions : int or sequence of int, default=None
        Numbers, 1 to 3.  None: all that are there.
    window_seconds : float, default=5.0
        Length of a window.
    stride_seconds : float, default=2.0
        Time from one window's start to the next within a trial.
    on_error : {"raise", "skip"}, default="raise"
        What a file that cannot be read does.  With "skip" each file is decoded once
        now, and what cannot be is left out with a warning; with "raise" damage beyond
        the headers shows when windows are read.

    Returns
    -------
    EEGWindows
        In volts; dataset "SEED-V", subjects "01" to "16", sessions "1" to "3", trials
        "1" to "15", stimuli "1-01" to "3-15" (session and trial), labels "disgust",
        "fear", "sad", "neutral" and "happy".

    Raises
    ------
    FileNotFoundError
        If there is no such folder, no recording, or none of a subject asked for.
    ValueError
        If a file is not as published (it is named), or there are several for one
        session.

    See Also
    --------
    read_seed_vii : Seven emotions.

    Notes
    -----
    The number of the session in a file's name tells which clips were shown; the dates
    are not always in this order.

    Trials are where "trial_start_end_timestamp.txt", beside "EEG_raw" or in it, says,
    and where the publication says without it.

    The authors hand out the data on request.

    References
    ----------
    Liu W, Qiu J-L, Zheng W-L, Lu B-L. Comparing recognition performance and
    robustness of multimodal deep learning models for multimodal emotion recognition.
    IEEE Transactions on Cognitive and Developmental Systems 2022;14(2):715-729,
    doi:10.1109/TCDS.2021.3071170.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import read_seed_v
    >>> X = read_seed_v("SEED-V", subjects=1)  # doctest: +SKIP
    """
    subjects = check_numbers(subjects, range(1, 17), "subjects")
    sessions = check_numbers(sessions, range(1, 4), "sessions")
    check_option(on_error, ("raise", "skip"), "on_error")
    folder = find_folder(root, "EEG_raw", "SEED-V")
    pattern = r"(?P<subject>\d+)_(?P<session>\d)_\d{8}\.cnt"
    files = _list_files(folder, pattern, 16, 3)
    files = _choose(files, subjects, sessions, folder, "'1_1_20180804.cnt'")
    times = _seed_v_times(folder)

    def read(path, subject, session):
        stimuli = [f"{session}-{k:02d}" for k in range(1, 16)]
        trials = _trials(SEED_V_LABELS[session], stimuli)
        whose = _whose("SEED-V", subject, session)
        return _read_cnt(path, lambda raw: times[session], trials, whose)

    return read_all(
        files,
        read,
        on_error=on_error,
        window_seconds=window_seconds,
        stride_seconds=stride_seconds,
    )


def read_seed_vii(
    root: PathLike,
    *,
    subjects: int | Sequence[int] | None = None,
    sessions: int | Sequence[int] | None = None,
    source: Literal["preprocessed", "raw"] = "preprocessed",
    window_seconds: float = 5.0,
    stride_seconds: float = 2.0,
    on_error: Literal["raise", "skip"] = "raise",
) -> EEGWindows:
    """Read SEED-VII: 20 subjects, four sessions of 20 film clips, seven emotions.

    Each session is one recording of 62 channels.  Files are opened by their headers;
    samples are decoded when windows are read.

    Parameters
    ----------
    root : path-like
        The folder that holds "EEG_preprocessed" ("EEG_raw" for the raw recordings),
        that folder itself, or the parent of the one that holds it.
    subjects : int or sequence of int, default=None
        Numbers, 1 to 20, in the order wanted.  None: all that are there.
    sessions : int or sequence of int, default=None
        Numbers, 1 to 4.  None: all that are there.
    source : {"preprocessed", "raw"}, default="preprocessed"
        "preprocessed" reads the MATLAB files (200 Hz, filtered from 0.1 to 70 Hz and
        at 50 Hz), one for each subject, whose trials lie one after the other in a
        session's recording.  "raw" reads the Neuroscan files (1000 Hz) as they are,
        with what lies between the trials; 62 channels take 0.9 GB of memory an hour.
    window_seconds : float, default=5.0
        Length of a window.
    stride_seconds : float, default=2.0
        Time from one window's start to the next within a trial.
    on_error : {"raise", "skip"}, default="raise"
        What a file that cannot be read does.  With "skip" each file is decoded once
        now, and what cannot be is left out with a warning; with "raise" damage beyond
        the headers shows when windows are read.

    Returns
    -------
    EEGWindows
        In volts; dataset "SEED-VII", subjects "01" to "20", sessions "1" to "4", trials
        "1" to "20" (the place in the session), stimuli "01" to "80" (the release's
        number of the clip: session 2 begins with "21"), labels "happy", "neutral",
        "disgust", "sad", "anger", "surprise" and "fear".

    Raises
    ------
    FileNotFoundError
        If there is no such folder, no recording, none of a subject asked for, or the
        table of events is absent that one of two raw recordings needs.
    ValueError
        If a file is not as published (it is named), or there are several for one
        session.

    See Also
    --------
    read_seed_v : Five emotions.

    Notes
    -----
    Trials of the raw recordings begin and end in turn at their first 40 events.  Two
    recordings (subject 14 session 1, subject 9 session 3) have no usable events:
    their trials are where "save_info/<name>_trigger_info.csv", beside "EEG_raw", says.

    The authors hand out the data on request.

    References
    ----------
    Jiang W-B, Liu X-H, Zheng W-L, Lu B-L. SEED-VII: a multimodal dataset of six basic
    emotions with continuous labels for emotion recognition. IEEE Transactions on
    Affective Computing 2024, doi:10.1109/TAFFC.2024.3485057.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import read_seed_vii
    >>> X = read_seed_vii("SEED-VII", subjects=[1, 2])  # doctest: +SKIP
    """
    subjects = check_numbers(subjects, range(1, 21), "subjects")
    sessions = check_numbers(sessions, range(1, 5), "sessions")
    check_option(source, ("preprocessed", "raw"), "source")
    check_option(on_error, ("raise", "skip"), "on_error")
    if source == "raw":
        folder = find_folder(root, "EEG_raw", "SEED-VII")
        pattern = r"(?P<subject>\d+)_\d{8}_(?P<session>\d)\.cnt"
        files = _list_files(folder, pattern, 20, 4)
        example = "'1_20221001_1.cnt'"
    else:
        folder = find_folder(root, "EEG_preprocessed", "SEED-VII")
        listed = _list_files(folder, r"(?P<subject>\d+)\.mat", 20, None)
        files = {
            (subject, session): paths
            for (subject, _), paths in listed.items()
            for session in SEED_VII_LABELS
        }
        example = "'1.mat'"
    files = _choose(files, subjects, sessions, folder, example)

    def read(path, subject, session):
        first = (session - 1) * VIDEOS_PER_SESSION + 1
        videos = range(first, first + VIDEOS_PER_SESSION)
        trials = _trials(SEED_VII_LABELS[session], [f"{k:02d}" for k in videos])
        whose = _whose("SEED-VII", subject, session)
        if source == "raw":
            return _read_cnt(path, partial(_seed_vii_times, path), trials, whose)
        return _read_mat(path, r"(\d+)", videos, range(1, 81), trials, whose)

    return read_all(
        files,
        read,
        on_error=on_error,
        window_seconds=window_seconds,
        stride_seconds=stride_seconds,
    )


def _trials(labels, stimuli):
    return [
        {"trial": str(number), "stimulus": stimulus, "label": label}
        for number, (label, stimulus) in enumerate(
            zip(labels, stimuli, strict=True), start=1
        )
    ]


def _whose(dataset, subject, session):
    return {
        "dataset": dataset,
        "subject": f"{subject:02d}",
        "session": str(session),
    }


# Which files there are


def _list_files(folder, pattern, n_subjects, n_sessions):
    """List the files of a folder by subject and by what names the session.

    Parameters
    ----------
    folder : Path
        Where to look.
    pattern : str
        Of a whole name, with a group "subject" and perhaps one "session".
    n_subjects, n_sessions : int
        How many there are; None where the session is no number from 1 on.

    Returns
    -------
    dict of (int, int or None) to list of Path
    """
    files, foreign = {}, []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):  # leftovers of file managers
            continue
        match = re.fullmatch(pattern, path.name, flags=re.IGNORECASE)
        if match:
            found = match.groupdict()
            subject = int(found["subject"])
            session = int(found["session"]) if "session" in found else None
            if 1 <= subject <= n_subjects and (
                n_sessions is None or 1 <= session <= n_sessions
            ):
                files.setdefault((subject, session), []).append(path)
                continue
        suffix = "." + pattern.rpartition(".")[2]
        if path.suffix.lower() == suffix and path.name.lower() != "label.mat":
            foreign.append(path.name)
    if foreign and files:
        warnings.warn(
            f"{len(foreign)} files in {str(folder)!r} are left out: their names are "
            f"not those of the release: {list_some(foreign)}.",
            stacklevel=3,
        )
    return files


def _number_sessions(files, subjects, folder):
    """Replace the dates of SEED's files by numbers of sessions."""
    dates = {}
    for subject, date in sorted(files):
        dates.setdefault(subject, []).append(date)
    numbered = {}
    for (subject, date), paths in files.items():
        days = dates[subject]
        if len(days) > 3 and (subjects is None or subject in subjects):
            raise ValueError(
                f"Subject {subject} has files of {len(days)} dates in {str(folder)!r}: "
                f"{list_some(days)}; expected 3 sessions. Move the others away."
            )
        if set(days) <= set(SEED_DATES[subject]):
            days = SEED_DATES[subject]
        numbered[subject, days.index(date) + 1] = paths
    return numbered


def _choose(files, subjects, sessions, folder, example):
    """Choose the files that are wanted, and make sure that each is the only one."""
    looked_for = (
        f"{example} and the like in {str(folder)!r}, which holds {contents(folder)}"
    )
    chosen = choose(files, subjects, sessions, looked_for=looked_for)
    for (subject, session), paths in chosen.items():
        if len(paths) > 1:
            raise ValueError(
                f"{len(paths)} files for subject {subject}, session {session} in "
                f"{str(paths[0].parent)!r}: {list_some(path.name for path in paths)}; "
                "expected one. Move the others away."
            )
    return {key: paths[0] for key, paths in chosen.items()}


# Labels and times that the release tells of


def _around(folder):
    """Return the parent folder, of the link where a folder or file is one."""
    return Path(os.path.abspath(folder)).parent


def _find_beside(folder, name):
    """Return a file of the release in a folder or the one around it, or None."""
    for place in (folder, _around(folder)):
        for path in sorted(place.iterdir()):
            if path.name.lower() == name and path.is_file():
                return path
    return None


def _check_seed_labels(folder):
    """Raise if label.mat, where it is, has other labels than those given here."""
    from scipy.io import loadmat

    path = folder / "label.mat"
    if not path.is_file():
        return
    with naming(path):
        variables = loadmat(path)
        if "label" not in variables:
            names = [name for name in variables if not name.startswith("__")]
            raise ValueError(f"expected the variable 'label', found {list_some(names)}")
        codes = np.asarray(variables["label"]).ravel().tolist()
    _compare_labels(path, codes, SEED_WORDS, SEED_LABELS)


def _check_seed_iv_labels(folder):
    """Raise if ReadMe.txt, where it is, has other labels than those given here."""
    path = _find_beside(folder, "readme.txt")
    if path is None:
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    for session, listed in re.findall(r"session(\d)_label\s*=\s*\[([^\]]*)\]", text):
        if int(session) in SEED_IV_LABELS:
            _compare_labels(
                path,
                _numbers(listed),
                dict(enumerate(SEED_IV_WORDS)),
                SEED_IV_LABELS[int(session)],
                f" of session {session}",
            )


def _compare_labels(path, codes, words, labels, which=""):
    found = [words.get(code, code) for code in codes]
    if found != labels:
        raise ValueError(
            f"{str(path)!r} has other labels{which} than the publication: found "
            f"{list_some(found, 30)}; expected {list_some(labels, 30)}."
        )


def _numbers(text):
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


def _listed_times(text):
    """Return starts and stops, (15,) each, of a text; None if they are not there."""
    times = []
    for word in ("start", "end"):
        match = re.search(word + r"\w*\s*[:=]?\s*\[([^\]]*)\]", text, re.IGNORECASE)
        times.append(tuple(_numbers(match[1])) if match else ())
    return tuple(times) if [len(some) for some in times] == [15, 15] else None


def _say_if_other(path, found, known):
    """Warn where a release's file of times differs from what was published."""
    if found is None:
        warnings.warn(
            f"{str(path)!r} is not understood: expected lists of 15 numbers that are "
            "called start and end. The times of the publication are used.",
            stacklevel=4,
        )
    elif found != known:
        warnings.warn(
            f"The times in {str(path)!r} are not those of the publication; the "
            "file's are used.",
            stacklevel=4,
        )


def _seed_times(folder):
    """Return starts and stops, in seconds, of the trials of SEED's raw recordings."""
    known = SEED_STARTS, SEED_STOPS
    path = _find_beside(folder, "time.txt")
    if path is None:
        return known
    found = _listed_times(path.read_text(encoding="utf-8", errors="replace"))
    if found is not None:
        found = tuple(
            tuple(point / _POINTS_PER_SECOND for point in some) for some in found
        )
    _say_if_other(path, found, known)
    return found or known


def _seed_v_times(folder):
    """Return starts and stops, in seconds, by session of SEED-V."""
    path = _find_beside(folder, "trial_start_end_timestamp.txt")
    if path is None:
        return SEED_V_TIMES
    text = path.read_text(encoding="utf-8", errors="replace")
    blocks = re.split(r"session\s*(\d)", text, flags=re.IGNORECASE)
    found = {
        int(session): times
        for session, block in zip(blocks[1::2], blocks[2::2], strict=True)
        if (times := _listed_times(block))
    }
    if set(found) != set(SEED_V_TIMES):
        found = None
    _say_if_other(path, found, SEED_V_TIMES)
    return found or SEED_V_TIMES


def _seed_vii_times(path, raw):
    """Return starts and stops, in seconds, of the trials of a raw SEED-VII file."""
    if path.stem in SEED_VII_CLOCKS:
        onsets = _clocked_events(path)
    else:
        onsets = sorted(
            onset
            for onset, text in zip(
                raw.annotations.onset, raw.annotations.description, strict=True
            )
            if not is_mark(text)
        )[: 2 * VIDEOS_PER_SESSION]
        if len(onsets) < 2 * VIDEOS_PER_SESSION:
            raise ValueError(
                f"it has {len(onsets)} events, expected at least "
                f"{2 * VIDEOS_PER_SESSION}: start and end of "
                f"{VIDEOS_PER_SESSION} trials"
            )
    return onsets[0::2], onsets[1::2]


def _clocked_events(path):
    """Return the onsets of events, in seconds, that the playing computer noted."""
    release = _around(path.parent)
    table = release / "save_info" / f"{path.stem}_trigger_info.csv"
    if not table.is_file():
        raise FileNotFoundError(
            f"{str(path)!r} has no usable events, and {str(table)!r}, which tells "
            "when its trials began and ended, does not exist."
        )
    day = path.stem.split("_")[1]
    begin = datetime.strptime(day + SEED_VII_CLOCKS[path.stem], "%Y%m%d%H:%M:%S")
    with naming(table), table.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file) if row][: 2 * VIDEOS_PER_SESSION]
        codes = [row[0].strip() for row in rows]
        if codes != ["1", "2"] * VIDEOS_PER_SESSION:
            raise ValueError(
                f"expected {2 * VIDEOS_PER_SESSION} rows that begin with 1 and 2 in "
                f"turn, found {len(codes)}: {list_some(codes, 40)}"
            )
        times = [datetime.fromisoformat(row[1].strip()) for row in rows]
    return [(time - begin).total_seconds() for time in times]


# What is in a file


def _read_mat(path, pattern, numbers, known, trials, whose):
    """Make the recording of trials that are variables of a MATLAB file.

    Parameters
    ----------
    path : Path
        The file.
    pattern : str
        Of a variable's name, with the trial's number as its group.
    numbers, known : sequence of int
        Of the trials that are wanted, and of all in such a file.
    trials : list of dict
        What is known of those wanted.
    whose : dict
        Dataset, subject and session.

    Returns
    -------
    Recording
    """
    variables = list_variables(path)
    found = {}
    for variable in variables:
        match = re.fullmatch(pattern, variable.name)
        if match:
            found.setdefault(int(match[1]), []).append(variable)
    names = list_some(variable.name for variable in variables) or "none"
    lacking = [number for number in numbers if number not in found]
    if lacking:
        raise ValueError(
            f"it lacks trials {list_some(lacking, 24)} of {numbers[0]} to "
            f"{numbers[-1]}: variables named {_example(pattern)}; found {names}. "
            + "Perhaps it is of another dataset"
            * (lacking == list(numbers))
        )
    more = [number for number in sorted(found) if number not in known]
    if more:
        raise ValueError(
            f"it has trials {list_some(more)}, expected {known[0]} to {known[-1]} "
            "alone: perhaps it is of another dataset"
        )
    chosen = []
    for number in numbers:
        if len(found[number]) > 1:
            twice = list_some(variable.name for variable in found[number])
            raise ValueError(f"it has trial {number} more than once: {twice}")
        chosen.append(_check_shape(found[number][0]))
    return make_recording(
        path,
        partial(_decode_trials, variables=tuple(chosen)),
        [variable.shape[1] for variable in chosen],
        trials,
        ch_names=CHANNELS,
        sfreq=_MAT_SFREQ,
        **whose,
    )


def _example(pattern):
    return "'1', '2', ..." if pattern.startswith("(") else "'xy_eeg1', 'xy_eeg2', ..."


def _check_shape(variable):
    shape = variable.shape
    if (
        not variable.is_real
        or len(shape) != 2
        or shape[0] != len(CHANNELS)
        or shape[1] < 1
    ):
        what = "" if variable.is_real else ", not of real numbers"
        raise ValueError(
            f"variable {variable.name!r} has shape {shape}{what}; expected "
            f"({len(CHANNELS)}, n_times)"
        )
    return variable


def _decode_trials(path, variables):
    """Read trials, in microvolts, and join them (n_channels, n_times), in volts."""
    lengths = [variable.shape[1] for variable in variables]
    signal = np.empty((len(CHANNELS), sum(lengths)), np.float32)
    stop = 0
    for variable, length in zip(variables, lengths, strict=True):
        start, stop = stop, stop + length
        values, part = read_variable(path, variable), signal[:, start:stop]
        np.multiply(values, MICROVOLT, out=part, casting="same_kind")
    return signal


def _read_cnt(path, find_times, trials, whose):
    """Make the recording of a raw file, with its trials inside.

    Parameters
    ----------
    path : Path
        The file.
    find_times : callable
        Takes the Raw, and returns starts and stops of the trials in seconds.
    trials : list of dict
        What is known of them.
    whose : dict
        Dataset, subject and session.

    Returns
    -------
    Recording
    """
    raw = open_cnt(path)
    channel_places(raw, CHANNELS)
    rows = [
        {"start": start, "stop": stop} | trial
        for start, stop, trial in zip(*find_times(raw), trials, strict=True)
    ]
    decode = partial(read_channels, ch_names=CHANNELS)
    signal = DecodedSignal(path, (len(CHANNELS), raw.n_times), decode)
    marks = annotation_marks(raw)._asdict()
    return Recording(signal, CHANNELS, raw.info["sfreq"], trials=rows, **marks, **whose)
