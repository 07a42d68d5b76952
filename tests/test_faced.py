import pickle
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat
from tones_for_a_test import Evil, check_tones, dump, python2_pickle, tones

from sklearn_mdjpt import EEGWindows
from sklearn_mdjpt.datasets import read_faced, valence_of

# As the files have it, written out here once more: A2 and A1 come last.
PROCESSED = (
    "Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T7 T8 CP1 CP2 CP5 CP6 Pz P3 P4 P7 "
    "P8 PO3 PO4 Oz O1 O2 A2 A1"
).split()
# The first cohort's raw recordings: A1 and A2 in the middle, old names.
RAW = (
    "Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T3 T4 A1 A2 CP1 CP2 CP5 CP6 Pz P3 "
    "P4 T5 T6 PO3 PO4 Oz O1 O2"
).split()
LABELS = (
    ["anger"] * 3 + ["disgust"] * 3 + ["fear"] * 3 + ["sad"] * 3 + ["neutral"] * 4
    + ["amusement"] * 3 + ["inspiration"] * 3 + ["happy"] * 3 + ["tenderness"] * 3
)  # fmt: skip
SCORES = (
    "joy tenderness inspiration amusement anger disgust fear sadness arousal valence "
    "familiarity liking"
).split()
SECONDS = 6
SHORT = {"window_seconds": 1.0, "stride_seconds": 2.0}
CLIP_SECONDS = 1.4  # of raw recordings


def processed(subject, n_times=250 * SECONDS):
    """Return what a preprocessed file holds: (28, 32, n_times), microvolts."""
    times = np.arange(n_times) / 250
    clips = [1e6 * tones(PROCESSED, video, subject, times) for video in range(1, 29)]
    return np.array(clips)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    root = tmp_path_factory.mktemp("faced") / "FACED"
    for subject in (0, 7, 122):
        dump(root / "Processed_data" / f"sub{subject:03d}.pkl", processed(subject))
    (root / "Processed_data" / "readme.txt").write_text("other files do not matter")
    dump(root / "EEG_Features" / "DE" / "sub003.pkl.pkl", np.zeros(3))
    return root


@pytest.fixture
def tree(published, tmp_path):
    """A copy to damage."""
    return shutil.copytree(published, tmp_path / "FACED")


def test_every_window_is_what_was_recorded(published):
    X = read_faced(published, **SHORT)
    assert len(X) == 3 * 28 * 3
    assert X.sfreq == 250
    assert X.ch_names == tuple(PROCESSED[:30])
    check_tones(X)


def test_metadata(published):
    X = read_faced(published, **SHORT)
    table = X.metadata
    assert set(table["dataset"]) == {"FACED"}
    assert list(table["subject"].unique()) == ["000", "007", "122"]
    assert set(table["session"]) == {"1"}
    assert list(table["trial"].unique()) == [f"{v:02d}" for v in range(1, 29)]
    assert (table["trial"] == table["stimulus"]).all()
    assert list(table["onset"].unique()) == [0, 2, 4]
    one = table.drop_duplicates("stimulus")
    assert list(one["label"]) == LABELS
    own = {"sad": "sadness", "happy": "joy"}
    assert list(one["emotion"]) == [own.get(word, word) for word in LABELS]


@pytest.mark.parametrize("n_classes", [3, 2])
def test_classes_of_valence(published, n_classes):
    X = read_faced(published, subjects=7, n_classes=n_classes, **SHORT)
    words = {-1: "negative", 0: "neutral", 1: "positive"}
    expected = {
        f"{video:02d}": words[value]
        for video, value in enumerate(valence_of(LABELS), 1)
        if n_classes == 3 or value
    }
    labels = X.metadata.drop_duplicates("stimulus").set_index("stimulus")["label"]
    assert dict(labels) == expected
    assert len(expected) == {3: 28, 2: 24}[n_classes]
    check_tones(X)


@pytest.mark.parametrize("place", [".", "..", "Processed_data"])
def test_root_may_be_the_folder_around_or_below(published, place):
    X = read_faced(published / place, subjects=[122, 0], **SHORT)
    assert list(dict.fromkeys(X.metadata["subject"])) == ["122", "000"]


