"""Files of tensors and plain values: safetensors with a JSON text and a checksum.

Nothing in them is pickled, and opening one runs nothing.  The checksum covers the
whole file, so that a file that was cut short or changed on the way is never taken for
a good one.
"""

import hashlib
import json

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ._files import write_file

_KEY = "sklearn_mdjpt"
_NO_CHECKSUM = "0" * 64
# The checksum as it stands in the header: JSON inside a JSON text.
_MARK = rb"\"sha256\": \""


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
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    header = {"sha256": _NO_CHECKSUM, "kind": kind, "format_version": version}
    content = save(tensors, metadata={_KEY: json.dumps(header | metadata)})
    place = content.index(_MARK) + len(_MARK)
    checksum = hashlib.sha256(content).hexdigest().encode()
    write_file(path, content[:place] + checksum + content[place + len(checksum) :])


def read_tensors(path, *, kind, version):
    """Read a file of `write_tensors`.

    Parameters
    ----------
    path : Path
        The file.
    kind, version : str, int
        What is expected, and the newest version that is understood.

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
    content = path.read_bytes()
    header = _header(content, path)
    if header.get("kind") != kind:
        raise ValueError(
            f"{str(path)!r} holds {header.get('kind')!r}, expected {kind!r}."
        )
    found = header.get("format_version")
    if found != version:
        newer = isinstance(found, int) and found > version
        advice = "Update sklearn_mdjpt." if newer else "It has to be made again."
        raise ValueError(
            f"{str(path)!r} has format version {found!r}; this version of "
            f"sklearn_mdjpt reads version {version}. {advice}"
        )
    checksum = str(header.pop("sha256", "")).encode()
    place = content.find(_MARK + checksum) + len(_MARK)
    blank = _NO_CHECKSUM.encode()
    digest = hashlib.sha256(content[:place])
    digest.update(blank)
    digest.update(content[place + len(blank) :])
    if digest.hexdigest().encode() != checksum:
        raise ValueError(
            f"{str(path)!r} is damaged: its checksum is not that of its content."
        )
    try:
        tensors = load(content)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{str(path)!r} is damaged: {error}.") from error
    del header["kind"], header["format_version"]
    return tensors, header


def is_tensor_file(path):
    """Whether a file looks like safetensors, whoever wrote it."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def text_to_tensor(text):
    """Return a text as a tensor: headers are bounded in size, tensors are not."""
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)


def tensor_to_text(tensor):
    """Return the text that `text_to_tensor` was given."""
    return tensor.numpy().tobytes().decode()


def _header(content, path):
    """Return our JSON text in the header of a safetensors file."""
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 + size or not size:
        raise ValueError(
            f"{str(path)!r} is damaged: it has {len(content)} bytes, fewer than its "
            "header asks for."
        )
    try:
        metadata = json.loads(content[8 : 8 + size]).get("__metadata__") or {}
        text = metadata.get(_KEY)
        header = None if text is None else dict(json.loads(text))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{str(path)!r} is damaged: its header is not JSON of the form expected "
            f"({error})."
        ) from error
    if header is None:
        raise ValueError(
            f"{str(path)!r} is a safetensors file, but none of sklearn_mdjpt."
        )
    return header
