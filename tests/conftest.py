"""Fixtures: small recordings and windows of the size that a test asks for."""

import os

# Networks this small wait for other threads most of the time.  Processes that tests
# start, and compare with, are to round as their parent does.
os.environ["OMP_NUM_THREADS"] = "1"
# Where a test asks for more, threads that wait must not take the cores from other
# processes.  OpenMP reads this when torch is loaded.
os.environ["OMP_WAIT_POLICY"] = "passive"

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from sklearn_mdjpt import EEGWindows, Recording, concat_windows

torch.set_num_threads(1)
_LIMITS = threadpool_limits(1)

CAPS = {
    "A": (("Fp1", "Fz", "C3", "Cz", "C4", "Pz", "O1", "O2"), 200.0),
    "B": (("F3", "F4", "T7", "Cz", "T8", "P3"), 250.0),
    "C": (("AF3", "AF4", "Cz", "PO3", "PO4"), 128.0),
}

# Files that take longest.  They come first, so that the processes of a test run end
# together.
LONG = (
    "test_checkpoints.py", "test_runtime.py", "test_contracts.py",
    "test_evaluation.py", "test_encoder.py", "test_distributed.py",
    "test_cluster.py", "test_clean_dataset.py", "test_classifier.py",
    "test_command_line.py", "test_robustness.py", "test_weights.py",
    "test_pretraining.py", "test_study.py",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    """Put the longest files first."""
    items.sort(key=lambda i: LONG.index(i.path.name) if i.path.name in LONG else 99)


def _recording(dataset, subject, *, n_stimuli, trial_seconds, rng, ch_names, sfreq):
    n_times = int(n_stimuli * trial_seconds * sfreq)
    signal = rng.standard_normal((len(ch_names), n_times)).astype(np.float32)
    signal = np.cumsum(signal, axis=1) * 0.1 + signal
    trials = [
        {
            "start": k * trial_seconds,
            "stop": (k + 1) * trial_seconds,
            "stimulus": f"clip{k}",
            "label": ("negative", "neutral", "positive")[k % 3],
            "rating": float(k),
        }
        for k in range(n_stimuli)
    ]
    return Recording(1e-5 * signal, ch_names, sfreq, dataset, subject, "1", trials)


@pytest.fixture
def make_recordings():
    """Return a function that makes recordings of one or several datasets."""

    def make(
        datasets=("A",), n_subjects=3, n_stimuli=4, trial_seconds=3.0, random_state=0
    ):
        rng = np.random.default_rng(random_state)
        return [
            _recording(
                name, f"{k:02d}", n_stimuli=n_stimuli, trial_seconds=trial_seconds,
                rng=rng, ch_names=CAPS[name][0], sfreq=CAPS[name][1],
            )
            for name in datasets
            for k in range(1, n_subjects + 1)
        ]  # fmt: skip

    return make


@pytest.fixture
def make_windows(make_recordings):
    """Return a function that makes windows of one second, stride one second."""

    def make(datasets=("A",), window_seconds=1.0, stride_seconds=1.0, **kwargs):
        return EEGWindows.from_recordings(
            make_recordings(datasets, **kwargs),
            window_seconds=window_seconds,
            stride_seconds=stride_seconds,
        )

    return make


@pytest.fixture
def mixed_windows(make_windows):
    """Windows of three datasets that differ in cap and rate."""
    return concat_windows([make_windows((name,)) for name in CAPS])
