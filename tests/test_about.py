"""What the folder of a training says of it, and that it can be run again by that."""

import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from settings import tiny_encoder
from sklearn.base import clone
from skorch.callbacks import Callback, GradientNormClipping

import sklearn_mdjpt
from sklearn_mdjpt import MDJPTEncoder
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.encoder import _about, _checkpoints


@pytest.fixture(scope="module")
def X():
    X = make_emotion_windows(2, n_subjects=3, n_stimuli=3, random_state=0)
    return X[np.flatnonzero(X.metadata["onset"] < 3)]


def read(folder):
    """Return the run's folder and what its file says; there is one run."""
    [path] = Path(folder).glob("*/about.json")
    return path.parent, json.loads(path.read_text(encoding="utf-8"))


def assert_same_weights(a, b):
    for name, value in a.module_.state_dict().items():
        assert torch.equal(value, b.module_.state_dict()[name]), name


@pytest.mark.parametrize(
    "random_state", [3, np.int64(5), None, np.random.RandomState(1)], ids=str
)
def test_a_training_is_run_again_by_its_folder(X, tmp_path, random_state):
    # A number of numpy's, by type, is another training than Python's.
    lr = np.float64(0.01) if random_state is None else 0.01
    encoder = tiny_encoder(
        checkpoint_dir=tmp_path / "first", random_state=random_state,
        lr=lr, ch_names=np.array(["Fz", "Cz"]),
    ).fit(X)  # fmt: skip
    folder, about = read(tmp_path / "first")
    again = MDJPTEncoder(
        **about["parameters"] | {"checkpoint_dir": str(tmp_path / "again")}
    )
    if isinstance(random_state, np.random.RandomState):
        state = about["not_in_parameters"]["random_state"]
        key = np.frombuffer(bytes.fromhex(state["key"]), "<u4")
        generator = np.random.RandomState()
        generator.set_state(("MT19937", key, state["place"]))
        again.set_params(random_state=generator)
    else:
        assert about["not_in_parameters"] == {}
    assert_same_weights(again.fit(X), encoder)
    np.testing.assert_array_equal(again.transform(X), encoder.transform(X))
    other, told = read(tmp_path / "again")
    assert told["data"] == about["data"]
    if not isinstance(random_state, np.random.RandomState):
        # Equal parameters: the estimator that was fitted, and this one.
        given = encoder.get_params() | {"random_state": None, "checkpoint_dir": None}
        made = again.get_params() | {"random_state": None, "checkpoint_dir": None}
        assert made.pop("ch_names") == list(given.pop("ch_names"))
        assert made == given
    if random_state is not None:
        assert other.name == folder.name


def test_the_file_says_what_was_run(X, tmp_path):
    tiny_encoder(checkpoint_dir=tmp_path, lr=2e-3).fit(X)
    _, about = read(tmp_path)
    assert about["parameters"].keys() == MDJPTEncoder().get_params().keys() - {
        "callbacks"
    }
    assert about["not_default"]["lr"] == 2e-3
    assert "temperature" not in about["not_default"]
    assert about["versions"]["sklearn_mdjpt"] == sklearn_mdjpt.__version__
    assert torch.__version__.startswith(about["versions"]["torch"])
    assert about["versions"]["python"] == platform.python_version()
    assert {"skorch", "sklearn", "numpy", "mne", "braindecode"} <= {*about["versions"]}
    assert about["device"].startswith(
        "cpu" if not torch.cuda.is_available() else "cuda"
    )
    assert about["precision"] == "float32" and about["processes"] == 1
    assert about["command"] is None and about["not_in_parameters"] == {}
    data = about["data"]
    assert [row["dataset"] for row in data["datasets"]] == ["SimA", "SimB"]
    assert [row["subjects"] for row in data["datasets"]] == [3, 3]
    assert sum(row["windows"] for row in data["datasets"]) == data["windows"] == len(X)
    assert [len(names) for names in data["channels"]] == [
        len(names) for names in dict.fromkeys(tuple(r.ch_names) for r in X.recordings)
    ]


def test_the_file_says_what_was_computed_in(X, tmp_path):
    tiny_encoder(checkpoint_dir=tmp_path, precision="bf16").fit(X)
    _, about = read(tmp_path)
    assert about["precision"] == about["not_default"]["precision"] == "bf16"


