"""Multi-dataset joint pre-training (mdJPT) of emotional EEG, for scikit-learn.

Public names are imported on first use, so that ``import sklearn_mdjpt`` costs
next to nothing: torch is loaded with the encoder, MNE and braindecode only by
the functions that read their objects.  ``__init__.pyi`` lists the names.
"""

import lazy_loader as _lazy

__version__ = "0.1.0.dev0"

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
