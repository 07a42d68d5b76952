"""The report of a study: one page that holds all it shows."""

from __future__ import annotations

import dataclasses
import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import NamedTuple

import pandas as pd

from .. import __version__
from .._io._files import write_file
from .._torch import resolve_device
from .._validation import list_some
from ..encoder._progress import clock
from ..evaluation import compare, summary
from ..evaluation._scores import BASELINES
from ..evaluation._summary import scores_of_groups, subject_means
from ._figures import figure_of_history, figure_of_scores
from ._keys import show_value
from ._methods import METHODS
from ._readers import CITATIONS
from ._settings import cleaning_keys, encoder_keys
from ._training import is_anonymous, make_encoder

_PACKAGES = (
    "torch", "skorch", "scikit-learn", "numpy", "scipy", "pandas", "mne", "pyriemann",
    "braindecode", "matplotlib",
)  # fmt: skip
_FURTHER = {
    "accuracy": "accuracy, %",
    "f1": "F1, %",
    "roc_auc": "AUROC, %",
}
# Below it no signed-rank test can find anything at 5 %.
_FEW = 6
_PROTOCOLS = {
    "few_shot": (
        "A few labelled people",
        "The encoder was trained on other datasets, without their labels.  A "
        "classifier learns from the labels of some people of this dataset and is "
        "tested on all others, in several random splits.",
    ),
    "zero_shot": (
        "Nearest neighbour, without training",
        "Each window gets the label of the most similar window of another person of "
        "this dataset, whose labels are known; no classifier is trained, and methods "
        "count by their features alone.",
    ),
    "leave_subjects_out": (
        "New people of the same study",
        "Groups of people are left out in turn: a classifier learns from all others "
        "and is tested on those.",
    ),
}


class Table(NamedTuple):
    """A table of the page: heads of the columns, and rows of texts."""

    heads: list
    rows: list
    faint: list = []
    """Numbers of rows that are there for comparison only."""


def write_report(path, study, opened, transfers, weights, table, unsure):
    """Write the page.

    Parameters
    ----------
    path : Path
        The file.
    study : Study
        The settings.
    opened : list of Opened
        The datasets.
    transfers : list of Transfer
        What was tested on which encoder.
    weights : Weights or None
        Those that were trained on all sources.
    table : DataFrame
        The scores.
    unsure : list of str
        What the search for leaks could not know.
    """
    import jinja2

    encoder = None if weights is None else weights.load()
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    source = (files(__package__) / "report.html.jinja").read_text(encoding="utf-8")
    results = [_result(group, study, name) for name, group in _groups(table)]
    page = environment.from_string(source).render(
        title=study.title,
        date=datetime.date.today().isoformat(),
        version=__version__,
        results=results,
        sentences=[result["sentence"] for result in results],
        history=None if encoder is None else _history(encoder),
        datasets=_datasets(opened),
        cleaning=_cleaning(opened),
        seen=_seen(study, weights, transfers),
        leaks=_leaks(table, transfers, unsure),
        settings=_settings(study),
        versions=_versions(),
        citations=_citations(study),
        methods=Table(
            ["method", "what it does"],
            [[METHODS[m].title, METHODS[m].doc] for m in study.evaluation.methods],
        ),
    )
    write_file(path, page.encode())


# Results ----------------------------------------------------------------------------


def _groups(table):
    """Yield the scores of each dataset and protocol."""
    return table.groupby(["dataset", "protocol"], sort=False)


def _result(scores, study, name):
    dataset, protocol = name
    title, text = _PROTOCOLS[protocol]
    means = summary(scores)
    return {
        "title": f"{dataset}: {title[0].lower()}{title[1:]}",
        "text": text,
        "table": _means(scores, means),
        "comparison": _comparison(scores, study),
        "reference": study.evaluation.reference_title,
        "figure": figure_of_scores(scores),
        "alt": f"Scores of each person of {dataset}, {protocol.replace('_', ' ')}",
        "sentence": _sentence(dataset, protocol, means, scores, study),
        "n_classes": int(scores["n_classes"].max()),
    }


def _means(scores, means):
    further = {
        label: _by_method(scores, metric, "window")
        for metric, label in _FURTHER.items()
    }
    if "trial" in set(scores["unit"]):
        further["of whole trials, %"] = _by_method(scores, "balanced_accuracy", "trial")
    heads = ["method", "balanced accuracy, %", "95 % interval", "SD", *further]
    heads += ["people", "splits", "time of a split", "leak"]
    rows = []
    for _, row in means.iterrows():
        method = row["method"]
        rows.append([
            method, _percent(row["mean"]),
            "–" if method == "chance" else _interval(row), _percent(row["sd"]),
            *(_percent(column.get(method)) for column in further.values()),
            str(row["n_subjects"]), str(row["n_splits"]),
            "" if method in BASELINES else clock(row["seconds"]),
            row["leak"] or "none",
        ])  # fmt: skip
    faint = [k for k, row in enumerate(rows) if row[0] in BASELINES]
    return Table(heads, rows, faint)


