"""What this box has announced, remembered on disk: after a change of its name somebody must take the old things back."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.discovery.message import Box, components, discovery_topic
from edge.publish.topics import Topics

VERSION = 1
MAX_BYTES = 65_536
MAX_ENTRIES = 16
"""So many old names are remembered while no broker takes them back."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Announced:
    """What lies retained at a broker in the name of one device."""

    base: str
    device: str
    camera: str
    prefix: str | None
    """Of its discovery message; None where there is none."""
    components: tuple[tuple[str, str], ...] = ()
    """Key and platform of each."""

    @classmethod
    def of(cls, box: Box) -> Announced:
        """What these settings announce."""
        settings = box.settings
        told = settings.home_assistant.discovery
        made = tuple(sorted((key, str(one["platform"])) for key, one in components(box).items())) if told else ()
        prefix = settings.home_assistant.prefix if told else None
        return cls(settings.mqtt.base_topic, settings.device.name, settings.camera.name, prefix, made)

    @property
    def discovery(self) -> str | None:
        """Topic of its discovery message."""
        return None if self.prefix is None else discovery_topic(self.prefix, self.device)

    @property
    def retained(self) -> tuple[str, ...]:
        """Every topic on which it may have left something."""
        found = retained_states(self.base, self.device, self.camera)
        return found if self.discovery is None else (self.discovery, *found)


def retained_states(base: str, device: str, camera: str | None) -> tuple[str, ...]:
    """Topics of the retained states in the contract of docs/mqtt.md."""
    topics = Topics(base, device)
    cameras = () if camera is None else (topics.camera_status(camera),)
    return (topics.status, *cameras, topics.presence, topics.health, topics.enabled)


def memory_file(outbox: Path) -> Path:
    """Beside the outbox, under its name: each daemon of a box has its own."""
    return outbox.with_name(f"{outbox.stem}-announced.json")


def remembered(path: Path) -> tuple[Announced, ...]:
    """What was announced, newest last. A damaged file is told and counts as none: the worst of it is an old name left behind."""
    try:
        with path.open("rb") as handle:
            data = handle.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")  # noqa: TRY301 - one way out for all faults
        found = json.loads(data)
        if not isinstance(found, dict) or found.get("version") != VERSION:
            raise ValueError("of another version")  # noqa: TRY301
        return tuple(_announced(one) for one in found["announced"])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        log.warning("%s: what was announced before is not known (%s); it is written anew", path, error)
        return ()


def _announced(data: Any) -> Announced:
    texts = [data[name] for name in ("base", "device", "camera")]
    prefix, rows = data["prefix"], [(key, platform) for key, platform in data["components"]]
    for text in (*texts, *([] if prefix is None else [prefix]), *(part for row in rows for part in row)):
        # It becomes part of a topic that is cleared: no wildcard, nothing odd.
        if not isinstance(text, str) or not text or len(text) > 128 or set(text) & set("+#\0"):
            raise ValueError(f"unexpected {str(text)[:40]!r}")
    base, device, camera = texts
    return Announced(base, device, camera, prefix, tuple(rows))


def remember(path: Path, announced: Iterable[Announced]) -> None:
    """Written whole or not at all, for the owner only. A fault is told, and costs nothing but the memory."""
    rows = [asdict(one) for one in announced][-MAX_ENTRIES:]
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as handle:
            json.dump({"version": VERSION, "announced": rows}, handle, indent=1)
            handle.flush()
            os.fsync(handle.fileno())
        fresh.replace(path)
    except OSError as error:
        log.warning(
            "%s: cannot be written (%s); after a change of names old entities stay behind", path, error.strerror
        )
        with contextlib.suppress(OSError):
            fresh.unlink()


def forget(path: Path, *, base: str, device: str) -> None:
    """One device of it was retired."""
    found = remembered(path)
    left = [one for one in found if (one.base, one.device) != (base, device)]
    if len(left) < len(found):
        remember(path, left)
