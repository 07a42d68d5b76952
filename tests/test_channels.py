"""Channels: names, neighbours, caps without canonical names; the canonical form."""

import contextlib

import numpy as np
import pytest

from sklearn_mdjpt import (
    EEGWindows,
    Recording,
    concat_windows,
    covariance_distance,
)
from sklearn_mdjpt.baselines import BraindecodeClassifier
from sklearn_mdjpt.channels import (
    CANONICAL_CHANNELS,
    canonical_name,
    channel_matrix,
    electrode_positions,
    site_names,
    template_positions,
)
from sklearn_mdjpt.channels._channels import find_electrodes

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


# Names and positions -----------------------------------------------------------------


def standard_montage(name):
    """Names of a montage of MNE's, and their positions in head coordinates."""
    mne = pytest.importorskip("mne")
    montage = mne.channels.make_standard_montage(name)
    info = mne.create_info(montage.ch_names, 250.0, "eeg", verbose="error")
    info.set_montage(montage, verbose="error")
    return montage.ch_names, np.array([ch["loc"][:3] for ch in info["chs"]])


def nearest_three(where):
    """The matrix in which each canonical channel is made of its nearest electrodes."""
    matrix = np.zeros((60, len(where)))
    for row, site in enumerate(CANONICAL_CHANNELS):
        distance = np.linalg.norm(where - template_positions()[site], axis=1)
        matrix[row, np.argsort(distance)[:3]] = 1 / 3
    return matrix


@pytest.mark.parametrize("policy", ["drop", "position"])
@pytest.mark.parametrize("cap", ["biosemi128", "biosemi160", "biosemi256"])
@pytest.mark.filterwarnings("ignore:Only 0 of")
def test_biosemi_names_are_no_sites(cap, policy):
    """C5 of these caps is 16 cm from the site C5, F8 13 cm from F8."""
    names, where = standard_montage(cap)
    matrix = channel_matrix(names, positions=where, unknown_channels=policy)
    np.testing.assert_allclose(matrix, nearest_three(where))
    with pytest.raises(ValueError, match="outside the 60 canonical ones: A1, A2"):
        channel_matrix(names, positions=where, unknown_channels="error")
    # The names alone say where they are, if they say which cap it is.
    with pytest.warns(UserWarning, match=f"taken for those of its cap of {cap[7:]}"):
        alone = channel_matrix(names, unknown_channels=policy)
    np.testing.assert_allclose(alone, matrix)


@pytest.mark.parametrize("spelling", ["{}", "1-{}", "lower"])
def test_some_of_biosemi_names_in_any_spelling(spelling):
    names, where = standard_montage("biosemi128")
    some = [*range(0, 128, 5), *(names.index(f"C{n}") for n in range(1, 5))]
    some = list(dict.fromkeys(some))
    given = [spelling.format(names[k]) for k in some]
    if spelling == "lower":
        given = [names[k].lower() for k in some]
    beside = [*given, "Cz", "EXG1"]  # a reference that was added by its own name
    with pytest.warns(UserWarning, match="taken for those of its cap of 128"):
        matrix = channel_matrix(beside, unknown_channels="position")
    assert matrix[CANONICAL_CHANNELS.index("CZ"), len(some)] == 1
    places = np.vstack([where[some], template_positions()["CZ"]])
    rows = np.arange(60) != CANONICAL_CHANNELS.index("CZ")
    np.testing.assert_allclose(matrix[rows, :-1], nearest_three(places)[rows])


def test_biosemi_names_of_which_cap_nobody_can_tell():
    names = [f"{cable}{n}" for cable in "AB" for n in range(1, 33)]
    message = "A1 is Fp1 .* 32 and 64, .* Cz in those of 128"
    with (
        pytest.warns(UserWarning, match=message),
        pytest.raises(ValueError, match=f"No usable channel among A1, .*{message}"),
    ):
        channel_matrix(names)
    # One cable of a large cap, or any count.
    for prefix, n in (("C", 32), ("C", 64), ("F", 32), ("P", 20)):
        with pytest.warns(UserWarning) if n == 32 else contextlib.nullcontext():
            with pytest.raises(ValueError, match="No usable channel"):
                channel_matrix([f"{prefix}{k}" for k in range(1, n + 1)])


