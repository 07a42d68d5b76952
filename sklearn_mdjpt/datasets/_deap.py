"""DEAP: 32 subjects who watched 40 music videos and rated each one."""

from __future__ import annotations

import re
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from .._io._signals import DecodedSignal, naming
from .._validation import check_option, list_some
from ..windows._recording import Recording
from ._bdf import decode_bdf, read_bdf_codes, read_bdf_header
from ._reading import (
    MICROVOLT,
    check_numbers,
    choose,
    contents,
    find_folder,
    read_all,
)
from ._unpickling import read_pickle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import PathLike
    from ..windows._windows import EEGWindows

_N_SUBJECTS = 32
_N_VIDEOS = 40
_N_PREPROCESSED_CHANNELS = 40
_PREPROCESSED_SFREQ = 128.0
_BASELINE_SECONDS = 3
# The first channels of the preprocessed files of all subjects (Geneva's order; raw
# recordings made in Twente have another one).
_CHANNELS = (
    "Fp1", "AF3", "F3", "F7", "FC5", "FC1", "C3", "T7", "CP5", "CP1", "P3", "P7", "PO3",
    "O1", "Oz", "Pz", "Fp2", "AF4", "Fz", "F4", "F8", "FC6", "FC2", "Cz", "C4", "T8",
    "CP6", "CP2", "P4", "P8", "PO4", "O2",
)  # fmt: skip
_RATINGS = ("valence", "arousal", "dominance", "liking")
_LOWEST, _HIGHEST = 1.0, 9.0
_FOLDERS = ("data_preprocessed_python", "data_preprocessed_matlab")

_FIXATION, _MUSIC, _AFTER = 3, 4, 5
# Amplifiers of the later subjects set the upper byte of the codes.
_FIRST_WITH_OFFSET, _OFFSET = 24, 1703680
# Some of the raw files have no name for the channel of the codes.
_STATUS_NAMES = ("STATUS", "", "-0", "-1")


