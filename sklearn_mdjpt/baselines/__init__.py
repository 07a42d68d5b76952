"""What mdJPT is compared with: networks of braindecode, and classical pipelines.

All of them take `EEGWindows` and stand beside `MDJPTEncoder` in one cross-validation.
Their docstrings say which are *inductive*, where each test window is classified by
itself, and which are *transductive*, where windows of a test subject, without their
labels, are used together.  Compare like with like: most of `MDJPTEncoder`'s settings,
the default ones among them, are transductive.
"""

import lazy_loader as _lazy

# The classical pipelines are used without torch; __init__.pyi lists the names.
__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
