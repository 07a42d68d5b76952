"""Pipelines that need no pre-training, and networks of braindecode."""

from __future__ import annotations

import numbers
import warnings
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from .._labels import check_labels, class_weights
from .._validation import (
    check_option,
    check_path,
    check_sfreq,
    list_some,
    merge_rates,
    name_windows,
    show_rates,
)
from ..channels._channels import CANONICAL_CHANNELS
from ..channels._montage import ChosenChannels, CommonChannels
from ..encoder._callbacks import SharesLoggers, copy_callbacks
from ..features import LDSSmoother, SubjectScaler
from ..features._compose import WindowFeatures
from ..features._entropy import DifferentialEntropy
from ..windows._inputs import as_windows, is_array
from ..windows._reader import CanonicalReader
from ..windows._recording import head_montage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike

    from .._typing import ClassWeight, PathLike, RandomState
    from ..windows._inputs import Windows

# Networks are made for inputs of about 1, or of tens of microvolts.
_PLAUSIBLE_SD = (1e-3, 1e4)
_AMPLITUDE_WINDOWS = 32


class BraindecodeClassifier(SharesLoggers, ClassifierMixin, BaseEstimator):
    """A network of braindecode, trained on windows.

    ``fit`` builds the network for the windows at hand, takes over weights if there
    are any, and trains it with cross-entropy and AdamW for a fixed number of epochs.

    Parameters
    ----------
    module : str or class, default="EEGNet"
        A name in `braindecode.models`, such as "EEGNet" [1]_, "ShallowFBCSPNet" [2]_ or
        "InterpolatedLaBraM", or a class of torch modules that makes one logit for each
        class of windows (n_windows, n_chans, n_times).  It gets ``n_chans``,
        ``n_times``, ``sfreq``, ``n_outputs`` and ``chs_info``, as far as its
        constructor has parameters of these names.
    module_params : dict, default=None
        Further arguments of its constructor; they go before those.
    channels : {"auto", "canonical"} or list of str, default="auto"
        "auto": the channels that all windows of X share, the 60 canonical ones where X
        has several montages.  "canonical": always the 60 (see
        `sklearn_mdjpt.channels.channel_matrix`).  A list: these channels, in this
        order, which all recordings must have; what else they have is left out.
    ch_names : sequence of str, default=None
        Channels of plain arrays.  None takes arrays of 60 channels for the canonical
        ones; networks get no names for the channels of others.
    sfreq : float, default=None
        Rate, in hertz, of what the network gets: `EEGWindows` and Epochs are resampled
        to it with anti-aliasing, plain arrays are taken to have it.  None: the rate of
        the windows, which must be one.
    window_norm : {"robust", None}, default="robust"
        Amplitude of the input.  "robust", as in `MDJPTEncoder`: each channel's mean is
        removed, and all are divided by one SD for each recording that outliers do not
        count for; of plain arrays, Epochs and braindecode datasets, for each window.
        None: as it is, volts mostly.
    scale : float, default=1.0
        What the input is multiplied by in the end.  With ``window_norm=None``, 1e6
        makes microvolts of volts, the unit of most of braindecode's pre-trained
        networks; some were trained on others, so that 1e4 or 1e3 is right (their
        documentation says which).
    weights : str or path-like, default=None
        File of a pre-trained network: safetensors, or a state_dict of `torch.save`,
        alone or in a checkpoint under "state_dict".  It is read without running code.
        All tensors but those of the final layer must match by name and shape, and the
        final layer is always new.
    frozen : bool, default=False
        Whether to train the final layer only (linear probe).  The rest then stays as
        it is, statistics of batch norm included, and has no dropout.
    max_epochs : int, default=30
        Epochs of the training.
    lr, weight_decay : float, default=1e-3, 0.01
        Of AdamW.  `skorch.callbacks.LRScheduler` among the callbacks changes ``lr`` on
        the way.
    batch_size : int, default=64
        Windows in a batch, at least 2.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss, as in scikit-learn.
    device : str, default="auto"
        "auto" takes a GPU when there is one.
    torch_threads : int, default=None
        Threads of torch; None leaves the setting.  Workers of joblib take no more than
        their share of the cores in any case.
    callbacks : list of skorch callbacks, default=None
        Further callbacks for the training.  They are copied, and shared as far as they
        cannot be, as in `MDJPTEncoder`.
    random_state : int, RandomState instance or None, default=None
        Seeds initial weights, batches and dropout.  The same seed gives the same
        numbers on one machine; torch's and numpy's global states are left alone.
    verbose : int, default=0
        1 shows a line for each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    module_ : torch.nn.Module
        The network.
    history_ : DataFrame
        One row for each epoch: train_loss, seconds.
    ch_names_ : tuple of str or None
        Channels that the network gets; None if an array had no names.
    sfreq_ : float
        Rate, in hertz, of what the network gets.
    n_times_ : int
        Samples of a window at this rate.

    See Also
    --------
    MDJPTClassifier : The same with mdJPT's encoder and head.
    make_baselines : This and the classical pipelines by name.

    Notes
    -----
    *Inductive or transductive.*  With ``window_norm="robust"`` and `EEGWindows` a test
    window is scaled by its whole recording, as in `MDJPTEncoder`: transductive, be it
    by one SD and the channels' means.  Otherwise each window stands alone: inductive.

    The final layer is what braindecode calls so (``final_layer``), in some networks
    several layers, together with any other tensor whose shape goes with the number of
    classes.

    Windows are neither cropped nor padded: they must have one length.

    A pickle holds the network's class, arguments and tensors, and builds it anew.

    Epochs and rates are customary values, tuned on no data.

    References
    ----------
    .. [1] Lawhern VJ et al. EEGNet: a compact convolutional neural network for
       EEG-based brain-computer interfaces. J Neural Eng 2018;15:056013,
       doi:10.1088/1741-2552/aace8c.
    .. [2] Schirrmeister RT et al. Deep learning with convolutional neural networks for
       EEG decoding and visualization. Hum Brain Mapp 2017;38:5391-5420,
       doi:10.1002/hbm.23730.

    Examples
    --------
    >>> from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
    >>> from sklearn_mdjpt.baselines import BraindecodeClassifier
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> X = make_emotion_windows(1, n_subjects=3, n_stimuli=3, random_state=0)
    >>> model = BraindecodeClassifier("EEGNet", sfreq=64, max_epochs=1, random_state=0)
    >>> cross_val_score(model, X, X.y, groups=X.groups("subject"),
    ...                 cv=LeaveOneGroupOut()).shape
    (3,)
    """

    def __init__(
        self,
        module: str | type = "EEGNet",
        *,
        module_params: dict[str, Any] | None = None,
        channels: Literal["auto", "canonical"] | list[str] = "auto",
        ch_names: Sequence[str] | None = None,
        sfreq: float | None = None,
        window_norm: Literal["robust"] | None = "robust",
        scale: float = 1.0,
        weights: PathLike | None = None,
        frozen: bool = False,
        max_epochs: int = 30,
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        batch_size: int = 64,
        class_weight: ClassWeight = None,
        device: str = "auto",
        torch_threads: int | None = None,
        callbacks: list[Any] | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.module = module
        self.module_params = module_params
        self.channels = channels
        self.ch_names = ch_names
        self.sfreq = sfreq
        self.window_norm = window_norm
        self.scale = scale
        self.weights = weights
        self.frozen = frozen
        self.max_epochs = max_epochs
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.class_weight = class_weight
        self.device = device
        self.torch_threads = torch_threads
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Windows, y: ArrayLike | None = None) -> Self:
        """Build the network and train it.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs, list of mne.Epochs, braindecode dataset or array
            Windows of one length in seconds; an array has the shape (n_windows,
            n_channels, n_times).
        y : array-like of shape (n_windows,), default=None
            Labels; those of EEGWindows are ``X.y``.

        Returns
        -------
        BraindecodeClassifier
            The classifier itself; after an error or Ctrl-C it is as it was.

        Raises
        ------
        ValueError
            Windows that cannot be used (NaN, constant, of several lengths, too short
            for the network), channels or rates that are not known, labels that are
            missing or all the same, an unknown network, weights that do not fit;
            parameters out of range.
        FileNotFoundError
            If there is no file ``weights``.
        FloatingPointError
            If the loss becomes infinite or NaN.
        """
        import torch

        from .._torch import (
            forked_torch,
            plain_torch,
            resolve_device,
            seed_sequence,
            seeded_torch,
            torch_threads,
        )
        from ..classifier._net import head_history
        from ._braindecode_net import (
            WindowDataset,
            final_tensors,
            find_class,
            forward_arguments,
            load_weights,
            make_baseline_net,
            make_module,
        )

        self._check_parameters()
        cls, params = find_class(self.module), dict(self.module_params or {})
        device = resolve_device(self.device)
        seeds = [int(s) for s in seed_sequence(self.random_state).generate_state(3)]
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None. The labels of EEGWindows are X.y."
            )
        windows, named = self._as_windows(X)
        classes, codes = check_labels(y, len(windows))
        weights = class_weights(self.class_weight, classes, codes)
        fitted = {
            "_channels": self._choose_channels(windows),
            "_input": (self.window_norm, float(self.scale)),
            "sfreq_": _one_rate(windows) if self.sfreq is None else float(self.sfreq),
        }
        reader, read = _make_reader(windows, **fitted)
        n_times = _one_length(reader)
        names = fitted["_channels"].names if named else None
        _warn_of_amplitude(read, len(windows), self.window_norm)

        words = {
            "n_chans": reader.n_channels,
            "n_times": n_times,
            "sfreq": fitted["sfreq_"],
            "n_outputs": len(classes),
        }
        if named:
            words["chs_info"] = _channel_info(
                fitted["_channels"], windows, reader.sfreq
            )
        with plain_torch(), torch_threads(self.torch_threads), forked_torch(device):
            with seeded_torch(seeds[0]):
                module, arguments = make_module(cls, words, params, names)
            final = None
            if self.weights is not None or self.frozen:
                final = final_tensors(module, cls, arguments)
            if self.weights is not None:
                load_weights(module, final, self.weights)
            extra = forward_arguments(module, names)
            net = make_baseline_net(
                module,
                len(classes),
                class_weights=None if weights is None else torch.from_numpy(weights),
                lr=self.lr,
                weight_decay=self.weight_decay,
                max_epochs=self.max_epochs,
                batch_size=self.batch_size,
                seeds=seeds[1:],
                device=device,
                final=final if self.frozen else None,
                extra=extra,
                callbacks=self.callbacks,
                verbose=self.verbose,
            )
            net.initialize()
            net.partial_fit(WindowDataset(read, codes), None)
        if net.interrupted_:
            raise KeyboardInterrupt("The training of the network was interrupted.")
        history = head_history(net)
        if not np.isfinite(history).all(axis=None):
            raise FloatingPointError(
                "The loss of the network became infinite or NaN; try a lower lr."
            )

        self.__dict__.update(fitted)
        self.classes_ = classes
        self.module_, self._network = net.module_.eval(), (cls, arguments)
        self._extra = extra
        self.history_ = history
        self.ch_names_, self.n_times_ = names, n_times
        return self

    def predict(self, X: Windows) -> np.ndarray:
        """Return the most probable class of each window.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs, list of mne.Epochs, braindecode dataset or array
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_windows,)
            Labels out of ``classes_``.
        """
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X: Windows) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs, list of mne.Epochs, braindecode dataset or array
            Windows of the same length in seconds as in `fit`.

        Returns
        -------
        ndarray of shape (n_windows, n_classes)
            Float64, in the order of ``classes_``; row i is window i.

        Raises
        ------
        ValueError
            Windows of another length or with other channels than in `fit`, or that
            hold NaN or inf.
        """
        check_is_fitted(self)
        import torch

        from .._torch import plain_torch, torch_threads

        windows, _ = self._as_windows(X)
        reader, read = _make_reader(
            windows, _channels=self._channels, _input=self._input, sfreq_=self.sfreq_
        )
        n_times = _one_length(reader)
        if n_times != self.n_times_:
            raise ValueError(
                f"X has windows of {n_times} samples at {self.sfreq_:g} Hz, but the "
                f"network was fitted with {self.n_times_}; they are neither cropped "
                "nor padded."
            )
        device = next(self.module_.parameters()).device
        logits = []
        with plain_torch(), torch_threads(self.torch_threads), torch.no_grad():
            for first in range(0, len(windows), self.batch_size):
                rows = np.arange(first, min(first + self.batch_size, len(windows)))
                x = torch.from_numpy(read(rows)).to(device)
                logits.append(self.module_(x, **self._extra).double().cpu())
        logits = torch.cat(logits)
        bad = np.flatnonzero(~torch.isfinite(logits).all(dim=1).numpy())
        if len(bad):
            raise ValueError(
                f"The network's output is not finite for {len(bad)} windows: "
                f"{name_windows(bad, windows.metadata)}."
            )
        return torch.softmax(logits, dim=1).numpy()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags

    def __sklearn_is_fitted__(self):
        return hasattr(self, "module_")

    # torch pickles no modules with constraints on their weights, as EEGNet has.
    def __getstate__(self):
        state = super().__getstate__()
        if "module_" not in state:
            return state
        tensors = {k: v.detach().cpu() for k, v in self.module_.state_dict().items()}
        return state | {"module_": tensors}

    def __setstate__(self, state):
        state = dict(state)
        tensors = state.pop("module_", None)
        super().__setstate__(state)
        if tensors is not None:
            from .._torch import plain_torch, resolve_device
            from ._braindecode_net import rebuild

            try:
                device = resolve_device(self.device)
            except ValueError:
                device = "cpu"  # the GPU stayed behind
            with plain_torch():
                self.module_ = rebuild(*self._network, tensors).to(device)

    # The parts of fit -------------------------------------------------------------

    def _as_windows(self, X):
        """Return X as EEGWindows, and whether the names of its channels are known."""
        ch_names, named = self.ch_names, True
        shape = getattr(X, "shape", ())
        if ch_names is None and is_array(X) and len(shape) == 3:
            named = shape[1] == len(CANONICAL_CHANNELS)
            ch_names = None if named else [f"ch{i}" for i in range(shape[1])]
        windows = as_windows(X, ch_names=ch_names, sfreq=self.sfreq, per_window=True)
        return windows, named

    def _choose_channels(self, windows):
        if isinstance(self.channels, str):
            return CommonChannels(windows, self.channels)
        return ChosenChannels(self.channels, windows)

    def _check_parameters(self):
        """Raise on parameters that are out of range, before any work is done."""
        if self.module_params is not None and not isinstance(self.module_params, dict):
            raise TypeError(
                "module_params must be a dict of arguments of the network, got "
                f"{self.module_params!r}."
            )
        if isinstance(self.channels, str):
            check_option(self.channels, ("auto", "canonical"), "channels")
        elif not isinstance(self.channels, list | tuple | np.ndarray):
            raise TypeError(
                "channels must be 'auto', 'canonical' or a list of names, got "
                f"{self.channels!r}."
            )
        if self.sfreq is not None:
            check_sfreq(self.sfreq)
        check_option(self.window_norm, ("robust", None), "window_norm")
        check_option(self.frozen, (True, False), "frozen")
        if self.weights is not None:
            check_path(self.weights, "weights")
        elif self.frozen:
            warnings.warn(
                "frozen=True without weights: all but the final layer stays at its "
                "random initial values.",
                stacklevel=3,
            )
        least = {"max_epochs": 1, "batch_size": 2}
        if self.torch_threads is not None:
            least["torch_threads"] = 1
        for name, least_value in least.items():
            value = getattr(self, name)
            whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
            if not whole or value < least_value:
                raise ValueError(
                    f"{name} must be an int >= {least_value}, got {value!r}."
                )
        for name, positive in (("lr", True), ("weight_decay", False), ("scale", True)):
            value = getattr(self, name)
            number = isinstance(value, numbers.Real) and np.isfinite(value)
            if not number or value < 0 or (positive and value == 0):
                raise ValueError(
                    f"{name} must be a finite number {'>' if positive else '>='} 0, "
                    f"got {value!r}."
                )
        copy_callbacks(self.callbacks)


def _make_reader(windows, *, _channels, _input, sfreq_):
    """Return a checked reader, and what reads rows to the scale of the network."""
    window_norm, scale = _input
    reader = CanonicalReader(
        windows, sfreq=sfreq_, window_norm=window_norm, channels=_channels
    )
    reader.check()

    def read(rows):
        x = reader.read(rows)
        return x if scale == 1 else x * np.float32(scale)

    return reader, read


def _one_rate(windows):
    rates = merge_rates(source.sfreq for source in windows.recordings)
    rates = sorted({*rates.values()})
    if len(rates) > 1:
        raise ValueError(
            f"X has several sampling rates ({list_some(show_rates(rates))} Hz); set "
            "sfreq= to the one that the network is to get."
        )
    return rates[0]


def _one_length(reader):
    lengths = np.unique(reader.n_times)
    if len(lengths) > 1:
        raise ValueError(
            f"X has windows of several lengths ({list_some(lengths)} samples at "
            f"{reader.sfreq:g} Hz), but a network takes one; they are neither cropped "
            "nor padded."
        )
    return int(lengths[0])


def _warn_of_amplitude(read, n_windows, window_norm):
    """Say so if the network would see numbers of another size than it is made for."""
    rows = np.unique(np.linspace(0, n_windows - 1, _AMPLITUDE_WINDOWS).astype(int))
    sd = float(np.median(read(rows).std(axis=2)))
    low, high = _PLAUSIBLE_SD
    if not low <= sd <= high:
        hint = ""
        if window_norm is None:
            hint = " With window_norm=None, scale=1e6 makes microvolts of volts."
        warnings.warn(
            f"Windows have an SD of {sd:.2g} where the network gets them; networks are "
            f"made for about 1, or for microvolts.{hint}",
            stacklevel=3,
        )


def _channel_info(channels, windows, sfreq):
    """Channels in MNE's words (``info["chs"]``), with their positions if known."""
    import mne

    positions = None
    if not channels.maps:
        source = windows.recordings[0]
        if source.positions is not None:
            matrix = channels.matrix(source)
            order = slice(None) if matrix is None else matrix.argmax(axis=1)
            positions = source.positions[order]
    info = mne.create_info(list(channels.names), sfreq, "eeg", verbose="error")
    montage = head_montage(channels.names, positions)
    if montage is not None:
        info.set_montage(montage, on_missing="ignore", verbose="error")
    return info["chs"]


