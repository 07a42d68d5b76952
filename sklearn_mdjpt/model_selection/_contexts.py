"""A splitter from one context to another: clips to imagination, say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._validation import list_some
from ..windows._windows import EEGWindows
from ._splitters import LeaveSubjectsOut

if TYPE_CHECKING:
    from .._typing import RandomState


class CrossContext(LeaveSubjectsOut):
    """Train in one context on some subjects, and test in another one on the others.

    Neither the test subjects nor the test context are known from training.  What other
    subjects do in the test context, and the test subjects in the training context, is
    in neither set.

    Parameters
    ----------
    train, test : str
        The two contexts: values of ``column``.
    column : str, default="session"
        The column of ``X.metadata`` that tells contexts apart.
    n_splits : int, default=None
        Number of folds of subjects; None leaves out each subject by itself.
    random_state : int, RandomState instance or None, default=None
        Seeds which subjects are in one fold; not used with ``n_splits=None``.

    See Also
    --------
    LeaveSubjectsOut : Within all contexts together.
    sklearn_mdjpt.datasets.fetch_emoeeg_mc : Has the contexts "vid" and "ima".

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mdjpt import EEGWindows
    >>> from sklearn_mdjpt.model_selection import CrossContext
    >>> X = EEGWindows.from_arrays(
    ...     np.ones((4, 1, 50)), ch_names=["Cz"], sfreq=10, dataset="D",
    ...     subject=["01", "01", "02", "02"], session=["vid", "ima", "vid", "ima"])
    >>> for train, test in CrossContext("vid", "ima").split(X):
    ...     print(train, test)
    [2] [1]
    [0] [3]
    """

    def __init__(
        self,
        train: str,
        test: str,
        *,
        column: str = "session",
        n_splits: int | None = None,
        random_state: RandomState = None,
    ) -> None:
        super().__init__(n_splits, random_state=random_state)
        self.train = train
        self.test = test
        self.column = column

    def _split(self, X, y, groups):
        if not isinstance(X, EEGWindows):
            raise TypeError(
                f"CrossContext reads contexts from EEGWindows, got {type(X).__name__}."
            )
        if not len(X):
            raise ValueError("X has no windows.")
        metadata = X.metadata
        if self.column not in metadata:
            raise ValueError(
                f"column={self.column!r} is none of X.metadata, which has "
                f"{list_some(metadata.columns)}."
            )
        contexts = metadata[self.column].to_numpy(dtype=object)
        known = sorted(map(str, set(metadata[self.column].dropna())))
        for name in ("train", "test"):
            if not np.any(contexts == getattr(self, name)):
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is no context of X: its column "
                    f"{self.column!r} has {list_some(known) or 'no values'}."
                )
        for train, test in super()._split(X, y, groups):
            train = train[contexts[train] == self.train]
            test = test[contexts[test] == self.test]
            # Subjects without a window in the test context make no split.
            if len(train) and len(test):
                yield train, test

    def _n_splits(self, X, groups):
        return sum(1 for _ in self._split(X, None, groups))
