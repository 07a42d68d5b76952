"""Features of many windows, with each subject's statistics and bounded memory."""

import numpy as np
import torch

from .._grouping import combine_groups, natural_codes, rows_of_groups
from .._validation import name_windows, warn
from ._processes import SingleProcess, balance_load

N_STATISTICS_WINDOWS = 256
"""Statistics of a subject come from at most this many of its windows."""

_ARTEFACT_FACTOR = 10
"""Windows that differ so many times as much as others can be artefacts."""


@torch.inference_mode()
def extract_features(
    encoder, reader, metadata, *, batch_size, device, statistics=None, processes=None
):
    """Encode all windows of a reader.

    Parameters
    ----------
    encoder : HybridEncoder
        In eval mode, on ``device``.
    reader : CanonicalReader
        The windows.
    metadata : DataFrame of shape (n_windows, n_columns)
        Subject and order of each window.
    batch_size : int
        Windows encoded at once.
    device : torch.device
        Where to compute.
    statistics : NormStatistics, default=None
        Fixed statistics, with which each window stands alone; None takes those of
        each subject if the encoder normalises by subject.
    processes : AcceleratedProcesses, default=None
        Processes that share the work; all of them get all features.

    Returns
    -------
    ndarray of shape (n_windows, n_features)
        Float32; row i is window i.

    Raises
    ------
    ValueError
        If the encoding of some, or their features, is not finite, or too large to
        take variances of; the message names them.
    """
    processes = processes or SingleProcess()
    features = np.zeros((len(metadata), encoder.n_features), np.float32)

    def encode(rows):
        for batch in _batches(rows, reader.n_times, batch_size):
            yield batch, _encode(encoder, reader, metadata, batch, device)

    def finish(batch, z, given):
        features[batch] = encoder.features_from(z, given).cpu().numpy()
        bad = batch[~np.isfinite(features[batch]).all(axis=1)]
        if len(bad):
            raise ValueError(
                f"The features of {len(bad)} windows are not finite: "
                f"{name_windows(bad, metadata)}. The recording is broken, or differs "
                "by far from those that the statistics were learnt on."
            )

    by_subject = encoder.subject_norm == "subject" and statistics is None
    if not by_subject:
        mine = np.array_split(np.arange(len(metadata)), processes.num_processes)[
            processes.process_index
        ]
        for batch, z in encode(mine):
            finish(batch, z, statistics)
        return processes.reduce(features)
    subjects = _rows_by_subject(metadata)
    owners = balance_load([len(rows) for rows in subjects], processes.num_processes)
    far = []
    for rows in (
        subjects[k] for k in np.flatnonzero(owners == processes.process_index)
    ):
        chosen = statistics_rows(reader, metadata, rows)
        encoded = list(encode(chosen))
        of_subject = encoder.norm_statistics([z for _, z in encoded])
        for batch, z in encoded:
            finish(batch, z, of_subject)
        del encoded
        for batch, z in encode(np.setdiff1d(rows, chosen)):
            finish(batch, z, of_subject)
        far.append(_far_windows(features, rows))
    far = np.concatenate(far) if far else np.array([], int)
    if len(far):
        warn(
            f"Artefacts? {name_windows(far, metadata)} differ more from the rest of "
            "their subject than all its others together, and so rule its z-scores; if "
            "they are artefacts, leave them out.",
        )
    return processes.reduce(features)


