"""A fitted model, applied to windows that come one by one."""

from __future__ import annotations

from inspect import signature

import numpy as np
from sklearn.frozen import FrozenEstimator

from ..alignment import CovarianceAlignment, WindowAlignment
from ..baselines import PooledClassifier
from ..classifier._estimator import MDJPTClassifier
from ..classifier._steps import fitted_parts, list_steps
from ..encoder._estimator import MDJPTEncoder
from ..features import SubjectScaler
from ..features._steps import TimedStep
from ..windows._metadata import KEYWORDS, read_metadata

# Half of the features are rarely so many SD off: the third quartile of |z| is 1.15.
_FAR = 10.0


class Chain:
    """The steps of a model one after the other; those that have a memory keep it.

    Parameters
    ----------
    model : estimator
        Fitted: steps that each take windows or features, and a classifier.

    Attributes
    ----------
    distance : str or None
        What is far from the calibration in the last window; None if nothing is.

    Raises
    ------
    TypeError
        If a step that runs along the windows is in a part that is not a chain, or the
        model has no probabilities.
    """

    def __init__(self, model):
        self.classes_, self.distance = model.classes_, None
        *steps, (classifier, _) = list_steps(model)
        is_head = isinstance(classifier, MDJPTClassifier)  # its features are steps
        if not hasattr(classifier, "predict_proba"):
            raise TypeError(
                f"A stream is decoded by probabilities, which "
                f"{type(classifier).__name__} does not have (no predict_proba)."
            )
        predict = classifier.predict_head if is_head else classifier.predict_proba
        self._predict = predict
        whole = [step for step, _ in steps] + [classifier] * (not is_head)
        for step in whole:
            if not isinstance(step, TimedStep) and _holds(step, TimedStep):
                raise TypeError(
                    f"{type(step).__name__} holds a step that runs along the windows "
                    "(LDSSmoother, RunningNormalizer) beside others; a stream needs it "
                    "as a step of one chain."
                )
        self._steps = [
            (step.online() if isinstance(step, TimedStep) else step, domain, step)
            for step, domain in steps
        ]

    def start_trial(self):
        """Begin a trial: smoothing starts anew."""
        for online, _, step in self._steps:
            if isinstance(step, TimedStep) and "trials" in step._apart:
                online.reset()

    def reset(self):
        """Begin anew."""
        for online, _, step in self._steps:
            if isinstance(step, TimedStep):
                online.reset()

    def push(self, window, step_length):
        """Return the probabilities of the next window.

        Parameters
        ----------
        window : EEGWindows
            One window.
        step_length : float
            How much later than the last one it is, in strides.

        Returns
        -------
        ndarray of shape (n_classes,)
        """
        Z, self.distance = window, None
        for online, domain, step in self._steps:
            if isinstance(step, TimedStep):
                Z = online.push(np.asarray(Z)[0], step_length)[None]
            else:
                Z = step.transform(Z, **_metadata(window, step.transform, domain))
            if isinstance(step, SubjectScaler):
                size = float(np.median(np.abs(Z)))
                if size > _FAR:
                    self.distance = f"Features are {size:.0f} SD off the person's mean"
        return self._predict(Z)[0]


class PooledChains:
    """The chains of models whose probabilities are multiplied."""

    def __init__(self, model):
        self.classes_, self.distance = model.classes_, None
        self._pool = model.pool
        self._chains = [Chain(one) for one in model.estimators_]

    def start_trial(self):
        """Begin a trial: smoothing starts anew."""
        for chain in self._chains:
            chain.start_trial()

    def reset(self):
        """Begin anew."""
        for chain in self._chains:
            chain.reset()

    def push(self, window, step_length):
        """Return the probabilities of the next window, as `Chain.push`."""
        found = [chain.push(window, step_length)[None] for chain in self._chains]
        said = [chain.distance for chain in self._chains if chain.distance]
        self.distance = said[0] if said else None
        return self._pool(np.stack(found))[0]


def make_chain(model):
    """Return the chain of a model, or the chains of a pool."""
    inner = model
    while inner is not None:
        model, inner = inner, _that_predicts(inner)
    return PooledChains(model) if isinstance(model, PooledClassifier) else Chain(model)


def _that_predicts(model):
    """Return the estimator whose probabilities a model passes on; None if it has own.

    Searches do so, frozen estimators, and the classifiers of `sklearn_mdjpt.trust`.
    """
    if isinstance(model, FrozenEstimator):
        return model.estimator
    if hasattr(model, "best_estimator_"):
        return model.best_estimator_
    return model.estimator_ if getattr(model, "passes_probabilities", False) else None


def not_alone(model, subject):
    """List the parts that would go by the windows that come together.

    Parameters
    ----------
    model : estimator
        Fitted.
    subject : str
        "dataset/subject" of the person.

    Returns
    -------
    list of str
        Their names; empty if each window of this person stands alone.
    """
    found = []
    for part in fitted_parts(model):
        if isinstance(part, MDJPTEncoder):
            known = subject in part.calibrated_subjects_
            goes = part._fitted_parameters["subject_norm"] == "subject"
        elif isinstance(part, SubjectScaler):
            known = subject in part.calibrated_subjects_ or None in part.means_
            goes = part.unseen == "transductive"
        elif isinstance(part, CovarianceAlignment):
            known = subject in part.calibrated_subjects_ or not part._by_domain
            goes = part.unseen == "transductive"
        elif isinstance(part, WindowAlignment):
            known = subject in part.calibrated_subjects_
            goes = part.unseen == "transductive"
        else:
            continue
        if goes and not known:
            found.append(type(part).__name__)
    return found


def calibrated_people(model):
    """Return the people that a model was calibrated to, as "dataset/subject"."""
    found = set()
    for part in fitted_parts(model):
        found.update(getattr(part, "calibrated_subjects_", ()))
    return sorted(found)


def _metadata(window, method, domain):
    """Return what a method takes of a window's metadata."""
    if domain is None:
        return {}
    names = {*KEYWORDS, "domains"} & set(signature(method).parameters)
    return read_metadata(window, names, {}, domain=domain)[1] if names else {}


def _holds(model, kind):
    return any(isinstance(part, kind) for part in fitted_parts(model))
