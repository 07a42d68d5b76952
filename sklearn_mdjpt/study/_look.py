"""A look at the data of a study before any work: all that would be refused later."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._validation import list_some
from ..datasets._local import LocalFiles
from ..encoder._pairs import make_sampler, pair_columns
from ..model_selection import LeakageWarning, assert_disjoint
from ..windows._windows import EEGWindows
from ._data import data_home, dataset_key, local_files, place_of, read_entry
from ._evaluation import check_count, evaluation_problems, make_transfers
from ._methods import METHODS
from ._noticed import notices_path
from ._settings import Study, load_study, raise_all
from ._training import make_encoder

# Problems of settings that decide what people and windows must be like.
_DECIDING = ("[evaluation]", "[windows]", "All datasets have")
_REFUSED = (ValueError, TypeError, OSError, ImportError)


@dataclass(frozen=True)
class Looked:
    """A dataset as far as its headers and tables go.

    Attributes
    ----------
    entry : Dataset
        Its settings.
    key : str
        Fingerprint of all that its windows depend on.
    windows : EEGWindows or None
        Its windows, none of them read; None where files are still to be fetched.
    done : bool
        Whether its store is there.
    local : LocalFiles or None
        Of an open dataset, what is on the disk.
    """

    entry: Any
    key: str
    windows: EEGWindows | None
    done: bool
    local: LocalFiles | None

    @property
    def n_people(self):
        """How many people there are, or will be."""
        if self.windows is None:
            return len(self.local.complete) + len(self.local.lacking)
        return len(set(self.windows.groups("subject")))


def look_at(study, entries, notices, problems):
    """Look at datasets, without reading samples or fetching anything.

    Parameters
    ----------
    study : Study
        The settings.
    entries : sequence of Dataset
        Which of its datasets.
    notices : Notices
        Collects warnings.
    problems : list of str
        What is wrong is appended.

    Returns
    -------
    list of Looked
        Those that can be used, in their order.
    """
    found = []
    for entry in entries:
        where = f"[[datasets]] {entry.name!r}"
        if any(text.startswith(where) for text in problems):
            continue  # what follows from it says nothing more
        try:
            found.append(_look(study, entry, notices))
        except _REFUSED as error:
            problems.append(f"{where}: {_reason(error)}")
    return found


def _reason(error):
    """Return the text of an error; the system's own are made sentences."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {str(error.filename)!r}."
    return str(error)


def _look(study, entry, notices):
    local = local_files(study, entry) if entry.is_open else None
    key = dataset_key(study, entry)
    place = place_of(study, entry, key)
    if place.exists():
        return Looked(entry, key, EEGWindows.open(place), True, local)
    whose = None
    fetch = local is not None and local.to_fetch and study.general.download
    if fetch:
        _check_room(study, entry, local)
        whose = local.complete
        if not whose:
            return Looked(entry, key, None, False, local)
    with notices.during(notices_path(place), entry.name, "reading", write=False):
        X = read_entry(study, entry, whose)
    if not len(X):
        raise ValueError(f"it has no windows of {study.windows.seconds:g} s.")
    return Looked(entry, key, None if fetch else X, False, local)


def _check_room(study, entry, local):
    """Raise if there is no room for what is to be downloaded."""
    home = data_home(study, entry) or local.places[-1]
    while not home.exists():
        home = home.parent
    n_bytes, free = sum(local.to_fetch.values()), shutil.disk_usage(home).free
    if free < n_bytes:
        raise OSError(
            f"{n_bytes / 1e9:.1f} GB are to be downloaded, and {free / 1e9:.1f} GB are "
            f"free in {str(home)!r}; choose another data_home, or fewer subjects."
        )


def training_problems(study, looked, trains):
    """Return why no encoder can be trained on these sources.

    Parameters
    ----------
    study : Study
        The settings.
    looked : list of Looked
        Its datasets.
    trains : bool
        Whether an encoder is trained at all.

    Returns
    -------
    list of str
    """
    sources = [one for one in looked if one.entry.role == "source"]
    if not trains or any(one.windows is None for one in sources):
        return []
    encoder = make_encoder(study)
    if encoder.weights is not None and not encoder.finetune:
        return []
    found = []
    for one in sources:
        X = one.windows
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the training warns
                make_sampler(
                    pair_columns(X), np.ones(len(X), int), None,
                    pairing=encoder.pairing, known_labels=X.y, sfreq=1.0,
                    rng=np.random.default_rng(0), n_subjects=encoder.subjects_per_batch,
                )  # fmt: skip
        except ValueError as error:
            found.append(f"{one.entry.name}: {error}")
    # One that can be trained on suffices; a warning names the others.
    return found if len(found) == len(sources) else []


def check_data(study, looked, whole, problems):
    """Note what the protocols would refuse, as far as headers and tables tell.

    Parameters
    ----------
    study : Study
        The settings.
    looked : list of Looked
        Its datasets.
    whole : bool
        Whether these are all of them.
    problems : list of str
        What is wrong is appended.
    """
    if not whole or any(one.windows is None for one in looked):
        alone = whole and len(looked) == 1
        for one in looked:
            if one.entry.role == "target" or not study.targets:
                problems += check_count(study, one.entry.name, one.n_people, alone)
        return
    try:
        transfers = make_transfers(study, looked, problems)
    except ValueError as error:
        problems.append(str(error))
        return
    problems += evaluation_problems(study, transfers)
    for one in transfers:
        if one.source is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", LeakageWarning)  # `find_leaks` says so
                try:
                    assert_disjoint(one.source, one.target, by="subject")
                except ValueError as error:
                    problems.append(f"{one.name}: {error}")


def describe_people(looked):
    """Return who is there of open datasets of which not all are."""
    return [
        f"{one.entry.name}: {list_some(one.local.complete, 8)}"
        for one in looked
        if one.local is not None and one.local.lacking and one.local.complete
    ]


def look_at_all(study, notices, *, test=True):
    """Read the settings, look at all datasets, and name all that is wrong at once.

    Parameters
    ----------
    study : Study or path-like
        The settings, or their file.
    notices : Notices
        Collects warnings.
    test : bool, default=True
        Whether anything is tested.

    Returns
    -------
    study : Study
        The settings.
    looked : list of Looked
        All its datasets.

    Raises
    ------
    ValueError
        If something is wrong.
    """
    study, problems = _as_study(study)
    settled = not any(text.startswith(_DECIDING) for text in problems)
    looked = look_at(study, study.datasets, notices, problems)
    if test and settled:
        whole = not any(text.startswith("[[datasets]]") for text in problems)
        check_data(study, looked, whole, problems)
        trains = any(METHODS[name].encoder for name in study.evaluation.methods)
        if whole and not any(text.startswith("[encoder]") for text in problems):
            problems += training_problems(study, looked, trains)
    raise_all(study, problems)
    return study, looked


def look_at_sources(study, notices):
    """Do as `look_at_all` does, for a training: of the sources alone."""
    study, problems = _as_study(study)
    rightly_set = not problems
    looked = look_at(study, study.sources, notices, problems)
    for entry in study.targets:
        try:
            dataset_key(study, entry)
        except _REFUSED as error:
            problems.append(f"[[datasets]] {entry.name!r}: {_reason(error)}")
    if rightly_set and len(looked) == len(study.sources):
        problems += training_problems(study, looked, True)
    raise_all(study, problems)
    return study, looked


def _as_study(study):
    return (study, []) if isinstance(study, Study) else load_study(study)
