"""The outbox's file: opened, made private, brought up to date, and replaced when it is broken.

SQLite in WAL mode with `synchronous=FULL`: what was committed survives a power cut. One process owns the file.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from edge import own_database
from edge.errors import OutboxError

VERSION = 2
APPLICATION_ID = 0x4F53_5442
"""Tells an outbox from any other SQLite file ("OSTB"), so that a wrong path cannot harm one."""

_TABLES = """
CREATE TABLE events (seq INTEGER PRIMARY KEY, event TEXT NOT NULL, accepted_ns INTEGER NOT NULL, accepted_at REAL NOT NULL);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_TO_VERSION_2 = """
ALTER TABLE events ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN ran_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN is_synced INTEGER NOT NULL DEFAULT 0;
UPDATE events SET size = length(CAST(event AS BLOB));
UPDATE counters SET name = 'dropped_too_many' WHERE name = 'dropped';
"""
_OWN = "an outbox of this one"
_NO_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)
_NO_DISK_ERRNO = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO, errno.EFBIG)

log = logging.getLogger(__name__)


def open_or_replace(path: Path) -> sqlite3.Connection:
    """Open or create. OutboxError for a file that must not be touched; a corrupt one is moved aside and replaced."""
    _make_private(path)
    try:
        return _open(path, first_seq=0)
    except sqlite3.DatabaseError as error:
        if not own_database.is_corrupt(error):
            raise own_database.fault(path, error, own=_OWN) from error
        last_seq = last_seq_of(path)
        aside = own_database.move_aside(path)
        text = "%s: corrupt outbox (%s) moved aside as %s; a new one continues after event %d"
        log.error(text, path, error, aside.name, last_seq)  # noqa: TRY400 - the user needs no traceback
    _make_private(path)
    with explained(path):
        return _open(path, first_seq=last_seq)


def is_disk_trouble(error: OutboxError) -> bool:
    """Whether the disk is full, read-only or failing: a state that may end, unlike a wrong path."""
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return own_database.code_of(cause) in _NO_DISK
    return isinstance(cause, OSError) and cause.errno in _NO_DISK_ERRNO


def is_full(error: OutboxError) -> bool:
    """Whether there merely is no room."""
    return isinstance(error.__cause__, sqlite3.Error) and own_database.code_of(error.__cause__) == sqlite3.SQLITE_FULL


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
        # What has left the outbox says no longer who was where.
        db.execute("PRAGMA secure_delete = ON")
        with own_database.transaction(db):
            _migrate(db, path, first_seq)
        problem = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise own_database.damage(str(problem))  # noqa: TRY301 - handled like SQLite's own finding
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection, path: Path, first_seq: int) -> None:
    is_empty = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if is_empty:
        _run(db, _TABLES)
        db.execute("INSERT INTO counters VALUES ('last_seq', ?)", (first_seq,))
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    elif db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        hint = "Set outbox.file to a file of its own."
        raise OutboxError("another program's database", where=str(path), expected="an outbox", hint=hint)
    found = 1 if is_empty else int(db.execute("PRAGMA user_version").fetchone()[0])
    if found > VERSION:
        hint = "Update ostiary on this box, or set outbox.file to another file."
        where, expected = str(path), f"version {VERSION}"
        raise OutboxError(f"outbox of version {found}, from a newer ostiary", where=where, expected=expected, hint=hint)
    if found < VERSION:
        _run(db, _TO_VERSION_2)
        db.execute(f"PRAGMA user_version = {VERSION}")


def _run(db: sqlite3.Connection, statements: str) -> None:
    """One by one, because `executescript` would commit first."""
    for statement in statements.strip().split("\n"):
        db.execute(statement)


def last_seq_of(path: Path) -> int:
    """The highest `seq` that a damaged file, or one on a read-only disk, still tells; 0 when it tells nothing."""
    best = 0
    for uri in (f"{path.absolute().as_uri()}?mode=ro", f"{path.absolute().as_uri()}?mode=ro&immutable=1"):
        for sql in ("SELECT value FROM counters WHERE name = 'last_seq'", "SELECT max(seq) FROM events"):
            with suppress(sqlite3.Error, TypeError, ValueError):
                db = sqlite3.connect(uri, timeout=2.0, uri=True)
                try:
                    best = max(best, int(db.execute(sql).fetchone()[0]))
                finally:
                    db.close()
    return best


def explained(path: Path) -> AbstractContextManager[None]:
    """What SQLite raises inside becomes an OutboxError."""
    return own_database.explained(path, own=_OWN)
