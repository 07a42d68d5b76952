"""EEGWindows: metadata, slicing, lazy windows, pickles, scikit-learn's tools."""

import pickle
import warnings

import mne
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    LeaveOneGroupOut,
    cross_val_predict,
    cross_val_score,
    learning_curve,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.utils import shuffle

from sklearn_mdjpt import (
    DifferentialEntropy,
    EEGWindows,
    Recording,
    concat_windows,
)


class Power(TransformerMixin, BaseEstimator):
    """Log variance of the mean over channels: enough to pass windows through."""

    def fit(self, X, y=None):
        assert isinstance(X, EEGWindows)
        self.fitted_ = True
        return self

    def transform(self, X):
        assert isinstance(X, EEGWindows)
        return np.array([[np.log(w.mean(axis=0).var())] for w in X])


def test_windows_are_cut_inside_trials(make_recordings):
    recordings = make_recordings(("A", "B"), n_subjects=2, trial_seconds=3.3)
    X = EEGWindows.from_recordings(recordings, window_seconds=1.0, stride_seconds=0.5)
    meta = X.metadata
    assert len(X) == 2 * 2 * 4 * 5  # datasets x subjects x trials x onsets 0 ... 2.0
    assert meta["onset"].max() == 2.0
    assert list(meta.columns[:7]) == [
        "dataset", "subject", "session", "trial", "stimulus", "onset", "label",
    ]  # fmt: skip
    assert set(meta["rating"]) == {0.0, 1.0, 2.0, 3.0}
    for i in (0, 7, 33, 79):
        row = meta.iloc[i]
        (recording,) = [
            r for r in recordings
            if (r.dataset, r.subject) == (row["dataset"], row["subject"])
        ]  # fmt: skip
        trial = recording.trials.iloc[int(row["trial"]) - 1]
        assert trial["stimulus"] == row["stimulus"]
        first = round((trial["start"] + row["onset"]) * recording.sfreq)
        length = round(recording.sfreq)
        assert first + length <= round(trial["stop"] * recording.sfreq)
        np.testing.assert_array_equal(X[i], recording.signal[:, first : first + length])


def test_memory_maps_are_not_read_into_memory(tmp_path):
    data = np.arange(4 * 1000, dtype=np.float32).reshape(4, 1000)
    np.save(tmp_path / "signal.npy", data)
    signal = np.load(tmp_path / "signal.npy", mmap_mode="r")
    recording = Recording(signal, list("abcd"), 100.0)
    X = EEGWindows.from_recordings(recording, window_seconds=1, stride_seconds=1)
    assert X.recordings[0].signal is signal
    text = pickle.dumps(X)
    assert len(text) < 5000
    again = pickle.loads(text)
    assert isinstance(again.recordings[0].signal, np.memmap)
    np.testing.assert_array_equal(again[3], data[:, 300:400])
    # A part of a map reopens at its own place in the file.
    part = Recording(signal[1:3], list("bc"), 100.0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(part)).signal, data[1:3])


def test_stacks_on_a_memory_map(tmp_path):
    data = np.random.default_rng(0).standard_normal((12, 2, 50)).astype("f4")
    np.save(tmp_path / "windows.npy", data)
    base = np.load(tmp_path / "windows.npy", mmap_mode="r")
    X = EEGWindows.from_arrays(
        base, ch_names=["C3", "C4"], sfreq=50, subject=list("ab") * 6
    )
    text = pickle.dumps(X)
    assert len(text) < 7000
    np.testing.assert_array_equal(np.asarray(pickle.loads(text)), data)


@pytest.mark.parametrize(
    "index",
    [
        slice(2, 9, 3),
        np.array([5, 1, 1, -1]),
        [3, 0],
        "mask",
        (np.array([4, 2]), Ellipsis),
        slice(0, 0),
        [],
        pd.Series([2, 8]),
    ],
    ids=str,
)
def test_indexing(mixed_windows, index):
    X = mixed_windows
    if isinstance(index, str):
        index = np.arange(len(X)) % 5 == 0
    part = X[index]
    rows = np.arange(len(X))[index[0] if isinstance(index, tuple) else index]
    assert isinstance(part, EEGWindows) and part.shape == (len(rows),)
    assert part.ndim == 1
    pd.testing.assert_frame_equal(
        part.metadata, X.metadata.iloc[rows].reset_index(drop=True)
    )
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(part[i], X[row])


