"""Which embedders have embeddings in a gallery. Every function runs inside a transaction of its caller."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from edge.errors import GalleryError
from edge.gallery.rows import MAX_LENGTH, read_binding


@dataclass(frozen=True, slots=True)
class StoredEmbedder:
    """One of them."""

    embedder_id: str
    embedding_length: int
    embeddings: int = 0
    """How many of it are stored."""


def read_embedders(connection: sqlite3.Connection) -> list[StoredEmbedder]:
    """All of them, oldest first."""
    asked = (
        "SELECT embedder_id, embedding_length, (SELECT count(*) FROM embeddings WHERE embedder = number)"
        " FROM embedders ORDER BY number"
    )
    return [StoredEmbedder(*row) for row in connection.execute(asked)]


def most_used(connection: sqlite3.Connection) -> StoredEmbedder:
    """The one with most embeddings, the newest of several; to look at a gallery without any bundle."""
    known = read_embedders(connection)
    if not known:
        raise sqlite3.DatabaseError("the table of embedders is empty")
    if not all(2 <= one.embedding_length <= MAX_LENGTH for one in known):
        raise sqlite3.DatabaseError(f"embeddings of {known[-1].embedding_length} values")
    return max(enumerate(known), key=lambda pair: (pair[1].embeddings, pair[0]))[1]


def length_of(connection: sqlite3.Connection, embedder_id: str) -> int | None:
    """Values in its embeddings; None for one that is not known here."""
    row = connection.execute("SELECT embedding_length FROM embedders WHERE embedder_id = ?", (embedder_id,)).fetchone()
    return None if row is None else int(row[0])


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether nobody is enrolled from any picture."""
    return connection.execute("SELECT 1 FROM enrolments LIMIT 1").fetchone() is None


def check_embedder(connection: sqlite3.Connection, path: Path, wanted: StoredEmbedder) -> None:
    """GalleryError unless the gallery knows that embedder, or nobody is in it."""
    first_id, first_length = read_binding(connection)
    if length_of(connection, first_id) not in {None, first_length}:
        raise sqlite3.DatabaseError(f"embeddings of {first_length} values, and of another number")
    length = length_of(connection, wanted.embedder_id)
    if length == wanted.embedding_length or (length is None and is_empty(connection)):
        return
    found = most_used(connection)
    raise GalleryError(
        f"gallery of embedder {found.embedder_id!r} ({found.embedding_length} values)",
        where=str(path),
        expected=f"one of {wanted.embedder_id!r} ({wanted.embedding_length} values)",
        hint=f"Use the bundle of {found.embedder_id!r}, embed everyone again (ostiary gallery re-embed --bundle FOLDER), "
        "or enrol everyone again into a new gallery (--gallery).",
    )


def check_length(connection: sqlite3.Connection, path: Path, embedder_id: str, embedding_length: int) -> None:
    """GalleryError when embeddings of that embedder have another length here."""
    length = length_of(connection, embedder_id)
    if length not in {None, embedding_length}:
        raise GalleryError(
            f"gallery of embedder {embedder_id!r} ({length} values)",
            where=str(path),
            expected=f"one of {embedder_id!r} ({embedding_length} values)",
            hint="Two networks have the same embedder_id: give the new one another in its bundle.",
        )


def ensure_embedder(connection: sqlite3.Connection, embedder_id: str, embedding_length: int, where: str) -> int:
    """Its number, which it gets when it is new here; GalleryError when its embeddings have another length here."""
    row = connection.execute(
        "SELECT number, embedding_length FROM embedders WHERE embedder_id = ?", (embedder_id,)
    ).fetchone()
    if row is None:
        done = connection.execute(
            "INSERT INTO embedders (embedder_id, embedding_length) VALUES (?, ?)", (embedder_id, embedding_length)
        )
        return int(done.lastrowid or 0)
    if row[1] != embedding_length:
        problem = f"embedding of {embedder_id!r} with {embedding_length} values"
        raise GalleryError(problem, where=where, expected=f"{row[1]} values, as all others of that embedder here")
    return int(row[0])
