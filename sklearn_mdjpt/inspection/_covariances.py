"""How far datasets, or subjects, lie apart inside an encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pandas as pd
import torch

from .._grouping import combine_groups
from .._torch import plain_torch, torch_threads
from .._validation import check_option, list_some
from ..nn import centroid_distances, covariance_centroids
from ._models import encoded_windows, read_windows

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from ..windows._inputs import Windows


def covariance_distances(
    encoder: BaseEstimator,
    X: Windows,
    *,
    by: Literal["dataset", "subject"] = "dataset",
    batch_size: int = 32,
) -> pd.DataFrame:
    r"""Measure how far datasets, or subjects, lie apart inside a fitted encoder.

    Take this function to see what pre-training has done to the gaps between datasets.
    Take `sklearn_mdjpt.covariance_distance` for signals or covariance matrices, before
    any encoder, and `sklearn_mdjpt.nn.centroid_distances` in a training loop of your
    own, which has tensors of centroids.

    The encoder's signals after the spatial mixing, of which the CDA loss is made, have
    a mean channel covariance :math:`\Gamma_d` for each group and latent dimension.
    The distance of two groups is the Frobenius norm of the difference of their shapes
    :math:`\Gamma_d / \mathrm{tr}\,\Gamma_d`, averaged over latent dimensions.

    Parameters
    ----------
    encoder : MDJPTEncoder, or a fitted model with one
        Fitted.  Compare with the same encoder before training (``max_epochs=0``).
    X : EEGWindows, ndarray, mne.Epochs, list of mne.Epochs or braindecode dataset
        Windows of two groups at least.
    by : {"dataset", "subject"}, default="dataset"
        Groups.  A dataset's mean is that of its subjects' means, each alike.
    batch_size : int, default=32
        Windows at once.

    Returns
    -------
    DataFrame of shape (n_groups, n_groups)
        Distances (without unit, at most the root of 2), 0 on the diagonal.

    Raises
    ------
    ValueError
        If there are fewer than two groups.

    See Also
    --------
    sklearn_mdjpt.covariance_distance : Distances of signals or matrices, without an
        encoder.
    sklearn_mdjpt.nn.centroid_distances : The distance of tensors, which this function
        uses.
    MDJPTEncoder.pretraining_losses : The mean distance over datasets, with the losses.

    Examples
    --------
    >>> from sklearn_mdjpt import MDJPTEncoder
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.inspection import covariance_distances
    >>> X = make_emotion_windows(3, n_subjects=2, n_stimuli=3, random_state=0)
    >>> encoder = MDJPTEncoder.small(max_epochs=0, random_state=0).fit(X)
    >>> covariance_distances(encoder, X).columns.tolist()
    ['SimA', 'SimB', 'SimC']
    """
    check_option(by, ("dataset", "subject"), "by")
    encoder, windows, reader = read_windows(encoder, X)
    names, datasets = windows.groups("subject"), windows.groups("dataset")
    if len(set(windows.groups(by))) < 2:
        raise ValueError(
            f"Distances need two {by}s, got {list_some(set(windows.groups(by)))}."
        )
    codes = torch.from_numpy(combine_groups(len(windows), datasets, names))
    n_subjects = int(codes.max()) + 1
    module = encoder.module_
    total, counts = 0.0, torch.zeros(n_subjects, dtype=torch.float64)
    with plain_torch(), torch_threads(encoder.torch_threads), torch.no_grad():
        for rows, x, statistics in encoded_windows(
            encoder, windows, reader, batch_size
        ):
            z = module.encode_channels(x)
            means = covariance_centroids(
                module.spatial_from(z, statistics), codes[rows]
            )
            present, n = torch.unique(codes[rows], return_counts=True)
            if isinstance(total, float):
                total = torch.zeros(n_subjects, *means.shape[1:], dtype=torch.float64)
            total[present] += n[:, None, None, None] * means.cpu()
            counts[present] += n
    centroids = total / counts[:, None, None, None]
    # Codes count subjects by first appearance.
    first = pd.Series(codes.numpy()).drop_duplicates().index
    groups = names[first]
    if by == "dataset":
        whose = datasets[first]
        groups = list(dict.fromkeys(whose))
        centroids = torch.stack(
            [centroids[torch.from_numpy(whose == name)].mean(0) for name in groups]
        )
    index = pd.Index(map(str, groups), name=by)
    return pd.DataFrame(centroid_distances(centroids).numpy(), index, index)