@pytest.mark.parametrize(
    "index, error, message",
    [
        (np.ones(3, bool), IndexError, "Boolean index has shape"),
        ((1, 2), IndexError, "one dimension"),
        (1.5, IndexError, "Index EEGWindows with"),
        (10**6, IndexError, "out of range"),
    ],
)
def test_bad_indices(mixed_windows, index, error, message):
    with pytest.raises(error, match=message):
        mixed_windows[index]


def test_a_pickled_slice_takes_only_its_recordings(make_windows):
    X = make_windows(n_subjects=5)
    one = X[X.groups("subject") == "A/02"]
    assert len(one.recordings) == 1
    assert len(pickle.dumps(one)) < 0.25 * len(pickle.dumps(X))
    again = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(np.asarray(again), np.asarray(one))
    pd.testing.assert_frame_equal(again.metadata, one.metadata)


def test_groups_and_labels(mixed_windows):
    X = mixed_windows
    assert X.groups("dataset")[0] == "A"
    assert X.groups("subject")[0] == "A/01"
    assert X.groups("trial")[0] == "A/01/1/1"
    assert X.groups("stimulus")[0] == "A/clip0"
    assert len(set(X.groups("subject"))) == 9
    assert set(X.y) == {"negative", "neutral", "positive"}
    assert X.y.dtype.kind == "U"
    with pytest.raises(ValueError, match="by must be one of"):
        X.groups("label")
    with pytest.raises(AttributeError, match="3 different montages"):
        X.ch_names  # noqa: B018
    with pytest.raises(AttributeError, match="several sampling rates"):
        X.sfreq  # noqa: B018
    assert X[:3].sfreq == 200.0 and X[:3].ch_names[0] == "Fp1"


def test_from_arrays():
    x = np.random.default_rng(0).standard_normal((6, 2, 100))
    X = EEGWindows.from_arrays(
        x, ch_names=["C3", "C4"], sfreq=100, subject=[1, 2.0, "1", 2, 1, 2],
        session=np.array([1, 1, 1, 1, 2, 2]), trial=7, onset=range(6),
        y=[0, 1, 0, 1, 0, 1], extra={"valence": np.arange(6)},
    )  # fmt: skip
    meta = X.metadata
    assert meta["subject"].tolist() == ["1", "2", "1", "2", "1", "2"]
    assert meta["trial"].tolist() == ["7"] * 6
    assert meta["stimulus"].isna().all()
    assert X.y.dtype.kind == "i" and meta["valence"].tolist() == list(range(6))
    assert len(X.recordings) == 4  # one for each subject and session
    np.testing.assert_array_equal(np.asarray(X), x)
    np.testing.assert_array_equal(np.asarray(X[[5, 0]]), x[[5, 0]])
    other = EEGWindows.from_arrays(x, ch_names=["C3", "C4"], sfreq=100)
    assert other.metadata["dataset"][0] != meta["dataset"][0]
    assert other.y is None
    with pytest.raises(ValueError, match="6 of 6 windows have no subject"):
        other.groups("subject")
    with pytest.raises(ValueError, match="windows have no stimulus"):
        X.groups("stimulus")


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"ch_names": ["C3", "c3"]}, ValueError, "Duplicate channel names"),
        ({"ch_names": ["C3"]}, ValueError, "1 names, but the signal has 2"),
        ({"ch_names": "C3"}, TypeError, "single string"),
        ({"sfreq": 0}, ValueError, "sfreq must be .* > 0, got 0"),
        ({"sfreq": -1.0}, ValueError, "sfreq must be .* > 0, got -1.0"),
        ({"sfreq": None}, ValueError, "sfreq is unknown"),
        ({"sfreq": "100"}, ValueError, "sfreq must be a .* number > 0, got '100'"),
        ({"subject": [1, 2]}, ValueError, "subject has 2 entries.* 3 windows"),
        ({"onset": [1, 2]}, ValueError, "onset has 2 entries"),
        ({"onset": ["a", "b", "c"]}, TypeError, "onset of row 0: expected seconds"),
        ({"y": [1]}, ValueError, "y has 1 entries"),
        ({"extra": {"a": [1]}}, ValueError, "a has 1 entries"),
        ({"extra": {"subject": [1, 2, 3]}}, ValueError, "extra may not hold subject"),
        ({"X": np.ones((3, 2))}, ValueError, "must have shape"),
        ({"X": np.array([[["a"]]])}, TypeError, "real numbers"),
    ],
)
def test_from_arrays_errors(change, error, message):
    arguments = {"X": np.ones((3, 2, 50)), "ch_names": ["C3", "C4"], "sfreq": 100}
    arguments |= change
    with pytest.raises(error, match=message):
        EEGWindows.from_arrays(arguments.pop("X"), **arguments)


