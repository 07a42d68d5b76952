"""Broken recordings are named; gains, flat channels and odd montages do not matter."""

import warnings

import numpy as np
import pytest
from settings import tiny_encoder

from sklearn_mdjpt import (
    DifferentialEntropy,
    EEGWindows,
    Recording,
    WindowAlignment,
    WindowCovariances,
    concat_windows,
    covariance_distance,
)
from sklearn_mdjpt.baselines import BraindecodeClassifier
from sklearn_mdjpt.channels import CANONICAL_CHANNELS, template_positions

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
    match = r"1 of 24 windows hold NaN or inf: windows 10 of lab/1/1\. Channels: C3\."
    for estimator in (tiny_encoder(), DifferentialEntropy(), WindowCovariances()):
        with pytest.raises(ValueError, match=match):
            estimator.fit(X)
    fitted = tiny_encoder().fit(cut(make_recordings()))
    with pytest.raises(ValueError, match=match):
        fitted.transform(X)


def test_channels_are_named_that_are_not_finite():
    x = np.random.default_rng(0).standard_normal((5, 3, 250))
    x[1, 0, 3] = x[4, 2, 7] = np.inf
    with pytest.raises(ValueError, match=r"windows 1, 4\. Channels, .* from 0: 0, 2\."):
        DifferentialEntropy(sfreq=250).fit(x)
    X = EEGWindows.from_arrays(x, ch_names=["Fz", "Cz", "Pz"], sfreq=250)
    with pytest.raises(ValueError, match=r"windows 1, 4\. Channels: Fz, Pz\. Leave"):
        DifferentialEntropy().fit(X)


def take_part_of(X):
    """What each way to use windows makes of the channels Cz, C4 and Pz."""
    subject = tiny_encoder(max_epochs=0)
    alone = tiny_encoder(max_epochs=0, subject_norm="train")
    plain = tiny_encoder(max_epochs=0, window_norm=None)
    network = BraindecodeClassifier(
        channels=["Pz", "Cz"], sfreq=125, max_epochs=1, batch_size=8, random_state=0
    )
    riemann = WindowAlignment("riemann", "mean", channels="canonical")
    other = np.random.default_rng(9).standard_normal((8, 3, 250))
    other = EEGWindows.from_arrays(
        other, ch_names=["Pz", "Cz", "C4"], sfreq=250, dataset="other", subject=1
    )
    return {
        "encoder": subject.fit_transform(X),
        "encoder, train": alone.fit_transform(X),
        "encoder, window_norm=None": plain.fit_transform(X),
        "to_canonical": X.to_canonical(),
        "to_canonical, same rate": X.to_canonical(250.0),
        "entropy": DifferentialEntropy(channels="canonical").fit_transform(X),
        "covariances": WindowCovariances(channels="canonical").fit_transform(X),
        "alignment": riemann.fit(X).transform(X).to_canonical(),
        "aligned": subject.fit_transform(WindowAlignment().fit_transform(
            concat_windows([X, other]))),
        "network": network.fit(X, X.y).predict_proba(X),
        "distance": covariance_distance(concat_windows([X, other])).pairs,
    }  # fmt: skip


@pytest.mark.parametrize("continuous", [True, False])
def test_channels_that_are_not_used_change_nothing(continuous):
    """A loose ECG or a reference of NaN stopped what does not look at it."""
    cap = ("Cz", "ECG", "C4", "A1", "Pz")
    results = []
    for values in (None, (np.nan, np.inf), (7.0, 7.0)):

        def change(signal, values=values):
            for channel, value in zip((1, 3), values or (), strict=False):
                signal[channel, :: 1 if value == 7.0 else 3] = value
            return signal

        X = cut(changed(make_recordings(cap), None, change))
        if not continuous:
            X = EEGWindows.from_arrays(
                np.stack([X[k] for k in range(len(X))]), ch_names=cap, sfreq=250,
                y=X.y, **X.metadata[["dataset", "subject", "trial", "onset"]],
                stimulus=X.metadata["stimulus"],
            )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            # Three electrodes of five are few, and they are said to be.
            warnings.filterwarnings("ignore", "Only|The mean has|Networks|Domains")
            results.append(take_part_of(X))
    for result in results[1:]:
        for name, expected in results[0].items():
            np.testing.assert_array_equal(result[name], expected, err_msg=name)


