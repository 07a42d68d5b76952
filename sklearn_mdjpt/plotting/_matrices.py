"""Matrices as images: confusions, distances, correlations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from .._drawing import DIVERGING, SEQUENTIAL, several_axes
from ..inspection import confusion_matrices, map_correlations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_MAX_NUMBERS = 10  # groups, up to which the numbers fit into the cells


def plot_confusion(
    predictions: pd.DataFrame,
    *,
    average: Literal["subject", "pooled"] = "subject",
    axes: Sequence[Axes] | np.ndarray | None = None,
) -> np.ndarray:
    """Draw the confusion matrix of each method.

    Parameters
    ----------
    predictions : DataFrame
        As for `sklearn_mdjpt.inspection.confusion_matrices`; or the pair (table,
        predictions) that the protocols return.
    average : {"subject", "pooled"}, default="subject"
        Whether each subject counts alike, or each window.
    axes : array-like of matplotlib Axes, default=None
        One for each method; None makes a figure.

    Returns
    -------
    ndarray of matplotlib Axes, shape (n_methods,)
        Rows of a matrix add up to 100 %; the title says how it was averaged.

    Raises
    ------
    TypeError, ValueError
        As of `sklearn_mdjpt.inspection.confusion_matrices`.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_mdjpt.plotting import plot_confusion
    >>> predictions = pd.DataFrame({
    ...     "method": "DE", "dataset": "A", "subject": ["A/1", "A/1", "A/2", "A/2"],
    ...     "label": ["joy", "joy", "joy", "sad"],
    ...     "predicted": ["joy", "joy", "sad", "sad"]})
    >>> axes = plot_confusion(predictions)
    >>> axes[0].get_xlabel(), axes[0].get_ylabel()
    ('predicted', 'true')
    """
    from sklearn.metrics import ConfusionMatrixDisplay

    matrices = confusion_matrices(predictions, average=average)
    how = "mean of subjects" if average == "subject" else "windows pooled"
    n_classes = max(map(len, matrices.values()))
    side = 2.2 + 0.35 * n_classes
    axes = several_axes(axes, 1, len(matrices), (side, side))[0]
    for ax, (method, matrix) in zip(axes, matrices.items(), strict=True):
        display = ConfusionMatrixDisplay(
            100 * matrix.to_numpy(), display_labels=list(matrix.columns)
        )
        display.plot(
            ax=ax, cmap="Blues", colorbar=False, values_format=".0f",
            im_kw={"vmin": 0, "vmax": 100}, text_kw={"fontsize": 9},
        )  # fmt: skip
        _turn_long_labels(ax, matrix.columns)
        ax.set_xlabel("predicted")
        ax.set_ylabel("true")
        ax.set_title(f"{method}\n(% of a true class, {how})", fontsize=9)
    return axes


def plot_covariance_distances(
    distances: pd.DataFrame | dict[str, pd.DataFrame],
    *,
    axes: Sequence[Axes] | np.ndarray | None = None,
) -> np.ndarray:
    """Draw distances between datasets' (or subjects') mean covariances.

    Parameters
    ----------
    distances : DataFrame or dict of str to DataFrame
        Of `sklearn_mdjpt.inspection.covariance_distances`, or ``pairs`` of
        `sklearn_mdjpt.covariance_distance`; several, by name, to compare: such as
        ``{"before": ..., "after": ...}``.  They share one scale, hence one measure.
    axes : array-like of matplotlib Axes, default=None
        One for each matrix; None makes a figure.

    Returns
    -------
    ndarray of matplotlib Axes, shape (n_matrices,)
        Titles hold the mean distance of two groups.

    Raises
    ------
    TypeError
        If it is no square DataFrame.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_mdjpt.plotting import plot_covariance_distances
    >>> pairs = pd.DataFrame([[0, 0.2], [0.2, 0]], ["A", "B"], ["A", "B"])
    >>> axes = plot_covariance_distances({"before": pairs, "after": pairs / 2})
    >>> [ax.get_title() for ax in axes]
    ['before (mean 0.2)', 'after (mean 0.1)']
    """
    several = distances if isinstance(distances, dict) else {"": distances}
    for matrix in several.values():
        if not isinstance(matrix, pd.DataFrame) or matrix.shape[0] != matrix.shape[1]:
            raise TypeError(
                "distances must be a square DataFrame, or a dict of these, got "
                f"{type(matrix).__name__} in {type(distances).__name__}."
            )
    side = 2.0 + 0.42 * min(max(map(len, several.values())), 12)
    axes = several_axes(axes, 1, len(several), (side + 0.3, side))[0]
    largest = max(np.nanmax(matrix.to_numpy()) for matrix in several.values())
    for ax, (name, matrix) in zip(axes, several.items(), strict=True):
        image = _draw(ax, matrix, SEQUENTIAL, 0, largest)
        apart = matrix.to_numpy()[~np.eye(len(matrix), dtype=bool)]
        mean = f"mean {apart.mean():.2g}" if len(apart) else ""
        ax.set_title(f"{name} ({mean})" if name else mean, fontsize=10)
    axes[0].figure.colorbar(image, ax=list(axes), label="distance of covariances")
    return axes


def plot_map_correlations(maps: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the correlations of topographies across datasets.

    Parameters
    ----------
    maps : DataFrame of shape (n_maps, n_channels)
        As for `sklearn_mdjpt.inspection.map_correlations`: such as the mean
        attributions of each emotion and dataset.
    ax : matplotlib Axes, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    matplotlib Axes
        Blocks are maps of one emotion (the first level of the index).

    Raises
    ------
    TypeError
        If it is no DataFrame.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_mdjpt.plotting import plot_map_correlations
    >>> index = pd.MultiIndex.from_product([["joy", "sad"], ["A", "B"]])
    >>> maps = pd.DataFrame([[1, 2, 3], [1, 2, 4], [3, 2, 1], [3, 1, 1]], index=index)
    >>> ax = plot_map_correlations(maps)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['joy, A', 'joy, B', 'sad, A', 'sad, B']
    """
    matrix = map_correlations(maps)
    first = matrix.index.get_level_values(0)
    # Maps of one emotion side by side, however they were joined.
    order = np.argsort(pd.factorize(first)[0], kind="stable")
    matrix, first = matrix.iloc[order, order], first[order]
    side = 2.2 + 0.42 * min(len(matrix), 14)
    axes = None if ax is None else [ax]
    ax = several_axes(axes, 1, 1, (side + 0.8, side))[0, 0]
    image = _draw(ax, matrix, DIVERGING, -1, 1)
    if matrix.index.nlevels > 1:
        for place in np.flatnonzero(first[1:] != first[:-1]) + 0.5:
            ax.axhline(place, color="k", linewidth=1.2)
            ax.axvline(place, color="k", linewidth=1.2)
    ax.figure.colorbar(image, ax=ax, label="correlation over channels")
    return ax


def row_names(index):
    """Return one text for each entry of an index, levels joined by a comma."""
    return [
        ", ".join(map(str, entry)) if isinstance(entry, tuple) else str(entry)
        for entry in index
    ]


def _draw(ax, matrix, cmap, low, high):
    values, names = matrix.to_numpy(float), row_names(matrix.index)
    image = ax.imshow(values, cmap=cmap, vmin=low, vmax=high or 1)
    step = max(1, -(-len(names) // 25))  # of many names those that fit
    ticks = range(0, len(names), step)
    ax.set_xticks(ticks, [names[k] for k in ticks], fontsize=8)
    ax.set_yticks(ticks, [names[k] for k in ticks], fontsize=8)
    _turn_long_labels(ax, names)
    if len(names) <= _MAX_NUMBERS:
        for (i, j), value in np.ndenumerate(values):
            red, green, blue, _ = image.cmap(image.norm(value))
            dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
            ax.text(
                j, i, f"{value:.2f}", ha="center", va="center", fontsize=8,
                color="white" if dark else "black",
            )  # fmt: skip
    return image


def _turn_long_labels(ax, names):
    if max(len(str(name)) for name in names) > 4:
        for label in ax.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
