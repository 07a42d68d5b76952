"""DENS: 40 people, 128 electrodes, clips of 60 seconds, openly licensed."""

from __future__ import annotations

import ast
import re
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from .._io._signals import DecodedSignal, naming
from .._validation import check_option, list_some, warn
from ..windows._marks import annotation_marks
from ..windows._mne import info_positions
from ..windows._recording import Recording
from ._download import PUBLIC_DATASETS, fetch_files
from ._open_tables import check_subjects, read_tsv, to_numbers
from ._reading import MICROVOLT, read_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import PathLike
    from ..windows._windows import EEGWindows

_DATASET = PUBLIC_DATASETS["DENS"]
# Numbers of the files in one order; there is a subject "mitb2017007".
_SUBJECTS = tuple(
    dict.fromkeys(
        path.split("/")[0].removeprefix("sub-")
        for path in sorted(_DATASET.manifest)
        if path.endswith("_events.tsv")
    )
)
_SFREQ = 250.0
_CLIP_SECONDS = 60.0
_N_ELECTRODES = 128
_NET = "GSN-HydroCel-128"
_SAMPLE_BYTES = 4
_CLIP_ROW, _CLICK_ROW, _END_ROW, _CUT_ROW = "stm", "clic", "vlnc", "boundary"
_IMPEDANCE_ROWS = ("IBEG", "IEND")  # currents flow through the electrodes in between
RATINGS = ("valence", "arousal", "dominance", "liking", "familiarity", "relevance")
_MIDDLE = 5.0  # of the scales of valence and arousal, 1 to 9
# A click's time in the table of ratings, against that in the table of events.
_CLICK_SECONDS = 0.1


def fetch_dens(
    data_home: PathLike | None = None,
    subjects: str | Sequence[str] | None = None,
    download: bool = True,
    *,
    window_seconds: float = 5.0,
    stride_seconds: float = 2.0,
    on_error: Literal["raise", "skip"] = "raise",
    base_url: str | None = None,
    progress: bool = True,
) -> EEGWindows:
    """Load DENS: 40 subjects, 11 clips, 128 electrodes, downloading what is missing.

    Most of the published recordings end before the experiment does: 31 subjects have
    whole clips, 198 of the 432 that the tables name.  Clips that do not lie whole in a
    recording are left out, with one warning.

    Parameters
    ----------
    data_home : path-like, default=None
        Folder whose subfolder ``ds003751`` is looked in first and downloaded to.  None:
        a cache folder of the operating system's choice.
    subjects : str or sequence of str, default=None
        Names as in "mit003", in the order wanted.  None: all who have a signal, or with
        ``download=False`` all that are present.
    download : bool, default=True
        Fetch missing files from OpenNeuro: 4.8 GB in all.
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
        Windows in volts of 128 electrodes of a geodesic net, with the positions of
        GSN-HydroCel-128, at 250 Hz: dataset "DENS", session "1"; trial is its number,
        "01" to "11"; stimulus the clip, such as "12" or "neutral_1".  Labels are words
        of `EMOTIONS`: the quadrant of the subject's own ratings of valence and arousal
        ("HVHA", ...; high from 5 on), "neutral" for the two neutral clips, and None
        where a rating is missing (six subjects have no table).  Ratings are columns:
        ``valence``, ``arousal``, ``dominance`` (1 to 9), ``liking``, ``familiarity``,
        ``relevance`` (1 to 5).  ``categories`` has the words that the subject chose,
        joined by "; ".

    Raises
    ------
    ValueError
        If a subject is unknown or has no signal, a file is damaged, or its tables
        contradict each other.
    FileNotFoundError
        With ``download=False``, if a subject that was asked for lacks a file, or
        nobody is present.
    OSError
        If a download fails for good.

    Warns
    -----
    UserWarning
        If clips are left out; names who loses how many.

    See Also
    --------
    fetch_open_emotion : This and two other openly licensed datasets together.

    Notes
    -----
    Labels do not come from the tables' column ``Quadrant``: it holds nothing but "HVHA"
    and n/a, whatever the ratings.

    The column ``onset`` of the tables counts samples at 250 Hz, though it should be
    seconds.  That clicks agree with the subject's table of ratings is checked for each
    recording.  A clip lasts 60 seconds; one whose first question comes
    earlier has lost samples, and is left out.

    Electrodes of a geodesic net have no names of the 10-20 system:
    ``MDJPTEncoder(unknown_channels="position")`` goes by their positions.  Pauses are
    cuts of the recording, and what is recorded while impedances are measured is a bad
    span.

    Files are looked for in `data_home`, then in the folder that the environment
    variable ``SKLEARN_MDJPT_DATA`` names, then in the cache.  Each download is checked
    against a digest, and goes on where it was cut off.  OpenNeuro's server could not be
    tried; ``base_url`` takes another.

    Licence of the data: CC0 by its description, ODbL by its README.  Cite both
    references when you use them.

    References
    ----------
    Mishra S, Srinivasan N, Tiwary US. Dynamic functional connectivity of emotion
    processing in beta band with naturalistic emotion stimuli. Brain Sciences
    2022;12(8):1106, doi:10.3390/brainsci12081106.

    DENS 1.0.2, OpenNeuro, doi:10.18112/openneuro.ds003751.v1.0.2.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import fetch_dens
    >>> X = fetch_dens(subjects=["mit003"])  # doctest: +SKIP
    """
    check_option(on_error, ("raise", "skip"), "on_error")
    signals, tables = _find_files(
        subjects,
        data_home=data_home,
        download=download,
        base_url=base_url,
        progress=progress,
    )
    lost = {}
    windows = read_all(
        signals,
        partial(_read_subject, tables=tables, lost=lost),
        on_error,
        window_seconds,
        stride_seconds,
    )
    if lost:
        who = list_some(f"{name} ({n} of {m})" for name, (n, m) in lost.items())
        warn(f"DENS: recordings end before these clips do, which are left out: {who}.")
    return windows


