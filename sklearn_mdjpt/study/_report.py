"""The report of a study: one page that holds all it shows."""

from __future__ import annotations

import datetime
from importlib.resources import files

import pandas as pd

from .. import __version__
from .._io._files import write_file
from .._validation import list_some
from ..encoder._progress import clock
from ..evaluation import compare, summary
from ..evaluation._scores import BASELINES
from ..evaluation._summary import scores_of_groups, subject_means
from ._figures import figure_of_history, figure_of_scores
from ._methods import METHODS
from ._readers import CITATIONS
from ._shown import Table, describe_protocol, show_methods, show_settings, show_versions
from ._training import is_anonymous

_FURTHER = {
    "accuracy": "accuracy, %",
    "f1": "F1, %",
    "roc_auc": "AUROC, %",
}
# Below it no signed-rank test can find anything at 5 %.
_FEW = 6
_PROTOCOLS = {
    "few_shot": "A few labelled people",
    "zero_shot": "Nearest neighbour, without training",
    "leave_subjects_out": "New people of the same study",
}


def write_report(
    path, study, opened, transfers, weights, table, unsure, *, noticed, key
):
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
    noticed : list of list
        As `Notices.table` returns it.
    key : str
        Fingerprint of settings and data.
    """
    import jinja2

    encoder = None if weights is None else weights.load()
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    source = (files(__package__) / "report.html.jinja").read_text(encoding="utf-8")
    tested = {one.name: one for one in transfers}
    results = [
        _result(group, study, protocol, tested[dataset])
        for (dataset, protocol), group in _groups(table)
    ]
    anonymous = is_anonymous(study, study.datasets)
    page = environment.from_string(source).render(
        title=study.title,
        date=datetime.date.today().isoformat(),
        version=__version__,
        results=results,
        sentences=[result["sentence"] for result in results],
        attention=_attention(noticed),
        noticed=_noticed(noticed),
        people=None if anonymous else _people(transfers),
        anonymous=anonymous,
        key=key[:12],
        file=study.path.name,
        history=None if encoder is None else _history(encoder),
        datasets=_datasets(opened),
        cleaning=_cleaning(opened),
        seen=_seen(study, weights, transfers),
        leaks=_leaks(table, transfers, unsure),
        settings=show_settings(study, opened, transfers),
        versions=Table(*show_versions()),
        citations=_citations(study),
        methods=show_methods(study, table, transfers),
    )
    write_file(path, page.encode())


# Results ----------------------------------------------------------------------------


def _groups(table):
    """Yield the scores of each dataset and protocol."""
    return table.groupby(["dataset", "protocol"], sort=False)


def _result(scores, study, protocol, transfer):
    title, dataset = _PROTOCOLS[protocol], transfer.name
    means = summary(scores)
    return {
        "title": f"{dataset}: {title[0].lower()}{title[1:]}",
        "text": describe_protocol(study, protocol, transfer),
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
    title = _PROTOCOLS[protocol]
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
    n_compared = int((~found.index.isin(BASELINES)).sum())
    for name in ours:
        if name in found.index:
            row = found.loc[name]
            own = tested.loc[tested["method"] == name, "mean"].iloc[0]
            text += (
                f" {name} had {_percent(own)} %, {_percent(abs(row['difference']))} "
                f"points {'more' if row['difference'] >= 0 else 'less'} than "
                f"{reference} (95 % interval {_interval(row, True)}; {_show_p(row)} "
                f"by Wilcoxon's test, with Holm's correction for {n_compared} "
                f"comparison{'s' * (n_compared != 1)})."
            )
            break
    if best["n_subjects"] < _FEW:
        text += f" With {best['n_subjects']} people, intervals and tests say little."
    return text


def _attention(noticed):
    """Say how much was noticed, and where."""
    names = list_some(dict.fromkeys(row[0] for row in noticed))
    what = "thing was" if len(noticed) == 1 else "things were"
    return f"{len(noticed)} {what} noticed in the data of {names}"


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


def _noticed(rows):
    """Return the table of what was noticed; None if nothing was."""
    heads = ["dataset", "what was noticed", "times", "in"]
    rows = [[name, text, str(n), steps] for name, text, n, steps in rows]
    return Table(heads, sorted(rows)) if rows else None


def _people(transfers):
    """Return the names of those whom the scores are about, by dataset."""
    found = []
    for one in transfers:
        names = dict.fromkeys(one.target.metadata["subject"].map(str))
        found.append((one.name, len(names), ", ".join(names)))
    return found


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
    hidden = is_anonymous(study, study.datasets)
    used = {}
    if weights is not None:  # else no method has an encoder
        used = {one.weights.path: one.weights for one in transfers if one.weights}
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
            "subjects": None if subjects is None or hidden else ", ".join(subjects),
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


def _show_p(row):
    text = _p(row["p_holm"])
    return f"p {text}" if text.startswith("<") else f"p = {text}"
