"""Ratings: MDJPTRegressor, and regressors in the protocols."""

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_mdjpt import (
    DifferentialEntropy,
    MDJPTEncoder,
    MDJPTRegressor,
    SubjectScaler,
    WindowFeatures,
)
from sklearn_mdjpt.compose import calibrate
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import (
    RATING_METRICS,
    ablation,
    calibration,
    compare,
    few_shot,
    leave_one_dataset_out,
    leave_subjects_out,
    plot,
    summary,
    zero_shot,
)

TINY = {"hidden_dim": 16, "lr": 0.01, "torch_threads": 1, "random_state": 0}


@pytest.fixture(scope="module")
def X():
    """Return windows whose trials are rated from 1 to 9."""
    return make_emotion_windows(
        2, n_subjects=4, n_stimuli=5, n_emotions=5, stride_seconds=5.0,
        artifacts={"missing_ratings": 0.0}, random_state=0,
    )  # fmt: skip


def _ridge():
    features = WindowFeatures(DifferentialEntropy(), [SubjectScaler()])
    return make_pipeline(features, StandardScaler(), Ridge(100.0))


def _target(X, name="SimA"):
    part = X[X.groups("dataset") == name]
    return part, part.metadata["valence"].to_numpy(dtype=float)


@parametrize_with_checks(
    [MDJPTRegressor("passthrough", max_epochs=10, batch_size=32, **TINY | {"lr": 0.05})]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_metrics_by_hand(X):
    target, y = _target(X)

    class Knows(RegressorMixin, BaseEstimator):
        """Predicts what it is told, half as far from 5, and a point too high."""

        def fit(self, X, y):
            self.fitted_ = True
            return self

        def predict(self, X):
            rating = X.metadata["valence"].to_numpy(dtype=float)
            noise = np.random.default_rng(0).standard_normal(len(rating))
            return 6 + 0.5 * (rating - 5) + 0.1 * noise

    table = leave_subjects_out({"knows": Knows()}, target, y)
    assert set(table["metric"]) == set(RATING_METRICS)
    assert set(table["method"]) == {"mean", "knows"}
    one = table[(table["method"] == "knows") & (table["subject"] == "SimA/02")]
    found = one[one["unit"] == "window"].set_index("metric")["value"]
    mine = target.groups("subject") == "SimA/02"
    truth = y[mine]
    predicted = Knows().predict(target[mine])
    assert found["pearson"] == pytest.approx(pearsonr(truth, predicted)[0])
    covariance = np.cov(truth, predicted, bias=True)
    shift = (truth.mean() - predicted.mean()) ** 2
    expected = 2 * covariance[0, 1] / (np.trace(covariance) + shift)
    assert found["concordance"] == pytest.approx(expected)
    residual = np.square(truth - predicted).sum()
    total = np.square(truth - truth.mean()).sum()
    assert found["r2"] == pytest.approx(1 - residual / total)
    assert found["mae"] == pytest.approx(np.abs(truth - predicted).mean())
    assert found["rmse"] == pytest.approx(np.sqrt(residual / len(truth)))
    trial = one[one["unit"] == "trial"].set_index("metric")
    names = target[mine].metadata["trial"].to_numpy()
    means = [
        [values[names == name].mean() for name in dict.fromkeys(names)]
        for values in (truth, predicted)
    ]
    assert trial["value"]["pearson"] == pytest.approx(pearsonr(*means)[0])
    assert trial["n"]["pearson"] == 5
    mean = table[(table["method"] == "mean") & (table["subject"] == "SimA/02")]
    mean = mean[mean["unit"] == "window"].set_index("metric")["value"]
    assert mean["pearson"] == mean["concordance"] == 0
    assert mean["mae"] == pytest.approx(np.abs(truth - y[~mine].mean()).mean())


def test_all_protocols_take_regressors(X, tmp_path):
    target, y = _target(X)
    models = {"ridge": _ridge()}
    both = X.metadata["valence"].to_numpy(dtype=float)
    tables = [
        leave_subjects_out(models, target, y, cv=2, cache_dir=tmp_path),
        few_shot(models, target, y, train_size=2, n_splits=1),
        leave_one_dataset_out(
            models, X, both, protocols="few_shot", train_size=2, n_splits=1
        ),
        calibration(models, target, y, minutes=(0, "all"), cv=2),
    ]
    for table in tables:
        assert set(table["metric"]) == set(RATING_METRICS)
        assert {"mean", "ridge"} == set(table["method"])
        means = summary(table, metric="concordance")
        assert np.isfinite(means["mean"]).all()
    again = leave_subjects_out(models, target, y, cv=2, cache_dir=tmp_path)
    assert again.equals(tables[0])
    differences = compare(tables[0], "mean", metric="pearson")
    assert differences["method"].tolist() == ["ridge"]
    ax = plot(tables[0], metric="pearson")
    assert "pearson" in ax.get_xlabel()
    table, predictions = leave_subjects_out(
        models, target, y, cv=2, return_predictions=True
    )
    assert np.isfinite(predictions["predicted"].astype(float)).all()
    encoder = MDJPTEncoder.small(max_epochs=1, batches_per_epoch=1, patch_stride=32,
                                 random_state=0)  # fmt: skip
    table = ablation(
        make_pipeline(encoder, Ridge()), target, y, train_size=2, n_splits=1,
        source=X[X.groups("dataset") == "SimB"],
        variants={"untrained": {"max_epochs": 0}},
    )  # fmt: skip
    assert set(table["method"]) == {"mean", "untrained"}


def test_what_cannot_be_scored_is_refused(X):
    target, y = _target(X)
    classifier = make_pipeline(DifferentialEntropy(), LogisticRegression())
    with pytest.raises(
        ValueError, match="pass y, such as.* X has the columns .*valence"
    ):
        leave_subjects_out({"ridge": _ridge()}, target)
    with pytest.raises(ValueError, match="y has '"):
        leave_subjects_out({"ridge": _ridge()}, target, target.y)
    with pytest.raises(ValueError, match="no metric in common"):
        leave_subjects_out({"r": _ridge(), "c": classifier}, target, y)
    holes = y.copy()
    holes[:3] = np.nan
    with pytest.raises(ValueError, match="3 of .* windows have no rating"):
        few_shot({"ridge": _ridge()}, target, holes)
    with pytest.raises(ValueError, match="All ratings in y are 5"):
        few_shot({"ridge": _ridge()}, target, np.full(len(y), 5))
    table = leave_subjects_out({"ridge": _ridge()}, target, y, cv=2)
    with pytest.raises(ValueError, match="no metric 'balanced_accuracy'; it has pear"):
        summary(table)
    with pytest.raises(ValueError, match="zero_shot compares classes"):
        leave_one_dataset_out(
            {"ridge": _ridge()}, X, X.metadata["valence"].astype(float),
            protocols="zero_shot",
        )  # fmt: skip
    assert len(zero_shot({"DE": DifferentialEntropy()}, target))


def test_regressor_learns_and_forgets_nothing(X):
    target, y = _target(X)
    model = MDJPTRegressor(
        WindowFeatures(DifferentialEntropy(), [SubjectScaler()]), max_epochs=30, **TINY
    )
    model.fit(target, y)
    found = model.predict(target)
    assert found.shape == y.shape and found.dtype == float
    assert pearsonr(found, y)[0] > 0.7
    assert (model.mean_, model.scale_) == pytest.approx((y.mean(), y.std()))
    again = MDJPTRegressor(**model.get_params(deep=False)).fit(target, y)
    np.testing.assert_array_equal(again.predict(target), found)
    # The unit of the ratings does not matter.
    scaled = MDJPTRegressor(**model.get_params(deep=False)).fit(target, 100 * y - 3)
    np.testing.assert_allclose(scaled.predict(target), 100 * found - 3, rtol=1e-4)
    np.testing.assert_allclose(model.predict(target[[3]]).shape, (1,))
    stopped = MDJPTRegressor(
        DifferentialEntropy(), early_stopping=True, max_epochs=3, **TINY
    ).fit(target, y)
    assert len(stopped.validation_subjects_) == 1


def test_regressor_is_calibrated(X):
    target, y = _target(X)
    is_new = target.groups("subject") == "SimA/04"
    features = WindowFeatures(DifferentialEntropy(), [SubjectScaler("pooled")])
    model = MDJPTRegressor(features, max_epochs=3, **TINY)
    model.fit(target[~is_new], y[~is_new])
    ready = calibrate(model, target[is_new][:6])
    assert ready.calibrated_subjects_ == ["SimA/04"]
    later = target[is_new][6:]
    np.testing.assert_allclose(ready.predict(later[:1]), ready.predict(later)[:1])
    assert np.abs(ready.predict(later) - model.predict(later)).max() > 1e-6


def test_bad_ratings_are_refused(X):
    target, y = _target(X)
    model = MDJPTRegressor(DifferentialEntropy(), **TINY)
    for bad, message in [
        (None, "requires y"), (target.y, "must hold numbers"), (y[:-1], "labels|y has"),
        (np.full(len(y), 2.0), "All ratings are 2"),
        (np.where(y > 5, np.nan, y), "NaN"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            model.fit(target, bad)
    assert not hasattr(model, "features_")
