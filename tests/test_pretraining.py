"""What joint pre-training does, on simulated data of three datasets."""

import numpy as np
import pytest

from sklearn_mdjpt import MDJPTEncoder
from sklearn_mdjpt.datasets import make_emotion_windows

SIZE = {
    "hidden_dim": 16,
    "latent_dim": 4,
    "depth": 1,
    "n_heads": 2,
    "n_filters": 2,
    "lr": 5e-3,
    "standardize": False,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def split():
    """Windows of training and of held-out subjects; 60/30/32 channels.

    What subjects share is stronger than by default: there is something to learn in a
    few batches.
    """
    X = make_emotion_windows(
        n_datasets=3, n_subjects=6, n_stimuli=9, trial_seconds=5.0, window_seconds=1.0,
        stride_seconds=1.0, stimulus_strength=2.0, subject_variability=0.5,
        trial_variability=0.0, noise_level=3.0, alpha_level=3.0, random_state=3,
    )  # fmt: skip
    assert {r.sfreq for r in X.recordings} == {200.0, 250.0, 128.0}
    assert {r.n_channels for r in X.recordings} == {60, 30, 32}
    held_out = np.isin(X.metadata["subject"], ["05", "06"])
    return X[~held_out], X[held_out]


@pytest.fixture(scope="module")
def losses(split):
    """Losses of held-out subjects: untrained, trained without CDA, and with it."""
    train, test = split

    def evaluate(**parameters):
        encoder = MDJPTEncoder(**SIZE | parameters).fit(train)
        return encoder.pretraining_losses(test, n_batches=6), encoder

    length = {"max_epochs": 2, "batches_per_epoch": 15}
    return {
        "untrained": evaluate(max_epochs=0),
        "without": evaluate(cda_weight=0.0, **length),
        "with": evaluate(cda_weight=1.0, **length),
    }


def test_pairs_are_of_nine_stimuli(split):
    """v is at least 8, so that ISA has enough negatives to mean something."""
    train, _ = split
    assert train.metadata.groupby("dataset")["stimulus"].nunique().min() == 9


def test_isa_of_held_out_subjects_falls(losses):
    for trained in ("with", "without"):
        assert losses[trained][0]["isa"] < 0.9 * losses["untrained"][0]["isa"]


def test_cda_draws_datasets_together(losses):
    distance = {name: loss["centroid_distance"] for name, (loss, _) in losses.items()}
    # Free of scale: centroids are divided by their trace.
    assert distance["with"] < 0.8 * distance["untrained"]
    assert distance["with"] < 0.8 * distance["without"]


def test_losses_do_not_fall_because_weights_shrink(losses):
    for trained in ("with", "without"):
        norm = losses[trained][1].history_["log_spatial_norm"]
        start = losses["untrained"][1].module_.spatial.weight.norm().log().item()
        assert abs(norm.iloc[-1] - start) < 0.3
