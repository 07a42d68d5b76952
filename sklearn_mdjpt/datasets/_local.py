"""What of the downloadable datasets is on the disk already; nothing is fetched."""

from typing import NamedTuple

from . import _dens, _eegmat, _emoeeg, _faced_bids
from ._download import PUBLIC_DATASETS, find_file, unfinished_bytes
from ._reading import check_numbers

_NAMES = {
    "fetch_faced": "FACED",
    "fetch_emoeeg_mc": "EmoEEG-MC",
    "fetch_dens": "DENS",
}


class LocalFiles(NamedTuple):
    """What is there of the people that are wanted.

    Attributes
    ----------
    complete : list of str
        Those who have all their files.
    lacking : list of str
        Those who do not.
    to_fetch : dict of str to int
        Files that a download would bring, and the bytes of each.
    unlike : dict of str to Path
        Files whose size is not the published one; they are used as they are.
    places : list of Path
        Where was looked.
    """

    complete: list
    lacking: list
    to_fetch: dict
    unlike: dict
    places: list


def look_for_files(reader, subjects=None, data_home=None, *, context="video"):
    """Look for the files of a dataset where its reader does.

    Parameters
    ----------
    reader : {"fetch_faced", "fetch_emoeeg_mc", "fetch_dens", "fetch_eegmat"}
        The reader.
    subjects, data_home
        As the reader takes them.
    context : str, default="video"
        As `fetch_emoeeg_mc` takes it.

    Returns
    -------
    LocalFiles

    Raises
    ------
    ValueError
        If a subject is unknown.
    """
    if reader == "fetch_eegmat":
        return _look_for_eegmat(subjects, data_home)
    dataset, other_names = PUBLIC_DATASETS[_NAMES[reader]], lambda path: ()
    if reader == "fetch_emoeeg_mc":
        wanted = _emoeeg.wanted_files(subjects, _emoeeg.sessions_of(context))
        other_names = _emoeeg.other_names
    else:
        home = _faced_bids if reader == "fetch_faced" else _dens
        wanted = home.wanted_files(subjects)
    places = dataset.places(data_home)
    target = dataset.target(data_home)
    found, to_fetch, unlike = {}, {}, {}
    for path in (path for paths in wanted.values() for path in paths):
        file = found[path] = find_file((path, *other_names(path)), places)
        n_bytes = dataset.manifest[path].n_bytes
        if file is None:
            to_fetch[path] = n_bytes - min(unfinished_bytes(target / path), n_bytes)
        elif file.stat().st_size != n_bytes:
            unlike[path] = file
    there = {
        name: all(found[path] is not None for path in paths)
        for name, paths in wanted.items()
    }
    return _local(there, to_fetch, unlike, places)


def _look_for_eegmat(subjects, data_home):
    wanted = check_numbers(subjects, _eegmat.SUBJECTS, "subjects") or _eegmat.SUBJECTS
    places = _eegmat._places(data_home)
    there, to_fetch = {}, {}
    for subject in wanted:
        absent = [
            name
            for name in _eegmat._file_names(subject)
            if find_file([name], places) is None
        ]
        to_fetch |= dict.fromkeys(absent, _eegmat.FILE_BYTES)
        there[f"{subject:02d}"] = not absent
    return _local(there, to_fetch, {}, places)


def _local(there, to_fetch, unlike, places):
    complete = [name for name, whole in there.items() if whole]
    lacking = [name for name, whole in there.items() if not whole]
    return LocalFiles(complete, lacking, to_fetch, unlike, places)
