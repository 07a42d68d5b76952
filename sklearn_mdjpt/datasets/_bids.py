"""BIDS: EEG datasets of any study in the common form, read through mne-bids.

`find_bids` reads the tables of events first, and for all files: it finds what was asked
for, or the error says what is there.  Signals are decoded later.
"""

from __future__ import annotations

import json
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._io._signals import DecodedSignal, naming
from .._validation import (
    as_id,
    check_installed,
    check_number,
    check_option,
    list_some,
    warn,
)
from ..windows._edf_gaps import refuse_gaps
from ..windows._marks import annotation_marks, join_marks
from ..windows._mne import info_positions, pick_good_eeg, warn_of_no_scalp
from ..windows._recording import Recording
from ..windows._trials import describe_overlap
from ._bids_events import (
    NamingRule,
    bids_path,
    choose_trials,
    describe_trials,
    read_events,
    spell_whole_numbers,
    table_marks,
)
from ._reading import check_root, contents, read_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .._typing import PathLike
    from ..windows._windows import EEGWindows

# Onsets that are so many times the length of a recording may be in another unit.
_FAR = 10
_EXTENSIONS = (".vhdr", ".edf", ".bdf", ".set")


def read_bids(
    root: PathLike,
    *,
    subjects: str | Sequence[str] | None = None,
    sessions: str | Sequence[str] | None = None,
    tasks: str | Sequence[str] | None = None,
    trial_types: str | Sequence[str] | None = None,
    label: str | Mapping[str, Any] | Callable[..., Any] | None = "trial_type",
    stimulus: str | Mapping[str, Any] | Callable[..., Any] | None = None,
    duration: float | None = None,
    dataset: str | None = None,
    on_ch_mismatch: Literal["raise", "reorder", "rename"] = "raise",
    window_seconds: float = 5.0,
    stride_seconds: float = 2.0,
    on_error: Literal["raise", "skip"] = "raise",
) -> EEGWindows:
    """Read the EEG of a BIDS dataset; trials are events of its ``events.tsv``.

    Opening reads headers and tables, no samples.  Samples are decoded when windows are
    read, and kept as long as there is room.  Needs mne-bids:
    ``pip install "sklearn_mdjpt[bids]"``.

    Parameters
    ----------
    root : path-like
        The folder of the dataset, which holds ``sub-01`` and the like.
    subjects, sessions, tasks : str or sequence of str, default=None
        Names of the subjects (in the order wanted), sessions and tasks, with or
        without "sub-", "ses-", "task-".  None: all that are there.
    trial_types : str or sequence of str, default=None
        Which events are trials, by the column ``trial_type``.  None: all that have a
        duration and are no marks.
    label, stimulus : str, dict, callable or None, default="trial_type", None
        Rules that name the label and the stimulus of a trial.  A str is a column of
        ``events.tsv``, whose text is the name.  A dict has a name, or None, for each
        ``trial_type``.  A callable gets the event's row (a Series with numbers where a
        column holds nothing else) and returns the name or None.  None: trials have no
        name.  Two subjects' stimuli must have one name exactly when they saw one clip.
        A callable finds ``pd.NA`` in cells that hold nothing.  A rule that needs such
        a cell gives no name, with a warning; ``pd.isna(event["valence"])`` asks for
        it.  A callable with two arguments gets the table of all events of the
        recording as well, for names that stand in another row; its index has
        ``event.name``.
    duration : float, default=None
        Length in seconds of trials whose event has none (n/a or 0).
    dataset : str, default=None
        Name of the dataset.  None: that in ``dataset_description.json``, or the
        folder's where that is missing or blank.
    on_ch_mismatch : {"raise", "reorder", "rename"}, default="raise"
        What happens where ``channels.tsv`` names other channels than the file:
        ``mne_bids.read_raw_bids`` explains it.
    window_seconds : float, default=5.0
        Length of a window in seconds.
    stride_seconds : float, default=2.0
        Step between windows of a trial in seconds.
    on_error : {"raise", "skip"}, default="raise"
        What happens to a recording that cannot be read, or whose events cannot be
        read.  "skip" leaves it out, with one warning that names all such files.  To
        find them, it reads all files to their end at once.

    Returns
    -------
    EEGWindows
        Windows in volts of the channels that ``channels.tsv`` has as EEG and does not
        call bad.  Events without an onset are left out, with a warning.
        A trial is named by its task, its run and the event's row in
        ``events.tsv``, "task-film_run-1_3", whatever else is read.  Further columns are
        ``task``, ``run`` and those of ``events.tsv`` (ratings) but for ``sample`` and
        names that windows have for something else.  Events that are marks, as for
        `Recording.from_raw`, and those in the recording's own file are its bad spans
        and cuts; an event that `trial_types` asks for is a trial, whatever its name.

    Raises
    ------
    ValueError
        If no event is a trial, one that was asked for does not occur or has no
        duration, trials overlap or lie outside the recording, a column or a
        `trial_type` in a dict is missing, a file is damaged (with its name), or a
        recording is there in two formats.
    FileNotFoundError
        If no recording is found, a subject, session or task that was asked for is not
        there, or no ``events.tsv`` goes with a recording.
    ImportError
        If mne-bids is not installed.

    See Also
    --------
    Recording.from_raw : For recordings whose trials are in no table.

    Notes
    -----
    Files in ``sub-*/eeg`` and ``sub-*/ses-*/eeg`` are read: BrainVision, EDF, BDF and
    EEGLAB.  Those in ``derivatives`` are not; give that folder's dataset as `root`.
    Tables higher up count for what is below, as BIDS has it.  Without a
    ``channels.tsv``, the file itself says which channels are EEG.

    ``participants.tsv`` is not read: age and sex are properties of subjects, and lie in
    no column of the windows.

    Where the task is spelled in two ways, and no table of events has the name of a
    recording, one is taken whose name differs in capitals only, with a warning.
    Channels typed EEG that lie at the ears or eyes by their names are kept, with a
    warning.

    Onsets that lie beyond the recording, most of them, and would not if they were
    samples or milliseconds, are an error that says so.
    An event that ends after the recording is cut there, with a warning if it is by
    more than a sample.  One that lies wholly outside is left out, with a warning; one
    that begins before the recording is an error, as its windows would count from the
    wrong moment.

    Cells may stand in double quotes.  Where a column holds nothing but whole numbers,
    in all recordings, "7.0" is "7", unless there are leading zeros.

    References
    ----------
    Pernet CR, Appelhoff S, Gorgolewski KJ, et al. EEG-BIDS, an extension to the brain
    imaging data structure for electroencephalography. Scientific Data 2019;6:103,
    doi:10.1038/s41597-019-0104-8.

    Appelhoff S, Sanderson M, Brooks TL, et al. MNE-BIDS: Organizing
    electrophysiological data into the BIDS format and facilitating their analysis.
    Journal of Open Source Software 2019;4(44):1896, doi:10.21105/joss.01896.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import read_bids
    >>> X = read_bids(
    ...     "ds004", tasks="film", stimulus="stim_file", duration=60.0,
    ...     trial_types=["joy", "fear"])  # doctest: +SKIP
    >>> X = read_bids(
    ...     "ds004", stimulus="stim_file", label=lambda event: (
    ...         "high" if event["valence"] > 5 else "low"))  # doctest: +SKIP

    Events without a rating have no label then.  Where a clip's number stands in the
    row after the one in which it begins:

    >>> X = read_bids(
    ...     "ds005", trial_types="begin", stimulus=lambda event, events: (
    ...         events["value"].get(event.name + 1)))  # doctest: +SKIP
    """
    check_option(on_error, ("raise", "skip"), "on_error")
    files, read, problems = find_bids(
        root,
        label=label,
        stimulus=stimulus,
        trial_types=trial_types,
        duration=duration,
        dataset=dataset,
        on_ch_mismatch=on_ch_mismatch,
        on_error=on_error,
        subjects=subjects,
        sessions=sessions,
        tasks=tasks,
    )
    return read_all(
        files,
        read,
        on_error=on_error,
        window_seconds=window_seconds,
        stride_seconds=stride_seconds,
        problems=problems.values(),
    )


