"""Checkpoints: kills and interruptions, many runs in one folder, numbers that fail."""

import collections
import functools
import multiprocessing.forkserver
import os
import pickle
import re
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib import parallel_config
from pretrain_for_a_test import SETTINGS, pretrain, weights, windows
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut, cross_validate
from sklearn.pipeline import make_pipeline
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    GradientNormClipping,
    LRScheduler,
)

from sklearn_mdjpt import EEGWindows, MDJPTEncoder, Recording
from sklearn_mdjpt._io._fingerprint import fingerprint
from sklearn_mdjpt.encoder import _checkpoints


@pytest.fixture(scope="module")
def X():
    return windows()


def small(**overrides):
    settings = {"max_epochs": 2, "batches_per_epoch": 4, "checkpoint_every": 3}
    return MDJPTEncoder(**SETTINGS | settings | overrides)


def assert_same(a, b):
    """Same weights, standardisation and losses, to the last bit."""
    a_weights, b_weights = weights(a), weights(b)
    assert a_weights.keys() == b_weights.keys()
    for name, value in a_weights.items():
        np.testing.assert_array_equal(b_weights[name], value, err_msg=name)
    np.testing.assert_array_equal(a.mean_, b.mean_)
    np.testing.assert_array_equal(a.scale_, b.scale_)
    losses = ["isa", "cda", "total", "log_spatial_norm"]
    np.testing.assert_array_equal(a.history_[losses], b.history_[losses])


class Stop(Callback):
    """Ends the process's training at one batch, as an error or as Ctrl-C."""

    def __init__(self, at, how=RuntimeError):
        self.at, self.how = at, how

    def on_batch_end(self, net, **kwargs):
        if net.n_batches == self.at:
            raise self.how("stopped by the test")


class CountBatches(Callback):
    """Counts the batches of all nets in this process."""

    total = 0

    def on_batch_begin(self, net, **kwargs):
        CountBatches.total += 1


def n_batches_of(function):
    before = CountBatches.total
    function()
    return CountBatches.total - before


def stopping_write(at, write=_checkpoints.Run.write):
    """Return a `Run.write` that raises after the checkpoint of one batch."""

    def write_and_stop(self, state, n_batches, *, finished=False):
        write(self, state, n_batches, finished=finished)
        if n_batches == at:
            raise RuntimeError("stopped by the test")

    return write_and_stop


def stop_and_resume(X, folder, at, **overrides):
    """Fit an encoder that fails at a batch, then one that does not."""
    encoder = small(checkpoint_dir=folder, **overrides)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_checkpoints.Run, "write", stopping_write(at))
        with pytest.raises(RuntimeError, match="stopped by the test"):
            clone(encoder).fit(X)
    return encoder.fit(X)


# Going on ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "n_subjects"), [pytest.param(3, 3, marks=pytest.mark.slow), (6, 2)]
)
def test_a_stopped_training_goes_on_to_the_same_weights(X, tmp_path, at, n_subjects):
    options = {"subjects_per_batch": n_subjects}
    whole = small(**options).fit(X)
    assert_same(stop_and_resume(X, tmp_path, at, **options), whole)


def test_a_checkpoint_at_the_end_of_an_epoch(X, tmp_path):
    whole = small(checkpoint_every=4).fit(X)
    assert_same(stop_and_resume(X, tmp_path, 4, checkpoint_every=4), whole)


def test_only_what_is_left_is_trained(X, tmp_path):
    first = stop_and_resume(X, tmp_path, 6, callbacks=[CountBatches()])
    encoder = clone(first)
    assert n_batches_of(lambda: encoder.fit(X)) == 0
    assert_same(encoder, first)
    n_batches = n_batches_of(
        lambda: stop_and_resume(X, tmp_path / "other", 6, callbacks=[CountBatches()])
    )
    assert n_batches == 8


def test_a_finished_training_is_not_encoded_again(X, tmp_path, monkeypatch):
    first = small(checkpoint_dir=tmp_path).fit(X)
    monkeypatch.setattr("sklearn_mdjpt.encoder._estimator.extract_features", None)
    again = small(checkpoint_dir=tmp_path).fit(X)
    assert_same(again, first)
    assert again.training_subjects_ == first.training_subjects_
    assert len(again.net_.history) == 2
    monkeypatch.undo()
    np.testing.assert_array_equal(again.transform(X), first.transform(X))
    np.testing.assert_array_equal(again.fit_transform(X), first.transform(X))


