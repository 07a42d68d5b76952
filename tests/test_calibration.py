"""Calibration: the statistics of a person are fixed, and later windows stand alone."""

import pickle

import numpy as np
import pytest
from pyriemann.tangentspace import TangentSpace
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from sklearn_mdjpt import (
    CovarianceAlignment,
    DifferentialEntropy,
    EEGWindows,
    LDSSmoother,
    MDJPTClassifier,
    MDJPTEncoder,
    Recording,
    SubjectScaler,
    WindowAlignment,
    WindowCovariances,
    WindowFeatures,
    concat_windows,
)
from sklearn_mdjpt.baselines import combined
from sklearn_mdjpt.compose import calibrate
from sklearn_mdjpt.inspection import integrated_gradients


def _encoder(**changes):
    return MDJPTEncoder.small(
        max_epochs=1, batches_per_epoch=1, patch_stride=32, random_state=0, **changes
    )


@pytest.fixture
def people(make_recordings):
    """Return windows of two people, the first and later ones of a third, a fourth's."""
    recordings = make_recordings("A", n_subjects=4, n_stimuli=6)
    X = EEGWindows.from_recordings(recordings, window_seconds=1.0)
    names = X.groups("subject")
    new, stranger = X[names == "A/03"], X[names == "A/04"]
    others = X[np.isin(names, ["A/01", "A/02"])]
    return others, new[: len(new) // 2], new[len(new) // 2 :], stranger


def _features(kind):
    return {
        "encoder": _encoder(),
        "train": _encoder(subject_norm="train"),
        "amplitude": _encoder(subject_norm=None),
        "z-scores": _encoder(window_norm=None),
        "scaler": WindowFeatures(DifferentialEntropy(), [SubjectScaler()]),
        "both": WindowFeatures(_encoder(), [SubjectScaler()]),
        "covariances": WindowFeatures(
            WindowCovariances(),
            [CovarianceAlignment(dispersion="mean"), TangentSpace()],
        ),
        "signals": make_pipeline(WindowAlignment(), DifferentialEntropy()),
    }[kind]


_KINDS = ("encoder", "train", "amplitude", "z-scores", "scaler", "both",
          "covariances", "signals")  # fmt: skip


@pytest.mark.parametrize("kind", _KINDS)
def test_later_windows_stand_alone(people, kind):
    others, first, later, stranger = people
    model = _features(kind).fit(others)
    before = model.transform(later)
    ready = calibrate(model, first)
    whole = ready.transform(later)
    tolerance = 1e-6 * whole.std(axis=0).max()
    alone = np.concatenate([ready.transform(later[[k]]) for k in range(len(later))])
    np.testing.assert_allclose(alone, whole, rtol=0, atol=tolerance)
    shuffled = np.random.default_rng(0).permutation(len(later))
    found = ready.transform(later[shuffled])
    np.testing.assert_allclose(found, whole[shuffled], rtol=0, atol=tolerance)
    # Nobody else changes, and neither does the model itself.
    np.testing.assert_array_equal(ready.transform(stranger), model.transform(stranger))
    np.testing.assert_array_equal(model.transform(later), before)
    assert np.abs(whole - before).max() > tolerance


@pytest.mark.parametrize("kind", _KINDS)
def test_other_samples_of_the_recording_do_not_count(make_recordings, kind):
    recordings = make_recordings("A", n_subjects=3, n_stimuli=12)
    others = EEGWindows.from_recordings(recordings[:2], window_seconds=1.0)
    whole = recordings[2]
    signal = whole.signal.copy()
    signal[:, -int(3 * whole.sfreq) : -1] *= 50  # the last clip
    changed = Recording(
        signal, whole.ch_names, whole.sfreq, "A", "03", "1", whole.trials
    )
    model = _features(kind).fit(others)
    found = []
    for recording in (whole, changed):
        X = EEGWindows.from_recordings([recording], window_seconds=1.0)
        ready = calibrate(model, X[:6])
        found.append(ready.transform(X[6:9]))
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)


def test_with_all_windows_it_is_what_the_person_itself_gives(people):
    others, first, later, _ = people
    X = concat_windows([first, later])
    for kind in ("z-scores", "scaler", "covariances", "signals"):
        model = _features(kind).fit(others)
        expected = model.transform(X)
        found = calibrate(model, X).transform(X)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # The amplitude is that of the windows, not of the whole recording.
    model = _features("encoder").fit(others)
    found, expected = calibrate(model, X).transform(X), model.transform(X)
    pairs = zip(found.T, expected.T, strict=True)
    assert np.median([np.corrcoef(*pair)[0, 1] for pair in pairs]) > 0.999


