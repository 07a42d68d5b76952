"""The losses of an encoder on held-out batches, without training."""

import numpy as np
import torch

from ..nn import centroid_distances, covariance_centroids
from ..nn.pretraining import JointLoss, JointPretraining


@torch.inference_mode()
def mean_losses(encoder, batches):
    """Return the mean losses over batches, as `MDJPTEncoder.pretraining_losses`.

    Parameters
    ----------
    encoder : MDJPTEncoder
        Fitted.
    batches : PairDataset
        What to average over.

    Returns
    -------
    dict of str to float
        isa, cda, centroid_distance.
    """
    loss = JointLoss(
        encoder.temperature, encoder.isa_weight, encoder.cda_weight, encoder.cda_scale
    )
    network = JointPretraining(encoder.module_)
    device = next(encoder.module_.parameters()).device
    isa, cda, centroids = [], [], []
    for batch, _ in batches.take(len(batches), device):
        parts = batch.parts
        outputs = network(parts)
        losses = loss(outputs, parts)
        isa.append(losses.isa.item())
        cda.append(losses.cda.item())
        centroids.append(
            torch.stack([covariance_centroids(p, None)[0] for p, _ in outputs])
        )
    return {
        "isa": float(np.mean(isa)),
        "cda": float(np.mean(cda)),
        "centroid_distance": _centroid_distance(torch.stack(centroids).mean(0)),
    }


def _centroid_distance(centroids):
    """Mean distance of datasets' covariances (M, D, C, C), each of trace 1."""
    if len(centroids) < 2:
        return float("nan")
    a, b = torch.triu_indices(len(centroids), len(centroids), offset=1)
    return float(centroid_distances(centroids)[a, b].mean())
