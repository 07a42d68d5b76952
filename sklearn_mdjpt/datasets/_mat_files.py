"""Variables of MATLAB files of version 5 (5 to 7.2), found by their headers.

Such a file is 128 bytes and then one element after the other, each with its type and
length in front.  Which variables there are, where, and whether the file is cut off
can be told from these without reading any values.  A variable is later read alone,
from its own bytes.
"""

import io
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

_HEADER_BYTES = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC_CLASSES = range(6, 16)  # double, single, and integers of 8 to 64 bits
_COMPLEX_FLAG = 0x800
# A compressed element's header is in the first of its bytes; deflate's own tables
# take some hundreds of them.
_BEGINNING_BYTES = 2048


class Variable(NamedTuple):
    """One variable of a file: what it is, and where its element lies."""

    name: str
    shape: tuple
    is_real: bool  # an array of real numbers, no text, cell or structure
    offset: int
    n_bytes: int


def list_variables(path):
    """List the variables of a file in their order.

    Parameters
    ----------
    path : path-like
        A MATLAB file of version 5.

    Returns
    -------
    list of Variable

    Raises
    ------
    ValueError
        If the file is of another format, or ends too early.
    """
    size = Path(path).stat().st_size
    variables = []
    with Path(path).open("rb") as file:
        order = _byte_order(file.read(_HEADER_BYTES))
        offset = _HEADER_BYTES
        while offset < size:
            file.seek(offset)
            tag = file.read(8)
            n_bytes = 8
            if len(tag) == 8:
                kind, length = struct.unpack(order + "II", tag)
                n_bytes += length
            if offset + n_bytes > size:
                after = f" after {variables[-1].name!r}" if variables else ""
                raise ValueError(
                    f"it is cut off{after}: {size} bytes, expected at least "
                    f"{offset + n_bytes}"
                )
            beginning = file.read(min(length, _BEGINNING_BYTES))
            if kind == _COMPRESSED:
                beginning = zlib.decompressobj().decompress(beginning)
                kind = struct.unpack(order + "I", beginning[:4])[0]
                beginning = beginning[8:]
            if kind == _MATRIX and beginning:
                described = _describe(beginning, order)
                variables.append(Variable(*described, offset, n_bytes))
            offset += n_bytes
    return variables


def read_variable(path, variable):
    """Read the values of one variable.

    Parameters
    ----------
    path : path-like
        The file.
    variable : Variable
        As `list_variables` found it.

    Returns
    -------
    ndarray
    """
    from scipy.io import loadmat

    # A file of this variable alone: nothing else has to be gone through.
    alone = io.BytesIO()
    with Path(path).open("rb") as file:
        alone.write(file.read(_HEADER_BYTES))
        file.seek(variable.offset)
        alone.write(file.read(variable.n_bytes))
    values = loadmat(alone).get(variable.name)
    if not isinstance(values, np.ndarray) or values.shape != variable.shape:
        raise ValueError(f"variable {variable.name!r} is not what its header says")
    return values


def _byte_order(header):
    if b"HDF" in header[:8] or header.startswith(b"MATLAB 7.3"):
        raise ValueError(
            "it is a MATLAB file of version 7.3 (HDF5), expected version 5 as "
            "published; save it in MATLAB with the option '-v7'"
        )
    mark = header[126:128]
    if mark not in (b"IM", b"MI"):
        raise ValueError(
            "it is no MATLAB file of version 5: its header does not end in 'IM' or "
            f"'MI', found {mark!r}"
        )
    return "<" if mark == b"IM" else ">"


def _describe(matrix, order):
    """Return name, shape and whether it is real from the beginning of a matrix."""
    flags, at = _subelement(matrix, 0, order)
    dimensions, at = _subelement(matrix, at, order)
    name, _ = _subelement(matrix, at, order)
    flags = struct.unpack(order + "I", flags[:4])[0]
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions)
    is_real = flags & 0xFF in _NUMERIC_CLASSES and not flags & _COMPLEX_FLAG
    return name.decode("latin1"), shape, is_real


def _subelement(matrix, at, order):
    """Return the bytes of the part that begins at a place, and where the next does."""
    word, length = struct.unpack_from(order + "II", matrix, at)
    if word >> 16:  # up to four bytes lie in the tag itself
        return matrix[at + 4 : at + 4 + (word >> 16)], at + 8
    return matrix[at + 8 : at + 8 + length], at + 8 + -(-length // 8) * 8