def _find_files(subjects, **where):
    """Find the files of each subject, as `fetch_dens` does.

    Returns
    -------
    signals : dict of (str,) to Path
        The header (``.set``) of each subject's recording.
    tables : dict of str to (Path, Path or None)
        Tables of events and of ratings.
    """
    found = fetch_files(
        _DATASET, wanted_files(subjects), required=subjects is not None, **where
    )
    paths = {name: _paths(name) for name in found}
    signals = {(name,): files[paths[name][0]] for name, files in found.items()}
    tables = {
        name: (files[paths[name][2]], files.get(paths[name][3]))
        for name, files in found.items()
    }
    return signals, tables


def wanted_files(subjects):
    """Return the files of each subject that is wanted and has a signal.

    Returns
    -------
    dict of str to list of str
        Paths in the dataset.
    """
    wanted = check_subjects(subjects, _SUBJECTS, "DENS")
    silent = [
        name for name in wanted if f"{_stem(name)}_eeg.fdt" not in _DATASET.manifest
    ]
    if silent and subjects is not None:
        raise ValueError(
            f"No signals of {list_some(silent)} were published, only tables."
        )
    return {
        name: [path for path in _paths(name) if path in _DATASET.manifest]
        for name in wanted
        if name not in silent
    }


def _paths(name):
    """Return the paths of header, samples, events and ratings; some have no ratings."""
    # The task is spelt in two ways.
    return [
        f"{_stem(name)}_eeg.set",
        f"{_stem(name)}_eeg.fdt",
        f"{_stem(name, 'emotion')}_events.tsv",
        f"sub-{name}/beh/sub-{name}_task-Emotion_beh.tsv",
    ]


def _stem(name, task="Emotion"):
    return f"sub-{name}/eeg/sub-{name}_task-{task}"


# Tables ---------------------------------------------------------------------------


