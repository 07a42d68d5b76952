"""Leaks: encoders that were pre-trained on test subjects, and splits that overlap."""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.frozen import FrozenEstimator

from .._identity import say_what_may_be_one
from .._io._code import find_installed
from .._validation import check_option, list_some, warn
from ..encoder._estimator import MDJPTEncoder
from ..encoder._saved import Seen
from ..encoder._weights import read_weights
from ..features._calibration import held_estimators
from ..features._compose import WindowFeatures
from ..model_selection._leakage import LeakageWarning, find_overlap
from ._models import untrained_encoders

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from ..windows._windows import EEGWindows


_TRAINED = {"MDJPTEncoder": "pre-trained", "WindowFeatures": "fitted"}


def assert_unseen(
    model: BaseEstimator, X: EEGWindows, *, on_leak: Literal["raise", "warn"] = "raise"
) -> str:
    """Check that nothing inside a model was trained on the subjects of X beforehand.

    Parameters
    ----------
    model : estimator
        Anything with an `MDJPTEncoder` inside, fitted or with ``weights``, or with a
        fitted `WindowFeatures` inside a `sklearn.frozen.FrozenEstimator`; without them
        there is nothing to check.
    X : EEGWindows
        The windows to test on.
    on_leak : {"raise", "warn"}, default="raise"
        What to do if one of them has seen these subjects.

    Returns
    -------
    str
        "pre-training" if one has seen subjects of X (with ``on_leak="warn"``),
        "unknown" if it cannot be known, else "".

    Raises
    ------
    ValueError
        If one of them has seen subjects of X.

    Warns
    -----
    LeakageWarning
        If it cannot be known: released checkpoints and anonymous files do not name
        their training subjects, and datasets without a name cannot be compared, nor
        ids that differ in zeros or capitals only.

    Examples
    --------
    >>> from sklearn_mdjpt import MDJPTEncoder
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.evaluation import assert_unseen
    >>> X = make_emotion_windows(1, n_subjects=3, n_stimuli=3, random_state=0)
    >>> encoder = MDJPTEncoder.small(max_epochs=1, batches_per_epoch=1, random_state=0)
    >>> assert_unseen(encoder.fit(X), X)
    Traceback (most recent call last):
    ...
    ValueError: MDJPTEncoder was pre-trained on 3 of the subjects that it is to be...
    """
    tested = dict.fromkeys(X.groups("subject"))
    leak = ""
    for trained in _trained_parts(model):
        seen, kind = _seen(trained), type(trained).__name__
        if seen is None:
            continue
        known = [name for name in tested if name in set(seen.subjects or ())]
        if known:
            text = (
                f"{kind} was {_TRAINED[kind]} on {len(known)} of the subjects that it "
                f"is to be tested on: {list_some(known)}."
            )
            if on_leak == "raise":
                raise ValueError(
                    f"{text} Leave them out where it is trained, or pass it without "
                    "weights, not fitted and not frozen: it is then trained on the "
                    "training subjects of each split."
                )
            warn(text, LeakageWarning)
            leak = "pre-training"
        elif seen.subjects is None or seen.n_subjects != len(seen.subjects):
            warn(
                f"The training subjects of {kind} are not known (a released "
                "checkpoint, an anonymous file, or datasets without a name): whether "
                "it has seen the test subjects cannot be checked.",
                LeakageWarning,
            )
            leak = leak or "unknown"
        elif text := say_what_may_be_one(seen.table(), X.metadata, "subject"):
            warn(f"Training subjects of {kind}, and X: {text}", LeakageWarning)
            leak = leak or "unknown"
    return leak


