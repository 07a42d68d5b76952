"""Where and how torch computes inside an estimator: device, seeds, threads, signals."""

import contextlib
import copy
import functools
import multiprocessing
import numbers
import os
import signal
import threading

import numpy as np
import torch
from joblib.parallel import get_active_backend
from sklearn.utils import check_random_state

from ._validation import check_option, warn
from .nn.precision import no_autocast, single_precision


def resolve_device(device):
    """Return a torch device; "auto" takes a GPU when there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        if resolved.type == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("no GPU")
        return resolved
    except RuntimeError as error:
        raise ValueError(
            f"device must be 'auto' or a torch device that is there ('cpu', 'cuda:0'), "
            f"got {device!r}: {error}."
        ) from error


PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What products can be computed in; all else, and the weights, stay float32."""


def check_precision(precision, device):
    """Raise if torch or the device lacks a precision, and say what there is.

    Parameters
    ----------
    precision : {"float32", "bf16", "fp16"}
        A key of `PRECISIONS`.
    device : torch.device
        Where to compute.
    """
    check_option(precision, tuple(PRECISIONS), "precision")
    if precision == "float32":
        return
    if not torch.amp.is_autocast_available(device.type):
        raise ValueError(
            f"precision={precision!r} is not to be had on the device {str(device)!r}: "
            "torch has no mixed precision there. Set precision='float32'."
        )
    if device.type == "cuda" and precision == "bf16":
        with torch.cuda.device(device):
            if torch.cuda.is_bf16_supported(including_emulation=False):
                return
            name = torch.cuda.get_device_name()
        raise ValueError(
            f"precision='bf16' is not to be had on {name} ({device}), which does not "
            "compute in bfloat16; it has 'float32' and 'fp16'."
        )


def mixed_precision(precision, device):
    """Return a context in which products have a precision; inside `plain_torch`."""
    check_precision(precision, device)
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=PRECISIONS[precision])


def seed_sequence(random_state):
    """Seeds for this fit; None draws fresh ones, not from numpy's global state."""
    if random_state is None:
        return np.random.SeedSequence()
    return np.random.SeedSequence(check_random_state(random_state).randint(2**31))


def known_seeds(random_state, n_seeds):
    """Return seeds for this fit, and what gives them again.

    Parameters
    ----------
    random_state : int, RandomState or None
        A parameter of an estimator; None draws fresh seeds.
    n_seeds : int
        Number of seeds.

    Returns
    -------
    seeds : list of int
        For torch and numpy.
    again : int or RandomState
        As a ``random_state`` it gives the same seeds: an int, or a copy of a generator.
    """
    if random_state is None:
        random_state = int(np.random.SeedSequence().generate_state(1)[0])
    elif isinstance(random_state, numbers.Integral):
        random_state = int(random_state)
    else:
        random_state = check_random_state(random_state)
    again = copy.deepcopy(random_state)
    return seed_sequence(random_state).generate_state(n_seeds).tolist(), again


@contextlib.contextmanager
def plain_torch():
    """Run torch as it is when nothing is set, and restore the program's settings.

    New tensors are float32 and on the CPU, and gradients can be taken, also where
    `torch.set_default_dtype`, `torch.set_default_device`, `torch.autocast`,
    `torch.no_grad` or `torch.inference_mode` say otherwise outside.  All that builds
    or runs networks goes through here.
    """
    device = contextlib.nullcontext()
    if torch.get_default_device().type != "cpu":
        device = torch.device("cpu")  # as a context it slows torch's functions down
    with (
        single_precision(),
        device,
        torch.inference_mode(False),
        torch.enable_grad(),
        no_autocast("cpu"),
        no_autocast("cuda"),
    ):
        yield


_seeding = threading.Lock()
_forks = 0
_fork = None


@contextlib.contextmanager
def forked_torch(device):
    """Leave torch's global random state as it was, in the end."""
    global _forks, _fork
    devices = [device] if device.type == "cuda" else []
    # Of several threads the first to come in keeps the state, the last to go restores
    # it.
    with _seeding:
        if not _forks:
            _fork = torch.random.fork_rng(devices)
            _fork.__enter__()
        _forks += 1
    try:
        yield
    finally:
        with _seeding:
            _forks -= 1
            if not _forks:
                _fork.__exit__(None, None, None)


@contextlib.contextmanager
def seeded_torch(seed):
    """Seed torch for initial weights, one thread at a time; inside `forked_torch`."""
    with _seeding:
        torch.manual_seed(int(seed))
        yield


_FIRST_PROCESS = os.getpid()
_threads_lock = threading.Lock()
_users = 0
_found = None
_mine = threading.local()


