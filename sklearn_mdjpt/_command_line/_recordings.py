"""Recordings in a folder: which files they are, and whose."""

import re
from pathlib import Path

from .._edf_gaps import refuse_gaps
from .._validation import list_some
from ..recordings import Recording

# What mne.io.read_raw opens as a single file.
_ENDINGS = (
    ".edf", ".bdf", ".gdf", ".vhdr", ".set", ".cnt", ".fif", ".fif.gz", ".nedf",
)  # fmt: skip
_FIELDS = ("subject", "session")


def is_recording(path):
    """Whether the name is that of a recording."""
    return Path(path).name.lower().endswith(_ENDINGS)


def open_raw(path):
    """Open a recording without reading its signal; errors name the file."""
    import mne

    try:
        raw = mne.io.read_raw(path, preload=False, verbose="error")
        refuse_gaps(raw)
        return raw
    except Exception as error:
        # Readers of other libraries raise whatever comes.
        raise ValueError(f"{str(path)!r} cannot be read: {error}") from error


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
    dict of str to list of (Path, str or None)
        Files and sessions of each subject, in the order of their names.

    Raises
    ------
    ValueError
        If the pattern names no subject, or there is no such file.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{str(folder)!r} is no folder.")
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    matcher = None if pattern is None else _matcher(pattern)
    subjects = {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if matcher is None:
            if is_recording(path):
                subjects[_without_ending(name)] = [(path, None)]
        elif match := matcher.fullmatch(name):
            found = match.groupdict()
            subjects.setdefault(found["subject"], []).append(
                (path, found.get("session"))
            )
    if not subjects:
        wanted = f"matches {pattern!r}" if pattern else f"ends in {', '.join(_ENDINGS)}"
        some = [path.relative_to(folder).as_posix() for path in paths]
        raise ValueError(
            f"No file in {str(folder)!r} {wanted}. There is: "
            f"{list_some(some, 5) or 'nothing'}."
        )
    return subjects


def read_recording(path, *, name, dataset, subject, session, annotations):
    """Read a recording into memory, with a column ``file`` in its trials."""
    raw = open_raw(path)
    try:
        recording = Recording.from_raw(
            raw,
            dataset=dataset,
            subject=subject,
            session=session,
            description=annotations,
        )
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}") from error
    recording.trials["file"] = name
    return recording


def _matcher(pattern):
    parts = re.split(r"(\{\w*\}|\*)", pattern)
    names = [part[1:-1] for part in parts if part.startswith("{")]
    unknown = [name for name in names if name not in _FIELDS]
    if unknown or "subject" not in names:
        raise ValueError(
            "The pattern must hold {subject}, and may hold {session} and *; got "
            f"{pattern!r}."
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
    ending = next(end for end in _ENDINGS[::-1] if name.lower().endswith(end))
    return name[: -len(ending)]
