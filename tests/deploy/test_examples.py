"""The examples run, and name nothing that is not there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.config.settings import Device, Publish, Settings
from edge.datatypes import Verdict
from edge.discovery import Box, message
from tests.support.data import ROOT
from tests.support.events import make_event
from tests.support.mosquitto import HOST, Mosquitto, mosquitto, subscriber, wait_for
from tests.support.schemas import validator

EXAMPLES = ROOT / "deploy" / "examples"
BLUEPRINT = EXAMPLES / "home-assistant" / "open-door.yaml"
AUTOMATIONS = EXAMPLES / "home-assistant" / "automations.yaml"
ATTRIBUTES = {*validator("event").schema["properties"]}
ALLOWED = replace(make_event(), verdict=Verdict(allowed=True, reason="allowed"), seq=1)


class Input(str):
    """!input NAME."""

    __slots__ = ()


class BlueprintLoader(yaml.SafeLoader):
    """YAML as Home Assistant writes it."""


BlueprintLoader.add_constructor("!input", lambda loader, node: Input(loader.construct_scalar(node)))  # type: ignore[arg-type]


def blueprint() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(BLUEPRINT.read_text(encoding="utf-8"), BlueprintLoader)  # noqa: S506 - a safe one
    return found


def texts(data: Any) -> Iterator[str]:
    """Every text anywhere in it."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from texts(value)


def attributes_of(data: Any) -> set[str]:
    """What templates read from the event."""
    found: set[str] = set()
    for text in texts(data):
        found |= set(re.findall(r"(?:to|from)_state\.attributes\.(?!get\b)(\w+)", text))
        found |= set(re.findall(r"attributes\.get\('(\w+)'", text))
    return found


def test_the_blueprint_asks_for_what_it_uses() -> None:
    made = blueprint()
    used = {text for text in texts(made) if isinstance(text, Input)}
    assert used == set(made["blueprint"]["input"]) == {"visitor", "opening", "identities", "max_age_s"}
    assert made["actions"] == Input("opening")
    assert set(made["variables"]) == {"identities", "max_age_s"}


def test_the_blueprint_reads_attributes_that_an_event_has() -> None:
    made = blueprint()
    read = attributes_of(made["conditions"])
    assert read <= ATTRIBUTES
    assert read == {
        "event_type",
        "allowed",
        "replayed",
        "age_ms",
        "clock_synced",
        "captured_at",
        "event_id",
        "identity",
    }
    [trigger] = made["triggers"]
    assert trigger == {
        "trigger": "state", "entity_id": Input("visitor"), "not_from": ["unavailable"], "not_to": ["unavailable", "unknown"],
    }  # fmt: skip


def test_automations_name_entities_that_discovery_announces() -> None:
    settings = Settings(device=Device(name="front-door"), publish=Publish(snapshot=True))
    announced = {one["default_entity_id"] for one in message(Box(settings))["components"].values()}
    rows = yaml.safe_load(AUTOMATIONS.read_text(encoding="utf-8"))
    assert len({row["id"] for row in rows}) == len(rows) == 4
    named = {name for text in texts(rows) for name in re.findall(r"\b[a-z_]+\.ostiary_\w+", text)}
    assert named
    assert named <= announced
    assert attributes_of(rows[1:]) <= {*ATTRIBUTES, "picture"}
    assert rows[0]["use_blueprint"]["path"] == f"ostiary/{BLUEPRINT.name}"
    assert set(rows[0]["use_blueprint"]["input"]) <= set(blueprint()["blueprint"]["input"])


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path / "broker") as running:
        yield running


@contextmanager
def running(*command: object, output: Path) -> Iterator[None]:
    with output.open("wb") as out:
        process = subprocess.Popen(
            list(map(str, command)), stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


COMMANDS = {
    "subscriber.py": (lambda port: (sys.executable, EXAMPLES / "subscriber.py", f"{HOST}:{port}"), f"open for {ALLOWED.decision.identity.id} 'Ada'"),  # type: ignore[union-attr]
    "watch-door.sh": (lambda port: (EXAMPLES / "watch-door.sh", HOST, port), f'front lets in {ALLOWED.decision.identity.id} "Ada"'),  # type: ignore[union-attr]
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_a_subscriber_says_who_may_come_in_and_nothing_else(tmp_path: Path, broker: Mosquitto, name: str) -> None:
    if name.endswith(".sh") and not (shutil.which("jq") and shutil.which("mosquitto_sub")):
        pytest.skip("jq or mosquitto_sub is not installed")
    command, expected = COMMANDS[name]
    output = tmp_path / "output"
    payload = ALLOWED.payload(age_ms=20.0)
    refused = [{**payload, **one} for one in ({"allowed": False}, {"replayed": True}, {"age_ms": 9_000.0})]
    with subscriber(broker.port, "#", is_checking=False) as listening:
        send = lambda data, **how: listening.client.publish("ostiary/front/event", json.dumps(data), 1, **how)  # noqa: E731
        send({**payload, "identity": {"id": "RETAINED", "name": "x"}}, retain=True).wait_for_publish(10)
        with running(*command(broker.port), output=output):
            wait_for(lambda: broker.log.count("ostiary/+/event") >= 1, "its subscription")
            for data in (*refused, payload):
                send(data)
            wait_for(lambda: output.read_bytes().count(b"\n") >= 1, "a line")
    [line] = output.read_text(encoding="utf-8").splitlines()
    assert expected in line