def test_by_hand():
    scaler = SubjectScaler().fit([[0.0], [2.0]], subjects=["a", "a"])
    scaler.calibrate([[10.0], [30.0]], subjects=["b", "b"])
    np.testing.assert_allclose(scaler.transform([[40.0]], subjects=["b"]), [[2.0]])
    assert scaler.calibrated_subjects_ == ["b"]
    scaler.calibrate([[0.0], [4.0]], subjects=["a", "a"])  # anew
    np.testing.assert_allclose(scaler.transform([[4.0]], subjects=["a"]), [[1.0]])
    assert scaler.calibrated_subjects_ == ["a", "b"]
    eye = np.eye(2)
    alignment = CovarianceAlignment(target="identity").fit(
        [eye, eye, 4 * eye, 4 * eye], domains=["a", "a", "b", "b"]
    )
    alignment.calibrate([9 * eye, 9 * eye], domains=["c", "c"])
    found = alignment.transform([18 * eye], domains=["c"])
    np.testing.assert_allclose(found, [2 * eye])
    assert scaler.fit([[0.0], [2.0]], subjects=["a", "a"]).calibrated_subjects_ == []


def test_features_of_a_person_with_the_same_statistics_elsewhere(people):
    """Calibration to some windows equals a transform of these windows alone."""
    others, first, _, _ = people
    for kind in ("z-scores", "scaler"):
        model = _features(kind).fit(others)
        np.testing.assert_allclose(
            calibrate(model, first).transform(first[:3]),
            model.transform(first)[:3], rtol=1e-5, atol=1e-6,
        )  # fmt: skip


def _models():
    scaled = WindowFeatures(DifferentialEntropy(), [SubjectScaler()])
    head = LogisticRegression()
    linear = make_pipeline(scaled, StandardScaler(), head)
    union = make_union(DifferentialEntropy(), WindowFeatures(DifferentialEntropy()))
    return {
        "linear": linear,
        "pooled": combined(smoothing=None, parts=("entropy", "tangent")),
        "stacked": StackingClassifier([("de", linear)], cv=2),
        "search": GridSearchCV(linear, {"logisticregression__C": [0.1, 1]}, cv=2),
        "probabilities": CalibratedClassifierCV(linear, cv=2),
        "frozen": make_pipeline(WindowFeatures(union, [SubjectScaler()]), head),
        "network": MDJPTClassifier(_encoder(), max_epochs=1, random_state=0),
    }


@pytest.mark.parametrize("name", list(_models()))
def test_whole_models(people, name):
    others, first, later, _ = people
    model = _models()[name].fit(others, others.y)
    ready = calibrate(model, first)
    alone = [ready.predict_proba(later[[k]])[0] for k in range(len(later))]
    np.testing.assert_allclose(alone, ready.predict_proba(later), atol=1e-6)
    again = pickle.loads(pickle.dumps(ready))
    np.testing.assert_array_equal(
        again.predict_proba(later), ready.predict_proba(later)
    )
    np.testing.assert_array_equal(ready.classes_, model.classes_)
    # A frozen one keeps it when it is cloned; others are as new.
    frozen = clone(FrozenEstimator(ready))
    np.testing.assert_array_equal(frozen.predict(later), ready.predict(later))
    clone(ready)


def test_frozen_features_stay_shared(people):
    others, first, later, _ = people
    encoder = _encoder().fit(others)
    features = FrozenEstimator(WindowFeatures(encoder, [SubjectScaler()]).fit(others))
    model = make_pipeline(features, LogisticRegression()).fit(others, others.y)
    ready = calibrate(model, first)
    inside = ready[0].estimator
    assert inside.calibrated_subjects_ == ["A/03"]
    assert features.estimator.calibrated_subjects_ == []
    assert inside.extractor_.module_ is features.estimator.extractor_.module_
    assert len({len(ready.predict(later[:n])) for n in (1, 2)}) == 2


