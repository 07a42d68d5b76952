"""Cuts and bad spans, from the file to the features."""

import warnings

import mne
import numpy as np
import pandas as pd
import pytest

from sklearn_mdjpt import (
    DifferentialEntropy,
    EEGWindows,
    MDJPTEncoder,
    Recording,
    WindowAlignment,
)
from sklearn_mdjpt.preprocessing import clean_dataset, clean_recording
from sklearn_mdjpt.windows._resampling import cache

NAMES = ["Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2"]
SFREQ = 100.0


def noise(n_times, seed=0):
    rng = np.random.default_rng(seed)
    return 1e-5 * rng.standard_normal((len(NAMES), n_times))


def make_raw(signal, annotations=()):
    info = mne.create_info(NAMES, SFREQ, "eeg")
    raw = mne.io.RawArray(signal, info, verbose="error")
    columns = zip(*annotations, strict=True) if annotations else [()] * 3
    return raw.set_annotations(mne.Annotations(*columns))


def windows_of(signal, **marks):
    recording = Recording(
        signal, NAMES, SFREQ, dataset="d", subject="1",
        trials=[(0, signal.shape[1] / SFREQ, "clip", "joy")], **marks,
    )  # fmt: skip
    return EEGWindows.from_recordings(recording, window_seconds=2, stride_seconds=1)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("BAD_blink", "bad"),
        (" bad", "bad"),
        ("BAD_ACQ_SKIP", "bad"),
        ("BAD boundary", "cut"),
        ("bad_boundary", "cut"),
        ("EDGE boundary", "cut"),
        ("edge", "cut"),
        ("boundary", "cut"),
        ("Boundary ", "cut"),
        ("Comment/boundary", "cut"),
        ("New Segment/", "cut"),
        ("New Segment/LostSamples: 3", "cut"),
        ("EDGE trial", "border"),
        ("joy", None),
        ("Comment/BAD_move", "bad"),
        ("Comment/BAD boundary", "cut"),
        ("Comment/EDGE boundary", "cut"),
        ("-99", "cut"),
        ("-99.0", "cut"),
        ("-990", None),
        ("Comment/joy", None),
        ("not bad", None),
        ("boundary of joy", None),
        ("trial: bad", None),
    ],
)
def test_kinds_of_marks(text, kind):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Trials overlap")
        recording = Recording.from_raw(
            make_raw(noise(2000), [(0, 10, "joy"), (5, 2, text)])
        )
    labels = recording.trials["label"].tolist()
    if kind is None:
        assert labels == ["joy", text.removeprefix("trial: ")]
    else:
        assert labels == ["joy"]
    assert recording.cuts == ((5,) if kind == "cut" else ())
    if kind != "cut":  # one whose samples are in the signal is bad too
        assert recording.bad_spans == (((5, 7),) if kind == "bad" else ())


def test_no_window_lies_across_the_joints_of_runs():
    runs = [make_raw(noise(1103, seed)) for seed in range(3)]
    joined = mne.concatenate_raws(runs, verbose="error")
    recording = Recording.from_raw(joined)
    assert recording.cuts == (11.03, 22.06)
    assert recording.bad_spans == ()
    X = EEGWindows.from_recordings(recording)
    onsets = X.metadata["onset"]
    assert onsets.tolist() == [0, 2, 4, 6, 12, 14, 16, 24, 26, 28]


@pytest.mark.parametrize("duration", [0.0, 7.0, np.nan])
@pytest.mark.parametrize("text", ["boundary", "New Segment/"])
def test_boundaries_are_cuts_and_no_trials(text, duration):
    marks = [(0.0, duration, text), (14.995, duration, text)]
    recording = Recording.from_raw(make_raw(noise(3000), marks))
    assert recording.cuts == (14.995,)
    assert recording.trials[["start", "stop", "label"]].values.tolist() == [
        [0, 30, None]
    ]
    X = EEGWindows.from_recordings(recording)
    assert X.y is None
    starts = X.metadata["onset"].to_numpy()
    assert starts.tolist() == [0, 2, 4, 6, 8, 16, 18, 20, 22, 24]


