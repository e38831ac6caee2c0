"""Discovery and retirement at the real mosquitto."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.cli import main
from edge.config.settings import Camera, Device, HomeAssistant, Mqtt, Outbox, Publish, Settings
from edge.discovery import Announced, box_of, message, retire
from edge.discovery.memory import memory_file, remembered
from edge.publish import MqttPublisher, announcements, open_publisher
from tests.support.events import make_health
from tests.support.mosquitto import HOST, Heard, Mosquitto, Subscriber, mosquitto, subscriber, wait_for
from tests.support.schemas import validator

CONFIG = "homeassistant/device/ostiary-front/config"
Start = Callable[..., MqttPublisher]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """One for each test: what is retained is what they are about."""
    with mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker next door, and no fleet."""
    monkeypatch.setattr(retire, "QUIET_S", 0.2)
    monkeypatch.setattr(announcements, "MAX_WAIT_S", 0.3)


@pytest.fixture
def settings(tmp_path: Path, broker: Mosquitto) -> Settings:
    return Settings(
        device=Device(name="front"), camera=Camera(name="porch"), mqtt=Mqtt(host=HOST, port=broker.port),
        publish=Publish(snapshot=True), outbox=Outbox(file=tmp_path / "outbox.sqlite"),
    )  # fmt: skip


@pytest.fixture
def start(tmp_path: Path, broker: Mosquitto) -> Iterator[Start]:
    """A box with these settings, its predecessor stopped."""
    running: list[MqttPublisher] = []

    def run(settings: Settings) -> MqttPublisher:
        for old in running:
            old.close()
        box = open_publisher(settings, tmp_path / "unused.sqlite")
        assert isinstance(box, MqttPublisher)
        running.append(box)
        assert box.wait_connected(10)
        box.camera_status(is_online=True)
        box.health(make_health())
        return box

    yield run
    for box in running:
        box.close()


def retained(broker: Mosquitto) -> dict[str, bytes]:
    """What a newcomer hears. Retained messages come before any later one, so a message of our own ends the wait."""
    with subscriber(broker.port, "#", is_checking=False) as listening:
        listening.client.publish("end/of/retained", b"x", 1)
        wait_for(lambda: listening.on("end/of/retained"), "the end")
        return {one.topic: one.payload for one in listening.heard if one.retained}


def is_settled(settings: Settings) -> bool:
    """The broker has acknowledged all that had to be taken back."""
    assert settings.outbox.file is not None
    return remembered(memory_file(settings.outbox.file)) == (Announced.of(box_of(settings)),)


def configs(listening: Subscriber) -> list[Heard]:
    return listening.on(CONFIG)


def test_discovery_lies_retained_and_is_told_again_when_home_assistant_comes(
    start: Start, settings: Settings, broker: Mosquitto
) -> None:
    start(settings)
    wait_for(lambda: CONFIG in retained(broker), "the discovery message")
    found = json.loads(retained(broker)[CONFIG])
    assert found == message(box_of(settings))
    assert list(validator("discovery").iter_errors(found)) == []
    assert settings.outbox.file is not None
    assert stat.S_IMODE(memory_file(settings.outbox.file).stat().st_mode) == 0o600
    with subscriber(broker.port, "homeassistant/#", is_checking=False) as listening:
        wait_for(lambda: configs(listening), "the retained message")
        for payload in (b"offline", b"nonsense", b"online"):
            listening.client.publish("homeassistant/status", payload, 1)
        wait_for(lambda: len(configs(listening)) == 2, "the message again")
        again = configs(listening)[1]
    assert (json.loads(again.payload), again.retained, again.qos) == (found, False, 1)


def test_a_retained_birth_is_ignored(start: Start, settings: Settings, broker: Mosquitto) -> None:
    with subscriber(broker.port, "homeassistant/#", is_checking=False) as listening:
        listening.client.publish("homeassistant/status", b"online", 1, retain=True)
        wait_for(lambda: listening.last("/status"), "the birth")
        box = start(settings)
        wait_for(lambda: box.counters()["commands_retained"] == 1, "the retained birth to be ignored")
        listening.client.publish("homeassistant/status", b"online", 1)
        wait_for(
            lambda: len(configs(listening)) == 2, "the message of the connect, and one for the birth that was live"
        )
        box.close()
    assert len(configs(listening)) == 2


CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "the device's name": ({"device": Device(name="back")}, {CONFIG, "ostiary/front/status", "ostiary/front/camera/porch/status", "ostiary/front/health"}),
    "the camera's name": ({"camera": Camera(name="gate")}, {"ostiary/front/camera/porch/status"}),
    "the prefix": ({"home_assistant": HomeAssistant(prefix="ha")}, {CONFIG}),
    "no discovery": ({"home_assistant": HomeAssistant(discovery=False)}, {CONFIG}),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_takes_back_what_the_old_settings_announced(
    start: Start, settings: Settings, broker: Mosquitto, name: str
) -> None:
    changes, gone = CHANGES[name]
    start(settings)
    wait_for(lambda: gone <= set(retained(broker)), "what will be gone")
    changed = replace(settings, **changes)
    start(changed)
    wait_for(lambda: is_settled(changed), "the broker's acknowledgements")
    assert not gone & set(retained(broker))
    now = Announced.of(box_of(changed))
    assert set(now.retained) <= set(retained(broker))


def test_a_change_while_the_broker_is_away_is_made_up_for_later(
    start: Start, settings: Settings, broker: Mosquitto, tmp_path: Path
) -> None:
    start(settings).close()
    away = replace(settings, device=Device(name="back"), mqtt=replace(settings.mqtt, port=1))
    open_publisher(away, tmp_path / "unused.sqlite").close(timeout_s=2.5)
    assert CONFIG in retained(broker)
    changed = replace(settings, device=Device(name="back"))
    start(changed)
    wait_for(lambda: is_settled(changed), "the broker's acknowledgements")
    assert not {topic for topic in retained(broker) if "front" in topic}


def test_a_removed_component_is_taken_back_and_then_forgotten(
    start: Start, settings: Settings, broker: Mosquitto
) -> None:
    start(settings)
    bare = replace(settings, publish=Publish(snapshot=False))
    start(bare)
    wait_for(lambda: is_settled(bare), "the broker's acknowledgements")
    made = json.loads(retained(broker)[CONFIG])["components"]
    assert (made["face"], made["snapshot"]) == ({"platform": "image"}, {"platform": "button"})
    start(bare)
    wait_for(
        lambda: not {"face", "snapshot"} & set(json.loads(retained(broker)[CONFIG])["components"]), "a short message"
    )


def test_retire_clears_everything_of_a_box_and_nothing_of_others(
    start: Start, settings: Settings, broker: Mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start(settings).close()
    start(replace(settings, device=Device(name="back"), outbox=Outbox(file=tmp_path / "back.sqlite")))
    config = tmp_path / "ostiary.yaml"
    config.write_text(
        f"device: {{name: front}}\nmqtt: {{host: {HOST}, port: {broker.port}}}\noutbox: {{file: {settings.outbox.file}}}\n",
        encoding="utf-8",
    )
    wait_for(lambda: len(retained(broker)) == 12, "both boxes")
    before = set(retained(broker))
    own = {topic for topic in before if "front" in topic}
    assert len(own) == 6
    assert main(["retire", "--config", str(config), "--device", "back", "--yes"]) == 2, "it is online"
    assert main(["retire", "--config", str(config)]) == 2, "nobody can be asked"
    assert set(retained(broker)) == before
    assert main(["retire", "--config", str(config), "--yes"]) == 0
    assert "front: cleared 6 retained messages" in capsys.readouterr().out
    assert set(retained(broker)) == before - own
    assert settings.outbox.file is not None
    assert remembered(memory_file(settings.outbox.file)) == ()
    assert main(["retire", "--config", str(config), "--yes"]) == 0, "again, it changes nothing"
    assert main(["retire", "--config", str(config), "--device", "back", "--yes", "--force"]) == 0
    assert retained(broker) == {}
