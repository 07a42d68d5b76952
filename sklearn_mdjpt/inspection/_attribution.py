"""Integrated gradients: what of a window's signal its score comes from."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import torch

from .._torch import plain_torch, torch_threads
from .._validation import check_number, check_option, check_y, list_some, warn
from ..channels._channels import CANONICAL_CHANNELS
from ..evaluation._class_scores import column_of_pairs
from ..features._compose import _takes
from ._models import encoded_windows, read_windows, split_model

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator

    from ..windows._inputs import Windows

# Largest share of the differences of scores that contributions may miss silently.
_INCOMPLETE = 0.05


@dataclass(frozen=True)
class Attributions:
    """Contributions of channels to the scores of windows; see `integrated_gradients`.

    Parameters
    ----------
    values : ndarray of shape (n_windows, 60)
        Contribution of each canonical channel, in units of the score.
    labels : ndarray of shape (n_windows,)
        The class whose score is explained.
    scores : ndarray of shape (n_windows,)
        Score of that class.
    baseline_scores : ndarray of shape (n_windows,)
        Score of that class for a signal that is 0 throughout.
    groups : DataFrame of shape (n_windows, 2)
        ``dataset`` and ``subject`` ("dataset/subject") of each window.
    """

    values: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    baseline_scores: np.ndarray
    groups: pd.DataFrame

    @property
    def residuals(self) -> np.ndarray:
        """What the sum over channels lacks of the difference of the two scores."""
        return self.scores - self.baseline_scores - self.values.sum(axis=1)

    def mean(
        self, by: Literal["dataset", "subject"] | None = "dataset"
    ) -> pd.DataFrame:
        """Average over windows, then over subjects, for each class.

        Parameters
        ----------
        by : {"dataset", "subject", None}, default="dataset"
            What to keep apart beside the classes; None: nothing.

        Returns
        -------
        DataFrame of shape (n_maps, 60)
            Rows have an index of (label, dataset), of (label, subject) or of label.
        """
        check_option(by, ("dataset", "subject", None), "by")
        table = pd.DataFrame(self.values, columns=list(CANONICAL_CHANNELS))
        keys = [pd.Series(self.labels, name="label")]
        if by is not None:
            keys.append(self.groups[by].reset_index(drop=True))
        subjects = self.groups["subject"].reset_index(drop=True).rename("_subject")
        means = table.groupby([*keys, subjects], sort=False).mean()
        levels = list(range(len(keys)))
        return (
            means.groupby(level=levels, sort=False)
            .mean()
            .sort_index(level=0, sort_remaining=False)
        )

    def __repr__(self):
        worst = np.abs(self.residuals).max()
        return (
            f"<Attributions: {len(self.values)} windows, {self.values.shape[1]} "
            f"channels, largest residual {worst:.2g}>"
        )


def integrated_gradients(
    model: BaseEstimator,
    X: Windows,
    y: ArrayLike | None = None,
    *,
    n_steps: int = 32,
    batch_size: int = 32,
) -> Attributions:
    r"""Attribute the scores of windows to the channels of their signals.

    For a window x and the score f of a class, the contribution of a channel c is the
    sum over time of

    .. math::
        x_{ct} \int_0^1 \frac{\partial f(\alpha x)}{\partial x_{ct}} \, d\alpha

    the integrated gradient [1]_ along the straight line from a signal that is 0
    throughout.  Contributions add up to f(x) - f(0): completeness.

    Parameters
    ----------
    model : estimator
        A fitted model with an `MDJPTEncoder` inside, followed by steps whose outcome is
        affine in the features (StandardScaler, PCA; LogisticRegression,
        LinearDiscriminantAnalysis, LinearSVC, RidgeClassifier), or an
        `MDJPTClassifier` without smoothing.  f is its ``decision_function``; for
        `MDJPTClassifier` the logit, before the softmax.
    X : EEGWindows, ndarray, mne.Epochs, list of mne.Epochs or braindecode dataset
        Windows, as the model takes them.
    y : array-like of shape (n_windows,), default=None
        The class whose score is explained, for each window; None takes ``X.y``.  Of
        two classes the first has the score -f.
    n_steps : int, default=32
        Points of the line at which gradients are taken.
    batch_size : int, default=32
        Windows at once.

    Returns
    -------
    Attributions
        What each channel and moment contributes, and how well it adds up.

    Raises
    ------
    ValueError
        Labels that the model does not know; a classifier that is not affine, or steps
        that look at other windows (smoothing, scaling by subject).
    TypeError
        A model without an encoder, or without a decision function.

    Warns
    -----
    UserWarning
        If contributions miss f(x) - f(0) by more than 5 % (all windows together);
        take more steps.

    Notes
    -----
    With ``subject_norm="subject"`` the encoder's output for a window depends on all
    windows of the subject.  The statistics are held fixed at those that ``transform``
    takes of the subject's windows in X, also along the line: f is then a function of
    one window, f(x) is the model's own score, and completeness holds exactly.  What a
    window contributes by way of the statistics of its subject is not counted; a
    subject's windows should all be in X.

    Signals are those that the encoder sees: 60 canonical channels at 125 Hz, after
    normalisation.  A channel that the cap lacks is made of its neighbours, which then
    share its contribution.

    The integral is a Gauss-Legendre sum.  The network has kinks (ReLU), which keep its
    error from falling as fast as that of a smooth function; the sum over channels says
    how large it is (``residuals``).

    References
    ----------
    .. [1] Sundararajan M, Taly A, Yan Q (2017). Axiomatic Attribution for Deep
       Networks. ICML. arXiv:1703.01365.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_mdjpt import MDJPTEncoder
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.inspection import integrated_gradients
    >>> X = make_emotion_windows(1, n_subjects=2, n_stimuli=3, random_state=0)
    >>> encoder = MDJPTEncoder.small(max_epochs=1, batches_per_epoch=1, random_state=0)
    >>> model = make_pipeline(encoder, LogisticRegression(max_iter=1000)).fit(X, X.y)
    >>> result = integrated_gradients(model, X, n_steps=2)
    >>> result.values.shape == (len(X), 60)
    True
    >>> result.mean(by=None).index.tolist()
    ['negative', 'neutral', 'positive']
    """
    check_number(n_steps, "n_steps", whole=True, least=1)
    check_number(batch_size, "batch_size", whole=True, least=1)
    *_, after = split_model(model)
    encoder, windows, reader = read_windows(model, X)
    with plain_torch():
        head = _make_head(after, encoder)
        # A copy is not compiled, and its parameters need no gradient.
        module = copy.deepcopy(encoder.module_).requires_grad_(False)
    labels = windows.y if y is None else check_y(y, len(windows))
    if labels is None:
        raise ValueError("X has no labels; pass y, the class to explain.")
    targets = _class_codes(labels, model.classes_)

    def score(x, statistics, target):
        features = module.features_from(module.encode_channels(x), statistics)
        return head(features.double()).gather(1, target[:, None])[:, 0]

    values = np.empty((len(windows), len(CANONICAL_CHANNELS)))
    scores, baseline_scores = np.empty((2, len(windows)))
    with plain_torch(), torch_threads(encoder.torch_threads):
        for rows, x, statistics in encoded_windows(
            encoder, windows, reader, batch_size
        ):
            target = torch.from_numpy(targets[rows]).to(x.device)
            total = _integrate(score, x, statistics, target, n_steps, batch_size)
            values[rows] = (x * total).sum(2).cpu().numpy()
            with torch.no_grad():
                scores[rows] = score(x, statistics, target).cpu().numpy()
                zero = torch.zeros_like(x)
                baseline_scores[rows] = score(zero, statistics, target).cpu().numpy()
    groups = pd.DataFrame(
        {name: windows.groups(name) for name in ("dataset", "subject")}
    )
    result = Attributions(values, labels, scores, baseline_scores, groups)
    _warn_if_incomplete(result, n_steps)
    return result


def _integrate(score, x, statistics, target, n_steps, batch_size):
    """Return the integral of the gradients of scores from 0 to x, in the shape of x.

    Parameters
    ----------
    score : callable
        Takes signals, statistics and target; returns one score for each window.
    x : Tensor of shape (n_windows, n_channels, n_times)
        Signals of the windows.
    statistics : object
        What the subject normalisation of the network takes beside the signals.
    target : Tensor of shape (n_windows,)
        Which class is explained.
    n_steps : int
        Points of the line.
    batch_size : int
        Signals that go through the network at once, one point of the line at least.
    """
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    # From the interval of Gauss and Legendre, -1 to 1, to that of the line, 0 to 1.
    nodes, weights = (nodes + 1) / 2, weights / 2
    n_at_once = max(1, batch_size // len(x))
    total = torch.zeros_like(x)
    for k in range(0, n_steps, n_at_once):
        node = torch.from_numpy(nodes[k : k + n_at_once]).to(x)
        weight = torch.from_numpy(weights[k : k + n_at_once]).to(x)
        points = node[:, None, None, None] * x
        points = points.flatten(0, 1).requires_grad_()
        # A window's score depends on its own signal alone, so that the gradient of the
        # sum holds the gradient of each window.
        f = score(points, statistics, target.repeat(len(node))).sum()
        gradients = torch.autograd.grad(f, points)[0]
        gradients = gradients.unflatten(0, (len(node), len(x)))
        total += torch.tensordot(weight, gradients, 1)
    return total


def _warn_if_incomplete(result, n_steps):
    """Warn if contributions do not add up to the differences of scores."""
    missed = np.abs(result.residuals).sum()
    expected = np.abs(result.scores - result.baseline_scores).sum()
    if missed > _INCOMPLETE * expected:
        warn(
            f"Contributions miss the difference of scores by {missed / expected:.0%}; "
            f"take more than n_steps={n_steps}."
        )


def map_correlations(maps: pd.DataFrame) -> pd.DataFrame:
    """Correlate topographies, such as those of an emotion in several datasets.

    Parameters
    ----------
    maps : DataFrame of shape (n_maps, n_channels)
        Such as of `Attributions.mean`; those of several models, each for its own
        datasets, are joined by ``pandas.concat``.

    Returns
    -------
    DataFrame of shape (n_maps, n_maps)
        Pearson's correlation over channels; NaN for a map without spread.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_mdjpt.inspection import map_correlations
    >>> maps = pd.DataFrame([[1, 2, 3], [2, 4, 6], [3, 2, 1]], index=list("abc"))
    >>> map_correlations(maps).round(2).loc["a"].tolist()
    [1.0, 1.0, -1.0]
    """
    if not isinstance(maps, pd.DataFrame) or not len(maps):
        raise TypeError(f"maps must be a DataFrame with rows, got {maps!r}.")
    return maps.T.corr()


def _class_codes(labels, classes):
    """Return the place of each label among the classes."""
    codes = pd.Index(classes).get_indexer(labels)
    if (codes < 0).any():
        unknown = dict.fromkeys(map(str, labels[codes < 0]))
        raise ValueError(
            f"The model does not know the classes {list_some(unknown)}; it was fitted "
            f"with {list_some(classes)}."
        )
    return codes


def _make_head(after, encoder):
    """Return a torch function from the network's features to scores of classes."""
    device = next(encoder.module_.parameters()).device

    def tensor(values):
        return torch.as_tensor(values, dtype=torch.float64, device=device)

    mean, scale = tensor(0.0), tensor(1.0)
    if encoder.mean_ is not None:
        mean, scale = tensor(encoder.mean_), tensor(encoder.scale_)
    module = after[-1] if after and isinstance(after[-1], torch.nn.Module) else None
    if module is not None and len(after) == 1:
        mlp = copy.deepcopy(module).to(device).double().eval().requires_grad_(False)
        return lambda features: mlp((features - mean) / scale)
    for step in after if module is None else after[:-1]:
        _check_stands_alone(step)
    if module is not None:
        raise ValueError(
            "Between the encoder and the head of MDJPTClassifier no further steps are "
            f"expected, got {list_some(map(repr, after[:-1]))}."
        )
    if not after or not hasattr(after[-1], "decision_function"):
        last = repr(after[-1]) if after else "nothing"
        raise TypeError(
            "After the encoder a classifier with decision_function is expected, such "
            f"as LogisticRegression; got {last}."
        )
    _refuse_pairs(after[-1])
    weights, intercept = _affine(after, encoder.n_features_out_)
    n_classes = len(after[-1].classes_)
    if len(intercept[0]) != n_classes:
        raise ValueError(
            f"The decision function of {after[-1]!r} has {len(intercept[0])} columns "
            f"for {n_classes} classes."
        )
    weights, intercept = tensor(weights), tensor(intercept)
    return lambda features: (features - mean) / scale @ weights + intercept


