"""Cases of an evaluation (a model and its test windows), and how they are scored."""

import contextlib
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from .._io._fingerprint import NotKnown, fingerprint
from .._validation import list_some, warn
from ..windows._windows import EEGWindows
from ._class_scores import Predictions, predict_targets
from ._encoded import encode, encoded_path, encodes_once, with_encoded
from ._jobs import Job, JobRunner, computed_with
from ._labelled import LabelledWindows, named_rows
from ._leaks import find_leaks
from ._models import (
    find_encoders,
    is_pretrained,
    pretrain_encoder,
    replace_encoders,
    training_key,
    with_default_encoders,
    with_weights,
    with_weights_in_file,
)
from ._neighbours import class_similarities
from ._scores import predict_baselines, score_predictions
from ._seeds import check_n_seeds, with_seeds

# The columns of a table; further columns of the cases come after "method".
_BEFORE = ["protocol", "dataset", "method"]
_AFTER = [
    "split", "subject", "unit", "metric", "value", "n", "n_classes", "leak", "seconds",
]  # fmt: skip


@dataclass
class Case:
    """One model, to be scored on one set of windows.

    Attributes
    ----------
    columns : dict of str to object
        Columns of the table that are the same in all its rows: protocol, method, ...
    model : estimator
        A classifier; for nearest neighbours a transformer.
    windows : LabelledWindows
        The windows to test on.
    splits : list of (ndarray, ndarray)
        Training and test positions; for nearest neighbours one split without training
        windows.
    exclude : {"subject", "trial", "window"} or None
        Which windows are not counted as neighbours: those of the same subject, those
        of the same trial, or only the window itself.  None for a classifier.
    source : EEGWindows or None
        Windows to pre-train encoders on first.
    leak : str
        What is known to leak in all splits.
    """

    columns: dict
    model: object
    windows: LabelledWindows
    splits: list
    exclude: str | None = None
    source: EEGWindows | None = None
    leak: str = ""


def run_cases(cases, on_leak, return_predictions, n_jobs, cache_dir, verbose, n_seeds):
    """Check for leaks, pre-train, and score; return the table.

    Parameters
    ----------
    cases : list of Case
        In the order of the table.
    on_leak, return_predictions, n_jobs, cache_dir, verbose, n_seeds
        As for `leave_subjects_out`.

    Returns
    -------
    table : DataFrame
        The scores.
    predictions : DataFrame
        Only with ``return_predictions``: the predicted class of each window.
    """
    check_n_seeds(n_seeds)
    with JobRunner(cache_dir, n_jobs, verbose) as runner:
        cases, leaks = with_seeds(cases, find_leaks(cases, on_leak), n_seeds)
        models = pretrain_models([(case.model, case.source) for case in cases], runner)
        keys = _model_keys(models, cases, runner)
        models = _encode_once(models, cases, runner)
        jobs = [
            _scoring_job(case, k, model, key)
            for case, model, key in zip(cases, models, keys, strict=True)
            for k in range(len(case.splits))
        ]
        results = iter(runner.run(jobs))

    tables, predicted, problems = score_baselines(cases), [], {}
    for case, case_leaks in zip(cases, leaks, strict=True):
        for k, (_, test) in enumerate(case.splits):
            result = next(results)
            scores = result["scores"] if result["scores"].size else None
            predictions = Predictions(result["codes"], scores)
            columns = {**case.columns, "split": k}
            table = score_predictions(case.windows, test, predictions)
            seconds = float(result["seconds"])
            tables.append(table.assign(**columns, leak=case_leaks[k], seconds=seconds))
            if return_predictions:
                predicted.append(
                    _window_table(case.windows, test, predictions, columns)
                )
            texts = problems.setdefault(case.columns["method"], [])
            texts.append(str(result["problem"]))
    table = pd.concat(tables, ignore_index=True)
    warn_of_scores(problems, table)
    further = [name for name in table if name not in (*_BEFORE, *_AFTER)]
    table = table[[*_BEFORE, *further, *_AFTER]]
    if return_predictions:
        return table, pd.concat(predicted, ignore_index=True)
    return table


