"""Channels: names, neighbours, caps without canonical names; the canonical form."""

import numpy as np
import pytest

from sklearn_mdjpt import EEGWindows, concat_windows
from sklearn_mdjpt._canonical import CanonicalReader
from sklearn_mdjpt._resampling import resample
from sklearn_mdjpt.channels import (
    CANONICAL_CHANNELS,
    channel_matrix,
    template_positions,
)

FACED = (
    "Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T7 T8 CP1 CP2 CP5 CP6 Pz P3 P4 P7 "
    "P8 PO3 PO4 Oz O1 O2"
).split()


def test_table_agrees_with_mne():
    mne = pytest.importorskip("mne")
    known = mne.channels.get_builtin_montages()
    name = "colin27_1005" if "colin27_1005" in known else "standard_1005"
    montage = mne.channels.make_standard_montage(name)
    theirs = montage.get_positions()["ch_pos"]
    ours = template_positions()
    assert set(ours) == {name.upper() for name in theirs}
    names = list(theirs)
    a = np.array([theirs[name] for name in names])
    b = np.array([ours[name.upper()] for name in names])
    # The same cap up to a rigid motion: all distances agree.
    gap = np.linalg.norm(a[:, None] - a, axis=2) - np.linalg.norm(
        b[:, None] - b, axis=2
    )
    assert np.abs(gap).max() < 5e-6


def test_all_canonical_channels_map_to_themselves():
    order = np.random.default_rng(0).permutation(60)
    names = [CANONICAL_CHANNELS[i].title() for i in order]
    matrix = channel_matrix(names)
    np.testing.assert_array_equal(matrix @ order, np.arange(60))


@pytest.mark.parametrize("neighbours", ["mne", "released"])
def test_missing_channels_are_the_mean_of_the_three_nearest(neighbours):
    matrix = channel_matrix(FACED, neighbours=neighbours)
    assert matrix.shape == (60, 30)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)

    def sources(target):
        row = matrix[CANONICAL_CHANNELS.index(target)]
        return {FACED[i] for i in np.flatnonzero(row)}

    assert sources("CZ") == {"Cz"}
    assert sources("FPZ") == {"Fp1", "Fp2", "Fz"}
    released = neighbours == "released"
    assert (sources("FC3") == {"F3", "FC1", "FC5"}) == released
    assert (sources("CP3") == {"C3", "P3", "CP5"}) == released


def test_order_and_case_do_not_matter():
    matrix = channel_matrix(FACED)
    order = np.random.default_rng(1).permutation(30)
    other = channel_matrix([FACED[i].lower() for i in order])
    np.testing.assert_array_equal(other, matrix[:, order])


def test_old_names_and_strangers():
    old = channel_matrix(["T3", "T4", "Cz", "EOG1", "A1"])
    new = channel_matrix(["T7", "T8", "Cz", "EOG1", "A1"])
    np.testing.assert_array_equal(old, new)
    assert not old[:, 3:].any()
    with pytest.raises(ValueError, match="T3, T7 name one site twice"):
        channel_matrix(["T3", "T7"])
    with pytest.raises(ValueError, match="outside the 60 canonical ones: EOG1"):
        channel_matrix(["Cz", "EOG1"], unknown_channels="error")
    with pytest.raises(ValueError, match="lacks 59 canonical channels"):
        channel_matrix(["Cz"], missing_channels="error")
    with pytest.raises(ValueError, match="No usable channel among E1, E2"):
        channel_matrix(["E1", "E2"])
    with pytest.raises(ValueError, match="unknown_channels must be one of"):
        channel_matrix(["Cz"], unknown_channels="keep")


def test_a_cap_that_mostly_vanishes_is_announced():
    names = ["Fz", "Cz", "Pz", *(f"EEG {i}" for i in range(29))]
    with pytest.warns(UserWarning, match="Only 3 of 32 channels .* left out: EEG 0"):
        channel_matrix(names)


def test_channels_that_are_dropped_do_not_count():
    x = np.random.default_rng(0).standard_normal((4, 4, 125))
    x[2, 3] = np.nan
    names = ["C3", "C4", "Cz", "EOG"]
    X = EEGWindows.from_arrays(x, ch_names=names, sfreq=125)
    CanonicalReader(X).check()
    x[1, :3] = 0.0
    with pytest.raises(ValueError, match="constant in every channel: windows 1"):
        CanonicalReader(EEGWindows.from_arrays(x, ch_names=names, sfreq=125)).check()


def test_caps_without_canonical_names_map_by_position():
    muse = ["TP9", "AF7", "AF8", "TP10"]
    with pytest.warns(UserWarning, match="mapping by electrode position"):
        matrix = channel_matrix(muse)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)
    assert matrix[CANONICAL_CHANNELS.index("T7"), 0] > 0
    # Digitised positions serve where names mean nothing.
    places = template_positions()
    numbered = channel_matrix(
        [f"E{i}" for i in range(4)],
        positions=[places[name] for name in muse],
        unknown_channels="position",
    )
    np.testing.assert_array_equal(numbered, matrix)
    # A reference site never stands for brain.
    assert not channel_matrix(["Cz", "A1"], unknown_channels="position")[:, 1].any()


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


def test_rate_does_not_change_what_the_encoder_sees():
    def canonical(sfreq):
        t = np.arange(int(10 * sfreq)) / sfreq
        wave = np.sin(2 * np.pi * 9 * t) + 0.5 * np.cos(2 * np.pi * 21 * t)
        X = EEGWindows.from_arrays(
            wave[None, None] * np.ones((1, 2, 1)), ch_names=["C3", "C4"], sfreq=sfreq
        )
        return X.to_canonical()[0, 0, 50:-50]

    for sfreq in (128.0, 200.0, 250.0, 1000.0):
        np.testing.assert_allclose(canonical(sfreq), canonical(125.0), atol=2e-3)


def test_reader_normalises_by_recording(mixed_windows):
    reader = CanonicalReader(mixed_windows)
    x = reader.read(np.arange(36, 48))  # the first subject of dataset B
    present = [CANONICAL_CHANNELS.index(c) for c in "F3 F4 T7 CZ T8 P3".split()]
    assert abs(x[:, present].mean()) < 0.05
    assert abs(x[:, present].std() - 1) < 0.1
    # A slice keeps its recording's statistics, and offsets do no harm.
    alone = CanonicalReader(mixed_windows[[40]]).read(np.array([0]))
    np.testing.assert_array_equal(alone[0], x[4])


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
