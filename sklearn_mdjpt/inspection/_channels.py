"""Which channels an encoder listens to: its spatial filters, and what it misses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import torch

from .._torch import plain_torch, torch_threads
from .._validation import check_number, check_option
from ..channels._channels import CANONICAL_CHANNELS
from ._models import encoded_windows, read_windows, split_model

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from ..windows._inputs import Windows


def spatial_filters(
    encoder: BaseEstimator, n_filters: int | None = None
) -> pd.DataFrame:
    r"""Return the rows of the spatial mixing :math:`W_s`, the largest first.

    Parameters
    ----------
    encoder : MDJPTEncoder, or a fitted model with one
        Fitted.
    n_filters : int, default=None
        How many; None returns all.

    Returns
    -------
    DataFrame of shape (n_filters, 60)
        Weights of the canonical channels (without unit), sorted by norm.  The index
        holds numbers of the virtual channels.

    Raises
    ------
    ValueError
        If there are fewer filters than asked for.

    Notes
    -----
    One matrix mixes the channels of all latent dimensions.  Weights say how channels
    are combined, which includes how noise is cancelled: a channel of large weight need
    not carry the signal [1]_.  `channel_importance` says what is lost without it.

    References
    ----------
    .. [1] Haufe S et al. (2014). On the interpretation of weight vectors of linear
       models in multivariate neuroimaging. NeuroImage 87, 96-110.
       doi:10.1016/j.neuroimage.2013.10.067

    Examples
    --------
    >>> from sklearn_mdjpt import MDJPTEncoder
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.inspection import spatial_filters
    >>> X = make_emotion_windows(1, n_subjects=2, n_stimuli=3, random_state=0)
    >>> encoder = MDJPTEncoder.small(max_epochs=0, random_state=0).fit(X)
    >>> spatial_filters(encoder, n_filters=4).shape
    (4, 60)
    """
    _, encoder, _ = split_model(encoder)
    weight = encoder.module_.spatial.weight.detach().cpu().numpy().astype(float)
    check_number(
        n_filters, "n_filters", whole=True, none=True, least=1, most=len(weight)
    )
    order = np.argsort(-np.linalg.norm(weight, axis=1), kind="stable")[:n_filters]
    index = pd.Index(order, name="virtual channel")
    return pd.DataFrame(weight[order], index, list(CANONICAL_CHANNELS))


def channel_importance(
    encoder: BaseEstimator,
    X: Windows,
    *,
    by: Literal["dataset", "subject"] | None = "dataset",
    batch_size: int = 32,
) -> pd.DataFrame:
    r"""Measure how much an encoder's features change without a channel.

    For the features :math:`\phi` of windows x, and x without channel c (its signal set
    to 0, its mean),

    .. math::
        I_c = \sqrt{\frac{\langle\lVert\phi(x) - \phi(x_{-c})\rVert^2\rangle}
                         {\langle\lVert\phi(x)-\langle\phi\rangle\rVert^2\rangle}}

    with the mean over windows: 0 is a channel that makes no difference, 1 one whose
    loss moves features as far as they are spread.  No labels are needed.

    Parameters
    ----------
    encoder : MDJPTEncoder, or a fitted model with one
        Fitted.  Features are standardised if the encoder does so.
    X : EEGWindows, ndarray, mne.Epochs, list of mne.Epochs or braindecode dataset
        Windows.  A few hundred are enough, and each is encoded 60 times (without the
        channel encoder, which is the slow part).
    by : {"dataset", "subject", None}, default="dataset"
        What to keep apart; None: nothing.
    batch_size : int, default=32
        Windows at once.

    Returns
    -------
    DataFrame of shape (n_groups, 60)
        Importance (without unit) of the canonical channels, as the encoder sees them:
        one that a cap lacks is made of its neighbours.

    Notes
    -----
    Subjects' statistics for the z-score are held fixed at those of the whole signals.

    Examples
    --------
    >>> from sklearn_mdjpt import MDJPTEncoder
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.inspection import channel_importance
    >>> X = make_emotion_windows(2, n_subjects=2, n_stimuli=3, random_state=0)
    >>> encoder = MDJPTEncoder.small(max_epochs=0, random_state=0).fit(X)
    >>> channel_importance(encoder, X[::10]).shape
    (2, 60)
    """
    check_option(by, ("dataset", "subject", None), "by")
    encoder, windows, reader = read_windows(encoder, X)
    module = encoder.module_
    scale = None
    if encoder.scale_ is not None:
        device = next(module.parameters()).device
        scale = torch.as_tensor(encoder.scale_, dtype=torch.float32, device=device)

    def features(z, statistics):
        out = module.features_from(z, statistics)
        return out if scale is None else out / scale

    values = np.empty((len(windows), encoder.n_features_out_))
    changes = np.empty((len(windows), len(CANONICAL_CHANNELS)))
    with plain_torch(), torch_threads(encoder.torch_threads), torch.no_grad():
        for rows, x, statistics in encoded_windows(
            encoder, windows, reader, batch_size
        ):
            z = module.encode_channels(x)
            silent = module.encode_channels(torch.zeros_like(x[:1]))[0]
            whole = features(z, statistics)
            values[rows] = whole.cpu().numpy()
            for channel in range(z.shape[1]):
                # The encoder takes each channel by itself, so that only this one
                # changes.
                without = z.clone()
                without[:, channel] = silent[channel]
                change = features(without, statistics) - whole
                changes[rows, channel] = change.double().square().sum(1).cpu().numpy()
    names = np.full(len(windows), "all") if by is None else windows.groups(by)
    table = {}
    for name in dict.fromkeys(names):
        mine = names == name
        spread = values[mine].var(axis=0).sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            table[name] = np.sqrt(changes[mine].mean(axis=0) / spread)
    result = pd.DataFrame.from_dict(
        table, orient="index", columns=list(CANONICAL_CHANNELS)
    )
    return result.rename_axis(index=by)
