import os
import pickle
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat
from tones_for_a_test import Evil, check_tones, dump, python2_pickle, tones

from sklearn_mdjpt import EEGWindows
from sklearn_mdjpt.datasets import read_deap, valence_of

# The order of the preprocessed files, and that of raw recordings from Twente.
GENEVA = (
    "Fp1 AF3 F3 F7 FC5 FC1 C3 T7 CP5 CP1 P3 P7 PO3 O1 Oz Pz Fp2 AF4 Fz F4 F8 FC6 FC2 "
    "Cz C4 T8 CP6 CP2 P4 P8 PO4 O2"
).split()
TWENTE = (
    "Fp1 AF3 F7 F3 FC1 FC5 T7 C3 CP1 CP5 P7 P3 Pz PO3 O1 Oz O2 PO4 P4 P8 CP6 CP2 C4 T8 "
    "FC6 FC2 F4 F8 AF4 Fp2 Fz Cz"
).split()
OTHERS = "hEOG vEOG zEMG tEMG GSR Respiration Plethysmograph Temperature".split()
RATINGS = ["valence", "arousal", "dominance", "liking"]
SECONDS = 6
SHORT = {"window_seconds": 1.0, "stride_seconds": 2.0}
RAW_SHORT = {"source": "raw", "window_seconds": 0.5, "stride_seconds": 0.25}


def ratings_of(subject):
    """Return (40, 4) ratings, by video; some lie at 5.0."""
    rng = np.random.default_rng(subject)
    ratings = rng.integers(2, 18, (40, 4)) / 2
    ratings[:2] = [[5, 5, 5, 5], [5, 2, 8, 5]]
    return ratings


def preprocessed(subject, n_times=128 * (3 + SECONDS), videos=range(1, 41)):
    """Return what a file holds, microvolts; tones begin with the baseline."""
    times = np.arange(n_times) / 128 - 3
    data = [1e6 * tones(GENEVA + OTHERS, video, subject, times) for video in videos]
    return {"data": np.array(data), "labels": ratings_of(subject)}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    root = tmp_path_factory.mktemp("deap") / "DEAP"
    folder = root / "data_preprocessed_python"
    folder.mkdir(parents=True)
    for subject in (1, 32):
        data = python2_pickle(preprocessed(subject))
        (folder / f"s{subject:02d}.dat").write_bytes(data)
    # As Python 3 writes protocol 2: the samples lie in no piece.
    dump(folder / "s10.dat", preprocessed(10), protocol=2)
    return root


@pytest.fixture
def tree(published, tmp_path):
    """A copy to damage."""
    return shutil.copytree(published, tmp_path / "DEAP")


def test_every_window_is_what_was_recorded(published):
    X = read_deap(published, **SHORT)
    assert len(X) == 3 * 40 * 3
    assert X.sfreq == 128
    assert X.ch_names == tuple(GENEVA)
    check_tones(X)


def test_metadata(published):
    X = read_deap(published, **SHORT)
    table = X.metadata
    assert set(table["dataset"]) == {"DEAP"}
    assert list(table["subject"].unique()) == ["01", "10", "32"]
    assert set(table["session"]) == {"1"}
    assert list(table["trial"].unique()) == [f"{v:02d}" for v in range(1, 41)]
    assert (table["trial"] == table["stimulus"]).all()
    assert list(table["onset"].unique()) == [0, 2, 4]
    for subject, part in table.groupby("subject"):
        once = part.drop_duplicates("stimulus")[RATINGS].to_numpy(float)
        np.testing.assert_array_equal(once, ratings_of(int(subject)))


def test_baseline_can_be_kept(published):
    X = read_deap(published, baseline=True, **SHORT)
    assert len(X) == 3 * 40 * 5
    check_tones(X, shift=-3)


def test_matlab_files_serve_where_pythons_are_absent(published, tmp_path):
    root = shutil.copytree(published, tmp_path / "DEAP")
    folder = root / "data_preprocessed_matlab"
    folder.mkdir()
    savemat(folder / "s02.mat", preprocessed(2), do_compression=True)
    X = read_deap(root, **SHORT)
    assert "02" not in set(X.metadata["subject"])
    shutil.rmtree(root / "data_preprocessed_python")
    for place in (root, folder, root.parent):
        X = read_deap(place, **SHORT)
        assert list(X.metadata["subject"].unique()) == ["02"]
        assert X.recordings[0]._signal._n_decoded == 0
    check_tones(X)
    once = X.metadata.drop_duplicates("stimulus")[RATINGS].to_numpy(float)
    np.testing.assert_array_equal(once, ratings_of(2))


