"""Recordings: trials, from_raw, robust statistics, flaws."""

import gc

import numpy as np
import pandas as pd
import pytest

from sklearn_mdjpt import EEGWindows, Recording
from sklearn_mdjpt._io._cache import BoundedCache


def test_trials_table():
    signal = np.ones((2, 1000))
    table = pd.DataFrame(
        {"start": [0, 5], "stop": [4, 10], "trial": [1, 2.0], "arousal": [3, 4]}
    )
    recording = Recording(signal, ["C3", "C4"], 100, trials=table)
    assert recording.trials["trial"].tolist() == ["1", "2"]
    assert recording.trials["arousal"].tolist() == [3, 4]
    assert recording.trials["stimulus"].tolist() == [None, None]
    tuples = Recording(signal, ["C3", "C4"], 100, trials=[(0, 3, "clip", "sad")])
    assert tuples.trials.loc[0, ["stimulus", "label"]].tolist() == ["clip", "sad"]
    assert Recording(signal, ["C3", "C4"], 100).trials["stop"][0] == 10.0


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"signal": np.ones(5)}, ValueError, r"\(n_channels, n_times\), got \(5,\)"),
        ({"trials": [(0, 500)]}, ValueError, "inside the recording of 10 s .*seconds"),
        ({"trials": [(0, 3, "a", "b", 1)]}, ValueError, "pass dicts for further"),
        (
            {"trials": [{"start": 0, "stop": 1, "subject": 1}]},
            ValueError,
            "may not have columns subject",
        ),
        ({"trials": [(3, 3)]}, ValueError, "does not lie inside"),
        ({"trials": [{"begin": 3}]}, ValueError, "lacks start, stop"),
        ({"sfreq": np.nan}, ValueError, "sfreq must be a finite number > 0"),
        ({"positions": np.ones((3, 3))}, ValueError, r"shape \(2, 3\)"),
    ],
)
def test_errors(change, error, message):
    arguments = {"signal": np.ones((2, 1000)), "ch_names": ["C3", "C4"], "sfreq": 100}
    with pytest.raises(error, match=message):
        Recording(**arguments | change)


def _raw(sfreq=100.0, seconds=20, first_samp=0):
    mne = pytest.importorskip("mne")
    info = mne.create_info(["Fz", "Cz", "Pz", "HEOG"], sfreq, ["eeg"] * 3 + ["eog"])
    data = np.random.default_rng(0).standard_normal((4, int(seconds * sfreq))) * 1e-5
    return mne.io.RawArray(data, info, first_samp=first_samp, verbose="error")


@pytest.mark.parametrize("first_samp", [0, 300])
def test_from_raw(first_samp):
    import mne

    raw = _raw(first_samp=first_samp)
    raw.info["bads"] = ["Pz"]
    raw.set_annotations(
        mne.Annotations([1, 8, 14, 15], [5, 5, 4, 0.5], ["joy", "fear", "joy", "BAD"])
    )
    before = raw.get_data()
    recording = Recording.from_raw(raw, dataset="D", subject=1)
    assert recording.ch_names == ("Fz", "Cz")
    assert recording.trials["label"].tolist() == ["joy", "fear", "joy"]
    np.testing.assert_allclose(recording.trials["start"], [1, 8, 14], atol=1e-9)
    np.testing.assert_allclose(recording.signal, before[:2], rtol=1e-6)
    np.testing.assert_array_equal(raw.get_data(), before)
    X = EEGWindows.from_recordings(recording, window_seconds=1, stride_seconds=1)
    assert X.metadata.query("trial == '3'")["onset"].tolist() == [0, 2, 3]
    by_clip = Recording.from_raw(raw, description="stimulus")
    assert by_clip.trials["stimulus"].tolist() == ["joy", "fear", "joy"]
    assert by_clip.trials["label"].isna().all()


