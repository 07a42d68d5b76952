"""Models with several seeds: what is random in them is drawn anew, splits stay."""

from copy import deepcopy
from dataclasses import replace
from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from .._validation import check_number, warn
from ..encoder._estimator import MDJPTEncoder
from ._models import is_pretrained, replace_encoders

_PARAMETER = "random_state"
_N_VALUES = 2**32  # of the seeds that numpy and scikit-learn take


def with_seeds(cases, leaks, n_seeds):
    """Return the cases of all seeds, with a column ``seed``, and their leaks.

    Parameters
    ----------
    cases : list of Case
        With the models as they were given.
    leaks : list of list of str
        Of each case; they do not depend on seeds.
    n_seeds : int
        Number of seeds.  With 1 all stays as it is, without the column.

    Returns
    -------
    cases : list of Case
        The seeds of a case follow each other.  A model in which nothing is random is
        there once, with seed 0.
    leaks : list of list of str
        Of each of these.
    """
    if n_seeds == 1:
        return cases, leaks
    seeded, again, made = [], [], {}
    for case, leak in zip(cases, leaks, strict=True):
        if id(case.model) not in made:
            made[id(case.model)] = _models_of(case.model, n_seeds)
        for seed, model in enumerate(made[id(case.model)]):
            columns = case.columns | {"seed": seed}
            seeded.append(replace(case, model=model, columns=columns))
            again.append(leak)
    if len(seeded) == len(cases):
        warn(
            f"n_seeds={n_seeds} changes nothing: no model has a parameter "
            f"{_PARAMETER} outside of what is trained already."
        )
    return seeded, again


def check_n_seeds(n_seeds):
    """Raise unless it is a number of seeds."""
    check_number(n_seeds, "n_seeds", whole=True, least=1)


def _models_of(model, n_seeds):
    """Return a model with each seed; the first one is the model itself."""
    names = random_parameters(model)
    if not names:
        return [model]
    values = model.get_params(deep=True)
    models = [model]
    for seed in range(1, n_seeds):
        params = {name: _other(values[name], seed, name) for name in names}
        models.append(replace_encoders(model, _own).set_params(**params))
    return models


def _own(encoder):
    """Return a copy of an encoder, or itself if it is fitted: a copy has no weights."""
    return encoder if hasattr(encoder, "module_") else clone(encoder)


def random_parameters(model):
    """Return the names of all parameters ``random_state`` that change a model.

    Those of frozen estimators do not, nor do those of encoders that are trained.

    Parameters
    ----------
    model : estimator
        Perhaps with others inside.

    Returns
    -------
    list of str
        For ``set_params``.
    """
    parts = {"": model} | model.get_params(deep=True)
    found = []
    for name in parts:
        parent, _, last = name.rpartition("__")
        if last == _PARAMETER and not _is_fixed(parts, parent):
            found.append(name)
    return found


def _is_fixed(parts, name):
    """Whether a part of a model, or what holds it, is trained already."""
    holder = parts.get(name)
    if isinstance(holder, FrozenEstimator):
        return True
    if isinstance(holder, MDJPTEncoder) and is_pretrained(holder):
        # One that is fitted keeps its weights, whatever its parameters.
        return hasattr(holder, "module_") or not holder.finetune
    return bool(name) and _is_fixed(parts, name.rpartition("__")[0])


def _other(value, seed, name):
    """Return what stands in for a ``random_state`` with a seed from 1 on."""
    if value is None:
        return seed
    if isinstance(value, Integral) and not isinstance(value, bool):
        return (int(value) + seed) % _N_VALUES
    if isinstance(value, np.random.RandomState):
        return int(deepcopy(value).randint(2**31, size=seed)[-1])
    raise TypeError(
        f"{name} must be an int, a RandomState or None with n_seeds, got {value!r}."
    )
