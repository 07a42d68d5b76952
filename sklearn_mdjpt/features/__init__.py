"""Features of windows without training, and the steps that follow any features."""

from ._compose import WindowFeatures
from ._correlated import CorrelatedComponents
from ._entropy import DEFAULT_BANDS, DifferentialEntropy
from ._lds import LDSSmoother
from ._scaling import RunningNormalizer, SubjectScaler

__all__ = [
    "DEFAULT_BANDS",
    "CorrelatedComponents",
    "DifferentialEntropy",
    "LDSSmoother",
    "RunningNormalizer",
    "SubjectScaler",
    "WindowFeatures",
]
