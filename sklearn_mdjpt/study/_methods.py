"""The methods that a study compares: how each is called, and how it is made."""

from __future__ import annotations

from typing import NamedTuple

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from ..baselines import (
    combined,
    differential_entropy,
    make_baselines,
    shared_features,
    tangent_space,
)
from ..baselines._pipelines import linear_pipeline
from ..features import LDSSmoother, SubjectScaler
from ..features._compose import WindowFeatures


class Method(NamedTuple):
    """A method of [evaluation].

    Attributes
    ----------
    title : str
        Its name in tables and figures.
    doc : str
        What it does.
    encoder : bool
        Whether an encoder is part of it.
    source : bool
        Whether it learns from other datasets by itself.
    classifier : str
        What learns from labels, in all protocols but zero_shot.
    """

    title: str
    doc: str
    encoder: bool = False
    source: bool = False
    classifier: str = "logistic regression"


_CLASSICAL = {
    "entropy": "differential entropy (inductive)",
    "entropy-subject": "differential entropy, z-scored by subject (transductive)",
    "tangent": "tangent space (inductive)",
    "tangent-subject": "tangent space, recentred by subject (transductive)",
}
METHODS = {
    "mdjpt": Method(
        "mdJPT (transductive)",
        "features of the encoder, z-scored by subject",
        encoder=True,
    ),
    "shared": Method(
        "mdJPT and entropy, shared (transductive)",
        "features of the encoder and entropy, projected on what other people share",
        encoder=True,
        source=True,
    ),
    "shared-entropy": Method(
        "entropy, shared (transductive)",
        "differential entropy, projected on what other people have in common",
        source=True,
    ),
    "combined": Method(
        "mdJPT and entropy, pooled (transductive)",
        "classifiers of both kinds of features, their probabilities multiplied",
        encoder=True,
        classifier="two logistic regressions",
    ),
    "entropy": Method(
        _CLASSICAL["entropy"], "log-variance by channel and band, each window by itself"
    ),
    "entropy-subject": Method(
        _CLASSICAL["entropy-subject"],
        "log-variance by channel and band, z-scored by the person's own windows",
    ),
    "tangent": Method(
        _CLASSICAL["tangent"], "covariances of channels, each window by itself"
    ),
    "tangent-subject": Method(
        _CLASSICAL["tangent-subject"],
        "covariances of channels, recentred by the person's own mean",
    ),
}
"""The methods by the name that a file gives them."""


def make_method(name, *, encoder, source, smoothing):
    """Return a model that is not fitted, but for what it learns from other datasets.

    Parameters
    ----------
    name : str
        A key of `METHODS`.
    encoder : MDJPTEncoder
        The encoder.
    source : EEGWindows or None
        Other datasets, for methods that learn from them.
    smoothing : {"lds", None}
        Smoothing of features along trials.

    Returns
    -------
    estimator
    """
    if METHODS[name].source:
        parts = ("mdjpt", "entropy") if METHODS[name].encoder else ("entropy",)
        features = shared_features(
            source,
            encoder if "mdjpt" in parts else None,
            parts=parts,
            smoothing=smoothing,
        )
        return make_pipeline(features, LogisticRegression(C=0.1, max_iter=2000))
    if name == "combined":
        return combined(encoder, smoothing)
    if name == "mdjpt":
        steps = [SubjectScaler()] + ([LDSSmoother()] if smoothing == "lds" else [])
        return linear_pipeline(WindowFeatures(encoder, steps), 0.1, None)
    if name == "entropy-subject":
        return differential_entropy("subject", smoothing)
    if name == "entropy":
        return differential_entropy()
    return tangent_space(recentre=name == "tangent-subject")


def make_network(name, random_state):
    """Return the title and the model of a network of braindecode."""
    known = set(make_baselines())
    models = make_baselines(networks=[name], random_state=random_state)
    return next(item for item in models.items() if item[0] not in known)
