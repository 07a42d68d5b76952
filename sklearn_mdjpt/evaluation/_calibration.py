"""How the score of a new person grows with the minutes that it was calibrated to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone

from .._grouping import natural_codes
from .._io._fingerprint import NotKnown, fingerprint
from .._validation import check_number, check_option, list_some, warn
from ..features._calibration import calibrated
from ._cases import Case, pretrain_models, score_baselines, warn_of_scores
from ._class_scores import Predictions, predict_targets
from ._jobs import Job, JobRunner, computed_with
from ._labelled import check_windows, named_rows, with_targets
from ._leaks import find_leaks
from ._models import check_predictors
from ._protocols import make_splits
from ._scores import score_predictions
from ._seeds import check_n_seeds, with_seeds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike
    from sklearn.model_selection import BaseCrossValidator

    from .._typing import Models, PathLike
    from ..windows._windows import EEGWindows

_PROTOCOL = "calibration"
_COLUMNS = [
    "protocol", "dataset", "method", "minutes", "labelled", "seed", "split", "subject",
    "unit", "metric", "value", "n", "n_classes", "leak", "seconds",
]  # fmt: skip
# Windows end on samples: seconds of sums of them are no round numbers.
_TOLERANCE = 1e-3


class Plan(NamedTuple):
    """What is calibrated to, and what is tested then, in one split.

    Attributes
    ----------
    minutes : float
        Of calibration; inf for all that there is.
    labelled : bool
        Whether the labels of the calibration are used.
    calibration, test : ndarray of int
        Windows of the test subjects.
    """

    minutes: float
    labelled: bool
    calibration: np.ndarray
    test: np.ndarray


def calibration(
    models: Models,
    X: EEGWindows,
    y: ArrayLike | None = None,
    *,
    minutes: Sequence[float | Literal["all"]] = (0, 0.5, 1, 2, 5, "all"),
    labelled: bool | Literal["both"] = False,
    cv: BaseCrossValidator | Iterable[tuple[ArrayLike, ArrayLike]] | int | None = None,
    n_seeds: int = 1,
    on_leak: Literal["raise", "warn"] = "raise",
    n_jobs: int | None = None,
    cache_dir: PathLike | None = None,
    verbose: int = 0,
) -> pd.DataFrame:
    """Score new people against the minutes of EEG that models were calibrated to.

    The first half of the trials of each test subject, in the order in which they were
    recorded, is there to be calibrated to; the others are tested, without those whose
    stimulus was in the first half.  So all numbers of minutes are tested on the same
    windows.  Models are fitted to the training subjects once, and
    `~sklearn_mdjpt.compose.calibrate` fixes the statistics of the test subjects.

    Parameters
    ----------
    models : estimator or dict of str to estimator
        Classifiers that take `EEGWindows`.  Those in which nothing can be calibrated
        have the same score for all minutes.
    X : EEGWindows
        Windows whose subjects, trials and datasets have names.
    y : array-like of shape (n_windows,), default=None
        Labels; None takes ``X.y``.
    minutes : sequence of float or "all", default=(0, 0.5, 1, 2, 5, "all")
        Minutes of EEG, where windows that overlap count once.  With 0 nothing is
        calibrated, and the model treats test subjects as it was fitted to:
        ``subject_norm="train"`` and ``unseen="pooled"`` then take each window by
        itself, the others are transductive.  "all" is the first half of the trials.
    labelled : bool or "both", default=False
        True: the labels of the calibration are used as well: models are fitted to the
        training windows and those of the calibration, then calibrated.  "both" scores
        with and without.
    cv : splitter, iterable of (train, test) positions, or int, default=None
        As for `leave_subjects_out`.
    n_seeds : int, default=1
        As for `leave_subjects_out`.
    on_leak : {"raise", "warn"}, default="raise"
        As for `leave_subjects_out`.
    n_jobs : int, default=None
        As for `leave_subjects_out`.
    cache_dir : str or path-like, default=None
        As for `leave_subjects_out`.
    verbose : int, default=0
        As for `leave_subjects_out`.

    Returns
    -------
    DataFrame
        As of `leave_subjects_out`, with the columns minutes (inf for "all") and
        labelled.  A subject whose first half is shorter than a number of minutes has no
        rows for it.

    Raises
    ------
    ValueError
        If trials are not known, a test subject has fewer than two, or no window is left
        to test; if ``minutes`` are not different numbers from 0 on; else as of
        `leave_subjects_out`.

    Warns
    -----
    UserWarning
        If the first half of some subjects' trials is shorter than a number of minutes.

    See Also
    --------
    sklearn_mdjpt.plotting.plot_calibration : Draws the table.
    sklearn_mdjpt.compose.calibrate : Calibrates a model.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_mdjpt import DifferentialEntropy, SubjectScaler, WindowFeatures
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.evaluation import calibration
    >>> X = make_emotion_windows(1, n_subjects=3, n_stimuli=6, random_state=0)
    >>> features = WindowFeatures(DifferentialEntropy(), [SubjectScaler()])
    >>> model = make_pipeline(features, LogisticRegression(max_iter=5000))
    >>> table = calibration({"DE": model}, X, minutes=(0.5, "all"))
    >>> sorted(set(table["minutes"]))
    [0.5, inf]
    """
    models, kind = check_predictors(models)
    check_windows(X, "X")
    steps = _check_minutes(minutes)
    check_option(labelled, (False, True, "both"), "labelled")
    check_n_seeds(n_seeds)
    kinds = (False, True) if labelled == "both" else (labelled,)
    windows = with_targets(X, y, kind)
    splits = make_splits(cv, X, windows)
    halves = [_halves(windows, test) for _, test in splits]
    plans = [_plans(half, steps, kinds) for half in halves]
    if not any(plans):
        raise ValueError(
            "Nothing can be scored: no subject has so many minutes in the first half "
            f"of its trials ({minutes!r}), or there is no calibration to use labels of."
        )
    _warn_of_short(halves, steps)
    tested = [
        (train, np.sort(np.concatenate([half.test for half in split])))
        for (train, _), split in zip(splits, halves, strict=True)
    ]
    cases = [
        Case({"protocol": _PROTOCOL, "method": name}, model, windows, tested)
        for name, model in models.items()
    ]
    with JobRunner(cache_dir, n_jobs, verbose) as runner:
        cases, leaks = with_seeds(cases, find_leaks(cases, on_leak), n_seeds)
        made = pretrain_models([(case.model, None) for case in cases], runner)
        jobs = [
            _job(case.columns, model, windows, train, plans[k], runner, k)
            for case, model in zip(cases, made, strict=True)
            for k, (train, _) in enumerate(splits)
        ]
        results = iter(runner.run(jobs))
    tables, problems = [_baselines(windows, splits, plans)], {}
    for case, of_case in zip(cases, leaks, strict=True):
        for k, split in enumerate(plans):
            result = next(results)
            found = _scores(windows, split, result)
            columns = {**case.columns, "split": k, "leak": of_case[k]}
            tables.append(found.assign(**columns, seconds=float(result["seconds"])))
            texts = problems.setdefault(case.columns["method"], [])
            texts.append(str(result["problem"]))
    table = pd.concat(tables, ignore_index=True)
    table = table[[name for name in _COLUMNS if n_seeds > 1 or name != "seed"]]
    warn_of_scores(problems, table)
    return table


class _Half(NamedTuple):
    """The windows of a test subject.

    Attributes
    ----------
    subject : str
        Its name.
    calibration : ndarray of int
        Windows of the first half of the trials, in the order of time.
    minutes : ndarray of float
        How much EEG the first ones have together, after each.
    test : ndarray of int
        The windows that are tested.
    """

    subject: str
    calibration: np.ndarray
    minutes: np.ndarray
    test: np.ndarray


def _check_minutes(minutes):
    """Return minutes as floats, inf for "all"."""
    if isinstance(minutes, str | bytes) or not np.iterable(minutes):
        raise TypeError(
            f"minutes must be a sequence, such as [{minutes!r}], got {minutes!r}."
        )
    found = []
    for value in minutes:
        if value == "all" or value == np.inf:
            found.append(np.inf)
        elif isinstance(value, str):
            raise ValueError(f"minutes must be numbers or 'all', got {value!r}.")
        else:
            check_number(value, "minutes", least=0)
            found.append(float(value))
    if not found or len(set(found)) < len(found):
        raise ValueError(f"minutes must be different numbers, got {minutes!r}.")
    return found


def _halves(windows, rows):
    """Divide the trials of each test subject into a first and a second half."""
    table = windows.X.metadata.iloc[rows]
    if table["trial"].isna().any():
        raise ValueError(
            "calibration divides people's trials, and those of some windows are not "
            "known: name trial where the windows are made."
        )
    seconds, places = _extents(windows.X)
    keys = ["session", "trial", "onset"]
    halves = []
    for name, own in named_rows(windows.subjects[rows]).items():
        part = table.iloc[own]
        order = np.lexsort([natural_codes(part[key]) for key in reversed(keys)])
        part, mine = part.iloc[order], rows[own[order]]
        trials = pd.factorize(part["session"].astype(str) + "/" + part["trial"])[0]
        n_first = (trials.max() + 1) // 2
        if n_first < 1:
            raise ValueError(f"{name} has a single trial; calibration needs two.")
        is_first = trials < n_first
        seen = set(part["stimulus"][is_first].dropna())
        first, test = mine[is_first], mine[~is_first & ~part["stimulus"].isin(seen)]
        if not len(test):
            raise ValueError(
                f"No window of {name} is left to test: all stimuli of the second half "
                "of its trials are in the first half as well."
            )
        minutes = _covered(seconds[first], places[first]) / 60
        halves.append(_Half(name, first, minutes, test))
    return halves


def _extents(X):
    """Return start and stop of each window in seconds, and what it was cut from."""
    seconds, places = np.empty((len(X), 2)), np.empty(len(X), dtype=int)
    for k, (source, rows, starts, n_times) in enumerate(X.blocks()):
        alone = not source.is_recording  # no two windows of a stack overlap
        begin = np.zeros(len(rows)) if alone else starts / source.sfreq
        seconds[rows] = np.column_stack([begin, begin + n_times / source.sfreq])
        places[rows] = -1 if alone else k
    return seconds, places


def _covered(seconds, places):
    """Return how many seconds the windows so far have together, after each."""
    added, reached = np.empty(len(seconds)), {}
    for k, ((start, stop), place) in enumerate(zip(seconds, places, strict=True)):
        begin = start if place < 0 else max(start, reached.get(place, -np.inf))
        added[k] = max(stop - begin, 0.0)
        reached[place] = max(stop, reached.get(place, -np.inf))
    return np.cumsum(added)


def _plans(halves, steps, kinds):
    """Return what is calibrated to and tested in a split."""
    plans = []
    for labelled in kinds:
        for minutes in steps:
            if labelled and minutes == 0:
                continue
            long = [half for half in halves if _is_long(half, minutes)]
            taken = [h.calibration[h.minutes <= minutes + _TOLERANCE] for h in long]
            tested = [half.test for half in long]
            if long:
                empty = [np.array([], int)]
                rows = (
                    np.sort(np.concatenate(part + empty)) for part in (taken, tested)
                )
                plans.append(Plan(minutes, labelled, *rows))
    return plans


def _is_long(half, minutes):
    return np.isinf(minutes) or half.minutes[-1] >= minutes - _TOLERANCE


def _warn_of_short(halves, steps):
    """Warn of subjects who have less to be calibrated to than is asked for."""
    people = {half.subject: half for split in halves for half in split}.values()
    for minutes in steps:
        short = [half.subject for half in people if not _is_long(half, minutes)]
        if short:
            warn(
                f"{len(short)} of {len(people)} subjects have less than {minutes:g} "
                "minutes in the first half of their trials, and no score for it: "
                f"{list_some(short)}."
            )


def _job(columns, model, windows, train, plans, runner, k):
    """Return the job that fits a model to a split, and tests it by all plans."""
    key, name = None, columns["method"]
    seed = f", seed {columns['seed']}" if columns.get("seed") else ""
    if runner.folder is not None:
        try:
            key = fingerprint(
                computed_with(), windows.key, model, train, [tuple(p) for p in plans]
            )
        except NotKnown as error:
            warn(f"Results of {name!r} are not cached, because {error}.")
    args = (model, windows.X, windows.y, train, plans, windows.classes)
    return Job(f"{_PROTOCOL}, {name}{seed}, split {k + 1}", _fit_and_test, args, key)


def _fit_and_test(model, X, y, train, plans, classes):
    """Fit a model once, and test it by each plan; one array of all."""
    fitted = clone(model).fit(X[train], y[train])
    codes, scores, problem = [], [], ""
    for plan in plans:
        ready, rows = fitted, train
        if plan.labelled:
            rows = np.concatenate([train, plan.calibration])
            ready = clone(model).fit(X[rows], y[rows])
        if len(plan.calibration):
            ready = calibrated(ready, X[plan.calibration]) or ready
        found = predict_targets(ready, X[plan.test], classes, y[rows])
        codes.append(found[0])
        shape = (len(plan.test), 1 if classes is None else len(classes))
        scores.append(np.full(shape, np.nan) if found[1] is None else found[1])
        problem = problem or found[2]
    return {
        "codes": np.concatenate(codes),
        "scores": np.concatenate(scores),
        "problem": np.array(problem),
    }


def _scores(windows, plans, result):
    """Return the scores of all plans of a split."""
    tables, start = [], 0
    for plan in plans:
        rows = slice(start, start + len(plan.test))
        scores = result["scores"][rows]
        predictions = Predictions(
            result["codes"][rows], None if np.isnan(scores).any() else scores
        )
        table = score_predictions(windows, plan.test, predictions)
        tables.append(table.assign(minutes=plan.minutes, labelled=plan.labelled))
        start = rows.stop
    return pd.concat(tables, ignore_index=True)


def _baselines(windows, splits, plans):
    """Return the scores of chance and majority for all plans."""
    tables = []
    for k, ((train, _), split) in enumerate(zip(splits, plans, strict=True)):
        for plan in split:
            columns = {"minutes": plan.minutes, "labelled": plan.labelled}
            case = Case(
                {"protocol": _PROTOCOL, **columns}, None, windows, [(train, plan.test)]
            )
            columns = {"split": k, "seed": 0}
            tables += [table.assign(**columns) for table in score_baselines([case])]
    return pd.concat(tables, ignore_index=True)
