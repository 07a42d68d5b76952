"""EmoEEG-MC: 60 people, the same emotions from clips and from imagination."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from .._io._signals import naming
from .._validation import check_option
from ._download import PUBLIC_DATASETS, fetch_files
from ._emotions import common_word
from ._open_tables import check_subjects, read_tsv, to_numbers, unit_by_amplitude
from ._reading import MICROVOLT, join_trials, read_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import PathLike
    from ..windows._windows import EEGWindows

_DATASET = PUBLIC_DATASETS["EmoEEG-MC"]
_SUBJECTS = tuple(f"{number:02d}" for number in range(1, 61))
_SFREQ = 200.0
_N_TIMES = 6000
_CHANNELS = (
    "Fp1", "Fpz", "Fp2", "AF7", "AF3", "AF4", "AF8", "F7", "F5", "F3", "F1", "Fz", "F2",
    "F4", "F6", "F8", "FT7", "FC5", "FC3", "FC1", "FCz", "FC2", "FC4", "FC6", "FT8",
    "T7", "C5", "C3", "C1", "Cz", "C2", "C4", "C6", "T8", "TP7", "CP5", "CP3", "CP1",
    "CPz", "CP2", "CP4", "CP6", "TP8", "P7", "P5", "P3", "P1", "Pz", "P2", "P4", "P6",
    "P8", "PO7", "PO3", "POz", "PO4", "PO8", "O1", "Oz", "O2", "F9", "F10", "TP9",
    "TP10",
)  # fmt: skip
_EMOTIONS = {
    "sad": "sadness",
    "dis": "disgust",
    "fear": "fear",
    "neu": "neutral",
    "joy": "joy",
    "ten": "tenderness",
    "ins": "inspiration",
}
# The order of trials in the files: three scenarios of each emotion.
SCENARIOS = tuple(f"{emotion}{number}" for emotion in _EMOTIONS for number in (4, 5, 8))
"""Names of the clips, and of what was imagined."""

CONTEXTS = {"video": "vid", "imagery": "ima"}
"""Each context, and the name of its session."""

# Scenarios that a subject lacks, by the sequences that the authors list.
_MISSING = {
    ("56", "ima"): "dis4 fear8",
    ("57", "ima"): "sad4 dis4 dis8 ten4",
    ("57", "vid"): "dis4 fear8 neu4 neu5 joy8 ins5",
    ("58", "ima"): "dis4 ten5 ins4",
    ("59", "ima"): "sad8 neu5 joy8 ten5 ins4 ins5",
    ("59", "vid"): "sad4 dis4 dis8 ins4",
    ("60", "ima"): (
        "sad5 sad8 dis8 fear4 fear5 fear8 joy4 joy5 joy8 ten5 ten8 ins4 ins5 ins8"
    ),
    ("60", "vid"): "sad5 sad8 dis8 fear4 fear5 fear8 joy4 joy5 joy8 ten8 ins5 ins8",
}
# The list of 55 names 18 trials a context; the files hold 20 and 19.
_NAMELESS = ("55",)

_RATINGS = (
    "joy", "inspiration", "tenderness", "sadness", "fear", "disgust", "arousal",
    "valence", "familiarity", "liking",
)  # fmt: skip
# What the numbers in the tables of ratings stand for: 1 to 21 what was imagined, 22 to
# 42 the clips, in this order.
_NUMBERED = tuple(
    f"{emotion}{number}"
    for emotion in ("joy", "ins", "ten", "sad", "fear", "dis", "neu")
    for number in (4, 8, 5)
)
# The authors list the sequence of each of these two as the other one's.
_SWAPPED = ("53", "54")


def fetch_emoeeg_mc(
    data_home: PathLike | None = None,
    subjects: int | str | Sequence[int | str] | None = None,
    download: bool = True,
    *,
    context: Literal["video", "imagery", "both"] = "video",
    window_seconds: float = 5.0,
    stride_seconds: float = 2.0,
    on_error: Literal["raise", "skip"] = "raise",
    base_url: str | None = None,
    progress: bool = True,
) -> EEGWindows:
    """Load EmoEEG-MC: emotions from clips and imagination, downloading what is missing.

    60 subjects watched 21 clips of seven emotions, and imagined a scenario of their own
    for each.  The authors' cleaned data are read: the last 30 seconds of each clip, and
    30 seconds of each imagination.

    Parameters
    ----------
    data_home : path-like, default=None
        Folder whose subfolder ``ds005540`` is looked in first and downloaded to.  None:
        a cache folder of the operating system's choice.
    subjects : int, str or sequence of them, default=None
        Numbers of the subjects, 1 to 60, or their names, "01" to "60", in the order
        wanted.  None: all but 55, or with ``download=False`` all of these that are
        present.
    download : bool, default=True
        Fetch missing files from OpenNeuro: 7.6 GB in all, half of it for one context.
    context : {"video", "imagery", "both"}, default="video"
        The clips, what was imagined, or both.
    window_seconds : float, default=5.0
        Length of a window in seconds.
    stride_seconds : float, default=2.0
        Step between windows of a trial in seconds.
    on_error : {"raise", "skip"}, default="raise"
        What a file that cannot be read does.  "skip" leaves it out with one warning
        that names all such files; for that, all files are read to their end at once.
    base_url : str, default=None
        Another address to download from, for a mirror.
    progress : bool, default=True
        Say the size before a download, and show a progress bar, on standard error.

    Returns
    -------
    EEGWindows
        Windows in volts of 64 channels at 200 Hz: dataset "EmoEEG-MC", subjects "01" to
        "60", session "vid" or "ima".  Trial and the column ``scenario`` are the
        scenario's name, such as "sad4", the same in both contexts.  Stimulus is that
        name for clips, and None for imagination, which has no moment in common with
        anybody's.  Labels are words of `EMOTIONS`; the authors' own word is in the
        column ``emotion``.  The subject's ratings, 0 to 7, are columns: ``joy``,
        ``inspiration``, ``tenderness``, ``sadness``, ``fear``, ``disgust``,
        ``arousal``, ``valence``, ``familiarity``, ``liking``; they are missing where
        the tables do not tell which trial a row is of (see Notes).

    Raises
    ------
    ValueError
        If a subject is unknown, or 55 is asked for; a file is damaged, or does not hold
        the trials that the authors list.
    FileNotFoundError
        With ``download=False``, if a subject that was asked for lacks a file, or
        nobody is present.
    OSError
        If a download fails for good.

    See Also
    --------
    fetch_open_emotion : This and two other openly licensed datasets together.

    Notes
    -----
    Subject 55 is left out: the files hold 20 and 19 trials, and the authors list 18 and
    18, so that nobody knows which trial is which.

    Rows of the tables of ratings stand in the order in which the subject met the
    trials: three of one context, then the same three emotions of the other one, which
    of them first is random.  The column ``video_name`` holds the number of the trial
    for subjects 25 to 54, and for the others that of the first trial in every row.  So
    ratings can be told for 28 subjects, 25 to 52: read like this, the rated emotion is
    the scenario's in 83 % of the rows, and in 28 % if rows were the imaginations
    followed by the clips.  53 and 54 are left out because the authors list the sequence
    of each as the other's.

    Files do not state their unit: it is microvolts or volts, whichever gives amplitudes
    that EEG can have.  An onset counts from the beginning of the 30 seconds.  The
    authors thank those of FACED for clips: some of the 21 may be clips of FACED, and
    which ones is not published.

    Files are looked for in `data_home`, then in the folder that the environment
    variable ``SKLEARN_MDJPT_DATA`` names, then in the cache.  Each download is checked
    against a digest, and goes on where it was cut off.  OpenNeuro's server could not be
    tried; ``base_url`` takes another.

    Licence of the data: CC0.  Cite both references when you use them.

    References
    ----------
    Xu X, Shen X, Chen X, et al. A multi-context emotional EEG dataset for cross-context
    emotion decoding. Scientific Data 2025, doi:10.1038/s41597-025-05349-2.

    EmoEEG-MC 1.0.7, OpenNeuro, doi:10.18112/openneuro.ds005540.v1.0.7.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import fetch_emoeeg_mc
    >>> X = fetch_emoeeg_mc(subjects=[1, 2], context="both")  # doctest: +SKIP
    """
    check_option(context, (*CONTEXTS, "both"), "context")
    check_option(on_error, ("raise", "skip"), "on_error")
    sessions = sessions_of(context)
    signals, tables = _find_files(
        subjects,
        sessions,
        data_home=data_home,
        download=download,
        base_url=base_url,
        progress=progress,
    )
    return read_all(
        signals,
        partial(_read_session, tables=tables),
        on_error,
        window_seconds,
        stride_seconds,
    )


def sessions_of(context):
    """Return the names of the sessions of "video", "imagery" or "both"."""
    return list(CONTEXTS.values()) if context == "both" else [CONTEXTS[context]]


def _find_files(subjects, sessions, **where):
    """Find the files of each subject, as `fetch_emoeeg_mc` does.

    Returns
    -------
    signals : dict of (str, str) to Path
        The file of each subject and session.
    tables : dict of str to Path
        The table of ratings of each subject.
    """
    paths = wanted_files(subjects, sessions)
    found = fetch_files(
        _DATASET, paths, required=subjects is not None, other_names=other_names, **where
    )
    signals = {
        (name, session): files[path]
        for name, files in found.items()
        for session, path in zip(sessions, paths[name][1:], strict=True)
    }
    return signals, {name: found[name][paths[name][0]] for name in found}


def wanted_files(subjects, sessions):
    """Return the files of each subject that is wanted: the ratings, then each session.

    Returns
    -------
    dict of str to list of str
        Paths in the dataset.
    """
    wanted = check_subjects(subjects, _SUBJECTS, "EmoEEG-MC")
    nameless = [name for name in wanted if name in _NAMELESS]
    if nameless and subjects is not None:
        raise ValueError(
            f"Subject {nameless[0]} cannot be read: the files hold 20 and 19 trials, "
            "and the authors list 18 and 18, so that nobody knows which trial is "
            "which. Leave it out."
        )
    by_session = {
        re.match(r"derivatives/sub-(\d+)/ses-(\w+?)/", path).groups(): path
        for path in _DATASET.manifest
        if path.endswith("_reorder.npy")
    }
    table = "sub-{0}/beh/sub-{0}_task-emotion_beh.tsv"
    return {
        name: [table.format(name), *(by_session[name, s] for s in sessions)]
        for name in wanted
        if name not in _NAMELESS
    }


def other_names(path):
    """Return where else a signal may lie: some have a folder "eeg", some have none."""
    folder, _, name = path.rpartition("/")
    if not path.startswith("derivatives"):
        return ()
    if folder.endswith("/eeg"):
        return (f"{folder.removesuffix('/eeg')}/{name}",)
    return (f"{folder}/eeg/{name}",)


def emoeeg_trials(subject, session, ratings=None):
    """Return the trials of a file, in its order.

    Parameters
    ----------
    subject, session : str
        Such as "07" and "vid".
    ratings : dict, default=None
        As `emoeeg_ratings` returns it.

    Returns
    -------
    list of dict
        The columns that `fetch_emoeeg_mc` names.
    """
    missing = _MISSING.get((subject, session), "").split()
    trials = []
    for scenario in SCENARIOS:
        if scenario in missing:
            continue
        emotion = _EMOTIONS[scenario.rstrip("458")]
        trials.append(
            {
                "trial": scenario,
                # What people imagine has no moment in common.
                "stimulus": scenario if session == "vid" else None,
                "label": common_word(emotion),
                "emotion": emotion,
                "scenario": scenario,
                **dict.fromkeys(_RATINGS, np.nan),
                **(ratings or {}).get((session, scenario), {}),
            }
        )
    return trials


def emoeeg_ratings(path, subject):
    """Read the ratings of a subject, where it can be told what each row is of.

    Parameters
    ----------
    path : Path
        ``*_beh.tsv``.
    subject : str
        Such as "07".

    Returns
    -------
    dict of (str, str) to dict of str to float
        Ratings by name, of each session and scenario; empty where rows are nameless.
    """
    columns = [f"score_{k}" for k in range(1, len(_RATINGS) + 1)]
    table = read_tsv(path, ["video_name", *columns])
    # Some cells were written as [[38]].
    numbers = pd.to_numeric(table["video_name"].str.strip("[]"), errors="coerce")
    # Where rows have no numbers of their own, all have that of the first trial.
    if subject in _SWAPPED or sorted(numbers) != list(range(1, 2 * len(_NUMBERED) + 1)):
        return {}
    with naming(path):
        scores = table[columns].apply(to_numbers).set_axis(_RATINGS, axis=1)
    ratings = {}
    for number, row in zip(numbers, scores.to_dict("records"), strict=True):
        is_clip, place = divmod(int(number) - 1, len(_NUMBERED))
        ratings["vid" if is_clip else "ima", _NUMBERED[place]] = row
    return ratings


def _read_session(path, subject, session, *, tables):
    """Make the recording of one subject in one context."""
    trials = emoeeg_trials(subject, session, emoeeg_ratings(tables[subject], subject))
    array = np.load(path, mmap_mode="r")
    expected = (len(trials), len(_CHANNELS), _N_TIMES)
    if array.shape != expected:
        raise ValueError(
            f"expected {expected[0]} trials x {expected[1]} channels x {expected[2]} "
            f"samples, found the shape {array.shape}"
        )
    unit = unit_by_amplitude(np.array(array[len(array) // 2]), (MICROVOLT, 1.0))
    return join_trials(
        path,
        partial(_read_trials, unit=unit),
        [_N_TIMES] * len(trials),
        trials,
        ch_names=_CHANNELS,
        sfreq=_SFREQ,
        dataset="EmoEEG-MC",
        subject=subject,
        session=session,
    )


def _read_trials(path, unit):
    """Return the trials (n_channels, n_times) in microvolts."""
    scale = unit / MICROVOLT
    return (scale * trial for trial in np.load(path, mmap_mode="r"))