# Pipelines ------------------------------------------------------------------------


def differential_entropy(
    scale: Literal["subject"] | None = None,
    smoothing: Literal["lds"] | None = None,
    *,
    channels: Literal["auto", "canonical"] = "auto",
    sfreq: float | None = None,
    bands: Mapping[str, tuple[float, float]] | None = None,
    C: float = 0.1,
    class_weight: ClassWeight = None,
) -> Pipeline:
    """Make a pipeline of differential entropy and logistic regression.

    Differential entropy by channel and band [1]_, standardised by the training
    windows, then logistic regression with an L2 penalty: the usual baseline of emotion
    recognition from EEG.  **Inductive** by default (filters run over whole recordings,
    and so see what is next to a window); **transductive** with ``scale`` or
    ``smoothing``.

    Parameters
    ----------
    scale : {None, "subject"}, default=None
        "subject": z-score each subject's features by its own windows, test subjects'
        too (`SubjectScaler`): transductive.  It needs to know the subjects.
    smoothing : {None, "lds"}, default=None
        "lds": smooth features along the windows of each trial (`LDSSmoother`).  That
        uses later windows too: transductive.  It needs to know the trials.
    channels : {"auto", "canonical"}, default="auto"
        As for `DifferentialEntropy`.
    sfreq : float, default=None
        Sampling rate, in hertz, of plain arrays.
    bands : dict, default=None
        As for `DifferentialEntropy`; None is delta to gamma.
    C : float, default=0.1
        Inverse strength of the penalty.  Below scikit-learn's 1.0: windows of a trial
        are alike, so that there are fewer independent ones than it seems.
    class_weight : dict, "balanced" or None, default=None
        As for `sklearn.linear_model.LogisticRegression`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        With the steps "features" (`WindowFeatures`), "scaler" and "classifier"; not
        fitted.

    References
    ----------
    .. [1] Duan RN, Zhu JY, Lu BL. Differential entropy feature for EEG-based emotion
       classification. IEEE/EMBS NER 2013, 81-84, doi:10.1109/NER.2013.6695876.

    Examples
    --------
    >>> from sklearn_mdjpt.baselines import differential_entropy
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> X = make_emotion_windows(1, n_subjects=2, n_stimuli=3, random_state=0)
    >>> differential_entropy("subject").fit(X, X.y).predict(X).shape == X.shape
    True
    """
    check_option(scale, (None, "subject"), "scale")
    check_option(smoothing, (None, "lds"), "smoothing")
    steps = []
    if scale == "subject":
        steps.append(SubjectScaler())
    if smoothing == "lds":
        steps.append(LDSSmoother())
    extractor = DifferentialEntropy(bands, sfreq=sfreq, channels=channels)
    return _pipeline(WindowFeatures(extractor, steps), C, class_weight)


