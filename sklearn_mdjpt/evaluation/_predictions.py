"""Tables of predictions, as the protocols return them beside the scores."""

import numpy as np
import pandas as pd

from .._validation import list_some, warn

_NEEDED = {"method", "subject", "label", "predicted"}
_SCORE = "score_"


def check_predictions(predictions):
    """Return a table of predictions of one dataset and protocol.

    Parameters
    ----------
    predictions : DataFrame, or tuple of two DataFrames
        What a user passes: the predictions, or scores and predictions.

    Returns
    -------
    DataFrame

    Raises
    ------
    TypeError
        If it is no table of predictions.
    ValueError
        If there are several datasets or protocols in it.
    """
    if isinstance(predictions, tuple) and len(predictions) == 2:
        predictions = predictions[1]
    is_table = isinstance(predictions, pd.DataFrame)
    if is_table and not len(predictions):
        raise ValueError("The table of predictions has no rows.")
    if not is_table or not set(predictions) >= _NEEDED:
        columns = list(predictions) if is_table else type(predictions).__name__
        raise TypeError(
            "predictions must be a table with the columns method, subject, label and "
            f"predicted, such as return_predictions=True gives; got {columns}."
        )
    for name in ("dataset", "protocol"):
        if name in predictions and predictions[name].nunique() > 1:
            raise ValueError(
                f"There are several {name}s in the table: "
                f"{sorted(set(predictions[name]))}. Pass those of one."
            )
    n_missing = int(predictions["label"].isna().sum())
    if n_missing:
        raise ValueError(f"{n_missing} of {len(predictions)} rows have no label.")
    return predictions


def confidences(predictions):
    """Yield each method that has probabilities, and how sure it was of each window.

    Parameters
    ----------
    predictions : DataFrame, or tuple of two DataFrames
        As for `check_predictions`, with columns of scores.

    Yields
    ------
    method : str
        Its name.
    rows : DataFrame of shape (n_windows, 3)
        Columns subject, confidence (the probability of the predicted class) and right.

    Raises
    ------
    ValueError
        If no method has probabilities.

    Warns
    -----
    UserWarning
        If a method has none.
    """
    predictions = check_predictions(predictions)
    columns = [name for name in predictions if str(name).startswith(_SCORE)]
    position = {name.removeprefix(_SCORE): k for k, name in enumerate(columns)}
    found, without = [], []
    for method, rows in predictions.groupby("method", sort=False):
        scores = rows[columns].to_numpy(dtype=float)
        if not columns or not are_probabilities(scores):
            without.append(method)
            continue
        own = rows["predicted"].map(lambda label: position[str(label)]).to_numpy()
        table = pd.DataFrame(
            {
                "subject": rows["subject"].to_numpy(),
                "confidence": scores[np.arange(len(rows)), own],
                "right": (rows["predicted"] == rows["label"]).to_numpy(),
            }
        )
        found.append((method, table))
    text = (
        f"{list_some(without)}: no probabilities of classes (columns score_..., from "
        "0 to 1, adding up to 1), such as those of predict_proba"
    )
    if not found:
        raise ValueError(f"{text}.")
    if without:
        warn(f"{text}; left out.")
    yield from found


def are_probabilities(scores):
    """Whether scores (n_windows, n_classes) are probabilities, and not other scores."""
    if scores is None or not np.isfinite(scores).all() or (scores < -1e-9).any():
        return False
    return bool(np.allclose(scores.sum(axis=1), 1, atol=1e-3))