def test_recordings_errors(make_recordings):
    with pytest.raises(ValueError, match="No window of 9"):
        EEGWindows.from_recordings(make_recordings(), window_seconds=9)
    with pytest.raises(ValueError, match="stride_seconds must be .* > 0"):
        EEGWindows.from_recordings(make_recordings(), stride_seconds=0)
    with pytest.raises(TypeError, match="Recording objects, got ndarray"):
        EEGWindows.from_recordings([np.ones((2, 100))])
    signal = np.ones((2, 300))
    with pytest.raises(ValueError, match="appears twice"):
        EEGWindows.from_recordings(
            [
                Recording(signal, ["C3", "C4"], 100, "d", "s", "1", [trial])
                for trial in ({"start": 0, "stop": 2, "trial": 1},) * 2
            ]
        )
    with pytest.warns(UserWarning, match="1 of 2 trials are shorter"):
        EEGWindows.from_recordings(
            Recording(signal, ["C3", "C4"], 100, trials=[(0, 2, "a"), (2, 2.5, "b")]),
            window_seconds=1,
        )


def test_one_recording_for_each_trial_counts_trials_on():
    signal = np.ones((1, 200))
    X = EEGWindows.from_recordings(
        [Recording(signal, ["Cz"], 100, "d", "s", "1") for _ in range(3)],
        window_seconds=1,
    )
    assert X.metadata["trial"].tolist() == ["1", "2", "3"]


def test_bad_spans_hold_no_window():
    recording = Recording(
        np.ones((1, 1000)), ["Cz"], 100.0, bad_spans=[(2.5, 3.2), (9.0, 9.1)]
    )
    X = EEGWindows.from_recordings(recording, window_seconds=1, stride_seconds=1)
    assert X.metadata["onset"].tolist() == [0, 1, 4, 5, 6, 7, 8]


def test_concat_windows(make_windows):
    a, b = make_windows(("A",)), make_windows(("B",), n_subjects=2)
    X = concat_windows([a, b])
    assert len(X) == len(a) + len(b)
    np.testing.assert_array_equal(X[len(a) + 3], b[3])
    named = concat_windows({"one": a, "two": b})
    assert set(named.groups("dataset")) == {"one", "two"}
    # Parts of the same windows share their recordings again.
    assert len(concat_windows([a[:5], a[5:]]).recordings) == len(a.recordings)
    with pytest.raises(ValueError, match="would rename 2 datasets"):
        concat_windows({"both": X})
    with pytest.raises(ValueError, match="at least one"):
        concat_windows([])
    with pytest.raises(TypeError, match="got list"):
        concat_windows([[1, 2]])


def test_trials_of_two_files_under_one_id_are_announced():
    def windows():
        recording = Recording(np.ones((1, 200)), ["Cz"], 100, "d", "s", "1")
        return EEGWindows.from_recordings(recording, window_seconds=1)

    with pytest.warns(UserWarning, match="have one id: d/s/1/1. "):
        concat_windows([windows(), windows()])


def test_copies_on_write_and_joblib_maps_are_pickled_whole(tmp_path):
    data = np.ones((1, 400), dtype=np.float32)
    np.save(tmp_path / "signal.npy", data)
    changed = np.load(tmp_path / "signal.npy", mmap_mode="c")
    changed *= 5
    again = pickle.loads(pickle.dumps(Recording(changed, ["Cz"], 100.0)))
    assert again.signal.max() == 5.0


def test_array_of_mixed_windows_is_refused(mixed_windows):
    assert np.asarray(mixed_windows[:3]).shape == (3, 8, 200)
    with pytest.raises(ValueError, match="3 different montages, rates or lengths"):
        np.asarray(mixed_windows)


def test_repr(mixed_windows, make_windows):
    assert repr(mixed_windows) == (
        "<EEGWindows: 108 windows of 1 s, 3 datasets (A, B, C), 9 subjects, "
        "8/6/5 channels at 200/250/128 Hz>"
    )
    assert "<table" in mixed_windows._repr_html_()
    assert repr(mixed_windows[:0]) == "<EEGWindows: 0 windows>"


