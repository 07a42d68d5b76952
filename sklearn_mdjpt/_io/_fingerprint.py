"""One fingerprint for everything that is stored: results, encoders, checkpoints.

Two values have the same fingerprint exactly if nothing that is computed from them can
differ, in any process.  The fingerprint covers

- of None, numbers, texts, bytes, containers, arrays, tensors, tables and sparse
  matrices: types and values;
- of functions and classes of installed packages: the package's name and version;
- of other functions: their code with all constants, defaults, the variables they have
  bound, and the global names that they read;
- of other classes: their attributes and methods, and those of their bases;
- of objects of this package with a method ``_fingerprint_parts``: what it returns;
- of any other object: its class, and what a pickle of it would hold.

For anything else, such as a lock, an open file or a generator, `NotKnown` is raised,
and what is computed from it is not stored.  joblib.hash and cloudpickle do not suffice:
their bytes depend on their versions and on how objects are shared, and they identify an
importable function by its name, whatever its code is now.
"""

import copyreg
import functools
import hashlib
import os
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from . import _fingerprint_arrays as arrays
from . import _fingerprint_code as code
from ._code import PACKAGE, find_installed, installed_version, python_version
from ._files import file_digest
from ._signals import SignalInFile

OF_SPEED = (
    "checkpoint_dir", "checkpoint_every", "compile", "device", "torch_threads",
    "verbose",
)  # fmt: skip
"""Parameters of our estimators that only change speed and messages; they do not count.
"""


class NotKnown(TypeError):
    """The content of a value cannot be determined; the message names the part."""


def fingerprint(*values):
    """Return a text that is the same exactly if all values are the same.

    Parameters
    ----------
    *values
        What a result depends on.  Arrays, recordings and windows count by their
        content, wherever it is stored; made-up names of datasets do not count, nor do
        the parameters in `OF_SPEED` of our estimators.  If a parameter of an estimator
        is the path of a file, the file's content counts.

    Returns
    -------
    str of 32 hexadecimal digits

    Raises
    ------
    NotKnown
        If the content of one of the values cannot be determined.
    """
    walk = _Walk()
    try:
        for value in values:
            walk.add(value)
    except RecursionError:
        raise NotKnown(f"{walk.location()} is nested too deeply") from None
    return walk.hash.hexdigest()[:32]


def installed_versions(*names):
    """Return name and version of installed packages, and of Python."""
    return [python_version(), *(installed_version(name) for name in names)]


class _Walk:
    """Visits values recursively and hashes what counts.

    Attributes
    ----------
    hash : hashlib object
        Of everything written so far.
    steps : list of str
        The path to the current value, for messages.
    inside : dict of int to int
        The depth of each value that contains the current one, by id.
    code : dict of int to (int, object)
        Number of each function and class visited so far, by id.
    """

    def __init__(self):
        self.hash = hashlib.sha256()
        self.steps, self.inside, self.code = [], {}, {}

    def write(self, *parts):
        """Hash texts and bytes, each with its length."""
        for part in parts:
            if not isinstance(part, bytes):
                part = str(part).encode(errors="surrogatepass")
            self.hash.update(len(part).to_bytes(8, "little") + part)

    def location(self):
        """Return the path to the current value."""
        return "".join(self.steps).lstrip(" .") or "a value"

    def refuse(self, value):
        """Raise, since the content of a value cannot be determined."""
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        raise NotKnown(
            f"{self.location()} is of type {name}, whose content is not known"
        )

    def add(self, value, step=""):
        """Hash a value; ``step`` names it within the value that contains it."""
        self.steps.append(step)
        kind = type(value)
        if kind in _PLAIN:
            self.write(kind.__name__, _PLAIN[kind](value))
        elif id(value) in self.inside:
            # A cycle: the value contains itself.
            self.write("what holds it", len(self.inside) - self.inside[id(value)])
        else:
            self.inside[id(value)] = len(self.inside)
            _CONTAINERS.get(kind, _add_other)(value, self)
            del self.inside[id(value)]
        self.steps.pop()

    def add_all(self, values, step):
        """Hash several values; ``step`` turns an index into a step."""
        for i, value in enumerate(values):
            self.add(value, step(i))
        self.write("end")

    def add_class(self, value, *kinds):
        """Hash the class of a value: only its name if it is one of ``kinds``."""
        self.write(type(value).__name__)
        if type(value) not in kinds:
            self.add(type(value), " (its class)")

    def add_by_name(self, value, name=None):
        """Hash name and version of an object of an installed package, if it is one."""
        found = find_installed(value, name)
        if found is not None:
            self.write("installed", *found)
        return found is not None

    def add_object(self, value):
        """Hash what a pickle of an object would hold."""
        kind = type(value)
        if _is_ours(value) and hasattr(value, "_fingerprint_parts"):
            if isinstance(value, BaseEstimator):
                self.add(kind, " (its class)")
            self.write(kind.__name__)
            self._add_state(value, value._fingerprint_parts())
            return
        # ctypes pickles addresses.
        if any(c.__module__ in ("ctypes", "_ctypes") for c in kind.__mro__):
            self.refuse(value)
        reduce = copyreg.dispatch_table.get(kind)
        try:
            parts = value.__reduce_ex__(4) if reduce is None else reduce(value)
        except Exception:
            self.refuse(value)
        if isinstance(parts, str):  # the name of a global object
            if not self.add_by_name(value, parts):
                self._add_compiled(value, parts)
            return
        make, args, state, items, pairs = (*parts, None, None, None)[:5]
        self.write("object")
        self.add(kind, " (its class)")
        self.add(make, " (what makes it)")
        for arg in args:
            self.add(arg, " (its content)" if len(args) > 1 else "")
        self._add_state(value, state)
        for i, item in enumerate(items or ()):
            self.add(item, f"[{i}]")
        for key, item in pairs or ():
            self.add(key, " (a key)")
            self.add(item, f"[{key!r}]")
        self.write("end")

    def _add_compiled(self, value, name):
        """Hash a function of a compiled module that is not installed, by its file."""
        module = sys.modules.get(getattr(value, "__module__", None))
        file = getattr(module, "__file__", None)
        if file is None or Path(file).suffix == ".py":
            self.refuse(value)
        self.write("compiled", name, file_digest(file))

    def _add_state(self, value, state):
        """Hash the attributes of an object, and the content of files they name."""
        slots = None
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
            state, slots = state
        is_estimator = isinstance(value, BaseEstimator)
        ignored = {*OF_SPEED} if is_estimator and _is_ours(value) else set()
        for part in (state, slots):
            if not isinstance(part, dict):
                self.add(part, " (its content)")
                continue
            # Sorted, since attributes may have been set in any order.
            for name in sorted(part.keys() - ignored, key=str):
                item = part[name]
                self.add(name)
                self.add(item, f".{name}")
                is_path = is_estimator and isinstance(item, str | os.PathLike)
                if is_path and os.path.isfile(item):
                    self.write("file", file_digest(item))
            self.write("end")


