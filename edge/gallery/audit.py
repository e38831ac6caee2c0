"""Who changed the gallery, when and how: rows that cannot be changed or taken out unnoticed.

Each row holds the SHA-256 of the row before it, and the gallery holds that of the last one. Who changes, inserts or takes
out rows breaks the chain; who can write the file may forge the whole of it, unless the gallery is encrypted: then the
digest of the last row is sealed, and only an older copy of the whole file passes. Rows name ids, never people.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edge.gallery.encryption.columns import Columns
from edge.gallery.records import Actor
from edge.timebase import wall_clock

Action = Literal[
    "enrolled", "embeddings_added", "renamed", "enabled", "disabled", "access_changed", "note_changed",
    "consent_changed", "removed", "imported", "exported", "erased_by_retention", "rekeyed", "pruned",
    "re_embedded", "embedder_pruned", "synced", "unsynced", "readmitted",
]  # fmt: skip

_COLUMNS = "seq, at, action, identity_id, embeddings, actor_kind, actor_name, request_id, previous"
MAX_ACTOR = 200


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One change."""

    seq: int
    """Counts from 1, without a gap."""
    at: float
    """Unix seconds, as the box's clock had it."""
    action: str
    identity_id: str
    """Empty where the whole gallery is meant."""
    embeddings: int
    """How many were added, taken away or handed out; for `pruned`, how many rows."""
    actor: Actor
    previous: bytes
    """SHA-256 of the row before."""

    def digest(self) -> bytes:
        """SHA-256 of this row."""
        values = [
            self.seq, self.at, self.action, self.identity_id, self.embeddings,
            self.actor.kind, self.actor.name, self.actor.request_id, self.previous.hex(),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).digest()


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """What a walk along the chain found."""

    rows: int
    first: int
    """`seq` of the oldest row that is kept."""
    head: str
    """SHA-256 of the last row in hexadecimal digits: note it elsewhere, and forgery shows."""
    fault: str = ""
    """The first thing wrong; empty when all is well."""


class AuditLog:
    """The log in one database. Every method runs inside a transaction of its caller."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def append(
        self,
        connection: sqlite3.Connection,
        action: Action,
        identity_id: str = "",
        embeddings: int = 0,
        *,
        actor: Actor,
    ) -> None:
        """One row behind the last."""
        previous = self._head(connection)
        said = (
            wall_clock(),
            action,
            identity_id,
            embeddings,
            *map(_storable, (actor.kind, actor.name, actor.request_id)),
        )
        cursor = connection.execute(
            "INSERT INTO audit (at, action, identity_id, embeddings, actor_kind, actor_name, request_id, previous) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*said, previous),
        )
        row = _row((cursor.lastrowid, *said, previous))
        self._put_head(connection, row.digest())

    def read(
        self, connection: sqlite3.Connection, *, limit: int | None = None, identity_id: str | None = None
    ) -> list[AuditRow]:
        """The newest first; at most `limit`, of one identity or of all."""
        where, values = ("", []) if identity_id is None else ("WHERE identity_id = ? ", [identity_id])
        asked = f"SELECT {_COLUMNS} FROM audit {where}ORDER BY seq DESC LIMIT ?"  # noqa: S608 - nothing of others
        return [_row(found) for found in connection.execute(asked, (*values, -1 if limit is None else limit))]

    def prune(self, connection: sqlite3.Connection, before: float, *, actor: Actor) -> int:
        """Forget rows older than `before` (Unix seconds), but for what comes after a younger one; how many."""
        (keep,) = connection.execute("SELECT min(seq) FROM audit WHERE at >= ?", (before,)).fetchone()
        asked = f"SELECT {_COLUMNS} FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT 1"  # noqa: S608 - constant
        last = connection.execute(asked, (2**62 if keep is None else keep,)).fetchone()
        if last is None:
            return 0
        row = _row(last)
        done = connection.execute("DELETE FROM audit WHERE seq <= ?", (row.seq,)).rowcount
        self._put_start(connection, row.seq + 1, row.digest())
        self.append(connection, "pruned", "", done, actor=actor)
        return done

    def verify(self, connection: sqlite3.Connection, *, anchor: str = "") -> AuditCheck:
        """Walk along the chain; with `anchor`, a head noted earlier, it must pass there, too."""
        (start,) = connection.execute("SELECT audit_start FROM gallery").fetchone()
        try:
            head, expected = self._head(connection), self._before(connection, start)
        except sqlite3.DatabaseError as error:
            return AuditCheck(0, start, "", f"what the gallery says of the log is not its own: {error}")
        count, seen = 0, {expected.hex()}
        for found in connection.execute(f"SELECT {_COLUMNS} FROM audit ORDER BY seq"):  # noqa: S608 - constant
            row = _row(found)
            if row.seq != start + count or row.previous != expected:
                problem = (
                    f"row {row.seq} does not follow row {start + count - 1}: a row was changed, taken out or put in"
                )
                return AuditCheck(count, start, head.hex(), problem)
            expected, count = row.digest(), count + 1
            seen.add(expected.hex())
        fault = "" if expected == head else "the last row is not the one that was written last"
        if not fault and anchor and anchor.lower() not in seen:
            fault = f"no row has the digest {anchor}"
        return AuditCheck(count, start, head.hex(), fault)

    def put_ends(self, connection: sqlite3.Connection, ends: tuple[int, bytes, bytes] | None = None) -> None:
        """Write where the log begins and ends as these columns have it; None for a gallery that is being made."""
        start, before, head = ends or (1, bytes(32), bytes(32))
        self._put_start(connection, start, before)
        self._put_head(connection, head)

    def ends(self, connection: sqlite3.Connection) -> tuple[int, bytes, bytes]:
        """`seq` of the first row that is kept, SHA-256 of the row before it, and of the last one."""
        (start,) = connection.execute("SELECT audit_start FROM gallery").fetchone()
        return start, self._before(connection, start), self._head(connection)

    def _put_start(self, connection: sqlite3.Connection, start: int, before: bytes) -> None:
        stored = self._columns.put_bytes(before, "gallery", "audit_before", start)
        connection.execute("UPDATE gallery SET audit_start = ?, audit_before = ?", (start, stored))

    def _put_head(self, connection: sqlite3.Connection, digest: bytes) -> None:
        stored = self._columns.put_bytes(digest, "gallery", "audit_head")
        connection.execute("UPDATE gallery SET audit_head = ?", (stored,))

    def _before(self, connection: sqlite3.Connection, start: int) -> bytes:
        (stored,) = connection.execute("SELECT audit_before FROM gallery").fetchone()
        return self._columns.get_bytes(stored, "gallery", "audit_before", start)

    def _head(self, connection: sqlite3.Connection) -> bytes:
        (stored,) = connection.execute("SELECT audit_head FROM gallery").fetchone()
        return self._columns.get_bytes(stored, "gallery", "audit_head")


def _storable(text: str) -> str:
    return text[:MAX_ACTOR].encode("utf-8", "replace").decode().replace("\0", "")


def _row(found: Sequence[Any]) -> AuditRow:
    seq, at, action, identity_id, embeddings, kind, name, request_id, previous = found
    return AuditRow(seq, at, action, identity_id, embeddings, Actor(kind, name, request_id), bytes(previous))


def local_actor() -> Actor:
    """The user who runs this process, and whom sudo says it runs for."""
    import pwd

    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"
    behind = os.environ.get("SUDO_USER", "")
    return Actor("local", f"{name} ({behind})" if behind and behind != name else name)
