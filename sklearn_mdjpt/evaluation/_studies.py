"""Studies of the encoder: variants of it, and growing numbers of source datasets."""

from __future__ import annotations

from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import clone

from .._validation import list_some
from ..model_selection import FewShotSubjects
from ._cases import run_cases
from ._labelled import by_dataset, check_windows, named_rows
from ._models import (
    check_models,
    find_encoders,
    kind_of,
    replace_encoders,
    untrained_encoders,
    with_default_encoders,
)
from ._protocols import check_protocols, transfer_cases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator

    from .._typing import Models, PathLike, ProtocolName, Scores
    from ..windows._windows import EEGWindows

ABLATIONS = {
    "full": {},
    "without ISA": {"isa_weight": 0.0},
    "without CDA": {"cda_weight": 0.0},
    "CDA weight 0.1": {"cda_weight": 0.1},
    "any onset": {"pairing": "stimulus-any-onset"},
    "label pairs (supervised)": {"pairing": "label"},
    "transformer": {"variant": "transformer"},
    "untrained": {"max_epochs": 0},
}
"""Default variants of `ablation`, with the parameters of `MDJPTEncoder` that each
changes: the paper's ablations, and an encoder with its initial weights."""


def ablation(
    model: BaseEstimator,
    X: EEGWindows,
    y: ArrayLike | None = None,
    *,
    source: EEGWindows | None = None,
    variants: dict[str, dict[str, Any]] | None = None,
    protocols: ProtocolName | Sequence[ProtocolName] = "few_shot",
    train_size: float = 0.25,
    n_splits: int = 6,
    exclude: Literal["subject", "trial", "window"] = "subject",
    random_state: int = 0,
    n_seeds: int = 1,
    on_leak: Literal["raise", "warn"] = "raise",
    return_predictions: bool = False,
    n_jobs: int | None = None,
    cache_dir: PathLike | None = None,
    verbose: int = 0,
) -> Scores:
    """Score variants of the encoder inside a model, all else being equal.

    Parameters
    ----------
    model : estimator
        A model with an `MDJPTEncoder` inside, as for `few_shot`.
    X : EEGWindows
        The dataset to test on.
    y : array-like of shape (n_windows,), default=None
        Labels; None takes ``X.y``.
    source : EEGWindows, default=None
        Windows to pre-train the encoders on.
    variants : dict of str to dict, default=None
        The parameters of the encoder that each variant changes; None takes `ABLATIONS`.
    protocols : {"few_shot", "zero_shot"} or sequence of these, default="few_shot"
        How the models are scored.
    train_size : float or int, default=0.25
        As for `few_shot`.
    n_splits : int, default=6
        As for `few_shot`.
    exclude : {"subject", "trial", "window"}, default="subject"
        As for `zero_shot`.
    random_state : int, default=0
        As for `few_shot`.
    n_seeds : int, default=1
        As for `leave_subjects_out`.
    on_leak : {"raise", "warn"}, default="raise"
        As for `few_shot`.
    return_predictions : bool, default=False
        As for `leave_subjects_out`.
    n_jobs : int, default=None
        As for `leave_subjects_out`.
    cache_dir : str or path-like, default=None
        As for `few_shot`.
    verbose : int, default=0
        As for `leave_subjects_out`.

    Returns
    -------
    table : DataFrame
        As of `few_shot`; the methods are the variants.
    predictions : DataFrame
        Only with ``return_predictions``.

    Raises
    ------
    ValueError
        If the model has no encoder, if its encoder has weights already, or if an
        encoder does not have a parameter.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_mdjpt import MDJPTEncoder
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.evaluation import ablation
    >>> X = make_emotion_windows(2, n_subjects=4, n_stimuli=3, random_state=0)
    >>> target = X.groups("dataset") == "SimB"
    >>> encoder = MDJPTEncoder.small(max_epochs=1, batches_per_epoch=1, random_state=0)
    >>> table = ablation(
    ...     make_pipeline(encoder, LogisticRegression(max_iter=1000)), X[target],
    ...     source=X[~target], train_size=2, n_splits=1,
    ...     variants={"full": {}, "without ISA": {"isa_weight": 0}},
    ... )
    >>> list(dict.fromkeys(table["method"]))
    ['chance', 'majority', 'full', 'without ISA']
    """
    variants = ABLATIONS if variants is None else variants
    if not isinstance(variants, dict) or not variants:
        raise TypeError(
            "variants must be a dict from name to a dict of parameters, got "
            f"{variants!r}."
        )
    if isinstance(model, dict):
        raise TypeError(
            "model must be one estimator, got a dict; the keys of variants are the "
            "names."
        )
    model = with_default_encoders(model)
    _check_encoders(model)
    models = {}
    for name, changes in variants.items():
        change = partial(_with_params, params=changes)
        models[name] = replace_encoders(model, change)
    models = check_models(models)
    targets = by_dataset(X, y, kind_of(models))
    check_windows(source, "source", none=True)
    splitter = FewShotSubjects(train_size, n_splits, random_state=random_state)
    cases = transfer_cases(
        models, targets, source, check_protocols(protocols), splitter, exclude
    )
    return run_cases(
        cases, on_leak, return_predictions, n_jobs, cache_dir, verbose, n_seeds
    )


