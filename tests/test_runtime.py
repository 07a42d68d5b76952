"""Threads, random states and signals inside of estimators; memory of a training."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.model_selection import cross_validate
from skorch.callbacks import Callback

from sklearn_mdjpt import MDJPTEncoder
from sklearn_mdjpt._runtime import (
    DeferredSignals,
    forked_torch,
    max_threads,
    seeded_torch,
    torch_threads,
)
from sklearn_mdjpt.datasets import make_emotion_windows

CORES = joblib.cpu_count()


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
@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_two_jobs_share_the_cores(tmp_path, backend, n_threads, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    found = threads_of_workers(tmp_path, backend, torch_threads=n_threads)
    assert all(len(threads) == 1 for threads in found)
    workers = [threads.pop() for threads in found]
    assert len(workers) >= 1
    assert max(workers) <= max(1, CORES // 2), workers
    assert max_threads() is None


def test_a_fork_after_training_does_not_hang():
    """Threads of OpenMP do not survive a fork; with two of them the child waited."""
    code = """
import multiprocessing, os
import numpy as np, torch
from sklearn_mdjpt import MDJPTEncoder
from sklearn_mdjpt.datasets import make_emotion_windows
X = make_emotion_windows(n_datasets=1, n_subjects=2, n_stimuli=2, random_state=0)
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


def test_a_process_of_the_users_own_is_not_held_back():
    code = (
        "import torch; from sklearn_mdjpt._runtime import torch_threads, max_threads\n"
        "assert max_threads() is None\n"
        "with torch_threads(5): assert torch.get_num_threads() == 5\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


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
    n_datasets=1, n_subjects=4, n_stimuli=4, window_seconds=1.0, random_state=0
)
MDJPTEncoder.small(
    torch_threads=1, max_epochs=2, batches_per_epoch=100, checkpoint_dir=sys.argv[1],
    checkpoint_every=10, callbacks=[Note()], random_state=0,
).fit(X)
print(len(peaks), peaks[19], peaks[-1])
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_memory_of_two_hundred_steps_is_flat(tmp_path):
    out = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)],
        capture_output=True, text=True, check=True, timeout=900,
    ).stdout.split()  # fmt: skip
    assert int(out[0]) == 200
    assert float(out[2]) - float(out[1]) < 50, out