def _epochs(names, sfreq, n, n_times, seed=0, metadata=None):
    mne = pytest.importorskip("mne")
    info = mne.create_info(list(names) + ["EOG"], sfreq, ["eeg"] * len(names) + ["eog"])
    rng = np.random.default_rng(seed)
    return mne.EpochsArray(
        1e-5 * rng.standard_normal((n, len(names) + 1, n_times)),
        info,
        events=np.c_[np.arange(n), np.zeros(n, int), 1 + np.arange(n) % 2],
        event_id={"happy": 1, "sad": 2},
        metadata=metadata,
        verbose="error",
    )


def test_from_epochs():
    table = pd.DataFrame({"subject": [1, 1, 2], "stimulus": list("xyx"), "age": 30})
    epochs = _epochs(("Fz", "Cz"), 100.0, 3, 200, metadata=table)
    epochs.info["bads"] = ["Fz"]
    X = EEGWindows.from_epochs(epochs, dataset="D", session="s")
    assert X.ch_names == ("Cz",)  # neither bad channels nor EOG
    assert X.y.tolist() == ["happy", "sad", "happy"]
    assert X.groups("subject").tolist() == ["D/1", "D/1", "D/2"]
    assert X.metadata["age"].tolist() == [30, 30, 30]
    np.testing.assert_allclose(X[1], epochs.get_data()[1, 1:2])

    other = _epochs(("C3", "C4", "Pz"), 128.0, 2, 256, seed=1)
    mixed = EEGWindows.from_epochs([epochs, other], dataset="D", subject=[9] * 5)
    assert [w.shape for w in mixed] == [(1, 200)] * 3 + [(3, 256)] * 2
    # scikit-learn makes a list of single epochs out of Epochs.
    single = EEGWindows.from_epochs([epochs[i] for i in range(3)], dataset="D")
    np.testing.assert_array_equal(np.asarray(single), np.asarray(X))
    with pytest.raises(TypeError, match="got ndarray"):
        EEGWindows.from_epochs([np.ones(3)])


def test_epochs_that_were_dropped_take_the_order_with_them():
    info = mne.create_info(["Fz", "Cz"], 100.0, "eeg")
    signal = 1e-6 * np.random.default_rng(0).standard_normal((2, 4000))
    raw = mne.io.RawArray(signal, info, verbose="error")
    epochs = mne.make_fixed_length_epochs(raw, 5.0, preload=True, verbose="error")
    fewer = epochs.copy().drop([3], verbose="error")
    known = {"dataset": "lab", "subject": "1"}
    text = "onsets of 7 others are not known: their order does not tell when they were"
    with pytest.warns(UserWarning, match=text):
        X = EEGWindows.from_epochs(fewer, stimulus="clip", **known)
    assert X.metadata["onset"].isna().all()  # nothing is made up
    with pytest.warns(UserWarning, match=text):
        EEGWindows.from_epochs(fewer, trial=1, **known)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Nobody asks for the order, it is that of all, or time is known.
        EEGWindows.from_epochs(fewer, **known)
        EEGWindows.from_epochs(fewer, trial=np.arange(7), stimulus="clip", **known)
        EEGWindows.from_epochs(epochs[::2], stimulus="clip", **known)
        onset = 5.0 * fewer.selection
        EEGWindows.from_epochs(fewer, stimulus="clip", onset=onset, **known)


def test_from_epochs_of_several_montages_keeps_metadata():
    columns = ("dataset", "subject", "session", "trial", "stimulus", "label")
    first = pd.DataFrame({name: [f"{name}1", f"{name}2"] for name in columns})
    first["onset"], first["valence"] = [0.0, 2.5], [7, 3]
    second = first.iloc[::-1].replace("dataset.", "other", regex=True)
    E = [
        _epochs(("Fz", "Cz"), 100.0, 2, 200, metadata=first),
        _epochs(("C3", "C4", "Pz"), 128.0, 2, 256, metadata=second),
    ]
    X = EEGWindows.from_epochs(E)
    expected = pd.concat([first, second], ignore_index=True)
    found = X.metadata[list(expected)]
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    # Without metadata: one dataset of no known subjects, labelled by the events.
    X = EEGWindows.from_epochs(
        [_epochs(("Fz",), 100, 2, 9), _epochs(("Pz",), 50, 2, 9)]
    )
    assert X.y.tolist() == ["happy", "sad"] * 2
    assert len(set(X.groups("dataset"))) == 1
    assert X.metadata["subject"].isna().all()


