"""In MOABB: who is who reaches fit, and one trial alone can be decoded."""

import functools

import numpy as np
import pytest
import sklearn
from pyriemann.tangentspace import TangentSpace
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import (
    CovarianceAlignment,
    MDJPTEncoder,
    WindowCovariances,
    WindowFeatures,
)

pytest.importorskip("moabb", reason="needs moabb (the extra 'moabb')")
FakeDataset = pytest.importorskip("moabb.datasets.fake").FakeDataset
CrossSubjectEvaluation = pytest.importorskip("moabb.evaluations").CrossSubjectEvaluation
LeftRightImagery = pytest.importorskip("moabb.paradigms").LeftRightImagery

CHANNELS = ("C3", "Cz", "C4")


@pytest.fixture
def seen(monkeypatch):
    """What each training gets: the type of X, and the keywords."""
    calls, fit_transform = [], MDJPTEncoder.fit_transform

    @functools.wraps(fit_transform)
    def watched(self, X, y=None, **given):
        calls.append((type(X).__name__, given))
        return fit_transform(self, X, y, **given)

    monkeypatch.setattr(MDJPTEncoder, "fit_transform", watched)
    return calls


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    monkeypatch.setenv("MNE_DATA", str(tmp_path))
    return FakeDataset(
        event_list=("left_hand", "right_hand"),
        n_subjects=3,
        n_sessions=1,
        n_runs=1,
        n_events=12,
        duration=60,
        channels=CHANNELS,
        seed=0,
    )


def tiny(**parameters):
    return MDJPTEncoder(
        hidden_dim=8,
        latent_dim=1,
        depth=1,
        n_heads=1,
        n_filters=1,
        patch_size=16,
        max_epochs=1,
        batches_per_epoch=2,
        random_state=0,
        **parameters,
    )


def evaluate(dataset, folder, *, return_epochs=False, model=None, **options):
    if model is None:
        model = tiny(
            pairing="label",
            **({} if return_epochs else {"ch_names": CHANNELS, "sfreq": 128.0}),
            subject_norm=options.pop("subject_norm", "subject"),
        )
    evaluation = CrossSubjectEvaluation(
        paradigm=LeftRightImagery(resample=128.0),
        datasets=[dataset],
        hdf5_path=str(folder),
        overwrite=True,
        return_epochs=return_epochs,
        **options,
    )
    return evaluation.process({"mdJPT": make_pipeline(model, LogisticRegression())})


@pytest.mark.parametrize("return_epochs", [False, True])
def test_scores_of_every_subject(dataset, seen, tmp_path, return_epochs):
    before = sklearn.get_config()
    results = evaluate(dataset, tmp_path / "results", return_epochs=return_epochs)
    assert sorted(results["subject"].astype(str)) == ["1", "2", "3"]
    assert np.isfinite(results["score"].astype(float)).all()
    assert sklearn.get_config() == before
    # MOABB asks each step what it wants, and ours wants the subjects.
    assert len(seen) == 3
    for kind, given in seen:
        assert ("Epochs" in kind) == return_epochs
        assert set(given) == {"subjects"}
        assert len(set(given["subjects"])) == 2


def test_one_trial_at_a_time(dataset, tmp_path):
    results = evaluate(
        dataset, tmp_path / "results", cs_mode="train_trialwise", subject_norm="train"
    )
    assert len(results) == 3
    assert np.isfinite(results["score"].astype(float)).all()


def test_subjects_come_because_they_are_asked_for(dataset, seen, tmp_path):
    with sklearn.config_context(enable_metadata_routing=True):
        encoder = tiny(ch_names=CHANNELS, sfreq=128.0).set_fit_request(subjects=False)
    with pytest.warns(UserWarning, match="No subjects are known"):
        evaluate(dataset, tmp_path / "results", model=encoder)
    assert [given for _, given in seen] == [{}, {}, {}]


def test_weights_from_elsewhere_are_not_trained_again(
    dataset, make_windows, tmp_path, recwarn
):
    path = tmp_path / "encoder.safetensors"
    tiny().fit(make_windows(("A", "B"), n_subjects=2)).save(path)
    results = evaluate(
        dataset, tmp_path / "results", model=MDJPTEncoder(weights=path),
        return_epochs=True, cs_mode="train_trialwise",
    )  # fmt: skip
    assert len(results) == 3
    assert not any("No stimuli are known" in str(w.message) for w in recwarn)


def test_steps_that_need_subjects_read_them_from_epochs(dataset, tmp_path):
    steps = [CovarianceAlignment(target="identity"), TangentSpace()]
    features = WindowFeatures(WindowCovariances("oas"), steps)
    results = evaluate(
        dataset, tmp_path / "results", model=features, return_epochs=True
    )
    assert len(results) == 3
    assert np.isfinite(results["score"].astype(float)).all()
