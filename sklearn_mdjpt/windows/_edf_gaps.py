"""Gaps in discontinuous EDF+ and BDF+ files, which MNE reads as if there were none.

The layout is that of EDF+ (Kemp and Olivan 2003, doi:10.1016/S1388-2457(03)00123-8):
each record of a file says in its first annotation when it began.
"""

import os
import re
from pathlib import Path

import numpy as np

from .._validation import warn

_SAMPLE_BYTES = {"EDF+D": 2, "BDF+D": 3}
# For each channel: what is in the header before the number of its samples.
_BEFORE_N_SAMPLES = 216
# A time and what ends it take less.
_TIME_BYTES = 48
_TIME = re.compile(rb"\0*([+-]?\d+(?:\.\d*)?)\x14")
# Onsets are text, and may be rounded to milliseconds.
_ROUNDING = 0.002


def refuse_gaps(raw):
    """Raise where an `mne.io.Raw` was read across a gap of its file.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Files of other kinds than EDF+D and BDF+D, and those that are gone, pass.

    Raises
    ------
    ValueError
        Naming the file and its first gap.

    Warns
    -----
    UserWarning
        If the file is said to have gaps, but not where.
    """
    paths = [Path(path) for path in raw.filenames if path is not None]
    for path in paths:
        if path.suffix.lower() not in (".edf", ".bdf") or not path.is_file():
            continue
        kind, gaps = find_gaps(path)
        if not gaps:
            continue
        after, missing = gaps[0]
        whole = len(raw.filenames) > 1
        if not whole and (raw.last_samp + 1) / raw.info["sfreq"] <= after + _ROUNDING:
            continue
        further = f" There are {len(gaps) - 1} further gaps." * (len(gaps) > 1)
        what = "are missing" if missing > 0 else "were recorded twice"
        raise ValueError(
            f"{path} is discontinuous ({kind}): {abs(missing):g} s {what} after "
            f"{after:g} s of signal.{further} MNE reads the records as if there were "
            "no gap, so that signals no longer lie where events say. Crop it before "
            f"the gap (raw.crop(tmax={after:g}, include_tmax=False)), or write each "
            "stretch between gaps to a continuous file (EDF+C) and read these."
        )


def find_gaps(path):
    """Find the gaps in a file.

    Parameters
    ----------
    path : path-like
        An EDF or BDF file.

    Returns
    -------
    kind : str
        What the header says: "EDF+D" and "BDF+D" may have gaps.
    gaps : list of (float, float)
        Seconds of signal before each gap, and its length in seconds, which is negative
        where a record begins before the last one has ended.
    """
    with open(path, "rb") as file:
        first = file.read(256)
        kind = first[192:197].decode("latin-1")
        if kind not in _SAMPLE_BYTES:
            return kind, []
        n_channels = int(first[252:256])
        labels = np.frombuffer(file.read(16 * n_channels), "S16")
        file.seek(256 + _BEFORE_N_SAMPLES * n_channels)
        n_samples = np.frombuffer(file.read(8 * n_channels), "S8").astype(int)
    notes = np.char.endswith(np.char.strip(labels), b" Annotations")
    seconds = float(first[244:252])
    if not seconds > 0 or notes.all():
        return kind, []  # annotations only
    if not notes.any():
        _warn_of_unknown(path, kind)
        return kind, []
    begins = _read_begins(path, int(first[184:192]), _SAMPLE_BYTES[kind] * n_samples,
                          np.flatnonzero(notes)[0])  # fmt: skip
    known = np.flatnonzero(~np.isnan(begins))
    if not len(known):
        _warn_of_unknown(path, kind)
        return kind, []
    off = np.diff(begins[known]) - np.diff(known) * seconds
    grace = max(_ROUNDING, seconds / n_samples[~notes].max())
    return kind, [
        (float(known[k + 1] * seconds), round(float(off[k]), 6))
        for k in np.flatnonzero(np.abs(off) > grace)
    ]


def _read_begins(path, n_header, n_bytes, channel):
    """Return when each record began, in seconds, NaN where it does not say so."""
    n_records = (os.path.getsize(path) - n_header) // n_bytes.sum()
    if not n_records:
        return np.zeros(0)
    records = np.memmap(path, np.uint8, "r", n_header, (n_records, n_bytes.sum()))
    start = n_bytes[:channel].sum()
    texts = records[:, start : start + min(_TIME_BYTES, n_bytes[channel])]
    times = [_TIME.match(text.tobytes()) for text in texts]
    return np.array([np.nan if time is None else float(time[1]) for time in times])


def _warn_of_unknown(path, kind):
    warn(
        f"{str(path)!r} may have gaps ({kind}), but its records do not say when they "
        "began: it is read as if there were none."
    )
