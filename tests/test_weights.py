"""Weight files: round trips, damage, malice, crashes, and what anonymous files tell."""

import copy
import getpass
import hashlib
import io
import json
import os
import pickle
import stat
import struct
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

import sklearn_mdjpt
from sklearn_mdjpt import EEGWindows, MDJPTEncoder, convert
from sklearn_mdjpt._io import _tensor_files as tensor_files
from sklearn_mdjpt._io._tensor_files import decode_tensors, encode_tensors
from sklearn_mdjpt.encoder import _files as files_module
from sklearn_mdjpt.encoder import _weights as weights_module

TINY = {
    "hidden_dim": 2,
    "latent_dim": 1,
    "depth": 1,
    "n_heads": 1,
    "n_filters": 1,
    "patch_size": 4,
    "max_epochs": 1,
    "batches_per_epoch": 1,
    "random_state": 0,
}
VERSION = weights_module._FORMAT_VERSION


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Networks this small spend most of their time waiting for other threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_windows(dataset, subjects):
    rng = np.random.default_rng(0)
    n = 4 * len(subjects)
    return EEGWindows.from_arrays(
        rng.standard_normal((n, 4, 64)),
        ch_names=["Fz", "Cz", "Pz", "Oz"],
        sfreq=125,
        subject=np.repeat(subjects, 4),
        stimulus=np.tile(list("abcd"), len(subjects)),
        dataset=dataset,
    )


@pytest.fixture(scope="module")
def X():
    return make_windows("StMary", ["Doe", "Roe"])


@pytest.fixture(scope="module")
def encoder(X):
    """Has everything that a file can hold, and is not to be changed."""
    return MDJPTEncoder(subject_norm="train", **TINY).fit(X)


@pytest.fixture(scope="module")
def content(encoder, tmp_path_factory):
    """Bytes of its file."""
    path = tmp_path_factory.mktemp("content") / "x.safetensors"
    encoder.save(path)
    return path.read_bytes()


@pytest.fixture
def path(content, tmp_path):
    """Its file, in a folder of its own."""
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "x.safetensors"
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def released():
    """State dict of a checkpoint with the released names and shapes."""
    fixture = np.load(Path(__file__).parent / "data" / "reference_parity.npz")
    prefix = "state_dict."
    return {
        name.removeprefix(prefix): torch.from_numpy(fixture[name])
        for name in fixture.files
        if name.startswith(prefix)
    }


def checkpoint(content, **options):
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


# Files made wrong on purpose -------------------------------------------------------


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path, how="open"):
        self.path, self.how = str(path), how

    def __reduce__(self):
        if self.how == "open":
            return open, (self.path, "w")
        if self.how == "system":
            return os.system, (f"touch {self.path}",)
        return eval, (f"open({self.path!r}, 'w')",)


def put(header, data):
    """Put a safetensors file together."""
    return struct.pack("<Q", len(header)) + header + data


def split(content):
    """Header of a file as bytes, and what follows."""
    (size,) = struct.unpack("<Q", content[:8])
    return content[8 : 8 + size], content[8 + size :]


def rewritten(content, change):
    """Our file after ``change(tensors, metadata)``, with a right checksum."""
    tensors, metadata = decode_tensors(content, "x", kind="weights", version=VERSION)
    metadata = copy.deepcopy(metadata)
    options = {"kind": "weights", "version": VERSION}
    options |= change(tensors, metadata) or {}
    return encode_tensors(tensors, metadata, **options)


def with_header(content, **values):
    return rewritten(content, lambda _, metadata: metadata.update(values))


def with_entry(content, part, **values):
    return rewritten(content, lambda _, metadata: metadata[part].update(values))


def with_tensors(content, **values):
    return rewritten(content, lambda tensors, _: tensors.update(values))


def without(content, *, tensor=None, key=None, part=None):
    def change(tensors, metadata):
        if tensor is not None:
            del tensors[tensor]
        else:
            del (metadata if part is None else metadata[part])[key]

    return rewritten(content, change)


def with_value(content, name, value):
    """Our file with one number of one tensor changed."""

    def change(tensors, _):
        tensors[name] = tensors[name].clone()
        tensors[name].view(-1)[0] = value

    return rewritten(content, change)


