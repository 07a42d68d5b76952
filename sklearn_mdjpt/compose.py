"""Models of several parts: put together, and calibrated as a whole."""

from .features import WindowFeatures
from .features._calibration import calibrate

__all__ = ["WindowFeatures", "calibrate"]
