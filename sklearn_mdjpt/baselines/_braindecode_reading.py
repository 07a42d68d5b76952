"""How networks of braindecode read windows, and how they are pickled."""

from __future__ import annotations

import numpy as np
import torch

from .._torch import plain_torch, resolve_device, torch_threads
from .._validation import (
    check_number,
    check_option,
    list_some,
    merge_rates,
    name_windows,
    show_rates,
    warn,
)
from ..channels._channels import CANONICAL_CHANNELS
from ..channels._montage import ChosenChannels, CommonChannels
from ..windows._inputs import as_windows, is_array
from ..windows._mne import head_montage
from ..windows._reader import CanonicalReader
from ._braindecode_net import rebuild

# Networks are designed for inputs with an SD of about 1, or for microvolts.
_PLAUSIBLE_SD = (1e-3, 1e4)
_AMPLITUDE_WINDOWS = 32


class PicklesNetwork:
    """Base of estimators whose ``module_`` was built from ``_network``.

    torch pickles no modules with constraints on their weights, as EEGNet has: a pickle
    holds the class, its arguments and the tensors.
    """

    def __sklearn_is_fitted__(self):
        return hasattr(self, "module_")

    def __getstate__(self):
        state = super().__getstate__()
        if "module_" not in state:
            return state
        tensors = {k: v.detach().cpu() for k, v in self.module_.state_dict().items()}
        return state | {"module_": tensors}

    def __setstate__(self, state):
        state = dict(state)
        tensors = state.pop("module_", None)
        super().__setstate__(state)
        if tensors is not None:
            try:
                device = resolve_device(self.device)
            except ValueError:
                device = "cpu"  # the GPU stayed behind
            with plain_torch():
                self.module_ = rebuild(*self._network, tensors).to(device)


def windows_of(X, ch_names, sfreq):
    """Return X as EEGWindows, and whether the names of its channels are known."""
    named = True
    shape = getattr(X, "shape", ())
    if ch_names is None and is_array(X) and len(shape) == 3:
        named = shape[1] == len(CANONICAL_CHANNELS)
        ch_names = None if named else [f"ch{i}" for i in range(shape[1])]
    windows = as_windows(X, ch_names=ch_names, sfreq=sfreq)
    return windows, named


def read_for_network(estimator, windows, named):
    """Return how a network is to read windows.

    Parameters
    ----------
    estimator : estimator
        With the parameters channels, sfreq, window_norm and scale.
    windows : EEGWindows
        What it is fitted to.
    named : bool
        Whether the names of their channels are known.

    Returns
    -------
    reading : dict
        Arguments of `NetworkReader`.
    reader : NetworkReader
        Of these windows.
    size : dict
        n_chans, n_times, sfreq, and chs_info if the channels have names.
    ch_names : tuple of str or None
        The channels.
    """
    if isinstance(estimator.channels, str):
        channels = CommonChannels(windows, estimator.channels)
    else:
        channels = ChosenChannels(estimator.channels, windows)
    sfreq = estimator.sfreq
    reading = {
        "channels": channels,
        "sfreq": _one_rate(windows) if sfreq is None else float(sfreq),
        "window_norm": estimator.window_norm,
        "scale": float(estimator.scale),
    }
    reader = NetworkReader(windows, **reading)
    _warn_of_amplitude(reader, len(windows))
    size = {
        "n_chans": reader.n_channels,
        "n_times": reader.length,
        "sfreq": reader.sfreq,
    }
    if named:
        size["chs_info"] = _channel_info(channels, windows, reader.sfreq)
    return reading, reader, size, channels.names if named else None


def read_again(estimator, windows):
    """Return the reader of further windows; raise if their length is another one."""
    reader = NetworkReader(windows, **estimator._reading)
    if reader.length != estimator.n_times_:
        raise ValueError(
            f"X has windows of {reader.length} samples at {estimator.sfreq_:g} Hz, but "
            f"the network was fitted with {estimator.n_times_}; they are neither "
            "cropped nor padded."
        )
    return reader


