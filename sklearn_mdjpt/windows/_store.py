"""Windows on disk: a folder of arrays that are mapped into memory, and one index.

Each signal is one ``.npy`` file, all columns of metadata are one ``.npz`` file;
``index.json`` says what they are and lists their checksums.  Nothing is pickled.  The
name of a file holds part of its checksum: a path, kept in the pickle of some windows,
leads to the same content or to nothing, even after the store was written anew.
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
from .._io._columns import decode_table, encode_table, smallest
from .._io._files import sync_folder, temporary_name, write_file
from .._validation import check_path, home_hint
from ._recording import Recording
from ._stack import WindowStack

_INDEX = "index.json"
_FORMAT = "sklearn_mdjpt windows"
# Versions 1 and 2 had a file for each column.
_FORMAT_VERSION = 3
# Those of older versions go with the store that takes the place of theirs.
_OUR_FILES = re.compile(r"(signal|tables|places|column)-[0-9a-f]{16}\.np[yz]")
_CHUNK_BYTES = 2**24
_KINDS = {kind.__name__: kind for kind in (Recording, WindowStack)}


def write_store(folder, sources, cuts, metadata, *, overwrite=False):
    """Write windows to a folder; see `EEGWindows.save`.

    Parameters
    ----------
    folder : str or path-like
        The store.
    sources : list of Recording or WindowStack
        What the windows are cut from; those without windows are left out.
    cuts : tuple of three ndarray of int, each of shape (n_windows,)
        Source, start and length of each window.
    metadata : DataFrame
        One row for each window.
    overwrite : bool, default=False
        Whether an older store may be replaced.
    """
    folder = check_path(folder, "The folder of a store")
    used, source_index = np.unique(cuts[0], return_inverse=True)
    sources = [sources[k] for k in used]
    _check_target(folder, sources, overwrite)
    # All that can be refused is refused before anything is written.
    arrays = [smallest(array) for array in (source_index, *cuts[1:])]
    columns = encode_table(metadata, "the metadata", arrays)
    trials, rows_of_trials = _join_trials(sources)
    trials = [encode_table(table, "the trials", arrays) for table in trials]
    recordings = [
        {"kind": type(source).__name__, "trials": rows, "attributes": source._saved()}
        for source, rows in zip(sources, rows_of_trials, strict=True)
    ]
    with _new_folder(folder) as new:
        for entry, source in zip(recordings, sources, strict=True):
            entry["signal"] = _write_signal(new, source)
        index = {
            "format": _FORMAT,
            "format_version": _FORMAT_VERSION,
            "package_version": __version__,
            "tables": _write_arrays(new, arrays),
            "metadata": columns,
            "trials": trials,
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
    version = index["format_version"]
    if version != _FORMAT_VERSION:
        newer = isinstance(version, int) and version > _FORMAT_VERSION
        advice = "Update sklearn_mdjpt." if newer else "Save the windows again."
        raise ValueError(
            f"{str(folder / _INDEX)!r} has format version {version!r}; this version of "
            f"sklearn_mdjpt reads version {_FORMAT_VERSION}. {advice}"
        )
    try:
        arrays = _read_arrays(folder, index["tables"])
        trials = [decode_table(columns, arrays) for columns in index["trials"]]
        sources = [
            _restore(folder, entry, trials, verify=verify)
            for entry in index["recordings"]
        ]
        metadata = decode_table(index["metadata"], arrays)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{str(folder / _INDEX)!r} is not of the form expected: {error!r}."
        ) from error
    return sources, *(array.astype(np.int64) for array in arrays[:3]), metadata


# Recordings ---------------------------------------------------------------------


def _join_trials(sources):
    """Join the tables of trials: a thousand small ones take seconds to open.

    Returns
    -------
    tables : list of DataFrame
        One for each set of columns and dtypes.
    rows : list of (int, int, int) or None
        Table, first row and end of each recording's trials; None for stacks.
    """
    parts, n_rows, rows = {}, {}, []
    for source in sources:
        trials = source.trials
        if trials is None:
            rows.append(None)
            continue
        key = (tuple(trials.columns), tuple(trials.dtypes))
        parts.setdefault(key, []).append(trials)
        first = n_rows.get(key, 0)
        n_rows[key] = first + len(trials)
        rows.append((list(parts).index(key), first, n_rows[key]))
    return [pd.concat(same, ignore_index=True) for same in parts.values()], rows


def _restore(folder, entry, trials, *, verify):
    """Return the recording that an entry of the index describes."""
    signal = entry["signal"]
    path = _check_file(folder, signal)
    if verify:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        _check_content(path, signal, digest)
    offset, shape = len(signal["header"]), tuple(signal["shape"])
    signal = np.memmap(str(path), signal["dtype"], "r", offset, shape)
    if entry["trials"] is not None:
        table, first, stop = entry["trials"]
        trials = trials[table].iloc[first:stop].reset_index(drop=True)
    else:
        trials = None
    source = _KINDS[entry["kind"]]._restored(signal, trials, **entry["attributes"])
    source.close_file()
    return source


# Files --------------------------------------------------------------------------


def _write_signal(folder, source):
    """Write a signal a few megabytes at a time; return its entry in the index."""
    dtype, shape = source.signal.dtype.newbyteorder("="), source.shape
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": shape,
        },
    )
    pieces = (
        np.ascontiguousarray(part, dtype).reshape(-1).view(np.uint8)
        for part in source._in_order(_CHUNK_BYTES)
    )
    entry = _write_file(folder, "signal-{}.npy", chain([header.getvalue()], pieces))
    # The header is kept as it is: other versions of NumPy may write other blanks.
    header = header.getvalue().decode("latin-1")
    return entry | {"dtype": dtype.str, "shape": list(shape), "header": header}


def _write_arrays(folder, arrays):
    """Write all arrays of all tables to one file; return its entry in the index."""
    content = io.BytesIO()
    np.savez(content, *arrays)
    return _write_file(folder, "tables-{}.npz", [content.getbuffer()])


def _read_arrays(folder, entry):
    path = _check_file(folder, entry)
    content = path.read_bytes()
    _check_content(path, entry, hashlib.sha256(content))
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return [file[name] for name in file.files]


def _write_file(folder, name, pieces):
    """Write bytes, piece by piece, to a file that is named by their checksum."""
    checksum = hashlib.sha256()
    unnamed = folder / "unnamed"
    with unnamed.open("xb") as file:
        for piece in pieces:
            checksum.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        n_bytes = file.tell()
    checksum = checksum.hexdigest()
    name = name.format(checksum[:16])
    # Equal signals share one file.
    os.replace(unnamed, folder / name)
    return {"file": name, "n_bytes": n_bytes, "sha256": checksum}


def _check_file(folder, entry):
    """Raise unless a file is there, as long as it was, with its header; return it."""
    name, header = entry["file"], entry.get("header", "").encode("latin-1")
    path = folder / name
    # Nothing outside the folder is read, whatever the index says.
    if not _OUR_FILES.fullmatch(name):
        raise ValueError(
            f"{str(folder / _INDEX)!r} lists {name!r}, which is no file of a store."
        )
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            found = file.read(len(header))
    except FileNotFoundError as error:
        raise ValueError(
            f"The store {str(folder)!r} lacks its file {name!r}, which the index lists."
        ) from error
    if (size, found) != (entry["n_bytes"], header):
        # What NumPy puts before the description of an array says nothing to a reader.
        expected, found = (text[10:].strip() for text in (header, found))
        raise ValueError(
            f"{str(path)!r} is damaged or not the file of this store: expected "
            f"{entry['n_bytes']} bytes with the header {expected}, found {size} bytes "
            f"with the header {found}."
        )
    return path


def _check_content(path, entry, digest):
    """Raise unless a file has the checksum that the index lists."""
    found = digest.hexdigest()
    if found != entry["sha256"]:
        raise ValueError(
            f"{str(path)!r} is damaged: expected the checksum {entry['sha256']}, "
            f"found {found}."
        )


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
