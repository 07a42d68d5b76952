"""Bad channels of a trial: how they are found, and what stands in for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._io._pickles import VersionedPickle
from .._validation import check_ch_names, check_number, check_positions, list_some
from ..channels._channels import canonical_name, electrode_positions, spelt_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

AMPLITUDE_RULES = ((3.0, 0.4), (30.0, 0.01))
"""Pairs (m, n) of the paper: too many samples are m times as large as the median."""

FLAT = 0.05
"""A channel is dead below this share of the others' spread."""

SPARED = ("Fp1", "Fp2", "F7", "F8")
"""Channels that carry blinks: large before ICA, but not bad."""

N_NEIGHBOURS = 3
"""How many good channels a bad one is made of."""


def find_bad_channels(
    x: ArrayLike,
    ch_names: Sequence[str],
    *,
    amplitude_rules: Sequence[tuple[float, float]] = AMPLITUDE_RULES,
    flat: float | None = FLAT,
    spare: Sequence[str] = (),
) -> pd.DataFrame:
    r"""Find the bad channels of one trial.

    A channel is *large* if the share of its samples with
    :math:`|x| > m \operatorname{median}|x|` exceeds :math:`n`, for one of the pairs
    (m, n); the median is that of all channels of the trial together [1]_.  These rules
    never find a dead channel.  So one is *flat*, in addition, if the median absolute
    deviation of its samples is below ``flat`` times the median of the channels' own:
    it barely moves, or holds a single value for more than half of the trial.  Flat
    channels are left out of both medians.

    Parameters
    ----------
    x : array-like of shape (n_channels, n_times)
        The trial, in any unit, without offset (band-passed).
    ch_names : sequence of str
        Names of the channels.
    amplitude_rules : sequence of (float, float), default=((3, 0.4), (30, 0.01))
        Pairs of factor m and share n; one of them suffices.
    flat : float or None, default=0.05
        Below which share of the others' spread a channel is dead, from 0 to 1; 0 finds
        those that do not move at all, None does not look.
    spare : sequence of str, default=()
        Channels that the amplitude rules leave alone, in any case: before ICA the
        paper spares Fp1, Fp2, F7 and F8, which carry blinks.  They can be flat.

    Returns
    -------
    DataFrame
        One row for each bad channel, in the order of ``ch_names``: ``channel``,
        ``rule`` ("flat", "3 x median", ...: the first that marks it) and ``value``,
        the share of large samples, or for "flat" the spread relative to the others'.

    Raises
    ------
    ValueError
        If x holds NaN or inf, all channels are constant, or a parameter is out of
        range, such as a single name for ``spare``.

    References
    ----------
    .. [1] Zhang et al., Multi-dataset joint pre-training of emotional EEG enables
       generalizable affective computing. NeurIPS 2025, arXiv:2510.22197.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mdjpt.preprocessing import find_bad_channels
    >>> x = np.random.default_rng(0).standard_normal((5, 1000))
    >>> x[1] *= 20
    >>> x[3] = 0
    >>> find_bad_channels(x, ["F3", "Fz", "F4", "C3", "C4"])
      channel        rule  value
    0      Fz  3 x median  0.904
    1      C3        flat  0.000
    """
    x = np.asarray(x)
    if x.ndim != 2:
        raise ValueError(f"x must have shape (n_channels, n_times), got {x.shape}.")
    ch_names = check_ch_names(ch_names, len(x))
    rules = check_rules(amplitude_rules)
    check_number(flat, "flat", none=True, least=0, most=1)
    spared = {canonical_name(name) for name in check_texts(spare, "spare")}
    check_finite(x, ch_names)
    magnitude = np.abs(x)

    spread = np.array([np.median(np.abs(line - np.median(line))) for line in x])
    usual = np.median(spread[spread > 0]) if spread.any() else 0.0
    if usual == 0:
        raise ValueError(
            f"All {len(x)} channels hold one value for more than half of the "
            f"{x.shape[1]} samples."
        )
    relative = spread / usual
    dead = np.zeros(len(x), bool)
    if flat is not None:
        dead = (relative < flat) | (spread == 0)

    may_be_large = ~dead & [name not in spared for name in spelt_names(ch_names)]
    median = np.median(magnitude[~dead])
    found = {k: (ch_names[k], "flat", float(relative[k])) for k in np.flatnonzero(dead)}
    for factor, most in rules:
        share = np.mean(magnitude > factor * median, axis=1)
        for k in np.flatnonzero((share > most) & may_be_large):
            found.setdefault(k, (ch_names[k], f"{factor:g} x median", float(share[k])))
    rows = [found[k] for k in sorted(found)]
    table = pd.DataFrame(rows, columns=["channel", "rule", "value"])
    return table.round({"value": 4})


