"""What a window costs: arithmetic and memory traffic of each stage of the encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from .dynamics import DILATIONS, FILTER_TAPS, SMOOTHING

if TYPE_CHECKING:
    from .encoder import HybridEncoder

_BYTES = 4  # float32
_CONV_TAPS = 3

# Times that each operation reads or writes a tensor of the width of the block: two for
# an operation in place or out of place, one more for each wider or further operand.
_PASSES = {
    # position 2, norm 2, gate 4, input gate 6, q k v 4, phi 8, sums 3, results 5,
    # output 2, gating 3, projection and residual 5, position 2, norm 2, MLP 13
    "paper": 61,
    # position 2, norm 2, projection 2, convolution 2, SiLU 2
    "released": 10,
    # norm 2, q k v 4, attention 4, output and residual 5, norm 2, MLP 13
    "transformer": 30,
}


def encoder_cost(encoder: HybridEncoder, n_times: int = 625) -> pd.DataFrame:
    """Count the arithmetic and the memory traffic of one window, forward.

    Parameters
    ----------
    encoder : HybridEncoder
        The network.
    n_times : int, default=625
        Time steps of the window.

    Returns
    -------
    DataFrame
        One row for each stage, indexed by its name, with the columns

        - ``flops``: of products and convolutions, a multiplication and an addition
          counting as two.  Element-wise operations are left out, as is usual.
        - ``bytes_unfused``: read and written if each operation goes through memory.
        - ``bytes``: read and written if what is between a stage's input and output
          stays in the cache.  Weights are not counted: many windows share them.

    Notes
    -----
    A machine that multiplies matrices at ``rate`` FLOP/s encodes at most
    ``rate / cost.flops.sum()`` windows per second.  A training step takes three times
    the arithmetic (the gradient with respect to the weights and to the input of each
    product), and, with ``chunk_size``, one time more to compute activations again.

    `torch.utils.flop_counter.FlopCounterMode` counts the same arithmetic (a test
    compares them).  It is not used here, as it knows no traffic, sees one thread of
    several only, and counts fused attention only where it knows its kernel.

    Examples
    --------
    >>> from sklearn_mdjpt.nn import HybridEncoder, encoder_cost
    >>> cost = encoder_cost(HybridEncoder())
    >>> f"{cost.flops.sum() / 1e9:.2f} GFLOP for each window of 60 channels and 5 s"
    '4.60 GFLOP for each window of 60 channels and 5 s'
    """
    config = encoder.config
    C, V, D = (config[k] for k in ("n_chans", "n_virtual_channels", "latent_dim"))
    H, P = config["hidden_dim"], config["patch_size"]
    F, K = config["n_filters"], encoder.n_features
    N = encoder.channel_encoder.n_patches(n_times)
    rows, block = C * N, _block_flops(config, N)
    n_steps, n_pooled = _projector_steps(encoder, N)
    # (stage, FLOPs, values read and written unfused, values read and written)
    stages = [
        ("patches", 2 * rows * P * H, rows * (2 * P + H), 0),
        *(
            (f"block {i}", C * block, _PASSES[config["variant"]] * rows * H, 0)
            for i in range(config["depth"])
        ),
        ("read-out", 2 * rows * H * D, rows * (H + D), C * n_times + rows * D),
        ("norm by channel", 0, 3 * rows * D, 3 * rows * D),
        ("spatial mixing", 2 * V * rows * D, (C + V) * N * D, (C + V) * N * D),
        ("norm by virtual channel", 0, 3 * V * N * D, 3 * V * N * D),
        (
            "multi-scale filters",
            2 * len(DILATIONS) * FILTER_TAPS * F * D * V * N,
            (V * D + 4 * FILTER_TAPS * K) * N,
            V * D * N,
        ),
        ("attention over features", 2 * (2 * SMOOTHING + K) * K * N, 14 * K * N, K * N),
        ("projector", 2 * _CONV_TAPS * K * n_steps, K * N + 8 * K * n_pooled, K * N),
    ]
    table = pd.DataFrame(stages, columns=["stage", "flops", "bytes_unfused", "bytes"])
    return table.set_index("stage") * [1, _BYTES, _BYTES]


def _block_flops(config, N):
    """FLOPs of a block for one channel of N patches."""
    H, d = config["hidden_dim"], config["hidden_dim"] // config["n_heads"]
    square, conv = 2 * N * H * H, 2 * N * H * _CONV_TAPS
    if config["variant"] == "released":
        return square + 2 * conv
    mlp = 4 * square
    if config["variant"] == "transformer":
        return 4 * square + mlp + 4 * N * N * H
    # gate, input, q, k, v, two outputs; K^T V; Q (K^T V) with its denominator
    return 7 * square + mlp + 3 * conv + 2 * N * H * d + 2 * N * H * (d + 1)


def _projector_steps(encoder, N):
    """Count the outputs of the two convolutions, and of the pool before them."""
    pooled = max(N // SMOOTHING, 1)
    if encoder.variant == "released":
        lost = _CONV_TAPS - 1
        return max(2 * pooled - 3 * lost, 0), pooled
    return 2 * pooled, pooled
