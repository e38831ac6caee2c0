"""Which event is sent next, and where to: live ones first and in time, old ones gently and to `/history` only.

Everything is on disk in the outbox; this only remembers what is young, and what waits for its acknowledgement.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from edge.event import Event
from edge.outbox import Outbox, Pending
from edge.outbox.record import forgotten
from edge.publish.refusals import Refusals
from edge.timebase import Clock

WINDOW = 8
"""Events sent but not acknowledged. Under the 20 that brokers take by default; order is kept within a connection."""
HISTORY_PER_S = 20.0


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


@dataclass(frozen=True, slots=True)
class Flight:
    """An event that the broker owes an acknowledgement for."""

    seq: int
    since_ns: int
    is_replay: bool


@dataclass(frozen=True, slots=True)
class Question:
    """Asked after these events were acknowledged; its answer proves that the broker has got past them."""

    mid: int
    since_ns: int
    seqs: tuple[int, ...]


class EventQueue:
    """The outbox as the sender sees it. `put` and `forget` belong to any thread, the rest to the sender's.

    An acknowledgement alone does not let go of an event. mosquitto acknowledges first and writes its own file at the end of
    the same round; killed in between, it forgets what it has acknowledged. So the sender asks it something afterwards, and
    only with the answer, from a later round, the event leaves the disk.
    """

    def __init__(self, outbox: Outbox, *, ttl_s: float, boot_id: str, clock: Clock | None = None) -> None:
        """`ttl_s` is counted from the capture: an old picture must not open a door, wherever it was held up."""
        self._outbox = outbox
        self._ttl_ns = int(ttl_s * 1e9)
        self._boot_id = boot_id
        self._clock = clock or outbox.clock
        self._lock = threading.Lock()
        self._live: dict[int, Pending] = {}
        self._in_flight: dict[int, Flight] = {}
        self._acknowledged: set[int] = set()
        self._question: Question | None = None
        self._refusals = Refusals()
        self._cursor = self._newest_live = 0
        self._history_due_ns = 0

    def put(self, event: Event) -> Event:
        """Store it, give it its `seq`, and let it go next."""
        with self._lock:
            pending = self._outbox.accept(event)
            self._live[pending.seq] = pending
        return pending.event

    def forget(self, identity_id: str) -> int:
        """Nothing that leaves from now on names this identity; how many events did. OutboxError: the disk would not."""
        with self._lock:
            self._live = {seq: replace(one, event=forgotten(one.event, identity_id)) for seq, one in self._live.items()}
        return self._outbox.forget(identity_id)

    def next(self, *, is_live_only: bool = False) -> Handover | None:
        """What to send now; None when there is nothing, or it is not time yet. Call `sent` with the result."""
        self._outbox.maintain()
        now = self._clock.monotonic_ns()
        self._expire(now)
        if len(self._in_flight) >= WINDOW:
            return None
        busy = self._busy()
        due = self._refusals.due(now)
        with self._lock:
            waiting = (one for seq, one in self._live.items() if seq not in busy)
            live = next((one for one in waiting if one.seq == due or one.seq not in self._refusals), None)
        if live is not None:
            self._newest_live = live.seq
            return self._live_handover(live, now)
        if is_live_only or now < self._history_due_ns or self._refusals.is_paused(now):
            return None
        return self._next_history(busy, now)

    def _next_history(self, busy: set[int], now: int) -> Handover | None:
        self._history_due_ns = now + int(1e9 / HISTORY_PER_S)
        due = self._refusals.due(now)
        if due is not None and due not in busy:
            stored = self._outbox.pending(after=due - 1, limit=1)
            if stored and stored[0].seq == due:
                return self._old_handover(stored[0], now)
            self._refusals.forget(due)
        # Young ones are skipped here, so look far enough to see past all that are under way.
        stored = self._outbox.pending(after=self._cursor, limit=len(busy) + len(self._refusals) + 1)
        # Only then who is young: an event that is stored between the two must not be taken for an old one.
        with self._lock:
            young = set(self._live)
        for pending in stored:
            if pending.seq not in busy and pending.seq not in young and pending.seq not in self._refusals:
                self._cursor = pending.seq
                return self._old_handover(pending, now)
        # Nothing old now; a live one becomes old by the clock, and a lost connection resets the cursor.
        return None

    def _expire(self, now: int) -> None:
        busy = self._busy()
        with self._lock:
            waiting = ((seq, one) for seq, one in self._live.items() if seq not in busy)
            old = [seq for seq, one in waiting if self._is_old(one, now) or self._is_overtaken(seq)]
            for seq in old:
                del self._live[seq]

    def _is_old(self, pending: Pending, now: int) -> bool:
        return now - min(pending.event.decision.captured_ns, pending.accepted_ns) > self._ttl_ns

    def _is_overtaken(self, seq: int) -> bool:
        """A live event that was refused, while a newer one was sent: `/event` is in order, so it can only be history."""
        return seq in self._refusals and seq < self._newest_live

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
        self._in_flight[mid] = Flight(handover.pending.seq, self._clock.monotonic_ns(), handover.is_replay)

    def acknowledged(self, mid: int) -> bool:
        """The broker says that it has it. Whether the id was an event's."""
        flight = self._in_flight.pop(mid, None)
        if flight is None:
            return False
        self._refusals.accepted(flight.seq, is_replay=flight.is_replay)
        self._acknowledged.add(flight.seq)
        return True

    @property
    def needs_proof(self) -> bool:
        """Whether the broker should be asked something now; call `asked` with the id of the question."""
        return bool(self._acknowledged) and self._question is None

    def asked(self, mid: int) -> None:
        """A question is on its way."""
        self._question = Question(mid, self._clock.monotonic_ns(), tuple(self._acknowledged))
        self._acknowledged.clear()

    def answered(self, mid: int) -> None:
        """What was acknowledged before this question is the broker's: only now it leaves the disk."""
        if self._question is None or self._question.mid != mid:
            return
        seqs, self._question = self._question.seqs, None
        with self._lock:
            for seq in seqs:
                self._live.pop(seq, None)
        self._outbox.acknowledge(*seqs)

    def refused(self, mid: int) -> bool:
        """The broker will not have it now: keep it, and ask again later. Whether the id was an event's."""
        flight = self._in_flight.pop(mid, None)
        if flight is None:
            return False
        now = self._clock.monotonic_ns()
        if not flight.is_replay:
            self._refusals.live(flight.seq, now)
        elif self._refusals.history(flight.seq, now):
            self._give_up(flight.seq)
        if self._refusals.is_everything_refused():
            self._cursor = 0
        return True

    def _give_up(self, seq: int) -> None:
        with self._lock:
            self._live.pop(seq, None)
        self._outbox.set_aside(seq)

    def connection_lost(self) -> None:
        """What was not acknowledged, or not proved to be kept, is sent again."""
        head = next((one.seq for one in self._in_flight.values()), None)
        if self._refusals.connection_lost(head, self._clock.monotonic_ns()) and head is not None:
            self._give_up(head)
        self._refusals.is_everything_refused()
        self._in_flight.clear()
        self._acknowledged.clear()
        self._question = None
        self._cursor = self._newest_live = 0

    def oldest_wait_s(self) -> float:
        """How long the broker has owed an acknowledgement or an answer; 0 when it owes none."""
        since = [one.since_ns for one in self._in_flight.values()]
        if self._question is not None:
            since.append(self._question.since_ns)
        return (self._clock.monotonic_ns() - min(since)) / 1e9 if since else 0.0

    @property
    def is_live_empty(self) -> bool:
        """Whether nothing young waits, and nothing is under way."""
        with self._lock:
            return not self._live and not self._busy()

    @property
    def has_backlog(self) -> bool:
        """Whether events wait that could be sent soon."""
        return self._outbox.depth - self._outbox.unreadable > len(self._busy()) + len(self._refusals)

    def _busy(self) -> set[int]:
        asked = () if self._question is None else self._question.seqs
        return {one.seq for one in self._in_flight.values()} | self._acknowledged | set(asked)
