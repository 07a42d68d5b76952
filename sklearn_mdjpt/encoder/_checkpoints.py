"""Checkpoints of a training: each run has a folder and goes on from the last good one.

A checkpoint is what `torch.save` writes of plain values, tensors and arrays, and is
read without running anything in it.  It takes its place in one step.  A run is named by
the fingerprint of its parameters and data, so that many runs may share the folder they
lie in.  The processes that do one and the same run wait for each other.
"""

import collections
import contextlib
import io
from pathlib import Path

import numpy as np
import torch

from .._io._files import locked, remove_unfinished, write_file
from .._io._tensor_files import unpickle_archive
from .._validation import warn

FORMAT_VERSION = 2
"""Of checkpoints; part of a run's fingerprint."""

_KEPT = 2
_FINISHED = "finished.pt"
_PLAIN = (type(None), bool, int, float, str, torch.Tensor, torch.nn.Parameter)
_CONTAINERS = (list, tuple, set)
_MAPPINGS = (dict, collections.OrderedDict, collections.Counter)
_NUMBERS = "biuf"
# Names in pickles of numpy's arrays and numbers that torch does not read by itself.
_OF_NUMPY = [
    np.ndarray,
    np.dtype,
    np.zeros(1).__reduce__()[0],
    np.float64(1).__reduce__()[0],
    *{type(np.dtype(code)) for code in "?bBhHiIlLqQefdg"},
]


class Run:
    """The folder of one training run.

    Parameters
    ----------
    checkpoint_dir : str or path-like
        Folder of all runs; it is made if it is not there.
    fingerprint : str
        Names the run.

    Attributes
    ----------
    folder : Path
        The run's own folder.
    """

    def __init__(self, checkpoint_dir, fingerprint):
        self.folder = Path(checkpoint_dir) / fingerprint

    @contextlib.contextmanager
    def locked(self, on_wait):
        """Keep other processes out of the run, as long as this one lives.

        Parameters
        ----------
        on_wait : callable
            Called, without arguments, if another process is at work.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        # Without locks two processes with the same run do the same work twice, and
        # write the same files.
        with locked(self.folder / "lock", on_wait) as alone:
            if alone:
                remove_unfinished(self.folder)
            yield

    def latest(self):
        """Return the state of the last good checkpoint, and whether it is the end.

        Returns
        -------
        state : dict or None
            None if there is no checkpoint yet.
        finished : bool
            Whether the training had come to its end.
        """
        for path in [self.folder / _FINISHED, *reversed(self._checkpoints())]:
            try:
                return read_state(path), path.name == _FINISHED
            except FileNotFoundError:
                continue
            except ValueError as error:
                warn(f"A checkpoint is passed over: {error}")
        if any(self.folder.parent.glob("*/finished.safetensors")) or any(
            self.folder.parent.glob("*/batch-*.safetensors")
        ):
            warn(
                f"{str(self.folder.parent)!r} holds checkpoints of an earlier version "
                "of sklearn_mdjpt, which cannot be gone on with: this training begins "
                "anew."
            )
        return None, False

    def write(self, state, n_batches, *, finished=False):
        """Write a checkpoint, then remove those that are not needed any more.

        Parameters
        ----------
        state : dict
            Plain values, tensors and arrays.
        n_batches : int
            Batches trained so far.
        finished : bool, default=False
            Whether this is the end of the training.

        Raises
        ------
        OSError
            If it cannot be written; the others then stay.
        """
        name = _FINISHED if finished else f"batch-{n_batches:09d}.pt"
        write_state(self.folder / name, state)
        old = self._checkpoints()
        for path in old if finished else old[:-_KEPT]:
            path.unlink(missing_ok=True)

    def _checkpoints(self):
        return sorted(self.folder.glob("batch-*.pt"))


def write_state(path, state):
    """Write nested dicts, lists, tuples and sets of plain values, tensors and arrays.

    Raises
    ------
    TypeError
        If something in it is of another type.
    OSError
        If the file cannot be written; then nothing has changed.
    """
    if not can_hold(state):
        raise TypeError("a checkpoint holds plain values, tensors and arrays only")
    file = io.BytesIO()
    torch.save({"checkpoint_format": FORMAT_VERSION, "state": state}, file)
    write_file(path, file.getbuffer())


def read_state(path):
    """Read what `write_state` wrote.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is damaged, of another version or no checkpoint.
    """
    found = unpickle_archive(path.read_bytes(), path, _OF_NUMPY)
    version = found.get("checkpoint_format") if isinstance(found, dict) else None
    if version != FORMAT_VERSION or not isinstance(found.get("state"), dict):
        raise ValueError(
            f"{str(path)!r} is no checkpoint of this version of sklearn_mdjpt: its "
            f"format is {version!r}, expected {FORMAT_VERSION}."
        )
    return found["state"]


def can_hold(value):
    """Whether a checkpoint can hold a value: by its exact type, as it is read again."""
    kind = type(value)
    if kind in _MAPPINGS:
        return all(can_hold(k) and can_hold(item) for k, item in value.items())
    if kind in _CONTAINERS:
        return all(map(can_hold, value))
    if kind is np.ndarray or isinstance(value, np.generic):
        return value.dtype.kind in _NUMBERS
    return kind in _PLAIN
