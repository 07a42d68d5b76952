"""Protocols and their tables: right numbers, nothing that leaks, nothing done twice."""

import functools
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from scipy.stats import wilcoxon
from settings import TINY, tiny_encoder
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.cluster import KMeans
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    roc_auc_score,
)
from sklearn.model_selection import KFold, LeaveOneGroupOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback

from sklearn_mdjpt import (
    DifferentialEntropy,
    EEGWindows,
    MDJPTClassifier,
    MDJPTEncoder,
    SubjectScaler,
    WindowFeatures,
    concat_windows,
)
from sklearn_mdjpt.evaluation import _neighbours as neighbours
from sklearn_mdjpt.evaluation import (
    ablation,
    assert_unseen,
    compare,
    few_shot,
    leave_one_dataset_out,
    leave_subjects_out,
    plot,
    pretrain,
    scaling,
    summary,
    zero_shot,
)
from sklearn_mdjpt.evaluation._labelled import LabelledWindows
from sklearn_mdjpt.model_selection import (
    FewShotSubjects,
    LeakageWarning,
    LeaveSubjectsAndStimuliOut,
)


def entropy_model():
    return make_pipeline(
        DifferentialEntropy(channels="canonical"), LogisticRegression(max_iter=5000)
    )


def mdjpt_model(**parameters):
    return make_pipeline(tiny_encoder(**parameters), LogisticRegression())


def value(table, **wanted):
    """Return the one value of a table that is meant."""
    for name, what in wanted.items():
        table = table[table[name] == what]
    assert len(table) == 1, table
    return table["value"].item()


@pytest.fixture
def windows(make_windows):
    return make_windows(n_subjects=4, n_stimuli=6, trial_seconds=2.0)


@pytest.fixture
def three_sets(make_windows):
    return concat_windows(
        [
            make_windows((name,), n_subjects=4, n_stimuli=3, random_state=k)
            for k, name in enumerate("ABC")
        ]
    )


# Scores -----------------------------------------------------------------------


class Told(ClassifierMixin, BaseEstimator):
    """Gives windows the scores that a function finds for them."""

    def __init__(self, function=None):
        self.function = function

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return self.function(X)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(1)]


def meaningless_scores(X):
    return softmax(np.asarray(X)[:, 0, :3] / 1e-5, axis=1)


def test_scores_are_those_of_scikit_learn(windows):
    table = leave_subjects_out({"told": Told(meaningless_scores)}, windows)
    table = table[table["method"] == "told"]
    scores, subjects = meaningless_scores(windows), windows.groups("subject")
    predicted = np.unique(windows.y)[scores.argmax(1)]
    assert set(table["subject"]) == set(subjects)
    for subject in set(subjects):
        mine = subjects == subject
        y, p, s = windows.y[mine], predicted[mine], scores[mine]
        about = {"subject": subject, "unit": "window"}
        assert value(table, metric="accuracy", **about) == accuracy_score(y, p)
        expected = balanced_accuracy_score(y, p)
        assert np.isclose(value(table, metric="balanced_accuracy", **about), expected)
        assert np.isclose(value(table, metric="recall", **about), expected)
        expected = f1_score(y, p, average="macro")
        assert np.isclose(value(table, metric="f1", **about), expected)
        expected = roc_auc_score(y, s, multi_class="ovr")
        assert np.isclose(value(table, metric="roc_auc", **about), expected)


def test_a_trial_is_scored_by_the_mean_of_its_windows(windows):
    # Two windows a trial; the first is surer than the second, which is wrong.
    label_of = dict(zip(windows.metadata["stimulus"], windows.y, strict=True))
    classes = sorted(set(windows.y))

    def scores(X):
        labels = [label_of[stimulus] for stimulus in X.metadata["stimulus"]]
        codes = np.array([classes.index(label) for label in labels])
        truth, wrong = np.eye(3)[codes], np.eye(3)[(codes + 1) % 3]
        first = X.metadata["onset"].to_numpy() == 0
        return np.where(first[:, None], 0.9 * truth, 0.4 * wrong)

    table = leave_subjects_out({"told": Told(scores)}, windows)
    table = table[table["method"] == "told"]
    accuracy = table[table["metric"] == "accuracy"].groupby("unit")["value"].mean()
    assert accuracy["window"] == 0.5
    assert accuracy["trial"] == 1.0
    assert set(table.loc[table["unit"] == "trial", "n"]) == {6}


def test_trials_of_several_labels_are_not_scored_as_one(windows):
    y = np.where(np.arange(len(windows)) % 2 == 0, "a", "b")
    table = leave_subjects_out({"DE": entropy_model()}, windows, y)
    assert set(table["unit"]) == {"window"}


def test_chance_is_what_guessing_gives_in_the_long_run(make_windows):
    # Classes of unequal frequency.
    X = make_windows(n_subjects=2, n_stimuli=10, trial_seconds=1.0)
    y = np.array(["a"] * 6 + ["b"] * 3 + ["c"])
    model = Told(meaningless_scores)
    table = leave_subjects_out(model, X, np.tile(y, 2))
    chance = table[(table["method"] == "chance") & (table["unit"] == "window")]
    chance = chance[chance["subject"] == "A/01"]
    rng = np.random.default_rng(0)
    # Of many repetitions of the same windows, as precision is no mean of small ones.
    many = np.tile(y, 20_000)
    guessed = rng.choice(["a", "b", "c"], len(many))
    assert np.isclose(
        value(chance, metric="accuracy"), accuracy_score(many, guessed), atol=0.005
    )
    expected = balanced_accuracy_score(many, guessed)
    assert np.isclose(value(chance, metric="balanced_accuracy"), expected, atol=0.005)
    expected = f1_score(many, guessed, average="macro")
    assert np.isclose(value(chance, metric="f1"), expected, atol=0.005)
    assert value(chance, metric="roc_auc") == 0.5


def test_majority_is_that_of_the_training_windows(windows):
    y = np.array(windows.y)
    first = windows.groups("subject") == "A/01"
    # The one subject is mostly "positive", all others mostly "negative".
    y[first] = np.where(np.arange(first.sum()) % 4 == 0, "negative", "positive")
    y[~first] = np.where(np.arange((~first).sum()) % 4 == 0, "positive", "negative")
    table = leave_subjects_out({"DE": entropy_model()}, windows, y)
    majority = table[(table["method"] == "majority") & (table["unit"] == "window")]
    majority = majority[majority["metric"] == "accuracy"].set_index("subject")["value"]
    assert majority["A/01"] == 0.25
    assert majority["A/02"] == 0.75


