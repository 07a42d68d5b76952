"""Windows to MNE's Epochs and back."""

import numpy as np
import pandas as pd

from .._grouping import combine_groups
from .._identity import IDS
from .._validation import list_some, warn
from ._cutting import COLUMNS, join_windows, make_metadata, stack_arrays
from ._marks import clear_epochs, epoch_spans, mark_codes
from ._mne import info_positions, make_info
from ._trials import describe_overlap


def read_epochs(cls, epochs, given):
    """Take the windows of Epochs; see `EEGWindows.from_epochs`.

    Parameters
    ----------
    cls : type
        EEGWindows.
    epochs : mne.BaseEpochs or list of mne.BaseEpochs
        The Epochs.
    given : dict of str to array-like or None
        Columns of metadata that go before those of the Epochs.

    Returns
    -------
    windows : EEGWindows
        All of them.
    clear : ndarray of bool, shape (n_windows,)
        Which ones no mark touches.
    spans : DataFrame
        Where they lie in their Raw.
    """
    import mne

    parts = list(epochs) if isinstance(epochs, list | tuple) else [epochs]
    for part in parts:
        if not isinstance(part, mne.BaseEpochs):
            raise TypeError(
                "epochs must be mne.Epochs or a list of them, got "
                f"{type(part).__name__}."
            )
    if not parts:
        raise ValueError("epochs is an empty list.")
    # scikit-learn turns Epochs into a list of single ones, in any order: those of
    # one montage, rate and length are joined again.
    blocks, metadata, first, clear, spans = {}, [], 0, [], []
    for k, part in enumerate(parts):
        picks = mne.pick_types(part.info, eeg=True, exclude="bads")
        if not len(picks):
            raise ValueError(
                "The Epochs have no good EEG channel; their channel types are "
                f"{list_some(sorted(set(part.get_channel_types())))}."
            )
        if part.info["projs"] and not part.proj:
            part = part.copy().load_data().apply_proj(verbose="error")
        names = tuple(part.ch_names[i] for i in picks)
        positions = info_positions(part.info)[picks]
        data = part.get_data(picks=picks, copy=False, verbose="error")
        key = (names, positions.tobytes(), part.info["sfreq"], data.shape[2])
        arrays, numbers, _ = blocks.setdefault(key, ([], [], positions))
        arrays.append(data)
        numbers.append(np.arange(first, first + len(data)))
        first += len(data)
        metadata.append(_epochs_metadata(part))
        clear.append(clear_epochs(part))
        spans.append(_epoch_table(k, part))
    table = pd.concat(metadata, ignore_index=True)
    columns = {
        name: values if values is not None or name not in table else table[name]
        for name, values in given.items()
    }
    extra = table.drop(columns=[name for name in COLUMNS if name in table])
    meta = make_metadata(len(table), **columns, extra=extra)
    _warn_of_dropped(parts, meta)

    parts, order = [], []
    for (names, _, sfreq, _), (arrays, numbers, positions) in blocks.items():
        order.append(np.concatenate(numbers))
        columns = meta.iloc[order[-1]][["subject", "dataset", "session"]]
        data = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
        parts.append(cls(*stack_arrays(data, names, sfreq, positions, dict(columns))))
    joined = cls(*join_windows(parts, [part.metadata for part in parts]))
    joined = joined[np.argsort(np.concatenate(order))]
    joined._metadata = meta
    return joined, np.concatenate(clear), pd.concat(spans, ignore_index=True)


