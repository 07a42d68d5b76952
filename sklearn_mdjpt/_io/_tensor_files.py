"""Files of tensors: safetensors with a JSON text and a digest, and torch's archives.

No code in them is run.  The digest covers the whole content of a file of ours, so that
a file that was cut short or changed is refused.  It is no signature: anybody can make a
file with a correct digest, so readers check the values that they use.
"""

import collections
import errno
import hashlib
import io
import json
import re
import reprlib
import zipfile

import torch
from safetensors.torch import load, save

from .._validation import check_path, home_hint, list_some
from ._files import write_file

_KEY = "sklearn_mdjpt"
# The limit of safetensors, in bytes.
_MAX_HEADER = 100_000_000
# PyTorch Lightning stores objects of these types beside the weights, above all if it
# was configured with Hydra.  They are never imported: see `_stand_in`.
_SETTINGS = re.compile(
    r"""omegaconf\..*
    | argparse\.Namespace | typing\.Any
    | builtins\.(bool|dict|float|int|list|set|str|tuple)
    | numpy\.(dtype|ndarray|_?core\.multiarray\.(_reconstruct|scalar))
    | pathlib\.(Path|(_local\.)?(Posix|Windows)Path)
    | (lightning(\.|_)fabric\.utilities\.data
      |pytorch_lightning\.utilities\.parsing)\.AttributeDict""",
    re.VERBOSE,
)


def write_tensors(path, tensors, metadata, *, kind, version):
    """Write a file; an older one is replaced only when the new one is complete.

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
    write_file(path, encode_tensors(tensors, metadata, kind=kind, version=version))


def encode_tensors(tensors, metadata, *, kind, version):
    """Return what `write_tensors` writes; the same input gives the same bytes."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    text = _header(tensors, metadata, kind, version)
    if len(text) > _MAX_HEADER:
        raise ValueError(
            f"The metadata take {len(text)} bytes, more than the {_MAX_HEADER} that a "
            "header may have."
        )
    # One key: safetensors writes several in a random order.
    return save(tensors, metadata={_KEY: text})


def decode_tensors(content, path, *, kind, version):
    """Return the tensors and metadata of a file of `write_tensors`.

    Parameters
    ----------
    content : bytes
        All of the file.
    path : str or path-like
        Its name, for messages.
    kind, version : str, int
        The kind that is expected, and the version that this package reads.

    Returns
    -------
    tensors : dict of str to Tensor
        On the CPU.
    metadata : dict
        As they were written.

    Raises
    ------
    ValueError
        If the file is damaged, was not written by this package, or is of another kind
        or version.
    """
    name = repr(str(path))
    tensors = load_tensors(content, path)
    try:
        size = int.from_bytes(content[:8], "little")
        found = json.loads(content[8 : 8 + size]).get("__metadata__") or {}
        header = json.loads(found[_KEY])
        found_kind, found_version = header["kind"], header["format_version"]
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(
            f"{name} is a safetensors file, but not one of sklearn_mdjpt, or damaged: "
            f"its header has another form ({cut(repr(error))})."
        ) from error
    if found_kind != kind:
        raise ValueError(f"{name} holds {reprlib.repr(found_kind)}, expected {kind!r}.")
    if type(found_version) is not int or found_version != version:
        newer = type(found_version) is int and found_version > version
        advice = "Update sklearn_mdjpt." if newer else "It has to be made again."
        raise ValueError(
            f"{name} has format version {reprlib.repr(found_version)}; this version of "
            f"sklearn_mdjpt reads version {version}. {advice}"
        )
    metadata = header.get("metadata")
    # Compared as text, so that a header with repeated names is refused as well.
    try:
        is_intact = found == {_KEY: _header(tensors, metadata, kind, version)}
    except (RuntimeError, ValueError):  # NaN, or tensors of packed dtypes
        is_intact = False
    if not is_intact or not isinstance(metadata, dict):
        raise ValueError(f"{name} is damaged: its checksum is not that of its content.")
    return tensors, metadata