def wrong_contents(content):
    """Files with a right checksum that hold what they must not: name, bytes, error."""
    spatial, blocks = "encoder.spatial.weight", "encoder.channel_encoder.blocks.0"
    tensors, metadata = decode_tensors(content, "x", kind="weights", version=VERSION)
    weight, scale = tensors[spatial], tensors["extra.scale"]
    std = tensors["extra.statistics.spatial_std"]
    channels = metadata["ch_names"]
    for key in metadata:
        where = "config is None" if key == "config" else f"the header lacks {key}"
        yield f"no {key}", without(content, key=key), where
        yield f"{key} a list", with_header(content, **{key: [[1]]}), f"{key}"
    for key in metadata["config"]:
        bad = without(content, part="config", key=key)
        yield f"no config {key}", bad, f"config lacks {key}"
        for value in (0, True, 2.0, "x", 10**30):
            bad = with_entry(content, "config", **{key: value})
            yield f"config {key}={value!r}", bad, f"config['{key}']"
        if key in weights_module._AXES:
            bad = with_entry(content, "config", **{key: 10**9})
            yield f"config {key} huge", bad, "more than the tensors have"
    for key in metadata["parameters"]:
        bad = without(content, part="parameters", key=key)
        yield f"no parameter {key}", bad, f"parameters lacks {key}"
        bad = with_entry(content, "parameters", **{key: 1})
        yield f"parameter {key}=1", bad, f"parameters['{key}'] is 1"
    part = with_entry(content, "config", dropout=0.5)
    yield "config too much", part, "config has unexpected dropout"
    part = with_entry(content, "parameters", lr=0.5)
    yield "parameter too much", part, "parameters has unexpected lr"
    yield "header too much", with_header(content, x=1), "header has unexpected x"
    other = with_header(content, ch_names=channels[::-1])
    yield "other channels", other, "60 canonical channels in their order"
    yield "other rate", with_header(content, sfreq=200.0), "sfreq is 200.0, expected 12"
    none = with_header(content, training_datasets=None)
    yield "half anonymous", none, "is null, not both"
    few = with_header(content, n_training_subjects=1)
    yield "few subjects", few, "n_training_subjects is 1, expected an int of at least 2"
    numbers = dict.fromkeys(metadata["history"], [1.0])
    for name, history, message in (
        ("lacks", {"isa": [1.0]}, "history lacks cda, total"),
        ("uneven", numbers | {"isa": [1.0, 2.0]}, "columns of unequal length"),
        ("text", numbers | {"isa": ["1"]}, "history has '1', expected a number"),
        ("bool", numbers | {"isa": [True]}, "history has True, expected a number"),
    ):
        yield f"history {name}", with_header(content, history=history), message
    twice = with_entry(content, "config", depth=2)
    yield "other depth", twice, "missing: channel_encoder.blocks.0.mlp.2.bias"
    bad = with_entry(content, "config", n_heads=3)
    yield "odd heads", bad, "hidden_dim must be a multiple of n_heads"
    wide = with_entry(content, "config", hidden_dim=1000, n_heads=1)
    yield "other width", wide, "wrong shape"
    released_variant = with_entry(content, "config", variant="released")
    yield "other variant", released_variant, "missing"
    taller = with_entry(content, "config", n_chans=62)
    yield "62 channels", taller, "config['n_chans'] is 62"
    for dtype in (torch.float16, torch.float64, torch.bfloat16, torch.int32):
        bad = with_tensors(content, **{spatial: weight.to(dtype)})
        yield f"weight {dtype}", bad, f"{str(dtype)[6:]}, expected float32"
    bad = with_tensors(content, **{"extra.scale": scale.float()})
    yield "scale float32", bad, "scale float32, expected float64"
    bad = with_tensors(content, **{"extra.statistics.spatial_std": std.double()})
    yield "statistics float64", bad, "spatial_std float64, expected float32"
    for shape in ((3600,), (60, 60, 1), (30, 120), (0, 60)):
        size = int(np.prod(shape))
        bad = with_tensors(content, **{spatial: weight.flatten()[:size].view(shape)})
        yield f"weight {shape}", bad, f"{shape}, expected (60, 60)"
    bad = with_tensors(content, **{"extra.mean": scale[:3]})
    yield "short mean", bad, "mean (3,), expected (4,)"
    for name in tensors:
        bare = name.partition(".")[2]
        yield f"no {name}", without(content, tensor=name), f"missing: {bare}"
        bad = with_value(content, name, float("nan"))
        yield f"NaN in {name}", bad, f"NaN or inf: {bare}"
    bad = with_value(content, "extra.mean", float("inf"))
    yield "inf", bad, "NaN or inf: mean"
    for name, value in (("scale", 0.0), ("scale", -1.0), ("statistics.spatial_std", 0)):
        bad = with_value(content, f"extra.{name}", value)
        yield f"{name} of {value}", bad, f"{name} has values that are not above 0"
    for name in (
        "spatial",
        "encoder",
        "encoder.x",
        f"{blocks}.x",
        "extra.x",
        "other.y",
    ):
        bad = with_tensors(content, **{name: weight})
        yield f"unexpected {name}", bad, "unexpected"
    train = with_entry(content, "parameters", subject_norm="subject")
    yield "statistics too much", train, "unexpected: statistics.channel_mean"
    plain = with_entry(content, "parameters", standardize=False)
    yield "scale too much", plain, "unexpected: mean, scale"
    for version, advice in ((VERSION + 1, "Update"), (99, "Update"), (1, "made again")):
        bad = rewritten(content, lambda *_, v=version: {"version": v})
        yield f"version {version}", bad, advice
    for version in (True, "3", float(VERSION), None):
        bad = rewritten(content, lambda *_, v=version: {"version": v})
        yield f"version {version!r}", bad, "has format version"
    bad = rewritten(content, lambda *_: {"kind": "checkpoint"})
    yield "other kind", bad, "holds 'checkpoint', expected 'weights'"


