"""DEAP: 32 subjects who watched 40 music videos and rated each one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from .._validation import check_number, check_option, list_some
from ._bdf import make_bdf_recording, read_bdf_codes, read_bdf_header
from ._mat_files import list_variables, read_variables
from ._reading import check_shape, find_files, join_trials, read_all, read_table
from ._unpickling import read_pickle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import PathLike
    from ..windows._windows import EEGWindows

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
_RATINGS = ["valence", "arousal", "dominance", "liking"]
_LOWEST, _HIGHEST = 1, 9
_FILES = {
    "preprocessed": [
        "data_preprocessed_python/s{subject}.dat",
        "data_preprocessed_matlab/s{subject}.mat",
    ],
    "raw": ["data_original/s{subject}.bdf"],
}

_MUSIC, _AFTER = 4, 5
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
    if not (isinstance(threshold, str) and threshold == "median"):
        check_number(
            threshold, "threshold, unless 'median',", least=_LOWEST, most=_HIGHEST
        )
    folder, files = find_files(
        root, "DEAP", _FILES[source], subjects=subjects, known_subjects=range(1, 33)
    )
    read = _read_preprocessed
    if source == "raw":
        places = [folder.parent / "metadata_csv", folder.parent, folder]
        columns = ("participant_id", "trial", "experiment_id", *_RATINGS)
        table = read_table(places, "participant_ratings.csv", columns)
        read = partial(_read_raw, table=table)
    name_labels = partial(
        _labels, label=label, threshold=threshold, at_threshold=at_threshold
    )
    read = partial(read, name_labels=name_labels, baseline=bool(baseline))
    return read_all(files, read, on_error, window_seconds, stride_seconds)


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


def _describe(subject, session):
    return {"dataset": "DEAP", "subject": f"{subject:02d}", "session": str(session)}


def _make_trials(videos, ratings, name_labels):
    """Return what is known of the trials of a subject.

    Parameters
    ----------
    videos : sequence of int
        The video of each trial.
    ratings : ndarray of shape (n_trials, 4)
        Valence, arousal, dominance, liking.
    name_labels : callable
        Takes the ratings and returns the label of each trial.

    Returns
    -------
    DataFrame
    """
    names = [f"{video:02d}" for video in videos]
    columns = {"trial": names, "stimulus": names, "label": name_labels(ratings)}
    return pd.DataFrame(columns | dict(zip(_RATINGS, ratings.T, strict=True)))


# Preprocessed data ---------------------------------------------------------------


def _read_preprocessed(path, subject, session, *, name_labels, baseline):
    if path.suffix.lower() == ".mat":
        shape = list_variables(path, needed=("data", "labels"))["data"]
        (ratings,) = read_variables(path, ["labels"])
    else:
        content = _open_python(path, samples=False)
        shape, ratings = content["data"].shape, content["labels"]
    n_before = round(_BASELINE_SECONDS * _PREPROCESSED_SFREQ)
    expected = (_N_VIDEOS, _N_PREPROCESSED_CHANNELS, None)
    check_shape("data", shape, expected, more_than=n_before)
    check_shape("labels", ratings.shape, (_N_VIDEOS, len(_RATINGS)))
    videos = range(1, _N_VIDEOS + 1)
    trials = _make_trials(videos, ratings.astype(float), name_labels)
    return join_trials(
        path,
        _read_data,
        [shape[2]] * _N_VIDEOS,
        trials.to_dict("records"),
        # The seconds before a video stay in the recording, in no trial.
        n_before=0 if baseline else n_before,
        ch_names=_CHANNELS,
        sfreq=_PREPROCESSED_SFREQ,
        **_describe(subject, session),
    )


def _read_data(path):
    if path.suffix.lower() == ".mat":
        return next(read_variables(path, ["data"]))
    return _open_python(path, samples=True)["data"]


def _open_python(path, samples):
    content = read_pickle(path, samples=samples)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(name), np.ndarray) for name in ("data", "labels")
    ):
        is_dict = isinstance(content, dict)
        raise ValueError(
            "expected a dict with the arrays 'data' and 'labels', found "
            f"{list_some(content) if is_dict else type(content).__name__}"
        )
    return content


# Raw recordings ------------------------------------------------------------------


def _read_raw(path, subject, session, *, table, name_labels, baseline):
    header = read_bdf_header(path)
    places = header.find(_CHANNELS)
    rows = _look_up(table, subject)
    starts, stops = _find_videos(path, header, subject, len(rows))
    if baseline:
        starts = starts - _BASELINE_SECONDS
    if starts[0] < 0:
        raise ValueError(
            f"it has no {_BASELINE_SECONDS} s before the first video; use "
            "baseline=False"
        )
    ratings = rows[_RATINGS].to_numpy(float)
    trials = _make_trials(rows["experiment_id"], ratings, name_labels).assign(
        start=starts,
        stop=stops,
        play_order=rows["trial"].to_numpy(),
        familiarity=pd.to_numeric(rows["familiarity"], errors="coerce").to_numpy(),
    )
    whose = _describe(subject, session)
    return make_bdf_recording(path, header, places, _CHANNELS, trials=trials, **whose)


def _find_videos(path, header, subject, n_videos):
    """Return starts and stops, in seconds, of the videos in the order of play."""
    offset = _OFFSET if subject >= _FIRST_WITH_OFFSET else 0
    counts = []
    for place, label in enumerate(header.labels):
        if label.upper() not in _STATUS_NAMES:
            continue
        codes = (read_bdf_codes(path, header, place) - offset) % 2**16
        changes = np.flatnonzero(np.diff(codes, prepend=0))
        # The music's starts and ends; others come between.
        changes = changes[np.isin(codes[changes], (_MUSIC, _AFTER))]
        values = np.append(codes[changes], 0)
        starts = np.flatnonzero(values == _MUSIC)
        counts.append(len(starts))
        if len(starts) == n_videos:
            endless = np.flatnonzero(values[starts + 1] != _AFTER)
            if len(endless):
                raise ValueError(
                    f"its video {endless[0] + 1} has a start (code {_MUSIC}) and no "
                    f"end (code {_AFTER})"
                )
            times = changes / header.sfreq(place)
            return times[starts], times[starts + 1]
    if not counts:
        raise ValueError(
            "it has no channel of trigger codes ('Status', or without a name); its "
            f"channels are {list_some(header.labels, 70)}"
        )
    raise ValueError(
        f"participant_ratings.csv has {n_videos} videos of subject {subject:02d}, and "
        f"music starts (code {_MUSIC}) {list_some(counts)} times in it"
    )


def _look_up(table, subject):
    """Return a subject's rows in the order of play."""
    rows = table[table["participant_id"] == subject].sort_values("trial")
    videos = rows["experiment_id"].tolist()
    if not videos or len(set(videos).intersection(range(1, _N_VIDEOS + 1))) < len(rows):
        raise ValueError(
            f"participant_ratings.csv has {len(rows)} rows of subject {subject:02d}, "
            f"whose videos must be different numbers from 1 to {_N_VIDEOS}: "
            f"{list_some(videos, _N_VIDEOS)}"
        )
    rows = rows.astype({"trial": int, "experiment_id": int})
    return rows if "familiarity" in rows else rows.assign(familiarity=np.nan)
