"""Components of features that agree between people who see the same moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from scipy.linalg import LinAlgError, eigh
from sklearn.base import ClassNamePrefixFeaturesOutMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from .._grouping import check_groups, combine_groups, rows_of_groups
from .._validation import check_number, check_onsets
from ..windows._metadata import takes_metadata
from ._steps import READ, FeatureStep

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_WHO_SAW_WHAT = ("subjects", "datasets", "stimuli", "onsets")


class CorrelatedComponents(ClassNamePrefixFeaturesOutMixin, FeatureStep):
    r"""Project features on what people have in common at the same moment.

    Correlated components [1]_ [2]_ of features: the directions in which people who see
    the same moment of the same stimulus agree most.  No labels are used.  With the
    covariance :math:`R_b` of features of two people at the same moment, and that of one
    person's features, :math:`R_w`, they solve

    .. math::

        R_b\, v_j = \rho_j R'_w\, v_j, \qquad
        R'_w = (1 - \gamma) R_w + \gamma\, \frac{\mathrm{tr}\, R_w}{K}\, I,

    where :math:`\rho_j` is the inter-subject correlation, and the output is
    :math:`\max(\rho_j, 0)^p\, v_j^\top x`: what people share is large, and the rest
    small.  It asks of features what inter-subject alignment asks of the encoder, and
    finds it without training.

    Parameters
    ----------
    n_components : int, default=None
        Components that are kept, those of the largest correlation.  None: all, as many
        as there are features.
    shrinkage : float, default=0.3
        :math:`\gamma`, from 0 to 1.
    weight_power : float, default=2.0
        :math:`p`.  With 0 all components have the same size.

    Attributes
    ----------
    correlations_ : ndarray of shape (n_components,)
        :math:`\rho`, descending, on the windows of `fit`.  With shrinkage they are no
        exact correlations, and can be above 1.
    components_ : ndarray of shape (n_components, n_features)
        What features are multiplied by, weights included.
    n_features_in_ : int
        Number of features.

    See Also
    --------
    WindowFeatures : Hands on who saw what.
    SubjectScaler : Comes before, since a person's own mean and scale are no agreement.

    Notes
    -----
    Datasets count alike.  The more people and moments, the less shrinkage is needed.
    People differ in the mean and scale of their features: scale these by subject
    first.  A `~sklearn.preprocessing.StandardScaler` behind it would undo the weights.

    To learn components on some datasets and to decode another, fit them there and
    freeze them with `sklearn.frozen.FrozenEstimator`, as in the example.

    References
    ----------
    .. [1] Dmochowski JP, Sajda P, Dias J, Parra LC. Correlated components of ongoing
       EEG point to emotionally laden attention - a possible marker of engagement?
       Front Hum Neurosci 2012;6:112, doi:10.3389/fnhum.2012.00112.
    .. [2] Parra LC, Haufe S, Dmochowski JP. Correlated components analysis -
       extracting reliable dimensions in multivariate data. Neurons Behav Data Anal
       Theory 2019;2(1), arXiv:1801.08881.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_mdjpt import (
    ...     CorrelatedComponents, DifferentialEntropy, LDSSmoother, SubjectScaler,
    ...     WindowFeatures)
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> X = make_emotion_windows(2, n_subjects=3, n_stimuli=3, random_state=0)
    >>> target = X.groups("dataset") == "SimB"
    >>> entropy = DifferentialEntropy(channels="canonical")
    >>> shared = WindowFeatures(entropy, [SubjectScaler(), CorrelatedComponents()])
    >>> shared = FrozenEstimator(shared.fit(X[~target]))
    >>> model = make_pipeline(
    ...     WindowFeatures(shared, [LDSSmoother()]), LogisticRegression())
    >>> model.fit(X[target], X.y[target]).predict(X[target]).shape
    (54,)
    """

    __metadata_request__fit = dict.fromkeys(_WHO_SAW_WHAT, True)

    def __init__(
        self,
        n_components: int | None = None,
        shrinkage: float = 0.3,
        weight_power: float = 2.0,
    ) -> None:
        self.n_components = n_components
        self.shrinkage = shrinkage
        self.weight_power = weight_power

    @takes_metadata(*_WHO_SAW_WHAT)
    def fit(self, X: ArrayLike, y: object = None, **metadata: ArrayLike | None) -> Self:
        """Find the components.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_features)
            Features.
        y : None
            Ignored.
        subjects : array-like of shape (n_windows,), default=None
            Subject of each window; without them there is an error.
        datasets : array-like of shape (n_windows,), default=None
            Dataset of each window; stimuli of different datasets are different.  None:
            one dataset.
        stimuli : array-like of shape (n_windows,), default=None
            What they saw; without them there is an error.
        onsets : array-like of shape (n_windows,), default=None
            Seconds from the start of the stimulus; without them there is an error.

        Returns
        -------
        CorrelatedComponents
            The transformer itself.

        Raises
        ------
        ValueError
            If subjects, stimuli or onsets are not given, no two subjects share a
            moment, X is not finite or a parameter is out of range.
        """
        self.check_parameters()
        x = check_array(X, estimator=self, **READ).astype(np.float64)
        between, within = _covariances(x, *self._who_saw_what(len(x), **metadata))
        n_features = x.shape[1]
        target = np.trace(within) / n_features * np.eye(n_features)
        within = (1 - self.shrinkage) * within + self.shrinkage * target
        try:
            correlations, vectors = eigh(between, within)
        except LinAlgError:
            raise ValueError(
                f"The covariance of the {n_features} features is singular with "
                f"shrinkage={self.shrinkage}: raise it, or give more windows."
            ) from None
        validate_data(self, X, skip_check_array=True)  # a failed fit leaves no trace
        # eigh sorts them the other way round.
        self.correlations_ = correlations[::-1][: self.n_components]
        vectors = vectors.T[::-1][: self.n_components]
        weights = np.maximum(self.correlations_, 0) ** self.weight_power
        # The sign of an eigenvector is free: its largest entry is positive.
        largest = np.abs(vectors).argmax(axis=1)[:, None]
        vectors = vectors * np.sign(np.take_along_axis(vectors, largest, axis=1))
        self.components_ = weights[:, None] * vectors
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Project windows on the components.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_features)
            Features, of anybody.

        Returns
        -------
        ndarray of shape (n_windows, n_components)
            Row i is window i; float32 if X is, float64 otherwise.

        Raises
        ------
        ValueError
            If X has another number of features than in `fit`, or is not finite.
        """
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, **READ)
        return x @ self.components_.T.astype(x.dtype)

    def fit_transform(
        self, X: ArrayLike, y: object = None, **metadata: ArrayLike | None
    ) -> np.ndarray:
        """Equal ``fit(X, **metadata).transform(X)``.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_features)
            Features.
        y : None
            Ignored.
        **metadata : array-like of shape (n_windows,)
            The keywords of `fit`.

        Returns
        -------
        ndarray of shape (n_windows, n_components)
            Row i is window i.
        """
        return self.fit(X, y, **metadata).transform(X)

    @property
    def _n_features_out(self):
        return len(self.components_)

    def check_parameters(self) -> None:
        """Raise if a parameter is out of its range, as `fit` does.

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        TypeError
            If a parameter is of another kind.
        """
        if self.n_components is not None:
            check_number(self.n_components, "n_components", whole=True, least=1)
        check_number(self.shrinkage, "shrinkage", least=0, most=1)
        check_number(self.weight_power, "weight_power", least=0)

    def _who_saw_what(self, n_rows, *, subjects, datasets, stimuli, onsets):
        """Return codes of the moments and of the subjects of each window."""
        needed = {"subjects": subjects, "stimuli": stimuli, "onsets": onsets}
        missing = [name for name, values in needed.items() if values is None]
        if missing:
            raise ValueError(
                f"CorrelatedComponents needs {', '.join(missing)}: who saw what, and "
                "when. Put it into WindowFeatures, on EEGWindows whose trials have a "
                "stimulus."
            )
        onsets = np.round(1000 * check_onsets(onsets, n_rows, "onsets"))  # ms
        missing = np.flatnonzero(np.isnan(onsets))
        if len(missing):
            raise ValueError(
                f"onsets are missing for {len(missing)} of {n_rows} rows; the first is "
                f"row {missing[0]}."
            )
        names = (subjects, datasets, stimuli)
        subjects, datasets, stimuli = (
            check_groups(values, n_rows, name)
            for values, name in zip(names, _WHO_SAW_WHAT[:3], strict=True)
        )
        datasets = combine_groups(n_rows, datasets)
        moments = combine_groups(n_rows, datasets, stimuli, onsets.astype(int))
        return datasets, moments, combine_groups(n_rows, datasets, subjects)


