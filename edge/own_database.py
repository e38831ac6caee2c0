"""What the SQLite files of one daemon have in common (outbox, journal of commands): one process owns each, and it must survive.

What is in them says who was where: private to the user, and moved aside, never deleted, when it is damaged.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge.errors import OutboxError

_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def code_of(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 where Python raised the error by itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether the file itself is damaged, or none of SQLite's."""
    return code_of(error) in _CORRUPT


def damage(problem: str) -> sqlite3.DatabaseError:
    """Damage that a check has found, to be raised and handled like SQLite's own finding."""
    error = sqlite3.DatabaseError(problem)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def move_aside(path: Path) -> Path:
    """Give a damaged file and its side files another name; the new one."""
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S%fZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
    return aside


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it, or nothing. SQLite rolls back by itself after some errors, such as a full disk."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            if db.in_transaction:
                db.execute("ROLLBACK")
        raise


@contextmanager
def explained(path: Path, *, own: str) -> Iterator[None]:
    """What SQLite raises inside becomes an OutboxError; see `fault`."""
    try:
        yield
    except sqlite3.Error as error:
        raise fault(path, error, own=own) from error


def fault(path: Path, error: sqlite3.Error, *, own: str) -> OutboxError:
    """For what SQLite raised. `own` says whose file it should be: `an outbox of this one`."""
    if "locked" in str(error):
        hint = "Is another ostiary running on this box? Stop it, or give each its own outbox.file."
        return OutboxError("held by another process", where=str(path), expected=own, hint=hint)
    hint = "Is the disk full, or mounted read-only?"
    return OutboxError(f"cannot be used ({error})", where=str(path), expected="a file that can be written", hint=hint)
