"""Keys of a settings file: what each may hold, and what is wrong with what it holds."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import os
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from .._validation import check_number, list_some

# What annotations of our signatures are written with; aliases of `_typing` among them.
_NAMES = {
    "Any": Any, "Callable": Callable, "Literal": Literal, "Mapping": Mapping,
    "PathLike": str | os.PathLike, "RandomState": int | None, "Sequence": Sequence,
    "bool": bool, "dict": dict, "float": float, "int": int, "list": list, "str": str,
    "tuple": tuple,
}  # fmt: skip
_PLAIN = {
    types.NoneType: "'none'",
    bool: "true or false", float: "a number", int: "a whole number", str: "a text",
    dict: "a table", list: "a list",
}  # fmt: skip
_SEVERAL = {str: "texts", int | str: "whole numbers or texts"}
# TOML has no word for it.
_NONE = "none"


class Key(NamedTuple):
    """A key of a section.

    Attributes
    ----------
    kind : type
        An annotation: what the value must be.
    default : object
        The value where the key is missing; `REQUIRED` where it must not be.
    doc : str
        What it is, in a sentence.
    bounds : dict
        Keywords of `check_number`.
    """

    kind: Any
    default: Any
    doc: str = ""
    bounds: Mapping[str, Any] = types.MappingProxyType({})


REQUIRED = dataclasses.MISSING


def key(default, doc, **bounds):
    """Return a field of a dataclass that is a key of a section."""
    return dataclasses.field(default=default, metadata={"doc": doc, "bounds": bounds})


def keys_of_class(section):
    """Return the keys that a dataclass has fields for, in their order."""
    return {
        field.name: Key(_kind(field.type), field.default, **field.metadata)
        for field in dataclasses.fields(section)
        if field.metadata
    }


def keys_of_function(function, without=()):
    """Return the parameters of a function as keys, but for those named."""
    return {
        name: Key(_kind(parameter.annotation), parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in (*without, "self") and parameter.kind != parameter.VAR_KEYWORD
    }


def read_keys(table, keys, where, problems):
    """Return the values of a section's keys, and note what is wrong.

    Parameters
    ----------
    table : dict
        The section, as TOML has it.
    keys : dict of str to Key
        The keys that it may have.
    where : str
        Name of the section, for messages.
    problems : list of str
        What is wrong is appended.

    Returns
    -------
    dict
        The values that were given and are right; "none" has become None.
    """
    if not isinstance(table, dict):
        problems.append(f"{where} must be a section, got {table!r}.")
        return {}
    values = {}
    for name, value in table.items():
        if name not in keys:
            problems.append(f"{where} has no key {name!r}{suggest(name, keys)}")
            continue
        kind, _, _, bounds = keys[name]
        if value == _NONE and _fits(None, kind):
            value = None
        if not _fits(value, kind):
            problems.append(
                f"{where}: {name} must be {show_kind(kind)}; got {value!r}."
            )
            continue
        if bounds and isinstance(value, int | float):
            try:
                check_number(value, f"{where}: {name}", **bounds)
            except ValueError as error:
                problems.append(str(error))
                continue
        values[name] = value
    missing = [name for name in keys if keys[name].default is REQUIRED]
    for name in missing:
        if name not in table:
            problems.append(f"{where} lacks the key {name!r}: {keys[name].doc}.")
    return values


def suggest(name, known):
    """Return the end of a message: what a name may be meant for, and what is known."""
    known = list(known)
    lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(str(name).lower(), lower, 1)
    meant = f"; is {lower[close[0]]!r} meant?" if close else "."
    return f"{meant} Known are {list_some(sorted(known, key=str.lower), 60)}."


def show_kind(kind):
    """Return what a value must be, in words."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(map(_show, parts))
    if origin in (Union, types.UnionType):
        parts = [part for part in parts if part is not os.PathLike]
        texts = [show_kind(part) for part in parts if not _is_code(part)]
        return " or ".join(dict.fromkeys(texts))
    if origin is Sequence or origin is list:
        return f"a list of {_SEVERAL.get(parts[0], f'({show_kind(parts[0])})')}"
    if origin is Mapping or origin is dict:
        return "a table"
    if origin is tuple:
        return f"a list of {len(parts)} values"
    return _PLAIN.get(kind, "a value")


def _show(value):
    """Return a value as TOML has it."""
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _kind(annotation):
    if isinstance(annotation, str):
        return eval(annotation, {"__builtins__": {}, "type": type}, _NAMES)
    return Any if annotation is inspect.Parameter.empty else annotation


def _is_code(kind):
    return kind is Callable or get_origin(kind) is Callable


def _fits(value, kind):
    """Whether a value of a TOML file is what an annotation says."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if _is_code(kind):
        return False
    if origin in (Mapping, dict):
        return isinstance(value, dict)
    if origin is tuple:
        return (
            isinstance(value, list)
            and len(value) == len(parts)
            and all(map(_fits, value, parts))
        )
    if origin in (Sequence, list):
        return isinstance(value, list) and all(_fits(v, parts[0]) for v in value)
    if kind is float:
        kind = float | int
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def show_value(value):
    """Return a value as a settings file has it."""
    if value is None:
        return _NONE
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(show_value, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k} = {show_value(v)}' for k, v in value.items())}}}"
    return _show(value) if isinstance(value, bool) else str(value)
