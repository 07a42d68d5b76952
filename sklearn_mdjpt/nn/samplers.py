"""Which windows a batch of joint pre-training holds: some subjects of each dataset."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# A pair that shares a single stimulus takes this many of its moments, as negatives.
_MAX_ONSETS = 8
# Keys of a block of the subject-by-key table that is multiplied with itself.
_KEYS_AT_A_TIME = 4096


class PairBatch(NamedTuple):
    """Rows of X that a sampler drew: the windows of two subjects of one dataset.

    Attributes
    ----------
    dataset : object
        Name of the dataset, as given.
    rows_a, rows_b : ndarray of int, shape (n_pairs,)
        Positions in X of the first and the second subject's windows.  Pairs by
        stimulus are partners row by row; pairs by label are not, and one subject may
        have more windows than the other.
    labels_a, labels_b : ndarray of int or None
        Codes of the windows' labels, see ``LabelPairSampler.labels``; None for pairs
        by stimulus.
    """

    dataset: object
    rows_a: np.ndarray
    rows_b: np.ndarray
    labels_a: np.ndarray | None = None
    labels_b: np.ndarray | None = None

    @property
    def rows(self) -> np.ndarray:
        """Positions in X, subject by subject, as in `GroupBatch`."""
        return np.concatenate([self.rows_a, self.rows_b])

    @property
    def subjects(self) -> np.ndarray:
        """0 for the first subject's windows, 1 for the second's."""
        return np.repeat([0, 1], [len(self.rows_a), len(self.rows_b)])

    @property
    def kinds(self) -> np.ndarray | None:
        """Codes of the labels; None where row i of one is partner of row i."""
        if self.labels_a is None:
            return None
        return np.concatenate([self.labels_a, self.labels_b])


class GroupBatch(NamedTuple):
    """Rows of X that a sampler drew: the windows of several subjects of one dataset.

    Attributes
    ----------
    dataset : object
        Name of the dataset, as given.
    rows : ndarray of int, shape (n_windows,)
        Positions in X, subject by subject.
    subjects : ndarray of int, shape (n_windows,)
        Number of the subject of each window: 0, 1, ...
    kinds : ndarray of int, shape (n_windows,)
        The moment of each window, counted within the batch, or for pairs by label the
        code of its label.
    """

    dataset: object
    rows: np.ndarray
    subjects: np.ndarray
    kinds: np.ndarray


class _PairSampler:
    """Deal out each dataset's pairs of subjects like a deck of cards.

    Subclasses fill the deck: ``usable_pairs`` of their index says which subjects can
    be paired, ``draw`` and ``draw_group`` which of their windows are taken.
    """

    def __init__(self, datasets, rng, n_subjects=2, **columns):
        if not isinstance(n_subjects, Integral) or n_subjects < 2:
            raise ValueError(
                f"n_subjects must be an integer of at least 2, got {n_subjects!r}."
            )
        self.n_subjects = int(n_subjects)
        self.rng = np.random.default_rng(rng)
        n_windows = len(datasets)
        for name, column in columns.items():
            if len(column) != n_windows:
                raise ValueError(
                    f"{name} has {len(column)} entries, expected one for each of the "
                    f"{n_windows} windows."
                )
        self.datasets, self.left_out = [], []
        self._decks = {}
        codes, names = _encode(datasets)
        order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
        for name, first, stop in zip(names, bounds[:-1], bounds[1:], strict=True):
            rows = order[first:stop]
            windows = self._index(rows, **{k: v[rows] for k, v in columns.items()})
            pairs = windows.usable_pairs()
            if not len(pairs):
                self.left_out.append(name)
                continue
            self.datasets.append(name)
            self._decks[name] = _Deck(windows, pairs, self.rng)

    def draw(self) -> list[PairBatch] | list[GroupBatch]:
        """Draw a batch: the next subjects of each usable dataset.

        Returns
        -------
        list of PairBatch, or of GroupBatch if ``n_subjects`` is more than 2
            In the order of ``datasets``.

        Raises
        ------
        ValueError
            If no dataset is usable.
        """
        if not self._decks:
            raise ValueError(
                f"No dataset has two subjects that can be paired: {self.left_out}."
            )
        return [self._draw(name, deck) for name, deck in self._decks.items()]

    def _draw(self, name, deck):
        pair = deck.deal(self.rng)
        if self.n_subjects == 2:
            return PairBatch(name, *deck.windows.draw(*pair, self.rng))
        group = deck.join(pair, self.n_subjects, self.rng)
        rows, kinds = deck.windows.draw_group(group, self.rng)
        # A subject without any of the moments takes no part.
        counts = [len(mine) for mine in rows if len(mine)]
        return GroupBatch(
            name,
            np.concatenate(rows),
            np.repeat(np.arange(len(counts)), counts),
            np.concatenate(kinds),
        )

    def snapshot(self) -> tuple[Any, ...]:
        """Note where the sampler stands, at little cost.

        Returns
        -------
        tuple
            For `state_dict` and `restore` of this sampler.
        """
        # Decks that are shuffled anew get another order; the old one does not change.
        decks = [(deck.order, deck.position) for deck in self._decks.values()]
        return self.rng.bit_generator.state, decks

    def restore(self, snapshot: tuple[Any, ...]) -> None:
        """Go back to where the sampler stood.

        Parameters
        ----------
        snapshot : tuple
            What `snapshot` returned.
        """
        self.rng.bit_generator.state, decks = snapshot
        for deck, (order, position) in zip(self._decks.values(), decks, strict=True):
            deck.order, deck.position = order, position

    def state_dict(self, snapshot: tuple[Any, ...] | None = None) -> dict[str, Any]:
        """Return where the sampler stands, in JSON's types.

        Parameters
        ----------
        snapshot : tuple, default=None
            What `snapshot` returned, for where it stood then.

        Returns
        -------
        dict
            For `load_state_dict` of a sampler made from the same windows.
        """
        rng, decks = self.snapshot() if snapshot is None else snapshot
        return {
            "rng": _to_json(rng),
            "decks": [
                {"dataset": str(name), "order": order.tolist(), "position": position}
                for name, (order, position) in zip(self._decks, decks, strict=True)
            ],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another sampler of the same windows stood.

        Parameters
        ----------
        state : dict
            What `state_dict` returned.

        Raises
        ------
        ValueError
            If the state is of other datasets, or of other pairs of subjects.
        """
        found = [(d["dataset"], len(d["order"])) for d in state["decks"]]
        expected = [(str(n), len(d.pairs)) for n, d in self._decks.items()]
        if found != expected:
            raise ValueError(
                f"The state is of (dataset, number of pairs) {found}, this sampler has "
                f"{expected}."
            )
        self.rng.bit_generator.state = state["rng"]
        for deck, saved in zip(self._decks.values(), state["decks"], strict=True):
            deck.order = np.array(saved["order"], dtype=np.int64)
            deck.position = int(saved["position"])


