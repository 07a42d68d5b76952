"""Samplers against brute force on random metadata."""

import json
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from sklearn_mdjpt.nn import (
    GroupBatch,
    LabelPairSampler,
    PairBatch,
    StimulusPairSampler,
)


def make_table(seed=0, n_windows=400, n_subjects=6):
    """Random metadata of three datasets, with gaps, repeats and missing values."""
    rng = np.random.default_rng(seed)

    def choose(*values):
        return rng.choice(np.array(values, object), n_windows)

    return {
        "datasets": choose("B", "A", "C"),
        "subjects": choose(*[f"s{i}" for i in range(n_subjects)]),
        "sessions": choose("1", "2", None),
        "stimuli": choose("x", "y", "z", "w", "", None),
        # Rounding errors well below 1 ms, as from another unit.
        "onsets": rng.choice([0.0, 2.0, 4.0, np.nan], n_windows)
        + rng.uniform(-1e-4, 1e-4, n_windows),
    }


def moment(table, row):
    stimulus, onset = table["stimuli"][row], table["onsets"][row]
    if stimulus in (None, "") or np.isnan(onset):
        return None
    return stimulus, round(onset * 1000)


def moments_of(table, dataset, session=...):
    """Moments by subject, by brute force."""
    found = {}
    for row in range(len(table["datasets"])):
        if table["datasets"][row] != dataset or moment(table, row) is None:
            continue
        if session is not ... and table["sessions"][row] != session:
            continue
        found.setdefault(table["subjects"][row], set()).add(moment(table, row))
    return found


def subjects_of(table, batch):
    a, b = set(table["subjects"][batch.rows_a]), set(table["subjects"][batch.rows_b])
    assert len(a) == len(b) == 1
    return a.pop(), b.pop()


def flat(batches):
    return [(b.dataset, b.rows_a.tolist(), b.rows_b.tolist()) for b in batches]


@pytest.mark.parametrize("seed", range(5))
def test_partners_saw_the_same_moment(seed):
    table = make_table(seed)
    sampler = StimulusPairSampler(**table, rng=seed)
    assert sampler.datasets == list(dict.fromkeys(table["datasets"]))
    assert sampler.left_out == []
    for _ in range(30):
        for batch in sampler.draw():
            assert isinstance(batch, PairBatch)
            assert batch.labels_a is None
            assert batch.rows_a.shape == batch.rows_b.shape
            assert batch.rows_a.dtype.kind == "i"
            a, b = subjects_of(table, batch)
            assert a != b
            rows = np.concatenate([batch.rows_a, batch.rows_b])
            assert set(table["datasets"][rows]) == {batch.dataset}
            for i, j in zip(batch.rows_a, batch.rows_b, strict=True):
                assert moment(table, i) == moment(table, j) is not None


@pytest.mark.parametrize("seed", range(5))
def test_number_of_pairs_and_the_session_rule(seed):
    # Few windows, so that pairs without a session, or with one stimulus, happen.
    table = make_table(seed, n_windows=150, n_subjects=4)
    sampler = StimulusPairSampler(**table, rng=seed)
    kinds = set()
    for _ in range(60):
        for batch in sampler.draw():
            a, b = subjects_of(table, batch)
            by_session = {}
            for session in ("1", "2", None):
                found = moments_of(table, batch.dataset, session)
                shared = found.get(a, set()) & found.get(b, set())
                if len(shared) > 1:  # a single moment has no negative
                    by_session[session] = shared
            if by_session:
                rows = np.concatenate([batch.rows_a, batch.rows_b])
                [session] = set(table["sessions"][rows])
                shared = by_session[session]
            else:
                found = moments_of(table, batch.dataset)
                shared = found[a] & found[b]
            drawn = [moment(table, row) for row in batch.rows_a]
            stimuli = {stimulus for stimulus, _ in shared}
            assert set(drawn) <= shared
            assert len(set(drawn)) == len(drawn)
            if len(stimuli) > 1:
                assert sorted(stimulus for stimulus, _ in drawn) == sorted(stimuli)
            else:
                assert len(drawn) == min(len(shared), 8)
            kinds.add((bool(by_session), len(stimuli) > 1))
    assert len(kinds) > 1


