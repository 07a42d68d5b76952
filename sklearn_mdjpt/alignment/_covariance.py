"""CovarianceAlignment: recentre the SPD matrices of each domain."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._grouping import check_groups
from .._io._pickles import VersionedPickle
from .._validation import (
    as_id,
    check_labels,
    check_number,
    check_option,
    count_values,
    list_some,
    warn,
)
from ..windows._metadata import TakesWindows, takes_metadata
from ..windows._people import rows_by_name
from ._spd import (
    EIGENVALUE_FLOOR,
    METRICS,
    check_spd,
    congruence,
    distances,
    recentring,
    spd_mean,
    stretch,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_ALL = "all of X"  # the domain of a fit without domains
_NEW = "X, of unknown domains"  # that of a transform without, after a fit with them
# Per channel; rounding errors of nearly singular matrices are smaller.
_NO_DISPERSION = 1e-14


class CovarianceAlignment(
    TakesWindows, VersionedPickle, TransformerMixin, BaseEstimator
):
    r"""Recentre each domain's SPD matrices to a common target.

    With :math:`M_d` the mean of domain :math:`d` and :math:`G` the target, each matrix
    becomes

    .. math::

        X \mapsto A_d X A_d^\top, \qquad A_d = G^{1/2} M_d^{-1/2},

    which whitens by the domain's mean and colours by the target, so that :math:`M_d`
    becomes :math:`G` [1]_. With the identity for :math:`G` it is the recentring of [2]_
    and, with metric "euclid", Euclidean alignment [3]_, and equals
    `pyriemann.transfer.TLCenter`. To a classifier that does not change under
    congruences, such as one on affine-invariant distances, all targets are one.

    Parameters
    ----------
    metric : {"riemann", "logeuclid", "euclid"}, default="riemann"
        Metric of the means. With "riemann" and "euclid" the mean of an aligned domain
        is the target. Every metric recentres by a congruence, and for "logeuclid",
        which is not invariant to congruences, the mean reaches the target only
        approximately (see Notes).
    target : {"mean", "identity"} or name of a domain, default="mean"
        "mean": the mean, in the metric, of the means of the domains seen in ``fit``,
        whatever their size. "identity": the identity matrix. A domain (not of these
        two names): that domain's mean, so that its matrices stay as they are.
    unseen : {"transductive", "error"}, default="transductive"
        What ``transform`` does with a domain that it has not seen in ``fit``.
        "transductive": recentre it by the mean of its own matrices in X, without
        labels. "error": raise.
    dispersion : None, "mean" or float, default=None
        Rescale each domain around the target, after recentring, to one dispersion (the
        mean squared distance from the target) [4]_. "mean": the mean dispersion of the
        domains seen in ``fit``. A number: that dispersion. Needs metric="riemann".
    eigenvalue_floor : float, default=1e-5
        Eigenvalues smaller than this share of a matrix's mean eigenvalue are raised to
        it before anything else, in ``fit`` and in ``transform``. A common average
        reference, interpolated or constant channels, and windows with fewer samples
        than channels all make eigenvalues of 0. Matrices that have no such eigenvalue
        are not changed. 0 refuses singular matrices.

    Attributes
    ----------
    means_ : dict of str to ndarray of shape (n_channels, n_channels)
        Mean of each domain seen in ``fit``, and of those that were calibrated.
    target_ : ndarray of shape (n_channels, n_channels)
        The target.
    dispersions_ : dict of str to float or None
        Dispersion of each domain; None if ``dispersion`` is None.
    calibrated_subjects_ : list of str
        The domains that ``calibrate`` got.
    n_features_in_ : int
        Number of channels.

    See Also
    --------
    WindowAlignment : The same on signals.
    covariance_distance : Measures the gap between domains.
    WindowFeatures : Hands the domains of `EEGWindows` on, in fit and in transform.
    pyriemann.transfer.TLCenter : Recentring with the domains in y.

    Notes
    -----
    ``fit(X, domains=d).transform(X, domains=d)`` equals ``fit_transform(X,
    domains=d)``, which is not so for `pyriemann.transfer.TLCenter`.

    Domains come by keyword (``sample_domain`` is another name for it), or, in ``fit``,
    by labels in pyriemann's coding "domain/label" (what precedes the last slash), with
    a warning, as plain labels can hold a slash too. Where ``fit`` got none, everything
    is one domain, and ``transform`` uses its mean. Where ``fit`` got domains and
    ``transform`` does not, X is taken for *one unseen domain*, with a warning: that is
    right for a test fold of one subject and wrong for one of several; scikit-learn
    passes no keyword on when it predicts. To be safe, put the alignment
    inside `WindowFeatures`, or use `WindowAlignment`: both take the domains from X.

    The affine-invariant mean is iterated until its gradient is below 1e-9 of the norm
    of the identity. The log-Euclidean mean of aligned matrices misses the target by an
    amount that grows with their spread and condition number. For 5 s of EEG at rest and
    in mental arithmetic (19 channels) it is 10 to 15 percent (Frobenius norm, relative)
    in subjects with condition numbers below 1e3, and more than the target itself in
    those whose matrices are nearly singular: there use another metric, or matrices that
    are shrunk. `covariance_distance` measures what is left.

    The floor ends the invariance: matrices with eigenvalues below it are changed, as
    those of a channel in a unit a thousand times smaller than the others' would be.
    Bring channels to one unit first.

    A domain of one matrix becomes the target itself under its own mean, and tells
    nothing any more; a warning says so.

    Transductive use is without labels, but no longer a decision on one window at a
    time. What is learnt in ``fit`` never depends on what is transformed.

    References
    ----------
    .. [1] Sun B, Feng J, Saenko K. Return of frustratingly easy domain adaptation. AAAI
       2016, doi:10.1609/aaai.v30i1.10306.
    .. [2] Zanini P et al. Transfer learning: a Riemannian geometry framework with
       applications to brain-computer interfaces. IEEE Trans Biomed Eng 2018, 65(5),
       doi:10.1109/TBME.2017.2742541.
    .. [3] He H, Wu D. Transfer learning for brain-computer interfaces: a Euclidean
       space data alignment approach. IEEE Trans Biomed Eng 2020, 67(2),
       doi:10.1109/TBME.2019.2913914.
    .. [4] Rodrigues PLC, Jutten C, Congedo M. Riemannian Procrustes analysis. IEEE
       Trans Biomed Eng 2019, 66(8), doi:10.1109/TBME.2018.2889705.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mdjpt import CovarianceAlignment
    >>> signals = np.random.default_rng(0).standard_normal((40, 3, 100))
    >>> signals[20:] *= [[1.0], [5.0], [2.0]]  # the second subject's electrodes
    >>> X = signals @ signals.transpose(0, 2, 1) / 100
    >>> domains = np.repeat(["one", "two"], 20)
    >>> aligned = CovarianceAlignment("euclid").fit_transform(X, domains=domains)
    >>> np.allclose(aligned[:20].mean(axis=0), aligned[20:].mean(axis=0))
    True
    """

    # Under metadata routing the domains arrive wherever they are passed.
    __metadata_request__fit = {"domains": True, "sample_domain": True}
    __metadata_request__transform = {"domains": True, "sample_domain": True}

    def __init__(
        self,
        metric: Literal["riemann", "logeuclid", "euclid"] = "riemann",
        target: str = "mean",
        unseen: Literal["transductive", "error"] = "transductive",
        dispersion: Literal["mean"] | float | None = None,
        eigenvalue_floor: float = EIGENVALUE_FLOOR,
    ) -> None:
        self.metric = metric
        self.target = target
        self.unseen = unseen
        self.dispersion = dispersion
        self.eigenvalue_floor = eigenvalue_floor

    @takes_metadata("domains", "sample_domain")
    def fit(
        self, X: ArrayLike, y: ArrayLike | None = None, **metadata: ArrayLike | None
    ) -> Self:
        """Learn the domains' means and the target.

        Parameters
        ----------
        X : array-like of shape (n_matrices, n_channels, n_channels)
            Symmetric positive (semi-)definite matrices.
        y : array-like of shape (n_matrices,), default=None
            Labels; not used, except for domains coded in them as "domain/label".
        domains, sample_domain : array-like of shape (n_matrices,), default=None
            Domain of each matrix.

        Returns
        -------
        CovarianceAlignment
            The transformer itself.

        Raises
        ------
        ValueError
            Matrices that are not square, finite, symmetric and positive semi-definite,
            domains of another number, a target that is no domain of X.
        """
        self._check_parameters()
        X = check_spd(X, self.eigenvalue_floor)
        self._fit(X, _find_domains(len(X), y, **metadata))
        return self

    @takes_metadata("domains", "sample_domain")
    def fit_transform(
        self, X: ArrayLike, y: ArrayLike | None = None, **metadata: ArrayLike | None
    ) -> np.ndarray:
        """Equal ``fit(X, y, domains=d).transform(X, domains=d)``.

        Parameters
        ----------
        X : array-like of shape (n_matrices, n_channels, n_channels)
            As for `fit`.
        y : array-like of shape (n_matrices,), default=None
            As for `fit`; domains coded in y are those of the transform too.
        domains, sample_domain : array-like of shape (n_matrices,), default=None
            Domain of each matrix.

        Returns
        -------
        ndarray of shape (n_matrices, n_channels, n_channels)
            Float64.
        """
        self._check_parameters()
        X = check_spd(X, self.eigenvalue_floor)
        names = _find_domains(len(X), y, **metadata)
        self._fit(X, names)
        return self._align(X, names)

    @takes_metadata("domains", "sample_domain")
    def transform(self, X: ArrayLike, **metadata: ArrayLike | None) -> np.ndarray:
        """Recentre matrices, each domain by its mean.

        Parameters
        ----------
        X : array-like of shape (n_matrices, n_channels, n_channels)
            Matrices of as many channels as in ``fit``.
        domains, sample_domain : array-like of shape (n_matrices,), default=None
            Domain of each matrix. None: X is one domain, see Notes.

        Returns
        -------
        ndarray of shape (n_matrices, n_channels, n_channels)
            Float64, symmetric positive definite.

        Raises
        ------
        ValueError
            As for `fit`; or if a domain is unseen and ``unseen="error"``.
        """
        check_is_fitted(self)
        X = check_spd(X, self.eigenvalue_floor)
        return self._align(X, _find_domains(len(X), None, **metadata))

    @takes_metadata("domains", "sample_domain")
    def calibrate(self, X: ArrayLike, **metadata: ArrayLike | None) -> Self:
        """Fix the means of some domains: their later matrices are recentred by these.

        Parameters
        ----------
        X : array-like of shape (n_matrices, n_channels, n_channels)
            The domains' first matrices.
        domains, sample_domain : array-like of shape (n_matrices,), default=None
            Domain of each matrix; without them there is an error.

        Returns
        -------
        CovarianceAlignment
            The transformer itself; after an error it is as it was.

        Raises
        ------
        ValueError
            If there are no domains, or none were given in ``fit``; else as in ``fit``.

        Notes
        -----
        A domain that was in ``fit``, or calibrated before, is calibrated anew.  The
        target and the final dispersion stay as ``fit`` found them.
        """
        check_is_fitted(self)
        X = check_spd(X, self.eigenvalue_floor)
        names = given_domains(len(X), **metadata)
        self._check_n_channels(X)
        self._calibrate(X, names)
        return self

    def _without_domains(self, n_channels):
        """Make it as after a fit that has seen no domain, with the identity as target.

        Returns
        -------
        CovarianceAlignment
            Itself.
        """
        self.means_, self.target_ = {}, np.eye(n_channels)
        self.dispersions_ = self._final_dispersion = None
        self._by_domain, self.calibrated_subjects_ = True, []
        self.n_features_in_ = n_channels
        return self

    def _calibrate(self, X, names):
        """Calibrate from checked matrices; set all attributes at the end."""
        if names is None or not self._by_domain:
            raise ValueError(
                "To calibrate, fit and calibrate must know the domains of their "
                "matrices: pass domains=, or use WindowFeatures on EEGWindows."
            )
        rows = rows_by_name(names)
        means = {name: spd_mean(X[rows[name]], self.metric) for name in sorted(rows)}
        _warn_of_singles(rows)
        if self.dispersions_ is not None:
            found = {d: _dispersion(X[rows[d]], M) for d, M in means.items()}
            self.dispersions_ = self.dispersions_ | found
        self.means_ = self.means_ | means
        self.calibrated_subjects_ = sorted({*self.calibrated_subjects_, *means})

    def __sklearn_tags__(self):
        """Say that X is 3-D and float64 stays float64."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64"]
        return tags

    def _check_parameters(self):
        check_option(self.metric, METRICS, "metric")
        check_option(self.unseen, ("transductive", "error"), "unseen")
        check_number(self.eigenvalue_floor, "eigenvalue_floor", least=0, below=1)
        if not isinstance(self.target, str | Real):
            raise ValueError(
                "target must be 'mean', 'identity' or the name of a domain, got "
                f"{type(self.target).__name__}."
            )
        if not isinstance(self.dispersion, str) or self.dispersion != "mean":
            check_number(
                self.dispersion, "dispersion, unless 'mean',", none=True, above=0
            )
        if self.dispersion is not None and self.metric != "riemann":
            raise ValueError(
                "dispersion needs metric='riemann', in which rescaling keeps the mean; "
                f"got metric={self.metric!r}."
            )

    def _fit(self, X, names):
        """Learn from checked matrices; set all attributes at the end."""
        if names is None and self.target == "mean":
            warn(
                "No domains were given: all of X is one, whose mean is the target, and "
                "nothing is moved. Pass domains=."
            )
        rows = rows_by_name(np.full(len(X), _ALL) if names is None else names)
        means = {name: spd_mean(X[rows[name]], self.metric) for name in sorted(rows)}
        if self.target == "identity":
            target = np.eye(X.shape[1])
        elif self.target == "mean":
            target = spd_mean(np.stack(list(means.values())), self.metric)
        elif as_id(self.target) in means:
            target = means[as_id(self.target)].copy()
        else:
            raise ValueError(
                "target must be 'mean', 'identity' or a domain of X "
                f"({list_some(means)}); got {self.target!r}."
            )
        _warn_of_singles(rows)
        dispersions = final = None
        if self.dispersion is not None:
            dispersions = {d: _dispersion(X[rows[d]], M) for d, M in means.items()}
            final = self.dispersion
            if final == "mean":
                final = np.mean(list(dispersions.values()))
        self.means_, self.target_ = means, target
        self.dispersions_, self._final_dispersion = dispersions, final
        self._by_domain, self.calibrated_subjects_ = names is not None, []
        self.n_features_in_ = X.shape[1]

    def _align(self, X, names):
        aligned = np.empty_like(X)
        for name, rows, M in self._means_of_rows(X, names):
            Z = congruence(recentring(M, self.target_), X[rows])
            if self._final_dispersion is not None:
                now = self.dispersions_.get(name)
                if now is None:
                    now = _dispersion(X[rows], M)
                if now > 0:  # else all matrices are the mean, and stay it
                    Z = stretch(Z, self.target_, np.sqrt(self._final_dispersion / now))
            aligned[rows] = Z
        return aligned

    def _check_n_channels(self, X):
        if X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has matrices of {X.shape[1]} channels, but "
                f"{type(self).__name__} was fitted with {self.n_features_in_}."
            )

    def _means_of_rows(self, X, names):
        """Return (domain, rows, mean) of each domain; raise on a forbidden one."""
        self._check_n_channels(X)
        if names is None:
            names = np.full(len(X), _NEW if self._by_domain else _ALL)
            if self._by_domain and self.unseen == "transductive":
                warn(
                    "fit was given domains, and transform is not: X is taken for one "
                    "new domain, which is wrong if it holds several. scikit-learn "
                    "drops keywords when it predicts; WindowFeatures and "
                    "WindowAlignment take the domains from EEGWindows."
                )
        present = rows_by_name(names)
        new = {name: k for name, k in present.items() if name not in self.means_}
        if new and self.unseen == "error":
            problem = f"Domains {list_some(new)} were not seen in fit"
            if list(new) == [_NEW]:
                problem = "fit was given domains, and transform is not (domains=None)"
            raise ValueError(
                f"{problem}; fit saw {list_some(self.means_)}. With "
                "unseen='transductive', new domains are recentred by their own means."
            )
        return domain_means(X, present, self.metric, self.means_)


