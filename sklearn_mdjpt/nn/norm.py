"""Z-scores by subject, and the arithmetic of groups of rows behind them."""

from typing import NamedTuple

import torch
from torch import nn

from .precision import as_single

KEEP_STATISTICS = ("train", "running")
"""Modes of `SubjectNorm` with statistics of the training in eval mode."""

_MOMENTUM = 0.1


class NormStatistics(NamedTuple):
    """Statistics with which one subject's windows are z-scored.

    Attributes
    ----------
    channel_mean, channel_std : Tensor of shape (n_chans, latent_dim)
        For the channel encoder's output.
    spatial_mean, spatial_std : Tensor of shape (latent_dim, n_virtual_channels)
        For the input of the spatiotemporal dynamics.

    Notes
    -----
    Each ``std`` is the number divided by: the guard against a zero variance is in it.
    """

    channel_mean: torch.Tensor
    channel_std: torch.Tensor
    spatial_mean: torch.Tensor
    spatial_std: torch.Tensor


def group_rows(subjects, n_rows, device=None):
    """Give the subjects of a batch numbers from 0.

    Parameters
    ----------
    subjects : array-like of int, shape (n_rows,), or None
        Subject of each row, any integers; None makes all rows one subject.
    n_rows : int
        Number of rows in the batch.
    device : torch.device, default=None
        Where the result lives.

    Returns
    -------
    index : Tensor of shape (n_rows,)
        Subject of each row as 0, 1, ... in the order of the sorted integers.
    counts : Tensor of shape (n_subjects,)
        Number of rows of each subject.

    Raises
    ------
    ValueError
        If ``subjects`` has another shape than (n_rows,) or is not integer.
    """
    if subjects is None:
        index = torch.zeros(n_rows, dtype=torch.long, device=device)
        return index, torch.full((1,), n_rows, device=device)
    subjects = torch.as_tensor(subjects)
    if subjects.shape != (n_rows,):
        raise ValueError(
            f"subjects must have shape ({n_rows},), one integer for each window; "
            f"got {tuple(subjects.shape)}."
        )
    if subjects.is_floating_point() or subjects.is_complex():
        raise ValueError(f"subjects must be integers, got dtype {subjects.dtype}.")
    # Counted where they are: the host need not wait for a GPU to know their number.
    _, index, counts = torch.unique(subjects, return_inverse=True, return_counts=True)
    if device is None:
        return index, counts
    return index.to(device, non_blocking=True), counts.to(device, non_blocking=True)


def group_mean(values, index, counts):
    """Mean of the rows of each group.

    Parameters
    ----------
    values : Tensor of shape (n_rows, ...)
        One row per window.
    index, counts : Tensor
        As `group_rows` returns them.

    Returns
    -------
    Tensor of shape (n_groups, ...)
    """
    total = values.new_zeros(len(counts), *values.shape[1:])
    total = total.index_add(0, index, values)
    return total / _beside(counts, values)


def _beside(numbers, values):
    """Give one number per row the trailing axes that broadcast over ``values``."""
    return numbers.to(values.dtype).view(-1, *[1] * (values.ndim - 1))


