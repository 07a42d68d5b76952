"""Which classes are taken for which."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from .._validation import check_option
from ..evaluation._predictions import check_predictions


def confusion_matrices(
    predictions: pd.DataFrame, *, average: Literal["subject", "pooled"] = "subject"
) -> dict[Any, pd.DataFrame]:
    """Return the confusion matrix of each method, rows adding up to 1.

    Parameters
    ----------
    predictions : DataFrame
        The second table of `sklearn_mdjpt.evaluation.few_shot` and the other protocols
        with ``return_predictions=True``; of one dataset.
    average : {"subject", "pooled"}, default="subject"
        "subject": the matrix of each subject, rows normalised, then the mean over the
        subjects that have the class; each counts alike, however many windows it has.
        "pooled": counts of all windows together.  A window that was tested in several
        splits, or with several seeds, counts each time.

    Returns
    -------
    dict of str to DataFrame of shape (n_classes, n_classes)
        For each method, true classes as rows and predicted ones as columns; rows of
        classes that nobody has are NaN.

    Raises
    ------
    TypeError
        If it is no table of predictions.
    ValueError
        If there are several datasets or protocols in it.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_mdjpt.inspection import confusion_matrices
    >>> predictions = pd.DataFrame({
    ...     "method": "DE", "dataset": "A", "subject": ["A/1", "A/1", "A/2", "A/2"],
    ...     "label": ["joy", "joy", "joy", "sad"],
    ...     "predicted": ["joy", "joy", "sad", "sad"]})
    >>> confusion_matrices(predictions)["DE"].to_numpy().tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    check_option(average, ("subject", "pooled"), "average")
    predictions = check_predictions(predictions)
    classes = np.unique(predictions[["label", "predicted"]].to_numpy().ravel())
    return {
        method: pd.DataFrame(
            _mean_matrix(rows, classes, average),
            pd.Index(classes, name="true"),
            pd.Index(classes, name="predicted"),
        )
        for method, rows in predictions.groupby("method", sort=False)
    }


def _mean_matrix(rows, classes, average):
    """Return shares (n_classes, n_classes) of the predictions of one method."""
    groups = [rows]
    if average == "subject":
        groups = [some for _, some in rows.groupby("subject", sort=False)]
    counts = np.array(
        [
            confusion_matrix(some["label"], some["predicted"], labels=classes)
            for some in groups
        ]
    )
    n = counts.sum(axis=2, keepdims=True)
    shares = counts / np.where(n, n, 1)
    # A subject without a class does not count in the mean of that class.
    n_with = (n > 0).sum(axis=0)
    return np.where(n_with, shares.sum(axis=0) / np.where(n_with, n_with, 1), np.nan)
