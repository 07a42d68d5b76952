"""The network of mdJPT: windows of EEG to features, and to the losses' inputs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import torch
from torch import nn
from torch.nn import functional as F

from .channel_encoder import ChannelEncoder
from .checks import check_option, check_sizes
from .chunks import map_rows
from .classifier import ClassifierParts, count_channels, match_times
from .dynamics import DILATIONS, Projector, SpatiotemporalDynamics
from .norm import KEEP_STATISTICS, NormStatistics, SubjectNorm, group_rows
from .precision import as_single, single_precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

VARIANTS = ("paper", "released", "transformer")
SUBJECT_NORMS = ("subject", "train", None)
FEATURES = ("mean", "de")
_RELEASED_VIRTUAL_CHANNELS = 64


class EncoderOutput(NamedTuple):
    """What `HybridEncoder` computes from B windows of N patches.

    Attributes
    ----------
    channel_encoder : Tensor of shape (B, n_chans, N, latent_dim)
        Latent signals of each channel, after the z-score by subject.
    spatial : Tensor of shape (B, latent_dim, n_virtual_channels, N)
        After the spatial mixing, before the z-score that follows: what the
        covariance alignment loss takes.
    dynamics : Tensor of shape (B, n_features, N)
        Weighted spatiotemporal features.
    features : Tensor of shape (B, n_features)
        One number for each feature and window: what downstream models take.
    projection : Tensor of shape (B, P) or None
        Rows of unit length: what the inter-subject alignment loss takes.
    """

    channel_encoder: torch.Tensor
    spatial: torch.Tensor
    dynamics: torch.Tensor
    features: torch.Tensor
    projection: torch.Tensor | None


class HybridEncoder(ClassifierParts):
    r"""Encoder of mdJPT [1]_, and with ``n_outputs`` a classifier of windows.

    Each channel alone is encoded by linear attention over overlapping patches; a
    linear map :math:`W_s` mixes channels; dilated convolutions over all channels and
    time give features, weighted by attention.  Latent signals are z-scored by subject
    before the mixing and before the dynamics.

    With ``n_outputs`` the paper's MLP follows, and `forward` returns its logits: a
    network for `braindecode.EEGClassifier`, which fills in the arguments of
    braindecode's names.

    Parameters
    ----------
    n_chans : int, default=None
        Number of channels.  None: that of ``chs_info``, else 60.
    n_times : int, default=None
        Time steps of the windows meant for this network.  It is a note for the reader
        and for tools: `forward` takes any window of at least ``patch_size``.  None:
        what ``input_window_seconds`` and ``sfreq`` make, else 625.
    sfreq : float, default=None
        Sampling rate in hertz of these windows; a note likewise.  None: what
        ``n_times`` and ``input_window_seconds`` make, else 125.  Weights that were
        trained at 125 Hz need windows at 125 Hz.
    n_outputs : int, default=None
        Number of classes.  None: there is no head, and `forward` returns an
        `EncoderOutput`.
    chs_info : list of dict, default=None
        Channels in MNE's words (``info["chs"]``).  Only their number counts.
    input_window_seconds : float, default=None
        Length of these windows in seconds.
    variant : {"paper", "released", "transformer"}, default="paper"
        "paper" has MLLA blocks.  "released" computes what the released checkpoints
        were trained with: per block an input gate without attention, a rectified
        mixing, a projector without padding; see `released_to_state_dict`.
        "transformer" is the paper's ablation: softmax attention in the channel
        encoder.
    hidden_dim : int, default=128
        Width of the channel encoder.
    latent_dim : int, default=32
        Latent dimensions of each channel.
    depth : int, default=2
        Blocks of the channel encoder.
    n_heads : int, default=8
        Attention heads; divides ``hidden_dim``.  "released" has no use for them.
    patch_size, patch_stride : int, default=32, 6
        Length and distance of patches, in time steps.
    n_filters : int, default=4
        Filters for each latent dimension and dilation: the network has
        ``4 * latent_dim * n_filters`` features.
    n_virtual_channels : int, default=None
        Channels after the mixing.  None is ``n_chans``, or 64 for "released".
    spatial_activation : {"auto", "relu", None}, default="auto"
        What follows the mixing.  None: it stays linear.  "auto" is "relu" for
        "released" and None for the others.
    feature : {"mean", "de"}, default="mean"
        How time is summed up.  "mean": mean of each weighted feature.  "de":
        :math:`\frac{1}{2} \ln(2 \pi e \sigma^2 + 1)` of its biased variance.
    subject_norm : {"auto", "subject", "train", "running", None}, default="auto"
        Z-score inside the network.  "subject": with the statistics of the same
        subject's windows in the batch, or those given to `features_from`.  "train":
        with statistics of the whole batch while training and, in eval mode, with
        those of `set_statistics`, so that each window stands alone; the projector
        then still z-scores by subject.  "running": the same, with statistics that
        training keeps, as batch normalisation does.  None: nowhere.  "auto":
        "running" with ``n_outputs``, "subject" without.
    chunk_size : int, default=16
        Most windows with activations held for the gradient; the others are computed
        again when it is their turn.  On CPU it is fewer, as many as a cache holds.
        A training step then takes a third more arithmetic and, for each window of 60
        channels and 5 s, 9 MB instead of 150.  None holds all activations.
        Results are the same.

    Attributes
    ----------
    spatial : Linear
        The mixing; ``spatial.weight`` is :math:`W_s`.
    final_layer : MLPHead or None
        Features to logits; None without ``n_outputs``.
    n_features : int
        Number of features.
    config : dict
        The arguments that make up the encoder: another ``HybridEncoder(**config)``
        takes its weights, with ``n_outputs`` by `load_encoder`.

    Raises
    ------
    ValueError
        If an argument is out of its range, or some contradict each other.

    See Also
    --------
    sklearn_mdjpt.MDJPTClassifier : Pre-trained encoder and head as an estimator.
    sklearn_mdjpt.baselines.BraindecodeClassifier : Scales windows and trains networks.

    Notes
    -----
    *Amplitudes.*  Windows should have an SD of about 1, as pre-training gives them;
    trained from scratch, anything up to microvolts will do.  Volts are too small: next
    to the biases they vanish.  With ``n_outputs`` a warning says so.

    *Single windows.*  A classifier sees no subjects.  With "running" a prediction
    depends on its window alone; in training it is the batch's statistics that count,
    so batches should be shuffled and not too small.  With "subject" and no subjects
    given, the whole batch counts as one: predictions then depend on what else is in
    the batch.

    The z-score by subject, the ReLU after the attention's convolution and on the
    features, and attention that looks back only are in the released code and not in
    the paper.  "paper" has no biases that the z-score would remove; with "released"
    those that it does remove are held as they come, but do not train.

    References
    ----------
    .. [1] Zhang et al. (2025). Multi-dataset Joint Pre-training of Emotional EEG
       Enables Generalizable Affective Computing. NeurIPS. arXiv:2510.22197.

    Examples
    --------
    >>> import torch
    >>> from sklearn_mdjpt.nn import HybridEncoder
    >>> encoder = HybridEncoder(n_chans=4, hidden_dim=16, latent_dim=2, n_heads=2)
    >>> x = torch.randn(6, 4, 250)
    >>> out = encoder(x, subjects=torch.tensor([0, 0, 0, 1, 1, 1]))
    >>> out.spatial.shape, out.features.shape
    (torch.Size([6, 2, 4, 37]), torch.Size([6, 32]))

    The same encoder as a classifier, with these weights:

    >>> classifier = HybridEncoder(**encoder.config, n_outputs=3)
    >>> classifier = classifier.load_encoder(encoder)
    >>> classifier(x).shape, classifier(x, return_features=True)["features"].shape
    (torch.Size([6, 3]), torch.Size([6, 32]))
    """

    @single_precision()
    def __init__(
        self,
        n_chans: int | None = None,
        n_times: int | None = None,
        sfreq: float | None = None,
        *,
        n_outputs: int | None = None,
        chs_info: Sequence[Any] | None = None,
        input_window_seconds: float | None = None,
        variant: Literal["paper", "released", "transformer"] = "paper",
        hidden_dim: int = 128,
        latent_dim: int = 32,
        depth: int = 2,
        n_heads: int = 8,
        patch_size: int = 32,
        patch_stride: int = 6,
        n_filters: int = 4,
        n_virtual_channels: int | None = None,
        spatial_activation: Literal["auto", "relu"] | None = "auto",
        feature: Literal["mean", "de"] = "mean",
        subject_norm: Literal["auto", "subject", "train", "running"] | None = "auto",
        chunk_size: int | None = 16,
    ) -> None:
        super().__init__()
        n_chans = count_channels(n_chans, chs_info)
        n_times, sfreq = match_times(n_times, sfreq, input_window_seconds)
        check_option("variant", variant, VARIANTS)
        check_option("spatial_activation", spatial_activation, ("auto", "relu", None))
        check_option("feature", feature, FEATURES)
        check_option("subject_norm", subject_norm, ("auto", *SUBJECT_NORMS, "running"))
        if subject_norm == "auto":
            subject_norm = "subject" if n_outputs is None else "running"
        released = variant == "released"
        if n_virtual_channels is None:
            n_virtual_channels = _RELEASED_VIRTUAL_CHANNELS if released else n_chans
        check_sizes(
            n_chans=n_chans,
            n_times=n_times,
            hidden_dim=hidden_dim,
            latent_dim=latent_dim,
            depth=depth,
            n_heads=n_heads,
            patch_size=patch_size,
            patch_stride=patch_stride,
            n_filters=n_filters,
            n_virtual_channels=n_virtual_channels,
        )
        if chunk_size is not None:
            check_sizes(chunk_size=chunk_size)
        # numpy's integers, as parameter grids hold them, are not JSON's.
        n_chans, hidden_dim, latent_dim = int(n_chans), int(hidden_dim), int(latent_dim)
        depth, n_heads, n_filters = int(depth), int(n_heads), int(n_filters)
        patch_size, patch_stride = int(patch_size), int(patch_stride)
        n_virtual_channels = int(n_virtual_channels)
        if not released and hidden_dim % n_heads:
            raise ValueError(
                f"hidden_dim must be a multiple of n_heads; got hidden_dim={hidden_dim}"
                f" and n_heads={n_heads}."
            )
        if n_times < patch_size:
            raise ValueError(
                f"n_times must be at least patch_size={patch_size}, got {n_times}."
            )
        if spatial_activation == "auto":
            spatial_activation = "relu" if released else None
        # All that fixes the weights' shapes and what is computed with them.
        self.config: dict[str, Any] = {
            "n_chans": n_chans,
            "variant": variant,
            "hidden_dim": hidden_dim,
            "latent_dim": latent_dim,
            "depth": depth,
            "n_heads": n_heads,
            "patch_size": patch_size,
            "patch_stride": patch_stride,
            "n_filters": n_filters,
            "n_virtual_channels": n_virtual_channels,
            "spatial_activation": spatial_activation,
        }
        self.n_chans = n_chans
        self.n_times = n_times
        self.sfreq = sfreq
        self.chs_info = chs_info
        self.variant = variant
        self.spatial_activation = spatial_activation
        self.feature = feature
        self.subject_norm = subject_norm
        self.n_features = len(DILATIONS) * latent_dim * n_filters

        norm = {"mode": subject_norm, "released": released}
        self.channel_encoder = ChannelEncoder(
            variant=variant,
            hidden_dim=hidden_dim,
            latent_dim=latent_dim,
            depth=depth,
            n_heads=n_heads,
            patch_size=patch_size,
            patch_stride=patch_stride,
            chunk_size=chunk_size,
        )
        self.channel_norm = SubjectNorm((n_chans, latent_dim), time_dim=-2, **norm)
        self.spatial = nn.Linear(n_chans, n_virtual_channels, bias=released)
        self.spatial_norm = SubjectNorm((latent_dim, n_virtual_channels), **norm)
        self.dynamics = SpatiotemporalDynamics(
            latent_dim, n_virtual_channels, n_filters
        )
        self.projector = Projector(
            self.n_features,
            released=released,
            subject_norm="subject" if subject_norm in KEEP_STATISTICS else subject_norm,
        )
        if released and subject_norm is not None:
            # The norm after them removes these biases: they learn nothing, and weight
            # decay would only wear them down.
            self.channel_encoder.read_out.bias.requires_grad_(False)
            self.spatial.bias.requires_grad_(spatial_activation == "relu")

        self._init_head(n_outputs)

    def encode(
        self,
        x: torch.Tensor,
        subjects: ArrayLike | None = None,
        *,
        project: bool = True,
    ) -> EncoderOutput:
        """Encode a batch, whether or not there is a head.

        Parameters
        ----------
        x : Tensor of shape (B, n_chans, n_times)
            Windows at 125 Hz, amplitudes of about 1.
        subjects : array-like of int, shape (B,), default=None
            Subject of each window.  None: one subject.
        project : bool, default=True
            Whether to compute the projection, which only pre-training needs.

        Returns
        -------
        EncoderOutput
            What each stage gives, by name.

        Raises
        ------
        ValueError
            If a shape is wrong or a window is too short: for the patches, or, in
            "released", for the projector.  With ``subject_norm="running"`` in eval
            mode, if there are no statistics yet; zeros, as tools try networks with,
            will do.
        """
        self._check_windows(x)
        if project:
            self.check_projectable(x.shape[-1])
        if not self.training and not self._has_statistics() and x.any():
            self._raise_no_statistics()
        groups = group_rows(subjects, x.shape[0], x.device)

        def dynamics_in_chunks(p):
            return self._in_chunks(self.dynamics, p, self.dynamics.parameters())

        # Statistics are those of the whole batch: chunks begin only after them.
        z, spatial, dynamics = self._stages(
            self.channel_encoder(x),
            lambda norm, x: norm(x, *groups),
            dynamics_in_chunks,
        )
        return EncoderOutput(
            channel_encoder=z,
            spatial=spatial,
            dynamics=dynamics,
            features=self._summarize(dynamics),
            projection=self.projector(dynamics, *groups) if project else None,
        )

    def empty_output(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Make what `forward` gives, for a batch without windows.

        Parameters
        ----------
        x : Tensor of shape (0, n_chans, n_times)
            No windows of this length.

        Returns
        -------
        spatial : Tensor of shape (0, latent_dim, n_virtual_channels, N)
            As in `EncoderOutput`.
        projection : Tensor of shape (0, P)
            Likewise.
        """
        n_patches = self.channel_encoder.n_patches(x.shape[-1])
        sizes = self.config["latent_dim"], self.config["n_virtual_channels"]
        return (
            x.new_zeros(0, *sizes, n_patches),
            x.new_zeros(0, self.projector.n_outputs(n_patches)),
        )

    def encode_channels(self, x: torch.Tensor) -> torch.Tensor:
        """Encode each channel, without the z-score that follows.

        For subjects of more windows than one batch holds: encode their windows in
        parts, take `norm_statistics` over the parts, then `features_from` each.

        Parameters
        ----------
        x : Tensor of shape (B, n_chans, n_times)
            Windows.

        Returns
        -------
        Tensor of shape (B, n_chans, N, latent_dim)
            Latent signals of each channel, as they are before the z-score.
        """
        self._check_windows(x)
        return self.channel_encoder(x)

    @torch.no_grad()
    def norm_statistics(self, encoded: Sequence[torch.Tensor]) -> NormStatistics:
        """Take the statistics of one subject, or of one training set.

        Parameters
        ----------
        encoded : sequence of Tensor of shape (B_i, n_chans, N_i, latent_dim)
            Output of `encode_channels` for all windows that count, in parts of any
            size and window length.  It is gone through twice.

        Returns
        -------
        NormStatistics
            For `features_from` and `set_statistics`.

        Raises
        ------
        ValueError
            If there is no window, or the network was built without a norm.
        """
        if self.subject_norm is None:
            raise ValueError("subject_norm=None: this network uses no statistics.")
        encoded = [z for z in encoded if len(z)]
        if not encoded:
            raise ValueError("No windows to take statistics of.")
        n_times = torch.cat([torch.full((len(z),), z.shape[2]) for z in encoded])
        n_times = n_times.to(encoded[0].device)

        def merged(norm, window_statistics):
            parts = [self._in_chunks(window_statistics, z) for z in encoded]
            return norm.merge(torch.cat(parts), n_times)

        def spatial_statistics(z):
            _, p = self._mixed(z, self._z_score_with(channel))
            return self.spatial_norm.window_statistics(p)

        channel = merged(self.channel_norm, self.channel_norm.window_statistics)
        spatial = merged(self.spatial_norm, spatial_statistics)
        return NormStatistics(*channel, *spatial)

    def set_statistics(self, statistics: NormStatistics) -> Self:
        """Set what "train" and "running" z-score with in eval mode.

        Parameters
        ----------
        statistics : NormStatistics
            Of all training windows.

        Returns
        -------
        HybridEncoder
            The network itself.

        Raises
        ------
        ValueError
            If ``subject_norm`` is neither "train" nor "running", or a shape is wrong.
        """
        buffers = self.get_statistics()
        for name, buffer, value in zip(
            NormStatistics._fields, buffers, statistics, strict=True
        ):
            if value.shape != buffer.shape:
                raise ValueError(
                    f"{name} must have shape {tuple(buffer.shape)}, "
                    f"got {tuple(value.shape)}."
                )
        for buffer, value in zip(buffers, statistics, strict=True):
            buffer.copy_(value)
        if self.subject_norm == "running":
            for norm in (self.channel_norm, self.spatial_norm):
                norm.n_batches.clamp_(min=1)
        return self

    def get_statistics(self) -> NormStatistics:
        """Return what `set_statistics` has set, or training has kept.

        Returns
        -------
        NormStatistics
            Means and SDs of both norms.

        Raises
        ------
        ValueError
            If ``subject_norm`` is neither "train" nor "running".
        """
        self._check_keeps_statistics()
        return NormStatistics(
            self.channel_norm.mean,
            self.channel_norm.std,
            self.spatial_norm.mean,
            self.spatial_norm.std,
        )

    def features_from(
        self, z: torch.Tensor, statistics: NormStatistics | None = None
    ) -> torch.Tensor:
        """Compute features of encoded windows, each independent of the others.

        Parameters
        ----------
        z : Tensor of shape (B, n_chans, N, latent_dim)
            Output of `encode_channels`.
        statistics : NormStatistics, default=None
            Of the subject.  None, with ``subject_norm="train"`` or "running": those
            of `get_statistics`; not looked at with ``subject_norm=None``.

        Returns
        -------
        Tensor of shape (B, n_features)
            One row for each window.

        Raises
        ------
        ValueError
            If no statistics are given, and none are kept.
        """
        z_score = self._z_score_with(self._given_or_kept(statistics))

        def features(z):
            return self._summarize(self._stages(z, z_score, self.dynamics)[-1])

        later = [*self.spatial.parameters(), *self.dynamics.parameters()]
        return self._in_chunks(features, z, later)

    def spatial_from(
        self, z: torch.Tensor, statistics: NormStatistics | None = None
    ) -> torch.Tensor:
        """Mix the channels of encoded windows, each independent of the others.

        Parameters
        ----------
        z : Tensor of shape (B, n_chans, N, latent_dim)
            Output of `encode_channels`.
        statistics : NormStatistics, default=None
            As for `features_from`.

        Returns
        -------
        Tensor of shape (B, latent_dim, n_virtual_channels, N)
            ``spatial`` of `EncoderOutput`, before the z-score that follows.

        Raises
        ------
        ValueError
            As in `features_from`.
        """
        return self._mixed(z, self._z_score_with(self._given_or_kept(statistics)))[1]

    def check_projectable(self, n_times: int) -> None:
        """Raise if windows are too short for the projector.

        Parameters
        ----------
        n_times : int
            Time steps of a window.

        Raises
        ------
        ValueError
            If they are; only "released" asks for more than one patch.
        """
        patches, needed = self.channel_encoder, self.projector.min_patches
        if patches.n_patches(n_times) < needed:
            n_needed = patches.patch_size + (needed - 1) * patches.patch_stride
            raise ValueError(
                f"Windows are too short for the projector of variant={self.variant!r}: "
                f"got {n_times} time steps, expected at least {n_needed}. Features "
                "alone (project=False) need no projector; variant='paper' projects a "
                "single patch."
            )

    def _in_chunks(self, function, x, parameters=()):
        """Apply a function of each window alone to ``x`` (B, ...), of any N."""
        return map_rows(
            function,
            x,
            parameters,
            row_size=x[0].numel(),
            max_rows=self.channel_encoder.chunk_size,
        )

    def _given_or_kept(self, statistics):
        """Return the statistics to z-score with, None where nothing is z-scored."""
        if statistics is not None or self.subject_norm is None:
            return statistics
        if self.subject_norm not in KEEP_STATISTICS:
            raise ValueError(
                "subject_norm='subject' needs the subject's statistics: pass what "
                "norm_statistics returns."
            )
        if not self._has_statistics():
            self._raise_no_statistics()
        return self.get_statistics()

    def _stages(self, z, z_score, dynamics):
        """Go through all that follows the channel encoder, in training and after it.

        The two differ in where the statistics of the z-scores come from, and in what
        is computed in chunks.

        Parameters
        ----------
        z : Tensor of shape (B, n_chans, N, latent_dim)
            Output of the channel encoder.
        z_score : callable
            Takes a `SubjectNorm` and its input, and returns the input z-scored.
        dynamics : callable
            Applies ``self.dynamics`` to its input.

        Returns
        -------
        channels : Tensor of shape (B, n_chans, N, latent_dim)
            Z-scored.
        spatial : Tensor of shape (B, latent_dim, n_virtual_channels, N)
            Mixed, before its z-score.
        dynamics : Tensor of shape (B, K, N)
            Output of the dynamics.
        """
        channels, spatial = self._mixed(z, z_score)
        return channels, spatial, dynamics(z_score(self.spatial_norm, spatial))

    def _mixed(self, z, z_score):
        """Z-score channels, and mix them, (B, C, N, D) to (B, D, C', N)."""
        channels = z_score(self.channel_norm, z)
        return channels, self._mix_channels(channels)

    def _z_score_with(self, statistics):
        """Return the function that z-scores by these statistics, of any batch."""

        def z_score(norm, x):
            if self.subject_norm is None:
                return x
            first = 0 if norm is self.channel_norm else 2
            return norm.normalize(x, *statistics[first : first + 2])

        return z_score

    def _mix_channels(self, z):
        """Mix channels, (B, C, N, D) to (B, D, C', N)."""
        B, _, N, D = z.shape
        # The channel encoder leaves time in one piece, so that this is no copy.
        signals = z.mT.flatten(2)  # (B, C, D * N)
        p = self.spatial.weight.expand(B, -1, -1) @ signals  # (B, C', D * N)
        if self.spatial.bias is not None:
            p = p + self.spatial.bias[:, None]
        if self.spatial_activation == "relu":
            p = F.relu(p)
        return p.unflatten(2, (D, N)).transpose(1, 2).contiguous()

    def _summarize(self, dynamics):
        """Sum up time, (B, K, N) to (B, K)."""
        dynamics = as_single(dynamics)
        if self.feature == "mean":
            return dynamics.mean(-1)
        return 0.5 * torch.log1p(2 * math.pi * math.e * dynamics.var(-1, correction=0))

    def _check_keeps_statistics(self):
        if self.subject_norm not in KEEP_STATISTICS:
            raise ValueError(
                "Only subject_norm='train' and 'running' keep statistics; this network "
                f"has subject_norm={self.subject_norm!r}."
            )

    def _has_statistics(self):
        """Return whether eval mode has the statistics that it z-scores with."""
        return self.subject_norm != "running" or bool(self.channel_norm.n_batches > 0)

    def _raise_no_statistics(self):
        raise ValueError(
            "The network has no statistics yet to z-score with in eval mode: train it, "
            "or set those of some windows, set_statistics(norm_statistics("
            "[encode_channels(x)])); or use another subject_norm than 'running'."
        )

    def _check_windows(self, x):
        if x.ndim != 3 or x.shape[1] != self.n_chans:
            raise ValueError(
                f"Expected windows of shape (n_windows, {self.n_chans}, n_times), "
                f"got {tuple(x.shape)}."
            )
        # Exported graphs take any number of windows, which len() would fix.
        if x.shape[0] == 0:
            raise ValueError("Expected at least one window, got none.")
        if x.shape[-1] < self.channel_encoder.patch_size:
            raise ValueError(
                f"Windows are too short: got {x.shape[-1]} time steps, expected at "
                f"least {self.channel_encoder.patch_size} (one patch)."
            )