class SubjectNorm(nn.Module):
    r"""Z-score of each subject's rows over windows and time.

    .. math:: \hat x = (x - \mu_s) / \sigma_s

    with :math:`\mu_s, \sigma_s` for each entry of ``shape``, over all windows of
    subject s in the batch and all time steps.

    Parameters
    ----------
    shape : tuple of int, default=None
        Axes other than window and time; needed by "train" and "running" for their
        buffers.
    time_dim : int, default=-1
        Time axis, counted from the end.
    mode : {"subject", "train", "running", None}, default="subject"
        "subject" uses the statistics of the rows of the same subject.  "train" pools
        all rows while training, like batch normalisation, and in eval mode uses the
        buffers ``mean`` and ``std``.  "running" does the same, and training keeps the
        buffers: they follow the statistics of the batches.  None returns the input.
    released : bool, default=False
        Which guard a zero variance gets.  False: the root of the biased variance plus
        1e-5.  True: the unbiased standard deviation, plus 1e-3.

    Notes
    -----
    Half precision comes out as float32: its moments would have few digits, or none.
    """

    mean: torch.Tensor
    std: torch.Tensor
    n_batches: torch.Tensor

    def __init__(self, shape=None, *, time_dim=-1, mode="subject", released=False):
        super().__init__()
        self.time_dim = time_dim
        self.mode = mode
        self.released = released
        if mode in KEEP_STATISTICS:
            self.register_buffer("mean", torch.zeros(shape))
            self.register_buffer("std", torch.ones(shape))
        if mode == "running":
            self.register_buffer("n_batches", torch.tensor(0))

    def forward(self, x, index, counts):
        """Z-score ``x`` (n_windows, ...); ``index``, ``counts`` as of `group_rows`."""
        if self.mode is None:
            return x
        x = as_single(x)
        if self.mode in KEEP_STATISTICS:
            if not self.training:
                return self.normalize(x, self.mean, self.std)
            index, counts = group_rows(None, x.shape[0], x.device)
        # Means of windows first, merged to those of subjects: nothing of the size of x
        # is sorted or copied, and rows may come in any order.  (torch.var_mean over
        # short rows takes several times as long.)
        mean = group_mean(x.mean(self.time_dim, keepdim=True), index, counts)
        centred = x - mean[index]
        squares = centred.square().mean(self.time_dim, keepdim=True)
        var = group_mean(squares, index, counts)[index]
        n_values = _beside(counts * x.shape[self.time_dim], x)[index]
        divisor = self._divisor(var, n_values)
        if self.mode == "running":
            self._follow(mean[0], divisor[0])
        return centred * divisor.reciprocal()

    @torch.no_grad()
    def _follow(self, mean, divisor):
        """Move the buffers towards the statistics of a batch."""
        self.n_batches += 1
        # The first batches count alike: the buffers' initial values are no estimate.
        weight = self.n_batches.to(mean).reciprocal().clamp_min(_MOMENTUM)
        mean, divisor = mean.squeeze(self.time_dim), divisor.squeeze(self.time_dim)
        self.mean.lerp_(mean.to(self.mean), weight.to(self.mean))
        var = self.std.square().lerp(divisor.to(self.std).square(), weight.to(self.std))
        self.std.copy_(var.sqrt())

    def normalize(self, x, mean, std):
        """Z-score ``x`` with given statistics (``shape``)."""
        x = as_single(x)
        mean, scale = mean.to(x), std.to(x).reciprocal()
        return (x - mean.unsqueeze(self.time_dim)).mul_(scale.unsqueeze(self.time_dim))

    def window_statistics(self, x):
        """Variance and mean over the time of each window, (n_windows, 2, *shape)."""
        x = as_single(x)
        mean = x.mean(self.time_dim, keepdim=True)
        var = (x - mean).square_().mean(self.time_dim)
        return torch.stack([var, mean.squeeze(self.time_dim)], dim=1)

    def merge(self, statistics, n_times):
        """Mean and divisor of each entry over all windows and times.

        Parameters
        ----------
        statistics : Tensor of shape (n_windows, 2, *shape)
            Of `window_statistics`.
        n_times : Tensor of shape (n_windows,)
            Time steps of each window.

        Returns
        -------
        mean, std : Tensor of shape (*shape)
            Sums are float64: a subject can have millions of values in each entry.
        """
        variances, means = statistics.double().unbind(1)
        n_values = n_times.sum().double()
        weights = _beside(n_times.double() / n_values, means)
        mean = (weights * means).sum(0)
        var = (weights * (variances + (means - mean).square())).sum(0)
        std = self._divisor(var, n_values)
        return mean.to(statistics.dtype), std.to(statistics.dtype)

    def _divisor(self, var, n_values):
        if not self.released:
            return (var + 1e-5).sqrt()
        var = var * (n_values / (n_values - 1).clamp_min(1))
        # The root has an infinite slope at 0, as of a unit that ReLU switched off.
        return var.clamp_min(torch.finfo(var.dtype).tiny).sqrt() + 1e-3

    def extra_repr(self):
        """Show the mode in the module's repr."""
        return f"mode={self.mode!r}, released={self.released}"
