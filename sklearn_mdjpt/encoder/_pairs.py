"""Which windows are paired in pre-training, and batches of such pairs."""

import collections
import contextlib

import numpy as np
import pandas as pd
import torch
from sklearn.utils.multiclass import type_of_target

from .._identity import is_made_up
from .._validation import check_ids, check_onsets, check_y, list_some, warn
from ..channels._channels import CANONICAL_CHANNELS
from ..nn import LabelPairSampler, StimulusPairSampler
from ..nn.pretraining import DatasetPart
from ._moments import find_moments, number_windows
from ._processes import balance_load
from ._read_ahead import joined, read_ahead

# Normalised EEG is about 1; so large a value comes from a broken recording.
_ODD_AMPLITUDE = 1e6
_KEYWORDS = {
    "subjects": "subject",
    "datasets": "dataset",
    "sessions": "session",
    "stimuli": "stimulus",
    "onsets": "onset",
}


# Column with the moment that onsets count from; windows that differ in it never pair.
_ORIGIN = "onset_from"


def pair_columns(windows, **keywords):
    """Return the metadata of windows, filled up from the keywords of fit.

    Parameters
    ----------
    windows : EEGWindows
        Their own metadata come first.
    **keywords : array-like of shape (n_windows,) or None
        ``subjects``, ``datasets``, ``sessions``, ``stimuli``, ``onsets``.

    Returns
    -------
    DataFrame of shape (n_windows, 7) or (n_windows, 8)
        Columns subject, dataset, session, stimulus, onset, and as `number_windows` has
        them run and order; onset_from where the windows have it.
    """
    columns = windows.metadata[list(_KEYWORDS.values())]
    if _ORIGIN in windows.metadata:
        columns[_ORIGIN] = windows.metadata[_ORIGIN]
    n = len(columns)
    for keyword, values in keywords.items():
        name = _KEYWORDS[keyword]
        if values is None:
            continue
        if name == "onset":
            given = check_onsets(values, n, keyword)
        else:
            given = pd.Series(check_ids(values, n, keyword), dtype=object)
        unknown = columns[name].isna()
        if name == "dataset":
            unknown = pd.Series(is_made_up(columns[name]), columns.index)
        columns[name] = columns[name].mask(unknown, given)
    columns["run"], columns["order"] = number_windows(
        windows, columns.assign(trial=windows.metadata["trial"])
    )
    return columns


def uses_labels(columns, pairing):
    """Return whether labels make the pairs: on request, or if no stimulus is known."""
    return pairing == "label" or columns["stimulus"].isna().all()


