"""Rows of an open outbox: what is stored, read, and dropped when there is too much of it."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from edge import own_database
from edge.outbox.bounds import TOO_LARGE, TOO_MANY, TOO_OLD, Bounds, Cut
from edge.outbox.database import explained, open_or_replace
from edge.outbox.record import Record

StoredRow = tuple[int, str | bytes, int, float]
"""seq, event, accepted_ns, accepted_at."""


class Table:
    """One open file. The caller sees to it that one thread at a time is inside; everything raises OutboxError."""

    def __init__(self, path: Path) -> None:
        """Open, create, or replace a corrupt file."""
        self._path = path
        self._db = open_or_replace(path)
        with explained(path):
            found = self._db.execute("SELECT count(*), coalesce(sum(size), 0) FROM events").fetchone()
            self._saved: dict[str, int] = dict(self._db.execute("SELECT name, value FROM counters"))
        self.depth, self.bytes = int(found[0]), int(found[1])

    @property
    def counters(self) -> dict[str, int]:
        """As they lie on disk."""
        return dict(self._saved)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it, on disk when the block ends, or nothing."""
        before = self.depth, self.bytes, self._saved
        self._saved = dict(self._saved)
        with explained(self._path):
            try:
                with own_database.transaction(self._db):
                    yield
            except BaseException:
                self.depth, self.bytes, self._saved = before
                raise

    def insert(self, record: Record, stored: str | bytes) -> None:
        """One more, under its `seq`."""
        pending = record.pending
        size = len(stored.encode() if isinstance(stored, str) else stored)
        row = (pending.seq, stored, pending.accepted_ns, pending.accepted_at, size, record.ran_ns, record.is_synced)
        self._db.execute(
            "INSERT INTO events (seq, event, accepted_ns, accepted_at, size, ran_ns, is_synced) VALUES (?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        self.depth += 1
        self.bytes += size

    def rewrite(self, seq: int, stored: str | bytes) -> None:
        """Other content for a row; one that has gone meanwhile is no fault."""
        size = len(stored.encode() if isinstance(stored, str) else stored)
        found = self._db.execute("SELECT size FROM events WHERE seq = ?", (seq,)).fetchone()
        if found is not None:
            self._db.execute("UPDATE events SET event = ?, size = ? WHERE seq = ?", (stored, size, seq))
            self.bytes += size - int(found[0])

    def page(self, after: int, limit: int) -> list[StoredRow]:
        """The oldest rows above `after`, in order."""
        sql = "SELECT seq, event, accepted_ns, accepted_at FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
        with explained(self._path):
            return self._db.execute(sql, (after, limit)).fetchall()

    def delete(self, *seqs: int) -> int:
        """How many of these were there."""
        return sum(self._remove("seq = ?", seq) for seq in seqs)

    def save(self, counters: Mapping[str, int]) -> None:
        """Write those that have changed."""
        for name, value in counters.items():
            if self._saved.get(name) != value:
                self._db.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", (name, value))
                self._saved[name] = value

    def trim(self, bounds: Bounds) -> Counter[str]:
        """Drop the oldest of what is too much; how many for which reason."""
        dropped: Counter[str] = Counter()
        if self.depth > bounds.max_events:
            sql = "seq IN (SELECT seq FROM events ORDER BY seq LIMIT ?)"
            dropped[TOO_MANY] = self._remove(sql, self.depth - bounds.max_events)
        while self.bytes > bounds.max_bytes and self.depth:
            dropped[TOO_LARGE] += self._remove("seq = (SELECT min(seq) FROM events)")
        return +dropped

    def age(self, cut: Cut) -> Counter[str]:
        """Drop what is too old. What was stored before an old event is at least as old, whatever its clock said."""
        sql = "seq <= (SELECT max(seq) FROM events WHERE ran_ns < ? OR is_synced AND ran_ns < ? AND accepted_at < ?)"
        at = -math.inf if cut.at is None else cut.at
        return +Counter({TOO_OLD: self._remove(sql, cut.ran_ns, cut.boot_ran_ns, at)})

    def _remove(self, where: str, *values: float) -> int:
        rows = self._db.execute(f"DELETE FROM events WHERE {where} RETURNING size", values).fetchall()  # noqa: S608 - own text
        self.depth -= len(rows)
        self.bytes -= sum(int(row[0]) for row in rows)
        return len(rows)

    def fold(self) -> None:
        """Nothing of what was deleted or rewritten stays in the log beside the file."""
        with explained(self._path):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Fold the log into the file and let go of it; any number of times."""
        with suppress(sqlite3.Error):
            self._db.close()
