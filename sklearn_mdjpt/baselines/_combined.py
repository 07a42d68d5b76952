"""Decoders together: the encoder's features beside what is simple."""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.ensemble import VotingClassifier
from sklearn.utils.validation import _num_samples, check_is_fitted

from .._labels import check_labels
from .._validation import check_option, list_some
from ..features import LDSSmoother, SubjectScaler
from ..features._compose import WindowFeatures
from ._pipelines import differential_entropy, linear_pipeline, tangent_space

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator

    from .._typing import ClassWeight, PathLike, RandomState
    from ..encoder import MDJPTEncoder
    from ..windows._inputs import Windows

_PARTS = ("mdjpt", "entropy", "tangent")
# A probability of 0 would rule out a class whatever the others say.
_LEAST = 1e-6


class PooledClassifier(VotingClassifier):
    r"""Classifiers that agree by the product of their probabilities.

    What `sklearn.ensemble.VotingClassifier` does with the mean of probabilities, done
    with their geometric mean (a log-linear pool): with :math:`p_m(c)` the probability
    of class c by model m, and weights :math:`w_m`,

    .. math:: p(c) \propto \prod_m p_m(c)^{w_m / \sum_n w_n}

    A model that is sure counts for more than one that guesses, and models whose
    errors differ correct each other.

    Parameters
    ----------
    estimators : list of (str, classifier)
        The models by name, each with ``predict_proba``.
    weights : array-like of shape (n_estimators,), default=None
        How much each counts; None: all equally.
    n_jobs : int, default=None
        Number of models to fit at a time, through joblib.

    Attributes
    ----------
    estimators_ : list of classifier
        The fitted models.
    classes_ : ndarray of shape (n_classes,)
        The labels.

    See Also
    --------
    combined : The models that go well together.

    Examples
    --------
    >>> from sklearn_mdjpt.baselines import PooledClassifier
    >>> from sklearn_mdjpt.baselines import differential_entropy, tangent_space
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> X = make_emotion_windows(1, n_subjects=2, n_stimuli=3, random_state=0)
    >>> model = PooledClassifier(
    ...     [("entropy", differential_entropy()), ("tangent", tangent_space())])
    >>> model.fit(X, X.y).predict(X).shape == X.shape
    True
    """

    # Parameters of VotingClassifier that are settled here.
    voting = "soft"
    flatten_transform = True
    verbose = False

    def __init__(
        self,
        estimators: Sequence[tuple[str, BaseEstimator]],
        *,
        weights: ArrayLike | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.estimators = estimators
        self.weights = weights
        self.n_jobs = n_jobs

    def fit(self, X: Windows, y: ArrayLike | None = None, **fit_params: Any) -> Self:
        """Fit each model.

        Parameters
        ----------
        X : EEGWindows or array-like
            As the models take it.
        y : array-like of shape (n_windows,), default=None
            Labels; those of EEGWindows are ``X.y``.
        **fit_params : dict
            For metadata routing, as in `sklearn.ensemble.VotingClassifier`.

        Returns
        -------
        PooledClassifier
            The classifier itself.  An error leaves it unchanged.

        Raises
        ------
        ValueError
            If there are no labels, or a model refuses the windows.
        """
        classes, codes = check_labels(y, _num_samples(X), self)
        fitted = copy.copy(self)
        super(PooledClassifier, fitted).fit(X, classes[codes], **fit_params)
        self.__dict__ = fitted.__dict__
        return self

    def predict_proba(self, X: Windows) -> np.ndarray:
        """Return the pooled probabilities.

        Parameters
        ----------
        X : EEGWindows or array-like
            As the models take it.

        Returns
        -------
        ndarray of shape (n_windows, n_classes)
            In the order of ``classes_``.
        """
        check_is_fitted(self)
        return self.pool(np.asarray(self._collect_probas(X)))

    def pool(self, probabilities: ArrayLike) -> np.ndarray:
        """Return the pooled probabilities of those of each model.

        Parameters
        ----------
        probabilities : array-like of shape (n_models, n_windows, n_classes)
            In the order of ``estimators_``.

        Returns
        -------
        ndarray of shape (n_windows, n_classes)
            Their sum over classes is 1.
        """
        found = np.asarray(probabilities, dtype=float)
        logs = np.log(np.maximum(found, _LEAST))
        pooled = np.average(logs, axis=0, weights=self._weights_not_none)
        pooled = np.exp(pooled - pooled.max(axis=1, keepdims=True))
        return pooled / pooled.sum(axis=1, keepdims=True)


def combined(
    encoder: MDJPTEncoder | PathLike | None = None,
    smoothing: Literal["lds"] | None = None,
    *,
    parts: Sequence[str] = ("mdjpt", "entropy"),
    C: float = 0.1,
    class_weight: ClassWeight = None,
    random_state: RandomState = None,
) -> PooledClassifier:
    """Make a decoder of mdJPT features and classical ones.

    Each part is a pipeline of its own, with features scaled by subject and logistic
    regression; their probabilities are multiplied (`PooledClassifier`).
    **Transductive**: each subject's features are z-scored by its own windows, test
    subjects' too.

    Parameters
    ----------
    encoder : MDJPTEncoder, path-like or None, default=None
        The encoder, or the file of its weights.  None: `MDJPTEncoder.small`, which
        ``fit`` pre-trains on the training windows.
    smoothing : {None, "lds"}, default=None
        "lds": smooth mdJPT features and differential entropy along the windows of each
        trial (`LDSSmoother`); the trials must be known.
    parts : sequence of {"mdjpt", "entropy", "tangent"}, default=("mdjpt", "entropy")
        What is joined: mdJPT features, differential entropy by subject, and the
        tangent space of covariances recentred by subject.
    C : float, default=0.1
        Inverse strength of the penalty, as for `differential_entropy`.
    class_weight : dict, "balanced" or None, default=None
        As for `sklearn.linear_model.LogisticRegression`.
    random_state : int, RandomState instance or None, default=None
        Seeds the encoder, where it is made here.

    Returns
    -------
    PooledClassifier
        Not fitted; it takes `EEGWindows` that know their subjects.

    See Also
    --------
    differential_entropy, tangent_space : The classical parts alone.

    Examples
    --------
    >>> from sklearn_mdjpt import MDJPTEncoder
    >>> from sklearn_mdjpt.baselines import combined
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> X = make_emotion_windows(1, n_subjects=3, n_stimuli=3, random_state=0)
    >>> encoder = MDJPTEncoder.small(max_epochs=1, batches_per_epoch=2, random_state=0)
    >>> combined(encoder).fit(X, X.y).predict(X).shape == X.shape
    True
    """
    check_option(smoothing, (None, "lds"), "smoothing")
    names = check_parts(parts, _PARTS)
    encoder = make_encoder(encoder, random_state)
    steps = [SubjectScaler()] + ([LDSSmoother()] if smoothing == "lds" else [])
    common: dict[str, Any] = {"C": C, "class_weight": class_weight}
    made = {
        "mdjpt": lambda: linear_pipeline(WindowFeatures(encoder, steps), **common),
        "entropy": lambda: differential_entropy("subject", smoothing, **common),
        "tangent": lambda: tangent_space(recentre=True, **common),
    }
    return PooledClassifier([(name, made[name]()) for name in names])


def check_parts(parts, known):
    """Return names of parts as a list; raise if they are not different known ones."""
    several = isinstance(parts, list | tuple | set)
    names = list(parts) if several else [parts]
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(
            f"parts must be different ones of {list_some(map(repr, known))}; got "
            f"{parts!r}."
        )
    return names


def make_encoder(encoder, random_state):
    """Return an encoder as it came, with the weights of a file, or the small one."""
    from ..encoder import MDJPTEncoder  # it imports torch

    if encoder is None:
        return MDJPTEncoder.small(random_state=random_state)
    if isinstance(encoder, MDJPTEncoder):
        return encoder
    if not isinstance(encoder, str | os.PathLike):
        raise TypeError(
            "encoder must be an MDJPTEncoder, the path of a weights file or None, got "
            f"{encoder!r:.80}."
        )
    return MDJPTEncoder(weights=encoder)