def find_bids(
    root,
    *,
    label,
    stimulus,
    dataset,
    on_error,
    trial_types=None,
    duration=None,
    on_ch_mismatch="raise",
    **wanted,
):
    """Find the recordings of a BIDS dataset and their trials, and read no signal.

    Parameters
    ----------
    root, label, stimulus, dataset, on_error, trial_types, duration, on_ch_mismatch
        As for `read_bids`.
    **wanted
        ``subjects``, ``sessions`` and ``tasks``, as for `read_bids`.

    Returns
    -------
    files : dict of (str, str or None, str) to Path
        Those that have trials, by subject, session and name.
    read : callable
        Takes the path, subject, session and name, and returns a `Recording`.
    problems : dict of (str, str or None, str) to str
        What is wrong with the files that are left out; empty with
        ``on_error="raise"``.
    """
    check_option(on_ch_mismatch, ("raise", "reorder", "rename"), "on_ch_mismatch")
    check_number(duration, "duration", none=True, above=0)
    label, stimulus = NamingRule(label, "label"), NamingRule(stimulus, "stimulus")
    check_installed("mne_bids", "read_bids", 'pip install "sklearn_mdjpt[bids]"')
    root = check_root(root, "the folder of a BIDS dataset, which holds 'sub-01', ...")
    files = _find(root, **wanted)
    trial_types = _names(trial_types, "trial_types")
    formats = {path.with_suffix(""): path for path in reversed(files.values())}
    problems = {}
    each = partial(_each, on_error=on_error, problems=problems)
    events = each(lambda key: _read_only_format(files[key], formats), files)
    spell_whole_numbers(events.values())
    seconds = choose_trials(events, trial_types, duration, files)
    trials = each(
        lambda key: describe_trials(
            files[key], events[key], seconds[key], label, stimulus
        ),
        seconds,
    )
    for rule in (label, stimulus):
        rule.warn_of_nameless(sum(map(len, trials.values())))
    # What is chosen as a trial is no mark, whatever its name.
    marks = {key: table_marks(events[key].drop(seconds[key].index)) for key in trials}
    read = partial(
        _read,
        trials=trials,
        marks=marks,
        labels=trial_types or (),
        dataset=_dataset_name(root) if dataset is None else dataset,
        on_ch_mismatch=on_ch_mismatch,
    )
    return {key: files[key] for key in trials}, read, problems


