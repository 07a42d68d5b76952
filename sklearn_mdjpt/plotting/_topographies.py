"""Weights, importances and attributions of channels, on the head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._drawing import DIVERGING, SEQUENTIAL, several_axes
from .._validation import list_some
from ..channels._channels import template_positions
from ..windows._mne import head_montage
from ._matrices import row_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_COLUMNS = 5


def plot_topographies(
    maps: pd.DataFrame,
    *,
    label: str = "",
    axes: Sequence[Axes] | np.ndarray | None = None,
) -> np.ndarray:
    """Draw values of channels as topographies that share a colour scale.

    Parameters
    ----------
    maps : DataFrame of shape (n_maps, n_channels)
        Of `sklearn_mdjpt.inspection.spatial_filters`, `channel_importance` or
        `Attributions.mean`; columns are 10-05 names of channels.
    label : str, default=""
        What the values are, with their unit, for the colour bar.
    axes : array-like of matplotlib Axes, default=None
        One for each map (without those that stay empty); None makes a figure.

    Returns
    -------
    ndarray of matplotlib Axes, shape (n_maps,)
        With an index of two levels the first is across and the second down, where all
        combinations are there.  Values of both signs have a scale that is symmetric
        around 0; others start at 0.

    Raises
    ------
    TypeError, ValueError
        If it is no DataFrame, or channels have no known place.
    ImportError
        Without matplotlib.

    Notes
    -----
    `mne.viz.plot_topomap` interpolates between electrodes, and a little beyond them.
    The circle goes through the sites FPZ, T7, OZ and T8.

    Examples
    --------
    >>> from sklearn_mdjpt import MDJPTEncoder
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.inspection import spatial_filters
    >>> from sklearn_mdjpt.plotting import plot_topographies
    >>> X = make_emotion_windows(1, n_subjects=2, n_stimuli=3, random_state=0)
    >>> encoder = MDJPTEncoder.small(max_epochs=0, random_state=0).fit(X)
    >>> axes = plot_topographies(spatial_filters(encoder, 3), label="weight")
    >>> len(axes)
    3
    """
    if not isinstance(maps, pd.DataFrame) or not len(maps):
        raise TypeError(
            f"maps must be a DataFrame with rows, got {type(maps).__name__}."
        )
    values = maps.to_numpy(float)
    if not np.isfinite(values).all():
        raise ValueError("maps hold NaN or inf.")
    n_rows, n_columns, places = _grid(maps.index)
    if axes is None:
        grid = several_axes(None, n_rows, n_columns, (1.75, 1.9))
        axes = grid.ravel()[places]
        for ax in set(grid.ravel()) - set(axes):
            ax.set_axis_off()
        if n_columns == 1:
            # Room for the label of the colour bar.
            axes[0].figure.set_size_inches(3.2, 2.0 * n_rows)
    else:
        axes = several_axes(axes, 1, len(maps), (0, 0))[0]
    info = _info(maps.columns)
    largest = np.abs(values).max() or 1.0
    signed = (values < 0).any()
    limits = (-largest if signed else 0.0, largest)
    import mne

    names = row_names(maps.index)
    if maps.index.nlevels == 1 and maps.index.name == "virtual channel":
        names = [f"filter {name}" for name in names]
    for ax, row, name in zip(axes, values, names, strict=True):
        image, _ = mne.viz.plot_topomap(
            row, info, axes=ax, show=False, contours=0, sensors=True, vlim=limits,
            cmap=DIVERGING if signed else SEQUENTIAL, extrapolate="local",
            border="mean", sphere=_head(),
        )  # fmt: skip
        ax.set_title(name, fontsize=9)
    axes[0].figure.colorbar(
        image, ax=list(axes), label=label, shrink=0.8 if n_rows > 1 else 0.7
    )
    return axes


def _grid(index):
    """Return rows, columns and the place of each map in the grid."""
    if index.nlevels == 2 and index.is_unique:
        across, columns = pd.factorize(index.get_level_values(0))
        down, rows = pd.factorize(index.get_level_values(1))
        if len(rows) * len(columns) == len(index):
            return len(rows), len(columns), down * len(columns) + across
    n_columns = min(len(index), _COLUMNS)
    return -(-len(index) // n_columns), n_columns, np.arange(len(index))


def _head():
    """Return center and radius of a head whose equator goes through FPZ, T7, OZ, T8."""
    sites = template_positions()
    equator = np.array([sites[name] for name in ("FPZ", "OZ", "T7", "T8")])
    center = np.array([0.0, equator[:2, 1].mean(), equator[:, 2].mean()])
    return *center, np.linalg.norm(equator - center, axis=1).mean()


def _info(ch_names):
    import mne

    ch_names = [str(name) for name in ch_names]
    montage = head_montage(ch_names)
    known = set() if montage is None else set(montage.ch_names)
    unknown = [name for name in ch_names if name not in known]
    if unknown:
        raise ValueError(f"Channels without a known place: {list_some(unknown)}.")
    info = mne.create_info(ch_names, 100.0, "eeg", verbose="error")
    info.set_montage(montage, verbose="error")
    return info
