"""Seconds and counts are never compared, and order is that in which windows came."""

import warnings

import numpy as np
import pandas as pd
import pytest
from settings import tiny_encoder

from sklearn_mdjpt import EEGWindows, MDJPTEncoder, Recording, concat_windows
from sklearn_mdjpt.encoder._pairs import make_sampler, pair_columns
from sklearn_mdjpt.inspection import isa_of_guessing

SECONDS = 2.0 * np.arange(9)


def part(subject, n=9, **known):
    """Windows of one subject and one clip."""
    rng = np.random.default_rng(n)
    return EEGWindows.from_arrays(
        1e-5 * rng.standard_normal((n, 2, 100)), ch_names=["Fz", "Cz"], sfreq=100.0,
        **{"dataset": "lab", "subject": subject, "stimulus": "clip"} | known,
    )  # fmt: skip


def sample(X, **keywords):
    return make_sampler(
        pair_columns(X, **keywords), np.full(len(X), 100), None, pairing="stimulus",
        known_labels=None, sfreq=100.0, rng=np.random.default_rng(0),
    )[0]  # fmt: skip


def pairs_of(X, **keywords):
    """Return all pairs of rows that are drawn."""
    sampler, found = sample(X, **keywords), set()
    for _ in range(60):
        for batch in sampler.draw():
            rows = zip(batch.rows_a.tolist(), batch.rows_b.tolist(), strict=True)
            found |= {tuple(sorted(pair)) for pair in rows}
    return found


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_order_tells_the_moment_where_others_have_as_many_onsets():
    rng = np.random.default_rng(0)
    recording = Recording(
        1e-5 * rng.standard_normal((2, 2100)), ["Fz", "Cz"], 100.0, dataset="lab",
        subject="1", trials=[(0, 21, "clip", "x")],
    )  # fmt: skip
    timed = EEGWindows.from_recordings(recording)
    X = concat_windows([timed, part("2"), part("3", onset=SECONDS)])
    with pytest.warns(UserWarning, match="known for some .* 9 windows of lab/2 ") as w:
        found = pairs_of(X)
    assert len(w) == 1
    assert found == {
        (a + k, b + k) for k in range(9) for a, b in ((0, 9), (0, 18), (9, 18))
    }
    with pytest.warns(UserWarning, match="9 windows of lab/2 .* are taken for"):
        assert isa_of_guessing(X[X.metadata["subject"].isin(["2", "3"])]) > 0


def test_training_is_that_of_known_onsets_where_order_tells_them():
    timed = [part(name, onset=SECONDS) for name in "12"]
    with pytest.warns(UserWarning, match="9 windows of lab/2 "):
        found = tiny_encoder().fit(concat_windows([timed[0], part("2")]))
    expected = tiny_encoder().fit(concat_windows(timed))
    backwards = part("2", onset=SECONDS[::-1])
    other = tiny_encoder().fit(concat_windows([timed[0], backwards]))
    weights = [e.module_.spatial.weight.detach() for e in (found, expected, other)]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_seconds_are_not_compared_with_counts():
    timed = [part(name, onset=SECONDS) for name in "12"]
    two = concat_windows([*timed, part("3", 8), part("4", 8)])
    with pytest.warns(UserWarning, match="16 windows of lab/3, lab/4 .* each other"):
        found = pairs_of(two)
    assert found == {(k, 9 + k) for k in range(9)} | {
        (18 + k, 26 + k) for k in range(8)
    }
    one = concat_windows([*timed, part("3", 8)])
    with pytest.warns(
        UserWarning, match=r"8 windows of lab/3 \(stimuli 'clip'\) are n"
    ):
        assert pairs_of(one) == {(k, 9 + k) for k in range(9)}
    with (
        pytest.warns(UserWarning, match="17 windows of lab/1, lab/3 .* are not paired"),
        pytest.raises(ValueError, match="in lab. Onsets are known for some"),
    ):
        sample(concat_windows([timed[0], part("3", 8)]))


def test_fit_says_it_once():
    X = concat_windows([part("1", onset=SECONDS), part("2")])
    encoder = tiny_encoder(batches_per_epoch=1)
    with pytest.warns(UserWarning, match="Onsets are known for some") as said:
        encoder.fit(X)
    assert len(said) == 1
    with pytest.warns(UserWarning, match="Onsets are known for some"):
        encoder.pretraining_losses(X, n_batches=1)
    MDJPTEncoder(**encoder.get_params() | {"pairing": "label"}).fit(
        X, np.tile(["a", "b", "a"], 6)
    )
    # Onsets that are passed beside X fill what it lacks.
    encoder.fit(X, onsets=np.tile(SECONDS, 2))


