"""Signals that stay in their files until they are read.

A recording holds either an array or one of these, which are opened, in any process,
when somebody asks for the samples.
"""

import abc
import collections
import contextlib
import mmap
import os
import weakref
from pathlib import Path

import numpy as np

from .._validation import warn
from ._cache import BoundedCache
from ._files import file_stamp, same_stamp

# So many files are mapped at once; systems allow a process 256 open files or more.
_MAPPED_FILES = 128
# Pages of mapped files that were read count as memory of the process.
_MAPPED_BYTES = 2**26
_CAN_LET_GO = hasattr(mmap, "MADV_DONTNEED")
DECODED_BYTES = 2**30
"""Upper bound, in bytes, on decoded signals kept in memory by one process.

One that is larger by itself is kept alone."""

_MANY_TIMES = 5


class SignalInFile(abc.ABC):
    """Samples in a file, of which nothing is read any more once it has changed.

    Attributes
    ----------
    filename : str
        The file.
    dtype, shape : dtype and tuple of int
        Of the array that `open` returns.
    stamp : tuple of int
        What the file was like when this was made (see `file_stamp`).  It is part of
        the pickle, so that hashes tell a file from what it was before.
    """

    # What reading has left behind; no part of the pickle.
    _of_reading = {}

    def __init__(self, filename, dtype, shape):
        self.filename = filename
        self.dtype, self.shape = np.dtype(dtype), tuple(int(n) for n in shape)
        self.stamp = file_stamp(filename)
        self.__dict__ |= self._of_reading

    @property
    def ndim(self):
        """Number of axes."""
        return len(self.shape)

    def check(self, *, held=False):
        """Raise if the file has changed.

        Parameters
        ----------
        held : bool, default=False
            Whether its samples are at hand: then the file itself may be gone.

        Raises
        ------
        ValueError
            If it is not the one that it was.
        FileNotFoundError
            If it is gone.
        """
        try:
            found = file_stamp(self.filename)
        except FileNotFoundError:
            if held:
                return
            raise
        if not same_stamp(found, self.stamp):
            raise ValueError(
                f"{self.filename!r} has changed since its header was read; read the "
                "data set again."
            )

    @abc.abstractmethod
    def open(self):
        """Return the samples."""

    def __getstate__(self):
        return self.__dict__ | self._of_reading


class MemmapReference(SignalInFile):
    """Where a memory map lies, to open it when it is read, in any process."""

    _of_reading = {"_map": None}
    # References whose file is mapped now, and their bytes, the first one opened first.
    _mapped = collections.deque()

    def __init__(self, filename, dtype, shape, offset, order):
        super().__init__(filename, dtype, shape)
        self.offset, self.order = offset, order

    def open(self):
        """Return the memory map, which is kept until many others were opened.

        Each map holds a file open, of which a process may have only so many: data
        sets with one recording for each trial have thousands.  What was read of a large
        file is let go of; the system keeps it at hand as long as it has room.

        Raises
        ------
        FileNotFoundError, ValueError
            As for `check`, or if the file cannot be mapped.
        """
        opened = self._map
        if opened is not None:
            self.check(held=True)
            if opened.nbytes > _MAPPED_BYTES and _CAN_LET_GO:
                opened._mmap.madvise(mmap.MADV_DONTNEED)
        else:
            try:
                opened = np.memmap(
                    self.filename, self.dtype, "r", self.offset, self.shape, self.order
                )
            except ValueError as error:
                raise ValueError(
                    f"{self.filename!r} cannot be mapped as {self.dtype} of shape "
                    f"{self.shape}: {error}."
                ) from error
            self.check()
            self._map = opened
            self._mapped.append((weakref.ref(self), opened.nbytes))
            while len(self._mapped) > 1 and (
                len(self._mapped) > _MAPPED_FILES
                or sum(n_bytes for _, n_bytes in self._mapped) > _MAPPED_BYTES
            ):
                oldest = self._mapped.popleft()[0]()
                if oldest is not None:
                    oldest._map = None
        return opened