def test_one_class_in_a_test_subject_is_flagged(windows):
    y = np.array(windows.y)
    one = windows.groups("subject") == "A/02"
    y[one] = "neutral"
    with pytest.warns(UserWarning, match="1 test subjects have .* A/02"):
        table = leave_subjects_out({"DE": entropy_model()}, windows, y)
    mine = table[(table["subject"] == "A/02") & (table["method"] == "DE")]
    assert set(mine["n_classes"]) == {1}
    assert mine.loc[mine["metric"] == "roc_auc", "value"].isna().all()
    others = table[(table["subject"] == "A/01") & (table["metric"] == "roc_auc")]
    assert others["value"].notna().all()
    # What is NaN does not count.
    counts = summary(table, metric="roc_auc").set_index("method")["n_subjects"]
    assert counts["DE"] == 3


def test_parameters_named_weights_need_be_no_files(windows, tmp_path):
    model = make_pipeline(DifferentialEntropy(), KNeighborsClassifier(3))
    one = leave_subjects_out(model, windows, cv=2, cache_dir=tmp_path)
    model.set_params(kneighborsclassifier__weights="distance")
    two = leave_subjects_out(model, windows, cv=2, cache_dir=tmp_path)
    # Votes by distance are scores of their own, and no result of before.
    assert one["value"].tolist() != two["value"].tolist()


def test_models_without_probabilities_are_scored(windows):
    model = make_pipeline(DifferentialEntropy(), RidgeClassifier())
    table = leave_subjects_out({"ridge": model}, windows)
    mine = table[table["method"] == "ridge"]
    of_probabilities = {"log_loss", "brier_score", "calibration_error"}
    without = mine["value"].isna()
    assert (without == mine["metric"].isin(of_probabilities)).all()


# Leave subjects out -----------------------------------------------------------


def test_leave_subjects_out_equals_cross_validation(windows):
    table, predictions = leave_subjects_out(
        {"DE": entropy_model()}, windows, return_predictions=True
    )
    subjects = windows.groups("subject")
    expected = cross_val_predict(
        entropy_model(), windows, windows.y, groups=subjects, cv=LeaveOneGroupOut()
    )
    predicted = predictions.set_index("window")["predicted"]
    assert predicted[np.arange(len(windows))].tolist() == expected.tolist()
    for subject in set(subjects):
        mine = subjects == subject
        assert value(
            table, method="DE", subject=subject, unit="window", metric="accuracy"
        ) == accuracy_score(windows.y[mine], expected[mine])
    assert (table["leak"] == "").all()
    assert predictions["label"].tolist() == windows.y[predictions["window"]].tolist()


def test_an_int_is_a_number_of_folds_of_subjects(windows):
    table = leave_subjects_out({"DE": entropy_model()}, windows, cv=2)
    scored = table[table["method"] == "DE"].groupby("split")["subject"].nunique()
    assert scored.tolist() == [2, 2]


def test_subjects_and_stimuli_can_be_left_out_together(windows):
    cv = LeaveSubjectsAndStimuliOut(n_stimulus_splits=2, random_state=0)
    _, predictions = leave_subjects_out(
        {"DE": entropy_model()}, windows, cv=cv, return_predictions=True
    )
    assert sorted(predictions["window"]) == list(range(len(windows)))


def test_results_do_not_depend_on_the_number_of_jobs(windows):
    models = {"DE": entropy_model(), "mdJPT": mdjpt_model()}
    one = leave_subjects_out(models, windows, cv=2)
    two = leave_subjects_out(models, windows, cv=2, n_jobs=2)
    pd.testing.assert_frame_equal(
        one.drop(columns="seconds"), two.drop(columns="seconds")
    )


def test_models_stay_as_they_are(windows):
    model = mdjpt_model()
    leave_subjects_out({"mdJPT": model}, windows, cv=2)
    assert not hasattr(model[0], "module_")
    assert model[0].weights is None


# Few-shot ---------------------------------------------------------------------


def test_few_shot_pretrains_on_the_source_and_fits_on_the_few(three_sets, tmp_path):
    target = three_sets.groups("dataset") == "C"
    X, source = three_sets[target], three_sets[~target]
    _, predictions = few_shot(
        {"mdJPT": mdjpt_model()}, X, source=source, train_size=2, n_splits=2,
        random_state=3, return_predictions=True,
    )  # fmt: skip
    encoder = tiny_encoder().fit(source)
    encoder.save(tmp_path / "e.safetensors")
    splitter = FewShotSubjects(2, 2, random_state=3)
    for k, (train, test) in enumerate(splitter.split(X, X.y)):
        model = make_pipeline(
            tiny_encoder(weights=str(tmp_path / "e.safetensors")), LogisticRegression()
        )
        expected = model.fit(X[train], X.y[train]).predict(X[test])
        mine = predictions[predictions["split"] == k]
        assert mine["window"].tolist() == test.tolist()
        assert mine["predicted"].tolist() == expected.tolist()


def test_several_targets_are_taken_one_by_one(three_sets):
    X = three_sets[three_sets.groups("dataset") != "A"]
    source = three_sets[three_sets.groups("dataset") == "A"]
    options = {"train_size": 2, "n_splits": 2}
    both, predictions = few_shot(
        {"m": mdjpt_model()}, X, source=source, return_predictions=True, **options
    )
    rows = X.groups("dataset") == "C"
    alone = few_shot({"m": mdjpt_model()}, X[rows], source=source, **options)
    mine = both[both["dataset"] == "C"].drop(columns="seconds")
    pd.testing.assert_frame_equal(
        mine.sort_values(list(mine)[:7], ignore_index=True),
        alone.drop(columns="seconds").sort_values(list(mine)[:7], ignore_index=True),
    )
    names = X.groups("dataset")[predictions["window"]]
    assert names.tolist() == predictions["dataset"].tolist()


