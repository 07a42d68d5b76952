"""MDJPTClassifier, MDJPTRegressor: windows of EEG to emotions, by the paper's head."""

import lazy_loader as _lazy

# The network for heads is used by others; __init__.pyi lists the names.
__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
