"""Summaries of tables of scores: means with intervals, and differences."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from scipy.stats import bootstrap, wilcoxon

from .._validation import check_number, check_option, list_some
from ._scores import BASELINES, ERRORS, METRICS, RATING_METRICS

# Columns that do not tell groups of scores apart: they differ within a group.
_NOT_A_GROUP = (
    "split", "subject", "metric", "value", "n", "n_classes", "leak", "seconds",
    "sources", "unit", "seed",
)  # fmt: skip
# Columns of the results of `summary` and `compare`.
_RESULTS = (
    "mean", "sd", "low", "high", "sd_seeds", "n_seeds", "n_subjects", "n_splits",
    "reference", "difference", "n_better", "n_worse", "p", "p_holm",
)  # fmt: skip


def summary(
    table: pd.DataFrame,
    *,
    metric: str = "balanced_accuracy",
    unit: Literal["window", "trial"] = "window",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Summarise scores over subjects, with bootstrap intervals.

    A subject counts once: its scores in several splits, and with several seeds, are
    averaged first.  Windows of one person are not independent, so intervals come from
    resampling subjects.  Seeds are no further subjects: how far they differ is a
    number of its own, the spread over seeds.

    Parameters
    ----------
    table : DataFrame
        Table of `few_shot` or another function, or several tables, joined by
        ``pandas.concat``; columns of your own (``table.assign(cap="dry")``) tell rows
        apart as methods do.  A column ``seed`` is that of ``n_seeds``, or your own:
        runs of one and the same method on the same subjects.
    metric : str, default="balanced_accuracy"
        One of `METRICS`, or for regressors one of `RATING_METRICS`.
    unit : {"window", "trial"}, default="window"
        Whether to take the scores of windows or of trials.
    confidence : float, default=0.95
        Confidence of the intervals.

    Returns
    -------
    DataFrame
        One row for each method (and dataset, protocol, ...), in the order of the table:
        mean, sd (over subjects, n - 1), low and high (percentile bootstrap of the
        mean, 9,999 resamples, seeded), n_subjects, n_splits, seconds (mean of a
        split's), leak.  Where the table has a column ``seed``, before n_subjects also
        sd_seeds (over seeds, n - 1, of the mean over subjects; NaN for one seed) and
        n_seeds.  NaN scores do not count.

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
    for columns, group in scores_of_groups(table, metric, unit):
        values = subject_means(group).dropna().to_numpy()
        low, high = _interval(values, confidence)
        leaks = group["leak"].unique() if "leak" in group else ()
        runs = ["seed", "split"] if "seed" in group else ["split"]
        rows.append(
            {
                **columns,
                "mean": values.mean() if len(values) else np.nan,
                "sd": values.std(ddof=1) if len(values) > 1 else np.nan,
                "low": low,
                "high": high,
                **_spread_over_seeds(group),
                "n_subjects": len(values),
                "n_splits": group["split"].nunique(),
                "seconds": group.groupby(runs, dropna=False)["seconds"].first().mean(),
                "leak": ", ".join(sorted(filter(None, leaks))),
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

    A subject's scores in several splits, and with several seeds, are averaged first.

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
        Confidence of the intervals.

    Returns
    -------
    DataFrame
        One row for each other method: difference (its mean minus the reference's),
        low and high (bootstrap over subjects), n_better and n_worse (subjects; where
        less is better, as with log loss, those with less are better), n_subjects, p
        (Wilcoxon's signed-rank test, two-sided; 1 if no subject differs) and p_holm
        (Holm's correction for the number of methods that are compared with the
        reference).

    Raises
    ------
    ValueError
        If the table does not have the method.

    References
    ----------
    Holm S (1979). A simple sequentially rejective multiple test procedure.
    Scandinavian Journal of Statistics 6, 65-70.
    Demsar J (2006). Statistical comparisons of classifiers over multiple data sets.
    Journal of Machine Learning Research 7, 1-30.
    """
    check_number(confidence, "confidence", above=0, below=1)
    groups = [
        (columns, subject_means(group))
        for columns, group in scores_of_groups(table, metric, unit)
    ]
    methods = list(dict.fromkeys(columns["method"] for columns, _ in groups))
    if reference not in methods:
        raise ValueError(
            f"There is no method {reference!r}; the table has {list_some(methods)}."
        )
    # Methods are compared within one dataset, protocol, ...
    context = [name for name in groups[0][0] if name != "method"]
    references = {
        _values(columns, context): scores
        for columns, scores in groups
        if columns["method"] == reference
    }
    rows = []
    for columns, scores in groups:
        if (
            columns["method"] == reference
            or _values(columns, context) not in references
        ):
            continue
        difference = scores - references[_values(columns, context)]
        rows.append(
            {**columns, "reference": reference}
            | _compare_subjects(difference.dropna().to_numpy(), confidence, metric)
        )
    result = pd.DataFrame(rows)
    if rows:
        tested = result[~result["method"].isin(BASELINES)]
        families = tested.groupby(
            context or np.zeros(len(tested)), sort=False, dropna=False
        )
        result["p_holm"] = families["p"].transform(_holm)
    return result


