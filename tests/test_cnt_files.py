"""Neuroscan files: widths of samples, lengths, channels by name."""

import struct

import numpy as np
import pytest
from seed_files import write_cnt

from sklearn_mdjpt.datasets import _cnt_files
from sklearn_mdjpt.datasets._cnt_files import channel_places, open_cnt, read_channels

NAMES = ("Fz", "CZ", "PZ", "M1")


def signal(n_times=300):
    return np.cumsum(np.random.default_rng(0).normal(size=(4, n_times)), axis=1)


@pytest.mark.parametrize("dtype", ["int32", "int16"])
def test_channels_by_name_in_pieces(tmp_path, monkeypatch, dtype):
    path = tmp_path / "file.cnt"
    write_cnt(path, signal(), NAMES, 100, dtype=dtype)
    monkeypatch.setattr(_cnt_files, "_CHUNK_SECONDS", 0.7)
    found = read_channels(path, ("PZ", "FZ"))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 1e-6 * signal()[[2, 0]], atol=6e-9)


def test_events_lie_where_they_were_written(tmp_path):
    path = tmp_path / "file.cnt"
    write_cnt(path, signal(), NAMES, 100, events=[(20, 1), (150, 2)])
    np.testing.assert_allclose(open_cnt(path).annotations.onset, [0.2, 1.5])


def test_lacking_channels_are_named(tmp_path):
    path = tmp_path / "file.cnt"
    write_cnt(path, signal(), NAMES, 100)
    with pytest.raises(ValueError, match=r"lacks 1 of 2 EEG .*\(OZ\); its 4 .* are Fz"):
        channel_places(open_cnt(path), ("FZ", "OZ"))


def test_header_without_a_count_of_samples(tmp_path):
    path = tmp_path / "file.cnt"
    write_cnt(path, signal(), NAMES, 100)
    data = bytearray(path.read_bytes())
    struct.pack_into("<i", data, 864, 0)
    path.write_bytes(data)
    np.testing.assert_allclose(
        read_channels(path, ("CZ",)), 1e-6 * signal()[[1]], atol=6e-9
    )


@pytest.mark.parametrize("n_bytes", [0, 899, 900, 3000])
def test_cut_off_files(tmp_path, n_bytes):
    path = tmp_path / "file.cnt"
    write_cnt(path, signal(), NAMES, 100)
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(ValueError, match=f"it is .*{n_bytes} bytes"):
        open_cnt(path)


def test_files_of_more_than_2_gb(tmp_path):
    path = tmp_path / "file.cnt"
    write_cnt(path, signal(), NAMES, 100, events=[(20, 1)])
    data = bytearray(path.read_bytes())
    first, n_times = 900 + 75 * 4, 140_000_000
    end = first + 16 * n_times  # where the table of events is: after a hole
    struct.pack_into("<i", data, 864, n_times)
    for position in (end, 12345):  # as an unsigned number, and overflown
        struct.pack_into("<I", data, 886, position)
        with path.open("wb") as file:
            file.write(data[: first + 16 * 300])
            file.seek(end)
            file.write(data[first + 16 * 300 :])
        assert path.stat().st_size > 2**31
        raw = open_cnt(path)
        assert raw.n_times == n_times
        assert list(raw.annotations.onset) == [0.2]
        np.testing.assert_allclose(
            raw.get_data([1], 0, 300), 1e-6 * signal()[[1]], atol=6e-9
        )
        with path.open("r+b") as file:
            file.truncate(end - 1)
        with pytest.raises(ValueError, match="it is cut off"):
            open_cnt(path)
