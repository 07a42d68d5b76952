import builtins
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from tones_for_a_test import Evil, dump, python2_pickle

from sklearn_mdjpt.datasets import _unpickling
from sklearn_mdjpt.datasets._unpickling import read_pickle

ARRAY = np.arange(2 * 3 * 500.0).reshape(2, 3, 500)
NP = "numpy._core.multiarray" if np.__version__ > "2" else "numpy.core.multiarray"


def write(tmp_path, data):
    path = tmp_path / "file.pkl"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "array",
    [
        ARRAY,
        np.asfortranarray(ARRAY),
        ARRAY.transpose(2, 0, 1),
        ARRAY[:, ::2],
        ARRAY.astype(">f4"),
        ARRAY.astype(np.int16),
        ARRAY > 7,
        ARRAY[:1, :1, :5],
        np.array(3.5),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_arrays_of_every_protocol(tmp_path, protocol, array):
    content = {"data": array, "more": array[..., None], "text": "x", "n": [1, 2.5]}
    path = dump(tmp_path / "a.pkl", content, protocol)
    got = read_pickle(path)
    assert (got["data"].shape, got["data"].dtype) == (array.shape, array.dtype)
    np.testing.assert_array_equal(got["data"], array)
    assert got["more"].shape == (*array.shape, 1)
    assert (got["text"], got["n"]) == ("x", [1, 2.5])
    np.testing.assert_array_equal(read_pickle(dump(path, array, protocol)), array)


@pytest.mark.parametrize("mode", ["binary", "text"])
def test_pickles_of_python_2(tmp_path, mode):
    labels = ARRAY[0, :, :4]
    if mode == "binary":
        data = python2_pickle({"data": ARRAY, "labels": labels})
    else:
        samples = repr(ARRAY.tobytes())[1:].encode()
        data = (
            b"(dp1\nS'data'\np2\ncnumpy.core.multiarray\n_reconstruct\np3\n(cnumpy\n"
            b"ndarray\np4\n(I0\ntp5\nS'b'\np6\ntp7\nRp8\n(I1\n(L2L\nL3L\nL500L\ntp9\n"
            b"cnumpy\ndtype\np10\n(S'f8'\np11\nI0\nI1\ntp12\nRp13\n(I3\nS'<'\np14\n"
            b"NNNI-1\nI-1\nI0\ntp15\nbI00\nS" + samples + b"\np16\ntp17\nbs."
        )
    got = read_pickle(write(tmp_path, data))
    np.testing.assert_array_equal(got["data"], ARRAY)
    if mode == "binary":
        np.testing.assert_array_equal(got["labels"], labels)


def test_samples_are_passed_over(tmp_path, monkeypatch):
    array = np.ones((28, 32, 1000))
    content = {"data": array, "labels": ARRAY[0]}
    n_read = count_bytes(monkeypatch)
    path = tmp_path / "a.pkl"
    for data in (
        *(pickle.dumps(content, protocol) for protocol in (3, 4, 5)),
        python2_pickle(content),
    ):
        path.write_bytes(data)
        n_read.clear()
        got = read_pickle(path, samples=False)
        assert (got["data"].shape, got["data"].dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(got["labels"], ARRAY[0])
        assert sum(n_read) < 3 * ARRAY[0].nbytes
        np.testing.assert_array_equal(read_pickle(path)["data"], array)


def count_bytes(monkeypatch):
    """Return a list to which the number of bytes of every read is added."""
    n_read = []

    class Counting:
        def __init__(self, path, mode):
            self.file = builtins.open(path, mode)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def read(self, *size):
            data = self.file.read(*size)
            n_read.append(len(data))
            return data

        def readinto(self, buffer):
            n_read.append(self.file.readinto(buffer))
            return n_read[-1]

    monkeypatch.setattr(_unpickling, "open", Counting, raising=False)
    return n_read


# Nothing is run ------------------------------------------------------------------


def evil_contents(flag):
    """Objects whose unpickling makes a file."""
    make = f"open({str(flag)!r}, 'w').close()"
    shell = f"touch {flag}"
    return {
        "os.system": Evil(os.system, shell),
        "subprocess": Evil(subprocess.call, ["touch", str(flag)]),
        "eval": Evil(eval, make),
        "exec": Evil(exec, make),
        "open": Evil(open, str(flag), "w"),
        "getattr": Evil(getattr, os, "system"),
        "in a list": [1, ARRAY, Evil(os.system, shell)],
        "in a dict": {"data": ARRAY, "labels": {"x": (Evil(eval, make),)}},
        "as a key": {Evil(eval, make): 1},
        "as an argument": Evil(np.dtype, Evil(eval, make)),
        "bytes of a call": Evil(bytes, Evil(eval, make)),
        "numpy's load": Evil(np.load, str(flag)),
        "numpy's save": Evil(np.save, str(flag), ARRAY),
    }


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("kind", list(evil_contents("")))
def test_code_is_refused_and_not_run(tmp_path, kind, protocol):
    flag = tmp_path / "flag.npy"
    if kind == "getattr":
        data = b"c__builtin__\ngetattr\n(cos\nsystem\nS'x'\ntR."
    else:
        data = pickle.dumps(evil_contents(flag)[kind], protocol=protocol)
    path = write(tmp_path, data)
    with pytest.raises(ValueError, match="file.pkl' cannot be read"):
        read_pickle(path)
    assert not flag.exists()


def test_the_attack_works_on_an_ordinary_reader(tmp_path):
    # Otherwise the test above could not fail.
    flag = tmp_path / "flag"
    content = evil_contents(flag)["eval"]
    code = f"import pickle; pickle.loads({pickle.dumps(content)!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert flag.exists()


@pytest.mark.parametrize(
    "data, message",
    [
        (b"cos\nsystem\n(S'x'\ntR.", "it names 'os.system'"),
        (b"\x8c\x02os\x8c\x06system\x93)R.", "it names 'os.system'"),
        (b"\x8c\x05numpy\x8c\x0dndarray.dumps\x93.", "it names 'numpy.ndarray.dumps'"),
        (b"(S'x'\nios\nsystem\n.", "it names 'os.system'"),
        (b"(cos\nsystem\nS'x'\no.", "it names 'os.system'"),
        (b"cnumpy\nndarray\n)R.", "without its shape"),
        (b"cnumpy\ndtype\n}b.", "cannot be read"),
        (b"c_codecs\nencode\nN}S'__defaults__'\n)s\x86b.", "cannot be read"),
        (b"]}b.", "cannot be read"),
        (b"Pabc\n.", "cannot be read"),
        (b"\x82\x01.", "a function by a number"),
        (b"\x97.", "cannot be read"),
        (b"c_codecs\nencode\n(Vabc\nVrot13\ntR.", "encodes a text"),
        (b"cnumpy\ndtype\n(VO8\ntR.", "array of objects"),
        (b"cnumpy\ndtype\n(Vf8,O\ntR.", "array of type 'f8,O'"),
        (f"c{NP}\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntR.".encode(), "without"),
    ],
)
def test_hand_written_programs(tmp_path, data, message):
    with pytest.raises(ValueError, match=message):
        read_pickle(write(tmp_path, data))


def test_arrays_of_objects_are_refused(tmp_path):
    for array in (np.array([None, "x"], dtype=object), np.zeros(2, "f8,i4")):
        with pytest.raises(ValueError, match="which are not loaded|of type 'V12'"):
            read_pickle(dump(tmp_path / "a.pkl", array))
    with pytest.raises(ValueError, match="of type 'U1'"):
        read_pickle(dump(tmp_path / "a.pkl", np.array(["x"])))


# Malformed input ------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_every_cut_is_told(tmp_path, protocol):
    data = pickle.dumps({"data": ARRAY[:1, :1, :40], "x": [1.5, "y"]}, protocol)
    for end in range(len(data)):
        with pytest.raises(ValueError, match="cannot be read"):
            read_pickle(write(tmp_path, data[:end]))


def test_a_cut_within_the_samples_is_told_at_once(tmp_path):
    data = pickle.dumps(ARRAY, 4)
    with pytest.raises(ValueError, match="it is cut off.* 24000 bytes are announced"):
        read_pickle(write(tmp_path, data[:-8000]))


def test_random_damage_never_does_worse_than_an_error(tmp_path):
    rng = np.random.default_rng(0)
    n_refused = 0
    for protocol in (0, 2, 4, 5):
        data = pickle.dumps({"data": ARRAY[:1, :2, :9], "x": [1.5, "y"]}, protocol)
        for _ in range(300):
            damaged = np.frombuffer(data, np.uint8).copy()
            damaged[rng.integers(len(data), size=3)] = rng.integers(256, size=3)
            try:
                read_pickle(write(tmp_path, damaged.tobytes()))
            except ValueError:
                n_refused += 1
    assert n_refused > 300


@pytest.mark.parametrize("shape", [(10**15,), (2, 10**15), (2**63,), (-3,), (True,)])
def test_claimed_sizes_ask_for_no_memory(tmp_path, shape):
    function, arguments, state = ARRAY.__reduce__()
    content = Evil(function, *arguments)
    content.__class__ = type(
        "Claim", (), {"__reduce__": lambda self: (
            self.function, self.arguments, (state[0], shape, *state[2:]))}
    )  # fmt: skip
    path = dump(tmp_path / "a.pkl", content)
    with pytest.raises(ValueError, match="takes|whose shape"):
        read_pickle(path)


@pytest.mark.parametrize("code", [b"T", b"B", b"X", b"\x8e", b"\x96", b"\x8d", b"\x8b"])
def test_claimed_lengths_ask_for_no_memory(tmp_path, code):
    size = b"\xff\xff\xff\x7f" if code in b"TBX\x8b" else b"\xff" * 7 + b"\x7f"
    with pytest.raises(ValueError, match="it is cut off.* bytes are announced"):
        read_pickle(write(tmp_path, code + size + b"."))


def test_memo_places_far_out_ask_for_no_memory(tmp_path):
    with pytest.raises(ValueError, match="numbers a part 2147483647"):
        read_pickle(write(tmp_path, b"Nr\xff\xff\xff\x7f."))


def test_nested_keys_are_refused(tmp_path):
    # The hash of n nested pairs takes 2**n steps.
    data = b")" + b"q\x00h\x00\x86" * 100
    with pytest.raises(ValueError, match="its own parts again"):
        read_pickle(write(tmp_path, b"}" + data + b"Ns."))


@pytest.mark.parametrize(
    "data", [b"", b"\x93NUMPY\x01", b"MATLAB 5.0 MAT-file", b"<x>"]
)
def test_other_files_are_told(tmp_path, data):
    with pytest.raises(ValueError, match="file.pkl' cannot be read: it is"):
        read_pickle(write(tmp_path, data))


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_pickle(tmp_path / "none.pkl")
