"""What goes wrong in real recordings, put into simulated ones.

Everything here is drawn apart from the signals, and each kind of fault apart from the
others: what no fault touches stays the same, sample by sample.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from .._validation import check_number
from ..windows._recording import Recording

KINDS = (
    "joints",
    "bad_spans",
    "dead_channels",
    "dropped_windows",
    "missing_ratings",
    "old_channel_names",
    "mixed_units",
)
"""The kinds of faults. Their order seeds their generators: new ones go last."""

RATES = {
    "light": dict(zip(KINDS, (0.3, 0.5, 0.02, 0.02, 0.05, 0.25, 0.1), strict=True)),
    "heavy": dict(zip(KINDS, (1.0, 2.0, 0.1, 0.2, 0.3, 0.5, 0.5), strict=True)),
}
"""Rate of each kind: a number per minute, or a share of what may be hit."""

_PER_MINUTE = {"joints", "bad_spans"}
# Joints at this rate leave half of a recording or more.
_MAX_PER_MINUTE = 10.0

_OLD_NAMES = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6"}
_CUT_SECONDS = (1, 2, 3)  # whole, so that windows on either side keep one grid
_LEVEL = 20e-6  # volts; SD of a channel's level after a joint
_DEAD_NOISE = 20e-6  # volts RMS, white: an electrode that hangs in the air
_SPAN_SECONDS = (0.5, 3.0)
_SPAN_CONTENTS = ("pop", "movement", "saturation", "lost")
_POP = 2e-3  # volts; falls by a factor of e in
_POP_SECONDS = 0.3
_MOVEMENT = 1e-3  # volts
_MOVEMENT_BAND = (0.5, 3.0)  # hertz
_RAIL = 5e-3  # volts; where the amplifier ends


def check_artifacts(artifacts):
    """Return the rate of each kind (0 where not named), or None for None."""
    if artifacts is None:
        return None
    if isinstance(artifacts, str):
        artifacts = RATES.get(artifacts, artifacts)
    if not isinstance(artifacts, Mapping) or not set(artifacts) <= set(KINDS):
        raise ValueError(
            "artifacts must be None, 'light', 'heavy' or a dict of rates with the keys "
            f"{', '.join(KINDS)}; got {artifacts!r}."
        )
    rates = {kind: artifacts.get(kind, 0.0) for kind in KINDS}
    for kind, rate in rates.items():
        most = _MAX_PER_MINUTE if kind in _PER_MINUTE else 1  # else a share
        check_number(rate, f"artifacts[{kind!r}]", least=0, most=most)
    return {kind: float(rate) for kind, rate in rates.items()}


class Artifacts:
    """Puts faults into recordings and into the windows cut from them.

    Parameters
    ----------
    rates : dict of str to float
        As `check_artifacts` returns them.
    make_rng : callable
        Takes a recording's key (two ints) and the number of a kind; returns a
        generator of its own for them.
    """

    def __init__(self, rates, make_rng):
        self._rates = rates
        self._make_rng = make_rng
        # By id of a recording: its key, the samples cut out before each of its own,
        # and by trial those cut out before the trial.
        self._taken = {}

    def spoil(self, recording, key, valence):
        """Return a recording with faults.

        Parameters
        ----------
        recording : Recording
            One without; it is left as it is.
        key : tuple of int
            Which one it is.
        valence : array-like of shape (n_trials,)
            Of the trials' emotions, -1 to 1.

        Returns
        -------
        Recording
            With its cuts and bad spans, and further columns of its trials.
        """
        rngs = {kind: self._make_rng(*key, k) for k, kind in enumerate(KINDS)}
        draws = {kind: (rngs[kind], self._rates[kind]) for kind in KINDS}
        sfreq, signal = recording.sfreq, recording.signal.copy()
        bad = _spoil_spans(*draws["bad_spans"], signal, sfreq)
        kept = _join(*draws["joints"], signal, sfreq)
        dead = _kill_channels(*draws["dead_channels"], signal)
        in_microvolts = _happens(*draws["mixed_units"])
        if in_microvolts:
            signal *= np.float32(1e6)
        ch_names = recording.ch_names
        if _happens(*draws["old_channel_names"]):
            ch_names = [_OLD_NAMES.get(n.upper(), n.upper()) for n in ch_names]

        trials = recording.trials.assign(
            valence=_rate_valence(*draws["missing_ratings"], valence),
            dead_channels=", ".join(ch_names[c] for c in dead),
            unit="uV" if in_microvolts else "V",
        )
        n_cut = np.concatenate([[0], np.cumsum(~kept)])
        cut_before = {}
        for border in ("start", "stop"):
            place = np.round(trials[border].to_numpy() * sfreq).astype(int)
            cut_before[border] = n_cut[np.minimum(place, len(kept))]
            times = trials[border] - cut_before[border] / sfreq
            # Borders that were cut out may be half a sample off.
            trials[border] = times.clip(0, np.count_nonzero(kept) / sfreq)
        is_left = np.round((trials["stop"] - trials["start"]) * sfreq) > 0
        spoilt = Recording(
            signal.compress(kept, axis=1),  # in C order, unlike signal[:, kept]
            ch_names,
            sfreq,
            dataset=recording.dataset,
            subject=recording.subject,
            session=recording.session,
            trials=trials[is_left],
            bad_spans=_runs(bad[kept]) / sfreq,
            cuts=_joints(kept) / sfreq,
        )
        by_trial = dict(zip(trials["trial"], cut_before["start"], strict=True))
        self._taken[id(spoilt)] = key, n_cut[:-1][kept], by_trial
        return spoilt

    def drop(self, X):
        """Return the windows that are left, with a column of what each trial lost."""
        lost = np.zeros(len(X))
        is_left = np.ones(len(X), bool)
        trials = X.metadata["trial"].to_numpy()
        rate = self._rates["dropped_windows"]
        for recording, rows, starts, _ in X.blocks():
            key, cut_before, by_trial = self._taken[id(recording)]
            n_lost = cut_before[starts] - [by_trial[t] for t in trials[rows]]
            lost[rows] = n_lost / recording.sfreq
            rng = self._make_rng(*key, KINDS.index("dropped_windows"))
            is_left[rows] = rng.random(len(rows)) >= rate
        if not is_left.any():
            raise ValueError(
                f"artifacts['dropped_windows']={rate:g} leaves none of {len(X)} "
                "windows; use a smaller share."
            )
        return X._with_column("lost_seconds", lost)[is_left]


def _happens(rng, rate):
    return rng.random() < rate


def _draw_count(rng, expected):
    """Round up or down at random: sparse faults are as frequent as they should be."""
    return int(expected + rng.random())


def _spoil_spans(rng, rate, signal, sfreq):
    """Spoil stretches of a signal, in place; return which samples are in one."""
    n_times = signal.shape[1]
    bad = np.zeros(n_times, bool)
    for _ in range(_draw_count(rng, rate * n_times / sfreq / 60)):
        start = rng.integers(n_times)
        span = slice(start, start + round(rng.uniform(*_SPAN_SECONDS) * sfreq))
        _spoil(rng, rng.choice(_SPAN_CONTENTS), signal[:, span], sfreq)
        bad[span] = True
    return bad


def _spoil(rng, content, x, sfreq):
    """Spoil a stretch (n_channels, n_times), in place."""
    n_channels, n_times = x.shape
    times = np.arange(n_times) / sfreq
    strength = rng.standard_normal((n_channels, 1))
    if content == "pop":
        hit = rng.permutation(n_channels)[: 1 + n_channels // 8]
        x[hit] += _POP * np.exp(-times / _POP_SECONDS)
    elif content == "movement":
        phase = 2 * np.pi * rng.uniform(*_MOVEMENT_BAND) * times
        x += _MOVEMENT * strength * np.sin(phase)
    elif content == "saturation":
        x[:] = _RAIL * np.sign(strength)
    else:
        x[:] = np.nan


def _join(rng, rate, signal, sfreq):
    """Shift levels after joints, in place; return which samples are not cut out."""
    n_channels, n_times = signal.shape
    kept = np.ones(n_times, bool)
    levels = {}
    for _ in range(_draw_count(rng, rate * n_times / sfreq / 60)):
        # Of what is left, so that stretches that meet are whole seconds together.
        left = np.flatnonzero(kept)[rng.integers(np.count_nonzero(kept)) :]
        kept[left[: round(rng.choice(_CUT_SECONDS) * sfreq)]] = False
        levels[left[0]] = _LEVEL * rng.standard_normal((n_channels, 1))
    for start, stop in itertools.pairwise([*sorted(levels), n_times]):
        signal[:, start:stop] += levels[start]
    return kept


def _joints(kept):
    """Return where, among the samples that are kept, some before were cut out."""
    return np.flatnonzero(np.diff(np.flatnonzero(kept)) > 1) + 1


def _runs(mask):
    """Return first and last + 1 of each run of True, (n_runs, 2)."""
    return np.flatnonzero(np.diff(np.pad(mask, 1).astype(np.int8))).reshape(-1, 2)


def _kill_channels(rng, rate, signal):
    """Make channels flat or noise, in place; return which ones."""
    n_channels, n_times = signal.shape
    # One stays alive at any rate.
    count = min(_draw_count(rng, rate * n_channels), n_channels - 1)
    dead = rng.permutation(n_channels)[:count]
    for channel in dead:
        is_flat = rng.random() < 0.5
        noise = _DEAD_NOISE * rng.standard_normal(n_times, dtype=np.float32)
        signal[channel] = 0.0 if is_flat else noise
    return sorted(dead)


def _rate_valence(rng, rate, valence):
    """Return ratings from 1 to 9, NaN where missing."""
    ratings = 5 + 3 * np.asarray(valence) + rng.standard_normal(len(valence))
    missing = rng.random(len(valence)) < rate
    return np.where(missing, np.nan, np.clip(ratings, 1, 9).round(1))