def _by_method(scores, metric, unit):
    """Return the mean over people of each method."""
    return {
        columns["method"]: subject_means(group).mean()
        for columns, group in scores_of_groups(scores, metric, unit)
    }


def _comparison(scores, study):
    reference = study.evaluation.reference_title
    if reference not in set(scores["method"]):
        return None
    found = compare(scores, reference)
    if len(found):
        found = found[~found["method"].isin(BASELINES)]
    if not len(found):
        return None
    heads = [
        "method", "difference, points", "95 % interval", "better", "worse",
        "p (Wilcoxon)", "p (Holm)",
    ]  # fmt: skip
    rows = [
        [
            row["method"], _percent(row["difference"], sign=True), _interval(row, True),
            f"{row['n_better']} of {row['n_subjects']}", str(row["n_worse"]),
            _p(row["p"]), _p(row["p_holm"]),
        ]
        for _, row in found.iterrows()
    ]  # fmt: skip
    return Table(heads, rows)


def _sentence(dataset, protocol, means, scores, study):
    """Say in plain words what came out, on one dataset under one protocol."""
    title = _PROTOCOLS[protocol][0]
    tested = means[~means["method"].isin(BASELINES)]
    best = tested.loc[tested["mean"].idxmax()]
    chance = means.loc[means["method"] == "chance", "mean"].mean()
    text = (
        f"{dataset}, {title[0].lower()}{title[1:]}: the best of {len(tested)} methods "
        f"was {best['method']}, with a balanced accuracy of {_percent(best['mean'])} % "
        f"(95 % interval {_interval(best)}, {best['n_subjects']} people; chance is "
        f"{_percent(chance)} %)."
    )
    ours = [METHODS[name].title for name in METHODS if METHODS[name].encoder]
    reference = study.evaluation.reference_title
    if reference not in set(tested["method"]):
        return text
    found = compare(scores, reference).set_index("method")
    for name in ours:
        if name in found.index:
            row = found.loc[name]
            own = tested.loc[tested["method"] == name, "mean"].iloc[0]
            text += (
                f" {name} had {_percent(own)} %, {_percent(abs(row['difference']))} "
                f"points {'more' if row['difference'] >= 0 else 'less'} than "
                f"{reference} (95 % interval {_interval(row, True)}; p = "
                f"{_p(row['p_holm'])})."
            )
            break
    if best["n_subjects"] < _FEW:
        text += f" With {best['n_subjects']} people, intervals and tests say little."
    return text


# What it was computed from ----------------------------------------------------------


def _datasets(opened):
    heads = [
        "dataset", "role", "people", "windows", "seconds", "trials", "stimuli",
        "labels", "channels", "Hz", "hours", "no label",
    ]  # fmt: skip
    rows = []
    for one in opened:
        X = one.windows
        for _, row in X._summary().iterrows():
            part = X.metadata[X.metadata["dataset"] == row["dataset"]]
            trials = part[["subject", "session", "trial"]].drop_duplicates()
            labels = part["label"].dropna()
            rows.append([
                row["dataset"], one.entry.role, row["subjects"], f"{len(part):,}",
                row["seconds"], len(trials), row["stimuli"],
                list_some(map(str, dict.fromkeys(labels.sort_values())), 12),
                row["channels"], row["hertz"], f"{_hours(X, row['dataset']):.1f}",
                len(part) - len(labels),
            ])  # fmt: skip
    return Table(heads, rows)


def _hours(X, dataset):
    """Return the hours of the recordings of a dataset."""
    return (
        sum(
            source.n_times / source.sfreq
            for source, rows, *_ in X.blocks()
            if source.is_continuous and X.metadata["dataset"].iloc[rows[0]] == dataset
        )
        / 3600
    )


def _cleaning(opened):
    heads = [
        "dataset", "recordings", "channels interpolated (mean)", "most",
        "components removed (mean)", "of (mean)", "warnings",
    ]  # fmt: skip
    rows = [
        [
            one.entry.name, c["recordings"], f"{c['interpolated']:.1f}",
            c["most_interpolated"], f"{c['removed']:.1f}", f"{c['components']:.1f}",
            list_some(c["warnings"], 3) or "none",
        ]
        for one in opened
        if (c := one.cleaning) is not None
    ]  # fmt: skip
    return Table(heads, rows) if rows else None


