"""The losses of joint pre-training: alignment between subjects and datasets.

They are computed in float32 at least: half precision is cast, and autocast off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional as F

from .norm import group_mean, group_rows
from .precision import as_single, no_autocast

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def isa_loss(
    za: torch.Tensor,
    zb: torch.Tensor,
    temperature: float = 0.07,
    reduction: Literal["mean", "sum"] = "mean",
) -> torch.Tensor:
    r"""Inter-subject alignment: NT-Xent between partner windows of two subjects.

    Row i of ``za`` and of ``zb`` were recorded at the same moment of the same
    stimulus.  For a window i with partner p(i), and s the cosine similarity,

    .. math::
        \ell_i = -\log \frac{\exp(s(z_i, z_{p(i)}) / \tau)}
                            {\sum_{j \ne i} \exp(s(z_i, z_j) / \tau)}

    with j over the other windows of both subjects [1]_.

    Parameters
    ----------
    za, zb : Tensor of shape (n_pairs, n_dims)
        Projections of partner windows.
    temperature : float, default=0.07
        Smaller values weigh the hardest negatives more.
    reduction : {"mean", "sum"}, default="mean"
        Over the 2 * n_pairs windows.

    Returns
    -------
    Tensor of shape ()
        0 for a single pair, which has no negatives.

    Raises
    ------
    ValueError
        If shapes differ or are not (n_pairs, n_dims), or an option is unknown.

    Notes
    -----
    An untrained encoder does not start at log(2 * n_pairs - 1): the z-score by subject
    alone pulls partners together.

    References
    ----------
    .. [1] Zhang et al. (2025). Multi-dataset Joint Pre-training of Emotional EEG
       Enables Generalizable Affective Computing. NeurIPS. arXiv:2510.22197.
    """
    if za.ndim != 2 or za.shape != zb.shape or len(za) == 0:
        raise ValueError(
            "za and zb must have one shape (n_pairs, n_dims) with n_pairs >= 1; got "
            f"{tuple(za.shape)} and {tuple(zb.shape)}."
        )
    _check_nt_xent(temperature, reduction)
    logits = _similarities(torch.cat([za, zb])) / temperature
    itself = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(itself, -torch.inf)
    partner = torch.arange(len(logits), device=logits.device).roll(len(za))
    return F.cross_entropy(logits, partner, reduction=reduction)


def label_isa_loss(
    z: torch.Tensor,
    subjects: ArrayLike,
    labels: ArrayLike,
    temperature: float = 0.07,
    reduction: Literal["mean", "sum"] = "mean",
) -> torch.Tensor:
    r"""Alignment of two subjects by label, for data without shared stimuli.

    Supervised, unlike the paper's loss [1]_, which `isa_loss` is.  The positives P of
    a window are the other subject's windows of the same label, the negatives Q both
    subjects' windows of other labels; its own subject's windows of the same label take
    no part.

    .. math::
        \ell_i = -\frac{1}{|P|} \sum_{p \in P} \log
                 \frac{\exp(s(z_i, z_p) / \tau)}
                      {\sum_{j \in P \cup Q} \exp(s(z_i, z_j) / \tau)}

    Parameters
    ----------
    z : Tensor of shape (n_windows, n_dims)
        Projections.
    subjects : array-like of int, shape (n_windows,)
        Subject of each window; two in all.
    labels : array-like of int, shape (n_windows,)
        Label of each window.
    temperature : float, default=0.07
        As in `isa_loss`.
    reduction : {"mean", "sum"}, default="mean"
        Over the windows that have a positive; the others are left out.

    Returns
    -------
    Tensor of shape ()
        The loss; a gradient goes through it.

    Raises
    ------
    ValueError
        If shapes differ, there are not two subjects, they have no label in common,
        or an option is unknown.

    References
    ----------
    .. [1] Zhang et al. (2025). Multi-dataset Joint Pre-training of Emotional EEG
       Enables Generalizable Affective Computing. NeurIPS. arXiv:2510.22197.
    """
    if z.ndim != 2:
        raise ValueError(
            f"z must have shape (n_windows, n_dims), got {tuple(z.shape)}."
        )
    labels = torch.as_tensor(labels, device=z.device)
    if labels.shape != z.shape[:1]:
        raise ValueError(
            f"labels must have shape ({len(z)},), got {tuple(labels.shape)}."
        )
    _check_nt_xent(temperature, reduction)
    subjects, counts = group_rows(subjects, len(z), z.device)
    if len(counts) != 2:
        raise ValueError(f"Expected windows of two subjects, got {len(counts)}.")
    same_label = labels[:, None] == labels
    positive = same_label & (subjects[:, None] != subjects)
    n_positives = positive.sum(1)
    used = n_positives > 0
    if not used.any():
        raise ValueError("The two subjects have no label in common.")
    left_out = same_label & ~positive
    logits = (_similarities(z) / temperature).masked_fill(left_out, -torch.inf)
    # Rows without a positive may be left out entirely, where log_softmax is NaN; and
    # -inf times 0 is NaN as well: hence selection, not multiplication.
    log_prob = logits[used].log_softmax(1).masked_fill(~positive[used], 0.0)
    losses = -log_prob.sum(1) / n_positives[used]
    return losses.mean() if reduction == "mean" else losses.sum()


def cda_loss(
    spatial: torch.Tensor,
    subjects: ArrayLike,
    scale: Literal["trace", "none"] = "trace",
) -> torch.Tensor:
    r"""Cross-dataset covariance alignment.

    Distance between the mean channel covariances of all subjects of a batch [1]_: the
    composition of `covariance_centroids` and `centroid_dispersion`, see there.

    Parameters
    ----------
    spatial : Tensor of shape (n_windows, n_dims, n_channels, n_times)
        Spatially mixed signals, before they are z-scored.
    subjects : array-like of int, shape (n_windows,)
        Subject of each window; the same number in two datasets is the same subject.
    scale : {"trace", "none"}, default="trace"
        As in `centroid_dispersion`.

    Returns
    -------
    Tensor of shape ()
        The loss; a gradient goes through it.

    Raises
    ------
    ValueError
        If a shape is wrong or ``scale`` is unknown.

    References
    ----------
    .. [1] Zhang et al. (2025). Multi-dataset Joint Pre-training of Emotional EEG
       Enables Generalizable Affective Computing. NeurIPS. arXiv:2510.22197.
    """
    return centroid_dispersion(covariance_centroids(spatial, subjects), scale)


def covariance_centroids(
    spatial: torch.Tensor, subjects: ArrayLike | None
) -> torch.Tensor:
    r"""Mean covariance between channels of each subject.

    Windows of different length cannot share a tensor: call this for each dataset and
    concatenate the results for `centroid_dispersion`.

    Parameters
    ----------
    spatial : Tensor of shape (n_windows, n_dims, n_channels, n_times)
        Signals; the covariance is over time, :math:`1 / (n_{times} - 1)`, of each
        window and dimension.  Of a single time step it is 0.
    subjects : array-like of int, shape (n_windows,)
        Subject of each window.

    Returns
    -------
    Tensor of shape (n_subjects, n_dims, n_channels, n_channels)
        In the order of the sorted subjects.

    Raises
    ------
    ValueError
        If a shape is wrong or there is no window.
    """
    if spatial.ndim != 4 or spatial.numel() == 0:
        raise ValueError(
            "spatial must have shape (n_windows, n_dims, n_channels, n_times), none of "
            f"them 0; got {tuple(spatial.shape)}."
        )
    index, counts = group_rows(subjects, len(spatial), spatial.device)
    spatial = as_single(spatial)
    centred = spatial - spatial.mean(-1, keepdim=True)
    with no_autocast(spatial.device.type):
        products = centred @ centred.mT  # (B, D, C, C)
    covariance = products / max(spatial.shape[-1] - 1, 1)
    return group_mean(covariance, index, counts)


def centroid_dispersion(
    centroids: torch.Tensor, scale: Literal["trace", "none"] = "trace"
) -> torch.Tensor:
    r"""How far the covariances of subjects lie apart.

    .. math::
        \log\Big(1 + \sum_d \sum_{m<n}
        \lVert \Gamma_{m,d} - \Gamma_{n,d} \rVert_F^2\Big)

    Parameters
    ----------
    centroids : Tensor of shape (n_subjects, n_dims, n_channels, n_channels)
        As `covariance_centroids` returns them.
    scale : {"trace", "none"}, default="trace"
        "trace" divides all centroids by one number, the mean over subjects and
        dimensions of trace / n_channels.  "none", as in the paper, leaves them as they
        are: as the signals are z-scored afterwards, the loss can then be lowered by
        shrinking the mixing, with nothing aligned.

    Returns
    -------
    Tensor of shape ()
        0 for equal centroids, or a single one.

    Raises
    ------
    ValueError
        If the shape is wrong or ``scale`` is unknown.
    """
    _check_centroids(centroids)
    if scale not in ("trace", "none"):
        raise ValueError(f"scale must be 'trace' or 'none', got {scale!r}.")
    centroids = as_single(centroids)
    if scale == "trace":
        # Signals that are constant in time have trace 0, and loss 0.
        mean_variance = centroids.diagonal(dim1=-2, dim2=-1).mean()
        tiny = torch.finfo(centroids.dtype).tiny
        centroids = centroids / mean_variance.clamp_min(tiny)
    # Squared distances over all pairs add up to S times those to the mean: no loop
    # over pairs, and no difference of large sums.
    centred = centroids - centroids.mean(0)
    return torch.log1p(len(centroids) * centred.square().sum())


def centroid_distances(centroids: torch.Tensor) -> torch.Tensor:
    r"""Measure distances between the shapes of covariances, whatever their scale.

    Take this function for tensors, in a training loop of your own.  Take
    `sklearn_mdjpt.inspection.covariance_distances` for a fitted encoder and windows,
    and `sklearn_mdjpt.covariance_distance` for signals without an encoder.

    .. math::
        d_{mn} = \frac{1}{D} \sum_d \Big\lVert
        \frac{\Gamma_{m,d}}{\mathrm{tr}\,\Gamma_{m,d}} -
        \frac{\Gamma_{n,d}}{\mathrm{tr}\,\Gamma_{n,d}} \Big\rVert_F

    Parameters
    ----------
    centroids : Tensor of shape (n_centroids, n_dims, n_channels, n_channels)
        As `covariance_centroids` returns them.

    Returns
    -------
    Tensor of shape (n_centroids, n_centroids)
        From 0 (equal up to scale) to at most the root of 2.

    Raises
    ------
    ValueError
        If the shape is wrong.

    See Also
    --------
    covariance_centroids : Makes the centroids.
    sklearn_mdjpt.inspection.covariance_distances : These distances for the datasets or
        subjects of windows inside a fitted encoder.
    sklearn_mdjpt.covariance_distance : Distances of signals or matrices, without an
        encoder.
    """
    _check_centroids(centroids)
    centroids = as_single(centroids)
    trace = centroids.diagonal(dim1=-2, dim2=-1).sum(-1)
    shapes = centroids / trace[..., None, None].clamp_min(torch.finfo(trace.dtype).tiny)
    rows = [(shapes - one).square().sum((-2, -1)).sqrt().mean(1) for one in shapes]
    return torch.stack(rows)


def _similarities(z):
    """Cosine similarities of all rows (n_windows, n_dims) with each other."""
    z = F.normalize(as_single(z), dim=1)
    with no_autocast(z.device.type):
        return z @ z.T


def _check_centroids(centroids):
    if centroids.ndim != 4 or centroids.shape[-1] != centroids.shape[-2]:
        raise ValueError(
            "centroids must have shape (n_subjects, n_dims, n_channels, n_channels), "
            f"got {tuple(centroids.shape)}."
        )


def _check_nt_xent(temperature, reduction):
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature!r}.")
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction must be 'mean' or 'sum', got {reduction!r}.")
