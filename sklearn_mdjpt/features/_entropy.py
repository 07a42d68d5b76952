r"""Features of windows without learning: differential entropy by band.

A band's variance is that of the signal after a zero-phase filter whose power gain is
known in closed form, so that the same brain signal gives the same number at every
sampling rate, and white noise gives one that can be checked by hand. The filter works
on the cosine transform: it continues a signal by its mirror image, which makes no step
at the borders, needs no padding, and keeps Parseval's theorem, so that the variance of
a window can be read from its coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from scipy.fft import dct, idct, next_fast_len
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from .._io._pickles import VersionedPickle
from .._validation import (
    check_sfreq,
    join_ids,
    list_some,
    merge_rates,
    show_rates,
    warn,
)
from ..channels._montage import common_channels
from ..windows._flaws import mix_channels
from ..windows._inputs import as_windows, check_finite, check_window_array, is_array
from ..windows._metadata import TakesWindows
from ..windows._resampling import bridge_gaps, cache
from ..windows._windows import EEGWindows

if TYPE_CHECKING:
    from ..windows._inputs import Windows

DEFAULT_BANDS = {
    "delta": (1.0, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 14.0),
    "beta": (14.0, 30.0),
    "gamma": (30.0, 47.0),
}
"""Bands of `DifferentialEntropy`, in hertz; gamma ends below 50 Hz mains."""

VARIANCE_FLOOR = 1e-20
"""Least variance of a band, volts squared (0.1 nV RMS): no EEG is as quiet."""

UNITS_FACTOR = 300.0
"""Amplitudes of EEG differ by less; volts and millivolts by a thousand."""

_FILTER_ORDER = 4
# Float64 samples in work at once: of windows 4 MB, of recordings, which are filtered
# several channels at a time, 16 MB.
_BLOCK_SAMPLES = 2**19
_RECORDING_SAMPLES = 2**21


class DifferentialEntropy(
    TakesWindows, VersionedPickle, TransformerMixin, BaseEstimator
):
    r"""Differential entropy of each channel and band.

    With :math:`\sigma^2` the (biased) variance of the band's signal over the window,

    .. math::

        \mathrm{DE} = \tfrac{1}{2} \ln(2 \pi e \sigma^2),

    which is the entropy of a Gaussian signal [1]_. The band's signal comes from a
    zero-phase filter with the power gain of an analog Butterworth band-pass of order
    4, at low edge :math:`a` and high edge :math:`b`:

    .. math::

        |H(f)|^2 = \Big[ 1 + \Big( \frac{f^2 - a b}{f (b - a)} \Big)^8 \Big]^{-1}.

    White noise of SD :math:`s` at rate :math:`f_s` thus has the variance
    :math:`1.026\, s^2 (b - a) / (f_s / 2)` in a band away from the Nyquist frequency.

    Parameters
    ----------
    bands : dict of str to (float, float), default=None
        Name and edges in hertz of each band. None: `DEFAULT_BANDS`, delta 1-4, theta
        4-8, alpha 8-14, beta 14-30 and gamma 30-47 Hz.
    sfreq : float, default=None
        Sampling rate in hertz, needed for arrays. `EEGWindows` and Epochs bring their
        own.
    channels : {"auto", "canonical"}, default="auto"
        Which channels the features are of. "auto": those of X where all its windows
        share them, the 60 canonical ones where X has several montages (a canonical
        channel that a montage lacks is the mean of its nearest neighbours).
        "canonical": always the 60; choose it to fit on one montage and transform
        another.

    Attributes
    ----------
    bands_ : dict
        The bands in use.
    ch_names_ : tuple of str or None
        Channels of the features; None after a fit on arrays.
    n_channels_ : int
        Number of channels of the features.
    n_features_out_ : int
        ``n_channels_`` times the number of bands.

    See Also
    --------
    MDJPTEncoder : Learnt features of the same windows.

    Notes
    -----
    The filter multiplies the coefficients of the signal's discrete cosine transform
    (type II), where coefficient :math:`k` of :math:`N` has the frequency
    :math:`k f_s / 2 N`, by :math:`|H(f)|`. A continuous recording is filtered once as
    a whole, breaks between trials included, and its windows are cut afterwards. No
    filter goes across a cut of the recording, and in its bad spans a straight line
    stands in for the signal.
    Windows that came as arrays are filtered one by one, which by Parseval's theorem
    takes no more than :math:`\sigma^2 = \tfrac{1}{N} \sum_k |H(f_k)|^2 c_k^2` of the
    orthonormal coefficients. In windows of 5 seconds of EEG-like noise the two differ
    by less than 0.01 on average.

    Nothing is learnt from the data but which channels there are. Entropies of
    recordings are kept in a cache of bounded size, so a recording whose array is
    changed afterwards must be made anew.

    The entropy of a voltage has a unit: with volts, 1 microvolt RMS is -12.4; with
    microvolts it would be 1.42. A variance below `VARIANCE_FLOOR` (a constant
    channel) is replaced by it, with a warning.

    References
    ----------
    .. [1] Duan RN, Zhu JY, Lu BL. Differential entropy feature for EEG-based emotion
       classification. IEEE/EMBS NER 2013, 81-84, doi:10.1109/NER.2013.6695876.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mdjpt import DifferentialEntropy
    >>> X = 1e-5 * np.random.default_rng(0).standard_normal((6, 2, 1000))
    >>> DifferentialEntropy(sfreq=200.0).fit_transform(X).shape
    (6, 10)
    """

    def __init__(
        self,
        bands: Mapping[str, tuple[float, float]] | None = None,
        sfreq: float | None = None,
        channels: Literal["auto", "canonical"] = "auto",
    ) -> None:
        self.bands = bands
        self.sfreq = sfreq
        self.channels = channels

    def fit(self, X: Windows, y: object = None) -> Self:
        """Learn which channels X has; check that the bands can be measured in it.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs or array-like (n_windows, n_channels, n_times)
            Windows in volts; those of `EEGWindows` may differ in length and rate. A
            list of Epochs and a braindecode dataset are understood too.
        y : None
            Ignored.

        Returns
        -------
        DifferentialEntropy
            The transformer itself.

        Raises
        ------
        ValueError
            If a band is ill defined or reaches the Nyquist frequency, windows are
            shorter than a cycle of the lowest band edge, or arrays come without
            `sfreq` (or with canonical channels asked for).
        """
        bands = _check_bands(self.bands)
        X = self._check_X(X, bands)
        channels = common_channels(X, self.channels)
        check_finite(X, channels)
        self.bands_ = bands
        self._channels = channels
        self.ch_names_, self.n_channels_ = channels.names, channels.n_channels
        self.n_features_out_ = self.n_channels_ * len(self.bands_)
        return self

    def transform(self, X: Windows) -> np.ndarray:
        """Return the entropies of each window, channel by channel.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs or array-like (n_windows, n_channels, n_times)
            Windows in volts. Named channels be those seen in fit, in any order and
            case; arrays have the same number of them, in the same order.

        Returns
        -------
        ndarray of shape (n_windows, n_channels * n_bands)
            Natural logarithm of volts, float64; the bands of the first channel come
            first. See `get_feature_names_out`.

        Raises
        ------
        ValueError
            If the channels differ from those in fit, or a window holds NaN or inf in
            a channel that is used.

        Warns
        -----
        UserWarning
            If there is next to no signal in a channel, or amplitudes of recordings
            differ so much that some must be in another unit (microvolts, say).
        """
        check_is_fitted(self)
        X = self._check_X(X, self.bands_)
        check_finite(X, self._channels)
        bands = tuple(self.bands_.values())
        if isinstance(X, EEGWindows):
            variance = np.empty((len(X), self.n_channels_, len(bands)))
            for source, rows, starts, n_times in X.blocks():
                matrix = self._channels.matrix(source)
                variance[rows] = _source_variances(
                    source, starts, n_times, matrix, bands
                )
            _warn_of_units(X, variance)
        else:
            self._channels.check_number(X.shape[1])
            variance = _window_variances(X, self.sfreq, bands)
        self._warn_floor(variance < VARIANCE_FLOOR)
        variance = np.maximum(variance, VARIANCE_FLOOR)
        entropy = 0.5 * np.log(2 * np.pi * np.e * variance)
        return entropy.reshape(len(entropy), self.n_features_out_)

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return names such as "F3_alpha", in the order of the columns.

        Parameters
        ----------
        input_features : None
            Ignored; present for scikit-learn.

        Returns
        -------
        ndarray of str, shape (n_features_out,)
            Channel and band; channels are "ch0", "ch1", ... after a fit on arrays.
        """
        check_is_fitted(self)
        pairs = product(self._names(), self.bands_)
        return np.array([f"{name}_{band}" for name, band in pairs], dtype=object)

    def _names(self):
        return self.ch_names_ or [f"ch{i}" for i in range(self.n_channels_)]

    def _check_X(self, X, bands):
        """Return X as EEGWindows or a 3-D array, fit for these bands."""
        if not is_array(X):
            X = as_windows(X)
            given = None if self.sfreq is None else check_sfreq(self.sfreq)
            for source, _, _, n_times in X.blocks():
                rates = [source.sfreq if given is None else given, source.sfreq]
                if len({*merge_rates(rates).values()}) > 1:
                    given, found = show_rates(rates)
                    raise ValueError(
                        f"sfreq={given} Hz was given, but X holds windows at "
                        f"{found} Hz. Leave sfreq=None for EEGWindows."
                    )
                _check_measurable(bands, source.sfreq, n_times.min())
        else:
            X = check_window_array(X)
            if self.sfreq is None:
                raise ValueError(
                    "sfreq is unknown: give DifferentialEntropy(sfreq=...) the "
                    "sampling rate of the array in hertz, or pass EEGWindows."
                )
            _check_measurable(bands, check_sfreq(self.sfreq), X.shape[2])
        return X

    def _warn_floor(self, below):
        """Name the channels whose variance is replaced by the floor."""
        flat = below.any(axis=(0, 2))
        if flat.any():
            names = list_some(np.array(self._names())[flat])
            n_windows = below.any(axis=(1, 2)).sum()
            warn(
                f"Next to no signal in channels {names} ({n_windows} of {len(below)} "
                f"windows): their variance is set to {VARIANCE_FLOOR:g} V^2."
            )


