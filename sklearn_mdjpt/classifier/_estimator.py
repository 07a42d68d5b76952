"""MDJPTClassifier: encoder, smoothing in time, and the paper's head."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import GroupShuffleSplit
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch.callbacks import EarlyStopping
from skorch.dataset import Dataset
from skorch.helper import predefined_split

from .._grouping import check_groups
from .._labels import check_labels, class_weights
from .._torch import (
    forked_torch,
    plain_torch,
    resolve_device,
    seed_sequence,
    seeded_torch,
    torch_threads,
)
from .._validation import check_number, check_option, list_some
from ..encoder._callbacks import SharesLoggers
from ..encoder._estimator import MDJPTEncoder
from ..features import LDSSmoother, RunningNormalizer
from ..features._calibration import twin
from ..features._compose import WindowFeatures
from ..nn import MLPHead
from ..windows._inputs import is_array
from ..windows._metadata import KEYWORDS, read_metadata, takes_metadata
from ._net import (
    ClassifierNet,
    check_training_parameters,
    finish_training,
    net_settings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from .._typing import ClassWeight, RandomState
    from ..windows._inputs import Windows

_SMOOTHING = {
    None: (),
    "lds": (LDSSmoother,),
    "running+lds": (RunningNormalizer, LDSSmoother),
}
# Attributes that describe features that are passed through.
_SEEN = ("n_features_in_", "feature_names_in_")
_BLOCK_ROWS = 8192  # rows that the head takes at once when it predicts


class MDJPTClassifier(SharesLoggers, ClassifierMixin, BaseEstimator):
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
        device = resolve_device(self.device)
        seeds = [int(s) for s in seed_sequence(self.random_state).generate_state(4)]
        features = self._make_features(seeds[0])
        X, seen = self._check_X(X)
        X, known = self._read_metadata(X, metadata)
        classes, codes = check_labels(y, len(X), self)
        weights = class_weights(self.class_weight, classes, codes)
        train, valid, held_out = self._split(known, codes, seeds[1])

        Z = _as_float32(features.fit_transform(X, y, **metadata))
        settings = net_settings(self, weights, len(classes), seeds[3], device)
        if valid is not None:
            stopping = EarlyStopping(patience=self.patience, load_best=True)
            settings["callbacks"].append(stopping)
            settings["train_split"] = predefined_split(Dataset(Z[valid], codes[valid]))
        with plain_torch(), torch_threads(self.torch_threads), forked_torch(device):
            net = ClassifierNet(
                MLPHead,
                module__n_features=Z.shape[1],
                module__n_outputs=len(classes),
                module__hidden_dim=self.hidden_dim,
                optimizer=torch.optim.Adam,
                **settings,
            )
            with seeded_torch(seeds[2]):
                net.initialize()
            net.partial_fit(Z[train], codes[train])
        history = finish_training(net, "head")
        net.train_split = None  # it holds the windows set aside

        for name in _SEEN:
            self.__dict__.pop(name, None)
        self.__dict__.update(seen)
        self.classes_ = classes
        self.features_ = features
        self.net_, self.module_ = net, net.module_.eval()
        self.history_ = history
        self.validation_subjects_ = held_out
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
        check_is_fitted(self)
        if hasattr(self, "n_features_in_"):  # features were passed through
            X = validate_data(self, X, reset=False)
        return self.predict_head(self.features_.transform(X, **metadata))

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
        check_is_fitted(self)
        Z = torch.from_numpy(_as_float32(Z))
        # In double precision a row's numbers do not depend on the rows beside it.
        head = copy.deepcopy(self.module_).cpu().double()
        threads = torch_threads(self.torch_threads)
        with plain_torch(), threads, torch.inference_mode():
            logits = [head(rows.double()) for rows in Z.split(_BLOCK_ROWS)]
            return torch.softmax(torch.cat(logits), dim=1).numpy()

    def calibrate(self, X: Windows) -> Self:
        """Fix the statistics of the people in X, as `WindowFeatures.calibrate`.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs, list of mne.Epochs or braindecode dataset
            Windows of one or more people, whose datasets and subjects have names.

        Returns
        -------
        MDJPTClassifier
            The classifier itself; after an error it is as it was.
        """
        check_is_fitted(self)
        self.features_ = twin(self.features_).calibrate(X)
        return self

    @property
    def calibrated_subjects_(self) -> list[str]:
        """The people whose statistics are fixed, as "dataset/subject"."""
        check_is_fitted(self)
        return self.features_.calibrated_subjects_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = self._passes_through()
        tags.input_tags.three_d_array = not self._passes_through()
        return tags

    # The parts of fit -------------------------------------------------------------

    def _passes_through(self):
        return isinstance(self.encoder, str) and self.encoder == "passthrough"

    def _make_features(self, seed):
        """Return encoder and smoothing, not fitted."""
        encoder = self.encoder
        if self._passes_through():
            encoder = FunctionTransformer(feature_names_out="one-to-one")
        elif encoder is None:
            encoder = MDJPTEncoder(
                device=self.device,
                torch_threads=self.torch_threads,
                random_state=seed,
                verbose=self.verbose,
            )
        steps = self.smoothing
        if steps is None or isinstance(steps, str):
            steps = [step() for step in _SMOOTHING[steps]]
        return WindowFeatures(encoder, steps)

    def _check_X(self, X):
        """Return X, and the fitted attributes that name and count its features."""
        if not self._passes_through():
            return X, {}
        if not is_array(X):
            raise ValueError(
                f"encoder='passthrough' takes 2-D features, got {type(X).__name__}; "
                "pass an encoder to classify windows."
            )
        other = clone(self)  # an error leaves self unchanged
        X = validate_data(other, X)
        return X, {name: vars(other)[name] for name in _SEEN if name in vars(other)}

    def _read_metadata(self, X, given):
        """Return X, and the metadata that smoothing and early stopping need."""
        needs_trials = isinstance(self.smoothing, str)
        needed = ["domains"] * bool(self.early_stopping) + ["trials"] * needs_trials
        X, known = read_metadata(X, needed, given)
        if needs_trials and known["trials"] is None:
            raise ValueError(
                f"smoothing={self.smoothing!r} runs along the windows of a trial, and "
                "the trials are not known: pass EEGWindows that have trials, or "
                "trials= with an array."
            )
        return X, known

    def _split(self, metadata, codes, seed):
        """Return rows to train on, rows set aside, and the subjects of these."""
        if not self.early_stopping:
            return np.arange(len(codes)), None, None
        subjects = check_groups(metadata["domains"], len(codes), "subjects")
        n_subjects = 0 if subjects is None else len(np.unique(subjects))
        if n_subjects < 2:
            raise ValueError(
                "early_stopping=True sets whole subjects aside and needs two or more, "
                f"but {n_subjects or 'none'} are known: pass EEGWindows that have "
                "subjects, or subjects= with an array."
            )
        splitter = GroupShuffleSplit(1, test_size=self.validation_fraction,
                                     random_state=seed)  # fmt: skip
        train, valid = next(splitter.split(codes, groups=subjects))
        lost = len(np.unique(codes)) - len(np.unique(codes[train]))
        if lost:
            raise ValueError(
                f"With subjects {list_some(np.unique(subjects[valid]))} set aside, "
                f"{lost} of the classes have no training window left. Choose another "
                "random_state or validation_fraction, or early_stopping=False."
            )
        return train, valid, np.unique(subjects[valid])

    def _check_parameters(self):
        """Raise on parameters that are out of range, before any work is done."""
        if isinstance(self.encoder, str):
            check_option(self.encoder, ("passthrough",), "encoder")
        if not isinstance(self.smoothing, list | tuple):
            check_option(self.smoothing, tuple(_SMOOTHING), "smoothing")
        check_option(self.early_stopping, (True, False), "early_stopping")
        check_number(self.hidden_dim, "hidden_dim", whole=True, least=1)
        check_number(self.patience, "patience", whole=True, least=1)
        fraction = self.validation_fraction
        check_number(fraction, "validation_fraction", above=0, below=1)
        check_training_parameters(self)


def _as_float32(features):
    """Return a copy in the precision of the head; raise if it is not finite."""
    Z = np.array(features, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(Z).all(axis=1))
    if len(bad):
        raise ValueError(
            f"The features of {len(bad)} of {len(Z)} windows hold NaN, inf or numbers "
            f"too large for float32: windows {list_some(bad)}."
        )
    return Z
