"""What the readers of the emotion datasets have in common.

A reader finds its folder, lists the files of the subjects and sessions that are wanted,
and makes one `Recording` of each session.  Only headers are read at first: a
recording's samples are decoded when windows are read.
"""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from .._io._signals import DecodedSignal, naming
from .._validation import (
    check_number,
    check_option,
    check_path,
    home_hint,
    list_some,
    warn,
)
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


def contents(folder):
    """Return the names of what is in a folder, for a message."""
    names = sorted(path.name for path in Path(folder).iterdir())
    return list_some(names) if names else "nothing"


def find_files(
    root,
    dataset,
    templates,
    *,
    subjects,
    known_subjects,
    sessions=None,
    known_sessions=(1,),
    dates=None,
):
    """Find the files of the subjects and sessions that are wanted.

    Warns of further files with other names than those of the release.

    Parameters
    ----------
    root : str or path-like
        The folder with the recordings, the one that holds it, or the parent of that
        one.
    dataset : str
        Name of the dataset, for messages.
    templates : sequence of str
        Paths of the files from that folder on, such as "EEG/{subject}_{date}.mat", with
        "{subject}", "{session}" and "{date}" for numbers.  The first one whose folder
        is there counts.  Without a session (or a date for `dates`) a file stands for
        all sessions.
    subjects, sessions : int, sequence of int or None
        Numbers of those that are wanted; None: all that are there.
    known_subjects, known_sessions : sequence of int
        All numbers that the dataset has.
    dates : dict of int to tuple of int, default=None
        Published days of a subject's sessions, to tell the session where the name of a
        file does not.

    Returns
    -------
    folder : Path
        The folder with the recordings.
    files : dict of (int, int) to Path
        The file of each subject and session, in the order of the subjects asked for,
        or of their numbers.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, a subject that was asked for has no file, or nobody
        has.
    ValueError
        If a number is unknown, or there are several folders, or several files for one
        session.
    """
    subjects = check_numbers(subjects, known_subjects, "subjects")
    sessions = check_numbers(sessions, known_sessions, "sessions")
    folder, template = _find_folder(root, dataset, templates)
    files = _list_files(folder, template, known_subjects, known_sessions)
    if dates and "{session}" not in template:
        files = _number_sessions(files, dates, known_sessions)
    if sessions is not None:
        files = {key: paths for key, paths in files.items() if key[1] in sessions}
    there = sorted({subject for subject, _ in files})
    absent = [subject for subject in subjects or () if subject not in there]
    if absent or not files:
        whose = f" of subjects {list_some(absent)}" if absent else ""
        which = f" in sessions {list_some(sessions)}" if sessions else ""
        raise FileNotFoundError(
            f"No recording{whose}{which}: looked for '{template}' in {str(folder)!r}, "
            f"which holds {contents(folder)}; found subjects "
            f"{list_some(there) or 'none'}."
        )
    keys = [key for s in subjects or there for key in sorted(files) if key[0] == s]
    chosen = {key: files[key] for key in keys}
    for (subject, session), paths in chosen.items():
        if len(paths) > 1:
            raise ValueError(
                f"{len(paths)} files for subject {subject}, session {session} in "
                f"{str(folder)!r}: {list_some(path.name for path in paths)}; expected "
                "one. Move the others away."
            )
    return folder, {key: paths[0] for key, paths in chosen.items()}


def _find_folder(root, dataset, templates):
    """Return the first folder that is there, and the rest of its template."""
    names = " or ".join(repr(template.partition("/")[0]) for template in templates)
    root = check_root(root, f"the folder that holds {names} of {dataset}")
    for template in templates:
        name, _, rest = template.partition("/")
        if (root / name).is_dir():
            return root / name, rest
        if root.resolve().name == name:
            return root, rest
        inner = sorted(path for path in root.glob(f"*/{name}") if path.is_dir())
        if len(inner) > 1:
            raise ValueError(
                f"Several folders below {str(root)!r} hold {name!r}: "
                f"{list_some(path.parent.name for path in inner)}; give one of them."
            )
        if inner:
            return inner[0], rest
    raise FileNotFoundError(
        f"No folder {names} of {dataset} in {str(root)!r} or one level below; it "
        f"holds {contents(root)}."
    )


