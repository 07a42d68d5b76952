"""Tables of metadata as arrays of numbers and JSON, and back to the same dtypes.

A column of numbers is its array.  Any other column is one small number for each row,
and a list of its distinct values: a million windows repeat a few ids and labels.

pandas has no format that would do: its JSON and CSV lose the types of objects (1, 1.0,
True and "1" are four labels), and parquet needs another package.
"""

import numpy as np
import pandas as pd

# JSON has these types.
_PLAIN = (str, bool, int, float, type(None))
# A value of another type becomes {its name: as a plain value}.
_NUMPY_TYPES = {
    t.__name__: t
    for t in (
        np.str_, np.bool_, np.float16, np.float32, np.float64,
        np.int8, np.int16, np.int32, np.int64,
        np.uint8, np.uint16, np.uint32, np.uint64,
    )
}  # fmt: skip


def encode_table(table, what, arrays):
    """Describe a table by arrays and by what JSON can hold.

    Parameters
    ----------
    table : DataFrame
        Its index is not kept.
    what : str
        What the table is, for messages.
    arrays : list of ndarray
        The arrays are appended here.

    Returns
    -------
    list of dict
        One for each column, with the number of its array in ``arrays``.

    Raises
    ------
    TypeError
        If a column holds other objects than str, bool, int, float or None, or has a
        dtype that cannot be restored.
    """
    columns = []
    for k, name in enumerate(table.columns):
        label = f"Column {name!r} of {what}"
        entry, array = _encode_column(table.iloc[:, k], label)
        (name,) = _encode_values([name], f"The name of column {name!r}")
        columns.append({"name": name, "array": len(arrays)} | entry)
        arrays.append(array)
    return columns


def decode_table(columns, arrays):
    """Return the table that `encode_table` was given.

    Parameters
    ----------
    columns : list of dict
        As `encode_table` returned them.
    arrays : sequence of ndarray
        As `encode_table` filled them.

    Returns
    -------
    DataFrame
        With rows counted from 0.
    """
    return pd.DataFrame(
        {
            _decode_value(column["name"]): _decode_column(
                column, arrays[column["array"]]
            )
            for column in columns
        }
    )


def smallest(array):
    """Return integers in the smallest dtype that holds them all."""
    if not array.size:
        return array.astype(np.uint8)
    kinds = (np.min_scalar_type(int(limit)) for limit in (array.min(), array.max()))
    return array.astype(np.result_type(*kinds))


def _encode_column(column, label):
    """Return all of a column that JSON holds, and its array."""
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biufcmM":
        # pandas itself loses another byte order in many steps.
        return {}, column.to_numpy().astype(dtype.newbyteorder("="))
    if isinstance(dtype, pd.CategoricalDtype):
        codes, categories = column.cat.codes.to_numpy(), dtype.categories
        values = _encode_values(list(categories.astype(object)), label)
        kind = {"dtype": str(categories.dtype), "ordered": bool(dtype.ordered)}
        return kind | {"values": values}, smallest(codes)
    codes, distinct = _factorise(column.to_numpy(dtype=object))
    values = _encode_values(distinct, label, codes)
    try:
        restored = pd.Series(distinct[:1], dtype=str(dtype)).dtype
    except (ImportError, TypeError, ValueError):
        restored = None
    if restored != dtype:
        raise TypeError(
            f"{label} has dtype {dtype!r}, which a store cannot keep; make it one of "
            "numbers or objects."
        )
    return {"dtype": str(dtype), "values": values}, smallest(codes)


def _decode_column(column, array):
    if "values" not in column:
        return array
    codes = array.astype(np.int64)
    values = np.empty(len(column["values"]), object)
    values[:] = list(map(_decode_value, column["values"]))
    if "ordered" in column:
        categories = pd.Index(values, dtype=column["dtype"])
        return pd.Categorical.from_codes(
            codes, categories=categories, ordered=column["ordered"]
        )
    # The dtype is always named: pandas would make strings of objects.
    distinct = pd.Series(values, dtype=column["dtype"])
    return distinct.iloc[codes].reset_index(drop=True)


def _factorise(values):
    """Return codes and distinct values; 1, 1.0 and True are three of them.

    `pandas.factorize` takes them for one value.
    """
    # NaN differs from itself and 0.0 equals -0.0, but their texts do not; other
    # objects may have no hash, and are refused by their type later.
    types = list(map(type, values))
    by_value = {str, int, bool, type(None)}
    keys = [
        (t, value if t in by_value else repr(value))
        for t, value in zip(types, values, strict=True)
    ]
    distinct = dict(zip(keys, values, strict=True))
    numbers = {key: k for k, key in enumerate(distinct)}
    codes = np.fromiter(map(numbers.__getitem__, keys), np.int64, len(keys))
    return codes, list(distinct.values())


def _encode_values(values, label, codes=None):
    """Return values as JSON holds them; raise TypeError where it cannot."""
    encoded = []
    for k, value in enumerate(values):
        kind = type(value)
        if kind in _PLAIN:
            encoded.append(value)
        elif value is pd.NA:
            encoded.append({"NA": None})
        elif _NUMPY_TYPES.get(kind.__name__) is kind:
            encoded.append({kind.__name__: value.item()})
        elif isinstance(value, str):  # a member of an Enum, for example
            encoded.append(str.__str__(value))
        elif isinstance(value, int | float):
            encoded.append(int(value) if isinstance(value, int) else float(value))
        else:
            row = k if codes is None else int(np.argmax(codes == k))
            raise TypeError(
                f"{label} holds {kind.__name__} (the first in row {row}), but a store "
                "keeps only str, int, float, bool and None; convert or drop it first."
            )
    return encoded


def _decode_value(value):
    if not isinstance(value, dict):
        return value
    ((kind, value),) = value.items()
    return pd.NA if kind == "NA" else _NUMPY_TYPES[kind](value)