class StimulusPairSampler(_PairSampler):
    """Draw windows that two subjects saw at the same moment of the same stimulus.

    Pairs of subjects of a dataset are drawn without replacement, then reshuffled.  A
    drawn pair gives one window pair for each stimulus that the two share, at a moment
    drawn from those that they share.  Where they have a session label in common in
    which they share stimuli, all are of one such session, drawn at random; otherwise
    sessions do not count.  If only one stimulus is shared, up to 8 of its moments are
    used, so that there are negatives.  Of several windows of a subject at the same
    moment (a stimulus seen twice), one is drawn.

    With more than two subjects, others join the drawn pair, at random among those who
    could be paired with one of the two; who could be with both comes first.  For each
    stimulus the moment is one that most of the group have, and at least two.

    Parameters
    ----------
    datasets, subjects, sessions, stimuli : array-like of shape (n_windows,)
        Strings or numbers that name the dataset, subject, session and stimulus of each
        window.  Subjects are counted within their dataset.  Windows without a subject
        or stimulus (None, "" or NaN) are never drawn; a missing session is a session.
    onsets : array-like of shape (n_windows,)
        Seconds from the start of the trial, compared to 1 ms; windows with NaN are
        never drawn.
    counted : array-like of bool, shape (n_windows,), default=None
        Which onsets are numbers of windows in the trial, not seconds.  Such windows are
        partners of each other only: seconds and counts are never compared.  None: all
        are seconds.
    n_subjects : int, default=2
        Subjects of each dataset in a batch; a dataset that has fewer gives all.
    aligned : bool, default=True
        Whether partners are of the same moment.  False pairs any windows of the same
        stimulus (the paper's ablation): onsets do not count, and two subjects have to
        share two stimuli.
    rng : int or numpy.random.Generator
        Seed, or a generator to draw from.

    Attributes
    ----------
    datasets : list
        Datasets that are drawn from, in the order of their first window.
    left_out : list
        The others: no two of their subjects share two moments of stimuli (the same
        stimulus at the same onset; a single one would have no negative).

    Raises
    ------
    ValueError
        If the arguments differ in length, or ``n_subjects`` is less than 2.

    Examples
    --------
    >>> from sklearn_mdjpt.nn import StimulusPairSampler
    >>> sampler = StimulusPairSampler(
    ...     ["A"] * 4, ["s1", "s1", "s2", "s2"], [1] * 4,
    ...     ["sad", "fun", "fun", "sad"], [0.0, 2.0, 2.0, 0.0], rng=0,
    ... )
    >>> [batch] = sampler.draw()
    >>> sorted(zip(batch.rows_a.tolist(), batch.rows_b.tolist()))
    [(0, 3), (1, 2)]
    """

    def __init__(
        self,
        datasets: ArrayLike,
        subjects: ArrayLike,
        sessions: ArrayLike,
        stimuli: ArrayLike,
        onsets: ArrayLike,
        *,
        counted: ArrayLike | None = None,
        n_subjects: int = 2,
        aligned: bool = True,
        rng: int | np.random.Generator,
    ) -> None:
        onsets = np.asarray(onsets, dtype=float)
        if counted is None or not aligned:
            counted = np.zeros(len(onsets))
        if not aligned:
            onsets = np.zeros_like(onsets)  # all of a stimulus is one moment
        super().__init__(
            datasets,
            rng,
            n_subjects,
            subjects=_column(subjects),
            sessions=_column(sessions),
            stimuli=_column(stimuli),
            onsets=onsets,
            counted=np.asarray(counted, dtype=bool),
        )

    def _index(self, rows, subjects, sessions, stimuli, onsets, counted):
        return _StimulusIndex(rows, subjects, sessions, stimuli, onsets, counted)


