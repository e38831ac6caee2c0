"""Settings to the one message by which Home Assistant finds this box: pure functions, no network.

https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload; the payload has the form of
docs/schemas/discovery.schema.json, and `scripts/check-home-assistant` holds it against Home Assistant's own code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from edge import __version__
from edge.config.settings import Settings
from edge.datatypes import EventType
from edge.publish.topics import Topics

Component = dict[str, Any]

REQUEST = (
    '{"request_id": "ha-{{ (now().timestamp() * 1000) | int }}-{{ range(10000, 99999) | random }}", '
    '"issued_at": "{{ utcnow().isoformat(timespec=\'milliseconds\') }}"}'
)
"""Template of a command without arguments, as docs/commands.md has it. Home Assistant renders it when the button is pressed."""
LET_IN = (
    "{{ value_json.identity.name if value_json.allowed and value_json.identity"
    " else (None if this.state == 'unavailable' else this.state) }}"
)
"""Whoever is not let in leaves the state as it was; `None` is what Home Assistant takes for an unknown state."""
CAMERA = "{{ 'OFF' if value_json.camera.online and value_json.camera.picture | default('ok', true) == 'ok' else 'ON' }}"
"""A camera that gives pictures may still be frozen or black."""


@dataclass(frozen=True, slots=True)
class Box:
    """What a discovery message is made of."""

    settings: Settings
    has_thermometer: bool = False
    """Whether /health ever has a temperature."""
    newest_bundle: str | None = None
    """Id of the bundle that was installed last, in use or not."""

    @property
    def topics(self) -> Topics:
        """Of this device."""
        return Topics(self.settings.mqtt.base_topic, self.settings.device.name)

    def may_order(self, verb: str) -> bool:
        """Whether a button in Home Assistant, which signs nothing, would be obeyed."""
        return self.settings.commands.enabled and verb in self.settings.commands.unsigned


def discovery_topic(prefix: str, device: str) -> str:
    """Where the message of one device lies retained."""
    return f"{prefix}/device/ostiary-{device}/config"


def birth_topic(prefix: str) -> str:
    """Where Home Assistant says that it is there, and wants to hear of every device again."""
    return f"{prefix}/status"


def message(box: Box) -> dict[str, Any]:
    """The payload as plain data."""
    settings = box.settings
    return {
        "device": _device(settings),
        "origin": {"name": "Ostiary", "sw_version": __version__},
        "availability": [
            {"topic": box.topics.status},
            {"topic": box.topics.camera_status(settings.camera.name)},
        ],
        "availability_mode": "all",
        "components": {key: _named(settings.device.name, key, made) for key, made in components(box).items()},
    }


def _device(settings: Settings) -> dict[str, Any]:
    name = settings.device.name
    made: dict[str, Any] = {
        "identifiers": [f"ostiary-{name}"],
        "name": name.replace("-", " ").replace("_", " ").strip().capitalize(),
        "manufacturer": "Ostiary",
        "model": "Face recognition at a door",
        "sw_version": __version__,
    }
    area = settings.home_assistant.area
    return {**made, "suggested_area": area} if area else made


def _named(device: str, key: str, component: Component) -> Component:
    slug = device.lower().replace("-", "_")
    entity_id = f"{component['platform']}.ostiary_{slug}_{key}"
    return {**component, "qos": 1, "unique_id": f"ostiary-{device}-{key}", "default_entity_id": entity_id}


def components(box: Box) -> dict[str, Component]:
    """Key -> what Home Assistant shows under it, without its ids. A key is for ever: histories hang on it."""
    made = {**_visits(box.topics), **_states(box), **_numbers(box)}
    if box.may_order("unlocking"):
        made["unlocking"] = _switch(box)
    if box.settings.publish.snapshot:
        made["face"] = {
            "platform": "image",
            "name": "Last face",
            "icon": "mdi:account-box-outline",
            "image_topic": box.topics.snapshot,
            "content_type": "image/jpeg",
        }
    return {**made, **_buttons(box)}


def _visits(topics: Topics) -> dict[str, Component]:
    return {
        "visitor": {
            "platform": "event",
            "name": "Visitor",
            "icon": "mdi:face-recognition",
            "state_topic": topics.event,
            "event_types": list(get_args(EventType)),
        },
        "let_in": {
            "platform": "sensor",
            "name": "Last let in",
            "icon": "mdi:account-check",
            "state_topic": topics.event,
            "value_template": LET_IN,
        },
        # Of the visit itself, and not from /health, whose stage times are of single frames: what a visitor waits is
        # only known per event, and `age_ms` needs no clock.
        "latency": {
            "platform": "sensor",
            "name": "Latency",
            "icon": "mdi:timer-outline",
            "state_topic": topics.event,
            "value_template": "{{ value_json.age_ms }}",
            "device_class": "duration",
            "unit_of_measurement": "ms",
            "state_class": "measurement",
            "suggested_display_precision": 0,
            "entity_category": "diagnostic",
        },
        "presence": {
            "platform": "binary_sensor",
            "name": "Presence",
            "device_class": "occupancy",
            "state_topic": topics.presence,
        },
    }


def _states(box: Box) -> dict[str, Component]:
    topics = box.topics
    return {
        "camera": {
            "platform": "binary_sensor",
            "name": "Camera",
            "device_class": "problem",
            "state_topic": topics.health,
            "value_template": CAMERA,
            "entity_category": "diagnostic",
            "json_attributes_topic": topics.health,
            "json_attributes_template": "{{ value_json.camera | tojson }}",
            "availability": [{"topic": topics.status}],
        },
        "bundle": {
            "platform": "update",
            "name": "Bundle",
            "title": "Ostiary bundle",
            "icon": "mdi:package-variant-closed",
            "state_topic": topics.health,
            "value_template": _versions(box.newest_bundle),
            "release_summary": "A bundle is switched by a signed command, so there is no button here: see docs/commands.md.",
            "entity_category": "diagnostic",
            "availability": [{"topic": topics.status}],
        },
    }


def _versions(newest: str | None) -> str:
    """Template; without anything newer the bundle in use is the newest."""
    latest = "value_json.bundle_id" if newest is None else f"'{newest}'"
    return "{{ {'installed_version': value_json.bundle_id, 'latest_version': " + latest + "} | tojson }}"


def _switch(box: Box) -> Component:
    return {
        "platform": "switch",
        "name": "Unlocking",
        "icon": "mdi:lock-open-check",
        "state_topic": box.topics.enabled,
        "command_topic": box.topics.enabled_set,
        "entity_category": "config",
        "availability": [{"topic": box.topics.status}],
    }


def _numbers(box: Box) -> dict[str, Component]:
    made = {
        "outbox": _number(box, "Outbox", "mdi:tray-full", "{{ value_json.outbox.depth }}"),
        "gallery": _number(box, "Gallery revision", "mdi:account-multiple", "{{ value_json.gallery_revision }}"),
    }
    if box.has_thermometer:
        warm = _number(box, "Temperature", "mdi:thermometer", "{{ value_json.temperature_c }}")
        made["temperature"] = {**warm, "device_class": "temperature", "unit_of_measurement": "°C"}
    return made


def _number(box: Box, name: str, icon: str, template: str) -> Component:
    return {
        "platform": "sensor",
        "name": name,
        "icon": icon,
        "state_topic": box.topics.health,
        "value_template": template,
        "state_class": "measurement",
        "entity_category": "diagnostic",
        "availability": [{"topic": box.topics.status}],
    }


def _buttons(box: Box) -> dict[str, Component]:
    made: dict[str, Component] = {}
    if box.may_order("restart"):
        made["restart"] = {
            **_button(box, "restart"),
            "name": "Restart",
            "device_class": "restart",
            "entity_category": "config",
        }
    if box.may_order("snapshot") and box.settings.publish.snapshot:
        made["snapshot"] = {**_button(box, "snapshot"), "name": "Take a picture", "icon": "mdi:camera"}
        # A picture needs the camera: it keeps the availability of the device.
        del made["snapshot"]["availability"]
    return made


def _button(box: Box, verb: str) -> Component:
    return {
        "platform": "button",
        "command_topic": box.topics.command(verb),
        "command_template": REQUEST,
        "availability": [{"topic": box.topics.status}],
    }
