"""Models, and the mdJPT encoders inside them with their pre-training."""

from sklearn.base import clone, is_classifier, is_clusterer, is_regressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from .._io._fingerprint import fingerprint
from .._validation import list_some
from ..classifier._estimator import MDJPTClassifier
from ..encoder._estimator import MDJPTEncoder
from ..encoder._pairs import pair_columns, uses_labels
from ..features import CorrelatedComponents
from ..windows._content import signals, without_made_up_names
from ._jobs import computed_with
from ._scores import BASELINES


def check_models(models):
    """Return models as a dict from name to estimator.

    Parameters
    ----------
    models : estimator or dict of str to estimator
        What a user passes; one estimator gets the name of its class.

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
        if name in BASELINES:
            raise ValueError(
                f"A model is named {name!r}; {' and '.join(BASELINES)} are the names "
                "of the baselines that are always there."
            )
        if isinstance(model, type) or not hasattr(model, "fit"):
            raise TypeError(
                f"Model {name!r} must be an estimator with fit, got {model!r}."
            )
    return models


def check_classifiers(models):
    """Return models as `check_models` does; raise unless all predict classes."""
    models = check_models(models)
    # A StackingClassifier has no predict before it is fitted.
    without = [
        name for name, model in models.items()
        if not hasattr(model, "predict") and not is_classifier(model)
    ]  # fmt: skip
    if without:
        raise ValueError(
            f"Models without predict: {list_some(without)}. Put a classifier behind "
            "features, as in make_pipeline(encoder, LogisticRegression()), or take "
            "zero_shot."
        )
    others = [
        name for name, model in models.items()
        if is_regressor(model) or is_clusterer(model)
    ]  # fmt: skip
    if others:
        raise ValueError(f"Models that are no classifiers: {list_some(others)}.")
    return models


def check_predictors(models):
    """Return models as `check_models` does, and what they predict.

    Parameters
    ----------
    models : estimator or dict of str to estimator
        All classifiers, or all regressors.

    Returns
    -------
    models : dict of str to estimator
        The models.
    kind : {"classes", "ratings"}
        What they predict.
    """
    models = check_models(models)
    regressors = [name for name, model in models.items() if is_regressor(model)]
    if not regressors:
        return check_classifiers(models), "classes"
    others = [name for name in models if name not in regressors]
    if others:
        raise ValueError(
            f"Regressors ({list_some(regressors)}) and others ({list_some(others)}) "
            "have no metric in common: score them apart."
        )
    return models, "ratings"


def kind_of(models):
    """Return what models predict: "ratings" if one is a regressor, else "classes"."""
    any_regressor = any(is_regressor(model) for model in models.values())
    return "ratings" if any_regressor else "classes"


def feature_part(model):
    """Return the part of a model that computes features; None if there is none.

    Parameters
    ----------
    model : estimator
        A transformer, a pipeline that ends in a classifier, or an MDJPTClassifier.

    Returns
    -------
    transformer or None
    """
    if isinstance(model, MDJPTClassifier):
        return with_default_encoders(model)._make_features(0)
    if isinstance(model, Pipeline) and (is_classifier(model) or is_regressor(model)):
        return model[:-1] if len(model) > 1 else None
    return model if hasattr(model, "transform") else None


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
    return _find(model, MDJPTEncoder)


def untrained_encoders(model):
    """Return the encoders of a model that have no weights, default ones included."""
    encoders = find_encoders(with_default_encoders(model)).values()
    return [encoder for encoder in encoders if not is_pretrained(encoder)]


def learns_who_agrees(model):
    """Whether a model, where it is fitted, learns from who saw the same moment."""
    found = _find(model, CorrelatedComponents)
    return not all(_is_frozen(model, name) for name in found)


def is_pretrained(encoder):
    """Whether an encoder has weights already."""
    return encoder.weights is not None or hasattr(encoder, "module_")


def replace_encoders(model, change):
    """Return a copy of a model whose encoders are replaced by a function of them.

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


def with_default_encoders(model):
    """Return a copy in which each classifier without an encoder has the default one."""
    found = {
        k: v for k, v in _find(model, MDJPTClassifier).items() if v.encoder is None
    }
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
        model.set_params(**{f"{name}__encoder".removeprefix("__"): encoder})
    return model


def with_weights_in_file(encoder, folder):
    """Return an encoder that is not fitted; a fitted one's weights are in a file."""
    if not hasattr(encoder, "module_"):
        return clone(encoder)
    module = encoder.module_
    name = fingerprint(
        computed_with(), module.config, dict(module.named_parameters()),
        encoder.training_subjects_, encoder.n_training_subjects_,
    )  # fmt: skip
    path = folder / f"{name}.safetensors"
    if not path.exists():
        encoder.save(path)
    return with_weights(encoder, path)


def pretrain_encoder(encoder, source, path, checkpoint_dir):
    """Pre-train an encoder on windows, unless the file with its weights exists.

    Parameters
    ----------
    encoder : MDJPTEncoder
        Without weights.
    source : EEGWindows
        What to train on; with ``pairing="label"`` their labels are used.
    path : Path
        File for the weights.
    checkpoint_dir : Path or None
        Folder from which a killed training continues, if the encoder has no folder of
        its own.
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
    # The training is done: parameters that could only contradict the file are reset.
    return clone(encoder).set_params(weights=str(path), finetune=False, variant=None)


def _find(model, kind):
    """Return the estimators of a type inside a model, by their name for set_params."""
    params = {"": model}
    if not isinstance(model, kind) and hasattr(model, "get_params"):
        params |= model.get_params(deep=True)
    return {name: value for name, value in params.items() if isinstance(value, kind)}


def _is_frozen(model, name):
    parent, _, last = name.rpartition("__")
    holder = model.get_params(deep=True).get(parent) if parent else model
    return last == "estimator" and isinstance(holder, FrozenEstimator)
