"""``extract`` over many recordings: what is wrong is named, what is done is kept."""

import re
import shutil

import mne
import numpy as np
import pandas as pd
import pytest

from sklearn_mdjpt import EEGWindows, MDJPTEncoder, Recording
from sklearn_mdjpt.__main__ import main
from sklearn_mdjpt._cli._recordings import find_recordings
from sklearn_mdjpt.datasets import make_emotion_windows

NAMES = ["Fp1", "Cz", "Pz", "Oz"]
TINY = {"hidden_dim": 2, "latent_dim": 1, "depth": 1, "n_heads": 1, "n_filters": 1}
SFREQ = 100.0


def make_raw(seed, seconds=12.0, *, names=NAMES, marks=None, kind="eeg"):
    rng = np.random.default_rng(seed)
    signal = 1e-5 * rng.standard_normal((len(names), int(seconds * SFREQ)))
    raw = mne.io.RawArray(signal, mne.create_info(names, SFREQ, kind), verbose=False)
    if marks is not None:
        raw.set_annotations(mne.Annotations(*marks))
    return raw


def save(raw, path, **options):
    raw.save(path, verbose="error", **options)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    X = make_emotion_windows(1, n_subjects=2, n_stimuli=2, random_state=0)
    path = tmp_path_factory.mktemp("weights") / "mdjpt.safetensors"
    MDJPTEncoder(max_epochs=0, random_state=0, **TINY).fit(X).save(path)
    return path


@pytest.fixture
def extract(weights, tmp_path, capsys):
    """Return what runs the command, and gives status, output and messages."""

    def run(folder, *options, output="x.npz"):
        output = tmp_path / output
        arguments = ["extract", folder, output, "--weights", weights, *options]
        status = main([str(argument) for argument in arguments])
        table = None
        if status in (0, 3):
            with np.load(output) as file:
                table = dict(file)
        return status, table, capsys.readouterr().err

    return run


@pytest.fixture
def folder(tmp_path):
    """Two good recordings; others may be put between them."""
    folder = tmp_path / "rec"
    folder.mkdir()
    save(make_raw(1), folder / "p1_raw.fif")
    save(make_raw(9), folder / "p9_raw.fif")
    return folder


@pytest.fixture
def encoded(monkeypatch):
    """Count the windows that are really encoded."""
    counts, transform = [], MDJPTEncoder.transform

    def counted(self, X):
        counts.append(len(X))
        return transform(self, X)

    monkeypatch.setattr(MDJPTEncoder, "transform", counted)
    return counts


# What cannot be used ----------------------------------------------------------------


def too_short(path):
    save(make_raw(5, 3.0), path)


def only_short_marks(path):
    save(make_raw(5, marks=([1.0, 4.0], [0.005, 0.005], ["S 1", "S 2"])), path)


def no_eeg(path):
    save(make_raw(5, kind="misc"), path)


def all_bad(path):
    raw = make_raw(5)
    raw.info["bads"] = NAMES
    save(raw, path)


def strange_channels(path):
    save(make_raw(5, names=["X1", "X2", "X3"]), path)


def with_nan(path):
    raw = make_raw(5)
    raw._data[:, 500] = np.nan
    save(raw, path)


def constant(path):
    raw = make_raw(5)
    raw._data[:] = 1e-6
    save(raw, path)


def empty(path):
    path.write_bytes(b"")


