"""Rows of embeddings and kept faces. Every method runs inside a transaction of its caller."""

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
from edge.gallery.encryption.columns import Columns
from edge.gallery.records import EnrolledFace, Member
from edge.gallery.rows import read_revision
from edge.gallery.search import Index

log = logging.getLogger(__name__)

LITTLE_ENDIAN = np.dtype("<f4")
CHUNK_ROWS = 4096
_VECTORS = "SELECT id, identity_id, vector, checksum FROM embeddings"


def decode_vector(blob: bytes, embedder_id: str) -> Embedding:
    """Little-endian float32 to an Embedding; ValueError unless it is L2-normalised."""
    vector = np.frombuffer(blob, LITTLE_ENDIAN).astype(np.float32)
    with np.errstate(all="ignore"):
        return Embedding(vector, embedder_id)


def encode_vector(embedding: Embedding) -> bytes:
    """The other way."""
    return embedding.vector.astype(LITTLE_ENDIAN).tobytes()


class EmbeddingRows:
    """The tables of embeddings and of aligned faces."""

    def __init__(self, columns: Columns, path: Path, embedder_id: str, embedding_length: int) -> None:
        """`path` is for messages."""
        self._columns = columns
        self._path = path
        self._embedder_id = embedder_id
        self._length = embedding_length

    def insert(
        self, connection: sqlite3.Connection, identity_id: str, faces: Iterable[EnrolledFace], added_at: float
    ) -> None:
        """One row an embedding, and one for the aligned face where it is kept."""
        found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'embeddings'").fetchone()
        # Known before the row is made: what is sealed is sealed for its row.
        for row_id, face in enumerate(faces, start=1 + (found[0] if found else 0)):
            vector = self._columns.put_bytes(encode_vector(face.embedding), "embeddings", "vector", identity_id, row_id)
            source = self._columns.put_text(face.source, "embeddings", "source", identity_id, row_id)
            connection.execute(
                "INSERT INTO embeddings (id, identity_id, vector, checksum, quality, source, added_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (row_id, identity_id, vector, zlib.crc32(vector), float(face.quality), source, float(added_at)),
            )
            if face.face_png is not None:
                png = self._columns.put_bytes(face.face_png, "faces", "png", identity_id, row_id)
                connection.execute("INSERT INTO faces VALUES (?, ?)", (row_id, png))

    def read(self, connection: sqlite3.Connection, identity_id: str) -> list[tuple[EnrolledFace, float]]:
        """Embeddings of one identity with the moment (Unix seconds) each was added, oldest first; DatabaseError."""
        asked = connection.execute(
            "SELECT e.id, e.vector, e.checksum, e.quality, e.source, f.png, e.added_at FROM embeddings e "
            "LEFT JOIN faces f ON f.embedding_id = e.id WHERE e.identity_id = ? ORDER BY e.id",
            (identity_id,),
        )
        found = []
        for row_id, stored, checksum, quality, source, png, added_at in asked:
            if zlib.crc32(stored) != checksum:
                raise sqlite3.DatabaseError(f"an embedding of {identity_id} has changed on disk")
            place = (identity_id, row_id)
            vector = self._columns.get_bytes(stored, "embeddings", "vector", *place)
            text = self._columns.get_text(source, "embeddings", "source", *place)
            face = None if png is None else self._columns.get_bytes(png, "faces", "png", *place)
            try:
                found.append(
                    (EnrolledFace(decode_vector(vector, self._embedder_id), quality, text, face), float(added_at))
                )
            except ValueError as error:
                raise sqlite3.DatabaseError(f"an embedding of {identity_id}: {error}") from error
        return found

    def vectors(self, connection: sqlite3.Connection, identity_id: str) -> set[bytes]:
        """Little-endian float32 of every embedding of one identity that is not damaged."""
        asked = f"{_VECTORS} WHERE identity_id = ?"
        return {vector for _, vector in self._intact(connection.execute(asked, (identity_id,)).fetchall())}

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
        return Index(members, owner, vectors, revision=read_revision(connection), refused_rows=refused)

    def _matrix(self, connection: sqlite3.Connection, ids: Sequence[str]) -> tuple[Floats, NDArray[np.int64], int]:
        """Vectors (N, length), the position in `ids` of each one's owner, and how many rows were left out."""
        number = {identity_id: position for position, identity_id in enumerate(ids)}
        (count,) = connection.execute("SELECT count(*) FROM embeddings").fetchone()
        vectors, owner = np.empty((count, self._length), np.float32), np.empty(count, np.int64)
        used = refused = 0
        asked = connection.execute(_VECTORS)
        while chunk := asked.fetchmany(CHUNK_ROWS):
            mine = [row for row in chunk if row[1] in number]
            intact = self._intact(mine)
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

    def _intact(self, rows: Sequence[Sequence[Any]]) -> list[tuple[str, bytes]]:
        """Of rows as _VECTORS has them those that are not damaged: whose, and little-endian float32."""
        size = self._length * LITTLE_ENDIAN.itemsize
        whole = [row for row in rows if zlib.crc32(row[2]) == row[3]]
        if self._columns.sealer is None:
            return [(row[1], row[2]) for row in whole if len(row[2]) == size]
        found = []
        for row_id, identity_id, stored, _ in whole:
            with contextlib.suppress(sqlite3.DatabaseError):
                vector = self._columns.get_bytes(stored, "embeddings", "vector", identity_id, row_id)
                if len(vector) == size:
                    found.append((identity_id, vector))
        return found