def _history(encoder):
    history = encoder.history_
    if not len(history):
        return None
    return {
        "figure": figure_of_history(history),
        "n_epochs": len(history),
        "time": clock(history["seconds"].sum()),
        "first": f"{history['isa'].iloc[0]:.3g}",
        "last": f"{history['isa'].iloc[-1]:.3g}",
    }


def _seen(study, weights, transfers):
    """Return whom each encoder was trained on, and on whom it was tested."""
    found = []
    used = {one.weights.path: one.weights for one in transfers if one.weights}
    if weights is not None:
        used = {weights.path: weights} | used
    for path, one in used.items():
        encoder = one.load()
        subjects = encoder.training_subjects_
        tested = [t.name for t in transfers if t.weights and t.weights.path == path]
        found.append({
            "tested": ", ".join(tested),
            "published": weights is not None and path == weights.path,
            "anonymous": is_anonymous(study),
            "n": encoder.n_training_subjects_,
            "datasets": ", ".join(encoder.training_datasets_ or ()),
            "subjects": None if subjects is None else ", ".join(subjects),
        })  # fmt: skip
    return found


def _leaks(table, transfers, unsure):
    """Return what was looked for, and what was found."""
    n_tested = sum(len(set(one.target.groups("subject"))) for one in transfers)
    trained = [one for one in transfers if one.source is not None]
    rows = []
    if trained:
        rows += [
            [
                "People who are tested, among those that the encoder was trained on",
                "cannot be excluded: " + " ".join(unsure)
                if unsure
                else f"none ({n_tested} people tested)",
            ],
            [
                "Recordings that are tested, among those that the encoder was trained "
                "on, under another name (by their samples)",
                "none",
            ],
        ]
    leaks = sorted({text for text in table["leak"] if text})
    rows.append([
        "People or trials on both sides of a split of the classifier",
        ", ".join(leaks) or "none",
    ])  # fmt: skip
    if {"few_shot", "leave_subjects_out"} & {*table["protocol"]}:
        if any(one.target.metadata["stimulus"].notna().any() for one in transfers):
            rows.append([
                "Clips that training and test people of the classifier both saw",
                "yes, by design: a classifier may know the clip in place of the "
                "emotion. LeaveSubjectsAndStimuliOut holds clips out as well.",
            ])  # fmt: skip
    if trained:
        rows.append([
            "Clips that two datasets have in common",
            "not looked for: each dataset has its own names. The encoder is trained "
            "without labels.",
        ])  # fmt: skip
    rows.append([
        "Statistics of a test person's own windows",
        "used by the methods called transductive, without labels",
    ])  # fmt: skip
    return Table(["looked for", "found"], rows)


def _settings(study):
    """Return all settings with their values; those that are no defaults are marked."""
    sections = []
    for name in ("general", "windows", "evaluation", "card"):
        part = getattr(study, name)
        title = "study" if name == "general" else name
        values = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
        given = {
            f.name for f in dataclasses.fields(part) if values[f.name] != f.default
        }
        sections.append((f"[{title}]", values, given))
    for entry in study.datasets:
        fields = [f for f in dataclasses.fields(entry) if f.name != "options"]
        values = {f.name: getattr(entry, f.name) for f in fields}
        given = {f.name for f in fields if values[f.name] != f.default}
        given |= set(entry.options)
        values |= entry.options | {"reader": entry.reader_name}
        sections.append((f"[[datasets]] {entry.name}", values, given))
    if any(entry.clean for entry in study.datasets):
        values = {k: one.default for k, one in cleaning_keys().items()}
        sections.append(("[cleaning]", values | study.cleaning, set(study.cleaning)))
    parameters = make_encoder(study).get_params(deep=False)
    values = {k: parameters.get(k, one.default) for k, one in encoder_keys().items()}
    values |= study.encoder
    sections.append(("[encoder]", values, set(study.encoder)))
    return [
        (title, [[k, show_value(v), k in given] for k, v in values.items()])
        for title, values, given in sections
    ]


def _versions():
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
    return Table(["package", "version"], rows)


def _citations(study):
    found = {
        entry.name: CITATIONS[entry.reader_name]
        for entry in study.datasets
        if entry.reader_name in CITATIONS
    }
    return sorted(found.items())


# Numbers as texts -------------------------------------------------------------------


def _percent(value, sign=False):
    if value is None or pd.isna(value):
        return "–"
    return f"{100 * value:{'+' * sign}.1f}".replace("-", "−")


def _interval(row, sign=False):
    if pd.isna(row["low"]):
        return "–"
    return f"{_percent(row['low'], sign)} to {_percent(row['high'], sign)}"


def _p(value):
    if pd.isna(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
