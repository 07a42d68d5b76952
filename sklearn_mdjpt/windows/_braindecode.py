"""Windows to braindecode's datasets and back."""

from itertools import pairwise

import numpy as np
import pandas as pd

from .._grouping import combine_groups, rows_of_groups
from .._identity import make_up_name
from .._validation import check_ids, list_some, warn
from ._cutting import join_windows
from ._marks import GRACE, annotation_marks, clear_epochs, mark_codes
from ._mne import info_positions, make_info

# braindecode's columns: where windows lie, and what is to be predicted.
_SAMPLES = ("i_window_in_trial", "i_start_in_trial", "i_stop_in_trial")
_TARGET = "target"
# What is one for a whole dataset of braindecode goes into its description.
_DESCRIPTION = ("dataset", "subject", "session")
_BY_WINDOW = ("trial", "stimulus", "onset", "label")


def read_parts(concat_dataset):
    """Iterate over the datasets of a windowed ``BaseConcatDataset``.

    Yields
    ------
    dict
        Arguments of `EEGWindows.from_arrays`; ``dataset`` may be missing in them.
        ``clear`` says which windows no mark touches.

    Raises
    ------
    TypeError
        If it is no such dataset, or not cut into windows.
    ValueError
        If windows have several targets and no label.
    """
    if not hasattr(concat_dataset, "datasets"):
        raise TypeError(
            "Expected a braindecode BaseConcatDataset, got "
            f"{type(concat_dataset).__name__}."
        )
    for k, part in enumerate(concat_dataset.datasets):
        # Those made of Epochs have their metadata nowhere else in braindecode 1.3.
        source = getattr(part, "windows", None)
        table = getattr(part if source is None else source, "metadata", None)
        if table is None:
            raise TypeError(
                "The braindecode dataset is not windowed; cut it with "
                "create_windows_from_events or create_fixed_length_windows."
            )
        source = part.raw if source is None else source
        yield _read_part(k, part, source, _as_table(table))


def read_dataset(cls, concat_dataset, dataset=None):
    """Take the windows of a dataset; see `EEGWindows.from_braindecode`.

    Parameters
    ----------
    cls : type
        EEGWindows.
    concat_dataset : BaseConcatDataset
        The dataset.
    dataset : str, default=None
        Its name.

    Returns
    -------
    windows : EEGWindows
        All of them.
    clear : ndarray of bool, shape (n_windows,)
        Which ones no mark touches.
    """
    unnamed = make_up_name()
    parts, clear = [], []
    for arguments in read_parts(concat_dataset):
        clear.append(arguments.pop("clear"))
        named = arguments.pop("dataset", None) if dataset is None else dataset
        named = check_ids(named, len(arguments["X"]), "dataset")
        named[pd.isna(named)] = unnamed
        parts.append(cls.from_arrays(**arguments | {"dataset": named}))
    if not parts:
        raise ValueError("The braindecode dataset has no parts.")
    joined = cls(*join_windows(parts, [part.metadata for part in parts]))
    return joined, np.concatenate(clear)


def _as_table(metadata):
    """Return metadata as a DataFrame of its own, lazy ones of braindecode as well."""
    if isinstance(metadata, pd.DataFrame):
        return metadata.reset_index(drop=True)
    rows = range(len(metadata))
    return pd.DataFrame(
        {name: [metadata[i, name] for i in rows] for name in metadata.columns}
    )


def _read_part(k, part, source, table):
    description = {} if part.description is None else dict(part.description)
    for name, value in description.items():
        if name not in table:
            table[name] = [value] * len(table)
    signal, targets, *_ = zip(*(part[i] for i in range(len(part))), strict=True)
    signal = np.stack([np.asarray(window) for window in signal])
    if getattr(part, "targets_from", "metadata") == "channels":
        table[_TARGET] = pd.Series(targets, dtype=object)
    if _TARGET in table:
        table[_TARGET] = _one_target(table, source)
    names, types = np.array(source.ch_names), np.array(source.get_channel_types())
    positions = info_positions(source.info)
    if signal.shape[1] < len(names):
        # Channels that hold targets are of type misc and no part of a window.
        window = types != "misc"
        names, types, positions = names[window], types[window], positions[window]
    # Arrays turned into datasets have no channel types.
    keep = types == "eeg" if "eeg" in types else np.ones(len(types), bool)
    sfreq = source.info["sfreq"]
    # A trial or an onset that holds for all of a recording says something else.
    known = {
        name: table[name]
        for name in (*_DESCRIPTION, *_BY_WINDOW)
        if name in table and not (name in ("trial", "onset") and name in description)
    }
    rate = _sample_rate(table, sfreq, signal.shape[2])
    trial, onset = _samples_in_trials(part, source, table, rate)
    trial = [f"{k}-{number}" for number in trial]
    if "trial" not in known or "onset" not in known:
        _warn_of_unplaced(np.array(trial), onset)
    known.setdefault("trial", trial)
    known.setdefault("onset", onset / rate)
    known["y"] = known.pop("label", table.get(_TARGET))
    other = [
        name
        for name in table
        if name not in (*_DESCRIPTION, *_BY_WINDOW, _TARGET)
        and not str(name).startswith("i_")
    ]
    return {
        "X": signal[:, keep],
        "clear": _clear(part, source, table),
        "ch_names": names[keep],
        "sfreq": sfreq,
        "positions": positions[keep],
        "extra": table[other],
        **known,
    }


