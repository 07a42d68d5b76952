"""Where and how torch computes inside an estimator: device, seeds, threads."""

import contextlib
import warnings

import numpy as np
import torch
from sklearn.utils import check_random_state


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


def seed_sequence(random_state):
    """Seeds for this fit; None draws fresh ones, not from numpy's global state."""
    if random_state is None:
        return np.random.SeedSequence()
    return np.random.SeedSequence(check_random_state(random_state).randint(2**31))


@contextlib.contextmanager
def forked_torch(seed, device):
    """Seed torch inside, and leave its global state as it was."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(seed))
        yield


@contextlib.contextmanager
def torch_threads(n_threads):
    """Set the number of torch's threads inside, and restore it."""
    if n_threads is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def compile_blocks(encoder):
    """Compile the blocks of a `HybridEncoder`'s channel encoder, in place.

    They are where the arithmetic is.  Without a working compiler there is a warning,
    and the encoder stays as it was.  Pickles of the encoder hold nothing compiled.
    """
    blocks = encoder.channel_encoder.blocks
    width = encoder.channel_encoder.read_in.out_features
    x = torch.zeros(2, 3, width, device=next(blocks.parameters()).device)
    try:
        for block in blocks:
            block.compile(dynamic=True)
        # Compilation is put off to a first call, for each block and each of the modes
        # of autograd: its failure would hit the training, and on CPU several threads
        # at once.
        with torch_threads(1):
            for block in blocks:
                block(x).sum().backward()
                with torch.no_grad():
                    block(x)
                with torch.inference_mode():
                    block(x.clone())
    except Exception as error:
        for block in blocks:
            block._compiled_call_impl = None
        reason = str(error).strip().partition("\n")[0]
        warnings.warn(
            "compile=True: torch.compile does not work here, and nothing is compiled "
            f"({type(error).__name__}: {reason}).",
            stacklevel=2,
        )
    finally:
        blocks.zero_grad()
