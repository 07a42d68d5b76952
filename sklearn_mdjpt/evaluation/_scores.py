"""From predictions to scores of each subject, beside chance and the majority class."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from .._grouping import combine_groups, rows_of_groups
from .._validation import check_y, list_some
from ._class_scores import highest

METRICS = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
)
"""Metrics of each subject: precision, recall and F1 are macro averages, and `roc_auc`
is one class against the rest, averaged, all over the classes that the subject has.  A
class that the model was not trained on counts 0.5 in `roc_auc`; it is NaN for a subject
of one class, and for a model without scores of classes."""


class Target(NamedTuple):
    """Windows to score on: whose they are, and what is true.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, sorted.
    codes : ndarray of int, shape (n_windows,)
        The class of each window.
    subjects, datasets : ndarray of str, shape (n_windows,)
        Whose window it is.
    trials : ndarray of int, shape (n_windows,), or None
        Number of the trial; None if trials are not known or hold several labels.
    """

    classes: np.ndarray
    codes: np.ndarray
    subjects: np.ndarray
    datasets: np.ndarray
    trials: np.ndarray | None


class Predictions(NamedTuple):
    """What a model says of some windows.

    Attributes
    ----------
    rows : ndarray of int, shape (n_rows,)
        Positions of the windows.
    codes : ndarray of int, shape (n_rows,)
        Predicted class.
    scores : ndarray of shape (n_rows, n_classes), or None
        The higher, the more likely the class.
    """

    rows: np.ndarray
    codes: np.ndarray
    scores: np.ndarray | None


def make_target(X, y):
    """Check windows and their labels.

    Parameters
    ----------
    X : EEGWindows
        With subjects.
    y : array-like of shape (n_windows,) or None
        Labels; None takes those of X.

    Returns
    -------
    Target
    """
    y = X.y if y is None else check_y(y, len(X))
    if y is None:
        raise ValueError(
            "X has no labels: its column 'label' is empty (columns: "
            f"{list_some(X.metadata.columns, 20)}). Pass y."
        )
    missing = pd.isna(y)
    if missing.any():
        raise ValueError(
            f"{missing.sum()} of {len(y)} windows have no label; leave them out: "
            "X[known], y[known]."
        )
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"There is only one class in y: {str(classes[0])!r}.")
    metadata = X.metadata
    trials = None
    if metadata["trial"].notna().all():
        trials = combine_groups(
            len(X), *(metadata[k] for k in ("dataset", "subject", "session", "trial"))
        )
        if any(len(set(codes[rows])) > 1 for rows in rows_of_groups(trials)):
            trials = None
    return Target(classes, codes, X.groups("subject"), X.groups("dataset"), trials)


def score_predictions(target, predictions):
    """Return one row for each subject, unit and metric.

    Parameters
    ----------
    target : Target
        What is true.
    predictions : Predictions
        Of some of its windows, with all windows of a trial or none.

    Returns
    -------
    DataFrame
        Columns dataset, subject, unit, metric, value, n, n_classes.
    """
    rows = predictions.rows
    table = _score(
        "window", target, rows, target.codes[rows], predictions.codes,
        predictions.scores,
    )  # fmt: skip
    if target.trials is not None:
        table += _score("trial", target, *_trials(target, predictions))
    return pd.DataFrame(table)


def score_baselines(target, rows, majority):
    """Return the rows of "chance" and "majority".

    Parameters
    ----------
    target : Target
        What is true.
    rows : ndarray of int
        The windows that are tested on.
    majority : ndarray of int, shape (n_rows,)
        The most frequent class among the windows that could be learnt from.

    Returns
    -------
    DataFrame
        As of `score_predictions`, with a column method.  "chance" is what guessing all
        classes equally often gives in the long run.
    """
    scores = np.eye(len(target.classes))[majority]
    table = score_predictions(target, Predictions(rows, majority, scores))
    chance = _score("window", target, rows, target.codes[rows], None, None)
    if target.trials is not None:
        places, truth, *_ = _trials(target, Predictions(rows, majority, None))
        chance += _score("trial", target, places, truth, None, None)
    return pd.concat(
        [
            pd.DataFrame(chance).assign(method="chance"),
            table.assign(method="majority"),
        ],
        ignore_index=True,
    )


def most_frequent(codes, n_classes):
    """Return the most frequent class; of several the first."""
    return np.bincount(codes, minlength=n_classes).argmax()


def single_class_subjects(target, rows):
    """Return the subjects whose windows, of these, are all of one class."""
    codes, subjects = target.codes[rows], target.subjects[rows]
    n_classes = pd.Series(codes).groupby(subjects).nunique()
    return n_classes.index[n_classes == 1].tolist()


def _trials(target, predictions):
    """Return a row of each trial, its class, and what is predicted of it.

    The mean of the windows' scores decides where each window's highest score is what
    was predicted of it.  Elsewhere (thresholds, calibration, no scores) windows vote,
    and of classes with as many votes the one of the higher mean is taken.
    """
    trials = pd.factorize(target.trials[predictions.rows])[0]
    first = np.unique(trials, return_index=True)[1]
    rows, groups = predictions.rows[first], rows_of_groups(trials)
    scores = predictions.scores
    votes = _means(np.eye(len(target.classes))[predictions.codes], groups)
    if scores is None:
        return rows, target.codes[rows], votes.argmax(axis=1), None
    means = _means(scores, groups)
    agree = highest(scores, predictions.codes)
    agree = np.array([agree[places].all() for places in groups])
    allowed = agree[:, None] | (votes == votes.max(axis=1, keepdims=True))
    codes = np.where(allowed, means, -np.inf).argmax(axis=1)
    return rows, target.codes[rows], codes, means


def _means(values, groups):
    return np.stack([values[places].mean(0) for places in groups])


def _score(unit, target, rows, truth, codes, scores):
    """Score each subject; without codes, what guessing gives in the long run."""
    table = []
    subjects = target.subjects[rows]
    for places in rows_of_groups(pd.factorize(subjects)[0]):
        if codes is None:
            values = _chance(truth[places], len(target.classes))
        else:
            values = _metrics(truth[places], codes[places])
            values["roc_auc"] = _roc_auc(
                truth[places], None if scores is None else scores[places]
            )
        about = {
            "dataset": str(target.datasets[rows[places[0]]]),
            "subject": str(subjects[places[0]]),
            "unit": unit,
        }
        counts = {"n": len(places), "n_classes": len(np.unique(truth[places]))}
        table += [
            {**about, "metric": name, "value": values[name], **counts}
            for name in METRICS
        ]
    return table


def _metrics(truth, codes, weights=None):
    present = np.unique(truth)
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, codes, labels=present, average="macro", sample_weight=weights,
        zero_division=0,
    )  # fmt: skip
    return {
        "accuracy": float(np.average(truth == codes, weights=weights)),
        "balanced_accuracy": float(recall),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
    }


def _chance(truth, n_classes):
    # Each window counts once for each class that might be guessed.
    guesses = np.tile(np.arange(n_classes), len(truth))
    repeated = np.repeat(truth, n_classes)
    weights = np.full(len(guesses), 1 / n_classes)
    values = _metrics(repeated, guesses, weights)
    values["roc_auc"] = 0.5 if len(np.unique(truth)) > 1 else float("nan")
    return values


def _roc_auc(truth, scores):
    present = np.unique(truth)
    if scores is None or len(present) < 2:
        return float("nan")
    return float(np.mean([roc_auc_score(truth == k, scores[:, k]) for k in present]))
