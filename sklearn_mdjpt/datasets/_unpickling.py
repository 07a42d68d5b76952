"""Arrays in pickle files, without running what the files say.

A pickle is a program, and Python's own reader runs whatever it calls.  This one knows
plain values, lists, tuples, dicts and NumPy arrays of numbers; the names that stand for
these mean the stand-ins below and never the objects themselves, and any other name ends
the reading.  Long byte strings are passed over: an array that lies in the file in one
piece is found by its place, shape and type, and its samples are read when it is opened.
"""

import codecs
import os
import pickletools
import re
import struct
from pathlib import Path

import numpy as np

from .._io._signals import naming

_SHORT = 256  # bytes of a string that is read at once, be it data or text

# Opcodes that are followed by so many bytes, and how their number is written.
_BYTE_STRINGS = {
    "U": "<B",  # str of Python 2
    "T": "<i",
    "C": "<B",  # bytes
    "B": "<I",
    "\x8e": "<Q",
    "\x96": "<Q",  # bytearray
}
_TEXTS = {"X": "<I", "\x8c": "<B", "\x8d": "<Q"}
_VALUES = {"N": None, "\x88": True, "\x89": False}
_EMPTY = {"]": list, ")": tuple, "}": dict}
_NUMBERS = "IJKMLG\x8a\x8bF"
_PUT, _GET = "qrp", "hjg"
_SHORT_TUPLES = {"\x85": 1, "\x86": 2, "\x87": 3}
_IGNORED = "\x80\x95"  # the protocol's number; a frame's length

_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC_MODULES = ("numpy.core.numeric", "numpy._core.numeric")
_NAMES = {
    **{(module, "_reconstruct"): "_reconstruct" for module in _ARRAY_MODULES},
    **{(module, "scalar"): "_scalar" for module in _ARRAY_MODULES},
    **{(module, "_frombuffer"): "_frombuffer" for module in _NUMERIC_MODULES},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "_dtype",
    # How bytes are written for Python 2.
    ("_codecs", "encode"): "_encode",
    ("__builtin__", "bytes"): "_no_bytes",
}
# Numbers of a fixed size: what lies in the bytes is all that there is to them.
_DTYPE = re.compile(r"b1|[iu][1248]|f[248]")


class PickledArray:
    """An array in a pickle file.

    Attributes
    ----------
    path : Path
        The file.
    dtype, shape : dtype and tuple of int
        Of the array.
    in_file : bool
        Whether its samples are still in the file only.
    """

    def __init__(self, path):
        self.path = path
        self.dtype = self.shape = None
        self._data = self._layout = self._axes = None

    @property
    def in_file(self):
        """Whether the samples are still in the file only."""
        return isinstance(self._data, _Span)

    def fill(self, shape, dtype, order, data, axes=None):
        """Take what the file says of the array, checked; `axes` are put in order."""
        if not isinstance(dtype, _Dtype):
            raise ValueError("it holds an array whose type is no NumPy dtype")
        if not isinstance(shape, tuple) or not all(_is_size(n) for n in shape):
            raise ValueError(f"it holds an array of the shape {_spell(shape)}")
        if isinstance(data, list):
            raise ValueError("it holds an array of objects, which are not loaded")
        if not isinstance(data, bytes | _Span):
            raise ValueError(f"an array's samples are given as {_spell(data)}")
        n_bytes = dtype.resolve().itemsize
        for n in shape:
            n_bytes *= n
        if n_bytes != len(data):
            raise ValueError(
                f"an array of shape {shape} and type {dtype.resolve()} takes "
                f"{n_bytes} bytes, and {len(data)} are there"
            )
        axes = tuple(range(len(shape))) if axes is None else axes
        if not isinstance(axes, tuple) or sorted(axes) != list(range(len(shape))):
            raise ValueError(f"an array of shape {shape} has its axes in no order")
        self.shape, self.dtype = tuple(shape[axis] for axis in axes), dtype.resolve()
        self._data, self._layout, self._axes = data, (shape, order), axes

    def open(self):
        """Return the samples: an array that is read-only, a memory map if possible."""
        shape, order = self._layout
        if self.in_file:
            array = np.memmap(
                self.path, self.dtype, "r", self._data.start, shape, order
            )
        else:
            array = np.frombuffer(self._data, self.dtype).reshape(shape, order=order)
        return array.transpose(self._axes)


