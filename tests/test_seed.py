"""SEED, SEED-IV, SEED-V and SEED-VII, as fabricated trees in their layouts."""

import io
import os
import pickle
import shutil
import struct
import tracemalloc

import numpy as np
import pytest
from joblib import Parallel, delayed
from scipy.io import loadmat, savemat
from seed_files import (
    BACKGROUND,
    CAP,
    REFERENCES,
    V_SPANS,
    microvolts,
    spans_of,
    trial_length,
    write_mat,
    write_raw,
    write_seed,
    write_seed_iv,
    write_seed_v,
    write_seed_vii,
)

from sklearn_mdjpt import EEGWindows
from sklearn_mdjpt.datasets import (
    read_seed,
    read_seed_iv,
    read_seed_v,
    read_seed_vii,
)
from sklearn_mdjpt.datasets._seed_tables import SEED, SEED_IV, SEED_V, SEED_VII

ONE_SECOND = {"window_seconds": 1.0, "stride_seconds": 1.0}
PUBLISHED = {1: (20131027, 20131030, 20131107)}


@pytest.fixture(scope="module")
def seed(tmp_path_factory):
    """Give a tree of SEED: subjects 1, 2 and 10, dates in the order of sessions."""
    root = tmp_path_factory.mktemp("SEED_EEG")
    write_seed(
        root,
        PUBLISHED
        | {2: (20200131, 20200201, 20210101), 10: (20200101, 20200102, 20200103)},
    )
    return root


@pytest.fixture
def one_subject(tmp_path):
    """Give a tree of SEED with one subject, to be damaged."""
    write_seed(tmp_path / "SEED_EEG", PUBLISHED)
    return tmp_path / "SEED_EEG"


def check_signals(X, content, atol):
    """Compare every trial of every recording, and every window, with its content."""
    for recording in X.recordings:
        assert list(recording.ch_names) == CAP
        assert recording.signal.dtype == np.float32
        for row in recording.trials.itertuples():
            start, stop = round(row.start * X.sfreq), round(row.stop * X.sfreq)
            expected = 1e-6 * content(recording, row, stop - start)
            np.testing.assert_allclose(
                recording.signal[:, start:stop], expected, rtol=1e-6, atol=atol
            )
    by_trial = {
        (recording.subject, recording.session, row.trial): (recording, row)
        for recording in X.recordings
        for row in recording.trials.itertuples()
    }
    for i in range(0, len(X), 7):
        row = X.metadata.iloc[i]
        recording, trial = by_trial[row["subject"], row["session"], row["trial"]]
        start = round(row["onset"] * X.sfreq)
        n_times = X[i].shape[1]
        expected = 1e-6 * content(recording, trial, start + n_times)[:, start:]
        np.testing.assert_allclose(X[i], expected, rtol=1e-6, atol=atol)


def by_trial_number(recording, row, n_times):
    return microvolts(
        int(recording.subject), int(recording.session), int(row.trial), n_times, 200.0
    )


def labels_of(X):
    table = X.metadata.drop_duplicates(["subject", "session", "trial"])
    return table.groupby(["subject", "session"], sort=False)["label"].agg(list)


# SEED


def test_seed_signals(seed):
    X = read_seed(seed, **ONE_SECOND)
    assert X.sfreq == 200.0
    assert len(X.recordings) == 9
    check_signals(X, by_trial_number, atol=1e-12)
    for recording in X.recordings:
        lengths = [trial_length(k) for k in range(1, 16)]
        spans = recording.trials[["start", "stop"]].to_numpy() * 200
        np.testing.assert_allclose(spans[:, 1], np.cumsum(lengths))
        np.testing.assert_allclose(spans[1:, 0], spans[:-1, 1])


def test_seed_metadata(seed):
    X = read_seed(seed, **ONE_SECOND)
    table = X.metadata
    # By number: 10 after 2. A trial of 2 s and a sample has two windows.
    assert list(dict.fromkeys(table["subject"])) == ["01", "02", "10"]
    assert list(dict.fromkeys(table["session"])) == ["1", "2", "3"]
    assert set(table["dataset"]) == {"SEED"}
    first = table[(table["subject"] == "02") & (table["session"] == "2")]
    trials = [str(k) for k in range(1, 16) for _ in range(1 + k % 2)]
    assert list(first["trial"]) == trials
    assert list(first["stimulus"]) == [f"{int(k):02d}" for k in trials]
    assert list(first["onset"][:3]) == [0.0, 1.0, 0.0]
    # label.mat of the release: 1 positive, 0 neutral, -1 negative.
    words = {"1": "positive", "0": "neutral", "-1": "negative"}
    expected = [words[c] for c in "1 0 -1 -1 0 1 -1 0 1 1 0 -1 0 1 -1".split()]
    assert all(labels == expected for labels in labels_of(X))
    assert X.groups("stimulus")[0] == X.groups("stimulus")[23]