def tangent_space(
    recentre: bool = False,
    estimator: str | Callable[..., Any] = "oas",
    *,
    metric: str = "riemann",
    channels: Literal["auto", "canonical"] = "auto",
    C: float = 0.1,
    class_weight: ClassWeight = None,
) -> Pipeline:
    """Make a pipeline of covariances, their tangent space and logistic regression.

    Covariance matrices of the windows are mapped to the tangent space at the mean of
    the training windows [1]_, standardised by the training windows, and go to logistic
    regression with an L2 penalty.  **Inductive** by default; **transductive** with
    ``recentre``.

    Parameters
    ----------
    recentre : bool, default=False
        Whether to recentre each subject's matrices by their own mean, test subjects'
        too [2]_ (`CovarianceAlignment`): transductive.  It needs to know the subjects.
    estimator : str or callable, default="oas"
        Of the covariances, as for `WindowCovariances`.  "oas" shrinks, and makes
        matrices of referenced or interpolated channels positive definite.
    metric : str, default="riemann"
        Of the means and of the tangent space, as for
        `pyriemann.tangentspace.TangentSpace` and `CovarianceAlignment`.
    channels : {"auto", "canonical"}, default="auto"
        As for `WindowCovariances`.  There is a feature for each pair of channels: 60
        make 1830.
    C : float, default=0.1
        Inverse strength of the penalty, as for `differential_entropy`.
    class_weight : dict, "balanced" or None, default=None
        As for `sklearn.linear_model.LogisticRegression`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        With the steps "features" (`WindowFeatures`), "scaler" and "classifier"; not
        fitted.

    References
    ----------
    .. [1] Barachant A, Bonnet S, Congedo M, Jutten C. Classification of covariance
       matrices using a Riemannian-based kernel for BCI applications. Neurocomputing
       2013;112:172-178, doi:10.1016/j.neucom.2012.12.039.
    .. [2] Zanini P et al. Transfer learning: a Riemannian geometry framework with
       applications to brain-computer interfaces. IEEE Trans Biomed Eng 2018;65(5),
       doi:10.1109/TBME.2017.2742541.

    Examples
    --------
    >>> from sklearn_mdjpt.baselines import tangent_space
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> X = make_emotion_windows(1, n_subjects=2, n_stimuli=3, random_state=0)
    >>> tangent_space(recentre=True).fit(X, X.y).predict(X).shape == X.shape
    True
    """
    from pyriemann.tangentspace import TangentSpace

    from ..alignment import CovarianceAlignment, WindowCovariances

    check_option(recentre, (True, False), "recentre")
    steps = [TangentSpace(metric=metric)]
    if recentre:
        # TangentSpace has more metrics; fit refuses those that only it knows.
        alignment = CovarianceAlignment(cast(Any, metric), target="identity")
        steps.insert(0, alignment)
    extractor = WindowCovariances(estimator, channels=channels)
    return _pipeline(WindowFeatures(extractor, steps), C, class_weight)


