"""The discovery message: against the published schema, against our own topics, and where it can be against Home Assistant's code."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config.settings import (
    SLUG,
    Camera,
    Commands,
    Device,
    HomeAssistant,
    Mqtt,
    Publish,
    Settings,
)
from edge.discovery import Box, birth_topic, discovery_topic, is_birth, message
from edge.discovery.message import REQUEST, components
from tests.home_assistant.messages import VARIANTS, messages
from tests.support.data import ROOT
from tests.support.schemas import SCHEMAS, validator

DOOR = Settings(device=Device(name="front-door"), camera=Camera(name="porch"))
FULL = Box(replace(DOOR, publish=Publish(snapshot=True)), has_thermometer=True)
FOR_EVER = {
    "visitor": "event", "let_in": "sensor", "latency": "sensor", "presence": "binary_sensor", "unlocking": "switch", "camera": "binary_sensor",
    "bundle": "update", "outbox": "sensor", "gallery": "sensor", "temperature": "sensor", "face": "image", "restart": "button",
    "snapshot": "button",
}  # fmt: skip
"""Histories and automations hang on these: a key may be added, never renamed, and never change its platform."""
WITHOUT_CAMERA = {"unlocking", "camera", "bundle", "outbox", "gallery", "temperature", "restart"}
slugs = st.from_regex(SLUG, fullmatch=True)


def faults_of(data: Any) -> list[str]:
    return [f"{'/'.join(map(str, one.path))}: {one.message}" for one in validator("discovery").iter_errors(data)]


def topics_of(found: dict[str, Any]) -> set[str]:
    """Every topic anywhere in it."""
    keyed = {value for key, value in found.items() if key == "topic" or key.endswith("_topic")}
    inner = [
        one
        for value in found.values()
        for one in (value if isinstance(value, list) else [value])
        if isinstance(one, dict)
    ]
    return keyed.union(*map(topics_of, inner)) if inner else keyed


@pytest.mark.parametrize("name", VARIANTS)
def test_it_keeps_its_schema(name: str) -> None:
    assert faults_of(json.loads(json.dumps(message(VARIANTS[name])))) == []


@settings(max_examples=40)
@given(
    device=slugs, camera=slugs, base=st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5})?", fullmatch=True), snapshot=st.booleans(), warm=st.booleans(),
    unsigned=st.sets(st.sampled_from(["snapshot", "restart", "unlocking"])), area=st.none() | st.from_regex(r"\S(.{0,30}\S)?", fullmatch=True),
)  # fmt: skip
def test_any_settings_give_one_that_keeps_it(
    *, device: str, camera: str, base: str, snapshot: bool, warm: bool, unsigned: set[str], area: str | None
) -> None:
    chosen = Settings(
        device=Device(name=device), camera=Camera(name=camera), mqtt=Mqtt(base_topic=base), publish=Publish(snapshot=snapshot),
        commands=Commands(unsigned=tuple(sorted(unsigned))), home_assistant=HomeAssistant(area=area),
    )  # fmt: skip
    made = message(Box(chosen, has_thermometer=warm))
    assert faults_of(made) == []
    root = f"{base}/{device}"
    assert {topic.removeprefix(f"{root}/") for topic in topics_of(made)} <= {
        "status", f"camera/{camera}/status", "event", "presence", "health", "enabled", "enabled/set", "snapshot", "cmd/restart", "cmd/snapshot",
    }  # fmt: skip
    for field in ("unique_id", "default_entity_id"):
        assert len({one[field] for one in made["components"].values()}) == len(made["components"])
    # Home Assistant's limit on a node in a topic, and what brokers take by default.
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", discovery_topic("homeassistant", device).split("/")[2])
    assert len(json.dumps(made)) < 16_384


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("components/visitor/object_id", "x"), ("components/visitor/state_topic", "ostiary/+/event"), ("components/visitor/platform", "camera"),
        ("components/latency/value_template", "age_ms"), ("components/restart/entity_category", "secret"), ("origin/name", "x"),
        ("availability_mode", "any"), ("device/identifiers", []), ("components/face/content_type", "image/png"), ("components/outbox/qos", 0),
        ("components/Visitor", {"platform": "event"}), ("components/presence/command_topic", "a/b"),
    ],
)  # fmt: skip
def test_the_schema_finds_what_is_wrong(path: str, value: Any) -> None:
    data = json.loads(json.dumps(message(FULL)))
    *parents, last = path.split("/")
    place = data
    for parent in parents:
        place = place[parent]
    place[last] = value
    assert faults_of(data)


def test_the_schema_is_one() -> None:
    assert validator("discovery").schema["$id"] == "urn:ostiary:schema:discovery:1"
    assert (SCHEMAS / "discovery.schema.json").is_file()


def test_keys_are_for_ever() -> None:
    assert {key: one["platform"] for key, one in components(FULL).items()} == FOR_EVER
    made = message(FULL)["components"]
    assert {one["unique_id"] for one in made.values()} == {f"ostiary-front-door-{key}" for key in FOR_EVER}
    assert {one["default_entity_id"] for one in made.values()} == {
        f"{platform}.ostiary_front_door_{key}" for key, platform in FOR_EVER.items()
    }


def test_what_needs_no_camera_stays_when_it_is_away() -> None:
    made = message(FULL)
    status, camera = {"topic": "ostiary/front-door/status"}, {"topic": "ostiary/front-door/camera/porch/status"}
    assert (made["availability"], made["availability_mode"]) == ([status, camera], "all")
    assert {key for key, one in made["components"].items() if one.get("availability") == [status]} == WITHOUT_CAMERA
    assert {key for key, one in made["components"].items() if "availability" not in one} == set(
        FOR_EVER
    ) - WITHOUT_CAMERA


@pytest.mark.parametrize(
    ("changes", "warm", "missing"),
    [
        ({}, True, {"face", "snapshot"}),
        ({"publish": Publish(snapshot=True)}, False, {"temperature"}),
        ({"publish": Publish(snapshot=True), "commands": Commands(enabled=False)}, True, {"restart", "snapshot", "unlocking"}),
        ({"publish": Publish(snapshot=True), "commands": Commands(unsigned=("snapshot",))}, True, {"restart", "unlocking"}),
        ({"publish": Publish(snapshot=True), "commands": Commands(unsigned=("unlocking", "restart"))}, True, {"snapshot"}),
    ],
)  # fmt: skip
def test_only_what_there_is_is_shown(changes: dict[str, Any], warm: bool, missing: set[str]) -> None:  # noqa: FBT001
    assert set(FOR_EVER) - set(components(Box(replace(DOOR, **changes), has_thermometer=warm))) == missing


def test_a_door_event_is_never_taken_from_history() -> None:
    assert "ostiary/front-door/history" not in topics_of(message(FULL))


def test_the_request_of_a_button_is_the_contract_of_commands() -> None:
    """What Home Assistant makes of the template is proved with its own code; here, that it is JSON around two templates."""
    rendered = re.sub(r"\{\{.*?\}\}", "1", REQUEST)
    assert json.loads(rendered) == {"request_id": "ha-1-1", "issued_at": "1"}
    numbers = [int(number) for number in re.findall(r"range\((\d+), (\d+)\)", REQUEST)[0]]
    assert numbers[1] - numbers[0] <= 100_000, "more than Home Assistant's sandbox allows"


@pytest.mark.parametrize(("payload", "expected"), [(b"online", True), (b"offline", False)])
def test_birth(payload: bytes, expected: bool) -> None:  # noqa: FBT001
    assert is_birth(payload) is expected
    assert birth_topic("ha") == "ha/status"


@pytest.mark.parametrize("payload", [b"", b"Online", b"\xff", b"online\n", b"x" * 70_000])
def test_anything_else_is_no_birth(payload: bytes) -> None:
    with pytest.raises(ValueError, match="expected online or offline"):
        is_birth(payload)


def test_home_assistant_takes_it(tmp_path: Path) -> None:
    pytest.importorskip("homeassistant", reason="needs Python 3.13 or later: see scripts/check-home-assistant")
    from tests.home_assistant.validate import blueprint_faults, faults

    for topic, data in messages():
        assert faults(topic, json.dumps(data)) == []
    assert blueprint_faults(ROOT / "deploy" / "examples" / "home-assistant" / "open-door.yaml") == []
