"""Models of several parts: put together, and calibrated as a whole."""

from .features import WindowFeatures as WindowFeatures  # its path of old
from .features._calibration import calibrate

__all__ = ["calibrate"]
