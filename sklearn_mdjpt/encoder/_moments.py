"""Moments of windows: seconds from the trial's start, or their order in the trial.

Seconds and counts are never compared.  Where onsets are known for some people only, the
order of the others' windows tells when these were if they have as many; else they are
paired among themselves.
"""

import numpy as np
import pandas as pd

from .._grouping import combine_groups
from .._validation import join_ids, list_some, warn


def number_windows(windows, columns):
    """Count the windows without onsets in the order of time.

    Parameters
    ----------
    windows : EEGWindows
        Their places in the array that they came in count, not their order in X:
        windows that were shuffled or taken out since change nothing.
    columns : DataFrame
        Who saw what, with a column ``trial``.

    Returns
    -------
    runs : ndarray of int, shape (n_windows,)
        The run of each window: one subject, session, stimulus and trial.
    order : ndarray of float, shape (n_windows,)
        From 0.  NaN in a session with onsets: where some of them are missing, the
        windows' place is not known.
    """
    n = len(columns)
    if columns["onset"].notna().all():
        return np.zeros(n, int), np.full(n, np.nan)
    names = ["dataset", "subject", "session"]
    sessions = combine_groups(n, *(columns[name].to_numpy(object) for name in names))
    names = ["trial", "stimulus"]
    runs = combine_groups(
        n, sessions, *(columns[k].to_numpy(object) for k in names), windows._seconds()
    )
    order = windows._number_within(runs).astype(float)
    timed = columns["onset"].notna().groupby(sessions).transform("any")
    return runs, np.where(timed, np.nan, order)


def find_moments(columns, datasets):
    """Return the moment of each window, and warn of doubtful moments.

    Parameters
    ----------
    columns : DataFrame
        As `pair_columns` returns it.
    datasets : ndarray of str, shape (n_windows,)
        Within which windows are paired.

    Returns
    -------
    moments : ndarray of float, shape (n_windows,)
        Seconds, or numbers of order; NaN where neither is known.
    counted : ndarray of bool, shape (n_windows,)
        Which of them are numbers of order.
    """
    table = columns[["subject", "stimulus", "onset", "order", "run"]].assign(
        dataset=datasets, who=_names(datasets, columns["subject"])
    )
    table = table[table["subject"].notna() & table["stimulus"].notna()]
    table["shown"] = table.groupby(["dataset", "stimulus"], sort=False).ngroup()
    _warn_of_other_units(table[table["onset"].notna()])
    if table["onset"].notna().all():
        return columns["onset"].to_numpy(), np.zeros(len(columns), bool)
    borrowed = _borrow_onsets(table)
    table["onset"] = table["onset"].fillna(borrowed)
    counted = table["onset"].isna() & table["order"].notna()
    table["moment"] = table["onset"].where(~counted, table["order"])
    _warn_of_mixed(table.assign(counted=counted), borrowed)
    _warn_of_uneven(table[counted])
    moments = table["moment"].reindex(columns.index).to_numpy(dtype=float)
    return moments, counted.reindex(columns.index, fill_value=False).to_numpy()


def _borrow_onsets(table):
    """Give runs without onsets the onsets of runs with as many windows of a stimulus.

    This needs one run that has all known moments of the stimulus: then the n-th of as
    many windows is taken for the n-th moment.
    """
    borrowed = pd.Series(np.nan, table.index)
    timed = table["onset"].notna()
    share = timed.groupby(table["shown"]).mean()
    for shown in share.index[(share > 0) & (share < 1)]:
        part = table[table["shown"] == shown]
        ms = (part["onset"].dropna() * 1000).round()
        moments = np.sort(ms.unique()) / 1000
        complete = ms.groupby(part["run"]).nunique().max() == len(moments)
        n_windows = 1 + part["order"].groupby(part["run"]).transform("max")
        can = part["order"].notna() & (n_windows == len(moments)) & complete
        borrowed[can.index[can]] = moments[part["order"][can].astype(int)]
    return borrowed


def _warn_of_mixed(table, borrowed):
    """Warn of subjects that are paired by order, or not at all."""
    by_stimulus = table.groupby("shown")
    several = by_stimulus["subject"].transform("nunique") > 1
    mixed = several & (by_stimulus["counted"].transform("nunique") > 1)
    alike = table.groupby(["shown", "counted"])["subject"].transform("nunique")
    unknown = several & table["moment"].isna()
    said = [
        (
            borrowed.notna(),
            "are taken for the moments of those with onsets, by their order: they are "
            "as many of each stimulus",
        ),
        (
            mixed & table["counted"] & (alike > 1),
            "are paired by their order, and with each other only",
        ),
        (
            unknown | (mixed & (alike == 1)),
            "are not paired: numbers of order cannot be compared with seconds",
        ),
    ]
    said = [
        f"{rows.sum()} windows of {_who(table[rows])} {what}."
        for rows, what in said
        if rows.any()
    ]
    if said:
        warn(
            f"Onsets are known for some windows only. {' '.join(said)} Pass the onsets "
            "of all (onset=, onsets=)."
        )


def _warn_of_uneven(table):
    """Warn where numbers of order may stand for different moments."""
    sizes = 1 + table.groupby(["shown", "who", "run"], sort=False)["order"].max()
    sizes = sizes.reset_index(name="n")
    several = sizes.groupby("shown")["n"].nunique() > 1
    uneven = sizes[sizes["shown"].map(several).astype(bool)]
    if len(uneven):
        examples = uneven[uneven["shown"] == uneven["shown"].iloc[0]]
        examples = examples.drop_duplicates(["n", "who"]).drop_duplicates("n")
        first = table.loc[table["shown"] == uneven["shown"].iloc[0], "stimulus"]
        sizes = (f"{n:.0f} of {who}" for n, who in examples[["n", "who"]].to_numpy())
        warn(
            "Onsets are not known, and the order of windows stands in; but "
            f"{several.sum()} stimuli have more windows for some subjects than for "
            "others, so that order may pair different moments (of stimulus "
            f"{first.iloc[0]!r}: {list_some(sizes)}). Pass onsets=."
        )


def _warn_of_other_units(table):
    """Warn of onsets that no other subject has: perhaps milliseconds or samples."""
    people = table.groupby("shown")["subject"].transform("nunique")
    table = table[(people > 1) & (table["onset"] != 0)]
    ms = (table["onset"] * 1000).round()
    shared = table.groupby([table["shown"], ms])["subject"].transform("nunique") > 1
    by_subject = shared.groupby(table["who"], sort=False)
    odd = by_subject.size().index[~by_subject.any() & (by_subject.size() > 1)]
    if len(odd):
        onsets = table.groupby("who")["onset"]
        spans = [
            f"{who} ({onsets.min()[who]:g} to {onsets.max()[who]:g} s)" for who in odd
        ]
        warn(
            "Subjects who share stimuli with others, but no moment after the start: "
            f"{list_some(spans)}. Onsets have to be seconds from the trial's start, "
            "for all of them."
        )


def _names(datasets, subjects):
    """Return "dataset/subject" for each window."""
    codes = combine_groups(len(datasets), datasets, subjects.to_numpy(dtype=object))
    first = np.unique(codes, return_index=True)[1]
    names = [join_ids(datasets[k], subjects.iloc[k]) for k in first]
    return np.array(names, dtype=object)[codes]


def _who(table):
    stimuli = list_some(map(repr, table["stimulus"].unique()), 4)
    return f"{list_some(table['who'].unique())} (stimuli {stimuli})"
