"""The names that code reads, and the package that it belongs to."""

import contextlib
import dis
import functools
import importlib.metadata
import importlib.util
import inspect
import itertools
import os
import platform
import sys
import sysconfig
import types
from pathlib import Path

from .. import __version__

PACKAGE = __name__.partition(".")[0]
_INSTALLED = {"site-packages", "dist-packages"}


def iter_codes(code):
    """Iterate over a code object and those inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from iter_codes(constant)


def names_read(code):
    """Return the global names that code reads, and (level, name) of what it imports."""
    reads, modules = set(), set()
    for part in iter_codes(code):
        instructions = list(dis.get_instructions(part))
        for i, instruction in enumerate(instructions):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                reads.add(instruction.argval)
            elif instruction.opname == "IMPORT_NAME":
                modules.add((instructions[i - 2].argval, instruction.argval))
    return reads, modules


def attributes_read(code):
    """Return all names that code may read from a module."""
    return frozenset(name for part in iter_codes(code) for name in part.co_names)


def tallies(attributes):
    """Return the attributes of a class that its methods increase and never read.

    A number of calls, for example, changes with use, and no result depends on it.
    """
    added, read = set(), set()
    for value in attributes.values():
        value = getattr(value, "__func__", getattr(value, "fget", value))
        if not inspect.isfunction(value):
            continue
        for part in iter_codes(value.__code__):
            for before, here in itertools.pairwise(dis.get_instructions(part)):
                if here.opname == "STORE_ATTR" and before.opname == "SWAP":
                    added.add(here.argval)
                elif here.opname.startswith("LOAD_") and before.opname != "COPY":
                    read.add(here.argval)
    return {name for name in added if name not in read}


def find_installed(value, name=None):
    """Return module, name and version of an object of an installed package, or None."""
    name = name or getattr(value, "__qualname__", value.__name__)
    module = getattr(value, "__module__", None)
    # Some compiled functions have no module.
    modules = [module] if module else ["numpy", "scipy.special"]
    names = dict.fromkeys((name, name.split(".")[-1]))
    for module, name in itertools.product(modules, names):
        version = installed_version(module) if _get(module, name) is value else None
        if version is not None:
            return module, name, version
    return None


def _get(module, name):
    found = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


@functools.cache
def python_version():
    """Return which Python this is."""
    return f"Python {platform.python_version()}"


@functools.cache
def installed_version(module):
    """Return name and version of the installed package of a module, or None.

    Installed modules are those of Python's library, of this package, and those with a
    version in a folder site-packages or dist-packages.  Editable installs, scripts,
    notebooks and folders on the path belong to the user, and their code counts.
    """
    top = module.partition(".")[0]
    if top == PACKAGE:
        return f"{top} {__version__}"
    if top == "__main__":
        return None
    file = _file_of(module) or _file_of(top)
    if file is None or _in_library(file):
        known = top in sys.builtin_module_names or top in sys.stdlib_module_names
        return python_version() if known else None
    folders = {*Path(file).parts, *Path(os.path.realpath(file)).parts}
    version = _version(top) if folders & _INSTALLED else None
    return None if version is None else f"{top} {version}"


def _in_library(file):
    """Whether a file belongs to Python's own library."""
    file, library = map(os.path.realpath, (file, sysconfig.get_path("stdlib")))
    inside = file.removeprefix(library + os.sep)
    return inside != file and not _INSTALLED & {*Path(inside).parts}


def _file_of(module):
    found = sys.modules.get(module)
    if found is not None:
        return getattr(found, "__file__", None)
    with contextlib.suppress(ImportError, ValueError, AttributeError):
        spec = importlib.util.find_spec(module.partition(".")[0])
        if spec is not None and spec.has_location:
            return spec.origin
    return None


def _version(top):
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(top)
    version = getattr(sys.modules.get(top), "__version__", None)
    if isinstance(version, str):
        return version
    # Takes half a second; needed if the package has another name than the module.
    for name in importlib.metadata.packages_distributions().get(top, ())[:1]:
        return importlib.metadata.version(name)
    return None
