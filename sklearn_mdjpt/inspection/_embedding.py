"""Features in two dimensions, and how clearly groups of windows are apart in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score

from .._validation import check_number, check_option
from ..windows._inputs import as_windows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator

    from ..windows._inputs import Windows

_COLORED_BY = ("dataset", "subject", "label")


@dataclass(frozen=True)
class Embedding:
    """Windows in two dimensions; see `embed`.

    Parameters
    ----------
    table : DataFrame of shape (n_windows, 6)
        ``x`` and ``y``, ``dataset``, ``subject`` ("dataset/subject"), ``label``, and
        ``window``, the window's position in X.
    silhouettes : dict of str to float
        Silhouette of datasets, subjects and labels among all features: from -1 to 1,
        0 where groups overlap; NaN where there is but one group.
    method : str
        "pca" or "tsne".
    explained : ndarray of shape (2,) or None
        Share of the variance along the principal components; None for t-SNE.
    """

    table: pd.DataFrame
    silhouettes: dict
    method: str
    explained: np.ndarray | None

    def __repr__(self):
        scores = ", ".join(f"{k} {v:.2f}" for k, v in self.silhouettes.items())
        return f"<Embedding: {len(self.table)} windows, silhouettes: {scores}>"


def embed(
    features: ArrayLike | BaseEstimator,
    X: Windows,
    *,
    method: Literal["pca", "tsne"] = "pca",
    max_windows: int = 2000,
    random_state: int = 0,
) -> Embedding:
    """Show features in two dimensions, and measure how groups are apart.

    Parameters
    ----------
    features : ndarray of shape (n_windows, n_features), or fitted transformer
        Features of X, such as ``encoder.transform(X)``; or what makes them.
    X : EEGWindows, mne.Epochs, list of mne.Epochs or braindecode dataset
        Windows: whose they are, and their labels.
    method : {"pca", "tsne"}, default="pca"
        Two principal components, which keep distances as far as two dimensions can; or
        t-SNE [1]_, which keeps neighbours, and whose axes and gaps mean nothing.
    max_windows : int, default=2000
        Of more windows, this many are drawn (three or more); time grows with their
        square.
    random_state : int, default=0
        Seeds the draw and t-SNE.

    Returns
    -------
    Embedding
        Points in the plane and whose they are.

    Raises
    ------
    ValueError
        If features and windows differ in number, features are not finite, or there are
        fewer than three windows.

    Notes
    -----
    Silhouettes [2]_ are those of the windows drawn, by Euclidean distance among all
    features, not in the picture.  Features of good transfer have a low silhouette of
    datasets and subjects.

    References
    ----------
    .. [1] van der Maaten L, Hinton G (2008). Visualizing Data using t-SNE. Journal of
       Machine Learning Research 9, 2579-2605.
    .. [2] Rousseeuw PJ (1987). Silhouettes. Journal of Computational and Applied
       Mathematics 20, 53-65. doi:10.1016/0377-0427(87)90125-7

    Examples
    --------
    >>> from sklearn_mdjpt import DifferentialEntropy
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.inspection import embed
    >>> X = make_emotion_windows(1, n_subjects=3, n_stimuli=3, random_state=0)
    >>> result = embed(DifferentialEntropy().fit_transform(X), X)
    >>> result.table.columns.tolist()
    ['window', 'x', 'y', 'dataset', 'subject', 'label']
    """
    check_option(method, ("pca", "tsne"), "method")
    check_number(max_windows, "max_windows", whole=True, least=3)
    windows = as_windows(X)
    Z = features.transform(X) if hasattr(features, "transform") else features
    Z = np.asarray(Z, dtype=float)
    if Z.ndim != 2 or len(Z) != len(windows) or Z.shape[1] < 2:
        raise ValueError(
            f"features must have shape ({len(windows)}, 2 or more), one row for each "
            f"window; got {Z.shape}."
        )
    if len(Z) < 3:
        raise ValueError(f"X must hold at least three windows, got {len(Z)}.")
    if not np.isfinite(Z).all():
        raise ValueError("features hold NaN or inf.")
    rows = np.arange(len(Z))
    if len(rows) > max_windows:
        rng = np.random.default_rng(random_state)
        rows = np.sort(rng.choice(len(Z), max_windows, replace=False))
    Z, explained = Z[rows], None
    pca = PCA(2, svd_solver="full")
    places = pca.fit_transform(Z)
    if method == "pca":
        explained = pca.explained_variance_ratio_
    else:
        perplexity = min(30.0, (len(Z) - 1) / 3)
        tsne = TSNE(perplexity=perplexity, init="pca", random_state=random_state)
        places = tsne.fit_transform(Z)
    table = pd.DataFrame(
        {
            "window": rows,
            "x": places[:, 0],
            "y": places[:, 1],
            "dataset": windows.groups("dataset")[rows],
            "subject": windows.groups("subject")[rows],
            "label": windows.metadata["label"].to_numpy(object)[rows],
        }
    )
    silhouettes = {name: _silhouette(Z, table[name]) for name in _COLORED_BY}
    return Embedding(table, silhouettes, method, explained)


def _silhouette(Z, names):
    """Return the silhouette of named groups; NaN for one group or groups of one."""
    known = names.notna().to_numpy()
    codes = pd.factorize(names[known])[0]
    n_groups = codes.max(initial=-1) + 1
    if not 2 <= n_groups < len(codes):
        return float("nan")
    return float(silhouette_score(Z[known], codes))