def test_published_times_agree_with_published_durations():
    durations = "235 233 206 238 185 195 237 216 265 237 235 233 235 238 206"
    for starts, stops in SEED.times.values():
        seconds = [b - a for a, b in zip(starts, stops, strict=True)]
        assert seconds == [int(d) for d in durations.split()]
    seconds = {
        k: sum(stops) - sum(starts) for k, (starts, stops) in SEED_V.times.items()
    }
    assert seconds == {1: 2743, 2: 2191, 3: 2425}


def test_published_labels_are_balanced():
    def counts(labels):
        return sorted({word: labels.count(word) for word in labels}.values())

    for dataset, expected in ((SEED, [5] * 3), (SEED_IV, [6] * 4), (SEED_V, [3] * 5)):
        assert [counts(x) for x in dataset.labels.values()] == [expected] * 3
    # 12 clips of each emotion, 8 neutral ones.
    assert counts(sum(SEED_VII.labels.values(), [])) == [8] + [12] * 6


@pytest.mark.parametrize("below", [".", "Preprocessed_EEG", ".."])
def test_root_may_be_the_folder_or_one_around_it(one_subject, below, monkeypatch):
    assert len(read_seed(one_subject / below, **ONE_SECOND).recordings) == 3
    monkeypatch.chdir(one_subject / below)
    assert len(read_seed(".", **ONE_SECOND).recordings) == 3


def test_links_to_files_kept_elsewhere(tmp_path):
    """As DataLad and git-annex lay a data set out."""
    folder = write_seed_iv(tmp_path / "annex", [3], sessions=[2])
    (tmp_path / "eeg_raw_data" / "2").mkdir(parents=True)
    (tmp_path / "eeg_raw_data" / "2" / "3_20160518.mat").symlink_to(
        folder / "2" / "3_20160518.mat"
    )
    (tmp_path / "ReadMe.txt").write_text("session2_label = [0, 0]")
    with pytest.raises(ValueError, match="ReadMe.txt' has other labels of session 2"):
        read_seed_iv(tmp_path)
    (tmp_path / "ReadMe.txt").unlink()
    X = read_seed_iv(tmp_path, **ONE_SECOND)
    check_signals(X, by_trial_number, atol=1e-12)


def test_choosing_subjects_and_sessions(seed):
    X = read_seed(seed, subjects=[10, "01", 10], sessions=2, **ONE_SECOND)
    assert [(r.subject, r.session) for r in X.recordings] == [("10", "2"), ("01", "2")]
    check_signals(X, by_trial_number, atol=1e-12)
    with pytest.raises(
        FileNotFoundError, match="subjects 3: .*found subjects 1, 2, 10"
    ):
        read_seed(seed, subjects=[1, 3])
    for wrong in (0, 16, [], [True], False, "x", 1.5, [1.0]):
        with pytest.raises(ValueError, match="subjects must be .* >= 1 and <= 15"):
            read_seed(seed, subjects=wrong)
    with pytest.raises(ValueError, match="sessions must be .* >= 1 and <= 3"):
        read_seed(seed, sessions=4)
    with pytest.raises(ValueError, match="source must be one of"):
        read_seed(seed, source="clean")
    with pytest.raises(ValueError, match="on_error must be one of"):
        read_seed(seed, on_error="ignore")


def test_published_dates_tell_the_session_of_what_is_there(tmp_path):
    write_seed(tmp_path, {1: (None, 20131030, 20131107), 2: (None, 20200102, 20200103)})
    X = read_seed(tmp_path, **ONE_SECOND)
    sessions = [(r.subject, r.session) for r in X.recordings]
    # Of subject 2's dates nothing is known: they are counted.
    assert sessions == [("01", "2"), ("01", "3"), ("02", "1"), ("02", "2")]


def test_published_dates_are_in_order_and_differ():
    assert len(SEED.dates) == 15
    for days in SEED.dates.values():
        assert len(set(days)) == 3 and sorted(days) == list(days)