def test_annotations_without_duration_are_announced():
    import mne

    raw = _raw()
    raw.set_annotations(mne.Annotations([2, 9], [0, 0], ["joy", "sad"]))
    with pytest.warns(UserWarning, match=r"2 annotations have no duration .*joy, sad"):
        assert len(Recording.from_raw(raw).trials) == 1


def test_from_raw_applies_projections_and_needs_eeg():
    raw = _raw()
    raw.set_eeg_reference(projection=True, verbose="error")
    recording = Recording.from_raw(raw)
    assert len(recording.trials) == 1
    np.testing.assert_allclose(recording.signal.sum(axis=0), 0, atol=1e-10)
    raw.info["bads"] = ["Fz", "Cz", "Pz"]
    with pytest.raises(ValueError, match="no good EEG channel.* eeg, eog, marked bad"):
        Recording.from_raw(raw)
    with pytest.raises(TypeError, match="got ndarray"):
        Recording.from_raw(np.ones(3))


def test_robust_statistics_against_the_definition():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 5000)) * 1e-5 + np.array([[4e-3], [0], [-1e-3]])
    x[0, 100:110] += 1.0  # an artefact far beyond 30 medians
    recording = Recording(x, list("abc"), 100.0, trials=[(0, 40), (45, 50)])
    inside = np.r_[0:4000, 4500:5000]
    mean = x[:, inside].mean(axis=1)
    y = x[:, inside] - mean[:, None]
    good = y[np.abs(y) < 30 * np.median(np.abs(y))]
    center, scale = recording.robust_statistics([0, 1, 2])
    np.testing.assert_allclose(center, mean + good.mean(), rtol=1e-9)
    np.testing.assert_allclose(scale, good.std(), rtol=1e-9)
    # Outside the trials nothing counts, not even what is not a number.
    x[:, 4200] = np.nan
    again = Recording(x, list("abc"), 100.0, trials=[(0, 40), (45, 50)])
    np.testing.assert_array_equal(again.robust_statistics([0, 1, 2])[0], center)


def test_order_of_windows_does_not_change_statistics():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 60, 625)) * rng.uniform(1, 50, (60, 1, 1))
    names = [f"E{i}" for i in range(60)]
    picks = np.arange(60)

    def scale(order):
        X = EEGWindows.from_arrays(x[order], ch_names=names, sfreq=125)
        return X.recordings[0].robust_statistics(picks)[1]

    np.testing.assert_allclose(
        scale(rng.permutation(60)), scale(np.arange(60)), rtol=1e-12
    )


def test_flat_channels_do_not_spoil_the_scale():
    """With a median over all samples, most of them 0, nothing would be left."""
    x = np.zeros((4, 1000))
    x[0] = 1e-5 * np.random.default_rng(0).standard_normal(1000)
    _, scale = Recording(x, list("abcd"), 100.0).robust_statistics([0, 1, 2, 3])
    np.testing.assert_allclose(scale, x[0].std() / 2, rtol=1e-6)


def test_odd_rates_do_not_drift():
    sfreq = 500.03
    x = np.zeros((1, int(1800 * sfreq)))
    x[0, int(1790 * sfreq)] = 1.0
    X = EEGWindows.from_recordings(
        Recording(x, ["Cz"], sfreq), window_seconds=10, stride_seconds=10
    )
    last = X[[179]].to_canonical()[0, 0]
    assert abs(int(last.argmax()) - 0) <= 1


def test_flaws_are_found_at_window_level():
    x = np.random.default_rng(0).standard_normal((2, 1000))
    x[1, 250] = np.inf
    x[:, 600:710] = 3.0
    recording = Recording(x, ["C3", "C4"], 100.0)
    starts = np.arange(0, 1000, 100)
    not_finite, constant = recording.window_flaws(starts, 100)
    assert np.flatnonzero(not_finite).tolist() == [2]
    assert np.flatnonzero(constant).tolist() == [6]
    stack = EEGWindows.from_arrays(
        x.reshape(2, 10, 100).transpose(1, 0, 2), ch_names=["C3", "C4"], sfreq=100
    ).recordings[0]
    not_finite, constant = stack.window_flaws(np.arange(10), 100)
    assert np.flatnonzero(not_finite).tolist() == [2]
    assert np.flatnonzero(constant).tolist() == [6]
    x[0] = 1.0
    assert Recording(x, ["C3", "C4"], 100.0).flat_channels() == ["C3"]


