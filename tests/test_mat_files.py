"""What is checked of MATLAB files before SciPy reads them."""

import struct

import numpy as np
import pytest
from scipy.io import savemat

from sklearn_mdjpt.datasets._mat_files import list_variables, read_variables

VARIABLES = {
    "a": np.arange(6.0).reshape(2, 3),
    "a_longer_name": np.arange(500, dtype=np.int16).reshape(5, 100),
    "12": np.random.default_rng(0).standard_normal((62, 300)),
    "cube": np.zeros((2, 3, 4), np.float32),
    "none": np.zeros((62, 0)),
}
OTHERS = {"text": "some words", "box": {"inner": np.zeros((2, 2))}}


@pytest.mark.parametrize("compressed", [False, True])
def test_numeric_variables(tmp_path, compressed):
    path = tmp_path / "file.mat"
    savemat(path, VARIABLES | OTHERS, do_compression=compressed)
    shapes = {name: values.shape for name, values in VARIABLES.items()}
    assert list(list_variables(path).items()) == list(shapes.items())
    found = read_variables(path, list(VARIABLES)[::-1])
    for values, expected in zip(found, list(VARIABLES.values())[::-1], strict=True):
        np.testing.assert_array_equal(values, expected)
    with pytest.raises(
        ValueError, match=r"text, x; it has a \(double\), .*text \(char"
    ):
        list_variables(path, needed=["a", "text", "x"])


def test_complex_numbers_are_refused(tmp_path):
    path = tmp_path / "file.mat"
    savemat(path, {"wave": np.array([[1 + 2j]])})
    with pytest.raises(ValueError, match="'wave' holds complex128"):
        next(read_variables(path, ["wave"]))


def write_big_endian(path, shape, values):
    parts = (
        struct.pack(">IIII", 6, 8, 6, 0)
        + struct.pack(">IIii", 5, 8, *shape)
        + struct.pack(">I4s", 1 << 16 | 1, b"x\0\0\0")
        + struct.pack(">II", 9, values.nbytes)
        + values.astype(">f8").tobytes(order="F")
    )
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    path.write_bytes(header + struct.pack(">II", 14, len(parts)) + parts)
    return path


def test_big_endian(tmp_path):
    values = np.arange(6.0).reshape(2, 3)
    path = write_big_endian(tmp_path / "file.mat", (2, 3), values)
    assert list_variables(path) == {"x": (2, 3)}
    np.testing.assert_array_equal(next(read_variables(path, ["x"])), values)


def test_claimed_sizes_ask_for_no_memory(tmp_path):
    path = write_big_endian(tmp_path / "file.mat", (62, 2**30), np.arange(6.0))
    with pytest.raises(ValueError, match=r"'x' has shape \(62, 1073741824\): more"):
        list_variables(path)


@pytest.mark.parametrize("n_bytes", [129, 135, 136, 200])
def test_cut_off_files(tmp_path, n_bytes):
    path = tmp_path / "file.mat"
    savemat(path, {"x": np.ones((20, 30))})
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(
        ValueError, match=f"cut off: {n_bytes} bytes, expected at least"
    ):
        list_variables(path)
