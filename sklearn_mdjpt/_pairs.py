"""Which windows are paired in pre-training, and batches of such pairs."""

import warnings

import numpy as np
import pandas as pd
import torch
from sklearn.utils.multiclass import type_of_target

from ._validation import check_ids, check_onsets, list_some
from .nn import LabelPairSampler, StimulusPairSampler
from .nn.pretraining import DatasetPart

_KEYWORDS = {
    "subjects": "subject",
    "datasets": "dataset",
    "sessions": "session",
    "stimuli": "stimulus",
    "onsets": "onset",
}


def pair_columns(windows, **keywords):
    """Who saw what when: metadata of windows, filled up from fit's keywords.

    Parameters
    ----------
    windows : EEGWindows
        What they know themselves comes first.
    **keywords : array-like of shape (n_windows,) or None
        ``subjects``, ``datasets``, ``sessions``, ``stimuli``, ``onsets``.

    Returns
    -------
    DataFrame of shape (n_windows, 5)
        Columns subject, dataset, session, stimulus, onset.  Where onsets are missing,
        the order of windows within subject, session and stimulus stands in.
    """
    columns = windows.metadata[list(_KEYWORDS.values())]
    n = len(columns)
    for keyword, values in keywords.items():
        name = _KEYWORDS[keyword]
        if values is None:
            continue
        if name == "onset":
            given = check_onsets(values, n, keyword)
        else:
            given = pd.Series(check_ids(values, n, keyword), dtype=object)
        unknown = columns[name].isna() if name != "dataset" else anonymous(columns)
        columns[name] = columns[name].mask(unknown, given)
    missing = columns["onset"].isna()
    if missing.any():
        runs = columns.groupby(
            ["dataset", "subject", "session", "stimulus"], dropna=False, sort=False
        )
        order = runs.cumcount().astype(float)
        counts = runs.size().reset_index(name="n").dropna(subset=["stimulus"])
        uneven = counts.groupby(["dataset", "stimulus"])["n"].nunique() > 1
        if uneven.any():
            warnings.warn(
                "Onsets are not known, and the order of windows stands in; but "
                f"{uneven.sum()} stimuli have more windows for some subjects than for "
                "others, so that order may pair different moments. Pass onsets=.",
                stacklevel=5,
            )
        columns["onset"] = columns["onset"].mask(missing, order)
    return columns


def anonymous(columns):
    """Datasets whose name was made up, because none was given."""
    return columns["dataset"].str.match(r"dataset-[0-9a-f]{8}$")


def make_sampler(columns, lengths, y, *, pairing, known_labels, sfreq, rng):
    """Decide how windows are paired, and say so where it is not what was asked for.

    Parameters
    ----------
    columns : DataFrame
        As `pair_columns` returns it.
    lengths : ndarray of int, shape (n_windows,)
        Samples of each window; only windows of equal length are paired.
    y : array-like of shape (n_windows,) or None
        Labels given to fit.
    pairing : {"stimulus", "label"}
        What was asked for.
    known_labels : ndarray or None
        Labels that the windows carry, for ``pairing="label"`` without ``y``.
    sfreq : float
        Rate of ``lengths``, for messages.
    rng : numpy.random.Generator
        For the sampler.

    Returns
    -------
    sampler : StimulusPairSampler or LabelPairSampler
    datasets : ndarray of str, shape (n_windows,)
        The sampler's name of each window's dataset.
    one_subject : bool
        Whether the two sides of a pair are halves of one (unknown) subject.

    Raises
    ------
    ValueError
        If nothing can be paired; the message says what to pass.
    """
    datasets = _split_by_length(columns["dataset"], lengths, sfreq)
    stimuli = columns["stimulus"].to_numpy(dtype=object)
    subjects = columns["subject"].to_numpy(dtype=object)
    known_subjects = pd.notna(subjects).any()
    if pairing == "stimulus" and pd.notna(stimuli).any():
        if not known_subjects:
            raise ValueError(
                "Pairs by stimulus need to know whose window is whose: pass subjects= "
                "to fit, or EEGWindows with subjects (Recording(..., subject=))."
            )
        sampler = StimulusPairSampler(
            datasets, subjects, columns["session"], stimuli, columns["onset"], rng=rng
        )
        _report_left_out(
            sampler,
            columns,
            "no two subjects share a stimulus at two onsets, or two stimuli",
            "Pre-training needs at least two subjects who share stimuli",
            "Check stimuli and onsets, or set pairing='label' (supervised).",
        )
        return sampler, datasets, False

    if pairing == "label" and y is None:
        y = known_labels
    if y is None:
        if known_labels is not None:
            raise ValueError(
                "No stimuli are known to pair windows by. X carries labels: set "
                "pairing='label' to pair by these (supervised), or name the stimuli "
                "(trials with a stimulus, from_raw(..., description='stimulus'))."
            )
        raise ValueError(
            "Nothing to pair windows by: pass subjects= and stimuli= to fit, or "
            "EEGWindows that carry them"
            + ("; pairing='label' needs y." if pairing == "label" else ", or y.")
        )
    labels = _check_labels(y, len(columns))
    notes = []
    if pairing == "stimulus":
        notes.append(
            "No stimuli are known: windows are paired by label instead "
            "(pairing='label'), which makes the pre-training supervised."
        )
    if not known_subjects:
        notes.append(
            "No subjects are known: pairs by label come from all of X, so nothing is "
            "aligned between subjects. Pass subjects= or EEGWindows."
        )
        # Two random halves stand in for two subjects, each label in both of them.
        order = rng.permutation(len(labels))
        halves = pd.Series(order).groupby(pd.factorize(labels[order])[0]).cumcount() % 2
        subjects = np.empty(len(labels), dtype=object)
        subjects[order] = [f"half {half}" for half in halves]
    if notes:
        warnings.warn(" ".join(notes), stacklevel=4)
    sampler = LabelPairSampler(datasets, subjects, labels, rng=rng)
    _report_left_out(
        sampler,
        columns,
        "no two subjects share two labels",
        "Pairing by label needs at least two subjects who have two labels in common",
        "Check y and subjects.",
    )
    return sampler, datasets, not known_subjects


