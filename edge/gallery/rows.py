"""Rows of identities to records and back. Every method runs inside a transaction of its caller."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ulid import ULID

from edge.datatypes import Access, Identity
from edge.errors import UsageError
from edge.gallery.encryption.columns import Columns
from edge.gallery.records import IdentityRecord, Member, check_validity, clean_name, clean_note
from edge.timebase import wall_clock

MAX_LENGTH = 4096
_RECORDS = """
SELECT i.id, i.name, i.note, i.consent, i.enabled, i.groups, i.zones, i.schedule, i.origin,
  i.valid_from, i.valid_until, i.created_at, i.updated_at,
  count(e.embedder = (SELECT number FROM embedders WHERE embedder_id = ?) OR NULL) AS embeddings,
  count(DISTINCT f.enrolment_id) AS faces, count(DISTINCT n.id) AS enrolments, count(e.id) AS stored
FROM identities i LEFT JOIN enrolments n ON n.identity_id = i.id LEFT JOIN embeddings e ON e.enrolment_id = n.id
LEFT JOIN faces f ON f.enrolment_id = n.id
"""
_PERSONAL = ("name", "note", "consent")
"""Sealed in an encrypted gallery."""


def read_binding(connection: sqlite3.Connection) -> tuple[str, int]:
    """Id and embedding length of the embedder that the gallery was made for."""
    row = connection.execute("SELECT embedder_id, embedding_length FROM gallery").fetchone()
    if row is None:
        raise sqlite3.DatabaseError("the table of the gallery is empty")
    embedder_id, length = row
    if not 2 <= length <= MAX_LENGTH:
        raise sqlite3.DatabaseError(f"embeddings of {length} values")
    return str(embedder_id), int(length)


def read_revision(connection: sqlite3.Connection) -> int:
    """Number of changes ever committed."""
    row = connection.execute("SELECT revision FROM gallery").fetchone()
    if row is None:
        raise sqlite3.DatabaseError("the table of the gallery is empty")
    return int(row[0])


def new_record(
    name: str, note: str, valid_from: float | None, valid_until: float | None, *, consent: str = ""
) -> IdentityRecord:
    """A checked record with an id that nobody ever had; UsageError."""
    check_validity(valid_from, valid_until)
    now = wall_clock()
    return IdentityRecord(
        str(ULID()), clean_name(name), clean_note(note), enabled=True,
        valid_from=None if valid_from is None else float(valid_from),
        valid_until=None if valid_until is None else float(valid_until),
        created_at=now, updated_at=now, consent=clean_note(consent, "consent"),
    )  # fmt: skip


class IdentityRows:
    """The table of identities."""

    def __init__(self, columns: Columns, path: Path, embedder_id: str) -> None:
        """`path` is for messages; `embedder_id` is of the embedder in use, whose embeddings are counted."""
        self._columns = columns
        self._path = path
        self._embedder_id = embedder_id

    def read_all(self, connection: sqlite3.Connection) -> list[IdentityRecord]:
        """Everyone, by name."""
        found = [self._record(row) for row in connection.execute(_RECORDS + "GROUP BY i.id", (self._embedder_id,))]
        return sorted(found, key=lambda record: (record.name.casefold(), record.id))

    def read(self, connection: sqlite3.Connection, identity_id: str) -> IdentityRecord | None:
        """By id alone."""
        asked = (self._embedder_id, identity_id)
        row = connection.execute(_RECORDS + "WHERE i.id = ? GROUP BY i.id", asked).fetchone()
        return None if row is None else self._record(row)

    def names(self, connection: sqlite3.Connection) -> dict[str, str]:
        """Name by id."""
        return {
            row[0]: self._text(row[1], "name", row[0]) for row in connection.execute("SELECT id, name FROM identities")
        }

    def members(self, connection: sqlite3.Connection, *, everyone: bool) -> list[Member]:
        """Those who are enabled with what limits them, or everyone without limits."""
        asked = "SELECT id, name, enabled, valid_from, valid_until, groups, zones, schedule FROM identities"
        found = []
        for identity_id, name, enabled, begin, end, groups, zones, schedule in connection.execute(asked):
            if enabled or everyone:
                access = Access(
                    tuple(groups.split()), tuple(zones.split()), schedule,
                    -math.inf if begin is None else begin, math.inf if end is None else end,
                )  # fmt: skip
                identity = Identity(identity_id, self._text(name, "name", identity_id))
                found.append(Member(identity, Access() if everyone else access))
        return found

    def find(self, connection: sqlite3.Connection, who: str) -> IdentityRecord | None:
        """By id, else by name as written, else by name in any case; UsageError when several people are meant."""
        wanted = clean_name(who)
        known = self.read(connection, wanted)
        if known is not None:
            return known
        named = self.names(connection)
        ids = [one for one, name in named.items() if name == wanted]
        ids = ids or [one for one, name in named.items() if name.casefold() == wanted.casefold()]
        if len(ids) > 1:
            problem = f"{len(ids)} people are called {who[:80]!r}"
            raise UsageError(problem, where=str(self._path), expected="one of the ids " + ", ".join(sorted(ids)))
        return self.read(connection, ids[0]) if ids else None

    def require(self, connection: sqlite3.Connection, who: str) -> IdentityRecord:
        """As `find`, and UsageError when nobody is meant."""
        found = self.find(connection, who)
        if found is not None:
            return found
        near = get_close_matches(who, self.names(connection).values(), n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "`ostiary gallery list` shows who is enrolled."
        raise UsageError(f"nobody called {who[:80]!r} is enrolled", where=str(self._path), hint=hint)

    def insert(self, connection: sqlite3.Connection, record: IdentityRecord) -> None:
        """A row; the counts of `record` are not looked at."""
        values = {
            "id": record.id, "name": record.name, "note": record.note, "consent": record.consent,
            "enabled": int(record.enabled), "valid_from": record.valid_from, "valid_until": record.valid_until,
            "groups": " ".join(record.groups), "zones": " ".join(record.zones), "schedule": record.schedule,
            "created_at": float(record.created_at), "updated_at": float(record.updated_at), "origin": record.origin,
        }  # fmt: skip
        stored = [self._stored(column, value, record.id) for column, value in values.items()]
        connection.execute("INSERT INTO identities VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", stored)

    def touch(self, connection: sqlite3.Connection, identity_id: str, **values: Any) -> None:
        """Set columns of an identity, and the time of its last change."""
        for column, value in {**values, "updated_at": wall_clock()}.items():
            connection.execute(_TOUCH[column], (self._stored(column, value, identity_id), identity_id))

    def _stored(self, column: str, value: Any, identity_id: str) -> Any:
        return self._columns.put_text(value, "identities", column, identity_id) if column in _PERSONAL else value

    def _text(self, stored: object, column: str, identity_id: str) -> str:
        return self._columns.get_text(stored, "identities", column, identity_id)

    def _record(self, row: Sequence[Any]) -> IdentityRecord:
        identity_id, name, note, consent, enabled, groups, zones, schedule, origin = row[:9]
        name, note, consent = (
            self._text(value, column, identity_id)
            for column, value in zip(_PERSONAL, (name, note, consent), strict=True)
        )
        valid_from, valid_until, created_at, updated_at, embeddings, faces, enrolments, stored = row[9:]
        return IdentityRecord(
            identity_id, name, note, bool(enabled), valid_from, valid_until, created_at, updated_at, embeddings, faces,
            consent, tuple(groups.split()), tuple(zones.split()), schedule, origin, enrolments, stored,
        )  # fmt: skip


_TOUCH = {
    column: f"UPDATE identities SET {column} = ? WHERE id = ?"  # noqa: S608 -- the names stand in the next lines
    for column in (*_PERSONAL, "enabled", "valid_from", "valid_until", "groups", "zones", "schedule", "updated_at")
}