def find_leaks(cases, on_leak):
    """Return what leaks in each split of each case; warn once for all splits.

    Parameters
    ----------
    cases : list of Case
        Models with their windows and splits.
    on_leak : {"raise", "warn"}
        What to do where training and test are not apart.

    Returns
    -------
    list of list of str
        For each case and split what is known to leak, joined by commas.
    """
    check_option(on_leak, ("raise", "warn"), "on_leak")
    leaks, known, texts = [], {}, []
    for case in cases:
        X = case.windows.X
        # The model is the same object in all cases of one method.
        key = id(case.model), id(case.windows)
        if key not in known:
            tested = np.unique(np.concatenate([test for _, test in case.splits]))
            known[key] = assert_unseen(case.model, X[tested], on_leak=on_leak)
        in_all = [text for text in (known[key], case.leak) if text]
        if case.source is not None and untrained_encoders(case.model):
            key = id(case.source), id(case.windows)
            if key not in known:
                known[key] = _source_leaks(case.source, X, on_leak)
            in_all += known[key]
        leaks.append([])
        for train, test in case.splits:
            key = id(case.windows), train.tobytes(), test.tobytes()
            # Nearest neighbours have no training windows.
            if key not in known and len(train):
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    known[key] = _overlap(X[train], X[test], on_leak)
                texts += [str(warning.message) for warning in caught]
            names = dict.fromkeys([*known.get(key, ()), *in_all])
            leaks[-1].append(", ".join(names))
    if texts:
        others = f" And so in {len(texts)} splits in all." if len(texts) > 1 else ""
        warn(f"{texts[0]}{others}", LeakageWarning)
    return leaks


def _source_leaks(source, X, on_leak):
    """Return what leaks from a source to the windows that are tested on."""
    subjects = np.intersect1d(source.groups("subject"), X.groups("subject"))
    recordings = {*map(id, source.recordings)} & {*map(id, X.recordings)}
    if len(subjects) or recordings:
        text = (
            f"source holds {len(subjects)} of the subjects of X: "
            f"{list_some(subjects, 3)}."
        )
        if not len(subjects):
            text = f"source holds {len(recordings)} recordings of X under other names."
        if on_leak == "raise":
            raise ValueError(f"{text} Pre-train encoders on others.")
        warn(text, LeakageWarning)
        return ["pre-training"]
    text = say_what_may_be_one(source.metadata, X.metadata, "subject")
    if text:
        warn(f"source and X: {text}", LeakageWarning)
    return ["unknown"] if text else []


def _overlap(train, test, on_leak):
    levels = ["subject"]
    if all(windows.metadata["trial"].notna().all() for windows in (train, test)):
        levels.append("trial")
    found, unsure = find_overlap(train, test, levels, on_leak)
    return [*found, *["unknown"] * bool(unsure)]


def _trained_parts(model):
    """Return the encoders of a model, and its frozen features.

    Functions may use them: ``FunctionTransformer(encoder.transform)`` is an example.
    """
    visited = {}
    waiting = [(model, False)]
    while waiting:
        value, frozen = waiting.pop()
        if (id(value), frozen) in visited:
            continue
        visited[id(value), frozen] = value
        inside = []
        if isinstance(value, functools.partial):
            inside = [value.func, *value.args, *value.keywords.values()]
        elif isinstance(value, types.MethodType):
            inside = [value.__self__, value.__func__]
        elif isinstance(value, types.FunctionType) and not find_installed(value):
            with contextlib.suppress(ValueError):  # a variable without a value yet
                used = inspect.getclosurevars(value)
                inside = [*used.nonlocals.values(), *used.globals.values()]
        elif hasattr(value, "get_params") and not isinstance(value, type):
            inside = [*value.get_params(deep=True).values()]
            frozen = frozen or isinstance(value, FrozenEstimator)
        elif isinstance(value, list | tuple):
            inside = value
        if frozen:
            # What was fitted inside a search, an ensemble, a calibration.
            inside = [*inside, *held_estimators(value)]
        waiting += [(part, frozen) for part in inside]
    found = {
        id(value): value
        for (_, frozen), value in visited.items()
        if isinstance(value, MDJPTEncoder)
        or (frozen and isinstance(value, WindowFeatures))
    }
    return list(found.values())


def _seen(trained):
    """Return the training subjects; None if there was no training yet."""
    if isinstance(trained, WindowFeatures):
        if not hasattr(trained, "steps_"):
            return None
        subjects = trained.training_subjects_
        return Seen(None, subjects, None if subjects is None else len(subjects))
    if hasattr(trained, "module_"):
        return Seen(
            trained.training_datasets_,
            trained.training_subjects_,
            trained.n_training_subjects_,
        )
    if trained.weights is None:
        return None
    return read_weights(
        trained.weights, released_activation=trained.released_activation
    ).seen