def _list_files(folder, template, known_subjects, known_sessions):
    """Return the files of each subject and session (or date)."""
    numbers = {"subject": r"\d+", "session": r"\d", "date": r"\d{8}"}
    parts = {name: f"(?P<{name}>{digits})" for name, digits in numbers.items()}
    pattern = template.replace(".", r"\.").format(**parts)
    files, foreign = {}, []
    for path in sorted(folder.glob(re.sub("[^/]+", "*", template))):
        if path.name.startswith(".") or path.name.lower() == "label.mat":
            continue  # a leftover of a file manager, or no recording
        name = path.relative_to(folder).as_posix()
        match = re.fullmatch(pattern, name, re.IGNORECASE)
        found = {k: int(v) for k, v in match.groupdict().items()} if match else {}
        named = known_sessions
        if "session" in found:
            named = {found["session"]}.intersection(known_sessions)
        elif "date" in found:
            named = [found["date"]]
        if found.get("subject") in known_subjects and named:
            for session in named:
                files.setdefault((found["subject"], session), []).append(path)
        elif path.suffix and path.suffix.lower() == Path(template).suffix:
            foreign.append(name)
    if foreign and files:
        warn(
            f"{len(foreign)} files in {str(folder)!r} are left out: their names are "
            f"not those of the release: {list_some(foreign)}."
        )
    return files


def _number_sessions(files, dates, known_sessions):
    """Replace the dates in the names of files by numbers of sessions."""
    numbered = {}
    for subject in {subject for subject, _ in files}:
        by_day = {day: files[s, day] for s, day in sorted(files) if s == subject}
        # Published dates tell the session even where one of the files is absent.
        is_published = set(by_day) <= set(dates[subject])
        days = dates[subject] if is_published else list(by_day)
        for session, day in zip(known_sessions, days, strict=False):
            if len(days) > len(known_sessions):  # nobody knows which are the sessions
                numbered[subject, session] = sum(by_day.values(), [])
            elif day in by_day:
                numbered[subject, session] = by_day[day]
    return numbered


def check_numbers(values, known, name):
    """Return the numbers of the subjects or sessions that are wanted.

    Parameters
    ----------
    values : int, sequence of int or None
        As the user gave them; None wants all.
    known : sequence of int
        All that the dataset has, without gaps.
    name : str
        Name of the parameter.

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
    for number in numbers or [values]:  # an empty list is no number
        check_number(number, name, whole=True, least=known[0], most=known[-1])
    return list(dict.fromkeys(map(int, numbers)))


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
        check_columns(table, needed)
    return table


def check_columns(table, needed):
    """Raise unless a table has the columns that are needed."""
    missing = [column for column in needed if column not in table]
    if missing:
        raise ValueError(
            f"it lacks the columns {list_some(missing)}; it has "
            f"{list_some(table.columns)}"
        )


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


def read_all(files, read, on_error, window_seconds, stride_seconds, problems=()):
    """Read the recordings of files, and cut windows.

    Parameters
    ----------
    files : dict of tuple to path-like
        The file of each recording, by what it is: subject and session first.
    read : callable
        Takes the path and what the recording is, and returns a `Recording`, or None
        to leave it out without a word.
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
            if recording is None:
                continue
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
        raise ValueError(
            f"None of {n_files} {what} can be read, or holds a whole trial."
        )
    return EEGWindows.from_recordings(
        recordings, window_seconds=window_seconds, stride_seconds=stride_seconds
    )


def join_trials(path, read, lengths, trials, *, ch_names, sfreq, n_before=0, **whose):
    """Make the recording of a file that holds trials one by one: it joins them in time.

    The joints are cuts of the recording.

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
    cuts = stops[:-1] / sfreq
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
