"""Cleaning of recordings: bad channels, ICA, reports."""

import builtins
import importlib.util
import json
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from sklearn_mdjpt import Recording
from sklearn_mdjpt.channels import template_positions
from sklearn_mdjpt.datasets import MONTAGES, make_emotion_windows
from sklearn_mdjpt.preprocessing import (
    BadChannelInterpolator,
    CleaningReport,
    clean_recording,
    find_bad_channels,
    interpolate_channels,
)
from sklearn_mdjpt.preprocessing._recording import _places

NAMES = list(MONTAGES["deap32"])
needs_icalabel = pytest.mark.skipif(
    importlib.util.find_spec("mne_icalabel") is None,
    reason="needs mne-icalabel (the extra 'ica')",
)


def make_recording(n_trials=2, seconds=10.0, sfreq=250.0, seed=0):
    """A subject's EEG, 12 microvolts at the typical channel."""
    X = make_emotion_windows(
        1, n_subjects=1, n_stimuli=n_trials, trial_seconds=seconds, n_emotions=2,
        montages=("deap32",), sfreqs=(sfreq,), references=("average",),
        subject_variability=0.3, dataset_shift=0.0, break_seconds=2.0,
        random_state=seed,
    )  # fmt: skip
    recording = X.recordings[0]
    signal = recording.signal.astype(float)
    signal *= 12e-6 / np.median(signal.std(axis=1))
    return Recording(signal, NAMES, sfreq, trials=recording.trials)


def make_blinks(recording, seed=0):
    """Topography (n_channels,) and course (n_times,) of blinks of 150 microvolts."""
    rng = np.random.default_rng(seed)
    sites = np.array([template_positions()[name.upper()] for name in NAMES])
    places = np.concatenate([sites, [[-0.03, 0.11, 0.0], [0.03, 0.11, 0.0]]])
    places -= [0.0, 0.01, 0.045]  # directions from the head's centre
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    topography = ((1 + places[:-2] @ places[-2:].T) ** 6).sum(axis=1)
    course = np.zeros(recording.n_times)
    shape = np.hanning(int(0.35 * recording.sfreq))
    second = 0.5
    while second < recording.duration - 1:
        start = int(second * recording.sfreq)
        course[start : start + len(shape)] += shape * rng.uniform(0.7, 1.3)
        second += 0.6 + rng.exponential(2.0)
    return topography / topography.max(), 150e-6 * course