def wrong_headers(content):
    """Files with a right checksum and an odd header: name, bytes, error."""
    header, data = split(content)
    header = header.rstrip()
    outer = json.loads(header)
    text = outer["__metadata__"]["sklearn_mdjpt"]
    tensors = safetensors.torch.load(content)

    def ours(text):
        """Our file with another text, whose digest is that of the new text."""
        start, found, _ = text.rpartition(', "sha256"')
        if found:
            digest = hashlib.sha256((start + "}").encode())
            for name, tensor in sorted(tensors.items()):
                about = [name, str(tensor.dtype), list(tensor.shape)]
                digest.update(json.dumps(about).encode())
                digest.update(tensor.numpy().tobytes())
            text = f'{start}, "sha256": "{digest.hexdigest()}"}}'
        metadata = {"sklearn_mdjpt": text}
        return put(json.dumps(outer | {"__metadata__": metadata}).encode(), data)

    deep = "[" * 100_000 + "]" * 100_000
    twice = text.replace('{"kind"', '{"kind": "weights", "kind"', 1)
    reordered = json.dumps(dict(reversed(json.loads(text).items())))
    more = {"sklearn_mdjpt": text, "more": "x"}
    place, form = "its tensors are not where its header says", "another form"
    damaged = "is damaged: its checksum"
    yield from (
        ("deep outside", put(header[:-1] + f',"x":{deep}}}'.encode(), data), place),
        ("deep inside", ours(text.replace("125.0", deep)), form),
        ("twice outside", put(b'{"__metadata__":{},' + header[1:], data), "is"),
        ("twice inside", ours(twice), damaged),
        ("NaN", ours(text.replace('"sfreq": 125.0', '"sfreq": NaN')), damaged),
        ("inf", ours(text.replace('"sfreq": 125.0', '"sfreq": 1e999')), damaged),
        ("digits", ours(text.replace("125.0", "9" * 10_000)), "10000 digits"),
        ("a list inside", ours(f"[{text}]"), form),
        ("half a text", ours(text[:200]), form),
        ("order", ours(reordered), damaged),
        ("format 3", ours('{"sha256": "0", "kind": "weights", "format_version": 3}'),
         "format version 3; this version of sklearn_mdjpt reads version 4"),
        ("another name", ours(f'{{"x": 1, {text[1:]}'), damaged),
        ("not UTF-8", put(header.replace(b"StMary", b"St\xff\xfery"), data), place),
        ("UTF-16", put(header.decode().encode("utf-16-le"), data), place),
        ("more metadata", put(json.dumps(outer | {"__metadata__": more}).encode(),
                              data), damaged),
        ("trailing", put(header, data + b"\0"), place),
        ("trailing file", put(header, data + content), place),
        ("short data", put(header, data[:-4]), place),
        ("no data", put(header, b""), place),
    )  # fmt: skip
    name = "encoder.spatial.weight"
    start, stop = outer[name]["data_offsets"]
    for key, value in (
        ("dtype", "F8_E4M3"), ("dtype", "F99"), ("dtype", None), ("shape", None),
        ("shape", [60, -60]), ("shape", [2**63, 2**63]), ("shape", [2**62, 4]),
        ("shape", [10**30]), ("shape", 3600), ("shape", ["60", "60"]),
        ("data_offsets", [start, stop + 4]), ("data_offsets", [stop, start]),
        ("data_offsets", [0, 14400]), ("data_offsets", [2**63, 2**64]),
        ("data_offsets", [-1, 5]), ("data_offsets", None),
    ):  # fmt: skip
        entry = {name: outer[name] | {key: value}}
        bad = put(json.dumps(outer | entry).encode(), data)
        yield f"{key}={value}", bad, place


