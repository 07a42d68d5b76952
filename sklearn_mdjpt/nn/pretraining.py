"""Joint pre-training: an encoder under the two alignment losses."""

from typing import NamedTuple

import torch
from torch import nn

from .losses import (
    centroid_dispersion,
    covariance_centroids,
    isa_loss,
    label_isa_loss,
)


class DatasetPart(NamedTuple):
    """Windows of two subjects of one dataset, one part of a batch.

    Attributes
    ----------
    windows : Tensor of shape (n_windows, n_chans, n_times)
        The first subject's windows, then the second's.  Without labels row i of the
        first half and row i of the second are partners.
    sides : Tensor of int, shape (n_windows,)
        0 for the first subject, 1 for the second.
    subjects : Tensor of int, shape (n_windows,)
        Whose statistics z-score a window.  Equal to ``sides`` except where the two
        sides are halves of one subject.
    labels : Tensor of int, shape (n_windows,), or None
        Labels where pairs are made by label.
    """

    windows: torch.Tensor
    sides: torch.Tensor
    subjects: torch.Tensor
    labels: torch.Tensor | None = None

    def to(self, device):
        """Return the part on a device."""
        return DatasetPart(*(x if x is None else x.to(device) for x in self))


class PretrainingLosses(NamedTuple):
    """Losses of one batch, each a Tensor of shape ()."""

    total: torch.Tensor
    isa: torch.Tensor
    cda: torch.Tensor


class JointPretraining(nn.Module):
    """Encode the parts of a batch, one dataset at a time.

    Parameters
    ----------
    encoder : HybridEncoder
        The encoder that is trained.
    """

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, parts):
        """Encode a list of `DatasetPart` to a list of `EncoderOutput`."""
        return [self.encoder(part.windows, part.subjects) for part in parts]


class JointLoss(nn.Module):
    r"""ISA summed over datasets, plus CDA over all subjects of the batch.

    .. math:: L = w_{ISA} \sum_m L_{ISA}^{(m)} + \lambda L_{CDA}

    Parameters
    ----------
    temperature : float, default=0.07
        Of the inter-subject alignment.
    isa_weight, cda_weight : float, default=1.0, 0.02
        Weights of the two losses; the paper's.
    cda_scale : {"trace", "none"}, default="trace"
        As in `cda_loss`.
    """

    def __init__(
        self, temperature=0.07, isa_weight=1.0, cda_weight=0.02, cda_scale="trace"
    ):
        super().__init__()
        self.temperature = temperature
        self.isa_weight = isa_weight
        self.cda_weight = cda_weight
        self.cda_scale = cda_scale

    def forward(self, outputs, parts):
        """Losses of what `JointPretraining` made of ``parts``."""
        isa = sum(
            self._isa(output.projection, part)
            for output, part in zip(outputs, parts, strict=True)
        )
        centroids = torch.cat(
            [
                covariance_centroids(output.spatial, part.subjects)
                for output, part in zip(outputs, parts, strict=True)
            ]
        )
        cda = centroid_dispersion(centroids, self.cda_scale)
        return PretrainingLosses(
            self.isa_weight * isa + self.cda_weight * cda, isa, cda
        )

    def _isa(self, projection, part):
        if part.labels is not None:
            return label_isa_loss(projection, part.sides, part.labels, self.temperature)
        za, zb = projection.chunk(2)
        return isa_loss(za, zb, self.temperature)
