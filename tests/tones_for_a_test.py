"""Signals that tell where they come from, and pickles as Python 2 writes them.

A channel has its own frequency, a stimulus its own amplitude and a subject its own
phase: what is swapped, shifted, scaled or mistaken for another is no longer equal.
"""

import pickle
import struct

import numpy as np

_NAMES = (
    "A1 A2 AF3 AF4 C3 C4 CP1 CP2 CP5 CP6 CZ F3 F4 F7 F8 FC1 FC2 FC5 FC6 FP1 FP2 FZ O1 "
    "O2 OZ P3 P4 P7 P8 PO3 PO4 PZ T7 T8"
).split()
_OLD_NAMES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}


def tones(names, stimulus, subject, times):
    """Return (n_channels, n_times) in volts; times in seconds from the trial's start.

    Names that are no electrode's give 1 mV.
    """
    rows = []
    for name in names:
        name = _OLD_NAMES.get(name.upper(), name.upper())
        if name in _NAMES:
            freq = 2 + 0.7 * _NAMES.index(name)
            phase = 0.2 * int(subject)
            amplitude = (10 + int(stimulus)) * 1e-6
            rows.append(amplitude * np.sin(2 * np.pi * freq * times + phase))
        else:
            rows.append(np.full(len(times), 1e-3))
    return np.array(rows)


def check_tones(X, windows=None, atol=2e-10, shift=0.0):
    """Check windows against what was written for them."""
    rows = range(len(X)) if windows is None else windows
    table = X.metadata
    for i in rows:
        row = table.iloc[i]
        window = X[i]
        times = row["onset"] + shift + np.arange(window.shape[1]) / X.sfreq
        expected = tones(X.ch_names, row["stimulus"], row["subject"], times)
        np.testing.assert_allclose(window, expected, rtol=2e-6, atol=atol)


def python2_pickle(content):
    """Pickle an array, or a dict of arrays, with Python 2's protocol 2."""
    if isinstance(content, dict):
        items = b"".join(_text(name) + _array(array) for name, array in content.items())
        return b"\x80\x02}(" + items + b"u."
    return b"\x80\x02" + _array(content) + b"."


def _text(text):
    data = text.encode() if isinstance(text, str) else text
    return b"U" + bytes([len(data)]) + data


def _array(array):
    array = np.ascontiguousarray(array)
    shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in array.shape) + b"t"
    samples = b"T" + struct.pack("<i", array.nbytes) + array.tobytes()
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
        + (_text("b") + b"\x87R(K\x01" + shape + b"cnumpy\ndtype\n")
        + (_text(array.dtype.str[1:]) + b"K\x00K\x01\x87R(K\x03" + _text("<"))
        + (b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + samples + b"tb")
    )


class Evil:
    """Pickles to a call."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def dump(path, content, protocol=4):
    """Write a pickle, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path
