"""The protocols of a study, method by method, and the search for leaks before them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from .. import __version__
from .._io._files import write_file
from .._io._fingerprint import fingerprint
from .._validation import list_some
from ..baselines._shared import check_source
from ..datasets import valence_of
from ..evaluation import few_shot, leave_subjects_out, zero_shot
from ..evaluation._models import feature_part
from ..evaluation._scores import BASELINES
from ..model_selection import LeakageWarning, assert_disjoint
from ..windows._content import SignalOf
from ..windows._windows import EEGWindows
from ._data import join
from ._methods import METHODS, make_method, make_network
from ._noticed import notices_path
from ._settings import raise_all
from ._splits import Splits, make_splits, train_size
from ._training import Weights, main_weights, make_encoder

_VALENCES = {-1: "negative", 0: "neutral", 1: "positive"}


@dataclass(frozen=True)
class Transfer:
    """A dataset to test on, and what encoders are trained on for it.

    Attributes
    ----------
    name : str
        The dataset.
    target : EEGWindows
        Its windows that have labels.
    y : ndarray
        Their labels.
    source : EEGWindows or None
        Windows of others; None where there are no others.
    weights : Weights or None
        The encoder that is trained on these.
    key : str
        Fingerprint of target, labels and source.
    splits : Splits
        How often it is split.
    """

    name: str
    target: EEGWindows
    y: np.ndarray
    source: EEGWindows | None
    weights: Weights | None
    key: str
    splits: Splits


def make_transfers(study, opened, problems=None):
    """Return what is tested on which encoder.

    Targets are tested on the encoder that was trained on all sources.  Without a target
    each dataset is one in turn, and encoders are trained on all others; where there are
    none, encoders are trained on other people of the same dataset.

    Parameters
    ----------
    study : Study
        The settings.
    opened : list of Opened or Looked
        Its datasets.
    problems : list of str, default=None
        Gets what is wrong with a dataset, which is left out then; None raises it.

    Returns
    -------
    list of Transfer
    """
    keys = {one.key: one for one in opened}
    labels = study.evaluation.labels
    if study.targets:
        source = join([one for one in opened if one.entry.role == "source"])
        X = join([one for one in opened if one.entry.role == "target"])
        weights = main_weights(study, {key: one.entry for key, one in keys.items()})
        sources = dict.fromkeys(X.groups("dataset"), source)
        trained = dict.fromkeys(sources, weights)
    else:
        X = join(opened)
        datasets = X.groups("dataset")
        names = list(dict.fromkeys(datasets))
        several = len(names) > 1
        sources = {name: X[datasets != name] if several else None for name in names}
        trained = {
            name: Weights(study, list(keys), name) if several else None
            for name in names
        }
    transfers = []
    for name, source in sources.items():
        try:
            target, y = _labelled(X[X.groups("dataset") == name], labels, name)
        except ValueError as error:
            if problems is None:
                raise
            problems.append(str(error))
            continue
        key = fingerprint(__version__, sorted(keys), name, labels, _roles(opened))
        splits = make_splits(study, target, y)
        transfers.append(Transfer(name, target, y, source, trained[name], key, splits))
    return transfers


def find_leaks(transfers):
    """Look for people and recordings that are on both sides.

    Parameters
    ----------
    transfers : list of Transfer
        What is tested, and what encoders are trained on.

    Returns
    -------
    list of str
        What cannot be known, in sentences.

    Raises
    ------
    ValueError
        If somebody, or a recording, is on both sides.
    """
    unsure = []
    for one in transfers:
        if one.source is None:
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", LeakageWarning)
            assert_disjoint(one.source, one.target, by="subject")
        unsure += [
            f"{one.name}: {warning.message}"
            for warning in caught
            if issubclass(warning.category, LeakageWarning)
        ]
        trained = {fingerprint(SignalOf(r)) for r in one.source.recordings}
        same = [r for r in one.target.recordings if fingerprint(SignalOf(r)) in trained]
        if same:
            raise ValueError(
                f"{len(same)} recordings of {one.name} are among those that the "
                f"encoder is trained on, under other names: {list_some(same, 3)}."
            )
    return list(dict.fromkeys(unsure))


def is_alone(transfers):
    """Whether there is no other dataset to train an encoder on."""
    return any(one.source is None for one in transfers)


def protocols_of(study, alone):
    """Return the protocols: those chosen, or the usual ones for one dataset alone."""
    chosen = study.evaluation.protocols
    if chosen is None:
        return ("leave_subjects_out",) if alone else ("few_shot", "zero_shot")
    return tuple(chosen)


def methods_of(study, alone):
    """Return the methods: those chosen, or the usual ones for one dataset alone.

    Raises
    ------
    ValueError
        If one was chosen that learns from other datasets, and there are none.
    """
    names = study.evaluation.methods
    if not alone:
        return names
    without = [name for name in names if METHODS[name].source]
    if without and isinstance(names, list):
        raise ValueError(
            f"The methods {list_some(without)} learn from other datasets, and the "
            "study has one dataset only; leave them out of [evaluation] methods."
        )
    return [name for name in names if name not in without]


def uses_encoder(study, alone):
    """Whether a method of the evaluation has an encoder."""
    return any(METHODS[name].encoder for name in methods_of(study, alone))


def check_evaluation(study, transfers):
    """Raise on what would be an error only after hours of training."""
    raise_all(study, evaluation_problems(study, transfers))


def evaluation_problems(study, transfers):
    """Return what of the evaluation is impossible with these people and labels.

    Returns
    -------
    list of str
    """
    try:
        names = methods_of(study, is_alone(transfers))
    except ValueError as error:
        return [str(error)]
    problems = []
    for one in transfers:
        n_people = len(set(one.target.groups("subject")))
        alone = one.source is None
        found = check_count(study, one.name, n_people, alone, one.splits)
        if not found and len(set(one.y.tolist())) < 2:
            found.append(
                f"{one.name} has one class only, {one.y[0]!r}: there is nothing to "
                "tell apart."
            )
        problems += found
        if any(METHODS[name].source for name in names):
            try:
                check_source(one.source)
            except ValueError as error:
                problems.append(str(error))
    return list(dict.fromkeys(problems))


def check_count(study, name, n_people, alone, splits=None):
    """Return why so many people do not suffice for the protocols.

    Parameters
    ----------
    study : Study
        The settings.
    name : str
        The dataset.
    n_people : int
        Its people with labels.
    alone : bool
        Whether there is no other dataset.
    splits : Splits, default=None
        How it is split; None: as people without labels would be.

    Returns
    -------
    list of str
    """
    if n_people < 2:
        return [
            f"{name} has {n_people} people with labels; at least two are needed, one "
            "to learn from and one to be tested on."
        ]
    splits = make_splits(study, np.arange(n_people)) if splits is None else splits
    protocols, problems = protocols_of(study, alone), []
    if "few_shot" in protocols and splits.few_shot_problem:
        problems.append(f"few_shot on {name}: {splits.few_shot_problem}")
    if "leave_subjects_out" in protocols:
        if splits.n_folds > n_people:
            problems.append(
                f"leave_subjects_out on {name}: [evaluation] n_folds = "
                f"{splits.n_folds}, but there are {n_people} people."
            )
        trains = any(METHODS[m].encoder for m in study.evaluation.methods)
        left = n_people - -(-n_people // splits.n_folds)
        if alone and trains and left < 2:
            problems.append(
                f"Of the {n_people} people of {name}, {left} would be left in a fold "
                "to train an encoder on, and two are needed; take a larger "
                "[evaluation] n_folds, or another dataset beside."
            )
    return problems


def fewer_splits(study, transfers):
    """Yield dataset and sentence where few people allow fewer splits than usual."""
    protocols = protocols_of(study, is_alone(transfers))
    for one in transfers:
        for protocol, text in one.splits.fewer.items():
            if protocol in protocols:
                yield one.name, protocol, text


def make_jobs(study, transfers):
    """Return what is computed: each method under each protocol on each dataset."""
    alone = is_alone(transfers)
    names = [*methods_of(study, alone), *study.evaluation.networks]
    return [
        Job(study, protocol, one, name)
        for one in transfers
        for protocol in protocols_of(study, alone)
        for name in names
    ]


def score(study, transfers, progress, notices):
    """Return the scores of all methods; those that are there are not computed again.

    Parameters
    ----------
    study : Study
        The settings.
    transfers : list of Transfer
        What is tested.
    progress : Progress
        Prints what is done.
    notices : Notices
        Collects warnings.

    Returns
    -------
    DataFrame
        As of `sklearn_mdjpt.evaluation.few_shot`.
    """
    jobs = make_jobs(study, transfers)
    left = [job for job in jobs if not job.path.exists()]
    done = len(jobs) - len(left)
    again = f", {done} done before" if done else ""
    progress.say(f"Evaluation: {len(jobs)} protocols and methods{again}.")
    for job in jobs:
        notices.recall(notices_path(job.path))
    for job in progress.counted(left, str):
        with notices.during(notices_path(job.path), job.transfer.name, job.step):
            job.run()
    tables = [table for table in map(Job.read, jobs) if len(table)]
    table = pd.concat(tables, ignore_index=True)
    # Chance and majority come with each method.
    columns = [name for name in table if name not in ("value", "seconds", "leak")]
    again = table["method"].isin(BASELINES) & table.duplicated(columns)
    return table[~again].reset_index(drop=True)


class Job:
    """One method under one protocol on one dataset."""

    def __init__(self, study, protocol, transfer, name):
        self.study, self.protocol, self.transfer = study, protocol, transfer
        self.name = name
        settings = replace(
            study.evaluation, methods=(), networks=(), protocols=None, n_jobs=1,
            reference=None, n_splits=transfer.splits.n_splits,
            n_folds=transfer.splits.n_folds,
        )  # fmt: skip
        weights = transfer.weights
        encoder = make_encoder(study) if weights is None else weights.key
        if name in METHODS and not METHODS[name].encoder:
            encoder = None
        key = fingerprint(
            transfer.key, protocol, name, vars(settings), encoder,
            study.general.random_state,
        )  # fmt: skip
        self.path = study.folder / "scores" / f"{key}.csv"

    def __str__(self):
        return f"{self.protocol}, {self.transfer.name}, {self._title}"

    @property
    def step(self):
        """What it does on the dataset."""
        return f"{self.protocol}: {self.name}"

    @property
    def _title(self):
        return METHODS[self.name].title if self.name in METHODS else self.name

    def read(self):
        """Return the scores, without rows if the method does not fit the protocol."""
        numbers = {name: [""] for name in ("value", "n", "n_classes", "seconds")}
        return pd.read_csv(
            self.path, dtype=_TEXTS, keep_default_na=False, na_values=numbers
        )

    def run(self):
        """Compute the scores and keep them."""
        title, model = self._model()
        if self.protocol == "zero_shot" and feature_part(model) is None:
            table = pd.DataFrame(columns=["method"])
        else:
            table = self._call({title: model})
        self.path.parent.mkdir(exist_ok=True)
        write_file(self.path, table.to_csv(index=False).encode())

    def _model(self):
        study, transfer = self.study, self.transfer
        if self.name not in METHODS:
            return make_network(self.name, study.general.random_state)
        if transfer.weights is not None:
            encoder = transfer.weights.frozen()
        else:
            # Trained in each fold, by other people of the dataset.
            encoder = make_encoder(study).set_params(
                checkpoint_dir=str(study.folder / "checkpoints"), verbose=0
            )
        model = make_method(
            self.name,
            encoder=encoder,
            source=transfer.source,
            smoothing=study.evaluation.smoothing,
        )
        return METHODS[self.name].title, model

    def _call(self, models):
        settings, X, y = self.study.evaluation, self.transfer.target, self.transfer.y
        common = {"n_jobs": settings.n_jobs, "cache_dir": self.study.folder / "cache"}
        if self.protocol == "zero_shot":
            return zero_shot(models, X, y, **common)
        if self.protocol == "leave_subjects_out":
            n_folds = self.transfer.splits.n_folds
            return leave_subjects_out(models, X, y, cv=n_folds, **common)
        return few_shot(
            models, X, y, train_size=train_size(self.study),
            n_splits=self.transfer.splits.n_splits,
            random_state=self.study.general.random_state, **common,
        )  # fmt: skip


_TEXTS: Any = dict.fromkeys(("subject", "dataset", "method", "leak", "exclude"), str)


def _roles(opened):
    return [(one.key, one.entry.role) for one in opened]


def _labelled(X, labels, name):
    """Return the windows that have labels, and these."""
    known = X.metadata["label"].notna().to_numpy()
    if not known.any():
        raise ValueError(
            f"{name} has no labels, so that nothing can be tested on it; give it "
            "role = 'source'."
        )
    X = X[known]
    if labels == "valence":
        return X, np.array([_VALENCES[value] for value in valence_of(X.y)])
    return X, X.y