def test_pairs_of_subjects_are_drawn_without_replacement():
    table = make_table(n_windows=900)
    sampler = StimulusPairSampler(**table, rng=0)
    expected = {}
    for dataset in sampler.datasets:
        found = moments_of(table, dataset)
        expected[dataset] = {
            frozenset(pair)
            for pair in combinations(sorted(found), 2)
            if len(found[pair[0]] & found[pair[1]]) > 1
        }
    orders = []
    for _ in range(3):
        drawn = {dataset: [] for dataset in sampler.datasets}
        for _ in range(15):  # 6 subjects, all of which share something
            for batch in sampler.draw():
                drawn[batch.dataset].append(frozenset(subjects_of(table, batch)))
        for dataset in sampler.datasets:
            assert len(expected[dataset]) == 15
            assert set(drawn[dataset]) == expected[dataset]
        orders.append(drawn["A"])
    assert orders[0] != orders[1] != orders[2]


def test_everything_that_is_shared_is_drawn():
    # Two sessions, two moments of each stimulus, one moment seen twice by s1.
    rows = [
        (subject, session, stimulus, onset)
        for subject in ("s1", "s2")
        for session in (1, 2)
        for stimulus in ("x", "y")
        for onset in (0.0, 2.0)
    ]
    rows.append(("s1", 1, "x", 0.0))
    subjects, sessions, stimuli, onsets = zip(*rows, strict=True)
    sampler = StimulusPairSampler(
        ["A"] * len(rows), subjects, sessions, stimuli, onsets, rng=0
    )
    count = Counter()
    for _ in range(400):
        [batch] = sampler.draw()
        assert len(batch.rows_a) == 2
        count.update(batch.rows_a.tolist())
    assert set(count) == {*range(8), 16}
    # Each moment about 100 times, the doubled one shared between its two windows.
    for row in range(1, 8):
        assert 65 < count[row] < 135
    assert 65 < count[0] + count[16] < 135
    assert 25 < count[0] < 75


def test_one_shared_stimulus_gives_up_to_eight_moments():
    onsets = np.tile(np.arange(11) * 2.0, 2)
    subjects = np.repeat(["s1", "s2"], 11)
    n = len(onsets)
    sampler = StimulusPairSampler([1] * n, subjects, [0] * n, ["x"] * n, onsets, rng=0)
    [batch] = sampler.draw()
    assert len(set(batch.rows_a)) == 8
    assert (batch.rows_b - batch.rows_a == 11).all()


@pytest.mark.parametrize("seed", range(3))
def test_partners_of_any_onset_share_the_stimulus(seed):
    # Two subjects, one session, 5 stimuli of 4 moments each.
    places = [
        (s, k, o) for s in "ab" for k in range(5) for o in (0.0, 2.0, 4.0, np.nan)
    ]
    subjects, stimuli, onsets = map(np.array, zip(*places, strict=True))
    columns = (["A"] * 40, subjects, ["1"] * 40, stimuli, onsets)
    sampler = StimulusPairSampler(*columns, aligned=False, rng=seed)
    same = drawn = 0
    for _ in range(400):
        [batch] = sampler.draw()
        assert set(subjects[batch.rows_a]) == {"a"} and set(subjects[batch.rows_b]) == {
            "b"
        }
        # One pair of each stimulus, of moments that are drawn apart.
        assert stimuli[batch.rows_a].tolist() == stimuli[batch.rows_b].tolist()
        assert sorted(stimuli[batch.rows_a].tolist()) == sorted(np.unique(stimuli))
        same += ((batch.rows_b - batch.rows_a) == 20).sum()
        drawn += 5
    assert abs(same / drawn - 1 / 4) < 0.05
    # A single stimulus has no negatives.
    one = [np.asarray(c)[stimuli == stimuli[0]] for c in columns]
    assert StimulusPairSampler(*one, aligned=False, rng=0).left_out == ["A"]
    assert StimulusPairSampler(*one, rng=0).left_out == []


