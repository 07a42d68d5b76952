"""Any classifier in evaluation: what it says of windows, of trials, and how surely."""

import re
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multiclass import (
    OneVsOneClassifier,
    OneVsRestClassifier,
    OutputCodeClassifier,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC, NuSVC
from sklearn.tree import DecisionTreeClassifier

from sklearn_mdjpt import DifferentialEntropy, EEGWindows, MDJPTEncoder
from sklearn_mdjpt.evaluation import leave_subjects_out
from sklearn_mdjpt.inspection import integrated_gradients

OVO = {"kernel": "linear", "decision_function_shape": "ovo"}


def loud_windows(n_classes, labels=None):
    """Windows that the loudness of their class tells apart without a mistake."""
    rng = np.random.default_rng(0)
    trial = np.tile(np.repeat(np.arange(2 * n_classes), 2), 3)
    signals = rng.standard_normal((len(trial), 4, 200))
    signals /= signals.std(axis=2, keepdims=True)
    gain = np.exp(trial % n_classes)[:, None, None]
    labels = labels or [f"class {k}" for k in range(n_classes)]
    return EEGWindows.from_arrays(
        1e-6 * gain * signals, ch_names=["Fz", "Cz", "Pz", "Oz"], sfreq=100.0,
        dataset="d", subject=np.repeat(np.arange(3), 4 * n_classes), trial=trial,
        y=[labels[k] for k in trial % n_classes],
    )  # fmt: skip


def scores_of(classifier, X, y=None):
    """Return the mean of each (metric, unit), and the warnings about scores."""
    model = make_pipeline(DifferentialEntropy(), StandardScaler(), classifier)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = leave_subjects_out({"mine": model}, X, y)
    table = table[table["method"] == "mine"]
    means = table.groupby(["metric", "unit"])["value"].mean()
    return means, [str(w.message) for w in caught if "scores" in str(w.message)]


@pytest.fixture(scope="module")
def loud():
    return {n: loud_windows(n) for n in (2, 3, 4)}


# What predicts without a mistake, and how its AUROC comes out.
PERFECT = {
    "probabilities": (GaussianNB(), 1.0),
    "forest": (RandomForestClassifier(10, random_state=0), 1.0),
    "one neighbour": (KNeighborsClassifier(1), 1.0),
    "centroids": (NearestCentroid(), 1.0),
    "one against the rest, as Pipeline": (make_pipeline(SVC(kernel="linear")), 1.0),
    "pairs put together": (OneVsOneClassifier(KNeighborsClassifier(3)), 1.0),
    "pairs of pairs": (OneVsOneClassifier(SVC(**OVO)), 1.0),
    "rest of pairs": (OneVsRestClassifier(GaussianNB()), 1.0),
    "isotonic": (CalibratedClassifierCV(GaussianNB(), method="isotonic", cv=2), 1.0),
    "votes": (VotingClassifier([("a", GaussianNB()), ("b", SVC())]), None),
    "codes": (OutputCodeClassifier(GaussianNB(), random_state=0, code_size=6), None),
}


@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize("name", PERFECT)
def test_a_classifier_without_mistakes_has_perfect_trials(loud, name, n_classes):
    classifier, auc = PERFECT[name]
    scores, said = scores_of(classifier, loud[n_classes])
    assert scores["accuracy", "window"] == scores["accuracy", "trial"] == 1.0
    for unit in ("window", "trial"):
        if auc is None:
            assert np.isnan(scores["roc_auc", unit])
        else:
            assert scores["roc_auc", unit] == auc
    assert not said


PAIRS = {
    "SVC": SVC(**OVO),
    "NuSVC": NuSVC(nu=0.1, decision_function_shape="ovo"),
    "search": GridSearchCV(SVC(**OVO), {"C": [1.0]}, cv=2),
    "pipeline": make_pipeline(StandardScaler(), SVC(**OVO)),
    "selection": RFE(SVC(**OVO), n_features_to_select=10),
}


@pytest.mark.parametrize("n_classes", [3, 4])
@pytest.mark.parametrize("name", PAIRS)
def test_columns_of_pairs_are_no_scores_of_classes(loud, name, n_classes):
    """Three classes make three pairs: trials scored 0.083, AUROC 0.5, not a word."""
    scores, said = scores_of(PAIRS[name], loud[n_classes])
    assert scores["accuracy", "window"] == scores["accuracy", "trial"] == 1.0
    assert np.isnan([scores["roc_auc", "window"], scores["roc_auc", "trial"]]).all()
    [text] = said
    assert "'mine' has no scores of classes in 3 of 3 splits" in text
    assert "decision_function_shape='ovo'" in text


def test_two_classes_make_one_pair(loud):
    scores, said = scores_of(SVC(**OVO), loud[2])
    assert scores["roc_auc", "trial"] == scores["accuracy", "trial"] == 1.0
    assert not said


def test_a_method_that_cannot_be_used_is_named(loud):
    classifier = GaussianProcessClassifier(multi_class="one_vs_one", optimizer=None)
    scores, [text] = scores_of(classifier, loud[3])
    assert scores["accuracy", "trial"] == 1.0 and np.isnan(scores["roc_auc", "trial"])
    assert "predict_proba raised ValueError" in text


@pytest.mark.parametrize("threshold", [1e-9, 1 - 1e-9])
def test_a_threshold_decides_on_trials_too(loud, threshold):
    """The mean of probabilities knows nothing of it: it would say 1.0 for trials."""
    X = loud[2]
    classifier = FixedThresholdClassifier(
        LogisticRegression(C=0.01), threshold=threshold, response_method="predict_proba"
    )
    scores, said = scores_of(classifier, X)
    assert scores["accuracy", "window"] == scores["accuracy", "trial"] == 0.5
    assert scores["roc_auc", "window"] == scores["roc_auc", "trial"] == 1.0
    assert not said


class Told(ClassifierMixin, BaseEstimator):
    """Predicts what it is told, and says what scores it is told."""

    def __init__(self, labels, values, method="predict_proba", classes=None):
        self.labels = labels
        self.values = values
        self.method = method
        self.classes = classes

    def fit(self, X=None, y=None):
        if self.classes is not None:
            self.classes_ = self.classes
        return self

    def predict(self, X):
        return self.labels

    def __getattr__(self, name):
        if name in ("predict_proba", "decision_function") and name == self.method:
            return lambda X: self.values
        raise AttributeError(name)


CLASSES = np.array(["a", "b", "c"])
TRUTH = np.array([0, 1, 2, 2, 1, 0])
PROBA = np.random.default_rng(0).dirichlet(np.ones(3), 6) + 2 * np.eye(3)[TRUTH]
PROBA /= PROBA.sum(axis=1, keepdims=True)


class Said(NamedTuple):
    """What evaluation makes of a model: labels, scores if it uses them, or why not."""

    labels: list
    scores: np.ndarray | None
    problem: str


def evaluate(model, y_train, y_test, trial=None):
    """Test a model on one person; return its scores of trials, and what it said."""
    y = np.array([*y_train, *y_test])
    is_test = np.arange(len(y)) >= len(y_train)
    if trial is not None:
        trial = [*range(len(y_train)), *trial]
    X = EEGWindows.from_arrays(
        np.random.default_rng(0).standard_normal((len(y), 2, 50)),
        ch_names=["Fz", "Cz"], sfreq=100.0, dataset="d", subject=is_test.astype(int),
        trial=trial,
    )  # fmt: skip
    cv = [(np.flatnonzero(~is_test), np.flatnonzero(is_test))]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table, predictions = leave_subjects_out(
            {"told": model}, X, y, cv=cv, return_predictions=True
        )
    problems = [str(w.message) for w in caught if "no scores of" in str(w.message)]
    said = predictions[predictions["method"] == "told"]
    columns = [f"score_{name}" for name in np.unique(y).tolist()]
    scores = said.reindex(columns=columns).to_numpy(float)
    assert np.isnan(scores).all() == bool(problems)
    table = table[(table["method"] == "told") & (table["unit"] == "trial")]
    return table.set_index("metric")["value"], Said(
        said["predicted"].tolist(),
        None if problems else scores,
        "".join(problems),
    )


def said_of(labels, values, classes=CLASSES, known=None, y_train=None, method=None):
    told = Told(labels, values, method or "predict_proba", known)
    y_train = classes if y_train is None else y_train
    return evaluate(told, y_train, np.resize(classes, len(labels)))[1]


@pytest.mark.parametrize(
    "make",
    [
        np.asarray,
        pd.DataFrame,
        np.float32,
        lambda values: values.tolist(),
        lambda values: 5 * values,  # rows need not add up to 1
    ],
    ids=["array", "table", "float32", "lists", "sums"],
)
def test_scores_may_come_in_any_form(make):
    said = said_of(CLASSES[TRUTH], make(PROBA), known=CLASSES)
    assert said.labels == CLASSES[TRUTH].tolist() and not said.problem
    expected = np.asarray(make(PROBA), float)
    assert np.array_equal(said.scores, expected)


@pytest.mark.parametrize(
    "as_type",
    [
        lambda x: np.asarray(x, dtype=object),
        lambda x: np.asarray(x, dtype="U30"),
        lambda x: pd.Series(x, dtype="string"),
        lambda x: [np.str_(v) for v in x],
        lambda x: pd.Categorical(x),
    ],
    ids=["object", "wide", "pandas", "list", "categories"],
)
def test_labels_are_compared_by_value(as_type):
    order = [2, 0, 1]
    said = said_of(
        as_type(CLASSES[TRUTH]), PROBA[:, order], known=as_type(CLASSES[order])
    )
    assert said.labels == CLASSES[TRUTH].tolist()
    assert np.array_equal(said.scores, PROBA)


@pytest.mark.parametrize("classes", [[3, 5, 9], [0.5, 1.5, 2.5]])
@pytest.mark.parametrize("dtype", [float, object, np.float64])
def test_numbers_are_compared_by_value(classes, dtype):
    classes = np.array(classes)
    said = said_of(
        classes[TRUTH].astype(dtype), PROBA[:, ::-1], classes, classes[::-1].tolist()
    )
    assert said.labels == classes[TRUTH].tolist()
    assert np.array_equal(said.scores, PROBA)


def test_truth_values_and_columns_of_labels_are_labels():
    classes, truth = np.array([False, True]), TRUTH > 0
    margin = np.where(truth, 1.0, -2.0)
    for known, sign in ((classes, 1), (classes[::-1].astype(object), -1)):
        said = said_of(
            truth[:, None], sign * margin, classes, known, method="decision_function"
        )
        assert said.labels == truth.tolist()
        # Above 0 is the second of the model's classes.
        assert np.array_equal(said.scores, np.stack([-margin, margin], axis=1))


def test_a_model_may_know_fewer_or_more_classes():
    y = CLASSES[[0, 2, 2, 0]]
    two = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    for known in (y[:2], None):  # without classes_ the training labels name columns
        said = said_of(y, two, known=known, y_train=CLASSES[[2, 0]])
        assert np.array_equal(said.scores[:, [0, 2]], two)
        assert (said.scores[:, 1] == 0).all()
    margin = np.array([-1.0, 2.0, 3.0, -4.0])
    said = said_of(y, margin, known=y[:2], method="decision_function")
    assert (said.scores[:, 1] == -5).all()  # lower than any
    more = np.c_[0.1 * PROBA[:, 0], PROBA]
    said = said_of(CLASSES[TRUTH], more, known=["other", *CLASSES])
    assert np.array_equal(said.scores, PROBA)
    # Columns that go by other names than what is predicted: by the training labels.
    said = said_of(CLASSES[TRUTH], PROBA, known=np.arange(3))
    assert np.array_equal(said.scores, PROBA)


@pytest.mark.parametrize(
    "values, known, message",
    [
        (np.repeat(PROBA, 2, axis=1), CLASSES, r"shape \(6, 6\) for 6 windows of 3"),
        ([PROBA, PROBA], CLASSES, r"shape \(2, 6, 3\)"),
        (PROBA[:, 0], CLASSES, r"shape \(6,\) for 6 windows of 3 classes"),
        (PROBA[:5], CLASSES, r"shape \(5, 3\)"),
        (np.where(PROBA < 0.1, np.nan, PROBA), CLASSES, "NaN or infinite for . of 6"),
        (PROBA[:, [1, 2, 0]], CLASSES, "class that predict gives in 0 of 6 windows"),
        (PROBA, CLASSES[[1, 2, 0]], "in 0 of 6 windows only"),
        (np.full((6, 3), "much"), CLASSES, "raised ValueError"),
    ],
)
def test_what_cannot_be_scores_of_classes_is_said(values, known, message):
    said = said_of(CLASSES[TRUTH], values, known=known)
    assert said.scores is None and said.labels == CLASSES[TRUTH].tolist()
    assert re.search(message, said.problem)


def test_reversed_scores_of_two_classes_are_no_scores():
    """Platt's probabilities of few windows can be the reverse of what is predicted."""
    y = CLASSES[[0, 1, 0, 1]]
    turned = np.array([[0.1, 0.9], [0.9, 0.1], [0.2, 0.8], [0.8, 0.2]])
    said = said_of(y, turned, CLASSES[:2], CLASSES[:2])
    assert said.scores is None and "lower for the class that predict" in said.problem

    class Both(Told):
        def decision_function(self, X):
            return np.array([-1.0, 1.0, -2.0, 2.0])

    _, said = evaluate(Both(y, turned, classes=CLASSES[:2]), CLASSES[:2], y)
    assert not said.problem and said.scores[:, 1].tolist() == [-1, 1, -2, 2]


def test_scores_are_warned_of_once_for_each_model(loud):
    model = make_pipeline(DifferentialEntropy(), SVC(**OVO))
    with pytest.warns(UserWarning, match="no scores of classes") as caught:
        leave_subjects_out({"one": model, "two": model}, loud[3])
    texts = [str(w.message) for w in caught if "no scores" in str(w.message)]
    assert [text[:5] for text in texts] == ["'one'", "'two'"]


def test_kept_results_warn_again(loud, tmp_path):
    model = make_pipeline(DifferentialEntropy(), SVC(**OVO))
    for _ in range(2):
        with pytest.warns(UserWarning, match="decision_function_shape='ovo'"):
            leave_subjects_out({"m": model}, loud[3], cache_dir=tmp_path)


# Trials and AUROC ----------------------------------------------------------------


def trial_table(codes, scores, labels, n_classes=2):
    """Score trials of three windows of one person."""
    classes = np.arange(n_classes)
    scores = np.asarray(scores, float)
    trial = np.repeat(np.arange(len(labels)), 3)
    told = Told(np.asarray(codes), scores, classes=classes)
    values, said = evaluate(told, classes, np.repeat(labels, 3), trial)
    assert said.labels == list(codes) and np.array_equal(said.scores, scores)
    return values


def test_a_trial_goes_by_the_mean_or_by_votes():
    sure, unsure = [0.1, 0.9], [0.6, 0.4]
    # The mean says 1, where scores say what is predicted; the votes say 0.
    assert trial_table([1, 0, 0, 0, 0, 0], [sure, unsure, unsure, *3 * [[0.9, 0.1]]],
                       [1, 0])["accuracy"] == 1.0  # fmt: skip
    # Here one window is predicted by a threshold: the votes count, in this trial.
    low = [0.7, 0.3]
    scores = [low, low, low, unsure, unsure, sure, *3 * [[0.9, 0.1]]]
    values = trial_table([1, 1, 0, 0, 0, 1, 0, 0, 0], scores, [1, 0, 0])
    # The second trial goes by its mean, 0.57.
    assert values["accuracy"] == pytest.approx(2 / 3)
    # As many votes for each of three classes: the highest mean of them.
    scores = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.1, 0.8, 0.1]])
    codes = [0, 1, 2, 0, 0, 0, 2, 2, 2]
    scores = [*scores, *3 * [[1, 0, 0]], *3 * [[0, 0, 1]]]
    assert trial_table(codes, scores, [1, 0, 2], 3)["accuracy"] == 1.0


