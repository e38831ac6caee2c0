"""Read `ostiary.yaml`. All faults are reported together, each as line, key path, what was found, what was expected."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import yaml

from edge.config.settings import Settings
from edge.errors import ConfigError
from edge.validation import Fault, build

MAX_BYTES = 1_000_000
"""A configuration is a page; anything near this is another file."""

MAX_DEPTH = 20


def find_config() -> Path | None:
    """$OSTIARY_CONFIG, ./ostiary.yaml, ~/.config/ostiary/ostiary.yaml, /etc/ostiary/ostiary.yaml: the first there is."""
    named = os.environ.get("OSTIARY_CONFIG")
    if named:
        return Path(named)
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = (Path("ostiary.yaml"), home / "ostiary" / "ostiary.yaml", Path("/etc/ostiary/ostiary.yaml"))
    return next((place for place in places if place.is_file()), None)


def load_settings(path: Path) -> Settings:
    """Settings from a file. ConfigError names the file and every fault in it."""
    try:
        with path.open("rb") as handle:
            raw = handle.read(MAX_BYTES + 1)
    except OSError as error:
        hint = "Write one from docs/ostiary.example.yaml, or leave --config out to use the defaults."
        raise ConfigError(f"cannot be read ({error.strerror})", where=str(path), hint=hint) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"more than {MAX_BYTES} bytes", where=str(path), expected="a page of YAML")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text (byte {error.start})", where=str(path), expected="YAML") from error
    return parse_settings(text, where=str(path))


def parse_settings(text: str, where: str = "configuration") -> Settings:
    """Settings from YAML text; an empty text gives the defaults."""
    node, data = _read(text, where)
    lines: dict[str, int] = {}
    doubled = list(_duplicates(node, "", lines)) if node is not None else []
    settings, faults = build(Settings, data)
    if settings is not None and not doubled:
        return settings
    raise ConfigError(
        _listed([*doubled, *faults], lines),
        where=where,
        hint="`ostiary check` reads it again; docs/configuration.md lists every key.",
    )


def _read(text: str, where: str) -> tuple[yaml.Node | None, object]:
    """The YAML as nodes, which know their lines, and as plain data."""
    try:
        _check_events(text, where)
        return yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError("not YAML: " + " ".join(str(error).split()), where=where) from error
    except (RecursionError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError) as error:
        # PyYAML's constructors raise these for values that do not fit their explicit tag: `!!bool maybe`, `!!int x`.
        raise ConfigError(
            f"not usable YAML ({type(error).__name__})", where=where, expected="sections of plain keys and values"
        ) from error


def _check_events(text: str, where: str) -> None:
    """Before anything is built: neither aliases, which multiply, nor nesting, whose price grows with its square."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"line {line}: alias *{event.anchor}", where=where, expected="no YAML aliases")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            expected = "sections of plain keys and values"
            raise ConfigError(f"line {line}: nested more than {MAX_DEPTH} deep", where=where, expected=expected)


def _duplicates(node: yaml.Node, path: str, lines: dict[str, int]) -> Iterator[Fault]:
    """Note the line of every key path, and give a fault for a key written twice (YAML would silently take the last)."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        here = f"{path}.{key.value}" if path else str(key.value)
        if here in lines:
            yield Fault(here, f"written again in line {key.start_mark.line + 1}", "each key once")
        lines.setdefault(here, key.start_mark.line + 1)
        yield from _duplicates(value, here, lines)


def _listed(faults: list[Fault], lines: dict[str, int]) -> str:
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    rows = [f"  line {_line(fault.path, lines)}: {fault}" for fault in faults]
    return "\n".join([count, *rows])


def _line(path: str, lines: dict[str, int]) -> int | str:
    """The key's own line, else that of the nearest key around it."""
    while path:
        if path.partition("[")[0] in lines:
            return lines[path.partition("[")[0]]
        path = path.rpartition(".")[0]
    return 1
