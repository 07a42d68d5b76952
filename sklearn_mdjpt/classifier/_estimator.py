"""MDJPTClassifier: encoder, smoothing in time, and the paper's head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from .._labels import check_labels, class_weights
from ..encoder._estimator import MDJPTEncoder
from ..encoder._export import export_model
from ..windows._metadata import KEYWORDS, takes_metadata
from ._head import HeadEstimator
from ._net import ClassifierNet, net_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from .._typing import ClassWeight, PathLike, RandomState
    from ..windows._inputs import Windows


class MDJPTClassifier(ClassifierMixin, HeadEstimator):
    """Emotion from windows of EEG: encoder, smoothing, and the paper's MLP head.

    ``fit`` fits the encoder (which pre-trains it, unless it has weights), smooths the
    features in time if asked to, and trains a head on them: linear, batch norm, ReLU,
    linear, with cross-entropy.  Defaults of the head are those of the paper [1]_.

    Parameters
    ----------
    encoder : transformer or "passthrough", default=None
        From windows to 2-D features: `MDJPTEncoder` or ``MDJPTEncoder.small()``,
        `DifferentialEntropy`, `WindowFeatures`.  None is ``MDJPTEncoder()``, the
        paper's, which takes days on a CPU.  "passthrough": X holds 2-D features, so
        that many heads can use an encoder that was trained once.  Features should be
        of the order of 1, as those of `MDJPTEncoder` are.
    smoothing : {"lds", "running+lds"} or list of transformers, default=None
        Steps between encoder and head.  "lds", as in the paper: `LDSSmoother` over the
        windows of each trial.  "running+lds", as in the released code:
        `RunningNormalizer` before it.  Both need the trials, and are not causal: a
        window's features depend on later windows of its trial.  A list: steps as in
        `WindowFeatures`.  None: no smoothing.
    hidden_dim : int, default=128
        Width of the head.
    max_epochs : int, default=25
        Epochs of the head's training; the encoder has its own parameter.
    lr, weight_decay : float, default=5e-4, 0.0022
        Learning rate and weight decay of Adam.
    batch_size : int, default=256
        Windows in a batch of the head's training, at least 2.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss, as in scikit-learn.
    early_stopping : bool, default=False
        Whether to set some training subjects aside, stop when the loss on them no
        longer falls, and keep the head's weights of the best epoch.  False trains for
        all epochs, as the paper does.  The encoder is fitted on those subjects as well
        (without their labels, unless ``pairing="label"``).
    validation_fraction : float, default=0.2
        Share of the training subjects set aside.
    patience : int, default=5
        Training stops after this number of epochs without a lower loss on them.
    device : str, default="auto"
        Where the head is trained; "auto" takes a GPU when there is one.
    torch_threads : int, default=None
        Threads of torch in the head; None keeps torch's setting.
    callbacks : list of skorch callbacks, default=None
        Further callbacks for the head's training.  They are copied, and shared as far
        as they cannot be, as in `MDJPTEncoder`.
    random_state : int, RandomState instance or None, default=None
        Seeds the head, its batches, the choice of the subjects set aside, and the
        encoder if ``encoder`` is None; any other encoder has its own seed.  torch's and
        numpy's global states do not change.
    verbose : int, default=0
        1 shows a line for each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    features_ : WindowFeatures
        Encoder and smoothing, fitted.
    module_ : sklearn_mdjpt.nn.MLPHead
        The head.
    net_ : skorch.NeuralNetClassifier
        The net that trained it.
    history_ : DataFrame
        One row for each epoch: train_loss, valid_loss (with ``early_stopping``),
        seconds.
    validation_subjects_ : ndarray of str or None
        The subjects set aside; None without ``early_stopping``.
    n_features_in_ : int
        Number of features; only with ``encoder="passthrough"``.
    feature_names_in_ : ndarray of str, shape (n_features_in,)
        Their names, if X has names; likewise.

    See Also
    --------
    MDJPTEncoder : The encoder.
    WindowFeatures : Encoder and steps, for any classifier of scikit-learn.

    Notes
    -----
    With `EEGWindows` every step knows the subject and the trial of each window, in
    ``score`` and in cross-validation too.  With arrays the metadata comes by keyword.
    Where smoothing uses it, ``predict`` needs it as well; ``score`` and scorers, which
    do not pass it on, raise.

    All windows of a smoothed trial have almost the same features.  They are not
    independent: compute scores by trial or by subject.

    References
    ----------
    .. [1] Zhang et al. (2025). Multi-dataset Joint Pre-training of Emotional EEG
       Enables Generalizable Affective Computing. NeurIPS. arXiv:2510.22197.

    Examples
    --------
    >>> from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
    >>> from sklearn_mdjpt import DifferentialEntropy, MDJPTClassifier
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> X = make_emotion_windows(1, n_subjects=3, n_stimuli=3, random_state=0)
    >>> model = MDJPTClassifier(DifferentialEntropy(), "lds", random_state=0)
    >>> cross_val_score(model, X, X.y, groups=X.groups("subject"),
    ...                 cv=LeaveOneGroupOut()).shape
    (3,)
    """

    __metadata_request__fit = dict.fromkeys(KEYWORDS, True)
    __metadata_request__predict = dict.fromkeys(KEYWORDS, True)
    __metadata_request__predict_proba = dict.fromkeys(KEYWORDS, True)

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
        class_weight: ClassWeight = None,
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
        self.class_weight = class_weight
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
            Windows as the encoder takes them; with ``encoder="passthrough"`` an array
            of shape (n_windows, n_features).
        y : array-like of shape (n_windows,), default=None
            Labels; those of EEGWindows are ``X.y``.
        subjects, datasets, sessions, trials, stimuli, onsets : array-like of shape \
(n_windows,), default=None
            Of plain arrays, for the encoder, the smoothing and ``early_stopping``;
            `EEGWindows` have their own.

        Returns
        -------
        MDJPTClassifier
            The classifier itself.  An error, or Ctrl-C while the head is trained,
            leaves it unchanged.  After Ctrl-C while the encoder is pre-trained, the
            encoder warns, and the head is trained on its features so far.

        Raises
        ------
        ValueError
            Labels that are missing or all the same, class weights of unknown classes,
            smoothing without trials, fewer than two subjects to split; parameters out
            of range; features that are not finite.
        FloatingPointError
            If the loss overflows.
        """
        # All input is checked before the encoder is fitted.
        self._check_parameters()
        check = self._prepare(X, metadata)
        classes, codes = check_labels(y, check.n_windows, self)
        weights = class_weights(self.class_weight, classes, codes)

        def settings(seed, device):
            return net_settings(self, weights, len(classes), seed, device)

        self._fit_head(check, y, codes, ClassifierNet, settings, len(classes))
        self.classes_ = classes
        return self

    @takes_metadata(*KEYWORDS)
    def predict(self, X: Windows, **metadata: ArrayLike | None) -> np.ndarray:
        """Return the most probable class of each window.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs, list of mne.Epochs, braindecode dataset or array
            As for `fit`.
        subjects, datasets, sessions, trials, stimuli, onsets : array-like of shape \
(n_windows,), default=None
            As for `fit`; needed with plain arrays where the smoothing uses it.

        Returns
        -------
        ndarray of shape (n_windows,)
            Labels out of ``classes_``.
        """
        best = self.predict_proba(X, **metadata).argmax(axis=1)
        return self.classes_[best]

    @takes_metadata(*KEYWORDS)
    def predict_proba(self, X: Windows, **metadata: ArrayLike | None) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs, list of mne.Epochs, braindecode dataset or array
            As for `fit`.
        subjects, datasets, sessions, trials, stimuli, onsets : array-like of shape \