def read_deap(
    root: PathLike,
    *,
    subjects: int | Sequence[int] | None = None,
    source: Literal["preprocessed", "raw"] = "preprocessed",
    label: Literal["valence", "arousal", "dominance", "quadrant"] = "valence",
    threshold: float | Literal["median"] = 5.0,
    at_threshold: Literal["high", "low"] = "high",
    baseline: bool = False,
    window_seconds: float = 5.0,
    stride_seconds: float = 2.0,
    on_error: Literal["raise", "skip"] = "raise",
) -> EEGWindows:
    """Read DEAP: 32 subjects, 40 music videos, 32 channels.

    Samples are decoded when windows are read, and kept as long as there is room.
    Opening reads ratings, and of raw recordings the channel of trigger codes.

    Parameters
    ----------
    root : path-like
        The folder that holds ``data_preprocessed_python`` (or, without it,
        ``data_preprocessed_matlab``; ``data_original`` for raw recordings), its
        parent, or that folder itself.
    subjects : int or sequence of int, default=None
        Numbers of the subjects, 1 to 32, in the order wanted. None: all that are
        there.
    source : {"preprocessed", "raw"}, default="preprocessed"
        "preprocessed": the authors' cleaned data at 128 Hz, one minute of each video.
        "raw": ``data_original/s01.bdf`` and ``participant_ratings.csv`` (in
        ``metadata_csv``), whole recordings at 512 Hz whose trials last from the
        music's start to the fixation after it.
    label : {"valence", "arousal", "dominance", "quadrant"}, default="valence"
        The subject's rating that the labels "high" and "low" tell, or "quadrant":
        "HVHA", "HVLA", "LVHA" and "LVLA", high or low valence with high or low
        arousal.
    threshold : float or "median", default=5.0
        The rating, from 1 to 9, that parts high from low. "median": each subject's own
        over all videos, for classes of similar size.
    at_threshold : {"high", "low"}, default="high"
        What a rating that equals the threshold counts as: published results differ in
        this.
    baseline : bool, default=False
        Whether a trial begins with the three seconds before the video (onsets then
        count from there).
    window_seconds : float, default=5.0
        Length of a window in seconds.
    stride_seconds : float, default=2.0
        Step between windows of a trial in seconds.
    on_error : {"raise", "skip"}, default="raise"
        What a file that cannot be read does.  "skip" leaves it out with one warning
        that names all such files; for that, all files are read to their end at once.

    Returns
    -------
    EEGWindows
        Windows in volts of the 32 EEG channels: dataset "DEAP", subjects "01" to "32",
        session "1"; trial and stimulus are the video's number in the experiment, "01"
        to "40".  The ratings, 1 to 9, are columns ``valence``, ``arousal``,
        ``dominance`` and ``liking``; raw recordings have ``familiarity`` (NaN where it
        was not asked) and ``play_order`` as well.

    Raises
    ------
    ValueError
        If a file is damaged or not as published (with its name), or a parameter is
        none of the above.
    FileNotFoundError
        If no data are found, or a subject that was asked for has none.

    See Also
    --------
    valence_of : Turns labels into -1, 0 and 1.

    Notes
    -----
    Pickle files can run code when Python's pickle opens them. This reader never does:
    it takes arrays of numbers from them, and refuses anything else.

    References
    ----------
    Koelstra S, Muhl C, Soleymani M, et al. DEAP: a database for emotion analysis using
    physiological signals. IEEE Transactions on Affective Computing 2012;3(1):18-31,
    doi:10.1109/T-AFFC.2011.15.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import read_deap
    >>> X = read_deap("DEAP", label="quadrant", subjects=[1, 2])  # doctest: +SKIP
    >>> X.shape  # doctest: +SKIP
    (2240,)
    """
    check_option(source, ("preprocessed", "raw"), "source")
    check_option(label, (*_RATINGS[:3], "quadrant"), "label")
    check_option(at_threshold, ("high", "low"), "at_threshold")
    check_option(on_error, ("raise", "skip"), "on_error")
    _check_threshold(threshold)
    wanted = check_numbers(subjects, range(1, _N_SUBJECTS + 1), "subjects")
    name_labels = partial(
        _labels, label=label, threshold=threshold, at_threshold=at_threshold
    )
    if source == "preprocessed":
        folder = _find_preprocessed(root)
        suffix, read = (
            (".dat", _read_python) if folder.name == _FOLDERS[0]
            else (".mat", _read_matlab)
        )  # fmt: skip
    else:
        folder, suffix, read = find_folder(root, "data_original", "DEAP"), ".bdf", None
    files = choose(
        _numbered(folder, suffix),
        wanted,
        None,
        looked_for=f"s01{suffix} and the like in {str(folder)!r}",
    )
    if read is None:
        read = partial(_read_raw, table=_read_ratings(folder))
    return read_all(
        files,
        partial(read, name_labels=name_labels, baseline=bool(baseline)),
        on_error=on_error,
        window_seconds=window_seconds,
        stride_seconds=stride_seconds,
    )


def _check_threshold(threshold):
    if isinstance(threshold, str) and threshold == "median":
        return
    if (
        not isinstance(threshold, Real)
        or isinstance(threshold, bool)
        or not _LOWEST <= threshold <= _HIGHEST
    ):
        raise ValueError(
            f"threshold must be 'median' or a rating from {_LOWEST:g} to "
            f"{_HIGHEST:g}, got {threshold!r}."
        )


def _find_preprocessed(root):
    """Return the folder with Python's files, or else the one with Matlab's."""
    try:
        return find_folder(root, _FOLDERS[0], "DEAP")
    except FileNotFoundError as error:
        try:
            return find_folder(root, _FOLDERS[1], "DEAP")
        except FileNotFoundError:
            raise FileNotFoundError(f"{error} Nor is {_FOLDERS[1]!r} there.") from None


def _numbered(folder, suffix):
    """Return the files of a folder by subject, in session 1."""
    found = {}
    for path in folder.iterdir():
        match = re.fullmatch(r"s(\d{2})", path.stem)
        if match and path.suffix == suffix and 1 <= int(match[1]) <= _N_SUBJECTS:
            found[int(match[1]), 1] = path
    return found


def _whose(subject, session):
    return {"dataset": "DEAP", "subject": f"{subject:02d}", "session": str(session)}


def _labels(ratings, *, label, threshold, at_threshold):
    """Return the label of each trial of a subject.

    Parameters
    ----------
    ratings : ndarray of shape (n_trials, 4)
        All of the subject's: valence, arousal, dominance, liking.
    label, threshold, at_threshold
        As for `read_deap`.

    Returns
    -------
    list of str
    """
    if not ((ratings >= _LOWEST) & (ratings <= _HIGHEST)).all():
        raise ValueError(
            f"its ratings lie between {ratings.min():g} and {ratings.max():g}, "
            f"expected {_LOWEST:g} to {_HIGHEST:g}"
        )
    limit = np.median(ratings, axis=0) if threshold == "median" else threshold
    high = ratings >= limit if at_threshold == "high" else ratings > limit
    if label != "quadrant":
        chosen = high[:, _RATINGS.index(label)]
        return ["high" if is_high else "low" for is_high in chosen]
    return [f"{'LH'[v]}V{'LH'[a]}A" for v, a in high[:, :2].astype(int)]


