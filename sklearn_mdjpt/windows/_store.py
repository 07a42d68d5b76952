"""Windows on disk: a folder of arrays that are mapped into memory, and one index.

Each signal is one ``.npy`` file, each column of metadata another; ``index.json`` says
what they are and lists their checksums.  Nothing is pickled.  The name of a file holds
part of its checksum: a path, kept in the pickle of some windows, leads to the same
content or to nothing, even after the store was written anew.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from .. import __version__
from .._io._columns import COLUMN_ARRAYS, decode_table, encode_table, plain, smallest
from .._io._files import sync_folder, temporary_name, write_file
from .._validation import check_path, home_hint
from ._recording import Recording
from ._stack import WindowStack

_INDEX = "index.json"
_FORMAT = "sklearn_mdjpt windows"
# Version 2 has cuts, which a reader of version 1 would not know of.
_FORMAT_VERSION = 2
_OUR_FILES = re.compile(r"(signal|places|column)-[0-9a-f]{16}\.npy")
_CHUNK_BYTES = 2**24
_PLACES = ("source_index", "starts", "n_times")


def write_store(folder, sources, places, metadata, *, overwrite=False):
    """Write windows to a folder; see `EEGWindows.save`.

    Parameters
    ----------
    folder : str or path-like
        The store.
    sources : list of Recording or WindowStack
        What the windows are cut from; those without windows are left out.
    places : tuple of three ndarray of int, each of shape (n_windows,)
        Source, start and length of each window.
    metadata : DataFrame
        One row for each window.
    overwrite : bool, default=False
        Whether an older store may be replaced.
    """
    folder = check_path(folder, "The folder of a store")
    used, source_index = np.unique(places[0], return_inverse=True)
    sources = [sources[k] for k in used]
    _check_target(folder, sources, overwrite)
    # All that can be refused is refused before anything is written.
    table = encode_table(metadata, "the metadata")
    trials, rows_of_trials = _join_trials(sources)
    trials = [encode_table(part, "the trials") for part in trials]
    recordings = [
        _describe(source) | ({"trials": rows} if rows else {})
        for source, rows in zip(sources, rows_of_trials, strict=True)
    ]
    with _new_folder(folder) as new:
        for entry, source in zip(recordings, sources, strict=True):
            entry["signal"] = _write_signal(new, source)
        index = {
            "format": _FORMAT,
            "format_version": 2 if any(e.get("cuts") for e in recordings) else 1,
            "package_version": __version__,
            "places": {
                name: _write_array(new, "places", smallest(array))
                for name, array in zip(
                    _PLACES, (source_index, *places[1:]), strict=True
                )
            },
            "metadata": _write_table(new, table),
            "trials": [_write_table(new, part) for part in trials],
            "recordings": recordings,
        }
        index["sha256"] = _index_checksum(index)
        write_file(new / _INDEX, _to_json(index))


def read_store(folder, *, verify=False):
    """Open a store; see `EEGWindows.open`.

    Parameters
    ----------
    folder : str or path-like
        The store.
    verify : bool, default=False
        Whether signals are read and compared with their checksums.

    Returns
    -------
    sources : list of Recording or WindowStack
        Their signals are mapped when they are read.
    source_index, starts, n_times : ndarray of int, each of shape (n_windows,)
        Where each window lies.
    metadata : DataFrame
        One row for each window.
    """
    folder = check_path(folder, "The folder of a store")
    # Absolute, since pickles carry it to processes with other working folders.
    folder = Path(os.path.abspath(folder))
    index = _read_index(folder)
    try:
        trials = [_read_table(folder, columns) for columns in index["trials"]]
        sources = [
            _restore(folder, entry, trials, verify=verify)
            for entry in index["recordings"]
        ]
        places = [
            _read_array(folder, index["places"][name]).astype(np.int64)
            for name in _PLACES
        ]
        metadata = _read_table(folder, index["metadata"])
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{str(folder / _INDEX)!r} is not of the form expected: {error!r}."
        ) from error
    return sources, *places, metadata


# Recordings ---------------------------------------------------------------------


def _describe(source):
    """Return all of a recording but its signal, as JSON holds it."""
    positions = source.positions
    entry = {
        "kind": "recording" if source.is_continuous else "stack",
        "ch_names": list(source.ch_names),
        "sfreq": source.sfreq,
        "positions": None
        if positions is None
        else [[plain(x) for x in row] for row in positions],
    }
    if not source.is_continuous:
        return entry | {"is_recording": source.is_recording}
    return (
        entry
        | {
            "dataset": source.dataset,
            "subject": source.subject,
            "session": source.session,
            "bad_spans": [[plain(x) for x in span] for span in source.bad_spans],
        }
        | ({"cuts": [plain(x) for x in source.cuts]} if source.cuts else {})
    )


def _join_trials(sources):
    """Join the tables of trials: a thousand small ones take seconds to open.

    Returns
    -------
    tables : list of DataFrame
        One for each set of columns and dtypes.
    rows : list of list of int
        Table, first row and end of each recording's trials; empty for stacks.
    """
    parts, n_rows, rows = {}, {}, []
    for source in sources:
        if not source.is_continuous:
            rows.append([])
            continue
        trials = source.trials
        key = (tuple(trials.columns), tuple(trials.dtypes))
        parts.setdefault(key, []).append(trials)
        first = n_rows.get(key, 0)
        n_rows[key] = first + len(trials)
        rows.append([list(parts).index(key), first, n_rows[key]])
    return [pd.concat(same, ignore_index=True) for same in parts.values()], rows


def _restore(folder, entry, trials, *, verify):
    """Return the recording that an entry of the index describes."""
    path, offset = _check_file(folder, entry["signal"])
    if verify:
        _check_content(path, entry["signal"])
    signal = np.memmap(
        str(path), entry["signal"]["dtype"], "r", offset,
        tuple(entry["signal"]["shape"]),
    )  # fmt: skip
    positions = entry["positions"]
    if positions is not None:
        positions = [[float(x) for x in row] for row in positions]
    if entry["kind"] == "stack":
        source = WindowStack(
            signal, np.arange(len(signal)), entry["ch_names"], entry["sfreq"], positions
        )
        source.is_recording = entry.get("is_recording", not entry.get("per_window"))
    else:
        # Without the constructor: what was saved has been checked, which takes longer
        # than all else here.
        source = Recording.__new__(Recording)
        super(Recording, source).__init__(
            signal, entry["ch_names"], entry["sfreq"], positions
        )
        for name in ("dataset", "subject", "session"):
            setattr(source, name, entry[name])
        source.bad_spans = tuple((float(a), float(b)) for a, b in entry["bad_spans"])
        source.cuts = tuple(float(cut) for cut in entry.get("cuts", ()))
        table, first, stop = entry["trials"]
        source.trials = trials[table].iloc[first:stop].reset_index(drop=True)
    source.close_file()
    return source


def _signal_parts(source):
    """Iterate over a signal in the order of its file, a few megabytes at a time."""
    signal = source.signal
    if not source.is_continuous:
        # All rows that the amplitude is estimated from, not of the whole array.
        rows = source._rows
        step = max(1, _CHUNK_BYTES // (signal[:1].nbytes or 1))
        for i in range(0, len(rows), step):
            yield signal[rows[i : i + step]]
        return
    n_channels, n_times = signal.shape
    # Several lines as a whole, or one line piece by piece.
    step = max(1, _CHUNK_BYTES // signal.itemsize)
    n_lines = max(1, step // max(1, n_times))
    for i in range(0, n_channels, n_lines):
        for j in range(0, n_times, step):
            yield signal[i : i + n_lines, j : j + step]


# Files --------------------------------------------------------------------------


def _write_signal(folder, source):
    shape = source.signal.shape
    if not source.is_continuous:
        shape = (len(source._rows), *shape[1:])
    dtype = source.signal.dtype.newbyteorder("=")
    return _write_npy(folder, "signal", dtype, shape, _signal_parts(source))


def _write_array(folder, role, array):
    return _write_npy(folder, role, array.dtype, array.shape, [array])


def _write_table(folder, columns):
    """Write the arrays of an encoded table; return it with files in their place."""
    return [
        {
            key: _write_array(folder, "column", value)
            if key in COLUMN_ARRAYS
            else value
            for key, value in column.items()
        }
        for column in columns
    ]


def _read_table(folder, columns):
    """Read the arrays of an encoded table; return the table."""
    return decode_table(
        [
            {
                key: _read_array(folder, value) if key in COLUMN_ARRAYS else value
                for key, value in column.items()
            }
            for column in columns
        ]
    )


def _write_npy(folder, role, dtype, shape, parts):
    """Write an array part by part; return its entry in the index."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": tuple(shape),
        },
    )
    pieces = (
        np.ascontiguousarray(part, dtype).reshape(-1).view(np.uint8) for part in parts
    )
    checksum = hashlib.sha256()
    unnamed = folder / "unnamed"
    with unnamed.open("xb") as file:
        for piece in chain([header.getvalue()], pieces):
            checksum.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    checksum = checksum.hexdigest()
    name = f"{role}-{checksum[:16]}.npy"
    # Equal arrays share one file.
    os.replace(unnamed, folder / name)
    return {
        "file": name,
        "dtype": dtype.str,
        "shape": [int(n) for n in shape],
        "sha256": checksum,
    }