def test_several_files_for_a_session(one_subject):
    folder = one_subject / "Preprocessed_EEG"
    shutil.copy(folder / "1_20131030.mat", folder / "01_20131030.mat")
    with pytest.raises(
        ValueError, match="01_20131030.mat, 1_20131030.mat; expected one"
    ):
        read_seed(one_subject)
    os.rename(folder / "01_20131030.mat", folder / "1_20140101.mat")
    with pytest.raises(ValueError, match="4 files for subject 1, session 1 in"):
        read_seed(one_subject)
    write_mat(folder / "2_20140404.mat", 2, 1, 15)
    assert len(read_seed(one_subject, subjects=2, **ONE_SECOND).recordings) == 1


def test_foreign_files_are_named_or_passed_over(one_subject):
    folder = one_subject / "Preprocessed_EEG"
    for name in ("readme.txt", "._1_20131027.mat", ".DS_Store"):
        (folder / name).write_text("something")
    assert len(read_seed(one_subject, **ONE_SECOND).recordings) == 3
    for name in ("notes.mat", "16_20131027.mat", "1_2013.mat"):
        (folder / name).write_text("something")
    with pytest.warns(UserWarning, match="3 files in .*16_.*1_2013.mat, notes.mat"):
        X = read_seed(one_subject, **ONE_SECOND)
    assert len(X.recordings) == 3


def test_folder_is_missing_or_empty(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_seed(tmp_path / "nowhere")
    (tmp_path / "eeg_raw_data").mkdir()
    with pytest.raises(FileNotFoundError, match="it holds eeg_raw_data"):
        read_seed(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"session}/.subject}_.date}.mat.*holds nothing"
    ):
        read_seed_iv(tmp_path)
    with pytest.raises(FileNotFoundError, match="'SEED_RAW_EEG'"):
        read_seed(tmp_path, source="raw")


def test_labels_of_the_release_are_compared(one_subject):
    path = one_subject / "Preprocessed_EEG" / "label.mat"
    codes = loadmat(path)["label"]
    codes[0, 3] = 1
    savemat(path, {"label": codes})
    with pytest.raises(ValueError, match="label.mat' .* neg.*; expected pos"):
        read_seed(one_subject)
    savemat(path, {"labels": codes})
    with pytest.raises(ValueError, match="label.mat' .* label; it has labels"):
        read_seed(one_subject)
    path.unlink()
    assert len(read_seed(one_subject, **ONE_SECOND).recordings) == 3


def _lacks_one(variables):
    del variables["aa_eeg7"]


def _has_more(variables):
    for k in range(16, 25):
        variables[f"aa_eeg{k}"] = variables["aa_eeg1"]


def _has_features(variables):
    variables.clear()
    variables["de_movingAve1"] = np.zeros((62, 5, 5))


def _has_one_twice(variables):
    variables["zz_eeg3"] = variables["aa_eeg3"]


def _has_66_channels(variables):
    variables["aa_eeg2"] = np.zeros((66, 201))


def _is_turned(variables):
    variables["aa_eeg2"] = variables["aa_eeg2"].T


def _is_empty(variables):
    variables["aa_eeg2"] = np.zeros((62, 0))


def _is_text(variables):
    variables["aa_eeg2"] = "something"


@pytest.mark.parametrize(
    "change, message",
    [
        (_lacks_one, "lacks trials 7; .*found aa_eeg1, aa_eeg10"),
        (_has_more, "has more trials: 16, 17, .* 1 to 15 of SEED"),
        (_has_features, "lacks trials 1, 2, .*found de_movingAve1"),
        (_has_one_twice, "trials twice: aa_eeg3, zz_eeg3"),
        (_has_66_channels, r"'aa_eeg2' has shape \(66, 201\), .* \(62, n_times\)"),
        (_is_turned, r"'aa_eeg2' has shape \(201, 62\), expected"),
        (_is_empty, r"'aa_eeg2' has shape \(62, 0\)"),
        (_is_text, "lacks trials 2; .*numeric"),
    ],
)
def test_file_with_other_contents(one_subject, change, message):
    path = one_subject / "Preprocessed_EEG" / "1_20131027.mat"
    write_mat(path, 1, 1, 15, change=change)
    with pytest.raises(
        ValueError, match=f"1_20131027.mat' cannot be read: .*{message}"
    ):
        read_seed(one_subject)
    with pytest.warns(
        UserWarning, match="1 of 3 files are left out: .*1_20131027.mat'"
    ):
        X = read_seed(one_subject, on_error="skip", **ONE_SECOND)
    assert [recording.session for recording in X.recordings] == ["2", "3"]
    check_signals(X, by_trial_number, atol=1e-12)


@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_file_is_found_at_opening(one_subject, compressed):
    path = one_subject / "Preprocessed_EEG" / "1_20131030.mat"
    write_mat(path, 1, 2, 15, do_compression=compressed)
    check_signals(read_seed(one_subject, **ONE_SECOND), by_trial_number, atol=1e-12)
    data = path.read_bytes()
    for size in (len(data) - 1, len(data) // 2):
        path.write_bytes(data[:size])
        with pytest.raises(ValueError, match=f"1_20131030.mat' cannot .*off: {size} b"):
            read_seed(one_subject)
    for size in (100, 0):
        path.write_bytes(data[:size])
        with pytest.raises(ValueError, match="1_20131030.mat' cannot.*no MATLAB file"):
            read_seed(one_subject)


def test_damage_inside_a_file_is_named_when_it_is_read(one_subject):
    path = one_subject / "Preprocessed_EEG" / "1_20131030.mat"
    write_mat(path, 1, 2, 15, do_compression=True)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 5000] = bytes(5000)
    path.write_bytes(data)
    # SciPy decompresses the beginning of each trial at opening, and all of it later.
    with pytest.raises(ValueError, match="1_20131030.mat' cannot be read"):
        read_seed(one_subject, **ONE_SECOND).recordings[1].signal  # noqa: B018
    with pytest.warns(
        UserWarning, match="1 of 3 files are left out: .*1_20131030.mat'"
    ):
        X = read_seed(one_subject, on_error="skip", **ONE_SECOND)
    assert len(X.recordings) == 2


def test_other_matlab_formats_are_named(one_subject):
    path = one_subject / "Preprocessed_EEG" / "1_20131027.mat"
    data = path.read_bytes()
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + data[128:])
    with pytest.raises(ValueError, match=r"7.3 \(HDF5\), expected version 5"):
        read_seed(one_subject)
    savemat(path, {"aa_eeg1": np.zeros((62, 201))}, format="4")
    with pytest.raises(ValueError, match="no MATLAB file of version 5"):
        read_seed(one_subject)