def test_constant_windows_are_named_with_their_recording():
    def stop(signal):
        signal[:, 1250:1500] = signal[:, 1250:1251]
        return signal

    X = cut(changed(make_recordings(), 2, stop))
    with pytest.raises(ValueError, match="constant in every channel: windows 21 of l"):
        tiny_encoder().fit(X)


def test_arrays_without_subjects_are_named_by_window():
    X = np.random.default_rng(0).standard_normal((6, 3, 250))
    X[4, 1, 9] = np.nan
    with pytest.raises(ValueError, match=r"NaN or inf: windows 4\. Channels: Cz\."):
        tiny_encoder(ch_names=["Fz", "Cz", "Pz"], sfreq=250).fit(
            X, subjects=[0, 0, 0, 1, 1, 1], stimuli=[0, 1, 2] * 2
        )


@pytest.mark.parametrize("norm", ["subject", "train", None])
@pytest.mark.parametrize("value", [1e20, 1e38, 1e300])
def test_a_broken_recording_is_not_averaged_in(norm, value):
    """Finite, but far beyond what float32 can compute with."""
    sound = make_recordings()
    broken = cut(changed(sound, 1, spoil(value)))
    encoder = tiny_encoder(subject_norm=norm).fit(cut(sound))
    expected = encoder.transform(cut(sound))
    with np.errstate(over="ignore"):
        with pytest.raises(
            ValueError, match=r"not finite: windows .*10.* of lab/1/1\."
        ):
            encoder.transform(broken)
        # In fit, where it may be met in training first.
        with pytest.raises((ValueError, FloatingPointError), match="1"):
            tiny_encoder(subject_norm=norm).fit(broken)
        with pytest.raises(
            ValueError, match=r"not finite: windows .*10.* of lab/1/1\."
        ):
            tiny_encoder(max_epochs=0, subject_norm=norm).fit(broken)
    np.testing.assert_array_equal(encoder.transform(cut(sound)), expected)


# Gains ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sfreq", [125.0, 500.0])
@pytest.mark.parametrize("gain", [1e-9, 1e9])
def test_gains_of_recordings_do_not_matter(gain, sfreq, dtype):
    sound = make_recordings(sfreq=sfreq, dtype=dtype)
    encoder = tiny_encoder()
    expected = encoder.fit_transform(cut(sound))
    for which in (None, 1):
        X = cut(changed(sound, which, lambda s: (s * gain).astype(s.dtype)))
        np.testing.assert_allclose(encoder.fit_transform(X), expected, atol=2e-2)


