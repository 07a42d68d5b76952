"""What the readers of the openly licensed datasets share: tables, names, units."""

from numbers import Integral

import numpy as np
import pandas as pd

from .._io._signals import naming
from .._validation import list_some
from ._reading import check_columns

# Amplitudes that EEG can have, in volts: far from quiet, and far from saturated.
_AMPLITUDES = (1e-7, 2e-3)
_MISSING = ("n/a", "N/A", "", "nan", "NaN")


def check_subjects(subjects, known, dataset):
    """Return names of subjects in the order wanted, without doubles.

    Parameters
    ----------
    subjects : int, str, sequence of them, or None
        As the user gave them; a number means the name with that number; None: all.
    known : sequence of str
        All names.
    dataset : str
        For the message.

    Raises
    ------
    ValueError
        If one is unknown.
    """
    if subjects is None:
        return list(known)
    if isinstance(subjects, str) or not np.iterable(subjects):
        subjects = [subjects]
    by_number = {int(name): name for name in known if name.isdecimal()}
    names = [
        by_number.get(int(s)) if _is_number(s) else str(s).removeprefix("sub-")
        for s in subjects
    ]
    wrong = [s for s, name in zip(subjects, names, strict=True) if name not in known]
    if wrong or not names:
        numbered = all(name.isdecimal() for name in known)
        there = f"{known[0]} to {known[-1]}" if numbered else ", ".join(known)
        raise ValueError(
            f"subjects must be among those of {dataset}; got "
            f"{list_some(map(repr, wrong)) or 'none'}, expected {there}."
        )
    return list(dict.fromkeys(names))


def _is_number(value):
    text = isinstance(value, str) and value.isdecimal()
    return text or (isinstance(value, Integral) and not isinstance(value, bool))


def read_tsv(path, columns):
    """Read a table of tab-separated values as text, cells without a value as missing.

    Parameters
    ----------
    path : path-like
        The file.  A byte-order mark at its beginning is no part of a name.
    columns : sequence of str
        Names of columns that it must have.

    Returns
    -------
    DataFrame of str
    """
    with naming(path):
        table = pd.read_csv(
            path,
            sep="\t",
            dtype=object,
            encoding="utf-8-sig",
            keep_default_na=False,
            na_values=_MISSING,
        )
        check_columns(table, columns)
    return table


def to_numbers(column):
    """Return a column of text as numbers, missing cells as NaN."""
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = column[numbers.isna() & column.notna()]
    if len(wrong):
        raise ValueError(
            f"the column {column.name!r} has {wrong.iloc[0]!r} where a number was "
            "expected"
        )
    return numbers.astype(float)


def unit_by_amplitude(samples, factors):
    """Return what makes volts of samples: the first factor that EEG can have.

    Parameters
    ----------
    samples : ndarray of shape (n_channels, n_times)
        Some seconds of signal.
    factors : sequence of float
        Candidates.  Volts and microvolts lie a million apart, and amplitudes of EEG
        vary by less: at most one of them fits.

    Raises
    ------
    ValueError
        If none fits.
    """
    x = samples - np.median(samples, axis=1, keepdims=True)
    # The median over channels: a few may be dead, or loose.
    amplitude = np.median(np.median(np.abs(x), axis=1)) / 0.6745
    for factor in factors:
        if _AMPLITUDES[0] <= factor * amplitude <= _AMPLITUDES[1]:
            return factor
    raise ValueError(
        f"the unit of its samples is not known: they have an amplitude of "
        f"{amplitude:.3g}, which EEG has neither in volts nor in microvolts"
    )