@pytest.mark.parametrize("norm", ["subject", "train", None])
def test_the_stored_end_holds_statistics(X, tmp_path, norm):
    first = small(checkpoint_dir=tmp_path, subject_norm=norm).fit(X)
    again = small(checkpoint_dir=tmp_path, subject_norm=norm).fit(X)
    np.testing.assert_array_equal(again.transform(X), first.transform(X))


def test_other_features_of_a_finished_training(X, tmp_path):
    kwargs = {"callbacks": [CountBatches()], "checkpoint_dir": tmp_path}
    small(**kwargs).fit(X)
    for changed in ({"feature": "de"}, {"standardize": False}):
        expected = small(**changed).fit_transform(X)
        encoder = small(**kwargs, **changed)
        assert n_batches_of(lambda e=encoder: e.fit(X)) == 0
        np.testing.assert_array_equal(encoder.transform(X), expected)
        np.testing.assert_array_equal(clone(encoder).fit_transform(X), expected)


def test_the_end_can_be_loaded_like_any_weights(X, tmp_path):
    encoder = small(checkpoint_dir=tmp_path).fit(X)
    [path] = tmp_path.glob("*/encoder-*.safetensors")
    loaded = MDJPTEncoder.load(path)
    np.testing.assert_array_equal(loaded.transform(X), encoder.transform(X))


