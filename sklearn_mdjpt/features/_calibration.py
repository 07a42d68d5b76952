"""Calibrate whole models: each part that can fix the statistics of people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch

if TYPE_CHECKING:
    from ..windows._inputs import Windows

# Where scikit-learn's estimators hold others that get the same X.
_HOLDERS = (
    "transformer_list",  # FeatureUnion
    "estimators_",  # VotingClassifier, StackingClassifier
    "best_estimator_",  # GridSearchCV
    "calibrated_classifiers_",  # CalibratedClassifierCV
    "estimator_",  # SelectiveClassifier, FixedThresholdClassifier
)


class NothingToCalibrateError(ValueError):
    """No part of a model has statistics of people."""


def calibrate(model: BaseEstimator, X: Windows) -> BaseEstimator:
    """Return a model in which the statistics of the people in X are fixed.

    Whatever the model standardises or aligns by person (amplitudes, z-scores inside
    the network, scaled features, recentred covariances) is taken from X, without
    labels, and serves for all later windows of these people: each then stands alone.
    Other people are treated as before.

    Parameters
    ----------
    model : estimator
        Fitted: a pipeline, a classifier, or anything that holds steps with
        ``calibrate``, such as `FeatureUnion`, `VotingClassifier`, `GridSearchCV`,
        `CalibratedClassifierCV` and `FrozenEstimator`.  It stays as it is.
    X : EEGWindows, mne.Epochs, list of mne.Epochs or braindecode dataset
        First windows of one or more people, whose datasets and subjects have names.

    Returns
    -------
    estimator
        A copy of the model, calibrated to these people beside those before.  What
        does not differ (weights, classifiers) is shared with the model.

    Raises
    ------
    ValueError
        If some windows do not say whose they are, or nothing in the model can be
        calibrated.

    See Also
    --------
    sklearn_mdjpt.evaluation.calibration : How many minutes it takes.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_mdjpt import DifferentialEntropy, SubjectScaler, WindowFeatures
    >>> from sklearn_mdjpt.compose import calibrate
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> X = make_emotion_windows(1, n_subjects=3, n_stimuli=3, random_state=0)
    >>> is_new = X.groups("subject") == "SimA/03"
    >>> features = WindowFeatures(DifferentialEntropy(), [SubjectScaler()])
    >>> model = make_pipeline(features, LogisticRegression())
    >>> model = model.fit(X[~is_new], X[~is_new].y)
    >>> first, later = X[is_new][:9], X[is_new][9:]
    >>> ready = calibrate(model, first)
    >>> bool(ready.predict(later[3:4]) == ready.predict(later)[3:4])
    True
    """
    found = calibrated(model, X)
    if found is None:
        raise NothingToCalibrateError(
            "Nothing in the model can be calibrated; SubjectScaler, "
            "CovarianceAlignment (both inside WindowFeatures), WindowAlignment and "
            f"MDJPTEncoder can. It is {model!r:.500}"
        )
    return found


def calibrated(model, X):
    """Return a calibrated copy of a model; None if nothing in it can be calibrated.

    Parameters
    ----------
    model : object
        A fitted estimator, or anything else.
    X : windows
        What the model gets.
    """
    # A FrozenEstimator has the methods of what is inside it.
    if hasattr(type(model), "calibrate"):
        try:
            return twin(model).calibrate(X)
        except NothingToCalibrateError:
            return None
    if isinstance(model, Pipeline):
        return _calibrated_pipeline(model, X)
    for name in _holders_of(model):
        changed = _calibrated_value(getattr(model, "__dict__", {}).get(name), X)
        if changed is None:
            continue
        copied = twin(model)
        setattr(copied, name, changed)
        if "named_estimators_" in vars(copied):
            names = copied.named_estimators_
            copied.named_estimators_ = Bunch(**dict(zip(names, changed, strict=True)))
        return copied
    return None


def held_estimators(model):
    """List the fitted estimators that an estimator of scikit-learn holds.

    Parameters
    ----------
    model : object
        A fitted estimator; for anything else there are none.
    """
    names = ("steps",) if isinstance(model, Pipeline) else _holders_of(model)
    found, waiting = [], [getattr(model, "__dict__", {}).get(name) for name in names]
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, list | tuple):
            waiting = [*value, *waiting]
        elif value is not None and not isinstance(value, str):
            found.append(value)
    return found


def _holders_of(model):
    """Return the attributes in which a fitted model holds fitted estimators."""
    # `estimator` of a search or an ensemble is a parameter, and not fitted.  What
    # CalibratedClassifierCV holds is no estimator, with a fitted one in it.
    if isinstance(model, FrozenEstimator) or not isinstance(model, BaseEstimator):
        return ("estimator",)
    # `estimator_` of an ensemble is what its members were cloned from, not fitted.
    return _HOLDERS[:-1] if hasattr(model, "estimators_") else _HOLDERS


def twin(estimator):
    """Return a copy of an estimator that shares all that it holds with it.

    `copy.copy` would pickle, and leave out what cannot be pickled.
    """
    copied = object.__new__(type(estimator))
    copied.__dict__.update(vars(estimator))
    return copied


def _calibrated_value(value, X):
    """Calibrate what an attribute holds: an estimator, or a list; None if it cannot."""
    if isinstance(value, list | tuple):
        changed = [_calibrated_value(one, X) for one in value]
        if all(one is None for one in changed):
            return None
        pairs = zip(changed, value, strict=True)
        return type(value)(old if new is None else new for new, old in pairs)
    if value is None or isinstance(value, str):
        return None
    return calibrated(value, X)


def _calibrated_pipeline(pipeline, X):
    steps, changed = [], False
    for k, (name, step) in enumerate(pipeline.steps):
        new = None if step in (None, "passthrough") else calibrated(step, X)
        changed = changed or new is not None
        steps.append((name, step if new is None else new))
        if k + 1 < len(pipeline.steps) and step not in (None, "passthrough"):
            X = steps[-1][1].transform(X)
    if not changed:
        return None
    copied = twin(pipeline)
    copied.steps = steps
    return copied
