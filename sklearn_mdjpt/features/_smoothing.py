r"""Normalise window features by subject and smooth them in time.

Three steps between features and classifier, on arrays of shape (n_windows,
n_features). They need to know which window belongs to which subject, session and
trial: keywords of both ``fit`` and ``transform``, with one entry a window.
"""

from __future__ import annotations

import math
import numbers
import warnings
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from scipy.linalg import solveh_banded
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from .._grouping import check_groups, combine_groups, rows_of_groups, time_order
from .._io._pickles import VersionedPickle
from .._validation import check_onsets, check_option, list_some

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

VARIANCE_OFFSET = 1e-10
"""What `RunningNormalizer` adds to each variance, in squared units of the feature."""

# A feature whose SD is a smaller share than this of its largest value is constant: what
# is left is the rounding of sums of some hundred numbers.
_RESOLUTION = {np.dtype(np.float64): 1e-13, np.dtype(np.float32): 1e-6}

# How X is read. Sums over rows in one memory order give the same digits for every X.
_READ = {"dtype": (np.float64, np.float32), "order": "C"}


class _FeatureStep(
    VersionedPickle, OneToOneFeatureMixin, TransformerMixin, BaseEstimator
):
    """What the three transformers share: keywords in fit_transform, float32 kept."""

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