def test_seconds_and_counts_are_no_partners():
    # Three windows of each of four people: 0, 1, 2 are seconds for two of them.
    subjects = np.repeat(list("abcd"), 3)
    sampler = StimulusPairSampler(
        ["A"] * 12, subjects, ["1"] * 12, ["x"] * 12, np.tile([0.0, 1.0, 2.0], 4),
        counted=np.isin(subjects, ["b", "d"]), rng=0,
    )  # fmt: skip
    drawn = set()
    for _ in range(20):
        [batch] = sampler.draw()
        drawn.add(tuple(sorted(subjects[[batch.rows_a[0], batch.rows_b[0]]])))
        assert ((batch.rows_b - batch.rows_a) % 3 == 0).all()
    assert drawn == {("a", "c"), ("b", "d")}


def test_datasets_without_a_pair_are_left_out():
    table = {
        "datasets": ["solo", "late", "ok", "ok", "late", "solo", "gap", "gap"] * 2,
        "subjects": ["s1", "s1", "s1", "s2", "s2", "s1", "s1", "s2"] * 2,
        "sessions": [1] * 16,
        "stimuli": ["x", "x", "x", "x", "x", "x", "", ""]
        + ["y", "y", "y", "y", "y", "y", "", ""],
        "onsets": [0.0, 0.0, 0.0, 0.0004, 0.002, 0.0, 0.0, 0.0] * 2,
    }
    sampler = StimulusPairSampler(**table, rng=0)
    assert sampler.datasets == ["ok"]
    assert sampler.left_out == ["solo", "late", "gap"]
    [(name, rows_a, rows_b)] = flat(sampler.draw())
    assert name == "ok"
    assert sorted(zip(rows_a, rows_b, strict=True)) == [(2, 3), (10, 11)]

    table["onsets"][3] = 1.0
    sampler = StimulusPairSampler(**table, rng=0)
    assert sampler.datasets == []
    with pytest.raises(ValueError, match="No dataset .* 'ok'"):
        sampler.draw()


def test_sessions_count_before_they_are_ignored():
    # The two share x and z in session 1 of both, and y across sessions only.
    table = {
        "datasets": ["A"] * 6,
        "subjects": ["s1", "s1", "s1", "s2", "s2", "s2"],
        "sessions": [1, 1, 2, 1, 1, 3],
        "stimuli": ["x", "z", "y", "x", "z", "y"],
        "onsets": [0.0] * 6,
    }

    def draw():
        [(_, rows_a, rows_b)] = flat(StimulusPairSampler(**table, rng=0).draw())
        return sorted(zip(rows_a, rows_b, strict=True))

    assert draw() == [(0, 3), (1, 4)]
    table["sessions"] = [1, 1, 1, 2, 2, 2]
    assert draw() == [(0, 3), (1, 4), (2, 5)]
    # One shared moment in a session is too few: it would have no negative.
    table["sessions"] = [1, 2, 2, 1, 3, 3]
    assert draw() == [(0, 3), (1, 4), (2, 5)]


@pytest.fixture(params=["stimulus", "label"])
def make_sampler(request):
    def make(rng, n_subjects=6):
        table = make_table(n_subjects=n_subjects)
        if request.param == "stimulus":
            return StimulusPairSampler(**table, rng=rng)
        columns = (table[name] for name in ("datasets", "subjects", "stimuli"))
        return LabelPairSampler(*columns, n_windows=7, rng=rng)

    return make


