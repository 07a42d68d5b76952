"""Threads, random states and signals inside of estimators; memory of a training."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
import sklearn
import torch
from sklearn.model_selection import cross_validate
from skorch.callbacks import Callback

from sklearn_mdjpt import MDJPTClassifier, MDJPTEncoder
from sklearn_mdjpt._torch import (
    DeferredSignals,
    forked_torch,
    max_threads,
    plain_torch,
    seeded_torch,
    torch_threads,
)
from sklearn_mdjpt.baselines import BraindecodeClassifier
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.inspection import (
    channel_importance,
    integrated_gradients,
    isa_of_guessing,
)
from sklearn_mdjpt.nn import HybridEncoder

CORES = joblib.cpu_count()


# Settings of the process ---------------------------------------------------------

# What a program sets for itself or for another package.
SETTINGS = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "no such device": lambda: torch.device("meta"),
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "inference": torch.inference_mode,
    "errors of floats": lambda: np.errstate(all="raise"),
    "tables": lambda: sklearn.config_context(transform_output="pandas"),
}


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
        assert torch.get_default_dtype() == dtype  # as it was found
    finally:
        torch.set_default_dtype(before)


def numbers_of_all_jobs(folder):
    """Build, train, store and use a network in each of the ways that there are."""
    X = make_emotion_windows(1, n_subjects=2, n_stimuli=3, random_state=0)
    X = X[np.flatnonzero(X.metadata["onset"] < 5)]
    size = {"hidden_dim": 8, "latent_dim": 4, "n_heads": 1, "random_state": 0}
    size |= {"max_epochs": 1, "batches_per_epoch": 1, "subject_norm": "train"}
    encoder = MDJPTEncoder.small(**size)
    found = [encoder.fit_transform(X), encoder.history_["total"]]
    found += encoder.pretraining_losses(X, n_batches=1).values()
    encoder.save(folder / "encoder.safetensors")
    loaded = MDJPTEncoder.load(folder / "encoder.safetensors")
    found += [loaded.transform(X), pickle.loads(pickle.dumps(loaded)).transform(X)]
    head = MDJPTClassifier(loaded, max_epochs=1, random_state=0).fit(X, X.y)
    found += [head.predict_proba(X)]
    found += [integrated_gradients(head, X[:1], n_steps=8).values]
    found += [channel_importance(loaded, X[:2]), isa_of_guessing(X, n_batches=1)]
    network = BraindecodeClassifier("EEGNet", sfreq=64, max_epochs=1, random_state=0)
    network = pickle.loads(pickle.dumps(network.fit(X, X.y)))
    found += [network.predict_proba(X)]
    return [np.asarray(numbers) for numbers in found]


@pytest.fixture(scope="module")
def plain_numbers(tmp_path_factory):
    return numbers_of_all_jobs(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.filterwarnings("ignore:Contributions miss")
def test_settings_of_the_process_change_no_number(plain_numbers, tmp_path, name):
    """Under another default dtype fit broke, and a seed gave other weights."""
    with SETTINGS[name]():
        found = numbers_of_all_jobs(tmp_path)
    for expected, numbers in zip(plain_numbers, found, strict=True):
        assert numbers.dtype == expected.dtype
        assert np.array_equal(numbers, expected, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_networks_are_float32_whatever_the_default(dtype):
    def build():
        torch.manual_seed(0)
        size = {"hidden_dim": 8, "n_heads": 1, "subject_norm": "subject"}
        network = HybridEncoder(4, 64, 64.0, n_outputs=2, **size)
        return network.reset_head(3).eval()

    x = torch.linspace(-1, 1, 512, dtype=torch.float32).view(2, 4, 64)
    with torch.random.fork_rng(devices=[]):
        expected = build()
        with default_dtype(dtype):
            network = build()
            output = network.encode(x).features
    assert {p.dtype for p in network.state_dict().values()} == {
        torch.float32,
        torch.int64,
    }
    for name, parameter in expected.state_dict().items():
        assert torch.equal(network.state_dict()[name], parameter), name
    assert torch.equal(output, expected.encode(x).features)


def test_the_default_dtype_survives_overlapping_threads():
    """The first to come is the first to go, while the other one goes on."""
    inside, leave = threading.Event(), threading.Event()

    def first():
        with plain_torch():
            inside.set()
            assert leave.wait(20)

    with default_dtype(torch.float64):
        thread = threading.Thread(target=first)
        thread.start()
        assert inside.wait(20)
        with plain_torch():
            leave.set()
            thread.join()
            assert torch.get_default_dtype() == torch.float32
        assert torch.get_default_dtype() == torch.float64
        with pytest.raises(RuntimeError, match="on purpose"), plain_torch():
            raise RuntimeError("on purpose")
        assert torch.get_default_dtype() == torch.float64


def test_plain_torch_is_left_as_it_was_found():
    with torch.device("meta"), torch.inference_mode():
        with plain_torch():
            assert torch.zeros(1).device.type == "cpu" and torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
        assert torch.zeros(1).device.type == "meta"
        assert torch.is_inference_mode_enabled() and not torch.is_grad_enabled()


# Threads -------------------------------------------------------------------------


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_threads_are_set_and_restored(four_threads):
    with torch_threads(3):
        assert torch.get_num_threads() == 3
        with torch_threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        with torch_threads(None):
            assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 4
    with pytest.raises(RuntimeError, match="on purpose"), torch_threads(1):
        raise RuntimeError("on purpose")
    assert torch.get_num_threads() == 4
    assert max_threads() is None


def test_overlapping_threads_restore_the_setting(four_threads):
    """The first to come is the first to go, while the other one goes on."""
    inside, leave = threading.Event(), threading.Event()

    def first():
        with torch_threads(1):
            inside.set()
            assert leave.wait(20)

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(20)
    with torch_threads(2):
        leave.set()
        thread.join()
    assert torch.get_num_threads() == 4
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert found == [4]


class NoteThreads(Callback):
    """Write down, in a file of each process, torch's threads in each batch."""

    def __init__(self, folder):
        self.folder = folder

    def on_batch_begin(self, net, **kwargs):
        name = f"{os.getpid()}-{threading.get_ident()}"
        with open(Path(self.folder) / name, "a") as file:
            file.write(f"{torch.get_num_threads()}\n")


