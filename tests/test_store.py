"""Windows on disk: round trips, damage, kills, memory, what pickles carry."""

import enum
import errno
import json
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sklearn_mdjpt
from sklearn_mdjpt import DifferentialEntropy, EEGWindows, Recording, concat_windows
from sklearn_mdjpt._io import _signals as signals_module
from sklearn_mdjpt.windows import _store as store

INDEX = "index.json"


class Emotion(str, enum.Enum):  # noqa: UP042  str() of a member is not its value
    joy = "joy"


def run(code, *arguments):
    """Run code in a new process; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(sklearn_mdjpt.__file__).parents[1],  # to test this very package
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_stack(n=12, dtype=np.float64, seed=0, n_channels=3, **columns):
    rng = np.random.default_rng(seed)
    signal = (1e3 * rng.standard_normal((n, n_channels, 60))).astype(dtype)
    columns = {"subject": list("ab") * (n // 2), "dataset": "stack"} | columns
    names = ["C3", "C4", "Pz", "Oz", "Fz"][:n_channels]
    return EEGWindows.from_arrays(signal, ch_names=names, sfreq=60, **columns)


def assert_same_windows(found, expected):
    """All that windows hold is equal, bit for bit and dtype for dtype."""
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype.newbyteorder("=")
        np.testing.assert_array_equal(a, b)
    pd.testing.assert_frame_equal(
        found.metadata, expected.metadata, check_exact=True, check_column_type=True
    )
    for name in ("dataset", "subject", "session", "trial", "stimulus", "label"):
        a, b = (x.metadata[name].tolist() for x in (found, expected))
        assert list(map(type, a)) == list(map(type, b))
    assert len(found.recordings) == len(expected.recordings)
    for a, b in zip(found.recordings, expected.recordings, strict=True):
        assert type(a) is type(b)
        names = ("ch_names", "sfreq", "n_times", "n_channels")
        if isinstance(a, Recording):
            names += ("dataset", "subject", "session", "bad_spans", "duration")
            pd.testing.assert_frame_equal(a.trials, b.trials, check_exact=True)
            np.testing.assert_array_equal(a.signal, b.signal)
        else:
            names += ("is_recording",)
        for name in names:
            assert getattr(a, name) == getattr(b, name), name
        if b.positions is None:
            assert a.positions is None
        else:
            np.testing.assert_array_equal(a.positions, b.positions)


@pytest.fixture
def everything(mixed_windows):
    """Continuous recordings of three caps, others with odd parts, and stacks."""
    rng = np.random.default_rng(0)
    positions = 0.1 * rng.standard_normal((3, 3))
    positions[1] = np.nan
    signal = rng.standard_normal((3, 800))
    signal[1, 790:] = np.nan
    odd = EEGWindows.from_recordings(
        [
            Recording(
                signal, ["C3", "Cz", "mine"], 100.03, dataset="odd", subject=7,
                trials=[
                    {"start": 0, "stop": 3.3, "label": 1, "arousal": 2},
                    {"start": 3.5, "stop": 7.5, "label": True, "arousal": None},
                ],
                positions=positions, bad_spans=[(5.0, np.inf)],
            ),
            Recording(
                rng.integers(-99, 99, (2, 400), np.int16), ["C4", "Pz"], 100,
                dataset="odd", trials=[(0.5, 4, None, 1.0)],
            ),
        ],
        window_seconds=1, stride_seconds=0.5,
    )  # fmt: skip
    stack = make_stack(
        subject=["a", None] * 6, stimulus=range(12), onset=[0.1, None] * 6,
        y=[1, 1.0, True, "1", None, np.nan] * 2,
    )  # fmt: skip
    stack.recordings[1].is_recording = False
    return concat_windows([mixed_windows, odd, stack])


def test_round_trip(everything, tmp_path):
    everything.save(tmp_path / "store")
    again = EEGWindows.open(tmp_path / "store", verify=True)
    assert_same_windows(again, everything)
    for source in again.recordings:
        root = source.signal
        assert isinstance(root, np.memmap) and not root.flags.writeable
        assert Path(source.filename).parent == tmp_path / "store"
    np.testing.assert_array_equal(
        again.to_canonical(100.0), everything.to_canonical(100.0)
    )
    # A slice of what was opened can be saved and opened as well.
    rows = np.array([115, 3, 130, 3, -1])
    again[rows].save(tmp_path / "slice")
    assert_same_windows(EEGWindows.open(tmp_path / "slice"), everything[rows])


def test_features_are_equal(mixed_windows, tmp_path):
    mixed_windows.save(tmp_path / "store")
    again = EEGWindows.open(tmp_path / "store")
    entropy = DifferentialEntropy(bands={"all": (4, 40)}, channels="canonical")
    np.testing.assert_array_equal(
        entropy.fit_transform(again), entropy.fit_transform(mixed_windows)
    )


@pytest.mark.parametrize("rows", [slice(None), [5, 2], []], ids=str)
def test_amplitude_is_that_of_all_windows_of_a_subject(rows, tmp_path):
    # Of a slice too: the windows left out count where amplitude is normalised.
    part = make_stack()[rows]
    part.save(tmp_path / "store")
    again = EEGWindows.open(tmp_path / "store")
    for a, b in zip(again.recordings, part.recordings, strict=True):
        picks = range(a.n_channels)
        for found, expected in zip(
            a.robust_statistics(picks), b.robust_statistics(picks), strict=True
        ):
            np.testing.assert_array_equal(found, expected)
    if len(part):
        np.testing.assert_array_equal(again.to_canonical(60.0), part.to_canonical(60.0))
    pd.testing.assert_frame_equal(again.metadata, part.metadata)


def test_columns_keep_dtypes_and_types(tmp_path):
    n = 6
    extra = pd.DataFrame(
        {
            "float32": np.array([0.1, np.nan, -0.0, np.inf, 1, 2], "f4"),
            "int64": np.arange(n) - 2**62,
            "uint8": np.arange(n, dtype="u1"),
            "flag": [True, False] * 3,
            "day": pd.date_range("2024-02-29", periods=n),
            "nullable": pd.array([1, None, 3] * 2, dtype="Int64"),
            "yes": pd.array([True, None, False] * 2, dtype="boolean"),
            "text": pd.array(["a", None, "é"] * 2, dtype="string"),
            "strings": pd.Series(["x", None] * 3),
            "level": pd.Categorical(
                ["low", "high", None] * 2, categories=["low", "high"], ordered=True
            ),
            "mixed": pd.Series([1, True, 1.0, "1\ud800", None, np.nan], dtype=object),
            "equal": pd.Series([1, True, 0, False, "1", None], dtype=object),
            "zeros": pd.Series([0.0, -0.0, np.inf, -np.inf, pd.NA, 0], dtype=object),
            "numpy": pd.Series(
                [np.float32(0.1), np.int16(3), np.bool_(True), np.str_("s"), 0.1, 3],
                dtype=object,
            ),
            8: range(n),
        }
    )
    X = make_stack(n, extra=extra, y=np.array([0, 1] * 3, np.int32))
    X.save(tmp_path / "store")
    again = EEGWindows.open(tmp_path / "store")
    assert_same_windows(again, X)
    assert again.y.dtype == X.y.dtype
    for name in ("mixed", "equal", "zeros", "numpy"):
        a, b = (w.metadata[name].tolist() for w in (again, X))
        assert list(map(type, a)) == list(map(type, b))
        assert list(map(repr, a)) == list(map(repr, b))  # repr tells -0.0 from 0.0


def test_members_of_an_enum_become_their_values(tmp_path):
    make_stack(2, y=[Emotion.joy, "sad"]).save(tmp_path / "store")
    labels = EEGWindows.open(tmp_path / "store").metadata["label"].tolist()
    assert labels == ["joy", "sad"] and type(labels[0]) is str


@pytest.mark.parametrize(
    "values, message",
    [
        ([1, pd.Timestamp("2024-01-01")], "'when' of the metadata holds Timestamp .*1"),
        ([[1, 2], None], "'when' of the metadata holds list .*row 0"),
        (pd.arrays.IntervalArray.from_breaks([0, 1, 2]), "'when' of the metadata"),
        (pd.date_range("2024", periods=2, tz="UTC"), "'when' .* holds Timestamp"),
    ],
)
def test_what_json_cannot_hold_is_refused_before_writing(values, message, tmp_path):
    table = pd.DataFrame({"when": values})
    X = make_stack(2, extra=table)
    with pytest.raises(TypeError, match=message):
        X.save(tmp_path / "store")
    assert not list(tmp_path.iterdir())


def test_trials_that_json_cannot_hold_are_refused(tmp_path):
    trials = [{"start": 0, "stop": 2, "stimulus": "a", "rated": (1, 2)}]
    recording = Recording(np.ones((1, 200)), ["Cz"], 100, trials=trials)
    X = EEGWindows.from_recordings(recording, window_seconds=1)
    X._metadata = X._metadata.drop(columns="rated")
    with pytest.raises(TypeError, match="Column 'rated' of the trials holds tuple"):
        X.save(tmp_path / "store")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("chunk_bytes", [1, 900, 2**24])
@pytest.mark.parametrize("layout", ["c", "f", "strided", "big-endian", "memmap"])
def test_signals_in_pieces(layout, chunk_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_CHUNK_BYTES", chunk_bytes)
    signal = np.random.default_rng(0).standard_normal((4, 90))
    if layout == "f":
        signal = np.asfortranarray(signal)
    elif layout == "strided":
        signal = np.repeat(signal, 3, axis=1)[::-1, ::3]
    elif layout == "big-endian":
        signal = signal.astype(">f8")
    elif layout == "memmap":
        np.save(tmp_path / "raw.npy", signal)
        signal = np.load(tmp_path / "raw.npy", mmap_mode="r")[1:]
    names = ["C3", "C4", "Pz", "Oz"][: len(signal)]
    X = EEGWindows.from_recordings(
        Recording(signal, names, 10.0, dataset="d"), window_seconds=1
    )
    X.save(tmp_path / "store")
    assert_same_windows(EEGWindows.open(tmp_path / "store"), X)
    (path,) = (tmp_path / "store").glob("signal-*.npy")
    saved = np.load(path, mmap_mode="r")
    assert saved.flags.c_contiguous and saved.dtype == np.float64


def test_only_what_is_in_use_is_stored(make_windows, tmp_path):
    X = make_windows(window_seconds=1.0, stride_seconds=0.1)
    rows = X.groups("subject") == "A/02"
    X[rows].save(tmp_path / "one")
    (path,) = (tmp_path / "one").glob("signal-*.npy")
    assert path.stat().st_size == 128 + X.recordings[1].signal.nbytes
    # Of an array the windows of the subjects in use, here every second one.
    stack = make_stack()
    stack[[0]].save(tmp_path / "stack")
    (path,) = (tmp_path / "stack").glob("signal-*.npy")
    np.testing.assert_array_equal(np.load(path), np.asarray(stack)[::2])


def test_a_million_windows_are_compact(tmp_path):
    # Strides of one sample, since time counts here and not sense.
    recording = Recording(
        np.zeros((1, 100_099), np.float32), ["Cz"], 100, "d", "s",
        trials=[{"start": 0, "stop": 1000.99, "stimulus": "clip", "rating": 1.5}],
    )  # fmt: skip
    X = EEGWindows.from_recordings(recording, window_seconds=1, stride_seconds=0.01)
    X.save(tmp_path / "store")
    tables = [p for p in (tmp_path / "store").iterdir() if p.name[:6] != "signal"]
    assert sum(path.stat().st_size for path in tables) < 30 * len(X)
    again = EEGWindows.open(tmp_path / "store")
    pd.testing.assert_frame_equal(again.metadata, X.metadata, check_exact=True)


def test_pickles_carry_paths(tmp_path, monkeypatch):
    n_windows = 50
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((32, n_windows * 1000)).astype(np.float32)
    X = concat_windows(
        [
            EEGWindows.from_recordings(
                Recording(
                    signal, [f"E{k}" for k in range(32)], 200.0, "d", str(subject)
                ),
                window_seconds=5.0,
                stride_seconds=5.0,
            )
            for subject in range(3)
        ]
    )
    X.save(tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    again = EEGWindows.open("store")
    whole, part = pickle.dumps(again), pickle.dumps(again[[2, 60]])
    assert sum(r.signal.nbytes for r in again.recordings) > 19e6
    assert len(whole) < 20_000 and len(part) < 5_000
    # Another process, with another working folder, reads the same numbers.
    (tmp_path / "part.pickle").write_bytes(part)
    total = run(
        """
        import os, pickle, sys
        import numpy as np
        import sklearn_mdjpt
        os.chdir("/")
        windows = pickle.load(open(sys.argv[1], "rb"))
        assert all(isinstance(r.signal, np.memmap) for r in windows.recordings)
        print(repr(sum(float(w.sum(dtype=float)) for w in windows)))
        """,
        tmp_path / "part.pickle",
    )
    assert float(total) == sum(float(X[i].sum(dtype=float)) for i in (2, 60))


def test_few_files_are_open_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(signals_module, "_MAPPED_FILES", 5)
    n = 40
    X = make_stack(n, subject=range(n))
    X.save(tmp_path / "store")
    again = EEGWindows.open(tmp_path / "store")

    def n_open():
        opened = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ()
        links = (os.path.realpath(f"/proc/self/fd/{name}") for name in opened)
        return sum(str(tmp_path) in link for link in links)

    assert n_open() == 0  # opening alone maps nothing for good
    for i in (*range(n), *range(n)):
        np.testing.assert_array_equal(again[i], X[i])
    assert n_open() <= 5
    first = again.recordings[0].signal
    assert first is again.recordings[0].signal  # not mapped anew for each reading
    for i in range(1, n):
        again[i]
    np.testing.assert_array_equal(first[0], X[0])  # whoever holds a map keeps it


def test_a_store_can_be_moved(everything, tmp_path):
    everything.save(tmp_path / "here")
    (tmp_path / "there").mkdir()
    os.rename(tmp_path / "here", tmp_path / "there" / "store")
    assert_same_windows(EEGWindows.open(tmp_path / "there" / "store"), everything)


# Damage -------------------------------------------------------------------------


@pytest.fixture
def saved(make_windows, tmp_path):
    """Return a store of three recordings, and its index."""
    folder = tmp_path / "store"
    make_windows().save(folder)
    return folder, json.loads((folder / INDEX).read_text())


def signal_file(folder, index):
    return folder / index["recordings"][1]["signal"]["file"]


def table_file(folder, index):
    return folder / index["tables"]["file"]


@pytest.mark.parametrize("which", [signal_file, table_file])
def test_files_cut_short_are_named(saved, which):
    path = which(*saved)
    n_bytes = path.stat().st_size
    for length in (n_bytes - 1, 128, 20, 0):
        os.truncate(path, length)
        with pytest.raises(ValueError, match=f"{path.name}' is damaged.*{length}"):
            EEGWindows.open(saved[0])
    path.unlink()
    with pytest.raises(ValueError, match=f"lacks its file '{path.name}'"):
        EEGWindows.open(saved[0])


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros((8, 2400)), r"'<f4'.*\(8, 2400\).* found .*'<f8'.*2400"),
        (np.zeros((7, 2400), "f4"), r"found .*'<f4'.*\(7, 2400\)"),
        (np.zeros((2400, 8), "f4").T, "found .*'<f4'.*'fortran_order': True"),
        (np.array([None]), r"found .*'\|O'"),
    ],
    ids=["dtype", "shape", "order", "pickled objects"],
)
def test_other_arrays_are_refused(saved, array, message):
    path = signal_file(*saved)
    np.save(path, array)
    with pytest.raises(ValueError, match=f"{path.name}' .*{message}"):
        EEGWindows.open(saved[0])


@pytest.mark.parametrize("which", [signal_file, table_file])
def test_changed_bytes_are_found(saved, which):
    path = which(*saved)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path.name}' is damaged: expected the che"):
        EEGWindows.open(saved[0], verify=True)
    if which is signal_file:
        EEGWindows.open(saved[0])  # signals are not read, that would take long
    else:
        with pytest.raises(ValueError, match=f"{path.name}' is damaged"):
            EEGWindows.open(saved[0])


def test_damaged_headers_and_indexes_raise_value_errors(saved):
    folder, index = saved
    path = signal_file(folder, index)
    content = path.read_bytes()
    n_found = 0
    for i in range(128):
        changed = bytearray(content)
        changed[i] ^= 1 << i % 7
        path.write_bytes(changed)
        try:
            EEGWindows.open(folder, verify=True)
        except ValueError as error:
            assert path.name in str(error)
            n_found += 1
    assert n_found == 128
    path.write_bytes(content)
    content = (folder / INDEX).read_bytes()
    for i in range(0, len(content), 97):
        changed = bytearray(content)
        changed[i] ^= 1 << i % 7
        (folder / INDEX).write_bytes(changed)
        with pytest.raises(ValueError, match="index.json"):
            EEGWindows.open(folder)


def test_a_file_cut_short_after_opening_is_named(saved):
    X = EEGWindows.open(saved[0])
    path = signal_file(*saved)
    os.truncate(path, 1000)
    rows = X.groups("subject") == "A/02"
    for windows in (X[rows], pickle.loads(pickle.dumps(X[rows]))):
        with pytest.raises(ValueError, match=f"{path.name}' cannot be mapped as float"):
            windows[0]


def rewrite(folder, index):
    """Write an index as another program might, with a checksum that is right."""
    index = {key: value for key, value in index.items() if key != "sha256"}
    index["sha256"] = store._index_checksum(index)
    (folder / INDEX).write_text(json.dumps(index))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"format_version": 4}, "version 4; .* reads version 3. Update sklearn_mdjpt"),
        ({"format_version": 2}, "version 2; .* reads version 3. Save the windows"),
        ({"format": "zarr"}, "expected the format .*, found 'zarr'"),
        ({"recordings": 3}, "not of the form expected"),
        ({"recordings": [{}]}, "not of the form expected: KeyError"),
        ({"metadata": [{"title": 3}]}, "not of the form expected"),
    ],
)
def test_foreign_indexes(saved, change, message):
    folder, index = saved
    rewrite(folder, index | change)
    with pytest.raises(ValueError, match=message) as caught:
        EEGWindows.open(folder)
    assert str(folder / INDEX) in str(caught.value)


def test_a_store_of_an_older_version_can_be_replaced(saved):
    folder, index = saved
    (folder / f"column-{'0' * 16}.npy").write_bytes(b"of the older version")
    rewrite(folder, index | {"format_version": 2})
    make_stack().save(folder, overwrite=True)
    assert_same_windows(EEGWindows.open(folder), make_stack())
    assert not list(folder.glob("column-*"))


def test_files_outside_the_folder_are_not_read(saved, tmp_path):
    folder, index = saved
    path = signal_file(folder, index)
    os.rename(path, tmp_path / path.name)
    index["recordings"][1]["signal"]["file"] = f"../{path.name}"
    rewrite(folder, index)
    with pytest.raises(ValueError, match="no file of a store"):
        EEGWindows.open(folder)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "expected JSON"),
        (b"\x80\x04", "expected JSON"),
        (b"[1, 2]", "found None"),
        (None, "no store .* 'index.json', found none"),
    ],
)
def test_damaged_indexes(saved, content, message):
    path = saved[0] / INDEX
    path.write_bytes(content) if content is not None else path.unlink()
    with pytest.raises(ValueError, match=message):
        EEGWindows.open(saved[0])


def test_a_changed_index_is_found(saved):
    path = saved[0] / INDEX
    path.write_text(path.read_text().replace('"sfreq": 200.0', '"sfreq": 250.0'))
    with pytest.raises(ValueError, match="index.json' is damaged: expected the check"):
        EEGWindows.open(saved[0])


def test_paths_that_are_no_store(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere'"):
        EEGWindows.open(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match="index.json' is a file; a store is"):
        EEGWindows.open(saved[0] / INDEX)
    with pytest.raises(ValueError, match="expected a file 'index.json', found none"):
        EEGWindows.open(tmp_path)  # the folder that holds stores


# Writing ------------------------------------------------------------------------


def test_nothing_is_overwritten_by_mistake(saved, tmp_path):
    X = make_stack()
    folder, _ = saved
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileExistsError, match="is not empty.*overwrite=True"):
        X.save(folder)
    with pytest.raises(FileExistsError, match="is a file"):
        X.save(folder / INDEX, overwrite=True)
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere'"):
        X.save(tmp_path / "nowhere" / "store")
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="replaces an older store only, which"):
        X.save(tmp_path / "papers", overwrite=True)
    assert (tmp_path / "papers" / "thesis.txt").read_text() == "mine"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_overwriting(saved, tmp_path):
    folder, _ = saved
    (folder / "notes.txt").write_text("mine")
    old = EEGWindows.open(folder)
    pickled = pickle.dumps(old)
    values = old[0]
    X = make_stack()
    X.save(folder, overwrite=True)
    assert_same_windows(EEGWindows.open(folder), X)
    assert (folder / "notes.txt").read_text() == "mine"
    assert len(list(folder.glob("signal-*.npy"))) == 2  # none of the old ones
    assert not list(folder.glob(".*"))
    # A map of an old file stays, a pickle never leads to other data.
    np.testing.assert_array_equal(old[0], values)
    with pytest.raises(FileNotFoundError, match="signal-"):
        pickle.loads(pickled)[0]


def test_a_store_is_not_replaced_by_windows_that_are_read_from_it(saved, tmp_path):
    folder, _ = saved
    X = EEGWindows.open(folder)
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    # Also under another name, and through a view of one of its signals.
    view = Recording(X.recordings[0].signal[::2], list("abcd"), 200.0)
    view = EEGWindows.from_recordings(view, window_seconds=1)
    for windows in (X, X[3:5], pickle.loads(pickle.dumps(X)), view):
        for path in (folder, tmp_path / "link"):
            with pytest.raises(ValueError, match="read from the store .* itself"):
                windows.save(path, overwrite=True)
    assert_same_windows(EEGWindows.open(folder, verify=True), X)


def test_folders_that_exist_and_are_empty_will_do(make_windows, tmp_path):
    X = make_stack()
    X.save(tmp_path)
    assert_same_windows(EEGWindows.open(tmp_path), X)
    assert not list(tmp_path.glob(".*"))


def test_equal_signals_are_stored_once(tmp_path):
    X = concat_windows({"a": make_stack(seed=1), "b": make_stack(seed=1)})
    X.save(tmp_path / "store")
    assert len(list((tmp_path / "store").glob("signal-*.npy"))) == 2
    assert_same_windows(EEGWindows.open(tmp_path / "store"), X)


@pytest.mark.parametrize("n_written", [0, 2, 4])
@pytest.mark.parametrize("older", [False, True])
def test_a_full_disk_leaves_nothing_behind(
    older, n_written, make_windows, tmp_path, monkeypatch
):
    folder = tmp_path / "store"
    if older:
        make_stack().save(folder)
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > n_written:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        make_windows().save(folder, overwrite=older)
    monkeypatch.undo()
    if older:
        assert_same_windows(EEGWindows.open(folder, verify=True), make_stack())
        assert not list(folder.glob(".*"))
    else:
        assert not list(tmp_path.iterdir())


def test_a_kill_leaves_the_old_store_or_the_new_one(tmp_path):
    pytest.importorskip("fcntl")  # no fork on Windows
    out = run(
        """
        import os, shutil, signal, sys
        from pathlib import Path
        import numpy as np
        from sklearn_mdjpt import EEGWindows

        def make(value):
            return EEGWindows.from_arrays(
                np.full((4, 1, 50), value), ch_names=["Cz"], sfreq=50,
                dataset=str(value), subject=[1, 1, 2, 2],
            )

        def killed_save(folder, step, overwrite):
            # Each of these is a step after which the disk has changed.
            names = ("fsync", "replace", "rename", "unlink", "mkdir", "rmdir")
            count = 0
            def dying(function):
                def call(*args, **kwargs):
                    nonlocal count
                    if count == step:
                        os.kill(os.getpid(), signal.SIGKILL)
                    count += 1
                    return function(*args, **kwargs)
                return call
            child = os.fork()
            if not child:
                for name in names:
                    setattr(os, name, dying(getattr(os, name)))
                make(2.0).save(folder, overwrite=overwrite)
                os._exit(0)
            return os.WIFSIGNALED(os.waitpid(child, 0)[1])

        os.fsync = lambda descriptor: None  # a kill, unlike a power cut, needs none
        root = Path(sys.argv[1])
        for older in (False, True):
            seen = []
            for step in range(1000):
                folder = root / f"{older}-{step}"
                if older:
                    make(1.0).save(folder)
                dead = killed_save(folder, step, older)
                if not older and not folder.exists():
                    seen.append("none")
                else:
                    X = EEGWindows.open(folder, verify=True)
                    assert set(np.unique(np.asarray(X))) == {float(X.groups("dataset")[0])}
                    seen.append(X.groups("dataset")[0])
                # Saving again works, whatever was left.
                make(3.0).save(folder, overwrite=True)
                assert np.asarray(EEGWindows.open(folder)).min() == 3.0
                if not dead:
                    break
            print(*seen)
        """,  # noqa: E501
        tmp_path,
    )
    new, older = (line.split() for line in out.splitlines())
    # Nothing, then all of it; the old one, then the new one; and often enough.
    assert len(new) > 6 and new == sorted(new, reverse=True)
    assert new[0] == "none" and new[-1] == "2.0"
    assert len(older) > 15 and older == sorted(older)
    assert older[0] == "1.0" and older[-1] == "2.0"


def test_a_folder_made_meanwhile_is_left_alone(make_windows, tmp_path, monkeypatch):
    folder, X = tmp_path / "store", make_windows()
    write = store.write_file

    def slowly(path, content):
        write(path, content)
        monkeypatch.undo()
        make_stack().save(folder)

    monkeypatch.setattr(store, "write_file", slowly)
    with pytest.raises(FileExistsError, match="by another process"):
        X.save(folder)
    assert_same_windows(EEGWindows.open(folder), make_stack())
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_stays_flat(tmp_path):
    out = run(
        """
        import os, re, sys, threading, time
        from pathlib import Path
        import numpy as np
        from sklearn_mdjpt import EEGWindows, Recording

        def used(kind="RssAnon"):
            text = Path("/proc/self/status").read_text()
            return int(re.search(kind + r":\\s+(\\d+)", text)[1]) / 1024  # MB

        os.fsync = lambda descriptor: None  # for speed
        folder = Path(sys.argv[1])
        names = [f"E{k}" for k in range(30)]
        signal = np.lib.format.open_memmap(
            folder / "raw.npy", "w+", np.float32, (30, 2_500_000)
        )
        signal[29] = 29.0
        X = EEGWindows.from_recordings(
            Recording(signal, names, 250.0, "d"), window_seconds=5, stride_seconds=4
        )
        peak, done = [used()], False
        def watch():
            while not done:
                peak[0] = max(peak[0], used())
                time.sleep(0.002)
        thread = threading.Thread(target=watch)
        thread.start()
        start = used()
        X.save(folder / "store")
        saving, peak[0] = peak[0] - start, used()
        again = EEGWindows.open(folder / "store", verify=True)
        mapped = used("RssFile")
        total = sum(float(window[29].sum()) for window in again)
        mapped = used("RssFile") - mapped
        assert total == 29.0 * 1250 * len(again)
        reading = peak[0] - start
        done = True
        thread.join()
        copy = np.array(again.recordings[0].signal)
        print(saving, reading, used() - start, copy.nbytes / 2**20, mapped)
        """,
        tmp_path,
    )
    saving, reading, loaded, size, mapped = map(float, out.split())
    assert size > 280 and loaded > 0.9 * size  # the measure does see loaded data
    assert saving < 60 and reading < 60
    # Windows of one channel read 30 MB; all that lies in between was read ahead.
    assert mapped < 100


def test_home_is_not_expanded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X = make_stack()
    with pytest.raises(FileNotFoundError, match="no folder .*'~' is not expanded"):
        X.save("~/windows")
    with pytest.raises(FileNotFoundError, match="no folder .*'~' is not expanded"):
        EEGWindows.open("~/windows")
    for bad in (None, 5):
        with pytest.raises(TypeError, match=f"folder of a store must be .* got {bad}"):
            EEGWindows.open(bad)
    with pytest.raises(ValueError, match="folder of a store must be .* an empty"):
        EEGWindows.open("")
    assert not list(tmp_path.iterdir())