def test_a_window_without_an_onset_among_others_is_not_paired():
    holes = SECONDS.copy()
    holes[4] = np.nan
    X = concat_windows([part("1", onset=SECONDS), part("2", onset=holes)])
    with pytest.warns(UserWarning, match="1 windows of lab/2 .* are not paired"):
        assert pairs_of(X) == {(k, 9 + k) for k in range(9) if k != 4}
    # Neither is it one of another trial of that session: it has no first place there.
    alone = part("2", 10, onset=[*SECONDS, np.nan], trial=[1] * 9 + [2])
    X = concat_windows([part("1", onset=SECONDS), alone])
    with pytest.warns(UserWarning, match="1 windows of lab/2 .* are not paired"):
        assert pairs_of(X) == {(k, 9 + k) for k in range(9)}


def test_windows_taken_out_of_x_leave_holes(tmp_path):
    X = concat_windows([part("1"), part("2")])
    expected = {(k, 9 + k) for k in range(9)}
    assert pairs_of(X) == expected
    rows = np.random.default_rng(0).permutation(18)
    rows = rows[~np.isin(rows, [4, 11, 12])]
    place = {row: k for k, row in enumerate(rows.tolist())}
    X[rows].save(tmp_path / "store")
    for some in (X[rows], EEGWindows.open(tmp_path / "store")):
        assert pairs_of(some) == {
            tuple(sorted((place[a], place[b])))
            for a, b in expected
            if a in place and b in place
        }


def test_uneven_order_is_announced_with_names():
    X = concat_windows([part("1"), part("2", 8), part("3")])
    with pytest.warns(UserWarning, match="1 stimuli .* 9 of lab/1, 8 of lab/2") as said:
        pairs_of(X)
    assert len(said) == 1


def test_order_begins_anew_in_each_trial():
    twice = part("1", 6, trial=[1, 1, 1, 2, 2, 2])
    X = concat_windows([twice, part("2", 3, trial=7)])
    assert pairs_of(X) == {(k, 6 + k % 3) for k in range(6)}


@pytest.mark.parametrize("factor", [1000, 100], ids=["milliseconds", "samples"])
def test_onsets_in_other_units_are_named(factor):
    X = concat_windows([part(name, onset=SECONDS) for name in "12"])
    X = concat_windows([X, part("3", onset=SECONDS * factor)])
    text = rf"after the start: lab/3 \({2 * factor} to {16 * factor} s\)\. Onsets have"
    with pytest.warns(UserWarning, match=text):
        assert pairs_of(X) == {(k, 9 + k) for k in range(9)}


@pytest.mark.parametrize(
    "onset",
    [
        SECONDS * np.timedelta64(1000, "ms"),
        pd.to_timedelta(SECONDS, unit="s"),
        pd.array(SECONDS, dtype="Float64"),
        [str(value) for value in SECONDS],
    ],
)
def test_onsets_of_any_form_are_seconds(onset):
    X = part("1", onset=onset)
    np.testing.assert_array_equal(X.metadata["onset"], SECONDS)


def test_what_is_no_onset():
    missing = [0.0, None, pd.NA, np.nan, pd.NaT]
    assert part("1", 5, onset=missing).metadata["onset"].isna().sum() == 4
    with pytest.raises(ValueError, match="onset of row 1: .* got infinity"):
        part("1", 2, onset=[0, np.inf])
    with pytest.raises(TypeError, match="onset of row 0: .*2020"):
        part("1", 1, onset=np.array(["2020-01-01"], "datetime64[s]"))


def test_rounding_makes_no_moment():
    # 0.1005 s is 100.5 ms but for rounding, on either side.
    one = 0.1 + 0.0005 * np.arange(0, 40, 2)
    other = np.cumsum([0.1] + [0.001] * 19)
    X = concat_windows(
        [part("1", 20, onset=one + 5e-4), part("2", 20, onset=other + 5e-4)]
    )
    assert pairs_of(X) == {(k, 20 + k) for k in range(20)}
