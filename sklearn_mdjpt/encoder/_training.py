"""The private skorch net behind MDJPTEncoder: a training can stop and resume."""

import contextlib
import inspect
import time

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping
from skorch.dataset import unpack_data
from torch.nn.utils import get_total_norm

from .._torch import DeferredSignals
from .._validation import warn
from ._callbacks import LeavesLoggersOut
from ._checkpoints import can_hold
from ._processes import SingleProcess

# A kill loses no more work than this, even if checkpoints are rare.
_CHECKPOINT_SECONDS = 300.0


@contextlib.contextmanager
def noting_interruption(net):
    """Set ``net.interrupted_``: tell Ctrl-C, which skorch swallows, from an end."""
    net.interrupted_ = False
    try:
        yield
    except KeyboardInterrupt:
        # EarlyStopping ends a training by the same exception.
        net.interrupted_ = not any(
            isinstance(callback, EarlyStopping)
            and callback.misses_ >= callback.patience
            for _, callback in net.callbacks_
        )
        raise


class RemembersInterruption:
    """skorch net that knows whether its training was interrupted."""

    def fit_loop(self, *args, **kwargs):
        """Train; note whether the training was interrupted."""
        with noting_interruption(self):
            return super().fit_loop(*args, **kwargs)


class PretrainingNet(LeavesLoggersOut, NeuralNet):
    """skorch net that trains on a `PairDataset` and can be resumed.

    Parameters
    ----------
    *args, **kwargs
        As for `skorch.NeuralNet`.
    run : Run, default=None
        Where checkpoints are written.
    checkpoint_every : int, default=200
        Batches between them.
    seed : int, default=0
        Of the pairs; kept in the checkpoints.
    processes : SingleProcess or AcceleratedProcesses, default=None
        The processes that train together; None is this one.

    Attributes
    ----------
    interrupted_ : bool
        Whether the training was interrupted.
    """

    def __init__(
        self, *args, run=None, checkpoint_every=200, seed=0, processes=None, **kwargs
    ):
        super().__init__(*args, **kwargs)
        self.run = run
        self.checkpoint_every = checkpoint_every
        self.seed = seed
        self.processes = processes or SingleProcess()

    # Training ---------------------------------------------------------------------

    def get_iterator(self, dataset, training=False):
        """Return the dataset: it makes its own batches."""
        return dataset

    def train(self, batches, state=None):
        """Fit from a state on, and write the checkpoint of the end.

        Parameters
        ----------
        batches : PairDataset
            What to train on.
        state : dict, default=None
            What `state` returned; None begins anew.

        Returns
        -------
        FloatingPointError or None
            Why the training ended early, with the last good weights in the module.

        Raises
        ------
        FloatingPointError
            If there are no weights, but the initial ones, with finite numbers.
        """
        self._resume_from, self._good, self._n_good = state, None, 0
        diverged = None
        try:
            self.fit(batches, None)
            if self.run is not None and not self.interrupted_:
                self._write_checkpoint(batches, finished=True)
        except FloatingPointError as error:
            if not self._n_good:
                raise
            diverged, self.interrupted_ = error, True
        finally:
            self._resume_from = self._good = self._trained = self._total = None
        self.finish_training()
        return diverged

    def finish_training(self):
        """Drop what only the training needs."""
        self.processes = SingleProcess()

    def restore_finished(self, state):
        """Restore a net whose training had finished."""
        self.initialize()
        self.interrupted_ = False
        self._load_weights(state)

    def fit_loop(self, X, y=None, epochs=None, **_):
        """Train on `PairDataset` until ``max_epochs`` are in the history.

        Unlike skorch's loop it can begin in the middle of an epoch, and ends at Ctrl-C
        between two batches only.
        """
        self._last_checkpoint = time.monotonic()
        if self._resume_from is not None:
            # Callbacks have begun as in a new training; now they get back their state.
            self.load_state(self._resume_from, X)
        row = self.history[-1] if self.history else {}
        is_open = bool(row) and "train_batch_count" not in row
        about = {"dataset_train": X, "dataset_valid": None}
        with (
            noting_interruption(self),
            DeferredSignals(terminate=self.run is not None) as signals,
        ):
            while is_open or len(self.history) < self.max_epochs:
                if not is_open:
                    self.notify("on_epoch_begin", **about)
                is_open = False
                self.run_single_epoch(
                    self._rest_of_epoch(X, signals),
                    training=True,
                    prefix="train",
                    step_fn=self.train_step,
                )
                # skorch counts the batches of this process only.
                n_batches = len(self.history[-1]["batches"])
                self.history.record("train_batch_count", n_batches)
                self.notify("on_epoch_end", **about)
        return self

    def _rest_of_epoch(self, batches, signals):
        n_left = len(batches) - len(self.history[-1]["batches"])
        with contextlib.closing(batches.take(n_left, self.compute_device)) as left:
            for batch, y in left:
                yield batch, y
                # Here the loop and all callbacks are done with the batch; that the
                # next one may have been drawn, its state does not show.
                stop = self.processes.any_process(signals.received is not None)
                if self._checkpoint_is_due(stop):
                    self._write_checkpoint(batches)
                if stop:
                    if signals.received is None:
                        raise KeyboardInterrupt
                    signals.reraise()

    def train_step_single(self, batch, **fit_params):
        """Compute the loss, in the precision of the training, and its gradient."""
        self._set_training(True)
        x, y = unpack_data(batch)
        with self.processes.autocast():
            outputs = self.infer(x)
        loss = self.get_loss(outputs, y, X=x, training=True)
        self.processes.backward(loss, self.optimizer_)
        return {"loss": loss, "y_pred": outputs}

    def _step_optimizer(self, step_fn):
        # As a closure, it is no argument that a scaler of the loss would take.
        step_fn()
        self.processes.step(self.optimizer_)

    def train_step(self, batch, **fit_params):
        """Do one step; the loss is on the CPU already, where skorch wants it."""
        step = super().train_step(batch, **fit_params)
        return step | {"loss": self._total}

    def infer(self, x, **fit_params):
        """Encode the parts of a batch."""
        return self.module_(x.parts)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Return the joint loss."""
        self._losses = self.criterion_(y_pred, X.parts)
        return self._losses.total

    def on_grad_computed(self, net, named_parameters, batch=None, **kwargs):
        """Note the losses; stop if they or the gradient are not finite.

        If they are, remember the weights.
        """
        super().on_grad_computed(net, named_parameters, batch=batch, **kwargs)
        parameters = [p for _, p in named_parameters if p.grad is not None]
        norm = get_total_norm([p.grad for p in parameters])
        # All numbers come at once: for each one, a GPU would have to be waited for.
        numbers = torch.stack([*self._losses, norm]).detach().cpu()
        self._losses, self._total = None, numbers[0]
        total, isa, cda, norm = numbers.tolist()
        self.history.record_batch("isa", isa)
        self.history.record_batch("cda", cda)
        if not np.isfinite(total):
            self._stop(
                f"The pre-training loss became {total} (ISA {isa:.4g}, CDA {cda:.4g})",
                batch[0],
            )
        if not np.isfinite(norm):
            if self.processes.skips_bad_steps:
                return
            self._stop("The gradient of the pre-training loss is not finite", batch[0])
        # The present weights gave a finite loss and gradient; the step changes them.
        with torch.no_grad():
            if self._good is None:
                self._good = [p.detach().clone() for p in parameters]
            else:
                torch._foreach_copy_(self._good, parameters)
        self._trained, self._n_good = parameters, self.n_batches - 1

    def _stop(self, what, batch):
        """Take the last good weights back, and raise."""
        if self._n_good:
            with torch.no_grad():
                torch._foreach_copy_(self._trained, self._good)
        raise FloatingPointError(
            f"{what} in batch {len(self.history[-1]['batches'])} of epoch "
            f"{len(self.history)}; try a lower lr. {batch.origin()} "
            + f"The last good weights are kept, those after batch {self._n_good}."
            * (self._n_good > 0)
        )

    @property
    def encoder(self):
        """The encoder that is trained."""
        return self.processes.unwrap(self.module_).encoder

    @property
    def compute_device(self):
        """Where the module is."""
        return torch.device(self.processes.device or self.device)

    @property
    def n_batches(self):
        """Batches in the history."""
        return sum(len(row["batches"]) for row in self.history)

    # Checkpoints ------------------------------------------------------------------

    def state(self, batches):
        """Return the state that the rest of the training depends on.

        Parameters
        ----------
        batches : PairDataset
            What is trained on.

        Returns
        -------
        dict
            For `write_state`.
        """
        state = {
            "seed": self.seed,
            "module": self.processes.unwrap(self.module_).state_dict(),
            "optimizer": self.optimizer_.state_dict(),
            "peers": self.processes.state(),
            "sampler": batches.state(),
            "torch_rng": torch.get_rng_state(),
            "history": _plain_history(self.history),
            "callbacks": {
                name: _callback_state(callback) for name, callback in self.callbacks_
            },
        }
        if torch.cuda.is_available():
            state["cuda_rng"] = torch.cuda.get_rng_state_all()
        return state

    def load_state(self, state, batches):
        """Go on from a state, with the same batches."""
        self._load_weights(state)
        self.processes.load_state(state["peers"])
        batches.load_state(state["sampler"])
        torch.set_rng_state(state["torch_rng"])
        if "cuda_rng" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda_rng"][: torch.cuda.device_count()])
        lost = []
        for name, callback in self.callbacks_:
            lost += _load_callback_state(
                callback, state["callbacks"].get(name, {}), name
            )
        if lost:
            warn(
                "These callbacks hold what a checkpoint cannot keep, and begin anew in "
                f"it: {', '.join(lost)}.",
            )

    def _load_weights(self, state):
        self.processes.unwrap(self.module_).load_state_dict(state["module"])
        self.optimizer_.load_state_dict(state["optimizer"])
        self.history.clear()
        self.history.extend(state["history"])

    def _checkpoint_is_due(self, stop):
        if self.run is None or not self.processes.sync_gradients:
            return False
        waited = time.monotonic() - self._last_checkpoint
        return (
            stop
            or self.n_batches % self.checkpoint_every == 0
            or waited > _CHECKPOINT_SECONDS
        )

    def _write_checkpoint(self, batches, finished=False):
        state = self.state(batches)
        self._last_checkpoint = time.monotonic()
        if not self.processes.is_main_process:
            return
        try:
            self.run.write(state, self.n_batches, finished=finished)
        except OSError as error:
            warn(
                f"The checkpoint after {self.n_batches} batches could not be written "
                f"({error}); the last good one stays, and the training goes on.",
            )


def _plain_history(history):
    """Return the rows of a history, without what a checkpoint cannot hold."""
    rows = []
    for row in history:
        plain = {name: value for name, value in row.items() if can_hold(value)}
        if "batches" not in plain:
            plain["batches"] = [
                {name: value for name, value in batch.items() if can_hold(value)}
                for batch in row["batches"]
            ]
        rows.append(plain)
    return rows


def _callback_state(callback):
    """Return a callback's attributes, as far as a checkpoint can hold them."""
    state = {}
    for name, value in vars(callback).items():
        if hasattr(value, "load_state_dict") and not inspect.isclass(value):
            content = ("state_dict", value.state_dict())
        else:
            content = ("value", value)
        if can_hold(content):
            state[name] = content
    return state


def _load_callback_state(callback, state, name):
    """Restore a callback; return the names of attributes that are lost."""
    # Not get_params: skorch takes every public attribute for a parameter.
    parameters = inspect.signature(type(callback)).parameters
    kept = set()
    for attribute, (kind, content) in state.items():
        holder = getattr(callback, attribute, None)
        if kind == "value":
            kept.add(attribute)
            if attribute not in parameters:
                setattr(callback, attribute, content)
        elif hasattr(holder, "load_state_dict"):
            kept.add(attribute)
            holder.load_state_dict(content)
    if hasattr(callback, "on_resume"):
        callback.on_resume()
    return [
        f"{name} ({attribute})"
        for attribute, value in vars(callback).items()
        if attribute not in kept
        # What is named like a parameter was made of it again.
        and attribute.rstrip("_") not in parameters
        and not (inspect.isroutine(value) or inspect.isclass(value))
    ]
