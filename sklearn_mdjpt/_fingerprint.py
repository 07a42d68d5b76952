"""What tells one pre-training from another: its parameters and its data's content."""

import functools
import hashlib
import inspect
import json
import threading
import weakref

import numpy as np
import pandas as pd
import torch

from ._digest import array_digest
from ._identity import is_made_up

# Hashing goes at about 1.5 GB/s; the folds of a cross-validation share recordings.
_digests = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def fingerprint(parameters, columns, windows, labels=None):
    """Return a text that is equal exactly where training would be the same.

    Parameters
    ----------
    parameters : dict
        All that training depends on beside the data: plain values, bytes, callables
        and objects with ``get_params``.
    columns : DataFrame of shape (n_windows, n_columns)
        Who saw what when.  Names that were made up for datasets without one do not
        count.
    windows : EEGWindows
        The windows; all samples of their recordings count.
    labels : array-like of shape (n_windows,), default=None
        Labels, where training uses them.

    Returns
    -------
    str of 32 hexadecimal digits
    """
    digest = hashlib.sha256()
    for part in (
        json.dumps(plain_value(parameters), sort_keys=True),
        *_columns(columns),
        *(() if labels is None else [_column(pd.Series(labels, dtype=object))]),
        *_cuts(windows),
    ):
        content = part if isinstance(part, bytes) else part.encode()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:32]


def _cuts(windows):
    """Say what is cut from where, recording by recording."""
    for source, rows, starts, n_times in windows.blocks():
        about = [source.ch_names, source.sfreq, getattr(source, "per_window", None)]
        if source.positions is not None:
            about.append(source.positions.tolist())
        if source.is_continuous:
            # Amplitude is that of the samples inside the trials.
            about.append(source.trials[["start", "stop"]].to_numpy(float).tolist())
        yield json.dumps(about)
        yield _source_digest(source)
        for places in (rows, starts, n_times):
            yield array_digest(np.asarray(places, np.int64))


def _source_digest(source):
    with _lock:
        known = _digests.get(source)
    if known is None:
        known = b"".join(array_digest(part) for part in source.parts())
        with _lock:
            _digests[source] = known
    return known


def _columns(columns):
    made_up = is_made_up(columns["dataset"])
    for name in columns:
        values = columns[name]
        if name == "dataset" and made_up.any():
            codes = pd.factorize(values)[0]
            values = values.mask(made_up, pd.Series(codes, index=values.index))
        yield _column(values)


def _column(values):
    codes, names = pd.factorize(values)
    return (
        array_digest(np.asarray(codes, np.int64))
        + json.dumps([plain_value(name) for name in names]).encode()
    )


def plain_value(value, inside=()):
    """Return a value in JSON's types, the same in every process.

    Of an object what counts is its class and its attributes, of a function its code
    and what it has bound; ``inside`` are the objects that hold the value.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        return array_digest(value).hex()
    if any(value is other for other in inside):
        return "itself"
    inside = (*inside, value)
    if isinstance(value, list | tuple):
        return [plain_value(item, inside) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(json.dumps(plain_value(item, inside)) for item in value)
    if isinstance(value, dict):
        return [[str(key), plain_value(item, inside)] for key, item in value.items()]
    if isinstance(value, type) or inspect.isbuiltin(value):
        return _name(value)
    if inspect.ismethod(value):
        return [_name(value), plain_value(value.__self__, inside)]
    if inspect.isfunction(value):
        return _function(value, inside)
    if isinstance(value, functools.partial):
        parts = [value.func, value.args, value.keywords]
        return ["partial", plain_value(parts, inside)]
    return [_name(type(value)), plain_value(getattr(value, "__dict__", None), inside)]


def _function(function, inside):
    code = function.__code__
    constants = [c for c in code.co_consts if isinstance(c, bool | int | float | str)]
    bound = [cell.cell_contents for cell in function.__closure__ or ()]
    about = [code.co_code.hex(), constants, list(code.co_names), function.__defaults__]
    return [_name(function), plain_value([*about, bound], inside)]


def _name(thing):
    return [getattr(thing, "__module__", None), thing.__qualname__]
