"""Mixed precision: where it has to pause, and how it goes over to another thread.

`torch.autocast` computes products in half precision and leaves the rest in the
precision of its input.  Moments, long sums and losses need more: 8 bits of a mean leave
nothing of a variance beside it, and float16 ends at 65504.
"""

import contextlib
import functools

import torch

_HALVES = (torch.float16, torch.bfloat16)


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
