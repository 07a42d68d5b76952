"""The classifier that the paper puts on the encoder's features."""

from __future__ import annotations

from torch import nn

from .precision import single_precision


class MLPHead(nn.Sequential):
    """Linear, batch norm, ReLU, linear: features to logits.

    Parameters
    ----------
    n_features : int
        Number of features of a window.
    n_outputs : int
        Number of classes.
    hidden_dim : int, default=128
        Width of the hidden layer.

    Notes
    -----
    ``forward(x)`` takes x (B, n_features) and returns logits (B, n_outputs).  Training
    needs two rows or more: batch norm has no spread to divide one row by.  The first
    layer has no bias, since batch norm takes the mean away and adds a bias of its own.
    """

    @single_precision()
    def __init__(self, n_features: int, n_outputs: int, hidden_dim: int = 128) -> None:
        super().__init__(
            nn.Linear(n_features, hidden_dim, bias=False),
            nn.BatchNorm1d(hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, n_outputs),
        )
