"""BioSemi's files (BDF): the header, the trigger codes, and signals by channel name.

Samples are read by MNE.  The header is read here because it tells a file's length and
units without MNE, and the codes because MNE would read the whole file to get at them.

The layout is that of EDF (Kemp et al. 1992, doi:10.1016/0013-4694(92)90009-7) with
samples of three bytes.
"""

import os
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from .._io._signals import DecodedSignal, naming
from .._validation import list_some
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

    @cached_property
    def record_bytes(self):
        """Length of a record in bytes."""
        return _SAMPLE_BYTES * sum(self.n_samples)

    def find(self, names):
        """Return the places of channels, whatever the case of their names.

        Raises
        ------
        ValueError
            If one is missing or there twice, or their rates differ.
        """
        known = [label.upper() for label in self.labels]
        missing = [name for name in names if name.upper() not in known]
        if missing:
            raise ValueError(
                f"it lacks the channels {list_some(missing)}; it has "
                f"{list_some(filter(None, self.labels), 70)}"
            )
        doubled = [name for name in names if known.count(name.upper()) > 1]
        if doubled:
            raise ValueError(f"it has the channels {list_some(doubled)} twice")
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
    with naming(path), open(path, "rb") as file:
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
            cells = file.read(width * n_channels)
            columns[name] = [
                cells[i : i + width].decode("latin-1").strip()
                for i in range(0, width * n_channels, width)
            ]
        header = BdfHeader(
            labels=tuple(columns["label"]),
            units=tuple(columns["unit"]),
            n_samples=tuple(_number(cell, int) for cell in columns["n_samples"]),
            n_records=n_records,
            record_seconds=seconds,
            n_bytes=file.tell(),
        )
        if min(header.n_samples) < 0 or not header.record_bytes:
            raise ValueError("its header says that records are empty")
        available = os.fstat(file.fileno()).st_size - header.n_bytes
    n_there = available // header.record_bytes
    if n_records == -1:  # the recording was never closed
        return replace(header, n_records=n_there)
    with naming(path):
        if n_there < n_records:
            raise ValueError(
                f"it is cut off: it has {n_there} records, its header says {n_records}"
            )
    return header


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
    n_bytes = _SAMPLE_BYTES * header.n_samples[place]
    start = header.n_bytes + _SAMPLE_BYTES * sum(header.n_samples[:place])
    parts = []
    with naming(path), open(path, "rb", buffering=0) as file:
        for record in range(header.n_records):
            file.seek(start + record * header.record_bytes)
            parts.append(file.read(n_bytes))
    samples = np.frombuffer(b"".join(parts), np.uint8).reshape(-1, _SAMPLE_BYTES)
    return samples.astype(np.int64) @ [1, 2**8, 2**16]


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
    text = cell.decode("latin-1").strip() if isinstance(cell, bytes) else cell
    try:
        return kind(text)
    except ValueError:
        raise ValueError(
            f"its header has {text!r} where a number was expected"
        ) from None