class LabelPairSampler(_PairSampler):
    """Draw windows of two subjects, balanced over the labels that both have.

    For data without shared stimuli; training with it is supervised.  Pairs of subjects
    of a dataset are drawn without replacement, then reshuffled.

    Parameters
    ----------
    datasets, subjects, labels : array-like of shape (n_windows,)
        Strings or numbers that name the dataset, subject and label of each window.
        Windows without a subject or label (None, "" or NaN) are never drawn.
    n_windows : int, default=16
        Windows of each subject, as evenly spread over the shared labels as its windows
        allow; a subject with fewer windows of these labels gives all of them.
    n_subjects : int, default=2
        Subjects of each dataset in a batch; a dataset that has fewer gives all.  More
        than two are drawn as by `StimulusPairSampler`, and labels are those that at
        least two of them have.
    rng : int or numpy.random.Generator
        Seed, or a generator to draw from.

    Attributes
    ----------
    datasets : list
        Datasets that are drawn from, in the order of their first window.
    left_out : list
        The others: no two of their subjects share two labels.
    labels : list
        Label of each code in the batches, in the order of the first window.

    Raises
    ------
    ValueError
        If the arguments differ in length, or ``n_windows`` or ``n_subjects`` is less
        than 2.
    """

    def __init__(
        self,
        datasets: ArrayLike,
        subjects: ArrayLike,
        labels: ArrayLike,
        *,
        n_windows: int = 16,
        n_subjects: int = 2,
        rng: int | np.random.Generator,
    ) -> None:
        if n_windows < 2:
            raise ValueError(
                f"n_windows must be at least 2, for two labels; got {n_windows!r}."
            )
        self.n_windows = n_windows
        codes, self.labels = _encode(labels)
        super().__init__(
            datasets, rng, n_subjects, subjects=_column(subjects), labels=codes
        )

    def _index(self, rows, subjects, labels):
        return _LabelIndex(rows, subjects, labels, self.n_windows)


class _Deck:
    """The pairs of subjects of one dataset, shuffled and dealt out."""

    def __init__(self, windows, pairs, rng):
        self.windows = windows
        self.pairs = pairs
        self.order = rng.permutation(len(pairs))
        self.position = 0

    def deal(self, rng):
        """Return the two subjects of the next pair."""
        if self.position == len(self.order):
            self.order = rng.permutation(len(self.pairs))
            self.position = 0
        pair = self.pairs[self.order[self.position]]
        self.position += 1
        return pair

    def join(self, pair, n_subjects, rng):
        """Return the pair with others who can be paired with one of the two."""
        a, b = pair
        ties = np.zeros(1 + self.pairs.max(), dtype=np.int64)
        for one in pair:
            for first, second in ((0, 1), (1, 0)):
                np.add.at(ties, self.pairs[self.pairs[:, first] == one, second], 1)
        ties[[a, b]] = 0
        others = rng.permutation(np.flatnonzero(ties))
        others = others[np.argsort(-ties[others], kind="stable")]
        return [a, b, *others[: n_subjects - 2]]