def _check_stands_alone(step):
    """Raise if what a step makes of a window depends on other windows."""
    takes = set()
    if hasattr(step, "transform"):
        takes = _takes(step.transform)
    if takes:
        raise ValueError(
            f"{type(step).__name__} between encoder and classifier makes a window's "
            f"features depend on others ({', '.join(sorted(takes))}): its score is no "
            "function of its own signal, and cannot be attributed. Fit a model without "
            "this step."
        )


def _refuse_pairs(classifier):
    """Raise if the decision function has columns that are not those of the classes."""
    pairs, classes = column_of_pairs(classifier), classifier.classes_
    if pairs and len(classes) > 2:
        raise ValueError(
            f"The decision function of {classifier!r} has a column for each pair of "
            f"classes, as {pairs} asks for, and none for a class. Take a linear "
            "classifier with one for each class, such as LogisticRegression or "
            "LinearSVC."
        )


def _affine(steps, n_features):
    """Return weights and intercept of steps that are affine in the features."""

    def scores(Z):
        for step in steps[:-1]:
            Z = step.transform(Z)
        Z = steps[-1].decision_function(Z)
        return np.stack([-Z, Z], axis=1) if Z.ndim == 1 else Z

    intercept = scores(np.zeros((1, n_features)))
    weights = scores(np.eye(n_features)) - intercept
    Z = np.random.default_rng(0).standard_normal((8, n_features))
    expected, found = scores(Z), Z @ weights + intercept
    if not np.allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max()):
        raise ValueError(
            "What follows the encoder is not affine in its features: "
            f"{list_some(map(repr, steps))}. Take a linear classifier, or "
            "MDJPTClassifier."
        )
    return weights, intercept
