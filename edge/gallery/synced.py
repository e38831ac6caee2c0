"""What the publishers of groups have said of people, as this box remembers it.

A message is taken only with a higher revision than any before (`Synced.takes`), whether its identity is still here or
not: an older one, sent again by whomever, never brings anybody back.

Who was erased here by hand stays away, whatever the publisher says later: somebody asked this box to forget, and the
retained message of the broker must not undo that. `SyncedRows.readmit` (`ostiary gallery readmit`) ends it. Who was erased by
retention is taken again when the publisher says something new, such as a later validity.

Every method runs inside a transaction of its caller; a replica takes people and tombstones with `Gallery.change`, in
which `Gallery.identities` and `Gallery.embeddings` insert and delete.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.errors import UsageError
from edge.gallery.records import IdentityRecord

State = Literal["published", "removed", "refused"]


@dataclass(frozen=True, slots=True)
class Synced:
    """The publisher's word on one identity."""

    origin: str
    """Name of the group."""
    identity_id: str
    revision: int
    """The highest ever taken."""
    state: State
    """`published`, `removed` by a tombstone, or `refused`: erased on this box by hand."""

    def takes(self, revision: int) -> bool:
        """Whether a message of that revision says anything new."""
        return revision > self.revision


class SyncedRows:
    """The table of these words."""

    def read(self, connection: sqlite3.Connection, origin: str, identity_id: str) -> Synced | None:
        """None when that group never spoke of that identity."""
        row = connection.execute(f"{_SELECT} WHERE origin = ? AND identity_id = ?", (origin, identity_id)).fetchone()
        return None if row is None else Synced(*row)

    def read_all(self, connection: sqlite3.Connection, origin: str | None = None) -> list[Synced]:
        """Of one group, or of all."""
        where, values = ("", ()) if origin is None else (" WHERE origin = ?", (origin,))
        return [Synced(*row) for row in connection.execute(f"{_SELECT}{where} ORDER BY origin, identity_id", values)]

    def put(self, connection: sqlite3.Connection, word: Synced) -> None:
        """What the publisher has said; of two words the one with the higher revision stays, of two alike the first, and a refusal in any case."""
        connection.execute(
            "INSERT INTO synced VALUES (?, ?, ?, ?) ON CONFLICT (origin, identity_id) DO UPDATE SET"
            " revision = max(revision, excluded.revision),"
            " state = CASE WHEN state = 'refused' OR excluded.revision <= revision THEN state ELSE excluded.state END",
            (word.origin, word.identity_id, word.revision, word.state),
        )

    def refuse(self, connection: sqlite3.Connection, origin: str, identity_id: str) -> None:
        """Erased here: no message brings the identity back."""
        connection.execute(
            "INSERT INTO synced VALUES (?, ?, 0, 'refused') ON CONFLICT (origin, identity_id) DO UPDATE SET"
            " state = 'refused'",
            (origin, identity_id),
        )

    def readmit(self, connection: sqlite3.Connection, identity_id: str) -> list[Synced]:
        """Let the newest message that was seen count again; the refusals that ended."""
        ended = [one for one in self.read_all(connection) if (one.identity_id, one.state) == (identity_id, "refused")]
        connection.execute(
            "UPDATE synced SET state = 'published', revision = max(revision - 1, 0)"
            " WHERE identity_id = ? AND state = 'refused'",
            (identity_id,),
        )
        return ended


def check_local(record: IdentityRecord, path: Path) -> None:
    """UsageError for somebody whom another place publishes: a change here would be lost with the next message."""
    if record.origin:
        raise UsageError(
            f"{record.name} is published by the group {record.origin!r}",
            where=str(path),
            expected="somebody who was enrolled on this box",
            hint="Change and publish the person where the group is enrolled; "
            "`ostiary gallery remove` takes the person off this box at once.",
        )


_SELECT = "SELECT origin, identity_id, revision, state FROM synced"
