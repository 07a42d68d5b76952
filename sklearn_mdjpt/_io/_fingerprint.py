"""One fingerprint for all that is kept: results, features, encoders and checkpoints.

Two values have the same fingerprint exactly where nothing that is computed from them
can differ, in every process.  What that means is known for

- None, numbers, texts, bytes, containers, arrays, tensors, tables, sparse matrices and
  random generators: their types and values;
- windows and recordings: their samples and all that says what they are;
- functions and classes of installed packages: the package's name and version;
- other functions: their code with all constants, defaults, what they have bound, and
  the global names that they read;
- other classes: their attributes and methods, and those of their bases;
- any other object: its class, and what a pickle of it would hold.

For anything else, such as a lock, an open file or a generator, `NotKnown` is raised:
what was computed with it is not kept.  (joblib.hash and cloudpickle were not taken:
their bytes change with their versions and with who shares an object with whom, and they
take functions that can be imported for their names, whatever their code is now.)
"""

import builtins
import copyreg
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import itertools
import os
import sys
import threading
import types
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from .._identity import is_made_up
from ..windows._recording import Recording
from ..windows._stack import WindowStack
from ..windows._windows import EEGWindows
from ._code import (
    PACKAGE,
    attributes_read,
    find_installed,
    installed_version,
    names_read,
    python_version,
    tallies,
)
from ._files import file_stamp
from ._signals import SignalInFile, map_stamp

OF_SPEED = (
    "checkpoint_dir",
    "checkpoint_every",
    "compile",
    "device",
    "torch_threads",
    "verbose",
)
"""Parameters of our estimators that make no difference but in speed and in what is
said; they do not count."""

_BLOCK_BYTES = 2**24
# Of a class: what says where it was written, or follows from the rest.
_NO_CODE = {
    "__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations__",
    "__annotations_cache__", "__dict__", "__doc__", "__firstlineno__", "__module__",
    "__orig_bases__", "__parameters__", "__qualname__", "__static_attributes__",
    "__weakref__", "_abc_impl",
}  # fmt: skip
# Of a recording: samples and trials are told apart from the rest.
_OF_SIGNAL = {"_signal", "_rows", "_statistics", "_derived_from", "_file", "trials"}
_WHOSE = {"dataset", "subject", "session"}

# Hashing goes at about 1.5 GB/s, and files may have to be decoded.
_digests = weakref.WeakKeyDictionary()
_lock = threading.Lock()


class NotKnown(TypeError):
    """What something computes cannot be told exactly; the message says of what part."""


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
        raise NotKnown(f"{walk.here()} is nested too deeply") from None
    return walk.hash.hexdigest()[:32]


def installed_versions(*names):
    """Return name and version of installed packages, and of Python."""
    return [python_version(), *(installed_version(name) for name in names)]


def without_made_up_names(columns):
    """Return metadata with numbers in place of names that datasets were given."""
    made_up = is_made_up(columns["dataset"])
    if not made_up.any():
        return columns
    codes = pd.Series(pd.factorize(columns["dataset"])[0], columns.index, dtype=object)
    return columns.assign(dataset=columns["dataset"].mask(made_up, codes))


def signals(windows):
    """Return what is cut from where, for a fingerprint, but not whose it is.

    Parameters
    ----------
    windows : EEGWindows
        All samples of their recordings count.

    Returns
    -------
    list of tuple
        Of each recording all that the samples of its windows and their amplitude
        depend on, and the place and length of each window.
    """
    return [
        (SignalOf(source), *(np.asarray(p, np.int64) for p in (rows, starts, n_times)))
        for source, rows, starts, n_times in windows.blocks()
    ]


class SignalOf:
    """Stands for a recording where it makes no difference whose it is.

    Parameters
    ----------
    source : Recording or WindowStack
        The recording.
    """

    def __init__(self, source):
        self.source = source


