"""Readers of the SEED family: SEED, SEED-IV, SEED-V and SEED-VII.

The four share a cap of 62 channels, MATLAB files at 200 Hz in microvolts with one
variable for each trial, and Neuroscan files at 1000 Hz.  How files are named, and which
clip evoked which emotion, differs: `_seed_tables` has a record of each dataset.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from .._io._signals import DecodedSignal, naming
from .._validation import check_option, list_some, warn
from ..windows._marks import annotation_marks, is_mark
from ..windows._recording import Recording
from ._cnt_files import channel_places, open_cnt, read_channels
from ._mat_files import list_variables, read_variables
from ._reading import check_shape, find_files, join_trials, read_all
from ._seed_tables import CHANNELS, SEED, SEED_IV, SEED_V, SEED_VII, SEED_VII_CLOCKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import PathLike
    from ..windows._windows import EEGWindows

_MAT_SFREQ = 200.0


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
    files, read = _open(SEED, root, subjects, sessions, source)
    return read_all(files, read, on_error, window_seconds, stride_seconds)


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
    files, read = _open(SEED_IV, root, subjects, sessions, "preprocessed")
    return read_all(files, read, on_error, window_seconds, stride_seconds)


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
    files, read = _open(SEED_V, root, subjects, sessions, "raw")
    return read_all(files, read, on_error, window_seconds, stride_seconds)


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
    files, read = _open(SEED_VII, root, subjects, sessions, source)
    return read_all(files, read, on_error, window_seconds, stride_seconds)


def _open(dataset, root, subjects, sessions, source):
    """Return the files of a dataset, and a function that reads one of them."""
    check_option(source, dataset.files, "source")
    folder, files = find_files(
        root,
        dataset.name,
        [dataset.files[source]],
        subjects=subjects,
        known_subjects=range(1, dataset.n_subjects + 1),
        sessions=sessions,
        known_sessions=list(dataset.labels),
        dates=dataset.dates,
    )
    _check_labels(folder, dataset)
    if source == "preprocessed":
        return files, partial(_read_mat, dataset=dataset)
    return files, partial(
        _read_cnt, dataset=dataset, times=_release_times(folder, dataset)
    )


def _describe(dataset, subject, session):
    subject = f"{subject:02d}"
    return {"dataset": dataset.name, "subject": subject, "session": str(session)}


# Labels and times that the release tells of


def _around(folder):
    """Return the parent folder, of the link where a folder or file is one."""
    return Path(os.path.abspath(folder)).parent


def _find_beside(folder, name):
    """Return a file of the release in a folder or the one around it, or None."""
    for place in (folder, _around(folder)) if name else ():
        for path in sorted(place.iterdir()):
            if path.name.lower() == name and path.is_file():
                return path
    return None


def _check_labels(folder, dataset):
    """Raise if the release's own labels, where they are, differ from the published."""
    path = _find_beside(folder, dataset.label_file)
    if path is None:
        return
    with naming(path):
        if path.suffix == ".mat":  # one list for all sessions
            list_variables(path, needed=["label"])
            (codes,) = read_variables(path, ["label"])
            found = dict.fromkeys(dataset.labels, codes.ravel().tolist())
        else:
            text = path.read_text(encoding="utf-8", errors="replace")
            lists = re.findall(r"session(\d)_label\s*=\s*\[([^\]]*)\]", text)
            found = {int(session): _numbers(codes) for session, codes in lists}
    for session, expected in dataset.labels.items():
        words = [dataset.words.get(code, code) for code in found.get(session, ())]
        if session in found and words != expected:
            raise ValueError(
                f"{str(path)!r} has other labels of session {session} than the "
                f"publication: found {list_some(words, 30)}; expected "
                f"{list_some(expected, 30)}."
            )


def _numbers(text):
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


def _release_times(folder, dataset):
    """Return starts and stops, in seconds, of the trials in raw recordings.

    They are those in the release's own file where it is there and understood, else
    those of the publication.

    Returns
    -------
    dict of int to (tuple, tuple)
        By session; empty where the events of the recordings tell them.
    """
    path = _find_beside(folder, dataset.time_file)
    if path is None:
        return dataset.times
    text = path.read_text(encoding="utf-8", errors="replace")
    if len(set(dataset.times.values())) == 1:  # all sessions have the same times
        blocks = dict.fromkeys(dataset.times, text)
    else:
        parts = re.split(r"session\s*(\d)", text, flags=re.IGNORECASE)
        blocks = dict(zip(map(int, parts[1::2]), parts[2::2], strict=True))
    found = {}
    for session, block in blocks.items():
        lists = [
            re.search(word + r"\w*\s*[:=]?\s*\[([^\]]*)\]", block, re.IGNORECASE)
            for word in ("start", "end")
        ]
        if all(lists):
            found[session] = tuple(
                tuple(number / dataset.ticks for number in _numbers(match[1]))
                for match in lists
            )
    shapes = {session: [*map(len, times)] for session, times in found.items()}
    if shapes != {k: [len(labels)] * 2 for k, labels in dataset.labels.items()}:
        warn(
            f"{str(path)!r} is not understood: expected, for each session, lists "
            "called start and end with a number for each trial. The times of the "
            "publication are used."
        )
        return dataset.times
    if found != dataset.times:
        warn(
            f"The times in {str(path)!r} are not those of the publication; the "
            "file's are used."
        )
    return found


