"""Figures of scores: by subject, by number of source datasets, and of ablations."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from .._drawing import COLORS, MARKERS, one_axes
from ._scores import SHARES
from ._summary import (
    BASELINES,
    compare,
    scores_of_groups,
    seed_means,
    subject_means,
    summary,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_scores(
    table: pd.DataFrame,
    *,
    metric: str = "balanced_accuracy",
    unit: Literal["window", "trial"] = "window",
    ax: Axes | None = None,
) -> Axes:
    """Draw the score of each subject and the mean of each method with its interval.

    Parameters
    ----------
    table : DataFrame
        As for `sklearn_mdjpt.evaluation.summary`.
    metric : str, default="balanced_accuracy"
        As for `sklearn_mdjpt.evaluation.summary`.
    unit : {"window", "trial"}, default="window"
        As for `sklearn_mdjpt.evaluation.summary`.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    matplotlib Axes
        A grey dot is a subject, a square a mean with its 95 % interval; the dashed line
        is chance.  Small lines below a square are the means of single seeds.  Methods
        that leak are marked.

    Raises
    ------
    TypeError, ValueError
        As of `sklearn_mdjpt.evaluation.summary`.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_mdjpt import DifferentialEntropy
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.evaluation import leave_subjects_out
    >>> from sklearn_mdjpt.plotting import plot_scores
    >>> X = make_emotion_windows(1, n_subjects=3, n_stimuli=3, random_state=0)
    >>> model = make_pipeline(DifferentialEntropy(), LogisticRegression(max_iter=5000))
    >>> ax = plot_scores(leave_subjects_out({"DE": model}, X))
    >>> ax.get_xlabel()
    "balanced accuracy of a subject's windows (%)"
    """
    factor, sign = _units(metric)
    means = _scaled(summary(table, metric=metric, unit=unit), factor)
    means["label"] = _label_rows(means, "mean")
    groups = [group for _, group in scores_of_groups(table, metric, unit)]
    means["subjects"] = [
        factor * subject_means(group).dropna().to_numpy() for group in groups
    ]
    means["seeds"] = [factor * seed_means(group) for group in groups]
    rows = means[~means["method"].isin(BASELINES)]
    ax = one_axes(ax, (7.0, _height(rows["label"])))
    rng = np.random.default_rng(0)
    for height, values in enumerate(rows["subjects"]):
        heights = height + rng.uniform(-0.13, 0.13, len(values))
        ax.plot(values, heights, "o", color="0.72", markersize=4, mew=0)
    for height, values in enumerate(rows["seeds"]):
        if len(values) > 1:
            ax.plot(values, np.full(len(values), height + 0.25), "|", color="k")
    _draw_intervals(ax, rows, "mean", np.where(rows["leak"], COLORS[1], COLORS[0]))
    chance = means.loc[means["method"] == "chance", "mean"]
    if len(chance):
        ax.axvline(chance.mean(), color="k", linestyle="--", linewidth=1)
        ax.annotate(
            "chance", (chance.mean(), 1.0), xycoords=("data", "axes fraction"),
            xytext=(0, 2), textcoords="offset points", ha="center", va="bottom",
            fontsize=8,
        )  # fmt: skip
    ax.set_xlabel(f"{_spaced(metric)} of a subject's {unit}s{sign}")
    return ax


def plot_ablation(
    table: pd.DataFrame,
    *,
    reference: str = "full",
    metric: str = "balanced_accuracy",
    unit: Literal["window", "trial"] = "window",
    ax: Axes | None = None,
) -> Axes:
    """Draw how the score changes with each change to the encoder.

    Parameters
    ----------
    table : DataFrame
        Of `sklearn_mdjpt.evaluation.ablation`; or any table of scores.
    reference : str, default="full"
        The method that the others are compared with.
    metric : str, default="balanced_accuracy"
        As for `sklearn_mdjpt.evaluation.compare`.
    unit : {"window", "trial"}, default="window"
        As for `sklearn_mdjpt.evaluation.compare`.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    matplotlib Axes
        For each variant the mean difference from the reference over subjects, with its
        95 % interval, in percentage points; the reference's own score is in the title.

    Raises
    ------
    TypeError, ValueError
        As of `sklearn_mdjpt.evaluation.compare`, or if there is no other method.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_mdjpt.plotting import plot_ablation
    >>> rows = [(m, s, v) for m, v in [("full", 0.6), ("without CDA", 0.5)]
    ...         for s in ("A/1", "A/2")]
    >>> table = pd.DataFrame(rows, columns=["method", "subject", "value"]).assign(
    ...     dataset="A", split=0, unit="window", metric="balanced_accuracy",
    ...     leak="", seconds=1.0)
    >>> ax = plot_ablation(table)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['without CDA']
    """
    factor, sign = _units(metric)
    differences = _scaled(compare(table, reference, metric=metric, unit=unit), factor)
    means = _scaled(summary(table, metric=metric, unit=unit), factor)
    if len(differences):
        differences = differences[~differences["method"].isin(BASELINES)]
    if not len(differences):
        raise ValueError(f"There is no method to compare with {reference!r}.")
    rows = differences.assign(label=_label_rows(differences, "reference"))
    ax = one_axes(ax, (7.0, _height(rows["label"]) + 0.25))
    ax.axvline(0, color="k", linewidth=1)
    _draw_intervals(ax, rows, "difference", [COLORS[0]] * len(rows))
    points = " (percentage points)" if sign else ""
    ax.set_xlabel(f"difference of {_spaced(metric)}{points}")
    title = f"compared with {reference!r}"
    own = means.loc[means["method"] == reference, "mean"]
    if len(own) == 1:
        n = int(rows["n_subjects"].max())
        score = f"{own.iloc[0]:.1f} %" if sign else f"{own.iloc[0]:.2f}"
        title += f" ({score}), {n} subjects"
    ax.set_title(title, fontsize=10)
    return ax


def plot_scaling(
    table: pd.DataFrame,
    *,
    metric: str = "balanced_accuracy",
    unit: Literal["window", "trial"] = "window",
    ax: Axes | None = None,
) -> Axes:
    """Draw the score against the number of datasets that encoders were trained on.

    Parameters
    ----------
    table : DataFrame
        Of `sklearn_mdjpt.evaluation.scaling`.
    metric : str, default="balanced_accuracy"
        As for `sklearn_mdjpt.evaluation.summary`.
    unit : {"window", "trial"}, default="window"
        As for `sklearn_mdjpt.evaluation.summary`.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    matplotlib Axes
        Means over subjects (of the mean over subsets of a size) with 95 % intervals;
        the dashed line is chance.

    Raises
    ------
    TypeError, ValueError
        As of `sklearn_mdjpt.evaluation.summary`, or if ``n_sources`` is missing.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_mdjpt.plotting import plot_scaling
    >>> rows = [(n, s, 0.5 + 0.1 * n) for n in (1, 2) for s in ("A/1", "A/2")]
    >>> table = pd.DataFrame(rows, columns=["n_sources", "subject", "value"]).assign(
    ...     method="mdJPT", dataset="A", split=0, unit="window",
    ...     metric="balanced_accuracy", leak="", seconds=1.0)
    >>> plot_scaling(table).get_xlabel()
    'source datasets'
    """
    factor, sign = _units(metric)
    means = _scaled(summary(table, metric=metric, unit=unit), factor)
    if "n_sources" not in means:
        raise ValueError(
            "The table has no column n_sources: expected that of evaluation.scaling."
        )
    means["label"] = _label_rows(means.drop(columns=["n_sources", "leak"]), "mean")
    rows = means[~means["method"].isin(BASELINES)].sort_values("n_sources")
    ax = one_axes(ax, (5.5, 4.0))
    _draw_lines(ax, rows, rows["n_sources"])
    _finish_lines(ax, means, f"{_spaced(metric)} by {unit}{sign}")
    ax.set_xticks(sorted(set(rows["n_sources"])))
    ax.set_xlabel("source datasets")
    return ax


def plot_calibration(
    table: pd.DataFrame,
    *,
    metric: str = "balanced_accuracy",
    unit: Literal["window", "trial"] = "window",
    ax: Axes | None = None,
) -> Axes:
    """Draw the score against the minutes that models were calibrated to.

    Parameters
    ----------
    table : DataFrame
        Of `sklearn_mdjpt.evaluation.calibration`.
    metric : str, default="balanced_accuracy"
        As for `sklearn_mdjpt.evaluation.summary`.
    unit : {"window", "trial"}, default="window"
        As for `sklearn_mdjpt.evaluation.summary`.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    matplotlib Axes
        Means over subjects with 95 % intervals, a line for each method; the minutes
        stand at equal distances, and the dashed line is chance.

    Raises
    ------
    TypeError, ValueError
        As of `sklearn_mdjpt.evaluation.summary`, or if ``minutes`` are missing.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_mdjpt.plotting import plot_calibration
    >>> rows = [(m, s, 0.5 + 0.1 * m) for m in (0.0, 1.0) for s in ("A/1", "A/2")]
    >>> table = pd.DataFrame(rows, columns=["minutes", "subject", "value"]).assign(
    ...     method="mdJPT", labelled=False, dataset="A", split=0, unit="window",
    ...     metric="balanced_accuracy", leak="", seconds=1.0)
    >>> plot_calibration(table).get_xlabel()
    'minutes of calibration'
    """
    factor, sign = _units(metric)
    means = _scaled(summary(table, metric=metric, unit=unit), factor)
    if "minutes" not in means:
        raise ValueError(
            "The table has no column minutes: expected that of evaluation.calibration."
        )
    if "labelled" in means:
        labelled = means.pop("labelled").map({False: None, True: "used"})
        means.insert(1, "labels", labelled)
    means["label"] = _label_rows(means.drop(columns=["minutes", "leak"]), "mean")
    rows = means[~means["method"].isin(BASELINES)]
    values = sorted(set(rows["minutes"]))
    ax = one_axes(ax, (6.0, 4.0))
    _draw_lines(ax, rows, rows["minutes"].map(values.index))
    _finish_lines(ax, means, f"{_spaced(metric)} by {unit}{sign}")
    labels = ["all" if np.isinf(value) else f"{value:g}" for value in values]
    ax.set_xticks(range(len(values)), labels)
    ax.set_xlabel("minutes of calibration")
    return ax


def _units(metric):
    """Return by what scores are multiplied for a figure, and what is put behind."""
    return (100, " (%)") if metric in SHARES else (1, "")


def _scaled(rows, factor):
    """Return rows of `summary` or `compare` whose scores are multiplied."""
    names = [n for n in ("mean", "difference", "low", "high") if n in rows]
    return rows.assign(**{name: factor * rows[name] for name in names})


def _draw_lines(ax, rows, places):
    """Draw a line of means with intervals for each label."""
    labels = list(dict.fromkeys(rows["label"][sorted(rows.index)]))
    # Lines are shifted, so that intervals do not cover each other.
    shifts = 0.06 * (np.arange(len(labels)) - (len(labels) - 1) / 2)
    for k, (label, shift) in enumerate(zip(labels, shifts, strict=True)):
        line = rows[rows["label"] == label]
        line = line.loc[places[line.index].sort_values().index]
        ax.errorbar(
            places[line.index] + shift, line["mean"], yerr=error_bars(line, "mean"),
            capsize=3, marker=MARKERS[k % len(MARKERS)], color=COLORS[k % len(COLORS)],
            label=label,
        )  # fmt: skip


def _finish_lines(ax, means, ylabel):
    """Add chance, the label of the scores and a legend."""
    chance = means.loc[means["method"] == "chance", "mean"]
    if len(chance):
        ax.axhline(
            chance.mean(), color="k", linestyle="--", linewidth=1, label="chance"
        )
    ax.set_ylabel(ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    labels = ax.get_legend_handles_labels()[1]
    ax.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=9,
        ncols=min(3, len(labels)) if max(map(len, labels)) < 20 else 1,
    )  # fmt: skip


def _label_rows(rows, end):
    """Label rows by method, leak, and the columns before ``end`` that tell them apart.

    Parameters
    ----------
    rows : DataFrame
        As of `summary` or `compare`.
    end : str
        The first column of results.

    Returns
    -------
    list of str
    """
    columns = rows.loc[:, :end].drop(columns=["method", end])
    varying = [name for name in columns if columns[name].nunique(dropna=False) > 1]
    labels = []
    for row in rows.to_dict("records"):
        parts = [row["method"]]
        for name in varying:
            if not pd.isna(row[name]):
                prefix = "" if name in ("protocol", "dataset") else f"{_spaced(name)} "
                parts.append(f"{prefix}{row[name]}")
        label = textwrap.fill(", ".join(parts), 32)
        labels.append(f"{label}\n(leak: {row['leak']})" if row.get("leak") else label)
    return labels


def _draw_intervals(ax, rows, name, colors):
    """Draw a labelled square with an error bar for each row, the first on top."""
    for height, color in enumerate(colors):
        row = rows.iloc[height]
        ax.errorbar(
            row[name], height, xerr=error_bars(row, name), fmt="s", color=color,
            capsize=4, markersize=6,
        )  # fmt: skip
    ax.set_yticks(range(len(rows)), rows["label"])
    ax.set_ylim(len(rows) - 0.5, -0.5)


def error_bars(rows, name):
    """Return lengths of error bars, (2, n); 0 if there is no interval."""
    values = rows[name]
    bars = np.array([values - rows["low"], rows["high"] - values], dtype=float)
    return np.nan_to_num(bars).clip(min=0).reshape(2, -1)


def _height(labels):
    """Return the height in inches of a figure with labels of several lines."""
    lines = sum(1 + label.count("\n") for label in labels)
    return 1.3 + 0.22 * (len(labels) + lines)


def _spaced(name):
    return name.replace("_", " ")
