"""Every payload that a test receives is held against the published schemas."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from jsonschema import Draft202012Validator

from tests.support.data import ROOT

SCHEMAS = ROOT / "docs" / "schemas"

_BY_TOPIC_END = {
    ("event",): "event",
    ("history",): "event",
    ("health",): "health",
    ("presence",): "presence",
    ("enabled",): "enabled",
    ("enabled", "set"): "enabled",
    ("status",): "status",
}


_JSON = {"event", "health", "command", "command-reply", "gallery-message"}


@functools.cache
def validator(name: str) -> Draft202012Validator:
    """Of docs/schemas/<name>.schema.json."""
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def schema_of(topic: str, base: str = "ostiary") -> str:
    """Name of the schema for `<base>/<device>/...`; empty for a picture; AssertionError for a topic of no contract."""
    assert topic.startswith(f"{base}/"), topic
    if re.fullmatch(rf"{base}/gallery/[^/]+/(head|identity/[0-9a-f]{{2}}/[^/]+)", topic):
        return "gallery-message"
    _device, *end = topic.removeprefix(f"{base}/").split("/")
    if end == ["snapshot"]:
        return ""
    if len(end) == 3 and end[0] == "camera" and end[2] == "status":
        return "camera-status"
    if len(end) in (2, 3) and end[0] == "cmd" and end[2:] in ([], ["reply"]):
        return "command-reply" if end[2:] else "command"
    assert tuple(end) in _BY_TOPIC_END, f"{topic} is not in the contract"
    return _BY_TOPIC_END[tuple(end)]


def validate(topic: str, payload: bytes, base: str = "ostiary") -> Any:
    """The payload as plain data; fails where it breaks the contract."""
    name = schema_of(topic, base)
    if not name:
        assert payload[:3] == b"\xff\xd8\xff", "a snapshot is a JPEG"
        return payload
    data = json.loads(payload) if name in _JSON else payload.decode("utf-8")
    problems = [f"{'/'.join(map(str, one.path))}: {one.message}" for one in validator(name).iter_errors(data)]
    assert not problems, f"{topic}: {problems}"
    if name == "event":
        assert data["replayed"] is topic.endswith("/history"), topic
    return data
