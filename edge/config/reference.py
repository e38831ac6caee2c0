"""The declarations in `settings.py` and `manifest.py` as documents: JSON Schemas, a reference page, a commented example.

    python -m edge.config.reference docs

writes docs/configuration.md, docs/ostiary.example.yaml, docs/schemas/config.schema.json and docs/schemas/manifest.schema.json.
A test says when they are older than the code.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Any

from edge.bundle.manifest import Manifest
from edge.config.settings import Settings
from edge.validation import Limits, expected_of, hints_of, limits_of

_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def json_schema(kind: type, title: str) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a settings dataclass."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **_object_schema(kind)}


def _object_schema(kind: type) -> dict[str, Any]:
    fields = dataclasses.fields(kind)
    required = [field.name for field in fields if field.default is MISSING and field.default_factory is MISSING]
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {field.name: _field_schema(kind, field) for field in fields},
    }
    return {**schema, "required": required} if required else schema


def _field_schema(kind: type, field: dataclasses.Field[Any]) -> dict[str, Any]:
    limits = limits_of(field)
    schema = _type_schema(hints_of(kind)[field.name], limits)
    default = default_of(field)
    if default is not MISSING and not dataclasses.is_dataclass(default) and default is not None:
        schema["default"] = default
    return {"description": limits.doc, **schema}


def _type_schema(hint: Any, limits: Limits) -> dict[str, Any]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        inner = _type_schema(next(arg for arg in args if arg is not type(None)), limits)
        return {"anyOf": [inner, {"type": "null"}]}
    if dataclasses.is_dataclass(hint):
        schema = _object_schema(typing.cast("type", hint))
        # YAML's empty section is null, and means the defaults.
        return schema if "required" in schema else {**schema, "type": ["object", "null"]}
    if origin is tuple:
        items = {"type": "array", "items": _type_schema(args[0], limits)}
        return items if Ellipsis in args else {**items, "minItems": len(args), "maxItems": len(args)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type_schema(args[1], limits)}
    if hint is Path:
        return {"type": "string", "minLength": 1}
    return {} if hint is Any else {"type": _JSON_TYPES[hint], **_limit_keywords(limits)}


def _limit_keywords(limits: Limits) -> dict[str, Any]:
    keywords = {
        "enum": list(limits.choices) if limits.choices is not None else None,
        "minimum": limits.minimum,
        "maximum": limits.maximum,
        "pattern": f"^{limits.pattern}$" if limits.pattern is not None else None,
    }
    return {name: value for name, value in keywords.items() if value is not None}


def default_of(field: dataclasses.Field[Any]) -> Any:
    """The default value, or MISSING."""
    return field.default_factory() if field.default_factory is not MISSING else field.default


def reference_page() -> str:
    """docs/configuration.md."""
    lines = [
        "# Configuration reference",
        "",
        "Generated from `edge/config/settings.py` by `python -m edge.config.reference docs`; change it there.",
        "",
        "Ostiary reads the first of `--config FILE`, `$OSTIARY_CONFIG`, `./ostiary.yaml`,",
        "`~/.config/ostiary/ostiary.yaml` and `/etc/ostiary/ostiary.yaml`. Everything has a default; an empty file is valid.",
        "`ostiary check` reads the file and says all that is wrong with it, with line and key. Editors that know the YAML",
        "language server check it while you type: begin the file with",
        "`# yaml-language-server: $schema=schemas/config.schema.json`. [ostiary.example.yaml](ostiary.example.yaml) has every key.",
        "",
    ]
    return "\n".join(lines + list(_section_pages(Settings, ""))) + "\n"


def _section_pages(kind: type, path: str) -> Iterator[str]:
    plain = [field for field in dataclasses.fields(kind) if not _is_section(kind, field)]
    if plain:
        yield f"## {path or 'Top level'}"
        yield ""
        yield "| key | default | what | values |"
        yield "|---|---|---|---|"
        for field in plain:
            limits = limits_of(field)
            values = _values_of(hints_of(kind)[field.name], limits).replace("|", "\\|")
            yield f"| `{field.name}` | {_shown_default(field)} | {limits.doc.replace('|', chr(92) + '|')} | {values} |"
        yield ""
    for field in dataclasses.fields(kind):
        here, hint = f"{path}.{field.name}" if path else field.name, hints_of(kind)[field.name]
        if _is_section(kind, field):
            yield from _section_pages(hint, here)
        elif typing.get_origin(hint) is dict:
            yield from _section_pages(typing.get_args(hint)[1], f"{here}.NAME")


def _is_section(kind: type, field: dataclasses.Field[Any]) -> bool:
    return dataclasses.is_dataclass(hints_of(kind)[field.name])


def _values_of(hint: Any, limits: Limits) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _values_of(next(arg for arg in args if arg is not type(None)), limits)
    if origin is dict:
        return "names, each with the keys below"
    if origin is not tuple:
        return expected_of(hint, limits)
    one = expected_of(args[0], limits)
    return f"a list, each {one}" if Ellipsis in args else one


def _shown_default(field: dataclasses.Field[Any]) -> str:
    default = default_of(field)
    return "*(none)*" if default is None else f"`{_yaml_value(default)}`"


def _yaml_value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value) if not value or value[0].isdigit() else value
    return json.dumps(value, default=str)


def example_file() -> str:
    """docs/ostiary.example.yaml: every key with its sentence, commented out at its default."""
    head = "# yaml-language-server: $schema=schemas/config.schema.json\n# Every key of ostiary.yaml, at its default. Uncomment what you change.\n"
    return head + "\n".join(_example_lines(Settings, "")) + "\n"


def _example_lines(kind: type, indent: str) -> Iterator[str]:
    for field in dataclasses.fields(kind):
        if not indent:
            yield ""
        yield f"{indent}# {limits_of(field).doc}"
        if _is_section(kind, field):
            yield f"{indent}{field.name}:"
            yield from _example_lines(hints_of(kind)[field.name], indent + "  ")
            continue
        default = default_of(field)
        if default == {}:
            yield f"{indent}# For example: {_yaml_value(limits_of(field).example)}"
        shown = limits_of(field).example if default is None else default
        yield f"{indent}# {field.name}: {_yaml_value(shown) if shown is not None else ''}".rstrip()


def documents() -> dict[str, str]:
    """Path under docs/ -> text."""
    schemas = {
        "config": json_schema(Settings, "ostiary.yaml"),
        "manifest": json_schema(Manifest, "manifest.json of an Ostiary bundle"),
    }
    texts = {
        f"schemas/{name}.schema.json": json.dumps(schema, indent=2, default=str) + "\n"
        for name, schema in schemas.items()
    }
    return {"configuration.md": reference_page(), "ostiary.example.yaml": example_file(), **texts}


def main(folder: Path) -> None:
    """Write all documents."""
    for name, text in documents().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
