"""Covariance alignment: bring the domains' mean covariances to one target.

A *domain* is what shifts the data as a whole: a subject, a session, a dataset.
`CovarianceAlignment` moves SPD matrices in pyriemann's manner, `WindowAlignment` does
the same to signals, and `covariance_distance` measures the gap that is to be closed.
The pre-training loss that aligns datasets inside the encoder is another thing, see
`sklearn_mdjpt.nn.cda_loss`.
"""

from ._covariance import CovarianceAlignment
from ._distance import covariance_distance
from ._windows import WindowAlignment, WindowCovariances

__all__ = [
    "CovarianceAlignment",
    "WindowAlignment",
    "WindowCovariances",
    "covariance_distance",
]