def test_the_fingerprint_of_data_goes_by_content(X, tmp_path):
    found = []
    for k, data in enumerate((X, X[np.arange(len(X))], X[: len(X) - 1])):
        tiny_encoder(checkpoint_dir=tmp_path / str(k)).fit(data)
        found.append(read(tmp_path / str(k))[1]["data"]["fingerprint"])
    assert found[0] == found[1] != found[2]


def test_parts_of_a_training_are_listed(X, tmp_path):
    encoder = tiny_encoder(
        checkpoint_dir=tmp_path, checkpoint_every=1, random_state=None, max_epochs=2
    )
    write = _checkpoints.Run.write

    def write_and_stop(self, state, n_batches, *, finished=False):
        write(self, state, n_batches, finished=finished)
        if n_batches == 2:
            raise RuntimeError("stopped by the test")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_checkpoints.Run, "write", write_and_stop)
        with pytest.raises(RuntimeError, match="stopped by the test"):
            clone(encoder).fit(X)
    _, before = read(tmp_path)
    assert "continued" not in before
    encoder.fit(X)
    _, after = read(tmp_path)
    [part] = after.pop("continued")
    assert after == before and part["started"] >= before["started"]
    assert part["versions"] == before["versions"]
    # What has come to its end is left as it is.
    clone(encoder).fit(X)
    assert read(tmp_path)[1]["continued"] == [part]
    # The seed is that of the beginning, though none was given.
    again = MDJPTEncoder(**before["parameters"] | {"checkpoint_dir": None}).fit(X)
    assert_same_weights(again, encoder)


class Own(Callback):
    def __init__(self, factor):
        self.factor = factor


def test_what_cannot_be_written_is_named(X, tmp_path):
    callbacks = [("clip", GradientNormClipping(0.5)), Own(2)]
    tiny_encoder(checkpoint_dir=tmp_path, callbacks=callbacks).fit(X)
    _, about = read(tmp_path)
    clip, own = about["not_in_parameters"]["callbacks"]
    assert clip.startswith("skorch.callbacks.regularization.GradientNormClipping(")
    assert "gradient_clip_value=0.5" in clip
    assert own == f"{__name__}.Own(factor=2)"


def test_other_data_in_the_same_folder_are_told(X, tmp_path, capsys):
    encoder = tiny_encoder(checkpoint_dir=tmp_path, verbose=1).fit(X)
    assert "other data" not in capsys.readouterr().out
    clone(encoder).fit(X)
    clone(encoder).set_params(lr=0.1).fit(X[: len(X) - 1])
    assert "other data" not in capsys.readouterr().out
    clone(encoder).fit(X[: len(X) - 1])
    out = capsys.readouterr().out
    assert "holds 1 trainings with these parameters and other data" in out
    assert sum(path.name in out for path in tmp_path.iterdir()) == 1


def test_a_damaged_file_is_written_anew(X, tmp_path):
    tiny_encoder(checkpoint_dir=tmp_path).fit(X)
    folder, about = read(tmp_path)
    (folder / "about.json").write_text("{")
    (folder / "finished.pt").unlink()
    tiny_encoder(checkpoint_dir=tmp_path).fit(X)
    again = read(tmp_path)[1]
    assert again["parameters"] == about["parameters"]
    assert again["data"] == about["data"]


def test_the_commit_of_a_checkout(tmp_path):
    def git(*words):
        person = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *person, *words], cwd=tmp_path, check=True)

    assert _about._commit(tmp_path) is None
    git("init", "-q")
    assert _about._commit(tmp_path) is None  # nothing of it is in the checkout
    (tmp_path / "train.py").write_text("1")
    git("add", "-A")
    git("commit", "-q", "-m", "first")
    found = _about._commit(tmp_path)
    assert len(found["commit"]) == 40 and not found["changed"]
    (tmp_path / "train.py").write_text("2")
    assert _about._commit(tmp_path) == {**found, "changed": True}
    assert _about._commit(tmp_path / "no folder") is None


def test_the_command_line_is_ours_only(monkeypatch):
    spec = sys.modules["sklearn_mdjpt"].__spec__
    monkeypatch.setattr(sys, "argv", ["__main__.py", "pretrain", "study.toml"])
    assert _about._command() is None
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    expected = ["python", "-m", "sklearn_mdjpt", "pretrain", "study.toml"]
    assert _about._command() == expected
