"""Rows of enrolments: embeddings and kept faces. Every method runs inside a transaction of its caller."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.datatypes import Embedding, Floats
from edge.errors import GalleryError
from edge.gallery.embedders import ensure_embedder
from edge.gallery.encryption.columns import Columns
from edge.gallery.encryption.places import Places
from edge.gallery.records import EnrolledFace, Member
from edge.gallery.rows import read_revision
from edge.gallery.search import Index

log = logging.getLogger(__name__)

LITTLE_ENDIAN = np.dtype("<f4")
CHUNK_ROWS = 4096
_VECTORS = (
    # In this order, whatever SQLite would choose: both tables are then read from beginning to end.
    "SELECT e.id, n.identity_id, e.vector, e.checksum FROM embeddings e CROSS JOIN enrolments n ON n.id = e.enrolment_id"
    " WHERE e.embedder = (SELECT number FROM embedders WHERE embedder_id = ?)"
)
_COUNTS = (
    "SELECT (SELECT count(*) FROM enrolments), (SELECT count(*) FROM embeddings WHERE embedder = number)"
    " FROM (SELECT (SELECT number FROM embedders WHERE embedder_id = ?) AS number)"
)
_LACKING = (
    "SELECT DISTINCT identity_id FROM enrolments EXCEPT SELECT n.identity_id FROM enrolments n"
    " JOIN embeddings e ON e.enrolment_id = n.id"
    " WHERE e.embedder = (SELECT number FROM embedders WHERE embedder_id = ?)"
)


def decode_vector(blob: bytes, embedder_id: str) -> Embedding:
    """Little-endian float32 to an Embedding; ValueError unless it is L2-normalised."""
    vector = np.frombuffer(blob, LITTLE_ENDIAN).astype(np.float32)
    with np.errstate(all="ignore"):
        return Embedding(vector, embedder_id)


def encode_vector(embedding: Embedding) -> bytes:
    """The other way."""
    return embedding.vector.astype(LITTLE_ENDIAN).tobytes()


class EmbeddingRows:
    """The tables of enrolments, of embeddings by whichever embedder, and of aligned faces."""

    def __init__(self, columns: Columns, path: Path, embedder_id: str, embedding_length: int, first_id: str) -> None:
        """`path` is for messages; `first_id` is of the embedder that the gallery was made for, the others in use now."""
        self._columns = columns
        self._path = path
        self._embedder_id = embedder_id
        self._length = embedding_length
        self._places = Places(first_id)

    def insert(
        self, connection: sqlite3.Connection, identity_id: str, faces: Iterable[EnrolledFace], added_at: float
    ) -> None:
        """One row an enrolment, one for each of its embeddings, and one for the aligned face where it is kept."""
        # Known before the row is made: what is sealed is sealed for its row.
        for enrolment_id, face in enumerate(faces, start=_next_id(connection, "enrolments")):
            source = self._columns.put_text(face.source, *self._places.source(identity_id, enrolment_id))
            connection.execute(
                "INSERT INTO enrolments VALUES (?, ?, ?, ?, ?)",
                (enrolment_id, identity_id, float(face.quality), source, float(added_at)),
            )
            for embedding in face.embeddings:
                self.add(connection, identity_id, enrolment_id, embedding)
            if face.face_png is not None:
                place = self._places.face(identity_id, enrolment_id, face.template)
                png = self._columns.put_bytes(face.face_png, *place)
                connection.execute("INSERT INTO faces VALUES (?, ?, ?)", (enrolment_id, face.template, png))

    def add(self, connection: sqlite3.Connection, identity_id: str, enrolment_id: int, embedding: Embedding) -> None:
        """One more embedding of an enrolment, by an embedder that it has none of yet."""
        embedder_id = embedding.embedder_id
        number = ensure_embedder(connection, embedder_id, len(embedding.vector), str(self._path))
        row_id = _next_id(connection, "embeddings")
        place = self._places.vector(identity_id, row_id, embedder_id)
        stored = self._columns.put_bytes(encode_vector(embedding), *place)
        connection.execute(
            "INSERT INTO embeddings (id, enrolment_id, embedder, checksum, vector) VALUES (?, ?, ?, ?, ?)",
            (row_id, enrolment_id, number, zlib.crc32(stored), stored),
        )

    def add_missing(
        self, connection: sqlite3.Connection, identity_id: str, enrolment_id: int, embeddings: Iterable[Embedding]
    ) -> int:
        """Of these the ones by embedders that the enrolment has none of yet; how many."""
        asked = (
            "SELECT r.embedder_id FROM embeddings e JOIN embedders r ON r.number = e.embedder WHERE e.enrolment_id = ?"
        )
        present = {row[0] for row in connection.execute(asked, (enrolment_id,))}
        missing = [one for one in embeddings if one.embedder_id not in present]
        for embedding in missing:
            self.add(connection, identity_id, enrolment_id, embedding)
        return len(missing)

    def read(self, connection: sqlite3.Connection, identity_id: str) -> list[tuple[EnrolledFace, float]]:
        """Enrolments of one identity with the moment (Unix seconds) each was added, oldest first; DatabaseError.

        `embedding` of each is of the embedder in use where there is one, else the oldest.
        """
        asked = connection.execute(
            "SELECT n.id, n.quality, n.source, f.template, f.png, n.added_at FROM enrolments n "
            "LEFT JOIN faces f ON f.enrolment_id = n.id WHERE n.identity_id = ? ORDER BY n.id",
            (identity_id,),
        )
        found = []
        for enrolment_id, quality, source, template, png, added_at in asked.fetchall():
            text = self._columns.get_text(source, *self._places.source(identity_id, enrolment_id))
            face = None
            if png is not None:
                face = self._columns.get_bytes(png, *self._places.face(identity_id, enrolment_id, template))
            first, *others = self._embeddings(connection, identity_id, enrolment_id)
            found.append((EnrolledFace(first, quality, text, face, template or "", tuple(others)), float(added_at)))
        return found

    def _embeddings(self, connection: sqlite3.Connection, identity_id: str, enrolment_id: int) -> list[Embedding]:
        """Of one enrolment, that of the embedder in use first, then in the order of their rows; DatabaseError for none."""
        asked = (
            "SELECT e.id, r.embedder_id, e.vector, e.checksum FROM embeddings e JOIN embedders r ON r.number = e.embedder"
            " WHERE e.enrolment_id = ? ORDER BY r.embedder_id <> ?, e.id"
        )
        found = []
        for row_id, embedder_id, stored, checksum in connection.execute(asked, (enrolment_id, self._embedder_id)):
            if zlib.crc32(stored) != checksum:
                raise sqlite3.DatabaseError(f"an embedding of {identity_id} has changed on disk")
            vector = self._columns.get_bytes(stored, *self._places.vector(identity_id, row_id, embedder_id))
            try:
                found.append(decode_vector(vector, embedder_id))
            except ValueError as error:
                raise sqlite3.DatabaseError(f"an embedding of {identity_id}: {error}") from error
        if not found:
            raise sqlite3.DatabaseError(f"an enrolment of {identity_id} has no embedding")
        return found

    def kept_face(self, connection: sqlite3.Connection, identity_id: str, enrolment_id: int) -> tuple[bytes, str]:
        """The aligned face of one enrolment as PNG, and the alignment template that was told with it.

        LookupError where there is none; DatabaseError for a damaged one of an encrypted gallery.
        """
        asked = (
            "SELECT f.png, f.template FROM faces f JOIN enrolments n ON n.id = f.enrolment_id"
            " WHERE n.id = ? AND n.identity_id = ?"
        )
        row = connection.execute(asked, (enrolment_id, identity_id)).fetchone()
        if row is None:
            raise LookupError(f"no kept face of enrolment {enrolment_id}")
        png, template = row
        return self._columns.get_bytes(png, *self._places.face(identity_id, enrolment_id, template)), template

    def known(self, connection: sqlite3.Connection, identity_id: str) -> dict[bytes, int]:
        """Little-endian float32 of every embedding of one identity that is not damaged -> its enrolment."""
        asked = (
            "SELECT e.id, n.identity_id, e.vector, e.checksum, r.embedder_id, n.id FROM enrolments n"
            " JOIN embeddings e ON e.enrolment_id = n.id JOIN embedders r ON r.number = e.embedder"
            " WHERE n.identity_id = ?"
        )
        found = {}
        for *row, embedder_id, enrolment_id in connection.execute(asked, (identity_id,)).fetchall():
            for _, vector in self._intact([row], embedder_id):
                found[vector] = enrolment_id
        return found

    def read_index(self, connection: sqlite3.Connection, members: Sequence[Member]) -> Index:
        """Of these. Damaged rows are left out, counted and logged; GalleryError when all are such."""
        vectors, owner, refused = self._matrix(connection, [member.identity.id for member in members])
        if refused:
            log.warning("%s: %d embedding(s) are damaged and not used; %d are used", self._path, refused, len(vectors))
        if refused and not len(vectors):
            hint = "Restore a copy of the gallery, or remove the people concerned and enrol them again."
            raise GalleryError(
                f"all {refused} embeddings are damaged", where=str(self._path), expected="an intact gallery", hint=hint
            )
        return Index(
            members, owner, vectors, revision=read_revision(connection), refused_rows=refused,
            lacking=len(self.lacking(connection)),
        )  # fmt: skip

    def lacking(self, connection: sqlite3.Connection) -> frozenset[str]:
        """Ids of who is enrolled, but has no embedding of the embedder in use, and so is never matched."""
        enrolments, embeddings = connection.execute(_COUNTS, (self._embedder_id,)).fetchone()
        if embeddings >= enrolments:
            return frozenset()
        return frozenset(row[0] for row in connection.execute(_LACKING, (self._embedder_id,)))

    def _matrix(self, connection: sqlite3.Connection, ids: Sequence[str]) -> tuple[Floats, NDArray[np.int64], int]:
        """Vectors (N, length), the position in `ids` of each one's owner, and how many rows were left out."""
        number = {identity_id: position for position, identity_id in enumerate(ids)}
        _, count = connection.execute(_COUNTS, (self._embedder_id,)).fetchone()
        vectors, owner = np.empty((count, self._length), np.float32), np.empty(count, np.int64)
        used = refused = 0
        asked = connection.execute(_VECTORS, (self._embedder_id,))
        while chunk := asked.fetchmany(CHUNK_ROWS):
            mine = [row for row in chunk if row[1] in number]
            intact = self._intact(mine, self._embedder_id)
            made = np.frombuffer(b"".join(vector for _, vector in intact), LITTLE_ENDIAN).reshape(-1, self._length)
            owners = np.array([number[identity_id] for identity_id, _ in intact], np.int64)
            with np.errstate(all="ignore"):
                # NaN and infinity fail this comparison too.
                good = np.abs(np.einsum("nd,nd->n", made, made) - 1) < 2e-3
            kept = int(good.sum())
            vectors[used : used + kept] = made[good]
            owner[used : used + kept] = owners[good]
            used, refused = used + kept, refused + len(mine) - kept
        return vectors[:used], owner[:used], refused

    def _intact(self, rows: Sequence[Sequence[Any]], embedder_id: str) -> list[tuple[str, bytes]]:
        """Of rows as _VECTORS has them those that are not damaged: whose, and little-endian float32."""
        is_used = embedder_id == self._embedder_id
        size = self._length * LITTLE_ENDIAN.itemsize
        whole = [row for row in rows if zlib.crc32(row[2]) == row[3]]
        if self._columns.sealer is None:
            return [(row[1], row[2]) for row in whole if len(row[2]) == size or not is_used]
        found = []
        for row_id, identity_id, stored, _ in whole:
            with contextlib.suppress(sqlite3.DatabaseError):
                vector = self._columns.get_bytes(stored, *self._places.vector(identity_id, row_id, embedder_id))
                if len(vector) == size or not is_used:
                    found.append((identity_id, vector))
        return found


def _next_id(connection: sqlite3.Connection, table: str) -> int:
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return 1 + (found[0] if found else 0)