def test_same_seed_same_batches(make_sampler):
    one, two, other = make_sampler(3), make_sampler(3), make_sampler(4)
    generator = make_sampler(np.random.default_rng(3))
    drawn = [flat(one.draw()) for _ in range(20)]
    assert drawn == [flat(two.draw()) for _ in range(20)]
    assert drawn == [flat(generator.draw()) for _ in range(20)]
    assert drawn != [flat(other.draw()) for _ in range(20)]


def test_global_random_state_is_left_alone(make_sampler):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make_sampler(0).draw()
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


@pytest.mark.parametrize("bit_generator", [np.random.PCG64, np.random.MT19937])
@pytest.mark.parametrize("n_before", [0, 7, 15, 31])
def test_resuming_draws_what_would_have_come(make_sampler, n_before, bit_generator):
    sampler = make_sampler(np.random.Generator(bit_generator(0)))
    for _ in range(n_before):
        sampler.draw()
    state = json.loads(json.dumps(sampler.state_dict()))
    expected = [flat(sampler.draw()) for _ in range(20)]
    resumed = make_sampler(np.random.Generator(bit_generator(99)))
    resumed.draw()
    resumed.load_state_dict(state)
    assert [flat(resumed.draw()) for _ in range(20)] == expected


def test_state_of_other_windows_is_refused(make_sampler):
    sampler = make_sampler(0, n_subjects=4)
    before = json.dumps(sampler.state_dict())
    with pytest.raises(ValueError, match="number of pairs"):
        sampler.load_state_dict(make_sampler(0).state_dict())
    assert json.dumps(sampler.state_dict()) == before


@pytest.mark.parametrize("seed", range(5))
def test_label_pairs(seed):
    table = make_table(seed)
    labels = table["stimuli"]
    sampler = LabelPairSampler(
        table["datasets"], table["subjects"], labels, n_windows=7, rng=seed
    )
    assert set(sampler.labels) == {"x", "y", "z", "w"}
    seen = {dataset: [] for dataset in sampler.datasets}
    for _ in range(15):
        for batch in sampler.draw():
            a, b = subjects_of(table, batch)
            seen[batch.dataset].append(frozenset((a, b)))
            for rows, codes in (
                (batch.rows_a, batch.labels_a),
                (batch.rows_b, batch.labels_b),
            ):
                assert set(table["datasets"][rows]) == {batch.dataset}
                assert [sampler.labels[code] for code in codes] == list(labels[rows])
                assert len(set(rows)) == len(rows) <= 7
            assert set(batch.labels_a) == set(batch.labels_b)
            assert len(set(batch.labels_a)) > 1
    for dataset, pairs in seen.items():
        labels_of = {}
        for name, subject, label in zip(
            table["datasets"], table["subjects"], labels, strict=True
        ):
            if name == dataset and label:
                labels_of.setdefault(subject, set()).add(label)
        expected = {
            frozenset((a, b))
            for a, b in combinations(labels_of, 2)
            if len(labels_of[a] & labels_of[b]) >= 2
        }
        # 15 draws; a pair comes back only once all have been drawn.
        assert set(pairs) == expected
        assert len(set(pairs[: len(expected)])) == len(expected)


def test_label_pairs_are_balanced():
    # s1 has 20 windows of each label, s2 has 1 of "c".
    subjects = ["s1"] * 60 + ["s2"] * 41
    labels = ["a"] * 20 + ["b"] * 20 + ["c"] * 20 + ["a"] * 20 + ["b"] * 20 + ["c"]
    sampler = LabelPairSampler(["A"] * 101, subjects, labels, n_windows=9, rng=0)
    [batch] = sampler.draw()
    assert np.bincount(batch.labels_a).tolist() == [3, 3, 3]
    assert np.bincount(batch.labels_b).tolist() == [4, 4, 1]


def test_fewer_windows_than_labels_gives_both_the_same_labels():
    sampler = LabelPairSampler(
        ["A"] * 10, ["s1"] * 5 + ["s2"] * 5, [*range(5)] * 2, n_windows=2, rng=0
    )
    drawn = set()
    for _ in range(30):
        [batch] = sampler.draw()
        assert set(batch.labels_a) == set(batch.labels_b)
        assert len(batch.rows_a) == len(batch.rows_b) == 2
        drawn |= set(batch.labels_a)
    assert len(drawn) == 5


