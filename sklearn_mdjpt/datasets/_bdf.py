"""BioSemi's files (BDF): the header, the trigger codes, and signals by channel name.

Samples are read by MNE.  The header is read here because it tells a file's length and
units without MNE, and the codes because MNE would read the whole file to get at them.

The layout is that of EDF (Kemp et al. 1992, doi:10.1016/0013-4694(92)90009-7) with
samples of three bytes.
"""

import os
from dataclasses import dataclass
from functools import partial

import numpy as np

from .._io._signals import DecodedSignal
from .._validation import list_some
from ..channels._channels import ALIASES
from ..windows._edf_gaps import refuse_gaps
from ..windows._recording import Recording

_SAMPLE_BYTES = 3
_CHUNK_SECONDS = 60
UNITS_KNOWN_TO_MNE = ("uV", "\xb5V", "\x83\xcaV", "mV")
"""Units, decoded as Latin-1, that MNE turns into volts."""

# Bytes of the header's fields, for each channel, in the file's order.
_FIELDS = {
    "label": 16, "transducer": 80, "unit": 8, "physical_min": 8, "physical_max": 8,
    "digital_min": 8, "digital_max": 8, "filters": 80, "n_samples": 8, "reserved": 32,
}  # fmt: skip


@dataclass(frozen=True)
class BdfHeader:
    """What the header of a file says.

    Attributes
    ----------
    labels, units : tuple of str
        Name and physical unit of each channel.
    n_samples : tuple of int
        Samples of each channel in one record.
    n_records : int
        Number of records.
    record_seconds : float
        Length of a record.
    n_bytes : int
        Length of the header.
    """

    labels: tuple
    units: tuple
    n_samples: tuple
    n_records: int
    record_seconds: float
    n_bytes: int

    def find(self, names):
        """Return the places of channels, whatever the case of their names.

        Electrodes are found by their old names, too ("T3" for "T7").

        Raises
        ------
        ValueError
            If one is missing or there twice, or their rates differ.
        """
        known = [ALIASES.get(label.upper(), label.upper()) for label in self.labels]
        lacking = [name for name in names if name.upper() not in known]
        doubled = [name for name in names if known.count(name.upper()) > 1]
        if lacking or doubled:
            raise ValueError(
                f"it lacks the channels {list_some(lacking) or 'none'}; it has twice "
                f"{list_some(doubled) or 'none'}; its channels are "
                f"{list_some(filter(None, self.labels), 70)}"
            )
        places = [known.index(name.upper()) for name in names]
        if len({self.n_samples[place] for place in places}) > 1:
            raise ValueError("its EEG channels differ in their sampling rates")
        return places

    def sfreq(self, place):
        """Return a channel's sampling rate in hertz."""
        return self.n_samples[place] / self.record_seconds

    def n_times(self, place):
        """Return the number of a channel's samples."""
        return self.n_samples[place] * self.n_records


def read_bdf_header(path):
    """Read the header of a BDF file.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    BdfHeader

    Raises
    ------
    ValueError
        If it is no such file, or shorter than the header says.
    FileNotFoundError
        If there is no such file.
    """
    with open(path, "rb") as file:
        first = file.read(256)
        if len(first) < 256 or first[:8] != b"\xffBIOSEMI":
            raise ValueError("it is no BDF file")
        n_records, n_channels = _number(first[236:244], int), _number(first[252:], int)
        seconds = _number(first[244:252], float)
        if n_channels < 1 or not seconds > 0:
            raise ValueError(
                f"its header says {n_channels} channels and records of {seconds:g} s"
            )
        columns = {}
        for name, width in _FIELDS.items():
            cells = np.frombuffer(file.read(width * n_channels), f"S{width}")
            columns[name] = [cell.decode("latin-1").strip() for cell in cells]
        n_bytes = file.tell()
        available = file.seek(0, os.SEEK_END) - n_bytes
    n_samples = tuple(_number(cell, int) for cell in columns["n_samples"])
    if len(n_samples) < n_channels or min(n_samples) < 0 or not any(n_samples):
        raise ValueError("its header is cut off, or says that records are empty")
    n_there = available // (_SAMPLE_BYTES * sum(n_samples))
    if n_records == -1:  # the recording was never closed
        n_records = n_there
    if n_there < n_records:
        raise ValueError(
            f"it is cut off: it has {n_there} records, its header says {n_records}"
        )
    labels, units = tuple(columns["label"]), tuple(columns["unit"])
    return BdfHeader(labels, units, n_samples, n_records, seconds, n_bytes)


def read_bdf_codes(path, header, place):
    """Read a channel as the integers that were recorded.

    Parameters
    ----------
    path : path-like
        The file; only this channel's bytes are read.
    header : BdfHeader
        As read from it.
    place : int
        Which channel.

    Returns
    -------
    ndarray of int, shape (n_times,)
        Unsigned, 24 bits.
    """
    shape = header.n_records, sum(header.n_samples), _SAMPLE_BYTES
    records = np.memmap(path, np.uint8, "r", header.n_bytes, shape)
    start = sum(header.n_samples[:place])
    samples = records[:, start : start + header.n_samples[place]]
    return samples.reshape(-1, _SAMPLE_BYTES).astype(np.int64) @ [1, 2**8, 2**16]


def make_bdf_recording(path, header, places, ch_names, *, factors=1.0, **others):
    """Make the recording of some channels of a file.

    Parameters
    ----------
    path : path-like
        The file.
    header : BdfHeader
        As read from it.
    places : sequence of int
        The channels, which have one rate.
    ch_names : sequence of str
        Their names in the recording.
    factors : float or sequence of float, default=1.0
        As for `decode_bdf`.
    **others
        As for `Recording`.

    Returns
    -------
    Recording
    """
    labels = tuple(header.labels[place] for place in places)
    decode = partial(decode_bdf, labels=labels, factors=factors)
    signal = DecodedSignal(path, (len(places), header.n_times(places[0])), decode)
    return Recording(signal, ch_names, header.sfreq(places[0]), **others)


def decode_bdf(path, labels, factors=1.0):
    """Read channels with MNE.

    Parameters
    ----------
    path : path-like
        The file.
    labels : sequence of str
        Names of the channels, as the file spells them.
    factors : float or sequence of float, default=1.0
        What MNE's numbers are multiplied by, one for each channel or for all.

    Returns
    -------
    ndarray of shape (n_channels, n_times)
        Float32, in volts, the channels in the order of `labels`.
    """
    import mne

    raw = mne.io.read_raw_bdf(path, include=list(labels), verbose="error")
    refuse_gaps(raw)
    picks = [raw.ch_names.index(label) for label in labels]
    signal = np.empty((len(picks), raw.n_times), np.float32)
    factors = np.reshape(factors, (-1, 1))
    # A piece at a time: MNE reads float64.
    step = max(1, round(_CHUNK_SECONDS * raw.info["sfreq"]))
    for start in range(0, raw.n_times, step):
        piece = raw.get_data(picks, start, min(start + step, raw.n_times))
        signal[:, start : start + step] = factors * piece
    return signal


def _number(cell, kind):
    text = cell if isinstance(cell, str) else cell.decode("latin-1").strip()
    try:
        return kind(text)
    except ValueError:
        raise ValueError(
            f"its header has {text!r} where a number was expected"
        ) from None
