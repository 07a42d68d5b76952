"""Datasets: readers, simulated recordings and a public sample, as `EEGWindows`."""

from ._eegmat import fetch_eegmat
from ._seed import read_seed, read_seed_iv, read_seed_v, read_seed_vii
from ._simulated import MONTAGES, make_emotion_windows

__all__ = [
    "MONTAGES",
    "fetch_eegmat",
    "make_emotion_windows",
    "read_seed",
    "read_seed_iv",
    "read_seed_v",
    "read_seed_vii",
]
