"""How Home Assistant finds this box, and how it forgets it again."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.config.settings import Settings
from edge.discovery.memory import Announced, memory_file, remember, remembered
from edge.discovery.message import Box, birth_topic, discovery_topic, message
from edge.discovery.newest import newest_bundle
from edge.health import temperature_c
from edge.publish.announcements import Announcements
from edge.publish.client import Message

__all__ = [
    "Announced",
    "Box",
    "announcements_of",
    "birth_topic",
    "box_of",
    "discovery_topic",
    "is_birth",
    "message",
    "plan",
]

log = logging.getLogger(__name__)


def box_of(settings: Settings) -> Box:
    """With what only the box itself knows."""
    return Box(settings, temperature_c() is not None, newest_bundle(settings.bundles))


def announcements_of(settings: Settings, outbox: Path) -> Announcements:
    """What the daemon tells at every connect; `outbox` says beside which file it is remembered."""
    box = box_of(settings)
    path, now = memory_file(outbox), Announced.of(box)
    before = tuple(one for one in remembered(path) if one != now)
    # Before anything is told: a kill right after it must not make us forget that we told.
    remember(path, (*before, now))
    topic = birth_topic(settings.home_assistant.prefix) if settings.home_assistant.discovery else ""
    return Announcements(
        plan(box, before), ask_topic=topic, is_ask=is_birth, on_told=lambda: _settled(path, before, now)
    )


def _settled(path: Path, before: Sequence[Announced], now: Announced) -> None:
    """The broker has taken back everything old."""
    if before:
        log.info("what was announced under other names or settings has been taken back")
        remember(path, (now,))


def plan(box: Box, before: Sequence[Announced]) -> list[Message]:
    """What to tell now that `before` was announced: take back first, then this box's message."""
    now = Announced.of(box)
    kept = set(now.retained)
    gone = dict.fromkeys(topic for one in before for topic in one.retained if topic not in kept)
    messages = [Message(topic, b"", retain=True) for topic in gone]
    if now.discovery is None:
        return messages
    old = {row for one in before if one.discovery == now.discovery for row in one.components}
    payload = message(box)
    payload["components"] |= _removed(old - set(now.components), payload["components"])
    return [*messages, _discovery(now.discovery, payload)]


def _removed(rows: set[tuple[str, str]], current: dict[str, Any]) -> dict[str, Any]:
    """A component with nothing but its platform is one to remove; a key in use under another platform stays that one's."""
    return {key: {"platform": platform} for key, platform in sorted(rows) if key not in current}


def _discovery(topic: str, payload: dict[str, Any]) -> Message:
    data = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return Message(topic, data, retain=True, content_type="application/json")


def is_birth(payload: bytes) -> bool:
    """Whether Home Assistant has come, and not gone. ValueError for anything else."""
    if payload not in {b"online", b"offline"}:
        raise ValueError(f"payload {payload[:32]!r}; expected online or offline")
    return payload == b"online"
