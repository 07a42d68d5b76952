"""A dataset's channels onto the 60 canonical channels of mdJPT.

The map is linear, one matrix for one montage: a canonical channel that the cap has
is taken as it is; one that it lacks is the mean of its nearest neighbours
(mdJPT, arXiv:2510.22197, preprocessing).  Electrode positions are those of the
colin27 10-05 template, kept in a table beside this module so that a montage maps the
same way whichever version of MNE is installed.
"""

from ._channels import (
    CANONICAL_CHANNELS,
    CANONICAL_SFREQ,
    canonical_name,
    channel_matrix,
    electrode_positions,
    site_names,
    template_positions,
)

__all__ = [
    "CANONICAL_CHANNELS",
    "CANONICAL_SFREQ",
    "canonical_name",
    "channel_matrix",
    "electrode_positions",
    "site_names",
    "template_positions",
]