def _is_ours(value):
    """Whether the class of an object is of this package (a derived class is not)."""
    return type(value).__module__.partition(".")[0] == PACKAGE


def _add_other(value, walk):
    """Hash a value that is neither plain nor a container, by its type."""
    for kinds, function in _OTHERS:
        if isinstance(value, kinds):
            function(value, walk)
            return
    # These modules are slow to import, and values of their types need them imported.
    torch, sparse = map(sys.modules.get, ("torch", "scipy.sparse"))
    if torch is not None and isinstance(value, torch.Tensor):
        arrays.add_tensor(value, walk)
    # Sparse matrices of type DOK are dicts; a pickle holds all of them.
    elif sparse and sparse.issparse(value) and not isinstance(value, dict):
        arrays.add_sparse(value, walk)
    else:
        walk.add_object(value)


def _add_sequence(value, walk):
    walk.write(type(value).__name__)
    walk.add_all(value, "[{}]".format)


def _add_mapping(value, walk):
    walk.write("dict", len(value))
    for key, item in value.items():
        walk.add(key, " (a key)")
        walk.add(item, f"[{key!r}]")


def _add_set(value, walk):
    """Hash the elements, each by itself, in the order of their hashes.

    The order of a set differs between processes.
    """
    whole, known, digests = walk.hash, walk.code, []
    try:
        for item in value:
            walk.hash, walk.code = hashlib.sha256(), {}
            walk.add(item, " (an element)")
            digests.append(walk.hash.digest())
    finally:
        walk.hash, walk.code = whole, known
    walk.write(type(value).__name__, len(digests), *sorted(digests))


def _float(value):
    return "nan" if value != value else value.hex()


# By the exact type of a value: objects of derived classes can have further content.
_PLAIN = {
    type(None): str,
    type(...): str,
    type(NotImplemented): str,
    bool: str,
    int: str,
    float: _float,
    complex: lambda value: f"{_float(value.real)} {_float(value.imag)}",
    str: str,
    bytes: bytes,
}
_CONTAINERS = {
    list: _add_sequence,
    tuple: _add_sequence,
    dict: _add_mapping,
    types.MappingProxyType: _add_mapping,
    set: _add_set,
    frozenset: _add_set,
}
# These functions see to derived classes themselves.
_OTHERS = (
    ((np.ndarray, np.generic), arrays.add_array),
    (SignalInFile, arrays.add_signal),
    (pd.DataFrame, arrays.add_table),
    (pd.Series, arrays.add_series),
    (pd.Index, arrays.add_index),
    (pd.api.extensions.ExtensionArray, arrays.add_column),
    (types.FunctionType, code.add_function),
    (type, code.add_type),
    (types.ModuleType, code.add_module),
    (types.CodeType, code.add_code),
    (types.MethodType, code.add_method),
    (property, code.add_property),
    ((classmethod, staticmethod, functools.cached_property), code.add_wrapper),
    (type(functools.lru_cache(_float)), code.add_cached),
    (
        (types.GetSetDescriptorType, types.ClassMethodDescriptorType),
        code.add_descriptor,
    ),
)
