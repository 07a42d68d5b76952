"""Whole models as one graph, for programs that have neither this package nor Python."""

from __future__ import annotations

import copy
import io
import json
import logging
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .. import __version__
from .._io._files import write_file
from .._torch import plain_torch
from .._validation import (
    check_ch_names,
    check_installed,
    check_number,
    check_option,
    check_path,
    list_some,
)
from ..channels._channels import (
    CANONICAL_CHANNELS,
    CANONICAL_SFREQ,
    channel_matrix,
    site_names,
)
from ..windows._amplitude import OUTLIER_FACTOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import PathLike

FORMATS = ("onnx", "torch")
METADATA = "sklearn_mdjpt"
"""Under which name a file has its metadata, as JSON."""


class ExportedModel(nn.Module):
    """Windows as they were recorded to features, or to probabilities.

    Parameters
    ----------
    encoder : MDJPTEncoder
        Fitted.
    ch_names : tuple of str
        Channels of the windows.
    person : str or None
        A person that the encoder was calibrated to.
    head : torch.nn.Module, default=None
        From features to logits.

    Notes
    -----
    ``forward(signals)`` takes float32 (B, n_channels, n_times) at 125 Hz, in the unit
    of the training, and returns features (B, n_features) or probabilities (B,
    n_classes).
    """

    mixing: torch.Tensor
    center: torch.Tensor
    scale: torch.Tensor
    mean: torch.Tensor
    sd: torch.Tensor

    def __init__(self, encoder, ch_names, person, head=None):
        super().__init__()
        parameters = encoder._fitted_parameters
        matrix = channel_matrix(
            ch_names,
            unknown_channels=parameters["unknown_channels"],
            missing_channels=parameters["missing_channels"],
            neighbours="released" if encoder.module_.variant == "released" else "mne",
        )
        known = encoder._calibrations.get(person)
        self.network = _plain_copy(encoder.module_)
        self.head = None if head is None else _plain_copy(head)
        self.picks = np.flatnonzero(matrix.any(axis=0)).tolist()
        self.by_window = parameters["window_norm"] is not None and known is None
        center, scale = _amplitude(known, ch_names, self.picks)
        self._keep("mixing", matrix[:, self.picks])
        self._keep("center", center[:, None])
        self._keep("scale", scale)
        self._keep("mean", 0.0 if encoder.mean_ is None else encoder.mean_)
        self._keep("sd", 1.0 if encoder.scale_ is None else encoder.scale_)
        statistics = None if known is None else known.statistics
        if self.network.subject_norm is not None and statistics is None:
            statistics = self.network.get_statistics()
        self.n_statistics = 0 if statistics is None else len(statistics)
        for k in range(self.n_statistics):
            self._keep(f"statistics{k}", statistics[k])

    def _keep(self, name, value):
        self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32).cpu())

    def forward(self, signals):
        """Return features or probabilities."""
        x = signals[:, self.picks]
        x = _normalised(x) if self.by_window else (x - self.center) / self.scale
        x = self.mixing.expand(x.shape[0], -1, -1) @ x
        statistics = None
        if self.n_statistics:
            names = (f"statistics{k}" for k in range(self.n_statistics))
            statistics = tuple(getattr(self, name) for name in names)
        z = self.network.encode_channels(x)
        features = (self.network.features_from(z, statistics) - self.mean) / self.sd
        return features if self.head is None else self.head(features).softmax(dim=1)


