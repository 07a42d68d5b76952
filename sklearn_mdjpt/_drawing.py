"""What all figures share: matplotlib itself, colours, and axes to draw into."""

import numpy as np

# Okabe and Ito's colours (Color Universal Design), the strong ones first.
COLORS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
    "#f0e442",
)  # fmt: skip
MARKERS = "os^Dvp*X"
SEQUENTIAL = "cividis"
DIVERGING = "RdBu_r"


def pyplot():
    """Return matplotlib.pyplot; raise with the name of the extra if it is missing."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Plotting needs matplotlib: pip install 'sklearn_mdjpt[plot]'."
        ) from error
    return plt


def one_axes(ax, size):
    """Return the given axes, or those of a new figure of a size in inches."""
    plt = pyplot()
    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    return ax


def several_axes(axes, n_rows, n_columns, panel):
    """Return axes for panels: those given, or those of a new figure.

    Parameters
    ----------
    axes : array-like of matplotlib Axes, or None
        As many as there are panels.
    n_rows, n_columns : int
        Panels.
    panel : tuple of float
        Width and height of a panel in inches.

    Returns
    -------
    ndarray of shape (n_rows, n_columns)
    """
    plt = pyplot()
    if axes is None:
        size = (panel[0] * n_columns, panel[1] * n_rows)
        _, axes = plt.subplots(
            n_rows, n_columns, figsize=size, layout="constrained", squeeze=False
        )
    axes = np.array(axes, dtype=object)
    if axes.size != n_rows * n_columns:
        raise ValueError(
            f"axes must be {n_rows * n_columns}, one for each panel, got {axes.size}."
        )
    return axes.reshape(n_rows, n_columns)
