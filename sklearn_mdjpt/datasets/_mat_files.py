"""MATLAB files of version 5 (5 to 7.2): SciPy reads them, this module checks them.

SciPy reads the first variables of a file that is cut off and says nothing of the rest.
So the lengths of all elements, which stand in front of each one, are added up first.
"""

import io
import math
import re
import struct
from pathlib import Path

import numpy as np

_HEADER_BYTES, _TAG_BYTES = 128, 8
# A byte of compressed data becomes at most so many: no file holds more values.
_MAX_EXPANSION = 1032


def list_variables(path, needed=()):
    """List the variables of real numbers in a file; only their headers are read.

    Complex numbers, which SciPy's list does not tell apart, are listed as well;
    `read_variables` refuses them.

    Parameters
    ----------
    path : path-like
        A MATLAB file of version 5.
    needed : sequence of str, default=()
        Names of variables that must be there.

    Returns
    -------
    dict of str to tuple of int
        The shape of each variable by its name, in the order of the file.

    Raises
    ------
    ValueError
        If the file is of another format, ends too early, lacks a variable, or claims
        more values than it has room for.
    """
    from scipy.io import whosmat

    _, spans = _find_elements(path)
    n_bytes = spans[-1][1] if spans else 0
    found = whosmat(path)
    shapes = {
        name: shape
        for name, shape, kind in found
        if re.fullmatch(r"double|single|u?int\d+", kind)
    }
    lacking = [name for name in needed if name not in shapes]
    if lacking:
        raise ValueError(
            f"it lacks the numeric variables {', '.join(lacking)}; it has "
            f"{', '.join(f'{name} ({kind})' for name, _, kind in found) or 'none'}"
        )
    for name, shape in shapes.items():
        if math.prod(shape) > _MAX_EXPANSION * n_bytes:
            raise ValueError(
                f"variable {name!r} has shape {shape}: more than fits into the "
                f"{n_bytes} bytes of the file"
            )
    return shapes


def read_variables(path, names):
    """Yield the values of some of the variables that `list_variables` lists.

    Each is read from its own bytes, and alone in memory: SciPy would go through all
    variables in front of it, whose first 128 KiB it decompresses.
    """
    from scipy.io import whosmat

    header, spans = _find_elements(path)
    listed = [name for name, *_ in whosmat(path)]
    spans = dict(zip(listed, spans, strict=True))
    for name in names:
        yield _read_element(path, header, *spans[name], name)


def _read_element(path, header, start, stop, name):
    from scipy.io import loadmat

    with Path(path).open("rb") as file:
        file.seek(start)
        alone = io.BytesIO(header + file.read(stop - start))
    values = loadmat(alone)[name]
    if np.iscomplexobj(values):
        raise ValueError(f"variable {name!r} holds {values.dtype}, not real numbers")
    return values


def _find_elements(path):
    """Return the header of a file, and first byte and last + 1 of each element.

    After the header come the elements, each with a tag of two numbers, its type and
    its length.  Raises if the last one does not end in the file.
    """
    n_bytes, end, spans = Path(path).stat().st_size, _HEADER_BYTES, []
    with Path(path).open("rb") as file:
        header = file.read(_HEADER_BYTES)
        if b"HDF" in header[:8] or header.startswith(b"MATLAB 7.3"):
            raise ValueError(
                "it is a MATLAB file of version 7.3 (HDF5), expected version 5 as "
                "published; save it in MATLAB with the option '-v7'"
            )
        if header[126:] not in (b"IM", b"MI"):  # the byte order
            raise ValueError(
                "it is no MATLAB file of version 5: its header does not end in 'IM' "
                f"or 'MI', found {header[126:]!r}"
            )
        order = "<" if header[126:] == b"IM" else ">"
        while end < n_bytes:
            file.seek(end)
            tag = file.read(_TAG_BYTES).ljust(_TAG_BYTES, b"\0")
            start, end = end, end + _TAG_BYTES + struct.unpack(order + "II", tag)[1]
            spans.append((start, end))
    if end > n_bytes:
        raise ValueError(f"it is cut off: {n_bytes} bytes, expected at least {end}")
    return header, spans
