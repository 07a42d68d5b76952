"""Training batches of more than two subjects, from the estimator's side."""

import numpy as np
import pytest
import torch
from settings import SIZE, tiny_encoder

from sklearn_mdjpt import MDJPTEncoder, concat_windows
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.nn import HybridEncoder, group_isa_loss
from sklearn_mdjpt.nn.pretraining import DatasetPart, JointLoss, JointPretraining


@pytest.fixture(scope="module")
def X():
    return make_emotion_windows(
        2, n_subjects=(5, 3), n_stimuli=4, trial_seconds=6.0, window_seconds=2.0,
        stride_seconds=2.0, random_state=0,
    )  # fmt: skip


class Spy:
    """Counts the windows of each batch, and the subjects of each of its parts."""

    def __init__(self, monkeypatch):
        self.parts = []
        encode = JointPretraining._encode

        def seen(network, part):
            self.parts.append(part)
            return encode(network, part)

        monkeypatch.setattr(JointPretraining, "_encode", seen)


@pytest.mark.parametrize("n_subjects", [2, 3, 16])
def test_a_batch_holds_that_many_people_of_each_dataset(X, monkeypatch, n_subjects):
    spy = Spy(monkeypatch)
    encoder = tiny_encoder(subjects_per_batch=n_subjects).fit(X)
    people = [len(part.sides.unique()) for part in spy.parts]
    assert people == [min(n_subjects, 5), min(n_subjects, 3)] * 2
    for part, n_people in zip(spy.parts, people, strict=True):
        assert len(part.windows) == 4 * n_people  # one of each clip
        assert part.subjects.equal(part.sides)
    assert np.isfinite(encoder.history_[["isa", "cda"]]).all(axis=None)
    assert len(encoder.training_subjects_) == 8


def test_two_is_the_default_and_the_papers_loss(X):
    pair, default = (
        tiny_encoder(**options).fit(X) for options in ({"subjects_per_batch": 2}, {})
    )
    for a, b in zip(
        pair.module_.parameters(), default.module_.parameters(), strict=True
    ):
        assert torch.equal(a, b)
    assert MDJPTEncoder().subjects_per_batch == 2


def test_the_loss_of_a_batch_is_that_of_its_windows(X, monkeypatch):
    """It is `group_isa_loss` of the projections, dataset by dataset."""
    spy = Spy(monkeypatch)
    encoder = tiny_encoder(subjects_per_batch=4, batches_per_epoch=1)
    encoder.set_params(max_epochs=1, lr=1e-12).fit(X)
    total = 0.0
    for part in spy.parts:
        with torch.inference_mode():
            z = encoder.module_(part.windows, part.subjects).projection
        total += group_isa_loss(z, part.sides, part.kinds, encoder.temperature)
    np.testing.assert_allclose(encoder.history_["isa"].iloc[0], total, rtol=1e-4)


def test_people_who_saw_other_clips_train_together(X):
    """Each person lacks another clip: nothing is lost, and nothing fails."""
    meta = X.metadata
    clips = {s: k % 4 for k, s in enumerate(sorted(set(X.groups("subject"))))}
    numbers = meta.groupby("dataset")["stimulus"].transform(
        lambda names: names.astype("category").cat.codes
    )
    lacks = np.array([clips[s] for s in X.groups("subject")])
    part = X[(numbers.to_numpy() != lacks)]
    encoder = tiny_encoder(subjects_per_batch=5).fit(part)
    assert len(encoder.training_subjects_) == 8


def test_pairs_by_label(X, monkeypatch):
    spy = Spy(monkeypatch)
    tiny_encoder(subjects_per_batch=3, pairing="label").fit(X)
    for part in spy.parts:
        assert len(part.sides.unique()) == 3
        assert len(part.kinds.unique()) >= 2


def test_labels_without_subjects_stay_pairs_of_halves(X):
    array = X.to_canonical()
    encoder = tiny_encoder(subjects_per_batch=6, pairing="label", sfreq=125.0)
    with pytest.warns(UserWarning, match="No subjects are known"):
        encoder.fit(array, X.y)


def test_chunks_change_no_gradient():
    """Compared before Adam, which makes a step of a gradient that is rounding alone."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(20, 60, 250, dtype=torch.float64, generator=rng)
    people, moments = torch.arange(20) // 4, torch.arange(20) % 4
    part = DatasetPart(x, people, people, moments)
    found = []
    for chunk_size in (None, 3):
        torch.manual_seed(0)
        encoder = HybridEncoder(**SIZE, chunk_size=chunk_size).double()
        output = JointPretraining(encoder)([part])
        JointLoss(0.3)(output, [part]).total.backward()
        found.append([p.grad for p in encoder.parameters() if p.grad is not None])
    assert len(found[0]) == len(found[1]) > 20
    for whole, chunks in zip(*found, strict=True):
        torch.testing.assert_close(chunks, whole, rtol=1e-9, atol=1e-12)


def test_datasets_of_one_name_and_other_windows(X):
    """Windows of two lengths are of two parts, each with its people."""
    longer = make_emotion_windows(
        1, n_subjects=4, n_stimuli=4, trial_seconds=6.0, window_seconds=3.0,
        stride_seconds=3.0, random_state=1,
    )  # fmt: skip
    both = concat_windows({"A": X[X.groups("dataset") == "SimA"], "B": longer})
    encoder = tiny_encoder(subjects_per_batch=4).fit(both)
    assert set(encoder.training_datasets_) == {"A", "B"}


@pytest.mark.parametrize("value", [1, 2.5, "2", None, True])
def test_values_that_will_not_do(X, value):
    with pytest.raises(ValueError, match="subjects_per_batch"):
        tiny_encoder(subjects_per_batch=value).fit(X)
