"""Write files so that old ones stay intact after a kill, a crash or a full disk."""

import contextlib
import functools
import hashlib
import os
import uuid
from pathlib import Path

_UNFINISHED = ".part"


def write_file(path, content):
    """Write a file as a whole, or leave what was there unchanged.

    The content is written to a temporary file in the same folder, forced to the disk,
    and then replaces the old file in one step.

    Parameters
    ----------
    path : Path
        The file; its folder exists.
    content : bytes
        The whole content.

    Raises
    ------
    OSError
        If the file cannot be written; then nothing has changed.
    """
    try:
        with replacing(path) as temporary, temporary.open("xb") as file:
            file.write(content)
    except OSError as error:
        # The original error names the temporary file, which means nothing to a user.
        raise OSError(
            error.errno,
            f"{error.strerror or error}; nothing was written, and a file that was "
            "there is unchanged",
            str(path),
        ) from error


@contextlib.contextmanager
def replacing(path, folder=None):
    """Write a file under another name, then replace the old one in one step.

    Parameters
    ----------
    path : Path
        The file; its folder exists.
    folder : Path, default=None
        Folder of the temporary file, on the same disk; None: the file's own.

    Yields
    ------
    Path
        The name to write to.  After an error that file is removed, and the old one
        stays.
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
    """Return size and time of change of a file, by which new content is noticed.

    A file that is written again, with the same size, within one tick of the system's
    clock (some milliseconds; up to two seconds on some network and memory-card file
    systems) keeps its stamp.

    Returns
    -------
    size, time : int
        In bytes, and in microseconds: finer is not kept everywhere.
    """
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns // 1000


def file_digest(path):
    """Return the SHA-256 of a file, which is read again only if its stamp changes."""
    return _file_digest(os.path.abspath(path), file_stamp(path))


@functools.lru_cache
def _file_digest(path, stamp):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def same_stamp(first, second):
    """Whether two stamps, perhaps taken on two machines, are of the same content.

    Some network file systems have times in whole seconds only.
    """
    (first_size, a), (second_size, b) = first, second
    second_only = a % 10**6 == 0 or b % 10**6 == 0
    same_time = a // 10**6 == b // 10**6 if second_only else a == b
    return first_size == second_size and same_time


def temporary_name(path):
    """Return a unique, hidden name in the folder of ``path``."""
    path = Path(path)
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}{_UNFINISHED}")


def remove_unfinished(folder):
    """Remove temporary files of killed processes; nobody may be writing there."""
    for path in Path(folder).glob(f".*{_UNFINISHED}"):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path, on_wait):
    """Hold a lock between processes, until the end of the block or of this process.

    Parameters
    ----------
    path : Path
        The lock's file.
    on_wait : callable
        Called without arguments if another process holds the lock.  Unless it raises,
        this process then waits.

    Yields
    ------
    bool
        Whether the lock is held; False on network file systems without locks.
    """
    import filelock

    # The system releases the lock when its owner dies in any way.
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
    """Force names of files to the disk, if the system can."""
    # Windows cannot open folders.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
