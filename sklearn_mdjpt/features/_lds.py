"""Smooth features within each trial by a linear dynamical system."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solveh_banded

from .._validation import check_number, check_option
from ._steps import TimedStep


class LDSSmoother(TimedStep):
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
    causal : bool, default=False
        True: only the Kalman filter, so that an output uses the trial's windows so far.
        Nothing is known of the first state then, the trial's mean included, and the
        first output is the first window.

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
    Smoothing is not causal, unless ``causal``: a window's output uses the trial's
    future.

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
        causal: bool = False,
    ) -> None:
        self.transition_noise = transition_noise
        self.observation_noise = observation_noise
        self.initial_variance = initial_variance
        self.causal = causal

    def online(self) -> KalmanFilter:
        """Return the filter of one trial, for windows that come one by one.

        Returns
        -------
        KalmanFilter
            Its ``push`` gives what `transform` gives with ``causal=True``.
        """
        return KalmanFilter(self.transition_noise, self.observation_noise)

    def _check_parameters(self):
        check_option(self.causal, (True, False), "causal")
        values = self.get_params()
        del values["causal"]
        for name, value in values.items():
            check_number(value, name, above=0)
        if float(max(values.values())) > 1e10 * float(min(values.values())):
            raise ValueError(
                "The three variances must lie within a factor of 1e10 of each other, "
                f"which float64 can solve; got {values}."
            )

    def _learn(self, x):
        return {}

    def _run(self, x, lengths, times):
        if self.causal:
            return self._filter(x, lengths, _steps(times, lengths))
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

    def _filter(self, x, lengths, steps):
        out, stops = np.empty_like(x), np.cumsum(lengths)
        for start, stop in zip(stops - lengths, stops, strict=True):
            trial = self.online()
            for row in range(start, stop):
                out[row] = trial.push(x[row], steps[row])
        return out


class KalmanFilter:
    """A random walk seen in noise, filtered as it comes.

    Parameters
    ----------
    transition_noise, observation_noise : float
        As in `LDSSmoother`.
    """

    def __init__(self, transition_noise, observation_noise):
        self.transition_noise = float(transition_noise)
        self.observation_noise = float(observation_noise)
        self.reset()

    def reset(self):
        """Begin a trial: nothing is known of its first state."""
        self._mean = None
        self._variance = 0.0

    def push(self, x, step=1.0):
        """Take the next window in.

        Parameters
        ----------
        x : ndarray of shape (n_features,)
            Its features.
        step : float, default=1.0
            How much later than the last one it is, in steps.

        Returns
        -------
        ndarray of shape (n_features,)
            The mean of the state, given all windows so far.
        """
        x = np.asarray(x, dtype=float)
        if self._mean is None:
            self._mean, self._variance = x.copy(), self.observation_noise
            return x.copy()
        predicted = self._variance + step * self.transition_noise
        gain = predicted / (predicted + self.observation_noise)
        self._mean = self._mean + gain * (x - self._mean)
        self._variance = (1 - gain) * predicted
        return self._mean.copy()


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
