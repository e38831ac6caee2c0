"""Telling the world what was decided. `open_publisher` makes what the settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge.config.settings import Settings
from edge.gallery.encryption.sealing import sealer_of
from edge.outbox import Bounds, Outbox
from edge.publish.base import Publisher
from edge.publish.log import LogPublisher
from edge.publish.probe import probe_broker
from edge.publish.publisher import MqttPublisher
from edge.publish.topics import Topics

__all__ = ["LogPublisher", "MqttPublisher", "Publisher", "Topics", "open_publisher", "probe_broker"]


def open_publisher(
    settings: Settings, outbox_file: Path, *, write: Callable[[str], None] | None = None, is_enabled: bool = True
) -> Publisher:
    """What `settings` ask for; `outbox_file` is used where outbox.file is left out. `is_enabled`: see Publisher."""
    limits = settings.outbox
    bounds = Bounds(limits.max_events, limits.max_bytes, limits.max_age_h)
    outbox = Outbox(limits.file or outbox_file, bounds=bounds, sealer=sealer_of(settings))
    if not settings.mqtt.enabled:
        return LogPublisher(outbox, write=write)
    # Discovery is made of messages and topics, so it imports this package.
    from edge.discovery import announcements_of

    device, camera, snapshots = settings.device.name, settings.camera.name, settings.publish.snapshot
    announcements = announcements_of(settings, settings.outbox.file or outbox_file)
    try:
        return MqttPublisher(
            settings.mqtt,
            device=device,
            camera=camera,
            outbox=outbox,
            snapshots=snapshots,
            announcements=announcements,
            is_enabled=is_enabled,
        )
    except BaseException:
        outbox.close()
        raise
