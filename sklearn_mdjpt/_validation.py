"""Checks of what users pass in: ids, channel names, rates, arrays.

Every check raises early and says what came and what was expected.  This module
imports nothing of the package, so that every other module may use it.
"""

import importlib.util
import numbers
import os
from pathlib import Path

import numpy as np
import pandas as pd


def check_sfreq(sfreq):
    """Return the sampling rate in hertz as a float; raise when it is unusable."""
    if sfreq is None:
        raise ValueError("sfreq is unknown: pass the sampling rate in hertz.")
    if isinstance(sfreq, bool) or not isinstance(sfreq, numbers.Real):
        raise TypeError(f"sfreq must be a number in hertz, got {sfreq!r}.")
    if not np.isfinite(sfreq) or sfreq <= 0:
        raise ValueError(f"sfreq must be positive and finite (hertz), got {sfreq!r}.")
    return float(sfreq)


def check_ch_names(ch_names, n_channels=None):
    """Return channel names as a tuple of str; raise on duplicates in any case."""
    if isinstance(ch_names, str):
        raise TypeError(
            f"ch_names must be a sequence of names, got the single string {ch_names!r}."
        )
    names = tuple(str(name).strip() for name in ch_names)
    if n_channels is not None and len(names) != n_channels:
        raise ValueError(
            f"ch_names has {len(names)} names, but the signal has {n_channels} "
            "channels."
        )
    seen = {}
    for name in names:
        seen.setdefault(name.upper(), []).append(name)
    duplicates = [found for found in seen.values() if len(found) > 1]
    if duplicates:
        listed = "; ".join(", ".join(found) for found in duplicates)
        raise ValueError(f"Duplicate channel names (case is ignored): {listed}.")
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


def as_id(value):
    """Return an identifier as str, or None where it is missing.

    ``3``, ``3.0`` and ``"3"`` name the same subject, whichever table they came from.
    """
    if value is None or value is pd.NA:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, numbers.Real):
        if value != value:
            return None
        if not isinstance(value, bool) and float(value).is_integer():
            return str(int(value))
    return str(value)


def check_column(values, n_rows, name):
    """Return one value per row as an object array; a scalar is repeated."""
    if values is None or isinstance(values, str | bytes) or np.ndim(values) == 0:
        column = np.empty(n_rows, dtype=object)
        column[:] = values
        return column
    column = np.empty(len(values), dtype=object)
    column[:] = list(values)
    if len(column) != n_rows:
        raise ValueError(
            f"{name} has {len(column)} entries, but there are {n_rows} windows."
        )
    return column


def _one_dimensional(values, name):
    """Return values as they are, a table of one column as that column."""
    if isinstance(values, dict | set | frozenset) or hasattr(values, "__next__"):
        raise TypeError(
            f"{name} must be a scalar or an array of one entry for each window, got "
            f"{type(values).__name__}."
        )
    shape = getattr(values, "shape", None)
    if shape is None or len(shape) < 2:
        return values
    if len(shape) > 2 or shape[1] != 1:
        raise ValueError(
            f"{name} must have one entry for each window, got shape {tuple(shape)}."
        )
    return np.asarray(values)[:, 0]


def check_ids(values, n_rows, name):
    """Return one identifier (str or None) per row."""
    column = check_column(_one_dimensional(values, name), n_rows, name)
    return np.array([as_id(value) for value in column], dtype=object)


def check_onsets(values, n_rows, name="onset"):
    """Return onsets in seconds (n_rows,), NaN where missing."""
    column = check_column(_one_dimensional(values, name), n_rows, name)
    try:
        return np.array([np.nan if v is None else float(v) for v in column])
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} must be seconds from the trial's start: {error}."
        ) from error


def check_option(value, options, name):
    """Raise unless ``value`` is one of ``options``."""
    if value not in options:
        listed = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name} must be one of {listed}; got {value!r}.")


def check_path(value, name):
    """Return a Path; raise on what is none."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a path, got {value!r}.")
    if value == "":
        raise ValueError(f"{name} must be a path, got an empty string.")
    return Path(value)


def home_hint(path):
    """Say, for a message, that "~" means nothing to Python."""
    home = "~" in Path(path).parts
    return " ('~' is not expanded: use Path(path).expanduser().)" if home else ""


def check_installed(module, what, command):
    """Raise, before any work is done, if a package that ``what`` needs is missing."""
    if importlib.util.find_spec(module) is None:
        raise ImportError(f"{what} needs {module}: {command}.")


def name_windows(rows, metadata):
    """Say which windows, and of which recordings.

    Parameters
    ----------
    rows : ndarray of int
        Places of the windows.
    metadata : DataFrame of shape (n_windows, n_columns)
        As of `EEGWindows`.

    Returns
    -------
    str
        "windows 3, 4 of SEED/03/1"; the recordings are left out where nothing is known
        of them.
    """
    text = f"windows {list_some(rows)}"
    whose = metadata.iloc[rows][["dataset", "subject", "session"]].drop_duplicates()
    whose = whose[whose["subject"].notna()]
    names = [
        "/".join(str(name) for name in row if not pd.isna(name))
        for row in whose.itertuples(index=False)
    ]
    return f"{text} of {list_some(names)}" if names else text


def list_some(values, limit=10):
    """Return values joined for a message, cut after ``limit`` of them."""
    values = list(values)
    text = ", ".join(str(value) for value in values[:limit])
    if len(values) > limit:
        text += f", ... ({len(values)} in all)"
    return text
