"""Where and how torch computes inside an estimator: device, seeds, threads."""

import contextlib

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
