"""FACED in its openly licensed form (BIDS), which anybody may download."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from .._io._signals import naming
from .._validation import check_option, list_some, warn
from ._bdf import UNITS_KNOWN_TO_MNE, make_bdf_recording, read_bdf_header
from ._download import PUBLIC_DATASETS, fetch_files
from ._emotions import common_word
from ._faced import CHANNELS, EMOTION_OF, ONSET_FROM, SCORES, trial_columns
from ._open_tables import (
    check_subjects,
    read_tsv,
    to_numbers,
    unit_by_amplitude,
)
from ._reading import MICROVOLT, read_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import PathLike
    from ..windows._windows import EEGWindows

_SUBJECTS = tuple(f"{number:03d}" for number in range(123))
_COLUMNS = {name: name.capitalize() for name in SCORES}  # their names in the tables
_CUT_SECONDS = 30.0  # what the authors' processed files keep of each clip
_RATE_TOLERANCE = 1e-3  # onsets are rounded to milliseconds
_UNIT_SECONDS = 10.0  # of signal, from which the unit is judged
_NEUTRAL = "\\"  # what the tables write for it


def fetch_faced(
    data_home: PathLike | None = None,
    subjects: int | str | Sequence[int | str] | None = None,
    download: bool = True,
    *,
    part: Literal["whole", "last30"] = "whole",
    window_seconds: float = 5.0,
    stride_seconds: float = 2.0,
    on_error: Literal["raise", "skip"] = "raise",
    base_url: str | None = None,
    progress: bool = True,
) -> EEGWindows:
    """Load FACED: 123 subjects, 28 clips, nine emotions, downloading what is missing.

    Whole recordings in the form of BIDS.  `read_faced` reads the two forms of the
    original release: the same subjects, clips, labels and ratings.

    Parameters
    ----------
    data_home : path-like, default=None
        Folder whose subfolder ``nm000112`` is looked in first and downloaded to.  None:
        a cache folder of the operating system's choice.
    subjects : int, str or sequence of them, default=None
        Numbers of the subjects, 0 to 122, or their names, "000" to "122", in the order
        wanted.  None: all, or with ``download=False`` all that are present.
    download : bool, default=True
        Fetch missing files from NEMAR: 33.7 GB in all, 60 to 590 MB a subject.
    part : {"whole", "last30"}, default="whole"
        Of each clip.  "last30": its last 30 seconds, as in the authors' processed
        files.  Clips last 34 to 129 seconds, up to 8 seconds longer for one subject
        than for another.
    window_seconds : float, default=5.0
        Length of a window in seconds.
    stride_seconds : float, default=2.0
        Step between windows of a clip in seconds.
    on_error : {"raise", "skip"}, default="raise"
        What a file that cannot be read does.  "skip" leaves it out with one warning
        that names all such files; for that, all files are read to their end at once.
    base_url : str, default=None
        Another address to download from, for a mirror.
    progress : bool, default=True
        Say the size before a download, and show a progress bar, on standard error.

    Returns
    -------
    EEGWindows
        Windows in volts of the 30 scalp channels, at 250 or 1000 Hz: dataset "FACED",
        subjects "000" to "122", session "1"; trial and stimulus are the clip's number,
        "01" to "28".  Labels are words of `EMOTIONS`; FACED's own word is in the column
        ``emotion``, and ``play_order`` is 1 for the clip that a subject saw first, and
        ``onset_from`` says what onsets count from.  The
        subject's ratings of the clip, 0 to 7, are columns: ``joy``, ``tenderness``,
        ``inspiration``, ``amusement``, ``anger``, ``disgust``, ``fear``, ``sadness``,
        ``arousal``, ``valence``, ``familiarity``, ``liking``.

    Raises
    ------
    ValueError
        If a subject is unknown, or a file is damaged or contradicts the others.
    FileNotFoundError
        With ``download=False``, if a subject that was asked for lacks a file, or
        nobody is present.
    OSError
        If a download fails for good.

    See Also
    --------
    read_faced : Read the original release.
    fetch_open_emotion : This and two other openly licensed datasets together.

    Notes
    -----
    Files are looked for in `data_home`, then in the folder that the environment
    variable ``SKLEARN_MDJPT_DATA`` names, then in the cache.  Each download is checked
    against a digest, and goes on where it was cut off.  The address of NEMAR's server
    is that of its documentation and could not be tried; ``base_url`` takes another.

    Channels of the ears and eyes (A1, A2, HEOR, HEOL) are typed EEG in the files, and
    are dropped.  T3, T4, T5 and T6 are named T7, T8, P7 and P8.  Where a file names no
    unit (33 subjects), its samples are volts or microvolts, whichever gives
    amplitudes that EEG can have.

    An onset counts from the beginning of the clip, with ``part="last30"`` from 30
    seconds before its end: a window of one is never paired with a window of the other.

    Licence of the data: CC BY 4.0.  Cite both references when you use them.

    References
    ----------
    Chen J, Wang X, Huang C, Hu X, Shen X, Zhang D. A large finer-grained affective
    computing EEG dataset. Scientific Data 2023;10:740,
    doi:10.1038/s41597-023-02650-w.

    FACED in BIDS 1.0.1, NEMAR, doi:10.82901/nemar.nm000112.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import fetch_faced
    >>> X = fetch_faced(subjects=[0, 1])  # doctest: +SKIP
    """
    check_option(part, tuple(ONSET_FROM), "part")
    check_option(on_error, ("raise", "skip"), "on_error")
    signals, tables = _find_files(
        subjects,
        data_home=data_home,
        download=download,
        base_url=base_url,
        progress=progress,
    )
    return read_all(
        signals,
        partial(_read_subject, tables=tables, part=part),
        on_error,
        window_seconds,
        stride_seconds,
    )


def _find_files(subjects, **where):
    """Find the files of each subject, as `fetch_faced` does.

    Returns
    -------
    signals, tables : dict of tuple of str to Path
        The recording and the table of events, by (subject,).
    """
    paths = wanted_files(subjects)
    found = fetch_files(
        PUBLIC_DATASETS["FACED"],
        paths,
        required=subjects is not None,
        **where,
    )
    return tuple(
        {(name,): files[paths[name][k]] for name, files in found.items()}
        for k in range(2)
    )


def wanted_files(subjects):
    """Return the recording and the table of events of each subject that is wanted.

    Returns
    -------
    dict of str to list of str
        Paths in the dataset.
    """
    stem = "sub-{0}/eeg/sub-{0}_task-watchingVideoClips_{1}"
    return {
        name: [stem.format(name, end) for end in ("eeg.bdf", "events.tsv")]
        for name in check_subjects(subjects, _SUBJECTS, "FACED")
    }


def faced_trials(path, part="whole"):
    """Read the clips of a subject from the table of events.

    Parameters
    ----------
    path : Path
        ``*_events.tsv``.
    part : {"whole", "last30"}, default="whole"
        Of each clip.

    Returns
    -------
    list of dict
        In the order in which the subject saw the clips: start and stop in seconds,
        "rate", the sampling rate that the onset goes by, and the columns that
        `fetch_faced` names.
    """
    table = read_tsv(
        path,
        ["onset", "duration", "sample", "emotion_label", "video_index"]
        + list(_COLUMNS.values()),
    )
    # Other rows are codes of the amplifier.
    table = table[table["video_index"].notna()].copy()
    for column in ("onset", "duration", "sample", "video_index", *_COLUMNS.values()):
        table[column] = to_numbers(table[column])
    table = table.sort_values("onset")
    videos = table["video_index"].tolist()
    if sorted(videos) != sorted(EMOTION_OF):
        raise ValueError(
            f"expected the clips 1 to {len(EMOTION_OF)}, each once; found "
            f"{list_some(f'{video:g}' for video in sorted(videos)) or 'none'}"
        )
    trials = []
    for order, row in enumerate(table.to_dict("records"), 1):
        video = int(row["video_index"])
        emotion = EMOTION_OF[video]
        word = str(row["emotion_label"]).strip().lower()
        if word != (_NEUTRAL if emotion == "neutral" else emotion):
            raise ValueError(
                f"clip {video} has the emotion {row['emotion_label']!r}, expected "
                f"{emotion!r}"
            )
        stop = row["onset"] + row["duration"]
        if part == "last30" and row["duration"] < _CUT_SECONDS:
            raise ValueError(
                f"clip {video} lasts {row['duration']:g} s, expected at least "
                f"{_CUT_SECONDS:g} s"
            )
        trials.append(
            {
                "start": row["onset"] if part == "whole" else stop - _CUT_SECONDS,
                "stop": stop,
                "rate": row["sample"] / row["onset"],
                "play_order": order,
                **trial_columns(
                    video,
                    common_word(emotion),
                    {name: row[column] for name, column in _COLUMNS.items()},
                    part,
                ),
            }
        )
    return trials


def _read_subject(path, subject, *, tables, part):
    """Make the recording of one subject."""
    with naming(tables[subject,]):
        trials = faced_trials(tables[subject,], part)
    with naming(path):
        header = read_bdf_header(path)
        places = header.find(CHANNELS)
        labels = tuple(header.labels[place] for place in places)
        named = all(header.units[place] in UNITS_KNOWN_TO_MNE for place in places)
        factor = _volts(path, labels, trials, named)
        n_times, sfreq = header.n_times(places[0]), header.sfreq(places[0])
        rates = [trial.pop("rate") for trial in trials]
        if not np.allclose(rates, sfreq, rtol=_RATE_TOLERANCE):
            raise ValueError(
                f"its rate is {sfreq:g} Hz, and the onsets in the table go by "
                f"{np.median(rates):.5g} Hz"
            )
        late = [t["trial"] for t in trials if t["stop"] > n_times / sfreq]
        if late:
            raise ValueError(
                f"the clips {list_some(late)} end after the recording, which lasts "
                f"{n_times / sfreq:g} s"
            )
    return make_bdf_recording(
        path,
        header,
        places,
        CHANNELS,
        factors=factor,
        dataset="FACED",
        subject=subject,
        session="1",
        trials=trials,
    )


def _volts(path, labels, trials, named):
    """Return what makes volts of the numbers that MNE reads.

    One of the two amplifiers is said to have written volts under another unit: a unit
    is believed only where it gives an amplitude that EEG can have.
    """
    import mne

    raw = mne.io.read_raw_bdf(path, include=list(labels), verbose="error")
    clip = trials[len(trials) // 2]
    first = round((clip["start"] + clip["stop"]) / 2 * raw.info["sfreq"])
    last = first + round(_UNIT_SECONDS * raw.info["sfreq"])
    if first >= raw.n_times:
        first, last = 0, None
    samples = raw.get_data(start=first, stop=last)
    # Without a known unit MNE takes numbers for volts.
    factor = unit_by_amplitude(samples, (1.0, MICROVOLT, 1 / MICROVOLT))
    if named and factor != 1:
        warn(
            f"{str(path)!r} names a unit that EEG cannot have: its samples are "
            f"multiplied by {factor:g}."
        )
    return factor
