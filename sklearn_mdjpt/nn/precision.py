"""Precision: float32 whatever torch's default is, and where mixed precision pauses.

The default dtype of torch is one for the whole process, and other packages set it; a
network of ours has float32 weights nevertheless, so that a seed gives the same ones.

`torch.autocast` computes products in half precision and leaves the rest in the
precision of its input.  Moments, long sums and losses need more: 8 bits of a mean leave
nothing of a variance beside it, and float16 ends at 65504.
"""

import contextlib
import functools
import threading

import torch

_HALVES = (torch.float16, torch.bfloat16)

_lock = threading.Lock()
_users = 0
_found = None


@contextlib.contextmanager
def single_precision():
    """Make float32 torch's default dtype inside, and restore what it was."""
    global _users, _found
    # All threads share the setting: the first thread in keeps the old value, and the
    # last one out restores it.
    with _lock:
        if not _users:
            _found = torch.get_default_dtype()
            torch.set_default_dtype(torch.float32)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                torch.set_default_dtype(_found)


def as_single(x):
    """Return half precision as float32, and float32 and float64 as they are."""
    return x.float() if x.dtype in _HALVES else x


def no_autocast(device_type):
    """Return a context in which operations keep the precision of their input."""
    if not _is_autocast_on(device_type):
        return contextlib.nullcontext()
    return torch.autocast(device_type, enabled=False)


def current_autocast(device_type):
    """Return a function that makes contexts with the autocast that is on now.

    They can be entered later, or in another thread, which has a state of its own.
    Weights are cast anew in each: what the cache takes in while there is no gradient
    would cut the parameters off from a gradient that is computed later.
    """
    if not _is_autocast_on(device_type):
        return functools.partial(no_autocast, device_type)
    return functools.partial(
        torch.autocast,
        device_type,
        dtype=torch.get_autocast_dtype(device_type),
        cache_enabled=False,
    )


def _is_autocast_on(device_type):
    available = torch.amp.is_autocast_available(device_type)
    return available and torch.is_autocast_enabled(device_type)
