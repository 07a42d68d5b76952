"""`Recording`, at its path of old; it lives in `sklearn_mdjpt.windows`."""

from .windows import Recording

__all__ = ["Recording"]
