"""One fingerprint for all that is kept: results, features, encoders and checkpoints.

Two values have the same fingerprint exactly where nothing that is computed from them
can differ, in every process.  What that means is known for

- None, numbers, texts, bytes, containers, arrays, tensors, tables and sparse matrices:
  their types and values;
- functions and classes of installed packages: the package's name and version;
- other functions: their code with all constants, defaults, what they have bound, and
  the global names that they read;
- other classes: their attributes and methods, and those of their bases;
- objects of this package that have a method ``_fingerprint_parts``: what it returns;
- any other object: its class, and what a pickle of it would hold.

For anything else, such as a lock, an open file or a generator, `NotKnown` is raised:
what was computed with it is not kept.  (joblib.hash and cloudpickle were not taken:
their bytes change with their versions and with who shares an object with whom, and they
take functions that can be imported for their names, whatever their code is now.)
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
    "checkpoint_dir",
    "checkpoint_every",
    "compile",
    "device",
    "torch_threads",
    "verbose",
)
"""Parameters of our estimators that change the speed and the printed messages only;
they do not count."""


class NotKnown(TypeError):
    """What a value computes cannot be told exactly; the message names the part."""


def fingerprint(*values):
    """Return a text that is equal exactly where all values are.

    Parameters
    ----------
    *values
        What a result depends on.  Of arrays, recordings and windows the content
        counts, wherever it lies; names that were made up for datasets without one do
        not.  Of the parameters of our estimators those in `OF_SPEED` do not, and
        where a parameter of an estimator is the path of a file, the file's content
        does.

    Returns
    -------
    str of 32 hexadecimal digits

    Raises
    ------
    NotKnown
        If the content of something among the values cannot be told.
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
    """Goes through values and hashes what counts.

    Attributes
    ----------
    hash : hashlib object
        Of what was written so far.
    steps : list of str
        The way to the current value, for messages.
    inside : dict of int to int
        The values that hold the current value, by id; how deep they lie.
    code : dict of int to (int, object)
        Functions and classes that were met before, by id; their numbers.
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
        """Say where the current value lies."""
        return "".join(self.steps).lstrip(" .") or "a value"

    def refuse(self, value):
        """Raise, since the content of a value cannot be told."""
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        raise NotKnown(
            f"{self.location()} is of type {name}, whose content is not known"
        )

    def add(self, value, step=""):
        """Hash a value; ``step`` leads to it from the value that holds it."""
        self.steps.append(step)
        kind = type(value)
        plain = _PLAIN.get(kind)
        if plain is not None:
            self.write(kind.__name__, plain(value))
        elif id(value) in self.inside:
            # It holds itself.
            self.write("what holds it", len(self.inside) - self.inside[id(value)])
        else:
            self.inside[id(value)] = len(self.inside)
            _add_other(value, self)
            del self.inside[id(value)]
        self.steps.pop()

    def add_all(self, values, step):
        """Hash several values; ``step`` is a function of their places."""
        for i, value in enumerate(values):
            self.add(value, step(i))
        self.write("end")

    def add_apart(self, value):
        """Return the digest of a value by itself."""
        whole, known = self.hash, self.code
        self.hash, self.code = hashlib.sha256(), {}
        try:
            self.add(value, " (an element)")
            return self.hash.digest()
        finally:
            self.hash, self.code = whole, known

    def add_class(self, value, *kinds):
        """Hash the class of a value: only its name, if it is one of ``kinds``."""
        self.write(type(value).__name__)
        if type(value) not in kinds:
            self.add(type(value), " (its class)")

    def add_by_name(self, value, name=None):
        """Hash the name of what an installed package has; say if one has it."""
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
        # These pickle addresses.
        if any(c.__module__ in ("ctypes", "_ctypes") for c in kind.__mro__):
            self.refuse(value)
        reduce = copyreg.dispatch_table.get(kind)
        try:
            parts = value.__reduce_ex__(4) if reduce is None else reduce(value)
        except Exception:
            self.refuse(value)
        if isinstance(parts, str):  # the name of something global
            if not self.add_by_name(value, parts):
                self._add_compiled(value, getattr(value, "__module__", None), parts)
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

    def _add_compiled(self, value, module, name):
        """Hash a function of a compiled module that is not installed, by its file."""
        file = getattr(sys.modules.get(module), "__file__", None)
        if file is None or Path(file).suffix == ".py":
            self.refuse(value)
        self.write("compiled", name, file_digest(file))

    def _add_state(self, value, state):
        slots = None
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
            state, slots = state
        is_estimator = isinstance(value, BaseEstimator)
        for part in (state, slots):
            if not isinstance(part, dict):
                self.add(part, " (its content)")
                continue
            left_out = OF_SPEED if is_estimator and _is_ours(value) else ()
            # In whatever order they were set.
            for name in sorted(part.keys() - {*left_out}, key=str):
                self.add(name)
                self.add(part[name], f".{name}")
                if is_estimator:
                    self._add_file(part[name])
            self.write("end")

    def _add_file(self, path):
        """Hash the content of a file, where a parameter is the path of one."""
        if isinstance(path, str | os.PathLike) and os.path.isfile(path):
            self.write("file", file_digest(path))


def _is_ours(value):
    """Whether an object is of a class of this package, and not of one derived."""
    return type(value).__module__.partition(".")[0] == PACKAGE


@functools.singledispatch
def _add_other(value, walk):
    """Hash a value that is not plain, by its type."""
    # These modules are slow to import: their types are asked for where they are there.
    for module, function in (
        ("torch", arrays.add_torch),
        ("scipy.sparse", arrays.add_sparse),
    ):
        if module in sys.modules and function(value, walk):
            return
    walk.add_object(value)


@_add_other.register
def _add_sequence(value: list | tuple, walk):
    if type(value) not in (list, tuple):
        walk.add_object(value)
        return
    walk.write(type(value).__name__)
    walk.add_all(value, "[{}]".format)


@_add_other.register
def _add_mapping(value: dict | types.MappingProxyType, walk):
    if type(value) not in (dict, types.MappingProxyType):
        walk.add_object(value)
        return
    walk.write("dict", len(value))
    for key, item in value.items():
        walk.add(key, " (a key)")
        walk.add(item, f"[{key!r}]")


@_add_other.register
def _add_set(value: set | frozenset, walk):
    if type(value) not in (set, frozenset):
        walk.add_object(value)
        return
    # Their order is another one in each process.
    parts = sorted(walk.add_apart(item) for item in value)
    walk.write(type(value).__name__, len(parts), *parts)


def _float(value):
    return "nan" if value != value else value.hex()


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
for _function, *_kinds in (
    (arrays.add_array, np.ndarray, np.generic),
    (arrays.add_signal, SignalInFile),
    (arrays.add_table, pd.DataFrame),
    (arrays.add_series, pd.Series),
    (arrays.add_index, pd.Index),
    (arrays.add_column, pd.api.extensions.ExtensionArray),
    (code.add_function, types.FunctionType),
    (code.add_type, type),
    (code.add_module, types.ModuleType),
    (code.add_code, types.CodeType),
    (code.add_method, types.MethodType),
    (code.add_property, property),
    (code.add_wrapper, classmethod, staticmethod, functools.cached_property),
    (code.add_cached, type(functools.lru_cache(_float))),
    (
        code.add_descriptor,
        types.GetSetDescriptorType,
        types.ClassMethodDescriptorType,
    ),
):
    for _kind in _kinds:
        _add_other.register(_kind, _function)
