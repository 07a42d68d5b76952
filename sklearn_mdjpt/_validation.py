"""Checks of what users pass in: ids, channel names, rates, arrays.

Every check raises early and says what came and what was expected.  This module
imports nothing of the package, so that every other module may use it.
"""

import importlib.util
import math
import numbers
import operator
import os
import re
import sys
import unicodedata
import warnings
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

_BYTES = (bytes, bytearray, memoryview)
# What str.strip removes, and three more: zeros pad the fields of binary files, a byte
# order mark starts texts, and zero-width spaces come with pasted texts.
_BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\0\ufeff\u200b"

# Packages that call our code: a warning that points at their lines does not help.
_NOT_THE_USERS = {
    __name__.partition(".")[0], "sklearn", "joblib", "contextlib", "torch", "skorch",
}  # fmt: skip

# Blank text, and the texts that NumPy and pandas make of missing values.
_MISSING = {"", "nan", "<NA>", "NaT"}

# Rates whose relative difference is smaller are the same.
_SAME_RATE = 1e-6


def warn(message, category=UserWarning):
    """Warn at the user's line, the last one outside of packages that call ours."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and _top_package(frame) in _NOT_THE_USERS:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _top_package(frame):
    return frame.f_globals.get("__name__", "").partition(".")[0]


def check_number(
    value, name, *, whole=False, none=False, least=None, above=None, most=None,
    below=None,
):  # fmt: skip
    """Return a number that is finite and within bounds; raise otherwise.

    `sklearn.utils.check_scalar` accepts bool, NaN and infinity.

    Parameters
    ----------
    value : object
        The value of the parameter.
    name : str
        Name of the parameter, for the message.
    whole : bool, default=False
        Whether it must be an int.
    none : bool, default=False
        Whether it can be None.
    least, above, most, below : float, default=None
        Bounds: ``value >= least``, ``> above``, ``<= most``, ``< below``.

    Returns
    -------
    int, float or None
        The value, unchanged.

    Raises
    ------
    ValueError
        If it is anything else; the message has the name, the bounds and the value.
    """
    if none and value is None:
        return value
    kind = numbers.Integral if whole else numbers.Real
    is_number = isinstance(value, kind) and not isinstance(value, bool)
    checks = (
        (">=", operator.ge, least), (">", operator.gt, above),
        ("<=", operator.le, most), ("<", operator.lt, below),
    )  # fmt: skip
    checks = [check for check in checks if check[2] is not None]
    fits = is_number and all(compare(value, bound) for _, compare, bound in checks)
    if not fits or not abs(value) < math.inf:
        bounds = " and ".join(f"{sign} {bound:g}" for sign, _, bound in checks)
        expected = " ".join(
            filter(None, ("an int" if whole else "a finite number", bounds))
        )
        raise ValueError(
            f"{name} must be {expected}{' or None' if none else ''}, got {value!r}."
        )
    return value


def check_sfreq(sfreq):
    """Return the sampling rate in hertz as a float; raise when it is unusable."""
    if sfreq is None:
        raise ValueError("sfreq is unknown: pass the sampling rate in hertz.")
    return float(check_number(sfreq, "sfreq", above=0))


def merge_rates(rates):
    """Return one rate, in hertz, for all sampling rates that differ by rounding only.

    Rates that differ by no more than a millionth become the one of them that is nearest
    to a whole number.

    Parameters
    ----------
    rates : iterable of float
        In hertz.

    Returns
    -------
    dict of float to float
        The common rate of each of them.
    """
    groups = []
    for rate in sorted(set(rates)):
        if not groups or rate > groups[-1][0] * (1 + _SAME_RATE):
            groups.append([])
        groups[-1].append(rate)
    return {
        rate: min(group, key=lambda r: abs(r - round(r)))
        for group in groups
        for rate in group
    }


def show_rates(rates):
    """Return rates as texts, with enough digits to tell them apart."""
    rates = list(rates)
    for digits in range(6, 18):
        texts = [f"{rate:.{digits}g}" for rate in rates]
        if len(set(texts)) == len(set(rates)):
            break
    return texts


def check_ch_names(ch_names, n_channels=None):
    """Return channel names as a tuple of str; raise on duplicates in any case."""
    if isinstance(ch_names, str):
        raise TypeError(
            f"ch_names must be a sequence of names, got the single string {ch_names!r}."
        )
    if getattr(ch_names, "ndim", 1) == 2:  # from a file of MATLAB
        ch_names = np.ravel(ch_names)
    names = tuple(str(as_cell(_unwrap(name))) for name in ch_names)
    if n_channels is not None and len(names) != n_channels:
        raise ValueError(
            f"ch_names has {len(names)} names, but the signal has {n_channels} "
            "channels."
        )
    count = Counter(map(str.upper, names))
    twice = [name for name in names if count[name.upper()] > 1]
    if twice:
        raise ValueError(
            f"Duplicate channel names (case is ignored): {', '.join(twice)}."
        )
    return names


def check_positions(positions, n_channels):
    """Return electrode positions (n_channels, 3) in metres, or None."""
    if positions is None:
        return None
    positions = np.asarray(positions, dtype=float)
    if positions.shape != (n_channels, 3):
        raise ValueError(
            f"positions must have shape ({n_channels}, 3), got {positions.shape}."
        )
    return positions


def check_numeric(array, name):
    """Return ``array`` if its dtype is real and numeric; raise otherwise."""
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}.")
    return array


def as_cell(value):
    """Return a cell of a table: text decoded and stripped, other values unchanged."""
    if isinstance(value, _BYTES):
        return _strip(_decode(bytes(value)))
    # Members of an Enum and numpy's texts are derived from str; plain texts are made.
    return _strip(str.__str__(value)) if isinstance(value, str) else value


def as_label(value):
    """Return a label: text decoded and stripped, numbers unchanged, or None.

    Blank text and "nan" (NumPy's text of NaN) are missing.  Cells of MATLAB, arrays of
    one value, become that value.

    Raises
    ------
    TypeError
        If it is not a single value.
    ValueError
        If bytes cannot be decoded.
    """
    value = as_cell(_unwrap(value))
    if type(value).__hash__ is None:
        raise TypeError(f"expected a name or a number, got {type(value).__name__}")
    if value is pd.NA or value is pd.NaT:
        return None
    return None if isinstance(value, str) and value in _MISSING else value


def as_id(value):
    """Return an identifier as str, or None where it is missing.

    ``3``, ``3.0``, ``"3"``, ``"3 "`` and ``b"3"`` name the same subject, since files
    store ids in different types.
    """
    value = as_label(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, numbers.Real | Decimal) and not isinstance(value, bool):
        if value != value:
            return None
        return str(int(value)) if float(value).is_integer() else str(value)
    if pd.isna(value):
        return None
    if isinstance(value, date | np.datetime64):
        # A column of pandas and an array spell one day differently.
        return str(pd.Timestamp(value)).removesuffix(" 00:00:00")
    return _strip(str(value))


def _unwrap(value):
    """Return the single value in arrays and lists, None if they are empty."""
    while not isinstance(value, np.generic) and (
        isinstance(value, list | tuple) or hasattr(value, "__array__")
    ):
        if value is np.ma.masked:
            return None
        inside = value if isinstance(value, list | tuple) else np.ravel(value)
        if len(inside) > 1:
            raise TypeError(
                f"expected one name or number, got {len(inside)} together: {value!r}"
            )
        value = inside[0] if len(inside) else None
    return value


def _decode(value):
    try:
        text = value.rstrip(b"\0").decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"expected text in UTF-8, got the bytes {value!r}; decode them, for "
            "example with .decode('latin-1')"
        ) from error
    if "\0" in text:
        raise ValueError(
            f"expected text in UTF-8, got bytes with zeros among them, {value!r}; "
            "decode them, for example with .decode('utf-16')"
        )
    return text


@lru_cache(2**14)  # thousands of windows share few names
def _strip(text):
    return unicodedata.normalize("NFC", text.strip(_BLANKS))


def join_ids(*ids):
    """Join ids to one name, such as "SEED/03", from which they can be split again.

    A slash in an id becomes "%2F" (and "%2F" and "%25" become "%252F" and "%2525").

    Parameters
    ----------
    *ids : str or None
        A missing id becomes an empty text, as in "SEED//1"; at the end it is left out.

    Returns
    -------
    str
    """
    parts = [
        _escape(str(value)) if isinstance(value, str) or not pd.isna(value) else ""
        for value in ids
    ]
    while parts and not parts[-1]:
        parts.pop()
    return "/".join(parts)


@lru_cache(2**14)
def _escape(value):
    return re.sub("%(?=2F|25)", "%25", value).replace("/", "%2F")


def split_ids(name):
    """Return the ids in a name that `join_ids` made, None for those missing."""
    spelled = {"%2F": "/", "%25": "%"}
    return [
        re.sub("%2F|%25", lambda match: spelled[match[0]], part) or None
        for part in name.split("/")
    ]


def check_column(values, n_rows, name):
    """Return one value per row as an object array; a scalar is repeated.

    A column (n_rows, 1) and a row (1, n_rows), as in files of MATLAB, are flattened.
    """
    values = _one_dimensional(values, name)
    if _is_scalar(values):
        column = np.empty(n_rows, dtype=object)
        column[:] = values
        return column
    if len(values) != n_rows:
        raise ValueError(
            f"{name} has {len(values)} entries, but there are {n_rows} windows."
        )
    return np.fromiter(values, object, n_rows)


def _one_dimensional(values, name):
    """Return a scalar, or a sequence with a length; raise on several columns."""
    if isinstance(values, dict | set | frozenset) or hasattr(values, "__next__"):
        raise TypeError(
            f"{name} must be a scalar or an array of one entry for each window, got "
            f"{type(values).__name__}."
        )
    if _is_scalar(values):
        return _unwrap(values)
    if isinstance(values, np.ma.MaskedArray):
        values = values.tolist()  # masked values become None
    shape = getattr(values, "shape", None)
    if shape is None:
        values = list(values)
        shape = _shape_of(values)
    elif not hasattr(values, "dtypes") and hasattr(values, "__array__"):
        pandas = isinstance(values, pd.Index | pd.api.extensions.ExtensionArray)
        values = values if pandas else np.asarray(values)
    if len(shape) == 1:
        return values
    if sum(n != 1 for n in shape) > 1:
        raise ValueError(
            f"{name} must have one entry for each window, got shape {tuple(shape)}. "
            "Pass further columns, such as ratings, by name in extra=."
        )
    if isinstance(values, pd.DataFrame) and shape[1] == 1:
        return values.iloc[:, 0]  # an array would lose its dtype
    return np.ravel(np.asarray(values, object if isinstance(values, list) else None))


def _is_scalar(values):
    return isinstance(values, (str, *_BYTES)) or not np.iterable(values)


def count_values(values):
    """Return how many values an array, or lists in lists, hold."""
    return math.prod(_shape_of(values))


def _shape_of(rows):
    try:
        return np.shape(rows)
    except ValueError:  # rows of several lengths
        return (len(rows),)


def check_ids(values, n_rows, name):
    """Return one identifier (str or None) per row."""
    return _map_rows(as_id, check_column(values, n_rows, name), name)


def check_labels(values, n_rows, name="y"):
    """Return one label per row: text, a number, or None or NaN where missing."""
    return _map_rows(as_label, check_column(values, n_rows, name), name)


def check_y(y, n_rows):
    """Return labels passed along with windows, in the form of `EEGWindows.y`."""
    if count_values(y) != n_rows:
        raise ValueError(f"y has shape {np.shape(y)}, but there are {n_rows} windows.")
    return as_array(check_labels(y, n_rows))


def as_array(labels):
    """Return an object array of labels as an array of text or numbers.

    It is returned unchanged if some are missing, or if texts and numbers are mixed.
    """
    if pd.isna(labels).any():
        return labels
    is_text = {isinstance(label, str) for label in labels}
    return np.array(labels.tolist()) if len(is_text) == 1 else labels


def strip_cells(table):
    """Return a table without blanks around its texts, and with bytes decoded."""
    table = table.copy()
    for k, dtype in enumerate(table.dtypes):
        if pd.api.types.is_object_dtype(dtype) or isinstance(dtype, pd.StringDtype):
            before = table.iloc[:, k]
            after = _map_rows(as_cell, before, table.columns[k])
            # Otherwise the column keeps its dtype.
            if any(a is not b and a != b for a, b in zip(after, before, strict=True)):
                table.isetitem(k, pd.Series(after, table.index, dtype=object))
    return table


def _map_rows(function, column, name):
    """Apply a function to each value; its errors name the row."""
    results = np.empty(len(column), dtype=object)
    for row, value in enumerate(column):
        try:
            results[row] = function(value)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name} of row {row}: {error}.") from error
    return results


def check_onsets(values, n_rows, name="onset"):
    """Return onsets in seconds (n_rows,), NaN where missing."""
    return _map_rows(_as_seconds, check_column(values, n_rows, name), name).astype(
        float
    )


def _as_seconds(value):
    """Return a number or a span of time in seconds, NaN if it is missing."""
    value = as_label(value)
    if not isinstance(value, float | int):
        if pd.isna(value):
            return np.nan
        if isinstance(value, np.timedelta64 | timedelta):
            return pd.Timedelta(value).total_seconds()
        try:
            value = float(value)
        except (TypeError, ValueError):
            raise TypeError(
                f"expected seconds from the trial's start, got {value!r}"
            ) from None
    if math.isinf(value):
        raise ValueError("expected seconds from the trial's start, got infinity")
    return value


def check_option(value, options, name):
    """Raise unless ``value`` is one of ``options``."""
    if value not in options:
        listed = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name} must be one of {listed}; got {value!r}.")


def check_path(value, name):
    """Return a Path; raise if the value is no path."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a path, got {value!r}.")
    if value == "":
        raise ValueError(f"{name} must be a path, got an empty string.")
    return Path(value)


