"""Tables of metadata as arrays of numbers and JSON, and back to the same dtypes.

A column of numbers is its array.  Any other column is one small number for each row,
and a list of its distinct values with their types: a million windows repeat a few ids
and labels.
"""

import numpy as np
import pandas as pd

COLUMN_ARRAYS = ("data", "codes")
"""Keys of a column that hold an array."""

_PYTHON_TYPES = {t.__name__: t for t in (str, bool, int, float)}
_NUMPY_TYPES = {
    f"numpy.{t.__name__}": t
    for t in (
        np.str_, np.bool_, np.float16, np.float32, np.float64,
        np.int8, np.int16, np.int32, np.int64,
        np.uint8, np.uint16, np.uint32, np.uint64,
    )
}  # fmt: skip
_SINGLE_VALUES = {"None": None, "NA": pd.NA}
_NAMES: dict[type, str] = {
    **{t: name for name, t in (_PYTHON_TYPES | _NUMPY_TYPES).items()},
    **{type(value): name for name, value in _SINGLE_VALUES.items()},
}


def encode_table(table, what):
    """Describe a table by arrays and by what JSON can hold.

    Parameters
    ----------
    table : DataFrame
        Its index is not kept.
    what : str
        What the table is, for messages.

    Returns
    -------
    list of dict
        One for each column; all values but arrays are of JSON's types.

    Raises
    ------
    TypeError
        If a column holds other objects than str, bool, int, float or None, or has a
        dtype that cannot be restored.
    """
    columns = []
    for k, name in enumerate(table.columns):
        label = f"Column {name!r} of {what}"
        entry = {"name": _encode_values([name], f"The name of column {name!r}")}
        entry |= _encode_column(table.iloc[:, k], label)
        columns.append(entry)
    return columns


def decode_table(columns):
    """Return the table that `encode_table` was given.

    Parameters
    ----------
    columns : list of dict
        As `encode_table` gives them.

    Returns
    -------
    DataFrame
        With rows counted from 0.
    """
    return pd.DataFrame(
        {
            _decode_values(column["name"])[0]: _decode_column(column)
            for column in columns
        }
    )


def smallest(array):
    """Return integers in the smallest dtype that holds them all."""
    if not array.size:
        return array.astype(np.uint8)
    low, high = int(array.min()), int(array.max())
    kinds = map(np.min_scalar_type, (low, high))
    return array.astype(np.result_type(*kinds))


def plain(number):
    """Return a float as JSON holds it; ``float()`` brings it back."""
    return float(number) if np.isfinite(number) else repr(float(number))


def _encode_column(column, label):
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biufcmM":
        # pandas itself loses another byte order in many steps.
        return {"data": column.to_numpy().astype(dtype.newbyteorder("="))}
    if isinstance(dtype, pd.CategoricalDtype):
        codes, categories = column.cat.codes.to_numpy(), dtype.categories
        kind = {"ordered": bool(dtype.ordered), "dtype": str(categories.dtype)}
        values = _encode_values(list(categories.astype(object)), label)
    else:
        codes, distinct = _factorise(column.to_numpy(dtype=object), label)
        kind, values = {"dtype": str(dtype)}, _encode_values(distinct, label)
        try:
            restored = pd.Series(distinct[:1], dtype=str(dtype)).dtype
        except (ImportError, TypeError, ValueError):
            restored = None
        if restored != dtype:
            raise TypeError(
                f"{label} has dtype {dtype!r}, which a store cannot keep; make it one "
                "of numbers or objects."
            )
    return kind | values | {"codes": smallest(codes)}


def _decode_column(column):
    if "data" in column:
        return column["data"]
    codes = column["codes"].astype(np.int64)
    values = np.empty(len(column["values"]), object)
    values[:] = _decode_values(column)
    if "ordered" in column:
        categories = pd.Index(values, dtype=column["dtype"])
        return pd.Categorical.from_codes(
            codes, categories=categories, ordered=column["ordered"]
        )
    # The dtype is always named: pandas would make strings of objects.
    distinct = pd.Series(values, dtype=column["dtype"])
    return distinct.iloc[codes].reset_index(drop=True)


def _factorise(values, label):
    """Return codes and distinct values; 1, 1.0 and True are three of them."""
    types = list(map(type, values))
    present = set(types)
    for unknown in present - set(_NAMES):
        if not issubclass(unknown, str | int | float):
            _refuse(unknown, types.index(unknown), label)
    # By their text, since NaN differs from itself and 0.0 equals -0.0.
    floats = {t for t in present if issubclass(t, float | np.floating)}
    if floats:
        keys = [
            (t, repr(value) if t in floats else value)
            for t, value in zip(types, values, strict=True)
        ]
    else:
        keys = list(zip(types, values, strict=True))
    distinct = dict(zip(keys, values, strict=True))
    place = {key: k for k, key in enumerate(distinct)}
    codes = np.fromiter(map(place.__getitem__, keys), np.int64, len(keys))
    return codes, list(distinct.values())


def _encode_values(values, label):
    """Return values as JSON holds them, and the names of their types."""
    encoded, names = [], []
    for row, value in enumerate(values):
        name = _NAMES.get(type(value))
        if name is None:
            # Members of an Enum of strings or numbers, for example.
            bases = (t for t in _PYTHON_TYPES.values() if isinstance(value, t))
            base = next(bases, None)
            if base is None:
                _refuse(type(value), row, label)
            value = str.__str__(value) if base is str else base(value)
            name = base.__name__
        if name in _SINGLE_VALUES:
            value = None
        elif name in _NUMPY_TYPES:
            value = value.item()
        encoded.append(plain(value) if isinstance(value, float) else value)
        names.append(name)
    if len(set(names)) == 1:
        names = names[0]
    return {"values": encoded, "types": names}


def _decode_values(entry):
    values, names = entry["values"], entry["types"]
    if isinstance(names, str):
        names = [names] * len(values)
    types = _PYTHON_TYPES | _NUMPY_TYPES
    # Floats that are not finite are texts: float("nan"), numpy.float32("inf").
    return [
        _SINGLE_VALUES[name] if name in _SINGLE_VALUES else types[name](value)
        for name, value in zip(names, values, strict=True)
    ]


def _refuse(kind, row, label):
    raise TypeError(
        f"{label} holds {kind.__name__} (the first in row {row}), but a store keeps "
        "only str, int, float, bool and None; convert or drop it first."
    )
