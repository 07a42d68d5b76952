"""The nearest neighbour by cosine similarity, among windows that may count."""

import numpy as np

_BLOCK_BYTES = 2**26


def class_similarities(Z, codes, n_classes, excluded):
    """Return how near the nearest window of each class is to each window.

    Similarities are computed in blocks of rows: memory does not grow with the square
    of the number of windows.

    Parameters
    ----------
    Z : ndarray of shape (n_windows, n_features)
        Features.
    codes : ndarray of int, shape (n_windows,)
        Class of each window, from 0 on.
    n_classes : int
        Number of classes.
    excluded : ndarray of shape (n_windows,)
        Windows of the same value are no neighbours of each other.

    Returns
    -------
    ndarray of float32, shape (n_windows, n_classes)
        Cosine similarity, from -1 to 1; -1 where no window of the class may count.
    """
    Z = np.asarray(Z, dtype=np.float32)
    norms = np.linalg.norm(Z, axis=1, keepdims=True)
    Z = Z / np.maximum(norms, np.finfo(np.float32).tiny)
    # Windows of a class side by side: their maximum is one reduction.
    order = np.argsort(codes, kind="stable")
    present, starts = np.unique(codes[order], return_index=True)
    columns, excluded_columns = Z[order].T, excluded[order]
    similarities = np.full((len(Z), n_classes), -1, dtype=np.float32)
    step = max(1, _BLOCK_BYTES // (4 * len(Z)))
    for start in range(0, len(Z), step):
        rows = slice(start, start + step)
        block = Z[rows] @ columns
        block[excluded[rows, None] == excluded_columns] = -1
        similarities[rows, present] = np.maximum.reduceat(block, starts, axis=1)
    return np.clip(similarities, -1, 1)
