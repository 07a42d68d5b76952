"""evaluation.calibration: the score against the minutes of calibration."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import (
    DifferentialEntropy,
    EEGWindows,
    MDJPTEncoder,
    SubjectScaler,
    WindowFeatures,
)
from sklearn_mdjpt.compose import calibrate
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import calibration, compare, summary
from sklearn_mdjpt.plotting import plot_calibration


@pytest.fixture(scope="module")
def X():
    return make_emotion_windows(1, n_subjects=4, n_stimuli=6, random_state=0)


def _scaled(unseen="transductive"):
    features = WindowFeatures(DifferentialEntropy(), [SubjectScaler(unseen)])
    return make_pipeline(features, LogisticRegression(max_iter=5000))


def _plain():
    return make_pipeline(DifferentialEntropy(), LogisticRegression(max_iter=5000))


def _mine(table, **columns):
    for name, value in columns.items():
        table = table[table[name] == value]
    return table


def test_it_is_what_one_would_compute_by_hand(X):
    table = calibration({"DE": _scaled()}, X, minutes=(0, 0.25, "all"))
    subjects = X.groups("subject")
    trials = X.metadata["trial"].astype(int).to_numpy()
    for minutes in (0, 0.25, np.inf):
        for name in np.unique(subjects):
            train, mine = X[subjects != name], subjects == name
            order = np.unique(trials[mine])
            first = X[mine & np.isin(trials, order[: len(order) // 2])]
            onsets = first.metadata["onset"].to_numpy()
            first = first[np.lexsort((onsets, first.metadata["trial"].astype(int)))]
            test = X[mine & np.isin(trials, order[len(order) // 2 :])]
            model = clone(_scaled()).fit(train, train.y)
            if minutes:
                # Windows of 5 s every 2 s: those of a clip have a quarter of a minute.
                n = 6 if minutes == 0.25 else len(first)
                model = calibrate(model, first[np.arange(n)])
            found = _mine(table, method="DE", minutes=minutes, subject=name,
                          unit="window", metric="accuracy")  # fmt: skip
            assert found["value"].item() == model.score(test, test.y)
            assert found["n"].item() == len(test)


def test_labels_of_the_calibration_are_used_if_asked_for(X):
    table = calibration({"DE": _scaled()}, X, minutes=(0, "all"), labelled="both", cv=2)
    assert set(map(tuple, table[["minutes", "labelled"]].to_numpy())) == {
        (0.0, False), (np.inf, False), (np.inf, True),
    }  # fmt: skip
    alone = calibration({"DE": _scaled()}, X, minutes=("all",), labelled=True, cv=2)
    columns = ["subject", "unit", "metric", "value"]
    both = _mine(table, method="DE", minutes=np.inf, labelled=True)
    assert both[columns].to_numpy().tolist() == (
        _mine(alone, method="DE")[columns].to_numpy().tolist()
    )

    class Copies(ClassifierMixin, BaseEstimator):
        """Knows the labels of those windows that it was fitted to."""

        def fit(self, X, y):
            self.classes_ = np.unique(y)
            self.n_fit_ = len(y)
            return self

        def predict(self, X):
            seen.append((self.n_fit_, len(X)))
            return np.full(len(X), self.classes_[0])

    seen = []
    calibration({"n": Copies()}, X, minutes=(0, "all"), labelled="both")
    # Three people of 6 clips; the fourth has 3 clips of calibration and 3 of the test.
    half = len(X) // 8
    assert seen == [(6 * half, half), (6 * half, half), (7 * half, half)] * 4


def test_models_without_statistics_of_people_stay_the_same(X):
    table = calibration({"plain": _plain()}, X, minutes=(0, 0.25, "all"))
    found = _mine(table, method="plain", unit="window").groupby("minutes")["value"]
    values = [group.to_numpy() for _, group in found]
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_array_equal(values[0], values[2])


def test_encoders_and_the_cache(X, tmp_path):
    encoder = MDJPTEncoder.small(max_epochs=0, patch_stride=32, random_state=0)
    model = make_pipeline(encoder, LogisticRegression(max_iter=500))
    options = {"minutes": (0, "all"), "cv": 2, "cache_dir": tmp_path}
    table = calibration({"mdJPT": model}, X, **options)
    again = calibration({"mdJPT": model}, X, **options)
    assert table.equals(again)  # seconds included


def test_people_with_little_are_named(X):
    with pytest.warns(UserWarning, match="4 of 4 subjects have less than 5 minutes"):
        table = calibration({"DE": _scaled()}, X, minutes=(0, 5))
    assert set(table["minutes"]) == {0.0}


def test_summary_comparison_and_figure(X):
    models = {"by subject": _scaled(), "pooled": _scaled("pooled")}
    table = calibration(models, X, minutes=(0, 0.25, "all"), labelled="both")
    means = summary(table)
    assert len(means) == (2 + 2) * 5
    differences = compare(table, "pooled")
    assert set(differences["minutes"]) == {0.0, 0.25, np.inf}
    ax = plot_calibration(table)
    labels = [text.get_text() for text in ax.get_xticklabels()]
    assert labels == ["0", "0.25", "all"]
    names = ax.get_legend_handles_labels()[1]
    assert set(names) == {
        "chance", "by subject", "pooled", "by subject, labels used",
        "pooled, labels used",
    }  # fmt: skip
    with pytest.raises(ValueError, match="no column minutes"):
        plot_calibration(table.drop(columns="minutes"))


def test_windows_that_overlap_count_once(make_recordings):
    recordings = make_recordings("A", n_subjects=3, n_stimuli=6, trial_seconds=6.0)
    rows = {}
    for stride in (1.0, 2.0):
        X = EEGWindows.from_recordings(
            recordings, window_seconds=2.0, stride_seconds=stride
        )
        seen = []

        class Spy(SubjectScaler):
            def calibrate(self, X, *, subjects=None, seen=seen):
                seen.append(len(X))
                return super().calibrate(X, subjects=subjects)

        features = WindowFeatures(DifferentialEntropy(), [Spy()])
        model = make_pipeline(features, LogisticRegression(max_iter=5000))
        calibration({"DE": model}, X, minutes=(0.2,))  # two trials of 6 s
        rows[stride] = set(seen)
    assert rows == {1.0: {10}, 2.0: {6}}


def test_bad_input_is_refused(X):
    for minutes, error in [
        ("all", TypeError), (5, TypeError), ((), ValueError), ((1, 1.0), ValueError),
        ((-1,), ValueError), (("some",), ValueError),
    ]:  # fmt: skip
        with pytest.raises(error, match="minutes"):
            calibration({"DE": _scaled()}, X, minutes=minutes)
    with pytest.raises(ValueError, match="labelled must be"):
        calibration({"DE": _scaled()}, X, labelled="some")
    single = X[(X.metadata["trial"] == X.metadata["trial"].iloc[0]).to_numpy()]
    with pytest.raises(ValueError, match="single trial"):
        calibration({"DE": _scaled()}, single, np.arange(len(single)) % 2)