def _check_file(folder, entry):
    """Raise unless a file is there, as long as it has to be; return path and offset."""
    name, shape = entry["file"], tuple(entry["shape"])
    path = folder / name
    # Nothing outside the folder is read, whatever the index says.
    if not _OUR_FILES.fullmatch(name):
        raise ValueError(f"{str(folder / _INDEX)!r} lists {name!r}, no file of ours.")
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            found = None
            # Damaged headers raise many things, of the tokenizer for example.
            with contextlib.suppress(Exception):
                if np.lib.format.read_magic(file) == (1, 0):
                    found = np.lib.format.read_array_header_1_0(file)
            offset = file.tell()
    except FileNotFoundError as error:
        raise ValueError(
            f"The store {str(folder)!r} lacks its file {name!r}, which the index lists."
        ) from error
    if found is None:
        raise ValueError(
            f"{str(path)!r} is damaged: its {size} bytes do not begin with the header "
            f"of an array of {entry['dtype']} of shape {shape}."
        )
    found_shape, fortran_order, dtype = found
    if (found_shape, fortran_order, dtype.str) != (shape, False, entry["dtype"]):
        raise ValueError(
            f"{str(path)!r} is not the file of the store: expected {entry['dtype']} of "
            f"shape {shape} in C order, found {dtype.str} of shape {found_shape}"
            f"{' in Fortran order' * fortran_order}."
        )
    expected = offset + dtype.itemsize * int(np.prod(shape, dtype=object))
    if size != expected:
        raise ValueError(
            f"{str(path)!r} is damaged: expected {expected} bytes, found {size}."
        )
    return path, offset


