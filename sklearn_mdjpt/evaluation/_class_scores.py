"""Predictions of a fitted classifier: classes, and scores of classes if it has any.

Only this module reads ``predict``, ``predict_proba``, ``decision_function`` and
``classes_`` of classifiers, which anybody may have written.
"""

from typing import NamedTuple

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from .._validation import list_some

_PAIRS = "decision_function_shape"
# Errors of classifiers that have a method and cannot use it, such as
# GaussianProcessClassifier(multi_class="one_vs_one").
_CANNOT = (AttributeError, NotImplementedError, TypeError, ValueError)
_TOLERANCE = 1e-9  # a score this near to the highest one is as high


class Predictions(NamedTuple):
    """Predictions of some windows.

    Attributes
    ----------
    codes : ndarray of int or float, shape (n_windows,)
        The predicted class; of a regressor the predicted number.
    scores : ndarray of float, shape (n_windows, n_classes), or None
        The higher, the more likely the class; None without usable scores.
    problem : str
        Why the classifier's scores are not used; "" if they are used, or if it has
        none.
    """

    codes: np.ndarray
    scores: np.ndarray | None = None
    problem: str = ""


def predict_targets(model, X, classes, y_train):
    """Return the predictions of a fitted classifier, or of a regressor.

    Parameters
    ----------
    model : classifier or regressor
        Fitted.
    X : EEGWindows or array-like
        Windows or features.
    classes : ndarray of shape (n_classes,) or None
        As for `predict_classes`; None for a regressor.
    y_train : array-like of shape (n_training_windows,)
        Its training targets.

    Returns
    -------
    Predictions
        Of a regressor the numbers are in ``codes``.
    """
    if classes is not None:
        return predict_classes(model, X, classes, y_train)
    found = np.asarray(model.predict(X), dtype=float)
    if found.shape != (len(X),):
        raise ValueError(
            f"A regressor must predict one number for each of {len(X)} windows; got "
            f"an array of shape {found.shape}."
        )
    if not np.isfinite(found).all():
        n_bad = int((~np.isfinite(found)).sum())
        raise ValueError(f"{n_bad} of {len(found)} predictions are NaN or inf.")
    return Predictions(found)


def predict_classes(model, X, classes, y_train):
    """Return the predictions of a fitted classifier for windows or features.

    Scores are those of ``predict_proba``, or else of ``decision_function``.  They count
    if they have one finite column for each class, and if they say what ``predict``
    says: for two classes in their order (``predict`` may have a threshold of its own),
    for more in that at least half of the windows have their highest score there.

    Parameters
    ----------
    model : classifier
        Fitted.
    X : EEGWindows or array-like
        Windows or features.
    classes : ndarray of shape (n_classes,)
        All labels, sorted; the model may know fewer or others.
    y_train : array-like of shape (n_training_windows,)
        Its training labels; they name the columns where it has no ``classes_``.

    Returns
    -------
    Predictions
        A class that the model does not know has the same lowest score everywhere.

    Raises
    ------
    ValueError
        If ``predict`` gives anything but one of ``classes`` for each window.
    """
    if isinstance(model, Pipeline) and len(model) > 1:
        # Features are made once for labels and scores.
        X, model = model[:-1].transform(X), model[-1]
    known = _known_classes(model, classes, y_train)
    codes = None
    if not _predicts_the_most_probable(model):
        codes = _class_codes(model.predict(X), classes, len(X))
    problems = []
    for method in ("predict_proba", "decision_function"):
        if not hasattr(model, method):
            continue
        values, problem = _class_columns(model, method, X, known)
        if codes is None and not problem:
            codes = known[values.argmax(axis=1)]
        if not problem:
            problem = _disagreement(values, known, codes)
        if not problem:
            lowest = 0.0 if method == "predict_proba" else values.min() - 1
            scores = np.full((len(values), len(classes)), lowest)
            scores[:, known[known >= 0]] = values[:, known >= 0]
            return Predictions(codes, scores)
        problems.append(f"{method} {problem}")
    return Predictions(codes, None, "; ".join(problems))


