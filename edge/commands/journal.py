"""What must be remembered of commands over a restart: which were obeyed already, and the switches.

SQLite in WAL mode with `synchronous=FULL`, mode 0600, one process, any thread. Of a reply only what names nobody goes to
the disk: a person who is erased must not live on here.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge import own_database
from edge.errors import OutboxError
from edge.timebase import Clock

VERSION = 1
APPLICATION_ID = 0x4F53_5443
"""Tells a journal from any other SQLite file ("OSTC")."""
UNLOCKING = "unlocking"
LASTING = ("id", "revision", "on", "bundle_id", "restarting", "embeddings", "faces")
"""Parts of a result that name nobody."""
MAX_RECENT = 64
"""Replies kept whole, in memory, for those who ask again."""
EVERYBODY = "*"
"""In the place of a signer: a floor for all of them."""

_TABLES = """
CREATE TABLE requests (signer TEXT NOT NULL, request_id TEXT NOT NULL, digest BLOB NOT NULL, issued_at REAL NOT NULL, reply TEXT, PRIMARY KEY (signer, request_id)) WITHOUT ROWID
CREATE TABLE floors (signer TEXT PRIMARY KEY, issued_at REAL NOT NULL) WITHOUT ROWID
CREATE TABLE switches (name TEXT PRIMARY KEY, is_on INTEGER NOT NULL) WITHOUT ROWID
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A request on its way into the journal."""

    signer: str
    """Empty for a command that nobody has signed."""
    request_id: str
    issued_at: float
    digest: bytes
    """Of verb and text: the same id with other words is another request."""

    @property
    def key(self) -> tuple[str, str]:
        """Requests of one signer have ids of their own, so that no stranger can use up somebody's."""
        return self.signer, self.request_id


@dataclass(frozen=True, slots=True)
class Before:
    """This request came before."""

    is_same: bool
    """Whether it said the same."""
    reply: dict[str, Any] | None
    """None while it is still being carried out, or was when the daemon ended."""
    is_running: bool = False