class DecodedSignal(SignalInFile):
    """Samples in a file that has to be decoded, as a whole, to get at them.

    They are kept in memory as long as there is room (see `DECODED_BYTES`).

    Parameters
    ----------
    path : path-like
        The file.
    shape : tuple of int
        (n_channels, n_times), as the file's header has it.
    decode : callable
        Takes the path and returns the samples (n_channels, n_times), a new array; can
        be pickled.
    """

    _of_reading = {"_n_decoded": 0}

    def __init__(self, path, shape, decode):
        # Absolute, since pickles carry it to processes with other working folders.
        super().__init__(os.path.abspath(path), np.float32, shape)
        self.decode = decode

    def open(self):
        """Return the samples as float32, read-only.

        Raises
        ------
        FileNotFoundError
            If the file is gone.
        ValueError
            If it cannot be decoded, or is not the one that it was.
        """
        self.check(held=True)
        return _decoded.get(self, None, self._read)

    def _read(self):
        self.check()
        with naming(self.filename):
            # No copy of what has this form already: a session's samples may take 1 GB.
            signal = self.decode(Path(self.filename))
            signal = np.asarray(signal, self.dtype, order="C")
            if signal.shape != self.shape:
                raise ValueError(
                    f"expected a signal of shape {self.shape}, found {signal.shape}"
                )
        signal.flags.writeable = False
        self._n_decoded += 1
        if self._n_decoded == _MANY_TIMES:
            warn(
                f"{self.filename!r} is decoded for the {_MANY_TIMES}th time: the files "
                "in use do not fit into memory together. EEGWindows.save(folder) and "
                "EEGWindows.open(folder) read windows without decoding."
            )
        return signal


class UnreadableFileError(ValueError):
    """A file cannot be read; the message says which one."""


@contextlib.contextmanager
def naming(path):
    """Say which file could not be read, whatever the error."""
    try:
        yield
    except (FileNotFoundError, PermissionError, MemoryError, UnreadableFileError):
        raise
    except Exception as error:
        reason = str(error).strip().rstrip(".") or type(error).__name__
        reason = reason.replace(str(path), "the file")
        message = f"{str(path)!r} cannot be read: {reason}."
        raise UnreadableFileError(message) from error


def memmap_root(array):
    """Return the memory map of a file that an array lies in, None without one."""
    root = array
    while isinstance(root, np.ndarray):
        if isinstance(root, np.memmap) and not isinstance(root.base, np.memmap):
            break
        root = root.base
    if not isinstance(root, np.memmap) or root.filename is None:
        return None
    return root


def map_stamp(array):
    """Return the stamp of the file that an array is mapped from now; None if none.

    A map shows what is in its file, be it written through the map or by others.
    """
    root = None if isinstance(array, SignalInFile) else memmap_root(array)
    if root is None:
        return None
    try:
        return file_stamp(root.filename)
    except FileNotFoundError:  # gone by name only: the map holds what it held
        return None


def mapped_file(array):
    """Return which file has the name of the one that an array was mapped from.

    Where a file takes the place of another one, a map stays that of the old one.
    """
    root = None if isinstance(array, SignalInFile) else memmap_root(array)
    try:
        status = None if root is None else os.stat(root.filename)
    except FileNotFoundError:
        return None
    return None if status is None else (status.st_dev, status.st_ino)


def signal_in_file(array):
    """Describe an array that can be had from a file again; None for any other."""
    if isinstance(array, SignalInFile):
        return array
    root = memmap_root(array)
    # What was changed in memory only is not in the file; what joblib mapped for its
    # workers does not outlive them.
    if (
        root is None
        or root.mode == "c"
        or "joblib_memmapping_folder" in str(root.filename)
    ):
        return None
    order = "C" if array.flags.c_contiguous else "F"
    if not (array.flags.c_contiguous or array.flags.f_contiguous):
        return None
    # A slice inherits its parent's `offset`; the true one is in the addresses.
    offset = root.offset + (
        array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    )
    return MemmapReference(str(root.filename), array.dtype, array.shape, offset, order)


_decoded = BoundedCache(DECODED_BYTES, keep_newest=True)
