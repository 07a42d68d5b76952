"""Signals in files: decoded when they are read, kept while there is room."""

import gc
import os
import pickle

import numpy as np
import pytest

from sklearn_mdjpt import EEGWindows, Recording
from sklearn_mdjpt._io import _signals
from sklearn_mdjpt._io._cache import BoundedCache
from sklearn_mdjpt._io._files import file_stamp, same_stamp
from sklearn_mdjpt._io._signals import DecodedSignal, MemmapReference

SHAPE = (2, 400)
N_BYTES = 2 * 400 * 4


def decode_text(path):
    """Decode a file of one number."""
    return np.full(SHAPE, float(path.read_text()))


@pytest.fixture
def room(monkeypatch):
    """Return a function that gives the cache room for so many bytes."""

    def make(n_bytes):
        cache = BoundedCache(n_bytes, keep_newest=True)
        monkeypatch.setattr(_signals, "_decoded", cache)
        return cache

    return make


@pytest.fixture
def signals(tmp_path):
    made = []
    for k in range(3):
        path = tmp_path / f"{k}.txt"
        path.write_text(str(k + 0.5))
        made.append(DecodedSignal(path, SHAPE, decode_text))
    return made


def test_samples_are_decoded_once_and_cannot_be_changed(signals, room):
    room(10 * N_BYTES)
    assert signals[1]._n_decoded == 0
    first = signals[1].open()
    assert first.dtype == np.float32 and first.shape == SHAPE
    assert (first == 1.5).all()
    assert signals[1].open() is first
    assert signals[1]._n_decoded == 1
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 0


def test_what_has_the_right_form_is_not_copied(tmp_path, room):
    room(10 * N_BYTES)
    (tmp_path / "file").touch()
    made = np.ones(SHAPE, np.float32)
    assert DecodedSignal(tmp_path / "file", SHAPE, lambda path: made).open() is made


def test_cache_is_bounded(signals, room):
    cache = room(2 * N_BYTES)
    for k in (0, 1, 0, 2, 0, 1):
        assert (signals[k].open() == k + 0.5).all()
        assert cache.n_bytes <= 2 * N_BYTES
    # The one not used for longest went: 1 for 2, then 2 for 1.
    assert [signal._n_decoded for signal in signals] == [1, 2, 1]


def test_one_that_is_too_large_is_kept_alone(signals, room):
    cache = room(N_BYTES // 2)
    for _ in range(3):
        signals[0].open()
    assert signals[0]._n_decoded == 1
    assert cache.n_bytes == N_BYTES
    signals[1].open()
    assert cache.n_bytes == N_BYTES
    signals[0].open()
    assert [signal._n_decoded for signal in signals] == [2, 1, 0]


def test_samples_die_with_their_signal(signals, room):
    cache = room(10 * N_BYTES)
    for signal in signals:
        signal.open()
    assert cache.n_bytes == 3 * N_BYTES
    del signal
    signals.clear()
    gc.collect()
    assert cache.n_bytes == 0


def test_decoding_over_and_over_warns_once(signals, room):
    room(N_BYTES)
    with pytest.warns(UserWarning, match="is decoded for the 5th time") as caught:
        for _ in range(8):
            signals[0].open()
            signals[1].open()
    said = [str(warning.message) for warning in caught]
    assert len(said) == 2 and "0.txt" in said[0] and "1.txt" in said[1]
    assert "EEGWindows.save(folder)" in said[0]


def test_changed_file_is_refused(signals, room, tmp_path):
    room(10 * N_BYTES)
    (tmp_path / "0.txt").write_text("0.75")
    with pytest.raises(ValueError, match="0.txt' has changed since its header"):
        signals[0].open()
    signals[2].open()
    (tmp_path / "2.txt").write_text("0.75")
    with pytest.raises(ValueError, match="2.txt' has changed since its header"):
        signals[2].open()
    (tmp_path / "1.txt").unlink()
    with pytest.raises(FileNotFoundError, match="1.txt"):
        signals[1].open()
    with pytest.raises(FileNotFoundError, match="3.txt"):
        DecodedSignal(tmp_path / "3.txt", SHAPE, decode_text)


def test_stamps_of_one_file_on_two_machines(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"four")
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))
    stamp = file_stamp(path)
    assert same_stamp(stamp, stamp)
    os.utime(path, ns=(0, 1_700_000_000_000_000_000))  # whole seconds are shown there
    assert same_stamp(file_stamp(path), stamp) and same_stamp(stamp, file_stamp(path))
    os.utime(path, ns=(0, 1_700_000_000_124_456_789))
    assert not same_stamp(file_stamp(path), stamp)
    os.utime(path, ns=(0, 1_700_000_001_000_000_000))
    assert not same_stamp(file_stamp(path), stamp)
    path.write_bytes(b"five!")
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))
    assert not same_stamp(file_stamp(path), stamp)


def test_what_cannot_be_decoded_is_named(tmp_path, room):
    room(10 * N_BYTES)
    path = tmp_path / "file.txt"
    path.write_text("none")
    with pytest.raises(ValueError, match="file.txt' cannot be read: could not convert"):
        DecodedSignal(path, SHAPE, decode_text).open()
    path.write_text("1")
    with pytest.raises(ValueError, match=r"shape \(2, 401\), found \(2, 400\)"):
        DecodedSignal(path, (2, 401), decode_text).open()


def test_pickles_hold_no_samples(tmp_path, room, monkeypatch):
    room(10 * N_BYTES)
    (tmp_path / "a.txt").write_text("3")
    monkeypatch.chdir(tmp_path)
    signal = DecodedSignal("a.txt", SHAPE, decode_text)
    signal.open()
    text = pickle.dumps(Recording(signal, ["C3", "C4"], 100.0))
    assert len(text) < N_BYTES
    monkeypatch.chdir(tmp_path.parent)
    recording = pickle.loads(text)
    assert (recording.signal == 3).all()
    assert recording.filename == str(tmp_path / "a.txt")


def test_windows_of_decoded_signals(signals, room):
    room(2 * N_BYTES)
    recordings = [
        Recording(signal, ["C3", "C4"], 100.0, "set", f"{k}", "1")
        for k, signal in enumerate(signals)
    ]
    X = EEGWindows.from_recordings(recordings, window_seconds=1, stride_seconds=1)
    assert [signal._n_decoded for signal in signals] == [0, 0, 0]
    assert [float(window[0, 0]) for window in X] == [0.5] * 4 + [1.5] * 4 + [2.5] * 4
    assert [signal._n_decoded for signal in signals] == [1, 1, 1]


def test_memory_maps_are_closed_when_there_are_many(tmp_path, monkeypatch):
    monkeypatch.setattr(_signals, "_MAPPED_FILES", 2)
    monkeypatch.setattr(MemmapReference, "_mapped", type(MemmapReference._mapped)())
    references = []
    for k in range(4):
        np.full(6, k, np.float32).tofile(tmp_path / f"{k}.bin")
        references.append(
            MemmapReference(str(tmp_path / f"{k}.bin"), "f4", (2, 3), 0, "C")
        )
    for k, reference in enumerate(references):
        assert (reference.open() == k).all()
    assert [reference._map is not None for reference in references] == [0, 0, 1, 1]
    assert (references[0].open() == 0).all()
    short = MemmapReference(str(tmp_path / "0.bin"), "f4", (2, 4), 0, "C")
    with pytest.raises(
        ValueError, match=r"0.bin' cannot be mapped as float32 of shape"
    ):
        short.open()
