"""Baselines for mdJPT: networks of braindecode and classical pipelines.

All of them take `EEGWindows`, so that one cross-validation can compare them with
`MDJPTEncoder`.  *Inductive* baselines classify each test window by itself.
*Transductive* baselines use the windows of a test subject together, without their
labels.  The docstrings say which is which.  Compare transductive models with
transductive ones: `MDJPTEncoder` is transductive in most settings, and by default.
"""

import lazy_loader as _lazy

# The classical pipelines are used without torch; __init__.pyi lists the names.
__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