def cut_short(path):
    save(make_raw(5), path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def link_to_nothing(path):
    path.symlink_to(path.with_name("nowhere"))


def second_name(path):
    path.symlink_to(path.with_name("p1_raw.fif"))


BROKEN = {
    too_short: "the longest one has 3 s",
    only_short_marks: "the longest one has 0.005 s",
    no_eeg: "no good EEG channel",
    all_bad: "marked bad: Fp1, Cz, Pz, Oz",
    strange_channels: "No usable channel among X1, X2, X3",
    with_nan: "hold NaN or inf",
    constant: "constant in every channel",
    empty: "cannot be read",
    cut_short: "",
    link_to_nothing: "cannot be read",
    second_name: "the same file as 'p1_raw.fif'",
}


@pytest.mark.parametrize("spoil", BROKEN, ids=lambda spoil: spoil.__name__)
def test_one_recording_of_three_cannot_be_used(folder, extract, encoded, spoil):
    _, expected, _ = extract(folder, "--dataset", "d", output="good.npz")
    encoded.clear()
    spoil(folder / "p5_raw.fif")
    status, _, said = extract(folder, "--dataset", "d")
    assert status == 2 and not (folder.parent / "x.npz").exists()
    last = said.splitlines()[-1]
    assert last.startswith("error: ") and "p5_raw.fif" in last and BROKEN[spoil] in last
    assert "1 of 3 subjects are done, and kept in" in said

    before = len(encoded)
    status, table, said = extract(folder, "--dataset", "d", "--on-error", "skip")
    assert status == 3
    assert list(table) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(table[name], values)
    assert re.search(r"Left out \(1\):\n  p5_raw.fif: ", said)
    skipped = pd.read_csv(folder.parent / "x.npz.skipped.csv")
    assert list(skipped["recording"]) == ["p5_raw.fif"]
    assert BROKEN[spoil] in skipped["reason"][0]
    # p1 was taken from the first run; p5 is encoded at most to see what is wrong.
    good = [n for n in encoded[before:] if n == 4]
    assert len(good) == 1 + (spoil in (strange_channels, with_nan, constant)) * 2
    assert not list(folder.parent.glob(".*"))


def test_nothing_can_be_used(tmp_path, extract):
    too_short(tmp_path / "p1_raw.fif")
    empty(tmp_path / "p2_raw.fif")
    status, _, said = extract(tmp_path, "--on-error", "skip")
    assert status == 2 and "p1_raw.fif: No window" in said and "p2_raw.fif" in said
    assert said.splitlines()[-1].startswith("error: No recording of")
    assert {path.suffix for path in tmp_path.iterdir()} == {".fif"}


def test_the_list_of_an_older_output_goes(folder, extract):
    too_short(folder / "p5_raw.fif")
    assert extract(folder, "--on-error", "skip")[0] == 3
    (folder / "p5_raw.fif").unlink()
    assert extract(folder, "--on-error", "skip", "--overwrite")[0] == 0
    assert not (folder.parent / "x.npz.skipped.csv").exists()


@pytest.mark.parametrize("spoil", [too_short, with_nan, empty])
def test_a_subject_keeps_its_other_sessions(tmp_path, extract, spoil):
    """A file without windows went unnoticed where its subject had others."""
    folder = tmp_path / "rec"
    folder.mkdir()
    for session in "ac":
        save(make_raw(ord(session)), folder / f"p1_{session}_raw.fif")
    pattern = ("--files", "{subject}_{session}_raw.fif", "--dataset", "d")
    _, expected, _ = extract(folder, *pattern, output="good.npz")
    spoil(folder / "p1_b_raw.fif")
    status, _, said = extract(folder, *pattern)
    assert status == 2 and "p1_b_raw.fif" in said.splitlines()[-1]
    status, table, _ = extract(folder, *pattern, "--on-error", "skip")
    assert status == 3
    assert list(table["session"]) == ["a"] * 4 + ["c"] * 4
    np.testing.assert_array_equal(table["features"], expected["features"])


def test_warnings_name_the_recording(folder, extract):
    marks = ([1.0, 8.0], [6.0, 1.0], ["joy", "fear"])
    save(make_raw(5, marks=marks), folder / "p5_raw.fif")
    save(make_raw(6, marks=([1.0], [0.0], ["S 1"])), folder / "p6_raw.fif")
    shutil.copy(folder / "p1_raw.fif", folder / "p7_raw.fif")
    said = extract(folder)[2]
    assert "warning: p5_raw.fif: 1 of 2 trials (of rec/p5_raw) are shorter" in said
    assert "warning: p6_raw.fif: 1 annotations have no duration" in said
    assert "warning: p7_raw.fif: It has the same samples as p1_raw.fif" in said


def test_a_store_names_the_recording(tmp_path, extract):
    recordings = [
        Recording(raw.get_data(), NAMES, SFREQ, dataset="d", subject=s, session=k)
        for s, k, raw in (
            ("1", "a", make_raw(1)), ("1", "b", make_raw(2)), ("2", "a", make_raw(3)),
        )
    ]  # fmt: skip
    recordings[1].signal[:, 600] = np.nan
    X = EEGWindows.from_recordings(recordings)
    X.save(tmp_path / "store")
    status, _, said = extract(tmp_path / "store")
    assert status == 2 and said.splitlines()[-1].startswith("error: d/1/b, recording 2")
    status, table, _ = extract(tmp_path / "store", "--on-error", "skip")
    assert status == 3
    assert list(zip(table["subject"], table["session"], strict=True)) == [
        *[("1", "a")] * 4, *[("2", "a")] * 4
    ]  # fmt: skip


def write_bids(root, subject, seed):
    mne_bids = pytest.importorskip("mne_bids", reason="needs the extra 'bids'")
    raw = make_raw(seed, marks=([1.0], [8.0], ["joy"]))
    raw.info["line_freq"] = 50
    place = mne_bids.BIDSPath(root=root, subject=subject, task="film", datatype="eeg")
    mne_bids.write_raw_bids(
        raw, place, allow_preload=True, format="EDF", verbose="error"
    )
    return root / f"sub-{subject}" / "eeg" / f"sub-{subject}_task-film_eeg.edf"


def test_bids_recordings_are_named_and_skipped(tmp_path, extract):
    root = tmp_path / "bids"
    paths = {s: write_bids(root, s, int(s)) for s in ("01", "02", "03", "04", "05")}
    _, expected, _ = extract(root, output="good.npz")
    assert set(expected["file"]) == {
        f"sub-{s}/eeg/sub-{s}_task-film_eeg.edf" for s in paths
    }
    # Hidden files of other systems are no recordings.
    paths["05"].with_name(f"._{paths['05'].name}").write_bytes(b"finder")
    paths["02"].write_bytes(b"damaged")
    paths["03"].with_name("sub-03_task-film_events.tsv").unlink()
    paths["04"].with_suffix(".set").write_bytes(b"another format")
    status, _, said = extract(root)
    assert status == 2 and said.splitlines()[-1].startswith("error: ")
    status, table, said = extract(root, "--on-error", "skip")
    assert status == 3
    skipped = pd.read_csv(tmp_path / "x.npz.skipped.csv", index_col="recording")
    assert sorted(skipped.index.str.rpartition("/").get_level_values(2)) == [
        "sub-02_task-film_eeg.edf",
        "sub-03_task-film_eeg.edf",
        "sub-04_task-film_eeg.set",
    ]
    assert set(table["subject"]) == {"01", "04", "05"}
    kept = np.isin(expected["subject"], ["01", "04", "05"])
    np.testing.assert_array_equal(table["features"], expected["features"][kept])


# What is done -----------------------------------------------------------------------


@pytest.fixture
def interrupted(monkeypatch):
    """Ctrl-C comes while the second subject is encoded."""
    transform, calls = MDJPTEncoder.transform, []

    def stopped(self, X):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return transform(self, X)

    def switch_on():
        monkeypatch.setattr(MDJPTEncoder, "transform", stopped)

    yield switch_on
    monkeypatch.undo()


def test_ctrl_c_keeps_what_is_done(folder, extract, interrupted, encoded, monkeypatch):
    save(make_raw(5), folder / "p5_raw.fif")
    _, expected, _ = extract(folder, output="whole.npz")
    transform = MDJPTEncoder.transform
    interrupted()
    status, _, said = extract(folder)
    assert status == 130 and "1 of 3 subjects are done, and kept in" in said
    assert not (folder.parent / "x.npz").exists()
    monkeypatch.setattr(MDJPTEncoder, "transform", transform)
    # What a kill may have left in the middle of writing does no harm.
    part = folder.parent / ".x.npz.part"
    (part / ".x.npz.0123.part").write_bytes(b"half")
    encoded.clear()
    status, table, _ = extract(folder)
    assert status == 0 and encoded == [4, 4]
    for name, values in expected.items():
        np.testing.assert_array_equal(table[name], values)
    assert not part.exists()


@pytest.mark.parametrize("change", ["options", "content", "damage"])
def test_what_was_done_otherwise_is_not_taken_up(folder, extract, encoded, change):
    too_short(folder / "p5_raw.fif")
    assert extract(folder)[0] == 2
    (folder / "p5_raw.fif").unlink()
    (part,) = (folder.parent / ".x.npz.part").iterdir()
    options = ()
    if change == "options":
        options = ("--window", "4")
    elif change == "content":
        # Same name, size and time.
        path = folder / "p1_raw.fif"
        save(make_raw(2), path, overwrite=True)
    else:
        part.write_bytes(part.read_bytes()[:-8])
    _, expected, _ = extract(folder, *options, output="other.npz")
    encoded.clear()
    _, table, _ = extract(folder, *options)
    assert len(encoded) == 2
    np.testing.assert_array_equal(table["features"], expected["features"])


def test_an_error_while_writing_leaves_the_older_output(folder, extract, monkeypatch):
    _, expected, _ = extract(folder)

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr("sklearn_mdjpt._cli._tables._write_npz", fail)
    status, _, said = extract(folder, "--overwrite", "--dataset", "e")
    assert status == 2 and "2 of 2 subjects are done" in said
    with np.load(folder.parent / "x.npz") as file:
        np.testing.assert_array_equal(file["dataset"], expected["dataset"])


def test_a_file_that_was_cut_off_is_named(tmp_path, capsys):
    path = tmp_path / "half.edf"
    make_raw(0, 30).export(path, verbose="error")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    main(["info", str(path)])
    assert "half.edf' is cut off" in capsys.readouterr().err


# Which files are recordings ---------------------------------------------------------


def found(folder, pattern=None):
    """Names of the files of each subject, None after those that have a flaw."""
    return {
        subject: [(file.path.name, file.flaw) for file in files]
        for subject, files in find_recordings(folder, pattern).items()
    }


def test_fields_of_a_pattern_stand_apart(tmp_path):
    touch(tmp_path, "p01.edf")
    with pytest.raises(ValueError, match="between the fields"):
        found(tmp_path, "{subject}{session}.edf")


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """A recording in three files, as MNE names them and as BIDS does."""
    folder = tmp_path_factory.mktemp("split")
    raw = make_raw(0, 1700.0)
    save(raw, folder / "p1_raw.fif", split_size="2MB")
    save(raw, folder / "sub-2_eeg.fif", split_size="2MB", split_naming="bids")
    # Called like a part, but a recording of its own.
    save(make_raw(1), folder / "p3_raw-1.fif")
    return folder


PARTS = {"p1_raw.fif", "p1_raw-1.fif", "p1_raw-2.fif"}


def test_parts_of_a_recording_are_one(split):
    assert {path.name for path in split.glob("p1*")} == PARTS
    assert found(split) == {
        "p1_raw": [("p1_raw.fif", None)],
        "p3_raw-1": [("p3_raw-1.fif", None)],
        "sub-2_split-01_eeg": [("sub-2_split-01_eeg.fif", None)],
    }
    assert found(split, "{subject}_*.fif") == {
        "p1": [("p1_raw.fif", None)],
        "p3": [("p3_raw-1.fif", None)],
        "sub-2": [("sub-2_split-01_eeg.fif", None)],
    }


def test_parts_without_a_beginning_are_no_recordings(split, tmp_path):
    for name in PARTS - {"p1_raw.fif"}:
        shutil.copy(split / name, tmp_path / name)
    flaws = [file[0][1] for file in found(tmp_path).values()]
    assert len(flaws) == 2
    assert all("beginning is missing or cannot be read" in flaw for flaw in flaws)
    (tmp_path / "p1_raw.fif").write_bytes(b"damaged")
    assert found(tmp_path)["p1_raw"] == [("p1_raw.fif", None)]
    assert sum(file[0][1] is not None for file in found(tmp_path).values()) == 2


def test_compressed_parts_are_one(tmp_path):
    save(make_raw(0, 1700.0), tmp_path / "p1_raw.fif.gz", split_size="2MB")
    assert len(list(tmp_path.iterdir())) > 1
    assert found(tmp_path, "{subject}_raw*") == {"p1": [("p1_raw.fif.gz", None)]}


def test_a_split_recording_has_its_windows_once(split, extract, tmp_path):
    for name in PARTS:
        shutil.copy(split / name, tmp_path / name)
    pattern = ("--files", "{subject}_raw*.fif", "--stride", "100")
    _, table, _ = extract(tmp_path, *pattern)
    assert len(table["features"]) == (1700 - 5) // 100 + 1
    assert set(table["file"]) == {"p1_raw.fif"}


def test_info_knows_parts(split, capsys):
    def info(name):
        assert main(["info", str(split / name)]) == 0
        return capsys.readouterr().out

    text = info("p1_raw.fif")
    assert re.search("split into +p1_raw.fif, p1_raw-1.fif, p1_raw-2.fif\n", text)
    assert re.search(r"duration \(s\) +1,?700", text)
    assert "the rest of a split recording" in info("p1_raw-1.fif")
    assert "split" not in info("p3_raw-1.fif").replace(str(split), "")


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)