def _one_target(table, source):
    """Return one target for each window; raise where there are several and no label."""
    targets = table[_TARGET].tolist()
    sizes = [np.size(target) for target in targets]
    if max(sizes, default=0) <= 1:
        return [np.ravel(t)[0] if np.ndim(t) and np.size(t) else t for t in targets]
    if "label" not in table:
        several = targets[int(np.argmax(sizes))]
        types = np.array(source.get_channel_types())
        names = getattr(several, "index", np.array(source.ch_names)[types == "misc"])
        raise ValueError(
            f"The windows have {max(sizes)} targets each ({list_some(names)}), and a "
            "window has one label. Choose one where the braindecode dataset is made "
            "(target_name=, or one target channel and last_target_only=True), or give "
            "its metadata or description a 'label'."
        )
    # Beside a label they only say which windows are alike.
    alike = pd.Series([tuple(np.ravel(target)) for target in targets], dtype=object)
    return pd.factorize(alike)[0]


def _clear(part, source, table):
    """Say which windows (n_windows,) no mark of a Raw or of Epochs touches."""
    _, given = next(iter(getattr(part, "window_kwargs", ())), (None, {}))
    codes = mark_codes(given.get("mapping") or {})
    clear = ~np.isin(table.get(_TARGET, np.full(len(table), np.nan)), codes)
    if hasattr(source, "event_id"):
        return clear & clear_epochs(source)
    samples = table[["i_start_in_trial", "i_stop_in_trial"]].to_numpy(float)
    seconds = samples / source.info["sfreq"]
    grace = GRACE / source.info["sfreq"]
    return clear & annotation_marks(source).spare(*seconds.T, grace)


def _samples_in_trials(part, source, table, rate):
    """Return the number of each window's trial, from 1, and its samples from the start.

    Windows that were dropped leave holes: a trial may begin with a later window than
    its first, which has the number 0.  NaN where the trial's start cannot be told.
    """
    number = table["i_window_in_trial"].to_numpy(float)
    start = table["i_start_in_trial"].to_numpy(float)
    step, time = np.diff(number), np.diff(start)
    made_by, given = next(iter(getattr(part, "window_kwargs", ())), (None, {}))
    if "i_trial_in_dataset" in table:
        trial = 1 + table["i_trial_in_dataset"].to_numpy(int)
        same = np.diff(trial) == 0
        stride = _stride(given, table[_TARGET], step[same], time[same])
    else:
        stride = _stride(given, table[_TARGET], step, time)
        same = step > 0
        if made_by in (None, "create_windows_from_events"):
            # Within a trial, time passes no faster than the numbers say.
            same &= (time > 0) & ~(time > step * stride[1:] + 0.5)
            same &= _equals_last(table[_TARGET])
        trial = 1 + np.cumsum(np.r_[False, ~same])
    if (same & (time > step * stride[1:] + 0.5)).any():
        stride = np.full(len(table), np.nan)  # there is no one stride
    # The last window of a trial may have been moved, to end with it; who sees no two
    # windows of a trial does not know.
    moved = (same & (time < step * stride[1:] - 0.5)).any() or not (
        same.any() or given.get("drop_last_window")
    )
    begin = np.empty(len(table))
    lone = np.zeros(len(table), bool)
    for rows in rows_of_groups(combine_groups(len(table), trial)):
        first = rows[np.argmin(number[rows])]
        begin[rows] = start[first]
        if number[first] > 0:
            begin[rows] -= number[first] * stride[first]
            lone[rows] = len(rows) == 1
    marked = np.full(len(table), np.nan)
    if lone.any() and "i_trial_in_dataset" in table:
        marked = _marked_begin(source, table, np.where(lone, np.nan, begin), rate)
    begin[lone & moved] = np.nan
    begin = np.where(lone & ~np.isnan(marked), marked, begin)
    return trial, start - begin


def _marked_begin(source, table, begin, rate):
    """Return where trials begin, by the annotations that they were made of.

    The time between annotation and first window is taken from other trials, those in
    which ``begin`` is known (not NaN).
    """
    marks = getattr(source, "annotations", None)
    trial = table["i_trial_in_dataset"].to_numpy(int)
    if marks is None or len(marks) <= trial.max():
        return np.full(len(table), np.nan)
    mark = marks.onset[trial] * rate
    offset = pd.Series(begin - mark)
    by_target = offset.groupby(table[_TARGET].to_numpy()).transform("median")
    if offset.max() - offset.min() <= 1:
        by_target = by_target.fillna(offset.median())
    return np.round(mark + by_target.to_numpy())