def test_what_is_damaged_or_lost_at_the_end_is_made_again(X, tmp_path):
    first = small(checkpoint_dir=tmp_path).fit(X)
    [path] = tmp_path.glob("*/encoder-*.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.warns(UserWarning, match="damaged.*It is made again"):
        assert_same(small(checkpoint_dir=tmp_path).fit(X), first)
    assert path.read_bytes() == whole
    [end] = tmp_path.glob("*/finished.pt")
    with pytest.raises(ValueError, match="is a checkpoint.*encoder-.*can be loaded"):
        MDJPTEncoder.load(end)
    end.unlink()
    assert_same(small(checkpoint_dir=tmp_path).fit(X), first)
    assert end.exists()


def test_without_a_seed_a_begun_training_goes_on(X, tmp_path):
    first = stop_and_resume(X, tmp_path, 3, random_state=None)
    again = small(checkpoint_dir=tmp_path, random_state=None).fit(X)
    assert_same(again, first)
    assert len(list(tmp_path.iterdir())) == 1
    other = small(checkpoint_dir=tmp_path / "other", random_state=None).fit(X)
    assert not np.array_equal(other.mean_, first.mean_)


def test_label_pairs_without_subjects_go_on_with_the_same_halves(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((24, 4, 125))
    y = np.tile(["a", "b"], 12)
    kwargs = {"ch_names": ["Fz", "Cz", "Pz", "Oz"], "sfreq": 125.0}

    def fit(folder):
        encoder = small(checkpoint_dir=folder, random_state=None, **kwargs)
        with pytest.warns(UserWarning, match="supervised"):
            return encoder.fit(X, y)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_checkpoints.Run, "write", stopping_write(at=6))
        with pytest.raises(RuntimeError, match="stopped by the test"):
            fit(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert_same(fit(tmp_path / "a"), fit(tmp_path / "b"))


def test_callbacks_go_on_where_they_were(X, tmp_path):
    def callbacks():
        return [
            ("clip", GradientNormClipping(0.5)),
            ("lr", LRScheduler("CosineAnnealingLR", T_max=8, step_every="batch")),
            ("stop", EarlyStopping(monitor="train_loss", patience=5, load_best=True)),
        ]

    kwargs = {"max_epochs": 3}
    whole = small(callbacks=callbacks(), **kwargs).fit(X)
    resumed = stop_and_resume(X, tmp_path, 6, callbacks=callbacks(), **kwargs)
    assert_same(resumed, whole)
    rates = [group["lr"] for group in resumed.net_.optimizer_.param_groups]
    assert rates == [group["lr"] for group in whole.net_.optimizer_.param_groups]
    plain = small(**kwargs).fit(X)
    assert not np.array_equal(plain.mean_, whole.mean_)


class _Holds(Callback):
    def on_train_begin(self, net, **kwargs):
        self.lock = threading.Lock()


def test_callbacks_that_cannot_be_kept_are_named(X, tmp_path):
    with pytest.warns(UserWarning, match=r"cannot keep.*_Holds \(lock\)"):
        stop_and_resume(X, tmp_path, 6, callbacks=[_Holds()])


def test_early_stopping_is_an_end(X, tmp_path):
    kwargs = {
        "callbacks": [EarlyStopping("train_loss", patience=1, threshold=0.9)],
        "checkpoint_dir": tmp_path,
        "max_epochs": 4,
    }
    encoder = small(**kwargs).fit(X)
    assert not encoder.interrupted_ and len(encoder.history_) == 2
    assert list(tmp_path.glob("*/finished.pt"))
    assert_same(small(**kwargs).fit(X), encoder)


# One folder for many ---------------------------------------------------------------


def test_fingerprint_goes_by_content(X):
    columns = X.metadata[["dataset", "subject", "session", "stimulus", "onset"]]
    base = fingerprint({"lr": 1e-3}, columns, X)
    assert fingerprint({"lr": 1e-3}, columns, pickle.loads(pickle.dumps(X))) == base
    assert fingerprint({"lr": 2e-3}, columns, X) != base
    others = columns.copy()
    others.loc[0, "stimulus"] = "another"
    assert fingerprint({"lr": 1e-3}, others, X) != base
    assert fingerprint({"lr": 1e-3}, columns[:-1], X[:-1]) != base
    recordings = X.recordings
    signal = recordings[0].signal.copy()
    signal[3, 1234] = np.nextafter(signal[3, 1234], 1)
    changed = Recording(
        signal, recordings[0].ch_names, recordings[0].sfreq, trials=recordings[0].trials
    )
    moved = EEGWindows(
        [changed, *recordings[1:]], X._source_index, X._starts, X._n_times, X.metadata
    )
    assert fingerprint({"lr": 1e-3}, columns, moved) != base


class _Schedule:
    """An object as a parameter of a callback."""

    def __init__(self, rate):
        self.rate, self.me = rate, self


def _scaled(x, factor):
    return factor * x


def test_fingerprint_knows_callbacks_by_what_they_do(X):
    columns = X.metadata[["dataset", "subject"]]

    def name(policy):
        callbacks = [("lr", LRScheduler("LambdaLR", lr_lambda=policy))]
        return fingerprint({"callbacks": callbacks}, columns, X)

    def bound(factor):
        return lambda epoch: factor * epoch

    policies = [
        lambda epoch: 0.5, lambda epoch: 0.6, lambda epoch: abs(epoch), bound(1),
        bound(2), functools.partial(_scaled, factor=1), _scaled, abs,
        functools.partial(_scaled, factor=2), _Schedule(1).__eq__, _Schedule(2),
        _Schedule(1), np.arange(3), torch.arange(4), {1, 2}, {"a": 1},
    ]  # fmt: skip
    names = [name(policy) for policy in policies]
    assert len(set(names)) == len(policies)
    assert name(_Schedule(1)) == names[-5]
    assert name(bound(2)) == names[4]


def test_names_made_up_for_unnamed_arrays_do_not_count(tmp_path):
    rng = np.random.default_rng(0)
    arrays = rng.standard_normal((12, 4, 125))
    kwargs = {
        "ch_names": ["Fz", "Cz", "Pz", "Oz"], "sfreq": 125.0,
        "checkpoint_dir": tmp_path, "callbacks": [CountBatches()],
    }  # fmt: skip
    who = {"subjects": np.repeat([0, 1, 2], 4), "stimuli": np.tile(range(4), 3)}
    assert n_batches_of(lambda: small(**kwargs).fit(arrays, **who)) == 8
    assert n_batches_of(lambda: small(**kwargs).fit(arrays.copy(), **who)) == 0
    arrays[5, 2, 7] += 1e-9
    assert n_batches_of(lambda: small(**kwargs).fit(arrays, **who)) == 8


def test_labels_count_only_where_they_are_used(X, tmp_path):
    y = np.roll(X.y, 1)
    short = {"max_epochs": 1, "batches_per_epoch": 1, "checkpoint_dir": tmp_path}
    small(**short).fit(X, X.y)
    small(**short).fit(X, y)
    assert len(list(tmp_path.iterdir())) == 1
    small(**short, pairing="label").fit(X, X.y)
    small(**short, pairing="label").fit(X, y)
    assert len(list(tmp_path.iterdir())) == 3


def test_settings_of_speed_and_of_features_are_no_other_training(X, tmp_path):
    short = {"max_epochs": 1, "batches_per_epoch": 1, "checkpoint_dir": tmp_path}
    small(**short).fit(X)
    callbacks = [CountBatches()]
    for changed in (
        {"chunk_size": None}, {"batch_size": 3}, {"torch_threads": 1}, {"verbose": 0},
        {"checkpoint_every": 1},
    ):  # fmt: skip
        small(**short, **changed).fit(X)
    assert len(list(tmp_path.iterdir())) == 1
    for changed in ({"lr": 1e-4}, {"random_state": 1}, {"callbacks": callbacks}):
        small(**short, **changed).fit(X)
    assert len(list(tmp_path.iterdir())) == 4


def test_finetuning_goes_by_the_content_of_the_weights(X, tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    small().fit(X).save(first)
    small(random_state=1).fit(X).save(second)
    folder = tmp_path / "checkpoints"
    for path in (first, second):
        MDJPTEncoder(
            weights=path, finetune=True, max_epochs=1, batches_per_epoch=2,
            random_state=0, checkpoint_dir=folder,
        ).fit(X)  # fmt: skip
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    "backend", [pytest.param("loky", marks=pytest.mark.slow), "threading"]
)
def test_folds_and_jobs_share_one_folder(X, tmp_path, backend):
    # Another number of threads would round otherwise, and training amplifies that.
    encoder = small(checkpoint_dir=tmp_path, torch_threads=1)
    model = make_pipeline(encoder, LogisticRegression())
    kwargs = {
        "groups": X.groups("subject"), "cv": LeaveOneGroupOut(),
        "return_estimator": True, "error_score": "raise",
    }  # fmt: skip
    keep = X.metadata["dataset"] == X.metadata["dataset"][0]
    X = X[keep.to_numpy()]
    kwargs["groups"] = X.groups("subject")
    plain = clone(model).set_params(mdjptencoder__checkpoint_dir=None)
    expected = cross_validate(plain, X, X.y, **kwargs)
    with parallel_config(backend):
        found = cross_validate(model, X, X.y, n_jobs=2, **kwargs)
    for a, b in zip(found["estimator"], expected["estimator"], strict=True):
        assert_same(a[0], b[0])
    assert len(list(tmp_path.iterdir())) == 3


def test_a_grid_over_the_classifier_trains_each_fold_once(X, tmp_path):
    encoder = small(checkpoint_dir=tmp_path, callbacks=[CountBatches()])
    search = GridSearchCV(
        make_pipeline(encoder, LogisticRegression()),
        {"logisticregression__C": [0.1, 1.0, 10.0]},
        cv=[(np.arange(len(X)), np.arange(len(X)))],
        refit=False,
    )
    assert n_batches_of(lambda: search.fit(X, X.y)) == 8
    assert len(list(tmp_path.iterdir())) == 1


def test_the_same_training_in_two_threads_is_done_once(X, tmp_path):
    encoders = [
        small(checkpoint_dir=tmp_path, callbacks=[CountBatches()]) for _ in range(2)
    ]
    threads = [threading.Thread(target=e.fit, args=(X,)) for e in encoders]

    def run():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert n_batches_of(run) == 8
    assert_same(*encoders)


# Damage, full disks ------------------------------------------------------------------


def checkpoints(folder):
    return sorted(folder.glob("*/batch-*.pt"))


def test_a_damaged_checkpoint_is_passed_over(X, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_checkpoints.Run, "write", stopping_write(at=6))
        with pytest.raises(RuntimeError, match="stopped by the test"):
            small(checkpoint_dir=tmp_path).fit(X)
    older, newer = checkpoints(tmp_path)
    assert newer.name == "batch-000000006.pt"
    newer.write_bytes(newer.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="passed over.*000006.*cannot be read"):
        resumed = small(checkpoint_dir=tmp_path).fit(X)
    assert_same(resumed, small().fit(X))


def test_two_checkpoints_are_kept_until_the_end(X, tmp_path):
    with pytest.raises(RuntimeError, match="stopped by the test"):
        small(checkpoint_dir=tmp_path, checkpoint_every=2, callbacks=[Stop(7)]).fit(X)
    assert {path.name for path in tmp_path.glob("*/*")} == {
        "about.json", "lock", "batch-000000004.pt",
        "batch-000000006.pt",
    }  # fmt: skip
    small(checkpoint_dir=tmp_path / "whole").fit(X)
    assert {path.name for path in tmp_path.glob("whole/*/*")} == {
        "about.json", "lock", "encoder-mean-standardized.safetensors",
        "finished.pt",
    }  # fmt: skip


def test_a_full_disk_leaves_the_last_good_checkpoint(X, tmp_path, monkeypatch):
    fsync, n_calls = os.fsync, 0

    def full(descriptor):
        nonlocal n_calls
        n_calls += 1
        # about.json, then the first checkpoint: each a file and its folder.
        if n_calls > 4:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.warns(UserWarning, match="could not be written.*No space left"):
            encoder = small(checkpoint_dir=tmp_path).fit(X)
    assert_same(encoder, small().fit(X))
    [first] = checkpoints(tmp_path)
    assert first.name == "batch-000000003.pt"
    assert {path.name for path in tmp_path.glob("*/*")} == {
        "about.json", "lock", first.name
    }  # fmt: skip
    # With room again, the same fit goes on from there.
    again = small(checkpoint_dir=tmp_path).fit(X)
    assert_same(again, encoder)


def test_what_is_no_folder_for_checkpoints(X, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("I am no folder")
    with pytest.raises(NotADirectoryError, match="checkpoint_dir must be a folder"):
        small(checkpoint_dir=tmp_path / "file").fit(X)
    with pytest.raises(TypeError, match="checkpoint_dir must be a path, got 3"):
        small(checkpoint_dir=3).fit(X)
    with pytest.raises(ValueError, match="checkpoint_dir must be a path, got an empty"):
        small(checkpoint_dir="").fit(X)
    with pytest.raises(ValueError, match="checkpoint_dir='~/runs'.*not expanded"):
        small(checkpoint_dir="~/runs").fit(X)
    with pytest.raises(ValueError, match="checkpoint_every must be an int >= 1"):
        small(checkpoint_every=0).fit(X)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_callbacks_that_are_none(X):
    for wrong in ("lr", 3, [3], ["lr"], [("lr", None)]):
        with pytest.raises(TypeError, match="callbacks must be a list of skorch"):
            small(callbacks=wrong).fit(X)


def test_checkpoints_hold_plain_values_only(tmp_path):
    state = {
        "a": (1, 2.5, None, True, {1, "x"}), 3: [torch.arange(3), np.float32(2)],
        "nan": float("nan"), "big": 2**100, "array": np.arange(4, dtype=np.uint8),
        "counts": collections.Counter("aab"),
    }  # fmt: skip
    _checkpoints.write_state(tmp_path / "a.pt", state)
    copy = _checkpoints.read_state(tmp_path / "a.pt")
    assert copy["a"] == state["a"] and copy["big"] == 2**100
    assert torch.equal(copy[3][0], torch.arange(3))
    assert copy[3][1] == 2 and copy[3][1].dtype == np.float32
    assert np.isnan(copy["nan"]) and copy["array"].dtype == np.uint8
    assert copy["counts"].most_common(1) == [("a", 2)]
    for wrong in (object(), np.array([None]), "text".__len__, {"a": [Path("a")]}):
        assert not _checkpoints.can_hold(wrong)
        with pytest.raises(TypeError, match="plain values, tensors and arrays"):
            _checkpoints.write_state(tmp_path / "b.pt", {"a": wrong})
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


class _Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_checkpoints_that_are_not_ours_are_refused(tmp_path):
    path, touched = tmp_path / "a.pt", tmp_path / "touched"
    state = {"weight": torch.arange(1000.0), "name": "b"}
    _checkpoints.write_state(path, state)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    bad = [whole[:n] for n in (0, 1, 100, len(whole) // 2, len(whole) - 1)]
    for place in whole.index(b"b") + rng.integers(0, 4000, 20):
        # Where the tensor is.
        start = whole.index(np.arange(1000, dtype=np.float32).tobytes())
        flipped = bytearray(whole)
        flipped[start + place % 4000] ^= 4
        bad.append(bytes(flipped))
    for content in (
        {"state": state, "checkpoint_format": 1}, {"state": state}, state, [1],
        {"state": [1], "checkpoint_format": 2},
        {"state": {"a": _Touch(touched)}, "checkpoint_format": 2}, _Touch(touched),
    ):  # fmt: skip
        torch.save(content, tmp_path / "b.pt")
        bad.append((tmp_path / "b.pt").read_bytes())
    bad += [pickle.dumps(state), pickle.dumps(_Touch(touched))]
    for content in bad:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(repr(str(path)))):
            _checkpoints.read_state(path)
    assert not touched.exists()
    path.write_bytes(whole)
    assert torch.equal(_checkpoints.read_state(path)["weight"], state["weight"])


def test_checkpoints_of_an_earlier_version_are_not_gone_on_with(X, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "batch-000000003.safetensors").write_bytes(b"old")
    with pytest.warns(UserWarning, match="of an earlier version.*begins anew"):
        small(checkpoint_dir=tmp_path, max_epochs=1).fit(X)


# Kills and Ctrl-C ------------------------------------------------------------------


# Processes are forked from one that has imported torch, and what its optimisers import
# when they are first used, and has computed nothing.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["pretrain_for_a_test", "torch._dynamo"])


@pytest.fixture(scope="module", autouse=True)
def where_to_import_from():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        multiprocessing.forkserver.ensure_running()
        yield


def start(folder, result, *death):
    begun = FORKS.Event()
    process = FORKS.Process(target=pretrain, args=(begun, folder, result, *death))
    process.start()
    assert begun.wait(timeout=100)
    return process


def exit_code(process, seconds=300):
    """Return the exit code, or None if the process runs on after these seconds."""
    process.join(seconds)
    return process.exitcode


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Result of the script, and the seconds that it trained."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    process = start(folder / "checkpoints", folder / "result.npz")
    begin = time.monotonic()
    assert exit_code(process) == 0
    seconds = time.monotonic() - begin
    return dict(np.load(folder / "result.npz")), seconds


def assert_same_result(path, expected):
    found = dict(np.load(path))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_killed_while_a_checkpoint_is_written(tmp_path, uninterrupted):
    result = tmp_path / "result.npz"
    for where, at in (("write", 2), ("replace", 4), ("remove", 6)):
        process = start(tmp_path / "checkpoints", result, where, at)
        assert exit_code(process) == -signal.SIGKILL
        assert not result.exists()
    assert exit_code(start(tmp_path / "checkpoints", result)) == 0
    assert_same_result(result, uninterrupted[0])
    assert not list((tmp_path / "checkpoints").glob("*/.*.part"))


@pytest.mark.slow
def test_killed_at_twenty_random_moments(tmp_path, uninterrupted):
    expected, seconds = uninterrupted
    rng = np.random.default_rng(0)
    n_kills = n_runs = 0
    while n_kills < 20:
        n_runs += 1
        folder, result = tmp_path / str(n_runs), tmp_path / f"{n_runs}.npz"
        while True:
            process = start(folder, result)
            left = rng.uniform(0, 0.8) * seconds if n_kills < 20 else 300
            code = exit_code(process, left)
            if code is not None:
                assert code == 0
                break
            process.kill()
            process.join()
            n_kills += 1
        assert_same_result(result, expected)
    print(f"{n_kills} kills, {n_runs} runs, all bit-identical")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_training_after_the_batch(tmp_path, uninterrupted, number):
    result = tmp_path / "result.npz"
    process = start(tmp_path / "checkpoints", result)
    deadline = time.monotonic() + 200
    while not checkpoints(tmp_path / "checkpoints"):
        assert time.monotonic() < deadline and process.is_alive()
        time.sleep(0.01)
    os.kill(process.pid, number)
    code = exit_code(process)
    if number == signal.SIGINT:
        # fit returned with what there was.
        assert code == 0
        n_epochs = len(np.load(result)["history"])
        assert n_epochs < 3
    else:
        assert code == -signal.SIGTERM and not result.exists()
    assert exit_code(start(tmp_path / "checkpoints", result)) == 0
    assert_same_result(result, uninterrupted[0])


class Interrupt(Callback):
    def on_batch_begin(self, net, **kwargs):
        if net.n_batches == 6:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_leaves_a_usable_encoder(X, tmp_path):
    handler = signal.getsignal(signal.SIGINT)
    encoder = small(callbacks=[Interrupt()])
    with pytest.warns(UserWarning, match="interrupted after 6 of 8 batches"):
        encoder.fit(X)
    assert encoder.interrupted_ is True
    assert signal.getsignal(signal.SIGINT) is handler
    assert encoder.transform(X).shape == (len(X), encoder.n_features_out_)
    assert encoder.net_.n_batches == 6 and len(encoder.history_) == 2
    encoder.save(tmp_path / "x.safetensors")
    pickle.loads(pickle.dumps(encoder))
    assert small().fit(X).interrupted_ is False


def test_ctrl_c_raised_by_a_callback(X):
    encoder = small(callbacks=[Stop(5, KeyboardInterrupt)])
    with pytest.warns(UserWarning, match="interrupted after 5 of 8 batches"):
        encoder.fit(X)
    assert encoder.interrupted_
    assert np.isfinite(encoder.transform(X)).all()


def test_a_second_ctrl_c_raises(X):
    class Twice(Callback):
        def on_batch_begin(self, net, **kwargs):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    # skorch swallows what is raised inside of its loop, and ends it.
    with pytest.warns(UserWarning, match="interrupted after 1 of 8"):
        small(callbacks=[Twice()]).fit(X)


# Numbers that are not finite ---------------------------------------------------------


class Poison(Callback):
    """Spoils a weight after one batch."""

    def __init__(self, after):
        self.after = after

    def on_batch_end(self, net, **kwargs):
        if net.n_batches == self.after:
            with torch.no_grad():
                net.encoder.spatial.weight[0, 0] = np.nan


def test_a_loss_that_is_not_finite_names_its_batch(X, tmp_path):
    encoder = small(callbacks=[Poison(5)], checkpoint_dir=tmp_path)
    with pytest.raises(FloatingPointError) as caught:
        encoder.fit(X)
    message = str(caught.value)
    assert "loss became nan" in message and "batch 2 of epoch 2" in message
    for name in X.metadata["dataset"].unique():
        assert f"dataset {name}, subjects 0" in message
    assert "stimuli" in message and "after batch 4" in message
    # The last good weights are there, in the encoder and on the disk.
    assert encoder.interrupted_
    assert all(np.isfinite(value).all() for value in weights(encoder).values())
    assert np.isfinite(encoder.transform(X)).all()
    [kept] = tmp_path.glob("*/last-good.safetensors")
    loaded = MDJPTEncoder.load(kept)
    np.testing.assert_array_equal(loaded.transform(X), encoder.transform(X))
    # They are those that four batches make.
    expected = small(max_epochs=1).fit(X)
    for name, value in weights(expected).items():
        np.testing.assert_array_equal(weights(encoder)[name], value, err_msg=name)


def test_a_gradient_that_is_not_finite(X):
    class Explode(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            if net.n_batches == 4:
                # What a later batch's own check then meets.
                net.encoder.spatial.weight.register_hook(lambda g: g * np.inf)

    encoder = small(callbacks=[Explode()])
    with pytest.raises(FloatingPointError, match="gradient.*not finite in batch 1 of"):
        encoder.fit(X)
    assert all(np.isfinite(value).all() for value in weights(encoder).values())


def test_broken_windows_are_named_among_sound_ones(X):
    broken = pickle.loads(pickle.dumps(X))
    broken.recordings[-1].signal[3, 10::50] = 1e25
    with pytest.raises(
        FloatingPointError, match=r"to 3\.\d*e\+29 in windows of subject 03 "
    ):
        small().fit(broken)
