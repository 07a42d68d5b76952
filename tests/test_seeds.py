"""Protocols with several seeds: what changes, what stays, and how it is summed up."""

import numpy as np
import pandas as pd
import pytest
from settings import tiny_encoder
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import MDJPTClassifier, concat_windows
from sklearn_mdjpt.evaluation import (
    ablation,
    calibration,
    compare,
    few_shot,
    leave_one_dataset_out,
    leave_subjects_out,
    plot,
    reliability,
    scaling,
    summary,
    zero_shot,
)
from sklearn_mdjpt.evaluation._seeds import _models_of, random_parameters


class Lucky(ClassifierMixin, BaseEstimator):
    """Knows all labels, but is wrong in as many windows of a person as its seed says.

    Of the person with number p it is wrong in ``random_state + p`` windows.
    """

    def __init__(self, random_state=0):
        self.random_state = random_state

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        codes = np.searchsorted(self.classes_, X.y)
        people = X.metadata["subject"].astype(int).to_numpy()
        for person in set(people):
            own = np.flatnonzero(people == person)[: self.random_state + person]
            codes[own] = (codes[own] + 1) % len(self.classes_)
        return self.classes_[codes]


class Sure(ClassifierMixin, BaseEstimator):
    """Has nothing random."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


@pytest.fixture
def windows(make_windows):
    return make_windows(n_subjects=4, n_stimuli=6, trial_seconds=2.0)


@pytest.fixture
def two_sets(make_windows):
    return concat_windows(
        [
            make_windows((name,), n_subjects=4, n_stimuli=3, random_state=k)
            for k, name in enumerate("AB")
        ]
    )


def scores(table, method):
    """Return the rows of a method with the accuracy of people's windows."""
    chosen = (table["method"] == method) & (table["metric"] == "accuracy")
    return table[chosen & (table["unit"] == "window")]


def test_means_over_people_and_the_spread_over_seeds_are_right(windows):
    n = len(windows) // 4
    table = leave_subjects_out({"lucky": Lucky(1), "sure": Sure()}, windows, n_seeds=3)
    people = windows.metadata["subject"].astype(int).unique()
    found = scores(table, "lucky")
    assert sorted(found["seed"].unique()) == [0, 1, 2]
    for row in found.itertuples():
        person = int(row.subject.split("/")[1])
        assert np.isclose(row.value, 1 - (1 + row.seed + person) / n)
    # By hand: seeds differ by one window, people by one window.
    row = summary(table, metric="accuracy").set_index("method").loc["lucky"]
    assert np.isclose(row["mean"], 1 - (2 + people.mean()) / n)
    assert np.isclose(row["sd"], people.std(ddof=1) / n)
    assert np.isclose(row["sd_seeds"], 1 / n)
    assert row["n_seeds"] == 3 and row["n_subjects"] == 4
    # The interval is that of four people, not of twelve.
    one = leave_subjects_out({"lucky": Lucky(2)}, windows)  # the mean of the three
    alone = summary(one, metric="accuracy").set_index("method").loc["lucky"]
    for name in ("mean", "sd", "low", "high"):
        assert np.isclose(row[name], alone[name])
    assert "sd_seeds" not in alone and "seed" not in one


def test_what_is_not_random_is_computed_once(windows):
    table = leave_subjects_out({"lucky": Lucky(1), "sure": Sure()}, windows, n_seeds=3)
    assert set(table.loc[table["method"] != "lucky", "seed"]) == {0}
    means = summary(table).set_index("method")
    assert means["n_seeds"].to_dict() == {
        "chance": 1, "majority": 1, "lucky": 3, "sure": 1
    }  # fmt: skip
    assert means.loc["sure", ["sd_seeds"]].isna().all()
    with pytest.warns(UserWarning, match="n_seeds=3 changes nothing"):
        leave_subjects_out(Sure(), windows, n_seeds=3)


def test_seed_0_is_the_model_and_seed_k_adds_k(windows):
    model = Lucky(1)
    table = leave_subjects_out({"m": model}, windows, n_seeds=3)
    assert model.random_state == 1
    for seed in range(3):
        alone = leave_subjects_out({"m": Lucky(1 + seed)}, windows)
        mine = table[table["seed"] == seed].drop(columns=["seed", "seconds"])
        alone = alone[alone["method"].isin(mine["method"])]
        pd.testing.assert_frame_equal(
            mine.reset_index(drop=True),
            alone.drop(columns="seconds").reset_index(drop=True),
        )


