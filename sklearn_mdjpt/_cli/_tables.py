"""Writes the features and metadata of windows to one file."""

import zipfile

import numpy as np
import pandas as pd

from .._validation import check_installed, warn

_FEATURES, _NAMES = "features", "feature_names"


def writer(path):
    """Return the function that writes tables in the format of a file's ending.

    Parameters
    ----------
    path : Path
        The file to write.

    Returns
    -------
    callable
        It takes a path, the features (n_windows, n_features), their names, and the
        metadata of the windows.

    Raises
    ------
    ValueError
        If the ending is another one.
    """
    if path.suffix == ".npz":
        return _write_npz
    if path.suffix == ".parquet":
        how = 'pip install "sklearn_mdjpt[parquet]", or write .npz'
        check_installed("pyarrow", "A file of .parquet", how)
        return _write_parquet
    raise ValueError(f"{str(path)!r}: expected a name that ends in .npz or .parquet.")


def with_free_names(metadata, names):
    """Rename the columns of metadata whose names the output needs for other arrays.

    Parameters
    ----------
    metadata : DataFrame
        As of `EEGWindows`.
    names : sequence of str
        Names of the features.

    Returns
    -------
    DataFrame
        "metadata_" stands before the name of a column that is called like a result (in
        upper or lower case), or like another column once names are texts.

    Warns
    -----
    UserWarning
        If columns are renamed.
    """
    results = {_FEATURES, _NAMES, *(name.casefold() for name in names)}
    originals = list(map(str, metadata.columns))
    new, changed = [], []
    for column, original in zip(metadata.columns, originals, strict=True):
        name = original
        while (
            _array_name(name).casefold() in results
            or _array_name(name) in map(_array_name, new)
            or (name != original and name in originals)
        ):
            name = f"metadata_{name}"
        new.append(name)
        if name != original:
            changed.append(f"{column!r} as {name!r}")
    if changed:
        warn(
            "Columns of the metadata have names that the output needs; they are "
            f"renamed: {', '.join(changed)}."
        )
    return metadata.set_axis(new, axis=1)


def _array_name(name):
    """Return the name of an array in an .npz, where "a.npy" and "a" are one."""
    return name.removesuffix(".npy")


def _write_npz(path, features, names, metadata):
    arrays = {_FEATURES: features, _NAMES: np.asarray(names).astype(str)}
    arrays |= {name: _array(column) for name, column in metadata.items()}
    # np.savez cannot write an array of the name "file", its own parameter.
    with zipfile.ZipFile(path, "x") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _array(column):
    """Return a column as numbers, or as texts with "" for missing values."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return column.to_numpy()
    if pd.api.types.is_numeric_dtype(column.dtype):  # a dtype of pandas, with NA
        return column.to_numpy(dtype=float, na_value=np.nan)
    return np.array(["" if pd.isna(value) else str(value) for value in column], str)


def _write_parquet(path, features, names, metadata):
    # An object column may mix numbers and texts; a column of parquet cannot.
    text = metadata.select_dtypes(exclude="number").columns
    metadata = metadata.astype({name: "string" for name in text})
    table = pd.concat([metadata, pd.DataFrame(features, columns=names)], axis=1)
    table.to_parquet(path, engine="pyarrow", index=False)
