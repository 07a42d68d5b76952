"""Losses of a pre-training by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._drawing import COLORS, several_axes
from .._validation import list_some

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from ..encoder._estimator import MDJPTEncoder

_PANELS = {
    "isa": "ISA loss (nats)",
    "cda": "CDA loss",
    "total": "total loss",
}


def plot_history(
    history: MDJPTEncoder | pd.DataFrame,
    *,
    guessing: float | None = None,
    axes: Sequence[Axes] | np.ndarray | None = None,
) -> np.ndarray:
    """Draw the losses of a pre-training by epoch.

    Parameters
    ----------
    history : MDJPTEncoder or DataFrame
        A fitted encoder, or its ``history_``.
    guessing : float, default=None
        ISA loss of projections that tell nothing, as
        `sklearn_mdjpt.inspection.isa_of_guessing` computes it from the training
        windows (the history does not say it); a dashed line.
    axes : array-like of 3 matplotlib Axes, default=None
        Where to draw; None makes a figure.

    Returns
    -------
    ndarray of 3 matplotlib Axes
        ISA (summed over datasets), CDA, and the weighted total.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If there is no epoch in it: the encoder was not trained.
    ImportError
        Without matplotlib.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_mdjpt.plotting import plot_history
    >>> history = pd.DataFrame(
    ...     {"isa": [4.0, 3.5], "cda": [2.0, 1.0], "total": [4.04, 3.52]}, index=[1, 2])
    >>> [ax.get_ylabel() for ax in plot_history(history, guessing=4.2)]
    ['ISA loss (nats)', 'CDA loss', 'total loss']
    """
    history = getattr(history, "history_", history)
    if not isinstance(history, pd.DataFrame) or not set(_PANELS) <= set(history):
        found = list_some(history) if isinstance(history, pd.DataFrame) else history
        raise TypeError(
            "history must be a fitted MDJPTEncoder or its history_, with columns "
            f"{', '.join(_PANELS)}; got {found!r}."
        )
    if not len(history):
        raise ValueError("The history has no epoch: the encoder was not trained.")
    axes = several_axes(axes, 1, 3, (3.1, 2.8))[0]
    epochs = np.asarray(history.index, dtype=float)
    for ax, (name, label), color in zip(axes, _PANELS.items(), COLORS, strict=False):
        marker = "o" if len(history) <= 30 else None
        ax.plot(epochs, history[name], marker=marker, markersize=4, color=color)
        ax.set_xlabel("epoch")
        ax.set_ylabel(label)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.spines[["top", "right"]].set_visible(False)
    if guessing is not None:
        axes[0].axhline(guessing, color="k", linestyle="--", linewidth=1)
        axes[0].annotate(
            "guessing", (1.0, guessing), xycoords=("axes fraction", "data"),
            xytext=(0, 2), textcoords="offset points", ha="right", va="bottom",
            fontsize=9,
        )  # fmt: skip
        low, high = axes[0].get_ylim()
        axes[0].set_ylim(low, max(high, guessing + 0.1 * (guessing - low)))
    return axes
