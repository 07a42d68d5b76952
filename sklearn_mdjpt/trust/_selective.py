"""A classifier that rejects the windows that it is not sure of."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.utils.validation import check_is_fitted

from .._validation import check_number, list_some
from ..evaluation._reliability import coverage_threshold
from ..model_selection import LeaveSubjectsOut
from ._base import ClassifierOfPeople, labels_of, subjects_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator
    from sklearn.model_selection import BaseCrossValidator

    from ..windows._inputs import Windows


class SelectiveClassifier(ClassifierOfPeople):
    """A classifier that says which windows it is not sure of.

    A window is rejected if its most probable class has a probability below a threshold.
    The threshold is chosen such that a given share of the windows is rejected in people
    to whom the classifier was not fitted: each training person in turn is left out.

    Parameters
    ----------
    estimator : classifier
        Any classifier or pipeline with ``predict_proba``.  It is cloned.
    reject : float, default=0.2
        Share of the windows to reject, from 0 to below 1; each person counts alike.
    threshold : float, default=None
        Lowest probability that is not rejected; ``reject`` is then not used, and no
        person is left out.  None: chosen by ``fit``.
    cv : splitter or int, default=None
        How people are left out to choose the threshold; each window must be tested
        once.  None: one person at a time; an int is the number of folds of people.
    n_jobs : int, default=None
        Number of fits at a time, through joblib.

    Attributes
    ----------
    estimator_ : classifier
        Fitted to all people.
    threshold_ : float
        Lowest probability that is not rejected.
    classes_ : ndarray of shape (n_classes,)
        The labels.

    See Also
    --------
    sklearn_mdjpt.evaluation.risk_coverage : How many errors a threshold leaves.
    ConformalClassifier : Sets of emotions instead of one or none.

    Notes
    -----
    A classifier inside a `sklearn.frozen.FrozenEstimator` stays as it is: the threshold
    is chosen on the people given to ``fit``, who must be others than its own.

    ``predict`` answers for all windows, so that the classifier can be scored like any
    other; `rejects` says which answers not to trust.  An `MDJPTEncoder` without weights
    is pre-trained anew for each person who is left out: give it weights.

    The rule is that of Chow [1]_, for equal costs of errors.  In new people the share
    that is rejected is about ``reject`` on average, not in each of them.

    References
    ----------
    .. [1] Chow CK (1970). On optimum recognition error and reject tradeoff. IEEE
       Transactions on Information Theory 16, 41-46. doi:10.1109/TIT.1970.1054406

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_mdjpt import DifferentialEntropy, SubjectScaler, WindowFeatures
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.trust import SelectiveClassifier
    >>> X = make_emotion_windows(1, n_subjects=4, n_stimuli=3, random_state=0)
    >>> features = WindowFeatures(DifferentialEntropy(), [SubjectScaler()])
    >>> model = SelectiveClassifier(
    ...     make_pipeline(features, LogisticRegression(max_iter=5000)), reject=0.5)
    >>> is_new = X.groups("subject") == "SimA/04"
    >>> model = model.fit(X[~is_new], X[~is_new].y)
    >>> said = np.where(model.rejects(X[is_new]), "?", model.predict(X[is_new]))
    >>> said.shape
    (18,)
    """

    def __init__(
        self,
        estimator: BaseEstimator,
        *,
        reject: float = 0.2,
        threshold: float | None = None,
        cv: BaseCrossValidator | int | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.reject = reject
        self.threshold = threshold
        self.cv = cv
        self.n_jobs = n_jobs

    def fit(
        self,
        X: Windows | ArrayLike,
        y: ArrayLike | None = None,
        *,
        subjects: ArrayLike | None = None,
    ) -> Self:
        """Fit the classifier, and choose the threshold.

        Parameters
        ----------
        X : EEGWindows or array-like
            What the classifier takes.
        y : array-like of shape (n_windows,), default=None
            Labels; None takes those of the windows.
        subjects : array-like of shape (n_windows,), default=None
            Whose windows they are; None takes the subjects of the windows.

        Returns
        -------
        SelectiveClassifier
            Itself.

        Raises
        ------
        ValueError
            If a parameter is out of range, if labels or subjects are not known, or if
            a person is on both sides of a split of ``cv``, or among those that a
            frozen classifier was fitted to.
        TypeError
            If the classifier has no ``predict_proba``.
        """
        check_number(self.reject, "reject", least=0, below=1)
        check_number(self.threshold, "threshold", least=0, most=1, none=True)
        threshold, y = self.threshold, labels_of(X, y)
        self._check_estimator()
        if threshold is None:
            people = subjects_of(X, subjects)
            if isinstance(self.estimator, FrozenEstimator):
                self._check_new(X)
                probabilities = self.estimator.predict_proba(X)
            else:
                probabilities = self._of_people_left_out(X, y, people)
            threshold = coverage_threshold(
                probabilities.max(axis=1), pd.factorize(people)[0], 1 - self.reject
            )
        self._fit(X, y)
        self.threshold_ = float(threshold)
        return self

    def _of_people_left_out(self, X, y, people):
        """Return the probabilities of each window, by a fit without its person."""
        cv = LeaveSubjectsOut() if self.cv is None else self.cv
        if isinstance(cv, Integral):
            cv = GroupKFold(int(cv))
        splits = list(cv.split(X, y, people))
        for train, test in splits:
            both = np.intersect1d(people[train], people[test])
            if len(both):
                raise ValueError(
                    f"cv={self.cv!r} has people on both sides of a split "
                    f"({list_some(both)}): a classifier is surer of those whom it "
                    "knows. Leave people out, as with LeaveSubjectsOut()."
                )
        return cross_val_predict(
            self.estimator, X, y, cv=splits, n_jobs=self.n_jobs, method="predict_proba"
        )

    def rejects(self, X: Windows | ArrayLike) -> np.ndarray:
        """Say of each window whether the classifier is not sure enough.

        Parameters
        ----------
        X : EEGWindows or array-like
            What the classifier takes.

        Returns
        -------
        ndarray of bool, shape (n_windows,)
            True where the most probable class has a probability below ``threshold_``.
        """
        check_is_fitted(self)
        return self.predict_proba(X).max(axis=1) < self.threshold_
