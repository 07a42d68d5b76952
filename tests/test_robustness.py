"""Broken recordings are named; gains, flat channels and odd montages do not matter."""

import mne
import numpy as np
import pytest

from sklearn_mdjpt import (
    DifferentialEntropy,
    EEGWindows,
    MDJPTEncoder,
    Recording,
    WindowCovariances,
)

TINY = {
    "hidden_dim": 16,
    "latent_dim": 2,
    "depth": 1,
    "n_heads": 2,
    "n_filters": 1,
    "max_epochs": 1,
    "batches_per_epoch": 2,
    "random_state": 0,
}
CAP = ("Fp1", "F3", "C3", "Cz", "C4", "Pz", "O1", "O2")


def make_recordings(ch_names=CAP, *, n_subjects=3, sfreq=250.0, dtype=np.float64):
    """Recordings of four trials of 2 s, 10 microvolts, each channel with an offset."""
    recordings = []
    for k in range(n_subjects):
        rng = np.random.default_rng(k)
        signal = rng.standard_normal((len(ch_names), int(8 * sfreq)))
        signal = 1e-5 * signal + 4e-3 * rng.standard_normal((len(ch_names), 1))
        trials = [(2 * i, 2 * i + 2, f"clip{i}", "ab"[i % 2]) for i in range(4)]
        recordings.append(
            Recording(signal.astype(dtype), ch_names, sfreq, "lab", k, "1", trials)
        )
    return recordings


def changed(recordings, which, change):
    """Recordings with the signal of one, or of all (None), changed by a function."""
    return [
        Recording(
            change(r.signal.copy()) if which in (None, k) else r.signal, r.ch_names,
            r.sfreq, r.dataset, r.subject, r.session, r.trials,
        )
        for k, r in enumerate(recordings)
    ]  # fmt: skip


def cut(recordings):
    return EEGWindows.from_recordings(recordings, window_seconds=1, stride_seconds=1)


# Broken recordings ---------------------------------------------------------------


def spoil(value, where=(2, 700)):
    def change(signal):
        signal[where] = value
        return signal

    return change


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_recordings_that_are_not_finite_are_named(value):
    X = cut(changed(make_recordings(), 1, spoil(value)))
    match = r"1 of 24 windows hold NaN or inf: windows 10 of lab/1/1\."
    for estimator in (MDJPTEncoder(**TINY), DifferentialEntropy(), WindowCovariances()):
        with pytest.raises(ValueError, match=match):
            estimator.fit(X)
    fitted = MDJPTEncoder(**TINY).fit(cut(make_recordings()))
    with pytest.raises(ValueError, match=match):
        fitted.transform(X)


def test_constant_windows_are_named_with_their_recording():
    def stop(signal):
        signal[:, 1250:1500] = signal[:, 1250:1251]
        return signal

    X = cut(changed(make_recordings(), 2, stop))
    with pytest.raises(ValueError, match="constant in every channel: windows 21 of l"):
        MDJPTEncoder(**TINY).fit(X)


def test_arrays_without_subjects_are_named_by_window():
    X = np.random.default_rng(0).standard_normal((6, 3, 250))
    X[4, 1, 9] = np.nan
    with pytest.raises(ValueError, match=r"NaN or inf: windows 4\."):
        MDJPTEncoder(**TINY, ch_names=["Fz", "Cz", "Pz"], sfreq=250).fit(
            X, subjects=[0, 0, 0, 1, 1, 1], stimuli=[0, 1, 2] * 2
        )


@pytest.mark.parametrize("norm", ["subject", "train", None])
@pytest.mark.parametrize("value", [1e20, 1e38, 1e300])
def test_a_broken_recording_is_not_averaged_in(norm, value):
    """Finite, but far beyond what float32 can compute with."""
    sound = make_recordings()
    broken = cut(changed(sound, 1, spoil(value)))
    encoder = MDJPTEncoder(**TINY, subject_norm=norm).fit(cut(sound))
    expected = encoder.transform(cut(sound))
    with np.errstate(over="ignore"):
        with pytest.raises(
            ValueError, match=r"not finite: windows .*10.* of lab/1/1\."
        ):
            encoder.transform(broken)
        # In fit, where it may be met in training first.
        with pytest.raises((ValueError, FloatingPointError), match="1"):
            MDJPTEncoder(**TINY, subject_norm=norm).fit(broken)
        with pytest.raises(
            ValueError, match=r"not finite: windows .*10.* of lab/1/1\."
        ):
            MDJPTEncoder(**TINY | {"max_epochs": 0}, subject_norm=norm).fit(broken)
    np.testing.assert_array_equal(encoder.transform(cut(sound)), expected)


