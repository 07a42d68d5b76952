"""Several processes that train as one, through Accelerate; mixed precision."""

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock, patch

import numpy as np
import pytest
import torch
from distributed_for_a_test import TRAININGS, make, results, windows

from sklearn_mdjpt.encoder._processes import balance_load

pytest.importorskip("accelerate")
FOLDER = Path(__file__).parent
N_SECONDS = 400


def launch(script, *arguments, n_processes=2, **environment):
    """Run a script in several processes on CPUs, as a user would."""
    threads = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu",
        "--num_processes", n_processes, "--num_machines", 1, "--mixed_precision", "no",
        "--dynamo_backend", "no", "--main_process_port", 0, script, *arguments,
    ]  # fmt: skip
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True,
        timeout=N_SECONDS, env=os.environ | threads | environment,
    )  # fmt: skip


# One launch for these, and another for all the rest.
QUICK = ("group",)


def train_together(folder, *names):
    done = launch(FOLDER / "distributed_for_a_test.py", folder, *names)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Folder with the results of two processes."""
    folder = tmp_path_factory.mktemp("together")
    return train_together(folder, *QUICK)


@pytest.fixture(scope="module")
def rest_together(tmp_path_factory):
    """Folder with the results of the other trainings."""
    folder = tmp_path_factory.mktemp("together")
    return train_together(folder, *(set(TRAININGS) - set(QUICK)), "checkpoints")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TRAININGS if name not in QUICK])
def test_two_processes_train_as_one_in_other_ways(rest_together, name):
    compare_with_one(rest_together, name)


@pytest.mark.parametrize("name", QUICK)
def test_two_processes_train_as_one(together, name):
    compare_with_one(together, name)


def compare_with_one(together, name):
    X = windows()
    encoder = make(**TRAININGS[name])
    expected = results(encoder, encoder.fit_transform(X))
    ranks = [dict(np.load(together / f"{name}-{rank}.npz")) for rank in (0, 1)]
    for key, value in ranks[0].items():
        np.testing.assert_array_equal(ranks[1][key], value, err_msg=key)
    losses = ranks[0]["losses"]
    assert len(losses) == len(expected["losses"])
    np.testing.assert_allclose(losses, expected["losses"], rtol=1e-4)
    if name == "curve":  # and not a constant
        assert np.ptp(losses) > 0.05
    for key in set(expected) - {"losses", "features"}:
        atol = 1e-2 * np.abs(expected[key]).max() + 1e-5
        np.testing.assert_allclose(ranks[0][key], expected[key], atol=atol, err_msg=key)


@pytest.mark.slow
def test_two_processes_go_on_from_one_checkpoint(rest_together):
    ranks = [
        dict(np.load(rest_together / f"checkpoints-{rank}.npz")) for rank in (0, 1)
    ]
    for found in ranks:
        assert found["interrupted"]
        assert found["n_batches"].tolist() == [7, 12, 12]
        assert found["same"].tolist() == [False, True, True]
    # Without a seed, all processes take that of the first.
    np.testing.assert_array_equal(ranks[0]["unseeded"], ranks[1]["unseeded"])


@pytest.mark.slow
def test_errors_reach_all_processes(rest_together):
    for rank in (0, 1):
        text = (rest_together / f"errors-{rank}.txt").read_text()
        assert "other data: ValueError: The processes have other parameters" in text
        assert "too many: ValueError: 2 processes were started, but a batch" in text
        assert "not finite: FloatingPointError: The pre-training loss became" in text


def test_processes_that_would_train_alone_are_told(monkeypatch):
    # As where only GPUs are looked for, and there are none.
    monkeypatch.setattr("accelerate.Accelerator", lambda: Mock(num_processes=1))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="2 processes were started, but"):
        make(accelerate=True).fit(windows(1))


@pytest.fixture
def accelerate():
    """Accelerate as a new process finds it, before and after the test."""
    state = pytest.importorskip("accelerate.state").AcceleratorState
    with patch.dict(os.environ, ACCELERATE_USE_CPU="true"):
        state._reset_state(reset_partial_state=True)
        yield
        state._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_one_process_with_accelerate(accelerate, tmp_path, precision):
    X, settings = windows(1), {"max_epochs": 1, "batches_per_epoch": 3}
    encoder = make(
        accelerate={"mixed_precision": precision}, checkpoint_dir=tmp_path, **settings
    )
    found = results(encoder, encoder.fit_transform(X))
    encoder = make(**settings)
    expected = results(encoder, encoder.fit_transform(X))
    equal = np.array_equal(found["losses"], expected["losses"])
    assert equal == (precision == "no")
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=0.05)
    assert all(np.isfinite(value).all() for value in found.values())
    # A float32 fit was given the weights of a bfloat16 one.
    shared = make(checkpoint_dir=tmp_path, **settings).fit(X)
    assert len(list(tmp_path.iterdir())) == (1 if precision == "no" else 2)
    np.testing.assert_array_equal(shared.mean_, encoder.mean_)


def test_pieces_of_work_are_dealt_out_evenly():
    owners = balance_load([5, 5, 3, 3, 2, 2], 2)
    loads = np.bincount(owners, [5, 5, 3, 3, 2, 2])
    assert loads.tolist() == [10, 10]
    assert balance_load([1, 9, 1], 3).tolist() == [1, 0, 2]
    assert balance_load([4, 4, 4, 4], 1).tolist() == [0, 0, 0, 0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_mixed_precision_on_a_gpu(precision):
    encoder = make(
        accelerate={"mixed_precision": precision}, max_epochs=1, batches_per_epoch=6
    )
    assert np.isfinite(encoder.fit_transform(windows())).all()
