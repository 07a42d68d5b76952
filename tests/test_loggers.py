"""skorch's loggers in the trainings: what is read back is what the history says."""

import importlib
import pickle
import struct
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from settings import tiny_encoder
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline
from skorch.callbacks import LRScheduler, MlflowLogger, TensorBoard, WandbLogger

from sklearn_mdjpt import DifferentialEntropy, MDJPTClassifier
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.encoder import _checkpoints

# Names in history_, and what loggers call them.
LOSSES = {
    "isa": "isa", "cda": "cda", "total": "train_loss", "seconds": "dur",
    "log_spatial_norm": "log_spatial_norm",
}  # fmt: skip


class InTensorBoard:
    """A folder of event files, written and read by tensorboard."""

    def __init__(self, folder):
        self.folder = folder / "events"
        self.open()

    def open(self):
        from torch.utils.tensorboard import SummaryWriter

        self.callback = TensorBoard(SummaryWriter(self.folder), close_after_train=False)

    def close(self):
        self.callback.writer.close()

    def read(self):
        from tensorboard.backend.event_processing.event_accumulator import (
            EventAccumulator,
        )

        found = EventAccumulator(str(self.folder)).Reload()
        return {
            tag.removeprefix("Loss/"): [(e.step, e.value) for e in found.Scalars(tag)]
            for tag in found.Tags()["scalars"]
        }


class InWandb:
    """The file of an offline run."""

    def __init__(self, folder):
        self.folder, self.runs = folder, []
        self.open()

    def open(self):
        import wandb

        run = wandb.init(project="test", mode="offline", dir=self.folder)
        self.runs.append(Path(run.dir).parent)  # in the order of time
        self.callback = WandbLogger(run, save_model=False)

    def close(self):
        self.callback.wandb_run.finish()

    def read(self):
        """Return the rows of all runs; W&B counts its steps from 0 on."""
        found = defaultdict(list)
        for folder in self.runs:
            for record in finished_records(folder):
                if record.WhichOneof("record_type") != "history":
                    continue
                items = {
                    item.key or item.nested_key[0]: item.value_json
                    for item in record.history.item
                }
                for name, text in items.items():
                    if not name.startswith(("_", "gradients")):
                        value = float(text)
                        found[name].append((int(items["_step"]) + 1, value))
        return dict(found)


def finished_records(folder, seconds=60):
    """Return the records of a run that is finished.

    W&B's own process may write its file some time after ``finish`` has returned.
    """
    internal = importlib.import_module("wandb.proto.wandb_internal_pb2")
    end = time.monotonic() + seconds
    while True:
        found = []
        written = b"".join(p.read_bytes() for p in folder.glob("run-*.wandb"))
        for content in records(written):
            found.append(internal.Record())
            found[-1].ParseFromString(content)
        if any(record.WhichOneof("record_type") == "exit" for record in found):
            return found
        assert time.monotonic() < end, f"{folder} has no end after {seconds} s"
        time.sleep(0.05)


def records(content):
    """Yield the records of W&B's file, which is a log as LevelDB writes it."""
    assert content[:4] in (b"", b":W&B")
    size, place, whole = 2**15, 7, b""
    while place + 7 <= len(content):
        if size - place % size < 7:  # too short for a header
            place += size - place % size
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        place += 7
        if place + length > len(content):
            return  # it is still being written
        whole += content[place : place + length]
        place += length
        if kind in (1, 4):  # whole, or its last part
            yield whole
            whole = b""


class InMlflow:
    """A data base in a file."""

    def __init__(self, folder):
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.run_id = None
        self.open()

    def open(self):
        from mlflow import MlflowClient

        self.client = MlflowClient(self.uri)
        if self.run_id is None:
            self.run_id = self.client.create_run("0").info.run_id
        self.callback = MlflowLogger(
            self.client.get_run(self.run_id), self.client, create_artifact=False,
            log_on_batch_end=True, epoch_suffix="",
        )  # fmt: skip

    def close(self):
        pass

    def read(self):
        names = self.client.get_run(self.run_id).data.metrics
        return {
            name: [
                (one.step, one.value)
                for one in self.client.get_metric_history(self.run_id, name)
            ]
            for name in names
        }


STORES = {"tensorboard": InTensorBoard, "wandb": InWandb, "mlflow": InMlflow}


@pytest.fixture(scope="module")
def X():
    X = make_emotion_windows(1, n_subjects=3, n_stimuli=3, random_state=0)
    return X[np.flatnonzero(X.metadata["onset"] < 3)]