def make_epochs(X):
    """Make a list of `mne.EpochsArray` of windows; see `EEGWindows.to_epochs`."""
    import mne

    names = np.array(
        [
            "no label" if pd.isna(label) else str(label)
            for label in X._metadata["label"]
        ],
        dtype=object,
    )
    # One code for each label in all of the list, so that Epochs can be joined.
    event_id = {name: k for k, name in enumerate(sorted(set(names)), 1)}
    cuts, rates = {}, X._rates()
    for source, rows, starts, n_times in X.blocks():
        where = None if source.positions is None else source.positions.tobytes()
        for length in np.unique(n_times):
            same = n_times == length
            key = (source.ch_names, where, rates[source.sfreq], int(length))
            cuts.setdefault(key, []).append((source, rows[same], starts[same]))
    made = {}
    for (ch_names, _, _, length), parts in cuts.items():
        rows = np.sort(np.concatenate([rows for _, rows, _ in parts]))
        data = np.empty((len(rows), len(ch_names), length))
        for source, some, starts in parts:
            data[np.searchsorted(rows, some)] = source.windows(starts, length)
        codes = [event_id[name] for name in names[rows]]
        made[rows[0]] = mne.EpochsArray(
            data,
            make_info(parts[0][0]),
            events=np.column_stack([rows, np.zeros_like(rows), codes]),
            event_id={name: event_id[name] for name in sorted(set(names[rows]))},
            metadata=X._metadata.iloc[rows].reset_index(drop=True),
            proj=False,
            verbose="error",
        )
    return [made[first] for first in sorted(made)]


def _epoch_table(part, epochs):
    """Return where epochs lie in their Raw, as far as the times of events tell.

    Those of arrays are numbers, and so they are where `EEGWindows.to_epochs` was.
    """
    import mne

    starts, stops = epoch_spans(epochs)
    given = () if epochs.metadata is None else epochs.metadata.columns
    counted = len(epochs) > 1 and (np.diff(epochs.events[:, 0]) == 1).all()
    if isinstance(epochs, mne.EpochsArray) or set(COLUMNS) <= {*given} or counted:
        starts = stops = np.full(len(epochs), np.nan)
    table = {"part": part, "start": starts, "stop": stops}
    return pd.DataFrame(table | {"sfreq": epochs.info["sfreq"]})


def warn_of_overlap(spans, metadata):
    """Warn where epochs of one Raw share samples, but are of different trials."""
    table = spans.join(metadata)
    table = table[table["trial"].notna() & table["start"].notna()]
    for _, part in table.groupby("part"):
        part = part.sort_values("start", kind="stable")
        trial = combine_groups(
            len(part), *(part[c] for c in ("dataset", *IDS["trial"]))
        )
        # Epochs of one trial that follow each other are one stretch.
        run = np.cumsum(np.diff(trial, prepend=-1) != 0)
        runs = part.groupby(run).agg(
            {"start": "min", "stop": "max", "trial": "first", "label": "first"}
        )
        overlap = describe_overlap(
            runs.set_axis([f"trial {trial!r}" for trial in runs["trial"]]),
            part["sfreq"].iloc[0],
        )
        if overlap:
            warn(
                f"Trials overlap: {overlap}. Windows of both hold the same samples, so "
                "that a split by trials parts nothing; give epochs that overlap one "
                "trial (trial=), or choose some that lie apart."
            )
            return


def _epochs_metadata(epochs):
    """Metadata of Epochs, with the event names as labels where it has none."""
    if epochs.metadata is not None:
        table = epochs.metadata.reset_index(drop=True)
    else:
        table = pd.DataFrame(index=range(len(epochs)))
    if "label" not in table:
        names = {code: name for name, code in epochs.event_id.items()}
        table["label"] = [names.get(code, str(code)) for code in epochs.events[:, 2]]
        at_mark = np.isin(epochs.events[:, 2], mark_codes(epochs.event_id))
        table["label"] = table["label"].mask(at_mark, None)
    return table


def _warn_of_dropped(parts, metadata):
    """Warn where Epochs were dropped, and only their order could tell time."""
    holes = [
        any(set(reasons) - {"IGNORED"} for reasons in part.drop_log) for part in parts
    ]
    holes = np.repeat(holes, [len(part) for part in parts])
    named = metadata["stimulus"].notna() | metadata["trial"].notna()
    several = metadata.duplicated(list(COLUMNS[:5]), keep=False)
    lost = holes & named & several & metadata["onset"].isna()
    if lost.any():
        warn(
            f"Epochs were dropped (drop_log), and the onsets of {lost.sum()} others "
            "are not known: their order does not tell when they were. Pass onset=, or "
            "give epochs.metadata a column 'onset' before epochs are dropped."
        )
