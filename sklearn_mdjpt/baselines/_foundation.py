"""Features of pre-trained networks of braindecode, which stay as they are."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._torch import (
    forked_torch,
    plain_torch,
    resolve_device,
    seed_sequence,
    seeded_torch,
    torch_threads,
)
from .._validation import (
    check_installed,
    check_number,
    check_option,
    check_path,
    list_some,
    warn,
)
from ..features import LDSSmoother, SubjectScaler
from ..features._compose import WindowFeatures
from ..windows._metadata import TakesWindows
from ._braindecode_net import (
    final_tensors,
    find_class,
    forward_arguments,
    load_weights,
    make_module,
)
from ._braindecode_reading import (
    PicklesNetwork,
    check_reading_parameters,
    read_for_network,
    run_network,
    windows_of,
)
from ._pipelines import linear_pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from sklearn.pipeline import Pipeline

    from .._typing import PathLike, RandomState
    from ..windows._inputs import Windows

HUB = "hub:"


class FoundationModel(NamedTuple):
    """How a foundation model of braindecode wants its windows.

    Attributes
    ----------
    module : str
        Name in `braindecode.models`.
    sfreq : float
        Sampling rate of its pre-training, in hertz.
    window_norm : {"robust", None}
        As for `BraindecodeFeatures`.
    scale : float
        As for `BraindecodeFeatures`.
    hub : str
        Where its weights are on the Hugging Face Hub.
    """

    module: str
    sfreq: float
    window_norm: Literal["robust"] | None
    scale: float
    hub: str


# Rates and units of the pre-trainings, as their papers and braindecode's pages give
# them.  Where those scale each recording or window, "robust" does so by one SD.
FOUNDATION_MODELS = {
    "LaBraM": FoundationModel(
        "InterpolatedLaBraM", 200.0, None, 1e4, "braindecode/labram-pretrained"
    ),
    "BIOT": FoundationModel(
        "InterpolatedBIOT",
        200.0,
        "robust",
        1.0,
        "braindecode/biot-pretrained-six-datasets-18chs",
    ),
    "EEGPT": FoundationModel(
        "InterpolatedEEGPT", 256.0, None, 1e3, "braindecode/eegpt-pretrained"
    ),
    "CBraMod": FoundationModel(
        "CBraMod", 200.0, None, 1e4, "braindecode/cbramod-pretrained"
    ),
    "BENDR": FoundationModel(
        "InterpolatedBENDR", 256.0, "robust", 1.0, "braindecode/braindecode-bendr"
    ),
    "SignalJEPA": FoundationModel(
        "InterpolatedSignalJEPA", 128.0, None, 1e6, "braindecode/signal-jepa"
    ),
}
"""Foundation models that `foundation_model` knows, by name: their class in
`braindecode.models`, rate, scaling and place on the Hub."""


class BraindecodeFeatures(
    PicklesNetwork, TakesWindows, TransformerMixin, BaseEstimator
):
    """Features of windows from a pre-trained network of braindecode, frozen.

    ``fit`` builds the network for the windows and loads its weights; nothing is
    trained.  Features are those that the network returns with ``return_features=True``,
    averaged over all axes but the first and the last (channels, patches); of a network
    that does not, what it passes to its final layer.  **Inductive** with
    ``window_norm=None``; "robust" takes one SD and the channel means of a whole
    recording.

    Parameters
    ----------
    module : str or class
        A name in `braindecode.models`, or a class of torch modules.
    weights : str or path-like, default=None
        A file, as for `BraindecodeClassifier`, or "hub:user/name" for the file
        model.safetensors of a repository of the Hugging Face Hub (extra ``hub``).
        All tensors but those of the final layer must match.  None leaves the weights
        random, with a warning.
    module_params : dict, default=None
        As for `BraindecodeClassifier`.
    channels : {"auto", "canonical"} or list of str, default="auto"
        As for `BraindecodeClassifier`.
    ch_names : sequence of str, default=None
        As for `BraindecodeClassifier`.
    sfreq : float, default=None
        As for `BraindecodeClassifier`.
    window_norm : {"robust", None}, default=None
        As for `BraindecodeClassifier`.
    scale : float, default=1.0
        As for `BraindecodeClassifier`; 1e6 turns volts into microvolts.
    batch_size : int, default=64
        Windows in a batch.
    device : str, default="auto"
        "auto" takes a GPU when there is one.
    torch_threads : int, default=None
        Threads of torch; None keeps torch's setting.
    random_state : int, RandomState instance or None, default=None
        Seeds random weights.

    Attributes
    ----------
    module_ : torch.nn.Module
        The network.
    ch_names_ : tuple of str or None
        Channels of the network's input; None if an array had no names.
    sfreq_ : float
        Sampling rate, in hertz, of the network's input.
    n_times_ : int
        Samples of a window at this rate.

    See Also
    --------
    foundation_model : A whole decoder, with the settings of a known network.
    BraindecodeClassifier : Trains a network, or its final layer.

    Examples
    --------
    >>> import warnings
    >>> from sklearn_mdjpt.baselines import BraindecodeFeatures
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> X = make_emotion_windows(1, n_subjects=2, n_stimuli=3, random_state=0)
    >>> features = BraindecodeFeatures("EEGNet", sfreq=64, window_norm="robust")
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # its weights are random
    ...     features.fit_transform(X).shape
    (36, 160)
    """

    def __init__(
        self,
        module: str | type,
        weights: PathLike | None = None,
        *,
        module_params: dict[str, Any] | None = None,
        channels: Literal["auto", "canonical"] | list[str] = "auto",
        ch_names: Sequence[str] | None = None,
        sfreq: float | None = None,
        window_norm: Literal["robust"] | None = None,
        scale: float = 1.0,
        batch_size: int = 64,
        device: str = "auto",
        torch_threads: int | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.module = module
        self.weights = weights
        self.module_params = module_params
        self.channels = channels
        self.ch_names = ch_names
        self.sfreq = sfreq
        self.window_norm = window_norm
        self.scale = scale
        self.batch_size = batch_size
        self.device = device
        self.torch_threads = torch_threads
        self.random_state = random_state

    def fit(self, X: Windows, y: ArrayLike | None = None) -> Self:
        """Build the network for windows like X, and load its weights.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs, list of mne.Epochs, braindecode dataset or array
            Windows of one length in seconds.
        y : object, default=None
            Not used.

        Returns
        -------
        BraindecodeFeatures
            Itself.

        Raises
        ------
        ValueError
            As of `BraindecodeClassifier`.
        FileNotFoundError
            If there is no file ``weights``.
        """
        check_reading_parameters(self)
        check_number(self.batch_size, "batch_size", whole=True, least=1)
        path = _find_weights(self.weights)
        cls, device = find_class(self.module), resolve_device(self.device)
        windows, named = windows_of(X, self.ch_names, self.sfreq)
        reading, reader, size, ch_names = read_for_network(self, windows, named)
        # A head of two classes is built, and not used.
        size["n_outputs"] = 2
        params = dict(self.module_params or {})
        seed = int(seed_sequence(self.random_state).generate_state(1)[0])
        with plain_torch(), torch_threads(self.torch_threads), forked_torch(device):
            with seeded_torch(seed):
                module, arguments = make_module(
                    cls, size, params, ch_names, classifies=False
                )
            if path is not None:
                final = final_tensors(module, cls, arguments, none=True)
                load_weights(module, final, path)
        if path is None:
            warn(
                f"{type(self).__name__} has no weights: the features of "
                f"{cls.__name__} are those of a random network."
            )
        self.module_, self._network = module.to(device).eval(), (cls, arguments)
        self._reading, self._extra = reading, forward_arguments(module, ch_names)
        self.ch_names_, self.sfreq_ = ch_names, reader.sfreq
        self.n_times_ = reader.length
        return self

    def transform(self, X: Windows) -> np.ndarray:
        """Return the features of each window.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs, list of mne.Epochs, braindecode dataset or array
            Windows of the same length in seconds as in `fit`.

        Returns
        -------
        ndarray of float32, shape (n_windows, n_features)
            Row i is window i.

        Raises
        ------
        ValueError
            Windows of another length or with other channels than in `fit`, or features
            that are not finite.
        """
        check_is_fitted(self)
        return run_network(
            self,
            X,
            lambda x: _features(self.module_, x, self._extra).float(),
            "features are",
        ).numpy()


def foundation_model(
    name: str,
    weights: PathLike | None = None,
    *,
    scale: Literal["subject"] | None = "subject",
    smoothing: Literal["lds"] | None = None,
    C: float = 0.1,
    **parameters: Any,
) -> Pipeline:
    """Make a decoder from a foundation model of braindecode, frozen.

    Its features, at its own rate and in its own unit, go through the steps of
    `differential_entropy`, so that tables compare features and nothing else.
    Channels are interpolated to those of its pre-training where it has such
    ("Interpolated..." in braindecode), and else taken as they are.

    Parameters
    ----------
    name : str
        One of `FOUNDATION_MODELS`.
    weights : str or path-like, default=None
        A file, or "hub:user/name", as for `BraindecodeFeatures`; None takes the
        weights of braindecode's organisation on the Hub (extra ``hub``).  Mind the
        licence of weights.
    scale : {"subject", None}, default="subject"
        As for `differential_entropy`.
    smoothing : {None, "lds"}, default=None
        As for `differential_entropy`.
    C : float, default=0.1
        As for `differential_entropy`.
    **parameters : object
        Further parameters of `BraindecodeFeatures`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        With the steps "features" (`WindowFeatures`), "scaler" and "classifier"; not
        fitted.

    Raises
    ------
    ValueError
        If the name is not known.

    Notes
    -----
    Networks with patches of a second take windows of whole seconds.  Whom a network
    saw in its pre-training is not known to `assert_unseen`: many were trained on SEED
    or other emotion datasets, so look it up before you report a transfer.

    Examples
    --------
    >>> from sklearn_mdjpt.baselines import foundation_model
    >>> model = foundation_model("CBraMod", "cbramod.safetensors")
    >>> model["features"].extractor.sfreq
    200.0
    """
    check_option(scale, (None, "subject"), "scale")
    check_option(smoothing, (None, "lds"), "smoothing")
    if name not in FOUNDATION_MODELS:
        raise ValueError(
            f"name must be one of {list_some(FOUNDATION_MODELS)}, got {name!r}. "
            "BraindecodeFeatures takes any other network."
        )
    known = FOUNDATION_MODELS[name]
    settings = {
        "module": known.module,
        "weights": f"{HUB}{known.hub}" if weights is None else weights,
        "sfreq": known.sfreq,
        "window_norm": known.window_norm,
        "scale": known.scale,
    }
    extractor = BraindecodeFeatures(**settings | parameters)
    steps = [SubjectScaler()] if scale == "subject" else []
    if smoothing == "lds":
        steps.append(LDSSmoother())
    return linear_pipeline(WindowFeatures(extractor, steps), C, None)


def _find_weights(weights):
    """Return the file of weights; one of the Hub is downloaded."""
    if weights is None:
        return None
    if not isinstance(weights, str) or not weights.startswith(HUB):
        return check_path(weights, "weights")
    check_installed("huggingface_hub", weights, "pip install 'sklearn_mdjpt[hub]'")
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(weights.removeprefix(HUB), "model.safetensors"))


def _features(module, x, extra):
    """Return what a network passes to its final layer, one row for each window."""
    if _takes(module, "return_features"):
        output = module(x, return_features=True, **extra)
        found = output["features"] if isinstance(output, dict) else output
        return found if found.ndim == 2 else found.flatten(1, -2).mean(dim=1)
    final = getattr(module, "final_layer", None)
    if not isinstance(final, torch.nn.Module):
        raise ValueError(
            f"{type(module).__name__} gives no features: its forward does not take "
            "return_features, and it has no final_layer."
        )
    kept = []
    hook = final.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    try:
        module(x, **extra)
    finally:
        hook.remove()
    return kept[0].flatten(1)


def _takes(module, argument):
    """Whether ``forward`` takes an argument, in the class or in one of its bases."""
    forwards = [vars(cls).get("forward") for cls in type(module).__mro__]
    return any(f is not None and argument in signature(f).parameters for f in forwards)
