"""BIDS: EEG datasets of any study in the common form, read through mne-bids.

Trials come from the tables of events, which are read first and for all files: what was
asked for is found, or the error says what is there.  Signals are decoded later.
"""

from __future__ import annotations

import csv
import json
import re
import warnings
from collections.abc import Mapping
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .._io._signals import DecodedSignal, naming
from .._validation import (
    as_id,
    check_installed,
    check_option,
    list_some,
    strip_cells,
)
from ..windows._edf_gaps import refuse_gaps
from ..windows._marks import annotation_marks, is_mark, join_marks, make_marks
from ..windows._mne import info_positions, pick_good_eeg
from ..windows._recording import Recording
from ..windows._trials import describe_overlap
from ._reading import check_root, contents, read_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._typing import PathLike
    from ..windows._windows import EEGWindows

# Cells of a table that hold nothing: in BIDS' words, and as pandas and R write it.
_NOTHING = ["n/a", "N/A", "", "nan", "NaN", "NAN"]
_EXTENSIONS = (".vhdr", ".edf", ".bdf", ".set")
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.0+)?")
# What windows know from elsewhere, and what says when rather than what.
_NOT_KEPT = {
    "onset", "duration", "sample", "start", "stop", "dataset", "subject", "session",
    "task", "run", "trial", "stimulus", "label",
}  # fmt: skip


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

    Opening reads headers and tables, no samples: they are decoded when windows are
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
        What labels and stimuli are.  A str is a column of ``events.tsv``, whose text
        is taken.  A dict has a name, or None, for each ``trial_type``.  A callable gets
        the event's row (a Series with numbers where a column holds nothing else) and
        returns the name or None.  None: there is none.  A stimulus is to be equal
        across subjects exactly when the clip is.  What is missing stays missing: a
        callable finds ``pd.NA`` in cells that hold nothing, and a rule that needs such
        a cell gives no name, with a warning; ``pd.isna(event["valence"])`` asks.
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
        What a recording that cannot be read, or whose events cannot, does.  "skip"
        leaves it out with one warning that names all such files; for that, all files
        are read to their end at once.

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

    Events without a rating have no label then.
    """
    check_option(on_ch_mismatch, ("raise", "reorder", "rename"), "on_ch_mismatch")
    check_option(on_error, ("raise", "skip"), "on_error")
    for rule, name in ((label, "label"), (stimulus, "stimulus")):
        if not (rule is None or isinstance(rule, str | Mapping) or callable(rule)):
            raise TypeError(
                f"{name} must be a column of events.tsv, a dict from trial_type, a "
                f"callable or None, got {rule!r}."
            )
    if duration is not None and (
        not isinstance(duration, Real) or not 0 < duration < np.inf
    ):
        raise ValueError(f"duration must be positive, in seconds, got {duration!r}.")
    files, read, problems = find_bids(
        root,
        subjects=subjects,
        sessions=sessions,
        tasks=tasks,
        trial_types=trial_types,
        label=label,
        stimulus=stimulus,
        duration=duration,
        dataset=dataset,
        on_ch_mismatch=on_ch_mismatch,
        on_error=on_error,
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
    subjects=None,
    sessions=None,
    tasks=None,
    trial_types=None,
    label="trial_type",
    stimulus=None,
    duration=None,
    dataset=None,
    on_ch_mismatch="raise",
    on_error="raise",
):
    """Find the recordings of a BIDS dataset and their trials, and read no signal.

    Parameters
    ----------
    root, subjects, sessions, tasks, trial_types, label, stimulus, duration, dataset, \