@contextlib.contextmanager
def torch_threads(n_threads):
    """Set the number of torch's threads inside, and restore it.

    Workers of joblib share the processor: whatever is asked for, each takes no more
    than its share (see `max_threads`).

    Parameters
    ----------
    n_threads : int or None
        None leaves the setting, unless it exceeds that share.
    """
    global _users, _found
    most = max_threads()
    if n_threads is None or (most is not None and n_threads > most):
        n_threads = most
    if n_threads is None:
        yield
        return
    # What one thread sets is what others find that have not asked before: the first
    # to come in keeps the setting that the last to go restores.
    nested = getattr(_mine, "depth", 0)
    with _threads_lock:
        if not _users:
            _found = torch.get_num_threads()
        _users += 1
        before = torch.get_num_threads() if nested else _found
    _mine.depth = nested + 1
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        _mine.depth = nested
        with _threads_lock:
            _users -= 1
            torch.set_num_threads(before)


def max_threads():
    """Return the most threads that this worker of joblib may use; None outside of one.

    joblib's processes (loky) and Dask's start with their share in the environment,
    which is what torch goes by at first.  Threads of one process, and forked pools,
    know nothing of their number: there it is one for each.  In forked processes it
    has to be: threads of OpenMP do not survive a fork, and who waits for them hangs.
    """
    if os.getpid() != _FIRST_PROCESS:
        return 1
    process = multiprocessing.current_process()
    if process.daemon and "OMP_NUM_THREADS" not in os.environ:
        return 1
    if multiprocessing.parent_process() is not None:
        return _initial_threads()
    in_thread = threading.current_thread() is not threading.main_thread()
    if in_thread and get_active_backend()[0].nesting_level:
        return 1
    return None


@functools.cache
def _initial_threads():
    """Return the number of torch's threads when it was first asked for."""
    return torch.get_num_threads()


class DeferredSignals:
    """Puts Ctrl-C off to a moment at which everything is consistent.

    Inside the context the signals are only noted, in ``received``; a second one is
    raised at once.  Outside the main thread, where Python handles no signals, and where
    the program has handlers of its own, nothing is changed.

    Parameters
    ----------
    terminate : bool, default=False
        Whether the request to end (SIGTERM, as batch systems send it) is put off too.

    Attributes
    ----------
    received : int or None
        The signal that came.
    """

    def __init__(self, terminate=False):
        self.received = None
        self._defaults = {signal.SIGINT: signal.default_int_handler}
        if terminate:
            self._defaults[signal.SIGTERM] = signal.SIG_DFL
        self._replaced = []

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number, default in self._defaults.items():
                if signal.getsignal(number) is default:
                    signal.signal(number, self._note)
                    self._replaced.append(number)
        return self

    def __exit__(self, *_):
        self._restore()

    def reraise(self):
        """Do now what the signal would have done."""
        number = self.received
        self._restore()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        os.kill(os.getpid(), number)

    def _note(self, number, frame):
        if self.received is not None:
            self.reraise()
        self.received = number

    def _restore(self):
        while self._replaced:
            number = self._replaced.pop()
            signal.signal(number, self._defaults[number])


def compile_blocks(encoder, precision="float32"):
    """Compile the blocks of a `HybridEncoder`'s channel encoder, in place.

    They are where the arithmetic is.  Without a working compiler there is a warning,
    and the encoder stays as it was.  Pickles of the encoder hold nothing compiled.

    Parameters
    ----------
    encoder : HybridEncoder
        The encoder.
    precision : {"float32", "bf16", "fp16"}, default="float32"
        What it will compute in.
    """
    blocks = encoder.channel_encoder.blocks
    width = encoder.channel_encoder.read_in.out_features
    x = torch.zeros(2, 3, width, device=next(blocks.parameters()).device)
    try:
        for block in blocks:
            block.compile(dynamic=True)
        # Compilation is put off to a first call, for each block and each of the
        # modes of autograd: its failure would hit the training, and on CPU
        # several threads at once.
        with torch_threads(1):
            with mixed_precision(precision, x.device):
                _call_in_each_mode(blocks, x)
    except Exception as error:
        for block in blocks:
            block._compiled_call_impl = None
        reason = str(error).strip().partition("\n")[0]
        warn(
            "compile=True: torch.compile does not work here, and nothing is compiled "
            f"({type(error).__name__}: {reason}).",
        )
    finally:
        blocks.zero_grad()


def _call_in_each_mode(blocks, x):
    for block in blocks:
        block(x).sum().backward()
        with torch.no_grad():
            block(x)
        with torch.inference_mode():
            block(x.clone())