def test_memory_is_one_session_and_a_trial(one_subject):
    path = one_subject / "Preprocessed_EEG" / "1_20131027.mat"
    n_times = 4001

    def longer(variables):
        for name in variables:
            variables[name] = np.ones((62, n_times))

    write_mat(path, 1, 1, 15, change=longer)
    X = read_seed(one_subject, sessions=1, **ONE_SECOND)
    X.recordings[0].signal  # noqa: B018 - what is imported does not count
    X = read_seed(one_subject, sessions=1, **ONE_SECOND)
    tracemalloc.start()
    try:
        X.recordings[0].signal  # noqa: B018
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    session, trial = 15 * 62 * n_times * 4, 62 * n_times * 8
    assert session <= peak < session + 3.5 * trial


def test_sessions_are_decoded_when_their_windows_are_read(seed):
    X = read_seed(seed, subjects=[1, 2], **ONE_SECOND)
    X[0], X[5], X[-1]
    decoded = [recording._signal._n_decoded for recording in X.recordings]
    assert decoded == [1, 0, 0, 0, 0, 1]


def test_headers_of_a_large_file_are_read_alone(tmp_path):
    path = tmp_path / "Preprocessed_EEG" / "1_20131027.mat"
    write_mat(path, 1, 1, 15)
    # The first variable grows to 1 GB, most of it a hole in the file.
    data, n_times = path.read_bytes(), 2**21
    first = bytearray(data[:128] + data[128:200])
    n_bytes = 62 * n_times * 8
    growth = n_bytes - 62 * trial_length(1) * 8
    length = struct.unpack_from("<I", data, 132)[0]
    struct.pack_into("<I", first, 132, length + growth)
    at = data.index(struct.pack("<ii", 62, trial_length(1)))
    struct.pack_into("<i", first, at + 4, n_times)
    with path.open("wb") as file:
        file.write(first)
        file.seek(136 + length + growth)
        file.write(data[136 + length :])
    assert path.stat().st_size > 10**9
    read_seed(tmp_path, **ONE_SECOND)  # what is imported does not count
    tracemalloc.start()
    try:
        X = read_seed(tmp_path, **ONE_SECOND)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert X.recordings[0].n_times > n_times
    assert peak < 4e6


