"""What a subscriber with a persistent session heard, and whether it is what must have been heard."""

from __future__ import annotations

import datetime as dt
import json
import math
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from ulid import ULID

from tests.support.mosquitto import Subscriber

PATIENT_S = 3600.0
"""A time to live that outlasts any absence of the subscriber: whatever such a device stored must be heard."""
BROKER_S = 2.0
"""MQTT counts the expiry of a message in whole seconds, at least one, and mosquitto rounds up by as much again."""
SLACK_S = 3.0
"""For a machine whose cores have other work, too."""


@dataclass(frozen=True, slots=True)
class Note:
    """One event as it arrived. `age_s` is its age on arrival, by the clock of this very machine."""

    device: str
    topic: str
    event_id: str
    seq: int
    age_s: float
    is_replay: bool
    is_retained: bool
    has_expiry: bool = True
    """False where a broker has delivered a live event of MQTT 5 without the expiry that it was published with."""


@dataclass(frozen=True, slots=True)
class Absence:
    """When nobody listened, in Unix seconds."""

    since: float
    until: float


class Recorder(Subscriber):
    """Notes every event; keeps its session at the broker while it is away."""

    def __init__(self, port: int) -> None:
        self.notes: list[Note] = []
        self.sessions_lost = -1
        """The first connection finds none."""
        self.absences: list[Absence] = []
        self._away_since: float | None = None
        super().__init__(port, "ostiary/+/+", is_checking=False)

    def _on_connect(self, client: Any, userdata: Any, flags: Any, *rest: Any) -> None:
        self.sessions_lost += not flags.session_present
        if self._away_since is not None:
            self.absences.append(Absence(self._away_since, time.time()))
        super()._on_connect(client, userdata, flags, *rest)

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        _base, device, end = message.topic.split("/")
        if end in ("event", "history"):
            self.notes.append(note_of(device, end, message))

    def _on_disconnect(self, *_: Any) -> None:
        self._away_since = time.time()


class Opener(Recorder):
    """Listens as docs/mqtt.md asks of whatever opens a door: with a clean session, so that no broker keeps anything for it."""

    is_clean = True


def note_of(device: str, end: str, message: paho.MQTTMessage) -> Note:
    """Of a message that came just now."""
    data = json.loads(message.payload)
    age_s = time.time() - _unix_s(data["captured_at"])
    has_expiry = end != "event" or hasattr(message.properties, "MessageExpiryInterval")
    return Note(device, end, data["event_id"], data["seq"], age_s, data["replayed"], bool(message.retain), has_expiry)


def openers_faults(notes: Iterable[Note], ttl_s: dict[str, float]) -> list[str]:
    """What must not come to one with a clean session: anything old, whatever the broker did. It may miss what it likes."""
    live = [note for note in notes if note.topic == "event"]
    return [f"OLD for the opener: {note}" for note in live if _is_old(note, ttl_s[note.device])]


def _is_old(note: Note, ttl_s: float) -> bool:
    return note.is_replay or note.is_retained or note.age_s > ttl_s + BROKER_S + SLACK_S