def _header(tensors, metadata, kind, version):
    """Return the text in the header of a file; it ends in the digest of the rest."""
    header = {"kind": kind, "format_version": version, "metadata": metadata}
    digest = hashlib.sha256(_to_json(header).encode())
    for name, tensor in sorted(tensors.items()):
        description = [name, str(tensor.dtype), list(tensor.shape)]
        digest.update(_to_json(description).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return _to_json(header | {"sha256": digest.hexdigest()})


def _to_json(values):
    return json.dumps(values, allow_nan=False)


def load_tensors(content, path):
    """Return the tensors of any file of safetensors."""
    try:
        return load(content)
    except Exception as error:
        # Unknown dtypes and shapes raise errors of safetensors, Python and torch.
        raise ValueError(
            f"{str(path)!r} is damaged, or no safetensors file: its tensors are not "
            f"where its header says, or of unknown type ({cut(error)})."
        ) from error


def read_content(path, expected):
    """Read a file of tensors, whoever wrote it.

    Parameters
    ----------
    path : str or path-like
        The file.
    expected : str
        Description of the file that is expected, for messages.

    Returns
    -------
    content : bytes
        All of it.
    form : {"safetensors", "archive"}
        Its format, by its first bytes; torch.save writes archives.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If there is no such file, or it is a folder.
    ValueError
        If it has neither format.
    """
    path = check_path(path, "The name of a weights file")
    if path.is_dir():
        problem = "Expected a weights file, got a folder"
        raise IsADirectoryError(errno.EISDIR, problem, str(path))
    if not path.exists():
        raise FileNotFoundError(f"No weights file {str(path)!r}.{home_hint(path)}")
    if not path.is_file():
        # Reading a pipe or a device may never end.
        raise ValueError(f"{str(path)!r} is no regular file, expected a weights file.")
    # Opened once, so that a file that replaces this one meanwhile is not mixed in.
    with path.open("rb") as file:
        start = file.read(9)
        if start[8:] == b"{":
            return start + file.read(), "safetensors"
        if start[:4] == b"PK\x03\x04":
            return start + file.read(), "archive"
    if not start:
        problem = "is empty"
    elif start[:1] == b"\x80":
        # These have no checksum, and must be unpickled as a whole.
        problem = "is a pickle, or a checkpoint of torch before 1.6"
    else:
        problem = f"is no weights file (it starts with {start!r})"
    raise ValueError(f"{str(path)!r} {problem}; expected {expected}.")


class _Setting:
    """Replaces objects of other libraries in a checkpoint, and stores nothing."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


def _mapping(*args):
    """Replace mappings that are made by a call."""
    return {}


def _stand_in(name):
    """Return what is made in place of a type in a checkpoint; None refuses the type."""
    if name == "collections.defaultdict":
        return _mapping
    if not _SETTINGS.fullmatch(name):
        return None
    # torch fills no mappings but dicts and OrderedDicts.
    is_mapping = name.endswith(".AttributeDict")
    return collections.OrderedDict if is_mapping else _Setting


def unpickle_archive(content, path, allowed=None):
    """Return what torch.save wrote; only tensors and plain values are created.

    Parameters
    ----------
    content : bytes
        All of the file.
    path : str or path-like
        Its name, for messages.
    allowed : list, default=None
        Further types and functions that may be in it.  None replaces the settings of
        Lightning by empty objects.

    Returns
    -------
    object

    Raises
    ------
    ValueError
        If the file is damaged or holds anything else.
    """
    try:
        _check_archive(content)
        if allowed is None:
            named = torch.serialization.get_unsafe_globals_in_checkpoint(
                io.BytesIO(content)
            )
            stand_ins = [(_stand_in(name), name) for name in named]
            allowed = [pair for pair in stand_ins if pair[0] is not None]
        with torch.serialization.safe_globals(allowed):
            return torch.load(
                io.BytesIO(content), map_location="cpu", weights_only=True
            )
    except Exception as error:
        # Damaged archives raise errors of many types.  A pickle that would run code is
        # refused by torch with long advice on how to run it, which is cut off here.
        reason = str(error).rpartition("WeightsUnpickler error: ")[2]
        reason = reason.strip().partition("\n")[0].partition(" Please use ")[0]
        raise ValueError(
            f"{str(path)!r} cannot be read as a checkpoint of tensors and plain values "
            f"(nothing else is unpickled): {cut(reason) or type(error).__name__}"
        ) from error


def load_archive(content, path):
    """Return the state_dict that torch.save wrote, alone or in a checkpoint.

    The caller checks whether its values are the right tensors.
    """
    found = unpickle_archive(content, path)
    found = found.get("state_dict", found) if isinstance(found, dict) else {}
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{str(path)!r} holds no state_dict of tensors.")
    return found


def read_state_dict(path):
    """Read tensors by name, from a file of any origin.

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
        As for `read_content`, or if a value is no tensor.
    """
    content, form = read_content(
        path, "a file of safetensors or a state_dict that torch.save wrote"
    )
    if form == "safetensors":
        return load_tensors(content, path)
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


def cut(message, length=200):
    """Return another library's message, cut after ``length`` characters."""
    message = str(message)
    return message if len(message) <= length else f"{message[:length]}..."


def _check_archive(content):
    """Raise unless every entry of a zip archive is intact."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is a compressed archive, which torch.save never makes")
        # Entries that share bytes let a small archive claim a huge content.
        if sum(entry.file_size for entry in entries) > len(content):
            raise ValueError("its entries are larger than the file")
        if len({entry.filename for entry in entries}) < len(entries):
            raise ValueError("two of its entries have the same name")
        # torch itself does not compare the checksums.
        if broken := archive.testzip():
            raise ValueError(f"the checksum of {cut(broken)!r} is not that of its data")
