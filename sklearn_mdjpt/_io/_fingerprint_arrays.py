"""The content of arrays, tables and tensors, for their fingerprint."""

import hashlib

import numpy as np
import pandas as pd

_BLOCK_BYTES = 2**24


def array_digest(array):
    """Return the SHA-256, as bytes, of an array's type, shape and content."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    if array.ndim == 0 or not array.size:
        digest.update(array.tobytes())
        return digest.digest()
    # In blocks: a copy of a large array that is not contiguous may not fit.
    step = max(1, _BLOCK_BYTES // max(1, array[0].nbytes))
    for i in range(0, len(array), step):
        digest.update(np.ascontiguousarray(array[i : i + step]))
    return digest.digest()


def add_array(value, walk):
    """Hash an array or a scalar of numpy."""
    if isinstance(value, np.generic):
        walk.write("scalar")
    elif isinstance(value, np.ma.MaskedArray):
        walk.add_class(value, np.ma.MaskedArray)
        walk.add(np.asarray(value.data), ".data")
        walk.add(np.ma.getmaskarray(value), ".mask")
        walk.add(value.fill_value, ".fill_value")
        return
    elif type(value) not in (np.ndarray, np.memmap):
        walk.add_class(value, np.matrix, np.recarray)
        walk.add(getattr(value, "__dict__", None), ".__dict__")
    value = np.asarray(value)
    if value.dtype.names is not None:
        # Field by field, without what lies between them.
        walk.write("fields", value.shape, value.dtype.itemsize)
        for name in value.dtype.names:
            walk.write(name)
            add_array(value[name], walk)
    elif value.dtype.hasobject or value.dtype.kind not in "biufcmMSUV":
        walk.write("objects", value.shape, str(value.dtype))
        _add_items(value.ravel().tolist(), walk)
    else:
        walk.write("array", array_digest(value))


def _add_items(values, walk):
    """Hash the elements of an array of objects."""
    kinds = set(map(type, values))
    if kinds == {int} or kinds <= {str, type(None)}:
        # Ids and labels: few values in thousands of rows.  (pandas.factorize confuses
        # texts that are the same up to a zero character.)
        number = {value: i for i, value in enumerate(dict.fromkeys(values))}
        codes = np.fromiter(map(number.__getitem__, values), np.int64, len(values))
        walk.write("codes", array_digest(codes))
        values = number
    walk.add_all(values, "[{}]".format)


def add_signal(value, walk):
    """Hash the samples in a file as the array that they are."""
    walk.write("array", array_digest(np.asarray(value.open())))


def add_table(value, walk):
    """Hash a DataFrame."""
    walk.add_class(value, pd.DataFrame)
    walk.add(value.columns)
    walk.add(value.index)
    walk.add(value.attrs, ".attrs")
    for i, name in enumerate(value.columns):
        walk.add(value.iloc[:, i].array, f"[{name!r}]")


def add_series(value, walk):
    """Hash a Series."""
    walk.add_class(value, pd.Series)
    walk.add(value.name, ".name")
    walk.add(value.index)
    walk.add(value.attrs, ".attrs")
    walk.add(value.array)


def add_index(value, walk):
    """Hash an Index."""
    walk.write("index", type(value).__name__)
    walk.add(list(value.names), ".names")
    if isinstance(value, pd.MultiIndex):
        levels = [value.get_level_values(i).rename(None) for i in range(value.nlevels)]
        walk.add(levels)
    else:
        walk.write(getattr(value, "freqstr", None))
        walk.add(value.array)


def add_column(value, walk):
    """Hash an array of pandas."""
    walk.write("column", str(value.dtype))
    if isinstance(value.dtype, pd.CategoricalDtype):
        walk.write(value.ordered)
        walk.add(value.categories)
        add_array(np.asarray(value.codes), walk)
    else:
        plain = isinstance(value, pd.arrays.NumpyExtensionArray)
        add_array(value.to_numpy(None if plain else object), walk)


def add_sparse(value, walk):
    """Hash a sparse matrix or array."""
    walk.write("sparse", type(value).__name__, value.shape)
    value = value.tocoo()
    walk.add((value.data, *value.coords))


def add_tensor(value, walk):
    """Hash a tensor."""
    import torch

    if value.layout != torch.strided or value.is_quantized or value.is_meta:
        walk.refuse(value)
    walk.add_class(value, torch.Tensor, torch.nn.Parameter)
    walk.write("tensor", value.dtype, tuple(value.shape), value.requires_grad)
    flat = value.detach().cpu().resolve_conj().resolve_neg().reshape(-1)
    walk.write(array_digest(flat.contiguous().view(torch.uint8).numpy()))
