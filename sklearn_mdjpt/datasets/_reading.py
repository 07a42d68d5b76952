"""What the readers of the emotion datasets have in common.

A reader finds its folder, lists the files of the subjects and sessions that are wanted,
and makes one `Recording` of each session.  Only headers are read at first: a
recording's samples are decoded when windows are read.
"""

import re
from functools import partial
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd

from .._io._signals import DecodedSignal, naming
from .._validation import check_option, check_path, home_hint, list_some, warn
from ..windows._recording import Recording
from ..windows._windows import EEGWindows

MICROVOLT = 1e-6


# Folders, files and tables of a release


def check_root(root, expected):
    """Return the folder `root` as a Path; raise unless it is a folder."""
    root = check_path(root, "root")
    if not root.is_dir():
        what = "is a file, no folder" if root.exists() else "does not exist"
        raise FileNotFoundError(
            f"root={str(root)!r} {what}; expected {expected}.{home_hint(root)}"
        )
    return root


def find_folder(root, dataset, *names):
    """Return the folder that a release of a dataset keeps its recordings in.

    Parameters
    ----------
    root : str or path-like
        That folder, the one that holds it, or the parent of that one.
    dataset : str
        Name of the dataset, for messages.
    *names : str
        Names that the folder may have; the first one that is found counts.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If no folder has such a name.
    ValueError
        If several folders have it.
    """
    listed = " or ".join(map(repr, names))
    root = check_root(root, f"the folder that holds {listed} of {dataset}")
    for name in names:
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
        if inner:
            return inner[0]
    raise FileNotFoundError(
        f"No folder {listed} of {dataset} in {str(root)!r} or one level below; it "
        f"holds {contents(root)}."
    )


def contents(folder):
    """Return the names of what is in a folder, for a message."""
    names = sorted(path.name for path in Path(folder).iterdir())
    return list_some(names) if names else "nothing"


def list_files(folder, pattern, subjects, sessions=(1,)):
    """List the files of a release; warn of files with other names.

    Parameters
    ----------
    folder : Path
        Where to look.
    pattern : str
        Regular expression of a path below the folder, in any case.  Its group
        "subject" is a number, and so is "session" if there is one; without it each
        file stands for all sessions.
    subjects, sessions : sequence of int
        All numbers that the dataset has; None: any number.

    Returns
    -------
    dict of (int, int) to list of Path
        The files of each subject and session.
    """
    files, foreign = {}, []
    suffix = Path(pattern).suffix
    for path in sorted(folder.glob(re.sub("[^/]+", "*", pattern))):
        name = path.relative_to(folder).as_posix()
        if path.name.startswith(".") or path.name.lower() == "label.mat":
            continue  # a leftover of a file manager, or no recording
        match = re.fullmatch(pattern, name, re.IGNORECASE)
        found = match.groupdict() if match else {"subject": -1}
        named = [int(found["session"])] if "session" in found else sessions
        is_known = sessions is None or set(named) <= set(sessions)
        if int(found["subject"]) in subjects and is_known:
            for session in named:
                files.setdefault((int(found["subject"]), session), []).append(path)
        elif suffix and path.suffix.lower() == suffix:
            foreign.append(name)
    if foreign and files:
        warn(
            f"{len(foreign)} files in {str(folder)!r} are left out: their names are "
            f"not those of the release: {list_some(foreign)}."
        )
    return files


def choose(files, subjects, sessions, *, folder, example):
    """Choose the files that are wanted.

    Parameters
    ----------
    files : dict of (int, int) to list of Path
        As `list_files` returns them.
    subjects, sessions : list of int or None
        As `check_numbers` returns them.
    folder : Path
        Where the files were looked for, for messages.
    example : str
        Name of such a file, for messages.

    Returns
    -------
    dict of (int, int) to Path
        In the order of the subjects asked for, or of their numbers.

    Raises
    ------
    FileNotFoundError
        If a subject that was asked for has no file, or nobody has.
    ValueError
        If there are several files for one session.
    """
    found = {
        key: files[key]
        for key in sorted(files)
        if sessions is None or key[1] in sessions
    }
    there = list(dict.fromkeys(subject for subject, _ in found))
    absent = [subject for subject in subjects or () if subject not in there]
    if absent or not found:
        whose = f" of subjects {list_some(absent)}" if absent else ""
        which = f" in sessions {list_some(sessions)}" if sessions else ""
        raise FileNotFoundError(
            f"No recording{whose}{which}: looked for {example!r} and the like in "
            f"{str(folder)!r}, which holds {contents(folder)}; found subjects "
            f"{list_some(there) or 'none'}."
        )
    chosen = {}
    for wanted in subjects or there:
        for (subject, session), paths in found.items():
            if subject != wanted:
                continue
            if len(paths) > 1:
                raise ValueError(
                    f"{len(paths)} files for subject {subject}, session {session} in "
                    f"{str(folder)!r}: {list_some(path.name for path in paths)}; "
                    "expected one. Move the others away."
                )
            chosen[subject, session] = paths[0]
    return chosen


