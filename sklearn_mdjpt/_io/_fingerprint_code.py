"""The content of functions, classes and modules, for their fingerprint."""

import builtins
import contextlib
import importlib
import importlib.util
import types

from ._code import attributes_read, installed_version, names_read, tallies

# Attributes of a class that tell its origin, or follow from the others.
_NO_CODE = {
    "__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations__",
    "__annotations_cache__", "__dict__", "__doc__", "__firstlineno__", "__module__",
    "__orig_bases__", "__parameters__", "__qualname__", "__static_attributes__",
    "__weakref__", "_abc_impl",
}  # fmt: skip


@contextlib.contextmanager
def _step(walk, text):
    walk.steps.append(text)
    yield
    walk.steps.pop()


def _is_known(value, walk):
    """Whether code was hashed before; if so, hash its number."""
    if id(value) in walk.code:
        walk.write("code", walk.code[id(value)][0])
        return True
    # A reference is kept, so that no other object gets the id.
    walk.code[id(value)] = len(walk.code), value
    return False


def add_type(value, walk):
    """Hash a class: its name if it is installed, otherwise its attributes."""
    if walk.add_by_name(value) or _is_known(value, walk):
        return
    with _step(walk, f" (class {value.__qualname__})"):
        walk.write("class", value.__name__)
        walk.add(type(value), " (its metaclass)")
        for base in value.__bases__:
            walk.add(base)
        attributes = {k: v for k, v in vars(value).items() if k not in _NO_CODE}
        for name in sorted(attributes.keys() - tallies(attributes)):
            item = attributes[name]
            if not isinstance(item, types.MemberDescriptorType):  # a slot
                walk.write(name)
                walk.add(item, f".{name}")
        walk.write("end")


def add_function(value, walk):
    """Hash a function: its name if it is installed, otherwise its code."""
    if walk.add_by_name(value) or _is_known(value, walk):
        return
    with _step(walk, f" (function {value.__name__})"):
        walk.write("function", value.__name__)
        walk.add(value.__code__)
        walk.add(value.__defaults__, " (its defaults)")
        walk.add(value.__kwdefaults__, " (its defaults)")
        walk.add(vars(value), " (its attributes)")
        names = value.__code__.co_freevars
        for name, cell in zip(names, value.__closure__ or (), strict=True):
            walk.write(name)
            if cell != types.CellType():  # it is bound
                walk.add(cell.cell_contents, f", its variable {name}")
        reads, modules = names_read(value.__code__)
        for name in sorted(reads):
            walk.write(name)
            _add_global(value, name, walk)
        for name in sorted(modules):
            _add_import(value, *name, walk)
        walk.write("end")


def _add_global(function, name, walk):
    if name not in function.__globals__:
        walk.write("builtin" if hasattr(builtins, name) else "missing")
        return
    value = function.__globals__[name]
    with _step(walk, f", its global {name}"):
        if isinstance(value, types.ModuleType):
            _add_names(value, attributes_read(function.__code__), walk)
        else:
            walk.add(value)


def _add_import(function, level, name, walk):
    """Hash a module that a function imports when it runs."""
    package = function.__globals__.get("__package__")
    with _step(walk, f", its import of {name}"):
        name = importlib.util.resolve_name("." * level + name, package)
        version = installed_version(name)
        walk.write(name, version)
        if version is None:
            try:
                module = importlib.import_module(name)
            except ImportError:
                walk.write("missing")
            else:
                _add_names(module, attributes_read(function.__code__), walk)


def add_module(value, walk):
    """Hash an installed module by its version; refuse others."""
    if installed_version(value.__name__) is None:
        walk.refuse(value)
    _add_names(value, (), walk)


def _add_names(module, names, walk):
    """Hash a module; if it is not installed, the names of it that are used."""
    version = installed_version(module.__name__)
    if version is not None:
        walk.write("module", module.__name__, version)
        return
    walk.write("module")
    key = id(module), names
    if key in walk.inside:
        return
    walk.inside[key] = len(walk.inside)
    for name in sorted(names & vars(module).keys()):
        item = vars(module)[name]
        walk.write(name)
        with _step(walk, f".{name}"):
            if isinstance(item, types.ModuleType):
                _add_names(item, names, walk)
            else:
                walk.add(item)
    del walk.inside[key]


def add_code(value, walk):
    """Hash a code object, but not where it was written."""
    walk.write(
        "code", value.co_code, value.co_exceptiontable, value.co_flags,
        value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount,
    )  # fmt: skip
    for names in (
        value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars,
        value.co_consts,
    ):  # fmt: skip
        walk.add(names)


def add_method(value, walk):
    """Hash a bound method."""
    walk.write("method")
    walk.add(value.__func__)
    walk.add(value.__self__, ".__self__")


def add_descriptor(value, walk):
    """Hash an attribute of a compiled class."""
    walk.write("descriptor", value.__name__)
    walk.add(value.__objclass__, " (its class)")


def add_wrapper(value, walk):
    """Hash a class method, a static method or a cached property."""
    walk.write(type(value).__name__)
    walk.add(value.__func__ if hasattr(value, "__func__") else value.func)


def add_property(value, walk):
    """Hash a property."""
    walk.write("property")
    walk.add_all((value.fget, value.fset, value.fdel), lambda _: "")


def add_cached(value, walk):
    """Hash a function with a cache."""
    walk.write("lru_cache", repr(value.cache_parameters()))
    walk.add(value.__wrapped__)
