"""Rest and mental arithmetic: a small public set of real recordings (eegmat)."""

from __future__ import annotations

import os
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .._io._files import file_digest
from .._validation import list_some
from ..channels._channels import ALIASES
from ..windows._recording import Recording
from ..windows._windows import EEGWindows
from ._download import DATA_VARIABLE, find_file
from ._reading import check_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import PathLike

_URL = "https://physionet.org/files/eegmat/1.0.0/"
SUBJECTS = range(36)
_CONDITIONS = {"1": "rest", "2": "arithmetic"}  # by the number in the file's name
FILE_BYTES = 2_500_000  # of a file, about
_TRIAL_SECONDS = 62.0  # length of the arithmetic files
_NOT_EEG = ("EEG A2-A1", "ECG ECG")
_N_CHANNELS = 19
_DOWNLOAD_RETRIES = 2


def fetch_eegmat(
    data_home: PathLike | None = None,
    subjects: int | Sequence[int] | None = None,
    download: bool = True,
    *,
    window_seconds: float = 5.0,
    stride_seconds: float = 2.0,
) -> EEGWindows:
    """Load rest and mental arithmetic of 36 subjects, downloading what is missing.

    Recordings of Zyma et al. (2019): 19 channels at 500 Hz, linked ears, cleaned with
    ICA by the authors. Of each subject the last 62 seconds of rest and the first 62
    seconds of serial subtraction are two trials of one recording, so that no
    normalisation by recording can give the condition away or remove it.

    **The label is confounded with time.** Rest always came before the task and lies in
    a file of its own. Whatever drifts, or differs between two files, tells the
    conditions apart. This is an exercise in transfer between subjects. It does not
    prove that workload can be decoded. Subjects share no stimulus (`stimulus` is None),
    so pairs of windows for pre-training can only come from the labels.

    Parameters
    ----------
    data_home : path-like, default=None
        Folder to look in first and to download to. None: a cache folder of the
        operating system's choice.
    subjects : int or sequence of int, default=None
        Numbers of the subjects, 0 to 35, in the order wanted. None: all 36, or with
        ``download=False`` all that are present.
    download : bool, default=True
        Fetch missing files from PhysioNet (about 5 MB a subject).
    window_seconds : float, default=5.0
        Length of a window in seconds.
    stride_seconds : float, default=2.0
        Step between windows in seconds; none crosses from rest to task.

    Returns
    -------
    EEGWindows
        Windows in volts with labels "rest" and "arithmetic", dataset "eegmat",
        subjects "00" to "35", session "1" and trials "rest" and "arithmetic".

    Raises
    ------
    ValueError
        If a subject's number is unknown, or a file's SHA-256 is not that of the
        original file.
    FileNotFoundError
        With ``download=False``, if a subject that was asked for lacks a file, or no
        subject has both files.
    OSError
        If a download fails three times.

    See Also
    --------
    make_emotion_windows : Simulated data with stimuli, in several montages.

    Notes
    -----
    Each file is taken from the first place that has it: `data_home`, the folder in
    the environment variable ``SKLEARN_MDJPT_DATA``, either as it is or in its
    subfolders ``eegmat`` and ``eegmat/data``, then the cache. T3, T4, T5
    and T6 are named T7, T8, P7 and P8.

    Licence of the data: Open Data Commons Attribution License v1.0. Cite both
    references when you use them.

    References
    ----------
    Zyma I, Tukaev S, Seleznov I, et al. Electroencephalograms during mental
    arithmetic task performance. Data 2019;4(1):14, doi:10.3390/data4010014.

    PhysioNet, EEG During Mental Arithmetic Tasks 1.0.0, doi:10.13026/C2JQ1P.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import fetch_eegmat
    >>> X = fetch_eegmat(subjects=[0, 1])  # doctest: +SKIP
    >>> len(X)  # doctest: +SKIP
    116
    """
    wanted = check_numbers(subjects, SUBJECTS, "subjects") or SUBJECTS
    places = _places(data_home)
    found = {
        subject: {name: find_file([name], places) for name in _file_names(subject)}
        for subject in wanted
    }
    if not download:
        absent = [subject for subject in found if None in found[subject].values()]
        if absent and (subjects is not None or len(absent) == len(found)):
            raise FileNotFoundError(
                f"Subjects {list_some(absent)} of eegmat lack a file: looked for "
                f"{' and '.join(_file_names(absent[0]))} and the like in "
                f"{list_some(places)}. Set {DATA_VARIABLE} or data_home to the folder "
                "that has them, or use download=True."
            )
        for subject in absent:
            del found[subject]

    recordings = []
    for subject, paths in found.items():
        for name, path in paths.items():
            if path is None:
                paths[name] = _download(name, _download_folder(data_home))
            else:
                _check_digest(path)
        recordings.append(_read_subject(subject, *paths.values()))
    return EEGWindows.from_recordings(
        recordings, window_seconds=window_seconds, stride_seconds=stride_seconds
    )


