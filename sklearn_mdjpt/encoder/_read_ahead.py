"""Windows read ahead: while a GPU computes, a thread reads the next batch."""

import contextvars
from concurrent.futures import ThreadPoolExecutor

import torch

READ_IN_TURN = {"cpu"}
"""Types of devices that take part in the reading: there is nobody to do it ahead."""


def read_ahead(read, items, device):
    """Yield ``read(item)`` for each item, in order.

    For a GPU the next one is read in a thread, while the caller works with the last.
    An error of ``read`` comes where it would come without; closing the generator ends
    the thread.

    Parameters
    ----------
    read : callable
        Takes an item.
    items : iterable
        It is gone through in the caller's thread, one item ahead of what is yielded.
    device : torch.device
        Where the caller works.

    Yields
    ------
    object
        What ``read`` returned.
    """
    if device.type in READ_IN_TURN:
        yield from map(read, items)
        return
    # One thread: sources of windows need not stand two readers at once.
    pool = ThreadPoolExecutor(1, thread_name_prefix="sklearn_mdjpt_reader")
    # numpy's handling of overflows is the caller's.
    readings = (
        pool.submit(contextvars.copy_context().run, read, item) for item in items
    )
    try:
        reading = next(readings, None)
        while reading is not None:
            following = next(readings, None)
            yield reading.result()
            reading = following
    finally:
        pool.shutdown(cancel_futures=True)


def joined(arrays, device):
    """Return arrays end to end in one tensor, from which a device can copy quickly.

    Parameters
    ----------
    arrays : list of ndarray
        Of one dtype.
    device : torch.device
        Where they will go: to a GPU from memory that stays in its place.

    Returns
    -------
    Tensor of shape (n_values,)
        On the CPU.
    """
    arrays = [torch.from_numpy(array) for array in arrays]
    flat = torch.empty(
        sum(array.numel() for array in arrays),
        dtype=arrays[0].dtype,
        pin_memory=device.type == "cuda",
    )
    torch.cat([array.flatten() for array in arrays], out=flat)
    return flat