def test_test_subjects_reach_no_training(three_sets):
    # What is predicted of one test subject does not change with the labels and signals
    # of all the others.
    target = three_sets.groups("dataset") == "C"
    X, source = three_sets[target], three_sets[~target]
    options = {"source": source, "train_size": 2, "n_splits": 1, "random_state": 0}
    train, test = next(FewShotSubjects(2, 1, random_state=0).split(X, X.y))
    _, before = few_shot({"m": mdjpt_model()}, X, return_predictions=True, **options)
    who = X.groups("subject")
    kept = who[test][0]
    others = np.array([i for i in test if who[i] != kept])
    y = np.array(X.y)
    y[others] = np.random.default_rng(0).permutation(y[others])
    recordings = []
    for recording in X.recordings:
        if recording.subject in {s.split("/")[1] for s in who[others]}:
            recording = type(recording)(
                np.random.default_rng(1).standard_normal(recording.signal.shape),
                recording.ch_names, recording.sfreq, recording.dataset,
                recording.subject, recording.session, recording.trials,
            )  # fmt: skip
        recordings.append(recording)
    changed = EEGWindows.from_recordings(
        recordings, window_seconds=1.0, stride_seconds=1.0
    )
    assert changed.groups("subject").tolist() == who.tolist()
    _, after = few_shot(
        {"m": mdjpt_model()}, changed, y, return_predictions=True, **options
    )
    scores = [name for name in before if name.startswith("score_")]
    one, two = (t[t["subject"] == kept][scores].to_numpy() for t in (before, after))
    assert len(one)
    np.testing.assert_array_equal(one, two)


def test_without_a_source_encoders_learn_from_the_few(windows):
    _, predictions = few_shot(
        {"m": mdjpt_model()}, windows, train_size=2, n_splits=1, return_predictions=True
    )
    train, test = next(FewShotSubjects(2, 1, random_state=0).split(windows, windows.y))
    expected = (
        mdjpt_model().fit(windows[train], windows.y[train]).predict(windows[test])
    )
    assert predictions["predicted"].tolist() == expected.tolist()


def test_a_classifier_without_an_encoder_gets_one(three_sets, monkeypatch):
    target = three_sets.groups("dataset") == "C"
    for name, setting in TINY.items():
        if name != "random_state":
            monkeypatch.setattr(
                MDJPTEncoder.__init__, "__defaults__",
                tuple(_with_default(name, setting)),
            )  # fmt: skip
    table = few_shot(
        MDJPTClassifier(max_epochs=1, random_state=0), three_sets[target],
        source=three_sets[~target], train_size=2, n_splits=1,
    )  # fmt: skip
    assert "MDJPTClassifier" in set(table["method"])


def _with_default(name, setting):
    import inspect

    for p in list(inspect.signature(MDJPTEncoder.__init__).parameters.values())[1:]:
        yield setting if p.name == name else p.default


# Zero-shot --------------------------------------------------------------------


