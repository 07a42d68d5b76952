"""The results in the folder of a study: those of other settings are moved aside."""

from __future__ import annotations

import dataclasses
import os

from .. import __version__
from .._io._files import sync_folder, write_file
from .._io._fingerprint import fingerprint
from ._training import HUB

REPORT, SCORES = "report.html", "scores.csv"
_OLDER = "older"
_KEY = ".results"
PUBLISHED = ".published"
"""File that says of which weights the folder "hub" is."""


def results_key(study, keys):
    """Return a text that is equal where all settings and data of a study are.

    Parameters
    ----------
    study : Study
        The settings.
    keys : list of str
        Fingerprints of its datasets.

    Returns
    -------
    str
    """
    parts = [
        vars(getattr(study, name)) for name in ("general", "windows", "card")
    ]  # fmt: skip
    evaluation = dataclasses.replace(study.evaluation, n_jobs=1)
    cleaning = {k: v for k, v in study.cleaning.items() if k != "n_jobs"}
    roles = [(entry.name, entry.role) for entry in study.datasets]
    return fingerprint(
        __version__, parts, vars(evaluation), cleaning, study.encoder, roles, keys
    )


def begin_results(study, key, progress):
    """Move results of other settings into the folder "older".

    Parameters
    ----------
    study : Study
        The settings; nobody else works in its folder.
    key : str
        What results of these settings have, see `results_key`.
    progress : Progress
        Prints what is moved.
    """
    folder = study.folder
    note = folder / _KEY
    if note.exists() and note.read_text(encoding="ascii") == key:
        return
    found = [name for name in (REPORT, SCORES, HUB) if (folder / name).exists()]
    if found:
        older = folder / _OLDER
        older.mkdir(exist_ok=True)
        numbers = [int(path.name) for path in older.iterdir() if path.name.isdecimal()]
        place = older / str(max(numbers, default=0) + 1)
        place.mkdir()
        (folder / PUBLISHED).unlink(missing_ok=True)
        for name in found:
            os.replace(folder / name, place / name)
        sync_folder(place)
        progress.say(
            f"The settings or data have changed: {', '.join(found)} of older ones are "
            f"in {place} now."
        )
    write_file(note, key.encode("ascii"))
