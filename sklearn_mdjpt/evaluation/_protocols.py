"""The protocols: leave subjects out, few-shot, zero-shot, leave one dataset out."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut

from .._validation import check_option, list_some, warn
from ..model_selection import FewShotSubjects, LeakageWarning
from ._cases import Case, pretrain_models, run_cases
from ._jobs import JobRunner
from ._labelled import by_dataset, check_windows, with_targets
from ._models import (
    check_models,
    check_predictors,
    feature_part,
    kind_of,
    learns_who_agrees,
    untrained_encoders,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator
    from sklearn.model_selection import BaseCrossValidator

    from .._typing import Models, PathLike, ProtocolName, Scores
    from ..windows._windows import EEGWindows

PROTOCOLS: tuple[ProtocolName, ...] = ("few_shot", "zero_shot")


def leave_subjects_out(
    models: Models,
    X: EEGWindows,
    y: ArrayLike | None = None,
    *,
    cv: BaseCrossValidator | Iterable[tuple[ArrayLike, ArrayLike]] | int | None = None,
    n_seeds: int = 1,
    on_leak: Literal["raise", "warn"] = "raise",
    return_predictions: bool = False,
    n_jobs: int | None = None,
    cache_dir: PathLike | None = None,
    verbose: int = 0,
) -> Scores:
    """Train on some subjects and test on others, all within X.

    Each model is fitted anew to the training windows of each split: an `MDJPTEncoder`
    without weights is pre-trained on the training subjects alone.

    Parameters
    ----------
    models : estimator or dict of str to estimator
        Any classifiers or pipelines of scikit-learn that take `EEGWindows`.  They are
        not changed.  An `MDJPTEncoder` inside that is fitted, or has ``weights``, is
        used with its weights, and must not have seen the subjects of X.
    X : EEGWindows
        Windows with subjects; those of several datasets are taken together.
    y : array-like of shape (n_windows,), default=None
        Labels; None takes ``X.y``.
    cv : splitter, iterable of (train, test) positions, or int, default=None
        None leaves one subject out at a time; an int is the number of folds of
        subjects (GroupKFold).  `LeaveSubjectsAndStimuliOut` holds out the stimuli as
        well.
    n_seeds : int, default=1
        Number of seeds to train with: how much of a score is luck.  Seed 0 has the
        models as they are, seed k each ``random_state`` inside them plus k (k itself
        in place of None).  Frozen parts and trained encoders stay, and so do the
        splits.  A model in which nothing is random is computed once.
    on_leak : {"raise", "warn"}, default="raise"
        What to do if a subject or a trial is on both sides of a split, or an encoder
        has seen test subjects.  "warn" warns, and the column ``leak`` names the leak.
        In either case there is a warning, and ``leak`` is "unknown", if it cannot be
        known: for example if a dataset without a name has ids of another one.
    return_predictions : bool, default=False
        Whether to return the predictions for each window, too.
    n_jobs : int, default=None
        Number of models and splits to compute at a time, through joblib.
    cache_dir : str or path-like, default=None
        A folder that keeps the results, so that the same call continues where it was
        interrupted, or returns at once.  Results belong to the content of X (all
        metadata included), y, the splits, the models with their parameters and code,
        and the versions of packages.  If a model holds something that cannot be
        compared, such as an open file, a warning names it, and its results are not
        kept.
    verbose : int, default=0
        1 prints a line for each model and split.

    Returns
    -------
    table : DataFrame
        One row for each method, split, subject, unit ("window", and "trial" where
        trials are known; see the notes) and metric (see `METRICS`).
        Columns protocol, dataset, method, split, subject, unit, metric, value, n
        (windows or trials), n_classes (that the subject has), leak ("" if nothing is
        known to have leaked) and seconds (of the split, fit and prediction).
        The methods "chance" (guessing all classes equally often) and "majority" (the
        most frequent class of the training windows) are always there.  With
        ``n_seeds`` above 1 there is a column ``seed``.
    predictions : DataFrame
        Only with ``return_predictions``: one row for each method, split and window
        (its position in X), with label, predicted and, for models that have scores,
        score_<class>.

    Raises
    ------
    ValueError
        If there is a leak, if labels are missing or all the same, if a model is no
        classifier, or if it predicts anything but the labels.
    TypeError
        If X is no EEGWindows.

    Warns
    -----
    UserWarning
        If a model has scores that are not those of the classes; once for each model.

    See Also
    --------
    few_shot : Encoders that were pre-trained on other datasets.
    summary : Means and intervals of a table.

    Notes
    -----
    The class of a window is the one of ``predict``.  Scores of the classes come from
    ``predict_proba``, or else ``decision_function``; column i belongs to
    ``classes_[i]``.  If two classes have one column, a score above 0 means the second.
    Scores are used if there is one finite number for each class, and if they agree with
    ``predict``: for two classes in their order (``predict`` may have a threshold), for
    more classes if the predicted one has the highest score in at least half of the
    windows.  ``decision_function_shape="ovo"`` makes a column for each pair of classes;
    these are no scores of classes, even if there are as many.  Without scores
    ``roc_auc`` is NaN.

    The class of a trial is the one of the highest mean score of its windows, if in all
    of them the predicted class has the highest score.  Otherwise (thresholds,
    calibration, no scores) it is the class that is predicted for most of them.  Between
    classes with equally many windows the mean score decides, or without scores the
    order of the classes.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_mdjpt import DifferentialEntropy
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.evaluation import leave_subjects_out
    >>> X = make_emotion_windows(1, n_subjects=3, n_stimuli=3, random_state=0)
    >>> model = make_pipeline(DifferentialEntropy(), LogisticRegression(max_iter=5000))
    >>> table = leave_subjects_out({"DE": model}, X)
    >>> sorted(set(table["subject"]))
    ['SimA/01', 'SimA/02', 'SimA/03']
    """
    models, kind = check_predictors(models)
    check_windows(X, "X")
    windows = with_targets(X, y, kind)
    splits = make_splits(cv, X, windows)
    cases = [
        Case({"protocol": "leave_subjects_out", "method": name}, model, windows, splits)
        for name, model in models.items()
    ]
    return run_cases(
        cases, on_leak, return_predictions, n_jobs, cache_dir, verbose, n_seeds
    )


def few_shot(
    models: Models,
    X: EEGWindows,
    y: ArrayLike | None = None,
    *,
    source: EEGWindows | None = None,
    train_size: float = 0.25,
    n_splits: int = 6,
    random_state: int = 0,
    n_seeds: int = 1,
    on_leak: Literal["raise", "warn"] = "raise",
    return_predictions: bool = False,
    n_jobs: int | None = None,
    cache_dir: PathLike | None = None,
    verbose: int = 0,
) -> Scores:
    """Train heads on a few subjects of a dataset, and test on all others.

    The paper's few-shot transfer [1]_: encoders are pre-trained on other datasets and
    frozen; the rest of a model is fitted to a quarter of the subjects and tested on
    three quarters, in six random splits.

    Parameters
    ----------
    models : estimator or dict of str to estimator
        Classifiers and pipelines, as for `leave_subjects_out`.  Those without an
        `MDJPTEncoder` are simply fitted on the training subjects.
    X : EEGWindows
        The dataset to test on; several datasets are tested one by one.
    y : array-like of shape (n_windows,), default=None
        Labels; None takes ``X.y``.
    source : EEGWindows, default=None
        Windows to pre-train encoders without weights on, once for all splits: other
        datasets, or at least other subjects.  (All encoders learn their standardisation
        from the training windows of each split.)  Labels of ``source`` are used with
        ``pairing="label"`` only.  None: encoders are pre-trained on the training
        subjects of each split.
    train_size : float or int, default=0.25
        Share (or number) of the subjects that heads are trained on.
    n_splits : int, default=6
        Number of random splits.
    random_state : int, default=0
        Seeds the splits; they are the same for all models.
    n_seeds : int, default=1
        As for `leave_subjects_out`.
    on_leak : {"raise", "warn"}, default="raise"
        As for `leave_subjects_out`; subjects of X in ``source`` are a leak, too.
    return_predictions : bool, default=False
        As for `leave_subjects_out`.
    n_jobs : int, default=None
        As for `leave_subjects_out`.
    cache_dir : str or path-like, default=None
        As for `leave_subjects_out`.  It keeps pre-trained encoders as well, and the
        checkpoints from which a killed pre-training continues.
    verbose : int, default=0
        As for `leave_subjects_out`.

    Returns
    -------
    table : DataFrame
        As of `leave_subjects_out`, with ``protocol`` "few_shot".
    predictions : DataFrame
        Only with ``return_predictions``.

    Raises
    ------
    ValueError
        As in `leave_subjects_out`, or if there are too few subjects for a split.

    See Also
    --------
    sklearn_mdjpt.model_selection.FewShotSubjects : The splits.

    Notes
    -----
    Training and test subjects have seen the same clips, as in the paper: models may
    score by recognising a clip.  `leave_subjects_out` with `LeaveSubjectsAndStimuliOut`
    excludes that.

    References
    ----------
    .. [1] Zhang et al. (2025). Multi-dataset Joint Pre-training of Emotional EEG
       Enables Generalizable Affective Computing. NeurIPS. arXiv:2510.22197.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_mdjpt import MDJPTEncoder
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.evaluation import few_shot
    >>> X = make_emotion_windows(2, n_subjects=4, n_stimuli=3, random_state=0)
    >>> target = X.groups("dataset") == "SimB"
    >>> encoder = MDJPTEncoder.small(max_epochs=1, batches_per_epoch=1, random_state=0)
    >>> model = make_pipeline(encoder, LogisticRegression(max_iter=1000))
    >>> table = few_shot(
    ...     {"mdJPT": model}, X[target], source=X[~target], train_size=2, n_splits=2
    ... )
    >>> sorted(set(table["method"]))
    ['chance', 'majority', 'mdJPT']
    """
    models, kind = check_predictors(models)
    targets = by_dataset(X, y, kind)
    check_windows(source, "source", none=True)
    splitter = FewShotSubjects(train_size, n_splits, random_state=random_state)
    cases = few_shot_cases(models, targets, source, splitter)
    return run_cases(
        cases, on_leak, return_predictions, n_jobs, cache_dir, verbose, n_seeds
    )


def zero_shot(
    models: Models,
    X: EEGWindows,
    y: ArrayLike | None = None,
    *,
    source: EEGWindows | None = None,
    exclude: Literal["subject", "trial", "window"] = "subject",
    n_seeds: int = 1,
    on_leak: Literal["raise", "warn"] = "raise",
    return_predictions: bool = False,
    n_jobs: int | None = None,
    cache_dir: PathLike | None = None,
    verbose: int = 0,
) -> Scores:
    """Give each window the label of its nearest neighbour, without training a head.

    The paper's zero-shot transfer [1]_: the nearest neighbour is the window of the same
    dataset whose features have the highest cosine similarity.

    Parameters
    ----------
    models : estimator or dict of str to estimator
        Transformers from windows to features, such as `MDJPTEncoder`, or pipelines and
        `MDJPTClassifier`, whose classifier is left out.
    X : EEGWindows
        The dataset to test on; several datasets are tested one by one.
    y : array-like of shape (n_windows,), default=None
        Labels; None takes ``X.y``.
    source : EEGWindows, default=None
        Windows to pre-train encoders without weights on.  The rest of a model
        (standardisation, scalers) is fitted to X, without labels.
    exclude : {"subject", "trial", "window"}, default="subject"
        Which windows do not count as neighbours of a window: all of the same subject,
        those of the same trial, or only the window itself.  The paper does not say
        which.  With "trial" and "window" the nearest neighbour is often another
        (overlapping) window of the same subject; use them for comparison only.
    n_seeds : int, default=1
        As for `leave_subjects_out`.
    on_leak : {"raise", "warn"}, default="raise"
        What to do if encoders were pre-trained on subjects of X.
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
        As of `leave_subjects_out`, with ``protocol`` "zero_shot" and a column
        ``exclude``.  The score of a class, for ``roc_auc``, is the similarity of its
        nearest window.  With ``exclude`` "trial" or "window" the column ``leak`` names
        what neighbours may share.
    predictions : DataFrame
        Only with ``return_predictions``.

    Raises
    ------
    ValueError
        As in `leave_subjects_out`; if an encoder has no weights and there is no source,
        if a model makes no features, or if a dataset has a single subject.

    Notes
    -----
    Similarities are computed in blocks: memory grows with the number of windows, not
    with its square.

    References
    ----------
    .. [1] Zhang et al. (2025). Multi-dataset Joint Pre-training of Emotional EEG
       Enables Generalizable Affective Computing. NeurIPS. arXiv:2510.22197.

    Examples
    --------
    >>> from sklearn_mdjpt import DifferentialEntropy, SubjectScaler, WindowFeatures
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.evaluation import summary, zero_shot
    >>> X = make_emotion_windows(1, n_subjects=4, n_stimuli=3, random_state=0)
    >>> features = WindowFeatures(DifferentialEntropy(), [SubjectScaler()])
    >>> table = zero_shot({"DE": features}, X)
    >>> summary(table)["method"].tolist()
    ['chance', 'majority', 'DE']
    """
    models = check_models(models)
    targets = by_dataset(X, y)
    check_windows(source, "source", none=True)
    without = [name for name, model in models.items() if feature_part(model) is None]
    if without:
        raise ValueError(
            "Neighbours are found among features, and these models make none: "
            f"{list_some(without)}. Pass transformers, or pipelines with a transformer "
            "before the classifier."
        )
    cases = zero_shot_cases(models, targets, source, exclude)
    return run_cases(
        cases, on_leak, return_predictions, n_jobs, cache_dir, verbose, n_seeds
    )


def leave_one_dataset_out(
    models: Models,
    X: EEGWindows,
    y: ArrayLike | None = None,
    *,
    protocols: Sequence[ProtocolName] = PROTOCOLS,
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
    """Pre-train on all datasets but one, and transfer to that one; each in turn.

    The paper's main evaluation [1]_: for each dataset, encoders are pre-trained on all
    others, and tested few-shot and zero-shot.

    Parameters
    ----------
    models : estimator or dict of str to estimator
        As for `few_shot`.  Models that make no features are left out of the zero-shot
        part.
    X : EEGWindows
        Windows of at least two datasets; their labels may differ.
    y : array-like of shape (n_windows,), default=None
        Labels; None takes ``X.y``.
    protocols : sequence of {"few_shot", "zero_shot"}, default=("few_shot", "zero_shot")
        How models are tested on the dataset left out.
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
        As for `leave_subjects_out`; encoders are trained first, then heads.
    cache_dir : str or path-like, default=None
        As for `few_shot`.
    verbose : int, default=0
        As for `leave_subjects_out`.

    Returns
    -------
    table : DataFrame
        The rows of `few_shot` and `zero_shot`.
    predictions : DataFrame
        Only with ``return_predictions``.

    Raises
    ------
    ValueError
        As in `few_shot`, or if there are fewer than two datasets.

    References
    ----------
    .. [1] Zhang et al. (2025). Multi-dataset Joint Pre-training of Emotional EEG
       Enables Generalizable Affective Computing. NeurIPS. arXiv:2510.22197.
    """
    models, protocols = check_models(models), check_protocols(protocols)
    targets = by_dataset(X, y, kind_of(models))
    if len(targets) < 2:
        raise ValueError(
            "Leaving one dataset out needs at least two datasets; X has "
            f"{list_some(targets)}. few_shot and zero_shot take source= instead."
        )
    splitter = FewShotSubjects(train_size, n_splits, random_state=random_state)
    datasets = X.groups("dataset")
    cases = []
    for name, target in targets.items():
        source = X[datasets != name]
        cases += transfer_cases(
            models, {name: target}, source, protocols, splitter, exclude
        )
    return run_cases(
        cases, on_leak, return_predictions, n_jobs, cache_dir, verbose, n_seeds
    )


def pretrain(
    models: Models,
    source: EEGWindows,
    cache_dir: PathLike,
    *,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> dict[str, BaseEstimator]:
    """Pre-train the encoders inside models, and keep their weights.

    `few_shot` and the other functions do the same first.  Take this function for models
    that you want to use or inspect.

    Parameters
    ----------
    models : estimator or dict of str to estimator
        Models with `MDJPTEncoder` inside; encoders with weights are not trained.
    source : EEGWindows
        Windows to pre-train on.
    cache_dir : str or path-like
        A folder that keeps the weights.  Pass the same folder and source to `few_shot`
        and the other functions, and they do not train again.
    n_jobs : int, default=None
        Number of trainings at a time.
    verbose : int, default=0
        1 prints a line for each training.

    Returns
    -------
    dict of str to estimator
        Not fitted; ``weights`` of their encoders are files in ``cache_dir``, which
        `MDJPTEncoder.load` opens.
    """
    models = check_models(models)
    check_windows(source, "source")
    with JobRunner(cache_dir, n_jobs, verbose) as runner:
        ready = pretrain_models([(model, source) for model in models.values()], runner)
    return dict(zip(models, ready, strict=True))


def check_protocols(protocols):
    """Return protocols as a tuple; raise if one is unknown."""
    protocols = (protocols,) if isinstance(protocols, str) else tuple(protocols)
    if not protocols:
        raise ValueError("protocols is empty.")
    for name in protocols:
        check_option(name, PROTOCOLS, "protocols")
    return protocols


def transfer_cases(models, targets, source, protocols, splitter, exclude):
    """Return the cases of all protocols; zero-shot leaves out models without features.

    Parameters
    ----------
    models : dict of str to estimator
        Models by name.
    targets : dict of str to LabelledWindows
        Datasets to test on.
    source : EEGWindows or None
        Windows to pre-train on.
    protocols : tuple of str
        As `check_protocols` returns them.
    splitter : FewShotSubjects
        Makes the splits of "few_shot".
    exclude : {"subject", "trial", "window"}
        As for `zero_shot`.

    Returns
    -------
    list of Case
    """
    cases = []
    if "few_shot" in protocols:
        heads = {k: v for k, v in models.items() if hasattr(v, "predict")}
        if heads:
            heads, _ = check_predictors(heads)
        cases += few_shot_cases(heads, targets, source, splitter)
    if "zero_shot" in protocols:
        features = {k: v for k, v in models.items() if feature_part(v) is not None}
        cases += zero_shot_cases(features, targets, source, exclude)
    if not cases:
        raise ValueError(f"None of the models fits the protocols {protocols}.")
    return cases


def few_shot_cases(models, targets, source, splitter):
    """Return one case for each dataset and model."""
    cases = []
    for name, target in targets.items():
        splits = list(splitter.split(target.X, target.y))
        for method, model in models.items():
            columns = {"protocol": "few_shot", "dataset": name, "method": method}
            cases.append(Case(columns, model, target, splits, source=source))
    return cases


def zero_shot_cases(models, targets, source, exclude):
    """Return one case for each dataset and model."""
    if any(target.kind == "ratings" for target in targets.values()):
        raise ValueError(
            "zero_shot compares classes of neighbours, and these models are "
            "regressors: take few_shot, or labels."
        )
    # Neighbours that are not excluded may share these with a window.
    leaks = {"subject": "", "trial": "subject", "window": "subject, trial"}
    check_option(exclude, leaks, "exclude")
    parts = {method: feature_part(model) for method, model in models.items()}
    if source is None:
        untrained = [name for name, part in parts.items() if untrained_encoders(part)]
        if untrained:
            raise ValueError(
                f"The encoders of {list_some(untrained)} have no weights; pass source, "
                "other datasets to pre-train them on."
            )
    learning = [name for name, part in parts.items() if learns_who_agrees(part)]
    if learning:
        raise ValueError(
            f"The CorrelatedComponents of {list_some(learning)} would be learnt from "
            "the people that are tested, by the stimulus, which gives away the label. "
            "Learn them from others and freeze them: baselines.shared_features does, "
            "or sklearn.frozen.FrozenEstimator."
        )
    cases = []
    for name, target in targets.items():
        if exclude == "subject" and len(set(target.subjects)) < 2:
            raise ValueError(
                f"Dataset {name!r} has one subject only; neighbours are sought among "
                "other subjects."
            )
        rows = np.arange(len(target.X))
        splits = [(rows[:0], rows)]
        for method, part in parts.items():
            columns = {"protocol": "zero_shot", "dataset": name, "method": method}
            columns["exclude"] = exclude
            cases.append(
                Case(columns, part, target, splits, exclude, source, leaks[exclude])
            )
    return cases


def make_splits(cv, X, windows):
    """Return the splits as a list of positions."""
    if isinstance(cv, bool | str | type):
        raise TypeError(
            "cv must be a splitter, an iterable of (train, test) positions or a number "
            f"of folds, got {cv!r}."
        )
    if cv is None:
        cv = LeaveOneGroupOut()
    elif isinstance(cv, int):
        cv = GroupKFold(cv)
    if hasattr(cv, "split"):
        # Our own splitters read subjects and stimuli from X.
        ours = type(cv).__module__.startswith(f"{__package__.partition('.')[0]}.")
        with warnings.catch_warnings():
            # A splitter that ignores groups warns of it; leaks are found later.
            warnings.filterwarnings("ignore", "The groups parameter is ignored")
            warnings.simplefilter("ignore", LeakageWarning)
            splits = list(cv.split(X, windows.y, None if ours else windows.subjects))
    else:
        splits = list(cv)
    splits = [(_rows(train, X), _rows(test, X)) for train, test in splits]
    if not splits:
        raise ValueError("cv has no splits.")
    unknown = set()
    for train, test in splits:
        if not len(train) or not len(test):
            raise ValueError("A split of cv has no training or no test windows.")
        if len(np.unique(windows.y[train])) < 2:
            raise ValueError(
                f"The training windows of a split are all {str(windows.y[train][0])!r}."
            )
        if windows.kind == "ratings":
            continue
        unknown |= set(windows.y[test]) - set(windows.y[train])
    if unknown:
        warn(
            "Some splits test on classes that none of their training windows has, and "
            f"no model can be right there: {list_some(sorted(unknown, key=str))}.",
        )
    return splits


def _rows(rows, X):
    """Return the positions of one side of a split; raise on anything else."""
    rows = np.asarray(rows)
    if rows.dtype == bool:
        if rows.shape != X.shape:
            raise ValueError(
                f"A mask of cv has shape {rows.shape}, but there are {len(X)} windows."
            )
        rows = np.flatnonzero(rows)
    if rows.ndim != 1 or (len(rows) and rows.dtype.kind not in "iu"):
        raise ValueError(
            f"Splits of cv must be positions, got shape {rows.shape} and dtype "
            f"{rows.dtype}."
        )
    if len(np.unique(rows)) < len(rows):
        raise ValueError("A split of cv has the same window twice.")
    return rows