def test_marks_of_any_length():
    marks = [(3, 0, "BAD"), (5, 2, "BAD_x"), (9, 1, "EDGE"), (12, 1, "bad boundary")]
    recording = Recording.from_raw(make_raw(noise(2000), marks))
    assert recording.cuts == (3, 9, 12)
    assert recording.bad_spans == ((5, 7), (9, 10), (12, 13))
    recording = Recording(noise(2000), NAMES, SFREQ, bad_spans=[(4, 4), (6, 7)])
    assert recording.cuts == (4,)
    assert recording.bad_spans == ((6, 7),)


def test_marks_outside_of_the_recording_are_none():
    marks = [(0, 0, "EDGE"), (19.99, 0.005, "BAD"), (20, 0, "EDGE")]
    recording = Recording.from_raw(make_raw(noise(2000), marks))
    assert recording.cuts == ()
    raw = make_raw(noise(2000), [(5, 0, "EDGE"), (12, 0, "EDGE"), (2, 4, "BAD")])
    recording = Recording.from_raw(raw.crop(4, 10))
    assert recording.cuts == (1,)
    np.testing.assert_allclose(recording.bad_spans, [(0, 2)])


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ({"cuts": [21]}, "inside the recording of 20 s, got 21"),
        ({"cuts": ["x"]}, "cuts must be times in seconds"),
        ({"bad_spans": [(3, 2)]}, r"start <= stop, got \(3, 2\)"),
        ({"bad_spans": [3]}, r"pairs \(start, stop\) .* got 3"),
    ],
)
def test_marks_that_cannot_be(marks, message):
    with pytest.raises(ValueError, match=message):
        Recording(noise(2000), NAMES, SFREQ, **marks)


# What lies elsewhere has no effect ---------------------------------------------------


def features(X):
    """What filters, resampling and statistics make of windows."""
    cache.max_bytes, size = 0, cache.max_bytes
    piecewise = X.to_canonical()
    cache.max_bytes = size
    np.testing.assert_array_equal(X.to_canonical(), piecewise)
    encoder = MDJPTEncoder.small(
        hidden_dim=16, latent_dim=8, depth=1, max_epochs=0, random_state=0
    )
    center, scale = X.recordings[0].robust_statistics(range(len(NAMES)))
    return {
        "resampled": piecewise,
        "entropy": DifferentialEntropy().fit_transform(X),
        "canonical": DifferentialEntropy(channels="canonical").fit_transform(X),
        "encoder": encoder.fit_transform(X),
        "statistics": np.array([*center, scale]),
    }


@pytest.mark.parametrize("content", [5e-2, 0.0, np.nan, np.inf])
def test_bad_spans_have_no_effect(content):
    signal, spans = noise(3000), [(9.003, 12.004), (11, 13)]
    reference = windows_of(signal, bad_spans=spans)
    onsets = reference.metadata["onset"].to_numpy()
    assert not ((onsets < 13) & (onsets + 2 > 9.003)).any()
    other = signal.copy()
    other[2, 900:1300] = content
    other[5, 950:1290] += content
    expected = features(reference)
    found = features(windows_of(other, bad_spans=spans))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_nothing_goes_across_a_cut():
    signal, cuts = noise(3001), [10.005, 20.0]  # between two samples, and on one
    other = signal.copy()
    other[:, :1001] = 1.0 + noise(1001, seed=1) * 50
    other[:, 2000:] = 0.3 + noise(1001, seed=2)
    one, two = (features(windows_of(x, cuts=cuts)) for x in (signal, other))
    onsets = windows_of(signal, cuts=cuts).metadata["onset"].to_numpy()
    assert onsets.tolist() == [*range(9), *range(11, 19), *range(20, 29)]
    inside = (onsets > 10) & (onsets < 20)
    for name in ("resampled", "entropy", "canonical"):
        np.testing.assert_array_equal(
            one[name][inside], two[name][inside], err_msg=name
        )


