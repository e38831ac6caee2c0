"""Everything that `ostiary.yaml` can say: one frozen dataclass a section, a unit on every number.

The sentences here and in the sections are the user's documentation: `docs/configuration.md`, `docs/ostiary.example.yaml`
and `docs/schemas/config.schema.json` are generated from them (`python -m edge.config.reference`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.config.decisions import Decide, Group, Policy
from edge.config.delivery import HomeAssistant, Metrics, Mqtt, Outbox, Publish, Tls
from edge.config.fleet import Sync, Updates
from edge.config.guard import Commands, Privacy
from edge.config.shapes import SLUG, Rectangle
from edge.config.vision import Camera, Detect, Device, Enrol, Runtime, Track
from edge.validation import setting

__all__ = [
    "SLUG",
    "Camera",
    "Commands",
    "Decide",
    "Detect",
    "Device",
    "Enrol",
    "Group",
    "HomeAssistant",
    "Logging",
    "Metrics",
    "Mqtt",
    "Outbox",
    "Policy",
    "Privacy",
    "Publish",
    "Rectangle",
    "Runtime",
    "Settings",
    "Sync",
    "Tls",
    "Track",
    "Updates",
]


@dataclass(frozen=True, slots=True)
class Logging:
    """What is written to standard error."""

    level: str = setting("info", doc="Least severity written.", choices=("debug", "info", "warning", "error"))
    format: str = setting(
        "text", doc="Lines for people, or a JSON object a line for programs.", choices=("text", "json")
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole of ostiary.yaml."""

    device: Device = setting(Device(), doc="This box.")
    camera: Camera = setting(Camera(), doc="Where frames come from.")
    bundle: Path | None = setting(None, doc="Folder of the bundle; the one in the package when left out.")
    bundles: Path | None = setting(
        None,
        doc="Folder of installed bundles, each a folder of its own; its link `active` names the one in use. `bundle` overrules.",
    )
    updates: Updates = setting(Updates(), doc="Which bundles this box takes.")
    gallery: Path | None = setting(None, doc="Database of the enrolled; one in the user's data folder when left out.")
    detect: Detect = setting(Detect(), doc="Finding faces.")
    track: Track = setting(Track(), doc="Following faces.")
    decide: Decide = setting(Decide(), doc="Deciding who it is.")
    policy: Policy = setting(Policy(), doc="Who of those recognized may enter.")
    mqtt: Mqtt = setting(Mqtt(), doc="The broker.")
    home_assistant: HomeAssistant = setting(HomeAssistant(), doc="How Home Assistant finds this box.")
    publish: Publish = setting(Publish(), doc="What is told besides events.")
    outbox: Outbox = setting(Outbox(), doc="Events on their way.")
    commands: Commands = setting(Commands(), doc="What others may order over MQTT.")
    sync: Sync = setting(Sync(), doc="People who are enrolled elsewhere.")
    privacy: Privacy = setting(Privacy(), doc="What is kept of people.")
    metrics: Metrics = setting(Metrics(), doc="Numbers for Prometheus.")
    enrol: Enrol = setting(Enrol(), doc="Which pictures may become an enrolment.")
    runtime: Runtime = setting(Runtime(), doc="How much of the box to use.")
    logging: Logging = setting(Logging(), doc="What is logged.")
