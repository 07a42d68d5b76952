"""Mixed precision of the encoder, and batches that are read ahead for a GPU."""

import pickle
import threading
from unittest.mock import patch

import numpy as np
import pytest
import torch
from pretrain_for_a_test import SETTINGS, weights, windows
from torch.utils._python_dispatch import TorchDispatchMode

from sklearn_mdjpt import MDJPTEncoder
from sklearn_mdjpt._torch import check_precision, mixed_precision
from sklearn_mdjpt.encoder import _read_ahead
from sklearn_mdjpt.encoder._checkpoints import Run
from sklearn_mdjpt.encoder._processes import SingleProcess, join_processes
from sklearn_mdjpt.encoder._read_ahead import joined, read_ahead
from sklearn_mdjpt.encoder._training import PretrainingNet

CPU = torch.device("cpu")
SHORT = {"max_epochs": 2, "batches_per_epoch": 3}


@pytest.fixture(scope="module")
def X():
    return windows()


@pytest.fixture
def ahead(monkeypatch):
    """Read ahead on the CPU as for a GPU."""
    monkeypatch.setattr(_read_ahead, "READ_IN_TURN", set())


def make(**overrides):
    return MDJPTEncoder(**SETTINGS | SHORT | overrides)


def n_readers():
    names = [thread.name for thread in threading.enumerate()]
    return sum("sklearn_mdjpt_reader" in name for name in names)


# Precision -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "most"), [("bf16", 0.02), ("fp16", 0.004), ("float32", 0)]
)
@pytest.mark.parametrize("norm", ["subject", "train"])
def test_features_change_by_rounding(X, precision, most, norm):
    encoder = make(max_epochs=0, subject_norm=norm).fit(X)
    expected = encoder.transform(X)
    found = encoder.set_params(precision=precision).transform(X)
    assert found.dtype == np.float32
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert (error > 0) == (precision != "float32") and error <= most


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_training(X, precision):
    encoder = make(precision=precision).fit(X)
    for name, value in weights(encoder).items():
        assert value.dtype.kind != "f" or value.dtype == np.float32, name
        assert np.isfinite(value).all()
    single = make().fit(X)
    first = [one.net_.history[0, "batches", 0]["isa"] for one in (encoder, single)]
    assert first[0] != first[1]
    np.testing.assert_allclose(*first, rtol=0.05)
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again.transform(X), encoder.transform(X))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_stopped_training_goes_on_in_its_precision(X, tmp_path, precision, ahead):
    options = {"precision": precision, "checkpoint_every": 1}
    whole = make(**options).fit(X)
    write = Run.write

    def write_and_stop(self, state, n_batches, **kwargs):
        write(self, state, n_batches, **kwargs)
        if n_batches == 2:
            raise RuntimeError("stopped by the test")

    encoder = make(checkpoint_dir=tmp_path, **options)
    with patch.object(Run, "write", write_and_stop), pytest.raises(RuntimeError):
        encoder.fit(X)
    encoder.fit(X)
    for name, value in weights(whole).items():
        np.testing.assert_array_equal(weights(encoder)[name], value, err_msg=name)
    np.testing.assert_array_equal(encoder.mean_, whole.mean_)
    # It is another training than that in float32.
    make(checkpoint_dir=tmp_path).fit(X)
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2


def test_the_scale_of_the_loss_is_in_the_checkpoints():
    one, other = SingleProcess(CPU, "fp16"), SingleProcess(CPU, "fp16")
    one.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    other.load_state(one.state())
    assert other.scaler.get_scale() == 8.0
    assert SingleProcess(CPU).state() == {}


def test_float16_leaves_out_steps_that_overflow():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight])
    process = SingleProcess(CPU, "fp16")
    before = process.scaler.get_scale()
    process.backward((weight * torch.tensor([1.0, torch.inf])).sum(), optimizer)
    assert process.skips_bad_steps
    process.step(optimizer)
    assert weight.tolist() == [1.0, 1.0]
    assert process.scaler.get_scale() == before / 2
    # What is not finite unscaled will not be so at any scale.
    process.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**-20)
    weight.grad = None
    process.backward(weight.sum(), optimizer)
    assert not process.skips_bad_steps
    assert weight.grad.tolist() == [1.0, 1.0]