def read_pickle(path):
    """Read a pickle of plain values and arrays.

    Parameters
    ----------
    path : path-like
        A file of any protocol, from Python 2 or 3.

    Returns
    -------
    object
        None, numbers, str, bytes, and lists, tuples and dicts of these.  Arrays are
        `PickledArray`: of those that lie in the file in one piece (not so in protocol
        0, nor where Python 3 wrote protocol 2 or lower) no sample is read.  The str of
        Python 2 are bytes; as keys of a dict they are str.  Long byte strings that
        are no samples are not read either.

    Raises
    ------
    ValueError
        If the file holds anything else, is cut off, or is no pickle.
    FileNotFoundError
        If there is no such file.
    """
    path = Path(path)
    with naming(path), open(path, "rb") as file:
        return _Machine(file, path).run()


class _Span:
    """Bytes of the file that were passed over."""

    def __init__(self, start, n_bytes):
        self.start, self._n_bytes = start, n_bytes

    def __len__(self):
        return self._n_bytes


class _Name:
    """One of the names that are known, to be called by the pickle."""

    def __init__(self, meaning):
        self.meaning = meaning


class _Dtype:
    """The type of an array, while it is put together."""

    def __init__(self, text):
        if text.startswith("O"):
            raise ValueError("it holds an array of objects, which are not loaded")
        if not _DTYPE.fullmatch(text):
            raise ValueError(
                f"it holds an array of type {text!r}, expected numbers such as 'f8'"
            )
        self.text, self.order = text, "="

    def build(self, state):
        """Take the byte order."""
        if not isinstance(state, tuple) or len(state) < 2:
            raise ValueError(f"a dtype has the state {_spell(state)}")
        order = _text(state[1])
        if order not in ("<", ">", "=", "|"):
            raise ValueError(f"a dtype has the byte order {order!r}")
        if any(part is not None for part in state[2:5]):
            raise ValueError("it holds an array of records, which are not loaded")
        self.order = order

    def resolve(self):
        """Return the dtype; without a mark, as this machine has it."""
        return np.dtype(self.order + self.text)


class _Mark:
    """Where a list, tuple or dict begins on the stack."""


