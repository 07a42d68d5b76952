"""HybridEncoder as a classifier: head, borrowed weights, arguments of braindecode."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn

from .checks import check_sizes
from .head import MLPHead
from .norm import KEEP_STATISTICS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .encoder import EncoderOutput, HybridEncoder
    from .norm import NormStatistics

_N_CHANS, _N_TIMES, _SFREQ = 60, 625, 125.0
# What the biases add to a patch is about 0.1: below this SD a window hardly counts.
_SMALLEST_SD = 0.01


class ClassifierParts(nn.Module):
    """What `HybridEncoder` has as a classifier of windows, next to `encode`.

    The head is optional: without one `forward` returns what `encode` does.
    """

    n_outputs: int | None
    final_layer: MLPHead | None
    # What the encoder brings.
    n_times: int
    sfreq: float
    n_features: int
    subject_norm: str | None
    config: dict[str, Any]
    spatial: nn.Linear
    if TYPE_CHECKING:
        # Declared for type checkers alone; HybridEncoder defines and documents them.

        def encode(  # noqa: D102
            self,
            x: torch.Tensor,
            subjects: ArrayLike | None = None,
            *,
            project: bool = True,
        ) -> EncoderOutput: ...

        def set_statistics(self, statistics: NormStatistics) -> Self: ...  # noqa: D102

    def _init_head(self, n_outputs):
        """Build the head if there are outputs; the encoder is complete by now."""
        self.n_outputs, self.final_layer = None, None
        self._checked_amplitude = False
        if n_outputs is not None:
            self.reset_head(n_outputs)

    @property
    def input_window_seconds(self) -> float:
        """Length in seconds of the windows meant for this network."""
        return self.n_times / self.sfreq

    def forward(
        self,
        x: torch.Tensor,
        subjects: ArrayLike | None = None,
        *,
        project: bool = True,
        return_features: bool = False,
    ) -> EncoderOutput | torch.Tensor | dict[str, torch.Tensor | None]:
        """Encode a batch, and classify it if there is a head.

        Parameters
        ----------
        x : Tensor of shape (B, n_chans, n_times)
            Windows, amplitudes of about 1; at 125 Hz for weights of mdJPT.
        subjects : array-like of int, shape (B,), default=None
            Subject of each window.  None: one subject.  Only "subject" and the
            projector ask for it.
        project : bool, default=True
            As for `encode`; a head needs no projection.
        return_features : bool, default=False
            Whether to return features in place of what follows, as braindecode's
            networks do.

        Returns
        -------
        EncoderOutput, Tensor or dict
            Without a head, what `encode` returns.  With one, logits (B, n_outputs).
            With ``return_features``, a dict with the features (B, n_features) under
            "features" and None under "cls_token".

        Raises
        ------
        ValueError
            As in `encode`.

        Warns
        -----
        UserWarning
            Once, if there is a head and the windows' SD is below 0.01.
        """
        if return_features:
            features = self.encode(x, subjects, project=False).features
            return {"features": features, "cls_token": None}
        if self.final_layer is None:
            return self.encode(x, subjects, project=project)
        features = self.encode(x, subjects, project=False).features
        if not self._checked_amplitude:
            self._check_amplitude(x)
        return self.final_layer(features)

    def reset_head(self, n_outputs: int) -> Self:
        """Put a new head on the encoder, in place of the old one if there is one.

        Parameters
        ----------
        n_outputs : int
            Number of classes.

        Returns
        -------
        HybridEncoder
            The network itself; ``subject_norm`` and the encoder stay as they are.

        Raises
        ------
        ValueError
            If ``n_outputs`` is no positive integer.
        """
        check_sizes(n_outputs=n_outputs)
        head = MLPHead(self.n_features, int(n_outputs))
        self.n_outputs = int(n_outputs)
        self.final_layer = head.to(self.spatial.weight).train(self.training)
        return self

    @torch.no_grad()
    def load_encoder(self, encoder: HybridEncoder) -> Self:
        """Take over the weights of another network's encoder; the head stays.

        Parameters
        ----------
        encoder : HybridEncoder
            Of the same architecture, such as ``module_`` of a fitted
            `sklearn_mdjpt.MDJPTEncoder`; with or without a head.

        Returns
        -------
        HybridEncoder
            The network itself.  Statistics come along where both networks keep them.

        Raises
        ------
        ValueError
            If the architectures differ.

        Notes
        -----
        ``load_state_dict(..., strict=False)`` would pass over what does not match, and
        shapes do not tell of ``n_heads``, ``patch_stride`` and ``spatial_activation``.
        """
        wrong = [
            f"{name} is {encoder.config[name]!r}, expected {value!r}"
            for name, value in self.config.items()
            if encoder.config[name] != value
        ]
        if wrong:
            raise ValueError(
                f"The encoder has another architecture: {'; '.join(wrong)}. "
                "HybridEncoder(**encoder.config, n_outputs=...) makes a network for it."
            )
        found = dict(encoder.named_parameters())
        for name, parameter in self.named_parameters():
            if not name.startswith("final_layer."):
                parameter.copy_(found[name])
        keep = {self.subject_norm, encoder.subject_norm} <= set(KEEP_STATISTICS)
        if keep and encoder._has_statistics():
            self.set_statistics(encoder.get_statistics())
        return self

    @torch.no_grad()
    def _check_amplitude(self, x):
        """Warn, once, of windows so small that the biases are large beside them."""
        sd = float(x.float().std(-1).mean())
        if sd == 0:
            return  # tools try networks with zeros
        self._checked_amplitude = True
        if sd < _SMALLEST_SD:
            warnings.warn(
                f"Windows have an SD of {sd:.2g}, and the network expects about 1: it "
                "hardly sees them. Scale them first; volts times 1e5 are of about 1.",
                stacklevel=3,
            )


def count_channels(n_chans, chs_info):
    """Return the number of channels; None and no ``chs_info`` is the paper's."""
    if chs_info is None:
        return _N_CHANS if n_chans is None else n_chans
    if n_chans not in (None, len(chs_info)):
        raise ValueError(
            f"n_chans={n_chans!r}, but chs_info has {len(chs_info)} channels."
        )
    return len(chs_info)


def match_times(n_times, sfreq, seconds):
    """Return ``n_times`` and ``sfreq``, worked out where they are None."""
    for name, value in (("sfreq", sfreq), ("input_window_seconds", seconds)):
        if value is not None and not value > 0:
            unit = "hertz" if name == "sfreq" else "seconds"
            raise ValueError(f"{name} must be positive ({unit}), got {value!r}.")
    if seconds is None:
        n_times = _N_TIMES if n_times is None else n_times
        return n_times, _SFREQ if sfreq is None else sfreq
    if sfreq is None:
        sfreq = _SFREQ if n_times is None else n_times / seconds
    expected = round(seconds * sfreq)
    if n_times not in (None, expected):
        raise ValueError(
            f"n_times={n_times!r}, but input_window_seconds={seconds!r} at "
            f"sfreq={sfreq!r} are {expected} time steps."
        )
    return expected, sfreq
