"""What tables of scores say: means with intervals, and differences."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import bootstrap, wilcoxon

from .._validation import check_number, check_option, list_some
from ._scores import METRICS

# What one number of a subject is averaged over, or says of itself.
_NOT_A_GROUP = (
    "split", "subject", "metric", "value", "n", "n_classes", "leak", "seconds",
    "sources", "unit",
)  # fmt: skip
# What `summary` and `compare` call their results.
_RESULTS = (
    "mean", "sd", "low", "high", "n_subjects", "n_splits", "reference", "difference",
    "n_better", "n_worse", "p", "p_holm",
)  # fmt: skip
_BASELINES = ("chance", "majority")


def summary(
    table: pd.DataFrame,
    *,
    metric: str = "balanced_accuracy",
    unit: Literal["window", "trial"] = "window",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Summarise scores over subjects, with bootstrap intervals.

    A subject counts once: what it scored in several splits is averaged first.  Windows
    of one person are not independent, so intervals come from resampling subjects.

    Parameters
    ----------
    table : DataFrame
        What `few_shot` and the other functions return, or several of these, joined by
        ``pandas.concat``; columns of your own (``table.assign(seed=1)``) are kept
        apart like methods.
    metric : str, default="balanced_accuracy"
        "accuracy", "balanced_accuracy", "precision", "recall", "f1" or "roc_auc".
    unit : {"window", "trial"}, default="window"
        What a prediction is made for.
    confidence : float, default=0.95
        Of the intervals.

    Returns
    -------
    DataFrame
        One row for each method (and dataset, protocol, ...), in the order of the table:
        mean, sd (over subjects, n - 1), low and high (percentile bootstrap of the
        mean, 9,999 resamples, seeded), n_subjects, n_splits, seconds (mean of a
        split's), leak.  Scores that are NaN do not count.

    See Also
    --------
    compare : Differences between methods.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_mdjpt import DifferentialEntropy
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.evaluation import leave_subjects_out, summary
    >>> X = make_emotion_windows(1, n_subjects=3, n_stimuli=3, random_state=0)
    >>> model = make_pipeline(DifferentialEntropy(), LogisticRegression(max_iter=5000))
    >>> table = leave_subjects_out({"DE": model}, X)
    >>> summary(table)[["method", "n_subjects"]].to_numpy().tolist()
    [['chance', 3], ['majority', 3], ['DE', 3]]
    """
    check_number(confidence, "confidence", above=0, below=1)
    rows = []
    for about, group in scores_of_groups(table, metric, unit):
        values = subject_means(group).dropna().to_numpy()
        low, high = _interval(values, confidence)
        leaks = [leak for leak in group.get("leak", pd.Series(dtype=str)).unique()]
        rows.append(
            {
                **about,
                "mean": values.mean() if len(values) else np.nan,
                "sd": values.std(ddof=1) if len(values) > 1 else np.nan,
                "low": low,
                "high": high,
                "n_subjects": len(values),
                "n_splits": group["split"].nunique(),
                "seconds": group.groupby("split")["seconds"].first().mean(),
                "leak": ", ".join(sorted({x for x in leaks if x})),
            }
        )
    return pd.DataFrame(rows)


