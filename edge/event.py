"""What subscribers are told of a decision: the contract of docs/mqtt.md, version 1."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edge.datatypes import Decision, Verdict
from edge.timebase import rfc3339


@dataclass(frozen=True, slots=True)
class Event:
    """A Decision with everything a subscriber needs; `payload()` is the MQTT contract, version 1."""

    decision: Decision
    event_id: str
    device: str
    camera: str
    boot_id: str
    clock_synced: bool
    gallery_revision: int
    bundle_id: str
    embedder_id: str
    verdict: Verdict = Verdict()
    latency_ms: dict[str, float] = field(default_factory=dict)
    seq: int = 0
    """Given by the outbox; 0 until then."""

    def payload(self, *, age_ms: float, replayed: bool = False) -> dict[str, Any]:
        """JSON-ready; documented and checked by docs/schemas/event.schema.json."""
        chosen, decision = self.decision.identity, self.decision
        # What is late opens nothing, whoever reads it.
        verdict = Verdict(allowed=False, reason="replayed") if replayed and self.verdict.allowed else self.verdict
        return {
            "schema": 1,
            "event_id": self.event_id,
            "event_type": decision.event_type,
            "device": self.device,
            "camera": self.camera,
            "seq": self.seq,
            "boot_id": self.boot_id,
            "captured_at": rfc3339(decision.captured_at),
            "age_ms": round(age_ms, 1),
            "clock_synced": self.clock_synced,
            "track_id": decision.track_id,
            "identity": None if chosen is None else {"id": chosen.id, "name": chosen.name},
            "allowed": verdict.allowed,
            "reason": verdict.reason,
            "similarity": round(decision.similarity, 4),
            "margin": round(decision.margin, 4),
            "operating_point": decision.operating_point,
            "frames": decision.frames,
            "quality": round(decision.quality, 3),
            "box": [round(value, 1) for value in decision.box],
            "gallery_revision": self.gallery_revision,
            "bundle_id": self.bundle_id,
            "embedder_id": self.embedder_id,
            "latency_ms": {stage: round(value, 2) for stage, value in self.latency_ms.items()},
            "replayed": replayed,
        }
