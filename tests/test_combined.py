"""Decoders that multiply probabilities."""

import numpy as np
import pytest
from settings import tiny_encoder
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB

from sklearn_mdjpt import MDJPTEncoder
from sklearn_mdjpt.baselines import PooledClassifier, combined, differential_entropy
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import few_shot


@pytest.fixture(scope="module")
def blobs():
    X, y = make_blobs(90, 4, centers=3, cluster_std=4.0, random_state=0)
    return X, np.array(["sad", "neutral", "happy"])[y]


@pytest.fixture(scope="module")
def windows():
    return make_emotion_windows(
        2, n_subjects=3, n_stimuli=3, trial_seconds=6.0, window_seconds=2.0,
        stride_seconds=2.0, random_state=0,
    )  # fmt: skip


@pytest.mark.parametrize("weights", [None, [3.0, 1.0]])
def test_probabilities_are_the_geometric_mean(blobs, weights):
    X, y = blobs
    parts = [("logistic", LogisticRegression(max_iter=1000)), ("bayes", GaussianNB())]
    pool = PooledClassifier(parts, weights=weights).fit(X, y)
    found = [model.fit(X, y).predict_proba(X) for _, model in parts]
    share = np.array([0.5, 0.5] if weights is None else [0.75, 0.25])
    powers = [np.maximum(p, 1e-6) ** w for p, w in zip(found, share, strict=True)]
    expected = np.prod(powers, axis=0)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(pool.predict_proba(X), expected, rtol=1e-9)
    assert pool.classes_.tolist() == ["happy", "neutral", "sad"]
    best = pool.classes_[expected.argmax(axis=1)]
    np.testing.assert_array_equal(pool.predict(X), best)


def test_a_model_alone_is_that_model_and_a_sure_one_rules_nothing_out(blobs):
    X, y = blobs
    alone = PooledClassifier([("bayes", GaussianNB())]).fit(X, y)
    single = GaussianNB().fit(X, y)
    np.testing.assert_array_equal(alone.predict(X), single.predict(X))
    assert np.isfinite(np.log(alone.predict_proba(X))).all()


def test_a_failed_fit_changes_nothing_and_unfitted_pools_say_so(blobs):
    X, y = blobs
    pool = PooledClassifier([("bayes", GaussianNB())])
    with pytest.raises(NotFittedError):
        pool.predict(X)
    for labels in (None, y[:5], np.full(len(y), "sad")):
        with pytest.raises(ValueError, match="y"):
            pool.fit(X, labels)
        assert set(vars(pool)) == {"estimators", "weights", "n_jobs"}
    pool.fit(X, y)
    before = pool.predict_proba(X)
    with pytest.raises(ValueError, match="NaN"):
        pool.fit(X * np.nan, y)
    np.testing.assert_array_equal(pool.predict_proba(X), before)


def test_it_is_cloned_and_searched_as_a_voting_classifier(blobs):
    pool = PooledClassifier([("a", GaussianNB()), ("b", LogisticRegression())])
    copy = clone(pool.set_params(b__C=0.5, weights=[1, 2]))
    assert copy.get_params()["b__C"] == 0.5 and copy.weights == [1, 2]
    assert cross_val_score(copy, *blobs, cv=3).mean() > 0.5


def test_combined_takes_encoders_weights_and_nothing(windows, tmp_path):
    encoder = tiny_encoder().fit(windows)
    encoder.save(tmp_path / "x.safetensors")
    known = windows.groups("dataset") == "SimA"
    X = windows[known]
    scores = [
        combined(given).fit(X, X.y).predict_proba(X)
        for given in (MDJPTEncoder(weights=tmp_path / "x.safetensors"),
                      tmp_path / "x.safetensors")
    ]  # fmt: skip
    np.testing.assert_array_equal(*scores)
    default = combined(random_state=3).get_params()
    assert default["mdjpt__features__extractor__random_state"] == 3
    assert default["mdjpt__features__extractor__hidden_dim"] == 16  # the small one


def test_parts_are_those_that_were_asked_for(windows):
    X = windows[windows.groups("dataset") == "SimA"]
    pool = combined(parts=("entropy", "tangent")).fit(X, X.y)
    assert [name for name, _ in pool.estimators] == ["entropy", "tangent"]
    only = combined(parts="entropy").fit(X, X.y)
    entropy = differential_entropy("subject").fit(X, X.y)
    np.testing.assert_array_equal(only.predict(X), entropy.predict(X))


@pytest.mark.parametrize("parts", [(), ("mdjpt", "mdjpt"), ("entropie",), "x"])
def test_parts_that_will_not_do(parts):
    with pytest.raises(ValueError, match="parts must be different ones of 'mdjpt'"):
        combined(parts=parts)


def test_protocols_pretrain_the_encoder_inside_on_the_source(windows):
    new = windows.groups("dataset") == "SimB"
    models = {"combined": combined(tiny_encoder())}
    table = few_shot(
        models, windows[new], source=windows[~new], train_size=2, n_splits=2
    )
    mine = table[table["method"] == "combined"]
    assert len(mine) and (mine["leak"] == "").all()
