"""Neuroscan .cnt files: opened by their header, channels read by name.

MNE does the reading.  What it is told here is the width of a sample, which the format
does not hold and which cannot always be guessed, and whether the file is cut off.
"""

import struct
from pathlib import Path

import numpy as np

from .._validation import list_some

_HEADER_BYTES, _CHANNEL_BYTES = 900, 75
_WIDTHS = {"int32": 4, "int16": 2}
_CHUNK_SECONDS = 60


def open_cnt(path):
    """Open a file; only its header and its events are read.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    mne.io.Raw
        In volts.

    Raises
    ------
    ValueError
        If the file ends too early.
    """
    import mne

    # Not the positions of the electrodes: names tell them.
    return mne.io.read_raw_cnt(path, data_format=_data_format(path), verbose="error")


def channel_places(raw, ch_names):
    """Return the places in a Raw of channels, whatever their case.

    Raises
    ------
    ValueError
        If it lacks one of them; says what it has.
    """
    places = {name.strip().upper(): place for place, name in enumerate(raw.ch_names)}
    lacking = [name for name in ch_names if name not in places]
    if lacking:
        raise ValueError(
            f"it lacks {len(lacking)} of {len(ch_names)} EEG channels "
            f"({list_some(lacking)}); its {len(raw.ch_names)} channels are "
            f"{list_some(raw.ch_names, 70)}"
        )
    return [places[name] for name in ch_names]


def read_channels(path, ch_names):
    """Read channels of a whole file, a minute at a time.

    Parameters
    ----------
    path : path-like
        The file.
    ch_names : sequence of str
        Names in upper case, in the order wanted.

    Returns
    -------
    ndarray of shape (n_channels, n_times)
        Volts, float32.
    """
    raw = open_cnt(path)
    places = channel_places(raw, ch_names)
    signal = np.empty((len(places), raw.n_times), np.float32)
    step = round(_CHUNK_SECONDS * raw.info["sfreq"])
    for start in range(0, raw.n_times, step):
        stop = min(start + step, raw.n_times)
        # MNE returns channels in the order asked for.
        signal[:, start:stop] = raw.get_data(places, start, stop, verbose="error")
    return signal


def _data_format(path):
    """Return the width of samples; raise if the file is shorter than its header says.

    The table of events follows the samples: where it begins tells their width.
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        raise ValueError(
            f"it is no Neuroscan .cnt file: {size} bytes, expected {_HEADER_BYTES} of "
            "header alone"
        )
    n_channels = struct.unpack_from("<H", header, 370)[0]
    n_times = struct.unpack_from("<i", header, 864)[0]
    # Signed by its definition, and too small for large files.
    events = struct.unpack_from("<I", header, 886)[0]
    first = _HEADER_BYTES + n_channels * _CHANNEL_BYTES
    ends = {name: first + w * n_channels * n_times for name, w in _WIDTHS.items()}
    # Where neither fits, the count of samples is wrong, or the file has 2 GB and more:
    # the family's recordings have 32 bits.
    form = "int16" if events == ends["int16"] else "int32"
    end = max(ends[form], events if ends[form] < 2**31 else 0)
    if end > size:
        raise ValueError(f"it is cut off: {size} bytes, its header tells of {end}")
    return form
