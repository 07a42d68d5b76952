"""Blocks of the channel encoder: each maps (M, N, H) to (M, N, H)."""

import torch
from torch import nn
from torch.nn import functional as F

from .attention import LinearAttention, SoftmaxAttention


class DepthwiseConv(nn.Conv1d):
    """Depthwise convolution over time of (M, N, H), zero-padded to the same N.

    Parameters
    ----------
    dim : int
        Width H; each of its features has a filter of its own.
    kernel_size : int, default=3
        Length of the filters, odd.
    residual : bool, default=False
        Whether the input is added to the result, as one more tap of the filters.
    """

    def __init__(self, dim, kernel_size=3, *, residual=False):
        super().__init__(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim)
        self.residual = residual

    def forward(self, x):
        """Convolve ``x`` (M, N, H) along N."""
        weight = self.weight
        if self.residual:
            tap = torch.zeros_like(weight[0])
            tap[:, self.padding[0]] = 1
            weight = weight + tap
        # (M, N, H) is the channels-last layout of an image (M, H, 1, N).  Called as
        # a 2-D convolution nothing is copied; on CPU that is 10 times faster than 1-D.
        y = F.conv2d(
            x.transpose(1, 2).unsqueeze(2),  # (M, H, 1, N)
            weight.unsqueeze(2),
            self.bias,
            padding=(0, self.padding[0]),
            groups=self.groups,
        )
        return y.squeeze(2).transpose(1, 2)  # (M, N, H)


class MLP(nn.Sequential):
    """Linear, GELU, linear.

    Parameters
    ----------
    dim : int
        Width of input and output.
    hidden_dim : int
        Width between.
    last_bias : bool, default=True
        Whether the second layer has a bias.
    """

    def __init__(self, dim, hidden_dim, *, last_bias=True):
        super().__init__(
            nn.Linear(dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, dim, bias=last_bias),
        )


class MLLABlock(nn.Module):
    """Mamba-like linear attention: linear attention between two gates [1]_.

    A depthwise convolution before the block and one within it encode the position of
    a patch; the input gate smooths over neighbouring patches before attention, the
    forget gate multiplies what comes out of it.

    Parameters
    ----------
    dim : int
        Width H.
    n_heads : int, default=8
        Attention heads.
    last_bias : bool, default=True
        Whether the MLP's second layer has a bias.

    References
    ----------
    .. [1] Han et al. (2024). Demystify Mamba in Vision: A Linear Attention
       Perspective. arXiv:2405.16605.
    """

    def __init__(self, dim, n_heads=8, *, last_bias=True):
        super().__init__()
        self.position1 = DepthwiseConv(dim, residual=True)
        self.norm1 = nn.LayerNorm(dim)
        self.gate = nn.Linear(dim, dim)
        self.in_proj = nn.Linear(dim, dim)
        self.conv = DepthwiseConv(dim)
        self.attention = LinearAttention(dim, n_heads)
        self.out_proj = nn.Linear(dim, dim)
        self.position2 = DepthwiseConv(dim, residual=True)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, 2 * dim, last_bias=last_bias)

    def forward(self, x):
        """Map ``x`` (M, N, H) to (M, N, H)."""
        x = self.position1(x)
        y = self.norm1(x)
        gate = F.silu(self.gate(y))
        y = F.silu(self.conv(self.in_proj(y)))
        x = x + self.out_proj(self.attention(y) * gate)
        x = self.position2(x)
        return x + self.mlp(self.norm2(x))


class ReleasedBlock(nn.Module):
    """The part of the released block that its output depends on.

    The code that goes with the released checkpoints returns the input gate's output:
    attention, forget gate, MLP and the residual around them come after it and reach
    nothing.  Their weights are not held here, so that every parameter can learn.

    Parameters
    ----------
    dim : int
        Width H.
    """

    def __init__(self, dim):
        super().__init__()
        self.position1 = DepthwiseConv(dim, residual=True)
        self.norm1 = nn.LayerNorm(dim)
        self.in_proj = nn.Linear(dim, dim)
        self.conv = DepthwiseConv(dim)

    def forward(self, x):
        """Map ``x`` (M, N, H) to (M, N, H)."""
        x = self.norm1(self.position1(x))
        return F.silu(self.conv(self.in_proj(x)))


class TransformerBlock(nn.Module):
    """Transformer block with the norms first: softmax attention, then an MLP.

    Takes the place of `MLLABlock` in the paper's ablation.

    Parameters
    ----------
    dim : int
        Width H.
    n_heads : int, default=8
        Attention heads.
    last_bias : bool, default=True
        Whether the MLP's second layer has a bias.
    """

    def __init__(self, dim, n_heads=8, *, last_bias=True):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = SoftmaxAttention(dim, n_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = MLP(dim, 2 * dim, last_bias=last_bias)

    def forward(self, x):
        """Map ``x`` (M, N, H) to (M, N, H)."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))
