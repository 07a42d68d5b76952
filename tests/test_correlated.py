"""CorrelatedComponents: what people who see the same moment have in common."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import eigh
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import (
    CorrelatedComponents,
    DifferentialEntropy,
    EEGWindows,
    LDSSmoother,
    SubjectScaler,
    WindowFeatures,
)
from sklearn_mdjpt.channels import CANONICAL_CHANNELS
from sklearn_mdjpt.datasets import make_emotion_windows

N_PEOPLE, N_STIMULI, N_MOMENTS = 5, 4, 6


def people(seed=0, n_people=N_PEOPLE, signal=1.0, dataset=0):
    """Features with one direction in common, and who saw what."""
    rng = np.random.default_rng(seed)
    n = N_STIMULI * N_MOMENTS
    course = np.random.default_rng([9, dataset]).standard_normal(n)
    direction = np.array([1.0, -2.0, 0.5, 0.0, 1.0])
    x = rng.standard_normal((n_people, n, 5)) * [1.0, 3.0, 1.0, 5.0, 1.0]
    x += signal * course[:, None] * direction
    metadata = {
        "subjects": np.repeat(np.arange(n_people), n),
        "stimuli": np.tile(np.repeat(np.arange(N_STIMULI), N_MOMENTS), n_people),
        "onsets": np.tile(np.arange(N_MOMENTS) * 2.0, n_people * N_STIMULI),
    }
    return x.reshape(-1, 5), metadata, np.tile(course, n_people)


def test_the_common_course_is_found():
    x, metadata, course = people(signal=0.5)
    z = CorrelatedComponents().fit_transform(x, **metadata)
    found = abs(np.corrcoef(z[:, 0], course)[0, 1])
    single = max(abs(np.corrcoef(column, course)[0, 1]) for column in x.T)
    assert found > single + 0.05
    # People who were not there show it as well.
    other, _, course = people(seed=1, signal=0.5)
    model = CorrelatedComponents().fit(x, **metadata)
    assert abs(np.corrcoef(model.transform(other)[:, 0], course)[0, 1]) > single


def test_it_is_the_mean_of_all_pairs_of_people():
    x, metadata, _ = people()
    model = CorrelatedComponents(shrinkage=0.0, weight_power=0.0).fit(x, **metadata)
    each = x.reshape(N_PEOPLE, -1, 5)
    each = each - each.mean(axis=1, keepdims=True)
    n = each.shape[1]
    pairs = [
        each[a].T @ each[b] / n
        for a in range(N_PEOPLE)
        for b in range(N_PEOPLE)
        if a != b
    ]
    within = np.mean([e.T @ e / n for e in each], axis=0)
    rho, vectors = eigh(np.mean(pairs, axis=0), within)
    assert_allclose(model.correlations_, rho[::-1], atol=1e-12)
    cosines = np.abs(model.components_ @ within @ vectors[:, ::-1])
    assert_allclose(cosines, np.eye(5), atol=1e-10)


def test_shrinkage_and_weights_are_those_of_the_formula():
    x, metadata, _ = people()
    plain = CorrelatedComponents(weight_power=0.0).fit(x, **metadata)
    z = CorrelatedComponents(weight_power=2.0).fit_transform(x, **metadata)
    weights = np.maximum(plain.correlations_, 0) ** 2
    assert_allclose(z, plain.transform(x) * weights, atol=1e-12)
    assert (plain.correlations_[-1] < 0) and (z[:, -1] == 0).all()
    few = CorrelatedComponents(2).fit(x, **metadata)
    assert_array_equal(few.transform(x), z[:, :2])
    # With a shrinkage of 1 the within-covariance is a multiple of the identity.
    round_ = CorrelatedComponents(shrinkage=1.0, weight_power=0.0).fit(x, **metadata)
    gram = round_.components_ @ round_.components_.T
    assert_allclose(gram, gram[0, 0] * np.eye(5), atol=1e-10)


def test_datasets_count_alike_and_share_no_moment():
    a, of_a, _ = people(n_people=8, dataset=0)
    b, of_b, _ = people(seed=5, n_people=2, dataset=1)
    both = {k: np.concatenate([of_a[k], of_b[k]]) for k in of_a}
    both["datasets"] = np.repeat(["a", "b"], [len(a), len(b)])
    settings = {"shrinkage": 0.0, "weight_power": 0.0}
    x = np.concatenate([a, b])
    model = CorrelatedComponents(**settings).fit(x, **both)
    # The same people written down twice change nothing.
    twice = {k: np.concatenate([v, of_b[k]]) for k, v in both.items() if k in of_b}
    twice["datasets"] = np.append(both["datasets"], np.repeat("b", len(b)))
    again = CorrelatedComponents(**settings).fit(np.concatenate([x, b]), **twice)
    assert_allclose(again.correlations_, model.correlations_, atol=1e-12)
    # Taken for one dataset, the stimuli of both would be the same.
    one = {k: v for k, v in both.items() if k != "datasets"}
    mixed = CorrelatedComponents(**settings).fit(x, **one)
    assert not np.allclose(mixed.correlations_, model.correlations_)


def test_order_and_constant_features_do_not_matter():
    x, metadata, _ = people()
    order = np.random.default_rng(3).permutation(len(x))
    z = CorrelatedComponents().fit_transform(x, **metadata)
    again = CorrelatedComponents().fit_transform(
        x[order], **{k: v[order] for k, v in metadata.items()}
    )
    assert_allclose(again, z[order], atol=1e-10)
    constant = np.column_stack([x, np.full(len(x), 7.0)])
    assert np.isfinite(CorrelatedComponents().fit_transform(constant, **metadata)).all()
    with pytest.raises(ValueError, match="singular with shrinkage=0"):
        CorrelatedComponents(shrinkage=0.0).fit(constant, **metadata)


def test_what_is_missing_is_named():
    x, metadata, _ = people()
    for name in ("subjects", "stimuli", "onsets"):
        rest = {k: v for k, v in metadata.items() if k != name}
        with pytest.raises(ValueError, match=f"needs {name}"):
            CorrelatedComponents().fit(x, **rest)
    alone = {**metadata, "subjects": np.zeros(len(x))}
    with pytest.raises(ValueError, match="No two subjects share a moment"):
        CorrelatedComponents().fit(x, **alone)
    unknown = {**metadata, "onsets": np.where(metadata["onsets"] > 2, np.nan, 0.0)}
    with pytest.raises(ValueError, match="onsets are missing"):
        CorrelatedComponents().fit(x, **unknown)
    for bad in ({"shrinkage": 1.5}, {"n_components": 0}, {"weight_power": -1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            CorrelatedComponents(**bad).fit(x, **metadata)


def test_learnt_on_one_dataset_it_helps_in_another():
    """Without training and without labels; the target's people are not looked at."""
    X = make_emotion_windows(
        2, n_subjects=[8, 6], n_stimuli=6, window_seconds=3.0, trial_seconds=9.0,
        stimulus_strength=1.5, random_state=4,
    )  # fmt: skip
    target = X.groups("dataset") == "SimB"
    entropy = DifferentialEntropy(channels="canonical")
    shared = WindowFeatures(entropy, [SubjectScaler(), CorrelatedComponents()])
    shared.fit(X[~target])
    before = pickle.dumps(shared)
    frozen = make_pipeline(
        WindowFeatures(FrozenEstimator(shared), [LDSSmoother()]),
        LogisticRegression(C=0.1, max_iter=5000),
    )
    plain = make_pipeline(
        WindowFeatures(entropy, [SubjectScaler(), LDSSmoother()]),
        LogisticRegression(C=0.1, max_iter=5000),
    )
    Y, people_of = X[target], X[target].groups("subject")
    scores = {
        name: cross_val_score(model, Y, Y.y, groups=people_of, cv=GroupKFold(3)).mean()
        for name, model in (("frozen", frozen), ("plain", plain))
    }
    assert pickle.dumps(shared) == before
    assert scores["frozen"] > 0.5 and scores["frozen"] > scores["plain"] - 0.1
    # What is decoded needs no stimuli: only those whom it learns from do.
    keep = Y.metadata["subject"] == Y.metadata["subject"][0]
    one = Y[keep.to_numpy()]
    blind = EEGWindows.from_arrays(
        one.to_canonical(125.0), ch_names=CANONICAL_CHANNELS, sfreq=125.0,
        dataset="new", subject="1",
    )  # fmt: skip
    assert blind.metadata["stimulus"].isna().all()
    assert shared.transform(blind).shape == (len(one), 300)
    names = shared.get_feature_names_out()
    assert names[0] == "correlatedcomponents0" and len(names) == 300
