"""Plain data (YAML, JSON) -> frozen dataclasses, with every fault reported at once.

A field is declared with `setting(...)`, which keeps its limits and its sentence for the user beside its type. The same
declarations make the reference page and the JSON Schema for editors (`edge.config.reference`). Known types: bool, int,
float, str, Path, enumerations by `choices`, `X | None`, fixed and open tuples, `dict[str, X]`, and other such dataclasses.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong: key path like `mqtt.port`, the value found, and what was expected."""

    path: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.path or '(top level)'}: {self.found}; expected {self.expected}"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a field's type does not say."""

    doc: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] | None = None
    pattern: str | None = None
    example: Any = None


def setting(default: Any = MISSING, *, doc: str, **limits: Any) -> Any:
    """Declare a dataclass field: `doc` is the user's sentence, `limits` are fields of Limits."""
    metadata = {"limits": Limits(doc=doc, **limits)}
    if default is not MISSING and dataclasses.is_dataclass(default):
        return dataclasses.field(default_factory=lambda: default, metadata=metadata)
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def limits_of(field: dataclasses.Field[Any]) -> Limits:
    """The Limits given to `setting`, or none but the field's name."""
    limits = field.metadata.get("limits")
    return limits if isinstance(limits, Limits) else Limits(doc=field.name)


@functools.cache
def hints_of(kind: type) -> dict[str, Any]:
    """Resolved annotations of a dataclass."""
    return typing.get_type_hints(kind)


def build(kind: type[T], data: object, path: str = "") -> tuple[T | None, list[Fault]]:
    """Make a `kind` from plain data. The object is None when there are faults."""
    faults: list[Fault] = []
    made = _build_dataclass(kind, data, path, faults)
    return (None if faults else made), faults


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        # Python writes out no number of more than 4300 digits, and nothing that is nested too deeply.
        text = "too long to show"
    kinds = {
        bool: "boolean",
        int: "whole number",
        float: "number",
        str: "text",
        list: "list",
        dict: "mapping",
        type(None): "nothing",
    }
    kind = kinds.get(type(value), type(value).__name__)
    return f"{kind} {text if len(text) <= 60 else text[:57] + '...'}"


def _join(path: str, key: object) -> str:
    try:
        text = str(key)
    except ValueError:
        text = "(too long to show)"
    text = text if len(text) <= 60 else text[:57] + "..."
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return f"{path}.{text}" if path else text


def _build_dataclass(kind: Any, data: object, path: str, faults: list[Fault]) -> Any:
    if data is None:
        data = {}
    if not isinstance(data, Mapping):
        faults.append(Fault(path, _shown(data), "a mapping of keys to values"))
        return None
    fields = {field.name: field for field in dataclasses.fields(kind)}
    made: dict[str, Any] = {}
    before = len(faults)
    _report_unknown_keys(data, fields, path, faults)
    for name, field in fields.items():
        where = _join(path, name)
        if name in data:
            made[name] = convert(hints_of(kind)[name], limits_of(field), data[name], where, faults)
        elif field.default is MISSING and field.default_factory is MISSING:
            faults.append(Fault(where, "missing", limits_of(field).doc))
    return _construct(kind, made, path, faults) if len(faults) == before else None


def _construct(kind: Any, made: dict[str, Any], path: str, faults: list[Fault]) -> Any:
    """Build it; a dataclass may refuse a combination of values with ValueError('found; expected')."""
    try:
        return kind(**made)
    except ValueError as error:
        found, _, expected = str(error).partition("; expected ")
        faults.append(Fault(path, found, expected or "values that agree"))
        return None


def _report_unknown_keys(data: Mapping[Any, Any], fields: Mapping[str, Any], path: str, faults: list[Fault]) -> None:
    for key in data:
        if key in fields:
            continue
        near = get_close_matches(_join("", key), list(fields), n=1)
        known = f"{near[0]!r}?" if near else "one of " + ", ".join(fields)
        faults.append(Fault(_join(path, key), "unknown key", known))


def convert(hint: Any, limits: Limits, value: object, path: str, faults: list[Fault]) -> Any:
    """One value to the type `hint`; adds to `faults` and returns None when it does not fit."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else convert(_without_none(hint), limits, value, path, faults)
    if dataclasses.is_dataclass(hint):
        return _build_dataclass(hint, value, path, faults)
    if origin is tuple:
        return _convert_tuple(hint, limits, value, path, faults)
    if origin is dict:
        return _convert_dict(hint, limits, value, path, faults)
    return _convert_scalar(hint, limits, value, path, faults)


def _without_none(hint: Any) -> Any:
    return next(arg for arg in typing.get_args(hint) if arg is not type(None))


def _convert_tuple(hint: Any, limits: Limits, value: object, path: str, faults: list[Fault]) -> Any:
    args = typing.get_args(hint)
    is_open = len(args) == 2 and args[1] is Ellipsis
    if not isinstance(value, list | tuple):
        faults.append(Fault(path, _shown(value), "a list"))
        return None
    if not is_open and len(value) != len(args):
        faults.append(Fault(path, f"a list of {len(value)}", f"a list of {len(args)}"))
        return None
    hints = [args[0]] * len(value) if is_open else args
    items = enumerate(zip(hints, value, strict=True))
    return tuple(convert(one, limits, item, f"{path}[{index}]", faults) for index, (one, item) in items)


def _convert_dict(hint: Any, limits: Limits, value: object, path: str, faults: list[Fault]) -> Any:
    if not isinstance(value, Mapping):
        faults.append(Fault(path, _shown(value), "a mapping"))
        return None
    inner = typing.get_args(hint)[1]
    return {_join("", key): convert(inner, limits, item, _join(path, key), faults) for key, item in value.items()}


_WANTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}


def _convert_scalar(hint: Any, limits: Limits, value: object, path: str, faults: list[Fault]) -> Any:
    if hint is Any:
        return value
    fits = {
        bool: isinstance(value, bool),
        int: isinstance(value, int) and not isinstance(value, bool),
        float: isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max,
        str: isinstance(value, str),
        Path: isinstance(value, str | Path) and str(value) != "" and "\0" not in str(value),
    }
    if not fits[hint]:
        faults.append(Fault(path, _shown(value), expected_of(hint, limits)))
        return None
    made = hint(value)
    if not _within(made, limits):
        faults.append(Fault(path, _shown(value), expected_of(hint, limits)))
        return None
    return made


def _within(value: Any, limits: Limits) -> bool:
    if limits.choices is not None and value not in limits.choices:
        return False
    if limits.pattern is not None and not re.fullmatch(limits.pattern, str(value)):
        return False
    if isinstance(value, int | float) and not isinstance(value, bool):
        low = limits.minimum is None or value >= limits.minimum
        return low and (limits.maximum is None or value <= limits.maximum)
    return True


def expected_of(hint: Any, limits: Limits) -> str:
    """What a user should have written, in words."""
    if limits.choices is not None:
        return "one of " + ", ".join(
            str(choice).lower() if isinstance(choice, bool) else str(choice) for choice in limits.choices
        )
    text = _WANTED.get(hint, "another value")
    if limits.minimum is not None and limits.maximum is not None:
        return f"{text} from {limits.minimum:g} to {limits.maximum:g}"
    if limits.minimum is not None:
        return f"{text} of at least {limits.minimum:g}"
    if limits.maximum is not None:
        return f"{text} of at most {limits.maximum:g}"
    return f"{text} like {limits.example!r}" if limits.pattern is not None and limits.example is not None else text
