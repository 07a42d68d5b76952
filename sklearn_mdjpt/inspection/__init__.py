"""What a fitted encoder has learnt, in numbers; `sklearn_mdjpt.plotting` draws them.

Which channels it listens to (`spatial_filters`, `channel_importance`), what a
classifier behind it decides by (`integrated_gradients`), how far datasets lie apart
inside it (`covariance_distances`) and in its features (`embed`), what its losses are to
be compared with (`isa_of_guessing`), and which classes are taken for which
(`confusion_matrices`).
"""

from ._attribution import Attributions, integrated_gradients, map_correlations
from ._channels import channel_importance, spatial_filters
from ._confusion import confusion_matrices
from ._covariances import covariance_distances
from ._embedding import Embedding, embed
from ._guessing import isa_of_guessing

__all__ = [
    "Attributions",
    "Embedding",
    "channel_importance",
    "confusion_matrices",
    "covariance_distances",
    "embed",
    "integrated_gradients",
    "isa_of_guessing",
    "map_correlations",
    "spatial_filters",
]