def test_a_near_tie_is_no_disagreement():
    tie = [0.5, 0.5 + 1e-16]
    scores = [[0.5 + 1e-13, 0.5], tie, [0.1, 0.9], [1, 0], [1, 0], [1, 0]]
    assert trial_table([1, 0, 1, 0, 0, 0], scores, [1, 0])["accuracy"] == 1.0


def test_auc_is_that_of_scikit_learn_whatever_the_order_of_classes(loud):
    X = loud[3]
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(3), len(X))
    order = [2, 0, 1]
    classes = np.unique(X.y)

    class Noisy(Told):
        def fit(self, X, y):
            self.classes_ = classes[order]
            return self

        def predict(self, X):
            return classes[self._rows(X).argmax(axis=1)]

        def predict_proba(self, X):
            return self._rows(X)[:, order]

        def _rows(self, X):
            return scores[X.metadata["_position"].to_numpy()]

    table = leave_subjects_out({"noisy": Noisy(None, None)}, X)
    table = table[(table["method"] == "noisy") & (table["metric"] == "roc_auc")]
    windows = table[table["unit"] == "window"].set_index("subject")["value"]
    trials = table[table["unit"] == "trial"].set_index("subject")["value"]
    for subject in windows.index:
        mine = X.groups("subject") == subject
        y, s = X.y[mine], scores[mine]
        expected = roc_auc_score(y, s, multi_class="ovr")
        assert np.isclose(windows[subject], expected, rtol=0, atol=1e-12)
        y, s = y[::2], s.reshape(-1, 2, 3).mean(axis=1)
        expected = roc_auc_score(y, s, multi_class="ovr")
        assert np.isclose(trials[subject], expected, rtol=0, atol=1e-12)


