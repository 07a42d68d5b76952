"""Splitters: what is left out is out, for every split, with and without EEGWindows."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    LeaveOneGroupOut,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import DifferentialEntropy, EEGWindows, concat_windows
from sklearn_mdjpt.model_selection import (
    CrossContext,
    FewShotSubjects,
    LeakageWarning,
    LeaveOneDatasetOut,
    LeaveSubjectsAndStimuliOut,
    LeaveSubjectsOut,
    assert_disjoint,
)

SPLITTERS = [
    LeaveSubjectsOut(),
    LeaveSubjectsOut(2, random_state=0),
    LeaveOneDatasetOut(),
    FewShotSubjects(n_splits=4, random_state=0),
    FewShotSubjects(2, n_splits=3, random_state=0),
    LeaveSubjectsAndStimuliOut(n_stimulus_splits=2, random_state=0),
    LeaveSubjectsAndStimuliOut(3, 3, random_state=0),
]


@pytest.fixture
def windows(make_windows):
    """Two datasets of 5 and 4 subjects, with 6 stimuli each."""
    return concat_windows(
        [
            make_windows(("A",), n_subjects=5, n_stimuli=6, trial_seconds=2.0),
            make_windows(("B",), n_subjects=4, n_stimuli=6, trial_seconds=2.0),
        ]
    )


def names(X, rows, level):
    return set(X.groups(level)[rows])


@pytest.mark.parametrize("splitter", SPLITTERS, ids=repr)
def test_nothing_is_on_both_sides(windows, splitter):
    splits = list(splitter.split(windows, windows.y))
    assert len(splits) == splitter.get_n_splits(windows)
    for train, test in splits:
        assert len(train) and len(test)
        assert not set(train) & set(test)
        levels = ["subject", "trial", "window"]
        if isinstance(splitter, LeaveSubjectsAndStimuliOut):
            levels.append("stimulus")
        assert assert_disjoint(windows[train], windows[test], by=levels) == []
        assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()


@pytest.mark.parametrize("splitter", SPLITTERS, ids=repr)
def test_splits_go_by_subject_and_not_by_row(windows, splitter):
    order = np.random.default_rng(0).permutation(len(windows))
    shuffled = windows[order]
    first = list(splitter.split(windows, windows.y))
    second = list(splitter.split(shuffled, shuffled.y))
    for (train, test), (train2, test2) in zip(first, second, strict=True):
        assert sorted(order[train2]) == train.tolist()
        assert sorted(order[test2]) == test.tolist()


@pytest.mark.parametrize("splitter", SPLITTERS, ids=repr)
def test_splits_are_repeated_by_an_int_and_survive_clone(windows, splitter):
    first = [test.tolist() for _, test in splitter.split(windows, windows.y)]
    second = [test.tolist() for _, test in splitter.split(windows, windows.y)]
    assert first == second
    same = clone(splitter, safe=False)
    assert [t.tolist() for _, t in same.split(windows, windows.y)] == first


@pytest.mark.parametrize("splitter", SPLITTERS, ids=repr)
def test_scikit_learn_takes_them(windows, splitter):
    model = make_pipeline(
        DifferentialEntropy(channels="canonical"),
        LogisticRegression(C=0.01, max_iter=5000),
    )
    n = splitter.get_n_splits(windows)
    assert len(cross_val_score(model, windows, windows.y, cv=splitter)) == n
    with config_context(enable_metadata_routing=True):
        assert len(cross_val_score(model, windows, windows.y, cv=splitter)) == n
    search = GridSearchCV(model, {"logisticregression__C": [0.01]}, cv=splitter)
    assert search.fit(windows, windows.y).n_splits_ == n


@pytest.mark.parametrize("routing", [False, True])
def test_groups_stand_in_for_windows(routing):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 3)), np.tile([0, 1], 20)
    subjects = np.repeat(np.arange(8), 5)
    splitter = LeaveSubjectsOut(4, random_state=0)
    with config_context(enable_metadata_routing=routing):
        given = {"params": {"groups": subjects}} if routing else {"groups": subjects}
        scores = cross_val_score(LogisticRegression(), X, y, cv=splitter, **given)
    assert len(scores) == 4
    with pytest.raises(ValueError, match="subjects are not known: pass groups"):
        next(splitter.split(X, y))
    with pytest.raises(ValueError, match="groups has 3 entries for 40 windows"):
        next(splitter.split(X, y, subjects[:3]))
    missing = pd.Series(subjects).where(subjects > 0)
    with pytest.raises(ValueError, match="5 of 40 windows have no subject"):
        next(splitter.split(X, y, missing))


def test_routing_can_rename_groups(windows):
    with config_context(enable_metadata_routing=True):
        splitter = LeaveSubjectsOut(2).set_split_request(groups="subjects")
        X = np.random.default_rng(0).standard_normal((len(windows), 2))
        scores = cross_val_score(
            LogisticRegression(), X, windows.y, cv=splitter,
            params={"subjects": windows.groups("subject")},
        )  # fmt: skip
    assert len(scores) == 2


def test_one_subject_at_a_time_is_leave_one_group_out(windows):
    subjects = windows.groups("subject")
    expected = LeaveOneGroupOut().split(windows, windows.y, subjects)
    found = LeaveSubjectsOut().split(windows)
    for (train, test), (train2, test2) in zip(expected, found, strict=True):
        assert train.tolist() == train2.tolist() and test.tolist() == test2.tolist()


def test_each_dataset_is_left_out(windows):
    left = [
        names(windows, test, "dataset")
        for _, test in LeaveOneDatasetOut().split(windows)
    ]
    assert left == [{"A"}, {"B"}]
    one = windows[windows.groups("dataset") == "A"]
    with pytest.raises(ValueError, match="at least two; there is only 'A'"):
        next(LeaveOneDatasetOut().split(one))


# Few-shot ---------------------------------------------------------------------


def test_the_share_holds_within_each_dataset(windows):
    for train, test in FewShotSubjects(0.5, 6, random_state=0).split(windows):
        trained = [name.split("/")[0] for name in names(windows, train, "subject")]
        # 2.5 of 5 are rounded up.
        assert (trained.count("A"), trained.count("B")) == (3, 2)
        assert len(train) + len(test) == len(windows)


def test_splits_differ_from_each_other(make_windows):
    X = make_windows(n_subjects=5, n_stimuli=3, trial_seconds=1.0)
    splits = list(FewShotSubjects(1, 5, random_state=0).split(X))
    assert len({tuple(train) for train, _ in splits}) == 5
    with pytest.raises(ValueError, match="n_splits=6, but there are only 5 ways"):
        next(FewShotSubjects(1, 6).split(X))


def test_many_subjects_are_drawn_without_listing_all():
    subjects = np.repeat(np.arange(60), 2)
    y = np.tile([0, 1], 60)
    X = np.zeros((120, 1))
    splits = list(FewShotSubjects(0.25, 6, random_state=0).split(X, y, subjects))
    assert len({tuple(train) for train, _ in splits}) == 6
    assert all(len(set(subjects[train])) == 15 for train, _ in splits)
    # Each is as likely as the others: in 200 splits of 15, about 50 times each.
    splits = FewShotSubjects(0.25, 200, random_state=0).split(X, y, subjects)
    counts = np.zeros(60)
    for train, _ in splits:
        counts[np.unique(subjects[train])] += 1
    assert 25 < counts.min() and counts.max() < 75


@pytest.mark.parametrize("n_subjects", [6, 40])
def test_training_subjects_have_all_classes(n_subjects):
    # Half of the subjects have one class only.
    subjects = np.repeat(np.arange(n_subjects), 4)
    y = np.where(np.arange(len(subjects)) % 2, "a", "b")
    y[subjects < n_subjects // 2] = "a"
    X = np.zeros((len(y), 1))
    splitter = FewShotSubjects(1, n_subjects // 2, random_state=0)
    for train, _ in splitter.split(X, y, subjects):
        assert set(y[train]) == {"a", "b"}
    too_many = FewShotSubjects(1, n_subjects // 2 + 1)
    with pytest.raises(
        ValueError, match="of which . have all classes|of which 20 have"
    ):
        next(too_many.split(X, y, subjects))
    # Without labels it does not matter.
    assert len(list(too_many.split(X, None, subjects))) == n_subjects // 2 + 1


@pytest.mark.parametrize(
    "train_size, message",
    [
        (0, "train_size must be an int >= 1 and <= 3"),
        (4, "train_size must be an int >= 1 and <= 3"),
        (1.0, "train_size.* > 0 and < 1, got"),
        (0.0, "train_size.* > 0 and < 1, got"),
        ("a quarter", "train_size.* > 0 and < 1, got"),
        (True, "train_size must be an int >= 1 and <= 3"),
    ],
)
def test_wrong_shares_are_refused(make_windows, train_size, message):
    X = make_windows(n_subjects=4, n_stimuli=3, trial_seconds=1.0)
    with pytest.raises(ValueError, match=message):
        next(FewShotSubjects(train_size).split(X))


def test_wrong_numbers_of_splits_are_refused(make_windows):
    X = make_windows(n_subjects=3, n_stimuli=3, trial_seconds=1.0)
    with pytest.raises(ValueError, match="n_splits must be an int >= 1, got 0"):
        next(FewShotSubjects(n_splits=0).split(X))
    with pytest.raises(ValueError, match="n_splits=4 needs more subjects: there are 3"):
        next(LeaveSubjectsOut(4).split(X))
    with pytest.raises(ValueError, match="n_stimulus_splits=4, but there are 3"):
        next(LeaveSubjectsAndStimuliOut(n_stimulus_splits=4).split(X))
    one = X[X.groups("subject") == "A/01"]
    with pytest.raises(ValueError, match="leaving one out needs more subjects"):
        next(LeaveSubjectsOut().split(one))
    with pytest.raises(ValueError, match="at least two subjects of a dataset, got 1"):
        next(FewShotSubjects().split(one))


# Subjects and stimuli ---------------------------------------------------------


def test_each_window_is_tested_once(windows):
    splitter = LeaveSubjectsAndStimuliOut(n_stimulus_splits=3, random_state=0)
    tested = np.concatenate([test for _, test in splitter.split(windows, windows.y)])
    assert sorted(tested) == list(range(len(windows)))


def test_training_windows_are_all_that_share_neither(windows):
    splitter = LeaveSubjectsAndStimuliOut(n_stimulus_splits=2, random_state=0)
    subjects, stimuli = windows.groups("subject"), windows.groups("stimulus")
    for train, test in splitter.split(windows, windows.y):
        shared = np.isin(subjects, subjects[test]) | np.isin(stimuli, stimuli[test])
        # In the other dataset clips of the same fold are left out as well.
        own = np.char.startswith(subjects, subjects[test][0][0])
        expected = np.flatnonzero(~shared & own)
        assert set(expected) == set(np.array(train)[own[train]])


def test_classes_are_dealt_out_evenly(windows):
    # Six stimuli with three labels, in two folds: each fold has all labels.
    for seed in range(5):
        splitter = LeaveSubjectsAndStimuliOut(n_stimulus_splits=2, random_state=seed)
        for train, test in splitter.split(windows, windows.y):
            assert len(set(windows.y[test])) == 3
            assert len(set(windows.y[train])) == 3


def test_two_columns_stand_in_for_windows(windows):
    groups = np.stack([windows.groups("subject"), windows.groups("stimulus")], axis=1)
    X = np.zeros((len(windows), 2))
    splitter = LeaveSubjectsAndStimuliOut(3, 2, random_state=0)
    for columns in (groups, groups.tolist(), pd.DataFrame(groups)):
        splits = list(splitter.split(X, windows.y, columns))
        assert len(splits) == 6 == splitter.get_n_splits(X, windows.y, columns)
        for train, test in splits:
            for k in range(2):
                assert not set(groups[train, k]) & set(groups[test, k])
    scores = cross_val_score(
        LogisticRegression(), X, windows.y, groups=groups, cv=splitter
    )
    assert len(scores) == 6
    with pytest.raises(
        ValueError, match=r"two columns.*\(108, 3\)|two columns.*got \("
    ):
        next(splitter.split(X, windows.y, groups[:, 0]))


def test_splits_that_cannot_be_are_named(make_windows):
    X = make_windows(n_subjects=3, n_stimuli=2, trial_seconds=1.0)
    y = np.array(["a", "b"] * 3)
    with pytest.raises(ValueError, match="training windows .* all of one class"):
        list(LeaveSubjectsAndStimuliOut(n_stimulus_splits=2).split(X, y))
    # Each subject has seen a clip of its own.
    metadata = X.metadata
    own = EEGWindows.from_arrays(
        np.random.default_rng(0).standard_normal((6, 2, 50)), ch_names=["Cz", "Pz"],
        sfreq=50, subject=metadata["subject"], stimulus=metadata["subject"], y=y,
        dataset="A",
    )  # fmt: skip
    with pytest.raises(ValueError, match="0 test and . training windows; choose fewer"):
        list(LeaveSubjectsAndStimuliOut(n_stimulus_splits=2).split(own, y))
    without = EEGWindows.from_arrays(
        np.random.default_rng(0).standard_normal((6, 2, 50)), ch_names=["Cz", "Pz"],
        sfreq=50, subject=metadata["subject"], y=y,
    )  # fmt: skip
    with pytest.raises(ValueError, match="6 of 6 windows have no stimulus"):
        list(LeaveSubjectsAndStimuliOut().split(without, y))


# What is on both sides --------------------------------------------------------


def test_overlaps_are_named_by_level(windows):
    train, test = next(KFold(4, shuffle=True, random_state=0).split(windows))
    with pytest.raises(
        ValueError, match=r"^9 subjects are in both train and test: A/01"
    ):
        assert_disjoint(windows[train], windows[test])
    with pytest.raises(ValueError, match="subjects are .*; 2. trials are in both"):
        assert_disjoint(windows[train], windows[test], by=("subject", "trial"))
    with pytest.warns(LeakageWarning, match="2 datasets are in both"):
        found = assert_disjoint(
            windows[train], windows[test], by=("dataset", "stimulus"), on_overlap="warn"
        )
    assert found == ["dataset", "stimulus"]


def test_windows_that_share_samples_are_found(make_recordings):
    X = EEGWindows.from_recordings(
        make_recordings(n_subjects=2, n_stimuli=2, trial_seconds=4.0),
        window_seconds=2.0, stride_seconds=1.0,
    )  # fmt: skip
    # Three windows a trial, at 0, 1 and 2 s: the first and the last only touch.
    onsets = X.metadata["onset"].to_numpy()
    assert assert_disjoint(X[onsets == 0], X[onsets == 2], by="window") == []
    with pytest.raises(ValueError, match="^4 training windows share samples"):
        assert_disjoint(X[onsets == 0], X[onsets == 1], by="window")
    with pytest.raises(ValueError, match="^8 training windows share samples"):
        assert_disjoint(X[onsets != 1], X[onsets == 1], by="window")


def test_windows_of_arrays_overlap_only_with_themselves():
    X = EEGWindows.from_arrays(
        np.random.default_rng(0).standard_normal((6, 2, 50)), ch_names=["Cz", "Pz"],
        sfreq=50, subject=["a"] * 6,
    )  # fmt: skip
    assert assert_disjoint(X[:3], X[3:], by="window") == []
    with pytest.raises(ValueError, match="1 training windows share"):
        assert_disjoint(X[:4], X[3:], by="window")


def test_what_is_not_known_is_said(make_windows):
    X = EEGWindows.from_arrays(
        np.random.default_rng(0).standard_normal((6, 2, 50)), ch_names=["Cz", "Pz"],
        sfreq=50, subject=["a"] * 3 + ["b"] * 3,
    )  # fmt: skip
    with pytest.warns(LeakageWarning, match="3 of 3 training windows have no trial"):
        assert assert_disjoint(X[:3], X[3:]) == []


def test_arrays_are_compared_by_value(windows):
    assert assert_disjoint(["a", "b"], ["c"], by="patient") == []
    with pytest.raises(ValueError, match="1 patient is in both train and test: b"):
        assert_disjoint(["a", "b"], ["b", "b"], by="patient")
    with pytest.raises(TypeError, match="must both be EEGWindows"):
        assert_disjoint(windows, ["a"])
    with pytest.raises(ValueError, match="by must be one of"):
        assert_disjoint(windows, windows, by="person")
    with pytest.raises(ValueError, match="on_overlap must be"):
        assert_disjoint(["a"], ["b"], by="x", on_overlap="ignore")


# From one context to another ---------------------------------------------------------


@pytest.fixture(scope="module")
def contexts():
    """Five people with windows of clips and of imagination; the last has clips only."""
    subjects = np.repeat([f"s{k}" for k in range(5)], 4)
    sessions = np.tile(["vid", "ima", "vid", "ima"], 5)
    sessions[-4:] = "vid"
    return EEGWindows.from_arrays(
        np.ones((20, 1, 50)), ch_names=["Cz"], sfreq=10, dataset="D",
        subject=subjects, session=sessions, y=np.tile(["sad", "sad", "joy", "joy"], 5),
    )  # fmt: skip


@pytest.mark.parametrize("n_splits", [None, 2])
def test_neither_people_nor_contexts_are_shared(contexts, n_splits):
    splitter = CrossContext("vid", "ima", n_splits=n_splits, random_state=0)
    sessions, subjects = contexts.metadata["session"], contexts.groups("subject")
    splits = list(splitter.split(contexts, contexts.y))
    # Who has no window in the test context is in no test set.
    assert len(splits) == splitter.get_n_splits(contexts) == (n_splits or 4)
    for train, test in splits:
        assert set(sessions[train]) == {"vid"} and set(sessions[test]) == {"ima"}
        assert not set(subjects[train]) & set(subjects[test])
    if n_splits is None:  # all that may be trained on is
        for train, test in splits:
            others = ~np.isin(subjects, subjects[test]) & (sessions == "vid")
            assert train.tolist() == np.flatnonzero(others).tolist()
    tested = np.concatenate([test for _, test in splits])
    assert sorted(tested) == np.flatnonzero(sessions == "ima").tolist()


def test_contexts_may_be_of_another_column_and_go_through_cross_validation(contexts):
    scores = cross_val_score(
        DummyClassifier(),
        contexts,
        contexts.y,
        cv=CrossContext("sad", "joy", column="label"),
    )
    assert scores.tolist() == [0.0] * 5  # trained on the other label alone


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train": "video"}, "train='video'.*'session' has ima, vid"),
        ({"test": "imagery"}, "test='imagery'.*'session' has ima, vid"),
        ({"column": "place"}, "column='place'.*dataset, subject"),
    ],
)
def test_contexts_that_are_not_there(contexts, given, message):
    splitter = CrossContext(**{"train": "vid", "test": "ima"} | given)
    with pytest.raises(ValueError, match=message):
        next(splitter.split(contexts))


def test_contexts_need_windows(contexts):
    splitter = CrossContext("vid", "ima")
    with pytest.raises(TypeError, match="EEGWindows, got ndarray"):
        next(splitter.split(np.ones((4, 1, 50)), groups=[0, 0, 1, 1]))
    with pytest.raises(ValueError, match="X has no windows"):
        next(splitter.split(contexts[[]]))
