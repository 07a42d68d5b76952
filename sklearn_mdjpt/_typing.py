"""Types that several signatures share, for type checkers alone.

Modules import these under ``TYPE_CHECKING``, so that they load no package for them.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from mne import BaseEpochs
    from sklearn.base import BaseEstimator

PathLike: TypeAlias = str | os.PathLike[str]
RandomState: TypeAlias = "int | np.random.RandomState | None"
ClassWeight: TypeAlias = dict[Any, Any] | Literal["balanced"] | None
Epochs: TypeAlias = "BaseEpochs | Sequence[BaseEpochs]"
# Trials of a recording: a row, a dict or a tuple for each.
Trials: TypeAlias = "pd.DataFrame | Sequence[dict[str, Any]] | Sequence[tuple]"
ProtocolName: TypeAlias = Literal["few_shot", "zero_shot"]
# One model, or several by name.
Models: TypeAlias = "BaseEstimator | dict[str, Any]"
