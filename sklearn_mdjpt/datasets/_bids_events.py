"""BIDS: events of the tables become trials with labels and stimuli, and marks.

`read_events` reads one table.  What follows needs the tables of all recordings, since
how a name is spelled in one of them depends on the others.
"""

import csv
import inspect
import re
from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd

from .._io._signals import naming
from .._validation import list_some, strip_cells, warn
from ..windows._marks import is_mark, make_marks

# Cells of a table that hold nothing: in BIDS' words, and as pandas and R write it.
_NOTHING = ["n/a", "N/A", "", "nan", "NaN", "NAN"]
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.0+)?")
_TIMES = ("onset", "duration")
# Columns that windows have from elsewhere, and columns that say when, not what.
_NOT_KEPT = {
    "onset", "duration", "sample", "start", "stop", "dataset", "subject", "session",
    "task", "run", "trial", "stimulus", "label",
}  # fmt: skip


def bids_path(path):
    """Return the `BIDSPath` of a recording; raise if its name is not one of BIDS."""
    from mne_bids import get_bids_path_from_fname

    with naming(path):
        return get_bids_path_from_fname(path, check=False, verbose="error")


# Tables of events ----------------------------------------------------------------


def read_events(path):
    """Return the events of a recording.

    Parameters
    ----------
    path : Path
        The recording.

    Returns
    -------
    DataFrame
        Texts, None where a cell holds nothing.  The index counts rows from 1.
        ``onset`` and ``duration`` are in seconds, NaN where unknown.

    Raises
    ------
    FileNotFoundError
        If no ``events.tsv`` goes with the recording.
    ValueError
        If the table is damaged, has no onsets, or has times that are no numbers.
    """
    with naming(path):
        sidecar = bids_path(path).find_matching_sidecar(
            suffix="events", extension=".tsv", on_error="ignore"
        )
    if sidecar is None:
        sidecar = _find_other_spelling(path)
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
        for name in _TIMES:
            table[name] = _seconds(table[name])
    return table


def _find_other_spelling(path):
    """Return the table whose name differs in capitals only, with a warning."""
    name = f"{path.stem.removesuffix('eeg')}events.tsv"
    for other in sorted(path.parent.glob("*_events.tsv")):
        if other.name.casefold() == name.casefold():
            warn(
                f"The events of {path.name!r} are taken from {other.name!r}, whose "
                "name differs in capitals only."
            )
            return other
    return None


def _unquoted(text):
    """Take off the quotes that other programs put around cells."""
    inner = text.strip()
    if len(inner) > 1 and inner[0] == inner[-1] == '"':
        return inner[1:-1].replace('""', '"')
    return text


def _seconds(texts):
    seconds = pd.to_numeric(texts, errors="coerce").astype(float)
    wrong = ~np.isfinite(seconds) & texts.notna()
    if wrong.any():
        row = wrong.idxmax()
        raise ValueError(
            f"event {row} has the {texts.name} {texts[row]!r}, expected seconds"
        )
    return seconds


def spell_whole_numbers(tables):
    """Spell whole numbers without a point, where a column holds nothing else.

    Programs often write them as floats in a table in which one is missing: "7.0" would
    be another clip than the "7" of the next subject.  A number with leading zeros is a
    code, and its column stays as it is.
    """
    for name in {name for table in tables for name in table}.difference(_TIMES):
        having = [table for table in tables if name in table]
        texts = {text for table in having for text in table[name].dropna()}
        if all(map(_WHOLE_NUMBER.fullmatch, texts)):
            for table in having:
                spelled = [text and text.partition(".")[0] for text in table[name]]
                table[name] = pd.Series(spelled, table.index, object)


# Which events are trials ---------------------------------------------------------


def choose_trials(events, trial_types, duration, paths):
    """Choose the events that are trials.

    Parameters
    ----------
    events : dict of object to DataFrame
        As of `read_events`, by recording.
    trial_types : list of str or None
        Which events are trials.  None: all that have a duration and are no marks.
    duration : float or None
        Length in seconds of trials whose event has none.
    paths : dict of object to Path
        The recordings, for messages.

    Returns
    -------
    dict of object to Series
        The seconds that each trial lasts, by row of the events, of each recording that
        has trials.  Events without an onset, and recordings without trials, are left
        out with a warning.
    """
    columns = [_column(table, "trial_type") for table in events.values()]
    types = {text for column in columns for text in column.dropna()}
    there = f"the events have {list_some(sorted(types)) or 'none'}"
    absent = [name for name in trial_types or () if name not in types]
    if absent:
        raise ValueError(
            f"No event has the trial_type {list_some(map(repr, absent))}; {there}."
        )
    chosen, unplaced, without = {}, [], []
    for key, table in events.items():
        seconds = _trial_seconds(table, trial_types, duration, paths[key])
        placed = table["onset"][seconds.index].notna()
        unplaced += [_place(paths[key], row) for row in seconds.index[~placed]]
        if placed.any():
            chosen[key] = seconds[placed]
        else:
            without.append(paths[key].name)
    if not chosen:
        raise ValueError(
            f"No event of {len(events)} recordings is a trial: none has an onset and a "
            f"duration. Pass duration=, in seconds, and trial_types=; {there}."
        )
    if unplaced:
        warn(
            f"{len(unplaced)} events have no onset and are left out: "
            f"{list_some(unplaced)}."
        )
    if without:
        warn(
            f"{len(without)} of {len(events)} recordings have no trial and are left "
            f"out: {list_some(without)}."
        )
    return chosen