class SubjectScaler(_FeatureStep):
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
        Mean and SD of each subject of the fit; the SD of a constant feature is 1. The
        only key is None after a fit without subjects.
    n_windows_ : dict of str to int
        Number of windows of each subject.
    mean_, scale_ : ndarray of shape (n_features,)
        The same over all training windows.
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
        x = check_array(X, estimator=self, **_READ)
        by_subject = _rows_by_subject(len(x), subjects)
        self._warn_single(by_subject)
        learnt = {name: _statistics(x[rows]) for name, rows in by_subject.items()}
        pooled = _statistics(x)
        validate_data(self, X, skip_check_array=True)  # a failed fit leaves no trace
        self.means_ = {name: mean for name, (mean, _) in learnt.items()}
        self.scales_ = {name: scale for name, (_, scale) in learnt.items()}
        self.n_windows_ = {name: len(rows) for name, rows in by_subject.items()}
        self.mean_, self.scale_ = pooled
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
        x = validate_data(self, X, reset=False, **_READ)
        by_subject = _rows_by_subject(len(x), subjects)
        unseen = {k: rows for k, rows in by_subject.items() if k not in self.means_}
        if unseen and self.unseen == "error":
            self._raise_unseen(unseen)
        if None in unseen:
            warnings.warn(
                "fit was given subjects, and transform is not: X is taken for one "
                "unseen subject, which is wrong if it holds several. scikit-learn "
                "drops keywords when it predicts; WindowFeatures does not.",
                stacklevel=2,
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

    def _check_parameters(self):
        check_option(self.unseen, ("transductive", "pooled", "error"), "unseen")

    def _warn_single(self, by_subject):
        """Name the subjects whose only window loses all that it tells."""
        single = [name for name, rows in by_subject.items() if len(rows) == 1]
        if single and self.with_mean:
            whose = "X, one subject" if None in single else list_some(single)
            warnings.warn(
                f"A single window is all there is of {whose}. Less its own mean, it is "
                "zero. Give more windows of a subject at once, or use unseen='pooled' "
                "for subjects that are not in fit.",
                stacklevel=3,
            )

    def _raise_unseen(self, unseen):
        """Say which subjects are unseen, and what to do."""
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


class _TimedStep(_FeatureStep):
    """A transformer that runs through sequences of windows in the order of time."""

    __metadata_request__fit = __metadata_request__transform = dict.fromkeys(
        ("subjects", "sessions", "trials", "onsets"), True
    )

    def fit(
        self,
        X: ArrayLike,
        y: object = None,
        *,
        subjects: ArrayLike | None = None,
        sessions: ArrayLike | None = None,
        trials: ArrayLike | None = None,
        onsets: ArrayLike | None = None,
    ) -> Self:
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
        x = check_array(X, estimator=self, **_READ)
        ids = {"subjects": subjects, "sessions": sessions, "trials": trials}
        _sequences(len(x), ids, onsets, apart=self._apart)
        learnt = self._learn(x)
        validate_data(self, X, skip_check_array=True)  # a failed fit leaves no trace
        for name, value in learnt.items():
            setattr(self, name, value)
        return self

    def transform(
        self,
        X: ArrayLike,
        *,
        subjects: ArrayLike | None = None,
        sessions: ArrayLike | None = None,
        trials: ArrayLike | None = None,
        onsets: ArrayLike | None = None,
    ) -> np.ndarray:
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
        x = validate_data(self, X, reset=False, **_READ)
        ids = {"subjects": subjects, "sessions": sessions, "trials": trials}
        order, lengths, times = _sequences(
            len(x), ids, onsets, apart=self._apart, warn=True
        )
        out = np.empty_like(x)
        out[order] = self._run(x[order].astype(np.float64), lengths, times)
        return out


class RunningNormalizer(_TimedStep):
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

    def _check_parameters(self):
        if not _is_finite(self.decay) or not 0 <= self.decay <= 1:
            raise ValueError(f"decay must be a number from 0 to 1, got {self.decay!r}.")

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


class LDSSmoother(_TimedStep):
    r"""Smooth each feature within each trial by a linear dynamical system.

    A feature is taken for a random walk :math:`z_t` seen in noise [1]_ [2]_:

    .. math::

        x_t \sim N(z_t, R), \qquad z_t \sim N(z_{t-1}, Q), \qquad
        z_0 \sim N(\bar x, V_0),

    with :math:`\bar x` the trial's mean. The output is the mean of :math:`z_t` given
    all windows of the trial: that of a Kalman filter and Rauch-Tung-Striebel smoother
    [3]_, got here from one tridiagonal system.

    Parameters
    ----------
    transition_noise : float, default=1e-4
        The variance :math:`Q` of a step. Larger: less smoothing.
    observation_noise : float, default=1.0
        The variance :math:`R` of the noise. Only the ratios of the three matter.
    initial_variance : float, default=0.01
        The variance :math:`V_0` of the first state around the trial's mean.

    Attributes
    ----------
    n_features_in_ : int
        Number of features; nothing else is learnt.

    See Also
    --------
    WindowFeatures : Hands subjects, sessions, trials and onsets to this step.
    RunningNormalizer : Causal normalisation, from the same source.

    Notes
    -----
    Smoothing is not causal: a window's output uses the trial's future.

    With the default constants, those of [2]_, a trial's windows become almost one
    vector: the SD within a trial falls to 0.04-6 % of what it was. Windows are then no
    independent samples. Score by trial too, take intervals over subjects, and never let
    windows of one trial lie on both sides of a split.

    A trial is what shares subject, session and trial, as far as these are given; a
    single window stays as it is. Windows count as evenly spaced but for holes: with
    ``onsets``, a step that is g times as long as the trial's commonest one (dropped
    windows) has the variance :math:`gQ`. Without them holes cannot be seen. A
    scikit-learn pipeline drops the keywords when it predicts, and then smooths across
    trials, with a UserWarning; `WindowFeatures` keeps them.

    References
    ----------
    .. [1] Duan RN, Zhu JY, Lu BL. Differential entropy feature for EEG-based emotion
       classification. IEEE/EMBS NER 2013, 81-84, doi:10.1109/NER.2013.6695876.
    .. [2] Zhang et al. (2025). Multi-dataset Joint Pre-training of Emotional EEG
       Enables Generalizable Affective Computing. NeurIPS. arXiv:2510.22197.
    .. [3] Rauch HE, Tung F, Striebel CT. Maximum likelihood estimates of linear dynamic
       systems. AIAA J 1965;3:1445-1450, doi:10.2514/3.3166.

    Examples
    --------
    >>> from sklearn_mdjpt import LDSSmoother
    >>> X = [[0.0], [2.0], [7.0]]
    >>> smoother = LDSSmoother(transition_noise=1.0, initial_variance=1.0)
    >>> smoother.fit_transform(X, trials=["1", "1", "2"]).ravel()
    array([0.8, 1.4, 7. ])
    """

    _apart = ("subjects", "sessions", "trials")

    def __init__(
        self,
        transition_noise: float = 1e-4,
        observation_noise: float = 1.0,
        initial_variance: float = 0.01,
    ) -> None:
        self.transition_noise = transition_noise
        self.observation_noise = observation_noise
        self.initial_variance = initial_variance

    def _check_parameters(self):
        values = self.get_params()
        for name, value in values.items():
            if not _is_finite(value) or value <= 0:
                raise ValueError(f"{name} must be positive and finite, got {value!r}.")
        if float(max(values.values())) > 1e10 * float(min(values.values())):
            raise ValueError(
                "The three variances must lie within a factor of 1e10 of each other, "
                f"which float64 can solve; got {values}."
            )

    def _learn(self, x):
        return {}

    def _run(self, x, lengths, times):
        if len(x) == 1:
            return x  # solveh_banded takes no system of one
        # The posterior is Gaussian, so its mean is its mode: it solves a symmetric
        # tridiagonal system, here times Q, with no entries across trials. The unknowns
        # are deviations from the trial's mean, so that offsets cost no digits.
        first = np.cumsum(lengths) - lengths
        is_first = np.zeros(len(x))
        is_first[first] = 1
        # What couples a window to the one before it: the step's variance grows with
        # its length.
        before = (1 - is_first) / _steps(times, lengths)
        after = np.append(before[1:], 0.0)
        start = np.repeat(x[first], lengths, axis=0)
        x = x - start
        mean = np.add.reduceat(x, first, axis=0) / lengths[:, None]
        mean = np.repeat(mean, lengths, axis=0)
        pull = float(self.transition_noise) / float(self.observation_noise)
        prior = float(self.transition_noise) / float(self.initial_variance)
        diagonal = pull + (before + after) + prior * is_first
        smooth = solveh_banded(np.stack([0.0 - before, diagonal]), pull * (x - mean))
        return start + mean + smooth


def _sequences(n_rows, ids, onsets, *, apart, warn=False):
    """Return all rows, sequence by sequence in the order of time, and their numbers.

    Their onsets come third, None if they are not known.  Raises on bad metadata.
    ``apart`` names the ids that tell sequences apart; ``warn`` says what is lacking.
    """
    ids = {name: check_groups(value, n_rows, name) for name, value in ids.items()}
    groups = combine_groups(n_rows, *(ids[name] for name in apart))
    order = time_order(groups, trials=ids.get("trials"), onsets=onsets)
    lengths = np.bincount(groups)
    if warn and "trials" in apart and ids["trials"] is None and len(lengths) < n_rows:
        warnings.warn(
            "No trials were given: all windows of a subject and session, as far as "
            "known, are smoothed as one trial, across clips and their labels. Pass "
            "trials=..., or use WindowFeatures on EEGWindows.",
            stacklevel=4,
        )
    if warn and onsets is not None:
        onsets = check_onsets(onsets, n_rows, "onsets")
        n_distinct = combine_groups(n_rows, *ids.values(), onsets).max() + 1
        if n_distinct < n_rows and not np.isnan(onsets).any():
            warnings.warn(
                f"{n_rows - n_distinct} of {n_rows} windows repeat the subject, "
                "session, trial and onset of another, as far as these are given. Is "
                "one missing? Such windows are taken in the order of the rows.",
                stacklevel=4,
            )
    if onsets is not None:
        times = check_onsets(onsets, n_rows, "onsets")[order]
        onsets = None if np.isnan(times).any() else times
    return order, lengths, onsets


def _steps(times, lengths):
    """Return by how much each window is later than the one before it, in steps.

    A step is the commonest one of its sequence, the shortest of several.  What differs
    from whole steps by rounding is whole; where times do not tell windows apart, all
    are one step apart.
    """
    steps = np.ones(lengths.sum())
    if times is None:
        return steps
    stops = np.cumsum(lengths)
    for start, stop in zip(stops - lengths, stops, strict=True):
        gaps = np.diff(times[start:stop])
        if len(gaps) < 2 or gaps.min() <= 0:
            continue
        ms, counts = np.unique(np.round(1000 * gaps), return_counts=True)
        step = max(ms[np.argmax(counts)] / 1000, 1e-3)
        ratio = gaps / step
        whole = np.maximum(np.round(ratio), 1.0)
        is_whole = np.isclose(ratio, whole, rtol=0.01, atol=2e-3 / step)
        steps[start + 1 : stop] = np.where(is_whole, whole, ratio)
    return steps


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


def _is_finite(value):
    """Whether a parameter is a real number, neither NaN, infinite nor a bool."""
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and math.isfinite(value)
