"""How sure decoders are: probabilities, rejection, sets of classes."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_blobs
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.pipeline import make_pipeline
from sklearn.utils.fixes import parse_version

from sklearn_mdjpt import DifferentialEntropy, SubjectScaler, WindowFeatures
from sklearn_mdjpt.compose import calibrate
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import (
    METRICS,
    compare,
    leave_subjects_out,
    reliability,
    risk_coverage,
    summary,
)
from sklearn_mdjpt.model_selection import LeaveSubjectsOut
from sklearn_mdjpt.plotting import plot_reliability, plot_risk_coverage, plot_scores
from sklearn_mdjpt.trust import ConformalClassifier, SelectiveClassifier


def entropy_model(C=1.0):
    features = WindowFeatures(DifferentialEntropy(), [SubjectScaler()])
    return make_pipeline(features, LogisticRegression(C=C, max_iter=5000))


HAS_TEMPERATURE = parse_version(sklearn.__version__) >= parse_version("1.8")


def scaled(model):
    method = "temperature" if HAS_TEMPERATURE else "sigmoid"
    return CalibratedClassifierCV(
        model, method=method, cv=LeaveSubjectsOut(), ensemble=False
    )


@pytest.fixture(scope="module")
def windows():
    return make_emotion_windows(
        1, n_subjects=5, n_stimuli=6, stride_seconds=5.0, random_state=0
    )


@pytest.fixture(scope="module")
def scored(windows):
    models = {"plain": entropy_model(10.0), "scaled": scaled(entropy_model(10.0))}
    return leave_subjects_out(models, windows, return_predictions=True)


def predictions_of(confidence, right, subject, method="DE"):
    """Return predictions of the class "a", or "b", as sure as they are."""
    confidence, right = np.asarray(confidence, float), np.asarray(right, bool)
    return pd.DataFrame(
        {
            "method": method,
            "subject": np.asarray(subject),
            "predicted": "a",
            "label": np.where(right, "a", "b"),
            "score_a": confidence,
            "score_b": 1 - confidence,
        }
    )


# Metrics ------------------------------------------------------------------------------


@pytest.mark.parametrize("emotions", [3, 2])
def test_metrics_are_those_of_scikit_learn(windows, emotions):
    X = windows[np.isin(windows.y, sorted(set(windows.y))[:emotions])]
    table, predictions = leave_subjects_out(
        {"DE": entropy_model()}, X, return_predictions=True
    )
    columns = [f"score_{name}" for name in sorted(set(X.y))]
    table = table[(table["method"] == "DE") & (table["unit"] == "window")]
    values = table.set_index(["subject", "metric"])["value"]
    for subject, rows in predictions.groupby("subject"):
        scores = rows[columns].to_numpy()
        assert np.isclose(values[subject, "log_loss"], log_loss(rows["label"], scores))
        expected = brier_score_loss(
            rows["label"], scores if emotions > 2 else scores[:, 1],
            pos_label=None if emotions > 2 else max(X.y),
        )  # fmt: skip
        assert np.isclose(values[subject, "brier_score"], expected)
        sure = scores.max(axis=1)
        right = (rows["predicted"] == rows["label"]).to_numpy()
        bins = np.ceil(10 * sure).astype(int)
        gaps = [
            abs((sure - right)[bins == k].sum()) for k in range(11) if (bins == k).any()
        ]
        expected = sum(gaps) / len(rows)
        assert np.isclose(values[subject, "calibration_error"], expected)


def test_guessing_is_as_sure_as_it_is_right(scored):
    table = scored[0]
    for method in ("chance", "majority"):
        rows = table[(table["method"] == method) & (table["unit"] == "window")]
        means = rows.groupby("metric")["value"].mean()
        assert np.isclose(means["log_loss"], np.log(3))
        assert np.isclose(means["brier_score"], 2 / 3)
        assert means["calibration_error"] < 1e-9


def test_a_scaling_by_other_people_makes_probabilities_better(scored):
    table = scored[0]
    means = table[table["unit"] == "window"].groupby(["method", "metric"])["value"]
    means = means.mean().unstack()
    for metric in ("log_loss", "brier_score", "calibration_error"):
        assert means.loc["scaled", metric] < means.loc["plain", metric]
    if HAS_TEMPERATURE:  # a sigmoid for each class may change which is the highest
        same = means.loc["plain", "accuracy"]
        assert np.isclose(means.loc["scaled", "accuracy"], same)


def test_less_loss_is_better(scored):
    [row] = (
        compare(scored[0], "plain", metric="log_loss")
        .query("method == 'scaled'")
        .to_dict("records")
    )
    assert row["difference"] < 0 and row["n_better"] > row["n_worse"]


def test_each_metric_has_a_summary_and_a_figure(scored):
    for metric in METRICS:
        assert summary(scored[0], metric=metric)["mean"].notna().all()
    assert "(%)" in plot_scores(scored[0], metric="f1").get_xlabel()
    ax = plot_scores(scored[0], metric="log_loss")
    assert ax.get_xlabel() == "log loss of a subject's windows"
    mean = summary(scored[0], metric="log_loss").set_index("method")["mean"]
    assert np.isclose(ax.containers[0][0].get_xdata()[0], mean["plain"])


# Reliability, risk and coverage -------------------------------------------------------


def test_reliability_counts_people_not_windows():
    sure = [0.75] * 4 + [0.75] * 40
    right = [1, 1, 1, 1] + [0] * 40
    subject = ["A/1"] * 4 + ["A/2"] * 40
    [row] = reliability(predictions_of(sure, right, subject)).to_dict("records")
    assert np.isclose(row["accuracy"], 0.5)
    assert row["n_windows"] == 44 and row["n_subjects"] == 2
    assert (row["low"], row["high"]) == (0.0, 1.0)
    assert np.isclose(row["confidence"], 0.75) and row["share"] == 1.0


def test_probabilities_that_are_right_lie_on_the_line():
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 20_000)
    table = reliability(
        predictions_of(sure, rng.random(20_000) < sure, np.arange(20_000) % 20)
    )
    assert len(table) == 5 and np.isclose(table["share"].sum(), 1)
    assert (table["confidence"] - table["accuracy"]).abs().max() < 0.03
    assert (table["low"] < table["confidence"]).sum() >= 3


def test_an_edge_belongs_to_the_bin_below():
    table = reliability(
        predictions_of([0.5, 0.6, 1.0, 0.6], [1, 1, 1, 1], list("abab"))
    )
    assert np.allclose(table["bin"], [0.45, 0.55, 0.95])


def test_risk_falls_with_the_coverage():
    sure = [0.9, 0.8, 0.7, 0.6, 0.95, 0.85, 0.75, 0.65]
    right = [1, 1, 0, 0, 1, 1, 1, 0]
    table = risk_coverage(
        predictions_of(sure, right, list("aaaabbbb")), coverages=[0.5, 0.75, 1]
    )
    assert np.allclose(table["threshold"], [0.8, 0.7, 0.6])
    assert np.allclose(table["coverage"], [0.5, 0.75, 1])
    assert np.allclose(table["risk"], [0, 1 / 6, 3 / 8])
    assert np.allclose(table["least_covered"], [0.5, 0.75, 1])


def test_windows_of_equal_probability_are_kept_together():
    table = risk_coverage(
        predictions_of([0.7, 0.7, 0.7, 0.9], [1, 0, 1, 1], list("aabb")),
        coverages=[0.5],
    )
    assert table.loc[0, "coverage"] == 1.0 and table.loc[0, "threshold"] == 0.7


def test_a_person_of_whom_nothing_is_kept_is_told():
    table = risk_coverage(
        predictions_of([0.9, 0.9, 0.6, 0.6], [1, 1, 0, 1], list("aabb")),
        coverages=[0.5],
    )
    assert table.loc[0, "least_covered"] == 0 and table.loc[0, "n_subjects"] == 1


@pytest.mark.parametrize("measure", [reliability, risk_coverage])
def test_methods_without_probabilities_are_left_out(measure):
    sure = predictions_of([0.9, 0.6], [1, 0], ["a", "b"])
    other = sure.assign(method="ridge", score_a=[1.2, -3.0])
    with pytest.warns(UserWarning, match="ridge"):
        table = measure(pd.concat([sure, other]))
    assert set(table["method"]) == {"DE"}
    with pytest.raises(ValueError, match="ridge: no probabilities"):
        measure(other)
    with pytest.raises(TypeError, match="label"):
        measure(sure.drop(columns="label"))
    two = pd.concat([sure.assign(dataset="A"), sure.assign(dataset="B")])
    with pytest.raises(ValueError, match="several datasets"):
        measure(two)


def test_figures_of_trust(scored):
    labels = plot_reliability(scored).get_legend_handles_labels()[1]
    assert [label.split(" (")[0] for label in labels] == [
        "right probabilities", "plain", "scaled",
    ]  # fmt: skip
    ax = plot_risk_coverage(scored)
    assert len(ax.lines) == 2
    curve = risk_coverage(scored).groupby("method")["risk"].last()
    assert np.isclose(ax.lines[0].get_ydata()[-1], 100 * curve["plain"])


# Rejection ----------------------------------------------------------------------------


@pytest.mark.parametrize("reject", [0.0, 0.3, 0.8])
def test_the_share_of_other_people_is_rejected(windows, reject):
    model = SelectiveClassifier(entropy_model(), reject=reject).fit(windows)
    _, predictions = leave_subjects_out(
        {"DE": entropy_model()}, windows, return_predictions=True
    )
    sure = predictions.filter(like="score_").max(axis=1)
    assert np.isclose((sure < model.threshold_).mean(), reject, atol=0.01)


def test_what_is_rejected_is_what_is_unsure(windows):
    is_new = windows.groups("subject") == "SimA/05"
    model = SelectiveClassifier(entropy_model(), threshold=0.8)
    model.fit(windows[~is_new], windows[~is_new].y)
    plain = entropy_model().fit(windows[~is_new], windows[~is_new].y)
    sure = plain.predict_proba(windows[is_new]).max(axis=1)
    rejected = model.rejects(windows[is_new])
    assert np.array_equal(rejected, sure < 0.8) and 0 < rejected.mean() < 1
    assert np.array_equal(
        model.predict(windows[is_new]), plain.predict(windows[is_new])
    )


def test_arrays_need_subjects():
    Z, y = make_blobs(60, centers=3, cluster_std=4.0, random_state=0)
    subjects = np.repeat(["a", "b", "c"], 20)
    model = SelectiveClassifier(LogisticRegression(), reject=0.5)
    with pytest.raises(ValueError, match="pass subjects"):
        model.fit(Z, y)
    assert model.fit(Z, y, subjects=subjects).rejects(Z).shape == (60,)
    with pytest.raises(ValueError, match="pass subjects"):
        ConformalClassifier(LogisticRegression()).fit(Z, y)


@pytest.mark.parametrize("options, said", [
    ({"reject": 1.0}, "reject must be"), ({"threshold": 1.5}, "threshold must be"),
])  # fmt: skip
def test_parameters_out_of_range(windows, options, said):
    with pytest.raises(ValueError, match=said):
        SelectiveClassifier(entropy_model(), **options).fit(windows, windows.y)


def test_probabilities_are_needed(windows):
    model = make_pipeline(DifferentialEntropy(), RidgeClassifier())
    for trusted in (
        SelectiveClassifier(model, threshold=0.5), ConformalClassifier(model)
    ):  # fmt: skip
        with pytest.raises(TypeError, match="no predict_proba"):
            trusted.fit(windows, windows.y)


def test_a_selective_classifier_is_scored_saved_and_calibrated(windows):
    model = SelectiveClassifier(entropy_model(), threshold=0.6)
    table = leave_subjects_out({"sel": model, "DE": entropy_model()}, windows)
    means = summary(table).set_index("method")["mean"]
    assert means["sel"] == means["DE"]
    is_new = windows.groups("subject") == "SimA/05"
    model = clone(model).fit(windows[~is_new])
    first, later = windows[is_new][:9], windows[is_new][9:]
    ready = pickle.loads(pickle.dumps(calibrate(model, first)))
    alone = [ready.predict_proba(later[k : k + 1])[0] for k in range(3)]
    assert np.allclose(alone, ready.predict_proba(later)[:3], atol=1e-9)
    assert not np.allclose(model.predict_proba(later)[:3], alone, atol=1e-3)


def test_folds_are_folds_of_people(windows):
    by_people = SelectiveClassifier(entropy_model(), cv=GroupKFold(3)).fit(windows)
    by_number = SelectiveClassifier(entropy_model(), cv=3).fit(windows)
    assert by_people.threshold_ == by_number.threshold_
    with pytest.raises(ValueError, match="people on both sides of a split"):
        SelectiveClassifier(entropy_model(), cv=KFold(3, shuffle=True)).fit(windows)


def _wrapped(kind):
    return {
        "plain": entropy_model(),
        "selective": SelectiveClassifier(entropy_model(), threshold=0.5),
        "search": GridSearchCV(
            entropy_model(), {"logisticregression__C": [1.0]}, cv=LeaveSubjectsOut()
        ),
        "calibrated": CalibratedClassifierCV(
            entropy_model(), cv=LeaveSubjectsOut(), ensemble=False
        ),
        "votes": VotingClassifier([("a", entropy_model())], voting="soft"),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["plain", "selective", "search", "calibrated", "votes"]
)
def test_frozen_classifiers_are_not_asked_about_their_own_people(windows, kind):
    new = np.isin(windows.groups("subject"), ["SimA/04", "SimA/05"])
    frozen = FrozenEstimator(_wrapped(kind).fit(windows[~new], windows[~new].y))
    for known in (
        lambda: leave_subjects_out({"m": frozen}, windows[~new], cv=2),
        lambda: ConformalClassifier(frozen, confidence_level=0.5).conformalize(
            windows[~new]
        ),
        lambda: SelectiveClassifier(frozen).fit(windows[~new]),
    ):
        with pytest.raises(ValueError, match="WindowFeatures was fitted on 3"):
            known()
    model = SelectiveClassifier(frozen, reject=0.5).fit(windows[new])
    sure = frozen.predict_proba(windows[new]).max(axis=1)
    assert np.isclose((sure < model.threshold_).mean(), 0.5, atol=0.06)


# Sets ---------------------------------------------------------------------------------


def crowd(n_people, seed, n=30):
    """Return features, labels and people; some people are far harder than others."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 2.0], [2.0, 0.0], [-2.0, -2.0]])
    y = rng.integers(0, 3, (n_people, n))
    Z = centres[y] * rng.uniform(0.3, 1.2, (n_people, 1, 1))
    Z = Z + rng.standard_normal((n_people, 1, 2)) + rng.standard_normal(Z.shape)
    people = np.repeat(np.arange(n_people), n)
    return Z.reshape(-1, 2), y.ravel(), people