def test_what_lies_beside_a_recording_is_none(tmp_path):
    touch(
        tmp_path, "a.vhdr", "a.eeg", "a.vmrk", "b.set", "b.fdt", "c.EDF", "c.json",
        "d.cdt", "d.cdt.dpo", "e.lay", "e.dat", "f.cnt", "f.trg", "g.mff/signal1.bin",
        "g.mff/info.xml", "._c.edf", ".h/i.edf", "notes.txt",
    )  # fmt: skip
    names = {
        "a": "a.vhdr", "b": "b.set", "c": "c.EDF", "d": "d.cdt", "e": "e.lay",
        "f": "f.cnt", "g": "g.mff",
    }  # fmt: skip
    assert found(tmp_path) == {k: [(name, None)] for k, name in names.items()}
    (tmp_path / "notes.txt").unlink()
    (tmp_path / "d.cdt.dpo").unlink()
    assert found(tmp_path, "{subject}.*") == found(tmp_path)


def test_one_recording_in_two_formats(tmp_path):
    touch(tmp_path, "a.edf", "a.set", "a.fdt", "b.bdf", "x/a.edf")
    result = found(tmp_path)
    assert [name for name, _ in result["a"]] == ["a.edf", "a.set"]
    assert (
        result["a"][0][1] is None and "'a.edf' in another format" in result["a"][1][1]
    )
    assert result["b"] == [("b.bdf", None)] and result["x/a"] == [("a.edf", None)]


