"""Sets of emotions that hold the true one as often as is asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import pandas as pd
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.validation import check_is_fitted

from .._grouping import rows_of_groups
from .._validation import check_installed, check_number, check_option, list_some
from ..evaluation._predictions import are_probabilities
from ..evaluation._reliability import equal_subjects, weighted_quantile
from ._base import ClassifierOfPeople, labels_of, subjects_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator

    from ..windows._inputs import Windows

_SCORES = ("lac", "aps")


class ConformalClassifier(ClassifierOfPeople):
    r"""Sets of classes that hold the true one in a given share of the windows.

    Split conformal prediction with the person as the unit: the classifier is fitted to
    some people, and `conformalize` learns from others how improbable the true class can
    be.  With :math:`K` of them and :math:`n_k` windows of person :math:`k`, a window's
    score counts :math:`1 / n_k` [1]_; the sets then hold the true class of a new
    person's window with a probability of at least ``confidence_level``, whatever the
    classifier and however alike the windows of one person are.

    Parameters
    ----------
    estimator : classifier
        Any classifier or pipeline with ``predict_proba``; fitted already inside a
        `sklearn.frozen.FrozenEstimator`.
    confidence_level : float, default=0.9
        Share of the windows whose sets shall hold the true class, between 0 and 1.
    conformity_score : {"lac", "aps"}, default="lac"
        MAPIE's: "lac" makes the smallest sets on average, and some of them can be
        empty; "aps" takes the most probable classes until they add up to enough, at
        least one, and covers more than is asked for.
    finite_sample : bool, default=True
        True asks for the coverage in a new person however few people there are, and
        covers somewhat more, by up to 2 / (K + 1).  False takes the people for a
        large sample (CDF pooling [2]_), and covers less with few of them.

    Attributes
    ----------
    estimator_ : classifier
        The fitted classifier.
    classes_ : ndarray of shape (n_classes,)
        The labels; the columns of sets.
    quantile_ : float
        Up to which score a class is in a set: with "lac", 1 minus its probability.
    n_conformalization_subjects_ : int
        People that it was learnt from.

    See Also
    --------
    SelectiveClassifier : One emotion or none.

    Notes
    -----
    Needs MAPIE (extra ``trust``), which has the scores and the sets.  The guarantee is
    for people drawn like those of `conformalize`: same cap, same task, no calibration
    if they had none.  It is an average over people and their windows; one person may
    be far from it, as `coverage` shows.

    References
    ----------
    .. [1] Lee Y, Barber RF, Willett R (2023). Distribution-free inference with
       hierarchical data. arXiv:2306.06342.
    .. [2] Dunn R, Wasserman L, Ramdas A (2023). Distribution-free prediction sets for
       two-layer hierarchical models. Journal of the American Statistical Association
       118, 2491-2502. doi:10.1080/01621459.2022.2060112

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_mdjpt import DifferentialEntropy, SubjectScaler, WindowFeatures
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.trust import ConformalClassifier
    >>> X = make_emotion_windows(
    ...     1, n_subjects=9, n_stimuli=3, stride_seconds=10.0, random_state=0)
    >>> number = X.metadata["subject"].astype(int)
    >>> features = WindowFeatures(DifferentialEntropy(), [SubjectScaler()])
    >>> model = ConformalClassifier(
    ...     make_pipeline(features, LogisticRegression()), confidence_level=0.8)
    >>> model = model.fit(X[number < 4]).conformalize(X[(number > 3) & (number < 9)])
    >>> labels, sets = model.predict_set(X[number == 9])
    >>> labels.shape, sets.shape
    ((6,), (6, 3))
    """

    def __init__(
        self,
        estimator: BaseEstimator,
        *,
        confidence_level: float = 0.9,
        conformity_score: Literal["lac", "aps"] = "lac",
        finite_sample: bool = True,
    ) -> None:
        self.estimator = estimator
        self.confidence_level = confidence_level
        self.conformity_score = conformity_score
        self.finite_sample = finite_sample

    def fit(
        self,
        X: Windows | ArrayLike,
        y: ArrayLike | None = None,
        *,
        subjects: ArrayLike | None = None,
    ) -> Self:
        """Fit the classifier; `conformalize` comes next.

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
        ConformalClassifier
            Itself.
        """
        self._check_parameters()
        y, people = labels_of(X, y), subjects_of(X, subjects)
        self._fit(X, y)
        frozen = isinstance(self.estimator, FrozenEstimator)
        self._fitted_to = set() if frozen else set(people)
        if hasattr(self, "n_conformalization_subjects_"):
            del self.n_conformalization_subjects_, self.quantile_
        return self

    def conformalize(
        self,
        X: Windows | ArrayLike,
        y: ArrayLike | None = None,
        *,
        subjects: ArrayLike | None = None,
    ) -> Self:
        """Learn from other people how improbable the true class can be.

        Parameters
        ----------
        X : EEGWindows or array-like
            Windows of people to whom the classifier was not fitted.
        y : array-like of shape (n_windows,), default=None
            Labels; None takes those of the windows.
        subjects : array-like of shape (n_windows,), default=None
            Whose windows they are; None takes the subjects of the windows.

        Returns
        -------
        ConformalClassifier
            Itself.

        Raises
        ------
        ValueError
            If the classifier was fitted to some of these people, if there are too few
            for the confidence level, or if it does not know a label.
        """
        self._check_parameters()
        y, people = labels_of(X, y), subjects_of(X, subjects)
        if not hasattr(self, "estimator_") and isinstance(
            self.estimator, FrozenEstimator
        ):
            self._fit(X, y)
            self._fitted_to = set()
        check_is_fitted(self)
        self._check_new(X)
        both = sorted(self._fitted_to & set(people))
        if both:
            raise ValueError(
                f"The classifier was fitted to {list_some(both)}: sets would be too "
                "small for new people. Conformalize with others."
            )
        self._check_known(y)
        codes, names = pd.factorize(people)
        self._check_number_of_people(len(names))
        score = _conformity_score(self.conformity_score, self.classes_)
        scores = score.get_conformity_scores(
            y, self._probabilities(X), y_enc=np.searchsorted(self.classes_, y)
        )
        n_people = len(names) + bool(self.finite_sample)
        quantile = weighted_quantile(
            scores.ravel(), equal_subjects(codes), n_people * self.confidence_level
        )
        score.quantiles_ = np.array([quantile])
        # An error before leaves what was learnt from others.
        self._score, self._scores, self.quantile_ = score, scores, quantile
        self.n_conformalization_subjects_ = len(names)
        return self

    def predict_set(self, X: Windows | ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Predict the class of each window, and the classes that it may be.

        Parameters
        ----------
        X : EEGWindows or array-like
            What the classifier takes.

        Returns
        -------
        labels : ndarray of shape (n_windows,)
            The most probable class.
        sets : ndarray of bool, shape (n_windows, n_classes)
            Whether each of ``classes_`` is in the window's set.
        """
        probabilities = self._probabilities(X)
        return self.classes_[probabilities.argmax(axis=1)], self.sets_of(probabilities)

    def sets_of(self, probabilities: ArrayLike) -> np.ndarray:
        """Return the sets of probabilities, such as those of a stream.

        Parameters
        ----------
        probabilities : array-like of shape (n_windows, n_classes)
            Of ``estimator_``.

        Returns
        -------
        ndarray of bool, shape (n_windows, n_classes)
            Whether each of ``classes_`` is in the window's set.
        """
        check_is_fitted(self, "n_conformalization_subjects_")
        probabilities = np.asarray(probabilities, dtype=float)
        n_classes = len(self.classes_)
        if probabilities.ndim != 2 or probabilities.shape[1] != n_classes:
            raise ValueError(
                f"probabilities must have shape (n_windows, {n_classes}), got "
                f"{probabilities.shape}."
            )
        if not are_probabilities(probabilities):
            raise ValueError(
                "probabilities must be from 0 to 1 and add up to 1 in each row."
            )
        sets = self._score.get_prediction_sets(
            probabilities[..., None],
            conformity_scores=self._scores,
            alpha_np=np.array([1 - self.confidence_level]),
            cv="prefit",
            include_last_label=True,
        )
        return sets[..., 0]

    def coverage(
        self,
        X: Windows | ArrayLike,
        y: ArrayLike | None = None,
        *,
        subjects: ArrayLike | None = None,
    ) -> pd.DataFrame:
        """Say of each person how often the sets hold the true class.

        Parameters
        ----------
        X : EEGWindows or array-like
            Windows of new people.
        y : array-like of shape (n_windows,), default=None
            Labels; None takes those of the windows.
        subjects : array-like of shape (n_windows,), default=None
            Whose windows they are; None takes the subjects of the windows.

        Returns
        -------
        DataFrame
            One row for each person: subject, coverage (share of the windows), size
            (mean number of classes in a set), empty (share of empty sets) and
            n_windows.
        """
        y, people = labels_of(X, y), subjects_of(X, subjects)
        self._check_known(y)
        sets = self.predict_set(X)[1]
        found = (sets & (y[:, None] == self.classes_)).any(axis=1)
        sizes = sets.sum(axis=1)
        rows = [
            {
                "subject": people[own[0]],
                "coverage": found[own].mean(),
                "size": sizes[own].mean(),
                "empty": (sizes[own] == 0).mean(),
                "n_windows": len(own),
            }
            for own in rows_of_groups(pd.factorize(people)[0])
        ]
        return pd.DataFrame(rows)

    def _check_known(self, y):
        unknown = sorted(set(y.tolist()) - set(self.classes_.tolist()), key=str)
        if unknown:
            raise ValueError(
                f"The classifier does not know the labels {list_some(unknown)}; it "
                f"knows {list_some(self.classes_)}."
            )

    def _check_parameters(self):
        check_installed(
            "mapie", "ConformalClassifier", "pip install 'sklearn_mdjpt[trust]'"
        )
        check_number(self.confidence_level, "confidence_level", above=0, below=1)
        check_option(self.conformity_score, _SCORES, "conformity_score")
        check_option(self.finite_sample, (True, False), "finite_sample")

    def _check_number_of_people(self, n_people):
        least = 2
        if self.finite_sample:
            # (K + 1) * level must not exceed K.
            level = self.confidence_level
            least = max(2, math.ceil(level / (1 - level) - 1e-9))
        if n_people < least:
            raise ValueError(
                f"Sets for confidence_level={self.confidence_level:g} need {least} "
                f"people to conformalize with, got {n_people}. Take more people, a "
                "lower level, or finite_sample=False, which then covers less."
            )

    def _probabilities(self, X):
        """Return probabilities that add up to 1 exactly enough for MAPIE."""
        probabilities = np.asarray(self.predict_proba(X), dtype=float)
        return probabilities / probabilities.sum(axis=1, keepdims=True)


def _conformity_score(name, classes):
    """Return a score of MAPIE: how unlike a class a window is."""
    from mapie.conformity_scores import APSConformityScore, LACConformityScore

    score = {"lac": LACConformityScore, "aps": APSConformityScore}[name]()
    score.set_external_attributes(
        classes=classes, label_encoder=LabelEncoder().fit(classes), random_state=0
    )
    return score
