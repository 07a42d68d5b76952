"""Decoders that say how sure they are, with people as the unit.

`SelectiveClassifier` rejects what it is not sure of, by a threshold that was chosen on
people whom it was not fitted to.  `ConformalClassifier` gives sets of emotions that
hold the true one as often as is asked for, in people whom it has never seen.  How far
probabilities can be trusted is measured by `sklearn_mdjpt.evaluation.reliability` and
`sklearn_mdjpt.evaluation.risk_coverage`.
"""

from ._conformal import ConformalClassifier
from ._selective import SelectiveClassifier

__all__ = ["ConformalClassifier", "SelectiveClassifier"]
