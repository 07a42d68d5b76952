"""How far probabilities can be trusted: reliability, and risk against coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._drawing import COLORS, MARKERS, one_axes
from ..evaluation import reliability, risk_coverage
from ..evaluation._figures import error_bars

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def plot_reliability(
    predictions: pd.DataFrame, *, n_bins: int = 10, ax: Axes | None = None
) -> Axes:
    """Draw how often models were right against how sure they were.

    Parameters
    ----------
    predictions : DataFrame
        As for `sklearn_mdjpt.evaluation.reliability`; or the pair (table, predictions)
        that the protocols return.
    n_bins : int, default=10
        Number of bins between 0 and 1.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    matplotlib Axes
        A point for each bin with its 95 % interval over subjects, the larger the more
        windows it has; on the dashed line probabilities are right, below it a model is
        too sure.  The legend has the expected calibration error: the mean distance
        from the line over the windows, in percentage points.

    Raises
    ------
    TypeError, ValueError
        As of `sklearn_mdjpt.evaluation.reliability`.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_mdjpt.plotting import plot_reliability
    >>> predictions = pd.DataFrame({
    ...     "method": "DE", "subject": ["A/1", "A/1", "A/2", "A/2"],
    ...     "label": ["joy", "joy", "joy", "sad"],
    ...     "predicted": ["joy", "joy", "sad", "sad"],
    ...     "score_joy": [0.9, 0.9, 0.3, 0.1], "score_sad": [0.1, 0.1, 0.7, 0.9]})
    >>> plot_reliability(predictions).get_legend_handles_labels()[1]
    ['right probabilities', 'DE (error 25 %)']
    """
    table = reliability(predictions, n_bins=n_bins)
    ax = one_axes(ax, (5.0, 5.0))
    ax.plot([0, 100], [0, 100], "k--", linewidth=1, label="right probabilities")
    for k, (method, rows) in enumerate(table.groupby("method", sort=False)):
        x, y = 100 * rows["confidence"], 100 * rows["accuracy"]
        error = float((rows["share"] * (x - y).abs()).sum())
        color = COLORS[k % len(COLORS)]
        ax.errorbar(
            x, y, yerr=100 * error_bars(rows, "accuracy"), color=color, capsize=3,
            linewidth=1.2, label=f"{method} (error {error:.2g} %)",
        )  # fmt: skip
        ax.scatter(
            x, y, s=10 + 200 * rows["share"], color=color, zorder=3,
            marker=MARKERS[k % len(MARKERS)],
        )  # fmt: skip
    ax.set_xlim(0, 102)
    ax.set_ylim(-2, 102)
    ax.set_xlabel("probability of the predicted class (%)")
    ax.set_ylabel("windows in which it is right (%)")
    _finish(ax)
    return ax


def plot_risk_coverage(predictions: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the share of errors against the share of windows that models answer.

    Parameters
    ----------
    predictions : DataFrame
        As for `sklearn_mdjpt.evaluation.risk_coverage`; or the pair (table,
        predictions) that the protocols return.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    matplotlib Axes
        A line for each method with a band, the 95 % interval over subjects.  A line
        that does not fall to the left has probabilities that say nothing about errors.

    Raises
    ------
    TypeError, ValueError
        As of `sklearn_mdjpt.evaluation.risk_coverage`.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_mdjpt.plotting import plot_risk_coverage
    >>> predictions = pd.DataFrame({
    ...     "method": "DE", "subject": ["A/1", "A/1", "A/2", "A/2"],
    ...     "label": ["joy", "joy", "joy", "sad"],
    ...     "predicted": ["joy", "joy", "sad", "sad"],
    ...     "score_joy": [0.9, 0.9, 0.3, 0.1], "score_sad": [0.1, 0.1, 0.7, 0.9]})
    >>> plot_risk_coverage(predictions).get_ylabel()
    'errors among them (%)'
    """
    table = risk_coverage(predictions)
    ax = one_axes(ax, (5.5, 4.0))
    for k, (method, rows) in enumerate(table.groupby("method", sort=False)):
        color, x = COLORS[k % len(COLORS)], 100 * rows["coverage"]
        ax.plot(x, 100 * rows["risk"], color=color, label=method)
        ax.fill_between(
            x, 100 * rows["low"], 100 * rows["high"], color=color, alpha=0.15, lw=0
        )
    ax.set_xlim(0, 100)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("windows that are answered (%)")
    ax.set_ylabel("errors among them (%)")
    _finish(ax)
    return ax


def _finish(ax):
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), frameon=False, fontsize=9
    )  # above the axes, where no curve or interval is covered