def test_compare_pairs_people_with_seeds_averaged(windows):
    n = len(windows) // 4
    table = leave_subjects_out({"a": Lucky(0), "b": Lucky(2)}, windows, n_seeds=3)
    row = compare(table, "b", metric="accuracy").set_index("method").loc["a"]
    assert np.isclose(row["difference"], 2 / n)
    assert row["n_subjects"] == row["n_better"] == 4
    # A reference with one seed is one of four people, too.
    table = leave_subjects_out({"a": Lucky(0), "sure": Sure()}, windows, n_seeds=3)
    assert compare(table, "sure")["n_subjects"].eq(4).all()


def test_seeds_with_different_numbers_of_splits_count_alike():
    rows = [(0, 0, 0.2), (0, 1, 0.4), (1, 0, 0.9)]  # seed, split, value
    table = pd.DataFrame(rows, columns=["seed", "split", "value"]).assign(
        method="m", dataset="A", unit="window", metric="balanced_accuracy", leak="",
        seconds=1.0,
    )  # fmt: skip
    table = pd.concat([table.assign(subject=s) for s in ("A/1", "A/2")])
    row = summary(table).iloc[0]
    assert np.isclose(row["mean"], (0.3 + 0.9) / 2)
    assert np.isclose(row["sd_seeds"], np.std([0.3, 0.9], ddof=1))


def test_jobs_cache_and_predictions(windows, tmp_path, monkeypatch):
    models = {"a": Lucky(0), "sure": Sure()}
    common = {"return_predictions": True, "cache_dir": tmp_path}
    first, _ = leave_subjects_out(models, windows, **common)
    n_before = len(list((tmp_path / "results").iterdir()))
    table, predictions = leave_subjects_out(models, windows, n_seeds=3, **common)
    # Seed 0 and what is not random were there; four splits of two seeds were not.
    assert len(list((tmp_path / "results").iterdir())) == n_before + 8
    parallel = leave_subjects_out(models, windows, n_seeds=3, n_jobs=2)
    pd.testing.assert_frame_equal(
        parallel.drop(columns="seconds"), table.drop(columns="seconds")
    )
    monkeypatch.setattr("sklearn_mdjpt.evaluation._cases._fit_predict", None)
    again, _ = leave_subjects_out(models, windows, n_seeds=3, **common)
    pd.testing.assert_frame_equal(again, table)
    assert predictions.groupby(["method", "seed"]).size().to_dict() == {
        ("a", 0): 48, ("a", 1): 48, ("a", 2): 48, ("sure", 0): 48,
    }  # fmt: skip


def test_other_tables_and_figures_take_seeds(windows, tmp_path):
    pytest.importorskip("matplotlib").use("agg")
    model = make_pipeline(tiny_encoder(), LogisticRegression(max_iter=1000))
    table, predictions = few_shot(
        {"m": model}, windows, train_size=2, n_splits=2, n_seeds=2,
        return_predictions=True,
    )  # fmt: skip
    assert set(reliability(predictions)["method"]) == {"m"}
    # Caps of error bars are lines of length 1.
    marks = [line for line in plot(table).lines if line.get_marker() == "|"]
    marks = [mark for mark in marks if len(mark.get_xdata()) > 1]
    assert len(marks) == 1
    balanced = table[
        (table["metric"] == "balanced_accuracy") & (table["method"] == "m")
    ]
    balanced = balanced[balanced["unit"] == "window"]
    expected = 100 * balanced.groupby(["seed", "subject"])["value"].mean()
    np.testing.assert_allclose(
        marks[0].get_xdata(), expected.groupby("seed").mean().to_numpy()
    )
    table.to_csv(tmp_path / "table.csv", index=False)
    back = summary(pd.read_csv(tmp_path / "table.csv"))
    pd.testing.assert_frame_equal(back, summary(table), check_dtype=False)


def test_splits_are_the_same_for_all_seeds(windows):
    _, predictions = few_shot(
        {"m": Lucky(0)}, windows, train_size=2, n_splits=3, n_seeds=2,
        return_predictions=True,
    )  # fmt: skip
    tested = predictions.groupby(["seed", "split"])["window"].agg(tuple).unstack(0)
    assert (tested[0] == tested[1]).all() and tested[0].nunique() == 3