(n_windows,), default=None
            As for `predict`.

        Returns
        -------
        ndarray of shape (n_windows, n_classes)
            Float64, in the order of ``classes_``; row i is window i.
        """
        return self.predict_head(self._features_of(X, metadata))

    def export(
        self,
        path: PathLike,
        format: Literal["onnx", "torch"] = "onnx",
        *,
        ch_names: Sequence[str] | None = None,
        window_seconds: float = 5.0,
        subject: str | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write encoder and head as a graph from windows to probabilities.

        Parameters
        ----------
        path : str or path-like
            The file; its metadata have ``classes_``.
        format : {"onnx", "torch"}, default="onnx"
            As for `MDJPTEncoder.export`.
        ch_names : sequence of str, default=None
            Channels of the windows; None: the 60 canonical ones.
        window_seconds : float, default=5.0
            Length of the windows.
        subject : str, default=None
            A person that the encoder is calibrated to.
        overwrite : bool, default=False
            Whether to replace a file.

        Raises
        ------
        ValueError
            As of `MDJPTEncoder.export`; or if there is a smoothing, which runs along
            the windows, or another encoder.
        """
        check_is_fitted(self)
        encoder = self.features_.extractor_
        while isinstance(encoder, FrozenEstimator):
            encoder = encoder.estimator
        steps = [type(step).__name__ for _, step in self.features_.steps_]
        if not isinstance(encoder, MDJPTEncoder) or steps:
            raise ValueError(
                "A graph takes each window by itself, through an MDJPTEncoder and the "
                f"head; this classifier has {type(encoder).__name__} and the steps "
                f"{steps}. Export one with smoothing=None."
            )
        export_model(
            encoder, path, kind=format, ch_names=ch_names, subject=subject,
            window_seconds=window_seconds, overwrite=overwrite, head=self.module_,
            classes=self.classes_,
        )  # fmt: skip

    def predict_head(self, Z: ArrayLike) -> np.ndarray:
        """Return the probability of each class, of features that are there already.

        Parameters
        ----------
        Z : array-like of shape (n_windows, n_features)
            What ``features_`` gives.

        Returns
        -------
        ndarray of shape (n_windows, n_classes)
            As of `predict_proba`.
        """
        return torch.softmax(self._outputs(Z), dim=1).numpy()
