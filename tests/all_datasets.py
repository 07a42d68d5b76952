"""Tiny trees of all eight emotion datasets, for what runs on all of them.

Signals differ between people and trials, and hold no emotion.
"""

import numpy as np
from open_files import dens_subject, emoeeg_subject, faced_subject
from seed_files import write_seed, write_seed_iv, write_seed_v, write_seed_vii
from tones_for_a_test import python2_pickle, tones

GENEVA = (
    "Fp1 AF3 F3 F7 FC5 FC1 C3 T7 CP5 CP1 P3 P7 PO3 O1 Oz Pz Fp2 AF4 Fz F4 F8 FC6 FC2 "
    "Cz C4 T8 CP6 CP2 P4 P8 PO4 O2"
).split()
N_PEOPLE = 4
OPEN_PEOPLE = {
    "FACED": ("004", "005", "008"),  # recorded at 250 Hz
    "EmoEEG-MC": ("01", "02", "03"),
    "DENS": ("mit003", "mit004", "mit007"),
}


def write_all(data, root):
    """Write `SEED`, `SEED-IV`, `SEED-V`, `SEED-VII`, `DEAP` and the open three.

    Parameters
    ----------
    data : Path
        The folder of the real tables of the open datasets.
    root : Path
        Gets a folder for each dataset; the open ones lie in ``root / "open"``.

    Returns
    -------
    dict of str to Path
        The licensed datasets' folders by name, and "open".
    """
    people = range(1, N_PEOPLE + 1)
    places = {}
    for name in ("SEED", "SEED-IV", "SEED-V", "SEED-VII", "DEAP", "open"):
        places[name] = root / name
        places[name].mkdir(parents=True)
    write_seed(places["SEED"], {k: (20200100 + k,) for k in people})
    write_seed_iv(places["SEED-IV"], people, sessions=(1,))
    write_seed_v(places["SEED-V"], [f"{k}_1_20180804" for k in people], sfreq=200)
    write_seed_vii(places["SEED-VII"], people)
    write_deap(places["DEAP"], people)
    for subject in OPEN_PEOPLE["FACED"]:
        faced_subject(data, places["open"], subject)
    for subject in OPEN_PEOPLE["EmoEEG-MC"]:
        emoeeg_subject(data, places["open"], subject)
    for subject in OPEN_PEOPLE["DENS"]:
        dens_subject(data, places["open"], subject)
    return places


def write_deap(root, people, seconds=2):
    """Write `data_preprocessed_python`, 40 videos of some seconds."""
    folder = root / "data_preprocessed_python"
    folder.mkdir()
    others = ("hEOG", "vEOG", "zEMG", "tEMG", "GSR", "Resp", "Plet", "Temp")
    times = np.arange(128 * (3 + seconds)) / 128 - 3
    for subject in people:
        rng = np.random.default_rng(subject)
        signals = [
            1e6 * tones((*GENEVA, *others), video, subject, times)
            for video in range(1, 41)
        ]
        content = {"data": np.array(signals), "labels": rng.uniform(1, 9, (40, 4))}
        (folder / f"s{subject:02d}.dat").write_bytes(python2_pickle(content))
