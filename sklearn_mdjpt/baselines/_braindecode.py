"""Networks of braindecode as classifiers of windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from .._labels import check_labels, class_weights
from .._torch import (
    forked_torch,
    plain_torch,
    resolve_device,
    seed_sequence,
    seeded_torch,
    torch_threads,
)
from .._validation import (
    check_option,
    check_path,
    warn,
)
from ..classifier._net import check_training_parameters, finish_training, net_settings
from ..encoder._callbacks import SharesLoggers
from ..windows._metadata import TakesWindows
from ._braindecode_net import (
    BaselineNet,
    WindowDataset,
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from .._typing import ClassWeight, PathLike, RandomState
    from ..windows._inputs import Windows


class BraindecodeClassifier(
    PicklesNetwork, TakesWindows, SharesLoggers, ClassifierMixin, BaseEstimator
):
    """A network of braindecode, trained on windows.

    ``fit`` builds the network for the windows, loads pre-trained weights if a file is
    given, and trains it with cross-entropy and AdamW for a fixed number of epochs.

    Parameters
    ----------
    module : str or class, default="EEGNet"
        A name in `braindecode.models`, such as "EEGNet" [1]_, "ShallowFBCSPNet" [2]_ or
        "InterpolatedLaBraM", or a class of torch modules that takes windows of shape
        (n_windows, n_chans, n_times) and returns one logit for each class.  It gets
        those of ``n_chans``, ``n_times``, ``sfreq``, ``n_outputs`` and ``chs_info``
        that its constructor takes.
    module_params : dict, default=None
        Further arguments of its constructor; they replace those of the same name.
    channels : {"auto", "canonical"} or list of str, default="auto"
        "auto": the channels of X if all windows have the same, else the 60 canonical
        ones.  "canonical": always the 60 (see
        `sklearn_mdjpt.channels.channel_matrix`).  A list: these channels, in this
        order; every recording must have them, and its other channels are left out.
    ch_names : sequence of str, default=None
        Channels of plain arrays.  None: an array of 60 channels has the canonical
        ones, and the channels of any other array have no names.
    sfreq : float, default=None
        Sampling rate, in hertz, of the network's input.  `EEGWindows` and Epochs are
        resampled to it with anti-aliasing; plain arrays must have it.  None: the rate
        of the windows, which must be the same for all.
    window_norm : {"robust", None}, default="robust"
        Amplitude of the input.  "robust", as in `MDJPTEncoder`: each channel's mean is
        removed, and all channels are divided by one SD, computed without outliers for
        each recording; for each window in plain arrays, Epochs and braindecode
        datasets.  None: the input keeps its unit, mostly volts.
    scale : float, default=1.0
        Factor that multiplies the input in the end.  With ``window_norm=None``, 1e6
        turns volts into microvolts, the unit of most of braindecode's pre-trained
        networks; some need 1e4 or 1e3 (see their documentation).
    weights : str or path-like, default=None
        File of a pre-trained network: safetensors, or a state_dict of `torch.save`,
        alone or in a checkpoint under "state_dict".  It is read without running code.
        All tensors but those of the final layer must match by name and shape, and the
        final layer is always new.
    frozen : bool, default=False
        Whether to train the final layer only (linear probe).  The other layers, with
        their statistics of batch norm, then do not change and use no dropout.
    max_epochs : int, default=30
        Epochs of the training.
    lr, weight_decay : float, default=1e-3, 0.01
        Learning rate and weight decay of AdamW.  `skorch.callbacks.LRScheduler` among
        the callbacks changes ``lr`` during training.
    batch_size : int, default=64
        Windows in a batch, at least 2.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss, as in scikit-learn.
    device : str, default="auto"
        "auto" takes a GPU when there is one.
    torch_threads : int, default=None
        Threads of torch; None keeps torch's setting.  Workers of joblib never take
        more than their share of the cores.
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
        Channels of the network's input; None if an array had no names.
    sfreq_ : float
        Sampling rate, in hertz, of the network's input.
    n_times_ : int
        Samples of a window at this rate.

    See Also
    --------
    MDJPTClassifier : The same with mdJPT's encoder and head.
    make_baselines : This and the classical pipelines by name.

    Notes
    -----
    *Inductive or transductive.*  With ``window_norm="robust"`` and `EEGWindows` a test
    window is scaled by one SD and the channel means of its whole recording, as in
    `MDJPTEncoder`: transductive.  Otherwise each window is scaled by itself: inductive.

    The final layer is braindecode's ``final_layer``, which may hold several layers,
    together with every other tensor whose shape changes with the number of classes.

    Windows are neither cropped nor padded: they must have one length.

    A pickle holds the network's class, arguments and tensors; unpickling builds the
    network again.

    The defaults of epochs and rates are customary values; they were not tuned.

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
            The classifier itself; an error or Ctrl-C leaves it unchanged.

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
        # All input is checked before the training begins.
        self._check_parameters()
        cls, device = find_class(self.module), resolve_device(self.device)
        seeds = [int(s) for s in seed_sequence(self.random_state).generate_state(3)]
        windows, named = windows_of(X, self.ch_names, self.sfreq)
        classes, codes = check_labels(y, len(windows), self)
        weights = class_weights(self.class_weight, classes, codes)
        reading, reader, size, ch_names = read_for_network(self, windows, named)
        size["n_outputs"] = len(classes)
        params = dict(self.module_params or {})
        with plain_torch(), torch_threads(self.torch_threads), forked_torch(device):
            with seeded_torch(seeds[0]):
                module, arguments = make_module(cls, size, params, ch_names)
            final = None
            if self.weights is not None or self.frozen:
                final = final_tensors(module, cls, arguments)
            if self.weights is not None:
                load_weights(module, final, self.weights)
            extra = forward_arguments(module, ch_names)
            net = BaselineNet(
                module,
                optimizer=torch.optim.AdamW,
                seed=seeds[2],
                final=final if self.frozen else None,
                extra=extra,
                **net_settings(self, weights, len(classes), seeds[1], device),
            )
            net.initialize()
            net.partial_fit(WindowDataset(reader.read, codes), None)
        history = finish_training(net, "network")

        self.classes_, self.history_ = classes, history
        self.module_, self._network = net.module_.eval(), (cls, arguments)
        self._reading, self._extra = reading, extra
        self.ch_names_, self.sfreq_ = ch_names, reader.sfreq
        self.n_times_ = reader.length
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
        logits = run_network(
            self, X, lambda x: self.module_(x, **self._extra).double(), "output is"
        )
        return torch.softmax(logits, dim=1).numpy()

    # The parts of fit -------------------------------------------------------------

    def _check_parameters(self):
        """Raise on parameters that are out of range, before any work is done."""
        check_reading_parameters(self)
        check_option(self.frozen, (True, False), "frozen")
        if self.weights is not None:
            check_path(self.weights, "weights")
        elif self.frozen:
            warn(
                "frozen=True without weights: all layers but the final one keep their "
                "random initial values."
            )
        check_training_parameters(self)