def array_digest(array):
    """Return the SHA-256, as bytes, of an array's type, shape and content."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    if array.ndim == 0 or not array.size:
        digest.update(array.tobytes())
        return digest.digest()
    step = max(1, _BLOCK_BYTES // max(1, array[0].nbytes))
    for i in range(0, len(array), step):
        digest.update(np.ascontiguousarray(array[i : i + step]))
    return digest.digest()


class _Walk:
    """Goes through values, and takes down what counts.

    Attributes
    ----------
    hash : hashlib object
        What was taken down.
    place : list of str
        The way to the value at hand, for messages.
    inside : dict of int to int
        The values that hold the value at hand, by id; how deep they lie.
    code : dict of int to (int, object)
        Functions and classes that were met before, by id; their numbers.
    """

    def __init__(self):
        self.hash = hashlib.sha256()
        self.place, self.inside, self.code = [], {}, {}

    def put(self, *parts):
        """Take down a kind of value and what it is."""
        for part in parts:
            content = part if isinstance(part, bytes) else str(part).encode(
                errors="surrogatepass"
            )  # fmt: skip
            self.hash.update(len(content).to_bytes(8, "little") + content)

    def here(self):
        """Say where the value at hand lies."""
        return "".join(self.place).lstrip(" .") or "a value"

    def refuse(self, value):
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
        raise NotKnown(f"{self.here()} is of type {name}, whose content is not known")

    def add(self, value, step=""):
        """Take down a value; ``step`` leads to it from what holds it."""
        self.place.append(step)
        kind = type(value)
        plain = _PLAIN.get(kind)
        if plain is not None:
            self.put(kind.__name__, plain(value))
        elif id(value) in self.inside:
            self.put("what holds it", len(self.inside) - self.inside[id(value)])
        else:
            self.inside[id(value)] = len(self.inside)
            self._add_other(value)
            del self.inside[id(value)]
        self.place.pop()

    def _add_other(self, value):
        for kinds, method in _METHODS:
            if isinstance(value, kinds):
                return method(self, value)
        for module, method in (("torch", _Walk.torch), ("scipy.sparse", _Walk.sparse)):
            if module in sys.modules and method(self, value, sys.modules[module]):
                return None
        return self.object(value)

    def all(self, tag, values, steps):
        self.put(tag)
        for value, step in zip(values, steps, strict=False):
            self.add(value, step)
        self.put("end")

    # Containers ---------------------------------------------------------------------

    def sequence(self, value):
        if type(value) not in (list, tuple):
            return self.object(value)
        steps = (f"[{i}]" for i in range(len(value)))
        return self.all(type(value).__name__, value, steps)

    def mapping(self, value):
        if type(value) not in (dict, types.MappingProxyType):
            return self.object(value)
        self.put("dict", len(value))
        for key, item in value.items():
            self.add(key, " (a key)")
            self.add(item, f"[{key!r}]")
        return None

    def set(self, value):
        if type(value) not in (set, frozenset):
            return self.object(value)
        # Their order is another one in each process.
        parts = sorted(self._apart(item) for item in value)
        return self.put(type(value).__name__, len(parts), *parts)

    def _apart(self, value):
        whole, code = self.hash, self.code
        self.hash, self.code = hashlib.sha256(), {}
        try:
            self.add(value, " (an element)")
            return self.hash.digest()
        finally:
            self.hash, self.code = whole, code

    # Arrays -------------------------------------------------------------------------

    def scalar(self, value):
        self.put("scalar")
        self.array(np.asarray(value))

    def dtype(self, value):
        self.put("dtype", value.str, repr(value))

    def array(self, value):
        if isinstance(value, np.ma.MaskedArray):
            self._class(value, np.ma.MaskedArray)
            self.add(np.asarray(value.data), ".data")
            self.add(np.ma.getmaskarray(value), ".mask")
            return self.add(value.fill_value, ".fill_value")
        if type(value) not in (np.ndarray, np.memmap):
            self._class(value, np.matrix, np.recarray)
            self.add(getattr(value, "__dict__", None), ".__dict__")
        value = np.asarray(value)
        kind = value.dtype.kind
        if value.dtype.names is not None:
            # Field by field, without what lies between them.
            self.put("fields", value.shape, value.dtype.itemsize)
            for name in value.dtype.names:
                self.put(name)
                self.array(value[name])
            return None
        if kind in "biufcmMSU" or (kind == "V" and not value.dtype.hasobject):
            return self.put("array", array_digest(value))
        self.put("objects", value.shape, str(value.dtype))
        return self._items(value.ravel().tolist())

    def _items(self, values):
        """Take down the elements of an array of objects."""
        kinds = set(map(type, values))
        if kinds == {int} or kinds <= {str, type(None)}:
            # Ids and labels: a few, each in thousands of rows.
            number = {value: i for i, value in enumerate(dict.fromkeys(values))}
            codes = np.fromiter(map(number.__getitem__, values), np.int64, len(values))
            self.put("codes", array_digest(codes))
            values = list(number)
        for i, value in enumerate(values):
            self.add(value, f"[{i}]")
        self.put("end")

    def table(self, value):
        self._class(value, pd.DataFrame)
        self.index(value.columns)
        self.index(value.index)
        self.add(value.attrs, ".attrs")
        for i, name in enumerate(value.columns):
            self.place.append(f"[{name!r}]")
            self.extension_array(value.iloc[:, i].array)
            self.place.pop()

    def series(self, value):
        self._class(value, pd.Series)
        self.add(value.name, ".name")
        self.index(value.index)
        self.add(value.attrs, ".attrs")
        self.extension_array(value.array)

    def index(self, value):
        self.put("index", type(value).__name__)
        self.all("names", value.names, itertools.repeat(".names"))
        if isinstance(value, pd.MultiIndex):
            for i in range(value.nlevels):
                self.index(value.get_level_values(i).rename(None))
        elif isinstance(value, pd.RangeIndex):
            self.put(value.start, value.stop, value.step)
        else:
            self.put(getattr(value, "freqstr", None))
            self.extension_array(value.array)

    def extension_array(self, value):
        self.put("column", str(value.dtype))
        if isinstance(value.dtype, np.dtype):
            self.array(np.asarray(value))
        elif isinstance(value.dtype, pd.CategoricalDtype):
            self.put(value.ordered)
            self.index(value.categories)
            self.array(np.asarray(value.codes))
        else:
            self.array(np.asarray(value, dtype=object))

    def sparse(self, value, scipy_sparse):
        if not scipy_sparse.issparse(value):
            return False
        self.put("sparse", type(value).__name__, value.shape)
        names = {"csr": ("data", "indices", "indptr"), "dia": ("data", "offsets")}
        names = names | dict.fromkeys(("csc", "bsr"), names["csr"])
        if value.format not in names:
            value = value.tocoo()
            names["coo"] = ("data", "coords")
        for name in names[value.format]:
            self.add(getattr(value, name), f".{name}")
        return True

    def torch(self, value, torch):
        if isinstance(value, torch.dtype | torch.device | torch.layout):
            self.put("torch", type(value).__name__, value)
            return True
        if isinstance(value, torch.Generator):
            self.put("torch generator", value.device)
            self.add(value.get_state())
            return True
        if not isinstance(value, torch.Tensor):
            return False
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            self.refuse(value)
        self._class(value, torch.Tensor, torch.nn.Parameter)
        self.put("tensor", value.dtype, tuple(value.shape), value.requires_grad)
        flat = value.detach().cpu().resolve_conj().resolve_neg().reshape(-1)
        self.put(array_digest(flat.contiguous().view(torch.uint8).numpy()))
        return True

    # Windows ------------------------------------------------------------------------

    def windows(self, value):
        self.put("windows")
        self.add(without_made_up_names(value.metadata), ".metadata")
        self.add(signals(value), ".recordings")

    def recording(self, value):
        self._source(value, ())
        self.add(getattr(value, "trials", None), ".trials")

    def signal(self, value):
        self._source(value.source, _WHOSE)

    def _source(self, source, left_out):
        self.put(type(source).__name__)
        for name in sorted(vars(source).keys() - _OF_SIGNAL - {*left_out}):
            self.put(name)
            self.add(vars(source)[name], f".{name}")
        if source.is_continuous:
            # Amplitude is that of the samples inside the trials.
            self.add(source.trials[["start", "stop"]].to_numpy(float), ".trials")
        self.put(_content(source))

    def signal_in_file(self, value):
        self.put("array", array_digest(np.asarray(value.open())))

    # Code ---------------------------------------------------------------------------

    def _class(self, value, *kinds):
        """Take down a class: of those whose content is told here its name only."""
        self.put(type(value).__name__)
        if type(value) not in kinds:
            self.add(type(value), " (its class)")

    def _met(self, value):
        """Whether code was taken down before; if so, say which."""
        if id(value) in self.code:
            self.put("code", self.code[id(value)][0])
            return True
        self.code[id(value)] = len(self.code), value
        return False

    def _by_name(self, value, name=None):
        """Take down what can be imported from an installed package; say if it can."""
        found = find_installed(value, name)
        if found is not None:
            self.put("installed", *found)
        return found is not None

    def type(self, value):
        if self._by_name(value) or self._met(value):
            return
        self.place.append(f" (class {value.__qualname__})")
        self.put("class", value.__name__)
        self.add(type(value), " (its metaclass)")
        for base in value.__bases__:
            self.add(base)
        attributes = {k: v for k, v in vars(value).items() if k not in _NO_CODE}
        for name in sorted(attributes.keys() - tallies(attributes)):
            item = attributes[name]
            if not isinstance(item, types.MemberDescriptorType):  # a slot
                self.put(name)
                self.add(item, f".{name}")
        self.put("end")
        self.place.pop()

    def function(self, value):
        if self._by_name(value) or self._met(value):
            return
        self.place.append(f" (function {value.__name__})")
        self.put("function", value.__name__)
        self.add(value.__code__)
        self.add(value.__defaults__, " (its defaults)")
        self.add(value.__kwdefaults__, " (its defaults)")
        self.add(vars(value), " (its attributes)")
        names = value.__code__.co_freevars
        for name, cell in zip(names, value.__closure__ or (), strict=True):
            self.put(name)
            if cell != types.CellType():  # it is bound
                self.add(cell.cell_contents, f", its variable {name}")
        reads, modules = names_read(value.__code__)
        for name in sorted(reads):
            self.put(name)
            self._global(value, name)
        for name in sorted(modules):
            self._imported(value, *name)
        self.put("end")
        self.place.pop()

    def _global(self, function, name):
        if name not in function.__globals__:
            self.put("builtin" if hasattr(builtins, name) else "missing")
            return
        value = function.__globals__[name]
        self.place.append(f", its global {name}")
        if isinstance(value, types.ModuleType):
            self._module(value, attributes_read(function.__code__))
        else:
            self.add(value)
        self.place.pop()

    def _imported(self, function, level, name):
        """Take down a module that a function imports when it runs."""
        package = function.__globals__.get("__package__")
        self.place.append(f", its import of {name}")
        name = importlib.util.resolve_name("." * level + name, package)
        version = installed_version(name)
        self.put(name, version)
        if version is None:
            try:
                module = importlib.import_module(name)
            except ImportError:
                self.put("missing")
            else:
                self._module(module, attributes_read(function.__code__))
        self.place.pop()

    def module(self, value):
        self._module(value, None)

    def _module(self, value, names):
        """Take down a module: of one that is not installed, the names in use."""
        version = installed_version(value.__name__)
        if version is not None:
            self.put("module", value.__name__, version)
            return
        if names is None:
            self.refuse(value)
        self.put("module")
        if (id(value), names) in self.inside:
            return
        self.inside[id(value), names] = len(self.inside)
        for name in sorted(names & vars(value).keys()):
            item = vars(value)[name]
            self.put(name)
            self.place.append(f".{name}")
            if isinstance(item, types.ModuleType):
                self._module(item, names)
            else:
                self.add(item)
            self.place.pop()
        del self.inside[id(value), names]

    def code_object(self, value):
        self.put(
            "code", value.co_code, value.co_exceptiontable, value.co_flags,
            value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount,
        )  # fmt: skip
        for names in (
            value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars,
            value.co_consts,
        ):  # fmt: skip
            self.add(names)

    def builtin(self, value):
        owner = getattr(value, "__self__", None)
        if owner is not None and not isinstance(owner, types.ModuleType):
            self.put("method", value.__name__)
            return self.add(owner, ".__self__")
        if self._by_name(value):
            return None
        return self._compiled(value, value.__module__, value.__qualname__)

    def _compiled(self, value, module, name):
        """Take down a function of a compiled module that is not installed."""
        file = getattr(sys.modules.get(module), "__file__", None)
        if file is None or Path(file).suffix == ".py":
            self.refuse(value)
        return self.put("compiled", name, file_digest(file))

    def ufunc(self, value):
        if not self._by_name(value):
            self.refuse(value)

    def descriptor(self, value):
        """Take down a method of a compiled class."""
        self.put("descriptor", value.__name__)
        self.add(value.__objclass__, " (its class)")

    def method(self, value):
        self.put("method")
        self.add(value.__func__)
        self.add(value.__self__, ".__self__")

    def wrapper(self, value):
        self.put(type(value).__name__)
        self.add(value.__func__ if hasattr(value, "__func__") else value.func)

    def property(self, value):
        self.all("property", (value.fget, value.fset, value.fdel), itertools.repeat(""))

    def cached_function(self, value):
        self.put("lru_cache", repr(value.cache_parameters()))
        self.add(value.__wrapped__)

    # Objects ------------------------------------------------------------------------

    def estimator(self, value):
        if not (_is_ours(value) and hasattr(value, "_fingerprint_parts")):
            return self.object(value)
        self.add(type(value), " (its class)")
        return self._state(value, value._fingerprint_parts())

    def object(self, value):
        """Take down what a pickle of an object would hold."""
        kind = type(value)
        if any(c.__module__ in ("ctypes", "_ctypes") for c in kind.__mro__):
            self.refuse(value)
        reduce = copyreg.dispatch_table.get(kind)
        try:
            parts = value.__reduce_ex__(4) if reduce is None else reduce(value)
        except Exception:
            self.refuse(value)
        if isinstance(parts, str):  # the name of something global
            if not self._by_name(value, parts):
                self._compiled(value, getattr(value, "__module__", None), parts)
            return
        make, args, state, items, pairs = (*parts, None, None, None)[:5]
        self.put("object")
        self.add(kind, " (its class)")
        self.add(make, " (what makes it)")
        for arg in args:
            self.add(arg, " (its content)" if len(args) > 1 else "")
        self._state(value, state)
        for i, item in enumerate(items or ()):
            self.add(item, f"[{i}]")
        for key, item in pairs or ():
            self.add(key, " (a key)")
            self.add(item, f"[{key!r}]")
        self.put("end")

    def _state(self, value, state):
        slots = None
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
            state, slots = state
        for part in (state, slots):
            if not isinstance(part, dict):
                self.add(part, " (its content)")
                continue
            if _is_ours(value):
                part = {k: v for k, v in part.items() if k not in OF_SPEED}
            # In whatever order they were set.
            for name in sorted(part, key=str):
                self.add(name)
                self.add(part[name], f".{name}")
                if isinstance(value, BaseEstimator):
                    self._file(part[name])
            self.put("end")

    def _file(self, path):
        """Take down the content of a file, where a parameter is the path of one."""
        if isinstance(path, str | os.PathLike) and os.path.isfile(path):
            self.put("file", file_digest(path))


def _is_ours(value):
    """Whether something is one of our estimators: a class derived from one is not."""
    package = type(value).__module__.partition(".")[0]
    return package == PACKAGE and isinstance(value, BaseEstimator)


# Content ------------------------------------------------------------------------------


def file_digest(path):
    """Return the SHA-256 of a file, read once as long as its stamp stays."""
    return _file_digest(os.path.abspath(path), file_stamp(path))


@functools.lru_cache
def _file_digest(path, stamp):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _content(source):
    """Return the digest of a recording's samples.

    What lies in a file is read once as long as the file stays; arrays may have been
    changed in place, and what was derived from them is then forgotten.
    """
    signal = source._signal
    if isinstance(signal, SignalInFile):
        signal.check(held=True)
        stamp = signal.stamp
    else:
        stamp = map_stamp(signal)
    with _lock:
        known_stamp, known = _digests.get(source, (None, None))
    if known is not None and stamp is not None and stamp == known_stamp:
        return known
    digest = b"".join(array_digest(part) for part in source.parts())
    if known is not None and known != digest:
        source._forget()
    with _lock:
        _digests[source] = stamp, digest
    return digest


def _float(value):
    return "nan" if value != value else value.hex()


def _complex(value):
    return f"{_float(value.real)} {_float(value.imag)}"


_PLAIN = {
    type(None): str,
    type(...): str,
    type(NotImplemented): str,
    bool: str,
    int: str,
    float: _float,
    complex: _complex,
    str: str,
    bytes: bytes,
}
_METHODS = [
    (list | tuple, _Walk.sequence),
    (dict | types.MappingProxyType, _Walk.mapping),
    (set | frozenset, _Walk.set),
    (np.ndarray, _Walk.array),
    (np.generic, _Walk.scalar),
    (np.dtype, _Walk.dtype),
    (types.FunctionType, _Walk.function),
    (type, _Walk.type),
    (types.MethodType, _Walk.method),
    (types.BuiltinFunctionType, _Walk.builtin),
    (
        types.MethodDescriptorType | types.WrapperDescriptorType
        | types.GetSetDescriptorType | types.ClassMethodDescriptorType
        | types.MemberDescriptorType,
        _Walk.descriptor,
    ),
    (np.ufunc, _Walk.ufunc),
    (types.CodeType, _Walk.code_object),
    (types.ModuleType, _Walk.module),
    (classmethod | staticmethod | functools.cached_property, _Walk.wrapper),
    (property, _Walk.property),
    (type(functools.lru_cache(_float)), _Walk.cached_function),
    (EEGWindows, _Walk.windows),
    (Recording | WindowStack, _Walk.recording),
    (SignalOf, _Walk.signal),
    (SignalInFile, _Walk.signal_in_file),
    (pd.DataFrame, _Walk.table),
    (pd.Series, _Walk.series),
    (pd.Index, _Walk.index),
    (pd.api.extensions.ExtensionArray, _Walk.extension_array),
    (BaseEstimator, _Walk.estimator),
]  # fmt: skip
"""What takes down which kinds of values, the first that fits."""