def column_of_pairs(model):
    """Return the parameter that makes columns of pairs of classes; "" if none does.

    One column for each pair (one against one) is not one for each class, even where
    there are as many: three classes make three pairs.
    """
    while model is not None:
        if getattr(model, _PAIRS, None) == "ovo":
            return f"{_PAIRS}='ovo'"
        model = _inner(model)
    return ""


def highest(scores, codes):
    """Whether the score of a class is the highest, or as high, in each row."""
    top = scores.max(axis=1)
    own = scores[np.arange(len(scores)), codes]
    return top - own <= _TOLERANCE * np.abs(top)


def _inner(model):
    """Return the estimator whose decision function a model passes on."""
    if isinstance(model, Pipeline):
        return model[-1]
    if isinstance(model, FrozenEstimator):
        return model.estimator
    return getattr(model, "best_estimator_", getattr(model, "estimator_", None))


def _predicts_the_most_probable(model):
    """Whether the predicted classes follow from the scores.

    Windows are then encoded only once.
    """
    from ..baselines._braindecode import BraindecodeClassifier
    from ..classifier._estimator import MDJPTClassifier

    return type(model) in (MDJPTClassifier, BraindecodeClassifier)


def _known_classes(model, classes, y_train):
    """Return the class of each column; -1 for a class that is not among ours."""
    named = getattr(model, "classes_", None)
    if named is not None and np.ndim(named) == 1:
        known = _class_positions(named, classes)
        if (known >= 0).any():
            return known
    return np.unique(_class_positions(y_train, classes))


def _class_positions(labels, classes):
    """Return the position of each label among the classes; -1 for any other label.

    Labels are compared by value, whatever their types: as text, objects, whole numbers
    or floats.
    """
    positions = {label: k for k, label in enumerate(np.asarray(classes).tolist())}
    labels = np.asarray(labels).tolist()
    return np.array([positions.get(label, -1) for label in labels], dtype=int)


def _class_codes(predicted, classes, n_windows):
    predicted = np.asarray(predicted)
    if predicted.shape == (n_windows, 1):
        predicted = predicted[:, 0]
    if predicted.shape != (n_windows,):
        raise ValueError(
            f"predict gave shape {predicted.shape} for {n_windows} windows."
        )
    codes = _class_positions(predicted, classes)
    if (codes < 0).any():
        unknown = list(dict.fromkeys(predicted[codes < 0].tolist()))
        raise ValueError(
            f"predict gave labels that are none of the classes {list_some(classes)}: "
            f"{list_some(unknown, 3)}."
        )
    return codes


def _class_columns(model, method, X, known):
    """Return scores with a column for each known class, and their problem or ""."""
    pairs = column_of_pairs(model)
    if method == "decision_function" and pairs and len(known) > 2:
        return None, (
            f"has a column for each pair of classes, as {pairs} asks for; "
            f"{_PAIRS}='ovr' makes one for each class"
        )
    try:
        values = np.asarray(getattr(model, method)(X), dtype=float)
    except _CANNOT as error:
        return None, f"raised {type(error).__name__}: {error}"
    shape = values.shape
    if method == "decision_function" and len(known) == 2 and values.size == len(X):
        values = values.reshape(-1)
        values = np.stack([-values, values], axis=1)  # above 0 is the second class
    if values.shape != (len(X), len(known)):
        return None, f"has shape {shape} for {len(X)} windows of {len(known)} classes"
    if not np.isfinite(values).all():
        bad = np.count_nonzero(~np.isfinite(values).all(axis=1))
        return None, f"is NaN or infinite for {bad} of {len(X)} windows"
    return values, ""


def _disagreement(values, known, codes):
    """Return how scores contradict the predicted classes; "" if they do not."""
    if len(known) == 2:
        second, margin = codes == known[1], values[:, 1] - values[:, 0]
        if second.all() or not second.any() or roc_auc_score(second, margin) >= 0.5:
            return ""
        return "is lower for the class that predict gives"
    column = {k: i for i, k in enumerate(known)}
    agree = highest(values, np.array([column.get(k, 0) for k in codes], dtype=int))
    agree &= np.isin(codes, known)
    if 2 * agree.sum() >= len(agree):
        return ""
    return (
        f"is highest for the class that predict gives in {agree.sum()} of {len(agree)} "
        "windows only"
    )