def _trial(video, label, ratings):
    name = f"{video:02d}"
    return {
        "trial": name,
        "stimulus": name,
        "label": label,
        **dict(zip(_RATINGS, map(float, ratings), strict=True)),
    }


# Preprocessed data ---------------------------------------------------------------


def _read_python(path, subject, session, *, name_labels, baseline):
    content = _open_python(path, samples=False)
    return _make_preprocessed(
        path, content["data"].shape, content["labels"],
        _decode_python, subject, session, name_labels, baseline,
    )  # fmt: skip


def _read_matlab(path, subject, session, *, name_labels, baseline):
    from scipy.io import loadmat, whosmat

    shapes = {name: shape for name, shape, _ in whosmat(path)}
    missing = [name for name in ("data", "labels") if name not in shapes]
    if missing:
        raise ValueError(f"it lacks {list_some(missing)}; it has {list_some(shapes)}")
    return _make_preprocessed(
        path, shapes["data"], loadmat(path, variable_names=["labels"])["labels"],
        _decode_matlab, subject, session, name_labels, baseline,
    )  # fmt: skip


def _make_preprocessed(
    path, shape, labels, decode, subject, session, name_labels, baseline
):  # fmt: skip
    n_before = round(_BASELINE_SECONDS * _PREPROCESSED_SFREQ)
    expected = (_N_VIDEOS, _N_PREPROCESSED_CHANNELS)
    if len(shape) != 3 or shape[:2] != expected or shape[2] <= n_before:
        raise ValueError(
            f"expected data of {expected[0]} videos x {expected[1]} channels x more "
            f"than {n_before} samples, found the shape {shape}"
        )
    if labels.shape != (_N_VIDEOS, len(_RATINGS)):
        raise ValueError(
            f"expected labels of the shape {(_N_VIDEOS, len(_RATINGS))}, found "
            f"{labels.shape}"
        )
    ratings = np.asarray(labels, float)
    trials = [
        _trial(video, label, row)
        for video, (label, row) in enumerate(
            zip(name_labels(ratings), ratings, strict=True), 1
        )
    ]
    # The seconds before a video stay in the recording, in no trial.
    for k, trial in enumerate(trials):
        first = k * shape[2] + (0 if baseline else n_before)
        trial["start"] = first / _PREPROCESSED_SFREQ
        trial["stop"] = (k + 1) * shape[2] / _PREPROCESSED_SFREQ
    return Recording(
        DecodedSignal(path, (len(_CHANNELS), _N_VIDEOS * shape[2]), decode),
        _CHANNELS,
        _PREPROCESSED_SFREQ,
        trials=trials,
        **_whose(subject, session),
    )


def _open_python(path, samples):
    content = read_pickle(path, samples=samples)
    if not isinstance(content, dict):
        raise ValueError(
            f"expected a dict with 'data' and 'labels', found {type(content).__name__}"
        )
    if not all(isinstance(content.get(n), np.ndarray) for n in ("data", "labels")):
        raise ValueError(
            f"expected arrays 'data' and 'labels', found {list_some(content)}"
        )
    return content


def _decode_python(path):
    return _join_trials(_open_python(path, samples=True)["data"])


def _decode_matlab(path):
    from scipy.io import loadmat

    return _join_trials(loadmat(path, variable_names=["data"])["data"])


def _join_trials(data):
    """(n_trials, 40, n_times) in microvolts -> EEG in volts, joined in time."""
    n_times = data.shape[2]
    signal = np.empty((len(_CHANNELS), len(data) * n_times), np.float32)
    for k, trial in enumerate(data):
        columns = slice(k * n_times, (k + 1) * n_times)
        signal[:, columns] = MICROVOLT * trial[: len(_CHANNELS)]
    return signal


# Raw recordings ------------------------------------------------------------------


