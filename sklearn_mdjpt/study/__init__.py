"""Whole studies from one file of settings: data, pre-training, evaluation, report.

`pretrain_study` and `evaluate_study` do what ``python -m sklearn_mdjpt pretrain`` and
``evaluate`` do.  Each step keeps what it has done: the same call goes on after a kill.
"""

from ._cost import estimate_study
from ._run import evaluate_study, pretrain_study, study_windows
from ._settings import Study, read_study

__all__ = [
    "Study",
    "estimate_study",
    "evaluate_study",
    "pretrain_study",
    "read_study",
    "study_windows",
]