def interpolate_channels(
    x: np.ndarray,
    bads: Sequence[str],
    ch_names: Sequence[str],
    *,
    positions: ArrayLike | None = None,
    n_neighbours: int = N_NEIGHBOURS,
) -> np.ndarray:
    """Replace bad channels by the mean of the nearest good ones.

    Parameters
    ----------
    x : ndarray of shape (..., n_channels, n_times)
        Signals; they are not changed.
    bads : sequence of str
        Names of the bad channels.
    ch_names : sequence of str
        Names of all channels.
    positions : array-like of shape (n_channels, 3), default=None
        Digitised positions in metres, used before those of the 10-05 template.
    n_neighbours : int, default=3
        How many good channels make the plain mean, where there are that many.

    Returns
    -------
    ndarray of the shape of x
        A copy, with the bad channels replaced.

    Raises
    ------
    ValueError
        If a bad channel is not among ``ch_names`` or has no known position, no channel
        with a position is good, or ``bads`` is a single name.

    See Also
    --------
    find_bad_channels : Find them.
    """
    x = np.asarray(x)
    x = np.array(x, dtype=np.result_type(x.dtype, np.float32))
    ch_names = check_ch_names(ch_names, x.shape[-2])
    sources = nearest_channels(
        bads, ch_names, positions=positions, n_neighbours=n_neighbours
    )
    place = {name: k for k, name in enumerate(ch_names)}
    for bad, neighbours in sources.items():
        x[..., place[bad], :] = x[..., [place[n] for n in neighbours], :].mean(axis=-2)
    return x


def nearest_channels(bads, ch_names, *, positions=None, n_neighbours=N_NEIGHBOURS):
    """Return the good channels that each bad one is made of, the nearest first.

    Returns
    -------
    dict of str to list of str
    """
    check_number(n_neighbours, "n_neighbours", whole=True, least=1)
    bads = check_texts(bads, "bads")
    positions = check_positions(positions, len(ch_names))
    unknown = [name for name in bads if name not in ch_names]
    if unknown:
        raise ValueError(
            f"bads has {list_some(unknown)}, which ch_names ({list_some(ch_names)}) "
            "has not."
        )
    sites = electrode_positions(ch_names, positions)
    known = np.isfinite(sites).all(axis=1)
    good = [k for k, n in enumerate(ch_names) if n not in bads and known[k]]
    nearest = {}
    for bad in bads:
        k = ch_names.index(bad)
        if not known[k]:
            raise ValueError(
                f"Channel {bad!r} is bad, and its position is unknown: it has no 10-05 "
                "name and no digitised position."
            )
        if not good:
            raise ValueError(
                f"No good channel is left to interpolate from: all {len(ch_names)} are "
                "bad or at unknown positions."
            )
        distance = np.linalg.norm(sites[good] - sites[k], axis=1)
        order = np.argsort(distance, kind="stable")[:n_neighbours]
        nearest[bad] = [ch_names[good[i]] for i in order]
    return nearest


