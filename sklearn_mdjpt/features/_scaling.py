"""Standardise features: by subject, or by what came before in a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from sklearn.base import OneToOneFeatureMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from .._grouping import check_groups, combine_groups, rows_of_groups
from .._validation import check_number, check_option, list_some, warn
from ._steps import READ, FeatureStep, TimedStep

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

VARIANCE_OFFSET = 1e-10
"""What `RunningNormalizer` adds to each variance, in squared units of the feature."""

# A feature is constant if its SD, as a share of its largest value, is smaller: sums of
# some hundred numbers have rounding errors of this size.
_RESOLUTION = {np.dtype(np.float64): 1e-13, np.dtype(np.float32): 1e-6}


class SubjectScaler(OneToOneFeatureMixin, FeatureStep):
    r"""Standardise each subject's features by the mean and SD of that subject.

    Each subject's features have a centre and a scale of their own, which a classifier
    trained on others cannot know. With the mean :math:`m_{sj}` and the biased SD
    :math:`d_{sj}` of feature :math:`j` over the windows of subject :math:`s`, the
    output is :math:`(x - m_{sj}) / d_{sj}` [1]_.

    Parameters
    ----------
    unseen : {"transductive", "pooled", "error"}, default="transductive"
        What `transform` does with a subject that was not in `fit`. "transductive": use
        the mean and SD of its own windows in X, without labels; the output then depends
        on which windows come together. "pooled": use the statistics of all training
        windows, when only few windows of a subject are known. "error": raise.
    with_mean : bool, default=True
        Whether to subtract the mean.
    with_std : bool, default=True
        Whether to divide by the SD, which is taken around the mean in any case.

    Attributes
    ----------
    means_, scales_ : dict of str to ndarray of shape (n_features,)
        Mean and SD of each subject of the fit, and of those that were calibrated; the
        SD of a constant feature is 1. The only key is None after a fit without
        subjects.
    n_windows_ : dict of str to int
        Number of windows of each subject.
    mean_, scale_ : ndarray of shape (n_features,)
        The same over all training windows.
    calibrated_subjects_ : list of str
        The subjects that `calibrate` got.
    n_features_in_ : int
        Number of features.

    See Also
    --------
    WindowFeatures : Hands the subjects of EEGWindows to this step, in `predict` too.
    RunningNormalizer : Uses only what came before, for use online.

    Notes
    -----
    Without ``subjects``, `fit` takes all of X for one subject, and `transform` without
    ``subjects`` uses the statistics of the fit, as
    :class:`~sklearn.preprocessing.StandardScaler` does.

    Fitted with subjects, `transform` without them takes X for *one* unseen subject.
    That is right for a test fold of one subject and wrong for several. It happens
    unasked: a scikit-learn pipeline that was given ``scaler__subjects`` in `fit` drops
    them when it predicts, and so do scorers named by a string, with metadata routing or
    without. Let the subjects travel in X instead: put this step into `WindowFeatures`
    and give it `EEGWindows`.

    A feature counts as constant if its SD is below 1e-13 of its largest value (1e-6 for
    float32). It is centred and not scaled, so that rounding is not blown up.

    References
    ----------
    .. [1] Fdez J, Guttenberg N, Witkowski O, Pasquali A. Cross-subject EEG-based
       emotion recognition through neural networks with stratified normalization.
       Front Neurosci 2021;15:626277, doi:10.3389/fnins.2021.626277.

    Examples
    --------
    >>> from sklearn_mdjpt import SubjectScaler
    >>> X = [[1.0], [3.0], [10.0], [30.0]]
    >>> scaler = SubjectScaler()
    >>> scaler.fit_transform(X, subjects=["a", "a", "b", "b"]).ravel()
    array([-1.,  1., -1.,  1.])
    >>> scaler.transform([[5.0], [100.0], [104.0]], subjects=["a", "c", "c"]).ravel()
    array([ 3., -1.,  1.])
    """

    __metadata_request__fit = {"subjects": True}
    __metadata_request__transform = {"subjects": True}

    def __init__(
        self,
        unseen: Literal["transductive", "pooled", "error"] = "transductive",
        with_mean: bool = True,
        with_std: bool = True,
    ) -> None:
        self.unseen = unseen
        self.with_mean = with_mean
        self.with_std = with_std

    def fit(
        self, X: ArrayLike, y: object = None, *, subjects: ArrayLike | None = None
    ) -> Self:
        """Learn the mean and SD of each subject, and of all windows.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_features)
            Features. A subject's single window becomes zeros, with a UserWarning.
        y : None
            Ignored.
        subjects : array-like of shape (n_windows,), default=None
            Subject of each window; ``3`` and ``"3"`` are one. None: all of X is one.

        Returns
        -------
        SubjectScaler
            The transformer itself.

        Raises
        ------
        ValueError
            If `unseen` is none of its options, X is not finite, or the subjects are
            not as many as the windows or lack some.
        """
        self._check_parameters()
        x = check_array(X, estimator=self, **READ)
        by_subject = _rows_by_subject(len(x), subjects)
        self._warn_single(by_subject)
        learnt = {name: _statistics(x[rows]) for name, rows in by_subject.items()}
        pooled = _statistics(x)
        validate_data(self, X, skip_check_array=True)  # a failed fit leaves no trace
        self.means_ = {name: mean for name, (mean, _) in learnt.items()}
        self.scales_ = {name: scale for name, (_, scale) in learnt.items()}
        self.n_windows_ = {name: len(rows) for name, rows in by_subject.items()}
        self.mean_, self.scale_ = pooled
        self.calibrated_subjects_ = []
        return self

    def transform(
        self, X: ArrayLike, *, subjects: ArrayLike | None = None
    ) -> np.ndarray:
        """Standardise windows, subject by subject.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_features)
            Features. With ``unseen="transductive"``, the single window of an unseen
            subject becomes zeros, with a UserWarning.
        subjects : array-like of shape (n_windows,), default=None
            Subject of each window. None: as in the fit if that had none either,
            otherwise all of X is one unseen subject (see the notes).

        Returns
        -------
        ndarray of shape (n_windows, n_features)
            Row i is window i; float32 if X is, float64 otherwise.

        Raises
        ------
        ValueError
            If subjects are unseen and ``unseen="error"``; else as in `fit`.
        """
        check_is_fitted(self)
        self._check_parameters()
        x = validate_data(self, X, reset=False, **READ)
        by_subject = _rows_by_subject(len(x), subjects)
        unseen = {k: rows for k, rows in by_subject.items() if k not in self.means_}
        if unseen and self.unseen == "error":
            self._raise_unseen(unseen)
        if None in unseen:
            warn(
                "fit was given subjects, and transform is not: X is taken for one "
                "unseen subject, which is wrong if it holds several. scikit-learn "
                "drops keywords when it predicts; WindowFeatures does not."
            )
        if self.unseen == "transductive":
            self._warn_single(unseen)
        out = np.empty_like(x)
        for name, rows in by_subject.items():
            if name not in unseen:
                mean, scale = self.means_[name], self.scales_[name]
            elif self.unseen == "pooled":
                mean, scale = self.mean_, self.scale_
            else:
                mean, scale = _statistics(x[rows])
            centred = x[rows] - (mean if self.with_mean else 0.0)
            out[rows] = centred / (scale if self.with_std else 1.0)
        return out

    def calibrate(self, X: ArrayLike, *, subjects: ArrayLike | None = None) -> Self:
        """Fix the mean and SD of some subjects: what comes later uses these alone.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_features)
            Features of the subjects' first windows.
        subjects : array-like of shape (n_windows,), default=None
            Subject of each window; without them there is an error.

        Returns
        -------
        SubjectScaler
            The transformer itself; after an error it is as it was.

        Raises
        ------
        ValueError
            If there are no subjects, or none were given in `fit`; else as in `fit`.

        Notes
        -----
        A subject that was in `fit`, or calibrated before, is calibrated anew.  With
        `unseen="transductive"` all others go on by their own windows.
        """
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, **READ)
        by_subject = _rows_by_subject(len(x), subjects)
        if None in by_subject or None in self.means_:
            raise ValueError(
                "To calibrate, fit and calibrate must know whose windows they get: "
                "pass subjects=, or use WindowFeatures on EEGWindows."
            )
        self._warn_single(by_subject)
        learnt = {name: _statistics(x[rows]) for name, rows in by_subject.items()}
        self.means_ = self.means_ | {name: one[0] for name, one in learnt.items()}
        self.scales_ = self.scales_ | {name: one[1] for name, one in learnt.items()}
        self.n_windows_ = self.n_windows_ | {n: len(r) for n, r in by_subject.items()}
        self.calibrated_subjects_ = sorted({*self.calibrated_subjects_, *by_subject})
        return self

    def _check_parameters(self):
        check_option(self.unseen, ("transductive", "pooled", "error"), "unseen")

    def _warn_single(self, by_subject):
        """Warn of subjects whose only window becomes zero."""
        single = [name for name, rows in by_subject.items() if len(rows) == 1]
        if single and self.with_mean:
            names = "X, one subject" if None in single else list_some(single)
            warn(
                f"A single window is all there is of {names}. Less its own mean, it is "
                "zero. Give more windows of a subject at once, or use unseen='pooled' "
                "for subjects that are not in fit."
            )

    def _raise_unseen(self, unseen):
        """Raise an error that names the unseen subjects."""
        if None in unseen:
            raise ValueError(
                "transform got no subjects, but fit had some, and unseen='error'. Pass "
                "subjects=...; scikit-learn drops them when a pipeline predicts or is "
                "scored, unlike WindowFeatures on EEGWindows."
            )
        known = "X without subjects" if None in self.means_ else list_some(self.means_)
        raise ValueError(
            f"Subjects not seen in fit: {list_some(unseen)} (fitted to {known}). With "
            "unseen='transductive' their own windows would be used, with 'pooled' the "
            "statistics of all training windows."
        )


class RunningNormalizer(TimedStep):
    r"""Standardise features by what came before, in each session of a subject.

    The first window :math:`x_0` of a session is standardised by the mean :math:`m` and
    the (biased) variance :math:`v` of all training windows. They then give way to the
    mean :math:`\bar x_t` and the biased variance :math:`s^2_t` of the windows
    :math:`x_0, \ldots, x_t`, the present one included:

    .. math::

        y_t = \frac{x_t - w_t m - (1 - w_t) \bar x_t}
                   {\sqrt{w_t v + (1 - w_t) s^2_t + 10^{-10}}},
        \qquad w_t = \mathrm{decay}^t.

    No output depends on a later window. So it can be used online: pass the session so
    far and keep the last row.

    Parameters
    ----------
    decay : float, default=0.99
        From 0 (training statistics count for the first window only) to 1 (nothing else
        counts). At 0.99, half their weight is gone after 69 windows.

    Attributes
    ----------
    mean_, var_ : ndarray of shape (n_features,)
        Mean and biased variance of all training windows.
    n_features_in_ : int
        Number of features.

    See Also
    --------
    WindowFeatures : Hands subjects, sessions, trials and onsets to this step.
    SubjectScaler : Uses all windows of a subject at once.

    Notes
    -----
    It is the normalisation of the released code of [1]_, which takes :math:`m` and
    :math:`v` from all subjects. Here they come from `fit`, hence from the training
    subjects alone. The sums run as in [2]_, with no loss by cancellation.

    The :math:`10^{-10}` supposes that features vary by much more than :math:`10^{-5}`,
    in training too: entropies and the encoder's features do, powers in square volts do
    not. Drop features that are constant in training but not elsewhere.

    Windows are counted, not seconds: those that were dropped leave no trace.

    Windows whose subjects and sessions are not given are one session. A scikit-learn
    pipeline drops these keywords when it predicts; `WindowFeatures` does not.

    References
    ----------
    .. [1] Zhang et al. (2025). Multi-dataset Joint Pre-training of Emotional EEG
       Enables Generalizable Affective Computing. NeurIPS. arXiv:2510.22197.
    .. [2] Welford BP. Note on a method for calculating corrected sums of squares and
       products. Technometrics 1962;4:419-420, doi:10.1080/00401706.1962.10490022.

    Examples
    --------
    >>> from sklearn_mdjpt import RunningNormalizer
    >>> normalizer = RunningNormalizer(decay=0.5).fit([[0.0], [2.0]])
    >>> normalizer.transform([[3.0], [5.0], [4.0]], sessions=[1, 1, 2]).ravel()
    array([2. , 2.5, 3. ])
    """

    _apart = ("subjects", "sessions")

    def __init__(self, decay: float = 0.99) -> None:
        self.decay = decay

    def online(self) -> RunningMoments:
        """Return the normalisation of one session, for windows that come one by one.

        Returns
        -------
        RunningMoments
            Its ``push`` gives what `transform` gives for the session so far.
        """
        check_is_fitted(self)
        return RunningMoments(self.mean_, self.var_, self.decay)

    def _check_parameters(self):
        check_number(self.decay, "decay", least=0, most=1)

    def _learn(self, x):
        mean, deviation = _mean_and_deviation(x)
        return {"mean_": mean, "var_": deviation**2}

    def _run(self, x, lengths, times):
        borders = np.cumsum(lengths)[:-1]
        return np.concatenate([self._run_one(part) for part in np.split(x, borders)])

    def _run_one(self, x):
        """Normalise one session."""
        steps = np.arange(len(x))[:, None]
        centred = x - x[0]
        means = np.cumsum(centred, axis=0) / (steps + 1)
        # Each window adds its squared distance from the mean before it, times t/(t+1),
        # to the sum of squares: no term is negative, so nothing cancels.
        squares = np.zeros_like(x)
        squares[1:] = (centred[1:] - means[:-1]) ** 2 * (steps[1:] / (steps[1:] + 1))
        variances = np.cumsum(squares, axis=0) / (steps + 1)
        prior = float(self.decay) ** steps
        deviation = prior * (x - self.mean_) + (1 - prior) * (centred - means)
        variance = prior * self.var_ + (1 - prior) * variances
        return deviation / np.sqrt(variance + VARIANCE_OFFSET)


class RunningMoments:
    """What `RunningNormalizer` keeps of a session, as its windows come.

    Parameters
    ----------
    mean, var : ndarray of shape (n_features,)
        Mean and variance of the training windows.
    decay : float
        As in `RunningNormalizer`.
    """

    def __init__(self, mean, var, decay):
        self.mean, self.var, self.decay = mean, var, float(decay)
        self.reset()

    def reset(self):
        """Begin a session."""
        self._n, self._first, self._mean, self._squares = 0, None, 0.0, 0.0

    def push(self, x, step=1.0):
        """Take the next window in.

        Parameters
        ----------
        x : ndarray of shape (n_features,)
            Its features.
        step : float, default=1.0
            Not used: windows are counted.

        Returns
        -------
        ndarray of shape (n_features,)
            The window, standardised by those so far.
        """
        x = np.asarray(x, dtype=float)
        if self._first is None:
            self._first, self._mean = x.copy(), np.zeros_like(x)
            self._squares = np.zeros_like(x)
        centred = x - self._first
        self._squares = self._squares + (centred - self._mean) ** 2 * (
            self._n / (self._n + 1)
        )
        self._mean = self._mean + (centred - self._mean) / (self._n + 1)
        prior = self.decay**self._n
        self._n += 1
        deviation = prior * (x - self.mean) + (1 - prior) * (centred - self._mean)
        variance = prior * self.var + (1 - prior) * self._squares / self._n
        return deviation / np.sqrt(variance + VARIANCE_OFFSET)


def _rows_by_subject(n_rows, subjects):
    """Return a dict of subject to its rows; without subjects, of None to all rows."""
    names = check_groups(subjects, n_rows, "subjects")
    rows = rows_of_groups(combine_groups(n_rows, names))
    return {None if names is None else str(names[k[0]]): k for k in rows}


def _mean_and_deviation(x):
    """Return each feature's mean and biased SD in float64; exact if it is constant."""
    start = x[0].astype(np.float64)
    centred = x - start
    mean = centred.mean(axis=0)
    return start + mean, (centred - mean).std(axis=0)


def _statistics(x):
    """Return each feature's mean and scale: its biased SD, or 1 if it is constant."""
    mean, deviation = _mean_and_deviation(x)
    noise = _RESOLUTION[x.dtype] * np.abs(x).max(axis=0).astype(np.float64)
    return mean, np.where(deviation <= noise, 1.0, deviation)
