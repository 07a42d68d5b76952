"""Features in which the people of other datasets agree."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from settings import tiny_encoder
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import (
    CorrelatedComponents,
    DifferentialEntropy,
    EEGWindows,
    LDSSmoother,
    MDJPTEncoder,
    SubjectScaler,
    WindowFeatures,
)
from sklearn_mdjpt.baselines import shared_features
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import few_shot, leave_one_dataset_out, zero_shot


@pytest.fixture(scope="module")
def windows():
    return make_emotion_windows(
        3, n_subjects=3, n_stimuli=3, trial_seconds=6.0, window_seconds=2.0,
        stride_seconds=2.0, random_state=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def source(windows):
    return windows[windows.groups("dataset") != "SimC"]


@pytest.fixture(scope="module")
def target(windows):
    return windows[windows.groups("dataset") == "SimC"]


@pytest.fixture(scope="module")
def encoder(source):
    return tiny_encoder().fit(source)


def test_entropy_alone_is_its_correlated_components(source, target):
    found = shared_features(source, parts="entropy", n_components=4).transform(target)
    steps = [SubjectScaler(), CorrelatedComponents(4)]
    model = WindowFeatures(DifferentialEntropy(channels="canonical"), steps)
    assert_allclose(found, model.fit(source).transform(target), rtol=1e-6)


def test_both_parts_are_scaled_by_subject_and_projected_together(
    source, target, encoder
):
    found = shared_features(source, encoder, shrinkage=0.5, weight_power=1.0)
    entropy = DifferentialEntropy(channels="canonical")

    def joined(X):
        return np.hstack(
            [
                WindowFeatures(extractor, [SubjectScaler()]).fit_transform(X)
                for extractor in (FrozenEstimator(encoder), entropy)
            ]
        )

    meta = source.metadata
    components = CorrelatedComponents(shrinkage=0.5, weight_power=1.0).fit(
        joined(source),
        subjects=source.groups("subject"),
        datasets=meta["dataset"].to_numpy(),
        stimuli=meta["stimulus"].to_numpy(),
        onsets=meta["onset"].to_numpy(),
    )
    expected = components.transform(joined(target))
    assert_allclose(found.transform(target), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["fitted", "file", "not fitted"])
def test_encoders_in_any_form(form, source, target, encoder, tmp_path):
    encoder.save(tmp_path / "weights.safetensors")
    given = {
        "fitted": encoder,
        "file": tmp_path / "weights.safetensors",
        "not fitted": tiny_encoder(),
    }[form]
    found = shared_features(source, given, parts="mdjpt", n_components=3)
    expected = shared_features(source, encoder, parts="mdjpt", n_components=3)
    assert_allclose(found.transform(target), expected.transform(target), rtol=1e-4)
    if form == "not fitted":
        assert not hasattr(given, "module_")


def test_it_is_not_learnt_anew(source, target, encoder):
    shared = shared_features(source, encoder, n_components=4)
    model = make_pipeline(WindowFeatures(shared, [LDSSmoother()]), LogisticRegression())
    before = shared.transform(target)
    table = few_shot({"shared": model}, target, train_size=1, n_splits=2)
    assert set(table["leak"]) == {""}
    zero_shot({"shared": model}, target)
    assert_array_equal(shared.transform(target), before)
    seen = source[source.groups("dataset") == "SimA"]
    with pytest.raises(ValueError, match="on 3 of the subjects"):
        few_shot({"shared": model}, seen, train_size=1, n_splits=2)


def test_smoothing_is_the_last_step(source, target):
    smooth = shared_features(source, parts="entropy", smoothing="lds")
    plain = shared_features(source, parts="entropy")
    expected = WindowFeatures(plain, [LDSSmoother()]).fit(target).transform(target)
    assert_allclose(smooth.transform(target), expected, rtol=1e-6, atol=1e-9)


def test_it_is_kept_by_pickle(source, target, encoder):
    shared = shared_features(source, encoder, n_components=4)
    again = pickle.loads(pickle.dumps(shared))
    assert_array_equal(again.transform(target), shared.transform(target))
    assert again.estimator.training_subjects_ == sorted(set(source.groups("subject")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": ("mdjpt", "tangent")}, "parts must be different ones of"),
        ({"parts": None}, "parts must be different ones of"),
        ({"shrinkage": 2.0}, "shrinkage"),
        ({"smoothing": "LDS"}, "smoothing must be"),
        ({"encoder": np.zeros(3)}, "encoder must be an MDJPTEncoder, the path of"),
        ({"encoder": tiny_encoder(), "parts": "entropy"}, "An encoder is given, but"),
    ],
)
def test_errors_come_before_a_training(source, monkeypatch, change, message):
    monkeypatch.setattr(MDJPTEncoder, "fit", lambda *args: pytest.fail("it trains"))
    with pytest.raises((ValueError, TypeError), match=message):
        shared_features(source, **change)


def test_sources_without_moments_are_refused(source, monkeypatch):
    monkeypatch.setattr(MDJPTEncoder, "fit", lambda *args: pytest.fail("it trains"))
    with pytest.raises(TypeError, match="source must be EEGWindows.*got ndarray"):
        shared_features(np.zeros((4, 2, 250)))
    one = source[source.groups("subject") == "SimA/01"]
    with pytest.raises(ValueError, match="No two subjects of a dataset in source"):
        shared_features(one)
    bare = EEGWindows.from_arrays(
        np.random.default_rng(0).standard_normal((4, 2, 250)), ch_names=["Cz", "Pz"],
        sfreq=125.0, subject=["1", "1", "2", "2"], dataset="A",
    )  # fmt: skip
    with pytest.raises(ValueError, match="4 of the 4 windows of source have no stimul"):
        shared_features(bare)


def test_neighbours_are_not_sought_by_the_stimulus(windows, target):
    steps = [SubjectScaler(), CorrelatedComponents()]
    model = WindowFeatures(DifferentialEntropy(), steps)
    with pytest.raises(ValueError, match="stimulus, which gives away the label"):
        zero_shot({"own": model}, target)
    with pytest.raises(ValueError, match="stimulus, which gives away the label"):
        leave_one_dataset_out({"own": make_pipeline(model, LogisticRegression())},
                              windows, protocols="zero_shot")  # fmt: skip


def test_frozen_features_alone_are_taken(source, target):
    shared = shared_features(source, parts="entropy")
    components = shared.estimator.steps_[-1][1]
    by_hand = WindowFeatures(
        DifferentialEntropy(channels="canonical"),
        [SubjectScaler(), FrozenEstimator(components)],
    )
    own = zero_shot({"shared": by_hand}, target)
    found = zero_shot({"shared": shared}, target)
    same = zero_shot({"shared": make_pipeline(shared)}, target)
    assert_array_equal(found["value"], same["value"])
    assert_array_equal(found["value"], own["value"])