def test_a_class_without_training_windows_counts_a_half(loud):
    X = loud[3]
    y = np.array(X.y)
    first = X.groups("subject") == "d/0"
    y[~first & (y == "class 2")] = "class 1"
    model = make_pipeline(DifferentialEntropy(), GaussianNB())
    with pytest.warns(UserWarning, match="no model can be right there: class 2"):
        table, predictions = leave_subjects_out(model, X, y, return_predictions=True)
    said = predictions[predictions["subject"] == "d/0"]
    assert (said["score_class 2"] == 0).all()
    values = table[(table["subject"] == "d/0") & (table["unit"] == "window")]
    value = values[(values["method"] == "Pipeline") & (values["metric"] == "roc_auc")]
    truth = said["label"].to_numpy()
    each = [
        roc_auc_score(truth == name, said[f"score_{name}"])
        for name in ("class 0", "class 1", "class 2")
    ]
    assert each[2] == 0.5
    assert np.isclose(value["value"].item(), np.mean(each))


def test_ridge_has_one_column_for_two_classes(loud):
    scores, _ = scores_of(RidgeClassifier(), loud[2])
    assert (scores.dropna() == 1).all() and len(scores.dropna()) == 12


# Attributions --------------------------------------------------------------------


def test_columns_of_pairs_are_not_attributed(make_windows):
    """They are affine and as many as the classes, but scores of none."""
    X = make_windows(n_subjects=2, n_stimuli=3, trial_seconds=2.0)
    encoder = MDJPTEncoder.small(
        hidden_dim=8, latent_dim=2, n_heads=1, n_filters=1, max_epochs=0, random_state=0
    ).fit(X)
    for svc in (SVC(**OVO), GridSearchCV(SVC(**OVO), {"C": [1.0]}, cv=2)):
        model = make_pipeline(FrozenEstimator(encoder), svc).fit(X, X.y)
        with pytest.raises(ValueError, match="column for each pair of classes, as dec"):
            integrated_gradients(model, X, n_steps=2)
    model = make_pipeline(FrozenEstimator(encoder), LinearSVC()).fit(X, X.y)
    result = integrated_gradients(model, X[:4], X.y[:4], n_steps=16)
    assert result.values.shape == (4, 60)


def test_models_that_predict_once_they_are_fitted(loud):
    stacked = StackingClassifier([("tree", DecisionTreeClassifier(random_state=0))])
    means, said = scores_of(stacked, loud[2])
    assert means.notna().all() and not said
