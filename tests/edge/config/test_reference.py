from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from edge.bundle.manifest import Manifest
from edge.config import Settings, parse_settings
from edge.config.reference import documents, example_file, json_schema
from edge.errors import ConfigError
from edge.validation import hints_of, limits_of
from tests.edge.config.cases import CONTRADICTIONS, FAULTY, FINE
from tests.support.data import ROOT

SCHEMA = json_schema(Settings, "ostiary.yaml")


@pytest.mark.parametrize("name", documents())
def test_the_generated_documents_are_those_in_docs(name: str) -> None:
    path = ROOT / "docs" / name
    assert path.read_text(encoding="utf-8") == documents()[name], "run: python -m edge.config.reference docs"


def test_the_example_is_the_defaults() -> None:
    assert parse_settings(example_file()) == Settings()


def uncommented(text: str) -> str:
    """Every setting of the example switched on: `# key: value` loses its `# `, sentences stay comments."""
    names, lines = {field.name for _, field in every_setting(Settings)}, []
    for line in text.splitlines():
        indent, hash_sign, rest = line.partition("# ")
        is_setting = hash_sign and not indent.strip() and rest.partition(":")[0] in names
        lines.append(indent + rest if is_setting and rest.partition(":")[2].strip() else line)
    return "\n".join(lines)


def test_the_example_may_be_uncommented_as_it_stands() -> None:
    text = uncommented(example_file())
    assert yaml.safe_load(text)["detect"]["width_px"] == 640
    changed = parse_settings(text)
    # Those whose default is none are shown with an example instead.
    home_assistant = dataclasses.replace(changed.home_assistant, area=None)
    mqtt = dataclasses.replace(changed.mqtt, client_id=None)
    updates = dataclasses.replace(changed.updates, source=None)
    assert dataclasses.replace(changed, mqtt=mqtt, home_assistant=home_assistant, updates=updates) == Settings()


def every_setting(kind: type, path: str = "") -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    for field in dataclasses.fields(kind):
        here = f"{path}.{field.name}" if path else field.name
        hint = hints_of(kind)[field.name]
        if dataclasses.is_dataclass(hint):
            yield from every_setting(hint, here)  # type: ignore[arg-type]
        else:
            yield here, field


@pytest.mark.parametrize(("path", "field"), [pytest.param(*row, id=row[0]) for row in every_setting(Settings)])
def test_every_setting_is_documented(path: str, field: dataclasses.Field[Any]) -> None:
    assert limits_of(field).doc.endswith("."), "a sentence for the user"
    page, example = documents()["configuration.md"], documents()["ostiary.example.yaml"]
    assert f"| `{field.name}` |" in page
    assert f"# {field.name}:" in example
    if limits_of(field).example is not None and limits_of(field).pattern is not None:
        section = path.split(".")
        nested: Any = limits_of(field).example
        if isinstance(field.default, tuple):
            nested = [nested]
        for name in reversed(section):
            nested = {name: nested}
        parse_settings(yaml.safe_dump(nested))


@pytest.mark.parametrize("kind", [Settings, Manifest])
def test_the_schemas_are_schemas(kind: type) -> None:
    Draft202012Validator.check_schema(json_schema(kind, "title"))


def is_valid(text: str) -> bool:
    return bool(Draft202012Validator(SCHEMA).is_valid(yaml.safe_load(text)))


@pytest.mark.parametrize("text", [row[0] for row in FINE])
def test_schema_and_loader_accept_the_same(text: str) -> None:
    assert is_valid(text)
    parse_settings(text)


@pytest.mark.parametrize("text", [row[0] for row in FAULTY])
def test_schema_and_loader_refuse_the_same(text: str) -> None:
    assert not is_valid(text)
    with pytest.raises(ConfigError):
        parse_settings(text)


@pytest.mark.parametrize(("text", "problem"), CONTRADICTIONS)
def test_contradictions_are_found_by_the_loader(text: str, problem: str) -> None:
    assert is_valid(text)
    with pytest.raises(ConfigError) as caught:
        parse_settings(text)
    assert f"line 1: {problem}" in caught.value.problem
