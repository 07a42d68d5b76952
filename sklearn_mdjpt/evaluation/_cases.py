"""Cases of an evaluation (a model and its test windows), and how they are scored."""

import warnings
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.pipeline import Pipeline

from .._identity import say_what_may_be_one
from .._io._fingerprint import NotKnown, fingerprint
from .._validation import check_option, check_y, list_some, warn
from ..classifier._estimator import MDJPTClassifier
from ..model_selection._leakage import LeakageWarning, find_overlap
from ..windows._windows import EEGWindows
from ._class_scores import predict_classes
from ._encoded import POSITION, encode, encoded_path, encodes_once, with_encoded
from ._jobs import Job, computed_with
from ._models import (
    assert_unseen,
    find_encoders,
    is_pretrained,
    keep_weights,
    pretrain_encoder,
    replace_encoders,
    spell_out_encoders,
    training_key,
    with_weights,
)
from ._neighbours import class_similarities
from ._scores import (
    Predictions,
    make_target,
    most_frequent,
    score_baselines,
    score_predictions,
    single_class_subjects,
)

EXCLUDE = ("subject", "trial", "window")
_ORDER = ("protocol", "dataset", "method", "split", "subject", "unit", "metric",
          "value", "n", "n_classes", "leak", "seconds")  # fmt: skip


@dataclass
class Case:
    """One model, to be scored on one set of windows.

    Attributes
    ----------
    about : dict of str to object
        What the table says about it: protocol, method, ...
    model : estimator
        The model; for nearest neighbours a transformer.
    windows : LabelledWindows
        What it is tested on.
    splits : list of (ndarray, ndarray), or None
        Training and test positions; None for nearest neighbours.
    exclude : {"subject", "trial", "window"}
        Which windows are not counted as neighbours: those of the same subject, those
        of the same trial, or only the window itself.
    source : EEGWindows or None
        What its encoders are pre-trained on first.
    leak : str
        What is known to have leaked, in all splits.
    """

    about: dict
    model: object
    windows: "LabelledWindows"
    splits: list | None = None
    exclude: str = "subject"
    source: EEGWindows | None = None
    leak: str = ""


class LabelledWindows:
    """Windows with their labels; ``rows`` are their positions in what the user gave."""

    def __init__(self, X, y, rows=None):
        self.target = make_target(X, y)
        self.X = X._with_column(POSITION, np.arange(len(X)))
        self.rows = np.arange(len(X)) if rows is None else rows
        self.y = self.target.classes[self.target.codes]
        self._key = None

    @property
    def key(self):
        """Fingerprint of these windows and labels."""
        if self._key is None:
            self._key = fingerprint(self.X, self.y)
        return self._key

    def excluded(self, exclude):
        """Return codes of windows; those with the same code are no neighbours."""
        if exclude == "window":
            return np.arange(len(self.X))
        return pd.factorize(self.X.groups(exclude))[0]


def by_dataset(X, y):
    """Return the windows of each dataset by its name."""
    check_windows(X, "X")
    y = X.y if y is None else check_y(y, len(X))
    names = X.groups("dataset")
    found = {}
    for name in dict.fromkeys(names):
        rows = np.flatnonzero(names == name)
        found[name] = LabelledWindows(X[rows], None if y is None else y[rows], rows)
    return found


def check_windows(X, name):
    """Raise unless X is EEGWindows with a subject for each window."""
    if not isinstance(X, EEGWindows):
        raise TypeError(
            f"{name} must be EEGWindows, which know whose windows they are, got "
            f"{type(X).__name__}. EEGWindows.from_arrays(X, ch_names=..., sfreq=..., "
            "subject=...), from_epochs and from_braindecode make them."
        )
    if not len(X):
        raise ValueError(f"{name} has no windows.")
    X.groups("subject")


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
        return spell_out_encoders(model)._make_features(0)
    if isinstance(model, Pipeline) and is_classifier(model):
        return model[:-1] if len(model) > 1 else None
    return model if hasattr(model, "transform") else None


