"""Groups of rows, and the order of rows in time."""

import re
from numbers import Real

import numpy as np
import pandas as pd

from ._validation import check_ids, check_onsets


def check_groups(values, n_rows, name):
    """Return one group name for each row.

    Parameters
    ----------
    values : array-like of shape (n_rows,), scalar or None
        Ids; ``3``, ``3.0`` and ``"3"`` are the same, as are ``b"a"`` and ``"a "``.
    n_rows : int
        Number of rows.
    name : str
        Name of the parameter, for messages.

    Returns
    -------
    ndarray of str, shape (n_rows,), or None
        None if ``values`` is None.

    Raises
    ------
    ValueError
        If their number is wrong, or some are missing.
    """
    if values is None:
        return None
    is_array = isinstance(values, np.ndarray) and values.shape == (n_rows,)
    if is_array and values.dtype.kind in "iu":
        # Many rows share few numbers: each is converted to text once.
        codes, numbers = pd.factorize(values)
        return check_ids(numbers, len(numbers), name).astype(str)[codes]
    ids = check_ids(values, n_rows, name)
    missing = np.flatnonzero([value is None for value in ids])
    if len(missing):
        raise ValueError(
            f"{name} is missing for {len(missing)} of {n_rows} rows; the first is row "
            f"{missing[0]}."
        )
    return ids.astype(str)


def combine_groups(n_rows, *columns):
    """Give each distinct combination of ids a number, by first appearance.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    *columns : ndarray of shape (n_rows,) or None
        Ids; None is ignored, and without any column all rows are one group.

    Returns
    -------
    ndarray of int, shape (n_rows,)
    """
    combined = np.zeros(n_rows, int)
    for column in columns:
        if column is not None:
            codes, values = pd.factorize(column, use_na_sentinel=False)
            combined = pd.factorize(combined * len(values) + codes)[0]
    return combined


def rows_of_groups(codes):
    """List the rows of each group, ascending.

    Parameters
    ----------
    codes : ndarray of int, shape (n_rows,)
        Number of each row's group, from 0 on, without gaps.

    Returns
    -------
    list of ndarray of int
    """
    if not len(codes):
        return []
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes))[:-1])


def time_order(groups, *, trials=None, onsets=None):
    """Sort rows by group, then in time.

    Parameters
    ----------
    groups : ndarray of int, shape (n_rows,)
        Rows of one group follow each other.
    trials : ndarray of shape (n_rows,), default=None
        Trial ids, taken in natural order: "10" follows "9".
    onsets : array-like of shape (n_rows,), default=None
        Seconds from the trial's start.

    Returns
    -------
    ndarray of int, shape (n_rows,)
        Rows with the same group, trial and onset stay in their order.

    Raises
    ------
    ValueError
        If some onsets are missing and others are not.
    """
    keys = []
    if onsets is not None:
        onsets = check_onsets(onsets, len(groups), "onsets")
        missing = np.isnan(onsets)
        if missing.any() and not missing.all():
            raise ValueError(
                f"onsets are missing for {missing.sum()} of {len(onsets)} rows; the "
                f"first is row {np.flatnonzero(missing)[0]}. Give all of them or none."
            )
        if not missing.any():
            keys.append(onsets)
    if trials is not None:
        keys.append(natural_codes(trials))
    return np.lexsort([*keys, groups])


def natural_codes(column):
    """Rank values so that trial "10" follows trial "9"; missing ones come first."""
    codes, values = pd.factorize(pd.Series(column), use_na_sentinel=False)
    keys = [_natural_key(value) for value in values]
    ranks = np.empty(len(values), int)
    ranks[sorted(range(len(values)), key=keys.__getitem__)] = np.arange(len(values))
    return ranks[codes]


def _natural_key(value):
    if not isinstance(value, str):
        if pd.isna(value):
            return 0, 0.0, []
        if isinstance(value, Real):
            return 1, float(value), []
    parts = re.split(r"(\d+)", str(value))
    return 2, 0.0, [(part.isdigit(), int(part) if part.isdigit() else part)
                    for part in parts]  # fmt: skip
