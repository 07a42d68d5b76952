"""Recordings in a folder: which files they are, and whose."""

import os
import re
import warnings
from pathlib import Path
from typing import NamedTuple

from .._validation import list_some, warn
from ..windows._edf_gaps import refuse_gaps
from ..windows._recording import Recording

# What mne.io.read_raw opens by one name, whatever lies beside it.
_ENDINGS = (
    ".edf", ".bdf", ".gdf", ".vhdr", ".ahdr", ".set", ".cnt", ".cdt", ".fif",
    ".fif.gz", ".lay", ".nedf", ".mff",
)  # fmt: skip
# A recording of EGI is a folder.
_FOLDERS = (".mff",)
_FIF = (".fif", ".fif.gz")
_FIELDS = ("subject", "session")
# How mne.io.show_fiff says that a file continues another one, or is continued.
_ROLES = {"[1]": "continues", "[2]": "is continued"}


class File(NamedTuple):
    """A recording in a folder."""

    path: Path
    session: str | None
    flaw: str | None = None  # why it is not to be read


def is_recording(path):
    """Whether the name is that of a recording."""
    return Path(path).name.lower().endswith(_ENDINGS)


def split_roles(path):
    """Say which part of a split recording a FIF file is, by its own account.

    Parameters
    ----------
    path : Path
        A recording.

    Returns
    -------
    set of {"continues", "is continued"}
        Both for a part in the middle; empty for a recording of its own, whatever it is
        called, and for what is no FIF file.
    """
    import mne
    from mne.io.constants import FIFF

    if not path.name.lower().endswith(_FIF):
        return set()
    try:
        lines = mne.io.show_fiff(
            path, tag=FIFF.FIFF_REF_ROLE, output=list, verbose="error"
        )
    except Exception:
        # Whoever reads the file will say what is wrong with it.
        return set()
    roles = {line.rpartition("= ")[2].strip() for line in lines if "REF_ROLE" in line}
    return {_ROLES[role] for role in roles & set(_ROLES)}


def open_raw(path):
    """Open a recording without reading its signal; errors name the file."""
    import mne

    try:
        with warnings.catch_warnings(record=True) as said, mne.utils.catch_logging():
            warnings.simplefilter("always")
            raw = mne.io.read_raw(path, preload=False, verbose="warning")
        refuse_gaps(raw)
    except Exception as error:
        # Readers of other libraries raise whatever comes.
        raise ValueError(f"{str(path)!r} cannot be read: {error}") from error
    if any("does not match the file size" in str(w.message) for w in said):
        warn(
            f"{str(path)!r} is cut off, or longer than its header says: "
            f"{raw.n_times / raw.info['sfreq']:.6g} s are read."
        )
    return raw


def find_recordings(folder, pattern=None):
    """Find the recordings in a folder.

    Parameters
    ----------
    folder : Path
        Searched with all folders in it, but for hidden ones.
    pattern : str, default=None
        Path relative to the folder, in which ``{subject}`` and ``{session}`` name
        parts of it and ``*`` stands for anything but a slash.  None: every recording
        is a subject of its own, named by its path.

    Returns
    -------
    dict of str to list of File
        Those of each subject, in the order of their names.  The parts of a split
        recording are one file, the first.  What is there twice, and parts whose
        beginning is missing, have a flaw.

    Raises
    ------
    ValueError
        If the pattern names no subject, or there is no such file.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{str(folder)!r} is no folder.")
    paths = _visible(folder)
    matcher = None if pattern is None else _matcher(pattern)
    whose = {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if matcher is None:
            if is_recording(path):
                whose[path] = _without_ending(name), None
        elif match := matcher.fullmatch(name):
            found = match.groupdict()
            whose[path] = found["subject"], found.get("session")
    if not whose:
        wanted = f"matches {pattern!r}" if pattern else f"ends in {', '.join(_ENDINGS)}"
        some = [path.relative_to(folder).as_posix() for path in paths]
        raise ValueError(
            f"No file in {str(folder)!r} {wanted}. There is: "
            f"{list_some(some, 5) or 'nothing'}."
        )
    flaws = _flaws(_without_companions(list(whose)))
    subjects = {}
    for path, flaw in flaws.items():
        subject, session = whose[path]
        subjects.setdefault(subject, []).append(File(path, session, flaw))
    return subjects


def _visible(folder):
    """List files, links without a target and folders that are recordings."""
    paths = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        within = any(p.name.lower().endswith(_FOLDERS) for p in inside.parents)
        recording = path.is_dir() and path.name.lower().endswith(_FOLDERS)
        if not hidden and not within and (recording or not path.is_dir()):
            paths.append(path)
    return paths


def _without_companions(paths):
    """Leave out what lies beside a recording of the same name: p01.eeg, p01.fdt."""
    known = {
        path.parent / _without_ending(path.name) for path in filter(is_recording, paths)
    }
    return [
        path
        for path in paths
        if is_recording(path) or path.with_suffix("") not in known
    ]


def _flaws(paths):
    """Say of each recording why it is not to be read, or None; parts are left out."""
    roles = {path: split_roles(path) for path in paths}
    parts = {
        _identity(part)
        for path in paths
        if roles[path] == {"is continued"}
        for part in _parts(path)
    }
    flaws, files, names = {}, {}, {}
    for path in paths:
        if _identity(path) in parts:
            continue
        file = files.setdefault(_identity(path), path)
        name = path.parent / _without_ending(path.name)
        first = names.setdefault(name, path)
        flaws[path] = None
        if file != path:
            flaws[path] = f"it is the same file as {file.name!r}"
        elif first != path:
            flaws[path] = (
                f"it is the recording {first.name!r} in another format, by its name; "
                "move one of them away"
            )
        elif "continues" in roles[path]:
            flaws[path] = (
                "it continues a split recording whose beginning is missing or cannot "
                "be read"
            )
    return flaws


def _parts(path):
    """Return the files that continue a split recording; none if it cannot be read."""
    try:
        return open_raw(path).filenames[1:]
    except ValueError:
        return []


def _identity(path):
    """Return what tells a file from others, whatever its names."""
    try:
        status = os.stat(path)
    except OSError:  # a link without a target
        return str(path)
    return status.st_dev, status.st_ino


def read_recording(path, *, dataset, subject, session, annotations):
    """Read a recording into memory."""
    return Recording.from_raw(
        open_raw(path),
        dataset=dataset,
        subject=subject,
        session=session,
        description=annotations,
    )


def _matcher(pattern):
    parts = re.split(r"(\{\w*\}|\*)", pattern)
    names = [part[1:-1] for part in parts if part.startswith("{")]
    unknown = [name for name in names if name not in _FIELDS]
    if unknown or "subject" not in names:
        raise ValueError(
            "The pattern must hold {subject}, and may hold {session} and *; got "
            f"{pattern!r}."
        )
    if re.search(r"\}\*?\{", pattern):
        raise ValueError(
            f"Something must stand between the fields of a pattern, got {pattern!r}."
        )
    seen, text = set(), ""
    for part in parts:
        name = part[1:-1]
        if part == "*":
            text += "[^/]*"
        elif not part.startswith("{"):
            text += re.escape(part)
        elif name in seen:
            text += f"(?P={name})"
        else:
            seen.add(name)
            text += f"(?P<{name}>[^/]+?)"
    return re.compile(text)


def _without_ending(name):
    fitting = [ending for ending in _ENDINGS if name.lower().endswith(ending)]
    return name[: -max(map(len, fitting), default=0) or None]