def make_baselines(
    *,
    channels: Literal["auto", "canonical"] = "auto",
    C: float = 0.1,
    class_weight: ClassWeight = None,
    smoothing: Literal["lds"] | None = None,
    networks: Sequence[str | type] = (),
    random_state: int | None = None,
    **network_params: Any,
) -> dict[str, BaseEstimator]:
    """Make the usual baselines by name, for one evaluation of all of them.

    Names end in what the estimator is: "(inductive)", which classifies each test
    window by itself, or "(transductive)", which uses the windows of a test subject
    together, without labels.

    Parameters
    ----------
    channels : {"auto", "canonical"}, default="auto"
        Channels of all of them.
    C : float, default=0.1
        As for `differential_entropy` and `tangent_space`.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, for all of them.
    smoothing : {None, "lds"}, default=None
        "lds": differential entropy once more, smoothed along the trials, which
        have to be known.
    networks : sequence of (str or class), default=()
        Modules for `BraindecodeClassifier`, such as ``("EEGNet", "ShallowFBCSPNet")``;
        they take far longer than the others.
    random_state : int or None, default=None
        Seeds the networks.
    **network_params
        Further parameters of each `BraindecodeClassifier`.

    Returns
    -------
    dict of str to estimator
        Classifiers, not fitted, that take `EEGWindows` that know their subjects.

    Examples
    --------
    >>> from sklearn_mdjpt.baselines import make_baselines
    >>> for name in make_baselines(networks=["EEGNet"], max_epochs=5):
    ...     print(name)
    differential entropy (inductive)
    differential entropy, z-scored by subject (transductive)
    tangent space (inductive)
    tangent space, recentred by subject (transductive)
    EEGNet, scaled by recording (transductive)
    """
    check_option(smoothing, (None, "lds"), "smoothing")
    if isinstance(networks, str | type):
        raise TypeError(f"networks must be a list of modules, got {networks!r}.")
    if network_params and not len(networks):
        raise TypeError(
            f"Parameters of networks ({list_some(network_params)}), but no networks."
        )
    common: dict[str, Any] = {"channels": channels, "class_weight": class_weight}
    classical = common | {"C": C}
    found = {
        "differential entropy (inductive)": differential_entropy(**classical),
        "differential entropy, z-scored by subject (transductive)": (
            differential_entropy("subject", **classical)
        ),
        "tangent space (inductive)": tangent_space(**classical),
        "tangent space, recentred by subject (transductive)": tangent_space(
            recentre=True, **classical
        ),
    }
    if smoothing == "lds":
        name = "differential entropy, z-scored by subject, smoothed (transductive)"
        found[name] = differential_entropy("subject", "lds", **classical)
    for module in networks:
        model = BraindecodeClassifier(
            module, **common | {"random_state": random_state} | network_params
        )
        name = module if isinstance(module, str) else module.__name__
        kind = "(inductive)"
        if model.window_norm == "robust":
            kind = ", scaled by recording (transductive)"
        found[f"{name} {kind}".replace(" ,", ",")] = model
    return found


def _pipeline(features, C, class_weight):
    classifier = LogisticRegression(C=C, class_weight=class_weight, max_iter=2000)
    return Pipeline(
        [
            ("features", features),
            ("scaler", StandardScaler()),
            ("classifier", classifier),
        ]
    )