def test_from_epochs_keeps_each_digitisation():
    """A second subject's electrodes used to lie where the first one's did."""
    import mne

    E = []
    for place in (0.05, 0.09):
        epochs = _epochs(("E1",), 100.0, 2, 200)
        where = mne.channels.make_dig_montage({"E1": (0, 0, place)}, coord_frame="head")
        E.append(epochs.set_montage(where, on_missing="ignore"))
    X = EEGWindows.from_epochs(E, subject=[1, 1, 2, 2])
    found = [source.positions[0, 2] for source in X.recordings]
    np.testing.assert_allclose(found, [0.05, 0.09])


def test_to_epochs_and_back(mixed_windows, make_windows):
    lengths = make_windows(("A",), window_seconds=1.5, n_subjects=1)
    lengths._metadata.loc[:2, "label"] = None
    lengths._metadata["dataset"] = "D"
    X = concat_windows([mixed_windows, lengths])
    X = shuffle(X, random_state=0)
    E = X.to_epochs()
    assert sorted((len(e.ch_names), e.info["sfreq"], len(e.times)) for e in E) == [
        (5, 128.0, 128), (6, 250.0, 250), (8, 200.0, 200), (8, 200.0, 300),
    ]  # fmt: skip
    order = np.concatenate([epochs.events[:, 0] for epochs in E])
    assert order[0] == 0 and sorted(order) == list(range(len(X)))
    again, X = EEGWindows.from_epochs(E), X[order]
    pd.testing.assert_frame_equal(again.metadata, X.metadata)
    for one, other in zip(again, X, strict=True):
        np.testing.assert_array_equal(one, other)
    assert [s.ch_names for s, *_ in again[[0, -1]].blocks()] == [
        X[[0]].ch_names, X[[-1]].ch_names,
    ]  # fmt: skip
    # Names of events are the labels, by one code in all of the list.
    assert sum("no label" in e.event_id for e in E) == 1
    codes = {}
    for epochs in E:
        names = {code: name for name, code in epochs.event_id.items()}
        for code, label in zip(
            epochs.events[:, 2], epochs.metadata["label"], strict=True
        ):
            assert names[code] == (label or "no label")
            assert codes.setdefault(names[code], code) == code
    assert len(codes) == 4
    assert mixed_windows[:0].to_epochs() == []


def test_to_epochs_knows_electrodes():
    positions = [[0.01, 0.02, 0.1], [np.nan] * 3, [np.nan] * 3]
    X = EEGWindows.from_arrays(
        np.ones((2, 3, 50)), ch_names=["mine", "T3", "none"], sfreq=10,
        positions=positions,
    )  # fmt: skip
    (epochs,) = X.to_epochs()
    found = [ch["loc"][:3] for ch in epochs.info["chs"]]
    expected = [[0.01, 0.02, 0.1], [-0.086, 0.0149, 0.0312], [np.nan] * 3]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert epochs.event_id == {"no label": 1}
    assert EEGWindows.from_epochs(epochs).y is None


def test_epochs_are_cross_validated(make_windows):
    """As windows, as Epochs and as single Epochs of several montages: one result."""
    from sklearn_mdjpt import MDJPTEncoder

    model = make_pipeline(
        MDJPTEncoder.small(
            max_epochs=1, batches_per_epoch=2, batch_size=8, hidden_dim=16,
            random_state=0,
        ),
        LogisticRegression(max_iter=1000),
    )  # fmt: skip
    cut = {"n_subjects": 4, "n_stimuli": 3, "window_seconds": 1.0}
    a, b = make_windows(("A",), **cut), make_windows(("B",), **cut)
    (epochs,) = a.to_epochs()
    known = {"groups": a.groups("subject"), "cv": GroupKFold(2)}
    found = cross_val_predict(model, epochs, a.y, method="predict_proba", **known)
    X = EEGWindows.from_epochs(epochs)
    expected = cross_val_predict(model, X, a.y, method="predict_proba", **known)
    np.testing.assert_allclose(found, expected, atol=1e-5)

    several = concat_windows([a, b]).to_epochs()
    X = EEGWindows.from_epochs(several)
    assert len({source.ch_names for source in X.recordings}) == 2
    known = {"groups": X.groups("subject"), "cv": GroupKFold(2)}
    scores = cross_val_score(model, X, X.y, **known)
    assert np.isfinite(scores).all()
    single = [part[k] for part in several for k in range(len(part))]
    np.testing.assert_array_equal(cross_val_score(model, single, X.y, **known), scores)