def run_network(estimator, X, function, what):
    """Run the network of a fitted estimator on windows, in batches.

    Parameters
    ----------
    estimator : estimator
        Fitted; with the parameters ch_names, sfreq, batch_size and torch_threads.
    X : windows
        As its methods take them.
    function : callable
        Takes a batch (n, n_channels, n_times), and returns a tensor (n, n_outputs).
    what : str
        What it returns, for messages.

    Returns
    -------
    Tensor of shape (n_windows, n_outputs)
        On the CPU.

    Raises
    ------
    ValueError
        If some of it is not finite; the message names the windows.
    """
    windows, _ = windows_of(X, estimator.ch_names, estimator.sfreq)
    reader = read_again(estimator, windows)
    device = next(estimator.module_.parameters()).device
    parts = []
    with plain_torch(), torch_threads(estimator.torch_threads), torch.no_grad():
        for rows in torch.arange(len(windows)).split(estimator.batch_size):
            x = torch.from_numpy(reader.read(rows.numpy())).to(device)
            parts.append(function(x).cpu())
    found = torch.cat(parts)
    bad = np.flatnonzero(~torch.isfinite(found).all(dim=1).numpy())
    if len(bad):
        raise ValueError(
            f"The network's {what} not finite for {len(bad)} windows: "
            f"{name_windows(bad, windows.metadata)}."
        )
    return found


def check_reading_parameters(estimator):
    """Raise on parameters that are out of range, before any work is done."""
    params = estimator.module_params
    if params is not None and not isinstance(params, dict):
        raise TypeError(
            f"module_params must be a dict of arguments of the network, got {params!r}."
        )
    if isinstance(estimator.channels, str):
        check_option(estimator.channels, ("auto", "canonical"), "channels")
    elif not isinstance(estimator.channels, list | tuple | np.ndarray):
        raise TypeError(
            "channels must be 'auto', 'canonical' or a list of names, got "
            f"{estimator.channels!r}."
        )
    check_number(estimator.sfreq, "sfreq", none=True, above=0)
    check_option(estimator.window_norm, ("robust", None), "window_norm")
    check_number(estimator.scale, "scale", above=0)


class NetworkReader(CanonicalReader):
    """Reads windows of one length, multiplied by ``scale``; checks them when made."""

    def __init__(self, windows, *, scale, **settings):
        super().__init__(windows, per_window=True, **settings)
        self._scale = scale
        self.check()
        lengths = np.unique(self.n_times)
        if len(lengths) > 1:
            raise ValueError(
                f"X has windows of several lengths ({list_some(lengths)} samples at "
                f"{self.sfreq:g} Hz), but a network takes one; they are neither "
                "cropped nor padded."
            )
        self.length = int(lengths[0])

    def read(self, rows):
        """Return windows (n, n_channels, length) in float32."""
        x = super().read(rows)
        return x if self._scale == 1 else x * np.float32(self._scale)


def _one_rate(windows):
    found = merge_rates(source.sfreq for source in windows.recordings)
    rates = sorted(set(found.values()))
    if len(rates) > 1:
        raise ValueError(
            f"X has several sampling rates ({list_some(show_rates(rates))} Hz); set "
            "sfreq= to the rate of the network's input."
        )
    return rates[0]


def _warn_of_amplitude(reader, n_windows):
    """Warn if the amplitude is far from what networks are made for."""
    rows = np.unique(np.linspace(0, n_windows - 1, _AMPLITUDE_WINDOWS).astype(int))
    sd = float(np.median(reader.read(rows).std(axis=2)))
    low, high = _PLAUSIBLE_SD
    if not low <= sd <= high:
        warn(
            f"The network gets windows with an SD of {sd:.2g}; networks are made for "
            "an SD of about 1, or for microvolts. With window_norm=None, scale=1e6 "
            "turns volts into microvolts."
        )


def _channel_info(channels, windows, sfreq):
    """Return channels as MNE's ``info["chs"]``, with their positions if known."""
    import mne

    positions = None
    if not channels.maps:
        source = windows.recordings[0]
        if source.positions is not None:
            matrix = channels.matrix(source)
            order = slice(None) if matrix is None else matrix.argmax(axis=1)
            positions = source.positions[order]
    info = mne.create_info(list(channels.names), sfreq, "eeg", verbose="error")
    montage = head_montage(channels.names, positions)
    if montage is not None:
        info.set_montage(montage, on_missing="ignore", verbose="error")
    return info["chs"]
