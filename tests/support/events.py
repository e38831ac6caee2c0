"""Events to publish."""

from __future__ import annotations

import time
from typing import Any

from ulid import ULID

from edge.datatypes import Box, Decision, Identity
from edge.event import Event

ADA = Identity("01J00000000000000000000ADA", "Ada")


def make_event(
    *, identity: Identity | None = ADA, age_s: float = 0.0, boot_id: str = "this-boot", **fields: Any
) -> Event:
    """A valid event of a picture taken `age_s` ago; `fields` go to the decision."""
    decision = {
        "event_type": "unknown" if identity is None else "recognized",
        "track_id": 1,
        "identity": identity,
        "similarity": 0.61,
        "margin": 0.2,
        "operating_point": "fmr-1e-4",
        "frames": 3,
        "quality": 0.8,
        "box": Box(10.0, 20.0, 110.0, 140.0),
        "captured_ns": time.monotonic_ns() - int(age_s * 1e9),
        "captured_at": time.time() - age_s,
        **fields,
    }
    return Event(
        decision=Decision(**decision),
        event_id=str(ULID()),
        device="front",
        camera="porch",
        boot_id=boot_id,
        clock_synced=True,
        gallery_revision=4,
        bundle_id="ostiary-default-1",
        embedder_id="ostiary-student-1",
        latency_ms={"capture": 1.0, "detect": 9.5, "align": 0.2, "embed": 2.1, "match": 0.05, "decide": 0.1},
    )


def make_health() -> dict[str, Any]:
    """A valid health report."""
    return {
        "schema": 1,
        "version": "0.1.0",
        "boot_id": "this-boot",
        "uptime_s": 12.5,
        "clock_synced": True,
        "temperature_c": None,
        "rss_bytes": 120_000_000,
        "bundle_id": "ostiary-default-1",
        "embedder_id": "ostiary-student-1",
        "bundle": {
            "bundle_id": "ostiary-default-1", "version": 7, "state": "rolled_back", "previous": None,
            "reason": "ostiary-default-2: 3 frames failed", "since": "2026-01-31T12:00:00.000Z",
        },
        "gallery_revision": 4,
        "camera": {"online": True, "reopened": 0},
        "outbox": {"depth": 0, "dropped": 0},
        "counters": {"frames": 250},
        "stages_ms": {"detect": {"p50": 9.1, "p95": 12.0}},
    }  # fmt: skip