# Columns ----------------------------------------------------------------------------


def test_no_column_takes_the_place_of_a_result(tmp_path, extract):
    columns = [
        "features", "metadata_features", "feature_names.npy", "MDJPT1", 1, "1",
        "a", "a.npy", "features2",
    ]  # fmt: skip
    X = EEGWindows.from_arrays(
        1e-5 * np.random.default_rng(0).standard_normal((2, 4, 500)),
        ch_names=NAMES, sfreq=SFREQ, dataset="d", subject="s", onset=[0.0, 5.0],
        extra=pd.DataFrame([range(9)] * 2, columns=columns),
    )  # fmt: skip
    X.save(tmp_path / "store")
    status, table, said = extract(tmp_path / "store")
    assert status == 0 and "'features' as 'metadata_metadata_features'" in said
    renamed = [
        "metadata_metadata_features", "metadata_features",
        "metadata_feature_names.npy", "metadata_MDJPT1", "1", "metadata_1",
        "a", "metadata_a.npy", "features2",
    ]  # fmt: skip
    assert [table[name][0] for name in renamed] == list(range(9))
    assert table["onset"].tolist() == [0.0, 5.0]
    assert table["features"].shape == (2, len(table["feature_names"]))


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_columns_called_like_results_are_kept(tmp_path, weights, capsys, ending):
    quality = ["clean", "clean", "noisy", "clean"]
    extra = {"features": quality, "mdjpt0": range(4), "feature_names": list("abcd")}
    extra["rating"] = pd.array([1, None, 3, 4], dtype="Int64")
    X = EEGWindows.from_arrays(
        1e-5 * np.random.default_rng(0).standard_normal((4, 4, 500)),
        ch_names=NAMES, sfreq=SFREQ, dataset="d", subject=list("aabb"),
        extra=pd.DataFrame(extra),
    )  # fmt: skip
    X.save(tmp_path / "store")
    output = tmp_path / f"x{ending}"
    arguments = ["extract", tmp_path / "store", output, "--weights", weights]
    assert main([str(argument) for argument in arguments]) == 0
    assert "'features' as 'metadata_features'" in capsys.readouterr().err
    features = MDJPTEncoder.load(weights).transform(X)
    if ending == ".npz":
        with np.load(output) as table:
            table = dict(table)
        np.testing.assert_allclose(table["features"], features, atol=1e-5)
    else:
        pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")
        table = pd.read_parquet(output)
        np.testing.assert_allclose(table["mdjpt0"], features[:, 0], atol=1e-5)
    assert list(table["metadata_features"]) == quality
    assert list(table["metadata_mdjpt0"]) == [0, 1, 2, 3]
    np.testing.assert_array_equal(np.asarray(table["rating"], float), [1, np.nan, 3, 4])
