"""Figures of scores: by subject, by number of source datasets, and of ablations."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from .._drawing import COLORS, MARKERS, one_axes
from ._summary import compare, scores_of_groups, subject_means, summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BASELINES = ("chance", "majority")


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
        is chance.  Methods that leak are marked.

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
    means, groups, names = _named_groups(table, metric, unit)
    kept = [i for i, (about, _) in enumerate(groups) if _is_method(about)]
    names = [names[i] for i in kept]
    ax = one_axes(ax, (7.0, _height(names)))
    rng = np.random.default_rng(0)
    for place, i in enumerate(kept):
        values = groups[i][1]
        row = means.iloc[i]
        jitter = rng.uniform(-0.13, 0.13, len(values))
        ax.plot(100 * values, place + jitter, "o", color="0.72", markersize=4, mew=0)
        ax.errorbar(
            100 * row["mean"], place, xerr=_bars(row, row["mean"]), fmt="s",
            color=COLORS[1] if row["leak"] else COLORS[0], capsize=4, markersize=6,
        )  # fmt: skip
    chance = means.loc[means["method"] == "chance", "mean"]
    if len(chance):
        ax.axvline(100 * chance.mean(), color="k", linestyle="--", linewidth=1)
        ax.annotate(
            "chance", (100 * chance.mean(), 1.0), xycoords=("data", "axes fraction"),
            xytext=(0, 2), textcoords="offset points", ha="center", va="bottom",
            fontsize=8,
        )  # fmt: skip
    _name_rows(ax, names)
    ax.set_xlabel(f"{_spaced(metric)} of a subject's {unit}s (%)")
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
        As of `sklearn_mdjpt.evaluation.compare`; nothing to compare with.
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
    differences = compare(table, reference, metric=metric, unit=unit)
    means = summary(table, metric=metric, unit=unit)
    own = means[means["method"] == reference]["mean"]
    if len(differences):
        differences = differences[~differences["method"].isin(_BASELINES)]
    if not len(differences):
        raise ValueError(f"There is no method to compare with {reference!r}.")
    names = _labels(differences.to_dict("records"), list(_context(differences)))
    ax = one_axes(ax, (7.0, _height(names) + 0.25))
    ax.axvline(0, color="k", linewidth=1)
    for place, (_, row) in enumerate(differences.iterrows()):
        ax.errorbar(
            100 * row["difference"], place, xerr=_bars(row, row["difference"]),
            fmt="s", color=COLORS[0], capsize=4, markersize=6,
        )  # fmt: skip
    _name_rows(ax, names)
    ax.set_xlabel(f"difference of {_spaced(metric)} (percentage points)")
    n = int(differences["n_subjects"].max())
    if len(own) == 1:
        title = f"compared with {reference!r} ({100 * own.iloc[0]:.1f} %), {n} subjects"
    else:
        title = f"compared with {reference!r}"
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
        As of `sklearn_mdjpt.evaluation.summary`; a table without ``n_sources``.
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
    means, groups, _ = _named_groups(table, metric, unit)
    if "n_sources" not in means:
        raise ValueError(
            "The table has no column n_sources: expected that of evaluation.scaling."
        )
    abouts = [about for about, _ in groups]
    varying = [k for k in _varying(abouts) if k != "n_sources"]
    names = np.array(_labels(abouts, varying), dtype=object)
    kept = ~means["method"].isin(_BASELINES).to_numpy()
    ax = one_axes(ax, (5.5, 4.0))
    lines = list(dict.fromkeys(names[kept]))
    # Beside each other, so that intervals do not cover each other.
    shifts = 0.06 * (np.arange(len(lines)) - (len(lines) - 1) / 2)
    for k, (name, shift) in enumerate(zip(lines, shifts, strict=True)):
        rows = means[kept & (names == name)].sort_values("n_sources")
        bars = np.concatenate(
            [_bars(row, row["mean"]) for _, row in rows.iterrows()], 1
        )
        ax.errorbar(
            rows["n_sources"] + shift, 100 * rows["mean"], yerr=bars, capsize=3,
            marker=MARKERS[k % len(MARKERS)], color=COLORS[k % len(COLORS)],
            label=name,
        )  # fmt: skip
    chance = means.loc[means["method"] == "chance", "mean"]
    if len(chance):
        ax.axhline(
            100 * chance.mean(), color="k", linestyle="--", linewidth=1, label="chance"
        )
    ax.set_xticks(sorted(set(means["n_sources"][kept])))
    ax.set_xlabel("source datasets")
    ax.set_ylabel(f"{_spaced(metric)} by {unit} (%)")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=9,
        ncols=min(3, 1 + len(lines)) if max(map(len, lines)) < 20 else 1,
    )  # fmt: skip
    return ax


def _named_groups(table, metric, unit):
    """Return the summary, values by subject of each of its rows, and their names."""
    means = summary(table, metric=metric, unit=unit)
    groups = [
        (about, subject_means(group).dropna().to_numpy())
        for about, group in scores_of_groups(table, metric, unit)
    ]
    abouts = [about for about, _ in groups]
    names = _labels(abouts, _varying(abouts), means["leak"])
    return means, groups, names


def _is_method(about):
    return about["method"] not in _BASELINES


def _varying(abouts):
    """Return what tells rows apart, beside their method."""
    return [
        k for k in abouts[0]
        if k != "method" and len({str(about.get(k)) for about in abouts}) > 1
    ]  # fmt: skip


def _context(differences):
    """Return columns of a comparison that tell its rows apart, beside their method."""
    columns = list(differences)
    before = columns[: columns.index("reference")]
    return _varying(differences[before].to_dict("records"))


def _labels(abouts, varying, leaks=None):
    """Name rows of a picture by what tells them from others."""
    leaks = [""] * len(abouts) if leaks is None else leaks
    names = []
    for about, leak in zip(abouts, leaks, strict=True):
        parts = [about["method"]]
        for name in varying:
            value = about.get(name)
            if not pd.isna(value):
                plain = name in ("protocol", "dataset")
                parts.append(str(value) if plain else f"{_spaced(name)} {value}")
        text = textwrap.fill(", ".join(parts), 32)
        names.append(f"{text}\n(leak: {leak})" if leak else text)
    return names


def _bars(row, value):
    """Lengths of an error bar in percent, (2, 1); 0 where there is no interval."""
    bars = 100 * np.array([[value - row["low"]], [row["high"] - value]], dtype=float)
    return np.nan_to_num(bars).clip(min=0)


def _height(names):
    lines = sum(1 + name.count("\n") for name in names)
    return 1.3 + 0.22 * (len(names) + lines)


def _name_rows(ax, names):
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)


def _spaced(name):
    return name.replace("_", " ")