def damaged(content, rng):
    """Our file cut short or changed on the way: name, bytes, error."""
    for i in rng.integers(0, len(content), 40):
        yield f"{i} bytes of it", content[:i], ""
    for i in (1, 7, 8, 9, len(content) - 1):
        yield f"{i} bytes of it", content[:i], ""
    for n_flips in [1] * 60 + [2, 3, 8, 64] * 8:
        bad = bytearray(content)
        # Half of the flips in the header, which is smaller than the data.
        stop = len(content) if rng.random() < 0.5 else len(split(content)[0])
        places = rng.choice(8 * stop, n_flips, replace=False)
        for place in places:
            bad[place // 8] ^= 1 << (place % 8)
        yield f"flips {places[:8]}", bytes(bad), ""
    for name, bad in (
        ("a block of zeros", content[:4096] + bytes(4096) + content[8192:]),
        ("a block twice", content[:8192] + content[4096:]),
        ("twice", content + content),
        ("more", content + b"\n"),
        ("lines ended", content.replace(b"\n", b"\r\n") + b"\r\n"),
        ("other case", content.replace(b"StMary", b"stmary")),
    ):
        yield name, bad, ""


def foreign(content, touched, rng):
    """Files of others: name, bytes, error."""
    yield "empty", b"", "is empty"
    yield "8 bytes", bytes(8), "no weights file (it starts with"
    yield "9 bytes", bytes(8) + b"{", "damaged, or no safetensors file"
    yield "huge header", b"\xff" * 8 + b"{}", "damaged, or no safetensors file"
    bomb = struct.pack("<Q", 10**6) + b"{" + b'"a":{' * 200_000
    yield "JSON bomb", bomb + b"}" * 200_001, "damaged, or no safetensors file"
    yield "text", b"hello there, this is no weights file", "starts with b'hello the'"
    yield "JSON", json.dumps({"weights": [1, 2]}).encode(), "is no weights file"
    yield "page", b"<!DOCTYPE html><html><body>404</body></html>", "is no weights file"
    for i in range(10):
        yield f"random {i}", rng.bytes(int(rng.integers(1, 5000))), ""
    tensors = {"a": torch.zeros(2)}
    alien = "not one of sklearn_mdjpt"
    yield "safetensors", safetensors.torch.save(tensors), alien
    bad = safetensors.torch.save(tensors, {"format": "pt"})
    yield "safetensors of torch", bad, alien
    bad = safetensors.torch.save(tensors, {"sklearn_mdjpt": "{}"})
    yield "no checksum", bad, "another form"
    yield "no tensors", safetensors.torch.save({}), alien
    array = io.BytesIO()
    np.savez(array, a=np.zeros(3))
    yield "npz", array.getvalue(), "cannot be read as a checkpoint"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        bad = pickle.dumps(Touch(touched), protocol)
        yield f"pickle {protocol}", bad, ""
    # Looks like a safetensors file to whoever looks at the ninth byte only.
    bad = b"\x80\x04(((((({" + pickle.dumps(Touch(touched), 2)[2:]
    yield "pickle in disguise", bad, "damaged"


def wrong_checkpoints(state, touched, rng):
    """Checkpoints that are none of the released: name, bytes, error."""
    good = checkpoint({"state_dict": state, "epoch": 19})
    refused = "nothing else is unpickled"
    for how in ("open", "system", "eval"):
        evil = Touch(touched, how)
        yield f"{how} beside", checkpoint({"state_dict": state, "x": evil}), refused
        yield f"{how} within", checkpoint({"state_dict": state | {"x": evil}}), refused
        yield f"{how} alone", checkpoint(evil), refused
        old = checkpoint({"x": evil}, _use_new_zipfile_serialization=False)
        yield f"{how} legacy", old, "a checkpoint of torch before 1.6"
    old = checkpoint({"state_dict": state}, _use_new_zipfile_serialization=False)
    yield "legacy", old, "a checkpoint of torch before 1.6"
    for i in rng.integers(9, len(good), 20):
        yield f"{i} bytes of a checkpoint", good[:i], refused
    entries = zipfile.ZipFile(io.BytesIO(good)).infolist()
    entries = [entry for entry in entries if entry.file_size > 8]
    for k in range(30):
        # Within what an entry holds; what lies between them decides nothing.
        entry = entries[k % 3 if k < 12 else rng.integers(len(entries))]
        stop = good.index(entry.filename.encode(), entry.header_offset) + len(
            entry.filename
        )
        extra = struct.unpack("<H", good[entry.header_offset + 28 :][:2])[0]
        bad = bytearray(good)
        place = stop + extra + rng.integers(entry.file_size)
        bad[place] ^= 1 << rng.integers(8)
        yield f"flip at {place} of a checkpoint", bytes(bad), refused
    name = "uni_mlp.fc.bias"
    bias = state[name]

    def changed(**values):
        return checkpoint({"state_dict": state | {name: bias} | values})

    yield "missing", checkpoint({k: v for k, v in state.items() if k != name}), name
    yield "unexpected", changed(surprise=bias), "surprise"
    yield (
        "other shape",
        changed(**{name: bias[:3].clone()}),
        "uni_mlp.fc.bias (3), expected (8)",
    )
    for dtype in (torch.float16, torch.float64, torch.bfloat16, torch.int64):
        message = f"dtype {str(dtype)[6:]}, expected float32"
        yield f"{dtype}", changed(**{name: bias.to(dtype)}), message
        everything = {k: v.to(dtype) for k, v in state.items()}
        yield f"all {dtype}", checkpoint({"state_dict": everything}), message
    for value in (float("nan"), float("inf")):
        bad = bias.clone()
        bad[0] = value
        yield f"{value}", changed(**{name: bad}), f"{name} holds NaN or inf"
    yield "empty tensor", changed(**{name: bias[:0]}), "is empty"
    wide = torch.zeros(1).expand(10**6, 10**6)
    yield "stride of zero", changed(**{"uni_mlp.fc.weight": wide}), "its tensors have"
    on_meta = changed(**{name: torch.empty(10**12, device="meta")})
    yield "no memory", on_meta, "not a plain tensor"
    # torch warns before we refuse it, and warnings are errors here.
    yield "sparse", changed(**{name: bias.to_sparse()}), ""
    yield "no tensor", changed(**{name: 1.0}), "is a float, no tensor"
    numbered = checkpoint({"state_dict": {1: bias}})
    yield "no names", numbered, "a name is 1, expected a str"
    yield "a tensor", checkpoint(bias), "holds no state_dict"
    yield "a list", checkpoint([bias]), "holds no state_dict"
    yield "nothing", checkpoint({"state_dict": {}}), "holds no state_dict"
    yield "a list inside", checkpoint({"state_dict": [bias]}), "holds no state_dict"
    pieces = {e.filename: good for e in entries[:1]}
    for compression, message in (
        (zipfile.ZIP_DEFLATED, "compressed archive"),
        (zipfile.ZIP_STORED, "nothing else is unpickled"),
    ):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", compression) as archive:
            for filename, data in pieces.items():
                archive.writestr(filename, data)
        yield f"zip {compression}", file.getvalue(), message
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("archive/data.pkl", b"a")
        archive.writestr("archive/data.pkl", b"a")
    yield "entry twice", file.getvalue(), "the same name"


def listing(folder):
    return sorted(p.name for p in folder.iterdir())


def assert_refused(files, folder, X, name):
    """Each file raises one clear ValueError, in load and in fit, and does no more."""
    path = folder / name
    fitted = MDJPTEncoder(weights=path)
    parameters = dict(vars(fitted))
    rng, failures, n = torch.get_rng_state(), [], 0
    for what, bad, message in files:
        n += 1
        path.write_bytes(bad)
        for read in (MDJPTEncoder.load, lambda _: fitted.fit(X)):
            try:
                read(path)
            except Exception as error:
                # The names of folders are not to match the message.
                text = str(error).replace(repr(str(path)), "<file>")
                clear = "<file>" in text and message in text
                clear &= "Please use" not in text  # torch's advice on how to run it
                if type(error) is not ValueError or not clear or len(text) > 6000:
                    failures.append(f"{what}: {type(error).__name__}: {text[:300]}")
            else:
                failures.append(f"{what}: no error")
        if vars(fitted) != parameters:
            failures.append(f"{what}: the estimator has changed")
        if listing(folder) != [name] or listing(Path.cwd()):
            failures.append(f"{what}: there are new files")
    assert not failures, "\n".join(failures)
    assert torch.equal(torch.get_rng_state(), rng)
    return n


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder; another empty one is the working directory."""
    (tmp_path / "cwd").mkdir()
    (tmp_path / "files").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    # The strictness is not for the environment to take away.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    return tmp_path / "files"


@pytest.mark.filterwarnings("error")
def test_damaged_and_foreign_files_are_refused(content, folder, X):
    rng = np.random.default_rng(0)
    touched = folder.parent / "touched"
    files = [*damaged(content, rng), *foreign(content, touched, rng)]
    assert assert_refused(files, folder, X, "x.safetensors") > 150
    assert not touched.exists()


@pytest.mark.filterwarnings("error")
def test_wrong_contents_with_a_right_checksum_are_refused(content, folder, X):
    files = [*wrong_contents(content), *wrong_headers(content)]
    assert assert_refused(files, folder, X, "x.safetensors") > 200


@pytest.mark.filterwarnings("error")
def test_wrong_checkpoints_are_refused(released, folder, X):
    touched = folder.parent / "touched"
    files = wrong_checkpoints(released, touched, np.random.default_rng(0))
    assert assert_refused(files, folder, X, "epoch=19.ckpt") > 80
    assert not touched.exists()


def test_the_files_above_would_do_harm_elsewhere(content, released, tmp_path, X):
    """Otherwise the tests above would prove nothing."""
    for how in ("open", "system", "eval"):
        touched = tmp_path / how
        pickle.loads(pickle.dumps(Touch(touched, how)))
        assert touched.exists()
    evil = checkpoint({"x": Touch(tmp_path / "torch")})
    torch.load(io.BytesIO(evil), weights_only=False)
    assert (tmp_path / "torch").exists()
    # And what is not made wrong is read.
    (tmp_path / "x.safetensors").write_bytes(rewritten(content, lambda *_: None))
    assert MDJPTEncoder.load(tmp_path / "x.safetensors").n_features_out_ == 4
    header, data = split(content)
    assert put(header, data) == content
    (tmp_path / "x.ckpt").write_bytes(checkpoint({"state_dict": released}))
    convert(tmp_path / "x.ckpt", tmp_path / "y.safetensors")
    loaded = MDJPTEncoder.load(tmp_path / "y.safetensors")
    assert loaded.module_.variant == "released" and loaded.mean_ is None
    assert loaded.training_subjects_ is None and len(loaded.history_) == 0
    torch.testing.assert_close(
        loaded.module_.spatial.bias.data, released["uni_mlp.fc.bias"], rtol=0, atol=0
    )


def test_a_flip_in_a_checkpoint_is_found_or_changes_nothing(released, tmp_path):
    """Between entries an archive has bytes that nothing depends on."""
    path = tmp_path / "x.ckpt"
    good = checkpoint({"state_dict": released})
    path.write_bytes(good)
    ours = tmp_path / "x.safetensors"
    convert(path, ours)
    expected = ours.read_bytes()
    rng, n_refused = np.random.default_rng(1), 0
    for place in rng.integers(0, 8 * 4000, 40):  # where there are many small entries
        bad = bytearray(good)
        bad[-1 - place // 8] ^= 1 << (place % 8)
        path.write_bytes(bad)
        try:
            convert(path, ours)
        except ValueError as error:
            assert repr(str(path)) in str(error)
            n_refused += 1
            continue
        assert ours.read_bytes() == expected
    assert n_refused > 10


def test_every_flip_and_every_cut_is_found():
    tensors = {"a": torch.arange(5.0), "b": torch.zeros(0)}
    options = {"kind": "test", "version": 1}
    good = encode_tensors(tensors, {"name": 'ä\\ "sha256": "'}, **options)
    found, metadata = decode_tensors(good, "x", **options)
    assert torch.equal(found["a"], tensors["a"]) and found["b"].shape == (0,)
    assert metadata == {"name": 'ä\\ "sha256": "'}
    for i in range(len(good)):
        with pytest.raises(ValueError, match="'x'"):
            decode_tensors(good[:i], "x", **options)
        for bit in range(8):
            bad = bytearray(good)
            bad[i] ^= 1 << bit
            with pytest.raises(ValueError, match="'x'"):
                decode_tensors(bytes(bad), "x", **options)


def test_what_no_tensor_file_can_hold_is_refused(monkeypatch):
    options = {"kind": "test", "version": 1}
    with pytest.raises(ValueError, match="JSON"):
        encode_tensors({}, {"loss": float("nan")}, **options)
    monkeypatch.setattr(tensor_files, "_MAX_HEADER", 200)
    with pytest.raises(ValueError, match="metadata take .* more than the 200"):
        encode_tensors({}, {"x": "y" * 200}, **options)


def test_sizes_are_compared_before_anything_is_built(content, monkeypatch, tmp_path):
    """A config of many gigabytes costs neither memory nor time."""
    built = []

    class Network(weights_module.HybridEncoder):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            built.extend(self.parameters())

    monkeypatch.setattr(weights_module, "HybridEncoder", Network)
    monkeypatch.setattr(files_module, "HybridEncoder", None)
    path = tmp_path / "x.safetensors"
    sizes = {"hidden_dim": 4000, "latent_dim": 4000, "n_filters": 4000}
    path.write_bytes(with_entry(content, "config", **sizes))
    with pytest.raises(ValueError, match="wrong shape"):
        MDJPTEncoder.load(path)
    assert sum(p.numel() for p in built) > 10**15
    assert all(p.device.type == "meta" for p in built)
    path.write_bytes(with_entry(content, "config", depth=10**8))
    with pytest.raises(ValueError, match="'depth'.* more than the tensors have"):
        MDJPTEncoder.load(path)


# Round trips ------------------------------------------------------------------------


def test_round_trip_is_exact_and_files_are_identical(encoder, content, path, X):
    rng = torch.get_rng_state()
    loaded = MDJPTEncoder.load(path)
    assert torch.equal(torch.get_rng_state(), rng)
    np.testing.assert_array_equal(loaded.transform(X), encoder.transform(X))
    pd.testing.assert_frame_equal(loaded.history_, encoder.history_)
    assert loaded.training_datasets_ == ["StMary"]
    assert loaded.training_subjects_ == ["StMary/Doe", "StMary/Roe"]
    assert loaded.n_training_subjects_ == encoder.n_training_subjects_ == 2
    for again in (encoder, loaded):
        again.save(path)
        assert path.read_bytes() == content
    assert listing(path.parent) == ["x.safetensors"]


def test_gaps_in_the_history_are_kept(encoder, path):
    changed = copy.copy(encoder)
    changed.history_ = encoder.history_.copy()
    changed.history_.loc[1, "cda"] = np.nan
    changed.save(path)
    header, _ = split(path.read_bytes())
    assert b"NaN" not in header
    pd.testing.assert_frame_equal(MDJPTEncoder.load(path).history_, changed.history_)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_modules_of_another_dtype_are_saved_as_float32(encoder, path, dtype, X):
    moved = copy.deepcopy(encoder)
    moved.module_.to(dtype)
    moved.save(path)
    loaded = MDJPTEncoder.load(path)
    expected = dict(moved.module_.named_parameters())
    for name, value in loaded.module_.named_parameters():
        assert value.dtype == torch.float32
        assert torch.equal(value, expected[name].float())
    assert np.isfinite(loaded.transform(X)).all()


@pytest.mark.parametrize("where", ["weights", "scale", "names"])
def test_what_could_not_be_loaded_is_not_saved(encoder, content, path, where):
    broken = copy.deepcopy(encoder)
    if where == "weights":
        with torch.no_grad():
            broken.module_.spatial.weight[0, 0] = np.nan
        message = "NaN or inf: spatial.weight"
    elif where == "scale":
        broken.scale_[0] = 0
        message = "scale has values that are not above 0"
    else:
        broken.training_subjects_ = [1, 2]
        message = "training_subjects is .1, 2., expected a list of str"
    with pytest.raises(ValueError, match=f"x.safetensors' is not written.*{message}"):
        broken.save(path)
    assert path.read_bytes() == content
    assert listing(path.parent) == ["x.safetensors"]


def test_a_file_that_is_replaced_during_load_is_not_mixed_in(
    encoder, path, X, monkeypatch
):
    other = MDJPTEncoder(subject_norm="train", **TINY | {"random_state": 1}).fit(X)

    read = files_module.read_weights

    def read_and_replace(path, **kwargs):
        found = read(path, **kwargs)
        other.save(path)
        return found

    monkeypatch.setattr(files_module, "read_weights", read_and_replace)
    loaded = MDJPTEncoder.load(path)
    np.testing.assert_array_equal(loaded.transform(X), encoder.transform(X))
    loaded = MDJPTEncoder.load(path)
    np.testing.assert_array_equal(loaded.transform(X), other.transform(X))


# Who the weights were trained on ------------------------------------------------------


def test_files_hold_no_paths_and_no_users(path, X):
    tuned = MDJPTEncoder(
        weights=path, finetune=True, subject_norm="train",
        max_epochs=1, batches_per_epoch=1, random_state=0,
    ).fit(X)  # fmt: skip
    tuned.save(path)
    found = path.read_bytes()
    assert b"StMary/Doe" in found
    for private in (str(path.parent), path.name, str(Path.home()), os.getcwd()):
        if len(private) > 1:
            assert private.encode() not in found
    assert getpass.getuser().encode() not in found.replace(b"encoder", b"")


def test_anonymous_files_name_nobody(encoder, path, X):
    encoder.save(path, anonymous=True)
    found = path.read_bytes()
    for name in (b"StMary", b"Doe", b"Roe"):
        assert name not in found
    loaded = MDJPTEncoder.load(path)
    assert loaded.training_datasets_ is None and loaded.training_subjects_ is None
    assert loaded.n_training_subjects_ == 2
    np.testing.assert_array_equal(loaded.transform(X), encoder.transform(X))
    # The question for an overlap gets no answer rather than a wrong one.
    with pytest.raises(TypeError):
        set(X.groups("subject")) & set(loaded.training_subjects_)
    for again in (loaded, MDJPTEncoder(weights=path, subject_norm="train").fit(X)):
        assert again.training_subjects_ is None and again.n_training_subjects_ == 2
        # Who was trained on does not come back.
        again.save(path)
        assert MDJPTEncoder.load(path).training_subjects_ is None
    # The encoder itself has forgotten nobody.
    assert encoder.training_subjects_ == ["StMary/Doe", "StMary/Roe"]
    with pytest.raises(ValueError, match="anonymous must be one of True, False"):
        encoder.save(path, anonymous="yes")


@pytest.mark.parametrize("anonymous", [False, True])
def test_finetuning_adds_to_whom_the_weights_have_seen(encoder, path, anonymous):
    encoder.save(path, anonymous=anonymous)
    Y = make_windows("Other", ["Doe", "Poe", "Zoe"])
    tuned = MDJPTEncoder(
        weights=path, finetune=True, subject_norm="train", max_epochs=1,
        batches_per_epoch=1, random_state=0,
    ).fit(Y)  # fmt: skip
    if anonymous:
        # Those of the file may or may not be among the new ones.
        assert tuned.training_datasets_ is None and tuned.training_subjects_ is None
        assert tuned.n_training_subjects_ is None
    else:
        assert tuned.training_datasets_ == ["StMary", "Other"]
        assert tuned.training_subjects_ == [
            "StMary/Doe", "StMary/Roe", "Other/Doe", "Other/Poe", "Other/Zoe",
        ]  # fmt: skip
        assert tuned.n_training_subjects_ == 5
    before = tuned.training_subjects_, tuned.n_training_subjects_
    tuned.save(path)
    loaded = MDJPTEncoder.load(path)
    assert (loaded.training_subjects_, loaded.n_training_subjects_) == before


def test_untrained_weights_have_seen_nobody(path, X):
    untrained = MDJPTEncoder(**TINY | {"max_epochs": 0}).fit(X)
    assert untrained.training_subjects_ == [] and untrained.n_training_subjects_ == 0
    untrained.save(path, anonymous=True)
    assert MDJPTEncoder.load(path).n_training_subjects_ == 0


def test_subjects_without_a_name_are_counted():
    arrays = np.random.default_rng(0).standard_normal((12, 4, 64))
    kwargs = {"ch_names": ["Fz", "Cz", "Pz", "Oz"], "sfreq": 125}
    who = {"subjects": np.repeat([0, 1, 2], 4), "stimuli": np.tile(range(4), 3)}
    fitted = MDJPTEncoder(**TINY, **kwargs).fit(arrays, **who)
    assert fitted.training_subjects_ == [] and fitted.n_training_subjects_ == 3
    with pytest.warns(UserWarning):
        fitted.fit(arrays, np.tile([0, 1], 6))
    assert fitted.training_subjects_ == [] and fitted.n_training_subjects_ is None


def test_released_checkpoints_do_not_say_whom_they_have_seen(released, tmp_path):
    path = tmp_path / "epoch=19.ckpt"
    path.write_bytes(checkpoint({"state_dict": released}))
    fitted = MDJPTEncoder(weights=path).fit(make_windows("D", ["1", "2"]))
    assert fitted.training_datasets_ is None and fitted.training_subjects_ is None
    assert fitted.n_training_subjects_ is None
    fitted.save(tmp_path / "x.safetensors")
    assert MDJPTEncoder.load(tmp_path / "x.safetensors").training_subjects_ is None
    with pytest.raises(ValueError, match="released checkpoint and holds no fitted"):
        MDJPTEncoder.load(path)


def test_what_a_file_sets_is_not_overridden(path):
    for name in ("subject_norm", "hidden_dim", "weights"):
        with pytest.raises(ValueError, match=f"Set by the file.*: {name}"):
            MDJPTEncoder.load(path, **{name: None})
    with pytest.raises(ValueError, match="variant='released', but .* 'paper'"):
        MDJPTEncoder.load(path, variant="released")


# Paths ------------------------------------------------------------------------------


class MyPath(os.PathLike):
    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


@pytest.mark.parametrize("kind", [str, Path, MyPath])
def test_kinds_of_paths(encoder, content, tmp_path, kind):
    path = kind(tmp_path / "x.safetensors")
    encoder.save(path)
    assert (tmp_path / "x.safetensors").read_bytes() == content
    loaded = MDJPTEncoder.load(path)
    assert loaded.weights is path


def test_paths_where_no_file_can_be(encoder, content, path, X, monkeypatch):
    folder = path.parent
    for bad in (folder, f"{folder}/"):
        with pytest.raises(IsADirectoryError, match="got a folder"):
            encoder.save(bad)
        with pytest.raises(IsADirectoryError, match="got a folder"):
            MDJPTEncoder.load(bad)
        with pytest.raises(IsADirectoryError, match="got a folder"):
            MDJPTEncoder(weights=bad).fit(X)
    for bad in (folder / "absent", path / "below a file"):
        with pytest.raises(FileNotFoundError, match="No weights file"):
            MDJPTEncoder.load(bad)
        with pytest.raises(FileNotFoundError, match="There is no folder"):
            encoder.save(bad / "x.safetensors")
    monkeypatch.chdir(folder)
    with pytest.raises(FileNotFoundError, match="'~' is not expanded"):
        MDJPTEncoder.load("~/x.safetensors")
    with pytest.raises(FileNotFoundError, match="no folder '~'.*'~' is not expanded"):
        encoder.save("~/x.safetensors")
    for bad in (None, 5):
        with pytest.raises(TypeError, match=f"must be a path, got {bad}"):
            MDJPTEncoder.load(bad)
    with pytest.raises(ValueError, match="must be a path, got an empty string"):
        MDJPTEncoder.load("")
    with pytest.raises(TypeError, match="weights must be a path, got 5"):
        MDJPTEncoder(weights=5).fit(X)
    assert listing(folder) == ["x.safetensors"] and path.read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipes_and_devices_are_left_alone(encoder, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="got a device"):
        encoder.save(pipe)
    with pytest.raises(ValueError, match="is no regular file"):
        MDJPTEncoder.load(pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(os.name == "nt", reason="no permissions of this kind")
@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o077, 0o600)])
def test_permissions_follow_the_umask(encoder, path, mask, mode):
    before = os.umask(mask)
    try:
        encoder.save(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(os.name == "nt", reason="links need rights")
def test_a_link_is_replaced_and_not_followed(encoder, content, path):
    link = path.with_name("link.safetensors")
    path.write_bytes(b"of somebody else")
    link.symlink_to(path)
    encoder.save(link)
    assert path.read_bytes() == b"of somebody else"
    assert not link.is_symlink() and link.read_bytes() == content


# Crashes ----------------------------------------------------------------------------

# Each case saves in a process of its own, which has nothing but what save does.
CRASHES = """
import json, os, signal, sys
from pathlib import Path

from sklearn_mdjpt import MDJPTEncoder

folder = Path(sys.argv[1])
encoder = MDJPTEncoder.load(folder / "new.safetensors")
size = (folder / "new.safetensors").stat().st_size
real_open, real_replace = Path.open, os.replace


def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)


