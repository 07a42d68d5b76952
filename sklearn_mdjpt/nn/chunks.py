"""Networks with independent rows, in chunks: on all cores, in little memory."""

import functools
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import torch

from .precision import current_autocast, no_autocast

# Activations of a chunk on CPU: a tensor of them has 1 MB.  Between half and twice of
# that speed is the same; below, calls cost more than the arithmetic, and far above,
# tensors go through memory.
_CACHE_ACTIVATIONS = 2**18

# Bytes: a little less than the largest block that glibc's threshold follows.
_LARGEST_FREED = 2**25 - 2**16


def map_rows(function, x, parameters=(), *, row_size, max_rows=None):
    """Apply a function to the rows of a tensor, a chunk at a time.

    On CPU, chunks are small enough for the cache, and each of torch's threads works
    on chunks of its own.  That is far faster than all threads sharing each operation:
    little goes through memory, and no thread waits for another.  On a GPU there are
    chunks only where a gradient is to come, of ``max_rows``.

    Parameters
    ----------
    function : callable
        Maps (n, ...) to (n, ...), each row by itself.
    x : Tensor of shape (n_rows, ...)
        Input, at least one row.
    parameters : iterable of Parameter, default=()
        What ``function`` computes with, other than its argument.
    row_size : int
        Activations of a row, in a typical tensor inside ``function``.
    max_rows : int, default=None
        Most rows with activations held for the gradient: the gradient of a chunk
        computes them again.  None holds all activations.

    Returns
    -------
    Tensor of shape (n_rows, ...)
        ``function(x)``.
    """
    if torch.compiler.is_exporting() or torch.jit.is_tracing():
        return function(x)  # a graph for any number of rows
    parameters = [p for p in parameters if p.requires_grad]
    needs_grad = torch.is_grad_enabled() and (x.requires_grad or parameters)
    n_rows = len(x)
    if needs_grad and max_rows is not None:
        n_rows = min(n_rows, max_rows)
    if x.device.type == "cpu":
        n_rows = _even_size(len(x), min(n_rows, max(1, _CACHE_ACTIVATIONS // row_size)))
        _keep_freed_memory()
    if not needs_grad:
        return _forward(function, x, n_rows)
    if max_rows is None:
        return torch.cat([function(rows) for rows in x.split(n_rows)])
    return _Recomputed.apply(function, n_rows, x, *parameters)


class _Recomputed(torch.autograd.Function):
    """A row-wise function that keeps no activations for its gradient."""

    @staticmethod
    def forward(ctx, function, chunk_size, x, *parameters):
        ctx.function, ctx.chunk_size = function, chunk_size
        ctx.autocast = current_autocast(x.device.type)
        ctx.save_for_backward(x, *parameters)
        return _forward(function, x, chunk_size)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        x, *parameters = ctx.saved_tensors
        needs_dx = ctx.needs_input_grad[2]
        dx = torch.empty_like(x) if needs_dx else None

        def gradients(rows):
            x_rows = x[rows].detach().requires_grad_(needs_dx)
            wanted = [x_rows, *parameters] if needs_dx else parameters
            with torch.enable_grad(), ctx.autocast():
                y_rows = ctx.function(x_rows)
            # In the precision of the forward pass, wherever backward was called.
            with no_autocast(x.device.type):
                grads = torch.autograd.grad(y_rows, wanted, dy[rows])
            if needs_dx:
                dx[rows], *grads = grads
            return list(grads)

        # The order of the sum is that of the rows, whichever thread was first: it does
        # not depend on the number of threads.
        results = _in_threads(gradients, _chunks(len(x), ctx.chunk_size), x.device)
        total = next(results)
        for grads in results:
            if grads:
                torch._foreach_add_(total, grads)
        return None, None, dx, *total


def _forward(function, x, chunk_size):
    """Output for all rows, without a gradient."""
    autocast = current_autocast(x.device.type)
    lock = threading.Lock()
    y = None

    def write(rows):
        nonlocal y
        with autocast():
            y_rows = function(x[rows])
        if len(y_rows) == len(x):
            y = y_rows
            return
        with lock:  # the first chunk to be ready tells the shape of the output
            if y is None:
                y = y_rows.new_empty(len(x), *y_rows.shape[1:])
        y[rows] = y_rows

    for _ in _in_threads(write, _chunks(len(x), chunk_size), x.device):
        pass
    return y


def _chunks(n_rows, size):
    """Slices of at most ``size`` rows."""
    return [slice(i, min(i + size, n_rows)) for i in range(0, n_rows, size)]


def _even_size(n_rows, size):
    """Return the size of one chunk, or of a multiple of four, about equal.

    Two or four threads then end together (few rows may make fewer chunks).  It does
    not depend on the number of threads, so that results do not.
    """
    if n_rows <= size:
        return n_rows
    return math.ceil(n_rows / (4 * math.ceil(n_rows / size / 4)))


def _in_threads(function, chunks, device):
    """Yield ``function(chunk)`` in order, computed by as many threads as torch has."""
    n_threads = torch.get_num_threads() if device.type == "cpu" else 1
    if n_threads == 1 or len(chunks) == 1:
        yield from map(function, chunks)
        return
    # torch keeps this for each thread.
    inference = torch.is_inference_mode_enabled()

    def run(chunk):
        if torch.get_num_threads() > 1:
            torch.set_num_threads(1)
        with torch.inference_mode(inference), torch.no_grad():
            return function(chunk)

    # Within a chunk operations run on one thread.  For the BLAS library this is a
    # setting of the process, hence made here and not in the workers alone.
    torch.set_num_threads(1)
    try:
        yield from _pool(n_threads).map(run, chunks)
    finally:
        torch.set_num_threads(n_threads)


@functools.cache
def _pool(n_threads):
    """Threads that are kept: each holds buffers of the BLAS library."""
    return ThreadPoolExecutor(n_threads, thread_name_prefix="sklearn_mdjpt")


@functools.cache
def _keep_freed_memory():
    """Have glibc keep what a chunk frees, as the next chunk needs it again.

    It gives freed memory back to the system beyond a threshold that follows the
    largest block that was freed, up to 32 MB.  Without one of that size the pages of
    each chunk are mapped and zeroed anew, which takes a tenth of the time and more.
    """
    torch.empty(_LARGEST_FREED, dtype=torch.uint8)


# A forked process has none of its parent's threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)
