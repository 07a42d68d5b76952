"""Attention over the patches of a channel: linear in their number, and softmax."""

import torch
from torch import nn
from torch.nn import functional as F


class LinearAttention(nn.Module):
    r"""Multi-head linear attention.

    With :math:`\phi(x) = \mathrm{ELU}(x) + 1`,

    .. math::
        o_t = \frac{\phi(q_t) \sum_s \phi(k_s) v_s^\top}{\phi(q_t) \sum_s \phi(k_s)}

    Both sums are over all patches and shared by all t, so that time and memory grow
    linearly with the number of patches: no patch-by-patch matrix is formed [1]_.

    Parameters
    ----------
    dim : int
        Width of input and output.
    n_heads : int, default=8
        Number of heads; divides ``dim``.

    References
    ----------
    .. [1] Han et al. (2024). Demystify Mamba in Vision: A Linear Attention
       Perspective. arXiv:2405.16605.
    """

    def __init__(self, dim, n_heads=8):
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x):
        """Map ``x`` (M, N, H) to (M, N, H)."""
        q, k, v = _split_heads(self.qkv(x), self.n_heads)  # (M, heads, N, H / heads)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        # A column of ones among the values gives the denominator by the same products.
        v = F.pad(v, (0, 1), value=1.0)
        y = q @ (k.transpose(2, 3) @ v)  # (M, heads, N, H / heads + 1)
        # phi rounds to 0 below about -17; where all of q does, the result is 0.
        y = y[..., :-1] / y[..., -1:].clamp_min(torch.finfo(y.dtype).eps)
        return self.out(_join_heads(y))


class SoftmaxAttention(nn.Module):
    """Multi-head scaled dot-product attention.

    Keys have no bias: it adds the same number to all logits of a query, which the
    softmax removes, so that it could never learn.

    Parameters
    ----------
    dim : int
        Width of input and output.
    n_heads : int, default=8
        Number of heads; divides ``dim``.
    """

    def __init__(self, dim, n_heads=8):
        super().__init__()
        self.n_heads = n_heads
        self.qv = nn.Linear(dim, 2 * dim)
        self.k = nn.Linear(dim, dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def forward(self, x):
        """Map ``x`` (M, N, H) to (M, N, H)."""
        qkv = torch.cat([self.qv(x), self.k(x)], dim=-1)
        q, v, k = _split_heads(qkv, self.n_heads)  # (M, heads, N, H / heads)
        return self.out(_join_heads(F.scaled_dot_product_attention(q, k, v)))


def _split_heads(x, n_heads):
    """(M, N, 3 H) to three (M, heads, N, H / heads)."""
    x = x.unflatten(-1, (3, n_heads, -1))  # (M, N, 3, heads, H / heads)
    # One copy here spares each of the batched products its own.
    return x.permute(2, 0, 3, 1, 4).contiguous().unbind(0)


def _join_heads(x):
    """(M, heads, N, H / heads) to (M, N, H)."""
    return x.transpose(1, 2).flatten(2)
