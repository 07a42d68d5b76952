"""`WindowFeatures`, at its path of old; it lives in `sklearn_mdjpt.features`."""

from .features import WindowFeatures

__all__ = ["WindowFeatures"]
