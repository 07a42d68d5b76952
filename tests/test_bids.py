"""BIDS: what lies in the folder is what the windows are, or an error says why not."""

import json
import pathlib
import pickle
import re
import shutil
import sys
import warnings

import mne
import numpy as np
import pandas as pd
import pytest

from sklearn_mdjpt.datasets import read_bids

mne_bids = pytest.importorskip("mne_bids", reason="needs the extra 'bids'")
pytest.importorskip("edfio")

CAPS = {
    "01": (["Fz", "Cz", "Pz", "HEOG", "Oz"], 128),
    "02": (["C3", "C4", "O1", "HEOG", "O2"], 100),
}
SECONDS = 20
HEADER = "onset duration trial_type stim_file trial valence value sample note".split()
# One table for each recording; in one of them rows are not in order of time.
EVENTS = {
    ("01", "1", "1"): [
        (0.5, 0, "start", "n/a", 7, "n/a", 9, 64, "n/a"),
        (1, 4, "joy", "a.mp4", 1, 8, 1, 128, "x"),
        (8, 5.5, "fear", "b.mp4", 2, 2.5, 2, 1024, "n/a"),
        (15, 2, "BAD_move", "n/a", "n/a", "n/a", "n/a", "n/a", "n/a"),
    ],
    ("01", "1", "2"): [
        (11, 4, "fear", "d.mp4", 2, 1, 2, 1408, "n/a"),
        (2, 4, "joy", "c.mp4", 1, 9, 1, 256, "n/a"),
    ],
    ("01", "2", "1"): [(3, 4, "fear", "e.mp4", 1, 3, 2, 384, "n/a")],
    ("02", "1", "1"): [
        (1.25, 4, "joy", "a.mp4", 1, 6, 1, 125, "n/a"),
        (10, 4, "fear", "b.mp4", 2, 4, 2, 1000, "n/a"),
    ],
}
PATHS = {
    (subject, session, run): f"sub-{subject}/ses-{session}/eeg/"
    f"sub-{subject}_ses-{session}_task-film_run-{run}_"
    for subject, session, run in EVENTS
}
FIRST = PATHS["01", "1", "1"]