@pytest.mark.parametrize("block_bytes", [1, 2**26])
def test_similarities_are_cosines_of_the_nearest(monkeypatch, block_bytes):
    monkeypatch.setattr(neighbours, "_BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((40, 5))
    Z[3] = 0
    codes, groups = rng.integers(0, 3, 40), rng.integers(0, 4, 40)
    codes[groups == 1] = 0
    similarities = neighbours.class_similarities(Z, codes, 4, groups)
    norms = np.maximum(np.linalg.norm(Z, axis=1), 1e-30)
    cosine = (Z @ Z.T) / np.outer(norms, norms)
    for i in range(40):
        for k in range(4):
            allowed = (codes == k) & (groups != groups[i])
            expected = cosine[i, allowed].max() if allowed.any() else -1
            assert np.isclose(similarities[i, k], expected, atol=1e-6)


def test_zero_shot_is_the_nearest_neighbour_among_other_subjects(windows):
    features = WindowFeatures(DifferentialEntropy(), [SubjectScaler()])
    table, predictions = zero_shot({"DE": features}, windows, return_predictions=True)
    Z, subjects = features.fit_transform(windows), windows.groups("subject")
    for subject in set(subjects):
        mine = subjects == subject
        knn = KNeighborsClassifier(1, metric="cosine").fit(Z[~mine], windows.y[~mine])
        expected = knn.predict(Z[mine])
        found = predictions[predictions["subject"] == subject]["predicted"]
        assert found.tolist() == expected.tolist()
    assert (table["leak"] == "").all()
    assert set(table["exclude"]) == {"subject"}
    assert table.loc[table["metric"] == "roc_auc", "value"].notna().all()


def test_looser_neighbours_are_flagged_and_find_their_own_trial(windows):
    # Features that say which trial it is, and nothing of the label.
    trials = pd.factorize(windows.groups("trial"))[0]
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((trials.max() + 1, 1, 100))
    X = EEGWindows.from_arrays(
        signal[trials], ch_names=["Cz"], sfreq=100, y=windows.y, dataset="A",
        **{k: windows.metadata[k] for k in ("subject", "session", "trial", "stimulus")},
    )  # fmt: skip

    class Samples(BaseEstimator):
        def fit(self, X, y=None):
            return self

        def fit_transform(self, X, y=None):
            return np.stack([x.ravel() for x in X])

        transform = fit_transform

    found = {}
    for exclude in ("subject", "trial", "window"):
        table = zero_shot({"m": Samples()}, X, exclude=exclude)
        found[exclude] = value(
            summary(table).rename(columns={"mean": "value"}), method="m"
        )
    assert found["window"] == 1.0
    assert found["trial"] < 0.8 and found["subject"] < 0.8
    assert set(table.loc[table["method"] == "m", "leak"]) == {"subject, trial"}


def test_zero_shot_leaves_classifiers_out(three_sets):
    target = three_sets.groups("dataset") == "C"
    X, source = three_sets[target], three_sets[~target]
    table = zero_shot(
        {
            "pipeline": mdjpt_model(),
            "encoder": tiny_encoder(),
            "classifier": MDJPTClassifier(tiny_encoder(), max_epochs=1),
        },
        X,
        source=source,
    )
    values = table[table["unit"] == "window"].set_index(["method", "subject", "metric"])
    values = values["value"].unstack("method")
    np.testing.assert_array_equal(values["pipeline"], values["encoder"])
    np.testing.assert_array_equal(values["classifier"], values["encoder"])


def test_zero_shot_says_what_it_cannot_do(windows, three_sets):
    with pytest.raises(ValueError, match="encoders of m have no weights; pass source"):
        zero_shot({"m": mdjpt_model()}, windows)
    with pytest.raises(ValueError, match="make none: LR"):
        zero_shot({"LR": LogisticRegression()}, windows)
    one = windows[windows.groups("subject") == "A/01"]
    with pytest.raises(ValueError, match="'A' has one subject only"):
        zero_shot({"DE": DifferentialEntropy()}, one)
    with pytest.raises(ValueError, match="exclude must be .*'session'"):
        zero_shot({"DE": DifferentialEntropy()}, windows, exclude="session")


# Leaks ------------------------------------------------------------------------


def test_a_subject_on_both_sides_is_refused_or_flagged(windows):
    cv = KFold(3, shuffle=True, random_state=0)
    with pytest.raises(ValueError, match="subjects are in both"):
        leave_subjects_out({"DE": entropy_model()}, windows, cv=cv)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = leave_subjects_out(
            {"DE": entropy_model()}, windows, cv=cv, on_leak="warn"
        )
    # Once, and not for each split.
    [text] = [str(w.message) for w in caught if w.category is LeakageWarning]
    assert "subjects are in both" in text and "in 3 splits" in text
    flagged = table.loc[table["method"] == "DE", "leak"]
    assert flagged.str.contains("subject").all()
    assert flagged.str.contains("trial").any()
    assert "subject" in summary(table).set_index("method").loc["DE", "leak"]


def test_encoders_that_saw_test_subjects_are_refused(windows, tmp_path):
    fitted = tiny_encoder().fit(windows)
    fitted.save(tmp_path / "seen.safetensors")
    saved = tiny_encoder(weights=tmp_path / "seen.safetensors")
    for encoder in (fitted, saved, FrozenEstimator(fitted)):
        model = make_pipeline(encoder, LogisticRegression())
        with pytest.raises(ValueError, match="pre-trained on 4 of the subjects"):
            leave_subjects_out({"m": model}, windows)
        with pytest.raises(ValueError, match="pre-trained on . of the subjects"):
            few_shot({"m": model}, windows, train_size=2, n_splits=1)
        with pytest.raises(ValueError, match="pre-trained on 4 of the subjects"):
            zero_shot({"m": model}, windows)
    with pytest.warns(LeakageWarning, match="pre-trained on 4 of the subjects"):
        table = leave_subjects_out(
            {"m": make_pipeline(saved, LogisticRegression())}, windows, on_leak="warn"
        )
    assert set(table.loc[table["method"] == "m", "leak"]) == {"pre-training"}


def test_a_source_with_test_subjects_is_refused(windows):
    with pytest.raises(ValueError, match="source holds 4 of the subjects of X: A/01"):
        few_shot({"m": mdjpt_model()}, windows, source=windows, n_splits=1)
    # A model that is not pre-trained has no use for it.
    few_shot({"DE": entropy_model()}, windows, source=windows, train_size=2, n_splits=1)


def test_weights_of_unknown_origin_are_flagged(windows, three_sets, tmp_path):
    other = three_sets[three_sets.groups("dataset") == "B"]
    path = tmp_path / "anonymous.safetensors"
    tiny_encoder().fit(other).save(path, anonymous=True)
    model = make_pipeline(tiny_encoder(weights=path), LogisticRegression())
    with pytest.warns(LeakageWarning, match="cannot be checked"):
        table = leave_subjects_out({"m": model}, windows, cv=2)
    assert set(table.loc[table["method"] == "m", "leak"]) == {"unknown"}


def test_fitted_encoders_bring_their_weights(windows, three_sets):
    other = three_sets[three_sets.groups("dataset") == "B"]
    fitted = tiny_encoder(max_epochs=3).fit(other)
    options = {"train_size": 2, "n_splits": 1, "return_predictions": True}
    _, brought = few_shot(
        make_pipeline(fitted, LogisticRegression()), windows, **options
    )
    _, trained = few_shot(mdjpt_model(max_epochs=3), windows, source=other, **options)
    scores = [name for name in brought if name.startswith("score_")]
    np.testing.assert_array_equal(brought[scores], trained[scores])


def test_assert_unseen_looks_into_functions(windows):
    encoder = tiny_encoder().fit(windows)
    bound = FunctionTransformer(encoder.transform)
    closed = FunctionTransformer(lambda X: encoder.transform(X))
    partial = FunctionTransformer(functools.partial(MDJPTEncoder.transform, encoder))
    for step in (bound, closed, partial):
        with pytest.raises(ValueError, match="pre-trained on"):
            assert_unseen(make_pipeline(step, LogisticRegression()), windows)


def test_frozen_features_that_saw_test_subjects_are_refused(windows, three_sets):
    features = WindowFeatures(DifferentialEntropy(channels="canonical"))
    head = LogisticRegression(max_iter=1000)
    seen = make_pipeline(FrozenEstimator(clone(features).fit(windows)), head)
    with pytest.raises(ValueError, match="WindowFeatures was fitted on 4 of the subj"):
        leave_subjects_out({"m": seen}, windows)
    inside = WindowFeatures(FrozenEstimator(clone(features).fit(windows)))
    with pytest.raises(ValueError, match="WindowFeatures was fitted on 4 of the subj"):
        assert_unseen(make_pipeline(inside, head), windows)
    other = three_sets[three_sets.groups("dataset") == "B"]
    frozen = FrozenEstimator(clone(features).fit(other))
    assert assert_unseen(make_pipeline(frozen, head), windows) == ""
    # Not frozen, they are fitted anew in each split.
    assert assert_unseen(make_pipeline(features.fit(windows), head), windows) == ""
    arrays = WindowFeatures(DifferentialEntropy(sfreq=200))
    unnamed = arrays.fit(np.asarray(windows))
    with pytest.warns(LeakageWarning, match="WindowFeatures are not known"):
        assert assert_unseen(FrozenEstimator(unnamed), windows) == "unknown"


def test_assert_unseen_passes_others(windows, three_sets):
    encoder = tiny_encoder().fit(three_sets[three_sets.groups("dataset") == "B"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (
            assert_unseen(make_pipeline(encoder, LogisticRegression()), windows) == ""
        )
        assert assert_unseen(entropy_model(), windows) == ""
        assert assert_unseen(tiny_encoder(), windows) == ""


# Cache ------------------------------------------------------------------------


class Counted(ClassifierMixin, BaseEstimator):
    """Counts its fits in a file, and fails if there is a file "fail"."""

    def __init__(self, folder, constant="neutral"):
        self.folder, self.constant = folder, constant

    def fit(self, X, y):
        fits = self.folder / "fits"
        n = len(fits.read_text()) if fits.exists() else 0
        if n == 2 and (self.folder / "fail").exists():
            raise RuntimeError("killed")
        fits.write_text("x" * (n + 1))
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.constant)

    @property
    def n_fits(self):
        return len((self.folder / "fits").read_text())


_NUMBERS = (number for number in range(3))


def takes_numbers(X):
    """Depend on what nobody can look into."""
    return _NUMBERS and X


class AfterFunction(Counted):
    def __init__(self, folder, function, constant="neutral"):
        super().__init__(folder, constant)
        self.function = function


class CallsFunction(Callback):
    def __init__(self, function):
        self.function = function


def test_an_interrupted_study_goes_on(windows, tmp_path):
    model, cache = Counted(tmp_path), tmp_path / "cache"
    expected = leave_subjects_out(model, windows)
    (tmp_path / "fits").unlink()
    (tmp_path / "fail").touch()
    with pytest.raises(RuntimeError, match="killed"):
        leave_subjects_out(model, windows, cache_dir=cache)
    assert model.n_fits == 2
    (tmp_path / "fail").unlink()
    table = leave_subjects_out(model, windows, cache_dir=cache)
    assert model.n_fits == 4
    again = leave_subjects_out(model, windows, cache_dir=cache)
    assert model.n_fits == 4
    pd.testing.assert_frame_equal(table, again)
    pd.testing.assert_frame_equal(
        table.drop(columns="seconds"), expected.drop(columns="seconds")
    )


def test_results_are_kept_for_the_same_work_only(windows, tmp_path):
    model, cache = Counted(tmp_path), tmp_path / "cache"

    def fits(model=model, X=windows, y=None, **options):
        before = model.n_fits if (tmp_path / "fits").exists() else 0
        leave_subjects_out(model, X, y, cv=2, cache_dir=cache, **options)
        return model.n_fits - before

    assert fits() == 2
    assert fits() == 0
    assert fits(Counted(tmp_path, "positive")) == 2
    assert fits(y=np.roll(windows.y, 2)) == 2
    assert fits(X=windows[:-2]) == 2
    # A name and a progress line are not work.
    assert fits({"another name": model}["another name"], verbose=1) == 0
    for path in (cache / "results").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(UserWarning, match="cannot be read"):
        assert fits() == 2
    assert fits() == 0


def test_more_that_results_are_kept_for(windows, tmp_path):
    model, cache = Counted(tmp_path), tmp_path / "cache"

    def fits(model=model, X=windows):
        before = model.n_fits if (tmp_path / "fits").exists() else 0
        leave_subjects_out(model, X, cv=2, cache_dir=cache)
        return model.n_fits - before

    assert fits() == 2
    # A model may read any column.
    aged = windows._with_column("age", np.arange(len(windows)))
    assert fits(X=aged) == 2 and fits(X=aged) == 0
    with config_context(transform_output="pandas"):
        assert fits() == 2

    class Edited(Counted):
        def predict(self, X):
            return np.full(len(X), "positive")

    assert fits(Edited(tmp_path)) == 2 and fits(Edited(tmp_path)) == 0
    assert fits() == 0


def test_what_is_not_known_is_not_kept_and_said_once(windows, tmp_path):
    sound = Counted(tmp_path)
    unknown = AfterFunction(tmp_path, takes_numbers)
    models = {"sound": sound, "unknown": unknown}
    options = {"cv": 2, "cache_dir": tmp_path / "cache"}
    message = "'unknown' .*takes_numbers.*_NUMBERS .* type generator"
    for n_fits in (4, 6):
        with pytest.warns(UserWarning, match=message) as caught:
            leave_subjects_out(models, windows, **options)
        assert len([w for w in caught if "not cached" in str(w.message)]) == 1
        assert sound.n_fits == n_fits
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        leave_subjects_out(unknown, windows, cv=2)


def test_pretraining_that_is_not_known_is_done_once_in_a_call(
    three_sets, tmp_path, monkeypatch
):
    fits = []
    fit = MDJPTEncoder.fit

    def counted(self, X, *args, **kwargs):
        if self.weights is None:
            fits.append(len(X))
        return fit(self, X, *args, **kwargs)

    monkeypatch.setattr(MDJPTEncoder, "fit", counted)
    target = three_sets.groups("dataset") == "C"
    callbacks = [CallsFunction(takes_numbers)]
    model = make_pipeline(tiny_encoder(callbacks=callbacks), LogisticRegression())
    options = {"source": three_sets[~target], "cache_dir": tmp_path / "cache"}
    for n_fits in (1, 2):
        ablation(
            model, three_sets[target], variants={"full": {}},
            protocols=("few_shot", "zero_shot"), train_size=2, n_splits=1, **options,
        )  # fmt: skip
        assert len(fits) == n_fits
    ready = pretrain(model, options["source"], options["cache_dir"])
    assert len(fits) == 3
    assert Path(ready["Pipeline"][0].weights).exists()


def test_fitted_encoders_of_one_initial_weight_and_two_shapes_are_two(
    windows, tmp_path
):
    """Their files were named by the weights alone."""
    models = {
        str(stride): make_pipeline(
            tiny_encoder(max_epochs=0, patch_stride=stride).fit(windows),
            LogisticRegression(),
        )
        for stride in (6, 12)
    }
    leave_subjects_out(models, windows, cv=2, cache_dir=tmp_path, on_leak="warn")
    files = list((tmp_path / "encoders").glob("*.safetensors"))
    assert len(files) == 2
    strides = {MDJPTEncoder.load(file).module_.config["patch_stride"] for file in files}
    assert strides == {6, 12}


def test_pretraining_is_done_once(three_sets, tmp_path, monkeypatch):
    target = three_sets.groups("dataset") == "C"
    fits = []
    fit = MDJPTEncoder.fit

    def counted(self, X, *args, **kwargs):
        if self.weights is None:
            fits.append(len(X))
        return fit(self, X, *args, **kwargs)

    monkeypatch.setattr(MDJPTEncoder, "fit", counted)
    models = {
        "LR": mdjpt_model(),
        "C=0.1": make_pipeline(tiny_encoder(), LogisticRegression(C=0.1)),
    }
    options = {"source": three_sets[~target], "train_size": 2, "n_splits": 2,
               "cache_dir": tmp_path / "cache"}  # fmt: skip
    first = few_shot(models, three_sets[target], **options)
    assert len(fits) == 1
    second = few_shot(models, three_sets[target], **options)
    zero_shot(models, three_sets[target], source=options["source"],
              cache_dir=options["cache_dir"])  # fmt: skip
    ready = pretrain(models, options["source"], options["cache_dir"])
    assert len(fits) == 1
    pd.testing.assert_frame_equal(first, second)
    loaded = MDJPTEncoder.load(ready["LR"][0].weights)
    assert set(loaded.training_datasets_) == {"A", "B"}


def test_results_without_a_cache_leave_nothing(
    windows, three_sets, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    other = three_sets[three_sets.groups("dataset") == "B"]
    few_shot(mdjpt_model(), windows, source=other, train_size=2, n_splits=1)
    assert not list(tmp_path.iterdir())


def test_wrong_cache_folders_are_refused(windows):
    with pytest.raises(ValueError, match="would make a folder of that name"):
        leave_subjects_out(entropy_model(), windows, cache_dir="~/cache")


# Studies ----------------------------------------------------------------------


def test_leave_one_dataset_out_transfers_to_each(three_sets):
    models = {"mdJPT": mdjpt_model(), "DE": entropy_model()}
    table = leave_one_dataset_out(models, three_sets, train_size=2, n_splits=1)
    found = table.groupby(["protocol", "dataset"])["method"].unique()
    assert len(found) == 6
    for methods in found:
        assert set(methods) == {"chance", "majority", "mdJPT", "DE"}
    target = three_sets.groups("dataset") == "B"
    alone = few_shot(
        models, three_sets[target], source=three_sets[~target], train_size=2, n_splits=1
    )
    means = summary(table)
    means = means[(means["protocol"] == "few_shot") & (means["dataset"] == "B")]
    assert means["mean"].tolist() == summary(alone)["mean"].tolist()
    with pytest.raises(ValueError, match="at least two datasets; X has B"):
        leave_one_dataset_out(models, three_sets[target])


def test_ablation_changes_the_encoder_alone(three_sets):
    target = three_sets.groups("dataset") == "C"
    variants = {
        "full": {},
        "without ISA": {"isa_weight": 0.0},
        "any onset": {"pairing": "stimulus-any-onset"},
        "labels": {"pairing": "label"},
        "untrained": {"max_epochs": 0},
    }
    table = ablation(
        mdjpt_model(lr=0.05), three_sets[target], source=three_sets[~target],
        variants=variants, train_size=2, n_splits=1,
        protocols=("few_shot", "zero_shot"),
    )  # fmt: skip
    assert list(dict.fromkeys(table["method"]))[2:] == list(variants)
    by_hand = few_shot(
        mdjpt_model(lr=0.05, isa_weight=0.0), three_sets[target],
        source=three_sets[~target], train_size=2, n_splits=1,
    )  # fmt: skip
    mine = table[(table["method"] == "without ISA") & (table["protocol"] == "few_shot")]
    assert (
        mine["value"].tolist()
        == by_hand[by_hand["method"] == "Pipeline"]["value"].tolist()
    )
    with pytest.raises(ValueError, match="no MDJPTEncoder in"):
        ablation(entropy_model(), three_sets[target], source=three_sets[~target])
    with pytest.raises(ValueError, match="[Ii]nvalid parameter 'isa'"):
        ablation(mdjpt_model(), three_sets[target], variants={"x": {"isa": 0}})


def test_scaling_trains_on_each_subset(three_sets):
    target = three_sets.groups("dataset") == "C"
    table = scaling(
        {"m": mdjpt_model()}, three_sets[target], source=three_sets[~target],
        train_size=2, n_splits=1,
    )  # fmt: skip
    mine = table[table["method"] == "m"]
    found = mine.groupby("n_sources")["sources"].unique()
    assert set(found[1]) == {"A", "B"}
    assert set(found[2]) == {"A + B"}
    means = summary(table)
    assert means.loc[means["method"] == "m", "n_sources"].tolist() == [1, 2]
    few = scaling(
        {"m": mdjpt_model()}, three_sets[target], source=three_sets[~target],
        sizes=[1], n_repeats=1, train_size=2, n_splits=1,
    )  # fmt: skip
    assert few["sources"].nunique() == 1
    with pytest.raises(ValueError, match="source has 2 datasets"):
        scaling(
            mdjpt_model(), three_sets[target], source=three_sets[~target], sizes=[3]
        )


# Tables -----------------------------------------------------------------------


def made_table():
    """Scores of 8 subjects in two splits, of two methods and chance."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(8):
        for split in range(2):
            base = rng.uniform(0.4, 0.8)
            for method, more in (("chance", None), ("a", 0.0), ("b", 0.1)):
                value = (
                    0.5 if more is None else base + more + 0.05 * rng.standard_normal()
                )
                rows.append(
                    {
                        "protocol": "few_shot",
                        "dataset": "D",
                        "method": method,
                        "split": split,
                        "subject": f"D/{k}",
                        "unit": "window",
                        "metric": "balanced_accuracy",
                        "value": value,
                        "n": 10,
                        "n_classes": 2,
                        "leak": "",
                        "seconds": 1.0,
                    }  # fmt: skip
                )
    return pd.DataFrame(rows)


def test_summary_counts_each_subject_once():
    table = made_table()
    means = summary(table).set_index("method")
    values = table[table["method"] == "b"].groupby("subject")["value"].mean()
    assert np.isclose(means.loc["b", "mean"], values.mean())
    assert np.isclose(means.loc["b", "sd"], values.std(ddof=1))
    assert means.loc["b", "n_subjects"] == 8
    assert means.loc["b", "low"] < means.loc["b", "mean"] < means.loc["b", "high"]
    # The interval is about that of the mean's standard error.
    width = means.loc["b", "high"] - means.loc["b", "low"]
    assert 0.5 < width / (2 * 1.96 * values.std(ddof=1) / np.sqrt(8)) < 1.2
    assert summary(table).equals(summary(table))
    # Repetitions that the user marks are kept apart.
    twice = pd.concat([table.assign(cap="wet"), table.assign(cap="dry")])
    assert len(summary(twice)) == 6
    # A mark called like a result was replaced by it.
    for function in (summary, partial(compare, reference="a")):
        with pytest.raises(ValueError, match="own columns may not be called .*low, p"):
            function(table.assign(low="yes", p=0.5))


def test_compare_pairs_subjects():
    table = made_table()
    result = compare(table, "a").set_index("method")
    values = table.groupby(["method", "subject"])["value"].mean()
    difference = values["b"] - values["a"]
    assert np.isclose(result.loc["b", "difference"], difference.mean())
    assert np.isclose(result.loc["b", "p"], wilcoxon(difference).pvalue)
    assert result.loc["b", "n_better"] == (difference > 0).sum()
    assert np.isnan(result.loc["chance", "p_holm"])
    assert result.loc["b", "p_holm"] == result.loc["b", "p"]
    with pytest.raises(ValueError, match="no method 'c'; the table has"):
        compare(table, "c")
    # A column that one of several protocols does not have is no difference.
    both = pd.concat([table, table.assign(protocol="zero_shot", exclude="subject")])
    result = compare(both, "a")
    assert result["protocol"].tolist() == [*2 * ["few_shot"], *2 * ["zero_shot"]]


def test_holm_corrects_for_the_number_of_methods():
    table = made_table()
    rng = np.random.default_rng(1)
    for name in "cd":
        more = table[table["method"] == "b"].assign(method=name)
        more["value"] += 0.1 * rng.standard_normal(len(more))
        table = pd.concat([table, more])
    result = compare(table, "a").dropna(subset="p_holm").sort_values("p")
    p, corrected = result["p"].to_numpy(), result["p_holm"].to_numpy()
    assert len(p) == 3 and p[0] < p[2]
    expected = [3 * p[0], max(3 * p[0], 2 * p[1]), max(3 * p[0], 2 * p[1], p[2])]
    np.testing.assert_allclose(corrected, np.minimum(expected, 1))


def test_plot_shows_methods_and_chance():
    plt = pytest.importorskip("matplotlib.pyplot")
    ax = plot(made_table())
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["a", "b"]
    assert "balanced accuracy" in ax.get_xlabel() and "%" in ax.get_xlabel()
    assert any(text.get_text() == "chance" for text in ax.texts)
    figure, mine = plt.subplots()
    assert plot(made_table(), ax=mine) is mine
    plt.close("all")
    with pytest.raises(ValueError, match="no scores of unit 'trial'"):
        plot(made_table(), unit="trial")


# What users pass --------------------------------------------------------------


def test_wrong_input_is_named(windows):
    model = entropy_model()
    with pytest.raises(TypeError, match="X must be EEGWindows.*ndarray.*from_arrays"):
        leave_subjects_out(model, np.zeros((4, 8, 100)))
    with pytest.raises(ValueError, match="named .chance."):
        leave_subjects_out({"chance": model}, windows)
    with pytest.raises(TypeError, match="must be an estimator"):
        leave_subjects_out({"m": LogisticRegression}, windows)
    with pytest.raises(ValueError, match="models is empty"):
        leave_subjects_out({}, windows)
    with pytest.raises(ValueError, match=r"y has shape \(3,\)"):
        leave_subjects_out(model, windows, ["a", "b", "a"])
    with pytest.raises(ValueError, match="only one class in y: 'x'"):
        leave_subjects_out(model, windows, ["x"] * len(windows))
    y = np.array(windows.y, dtype=object)
    y[3] = None
    with pytest.raises(ValueError, match="1 of 48 windows have no label"):
        leave_subjects_out(model, windows, y)
    with pytest.raises(ValueError, match="on_leak must be"):
        leave_subjects_out(model, windows, on_leak="ignore")
    with pytest.raises(ValueError, match="protocols must be"):
        leave_one_dataset_out(model, windows, protocols="one_shot")
    without = EEGWindows.from_arrays(
        np.random.default_rng(0).standard_normal((6, 2, 100)), ch_names=["Cz", "Pz"],
        sfreq=100, y=["a", "b"] * 3,
    )  # fmt: skip
    with pytest.raises(ValueError, match="no subject"):
        leave_subjects_out(model, without)


def test_a_clone_of_a_model_is_scored_alike(windows):
    model = entropy_model()
    one = leave_subjects_out({"m": model}, windows)
    two = leave_subjects_out({"m": clone(model)}, windows)
    pd.testing.assert_frame_equal(
        one.drop(columns="seconds"), two.drop(columns="seconds")
    )


def test_frozen_encoders_encode_each_window_once(three_sets, monkeypatch):
    target = three_sets.groups("dataset") == "C"
    X, source = three_sets[target], three_sets[~target]
    models = {"LR": mdjpt_model(), "MLP": MDJPTClassifier(tiny_encoder(), "lds")}
    models["MLP"].set_params(max_epochs=1, random_state=0)
    options = {"source": source, "train_size": 2, "n_splits": 3}
    encoded = []
    transform = MDJPTEncoder.fit_transform

    def counted(self, X, *args, **kwargs):
        encoded.append(len(X))
        return transform(self, X, *args, **kwargs)

    monkeypatch.setattr(MDJPTEncoder, "fit_transform", counted)
    once = few_shot(models, X, **options)
    assert encoded == [len(X)]
    monkeypatch.setattr(
        "sklearn_mdjpt.evaluation._cases.encodes_once", lambda *args: False
    )
    anew = few_shot(models, X, **options)
    assert len(encoded) > 6
    pd.testing.assert_frame_equal(
        once.drop(columns="seconds"), anew.drop(columns="seconds"), rtol=1e-4
    )


def test_encoders_encode_anew_where_features_depend_on_the_split(windows, three_sets):
    from sklearn.model_selection import GridSearchCV

    from sklearn_mdjpt.evaluation._cases import Case
    from sklearn_mdjpt.evaluation._encoded import encodes_once

    X = LabelledWindows(windows, None)
    by_subject = list(FewShotSubjects(2, 1).split(windows, windows.y))
    by_stimulus = list(LeaveSubjectsAndStimuliOut().split(windows, windows.y))
    encoder = tiny_encoder(weights="a.safetensors")

    def once(encoder, splits=by_subject, model=None):
        model = make_pipeline(encoder, LogisticRegression()) if model is None else model
        return encodes_once(model, Case({}, model, X, splits))

    assert once(encoder)
    assert not once(encoder, by_stimulus)
    assert once(clone(encoder).set_params(subject_norm=None), by_stimulus)
    assert not once(clone(encoder).set_params(subject_norm="train"))
    assert not once(clone(encoder).set_params(finetune=True))
    assert not once(tiny_encoder())
    pipeline = make_pipeline(encoder, LogisticRegression())
    search = GridSearchCV(pipeline, {"mdjptencoder__feature": ["mean", "de"]})
    assert not once(encoder, model=search)


class Fixed(ClassifierMixin, BaseEstimator):
    """Predicts whatever it is told to."""

    def __init__(self, value=None):
        self.value = value

    def fit(self, X, y):
        if np.ndim(self.value) == 0 and self.value == "boom":
            raise RuntimeError("boom")
        return self

    def predict(self, X):
        return self.value if np.ndim(self.value) else np.full(len(X), self.value)


def test_predictions_that_are_no_class_are_refused(windows):
    for value in (7, "zzz", "positive "):
        with pytest.raises(ValueError, match="none of the classes negative, neutral"):
            leave_subjects_out(Fixed(value), windows)
    with pytest.raises(ValueError, match=r"shape \(2,\) for 12 windows"):
        leave_subjects_out(Fixed(np.array(["neutral", "neutral"])), windows)
    y = np.where(windows.y == "neutral", 1, 2)
    assert len(leave_subjects_out(Fixed(1), windows, y))
    with pytest.raises(ValueError, match="none of the classes 1, 2: 7"):
        leave_subjects_out(Fixed(7), windows, y)


def test_an_error_says_in_which_model_it_was(windows):
    with pytest.raises(RuntimeError) as caught:
        leave_subjects_out({"DE": entropy_model(), "mine": Fixed("boom")}, windows)
    [note] = caught.value.__notes__
    assert "mine" in note and "split 1" in note


def test_models_that_are_no_classifiers_are_refused_at_once(windows):
    for model in (tiny_encoder(), DifferentialEntropy()):
        with pytest.raises(ValueError, match="without predict: m. Put a classifier"):
            few_shot({"m": model}, windows)
    for model, message in (
        (KMeans(3), "no classifiers: Pipeline"), (Ridge(), "Regressors predict numbers")
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            leave_subjects_out(make_pipeline(DifferentialEntropy(), model), windows)
    with pytest.raises(TypeError, match="a dict from name to estimator, got a list"):
        leave_subjects_out([entropy_model()], windows)
    with pytest.raises(TypeError, match="must be one estimator"):
        ablation({"m": mdjpt_model()}, windows)


def test_studies_refuse_trained_encoders(three_sets, windows):
    fitted = tiny_encoder().fit(three_sets[three_sets.groups("dataset") == "B"])
    model = make_pipeline(fitted, LogisticRegression())
    with pytest.raises(ValueError, match="trains its own"):
        ablation(model, windows)
    with pytest.raises(ValueError, match="trains its own"):
        scaling(model, windows, source=three_sets)


@pytest.mark.parametrize("cv", ["kfold", True, LeaveOneGroupOut])
def test_what_is_no_splitter_is_refused(windows, cv):
    with pytest.raises(TypeError, match="cv must be a splitter"):
        leave_subjects_out(entropy_model(), windows, cv=cv)


def test_splits_may_be_masks_and_have_no_window_twice(windows):
    test = windows.groups("subject") == "A/01"
    masks = leave_subjects_out(entropy_model(), windows, cv=[(~test, test)])
    rows = np.flatnonzero(test)
    places = [(np.flatnonzero(~test), rows)]
    positions = leave_subjects_out(entropy_model(), windows, cv=places)
    assert masks["value"].tolist() == positions["value"].tolist()
    with pytest.raises(ValueError, match="the same window twice"):
        leave_subjects_out(
            entropy_model(), windows, cv=[(places[0][0], np.r_[rows, rows])]
        )
    with pytest.raises(ValueError, match=r"mask of cv has shape \(2,\)"):
        leave_subjects_out(entropy_model(), windows, cv=[([True, False], rows)])


def test_classes_without_training_windows_are_named(windows):
    y = np.array(windows.y)
    y[windows.groups("subject") == "A/02"] = "surprise"
    with (
        pytest.warns(UserWarning, match="no model can be right there: surprise"),
        pytest.warns(UserWarning, match="of one class only"),
    ):
        leave_subjects_out(entropy_model(), windows, y)


def test_tables_come_back_from_files(windows, tmp_path):
    table = leave_subjects_out({"DE": entropy_model()}, windows)
    table.to_csv(tmp_path / "table.csv", index=False)
    read = pd.read_csv(tmp_path / "table.csv")
    pd.testing.assert_frame_equal(summary(read), summary(table), check_dtype=False)
    with pytest.raises(TypeError, match="must be a DataFrame of scores, got tuple"):
        summary((table, table))
    with pytest.raises(ValueError, match="confidence .*got 95"):
        summary(table, confidence=95)


def test_rows_of_a_picture_say_what_tells_them_apart():
    pytest.importorskip("matplotlib")
    one = made_table().assign(exclude=np.nan)
    two = made_table().assign(protocol="zero_shot", exclude="subject", leak="trial")
    labels = [x.get_text() for x in plot(pd.concat([one, two])).get_yticklabels()]
    assert labels[0] == "a, few_shot"
    assert "leak: trial" in labels[2] and "nan" not in "".join(labels)