@pytest.fixture(scope="module")
def frozen():
    Z, y, _ = crowd(20, 0)
    return FrozenEstimator(LogisticRegression().fit(Z, y))


@pytest.mark.parametrize("score, finite", [
    ("lac", True), ("lac", False), ("aps", True),
])  # fmt: skip
def test_sets_hold_the_true_class_in_new_people(frozen, score, finite):
    means = []
    for seed in range(40):
        model = ConformalClassifier(
            frozen, conformity_score=score, finite_sample=finite
        )
        Z, y, people = crowd(30, 100 + seed)
        model.conformalize(Z, y, subjects=people)
        Z, y, people = crowd(20, 500 + seed)
        table = model.coverage(Z, y, subjects=people)
        assert len(table) == 20 and (table["n_windows"] == 30).all()
        means.append(table["coverage"].mean())
    error = np.std(means, ddof=1) / np.sqrt(len(means))
    if finite:
        assert np.mean(means) > 0.9 - 2 * error
    else:
        assert abs(np.mean(means) - 0.9) < 3 * error
    if score == "lac":
        assert np.mean(means) < 0.9 + 2 / 31 + 2 * error


def test_the_quantile_counts_people(frozen):
    """One person with many easy windows must not hide nine others."""
    Z, y, people = crowd(12, 3)
    keep = np.arange(len(y)) % (1 + people % 3) == 0  # 30, 15 and 10 windows
    Z, y, people = Z[keep], y[keep], people[keep]
    many = np.concatenate([np.arange(len(y)), np.tile(np.flatnonzero(people == 0), 20)])
    quantiles = [
        ConformalClassifier(frozen)
        .conformalize(Z[r], y[r], subjects=people[r])
        .quantile_
        for r in (slice(None), many)
    ]
    assert quantiles[0] == quantiles[1]
    scores = 1 - frozen.predict_proba(Z)[np.arange(len(y)), y]
    shares = [
        np.mean([(scores[people == k] <= q).mean() for k in range(12)])
        for q in (quantiles[0], np.nextafter(quantiles[0], 0))
    ]
    # One person of 13 is not known, and counts as not covered.
    assert shares[0] * 12 / 13 >= 0.9 - 1e-12 > shares[1] * 12 / 13 - 1e-12


