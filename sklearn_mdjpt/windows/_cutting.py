"""Ways to make windows: of recordings, of arrays, and of other windows."""

import warnings

import numpy as np
import pandas as pd

from .._grouping import rows_of_groups
from .._identity import IDS, make_up_name, warn_of_unnamed
from .._validation import (
    check_ch_names,
    check_column,
    check_ids,
    check_labels,
    check_number,
    check_numeric,
    check_onsets,
    check_sfreq,
    join_ids,
    list_some,
    strip_cells,
    warn,
)
from ._recording import Recording
from ._stack import WindowStack
from ._trials import number_trials, warn_short_trials

COLUMNS = ("dataset", "subject", "session", "trial", "stimulus", "onset", "label")
"""The columns that the metadata of all windows have."""


def cut_recordings(recordings, window_seconds, stride_seconds):
    """Cut windows from recordings; see `EEGWindows.from_recordings`.

    Returns
    -------
    tuple
        The arguments of `EEGWindows`.
    """
    recordings = _list_recordings(recordings)
    check_number(window_seconds, "window_seconds", above=0)
    check_number(stride_seconds, "stride_seconds", above=0)
    unnamed = make_up_name()
    columns = {name: [] for name in ("trial", "stimulus", "label", "onset")}
    extras, index, starts, lengths, with_short = [], [], [], [], []
    numbered = number_trials(recordings)
    for k, (recording, ids) in enumerate(zip(recordings, numbered, strict=True)):
        length = _window_length(recording, window_seconds)
        lengths.append(length)
        table = recording.trials
        n_times = np.round((table["stop"] - table["start"]) * recording.sfreq)
        with_short += [recording] * int((n_times < length).sum())
        onsets = [
            _onsets(start, stop, recording, length, stride_seconds)
            for start, stop in zip(table["start"], table["stop"], strict=True)
        ]
        rows = np.repeat(np.arange(len(table)), [len(some) for some in onsets])
        onsets = np.concatenate(onsets) if onsets else np.zeros(0)
        begin = table["start"].to_numpy(float)[rows]
        starts.append(_first_samples(begin, onsets, recording, length))
        index.append(np.full(len(rows), k))
        columns["onset"].append(onsets)
        columns["trial"].append(np.array(ids, dtype=object)[rows])
        for name in ("stimulus", "label"):
            columns[name].append(table[name].to_numpy(dtype=object)[rows])
        known = ["trial", "start", "stop", "stimulus", "label"]
        extras.append(table.drop(columns=known).iloc[rows])
    index = np.concatenate(index)
    n_trials = sum(map(len, numbered))
    if not len(index):
        trials = pd.concat([recording.trials for recording in recordings])
        longest = (trials["stop"] - trials["start"]).max()
        raise ValueError(
            f"No window of {window_seconds} s fits into any of {n_trials} trials "
            f"of {len(recordings)} recordings; the longest one has {longest:.3g} s"
            f"{', but bad spans and cuts lie in it' * (len(with_short) < n_trials)}."
        )
    if with_short:
        warn_short_trials(n_trials, window_seconds, with_short)
    metadata = make_metadata(
        len(index),
        dataset=[recordings[k].dataset or unnamed for k in index],
        subject=[recordings[k].subject for k in index],
        session=[recordings[k].session for k in index],
        **{name: np.concatenate(parts) for name, parts in columns.items()},
        extra=pd.concat(extras, ignore_index=True),
    )
    warn_of_unnamed([metadata])
    return recordings, index, np.concatenate(starts), np.array(lengths)[index], metadata


def stack_arrays(X, ch_names, sfreq, positions, columns):
    """Take windows that are already cut; see `EEGWindows.from_arrays`.

    Returns
    -------
    tuple
        The arguments of `EEGWindows`.
    """
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        X = X.astype(float).filled(np.nan)  # which is refused where it is used
    X = X if isinstance(X, np.ndarray) else np.asarray(X)
    if X.ndim != 3:
        raise ValueError(
            f"X must have shape (n_windows, n_channels, n_times), got {X.shape}."
        )
    check_numeric(X, "X")
    sfreq = check_sfreq(sfreq)
    ch_names = check_ch_names(ch_names, X.shape[1])
    metadata = make_metadata(len(X), **columns)
    warn_of_unnamed([metadata])
    keys = list(
        zip(*(metadata[c] for c in ("dataset", "subject", "session")), strict=True)
    )
    codes = pd.factorize(pd.Series(keys, dtype=object))[0]
    sources, starts = [], np.empty(len(X), np.int64)
    for rows in rows_of_groups(codes):
        sources.append(WindowStack(X, rows, ch_names, sfreq, positions))
        starts[rows] = np.arange(len(rows))
    n_times = np.full(len(X), X.shape[2], np.int64)
    return sources, codes.astype(np.int64), starts, n_times, metadata


