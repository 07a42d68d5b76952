"""Features of many windows, with each subject's statistics and bounded memory."""

import contextlib
import itertools

import numpy as np
import torch

from .._grouping import combine_groups, natural_codes, rows_of_groups
from .._torch import mixed_precision, plain_torch, torch_threads
from .._validation import name_windows, warn
from ..windows._people import people_of
from ._processes import SingleProcess, balance_load
from ._read_ahead import joined, read_ahead

N_STATISTICS_WINDOWS = 256
"""Statistics of a subject come from at most this many of its windows."""

_ARTEFACT_FACTOR = 10
"""Windows that differ so many times as much as others can be artefacts."""


@contextlib.contextmanager
def computing_features(encoder):
    """Compute inside as ``transform`` of a fitted encoder does; give its device."""
    device = next(encoder.module_.parameters()).device
    with (
        plain_torch(),
        torch_threads(encoder.torch_threads),
        mixed_precision(encoder.precision, device),
    ):
        yield device


@torch.inference_mode()
def extract_features(
    encoder, reader, metadata, *, batch_size, device, known=None, processes=None
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
    known : dict of str to NormStatistics, default=None
        Fixed statistics of people by name, with which each of their windows stands
        alone.  Others go by their own windows if the encoder normalises by subject.
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
    fixed, others = _split_known(metadata, known, device)
    by_subject = encoder.subject_norm == "subject"
    nobody = np.array([], int)
    # What to take statistics of, what comes with them or alone, and given statistics.
    jobs = [(nobody, rows, of_subject) for rows, of_subject in fixed]
    if by_subject:
        owners = balance_load([len(rows) for rows in others], processes.num_processes)
        others = [others[k] for k in np.flatnonzero(owners == processes.process_index)]
        for rows in others:
            chosen = statistics_rows(reader, metadata, rows)
            jobs.append((chosen, np.setdiff1d(rows, chosen), None))
    else:
        rest = np.sort(np.concatenate([*others, nobody]))
        mine = np.array_split(rest, processes.num_processes)[processes.process_index]
        jobs.append((nobody, mine, None))
    plan = [
        [list(_batches(rows, reader.n_times, batch_size)) for rows in job[:2]]
        for job in jobs
    ]

    def finish(batch, z, size, given):
        values = encoder.features_from(z, given)
        # One transfer, and so one wait, for all that is asked of a batch.
        found = torch.cat([values, size[:, None].to(values.dtype)], dim=1).cpu().numpy()
        _check_sizes(found[:, -1], batch, reader, metadata, z.dtype)
        features[batch] = found[:, :-1]
        bad = batch[~np.isfinite(features[batch]).all(axis=1)]
        if len(bad):
            raise ValueError(
                f"The features of {len(bad)} windows are not finite: "
                f"{name_windows(bad, metadata)}. The recording is broken, or differs "
                "by far from those that the statistics were learnt on."
            )

    with contextlib.closing(
        _encoded(encoder, reader, itertools.chain(*itertools.chain(*plan)), device)
    ) as stream:
        for (first, rest), (*_, given) in zip(plan, jobs, strict=True):
            encoded = list(itertools.islice(stream, len(first)))
            if encoded:
                _check_encoded(encoded, reader, metadata)
                given = encoder.norm_statistics([z for _, z, _ in encoded])
            while encoded:
                finish(*encoded.pop(0), given)
            for one in itertools.islice(stream, len(rest)):
                finish(*one, given)
    if by_subject:
        far = [rows[far_windows(features[rows])] for rows in others]
        warn_of_far_windows(far, metadata)
    return processes.reduce(features)


@torch.inference_mode()
def pooled_statistics(encoder, reader, metadata, *, batch_size, device):
    """Statistics over an equal share of each subject, for ``subject_norm="train"``."""
    by_subject = _rows_by_subject(metadata)
    share = max(1, N_STATISTICS_WINDOWS // len(by_subject))
    rows = np.concatenate(
        [statistics_rows(reader, metadata, rows, share) for rows in by_subject]
    )
    encoded = encode_windows(
        encoder, reader, metadata, rows, batch_size=batch_size, device=device
    )
    return encoder.norm_statistics([z for _, z in encoded])


@torch.no_grad()
def batches_with_statistics(
    encoder, reader, metadata, *, batch_size, device, known=None
):
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
    known : dict of str to NormStatistics, default=None
        As for `extract_features`.

    Yields
    ------
    rows : ndarray of int
        Windows of one length, of one subject where statistics are a subject's.
    x : Tensor of shape (n_rows, n_chans, n_times)
        Their signals.
    statistics : NormStatistics or None
        What `HybridEncoder.features_from` takes for them.
    """
    groups, others = _split_known(metadata, known, device)
    if encoder.subject_norm != "subject" and others:
        others = [np.sort(np.concatenate(others))]
    groups += [(rows, None) for rows in others]
    dtype = next(encoder.parameters()).dtype
    for rows, given in groups:
        statistics = given
        if statistics is None and encoder.subject_norm == "subject":
            chosen = statistics_rows(reader, metadata, rows)
            encoded = encode_windows(
                encoder, reader, metadata, chosen, batch_size=batch_size, device=device
            )
            statistics = encoder.norm_statistics([z for _, z in encoded])
            del encoded
        batches = _batches(rows, reader.n_times, batch_size)
        with contextlib.closing(_loaded(reader, batches, device, dtype)) as loaded:
            for batch, x in loaded:
                yield batch, x, statistics


def encode_windows(encoder, reader, metadata, rows, *, batch_size, device):
    """Encode the channels of some windows, in batches.

    Parameters
    ----------
    encoder, reader, metadata, batch_size, device
        As for `extract_features`.
    rows : ndarray of int
        The windows.

    Returns
    -------
    list of (batch, z)
        Some of ``rows``, and what `HybridEncoder.encode_channels` makes of them.

    Raises
    ------
    ValueError
        As of `extract_features`: a broken window is named, not averaged in.
    """
    batches = _batches(rows, reader.n_times, batch_size)
    encoded = list(_encoded(encoder, reader, batches, device))
    _check_encoded(encoded, reader, metadata)
    return [(batch, z) for batch, z, _ in encoded]


def _encoded(encoder, reader, batches, device):
    """Yield batches, the encoding of their channels, and the size of each window's."""
    dtype = next(encoder.parameters()).dtype
    with contextlib.closing(_loaded(reader, batches, device, dtype)) as loaded:
        for batch, x in loaded:
            z = encoder.encode_channels(x)
            # Overflows where squares do: with a variance that is not finite, all
            # z-scores would be 0.  (Time lies in one piece: flattened with it last,
            # nothing is copied.)
            size = torch.linalg.vector_norm(
                z.mT.flatten(1), dim=1, dtype=torch.promote_types(z.dtype, dtype)
            )
            yield batch, z, size


def _loaded(reader, batches, device, dtype):
    """Yield batches and their windows on a device; for a GPU they are read ahead."""

    def read(batch):
        x = reader.read(batch)
        if device.type == "cpu":
            return batch, torch.from_numpy(x)
        return batch, joined([x], device).view(x.shape)

    with contextlib.closing(read_ahead(read, batches, device)) as readings:
        for batch, x in readings:
            yield batch, x.to(device, dtype, non_blocking=True)


def _check_encoded(encoded, reader, metadata):
    """Raise if some of what `_encoded` yields is not finite, after a single wait."""
    if not encoded:
        return
    sizes = torch.cat([size for *_, size in encoded]).cpu().numpy()
    batch = np.concatenate([batch for batch, *_ in encoded])
    _check_sizes(sizes, batch, reader, metadata, encoded[0][1].dtype)


def _check_sizes(sizes, batch, reader, metadata, dtype):
    """Raise if the encoding of some windows has a size that is not finite."""
    bad = batch[~np.isfinite(sizes)]
    if not len(bad):
        return
    largest = max(np.abs(reader.read([row])).max() for row in bad)
    hint = ""
    if dtype == torch.float16:
        hint = " Numbers of precision='fp16' end at 65504, unlike those of 'bf16'."
    raise ValueError(
        f"The encoding of {len(bad)} windows is too large to compute with, or not "
        f"finite: {name_windows(bad, metadata)}. After normalisation there are values "
        f"up to {largest:.3g}, where about 1 is expected; the recording is broken."
        f"{hint}"
    )


def far_windows(features):
    """Find the few windows of a subject that make up most of its variance.

    Parameters
    ----------
    features : ndarray of shape (n_windows, n_features)
        Features of one subject.

    Returns
    -------
    ndarray of bool, shape (n_windows,)
    """
    values = features - np.median(features, axis=0)
    distance = np.linalg.norm(values, axis=1)
    far = distance > _ARTEFACT_FACTOR * np.median(distance)
    return far & (np.sum(distance[far] ** 2) > np.sum(distance[~far] ** 2))


def warn_of_far_windows(far, metadata):
    """Warn of windows that `far_windows` found, given as lists of rows."""
    far = np.concatenate([*far, np.array([], int)])
    if len(far):
        warn(
            f"Artefacts? {name_windows(far, metadata)} differ more from the rest of "
            "their subject than all its others together, and so rule its z-scores; if "
            "they are artefacts, leave them out.",
        )


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


def _split_known(metadata, known, device):
    """Return (rows, statistics) of known people, and the rows of each other one."""
    subjects = _rows_by_subject(metadata)
    if not known:
        return [], subjects
    names = people_of(metadata)
    fixed, others = [], []
    for rows in subjects:
        statistics = known.get(names[rows[0]])
        if statistics is None:
            others.append(rows)
        else:
            on_device = (value.to(device) for value in statistics)
            fixed.append((rows, type(statistics)(*on_device)))
    return fixed, others


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


def feature_statistics(features):
    """Return mean and scale of each feature; one that is constant gets scale 1."""
    mean = features.mean(axis=0, dtype=float)
    scale = features.std(axis=0, dtype=float)
    # Below float32's resolution a spread is rounding noise.
    scale[scale <= 1e-6 * np.abs(mean).max()] = 1.0
    return mean, scale


def standardized(features, mean, scale):
    """Return z-scores as float32; without a mean, the features as they are."""
    if mean is None:
        return features
    return ((features - mean) / scale).astype(np.float32)
