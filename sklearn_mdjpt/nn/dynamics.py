"""Spatiotemporal dynamics of the latent channels, and the projector behind them."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .norm import SubjectNorm
from .precision import as_single

DILATIONS = (1, 3, 6, 12)
FILTER_TAPS = 3
SMOOTHING = 15
_KERNEL = 3


class SpatiotemporalDynamics(nn.Module):
    """Multi-scale spatiotemporal features, weighted by attention over features.

    For each latent dimension, ``n_filters`` filters over all channels and three
    patches, at dilations 1, 3, 6 and 12: K = 4 * latent_dim * n_filters features,
    ordered by dilation, latent dimension, filter.  Weights come from a depthwise
    convolution (15 patches), ReLU, an average over 15 patches, a linear mixing of the
    K features and a softmax over them; they multiply the rectified features.  The
    multi-scale filters are centred on their patch, convolution and average of the
    attention look back from it; all are padded with zeros, so that N is kept.

    Parameters
    ----------
    latent_dim : int
        Latent dimensions D.
    n_virtual_channels : int
        Channels C' after the spatial mixing.
    n_filters : int, default=4
        Filters for each latent dimension and dilation.
    """

    def __init__(self, latent_dim, n_virtual_channels, n_filters=4):
        super().__init__()
        self.n_features = K = len(DILATIONS) * latent_dim * n_filters
        # Ready for one product with all channels, for all dilations and taps at once.
        self.weight = nn.Parameter(
            torch.empty(
                latent_dim, len(DILATIONS), FILTER_TAPS, n_filters, n_virtual_channels
            )
        )
        self.bias = nn.Parameter(torch.empty(K))
        self.attention_conv = nn.Conv1d(K, K, SMOOTHING, groups=K)
        self.mixing = nn.Conv1d(K, K, 1)
        self.reset_parameters()

    def reset_parameters(self):
        """Draw the multi-scale filters as torch draws those of a convolution."""
        bound = 1 / math.sqrt(FILTER_TAPS * self.weight.shape[-1])
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x):
        """Map ``x`` (B, D, C', N) to the weighted features (B, K, N)."""
        features = self._convolve(x)
        weights = F.relu(self.attention_conv(_pad_past(features, SMOOTHING - 1)))
        weights = _average_past(weights)
        # A convolution over one patch is a product, but slower than one.
        mixing = self.mixing.weight.squeeze(-1).expand(x.shape[0], -1, -1)
        weights = mixing @ weights + self.mixing.bias[:, None]
        # Float16 has few digits left for weights of about 1 / K, or none.
        weights = as_single(weights).softmax(dim=1)  # (B, K, N)
        return weights * F.relu(features)

    def _convolve(self, x):
        """Multi-scale convolutions, (B, D, C', N) to (B, K, N)."""
        N = x.shape[-1]
        n_scales, n_taps, n_filters = self.weight.shape[1:4]
        # A tap of a filter over all channels is a product; the convolution is the sum
        # of its three, each shifted.  Several times faster than a grouped convolution.
        taps = self.weight.flatten(1, 3) @ x  # (B, D, scales * taps * filters, N)
        taps = taps.unflatten(2, (n_scales, n_taps, n_filters))
        scales = []
        for i, dilation in enumerate(DILATIONS):
            past, now, future = taps[:, :, i].unbind(2)  # each (B, D, filters, N)
            # A shift beyond the window leaves nothing but the padding.
            shift = min(dilation, N)
            past = F.pad(past[..., : N - shift], (shift, 0))
            future = F.pad(future[..., shift:], (0, shift))
            scales.append((past + now + future).flatten(1, 2))  # (B, D * filters, N)
        return torch.cat(scales, dim=1) + self.bias[:, None]


class Projector(nn.Module):
    """Projection of a window's features for the alignment loss (pre-training only).

    Average pool (15 patches, stride 15) -> z-score by subject -> depthwise
    convolution (3), ReLU -> depthwise convolution (3) -> z-score by subject ->
    flatten -> unit length.

    Parameters
    ----------
    n_features : int
        Number of features K.
    released : bool, default=False
        False: convolutions are padded and the pool shrinks to a window shorter than
        it, so that one patch is enough.  The second convolution has no bias, which
        the norm after it would remove.  True: no padding, a ReLU and a bias for the
        second convolution as well, and the released norm.
    subject_norm : {"subject", None}, default="subject"
        Whether the features are z-scored.
    """

    def __init__(self, n_features, *, released=False, subject_norm="subject"):
        super().__init__()
        self.n_features = K = n_features
        self.released = released
        padding = 0 if released else _KERNEL // 2
        self.norm1 = SubjectNorm(mode=subject_norm, released=released)
        self.conv1 = nn.Conv1d(K, K, _KERNEL, padding=padding, groups=K)
        self.conv2 = nn.Conv1d(K, K, _KERNEL, padding=padding, groups=K, bias=released)
        self.norm2 = SubjectNorm(mode=subject_norm, released=released)

    @property
    def min_patches(self):
        """Fewest patches of a window that can be projected."""
        return SMOOTHING * (2 * (_KERNEL - 1) + 1) if self.released else 1

    def n_outputs(self, n_patches):
        """Return the length P of the projection of a window of ``n_patches``."""
        n_steps = n_patches // min(SMOOTHING, n_patches)
        if self.released:
            n_steps -= 2 * (_KERNEL - 1)
        return self.n_features * n_steps

    def forward(self, features, index, counts):
        """Project ``features`` (B, K, N) to (B, P); subjects as of `group_rows`."""
        features = as_single(features)
        if not self.released:
            # The softmax shrinks features by about K.  The norm would undo that, if
            # the guard in it were not larger than the variance of what is left.
            features = features * self.n_features
        size = min(SMOOTHING, features.shape[-1])
        y = F.avg_pool1d(features, size, stride=size)
        y = F.relu(self.conv1(self.norm1(y, index, counts)))
        y = self.conv2(y)
        if self.released:
            y = F.relu(y)
        y = self.norm2(y, index, counts)
        return F.normalize(y.flatten(1), dim=1)


def _average_past(x):
    """Average over each step and those before it, in a window of ``SMOOTHING``."""
    # torch's average pool takes three times as long.
    average = x.new_full((x.shape[1], 1, SMOOTHING), 1 / SMOOTHING)
    return F.conv1d(_pad_past(x, SMOOTHING - 1), average, groups=x.shape[1])


def _pad_past(x, n_steps):
    """Add ``n_steps`` zeros before the first time step."""
    return F.pad(x, (n_steps, 0))
