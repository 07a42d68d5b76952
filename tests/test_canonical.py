"""Reading on the canonical channels: the numbers by their definition, whatever way."""

import numpy as np
import pytest

from sklearn_mdjpt import EEGWindows, Recording, concat_windows
from sklearn_mdjpt._io._cache import BoundedCache
from sklearn_mdjpt.channels import CANONICAL_CHANNELS, channel_matrix
from sklearn_mdjpt.windows import _recording, _stack
from sklearn_mdjpt.windows._reader import CanonicalReader
from sklearn_mdjpt.windows._resampling import resample

# Where each kind is resampled.
HOMES = {"recording": _recording, "stack": _stack}

CAP = ["Fp1", "Fz", "C3", "Cz", "M1", "C4", "Pz", "O2"]


def make_windows(kind, sfreq, tmp_path, dtype=np.float32):
    """Two subjects' windows on offsets of millivolts: a list of arrays, and X."""
    rng = np.random.default_rng(0)
    signals = [
        1e-5 * rng.standard_normal((8, int(30 * sfreq)))
        + 4e-3 * rng.standard_normal((8, 1))
        for _ in range(2)
    ]
    signals = [signal.astype(dtype) for signal in signals]
    if "mapped" in kind:
        for k, signal in enumerate(signals):
            np.save(tmp_path / f"{k}.npy", signal)
            signals[k] = np.load(tmp_path / f"{k}.npy", mmap_mode="r")
    if "stack" not in kind:
        X = EEGWindows.from_recordings(
            [Recording(x, CAP, sfreq, "d", k) for k, x in enumerate(signals)]
        )
        return signals, X
    windows = np.stack(signals).reshape(2, 8, 6, -1).transpose(0, 2, 1, 3)
    windows = windows.reshape(12, 8, -1)
    subject = np.repeat([0, 1], 6)
    if kind == "interleaved stack":
        order = np.arange(12).reshape(2, 6).T.ravel()
        windows, subject = windows[order], subject[order]
    return windows, EEGWindows.from_arrays(
        windows, ch_names=CAP, sfreq=sfreq, subject=subject
    )


@pytest.mark.parametrize("sfreq", [125.0, 200.0])
@pytest.mark.parametrize(
    "kind", ["recording", "mapped recording", "stack", "interleaved stack"]
)
@pytest.mark.parametrize("dtype", [np.float32, float])
def test_read_is_the_matrix_of_standardised_signals(kind, sfreq, dtype, tmp_path):
    given, X = make_windows(kind, sfreq, tmp_path, dtype)
    before = np.array(given)
    reader = CanonicalReader(X)
    order = np.random.default_rng(1).permutation(len(X))
    x = reader.read(order)
    assert x.dtype == np.float32 and x.flags.c_contiguous

    matrix = channel_matrix(CAP)
    picks = np.flatnonzero(matrix.any(axis=0))
    plain = np.empty((len(X), 8, 625))
    for source, rows, starts, n_times in X.blocks():
        if source.is_continuous:
            whole = resample(source.signal, sfreq, 125.0).astype(float)
            cuts = [
                whole[:, s : s + 625] for s in np.rint(starts * 125 / sfreq).astype(int)
            ]
        else:
            cuts = resample(source.windows(starts, n_times[0]), sfreq, 125.0)
        center, scale = source.robust_statistics(picks)
        plain[np.ix_(rows, picks)] = (
            np.array(cuts, float)[:, picks] - center[:, None]
        ) / scale
    expected = matrix[:, picks] @ plain[:, picks]
    np.testing.assert_allclose(x, expected[order], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(np.array(given), before)
    np.testing.assert_array_equal(reader.read(order[3:5]), x[3:5])


@pytest.mark.parametrize("outliers", [False, True])
def test_windows_normalised_each_by_itself(outliers):
    rng = np.random.default_rng(0)
    x = 1e-5 * rng.standard_normal((6, 8, 625)) + 4e-3 * rng.standard_normal((6, 8, 1))
    x[2] = 0.0
    x[4, 1:] = x[4, 1:, :1]  # most of it flat
    if outliers:
        x[::3, 2, 100:140] += 1.0
    x = x.astype(np.float32)
    X = EEGWindows.from_arrays(x, ch_names=CAP, sfreq=125.0)
    X.recordings[0].is_recording = False
    found = CanonicalReader(X, per_window=True).read(np.arange(6))

    matrix = channel_matrix(CAP)
    picks = np.flatnonzero(matrix.any(axis=0))
    for window, ours in zip(x[:, picks].astype(float), found, strict=True):
        window = window - window.mean(axis=1, keepdims=True)
        magnitude = np.abs(window)
        if magnitude.any():  # flat channels do not count
            limit = 30 * np.median(magnitude[magnitude > 0])
            inside = window[magnitude < limit]
            window = (window - inside.mean()) / (inside.std() or 1.0)
        expected = matrix[:, picks] @ window
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["recording", "stack"])
def test_each_recording_is_resampled_once_in_any_order(kind, tmp_path, monkeypatch):
    module = HOMES[kind]
    calls = []
    monkeypatch.setattr(module, "resample", lambda *a: calls.append(1) or resample(*a))
    _, X = make_windows(kind, 200.0, tmp_path)
    reader = CanonicalReader(X)
    rng = np.random.default_rng(0)
    for _ in range(5):
        reader.read(rng.permutation(len(X)))
    assert len(calls) == 2