class BadChannelInterpolator(VersionedPickle, TransformerMixin, BaseEstimator):
    """Find bad channels trial by trial and interpolate them.

    Each trial of an array is looked at by itself (see `find_bad_channels`), and a bad
    channel becomes the mean of its nearest good ones: nothing is learnt in ``fit``.

    Parameters
    ----------
    ch_names : sequence of str
        Names of the channels.
    positions : array-like of shape (n_channels, 3), default=None
        Digitised positions in metres, used before those of the 10-05 template.
    amplitude_rules : sequence of (float, float), default=((3, 0.4), (30, 0.01))
        As for `find_bad_channels`.
    flat : float or None, default=0.05
        As for `find_bad_channels`.
    spare : sequence of str, default=()
        As for `find_bad_channels`.
    n_neighbours : int, default=3
        How many good channels make the plain mean.

    Attributes
    ----------
    n_channels_ : int
        Number of channels.

    See Also
    --------
    clean_recording : All steps of the paper's cleaning, on a continuous recording.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mdjpt.preprocessing import BadChannelInterpolator
    >>> X = np.random.default_rng(0).standard_normal((2, 5, 1000))
    >>> X[1, 3] = 0
    >>> interpolator = BadChannelInterpolator(["F3", "Fz", "F4", "C3", "C4"])
    >>> interpolator.fit(X).find(X)[1]["channel"].tolist()
    ['C3']
    >>> interpolator.transform(X)[1, 3].std() > 0
    np.True_
    """

    def __init__(
        self,
        ch_names: Sequence[str],
        *,
        positions: ArrayLike | None = None,
        amplitude_rules: Sequence[tuple[float, float]] = AMPLITUDE_RULES,
        flat: float | None = FLAT,
        spare: Sequence[str] = (),
        n_neighbours: int = N_NEIGHBOURS,
    ) -> None:
        self.ch_names = ch_names
        self.positions = positions
        self.amplitude_rules = amplitude_rules
        self.flat = flat
        self.spare = spare
        self.n_neighbours = n_neighbours

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Check the parameters.

        Parameters
        ----------
        X : array-like of shape (n_trials, n_channels, n_times)
            Trials.
        y : None
            Ignored.

        Returns
        -------
        BadChannelInterpolator
            Itself.
        """
        check_rules(self.amplitude_rules)
        check_number(self.flat, "flat", none=True, least=0, most=1)
        check_texts(self.spare, "spare")
        check_number(self.n_neighbours, "n_neighbours", whole=True, least=1)
        X = _check_trials(X)
        names = check_ch_names(self.ch_names, X.shape[1])
        check_positions(self.positions, len(names))
        self.n_channels_ = len(names)
        return self

    def find(self, X: ArrayLike) -> list[pd.DataFrame]:
        """Return the bad channels of each trial.

        Parameters
        ----------
        X : array-like of shape (n_trials, n_channels, n_times)
            Trials.

        Returns
        -------
        list of DataFrame
            As `find_bad_channels` gives them.
        """
        check_is_fitted(self)
        return [self._find(trial) for trial in self._check(X)]

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Interpolate the bad channels of each trial.

        Parameters
        ----------
        X : array-like of shape (n_trials, n_channels, n_times)
            Trials.

        Returns
        -------
        ndarray of shape (n_trials, n_channels, n_times)
            A new array.
        """
        check_is_fitted(self)
        X = self._check(X)
        X = np.array(X, dtype=np.result_type(X.dtype, np.float32))
        for k, trial in enumerate(X):
            X[k] = interpolate_channels(
                trial,
                self._find(trial)["channel"].tolist(),
                self.ch_names,
                positions=self.positions,
                n_neighbours=self.n_neighbours,
            )
        return X

    def _find(self, trial):
        return find_bad_channels(
            trial,
            self.ch_names,
            amplitude_rules=self.amplitude_rules,
            flat=self.flat,
            spare=self.spare,
        )

    def _check(self, X):
        X = _check_trials(X)
        if X.shape[1] != self.n_channels_:
            raise ValueError(
                f"X has {X.shape[1]} channels, but there were {self.n_channels_} in "
                "fit."
            )
        return X

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.requires_fit = True
        return tags


def check_rules(rules):
    """Return pairs of factor and share as floats; raise on anything else."""
    rules = list(rules)
    for rule in rules:
        if np.shape(rule) != (2,) or not (rule[0] > 0 and 0 <= rule[1] <= 1):
            raise ValueError(
                "amplitude_rules must be pairs (factor > 0, share from 0 to 1), got "
                f"{rule!r} among them."
            )
    return [(float(factor), float(share)) for factor, share in rules]


def check_texts(values, name):
    """Return a list of str; raise on a single text, which would fall into letters."""
    if isinstance(values, str | bytes) or not np.iterable(values):
        raise ValueError(f"{name} must be a sequence of str, got {values!r}.")
    return [str(value) for value in values]


def check_finite(x, ch_names):
    """Raise where a signal (n_channels, n_times) holds NaN or inf."""
    # Line by line: a mask of all samples would be large.
    n_bad = {
        name: n
        for name, line in zip(ch_names, x, strict=True)
        if (n := line.size - np.isfinite(line).sum())
    }
    if n_bad:
        raise ValueError(
            f"The signal holds NaN or inf in {len(n_bad)} of {len(ch_names)} channels: "
            + list_some(f"{name} ({n} samples)" for name, n in n_bad.items())
            + "."
        )


def _check_trials(X):
    X = np.asarray(X)
    if X.ndim != 3 or not len(X):
        raise ValueError(
            f"X must have shape (n_trials, n_channels, n_times), got {X.shape}."
        )
    return X