@pytest.mark.parametrize("at_threshold", ["high", "low"])
@pytest.mark.parametrize("threshold", [5.0, 3, 6.5, "median"])
@pytest.mark.parametrize("label", ["valence", "arousal", "dominance", "quadrant"])
def test_labels(published, label, threshold, at_threshold):
    X = read_deap(
        published, label=label, threshold=threshold, at_threshold=at_threshold, **SHORT
    )
    table = X.metadata

    def is_high(part, name):
        values = part[name].astype(float)
        limit = threshold
        if threshold == "median":
            limit = np.median(ratings_of(int(part["subject"].iloc[0])), axis=0)[
                RATINGS.index(name)
            ]
        return values >= limit if at_threshold == "high" else values > limit

    for _, part in table.groupby("subject"):
        if label == "quadrant":
            v, a = is_high(part, "valence"), is_high(part, "arousal")
            expected = [
                ("HV" if one else "LV") + ("HA" if two else "LA")
                for one, two in zip(v, a, strict=True)
            ]
        else:
            expected = ["high" if h else "low" for h in is_high(part, label)]
        assert list(part["label"]) == expected
    assert len(set(X.y)) == (4 if label == "quadrant" else 2)


def test_ratings_at_the_threshold(published):
    # Video 1 is rated 5 in all, video 2 has valence 5 and arousal 2.
    at = [0, 3]
    for side, expected in (("high", "HVHA HVLA"), ("low", "LVLA LVLA")):
        X = read_deap(
            published, subjects=1, label="quadrant", at_threshold=side, **SHORT
        )
        assert " ".join(X.y[at]) == expected
        assert list(valence_of(X.y[at])) == [1 if side == "high" else -1] * 2


@pytest.mark.parametrize("place", [".", "..", "data_preprocessed_python"])
def test_root_may_be_the_folder_around_or_below(published, place):
    X = read_deap(published / place, subjects=["32", 1], **SHORT)
    assert list(dict.fromkeys(X.metadata["subject"])) == ["32", "01"]


def test_videos_may_be_of_any_length(tmp_path):
    dump(tmp_path / "data_preprocessed_python" / "s05.dat", preprocessed(5, 128 * 4))
    X = read_deap(tmp_path, **SHORT)
    assert len(X) == 40
    check_tones(X)


def test_opening_decodes_nothing(published):
    X = read_deap(published, **SHORT)
    assert [r._signal._n_decoded for r in X.recordings] == [0, 0, 0]
    X[0], X[1], X[119]
    assert [r._signal._n_decoded for r in X.recordings] == [1, 0, 0]


def test_pickled_and_saved_windows(published, tmp_path):
    X = read_deap(published, label="quadrant", **SHORT)
    data = pickle.dumps(X[[0, 130, 250]])
    assert len(data) < 1e5
    check_tones(pickle.loads(data))
    X.save(tmp_path / "store")
    again = EEGWindows.open(tmp_path / "store")
    pd.testing.assert_frame_equal(again.metadata, X.metadata)
    check_tones(again, range(0, len(X), 50))


# Wrong parameters and files --------------------------------------------------------


def test_subjects(published):
    with pytest.raises(
        FileNotFoundError, match=r"subjects 5: .*'s.subject}.dat' .* 1, 10, 32"
    ):
        read_deap(published, subjects=[1, 5])
    with pytest.raises(ValueError, match="subjects must be .* >= 1 and <= 32"):
        read_deap(published, subjects=0)


@pytest.mark.parametrize(
    "parameter, value",
    [
        ("source", "clean"),
        ("label", "liking"),
        ("at_threshold", "middle"),
        ("on_error", "ignore"),
    ],
)
def test_unknown_options(published, parameter, value):
    with pytest.raises(ValueError, match=f"{parameter} must be one of"):
        read_deap(published, **{parameter: value})


@pytest.mark.parametrize("threshold", ["mean", 0.5, 10, np.nan, None, True])
def test_unknown_thresholds(published, threshold):
    with pytest.raises(ValueError, match="threshold.* 'median'.*>= 1 and <= 9"):
        read_deap(published, threshold=threshold)


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="_python' or '.*_matlab' of DEAP"):
        read_deap(tmp_path)
    with pytest.raises(FileNotFoundError, match="No folder 'data_original'"):
        read_deap(tmp_path, source="raw")


def with_ratings(value):
    ratings = ratings_of(1)
    ratings[7, 2] = value
    return {"data": np.zeros((40, 40, 500)), "labels": ratings}