# Gains ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sfreq", [125.0, 500.0])
@pytest.mark.parametrize("gain", [1e-9, 1e9])
def test_gains_of_recordings_do_not_matter(gain, sfreq, dtype):
    sound = make_recordings(sfreq=sfreq, dtype=dtype)
    encoder = MDJPTEncoder(**TINY)
    expected = encoder.fit_transform(cut(sound))
    for which in (None, 1):
        X = cut(changed(sound, which, lambda s: (s * gain).astype(s.dtype)))
        np.testing.assert_allclose(encoder.fit_transform(X), expected, atol=2e-2)


@pytest.mark.parametrize("gain", [1e-9, 1e9])
@pytest.mark.parametrize("norm", ["subject", "train"])
def test_gains_of_arrays_do_not_matter(gain, norm):
    rng = np.random.default_rng(0)
    X = 1e-5 * rng.standard_normal((12, 4, 250)) + 4e-3 * rng.standard_normal((4, 1))
    encoder = MDJPTEncoder(
        **TINY, subject_norm=norm, ch_names=["Fz", "Cz", "Pz", "Oz"], sfreq=250
    )
    who = {"subjects": np.repeat([0, 1], 6), "stimuli": np.tile(range(6), 2)}
    expected = encoder.fit_transform(X, **who)
    found = encoder.fit_transform(gain * X, **who)
    np.testing.assert_allclose(found, expected, atol=2e-2)


@pytest.mark.parametrize("gain", [1e-9, 1e6])
def test_a_channel_with_a_gain_of_its_own(gain):
    def amplify(signal):
        signal[3] *= gain
        return signal

    X = cut(changed(make_recordings(), None, amplify))
    Z = MDJPTEncoder(**TINY).fit_transform(X)
    assert np.isfinite(Z).all() and Z.std() > 0.1


@pytest.mark.parametrize("gain", [1e-9, 1e9])
def test_gains_in_classical_features(gain):
    sound = make_recordings()
    X = cut(changed(sound, None, lambda signal: signal * gain))
    if gain > 1:
        entropy = DifferentialEntropy().fit_transform(X)
        expected = DifferentialEntropy().fit_transform(cut(sound)) + np.log(gain)
        np.testing.assert_allclose(entropy, expected, atol=1e-3)
    else:
        # An entropy in volts has a floor, and says so.
        with pytest.warns(UserWarning, match="Next to no signal .* set to 1e-20 V"):
            assert np.isfinite(DifferentialEntropy().fit_transform(X)).all()
    covariances = WindowCovariances("oas").fit_transform(X)
    expected = WindowCovariances("oas").fit_transform(cut(sound)) * gain**2
    np.testing.assert_allclose(covariances, expected, rtol=1e-3, atol=0)


# Flat channels, montages -----------------------------------------------------------


def test_one_live_channel():
    def silence(signal):
        signal[np.arange(len(signal)) != 3] = 0.0
        return signal

    X = cut(changed(make_recordings(), None, silence))
    with pytest.warns(UserWarning, match="Flat channels"):
        Z = MDJPTEncoder(**TINY).fit_transform(X)
    assert np.isfinite(Z).all() and Z.std() > 0.1


def test_a_montage_of_one_channel():
    Z = MDJPTEncoder(**TINY).fit_transform(cut(make_recordings(("Cz",))))
    assert np.isfinite(Z).all() and Z.std() > 0.1


def test_three_hundred_channels():
    names = mne.channels.make_standard_montage("standard_1005").ch_names
    # Old names of sites that are there under the new ones as well.
    names = [n for n in names if n not in ("T3", "T4", "T5", "T6", "A1", "A2")][:300]
    Z = MDJPTEncoder(**TINY).fit_transform(cut(make_recordings(names, sfreq=125.0)))
    assert np.isfinite(Z).all() and Z.std() > 0.1
    mostly_unknown = [*CAP, *(f"E{i}" for i in range(292))]
    recordings = make_recordings(mostly_unknown, sfreq=125.0)
    known = [
        Recording(r.signal[:8], CAP, r.sfreq, r.dataset, r.subject, "1", r.trials)
        for r in recordings
    ]
    np.testing.assert_array_equal(
        MDJPTEncoder(**TINY).fit_transform(cut(recordings)),
        MDJPTEncoder(**TINY).fit_transform(cut(known)),
    )


@pytest.mark.parametrize("dtype", [np.int16, np.float16])
def test_small_types_of_numbers(dtype):
    X = cut(
        changed(make_recordings(), None, lambda s: (s * 1e5).round().astype(dtype))
    )  # fmt: skip
    Z = MDJPTEncoder(**TINY).fit_transform(X)
    assert np.isfinite(Z).all() and Z.std() > 0.1
