"""The two commands of a study: pre-train, and evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from .._io._files import write_file
from .._io._fingerprint import fingerprint
from .._validation import check_installed
from ._card import scores_for_card
from ._data import dataset_key, join, open_datasets
from ._evaluation import (
    check_evaluation,
    fewer_splits,
    find_leaks,
    is_alone,
    make_transfers,
    score,
    uses_encoder,
)
from ._look import look_at_all, look_at_sources
from ._noticed import Notices
from ._report import write_report
from ._results import PUBLISHED, REPORT, SCORES, begin_results, results_key
from ._settings import Study
from ._steps import Progress, folder_of
from ._training import main_weights, publish

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
    progress, notices = Progress(verbose), Notices()
    study, looked = look_at_sources(study, notices)
    with folder_of(study):
        keys = {one.key: one.entry for one in looked}
        weights = main_weights(study, keys)
        begin_results(study, _key(study), progress)
        if weights.path.exists() and _is_published(study, weights):
            progress.say(f"Finished before: {weights.path}; settings are the same.")
            return weights.path
        opened = open_datasets(study, looked, progress, notices)
        _train(weights, opened, progress, notices)
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
    progress, notices = Progress(verbose), Notices()
    study, looked = look_at_all(study, notices)
    with folder_of(study) as folder:
        key = results_key(study, [one.key for one in looked])
        begin_results(study, key, progress)
        opened = open_datasets(study, looked, progress, notices)
        transfers = make_transfers(study, opened)
        check_evaluation(study, transfers)
        for name, protocol, text in fewer_splits(study, transfers):
            notices.add(name, protocol, text)
        unsure = _look_for_leaks(folder, transfers, progress)
        weights = None
        if uses_encoder(study, is_alone(transfers)):
            weights = main_weights(study, {one.key: one.entry for one in opened})
            _train(weights, opened, progress, notices)
            for one in transfers:
                if one.weights is not None and one.weights.path != weights.path:
                    what = f"Pre-training for a test on {one.name}, on"
                    one.weights.train(one.source, progress, notices, what)
        table = score(study, transfers, progress, notices)
        write_file(folder / SCORES, table.to_csv(index=False).encode())
        if weights is not None:
            publish(
                study, weights, progress, **scores_for_card(study, transfers, table)
            )
            _note_published(study, weights)
        path = folder / REPORT
        with progress.step("Report"):
            write_report(
                path, study, opened, transfers, weights, table, unsure,
                noticed=notices.table(), key=key,
            )  # fmt: skip
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
    progress, notices = Progress(verbose), Notices()
    study, looked = look_at_all(study, notices, test=False)
    with folder_of(study):
        X = join(open_datasets(study, looked, progress, notices))
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


def _key(study):
    """Return the key of the results, of all datasets."""
    return results_key(study, [dataset_key(study, one) for one in study.datasets])


def _train(weights, opened, progress, notices):
    source = join([one for one in opened if one.entry.role == "source"])
    weights.train(source, progress, notices, "Pre-training on")


def _note(study, weights):
    return fingerprint(weights.key, study.title, vars(study.card)).encode()


def _note_published(study, weights):
    write_file(study.folder / PUBLISHED, _note(study, weights))


def _is_published(study, weights):
    path = study.folder / PUBLISHED
    return path.exists() and path.read_bytes() == _note(study, weights)
