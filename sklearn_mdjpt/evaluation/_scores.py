"""From predictions to scores of each subject, beside chance and the majority class."""

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from .._grouping import rows_of_groups
from ._class_scores import Predictions, highest
from ._predictions import are_probabilities
from ._reliability import calibration_error

BASELINES = ("chance", "majority", "mean")
# Those that are shown in percent.
SHARES = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc")
# Those of which less is better.
ERRORS = ("log_loss", "brier_score", "calibration_error", "mae", "rmse")
METRICS = (*SHARES, *ERRORS[:3])
"""Metrics of each subject: precision, recall and F1 are macro averages, and `roc_auc`
is one class against the rest, averaged, all over the classes that the subject has.  A
class that the model was not trained on counts 0.5 in `roc_auc`; it is NaN for a subject
of one class, and for a model without scores of classes.

`log_loss` (in nats), `brier_score` and `calibration_error` judge probabilities, the
lower the better; they are NaN for a model without `predict_proba`.  Log loss and Brier
score are those of scikit-learn: guessing has a Brier score of 0.25 with two classes,
and 1 - 1 / n with n of them; a class that the model was not trained on has a log loss
of 36.  The calibration error is the expected one of the predicted class
(doi:10.48550/arXiv.1706.04599), in ten bins of equal width, of each subject by itself.
With few windows it is above 0 for perfect probabilities too: compare it at equal
numbers, and see `reliability` for the error of all subjects together."""

RATING_METRICS = ("pearson", "concordance", "r2", "mae", "rmse")
"""Metrics of each subject where ratings are predicted: Pearson's correlation, Lin's
concordance correlation (doi:10.2307/2532051), the coefficient of determination around
the subject's own mean, and the mean absolute and the root mean squared error.  The
first three are NaN for a subject whose ratings are all the same; the first two are 0
where the predictions are."""


def score_predictions(windows, rows, predictions=None):
    """Return one row for each subject, unit and metric.

    Parameters
    ----------
    windows : LabelledWindows
        All windows, with their true classes.
    rows : ndarray of int
        The windows that are predicted: all windows of a trial or none.
    predictions : Predictions, default=None
        Predictions of these windows.  None: scores of chance, which are what guessing
        all classes equally often gives in the long run.

    Returns
    -------
    DataFrame
        Columns dataset, subject, unit, metric, value, n, n_classes.
    """
    if windows.kind == "ratings":
        return _score_ratings(windows, rows, predictions.codes)
    codes, scores = (None, None) if predictions is None else predictions[:2]
    table = _score_subjects("window", windows, rows, codes, scores)
    if windows.trials is not None:
        trials = pd.factorize(windows.trials[rows])[0]
        first = np.unique(trials, return_index=True)[1]
        if codes is not None:
            codes, scores = _predict_trials(trials, codes, scores, len(windows.classes))
        table += _score_subjects("trial", windows, rows[first], codes, scores)
    return pd.DataFrame(table)


def predict_baselines(windows, train, test, exclude=None):
    """Return the predictions of what needs no EEG, by name.

    Parameters
    ----------
    windows : LabelledWindows or RatedWindows
        All windows.
    train, test : ndarray of int
        Training windows, and the windows to predict.
    exclude : {"subject", "trial", "window"}, default=None
        As for `predict_majority`.

    Returns
    -------
    dict of str to Predictions or None
        For classes "chance" (None: guessing) and "majority"; for ratings "mean", that
        of the training windows.
    """
    if windows.kind == "ratings":
        mean = windows.y[train].mean()
        return {"mean": Predictions(np.full(len(test), mean))}
    majority = predict_majority(windows, train, test, exclude)
    return {"chance": None, "majority": majority}


def predict_majority(windows, train, test, exclude=None):
    """Predict the most frequent class of the windows that a model can learn from.

    The probabilities are the shares of the classes.

    Parameters
    ----------
    windows : LabelledWindows
        All windows.
    train, test : ndarray of int
        Training windows, and the windows to predict.
    exclude : {"subject", "trial", "window"}, default=None
        For nearest neighbours, which have no training windows: windows are predicted
        from all windows but these.

    Returns
    -------
    Predictions
    """
    codes, n_classes = windows.codes, len(windows.classes)
    if exclude is None:
        counts = np.bincount(codes[train], minlength=n_classes)
        counts = np.tile(counts, (len(test), 1))
    else:
        excluded = windows.excluded(exclude)
        counts = np.zeros((excluded.max() + 1, n_classes), dtype=int)
        np.add.at(counts, (excluded, codes), 1)
        counts = counts.sum(axis=0) - counts[excluded]
    return Predictions(counts.argmax(axis=1), counts / counts.sum(axis=1)[:, None])


