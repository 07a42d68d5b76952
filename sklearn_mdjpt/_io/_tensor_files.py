"""Files of tensors and plain values: safetensors with a JSON text and a checksum.

Nothing in them is pickled, and opening one runs nothing.  The checksum covers the
whole file, so that a file that was cut short or changed on the way is never taken for
a good one.  It is no signature: whoever makes a file can give it a right checksum, so
readers check what they take out of it.
"""

import collections
import errno
import hashlib
import io
import json
import reprlib
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from .._validation import check_path, home_hint, list_some
from ._files import write_file

_KEY = "sklearn_mdjpt"
# These stand first in our text, in this order.  Where the checksum stands and what it
# covers is the same in all versions, so that damage is told from a newer version.
_FIRST = ("sha256", "kind", "format_version")
_NO_CHECKSUM = b"0" * 64
# The checksum as it stands in the header: JSON inside a JSON text.
_MARK = rb"\"sha256\": \""
# safetensors reads no longer headers.
_MAX_HEADER = 100_000_000
# What PyTorch Lightning keeps beside the weights names these types, above all where it
# was set up with Hydra.  They are never imported: see `_stand_in`.
_SETTINGS = {
    "argparse.Namespace",
    "builtins.bool",
    "builtins.dict",
    "builtins.float",
    "builtins.int",
    "builtins.list",
    "builtins.set",
    "builtins.str",
    "builtins.tuple",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "typing.Any",
}
_SETTINGS_OF = "omegaconf."


def write_tensors(path, tensors, metadata, *, kind, version):
    """Write a file; an older one is replaced only by a whole new one.

    Parameters
    ----------
    path : Path
        The file; its folder exists.
    tensors : dict of str to Tensor
        On any device.
    metadata : dict
        Values of JSON's types.
    kind : str
        What the file holds.
    version : int
        Version of the format of this kind of file.

    Raises
    ------
    ValueError, TypeError
        If the metadata cannot be written as JSON, which has no NaN.
    OSError
        If the file cannot be written; then nothing has changed.
    """
    content = encode_tensors(tensors, metadata, kind=kind, version=version)
    try:
        write_file(path, content)
    except OSError as error:
        # The plain error names a temporary file that nobody has heard of.
        raise OSError(
            error.errno,
            f"{error.strerror or error}; nothing was written, and a file that was "
            "there is unchanged",
            str(path),
        ) from error


def read_tensors(path, *, kind, version):
    """Read a file of `write_tensors`.

    Parameters
    ----------
    path : Path
        The file.
    kind, version : str, int
        What is expected, and the version that is understood.

    Returns
    -------
    tensors : dict of str to Tensor
        On the CPU.
    metadata : dict
        As they were written.

    Raises
    ------
    ValueError
        If the file is damaged, is none of this package, is of another kind or comes
        from another version.
    """
    # In one go: what comes to stand under this name meanwhile is not mixed in.
    content = Path(path).read_bytes()
    return decode_tensors(content, path, kind=kind, version=version)