def test_one_shared_label_is_not_enough():
    subjects = ["s1", "s1", "s2", "s2", "s3", "s3"]
    labels = ["a", "b", "b", "c", "c", "b"]
    sampler = LabelPairSampler(["A"] * 6, subjects, labels, rng=0)
    assert {frozenset(subjects_of_rows(subjects, b)) for b in sampler.draw()} == {
        frozenset(("s2", "s3"))
    }
    sampler = LabelPairSampler(["A"] * 4, subjects[:4], labels[:4], rng=0)
    assert sampler.left_out == ["A"]


def subjects_of_rows(subjects, batch):
    return {subjects[row] for row in (*batch.rows_a, *batch.rows_b)}


@pytest.mark.parametrize("seed", range(20))
def test_windows_are_spread_evenly_over_labels(seed):
    rng = np.random.default_rng(seed)
    available = rng.integers(1, 6, rng.integers(2, 6))
    total = int(rng.integers(2, 20))
    labels = np.repeat(np.arange(len(available)), available)
    n = len(labels)
    sampler = LabelPairSampler(
        ["A"] * 2 * n, ["s1"] * n + ["s2"] * n, [*labels, *labels], n_windows=total,
        rng=0,
    )  # fmt: skip
    [batch] = sampler.draw()
    counts = np.bincount(batch.labels_a, minlength=len(available))
    assert counts.sum() == min(total, available.sum())
    assert (counts <= available).all()
    # Nobody has two more than another who could have had one more.
    short = counts[counts < available]
    if len(short):
        assert counts.max() <= short.min() + 1


def test_errors():
    with pytest.raises(ValueError, match="stimuli has 1 entries, .* 2 windows"):
        StimulusPairSampler(["A"] * 2, [1, 2], [1, 1], ["x"], [0, 0], rng=0)
    with pytest.raises(ValueError, match="labels has 3 entries, .* 2 windows"):
        LabelPairSampler(["A"] * 2, [1, 2], [1, 1, 2], rng=0)
    with pytest.raises(ValueError, match="at least 2, for two labels; got 1"):
        LabelPairSampler(["A"] * 2, [1, 2], [1, 1], n_windows=1, rng=0)


def test_a_hundred_thousand_windows():
    n_subjects, n_stimuli, n_onsets = 123, 28, 30
    grid = np.indices((n_subjects, n_stimuli, n_onsets)).reshape(3, -1)
    n = grid.shape[1]
    sampler = StimulusPairSampler(
        ["FACED"] * n, grid[0], ["1"] * n, grid[1], grid[2] * 2.0, rng=0
    )
    for _ in range(100):
        [batch] = sampler.draw()
    assert n > 100_000
    assert len(batch.rows_a) == n_stimuli
    a, b = grid[:, batch.rows_a], grid[:, batch.rows_b]
    assert len(set(a[0])) == len(set(b[0])) == 1 and a[0, 0] != b[0, 0]
    np.testing.assert_array_equal(a[1:], b[1:])


# More than two subjects -------------------------------------------------------------


