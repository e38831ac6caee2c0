"""A bounded queue of events that survives the process, and does its duty while the disk does not."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from pathlib import Path

from edge import timebase
from edge.errors import OutboxError
from edge.event import Event
from edge.outbox.bounds import REASONS, REFUSED, UNSTORED, Bounds, RunningClock
from edge.outbox.database import is_disk_trouble, is_full, last_seq_of
from edge.outbox.record import Pending, Record, Sealer, encode_event, forgotten, open_event, seal_text
from edge.outbox.table import StoredRow, Table
from edge.outbox.telling import Telling
from edge.timebase import Clock

MAX_HELD = 256
"""Events kept in memory while the disk takes none."""
RETRY_NS = 2_000_000_000
"""The disk is asked again after so long."""
TIDY_NS = 600_000_000_000
"""Events that are too old are looked for so often: each time costs a write."""


class Outbox:
    """Any thread may call any method. `seq` is counted in the transaction that stores an event: no gap across restarts.

    A disk that is full, read-only or broken stops nothing: events are held in memory, MAX_HELD of them, are sent from there,
    and go to disk as soon as it takes them. What memory cannot hold is dropped and counted.
    """

    def __init__(
        self,
        path: Path,
        *,
        bounds: Bounds | None = None,
        clock: Clock | None = None,
        boot_id: str = "",
        sealer: Sealer | None = None,
    ) -> None:
        """Open or create. OutboxError for a file that must not be touched; a corrupt one is moved aside and replaced."""
        self._path = path
        self._bounds = bounds or Bounds()
        self._clock = clock or Clock()
        self._sealer = sealer
        self._lock = threading.Lock()
        self._running = RunningClock(self._clock, boot_id or timebase.boot_id())
        self._telling = Telling(path, self._clock)
        self._held: dict[int, Record] = {}
        self._gone: set[int] = set()
        """Acknowledged, but the disk would not let go of them yet."""
        self._dropped = Counter(dict.fromkeys(REASONS, 0))
        self._on_file: Counter[str] = Counter()
        """Those of `_dropped` that the file knows of."""
        self._tidy_due_ns = self._reopen_due_ns = 0
        self._last_seq = 0
        self._table: Table | None = None
        self._open()

    def _open(self) -> None:
        try:
            self._adopt(Table(self._path))
        except OutboxError as error:
            if not is_disk_trouble(error):
                raise
            self._last_seq = last_seq_of(self._path)
            self._note_trouble(error)

    def _adopt(self, table: Table) -> None:
        """Go on where this file ended."""
        counters = table.counters
        last_seq = counters.get("last_seq", 0)
        if self._held and min(self._held) <= last_seq:
            self._count_anew(last_seq)
        self._last_seq = max(self._last_seq, last_seq)
        on_file = Counter({name: counters.get(name, 0) for name in REASONS})
        self._telling.known_drops(on_file)
        self._dropped.update({name: on_file[name] - self._on_file[name] for name in REASONS})
        self._on_file = on_file
        self._running.resume(counters)
        ran_ns = self._running.ran_ns()
        self._held = {seq: dataclasses.replace(one, ran_ns=ran_ns) for seq, one in self._held.items()}
        self._table = table

    def _count_anew(self, last_seq: int) -> None:
        """The file could not be read before, and now tells of more events than it was thought to hold."""
        records = [self._held[seq] for seq in sorted(self._held)]
        numbered = enumerate((one.pending.event for one in records), start=last_seq + 1)
        events = [dataclasses.replace(event, seq=seq) for seq, event in numbered]
        self._held = {event.seq: one.with_event(event) for one, event in zip(records, events, strict=True)}
        self._last_seq = last_seq + len(records)

    def append(self, event: Event) -> Event:
        """The event with its `seq`; on disk when this returns. ValueError for what JSON cannot say (NaN)."""
        return self.accept(event).event

    def accept(self, event: Event) -> Pending:
        """Like `append`, with the times that tell how long it waited."""
        accepted_ns, accepted_at = self._clock.monotonic_ns(), self._clock.unix_s()
        text = encode_event(event)
        with self._lock:
            self._last_seq += 1
            pending = Pending(dataclasses.replace(event, seq=self._last_seq), accepted_ns, accepted_at)
            self._held[pending.seq] = Record(pending, text, self._running.ran_ns(), self._clock.is_synced())
            self._write()
            while len(self._held) > MAX_HELD:
                del self._held[min(self._held)]
                self._dropped[UNSTORED] += 1
            self._telling.drops(self._dropped)
        return pending

    def _write(self, *, is_tidying: bool = False) -> bool:
        """Whether the disk took all that memory holds, in one transaction."""
        if self._table is None:
            self._reopen()
        if self._table is None:
            return False
        try:
            with self._table.transaction():
                for record in self._held.values():
                    self._table.insert(record, seal_text(record.text, record.pending.seq, self._sealer))
                self._table.delete(*self._gone)
                dropped = self._table.trim(self._bounds)
                if is_tidying:
                    dropped += self._table.age(self._running.cut(self._bounds))
                counted = self._dropped + dropped
                self._table.save({"last_seq": self._last_seq, **self._running.state(), **counted})
        except OutboxError as error:
            self._note_trouble(error)
            return False
        self._dropped.update(dropped)
        self._on_file = Counter(self._dropped)
        self._telling.recovery(len(self._held))
        self._held.clear()
        self._gone.clear()
        return True

    def maintain(self) -> None:
        """Drop what is too old, and ask a disk again that failed. Cheap: call it often."""
        with self._lock:
            now = self._clock.monotonic_ns()
            if now < self._tidy_due_ns:
                return
            is_needed = self._table is None or self.depth or self._gone
            is_well = self._write(is_tidying=True) if is_needed else True
            self._tidy_due_ns = now + (min(TIDY_NS, self._bounds.max_age_ns // 10) if is_well else RETRY_NS)
            self._telling.drops(self._dropped)

    def _reopen(self) -> None:
        now = self._clock.monotonic_ns()
        if now < self._reopen_due_ns:
            return
        self._reopen_due_ns = now + RETRY_NS
        try:
            self._adopt(Table(self._path))
        except OutboxError as error:
            self._note_trouble(error)

    def _note_trouble(self, error: OutboxError) -> None:
        self._telling.trouble(error)
        self._tidy_due_ns = min(self._tidy_due_ns, self._clock.monotonic_ns() + RETRY_NS)
        if self._table is not None and not is_full(error):
            # A file that is broken, or whose disk went and came back, has to be opened anew.
            self._table.close()
            self._table = None

    def pending(self, *, after: int = 0, limit: int = 100) -> list[Pending]:
        """The oldest events with a `seq` above `after`, in order. Rows that cannot be read stay and are told once."""
        found: list[Pending] = []
        with self._lock:
            held = [self._held[seq].pending for seq in sorted(self._held) if seq > after]
            while len(found) < limit and (rows := self._page(after, limit - len(found))):
                after = rows[-1][0]
                found += [one for row in rows if row[0] not in self._gone and (one := self._read(row)) is not None]
        return (found + held)[:limit]

    def _page(self, after: int, limit: int) -> list[StoredRow]:
        if self._table is None:
            return []
        try:
            return self._table.page(after, limit)
        except OutboxError as error:
            self._note_trouble(error)
            return []

    def _read(self, row: StoredRow) -> Pending | None:
        seq, stored, accepted_ns, accepted_at = row
        try:
            return Pending(open_event(stored, seq, self._sealer), int(accepted_ns), float(accepted_at))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self._telling.unreadable(seq, error)
            return None

    def acknowledge(self, *seqs: int) -> None:
        """The broker has them; forget them. An unknown `seq` is no fault: it may have been dropped meanwhile."""
        with self._lock:
            self._delete(seqs)

    def set_aside(self, seq: int) -> None:
        """Drop an event that the broker will never have."""
        with self._lock:
            self._dropped[REFUSED] += 1
            self._delete((seq,))
            self._telling.drops(self._dropped)

    def _delete(self, seqs: tuple[int, ...]) -> None:
        stored = [seq for seq in seqs if self._held.pop(seq, None) is None]
        if not stored:
            return
        try:
            if self._table is not None:
                with self._table.transaction():
                    self._table.delete(*stored)
                    self._table.save(self._dropped)
        except OutboxError as error:
            self._note_trouble(error)
        else:
            return
        self._gone.update(stored)

    def identities(self) -> set[str]:
        """Ids of everybody whom a waiting event names."""
        named = (one.event.decision.identity for one in self._everything())
        return {identity.id for identity in named if identity is not None}

    def _everything(self) -> list[Pending]:
        return self.pending(limit=self._bounds.max_events + MAX_HELD)

    def forget(self, identity_id: str) -> int:
        """Take name and id of an identity out of every waiting event, and out of the file; how many named it.

        The events stay, with "erased" for both, so that `seq` has no gap. OutboxError where the disk does not take it.
        """
        pairs = [(one.event, forgotten(one.event, identity_id)) for one in self._everything()]
        concerned = [changed for event, changed in pairs if changed is not event]
        with self._lock:
            stored = []
            for event in concerned:
                if event.seq in self._held:
                    self._held[event.seq] = self._held[event.seq].with_event(event)
                else:
                    stored.append(event)
            if self._table is not None:
                with self._table.transaction():
                    for event in stored:
                        self._table.rewrite(event.seq, seal_text(encode_event(event), event.seq, self._sealer))
                # Also for events that named it and have gone: they may still lie in the log.
                self._table.fold()
        return len(concerned)

    @property
    def clock(self) -> Clock:
        """What it tells the time by."""
        return self._clock

    @property
    def depth(self) -> int:
        """Events waiting."""
        on_disk = 0 if self._table is None else self._table.depth - len(self._gone)
        return max(0, on_disk) + len(self._held)

    @property
    def unreadable(self) -> int:
        """Rows that could not be read since the start."""
        return self._telling.unreadable_rows

    @property
    def dropped(self) -> int:
        """Events dropped since the file was made, for any reason."""
        return sum(self._dropped.values())

    def state(self) -> dict[str, int]:
        """For /health: `depth`, `bytes` on disk, `in_memory`, `dropped`, and `dropped_...` for each reason."""
        size = 0 if self._table is None else self._table.bytes
        numbers = {"depth": self.depth, "bytes": size, "in_memory": len(self._held), "dropped": self.dropped}
        return {**numbers, **self._dropped}

    def close(self) -> None:
        """Fold the log into the file and let go of it; any number of times."""
        with self._lock:
            if self._table is not None:
                if self._held or self._gone:
                    self._write()
                if self._table is not None:
                    self._table.close()
