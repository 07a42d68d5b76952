import re
import warnings

import numpy as np
import pytest
from scipy.fft import dct, idct, irfft, rfftfreq
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import DifferentialEntropy, EEGWindows, Recording, concat_windows
from sklearn_mdjpt.features import DEFAULT_BANDS

BANDS = {"alpha": (8.0, 14.0), "beta": (14.0, 30.0)}
NOISE_BANDWIDTH = (np.pi / 8) / np.sin(np.pi / 8)  # of the filter, over its width


def entropy(variance):
    return 0.5 * np.log(2 * np.pi * np.e * np.asarray(variance))


def make_recording(
    n_channels=3, seconds=60.0, sfreq=200.0, ch_names=None, seed=0, **more
):
    """Return white noise of 10 microvolts as one recording."""
    rng = np.random.default_rng(seed)
    signal = 1e-5 * rng.standard_normal((n_channels, round(seconds * sfreq)))
    ch_names = ch_names or ["Fz", "Cz", "Pz", "Oz"][:n_channels]
    return Recording(signal, ch_names, sfreq, dataset="demo", **more)


def make_windows(n_subjects=3, **more):
    """Return labelled windows of several subjects, cut from recordings."""
    trials = [
        {"start": 0, "stop": 15, "label": "a"},
        {"start": 15, "stop": 30, "label": "b"},
    ]
    return EEGWindows.from_recordings(
        [
            make_recording(subject=s, seed=s, seconds=30.0, trials=trials, **more)
            for s in range(n_subjects)
        ]
    )


def pink_noise(n_channels, n_times, sfreq, seed=0):
    freqs = rfftfreq(n_times, 1 / sfreq)
    rng = np.random.default_rng(seed)
    shape = (n_channels, len(freqs))
    spectrum = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    spectrum /= np.sqrt(0.5 + freqs)
    x = irfft(spectrum, n_times)
    return 1e-5 * x / x.std()


@pytest.mark.parametrize("continuous", [True, False])
def test_sine_has_half_its_squared_amplitude_as_variance(continuous):
    times = np.arange(round(40 * 250.0)) / 250.0
    amplitude = 20e-6
    signal = amplitude * np.sin(2 * np.pi * 10.5 * times)[None]
    X = EEGWindows.from_recordings(Recording(signal, ["Oz"], 250.0))
    if not continuous:
        X = EEGWindows.from_arrays(np.asarray(X), ch_names=["Oz"], sfreq=250.0)
    features = DifferentialEntropy().fit_transform(X)
    alpha = features[:, list(DEFAULT_BANDS).index("alpha")]
    np.testing.assert_allclose(alpha, entropy(amplitude**2 / 2), atol=0.02)
    others = np.delete(features, list(DEFAULT_BANDS).index("alpha"), axis=1)
    assert (others < alpha[:, None] - 1).all()


@pytest.mark.parametrize("continuous", [True, False])
def test_white_noise_spreads_over_the_bands(continuous):
    recording = make_recording(seconds=600.0)
    X = EEGWindows.from_recordings(recording, stride_seconds=5.0)
    if not continuous:
        X = EEGWindows.from_arrays(np.asarray(X), ch_names=X.ch_names, sfreq=200.0)
    features = DifferentialEntropy().fit_transform(X).reshape(len(X), 3, 5)
    widths = np.array([high - low for low, high in DEFAULT_BANDS.values()])
    expected = NOISE_BANDWIDTH * (1e-5) ** 2 * widths / 100.0
    measured = np.exp(2 * features).mean(axis=(0, 1)) / (2 * np.pi * np.e)
    np.testing.assert_allclose(measured, expected, rtol=0.05)


