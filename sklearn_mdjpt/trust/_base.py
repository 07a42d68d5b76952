"""What the classifiers here share: a fitted classifier inside, and whose windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._grouping import check_groups
from .._labels import refuse_missing_labels
from .._validation import check_y
from ..evaluation._leaks import assert_unseen
from ..windows._inputs import as_windows, is_array
from ..windows._windows import EEGWindows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

    from ..windows._inputs import Windows


class ClassifierOfPeople(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Base: the classifier inside predicts.

    Attributes
    ----------
    estimator_ : classifier
        The fitted classifier.
    """

    estimator_: BaseEstimator
    # A stream takes the classifier inside apart.
    passes_probabilities = True

    @property
    def classes_(self) -> np.ndarray:
        """The labels, ndarray of shape (n_classes,)."""
        return self.estimator_.classes_

    def predict(self, X: Windows | ArrayLike) -> np.ndarray:
        """Predict the class of each window, sure or not.

        Parameters
        ----------
        X : EEGWindows or array-like
            What the classifier takes.

        Returns
        -------
        ndarray of shape (n_windows,)
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    def predict_proba(self, X: Windows | ArrayLike) -> np.ndarray:
        """Return the probabilities of the classifier.

        Parameters
        ----------
        X : EEGWindows or array-like
            What the classifier takes.

        Returns
        -------
        ndarray of shape (n_windows, n_classes)
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    def _fit(self, X, y):
        """Fit a clone of the classifier."""
        self._check_estimator()
        self.estimator_ = clone(self.estimator).fit(X, y)

    def _check_estimator(self):
        last = self.estimator
        while isinstance(last, Pipeline):
            last = last[-1]
        if not hasattr(last, "predict_proba"):
            raise TypeError(
                f"{type(self).__name__} goes by probabilities, which "
                f"{type(last).__name__} does not have (no predict_proba)."
            )

    def _check_new(self, X):
        """Raise if a frozen classifier was fitted to the people in X."""
        if isinstance(X, EEGWindows):
            assert_unseen(self.estimator, X)


def labels_of(X, y):
    """Return the labels of windows or of an array; raise if some are missing.

    Parameters
    ----------
    X : EEGWindows, mne.Epochs, braindecode dataset or array-like
        What a classifier takes.
    y : array-like of shape (n_windows,) or None
        Labels; None takes those of the windows.

    Returns
    -------
    ndarray of shape (n_windows,)
    """
    if y is None and not _is_table(X):
        y = as_windows(X).y
    if y is None:
        raise ValueError("There are no labels: pass y.")
    y = check_y(y, len(X))
    refuse_missing_labels(y)
    return y


def subjects_of(X, subjects):
    """Return the subject of each window, of windows or of an array.

    Parameters
    ----------
    X : EEGWindows, mne.Epochs, braindecode dataset or array-like
        What a classifier takes.
    subjects : array-like of shape (n_windows,) or None
        Whose they are; None takes the subjects of the windows.

    Returns
    -------
    ndarray of str, shape (n_windows,)
    """
    if subjects is not None:
        return check_groups(subjects, len(X), "subjects")
    if _is_table(X):
        raise ValueError(
            "X is an array, which does not say whose windows it holds: pass subjects, "
            "one for each row."
        )
    return as_windows(X).groups("subject")


def _is_table(X):
    return is_array(X) or isinstance(X, pd.DataFrame)
