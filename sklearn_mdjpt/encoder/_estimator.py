"""MDJPTEncoder: joint pre-training on several datasets, and windows to features."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._io._files import file_digest
from .._torch import (
    compile_blocks,
    forked_torch,
    known_seeds,
    mixed_precision,
    plain_torch,
    seeded_torch,
    torch_threads,
)
from .._validation import check_option, check_y, count_values
from ..windows._inputs import as_windows, is_array
from ..windows._reader import CanonicalReader
from ._calibration import calibrate, known_statistics, read_calibrated
from ._callbacks import SharesLoggers
from ._export import ExportsGraph
from ._files import load_encoder, make_module, save_encoder, store_encoder
from ._held_out import mean_losses
from ._hub import download, push
from ._pairs import PairDataset, pair_columns
from ._parameters import check_parameters, parameters_of
from ._pretrain import pretrain, without_loggers
from ._processes import join_processes
from ._saved import Calibration, Seen
from ._transform import (
    computing_features,
    extract_features,
    feature_statistics,
    pooled_statistics,
    standardized,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from .._typing import PathLike, RandomState
    from ..windows._inputs import Windows

_SMALL = {
    "hidden_dim": 16,
    "latent_dim": 8,
    "depth": 1,
    "n_heads": 2,
    "patch_size": 64,
    "patch_stride": 12,
    # Two people in a batch need far more batches to find what people share.
    "subjects_per_batch": 6,
    "max_epochs": 10,
    "batches_per_epoch": 16,
    "lr": 1e-2,
    # With the paper's 0.07 few batches teach little that holds for new subjects: on
    # simulated data (a seed of its own) held-out ISA stayed above that of guessing.
    "temperature": 0.3,
}


class MDJPTEncoder(ExportsGraph, SharesLoggers, TransformerMixin, BaseEstimator):
    r"""Features of emotional EEG from an encoder pre-trained on several datasets.

    The encoder of mdJPT [1]_: linear attention along the patches of each channel, a
    linear map that mixes channels, and dilated convolutions weighted by attention.
    Without emotion labels it is trained so that two people who see the same moment of
    the same stimulus get similar projections (inter-subject alignment, ISA), and so
    that the covariances of all subjects of all datasets agree (cross-dataset
    covariance alignment, CDA):

    .. math:: L = w_{ISA} \sum_m L_{ISA}^{(m)} + \lambda L_{CDA}

    ``fit`` pre-trains on X (or loads ``weights``), ``transform`` gives one row of
    features for each window.  All defaults are the paper's; they take days on a CPU,
    see `small`.

    Parameters
    ----------
    weights : str or path-like, default=None
        A file of `save`, or a released ``.ckpt`` checkpoint; it is never unpickled.
        The architecture then comes from the file, and ``fit`` does not train unless
        ``finetune``.  As a parameter it survives ``clone``.
    finetune : bool, default=False
        Whether ``fit`` goes on training from ``weights``.
    variant : {"paper", "released", "transformer"}, default=None
        Architecture; None is "paper", or what ``weights`` holds.  "released" is what
        the released checkpoints were trained with (attention never reaches its
        output), "transformer" the paper's ablation with softmax attention.
    ch_names : sequence of str, default=None
        Channels of plain arrays.  None takes arrays of 60 channels for the canonical
        ones.  EEGWindows and Epochs bring their own.
    sfreq : float, default=None
        Sampling rate of plain arrays, in hertz.
    unknown_channels : {"drop", "position", "error"}, default="drop"
        Channels outside the 60 canonical ones,
        see `sklearn_mdjpt.channels.channel_matrix`.
    missing_channels : {"nearest", "error"}, default="nearest"
        Canonical channels that a cap lacks: the mean of their three nearest
        neighbours, or an error.
    window_norm : {"robust", None}, default="robust"
        Amplitude of the input.  "robust" removes each channel's mean and divides by
        one SD for each recording that outliers do not count for.  None is for signals
        that have amplitudes of about 1 already.
    subject_norm : {"subject", "train", None}, default="subject"
        Z-score inside the network.  "subject" uses the statistics of each subject's
        own windows in X: label-free and transductive, so ``transform(X[:1])`` differs
        from ``transform(X)[:1]``.  "train" uses statistics learnt in ``fit``: each
        window stands alone, for streams and trial-wise tests.  None is off.
    feature : {"mean", "de"}, default="mean"
        What is taken of a feature's time course in a window: its mean, or
        :math:`\frac{1}{2} \ln(2 \pi e \sigma^2 + 1)`.
    standardize : bool, default=True
        Whether features are z-scored with statistics learnt in ``fit``.  Raw features
        are of the order of 1e-4, which a regularised classifier cannot use.
    hidden_dim, latent_dim, depth, n_heads : int, default=128, 32, 2, 8
        Width, output width, blocks and attention heads of the channel encoder.
    patch_size, patch_stride : int, default=32, 6
        Length and distance of patches, in samples at 125 Hz.
    n_filters : int, default=4
        Filters for each latent dimension and dilation; there are
        ``4 * latent_dim * n_filters`` features.
    temperature : float, default=0.07
        Of the ISA loss.
    isa_weight, cda_weight : float, default=1.0, 0.02
        Weights of the two losses.
    cda_scale : {"trace", "none"}, default="trace"
        "trace" makes the CDA loss free of scale; "none" is the paper's form, which
        shrinking weights lower as well.
    pairing : {"stimulus", "stimulus-any-onset", "label"}, default="stimulus"
        What makes two windows of two subjects positives: the same moment of the same
        stimulus; any two moments of the same stimulus (the paper's ablation, to show
        what the moment is worth); or the same label, which is supervised pre-training.
    subjects_per_batch : int, default=2
        Subjects of each dataset in a training batch; a dataset that has fewer gives
        all.  2 is the paper's.  With more each window is drawn to all others of its
        moment and away from everybody's windows of other moments
        (`sklearn_mdjpt.nn.group_isa_loss`): a batch takes longer in proportion, and
        fewer are needed.
    max_epochs, batches_per_epoch : int, default=20, 1024
        Length of the training.  ``max_epochs=0`` leaves the initial weights, and
        needs no pairs.
    lr, weight_decay : float, default=5e-4, 1e-4
        Of Adam.
    batch_size : int, default=64
        Windows encoded at once in ``transform``; changes memory, and numbers no more
        than rounding does.  For a training batch see ``subjects_per_batch``.
    chunk_size : int, default=16
        Most windows of a training batch with activations held at once; the others are
        computed again for the gradient.  Training a batch of 78 windows then grows
        memory by 0.7 GB; None holds all activations, 12 GB, and saves a quarter of the
        arithmetic.  The gradient is the same.
    compile : bool, default=False
        Whether ``fit`` and ``load`` compile the blocks of the channel encoder
        (`torch.compile`), which takes a minute or two.  Meant for GPUs: on CPU nothing
        is gained.  Without a working compiler there is a warning, and nothing is
        compiled.  A copy or a pickle is not compiled.
    checkpoint_dir : str or path-like, default=None
        Folder for checkpoints, which many encoders, folds and processes may share: each
        training has a folder of its own in it, named by its parameters and by the
        content of its data.  ``fit`` with the same parameters and data goes on from the
        last good checkpoint and ends with the weights of a training that was never
        interrupted; once it has come to its end, ``fit`` returns at once.  Code of
        ``callbacks`` counts, but for those of skorch that only log.  None writes
        nothing.
    checkpoint_every : int, default=200
        Batches between checkpoints; if they are slow there is one every five minutes.
    accelerate : bool or dict, default=False
        Whether to train with Hugging Face Accelerate (extra ``distributed``): in all
        processes and on all GPUs that ``accelerate launch`` starts, and with its mixed
        precision.  A dict holds arguments of `accelerate.Accelerator`, such as
        ``{"mixed_precision": "bf16"}``.  Each process calls ``fit`` with the same X.
    device : str, default="auto"
        "auto" takes a GPU when there is one.  With ``accelerate`` training is where
        Accelerate puts it.
    precision : {"float32", "bf16", "fp16"}, default="float32"
        What the products of ``fit``, ``transform`` and ``calibrate`` are computed in.
        "bf16" (bfloat16) and "fp16" (float16) are mixed precision, meant for GPUs:
        weights, z-scores, sums, losses and features stay float32.  Features change by
        rounding, about a hundredth of their spread.  "bf16" has the range of float32.
        "fp16" has more digits and ends at 65504: training scales the loss and leaves
        out the steps in which it overflows.  A device that lacks one is an error.  With
        ``accelerate`` it is Accelerate's mixed precision as well; with "float32" that
        of ``accelerate`` is for the training alone.
    torch_threads : int, default=None
        Threads of torch inside ``fit`` and ``transform``; None leaves the setting.
        Workers of joblib take no more than their share of the cores in any case.
    callbacks : list of skorch callbacks, default=None
        Further callbacks for the training, such as `skorch.callbacks.LRScheduler` or
        `skorch.callbacks.GradientNormClipping`.  Each clone and each ``fit`` has copies
        of them; what cannot be copied, such as the writer of
        `skorch.callbacks.TensorBoard`, is shared (see the notes).
    released_activation : {"relu", None}, default="relu"
        What follows the spatial mixing of a released checkpoint; the files do not say.
    random_state : int, RandomState instance or None, default=None
        Seeds initial weights and pairs.  The same seed gives the same weights and
        features on one machine; torch's and numpy's global states are left alone.
    verbose : int, default=0
        1 shows the expected time, progress and losses.

    Attributes
    ----------
    module_ : sklearn_mdjpt.nn.HybridEncoder
        The encoder.
    net_ : skorch.NeuralNet or None
        The net that trained it; None if ``fit`` did not train.
    history_ : DataFrame
        One row for each epoch: isa, cda, total, seconds, log_spatial_norm (the log
        of the norm of the spatial mixing's weight).
    interrupted_ : bool
        Whether the training ended early, by Ctrl-C or because its numbers were not
        finite any more: the weights are then the last good ones.
    n_features_out_ : int
        Number of features.
    mean_, scale_ : ndarray of shape (n_features_out,) or None
        Standardisation learnt in ``fit``.
    training_datasets_, training_subjects_ : list of str or None
        What the weights were trained on, the subjects as "dataset/subject".  Datasets
        without a name are not listed.  None where that is not known: for files that
        were saved with ``anonymous=True``, for released checkpoints, and for what was
        fine-tuned from them.  An overlap can then be neither shown nor excluded.
    n_training_subjects_ : int or None
        How many subjects the weights were trained on.  More than
        ``training_subjects_`` has: some are not listed.  None if not known.

    See Also
    --------
    EEGWindows : Windows of several datasets in one X.
    sklearn_mdjpt.nn.HybridEncoder : The network.
    DifferentialEntropy : The classical baseline.

    Notes
    -----
    Statistics of a subject with more than 256 windows in X come from 256 of them,
    evenly spaced in the order of session, trial and onset (by content where these are
    not known).  Those of ``subject_norm="train"`` come from 256 windows in all, the
    same number of each subject.

    A window that differs more from the rest of its subject than all of its others
    together is named in a warning: it rules the z-scores, and the features of the
    others lose their spread.  Leave artefacts out.

    ``transform`` goes by the parameters that were fitted with; what `set_params`
    changes in the normalisation or the feature takes effect in the next ``fit``.

    Ctrl-C ends the training after the batch at hand: ``fit`` warns, keeps the weights
    so far, sets ``interrupted_`` and returns (a second Ctrl-C raises).  With
    ``checkpoint_dir`` the same ``fit`` goes on from there later.

    A training is known again by all parameters but those of speed and of the features
    (``batch_size``, ``chunk_size``, ``compile``, ``checkpoint_dir``,
    ``checkpoint_every``, ``accelerate``, ``device``, ``torch_threads``, ``verbose``,
    ``feature``, ``standardize``), by its signals, and by who saw what when; mixed
    precision counts too (``precision``, or that of ``accelerate``).  With
    ``random_state=None`` a training that was begun is gone on with, and one that was
    finished is returned.
    Weights are equal to the last bit on one machine with equal settings of speed.
    Callbacks go on where they were as far as their attributes are plain values or
    tensors, or have a ``state_dict``.

    Callbacks are copied with all that they hold, so that no training (of a fold, of a
    grid) leaves anything behind in another.  An attribute that cannot be copied (an
    open file, a connection, a writer) is the same object in all copies: loggers of all
    folds write to the same place.  A callback that as a whole cannot be copied is
    shared with its state.  In other processes (``n_jobs=2``) only callbacks can be used
    that can be pickled: those that open their files in ``on_train_begin``.  A pickle of
    a fitted encoder leaves the others out, with a warning; files of `save` hold none.

    Plain arrays count as one subject, and so do Epochs without a metadata column
    "subject".  To normalise several subjects each by itself, use EEGWindows.

    References
    ----------
    .. [1] Zhang et al. (2025). Multi-dataset Joint Pre-training of Emotional EEG
       Enables Generalizable Affective Computing. NeurIPS. arXiv:2510.22197.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_mdjpt import MDJPTEncoder
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> X = make_emotion_windows(2, n_subjects=2, n_stimuli=3, random_state=0)
    >>> encoder = MDJPTEncoder.small(max_epochs=1, batches_per_epoch=2, random_state=0)
    >>> model = make_pipeline(encoder, LogisticRegression()).fit(X, X.y)
    >>> model.predict(X).shape == X.shape
    True
    """

    _calibrations: dict[str, Calibration]

    # Under metadata routing fit gets these wherever they are passed, without a call
    # of set_fit_request; when they are not passed, nothing happens.
    __metadata_request__fit = {
        "subjects": True,
        "datasets": True,
        "sessions": True,
        "stimuli": True,
        "onsets": True,
    }

    def __init__(
        self,
        weights: PathLike | None = None,
        finetune: bool = False,
        variant: Literal["paper", "released", "transformer"] | None = None,
        ch_names: Sequence[str] | None = None,
        sfreq: float | None = None,
        unknown_channels: Literal["drop", "position", "error"] = "drop",
        missing_channels: Literal["nearest", "error"] = "nearest",
        window_norm: Literal["robust"] | None = "robust",
        subject_norm: Literal["subject", "train"] | None = "subject",
        feature: Literal["mean", "de"] = "mean",
        standardize: bool = True,
        hidden_dim: int = 128,
        latent_dim: int = 32,
        depth: int = 2,
        n_heads: int = 8,
        patch_size: int = 32,
        patch_stride: int = 6,
        n_filters: int = 4,
        temperature: float = 0.07,
        isa_weight: float = 1.0,
        cda_weight: float = 0.02,
        cda_scale: Literal["trace", "none"] = "trace",
        pairing: Literal["stimulus", "stimulus-any-onset", "label"] = "stimulus",
        subjects_per_batch: int = 2,
        max_epochs: int = 20,
        batches_per_epoch: int = 1024,
        lr: float = 5e-4,
        weight_decay: float = 1e-4,
        batch_size: int = 64,
        chunk_size: int | None = 16,
        compile: bool = False,
        checkpoint_dir: PathLike | None = None,
        checkpoint_every: int = 200,
        accelerate: bool | dict[str, Any] = False,
        device: str = "auto",
        precision: Literal["float32", "bf16", "fp16"] = "float32",
        torch_threads: int | None = None,
        callbacks: list[Any] | None = None,
        released_activation: Literal["relu"] | None = "relu",
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.weights = weights
        self.finetune = finetune
        self.variant = variant
        self.ch_names = ch_names
        self.sfreq = sfreq
        self.unknown_channels = unknown_channels
        self.missing_channels = missing_channels
        self.window_norm = window_norm
        self.subject_norm = subject_norm
        self.feature = feature
        self.standardize = standardize
        self.hidden_dim = hidden_dim
        self.latent_dim = latent_dim
        self.depth = depth
        self.n_heads = n_heads
        self.patch_size = patch_size
        self.patch_stride = patch_stride
        self.n_filters = n_filters
        self.temperature = temperature
        self.isa_weight = isa_weight
        self.cda_weight = cda_weight
        self.cda_scale = cda_scale
        self.pairing = pairing
        self.subjects_per_batch = subjects_per_batch
        self.max_epochs = max_epochs
        self.batches_per_epoch = batches_per_epoch
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.chunk_size = chunk_size
        self.compile = compile
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_every = checkpoint_every
        self.accelerate = accelerate
        self.device = device
        self.precision = precision
        self.torch_threads = torch_threads
        self.callbacks = callbacks
        self.released_activation = released_activation
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def small(cls, **overrides: Any) -> Self:
        """Return an encoder that pre-trains in minutes on two CPU cores.

        ``hidden_dim=16, latent_dim=8, depth=1, n_heads=2``, patches of 64 samples every
        12, 128 features, and 10 epochs of 16 batches of six people of each dataset at
        ``lr=1e-2`` and ``temperature=0.3``; all else is as in the full encoder.

        Parameters
        ----------
        **overrides
            Any parameter of `MDJPTEncoder`.

        Returns
        -------
        MDJPTEncoder
        """
        return cls(**_SMALL | overrides)

    # Fitting --------------------------------------------------------------------

    def fit(
        self,
        X: Windows,
        y: ArrayLike | None = None,
        *,
        subjects: ArrayLike | None = None,
        datasets: ArrayLike | None = None,
        sessions: ArrayLike | None = None,
        stimuli: ArrayLike | None = None,
        onsets: ArrayLike | None = None,
    ) -> Self:
        """Pre-train on X, or load weights; then learn the standardisation.

        Parameters
        ----------
        X : EEGWindows, ndarray of shape (n_windows, n_channels, n_times), mne.Epochs, \
list of mne.Epochs or braindecode dataset
            Windows of at least two subjects where training is to be done.
        y : array-like of shape (n_windows,), default=None
            Labels.  Not used, except with ``pairing="label"``, or, with a warning, if
            no stimuli are known.
        subjects, datasets, sessions, stimuli : array-like, default=None
            Ids of the windows of a plain array, used for pairing only: normalisation
            takes a plain array for one subject (`EEGWindows.from_arrays` knows
            several).  EEGWindows bring their own, and these fill in what they lack.
        onsets : array-like of float, default=None
            Seconds from the start of the trial.  Without them the order of windows
            within subject, session, stimulus and trial stands in; where they are known
            for some windows only, seconds are not compared with order, and a warning
            says who is paired how.

        Returns
        -------
        MDJPTEncoder
            The encoder itself; after any error but a FloatingPointError it is as it
            was before.

        Raises
        ------
        ValueError
            Windows that cannot be used (NaN, constant, shorter than a patch, which by
            default has 32 samples at 125 Hz or 0.256 s), channels or rates
            that are not known, no two subjects to pair, weights that do not fit.
            With ``checkpoint_dir``, callbacks that hold what cannot be compared with
            an earlier training, such as an open file.
        FileNotFoundError
            If there is no file ``weights``.
        FloatingPointError
            If the loss or its gradient becomes infinite or NaN; the message names the
            batch.  The encoder then holds the last good weights, if there are any.
        """
        self._fit(
            X, y, encode=False, subjects=subjects, datasets=datasets,
            sessions=sessions, stimuli=stimuli, onsets=onsets,
        )  # fmt: skip
        return self

    def fit_transform(
        self,
        X: Windows,
        y: ArrayLike | None = None,
        *,
        subjects: ArrayLike | None = None,
        datasets: ArrayLike | None = None,
        sessions: ArrayLike | None = None,
        stimuli: ArrayLike | None = None,
        onsets: ArrayLike | None = None,
    ) -> np.ndarray:
        """Equal ``fit(X, y, ...).transform(X)``, and encode X once.

        Parameters
        ----------
        X : EEGWindows, ndarray, mne.Epochs, list of mne.Epochs or braindecode dataset
            As for `fit`.
        y : array-like of shape (n_windows,), default=None
            As for `fit`.
        subjects, datasets, sessions, stimuli, onsets : array-like, default=None
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_windows, n_features_out)
            Float32.
        """
        features = self._fit(
            X, y, encode=True, subjects=subjects, datasets=datasets,
            sessions=sessions, stimuli=stimuli, onsets=onsets,
        )  # fmt: skip
        return self._standardized(features)

    def transform(self, X: Windows) -> np.ndarray:
        """Encode windows.

        Parameters
        ----------
        X : EEGWindows, ndarray, mne.Epochs, list of mne.Epochs or braindecode dataset
            As in `fit`; montages and rates may be others.

        Returns
        -------
        ndarray of shape (n_windows, n_features_out)
            Float32; row i is window i.  Numbers depend neither on the order of
            windows nor on ``batch_size``; with ``subject_norm="subject"`` they depend
            on which windows of a subject are in X.
        """
        check_is_fitted(self, "module_")
        windows, reader = read_calibrated(self, X)
        with computing_features(self) as device:
            features = extract_features(
                self.module_,
                reader,
                windows.metadata,
                batch_size=self.batch_size,
                device=device,
                known=known_statistics(self),
            )
        return self._standardized(features)

    def calibrate(self, X: Windows) -> Self:
        """Fix the statistics of the people in X: what comes later uses these alone.

        The amplitude of a person's signals and the z-scores inside the network are
        taken from X, without labels.  Each later window of that person stands alone
        then, whatever comes with it: a few minutes at the beginning of a session serve
        for the rest of it, and for a stream.  Other people go on by ``subject_norm``.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs, list of mne.Epochs or braindecode dataset
            Windows of one or more people, whose datasets and subjects have names.

        Returns
        -------
        MDJPTEncoder
            The encoder itself; after an error it is as it was.

        Raises
        ------
        ValueError
            If some windows do not say whose they are, hold NaN or inf, or are constant
            in every channel.

        See Also
        --------
        sklearn_mdjpt.compose.calibrate : Does the same in each step of a pipeline.

        Notes
        -----
        Who is calibrated again, is calibrated anew.  ``fit`` forgets all.  With
        ``window_norm="robust"`` the mean of each channel is fixed as well, so that the
        cap must stay the same, and signals that drift are to be high-pass filtered.
        """
        check_is_fitted(self, "module_")
        self._calibrations = self._calibrations | calibrate(self, X)
        return self

    @property
    def calibrated_subjects_(self) -> list[str]:
        """The people whose statistics are fixed, as "dataset/subject"."""
        check_is_fitted(self, "module_")
        return sorted(self._calibrations)

    def _fit(self, X, y, *, encode, **metadata):
        """Fit, and return the features of X if ``encode`` or the scale needs them.

        All attributes are set at the end: an error leaves the earlier ones.
        """
        check_parameters(self)
        processes = join_processes(self.accelerate, self.device, self.precision)
        device = processes.device
        seeds, known = known_seeds(self.random_state, 2)
        seeds = processes.broadcast(seeds)
        with (
            plain_torch(),
            torch_threads(self.torch_threads),
            forked_torch(device),
            # It is closed when the encoder is stored beside its checkpoints.
            contextlib.ExitStack() as lock,
        ):
            with seeded_torch(seeds[0]):
                module, file = make_module(self)
            parameters = {name: getattr(self, name) for name in parameters_of("stored")}
            parameters["standardize"] = bool(self.standardize)
            windows, reader = self._read(X, module, parameters)
            if y is not None and count_values(y) == len(windows):
                y = check_y(y, len(windows))
            elif y is not None and len(y) != len(windows):
                raise ValueError(f"y has {len(y)} labels for {len(windows)} windows.")
            module.to(device)
            if self.compile:
                compile_blocks(module, self.precision)
            made = pretrain(
                self, module, file, reader, windows, y, metadata,
                seeds=seeds, random_state=known, device=device, processes=processes,
                lock=lock,
            )  # fmt: skip
            module.eval()
            with mixed_precision(self.precision, device):
                features, mean, scale = self._learn_statistics(
                    module, reader, windows.metadata, made.stored, encode, processes
                )

            # transform uses these, even if set_params changes parameters later.
            self._fitted_parameters = parameters
            self.module_, self.net_, self.history_ = module, made.net, made.history
            self.mean_, self.scale_ = mean, scale
            self._set_seen(made.seen)
            self.interrupted_ = made.net is not None and made.net.interrupted_
            self._calibrations = {}
            self.n_features_out_ = module.n_features
            # Channels are compared by name; only arrays have a fixed number of them.
            self.__dict__.pop("n_features_in_", None)
            if is_array(X):
                self.n_features_in_ = np.shape(X)[1]
            if made.run is not None and made.stored is None:
                if processes.is_main_process:
                    store_encoder(self, made.run, made.error)
        if made.error is not None:
            raise made.error
        return features

    def _learn_statistics(self, module, reader, metadata, stored, encode, processes):
        """Give the network its statistics; return features, their mean and scale.

        An earlier fit may have stored these (``stored``).  Features are None if nothing
        needs them, mean and scale are None without ``standardize``.
        """
        features = mean = scale = None
        common = {"batch_size": self.batch_size, "device": processes.device}
        if stored is not None:
            mean, scale = stored.standardization()
        if self.subject_norm == "train":
            module.set_statistics(
                pooled_statistics(module, reader, metadata, **common)
                if stored is None
                else stored.statistics()
            )
        learns_scale = self.standardize and stored is None
        if encode or learns_scale:
            features = extract_features(
                module, reader, metadata, processes=processes, **common
            )
        if learns_scale:
            mean, scale = feature_statistics(features)
        return features, mean, scale

    def _read(self, X, module, parameters):
        """Return X as windows and a checked reader of them."""
        windows = as_windows(X, ch_names=self.ch_names, sfreq=self.sfreq)
        reader = CanonicalReader(
            windows,
            window_norm=parameters["window_norm"],
            # Then each window stands alone, unless it was cut from a recording.
            per_window=parameters["subject_norm"] == "train",
            unknown_channels=parameters["unknown_channels"],
            missing_channels=parameters["missing_channels"],
            neighbours="released" if module.variant == "released" else "mne",
        )
        reader.check(min_times=module.channel_encoder.patch_size)
        return windows, reader

    def _set_seen(self, seen):
        self.training_datasets_, self.training_subjects_ = seen.datasets, seen.subjects
        self.n_training_subjects_ = seen.n_subjects

    def _fingerprint_parts(self):
        """Return all that features depend on, for a fingerprint."""
        parts = self.get_params(deep=False)
        if self.weights is not None and not self.finetune:
            parts = {name: parts[name] for name in parameters_of("transform")}
        else:
            for name in parameters_of("speed"):
                del parts[name]
            parts["callbacks"] = without_loggers(self.callbacks)
        if self.weights is not None and os.path.isfile(self.weights):
            parts["weights"] = file_digest(self.weights)
        if hasattr(self, "module_"):
            parts["fitted"] = [
                self._fitted_parameters, self.module_.config, self.mean_, self.scale_,
                dict(self.module_.state_dict()), self._calibrations,
            ]  # fmt: skip
        return parts

    def _standardized(self, features):
        return standardized(features, self.mean_, self.scale_)

    # Files ----------------------------------------------------------------------

    def save(self, path: PathLike, *, anonymous: bool = False) -> None:
        """Write the fitted encoder to one file, from which nothing is unpickled.

        The file holds the weights (as float32, whatever ``module_`` was moved to), the
        standardisation, the parameters that belong to them, the losses and times of
        each epoch, the names of the training datasets and subjects, and the statistics
        and names of calibrated people; no data, no paths and no user names.  The same
        encoder gives the same bytes.

        Parameters
        ----------
        path : str or path-like
            Conventionally ending in ".safetensors"; "~" is not expanded.  A file that
            is there is replaced at once, or not at all: a crash or a full disk leaves
            it whole.  (A process that is killed may leave a hidden file beside it that
            ends in ".part" and can be removed.)  Permissions are those of a new file,
            and a link is replaced, not what it leads to.
        anonymous : bool, default=False
            Whether to leave out the names of the training datasets and subjects, and
            all that `calibrate` learnt: ids of patients say who they are, and names of
            datasets where they were.  Only the number of subjects is kept.  In an
            encoder that is loaded from the file ``training_datasets_`` and
            ``training_subjects_`` are None, so that asking for an overlap with a test
            set is an error, never an empty answer.  Names are not replaced by hashes:
            whoever can guess an id can compute those.

        Raises
        ------
        ValueError
            If the encoder could not be loaded again, such as with NaN in its weights.
        OSError
            If there is no such folder (FileNotFoundError), ``path`` is one
            (IsADirectoryError), or the file cannot be written.

        See Also
        --------
        MDJPTEncoder.load : Read it again.
        """
        check_is_fitted(self, "module_")
        check_option(anonymous, (True, False), "anonymous")
        save_encoder(
            self, path, self._seen(anonymous), {} if anonymous else self._calibrations
        )

    def _seen(self, anonymous):
        """Return whom the weights were trained on, without names if ``anonymous``."""
        return Seen(
            None if anonymous else self.training_datasets_,
            None if anonymous else self.training_subjects_,
            self.n_training_subjects_,
        )

    @classmethod
    def load(cls, path: PathLike, **overrides: Any) -> Self:
        """Read a file of `save`: a fitted encoder that keeps its path as a parameter.

        Parameters
        ----------
        path : str or path-like
            File of `save`; "~" is not expanded.
        **overrides
            Parameters that are no part of the file: ``device``, ``precision``,
            ``batch_size``, ``ch_names``, ``sfreq``, those of the training, ...

        Returns
        -------
        MDJPTEncoder
            ``MDJPTEncoder(weights=path, ...)`` with the normalisation and feature
            parameters of the file, already fitted, standardisation included.  A clone
            of it keeps the weights; its ``fit`` relearns only the standardisation
            (and the statistics of ``subject_norm="train"``).

        Raises
        ------
        ValueError
            If it is no file of `save`, is damaged, comes from another version of the
            format, or holds anything that such a file must not; or if an override
            contradicts the file.
        FileNotFoundError, IsADirectoryError
            If there is no such file, or it is a folder.

        Notes
        -----
        Nothing in a file is ever run, and all that it holds is checked before it is
        used: files of strangers do no harm.  What they compute is another matter: a
        checksum says that a file is as it was written, not who wrote it.
        """
        return load_encoder(cls, path, overrides)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        revision: str | None = None,
        token: str | None = None,
        license: str | None = None,
        commit_message: str = "Upload an encoder of sklearn_mdjpt",
        anonymous: bool = True,
        eval_results: list[Any] | None = None,
    ) -> str:
        """Upload the fitted encoder to the Hugging Face Hub (extra ``hub``).

        The repository gets the file of `save` and a card (README.md) that says what
        it is, how it is used, and what it was trained on; it is made if need be.

        Parameters
        ----------
        repo_id : str
            "user/name" of the repository.
        private : bool, default=None
            Whether a new repository is closed to others; None leaves it to the
            account's setting.
        revision : str, default=None
            Branch to commit to; None is "main".
        token : str, default=None
            Access token; None takes that of ``hf auth login``.
        license : str, default=None
            Licence of the weights, for the card, as the Hub abbreviates it
            ("cc-by-4.0").  Weights that were fine-tuned from or converted from others'
            are under theirs.
        commit_message : str, default="Upload an encoder of sklearn_mdjpt"
            Of the commit.
        anonymous : bool, default=True
            As for `save`, and also for the card: what was once published cannot be
            taken back.  False for public datasets: then whoever uses the encoder is
            told where test subjects are among those it was trained on.
        eval_results : list of huggingface_hub.EvalResult, default=None
            Scores for the card, which the Hub shows as those of this model
            (``model-index``).

        Returns
        -------
        str
            Address of the commit.

        Raises
        ------
        ImportError
            Without ``huggingface_hub``.
        ValueError
            As for `save`; nothing is uploaded then.

        See Also
        --------
        MDJPTEncoder.from_hub : Download it.
        """
        check_is_fitted(self, "module_")
        return push(
            self,
            repo_id,
            private=private,
            revision=revision,
            token=token,
            license=license,
            message=commit_message,
            anonymous=anonymous,
            eval_results=eval_results,
        )

    @classmethod
    def from_hub(
        cls,
        repo_id: str | None = None,
        *,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: PathLike | None = None,
        **overrides: Any,
    ) -> Self:
        """Download an encoder from the Hugging Face Hub (extra ``hub``), and load it.

        Parameters
        ----------
        repo_id : str, default=None
            "user/name" of a repository that `push_to_hub` made.  None is an error that
            says how weights are made: none are published yet.
        revision : str, default=None
            Branch, tag or commit; None is the newest.  For results that can be
            repeated, name the commit.
        token : str, default=None
            Access token for closed repositories; None takes that of
            ``hf auth login``.
        cache_dir : str or path-like, default=None
            Where downloads are kept; None is the Hub's cache.
        **overrides
            As for `load`.

        Returns
        -------
        MDJPTEncoder
            As from `load`; its ``weights`` are the file in the cache, so that it can
            be cloned and cross-validated.

        Raises
        ------
        ImportError
            Without ``huggingface_hub``.
        FileNotFoundError
            If the repository holds no such file.
        ValueError
            Without ``repo_id``; and as for `load`: nothing in the file is run, whoever
            made it.
        """
        path = download(repo_id, revision=revision, token=token, cache_dir=cache_dir)
        return cls.load(path, **overrides)

    # What pre-training achieved ---------------------------------------------------

    def pretraining_losses(
        self,
        X: Windows,
        y: ArrayLike | None = None,
        *,
        n_batches: int = 32,
        random_state: int = 0,
        subjects: ArrayLike | None = None,
        datasets: ArrayLike | None = None,
        sessions: ArrayLike | None = None,
        stimuli: ArrayLike | None = None,
        onsets: ArrayLike | None = None,
    ) -> dict[str, float]:
        """Evaluate the pre-training losses on other people's windows.

        A training loss says little: compare the losses of held-out subjects with
        those of the untrained encoder (``max_epochs=0``), on the same pairs.

        Parameters
        ----------
        X : EEGWindows, ndarray, mne.Epochs, list of mne.Epochs or braindecode dataset
            As for `fit`; at least two subjects of a dataset.
        y : array-like of shape (n_windows,), default=None
            As for `fit`.
        n_batches : int, default=32
            Batches to average over.
        random_state : int, default=0
            Seeds the pairs; the same seed draws the same pairs for any encoder.
        subjects, datasets, sessions, stimuli, onsets : array-like, default=None
            As for `fit`.

        Returns
        -------
        dict of str to float
            ``isa`` and ``cda`` of batches of two subjects a dataset, so that numbers
            of any ``subjects_per_batch`` can be compared, and ``centroid_distance``:
            the mean Frobenius distance between the datasets' mean channel covariances
            after the spatial mixing, each divided by its own trace (nan for one
            dataset).
        """
        check_is_fitted(self, "module_")
        if n_batches < 1:
            raise ValueError(f"n_batches must be at least 1, got {n_batches!r}.")
        windows, reader = self._read(X, self.module_, self._fitted_parameters)
        columns = pair_columns(
            windows, subjects=subjects, datasets=datasets, sessions=sessions,
            stimuli=stimuli, onsets=onsets,
        )  # fmt: skip
        batches = PairDataset.of_windows(
            reader, windows, columns, y, pairing=self.pairing,
            rng=np.random.default_rng(random_state), n_batches=n_batches,
        )  # fmt: skip
        with plain_torch(), torch_threads(self.torch_threads):
            return mean_losses(self, batches)

    # scikit-learn ---------------------------------------------------------------

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return names of the features: "mdjpt0", "mdjpt1", ...

        Parameters
        ----------
        input_features : ignored
            Channels are mixed; their names do not carry over.

        Returns
        -------
        ndarray of str, shape (n_features_out,)
            In the order of the columns.
        """
        check_is_fitted(self, "module_")
        return np.array(
            [f"mdjpt{i}" for i in range(self.n_features_out_)], dtype=object
        )

    def __sklearn_is_fitted__(self):
        return hasattr(self, "module_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags
