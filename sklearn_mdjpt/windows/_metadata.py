"""Metadata of windows as the keywords that fit and transform take."""

import functools
import inspect

import numpy as np

from .._grouping import check_groups
from .._validation import check_column, check_ids, check_onsets, join_ids, list_some
from ._inputs import as_windows, is_array

KEYWORDS = {
    "subjects": "subject",
    "datasets": "dataset",
    "sessions": "session",
    "trials": "trial",
    "stimuli": "stimulus",
    "onsets": "onset",
}
"""Each keyword, and the column of `EEGWindows.metadata` that it comes from."""

DOMAINS = {
    "dataset": ("datasets",),
    "subject": ("datasets", "subjects"),
    "session": ("datasets", "subjects", "sessions"),
}
"""What may be taken for a domain, and what tells domains of plain arrays apart."""


class ReadsWindows:
    """Marks transformers that read the metadata from the windows themselves."""


class TakesWindows:
    """Base of estimators whose X is 3-D (or `EEGWindows`), for scikit-learn's tags."""

    def __sklearn_tags__(self):
        """Say that X is 3-D."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


def takes_metadata(*names):
    """Let a method that has ``**metadata`` take these keywords, and no others.

    The method gets all of them by name, None where one was not passed.  Its signature
    lists them: scikit-learn's routing, `WindowFeatures` and ``help`` read it there.

    Parameters
    ----------
    *names : str
        The keywords.

    Returns
    -------
    callable
        A decorator; the method raises TypeError on any other keyword.
    """

    def decorate(method):
        signature = inspect.signature(method)
        *others, rest = signature.parameters.values()
        keywords = [
            rest.replace(name=name, kind=rest.KEYWORD_ONLY, default=None)
            for name in names
        ]
        signature = signature.replace(parameters=[*others, *keywords])

        @functools.wraps(method)
        def checked(*args, **kwargs):
            unknown = [name for name in kwargs if name not in signature.parameters]
            if unknown:
                raise TypeError(
                    f"{method.__qualname__}() got an unexpected keyword argument "
                    f"{unknown[0]!r}; it takes {list_some(names)}."
                )
            return method(*args, **dict.fromkeys(names) | kwargs)

        checked.__signature__ = signature
        return checked

    return decorate


def read_metadata(X, names, given, *, domain="subject"):
    """Return X, as EEGWindows if it is no array, and metadata by keyword.

    Parameters
    ----------
    X : EEGWindows, mne.Epochs, list of mne.Epochs, braindecode dataset or array
        Windows.
    names : iterable of str
        The keywords wanted, "domains" among them perhaps.
    given : dict of str to array-like or None
        All keywords, as they came with X; only those with an array may be there.
    domain : {"subject", "session", "dataset"}, default="subject"
        What a domain is.

    Returns
    -------
    X : EEGWindows or array
        The windows.
    metadata : dict of str to array or None
        Those of ``names``; None where it is not known.

    Raises
    ------
    ValueError
        If windows that know their metadata come with keywords that say otherwise, or
        lack some of it.
    """
    if is_array(X):
        known = given | {"domains": _joined(given, DOMAINS[domain], len(X))}
        return X, {name: known[name] for name in names}
    windows = as_windows(X)
    # The same ids beside X do no harm: with metadata routing, those that a splitter
    # asks for come here as well.
    surplus = [
        name
        for name, values in given.items()
        if values is not None and not _agrees(windows, KEYWORDS[name], values)
    ]
    if surplus:
        raise ValueError(
            f"{type(X).__name__} brings its own metadata, and the {list_some(surplus)} "
            "passed beside it say otherwise. Name subject, trial, ... where the "
            "windows are made (EEGWindows.from_arrays, EEGWindows.from_epochs)."
        )
    columns = KEYWORDS | {"domains": domain}
    return windows, {name: _column(windows, columns[name], name) for name in names}


def _agrees(windows, column, values):
    """Whether values are the ids of the windows, bare or as `EEGWindows.groups`."""
    own = windows.metadata[column]
    try:
        values = check_column(values, len(own), column)
    except ValueError:
        return False
    if own.isna().any():
        return False
    if column == "onset":
        return bool((own.to_numpy() == check_onsets(values, len(own))).all())
    ids = check_ids(values, len(own), column)
    return bool((ids == own).all() or (ids == windows.groups(column)).all())


def _column(windows, column, keyword):
    """One value for each window, or None if no window has one."""
    table = windows.metadata
    # Who has a subject has a session too, be it one without a name.
    unnamed = column == "session" and table["subject"].notna().any()
    needed = "subject" if unnamed else column
    missing = table[needed].isna().to_numpy()
    if missing.all():
        return None
    if missing.any():
        raise ValueError(
            f"{missing.sum()} of {len(windows)} windows have no {needed}, the first is "
            f"window {np.flatnonzero(missing)[0]}; what uses {keyword} needs it for "
            "all windows, or for none."
        )
    if column == "onset":
        return table["onset"].to_numpy(dtype=float)
    return windows.groups(column)


def _joined(given, names, n_rows):
    """Domains of an array: the last of the names, within the others where given."""
    if given[names[-1]] is None:
        return None
    known = [name for name in names if given[name] is not None]
    if len(known) == 1:
        return given[known[0]]
    ids = [check_groups(given[name], n_rows, name) for name in known]
    return np.array([join_ids(*row) for row in zip(*ids, strict=True)])