@pytest.mark.parametrize("continuous", [True, False])
def test_band_limited_noise_has_its_variance_in_its_band(continuous):
    # Equal amplitudes at random phases, a line every 1/600 Hz between 16 and 28 Hz.
    sfreq, seconds, sd = 200.0, 600, 12e-6
    rng = np.random.default_rng(0)
    freqs = np.fft.rfftfreq(int(sfreq * seconds), 1 / sfreq)
    lines = (freqs >= 16) & (freqs <= 28)
    spectrum = lines * np.exp(2j * np.pi * rng.random(len(freqs)))
    signal = np.fft.irfft(spectrum)
    signal *= sd / signal.std()
    X = EEGWindows.from_recordings(
        Recording(signal[None], ["Oz"], sfreq), stride_seconds=5.0
    )
    if not continuous:
        X = EEGWindows.from_arrays(np.asarray(X), ch_names=["Oz"], sfreq=sfreq)
    low, high = DEFAULT_BANDS["beta"]
    detuning = (freqs[lines] ** 2 - low * high) / (freqs[lines] * (high - low))
    expected = sd**2 * np.mean(1 / (1 + detuning**8))
    assert expected > 0.98 * sd**2
    beta = DifferentialEntropy().fit_transform(X)[:, list(DEFAULT_BANDS).index("beta")]
    measured = np.exp(2 * beta).mean() / (2 * np.pi * np.e)
    np.testing.assert_allclose(measured, expected, rtol=0.02)
    np.testing.assert_allclose(beta.mean(), entropy(expected), atol=0.02)


def test_windows_of_a_recording_and_as_arrays_agree():
    signal = pink_noise(4, 200 * 300, 200.0)
    X = EEGWindows.from_recordings(Recording(signal, ["F3", "F4", "O1", "O2"], 200.0))
    arrays = EEGWindows.from_arrays(np.asarray(X), ch_names=X.ch_names, sfreq=200.0)
    one = DifferentialEntropy().fit_transform(X).reshape(-1, 5)
    other = DifferentialEntropy().fit_transform(arrays).reshape(-1, 5)
    assert np.abs((other - one).mean(axis=0)).max() < 0.01
    for band in range(5):
        assert np.corrcoef(one[:, band], other[:, band])[0, 1] > 0.95
    plain = DifferentialEntropy(sfreq=200.0).fit_transform(np.asarray(X))
    np.testing.assert_allclose(plain, other.reshape(len(X), -1))


@pytest.mark.parametrize("continuous", [True, False])
def test_the_rate_does_not_matter(continuous):
    freqs = np.linspace(1, 46, 60)
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, 60)
    features = []
    for sfreq in (128.0, 250.0):
        times = np.arange(round(20 * sfreq)) / sfreq
        signal = 1e-5 * np.cos(2 * np.pi * np.outer(freqs, times) + phases[:, None])
        X = EEGWindows.from_recordings(
            Recording(signal.sum(axis=0)[None], ["Cz"], sfreq)
        )
        if not continuous:
            X = EEGWindows.from_arrays(np.asarray(X), ch_names=["Cz"], sfreq=sfreq)
        features.append(DifferentialEntropy().fit_transform(X))
    np.testing.assert_allclose(features[0], features[1], atol=0.01)


def test_offsets_and_drifts_do_not_count():
    recording = make_recording()
    drift = 4e-3 + 1e-3 * np.linspace(0, 1, recording.n_times)
    moved = Recording(recording.signal + drift, recording.ch_names, 200.0)
    features = [
        DifferentialEntropy().fit_transform(EEGWindows.from_recordings(r))
        for r in (recording, moved)
    ]
    np.testing.assert_allclose(features[0], features[1], atol=0.06)


def test_offsets_and_drifts_do_not_count_in_arrays():
    X = np.asarray(make_windows(1))
    # 4 mV of offset as in consumer caps, 100 microvolts of drift in each window.
    moved = X + 4e-3 + 1e-4 * np.linspace(0, 1, X.shape[2])
    de = DifferentialEntropy({"theta": (4, 8), "gamma": (30, 47)}, sfreq=200.0)
    np.testing.assert_allclose(de.fit_transform(X), de.fit_transform(moved), atol=0.05)


def test_unit_scales_as_a_logarithm():
    X = np.asarray(make_windows(1))
    de = DifferentialEntropy(sfreq=200.0)
    np.testing.assert_allclose(
        de.fit_transform(1e6 * X), de.fit_transform(X) + np.log(1e6)
    )


def test_variances_are_biased_and_nothing_is_added():
    X = np.asarray(make_windows(1))
    features = DifferentialEntropy(BANDS, sfreq=200.0).fit_transform(X)
    # Half the power of white noise lies in (0, fs / 4): a looser, outside reckoning.
    expected = entropy(NOISE_BANDWIDTH * 1e-10 * np.array([6, 16]) / 100)
    assert np.abs(features.reshape(-1, 2).mean(axis=0) - expected).max() < 0.1


