"""Arrays in pickle files, without running what the files say.

A pickle is a program, and Python's reader calls the functions that it names.  Here each
of the few names that NumPy's arrays need stands for a substitute of this module, and
any other name ends the reading: nothing of a file is ever run.
"""

import functools
import math
import os
import pickle
import pickletools
import re
from pathlib import Path

import numpy as np

from .._io._signals import naming

_LONG = 2**16  # bytes of a string; a longer one is passed over unless it is wanted
_LONG_STRINGS = {"BINSTRING", "BINBYTES", "BINBYTES8", "BYTEARRAY8"}
# How often a pickle may take a part of itself again.  Two arrays take eight; tuples of
# tuples that hold each other twice as the key of a dict take 2**n steps to hash.
_MAX_REPEATS = 24
_REPEATS = {"GET", "BINGET", "LONG_BINGET", "DUP"}
# Numbers of a fixed size: what lies in the bytes is all that there is to them.
_DTYPE = re.compile(r"b1|[iu][1248]|f[248]")


def read_pickle(path, *, samples=True):
    """Read an array, or a dict that holds arrays, from a pickle file.

    Parameters
    ----------
    path : path-like
        A file of any protocol, from Python 2 or 3.
    samples : bool, default=True
        Whether to read arrays of more than 64 KiB.  If not, only their shape and dtype
        mean something, and their samples cost neither time nor memory (but where
        Python 2, or Python 3 in protocols 0 to 2, wrote the file).

    Returns
    -------
    ndarray or dict of str to object
        The values of a dict are arrays and plain values.  The str of Python 2 are
        bytes; as keys of the dict they are str.

    Raises
    ------
    ValueError
        If the file holds anything else, is cut off, or is no pickle.
    FileNotFoundError
        If there is no such file.
    """
    path = Path(path)
    with naming(path), open(path, "rb") as file:
        long_strings = _survey(_PickleFile(file))
        file.seek(0)
        passed_over = () if samples else long_strings
        content = _Unpickler(_PickleFile(file, passed_over), encoding="bytes").load()
        if isinstance(content, dict):
            return {_text(key): _finish(value) for key, value in content.items()}
        return _finish(content)


class _PickleFile:
    """A file for `pickle.Unpickler` that gives no more than there is in it.

    Parameters
    ----------
    file : binary file
        At its beginning.
    passed_over : iterable of (int, int), default=None
        First byte and last + 1 of stretches that are not read.  None: whatever is
        longer than 64 KiB.
    """

    def __init__(self, file, passed_over=None):
        self._file, self._passed_over = file, passed_over
        self._size = os.fstat(file.fileno()).st_size
        self.tell = file.tell

    def read(self, n_bytes):
        # Zeros that nobody looks at take no memory.
        return bytes(n_bytes) if self._pass_over(n_bytes) else self._file.read(n_bytes)

    def readline(self):
        line = self._file.readline()
        # pickletools takes the strings of Python 2 for ASCII: what is in them is left
        # out where it is not wanted.
        is_string = line[:1] in (b"'", b'"') and line.endswith(line[:1] + b"\n")
        return b"''\n" if is_string and self._passed_over is None else line

    def readinto(self, buffer):
        if self._pass_over(len(buffer)):
            return len(buffer)
        return self._file.readinto(buffer)

    def _pass_over(self, n_bytes):
        """Move on if the next bytes are not wanted; return whether it did."""
        start = self._file.tell()
        stop = start + n_bytes
        if n_bytes < 0 or stop > self._size:
            raise ValueError(
                f"{n_bytes} bytes are announced at byte {start} of {self._size}"
            )
        if self._passed_over is None:
            skip = n_bytes > _LONG
        else:
            skip = any(low <= start and stop <= high for low, high in self._passed_over)
        if skip:
            self._file.seek(stop)
        return skip


def _survey(file):
    """Go through a pickle without carrying it out, and find its long byte strings.

    Returns
    -------
    list of (int, int)
        First byte and last + 1 of each.

    Raises
    ------
    ValueError
        If it is cut off, is no pickle, or could take memory or time without end.
    """
    long_strings, n_repeats = [], 0
    for number, (opcode, argument) in enumerate(_opcodes(file)):
        n_repeats += opcode in _REPEATS
        if n_repeats > _MAX_REPEATS:
            raise ValueError("it takes its own parts again more often than arrays need")
        if "PUT" in opcode and argument > number:
            # Python makes room for all parts up to this one.
            raise ValueError(f"it numbers a part {argument}, and has {number}")
        if opcode.startswith("EXT"):  # the only calls that need no name
            raise ValueError("it calls a function by a number")
        if opcode in _LONG_STRINGS and len(argument) > _LONG:
            long_strings.append((file.tell() - len(argument), file.tell()))
    return long_strings