class _Machine:
    """Carries out a pickle's opcodes (see the standard library's pickletools)."""

    def __init__(self, file, path):
        self.file, self.path = file, path
        self.size = os.fstat(file.fileno()).st_size
        self.stack, self.memo, self.arrays = [], {}, []

    def run(self):
        while True:
            code = self.file.read(1).decode("latin-1")
            if code == "":
                raise ValueError(f"it is cut off, or no pickle ({self.size} bytes)")
            if code == ".":
                break
            self.step(code)
        result = self.pop()
        if any(array.dtype is None for array in self.arrays):
            raise ValueError("it holds an array without its shape and type")
        return result

    def step(self, code):
        if code in _BYTE_STRINGS:
            self.stack.append(self.byte_string(_BYTE_STRINGS[code]))
        elif code in _TEXTS:
            text = self.take(self.length(_TEXTS[code]))
            self.stack.append(text.decode("utf-8", "surrogatepass"))
        elif code in _VALUES:
            self.stack.append(_VALUES[code])
        elif code in _EMPTY:
            self.stack.append(_EMPTY[code]())
        elif code in _NUMBERS or code in "VS":
            self.stack.append(self.argument(code))
        elif code in _PUT:
            self.memo[self.argument(code)] = self.top()
        elif code == "\x94":  # MEMOIZE
            self.memo[len(self.memo)] = self.top()
        elif code in _GET:
            index = self.argument(code)
            if index not in self.memo:
                raise ValueError(f"it refers to its part {index}, which is not there")
            self.stack.append(self.memo[index])
        elif code in _IGNORED:
            self.argument(code)
        elif code in _SHORT_TUPLES:
            items = [self.pop() for _ in range(_SHORT_TUPLES[code])]
            self.stack.append(tuple(reversed(items)))
        elif code in _ACTIONS:
            _ACTIONS[code](self)
        else:
            known = pickletools.code2op.get(code)
            raise ValueError(
                f"it does what arrays and plain values need not ({known.name})"
                if known
                else f"it is no pickle (byte {code.encode('latin-1')!r})"
            )

    # What is in the file ---------------------------------------------------------

    def take(self, n_bytes):
        """Return the next bytes; never asks for memory that the file cannot fill."""
        if n_bytes < 0 or self.file.tell() + n_bytes > self.size:
            raise ValueError(
                f"it is cut off: {n_bytes} bytes are announced at byte "
                f"{self.file.tell()} of {self.size}"
            )
        return self.file.read(n_bytes)

    def length(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def byte_string(self, form):
        n_bytes = self.length(form)
        start = self.file.tell()
        if n_bytes <= _SHORT:
            return self.take(n_bytes)
        if start + n_bytes > self.size:
            raise ValueError(
                f"it is cut off: {n_bytes} bytes are announced at byte {start} of "
                f"{self.size}"
            )
        self.file.seek(n_bytes, os.SEEK_CUR)
        return _Span(start, n_bytes)

    def line(self):
        line = self.file.readline()
        if not line.endswith(b"\n"):
            raise ValueError(f"it is cut off, or no pickle ({self.size} bytes)")
        return line[:-1]

    def argument(self, code):
        if code == "S":  # str of Python 2, as its repr
            line = self.line().strip()
            if len(line) < 2 or line[:1] not in b"'\"" or line[-1:] != line[:1]:
                raise ValueError("it holds a string without quotes")
            return codecs.decode(line[1:-1], "unicode_escape").encode("latin-1")
        if code == "V":
            return self.line().decode("raw_unicode_escape")
        if code == "\x8b":  # LONG4: an integer of so many bytes
            n_bytes = self.length("<i")
            return int.from_bytes(self.take(n_bytes), "little", signed=True)
        try:
            return pickletools.code2op[code].arg.reader(self.file)
        except ValueError as error:
            raise ValueError(f"it is cut off, or no pickle: {error}") from error

    # The stack -------------------------------------------------------------------

    def top(self):
        if not self.stack or self.stack[-1] is _Mark:
            raise ValueError("it is no pickle: a value is missing")
        return self.stack[-1]

    def pop(self):
        self.top()
        return self.stack.pop()

    def pop_to_mark(self):
        items = []
        while self.stack and self.stack[-1] is not _Mark:
            items.append(self.stack.pop())
        if not self.stack:
            raise ValueError("it is no pickle: the beginning of a list is missing")
        self.stack.pop()
        return items[::-1]

    def make_list(self):
        self.stack.append(self.pop_to_mark())

    def make_tuple(self):
        self.stack.append(tuple(self.pop_to_mark()))

    def make_dict(self):
        self.stack.append(_update({}, self.pop_to_mark()))

    def append(self):
        self.extend_list([self.pop()])

    def appends(self):
        self.extend_list(self.pop_to_mark())

    def extend_list(self, items):
        target = self.top()
        if not isinstance(target, list):
            raise ValueError(f"it appends to {_spell(target)}, expected a list")
        target.extend(items)

    def set_item(self):
        value = self.pop()
        self.set_in_dict([self.pop(), value])

    def set_items(self):
        self.set_in_dict(self.pop_to_mark())

    def set_in_dict(self, items):
        target = self.top()
        if not isinstance(target, dict):
            raise ValueError(f"it sets items of {_spell(target)}, expected a dict")
        _update(target, items)

    # Arrays ----------------------------------------------------------------------

    def find_name(self):
        self.push_name(self.line().decode("utf-8"), self.line().decode("utf-8"))

    def find_name_on_stack(self):
        name = self.pop()
        self.push_name(self.pop(), name)

    def push_name(self, module, name):
        if (
            not (isinstance(module, str) and isinstance(name, str))
            or (module, name) not in _NAMES
        ):
            found = f"{module}.{name}" if isinstance(module, str) else _spell(module)
            raise ValueError(
                f"it names {found!r}; only NumPy arrays and plain values are loaded, "
                "nothing is run"
            )
        self.stack.append(_Name(_NAMES[module, name]))

    def reduce(self):
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise ValueError(f"it calls {_spell(name)}, which is not to be called")
        make = getattr(self, name.meaning, None)
        if make is None:
            raise ValueError(f"it calls {name.meaning}, which is not to be called")
        try:
            self.stack.append(make(*arguments))
        except TypeError:
            raise ValueError(
                f"it makes an array from {len(arguments)} arguments of a kind that "
                "NumPy does not write"
            ) from None

    def build(self):
        state, target = self.pop(), self.top()
        if isinstance(target, _Dtype):
            target.build(state)
        elif isinstance(target, PickledArray):
            # (version,) shape, dtype, whether in Fortran's order, samples.
            if not isinstance(state, tuple) or len(state) not in (4, 5):
                raise ValueError(f"an array has the state {_spell(state)}")
            shape, dtype, is_fortran, data = state[-4:]
            target.fill(shape, dtype, "F" if is_fortran else "C", data)
        else:
            raise ValueError(f"it changes {_spell(target)}, which is not to be changed")

    def _reconstruct(self, kind, shape, code):
        """Make an array without samples, which `build` brings; the rest is ignored."""
        _check_name(kind, "ndarray")
        return self._new_array()

    def _frombuffer(self, data, dtype, shape, order, axes=None):
        if order not in ("C", "F", "K"):
            raise ValueError(f"an array has its samples in the order {_spell(order)}")
        array = self._new_array()
        # "K" is C's order of other axes than the array's.
        axes = axes if order == "K" else None
        array.fill(shape, dtype, "F" if order == "F" else "C", data, axes)
        return array

    def _new_array(self):
        self.arrays.append(PickledArray(self.path))
        return self.arrays[-1]

    def _dtype(self, text, align=False, copy=True):
        return _Dtype(_text(text))

    def _scalar(self, dtype, data):
        array = PickledArray(self.path)
        array.fill((), dtype, "C", data)
        return array.open().item()

    def _encode(self, text, encoding):
        if not isinstance(text, str) or _text(encoding) not in ("latin1", "latin-1"):
            raise ValueError("it encodes a text in a way that is not known")
        return text.encode("latin-1")

    def _no_bytes(self):
        return b""


_ACTIONS = {
    "(": lambda machine: machine.stack.append(_Mark),
    "0": _Machine.pop,
    "1": _Machine.pop_to_mark,
    "2": lambda machine: machine.stack.append(machine.top()),
    "l": _Machine.make_list,
    "t": _Machine.make_tuple,
    "d": _Machine.make_dict,
    "a": _Machine.append,
    "e": _Machine.appends,
    "s": _Machine.set_item,
    "u": _Machine.set_items,
    "c": _Machine.find_name,
    "\x93": _Machine.find_name_on_stack,
    "R": _Machine.reduce,
    "b": _Machine.build,
}


def _update(target, items):
    if len(items) % 2:
        raise ValueError("it is no pickle: a dict has a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # Nested tuples as keys could take for ever to hash.
        if not isinstance(key, str | bytes | int | float | None):
            raise ValueError(f"a dict has {_spell(key)} for a key")
        target[_text(key) if isinstance(key, bytes) else key] = value
    return target


def _check_name(value, meaning):
    if not isinstance(value, _Name) or value.meaning != meaning:
        raise ValueError(f"it makes an array of the kind {_spell(value)}")


def _is_size(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _text(value):
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, str):
        raise ValueError(f"it has {_spell(value)} where a text was expected")
    return value


def _spell(value):
    """Name a value of the pickle for a message: never at length, for it may nest."""
    return type(value).__name__ if value is not None else "None"
