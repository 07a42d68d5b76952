"""A fitted encoder to a file and back; the end of a training beside its checkpoints."""

import torch

from .._torch import (
    check_precision,
    compile_blocks,
    plain_torch,
    resolve_device,
)
from .._validation import list_some, warn
from ..nn import HybridEncoder
from ._parameters import check_parameters, parameters_of
from ._saved import file_metadata
from ._weights import calibration_content, read_weights, write_weights


def make_module(encoder, file=None):
    """Build the network; its weights from the file if there is one."""
    names = ("feature", "subject_norm", "chunk_size")
    behaviour = {name: getattr(encoder, name) for name in names}
    if encoder.weights is None:
        config = {
            name: getattr(encoder, name) for name in parameters_of("architecture")
        }
        config["variant"] = encoder.variant or "paper"
        return HybridEncoder(**config | behaviour), None
    if file is None:
        file = read_weights(
            encoder.weights, released_activation=encoder.released_activation
        )
    if encoder.variant not in (None, file.config["variant"]):
        raise ValueError(
            f"variant={encoder.variant!r}, but {str(encoder.weights)!r} holds weights "
            f"of variant {file.config['variant']!r}; leave variant=None."
        )
    # The file replaces the initial weights: torch's global generator need not
    # change for them.
    with torch.random.fork_rng(devices=[]):
        module = HybridEncoder(**file.config | behaviour)
    # Not strict: the file holds parameters, and statistics are buffers.
    module.load_state_dict(file.state_dict, strict=False)
    for name in ("window_norm", "subject_norm"):
        stored = file.parameters.get(name, getattr(encoder, name))
        if stored != getattr(encoder, name):
            warn(
                f"{str(encoder.weights)!r} was trained with {name}={stored!r}, but "
                f"{name}={getattr(encoder, name)!r} is set."
            )
    return module, file


def save_encoder(encoder, path, seen, calibrations):
    """Write a fitted encoder, as `MDJPTEncoder.save` does.

    Parameters
    ----------
    encoder : MDJPTEncoder
        Fitted.
    path : path-like
        The file.
    seen : Seen
        Whom the file says that the weights were trained on.
    calibrations : dict of str to Calibration
        The calibrated people that the file holds.
    """
    module = encoder.module_
    extra, of_people = calibration_content(calibrations)
    if encoder.mean_ is not None:
        extra |= {"mean": torch.from_numpy(encoder.mean_)}
        extra |= {"scale": torch.from_numpy(encoder.scale_)}
    if module.subject_norm == "train":
        statistics = module.get_statistics()
        extra |= {f"statistics.{k}": v for k, v in statistics._asdict().items()}
    metadata = file_metadata(encoder._fitted_parameters, seen, encoder.history_)
    metadata |= of_people
    write_weights(path, dict(module.named_parameters()), module.config, extra, metadata)


def load_encoder(cls, path, overrides):
    """Read what `save_encoder` wrote, as `MDJPTEncoder.load` does."""
    file = read_weights(path)
    if not file.parameters:
        raise ValueError(
            f"{str(path)!r} is a released checkpoint and holds no fitted encoder; "
            "use MDJPTEncoder(weights=path).fit(X)."
        )
    fixed = (*parameters_of("stored"), *parameters_of("architecture"), "weights")
    clash = [name for name in overrides if name in fixed]
    if clash:
        raise ValueError(
            f"Set by the file, and not to be overridden: {list_some(clash)}. (The "
            "normalisation and the feature can be changed in "
            "MDJPTEncoder(weights=path, ...).fit(X).)"
        )
    encoder = cls(weights=path, **file.parameters | overrides)
    check_parameters(encoder)
    device = resolve_device(encoder.device)
    check_precision(encoder.precision, device)
    with plain_torch():
        module, _ = make_module(encoder, file)
        if encoder.subject_norm == "train":
            module.set_statistics(file.statistics())
        encoder.module_ = module.to(device).eval()
        if encoder.compile:
            compile_blocks(module, encoder.precision)
    encoder._fitted_parameters = file.parameters
    encoder.net_ = None
    encoder.history_ = file.history
    encoder.mean_, encoder.scale_ = file.standardization()
    encoder.interrupted_ = False
    encoder._calibrations = file.calibrations()
    encoder._set_seen(file.seen)
    encoder.n_features_out_ = module.n_features
    return encoder


def read_stored(encoder, run):
    """Return the end of the same fit, as an earlier one stored it; None if none."""
    try:
        return read_weights(run.folder / _stored_name(encoder))
    except FileNotFoundError:
        return None
    except ValueError as error:
        warn(f"{error} It is made again.")
        return None


def store_encoder(encoder, run, error):
    """Keep a fitted encoder beside its checkpoints.

    Parameters
    ----------
    encoder : MDJPTEncoder
        Fitted.
    run : Run
        The folder.
    error : FloatingPointError or None
        Why the training ended early: then these are its last good weights.
    """
    name = _stored_name(encoder)
    if error is not None:
        name = "last-good.safetensors"
    elif encoder.interrupted_:
        return
    try:
        encoder.save(run.folder / name)
    except OSError as problem:
        warn(
            f"The fitted encoder could not be written into {str(run.folder)!r} "
            f"({problem})."
        )


def _stored_name(encoder):
    kind = "standardized" if encoder.standardize else "raw"
    if encoder.precision != "float32":
        # The statistics in it are those of such features.
        kind = f"{kind}-{encoder.precision}"
    return f"encoder-{encoder.feature}-{kind}.safetensors"