class _StimulusIndex:
    """One dataset's windows, sorted so that a pair's common moments are found fast.

    A *key* is a stimulus at an onset; a *place* is a key in a session.
    """

    def __init__(self, rows, subjects, sessions, stimuli, onsets, counted):
        subjects, names = _encode(subjects)
        stimuli, _ = _encode(stimuli)
        sessions, _ = _encode(sessions, keep_missing=True)
        valid = (subjects >= 0) & (stimuli >= 0) & np.isfinite(onsets)
        rows, subjects, sessions = rows[valid], subjects[valid], sessions[valid]
        # Slightly above halves: values that are 0.5 ms up to rounding go one way.
        ms = np.floor(onsets[valid] * 1000 + (0.5 + 1e-6)).astype(np.int64)
        moments, moment = np.unique(2 * ms + counted[valid], return_inverse=True)
        keys = stimuli[valid] * len(moments) + moment
        keys, key = np.unique(keys, return_inverse=True)
        self.key_stimulus = keys // max(1, len(moments))
        self.n_keys = len(keys)
        place = sessions * self.n_keys + key
        order = np.lexsort((place, subjects))
        bounds = np.searchsorted(subjects[order], np.arange(len(names) + 1))
        self.rows, self.place = rows[order], place[order]
        self.key = key[order]
        self.slices = [slice(*b) for b in zip(bounds[:-1], bounds[1:], strict=True)]

    def usable_pairs(self):
        """Return the pairs of subjects that share two keys: a pair and a negative."""
        return _pairs_sharing([self.key[s] for s in self.slices], self.n_keys, 2)

    def draw(self, a, b, rng):
        """Return partner rows of subjects ``a`` and ``b``."""
        members, session = self._meet(a, b, rng)
        shared = np.intersect1d(*(places for places, _ in members))
        if session is not None:
            shared = shared[shared // self.n_keys == session]
        chosen = self._choose(rng.permutation(shared))
        return tuple(
            _one_row_each(places, rows, chosen, rng) for places, rows in members
        )

    def draw_group(self, subjects, rng):
        """Return rows and moments of each subject; the first two can be paired."""
        members, session = self._meet(*subjects[:2], rng)
        by_key = session is None
        members += [self._places(subject, by_key) for subject in subjects[2:]]
        places = np.concatenate([np.unique(places) for places, _ in members])
        if not by_key:
            places = places[places // self.n_keys == session]
        shared, counts = np.unique(places, return_counts=True)
        shared, counts = shared[counts > 1], counts[counts > 1]
        # The place that most subjects have comes first, a random one of several.
        order = rng.permutation(len(shared))
        order = order[np.argsort(-counts[order], kind="stable")]
        chosen = self._choose(shared[order])
        rows, moments = [], []
        for places, mine in members:
            has = np.flatnonzero(np.isin(chosen, places))
            rows.append(_one_row_each(places, mine, chosen[has], rng))
            moments.append(has)
        return rows, moments

    def _meet(self, a, b, rng):
        """Return places and rows of two subjects, and a session that they share.

        If they have none in which they share enough, keys alone count: they are the
        places then, and the session is None.
        """
        members = [self._places(subject, False) for subject in (a, b)]
        shared = np.intersect1d(*(places for places, _ in members))
        sessions, counts = np.unique(shared // self.n_keys, return_counts=True)
        sessions = sessions[counts > 1]
        if len(sessions):
            return members, rng.choice(sessions)
        return [self._places(subject, True) for subject in (a, b)], None

    def _places(self, subject, by_key):
        """Return the places of a subject's windows, ascending, and their rows."""
        mine = self.slices[subject]
        if not by_key:
            return self.place[mine], self.rows[mine]
        order = np.argsort(self.key[mine], kind="stable")
        return self.key[mine][order], self.rows[mine][order]

    def _choose(self, shared):
        """Return the first place of each stimulus; of a single one, several."""
        stimuli = self.key_stimulus[shared % self.n_keys]
        _, first = np.unique(stimuli, return_index=True)
        return shared[first] if len(first) > 1 else shared[:_MAX_ONSETS]


class _LabelIndex:
    """One dataset's windows by subject and label."""

    def __init__(self, rows, subjects, labels, n_windows):
        self.n_windows = n_windows
        subjects, names = _encode(subjects)
        valid = (subjects >= 0) & (labels >= 0)
        rows, subjects, labels = rows[valid], subjects[valid], labels[valid]
        # The rows of each subject, as a dict from label to positions in X.
        self.by_label = [{} for _ in names]
        order = np.lexsort((labels, subjects))
        cuts = np.flatnonzero(np.diff(subjects[order]) | np.diff(labels[order])) + 1
        for group in np.split(order, cuts):
            if len(group):
                self.by_label[subjects[group[0]]][labels[group[0]]] = rows[group]

    def usable_pairs(self):
        """Return the pairs of subjects that share two labels."""
        labels = [np.array(list(found), dtype=np.int64) for found in self.by_label]
        n_labels = 1 + max((c.max() for c in labels if len(c)), default=-1)
        return _pairs_sharing(labels, n_labels, 2)

    def draw(self, a, b, rng):
        """Return rows and labels of subjects ``a`` and ``b``."""
        a, b = self.by_label[a], self.by_label[b]
        # One order for both: with fewer windows than labels, both take the same ones.
        shared = rng.permutation(np.intersect1d(list(a), list(b)))
        shared = shared[: self.n_windows]
        rows_a, labels_a = self._spread(a, shared, rng)
        rows_b, labels_b = self._spread(b, shared, rng)
        return rows_a, rows_b, labels_a, labels_b

    def draw_group(self, subjects, rng):
        """Return rows and labels of each subject; the first two can be paired."""
        members = [self.by_label[subject] for subject in subjects]
        labels = np.concatenate([list(by_label) for by_label in members])
        labels, counts = np.unique(labels, return_counts=True)
        shared = rng.permutation(labels[counts > 1])[: self.n_windows]
        drawn = []
        for by_label in members:
            mine = shared[np.isin(shared, list(by_label))]
            none = np.zeros(0, np.int64)
            drawn.append(
                self._spread(by_label, mine, rng) if len(mine) else (none, none)
            )
        return [rows for rows, _ in drawn], [labels for _, labels in drawn]

    def _spread(self, by_label, labels, rng):
        counts = _even_counts([len(by_label[i]) for i in labels], self.n_windows)
        rows = [
            rng.choice(by_label[label], count, replace=False)
            for label, count in zip(labels, counts, strict=True)
        ]
        return np.concatenate(rows), np.repeat(labels, counts)


def _even_counts(available, total):
    """Spread ``total`` over groups as evenly as what is available allows.

    >>> _even_counts([5, 1, 9], 8).tolist()
    [4, 1, 3]
    """
    available = np.asarray(available)
    counts = np.zeros(len(available), dtype=np.int64)
    left = min(total, available.sum())
    while left:
        # One round: an equal share for each group with something left, or, of a
        # remainder smaller than the groups, one for each of the first.
        room = np.flatnonzero(counts < available)
        share = max(left // len(room), 1)
        room = room[: left // share]
        given = np.minimum(share, available[room] - counts[room])
        counts[room] += given
        left -= given.sum()
    return counts


def _pairs_sharing(keys_of, n_keys, n_shared):
    """Pairs (i, j), i < j, of subjects that have ``n_shared`` keys in common.

    The table of subjects by keys, multiplied with itself, counts common keys: no loop
    over pairs.  It is built in blocks of keys, as it may not fit in memory.
    """
    n_subjects = len(keys_of)
    common = np.zeros((n_subjects, n_subjects), dtype=np.float32)
    keys_of = [np.unique(keys) for keys in keys_of]
    for start in range(0, n_keys, _KEYS_AT_A_TIME):
        size = min(_KEYS_AT_A_TIME, n_keys - start)
        has = np.zeros((n_subjects, size), dtype=np.float32)
        for subject, keys in enumerate(keys_of):
            lo, hi = np.searchsorted(keys, (start, start + size))
            has[subject, keys[lo:hi] - start] = 1
        common += has @ has.T
    return np.argwhere(np.triu(common >= n_shared, k=1))


def _one_row_each(places, rows, chosen, rng):
    """For each chosen place, one of the rows there; ``places`` are sorted."""
    lo = np.searchsorted(places, chosen, side="left")
    hi = np.searchsorted(places, chosen, side="right")
    return rows[rng.integers(lo, hi)]


def _column(values):
    """Return a 1-D array that holds the values as they are."""
    column = np.empty(len(values), dtype=object)
    column[:] = list(values)
    return column


def _encode(values, keep_missing=False):
    """Give values codes 0, 1, ... by first appearance, missing ones -1.

    Returns the codes and the list of values.  Values need not be sortable.
    """
    values = list(values)
    numbers, codes = {}, {}
    for value in dict.fromkeys(values):
        missing = value is None or value == "" or value != value
        if missing and not keep_missing:
            codes[value] = -1
        else:
            name = None if missing else value
            codes[value] = numbers.setdefault(name, len(numbers))
    codes = np.fromiter(map(codes.__getitem__, values), np.int64, len(values))
    return codes, list(numbers)


def _to_json(value):
    """Return a generator's state with numpy's types made Python's."""
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value
