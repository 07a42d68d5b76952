"""Headers of MATLAB files, beside SciPy's reading of them."""

import struct

import numpy as np
import pytest
from scipy.io import savemat, whosmat

from sklearn_mdjpt.datasets._mat_files import list_variables, read_variable

VARIABLES = {
    "a": np.arange(6.0).reshape(2, 3),  # up to four letters are stored otherwise
    "a_longer_name": np.arange(500, dtype=np.int16).reshape(5, 100),
    "12": np.random.default_rng(0).standard_normal((62, 300)),
    "text": "some words",
    "wave": np.array([[1 + 2j]]),
    "box": {"inner": np.zeros((2, 2))},
    "cube": np.zeros((2, 3, 4), np.float32),
    "none": np.zeros((62, 0)),
}


@pytest.mark.parametrize("compressed", [False, True])
def test_variables_are_those_that_scipy_finds(tmp_path, compressed):
    path = tmp_path / "file.mat"
    savemat(path, VARIABLES, do_compression=compressed)
    found = list_variables(path)
    shapes = {name: shape for name, shape, _ in whosmat(path)}
    assert [variable.name for variable in found] == list(shapes)
    # SciPy takes a line of text for one value.
    shapes["text"] = (1, 10)
    assert {variable.name: variable.shape for variable in found} == shapes
    real = [variable.name for variable in found if variable.is_real]
    assert real == ["a", "a_longer_name", "12", "cube", "none"]
    for variable in found:
        if variable.is_real:
            values = read_variable(path, variable)
            np.testing.assert_array_equal(values, VARIABLES[variable.name])
    assert found[0].offset == 128
    last = found[-1]
    assert last.offset + last.n_bytes == path.stat().st_size


def test_big_endian(tmp_path):
    path = tmp_path / "file.mat"
    values = np.arange(6.0).reshape(2, 3)
    parts = (
        struct.pack(">IIII", 6, 8, 6, 0)
        + struct.pack(">IIii", 5, 8, 2, 3)
        + struct.pack(">I4s", 1 << 16 | 1, b"x\0\0\0")
        + struct.pack(">II", 9, 48)
        + values.astype(">f8").tobytes(order="F")
    )
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    path.write_bytes(header + struct.pack(">II", 14, len(parts)) + parts)
    (variable,) = list_variables(path)
    assert variable == ("x", (2, 3), True, 128, 8 + len(parts))
    np.testing.assert_array_equal(read_variable(path, variable), values)


def test_other_elements_are_passed_over(tmp_path):
    path = tmp_path / "file.mat"
    savemat(path, {"x": np.ones((2, 3))})
    data = path.read_bytes()
    path.write_bytes(data[:128] + struct.pack("<IIQ", 7, 8, 0) + data[128:])
    (variable,) = list_variables(path)
    assert variable.name == "x" and variable.offset == 144
    assert (read_variable(path, variable) == 1).all()


@pytest.mark.parametrize("n_bytes", [129, 135, 136, 200])
def test_cut_off_files(tmp_path, n_bytes):
    path = tmp_path / "file.mat"
    savemat(path, {"x": np.ones((20, 30))})
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(
        ValueError, match=f"cut off: {n_bytes} bytes, expected at least"
    ):
        list_variables(path)