def _predict_trials(trials, codes, scores, n_classes):
    """Return class and scores of each trial.

    A trial has the class of the highest mean score of its windows, if in all of them
    the highest score is that of the predicted class.  In other trials (thresholds,
    calibration, no scores) windows vote, and the mean score decides between classes
    with equally many votes.
    """
    groups = rows_of_groups(trials)

    def means(values):
        return np.stack([values[rows].mean(0) for rows in groups])

    votes = means(np.eye(n_classes)[codes])
    if scores is None:
        return votes.argmax(axis=1), None
    mean_scores = means(scores)
    agree = highest(scores, codes)
    agree = np.array([agree[rows].all() for rows in groups])
    allowed = agree[:, None] | (votes == votes.max(axis=1, keepdims=True))
    return np.where(allowed, mean_scores, -np.inf).argmax(axis=1), mean_scores


def _score_subjects(unit, windows, rows, codes, scores):
    """Score each subject; without codes, score guessing."""
    table = []
    all_truth, subjects = windows.codes[rows], windows.subjects[rows]
    for own in rows_of_groups(pd.factorize(subjects)[0]):
        truth = all_truth[own]
        if codes is None:
            values = _chance(truth, len(windows.classes))
        else:
            own_scores = None if scores is None else scores[own]
            values = _metrics(truth, codes[own])
            values["roc_auc"] = _roc_auc(truth, own_scores)
            values |= _metrics_of_probabilities(truth, codes[own], own_scores)
        columns = {
            "dataset": str(windows.datasets[rows[own[0]]]),
            "subject": str(subjects[own[0]]),
            "unit": unit,
        }
        counts = {"n": len(own), "n_classes": len(np.unique(truth))}
        table += [
            {**columns, "metric": name, "value": values[name], **counts}
            for name in METRICS
        ]
    return table


def _score_ratings(windows, rows, values):
    """Return one row for each subject, unit and metric of ratings."""
    parts = [("window", windows.y[rows], values, rows)]
    if windows.trials is not None:
        groups = rows_of_groups(pd.factorize(windows.trials[rows])[0])
        means = [
            np.array([x[group].mean() for group in groups])
            for x in (windows.y[rows], values)
        ]
        parts.append(("trial", *means, rows[[group[0] for group in groups]]))
    table = []
    for unit, truth, found, where in parts:
        for own in rows_of_groups(pd.factorize(windows.subjects[where])[0]):
            scores = _rating_metrics(truth[own], found[own])
            table += [
                {
                    "dataset": str(windows.datasets[where[own[0]]]),
                    "subject": str(windows.subjects[where[own[0]]]),
                    "unit": unit, "metric": name, "value": scores[name],
                    "n": len(own), "n_classes": np.nan,
                }
                for name in RATING_METRICS
            ]  # fmt: skip
    return pd.DataFrame(table)


def _rating_metrics(truth, found):
    error = found - truth
    scores = {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
    }
    if np.ptp(truth) == 0:
        return scores | dict.fromkeys(("pearson", "concordance", "r2"), float("nan"))
    centred, other = truth - truth.mean(), found - found.mean()
    covariance, variance = (centred * other).mean(), np.square(centred).mean()
    # A constant has a variance of rounding errors.
    spread = 0.0 if np.ptp(found) == 0 else np.square(other).mean()
    total = variance + spread + (truth.mean() - found.mean()) ** 2
    return scores | {
        "pearson": float(covariance / np.sqrt(variance * spread)) if spread else 0.0,
        "concordance": float(2 * covariance / total) if spread else 0.0,
        "r2": float(1 - np.square(error).mean() / variance),
    }


def _metrics(truth, codes, weights=None):
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, codes, labels=np.unique(truth), average="macro", sample_weight=weights,
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
    weights = np.full(len(guesses), 1 / n_classes)
    values = _metrics(np.repeat(truth, n_classes), guesses, weights)
    values["roc_auc"] = 0.5 if len(np.unique(truth)) > 1 else float("nan")
    equal = np.full((len(truth), n_classes), 1 / n_classes)
    probabilistic = _metrics_of_probabilities(truth, truth, equal)
    # Guesses are right as often as their probability says.
    return values | probabilistic | {"calibration_error": 0.0}


def _metrics_of_probabilities(truth, codes, scores):
    """Return the metrics that only probabilities have; NaN for other scores."""
    if not are_probabilities(scores):
        names = ("log_loss", "brier_score", "calibration_error")
        return dict.fromkeys(names, float("nan"))
    labels = np.arange(scores.shape[1])
    scores = scores / scores.sum(axis=1, keepdims=True)
    own = scores[np.arange(len(truth)), truth]
    squares = np.square(scores - (truth[:, None] == labels)).sum(axis=1).mean()
    confidence = scores[np.arange(len(codes)), codes]
    return {
        "log_loss": float(-np.log(own.clip(min=np.finfo(float).eps)).mean()),
        # Of two classes both columns say the same, and one counts.
        "brier_score": float(squares / 2 if len(labels) == 2 else squares),
        "calibration_error": calibration_error(confidence, truth == codes),
    }


def _roc_auc(truth, scores):
    present = np.unique(truth)
    if scores is None or len(present) < 2:
        return float("nan")
    return float(np.mean([roc_auc_score(truth == k, scores[:, k]) for k in present]))