def _opcodes(file):
    """Yield the name and the argument of each opcode."""
    try:
        for opcode, argument, _ in pickletools.genops(file):
            yield opcode.name, argument
    except ValueError as error:
        raise ValueError(f"it is cut off, or no pickle: {error}") from error


class _Unpickler(pickle.Unpickler):
    """Python's reader with the names that arrays need, and no other."""

    def find_class(self, module, name):
        if (module, name) not in _SUBSTITUTES:
            raise ValueError(
                f"it names '{module}.{name}'; only NumPy arrays and plain values are "
                "loaded, nothing is run"
            )
        # A new partial each time: what the pickle sets on it touches nothing of ours.
        return functools.partial(_SUBSTITUTES[module, name])


class _Dtype:
    """Stands for a dtype."""

    def __init__(self, text, align=False, copy=True):
        self.text, self.order = _text(text), "="
        if self.text.startswith("O"):
            raise ValueError("it holds an array of objects, which are not loaded")
        if not _DTYPE.fullmatch(self.text):
            raise ValueError(
                f"it holds an array of type {self.text!r}, expected numbers such as "
                "'f8'"
            )

    def __setstate__(self, state):
        # Version, byte order, then what only types that are no numbers have.
        if any(part is not None for part in state[2:5]):
            raise ValueError("it holds an array of records, which are not loaded")
        self.order = _text(state[1])

    def resolve(self):
        """Return the dtype; without a mark, as this machine has it."""
        return np.dtype(self.order + self.text)


class _Array:
    """Stands for an array; `values` is the array."""

    values = None

    def __setstate__(self, state):
        # (version,) shape, dtype, whether in Fortran's order, samples.
        shape, dtype, is_fortran, data = state[-4:]
        self.fill(data, dtype, shape, "F" if is_fortran else "C")

    def fill(self, data, dtype, shape, order):
        """Make the array from what the file says of it, checked."""
        if not isinstance(dtype, _Dtype):
            raise ValueError("it holds an array whose type is no NumPy dtype")
        if not isinstance(data, bytes | bytearray):
            raise ValueError("it holds an array whose samples are no bytes")
        if not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("it holds an array whose shape is not of whole numbers")
        n_bytes = dtype.resolve().itemsize * math.prod(shape)
        if n_bytes != len(data):
            raise ValueError(
                f"an array of shape {shape} and type {dtype.resolve()} takes "
                f"{n_bytes} bytes, and {len(data)} are there"
            )
        self.values = np.frombuffer(data, dtype.resolve()).reshape(shape, order=order)


def _reconstruct(kind, shape, code):
    """Make an array without shape and samples, which its state brings."""
    return _Array()


def _from_buffer(data, dtype, shape, order, axes=None):
    """Make an array; the order "K" is C's order of other axes than the array's."""
    array = _Array()
    array.fill(data, dtype, shape, "F" if order == "F" else "C")
    if order == "K":
        array.values = array.values.transpose(axes)
    return array


def _encode(text, encoding):
    """Turn a text into bytes, which Python 3 writes so for Python 2."""
    if _text(encoding) not in ("latin1", "latin-1"):
        raise ValueError("it encodes a text in a way that is not known")
    return text.encode("latin-1")


_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC_MODULES = ("numpy.core.numeric", "numpy._core.numeric")
_SUBSTITUTES = {
    **{(module, "_reconstruct"): _reconstruct for module in _ARRAY_MODULES},
    **{(module, "_frombuffer"): _from_buffer for module in _NUMERIC_MODULES},
    ("numpy", "ndarray"): _Array,  # which arrays name as their kind
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}


def _finish(value):
    """Return the array that a value stands for, or a value that is no array."""
    if not isinstance(value, _Array):
        return value
    if value.values is None:
        raise ValueError("it holds an array without its shape and type")
    return value.values


def _text(value):
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, str):
        raise ValueError(f"it has {type(value).__name__} where a text was expected")
    return value