@pytest.fixture(params=STORES)
def store(request, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.chdir(tmp_path)
    store = STORES[request.param](tmp_path)
    yield store
    store.close()


def values_of(read, name, steps):
    """Return what was logged under a name, by step."""
    assert sorted({step for step, _ in read[name]}) == list(steps)
    return np.array([dict(read[name])[step] for step in steps])


def test_what_was_logged_is_the_history(X, store):
    rate = LRScheduler("StepLR", step_size=1, gamma=0.1)
    encoder = tiny_encoder(max_epochs=3, lr=1e-3, callbacks=[store.callback, rate])
    encoder.fit(X)
    store.close()
    read = store.read()
    history = encoder.history_
    for ours, theirs in LOSSES.items():
        found = values_of(read, theirs, [1, 2, 3])
        np.testing.assert_allclose(found, history[ours], rtol=1e-6, err_msg=theirs)
    np.testing.assert_allclose(values_of(read, "lr", [1, 2, 3]), [1e-3, 1e-4, 1e-5])
    if isinstance(store, InMlflow):
        of_batches = encoder.net_.history[:, "batches", :, "cda"]
        found = values_of(read, "cda_batch", range(1, 7))
        np.testing.assert_allclose(found, np.ravel(of_batches))
    # No logger changes what is learnt.
    plain = tiny_encoder(max_epochs=3, lr=1e-3, callbacks=[clone_of(rate)]).fit(X)
    np.testing.assert_array_equal(plain.transform(X), encoder.transform(X))


def clone_of(callback):
    return clone(tiny_encoder(callbacks=[callback])).callbacks[0]


def test_the_head_logs(X, store):
    model = MDJPTClassifier(
        DifferentialEntropy(), max_epochs=2, random_state=0, callbacks=[store.callback]
    ).fit(X, X.y)
    store.close()
    found = values_of(store.read(), "train_loss", [1, 2])
    np.testing.assert_allclose(found, model.history_["train_loss"], rtol=1e-6)


def test_a_resumed_training_goes_on_logging(X, store, tmp_path, recwarn):
    encoder = tiny_encoder(
        max_epochs=3, checkpoint_dir=tmp_path / "runs", checkpoint_every=1,
        callbacks=[store.callback],
    )  # fmt: skip
    write = _checkpoints.Run.write

    def write_and_stop(self, state, n_batches, *, finished=False):
        write(self, state, n_batches, finished=finished)
        if n_batches == 4:  # within the second epoch
            raise RuntimeError("stopped by the test")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_checkpoints.Run, "write", write_and_stop)
        with pytest.raises(RuntimeError, match="stopped by the test"):
            clone(encoder).fit(X)
    store.close()
    store.open()
    resumed = clone(encoder).set_params(callbacks=[store.callback]).fit(X)
    store.close()
    rows = store.read()["cda"]
    np.testing.assert_allclose(
        [value for _, value in rows], resumed.history_["cda"], rtol=1e-6
    )
    if not isinstance(store, InWandb):  # each of its runs counts for itself
        assert [step for step, _ in rows] == [1, 2, 3]
    if isinstance(store, InMlflow):
        assert [step for step, _ in store.read()["cda_batch"]] == [*range(1, 7)]
    assert not [str(w.message) for w in recwarn if "callbacks" in str(w.message)]


def test_fitted_encoders_are_pickled_without_what_loggers_write_to(X, store):
    encoder = tiny_encoder(callbacks=[store.callback]).fit(X)
    with pytest.warns(UserWarning, match=r"left out .*Logger|left out .*TensorBoard"):
        content = pickle.dumps(encoder)
    again = pickle.loads(content)
    assert again.callbacks == []
    np.testing.assert_array_equal(again.transform(X), encoder.transform(X))
    encoder.save("encoder.safetensors")


def test_folds_and_grids_log_to_one_place(X, store):
    encoder = tiny_encoder(callbacks=[store.callback])
    model = make_pipeline(encoder, LogisticRegression())
    split = {"cv": LeaveOneGroupOut(), "groups": X.groups("subject")}
    cross_val_score(model, X, X.y, **split, error_score="raise")
    grid = {"mdjptencoder__lr": [1e-3, 1e-2]}
    search = GridSearchCV(model, grid, cv=split["cv"], error_score="raise")
    search.fit(X, X.y, groups=split["groups"])
    store.close()
    # Three folds, six in the grid, and the best one again.
    assert len(store.read()["cda"]) == 10


def test_wandb_has_no_best_model_without_a_validation_loss(X, tmp_path, monkeypatch):
    """WandbLogger(run), as it comes, raised KeyError: 'valid_loss_best'."""
    monkeypatch.setenv("WANDB_SILENT", "true")
    store = InWandb(tmp_path)
    logger = WandbLogger(store.callback.wandb_run)
    with pytest.warns(UserWarning, match="no validation set"):
        encoder = tiny_encoder(callbacks=[logger]).fit(X)
    assert logger.save_model  # copies are trained with
    head = MDJPTClassifier(
        DifferentialEntropy(), max_epochs=2, random_state=0, callbacks=[logger],
        early_stopping=True,
    )  # fmt: skip
    best = Path(logger.wandb_run.dir) / "best_model.pth"
    assert not best.exists()
    head.fit(X, X.y)
    assert best.is_file()
    store.close()
    assert len(store.read()["cda"]) == len(encoder.history_)


def test_no_logger_is_loaded_that_is_not_used():
    code = """
import sys
from sklearn_mdjpt import MDJPTClassifier, MDJPTEncoder
found = {"tensorboard", "wandb", "mlflow"} & set(sys.modules)
assert not found, found
"""
    subprocess.run([sys.executable, "-c", code], check=True)