def dens_trials(events_path, ratings_path=None):
    """Read the clips of a subject from the tables of events and of ratings.

    Parameters
    ----------
    events_path : Path
        ``*_events.tsv``.
    ratings_path : Path, default=None
        ``*_beh.tsv``, where the subject has one.

    Returns
    -------
    trials : list of dict
        start and stop in seconds, the columns that `fetch_dens` names, and "lossy":
        whether samples were lost while the clip was shown.
    spans : list of (float, float)
        Seconds in which impedances were measured.
    cuts : list of float
        Seconds at which the recording was paused.
    """
    with naming(events_path):
        events = read_tsv(events_path, ["onset", "trial_type", "label"])
        events["seconds"] = to_numbers(events["onset"]) / _SFREQ
        events = events.sort_values("seconds", kind="stable").reset_index(drop=True)
        kinds, seconds = events["trial_type"], events["seconds"]
        clips = [_one_clip(events, place) for place in events.index[kinds == _CLIP_ROW]]
        if not clips:
            raise ValueError(f"it has no row of the type {_CLIP_ROW!r}")
        if sum(clip["lossy"] for clip in clips) > len(clips) / 2:
            raise ValueError(
                f"most clips are shorter than {_CLIP_SECONDS:g} s, if the column onset "
                f"counts samples at {_SFREQ:g} Hz, as the published table does"
            )
    if ratings_path is not None:
        with naming(ratings_path):
            _add_ratings(clips, read_tsv(ratings_path, ["stimuliName", *RATINGS]))
    for clip in clips:
        del clip["click"]
    marks = events[kinds.isin(_IMPEDANCE_ROWS)]
    # A begin is ended by the next mark, if that is an end.
    follows = marks["trial_type"].shift(-1) == _IMPEDANCE_ROWS[1]
    begins = marks["trial_type"] == _IMPEDANCE_ROWS[0]
    ends = marks["seconds"].shift(-1)
    whole = begins & follows
    spans = list(zip(marks["seconds"][whole], ends[whole], strict=True))
    return clips, spans, seconds[kinds == _CUT_ROW].tolist()


def _one_clip(events, place):
    """Return the trial that begins in a row; its label is ``<clip>_<number>``."""
    label, start = events["label"][place], events["seconds"][place]
    match = re.fullmatch(r"(.+)_(\d+)", str(label))
    if match is None:
        raise ValueError(f"the label {label!r} is not a clip, '_' and a number")
    stimulus = match[1]
    later = events.loc[place + 1 :]
    questions, clicks = (
        later["seconds"][later["trial_type"] == kind] - start
        for kind in (_END_ROW, _CLICK_ROW)
    )
    return {
        "start": start,
        "stop": start + _CLIP_SECONDS,
        "trial": f"{int(match[2]):02d}",
        "stimulus": stimulus,
        "label": "neutral" if stimulus.startswith("neutral") else None,
        "click": min(clicks[clicks < _CLIP_SECONDS], default=None),
        # The first question comes 60.5 s after the clip has begun: where it comes
        # earlier, samples were lost on the way, and what was seen when is not known.
        "lossy": bool((questions[:1] < _CLIP_SECONDS).any()),
    }


def _add_ratings(clips, table):
    """Write the ratings of each clip to it; a row of the table is a trial."""
    for name in RATINGS:
        table[name] = to_numbers(table[name])
    first = min(int(clip["trial"]) for clip in clips)  # 27 for one subject
    for clip in clips:
        row = int(clip["trial"]) - first
        if row >= len(table):  # the table ends early
            continue
        row = table.iloc[row]
        stimulus = re.sub(r"\.\w+$", "", str(row["stimuliName"]))
        if stimulus != clip["stimulus"]:
            raise ValueError(
                f"trial {clip['trial']} is clip {stimulus!r} there, and "
                f"{clip['stimulus']!r} in the table of events"
            )
        clip |= {name: row[name] for name in RATINGS}
        if clip["label"] is None:
            clip["label"] = _quadrant(row["valence"], row["arousal"])
        clip["categories"] = _words(row.get("emotionCateg"))
        _check_click(clip, row.get("MouseClick"))


def _quadrant(valence, arousal):
    """Return the quadrant of two ratings, None where one is missing.

    A rating in the middle counts as high, as in `read_deap`.

    The table's own column "Quadrant" holds nothing but "HVHA" and n/a, for valences
    from 1 to 9: it says no more than that the subject clicked.
    """
    if np.isnan([valence, arousal]).any():
        return None
    valence, arousal = ("LH"[int(x >= _MIDDLE)] for x in (valence, arousal))
    return f"{valence}V{arousal}A"