def _write_events(path, rows, header=HEADER):
    lines = ["\t".join(map(str, row)) for row in (header, *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return the folder of a dataset, and the signals of its recordings in volts."""
    root = tmp_path_factory.mktemp("study")
    mne_bids.make_dataset_description(path=root, name="Films", verbose="error")
    signals = {}
    for k, key in enumerate(EVENTS):
        subject, session, run = key
        names, sfreq = CAPS[subject]
        info = mne.create_info(names, sfreq, ["eeg"] * 3 + ["eog", "eeg"])
        info["line_freq"], info["bads"] = 50, names[1:2]
        rng = np.random.default_rng(k)
        signals[key] = 1e-5 * rng.standard_normal((len(names), SECONDS * sfreq))
        mne_bids.write_raw_bids(
            mne.io.RawArray(signals[key], info, verbose="error"),
            mne_bids.BIDSPath(
                subject=subject, session=session, run=run, task="film",
                datatype="eeg", root=root,
            ),
            allow_preload=True, format="EDF", verbose="error",
        )  # fmt: skip
        _write_events(root / f"{PATHS[key]}events.tsv", EVENTS[key])
    return root, signals


@pytest.fixture
def copy(study, tmp_path):
    """Return a copy of the folder, to spoil."""
    return shutil.copytree(study[0], tmp_path / "copy")


def _read(root, **given):
    return read_bids(root, **{"window_seconds": 2.0, "stride_seconds": 1.0} | given)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_windows_are_those_of_the_events(study):
    root, signals = study
    X = _read(root, stimulus="stim_file")
    table = X.metadata
    # Trials of 4 s hold three windows, that of 5.5 s holds four.
    assert len(X) == 3 + 4 + 2 * 3 + 3 + 2 * 3
    assert list(table.columns[:7]) == [
        "dataset", "subject", "session", "trial", "stimulus", "onset", "label",
    ]  # fmt: skip
    assert table.loc[3:6, "onset"].tolist() == [0, 1, 2, 3]
    seen = set()
    for window, row in zip(X, table.itertuples(), strict=True):
        key = row.subject, row.session, row.run
        names, sfreq = CAPS[row.subject]
        number = int(row.trial.rpartition("_")[2])
        assert row.trial == f"task-film_run-{row.run}_{number}"
        event = dict(zip(HEADER, EVENTS[key][number - 1], strict=True))
        assert row.dataset == "Films" and row.task == "film"
        assert row.label == row.trial_type == event["trial_type"]
        assert row.stimulus == row.stim_file == event["stim_file"]
        assert row.valence == event["valence"] and row.value == event["value"]
        start = round((event["onset"] + row.onset) * sfreq)
        # Neither the bad channel nor the one that channels.tsv has as EOG.
        expected = signals[key][[0, 2, 4], start : start + 2 * sfreq]
        np.testing.assert_allclose(window, expected, rtol=0, atol=2e-9)
        seen.add((*key, number))
    assert len(seen) == len(set(X.groups("trial"))) == 7
    assert not {"sample", "duration"} & set(table)
    assert {(r.ch_names, r.sfreq) for r in X.recordings} == {
        (("Fz", "Pz", "Oz"), 128.0), (("C3", "O1", "O2"), 100.0),
    }  # fmt: skip


def test_blanks_around_cells_are_no_part_of_them(copy):
    expected = _read(copy, stimulus="stim_file")
    path = copy / f"{FIRST}events.tsv"
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    # Blanks, no-break spaces and a tab at the end, as spreadsheets leave them.
    rows = ["\t".join(f"{cell} " for cell in row.split("\t")) for row in rows]
    rows[1] = rows[1].replace("joy", " joy").replace("a.mp4", "a.mp4\N{NO-BREAK SPACE}")
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    X = _read(copy, stimulus="stim_file")
    pd.testing.assert_frame_equal(X.metadata, expected.metadata)
    assert set(X.y) == {"joy", "fear"}
    assert len(_read(copy, trial_types=[" joy ", "fear"])) == len(X)


def test_signals_are_decoded_when_they_are_read(study, monkeypatch):
    opened = []
    read_raw = mne_bids.read_raw_bids

    def counted(path, **keywords):
        opened.append(path.fpath.name)
        return read_raw(path, **keywords)

    monkeypatch.setattr(mne_bids, "read_raw_bids", counted)
    X = _read(study[0])
    assert len(opened) == len(EVENTS)
    small = pickle.dumps(X)
    assert len(opened) == len(EVENTS) and len(small) < 20_000
    again = pickle.loads(small)
    np.testing.assert_array_equal(again[0], X[0])
    assert opened[len(EVENTS) :] == [f"{FIRST.split('/')[-1]}eeg.edf"] * 2


@pytest.mark.parametrize(
    "wanted, expected",
    [
        ({"subjects": ["02", "sub-01"]}, [("02", "1"), ("01", "1"), ("01", "2")]),
        ({"subjects": "02"}, [("02", "1")]),
        ({"sessions": 2}, [("01", "2")]),
        ({"tasks": "task-film", "sessions": ["ses-1"]}, [("01", "1"), ("02", "1")]),
    ],
)
def test_selection(study, wanted, expected):
    table = _read(study[0], **wanted).metadata
    found = table[["subject", "session"]].drop_duplicates()
    assert list(found.itertuples(index=False, name=None)) == expected


def test_names_of_trials_do_not_depend_on_what_else_is_read(study):
    whole = set(_read(study[0]).groups("trial"))
    for part in ({"trial_types": "fear"}, {"sessions": "2"}, {"subjects": "02"}):
        assert set(_read(study[0], **part).groups("trial")) < whole


@pytest.mark.parametrize(
    "label, expected",
    [
        ("valence", ["8", "2.5"]),
        ({"joy": 1, "fear": None}, [1, None]),
        (lambda e: "high" if e["valence"] > 5 else "low", ["high", "low"]),
        (lambda e: f"{e.trial_type} {e.value + 1}", ["joy 2.0", "fear 3.0"]),
        (None, [None, None]),
    ],
)
def test_labels_and_stimuli(study, label, expected):
    given = {"subjects": "01", "sessions": "1", "window_seconds": 4.0}
    table = _read(study[0], label=label, **given).metadata
    table = table[(table["run"] == "1") & (table["onset"] == 0)]
    assert table["label"].tolist() == expected
    assert table["stimulus"].isna().all()
    if label is not None:
        table = _read(study[0], stimulus=label, label=None, **given).metadata
        table = table[(table["run"] == "1") & (table["onset"] == 0)]
        texts = [None if text is None else str(text) for text in expected]
        assert table["stimulus"].tolist() == texts
        assert table["label"].isna().all()


def test_duration_is_for_events_without_one(copy):
    for key, rows in EVENTS.items():
        rows = [(row[0], "n/a" if row[2] == "joy" else row[1], row[2]) for row in rows]
        _write_events(copy / f"{PATHS[key]}events.tsv", rows, HEADER[:3])
    with pytest.warns(UserWarning, match="^1 of 4 recordings have no trial .*ses-2"):
        X = _read(copy, trial_types="joy", duration=3)
    assert X.metadata["onset"].tolist() == [0, 1] * 3
    assert set(X.y) == {"joy"}
    with pytest.raises(ValueError, match=r"1 of 2 trials .*\(joy\) have no duration"):
        _read(copy, trial_types=["joy", "fear"], subjects="02")
    assert set(_read(copy, subjects="02").y) == {"fear"}


RATED = [
    (1, 4, "joy", "a", 8),
    (6, 4, "n/a", "b", "n/a"),
    (11, 4, "fear", "n/a", 2),
]


def _labels_of(copy, rule, rows=RATED):
    _write_events(
        copy / f"{PATHS['02', '1', '1']}events.tsv", rows,
        ["onset", "duration", "trial_type", "clip", "valence"],
    )  # fmt: skip
    X = _read(copy, subjects="02", window_seconds=4.0, label=rule)
    return X.metadata["label"].tolist()


def _guides_rules():
    """The rules for labels as the guide and the docstring print them."""
    root = pathlib.Path(__file__).parents[1]
    texts = [read_bids.__doc__, (root / "docs/your_data.md").read_text("utf-8")]
    texts[0] = texts[0].replace("...", " ")
    pattern = r"label=(lambda event: \(?\s*.*?\"low\"\)?)"
    return [rule for text in texts for rule in re.findall(pattern, text, re.DOTALL)]


@pytest.mark.parametrize("nothing", ["n/a", "", "nan", "NaN", " N/A "])
def test_the_guides_rules_leave_what_is_not_rated(copy, nothing):
    rules = _guides_rules()
    assert len(rules) > 1
    rows = [(*row[:4], nothing if row[4] == "n/a" else row[4]) for row in RATED]
    for rule in rules:
        text = "1 of 3 trials .*event 2 of sub-02_ses-1_task-film_run-1"
        with pytest.warns(UserWarning, match=text) as said:
            assert _labels_of(copy, eval(rule), rows) == ["high", None, "low"]
        assert len(said) == 1


@pytest.mark.parametrize(
    "rule",
    [
        lambda e: "low" if e["valence"] <= 5 else "high",
        lambda e: "high" if not e.valence < 5 else "low",
        lambda e: np.where(e["valence"] > 5, "high", "low"),
        lambda e: "high" if (e["valence"] + e["valence"]) / 2 > 5 else "low",
        lambda e: "high" if np.mean([e["valence"], 5]) > 5 else "low",
        lambda e: "high" if float(e["valence"]) > 5 else "low",
        lambda e: "high" if e["valence"] in (6, 7, 8, 9) else "low",
        lambda e: "high" if e["trial_type"] == "joy" else "low",
        lambda e: "high" if e["trial_type"] in ("joy", "awe") else "low",
        lambda e: {"joy": "high", "fear": "low"}[e["trial_type"]],
        lambda e: "high" if e["trial_type"].startswith("j") else "low",
        lambda e: "high" if max(e["valence"], 5) > 5 else "low",
    ],
)
def test_what_is_missing_stays_missing(copy, rule):
    with pytest.warns(UserWarning, match="1 of 3 trials have no label: the rule"):
        assert _labels_of(copy, rule) == ["high", None, "low"]


def test_texts_of_what_is_missing_are_no_labels(copy):
    with pytest.warns(UserWarning, match="1 of 3 trials have no label: the rule"):
        found = _labels_of(copy, lambda e: f"{e['trial_type']} {e['valence']:}")
    assert found == ["joy 8.0", None, "fear 2.0"]
    with pytest.warns(UserWarning, match="1 of 3 trials have no label"):
        found = _labels_of(copy, lambda e: str(e["trial_type"]).lower())
    assert found == ["joy", None, "fear"]


@pytest.mark.parametrize(
    "rule, expected",
    [
        (
            lambda e: None if pd.isna(e["valence"]) else "rated",
            ["rated", None, "rated"],
        ),
        (lambda e: "none" if pd.isna(e["valence"]) else "a", ["a", "none", "a"]),
        (lambda e: e["valence"], [8, None, 2]),
        (lambda e: e["valence"] > 5, [True, None, False]),
        (lambda e: e["trial_type"], ["joy", None, "fear"]),
        ("valence", ["8", None, "2"]),
        ("trial_type", ["joy", None, "fear"]),
        ({"joy": 1, "fear": 0, None: None}, [1, None, 0]),
    ],
)
def test_rules_may_ask_for_what_is_missing(copy, rule, expected):
    assert _labels_of(copy, rule) == expected


def test_other_errors_of_rules_are_errors(copy):
    for rule, error in (
        (lambda e: e["valance"], KeyError),
        (lambda e: {8: "high"}[e["onset"]], KeyError),
        (lambda e: e["onset"] + "s", TypeError),
    ):
        with pytest.raises(error):
            _labels_of(copy, rule)


@pytest.mark.parametrize("nothing", ["n/a", "nan", "NaN", ""])
def test_events_without_an_onset_are_left_out_and_named(copy, nothing):
    rows = [(1, 4, "joy", "a", 8), (nothing, 4, "fear", "b", 2), ("n/a", 0, "x", "", 1)]
    text = "^1 events have no onset .*event 2 of sub-02_ses-1_task-film"
    with pytest.warns(UserWarning, match=text) as said:
        assert _labels_of(copy, "trial_type", rows) == ["joy"]
    assert len(said) == 1


def test_no_window_lies_in_what_is_bad(copy):
    rows = [(0, 18, "film"), (5, 2, "BAD_move"), (10.5, 1, "bad")]
    _write_events(copy / f"{PATHS['02', '1', '1']}events.tsv", rows, HEADER[:3])
    X = _read(copy, subjects="02", trial_types="film")
    assert X.metadata["onset"].tolist() == [0, 1, 2, 3, 7, 8, 12, 13, 14, 15, 16]
    assert set(_read(copy, subjects="02").y) == {"film"}


def test_tables_higher_up_count(copy):
    for path in PATHS.values():
        (copy / f"{path}events.tsv").unlink()
    rows = [(2, 4, "joy", "01"), (9, 4, "fear", "02")]
    _write_events(copy / "task-film_events.tsv", rows, HEADER[:4])
    X = _read(copy, stimulus="stim_file", window_seconds=4.0)
    assert X.y.tolist() == ["joy", "fear"] * 4
    assert X.metadata["stimulus"].tolist() == ["01", "02"] * 4  # text, as it stands


def test_name_of_the_dataset(copy):
    assert set(_read(copy, dataset="mine").groups("dataset")) == {"mine"}
    path = copy / "dataset_description.json"
    for name in (" ", None, "[Unspecified]"):
        path.write_text(json.dumps({"Name": name}), encoding="utf-8")
        assert set(_read(copy).groups("dataset")) == {"copy"}
    path.unlink()
    assert set(_read(copy).groups("dataset")) == {"copy"}


def test_trials_are_cut_at_the_end_of_the_recording(copy):
    path = copy / f"{FIRST}events.tsv"
    given = {"subjects": "01", "sessions": "1", "trial_types": "joy"}
    _write_events(path, [(16, 4.005, "joy")], HEADER[:3])
    assert _read(copy, **given).metadata["onset"].tolist()[:3] == [0, 1, 2]
    _write_events(path, [(17, 30, "joy")], HEADER[:3])
    with pytest.warns(UserWarning, match=r"1 trials end after .* 20 s .*\(events 1\)"):
        X = _read(copy, **given)
    assert X.metadata["onset"].tolist()[:3] == [0, 1, 0]


def test_swapped_channels_are_noticed(copy, study):
    path = copy / f"{FIRST}channels.tsv"
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([header, *rows[::-1]]) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match="run-1_eeg.edf' cannot be read: .*on_ch_mism"):
        _read(copy)
    X = _read(copy, on_ch_mismatch="reorder")
    assert X.recordings[0].ch_names == ("Oz", "Pz", "Fz")
    expected = study[1]["01", "1", "1"][[4, 2, 0], 128 : 3 * 128]
    np.testing.assert_allclose(X[0], expected, rtol=0, atol=2e-9)


def test_damaged_recordings_are_named_or_skipped(copy):
    (copy / f"{FIRST}eeg.edf").write_bytes(b"0" * 300)
    with pytest.raises(ValueError, match="ses-1_task-film_run-1_eeg.edf' cannot be"):
        _read(copy)
    with pytest.warns(UserWarning, match="1 of 4 files are left out: .*run-1_eeg.edf'"):
        X = _read(copy, on_error="skip")
    assert len(X.recordings) == 3


def test_damaged_events_are_named_or_skipped(copy):
    """One table that could not be read ended all, also where asked to skip."""
    (copy / f"{FIRST}events.tsv").write_text("duration\n1\n")
    with pytest.raises(ValueError, match="run-1_events.tsv' cannot be read: it has no"):
        _read(copy)
    with pytest.warns(UserWarning, match="1 of 4 files are left out: .*_events.tsv'"):
        X = _read(copy, on_error="skip")
    assert len(X.recordings) == 3
    for path in copy.rglob("*_events.tsv"):
        path.write_text("duration\n1\n")
    with pytest.raises(ValueError, match="None of 4 recordings .*_events.tsv' cannot"):
        _read(copy, on_error="skip")


def test_one_recording_in_two_formats(copy):
    (copy / f"{FIRST}eeg.set").write_bytes(b"what was converted")
    with pytest.raises(ValueError, match="eeg.set' is the recording .*_eeg.edf' in an"):
        _read(copy)
    with pytest.warns(UserWarning, match="1 of 5 files are left out: .*_eeg.set'"):
        X = _read(copy, on_error="skip")
    assert len(X.recordings) == 4


def test_hidden_files_are_no_recordings(copy):
    """Some systems write "._NAME" beside each file."""
    expected = len(_read(copy))
    path = copy / f"{FIRST}eeg.edf"
    path.with_name(f"._{path.name}").write_bytes(b"hidden")
    assert len(_read(copy)) == expected


@pytest.mark.parametrize(
    "given, error, message",
    [
        ({"subjects": ["03", "01"]}, FileNotFoundError, "subject 03 .* are 01, 02"),
        ({"sessions": "3"}, FileNotFoundError, "of session 3 .* there are 1, 2"),
        ({"tasks": "rest"}, FileNotFoundError, "of task rest .* there are film"),
        (
            {"subjects": "02", "sessions": "2"},
            FileNotFoundError,
            "subject 02 .*of sessions 2 there are 01",
        ),
        ({"subjects": []}, ValueError, "subjects is empty"),
        (
            {"trial_types": "Joy"},
            ValueError,
            "'Joy'; the events have BAD_move, fear, j",
        ),
        ({"trial_types": "start"}, ValueError, "1 of 1 trials .* pass duration="),
        ({"label": "emotion"}, ValueError, "no column 'emotion' for label=, but onset"),
        ({"stimulus": "clip"}, ValueError, "no column 'clip' for stimulus=.*None"),
        ({"label": {"joy": 1}}, ValueError, "no name for the trial_type 'fear' of"),
        ({"label": 3}, TypeError, "label must be a column .* got 3"),
        ({"duration": 0}, ValueError, "duration .*> 0.* got 0"),
        ({"duration": "4"}, ValueError, "duration .*> 0.* got '4'"),
        ({"duration": 1}, ValueError, r"overlap: .*0.5 to 1.5 s, start.*1 to 5 s, joy"),
        ({"on_error": "warn"}, ValueError, "on_error must be one of"),
        ({"on_ch_mismatch": "warn"}, ValueError, "on_ch_mismatch must be one of"),
        ({"label": lambda event: event["no"]}, KeyError, "no"),
    ],
)
def test_errors(study, given, error, message):
    with pytest.raises(error, match=message):
        _read(study[0], **given)


@pytest.mark.parametrize(
    "rows, header, message",
    [
        ([(1, 4)], ["start", "duration"], "no column 'onset', but start, duration"),
        ([(1, 4), ("soon", 4)], HEADER[:2], "event 2 has the onset 'soon', expected s"),
        ([(1, "long")], HEADER[:2], "event 1 has the duration 'long', expected sec"),
        ([(1, 4)], HEADER[:2], "no column 'trial_type' for label="),
        (
            [(1, 9, "a"), (5, 1, "b")],
            HEADER[:3],
            r"event 1 \(1 to 10 s, a\) and event 2",
        ),
        ([(30, 4, "a")], HEADER[:3], "from 30 to 34 s, does not lie inside .* 20 s"),
        ([(-2, 4, "a")], HEADER[:3], "from -2 to 2 s does not lie inside"),
        ([("n/a", 4, "a")], HEADER[:3], "No event of 1 recordings is a trial.* have a"),
        ([(1, "n/a", "a")], HEADER[:3], "No event of 1 .* Pass duration="),
        ([], HEADER[:3], "No event of 1 .* the events have none"),
    ],
)
def test_tables_that_will_not_do(copy, rows, header, message):
    _write_events(copy / f"{PATHS['02', '1', '1']}events.tsv", rows, header)
    with pytest.raises(ValueError, match=message):
        _read(copy, subjects="02")


def test_folders_that_will_not_do(copy, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; expected .*BIDS"):
        _read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "README").touch()
    with pytest.raises(FileNotFoundError, match="No EEG recording .* holds README"):
        _read(tmp_path / "empty")
    (copy / f"{FIRST}events.tsv").unlink()
    with pytest.raises(FileNotFoundError, match="expected .*run-1_events.tsv beside"):
        _read(copy)
    (copy / f"{FIRST}events.tsv").touch()
    with pytest.raises(ValueError, match="run-1_events.tsv' cannot be read"):
        _read(copy)


def test_mne_bids_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "mne_bids", None)
    with pytest.raises(ImportError, match=r'pip install "sklearn_mdjpt\[bids\]"'):
        read_bids("anywhere")


def _marked(copy, rows, header=HEADER[:3], **given):
    _write_events(copy / f"{PATHS['02', '1', '1']}events.tsv", rows, header)
    return _read(copy, subjects="02", **given)


@pytest.mark.parametrize(
    "mark",
    [
        (6.005, 7, "boundary", "n/a"),
        (6.005, "n/a", "Boundary", "n/a"),
        (6.005, 0, "n/a", "boundary"),
        (6.005, 0.01, "New Segment", "n/a"),
        (6.005, 0, "EDGE boundary", "n/a"),
    ],
)
def test_events_that_are_cuts(copy, mark):
    header = ["onset", "duration", "trial_type", "value"]
    X = _marked(copy, [(2, 8, "joy", 1), mark], header)
    assert set(X.y) == {"joy"}
    assert X.metadata["onset"].tolist() == [0, 1, 2, 5, 6]
    (recording,) = X.recordings
    assert recording.cuts == (6.005,)
    assert recording.bad_spans == ()


def test_events_that_are_asked_for_are_no_marks(copy):
    rows = [(1, 4, "good"), (6, 4, "bad"), (12, 4, "good")]
    X = _marked(copy, rows, trial_types=["good", "bad"])
    assert X.y.tolist() == ["good"] * 3 + ["bad"] * 3 + ["good"] * 3
    assert X.recordings[0].bad_spans == ()
    # In the file of the signal, too, they are labels.
    _annotate(copy, [(6, 4, "bad")])
    assert set(_marked(copy, rows, trial_types=["good", "bad"]).y) == {"good", "bad"}
    assert set(_marked(copy, rows).y) == {"good"}


def _annotate(copy, rows):
    """Write annotations into the file of a recording."""
    edfio = pytest.importorskip("edfio")
    path = copy / f"{PATHS['02', '1', '1']}eeg.edf"
    edf = edfio.read_edf(path)
    edf.set_annotations([edfio.EdfAnnotation(*row) for row in rows])
    edf.write(path)


def test_marks_in_the_file_of_the_signal_count(copy):
    _annotate(copy, [(6, None, "boundary"), (9, 1, "BAD_move"), (1, 3, "sad")])
    X = _marked(copy, [(2, 12, "joy")])
    assert X.recordings[0].cuts == (6,)
    assert X.recordings[0].bad_spans == ((9, 10),)
    assert X.metadata["onset"].tolist() == [0, 1, 2, 4, 5, 8, 9, 10]
    assert set(X.y) == {"joy"}


def test_trials_outside_of_the_recording_are_left_out(copy):
    rows = [(-6, 3, "joy"), (2, 8, "joy"), (30, 4, "fear")]
    with pytest.warns(UserWarning, match=r"2 of 3 trials lie outside .*events 1, 3\)"):
        X = _marked(copy, rows)
    assert set(X.groups("trial")) == {"Films/02/1/task-film_run-1_2"}
    with pytest.raises(ValueError, match="Trial from -1 to 3 s does not lie inside"):
        _marked(copy, [(-1, 4, "joy"), (10, 4, "fear")])


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["7.0", "8.0"], {"7", "8"}),
        (["007", "8"], {"007", "8"}),
        (["7.5", "8.0"], {"7.5", "8.0"}),
        (['"7"', " 8"], {"7", "8"}),
        (['"a b"', '"'], {"a b", '"'}),
    ],
)
def test_names_do_not_depend_on_how_cells_are_written(copy, texts, expected):
    rows = [(1 + 5 * k, 4, "film", text) for k, text in enumerate(texts)]
    X = _marked(copy, rows, HEADER[:4], stimulus="stim_file", label=None)
    assert set(X.metadata["stimulus"]) == expected


@pytest.mark.parametrize("nothing", ["n/a", "NaN", "nan", ""])
def test_cells_that_hold_nothing(copy, nothing):
    rows = [(1, 4, "joy", "a"), (8, 4, nothing, nothing)]
    X = _marked(copy, rows, HEADER[:4], stimulus="stim_file")
    assert X.metadata["label"].isna().sum() == 3
    assert X.metadata["stimulus"].tolist() == ["a"] * 3 + [None] * 3


def test_suffixes_in_capitals(copy):
    path = copy / f"{PATHS['02', '1', '1']}eeg.edf"
    path.rename(path.with_suffix(".EDF"))
    assert len(_read(copy, subjects="02")) == 6


# What other people's studies are like ----------------------------------------------


def test_a_task_spelled_in_two_ways(copy):
    path = copy / f"{FIRST}events.tsv"
    path.rename(path.with_name(path.name.replace("task-film", "task-Film")))
    with pytest.warns(UserWarning, match="task-Film_run-1_events.tsv'.* capitals only"):
        X = _read(copy)
    assert set(X.y) == {"joy", "fear"}
    assert len(X.metadata[X.metadata["trial"].str.contains("run-1_2")])


@pytest.mark.parametrize(
    ("factor", "unit"), [(128.0, "samples at 128 Hz"), (1000.0, "milliseconds")]
)
def test_onsets_that_cannot_be_seconds(copy, factor, unit):
    rows = [(factor * 2, 4, "joy"), (factor * 8, 4, "fear"), (factor * 14, 4, "joy")]
    _write_events(copy / f"{FIRST}events.tsv", rows, HEADER[:3])
    match = f"3 of 3 trials .* 20 s, .* would fit as .*{unit}"
    with pytest.raises(ValueError, match=match):
        _read(copy, subjects="01", sessions="1")


def test_few_rows_beyond_the_recording_are_left_out(copy):
    """Two onsets of a counter that wrapped around, as in ds002721."""
    rows = [(1, 4, "joy"), (4291234.5, 4, "fear"), (8, 4, "fear"), (14, 4, "joy")]
    _write_events(copy / f"{FIRST}events.tsv", rows, HEADER[:3])
    with pytest.warns(UserWarning, match="1 of 4 trials lie outside .*events 2"):
        X = _read(copy, subjects="01", sessions="1", stimulus=None)
    assert X.metadata[X.metadata["run"] == "1"]["trial"].nunique() == 3


def test_ears_and_eyes_that_are_typed_eeg(copy):
    for path in copy.rglob("*channels.tsv"):
        path.write_text(path.read_text().replace("\tEOG\t", "\tEEG\t"))
    with pytest.warns(UserWarning, match="Channels HEOG of sub-01.*typed EEG"):
        X = _read(copy, subjects="01")
    assert "HEOG" in X.ch_names


def test_a_name_that_stands_in_another_row(copy):
    """Music begins in one row (788), and its code comes close to it (ds002721)."""
    rows = [
        (1, 0, "788"), (1.1, 0, "317"), (5, 0, "800"), (7.9, 0, "342"), (8, 0, "788"),
        (13, 0, "901"),
    ]  # fmt: skip
    _write_events(copy / f"{FIRST}events.tsv", rows, HEADER[:3])

    def code(event, events):
        near = events[(events["onset"] - event["onset"]).abs() < 1]
        return next(t for t in near["trial_type"] if 300 < int(t) < 400)

    X = _read(
        copy, subjects="01", sessions="1", tasks="film", trial_types=["788", "joy"],
        stimulus=lambda event, events: (
            code(event, events) if event["trial_type"] == "788" else None
        ),
        duration=4.0, label=None,
    )  # fmt: skip
    first = X.metadata[X.metadata["run"] == "1"].drop_duplicates("trial")
    assert first["stimulus"].tolist() == ["317", "342"]
