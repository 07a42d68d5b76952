"""How far probabilities can be trusted: reliability, and risk against coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._validation import check_number
from ._predictions import confidences

if TYPE_CHECKING:
    from collections.abc import Sequence

N_BINS = 10
_N_RESAMPLES = 999
_COVERAGES = tuple(k / 20 for k in range(1, 21))


def reliability(
    predictions: pd.DataFrame, *, n_bins: int = N_BINS, confidence: float = 0.95
) -> pd.DataFrame:
    """Compare how sure models were with how often they were right.

    The probability of the predicted class is put into bins of equal width.  A model
    whose probabilities can be trusted is right in 70 % of the windows of which it is
    70 % sure.

    Parameters
    ----------
    predictions : DataFrame
        The second table of `few_shot` and the other protocols with
        ``return_predictions=True``; of one dataset and of classifiers.
    n_bins : int, default=10
        Number of bins between 0 and 1.
    confidence : float, default=0.95
        Confidence of the intervals.

    Returns
    -------
    DataFrame
        One row for each method and bin that has windows.  Columns method, bin (its
        middle), confidence (mean probability of the predicted class), accuracy, low
        and high (bootstrap over subjects), share (of the windows), n_windows (one that
        was tested in several splits, or with several seeds, counts each time) and
        n_subjects.  Each subject counts alike, however many windows it has.  The sum of
        share times the distance of confidence and accuracy is the calibration error of
        all subjects together.

    Raises
    ------
    TypeError
        If it is no table of predictions.
    ValueError
        If there are several datasets or protocols in it, or no probabilities.

    Warns
    -----
    UserWarning
        If a method has no probabilities; it is left out.

    See Also
    --------
    sklearn_mdjpt.plotting.plot_reliability : The figure.

    References
    ----------
    Guo C et al. (2017). On Calibration of Modern Neural Networks. ICML.
    arXiv:1706.04599.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_mdjpt.evaluation import reliability
    >>> predictions = pd.DataFrame({
    ...     "method": "DE", "subject": ["A/1", "A/1", "A/2", "A/2"],
    ...     "label": ["joy", "joy", "joy", "sad"],
    ...     "predicted": ["joy", "joy", "sad", "sad"],
    ...     "score_joy": [0.9, 0.9, 0.3, 0.1], "score_sad": [0.1, 0.1, 0.7, 0.9]})
    >>> reliability(predictions)[["confidence", "accuracy", "share"]].values.tolist()
    [[0.7, 0.0, 0.25], [0.9, 1.0, 0.75]]
    """
    check_number(n_bins, "n_bins", whole=True, least=1)
    check_number(confidence, "confidence", above=0, below=1)
    tables = []
    for method, rows in confidences(predictions):
        subjects, names = pd.factorize(rows["subject"])
        weights = equal_subjects(subjects)
        bins = _bins_of(rows["confidence"], n_bins)
        in_bin = np.zeros((3, len(names), n_bins))
        values = (weights, weights * rows["right"], weights * rows["confidence"])
        for k, value in enumerate(values):
            np.add.at(in_bin[k], (subjects, bins), value)
        total, right, sure = in_bin
        low, high = _intervals(right, total, confidence)
        table = pd.DataFrame(
            {
                "method": method,
                "bin": (np.arange(n_bins) + 0.5) / n_bins,
                "confidence": _ratio(sure.sum(axis=0), total.sum(axis=0)),
                "accuracy": _ratio(right.sum(axis=0), total.sum(axis=0)),
                "low": low,
                "high": high,
                "share": total.sum(axis=0) / total.sum(),
                "n_windows": np.bincount(bins, minlength=n_bins),
                "n_subjects": (total > 0).sum(axis=0),
            }
        )
        tables.append(table[table["n_windows"] > 0])
    return pd.concat(tables, ignore_index=True)


def risk_coverage(
    predictions: pd.DataFrame,
    *,
    coverages: Sequence[float] | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Say how many errors remain if a model may refuse what it is not sure of.

    Windows of which a model is less sure than a threshold are rejected: the coverage is
    the share of those that are left, and the risk the share of errors among these.

    Parameters
    ----------
    predictions : DataFrame
        As for `reliability`.
    coverages : sequence of float, default=None
        Shares of the windows to keep, above 0 and up to 1; None takes 0.05, 0.1, ...,
        1.
    confidence : float, default=0.95
        Confidence of the intervals.

    Returns
    -------
    DataFrame
        One row for each method and coverage.  Columns method, coverage (as reached:
        windows of equal probability are kept together), threshold (the lowest
        probability of the predicted class that is kept), risk, low and high (bootstrap
        over subjects at this threshold), least_covered (the coverage of the subject of
        whom least is kept) and n_subjects (of whom something is).  Each subject counts
        alike.

    Raises
    ------
    TypeError, ValueError
        As in `reliability`.

    Warns
    -----
    UserWarning
        As in `reliability`.

    See Also
    --------
    sklearn_mdjpt.plotting.plot_risk_coverage : The figure.
    sklearn_mdjpt.trust.SelectiveClassifier : A classifier that rejects.

    Notes
    -----
    A threshold that is chosen from this table was chosen on its people; the risk that
    it has is that of other people only.  `sklearn_mdjpt.trust.SelectiveClassifier`
    chooses one among the training people.

    References
    ----------
    El-Yaniv R, Wiener Y (2010). On the Foundations of Noise-free Selective
    Classification. Journal of Machine Learning Research 11, 1605-1641.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_mdjpt.evaluation import risk_coverage
    >>> predictions = pd.DataFrame({
    ...     "method": "DE", "subject": ["A/1", "A/1", "A/2", "A/2"],
    ...     "label": ["joy", "joy", "joy", "sad"],
    ...     "predicted": ["joy", "joy", "sad", "sad"],
    ...     "score_joy": [0.9, 0.9, 0.3, 0.1], "score_sad": [0.1, 0.1, 0.7, 0.9]})
    >>> table = risk_coverage(predictions, coverages=[0.75, 1])
    >>> table[["coverage", "threshold", "risk"]].values.tolist()
    [[0.75, 0.9, 0.0], [1.0, 0.7, 0.25]]
    """
    coverages = _COVERAGES if coverages is None else coverages
    coverages = np.atleast_1d(np.asarray(coverages, dtype=float))
    if not len(coverages) or not ((coverages > 0) & (coverages <= 1)).all():
        raise ValueError(
            f"coverages must lie above 0 and be at most 1, got {coverages.tolist()}."
        )
    check_number(confidence, "confidence", above=0, below=1)
    tables = []
    for method, rows in confidences(predictions):
        subjects, names = pd.factorize(rows["subject"])
        sure = rows["confidence"].to_numpy()
        thresholds = np.array(
            [coverage_threshold(sure, subjects, c) for c in coverages]
        )
        weights = equal_subjects(subjects)
        kept = (sure[:, None] >= thresholds) * weights[:, None]
        wrong = kept * (~rows["right"].to_numpy())[:, None]
        left, errors = np.zeros((2, len(names), len(thresholds)))
        np.add.at(left, subjects, kept)
        np.add.at(errors, subjects, wrong)
        low, high = _intervals(errors, left, confidence)
        own = left / np.bincount(subjects, weights)[:, None]
        tables.append(
            pd.DataFrame(
                {
                    "method": method,
                    "coverage": left.sum(axis=0) / weights.sum(),
                    "threshold": thresholds,
                    "risk": _ratio(errors.sum(axis=0), left.sum(axis=0)),
                    "low": low,
                    "high": high,
                    "least_covered": own.min(axis=0),
                    "n_subjects": (left > 0).sum(axis=0),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def coverage_threshold(confidence, subjects, coverage):
    """Return the highest threshold that keeps a share of the windows.

    Parameters
    ----------
    confidence : ndarray of float, shape (n_windows,)
        Probability of the predicted class.
    subjects : ndarray of int, shape (n_windows,)
        Number of each window's subject; each subject counts alike.
    coverage : float
        Share to keep, at least.
    """
    weights = equal_subjects(subjects)
    return -weighted_quantile(-confidence, weights, coverage * weights.sum())


def weighted_quantile(values, weights, total):
    """Return the lowest value up to which the weights add up to ``total``.

    Parameters
    ----------
    values, weights : ndarray of float, shape (n,)
        Values, and what each counts.
    total : float
        The highest value is returned where it is more than all weights.
    """
    order = np.argsort(values, kind="stable")
    # Rounding must not ask for one value more.
    first = np.searchsorted(np.cumsum(weights[order]), total - 1e-9)
    return float(values[order[min(first, len(order) - 1)]])


def calibration_error(confidence, right):
    """Return the expected calibration error of one subject's windows.

    Parameters
    ----------
    confidence : ndarray of float, shape (n_windows,)
        Probability of the predicted class.
    right : ndarray of bool, shape (n_windows,)
        Whether it is the true one.
    """
    gaps = np.bincount(_bins_of(confidence, N_BINS), confidence - right)
    return float(np.abs(gaps).sum() / len(confidence))


def _bins_of(confidence, n_bins):
    """Return the bin of each probability; a bin includes its upper edge."""
    bins = np.ceil(np.asarray(confidence) * n_bins - 1e-9).astype(int) - 1
    return bins.clip(0, n_bins - 1)


def equal_subjects(subjects):
    """Return a weight for each window, such that each subject has 1 in all."""
    return 1 / np.bincount(subjects)[subjects]


def _ratio(part, whole):
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _intervals(part, whole, confidence):
    """Return percentiles of sum(part) / sum(whole) over resampled subjects.

    Parameters
    ----------
    part, whole : ndarray of shape (n_subjects, n_columns)
        Sums of each subject.
    confidence : float
        Confidence of the intervals.

    Returns
    -------
    low, high : ndarray of shape (n_columns,)
        NaN where fewer than two subjects have anything.
    """
    n = len(part)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=_N_RESAMPLES)
    ratios = _ratio(drawn @ part, drawn @ whole)
    known = (whole > 0).sum(axis=0) > 1
    found = np.full((2, whole.shape[1]), np.nan)
    levels = [50 * (1 - confidence), 50 * (1 + confidence)]
    found[:, known] = np.nanpercentile(ratios[:, known], levels, axis=0)
    return found[0], found[1]
