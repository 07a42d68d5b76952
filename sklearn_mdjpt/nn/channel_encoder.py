"""The channel encoder: each channel alone, as a sequence of patches."""

import math

import torch
from torch import nn

from .blocks import MLLABlock, ReleasedBlock, TransformerBlock
from .chunks import map_rows


class ChannelEncoder(nn.Module):
    """Encode the signal of each channel with shared weights.

    Overlapping patches -> linear -> blocks -> linear.

    Parameters
    ----------
    variant : {"paper", "released", "transformer"}, default="paper"
        Which blocks: `MLLABlock`, `ReleasedBlock` or `TransformerBlock`.  The last
        gets sinusoidal positions added to its input, as it has no convolution that
        would tell one patch from another.
    hidden_dim : int, default=128
        Width of the blocks.
    latent_dim : int, default=32
        Width of the output.
    depth : int, default=2
        Number of blocks.
    n_heads : int, default=8
        Attention heads.
    patch_size, patch_stride : int, default=32, 6
        Length and distance of patches, in time steps.
    chunk_size : int, default=16
        Most windows with activations held for the gradient, see `HybridEncoder`.
    """

    def __init__(
        self,
        *,
        variant="paper",
        hidden_dim=128,
        latent_dim=32,
        depth=2,
        n_heads=8,
        patch_size=32,
        patch_stride=6,
        chunk_size=16,
    ):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.patch_size = patch_size
        self.patch_stride = patch_stride
        self.chunk_size = chunk_size
        self.add_positions = variant == "transformer"
        self.read_in = nn.Linear(patch_size, hidden_dim)
        if variant == "released":
            blocks = [ReleasedBlock(hidden_dim) for _ in range(depth)]
        else:
            block = MLLABlock if variant == "paper" else TransformerBlock
            # The last block's output is linear in this bias up to the norm by
            # subject, which would remove it; the same holds for read_out's.
            blocks = [
                block(hidden_dim, n_heads, last_bias=i < depth - 1)
                for i in range(depth)
            ]
        self.blocks = nn.ModuleList(blocks)
        self.read_out = nn.Linear(hidden_dim, latent_dim, bias=variant == "released")

    def n_patches(self, n_times):
        """Return the number of patches in a window of ``n_times`` >= patch_size."""
        return (n_times - self.patch_size) // self.patch_stride + 1

    def forward(self, x):
        """Encode ``x`` (B, C, T) to (B, C, N, D)."""
        B, C, T = x.shape
        z = map_rows(
            self.encode,
            x.flatten(0, 1),
            self.parameters(),
            row_size=self.n_patches(T) * self.hidden_dim,
            max_rows=None if self.chunk_size is None else self.chunk_size * C,
        )
        return z.unflatten(0, (B, C)).mT  # (B, C, N, D)

    def encode(self, x):
        """Encode single channels ``x`` (M, T) to (M, D, N): time in one piece."""
        h = self.read_in(x.unfold(-1, self.patch_size, self.patch_stride))
        if self.add_positions:
            h = h + sinusoidal_positions(*h.shape[1:]).to(h)
        for block in self.blocks:
            h = block(h)  # (M, N, H)
        return self.read_out(h).mT


def sinusoidal_positions(n_positions, dim):
    """Return sines and cosines of geometrically spaced periods, (n_positions, dim)."""
    half = (dim + 1) // 2
    rates = torch.exp(torch.arange(half, dtype=torch.float32) * (-math.log(1e4) / half))
    angles = torch.arange(n_positions)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :dim]