def run_cases(cases, runner, on_leak, return_predictions):
    """Check for leaks, pre-train, and score; return the table.

    Parameters
    ----------
    cases : list of Case
        In the order of the table.
    runner : JobRunner
        Runs the jobs.
    on_leak : {"raise", "warn"}
        What to do where training and test are not apart.
    return_predictions : bool
        Whether to return what was predicted for each window, too.

    Returns
    -------
    table : DataFrame
        The scores.
    predictions : DataFrame
        Only with ``return_predictions``.
    """
    check_option(on_leak, ("raise", "warn"), "on_leak")
    leaks = _check_leaks(cases, on_leak)
    with runner:
        models = pretrain_models([(case.model, case.source) for case in cases], runner)
        ready = _encode_once(models, cases, runner)
        keys = _model_keys(models, cases, runner)
        jobs, splits = _scoring_jobs(cases, ready, keys)
        results = runner.run(jobs)

    _warn_of_scores(cases, splits, results)
    tables, predicted = _baselines(cases), []
    for (i, k), result in zip(splits, results, strict=True):
        case = cases[i]
        n = len(case.windows.X)
        rows = np.arange(n) if case.splits is None else case.splits[k][1]
        scores = result["scores"] if result["scores"].size else None
        predictions = Predictions(rows, result["codes"], scores)
        about = {**case.about, "split": k}
        table = score_predictions(case.windows.target, predictions)
        table = table.assign(
            **{name: value for name, value in about.items() if name != "dataset"},
            leak=leaks[i][k],
            seconds=float(result["seconds"]),
        )
        tables.append(table)
        if return_predictions:
            predicted.append(_prediction_table(case.windows, predictions, about))
    table = _tidy(pd.concat(tables, ignore_index=True))
    if return_predictions:
        return table, pd.concat(predicted, ignore_index=True)
    return table


def _scoring_jobs(cases, models, keys):
    """Return a job for each split, and which case and split each job belongs to."""
    jobs, splits = [], []
    for i, case in enumerate(cases):
        names = [str(v) for v in (case.about.get("dataset"), case.about["method"]) if v]
        name = f"{case.about['protocol']}, {', '.join(names)}"
        if case.splits is None:
            args = (models[i], case.windows, case.exclude)
            key = keys[i] and fingerprint(keys[i], case.exclude)
            jobs.append(Job(name, _nearest, args, key))
            splits.append((i, 0))
            continue
        for k, (train, test) in enumerate(case.splits):
            X, y = case.windows.X, case.windows.y
            key = keys[i] and fingerprint(keys[i], train, test)
            args = (models[i], X[train], y[train], X[test], case.windows.target.classes)
            label = f"{name}, split {k + 1}"
            jobs.append(Job(label, _fit_predict, args, key))
            splits.append((i, k))
    return jobs, splits


def pretrain_models(models, runner):
    """Pre-train the encoders inside models; each training is done once.

    Parameters
    ----------
    models : list of (estimator, EEGWindows or None)
        Models, and what to pre-train on.
    runner : JobRunner
        Runs the trainings and keeps the weights.

    Returns
    -------
    list of estimator
        Not fitted, their encoders with weights; without a source as they were.
    """
    folder, checkpoints = runner.weights_folder, runner.checkpoint_dir
    prepared, jobs, paths, not_known = [], {}, {}, {}
    for given, source in models:
        model = replace_encoders(
            spell_out_encoders(given), lambda encoder: keep_weights(encoder, folder)
        )
        prepared.append(model)
        if source is None:
            continue
        whole = find_encoders(given)
        for name, encoder in find_encoders(model).items():
            if is_pretrained(encoder):
                continue
            try:
                key, resume = training_key(encoder, source), checkpoints
            except NotKnown:
                # Trained for this call, once.
                which = id(whole.get(name, given)), id(source)
                key = not_known.setdefault(which, uuid4().hex)
                resume = None
            path = folder / f"{key}.safetensors"
            job = Job(
                f"pre-training on {_datasets(source)}", _pretrain,
                (encoder, source, path, resume),
            )  # fmt: skip
            jobs.setdefault(path, job)
            paths[id(encoder)] = path
    runner.run(list(jobs.values()))
    return [
        replace_encoders(
            model,
            lambda e: with_weights(e, paths[id(e)]) if id(e) in paths else e,
        )
        for model in prepared
    ]


