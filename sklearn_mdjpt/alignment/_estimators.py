r"""Covariance alignment: bring the domains' mean covariances to one target.

A *domain* is what shifts the data as a whole: a subject, a session, a dataset.
`CovarianceAlignment` moves SPD matrices in pyriemann's manner, `WindowAlignment` does
the same to signals, and `covariance_distance` measures the gap that is to be closed.
The pre-training loss that aligns datasets inside the encoder is another thing, see
`sklearn_mdjpt.nn.cda_loss`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._grouping import check_groups, rows_of_groups
from .._io._pickles import VersionedPickle
from .._validation import as_id, check_labels, check_option, count_values, list_some
from ..channels._channels import site_names
from ..channels._montage import CommonChannels, SharedChannels
from ..windows._flaws import mix_channels
from ..windows._inputs import as_windows, check_finite, check_window_array, is_array
from ..windows._metadata import ReadsWindows
from ..windows._windows import EEGWindows
from ._spd import (
    EIGENVALUE_FLOOR,
    METRICS,
    check_spd,
    congruence,
    distances,
    on_one_thread,
    recentring,
    spd_mean,
    stretch,
    window_covariances,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from ..windows._inputs import Windows

_ALL = "all of X"  # the domain of a fit without domains
_NEW = "X, of unknown domains"  # that of a transform without, after a fit with them
_NO_DISPERSION = 1e-14  # per channel: rounding of nearly singular matrices stays below
# fmt: off
_ESTIMATORS = (
    "scm", "oas", "lwf", "sch", "cov", "corr", "hub", "mcd", "stu", "tyl",
)
# fmt: on
_BLOCK_SAMPLES = 2**18  # float64 samples in work at once: 2 MB, in the cache


class CovarianceAlignment(VersionedPickle, TransformerMixin, BaseEstimator):
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
        Mean of each domain seen in ``fit``.
    target_ : ndarray of shape (n_channels, n_channels)
        The target.
    dispersions_ : dict of str to float or None
        Dispersion of each domain; None if ``dispersion`` is None.
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

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        domains: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
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
        self._fit(X, _find_domains(len(X), y, domains, sample_domain))
        return self

    def fit_transform(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        domains: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
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
        names = _find_domains(len(X), y, domains, sample_domain)
        self._fit(X, names)
        return self._align(X, names)

    def transform(
        self,
        X: ArrayLike,
        *,
        domains: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
    ) -> np.ndarray:
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
        return self._align(X, _find_domains(len(X), None, domains, sample_domain))

    def __sklearn_tags__(self):
        """Say that X is 3-D and positive."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64"]
        return tags

    def _check_parameters(self):
        check_option(self.metric, METRICS, "metric")
        check_option(self.unseen, ("transductive", "error"), "unseen")
        _check_floor(self.eigenvalue_floor)
        if not isinstance(self.target, str | Real):
            raise ValueError(
                "target must be 'mean', 'identity' or the name of a domain, got "
                f"{type(self.target).__name__}."
            )
        number = isinstance(self.dispersion, Real) and self.dispersion is not True
        number = number and np.isfinite(self.dispersion)
        if self.dispersion is None or self.dispersion == "mean":
            pass
        elif not number or not self.dispersion > 0:
            raise ValueError(
                f"dispersion must be None, 'mean' or > 0, got {self.dispersion!r}."
            )
        if self.dispersion is not None and self.metric != "riemann":
            raise ValueError(
                "dispersion needs metric='riemann', in which rescaling keeps the mean; "
                f"got metric={self.metric!r}."
            )

    def _fit(self, X, names):
        """Learn from checked matrices; attributes are set in the end, all at once."""
        whole = np.full(len(X), _ALL) if names is None else names
        if names is None and self.target == "mean":
            warnings.warn(
                "No domains were given: all of X is one, whose mean is the target, and "
                "nothing is moved. Pass domains=.",
                stacklevel=3,
            )
        rows = _rows_by_domain(whole)
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
        self._by_domain = names is not None
        self.n_features_in_ = X.shape[1]

    def _align(self, X, names):
        aligned = np.empty_like(X)
        for name, rows, M in self._domain_means(X, names, self.unseen):
            Z = congruence(recentring(M, self.target_), X[rows])
            if self._final_dispersion is not None:
                now = self.dispersions_.get(name)
                if now is None:
                    now = _dispersion(X[rows], M)
                # A domain without spread cannot be given any.
                if now > 0:
                    Z = stretch(Z, self.target_, np.sqrt(self._final_dispersion / now))
            aligned[rows] = Z
        return aligned

    def _domain_means(self, X, names, unseen):
        """List (domain, rows, mean) of all domains in X, unseen ones by the policy."""
        if X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has matrices of {X.shape[1]} channels, but "
                f"{type(self).__name__} was fitted with {self.n_features_in_}."
            )
        if names is None:
            names = np.full(len(X), _NEW if self._by_domain else _ALL)
            if self._by_domain and unseen == "transductive":
                warnings.warn(
                    "fit was given domains, and transform is not: X is taken for one "
                    "new domain, which is wrong if it holds several. scikit-learn "
                    "drops keywords when it predicts; WindowFeatures and "
                    "WindowAlignment take the domains from EEGWindows.",
                    stacklevel=4,
                )
        present = _rows_by_domain(names)
        new = {name: k for name, k in present.items() if name not in self.means_}
        if new and unseen == "error":
            if list(new) == [_NEW]:
                raise ValueError(
                    "fit was given domains, and transform is not: pass domains=, or "
                    "set unseen='transductive' to take X for one new domain."
                )
            raise ValueError(
                f"Domains {list_some(new)} were not seen in fit, which saw "
                f"{list_some(self.means_)}; set unseen='transductive' to recentre them "
                "by their own means."
            )
        _warn_of_singles(new)
        for name, rows in present.items():
            M = spd_mean(X[rows], self.metric) if name in new else self.means_[name]
            yield name, rows, M