def encode_tensors(tensors, metadata, *, kind, version):
    """Return what `write_tensors` writes; the same input gives the same bytes."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    first = dict(zip(_FIRST, (_NO_CHECKSUM.decode(), kind, version), strict=True))
    if clash := first.keys() & metadata.keys():
        raise ValueError(f"metadata must not hold {sorted(clash)}: they are set here.")
    text = json.dumps(first | metadata, allow_nan=False)
    content = bytearray(save(tensors, metadata={_KEY: text}))
    if _header_size(content) > _MAX_HEADER:
        raise ValueError(
            f"The metadata take {_header_size(content)} bytes, more than the "
            f"{_MAX_HEADER} that a header may have."
        )
    place = content.index(_MARK) + len(_MARK)
    content[place : place + len(_NO_CHECKSUM)] = _checksum(content, place)
    return bytes(content)


def decode_tensors(content, path, *, kind, version):
    """Return what `read_tensors` reads; ``path`` is for messages."""
    name = repr(str(path))
    text = _intact_header(content, name)
    try:
        header = _our_header(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{name} is not usable: its header is not of the form expected "
            f"({cut(error)})."
        ) from error
    _, found_kind, found_version = (header.pop(key) for key in _FIRST)
    if found_kind != kind:
        advice = ""
        if found_kind == "checkpoint":
            advice = (
                " The end of a training, the file encoder-*.safetensors beside its "
                "checkpoints, can be loaded."
            )
        raise ValueError(
            f"{name} holds {reprlib.repr(found_kind)}, expected {kind!r}.{advice}"
        )
    if type(found_version) is not int or found_version != version:
        newer = type(found_version) is int and found_version > version
        advice = "Update sklearn_mdjpt." if newer else "It has to be made again."
        raise ValueError(
            f"{name} has format version {reprlib.repr(found_version)}; this version of "
            f"sklearn_mdjpt reads version {version}. {advice}"
        )
    return _load(content, name), header


def read_content(path, expected):
    """Read a file that holds tensors, ours or not.

    Parameters
    ----------
    path : str or path-like
        The file.
    expected : str
        What it should be, for messages.

    Returns
    -------
    content : bytes
        All of it.
    form : {"safetensors", "archive"}
        What it looks like; an archive is what torch.save writes.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file, or it is a folder.
    ValueError
        If it is of neither form.
    """
    path = check_path(path, "The name of a weights file")
    if path.is_dir():
        raise IsADirectoryError(
            errno.EISDIR, "Expected a weights file, got a folder", str(path)
        )
    if not path.exists():
        raise FileNotFoundError(f"No weights file {str(path)!r}.{home_hint(path)}")
    if not path.is_file():
        # Reading a pipe or a device may never end.
        raise ValueError(f"{str(path)!r} is no regular file, expected a weights file.")
    # Opened once: a file that comes to stand under this name meanwhile is not mixed in.
    with path.open("rb") as file:
        start = file.read(9)
        if start[8:] == b"{":
            return start + file.read(), "safetensors"
        if start[:4] == b"PK\x03\x04":
            return start + file.read(), "archive"
    if not start:
        problem = "is empty"
    elif start[:1] == b"\x80":
        # They have no checksum, and all that they hold is reached by unpickling.
        problem = "is a pickle, or a checkpoint of torch before 1.6"
    else:
        problem = f"is no weights file (it starts with {start!r})"
    raise ValueError(f"{str(path)!r} {problem}; expected {expected}.")


class _Setting:
    """Stands for objects of other libraries in a checkpoint, and keeps nothing."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


def _mapping(*args):
    """Stand for the types of mappings that are made by a call."""
    return {}


def _stand_in(name):
    """Return what is made in place of a type that a checkpoint names, or None."""
    # torch fills in nothing but dicts and OrderedDicts.
    if name.endswith(".AttributeDict") and name in _SETTINGS:
        return collections.OrderedDict
    if name == "collections.defaultdict":
        return _mapping
    if name in _SETTINGS or name.startswith(_SETTINGS_OF):
        return _Setting
    return None


def load_archive(content, path):
    """Return the state_dict in what torch.save wrote, alone or in a checkpoint.

    Nothing but tensors and plain values is unpickled; what Lightning notes of its
    settings is skipped.  Whether the values are tensors, and which, is left to the
    caller.
    """
    try:
        _check_archive(content)
        named = torch.serialization.get_unsafe_globals_in_checkpoint(
            io.BytesIO(content)
        )
        settings = [
            (_stand_in(name), name) for name in named if _stand_in(name) is not None
        ]
        with torch.serialization.safe_globals(settings):
            found = torch.load(
                io.BytesIO(content), map_location="cpu", weights_only=True
            )
    except Exception as error:
        # Damaged archives raise many things; a pickle that would run code is refused,
        # with long advice on how to run it all the same.
        reason = str(error).rpartition("WeightsUnpickler error: ")[2]
        reason = reason.strip().partition("\n")[0].partition(" Please use ")[0]
        raise ValueError(
            f"{str(path)!r} cannot be read as a checkpoint of tensors and plain values "
            f"(nothing else is unpickled): {cut(reason) or type(error).__name__}"
        ) from error
    found = found.get("state_dict", found) if isinstance(found, dict) else {}
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{str(path)!r} holds no state_dict of tensors.")
    return found


