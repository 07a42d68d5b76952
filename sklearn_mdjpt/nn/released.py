"""Names and shapes of the released checkpoints, mapped onto `HybridEncoder`'s."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANCHOR = "uni_mlp.fc.weight"
_BLOCK = re.compile(r"MLLA\.encoder\.blocks\.(\d+)\.")
_N_SCALES = 4
# Sizes that no checkpoint varies: of the MLP, and of the unused convolution's kernel.
_FIXED = {"U": 256, "L": 30}
_NOT_RELEASED = "Not the weights of a released mdJPT checkpoint."

# (released name, its shape, our name).  Letters are dimensions: C channels, V virtual
# channels, P patch size, H hidden, D latent, U hidden units of the MLP, M features of
# one dilation (D * n_filters), K all features, F and L of a convolution that nothing
# uses.  Our name is None for tensors that reach no output.
_HEAD = (
    ("uni_mlp.fc.weight", "V C", "spatial.weight"),
    ("uni_mlp.fc.bias", "V", "spatial.bias"),
    ("MLLA.encoder.read_in.weight", "H P", "channel_encoder.read_in.weight"),
    ("MLLA.encoder.read_in.bias", "H", "channel_encoder.read_in.bias"),
    ("MLLA.encoder.read_out.weight", "D H", "channel_encoder.read_out.weight"),
    ("MLLA.encoder.read_out.bias", "D", "channel_encoder.read_out.bias"),
)
_BLOCK_LAYOUT = (
    ("cpe1.weight", "H 1 3", "position1.weight"),
    ("cpe1.bias", "H", "position1.bias"),
    ("norm1.weight", "H", "norm1.weight"),
    ("norm1.bias", "H", "norm1.bias"),
    ("in_proj.weight", "H H", "in_proj.weight"),
    ("in_proj.bias", "H", "in_proj.bias"),
    ("dwc.weight", "H 1 3", "conv.weight"),
    ("dwc.bias", "H", "conv.bias"),
    ("self_attn.W_Q.weight", "H H", None),
    ("self_attn.W_Q.bias", "H", None),
    ("self_attn.W_K.weight", "H H", None),
    ("self_attn.W_K.bias", "H", None),
    ("self_attn.W_V.weight", "H H", None),
    ("self_attn.W_V.bias", "H", None),
    ("self_attn.lnr_attn.scale", "", None),
    ("self_attn.to_out.0.weight", "H H", None),
    ("self_attn.to_out.0.bias", "H", None),
    ("ff.0.weight", "U H", None),
    ("ff.0.bias", "U", None),
    ("ff.3.weight", "H U", None),
    ("ff.3.bias", "H", None),
    ("cpe2.weight", "H 1 3", None),
    ("cpe2.bias", "H", None),
    ("norm2.weight", "H", None),
    ("norm2.bias", "H", None),
    ("act_proj.weight", "H H", None),
    ("act_proj.bias", "H", None),
    ("out_proj.weight", "H H", None),
    ("out_proj.bias", "H", None),
)
_TAIL = (
    *(
        (f"cnn_encoder.msConv{i}.{kind}", shape, f"dynamics.{kind}.{i}")
        for i in range(1, _N_SCALES + 1)
        for kind, shape in (("weight", "M 1 V 3"), ("bias", "M"))
    ),
    ("cnn_encoder.att_conv.weight", "K 1 1 15", "dynamics.attention_conv.weight"),
    ("cnn_encoder.att_conv.bias", "K", "dynamics.attention_conv.bias"),
    ("cnn_encoder.att_pointConv.weight", "K K 1 1", "dynamics.mixing.weight"),
    ("cnn_encoder.att_pointConv.bias", "K", "dynamics.mixing.bias"),
    ("cnn_encoder.timeConv1.weight", "K 1 1 3", "projector.conv1.weight"),
    ("cnn_encoder.timeConv1.bias", "K", "projector.conv1.bias"),
    ("cnn_encoder.timeConv2.weight", "K 1 1 3", "projector.conv2.weight"),
    ("cnn_encoder.timeConv2.bias", "K", "projector.conv2.bias"),
    ("cnn_encoder.timeConv.weight", "F 1 1 L", None),
    ("cnn_encoder.timeConv.bias", "F", None),
)


def released_to_state_dict(
    released: Mapping[str, torch.Tensor],
    *,
    n_heads: int = 8,
    patch_stride: int = 6,
    spatial_activation: Literal["relu"] | None = "relu",
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Map the weights of a released checkpoint onto `HybridEncoder`.

    All tensors of the checkpoint must be there, and of matching shapes.  More than a
    third of them reach no output of the model that they were trained in (attention,
    forget gate and MLP of the blocks, an unused convolution): they are checked and
    dropped.

    Parameters
    ----------
    released : dict of str to Tensor
        The checkpoint's ``state_dict``.  A prefix that all names share, as wrappers
        add ("model."), is taken off.
    n_heads : int, default=8
        Attention heads; the weights do not tell, and this variant has no use for them.
    patch_stride : int, default=6
        Distance of patches, in time steps; the weights do not tell.
    spatial_activation : {"relu", None}, default="relu"
        What follows the spatial mixing; the weights do not tell.

    Returns
    -------
    state_dict : dict of str to Tensor
        For ``HybridEncoder(**config)``; loads with ``strict=True``.
    config : dict
        Constructor arguments; sizes are those of the tensors.

    Raises
    ------
    ValueError
        If tensors are missing, unexpected or of wrong shape; all are listed.

    Examples
    --------
    >>> from sklearn_mdjpt.nn import HybridEncoder, released_to_state_dict
    >>> def load(released):
    ...     state_dict, config = released_to_state_dict(released)
    ...     encoder = HybridEncoder(**config)
    ...     encoder.load_state_dict(state_dict)
    ...     return encoder
    """
    tensors = _without_prefix(released)
    layout = _layout(_depth(tensors))
    sizes = _check(tensors, layout)
    D, M, V = sizes["D"], sizes["M"], sizes["V"]
    ours = {our: tensors[name] for name, _, our in layout if our is not None}

    scales = range(1, _N_SCALES + 1)
    weights = [
        ours.pop(f"dynamics.weight.{i}")
        .reshape(D, M // D, V, 3)
        .permute(0, 3, 1, 2)  # (D, taps, filters, V)
        for i in scales
    ]
    state_dict = {
        # One-dimensional convolutions were stored as two-dimensional ones.
        name: tensor.squeeze(2) if tensor.ndim == 4 else tensor
        for name, tensor in ours.items()
        if not name.startswith("dynamics.bias.")
    }
    state_dict["dynamics.weight"] = torch.stack(weights, dim=1)
    state_dict["dynamics.bias"] = torch.cat(
        [ours[f"dynamics.bias.{i}"] for i in scales]
    )
    config = {
        "n_chans": sizes["C"],
        "variant": "released",
        "hidden_dim": sizes["H"],
        "latent_dim": D,
        "depth": _depth(tensors),
        "n_heads": n_heads,
        "patch_size": sizes["P"],
        "patch_stride": patch_stride,
        "n_filters": M // D,
        "n_virtual_channels": V,
        "spatial_activation": spatial_activation,
    }
    return state_dict, config


def released_shapes(
    *,
    n_chans: int = 60,
    n_virtual_channels: int = 64,
    hidden_dim: int = 128,
    latent_dim: int = 32,
    depth: int = 2,
    patch_size: int = 32,
    n_filters: int = 4,
) -> dict[str, tuple[int, ...]]:
    """Return the tensors of a released checkpoint by name, with their shapes.

    Parameters
    ----------
    n_chans, n_virtual_channels : int, default=60, 64
        Channels before and after the spatial mixing.
    hidden_dim, latent_dim, depth : int, default=128, 32, 2
        As for `HybridEncoder`.
    patch_size, n_filters : int, default=32, 4
        As for `HybridEncoder`.  All defaults are those of the shipped configuration,
        754,114 parameters.

    Returns
    -------
    dict of str to tuple of int
        Those that reach no output are in it, too.

    Examples
    --------
    >>> import math
    >>> from sklearn_mdjpt.nn import released_shapes
    >>> sum(math.prod(shape) for shape in released_shapes().values())
    754114
    """
    n_scale = latent_dim * n_filters
    sizes = {
        "1": 1,
        "3": 3,
        "15": 15,
        "C": n_chans,
        "V": n_virtual_channels,
        "H": hidden_dim,
        "D": latent_dim,
        "F": latent_dim,
        "P": patch_size,
        "M": n_scale,
        "K": _N_SCALES * n_scale,
    } | _FIXED
    return {
        name: tuple(sizes[letter] for letter in letters.split())
        for name, letters, _ in _layout(depth)
    }


def _without_prefix(tensors):
    """Remove the prefix of a name that every checkpoint has."""
    anchor = next((name for name in tensors if name.endswith(_ANCHOR)), _ANCHOR)
    prefix = anchor.removesuffix(_ANCHOR)
    others = [name for name in tensors if not name.startswith(prefix)]
    if others:
        raise ValueError(
            f"{_NOT_RELEASED}\nunexpected: {'; '.join(others)} (names without the "
            f"prefix {prefix!r} of the others)"
        )
    return {name.removeprefix(prefix): value for name, value in tensors.items()}


def _depth(tensors):
    numbers = [int(match[1]) for match in map(_BLOCK.match, tensors) if match]
    # Numbers may be anything in a file of another kind; a gap is reported as missing.
    return min(max(numbers, default=0) + 1, max(len(numbers), 1))


def _layout(depth):
    """All (released name, shape, our name) of a model of ``depth`` blocks."""
    blocks = tuple(
        (
            f"MLLA.encoder.blocks.{i}.{name}",
            shape,
            our and f"channel_encoder.blocks.{i}.{our}",
        )
        for i in range(depth)
        for name, shape, our in _BLOCK_LAYOUT
    )
    return _HEAD + blocks + _TAIL


def _check(tensors, layout):
    """Raise with all that is wrong, or return the size of each dimension."""
    names = {name for name, _, _ in layout}
    missing = [name for name, _, _ in layout if name not in tensors]
    unexpected = [name for name in tensors if name not in names]
    sizes, wrong = {"1": 1, "3": 3, "15": 15}, []
    for name, shape, _ in layout:
        if name not in tensors:
            continue
        found, letters = tuple(tensors[name].shape), shape.split()
        if len(found) == len(letters):
            # The first tensor with a letter says its size; K follows from M, M from D.
            for letter, size in zip(letters, found, strict=True):
                sizes.setdefault(letter, size)
            if "M" in sizes:
                sizes["K"] = _N_SCALES * sizes["M"]
            if found == tuple(sizes[letter] for letter in letters):
                continue
        expected = ", ".join(str(sizes.get(letter, letter)) for letter in letters)
        wrong.append(f"{name} ({', '.join(map(str, found))}), expected ({expected})")
    if not missing and not wrong and sizes["M"] % sizes["D"]:
        wrong.append(
            f"cnn_encoder.msConv1.weight has {sizes['M']} filters, expected a multiple "
            f"of the latent dimension {sizes['D']}"
        )
    problems = (
        ("missing", missing),
        ("unexpected", unexpected),
        ("wrong shape", wrong),
    )
    listed = "\n".join(f"{what}: {'; '.join(of)}" for what, of in problems if of)
    if listed:
        raise ValueError(f"{_NOT_RELEASED}\n{listed}")
    return sizes