class WindowCovariances(VersionedPickle, TransformerMixin, BaseEstimator):
    """Covariance matrix of the channels in each window.

    `pyriemann.estimation.Covariances` for windows that may be `EEGWindows`.

    Parameters
    ----------
    estimator : str or callable, default="scm"
        Of pyriemann: "scm" (sample covariance), "oas", "lwf" and "sch" (shrunk), "cov",
        "corr", "hub", "mcd", "stu", "tyl".
    channels : {"auto", "canonical"}, default="auto"
        "auto": the channels that all windows of X share, the 60 canonical ones where X
        has several montages. "canonical": always the 60. Channels that a montage lacks
        are means of their neighbours, so the matrices are singular; estimators that
        shrink, and `CovarianceAlignment`, make them positive definite.

    Attributes
    ----------
    ch_names_ : tuple of str or None
        Channels of the matrices; None after a fit on arrays.
    n_channels_ : int
        Number of channels.

    See Also
    --------
    CovarianceAlignment : Recentres the matrices.
    DifferentialEntropy : Power by channel and band.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mdjpt import WindowCovariances
    >>> X = 1e-5 * np.random.default_rng(0).standard_normal((6, 2, 1000))
    >>> WindowCovariances().fit_transform(X).shape
    (6, 2, 2)
    """

    def __init__(
        self,
        estimator: str | Callable[..., Any] = "scm",
        channels: Literal["auto", "canonical"] = "auto",
    ) -> None:
        self.estimator = estimator
        self.channels = channels

    def fit(self, X: Windows, y: object = None) -> Self:
        """Learn which channels X has.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs or array-like (n_windows, n_channels, n_times)
            Windows in any unit.
        y : None
            Ignored.

        Returns
        -------
        WindowCovariances
            The transformer itself.
        """
        check_option(self.channels, ("auto", "canonical"), "channels")
        if not callable(self.estimator):
            check_option(self.estimator, _ESTIMATORS, "estimator")
        X = _as_windows_or_array(X)
        channels = _common_channels(X, self.channels)
        check_finite(X, channels, constant=False)
        self._channels = channels
        self.ch_names_ = self._channels.names if self._channels else None
        self.n_channels_ = len(self._channels.names) if self._channels else X.shape[1]
        return self

    def transform(self, X: Windows) -> np.ndarray:
        """Return the covariance of each window.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs or array-like (n_windows, n_channels, n_times)
            Windows; the mean of each channel is taken out.

        Returns
        -------
        ndarray of shape (n_windows, n_channels, n_channels)
            Float64, in the square of the windows' unit.

        Raises
        ------
        ValueError
            If the channels differ from those in ``fit``, or a window holds NaN or inf.
        """
        check_is_fitted(self)
        X = _as_windows_or_array(X)
        check_finite(X, self._channels, constant=False)
        C = self.n_channels_
        if not isinstance(X, EEGWindows):
            if X.shape[1] != C:
                raise ValueError(
                    f"X has {X.shape[1]} channels, but WindowCovariances was fitted "
                    f"with {C}."
                )
            return _checked(_array_covariances(X, None, self.estimator))
        matrices = np.empty((len(X), C, C))
        for source, rows, starts, n_times in X.blocks():
            mapping = self._channels.matrix(source) if self._channels else None
            if mapping is None and source.n_channels != C:
                raise ValueError(
                    f"X has {source.n_channels} channels, but WindowCovariances was "
                    f"fitted with {C}."
                )
            matrices[rows] = _source_covariances(
                source, starts, n_times, mapping, self.estimator
            )
        return _checked(matrices)

    def __sklearn_tags__(self):
        """Say that X is 3-D (or `EEGWindows`)."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


class WindowAlignment(ReadsWindows, VersionedPickle, TransformerMixin, BaseEstimator):
    r"""Recentre the covariance of signals, domain by domain.

    What `CovarianceAlignment` does to matrices, done to the signals that they come
    from: with the mean :math:`M_d` of the covariances of domain :math:`d`'s windows and
    the target :math:`G`, a window becomes

    .. math::

        x \mapsto A_d x, \qquad A_d = G^{1/2} M_d^{-1/2}.

    By default it is Euclidean alignment [1]_: all channels of a domain become
    uncorrelated, of variance 1. Each montage is aligned in the space of those of its
    channels that the output is made of; where X holds several, the aligned signals then
    go onto the 60 canonical channels, of which an ECG, say, is no part.

    Parameters
    ----------
    metric : {"euclid", "riemann", "logeuclid"}, default="euclid"
        Metric of the means. With "euclid" the mean covariance of aligned windows is the
        target. The others' means are of the covariances with small eigenvalues raised
        (see ``eigenvalue_floor``), which signals cannot follow: windows that are nearly
        singular then come out with other means, and large variances.
    target : {"identity", "mean"} or name of a domain, default="identity"
        "identity": signals become uncorrelated and lose their unit; all montages have
        it in common. "mean": the mean of the domains' means of the same
        montage, which keeps unit and channels' character but leaves montages apart. A
        domain: its mean; X must then have one montage.
    unseen : {"transductive", "error"}, default="transductive"
        Domains not seen in ``fit``: aligned by the mean covariance of their own
        windows in X, or an error.
    domain : {"subject", "session", "dataset"}, default="subject"
        What is a domain in `EEGWindows`, unless ``domains`` says otherwise.
    channels : {"auto", "canonical"}, default="auto"
        Channels of the output: "auto" those that all windows of X share, the 60
        canonical ones where X has several montages; "canonical" always the 60.
    eigenvalue_floor : float, default=1e-5
        As for `CovarianceAlignment`, applied to each window's covariance. What has no
        signal (a constant channel, the direction that an average reference takes out)
        stays without: there the mean covariance misses the target.

    Attributes
    ----------
    alignments_ : dict of tuple of str to CovarianceAlignment
        The alignment of each montage, its channels in alphabetical order (for arrays,
        the key is None).
    ch_names_ : tuple of str or None
        Channels of the output; None after a fit on arrays.

    See Also
    --------
    CovarianceAlignment : The same on matrices; its Notes hold here too.
    MDJPTEncoder : Can take the aligned windows.

    Notes
    -----
    `EEGWindows` come out as `EEGWindows`, with the same metadata: recordings are
    copied in single precision, once for each domain in them. Arrays come out as arrays.

    Covariances are those of whole windows, unfiltered and centred. Each domain, with
    "riemann" and "logeuclid" each window, should have many more samples than channels.

    References
    ----------
    .. [1] He H, Wu D. Transfer learning for brain-computer interfaces: a Euclidean
       space data alignment approach. IEEE Trans Biomed Eng 2020, 67(2),
       doi:10.1109/TBME.2019.2913914.

    Examples
    --------
    >>> from sklearn_mdjpt import WindowAlignment
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> X = make_emotion_windows(2, n_subjects=2, n_stimuli=3, random_state=0)
    >>> WindowAlignment().fit_transform(X)
    <EEGWindows: 72 windows of 5 s, 2 datasets (...), 4 subjects, 60 channels at ...>
    """

    __metadata_request__fit = {"domains": True, "sample_domain": True}
    __metadata_request__transform = {"domains": True, "sample_domain": True}

    def __init__(
        self,
        metric: Literal["euclid", "riemann", "logeuclid"] = "euclid",
        target: str = "identity",
        unseen: Literal["transductive", "error"] = "transductive",
        domain: Literal["subject", "session", "dataset"] = "subject",
        channels: Literal["auto", "canonical"] = "auto",
        eigenvalue_floor: float = EIGENVALUE_FLOOR,
    ) -> None:
        self.metric = metric
        self.target = target
        self.unseen = unseen
        self.domain = domain
        self.channels = channels
        self.eigenvalue_floor = eigenvalue_floor

    def fit(
        self,
        X: Windows,
        y: object = None,
        *,
        domains: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
    ) -> Self:
        """Learn the mean covariance of each domain.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs or array-like (n_windows, n_channels, n_times)
            Windows in any unit.
        y : None
            Ignored.
        domains, sample_domain : array-like of shape (n_windows,), default=None
            Domain of each window, under one of two names. None: see ``domain``; arrays
            are one domain.

        Returns
        -------
        WindowAlignment
            The transformer itself.

        Raises
        ------
        ValueError
            Windows that hold NaN or inf or are constant in every channel, domains that
            are not known, a target that is no domain of X.
        """
        self._fit(X, domains, sample_domain)
        return self

    def fit_transform(
        self,
        X: Windows,
        y: object = None,
        *,
        domains: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
    ) -> EEGWindows | np.ndarray:
        """Equal ``fit(X, domains=d).transform(X, domains=d)``.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs or array-like (n_windows, n_channels, n_times)
            As for `fit`.
        y : None
            Ignored.
        domains, sample_domain : array-like of shape (n_windows,), default=None
            As for `fit`.

        Returns
        -------
        EEGWindows or ndarray of shape (n_windows, n_channels, n_times)
            Aligned windows.
        """
        return self._align(*self._fit(X, domains, sample_domain))

    def transform(
        self,
        X: Windows,
        *,
        domains: ArrayLike | None = None,
        sample_domain: ArrayLike | None = None,
    ) -> EEGWindows | np.ndarray:
        """Align windows, each domain by its mean covariance.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs or array-like (n_windows, n_channels, n_times)
            Windows; an array after a fit on an array, with as many channels.
        domains, sample_domain : array-like of shape (n_windows,), default=None
            As for `fit`. Where an array's domains were given in ``fit`` and are not
            given now, X is taken for one unseen domain.

        Returns
        -------
        EEGWindows or ndarray of shape (n_windows, n_channels, n_times)
            Aligned windows.

        Raises
        ------
        ValueError
            As for `fit`; other channels than in ``fit``; unseen domains, where they are
            an error; a montage not seen in ``fit``, unless the target is the identity.
        """
        check_is_fitted(self)
        X, names, given = self._check(X, domains, sample_domain)
        if isinstance(X, EEGWindows) != (self._channels is not None):
            was, now = ("EEGWindows", "an array")[:: 1 if self._channels else -1]
            raise ValueError(f"fit was given {was}, transform is given {now}.")
        if isinstance(X, EEGWindows) and given != self._given:
            raise ValueError(
                f"fit was given {'domains' if self._given else 'no domains'}, and "
                f"transform {'none' if self._given else 'some'}: windows would be "
                "aligned by something else than in fit."
            )
        check_finite(X, self._channels, constant=False)
        return self._align(X, names, _by_montage(X, names, self._channels))

    def __sklearn_tags__(self):
        """Say that X is 3-D (or `EEGWindows`)."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags

    def _check(self, X, domains, sample_domain):
        """Return X, its domains, and whether these were given by keyword."""
        X = _as_windows_or_array(X)
        names = _given_domains(len(X), domains, sample_domain)
        given = names is not None
        if not given and isinstance(X, EEGWindows):
            names = X.groups(self.domain)
        return X, names, given

    def _fit(self, X, domains, sample_domain):
        """Fit; return X, its domains and its covariances by montage."""
        check_option(self.channels, ("auto", "canonical"), "channels")
        check_option(self.domain, ("subject", "session", "dataset"), "domain")
        X, names, given = self._check(X, domains, sample_domain)
        channels = _common_channels(X, self.channels)
        check_finite(X, channels, constant=False)
        parts = _by_montage(X, names, channels)
        if len(parts) > 1 and self.target not in ("identity", "mean"):
            raise ValueError(
                f"X has {len(parts)} montages, which cannot share the target "
                f"{self.target!r}, a domain of one of them; use 'identity' or 'mean'."
            )
        alignments = {}
        for montage, (_, of_montage, matrices) in parts.items():
            alignment = CovarianceAlignment(
                self.metric,
                self.target,
                self.unseen,
                eigenvalue_floor=self.eigenvalue_floor,
            )
            alignments[montage] = alignment.fit(matrices, domains=of_montage)
        self._channels = channels
        self.ch_names_ = channels.names if channels else None
        self.alignments_ = alignments
        self._given = given
        return X, names, parts

    def _align(self, X, names, parts):
        congruences, which = [], np.empty(len(X), int)  # and that of each window
        for montage, (rows, of_montage, matrices) in parts.items():
            alignment = self._alignment(montage, matrices)
            matrices = check_spd(matrices, self.eigenvalue_floor)
            for _, some, M in alignment._domain_means(
                matrices, of_montage, self.unseen
            ):
                which[rows[some]] = len(congruences)
                congruences.append(recentring(M, alignment.target_))
        if not isinstance(X, EEGWindows):
            return _mix_array(X, congruences, which)
        mixes = []
        for source, rows, _, _ in X.blocks():
            onto = self._channels.matrix(source)
            order = _alphabetical(source, self._channels)
            codes, used = pd.factorize(which[rows])
            for k, some in zip(used, rows_of_groups(codes), strict=True):
                A = np.zeros((source.n_channels, source.n_channels))
                A[np.ix_(order, order)] = congruences[k]
                mixes.append((rows[some], A if onto is None else onto @ A))
        return X._mixed(mixes, self._channels.names, keep_sites=not self._channels.maps)

    def _alignment(self, montage, matrices):
        """Return the alignment of a montage; a new one where none was fitted."""
        if montage in self.alignments_:
            return self.alignments_[montage]
        if self.target != "identity":
            raise ValueError(
                f"No window with the channels {list_some(montage)} was seen in fit, so "
                f"there is no target for it; set target='identity'."
            )
        if self.unseen == "error":
            raise ValueError(
                f"No window with the channels {list_some(montage)} was seen in fit, "
                "and unseen='error'."
            )
        alignment = CovarianceAlignment(
            self.metric, "identity", eigenvalue_floor=self.eigenvalue_floor
        )
        alignment.means_, alignment.target_ = {}, np.eye(len(montage))
        alignment.n_features_in_, alignment._by_domain = len(montage), True
        return alignment


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
    """Measure the gap between domains that alignment is to close.

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
    _check_floor(eigenvalue_floor)
    if not is_array(X):
        X = _as_windows_or_array(X)
        if domains is None or isinstance(domains, str):
            domains = X.groups(domains or "subject")
        X = _shared_covariances(X)
    elif domains is None or isinstance(domains, str):
        raise ValueError(
            f"domains= is needed, the domain of each matrix; got {domains!r}."
        )
    X = check_spd(X, eigenvalue_floor)
    names = check_groups(domains, len(X), "domains")
    present = _rows_by_domain(names)
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
        matrices[rows] = _source_covariances(source, starts, n_times, picks)
    return matrices


def _given_domains(n_rows, domains, sample_domain):
    """Return the domain of each row as str, by whichever name it came."""
    if domains is not None and sample_domain is not None:
        raise ValueError("domains and sample_domain are two names of one thing.")
    if sample_domain is not None:
        return check_groups(sample_domain, n_rows, "sample_domain")
    return check_groups(domains, n_rows, "domains")


def _find_domains(n_rows, y, domains, sample_domain):
    """Return the domain of each row as str, None where none are known."""
    names = _given_domains(n_rows, domains, sample_domain)
    if names is not None or y is None:
        return names
    if count_values(y) != n_rows:
        if len(y) != n_rows:
            raise ValueError(f"y has {len(y)} labels for {n_rows} matrices.")
        return None  # several columns of ratings
    labels = check_labels(y, n_rows)
    if not all(isinstance(label, str) and "/" in label for label in labels):
        return None
    coded = [label.rsplit("/", 1) for label in labels]
    names = np.array([domain for domain, _ in coded], dtype=str)
    warnings.warn(
        f"The labels in y are taken for 'domain/label', with domains "
        f"{list_some(dict.fromkeys(names), 4)}. Pass domains= to be sure; if these are "
        "plain labels, take the slash out of them.",
        stacklevel=3,
    )
    return names


def _dispersion(X, M):
    """Mean squared affine-invariant distance from M; 0 if it is but rounding."""
    dispersion = float((distances(X, M, "riemann") ** 2).mean())
    return dispersion if dispersion > _NO_DISPERSION * len(M) else 0.0


def _check_floor(eigenvalue_floor):
    if not isinstance(eigenvalue_floor, Real) or not 0 <= eigenvalue_floor < 1:
        raise ValueError(
            f"eigenvalue_floor must be in [0, 1), got {eigenvalue_floor!r}."
        )


def _rows_by_domain(names):
    """Return a dict of domain to its rows, by first appearance."""
    codes, found = pd.factorize(names)
    return {
        str(name): rows for name, rows in zip(found, rows_of_groups(codes), strict=True)
    }


def _warn_of_singles(rows_by_domain):
    single = sorted(name for name, rows in rows_by_domain.items() if len(rows) == 1)
    if single:
        warnings.warn(
            f"Domains of one matrix: {list_some(single)}. By its own mean it becomes "
            "the target itself, and tells nothing any more.",
            stacklevel=4,
        )


def _as_windows_or_array(X):
    """Return X as EEGWindows or a numeric 3-D array."""
    X = check_window_array(X) if is_array(X) else as_windows(X)
    if not len(X):
        raise ValueError("X has no windows; at least one is expected.")
    return X


def _common_channels(X, channels):
    if isinstance(X, EEGWindows):
        return CommonChannels(X, channels)
    if channels == "canonical":
        raise ValueError(
            "channels='canonical' needs channel names: pass EEGWindows "
            "(EEGWindows.from_arrays) instead of an array."
        )
    return None


def _source_covariances(source, starts, n_times, matrix, estimator="scm"):
    """Covariances of a recording's windows, its channels mapped by a matrix."""
    out = None
    for length in np.unique(n_times):
        places = np.flatnonzero(n_times == length)
        step = max(1, _BLOCK_SAMPLES // (source.n_channels * int(length)))
        for first in range(0, len(places), step):
            some = places[first : first + step]
            windows = source.windows(starts[some], length)
            part = _array_covariances(windows, matrix, estimator)
            if out is None:
                out = np.empty((len(starts), *part.shape[1:]))
            out[some] = part
    return out


@on_one_thread
def _array_covariances(X, matrix, estimator):
    """Covariances (n_windows, n_channels, n_channels) of a 3-D array, in blocks."""
    n_channels = X.shape[1] if matrix is None else len(matrix)
    out = np.empty((len(X), n_channels, n_channels))
    step = max(1, _BLOCK_SAMPLES // (n_channels * X.shape[2]))
    for first in range(0, len(X), step):
        x = X[first : first + step].astype(float)
        out[first : first + step] = window_covariances(
            x if matrix is None else mix_channels(matrix, x), estimator
        )
    return out


def _checked(matrices):
    bad = np.flatnonzero(~np.isfinite(matrices).all(axis=(1, 2)))
    if len(bad):
        raise ValueError(
            f"The estimator gives no finite covariance for windows {list_some(bad)}; a "
            "constant channel can be the reason."
        )
    return matrices


def _alphabetical(source, channels):
    """Order by name of those of a recording's channels that are used."""
    picks = channels.picks(source)
    names = site_names(source.ch_names)
    return picks[np.argsort([names[k] for k in picks])]


def _by_montage(X, names, channels):
    """Rows, domains and covariances of each montage, channels in alphabetical order.

    Channels that ``channels`` does not use are left out.
    """
    if not isinstance(X, EEGWindows):
        matrices = _array_covariances(X, None, "scm")
        return {None: (np.arange(len(X)), names, matrices)}
    parts = {}
    for source, rows, starts, n_times in X.blocks():
        order = _alphabetical(source, channels)
        montage = tuple(site_names(source.ch_names)[i] for i in order)
        if len(order) < source.n_channels:
            choice = np.eye(source.n_channels)[order]
            matrices = _source_covariances(source, starts, n_times, choice)
        else:
            matrices = _source_covariances(source, starts, n_times, None)
            matrices = matrices[:, order][:, :, order]
        all_rows, all_matrices = parts.setdefault(montage, ([], []))
        all_rows.append(rows)
        all_matrices.append(matrices)
    joined = {}
    for montage, (rows, matrices) in parts.items():
        rows = np.concatenate(rows)
        joined[montage] = rows, names[rows], np.concatenate(matrices)
    return joined


@on_one_thread
def _mix_array(X, matrices, which):
    """Apply to each window one of the matrices; keeps single precision."""
    out = np.empty(X.shape, np.float32 if X.dtype == np.float32 else float)
    step = max(1, _BLOCK_SAMPLES // X[0].size)
    for A, rows in zip(matrices, rows_of_groups(which), strict=True):
        for first in range(0, len(rows), step):
            some = rows[first : first + step]
            out[some] = A @ X[some].astype(float)
    return out