on_ch_mismatch, on_error
        As for `read_bids`.

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
    check_installed("mne_bids", "read_bids", 'pip install "sklearn_mdjpt[bids]"')
    root = check_root(root, "the folder of a BIDS dataset, which holds 'sub-01', ...")
    files = _find(
        root,
        {
            "task": _wanted(tasks, "tasks", "task-"),
            "session": _wanted(sessions, "sessions", "ses-"),
            "subject": _wanted(subjects, "subjects", "sub-"),
        },
    )
    problems = {}

    def each(function, keys):
        """Return what a function makes of each file; note those that it fails for."""
        made = {}
        for key in keys:
            try:
                made[files[key]] = function(files[key])
            except (OSError, ValueError) as error:
                if on_error == "raise":
                    raise
                problems[key] = str(error)
        return made

    formats = {}
    for path in files.values():
        formats.setdefault(path.with_suffix(""), path)
    each(partial(_only_format, formats=formats), files)
    events = each(_read_events, [key for key in files if key not in problems])
    _check_any(events, problems, len(files))
    _spell_whole_numbers(events)
    trial_types = _wanted(trial_types, "trial_types")
    chosen = _choose(events, trial_types, duration)
    needy = {"label": [], "stimulus": []}
    trials = each(
        lambda path: _describe(
            path, events[path], chosen[path], label, stimulus, needy
        ),
        [key for key, path in files.items() if path in chosen],
    )
    _check_any(trials, problems, len(files))
    n_trials = sum(map(len, trials.values()))
    for name, places in needy.items():
        if places:
            warnings.warn(
                f"{len(places)} of {n_trials} trials have no {name}: the rule of "
                f"{name}= needs cells that hold nothing (n/a): {list_some(places)}. A "
                "rule can ask for them with pd.isna(event[...]).",
                stacklevel=3,
            )
    read = partial(
        _read,
        trials=trials,
        marks={
            path: _table_marks(events[path].drop(chosen[path].index)) for path in trials
        },
        labels=trial_types or (),
        dataset=_dataset_name(root) if dataset is None else dataset,
        on_ch_mismatch=on_ch_mismatch,
    )
    return {k: path for k, path in files.items() if path in trials}, read, problems


def _wanted(values, name, prefix=""):
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
    path = root / "dataset_description.json"
    name = None
    if path.is_file():
        with naming(path):
            description = json.loads(path.read_text(encoding="utf-8-sig"))
            name = as_id(description.get("Name"))
    # The second is what mne-bids writes where it was told no name.
    return root.resolve().name if name in (None, "[Unspecified]") else name


# Files ---------------------------------------------------------------------------


def _entities(path):
    from mne_bids import get_entities_from_fname

    with naming(path):
        return get_entities_from_fname(path.name)


def _bids_path(path):
    from mne_bids import get_bids_path_from_fname

    return get_bids_path_from_fname(path, check=False, verbose="error")


def _find(root, wanted):
    """Return the recording of each subject, session and name that is wanted."""
    found = {}
    for folder in ("sub-*/eeg", "sub-*/ses-*/eeg"):
        # Some systems leave hidden files beside others: "._sub-01_task-film_eeg.edf".
        for path in root.glob(f"{folder}/[!.]*_eeg.*"):
            if path.suffix.lower() in _EXTENSIONS:
                found[path] = _entities(path)
    if not found:
        raise FileNotFoundError(
            f"No EEG recording in {str(root)!r}: looked for sub-01/eeg/*_eeg and "
            f"sub-01/ses-01/eeg/*_eeg with {list_some(_EXTENSIONS)}; it holds "
            f"{contents(root)}."
        )
    for entity, names in wanted.items():
        if names is None:
            continue
        there = {entities[entity] for entities in found.values()} - {None}
        absent = [name for name in names if name not in there]
        if absent:
            others = [
                f"{other}s {list_some(chosen)}"
                for other, chosen in wanted.items()
                if chosen is not None and other != entity
            ]
            of = f" of {' and '.join(others)}" if others else ""
            raise FileNotFoundError(
                f"No EEG recording of {entity} {list_some(absent)} in {str(root)!r}: "
                f"the {entity}s{of} there are {list_some(sorted(there)) or 'none'}."
            )
        found = {
            path: entities
            for path, entities in found.items()
            if entities[entity] in names
        }
    order = wanted["subject"]
    keys = {
        path: (entities["subject"], entities["session"], path.name)
        for path, entities in found.items()
    }

    def place(path):
        subject, session, name = keys[path]
        return order.index(subject) if order else subject, session or "", name

    return {keys[path]: path for path in sorted(found, key=place)}


