"""Attention over the patches of a channel: linear in their number, and softmax."""

import torch
from torch import nn
from torch.nn import functional as F

from .precision import no_autocast


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

    Head by head, on slices of the projection as they lie: autograd's way needs several
    rearranged copies of it, which cost more than the products.  The denominator comes
    out of the same products as the numerator: it is their last column, with the sum
    of the keys beside K^T V.
    """

    @staticmethod
    def forward(ctx, qkv, n_heads):
        H = qkv.shape[2] // 3
        qk = qkv[..., : 2 * H]
        # ELU + 1.  torch's ELU takes four times as long on CPU in many releases.
        phi = qk.clamp(max=0).exp_().add_(qk.relu())
        q, k, v = phi[..., :H], phi[..., H:], qkv[..., 2 * H :]
        k_sum = k.sum(1).unsqueeze(-1)  # (M, H, 1)
        # bfloat16 has the range of float32, and needs no larger guard.
        least = torch.finfo(torch.promote_types(qkv.dtype, torch.float32)).eps
        results, sums, denominators = [], [], []
        for h in _heads(H, n_heads):
            kv = torch.cat([k[..., h].mT @ v[..., h], k_sum[:, h]], dim=-1)
            products = q[..., h] @ kv  # (M, N, H / heads + 1)
            # phi vanishes far below 0; where it does for all of q, the result is 0.
            denominator = products[..., -1:].clamp_min(least)
            results.append(products[..., :-1] / denominator)
            sums.append(kv)
            denominators.append(denominator)
        y = torch.cat(results, dim=-1)  # (M, N, H)
        ctx.save_for_backward(phi, v, y, *sums, *denominators)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy):
        phi, v, y, *saved = ctx.saved_tensors
        with no_autocast(phi.device.type):
            return _LinearAttend._gradient(dy, phi, v, y, saved), None

    @staticmethod
    def _gradient(dy, phi, v, y, saved):
        n_heads, (M, N, H) = len(saved) // 2, v.shape
        q, k = phi[..., :H], phi[..., H:]
        grad = phi.new_empty(M, N, 3 * H)
        dq, dk, dv = grad.chunk(3, dim=-1)
        for h, kv, denominator in zip(
            _heads(H, n_heads), saved[:n_heads], saved[n_heads:], strict=True
        ):
            d_denominator = (dy[..., h] * y[..., h]).sum(-1, keepdim=True).neg_()
            d_products = torch.cat([dy[..., h], d_denominator], dim=-1)
            d_products /= denominator
            d_kv = q[..., h].mT @ d_products  # (M, H / heads, H / heads + 1)
            d_kv, d_k_sum = d_kv[..., :-1], d_kv[..., -1].unsqueeze(1)
            dq[..., h] = d_products @ kv.mT
            dk[..., h] = torch.baddbmm(d_k_sum, v[..., h], d_kv.mT)
            dv[..., h] = k[..., h] @ d_kv
        # The slope of phi is 1 above 0, and phi below.
        grad[..., : 2 * H].mul_(phi.clamp(max=1))
        return grad


def _heads(width, n_heads):
    """Columns of each head."""
    step = width // n_heads
    return [slice(i, i + step) for i in range(0, width, step)]


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
    return x.permute(2, 0, 3, 1, 4).unbind(0)


def _join_heads(x):
    """(M, heads, N, H / heads) to (M, N, H)."""
    return x.transpose(1, 2).flatten(2)
