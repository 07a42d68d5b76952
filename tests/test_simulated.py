import hashlib
import inspect
import json

import numpy as np
import pytest
from numpy.polynomial import legendre
from scipy.fft import rfftfreq
from scipy.signal import welch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mdjpt import DifferentialEntropy
from sklearn_mdjpt.datasets import MONTAGES, _simulated, make_emotion_windows


def make_small(n_datasets=1, **parameters):
    """Return a small simulation on the 30-channel cap; parameters override."""
    settings = {
        "n_subjects": 2,
        "n_stimuli": 3,
        "trial_seconds": 9.0,
        "montages": ["faced30"] * n_datasets,
        "sfreqs": [128.0] * n_datasets,
        "random_state": 0,
    }
    return make_emotion_windows(n_datasets, **(settings | parameters))


def entropy_by_subject(X):
    """Return DE features z-scored within each subject."""
    features = DifferentialEntropy().fit_transform(X)
    for subject in np.unique(X.groups("subject")):
        rows = X.groups("subject") == subject
        features[rows] -= features[rows].mean(axis=0)
        features[rows] /= features[rows].std(axis=0)
    return features


def decode(features, X):
    """Return leave-one-subject-out accuracy."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    return cross_val_score(
        classifier, features, X.y, groups=X.groups("subject"), cv=LeaveOneGroupOut()
    ).mean()


def test_defaults_give_three_different_datasets():
    X = make_emotion_windows(n_subjects=1, n_stimuli=3, random_state=0)
    assert len(X) == 3 * 3 * 6
    assert list(np.unique(X.groups("dataset"))) == ["SimA", "SimB", "SimC"]
    assert [r.sfreq for r in X.recordings] == [200.0, 250.0, 128.0]
    assert [len(r.ch_names) for r in X.recordings] == [60, 30, 32]
    assert [r.ch_names for r in X.recordings] == list(MONTAGES.values())
    assert set(X.y) == {"negative", "neutral", "positive"}
    assert set(X.metadata["session"]) == {"1"}
    for recording in X.recordings:
        assert recording.signal.dtype == np.float32
        rms = 1e6 * recording.signal.std(axis=1)
        assert 3 < np.median(rms) < 40


def test_same_seed_same_bits():
    first, again = make_small(), make_small()
    other = make_small(random_state=1)
    for a, b, c in zip(
        first.recordings, again.recordings, other.recordings, strict=True
    ):
        np.testing.assert_array_equal(a.signal, b.signal)
        assert a.trials.equals(b.trials)
        assert not np.array_equal(a.signal, c.signal)


def test_global_random_state_is_left_alone():
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_small()
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("shared", [False, True])
def test_a_subject_does_not_depend_on_the_others(shared):
    few = make_small(1, n_subjects=1, shared_stimuli=shared).recordings
    many = make_small(2, n_subjects=[3, 2], shared_stimuli=shared).recordings
    np.testing.assert_array_equal(few[0].signal, many[0].signal)
    fewer = make_small(2, n_subjects=[1, 1], shared_stimuli=shared).recordings
    np.testing.assert_array_equal(fewer[1].signal, many[3].signal)


def test_stimuli_have_one_balanced_label_and_an_own_order_for_each_subject():
    X = make_small(2, n_subjects=3, n_stimuli=6)
    trials = X.metadata.drop_duplicates(["dataset", "subject", "trial"])
    for _, dataset in trials.groupby("dataset"):
        assert (dataset.groupby("stimulus")["label"].nunique() == 1).all()
        labels = dataset.drop_duplicates("stimulus")["label"]
        assert (labels.value_counts() == 2).all()
        orders = dataset.groupby("subject")["stimulus"].agg(tuple)
        assert orders.nunique() == 3
        assert set(map(frozenset, orders)) == {frozenset(orders.iloc[0])}


def test_shared_stimuli_have_the_same_labels_in_all_datasets():
    X = make_small(3, n_stimuli=[3, 6, 9], n_subjects=1, shared_stimuli=True)
    labels = X.metadata.groupby("stimulus")["label"].nunique()
    assert len(labels) == 9
    assert (labels == 1).all()
    own = make_small(3, n_stimuli=9, n_subjects=1)
    labels = own.metadata.groupby("stimulus")["label"].nunique()
    assert (labels > 1).any()


@pytest.mark.parametrize("n_emotions", [2, 4, 9])
def test_number_of_emotions(n_emotions):
    X = make_small(n_subjects=1, n_stimuli=n_emotions, n_emotions=n_emotions)
    assert len(set(X.y)) == n_emotions


def test_trials_lie_between_breaks():
    X = make_small(n_subjects=1, break_seconds=2.0)
    trials = X.recordings[0].trials
    np.testing.assert_allclose(trials["start"], [2, 13, 24])
    np.testing.assert_allclose(trials["stop"], [11, 22, 33])
    assert X.recordings[0].duration == pytest.approx(35, abs=0.01)
    assert sorted(set(X.metadata["onset"])) == [0, 2, 4]


def test_spectrum_falls_like_1_over_f_with_an_occipital_alpha_peak():
    X = make_small(n_subjects=6, n_stimuli=6)
    peaks, occipital_to_frontal = [], []
    for recording in X.recordings:
        freqs, power = welch(recording.signal, 128.0, nperseg=512)
        rest = ((freqs > 2) & (freqs < 7)) | ((freqs > 15) & (freqs < 45))
        slope, _ = np.polyfit(np.log(freqs[rest]), np.log(power.mean(0)[rest]), 1)
        assert -2.0 < slope < -0.7
        occipital = power[recording.ch_names.index("O1")]
        alpha = (freqs > 8) & (freqs < 12)
        flanks = ((freqs > 5) & (freqs < 7)) | ((freqs > 14) & (freqs < 17))
        assert occipital[alpha].max() > 3 * occipital[flanks].mean()
        frontal = power[recording.ch_names.index("Fp1")]
        occipital_to_frontal.append(
            np.log(occipital[alpha].mean() / frontal[alpha].mean())
        )
        peaks.append(freqs[alpha][occipital[alpha].argmax()])
    assert np.mean(occipital_to_frontal) > 0.5
    assert len(set(peaks)) > 2


@pytest.mark.parametrize("sfreq", [128.0, 250.0])
def test_noise_has_the_density_asked_for_at_every_rate(sfreq):
    n_fft = int(100 * sfreq)
    freqs = rfftfreq(n_fft, 1 / sfreq)
    density = _simulated._rhythm_spectrum(freqs, 10.0, 1.0)
    x = _simulated._draw_noise(np.random.default_rng(0), 40, density, sfreq, n_fft)
    assert x.var() == pytest.approx(1.0, rel=0.05)
    freqs, power = welch(x, sfreq, nperseg=int(4 * sfreq))
    assert power.mean(0)[freqs == 10] == pytest.approx(1 / np.sqrt(2 * np.pi), rel=0.1)


def test_lead_field_is_the_series_of_a_dipole_in_a_sphere():
    angles = np.linspace(0, np.pi, 50)
    sensors = np.column_stack([np.sin(angles), 0 * angles, np.cos(angles)])
    source = np.array([[0.0, 0.0, 1.0]])
    f = _simulated._ECCENTRICITY
    order = np.arange(1, 200)
    weights = np.concatenate([[0], (2 * order + 1) * f ** (order - 1.0)])
    series = legendre.legval(np.cos(angles), weights)
    np.testing.assert_allclose(
        _simulated._lead_field(sensors, source)[:, 0], series / series[0], atol=1e-10
    )


def test_emotion_changes_band_power_as_documented():
    X = make_small(
        n_subjects=4, n_stimuli=9, emotion_strength=1.5, stimulus_strength=0.0
    )
    encoder = DifferentialEntropy().fit(X)
    features = entropy_by_subject(X)
    names = list(encoder.get_feature_names_out())

    def contrast(name, one, other):
        column = features[:, names.index(name)]
        return column[X.y == one].mean() - column[X.y == other].mean()

    for name in ("T7_gamma", "T7_beta", "F4_alpha"):
        assert contrast(name, "positive", "negative") > 0.3
    for name in ("T8_gamma", "T8_beta", "F3_alpha"):
        assert contrast(name, "positive", "negative") < -0.3
    # Arousal is lowest in neutral.
    assert contrast("O1_alpha", "neutral", "positive") > 0.3
    assert contrast("O1_alpha", "neutral", "negative") > 0.3


@pytest.mark.slow
def test_emotion_strength_sets_how_well_emotions_decode():
    # Without what is locked to the stimulus: it alone would tell stimuli apart.
    sizes = {"n_subjects": 6, "n_stimuli": 9, "stimulus_strength": 0.0}
    scores = []
    for seed in range(4):
        none = make_small(**sizes, emotion_strength=0.0, random_state=seed)
        scores.append(decode(entropy_by_subject(none), none))
    # 54 trials each: the mean of four scores has a standard error near 0.035.
    assert abs(np.mean(scores) - 1 / 3) < 0.1
    strong = make_small(**sizes, emotion_strength=2.0)
    assert decode(entropy_by_subject(strong), strong) > 0.7


def test_subject_variability_hurts_unless_subjects_are_scaled():
    X = make_small(n_subjects=6, n_stimuli=9, subject_variability=1.5)
    raw = decode(DifferentialEntropy().fit_transform(X), X)
    assert decode(entropy_by_subject(X), X) > raw + 0.05


@pytest.mark.parametrize("strength, locked", [(0.0, False), (2.0, True)])
def test_band_power_follows_the_stimulus(strength, locked):
    X = make_small(
        n_subjects=4,
        trial_seconds=25.0,
        n_stimuli=4,
        emotion_strength=0.0,
        stimulus_strength=strength,
        trial_variability=0.0,
    )
    features, meta = entropy_by_subject(X), X.metadata
    by_subject = []
    for subject in meta["subject"].unique():
        rows = meta[meta["subject"] == subject].sort_values(["stimulus", "onset"])
        by_subject.append(features[rows.index])
        clip = rows["stimulus"].to_numpy()
    same, other = [], []
    for i, a in enumerate(by_subject):
        for b in by_subject[:i]:
            correlation = np.corrcoef(a, b)[: len(a), len(a) :]
            same.append(np.diag(correlation).mean())
            other.append(correlation[clip[:, None] != clip].mean())
    difference = np.mean(same) - np.mean(other)
    assert difference > 0.15 if locked else abs(difference) < 0.05


def test_dataset_shift_moves_spatial_covariances_apart():
    def distance(shift):
        X = make_small(
            2, n_subjects=1, subject_variability=0.0, dataset_shift=shift, n_stimuli=9
        )
        a, b = (np.cov(recording.signal) for recording in X.recordings)
        return np.linalg.norm(a / np.trace(a) - b / np.trace(b))

    distances = [distance(shift) for shift in (0.0, 0.5, 1.0)]
    assert distances[0] < 0.5 * distances[1] < 0.5 * distances[2]


def test_subject_variability_spreads_amplitudes():
    def spread(variability):
        X = make_small(
            n_subjects=8, n_stimuli=1, subject_variability=variability, n_emotions=2
        )
        return np.std([np.log(r.signal.std()) for r in X.recordings])

    spreads = [spread(variability) for variability in (0.0, 0.7, 1.5)]
    assert spreads[0] < 0.1
    assert spreads[0] < spreads[1] < spreads[2]


def test_noise_and_alpha_levels_are_in_microvolts():
    quiet = {"dataset_shift": 0.0, "subject_variability": 0.0, "n_subjects": 1}
    montage = {"montages": ["canonical60"]}
    X = make_small(**quiet, **montage, noise_level=20.0)
    assert np.median(X.recordings[0].signal.std(axis=1)) == pytest.approx(
        20e-6, rel=0.2
    )
    X = make_small(**quiet, **montage, noise_level=0.0, alpha_level=30.0)
    recording = X.recordings[0]
    occipital = recording.signal[recording.ch_names.index("O1")].std()
    assert 20e-6 < occipital < 60e-6


@pytest.mark.parametrize(
    "reference, low, high", [("average", 0.0, 0.1), ("M1", 0.3, 2.0)]
)
def test_reference_shows_in_the_mean_of_the_channels(reference, low, high):
    X = make_small(references=[reference], n_subjects=1)
    signal = X.recordings[0].signal
    # Channel gains differ by 10 %: the mean is near zero, not zero.
    assert low <= signal.mean(axis=0).std() / signal.std() < high


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"n_datasets": 0}, "n_datasets .*>= 1 and <= 26, got 0"),
        ({"n_datasets": 2.0}, "n_datasets must be an int .* got 2.0"),
        ({"n_emotions": 1}, "n_emotions .*>= 2 and <= 9, got 1"),
        (
            {"n_subjects": [1, 2]},
            r"n_subjects .* each of the 3 .*got \[1, 2\]",
        ),
        ({"n_subjects": 0}, "n_subjects .*>= 1 .*got 0"),
        ({"n_stimuli": "many"}, "n_stimuli must be a sequence .*got 'many'"),
        ({"trial_seconds": 0}, "trial_seconds .*> 0, got 0"),
        ({"trial_seconds": 4.0}, "trial_seconds=4.0 .*window_seconds=5.0"),
        ({"emotion_strength": -1}, "emotion_strength .*>= 0, got -1"),
        ({"noise_level": np.nan}, "noise_level .*>= 0, got nan"),
        ({"montages": ["seed62"] * 3}, "Unknown montage 'seed62'"),
        ({"montages": [["Fz", "Cz", "X1"]] * 3}, r"without a 10-05 position: \['X1'\]"),
        ({"montages": [["Fz", "Cz", "fz"]] * 3}, "Duplicate channel names .*Fz, fz"),
        ({"montages": [["Fz"]] * 3}, "two channels or more"),
        ({"montages": ["faced30"]}, "montages .*entry for each of the 3 .*faced30"),
        ({"sfreqs": [64, 64, 64]}, "sfreqs .*>= 100, got 64"),
        ({"references": ["Cz"] * 3}, "'Cz' is in the montage"),
        ({"references": ["nose"] * 3}, "references has names without"),
    ],
)
def test_bad_arguments(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_emotion_windows(**parameters)


# What is frozen --------------------------------------------------------------------


def fingerprint(X):
    """Return a digest of all that is drawn or counted, and numbers of the signals.

    Signals pass through matrix products and exponentials, whose last bits differ
    between processors and libraries: each recording is projected on patterns of signs
    instead, in units of its median magnitude, which comes with it in microvolts.  A
    single sample that changes by its SD shifts a projection by 1e-3, rounding by 1e-6.
    """
    rows = [X.metadata.to_dict("list")]
    numbers = []
    for recording in X.recordings:
        n_channels, n_times = recording.signal.shape
        rows.append([
            recording.ch_names, recording.sfreq, n_times, recording.signal.dtype.name,
            recording.trials.to_dict("list"), recording.cuts, recording.bad_spans,
        ])  # fmt: skip
        x = np.nan_to_num(recording.signal.astype(float))
        magnitude = np.median(np.abs(x))
        x = np.clip(x / magnitude, -10, 10)
        # Unlike newer generators, this one is the same in all releases of NumPy.
        signs = np.random.RandomState(0)
        over_channels = signs.choice([-1, 1], n_channels)
        over_times = signs.choice([-1, 1], n_times)
        projection = over_channels @ x @ over_times / np.sqrt(x.size)
        numbers += [1e6 * magnitude, projection]
    text = json.dumps(rows, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16], numbers


def test_defaults_are_frozen():
    signature = inspect.signature(make_emotion_windows)
    assert {p.name: p.default for p in signature.parameters.values()} == {
        "n_datasets": 3, "n_subjects": 6, "n_stimuli": 9, "n_emotions": 3,
        "trial_seconds": 15.0, "break_seconds": 3.0, "window_seconds": 5.0,
        "stride_seconds": 2.0, "montages": None, "sfreqs": None, "references": None,
        "emotion_strength": 0.6, "stimulus_strength": 0.8, "subject_variability": 1.0,
        "trial_variability": 0.25, "dataset_shift": 1.0, "noise_level": 10.0,
        "alpha_level": 8.0, "n_sources": 96, "shared_stimuli": False,
        "artifacts": None, "random_state": None,
    }  # fmt: skip


FROZEN = {
    "defaults": (
        {"n_subjects": 1, "n_stimuli": 3},
        "336e4bfa2aa3b3d5",
        [5.460745, -1.831187, 7.540569, 1.832833, 4.038238, -0.513686],
    ),
    "nine emotions, shared stimuli": (
        {
            "n_datasets": 2, "n_subjects": [1, 2], "n_stimuli": 9, "n_emotions": 9,
            "shared_stimuli": True, "trial_seconds": 3.0, "window_seconds": 1.0,
            "stride_seconds": 0.5, "break_seconds": 0.0,
        },
        "636db69cab34193b",
        [5.456117, -1.004033, 7.425594, 1.065404, 15.358282, -2.122838],
    ),
    "light artifacts": (
        {"n_subjects": 1, "n_stimuli": 5, "artifacts": "light"},
        "9768a9fcccd14a1e",
        [5.586234, 2.831074, 7.765225, -2.602187, 4.756, -1.377221],
    ),
    "heavy artifacts": (
        {"n_subjects": 1, "n_stimuli": 5, "artifacts": "heavy"},
        "4c94df147df92e79",
        [13.910986, 0.483928, 8773860.454559, -1.282639, 12503820.896149, 3.886162],
    ),
}  # fmt: skip


@pytest.mark.parametrize("settings, digest, numbers", FROZEN.values(), ids=FROZEN)
def test_the_model_is_frozen(settings, digest, numbers):
    # These must not change: evidence was measured on this very simulator.
    # (A NumPy release with other random streams would be the one good reason.)
    found = fingerprint(make_emotion_windows(**settings, random_state=0))
    assert found[0] == digest
    np.testing.assert_allclose(found[1], numbers, rtol=1e-5, atol=1e-5)
