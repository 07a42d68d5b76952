"""Figures of a report: drawn by matplotlib, kept as SVG inside the page."""

from __future__ import annotations

import base64
import io
from typing import NamedTuple

from .._drawing import pyplot
from ..plotting import plot_history, plot_scores


class Figure(NamedTuple):
    """A figure in two forms, each an address that holds all of it.

    Attributes
    ----------
    wide, narrow : str
        For a desk, and for a telephone.
    """

    wide: str
    narrow: str


def figure_of_scores(table):
    """Return the figure of the scores of each person."""
    plt = pyplot()
    wide = plot_scores(table).figure
    size = (4.2, wide.get_figheight())
    narrow, ax = plt.subplots(figsize=size, layout="constrained")
    plot_scores(table, ax=ax)
    ax.set_xlabel(ax.get_xlabel().replace(" of a", "\nof a"))
    return Figure(_as_address(wide), _as_address(narrow))


def figure_of_history(history):
    """Return the figure of the losses by epoch."""
    plt = pyplot()
    wide = plot_history(history)[0].figure
    narrow, axes = plt.subplots(3, 1, figsize=(3.8, 7.0), layout="constrained")
    plot_history(history, axes=axes)
    return Figure(_as_address(wide), _as_address(narrow))


def _as_address(figure):
    """Return a figure as an address that holds all of it, and close it.

    In an image of its own, the names inside an SVG cannot meet those of another one.
    """
    content = io.BytesIO()
    plt = pyplot()
    # Without a date, and with names that are not drawn, the same figure has the same
    # bytes.
    with plt.rc_context({"svg.hashsalt": "sklearn_mdjpt"}):
        figure.savefig(
            content, format="svg", bbox_inches="tight",
            metadata={"Date": None, "Creator": None},
        )  # fmt: skip
    plt.close(figure)
    text = base64.b64encode(content.getvalue()).decode("ascii")
    return f"data:image/svg+xml;base64,{text}"