def test_pickles_and_processes(seed):
    X = read_seed(seed, subjects=[2], **ONE_SECOND)
    text = pickle.dumps(X)
    assert len(text) < 100_000
    expected = np.asarray(X[30:32])
    np.testing.assert_array_equal(np.asarray(pickle.loads(text)[30:32]), expected)
    parts = Parallel(n_jobs=2)(delayed(np.asarray)(X[i : i + 1]) for i in (30, 31))
    np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_saved_windows_need_no_files(one_subject, tmp_path):
    X = read_seed(one_subject, **ONE_SECOND)
    X.save(tmp_path / "store")
    shutil.rmtree(one_subject / "Preprocessed_EEG")
    opened = EEGWindows.open(tmp_path / "store")
    assert opened.metadata.equals(X.metadata)
    check_signals(opened, by_trial_number, atol=1e-12)


def test_changed_or_vanished_file_is_named(one_subject):
    path = one_subject / "Preprocessed_EEG" / "1_20131027.mat"
    X = read_seed(one_subject, **ONE_SECOND)
    write_mat(path, 1, 1, 15, change=lambda v: v.update(aa_eeg1=v["aa_eeg1"][:, :-5]))
    with pytest.raises(ValueError, match="1_20131027.mat' has changed"):
        X[0]
    path.unlink()
    with pytest.raises(FileNotFoundError, match="1_20131027.mat"):
        X[0]


def test_canonical_channels_without_a_warning(one_subject, recwarn):
    canonical = read_seed(one_subject, **ONE_SECOND).to_canonical()
    assert np.asarray(canonical[:2]).shape == (2, 60, 125)
    assert not list(recwarn)


# SEED, raw


def write_seed_raw(root, spans, *, subject=2, session=3, **kwargs):
    path = root / "SEED_RAW_EEG" / f"{subject}_{session}.cnt"
    write_raw(path, subject, session, spans, others=REFERENCES, **kwargs)
    return path


def write_times(path, spans):
    starts, stops = zip(*spans, strict=True)
    path.write_text(
        f"start_point_list = {list(starts)};\nend_point_list = {list(stops)};\n"
    )


def raw_content(recording, row, n_times, number=None):
    return microvolts(
        int(recording.subject),
        int(recording.session),
        number or int(row.trial),
        n_times,
        recording.sfreq,
    )


@pytest.mark.parametrize("dtype, bit", [("int32", 0.01), ("int16", 0.01)])
def test_seed_raw(tmp_path, dtype, bit):
    spans = spans_of(15)
    path = write_seed_raw(tmp_path, spans, dtype=dtype, microvolts_per_bit=bit)
    write_times(path.with_name("time.txt"), spans)
    with pytest.warns(UserWarning, match="time.txt' are not those"):
        X = read_seed(tmp_path, source="raw", window_seconds=0.5, stride_seconds=0.5)
    assert X.sfreq == 1000.0
    check_signals(X, raw_content, atol=1e-6 * bit)
    recording = X.recordings[0]
    assert (recording.subject, recording.session) == ("02", "3")
    spans_read = recording.trials[["start", "stop"]].to_numpy()
    np.testing.assert_allclose(spans_read, np.array(spans) / 1000)
    # The whole of it, with what lies between the trials.
    assert recording.n_times == spans[-1][1] + 200
    np.testing.assert_allclose(
        recording.signal[:, spans[0][1] : spans[1][0]], 1e-6 * BACKGROUND, rtol=1e-5
    )
    assert list(X.metadata["stimulus"][:3]) == ["01", "01", "02"]
    assert labels_of(X).iloc[0][:3] == ["positive", "neutral", "negative"]


def test_seed_raw_with_published_times(tmp_path, recwarn):
    seconds = zip(*SEED.times[1], strict=True)
    spans = [(2 * a, 2 * b) for a, b in seconds]  # at 2 Hz
    path = write_seed_raw(tmp_path, spans, sfreq=2)
    X = read_seed(tmp_path, source="raw")
    check_signals(X, raw_content, atol=1e-8)
    assert not list(recwarn)
    write_times(path.with_name("time.txt"), [(500 * a, 500 * b) for a, b in spans])
    read_seed(tmp_path, source="raw")
    assert not list(recwarn)
    path.with_name("time.txt").write_text("27 s to 262 s")
    with pytest.warns(UserWarning, match="not understood"):
        read_seed(tmp_path, source="raw")