def join_windows(parts, tables):
    """Join windows, whose metadata are ``tables``; see `concat_windows`.

    Returns
    -------
    tuple
        The arguments of `EEGWindows`.
    """
    # The same recording may come in through several parts; it is kept once.
    sources = list(dict.fromkeys(source for part in parts for source in part._sources))
    number = {source: k for k, source in enumerate(sources)}
    index = [
        np.array([number[source] for source in part._sources], int)[part._source_index]
        for part in parts
    ]
    _warn_of_shared_trials(parts)
    warn_of_unnamed(tables)
    with warnings.catch_warnings():
        # pandas warns that columns which are all missing will one day count.
        warnings.simplefilter("ignore", FutureWarning)
        metadata = pd.concat(tables, ignore_index=True)
    starts = np.concatenate([part._starts for part in parts])
    n_times = np.concatenate([part._n_times for part in parts])
    return sources, np.concatenate(index), starts, n_times, metadata


def make_metadata(n_rows, *, extra=None, **columns):
    """One row for each window: ids as str, onset as float, label as it came."""
    frame = pd.DataFrame(index=range(n_rows))
    for name in COLUMNS:
        values = columns.get(name)
        if name == "onset":
            frame[name] = check_onsets(values, n_rows)
            continue
        if name == "label":
            values = check_labels(values, n_rows)
        else:
            values = check_ids(values, n_rows, name)
        # Object columns stay object: pandas would turn None into NaN in strings.
        frame[name] = pd.Series(values, dtype=object)
    missing = frame["dataset"].isna()
    if missing.any():
        frame.loc[missing, "dataset"] = make_up_name()
    if extra is not None:
        if isinstance(extra, dict):
            further = pd.DataFrame(
                {name: check_column(v, n_rows, name) for name, v in extra.items()}
            ).infer_objects()
        else:
            further = pd.DataFrame(extra).reset_index(drop=True)
        twice = further.columns[further.columns.duplicated()]
        if len(twice):
            raise ValueError(f"Several columns are called {list_some(twice)}.")
        clash = [name for name in further if name in COLUMNS]
        if clash:
            raise ValueError(
                f"extra may not hold {list_some(clash)}: these have parameters of "
                "their own."
            )
        if len(further) != n_rows and len(further.columns):
            raise ValueError(
                f"extra has {len(further)} rows, but there are {n_rows} windows."
            )
        further = strip_cells(further)
        for name in further:
            frame[name] = further[name]
    return frame


def group_name(by, *ids):
    """Name a group as `EEGWindows.groups` does, of the ids down to its own."""
    if by == "dataset":
        return ids[0]
    if by == "trial":
        # What it belongs to is a name by itself: without a session, without a place.
        return f"{join_ids(*ids[:-1])}/{join_ids(ids[-1])}"
    if by == "session" and pd.isna(ids[1]):
        return join_ids(ids[0], ids[2])  # then no subject is known
    return join_ids(*ids)


def _list_recordings(recordings):
    if isinstance(recordings, Recording) or hasattr(recordings, "get_data"):
        recordings = [recordings]
    recordings = list(recordings)
    if not recordings:
        raise ValueError("No recordings were given.")
    for recording in recordings:
        if not isinstance(recording, Recording):
            raise TypeError(
                "recordings must be Recording objects, got "
                f"{type(recording).__name__}; Recording.from_raw makes one of a "
                "Raw."
            )
    return recordings


def _warn_of_shared_trials(parts):
    """Warn where one trial id stands for trials of different recordings."""
    owners = {}
    clash = set()
    for part in parts:
        table = part._metadata
        whole = table[["dataset", *IDS["trial"]]]
        rows = np.flatnonzero(~whole.duplicated() & whole["trial"].notna())
        keys = whole.iloc[rows].itertuples(index=False, name=None)
        for row, key in zip(rows, keys, strict=True):
            source = part._sources[part._source_index[row]]
            # Arrays may hold a trial in several parts.
            if source.trials is None:
                continue
            if owners.setdefault(key, source) is not source:
                clash.add(group_name("trial", *key))
    if clash:
        warn(
            f"Trials of different recordings have one id: {list_some(sorted(clash))}. "
            "Cut all recordings of a session in one call of from_recordings, or give "
            "trials ids of their own."
        )


def _window_length(recording, window_seconds):
    """Return the length of a window in samples of a recording."""
    length = round(window_seconds * recording.sfreq)
    if length < 1:
        raise ValueError(
            f"A window of {window_seconds} s holds no sample at {recording.sfreq:g} Hz."
        )
    return length


def _onsets(start, stop, recording, length, stride_seconds):
    """Onsets, in seconds from the trial's start, of the windows that fit into it."""
    available = round((stop - start) * recording.sfreq) - length
    if available < 0:
        return np.zeros(0)
    count = int(np.floor(available / (stride_seconds * recording.sfreq) + 1e-9)) + 1
    onsets = np.arange(count) * stride_seconds
    first = _first_samples(start, onsets, recording, length)
    return onsets[recording.holds(first, length)]


def _first_samples(start, onsets, recording, length):
    """First sample of windows whose onsets count from a trial's start, in seconds."""
    first = np.round((start + onsets) * recording.sfreq).astype(np.int64)
    return np.minimum(first, recording.n_times - length)


def leave_out_marked(windows, clear, what):
    """Leave out windows that are not clear of marks, and warn of them."""
    if clear.all():
        return windows
    some = (
        f"{(~clear).sum()} of {len(clear)} {what} lie in a bad span, across a cut, or "
        f"begin at a mark ({list_some(np.flatnonzero(~clear), 4)})"
    )
    if not clear.any():
        raise ValueError(f"{some}; none is left.")
    warn(f"{some}; they are left out.")
    return windows[clear]
