"""MDJPTRegressor: ratings such as valence from windows of EEG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import column_or_1d

from .._validation import check_y
from ..windows._metadata import KEYWORDS, takes_metadata
from ._head import HeadEstimator
from ._net import RegressorNet, common_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from .._typing import RandomState
    from ..windows._inputs import Windows


class MDJPTRegressor(RegressorMixin, HeadEstimator):
    """Ratings from windows of EEG: encoder, smoothing, and the head of the paper [1]_.

    As `MDJPTClassifier`, with one output and the mean squared error instead of classes
    and cross-entropy: valence, arousal or what else people rated on a scale.  Ratings
    are standardised for the training, and predictions are in their unit.

    Parameters
    ----------
    encoder : transformer or "passthrough", default=None
        As for `MDJPTClassifier`, like all that follow.
    smoothing : {"lds", "running+lds"} or list of transformers, default=None
        Steps between encoder and head.
    hidden_dim : int, default=128
        Width of the head.
    max_epochs : int, default=25
        Epochs of the head's training.
    lr, weight_decay : float, default=5e-4, 0.0022
        Learning rate and weight decay of Adam.
    batch_size : int, default=256
        Windows in a batch of the head's training, at least 2.
    early_stopping : bool, default=False
        Whether to set some training subjects aside.
    validation_fraction : float, default=0.2
        Share of the training subjects set aside.
    patience : int, default=5
        Epochs without a lower loss on them after which the training stops.
    device : str, default="auto"
        Where the head is trained.
    torch_threads : int, default=None
        Threads of torch in the head; None keeps torch's setting.
    callbacks : list of skorch callbacks, default=None
        Further callbacks for the head's training.
    random_state : int, RandomState instance or None, default=None
        Seeds the head, its batches, the choice of the subjects set aside, and the
        encoder if ``encoder`` is None.
    verbose : int, default=0
        1 shows a line for each epoch.

    Attributes
    ----------
    mean_, scale_ : float
        Mean and SD of the training ratings.
    features_ : WindowFeatures
        Encoder and smoothing, fitted.
    module_ : sklearn_mdjpt.nn.MLPHead
        The head.
    net_ : skorch.NeuralNetRegressor
        The net that trained it.
    history_ : DataFrame
        One row for each epoch, as of `MDJPTClassifier`; losses are of standardised
        ratings.
    validation_subjects_ : ndarray of str or None
        The subjects set aside.
    n_features_in_ : int
        Number of features; only with ``encoder="passthrough"``.
    feature_names_in_ : ndarray of str, shape (n_features_in,)
        Their names, if X has names; likewise.

    See Also
    --------
    MDJPTClassifier : Classes instead of ratings.
    sklearn_mdjpt.evaluation.RATING_METRICS : How predictions are scored.

    Notes
    -----
    People use a scale differently.  What is rated by each person (``X.metadata``) says
    more than the label of the clip; ratings less a person's own mean ask for what a
    person felt beyond its habit.

    References
    ----------
    .. [1] Zhang et al. (2025). Multi-dataset Joint Pre-training of Emotional EEG
       Enables Generalizable Affective Computing. NeurIPS. arXiv:2510.22197.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mdjpt import DifferentialEntropy, MDJPTRegressor
    >>> from sklearn_mdjpt.datasets import make_emotion_windows, valence_of
    >>> from sklearn_mdjpt.evaluation import leave_subjects_out, summary
    >>> X = make_emotion_windows(1, n_subjects=3, n_stimuli=3, random_state=0)
    >>> valence = np.array([{"negative": -1, "neutral": 0, "positive": 1}[label]
    ...                     for label in X.y])
    >>> model = MDJPTRegressor(DifferentialEntropy(), "lds", random_state=0)
    >>> table = leave_subjects_out({"mlp": model}, X, valence)
    >>> sorted(set(summary(table, metric="concordance")["method"]))
    ['mean', 'mlp']
    """

    __metadata_request__fit = dict.fromkeys(KEYWORDS, True)
    __metadata_request__predict = dict.fromkeys(KEYWORDS, True)

    def __init__(
        self,
        encoder: BaseEstimator | Literal["passthrough"] | None = None,
        smoothing: Literal["lds", "running+lds"]
        | Sequence[BaseEstimator]
        | None = None,
        hidden_dim: int = 128,
        max_epochs: int = 25,
        lr: float = 5e-4,
        weight_decay: float = 0.0022,
        batch_size: int = 256,
        early_stopping: bool = False,
        validation_fraction: float = 0.2,
        patience: int = 5,
        device: str = "auto",
        torch_threads: int | None = None,
        callbacks: list[Any] | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.encoder = encoder
        self.smoothing = smoothing
        self.hidden_dim = hidden_dim
        self.max_epochs = max_epochs
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.torch_threads = torch_threads
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    @takes_metadata(*KEYWORDS)
    def fit(
        self, X: Windows, y: ArrayLike | None = None, **metadata: ArrayLike | None
    ) -> Self:
        """Fit the encoder and the smoothing, then train the head.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs, list of mne.Epochs, braindecode dataset or array
            As for `MDJPTClassifier.fit`.
        y : array-like of shape (n_windows,), default=None
            Ratings; without them there is an error.
        subjects, datasets, sessions, trials, stimuli, onsets : array-like of shape \
