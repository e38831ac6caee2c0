"""The gallery: who is enrolled, kept in one SQLite file that belongs to one embedder."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from edge.datatypes import Identity
from edge.errors import GalleryError
from edge.gallery import database, rows
from edge.gallery.records import EnrolledFace, Erased, IdentityRecord, check_validity, clean_name, clean_note
from edge.gallery.search import Index
from edge.timebase import wall_clock

log = logging.getLogger(__name__)
T = TypeVar("T")


def open_gallery(
    path: Path,
    *,
    embedder_id: str,
    embedding_length: int,
    create: bool = True,
    read_only: bool = False,
    busy_s: float = database.BUSY_S,
    connect: database.Connect = sqlite3.connect,
) -> Gallery:
    """Open the gallery at `path` for one embedder, making an empty one where there is none and `create` is on.

    `busy_s` is how long to wait for another program's write. GalleryError (exit code 4): another embedder, damaged,
    from a newer version, of another program, locked, or not to be read or made. What is refused is left as it is.
    """
    if create and not read_only and not database.exists(path):
        database.create_database(path, embedder_id, embedding_length, connect)
    gallery = open_any_gallery(path, read_only=read_only, busy_s=busy_s, connect=connect)
    if (gallery.embedder_id, gallery.embedding_length) != (embedder_id, embedding_length):
        gallery.close()
        raise GalleryError(
            f"gallery of embedder {gallery.embedder_id!r} ({gallery.embedding_length} values)",
            where=str(path),
            expected=f"one of {embedder_id!r} ({embedding_length} values)",
            hint=f"Use the bundle of {gallery.embedder_id!r}, or enrol everyone again into a new gallery (--gallery).",
        )
    return gallery


def open_any_gallery(
    path: Path, *, read_only: bool = False, busy_s: float = database.BUSY_S, connect: database.Connect = sqlite3.connect
) -> Gallery:
    """Open an existing gallery of whatever embedder, to list, remove or export; GalleryError as `open_gallery`."""
    connection = database.connect_database(path, connect, read_only=read_only, busy_s=busy_s)
    try:
        with database.translated(path):
            return Gallery(path, connection)
    except BaseException:
        connection.close()
        raise


class Gallery:
    """An open gallery. Safe to use from several threads; other processes may write at the same time.

    `who` is an id or a name, in any case of letters; UsageError when nobody or several people are meant. Every change
    is one transaction, on disk when the method returns, and raises `revision` by one.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Made by `open_gallery`."""
        self.path = path
        self._connection = connection
        self._lock = threading.RLock()
        self.embedder_id, self.embedding_length = rows.read_binding(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; any number of times."""
        with self._lock:
            self._connection.close()

    @property
    def revision(self) -> int:
        """How many changes were ever committed, by whichever process. One small read."""
        return self.read(rows.read_revision)

    def read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Ask inside one read transaction: all parts of the answer are of the same revision."""
        with self._lock, database.translated(self.path):
            self._connection.execute("BEGIN")
            try:
                return question(self._connection)
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")

    @contextlib.contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: committed as the next revision, or rolled back when anything is raised."""
        with self._lock, database.translated(self.path):
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                before = connection.total_changes
                yield connection
                if connection.total_changes != before:
                    connection.execute("UPDATE gallery SET revision = revision + 1")
                connection.execute("COMMIT")
            except BaseException:
                # SQLite rolls back by itself after some errors, such as a full disk.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def load_index(self, clock: Callable[[], float] = wall_clock, *, everyone: bool = False) -> Index:
        """Everyone who is enabled, ready for search; `clock` gives Unix seconds for the validity of identities.

        With `everyone` the disabled and those not valid now are matched too: to look for look-alikes, never at a door.
        """
        length = self.embedding_length
        return self.read(lambda connection: rows.read_index(connection, length, self.path, clock, everyone=everyone))

    def list_identities(self) -> list[IdentityRecord]:
        """All of them by name."""
        return self.read(rows.read_records)

    def get(self, who: str) -> IdentityRecord:
        """One of them."""
        return self.read(lambda connection: rows.require_one(connection, who, self.path))

    def find(self, who: str) -> IdentityRecord | None:
        """As `get`, but None when nobody is meant."""
        return self.read(lambda connection: rows.find_one(connection, who, self.path))

    def faces(self, who: str) -> list[EnrolledFace]:
        """Embeddings of one identity, oldest first, with the aligned faces that were kept."""

        def ask(connection: sqlite3.Connection) -> list[EnrolledFace]:
            record = rows.require_one(connection, who, self.path)
            return [face for face, _ in rows.read_faces(connection, record.id, self.embedder_id)]

        return self.read(ask)

    def add_identity(
        self, name: str, *, note: str = "", valid_from: float | None = None, valid_until: float | None = None
    ) -> Identity:
        """A new identity without embeddings, also when another has that name. Times are Unix seconds."""
        record = rows.new_record(name, note, valid_from, valid_until)
        with self.change() as connection:
            rows.insert_identity(connection, record)
        return record.identity

    def add_embeddings(self, who: str, faces: Sequence[EnrolledFace]) -> None:
        """All of them or none, to an existing identity. ValueError for none, or for those of another embedder."""
        self._check_faces(faces)
        with self.change() as connection:
            identity_id = rows.require_one(connection, who, self.path).id
            rows.touch(connection, identity_id)
            rows.insert_faces(connection, identity_id, faces, wall_clock())

    def enrol(self, who: str, faces: Sequence[EnrolledFace], *, note: str | None = None) -> IdentityRecord:
        """As `add_embeddings`, but makes a new identity of that name when nobody has it; one transaction."""
        self._check_faces(faces)
        with self.change() as connection:
            known = rows.find_one(connection, who, self.path)
            if known is None:
                known = rows.new_record(who, note or "", None, None)
                rows.insert_identity(connection, known)
            else:
                rows.touch(connection, known.id, **({} if note is None else {"note": clean_note(note)}))
            rows.insert_faces(connection, known.id, faces, wall_clock())
            return rows.require_one(connection, known.id, self.path)

    def rename(self, who: str, name: str) -> None:
        """The id stays."""
        self._touch(who, name=clean_name(name))

    def set_enabled(self, who: str, *, enabled: bool) -> None:
        """The disabled are kept but not matched."""
        self._touch(who, enabled=int(enabled))

    def set_note(self, who: str, note: str) -> None:
        """Free text, such as when and how consent was given."""
        self._touch(who, note=clean_note(note))

    def set_validity(self, who: str, *, valid_from: float | None, valid_until: float | None) -> None:
        """Match only while valid_from <= now < valid_until (Unix seconds; None for no limit)."""
        check_validity(valid_from, valid_until)
        self._touch(who, valid_from=valid_from, valid_until=valid_until)

    def remove(self, who: str) -> Erased:
        """Erase an identity and everything of it, and make sure that its bytes leave the file."""
        with self.change() as connection:
            record = rows.require_one(connection, who, self.path)
            connection.execute("DELETE FROM identities WHERE id = ?", (record.id,))
        return Erased(record.identity, record.embeddings, record.faces, is_scrubbed=self.scrub())

    def scrub(self) -> bool:
        """Rewrite the file without what was deleted; False when another program kept that from being finished."""
        with self._lock:
            try:
                with database.translated(self.path):
                    return database.scrub(self._connection)
            except GalleryError as error:
                log.warning("deleted rows are zeroed, but the file was not rewritten: %s", error)
                return False

    def _touch(self, who: str, **values: Any) -> None:
        with self.change() as connection:
            rows.touch(connection, rows.require_one(connection, who, self.path).id, **values)

    def _check_faces(self, faces: Sequence[EnrolledFace]) -> None:
        if not faces:
            raise ValueError("faces: expected at least one, got none")
        wanted = (self.embedder_id, (self.embedding_length,))
        for face in faces:
            found = (face.embedding.embedder_id, face.embedding.vector.shape)
            if found != wanted:
                raise ValueError(f"embedding: expected {wanted}, got {found}")
