"""Base classes of the steps behind an extractor: metadata, and the order of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from .._grouping import check_groups, combine_groups, time_order
from .._io._pickles import VersionedPickle
from .._validation import check_onsets, warn
from ..windows._metadata import takes_metadata

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# How X is read. Sums over rows in one memory order give the same digits for every X.
READ = {"dtype": (np.float64, np.float32), "order": "C"}

# What a step that runs in the order of time takes.
TIMED = ("subjects", "sessions", "trials", "onsets")


class FeatureStep(VersionedPickle, TransformerMixin, BaseEstimator):
    """Base of the steps: fit_transform with metadata, and float32 is kept."""

    def fit_transform(
        self, X: ArrayLike, y: object = None, **metadata: Any
    ) -> np.ndarray:
        """Fit to X and transform it, with the same keywords.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_features)
            Features.
        y : None
            Ignored.
        **metadata : array-like of shape (n_windows,)
            The keywords of `fit`, handed to both `fit` and `transform`.

        Returns
        -------
        ndarray of shape (n_windows, n_features)
            The same as ``fit(X, **metadata).transform(X, **metadata)``.
        """
        return self.fit(X, y, **metadata).transform(X, **metadata)

    def __sklearn_tags__(self):
        """Say that float32 stays float32."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class TimedStep(OneToOneFeatureMixin, FeatureStep):
    """A transformer that runs through sequences of windows in the order of time."""

    __metadata_request__fit = __metadata_request__transform = dict.fromkeys(TIMED, True)

    @takes_metadata(*TIMED)
    def fit(self, X: ArrayLike, y: object = None, **metadata: ArrayLike | None) -> Self:
        """Check parameters and keywords; learn the fitted attributes, if there are any.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_features)
            Features.
        y : None
            Ignored.
        subjects, sessions, trials, onsets : array-like of shape (n_windows,), \
default=None
            As in `transform`; here they are only checked.

        Returns
        -------
        object
            The transformer itself.

        Raises
        ------
        ValueError
            If a parameter is out of range, X is not finite, or a keyword does not give
            each window its entry.
        TypeError
            If onsets are not numbers.
        """
        self._check_parameters()
        x = check_array(X, estimator=self, **READ)
        _sequences(len(x), **metadata, apart=self._apart)
        learnt = self._learn(x)
        validate_data(self, X, skip_check_array=True)  # a failed fit leaves no trace
        for name, value in learnt.items():
            setattr(self, name, value)
        return self

    @takes_metadata(*TIMED)
    def transform(self, X: ArrayLike, **metadata: ArrayLike | None) -> np.ndarray:
        """Run through the windows in the order of time.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_features)
            Features.
        subjects : array-like of shape (n_windows,), default=None
            Subject of each window. None: one subject.
        sessions : array-like of shape (n_windows,), default=None
            Session of each window. None: one session for each subject.
        trials : array-like of shape (n_windows,), default=None
            Trial of each window; "10" comes after "9". None: one trial a session.
        onsets : array-like of shape (n_windows,), default=None
            Seconds from the trial's start. None: a trial's rows are in order. Windows
            that share all ids and the onset are warned of (UserWarning).

        Returns
        -------
        ndarray of shape (n_windows, n_features)
            Row i is window i; float32 if X is, float64 otherwise.

        Raises
        ------
        ValueError
            If X has another number of features than in `fit`; else as in `fit`.
        """
        check_is_fitted(self)
        self._check_parameters()
        x = validate_data(self, X, reset=False, **READ)
        order, lengths, times = _sequences(
            len(x), **metadata, apart=self._apart, warn_user=True
        )
        out = np.empty_like(x)
        out[order] = self._run(x[order].astype(np.float64), lengths, times)
        return out


def _sequences(n_rows, *, onsets, apart, warn_user=False, **ids):
    """Sort rows by sequence and time; check the metadata.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    onsets : array-like of shape (n_rows,) or None
        Seconds from the trial's start.
    apart : sequence of str
        The ids by which sequences differ.
    warn_user : bool, default=False
        Whether to warn of trials that are missing and of windows that are repeated.
    **ids : array-like of shape (n_rows,) or None
        Ids by keyword.

    Returns
    -------
    order, lengths : ndarray of int
        Rows, sequence by sequence; number of rows of each sequence.
    onsets : ndarray of shape (n_rows,) or None
        Their onsets, in this order; None if one is unknown.
    """
    ids = {name: check_groups(value, n_rows, name) for name, value in ids.items()}
    groups = combine_groups(n_rows, *(ids[name] for name in apart))
    order = time_order(groups, trials=ids.get("trials"), onsets=onsets)
    lengths = np.bincount(groups)
    no_trials = "trials" in apart and ids["trials"] is None
    if warn_user and no_trials and len(lengths) < n_rows:
        warn(
            "No trials were given: all windows of a subject and session, as far as "
            "known, are smoothed as one trial, across clips and their labels. Pass "
            "trials=..., or use WindowFeatures on EEGWindows."
        )
    if onsets is None:
        return order, lengths, None
    onsets = check_onsets(onsets, n_rows, "onsets")
    if np.isnan(onsets).any():
        return order, lengths, None
    if warn_user:
        n_distinct = combine_groups(n_rows, *ids.values(), onsets).max() + 1
        if n_distinct < n_rows:
            warn(
                f"{n_rows - n_distinct} of {n_rows} windows repeat the subject, "
                "session, trial and onset of another, as far as these are given. Is "
                "one missing? Such windows are taken in the order of the rows."
            )
    return order, lengths, onsets[order]
