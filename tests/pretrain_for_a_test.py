"""A small pre-training, run in a process of its own by tests that kill it."""

import os
import signal

import numpy as np

from sklearn_mdjpt import MDJPTEncoder
from sklearn_mdjpt._io import _files
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.encoder import _checkpoints

SETTINGS = {
    "hidden_dim": 16,
    "latent_dim": 4,
    "depth": 1,
    "n_heads": 2,
    "n_filters": 2,
    "max_epochs": 3,
    "batches_per_epoch": 5,
    "checkpoint_every": 1,
    "lr": 5e-3,
    "random_state": 0,
}


def windows():
    return make_emotion_windows(
        n_datasets=2, n_subjects=3, n_stimuli=3, trial_seconds=4.0, window_seconds=1.0,
        stride_seconds=1.0, random_state=0,
    )  # fmt: skip


def weights(encoder):
    return {k: v.numpy() for k, v in encoder.module_.state_dict().items()}


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_checkpoint(where, at):
    """Replace a step of writing a checkpoint by death, the ``at``-th time."""
    count = 0

    def reached():
        nonlocal count
        count += 1
        return count == at

    if where == "write":
        write_file = _files.write_file

        def write_half(path, content):
            if path.suffix == ".pt" and reached():
                part = _files.temporary_name(path)
                part.write_bytes(content[: len(content) // 2])
                die()
            write_file(path, content)

        _checkpoints.write_file = write_half
    elif where == "replace":
        replace = os.replace

        def replace_or_die(source, target):
            if str(target).endswith(".pt") and reached():
                die()
            replace(source, target)

        os.replace = replace_or_die
    else:
        write_state = _checkpoints.write_state

        def write_and_die(path, state):
            write_state(path, state)
            if reached():
                die()

        _checkpoints.write_state = write_and_die


def pretrain(begun, folder, result, *death):
    """Write the last weights and the losses into ``result``.

    With ``death``, a place and a number, the process kills itself when a checkpoint is
    written for that time: in the middle of the content ("write"), before the file takes
    its place ("replace"), or after it, before older ones are removed ("remove").
    """
    if death:
        die_in_checkpoint(*death)
    begun.set()
    encoder = MDJPTEncoder(**SETTINGS, checkpoint_dir=folder).fit(windows())
    history = encoder.history_[["isa", "cda", "total"]].to_numpy()
    np.savez(result, history=history, mean=encoder.mean_, **weights(encoder))