def test_higher_levels_have_larger_sets(frozen):
    Z, y, people = crowd(40, 7)
    sets = [
        ConformalClassifier(frozen, confidence_level=level)
        .conformalize(Z, y, subjects=people)
        .predict_set(Z)[1]
        for level in (0.5, 0.8, 0.95)
    ]
    assert (sets[0] <= sets[1]).all() and (sets[1] <= sets[2]).all()
    assert sets[0].sum() < sets[1].sum() < sets[2].sum()


def test_sets_of_probabilities(frozen):
    Z, y, people = crowd(20, 7)
    model = ConformalClassifier(frozen, conformity_score="aps")
    model.conformalize(Z, y, subjects=people)
    labels, sets = model.predict_set(Z)
    assert sets[np.arange(len(Z)), labels].all()  # never empty
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.sets_of(frozen.predict_proba(Z)), sets)
    with pytest.raises(ValueError, match=r"\(n_windows, 3\)"):
        model.sets_of(np.ones((4, 2)))
    for wrong in (5.0, np.nan):
        with pytest.raises(ValueError, match="add up to 1"):
            model.sets_of(np.full((4, 3), wrong))
    with pytest.raises(ValueError, match="does not know the labels joy"):
        model.coverage(Z[:2], ["joy", "joy"], subjects=["a", "a"])