def test_clips_may_be_of_any_length(tmp_path):
    dump(tmp_path / "Processed_data" / "sub000.pkl", processed(0, 333))
    X = read_faced(tmp_path, **SHORT)
    assert len(X) == 28
    check_tones(X)


def test_other_ways_to_write_the_file(tmp_path):
    folder = tmp_path / "Processed_data"
    dump(folder / "sub000.pkl", processed(0, 300), protocol=2)
    dump(folder / "sub001.pkl", processed(1, 300).astype(np.float32))
    (folder / "sub002.pkl").write_bytes(python2_pickle(processed(2, 300)))
    X = read_faced(tmp_path, **SHORT)
    assert len(X) == 3 * 28
    check_tones(X)


def test_opening_decodes_nothing(published):
    X = read_faced(published, **SHORT)
    assert [r._signal._n_decoded for r in X.recordings] == [0, 0, 0]
    X[0], X[1], X[27]
    assert [r._signal._n_decoded for r in X.recordings] == [1, 0, 0]


def test_pickled_and_saved_windows(published, tmp_path):
    X = read_faced(published, **SHORT)
    some = X[[0, 100, 200]]
    data = pickle.dumps(some)
    assert len(data) < 1e5  # the files' names, not their samples
    check_tones(pickle.loads(data))
    X.save(tmp_path / "store")
    again = EEGWindows.open(tmp_path / "store")
    pd.testing.assert_frame_equal(again.metadata, X.metadata)
    check_tones(again, range(0, len(X), 50))