def make_sampler(
    columns, lengths, y, *, pairing, known_labels, sfreq, rng, n_subjects=2
):
    """Decide how windows are paired; warn if it is not as ``pairing`` says.

    Parameters
    ----------
    columns : DataFrame
        As `pair_columns` returns it.
    lengths : ndarray of int, shape (n_windows,)
        Samples of each window; only windows of equal length are paired.
    y : array-like of shape (n_windows,) or None
        Labels given to fit.
    pairing : {"stimulus", "stimulus-any-onset", "label"}
        What was asked for.
    known_labels : ndarray or None
        Labels that the windows carry, for ``pairing="label"`` without ``y``.
    sfreq : float
        Rate of ``lengths``, for messages.
    rng : numpy.random.Generator
        For the sampler.
    n_subjects : int, default=2
        Subjects of each dataset in a batch.

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
    if not uses_labels(columns, pairing):
        return _pair_by_stimulus(columns, datasets, pairing, n_subjects, rng)
    labels = _labels_of_pairs(y, known_labels, pairing, len(columns))
    return _pair_by_label(columns, datasets, labels, pairing, n_subjects, rng)


def _pair_by_stimulus(columns, datasets, pairing, n_subjects, rng):
    """Return what `make_sampler` returns, for windows of the same stimulus."""
    if columns["subject"].isna().all():
        raise ValueError(
            "Pairs by stimulus need to know whose window is whose: pass subjects= "
            "to fit, or EEGWindows with subjects (Recording(..., subject=))."
        )
    aligned = pairing == "stimulus"
    moments, counted = columns["onset"], None
    if _ORIGIN in columns:
        datasets = _split(columns["dataset"], datasets, columns[_ORIGIN])
    if aligned:
        moments, counted = find_moments(columns, datasets)
    sampler = StimulusPairSampler(
        datasets,
        columns["subject"].to_numpy(dtype=object),
        columns["session"],
        columns["stimulus"].to_numpy(dtype=object),
        moments,
        counted=counted,
        aligned=aligned,
        n_subjects=n_subjects,
        rng=rng,
    )
    why = "no two subjects share two stimuli"
    advice = "Check stimuli and onsets, or set pairing='label' (supervised)."
    if aligned:
        why = "no two subjects share a stimulus at two onsets, or two stimuli"
        if counted.any() and not counted.all():
            advice = f"Onsets are known for some windows only. {advice}"
    _report_left_out(
        sampler,
        columns,
        why,
        "Pre-training needs at least two subjects who share stimuli",
        advice,
    )
    return sampler, datasets, False


def _pair_by_label(columns, datasets, labels, pairing, n_subjects, rng):
    """Return what `make_sampler` returns, for windows of the same label."""
    subjects = columns["subject"].to_numpy(dtype=object)
    one_subject = columns["subject"].isna().all()
    notes = []
    if pairing != "label":
        notes.append(
            "No stimuli are known: windows are paired by label instead "
            "(pairing='label'), which makes the pre-training supervised."
        )
    if one_subject:
        notes.append(
            "No subjects are known: pairs by label come from all of X, so nothing is "
            "aligned between subjects. Pass subjects= or EEGWindows."
        )
        subjects, n_subjects = _random_halves(labels, rng), 2
    if notes:
        warn(" ".join(notes))
    sampler = LabelPairSampler(
        datasets, subjects, labels, n_subjects=n_subjects, rng=rng
    )
    _report_left_out(
        sampler,
        columns,
        "no two subjects share two labels",
        "Pairing by label needs at least two subjects who have two labels in common",
        "Check y and subjects.",
    )
    return sampler, datasets, one_subject


def _labels_of_pairs(y, known_labels, pairing, n_windows):
    """Return the checked labels to pair by: those of fit, or those of the windows."""
    if pairing == "label" and y is None:
        y = known_labels
    if y is None and known_labels is not None:
        raise ValueError(
            "No stimuli are known to pair windows by. X carries labels: set "
            "pairing='label' to pair by these (supervised), or name the stimuli "
            "(trials with a stimulus, from_raw(..., description='stimulus'))."
        )
    if y is None:
        raise ValueError(
            "Nothing to pair windows by: pass subjects= and stimuli= to fit, or "
            "EEGWindows that carry them"
            + ("; pairing='label' needs y." if pairing == "label" else ", or y.")
        )
    return _check_labels(y, n_windows)


def _random_halves(labels, rng):
    """Return names of two random halves of the windows, with each label in both.

    They stand in for two subjects where none is known.
    """
    order = rng.permutation(len(labels))
    halves = pd.Series(order).groupby(pd.factorize(labels[order])[0]).cumcount() % 2
    names = np.empty(len(labels), dtype=object)
    names[order] = [f"half {half}" for half in halves]
    return names


def _split_by_length(datasets, lengths, sfreq):
    """Name the datasets; one with several window lengths gets a name for each."""
    seconds = [f"{length / sfreq:g} s" for length in lengths]
    return _split(datasets, datasets, seconds)


def _split(datasets, names, kinds):
    """Append the kind of each window to its name if its dataset has several kinds."""
    frame = pd.DataFrame(
        {"dataset": np.asarray(datasets), "kind": np.asarray(kinds, dtype=object)}
    )
    several = frame.groupby("dataset")["kind"].nunique(dropna=False)
    several = set(several.index[several > 1])
    return np.array(
        [
            f"{name} ({kind})" if dataset in several else name
            for dataset, name, kind in zip(
                frame["dataset"], names, frame["kind"], strict=True
            )
        ],
        dtype=object,
    )


def _check_labels(y, n_windows):
    labels = check_y(y, n_windows)
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
        advice = (
            "All subjects of a study need one name of dataset, and two of them must "
            "stay in the training fold."
        )
    if len(n_subjects) > 1 and is_made_up(columns["dataset"]).all():
        advice = (
            "The windows were made without dataset=, so each set counts as a dataset "
            "of its own; give them one name to pair their subjects."
        )
    if not sampler.datasets:
        raise ValueError(f"{needed}; {why} in {list_some(sampler.left_out)}. {advice}")
    warn(f"Left out of pre-training, as {why}: {list_some(sampler.left_out)}.")


class PairDataset(torch.utils.data.IterableDataset):
    """The batches of an epoch: a sampler draws rows, each `Batch` holds their windows.

    Parameters
    ----------
    reader : CanonicalReader
        Reads the windows.
    sampler : StimulusPairSampler or LabelPairSampler
        Draws the rows of a batch: a `PairBatch` or `GroupBatch` for each dataset.
    columns : DataFrame
        As `pair_columns` returns it: subject and stimulus of each window.
    datasets : ndarray of str, shape (n_windows,)
        The sampler's name of each window's dataset.
    n_batches : int
        Batches of one pass (an epoch).
    one_subject : bool, default=False
        Whether the two sides of a pair are halves of one subject.
    """

    def __init__(
        self, reader, sampler, columns, datasets, n_batches, one_subject=False
    ):
        self.reader = reader
        self.sampler = sampler
        self.columns = columns
        self.datasets = datasets
        self.n_batches = n_batches
        self.one_subject = one_subject
        self._process, self._n_processes = 0, 1
        # Where the sampler stood before it drew ahead; None where it did not.
        self._after = None

    @classmethod
    def of_windows(
        cls, reader, windows, columns, y, *, pairing, rng, n_batches, n_subjects=2
    ):
        """Make batches of windows with the sampler of `make_sampler`."""
        sampler, datasets, one_subject = make_sampler(
            columns,
            reader.n_times,
            y,
            pairing=pairing,
            known_labels=windows.y,
            sfreq=reader.sfreq,
            rng=rng,
            n_subjects=n_subjects,
        )
        return cls(reader, sampler, columns, datasets, n_batches, one_subject)

    def shard(self, process, n_processes, *, by_subject):
        """Restrict the batches to the part of one process.

        Parameters
        ----------
        process, n_processes : int
            Which of how many.
        by_subject : bool
            Whether the subjects of a dataset may go to several processes: they may if
            each subject has its own statistics.

        Raises
        ------
        ValueError
            If there are more processes than pieces.
        """
        self._by_subject = by_subject and not self.one_subject
        n_pieces = len(self.sampler.datasets)
        if self._by_subject:
            n_pieces *= self.sampler.n_subjects
        if n_processes > n_pieces:
            what = "subjects of a batch" if self._by_subject else "datasets"
            raise ValueError(
                f"{n_processes} processes were started, but a batch goes to at most "
                f"{n_pieces}: no more than there are {what}."
            )
        self._process, self._n_processes = process, n_processes

    def state(self):
        """Return the state of the sampler after the batch that was taken last."""
        state = self.sampler.state_dict(self._after)
        for deck in state["decks"]:
            # The pairs grow with the square of the subjects; an array is small.
            deck["order"] = np.asarray(deck["order"], np.int64)
        return state

    def load_state(self, state):
        """Restore the state of another sampler of the same data."""
        # Made-up names of datasets differ each time; their order does not.
        decks = [
            deck | {"dataset": str(name)}
            for deck, name in zip(state["decks"], self.sampler.datasets, strict=True)
        ]
        self.sampler.load_state_dict(state | {"decks": decks})

    def __len__(self):
        return self.n_batches

    def __iter__(self):
        return self.take(self.n_batches, torch.device("cpu"))

    def take(self, n_batches, device):
        """Yield the next batches, and None as their target.

        Parameters
        ----------
        n_batches : int
            How many.
        device : torch.device
            Where they are to be; for a GPU one is drawn and read ahead.

        Yields
        ------
        batch : Batch
            On the device.
        target : None
            For skorch.
        """
        before = collections.deque()

        def drawn():
            for _ in range(n_batches):
                before.append(self.sampler.snapshot())
                yield self.sampler.draw()

        def read(pairs):
            return self._read(pairs, device)

        try:
            with contextlib.closing(read_ahead(read, drawn(), device)) as batches:
                for batch in batches:
                    before.popleft()
                    self._after = before[0] if before else None
                    yield batch.to(device), None
        finally:
            if before:  # nobody took it
                self.sampler.restore(before[0])
            self._after = None

    def _read(self, pairs, device):
        mine = self._mine(pairs) if self._n_processes > 1 else [None] * len(pairs)
        batch = Batch(map(self._part, pairs, mine), self, pairs)
        return batch if device.type == "cpu" else batch.joined(device)

    def _mine(self, pairs):
        """Return the places in each pair of the rows that this process encodes."""
        pieces, costs = [], []
        for k, pair in enumerate(pairs):
            rows = np.arange(len(pair.rows))
            # The windows are ordered by subject.
            cuts = (
                np.flatnonzero(np.diff(pair.subjects)) + 1 if self._by_subject else []
            )
            for piece in np.split(rows, cuts):
                pieces.append((k, piece))
                costs.append(len(piece) * self.reader.n_times[pair.rows[0]])
        owners = balance_load(costs, self._n_processes)
        mine = [[np.zeros(0, np.int64)] for _ in pairs]
        for (k, rows), owner in zip(pieces, owners, strict=True):
            if owner == self._process:
                mine[k].append(rows)
        return [np.concatenate(rows) for rows in mine]

    def _part(self, pair, mine):
        rows, kinds = pair.rows, pair.kinds
        sides = torch.as_tensor(pair.subjects, dtype=torch.long)
        read = rows if mine is None else rows[mine]
        if len(read):
            windows = self.reader.read(read)
        else:
            n_times = self.reader.n_times[rows[0]]
            windows = np.zeros((0, len(CANONICAL_CHANNELS), n_times), np.float32)
        return DatasetPart(
            windows=torch.from_numpy(windows),
            sides=sides,
            subjects=torch.zeros_like(sides) if self.one_subject else sides,
            kinds=None if kinds is None else torch.as_tensor(kinds),
            rows=None if mine is None else torch.from_numpy(mine),
        )


class Batch:
    """A batch with its windows: one `DatasetPart` for each `PairBatch` or `GroupBatch`.

    Its length counts windows.

    Parameters
    ----------
    parts : iterable of DatasetPart
        The windows of each dataset.
    batches : PairDataset
        Made the batch.
    pairs : list of PairBatch or GroupBatch
        The rows that the sampler drew, one entry for each part.
    flat : Tensor, default=None
        The windows of all parts, where they lie end to end.
    """

    def __init__(self, parts, batches, pairs, flat=None):
        self.parts = list(parts)
        self._batches, self._pairs, self._flat = batches, pairs, flat

    def __len__(self):
        return sum(len(part.subjects) for part in self.parts)

    def joined(self, device):
        """Return the batch with all windows in one piece, to go to a device at once."""
        flat = joined([part.windows.numpy() for part in self.parts], device)
        return self._with_windows(flat)

    def to(self, device):
        """Return the batch with its windows on a device."""
        if device.type == "cpu":
            return self
        flat = self.joined(device)._flat if self._flat is None else self._flat
        return self._with_windows(flat.to(device, non_blocking=True))

    def _with_windows(self, flat):
        """Return the batch with windows that lie end to end in a tensor."""
        pieces = flat.split([part.windows.numel() for part in self.parts])
        parts = [
            part._replace(windows=piece.view_as(part.windows))
            for part, piece in zip(self.parts, pieces, strict=True)
        ]
        return Batch(parts, self._batches, self._pairs, flat)

    def origin(self):
        """Return a sentence that names the subjects, and windows that look broken."""
        columns, texts = self._batches.columns, []
        for pair, part in zip(self._pairs, self.parts, strict=True):
            rows = pair.rows
            names = map(str, columns["subject"].iloc[rows])
            stimuli = dict.fromkeys(map(str, columns["stimulus"].iloc[rows].dropna()))
            text = f"dataset {pair.dataset}, subjects {list_some(dict.fromkeys(names))}"
            if stimuli:
                text += f", stimuli {list_some(stimuli)}"
            mine = rows if part.rows is None else rows[part.rows.numpy()]
            largest = part.windows.abs().flatten(1).amax(1).cpu().numpy()
            odd = mine[~(largest < _ODD_AMPLITUDE)]
            if len(odd):
                ids = columns.iloc[odd][["subject", "session"]].drop_duplicates()
                names = [
                    " session ".join(str(x) for x in row if pd.notna(x))
                    for row in ids.itertuples(index=False)
                ]
                text += (
                    f" (values up to {np.max(largest):.3g} in windows of subject "
                    f"{list_some(names)}, where amplitudes are about 1)"
                )
            texts.append(text)
        return f"The batch: {'; '.join(texts)}."