def _only_format(path, formats):
    """Raise if a recording lies in its folder in another format as well."""
    first = formats[path.with_suffix("")]
    if first != path:
        raise ValueError(
            f"{str(path)!r} is the recording {first.name!r} in another format, by its "
            "name; move one of them away."
        )


def _check_any(readable, problems, n_files):
    if not readable:
        raise ValueError(
            f"None of {n_files} recordings can be read. {next(iter(problems.values()))}"
        )


# Events --------------------------------------------------------------------------


def _read_events(path):
    """Return the events of a recording as texts, None where there is nothing.

    The index counts rows from 1; ``onset`` and ``duration`` are in seconds, NaN where
    unknown.
    """
    with naming(path):
        sidecar = _bids_path(path).find_matching_sidecar(
            suffix="events", extension=".tsv", on_error="ignore"
        )
    if sidecar is None:
        raise FileNotFoundError(
            f"No events.tsv goes with {str(path)!r}; expected "
            f"{path.stem.removesuffix('eeg')}events.tsv beside it, or one for several "
            "recordings above. tasks= chooses recordings that have events."
        )
    with naming(sidecar):
        table = pd.read_csv(
            sidecar,
            sep="\t",
            index_col=False,
            dtype=str,
            keep_default_na=False,
            quoting=csv.QUOTE_NONE,
            encoding="utf-8-sig",
        )
        table.columns = [_unquoted(str(name)).strip() for name in table.columns]
        table.index = range(1, len(table) + 1)
        if "onset" not in table:
            raise ValueError(
                f"it has no column 'onset', but {list_some(table.columns) or 'none'}"
            )
        table = strip_cells(table.map(_unquoted).astype(object))
        table = table.where(table.notna() & ~table.isin(_NOTHING), None)
        if "duration" not in table:
            table["duration"] = None
        for name in ("onset", "duration"):
            seconds = pd.to_numeric(table[name], errors="coerce").astype(float)
            wrong = ~np.isfinite(seconds) & table[name].notna()
            if wrong.any():
                row = wrong.idxmax()
                raise ValueError(
                    f"event {row} has the {name} {table[name][row]!r}, expected seconds"
                )
            table[name] = seconds
    return table


def _unquoted(text):
    """Take off the quotes that other programs put around cells."""
    inner = text.strip()
    if len(inner) > 1 and inner[0] == inner[-1] == '"':
        return inner[1:-1].replace('""', '"')
    return text


def _spell_whole_numbers(events):
    """Spell whole numbers without a point, where a column holds nothing else.

    In a table in which one is missing they are often written as floats: "7.0" would be
    another clip than the "7" of the next subject.  What has leading zeros is a code.
    """
    for name in {name for table in events.values() for name in table}:
        columns = [table[name] for table in events.values() if name in table]
        texts = {text for column in columns for text in column.dropna()}
        if not all(isinstance(text, str) for text in texts):
            continue  # onsets and durations, which are numbers
        if all(_WHOLE_NUMBER.fullmatch(text) for text in texts):
            spelling = {text: text.partition(".")[0] for text in texts}
            for table in events.values():
                if name in table:
                    table[name] = table[name].map(spelling).astype(object)
                    table[name] = table[name].where(table[name].notna(), None)