def _encode_once(models, cases, runner):
    """Return the models, with the features of frozen encoders looked up."""
    folder, jobs, ready = runner.weights_folder, {}, []
    for model, case in zip(models, cases, strict=True):
        if not encodes_once(model, case):
            ready.append(model)
            continue
        try:
            ready.append(with_encoded(model, case.windows, folder))
        except NotKnown:
            ready.append(model)
            continue
        for encoder in find_encoders(model).values():
            path = encoded_path(encoder, case.windows, folder)
            if not path.exists():
                name = f"encoding of {_datasets(case.windows.X)}"
                jobs[path] = Job(name, _encode, (encoder, case.windows.X, path))
    runner.run(list(jobs.values()))
    return ready


def _model_keys(models, cases, runner):
    """Return a fingerprint of each case; None where its results are not kept."""
    if runner.folder is None:
        return [None] * len(cases)
    keys, reasons = [], {}
    for model, case in zip(models, cases, strict=True):
        try:
            keys.append(fingerprint(computed_with(), case.windows.key, model))
        except NotKnown as error:
            keys.append(None)
            reasons[case.about["method"]] = error
    for method, reason in reasons.items():
        warn(f"Results of {method!r} are not cached, because {reason}.")
    return keys


def _check_leaks(cases, on_leak):
    """Return what leaks in each split of each case; warn once for all splits."""
    leaks, known, texts = [], {}, []
    for case in cases:
        X = case.windows.X
        if case.splits is None:
            tested = np.arange(len(X))
        else:
            tested = np.unique(np.concatenate([test for _, test in case.splits]))
        # The model of all cases of one method is the same object.
        key = id(case.model), id(case.windows)
        if key not in known:
            known[key] = assert_unseen(case.model, X[tested], on_leak=on_leak)
        common = [x for x in (known[key], case.leak) if x]
        if case.source is not None and not _all_pretrained(case.model):
            key = id(case.source), id(case.windows)
            if key not in known:
                known[key] = _source_leaks(case.source, X, on_leak)
            common += known[key]
        if case.splits is None:
            leaks.append([", ".join(dict.fromkeys(common))])
            continue
        own = []
        for train, test in case.splits:
            key = id(case.windows), train.tobytes(), test.tobytes()
            if key not in known:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    known[key] = _overlap(X[train], X[test], on_leak)
                texts += [str(warning.message) for warning in caught]
            own.append(", ".join(dict.fromkeys([*known[key], *common])))
        leaks.append(own)
    if texts:
        others = f" And so in {len(texts)} splits in all." if len(texts) > 1 else ""
        warn(f"{texts[0]}{others}", LeakageWarning)
    return leaks


def _source_leaks(source, X, on_leak):
    """Return what leaks from a source to the windows that are tested on."""
    shared = np.intersect1d(source.groups("subject"), X.groups("subject"))
    recordings = {*map(id, source.recordings)} & {*map(id, X.recordings)}
    if len(shared) or recordings:
        text = (
            f"source holds {len(shared)} of the subjects of X: {list_some(shared, 3)}."
        )
        if not len(shared):
            text = f"source holds {len(recordings)} recordings of X under other names."
        if on_leak == "raise":
            raise ValueError(f"{text} Encoders are to be pre-trained on others.")
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


def _all_pretrained(model):
    return all(map(is_pretrained, find_encoders(spell_out_encoders(model)).values()))


def _datasets(source):
    return " + ".join(dict.fromkeys(source.groups("dataset")))


# Jobs: they run in other processes ----------------------------------------------------


def _pretrain(encoder, source, path, checkpoints):
    pretrain_encoder(encoder, source, path, checkpoints)
    return {}