@pytest.mark.parametrize("continuous", [True, False])
def test_finite_windows_are_not_taken_for_flawed(continuous):
    x = np.random.default_rng(0).standard_normal((3, 1000)).astype(np.float32)
    x[:2, 150] = 3e38  # whose sum is no float32
    x[0, 350], x[1, 350] = np.inf, -np.inf  # whose sum is NaN
    x[2, 450] = np.nan  # in a channel that does not count
    x[0, 500:600] = 1.0
    x[:2, 700:800] = 2.0
    recording = Recording(x, list("abc"), 100.0)
    starts = np.arange(0, 1000, 100)
    if not continuous:
        windows = recording.windows(starts, 100)
        stack = EEGWindows.from_arrays(windows, ch_names=list("abc"), sfreq=100.0)
        recording, starts = stack.recordings[0], np.arange(10)
    not_finite, constant = recording.window_flaws(starts, 100, np.array([0, 1]))
    assert np.flatnonzero(not_finite).tolist() == [3]
    assert np.flatnonzero(constant).tolist() == [7]
    not_finite, constant = recording.window_flaws(starts, 100)
    assert np.flatnonzero(not_finite).tolist() == [3, 4]
    assert not constant.any()


def resample(x, sfreq):
    """Resample whole signals to 125 Hz."""
    recording = Recording(x, [f"E{k}" for k in range(len(x))], sfreq)
    return recording.windows_at([0], recording.n_times, 125.0)[0]


@pytest.mark.parametrize("sfreq", [128.0, 200.0, 250.0, 256.0, 500.0, 1000.0])
def test_resampling_keeps_the_band_and_removes_aliases(sfreq):
    t = np.arange(int(20 * sfreq)) / sfreq
    new = np.arange(20 * 125) / 125
    (keep,) = resample(4e-3 + 1e-5 * np.sin(2 * np.pi * 10 * t[None]), sfreq)
    assert keep.shape == new.shape and keep.dtype == np.float32
    inner = slice(100, -100)
    expected = 4e-3 + 1e-5 * np.sin(2 * np.pi * 10 * new)
    assert np.abs(keep - expected)[inner].max() < 2e-8
    if sfreq > 200:
        # 115 Hz would fold onto 10 Hz.
        (alias,) = resample(np.sin(2 * np.pi * 115 * t[None]), sfreq)
        assert np.abs(alias[inner]).max() < 2e-3


def test_resampling_in_pieces_and_odd_rates():
    x = np.random.default_rng(0).standard_normal((15, 257))
    whole = resample(x, 250.0)
    np.testing.assert_array_equal(whole[7:8], resample(x[7:8], 250.0))
    assert whole.shape == (15, 129)
    assert resample(np.ones((1, 1000)), 499.98).shape == (1, 250)
    with pytest.raises(ValueError, match="resample from 10000000.0 Hz to 125.0 Hz"):
        resample(np.ones((1, 100)), 1e7)


def test_cache_takes_no_more_than_there_is_room_for_where_the_size_is_known():
    class Owner:
        pass

    small, a, b = BoundedCache(1000), Owner(), Owner()
    first = small.get(a, "x", lambda: np.zeros(100), n_bytes=800)
    assert small.get(b, "x", lambda: 1 / 0, n_bytes=800) is None
    assert small.get(a, "x", lambda: 1 / 0, n_bytes=800) is first
    del a
    assert small.get(b, "x", lambda: np.ones(100), n_bytes=800)[0] == 1