@pytest.mark.parametrize(
    "content, message",
    [
        (np.zeros(3), "'data' and 'labels', found ndarray"),
        ({"data": np.zeros((40, 40, 500))}, "'data' and 'labels', found data"),
        ({"data": [1], "labels": np.zeros((40, 4))}, "found data, labels"),
        (with_ratings(3) | {"data": np.zeros((40, 32, 500))}, r"\(40, 32, 500\)"),
        (with_ratings(3) | {"data": np.zeros((40, 40, 384))}, r"\(40, 40, 384\)"),
        (
            with_ratings(3) | {"labels": np.zeros((40, 3))},
            r"'labels' has shape \(40, 3\), expected \(40, 4\)",
        ),
        (with_ratings(0), "between 0 and .*, expected 1 to 9"),
        (with_ratings(np.nan), "expected 1 to 9"),
        ({"data": Evil(os.system, "true")}, "it names 'posix.system'"),
    ],
)
def test_files_that_are_not_as_published(tree, content, message):
    dump(tree / "data_preprocessed_python" / "s10.dat", content)
    with pytest.raises(ValueError, match=f"s10.dat' cannot be read: .*{message}"):
        read_deap(tree)


def test_files_that_cannot_be_read_are_skipped(tree):
    folder = tree / "data_preprocessed_python"
    whole = (folder / "s32.dat").read_bytes()
    (folder / "s32.dat").write_bytes(whole[: len(whole) // 2])
    (folder / "s03.dat").write_bytes(b"")
    with pytest.warns(UserWarning) as caught:
        X = read_deap(tree, on_error="skip", **SHORT)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "2 of 4 files" in message and "s03.dat" in message and "s32.dat" in message
    assert set(X.metadata["subject"]) == {"01", "10"}
    with pytest.raises(ValueError, match="None of 2 files"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read_deap(tree, subjects=[3, 32], on_error="skip")


def test_damaged_matlab_files(tmp_path):
    folder = tmp_path / "data_preprocessed_matlab"
    folder.mkdir()
    savemat(folder / "s01.mat", {"data": np.zeros((40, 40, 500))})
    with pytest.raises(ValueError, match="s01.mat' .* variables labels; it has data"):
        read_deap(tmp_path)
    (folder / "s01.mat").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="s01.mat' cannot be read"):
        read_deap(tmp_path)


# Raw recordings --------------------------------------------------------------------

VIDEO_SECONDS = 1.5
PERIOD = 5.0


def play_order(subject):
    return 1 + np.random.default_rng(100 + subject).permutation(40)


def make_raw(root, subject, *, status, drop_code=None):
    """Write a raw recording whose videos last 1.5 s, with 3 s of baseline before."""
    edfio = pytest.importorskip("edfio", reason="writes the BDF files (extra test)")
    folder = root / "data_original"
    folder.mkdir(parents=True, exist_ok=True)
    names = (TWENTE if subject <= 22 else GENEVA) + ["EXG1", "GSR1"]
    sfreq = 512
    n_times = round((40 * PERIOD + 3) * sfreq)
    signal = np.zeros((len(names), n_times))
    codes = np.zeros(n_times, int)
    for place, video in enumerate(play_order(subject)):
        start = 4 + place * PERIOD
        first = round((start - 3) * sfreq)
        length = round((3 + VIDEO_SECONDS) * sfreq)
        times = np.arange(first, first + length) / sfreq - round(start * sfreq) / sfreq
        signal[:, first : first + length] = tones(names, video, subject, times)
        for code, time in ((3, -3), (4, 0), (5, VIDEO_SECONDS), (1, VIDEO_SECONDS + 1)):
            if (place, code) != drop_code:
                at = round((start + time) * sfreq)
                codes[at : at + 20] = code
    codes[20:40] = 2
    codes[-40:-20] = 7
    if subject >= 24:
        codes = codes + 1703680
    signals = [
        edfio.BdfSignal(
            1e6 * row, sfreq, label=name, physical_dimension="uV",
            physical_range=(-2000, 2000),
        )
        for name, row in zip(names, signal, strict=True)
    ]  # fmt: skip
    for label in status:
        is_codes = label is status[-1]
        signals.append(
            edfio.BdfSignal(
                (codes if is_codes else np.arange(n_times) // 20 % 9).astype(float),
                sfreq, label=label, physical_dimension="Boolean" if label else "",
                physical_range=(-8388608, 8388607),
            )
        )  # fmt: skip
    edfio.Bdf(signals).write(folder / f"s{subject:02d}.bdf")


def write_ratings(root, subjects):
    rows = []
    for subject in subjects:
        ratings = ratings_of(subject)
        for place, video in enumerate(play_order(subject)):
            familiarity = "" if subject == 2 else 3
            rows.append(
                [subject, place + 1, video, 1e6, *ratings[video - 1], familiarity]
            )
    names = ["Participant_id", "Trial", "Experiment_id", "Start_time"]
    names += [name.capitalize() for name in RATINGS] + ["Familiarity"]
    table = pd.DataFrame(rows, columns=names)
    folder = root / "metadata_csv"
    folder.mkdir(parents=True, exist_ok=True)
    # Not in the order of play.
    table.sort_values(["Participant_id", "Experiment_id"]).to_csv(
        folder / "participant_ratings.csv", index=False
    )


@pytest.fixture(scope="module")
def published_raw(tmp_path_factory):
    root = tmp_path_factory.mktemp("raw")
    make_raw(root, 2, status=["Status"])
    make_raw(root, 25, status=[""])
    make_raw(root, 31, status=["", ""])
    write_ratings(root, [1, 2, 25, 31])
    return root


@pytest.fixture
def raw_tree(published_raw, tmp_path):
    return shutil.copytree(published_raw, tmp_path / "DEAP")


def test_raw_recordings(published_raw):
    X = read_deap(published_raw, label="quadrant", **RAW_SHORT)
    assert len(X) == 3 * 40 * 5
    assert X.sfreq == 512
    assert X.ch_names == tuple(GENEVA)
    assert [recording.duration for recording in X.recordings] == [203] * 3
    assert [r._signal._n_decoded for r in X.recordings] == [0, 0, 0]
    check_tones(X, atol=1e-9)
    table = X.metadata
    assert list(table["subject"].unique()) == ["02", "25", "31"]
    for subject, part in table.groupby("subject"):
        once = part.drop_duplicates("stimulus")
        order = play_order(int(subject))
        assert list(once["stimulus"]) == [f"{video:02d}" for video in order]
        assert list(once["play_order"]) == list(range(1, 41))
        ratings = ratings_of(int(subject))[order - 1]
        np.testing.assert_array_equal(once[RATINGS].to_numpy(float), ratings)
        v, a = (np.where(ratings[:, k] >= 5, "H", "L") for k in (0, 1))
        expected = [f"{one}V{two}A" for one, two in zip(v, a, strict=True)]
        assert list(once["label"]) == expected
        assert once["familiarity"].isna().all() == (subject == "02")


def test_raw_baseline_and_store(published_raw, tmp_path):
    X = read_deap(published_raw, subjects=25, baseline=True, **RAW_SHORT)
    assert len(X) == 40 * 17
    check_tones(X, range(0, len(X), 7), atol=1e-9, shift=-3)
    X.save(tmp_path / "store")
    again = EEGWindows.open(tmp_path / "store")
    check_tones(again, range(0, len(X), 50), atol=1e-9, shift=-3)


def test_raw_and_preprocessed_files_give_the_same_ids(published_raw, tmp_path):
    dump(tmp_path / "data_preprocessed_python" / "s25.dat", preprocessed(25, 512))
    one = read_deap(tmp_path, **SHORT).metadata
    two = read_deap(published_raw, subjects=25, **RAW_SHORT).metadata
    columns = ["dataset", "subject", "session", "trial", "stimulus", "label", *RATINGS]
    one, two = (
        table[columns].drop_duplicates().sort_values("trial", ignore_index=True)
        for table in (one, two)
    )
    pd.testing.assert_frame_equal(one, two)


def test_codes_that_make_no_sense(tmp_path):
    write_ratings(tmp_path, [3, 4, 5])
    make_raw(tmp_path, 3, status=["Status"], drop_code=(5, 4))
    make_raw(tmp_path, 4, status=["Status"], drop_code=(5, 5))
    make_raw(tmp_path, 5, status=["Codes"])
    for subject, message in (
        (3, r" 40 videos of subject 03, .* \(code 4\) 39 times"),
        (4, r"video 6 .* start \(code 4\) .*no end \(code 5\)"),
        (5, "no channel of trigger codes .*GSR1, Codes"),
    ):
        with pytest.raises(ValueError, match=f"bdf' cannot be read: .*{message}"):
            read_deap(tmp_path, source="raw", subjects=subject)


def test_ratings_that_are_missing(raw_tree):
    path = raw_tree / "metadata_csv" / "participant_ratings.csv"
    table = pd.read_csv(path)
    for wrong, message in (
        (table[table["Participant_id"] != 25], "s25.bdf' .* has 0 rows of subject 25"),
        (table.drop(columns="Arousal"), "ratings.csv' .* lacks the columns arousal"),
        (table.assign(Experiment_id=1), "different numbers from 1 to 40: 1, 1"),
    ):
        wrong.to_csv(path, index=False)
        with pytest.raises(ValueError, match=message):
            read_deap(raw_tree, source="raw")
    path.unlink()
    with pytest.raises(FileNotFoundError, match="No 'participant_ratings.csv' in"):
        read_deap(raw_tree, source="raw")
