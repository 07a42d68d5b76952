"""Writing files so that a kill, a crash or a full disk leaves the old ones whole."""

import contextlib
import functools
import hashlib
import os
import uuid
from pathlib import Path

_UNFINISHED = ".part"


def write_file(path, content):
    """Write a file: afterwards the new one is there, or what was there before.

    The content goes to a temporary file in the same folder, is forced to the disk, and
    then takes the old file's place in one step.

    Parameters
    ----------
    path : Path
        The file; its folder exists.
    content : bytes
        All of it.

    Raises
    ------
    OSError
        If the file cannot be written; then nothing has changed.
    """
    try:
        with replacing(path) as temporary, temporary.open("xb") as file:
            file.write(content)
    except OSError as error:
        # The plain error names a temporary file that nobody has heard of.
        raise OSError(
            error.errno,
            f"{error.strerror or error}; nothing was written, and a file that was "
            "there is unchanged",
            str(path),
        ) from error


@contextlib.contextmanager
def replacing(path, folder=None):
    """Write a file under another name, which takes the old one's place in one step.

    Parameters
    ----------
    path : Path
        The file; its folder exists.
    folder : Path, default=None
        Where the other name is, on the same disk; None: beside the file.

    Yields
    ------
    Path
        The name to write to.  After an error that file is removed, and what was there
        before is there still.
    """
    temporary = temporary_name(path if folder is None else folder / path.name)
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def file_stamp(path):
    """Return size and time of change of a file: of other content, it is another one.

    A file that was written again, to the same size, within one tick of the system's
    clock (some milliseconds; up to two seconds on some network and memory-card file
    systems) cannot be told from what it was.

    Returns
    -------
    size, time : int
        In bytes, and in microseconds: finer is not kept everywhere.
    """
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns // 1000


def file_digest(path):
    """Return the SHA-256 of a file, read once as long as its stamp stays."""
    return _file_digest(os.path.abspath(path), file_stamp(path))


@functools.lru_cache
def _file_digest(path, stamp):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def same_stamp(first, second):
    """Whether two stamps are of the same file, seen perhaps from two machines.

    Some network file systems show whole seconds only.
    """
    (first_size, a), (second_size, b) = first, second
    second_only = a % 10**6 == 0 or b % 10**6 == 0
    same_time = a // 10**6 == b // 10**6 if second_only else a == b
    return first_size == second_size and same_time


def temporary_name(path):
    """Return a name beside ``path`` that nobody else uses, hidden from listings."""
    path = Path(path)
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}{_UNFINISHED}")


def remove_unfinished(folder):
    """Remove what killed processes left behind; nobody may be writing there."""
    for path in Path(folder).glob(f".*{_UNFINISHED}"):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path, on_wait):
    """Keep other processes out, as long as this one lives.

    Parameters
    ----------
    path : Path
        The file that stands for the lock.
    on_wait : callable
        Called, without arguments, if another process holds it; then waits for it,
        unless this raises.

    Yields
    ------
    bool
        Whether nobody else is there.  Some network file systems know no locks: then
        it is not known.
    """
    import filelock

    # The system gives the lock back when its owner dies, however it dies.
    lock = filelock.FileLock(path, thread_local=False)
    alone = True
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        on_wait()
        lock.acquire()
    except NotImplementedError:
        alone = False
    try:
        yield alone
    finally:
        if alone:
            lock.release()


def sync_folder(folder):
    """Force names of files to the disk, where the system can do that."""
    # Not on Windows, where folders cannot be opened.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