@pytest.mark.parametrize("gain", [1e-9, 1e9])
@pytest.mark.parametrize("norm", ["subject", "train"])
def test_gains_of_arrays_do_not_matter(gain, norm):
    rng = np.random.default_rng(0)
    X = 1e-5 * rng.standard_normal((12, 4, 250)) + 4e-3 * rng.standard_normal((4, 1))
    encoder = tiny_encoder(
        subject_norm=norm, ch_names=["Fz", "Cz", "Pz", "Oz"], sfreq=250
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
    Z = tiny_encoder().fit_transform(X)
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
        Z = tiny_encoder().fit_transform(X)
    assert np.isfinite(Z).all() and Z.std() > 0.1


def test_a_montage_of_one_channel():
    Z = tiny_encoder().fit_transform(cut(make_recordings(("Cz",))))
    assert np.isfinite(Z).all() and Z.std() > 0.1


def test_three_hundred_channels():
    # Without the old names of sites that are there under the new ones as well.
    old = ("T3", "T4", "T5", "T6", "A1", "A2")
    names = [name for name in template_positions() if name not in old][:300]
    Z = tiny_encoder().fit_transform(cut(make_recordings(names, sfreq=125.0)))
    assert np.isfinite(Z).all() and Z.std() > 0.1
    mostly_unknown = [*CAP, *(f"E{i}" for i in range(292))]
    recordings = make_recordings(mostly_unknown, sfreq=125.0)
    known = [
        Recording(r.signal[:8], CAP, r.sfreq, r.dataset, r.subject, "1", r.trials)
        for r in recordings
    ]
    np.testing.assert_array_equal(
        tiny_encoder().fit_transform(cut(recordings)),
        tiny_encoder().fit_transform(cut(known)),
    )


@pytest.mark.parametrize("dtype", [np.int16, np.float16])
def test_small_types_of_numbers(dtype):
    X = cut(
        changed(make_recordings(), None, lambda s: (s * 1e5).round().astype(dtype))
    )  # fmt: skip
    Z = tiny_encoder().fit_transform(X)
    assert np.isfinite(Z).all() and Z.std() > 0.1


# Padding and flat channels in the amplitude ------------------------------------------


def amplitude(signal, sfreq=125.0):
    center, scale = Recording(signal, CAP, sfreq).robust_statistics(range(8))
    return [*center, scale]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize("value", [0, 3])
@pytest.mark.parametrize("where", ["before", "between", "after"])
def test_padding_leaves_the_amplitude_alone(where, value, dtype):
    """Once the mean of all is removed, padding is far from 0, and so is the EEG."""
    signal = 1e6 * make_recordings(n_subjects=1, sfreq=125.0)[0].signal
    signal = signal.astype(dtype)
    padding = np.full((8, 9000), value, dtype)
    at = {"before": 0, "between": 400, "after": 1000}[where]
    padded = np.concatenate([signal[:, :at], padding, signal[:, at:]], axis=1)
    expected = amplitude(signal)
    np.testing.assert_allclose(amplitude(padded), expected, rtol=1e-9)
    # Chunks, for recordings that are long.
    recording = Recording(padded, CAP, 125.0)
    recording._chunks = lambda: [
        (slice(None), slice(i, i + 1000)) for i in range(0, padded.shape[1], 1000)
    ]
    center, scale = recording.robust_statistics(range(8))
    np.testing.assert_allclose([*center, scale], expected, rtol=1e-9)


def test_padding_of_windows_leaves_the_amplitude_alone():
    signal = 1e6 * make_recordings(n_subjects=1, sfreq=125.0)[0].signal
    windows = signal.reshape(8, 4, 250).swapaxes(0, 1)
    padded = np.concatenate([windows, np.zeros((4, 8, 300))], axis=2)

    def of(X):
        X = EEGWindows.from_arrays(X, ch_names=CAP, sfreq=125.0)
        center, scale = X.recordings[0].robust_statistics(range(8))
        return [*center, scale]

    np.testing.assert_allclose(of(padded), of(windows), rtol=1e-9)
    np.testing.assert_allclose(of(padded[::-1]), of(padded), rtol=1e-9)
    # Borders of windows are none of time: what is short in each stays, in any order.
    short = windows.copy()
    short[::2, :, -100:] = short[1::2, :, :100] = 0.0
    np.testing.assert_allclose(of(short[[0, 2, 1, 3]]), of(short), rtol=1e-9)


def test_short_standstills_are_no_padding():
    """A single channel in coarse steps stays the same for some samples by chance."""
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 3, (1, 20000)).astype(float)
    x[0, 500:600] = x[0, 500]
    center, scale = Recording(x, ["Cz"], 125.0).robust_statistics([0])
    np.testing.assert_allclose([center[0], scale], [x.mean(), x.std()], rtol=1e-12)


