"""Splitters by person, dataset and stimulus."""

from __future__ import annotations

import math
from itertools import combinations, product
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target

from .._identity import plural, say_what_is_hidden
from .._validation import (
    check_ids,
    check_number,
    check_y,
    count_values,
    list_some,
    warn,
)
from ..windows._windows import EEGWindows
from ._leakage import LeakageWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike

    from .._typing import RandomState

# Up to this number, all sets of training subjects are listed, and splits drawn from the
# list.  If there are more, sets are drawn at random until enough of them fit.
_MOST_LISTED = 10_000


class _WindowSplitter(BaseCrossValidator):
    """Base of the splitters: reads groups from EEGWindows unless they are given."""

    # For metadata routing, like scikit-learn's splitters by group.
    __metadata_request__split = {"groups": True}

    def split(
        self,
        X: EEGWindows | ArrayLike,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield training and test positions.

        Parameters
        ----------
        X : EEGWindows or array-like of shape (n_windows, ...)
            The windows.
        y : array-like of shape (n_windows,), default=None
            Labels: training subjects of `FewShotSubjects` then have all classes, and
            `LeaveSubjectsAndStimuliOut` spreads the classes over the folds of stimuli.
            The other splitters ignore them.
        groups : array-like of shape (n_windows,) or (n_windows, 2), default=None
            Subjects; for `LeaveOneDatasetOut` datasets, for
            `LeaveSubjectsAndStimuliOut` two columns, subjects and stimuli.  None reads
            them from `EEGWindows`.

        Yields
        ------
        train, test : ndarray of int
            Positions; what is left out is not in both.

        Raises
        ------
        ValueError
            If groups are unknown or too few, a parameter is out of range, or a set of a
            split would have no windows, or training windows of one class only.
        """
        yield from self._split(X, y, groups)

    def get_n_splits(
        self,
        X: EEGWindows | ArrayLike | None = None,
        y: object = None,
        groups: ArrayLike | None = None,
    ) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X : EEGWindows, default=None
            Needed if every subject or dataset is left out by itself, unless there are
            groups.
        y : ignored
            Not needed.
        groups : array-like of shape (n_windows,) or (n_windows, 2), default=None
            As for `split`.

        Returns
        -------
        int
            Number of pairs that `split` yields.
        """
        return self._n_splits(X, groups)


class LeaveSubjectsOut(_WindowSplitter):
    """Leave one subject out at a time, or folds of subjects.

    Parameters
    ----------
    n_splits : int, default=None
        Number of folds of subjects; None leaves out each subject by itself.
    random_state : int, RandomState instance or None, default=None
        Seeds which subjects are in one fold; not used with ``n_splits=None``.

    See Also
    --------
    LeaveSubjectsAndStimuliOut : Leaves out the stimuli as well.

    Notes
    -----
    The splits are those of `sklearn.model_selection.LeaveOneGroupOut`, which needs
    ``groups``. This one does not if X is `EEGWindows`: in a nested search it is handed
    X alone.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_mdjpt import DifferentialEntropy
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.model_selection import LeaveSubjectsOut
    >>> X = make_emotion_windows(1, n_subjects=3, n_stimuli=3, random_state=0)
    >>> model = make_pipeline(DifferentialEntropy(), LogisticRegression(max_iter=5000))
    >>> grid = {"logisticregression__C": [0.01, 1.0]}
    >>> search = GridSearchCV(model, grid, cv=LeaveSubjectsOut()).fit(X, X.y)
    >>> search.n_splits_
    3
    """

    def __init__(
        self, n_splits: int | None = None, *, random_state: RandomState = None
    ) -> None:
        self.n_splits = n_splits
        self.random_state = random_state

    def _split(self, X, y, groups):
        subjects = _groups(X, groups, "subject")
        _warn_of_hidden(X, groups, "subject")
        rng = check_random_state(self.random_state)
        for fold in _folds(np.unique(subjects), self.n_splits, rng, "n_splits"):
            yield _positions(np.isin(subjects, fold))

    def _n_splits(self, X, groups):
        return self.n_splits or len(np.unique(_groups(X, groups, "subject")))


class LeaveOneDatasetOut(_WindowSplitter):
    """Leave one dataset out at a time.

    See Also
    --------
    sklearn_mdjpt.evaluation.leave_one_dataset_out : The paper's evaluation: encoders
        are trained on all other datasets, heads within the one left out.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.model_selection import LeaveOneDatasetOut
    >>> X = make_emotion_windows(3, n_subjects=2, n_stimuli=3, random_state=0)
    >>> for train, test in LeaveOneDatasetOut().split(X):
    ...     print(*sorted(set(X[test].groups("dataset"))))
    SimA
    SimB
    SimC
    """

    def _split(self, X, y, groups):
        datasets = _groups(X, groups, "dataset")
        names = np.unique(datasets)
        if len(names) < 2:
            raise ValueError(f"X must have at least two; there is only '{names[0]}'.")
        _warn_of_hidden(X, groups, "subject")
        for name in names:
            yield _positions(datasets == name)

    def _n_splits(self, X, groups):
        return len(np.unique(_groups(X, groups, "dataset")))


class FewShotSubjects(_WindowSplitter):
    """Random splits with few training subjects, as in the paper's few-shot transfer.

    Heads are trained on a quarter of the subjects of a dataset that the encoder has not
    seen, and tested on all others [1]_.

    Parameters
    ----------
    train_size : float or int, default=0.25
        Share of the subjects that are trained on, rounded, at least one and not all; an
        int is their number. With `EEGWindows` of several datasets it holds within each.
    n_splits : int, default=6
        Number of splits.  No two are the same.
    random_state : int, RandomState instance or None, default=None
        Seeds the splits; an int gives the same ones in each call.

    Notes
    -----
    With ``y`` the training subjects have all classes between them.

    References
    ----------
    .. [1] Zhang et al. (2025). Multi-dataset Joint Pre-training of Emotional EEG
       Enables Generalizable Affective Computing. NeurIPS. arXiv:2510.22197.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.model_selection import FewShotSubjects
    >>> X = make_emotion_windows(1, n_subjects=4, n_stimuli=3, random_state=0)
    >>> for train, test in FewShotSubjects(n_splits=2, random_state=0).split(X):
    ...     print(*(len(set(X[rows].groups("subject"))) for rows in (train, test)))
    1 3
    1 3
    """

    def __init__(
        self,
        train_size: float = 0.25,
        n_splits: int = 6,
        *,
        random_state: RandomState = None,
    ) -> None:
        self.train_size = train_size
        self.n_splits = n_splits
        self.random_state = random_state

    def _split(self, X, y, groups):
        check_number(self.n_splits, "n_splits", whole=True, least=1)
        subjects = _groups(X, groups, "subject")
        _warn_of_hidden(X, groups, "subject")
        names, codes = np.unique(subjects, return_inverse=True)
        datasets = np.zeros(len(names), int)
        if groups is None:
            found = _groups(X, None, "dataset")
            datasets[codes] = np.unique(found, return_inverse=True)[1]
        pools = [np.flatnonzero(datasets == k) for k in range(datasets.max() + 1)]
        sizes = [self._train_size(len(pool)) for pool in pools]
        has = _classes_of(codes, len(names), y)
        rng = check_random_state(self.random_state)
        for chosen in _draw_subjects(pools, sizes, has, self.n_splits, rng):
            train = np.isin(codes, chosen)
            yield _positions(~train)

    def _n_splits(self, X, groups):
        return self.n_splits

    def _train_size(self, n_subjects):
        size = self.train_size
        if n_subjects < 2:
            raise ValueError(
                "Few-shot splits need at least two subjects of a dataset, got "
                f"{n_subjects}."
            )
        if isinstance(size, Integral):
            check_number(size, "train_size", whole=True, least=1, most=n_subjects - 1)
            return int(size)
        check_number(size, "train_size, unless an int,", above=0, below=1)
        return min(max(1, math.floor(size * n_subjects + 0.5)), n_subjects - 1)


class LeaveSubjectsAndStimuliOut(_WindowSplitter):
    """Hold out subjects and stimuli at once: neither is known from training.

    Where everyone has seen the same clips, each with one label, a classifier can score
    in new subjects by knowing the clip.  Here the test windows come from subjects and
    from clips that no training window comes from.  Windows that share only one of the
    two with the test windows are in neither set: with S folds of subjects and K of
    stimuli, a split tests on 1/(SK) of the windows and trains on (S-1)(K-1)/(SK).

    Parameters
    ----------
    n_subject_splits : int, default=None
        Number of folds of subjects; None leaves out each subject by itself.
    n_stimulus_splits : int, default=3
        Number of folds of stimuli.  With ``y`` the classes are dealt out evenly, within
        each dataset of `EEGWindows`.
    random_state : int, RandomState instance or None, default=None
        Seeds which stimuli (and subjects) are in one fold.

    Notes
    -----
    There are S times K splits; each window is tested once.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.model_selection import LeaveSubjectsAndStimuliOut
    >>> X = make_emotion_windows(1, n_subjects=2, n_stimuli=6, random_state=0)
    >>> splitter = LeaveSubjectsAndStimuliOut(n_stimulus_splits=2, random_state=0)
    >>> for train, test in splitter.split(X, X.y):
    ...     print(len(X), len(train), len(test))
    72 18 18
    72 18 18
    72 18 18
    72 18 18
    """

    def __init__(
        self,
        n_subject_splits: int | None = None,
        n_stimulus_splits: int = 3,
        *,
        random_state: RandomState = None,
    ) -> None:
        self.n_subject_splits = n_subject_splits
        self.n_stimulus_splits = n_stimulus_splits
        self.random_state = random_state

    def _split(self, X, y, groups):
        subjects, stimuli = self._columns(X, groups)
        _warn_of_hidden(X, groups, "subject", "stimulus")
        names, codes = np.unique(stimuli, return_inverse=True)
        strata = np.zeros(len(names), int)
        if groups is None:
            datasets = _groups(X, None, "dataset")
            strata[codes] = np.unique(datasets, return_inverse=True)[1]
        classes = _class_codes(y, len(stimuli))
        if classes is not None:
            frequent = pd.Series(classes).groupby(codes).agg(lambda c: c.mode()[0])
            strata = strata * (classes.max() + 1) + frequent.to_numpy()
        rng = check_random_state(self.random_state)
        stimulus_folds = self._deal_stimuli(names, strata, rng)
        subject_folds = _folds(
            np.unique(subjects), self.n_subject_splits, rng, "n_subject_splits"
        )
        for held_out, clips in product(subject_folds, stimulus_folds):
            in_subjects, in_stimuli = (
                np.isin(subjects, held_out),
                np.isin(stimuli, clips),
            )
            train = np.flatnonzero(~in_subjects & ~in_stimuli)
            test = np.flatnonzero(in_subjects & in_stimuli)
            if not len(test) or not len(train):
                raise ValueError(
                    f"A split of subjects {list_some(held_out, 3)} and stimuli "
                    f"{list_some(clips, 3)} has {len(test)} test and {len(train)} "
                    "training windows; choose fewer folds."
                )
            if classes is not None and len(np.unique(classes[train])) < 2:
                raise ValueError(
                    "The training windows of a split are all of one class; choose "
                    "another n_stimulus_splits or random_state."
                )
            yield train, test

    def _n_splits(self, X, groups):
        n_subjects = self.n_subject_splits
        if n_subjects is None:
            n_subjects = len(np.unique(self._columns(X, groups)[0]))
        return n_subjects * self.n_stimulus_splits

    def _columns(self, X, groups):
        if groups is None:
            return _groups(X, None, "subject"), _groups(X, None, "stimulus")
        groups = np.asarray(groups, dtype=object)
        if groups.ndim != 2 or groups.shape[1] != 2:
            raise ValueError(
                "groups must have two columns, subjects and stimuli: shape (n_windows, "
                f"2), got {groups.shape}."
            )
        return _groups(X, groups[:, 0], "subject"), _groups(X, groups[:, 1], "stimulus")

    def _deal_stimuli(self, names, strata, rng):
        """Deal the stimuli out to folds, class by class."""
        n_folds = self.n_stimulus_splits
        check_number(n_folds, "n_stimulus_splits", whole=True, least=2)
        if len(names) < n_folds:
            raise ValueError(
                f"n_stimulus_splits={n_folds}, but there are {len(names)} stimuli."
            )
        order = rng.permutation(len(names))
        order = order[np.argsort(strata[order], kind="stable")]
        return [names[np.sort(order[k::n_folds])] for k in range(n_folds)]


def _draw_subjects(pools, sizes, has, n_splits, rng):
    """Draw sets of training subjects that differ, and that have all classes."""
    drawn = list(zip(pools, sizes, strict=True))  # subjects and number of each dataset

    def fits(chosen):
        return has is None or has[chosen].any(axis=0).all()

    if math.prod(math.comb(len(p), k) for p, k in drawn) <= _MOST_LISTED:
        parts = [combinations(p, k) for p, k in drawn]
        every = [np.concatenate(chosen) for chosen in product(*parts)]
        fitting = [chosen for chosen in every if fits(chosen)]
        if len(fitting) < n_splits:
            why = ""
            if len(fitting) < len(every):
                why = f", of which {len(fitting)} have all classes among them"
            raise ValueError(
                f"n_splits={n_splits}, but there are only {len(every)} ways to choose "
                f"{sum(sizes)} of {sum(map(len, pools))} training subjects{why}."
            )
        return [fitting[i] for i in rng.permutation(len(fitting))[:n_splits]]
    found = {}
    for _ in range(1000 * n_splits):
        parts = [np.sort(rng.choice(p, k, replace=False)) for p, k in drawn]
        chosen = np.concatenate(parts)
        if fits(chosen):
            found.setdefault(chosen.tobytes(), chosen)
        if len(found) == n_splits:
            return list(found.values())
    raise ValueError(
        f"Of {1000 * n_splits} random choices of {sum(sizes)} training subjects, only "
        f"{len(found)} have all classes among them; choose a larger train_size."
    )


def _classes_of(codes, n_subjects, y):
    """Return (n_subjects, n_classes), which subject has which; None without y."""
    classes = _class_codes(y, len(codes))
    if classes is None:
        return None
    has = np.zeros((n_subjects, classes.max() + 1), bool)
    has[codes, classes] = True
    return has


def _class_codes(y, n_windows):
    """Return labels as numbers from 0 on; None if there are no classes."""
    if y is None:
        return None
    y = check_y(y, n_windows)
    if y.dtype == object:
        y = y.astype(str)
    if type_of_target(y) not in ("binary", "multiclass"):
        return None
    return np.unique(y, return_inverse=True)[1]


def _folds(names, n_splits, rng, parameter):
    """Return folds of names, each by itself if ``n_splits`` is None."""
    if n_splits is not None:
        check_number(n_splits, parameter, whole=True, least=2)
    if len(names) < max(2, n_splits or 0):
        wanted = "leaving one out" if n_splits is None else f"{parameter}={n_splits}"
        raise ValueError(f"{wanted} needs more subjects: there are {len(names)}.")
    if n_splits is None:
        return [np.array([name]) for name in names]
    order = rng.permutation(len(names))
    return [names[np.sort(order[k::n_splits])] for k in range(n_splits)]


def _groups(X, groups, level):
    """Return a name for each window, from groups or from EEGWindows."""
    if groups is None:
        if not isinstance(X, EEGWindows):
            raise ValueError(
                f"The {plural(level)} are not known: pass groups, or EEGWindows as X "
                f"(got {type(X).__name__})."
            )
        return X.groups(level)
    if np.ndim(groups) == 0:
        raise ValueError(
            f"groups must have one {level} for each window, got {groups!r}."
        )
    n_windows = count_values(groups)
    if X is not None:
        n_windows = X.shape[0] if hasattr(X, "shape") else len(X)
    if count_values(groups) != n_windows:
        raise ValueError(
            f"groups has {count_values(groups)} entries for {n_windows} windows."
        )
    ids = check_ids(groups, n_windows, "groups")
    missing = pd.isna(ids)
    if missing.any():
        raise ValueError(f"{missing.sum()} of {len(ids)} windows have no {level}.")
    return ids.astype(str)


def _warn_of_hidden(X, groups, *levels):
    """Warn if groups of X that count as different may be the same."""
    if groups is None:
        texts = [say_what_is_hidden(X.metadata, level) for level in levels]
        if any(texts):
            warn(" ".join(filter(None, texts)), LeakageWarning)


def _positions(test):
    return np.flatnonzero(~test), np.flatnonzero(test)
