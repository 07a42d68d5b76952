"""The parameters of MDJPTEncoder: their checks, and what depends on each.

A new parameter is one entry here, beside the constructor and its docstring; checks,
fingerprints and what a file stores follow.  What it does is elsewhere: the loss and the
optimiser are set up in `_pretrain`, the network in `nn.HybridEncoder` (whose sizes
`_weights` checks), batches in `_pairs`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from .._torch import PRECISIONS
from .._validation import check_number, check_option, check_path, home_hint
from ._callbacks import copy_callbacks
from ._weights import STORED_PARAMETERS as STORED

if TYPE_CHECKING:
    from collections.abc import Callable


class Parameter(NamedTuple):
    """The check of a parameter, and the groups that it belongs to.

    Attributes
    ----------
    check : callable or None
        Takes value and name, and raises on what will not do.  None: whoever uses the
        value checks it (the network, the channel matrix, the windows).
    groups : tuple of str
        ``"architecture"``: makes up the network.  ``"stored"``: a weights file keeps
        it beside the network.  ``"training"``: the weights depend on it.
        ``"transform"``: the features of an encoder with given weights depend on it.
        ``"speed"``: no more than speed, or what is printed, depends on it.
    """

    check: Callable | None
    groups: tuple[str, ...]


def _option(*options):
    return lambda value, name: check_option(value, options, name)


def _number(**bounds):
    return lambda value, name: check_number(value, name, **bounds)


def _check_weights(value, name):
    if value is not None:
        check_path(value, name)


def _check_folder(value, name):
    if value is None:
        return
    folder = check_path(value, name)
    if home_hint(folder):
        raise ValueError(
            f"{name}={str(folder)!r} would make a folder of that name."
            f"{home_hint(folder)}"
        )
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(
            errno.ENOTDIR, f"{name} must be a folder, got a file", str(folder)
        )


def _check_callbacks(value, name):
    copy_callbacks(value)  # raises where one is no callback


def _check_accelerate(value, name):
    if not isinstance(value, bool | dict):
        raise TypeError(
            f"{name} must be a bool or a dict of arguments of "
            f"accelerate.Accelerator, got {value!r}."
        )


_FLAG = _option(True, False)
_COUNT = _number(whole=True, least=1)
_COUNT_OR_NONE = _number(whole=True, least=1, none=True)
_POSITIVE = _number(above=0)
_NOT_NEGATIVE = _number(least=0)
_PAIRINGS = ("stimulus", "stimulus-any-onset", "label")


def _parameter(name, check, groups):
    """Return an entry; a weights file defines the values of what it keeps."""
    if name in STORED:
        return Parameter(_option(*STORED[name]), ("stored", *groups.split()))
    return Parameter(check, tuple(groups.split()))


# In the order of the constructor, which is also that of a training's fingerprint.
PARAMETERS = {
    name: _parameter(name, check, groups)
    for name, check, groups in (
        ("weights", _check_weights, "transform"),
        ("finetune", None, "transform"),
        ("variant", _option(None, "paper", "released", "transformer"), "transform"),
        ("ch_names", None, "transform"),
        ("sfreq", None, "transform"),
        ("unknown_channels", None, "training transform"),
        ("missing_channels", None, "training transform"),
        ("window_norm", None, "training transform"),
        ("subject_norm", None, "training transform"),
        ("feature", None, "transform"),
        ("standardize", None, "transform"),
        ("hidden_dim", None, "architecture"),
        ("latent_dim", None, "architecture"),
        ("depth", None, "architecture"),
        ("n_heads", None, "architecture"),
        ("patch_size", None, "architecture"),
        ("patch_stride", None, "architecture"),
        ("n_filters", None, "architecture"),
        ("temperature", _POSITIVE, "training"),
        ("isa_weight", _NOT_NEGATIVE, "training"),
        ("cda_weight", _NOT_NEGATIVE, "training"),
        ("cda_scale", _option("trace", "none"), "training"),
        ("pairing", _option(*_PAIRINGS), "training"),
        ("subjects_per_batch", _number(whole=True, least=2), "training"),
        ("max_epochs", _number(whole=True, least=0), "training"),
        ("batches_per_epoch", _COUNT, "training"),
        ("lr", _POSITIVE, "training"),
        ("weight_decay", _NOT_NEGATIVE, "training"),
        ("batch_size", _COUNT, "speed"),
        ("chunk_size", _COUNT_OR_NONE, "speed"),
        ("compile", _FLAG, "speed"),
        ("checkpoint_dir", _check_folder, "speed"),
        ("checkpoint_every", _COUNT, "speed"),
        # It includes mixed precision, which makes other weights.
        ("accelerate", _check_accelerate, ""),
        ("device", None, "speed"),
        # What a training computes in is mixed precision too, its own or Accelerate's.
        ("precision", _option(*PRECISIONS), "transform"),
        ("torch_threads", _COUNT_OR_NONE, "speed"),
        # The fingerprint of a training reads the code of the callbacks instead.
        ("callbacks", _check_callbacks, ""),
        ("released_activation", _option("relu", None), "transform"),
        # The fingerprint of a training has the seeds that are drawn from it.
        ("random_state", None, ""),
        ("verbose", None, "speed"),
    )
}


def parameters_of(group):
    """Return the names of a group's parameters, in the order of the constructor."""
    return tuple(name for name, one in PARAMETERS.items() if group in one.groups)


def check_parameters(encoder):
    """Raise on parameters that are out of range, before any work is done."""
    for name, one in PARAMETERS.items():
        if one.check is not None:
            one.check(getattr(encoder, name), name)
    settings = encoder.accelerate if isinstance(encoder.accelerate, dict) else {}
    other = settings.get("mixed_precision")
    if encoder.precision != "float32" and other not in (None, encoder.precision):
        raise ValueError(
            f"precision={encoder.precision!r} and accelerate={{'mixed_precision': "
            f"{other!r}}} contradict each other; leave one of them out."
        )
    if encoder.finetune and encoder.weights is None:
        raise ValueError("finetune=True needs weights to start from.")
