"""Ids and labels: one person has one name, two have two, from whatever file."""

import datetime
import itertools
import pickle
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from settings import tiny_encoder
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import (
    CovarianceAlignment,
    DifferentialEntropy,
    EEGWindows,
    LDSSmoother,
    MDJPTEncoder,
    Recording,
    RunningNormalizer,
    SubjectScaler,
    WindowFeatures,
    concat_windows,
)
from sklearn_mdjpt._validation import join_ids, split_ids
from sklearn_mdjpt.evaluation import (
    assert_unseen,
    few_shot,
    leave_one_dataset_out,
    leave_subjects_out,
)
from sklearn_mdjpt.model_selection import (
    FewShotSubjects,
    LeakageWarning,
    LeaveOneDatasetOut,
    LeaveSubjectsAndStimuliOut,
    LeaveSubjectsOut,
    assert_disjoint,
)

CELLS = np.empty((6, 1), dtype=object)  # as scipy.io.loadmat gives cells of texts
CELLS[:, 0] = [np.array([text]) for text in ("joy", "fear ", "joy", "fear", "joy", "x")]


def windows(n=6, n_times=100, **columns):
    """Windows of random numbers, the same in each call."""
    signal = 1e-5 * np.random.default_rng(0).standard_normal((n, 3, n_times))
    return EEGWindows.from_arrays(
        signal, ch_names=["Fz", "Cz", "Pz"], sfreq=100.0, **columns
    )


