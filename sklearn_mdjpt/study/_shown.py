"""What a report says of how it was made: settings, protocols, methods, versions."""

from __future__ import annotations

import dataclasses
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from .. import __version__
from .._torch import resolve_device
from ..model_selection import FewShotSubjects
from ._evaluation import is_alone, methods_of, protocols_of, uses_encoder
from ._keys import keys_of_function, show_value
from ._methods import METHODS
from ._readers import OF_STUDY, reader_function
from ._settings import cleaning_keys, encoder_keys
from ._splits import train_size
from ._training import make_encoder

_PACKAGES = (
    "torch", "skorch", "scikit-learn", "numpy", "scipy", "pandas", "mne",
    "mne-icalabel", "pyriemann", "braindecode", "safetensors", "joblib", "matplotlib",
)  # fmt: skip


class Table(NamedTuple):
    """A table of the page: heads of the columns, and rows of texts."""

    heads: list
    rows: list
    faint: list = []
    """Numbers of rows that are there for comparison only."""


def describe_protocol(study, protocol, transfer):
    """Say what was done with a dataset, in numbers.

    Parameters
    ----------
    study : Study
        The settings.
    protocol : str
        Such as "few_shot".
    transfer : Transfer
        The dataset.

    Returns
    -------
    str
    """
    X, splits = transfer.target, transfer.splits
    n_people = len(set(X.groups("subject")))
    if protocol == "zero_shot":
        others = "other person" if n_people == 2 else f"{n_people - 1} other people"
        return (
            f"Each window of the {n_people} people gets the label of the most similar "
            f"window of the {others}, whose labels are known; no classifier is "
            "trained, and methods count by their features alone."
        )
    if protocol == "leave_subjects_out":
        sizes = {n_people // splits.n_folds, -(-n_people // splits.n_folds)}
        left = " or ".join(map(str, sorted(sizes)))
        return (
            f"Of {n_people} people, {left} are left out in turn, in {splits.n_folds} "
            "groups: a classifier learns from all others and is tested on those."
        )
    splitter = FewShotSubjects(
        train_size(study), splits.n_splits, random_state=study.general.random_state
    )
    train, test = next(splitter.split(X, transfer.y))
    n_train, n_test = (len(set(X[rows].groups("subject"))) for rows in (train, test))
    text = ""
    if transfer.source is not None:
        n_sources = len(set(transfer.source.groups("dataset")))
        what = "dataset" if n_sources == 1 else "datasets"
        text = f"Encoders were trained on {n_sources} other {what}, without labels. "
    return (
        f"{text}A classifier learns from the labels of {n_train} of the {n_people} "
        f"people of this dataset and is tested on the other {n_test}, in "
        f"{splits.n_splits} random split{'s' * (splits.n_splits != 1)}."
    )


def show_methods(study, table, transfers):
    """Return the table of the methods: what decides in each protocol.

    Parameters
    ----------
    study : Study
        The settings.
    table : DataFrame
        The scores.
    transfers : list of Transfer
        What was tested.

    Returns
    -------
    Table
    """
    alone = is_alone(transfers)
    protocols = protocols_of(study, alone)
    tested = set(zip(table["protocol"], table["method"], strict=True))
    known = [METHODS[name] for name in methods_of(study, alone)]
    rows = [[one.title, one.doc, one.classifier] for one in known]
    titles = {row[0] for row in rows} | {"chance", "majority"}
    rows += [
        [title, "a network of braindecode", "the network itself"]
        for title in dict.fromkeys(table["method"])
        if title not in titles
    ]
    return Table(
        ["method", "features", *(f"decides in {name}" for name in protocols)],
        [
            [title, doc]
            + [
                "not tested: it makes no features"
                if (protocol, title) not in tested
                else "nearest neighbour"
                if protocol == "zero_shot"
                else classifier
                for protocol in protocols
            ]
            for title, doc, classifier in rows
        ],
    )


def show_settings(study, opened, transfers):
    """Return all settings with their values; those that are no defaults are marked.

    Parameters
    ----------
    study : Study
        The settings.
    opened : list of Opened
        Its datasets.
    transfers : list of Transfer
        What was tested.

    Returns
    -------
    list of (str, list of list)
        The title of each section, and its rows: name, value, whether it was given.
    """
    sections = []
    for name in ("general", "windows", "evaluation", "card"):
        part = getattr(study, name)
        title = "study" if name == "general" else name
        values = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
        given = {
            f.name for f in dataclasses.fields(part) if values[f.name] != f.default
        }
        sections.append((f"[{title}]", values, given))
    for one in opened:
        entry = one.entry
        fields = [f for f in dataclasses.fields(entry) if f.name != "options"]
        values = {f.name: getattr(entry, f.name) for f in fields}
        given = {f.name for f in fields if values[f.name] != f.default}
        given |= set(entry.options)
        function = reader_function(entry.reader_name)
        if function is not None:
            keys = keys_of_function(function, (*OF_STUDY, "subjects"))
            values |= {k: key.default for k, key in keys.items()}
        values |= entry.options | {"reader": entry.reader_name}
        values["fingerprint of settings and files"] = one.key[:12]
        sections.append((f"[[datasets]] {entry.name}", values, given))
    if any(entry.clean for entry in study.datasets):
        values = {k: one.default for k, one in cleaning_keys().items()}
        sections.append(("[cleaning]", values | study.cleaning, set(study.cleaning)))
    parameters = make_encoder(study).get_params(deep=False)
    values = {k: parameters.get(k, one.default) for k, one in encoder_keys().items()}
    values |= study.encoder
    sections.append(("[encoder]", values, set(study.encoder)))
    for one in transfers:
        sections.append((f"What followed for {one.name}", _decided(study, one), set()))
    return [
        (title, [[k, show_value(v), k in given] for k, v in values.items()])
        for title, values, given in sections
    ]


def _decided(study, transfer):
    """Return what was left open and was decided from the data."""
    alone = transfer.source is None
    protocols = protocols_of(study, alone)
    values = {"protocols": list(protocols), "methods": list(methods_of(study, alone))}
    if "few_shot" in protocols:
        values["n_splits"] = transfer.splits.n_splits
    if "leave_subjects_out" in protocols:
        values["n_folds"] = transfer.splits.n_folds
    if transfer.weights is not None and uses_encoder(study, alone):
        values["fingerprint of the weights"] = transfer.weights.key[:12]
    return values


def show_versions():
    """Return heads and rows of a table: the packages, and this machine."""
    rows = [
        ["sklearn_mdjpt", __version__],
        ["Python", platform.python_version()],
        ["system", f"{platform.system()} {platform.machine()}"],
        ["processor cores", str(os.cpu_count())],
        ["device of torch", str(resolve_device("auto"))],
    ]
    for name in _PACKAGES:
        try:
            rows.append([name, version(name)])
        except PackageNotFoundError:
            continue
    return ["package", "version"], rows