def filtered(recording):
    """What cleaning makes of a recording if nothing is bad."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clean, _ = clean_recording(
            recording.to_raw(), ica=None, sfreq=None, amplitude_rules=(), flat=None
        )
    return clean.get_data()


def add(raw, name, values, start=0):
    """Add to a channel, in place."""
    stop = start + len(values)
    k = raw.ch_names.index(name)
    raw[k, start:stop] = raw[k, start:stop][0] + values


def pairs(report):
    table = report.to_frame()
    return set(zip(table["trial"], table["channel"], strict=True))


# Bad channels ------------------------------------------------------------------------


def test_rules_against_their_definition():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 4000)) * rng.uniform(0.5, 4.0, (8, 1))
    x[2, :50] = 500.0  # 1.25 % far out
    x[4, :30] = 500.0  # 0.75 %
    names = NAMES[:8]
    median = np.median(np.abs(x))
    expected = [
        name
        for name, line in zip(names, np.abs(x), strict=True)
        if (line > 3 * median).mean() > 0.4 or (line > 30 * median).mean() > 0.01
    ]
    found = find_bad_channels(x, names)
    assert found["channel"].tolist() == expected
    assert names[2] in expected and names[4] not in expected
    assert found.set_index("channel")["rule"][names[2]] == "30 x median"
    # The strict rule finds more, no rule nothing.
    assert len(find_bad_channels(x, names, amplitude_rules=[(1, 0.1)])) > len(found)
    assert not len(find_bad_channels(x, names, amplitude_rules=()))


def test_units_do_not_matter():
    x = np.random.default_rng(0).standard_normal((5, 1000))
    x[0] *= 30
    x[1] *= 1e-3
    first = find_bad_channels(x, NAMES[:5])
    pd.testing.assert_frame_equal(first, find_bad_channels(1e-6 * x, NAMES[:5]))
    assert first["rule"].tolist() == ["3 x median", "flat"]


def test_dead_channels():
    x = np.random.default_rng(0).standard_normal((12, 1000))
    x[0] = 0.0
    x[1, 300:] = 2.5  # one value for 70 % of the trial
    x[2, 600:] = 2.5  # for 40 %
    x[3] *= 0.04
    x[4] *= 0.1
    found = find_bad_channels(x, NAMES[:12], amplitude_rules=())
    assert found["channel"].tolist() == [NAMES[0], NAMES[1], NAMES[3]]
    assert set(found["rule"]) == {"flat"}
    only_still = find_bad_channels(x, NAMES[:12], amplitude_rules=(), flat=0)
    assert only_still["channel"].tolist() == NAMES[:2]
    assert not len(find_bad_channels(x, NAMES[:12], amplitude_rules=(), flat=None))


def test_many_dead_channels_do_not_make_the_others_large():
    x = np.random.default_rng(0).standard_normal((10, 1000))
    x[:6] = 0.0
    assert find_bad_channels(x, NAMES[:10])["channel"].tolist() == NAMES[:6]


def test_spared_channels_may_be_large_but_not_dead():
    x = np.random.default_rng(0).standard_normal((5, 1000))
    x[0] *= 30
    x[1] = 0.0
    names = ["Fp1", "FP2", "Cz", "Pz", "Oz"]
    found = find_bad_channels(x, names, spare=("FP1", "fp2"))
    assert found["channel"].tolist() == ["FP2"]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x": np.ones(4)}, r"\(n_channels, n_times\), got \(4,\)"),
        ({"x": np.zeros((3, 9))}, "All 3 channels hold one value"),
        ({"x": [[1, np.nan, 2], [1, 2, 3], [3, 1, 2]]}, r"in 1 of 3 .*Fz \(1 samples"),
        ({"amplitude_rules": [(3, 2)]}, r"pairs .*\(3, 2\)"),
        ({"amplitude_rules": [3]}, "pairs .*got 3"),
        ({"flat": -1}, "flat must be .* got -1"),
        ({"spare": "Fp1"}, "spare must be a sequence of str, got 'Fp1'"),
        ({"ch_names": ["Fz", "Cz"]}, "2 names, but the signal has 3"),
    ],
)
def test_find_errors(change, message):
    x = np.random.default_rng(0).standard_normal((3, 100))
    arguments = {"x": x, "ch_names": ["Fz", "Cz", "Pz"]} | change
    with pytest.raises(ValueError, match=message):
        find_bad_channels(**arguments)


def test_interpolation_takes_the_nearest_good_channels():
    names = ["Fz", "F3", "F4", "FC1", "FC2", "Oz"]
    x = np.arange(6.0)[:, None] * np.ones((6, 4))
    y = interpolate_channels(x, ["Fz"], names)
    sites = np.array([template_positions()[n.upper()] for n in names])
    nearest = np.argsort(np.linalg.norm(sites[1:] - sites[0], axis=1))[:3] + 1
    np.testing.assert_allclose(y[0], nearest.mean())
    np.testing.assert_array_equal(y[1:], x[1:])
    assert x[0, 0] == 0
    # What is bad itself is no neighbour, and digitised positions go first.
    y = interpolate_channels(x, ["Fz", "F3"], names, n_neighbours=1)
    assert y[0, 0] in (2.0, 3.0, 4.0) and y[1, 0] != 1.0
    positions = np.eye(6, 3) * 0.1
    positions[5] = positions[0] + 1e-3
    y = interpolate_channels(x, ["Fz"], names, positions=positions, n_neighbours=1)
    assert y[0, 0] == 5.0


@pytest.mark.parametrize(
    "bads, names, message",
    [
        (["Cz"], ["Fz", "Pz"], "bads has Cz"),
        ("Fz", ["Fz", "Pz"], "bads must be a sequence of str, got 'Fz'"),
        (["mine"], ["mine", "Pz"], "'mine' is bad, and its position is unknown"),
        (["Fz", "Pz"], ["Fz", "Pz"], "No good channel is left"),
    ],
)
def test_interpolation_errors(bads, names, message):
    with pytest.raises(ValueError, match=message):
        interpolate_channels(np.ones((2, 5)), bads, names)


def test_interpolator_treats_each_trial_by_itself():
    X = np.random.default_rng(0).standard_normal((3, 6, 500))
    X[1, 2] *= 40
    names = NAMES[:6]
    before = X.copy()
    interpolator = clone(BadChannelInterpolator(names)).fit(X)
    assert [t["channel"].tolist() for t in interpolator.find(X)] == [[], [names[2]], []]
    Y = interpolator.transform(X)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(Y[[0, 2]], X[[0, 2]])
    np.testing.assert_array_equal(Y[1], interpolate_channels(X[1], names[2:3], names))
    integers = interpolator.transform(np.round(100 * X).astype(int))
    assert np.abs(integers[1] / 100 - Y[1]).max() < 0.01
    with pytest.raises(ValueError, match="5 channels, but there were 6"):
        interpolator.transform(X[:, :5])
    with pytest.raises(ValueError, match=r"got \(6, 500\)"):
        interpolator.fit(X[0])
    with pytest.raises(ValueError, match="spare must be a sequence .*got 'Fp1'"):
        interpolator.set_params(spare="Fp1").fit(X)


# Recordings --------------------------------------------------------------------------


def test_band_rate_and_reference():
    import mne

    recording = make_recording()
    raw = recording.to_raw()
    seconds = np.arange(raw.n_times) / 250
    tones = sum(np.sin(2 * np.pi * f * seconds) for f in (0.05, 10, 60))
    add(raw, NAMES[0], 1e-4 * tones)
    before, level = raw.get_data(), mne.get_config("MNE_LOGGING_LEVEL")
    logger_level = mne.utils.logger.level
    clean, report = clean_recording(raw, ica=None, amplitude_rules=())
    np.testing.assert_array_equal(raw.get_data(), before)
    assert raw.info["sfreq"] == 250
    assert (mne.utils.logger.level, level) == (
        logger_level, mne.get_config("MNE_LOGGING_LEVEL"),
    )  # fmt: skip
    assert clean.info["sfreq"] == report.new_sfreq == 125
    assert clean.n_times == round(raw.n_times / 2)
    np.testing.assert_allclose(clean.get_data().sum(axis=0), 0, atol=1e-15)
    np.testing.assert_allclose(clean.annotations.onset, raw.annotations.onset)
    power = np.abs(np.fft.rfft(clean.get_data()[0] * np.hanning(clean.n_times))) ** 2
    freqs = np.fft.rfftfreq(clean.n_times, 1 / 125)
    at_10 = power[np.abs(freqs - 10) < 0.3].max()
    assert power[freqs < 0.1].max() < 1e-3 * at_10
    assert power[freqs > 55].max() < 1e-4 * at_10


def test_bad_channels_are_found_trial_by_trial_and_interpolated():
    recording = make_recording(3)
    truth = filtered(recording)
    raw = recording.to_raw()
    rng = np.random.default_rng(0)
    starts = np.round(recording.trials["start"] * 250).astype(int)
    stops = np.round(recording.trials["stop"] * 250).astype(int)
    raw[NAMES.index("C3"), starts[0] : stops[0]] = 0.0
    noise = 200e-6 * rng.standard_normal(stops[1] - starts[1])
    add(raw, "P4", noise, starts[1])
    raw.info["bads"] = ["T7"]
    clean, report = clean_recording(raw, ica=None, sfreq=None)
    given = {(str(k), "T7") for k in (1, 2, 3)}
    assert pairs(report) == {("1", "C3"), ("2", "P4")} | given
    steps = report.to_frame().set_index("channel")["step"]
    assert set(steps["T7"]) == {"given"} and steps["C3"] == "before ICA"
    assert clean.info["bads"] == []
    made_of = report.to_frame().set_index("channel")["made_of"]["C3"]
    inside = slice(starts[0] + 500, stops[0] - 500)
    # T7 is made of others, so that the average differs a little: compare differences.
    y = clean.get_data()[:, inside]
    np.testing.assert_allclose(
        y[NAMES.index("C3")], y[[NAMES.index(n) for n in made_of]].mean(0), atol=1e-12
    )
    third = slice(starts[2] + 500, stops[2] - 500)
    same = [k for k, name in enumerate(NAMES) if name != "T7"]
    y, expected = clean.get_data()[same, third], truth[same, third]
    np.testing.assert_allclose(
        y - y.mean(axis=0), expected - expected.mean(axis=0), atol=1e-9
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 5e-3])
def test_what_a_channel_holds_that_is_marked_bad_has_no_effect(value):
    recording = make_recording(1, 8.0)
    expected, same = None, None
    for signal in (recording.signal, recording.signal.copy()):
        raw = Recording(signal, NAMES, 250).to_raw()
        raw.info["bads"] = ["T7"]
        if expected is not None:
            raw[NAMES.index("T7")] = np.where(np.arange(raw.n_times) % 2, value, -value)
        clean, report = clean_recording(raw, ica=None)
        expected, same = clean.get_data() if expected is None else expected, report
        np.testing.assert_array_equal(clean.get_data(), expected)
    assert pairs(same) == {("1", "T7")}
    raw.info["bads"] = NAMES
    with pytest.raises(ValueError, match="All 32 EEG channels are marked as bad"):
        clean_recording(raw, ica=None)


def test_biosemi_names_are_placed_and_not_taken_for_references():
    """A1 of the cap of 128 is next to Cz, and no ear; its C3 is no C3."""
    signal = make_recording(1, 8.0).signal
    names = [f"A{n}" for n in range(1, 17)] + [f"C{n}" for n in range(1, 17)]
    raw = Recording(signal, names, 250).to_raw
    with pytest.warns(UserWarning, match="its cap of 128"):
        raw = raw()
    clean, report = clean_recording(raw, ica=None)
    assert clean.ch_names == names and not report.left_out
    place = Recording.from_raw(clean).positions[names.index("A1")]
    assert np.linalg.norm(place - template_positions()["CZ"]) < 0.04
    raw.set_montage(None)
    with pytest.warns(UserWarning, match="its cap of 128"):
        _, report = clean_recording(raw, ica=None)
    assert "its cap of 128" in report.warnings[0]
    large = np.array(signal)
    large[names.index("C3")] *= 100
    found = find_bad_channels(large, names, spare=["C3"])
    assert found["channel"].tolist() == ["C3"]


def test_breaks_go_with_the_nearer_trial():
    trials = pd.DataFrame({"start": [30.0, 10.0, 18.0], "stop": [40.0, 20.0, 28.0]})
    bounds, spans = _places(trials, 10.0, 500)
    assert bounds == [(300, 400), (100, 200), (180, 280)]
    assert spans == [(290, 500), (0, 190), (190, 290)]


@needs_icalabel
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))]
)
def test_blinks_are_removed_and_the_rest_is_kept(seed):
    recording = make_recording(2, 20.0, seed=seed)
    topography, course = make_blinks(recording, seed)
    raw = recording.to_raw()
    raw[:] = raw.get_data() + topography[:, None] * course
    raw[NAMES.index("CP1")] = 0.0
    add(raw, "P4", 2e-4 * np.random.default_rng(0).standard_normal(raw.n_times))
    clean, report = clean_recording(raw, sfreq=None, max_ica_iter=60)
    assert pairs(report) >= {(t, c) for t in "12" for c in ("CP1", "P4")}
    assert len(pairs(report)) <= 6
    labels = {report.components[k]["label"] for k in report.removed}
    assert "eye" in labels and len(report.removed) <= 3
    assert report.rank == len(report.components) == 32 - 1 - 2

    front = [NAMES.index(n) for n in ("Fp1", "Fp2", "AF3", "AF4")]
    back = [k for k in range(32) if k not in front and NAMES[k] not in ("CP1", "P4")]
    truth, y = filtered(recording), clean.get_data()
    inside = np.zeros(raw.n_times, bool)
    for start, stop in recording.trials[["start", "stop"]].to_numpy(float):
        inside[round(start * 250) : round(stop * 250)] = True

    def blinking(signal):
        return [
            abs(np.corrcoef(signal[k, inside], course[inside])[0, 1]) for k in front
        ]

    assert min(blinking(raw.get_data())) > 0.7
    assert max(blinking(y)) < 0.15
    scale = truth[back][:, inside].std(axis=1)
    error = (y - truth)[back][:, inside].std(axis=1) / scale
    assert np.median(error) < 0.3
    kept = [np.corrcoef(y[k, inside], truth[k, inside])[0, 1] for k in back]
    assert min(kept) > 0.9


@needs_icalabel
def test_ica_is_reproducible_and_parameters_act():
    raw = make_recording(1, 10.0).to_raw()
    topography, course = make_blinks(make_recording(1, 10.0))
    raw[:] = raw.get_data() + topography[:, None] * course
    raw.pick(NAMES[::4])
    arguments = {"max_ica_iter": 20, "max_ica_samples": 1200}
    first, report = clean_recording(raw, **arguments)
    second, again = clean_recording(raw, **arguments)
    np.testing.assert_array_equal(first.get_data(), second.get_data())
    assert report == again
    assert report.n_iterations <= 20
    kept, report = clean_recording(raw, threshold=1.0, **arguments)
    assert report.removed == []
    without, _ = clean_recording(raw, ica=None)
    np.testing.assert_allclose(kept.get_data(), without.get_data(), atol=1e-15)
    _, report = clean_recording(raw, remove=("brain",), threshold=0.0, **arguments)
    table = report.to_frame("components")
    assert (table["removed"] == (table["label"] == "brain")).all()


@needs_icalabel
def test_a_low_rate_is_announced():
    recording = make_recording(1, 8.0, sfreq=128.0)
    with pytest.warns(UserWarning, match="128 Hz ends at 64 Hz.*ica=None"):
        _, report = clean_recording(
            recording.to_raw(), max_ica_iter=5, max_ica_samples=500
        )
    assert any("64 Hz" in message for message in report.warnings)
    assert len(report.components) == 31


def test_missing_icalabel_is_said_before_any_work(monkeypatch):
    find = importlib.util.find_spec

    def find_spec(name, *arguments):
        return None if name == "mne_icalabel" else find(name, *arguments)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    with pytest.raises(ImportError, match=r'pip install "sklearn_mdjpt\[ica\]"'):
        clean_recording("no recording")
    clean_recording(make_recording(1, 8.0).to_raw(), ica=None)


def test_trials_of_annotations_and_tables():
    import mne

    raw = make_recording().to_raw()
    raw.set_annotations(mne.Annotations([1, 12], [8, 9], ["joy", "fear"]))
    _, report = clean_recording(raw, ica=None)
    assert [(t["start"], t["stop"]) for t in report.trials] == [(1, 9), (12, 21)]
    _, report = clean_recording(raw, ica=None, trials=[{"start": 2, "stop": 9}])
    assert report.trials == [{"trial": "1", "start": 2.0, "stop": 9.0}]
    raw.set_annotations(None)
    _, report = clean_recording(raw, ica=None)
    assert report.trials[0]["stop"] == raw.n_times / 250
    with pytest.raises(ValueError, match="trials is empty"):
        clean_recording(raw, ica=None, trials=pd.DataFrame({"start": [], "stop": []}))


def test_filters_stop_where_trials_were_joined():
    recording = make_recording(1, 20.0)
    signal = recording.signal[:, :4000].copy()
    jump = np.where(np.arange(4000) < 2000, 0.0, 5e-3)
    names = {"ica": None, "sfreq": None, "amplitude_rules": ()}
    trials = [(0, 8), (8, 16)]
    plain = Recording(signal, NAMES, 250, trials=trials).to_raw()
    joined = Recording(signal + jump * np.eye(32)[:, [3]], NAMES, 250, trials=trials)
    expected, _ = clean_recording(plain, **names)
    found, _ = clean_recording(joined.to_raw(), **names)
    np.testing.assert_allclose(found.get_data(), expected.get_data(), atol=1e-8)
    # Pieces shorter than the filter of 6.6 s are filtered as one, which is said.
    short = Recording(signal, NAMES, 250, trials=[(0, 5), (5, 16)]).to_raw()
    with pytest.warns(UserWarning, match="5 s the shortest, are shorter than .*6.6"):
        clean_recording(short, **names)


def test_channels_without_a_place_are_left_out():
    recording = make_recording(1, 8.0)
    signal = np.concatenate([recording.signal, recording.signal[:3] * 1.5])
    raw = Recording(signal, [*NAMES, "CB1", "M1", "mine"], 250).to_raw()
    with pytest.warns(UserWarning, match="CB1, M1, mine are left out"):
        clean, report = clean_recording(raw, ica=None, sfreq=None)
    assert clean.ch_names == NAMES and report.left_out == ["CB1", "M1", "mine"]
    np.testing.assert_allclose(clean.get_data(), filtered(recording), atol=1e-15)
    # With a digitised position a channel takes part.
    positions = np.full((35, 3), np.nan)
    positions[34] = 0.05, 0.05, 0.08
    raw = Recording(signal, raw.ch_names, 250, positions=positions).to_raw()
    with pytest.warns(UserWarning, match="CB1, M1 are left out"):
        clean, _ = clean_recording(raw, ica=None)
    assert clean.ch_names == [*NAMES, "mine"]


def _flat(raw):
    raw[:] = np.zeros((32, raw.n_times))


def _not_a_number(raw):
    raw[3, 7:9] = np.nan


def _one_channel(raw):
    raw.pick(["Cz"])


def _short(raw):
    raw.crop(0, 3)


@pytest.mark.parametrize(
    "spoil, parameters, error, message",
    [
        (_flat, {}, ValueError, "Trial '1': All 32 channels hold one value"),
        (_not_a_number, {}, ValueError, r"NaN or inf in 1 of 32 .*\(2 samples\)"),
        (_one_channel, {}, ValueError, "needs two EEG channels .*got Cz"),
        (
            _short,
            {"trials": [(0, 2)]},
            ValueError,
            "3.0.* s is shorter than the filter",
        ),
        (None, {"h_freq": 130, "sfreq": None}, ValueError, "this one has 250 Hz"),
        (None, {"sfreq": 90}, ValueError, "must exceed twice"),
        (None, {"l_freq": 50}, ValueError, "l_freq must be below h_freq"),
        (None, {"l_freq": 0}, ValueError, "l_freq must be .* > 0, got 0"),
        (None, {"threshold": 80}, ValueError, "threshold must be .*got 80"),
        (None, {"remove": "eye"}, ValueError, "remove must be a sequence"),
        (None, {"spare": "Fp1"}, ValueError, "spare must be a sequence .*got 'Fp1'"),
        (None, {"remove": ["eyes"]}, ValueError, "one of 'brain'.*got 'eyes'"),
        (None, {"random_state": None}, ValueError, "random_state .*got None"),
        (None, {"n_neighbours": 0}, ValueError, "n_neighbours must be"),
        (None, {"ica": "fastica"}, ValueError, "ica must be one of"),
    ],
)
def test_errors(spoil, parameters, error, message):
    raw = make_recording(1, 8.0).to_raw()
    if spoil is not None:
        spoil(raw)
    with pytest.raises(error, match=message):
        clean_recording(raw, **{"ica": None} | parameters)


def test_only_raw_is_taken():
    with pytest.raises(TypeError, match="got ndarray; Recording.to_raw"):
        clean_recording(np.ones((3, 100)), ica=None)


def test_many_bad_channels_are_announced():
    raw = make_recording(1, 8.0).to_raw()
    raw[:17] = np.zeros((17, raw.n_times))
    with pytest.warns(UserWarning, match="17 of 32 channels are bad in trial '1'"):
        clean_recording(raw, ica=None)


# Reports -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report():
    rows = [
        {"trial": "1", "channel": "Cz", "step": "before ICA", "rule": "flat"}
        | {"value": 0.0, "made_of": ["C3", "C4", "Pz"]},
        {"trial": "2", "channel": "Pz", "step": "after ICA", "rule": "3 x median"}
        | {"value": 0.5, "made_of": ["Cz"]},
        {"trial": "2", "channel": "C3", "step": "given", "rule": "marked bad"}
        | {"value": None, "made_of": ["Cz"]},
    ]
    names = ["Fz", "C3", "Cz", "C4", "Pz"]
    components = [
        {"component": k, "label": label, "probability": 0.9, "removed": label == "eye"}
        | {"topography": [1.0, 0.2, 0.1, 0.2, -0.1 * k]}
        for k, label in enumerate(("brain", "eye"))
    ]
    return CleaningReport(
        ch_names=names, sfreq=250.0, new_sfreq=125.0,
        positions=[template_positions()[n.upper()].tolist() for n in names],
        trials=[{"trial": t, "start": 0.0, "stop": 9.0} for t in "12"],
        channels=rows, components=components, rank=2, n_iterations=7,
        parameters={"l_freq": 0.5}, versions={"mne": "1"}, warnings=["careful"],
    )  # fmt: skip


def test_report_round_trip(report):
    assert CleaningReport.from_dict(report.to_dict()) == report
    text = report.to_json()
    assert CleaningReport.from_json(text) == report
    assert repr(report) == (
        "<CleaningReport: 5 channels, 2 trials, 3 of 10 channels of trials "
        "interpolated, 1 of 2 components removed>"
    )
    assert report.removed == [1]
    content = json.loads(text)
    with pytest.raises(ValueError, match="found None"):
        CleaningReport.from_dict({"trials": []})
    with pytest.raises(ValueError, match="version 2"):
        CleaningReport.from_dict(content | {"format_version": 2})
    with pytest.raises(ValueError, match="lacks nothing and has more too many"):
        CleaningReport.from_dict(content | {"more": 1})


def test_report_tables(report):
    table = report.to_frame()
    assert table["channel"].tolist() == ["Cz", "Pz", "C3"]
    assert report.to_frame("components")["removed"].tolist() == [False, True]
    with pytest.raises(ValueError, match="what must be one of"):
        report.to_frame("trials")


def test_report_plot(report, monkeypatch):
    pytest.importorskip("matplotlib")
    figure = report.plot()
    axes = [ax for part in figure.subfigs for ax in part.axes]
    image = axes[0].images[0].get_array()
    assert image[2, 0] == 2 and image[4, 1] == 3 and image[1, 1] == 1
    assert (image > 0).sum() == 3
    titles = [ax.get_title() for ax in axes]
    assert titles[1:3] == ["1: eye 0.90", "0: brain 0.90"]
    real = builtins.__import__

    def without_matplotlib(name, *arguments, **keywords):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(ImportError, match=r"sklearn_mdjpt\[plot\]"):
        report.plot()
