"""Rows of the database to records and back. Every function runs inside a transaction of its caller."""

from __future__ import annotations

import logging
import math
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ulid import ULID

from edge.datatypes import Access, Embedding, Floats, Identity
from edge.errors import GalleryError, UsageError
from edge.gallery.records import EnrolledFace, IdentityRecord, Member, check_validity, clean_name, clean_note
from edge.gallery.search import Index
from edge.timebase import wall_clock

log = logging.getLogger(__name__)

LITTLE_ENDIAN = np.dtype("<f4")
MAX_LENGTH = 4096
CHUNK_ROWS = 4096
_RECORDS = """
SELECT i.id, i.name, i.note, i.enabled, i.valid_from, i.valid_until, i.created_at, i.updated_at,
  count(e.id), count(f.embedding_id)
FROM identities i LEFT JOIN embeddings e ON e.identity_id = i.id LEFT JOIN faces f ON f.embedding_id = e.id
"""


def read_binding(connection: sqlite3.Connection) -> tuple[str, int]:
    """Embedder id and embedding length that the gallery belongs to."""
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


def _record(row: Sequence[Any]) -> IdentityRecord:
    identity_id, name, note, enabled, *rest = row
    return IdentityRecord(identity_id, name, note, bool(enabled), *rest)


def read_records(connection: sqlite3.Connection) -> list[IdentityRecord]:
    """Everyone, by name."""
    found = [_record(row) for row in connection.execute(_RECORDS + "GROUP BY i.id")]
    return sorted(found, key=lambda record: (record.name.casefold(), record.id))


def read_record(connection: sqlite3.Connection, identity_id: str) -> IdentityRecord | None:
    """By id alone."""
    row = connection.execute(_RECORDS + "WHERE i.id = ? GROUP BY i.id", (identity_id,)).fetchone()
    return None if row is None else _record(row)


def find_one(connection: sqlite3.Connection, who: str, path: Path) -> IdentityRecord | None:
    """By id, else by name as written, else by name in any case; UsageError when several people are meant."""
    wanted = clean_name(who)
    known = read_record(connection, wanted)
    if known is not None:
        return known
    named = connection.execute("SELECT id, name FROM identities").fetchall()
    ids = [row[0] for row in named if row[1] == wanted]
    ids = ids or [row[0] for row in named if row[1].casefold() == wanted.casefold()]
    if len(ids) > 1:
        problem = f"{len(ids)} people are called {who[:80]!r}"
        raise UsageError(problem, where=str(path), expected="one of the ids " + ", ".join(sorted(ids)))
    return read_record(connection, ids[0]) if ids else None


def require_one(connection: sqlite3.Connection, who: str, path: Path) -> IdentityRecord:
    """As `find_one`, and UsageError when nobody is meant."""
    found = find_one(connection, who, path)
    if found is not None:
        return found
    names = [row[0] for row in connection.execute("SELECT name FROM identities")]
    near = get_close_matches(who, names, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "`ostiary gallery list` shows who is enrolled."
    raise UsageError(f"nobody called {who[:80]!r} is enrolled", where=str(path), hint=hint)


def new_record(name: str, note: str, valid_from: float | None, valid_until: float | None) -> IdentityRecord:
    """A checked record with an id that nobody ever had; UsageError."""
    check_validity(valid_from, valid_until)
    now = wall_clock()
    return IdentityRecord(
        str(ULID()), clean_name(name), clean_note(note), enabled=True,
        valid_from=None if valid_from is None else float(valid_from),
        valid_until=None if valid_until is None else float(valid_until),
        created_at=now, updated_at=now,
    )  # fmt: skip


def insert_identity(connection: sqlite3.Connection, record: IdentityRecord) -> None:
    """A row; the counts of `record` are not looked at."""
    connection.execute(
        "INSERT INTO identities VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.id, record.name, record.note, int(record.enabled), record.valid_from, record.valid_until,
            float(record.created_at), float(record.updated_at),
        ),
    )  # fmt: skip


_TOUCH = {
    column: f"UPDATE identities SET {column} = ? WHERE id = ?"  # noqa: S608 -- the names stand in the next line
    for column in ("name", "note", "enabled", "valid_from", "valid_until", "updated_at")
}


def touch(connection: sqlite3.Connection, identity_id: str, **values: Any) -> None:
    """Set columns of an identity, and the time of its last change."""
    for column, value in {**values, "updated_at": wall_clock()}.items():
        connection.execute(_TOUCH[column], (value, identity_id))


