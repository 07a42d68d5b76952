"""The check that training and test windows are apart, and its warning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from .._identity import plural, say_what_may_be_one
from .._validation import check_ids, check_option, list_some, warn
from ..windows._windows import EEGWindows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike


_LEVELS = ("dataset", "subject", "session", "trial", "stimulus", "window")


class LeakageWarning(UserWarning):
    """Training and test are not apart, or it cannot be known whether they are."""


def assert_disjoint(
    train: EEGWindows | ArrayLike,
    test: EEGWindows | ArrayLike,
    *,
    by: str | Sequence[str] = ("subject", "trial"),
    on_overlap: Literal["raise", "warn"] = "raise",
) -> list[str]:
    """Check that training and test windows share no subject, trial, ...

    Parameters
    ----------
    train, test : EEGWindows, or array-like of group names
        The two sets. Of arrays the values themselves are compared.
    by : str or sequence of str, default=("subject", "trial")
        What must not be on both sides: "dataset", "subject", "session", "trial",
        "stimulus", or "window" (windows that share samples of a recording). Of arrays
        it is what their values are called.
    on_overlap : {"raise", "warn"}, default="raise"
        What to do if something is.

    Returns
    -------
    list of str
        What is on both sides (with ``on_overlap="warn"``), or may be.

    Raises
    ------
    ValueError
        If something is on both sides.

    Warns
    -----
    LeakageWarning
        With ``on_overlap="warn"``; and where it cannot be known, as some windows have
        no such id, as windows made without ``dataset`` have an id that windows of
        another dataset have, too, or as ids differ in zeros or capitals only.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.model_selection import assert_disjoint
    >>> X = make_emotion_windows(1, n_subjects=2, n_stimuli=3, random_state=0)
    >>> assert_disjoint(X[:18], X[18:])
    []
    >>> assert_disjoint(X[::2], X[1::2], by="subject")
    Traceback (most recent call last):
    ...
    ValueError: 2 subjects are in both train and test: SimA/01, SimA/02.
    """
    check_option(on_overlap, ("raise", "warn"), "on_overlap")
    levels = (by,) if isinstance(by, str) else tuple(by)
    found, unsure = find_overlap(train, test, levels, on_overlap)
    return [level for level in levels if level in found or level in unsure]


def find_overlap(train, test, levels, on_overlap):
    """Check what is on both sides; see `assert_disjoint`.

    Parameters
    ----------
    train, test : EEGWindows, or array-like of group names
        The two sets.
    levels : sequence of str
        What must not be on both sides.
    on_overlap : {"raise", "warn"}
        What to do if something is.

    Returns
    -------
    found, unsure : list of str
        Levels of which something is on both sides, and of which something may be.
    """
    windows = [isinstance(part, EEGWindows) for part in (train, test)]
    if any(windows) and not all(windows):
        raise TypeError(
            "train and test must both be EEGWindows or both be arrays, got "
            f"{type(train).__name__} and {type(test).__name__}."
        )
    found, unsure = {}, {}  # a text for each level
    for level in levels:
        if not all(windows):
            text, doubt = _shared(_names(train, level), _names(test, level), level), ""
        else:
            check_option(level, _LEVELS, "by")
            text, doubt = _shared_windows(train, test, level)
        if text:
            found[level] = text
        if doubt:
            unsure[level] = doubt
    if unsure:
        warn(" ".join(unsure.values()), LeakageWarning)
    if found:
        message = f"{'; '.join(found.values())}."
        if on_overlap == "raise":
            raise ValueError(message)
        warn(message, LeakageWarning)
    return list(found), list(unsure)


def _names(values, level):
    """Return the names in an array, without those that are missing."""
    values = np.ravel(np.asarray(values, dtype=object))
    names = check_ids(values, len(values), level)
    return names[pd.notna(names)].astype(str)


def _shared_windows(train, test, level):
    """Describe what two sets of windows share, and what they may share, or ""."""
    if level == "window":
        n = _n_overlapping(train, test)
        text = f"{n} training windows share samples with test windows" if n else ""
        return text, ""
    # A subject without session names has one session.
    needed = "subject" if level == "session" else level
    for part, name in ((train, "training"), (test, "test")):
        missing = part.metadata[needed].isna().sum()
        if missing:
            warn(
                f"{missing} of {len(part)} {name} windows have no {needed}: whether "
                f"train and test share {plural(level)} cannot be checked.",
                LeakageWarning,
            )
            return "", ""
    text = _shared(train.groups(level), test.groups(level), level)
    return text, say_what_may_be_one(train.metadata, test.metadata, level)


def _shared(train, test, level):
    both = np.intersect1d(train, test)
    if not len(both):
        return ""
    name = level if len(both) == 1 else plural(level)
    verb = "is" if len(both) == 1 else "are"
    return f"{len(both)} {name} {verb} in both train and test: {list_some(both, 3)}"


def _n_overlapping(train, test):
    """Count training windows that share samples with a test window."""
    tested = {id(source): (starts, n) for source, _, starts, n in test.blocks()}
    count = 0
    for source, _, starts, n_times in train.blocks():
        if id(source) not in tested:
            continue
        others, lengths = tested[id(source)]
        if not source.is_continuous:  # starts are positions in a stack
            count += int(np.isin(starts, others).sum())
            continue
        order = np.argsort(others)
        # A training window overlaps if, of the test windows that begin before its end,
        # the one that ends last ends after its beginning.
        stops = np.maximum.accumulate((others + lengths)[order])
        before = np.searchsorted(others[order], starts + n_times, side="left")
        latest = np.where(before > 0, stops[np.maximum(before - 1, 0)], -1)
        count += int((latest > starts).sum())
    return count