def _split_by_length(datasets, lengths, sfreq):
    """Name the datasets, those with several window lengths once for each length."""
    frame = pd.DataFrame({"dataset": datasets.to_numpy(), "length": lengths})
    several = frame.groupby("dataset")["length"].nunique()
    several = set(several.index[several > 1])
    return np.array(
        [
            f"{name} ({length / sfreq:g} s)" if name in several else name
            for name, length in zip(frame["dataset"], frame["length"], strict=True)
        ],
        dtype=object,
    )


def _check_labels(y, n_windows):
    labels = np.asarray(y)
    if labels.shape != (n_windows,):
        raise ValueError(
            f"y has shape {labels.shape}, but there are {n_windows} windows."
        )
    known = pd.notna(labels)
    if not known.any():
        raise ValueError("y has no label that is not missing.")
    classes = labels[known]
    if classes.dtype == object:
        classes = classes.astype(str)
    if type_of_target(classes).startswith("continuous"):
        raise ValueError("Pairing by label needs classes, but y is continuous.")
    # Windows without a label (an unlabelled dataset among others) are never drawn.
    checked = np.full(n_windows, None, dtype=object)
    checked[known] = classes
    return checked


def _report_left_out(sampler, columns, why, needed, advice):
    if not sampler.left_out:
        return
    n_subjects = columns.groupby("dataset")["subject"].nunique()
    if n_subjects.reindex(sampler.left_out, fill_value=2).max() < 2:
        why = "there is only one subject"
        advice = "Cross-validation with fewer subjects left out keeps more of them."
    if len(n_subjects) > 1 and anonymous(columns).all():
        advice = (
            "The windows were made without dataset=, so each set counts as a dataset "
            "of its own; give them one name to pair their subjects."
        )
    if not sampler.datasets:
        raise ValueError(f"{needed}; {why} in {list_some(sampler.left_out)}. {advice}")
    if sampler.left_out:
        warnings.warn(
            f"Left out of pre-training, as {why}: {list_some(sampler.left_out)}.",
            stacklevel=5,
        )


class PairBatches(torch.utils.data.IterableDataset):
    """Batches of pairs, read as they are drawn.

    Parameters
    ----------
    reader : CanonicalReader
        Where windows are read from.
    sampler : StimulusPairSampler or LabelPairSampler
        Which windows make a batch.
    datasets : ndarray of str, shape (n_windows,)
        The sampler's name of each window's dataset.
    n_batches : int
        Batches of one pass (an epoch).
    one_subject : bool, default=False
        Whether the two sides of a pair are halves of one subject.
    """

    def __init__(self, reader, sampler, datasets, n_batches, one_subject=False):
        self.reader = reader
        self.sampler = sampler
        self.datasets = datasets
        self.n_batches = n_batches
        self.one_subject = one_subject

    def __len__(self):
        return self.n_batches

    def __iter__(self):
        for _ in range(self.n_batches):
            yield Batch(self._part(pair) for pair in self.sampler.draw()), None

    def _part(self, pair):
        rows = np.concatenate([pair.rows_a, pair.rows_b])
        sides = torch.zeros(len(rows), dtype=torch.long)
        sides[len(pair.rows_a) :] = 1
        labels = None
        if pair.labels_a is not None:
            labels = torch.as_tensor(np.concatenate([pair.labels_a, pair.labels_b]))
        return DatasetPart(
            windows=torch.from_numpy(self.reader.read(rows)),
            sides=sides,
            subjects=torch.zeros_like(sides) if self.one_subject else sides,
            labels=labels,
        )


class Batch:
    """The parts of a batch, one for each dataset; its length counts windows."""

    def __init__(self, parts):
        self.parts = list(parts)

    def __len__(self):
        return sum(len(part.windows) for part in self.parts)

    def to(self, device):
        """Return the batch on a device."""
        return Batch(part.to(device) for part in self.parts)
