"""What the folder of a training says of it: all that is needed to run it again."""

import contextlib
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from .. import __version__
from .._io._code import PACKAGE, installed_version
from .._io._files import file_digest, write_file
from .._io._fingerprint import fingerprint
from .._validation import list_some
from ..windows._content import content_digests, without_made_up_names
from ._callbacks import bare
from ._parameters import parameters_of

ABOUT = "about.json"
_PACKAGES = (
    "torch", "skorch", "sklearn", "numpy", "scipy", "pandas", "mne", "braindecode",
    "pyriemann", "accelerate",
)  # fmt: skip
_HOW = (
    "MDJPTEncoder(**parameters).fit(X) trains again; give it another checkpoint_dir, "
    "since in this one the training is done. Its folder has the same name if "
    "parameters and data are the same and random_state was given."
)


class About:
    """The description of a training.

    Parameters
    ----------
    encoder : MDJPTEncoder
        Holds the parameters.
    windows : EEGWindows
        What is trained on; its signals have been read for a fingerprint.
    columns : DataFrame
        Of `pair_columns`.
    labels : Series or None
        Labels, if they are used.
    random_state : int or RandomState
        Gives the seeds of this training; a generator is as it was before them.
    device : torch.device
        Where to compute.
    processes : SingleProcess or AcceleratedProcesses
        The processes that train together.
    """

    def __init__(
        self, encoder, windows, columns, labels, *, random_state, device, processes
    ):
        self.encoder, self.random_state = encoder, random_state
        self.device, self.processes = device, processes
        self.data = {
            "fingerprint": fingerprint(
                without_made_up_names(columns), labels, content_digests(windows)
            ),
            "windows": len(windows),
            "datasets": windows._summary().to_dict("records"),
            "channels": [
                list(names)
                for names in dict.fromkeys(
                    tuple(source.ch_names) for source, *_ in windows.blocks()
                )
            ],
        }

    def write(self, folder, *, goes_on):
        """Write the description into the folder of the run.

        Parameters
        ----------
        folder : Path
            It exists.
        goes_on : bool
            Whether the training goes on from a checkpoint: then what was written at
            its beginning stays, and this part is added.
        """
        part = self._part()
        before = read_about(folder) if goes_on else None
        if before is not None:
            content = before | {"continued": [*before.get("continued", []), part]}
        else:
            content = {"run_it_again": _HOW, **self._parameters(), "data": self.data}
            content |= part
        if goes_on and before is None and self.encoder.random_state is None:
            # What gave the seeds of its beginning is lost.
            content["parameters"]["random_state"] = None
        text = json.dumps(content, indent=2, default=_plain)
        write_file(folder / ABOUT, f"{text}\n".encode())

    def others(self, folder):
        """Say which trainings beside this one have its parameters and other data.

        Parameters
        ----------
        folder : Path
            Of this training.

        Returns
        -------
        str
            Empty if there are none.
        """
        mine, found = self._parameters()["parameters"], []
        for path in sorted(folder.parent.glob(f"*/{ABOUT}")):
            other = read_about(path.parent)
            if path.parent == folder or other is None:
                continue
            same = all(
                other.get("parameters", {}).get(name) == mine.get(name)
                for name in (*parameters_of("training"), *parameters_of("architecture"))
            )
            theirs = other.get("data", {}).get("fingerprint")
            if same and theirs != self.data["fingerprint"]:
                found.append(path.parent.name)
        if not found:
            return ""
        return (
            f"{str(folder.parent)!r} holds {len(found)} trainings with these "
            f"parameters and other data ({list_some(found, 3)}); this one begins anew."
        )

    def _parameters(self):
        """Return the parameters as plain values, and what else is known of them."""
        values, left_out = {}, {}
        given = self.encoder.get_params(deep=False)
        callbacks = given.pop("callbacks")
        for name, value in given.items():
            try:
                values[name] = json.loads(_text(value))
            except TypeError:
                left_out[name] = repr(value)
        # An int that gives the same seeds, also where None was passed.
        values["random_state"] = self.random_state
        left_out.pop("random_state", None)
        if not isinstance(self.random_state, int):
            del values["random_state"]
            _, key, place, *_ = self.random_state.get_state()
            left_out["random_state"] = {
                "kind": "numpy.random.RandomState",
                "key": key.astype("<u4").tobytes().hex(),
                "place": int(place),
            }
        default = type(self.encoder)().get_params(deep=False)
        changed = {k: v for k, v in values.items() if v != default[k]}
        if callbacks:
            left_out["callbacks"] = [_of_callback(callback) for callback in callbacks]
        return {
            "parameters": values,
            "not_default": changed,
            "random_state_given": repr(given["random_state"]),
            "not_in_parameters": left_out,
            "weights_sha256": None
            if self.encoder.weights is None
            else file_digest(self.encoder.weights).hex(),
        }

    def _part(self):
        """Return when, where and with what a part of the training is done."""
        name = platform.processor() or platform.machine()
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
        precision = self.processes.mixed_precision
        return {
            "started": datetime.datetime.now(datetime.UTC).isoformat(" ", "seconds"),
            "device": f"{self.device} ({name})",
            "precision": "float32" if precision == "no" else precision,
            "matmul_precision": torch.get_float32_matmul_precision(),
            "threads": torch.get_num_threads(),
            "processes": self.processes.num_processes,
            "versions": _versions(),
            "platform": platform.platform(),
            "code": _commit(Path.cwd()),
            "package_code": _commit(Path(__file__).parent),
            "command": _command(),
        }


def read_about(folder):
    """Return what a run's folder says of it; None if it does not, or is damaged."""
    try:
        found = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _text(value):
    return json.dumps(value, default=_plain)


def _plain(value):
    """Return a value as JSON has it; raise TypeError for any other object."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{value!r} is no plain value")


def _of_callback(callback):
    """Return a text that says what a callback is, with its plain parameters."""
    callback = bare(callback)
    state = {k: v for k, v in vars(callback).items() if k[-1] != "_"}
    known = {k: v for k, v in state.items() if v is None or np.isscalar(v)}
    listed = ", ".join(f"{name}={value!r}" for name, value in known.items())
    return f"{type(callback).__module__}.{type(callback).__qualname__}({listed})"


def _versions():
    found = {"python": platform.python_version(), PACKAGE: __version__}
    for name in _PACKAGES:
        version = installed_version(name)
        if version is not None:
            found[name] = version.removeprefix(f"{name} ")
    return found


def _commit(folder):
    """Return the commit of a checkout, and whether files differ; None elsewhere."""

    def ask(*words):
        command = ["git", "-C", str(folder), *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()

    with contextlib.suppress(OSError, subprocess.SubprocessError):
        # An installed package may lie in a checkout that ignores it.
        if ask("ls-files", "--", "."):
            changed = ask("status", "--porcelain", "--untracked-files=no")
            return {"commit": ask("rev-parse", "HEAD"), "changed": bool(changed)}
    return None


def _command():
    """Return the words of this package's command line; None from anywhere else."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    name = getattr(spec, "name", "").removesuffix(".__main__")
    return ["python", "-m", name, *sys.argv[1:]] if name == PACKAGE else None