def compare(
    table: pd.DataFrame,
    reference: str,
    *,
    metric: str = "balanced_accuracy",
    unit: Literal["window", "trial"] = "window",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Compare each method with one of them, subject by subject.

    Parameters
    ----------
    table : DataFrame
        As for `summary`.
    reference : str
        The method that the others are compared with.
    metric : str, default="balanced_accuracy"
        As for `summary`.
    unit : {"window", "trial"}, default="window"
        As for `summary`.
    confidence : float, default=0.95
        Of the intervals.

    Returns
    -------
    DataFrame
        One row for each other method: difference (its mean minus the reference's),
        low and high (bootstrap over subjects), n_better, n_worse, n_subjects, p
        (Wilcoxon's signed-rank test, two-sided; 1 if nobody differs) and p_holm (Holm's
        correction for the methods that are compared with the reference at once).

    Raises
    ------
    ValueError
        If there is no such method.

    References
    ----------
    Holm S (1979). A simple sequentially rejective multiple test procedure.
    Scandinavian Journal of Statistics 6, 65-70.
    Demsar J (2006). Statistical comparisons of classifiers over multiple data sets.
    Journal of Machine Learning Research 7, 1-30.
    """
    check_number(confidence, "confidence", above=0, below=1)
    groups = [
        (about, subject_means(g)) for about, g in scores_of_groups(table, metric, unit)
    ]
    methods = list(dict.fromkeys(about["method"] for about, _ in groups))
    if reference not in methods:
        raise ValueError(
            f"There is no method {reference!r}; the table has {list_some(methods)}."
        )
    rows = []
    for about, values in groups:
        context = {k: v for k, v in about.items() if k != "method"}
        if about["method"] == reference:
            continue
        same = [
            other for them, other in groups
            if them["method"] == reference
            and all(them.get(k) == v for k, v in context.items())
        ]  # fmt: skip
        if not same:
            continue
        difference = (values - same[0]).dropna().to_numpy()
        low, high = _interval(difference, confidence)
        rows.append(
            {
                **about,
                "reference": reference,
                "difference": difference.mean() if len(difference) else np.nan,
                "low": low,
                "high": high,
                "n_better": int((difference > 0).sum()),
                "n_worse": int((difference < 0).sum()),
                "n_subjects": len(difference),
                "p": _wilcoxon(difference),
            }
        )
    result = pd.DataFrame(rows)
    if len(result):
        # Holm corrects the methods of one dataset, protocol, ... together.
        context = [k for k in groups[0][0] if k != "method"]
        tested = result[~result["method"].isin(_BASELINES)]
        families = tested.groupby(
            context or np.zeros(len(tested)), sort=False, dropna=False
        )
        result["p_holm"] = families["p"].transform(_holm)
    return result


def scores_of_groups(table, metric, unit):
    """Yield what tells each group of scores apart, and its rows."""
    if not isinstance(table, pd.DataFrame) or "metric" not in table:
        raise TypeError(
            "table must be a DataFrame of scores, got "
            f"{type(table).__name__}. (With return_predictions=True the scores are the "
            "first of two tables.)"
        )
    # From a file, an empty text comes back as NaN.
    for name in {"leak", "sources"} & set(table):
        table = table.assign(**{name: table[name].astype(object).fillna("")})
    check_option(metric, METRICS, "metric")
    check_option(unit, ("window", "trial"), "unit")
    chosen = table[(table["metric"] == metric) & (table["unit"] == unit)]
    if not len(chosen):
        raise ValueError(
            f"The table has no scores of unit {unit!r}"
            + (": the trials are not known." if unit == "trial" else ".")
        )
    keys = [name for name in chosen.columns if name not in _NOT_A_GROUP]
    keys = [name for name in keys if name != "method"] + ["method"]
    taken = [name for name in keys if name in _RESULTS]
    if taken:
        raise ValueError(
            f"Your own columns may not be called {list_some(taken)}, as results are; "
            "rename them."
        )
    for values, group in chosen.groupby(keys, sort=False, dropna=False):
        yield dict(zip(keys, values, strict=True)), group


def subject_means(group):
    """Return the mean score of each subject of a group, over splits."""
    return group.groupby(["dataset", "subject"])["value"].mean()


def _interval(values, confidence):
    if len(values) < 2:
        return np.nan, np.nan
    result = bootstrap(
        (values,), np.mean, method="percentile", n_resamples=9999,
        confidence_level=confidence, random_state=np.random.default_rng(0),
    )  # fmt: skip
    return tuple(map(float, result.confidence_interval))


def _wilcoxon(difference):
    if not len(difference):
        return np.nan
    if not difference.any():
        return 1.0
    return float(wilcoxon(difference).pvalue)


def _holm(p):
    """Correct p-values for their number."""
    p = np.asarray(p)
    order = np.argsort(p)
    steps = (len(p) - np.arange(len(p))) * p[order]
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected
