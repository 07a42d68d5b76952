"""The mdJPT encoders inside models: whom they have seen, and their pre-training."""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from typing import TYPE_CHECKING, Literal

from sklearn.base import clone, is_classifier, is_clusterer, is_regressor
from sklearn.frozen import FrozenEstimator

from .._identity import say_what_may_be_one
from .._io._code import find_installed
from .._io._fingerprint import fingerprint
from .._validation import list_some, warn
from ..classifier._estimator import MDJPTClassifier
from ..encoder._estimator import MDJPTEncoder
from ..encoder._pairs import pair_columns, uses_labels
from ..encoder._saved import Seen
from ..encoder._weights import read_weights
from ..model_selection import LeakageWarning
from ..windows._content import signals, without_made_up_names
from ._jobs import computed_with

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from ..windows._windows import EEGWindows

_RESERVED = ("chance", "majority")


def name_models(models):
    """Return models as a dict from name to estimator; one alone is named by its class.

    Parameters
    ----------
    models : estimator or dict of str to estimator
        What a user passes.

    Returns
    -------
    dict of str to estimator
    """
    if isinstance(models, list | tuple | set):
        raise TypeError(
            "models must be an estimator, or a dict from name to estimator, got a "
            f"{type(models).__name__}."
        )
    if not isinstance(models, dict):
        models = {type(models).__name__: models}
    if not models:
        raise ValueError("models is empty; at least one estimator is expected.")
    for name, model in models.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"Names of models must be str, got {name!r}.")
        if name in _RESERVED:
            raise ValueError(
                f"A model is named {name!r}; these names are taken by the baselines "
                f"that are always there: {', '.join(_RESERVED)}."
            )
        if isinstance(model, type) or not hasattr(model, "fit"):
            raise TypeError(
                f"Model {name!r} must be an estimator with fit, got {model!r}."
            )
    return models


def check_heads(models):
    """Raise unless all models predict classes."""
    # A StackingClassifier has no predict before it is fitted.
    without = [
        name for name, model in models.items()
        if not hasattr(model, "predict") and not is_classifier(model)
    ]  # fmt: skip
    if without:
        raise ValueError(
            f"Models without predict: {list_some(without)}. Put a classifier behind "
            "features, as in make_pipeline(encoder, LogisticRegression()); zero_shot "
            "does without."
        )
    others = [
        name for name, model in models.items()
        if is_regressor(model) or is_clusterer(model)
    ]  # fmt: skip
    if others:
        raise ValueError(f"Models that are no classifiers: {list_some(others)}.")


def find_encoders(model):
    """Return the mdJPT encoders inside a model.

    Parameters
    ----------
    model : estimator
        An encoder itself, or anything that has one among its (nested) parameters.

    Returns
    -------
    dict of str to MDJPTEncoder
        By the name for ``set_params``; "" for the model itself.
    """
    if isinstance(model, MDJPTEncoder):
        return {"": model}
    if not hasattr(model, "get_params"):
        return {}
    params = model.get_params(deep=True)
    return {k: v for k, v in params.items() if isinstance(v, MDJPTEncoder)}


def _encoders_in_functions(model):
    """Return the encoders of a model, also those that its functions use.

    ``FunctionTransformer(encoder.transform)`` is an example of such a function.
    """
    found = {}
    waiting = [model]
    while waiting:
        value = waiting.pop()
        if id(value) in found:
            continue
        found[id(value)] = value
        if isinstance(value, functools.partial):
            waiting += [value.func, *value.args, *value.keywords.values()]
        elif isinstance(value, types.MethodType):
            waiting += [value.__self__, value.__func__]
        elif isinstance(value, types.FunctionType) and not find_installed(value):
            with contextlib.suppress(ValueError):  # a variable without a value yet
                inside = inspect.getclosurevars(value)
                waiting += [*inside.nonlocals.values(), *inside.globals.values()]
        elif hasattr(value, "get_params") and not isinstance(value, type):
            waiting += value.get_params(deep=True).values()
        elif isinstance(value, list | tuple):
            waiting += value
    return [value for value in found.values() if isinstance(value, MDJPTEncoder)]


def replace_encoders(model, change):
    """Return a copy of a model, with what a function makes of each of its encoders.

    Parameters
    ----------
    model : estimator
        It stays as it is.
    change : callable
        Takes an encoder and returns another one.

    Returns
    -------
    estimator
        Not fitted; an encoder in a FrozenEstimator is left as it is.
    """
    copied = clone(model)
    for name, encoder in find_encoders(model).items():
        if not name:
            return change(encoder)
        if not _is_frozen(model, name):
            copied.set_params(**{name: change(encoder)})
    return copied


def spell_out_encoders(model):
    """Return a copy in which each classifier without an encoder has the default one."""
    params = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    found = {k: v for k, v in {"": model, **params}.items()
             if isinstance(v, MDJPTClassifier) and v.encoder is None}  # fmt: skip
    if not found:
        return model
    model = clone(model)
    for name, classifier in found.items():
        encoder = MDJPTEncoder(
            device=classifier.device,
            torch_threads=classifier.torch_threads,
            random_state=classifier.random_state,
            verbose=classifier.verbose,
        )
        model.set_params(**{f"{name}__encoder" if name else "encoder": encoder})
    return model


def is_pretrained(encoder):
    """Whether an encoder brings its weights along."""
    return encoder.weights is not None or hasattr(encoder, "module_")