@pytest.mark.parametrize("kind", ["recording", "stack"])
def test_what_finds_no_room_in_the_cache_does_not_drop_the_others(
    kind, tmp_path, monkeypatch
):
    """Two recordings that took turns in the cache were resampled in every batch."""
    module = HOMES[kind]
    _, X = make_windows(kind, 200.0, tmp_path)
    whole = CanonicalReader(X).read(np.arange(len(X)))

    sizes = []

    def counted(x, *args):
        sizes.append(x.size)
        return resample(x, *args)

    _, X = make_windows(kind, 200.0, tmp_path)
    small = BoundedCache(4 * 8 * 125 * 40)  # room for one of two
    monkeypatch.setattr(module, "cache", small)
    monkeypatch.setattr(module, "resample", counted)
    reader = CanonicalReader(X)
    rng = np.random.default_rng(0)
    for _ in range(5):
        rows = rng.permutation(len(X))[:4]
        np.testing.assert_allclose(reader.read(rows), whole[rows], rtol=1e-6, atol=1e-6)
    assert sizes.count(8 * 200 * 30) == 1
    assert 0 < small.n_bytes <= small.max_bytes


def test_to_canonical(make_windows, mixed_windows):
    x = mixed_windows.to_canonical()
    assert x.shape == (len(mixed_windows), 60, 125) and x.dtype == np.float32
    # Cz is in every cap; it is the resampled channel itself.
    cz = CANONICAL_CHANNELS.index("CZ")
    X = mixed_windows[:2]
    signal = X.recordings[0].signal[X.ch_names.index("Cz")]
    np.testing.assert_allclose(x[0, cz], resample(signal, 200.0, 125.0)[:125])
    same = mixed_windows[-3:].to_canonical(sfreq=128.0)
    np.testing.assert_allclose(same[:, cz], [w[2] for w in mixed_windows[-3:]])
    two = concat_windows([make_windows(), make_windows(window_seconds=2.0)])
    with pytest.raises(ValueError, match=r"different lengths \(1.0, 2.0 s\)"):
        two.to_canonical()


def test_reader_normalises_by_recording(mixed_windows):
    reader = CanonicalReader(mixed_windows)
    x = reader.read(np.arange(36, 48))  # the first subject of dataset B
    present = [CANONICAL_CHANNELS.index(c) for c in "F3 F4 T7 CZ T8 P3".split()]
    assert abs(x[:, present].mean()) < 0.05
    assert abs(x[:, present].std() - 1) < 0.1
    # A slice keeps its recording's statistics, and offsets do no harm.
    alone = CanonicalReader(mixed_windows[[40]]).read(np.array([0]))
    np.testing.assert_array_equal(alone[0], x[4])


def test_channels_that_are_dropped_do_not_count():
    x = np.random.default_rng(0).standard_normal((4, 4, 125))
    x[2, 3] = np.nan
    names = ["C3", "C4", "Cz", "EOG"]
    X = EEGWindows.from_arrays(x, ch_names=names, sfreq=125)
    CanonicalReader(X).check()
    x[1, :3] = 0.0
    with pytest.raises(ValueError, match="constant in every channel: windows 1"):
        CanonicalReader(EEGWindows.from_arrays(x, ch_names=names, sfreq=125)).check()


def test_reader_checks(make_windows):
    x = np.random.default_rng(0).standard_normal((5, 2, 125)).astype("f4")

    def check(x, min_times=32, **kwargs):
        X = EEGWindows.from_arrays(x, ch_names=["C3", "C4"], sfreq=125)
        CanonicalReader(X, **kwargs).check(min_times)

    check(x)
    bad = x.copy()
    bad[2, 1, 7] = np.nan
    with pytest.raises(ValueError, match="1 of 5 windows hold NaN or inf: windows 2"):
        check(bad)
    still = x.copy()
    still[[1, 3]] = 4.0
    with pytest.raises(ValueError, match="constant in every channel: windows 1, 3"):
        check(still)
    with pytest.raises(ValueError, match="5 of 5 have fewer than 200 samples"):
        check(x, min_times=200)
    flat = x.copy()
    flat[:, 0] = 2.0
    with pytest.warns(UserWarning, match=r"Flat channels: C3 \(in 1 recording\)"):
        check(flat)
