"""Which windows an index picks."""

import numpy as np
import pandas as pd

from .._validation import list_some


def rows_of_index(index, n_windows):
    """Return the rows (n,) that a slice, ints, or a boolean mask pick."""
    if isinstance(index, slice):
        return np.arange(n_windows)[index]
    if isinstance(index, pd.Series) and pd.api.types.is_bool_dtype(index):
        index = _align_mask(index, n_windows)
    rows = np.asarray(index)
    if rows.dtype == bool:
        if rows.shape != (n_windows,):
            raise IndexError(
                f"Boolean index has shape {rows.shape}, but there are {n_windows} "
                "windows."
            )
        rows = np.flatnonzero(rows)
    elif rows.size == 0:
        rows = rows.astype(int)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise IndexError(
            "Index EEGWindows with an int, a slice, an array of ints or a boolean "
            f"mask; got {type(index).__name__} of shape {rows.shape} and dtype "
            f"{rows.dtype}."
        )
    return np.arange(n_windows)[rows]


def _align_mask(mask, n_windows):
    """Return a boolean Series as an array in the order of the windows."""
    known, labels = pd.RangeIndex(n_windows), mask.index
    if len(labels) == n_windows and labels.is_unique and known.isin(labels).all():
        return mask.reindex(known).to_numpy()
    flaws = {
        "are missing": known[~known.isin(labels)],
        "are no window": labels[~labels.isin(known)].unique(),
        "occur several times": labels[labels.duplicated()].unique(),
    }
    said = "; ".join(
        f"{list_some(map(repr, some.tolist()))} {what}"
        for what, some in flaws.items()
        if len(some)
    )
    raise IndexError(
        f"The index of a boolean Series must hold the number of each of the "
        f"{n_windows} windows, 0 to {n_windows - 1}, once, as that of X.metadata does. "
        f"In its {len(labels)} labels: {said}. Where its entries are in the order of "
        "the windows, pass mask.to_numpy()."
    )
