"""What two processes do together, each on its rank; see test_distributed.py.

    accelerate launch --multi_gpu --num_processes 2 distributed_for_a_test.py FOLDER \
        NAME ...

Each process writes its results of these trainings into FOLDER; "checkpoints" stands for
an interrupted training and for errors.
"""

import os
import pickle
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from pretrain_for_a_test import SETTINGS, weights
from skorch.callbacks import Callback, GradientNormClipping

from sklearn_mdjpt import MDJPTEncoder
from sklearn_mdjpt.datasets import make_emotion_windows

RANK = int(os.environ.get("RANK", 0))
# Training amplifies differences of rounding: at five times this rate the curves of two
# single processes that differ in chunk_size come apart by 0.3 % within 50 batches, as
# much as those of one and of two processes do.
CURVE = {"max_epochs": 2, "batches_per_epoch": 6, "lr": 1e-4, "checkpoint_every": 200}
# Each training that is compared with that of a single process.
TRAININGS = {
    "curve": {},
    "train_norm": {"subject_norm": "train", "max_epochs": 1, "batches_per_epoch": 3},
    "group": {"subjects_per_batch": 3, "max_epochs": 1, "batches_per_epoch": 3},
    "label": {"pairing": "label", "max_epochs": 1, "batches_per_epoch": 3},
    "clipped": {
        "callbacks": [GradientNormClipping(0.1)], "max_epochs": 1,
        "batches_per_epoch": 3,
    },
}  # fmt: skip


def windows(n_datasets=3):
    return make_emotion_windows(
        n_datasets=n_datasets, n_subjects=3, n_stimuli=5, window_seconds=1.0,
        stride_seconds=3.0, random_state=0,
    )  # fmt: skip


def make(**overrides):
    return MDJPTEncoder(**SETTINGS | CURVE | overrides)


def results(encoder, features):
    losses = np.array(encoder.net_.history[:, "batches", :, "train_loss"]).ravel()
    return weights(encoder) | {"losses": losses, "features": features}


class Interrupt(Callback):
    """Ctrl-C that reaches the second process only."""

    def on_batch_begin(self, net, **kwargs):
        if net.n_batches == 7 and RANK == 1 and not os.environ.get("RESUMED"):
            os.kill(os.getpid(), signal.SIGINT)


class Poison(Callback):
    def on_batch_end(self, net, **kwargs):
        if net.n_batches == 4:
            with torch.no_grad():
                net.encoder.spatial.weight[0, 0] = np.nan


def message_of(function):
    try:
        function()
    except (ValueError, FloatingPointError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def interrupt_and_fail(folder, X):
    """Go on after Ctrl-C, train without a seed, and fail in three ways."""
    short = {"max_epochs": 2, "batches_per_epoch": 6, "accelerate": True}
    checked = {"checkpoint_dir": folder / "checkpoints", "callbacks": [Interrupt()]}
    first = make(**short, **checked).fit(X)
    os.environ["RESUMED"] = "1"
    resumed = make(**short, **checked).fit(X)
    again = make(**short, **checked).fit(X)
    whole = make(**short).fit(X)
    unseeded = make(**short | {"max_epochs": 1, "random_state": None}).fit(X)
    np.savez(
        folder / f"checkpoints-{RANK}.npz",
        interrupted=first.interrupted_,
        n_batches=[first.net_.n_batches, resumed.net_.n_batches, again.net_.n_batches],
        same=[
            all(np.array_equal(weights(e)[k], v) for k, v in weights(whole).items())
            for e in (first, resumed, again)
        ],
        unseeded=weights(unseeded)["spatial.weight"],
    )

    errors = {
        "other data": lambda: make(**short).fit(windows()[RANK:]),
        "too many": lambda: make(**short, subject_norm="train").fit(windows(1)),
        "not finite": lambda: make(**short, callbacks=[Poison()]).fit(X),
    }
    messages = [f"{name}: {message_of(f)}\n" for name, f in errors.items()]
    (folder / f"errors-{RANK}.txt").write_text("".join(messages))


if __name__ == "__main__":
    folder, X = Path(sys.argv[1]), windows()
    names = sys.argv[2:]
    for name in [name for name in names if name in TRAININGS]:
        encoder = make(accelerate=True, **TRAININGS[name])
        features = encoder.fit_transform(X)
        np.savez(folder / f"{name}-{RANK}.npz", **results(encoder, features))
    copy = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(copy.transform(X), encoder.transform(X))

    if "checkpoints" in names:
        interrupt_and_fail(folder, X)

    # A process that is gone while another still listens to it can bring it down.
    accelerator = Accelerator()
    accelerator.wait_for_everyone()
    accelerator.end_training()
