"""Figures of trainings, scores and fitted encoders, in matplotlib.

Nothing is computed here: scores come from `sklearn_mdjpt.evaluation`, all else from
`sklearn_mdjpt.inspection`.  Colours are those of Okabe and Ito, cividis and RdBu, which
the colour-blind tell apart.  matplotlib (extra ``plot``) is imported when something is
drawn.
"""

from ..evaluation._figures import (
    plot_ablation,
    plot_calibration,
    plot_scaling,
    plot_scores,
)
from ._embedding import plot_embedding
from ._history import plot_history
from ._matrices import (
    plot_confusion,
    plot_covariance_distances,
    plot_map_correlations,
)
from ._topographies import plot_topographies
from ._trust import plot_reliability, plot_risk_coverage

__all__ = [
    "plot_ablation",
    "plot_calibration",
    "plot_confusion",
    "plot_covariance_distances",
    "plot_embedding",
    "plot_history",
    "plot_map_correlations",
    "plot_reliability",
    "plot_risk_coverage",
    "plot_scaling",
    "plot_scores",
    "plot_topographies",
]