def _words(text):
    """Return the chosen words of a cell that holds a dict in Python's notation."""
    if pd.isna(text):
        return None
    chosen = ast.literal_eval(text)
    words = [word.split(":")[0] for values in chosen.values() for word in values]
    return "; ".join(filter(None, map(str.strip, words))) or None


def _check_click(clip, text):
    """Raise if the first click is not where the table of events has it."""
    times = [] if pd.isna(text) else ast.literal_eval(text)
    if not times or clip["click"] is None or clip["lossy"]:
        return
    if abs(times[0] - clip["click"]) > _CLICK_SECONDS:
        raise ValueError(
            f"the first click of trial {clip['trial']} comes {times[0]:.1f} s after "
            f"its begin, and {clip['click']:.1f} s by the table of events, if its "
            f"onsets are samples at {_SFREQ:g} Hz"
        )


# Signals --------------------------------------------------------------------------


def whole_clips(trials, n_times):
    """Return the trials that lie whole within the samples that are there."""
    return [
        {name: value for name, value in trial.items() if name != "lossy"}
        for trial in trials
        if not trial["lossy"] and round(trial["stop"] * _SFREQ) <= n_times
    ]


def _read_subject(path, subject, *, tables, lost):
    """Make the recording of one subject; note the clips that are lost."""
    import mne

    trials, spans, cuts = dens_trials(*tables[subject])
    with naming(path):
        raw = mne.io.read_raw_eeglab(path, verbose="error")
        if raw.info["sfreq"] != _SFREQ:
            raise ValueError(f"its rate is {raw.info['sfreq']:g} Hz, not {_SFREQ:g} Hz")
        picks = _pick_electrodes(raw)
        n_channels = len(raw.ch_names)
        samples = path.with_suffix(".fdt")
        # Most files end early; a sample that is there in part counts as missing.
        n_there = samples.stat().st_size // (_SAMPLE_BYTES * n_channels)
        n_times = min(raw.n_times, n_there)
        whole = whole_clips(trials, n_times)
        if len(whole) < len(trials):
            lost[subject] = len(trials) - len(whole), len(trials)
        if not whole:
            return None
        end = n_times / _SFREQ
        marks = annotation_marks(raw)
        names = [raw.ch_names[k] for k in picks]
        return Recording(
            DecodedSignal(
                samples,
                (len(picks), n_times),
                partial(_decode, n_channels=n_channels, n_times=n_times, picks=picks),
            ),
            names,
            _SFREQ,
            dataset="DENS",
            subject=subject,
            session="1",
            trials=whole,
            positions=_net_positions(names),
            bad_spans=[s for s in (*spans, *marks.bad_spans) if s[0] < end],
            cuts=[cut for cut in (*cuts, *marks.cuts) if 0 < cut < end],
        )


def _pick_electrodes(raw):
    """Return the places of the net's electrodes among all channels."""
    numbers = [re.fullmatch(r"E?0*(\d+)", name) for name in raw.ch_names]
    picks = [k for k, m in enumerate(numbers) if m and 1 <= int(m[1]) <= _N_ELECTRODES]
    if len(picks) != _N_ELECTRODES:
        raise ValueError(
            f"expected the electrodes E1 to E{_N_ELECTRODES}, found {len(picks)} of "
            f"them among {list_some(raw.ch_names)}"
        )
    return picks


def _net_positions(names):
    """Return the electrode positions of the net, in head coordinates.

    Those of the file are not used: EEGLAB's files have no nasion and no ears, and the
    ones that MNE makes up for them put this net 3 to 4 cm too low.
    """
    import mne

    names = [f"E{int(name.removeprefix('E'))}" for name in names]
    net = mne.create_info(names, _SFREQ, "eeg").set_montage(_NET)
    return info_positions(net)


def _decode(path, n_channels, n_times, picks):
    """Return the electrodes' samples in volts."""
    samples = np.memmap(path, "<f4", "r", shape=(n_times, n_channels))
    return MICROVOLT * np.ascontiguousarray(samples.T[picks])