def _choose(events, trial_types, duration):
    """Return the rows that are trials, of each recording that has some."""
    known = sorted(
        {
            text
            for table in events.values()
            if "trial_type" in table
            for text in table["trial_type"].dropna()
        }
    )
    there = f"the events have {list_some(known) or 'none'}"
    absent = [name for name in trial_types or () if name not in known]
    if absent:
        raise ValueError(
            f"No event has the trial_type {list_some(map(repr, absent))}; {there}."
        )
    chosen, unplaced = {}, []
    for path, table in events.items():
        types = table.get("trial_type", pd.Series(None, table.index, dtype=object))
        seconds = table["duration"].fillna(0.0)
        if duration is not None:
            seconds = seconds.where(seconds > 0, float(duration))
        if trial_types is None:
            marks = [is_mark(text) for text in _descriptions(table)]
            is_trial = (seconds > 0) & ~np.array(marks, bool)
        else:
            is_trial = types.isin(trial_types)
            lacking = is_trial & ~(seconds > 0)
            if lacking.any():
                raise ValueError(
                    f"{lacking.sum()} of {is_trial.sum()} trials of {str(path)!r} "
                    f"({list_some(dict.fromkeys(types[lacking]))}) have no duration in "
                    "events.tsv; pass duration=, in seconds."
                )
        placed = table["onset"].notna()
        unplaced += [_place(path, row) for row in table.index[is_trial & ~placed]]
        is_trial &= placed
        if is_trial.any():
            chosen[path] = seconds[is_trial]
    if not chosen:
        raise ValueError(
            f"No event of {len(events)} recordings is a trial: none has an onset and a "
            f"duration. Pass duration=, in seconds, and trial_types=; {there}."
        )
    if unplaced:
        warnings.warn(
            f"{len(unplaced)} events have no onset and are left out: "
            f"{list_some(unplaced)}.",
            stacklevel=3,
        )
    without = [path.name for path in events if path not in chosen]
    if without:
        warnings.warn(
            f"{len(without)} of {len(events)} recordings have no trial and are left "
            f"out: {list_some(without)}.",
            stacklevel=4,
        )
    return chosen


def _descriptions(events):
    """Return what each event is: its ``trial_type``, else its ``value``."""
    texts = pd.Series(None, events.index, dtype=object)
    for name in ("value", "trial_type"):
        if name in events:
            texts = events[name].where(events[name].notna(), texts)
    return texts


def _table_marks(events):
    """Return the marks among the events that are no trials."""
    return make_marks(
        _descriptions(events), events["onset"], events["duration"].astype(float)
    )


def _file_marks(path, labels):
    """Return the marks in a recording's own file, but for events that are labels.

    What mne-bids reads has the events of the table in their place.
    """
    import mne

    with warnings.catch_warnings():
        # The same file has been opened before.
        warnings.simplefilter("ignore")
        raw = mne.io.read_raw(path, verbose="error")
    keep = [text not in labels for text in raw.annotations.description]
    raw.set_annotations(raw.annotations[np.flatnonzero(keep)], verbose="error")
    return annotation_marks(raw)


def _place(path, row):
    return f"event {row} of {path.name}"


def _describe(path, events, seconds, label, stimulus, needy):
    """Return the table of trials, whose lengths are given by row of the events.

    ``needy`` lists where labels and stimuli are missing as a rule needs what is not
    there.
    """
    entities = _entities(path)
    rows = events.loc[seconds.index]
    numbers = pd.DataFrame({name: _as_numbers(events[name]) for name in events})
    numbers = numbers.loc[seconds.index]
    # What is left of a file's name without sub-, ses- and eeg: task, run, ...
    parts = [
        part for part in path.stem.split("_") if not part.startswith(("sub-", "ses-"))
    ]
    name = "_".join(parts[:-1])
    trials = pd.DataFrame(
        {
            "trial": [f"{name}_{row}" for row in rows.index],
            "start": rows["onset"],
            "stop": rows["onset"] + seconds,
            "stimulus": _names(stimulus, "stimulus", rows, numbers, path, needy),
            "label": _names(label, "label", rows, numbers, path, needy),
        },
        index=rows.index,
    )
    for entity in ("task", "run"):
        if entities[entity] is not None:
            trials[entity] = entities[entity]
    for column in numbers:
        if column not in _NOT_KEPT:
            trials[column] = numbers[column]
    return trials


def _as_numbers(column):
    """Return a column as numbers if it holds nothing else, but for ``trial_type``."""
    if column.name == "trial_type" or column.isna().all():
        return column
    try:
        return pd.to_numeric(column)
    except (TypeError, ValueError):
        return column