def test_a_saved_encoder_is_loaded_in_another_precision(X, tmp_path):
    encoder = make().fit(X)
    encoder.save(tmp_path / "encoder.safetensors")
    loaded = MDJPTEncoder.load(tmp_path / "encoder.safetensors", precision="bf16")
    found = loaded.transform(X)
    assert not np.array_equal(found, encoder.transform(X))
    encoder.set_params(precision="bf16")
    np.testing.assert_array_equal(found, encoder.transform(X))


def test_precision_is_set_inside_of_the_estimator(X):
    encoder = make(max_epochs=0, precision="bf16").fit(X)
    expected = encoder.transform(X)
    with torch.autocast("cpu", torch.float16):
        np.testing.assert_array_equal(encoder.transform(X), expected)
        assert torch.get_autocast_dtype("cpu") == torch.float16
    assert not torch.is_autocast_enabled("cpu")


def test_what_a_device_lacks_is_said_early(monkeypatch):
    with pytest.raises(ValueError, match="precision must be .*'half'"):
        make(precision="half").fit(windows())
    with pytest.raises(ValueError, match="'bf16' is not to be had on .*'meta'"):
        check_precision("bf16", torch.device("meta"))
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda **_: False)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Tesla T4")
    monkeypatch.setattr("torch.cuda.device", lambda _: patch.dict({}))
    with pytest.raises(ValueError, match=r"Tesla T4 .* has 'float32' and 'fp16'"):
        check_precision("bf16", torch.device("cuda"))
    for fine in ("float32", "fp16"):
        check_precision(fine, torch.device("cuda"))
    assert not torch.is_autocast_enabled("cpu")
    with mixed_precision("bf16", CPU):
        assert torch.is_autocast_enabled("cpu")


def test_precision_and_accelerate(X, monkeypatch):
    both = {"mixed_precision": "fp16"}
    with pytest.raises(ValueError, match=r"precision='bf16' and accelerate=.*'fp16'"):
        make(precision="bf16", accelerate=both).fit(X)
    found = []

    def join(**settings):
        found.append(settings)
        return SingleProcess(CPU)

    monkeypatch.setattr("sklearn_mdjpt.encoder._processes.AcceleratedProcesses", join)
    for accelerate in (True, {"cpu": True}):
        join_processes(accelerate, "cpu", "bf16")
        join_processes(accelerate, "cpu", "float32")
    assert found == [
        {"mixed_precision": "bf16"}, {},
        {"cpu": True, "mixed_precision": "bf16"}, {"cpu": True},
    ]  # fmt: skip


def test_what_float16_cannot_hold_is_said(X):
    broken = pickle.loads(pickle.dumps(X))
    broken.recordings[-1].signal[3, 10::50] = 1e3
    encoder = make(max_epochs=0).fit(X)
    assert np.isfinite(encoder.transform(broken)).all()
    encoder.set_params(precision="fp16")
    with pytest.raises(ValueError, match=r"(?s)too large .*'fp16' end at 65504"):
        encoder.transform(broken)


# Reading ahead -------------------------------------------------------------------


def test_results_come_in_order_and_one_ahead(ahead):
    begun, read = [], threading.Event()

    def square(k):
        begun.append((k, threading.current_thread().name))
        if k == 1:
            read.set()
        return k**2

    results = read_ahead(square, range(4), CPU)
    assert next(results) == 0
    assert read.wait(10)  # before it was asked for
    assert list(results) == [1, 4, 9]
    assert [k for k, _ in begun] == [0, 1, 2, 3]
    assert all("sklearn_mdjpt_reader" in name for _, name in begun)
    assert list(read_ahead(square, [], CPU)) == []
    assert n_readers() == 0


@pytest.mark.parametrize("in_turn", [True, False])
def test_errors_come_where_they_would(monkeypatch, in_turn):
    monkeypatch.setattr(_read_ahead, "READ_IN_TURN", {"cpu"} if in_turn else set())
    error = OSError("no such window")

    def read(k):
        if k == 2:
            raise error
        return k

    results = read_ahead(read, range(5), CPU)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OSError) as caught:
        next(results)
    assert caught.value is error
    assert n_readers() == 0


