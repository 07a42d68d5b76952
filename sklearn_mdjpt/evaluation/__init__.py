"""Evaluation of transfer to new subjects and datasets, leak-free, as tidy tables.

`few_shot`, `zero_shot` and `leave_one_dataset_out` are the paper's protocols,
`leave_subjects_out` is cross-validation within data; `calibration` asks how many
minutes of a new person it takes; `ablation` and `scaling` study the encoder.  All take
any estimators of scikit-learn and refuse splits and weights that leak.  They return a
table with one row for each method, split, subject and metric (and seed, with
``n_seeds=``), which `summary`, `compare` and `plot` take; of their predictions,
`reliability` and `risk_coverage` say how far probabilities can be trusted.
"""

from ._calibration import calibration
from ._figures import plot_scores as plot
from ._leaks import assert_unseen
from ._protocols import (
    few_shot,
    leave_one_dataset_out,
    leave_subjects_out,
    pretrain,
    zero_shot,
)
from ._reliability import reliability, risk_coverage
from ._scores import METRICS, RATING_METRICS
from ._studies import ABLATIONS, ablation, scaling
from ._summary import compare, summary

__all__ = [
    "ABLATIONS",
    "METRICS",
    "RATING_METRICS",
    "ablation",
    "assert_unseen",
    "calibration",
    "compare",
    "few_shot",
    "leave_one_dataset_out",
    "leave_subjects_out",
    "plot",
    "pretrain",
    "reliability",
    "risk_coverage",
    "scaling",
    "summary",
    "zero_shot",
]
