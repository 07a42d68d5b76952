"""The two commands of a study: pre-train, and evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .._io._files import write_file
from .._io._fingerprint import fingerprint
from .._validation import check_installed
from ..evaluation import summary
from ._data import dataset_key, join, open_datasets
from ._evaluation import (
    check_evaluation,
    find_leaks,
    is_alone,
    make_transfers,
    methods_of,
    score,
)
from ._methods import METHODS
from ._report import write_report
from ._settings import Study, read_study
from ._steps import Progress, folder_of
from ._training import is_anonymous, main_weights, publish

if TYPE_CHECKING:
    from .._typing import PathLike
    from ..windows._windows import EEGWindows


def pretrain_study(study: Study | PathLike, *, verbose: int = 1) -> Path:
    """Pre-train the encoder of a study on its sources, and write weights and card.

    Datasets are read, cleaned where that is asked for, and kept as stores; the training
    has checkpoints.  What is done is not done again: after a kill the same call goes
    on, and a finished one returns at once.

    Parameters
    ----------
    study : Study or path-like
        The settings, or their file.
    verbose : int, default=1
        0 prints no progress.

    Returns
    -------
    Path
        The file of the weights, with the names of the people that they saw.  The
        folder ``hub`` of the study holds what is for others: weights and card.

    Raises
    ------
    ValueError
        If the settings are wrong (see `read_study`), or the data cannot be used.
    BlockingIOError
        If another process works in the study's folder.

    See Also
    --------
    evaluate_study : Tests the encoder, and writes a report.
    """
    study, progress = _as_study(study), Progress(verbose)
    with folder_of(study):
        keys = {dataset_key(study, entry): entry for entry in study.sources}
        weights = main_weights(study, keys)
        if weights.path.exists() and _is_published(study, weights):
            progress.say(f"Finished before: {weights.path}; settings are the same.")
            return weights.path
        opened = open_datasets(study, study.sources, progress)
        _train(study, weights, opened, progress)
        publish(study, weights, progress)
        _note_published(study, weights)
    return weights.path


def evaluate_study(study: Study | PathLike, *, verbose: int = 1) -> Path:
    """Test the encoder of a study beside other methods, and write a report.

    What `pretrain_study` does comes first, where it is not done.  Encoders are never
    tested on people that they were trained on: without a dataset whose role is
    "target", each dataset is one in turn, with an encoder that is trained on all
    others.

    Parameters
    ----------
    study : Study or path-like
        The settings, or their file.
    verbose : int, default=1
        0 prints no progress.

    Returns
    -------
    Path
        ``report.html`` in the folder of the study; ``scores.csv`` lies beside it, and
        the card in ``hub`` has the scores.

    Raises
    ------
    ImportError
        Without matplotlib, before any work.
    ValueError
        As for `pretrain_study`; and, before any training, if somebody is among both
        those that the encoder is trained on and those that it is tested on.
    BlockingIOError
        If another process works in the study's folder.

    See Also
    --------
    sklearn_mdjpt.evaluation.few_shot : One of the protocols by itself.
    """
    check_installed("matplotlib", "The report", "pip install 'sklearn_mdjpt[plot]'")
    study, progress = _as_study(study), Progress(verbose)
    with folder_of(study) as folder:
        opened = open_datasets(study, study.datasets, progress)
        transfers = make_transfers(study, opened)
        check_evaluation(study, transfers)
        unsure = _look_for_leaks(folder, transfers, progress)
        weights = None
        if any(
            METHODS[name].encoder for name in methods_of(study, is_alone(transfers))
        ):
            keys = {one.key: one.entry for one in opened}
            weights = main_weights(study, keys)
            _train(study, weights, opened, progress)
            for one in transfers:
                if one.weights is not None and one.weights.path != weights.path:
                    what = f"Pre-training for a test on {one.name}"
                    one.weights.train(one.source, progress, what)
        table = score(study, transfers, progress)
        write_file(folder / "scores.csv", table.to_csv(index=False).encode())
        if weights is not None:
            publish(study, weights, progress, **_for_card(study, table))
            _note_published(study, weights)
        path = folder / "report.html"
        with progress.step("Report"):
            write_report(path, study, opened, transfers, weights, table, unsure)
        progress.say(f"Report: {path}")
    return path


def study_windows(
    study: Study | PathLike, *, verbose: int = 1
) -> dict[str, EEGWindows]:
    """Read the datasets of a study, as its other steps do, and return their windows.

    Parameters
    ----------
    study : Study or path-like
        The settings, or their file.
    verbose : int, default=1
        0 prints no progress.

    Returns
    -------
    dict of str to EEGWindows
        The windows of each dataset by its name, mapped from the stores in the study's
        folder.

    Raises
    ------
    ValueError
        As for `pretrain_study`.
    BlockingIOError
        If another process works in the study's folder.
    """
    study, progress = _as_study(study), Progress(verbose)
    with folder_of(study):
        X = join(open_datasets(study, study.datasets, progress))
    names = X.groups("dataset")
    return {str(name): X[names == name] for name in dict.fromkeys(names)}


def _look_for_leaks(folder, transfers, progress):
    """Return what cannot be known; what was looked at is not read again."""
    key = fingerprint([(one.key, one.source is None) for one in transfers])
    path = folder / "scores" / f"{key}.json"
    if path.exists():
        return json.loads(path.read_bytes())
    with progress.step("Looking for people and recordings on both sides"):
        unsure = find_leaks(transfers)
    path.parent.mkdir(exist_ok=True)
    write_file(path, json.dumps(unsure).encode())
    return unsure


def _as_study(study):
    return study if isinstance(study, Study) else read_study(study)


def _train(study, weights, opened, progress):
    source = join([one for one in opened if one.entry.role == "source"])
    names = ", ".join(entry.name for entry in study.sources)
    weights.train(source, progress, f"Pre-training on {names}")


def _for_card(study, table):
    """Return what the card says of scores.

    These weights were tested where there are targets.  Otherwise they have seen all
    people, and the scores are those of encoders that were trained like them.
    """
    titles = [method.title for method in METHODS.values() if method.encoder]
    means = summary(table[table["method"].isin([*titles, "chance"])])
    if not study.targets:
        several = table["dataset"].nunique() > 1
        text = _RECIPE.format(
            others="all datasets but one scored on that one"
            if several
            else "other people of the dataset scored"
        )
        return {"further": "" if is_anonymous(study) else text + _markdown(means)}
    try:
        from huggingface_hub import EvalResult
    except ImportError:  # `publish` says so
        return {}
    results = [
        EvalResult(
            task_type="eeg-emotion-recognition",
            task_name="Emotion recognition from EEG",
            dataset_type=row["dataset"].lower(),
            dataset_name=row["dataset"],
            dataset_config=row["protocol"],
            metric_type="balanced_accuracy",
            metric_name=f"balanced accuracy, {row['method']}",
            metric_value=round(row["mean"], 4),
            metric_args={
                "low": round(row["low"], 4),
                "high": round(row["high"], 4),
                "n_subjects": int(row["n_subjects"]),
            },
        )
        for _, row in means[means["method"].isin(titles)].iterrows()
    ]
    return {"eval_results": results}


_RECIPE = """## Scores

These weights have seen all of these people and cannot be tested on them.  Encoders that
were trained in the same way on {others}, with 95 % intervals over people:

"""


def _markdown(means: pd.DataFrame) -> str:
    lines = ["| dataset | protocol | method | balanced accuracy, % | people |"]
    lines.append("|---|---|---|---|---|")
    for _, row in means.iterrows():
        interval = f"{100 * row['mean']:.1f}"
        if row["method"] != "chance" and pd.notna(row["low"]):
            interval += f" ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
        lines.append(
            f"| {row['dataset']} | {row['protocol']} | {row['method']} | {interval} | "
            f"{row['n_subjects']} |"
        )
    return "\n".join(lines)


def _note(study, weights):
    return fingerprint(weights.key, study.title, vars(study.card)).encode()


def _note_published(study, weights):
    write_file(study.folder / ".published", _note(study, weights))


def _is_published(study, weights):
    path = study.folder / ".published"
    return path.exists() and path.read_bytes() == _note(study, weights)
