"""Windows with labels or ratings, as all protocols take them."""

from functools import cached_property

import numpy as np
import pandas as pd

from .._grouping import combine_groups, rows_of_groups
from .._io._fingerprint import fingerprint
from .._labels import refuse_missing_labels
from .._validation import check_y, list_some
from ..windows._metadata import KEYWORDS
from ..windows._windows import EEGWindows

POSITION = "_position"  # a column of metadata: the position among all windows


class _Windows:
    """Windows with subject and trial, and what is to be predicted.

    Attributes
    ----------
    X : EEGWindows
        The windows, with their position in the column `POSITION`.
    y : ndarray of shape (n_windows,)
        What is to be predicted.
    rows : ndarray of int
        Positions of the windows in what the user passed.
    subjects, datasets : ndarray of str, shape (n_windows,)
        Subject and dataset of each window.
    """

    def __init__(self, X, y, rows):
        self.X = X._with_column(POSITION, np.arange(len(X)))
        self.y = y
        self.rows = np.arange(len(X)) if rows is None else rows
        self.subjects, self.datasets = X.groups("subject"), X.groups("dataset")

    @cached_property
    def key(self):
        """Fingerprint of these windows and what is to be predicted."""
        return fingerprint(self.X, self.y)

    def _codes_of_trials(self):
        """Return the number of each window's trial; None if trials are not known."""
        ids = self.X.metadata[["dataset", "subject", "session", "trial"]]
        if ids["trial"].isna().any():
            return None
        return combine_groups(len(ids), *(ids[name] for name in ids))


class RatedWindows(_Windows):
    """Windows with a number to predict, and the subject and trial of each.

    Parameters
    ----------
    X : EEGWindows
        With subjects.
    y : array-like of shape (n_windows,)
        Numbers.
    rows : ndarray of int, shape (n_windows,), default=None
        As for `LabelledWindows`.

    Attributes
    ----------
    y : ndarray of float, shape (n_windows,)
        The numbers.
    trials : ndarray of int, shape (n_windows,), or None
        Number of the trial; None if trials are not known.
    """

    kind = "ratings"
    classes = None

    def __init__(self, X, y, rows=None):
        if y is None:
            names = [
                name
                for name, column in X.metadata.items()
                if name not in (*KEYWORDS.values(), "label", POSITION)
                and pd.to_numeric(column, errors="coerce").notna().any()
            ]
            has = f" X has the columns {list_some(names)}." if names else ""
            raise ValueError(
                "Regressors predict numbers: pass y, such as X.metadata['valence']."
                f"{has}"
            )
        y = check_y(y, len(X))
        try:
            numbers = y.astype(float)
        except (TypeError, ValueError):
            raise ValueError(
                f"Regressors predict numbers, and y has {str(y[0])!r}: pass ratings, "
                "such as X.metadata['valence']."
            ) from None
        missing = int((~np.isfinite(numbers)).sum())
        if missing:
            raise ValueError(
                f"{missing} of {len(y)} windows have no rating; leave them out: "
                "X[known], y[known]."
            )
        if len(np.unique(numbers)) < 2:
            raise ValueError(f"All ratings in y are {numbers[0]:g}.")
        super().__init__(X, numbers, rows)
        self.trials = self._codes_of_trials()


class LabelledWindows(_Windows):
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

    kind = "classes"

    def __init__(self, X, y, rows=None):
        y = X.y if y is None else check_y(y, len(X))
        if y is None:
            raise ValueError(
                "X has no labels: its column 'label' is empty (columns: "
                f"{list_some(X.metadata.columns, 20)}). Pass y."
            )
        refuse_missing_labels(y)
        self.classes, self.codes = np.unique(y, return_inverse=True)
        if len(self.classes) < 2:
            raise ValueError(f"There is only one class in y: {str(self.classes[0])!r}.")
        super().__init__(X, self.classes[self.codes], rows)
        self.trials = self._find_trials()

    def excluded(self, exclude):
        """Return codes of windows; those with the same code are no neighbours."""
        if exclude == "window":
            return np.arange(len(self.X))
        return pd.factorize(self.X.groups(exclude))[0]

    def _find_trials(self):
        trials = self._codes_of_trials()
        if trials is None:
            return None
        n_classes = pd.Series(self.codes).groupby(trials).nunique()
        return None if (n_classes > 1).any() else trials


def with_targets(X, y, kind, rows=None):
    """Return windows with their labels, or with their ratings.

    Parameters
    ----------
    X : EEGWindows
        With subjects.
    y : array-like of shape (n_windows,) or None
        What is to be predicted.
    kind : {"classes", "ratings"}
        What it is.
    rows : ndarray of int, default=None
        As for `LabelledWindows`.
    """
    return (RatedWindows if kind == "ratings" else LabelledWindows)(X, y, rows)


def by_dataset(X, y, kind="classes"):
    """Return the windows of each dataset, with their targets, by its name."""
    check_windows(X, "X")
    if y is not None:
        y = check_y(y, len(X))
    elif kind == "classes":
        y = X.y
    datasets = {}
    for name, rows in named_rows(X.groups("dataset")).items():
        targets = None if y is None else y[rows]
        datasets[name] = with_targets(X[rows], targets, kind, rows)
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
