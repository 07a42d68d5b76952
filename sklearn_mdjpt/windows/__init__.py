"""Windows of recordings: what they hold, how they are made, read, cut and stored."""

from ._recording import Recording
from ._windows import EEGWindows, concat_windows

__all__ = [
    "EEGWindows",
    "Recording",
    "concat_windows",
]
