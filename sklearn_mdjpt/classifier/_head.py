"""What MDJPTClassifier and MDJPTRegressor share: encoder, smoothing, and a head."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GroupShuffleSplit
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted, validate_data
from skorch.callbacks import EarlyStopping
from skorch.dataset import Dataset
from skorch.helper import predefined_split

from .._grouping import check_groups
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
from ..windows._metadata import read_metadata
from ._net import check_training_parameters, finish_training

if TYPE_CHECKING:
    from ..windows._inputs import Windows

_SMOOTHING = {
    None: (),
    "lds": (LDSSmoother,),
    "running+lds": (RunningNormalizer, LDSSmoother),
}
# Attributes that describe features that are passed through.
_SEEN = ("n_features_in_", "feature_names_in_")
_BLOCK_ROWS = 8192  # rows that the head takes at once when it predicts


class Prepared(NamedTuple):
    """What ``fit`` was given, checked.

    Attributes
    ----------
    X : EEGWindows or array
        The windows or features.
    n_windows : int
        How many.
    given : dict
        Metadata as it came.
    known : dict
        Metadata that early stopping needs.
    seen : dict
        Attributes that name and count features.
    seeds : list of int
        Of the encoder, the subjects set aside, the head, and its batches.
    device : torch.device
        Of the head.
    """

    X: Any
    n_windows: int
    given: dict[str, Any]
    known: dict[str, Any]
    seen: dict[str, Any]
    seeds: list[int]
    device: Any


class HeadEstimator(SharesLoggers, BaseEstimator):
    """Encoder, smoothing and the paper's head, trained by skorch."""

    encoder: Any
    smoothing: Any
    hidden_dim: int
    early_stopping: bool
    validation_fraction: float
    patience: int
    device: str
    torch_threads: int | None
    random_state: Any
    verbose: int
    features_: WindowFeatures
    module_: torch.nn.Module

    def calibrate(self, X: Windows) -> Self:
        """Fix the statistics of the people in X, as `WindowFeatures.calibrate`.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs, list of mne.Epochs or braindecode dataset
            Windows of one or more people, whose datasets and subjects have names.

        Returns
        -------
        object
            The estimator itself; after an error it is as it was.
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
        if codes.dtype.kind == "f":
            return train, valid, np.unique(subjects[valid])
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

    def _prepare(self, X, metadata):
        """Check what ``fit`` was given, apart from targets."""
        device = resolve_device(self.device)
        seeds = [int(s) for s in seed_sequence(self.random_state).generate_state(4)]
        X, seen = self._check_X(X)
        X, known = self._read_metadata(X, metadata)
        return Prepared(X, len(X), metadata, known, seen, seeds, device)

    def _fit_head(self, given, y, targets, kind, settings, n_outputs):
        """Fit the features, train a head on them, and set all attributes.

        Parameters
        ----------
        given : Prepared
            What ``fit`` was given.
        y : array-like or None
            Targets as they came, for the encoder.
        targets : ndarray of shape (n_windows,) or (n_windows, 1)
            Targets of the head.
        kind : type
            Of the net.
        settings : callable
            Takes a seed and a device, and returns arguments of the net.
        n_outputs : int
            Of the head.
        """
        features = self._make_features(given.seeds[0])
        train, valid, held_out = self._split(given.known, targets, given.seeds[1])
        Z = as_float32(features.fit_transform(given.X, y, **given.given))
        settings = settings(given.seeds[3], given.device)
        if valid is not None:
            stopping = EarlyStopping(patience=self.patience, load_best=True)
            settings["callbacks"].append(stopping)
            held = Dataset(Z[valid], targets[valid])
            settings["train_split"] = predefined_split(held)
        threads = torch_threads(self.torch_threads)
        with plain_torch(), threads, forked_torch(given.device):
            net = kind(
                MLPHead,
                module__n_features=Z.shape[1],
                module__n_outputs=n_outputs,
                module__hidden_dim=self.hidden_dim,
                optimizer=torch.optim.Adam,
                **settings,
            )
            with seeded_torch(given.seeds[2]):
                net.initialize()
            net.partial_fit(Z[train], targets[train])
        history = finish_training(net, "head")
        net.train_split = None  # it holds the windows set aside

        for name in _SEEN:
            self.__dict__.pop(name, None)
        self.__dict__.update(given.seen)
        self.features_ = features
        self.net_, self.module_ = net, net.module_.eval()
        self.history_ = history
        self.validation_subjects_ = held_out

    def _features_of(self, X, metadata):
        """Return what the head takes of windows."""
        check_is_fitted(self)
        if hasattr(self, "n_features_in_"):  # features were passed through
            X = validate_data(self, X, reset=False)
        return self.features_.transform(X, **metadata)

    def _outputs(self, Z):
        """Return the outputs of the head (n_windows, n_outputs), in float64."""
        check_is_fitted(self)
        Z = torch.from_numpy(as_float32(Z))
        # In double precision a row's numbers do not depend on the rows beside it.
        head = copy.deepcopy(self.module_).cpu().double()
        threads = torch_threads(self.torch_threads)
        with plain_torch(), threads, torch.inference_mode():
            return torch.cat([head(rows.double()) for rows in Z.split(_BLOCK_ROWS)])


def as_float32(features):
    """Return a copy in the precision of the head; raise if it is not finite."""
    Z = np.array(features, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(Z).all(axis=1))
    if len(bad):
        raise ValueError(
            f"The features of {len(bad)} of {len(Z)} windows hold NaN, inf or numbers "
            f"too large for float32: windows {list_some(bad)}."
        )
    return Z
