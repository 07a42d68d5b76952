"""Multi-dataset joint pre-training (mdJPT) of emotional EEG, for scikit-learn.

Public names are imported on first use, so that ``import sklearn_mdjpt`` costs
next to nothing: torch is loaded with the encoder, MNE and braindecode only by
the functions that read their objects.
"""

import importlib

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
