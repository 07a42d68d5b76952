"""Resampling: the very same bits whether a recording is resampled whole or not."""

import gc

import numpy as np
import pytest

from sklearn_mdjpt import EEGWindows, Recording
from sklearn_mdjpt.windows._resampling import cache

CAP = ("Fp1", "Fz", "C3", "Cz", "C4", "Pz", "O1", "O2")


def noise(n_channels, n_times, offset=0.0, dtype=np.float32, seed=0):
    """EEG-like noise of 10 microvolts, each channel on an offset of its own."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_channels, n_times))
    x += 0.1 * np.cumsum(rng.standard_normal((n_channels, n_times)), axis=1)
    return (1e-5 * x + offset * rng.standard_normal((n_channels, 1))).astype(dtype)


# Whatever the cache holds ---------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, float])
@pytest.mark.parametrize("offset", [0.0, 4e-3])
@pytest.mark.parametrize(
    "sfreq", [100.0, 128.0, 160.0, 200.0, 250.0, 256.0, 500.0, 500.03, 512.0, 1000.0,
              1024.0, 2048.0, 125.001, 125.01]
)  # fmt: skip
def test_cuts_have_the_very_bits_of_the_whole(sfreq, offset, dtype, monkeypatch):
    for n_times in (int(7 * sfreq), int(13.37 * sfreq) + 1):
        x = noise(4, n_times, offset, dtype)
        _assert_cuts_are_those_of_the_whole(x, sfreq, monkeypatch)


@pytest.mark.parametrize("sfreq", [100.0, 250.0, 500.03])
@pytest.mark.parametrize("gap", ["inside", "long", "ends", "channel", "all"])
def test_cuts_near_gaps_have_the_very_bits_of_the_whole(sfreq, gap, monkeypatch):
    x = noise(4, int(9 * sfreq), 4e-3)
    n = x.shape[1]
    if gap == "inside":
        x[2, n // 2 : n // 2 + 3] = np.nan
        x[1, n // 2 + 1] = np.inf
    elif gap == "long":
        x[:, n // 3 : n // 2] = np.nan
    elif gap == "ends":
        x[1, :40], x[2, -300:], x[3, -1] = np.nan, -np.inf, np.nan
    elif gap == "channel":
        x[1] = np.nan
    elif gap == "all":
        x[:] = np.inf
    with np.errstate(all="raise"):
        _assert_cuts_are_those_of_the_whole(x, sfreq, monkeypatch)


def _assert_cuts_are_those_of_the_whole(x, sfreq, monkeypatch):
    n_times, rng = round(sfreq), np.random.default_rng(1)
    last = x.shape[1] - n_times
    starts = np.r_[0:3, 7, last // 2, last - 2 : last + 1, rng.integers(0, last, 10)]
    picks = np.array([3, 1, 2])

    found = []
    for max_bytes in (2**40, 0):  # resampled as a whole, and window by window
        monkeypatch.setattr(cache, "max_bytes", max_bytes)
        recording = Recording(x, CAP[:4], sfreq)
        found.append(recording.windows_at(starts, n_times, 125.0, picks))
    assert found[0].shape == (len(starts), 3, 125)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("kind", ["recording", "stack", "interleaved stack"])
@pytest.mark.parametrize("sfreq", [200.0, 500.03])
@pytest.mark.parametrize("dtype", [np.float32, float])
def test_windows_read_do_not_depend_on_the_cache(kind, sfreq, dtype, monkeypatch):
    """A training that is resumed goes on with the same bits."""
    signals = [noise(8, int(12 * sfreq), 4e-3, dtype, seed) for seed in range(2)]

    def make():
        if kind == "recording":
            return EEGWindows.from_recordings(
                [Recording(x, CAP, sfreq, "d", k) for k, x in enumerate(signals)],
                window_seconds=2.0,
                stride_seconds=0.7,
            )
        n_times = int(2 * sfreq)
        windows = np.concatenate(
            [x[:, : 6 * n_times].reshape(8, 6, -1).swapaxes(0, 1) for x in signals]
        )
        order = np.arange(12)
        if kind == "interleaved stack":
            order = order.reshape(2, 6).T.ravel()
        return EEGWindows.from_arrays(
            windows[order], ch_names=CAP, sfreq=sfreq, subject=order // 6
        )

    X = make()
    rows = np.random.default_rng(0).permutation(len(X))
    cached = X[rows].to_canonical()
    gc.collect()
    n_bytes = cache.n_bytes
    monkeypatch.setattr(cache, "max_bytes", 1)
    again = make()
    np.testing.assert_array_equal(again[rows].to_canonical(), cached)
    one_by_one = np.concatenate([again[[row]].to_canonical() for row in rows])
    np.testing.assert_array_equal(one_by_one, cached)
    assert cache.n_bytes == n_bytes > 0
