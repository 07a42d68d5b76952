"""The processes that pre-train together: one, or those that Accelerate started.

Every process calls ``fit`` with the same X.  Of each batch a process encodes the
windows of some subjects; losses are computed on what all of them made of theirs, and
gradients are added up.  The first process broadcasts what must be the same in all: the
seeds, and the checkpoint to go on from.
"""

import os

import numpy as np
import torch

from .._torch import check_precision, mixed_precision, resolve_device

# Halved at each overflow from 2 ** 16 on: here the gradient itself is not finite.
_LEAST_SCALE = 2.0**-16


class SingleProcess:
    """A single process.

    Parameters
    ----------
    device : torch.device, default=None
        Where it trains; None does not train.
    precision : {"float32", "bf16", "fp16"}, default="float32"
        What it trains in.
    """

    process_index = 0
    num_processes = 1
    is_main_process = True
    device = None
    mixed_precision = "no"
    """Mixed precision, in Accelerate's words."""
    sync_gradients = True
    """Whether no gradient is being accumulated, so that a checkpoint has it all."""
    scaler = None
    """Scales the loss, so that gradients are large enough for float16."""

    def __init__(self, device=None, precision="float32"):
        self.device = device
        self.precision = precision
        if precision != "float32":
            self.mixed_precision = precision
        if precision == "fp16":
            self.scaler = torch.amp.GradScaler(device.type)

    @property
    def skips_bad_steps(self):
        """Whether to leave out a step with an infinite gradient, as float16 needs it.

        The loss is scaled less after each; where that does not help, training fails.
        """
        return self.scaler is not None and self.scaler.get_scale() > _LEAST_SCALE

    def autocast(self):
        """Return a context in which products have the precision of the training."""
        return mixed_precision(self.precision, self.device)

    def backward(self, loss, optimizer):
        """Compute the gradient of the loss, in its true size."""
        if self.scaler is None:
            loss.backward()
            return
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(optimizer)

    def step(self, optimizer):
        """Change the weights, unless float16 has overflown."""
        if self.scaler is None:
            optimizer.step()
            return
        self.scaler.step(optimizer)
        self.scaler.update()

    def broadcast(self, value):
        """Return what the first process has."""
        return value

    def any_process(self, flag):
        """Return whether the flag is set in any process."""
        return flag

    def reduce(self, array):
        """Return the sum over processes of a float32 array."""
        return array

    def unwrap(self, module):
        """Return the module that is inside of wrappers."""
        return module

    def state(self):
        """Return the state of the engine, for checkpoints."""
        return {} if self.scaler is None else {"scaler": self.scaler.state_dict()}

    def load_state(self, state):
        """Restore the state of the engine."""
        if "scaler" in state and self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])


class AcceleratedProcesses(SingleProcess):
    """The processes of an `accelerate.Accelerator`, with its mixed precision.

    Parameters
    ----------
    **settings
        Arguments of `accelerate.Accelerator`.
    """

    def __init__(self, **settings):
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise ImportError(
                "accelerate=True needs Hugging Face Accelerate: "
                "pip install 'sklearn_mdjpt[distributed]'."
            ) from error

        self.accelerator = Accelerator(**settings)
        n_started = int(os.environ.get("WORLD_SIZE", 1))
        if self.accelerator.num_processes != n_started:
            raise RuntimeError(
                f"{n_started} processes were started, but Accelerate knows of "
                f"{self.accelerator.num_processes}, and each would train alone. For "
                "processes on CPUs set ACCELERATE_USE_CPU=true."
            )
        self.process_index = self.accelerator.process_index
        self.num_processes = self.accelerator.num_processes
        self.is_main_process = self.accelerator.is_main_process
        self.mixed_precision = str(self.accelerator.mixed_precision)
        self.device = self.accelerator.device
        if self.device.type == "cpu":
            # torch cannot unpickle from "cpu:0".
            self.device = torch.device("cpu")
        self.scaler = self.accelerator.scaler

    @property
    def sync_gradients(self):
        """As for `SingleProcess`."""
        return self.accelerator.sync_gradients

    def broadcast(self, value):
        """As for `SingleProcess`; processes of one user pickle the value."""
        from accelerate.utils import broadcast_object_list

        if self.num_processes == 1:
            return value
        return broadcast_object_list([value])[0]

    def any_process(self, flag):
        """As for `SingleProcess`."""
        if self.num_processes == 1:
            return flag
        flags = torch.tensor([float(flag)], device=self.device)
        torch.distributed.all_reduce(flags)
        return bool(flags.item())

    def reduce(self, array):
        """As for `SingleProcess`."""
        if self.num_processes == 1:
            return array
        total = torch.from_numpy(np.ascontiguousarray(array)).to(self.device)
        torch.distributed.all_reduce(total)
        return total.cpu().numpy()

    def unwrap(self, module):
        """As for `SingleProcess`."""
        return self.accelerator.unwrap_model(module, keep_fp32_wrapper=True)

    def autocast(self):
        """As for `SingleProcess`."""
        return self.accelerator.autocast()

    def backward(self, loss, optimizer):
        """As for `SingleProcess`."""
        # Accelerate averages gradients over processes; the loss needs their sum.
        self.accelerator.backward(loss * self.num_processes)
        # Callbacks that clip the gradient need its true size.
        self.accelerator.unscale_gradients()


def join_processes(accelerate, device, precision):
    """Return the processes that train together.

    Parameters
    ----------
    accelerate : bool or dict
        False: this one alone.  True, or arguments of `accelerate.Accelerator`: those
        that ``accelerate launch`` started.
    device : str
        Where this one trains alone, as for `resolve_device`.
    precision : {"float32", "bf16", "fp16"}
        What to train in; with "float32" Accelerate has its own.
    """
    if accelerate is False:
        device = resolve_device(device)
        check_precision(precision, device)
        return SingleProcess(device, precision)
    settings = {} if accelerate is True else accelerate
    if precision != "float32":
        settings = settings | {"mixed_precision": precision}
    processes = AcceleratedProcesses(**settings)
    check_precision(precision, processes.device)
    return processes


def balance_load(costs, n_processes):
    """Assign pieces of work to processes, so that loads are about equal.

    Parameters
    ----------
    costs : sequence of float
        Of the pieces.
    n_processes : int
        Number of processes.

    Returns
    -------
    ndarray of int, shape (n_pieces,)
        Process of each piece; each has one if there are enough.
    """
    owners = np.zeros(len(costs), int)
    load = np.zeros(n_processes)
    # The largest piece goes first, each to the smallest load: all processes agree.
    for piece in np.argsort(-np.asarray(costs), kind="stable"):
        owners[piece] = np.argmin(load)
        load[owners[piece]] += costs[piece]
    return owners


def __getattr__(name):
    """Return what pickles of earlier versions name; the encoder then refuses them."""
    if name in ("Alone", "Together"):
        return SingleProcess
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