# What is in a file


def _read_mat(path, subject, session, *, dataset):
    """Make the recording of a session whose trials are variables of a MATLAB file."""
    trials = dataset.trials(session)
    n_known = len(trials) * (len(dataset.labels) if dataset.one_file else 1)
    # Where a file holds all sessions, their trials follow each other in its numbers.
    before = len(trials) * (session - 1) % n_known
    numbers = range(before + 1, before + len(trials) + 1)
    shapes = list_variables(path)
    names = {}
    for name in shapes:
        if match := re.fullmatch(dataset.variable, name):
            names.setdefault(int(match[1]), []).append(name)
    twice = [names[n] for n in numbers if len(names.get(n, ())) > 1]
    faults = {
        "lacks trials": [number for number in numbers if number not in names],
        "has more trials:": [n for n in sorted(names) if not 1 <= n <= n_known],
        "has trials twice:": sum(twice, []),
    }
    said = [f"{what} {list_some(which, 24)}" for what, which in faults.items() if which]
    if said:
        raise ValueError(
            f"it {' and '.join(said)}; expected the trials 1 to {n_known} of "
            f"{dataset.name}, numeric variables called '{dataset.variable}', found "
            f"{list_some(shapes) or 'none'}"
        )
    wanted = [names[number][0] for number in numbers]
    for name in wanted:
        check_shape(name, shapes[name], (len(CHANNELS), None))
    return join_trials(
        path,
        partial(read_variables, names=wanted),
        [shapes[name][1] for name in wanted],
        trials,
        ch_names=CHANNELS,
        sfreq=_MAT_SFREQ,
        **_describe(dataset, subject, session),
    )


def _read_cnt(path, subject, session, *, dataset, times):
    """Make the recording of a raw file, with its trials inside."""
    raw = open_cnt(path)
    channel_places(raw, CHANNELS)  # raises if the file lacks one
    trials = dataset.trials(session)
    starts, stops = times.get(session) or _event_times(path, raw, len(trials))
    return Recording(
        DecodedSignal(
            path,
            (len(CHANNELS), raw.n_times),
            partial(read_channels, ch_names=CHANNELS),
        ),
        CHANNELS,
        raw.info["sfreq"],
        trials=pd.DataFrame(trials).assign(start=starts, stop=stops),
        **annotation_marks(raw)._asdict(),
        **_describe(dataset, subject, session),
    )


def _event_times(path, raw, n_trials):
    """Return starts and stops, in seconds: the events of a raw file in turn."""
    if path.stem in SEED_VII_CLOCKS:
        onsets = _clocked_events(path, n_trials)
    else:
        events = zip(raw.annotations.onset, raw.annotations.description, strict=True)
        onsets = sorted(onset for onset, text in events if not is_mark(text))
    if len(onsets) < 2 * n_trials:
        raise ValueError(
            f"it has {len(onsets)} events, expected at least {2 * n_trials}: start and "
            f"end of {n_trials} trials"
        )
    return onsets[0 : 2 * n_trials : 2], onsets[1 : 2 * n_trials : 2]


def _clocked_events(path, n_trials):
    """Return the onsets of events, in seconds, that the playing computer noted."""
    table = _around(path.parent) / "save_info" / f"{path.stem}_trigger_info.csv"
    if not table.is_file():
        raise FileNotFoundError(
            f"{str(path)!r} has no usable events, and {str(table)!r}, which tells "
            "when its trials began and ended, does not exist."
        )
    day = path.stem.split("_")[1]
    begin = datetime.strptime(day + SEED_VII_CLOCKS[path.stem], "%Y%m%d%H:%M:%S")
    with naming(table):
        rows = pd.read_csv(
            table, header=None, nrows=2 * n_trials, dtype=str, encoding="utf-8-sig"
        )
        codes = rows[0].str.strip().tolist()
        if codes != ["1", "2"] * n_trials:
            raise ValueError(
                f"expected {2 * n_trials} rows that begin with 1 and 2 in turn, found "
                f"{len(codes)}: {list_some(codes, 40)}"
            )
        times = [datetime.fromisoformat(time.strip()) for time in rows[1]]
    return [(time - begin).total_seconds() for time in times]
