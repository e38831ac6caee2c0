"""Telling the world what was decided. `open_publisher` makes what the settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge.config.settings import Settings
from edge.outbox import Outbox
from edge.publish.base import Publisher
from edge.publish.log import LogPublisher
from edge.publish.probe import probe_broker
from edge.publish.publisher import MqttPublisher
from edge.publish.topics import Topics

__all__ = ["LogPublisher", "MqttPublisher", "Publisher", "Topics", "open_publisher", "probe_broker"]


def open_publisher(settings: Settings, outbox_file: Path, *, write: Callable[[str], None] | None = None) -> Publisher:
    """What `settings` ask for; `outbox_file` is used where outbox.file is left out."""
    outbox = Outbox(settings.outbox.file or outbox_file, max_events=settings.outbox.max_events)
    if not settings.mqtt.enabled:
        return LogPublisher(outbox, write=write)
    device, camera, snapshots = settings.device.name, settings.camera.name, settings.publish.snapshot
    try:
        return MqttPublisher(settings.mqtt, device=device, camera=camera, outbox=outbox, snapshots=snapshots)
    except BaseException:
        outbox.close()
        raise