def test_too_few_people_for_a_level(frozen):
    Z, y, people = crowd(8, 1)
    with pytest.raises(ValueError, match="need 9 people .* got 8"):
        ConformalClassifier(frozen).conformalize(Z, y, subjects=people)
    loose = ConformalClassifier(frozen, finite_sample=False)
    assert loose.conformalize(Z, y, subjects=people).n_conformalization_subjects_ == 8
    Z, y, people = crowd(9, 1)
    assert ConformalClassifier(frozen).conformalize(Z, y, subjects=people).quantile_ < 1


def test_windows_know_their_people(windows):
    number = windows.metadata["subject"].astype(int).to_numpy()
    model = ConformalClassifier(entropy_model(), confidence_level=0.6)
    model.fit(windows[number < 3])
    with pytest.raises(ValueError, match="was fitted to SimA/02"):
        model.conformalize(windows[number > 1])
    table = model.conformalize(windows[number > 2]).coverage(windows[number > 2])
    assert table["subject"].tolist() == ["SimA/03", "SimA/04", "SimA/05"]
    assert table["coverage"].mean() >= 0.6
    with pytest.raises(ValueError, match="does not know the labels other"):
        y = np.where(windows.y == windows.y[0], "other", windows.y)
        model.conformalize(windows[number > 2], y[number > 2])


@pytest.mark.parametrize("options, said", [
    ({"confidence_level": 1.0}, "confidence_level must be"),
    ({"conformity_score": "raps"}, "conformity_score must be"),
])  # fmt: skip
def test_parameters_of_sets(frozen, options, said):
    Z, y, people = crowd(10, 1)
    with pytest.raises(ValueError, match=said):
        ConformalClassifier(frozen, **options).conformalize(Z, y, subjects=people)


def test_an_error_leaves_the_sets_that_were_learnt(frozen):
    Z, y, people = crowd(12, 3)
    model = ConformalClassifier(frozen).conformalize(Z, y, subjects=people)
    sets = model.predict_set(Z)[1]
    with pytest.raises(ValueError, match="features"):
        model.conformalize(Z[:, :1], y, subjects=people)
    assert np.array_equal(model.predict_set(Z)[1], sets)
