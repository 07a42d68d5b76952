"""Joint pre-training: an encoder under the two alignment losses."""

from typing import NamedTuple

import torch
from torch import nn

from .gather import gather_rows
from .losses import (
    centroid_dispersion,
    covariance_centroids,
    group_isa_loss,
    isa_loss,
)


class DatasetPart(NamedTuple):
    """The windows of one dataset in a batch: those of a `PairBatch` or `GroupBatch`.

    The sampler draws rows of X; a part holds the windows that were read at these rows.
    They are where the encoder is.  All else stays on the CPU: it says how rows belong
    together, and whoever waits for a GPU to tell loses its time.

    Attributes
    ----------
    windows : Tensor of shape (n_windows, n_chans, n_times)
        Subject by subject.  Without kinds there are two, and row i of the first half
        and row i of the second are partners.  With ``rows``: only these.
    sides : Tensor of int, shape (n_windows,)
        0 for the first subject, 1 for the second, and so on.
    subjects : Tensor of int, shape (n_windows,)
        Number of the subject with whose windows each one is z-scored.  Equal to
        ``sides`` unless the two sides are halves of one subject.
    kinds : Tensor of int, shape (n_windows,), or None
        Moments of more than two subjects, or labels where pairs are made by label:
        windows of two subjects and of one kind are partners.
    rows : Tensor of int, shape (n_rows,), or None
        Where several processes share the part: the windows that this one encodes, all
        or none of a subject.  None: all windows.
    """

    windows: torch.Tensor
    sides: torch.Tensor
    subjects: torch.Tensor
    kinds: torch.Tensor | None = None
    rows: torch.Tensor | None = None


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
        """Encode a list of `DatasetPart`.

        Returns
        -------
        list of (spatial, projection)
            Of each part, as in `EncoderOutput`: what the losses take.
        """
        return [self._encode(part) for part in parts]

    def _encode(self, part):
        subjects = part.subjects if part.rows is None else part.subjects[part.rows]
        if len(subjects):
            output = self.encoder(part.windows, subjects)
            return output.spatial, output.projection
        return self.encoder.empty_output(part.windows)


class JointLoss(nn.Module):
    r"""ISA summed over datasets, plus CDA over all subjects of the batch.

    CDA is `cda_loss`, taken apart: centroids of each dataset, whose windows may differ
    in length, and then their dispersion.

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
        """Return the losses of the outputs of `JointPretraining` for ``parts``."""
        isa, centroids = 0.0, []
        for (spatial, projection), part in zip(outputs, parts, strict=True):
            if part.rows is None:
                centroids.append(covariance_centroids(spatial, part.subjects))
            else:
                n_rows = len(part.subjects)
                projection = gather_rows(projection, part.rows, n_rows)
                centroids.append(self._gathered_centroids(spatial, part))
            isa = isa + self._isa(projection, part)
        cda = centroid_dispersion(torch.cat(centroids), self.cda_scale)
        return PretrainingLosses(
            self.isa_weight * isa + self.cda_weight * cda, isa, cda
        )

    @staticmethod
    def _gathered_centroids(spatial, part):
        everyone = part.subjects.unique()
        mine = part.subjects[part.rows]
        places = torch.searchsorted(everyone, mine.unique())
        if len(mine):
            own = covariance_centroids(spatial, mine)
        else:
            n_channels = spatial.shape[2]
            own = spatial.new_zeros(0, spatial.shape[1], n_channels, n_channels)
        return gather_rows(own, places, len(everyone))

    def _isa(self, projection, part):
        if part.kinds is not None:
            return group_isa_loss(projection, part.sides, part.kinds, self.temperature)
        za, zb = projection.chunk(2)
        return isa_loss(za, zb, self.temperature)
