"""What the readers of the emotion datasets have in common.

A reader finds its folder, lists the files of the subjects and sessions that are wanted,
and makes one `Recording` of each session, whose trials lie one after the other.  Only
headers are read at first: a recording's samples are decoded when windows are.
"""

import warnings
from numbers import Integral
from pathlib import Path

import numpy as np

from .._io._signals import DecodedSignal, naming
from .._validation import check_option, check_path, home_hint, list_some
from ..windows._recording import Recording
from ..windows._windows import EEGWindows

MICROVOLT = 1e-6


def check_root(root, expected):
    """Return the folder `root` as a Path; raise, saying what was expected, else."""
    root = check_path(root, "root")
    if not root.is_dir():
        what = "is a file, no folder" if root.exists() else "does not exist"
        raise FileNotFoundError(
            f"root={str(root)!r} {what}; expected {expected}.{home_hint(root)}"
        )
    return root


def find_folder(root, name, dataset):
    """Return the folder that a release of a dataset keeps its recordings in.

    Parameters
    ----------
    root : str or path-like
        That folder, the one that holds it, or the parent of that one.
    name : str
        Its name in the release.
    dataset : str
        For messages.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If there is none; says what was looked for and what is there.
    ValueError
        If there are several.
    """
    root = check_root(root, f"the folder that holds {name!r} of {dataset}")
    if (root / name).is_dir():
        return root / name
    if root.resolve().name == name:
        return root
    inner = sorted(path for path in root.glob(f"*/{name}") if path.is_dir())
    if len(inner) > 1:
        raise ValueError(
            f"Several folders below {str(root)!r} hold {name!r}: "
            f"{list_some(path.parent.name for path in inner)}; give one of them."
        )
    if not inner:
        raise FileNotFoundError(
            f"No folder {name!r} of {dataset} in {str(root)!r} or one level below; "
            f"it holds {contents(root)}."
        )
    return inner[0]


def contents(folder):
    """Say, for a message, what is in a folder."""
    names = sorted(path.name for path in Path(folder).iterdir())
    return list_some(names) if names else "nothing"


def check_numbers(values, known, name):
    """Return the numbers of the subjects or sessions that are wanted.

    Parameters
    ----------
    values : int, sequence of int or None
        As the user gave them; None wants all.
    known : sequence of int
        All that the dataset has.
    name : str
        Of the parameter.

    Returns
    -------
    list of int or None
        Without doubles, in the order given; None where all are wanted.

    Raises
    ------
    ValueError
        If one is unknown.
    """
    if values is None:
        return None
    if isinstance(values, str) or not np.iterable(values):
        values = [values]
    numbers = [
        int(value)
        if isinstance(value, Integral) and not isinstance(value, bool)
        # "01" is what `X.groups("subject")` shows.
        else int(value)
        if isinstance(value, str) and value.isdecimal()
        else value
        for value in values
    ]
    wrong = [
        value
        for value in numbers
        if isinstance(value, bool) or not isinstance(value, int) or value not in known
    ]
    if wrong or not numbers:
        raise ValueError(
            f"{name} must be numbers from {known[0]} to {known[-1]}, got "
            f"{list_some(map(repr, wrong)) or 'none'}."
        )
    return list(dict.fromkeys(numbers))


def choose(files, subjects, sessions, *, looked_for):
    """Choose the files that are wanted.

    Parameters
    ----------
    files : dict of (int, int) to path-like
        The file of each subject and session that is there.
    subjects, sessions : list of int or None
        As of `check_numbers`.  Who is absent is no error, unless asked for by name.
    looked_for : str
        What was looked for, and where, for messages.

    Returns
    -------
    dict of (int, int) to path-like
        In the order of the subjects asked for, or of their numbers.

    Raises
    ------
    FileNotFoundError
        If a subject that was asked for has no file, or nobody has.
    """
    found = dict(sorted(files.items()))
    if sessions is not None:
        found = {key: path for key, path in found.items() if key[1] in sessions}
    if subjects is not None:
        absent = [s for s in subjects if s not in {subject for subject, _ in found}]
        if absent:
            which = "" if sessions is None else f" in sessions {list_some(sessions)}"
            there = list_some(sorted({subject for subject, _ in found})) or "none"
            raise FileNotFoundError(
                f"No file of subjects {list_some(absent)}{which}: looked for "
                f"{looked_for}; found subjects {there}."
            )
        found = {
            key: path
            for subject in subjects
            for key, path in found.items()
            if key[0] == subject
        }
    if not found:
        raise FileNotFoundError(f"No recording found: looked for {looked_for}.")
    return found


def read_all(files, read, *, on_error, window_seconds, stride_seconds, problems=()):
    """Read the recordings of files, and cut windows.

    Parameters
    ----------
    files : dict of tuple to path-like
        The file of each recording, by what it is: subject and session first.
    read : callable
        Takes the path and what the recording is, and returns a `Recording`.
    on_error : {"raise", "skip"}
        What a file that cannot be read does.  With "skip" each one is read to its end
        now, and left out with a warning; with "raise" damage beyond the header shows
        when windows are read.
    window_seconds, stride_seconds : float
        As for `EEGWindows.from_recordings`.
    problems : iterable of str, default=()
        What is wrong with further files that are left out already.

    Returns
    -------
    EEGWindows
    """
    check_option(on_error, ("raise", "skip"), "on_error")
    problems = list(problems)
    n_files = len(files) + len(problems)
    # One file may hold several sessions, and say the same of each.
    what = "files" if len(set(files.values())) == len(files) else "recordings"
    recordings = []
    for key, path in files.items():
        try:
            with naming(path):
                recording = read(path, *key)
            if on_error == "skip":
                recording.signal  # noqa: B018 - decodes the file
            recordings.append(recording)
        except (OSError, ValueError) as error:
            if on_error == "raise":
                raise
            problems.append(str(error))
    if problems:
        warnings.warn(
            f"{len(problems)} of {n_files} {what} are left out: "
            f"{' '.join(dict.fromkeys(problems))}",
            stacklevel=3,
        )
    if not recordings:
        raise ValueError(f"None of {n_files} {what} can be read.")
    return EEGWindows.from_recordings(
        recordings, window_seconds=window_seconds, stride_seconds=stride_seconds
    )


def make_recording(path, decode, lengths, trials, *, ch_names, sfreq, **whose):
    """Make the recording of a file whose trials are decoded one after the other.

    Parameters
    ----------
    path : path-like
        The file.
    decode : callable
        Takes the path and returns the trials (n_channels, n_times), joined in time, in
        volts; can be pickled.  The joints are cuts of the recording.
    lengths : sequence of int
        Samples of each trial.
    trials : sequence of dict
        The other columns of each trial: trial, stimulus, label, ...
    ch_names, sfreq, **whose
        As for `Recording`.

    Returns
    -------
    Recording
    """
    rows, start = [], 0
    for length, trial in zip(lengths, trials, strict=True):
        times = {"start": start / sfreq, "stop": (start + length) / sfreq}
        rows.append(times | dict(trial))
        start += length
    signal = DecodedSignal(path, (len(ch_names), start), decode)
    cuts = [row["start"] for row in rows[1:]]
    return Recording(signal, ch_names, sfreq, trials=rows, cuts=cuts, **whose)
