"""The paper's cleaning: bad channels, ICA with ICLabel, common average reference."""

from ._bad_channels import (
    BadChannelInterpolator,
    find_bad_channels,
    interpolate_channels,
)
from ._dataset import clean_dataset, read_reports
from ._recording import clean_recording
from ._report import CleaningReport

__all__ = [
    "BadChannelInterpolator",
    "CleaningReport",
    "clean_dataset",
    "clean_recording",
    "find_bad_channels",
    "interpolate_channels",
    "read_reports",
]