def _read_raw(path, subject, session, *, table, name_labels, baseline):
    header = read_bdf_header(path)
    places = header.find(_CHANNELS)
    rows = _look_up(table, subject)
    sfreq = header.sfreq(places[0])
    videos = _find_videos(path, header, subject, len(rows))
    ratings = rows[list(_RATINGS)].to_numpy(float)
    trials = []
    for (start, stop), label, (_, row) in zip(
        videos, name_labels(ratings), rows.iterrows(), strict=True
    ):
        start -= _BASELINE_SECONDS if baseline else 0
        if start < 0:
            raise ValueError(
                f"it has no {_BASELINE_SECONDS} s before the first video; use "
                "baseline=False"
            )
        trials.append(
            _trial(int(row["experiment_id"]), label, row[list(_RATINGS)])
            | {
                "start": start,
                "stop": stop,
                "play_order": int(row["trial"]),
                "familiarity": float(row["familiarity"]),
            }
        )
    names = tuple(header.labels[place] for place in places)
    return Recording(
        DecodedSignal(
            path,
            (len(places), header.n_times(places[0])),
            partial(decode_bdf, labels=names),
        ),
        _CHANNELS,
        sfreq,
        trials=trials,
        **_whose(subject, session),
    )


def _find_videos(path, header, subject, n_videos):
    """Return start and stop, in seconds, of each video in the order of play."""
    found = {}
    for place, label in enumerate(header.labels):
        if label.upper() in _STATUS_NAMES:
            codes = read_bdf_codes(path, header, place)
            offset = _OFFSET if subject >= _FIRST_WITH_OFFSET else 0
            codes = (codes - offset) % 2**16
            found[place] = np.flatnonzero(np.diff(codes, prepend=0)), codes
    if not found:
        raise ValueError(
            "it has no channel of trigger codes ('Status', or without a name); its "
            f"channels are {list_some(header.labels, 70)}"
        )
    counts = {}
    for place, (changes, codes) in found.items():
        values = codes[changes]
        music = np.flatnonzero(values == _MUSIC)
        counts[place] = len(music)
        if len(music) != n_videos:
            continue
        after = np.flatnonzero(values == _AFTER)
        spans = []
        for k, first in enumerate(music):
            last = after[np.searchsorted(after, first) :][:1]
            limit = music[k + 1] if k + 1 < n_videos else len(values)
            if not len(last) or last[0] > limit:
                raise ValueError(
                    f"its video {k + 1} has a start (code {_MUSIC}) and no end (code "
                    f"{_AFTER})"
                )
            spans.append((changes[first], changes[last[0]]))
        rate = header.sfreq(place)
        return [(start / rate, stop / rate) for start, stop in spans]
    raise ValueError(
        f"participant_ratings.csv has {n_videos} videos of subject {subject:02d}, and "
        f"music starts (code {_MUSIC}) {list_some(counts.values())} times in it"
    )


def _read_ratings(folder):
    """Return the table of ratings that belongs to raw recordings."""
    name = "participant_ratings.csv"
    places = [folder.parent / "metadata_csv", folder.parent, folder]
    path = next((place / name for place in places if (place / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"No {name!r} in {list_some(repr(str(place)) for place in places)}; raw "
            "recordings have the order of the videos and their ratings there. "
            f"{str(folder.parent)!r} holds {contents(folder.parent)}."
        )
    with naming(path):
        table = pd.read_csv(path, encoding="utf-8-sig")
        table.columns = [column.strip().lower() for column in table.columns]
        needed = ("participant_id", "trial", "experiment_id", *_RATINGS)
        missing = [column for column in needed if column not in table]
        if missing:
            raise ValueError(
                f"it lacks the columns {list_some(missing)}; it has "
                f"{list_some(table.columns)}"
            )
        if "familiarity" not in table:
            table["familiarity"] = np.nan
        table["familiarity"] = pd.to_numeric(table["familiarity"], errors="coerce")
    return table


def _look_up(table, subject):
    """Return a subject's rows in the order of play."""
    rows = table[table["participant_id"] == subject].sort_values("trial")
    videos = rows["experiment_id"].tolist()
    if not videos:
        raise ValueError(
            f"participant_ratings.csv has no rows of subject {subject:02d}"
        )
    known = range(1, _N_VIDEOS + 1)
    if not set(videos) <= set(known) or len(set(videos)) < len(videos):
        raise ValueError(
            f"participant_ratings.csv gives subject {subject:02d} videos that are "
            f"unknown or there twice: {list_some(videos, _N_VIDEOS)}"
        )
    return rows