@torch.inference_mode()
def pooled_statistics(encoder, reader, metadata, *, batch_size, device):
    """Statistics over an equal share of each subject, for ``subject_norm="train"``."""
    by_subject = _rows_by_subject(metadata)
    share = max(1, N_STATISTICS_WINDOWS // len(by_subject))
    rows = np.concatenate(
        [statistics_rows(reader, metadata, rows, share) for rows in by_subject]
    )
    return encoder.norm_statistics(
        [
            _encode(encoder, reader, metadata, batch, device)
            for batch in _batches(rows, reader.n_times, batch_size)
        ]
    )


@torch.no_grad()
def batches_with_statistics(encoder, reader, metadata, *, batch_size, device):
    """Read all windows of a reader, with the statistics that z-score each.

    Unlike `extract_features` it leaves what to do with them to the caller, who may ask
    for gradients.

    Parameters
    ----------
    encoder : HybridEncoder
        In eval mode, on ``device``.
    reader : CanonicalReader
        The windows.
    metadata : DataFrame of shape (n_windows, n_columns)
        Subject of each window.
    batch_size : int
        Windows at once.
    device : torch.device
        Where to compute.

    Yields
    ------
    rows : ndarray of int
        Windows of one length, of one subject where statistics are a subject's.
    x : Tensor of shape (n_rows, n_chans, n_times)
        Their signals.
    statistics : NormStatistics or None
        What `HybridEncoder.features_from` takes for them.
    """
    groups = [np.arange(len(metadata))]
    if encoder.subject_norm == "subject":
        groups = _rows_by_subject(metadata)
    dtype = next(encoder.parameters()).dtype
    for rows in groups:
        statistics = None
        if encoder.subject_norm == "subject":
            chosen = statistics_rows(reader, metadata, rows)
            statistics = encoder.norm_statistics(
                _encode(encoder, reader, metadata, batch, device)
                for batch in _batches(chosen, reader.n_times, batch_size)
            )
        for batch in _batches(rows, reader.n_times, batch_size):
            yield (
                batch,
                torch.from_numpy(reader.read(batch)).to(device, dtype),
                statistics,
            )


def _encode(encoder, reader, metadata, rows, device):
    """Encode the channels of some windows; a broken one is named, not averaged in."""
    x = torch.from_numpy(reader.read(rows))
    x = x.to(device, next(encoder.parameters()).dtype)
    z = encoder.encode_channels(x)
    # Overflows where squares do: with a variance that is not finite, all z-scores
    # would be 0.  (Time lies in one piece: flattened with it last, nothing is copied.)
    size = torch.linalg.vector_norm(z.mT.flatten(1), dim=1)
    finite = torch.isfinite(size).cpu().numpy()
    if not finite.all():
        largest = float(x.abs().amax())
        raise ValueError(
            f"The encoding of {np.count_nonzero(~finite)} windows is too large to "
            f"compute with, or not finite: {name_windows(rows[~finite], metadata)}. "
            f"After normalisation there are values up to {largest:.3g}, where about 1 "
            "is expected; the recording is broken."
        )
    return z


def _far_windows(features, rows):
    """Return the few windows of a subject that make up most of its variance."""
    values = features[rows]
    values = values - np.median(values, axis=0)
    distance = np.linalg.norm(values, axis=1)
    far = distance > _ARTEFACT_FACTOR * np.median(distance)
    ruled = np.sum(distance[far] ** 2) > np.sum(distance[~far] ** 2)
    return rows[far] if ruled else rows[:0]


def statistics_rows(reader, metadata, rows, limit=N_STATISTICS_WINDOWS):
    """Choose the windows that a subject's statistics come from.

    All of them up to a limit; beyond it a share, evenly spaced in the order of
    (session, trial, onset).  Where this does not tell windows apart
    (arrays without metadata), their content decides, so that the choice never depends
    on the order of the rows.

    Returns
    -------
    ndarray of int
        A part of ``rows``, in the order of the choice.
    """
    table = metadata.iloc[rows]
    keys = ["session", "trial", "onset"]
    tells_apart = (
        not table["onset"].isna().any()
        and not table["trial"].isna().any()
        and not table.duplicated(keys).any()
    )
    if tells_apart:
        order = np.lexsort([natural_codes(table[key]) for key in reversed(keys)])
    elif len(rows) <= limit:
        return rows
    else:
        digests = [reader.digest(row) for row in rows]
        order = np.argsort(np.array(digests, dtype="S8"), kind="stable")
    if len(rows) > limit:
        order = order[np.linspace(0, len(rows) - 1, limit).round().astype(int)]
    return rows[order]


def _rows_by_subject(metadata):
    """List the rows of each subject of each dataset, by first appearance."""
    ids = metadata[["dataset", "subject"]].fillna("").astype(str)
    codes = combine_groups(len(ids), ids["dataset"], ids["subject"])
    return rows_of_groups(codes)


def _batches(rows, n_times, batch_size):
    """Cut rows into batches of windows of one length."""
    for length in np.unique(n_times[rows]):
        same = rows[n_times[rows] == length]
        for i in range(0, len(same), batch_size):
            yield same[i : i + batch_size]