def test_channel_order_and_case_do_not_matter():
    X = make_windows(1, ch_names=["F3", "C3", "O1"])
    swapped = [
        Recording(r.signal[::-1], ["o1", "c3", "f3"], r.sfreq, trials=r.trials)
        for r in X.recordings
    ]
    de = DifferentialEntropy().fit(X)
    np.testing.assert_allclose(
        de.transform(X), de.transform(EEGWindows.from_recordings(swapped))
    )


def test_old_names_are_the_new_ones():
    old = make_windows(1, ch_names=["T3", "T4", "T5"])
    new = make_windows(1, ch_names=["T7", "T8", "P7"])
    de = DifferentialEntropy().fit(old)
    np.testing.assert_array_equal(de.transform(old), de.transform(new))


def test_names_and_pandas():
    X = make_windows(1, ch_names=["F3", "C3", "O1"])
    de = DifferentialEntropy(BANDS).set_output(transform="pandas").fit(X)
    frame = de.transform(X)
    assert list(frame.columns) == [
        f"{ch}_{band}" for ch in ("F3", "C3", "O1") for band in BANDS
    ]
    assert frame.shape == (len(X), de.n_features_out_)
    # A band's features do not depend on the other bands.
    alpha = DifferentialEntropy({"alpha": (8, 14)}).fit_transform(X)
    np.testing.assert_allclose(alpha, frame.to_numpy()[:, ::2])
    assert alpha.dtype == np.float64
    plain = DifferentialEntropy(BANDS, sfreq=200.0).fit(np.asarray(X))
    assert plain.get_feature_names_out()[0] == "ch0_alpha"
    assert plain.ch_names_ is None


def test_several_montages_are_put_on_the_canonical_channels():
    one = make_windows(1, ch_names=["F3", "C3", "O1"])
    other = make_windows(1, ch_names=["F4", "C4", "O2"], sfreq=128.0)
    X = concat_windows([one, other])
    de = DifferentialEntropy().fit(X)
    assert len(de.ch_names_) == 60
    features = de.transform(X)
    assert features.shape == (len(X), 300)
    names = list(de.get_feature_names_out())
    own = DifferentialEntropy().fit(one)
    columns = [
        names.index(name.upper().replace("ALPHA", "alpha"))
        for name in ("F3_alpha", "C3_alpha", "O1_alpha")
    ]
    np.testing.assert_allclose(
        features[: len(one)][:, columns], own.transform(one)[:, 2::5]
    )
    # Each half of X alone gives the same numbers, and so do arrays nearly.
    np.testing.assert_array_equal(de.transform(one), features[: len(one)])
    np.testing.assert_array_equal(de.transform(other), features[len(one) :])
    arrays = EEGWindows.from_arrays(np.asarray(one), ch_names=one.ch_names, sfreq=200.0)
    assert np.abs((de.transform(arrays) - features[: len(one)]).mean()) < 0.05


def test_canonical_on_request():
    one = make_windows(1, ch_names=["F3", "C3", "O1"])
    other = make_windows(1, ch_names=["F4", "C4", "O2"])
    with pytest.raises(ValueError, match=r"Missing: F3, C3, O1; not seen in fit: F4"):
        DifferentialEntropy().fit(one).transform(other)
    de = DifferentialEntropy(channels="canonical").fit(one)
    assert de.transform(other).shape == (len(other), 300)


def test_windows_are_independent_of_the_others_and_of_their_order():
    X = make_windows(2)
    de = DifferentialEntropy().fit(X)
    features = de.transform(X)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_array_equal(de.transform(X[order]), features[order])
    np.testing.assert_array_equal(de.transform(X[3:4]), features[3:4])


def test_variances_are_those_of_the_filtered_recording_window_by_window():
    """Overlapping windows, in any order, of several lengths, up to the last sample."""
    signal = pink_noise(2, 200 * 36, 200.0)  # a length that needs no mirrored tail
    recording = Recording(signal, ["F3", "F4"], 200.0)
    X = concat_windows(
        [
            EEGWindows.from_recordings(recording, window_seconds=w, stride_seconds=0.5)
            for w in (2.0, 3.5)
        ]
    )
    X = X[np.random.default_rng(0).permutation(len(X))]
    features = DifferentialEntropy({"alpha": (8, 14)}).fit_transform(X)
    frequency = np.arange(7200) * 200.0 / 2 / 7200
    with np.errstate(divide="ignore"):
        detuning = (frequency**2 - 8 * 14) / (frequency * (14 - 8))
    coefficients = dct(signal, norm="ortho") / np.sqrt(1 + detuning**8)
    filtered = idct(coefficients, norm="ortho")
    [(_, _, starts, n_times)] = X.blocks()
    expected = [
        filtered[:, start : start + n].var(axis=1)
        for start, n in zip(starts, n_times, strict=True)
    ]
    assert (starts + n_times).max() == 7200
    np.testing.assert_allclose(features, entropy(expected), atol=1e-9)