def _names(rule, what, rows, numbers, path, needy):
    """Return the label or stimulus of each trial, as an object array."""
    names = np.empty(len(rows), object)
    if rule is None:
        return names
    if callable(rule):
        events = numbers.astype(object).where(numbers.notna(), pd.NA)
        for k, (row, event) in enumerate(events.iterrows()):
            try:
                names[k] = _name(rule, event)
            except _NeedsMissing:
                needy[what].append(_place(path, row))
        return names
    column = rule if isinstance(rule, str) else "trial_type"
    if column not in rows:
        raise ValueError(
            f"The events of {str(path)!r} have no column {column!r} for {what}=, but "
            f"{list_some(rows.columns)}. With {what}=None there is none."
        )
    names[:] = rows[column]
    if isinstance(rule, str):
        return names
    unknown = sorted({repr(name) for name in names if name not in rule})
    if unknown:
        raise ValueError(
            f"{what}= has no name for the trial_type {list_some(unknown)} of "
            f"{str(path)!r}, only for {list_some(map(repr, rule))}. Map it to None, or "
            "choose trials with trial_types=."
        )
    names[:] = [rule[name] for name in names]
    return names


class _NeedsMissing(Exception):
    """A rule needs a cell that holds nothing."""


def _name(rule, event):
    """Return what a rule says of an event, None where it says nothing.

    The cells that hold nothing are pd.NA, which neither compares nor counts: a NaN
    would be "not above 5", and None not among the pleasant emotions.
    """
    try:
        name = rule(event)
    except Exception as error:
        if _is_of_missing(error):
            raise _NeedsMissing from error
        raise
    if isinstance(name, np.ndarray) and name.ndim == 0:  # of np.where
        name = name.item()
    if isinstance(name, str) and str(pd.NA) in name.upper():
        raise _NeedsMissing
    return None if np.ndim(name) == 0 and pd.isna(name) else name


def _is_of_missing(error):
    """Whether an error says that pd.NA will not do."""
    if isinstance(error, KeyError):
        return any(key is pd.NA for key in error.args)
    text = str(error)
    return "NAType" in text or "value of NA" in text


# Signals -------------------------------------------------------------------------


def _open(path, on_ch_mismatch):
    from mne_bids import read_raw_bids

    raw = read_raw_bids(
        _bids_path(path), on_ch_mismatch=on_ch_mismatch, verbose="error"
    )
    refuse_gaps(raw)
    return raw


def _read(
    path, subject, session, name, *, trials, marks, labels, dataset, on_ch_mismatch
):
    raw = _open(path, on_ch_mismatch)
    cuts, bad_spans = join_marks(marks[path], _file_marks(path, labels))
    picks = pick_good_eeg(raw)
    ch_names = [raw.ch_names[pick] for pick in picks]
    sfreq = raw.info["sfreq"]
    table = _fit_in(trials[path], raw.n_times / sfreq, sfreq, path)
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


def _decode(path, ch_names, on_ch_mismatch):
    import mne

    raw = _open(path, on_ch_mismatch)
    return raw.get_data(picks=mne.pick_channels(raw.ch_names, ch_names, ordered=True))


def _fit_in(trials, end, sfreq, path):
    """Cut trials at the recording's end; raise where two of them overlap.

    Those that lie wholly outside are left out.
    """
    outside = (trials["start"] >= end) | (trials["stop"] <= 0)
    if outside.all():
        raise ValueError(
            f"none of {len(trials)} trials lies inside the recording: the first, from "
            f"{trials['start'].iloc[0]:g} to {trials['stop'].iloc[0]:g} s, does not "
            f"lie inside its {end:g} s"
        )
    if outside.any():
        warnings.warn(
            f"{str(path)!r}: {outside.sum()} of {len(trials)} trials lie outside the "
            f"recording of {end:g} s and are left out (events "
            f"{list_some(trials.index[outside])}).",
            stacklevel=2,
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
        warnings.warn(
            f"{str(path)!r}: {len(late)} trials end after the recording of {end:g} s "
            f"and are cut there (events {list_some(late.index)}).",
            stacklevel=2,
        )
    return trials.assign(stop=trials["stop"].clip(upper=end))