def _warn_of_units(X, variance):
    """Warn if amplitudes of recordings differ as much as volts and microvolts."""
    sizes, first = [], []
    for _, rows, _, _ in X.blocks():
        # A few windows of each are enough.
        some = variance[rows[:: 1 + len(rows) // 16]]
        known = some[(some >= VARIANCE_FLOOR).all(axis=2)]
        if len(known):
            # The strongest band, since filters may have removed others.
            sizes.append(np.sqrt(np.median(known, axis=0).max()))
            first.append(rows[0])
    if not sizes or max(sizes) <= UNITS_FACTOR * min(sizes):
        return
    order = np.argsort(sizes)
    border = 1 + np.argmax(np.diff(np.log(np.take(sizes, order))))
    recordings = X.metadata.iloc[np.take(first, order)]
    sides = recordings.iloc[:border], recordings.iloc[border:]
    low, high = _name_sides(*(side.sort_index() for side in sides))
    factor = np.median(np.take(sizes, order[border:])) / np.median(
        np.take(sizes, order[:border])
    )
    warn(
        f"Different units? Amplitudes of {list_some(high, 4)} are {factor:.2g} times "
        f"those of {list_some(low, 4)}, which moves entropies by {np.log(factor):.3g}. "
        "Bring all to volts where windows are made (microvolts times 1e-6)."
    )


def _name_sides(*tables):
    """Name recordings by their datasets if no dataset is in both tables."""
    datasets = [set(table["dataset"]) for table in tables]
    by = ["dataset"]
    if set.intersection(*datasets):
        by += ["subject", "session"]
    return [
        dict.fromkeys(join_ids(*row) for row in table[by].itertuples(index=False))
        for table in tables
    ]


def _check_bands(bands):
    """Return the bands as a dict of name to (low, high) in hertz."""
    if bands is None:
        bands = DEFAULT_BANDS
    if not isinstance(bands, Mapping) or not bands:
        raise ValueError(
            "bands must be a dict of names to edges in hertz, such as "
            f"{{'alpha': (8, 14)}}, got {bands!r}."
        )
    checked = {}
    for name, edges in bands.items():
        try:
            low, high = (float(edge) for edge in edges)
        except (TypeError, ValueError):
            raise ValueError(
                f"Band {name!r} must have two edges in hertz, got {edges!r}."
            ) from None
        if not 0 < low < high < np.inf:
            raise ValueError(
                f"Band {name!r} must have 0 < low < high in hertz, got {edges!r}."
            )
        checked[str(name)] = (low, high)
    return checked


def _check_measurable(bands, sfreq, n_times):
    """Raise unless windows of a rate and a length hold every band."""
    for name, (low, high) in bands.items():
        if high >= sfreq / 2:
            raise ValueError(
                f"Band {name!r} ends at {high:g} Hz, but at {sfreq:g} Hz signals only "
                f"reach {sfreq / 2:g} Hz. Choose other bands."
            )
        if n_times * low < sfreq:
            raise ValueError(
                f"Windows of {n_times} samples ({n_times / sfreq:.3g} s) are shorter "
                f"than one cycle of band {name!r}, which begins at {low:g} Hz. Use "
                "longer windows or other bands."
            )


def _source_variances(source, starts, n_times, matrix, bands):
    """Return band variances of a recording's windows, (n_windows, n_channels, n_bands).

    A continuous recording is filtered as a whole, which costs more than all the rest;
    cross-validation asks for the same windows fold after fold, so they are cached.
    """
    if not source.is_continuous:
        windows = source.windows(starts, source.n_times)
        return _window_variances(windows, source.sfreq, bands, matrix)
    compute = partial(_recording_variances, source, starts, n_times, matrix, bands)
    mapping = None if matrix is None else matrix.tobytes()
    key = "band variances", bands, mapping, starts.tobytes(), n_times.tobytes()
    return cache.get(source, key, compute)


def _recording_variances(source, starts, n_times, matrix, bands):
    """Filter a recording a few channels at a time; take variances window by window."""
    signal, bad = source.signal, source.bad_samples()
    n_channels = len(signal) if matrix is None else len(matrix)
    variance = np.empty((len(starts), n_channels, len(bands)))
    pieces = source.pieces()
    piece = np.searchsorted([a for a, _ in pieces], starts, side="right") - 1
    for k in np.unique(piece):
        mine, (a, b) = piece == k, pieces[k]
        variance[mine] = _piece_variances(
            signal[:, a:b], starts[mine] - a, n_times[mine], matrix, bands,
            source.sfreq, None if bad is None else bad[a:b],
        )  # fmt: skip
    return variance


def _piece_variances(signal, starts, n_times, matrix, bands, sfreq, gaps):
    """Filter a piece of signal, in which some samples are gaps, and take variances."""
    n_channels = len(signal) if matrix is None else len(matrix)
    variance = np.empty((len(starts), n_channels, len(bands)))
    # A mirrored tail gives the transform a length that is fast to compute.
    n_fast = next_fast_len(signal.shape[1], real=True)
    gains = [np.sqrt(_power_gain(n_fast, sfreq, *band)) for band in bands]
    step = max(1, _RECORDING_SAMPLES // signal.shape[1])
    for some in gen_batches(n_channels, step):
        if matrix is None:
            x = bridge_gaps(np.array(signal[some], dtype=float), gaps)
        else:
            used = np.flatnonzero(matrix[some].any(axis=0))
            x = np.array(signal[used], dtype=float)
            x = matrix[some][:, used] @ bridge_gaps(x, gaps)
        x = np.pad(x, [(0, 0), (0, n_fast - x.shape[1])], mode="symmetric")
        coef = dct(x - x.mean(axis=1, keepdims=True), norm="ortho", overwrite_x=True)
        for b, gain in enumerate(gains):
            filtered = idct(coef * gain, norm="ortho", overwrite_x=True)
            variance[:, some, b] = _cut_variances(filtered, starts, n_times).T
    return variance


def _cut_variances(x, starts, n_times):
    """Return the variance of each line (n_lines, n_windows) in each of some windows."""
    # reduceat sums from each border to the next; every other sum is that of a window.
    # In the order of time, the sums in between cost no more than one more pass.
    order = np.argsort(starts, kind="stable")
    borders = np.column_stack([starts, starts + n_times])[order].ravel()
    x = np.pad(x, [(0, 0), (0, 1)])  # a window may end where the signal does
    means, squares = (
        np.add.reduceat(line, borders, axis=1)[:, ::2] / n_times[order]
        for line in (x, x**2)
    )
    variances = np.empty(means.shape)
    variances[:, order] = np.maximum(squares - means**2, 0.0)
    return variances


def _window_variances(X, sfreq, bands, matrix=None):
    """Filter windows each by itself; return (n_windows, n_channels, n_bands)."""
    n_times = X.shape[2]
    n_channels = X.shape[1] if matrix is None else len(matrix)
    gains = [_power_gain(n_times, sfreq, *band) / n_times for band in bands]
    gains = np.stack(gains, axis=1)  # (n_times, n_bands)
    variance = np.empty((len(X), n_channels, len(bands)))
    step = max(1, _BLOCK_SAMPLES // (n_channels * n_times))
    for some in gen_batches(len(X), step):
        x = np.asarray(X[some], dtype=float)
        if matrix is not None:
            x = mix_channels(matrix, x)
        x = x - x.mean(axis=2, keepdims=True)
        power = dct(x, norm="ortho", overwrite_x=True) ** 2
        variance[some] = power @ gains
    return variance


def _power_gain(n_times, sfreq, low, high):
    """Return the filter's power gain for each coefficient of a cosine transform."""
    freqs = np.arange(1, n_times) * sfreq / (2 * n_times)
    detuning = (freqs**2 - low * high) / (freqs * (high - low))
    return np.concatenate([[0.0], 1 / (1 + detuning ** (2 * _FILTER_ORDER))])