def home_hint(path):
    """Return advice for a message if a path has "~", which Python does not expand."""
    home = "~" in Path(path).parts
    return " ('~' is not expanded: use Path(path).expanduser().)" if home else ""


def check_installed(module, what, command):
    """Raise, before any work is done, if a package that ``what`` needs is missing."""
    if importlib.util.find_spec(module) is None:
        raise ImportError(f"{what} needs {module}: {command}.")


def name_windows(rows, metadata):
    """Name windows and their recordings, for a message.

    Parameters
    ----------
    rows : ndarray of int
        Positions of the windows.
    metadata : DataFrame of shape (n_windows, n_columns)
        The metadata of `EEGWindows`.

    Returns
    -------
    str
        Such as "windows 3, 4 of SEED/03/1"; without the recordings if no subject is
        known.
    """
    text = f"windows {list_some(rows)}"
    ids = metadata.iloc[rows][["dataset", "subject", "session"]].drop_duplicates()
    ids = ids[ids["subject"].notna()]
    names = [join_ids(*row) for row in ids.itertuples(index=False)]
    return f"{text} of {list_some(names)}" if names else text


def list_some(values, limit=10):
    """Return values joined for a message, cut after ``limit`` of them."""
    values = list(values)
    text = ", ".join(str(value) for value in values[:limit])
    if len(values) > limit:
        text += f", ... ({len(values)} in all)"
    return text