def test_cache_is_bounded_and_dies_with_its_owner():
    class Owner:
        pass

    small = BoundedCache(1000)
    owners = [Owner() for _ in range(5)]
    calls = []

    def get(k):
        return small.get(owners[k], "x", lambda: calls.append(k) or np.zeros(50))

    for k in (0, 1, 0, 2, 0, 3):
        get(k)
    assert small.n_bytes <= 1000
    assert calls == [0, 1, 2, 3]  # owner 0 was used again and again
    get(1)
    assert calls[-1] == 1  # owner 1 was dropped first
    owners.clear()
    gc.collect()
    assert small.n_bytes == 0
    assert small.get(Owner(), "big", lambda: np.zeros(500)).shape == (500,)
    assert small.n_bytes == 0


def test_a_recording_is_resampled_once(make_windows):
    X = make_windows(n_subjects=2)
    whole = X.to_canonical()
    for recording in X.recordings:
        recording.signal[:] = 0.0  # what was resampled is kept
    for i in range(5):
        part = X[[i, -1 - i]].to_canonical()
        np.testing.assert_array_equal(part, whole[[i, -1 - i]])


def test_to_raw_and_back():
    signal = 1e-5 * np.random.default_rng(0).standard_normal((3, 1000))
    positions = np.full((3, 3), np.nan)
    positions[1] = 0.01, 0.02, 0.1
    recording = Recording(
        signal.astype(np.float32), ["T3", "mine", "nowhere"], 100.0,
        trials=[(0, 4, "clip", "joy"), (4, 8, None, 3), (8.5, 9.5)],
        positions=positions, bad_spans=[(7, np.inf)],
    )  # fmt: skip
    raw = recording.to_raw()
    np.testing.assert_array_equal(raw.get_data(), recording.signal.astype(float))
    assert raw.get_channel_types() == ["eeg"] * 3
    marks = raw.annotations
    found = sorted(zip(marks.onset, marks.description, strict=True))
    assert found == [
        (0, "joy"), (4, "3"), (4, "EDGE trial"), (7, "BAD span"), (8.5, "trial 3")
    ]  # fmt: skip
    again = Recording.from_raw(raw)
    assert again.trials["label"].tolist() == ["joy", "3", "trial 3"]
    np.testing.assert_allclose(again.trials["stop"], [4, 8, 9.5])
    assert again.bad_spans == ((7.0, 10.0),)
    np.testing.assert_array_equal(again.signal, recording.signal)
    # T7 on the template, as digitised, unknown.
    expected = [[-0.086, 0.0149, 0.0312], [0.01, 0.02, 0.1], [np.nan] * 3]
    np.testing.assert_allclose(again.positions, expected, atol=1e-4)
    texts = recording.to_raw(description="stimulus").annotations.description
    assert {"clip", "trial 2"} <= set(texts)
    with pytest.raises(ValueError, match="description must be one of"):
        recording.to_raw(description="emotion")


def test_to_raw_of_a_memory_map_copies(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 500), np.float32))
    signal = np.load(tmp_path / "x.npy", mmap_mode="r")
    raw = Recording(signal, ["C3", "C4"], 100.0).to_raw()
    raw[:] = np.zeros((2, 500))
    assert (signal == 1).all()
    assert raw.annotations.description.tolist() == ["trial 1"]


@pytest.mark.parametrize("wrong", ["Label", "lable", "labels", "stimuli"])
def test_misspelt_columns_of_trials(wrong):
    trials = [{"start": 0.0, "stop": 1.0, wrong: "joy"}]
    with pytest.warns(UserWarning, match=f"one called '{wrong}'.*rename it"):
        recording = Recording(np.ones((1, 200)), ["Cz"], 100.0, trials=trials)
    assert list(recording.trials[wrong]) == ["joy"]


@pytest.mark.filterwarnings("error")
def test_further_columns_of_trials_are_welcome():
    trials = [{"start": 0.0, "stop": 1.0, "label": "joy", "labels": 1, "rating": 3}]
    recording = Recording(np.ones((1, 200)), ["Cz"], 100.0, trials=trials)
    assert list(recording.trials["rating"]) == [3]
