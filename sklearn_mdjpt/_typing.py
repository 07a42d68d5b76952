"""Types that several signatures share, for type checkers alone.

Modules import these under ``TYPE_CHECKING``, so that they load no package for them.
"""

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from mne import BaseEpochs
    from sklearn.base import BaseEstimator

    class Scores(pd.DataFrame):
        """A table of scores, or a tuple of it and of the predictions.

        One type stands for both, so that each protocol has one signature: a type
        checker knows the methods of the table, and lets a caller who passes
        ``return_predictions=True`` unpack two tables.
        """

        # A DataFrame iterates over its columns' names; the tuple over two tables.
        def __iter__(self) -> Iterator[pd.DataFrame]: ...  # type: ignore[override]


PathLike: TypeAlias = str | os.PathLike[str]
RandomState: TypeAlias = "int | np.random.RandomState | None"
ClassWeight: TypeAlias = dict[Any, Any] | Literal["balanced"] | None
Epochs: TypeAlias = "BaseEpochs | Sequence[BaseEpochs]"
# Trials of a recording: a row, a dict or a tuple for each.
Trials: TypeAlias = "pd.DataFrame | Sequence[dict[str, Any]] | Sequence[tuple]"
ProtocolName: TypeAlias = Literal["few_shot", "zero_shot"]
# One model, or several by name.
Models: TypeAlias = "BaseEstimator | dict[str, Any]"
