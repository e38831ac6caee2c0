"""Discovery messages of differently configured boxes, as JSON: what `validate` reads.

.venv/bin/python -m tests.home_assistant.messages > messages.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from edge.config.settings import Camera, Commands, Device, HomeAssistant, Mqtt, Publish, Settings
from edge.discovery import Announced, Box, plan

VARIANTS: dict[str, Box] = {
    "defaults": Box(Settings()),
    "everything": Box(
        Settings(
            device=Device(name="Front-door_2"), camera=Camera(name="porch"), publish=Publish(snapshot=True),
            home_assistant=HomeAssistant(area="Entrance hall"), mqtt=Mqtt(base_topic="home/doors"),
        ),
        has_thermometer=True,
    ),
    "no commands": Box(Settings(commands=Commands(enabled=False), publish=Publish(snapshot=True))),
    "only restart": Box(Settings(commands=Commands(unsigned=("restart",)))),
}  # fmt: skip


def messages() -> Iterator[tuple[str, dict[str, object]]]:
    """Topic and message of each variant, and one that takes components back."""
    before = Announced.of(VARIANTS["everything"])
    bare = Box(Settings(device=Device(name="Front-door_2")))
    for message in (*(plan(box, ())[-1] for box in VARIANTS.values()), plan(bare, [before])[-1]):
        yield message.topic, json.loads(message.payload)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(list(messages())))