@pytest.mark.parametrize(
    "names",
    [
        "Fp1 Fp2 F3 F4 C3 C4 O1 O2 A1 A2",
        "C3 C4 A1 A2",
        "F3 F4 C3 C4 E1 E2 M1 M2",  # a night's recording: E1 and E2 are of the eyes
        "C3 Cz C4 D1 D2",
        "F7 F11 FT11 F8 F12 FT12 P11 P12 CB1 CB2 C3",  # Neuroscan's
        "T1 T2 T7 C3",
        # Unused inputs of an amplifier.
        "Fp1 Fz Cz C3 C4 " + " ".join(f"C{n}" for n in range(25, 129)),
        "Fz Cz Pz C3 C4 " + " ".join(f"EEG{n:03d}" for n in range(1, 30)),
    ],
)
@pytest.mark.filterwarnings("ignore:Only")
def test_ordinary_names_stay_sites(names):
    names = names.split()
    matrix = channel_matrix(names)
    for k, name in enumerate(names):
        if canonical_name(name) in CANONICAL_CHANNELS:
            assert matrix[CANONICAL_CHANNELS.index(canonical_name(name)), k] == 1
    assert site_names(names) == tuple(map(canonical_name, names))


@pytest.mark.parametrize("size", [0.75, 1.0, 1.15])
def test_positions_of_all_montages_of_mne_change_no_name(size):
    """Heads of other sizes, and EEGLAB's, of another centre, are no reason to doubt."""
    mne = pytest.importorskip("mne")
    for montage in mne.channels.get_builtin_montages():
        names, where = standard_montage(montage)
        found = find_electrodes(names, size * where)
        assert not found.remarks
        if montage in ("biosemi128", "biosemi160", "biosemi256"):
            assert not any(found.sites)
        elif montage == "colin27_prefixed":  # aF3 of this system is no AF3
            assert found.misplaced[0].startswith("Channels aF3 (")
        else:
            assert not found.misplaced
            names = map(canonical_name, names)
            sites = [n if n in template_positions() else None for n in names]
            assert list(found.sites) == sites


def test_a_position_far_from_its_name_decides():
    """C3 plugged in where P4 is: the name puts it 14 cm from where it was."""
    names = [name.title() for name in CANONICAL_CHANNELS]
    where = np.array([template_positions()[name] for name in CANONICAL_CHANNELS])
    c3, p4 = names.index("C3"), names.index("P4")
    noise = 0.005 * np.random.default_rng(0).standard_normal(where.shape)
    where = where + noise
    where[[c3, p4]] = where[[p4, c3]]
    message = r"P4 \(14.3 cm\), C3 \(13.9 cm\) .* 6 cm"
    with pytest.warns(UserWarning, match=message):
        dropped = channel_matrix(names, positions=where)
    assert not dropped[:, [c3, p4]].any()
    with pytest.warns(UserWarning, match=message):
        placed = channel_matrix(names, positions=where, unknown_channels="position")
    assert placed[p4, c3] == pytest.approx(1 / 3) and placed[c3, c3] == 0
    others = np.setdiff1d(np.arange(60), [c3, p4])
    np.testing.assert_array_equal(placed[others], np.eye(60)[others])
    with (
        pytest.warns(UserWarning, match=message),
        pytest.raises(ValueError, match="outside the 60 canonical ones: C3, P4"),
    ):
        channel_matrix(names, positions=where, unknown_channels="error")


