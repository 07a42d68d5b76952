"""Windows in two dimensions, coloured by what they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from .._drawing import COLORS, MARKERS, pyplot, several_axes
from .._validation import check_option
from ..inspection import Embedding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes


_MOST_NAMED = 12


def plot_embedding(
    embedding: Embedding,
    *,
    by: Sequence[Literal["dataset", "subject", "label"]] = (
        "dataset",
        "subject",
        "label",
    ),
    axes: Sequence[Axes] | np.ndarray | None = None,
) -> np.ndarray:
    """Draw features in two dimensions, once for each kind of group.

    Parameters
    ----------
    embedding : Embedding
        Of `sklearn_mdjpt.inspection.embed`.
    by : sequence of {"dataset", "subject", "label"}, \
default=("dataset", "subject", "label")
        What to colour by, a panel each.
    axes : array-like of matplotlib Axes, default=None
        One for each panel; None makes a figure.

    Returns
    -------
    ndarray of matplotlib Axes, shape (n_panels,)
        Titles hold the silhouette among all features.  More than 12 groups share a
        colour scale and are not named.

    Raises
    ------
    TypeError
        If it is no `Embedding`.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> from sklearn_mdjpt import DifferentialEntropy
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.inspection import embed
    >>> from sklearn_mdjpt.plotting import plot_embedding
    >>> X = make_emotion_windows(1, n_subjects=3, n_stimuli=3, random_state=0)
    >>> axes = plot_embedding(embed(DifferentialEntropy().fit_transform(X), X))
    >>> axes[0].get_title()
    'dataset (only one)'
    """
    if not isinstance(embedding, Embedding):
        raise TypeError(
            "embedding must be what inspection.embed returns, got "
            f"{type(embedding).__name__}."
        )
    by = (by,) if isinstance(by, str) else tuple(by)
    for name in by:
        check_option(name, ("dataset", "subject", "label"), "by")
    axes = several_axes(axes, 1, len(by), (3.5, 4.2))[0]
    table = embedding.table
    # Windows lie in the order of datasets: the last would cover the others.
    order = np.random.default_rng(0).permutation(len(table))
    size = float(np.clip(4000 / len(table), 6, 25))
    for ax, name in zip(axes, by, strict=True):
        groups = list(dict.fromkeys(table[name].dropna()))
        colors, markers = _looks(groups)
        for k, group in enumerate(groups):
            color, marker = colors[k], markers[k]
            ax.scatter([], [], s=25, color=color, marker=marker, label=str(group))
        _scatter(ax, table.iloc[order], name, groups, colors, markers, size)
        score = embedding.silhouettes[name]
        value = f"silhouette {score:.2f}"
        if np.isnan(score):
            value = "only one" if len(groups) == 1 else "not known"
        ax.set_title(f"{name} ({value})", fontsize=10)
        if 0 < len(groups) <= _MOST_NAMED:
            ax.legend(
                loc="upper center", bbox_to_anchor=(0.5, -0.09), frameon=False,
                fontsize=8, ncols=2 if max(map(len, map(str, groups))) < 14 else 1,
                handletextpad=0.2, columnspacing=1.0,
            )  # fmt: skip
        elif groups:
            ax.annotate(
                f"{len(groups)} {name}s", (0.5, -0.12), xycoords="axes fraction",
                ha="center", va="top", fontsize=8,
            )  # fmt: skip
        _name_axes(ax, embedding)
    return axes


def _looks(groups):
    """Return colour and marker of each group; many share a scale of colours."""
    if len(groups) <= _MOST_NAMED:
        # Colours that come a second time have another marker.
        places = range(len(groups))
        n = len(COLORS)
        return (
            [COLORS[k % n] for k in places],
            [MARKERS[(k + k // n) % n] for k in places],
        )
    scale = pyplot().get_cmap("cividis")
    return [scale(x) for x in np.linspace(0, 1, len(groups))], "o" * len(groups)


def _scatter(ax, table, name, groups, colors, markers, size):
    codes = pd.Index(groups).get_indexer(table[name])
    for marker in dict.fromkeys(markers):
        mine = np.array([k >= 0 and markers[k] == marker for k in codes])
        ax.scatter(
            table["x"][mine], table["y"][mine], s=size, marker=marker,
            c=[colors[k] for k in codes[mine]], alpha=0.7, linewidths=0,
        )  # fmt: skip
    unknown = codes < 0
    if unknown.any():
        ax.scatter(table["x"][unknown], table["y"][unknown], s=size, c="0.8")


def _name_axes(ax, embedding):
    ax.set_xticks([])
    ax.set_yticks([])
    for k, set_label in enumerate((ax.set_xlabel, ax.set_ylabel)):
        if embedding.explained is None:
            set_label(f"t-SNE {k + 1}")
        else:
            share = 100 * embedding.explained[k]
            set_label(f"component {k + 1} ({share:.0f} % of variance)", fontsize=9)
