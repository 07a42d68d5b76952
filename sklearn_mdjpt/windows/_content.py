"""What counts of windows and recordings for a fingerprint."""

import threading
import weakref

import numpy as np
import pandas as pd

from .._identity import is_made_up
from .._io._fingerprint_arrays import array_digest
from .._io._signals import SignalInFile, map_stamp

# Of a recording: its samples and trials are hashed apart from the rest.
_OF_SIGNAL = {"_signal", "_rows", "_statistics", "_derived_from", "_file", "trials"}
_IDS = {"dataset", "subject", "session"}

# Hashing goes at about 1.5 GB/s, and files may have to be decoded.
_digests = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def without_made_up_names(columns):
    """Return metadata with numbers in place of names that datasets were given."""
    made_up = is_made_up(columns["dataset"])
    if not made_up.any():
        return columns
    codes = pd.Series(pd.factorize(columns["dataset"])[0], columns.index, dtype=object)
    return columns.assign(dataset=columns["dataset"].mask(made_up, codes))


def signals(windows):
    """Return the signals of windows for a fingerprint, without dataset and subject.

    Parameters
    ----------
    windows : EEGWindows
        All samples of their recordings count.

    Returns
    -------
    list of tuple
        Of each recording all that the samples of its windows and their amplitude
        depend on, and the place and length of each window.
    """
    return [
        (SignalOf(source), *(np.asarray(p, np.int64) for p in (rows, starts, n_times)))
        for source, rows, starts, n_times in windows.blocks()
    ]


def content_digests(windows):
    """Return what `signals` found in the recordings, without reading them again.

    Parameters
    ----------
    windows : EEGWindows
        A fingerprint of their signals has just been taken.

    Returns
    -------
    list of tuple
        Of each recording the digest of its samples, its channels and rate, and the
        place and length of each window.
    """
    found = []
    for source, *places in windows.blocks():
        with _lock:
            digest = _digests.get(source, (None, None))[1]
        about = source.ch_names, source.sfreq
        places = [np.asarray(part, np.int64) for part in places]
        found.append((digest or _content(source), *about, *places))
    return found


class SignalOf:
    """Stands for a recording in a fingerprint to which its ids make no difference.

    Parameters
    ----------
    source : Recording or WindowStack
        The recording.
    """

    def __init__(self, source):
        self.source = source

    def _fingerprint_parts(self):
        parts = signal_parts(self.source)
        return {name: part for name, part in parts.items() if name not in _IDS}


def signal_parts(source):
    """Return all that the samples of a recording and their amplitude depend on."""
    names = vars(source).keys() - _OF_SIGNAL
    parts = {name: vars(source)[name] for name in names}
    if source.trials is not None:
        # The amplitude is that of the samples inside the trials.
        parts["spans"] = source.trials[["start", "stop"]].to_numpy(float)
    return parts | {"kind": type(source).__name__, "content": _content(source)}


def _content(source):
    """Return the digest of a recording's samples.

    A file is read once as long as it stays the same.  An array may have been changed
    in place: it is read each time, and what was derived from it is then forgotten.
    """
    signal = source._signal
    if isinstance(signal, SignalInFile):
        signal.check(held=True)
        stamp = signal.stamp
    else:
        stamp = map_stamp(signal)
    with _lock:
        known_stamp, known = _digests.get(source, (None, None))
    if known is not None and stamp is not None and stamp == known_stamp:
        return known
    digest = b"".join(array_digest(part) for part in source.parts())
    if known is not None and known != digest:
        source._forget()
    with _lock:
        _digests[source] = stamp, digest
    return digest