def test_several_processes_read_the_same(published):
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.model_selection import cross_val_predict

    class Loudness(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            return np.array([int(1e9 * X[i].std()) for i in range(len(X))])

    X = read_faced(published, subjects=[0, 7], **SHORT)
    one, two = (
        cross_val_predict(Loudness(), X, np.arange(len(X)) % 2, cv=2, n_jobs=n)
        for n in (1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert len(set(one)) > 28


# Wrong parameters and files --------------------------------------------------------


def test_subjects(published):
    with pytest.raises(
        FileNotFoundError, match=r"of subjects 5: .*'sub.subject}.pkl' .* 0, 7"
    ):
        read_faced(published, subjects=[0, 5])
    for wrong in (123, -1, "a", True):
        with pytest.raises(ValueError, match="subjects must be .* >= 0 and <= 122"):
            read_faced(published, subjects=wrong)


@pytest.mark.parametrize(
    "parameter, value",
    [("source", "clean"), ("n_classes", 4), ("on_error", "ignore")],
)
def test_unknown_options(published, parameter, value):
    with pytest.raises(ValueError, match=f"{parameter} must be one of"):
        read_faced(published, **{parameter: value})


def test_nothing_there(tmp_path, published):
    with pytest.raises(FileNotFoundError, match="No folder 'Processed_data' of FACED"):
        read_faced(tmp_path)
    (tmp_path / "Processed_data").mkdir()
    with pytest.raises(FileNotFoundError, match="No recording.*'sub.subject}.pkl'"):
        read_faced(tmp_path)
    with pytest.raises(FileNotFoundError, match="No folder 'Data' of FACED"):
        read_faced(published, source="raw")


@pytest.mark.parametrize(
    "content, message",
    [
        (np.zeros((27, 32, 10)), r"\(27, 32, 10\), expected \(28, 32, n_times\)"),
        (np.zeros((28, 30, 10)), r"has shape \(28, 30, 10\)"),
        (np.zeros((28, 32)), r"has shape \(28, 32\)"),
        (np.zeros((28, 32, 0)), r"has shape \(28, 32, 0\)"),
        ({"data": np.zeros(3)}, "expected an array, found dict"),
        (Evil(eval, "1"), "it names 'builtins.eval'"),
    ],
)
def test_files_that_are_not_as_published(tree, content, message):
    dump(tree / "Processed_data" / "sub007.pkl", content)
    with pytest.raises(ValueError, match=f"sub007.pkl' cannot be read: .*{message}"):
        read_faced(tree)


def test_files_that_cannot_be_read_are_skipped(tree):
    folder = tree / "Processed_data"
    whole = (folder / "sub000.pkl").read_bytes()
    (folder / "sub000.pkl").write_bytes(whole[:-1000])
    (folder / "sub001.pkl").write_bytes(b"")
    with pytest.raises(ValueError, match="sub000.pkl' cannot be read: it is cut off"):
        read_faced(tree)
    with pytest.warns(UserWarning) as caught:
        X = read_faced(tree, on_error="skip", **SHORT)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith("2 of 4 files are left out")
    assert "sub000.pkl" in message and "sub001.pkl" in message
    assert caught[0].filename == __file__
    assert set(X.metadata["subject"]) == {"007", "122"}
    check_tones(X, range(0, len(X), 20))
    with pytest.raises(ValueError, match="None of 2 files"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read_faced(tree, subjects=[0, 1], on_error="skip")


def test_files_of_unknown_subjects_are_named(tree):
    (tree / "Processed_data" / "sub123.pkl").write_bytes(b"")
    with pytest.warns(UserWarning, match="1 files in .* left out: .* sub123.pkl"):
        X = read_faced(tree, **SHORT)
    assert len(X.recordings) == 3


def test_a_file_that_changes_later(tree):
    X = read_faced(tree, subjects=0, **SHORT)
    dump(tree / "Processed_data" / "sub000.pkl", processed(0, 400))
    with pytest.raises(ValueError, match="sub000.pkl' has changed"):
        X[0]


# Raw recordings --------------------------------------------------------------------


def clip_order(subject):
    return 1 + np.random.default_rng(subject).permutation(28)


def clip_start(place):
    return 2.0 + 2 * place


def make_raw(root, subject, names=RAW, *, sfreq=250, header_unit="uV", unit="uV"):
    """Write a raw recording: clips of 1.4 s every 2 s, and its row of the table."""
    edfio = pytest.importorskip("edfio", reason="writes the BDF files (extra test)")
    folder = root / "Data" / f"sub{subject:03d}"
    folder.mkdir(parents=True)
    signal = np.zeros((len(names), 60 * sfreq))
    events = [(0.5, "Start Impedance"), (0.6, "Stop Impedance"), (1.0, "100")]
    events.append((1.2, "201"))
    for place, video in enumerate(clip_order(subject)):
        start = clip_start(place)
        first, n_times = round(start * sfreq), round(CLIP_SECONDS * sfreq)
        signal[:, first : first + n_times] = tones(
            names, video, subject, np.arange(n_times) / sfreq
        )
        events += [(start - 0.004, str(video)), (start, "101")]
        events.append((start + CLIP_SECONDS, "102"))
    # Numbers in the file: volts where either place says so and MNE does not convert.
    factor = 1 if unit == "V" and header_unit != "uV" else 1e6
    bound = 2e-3 * factor
    edfio.Bdf(
        [
            edfio.BdfSignal(
                factor * row, sfreq, label=name, physical_dimension=header_unit,
                physical_range=(-bound, bound),
            )
            for name, row in zip(names, signal, strict=True)
        ]
    ).write(folder / "data.bdf")  # fmt: skip
    write_events(folder, events)
    table = root / "Recording_info.csv"
    if not table.exists():
        table.write_text("sub,Gender,Age,Sample_rate,Unit\n", encoding="utf-8")
    with table.open("a", encoding="utf-8") as file:
        file.write(f"sub{subject:03d},F,20,{sfreq},{unit}\n")
    return events


def write_events(folder, events):
    import edfio

    annotations = [edfio.EdfAnnotation(time, None, text) for time, text in events]
    edfio.Bdf([], annotations=annotations).write(folder / "evt.bdf")


def write_remarks(root, subject, videos=range(1, 29)):
    """Write ratings of 100 * rating's place + video, in the order given."""
    fields = ["score", "trial", "vid", "Accuracy", "ResponseTime"]
    remarks = np.empty((len(videos), 1), dtype=[(name, object) for name in fields])
    for i, video in enumerate(videos):
        score = 100.0 * np.arange(12) + video
        remarks[i, 0] = (score[None], i + 1, video, 1, 2.5)
    path = root / "Data" / f"sub{subject:03d}" / "After_remarks.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"After_remark": remarks})
    return path


@pytest.fixture(scope="module")
def published_raw(tmp_path_factory):
    root = tmp_path_factory.mktemp("raw")
    make_raw(root, 0)
    # The second cohort: new names in another order, and more channels.
    new = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
    names = [new.get(name, name) for name in RAW[::-1]]
    make_raw(root, 61, ["ECG", *names, "Trig"], header_unit="", unit="μV")
    write_remarks(root, 61, clip_order(61))
    return root


@pytest.fixture
def raw_tree(published_raw, tmp_path):
    return shutil.copytree(published_raw, tmp_path / "FACED")


RAW_SHORT = {"source": "raw", "window_seconds": 0.6, "stride_seconds": 0.4}


def test_raw_recordings(published_raw):
    X = read_faced(published_raw, **RAW_SHORT)
    assert len(X) == 2 * 28 * 3
    assert X.ch_names == tuple(PROCESSED[:30])
    assert [recording.duration for recording in X.recordings] == [60, 60]
    check_tones(X, atol=1e-9)
    table = X.metadata
    assert list(table["subject"].unique()) == ["000", "061"]
    for subject, part in table.groupby("subject"):
        once = part.drop_duplicates("stimulus")
        order = clip_order(int(subject))
        assert list(once["stimulus"]) == [f"{video:02d}" for video in order]
        assert list(once["label"]) == [LABELS[video - 1] for video in order]
        assert list(once["play_order"]) == list(range(1, 29))


@pytest.mark.parametrize(
    "header_unit, unit", [("uV", "V"), ("uV", "uV"), ("V", "V"), ("", "V"), ("V", "uV")]
)
def test_units(tmp_path, header_unit, unit):
    make_raw(tmp_path, 3, header_unit=header_unit, unit=unit)
    check_tones(read_faced(tmp_path, **RAW_SHORT), range(0, 84, 9), atol=1e-9)


def test_a_thousand_hertz(tmp_path):
    make_raw(tmp_path, 3, RAW[:20] + RAW[20:], sfreq=1000)
    X = read_faced(tmp_path, **RAW_SHORT)
    assert X.sfreq == 1000
    check_tones(X, range(0, 84, 9), atol=1e-9)


def test_raw_opening_decodes_nothing(published_raw):
    X = read_faced(published_raw, **RAW_SHORT)
    assert [r._signal._n_decoded for r in X.recordings] == [0, 0]


def test_raw_two_classes_and_store(published_raw, tmp_path):
    X = read_faced(published_raw, n_classes=2, **RAW_SHORT)
    assert len(X) == 2 * 24 * 3
    assert set(X.y) == {"negative", "positive"}
    X.save(tmp_path / "store")
    again = EEGWindows.open(tmp_path / "store")
    check_tones(again, range(0, len(X), 20), atol=1e-9)
    pd.testing.assert_frame_equal(again.metadata, X.metadata)


def test_ratings_belong_to_their_video(published_raw, tree):
    table = read_faced(published_raw, **RAW_SHORT).metadata
    rated = table[table["subject"] == "061"]
    for place, name in enumerate(SCORES):
        expected = 100 * place + rated["stimulus"].astype(int)
        np.testing.assert_array_equal(rated[name].astype(float), expected)
        assert table[table["subject"] == "000"][name].isna().all()
    # They are found from the preprocessed data as well.
    write_remarks(tree, 7, range(28, 0, -1))
    table = read_faced(tree, subjects=7, **SHORT).metadata
    assert (table["valence"] == 900 + table["stimulus"].astype(int)).all()


def test_damaged_ratings(tree):
    path = write_remarks(tree, 7, [1, 1])
    with pytest.raises(ValueError, match="After_remarks.mat' cannot be read: clip 1"):
        read_faced(tree)
    savemat(path, {"something": 1})
    with pytest.raises(ValueError, match="After_remark.*found something"):
        read_faced(tree)


@pytest.mark.parametrize("name", ["data.bdf", "evt.bdf"])
def test_missing_raw_files(raw_tree, name):
    (raw_tree / "Data" / "sub061" / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"No '{name}' in .*sub061', .*After"):
        read_faced(raw_tree, source="raw")
    with pytest.warns(UserWarning, match=f"1 of 2 files are left out: No '{name}'"):
        X = read_faced(raw_tree, on_error="skip", **RAW_SHORT)
    assert set(X.metadata["subject"]) == {"000"}


@pytest.mark.parametrize(
    "table, message",
    [
        ("sub,Sample_rate,Unit\nsub000,250,uV\n", "has 0 rows for subject 061"),
        ("sub,Sample_rate,Unit\n0,250,uV\n61,500,uV\n", "250 Hz, and 500 Hz in"),
        ("sub,Sample_rate,Unit\n0,250,uV\n61,250,nV\n", "unit 'nV' for subject 061"),
        ("sub,Unit\n0,uV\n", "Recording_info.csv' cannot be read: .* sample_rate"),
    ],
)
def test_a_table_that_does_not_fit(raw_tree, table, message):
    (raw_tree / "Recording_info.csv").write_text(table)
    with pytest.raises(ValueError, match=message):
        read_faced(raw_tree, source="raw")


def test_a_missing_table(raw_tree):
    (raw_tree / "Recording_info.csv").unlink()
    with pytest.raises(FileNotFoundError, match="No 'Recording_info.csv' in"):
        read_faced(raw_tree, source="raw")


def test_events_that_make_no_sense(tmp_path):
    events = make_raw(tmp_path, 0)
    folder = tmp_path / "Data" / "sub000"
    no_end = [event for event in events if event[0] != events[6][0]]
    no_name = [event for event in events if event[0] != events[4][0]]
    twice = [*events, (59.0, events[4][1]), (59.1, "101"), (59.5, "102")]
    for wrong, message in (
        (no_end, r"begins at 2 s \(code 101\) has the codes"),
        (no_name, r"at 2 s \(code 101\) has the codes 201 before"),
        (twice, f"the clip {events[4][1]} begins more than once"),
        (events[:4], "no clip begins in it"),
    ):
        write_events(folder, wrong)
        with pytest.raises(ValueError, match=f"evt.bdf' cannot be read: .*{message}"):
            read_faced(tmp_path, source="raw")
    write_events(folder, events[:4] + events[7:])
    with pytest.warns(UserWarning, match=f"no onset of the clips {events[4][1]};"):
        X = read_faced(tmp_path, **RAW_SHORT)
    assert X.metadata["stimulus"].nunique() == 27
    check_tones(X, range(0, 81, 9), atol=1e-9)


def test_raw_channels_that_are_missing(tmp_path):
    make_raw(tmp_path, 0, RAW[:-1])
    with pytest.raises(ValueError, match="data.bdf' cannot be read: .* channels O2;"):
        read_faced(tmp_path, source="raw")


def test_a_recording_that_was_never_closed(raw_tree):
    path = raw_tree / "Data" / "sub000" / "data.bdf"
    data = path.read_bytes()
    path.write_bytes(data[:236] + b"-1      " + data[244:])
    X = read_faced(raw_tree, subjects=0, **RAW_SHORT)
    assert X.recordings[0].duration == 60
    check_tones(X, range(0, 84, 9), atol=1e-9)


def test_damaged_raw_files(raw_tree):
    path = raw_tree / "Data" / "sub000" / "data.bdf"
    data = path.read_bytes()
    for wrong, message in (
        (data[:-5000], "it is cut off: .* 59 records, .* 60"),
        (b"nothing", "it is no BDF file"),
        (data[:252] + b"many" + data[256:], "its header has 'many' where a number"),
    ):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=f"data.bdf' cannot be read: {message}"):
            read_faced(raw_tree, source="raw")