class ExportsGraph:
    """The method of `MDJPTEncoder` that writes it as a graph."""

    def export(
        self,
        path: PathLike,
        format: Literal["onnx", "torch"] = "onnx",
        *,
        ch_names: Sequence[str] | None = None,
        window_seconds: float = 5.0,
        subject: str | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write the fitted encoder as a graph that runs without this package.

        The graph takes windows as they were recorded, at 125 Hz, and returns what
        `transform` returns for each by itself: amplitude, canonical channels, z-scores
        and standardisation are inside.

        Parameters
        ----------
        path : str or path-like
            The file.
        format : {"onnx", "torch"}, default="onnx"
            "onnx" for onnxruntime and others (extra ``onnx``), "torch" for
            `torch.export.load`.
        ch_names : sequence of str, default=None
            Channels of the windows, in their order; None: the 60 canonical ones.
        window_seconds : float, default=5.0
            Length of the windows.  Their number is free.
        subject : str, default=None
            "dataset/subject" of a person that the encoder is calibrated to: the file
            is for this person.  None: the only one, or, with ``subject_norm`` "train"
            or None, nobody; with ``window_norm="robust"`` each window then has its own
            amplitude, as windows in arrays have.
        overwrite : bool, default=False
            Whether to replace a file.

        Raises
        ------
        ValueError
            If windows of a person would depend on each other, as with
            ``subject_norm="subject"`` and no calibration; if the channels are not those
            of the calibration, or the windows are too short.
        FileExistsError
            If the file is there, without ``overwrite``.
        ImportError
            Without the packages of the extra ``onnx``.

        See Also
        --------
        calibrate : Fixes the statistics of a person.

        Notes
        -----
        Metadata lie in the file as JSON, under "sklearn_mdjpt": channels, rate, length,
        person, output.
        """
        export_model(
            self, path, kind=format, ch_names=ch_names, subject=subject,
            window_seconds=window_seconds, overwrite=overwrite,
        )  # fmt: skip


def export_model(
    encoder: Any,
    path: PathLike,
    *,
    kind: str,
    ch_names: Sequence[str] | None,
    window_seconds: float,
    subject: str | None,
    overwrite: bool,
    head: nn.Module | None = None,
    classes: np.ndarray | None = None,
) -> None:
    """Write an encoder, with a head or without, as a graph.

    Parameters
    ----------
    encoder : MDJPTEncoder
        Fitted.
    path : str or path-like
        The file.
    kind : {"onnx", "torch"}
        Its format.
    ch_names, window_seconds, subject, overwrite
        As for `MDJPTEncoder.export`.
    head : torch.nn.Module, default=None
        From features to logits.
    classes : ndarray of shape (n_classes,), default=None
        The labels of the head.
    """
    check_is_fitted(encoder, "module_")
    check_option(kind, FORMATS, "format")
    check_option(overwrite, (True, False), "overwrite")
    check_number(window_seconds, "window_seconds", above=0)
    path = check_path(path, "path")
    if kind == "onnx":
        for module in ("onnx", "onnxscript"):
            what, command = "export(format='onnx')", "sklearn_mdjpt[onnx]"
            check_installed(module, what, f"pip install '{command}'")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{str(path)!r} exists; overwrite=True replaces it.")
    names = CANONICAL_CHANNELS if ch_names is None else check_ch_names(ch_names)
    n_times = round(window_seconds * CANONICAL_SFREQ)
    person = _person(encoder, subject)
    with plain_torch():
        model = ExportedModel(encoder, tuple(names), person, head).eval()
        example = torch.randn(
            2, len(names), n_times, generator=torch.Generator().manual_seed(0)
        )
        example = model.scale * example + model.center.mean()
        with torch.no_grad():
            model(example)  # raises, in words, on windows that are too short
        metadata = {
            "package_version": __version__,
            "input": "signals, float32 (n_windows, n_channels, n_times)",
            "output": "features" if head is None else "probabilities",
            "ch_names": list(names),
            "sfreq": CANONICAL_SFREQ,
            "n_times": n_times,
            "person": person,
            "amplitude": "of each window" if model.by_window else "fixed",
            "classes": None if classes is None else np.asarray(classes).tolist(),
        }
        graph = _onnx_graph if kind == "onnx" else _torch_graph
        write_file(path, graph(model, example, json.dumps(metadata)))


def _person(encoder, subject):
    """Return whose calibration goes into the file; raise if nothing is fixed."""
    known = encoder.calibrated_subjects_
    if subject is not None:
        check_option(subject, tuple(known), "subject, of the people calibrated to,")
        return subject
    if len(known) > 1:
        raise ValueError(
            f"The encoder is calibrated to {len(known)} people ({list_some(known)}): "
            "say with subject= for whom the file is."
        )
    if not known and encoder.module_.subject_norm == "subject":
        raise ValueError(
            "With subject_norm='subject' a window needs the others of its person, and "
            "a graph sees one at a time. Calibrate the encoder to the person "
            "(calibrate), or fit it with subject_norm='train'."
        )
    return known[0] if known else None


def _plain_copy(module):
    module = copy.deepcopy(getattr(module, "_orig_mod", module))
    return module.cpu().float().eval().requires_grad_(False)


def _amplitude(known, ch_names, picks):
    """Return centre of each picked channel, and scale; 0 and 1 where none is fixed."""
    if known is None or known.amplitude is None:
        return np.zeros(len(picks)), 1.0
    sites = site_names(ch_names)
    used = [sites[pick] for pick in picks]
    new = [site for site in used if site not in known.amplitude.centers]
    if new:
        raise ValueError(
            f"The person was calibrated without the channels {list_some(new)}: export "
            "for the cap of the calibration, ch_names=."
        )
    centers = [known.amplitude.centers[site] for site in used]
    return np.array(centers), known.amplitude.scale


def _normalised(x):
    """Normalise each window by its own robust amplitude, (B, C, T)."""
    x = x.double()
    flat = (x == x[..., :1]).all(dim=-1, keepdim=True)
    x = torch.where(flat, torch.zeros_like(x), x - x.mean(dim=-1, keepdim=True))
    magnitude = x.abs().flatten(1)
    n_flat = (magnitude == 0).sum(dim=1, keepdim=True)
    # The median of what moves; its place depends on how much does not.
    ordered = magnitude.sort(dim=1).values
    n = magnitude.shape[1]
    low, high = (n_flat + n - 1) // 2, (n_flat + n) // 2
    high = high.clamp(max=n - 1)
    median = (ordered.gather(1, low.clamp(max=n - 1)) + ordered.gather(1, high)) / 2
    inside = (magnitude < OUTLIER_FACTOR * median).to(x.dtype)[:, :, None]
    values = x.flatten(1)[:, :, None]
    count = inside.sum(dim=1, keepdim=True).clamp(min=1)
    center = (values * inside).sum(dim=1, keepdim=True) / count
    variance = ((values - center).square() * inside).sum(dim=1, keepdim=True) / count
    scale = variance.sqrt()
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return ((x - center) / scale).float()


def _dynamic():
    return ({0: torch.export.Dim("n_windows", min=1)},)


def _torch_graph(model, example, metadata):
    with torch.no_grad():
        program = torch.export.export(model, (example,), dynamic_shapes=_dynamic())
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={f"{METADATA}.json": metadata})
    return file.getvalue()


def _onnx_graph(model, example, metadata):
    import onnx

    log = logging.getLogger("torch.onnx")
    level = log.level
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's exporter, about itself
        log.setLevel(logging.ERROR)
        try:
            program = torch.onnx.export(
                model, (example,), dynamo=True, dynamic_shapes=_dynamic(),
                verbose=False, input_names=["signals"],
                output_names=[json.loads(metadata)["output"]], external_data=False,
            )  # fmt: skip
        finally:
            log.setLevel(level)
    proto = program.model_proto
    onnx.helper.set_model_props(proto, {METADATA: metadata})
    return proto.SerializeToString()