def _scoring_job(case, k, model, key):
    """Return the job that fits a model to a split of a case, and predicts."""
    names = [case.columns.get("dataset"), case.columns["method"]]
    if case.columns.get("seed"):
        names.append(f"seed {case.columns['seed']}")
    name = f"{case.columns['protocol']}, {', '.join(filter(None, names))}"
    windows, (train, test) = case.windows, case.splits[k]
    if case.exclude is not None:
        args = (model, windows, case.exclude)
        return Job(name, _find_nearest, args, key and fingerprint(key, case.exclude))
    X, y = windows.X, windows.y
    args = (model, X[train], y[train], X[test], windows.classes)
    key = key and fingerprint(key, train, test)
    return Job(f"{name}, split {k + 1}", _fit_predict, args, key)


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
    folder = runner.weights_folder
    prepared, jobs, paths, not_known = [], {}, {}, {}
    for given, source in models:
        model = replace_encoders(
            with_default_encoders(given), lambda e: with_weights_in_file(e, folder)
        )
        prepared.append(model)
        if source is None:
            continue
        originals = find_encoders(given)
        for name, encoder in find_encoders(model).items():
            if is_pretrained(encoder):
                continue
            checkpoint_dir = runner.checkpoint_dir
            try:
                key = training_key(encoder, source)
            except NotKnown:
                # Trained once in this call, and not taken up by another one.
                ids = id(originals.get(name, given)), id(source)
                key, checkpoint_dir = not_known.setdefault(ids, uuid4().hex), None
            path = paths[id(encoder)] = folder / f"{key}.safetensors"
            args = (encoder, source, path, checkpoint_dir)
            job = Job(f"pre-training on {_datasets(source)}", pretrain_encoder, args)
            jobs.setdefault(path, job)
    runner.run(list(jobs.values()))
    return [
        replace_encoders(
            model,
            lambda e: with_weights(e, paths[id(e)]) if id(e) in paths else e,
        )
        for model in prepared
    ]


def _encode_once(models, cases, runner):
    """Return the models; those of frozen encoders look their features up."""
    folder, jobs, ready = runner.weights_folder, {}, []
    for model, case in zip(models, cases, strict=True):
        # Models whose content is not known encode anew in each split.
        with contextlib.suppress(NotKnown):
            if encodes_once(model, case):
                X = case.windows.X
                for encoder in find_encoders(model).values():
                    path = encoded_path(encoder, case.windows, folder)
                    if not path.exists():
                        name = f"encoding of {_datasets(X)}"
                        jobs[path] = Job(name, encode, (encoder, X, path))
                model = with_encoded(model, case.windows, folder)
        ready.append(model)
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
            reasons[case.columns["method"]] = error
    for method, reason in reasons.items():
        warn(f"Results of {method!r} are not cached, because {reason}.")
    return keys


def _datasets(X):
    return " + ".join(named_rows(X.groups("dataset")))


# Jobs: they run in other processes ----------------------------------------------------


def _fit_predict(model, X_train, y_train, X_test, classes):
    model = clone(model).fit(X_train, y_train)
    codes, scores, problem = predict_targets(model, X_test, classes, y_train)
    scores = np.empty(0) if scores is None else scores
    return {"codes": codes, "scores": scores, "problem": np.array(problem)}


def _find_nearest(model, windows, exclude):
    # A FrozenEstimator has no fit_transform, a pipeline of one has.
    Z = np.asarray(make_pipeline(clone(model)).fit_transform(windows.X))
    if Z.ndim != 2:
        raise ValueError(
            f"Neighbours are found among 2-D features, got shape {Z.shape}."
        )
    scores = class_similarities(
        Z, windows.codes, len(windows.classes), windows.excluded(exclude)
    )
    return {"codes": scores.argmax(axis=1), "scores": scores, "problem": np.array("")}


# Tables -----------------------------------------------------------------------


def score_baselines(cases):
    """Return the scores of the baselines, once for each list of splits."""
    unique = {}
    for case in cases:
        if case.columns.get("seed"):
            continue  # nothing is random in them
        columns = {k: v for k, v in case.columns.items() if k != "method"}
        unique.setdefault((id(case.windows), str(columns)), (case, columns))
    tables = []
    for case, columns in unique.values():
        for k, (train, test) in enumerate(case.splits):
            for method, predictions in predict_baselines(
                case.windows, train, test, case.exclude
            ).items():
                table = score_predictions(case.windows, test, predictions)
                constant = {"method": method, "split": k, "leak": "", "seconds": 0.0}
                tables.append(table.assign(**columns, **constant))
    return tables


def warn_of_scores(problems, table):
    """Warn of subjects of one class, and once for each model without scores."""
    single = table.loc[table["n_classes"] == 1, "subject"].unique()
    if len(single):
        warn(
            f"{len(single)} test subjects have windows of one class only in a split: "
            f"{list_some(single)}. Their roc_auc is NaN, and their balanced accuracy "
            "is the recall of that class.",
        )
    for method, texts in problems.items():
        given = [text for text in texts if text]
        if given:
            warn(
                f"{method!r} has no scores of classes in {len(given)} of {len(texts)} "
                f"splits: {given[0]}. Its roc_auc is NaN there, and its trials have "
                "the class that is predicted for most of their windows.",
            )


def _window_table(windows, rows, predictions, columns):
    """Return the predictions with the ids and labels of the windows."""
    ids = windows.X.metadata[["session", "trial", "stimulus", "onset"]]
    table = pd.DataFrame({**columns, "window": windows.rows[rows]})
    table["dataset"] = windows.datasets[rows]
    table["subject"] = windows.subjects[rows]
    table[list(ids)] = ids.iloc[rows].reset_index(drop=True)
    table["label"] = windows.y[rows]
    if windows.classes is None:
        return table.assign(predicted=predictions.codes)
    table["predicted"] = windows.classes[predictions.codes]
    if predictions.scores is not None:
        table[[f"score_{name}" for name in windows.classes]] = predictions.scores
    return table
