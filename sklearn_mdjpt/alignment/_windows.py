"""WindowCovariances and WindowAlignment: covariances of windows, and recentring."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from .._grouping import rows_of_groups
from .._io._pickles import VersionedPickle
from .._validation import check_option, list_some
from ..channels._channels import site_names
from ..channels._montage import common_channels
from ..windows._flaws import mix_channels
from ..windows._inputs import as_windows, check_finite, check_window_array, is_array
from ..windows._metadata import ReadsWindows, TakesWindows, takes_metadata
from ..windows._people import check_people, rows_by_name
from ..windows._windows import EEGWindows
from ._covariance import (
    CovarianceAlignment,
    domain_means,
    given_domains,
)
from ._spd import (
    EIGENVALUE_FLOOR,
    check_spd,
    on_one_thread,
    recentring,
    window_covariances,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from ..windows._inputs import Windows

# fmt: off
_ESTIMATORS = (
    "scm", "oas", "lwf", "sch", "cov", "corr", "hub", "mcd", "stu", "tyl",
)
# fmt: on
_BLOCK_SAMPLES = 2**18  # float64 samples in work at once: 2 MB, in the cache


class WindowCovariances(TakesWindows, VersionedPickle, TransformerMixin, BaseEstimator):
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
        if not callable(self.estimator):
            check_option(self.estimator, _ESTIMATORS, "estimator")
        X = as_windows_or_array(X)
        channels = common_channels(X, self.channels)
        check_finite(X, channels, constant=False)
        self._channels = channels
        self.ch_names_, self.n_channels_ = channels.names, channels.n_channels
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
        X = as_windows_or_array(X)
        check_finite(X, self._channels, constant=False)
        if not isinstance(X, EEGWindows):
            self._channels.check_number(X.shape[1])
            matrices = _array_covariances(X, None, self.estimator)
        else:
            matrices = np.empty((len(X), self.n_channels_, self.n_channels_))
            for source, rows, starts, n_times in X.blocks():
                mapping = self._channels.matrix(source)
                matrices[rows] = source_covariances(
                    source, starts, n_times, mapping, self.estimator
                )
        bad = np.flatnonzero(~np.isfinite(matrices).all(axis=(1, 2)))
        if len(bad):
            raise ValueError(
                f"The estimator gives no finite covariance for windows "
                f"{list_some(bad)}; a constant channel can be the reason."
            )
        return matrices


class WindowAlignment(
    ReadsWindows, TakesWindows, VersionedPickle, TransformerMixin, BaseEstimator
):
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
    calibrated_subjects_ : list of str
        The domains that ``calibrate`` got.

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

    alignments_: dict[tuple[str, ...] | None, CovarianceAlignment]

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

    @takes_metadata("domains", "sample_domain")
    def fit(self, X: Windows, y: object = None, **metadata: ArrayLike | None) -> Self:
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
        self._fit(X, metadata)
        return self

    @takes_metadata("domains", "sample_domain")
    def fit_transform(
        self, X: Windows, y: object = None, **metadata: ArrayLike | None
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
        return self._align(*self._fit(X, metadata))

    @takes_metadata("domains", "sample_domain")
    def transform(
        self, X: Windows, **metadata: ArrayLike | None
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
        return self._align(*self._parts(X, metadata, "transform"))

    @takes_metadata("domains", "sample_domain")
    def calibrate(self, X: Windows, **metadata: ArrayLike | None) -> Self:
        """Fix the mean covariances of some domains: what comes later uses these alone.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs or array-like (n_windows, n_channels, n_times)
            The first windows of one or more domains, whose datasets and subjects have
            names.
        domains, sample_domain : array-like of shape (n_windows,), default=None
            As for `fit`.

        Returns
        -------
        WindowAlignment
            The transformer itself; after an error it is as it was.

        Raises
        ------
        ValueError
            If some windows do not say whose they are; else as for `transform`.

        Notes
        -----
        Domains are calibrated for their montage: with another one there is an error
        later.
        """
        check_is_fitted(self)
        if not is_array(X) and not self._given:
            X, _ = check_people(X)
        X, parts = self._parts(X, metadata, "calibrate")
        changed = {}
        for montage, (_, of_montage, matrices) in parts.items():
            alignment = self.alignments_.get(montage)
            if alignment is None:
                self._check_new_montage(montage)
                alignment = CovarianceAlignment(
                    self.metric, "identity", eigenvalue_floor=self.eigenvalue_floor
                )._without_domains(len(montage))
            changed[montage] = copy.copy(alignment)
            changed[montage]._calibrate(matrices, of_montage)
        self.alignments_ = self.alignments_ | changed
        return self

    @property
    def calibrated_subjects_(self) -> list[str]:
        """The domains that `calibrate` got."""
        check_is_fitted(self)
        found = (one.calibrated_subjects_ for one in self.alignments_.values())
        return sorted(set().union(*found))

    def _parts(self, X, metadata, method):
        """Return X as windows or array, and its parts by montage, once fitted."""
        X, names, given = self._check(X, metadata)
        if isinstance(X, EEGWindows) != (self.ch_names_ is not None):
            was, now = ("EEGWindows", "an array")[:: 1 if self.ch_names_ else -1]
            raise ValueError(f"fit was given {was}, {method} is given {now}.")
        if isinstance(X, EEGWindows) and given != self._given:
            raise ValueError(
                f"fit was given {'domains' if self._given else 'no domains'}, and "
                f"{method} {'none' if self._given else 'some'}: the domains would "
                "differ from those of fit."
            )
        check_finite(X, self._channels, constant=False)
        return X, _by_montage(X, names, self._channels, self.eigenvalue_floor)

    def _check(self, X, metadata):
        """Return X, its domains, and whether these were given by keyword."""
        X = as_windows_or_array(X)
        names = given = given_domains(len(X), **metadata)
        if given is None and isinstance(X, EEGWindows):
            names = X.groups(self.domain)
        return X, names, given is not None

    def _fit(self, X, metadata):
        """Fit; return X as windows or array, and its parts by montage."""
        check_option(self.domain, ("subject", "session", "dataset"), "domain")
        X, names, given = self._check(X, metadata)
        channels = common_channels(X, self.channels)
        check_finite(X, channels, constant=False)
        alignment = CovarianceAlignment(
            self.metric, self.target, self.unseen, None, self.eigenvalue_floor
        )
        alignment._check_parameters()
        parts = _by_montage(X, names, channels, self.eigenvalue_floor)
        if len(parts) > 1 and self.target not in ("identity", "mean"):
            raise ValueError(
                f"X has {len(parts)} montages, which cannot share the target "
                f"{self.target!r}, a domain of one of them; use 'identity' or 'mean'."
            )
        alignments = {montage: clone(alignment) for montage in parts}
        for montage, (_, of_montage, matrices) in parts.items():
            alignments[montage]._fit(matrices, of_montage)
        self._channels, self.ch_names_ = channels, channels.names
        self.alignments_, self._given = alignments, given
        return X, parts

    def _align(self, X, parts):
        # All matrices to apply, and which of them belongs to each window.
        congruences, which = [], np.empty(len(X), int)
        for montage, (rows, of_montage, matrices) in parts.items():
            for some, A in self._congruences(montage, matrices, of_montage):
                which[rows[some]] = len(congruences)
                congruences.append(A)
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

    def _congruences(self, montage, matrices, domains):
        """Return (rows, matrix to apply) of each domain in windows of one montage."""
        alignment = self.alignments_.get(montage)
        known = {} if alignment is None else alignment.means_
        elsewhere = {*self.calibrated_subjects_} - known.keys()
        lost = elsewhere.intersection(() if domains is None else domains)
        if lost:
            raise ValueError(
                f"{list_some(sorted(lost))}: calibrated with other channels than "
                f"{list_some(montage)}; calibrate with the same cap."
            )
        if alignment is not None:
            target = alignment.target_
            means = alignment._means_of_rows(matrices, domains)
        else:
            # All domains of a montage that fit has not seen are unseen.
            self._check_new_montage(montage)
            target = np.eye(len(montage))
            present = rows_by_name(domains)
            means = domain_means(matrices, present, self.metric, known={})
        return [(rows, recentring(M, target)) for _, rows, M in means]

    def _check_new_montage(self, montage):
        """Raise unless windows of a montage that fit has not seen can be aligned."""
        if self.target != "identity" or self.unseen == "error":
            raise ValueError(
                f"No window with the channels {list_some(montage)} was seen in fit;"
                " that needs target='identity' and unseen='transductive', got "
                f"target={self.target!r} and unseen={self.unseen!r}."
            )


def as_windows_or_array(X):
    """Return X as EEGWindows or a numeric 3-D array."""
    X = check_window_array(X) if is_array(X) else as_windows(X)
    if not len(X):
        raise ValueError("X has no windows; at least one is expected.")
    return X


def source_covariances(source, starts, n_times, matrix, estimator="scm"):
    """Covariances of a recording's windows, its channels mapped by a matrix."""
    n_channels = source.n_channels if matrix is None else len(matrix)
    out = np.empty((len(starts), n_channels, n_channels))
    for length in np.unique(n_times):
        rows = np.flatnonzero(n_times == length)
        step = max(1, _BLOCK_SAMPLES // (source.n_channels * int(length)))
        for block in gen_batches(len(rows), step):
            windows = source.windows(starts[rows[block]], length)
            out[rows[block]] = _array_covariances(windows, matrix, estimator)
    return out


@on_one_thread
def _array_covariances(X, matrix, estimator):
    """Covariances (n_windows, n_channels, n_channels) of a 3-D array, in blocks."""
    n_channels = X.shape[1] if matrix is None else len(matrix)
    out = np.empty((len(X), n_channels, n_channels))
    step = max(1, _BLOCK_SAMPLES // (n_channels * X.shape[2]))
    for block in gen_batches(len(X), step):
        x = X[block].astype(float)
        if matrix is not None:
            x = mix_channels(matrix, x)
        out[block] = window_covariances(x, estimator)
    return out


def _alphabetical(source, channels):
    """Order by name of those of a recording's channels that are used."""
    picks = channels.picks(source)
    names = site_names(source.ch_names)
    return picks[np.argsort([names[k] for k in picks])]


def _by_montage(X, names, channels, eigenvalue_floor):
    """Rows, domains and SPD covariances of each montage.

    Channels are in alphabetical order, without those that ``channels`` does not use.
    """
    if not isinstance(X, EEGWindows):
        matrices = check_spd(_array_covariances(X, None, "scm"), eigenvalue_floor)
        return {None: (np.arange(len(X)), names, matrices)}
    parts = {}
    for source, rows, starts, n_times in X.blocks():
        order = _alphabetical(source, channels)
        montage = tuple(site_names(source.ch_names)[i] for i in order)
        if len(order) < source.n_channels:
            choice = np.eye(source.n_channels)[order]
            matrices = source_covariances(source, starts, n_times, choice)
        else:
            matrices = source_covariances(source, starts, n_times, None)
            matrices = matrices[:, order][:, :, order]
        parts.setdefault(montage, []).append((rows, matrices))
    joined = {}
    for montage, blocks in parts.items():
        rows, matrices = map(np.concatenate, zip(*blocks, strict=True))
        joined[montage] = rows, names[rows], check_spd(matrices, eigenvalue_floor)
    return joined


@on_one_thread
def _mix_array(X, matrices, which):
    """Apply to each window one of the matrices; keeps single precision."""
    out = np.empty(X.shape, np.float32 if X.dtype == np.float32 else float)
    step = max(1, _BLOCK_SAMPLES // X[0].size)
    for A, rows in zip(matrices, rows_of_groups(which), strict=True):
        for block in gen_batches(len(rows), step):
            out[rows[block]] = A @ X[rows[block]].astype(float)
    return out
