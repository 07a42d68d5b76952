"""Checks of labels and class weights, for classifiers."""

import numpy as np
import pandas as pd
from sklearn.utils import assert_all_finite, column_or_1d, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from ._validation import list_some


def check_labels(y, n_windows, estimator):
    """Return the sorted classes, and the number of each window's class.

    ``estimator`` is named in the message where there are no labels at all.
    """
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is "
            "None. The labels of EEGWindows are X.y."
        )
    # As objects: numpy makes text of a NaN among strings.
    n_missing = int(pd.isna(np.asarray(y, dtype=object)).sum())
    if n_missing:
        raise ValueError(
            f"y has no label (None or NaN) for {n_missing} of {len(y)} windows; select "
            "those with labels."
        )
    y = column_or_1d(y, warn=True)
    if len(y) != n_windows:
        raise ValueError(f"y has {len(y)} labels for {n_windows} windows.")
    if y.dtype.kind == "f":
        assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"Two classes are needed, but y has one class: {list_some(classes)}."
        )
    return classes, codes


def refuse_missing_labels(y):
    """Raise if some labels are missing; ``y`` is as `check_y` returns it."""
    n_missing = int(pd.isna(y).sum())
    if n_missing:
        raise ValueError(
            f"{n_missing} of {len(y)} windows have no label; leave them out: "
            "X[known], y[known]."
        )


def class_weights(class_weight, classes, codes):
    """Return a weight for each class (float32), or None."""
    if class_weight is None:
        return None
    if isinstance(class_weight, dict):
        unknown = [label for label in class_weight if label not in classes.tolist()]
        if unknown:
            raise ValueError(
                f"class_weight names classes that are not in y: {list_some(unknown)}; "
                f"y has {list_some(classes)}."
            )
    elif class_weight != "balanced":
        raise ValueError(
            f"class_weight must be a dict, 'balanced' or None, got {class_weight!r}."
        )
    weights = compute_class_weight(class_weight, classes=classes, y=classes[codes])
    if not (np.isfinite(weights) & (weights > 0)).all():
        # A batch of windows that weigh nothing would have no loss (0/0).
        raise ValueError(f"Class weights must be positive, got {class_weight!r}.")
    return weights.astype(np.float32)
