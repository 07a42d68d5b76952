"""Multi-dataset joint pre-training (mdJPT) of emotional EEG, for scikit-learn.

Public names are imported on first use, so that ``import sklearn_mdjpt`` costs
next to nothing: torch is loaded with the encoder, MNE and braindecode only by
the functions that read their objects.
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0.dev0"

# Where each public name lives. Submodules load when a name is first asked for.
_HOMES = {
    "EEGWindows": "windows",
    "Recording": "recordings",
    "concat_windows": "windows",
    "convert": "_conversion",
    "CovarianceAlignment": "alignment",
    "WindowAlignment": "alignment",
    "WindowCovariances": "alignment",
    "covariance_distance": "alignment",
    "DifferentialEntropy": "features",
    "LDSSmoother": "smoothing",
    "MDJPTEncoder": "encoder",
    "MDJPTClassifier": "classifier",
    "WindowFeatures": "compose",
    "RunningNormalizer": "smoothing",
    "SubjectScaler": "smoothing",
}
_SUBMODULES = (
    "alignment",
    "baselines",
    "channels",
    "classifier",
    "compose",
    "datasets",
    "encoder",
    "evaluation",
    "features",
    "inspection",
    "model_selection",
    "nn",
    "plotting",
    "preprocessing",
    "recordings",
    "smoothing",
    "windows",
)

__all__ = [*_HOMES, *_SUBMODULES, "__version__"]

# The same names for type checkers, which take what __getattr__ gives for anything.
if TYPE_CHECKING:
    from . import alignment as alignment
    from . import baselines as baselines
    from . import channels as channels
    from . import classifier as classifier
    from . import compose as compose
    from . import datasets as datasets
    from . import encoder as encoder
    from . import evaluation as evaluation
    from . import features as features
    from . import inspection as inspection
    from . import model_selection as model_selection
    from . import nn as nn
    from . import plotting as plotting
    from . import preprocessing as preprocessing
    from . import recordings as recordings
    from . import smoothing as smoothing
    from . import windows as windows
    from ._conversion import convert as convert
    from .alignment import CovarianceAlignment as CovarianceAlignment
    from .alignment import WindowAlignment as WindowAlignment
    from .alignment import WindowCovariances as WindowCovariances
    from .alignment import covariance_distance as covariance_distance
    from .classifier import MDJPTClassifier as MDJPTClassifier
    from .compose import WindowFeatures as WindowFeatures
    from .encoder import MDJPTEncoder as MDJPTEncoder
    from .features import DifferentialEntropy as DifferentialEntropy
    from .recordings import Recording as Recording
    from .smoothing import LDSSmoother as LDSSmoother
    from .smoothing import RunningNormalizer as RunningNormalizer
    from .smoothing import SubjectScaler as SubjectScaler
    from .windows import EEGWindows as EEGWindows
    from .windows import concat_windows as concat_windows
else:

    def __getattr__(name):
        if name in _HOMES:
            home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
            value = getattr(home, name)
        elif name in _SUBMODULES:
            value = importlib.import_module(f"{__name__}.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__():
    return sorted(__all__)
