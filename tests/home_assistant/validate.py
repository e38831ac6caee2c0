"""Home Assistant's own code as the judge of a discovery message and of a blueprint; imports nothing of ours.

    python -m tests.home_assistant.validate FILE

with an interpreter that has `homeassistant` and what its mqtt integration needs. FILE is JSON: topic -> discovery message.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

SPOILT: dict[str, Any] = {
    "an option that is misspelt": {"vlaue_template": "x"},
    "a category that there is not": {"entity_category": "secret"},
    "a template that cannot be read": {"json_attributes_template": "{{ value_json. }}"},
    "no unique id": {"unique_id": None},
    "a wildcard in a topic": {"state_topic": "a/#/b"},
}
"""A judge that finds no fault in these finds none anywhere."""


def faults(topic: str, payload: str) -> list[str]:
    """What Home Assistant finds wrong with a message, a line each."""
    return asyncio.run(_faults(topic, payload))


def blueprint_faults(path: Path) -> list[str]:
    """What Home Assistant finds wrong with a blueprint of the automation domain."""
    return asyncio.run(_blueprint_faults(path))


async def _faults(topic: str, payload: str) -> list[str]:
    from homeassistant.components.mqtt import discovery
    from homeassistant.components.mqtt.schemas import DEVICE_DISCOVERY_SCHEMA
    from homeassistant.core import HomeAssistant

    prefix, kind, object_id, end = topic.split("/")
    if (prefix, kind, end) != ("homeassistant", "device", "config") or not discovery.TOPIC_MATCHER.match(
        f"{kind}/{object_id}/{end}"
    ):
        return [f"{topic}: not a topic that is listened to"]
    with tempfile.TemporaryDirectory() as folder:
        hass = HomeAssistant(folder)
        try:
            DEVICE_DISCOVERY_SCHEMA(json.loads(payload))
        except Exception as error:  # noqa: BLE001 - whatever it raises is its answer
            return [f"device: {error}"]
        # Its parameters differ between versions; their names do not.
        known = {"hass": hass, "payload": payload, "topic": topic, "object_id": object_id, "node_id": None}
        wanted = inspect.signature(discovery._parse_device_payload).parameters
        found = discovery._parse_device_payload(**{name: known[name] for name in wanted})
        if not found:
            return ["refused as a whole"]
        rows = [_component_faults(discovery, key, one, found) for key, one in found["components"].items()]
        await hass.async_stop(force=True)
    return [row for part in rows for row in part]


def _component_faults(discovery: Any, key: str, component: dict[str, Any], message: dict[str, Any]) -> list[str]:
    """As `async_start` does it: shared options are merged in, then the platform's schema is asked; it drops what it does not know."""
    config = dict(component)
    platform = config.pop("platform")
    if not config:
        return []
    config |= {"device": message["device"], "origin": message["origin"]}
    discovery._merge_common_device_options(config, message)
    module = importlib.import_module(f"homeassistant.components.mqtt.{platform}")
    try:
        taken = module.DISCOVERY_SCHEMA(config)
    except Exception as error:  # noqa: BLE001
        return [f"{key}: {error}"]
    return [f"{key}: {name} is not known to it" for name in component if name not in {*taken, "platform"}]


async def _blueprint_faults(path: Path) -> list[str]:
    from homeassistant.components.automation.config import AUTOMATION_BLUEPRINT_SCHEMA
    from homeassistant.components.blueprint.models import Blueprint
    from homeassistant.util import yaml as yaml_util

    try:
        data = yaml_util.load_yaml_dict(str(path))
        made = Blueprint(data, path=path.name, expected_domain="automation", schema=AUTOMATION_BLUEPRINT_SCHEMA)
    except Exception as error:  # noqa: BLE001
        return [str(error)]
    return made.validate() or []


def main() -> int:
    from homeassistant.const import __version__

    messages = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    topic, good = messages[0]
    for what, change in SPOILT.items():
        spoilt = {**good, "components": {"visitor": {**good["components"]["visitor"], **change}}}
        assert faults(topic, json.dumps(spoilt)), f"no fault found in {what}"
    found = [f"{topic}: {fault}" for topic, text in messages for fault in faults(topic, json.dumps(text))]
    blueprint = Path(__file__).parents[2] / "deploy" / "examples" / "home-assistant" / "open-door.yaml"
    found += [f"{blueprint.name}: {fault}" for fault in blueprint_faults(blueprint)]
    sys.stdout.write(
        "\n".join(
            [
                f"Home Assistant {__version__}: {len(messages)} messages and a blueprint, {len(found)} faults; {len(SPOILT)} spoilt ones found",
                *found,
                "",
            ]
        )
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