def _values(columns, names):
    """Return values of columns for a dict, in which NaN would not equal NaN."""
    return tuple(None if pd.isna(columns[name]) else columns[name] for name in names)


def _compare_subjects(difference, confidence, metric):
    """Return the results of `compare` for the differences of subjects."""
    low, high = _interval(difference, confidence)
    gain = -difference if metric in ERRORS else difference
    return {
        "difference": difference.mean() if len(difference) else np.nan,
        "low": low,
        "high": high,
        "n_better": int((gain > 0).sum()),
        "n_worse": int((gain < 0).sum()),
        "n_subjects": len(difference),
        "p": _wilcoxon(difference),
    }


def scores_of_groups(table, metric, unit):
    """Yield the columns that tell each group of scores apart, and its rows."""
    if not isinstance(table, pd.DataFrame) or "metric" not in table:
        raise TypeError(
            f"table must be a DataFrame of scores, got {type(table).__name__}. (With "
            "return_predictions=True the scores are the first of two tables.)"
        )
    # From a file, an empty text comes back as NaN.
    for name in {"leak", "sources"} & set(table):
        table = table.assign(**{name: table[name].astype(object).fillna("")})
    check_option(metric, (*METRICS, *RATING_METRICS), "metric")
    check_option(unit, ("window", "trial"), "unit")
    chosen = table[(table["metric"] == metric) & (table["unit"] == unit)]
    found = dict.fromkeys(table["metric"])
    if len(table) and metric not in found:
        raise ValueError(
            f"The table has no metric {metric!r}; it has {list_some(found)}."
        )
    if not len(chosen):
        raise ValueError(
            f"The table has no scores of unit {unit!r}"
            + (": the trials are not known." if unit == "trial" else ".")
        )
    keys = [name for name in chosen.columns if name not in _NOT_A_GROUP]
    keys = [name for name in keys if name != "method"] + ["method"]
    reserved = [name for name in keys if name in _RESULTS]
    if reserved:
        raise ValueError(
            f"Your own columns may not be called {list_some(reserved)}, as results "
            "are; rename them."
        )
    for values, group in chosen.groupby(keys, sort=False, dropna=False):
        yield dict(zip(keys, values, strict=True)), group


def subject_means(group):
    """Return the mean score of each subject of a group, over splits, then seeds."""
    if "seed" in group:
        keys = ["dataset", "subject", "seed"]
        values = group.groupby(keys, dropna=False)["value"].mean()
        return values.groupby(["dataset", "subject"]).mean()
    return group.groupby(["dataset", "subject"])["value"].mean()


def seed_means(group):
    """Return the mean over subjects of a group's scores with each seed, an array."""
    seeds = group.groupby("seed", dropna=False) if "seed" in group else [(0, group)]
    return np.array([subject_means(part).mean() for _, part in seeds])


def _spread_over_seeds(group):
    """Return the columns of a summary about seeds; none if the table has no seeds."""
    if "seed" not in group:
        return {}
    means = seed_means(group)
    means = means[~np.isnan(means)]
    spread = means.std(ddof=1) if len(means) > 1 else np.nan
    return {"sd_seeds": spread, "n_seeds": len(means)}


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
    return float(wilcoxon(difference).pvalue) if difference.any() else 1.0


def _holm(p):
    """Correct p-values for their number."""
    p = p.sort_values()
    return (p * np.arange(len(p), 0, -1)).cummax().clip(upper=1)
