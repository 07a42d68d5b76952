"""Figures of a report: drawn by matplotlib, kept as SVG inside the page."""

from __future__ import annotations

import base64
import io

from .._drawing import pyplot
from ..plotting import plot_history, plot_scores


def figure_of_scores(table):
    """Return the figure of the scores of each person, as `_as_address` does."""
    ax = plot_scores(table)
    return _as_address(ax.figure)


def figure_of_history(history):
    """Return the figure of the losses by epoch, as `_as_address` does."""
    axes = plot_history(history)
    return _as_address(axes[0].figure)


def _as_address(figure):
    """Return a figure as an address that holds all of it, and close it.

    In an image of its own, the names inside an SVG cannot meet those of another one.
    """
    plt = pyplot()
    content = io.BytesIO()
    # Without a date the same figure has the same bytes.
    figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = base64.b64encode(content.getvalue()).decode("ascii")
    return f"data:image/svg+xml;base64,{text}"
