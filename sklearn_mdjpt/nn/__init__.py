"""The network of mdJPT in torch: encoder, losses, and samplers of batches.

Layers and losses of "Multi-dataset Joint Pre-training of Emotional EEG Enables
Generalizable Affective Computing" (arXiv:2510.22197).  Nothing here knows of an
estimator, a file or a metadata table; the samplers need numpy only.
"""

from .cost import encoder_cost
from .encoder import EncoderOutput, HybridEncoder
from .head import MLPHead
from .losses import (
    cda_loss,
    centroid_dispersion,
    centroid_distances,
    covariance_centroids,
    group_isa_loss,
    isa_loss,
    label_isa_loss,
)
from .norm import NormStatistics
from .released import released_shapes, released_to_state_dict
from .samplers import GroupBatch, LabelPairSampler, PairBatch, StimulusPairSampler

__all__ = [
    "EncoderOutput",
    "GroupBatch",
    "HybridEncoder",
    "LabelPairSampler",
    "MLPHead",
    "NormStatistics",
    "PairBatch",
    "StimulusPairSampler",
    "cda_loss",
    "centroid_dispersion",
    "centroid_distances",
    "covariance_centroids",
    "encoder_cost",
    "group_isa_loss",
    "isa_loss",
    "label_isa_loss",
    "released_shapes",
    "released_to_state_dict",
]