def test_weights_file_keeps_it(people, tmp_path):
    others, first, later, _ = people
    for changes in ({}, {"subject_norm": None}, {"window_norm": None}):
        encoder = _encoder(**changes).fit(others).calibrate(first)
        expected = encoder.transform(later)
        encoder.save(tmp_path / "a.safetensors")
        loaded = MDJPTEncoder.load(tmp_path / "a.safetensors")
        assert loaded.calibrated_subjects_ == ["A/03"]
        np.testing.assert_array_equal(loaded.transform(later), expected)
        encoder.save(tmp_path / "b.safetensors", anonymous=True)
        assert b"A/03" not in (tmp_path / "b.safetensors").read_bytes()
        nameless = MDJPTEncoder.load(tmp_path / "b.safetensors")
        assert nameless.calibrated_subjects_ == []
    assert encoder.fit(others).calibrated_subjects_ == []


def test_inspection_goes_by_it(people):
    others, first, later, _ = people
    encoder = _encoder().fit(others).calibrate(first)
    model = make_pipeline(FrozenEstimator(encoder), LogisticRegression())
    model.fit(others, others.y)
    alone = integrated_gradients(model, later[:1], n_steps=32)
    whole = integrated_gradients(model, later, n_steps=32)
    np.testing.assert_allclose(alone.scores, whole.scores[:1], rtol=1e-5)


@pytest.mark.parametrize("kind", ["encoder", "scaler", "signals"])
def test_who_it_is_must_be_known(people, kind):
    others, first, _, _ = people
    model = _features(kind).fit(others)
    array = np.random.default_rng(0).standard_normal((4, 8, 200))
    with pytest.raises(ValueError, match="array|EEGWindows"):
        calibrate(model, array)
    cap = first.recordings[0].ch_names
    nameless = EEGWindows.from_arrays(array, ch_names=cap, sfreq=200.0, subject="1")
    with pytest.raises(ValueError, match="4 of 4 windows do not say whose they are"):
        calibrate(model, nameless)
    assert calibrate(model, first).transform(nameless).shape[0] == 4


def test_another_cap_is_refused(people):
    others, first, later, _ = people
    few = first.recordings[0].ch_names[:6]
    smaller = _with_channels(first, few)
    with pytest.raises(ValueError, match="calibrate with the same cap"):
        _encoder().fit(others).calibrate(smaller).transform(later)
    aligned = WindowAlignment(channels="canonical").fit(others).calibrate(smaller)
    assert aligned.calibrated_subjects_ == ["A/03"]
    with pytest.raises(ValueError, match="calibrate with the same cap"):
        aligned.transform(later)
    strict = WindowAlignment(channels="canonical", unseen="error").fit(others)
    with pytest.raises(ValueError, match="No window with the channels"):
        strict.calibrate(smaller)
    assert strict.calibrated_subjects_ == []


def _with_channels(X, ch_names):
    recordings = []
    for one in X.recordings:
        picks = [one.ch_names.index(name) for name in ch_names]
        recordings.append(
            Recording(
                one.signal[picks], ch_names, one.sfreq, one.dataset, one.subject,
                one.session, one.trials,
            )
        )  # fmt: skip
    return EEGWindows.from_recordings(recordings, window_seconds=1.0)


def test_what_cannot_be_calibrated_says_so(people):
    others, first, *_ = people
    model = make_pipeline(DifferentialEntropy(), LogisticRegression())
    model.fit(others, others.y)
    with pytest.raises(ValueError, match="Nothing in the model can be calibrated"):
        calibrate(model, first)
    features = WindowFeatures(DifferentialEntropy(), [LDSSmoother()]).fit(others)
    with pytest.raises(ValueError, match="None of DifferentialEntropy, LDSSmoother"):
        features.calibrate(first)
    with pytest.raises(ValueError, match="pass subjects="):
        SubjectScaler().fit([[0.0], [1.0]]).calibrate([[0.0]])
    with pytest.raises(ValueError, match="pass domains="):
        matrices = [np.eye(2), np.eye(2)]
        CovarianceAlignment().fit(matrices, domains=["a", "a"]).calibrate(matrices)


def test_an_error_leaves_it_as_it_was(people):
    others, first, later, _ = people
    features = WindowFeatures(_encoder(), [SubjectScaler()]).fit(others)
    features.calibrate(first)
    expected = features.transform(later)
    broken = _with_channels(first, first.recordings[0].ch_names)
    broken.recordings[0].signal[:, 10] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        features.calibrate(broken)
    np.testing.assert_array_equal(features.transform(later), expected)
