"""Frozen encoders encode each window once, not anew in each split.

The features of a window do not depend on the split if the encoder z-scores each subject
by itself (or not at all) and no split divides the windows of a subject.  Only the
standardisation depends on the split, and is learnt in each.
"""

import io

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, clone

from .._io._files import write_file
from .._io._fingerprint import fingerprint
from .._io._pickles import VersionedPickle
from ..encoder._transform import feature_statistics, standardized
from ._jobs import computed_with
from ._labelled import POSITION
from ._models import find_encoders, replace_encoders


class EncodedWindows(VersionedPickle, TransformerMixin, BaseEstimator):
    """Stands in for a frozen encoder, whose features of all windows are in a file.

    Parameters
    ----------
    path : str
        A ``.npy`` file of the features (n_windows, n_features), not standardised.
    standardize : bool
        As of `MDJPTEncoder`.
    """

    def __init__(self, path, standardize):
        self.path = path
        self.standardize = standardize

    def fit(self, X, y=None):
        """Learn the standardisation."""
        self.mean_, self.scale_ = None, None
        if self.standardize:
            self.mean_, self.scale_ = feature_statistics(self._read(X))
        return self

    def transform(self, X):
        """Return the features of windows that know their position."""
        return standardized(self._read(X), self.mean_, self.scale_)

    def _read(self, X):
        rows = X.metadata[POSITION].to_numpy()
        return np.array(np.load(self.path, mmap_mode="r")[rows])


def encodes_once(model, case):
    """Whether features can be shared by all splits of a case.

    Parameters
    ----------
    model : estimator
        Its encoders have weights.
    case : Case
        Its windows and splits.

    Returns
    -------
    bool
    """
    encoders = find_encoders(model)
    parts = [model, *model.get_params(deep=True).values()]
    if not encoders or any(
        hasattr(part, "fit") and hasattr(part, "refit") and hasattr(part, "cv")
        for part in parts
    ):
        return False  # a search, which may change parameters of the encoder
    for encoder in encoders.values():
        trains = encoder.weights is None or encoder.finetune
        if trains or encoder.subject_norm == "train" or hasattr(encoder, "module_"):
            return False
    if all(encoder.subject_norm is None for encoder in encoders.values()):
        return True
    subjects = pd.factorize(case.windows.subjects)[0]
    # Each training and test set has all windows of its subjects.
    return all(
        np.isin(subjects, subjects[rows]).sum() == len(rows)
        for split in case.splits
        for rows in split
    )


def encode(encoder, X, path):
    """Write the features of all windows to a file."""
    raw = clone(encoder).set_params(standardize=False)
    content = io.BytesIO()
    np.save(content, raw.fit_transform(X))
    write_file(path, content.getvalue())


def encoded_path(encoder, windows, folder):
    """Return where the features of an encoder are kept."""
    raw = clone(encoder).set_params(standardize=False)
    return folder / f"{fingerprint(computed_with(), windows.key, raw)}.npy"


def with_encoded(model, windows, folder):
    """Return a model whose encoders read their features from files."""

    def stand_in(encoder):
        path = encoded_path(encoder, windows, folder)
        return EncodedWindows(str(path), encoder.standardize)

    return replace_encoders(model, stand_in)