def test_a_recording_of_padding_alone_has_no_amplitude():
    found = amplitude(np.full((8, 1000), 0.1))
    np.testing.assert_allclose(found, [0.1] * 8 + [1.0], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_flat_channels_at_an_offset_are_as_flat_as_those_at_zero(dtype):
    """What rounding left of them in float64 was the amplitude: 4e-19 instead of 1e-6.

    There were more of them than of live channels.
    """
    signal = make_recordings(n_subjects=1, sfreq=125.0, dtype=dtype)[0].signal
    signal[1:] = 0.0
    expected = amplitude(signal)
    signal[1:] = 4e-3 * np.random.default_rng(0).standard_normal((7, 1))
    found = amplitude(signal)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-9)
    shift = found[0] - expected[0]
    np.testing.assert_allclose(found[1:-1], signal[1:, 0] + shift, rtol=1e-6)
    np.testing.assert_allclose(found[-1], expected[-1], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Flat channels")
@pytest.mark.parametrize("gain", [1e-9, 1.0, 1e9])
def test_one_live_channel_in_windows_that_stand_alone(gain):
    """They were left at the scale that they came with."""
    signal = make_recordings(n_subjects=1, sfreq=125.0)[0].signal
    signal[1:] = signal[1:, :1]
    X = gain * signal.reshape(8, 4, 250).swapaxes(0, 1)
    encoder = tiny_encoder(
        max_epochs=0, subject_norm="train", ch_names=CAP, sfreq=125.0
    ).fit(X)
    encode, seen = encoder.module_.encode_channels, []
    encoder.module_.encode_channels = lambda x: seen.append(x) or encode(x)
    encoder.transform(X)
    (normalised,) = seen
    live = normalised[:, CANONICAL_CHANNELS.index("FP1")].numpy()
    # One of eight channels has all of the variance.
    np.testing.assert_allclose(live.std(axis=1), np.sqrt(8), rtol=1e-3)


# Finite numbers that cannot be computed with -----------------------------------------


def test_variances_that_overflow_are_not_averaged_in():
    """An infinite variance makes all z-scores 0, which is finite."""
    broken = cut(changed(make_recordings(), 1, spoil(1e15)))
    encoder = tiny_encoder(max_epochs=0, subject_norm="train")
    match = r"too large to compute with, or not finite: windows 10 of lab/1/1\."
    with pytest.raises(ValueError, match=match):
        encoder.fit(broken)


def test_features_that_overflow_are_named():
    encoder = tiny_encoder(max_epochs=0, subject_norm=None, feature="de")
    encoder.fit(cut(make_recordings()))
    # Large weights, with which windows of the usual size still have features.
    encoder.module_.dynamics.weight.data *= 1e10
    assert np.isfinite(encoder.transform(cut(make_recordings()))).all()
    # All windows of the recording: its mean is far off.
    match = r"features of 8 windows are not finite: windows 8, .*15 of lab/1/1\."
    with pytest.raises(ValueError, match=match):
        encoder.transform(cut(changed(make_recordings(), 1, spoil(1e13))))


def test_a_montage_of_one_unknown_channel_with_a_position():
    recordings = [
        Recording(
            r.signal, ["E7"], r.sfreq, "lab", r.subject, "1", r.trials,
            positions=[[0.0, 0.0, 0.12]],
        )
        for r in make_recordings(("Cz",))
    ]  # fmt: skip
    with pytest.warns(UserWarning, match="mapping by electrode position with E7"):
        Z = tiny_encoder().fit_transform(cut(recordings))
    expected = tiny_encoder().fit_transform(cut(make_recordings(("Cz",))))
    np.testing.assert_allclose(Z, expected, atol=1e-3)


# Artefacts ---------------------------------------------------------------------------


def louder(factor):
    """Multiply the third window of a recording, about the channels' offsets."""

    def change(signal):
        offset = signal.mean(axis=1, keepdims=True)
        signal[:, 500:750] = offset + factor * (signal[:, 500:750] - offset)
        return signal

    return change


@pytest.mark.parametrize("factor", [10, 100])
def test_an_artefact_is_named(factor):
    encoder = tiny_encoder().fit(cut(make_recordings()))
    spoiled = cut(changed(make_recordings(), 1, louder(factor)))
    match = r"^Artefacts\? windows 10 of lab/1/1 differ more from the rest"
    with pytest.warns(UserWarning, match=match) as caught:
        Z = encoder.transform(spoiled)
    assert len(caught) == 1
    # What it warns of: the others of this subject are all alike, those of others not.
    spread = Z[8:16][np.arange(8) != 2].std(axis=0).mean() / Z[:8].std(axis=0).mean()
    assert spread < 0.5


def test_windows_without_artefacts_are_not_named():
    encoder = tiny_encoder()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.fit(cut(make_recordings()))
        encoder.transform(cut(make_recordings())[:1])
        encoder.transform(cut(make_recordings())[:2])
        encoder.transform(cut(changed(make_recordings(), None, louder(1.5))))