def test_windows_of_several_lengths():
    recording = make_recording()
    short = EEGWindows.from_recordings(recording, window_seconds=3.0)
    long = EEGWindows.from_recordings(recording, window_seconds=6.0)
    X = concat_windows([short, long])
    features = DifferentialEntropy().fit_transform(X)
    np.testing.assert_array_equal(
        features[len(short) :], DifferentialEntropy().fit_transform(long)
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("continuous", [True, False])
def test_windows_that_are_not_finite_are_named(value, continuous):
    X = make_windows(1)
    de = DifferentialEntropy(sfreq=None if continuous else 200.0)
    if continuous:
        X.recordings[0].signal[1, 2100] = value  # 10.5 s: windows 3, 4 and 5
        match = "3 of 12 windows .* NaN or inf: windows 3, 4, 5"
    else:
        X = np.array(X)
        X[[2, 7], 0, 5] = value
        match = "2 of 12 windows hold NaN or inf: windows 2, 7"
    with pytest.raises(ValueError, match=match):
        de.fit_transform(X)


def test_gaps_between_trials_do_no_harm():
    trials = [{"start": 0, "stop": 10}, {"start": 20, "stop": 30}]
    whole = make_recording(seconds=30.0, trials=trials)
    broken = Recording(whole.signal.copy(), whole.ch_names, 200.0, trials=trials)
    broken.signal[:, 2800:3200] = np.nan
    a, b = (
        DifferentialEntropy(BANDS).fit_transform(EEGWindows.from_recordings(r))
        for r in (whole, broken)
    )
    np.testing.assert_allclose(a, b, atol=1e-3)


def test_flat_channel_gets_the_floor_and_a_warning():
    X = make_windows(1)
    X.recordings[0].signal[1] = 3e-3
    with pytest.warns(UserWarning, match=r"Cz \(12 of 12 windows\).* 1e-20 V"):
        features = DifferentialEntropy().fit_transform(X)
    features = features.reshape(len(X), 3, 5)
    np.testing.assert_allclose(features[:, 1], entropy(1e-20))
    assert (features[:, [0, 2]] > features[:, [1]]).all()


@pytest.mark.parametrize(
    "bands, message",
    [
        ({"high": (30, 100)}, "Band 'high' ends at 100 Hz, but at 200 Hz"),
        ({"low": (0.1, 4)}, "shorter than one cycle of band 'low'"),
        ({"odd": (8, 4)}, "Band 'odd' must have 0 < low < high"),
        ({"odd": (0, 4)}, "Band 'odd' must have 0 < low < high"),
        ({"odd": 4}, "Band 'odd' must have two edges"),
        ({}, "bands must be a dict"),
        ([(8, 14)], "bands must be a dict"),
    ],
)
@pytest.mark.parametrize("continuous", [True, False])
def test_bad_bands(bands, message, continuous):
    X = make_windows(1)
    X, sfreq = (X, None) if continuous else (np.asarray(X), 200.0)
    with pytest.raises(ValueError, match=message):
        DifferentialEntropy(bands, sfreq=sfreq).fit(X)


def test_bad_input():
    X = make_windows(1)
    arrays = np.asarray(X)
    with pytest.raises(ValueError, match="sfreq is unknown"):
        DifferentialEntropy().fit(arrays)
    with pytest.raises(ValueError, match="sfreq must be a finite number > 0"):
        DifferentialEntropy(sfreq=-1).fit(arrays)
    with pytest.raises(ValueError, match="n_times\\), got 2 dimensions"):
        DifferentialEntropy(sfreq=200.0).fit(arrays[0])
    with pytest.raises(
        ValueError, match="128 Hz was given, but X holds windows at 200"
    ):
        DifferentialEntropy(sfreq=128).fit(X)
    with pytest.raises(ValueError, match="X has 2 channels, but .* with 3"):
        DifferentialEntropy(sfreq=200.0).fit(arrays).transform(arrays[:, :2])
    with pytest.raises(ValueError, match="needs channel names"):
        DifferentialEntropy(sfreq=200.0, channels="canonical").fit(arrays)
    with pytest.raises(ValueError, match="channels must be one of"):
        DifferentialEntropy(channels="all").fit(X)
    with pytest.raises(TypeError, match="must hold real numbers"):
        DifferentialEntropy(sfreq=200.0).fit(arrays.astype(str))


def test_epochs_bring_their_channels_and_rate():
    import mne

    X = make_windows(2)
    info = mne.create_info(list(X.ch_names), X.sfreq, "eeg")
    epochs = mne.EpochsArray(np.asarray(X), info, verbose="error")
    de = DifferentialEntropy().fit(epochs)
    assert de.ch_names_ == X.ch_names
    expected = DifferentialEntropy(sfreq=200.0).fit_transform(np.asarray(X))
    np.testing.assert_allclose(de.transform(epochs), expected)
    scores = cross_val_score(
        make_pipeline(DifferentialEntropy(), LogisticRegression()),
        epochs,
        X.y,
        cv=2,
        error_score="raise",
    )
    assert scores.shape == (2,)


def _in_unit(unit, *, dataset="demo", n_subjects=2, seed=0):
    """Return windows of noise of 10 microvolts, multiplied by a unit."""
    rng = np.random.default_rng(seed)
    x = unit * 1e-5 * rng.standard_normal((4 * n_subjects, 2, 250))
    subject = np.repeat(np.arange(n_subjects), 4)
    return EEGWindows.from_arrays(
        x, ch_names=["Fz", "Cz"], sfreq=125.0, dataset=dataset, subject=subject
    )


@pytest.mark.parametrize("unit", [1e3, 1e6, 1e-3])
def test_different_units_of_datasets_are_announced(unit):
    X = concat_windows([_in_unit(1, dataset="A"), _in_unit(unit, dataset="B", seed=1)])
    strong, weak = ("B", "A") if unit > 1 else ("A", "B")
    message = rf"Different units\? Amplitudes of {strong} are \S+ times those of {weak}"
    with pytest.warns(UserWarning, match=message) as said:
        features = DifferentialEntropy(BANDS).fit_transform(X)
    assert len(said) == 1
    factor = float(re.search(r"are (\S+) times", str(said[0].message))[1])
    np.testing.assert_allclose(factor, max(unit, 1 / unit), rtol=0.2)
    # It is said, not mended.
    alone = DifferentialEntropy(BANDS).fit_transform(X[X.groups("dataset") == "B"])
    np.testing.assert_array_equal(features[8:], alone)


def test_different_units_of_recordings_are_announced():
    recordings = [make_recording(subject=k, seed=k) for k in range(4)]
    odd = 1e6 * recordings[2].signal
    recordings[2] = Recording(odd, recordings[2].ch_names, 200.0, "demo", subject=2)
    X = EEGWindows.from_recordings(recordings, stride_seconds=10)
    de = DifferentialEntropy(BANDS).fit(X)
    with pytest.warns(
        UserWarning, match=r"of demo/2 are \S+ .* of demo/0, demo/1, demo"
    ):
        de.transform(X)


def test_amplitudes_that_may_differ_need_no_word():
    quiet = [_in_unit(1, dataset="A"), _in_unit(0.01, dataset="B"), _in_unit(100)]
    flat = 1e-5 * np.random.default_rng(0).standard_normal((4, 2, 250))
    flat[:, 0] = 1.0
    flat = EEGWindows.from_arrays(
        flat, ch_names=["Fz", "Cz"], sfreq=125.0, dataset="flat", subject=1
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Different units")
        warnings.filterwarnings("ignore", "Next to no signal")
        for X in (*quiet, concat_windows(quiet[:2]), concat_windows([quiet[0], flat])):
            DifferentialEntropy(BANDS).fit_transform(X)
        # One band may have been filtered out.
        rng = np.random.default_rng(0)
        time = np.arange(2500) / 125
        slow = [np.sin(2 * np.pi * 10 * time + phase) for phase in (0, 1)]
        slow = 1e-5 * np.array(slow) + 1e-9 * rng.standard_normal((2, 2500))
        slow = Recording(slow, ["Fz", "Cz"], 125.0, dataset="slow")
        X = concat_windows([quiet[0], EEGWindows.from_recordings(slow)])
        DifferentialEntropy(BANDS).fit_transform(X)