def given_domains(n_rows, domains, sample_domain):
    """Return the domain of each row as str, by whichever name it came."""
    if domains is not None and sample_domain is not None:
        raise ValueError("domains and sample_domain are two names of one thing.")
    if sample_domain is not None:
        return check_groups(sample_domain, n_rows, "sample_domain")
    return check_groups(domains, n_rows, "domains")


def _find_domains(n_rows, y, domains, sample_domain):
    """Return the domain of each row as str, None where none are known."""
    names = given_domains(n_rows, domains, sample_domain)
    if names is not None or y is None:
        return names
    if count_values(y) != n_rows:
        if len(y) != n_rows:
            raise ValueError(f"y has {len(y)} labels for {n_rows} matrices.")
        return None  # y has several columns
    labels = check_labels(y, n_rows)
    if not all(isinstance(label, str) and "/" in label for label in labels):
        return None
    names = np.array([label.rpartition("/")[0] for label in labels], dtype=str)
    warn(
        f"The labels in y are taken for 'domain/label', with domains "
        f"{list_some(dict.fromkeys(names), 4)}. Pass domains= to be sure; if these are "
        "plain labels, take the slash out of them."
    )
    return names


def domain_means(X, rows_by_domain, metric, known):
    """Return (domain, rows, mean) of each domain.

    Parameters
    ----------
    X : ndarray of shape (n_matrices, n_channels, n_channels)
        SPD matrices.
    rows_by_domain : dict of str to ndarray of int
        The domains, and their rows in X.
    metric : str
        Metric of the means.
    known : dict of str to ndarray
        Means that were learnt before; those of other domains come from X.

    Returns
    -------
    list of (str, ndarray of int, ndarray of shape (n_channels, n_channels))
    """
    _warn_of_singles({d: rows for d, rows in rows_by_domain.items() if d not in known})
    return [
        (name, rows, known[name] if name in known else spd_mean(X[rows], metric))
        for name, rows in rows_by_domain.items()
    ]


def _dispersion(X, M):
    """Mean squared affine-invariant distance from M; 0 if it is a rounding error."""
    dispersion = float((distances(X, M, "riemann") ** 2).mean())
    return dispersion if dispersion > _NO_DISPERSION * len(M) else 0.0


def _warn_of_singles(rows_by_domain):
    single = sorted(name for name, rows in rows_by_domain.items() if len(rows) == 1)
    if single:
        warn(
            f"Domains of one matrix: {list_some(single)}. Recentred by its own mean, "
            "such a matrix becomes the target itself."
        )
