"""An event as it lies in the outbox: JSON, sealed where there is a key."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Protocol

from edge.datatypes import Box, Decision, Identity, Verdict
from edge.event import Event

ERASED = Identity("erased", "erased")
"""Stands for whoever asked to be forgotten: the event stays, and `seq` without a gap."""


class Sealer(Protocol):
    """Encrypts values for one context each; edge.gallery.encryption.sealing has one."""

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """The value, readable to nobody without the key."""

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The inverse; ValueError for what was changed or moved."""


@dataclass(frozen=True, slots=True)
class Pending:
    """An event that the broker has not acknowledged, and when it was accepted (monotonic ns, Unix seconds)."""

    event: Event
    accepted_ns: int
    accepted_at: float

    @property
    def seq(self) -> int:
        """Of the event."""
        return self.event.seq


@dataclass(frozen=True, slots=True)
class Record:
    """One row: an event, its JSON, and what tells its age whatever happens to the clocks (see `edge.outbox.bounds`)."""

    pending: Pending
    text: str
    ran_ns: int
    is_synced: bool

    def with_event(self, event: Event) -> Record:
        """Another event in its place."""
        pending = dataclasses.replace(self.pending, event=event)
        return dataclasses.replace(self, pending=pending, text=encode_event(event))


def encode_event(event: Event) -> str:
    """JSON with every field of the event, `seq` left out; ValueError for what JSON cannot say (NaN)."""
    fields = dataclasses.asdict(event)
    del fields["seq"]
    return json.dumps(fields, allow_nan=False, separators=(",", ":"))


def decode_event(text: str | bytes, seq: int) -> Event:
    """The inverse; KeyError, TypeError or ValueError for anything else."""
    fields: dict[str, Any] = json.loads(text)
    decision: dict[str, Any] = fields.pop("decision")
    identity = decision.pop("identity")
    made = Decision(
        **{**decision, "box": Box(*decision["box"])}, identity=None if identity is None else Identity(**identity)
    )
    # An event from before there were verdicts opens nothing.
    verdict = Verdict(**fields.pop("verdict", {}))
    return Event(**fields, decision=made, verdict=verdict, seq=seq)


def seal_text(text: str, seq: int, sealer: Sealer | None) -> str | bytes:
    """What is stored of an encoded event: the text, or bytes that only the key's holder can read."""
    return text if sealer is None else sealer.seal(text.encode(), _context(seq))


def open_event(stored: str | bytes, seq: int, sealer: Sealer | None) -> Event:
    """The inverse; KeyError, TypeError, AttributeError, RecursionError or ValueError for what cannot be read."""
    if isinstance(stored, bytes):
        if sealer is None:
            raise ValueError("it is sealed, and there is no key (privacy.key_file)")
        stored = sealer.open(stored, _context(seq))
    return decode_event(stored, seq)


def forgotten(event: Event, identity_id: str) -> Event:
    """The event without the name and id of that identity; the same one where it names somebody else."""
    named = event.decision.identity
    if named is None or named.id != identity_id:
        return event
    return dataclasses.replace(event, decision=dataclasses.replace(event.decision, identity=ERASED))


def _context(seq: int) -> bytes:
    """A sealed event put in the place of another one does not open."""
    return b"ostiary-outbox\0event\0%d" % seq