def read_state_dict(path):
    """Read anybody's tensors by name.

    Parameters
    ----------
    path : str or path-like
        A file of safetensors, or of torch.save: a state_dict, or a dict that has one
        under "state_dict", as Lightning's checkpoints do.

    Returns
    -------
    dict of str to Tensor
        On the CPU.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        As of `read_content`; or if something in it is no tensor.
    """
    content, form = read_content(
        path, "a file of safetensors or a state_dict that torch.save wrote"
    )
    if form == "safetensors":
        return _load(content, repr(str(path)))
    found = load_archive(content, path)
    wrong = [
        f"{cut(name, 80)} is a {type(value).__name__}"
        for name, value in found.items()
        if not isinstance(name, str) or not isinstance(value, torch.Tensor)
    ]
    if wrong:
        raise ValueError(
            f"{str(path)!r} holds no state_dict of tensors: {list_some(wrong, 3)}."
        )
    return {name: value.detach() for name, value in found.items()}


def is_tensor_file(path):
    """Whether a file looks like safetensors, whoever wrote it."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def text_to_tensor(text):
    """Return a text as a tensor: headers are bounded in size, tensors are not."""
    content = text.encode()
    # torch takes no empty buffer.
    if not content:
        return torch.zeros(0, dtype=torch.uint8)
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def tensor_to_text(tensor):
    """Return the text that `text_to_tensor` was given."""
    return tensor.numpy().tobytes().decode()


def cut(message, length=200):
    """Return a message that others wrote, at most so long."""
    message = str(message)
    return message if len(message) <= length else f"{message[:length]}..."


def _load(content, name):
    """Return the tensors of a file of safetensors, whoever wrote it."""
    try:
        return load(content)
    # Besides its own error, safetensors lets through those of Python and torch for
    # dtypes and shapes that they do not know.
    except (
        SafetensorError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(
            f"{name} is not usable: its tensors are not where its header says, or of "
            f"unknown type ({cut(error)})."
        ) from error


def _check_archive(content):
    """Raise unless every entry of a zip archive is the one that was written."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is a compressed archive, which torch.save never makes")
        # Small archives that claim to hold much: entries that share their bytes.
        if sum(entry.file_size for entry in entries) > len(content):
            raise ValueError("its entries are larger than the file")
        if len({entry.filename for entry in entries}) < len(entries):
            raise ValueError("two of its entries have the same name")
        # torch itself does not compare the checksums.
        if broken := archive.testzip():
            raise ValueError(f"the checksum of {cut(broken)!r} is not that of its data")


def _header_size(content):
    return int.from_bytes(content[:8], "little")


def _checksum(content, place):
    """Hash the content as it is with zeros in the place of the checksum."""
    view = memoryview(content)
    digest = hashlib.sha256(view[:place])
    digest.update(_NO_CHECKSUM)
    digest.update(view[place + len(_NO_CHECKSUM) :])
    return digest.hexdigest().encode()


def _intact_header(content, name):
    """Return the bytes of the header of a file whose checksum is right."""
    if not content:
        raise ValueError(f"{name} is empty, expected a file of sklearn_mdjpt.")
    size = _header_size(content)
    if size > min(len(content) - 8, _MAX_HEADER):
        raise ValueError(
            f"{name} is damaged, or no safetensors file: it has {len(content)} bytes, "
            f"and its header would have {size}."
        )
    text = content[8 : 8 + size]
    found = text.find(_MARK)
    if found < 0 and f'"{_KEY}"'.encode() not in text:
        raise ValueError(
            f"{name} is a safetensors file, or looks like one, but none of "
            "sklearn_mdjpt."
        )
    place = 8 + found + len(_MARK)
    checksum = content[place : place + len(_NO_CHECKSUM)]
    if found < 0 or checksum != _checksum(content, place):
        raise ValueError(f"{name} is damaged: its checksum is not that of its content.")
    return text


def _our_header(text):
    """Return our values in a header of safetensors, as they come in the file."""
    metadata = _object(text.decode("utf-8")).get("__metadata__")
    if not isinstance(metadata, dict) or set(metadata) != {_KEY}:
        raise ValueError(f"its __metadata__ must hold {_KEY!r} and nothing else")
    header = _object(metadata[_KEY])
    if tuple(header)[: len(_FIRST)] != _FIRST:
        raise ValueError(f"{_KEY!r} must begin with {', '.join(_FIRST)}")
    return header


def _object(text):
    """Return a JSON object; strictly, as programs differ in what else they take."""
    if not isinstance(text, str):
        raise ValueError(f"{_KEY!r} must be a text, got {type(text).__name__}")
    found = json.loads(
        text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant
    )
    if not isinstance(found, dict):
        raise ValueError(f"it must be a JSON object, got {type(found).__name__}")
    return found


def _without_duplicates(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _no_constant(name):
    raise ValueError(f"{name} is not JSON")