@pytest.mark.filterwarnings("ignore:The times in")
def test_raw_file_that_is_too_short_or_lacks_channels(tmp_path):
    spans = spans_of(15, lengths=(600,))
    path = write_seed_raw(tmp_path, spans)
    with pytest.raises(ValueError, match="2_3.cnt' .* Trial from 27 to 262"):
        read_seed(tmp_path, source="raw")
    write_times(path.with_name("time.txt"), spans)
    data = path.read_bytes()
    for size in (len(data) // 2, 900, 100):
        path.write_bytes(data[:size])
        with pytest.raises(ValueError, match="2_3.cnt' cannot be read: it is"):
            read_seed(tmp_path, source="raw")
    path.write_bytes(data.replace(b"CPZ", b"XYZ", 1))
    with pytest.raises(ValueError, match=r"lacks 1 of 62 EEG channels \(CPZ\); its 66"):
        read_seed(tmp_path, source="raw")


def test_raw_windows_travel(tmp_path):
    path = write_seed_raw(tmp_path, spans := spans_of(15))
    write_times(path.with_name("time.txt"), spans)
    with pytest.warns(UserWarning, match="time.txt"):
        X = read_seed(tmp_path, source="raw", window_seconds=0.5)
    other = pickle.loads(pickle.dumps(X))
    np.testing.assert_array_equal(other[3], X[3])
    X.save(tmp_path / "store")
    path.unlink()
    opened = EEGWindows.open(tmp_path / "store")
    np.testing.assert_array_equal(opened[3], X[3])


# SEED-IV


def test_seed_iv(tmp_path):
    write_seed_iv(tmp_path / "SEED_IV", [10, 2])
    X = read_seed_iv(tmp_path, **ONE_SECOND)
    whose = [(r.subject, r.session) for r in X.recordings]
    # The folder is the session, whatever the dates.
    assert whose == [(s, k) for s in ("02", "10") for k in ("1", "2", "3")]
    check_signals(X, by_trial_number, atol=1e-12)
    assert set(X.metadata["dataset"]) == {"SEED-IV"}
    assert X.recordings[1].trials["stimulus"].iloc[6] == "2-07"
    assert X.recordings[4].trials["stimulus"].iloc[6] == "2-07"
    words = dict(zip("0123", ("neutral", "sad", "fear", "happy"), strict=True))
    for session, codes in {
        "1": "123020010121112322330303",
        "2": "213002023323201121030131",
        "3": "122133311210233023002010",
    }.items():
        assert labels_of(X)["10", session] == [words[code] for code in codes]


def test_seed_iv_sessions_and_two_files_for_one(tmp_path):
    folder = write_seed_iv(tmp_path, [3], sessions=(1, 3))
    X = read_seed_iv(tmp_path, **ONE_SECOND)
    assert [recording.session for recording in X.recordings] == ["1", "3"]
    with pytest.raises(FileNotFoundError, match="subjects 3 in sessions 2: "):
        read_seed_iv(tmp_path, subjects=3, sessions=2)
    shutil.copy(folder / "3" / "3_20160517.mat", folder / "3" / "3_20160601.mat")
    with pytest.raises(
        ValueError, match="2 files for subject 3, session 3 in .*expect"
    ):
        read_seed_iv(tmp_path)
    assert len(read_seed_iv(tmp_path, sessions=1, **ONE_SECOND).recordings) == 1


def test_seed_iv_labels_of_the_readme_are_compared(tmp_path):
    write_seed_iv(tmp_path, [3], sessions=[2])
    text = "session1_label = [1,2,3,0,2,0,0,1,0,1,2,1,1,1,2,3,2,2,3,3,0,3,0,3];\n"
    (tmp_path / "ReadMe.txt").write_text(text)
    for root in (tmp_path, tmp_path / "eeg_raw_data"):
        assert len(read_seed_iv(root, **ONE_SECOND).recordings) == 1
    text = text.replace("[1,2", "[2,1")
    (tmp_path / "ReadMe.txt").write_text(text)
    for root in (tmp_path, tmp_path / "eeg_raw_data"):
        with pytest.raises(
            ValueError, match="ReadMe.txt' has other labels of session 1"
        ):
            read_seed_iv(root)


def test_file_of_seed_among_those_of_seed_iv(tmp_path):
    write_mat(tmp_path / "eeg_raw_data" / "1" / "1_20160518.mat", 1, 1, 15)
    with pytest.raises(ValueError, match="lacks trials 16, 17, 18"):
        read_seed_iv(tmp_path)


# SEED-V


def test_seed_v(tmp_path):
    # The dates are not in the order of the sessions.
    names = ["10_1_20180804", "2_1_20180804", "2_2_20180810", "2_3_20180808"]
    write_seed_v(tmp_path, names)
    with pytest.warns(
        UserWarning, match="trial_start_end_timestamp.txt' are not those"
    ):
        X = read_seed_v(tmp_path, **ONE_SECOND)
    whose = [(r.subject, r.session) for r in X.recordings]
    assert whose == [("02", "1"), ("02", "2"), ("02", "3"), ("10", "1")]
    check_signals(X, raw_content, atol=1e-8)
    for recording in X.recordings:
        np.testing.assert_allclose(
            recording.trials[["start", "stop"]], V_SPANS[int(recording.session)]
        )
    assert set(X.metadata["dataset"]) == {"SEED-V"}
    assert X.recordings[1].trials["stimulus"].iloc[6] == "2-07"
    words = dict(
        zip("01234", ("disgust", "fear", "sad", "neutral", "happy"), strict=True)
    )
    expected = ["413204132041320", "213044032134120", "213044032134120"]
    for session, codes in enumerate(expected, start=1):
        assert labels_of(X)["02", str(session)] == [words[code] for code in codes]


def test_seed_v_with_published_times(tmp_path, recwarn):
    starts, stops = SEED_V.times[2]
    spans = [(2 * a, 2 * b) for a, b in zip(starts, stops, strict=True)]
    path = tmp_path / "EEG_raw" / "16_2_20180810.cnt"
    write_raw(path, 16, 2, spans, sfreq=2, others=REFERENCES)
    X = read_seed_v(tmp_path)
    check_signals(X, raw_content, atol=1e-8)
    assert not list(recwarn)


def test_seed_v_two_files_for_a_session(tmp_path):
    write_seed_v(tmp_path, ["2_1_20180804", "2_1_20180805"])
    with pytest.raises(ValueError, match="2 files for subject 2, session 1"):
        read_seed_v(tmp_path)


# SEED-VII


def by_video_number(recording, row, n_times):
    return microvolts(int(recording.subject), 0, int(row.stimulus), n_times, 200.0)


def test_seed_vii(tmp_path):
    write_seed_vii(tmp_path, [10, 2])
    X = read_seed_vii(tmp_path, **ONE_SECOND)
    whose = [(r.subject, r.session) for r in X.recordings]
    assert whose == [(s, k) for s in ("02", "10") for k in ("1", "2", "3", "4")]
    check_signals(X, by_video_number, atol=1e-12)
    assert set(X.metadata["dataset"]) == {"SEED-VII"}
    for k, recording in enumerate(X.recordings[:4]):
        videos = range(20 * k + 1, 20 * k + 21)
        assert list(recording.trials["stimulus"]) == [f"{v:02d}" for v in videos]
        assert list(recording.trials["trial"]) == [str(t) for t in range(1, 21)]
    labels = sum(labels_of(X)["10"], [])
    assert labels[:5] == ["happy", "neutral", "disgust", "sad", "anger"]
    # Videos 12, 14 and 15, which other tables have wrong.
    assert [labels[v - 1] for v in (12, 14, 15)] == ["neutral", "sad", "anger"]
    assert labels[20:23] == labels[30:33] == ["anger", "sad", "fear"]
    assert labels[-1] == "disgust"


def test_seed_vii_decodes_one_session_of_a_file(tmp_path, monkeypatch):
    write_seed_vii(tmp_path, [5])
    read, original = [], io.BytesIO
    monkeypatch.setattr(
        io, "BytesIO", lambda data: read.append(len(data)) or original(data)
    )
    X = read_seed_vii(tmp_path, sessions=[3, 1], **ONE_SECOND)
    assert read == []
    X.recordings[1].signal  # noqa: B018
    assert len(read) == 20


def test_seed_vii_file_that_lacks_videos(tmp_path):
    write_seed_vii(tmp_path, [5, 6])
    write_seed_vii(tmp_path / "b", [6], change=lambda v: (v.pop("45"), v.pop("9")))
    os.replace(
        tmp_path / "b" / "EEG_preprocessed" / "6.mat",
        tmp_path / "EEG_preprocessed" / "6.mat",
    )
    with pytest.raises(ValueError, match="6.mat' cannot be read: it lacks trials 9; "):
        read_seed_vii(tmp_path)
    with pytest.warns(
        UserWarning,
        match="2 of 8 recordings are left .*lacks trials 9;.*lacks trials 45;",
    ):
        X = read_seed_vii(tmp_path, on_error="skip", **ONE_SECOND)
    whose = [(r.subject, r.session) for r in X.recordings]
    assert whose == [("05", k) for k in "1234"] + [("06", "2"), ("06", "4")]


def test_file_of_seed_among_those_of_seed_vii(tmp_path):
    write_mat(tmp_path / "EEG_preprocessed" / "1.mat", 1, 1, 15)
    with pytest.raises(
        ValueError, match="lacks trials 1, 2, .*found aa_eeg1, aa_eeg10"
    ):
        read_seed_vii(tmp_path)


VII_OTHERS = ("M1", "M2", "ECG", "HEO", "VEO")


def write_vii_raw(root, name, events=None, **kwargs):
    subject, _, session = (int(part) for part in name.split("_"))
    spans = spans_of(20, lengths=(200, 300), first=120, gap=80)
    if events is None:
        events = [(sample, 1) for span in spans for sample in span]
        events.append((spans[-1][1] + 10, 7))
    first = 20 * (session - 1) + 1
    path = root / "EEG_raw" / f"{name}.cnt"
    write_raw(
        path, subject, session, spans, numbers=range(first, first + 20), sfreq=200,
        others=VII_OTHERS, events=events, **kwargs,
    )  # fmt: skip
    return path, spans


def raw_video(recording, row, n_times):
    return raw_content(recording, row, n_times, int(row.stimulus))


def test_seed_vii_raw(tmp_path):
    _, spans = write_vii_raw(tmp_path, "10_20221001_1")
    write_vii_raw(tmp_path, "2_20221115_4")
    write_vii_raw(tmp_path, "2_20221116_3")
    X = read_seed_vii(tmp_path, source="raw", **ONE_SECOND)
    whose = [(r.subject, r.session) for r in X.recordings]
    assert whose == [("02", "3"), ("02", "4"), ("10", "1")]
    check_signals(X, raw_video, atol=1e-8)
    for recording in X.recordings:
        np.testing.assert_allclose(
            recording.trials[["start", "stop"]], np.array(spans) / 200
        )
    assert X.recordings[1].trials["stimulus"].iloc[0] == "61"
    assert labels_of(X)["02", "4"][:2] == ["disgust", "sad"]


def test_seed_vii_raw_with_too_few_events(tmp_path):
    write_vii_raw(tmp_path, "2_20221115_4", events=[(100, 1), (300, 2)])
    with pytest.raises(ValueError, match="2_20221115_4.cnt' .* has 2 events, expected"):
        read_seed_vii(tmp_path, source="raw")


def test_seed_vii_raw_timed_by_another_clock(tmp_path):
    _, spans = write_vii_raw(tmp_path, "14_20221015_1", events=[])
    with pytest.raises(FileNotFoundError, match="14_20221015_1_trigger_info.csv"):
        read_seed_vii(tmp_path, source="raw")
    # The recording began at 14:25:34.
    begin = np.datetime64("2022-10-15T14:25:34", "us")
    lines = [
        f"{code},{str(begin + np.timedelta64(5000 * sample, 'us')).replace('T', ' ')}"
        for span in spans
        for code, sample in zip((1, 2), span, strict=True)
    ]
    table = tmp_path / "save_info" / "14_20221015_1_trigger_info.csv"
    table.parent.mkdir()
    table.write_text("\n".join(lines))
    X = read_seed_vii(tmp_path / "EEG_raw", source="raw", **ONE_SECOND)
    check_signals(X, raw_video, atol=1e-8)
    table.write_text("\n".join(lines[1:]))
    with pytest.raises(
        ValueError, match="trigger_info.csv' cannot be read: expected 40"
    ):
        read_seed_vii(tmp_path, source="raw")


def test_raw_names_of_the_other_dataset(tmp_path):
    write_vii_raw(tmp_path, "2_20221115_4")
    with pytest.raises(
        FileNotFoundError, match="subject}_.session}_.date}.cnt.*holds 2_20221115_4"
    ):
        read_seed_v(tmp_path)
    os.rename(
        tmp_path / "EEG_raw" / "2_20221115_4.cnt",
        tmp_path / "EEG_raw" / "2_1_20180804.cnt",
    )
    with pytest.raises(
        FileNotFoundError, match="subject}_.date}_.session}.cnt.*holds 2_1_20180804"
    ):
        read_seed_vii(tmp_path, source="raw")