def _file_names(subject):
    return [f"Subject{subject:02d}_{number}.edf" for number in _CONDITIONS]


def _places(data_home):
    """Return the folders to look in, in order."""
    places = []
    for root in (data_home, os.environ.get(DATA_VARIABLE)):
        if root:
            root = Path(root).expanduser()
            places += [root, root / "eegmat", root / "eegmat" / "data"]
    # An earlier call without data_home has downloaded to the cache.
    return [*places, _download_folder(None)]


def _download_folder(data_home):
    import pooch

    if data_home is not None:
        return Path(data_home).expanduser()
    return Path(pooch.os_cache("sklearn_mdjpt")) / "eegmat"


@cache
def _known_digests():
    """Return the SHA-256 of each original file by name."""
    table = (files(__package__) / "eegmat_sha256.txt").read_text(encoding="ascii")
    return {name: digest for digest, name in map(str.split, table.splitlines())}


def _check_digest(path):
    """Raise if a file is not the original; read each file once in a process."""
    found, expected = file_digest(path).hex(), _known_digests()[path.name]
    if found != expected:
        raise ValueError(
            f"{path} is not the original file: its SHA-256 is {found}, expected "
            f"{expected}. Remove it to have it downloaded again."
        )


def _download(name, folder):
    """Download a file, checked against its digest; try again where that may help."""
    import pooch

    store = pooch.create(
        folder, _URL, registry=_known_digests(), retry_if_failed=_DOWNLOAD_RETRIES
    )
    # The errors of requests are OSErrors.  pooch raises a ValueError for a wrong
    # digest, which an interrupted transfer causes as well.
    try:
        return Path(store.fetch(name))
    except (OSError, ValueError) as error:
        raise OSError(
            f"Could not download {_URL}{name}: {error} You can put the file into "
            f"{folder} by hand."
        ) from error


def _read_subject(subject, rest_path, task_path):
    """Return one recording: the end of rest, then the start of the task."""
    rest, names, sfreq = _read_file(rest_path, last=True)
    task, task_names, task_sfreq = _read_file(task_path, last=False)
    if (names, sfreq) != (task_names, task_sfreq):
        raise ValueError(
            f"{task_path} must have the channels and the rate of {rest_path}: got "
            f"{task_names} at {task_sfreq:g} Hz, expected {names} at {sfreq:g} Hz."
        )
    length = _TRIAL_SECONDS
    return Recording(
        np.concatenate([rest, task], axis=1).astype(np.float32),
        names,
        sfreq,
        dataset="eegmat",
        subject=f"{subject:02d}",
        session="1",
        trials=[
            {
                "start": k * length,
                "stop": (k + 1) * length,
                "trial": name,
                "label": name,
            }
            for k, name in enumerate(_CONDITIONS.values())
        ],
    )


def _read_file(path, last):
    """Return the first or last 62 s (n_channels, n_times) in volts, names, rate."""
    import mne

    raw = mne.io.read_raw_edf(path, verbose="error")
    raw.drop_channels([name for name in _NOT_EEG if name in raw.ch_names])
    names = [name.removeprefix("EEG ").strip() for name in raw.ch_names]
    names = [ALIASES.get(name, name) for name in names]
    if len(names) != _N_CHANNELS:
        raise ValueError(
            f"{path} has {len(names)} EEG channels, expected {_N_CHANNELS}: {names}."
        )
    sfreq = raw.info["sfreq"]
    n_times = round(_TRIAL_SECONDS * sfreq)
    if raw.n_times < n_times:
        raise ValueError(
            f"{path} lasts {raw.n_times / sfreq:g} s, expected at least "
            f"{_TRIAL_SECONDS:g} s."
        )
    first = raw.n_times - n_times if last else 0
    return raw.get_data(start=first, stop=first + n_times), names, sfreq
