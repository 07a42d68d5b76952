"""Tables of trials: checks, numbers, overlaps."""

import difflib

import numpy as np
import pandas as pd

from .._validation import (
    check_ids,
    check_labels,
    join_ids,
    list_some,
    strip_cells,
    warn,
)


def check_trials(trials, duration):
    """Return a table of trials; raise when one lies outside the recording."""
    if trials is None:
        trials = [{"start": 0.0, "stop": duration}]
    if not isinstance(trials, pd.DataFrame):
        rows = list(trials)
        if rows and not isinstance(rows[0], dict):
            names = ("start", "stop", "stimulus", "label")
            too_long = [row for row in rows if len(row) > len(names)]
            if too_long:
                raise ValueError(
                    f"A trial given as a tuple is (start, stop, stimulus, label), got "
                    f"{too_long[0]!r}; pass dicts for further columns."
                )
            rows = [dict(zip(names, row, strict=False)) for row in rows]
        trials = pd.DataFrame(rows)
    trials = strip_cells(trials.reset_index(drop=True).astype(object))
    twice = trials.columns[trials.columns.duplicated()]
    if len(twice):
        raise ValueError(f"Several columns of trials are called {list_some(twice)}.")
    lacking = [name for name in ("start", "stop") if name not in trials]
    if lacking:
        raise ValueError(
            f"trials needs columns 'start' and 'stop' (seconds); it lacks "
            f"{list_some(lacking)} and has {list_some(trials.columns)}."
        )
    reserved = [n for n in ("dataset", "subject", "session", "onset") if n in trials]
    if reserved:
        raise ValueError(
            f"trials may not have columns {list_some(reserved)}: windows get these "
            "from the recording. Drop or rename them."
        )
    for name in ("trial", "stimulus", "label"):
        if name not in trials:
            _warn_of_misspelling(name, trials.columns)
            trials[name] = None
    for name, check in (
        ("trial", check_ids),
        ("stimulus", check_ids),
        ("label", check_labels),
    ):
        column = check(trials[name], len(trials), name)
        trials[name] = pd.Series(column, dtype=object)
    # pandas has NaN where it takes a column for text.
    trials["label"] = trials["label"].where(trials["label"].notna(), None)
    for name in ("start", "stop"):
        trials[name] = trials[name].astype(float)
    # Half a millisecond of grace: starts and stops come from rounded tables.
    wrong = (
        ~(trials["start"] >= 0)
        | ~(trials["stop"] > trials["start"])
        | ~(trials["stop"] <= duration + 5e-4)
    )
    if wrong.any():
        row = trials[wrong].iloc[0]
        raise ValueError(
            f"Trial from {row['start']:g} to {row['stop']:g} s does not lie inside "
            f"the recording of {duration:g} s (start and stop are in seconds)."
        )
    first = ["trial", "start", "stop", "stimulus", "label"]
    return trials[first + [name for name in trials if name not in first]]


def describe_overlap(trials, sfreq):
    """Say which trials overlap by more than a sample; None if there are none.

    Parameters
    ----------
    trials : DataFrame
        With ``start`` and ``stop`` in seconds; its index names them.
    sfreq : float
        Rate in hertz.

    Returns
    -------
    str or None
        The first two, and how many further trials begin within another.
    """
    ordered = trials.sort_values("start", kind="stable")
    starts, stops = ordered["start"].to_numpy(float), ordered["stop"].to_numpy(float)
    # A sample of grace: tables hold rounded seconds.
    grace = (1 + 1e-6) / sfreq
    clash = np.flatnonzero(starts[1:] < np.maximum.accumulate(stops)[:-1] - grace)
    if not len(clash):
        return None
    later = clash[0] + 1
    one, other = (
        f"{ordered.index[k]} ({starts[k]:g} to {stops[k]:g} s"
        f"{_text_of_trial(ordered.iloc[k])})"
        for k in (int(np.argmax(stops[:later])), later)
    )
    further = f", and {len(clash) - 1} further" if len(clash) > 1 else ""
    return f"{one} and {other}{further}"


def _text_of_trial(trial):
    """Say what a trial is, as far as it is known."""
    for name in ("trial_type", "label", "stimulus"):
        text = trial.get(name)
        if text is not None and not pd.isna(text):
            return f", {text}"
    return ""


def _warn_of_misspelling(name, columns):
    """Warn of a column that is nearly called ``name``, where there is none."""
    spelt = {str(column).lower(): column for column in columns}
    for close in difflib.get_close_matches(name, spelt, n=1, cutoff=0.75):
        warn(
            f"trials has no column {name!r}, but one called {str(spelt[close])!r}, "
            "which becomes a column of the metadata only. If it is meant to be "
            f"{name!r}, rename it."
        )


def number_trials(recordings):
    """Fill in missing trial ids; raise when one id names two trials of a session.

    Ids count on over recordings of the same dataset, subject and session, so that
    one recording for each trial works as well as one for the whole session.

    Returns
    -------
    list of list of str
        Trial ids of each recording.
    """
    counts, seen, numbered = {}, set(), []
    for recording in recordings:
        key = (recording.dataset, recording.subject, recording.session)
        ids = []
        for given in recording.trials["trial"]:
            counts[key] = counts.get(key, 0) + 1
            trial = given if given is not None else str(counts[key])
            if (*key, trial) in seen:
                raise ValueError(
                    f"Trial {trial!r} appears twice for dataset {key[0]!r}, subject "
                    f"{key[1]!r}, session {key[2]!r}: trial ids are unique within a "
                    "session."
                )
            seen.add((*key, trial))
            ids.append(trial)
        numbered.append(ids)
    return numbered


def warn_short_trials(n_trials, window_seconds, recordings):
    """Say how many trials were too short to hold a window, and in which recordings."""
    ids = ((r.dataset, r.subject, r.session) for r in recordings)
    names = dict.fromkeys(join_ids(*filter(None, some)) for some in ids)
    names.pop("", None)
    listed = f" (of {list_some(names)})" if names else ""
    warn(
        f"{len(recordings)} of {n_trials} trials{listed} are shorter than a window of "
        f"{window_seconds:g} s and give none."
    )
