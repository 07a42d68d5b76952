import hashlib
import os
import re
from pathlib import Path

import numpy as np
import pooch
import pytest
import requests

from sklearn_mdjpt import Recording
from sklearn_mdjpt.datasets import _eegmat, fetch_eegmat

REAL = os.environ.get("SKLEARN_MDJPT_DATA")
needs_data = pytest.mark.skipif(
    not REAL, reason="needs real EEG: set SKLEARN_MDJPT_DATA to its folder"
)


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Give an empty cache, no data variable, and files whose digests are known."""
    monkeypatch.delenv("SKLEARN_MDJPT_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    digests = {
        name: hashlib.sha256(name.encode()).hexdigest()
        for subject in range(36)
        for name in _eegmat._file_names(subject)
    }
    monkeypatch.setattr(_eegmat, "_known_digests", lambda: digests)
    monkeypatch.setattr(_eegmat, "_read_subject", fake_recording)
    return tmp_path


def fake_recording(subject, rest_path, task_path):
    """Return a silent recording that remembers its files in the trial ids."""
    return Recording(
        np.zeros((2, 1240)),
        ["Fz", "Cz"],
        10.0,
        dataset="eegmat",
        subject=f"{subject:02d}",
        session="1",
        trials=[
            {"start": 0.0, "stop": 62.0, "trial": str(rest_path), "label": "rest"},
            {"start": 62.0, "stop": 124.0, "trial": str(task_path), "label": "task"},
        ],
    )


def put(folder, *subjects):
    folder.mkdir(parents=True, exist_ok=True)
    for subject in subjects:
        for name in _eegmat._file_names(subject):
            (folder / name).write_bytes(name.encode())


def paths_of(X):
    return {Path(trial) for trial in X.metadata["trial"]}


def test_shipped_digests_are_those_of_72_files():
    digests = _eegmat._known_digests()
    assert len(digests) == 72
    assert set(digests) == {n for s in range(36) for n in _eegmat._file_names(s)}
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests.values())


@pytest.mark.parametrize("below", [".", "eegmat", "eegmat/data"])
@pytest.mark.parametrize("by", ["data_home", "variable"])
def test_files_are_found(library, monkeypatch, below, by):
    put(library / "mine" / below, 0, 7)
    if by == "variable":
        monkeypatch.setenv("SKLEARN_MDJPT_DATA", str(library / "mine"))
        X = fetch_eegmat(download=False)
    else:
        X = fetch_eegmat(library / "mine", download=False)
    assert sorted(set(X.metadata["subject"])) == ["00", "07"]
    assert len(X) == 2 * 2 * 29


def test_data_home_comes_first_then_variable_then_cache(library, monkeypatch):
    monkeypatch.setenv("SKLEARN_MDJPT_DATA", str(library / "variable"))
    put(library / "cache" / "sklearn_mdjpt" / "eegmat", 1, 2, 3)
    put(library / "variable", 1, 2)
    put(library / "home", 1)
    X = fetch_eegmat(library / "home", download=False)
    folders = {path.name[7:9]: path.parent.name for path in paths_of(X)}
    assert folders == {"01": "home", "02": "variable", "03": "eegmat"}


def test_subjects_keep_their_order_and_are_counted_once(library):
    put(library, 3, 5)
    X = fetch_eegmat(library, subjects=[5, 3, 5], download=False)
    assert list(dict.fromkeys(X.metadata["subject"])) == ["05", "03"]
    assert set(fetch_eegmat(library, 3, False).metadata["subject"]) == {"03"}
    assert set(fetch_eegmat(library, "03", False).metadata["subject"]) == {"03"}


def test_a_subject_needs_both_files(library):
    put(library, 3, 5)
    (library / "Subject05_2.edf").unlink()
    X = fetch_eegmat(library, download=False)
    assert set(X.metadata["subject"]) == {"03"}
    with pytest.raises(FileNotFoundError, match="Subjects 5 of eegmat .*Subject05_1"):
        fetch_eegmat(library, subjects=[3, 5], download=False)


def test_nothing_present(library):
    with pytest.raises(FileNotFoundError, match="looked for .*nowhere") as error:
        fetch_eegmat(library / "nowhere", download=False)
    assert "SKLEARN_MDJPT_DATA" in str(error.value)


@pytest.mark.parametrize("subjects", [36, [-1], [0, "x"], [True], []])
def test_unknown_subjects(subjects):
    with pytest.raises(ValueError, match="subjects must be an int >= 0 and <= 35"):
        fetch_eegmat(subjects=subjects, download=False)


def test_changed_file_is_refused(library):
    put(library, 0)
    changed = library / "Subject00_2.edf"
    changed.write_bytes(b"something else")
    with pytest.raises(ValueError, match="not the original") as error:
        fetch_eegmat(library, download=False)
    message = str(error.value)
    assert str(changed) in message
    assert hashlib.sha256(b"something else").hexdigest() in message
    assert _eegmat._known_digests()[changed.name] in message


def test_a_file_is_digested_once_unless_it_changes(library, monkeypatch):
    put(library, 0)
    fetch_eegmat(library, download=False)
    digested, digest = [], hashlib.file_digest

    def spy(file, kind):
        digested.append(Path(file.name).name)
        return digest(file, kind)

    monkeypatch.setattr(hashlib, "file_digest", spy)
    fetch_eegmat(library, download=False)
    assert digested == []
    name = _eegmat._file_names(0)[1]
    (library / name).write_bytes(b"something else")
    with pytest.raises(ValueError, match=f"{name} is not the original"):
        fetch_eegmat(library, download=False)
    assert digested == [name]


@pytest.fixture
def downloads(library, monkeypatch):
    """Let nothing be fetched: calls go to a list, and their faults come from another.

    A fault is an error to raise, or the bytes that arrive in place of the file's.
    """
    urls, faults = [], []

    def download(self, url, output_file, pooch):
        urls.append(url)
        fault = faults.pop(0) if faults else url.rpartition("/")[2].encode()
        if isinstance(fault, Exception):
            raise fault
        Path(output_file).write_bytes(fault)

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", download)
    return urls, faults


@pytest.mark.parametrize(
    "fault", [requests.exceptions.ConnectionError("try again"), b"half a fi"]
)
def test_missing_files_are_downloaded(library, downloads, fault):
    put(library / "home", 0)
    urls, faults = downloads
    faults.append(fault)
    X = fetch_eegmat(library / "home", subjects=[0, 4])
    assert set(X.metadata["subject"]) == {"00", "04"}
    url = "https://physionet.org/files/eegmat/1.0.0/Subject04_"
    assert urls == [f"{url}1.edf", f"{url}1.edf", f"{url}2.edf"]
    assert all(path.parent == library / "home" for path in paths_of(X))


def test_download_goes_to_the_cache_by_default(library, downloads):
    X = fetch_eegmat(subjects=2)
    cache = library / "cache" / "sklearn_mdjpt" / "eegmat"
    assert {path.parent for path in paths_of(X)} == {cache}


@pytest.mark.parametrize(
    "fault, said",
    [
        (requests.exceptions.ConnectionError("no route"), "no route"),
        (b"not the file", "hash"),
    ],
)
def test_download_gives_up_with_the_address(library, downloads, fault, said):
    urls, faults = downloads
    faults += [fault] * 4
    with pytest.raises(OSError, match=f"1.0.0/Subject00_1.edf: .*{said}.*home by hand"):
        fetch_eegmat(library / "home", subjects=0)
    assert len(urls) == 3
    assert not any((library / "home").iterdir())


@needs_data
def test_real_recordings():
    X = fetch_eegmat(subjects=[0, 9], download=False)
    assert len(X) == 2 * 2 * 29
    assert X.sfreq == 500.0
    assert len(X.ch_names) == 19
    assert {"T7", "T8", "P7", "P8"} < set(X.ch_names)
    assert not {"T3", "A2-A1", "ECG"} & set(X.ch_names)
    assert list(np.unique(X.groups("subject"))) == ["eegmat/00", "eegmat/09"]
    assert list(np.unique(X.y, return_counts=True)[1]) == [58, 58]
    assert X.metadata["stimulus"].isna().all()
    assert X[0].shape == (19, 2500)
    for recording in X.recordings:
        assert recording.duration == 124.0
        assert 3e-6 < np.median(recording.signal.std(axis=1)) < 50e-6


@needs_data
def test_real_recording_is_the_end_of_rest_and_the_start_of_the_task():
    import mne

    recording = fetch_eegmat(subjects=1, download=False).recordings[0]
    rest, task = (
        mne.io.read_raw_edf(
            _eegmat.find_file([name], _eegmat._places(None)), verbose="error"
        ).get_data(picks=["EEG T3"])[0]
        for name in _eegmat._file_names(1)
    )
    signal = recording.signal[recording.ch_names.index("T7")]
    np.testing.assert_allclose(signal[:31000], rest[-31000:], atol=1e-10)
    np.testing.assert_allclose(signal[31000:], task[:31000], atol=1e-10)