def test_a_closed_reader_leaves_no_thread(ahead):
    results = read_ahead(float, range(100), CPU)
    next(results)
    assert n_readers() == 1
    results.close()
    assert n_readers() == 0


def test_overflows_are_handled_as_the_caller_said(ahead):
    large = np.full(2, 1e30, np.float32)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        list(read_ahead(np.square, [large, large], CPU))


@pytest.mark.parametrize("norm", ["subject", "train", None])
@pytest.mark.parametrize("n_subjects", [2, 3])
def test_reading_ahead_changes_no_number(X, monkeypatch, norm, n_subjects):
    def numbers():
        encoder = make(subject_norm=norm, subjects_per_batch=n_subjects, batch_size=5)
        features = encoder.fit_transform(X)
        losses = encoder.pretraining_losses(X, n_batches=2)
        encoder.calibrate(X[X.groups("subject") == X.groups("subject")[0]])
        return features, encoder.transform(X), list(losses.values())

    in_turn = numbers()
    monkeypatch.setattr(_read_ahead, "READ_IN_TURN", set())
    for expected, found in zip(in_turn, numbers(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert n_readers() == 0


def batches_of(X):
    encoder = make(max_epochs=1, batches_per_epoch=1)
    found = []

    def fit_loop(self, batches, *_, **__):
        found.append(batches)
        raise FloatingPointError("stopped by the test")

    with patch.object(PretrainingNet, "fit_loop", fit_loop):
        with pytest.raises(FloatingPointError, match="stopped by the test"):
            encoder.fit(X)
    return found[0]


def test_the_state_is_that_of_the_batch_in_hand(X, ahead):
    batches = batches_of(X)
    beginning = batches.sampler.snapshot()
    rows, states = [], []
    for batch, _ in batches.take(6, CPU):
        rows.append([pair.rows for pair in batch._pairs])
        states.append(batches.state())
    batches.load_state(states[2])
    again = [[p.rows for p in batch._pairs] for batch, _ in batches.take(3, CPU)]
    np.testing.assert_equal(again, rows[3:])
    # Who stops before the end gets on with the batch after.
    batches.sampler.restore(beginning)
    taken = batches.take(6, CPU)
    for _ in range(2):
        next(taken)
    taken.close()
    batch, _ = next(batches.take(1, CPU))
    np.testing.assert_equal([pair.rows for pair in batch._pairs], rows[2])


def test_all_windows_of_a_batch_go_at_once(X):
    batch, _ = next(iter(batches_of(X)))
    whole = batch.joined(CPU)
    for part, one in zip(whole.parts, batch.parts, strict=True):
        assert torch.equal(part.windows, one.windows)
    storages = {part.windows.untyped_storage().data_ptr() for part in whole.parts}
    assert len(batch.parts) == 2 and len(storages) == 1
    moved = batch.to(torch.device("meta"))
    assert {part.windows.device.type for part in moved.parts} == {"meta"}
    assert {part.sides.device.type for part in moved.parts} == {"cpu"}
    assert [p.windows.shape for p in moved.parts] == [
        p.windows.shape for p in batch.parts
    ]
    assert joined([np.ones((2, 3), "f4"), np.zeros(4, "f4")], CPU).shape == (10,)


class CountWaits(TorchDispatchMode):
    """Counts the numbers that the host asks for, and copies to numpy's side."""

    n = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            CountWaits.n += 1
        return func(*args, **(kwargs or {}))


def test_a_training_step_asks_for_no_single_number(X, monkeypatch):
    """On a GPU each of them is a wait; losses and norm of the gradient come at once."""
    for name in ("train_step_single", "on_grad_computed"):
        method = getattr(PretrainingNet, name)

        def counted(self, *args, _method=method, **kwargs):
            with CountWaits():
                return _method(self, *args, **kwargs)

        monkeypatch.setattr(PretrainingNet, name, counted)
    CountWaits.n = 0
    make().fit(X)
    assert CountWaits.n == 0
    with CountWaits():
        torch.ones(1).item()
    assert CountWaits.n == 1
