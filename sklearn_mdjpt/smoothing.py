"""Steps along time, at their path of old; they live in `sklearn_mdjpt.features`."""

from .features import LDSSmoother, RunningNormalizer, SubjectScaler

__all__ = ["LDSSmoother", "RunningNormalizer", "SubjectScaler"]
