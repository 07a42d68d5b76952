"""The recordings in a folder: which files they are, and of which subject."""

import re
import warnings
from pathlib import Path
from typing import NamedTuple

from .._validation import list_some, warn
from ..windows._edf_gaps import refuse_gaps
from ..windows._recording import Recording

# What mne.io.read_raw opens by one name, whatever other files the format has.
_ENDINGS = (
    ".edf", ".bdf", ".gdf", ".vhdr", ".ahdr", ".set", ".cnt", ".cdt", ".fif",
    ".fif.gz", ".lay", ".nedf", ".mff",
)  # fmt: skip
# A recording of EGI is a folder.
_FOLDER_ENDING = ".mff"
# Name of a recording; the ending is the longest one that fits.
_NAME = re.compile(
    f"(?P<subject>.+?)({'|'.join(map(re.escape, _ENDINGS))})", re.IGNORECASE | re.DOTALL
)
# How mne.io.show_fiff says that a file continues another one, or is continued.
_ROLES = {"[1]": "continues", "[2]": "is continued"}


class File(NamedTuple):
    """A recording in a folder."""

    path: Path
    session: str | None
    flaw: str | None = None  # why it must not be read


def is_recording(path):
    """Whether the name is that of a recording."""
    return path.name.lower().endswith(_ENDINGS)


def split_roles(path):
    """Read from a FIF file which part of a split recording it is.

    Parameters
    ----------
    path : Path
        A recording.

    Returns
    -------
    set of {"continues", "is continued"}
        Both for a part in the middle; empty for a recording of its own, whatever its
        name, and for a file of another format.
    """
    import mne
    from mne.io.constants import FIFF

    if not path.name.lower().endswith((".fif", ".fif.gz")):
        return set()
    try:
        lines = mne.io.show_fiff(
            path, tag=FIFF.FIFF_REF_ROLE, output=list, verbose="error"
        )
    except Exception:
        # The error comes when the file is read.
        return set()
    roles = {line.rpartition("= ")[2].strip() for line in lines if "REF_ROLE" in line}
    return {_ROLES[role] for role in roles & set(_ROLES)}


def open_raw(path):
    """Open a recording without reading its signal; errors name the file."""
    import mne

    try:
        with warnings.catch_warnings(record=True) as caught, mne.utils.catch_logging():
            warnings.simplefilter("always")
            raw = mne.io.read_raw(path, preload=False, verbose="warning")
        refuse_gaps(raw)
    except Exception as error:
        # The readers of MNE raise errors of any type.
        raise ValueError(f"{str(path)!r} cannot be read: {error}") from error
    if any("does not match the file size" in str(w.message) for w in caught):
        warn(
            f"{str(path)!r} is cut off, or longer than its header says: "
            f"{raw.n_times / raw.info['sfreq']:.6g} s are read."
        )
    return raw


def read_recording(file, *, dataset, subject, annotations):
    """Read a recording into memory; raise if it has a flaw."""
    if file.flaw:
        raise ValueError(file.flaw)
    return Recording.from_raw(
        open_raw(file.path),
        dataset=dataset,
        subject=subject,
        session=file.session,
        description=annotations,
    )


def find_recordings(folder, pattern=None):
    """Find the recordings in a folder.

    Parameters
    ----------
    folder : Path
        Searched with all folders in it, except hidden ones.
    pattern : str, default=None
        Path relative to the folder, in which ``{subject}`` and ``{session}`` name
        parts of it and ``*`` stands for anything but a slash.  None: every recording
        is a subject of its own, named by its path.

    Returns
    -------
    dict of str to list of File
        The recordings of each subject, in the order of their names.  The parts of a
        split recording are one file, the first.  Second copies of a recording, and
        parts without their beginning, have a flaw.

    Raises
    ------
    ValueError
        If the pattern names no subject, or no file fits.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{str(folder)!r} is no folder.")
    names = {path: path.relative_to(folder).as_posix() for path in _visible(folder)}
    compiled = _NAME if pattern is None else _compile(pattern)
    ids = {
        path: match.groupdict()
        for path, name in names.items()
        if (match := compiled.fullmatch(name))
    }
    if not ids:
        wanted = f"matches {pattern!r}" if pattern else f"ends in {', '.join(_ENDINGS)}"
        raise ValueError(
            f"No file in {str(folder)!r} {wanted}. There is: "
            f"{list_some(names.values(), 5) or 'nothing'}."
        )
    # A format may have further files beside the recording: p01.eeg, p01.fdt.
    stems = {_stem(path) for path in filter(is_recording, ids)}
    paths = [p for p in ids if is_recording(p) or p.with_suffix("") not in stems]
    subjects = {}
    for path, flaw in _find_flaws(paths).items():
        file = File(path, ids[path].get("session"), flaw)
        subjects.setdefault(ids[path]["subject"], []).append(file)
    return subjects


def _visible(folder):
    """List files, links without a target and folders that are recordings."""
    paths = []
    for path in sorted(folder.rglob("*")):
        *parents, name = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in (*parents, name))
        inside = any(part.lower().endswith(_FOLDER_ENDING) for part in parents)
        folder_of_files = path.is_dir() and not name.lower().endswith(_FOLDER_ENDING)
        if not (hidden or inside or folder_of_files):
            paths.append(path)
    return paths


def _compile(pattern):
    """Return the regular expression of a pattern."""
    fields = re.findall(r"\{(\w*)\}", pattern)
    if "subject" not in fields or not {"subject", "session"}.issuperset(fields):
        raise ValueError(
            "The pattern must hold {subject}, and may hold {session} and *; got "
            f"{pattern!r}."
        )
    if re.search(r"\}\*?\{", pattern):
        raise ValueError(
            f"Something must stand between the fields of a pattern, got {pattern!r}."
        )
    text = re.escape(pattern).replace(r"\*", "[^/]*")
    for field in set(fields):
        # A field that comes again must have the same value.
        escaped = re.escape(f"{{{field}}}")
        text = text.replace(escaped, f"(?P<{field}>[^/]+?)", 1)
        text = text.replace(escaped, f"(?P={field})")
    return re.compile(text)


def _find_flaws(paths):
    """Return why each recording must not be read, or None; parts are left out."""
    roles = {path: split_roles(path) for path in paths}
    parts = {
        _identity(part)
        for path in paths
        if roles[path] == {"is continued"}
        for part in _find_parts(path)
    }
    flaws, first_names, first_formats = {}, {}, {}
    for path in paths:
        if _identity(path) in parts:
            continue
        same_file = first_names.setdefault(_identity(path), path)
        same_stem = first_formats.setdefault(_stem(path), path)
        flaws[path] = None
        if same_file != path:
            flaws[path] = f"it is the same file as {same_file.name!r}"
        elif same_stem != path:
            flaws[path] = (
                f"it is the recording {same_stem.name!r} in another format, by its "
                "name; move one of them away"
            )
        elif "continues" in roles[path]:
            flaws[path] = (
                "it continues a split recording whose beginning is missing or cannot "
                "be read"
            )
    return flaws


def _find_parts(path):
    """Return the files that continue a split recording; none if it cannot be read."""
    try:
        return open_raw(path).filenames[1:]
    except ValueError:
        return []


def _identity(path):
    """Return what tells a file from others, whatever its names."""
    try:
        status = path.stat()
    except OSError:  # a link without a target
        return str(path)
    return status.st_dev, status.st_ino


def _stem(path):
    """Return the path of a recording without its ending."""
    match = _NAME.fullmatch(path.name)
    return path.with_name(match["subject"]) if match else path