@pytest.mark.parametrize("n_subjects", [3, 6, 20])
def test_groups_share_moments(n_subjects):
    table = make_table(n_windows=900)
    sampler = StimulusPairSampler(**table, n_subjects=n_subjects, rng=0)
    seen = set()
    for _ in range(30):
        for batch in sampler.draw():
            assert isinstance(batch, GroupBatch)
            rows, subjects, kinds = batch.rows, batch.subjects, batch.kinds
            assert (table["datasets"][rows] == batch.dataset).all()
            # Numbers are subjects, one to one; nobody has a moment twice.
            names = table["subjects"][rows]
            pairs = set(zip(subjects.tolist(), names, strict=True))
            n_drawn = len(set(subjects.tolist()))
            assert len(pairs) == n_drawn == len(set(names)) <= min(n_subjects, 6)
            assert set(subjects.tolist()) == set(range(n_drawn))
            assert len(set(zip(subjects, kinds, strict=True))) == len(rows)
            found = [moment(table, row) for row in rows]
            assert len(set(zip(kinds.tolist(), found, strict=True))) == len(set(found))
            counts = Counter(kinds.tolist())
            assert min(counts.values()) >= 2 and len(counts) >= 2
            assert len({stimulus for stimulus, _ in found}) == len(counts)
            sessions = {str(s) for s in table["sessions"][rows]}
            assert len(sessions) == 1
            seen |= {n_drawn}
    assert max(seen) == min(n_subjects, 6)


def test_two_subjects_are_drawn_as_ever():
    table = make_table()
    pairs, same = (
        StimulusPairSampler(**table, rng=3, **options)
        for options in ({}, {"n_subjects": 2})
    )
    for _ in range(20):
        assert flat(pairs.draw()) == flat(same.draw())


def test_people_who_share_nothing_are_not_joined():
    """Two halves of a dataset saw other clips: a group is of one half."""
    subjects = np.repeat([f"s{i}" for i in range(8)], 3)
    stimuli = np.concatenate([["a", "b", "c"] * 4, ["d", "e", "f"] * 4])
    sampler = StimulusPairSampler(
        ["D"] * 24, subjects, [1] * 24, stimuli, [0.0] * 24, n_subjects=8, rng=0
    )
    halves = set()
    for _ in range(30):
        [batch] = sampler.draw()
        half = {int(name[1]) // 4 for name in subjects[batch.rows]}
        assert len(half) == 1 and len(batch.rows) == 12
        halves |= half
    assert halves == {0, 1}


def test_people_who_share_some_clips_bring_these():
    """The chain 0-1-2 of overlapping clips: all that two have is drawn."""
    subjects = ["s0"] * 3 + ["s1"] * 4 + ["s2"] * 3
    stimuli = ["a", "b", "x"] + ["a", "b", "c", "d"] + ["c", "d", "y"]
    sampler = StimulusPairSampler(
        ["D"] * 10, subjects, [1] * 10, stimuli, [0.0] * 10, n_subjects=3, rng=0
    )
    [batch] = sampler.draw()
    assert sorted(batch.rows.tolist()) == [0, 1, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("n_subjects", [3, 5])
def test_groups_by_label(n_subjects):
    table = make_table()
    labels = table["stimuli"]
    sampler = LabelPairSampler(
        table["datasets"], table["subjects"], labels, n_windows=8,
        n_subjects=n_subjects, rng=0,
    )  # fmt: skip
    for _ in range(20):
        for batch in sampler.draw():
            assert len(set(batch.subjects.tolist())) == n_subjects
            found = [sampler.labels[k] for k in batch.kinds]
            assert found == labels[batch.rows].tolist()
            assert max(Counter(batch.subjects.tolist()).values()) <= 8


def test_a_sampler_of_groups_goes_on_where_it_stood():
    table = make_table()
    first, second = (
        StimulusPairSampler(**table, n_subjects=4, rng=seed) for seed in (0, 1)
    )
    for _ in range(7):
        first.draw()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for _ in range(10):
        for a, b in zip(first.draw(), second.draw(), strict=True):
            np.testing.assert_array_equal(a.rows, b.rows)
            np.testing.assert_array_equal(a.kinds, b.kinds)


@pytest.mark.parametrize("n_subjects", [1, 2.5, "2", None])
def test_numbers_of_subjects_that_make_no_group(n_subjects):
    with pytest.raises(ValueError, match=rf"n_subjects .* 2, got {n_subjects!r}"):
        StimulusPairSampler(**make_table(), n_subjects=n_subjects, rng=0)