def _each(function, keys, *, on_error, problems):
    """Return what a function makes of each recording; note what is wrong with others.

    Raises
    ------
    ValueError
        If the function fails for every recording, or with ``on_error="raise"`` for one.
    """
    made = {}
    for key in keys:
        try:
            made[key] = function(key)
        except (OSError, ValueError) as error:
            if on_error == "raise":
                raise
            problems[key] = str(error)
    if not made:
        reason = next(iter(problems.values()))
        raise ValueError(f"None of {len(problems)} recordings can be read. {reason}")
    return made


def _names(values, name, prefix=""):
    """Return the names that are wanted, without doubles; None where all are."""
    if values is None:
        return None
    if isinstance(values, str) or not np.iterable(values):
        values = [values]
    names = [str(as_id(value)).removeprefix(prefix) for value in values]
    if not names:
        raise ValueError(f"{name} is empty: expected a name or several, or None.")
    return list(dict.fromkeys(names))


def _dataset_name(root):
    """Return the name in ``dataset_description.json``, or else the folder's."""
    path = root / "dataset_description.json"
    name = None
    if path.is_file():
        with naming(path):
            description = json.loads(path.read_text(encoding="utf-8-sig"))
            name = as_id(description.get("Name"))
    # mne-bids writes "[Unspecified]" where it was told no name.
    return root.resolve().name if name in (None, "[Unspecified]") else name


# Files ---------------------------------------------------------------------------


def _find(root, *, subjects=None, sessions=None, tasks=None):
    """Return the recording of each subject, session and name that is wanted."""
    wanted = {
        "task": _names(tasks, "tasks", "task-"),
        "session": _names(sessions, "sessions", "ses-"),
        "subject": _names(subjects, "subjects", "sub-"),
    }
    wanted = {entity: names for entity, names in wanted.items() if names is not None}
    found = {
        path: bids_path(path)
        for folder in ("sub-*/eeg", "sub-*/ses-*/eeg")
        # Some systems leave hidden files beside others: "._sub-01_task-film_eeg.edf".
        for path in root.glob(f"{folder}/[!.]*_eeg.*")
        if path.suffix.lower() in _EXTENSIONS
    }
    if not found:
        raise FileNotFoundError(
            f"No EEG recording in {str(root)!r}: looked for sub-01/eeg/*_eeg and "
            f"sub-01/ses-01/eeg/*_eeg with {list_some(_EXTENSIONS)}; it holds "
            f"{contents(root)}."
        )
    for entity, names in wanted.items():
        there = {getattr(entities, entity) for entities in found.values()} - {None}
        absent = [name for name in names if name not in there]
        if absent:
            others = [
                f"{other}s {list_some(chosen)}"
                for other, chosen in wanted.items()
                if other != entity
            ]
            of = f" of {' and '.join(others)}" if others else ""
            raise FileNotFoundError(
                f"No EEG recording of {entity} {list_some(absent)} in {str(root)!r}: "
                f"the {entity}s{of} there are {list_some(sorted(there)) or 'none'}."
            )
        found = {
            path: entities
            for path, entities in found.items()
            if getattr(entities, entity) in names
        }
    files = {
        (entities.subject, entities.session, path.name): path
        for path, entities in found.items()
    }
    # First by name, a missing session before others, then as subjects were asked for.
    keys = sorted(files, key=lambda key: [part or "" for part in key])
    place = {subject: k for k, subject in enumerate(wanted.get("subject", ()))}
    return {
        key: files[key] for key in sorted(keys, key=lambda key: place.get(key[0], 0))
    }