def _covariances(x, datasets, moments, subjects):
    """Return the covariances between people and within a person.

    Parameters
    ----------
    x : ndarray of shape (n_windows, n_features)
        Features.
    datasets, moments, subjects : ndarray of int, shape (n_windows,)
        Codes from 0 on; moments and subjects of different datasets differ.

    Returns
    -------
    between, within : ndarray of shape (n_features, n_features)
        Means over datasets.
    """
    x = x - pd.DataFrame(x).groupby(subjects).transform("mean").to_numpy()
    between, within = [], []
    for rows in rows_of_groups(datasets):
        # A person who saw a moment twice counts once: no pair is of one person.
        seen = pd.DataFrame(x[rows]).groupby([moments[rows], subjects[rows]]).mean()
        people = seen.groupby(level=0)
        sums, n_people = people.sum().to_numpy(), people.size().to_numpy()
        n_pairs = (n_people * (n_people - 1)).sum()
        if not n_pairs:
            continue
        values = seen.to_numpy()
        between.append((sums.T @ sums - values.T @ values) / n_pairs)
        within.append(values.T @ values / len(values))
    if not between:
        raise ValueError(
            "No two subjects share a moment (a stimulus and an onset) in any dataset: "
            "there is nothing that they could agree on."
        )
    return np.mean(between, axis=0), np.mean(within, axis=0)
