"""Checkpoints of a training: one folder for each run, the last good one to go on from.

A checkpoint is one file of tensors and plain values (see `_tensor_files`): nothing in
it is pickled, and it takes its place in one step.  A run is named by the fingerprint of
its parameters and data, so that many runs may share the folder they lie in.  The
processes that do one and the same run wait for each other.
"""

import contextlib
import json
import warnings
from pathlib import Path

import numpy as np
import torch

from .._io._files import locked, remove_unfinished, write_file
from .._io._tensor_files import (
    read_tensors,
    tensor_to_text,
    text_to_tensor,
    write_tensors,
)

FORMAT_VERSION = 1
"""Of checkpoints; part of a run's fingerprint."""

_KIND = "checkpoint"
_KEPT = 2
_STATE = "state"
_FINISHED = "finished.safetensors"


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

    def describe(self, **about):
        """Write what the run is, for people who look into the folder."""
        text = json.dumps(about, indent=2, default=str)
        write_file(self.folder / "about.json", f"{text}\n".encode())

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
                warnings.warn(f"A checkpoint is passed over: {error}", stacklevel=2)
        return None, False

    def write(self, state, n_batches, *, finished=False):
        """Write a checkpoint; those that are not needed any more are removed after.

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
        name = _FINISHED if finished else f"batch-{n_batches:09d}.safetensors"
        write_state(self.folder / name, state)
        old = self._checkpoints()
        for path in old if finished else old[:-_KEPT]:
            path.unlink(missing_ok=True)

    def _checkpoints(self):
        return sorted(self.folder.glob("batch-*.safetensors"))


def write_state(path, state):
    """Write nested dicts, lists and tuples of plain values, tensors and arrays."""
    tensors = {}
    text = json.dumps(pack(state, tensors))
    write_tensors(
        path, tensors | {_STATE: text_to_tensor(text)}, {}, kind=_KIND,
        version=FORMAT_VERSION,
    )  # fmt: skip


def read_state(path):
    """Read what `write_state` wrote.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is damaged or of another kind or version.
    """
    tensors, _ = read_tensors(path, kind=_KIND, version=FORMAT_VERSION)
    try:
        return unpack(json.loads(tensor_to_text(tensors[_STATE])), tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{str(path)!r} is no checkpoint: {error!r}.") from error


def pack(value, tensors):
    """Return a value in JSON's types; tensors and arrays go into the dict ``tensors``.

    Raises
    ------
    TypeError
        If something in it is neither a plain value, a container, a tensor or array of
        numbers.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        return {"tensor": _put(value, tensors)}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"array": _put(torch.from_numpy(value.copy()), tensors)}
    if isinstance(value, list):
        return [pack(item, tensors) for item in value]
    if isinstance(value, tuple | set):
        items = [pack(item, tensors) for item in value]
        return {type(value).__name__: items}
    if isinstance(value, dict):
        items = [[pack(k, tensors), pack(v, tensors)] for k, v in value.items()]
        return {"dict": items}
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")


def can_hold(value):
    """Whether a checkpoint can hold a value."""
    try:
        pack(value, {})
    except TypeError:
        return False
    return True


def unpack(value, tensors):
    """Return what `pack` was given."""
    if isinstance(value, list):
        return [unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    [(kind, content)] = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "array":
        return tensors[content].numpy()
    if kind in ("tuple", "set"):
        make = tuple if kind == "tuple" else set
        return make(unpack(item, tensors) for item in content)
    if kind == "dict":
        return {unpack(k, tensors): unpack(v, tensors) for k, v in content}
    raise ValueError(f"a value of unknown kind {kind!r}")


def _put(tensor, tensors):
    # Views into one storage would be written as one.
    name = f"tensor.{len(tensors)}"
    tensors[name] = tensor.detach().cpu().clone()
    return name