@pytest.mark.parametrize("routing", [False, True])
def test_scikit_learn_tools(mixed_windows, routing):
    from sklearn import config_context

    X = mixed_windows
    y, groups = X.y, X.groups("subject")
    pipe = make_pipeline(Power(), LogisticRegression())
    logo = LeaveOneGroupOut()
    with config_context(enable_metadata_routing=routing):
        known = {"params": {"groups": groups}} if routing else {"groups": groups}
        assert len(cross_val_score(pipe, X, y, cv=logo, **known)) == 9
        assert len(cross_val_predict(pipe, X, y, cv=logo, **known)) == len(X)
        scores = cross_val_score(pipe, X, y, cv=3, n_jobs=2, scoring="accuracy")
        assert len(scores) == 3 and np.isfinite(scores).all()
        search = GridSearchCV(pipe, {"logisticregression__C": [0.1, 1]}, cv=3)
        assert np.isfinite(search.fit(X, y).best_score_)
        sizes, *_ = learning_curve(pipe, X, y, cv=3, train_sizes=[0.5, 1.0])
        assert len(sizes) == 2
    train, test = train_test_split(X, test_size=0.25, random_state=0)
    assert isinstance(train, EEGWindows) and len(test) == 27
    mixed = shuffle(X, random_state=0)
    assert sorted(mixed.groups("trial")) == sorted(X.groups("trial"))


def test_no_recordings_are_an_error():
    with pytest.raises(ValueError, match="No recordings were given"):
        EEGWindows.from_recordings([])


@pytest.mark.parametrize("dtype", [bool, "boolean"])
def test_boolean_series_counts_by_its_index(mixed_windows, dtype):
    X = mixed_windows
    table = X.metadata.sort_values("onset", ascending=False)
    mask = (table["onset"] == 0).astype(dtype)
    assert not np.array_equal(mask, X.metadata["onset"] == 0)
    part = X[mask]
    np.testing.assert_array_equal(part.metadata["onset"], 0.0)
    assert len(part) == mask.sum()
    np.testing.assert_array_equal(part[0], X[int(mask[mask].index.min())])


@pytest.mark.parametrize(
    "labels, message",
    [
        (lambda n: range(n - 1), r"2 labels: 2 are missing"),
        (lambda n: range(1, n + 1), r"0 are missing; 3 are no window"),
        (lambda n: [0, 1, 1], r"2 are missing; 1 occur several times"),
        (lambda n: list("abc"), r"are missing; 'a', 'b', 'c' are no window"),
    ],
)
def test_boolean_series_of_another_index(mixed_windows, labels, message):
    X = mixed_windows[:3]
    labels = labels(3)
    mask = pd.Series(True, index=labels)
    with pytest.raises(IndexError, match=message):
        X[mask]
    assert len(X[: len(mask)][mask.to_numpy()]) == len(mask)


def _cut_epochs(step, *, trial, metadata=False, decim=1, tmin=0.0):
    rng = np.random.default_rng(0)
    info = mne.create_info(["Fz", "Cz"], 100.0, "eeg")
    raw = mne.io.RawArray(1e-5 * rng.standard_normal((2, 3000)), info, verbose="error")
    starts = 100 + step * np.arange(10)
    events = np.column_stack([starts, np.zeros(10, int), 1 + np.arange(10) % 2])
    table = pd.DataFrame({"trial": trial}) if metadata else None
    epochs = mne.Epochs(
        raw, events, {"joy": 1, "fear": 2}, tmin=tmin, tmax=tmin + 1.99, baseline=None,
        metadata=table, decim=decim, verbose="error",
    )  # fmt: skip
    return epochs, {} if metadata else {"trial": trial}


@pytest.mark.parametrize("metadata", [True, False])
@pytest.mark.parametrize("decim, tmin", [(1, 0.0), (2, -0.5)])
def test_epochs_of_several_trials_that_overlap_are_announced(metadata, decim, tmin):
    epochs, given = _cut_epochs(
        100, trial=np.arange(10) // 2, metadata=metadata, decim=decim, tmin=tmin
    )
    first = f"{1 + tmin:g} to {4 + tmin:g} s, joy"
    message = rf"Trials overlap: trial '0' \({first}\) and trial '1' .*, and 3 further"
    with pytest.warns(UserWarning, match=message) as said:
        X = EEGWindows.from_epochs(epochs, dataset="d", **given)
    assert [warning.filename for warning in said] == [__file__]
    assert X.metadata["trial"].nunique() == 5