def keep_weights(encoder, folder):
    """Return an encoder without fitted state that has the weights of a fitted one."""
    if not hasattr(encoder, "module_"):
        return clone(encoder)
    path = _own_file(encoder, folder)
    return with_weights(encoder, path)


def pretrain_encoder(encoder, source, path, checkpoint_dir):
    """Pre-train an encoder on windows, unless that was done.

    Parameters
    ----------
    encoder : MDJPTEncoder
        Without weights.
    source : EEGWindows
        What to train on; with ``pairing="label"`` their labels are used.
    path : Path
        Where the weights are kept.
    checkpoint_dir : Path or None
        Where a killed training goes on from, if the encoder has no folder of its own.
    """
    if path.exists():
        return
    trained = clone(encoder)
    if checkpoint_dir is not None and encoder.checkpoint_dir is None:
        trained.set_params(checkpoint_dir=str(checkpoint_dir))
    trained.fit(source)
    if trained.interrupted_:
        raise KeyboardInterrupt("Pre-training was interrupted.")
    trained.save(path)


def training_key(encoder, source):
    """Return what is equal for two encoders exactly if one training serves both."""
    columns = pair_columns(source)
    labels = source.y if uses_labels(columns, encoder.pairing) else None
    return fingerprint(
        computed_with(), encoder, without_made_up_names(columns), labels,
        signals(source),
    )  # fmt: skip


def with_weights(encoder, path):
    """Return an encoder, not fitted, that has the weights of a file."""
    # The training is done: what only it could contradict goes by the file.
    return clone(encoder).set_params(weights=str(path), finetune=False, variant=None)


def assert_unseen(
    model: BaseEstimator, X: EEGWindows, *, on_leak: Literal["raise", "warn"] = "raise"
) -> str:
    """Check that no encoder inside a model was pre-trained on the subjects of X.

    Parameters
    ----------
    model : estimator
        Anything with an `MDJPTEncoder` inside, fitted or with ``weights``; without one
        there is nothing to check.
    X : EEGWindows
        The windows that are to be tested on.
    on_leak : {"raise", "warn"}, default="raise"
        What to do if one has seen them.

    Returns
    -------
    str
        "pre-training" if an encoder has seen subjects of X (with ``on_leak="warn"``),
        "unknown" if it cannot be known, else "".

    Raises
    ------
    ValueError
        If an encoder has seen subjects of X.

    Warns
    -----
    LeakageWarning
        If it cannot be known: released checkpoints and anonymous files do not say whom
        they were trained on, and datasets without a name cannot be compared, nor ids
        that differ in zeros or capitals only.

    Examples
    --------
    >>> from sklearn_mdjpt import MDJPTEncoder
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.evaluation import assert_unseen
    >>> X = make_emotion_windows(1, n_subjects=3, random_state=0)
    >>> encoder = MDJPTEncoder.small(max_epochs=1, batches_per_epoch=1, random_state=0)
    >>> assert_unseen(encoder.fit(X), X)
    Traceback (most recent call last):
    ...
    ValueError: MDJPTEncoder was pre-trained on 3 of the subjects that it is to be...
    """
    tested = dict.fromkeys(X.groups("subject"))
    found = ""
    for encoder in _encoders_in_functions(model):
        seen = _seen(encoder)
        if seen is None:
            continue
        known = [name for name in tested if name in set(seen.subjects or ())]
        if known:
            text = (
                f"MDJPTEncoder was pre-trained on {len(known)} of the subjects that it "
                f"is to be tested on: {list_some(known)}."
            )
            if on_leak == "raise":
                raise ValueError(
                    f"{text} Pre-train it on others, or pass an encoder that is not "
                    "fitted and has no weights (sklearn.base.clone), which is then "
                    "trained on the training subjects of each split."
                )
            warn(text, LeakageWarning)
            found = "pre-training"
        elif seen.subjects is None or seen.n_subjects != len(seen.subjects):
            warn(
                "Whom an encoder was pre-trained on is not known (a released "
                "checkpoint, an anonymous file, or datasets without a name): whether "
                "it has seen the test subjects cannot be checked.",
                LeakageWarning,
            )
            found = found or "unknown"
        elif text := say_what_may_be_one(seen.table(), X.metadata, "subject"):
            warn(f"What MDJPTEncoder was pre-trained on, and X: {text}", LeakageWarning)
            found = found or "unknown"
    return found


def _is_frozen(model, name):
    parent, _, last = name.rpartition("__")
    holder = model.get_params(deep=True).get(parent) if parent else model
    return last == "estimator" and isinstance(holder, FrozenEstimator)


def _seen(encoder):
    """Return whom an encoder has seen; None if it is not trained yet."""
    if hasattr(encoder, "module_"):
        return Seen(
            encoder.training_datasets_,
            encoder.training_subjects_,
            encoder.n_training_subjects_,
        )
    if encoder.weights is None:
        return None
    return read_weights(
        encoder.weights, released_activation=encoder.released_activation
    ).seen


def _own_file(encoder, folder):
    module = encoder.module_
    name = fingerprint(
        computed_with(), module.config, dict(module.named_parameters()),
        encoder.training_subjects_, encoder.n_training_subjects_,
    )  # fmt: skip
    path = folder / f"{name}.safetensors"
    if not path.exists():
        encoder.save(path)
    return path