def read_table(places, name, needed):
    """Return a table of a release, with the names of its columns in lower case.

    Parameters
    ----------
    places : sequence of Path
        Folders in which to look.
    name : str
        Name of the file, with values parted by commas.
    needed : sequence of str
        Columns that must be there.

    Returns
    -------
    DataFrame
    """
    path = next((place / name for place in places if (place / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"No {name!r} in {list_some(repr(str(place)) for place in places)}, "
            f"which raw recordings need; {str(places[0])!r} holds "
            f"{contents(places[0])}."
        )
    with naming(path):
        table = pd.read_csv(path, encoding="utf-8-sig")
        table.columns = [column.strip().lower() for column in table.columns]
        missing = [column for column in needed if column not in table]
        if missing:
            raise ValueError(
                f"it lacks the columns {list_some(missing)}; it has "
                f"{list_some(table.columns)}"
            )
    return table


# Checks


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
    # "01" is what `X.groups("subject")` shows.
    numbers = [
        int(value) if isinstance(value, str) and value.isdecimal() else value
        for value in values
    ]
    wrong = [
        number
        for number in numbers
        if not isinstance(number, Integral)
        or isinstance(number, bool)
        or number not in known
    ]
    if wrong or not numbers:
        raise ValueError(
            f"{name} must be numbers from {known[0]} to {known[-1]}, got "
            f"{list_some(map(repr, wrong)) or 'none'}."
        )
    return list(dict.fromkeys(map(int, numbers)))


def check_shape(name, shape, expected, *, more_than=0):
    """Raise unless a variable of a file has the expected shape.

    Parameters
    ----------
    name : str
        Name of the variable.
    shape : tuple of int
        Its shape.
    expected : tuple of int or None
        The shape that was published; None stands for the number of samples.
    more_than : int, default=0
        What the number of samples must exceed.
    """
    fits = len(shape) == len(expected) and all(
        n > more_than if m is None else n == m
        for n, m in zip(shape, expected, strict=True)
    )
    if not fits:
        listed = ", ".join("n_times" if n is None else str(n) for n in expected)
        bound = f" with n_times > {more_than}" if None in expected else ""
        raise ValueError(
            f"variable {name!r} has shape {tuple(shape)}, expected ({listed}){bound}"
        )


# Recordings


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
        warn(
            f"{len(problems)} of {n_files} {what} are left out: "
            f"{' '.join(dict.fromkeys(problems))}"
        )
    if not recordings:
        raise ValueError(f"None of {n_files} {what} can be read.")
    return EEGWindows.from_recordings(
        recordings, window_seconds=window_seconds, stride_seconds=stride_seconds
    )


def join_trials(
    path, read, lengths, trials, *, ch_names, sfreq, n_before=0, cut=True, **whose
):
    """Make the recording of a file that holds trials one by one: it joins them in time.

    Parameters
    ----------
    path : path-like
        The file.
    read : callable
        Takes the path and returns an iterable with the samples of each trial
        (n_channels or more, n_times), in microvolts; can be pickled.
    lengths : sequence of int
        Samples of each trial.
    trials : sequence of dict
        The other columns of each trial: trial, stimulus, label, ...
    ch_names : sequence of str
        Names of the channels, which come first in the file.
    sfreq : float
        Sampling rate in hertz.
    n_before : int, default=0
        Samples in front of each trial that are no part of it, but of the recording.
    cut : bool, default=True
        Whether the joints are cuts of the recording.
    **whose
        Dataset, subject and session.

    Returns
    -------
    Recording
    """
    stops = np.cumsum(lengths)
    rows = [
        {"start": (stop - length + n_before) / sfreq, "stop": stop / sfreq} | trial
        for length, stop, trial in zip(lengths, stops, trials, strict=True)
    ]
    decode = partial(
        _decode_trials, read=read, lengths=tuple(lengths), n_channels=len(ch_names)
    )
    signal = DecodedSignal(path, (len(ch_names), stops[-1]), decode)
    cuts = stops[:-1] / sfreq if cut else ()
    return Recording(signal, ch_names, sfreq, trials=rows, cuts=cuts, **whose)


def _decode_trials(path, read, lengths, n_channels):
    """Return the trials of a file, joined in time, in volts."""
    signal = np.empty((n_channels, sum(lengths)), np.float32)
    trials, stop = iter(read(path)), 0
    for length in lengths:
        start, stop = stop, stop + length
        # Nothing keeps a trial while the next one is read.
        np.multiply(
            next(trials)[:n_channels],
            MICROVOLT,
            out=signal[:, start:stop],
            casting="same_kind",
        )
    return signal
