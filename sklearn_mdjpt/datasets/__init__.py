"""Datasets: readers, simulated recordings and a public sample, as `EEGWindows`."""

from ._bids import read_bids
from ._deap import read_deap
from ._dens import fetch_dens
from ._eegmat import fetch_eegmat
from ._emoeeg import fetch_emoeeg_mc
from ._emotions import EMOTIONS, valence_of
from ._faced import read_faced
from ._faced_bids import fetch_faced
from ._open_emotion import fetch_open_emotion
from ._seed import read_seed, read_seed_iv, read_seed_v, read_seed_vii
from ._simulated import MONTAGES, make_emotion_windows

__all__ = [
    "EMOTIONS",
    "MONTAGES",
    "fetch_dens",
    "fetch_eegmat",
    "fetch_emoeeg_mc",
    "fetch_faced",
    "fetch_open_emotion",
    "make_emotion_windows",
    "read_bids",
    "read_deap",
    "read_faced",
    "read_seed",
    "read_seed_iv",
    "read_seed_v",
    "read_seed_vii",
    "valence_of",
]
