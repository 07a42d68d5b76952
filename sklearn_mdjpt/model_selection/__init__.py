"""Splits by subject, stimulus and dataset, and a check that two sets share none.

The splitters are scikit-learn's in manner: ``split(X, y, groups)`` yields positions.
With `EEGWindows` they read from X whose windows they are, so that ``groups`` can be
left out, as inside a nested search, which scikit-learn hands no groups.
"""

from ._contexts import CrossContext
from ._leakage import LeakageWarning, assert_disjoint
from ._splitters import (
    FewShotSubjects,
    LeaveOneDatasetOut,
    LeaveSubjectsAndStimuliOut,
    LeaveSubjectsOut,
)

__all__ = [
    "CrossContext",
    "FewShotSubjects",
    "LeakageWarning",
    "LeaveOneDatasetOut",
    "LeaveSubjectsAndStimuliOut",
    "LeaveSubjectsOut",
    "assert_disjoint",
]
