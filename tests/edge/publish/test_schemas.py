"""The published schemas are strict, and docs/mqtt.md keeps to them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.data import ROOT
from tests.support.events import make_event, make_health
from tests.support.mosquitto import PATIENCE_S, mosquitto, wait_for
from tests.support.schemas import SCHEMAS, schema_of, validate, validator

NAMES = ("event", "health", "presence", "status", "camera-status", "enabled")
MQTT_PAGE = ROOT / "docs" / "mqtt.md"


def event() -> dict[str, Any]:
    payload = make_event().payload(age_ms=1.5)
    return {**payload, "seq": 1, "latency_ms": {"publish": 0.3}}


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_is_one_and_names_itself(name: str) -> None:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    validator(name)
    assert schema["$id"] == f"urn:ostiary:schema:{name}:1"
    assert schema["$schema"].endswith("2020-12/schema")


def test_sound_payloads_are_taken() -> None:
    validate("ostiary/front/event", json.dumps(event()).encode())
    validate("ostiary/front/history", json.dumps({**event(), "replayed": True}).encode())
    validate("ostiary/front/health", json.dumps(make_health()).encode())
    validate("ostiary/front/camera/porch/status", b"online")


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1}, {"schema": 2}, {"event_id": "x"}, {"event_type": "opened"}, {"seq": 0}, {"seq": 1.5},
        {"identity": None}, {"identity": {"id": "x"}}, {"identity": {"id": "", "name": "Ada"}},
        {"event_type": "unknown"}, {"similarity": 1.1}, {"margin": -0.1}, {"age_ms": -1}, {"box": [1, 2, 3]},
        {"captured_at": "yesterday"}, {"latency_ms": {}}, {"latency_ms": {"publish": 1, "coffee": 2}},
        {"replayed": True}, {"device": "a/b"}, {"clock_synced": 1},
    ],
)  # fmt: skip
def test_an_event_that_breaks_the_contract_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        validate("ostiary/front/event", json.dumps({**event(), **change}).encode())


@pytest.mark.parametrize("name", sorted(event()))
def test_no_field_of_an_event_may_be_missing(name: str) -> None:
    payload = event()
    del payload[name]
    with pytest.raises(AssertionError):
        validate("ostiary/front/event", json.dumps(payload).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1}, {"outbox": {"depth": 0}}, {"counters": {"frames": -1}}, {"counters": {"frames": 0.5}},
        {"stages_ms": {"detect": {"p50": 1}}}, {"camera": {"online": True}}, {"temperature_c": "warm"}, {"uptime_s": None},
    ],
)  # fmt: skip
def test_a_health_report_that_breaks_the_contract_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        validate("ostiary/front/health", json.dumps({**make_health(), **change}).encode())


@pytest.mark.parametrize(
    ("topic", "payload"), [("presence", b"on"), ("status", b""), ("camera/porch/status", b"ON"), ("enabled", b"1")]
)
def test_a_state_in_other_words_is_refused(topic: str, payload: bytes) -> None:
    with pytest.raises(AssertionError):
        validate(f"ostiary/front/{topic}", payload)


def test_a_topic_of_no_contract_is_refused() -> None:
    with pytest.raises(AssertionError):
        schema_of("ostiary/front/event/more")


def code(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", MQTT_PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_event_in_the_docs_keeps_to_its_schema() -> None:
    validate("ostiary/front-door/event", code("json").encode())


def test_the_subscriber_in_the_docs_opens_for_a_live_event_only(tmp_path: Path) -> None:
    from paho.mqtt import publish

    with mosquitto(tmp_path) as broker:
        source = code("python").replace("1883", str(broker.port)).replace("localhost", "127.0.0.1")
        command = [sys.executable, "-c", source]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as subscriber:
            # A subscriber that says nothing must not hold up the tests for ever.
            limit = threading.Timer(PATIENCE_S, subscriber.kill)
            limit.start()
            try:
                wait_for(lambda: "Sending SUBACK" in broker.log, "its subscription")
                sound = {**event(), "allowed": True, "reason": "allowed"}
                refused = ({**sound, "replayed": True}, {**sound, "age_ms": 60_000}, {**sound, "allowed": False})
                for payload in (*refused, sound):
                    text = json.dumps(payload)
                    publish.single("ostiary/front/event", text, qos=1, hostname="127.0.0.1", port=broker.port)
                assert subscriber.stdout is not None
                assert subscriber.stdout.readline() == "open for Ada\n"
            finally:
                limit.cancel()
                subscriber.kill()
            assert subscriber.stdout.read() == ""
