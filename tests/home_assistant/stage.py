"""What takes part in the live check: the box, Home Assistant beside it, and the doors that were opened."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import yaml

from edge.config.settings import Camera, Device, HomeAssistant, Mqtt, Outbox, Publish, Settings
from edge.datatypes import Identity, Verdict
from edge.discovery import box_of, message
from edge.event import Event
from edge.publish import MqttPublisher, open_publisher
from tests.home_assistant import server as ha
from tests.support.data import ROOT
from tests.support.events import make_event, make_health
from tests.support.mosquitto import HOST, Mosquitto, Subscriber, wait_for

EXAMPLES = ROOT / "deploy" / "examples" / "home-assistant"
VISITOR = "event.ostiary_front_door_visitor"
ADA = Identity("01J00000000000000000000ADA", "Ada Lovelace")
GRACE = Identity("01J000000000000000000GRACE", "Grace Hopper")
JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"
LOCK = """
template:
  - lock:
      - name: Front door
        default_entity_id: lock.front_door
        state: "{{ 'locked' }}"
        lock: []
        unlock:
          - action: mqtt.publish
            data: {topic: opened/example, payload: open}
command_line:
  - notify:
      name: mobile_app_phone
      command: cat >> CONFIG/notified
"""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def patient(name: str, *identities: str) -> dict[str, Any]:
    """The blueprint again, with so much patience that only its other conditions can keep an old event out."""
    action = {"action": "mqtt.publish", "data": {"topic": f"opened/{name}", "payload": "open"}}
    values = {"visitor": VISITOR, "opening": [action], "max_age_s": 60, "identities": list(identities)}
    return {
        "id": name,
        "alias": f"Open the front door ({name.replace('_', ' ')})",
        "use_blueprint": {"path": "ostiary/open-door.yaml", "input": values},
    }


def automations() -> str:
    """The examples as they are, and two more instances of the blueprint."""
    more = yaml.safe_dump([patient("patient"), patient("ada_only", ADA.id)])
    return (EXAMPLES / "automations.yaml").read_text(encoding="utf-8") + "\n" + more


def settings_of(port: int, folder: Path, **changes: Any) -> Settings:
    base = Settings(
        device=Device(name="front-door"),
        camera=Camera(name="porch"),
        mqtt=Mqtt(host=HOST, port=port, keepalive_s=2),
        home_assistant=HomeAssistant(area="Entrance"),
        publish=Publish(snapshot=True),
        bundles=folder / "bundles",
        outbox=Outbox(file=folder / "box" / "outbox.sqlite"),
    )
    return replace(base, **changes)


def entity_ids(settings: Settings) -> set[str]:
    return {one["default_entity_id"] for one in message(box_of(settings))["components"].values()}


@dataclass
class Stage:
    """Everything that takes part."""

    server: ha.HomeAssistant
    broker: Mosquitto
    listening: Subscriber
    client: paho.Client
    folder: Path
    settings: Settings
    box: MqttPublisher
    opened: dict[str, int]

    def open_box(self, settings: Settings) -> None:
        """The same box, started again."""
        self.box.close()
        self.settings = settings
        self.box = started(settings)

    def publish(self, identity: Identity | None = ADA, *, allowed: bool = True) -> Event:
        """A live event of the box, and the wait until Home Assistant has it."""
        verdict = Verdict(allowed=True, reason="allowed") if allowed else Verdict(allowed=False, reason="schedule")
        event = replace(make_event(identity=identity), device="front-door", verdict=verdict)
        self.box.publish(event)
        self.wait_for_event(event.event_id)
        return event

    def forge(self, **changes: Any) -> None:
        """Something on /event that no box sends."""
        event = replace(
            make_event(identity=ADA), device="front-door", seq=1, verdict=Verdict(allowed=True, reason="allowed")
        )
        payload = {**event.payload(age_ms=30.0), **changes}
        self.client.publish("ostiary/front-door/event", json.dumps(payload), 1).wait_for_publish(10)
        self.wait_for_event(payload["event_id"])

    def wait_for_event(self, event_id: str) -> None:
        def has_come() -> bool:
            found = self.server.api.state(VISITOR)
            return found is not None and found["attributes"].get("event_id") == event_id

        wait_for(has_come, "the event in Home Assistant")

    def expect(self, **more: int) -> None:
        """So many doors were opened since the last call, and no others."""
        for name, count in more.items():
            self.opened[name] += count
        wait_for(lambda: all(self.count(name) >= count for name, count in self.opened.items()), f"{self.opened}")
        assert {name: self.count(name) for name in self.opened} == self.opened

    def count(self, name: str) -> int:
        return len(self.listening.on(f"opened/{name}"))


def started(settings: Settings) -> MqttPublisher:
    assert settings.outbox.file is not None
    box = open_publisher(settings, settings.outbox.file)
    assert isinstance(box, MqttPublisher)
    assert box.wait_connected(10)
    box.camera_status(is_online=True)
    box.health({**make_health(), "camera": {"online": True, "reopened": 0, "picture": "ok"}})
    return box