class DiesWriting:
    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.file.close()

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        die()


def killed_in_write():
    Path.open = lambda *args: DiesWriting(real_open(*args))


def killed_before_sync():
    os.fsync = die


def killed_before_replace():
    os.replace = die


def killed_after_replace():
    def replace(*args):
        real_replace(*args)
        die()

    os.replace = replace


def disk_full():
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))


def read_only():
    os.chmod(".", 0o555)
    if os.geteuid() == 0:
        os.setuid(65534)


results = {}
for case in (
    killed_in_write, killed_before_sync, killed_before_replace, killed_after_replace,
    disk_full, read_only,
):
    os.chdir(folder / case.__name__)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        case()
        try:
            encoder.save("x.safetensors")
            os.write(writer, b"saved")
        except OSError as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    message = os.read(reader, 10_000).decode()
    results[case.__name__] = (os.WTERMSIG(status), message)
print(json.dumps(results))
"""
KILLED = (
    "killed_in_write",
    "killed_before_sync",
    "killed_before_replace",
    "killed_after_replace",
)


@pytest.fixture(scope="module")
def crashes(encoder, content, X, tmp_path_factory):
    """Folders in which a process was stopped while it saved, and how it ended."""
    if not hasattr(os, "fork"):
        pytest.skip("processes are not forked here")
    folder = tmp_path_factory.mktemp("crashes")
    new = MDJPTEncoder(subject_norm="train", **TINY | {"random_state": 1}).fit(X)
    new.save(folder / "new.safetensors")
    for case in (*KILLED, "disk_full", "read_only"):
        (folder / case).mkdir()
        (folder / case / "x.safetensors").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", CRASHES, str(folder)],
        cwd=Path(sklearn_mdjpt.__file__).parents[1],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


@pytest.mark.parametrize("case", KILLED)
def test_a_kill_while_saving_leaves_a_whole_file(crashes, encoder, X, case):
    folder, results = crashes
    assert results[case] == [9, ""]
    path = folder / case / "x.safetensors"
    expected = encoder
    if case == "killed_after_replace":
        expected = MDJPTEncoder.load(folder / "new.safetensors")
    loaded = MDJPTEncoder.load(path)
    np.testing.assert_array_equal(loaded.transform(X), expected.transform(X))
    # What was being written is hidden, and in nobody's way.
    left = [name for name in listing(path.parent) if name != path.name]
    assert len(left) == (case != "killed_after_replace")
    assert all(name.startswith(".") and name.endswith(".part") for name in left)
    loaded.save(path)
    MDJPTEncoder.load(path)


@pytest.mark.parametrize(
    "case, error", [("disk_full", "OSError"), ("read_only", "PermissionError")]
)
def test_a_full_disk_or_a_closed_folder_leaves_the_old_file(
    crashes, content, case, error
):
    folder, results = crashes
    signal, message = results[case]
    assert signal == 0 and message.startswith(f"{error}: [Errno ")
    assert message.endswith("a file that was there is unchanged: 'x.safetensors'")
    assert (folder / case / "x.safetensors").read_bytes() == content
    assert listing(folder / case) == ["x.safetensors"]
