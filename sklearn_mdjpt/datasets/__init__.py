"""Datasets: simulated recordings and a public sample, as `EEGWindows`."""

from ._eegmat import fetch_eegmat
from ._simulated import MONTAGES, make_emotion_windows

__all__ = ["MONTAGES", "fetch_eegmat", "make_emotion_windows"]