def _stride(given, target, step, time):
    """Return the step between windows of each window's trial, in samples.

    As braindecode was told, else the commonest one, else NaN.
    """
    stride = given.get("window_stride_samples")
    if isinstance(stride, dict):
        codes = {given["mapping"][name]: length for name, length in stride.items()}
        return target.map(codes).to_numpy(float)
    if stride is None:
        lengths = time[step > 0] / step[step > 0]
        lengths, counts = np.unique(lengths, return_counts=True)
        # Of two that are as common, the smaller one is that of windows that were moved.
        stride = lengths[counts == counts.max()].max() if len(lengths) else np.nan
    return np.full(len(target), float(stride))


def _equals_last(target):
    """Whether each target but the first equals the one before it."""
    target = target.tolist()
    if any(np.ndim(value) for value in target):
        return True
    return np.array([a == b for a, b in pairwise(target)], bool)


def _sample_rate(table, sfreq, n_times):
    """Return the rate of the sample numbers: windows may have been resampled since."""
    lengths = (table["i_stop_in_trial"] - table["i_start_in_trial"]).to_numpy(float)
    return np.where(lengths > 0, sfreq * lengths / n_times, sfreq)


def _warn_of_unplaced(trial, onset):
    unplaced = np.isnan(onset)
    if unplaced.any():
        warn(
            f"{unplaced.sum()} windows have no onset: the first windows of their "
            f"trials ({list_some(dict.fromkeys(trial[unplaced]))}) were dropped, and "
            "where these began is not known."
        )


def make_dataset(X):
    """Make a ``BaseConcatDataset`` of `EEGWindows`; see `EEGWindows.to_braindecode`."""
    import mne
    from braindecode.datasets import (
        BaseConcatDataset,
        EEGWindowsDataset,
        WindowsDataset,
    )

    if not len(X):
        raise ValueError("X has no windows; at least one is expected.")
    metadata = X.metadata
    reserved = [n for n in metadata if n == _TARGET or str(n).startswith("i_")]
    if reserved:
        raise ValueError(
            f"X.metadata has columns that mean something else in braindecode: "
            f"{list_some(reserved)}. No column may be called {_TARGET!r} or begin with "
            "'i_'."
        )
    metadata[_TARGET] = _targets(metadata["label"])
    raws, parts = {}, []
    for rows, source, starts, n_times in _runs(X):
        table = metadata.iloc[rows].reset_index(drop=True)
        description = table.loc[0, list(_DESCRIPTION)].dropna().to_dict()
        if source.is_continuous:
            table = _with_samples(table, starts, n_times)
            if id(source) not in raws:
                raws[id(source)] = source.to_raw()
            parts.append(EEGWindowsDataset(raws[id(source)], table, description))
        else:
            signal = source.windows(starts, n_times)
            table = _with_samples(table, _starts_in_trials(table, source), n_times)
            epochs = mne.EpochsArray(
                signal, make_info(source), metadata=table, verbose="error"
            )
            parts.append(WindowsDataset(epochs, description))
    return BaseConcatDataset(parts)


def _runs(X):
    """Cut X into stretches of one recording, of windows of one length.

    They are what the datasets are made of: the order of the windows stays.
    """
    n = len(X)
    source_index, starts, n_times = np.empty((3, n), np.int64)
    sources = []
    for k, (source, rows, first, length) in enumerate(X.blocks()):
        sources.append(source)
        source_index[rows], starts[rows], n_times[rows] = k, first, length
    table = X.metadata
    people = combine_groups(n, *(table[name] for name in _DESCRIPTION))
    same = np.stack([source_index, n_times, people])
    borders = 1 + np.flatnonzero((np.diff(same) != 0).any(axis=0))
    return [
        (rows, sources[source_index[rows[0]]], starts[rows], int(n_times[rows[0]]))
        for rows in np.split(np.arange(n), borders)
    ]


def _targets(labels):
    """Codes of the sorted labels, -1 where there is none; floats as they are."""
    kind = pd.api.types.infer_dtype(labels, skipna=True)
    if kind in ("floating", "mixed-integer-float"):
        return labels.astype(float)
    known = labels.dropna().unique()
    try:
        known = sorted(known)
    except TypeError:
        known = sorted(known, key=lambda label: (type(label).__name__, str(label)))
    codes = {label: code for code, label in enumerate(known)}
    return [-1 if pd.isna(label) else codes[label] for label in labels]


def _starts_in_trials(table, source):
    """Return the first sample of each window in its trial, by onset or by number."""
    onset = table["onset"].to_numpy(dtype=float)
    in_order = _number_in_trial(table) * source.n_times
    starts = np.where(np.isnan(onset), in_order, np.round(onset * source.sfreq))
    return starts.astype(np.int64)


def _with_samples(table, starts, n_times):
    """Add braindecode's columns: where the windows lie, in samples."""
    columns = (_number_in_trial(table), starts, starts + n_times)
    samples = dict(zip(_SAMPLES, columns, strict=True))
    others = {name: table[name] for name in table if name not in _DESCRIPTION}
    return pd.DataFrame(samples | others)


def _number_in_trial(table):
    # A window without a trial is a trial of its own.
    alone = pd.Series(range(len(table)), dtype=object)
    key = table["trial"].where(table["trial"].notna(), alone)
    return key.groupby(key, sort=False).cumcount().to_numpy()