def _check_content(path, entry):
    """Raise unless a file has the checksum that the index lists."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != entry["sha256"]:
        raise ValueError(
            f"{str(path)!r} is damaged: expected the checksum {entry['sha256']}, "
            f"found {found}."
        )


def _read_array(folder, entry):
    path, _ = _check_file(folder, entry)
    _check_content(path, entry)
    return np.load(path, allow_pickle=False)


# The index ----------------------------------------------------------------------


def _read_index(folder):
    """Return the index of a store; raise where there is none that can be read."""
    if not folder.is_dir():
        if folder.exists():
            raise NotADirectoryError(
                f"{str(folder)!r} is a file; a store is the folder that was given to "
                "EEGWindows.save."
            )
        raise FileNotFoundError(
            f"There is no folder {str(folder)!r}.{home_hint(folder)}"
        )
    path = folder / _INDEX
    try:
        index = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ValueError(
            f"{str(folder)!r} is no store of EEGWindows: expected a file {_INDEX!r}, "
            "found none. (A folder of clean_dataset holds a store for each recording; "
            "clean_dataset returns them all, and does nothing twice.)"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{str(path)!r} is damaged or foreign: expected JSON, found something else "
            f"({error})."
        ) from error
    found = index.get("format") if isinstance(index, dict) else None
    if found != _FORMAT:
        raise ValueError(
            f"{str(path)!r} is none of EEGWindows: expected the format {_FORMAT!r}, "
            f"found {found!r}."
        )
    version = index.get("format_version")
    if version not in range(1, _FORMAT_VERSION + 1):
        newer = isinstance(version, int) and version > _FORMAT_VERSION
        advice = "Update sklearn_mdjpt." if newer else "It has to be saved again."
        raise ValueError(
            f"{str(path)!r} has format version {version!r}; this version of "
            f"sklearn_mdjpt reads versions up to {_FORMAT_VERSION}. {advice}"
        )
    expected = index.pop("sha256", None)
    found = _index_checksum(index)
    if found != expected:
        raise ValueError(
            f"{str(path)!r} is damaged: expected the checksum {expected}, found "
            f"{found}."
        )
    return index


def _to_json(index):
    return json.dumps(index).encode()


def _index_checksum(index):
    # Reading JSON and writing it again gives the same text: floats are exact.
    return hashlib.sha256(_to_json(index)).hexdigest()


# Folders ------------------------------------------------------------------------


def _check_target(folder, sources, overwrite):
    """Raise where a store may not be written."""
    parent = folder.absolute().parent
    if not parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(parent)!r}.{home_hint(folder)}"
        )
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise FileExistsError(f"{str(folder)!r} is a file; a store is a folder.")
    if all(path.name.startswith(".") for path in folder.iterdir()):
        return
    if not overwrite:
        raise FileExistsError(
            f"{str(folder)!r} exists and is not empty; give another folder, or "
            "overwrite=True to replace an older store."
        )
    try:
        _read_index(folder)
    except ValueError as error:
        raise FileExistsError(
            f"overwrite=True replaces an older store only, which {str(folder)!r} is "
            f"not: {error}"
        ) from error
    for source in sources:
        file = source.filename
        if file is not None and _same_folder(Path(file).parent, folder):
            raise ValueError(
                f"These windows are read from the store {str(folder)!r} itself (file "
                f"{Path(file).name!r}), so that it cannot be replaced by them; save "
                "them to another folder."
            )


def _same_folder(first, second):
    # By what they are, not by their names: links, and systems that ignore case.
    with contextlib.suppress(OSError):
        return os.path.samefile(first, second)
    return False


@contextlib.contextmanager
def _new_folder(folder):
    """Give a hidden folder, whose content takes its place in ``folder`` at the end."""
    exists = folder.exists()
    # Inside a folder that exists: it may be the root of a file system of its own.
    new = temporary_name(folder / "store" if exists else folder)
    new.mkdir()
    try:
        yield new
        sync_folder(new)
        if exists:
            _move_into(new, folder)
        else:
            _rename(new, folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def _rename(new, folder):
    try:
        os.rename(new, folder)
    except OSError as error:
        if not os.path.lexists(folder):
            raise
        raise FileExistsError(
            f"{str(folder)!r} was made by another process meanwhile; it is left as it "
            "is."
        ) from error


def _move_into(new, folder):
    """Replace the content of a store; a kill leaves the old one or the new one."""
    names = {path.name for path in new.iterdir()}
    # Files of other content have other names: the old store is whole until its index
    # is replaced, and the new one from then on.
    for name in names - {_INDEX}:
        os.replace(new / name, folder / name)
    sync_folder(folder)
    os.replace(new / _INDEX, folder / _INDEX)
    sync_folder(folder)
    for path in folder.iterdir():
        if path.name not in names and _OUR_FILES.fullmatch(path.name):
            # Windows keeps files that another process has mapped.
            with contextlib.suppress(PermissionError):
                path.unlink()
    new.rmdir()
