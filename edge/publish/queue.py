"""Which event is sent next, and where to: live ones first and in time, old ones gently and to `/history` only.

Everything is on disk in the outbox; this only remembers what is young, and what waits for its acknowledgement.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from edge.datatypes import Event
from edge.outbox import Outbox, Pending
from edge.timebase import Clock

WINDOW = 8
"""Events sent but not acknowledged. Under the 20 that brokers take by default; order is kept within a connection."""
HISTORY_PER_S = 20.0
REFUSED_PAUSE_S = 5.0
"""A broker that refuses an event (ACL, quota) is asked again after so long."""


@dataclass(frozen=True, slots=True)
class Handover:
    """One event on its way, with its age as it leaves."""

    pending: Pending
    age_ms: float
    waited_ms: float
    is_replay: bool

    @property
    def event(self) -> Event:
        """With the last stage's latency filled in."""
        event = self.pending.event
        return replace(event, latency_ms={**event.latency_ms, "publish": self.waited_ms})


class EventQueue:
    """The outbox as the sender sees it. `put` belongs to any thread, the rest to the sender's."""

    def __init__(self, outbox: Outbox, *, ttl_s: float, boot_id: str, clock: Clock | None = None) -> None:
        """`ttl_s` is counted from the capture: an old picture must not open a door, wherever it was held up."""
        self._outbox = outbox
        self._ttl_ns = int(ttl_s * 1e9)
        self._boot_id = boot_id
        self._clock = clock or Clock()
        self._lock = threading.Lock()
        self._live: dict[int, Pending] = {}
        self._in_flight: dict[int, tuple[int, int]] = {}
        self._cursor = 0
        self._history_due_ns = 0
        self._paused_until_ns = 0

    def put(self, event: Event) -> Event:
        """Store it, give it its `seq`, and let it go next."""
        with self._lock:
            pending = self._outbox.accept(event)
            self._live[pending.seq] = pending
        return pending.event

    def next(self, *, is_live_only: bool = False) -> Handover | None:
        """What to send now; None when there is nothing, or it is not time yet. Call `sent` with the result."""
        now = self._clock.monotonic_ns()
        self._expire(now)
        if len(self._in_flight) >= WINDOW or now < self._paused_until_ns:
            return None
        busy = self._busy()
        with self._lock:
            live = next((one for seq, one in self._live.items() if seq not in busy), None)
        if live is not None:
            return self._live_handover(live, now)
        return None if is_live_only else self._next_history(busy, now)

    def _next_history(self, busy: set[int], now: int) -> Handover | None:
        if now < self._history_due_ns:
            return None
        # The youngest are skipped here, so look far enough to see past all that are in flight.
        stored = self._outbox.pending(after=self._cursor, limit=WINDOW + 1)
        # Only then who is young: an event that is stored between the two must not be taken for an old one.
        with self._lock:
            young = set(self._live)
        for pending in stored:
            if pending.seq not in busy and pending.seq not in young:
                self._history_due_ns = now + int(1e9 / HISTORY_PER_S)
                self._cursor = pending.seq
                return self._old_handover(pending, now)
        # Nothing old now; a live one becomes old by the clock, and a lost connection resets the cursor.
        self._history_due_ns = now + int(1e9 / HISTORY_PER_S)
        return None

    def _expire(self, now: int) -> None:
        busy = self._busy()
        with self._lock:
            old = [seq for seq, one in self._live.items() if self._is_old(one, now) and seq not in busy]
            for seq in old:
                del self._live[seq]

    def _is_old(self, pending: Pending, now: int) -> bool:
        return now - min(pending.event.decision.captured_ns, pending.accepted_ns) > self._ttl_ns

    def _live_handover(self, pending: Pending, now: int) -> Handover:
        age_ms = max(0.0, (now - pending.event.decision.captured_ns) / 1e6)
        return Handover(pending, age_ms, max(0.0, (now - pending.accepted_ns) / 1e6), is_replay=False)

    def _old_handover(self, pending: Pending, now: int) -> Handover:
        """Monotonic time means nothing after a reboot: then the wall clock has to do."""
        event = pending.event
        if event.boot_id == self._boot_id != "unknown":
            age, waited = (now - event.decision.captured_ns) / 1e6, (now - pending.accepted_ns) / 1e6
        else:
            at = self._clock.unix_s()
            age, waited = (at - event.decision.captured_at) * 1e3, (at - pending.accepted_at) * 1e3
        return Handover(pending, max(0.0, age), max(0.0, waited), is_replay=True)

    def sent(self, mid: int, handover: Handover) -> None:
        """The network has it under this id."""
        self._in_flight[mid] = (handover.pending.seq, self._clock.monotonic_ns())

    def acknowledged(self, mid: int) -> bool:
        """The broker has it: only now it leaves the disk. Whether the id was an event's."""
        found = self._in_flight.pop(mid, None)
        if found is None:
            return False
        with self._lock:
            self._live.pop(found[0], None)
        self._outbox.acknowledge(found[0])
        return True

    def refused(self, mid: int) -> bool:
        """The broker will not have it now: keep it, and ask again later. Whether the id was an event's."""
        if self._in_flight.pop(mid, None) is None:
            return False
        self._cursor = 0
        self._paused_until_ns = self._clock.monotonic_ns() + int(REFUSED_PAUSE_S * 1e9)
        return True

    def connection_lost(self) -> None:
        """What was not acknowledged is sent again."""
        self._in_flight.clear()
        self._cursor = 0
        self._paused_until_ns = 0

    def oldest_wait_s(self) -> float:
        """How long the broker has owed an acknowledgement; 0 when it owes none."""
        oldest = min((at for _, at in self._in_flight.values()), default=None)
        return 0.0 if oldest is None else (self._clock.monotonic_ns() - oldest) / 1e9

    @property
    def is_live_empty(self) -> bool:
        """Whether nothing young waits, and nothing is in flight."""
        with self._lock:
            return not self._live and not self._in_flight

    @property
    def has_backlog(self) -> bool:
        """Whether events wait that are not in flight."""
        return self._outbox.depth - self._outbox.unreadable > len(self._in_flight)

    def _busy(self) -> set[int]:
        return {seq for seq, _ in self._in_flight.values()}
