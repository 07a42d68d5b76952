"""The readers of datasets that a study knows by name, and how to cite the data."""

from __future__ import annotations

from .. import datasets
from ._keys import suggest

READERS = {
    "FACED": "fetch_faced",
    "EmoEEG-MC": "fetch_emoeeg_mc",
    "DENS": "fetch_dens",
    "eegmat": "fetch_eegmat",
    "SEED": "read_seed",
    "SEED-IV": "read_seed_iv",
    "SEED-V": "read_seed_v",
    "SEED-VII": "read_seed_vii",
    "DEAP": "read_deap",
    "simulated": "make_emotion_windows",
}
STORE = "store"
OF_STUDY = (
    "root", "data_home", "download", "window_seconds", "stride_seconds", "progress",
    "dataset",
)  # fmt: skip
"""Parameters of readers that the study has other keys for."""

OPEN = {"fetch_faced", "fetch_emoeeg_mc", "fetch_dens", "fetch_eegmat"}
"""Readers of data that anybody may download, with ids that say nothing of a person."""

CITATIONS = {
    "fetch_faced": "10.1038/s41597-023-02650-w",
    "read_faced": "10.1038/s41597-023-02650-w",
    "fetch_emoeeg_mc": "10.1038/s41597-025-05349-2",
    "fetch_dens": "10.3390/brainsci12081106",
    "fetch_eegmat": "10.3390/data4010014",
    "read_seed": "10.1109/TAMD.2015.2431497",
    "read_seed_iv": "10.1109/TCYB.2018.2797176",
    "read_seed_v": "10.1109/TCDS.2021.3071170",
    "read_seed_vii": "10.1109/TAFFC.2024.3485057",
    "read_deap": "10.1109/T-AFFC.2011.15",
}
"""DOI of the publication of what a reader reads."""


def reader_of(name):
    """Return the reader of a dataset, whatever the capitals; None if not known."""
    lower = {known.lower(): reader for known, reader in READERS.items()}
    return lower.get(str(name).lower())


def reader_function(reader):
    """Return the function that a reader is; None for a store.

    Raises
    ------
    ValueError
        If there is no such reader.
    """
    known = [
        name for name in datasets.__all__
        if name.startswith(("fetch_", "read_", "make_"))
        and name != "fetch_open_emotion"
    ]  # fmt: skip
    if reader == STORE:
        return None
    if reader not in known:
        raise ValueError(f"there is no reader {reader!r}{suggest(reader, known)}")
    return getattr(datasets, reader)
