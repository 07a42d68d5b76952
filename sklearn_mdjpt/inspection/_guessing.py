"""What the inter-subject alignment loss is when nothing is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from .._torch import plain_torch
from .._validation import check_number, check_option
from ..encoder._pairs import make_sampler, pair_columns
from ..nn import isa_loss, label_isa_loss
from ..windows._inputs import as_windows
from ..windows._reader import CanonicalReader

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..windows._inputs import Windows


def isa_of_guessing(
    X: Windows,
    y: ArrayLike | None = None,
    *,
    pairing: Literal["stimulus", "stimulus-any-onset", "label"] = "stimulus",
    n_batches: int = 200,
    random_state: int = 0,
) -> float:
    r"""Return the ISA loss of projections that tell no window from another.

    For pairs by stimulus it is the sum over datasets of :math:`\log(2n - 1)`, with n
    pairs of windows in a batch: what ``history_["isa"]`` is to be compared with.

    Parameters
    ----------
    X : EEGWindows, mne.Epochs, list of mne.Epochs or braindecode dataset
        What the encoder is trained on.
    y : array-like of shape (n_windows,), default=None
        Labels, for ``pairing="label"``; None takes ``X.y``.
    pairing : {"stimulus", "stimulus-any-onset", "label"}, default="stimulus"
        As of `MDJPTEncoder`.
    n_batches : int, default=200
        Batches to draw: the number of pairs may differ between them.
    random_state : int, default=0
        Seeds the draw.

    Returns
    -------
    float
        In nats, as the loss.

    Notes
    -----
    An untrained encoder is better than that: the z-score by subject alone pulls
    partners together.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.inspection import isa_of_guessing
    >>> X = make_emotion_windows(1, n_subjects=3, n_stimuli=6, random_state=0)
    >>> round(isa_of_guessing(X), 3)  # six stimuli, log(11)
    2.398
    """
    options = ("stimulus", "stimulus-any-onset", "label")
    check_option(pairing, options, "pairing")
    check_number(n_batches, "n_batches", whole=True, least=1)
    windows = as_windows(X)
    reader = CanonicalReader(windows)
    sampler, *_ = make_sampler(
        pair_columns(windows),
        reader.n_times,
        y,
        pairing=pairing,
        known_labels=windows.y,
        sfreq=reader.sfreq,
        rng=np.random.default_rng(random_state),
    )
    # All similarities are equal, so that the temperature does not matter.
    with plain_torch():
        losses = [sum(map(_guess, sampler.draw())) for _ in range(n_batches)]
    return float(np.mean(losses))


def _guess(pair):
    """Return the loss of a batch of pairs whose projections are all the same."""
    equal = torch.ones(len(pair.rows), 1, dtype=torch.float64)
    if pair.kinds is None:
        return float(isa_loss(*equal.chunk(2)))
    return float(label_isa_loss(equal, pair.subjects, pair.kinds))