def _encode(encoder, X, path):
    encode(encoder, X, path)
    return {}


def _fit_predict(model, X_train, y_train, X_test, classes):
    model = clone(model).fit(X_train, y_train)
    predicted = predict_classes(model, X_test, classes, y_train)
    scores = np.empty(0) if predicted.scores is None else predicted.scores
    return {
        "codes": predicted.codes,
        "scores": scores,
        "problem": np.array(predicted.problem),
    }


def _nearest(model, windows, exclude):
    Z = np.asarray(clone(model).fit_transform(windows.X))
    if Z.ndim != 2:
        raise ValueError(
            f"Neighbours are found among 2-D features, got shape {Z.shape}."
        )
    target = windows.target
    scores = class_similarities(
        Z, target.codes, len(target.classes), windows.excluded(exclude)
    )
    return {"codes": scores.argmax(axis=1), "scores": scores, "problem": np.array("")}


# Tables -----------------------------------------------------------------------


def _baselines(cases):
    """Return the scores of chance and majority, once for each list of splits."""
    tables, done, single = [], set(), []
    for case in cases:
        target = case.windows.target
        about = {k: v for k, v in case.about.items() if k not in ("method", "dataset")}
        rows = range(1) if case.splits is None else range(len(case.splits))
        for k in rows:
            key = (id(case.windows), k, str(about))
            if key in done:
                continue
            done.add(key)
            if case.splits is None:
                test = np.arange(len(target.codes))
                majority = _majority_of_others(case)
            else:
                train, test = case.splits[k]
                most = most_frequent(target.codes[train], len(target.classes))
                majority = np.full(len(test), most)
            single += single_class_subjects(target, test)
            table = score_baselines(target, test, majority)
            tables.append(table.assign(**about, split=k, leak="", seconds=0.0))
    if single:
        single = list(dict.fromkeys(single))
        warn(
            f"{len(single)} test subjects have windows of one class only in a split: "
            f"{list_some(single)}. Their roc_auc is NaN, and their balanced accuracy "
            "is the recall of that class.",
        )
    return tables


def _warn_of_scores(cases, splits, results):
    """Warn once for each model whose scores are not used, and say why."""
    problems = {}
    for (i, _), result in zip(splits, results, strict=True):
        texts = problems.setdefault(cases[i].about["method"], [])
        texts.append(str(result["problem"]))
    for method, texts in problems.items():
        found = [text for text in texts if text]
        if found:
            warn(
                f"{method!r} has no scores of classes in {len(found)} of {len(texts)} "
                f"splits: {found[0]}. Its roc_auc is NaN there, and its trials are "
                "what most of their windows are predicted to be.",
            )


def _majority_of_others(case):
    codes, n_classes = case.windows.target.codes, len(case.windows.target.classes)
    excluded = case.windows.excluded(case.exclude)
    counts = np.zeros((excluded.max() + 1, n_classes), dtype=int)
    np.add.at(counts, (excluded, codes), 1)
    return (counts.sum(axis=0) - counts[excluded]).argmax(axis=1)


def _prediction_table(windows, predictions, about):
    target, rows = windows.target, predictions.rows
    metadata = windows.X.metadata.iloc[rows].reset_index(drop=True)
    table = pd.DataFrame({**about, "window": windows.rows[rows]})
    table["dataset"] = target.datasets[rows]
    table["subject"] = target.subjects[rows]
    for name in ("session", "trial", "stimulus", "onset"):
        table[name] = metadata[name]
    table["label"] = target.classes[target.codes[rows]]
    table["predicted"] = target.classes[predictions.codes]
    if predictions.scores is not None:
        for k, name in enumerate(target.classes):
            table[f"score_{name}"] = predictions.scores[:, k]
    return table


def _tidy(table):
    own = [name for name in table.columns if name not in _ORDER]
    order = list(_ORDER)
    place = order.index("method") + 1
    return table[[*order[:place], *own, *order[place:]]]