def _read_only_format(path, formats):
    """Return the events; raise if the recording is there in another format as well."""
    first = formats[path.with_suffix("")]
    if first != path:
        raise ValueError(
            f"{str(path)!r} is the recording {first.name!r} in another format, by its "
            "name; move one of them away."
        )
    return read_events(path)


# Signals -------------------------------------------------------------------------


def _open(path, on_ch_mismatch):
    """Return the `mne.io.Raw` of a recording, with what its tables say."""
    from mne_bids import read_raw_bids

    raw = read_raw_bids(bids_path(path), on_ch_mismatch=on_ch_mismatch, verbose="error")
    refuse_gaps(raw)
    return raw


def _read(
    path, subject, session, name, *, trials, marks, labels, dataset, on_ch_mismatch
):
    """Return a recording, whose samples are decoded when they are needed."""
    key = subject, session, name
    raw = _open(path, on_ch_mismatch)
    cuts, bad_spans = join_marks(marks[key], _file_marks(path, labels))
    picks = pick_good_eeg(raw)
    ch_names = [raw.ch_names[pick] for pick in picks]
    warn_of_no_scalp(ch_names, f" of {path.name}")
    sfreq = raw.info["sfreq"]
    table = _fit_in(trials[key], raw.n_times / sfreq, sfreq, path)
    return Recording(
        DecodedSignal(
            path,
            (len(picks), raw.n_times),
            partial(_decode, ch_names=ch_names, on_ch_mismatch=on_ch_mismatch),
        ),
        ch_names,
        sfreq,
        dataset=dataset,
        subject=subject,
        session=session,
        trials=table,
        positions=info_positions(raw.info)[picks],
        bad_spans=bad_spans,
        cuts=[cut for cut in cuts if cut < raw.n_times / sfreq],
    )


def _file_marks(path, labels):
    """Return the marks in a recording's own file, but for events that are labels.

    mne-bids puts the events of the table in the place of the file's annotations.
    """
    import mne

    with warnings.catch_warnings():
        # What MNE says of this file it has said when mne-bids opened it.
        warnings.simplefilter("ignore")
        raw = mne.io.read_raw(path, verbose="error")
    keep = [text not in labels for text in raw.annotations.description]
    raw.set_annotations(raw.annotations[np.flatnonzero(keep)], verbose="error")
    return annotation_marks(raw)


def _decode(path, ch_names, on_ch_mismatch):
    """Return the samples (n_channels, n_times) of channels in volts."""
    import mne

    raw = _open(path, on_ch_mismatch)
    return raw.get_data(picks=mne.pick_channels(raw.ch_names, ch_names, ordered=True))


def _fit_in(trials, end, sfreq, path):
    """Return the trials that lie inside, cut at the recording's end.

    Raises
    ------
    ValueError
        If all trials lie outside of the recording, or most, and onsets in another unit
        would lie inside; or if two trials overlap.
    """
    outside = (trials["start"] >= end) | (trials["stop"] <= 0)
    late = trials["start"] >= end
    latest = trials["start"].max()
    if late.mean() > 0.5 and latest > _FAR * end:
        units = {f"samples at {sfreq:g} Hz": sfreq, "milliseconds": 1000.0}
        fitting = [unit for unit, rate in units.items() if latest / rate < end]
        if fitting:
            raise ValueError(
                f"{late.sum()} of {len(trials)} trials begin after the end of the "
                f"recording, at {end:g} s, the last one at {latest:g}: the recording "
                "is cut short, or the onsets are no seconds; they would fit as "
                f"{' or '.join(fitting)}"
            )
    if outside.all():
        raise ValueError(
            f"none of {len(trials)} trials lies inside the recording: the first, from "
            f"{trials['start'].iloc[0]:g} to {trials['stop'].iloc[0]:g} s, does not "
            f"lie inside its {end:g} s"
        )
    if outside.any():
        warn(
            f"{str(path)!r}: {outside.sum()} of {len(trials)} trials lie outside the "
            f"recording of {end:g} s and are left out (events "
            f"{list_some(trials.index[outside])})."
        )
        trials = trials[~outside]
    overlap = describe_overlap(trials.rename(index="event {}".format), sfreq)
    if overlap:
        raise ValueError(
            f"its trials overlap: {overlap}; choose with trial_types=, or check "
            "duration="
        )
    late = trials[trials["stop"] > end + 1 / sfreq]
    if len(late):
        warn(
            f"{str(path)!r}: {len(late)} trials end after the recording of {end:g} s "
            f"and are cut there (events {list_some(late.index)})."
        )
    return trials.assign(stop=trials["stop"].clip(upper=end))