@pytest.mark.parametrize(
    "step, trial",
    [
        (100, [0] * 10),  # windows of one trial
        (200, range(10)),  # which touch
        (199, range(10)),  # a sample of grace
        (100, [None] * 10),
        (100, [0, None] * 5),
    ],
)
def test_epochs_that_need_no_word(step, trial):
    epochs, given = _cut_epochs(step, trial=np.array(trial, object))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        EEGWindows.from_epochs(epochs, dataset="d", subject=1, **given)


def test_event_times_that_are_numbers_are_no_times(tmp_path):
    data = 1e-5 * np.random.default_rng(0).standard_normal((10, 2, 200))
    X = EEGWindows.from_arrays(
        data, ch_names=["Fz", "Cz"], sfreq=100.0, dataset="d", trial=range(10)
    )
    (made,) = X[::2].to_epochs()
    array = mne.EpochsArray(data, made.info, verbose="error")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Trials overlap")
        for name, epochs in {"made": made, "array": array}.items():
            path = tmp_path / f"{name}-epo.fif"
            epochs.save(path, verbose="error")
            for some in (epochs, mne.read_epochs(path, verbose="error")):
                EEGWindows.from_epochs(some, dataset="d", trial=range(len(some)))
    # Epochs that were cut know their times from a file as well.
    epochs, given = _cut_epochs(100, trial=range(10))
    epochs.save(tmp_path / "cut-epo.fif", verbose="error")
    epochs = mne.read_epochs(tmp_path / "cut-epo.fif", verbose="error")
    with pytest.warns(UserWarning, match="Trials overlap: trial '0'"):
        EEGWindows.from_epochs(epochs, dataset="d", **given)


def _two_rates(one, other):
    signal = 1e-5 * np.random.default_rng(0).standard_normal((2, 5500))
    return EEGWindows.from_recordings(
        [
            Recording(signal, ["Fz", "Cz"], rate, dataset="d", subject=subject)
            for subject, rate in enumerate((one, other))
        ],
        window_seconds=2,
    )


@pytest.mark.parametrize(
    "rates, one",
    [
        ((500.0, 499.99999), 500.0),
        ((499.9999, 500.0001), 499.9999),
        ((256.0, 256.0001), 256.0),
        ((1024.0005, 1023.9995), 1023.9995),
    ],
)
def test_rates_that_differ_by_rounding_are_one(rates, one):
    X, exact = _two_rates(*rates), _two_rates(one, one)
    assert len(X) == len(exact) and X.sfreq == _two_rates(*rates[::-1]).sfreq == one
    np.testing.assert_array_equal(np.asarray(X), np.asarray(exact))
    (epochs,) = X.to_epochs()
    np.testing.assert_array_equal(epochs.get_data(), np.asarray(exact))
    assert X.recordings[1].sfreq == rates[1]
    features = DifferentialEntropy({"alpha": (8, 14)}, sfreq=one).fit_transform(X)
    np.testing.assert_allclose(
        features,
        DifferentialEntropy({"alpha": (8, 14)}).fit_transform(exact),
        rtol=1e-4,
    )
    assert f"2 channels at {one:g} Hz" in repr(X)


@pytest.mark.parametrize(
    "rates, texts",
    [((500.0, 499.998), "499.998, 500"), ((2048.0, 2048.003), "2048, 2048.003")],
)
def test_rates_that_differ_are_shown_to_differ(rates, texts):
    X = _two_rates(*rates)
    assert len(X.to_epochs()) == 2
    with pytest.raises(AttributeError, match=rf"sampling rates \({texts} Hz\)"):
        X.sfreq  # noqa: B018
    with pytest.raises(ValueError, match="different montages, rates"):
        np.asarray(X)
    with pytest.raises(
        ValueError, match=f"sfreq={rates[0]:g} Hz .* {rates[1]:.10g} Hz"
    ):
        DifferentialEntropy(sfreq=rates[0]).fit(X)
    assert f"at {texts.replace(', ', '-')} Hz" in repr(X)