def _unix_s(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


@dataclass(frozen=True, slots=True)
class Stored:
    """What one device made durable."""

    last_seq: int
    ledger: frozenset[str]
    """Ids of events whose `publish` had returned; empty where nobody kept book."""
    depth: int
    """Events left in the outbox."""
    ttl_s: float
    """What the broker accepted as live it throws away so long after the capture, whoever has not heard it."""


def stored_by(outbox: Path, ledger: Path | None, ttl_s: float) -> Stored:
    """Of a process that has ended."""
    db = sqlite3.connect(outbox)
    try:
        last_seq = int(db.execute("SELECT value FROM counters WHERE name = 'last_seq'").fetchone()[0])
        depth = int(db.execute("SELECT count(*) FROM events").fetchone()[0])
    finally:
        db.close()
    # A line that a kill cut short was not noted.
    lines = ledger.read_text(encoding="ascii").split("\n")[:-1] if ledger is not None and ledger.exists() else []
    return Stored(last_seq, frozenset(lines), depth, ttl_s)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts over all devices; `faults` says in words what must not be."""

    durable: int
    heard: int
    lost: int
    expired: int
    """Accepted as live, and thrown away by the broker because the subscriber was away for longer than they live."""
    revived: int
    """Old, from a broker that lost their expiry: mosquitto up to 2.0 does, when it starts in the very second in which one ends."""
    duplicates: int
    live: int
    history: int
    late_s: float
    """The most by which an event on /event came after its time to live."""
    faults: tuple[str, ...]


def judge(notes: Iterable[Note], stored: dict[str, Stored], absences: Sequence[Absence] = ()) -> Verdict:
    """Hold what was heard against what was stored."""
    by_device: dict[str, list[Note]] = {device: [] for device in stored}
    for note in notes:
        by_device.setdefault(note.device, []).append(note)
    faults = [
        f"{device}: {len(some)} event(s) of no known device"
        for device, some in by_device.items()
        if device not in stored
    ]
    lost = expired = 0
    for device, one in stored.items():
        missing = missing_of(by_device[device], one)
        excused = [gap for gap in missing if is_excused(gap, one, absences)]
        lost, expired = lost + len(missing) - len(excused), expired + len(excused)
        if len(excused) < len(missing):
            faults.append(f"{device}: never heard: {[gap.seq for gap in missing if gap not in excused][:20]}")
        faults += [f"{device}: {fault}" for fault in faults_of(by_device[device], one, bool(excused))]
    everything = [note for some in by_device.values() for note in some]
    revived = sum(is_revived(note, stored[note.device].ttl_s) for note in everything if note.device in stored)
    distinct = len({(note.device, note.event_id) for note in everything})
    topics = Counter(note.topic for note in everything)
    live = [(note, stored[note.device].ttl_s) for note in everything if note.topic == "event" and note.device in stored]
    late_s = max([0.0, *(note.age_s - ttl_s for note, ttl_s in live)])
    durable = sum(one.last_seq for one in stored.values())
    return Verdict(
        durable, distinct, lost, expired, revived, len(everything) - distinct, topics["event"], topics["history"], late_s,
        tuple(faults),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gap:
    """An event that was stored and not heard; it happened between these two (Unix seconds)."""

    seq: int
    since: float
    until: float


def missing_of(notes: Sequence[Note], stored: Stored) -> list[Gap]:
    """In order."""
    at = {note.seq: ULID.from_str(note.event_id).timestamp for note in notes}
    gaps = []
    for seq in sorted(set(range(1, stored.last_seq + 1)) - set(at)):
        since = max((at[other] for other in at if other < seq), default=-math.inf)
        until = min((at[other] for other in at if other > seq), default=math.inf)
        gaps.append(Gap(seq, since, until))
    return gaps


def is_excused(gap: Gap, stored: Stored, absences: Sequence[Absence]) -> bool:
    """Whether nobody listened while the event may have been live."""
    end = gap.until + stored.ttl_s + BROKER_S
    return stored.ttl_s < PATIENT_S and any(one.since < end and one.until > gap.since for one in absences)


def faults_of(notes: Sequence[Note], stored: Stored, has_expired: bool) -> list[str]:  # noqa: FBT001 - plain helper
    """What must not be, whatever was killed."""
    ids: dict[int, set[str]] = defaultdict(set)
    for note in notes:
        ids[note.seq].add(note.event_id)
    faults = [f"seq {seq} means {sorted(some)}" for seq, some in ids.items() if len(some) > 1]
    faults += [f"{len(some)} numbers for one event" for some in _numbers(notes).values() if len(some) > 1]
    faults += [f"heard seq {seq}, which was never durable" for seq in ids if seq > stored.last_seq]
    faults += [f"{note} was retained" for note in notes if note.is_retained]
    live = [note for note in notes if note.topic == "event" and not is_revived(note, stored.ttl_s)]
    faults += [f"OLD: {note} on the live topic" for note in live if _is_old(note, stored.ttl_s)]
    faults += [
        f"{note} is history, and says that it is not" for note in notes if note.topic != "event" and not note.is_replay
    ]
    unheard = stored.ledger - {note.event_id for note in notes}
    if unheard and not has_expired:
        faults.append(f"noted as published and never heard: {sorted(unheard)[:20]}")
    if stored.depth:
        faults.append(f"{stored.depth} event(s) never left the outbox")
    return faults


def is_revived(note: Note, ttl_s: float) -> bool:
    """Whether the broker has taken the expiry off an event, and delivered it when it should have thrown it away."""
    return note.topic == "event" and not note.has_expiry and not note.is_replay and _is_old(note, ttl_s)


def _numbers(notes: Sequence[Note]) -> dict[str, set[int]]:
    numbers: dict[str, set[int]] = defaultdict(set)
    for note in notes:
        numbers[note.event_id].add(note.seq)
    return numbers