def people(names="abc", **columns):
    """Four windows of each person, of two trials with two labels."""
    n = 4 * len(names)
    return windows(
        n,
        subject=np.repeat(list(names), 4),
        trial=np.tile(np.repeat(["1", "2"], 2), len(names)),
        stimulus=np.tile(np.repeat(["clip1", "clip2"], 2), len(names)),
        onset=np.tile([0.0, 1.0], n // 2),
        y=np.tile(np.repeat(["fear", "joy"], 2), len(names)),
        **columns,
    )


def entropy_model():
    return make_pipeline(DifferentialEntropy(), LogisticRegression())


def two_unnamed_sets():
    """Two sessions of the same people, made by two calls without dataset=."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return concat_windows([people(session=1), people(session=2)])


def id_of(value):
    """What a subject is called that a file gives by this value."""
    column = pd.Series(["a", value], dtype=object)
    return windows(2, subject=column).metadata["subject"][1]


def label_of(value):
    return windows(2, y=pd.Series(["a", value], dtype=object)).y[1]


def has_a_name(X):
    """Whether a training remembers the one dataset in X by its name."""
    names = tiny_encoder().fit(X).training_datasets_
    assert names in ([], sorted(set(X.groups("dataset"))))
    return bool(names)


# One name for one thing -----------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        b"07", np.bytes_(b"07"), np.array([b"07"], "S8")[0], bytearray(b"07\0\0"),
        memoryview(b"07"), " 07", "07\t\r\n", "07\N{NO-BREAK SPACE}", "\ufeff07",
        "07\0", np.str_("07 "), np.array("07"), np.array(b"07"), np.array([["07"]]),
        np.array([np.array(["07"])], object), ["07"],
    ],
)  # fmt: skip
def test_a_text_is_an_id_however_it_is_kept(value):
    assert id_of(value) == label_of(value) == "07"
    assert type(id_of(value)) is str


@pytest.mark.parametrize(
    "value", [3, 3.0, np.int8(3), np.float32(3), np.array(3), Decimal("3.0"), "3", b"3"]
)
def test_whole_numbers_are_ids(value):
    assert id_of(value) == "3"


@pytest.mark.parametrize(
    "value",
    [
        None, np.nan, np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), "", "  ",
        np.array(["joy", np.nan])[1], "<NA>",
        b"", b"\0\0", np.ma.masked, Decimal("NaN"), np.array([]), [],
    ],
)  # fmt: skip
def test_what_is_missing_is_no_id(value):
    assert pd.isna(id_of(value))


def test_other_values_become_what_they_are_called():
    values = (True, np.False_, 2.5)
    assert [id_of(value) for value in values] == ["True", "False", "2.5"]
    assert id_of("Ame\u0301lie") == id_of("Am\u00e9lie") == id_of("Amélie".encode())
    day = datetime.date(2020, 1, 31)
    days = (day, pd.Timestamp(day), np.datetime64(day), np.datetime64(day, "ns"))
    assert {id_of(value) for value in days} == {"2020-01-31"}


@pytest.mark.parametrize(
    "value, error, match",
    [
        (b"M\xfcller", ValueError, r"text in UTF-8, .*xfcller'; decode them"),
        ("joy".encode("utf-16-le"), ValueError, r"zeros among them.*decode\('utf-16'"),
        (["a", "b"], TypeError, "one name or number, got 2 together"),
        (np.arange(2), TypeError, "got 2 together"),
        ({"a": 1}, TypeError, "got dict"),
    ],
)
def test_what_can_be_no_id_is_refused(value, error, match):
    with pytest.raises(error, match=f"^subject of row 1: .*{match}"):
        windows(2, subject=pd.Series(["a", value], dtype=object))


def test_people_from_h5py_and_from_a_table_are_the_same(tmp_path):
    h5py = pytest.importorskip("h5py")
    who = np.repeat(["01", "02"], 3)
    with h5py.File(tmp_path / "ids.h5", "w") as file:
        file["object"], file["fixed"] = who.astype(object), who.astype("S4")
        parts = [
            windows(subject=file[name][:], stimulus=file[name], dataset=b"lab")
            for name in ("object", "fixed")
        ]
    for part in parts:
        assert part.groups("subject").tolist() == [f"lab/{name}" for name in who]
        assert part.groups("stimulus").tolist() == [f"lab/{name}" for name in who]
        with pytest.raises(ValueError, match="2 subjects are in both train and test"):
            assert_disjoint(part, windows(subject=who, dataset="lab"), by="subject")


def test_people_of_two_files_are_paired():
    """Person a with ids as bytes, person b with ids as text: the same two clips."""
    X = people("ab", dataset="lab")
    table = X.metadata
    as_bytes = {
        name: np.array([value.encode() for value in table[name]], object)
        for name in ("subject", "stimulus")
    }
    given = {"onset": table["onset"], "dataset": "lab", "n_times": 200}
    mixed = concat_windows(
        [
            windows(8, **as_bytes, **given)[:4],
            windows(8, subject=table["subject"], stimulus=table["stimulus"], **given)[
                4:
            ],
        ]
    )
    encoder = tiny_encoder().fit(mixed)
    assert encoder.training_subjects_ == ["lab/a", "lab/b"]


def test_keywords_of_transformers_are_ids_like_those_of_windows():
    Z = np.random.default_rng(0).standard_normal((6, 2))
    trials, onsets = ["1", "1", "2", "2", "2", "2"], np.arange(6.0)
    subjects = np.repeat(["a", "b"], 3)
    ways = (
        subjects.astype("S3"),
        [" a", "a ", "a", b"b", "b\0", np.array(["b"])],
        subjects[:, None],
        subjects[None],
        pd.DataFrame({"who": subjects}),
    )
    expected = SubjectScaler().fit_transform(Z, subjects=subjects)
    for way in ways:
        found = SubjectScaler().fit_transform(Z, subjects=way)
        np.testing.assert_array_equal(found, expected)
    for smoother in (LDSSmoother(), RunningNormalizer()):
        given = {"subjects": subjects, "trials": trials, "onsets": onsets}
        known = {name: given[name] for name in given if name in _keywords(smoother)}
        columns = {name: np.asarray(ids)[:, None] for name, ids in known.items()}
        np.testing.assert_array_equal(
            smoother.fit_transform(Z, **columns), smoother.fit_transform(Z, **known)
        )
    A = np.random.default_rng(0).standard_normal((6, 3, 50))
    A = A @ A.transpose(0, 2, 1)
    expected = CovarianceAlignment().fit_transform(A, domains=subjects)
    coded = [f"{name}/joy" for name in subjects]
    for found in (
        CovarianceAlignment().fit_transform(A, domains=subjects.astype("S1")),
        CovarianceAlignment().fit_transform(A, sample_domain=subjects[:, None]),
    ):
        np.testing.assert_array_equal(found, expected)
    with pytest.warns(UserWarning, match="'domain/label', with domains a, b"):
        fitted = CovarianceAlignment().fit(A, np.array(coded, "S9")[:, None])
    assert list(fitted.means_) == ["a", "b"]


def _keywords(estimator):
    return set(estimator.get_metadata_routing().fit_transform.requests)


def test_ids_beside_windows_are_compared_as_ids():
    X = people(dataset="lab")
    features = WindowFeatures(DifferentialEntropy(), [SubjectScaler()])
    expected = features.fit_transform(X)
    column = X.metadata["subject"].to_numpy().astype("S2")[:, None]
    np.testing.assert_array_equal(features.fit_transform(X, subjects=column), expected)
    with pytest.raises(ValueError, match="the subjects passed beside it say otherwise"):
        features.fit_transform(X, subjects=column[::-1])


def test_groups_are_ids_for_splitters():
    X = np.zeros((6, 1))
    groups = ["a", b"a", "a ", "b", np.str_("b"), "b\0"]
    for splitter in (LeaveSubjectsOut(), LeaveOneDatasetOut()):
        for given in (groups, [[name] for name in groups]):
            tests = [test.tolist() for _, test in splitter.split(X, groups=given)]
            assert tests == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match="1 person is in both train and test: 1"):
        assert_disjoint([b"a", 1], ["b", 1.0], by="person")


def test_names_of_channels_are_decoded():
    signal = np.random.default_rng(0).standard_normal((2, 2, 50))
    for names in ([b"Fz", "Cz "], np.array([["Fz"], ["Cz"]]), np.array([["Fz", "Cz"]])):
        X = EEGWindows.from_arrays(signal, ch_names=names, sfreq=50.0)
        assert X.ch_names == ("Fz", "Cz")


# Two names for two things ---------------------------------------------------------


def test_no_two_combinations_share_a_name():
    texts = [
        "".join(t) for n in (1, 2, 3) for t in itertools.product("/%2Fa", repeat=n)
    ]
    ids = [None, *texts[:60]]
    names = {}
    for pair in itertools.product([*texts, None], ids):
        assert names.setdefault(join_ids(*pair), pair) == pair
        if None not in pair:
            assert tuple(split_ids(join_ids(*pair))) == pair
    assert join_ids("SEED", "03") == "SEED/03"
    assert join_ids("100% joy", "5%") == "100% joy/5%"


def test_slashes_in_ids_keep_people_apart():
    a = people("a", dataset="lab/site2")
    b = people("b", dataset="lab")
    table = b.metadata
    b = windows(
        4, subject="site2/a", dataset="lab", trial=table["trial"], stimulus="s", y=b.y
    )
    X = concat_windows([a, b])
    names = X.groups("subject")
    assert dict.fromkeys(names) == dict.fromkeys(["lab%2Fsite2/a", "lab/site2%2Fa"])
    # A name alone needs no mark.
    assert set(X.groups("dataset")) == {"lab/site2", "lab"}
    Z = WindowFeatures(DifferentialEntropy(), [SubjectScaler()]).fit_transform(X)
    np.testing.assert_allclose([Z[:4].mean(0), Z[4:].mean(0)], 0, atol=1e-12)
    table = leave_subjects_out({"m": entropy_model()}, X)
    assert set(table["subject"]) == set(names)
    encoder = tiny_encoder(pairing="label")
    long = windows(8, 200, subject=list("aaaabbbb"), dataset="l/b", y=list("xyxyxyxy"))
    assert encoder.fit(long).training_subjects_ == ["l%2Fb/a", "l%2Fb/b"]


def test_trials_and_sessions_without_a_name_stay_apart():
    X = windows(
        4, dataset="lab", subject=["1", "1", None, None],
        session=[None, "2", "1", None], trial=["2/7", "7", "7", "7"],
    )  # fmt: skip
    assert X.groups("trial").tolist() == [
        "lab/1/2%2F7", "lab/1/2/7", "lab//1/7", "lab/7",
    ]  # fmt: skip
    some = windows(2, dataset="lab", subject="1/2", session=[None, "3"])
    assert some.groups("session").tolist() == ["lab/1%2F2", "lab/1%2F2/3"]
    given = {"subjects": ["1/2", "1"], "sessions": ["3", "2/3"]}
    features = WindowFeatures(DifferentialEntropy(sfreq=100.0), [], domain="session")
    A = np.random.default_rng(0).standard_normal((2, 1, 100))
    assert features.fit_transform(A, **given).shape[0] == 2


# Columns --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "y, expected",
    [
        (np.arange(6)[:, None], list(range(6))),
        (np.arange(6)[None], list(range(6))),
        (np.arange(6)[:, None, None], list(range(6))),
        ([[k] for k in "abcabc"], list("abcabc")),
        (pd.DataFrame({"y": pd.Categorical(list("abcabc"))}), list("abcabc")),
        (CELLS, ["joy", "fear", "joy", "fear", "joy", "x"]),
        (CELLS.T, ["joy", "fear", "joy", "fear", "joy", "x"]),
        (np.array(["joy ", "fear"] * 3, "S5"), ["joy", "fear"] * 3),
        (b"joy", ["joy"] * 6),
        ([1, "a ", None, 1, "a", ""], [1, "a", None, 1, "a", None]),
        (pd.array([1, None, 3, 4, 5, 6], "Int64"), [1, None, 3, 4, 5, 6]),
        (np.ma.masked_equal(np.arange(6), 2), [0, 1, None, 3, 4, 5]),
        ([1.5, 2, np.int8(3), True, 5, 6], [1.5, 2, 3, 1, 5, 6]),
    ],
)
def test_labels_of_all_forms(y, expected):
    X = windows(y=y, dataset="lab")
    assert X.y.shape == (6,) and X.y.tolist() == expected
    assert "6 windows" in repr(X) and "lab" in X._repr_html_()


def test_numbers_as_labels_keep_their_kind():
    assert windows(y=np.arange(6, dtype=np.int32)[:, None]).y.dtype.kind == "i"
    assert windows(y=np.arange(6.0)).y.dtype.kind == "f"
    assert windows(y=np.arange(6) > 2).y.dtype.kind == "b"


TABLE = np.arange(24.0).reshape(6, 4)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (6, 2, 2)])
@pytest.mark.parametrize(
    "column", ["y", "subject", "dataset", "session", "trial", "stimulus", "onset"]
)
def test_tables_are_no_column(column, shape):
    match = rf"^{column} must .*each window, got shape \({shape[0]}, "
    with pytest.raises(ValueError, match=f"{match}.*extra="):
        windows(**{column: np.resize(TABLE, shape)})


def test_tables_are_refused_wherever_labels_and_columns_come_in():
    with pytest.raises(ValueError, match=r"^rating must have .* got shape \(6, 4\)"):
        windows(extra={"rating": TABLE})
    assert windows(extra={"rating": TABLE[:, :1]}).metadata["rating"][1] == 4.0
    with pytest.raises(TypeError, match="label of row 0: .*got 2 together"):
        Recording(
            np.ones((1, 50)), ["Cz"], 10.0,
            trials=[{"start": 0, "stop": 5, "label": ["joy", "fear"]}],
        )  # fmt: skip
    with pytest.raises(TypeError, match="y of row 0: expected a name .* got dict"):
        windows(y=[{"joy": 1}] * 6)
    X = people(dataset="lab")
    for protocol in (leave_subjects_out, few_shot):
        with pytest.raises(
            ValueError, match=r"y has shape \(12, 2\), but there are 12"
        ):
            protocol({"m": entropy_model()}, X, np.zeros((12, 2)))
    with pytest.raises(ValueError, match=r"subjects must have .* got shape \(6, 4\)"):
        SubjectScaler().fit(np.zeros((6, 2)), subjects=TABLE)


def test_a_column_of_labels_gives_the_same_scores():
    X = people(dataset="lab")
    model = {"m": entropy_model()}
    expected = leave_subjects_out(model, X, X.y).drop(columns="seconds")
    found = leave_subjects_out(model, X, X.y[:, None]).drop(columns="seconds")
    pd.testing.assert_frame_equal(found, expected)
    few = FewShotSubjects(1, n_splits=1, random_state=0)
    (train, _), (same, _) = (
        next(few.split(X, y)) for y in (X.y, X.y.astype("S5")[None])
    )
    np.testing.assert_array_equal(train, same)


def test_a_column_of_labels_makes_the_same_pairs():
    subject, y = list("aaaabbbb"), np.array(list("xyxyxyxy"))
    X = windows(8, 200, subject=subject, dataset="lab")
    encoder = tiny_encoder(pairing="label")
    expected = encoder.fit_transform(X, y)
    np.testing.assert_array_equal(encoder.fit_transform(X, y[:, None]), expected)


def test_blanks_around_the_cells_of_a_table_are_no_part_of_them():
    trials = pd.DataFrame(
        {
            "start": [0.0, 5.0], "stop": [5.0, 10.0], "trial": ["1 ", b"2"],
            "stimulus": ["clip1 ", "clip1"], "label": ["joy", "joy\t"],
            "remark": [b"ok ", " ok"], "rating": [1, 2.5],
        }
    )  # fmt: skip
    recording = Recording(
        np.random.default_rng(0).standard_normal((1, 1000)),
        ["Cz"],
        100.0,
        trials=trials,
    )
    X = EEGWindows.from_recordings(recording)
    table = X.metadata
    assert table["trial"].tolist() == ["1", "2"]
    for name, text in (("stimulus", "clip1"), ("label", "joy"), ("remark", "ok")):
        assert table[name].tolist() == [text] * 2
    assert table["rating"].tolist() == [1, 2.5]
    assert trials["label"].tolist() == ["joy", "joy\t"]
    (epochs,) = X.to_epochs()
    epochs.metadata = epochs.metadata.assign(label=["joy ", "joy"], subject=b"s1")
    again = EEGWindows.from_epochs(epochs)
    assert again.y.tolist() == ["joy", "joy"]
    assert set(again.metadata["subject"]) == {"s1"}


# Names that were made up ----------------------------------------------------------


def test_made_up_names_are_known_again(tmp_path):
    X = people()
    X.save(tmp_path / "store")
    others = [
        X[3:],
        pickle.loads(pickle.dumps(X)),
        EEGWindows.open(tmp_path / "store"),
        EEGWindows.from_epochs(X.to_epochs()),
        concat_windows([X[:4], X[4:]]),
    ]
    (name,) = set(X.groups("dataset"))
    for other in others:
        assert set(other.groups("dataset")) == {name}
        assert not has_a_name(other)
    # A name that somebody gave is one, whatever it looks like.
    for own in ("dataset-1234abcd", "dataset-20240131", "unnamed", "unnamed-lab"):
        assert has_a_name(people(dataset=own))
    assert has_a_name(concat_windows({"lab": X}))


def test_made_up_names_go_through_braindecode():
    pytest.importorskip("braindecode")
    X = people()
    again = EEGWindows.from_braindecode(X.to_braindecode())
    assert again.groups("subject").tolist() == X.groups("subject").tolist()
    assert not has_a_name(again)
    nameless = X.to_braindecode()
    for part in nameless.datasets:
        part.description["dataset"] = " "
    assert len(set(EEGWindows.from_braindecode(nameless).groups("dataset"))) == 1


@pytest.mark.parametrize("first", [None, "lab"])
def test_bare_ids_that_meet_are_warned_of(first):
    with pytest.warns(UserWarning, match=r"same ids \(a, b, c\).*dataset="):
        concat_windows([people(dataset=first), people()])
    with pytest.warns(UserWarning, match=r"same ids \(01\)"):
        concat_windows(
            [windows(subject="01", dataset=first), windows(subject=[2, 2, 2, 1, 1, 1])]
        )


def test_recordings_of_which_one_has_no_dataset_are_warned_of():
    def recording(**whose):
        signal = np.random.default_rng(0).standard_normal((1, 600))
        return Recording(signal, ["Cz"], 100.0, subject=1, **whose)

    two = [recording(session=k) for k in (1, 2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(set(EEGWindows.from_recordings(two).groups("subject"))) == 1
    with pytest.warns(UserWarning, match=r"same ids \(1\)"):
        EEGWindows.from_recordings([recording(), recording(dataset="lab")])
    with pytest.warns(UserWarning, match=r"same ids \(a\)"):
        windows(subject="a", dataset=["lab"] * 3 + [None] * 3)


def test_nothing_is_said_where_nothing_is_hidden():
    X = people()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        concat_windows([X, people("xyz")])
        concat_windows([X, people("xyz", dataset="lab")])
        concat_windows({"one": X, "two": people()})
        concat_windows([people(dataset="one"), people(dataset="two")])
        concat_windows([windows(), windows()])
        assert assert_disjoint(X[:4], X[4:]) == []
        assert assert_disjoint(X, people("xyz")) == []
        assert assert_disjoint(people(dataset="one"), people(dataset="two")) == []
        list(LeaveSubjectsOut().split(X))
        table = leave_subjects_out({"m": entropy_model()}, X)
    assert set(table["leak"]) == {""}


@pytest.mark.parametrize("named", ["neither", "train", "test"])
def test_disjoint_is_what_made_up_names_cannot_be(named):
    train = people(dataset="lab" if named == "train" else None)
    test = people(dataset="lab" if named == "test" else None)
    with pytest.warns(LeakageWarning, match=r"subjects .*\(a, b, c\).*cannot be known"):
        assert assert_disjoint(train, test, by="subject") == ["subject"]
    with pytest.warns(LeakageWarning, match="stimuli .*cannot be known"):
        assert assert_disjoint(train, test, by="stimulus") == ["stimulus"]
    with pytest.warns(LeakageWarning, match="whether datasets of both sides"):
        assert assert_disjoint(train[:4], test[4:], by="dataset") == ["dataset"]
    assert assert_disjoint(train[:4], test[4:]) == []


@pytest.mark.parametrize(
    "splitter",
    [
        LeaveSubjectsOut(),
        LeaveOneDatasetOut(),
        FewShotSubjects(1, n_splits=1, random_state=0),
        LeaveSubjectsAndStimuliOut(n_stimulus_splits=2, random_state=0),
    ],
)
def test_splitters_say_that_people_may_be_on_both_sides(splitter):
    X = two_unnamed_sets()
    with pytest.warns(LeakageWarning, match="subjects of the same ids"):
        list(splitter.split(X))
    if not isinstance(splitter, LeaveSubjectsAndStimuliOut):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            list(splitter.split(X, groups=X.metadata["subject"]))


def test_scores_of_unnamed_sets_are_marked():
    X, model = two_unnamed_sets(), {"m": entropy_model()}
    with pytest.warns(LeakageWarning, match="cannot be known.*And so in 6 splits"):
        table = leave_subjects_out(model, X)
    assert set(table.loc[table["method"] == "m", "leak"]) == {"unknown"}
    with pytest.warns(LeakageWarning, match="cannot be known"):
        table = leave_subjects_out(model, X, cv=LeaveSubjectsOut())
    assert set(table.loc[table["method"] == "m", "leak"]) == {"unknown"}


@pytest.mark.parametrize("protocol", ["few_shot", "leave_one_dataset_out"])
def test_an_unnamed_source_is_marked(protocol):
    model = {"m": make_pipeline(tiny_encoder(), LogisticRegression())}
    source, target = people(n_times=200), people(dataset="lab", n_times=200)
    few = {"train_size": 2, "n_splits": 1}
    with pytest.warns(LeakageWarning, match=r"source and X: .*\(a, b, c\)"):
        if protocol == "few_shot":
            table = few_shot(model, target, source=source, **few)
        else:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Several sets")
                X = concat_windows([source, target])
            table = leave_one_dataset_out(model, X, protocols="few_shot", **few)
    assert set(table.loc[table["method"] == "m", "leak"]) == {"unknown"}
    # The very same recordings under another name are a leak for sure.
    with pytest.raises(ValueError, match="source holds 3 recordings of X under other"):
        few_shot(model, concat_windows({"x": source}), source=source, **few)


def test_weights_know_people_by_their_bare_ids(tmp_path):
    encoder = tiny_encoder().fit(people("ab", dataset="lab", n_times=200))
    for X in (people("bc"), people("bc", dataset="LAB")):
        with pytest.warns(LeakageWarning, match="subjects of MDJPTEncoder, and X: "):
            assert assert_unseen(encoder, X) == "unknown"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for X in (people("cd"), people("ab", dataset="other")):
            assert assert_unseen(encoder, X) == ""
    encoder.save(tmp_path / "w.safetensors")
    loaded = MDJPTEncoder.load(tmp_path / "w.safetensors")
    with pytest.warns(LeakageWarning, match="subjects of MDJPTEncoder, and X: "):
        assert assert_unseen(loaded, people("bc")) == "unknown"
    encoder = tiny_encoder().fit(people("ab", n_times=200))
    assert (encoder.training_subjects_, encoder.n_training_subjects_) == ([], 2)


def test_people_of_two_unnamed_sets_are_not_counted():
    with pytest.warns(UserWarning, match="same ids"):
        X = concat_windows([people("ab", n_times=200), people("ab", n_times=200)])
    assert tiny_encoder().fit(X).n_training_subjects_ is None


# Spelled otherwise ----------------------------------------------------------------


@pytest.mark.parametrize(
    "one, other, pair",
    [
        ({"subject": "01"}, {"subject": 1}, "lab/01 and lab/1"),
        ({"subject": "S7"}, {"subject": "s07"}, "lab/S7 and lab/s07"),
        ({"dataset": "LAB", "subject": 1}, {"subject": 1}, "LAB/1 and lab/1"),
    ],
)
def test_ids_that_differ_in_zeros_or_capitals_are_warned_of(one, other, pair):
    one, other = (windows(**{"dataset": "lab"} | which) for which in (one, other))
    with pytest.warns(UserWarning, match=f"zeros or capitals only, .*: {pair}"):
        X = concat_windows([one, other])
    # They are not taken for the same.
    assert len(set(X.groups("subject"))) == 2
    with pytest.warns(LeakageWarning, match=f"may be the same: {pair}"):
        assert assert_disjoint(one, other, by="subject") == ["subject"]


def test_a_set_that_has_both_spellings_means_them():
    both = windows(subject=["A", "a"] * 3, dataset="lab")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        concat_windows([both, windows(subject="a", dataset="lab")])
        concat_windows([both, both[:3]])
        windows(subject=["1", "01"] * 3, dataset="lab")


def test_a_dict_of_windows_names_each_set_once():
    X, Y = people(), people()
    with pytest.raises(ValueError, match="names of the datasets must differ, got 1, 1"):
        concat_windows({1: X, "1 ": Y})
    with pytest.raises(ValueError, match="must differ, got None"):
        concat_windows({" ": X})