class Journal:
    """Open for as long as the daemon runs. OutboxError where the disk does not take what must be kept."""

    def __init__(self, path: Path, *, clock: Clock | None = None) -> None:
        """Open or create; a damaged file is moved aside. OutboxError for one that must not be touched."""
        self.path = path
        self._clock = clock or Clock()
        self._lock = threading.Lock()
        self._recent: dict[tuple[str, str], dict[str, Any] | None] = {}
        self.was_damaged = False
        self._db = self._open_or_replace()

    def _open_or_replace(self) -> sqlite3.Connection:
        with _explained(self.path):
            try:
                return _open(self.path)
            except sqlite3.DatabaseError as error:
                if not own_database.is_corrupt(error):
                    raise
            aside = own_database.move_aside(self.path)
            log.error(
                "%s was damaged and is now %s; unlocking stays off until it is turned on again", self.path, aside.name
            )
            self.was_damaged = True
            made = _open(self.path)
            # Nobody knows any more what was obeyed, nor whether somebody had locked this door: nothing old counts.
            with own_database.transaction(made):
                made.execute("INSERT INTO floors VALUES (?, ?)", (EVERYBODY, self._clock.unix_s()))
                made.execute("INSERT INTO switches VALUES (?, 0)", (UNLOCKING,))
            return made

    def close(self) -> None:
        """Release the file; any number of times."""
        with self._lock:
            self._db.close()

    def is_on(self, switch: str, *, default: bool = True) -> bool:
        """As it was set last, by this run or an earlier one."""
        with self._lock, _explained(self.path):
            row = self._db.execute("SELECT is_on FROM switches WHERE name = ?", (switch,)).fetchone()
        return default if row is None else bool(row[0])

    def set_switch(self, switch: str, *, is_on: bool) -> None:
        """On disk when this returns."""
        with self._changing() as db:
            db.execute("INSERT OR REPLACE INTO switches VALUES (?, ?)", (switch, int(is_on)))

    def floor(self, signer: str) -> float:
        """Nothing that this signer issued until then can be told from what was obeyed and forgotten. Unix seconds."""
        sql = "SELECT max(issued_at) FROM floors WHERE signer IN (?, ?)"
        with self._lock, _explained(self.path):
            row = self._db.execute(sql, (signer, EVERYBODY)).fetchone()
        return float("-inf") if row is None or row[0] is None else float(row[0])

    def before(self, entry: Entry) -> Before | None:
        """Whether that request came before."""
        sql = "SELECT digest, reply FROM requests WHERE signer = ? AND request_id = ?"
        with self._lock, _explained(self.path):
            row = self._db.execute(sql, entry.key).fetchone()
            if row is None:
                return None
            is_same = bytes(row[0]) == entry.digest
            if entry.key in self._recent:
                reply = self._recent[entry.key]
                return Before(is_same, reply, is_running=reply is None)
        return Before(is_same, None if row[1] is None else json.loads(row[1]))

    def remember(self, entry: Entry, *, forget_before: float) -> None:
        """It is going to be obeyed: on disk when this returns. Forgets what was issued before `forget_before`."""
        with self._changing() as db:
            # Raised by what is forgotten, so that a clock that is set back brings no old command to life.
            db.execute(
                "INSERT INTO floors SELECT signer, max(issued_at) FROM requests WHERE issued_at < ? AND signer != '' "
                "GROUP BY signer ON CONFLICT (signer) DO UPDATE SET issued_at = max(issued_at, excluded.issued_at)",
                (forget_before,),
            )
            db.execute("DELETE FROM requests WHERE issued_at < ?", (forget_before,))
            db.execute("INSERT INTO requests VALUES (?, ?, ?, ?, NULL)", (*entry.key, entry.digest, entry.issued_at))
            self._recent[entry.key] = None
            while len(self._recent) > MAX_RECENT:
                del self._recent[next(iter(self._recent))]

    def answered(self, entry: Entry, reply: Mapping[str, Any]) -> None:
        """The first reply, for whoever asks again."""
        with self._changing() as db:
            if entry.key in self._recent:
                self._recent[entry.key] = dict(reply)
            text = json.dumps(lasting(reply))
            db.execute("UPDATE requests SET reply = ? WHERE signer = ? AND request_id = ?", (text, *entry.key))

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _explained(self.path), own_database.transaction(self._db):
            yield self._db


def lasting(reply: Mapping[str, Any]) -> dict[str, Any]:
    """What of a reply may stay on disk: how it went, ids and numbers, no names."""
    kept: dict[str, Any] = {"request_id": reply["request_id"], "ok": reply["ok"]}
    if "error" in reply:
        kept["error"] = {"code": reply["error"]["code"], "message": "told before this box was started again"}
    result = {name: value for name, value in (reply.get("result") or {}).items() if name in LASTING}
    return {**kept, "result": {**result, "repeated": True}}


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite gives its side files the mode of the database.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()
        _check_kind(path, db)
        db.execute("PRAGMA journal_mode = WAL").fetchone()
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON").fetchone()
        with own_database.transaction(db):
            if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in _TABLES.strip().splitlines():
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {VERSION}")
        for table in ("requests", "floors", "switches"):
            db.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()  # noqa: S608 - names from the line above
    except BaseException:
        db.close()
        raise
    return db


def _check_kind(path: Path, db: sqlite3.Connection) -> None:
    found = int(db.execute("PRAGMA application_id").fetchone()[0])
    is_empty = not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    where = str(path)
    if found != APPLICATION_ID and not is_empty:
        raise OutboxError("another program's database", where=where, expected="a journal of commands")
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        hint = "Update ostiary on this box, or move the file away."
        problem = f"journal of commands of version {version}, from a newer ostiary"
        raise OutboxError(problem, where=where, expected=f"version {VERSION}", hint=hint)
    report = db.execute("PRAGMA integrity_check(1)").fetchone()
    if report is None or report[0] != "ok":
        raise own_database.damage("integrity_check failed")


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        with own_database.explained(path, own="one of this box"):
            yield
    except OSError as error:
        raise OutboxError(
            f"cannot be made ({error.strerror})", where=str(path), expected="a folder that may be written"
        ) from error
