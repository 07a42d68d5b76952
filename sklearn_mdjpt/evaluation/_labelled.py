"""Windows with labels, as all protocols take them."""

from functools import cached_property

import numpy as np
import pandas as pd

from .._grouping import combine_groups, rows_of_groups
from .._io._fingerprint import fingerprint
from .._validation import check_y, list_some
from ..windows._windows import EEGWindows

POSITION = "_position"  # a column of metadata: the position among all windows


class LabelledWindows:
    """Windows with the class, subject and trial of each.

    Parameters
    ----------
    X : EEGWindows
        With subjects.
    y : array-like of shape (n_windows,) or None
        Labels; None takes those of X.
    rows : ndarray of int, shape (n_windows,), default=None
        Positions of the windows in what the user passed; None if these are all.

    Attributes
    ----------
    X : EEGWindows
        The windows, with their position in the column `POSITION`.
    y : ndarray of shape (n_windows,)
        Labels.
    classes : ndarray of shape (n_classes,)
        The distinct labels, sorted.
    codes : ndarray of int, shape (n_windows,)
        Class of each window.
    subjects, datasets : ndarray of str, shape (n_windows,)
        Subject and dataset of each window.
    trials : ndarray of int, shape (n_windows,), or None
        Number of the trial; None if trials are not known or hold several labels.
    """

    def __init__(self, X, y, rows=None):
        y = X.y if y is None else check_y(y, len(X))
        if y is None:
            raise ValueError(
                "X has no labels: its column 'label' is empty (columns: "
                f"{list_some(X.metadata.columns, 20)}). Pass y."
            )
        n_missing = pd.isna(y).sum()
        if n_missing:
            raise ValueError(
                f"{n_missing} of {len(y)} windows have no label; leave them out: "
                "X[known], y[known]."
            )
        self.classes, self.codes = np.unique(y, return_inverse=True)
        if len(self.classes) < 2:
            raise ValueError(f"There is only one class in y: {str(self.classes[0])!r}.")
        self.X = X._with_column(POSITION, np.arange(len(X)))
        self.y = self.classes[self.codes]
        self.rows = np.arange(len(X)) if rows is None else rows
        self.subjects, self.datasets = X.groups("subject"), X.groups("dataset")
        self.trials = self._find_trials()

    @cached_property
    def key(self):
        """Fingerprint of these windows and labels."""
        return fingerprint(self.X, self.y)

    def excluded(self, exclude):
        """Return codes of windows; those with the same code are no neighbours."""
        if exclude == "window":
            return np.arange(len(self.X))
        return pd.factorize(self.X.groups(exclude))[0]

    def _find_trials(self):
        ids = self.X.metadata[["dataset", "subject", "session", "trial"]]
        if ids["trial"].isna().any():
            return None
        trials = combine_groups(len(ids), *(ids[name] for name in ids))
        n_classes = pd.Series(self.codes).groupby(trials).nunique()
        return None if (n_classes > 1).any() else trials


def by_dataset(X, y):
    """Return the labelled windows of each dataset by its name."""
    check_windows(X, "X")
    y = X.y if y is None else check_y(y, len(X))
    datasets = {}
    for name, rows in named_rows(X.groups("dataset")).items():
        labels = None if y is None else y[rows]
        datasets[name] = LabelledWindows(X[rows], labels, rows)
    return datasets


def named_rows(names):
    """Return the rows of each name, in the order of the names' first rows."""
    codes, unique = pd.factorize(names)
    return dict(zip(map(str, unique), rows_of_groups(codes), strict=True))


def check_windows(X, name, *, none=False):
    """Raise unless X is EEGWindows with subjects, or None where ``none`` allows it."""
    if X is None and none:
        return
    if not isinstance(X, EEGWindows):
        raise TypeError(
            f"{name} must be EEGWindows, which know the subject of each window, got "
            f"{type(X).__name__}. EEGWindows.from_arrays(X, ch_names=..., sfreq=..., "
            "subject=...), from_epochs and from_braindecode make them."
        )
    if not len(X):
        raise ValueError(f"{name} has no windows.")
    X.groups("subject")