def scaling(
    models: Models,
    X: EEGWindows,
    y: ArrayLike | None = None,
    *,
    source: EEGWindows,
    sizes: int | Sequence[int] | None = None,
    n_repeats: int | None = None,
    protocols: ProtocolName | Sequence[ProtocolName] = "few_shot",
    train_size: float = 0.25,
    n_splits: int = 6,
    exclude: Literal["subject", "trial", "window"] = "subject",
    random_state: int = 0,
    n_seeds: int = 1,
    on_leak: Literal["raise", "warn"] = "raise",
    return_predictions: bool = False,
    n_jobs: int | None = None,
    cache_dir: PathLike | None = None,
    verbose: int = 0,
) -> Scores:
    """Score encoders that were pre-trained on more and more datasets.

    Parameters
    ----------
    models : estimator or dict of str to estimator
        Models with an `MDJPTEncoder` without weights inside, as for `few_shot`.
    X : EEGWindows
        The dataset to test on.
    y : array-like of shape (n_windows,), default=None
        Labels; None takes ``X.y``.
    source : EEGWindows
        The datasets to pre-train on.
    sizes : int or sequence of int, default=None
        Numbers of datasets; None is 1, 2, ... up to all.
    n_repeats : int, default=None
        Highest number of subsets of each size, drawn at random; None takes all subsets.
    protocols : {"few_shot", "zero_shot"} or sequence of these, default="few_shot"
        How the models are scored.
    train_size : float or int, default=0.25
        As for `few_shot`.
    n_splits : int, default=6
        As for `few_shot`.
    exclude : {"subject", "trial", "window"}, default="subject"
        As for `zero_shot`.
    random_state : int, default=0
        Seeds the splits and the subsets.
    n_seeds : int, default=1
        As for `leave_subjects_out`.
    on_leak : {"raise", "warn"}, default="raise"
        As for `few_shot`.
    return_predictions : bool, default=False
        As for `leave_subjects_out`.
    n_jobs : int, default=None
        As for `leave_subjects_out`.
    cache_dir : str or path-like, default=None
        As for `few_shot`.
    verbose : int, default=0
        As for `leave_subjects_out`.

    Returns
    -------
    table : DataFrame
        As of `few_shot`, with columns ``n_sources`` and ``sources`` ("SEED + FACED").
        `summary` averages over the subsets of a size.
    predictions : DataFrame
        Only with ``return_predictions``.

    Raises
    ------
    ValueError
        As in `few_shot`; if there are fewer datasets than a size, or if a model has no
        encoder.

    Notes
    -----
    An encoder is trained for the same number of batches whatever the number of
    datasets; a batch holds two subjects of each, so that with more datasets it has
    seen more windows.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_mdjpt import MDJPTEncoder
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.evaluation import scaling
    >>> X = make_emotion_windows(3, n_subjects=4, n_stimuli=3, random_state=0)
    >>> target = X.groups("dataset") == "SimC"
    >>> encoder = MDJPTEncoder.small(max_epochs=1, batches_per_epoch=1, random_state=0)
    >>> model = make_pipeline(encoder, LogisticRegression(max_iter=1000))
    >>> table = scaling(
    ...     {"mdJPT": model}, X[target], source=X[~target], train_size=2, n_splits=1
    ... )
    >>> sorted(set(table["sources"]))
    ['SimA', 'SimA + SimB', 'SimB']
    """
    models = check_models(models)
    models = {k: with_default_encoders(model) for k, model in models.items()}
    for model in models.values():
        _check_encoders(model)
    targets = by_dataset(X, y, kind_of(models))
    check_windows(source, "source")
    protocols = check_protocols(protocols)
    datasets = named_rows(source.groups("dataset"))
    sizes = range(1, len(datasets) + 1) if sizes is None else np.atleast_1d(sizes)
    wrong = [size for size in sizes if size not in range(1, len(datasets) + 1)]
    if wrong:
        raise ValueError(
            f"sizes {list_some(wrong)} are not possible: source has {len(datasets)} "
            f"datasets ({list_some(datasets)})."
        )
    splitter = FewShotSubjects(train_size, n_splits, random_state=random_state)
    cases = []
    for subset in _draw_subsets(datasets, sizes, n_repeats, random_state):
        part = source[np.sort(np.concatenate([datasets[name] for name in subset]))]
        new = transfer_cases(models, targets, part, protocols, splitter, exclude)
        for case in new:
            case.columns |= {"n_sources": len(subset), "sources": " + ".join(subset)}
        cases += new
    return run_cases(
        cases, on_leak, return_predictions, n_jobs, cache_dir, verbose, n_seeds
    )


def _draw_subsets(datasets, sizes, n_repeats, random_state):
    """Yield the subsets of each size, at most n_repeats drawn at random."""
    rng = np.random.default_rng(random_state)
    for size in sizes:
        subsets = list(combinations(datasets, size))
        if n_repeats is not None and len(subsets) > n_repeats:
            chosen = np.sort(rng.choice(len(subsets), n_repeats, replace=False))
            subsets = [subsets[i] for i in chosen]
        yield from subsets


def _with_params(encoder, params):
    return clone(encoder).set_params(**params)


def _check_encoders(model):
    encoders = find_encoders(model)
    if not encoders:
        raise ValueError(f"There is no MDJPTEncoder in {model!r}.")
    if len(untrained_encoders(model)) < len(encoders):
        raise ValueError(
            "The encoder is fitted, or has weights, and this study trains its own: "
            "pass a clone without weights."
        )
