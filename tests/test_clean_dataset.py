"""Datasets cleaned on disk: windows, reuse, kills, jobs."""

import importlib.util
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sklearn_mdjpt
from sklearn_mdjpt import EEGWindows, Recording, concat_windows
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.preprocessing import _dataset, clean_dataset, read_reports

QUICK = {"ica": None}
NAMES = ("Fp1", "Fz", "C3", "Cz", "C4", "Pz", "O1", "O2")


def make_data(n_subjects=3, seed=0, **parameters):
    arguments = {
        "n_subjects": n_subjects, "n_stimuli": 2, "n_emotions": 2, "trial_seconds": 6.0,
        "montages": (NAMES,), "sfreqs": (200.0,), "references": ("average",),
        "window_seconds": 2.0, "stride_seconds": 1.0, "random_state": seed,
    } | parameters  # fmt: skip
    return make_emotion_windows(1, **arguments)


def content(folder):
    """All files of a folder but locks, with what they hold."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def assert_same(found, expected):
    pd.testing.assert_frame_equal(found.metadata, expected.metadata)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.fixture(scope="module")
def cleaned(data, tmp_path_factory):
    """The folder and the windows of a run that nothing has disturbed."""
    folder = tmp_path_factory.mktemp("cleaned")
    return folder, clean_dataset(data, folder, **QUICK)


def test_windows_are_those_of_the_data(data, cleaned):
    _, clean = cleaned
    pd.testing.assert_frame_equal(clean.metadata, data.metadata)
    assert clean.sfreq == 125 and clean[0].shape == (8, 250)
    assert all(isinstance(r.signal, np.memmap) for r in clean.recordings)
    for a, b in zip(clean.recordings, data.recordings, strict=True):
        assert (a.dataset, a.subject, a.session) == (b.dataset, b.subject, b.session)
        pd.testing.assert_frame_equal(a.trials, b.trials)
    for (_, rows, starts, n_times), (_, old_rows, old_starts, old_n_times) in zip(
        clean.blocks(), data.blocks(), strict=True
    ):
        np.testing.assert_array_equal(rows, old_rows)
        assert np.abs(starts / 125 - old_starts / 200).max() <= 0.5 / 125
        np.testing.assert_array_equal(n_times / 125, old_n_times / 200)


def test_signals_are_those_of_clean_recording(data, cleaned):
    from sklearn_mdjpt.preprocessing import clean_recording

    source, clean = data.recordings[1], cleaned[1].recordings[1]
    expected, report = clean_recording(source.to_raw(), trials=source.trials, ica=None)
    np.testing.assert_array_equal(clean.signal, expected.get_data().astype(np.float32))
    assert read_reports(cleaned[1])[1] == report


def test_order_and_part_of_windows(data, cleaned, monkeypatch):
    folder, clean = cleaned
    monkeypatch.setattr(_dataset, "clean_recording", None)  # nothing is cleaned again
    rows = np.random.default_rng(0).permutation(len(data))[:10]
    assert_same(clean_dataset(data[rows], folder, **QUICK), clean[rows])
    # Other windows and labels of the same recordings, too.
    recordings = data.recordings
    longer = clean_dataset(recordings, folder, **QUICK)
    assert_same(
        longer, clean_dataset(EEGWindows.from_recordings(recordings), folder, **QUICK)
    )
    assert longer[0].shape == (8, 625)


def test_results_can_be_saved_and_opened(cleaned, tmp_path):
    cleaned[1].save(tmp_path / "store")
    assert_same(EEGWindows.open(tmp_path / "store"), cleaned[1])


@pytest.mark.slow
def test_two_jobs_give_the_same_files(data, cleaned, tmp_path):
    found = clean_dataset(data, tmp_path / "new", n_jobs=2, **QUICK)
    assert_same(found, cleaned[1])
    assert content(tmp_path / "new") == content(cleaned[0])


@pytest.mark.skipif(
    importlib.util.find_spec("mne_icalabel") is None,
    reason="needs mne-icalabel (the extra 'ica')",
)
@pytest.mark.slow
def test_two_jobs_give_the_same_components(tmp_path):
    X = make_data(2)
    parameters = {"max_ica_iter": 10, "remove": ("brain", "other"), "threshold": 0.3}
    one = clean_dataset(X, tmp_path / "one", **parameters)
    two = clean_dataset(X, tmp_path / "two", n_jobs=2, **parameters)
    assert any(report.removed for report in read_reports(one))
    assert_same(two, one)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_several_montages_rates_and_memory_maps(tmp_path):
    other = make_data(2, montages=(NAMES[1:],), sfreqs=(250.0,), trial_seconds=7.0)
    X = concat_windows([make_data(1), other[other.groups("subject") == "SimA/02"]])
    X.save(tmp_path / "raw")
    opened = EEGWindows.open(tmp_path / "raw")
    clean = clean_dataset(X, tmp_path / "clean", **QUICK)
    assert clean.sfreq == 125
    assert_same(clean_dataset(opened, tmp_path / "clean", **QUICK), clean)
    assert len(list((tmp_path / "clean").glob("*.json"))) == 2
    kept = clean_dataset(X, tmp_path / "clean", sfreq=None, **QUICK)
    assert [r.sfreq for r in kept.recordings] == [200, 250]
    assert [len(w[0]) for w in kept] == [len(w[0]) for w in X]


@pytest.mark.parametrize("what", ["parameter", "sample", "trial", "rate", "bad span"])
def test_other_data_or_parameters_are_cleaned_anew(what, tmp_path):
    source = make_data(1).recordings[0]
    parts = {
        "signal": source.signal, "sfreq": source.sfreq,
        "trials": source.trials, "bad_spans": (),
    }  # fmt: skip
    clean_dataset(source, tmp_path, **QUICK)
    parameters = QUICK
    if what == "parameter":
        parameters = QUICK | {"l_freq": 0.6}
    elif what == "sample":
        parts["signal"] = parts["signal"].copy()
        parts["signal"][3, 100] = 0.0
    elif what == "trial":
        parts["trials"] = parts["trials"].assign(stop=parts["trials"]["stop"] - 0.5)
    elif what == "rate":
        parts["sfreq"] = 201.0
    else:
        parts["bad_spans"] = [(0.0, 0.5)]
    clean_dataset([Recording(ch_names=NAMES, **parts)], tmp_path, **parameters)
    assert len(list(tmp_path.glob("*.json"))) == 2


@pytest.mark.parametrize("damage", ["signal", "index", "report", "no report"])
def test_damaged_results_are_replaced(damage, tmp_path):
    X = make_data(1)
    expected = np.array(clean_dataset(X, tmp_path, **QUICK))
    before = content(tmp_path)
    report = next(tmp_path.glob("*.json"))
    store = report.with_suffix("")
    if damage == "no report":
        report.unlink()
    else:
        path = {
            "signal": next(store.glob("signal-*.npy")),
            "index": store / "index.json",
            "report": report,
        }[damage]
        damaged = bytearray(path.read_bytes())
        damaged[-20:] = bytes(20)
        path.write_bytes(damaged)
    with pytest.warns(UserWarning, match="SimA/01/1: It has been cleaned again"):
        again = clean_dataset(X, tmp_path, **QUICK)
    np.testing.assert_array_equal(np.array(again), expected)
    assert content(tmp_path) == before


# Kills -------------------------------------------------------------------------------


def _run_and_die(X, folder, function, count):
    """Clean, and kill this process at the so-manieth call of a function of os."""
    calls = 0
    real = getattr(os, function)

    def dying(*arguments, **keywords):
        nonlocal calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **keywords)

    setattr(os, function, dying)
    clean_dataset(X, folder, **QUICK)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
@pytest.mark.parametrize(
    "function, count",
    # While a report, a signal, an index are written; before they get their names.
    [("fsync", 1), ("fsync", 3), ("fsync", 8), ("replace", 3), ("rename", 1)]
    + [("rename", 2), ("fsync", 14)],
)
def test_a_killed_run_goes_on(function, count, data, cleaned, tmp_path, monkeypatch):
    process = multiprocessing.get_context("fork").Process(
        target=_run_and_die, args=(data, tmp_path, function, count)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    left = {p.name for p in tmp_path.iterdir() if p.is_dir() and p.name[0] != "."}
    # What has its name is whole.
    before = content(cleaned[0])
    for name, found in content(tmp_path).items():
        if not name.startswith("."):
            assert found == before[name]
    done, real = [], _dataset.clean_recording

    def counting(*arguments, **keywords):
        done.append(1)
        return real(*arguments, **keywords)

    monkeypatch.setattr(_dataset, "clean_recording", counting)
    assert_same(clean_dataset(data, tmp_path, **QUICK), cleaned[1])
    assert len(done) == 3 - len(left)
    assert content(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0])
def test_runs_killed_at_any_moment_go_on(n_jobs, seconds, tmp_path):
    X = make_data(12, trial_seconds=20.0)
    X.save(tmp_path / "raw")
    code = """
    import sys
    from sklearn_mdjpt import EEGWindows
    from sklearn_mdjpt.preprocessing import clean_dataset
    raw, folder, n_jobs = sys.argv[1:]
    clean_dataset(EEGWindows.open(raw), folder, n_jobs=int(n_jobs), ica=None)
    """
    folder = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), tmp_path / "raw", folder]
        + [str(n_jobs)],
        cwd=Path(sklearn_mdjpt.__file__).parents[1],
    )
    deadline = time.monotonic() + 100
    while not list(folder.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    found = clean_dataset(X, folder, **QUICK)
    assert_same(found, clean_dataset(X, tmp_path / "whole", **QUICK))
    # Workers that outlived the run may still have been writing.
    names = {name for name in content(folder) if not name.startswith(".")}
    assert names == set(content(tmp_path / "whole"))


# Errors ------------------------------------------------------------------------------


@pytest.fixture
def spoiled():
    """Recordings of which the second cannot be cleaned."""
    recordings = make_data(3).recordings
    bad = recordings[1].signal.copy()
    bad[2, 50] = np.nan
    recordings[1] = Recording(
        bad, NAMES, 200.0, "SimA", "02", "1", recordings[1].trials
    )
    return EEGWindows.from_recordings(recordings, window_seconds=2, stride_seconds=2)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_recording_that_fails_stops_the_run(spoiled, n_jobs, tmp_path):
    with pytest.raises(ValueError, match="SimA/02/1: The signal holds NaN or inf in 1"):
        clean_dataset(spoiled, tmp_path, n_jobs=n_jobs, **QUICK)
    assert not list(tmp_path.glob(".*.part"))


def test_a_recording_that_fails_can_be_skipped(spoiled, tmp_path):
    with pytest.warns(UserWarning, match="1 of 3 recordings are left out. SimA/02/1"):
        clean = clean_dataset(spoiled, tmp_path, on_error="skip", **QUICK)
    kept = spoiled.metadata["subject"] != "02"
    pd.testing.assert_frame_equal(
        clean.metadata, spoiled.metadata[kept].reset_index(drop=True)
    )
    only = spoiled[spoiled.metadata["subject"].to_numpy() == "02"]
    with pytest.raises(ValueError, match="No recording could be cleaned. SimA/02/1"):
        clean_dataset(only, tmp_path, on_error="skip", **QUICK)


def test_a_recording_is_named_whatever_the_error(tmp_path, monkeypatch):
    """Errors of MNE that are no ValueError, and two recordings of one session."""
    recordings = make_data(2).recordings
    recordings[1].subject = recordings[0].subject
    recordings[0].trials["trial"] = [f"a{k}" for k in range(len(recordings[0].trials))]
    X = EEGWindows.from_recordings(recordings, window_seconds=2, stride_seconds=2)
    clean, calls = _dataset.clean_recording, []

    def fail_second(*arguments, **given):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("does not converge")
        return clean(*arguments, **given)

    monkeypatch.setattr(_dataset, "clean_recording", fail_second)
    message = "SimA/01/1, recording 1: RuntimeError: does not converge"
    with pytest.raises(ValueError, match=message):
        clean_dataset(X, tmp_path, **QUICK)
    # What was done before is kept.
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_warnings_reach_the_user_once(tmp_path):
    recordings = [
        Recording(
            np.concatenate([r.signal, r.signal[:1]]), [*NAMES, "mine"], 200.0,
            r.dataset, r.subject, trials=r.trials,
        )
        for r in make_data(2).recordings
    ]  # fmt: skip
    for _ in range(2):
        with pytest.warns(UserWarning) as caught:
            clean = clean_dataset(recordings, tmp_path, n_jobs=2, **QUICK)
        messages = [str(w.message) for w in caught if "left out" in str(w.message)]
        assert len(messages) == 1 and messages[0].startswith("SimA/01, SimA/02: EEG")
    assert clean.ch_names == NAMES


def test_progress(data, tmp_path, capsys):
    clean_dataset(data, tmp_path, **QUICK)
    assert capsys.readouterr().out == ""
    clean_dataset(data, tmp_path, verbose=1, **QUICK)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("[1/3] SimA/01/1: 8 channels, 2 trials")
    assert lines[2].endswith("no ICA, done before")


def test_arguments_are_checked_before_any_work(data, tmp_path, monkeypatch):
    folder = tmp_path / "new"
    arrays = EEGWindows.from_arrays(np.ones((2, 2, 9)), ch_names=["C3", "C4"], sfreq=9)
    for X, parameters, error, message in [
        (data, {"l_freqs": 1}, TypeError, "no parameters l_freqs .*l_freq, h_freq"),
        (data, {"trials": 1}, TypeError, "no parameters trials"),
        (data, {"l_freq": -1}, ValueError, "l_freq must be .* > 0, got -1"),
        (data, {"on_error": "stop"}, ValueError, "on_error must be one of"),
        (arrays, {}, TypeError, "1 of 1 recordings of X are windows that"),
        (data[:0], {}, ValueError, "no windows"),
        ([np.ones(3)], {}, TypeError, "must be Recording objects, got ndarray"),
    ]:
        with pytest.raises(error, match=message):
            clean_dataset(X, folder, **QUICK | parameters)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        clean_dataset(data, tmp_path / "no" / "where", **QUICK)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "mne_icalabel" else find(name, *rest),
    )
    with pytest.raises(ImportError, match=r"sklearn_mdjpt\[ica\]"):
        clean_dataset(data, folder)
    assert not folder.exists()


def test_only_one_process_at_a_time(data, tmp_path):
    with _dataset._only_one(tmp_path):
        with pytest.raises(RuntimeError, match="Another process is cleaning into"):
            clean_dataset(data, tmp_path, **QUICK)


def test_reports_are_those_of_cleaned_windows(data, cleaned):
    reports = read_reports(cleaned[1])
    assert [r.ch_names for r in reports] == [list(NAMES)] * 3
    files = sorted(cleaned[0].glob("*.json"))
    assert all(json.loads(f.read_bytes())["parameters"]["ica"] is None for f in files)
    with pytest.raises(ValueError, match="SimA/01/1 does not come from clean_dataset"):
        read_reports(data)


def test_a_path_in_place_of_windows(tmp_path):
    with pytest.raises(TypeError, match="got the path .*the second argument"):
        clean_dataset(tmp_path, tmp_path, ica=None)
    assert not list(tmp_path.iterdir())
