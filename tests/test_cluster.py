"""Cross-validation on a cluster of processes, with data that travel as paths."""

import os
from unittest import mock

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import EEGWindows, MDJPTEncoder, Recording
from sklearn_mdjpt.channels import CANONICAL_CHANNELS

distributed = pytest.importorskip("distributed")


@pytest.fixture
def client():
    """A client of two worker processes on this machine."""
    # Dask sets OMP_NUM_THREADS for its workers in this process, and leaves it there for
    # all processes that are started after: these would round in another way.
    with mock.patch.dict(os.environ):
        cluster = distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            host="127.0.0.1",
        )
        with cluster, distributed.Client(cluster, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
            yield client


@pytest.fixture
def n_bytes_sent(monkeypatch):
    """Sizes of all messages that this process sends to the workers."""
    # The scheduler runs in this process: what tasks carry passes through here.
    comm = pytest.importorskip("distributed.comm.tcp").TCP
    write, sizes = comm.write, []

    async def counted(self, *args, **kwargs):
        sizes.append(await write(self, *args, **kwargs))
        return sizes[-1]

    monkeypatch.setattr(comm, "write", counted)
    return sizes


def look(windows):
    """Say in which process the windows are, and what their signals are."""
    return os.getpid(), [
        (isinstance(source.signal, np.memmap), source.signal.filename)
        for source in windows.recordings
    ]


def save_windows(folder):
    """Save windows of four people: few, of long recordings."""
    rng = np.random.default_rng(0)
    trials = [
        {"start": 60 * k, "stop": 60 * k + 12, "stimulus": f"clip {k}", "label": label}
        for k, label in enumerate(["sad", "calm", "joy"] * 2)
    ]
    recordings = [
        Recording(
            rng.standard_normal((30, 360 * 125), dtype=np.float32),
            CANONICAL_CHANNELS[::2], 125.0, "lab", subject, trials=trials,
        )
        for subject in range(4)
    ]  # fmt: skip
    EEGWindows.from_recordings(recordings, window_seconds=1.0, stride_seconds=3.0).save(
        folder
    )


@pytest.mark.slow
def test_scores_are_those_of_one_process(client, n_bytes_sent, tmp_path):
    save_windows(tmp_path / "store")
    X = EEGWindows.open(tmp_path / "store")
    y, groups = X.y, X.groups("subject")

    model = make_pipeline(
        MDJPTEncoder.small(
            hidden_dim=8, latent_dim=2, max_epochs=1, batches_per_epoch=2,
            torch_threads=1, random_state=0,
        ),
        LogisticRegression(),
    )  # fmt: skip
    logo = LeaveOneGroupOut()
    expected = cross_val_score(model, X, y, groups=groups, cv=logo, n_jobs=1)

    n_bytes_sent.clear()
    with distributed.get_task_stream(client) as stream:
        with joblib.parallel_config("dask", wait_for_workers_timeout=60):
            scores = cross_val_score(model, X, y, groups=groups, cv=logo)
    np.testing.assert_array_equal(scores, expected)
    assert np.ptp(scores) > 0  # folds that all score the same would prove little
    done = [task for task in stream.data if task["status"] == "OK"]
    assert len(done) >= 4 and len({task["worker"] for task in done}) == 2
    # All messages, for all folds and twice on their way, are a fraction of one signal.
    assert 5_000 < sum(n_bytes_sent) < 0.1 * X.recordings[0].signal.nbytes

    files = {str(path) for path in (tmp_path / "store").glob("signal-*.npy")}
    seen = client.run(look, X[groups != "lab/1"])
    assert len({pid for pid, _ in seen.values()} - {os.getpid()}) == 2
    for _, sources in seen.values():
        assert len(sources) == 3
        assert all(mapped and str(name) in files for mapped, name in sources)