def test_pieces_are_treated_as_recordings_of_their_own():
    signal = noise(3000)
    whole = windows_of(signal, cuts=[12.34])
    parts = [windows_of(signal[:, :1234]), windows_of(signal[:, 1234:])]
    onsets = whole.metadata["onset"].to_numpy()
    before = whole[onsets < 12]
    np.testing.assert_array_equal(before.to_canonical(), parts[0].to_canonical())
    model = DifferentialEntropy().fit(whole)
    np.testing.assert_array_equal(model.transform(before), model.transform(parts[0]))
    after = Recording(signal[:, 1234:], NAMES, SFREQ, trials=[(0.66, 17.66)])
    after = EEGWindows.from_recordings(after, window_seconds=2, stride_seconds=1)
    np.testing.assert_array_equal(
        whole[onsets > 12].to_canonical(), after.to_canonical()
    )


def test_gaps_are_bridged_the_same_way_in_parts_of_a_signal(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 2000))
    x[1, 300:420] = np.nan
    spans = [(0, 0.2), (4, 7), (19.9, 20)]
    starts = np.arange(0, 1801, 72)

    def cut(starts, n_times, max_bytes):
        monkeypatch.setattr(cache, "max_bytes", max_bytes)
        recording = Recording(x, ["C3", "Cz", "C4"], 100.0, bad_spans=spans)
        return recording.windows_at(starts, n_times, 125.0)

    (whole,) = cut([0], 2000, 2**40)
    for start, part in zip(starts * 5 // 4, cut(starts, 200, 0), strict=True):
        np.testing.assert_array_equal(part, whole[:, start : start + 250])


# Cleaning ----------------------------------------------------------------------------


def cleaned(signal, marks):
    marks = [(3, 20, "joy"), (30, 20, "fear"), *marks]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return clean_recording(make_raw(signal, marks), ica=None, h_freq=40.0)


def test_cleaning_does_without_bad_spans():
    signal = noise(6000)
    clean, report = cleaned(signal, [(10, 5, "BAD_pop")])
    for content in (3e-3, np.nan):
        other = signal.copy()
        other[4, 1000:1500] += content
        again, report_again = cleaned(other, [(10, 5, "BAD_pop")])
        np.testing.assert_array_equal(again.get_data(), clean.get_data())
        assert report_again.to_json() == report.to_json()
    with pytest.raises(ValueError, match=r"NaN or inf in 1 of 10 .*C3 \(500 samples\)"):
        cleaned(other, [])


def test_cleaning_does_not_go_across_cuts():
    signal = noise(6000)
    other = signal.copy()
    other[:, 2701:] = noise(3299, seed=1) + 1e-3
    mark = [(27.005, 0, "boundary")]
    one, two = (cleaned(x, mark)[0].get_data() for x in (signal, other))
    np.testing.assert_array_equal(one[:, :3376], two[:, :3376])
    assert one.shape == (10, 7500)
    # Short pieces do not lead the filter astray either.
    marks = [*mark, (28, 0, "EDGE"), (28.01, 0, "EDGE"), (29, 0, "New Segment/")]
    one, two = (cleaned(x, marks)[0].get_data() for x in (signal, other))
    np.testing.assert_array_equal(one[:, :3376], two[:, :3376])
    assert np.isfinite(one).all()


def test_a_trial_that_is_bad_throughout_is_left_alone():
    signal = noise(6000)
    signal[3, 3000:5000] *= 1000
    _, report = cleaned(signal, [(29, 22, "BAD_trial")])
    assert not len(report.channels)


def test_cleaned_windows_stay_between_cuts(tmp_path):
    signal = noise(6000)
    recording = Recording(
        signal, NAMES, SFREQ, dataset="d", subject="1", bad_spans=[(40, 43)],
        cuts=[20.005, 33.337], trials=[(0, 60, "clip", "bad")],
    )  # fmt: skip
    X = EEGWindows.from_recordings(recording)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clean = clean_dataset(X, tmp_path / "clean", ica=None)
    (source,) = clean.recordings
    assert source.cuts == recording.cuts
    assert source.bad_spans == recording.bad_spans
    assert source.holds(clean._starts, 625).all()
    assert clean.metadata.equals(X.metadata)
    assert clean.recordings[0].trials["label"].tolist() == ["bad"]
    # Each piece has a time of its own.
    assert abs(clean._starts / 125 - X._starts / SFREQ).max() < 1.5 / 125


def test_cleaning_does_not_look_at_labels(tmp_path):
    signal, results = noise(6000), []
    pairs = [("positive", "negative"), ("good", "bad"), ("Edge", "BAD")]
    for k, labels in enumerate(pairs):
        trials = [(2, 28, "c1", labels[0]), (32, 58, "boundary", labels[1])]
        recording = Recording(signal, NAMES, SFREQ, subject="1", trials=trials)
        results.append(clean_dataset([recording], tmp_path / str(k), ica=None))
        assert list(dict.fromkeys(results[-1].y)) == list(labels)
    for other in results[1:]:
        np.testing.assert_array_equal(other.to_canonical(), results[0].to_canonical())


# Ways in and out ---------------------------------------------------------------------


def test_marks_and_labels_survive_to_raw(tmp_path):
    labels = ["good", "bad", "Edge of seat", "boundary", "trial: bad", "New Segment"]
    recording = Recording(
        noise(3000), NAMES, SFREQ, cuts=[7.5, 20.123], bad_spans=[(9, 10)],
        trials=[(5 * k, 5 * k + 4, None, label) for k, label in enumerate(labels)],
    )  # fmt: skip
    raw = recording.to_raw()
    good, _ = np.unique(raw.annotations.description, return_index=True)
    assert not {"bad", "boundary", "New Segment"} & set(good)
    raw.save(tmp_path / "x_raw.fif", verbose="error")
    for some in (raw, mne.io.read_raw_fif(tmp_path / "x_raw.fif", verbose="error")):
        again = Recording.from_raw(some)
        assert again.trials["label"].tolist() == labels
        np.testing.assert_allclose(again.cuts, recording.cuts)
        np.testing.assert_allclose(again.bad_spans, recording.bad_spans)


def test_borders_of_trials_are_no_cuts():
    trials = [(0, 10, "a", "joy"), (10, 20, "b", "fear")]
    recording = Recording(noise(2000).astype(np.float32), NAMES, SFREQ, trials=trials)
    raw = recording.to_raw()
    assert "EDGE trial" in raw.annotations.description
    assert Recording.from_raw(raw).cuts == ()


def test_marks_are_kept_on_disk_and_by_alignment(tmp_path):
    X = windows_of(noise(3000), cuts=[10.5], bad_spans=[(20, 21)])
    X.save(tmp_path / "store")
    aligned = WindowAlignment().fit_transform(X)
    for some in (EEGWindows.open(tmp_path / "store"), aligned, X[3:]):
        (source,) = some.recordings
        assert source.cuts == (10.5,)
        assert source.bad_spans == ((20, 21),)
    np.testing.assert_array_equal(
        EEGWindows.open(tmp_path / "store").to_canonical(), X.to_canonical()
    )


@pytest.mark.parametrize("whole", [True, False])
def test_epochs_at_marks_are_left_out(whole):
    marks = [(0, 10, "joy"), (10, 10, "fear"), (4.5, 0, "boundary"), (12, 1, "BAD_x")]
    raw = make_raw(noise(2000), marks)
    epochs = mne.make_fixed_length_epochs(
        raw, 2.0, reject_by_annotation=False, preload=True, verbose="error"
    )
    given = epochs if whole else [epochs[k] for k in range(len(epochs))]
    with pytest.warns(UserWarning, match=r"^2 of 10 epochs .*bad span.* \(2, 6\)"):
        X = EEGWindows.from_epochs(given, dataset="d", onset=np.arange(10) * 2.0)
    assert X.metadata["onset"].tolist() == [0, 2, 6, 8, 10, 14, 16, 18]
    # An estimator returns as many rows as it got.
    model = DifferentialEntropy({"alpha": (8, 14)})
    assert len(model.fit_transform(given)) == 10


def test_events_that_are_marks_make_no_epochs():
    marks = [(1, 0, "good"), (5, 0, "New Segment/"), (9, 0, "boundary"), (13, 0, "sad")]
    raw = make_raw(noise(2000), marks)
    events, codes = mne.events_from_annotations(raw, verbose="error")
    epochs = mne.Epochs(
        raw, events, codes, 0, 2, baseline=None, preload=True, verbose="error"
    )
    with pytest.warns(UserWarning, match=r"2 of 4 epochs .*begin at a mark"):
        X = EEGWindows.from_epochs(epochs, dataset="d")
    assert X.y.tolist() == ["good", "sad"]
    # What the user calls "bad" is a label.
    epochs.event_id = {"bad" if k == "good" else k: v for k, v in codes.items()}
    with pytest.warns(UserWarning, match="2 of 4"):
        assert EEGWindows.from_epochs(epochs).y.tolist() == ["bad", "sad"]


# Trials ------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["table", "annotations"])
def test_overlapping_trials_are_announced(way):
    rows = [(0, 60, "block 1"), (5, 20, "joy"), (30, 20, "fear")]
    message = (
        r"Trials overlap: trial 1 \(0 to 60 s, block 1\) and trial 2 \(5 to 25 s, joy\)"
        ", and 1 further"
    )
    with pytest.warns(UserWarning, match=message):
        if way == "annotations":
            Recording.from_raw(make_raw(noise(6000), rows))
        else:
            trials = [{"start": a, "stop": a + n, "label": text} for a, n, text in rows]
            Recording(noise(6000), NAMES, SFREQ, trials=trials)


def test_trials_that_touch_do_not_overlap():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Recording(noise(6000), NAMES, SFREQ, trials=[(0, 30.004, "a"), (30, 60, "b")])


def test_markers_of_a_sample_are_no_trials():
    marks = [(0, 20, "joy"), (3, 1 / SFREQ, "Stimulus/S  1")]
    raw = make_raw(noise(2000), marks)
    with pytest.warns(UserWarning, match="1 annotations have no duration"):
        recording = Recording.from_raw(raw)
    assert recording.trials["label"].tolist() == ["joy"]


def test_annotations_of_other_channels_do_not_count():
    raw = make_raw(noise(2000))
    raw.info["bads"] = ["O2"]
    raw.set_annotations(
        mne.Annotations([1, 5], [1, 1], ["BAD", "BAD"], ch_names=[["O2"], ["O2", "C3"]])
    )
    assert Recording.from_raw(raw).bad_spans == ((5, 6),)


# braindecode -------------------------------------------------------------------------


@pytest.mark.parametrize("as_epochs", [False, True])
def test_windows_of_braindecode_at_marks_are_left_out(as_epochs):
    datasets = pytest.importorskip("braindecode.datasets")
    from braindecode.preprocessing import create_windows_from_events

    marks = [
        (0, 10, "joy"), (10, 10, "fear"), (22, 6, "boundary"), (4.5, 0, "EDGE"),
        (12, 1, "BAD_x"),
    ]  # fmt: skip
    part = datasets.RawDataset(
        make_raw(noise(3000), marks), pd.Series({"subject": "1", "dataset": "d"})
    )
    cut = create_windows_from_events(
        datasets.BaseConcatDataset([part]), window_size_samples=200,
        window_stride_samples=200, use_mne_epochs=as_epochs, drop_bad_windows=False,
        preload=True, verbose="error",
    )  # fmt: skip
    codes = dict(cut.datasets[0].window_kwargs)["create_windows_from_events"]["mapping"]
    with pytest.warns(UserWarning, match=r"[45] of 1[23] windows lie in a bad"):
        X = EEGWindows.from_braindecode(cut)
    onsets = X.metadata["onset"].tolist()
    assert onsets == [0, 2, 6, 8, 0, 4, 6, 8]
    assert X.y.tolist() == [codes["joy"]] * 4 + [codes["fear"]] * 4
    assert len(DifferentialEntropy({"alpha": (8, 14)}).fit_transform(cut)) == len(cut)
