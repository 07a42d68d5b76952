"""What mdJPT is compared with: networks of braindecode, and classical pipelines.

All of them take `EEGWindows` and stand beside `MDJPTEncoder` in one cross-validation.
Their docstrings say which are *inductive*, where each test window is classified by
itself, and which are *transductive*, where windows of a test subject, without their
labels, are used together.  Compare like with like: most of `MDJPTEncoder`'s settings,
the default ones among them, are transductive.
"""

from ._pipelines import (
    BraindecodeClassifier,
    differential_entropy,
    make_baselines,
    tangent_space,
)

__all__ = [
    "BraindecodeClassifier",
    "differential_entropy",
    "make_baselines",
    "tangent_space",
]
