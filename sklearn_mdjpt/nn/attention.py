"""Attention over the patches of a channel: linear in their number, and softmax."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .precision import no_autocast

_LOG2_E = math.log2(math.e)


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
        qkv = self.qkv(x)
        if qkv.dtype == torch.float16:
            # Products of sums over all patches overflow it.
            qkv = qkv.float()
        with no_autocast(qkv.device.type):
            y = _LinearAttend.apply(qkv, self.n_heads)
        return self.out(y)


class _LinearAttend(torch.autograd.Function):
    """Linear attention of (q, k, v) (M, N, 3 H) to (M, N, H), with its gradient.

    All heads at once, on one copy of the projection in which each head's rows lie
    together.  The denominator comes out of the same product as the numerator: it is
    its last column, with the sum of the keys beside K^T V.
    """

    @staticmethod
    def forward(ctx, qkv, n_heads):
        # A copy always, as it is written to: (3, M * heads, N, H / heads).
        qkv = _split_heads(qkv, 3, n_heads)
        qkv = qkv.clone(memory_format=torch.contiguous_format).flatten(1, 2)
        _elu_plus_one_(qkv[:2])
        q, k, v = qkv.unbind()
        kv = torch.cat([k.mT @ v, k.sum(1).unsqueeze(-1)], dim=-1)
        products = q @ kv  # (M * heads, N, H / heads + 1)
        # bfloat16 has the range of float32, and needs no larger guard.
        least = torch.finfo(torch.promote_types(qkv.dtype, torch.float32)).eps
        # phi vanishes far below 0; where it does for all of q, the result is 0.
        denominator = products[..., -1:].clamp_min(least)
        y = products[..., :-1] / denominator
        ctx.n_heads = n_heads
        ctx.save_for_backward(qkv, y, kv, denominator)
        return _join_heads(y.unflatten(0, (1, -1, n_heads)))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        qkv, y, kv, denominator = ctx.saved_tensors
        q, k, v = qkv.unbind()
        with no_autocast(qkv.device.type):
            dy = _split_heads(dy, 1, ctx.n_heads).flatten(0, 2)
            d_denominator = (dy * y).sum(-1, keepdim=True).neg_()
            d_products = torch.cat([dy, d_denominator], dim=-1) / denominator
            d_kv = q.mT @ d_products  # (M * heads, H / heads, H / heads + 1)
            d_kv, d_k_sum = d_kv[..., :-1], d_kv[..., -1].unsqueeze(1)
            dq = d_products @ kv.mT
            dk = torch.baddbmm(d_k_sum, v, d_kv.mT)
            grad = torch.stack([dq, dk, k @ d_kv])
            # The slope of phi is 1 above 0, and phi below.
            grad[:2].mul_(qkv[:2].clamp(max=1))
        return _join_heads(grad.unflatten(1, (-1, ctx.n_heads))), None


def _elu_plus_one_(x):
    """ELU + 1, in place.  torch's own ELU takes several times as long on CPU."""
    positive = x.relu()
    x.clamp_(max=0)
    if x.dtype == torch.bfloat16:
        x.exp_()  # the product would be rounded before the power
    else:
        x.mul_(_LOG2_E).exp2_()  # a third of exp's time on CPU
    x.add_(positive)


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
        q, v, k = _split_heads(qkv, 3, self.n_heads).unbind()
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(_join_heads(y.unsqueeze(0)))


def _split_heads(x, n_parts, n_heads):
    """(M, N, parts * H) to (parts, M, heads, N, H / heads), a view."""
    return x.unflatten(-1, (n_parts, n_heads, -1)).permute(2, 0, 3, 1, 4)


def _join_heads(x):
    """(parts, M, heads, N, H / heads) to (M, N, parts * H), a copy."""
    return x.permute(1, 3, 0, 2, 4).flatten(2)