def _trial_seconds(table, trial_types, duration, path):
    """Return the seconds that each trial lasts, be its onset known or not."""
    seconds = table["duration"].fillna(0.0)
    if duration is not None:
        seconds = seconds.where(seconds > 0, float(duration))
    if trial_types is None:
        marks = [is_mark(text) for text in _descriptions(table)]
        return seconds[(seconds > 0) & ~np.array(marks, bool)]
    types = _column(table, "trial_type")
    types = types[types.isin(trial_types)]
    seconds = seconds[types.index]
    lacking = seconds <= 0
    if lacking.any():
        raise ValueError(
            f"{lacking.sum()} of {len(types)} trials of {str(path)!r} "
            f"({list_some(types[lacking].unique())}) have no duration in events.tsv; "
            "pass duration=, in seconds."
        )
    return seconds


def _column(table, name):
    return table.get(name, pd.Series(None, table.index, object))


def _descriptions(table):
    """Return what each event is: its ``trial_type``, else its ``value``."""
    types = _column(table, "trial_type")
    return types.where(types.notna(), _column(table, "value"))


def _place(path, row):
    return f"event {row} of {path.name}"


def table_marks(table):
    """Return the marks among the events that are no trials."""
    return make_marks(_descriptions(table), table["onset"], table["duration"])


# What trials are -----------------------------------------------------------------


def describe_trials(path, table, seconds, label, stimulus):
    """Return the table of a recording's trials.

    Parameters
    ----------
    path : Path
        The recording.
    table : DataFrame
        As of `read_events`.
    seconds : Series
        As of `choose_trials`.
    label, stimulus : NamingRule
        They name the trials.

    Returns
    -------
    DataFrame
        As `Recording` takes it, with the events' rows as index.
    """
    rows = table.loc[seconds.index]
    events = pd.DataFrame({name: _as_numbers(table[name]) for name in table})
    numbers = events.loc[seconds.index]
    # What is left of a file's name without sub-, ses- and eeg: task, run, ...
    parts = path.stem.split("_")[:-1]
    name = "_".join(part for part in parts if not part.startswith(("sub-", "ses-")))
    trials = pd.DataFrame(
        {
            "trial": [f"{name}_{row}" for row in rows.index],
            "start": rows["onset"],
            "stop": rows["onset"] + seconds,
            "stimulus": stimulus.names(path, rows, events),
            "label": label.names(path, rows, events),
        },
        index=rows.index,
    )
    entities = bids_path(path)
    for entity in ("task", "run"):
        if getattr(entities, entity) is not None:
            trials[entity] = getattr(entities, entity)
    kept = [column for column in numbers if column not in _NOT_KEPT]
    return trials.join(numbers[kept])


def _as_numbers(column):
    """Return a column as numbers if it holds nothing else, but for ``trial_type``."""
    if column.name == "trial_type" or column.isna().all():
        return column
    try:
        return pd.to_numeric(column)
    except (TypeError, ValueError):
        return column


class NamingRule:
    """Names trials: gives them their labels, or their stimuli.

    Parameters
    ----------
    rule : str, dict, callable or None
        As for `read_bids`.
    what : {"label", "stimulus"}
        The parameter that the rule is.

    Raises
    ------
    TypeError
        If the rule is none of these.
    """

    def __init__(self, rule, what):
        if not (rule is None or isinstance(rule, str | Mapping) or callable(rule)):
            raise TypeError(
                f"{what} must be a column of events.tsv, a dict from trial_type, a "
                f"callable or None, got {rule!r}."
            )
        self._rule, self._what = rule, what
        # Trials that have no name, as the rule needs cells that hold nothing.
        self._nameless = []

    def names(self, path, rows, events):
        """Return the names of trials, as an object array.

        Parameters
        ----------
        path : Path
            The recording.
        rows : DataFrame
            The trials' events, as texts.
        events : DataFrame
            All events, with numbers where a column holds nothing else.
        """
        names = np.empty(len(rows), object)
        rule, what = self._rule, self._what
        if rule is None:
            return names
        if callable(rule):
            events = events.astype(object).where(events.notna(), pd.NA)
            if _takes_table(rule):
                rule = partial(_with_table, rule, events)
            for k, (row, event) in enumerate(events.loc[rows.index].iterrows()):
                try:
                    names[k] = _name(rule, event)
                except _NeedsMissing:
                    self._nameless.append(_place(path, row))
            return names
        column = rule if isinstance(rule, str) else "trial_type"
        if column not in rows:
            raise ValueError(
                f"The events of {str(path)!r} have no column {column!r} for {what}=, "
                f"but {list_some(rows.columns)}. With {what}=None there is none."
            )
        names[:] = rows[column]
        if isinstance(rule, str):
            return names
        unknown = sorted({repr(name) for name in names if name not in rule})
        if unknown:
            raise ValueError(
                f"{what}= has no name for the trial_type {list_some(unknown)} of "
                f"{str(path)!r}, only for {list_some(map(repr, rule))}. Map it to "
                "None, or choose trials with trial_types=."
            )
        names[:] = [rule[name] for name in names]
        return names

    def warn_of_nameless(self, n_trials):
        """Warn if trials have no name as the rule needs cells that hold nothing."""
        if self._nameless:
            warn(
                f"{len(self._nameless)} of {n_trials} trials have no {self._what}: the "
                f"rule of {self._what}= needs cells that hold nothing (n/a): "
                f"{list_some(self._nameless)}. A rule can ask for them with "
                "pd.isna(event[...])."
            )


def _takes_table(rule):
    """Whether a rule has a second argument without a default, for the table."""
    try:
        parameters = inspect.signature(rule).parameters.values()
    except (TypeError, ValueError):  # of some functions in C
        return False
    positional = [p for p in parameters if p.kind <= p.POSITIONAL_OR_KEYWORD]
    return sum(p.default is p.empty for p in positional) == 2


def _with_table(rule, events, event):
    return rule(event, events)


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
