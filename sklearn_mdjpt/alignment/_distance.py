"""covariance_distance: the gap between domains that alignment is to close."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from .._grouping import check_groups
from .._validation import check_number, check_option, list_some
from ..channels._montage import SharedChannels
from ..windows._inputs import check_finite, is_array
from ..windows._people import rows_by_name
from ..windows._windows import EEGWindows
from ._spd import (
    EIGENVALUE_FLOOR,
    METRICS,
    check_spd,
    distances,
    spd_mean,
)
from ._windows import as_windows_or_array, source_covariances

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class CovarianceDistance:
    """How far the domains' mean covariances are apart; see `covariance_distance`.

    Parameters
    ----------
    between : float
        Mean distance between the means of two domains.
    within : float
        Mean distance of matrices from the mean of their domain, each domain alike.
    table : DataFrame
        One row for each domain: ``n_matrices``, ``within``, and ``between``, the mean
        distance of its mean from those of the others.
    pairs : DataFrame of shape (n_domains, n_domains)
        Distances between the domains' means.
    """

    between: float
    within: float
    table: pd.DataFrame
    pairs: pd.DataFrame

    @property
    def ratio(self) -> float:
        """Distance between domains in units of that within them."""
        return self.between / self.within if self.within > 0 else float("nan")

    def __repr__(self):
        return (
            f"<CovarianceDistance: between {self.between:.4g}, within "
            f"{self.within:.4g}, ratio {self.ratio:.3g}, {len(self.table)} domains>"
        )


def covariance_distance(
    X: EEGWindows | ArrayLike,
    domains: ArrayLike | str | None = None,
    *,
    metric: Literal["riemann", "logeuclid", "euclid"] = "riemann",
    eigenvalue_floor: float = EIGENVALUE_FLOOR,
) -> CovarianceDistance:
    """Measure how far the signals of domains, such as subjects, lie apart.

    Take this function before any encoder: it compares SPD matrices, or the covariances
    of windows, by Riemannian (or another) geometry, and shows the gap that
    `CovarianceAlignment` is to close.  Take
    `sklearn_mdjpt.inspection.covariance_distances` to look inside a fitted encoder.

    Parameters
    ----------
    X : array-like of shape (n_matrices, n_channels, n_channels) or EEGWindows
        SPD matrices; those of `EEGWindows` are the covariances of their windows on the
        channels that all of them have.
    domains : array-like of shape (n_matrices,) or str, default=None
        Domain of each matrix. For `EEGWindows` also what to group by: "subject" (where
        None), "session" or "dataset".
    metric : {"riemann", "logeuclid", "euclid"}, default="riemann"
        Metric of means and distances.
    eigenvalue_floor : float, default=1e-5
        As for `CovarianceAlignment`.

    Returns
    -------
    CovarianceDistance
        With the numbers ``between``, ``within`` and ``ratio``, and tables of them.

    Raises
    ------
    ValueError
        Bad matrices, fewer than two domains, or montages without a common channel.

    See Also
    --------
    CovarianceAlignment : Closes the gap.
    sklearn_mdjpt.inspection.covariance_distances : Distances of datasets or subjects
        inside a fitted encoder, by the measure of its CDA loss.
    sklearn_mdjpt.nn.centroid_distances : That measure, for tensors of centroids.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mdjpt import covariance_distance
    >>> signals = np.random.default_rng(0).standard_normal((40, 3, 500))
    >>> signals[20:] *= 2
    >>> X = signals @ signals.transpose(0, 2, 1) / 500
    >>> covariance_distance(X, np.repeat(["one", "two"], 20))
    <CovarianceDistance: between 2.4..., within 0.15..., ratio 1..., 2 domains>
    """
    check_option(metric, METRICS, "metric")
    check_number(eigenvalue_floor, "eigenvalue_floor", least=0, below=1)
    if not is_array(X):
        X = as_windows_or_array(X)
        if domains is None or isinstance(domains, str):
            domains = X.groups(domains or "subject")
        X = _shared_covariances(X)
    elif domains is None or isinstance(domains, str):
        raise ValueError(
            f"domains= is needed, the domain of each matrix; got {domains!r}."
        )
    X = check_spd(X, eigenvalue_floor)
    names = check_groups(domains, len(X), "domains")
    present = rows_by_name(names)
    if len(present) < 2:
        raise ValueError(
            f"Distances between domains need two of them, got {list_some(present)}."
        )
    means = np.stack([spd_mean(X[rows], metric) for rows in present.values()])
    pairs = np.zeros((len(present), len(present)))
    for i, M in enumerate(means[:-1]):
        pairs[i, i + 1 :] = pairs[i + 1 :, i] = distances(means[i + 1 :], M, metric)
    table = pd.DataFrame(
        {
            "n_matrices": [len(rows) for rows in present.values()],
            "within": [
                float(distances(X[rows], M, metric).mean())
                for rows, M in zip(present.values(), means, strict=True)
            ],
            "between": pairs.sum(axis=1) / (len(present) - 1),
        },
        index=pd.Index(list(present), name="domain"),
    )
    if not np.isfinite(table.to_numpy()).all():
        raise ValueError(
            "Matrices are too nearly singular to measure their distances; set a larger "
            "eigenvalue_floor."
        )
    return CovarianceDistance(
        between=float(table["between"].mean()),
        within=float(table["within"].mean()),
        table=table,
        pairs=pd.DataFrame(pairs, index=table.index, columns=table.index),
    )


def _shared_covariances(X):
    """Covariances on the channels that all montages have, in alphabetical order.

    Not on the canonical ones: there the montages would differ most in what they lack.
    """
    channels = SharedChannels(X)
    check_finite(X, channels, constant=False)
    matrices = np.empty((len(X), len(channels.names), len(channels.names)))
    for source, rows, starts, n_times in X.blocks():
        picks = channels.matrix(source)
        matrices[rows] = source_covariances(source, starts, n_times, picks)
    return matrices