(n_windows,), default=None
            As for `MDJPTClassifier.fit`.

        Returns
        -------
        MDJPTRegressor
            The regressor itself; after an error it is as it was.

        Raises
        ------
        ValueError
            Ratings that are missing, no numbers, or all the same; else as of
            `MDJPTClassifier.fit`.
        FloatingPointError
            If the loss overflows.
        """
        self._check_parameters()
        given = self._prepare(X, metadata)
        ratings = _check_ratings(y, given.n_windows)
        mean, scale = float(ratings.mean()), float(ratings.std())
        targets = ((ratings - mean) / scale).astype(np.float32)[:, None]

        def settings(seed, device):
            common = common_settings(self, seed, device)
            return common | {"criterion": torch.nn.MSELoss}

        # The encoder gets no ratings: pairs by label have no use for them.
        self._fit_head(given, None, targets, RegressorNet, settings, 1)
        self.mean_, self.scale_ = mean, scale
        return self

    @takes_metadata(*KEYWORDS)
    def predict(self, X: Windows, **metadata: ArrayLike | None) -> np.ndarray:
        """Return the rating of each window.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs, list of mne.Epochs, braindecode dataset or array
            As for `fit`.
        subjects, datasets, sessions, trials, stimuli, onsets : array-like of shape \
(n_windows,), default=None
            As for `MDJPTClassifier.predict`.

        Returns
        -------
        ndarray of shape (n_windows,)
            Float64, in the unit of the ratings.
        """
        outputs = self._outputs(self._features_of(X, metadata))[:, 0].numpy()
        return self.mean_ + self.scale_ * outputs


def _check_ratings(y, n_windows):
    """Return ratings as floats; raise unless there is one for each window."""
    if y is None:
        raise ValueError(
            "This MDJPTRegressor requires y to be passed, but the target y is None: "
            "pass ratings, such as X.metadata['valence']."
        )
    y = check_y(column_or_1d(y, warn=True), n_windows)
    try:
        ratings = np.asarray(y, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(
            f"y must hold numbers, got {y[0]!r}; for labels take MDJPTClassifier."
        ) from None
    missing = int((~np.isfinite(ratings)).sum())
    if missing:
        raise ValueError(
            f"{missing} of {n_windows} ratings are NaN or inf: leave these windows out."
        )
    if np.ptp(ratings) == 0:
        raise ValueError(
            f"All ratings are {ratings[0]:g} (n_samples={n_windows}): there is nothing "
            "to learn."
        )
    return ratings
