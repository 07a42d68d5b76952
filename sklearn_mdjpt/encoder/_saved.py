"""What an encoder keeps beside its weights: its history, and whom it knows."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from .. import __version__
from .._identity import is_made_up, say_what_is_hidden
from .._validation import join_ids, list_some, split_ids
from ..channels._channels import CANONICAL_CHANNELS, CANONICAL_SFREQ
from ..nn import NormStatistics
from ..windows._amplitude import Amplitude


class Seen(NamedTuple):
    """Whom weights were trained on; None is what is not known."""

    datasets: list[str] | None
    subjects: list[str] | None
    n_subjects: int | None

    def describe(self):
        """Say in a few words whom weights were trained on."""
        if self == NOT_KNOWN:
            return "not known"
        if self.n_subjects == 0:
            return "nobody"
        n = "an unknown number of" if self.n_subjects is None else self.n_subjects
        who = f"{n} subject{'s' * (n != 1)}"
        if self.datasets is None:
            return f"{who}, names left out"
        return f"{who} of {list_some(self.datasets) or 'datasets without a name'}"

    def table(self):
        """Return a table of the people that are known by name."""
        rows = [split_ids(name) for name in self.subjects or ()]
        # In files of earlier versions a slash may be part of a subject's id.
        people = [(d, "/".join(part or "" for part in rest)) for d, *rest in rows]
        return pd.DataFrame(people, columns=["dataset", "subject"], dtype=object)


class Calibration(NamedTuple):
    """The statistics of one person, without labels.

    Attributes
    ----------
    amplitude : Amplitude or None
        The amplitude of the signals; None with ``window_norm=None``.
    statistics : NormStatistics or None
        What z-scores inside the network, on the CPU; None with ``subject_norm=None``.
    """

    amplitude: Amplitude | None
    statistics: NormStatistics | None


NOTHING_SEEN = Seen([], [], 0)
NOT_KNOWN: Seen = Seen(None, None, None)


def file_metadata(parameters, seen, history):
    """Return what a weights file keeps in its header, beside the architecture."""
    return {
        "package_version": __version__,
        "parameters": parameters,
        "ch_names": list(CANONICAL_CHANNELS),
        "sfreq": CANONICAL_SFREQ,
        "training_datasets": seen.datasets,
        "training_subjects": seen.subjects,
        "n_training_subjects": seen.n_subjects,
        "history": _plain_history(history),
    }


def seen_in(columns):
    """Names of the datasets and subjects in a table."""
    table = columns[["dataset", "subject"]].drop_duplicates()
    # A subject of a dataset without a name may be one of another dataset, or not.
    countable = table["subject"].notna().all() and not say_what_is_hidden(
        table, "subject"
    )
    n_subjects = len(table) if countable else None
    table = table[~is_made_up(table["dataset"])]
    known = table.dropna()
    return Seen(
        list(table["dataset"].unique()),
        [join_ids(*row) for row in known.itertuples(index=False, name=None)],
        n_subjects,
    )


def merge_seen(a, b):
    """Merge what was seen; what one of the two does not know stays unknown."""
    if NOTHING_SEEN in (a, b):
        return b if a == NOTHING_SEEN else a
    if a.subjects is None or b.subjects is None:
        return NOT_KNOWN
    datasets = list(dict.fromkeys([*a.datasets, *b.datasets]))
    subjects = list(dict.fromkeys([*a.subjects, *b.subjects]))
    # People without a name in the one may be those with or without one in the other.
    complete = all(seen.n_subjects == len(seen.subjects) for seen in (a, b))
    return Seen(datasets, subjects, len(subjects) if complete else None)


def _plain_history(history):
    """Return a history as JSON has it, which has no NaN."""
    return {
        name: [float(x) if np.isfinite(x) else None for x in column]
        for name, column in history.items()
    }


def no_history():
    """Return the history of an encoder that was not trained."""
    columns = ["isa", "cda", "total", "seconds", "log_spatial_norm"]
    return pd.DataFrame(
        columns=columns, index=pd.RangeIndex(1, 1, name="epoch"), dtype=float
    )
