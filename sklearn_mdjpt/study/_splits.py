"""How often a dataset is split: as the settings say, or as few people allow."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..model_selection import FewShotSubjects

_USUAL_SPLITS, _USUAL_FOLDS = 6, 5


@dataclass(frozen=True)
class Splits:
    """The splits of a dataset.

    Attributes
    ----------
    n_splits : int
        Of few_shot.
    n_folds : int
        Of leave_subjects_out.
    few_shot_problem : str or None
        Why few_shot is impossible.
    fewer : dict of str to str
        By protocol, why there are fewer than usual.
    """

    n_splits: int
    n_folds: int
    few_shot_problem: str | None = None
    fewer: dict[str, str] = field(default_factory=dict)


def train_size(study):
    """Return the share, or the number, of the people that few_shot learns from."""
    size = study.evaluation.train_size
    return int(size) if size >= 1 else size


def make_splits(study, X, y=None):
    """Decide how often a dataset is split.

    What the settings say holds; what they leave open is the usual number, or as many
    as there are.

    Parameters
    ----------
    study : Study
        The settings.
    X : EEGWindows or ndarray of int
        The windows that have labels; or, where these are not here, a number for each
        person.
    y : ndarray, default=None
        Their labels.

    Returns
    -------
    Splits
    """
    given, fewer = study.evaluation, {}
    groups = X if isinstance(X, np.ndarray) else None
    n_people = len(set(X.groups("subject") if groups is None else groups))
    n_folds = given.n_folds or _USUAL_FOLDS
    if given.n_folds is None and 2 <= n_people < n_folds:
        fewer["leave_subjects_out"] = (
            f"leave_subjects_out has {n_people} groups, not {n_folds}: there are "
            f"{n_people} people."
        )
        n_folds = n_people
    wanted, problem = given.n_splits or _USUAL_SPLITS, None
    least = wanted if given.n_splits else 1
    for n_splits in range(wanted, least - 1, -1):
        splitter = FewShotSubjects(
            train_size(study), n_splits, random_state=study.general.random_state
        )
        try:
            list(splitter.split(X, y, groups))
        except ValueError as error:
            problem = problem or str(error)
        else:
            break
    else:
        problem += " Set n_splits or train_size in [evaluation], or take more people."
        return Splits(wanted, n_folds, problem, fewer)
    if problem is not None:
        why = problem.removeprefix(f"n_splits={wanted}, but ")
        text = f"few_shot has {n_splits} random splits, not {wanted}: {why}"
        fewer["few_shot"] = text
    return Splits(n_splits, n_folds, None, fewer)
