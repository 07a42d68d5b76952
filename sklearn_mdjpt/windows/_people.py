"""Whose windows these are: the names by which a person is known again later."""

import numpy as np
import pandas as pd

from .._grouping import combine_groups, rows_of_groups
from .._identity import is_made_up
from ._cutting import group_name
from ._inputs import as_windows, is_array
from ._source import Source


def people_of(metadata):
    """Return the name of each window's person, None where it has none.

    Datasets without a name have made-up ones, which no other windows have.

    Parameters
    ----------
    metadata : DataFrame of shape (n_windows, n_columns)
        Dataset and subject of each window.

    Returns
    -------
    ndarray of object, shape (n_windows,)
        As `EEGWindows.groups` spells them.
    """
    people = metadata[["dataset", "subject"]]
    codes = combine_groups(len(people), *(people[c].fillna("") for c in people))
    first = people.iloc[np.unique(codes, return_index=True)[1]]
    unnamed = is_made_up(first["dataset"]) | first["subject"].isna()
    names = np.empty(len(first), dtype=object)
    for k, row in enumerate(first.itertuples(index=False, name=None)):
        names[k] = None if unnamed.iloc[k] else group_name("subject", *row)
    return names[codes]


def check_people(X):
    """Return windows and the name of each one's person; raise if one has none.

    Parameters
    ----------
    X : EEGWindows, mne.Epochs, list of mne.Epochs or braindecode dataset
        What is to be calibrated to.

    Returns
    -------
    windows : EEGWindows
        The windows.
    people : ndarray of str, shape (n_windows,)
        As `EEGWindows.groups` spells them.

    Raises
    ------
    ValueError
        If it is not known for some windows whose they are.
    """
    make = "EEGWindows.from_arrays(X, ..., dataset=..., subject=...)"
    parts = X if isinstance(X, list | tuple) else [X]
    if X is None or (len(parts) and isinstance(parts[0], Source)):
        raise TypeError(
            "Calibration takes windows, such as EEGWindows.from_recordings(recordings);"
            f" got {type(parts[0]).__name__}."
        )
    if is_array(X):
        raise ValueError(
            "X is an array, which does not say whose windows it holds, so that later "
            f"ones could not be known for the same person's. Pass {make}."
        )
    windows = as_windows(X)
    if not len(windows):
        raise ValueError("X has no windows; at least one is expected.")
    people = people_of(windows.metadata)
    missing = np.flatnonzero(pd.isna(people))
    if len(missing):
        raise ValueError(
            f"{len(missing)} of {len(windows)} windows do not say whose they are; the "
            f"first is window {missing[0]}. Name dataset and subject where the windows "
            f"are made, as in {make}: later windows are known by these names."
        )
    return windows, people.astype(str)


def rows_by_name(names):
    """Return a dict of name to its rows, by first appearance."""
    codes, found = pd.factorize(names)
    return {
        str(name): rows for name, rows in zip(found, rows_of_groups(codes), strict=True)
    }