def insert_faces(
    connection: sqlite3.Connection, identity_id: str, faces: Iterable[EnrolledFace], added_at: float
) -> None:
    """One row an embedding, and one for the aligned face where it is kept."""
    for face in faces:
        blob = face.embedding.vector.astype(LITTLE_ENDIAN).tobytes()
        cursor = connection.execute(
            "INSERT INTO embeddings (identity_id, vector, checksum, quality, source, added_at) VALUES (?, ?, ?, ?, ?, ?)",
            (identity_id, blob, zlib.crc32(blob), float(face.quality), face.source, float(added_at)),
        )
        if face.face_png is not None:
            connection.execute("INSERT INTO faces VALUES (?, ?)", (cursor.lastrowid, face.face_png))


def read_faces(connection: sqlite3.Connection, identity_id: str, embedder_id: str) -> list[tuple[EnrolledFace, float]]:
    """Embeddings of one identity with the moment (Unix seconds) each was added, oldest first; DatabaseError."""
    asked = connection.execute(
        "SELECT e.vector, e.checksum, e.quality, e.source, f.png, e.added_at FROM embeddings e "
        "LEFT JOIN faces f ON f.embedding_id = e.id WHERE e.identity_id = ? ORDER BY e.id",
        (identity_id,),
    )
    found = []
    for blob, checksum, quality, source, png, added_at in asked:
        if zlib.crc32(blob) != checksum:
            raise sqlite3.DatabaseError(f"an embedding of {identity_id} has changed on disk")
        try:
            face = EnrolledFace(decode_vector(blob, embedder_id), quality, source, png)
        except ValueError as error:
            raise sqlite3.DatabaseError(f"an embedding of {identity_id}: {error}") from error
        found.append((face, float(added_at)))
    return found


def decode_vector(blob: bytes, embedder_id: str) -> Embedding:
    """Little-endian float32 to an Embedding; ValueError unless it is L2-normalised."""
    vector = np.frombuffer(blob, LITTLE_ENDIAN).astype(np.float32)
    with np.errstate(all="ignore"):
        return Embedding(vector, embedder_id)


def read_index(
    connection: sqlite3.Connection, length: int, path: Path, clock: Callable[[], float], *, everyone: bool
) -> Index:
    """Everyone, or those enabled. Damaged rows are left out, counted and logged; GalleryError when all are such."""
    asked = connection.execute("SELECT id, name, enabled, valid_from, valid_until FROM identities")
    members = [_member(row, everyone=everyone) for row in asked if row[2] or everyone]
    vectors, owner, refused = _read_matrix(connection, length, [member.identity.id for member in members])
    if refused:
        log.warning("%s: %d embedding(s) are damaged and not used; %d are used", path, refused, len(vectors))
    if refused and not len(vectors):
        hint = "Restore a copy of the gallery, or remove the people concerned and enrol them again."
        raise GalleryError(
            f"all {refused} embeddings are damaged", where=str(path), expected="an intact gallery", hint=hint
        )
    return Index(members, owner, vectors, revision=read_revision(connection), refused_rows=refused, clock=clock)


def _member(row: Sequence[Any], *, everyone: bool) -> Member:
    identity_id, name, _, begin, end = row
    if everyone:
        return Member(Identity(identity_id, name))
    access = Access(valid_from=-math.inf if begin is None else begin, valid_until=math.inf if end is None else end)
    return Member(Identity(identity_id, name), access)


def _read_matrix(
    connection: sqlite3.Connection, length: int, ids: Sequence[str]
) -> tuple[Floats, NDArray[np.int64], int]:
    """Vectors (N, length), the position in `ids` of each one's owner, and how many rows were left out."""
    number = {identity_id: position for position, identity_id in enumerate(ids)}
    (count,) = connection.execute("SELECT count(*) FROM embeddings").fetchone()
    vectors = np.empty((count, length), np.float32)
    owner = np.empty(count, np.int64)
    size, used, refused = length * LITTLE_ENDIAN.itemsize, 0, 0
    asked = connection.execute("SELECT identity_id, vector, checksum FROM embeddings")
    while chunk := asked.fetchmany(CHUNK_ROWS):
        mine = [row for row in chunk if row[0] in number]
        intact = [row for row in mine if len(row[1]) == size and zlib.crc32(row[1]) == row[2]]
        made = np.frombuffer(b"".join(row[1] for row in intact), LITTLE_ENDIAN).reshape(-1, length)
        owners = np.array([number[row[0]] for row in intact], np.int64)
        with np.errstate(all="ignore"):
            # NaN and infinity fail this comparison too.
            good = np.abs(np.einsum("nd,nd->n", made, made) - 1) < 2e-3
        kept = int(good.sum())
        vectors[used : used + kept] = made[good]
        owner[used : used + kept] = owners[good]
        used, refused = used + kept, refused + len(mine) - kept
    return vectors[:used], owner[:used], refused