def test_each_seed_trains_its_encoder_and_trained_ones_stay(two_sets, tmp_path):
    target = two_sets.groups("dataset") == "B"
    X, source = two_sets[target], two_sets[~target]
    models = {"mdJPT": make_pipeline(tiny_encoder(), KNeighborsClassifier(3))}
    common = {"train_size": 2, "n_splits": 2, "n_seeds": 3}
    table = few_shot(models, X, source=source, cache_dir=tmp_path, **common)
    assert len(list((tmp_path / "encoders").glob("*.safetensors"))) == 3
    by_seed = scores(table, "mdJPT").groupby("seed")["value"].agg(tuple)
    assert by_seed.nunique() > 1
    fitted = tiny_encoder(random_state=2).fit(source)
    for kept in (fitted, FrozenEstimator(fitted)):
        model = make_pipeline(kept, KNeighborsClassifier(3))
        with pytest.warns(UserWarning, match="changes nothing"):
            alone = few_shot({"mdJPT": model}, X, **common)
        if kept is fitted:  # as seed 2 of those that were trained
            assert tuple(scores(alone, "mdJPT")["value"]) == by_seed[2]
    # Beside a head with a seed of its own a fitted encoder keeps its weights.
    head = make_pipeline(fitted, Lucky(0))
    assert random_parameters(head) == ["lucky__random_state"]
    zero = zero_shot(tiny_encoder(), X, source=source, n_seeds=2)
    assert set(zero.loc[zero["method"] == "MDJPTEncoder", "seed"]) == {0, 1}


def test_random_parameters_are_found(two_sets, tmp_path):
    encoder = tiny_encoder()
    assert random_parameters(encoder) == ["random_state"]
    model = MDJPTClassifier(encoder)
    assert set(random_parameters(model)) == {"random_state", "encoder__random_state"}
    encoder.fit(two_sets).save(tmp_path / "e.safetensors")
    weights = clone(encoder).set_params(weights=tmp_path / "e.safetensors")
    assert random_parameters(weights) == []
    assert random_parameters(weights.set_params(finetune=True)) == ["random_state"]
    assert random_parameters(make_pipeline(FrozenEstimator(Lucky(0)))) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, [None, 1, 2]), (2**32 - 1, [2**32 - 1, 0, 1]), (np.int64(4), [4, 5, 6])],
)
def test_seeds_of_models(windows, given, expected):
    found = [model.random_state for model in _models_of(Lucky(given), 3)]
    assert found == expected


def test_generators_give_other_seeds_and_stay_as_they_are():
    given = np.random.RandomState(0)
    found = [model.random_state for model in _models_of(Lucky(given), 3)]
    expected = np.random.RandomState(0).randint(2**31, size=2)
    assert found[0] is given and found[1:] == expected.tolist()
    assert given.randint(2**31) == expected[0]
    with pytest.raises(TypeError, match="random_state must be an int.*'one'"):
        _models_of(Lucky("one"), 2)


def test_all_protocols_take_seeds(two_sets):
    target = two_sets.groups("dataset") == "B"
    X, source = two_sets[target], two_sets[~target]
    model = make_pipeline(tiny_encoder(), KNeighborsClassifier(3))
    few = {"train_size": 2, "n_splits": 1, "n_seeds": 2}
    tables = [
        leave_one_dataset_out({"m": model}, two_sets, **few),
        ablation(model, X, source=source, variants={"m": {}, "o": {"lr": 0.1}}, **few),
        scaling({"m": model}, X, source=source, **few),
        calibration({"m": Lucky(0)}, X, minutes=("all",), n_seeds=2),
    ]
    for table in tables:
        assert set(table.loc[table["method"] == "m", "seed"]) == {0, 1}
        assert set(table.loc[table["method"] == "chance", "seed"]) == {0}
        means = summary(table)
        assert means.loc[means["method"] == "m", "n_seeds"].eq(2).all()
    alone = calibration({"m": Lucky(1)}, X, minutes=("all",))
    mine = tables[-1].query("seed == 1 and method == 'm'")["value"]
    np.testing.assert_array_equal(mine, alone.query("method == 'm'")["value"])
    assert "seed" not in alone


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "3"])
def test_wrong_numbers_of_seeds_are_refused(windows, wrong):
    for protocol in (leave_subjects_out, calibration):
        with pytest.raises((TypeError, ValueError), match="n_seeds"):
            protocol(Lucky(), windows, n_seeds=wrong)