@pytest.mark.filterwarnings("ignore:Only 1 of 3 channels have")
def test_two_far_positions_are_reason_enough():
    names, where = standard_montage("biosemi128")
    some = [names.index(name) for name in ("C1", "C3", "C5")]
    with pytest.warns(UserWarning, match=r"C5 \(15.7 cm\), C3 \(11.8 cm\) were dig"):
        matrix = channel_matrix(["C1", "C3", "C5"], positions=where[some])
    np.testing.assert_allclose(matrix[CANONICAL_CHANNELS.index("C3")], 1 / 3)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: 1000 * p, "they lie 1.* from the origin"),  # millimetres
        (lambda p: p / 0.095, "they lie 1.* from the origin"),  # a head of radius 1
        (lambda p: p * [1, 1, 0], "they lie in a plane"),
        (lambda p: p[:, [1, 0, 2]] * [1, -1, 1], "turned, shifted or scaled"),  # CTF's
        (lambda p: p * [1, -1, 1], "turned, shifted or scaled"),
        (lambda p: p + [0.0, 0.0, 0.1], "turned, shifted or scaled"),
    ],
)
def test_positions_that_are_wrong_as_a_whole_are_not_used(change, reason):
    names = [*FACED, "E1"]
    places = [template_positions()[canonical_name(name)] for name in FACED]
    where = change(np.array([*places, template_positions()["CPZ"]]))
    with pytest.warns(UserWarning, match=f"positions are not used: .*{reason}") as said:
        matrix = channel_matrix(names, positions=where, unknown_channels="position")
    assert len(said) == 1
    np.testing.assert_array_equal(matrix[:, :-1], channel_matrix(FACED))
    assert not matrix[:, -1].any()
    with pytest.warns(UserWarning, match="positions are not used"):
        places = electrode_positions(names, where)
    np.testing.assert_array_equal(places[:-1], electrode_positions(FACED))
    assert np.isnan(places[-1]).all()


def test_positions_of_zero_are_unknown():
    where = np.zeros((2, 3))
    np.testing.assert_array_equal(
        electrode_positions(["Cz", "E1"], where),
        [template_positions()["CZ"], [np.nan] * 3],
    )


@pytest.mark.parametrize(
    "name", ["C3-C4", "F7-T3", "Fp1-A2", "EEG Fz-Ref", "Fc5.", "1"]
)
def test_names_that_are_no_sites_are_not_guessed(name):
    assert not channel_matrix(["Cz", name], unknown_channels="position")[:, 1].any()


def test_few_known_names_are_announced_whatever_the_policy():
    names = ["Fz", "Cz", "Pz", *(f"EEG {i}" for i in range(29))]
    with pytest.warns(UserWarning, match="Only 3 of 32 channels have a known place"):
        channel_matrix(names, unknown_channels="position")


def test_one_name_of_two_schemes_is_not_one_channel():
    """C3 of BioSemi and C3 of the 10-20 system are 12 cm apart."""
    rng = np.random.default_rng(0)
    biosemi = [*(f"C{n}" for n in range(1, 17)), "D1"]
    site = ["C1", "C3", "Cz", "Pz"]
    one, other = (
        EEGWindows.from_arrays(
            rng.standard_normal((4, len(names), 200)), ch_names=names, sfreq=100,
            dataset=name, subject=["1", "1", "2", "2"], y=list("abab"),
        )
        for name, names in (("one", site), ("other", biosemi))
    )  # fmt: skip
    X = concat_windows([one, other])
    assert set(site_names(site)) & set(site_names(biosemi)) == set()
    with pytest.raises(ValueError, match="no channel in common"):
        covariance_distance(X)
    two = BraindecodeClassifier(channels=["C3", "C1"], max_epochs=1, batch_size=2)
    with pytest.raises(ValueError, match="Channels C3, C1 are sites of the 10-20 sys"):
        two.fit(X, X.y)
    with pytest.raises(ValueError, match=r"'C1 \(NOT 10-20\)'"):
        BraindecodeClassifier("Labram", batch_size=2).fit(other, other.y)


def test_positions_in_an_image_are_not_of_the_head():
    mne = pytest.importorskip("mne")
    raw = mne.io.RawArray(
        np.random.default_rng(0).standard_normal((2, 500)),
        mne.create_info(["C3", "E1"], 100.0, "eeg"), verbose="error",
    )  # fmt: skip
    for ch in raw.info["chs"]:
        ch["loc"][:3] = template_positions()["C3"]
    assert np.isfinite(Recording.from_raw(raw).positions).all()
    for ch in raw.info["chs"]:
        ch["coord_frame"] = mne.io.constants.FIFF.FIFFV_COORD_MRI
    assert np.isnan(Recording.from_raw(raw).positions).all()


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


def test_names_with_running_numbers_are_announced():
    names = ["Fp1", "F3", "Fz-0", "F4", "Cz", "Fz-1"]
    with pytest.warns(UserWarning, match="Fz-0, Fz-1 have one name in the file"):
        matrix = channel_matrix(names)
    assert not matrix[:, [2, 5]].any()
