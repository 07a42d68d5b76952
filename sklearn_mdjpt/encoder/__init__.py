"""MDJPTEncoder: joint pre-training on several datasets, and windows to features."""

import lazy_loader as _lazy

# Readers of weights are used without torch's training; __init__.pyi lists the names.
__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