def no_score(*_):
    return 0.0


def threads_of_workers(folder, backend, **settings):
    """Cross-validate with two jobs; threads that each worker trained with."""
    X = make_emotion_windows(
        n_datasets=1, n_subjects=4, n_stimuli=2, window_seconds=1.0, random_state=0
    )
    encoder = MDJPTEncoder.small(
        max_epochs=1, batches_per_epoch=3, callbacks=[NoteThreads(str(folder))],
        random_state=0, **settings,
    )  # fmt: skip
    half = np.arange(len(X)) < len(X) // 2
    folds = [(np.flatnonzero(half), [0]), (np.flatnonzero(~half), [0])] * 2
    with joblib.parallel_config(backend):
        cross_validate(
            encoder, X, X.y, cv=folds, n_jobs=2, scoring=no_score,
            error_score="raise",
        )  # fmt: skip
    return [set(map(int, f.read_text().split())) for f in folder.iterdir()]


@pytest.mark.parametrize("n_threads", [None, 64])
@pytest.mark.parametrize(
    "backend",
    [pytest.param("loky", marks=pytest.mark.slow), "threading", "multiprocessing"],
)
def test_two_jobs_share_the_cores(tmp_path, backend, n_threads, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    found = threads_of_workers(tmp_path, backend, torch_threads=n_threads)
    assert all(len(threads) == 1 for threads in found)
    workers = [threads.pop() for threads in found]
    assert len(workers) >= 1
    assert max(workers) <= max(1, CORES // 2), workers
    assert max_threads() is None


@pytest.mark.slow
def test_a_fork_after_training_does_not_hang():
    """Threads of OpenMP do not survive a fork; with two of them the child waited."""
    code = """
import multiprocessing
import numpy as np, torch
from sklearn_mdjpt import MDJPTEncoder
from sklearn_mdjpt._torch import max_threads, torch_threads
from sklearn_mdjpt.datasets import make_emotion_windows
# A process of the user's own is not held back.
assert max_threads() is None
with torch_threads(5): assert torch.get_num_threads() == 5
X = make_emotion_windows(
    n_datasets=1, n_subjects=2, n_stimuli=2, trial_seconds=5.0, random_state=0
)
encoder = MDJPTEncoder.small(max_epochs=1, batches_per_epoch=1, random_state=0)
encoder.fit_transform(X)
assert torch.get_num_threads() == 2
found = multiprocessing.get_context("fork").Pool(1).apply(encoder.fit_transform, [X])
# It has one thread; two round differently.
expected = encoder.set_params(torch_threads=1).fit_transform(X)
np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
"""
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, timeout=120, env=environment)


# Random states -------------------------------------------------------------------


def test_the_global_state_survives_overlapping_threads():
    device = torch.device("cpu")
    before = torch.get_rng_state()
    inside, leave = threading.Event(), threading.Event()

    def first():
        with forked_torch(device):
            with seeded_torch(1):
                torch.rand(3)
            inside.set()
            assert leave.wait(20)

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(20)
    with forked_torch(device):
        with seeded_torch(2):
            torch.rand(3)
        leave.set()
        thread.join()
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_initial_weights_do_not_mix_between_threads():
    def draw(seed):
        with seeded_torch(seed):
            parts = []
            for _ in range(5):
                parts.append(torch.rand(1000))
                time.sleep(0.001)
        return torch.cat(parts)

    before = torch.get_rng_state()
    expected = [draw(seed) for seed in range(4)]
    found = joblib.Parallel(4, backend="threading")(
        joblib.delayed(draw)(seed) for seed in range(4)
    )
    torch.set_rng_state(before)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


# Signals -------------------------------------------------------------------------


def test_a_signal_waits_until_it_is_asked_for():
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), DeferredSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert signals.received == signal.SIGINT
        signals.reraise()
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_signal_does_not_wait():
    with pytest.raises(KeyboardInterrupt), DeferredSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert signals.received == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_handlers_of_the_program_stay(monkeypatch):
    seen = []

    def mine(number, frame):
        seen.append(number)

    before = signal.signal(signal.SIGINT, mine)
    try:
        with DeferredSignals(terminate=True) as signals:
            assert signal.getsignal(signal.SIGINT) is mine
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT] and signals.received is None
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_signals_are_left_alone_outside_of_the_main_thread():
    found = []

    def enter():
        with DeferredSignals():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


# Memory --------------------------------------------------------------------------

MEMORY = """
import sys
from skorch.callbacks import Callback
from sklearn_mdjpt import MDJPTEncoder
from sklearn_mdjpt.datasets import make_emotion_windows

def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024

peaks = []

class Note(Callback):
    def on_batch_end(self, net, **kwargs):
        peaks.append(peak())

X = make_emotion_windows(
    n_datasets=1, n_subjects=4, n_stimuli=4, trial_seconds=3.0, window_seconds=1.0,
    random_state=0,
)
MDJPTEncoder.small(
    torch_threads=1, max_epochs=2, batches_per_epoch=30, checkpoint_dir=sys.argv[1],
    checkpoint_every=10, callbacks=[Note()], random_state=0,
).fit(X)
print(len(peaks), peaks[19], peaks[-1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_memory_of_sixty_steps_is_flat(tmp_path):
    out = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)],
        capture_output=True, text=True, check=True, timeout=900,
    ).stdout.split()  # fmt: skip
    assert int(out[0]) == 60
    assert float(out[2]) - float(out[1]) < 10, out
