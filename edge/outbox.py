"""Events on their way to the broker, on disk until it has acknowledged them.

SQLite in WAL mode with `synchronous=FULL`: an event whose `append` returned survives a power cut. `seq` is counted in the
transaction that stores the event, so that it has no gap across restarts. One process owns the file.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.datatypes import Box, Decision, Event, Identity, Verdict
from edge.errors import OutboxError
from edge.timebase import Clock

VERSION = 1
APPLICATION_ID = 0x4F53_5442
"""Tells an outbox from any other SQLite file ("OSTB"), so that a wrong path cannot harm one."""

_TABLES = """
CREATE TABLE events (seq INTEGER PRIMARY KEY, event TEXT NOT NULL, accepted_ns INTEGER NOT NULL, accepted_at REAL NOT NULL);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

log = logging.getLogger(__name__)


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


class Outbox:
    """A bounded queue of events on disk; any thread may call any method."""

    def __init__(self, path: Path, *, max_events: int = 10_000, clock: Clock | None = None) -> None:
        """Open or create. OutboxError for a file that must not be touched; a corrupt one is moved aside and replaced."""
        self._path = path
        self._max_events = max_events
        self._clock = clock or Clock()
        self._lock = threading.Lock()
        self._unreadable: set[int] = set()
        self._db = _open_or_replace(path)
        self._depth = int(self._db.execute("SELECT count(*) FROM events").fetchone()[0])
        self._dropped = _counter(self._db, "dropped")

    def append(self, event: Event) -> Event:
        """The event with its `seq`; on disk when this returns. ValueError for what JSON cannot say (NaN)."""
        return self.accept(event).event

    def accept(self, event: Event) -> Pending:
        """Like `append`, with the times that tell how long it waited."""
        accepted_ns, accepted_at = self._clock.monotonic_ns(), self._clock.unix_s()
        text = encode_event(event)
        with self._lock:
            with self._transaction():
                sql = "UPDATE counters SET value = value + 1 WHERE name = 'last_seq' RETURNING value"
                seq = int(self._db.execute(sql).fetchone()[0])
                self._db.execute("INSERT INTO events VALUES (?, ?, ?, ?)", (seq, text, accepted_ns, accepted_at))
                excess = self._drop_excess()
            self._depth += 1 - excess
            self._dropped += excess
        return Pending(dataclasses.replace(event, seq=seq), accepted_ns, accepted_at)

    def _drop_excess(self) -> int:
        excess = max(0, self._depth + 1 - self._max_events)
        if excess:
            sql = "DELETE FROM events WHERE seq IN (SELECT seq FROM events ORDER BY seq LIMIT ?)"
            self._db.execute(sql, (excess,))
            self._db.execute("UPDATE counters SET value = value + ? WHERE name = 'dropped'", (excess,))
        return excess

    def pending(self, *, after: int = 0, limit: int = 100) -> list[Pending]:
        """The oldest events with a `seq` above `after`, in order. Rows that cannot be read stay and are told once."""
        found: list[Pending] = []
        while len(found) < limit:
            sql = "SELECT seq, event, accepted_ns, accepted_at FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
            with self._lock, _explained(self._path):
                rows = self._db.execute(sql, (after, limit - len(found))).fetchall()
            if not rows:
                break
            after = int(rows[-1][0])
            found += [one for row in rows if (one := self._read(row)) is not None]
        return found

    def _read(self, row: tuple[int, str, int, float]) -> Pending | None:
        seq, text, accepted_ns, accepted_at = row
        try:
            return Pending(decode_event(text, seq), int(accepted_ns), float(accepted_at))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if seq not in self._unreadable:
                self._unreadable.add(seq)
                log.error("%s: event %d cannot be read (%s); it stays in the file", self._path, seq, error)  # noqa: TRY400
            return None

    def acknowledge(self, seq: int) -> None:
        """The broker has it; forget it. An unknown `seq` is no fault: it may have been dropped meanwhile."""
        with self._lock:
            with self._transaction():
                removed = self._db.execute("DELETE FROM events WHERE seq = ?", (seq,)).rowcount
            self._depth -= removed

    @property
    def depth(self) -> int:
        """Events waiting."""
        return self._depth

    @property
    def dropped(self) -> int:
        """Events dropped for want of room since the file was made."""
        return self._dropped

    @property
    def unreadable(self) -> int:
        """Rows that could not be read since the start."""
        return len(self._unreadable)

    def close(self) -> None:
        """Fold the log into the file and let go of it; any number of times."""
        with self._lock, suppress(sqlite3.Error):
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _explained(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise


def encode_event(event: Event) -> str:
    """JSON with every field of the event, `seq` left out."""
    fields = dataclasses.asdict(event)
    del fields["seq"]
    return json.dumps(fields, allow_nan=False, separators=(",", ":"))


def decode_event(text: str, seq: int) -> Event:
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


def _open_or_replace(path: Path) -> sqlite3.Connection:
    _make_private(path)
    try:
        return _open(path, first_seq=0)
    except sqlite3.DatabaseError as error:
        if (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in _CORRUPT:
            raise _fault(path, error) from error
        last_seq = _salvage_last_seq(path)
        aside = _move_aside(path)
        text = "%s: corrupt outbox (%s) moved aside as %s; a new one continues after event %d"
        log.error(text, path, error, aside.name, last_seq)  # noqa: TRY400 - the user needs no traceback
    _make_private(path)
    with _explained(path):
        return _open(path, first_seq=last_seq)


def _make_private(path: Path) -> None:
    """Events say who was where: nobody else may read them. SQLite gives its side files the same mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        hint = "Set outbox.file to a path that this user may write."
        raise OutboxError(
            f"cannot be opened ({error.strerror})", where=str(path), expected="a file to keep events in", hint=hint
        ) from error


def _open(path: Path, *, first_seq: int) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=2.0, isolation_level=None, check_same_thread=False)
    try:
        # Exclusive: two processes on one outbox would send everything twice.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")
        _migrate(db, path, first_seq)
        db.execute("COMMIT")
        problem = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            damage = sqlite3.DatabaseError(str(problem))
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage  # noqa: TRY301 - handled like SQLite's own finding
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection, path: Path, first_seq: int) -> None:
    is_empty = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if is_empty:
        for statement in _TABLES.strip().split("\n"):
            db.execute(statement)
        db.executemany("INSERT INTO counters VALUES (?, ?)", [("last_seq", first_seq), ("dropped", 0)])
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
        return
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        hint = "Set outbox.file to a file of its own."
        raise OutboxError("another program's database", where=str(path), expected="an outbox", hint=hint)
    found = int(db.execute("PRAGMA user_version").fetchone()[0])
    if found > VERSION:
        hint = "Update ostiary on this box, or set outbox.file to another file."
        where, expected = str(path), f"version {VERSION}"
        raise OutboxError(f"outbox of version {found}, from a newer ostiary", where=where, expected=expected, hint=hint)


def _counter(db: sqlite3.Connection, name: str) -> int:
    row = db.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else 0


def _salvage_last_seq(path: Path) -> int:
    """The highest `seq` that a damaged file still tells; 0 when it tells nothing."""
    best = 0
    for sql in ("SELECT value FROM counters WHERE name = 'last_seq'", "SELECT max(seq) FROM events"):
        with suppress(sqlite3.Error, TypeError, ValueError):
            db = sqlite3.connect(path, timeout=2.0)
            try:
                best = max(best, int(db.execute(sql).fetchone()[0]))
            finally:
                db.close()
    return best


def _move_aside(path: Path) -> Path:
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S%fZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
    return aside


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _fault(path, error) from error


def _fault(path: Path, error: sqlite3.Error) -> OutboxError:
    if "locked" in str(error):
        hint = "Is another ostiary running on this box? Stop it, or give each its own outbox.file."
        return OutboxError("held by another process", where=str(path), expected="an outbox of this one", hint=hint)
    hint = "Is the disk full, or mounted read-only?"
    return OutboxError(f"cannot be used ({error})", where=str(path), expected="a file that can be written", hint=hint)
