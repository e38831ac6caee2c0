"""A gallery under other keys: encrypted for the first time, with a new key, or no more."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.errors import UsageError
from edge.gallery import database
from edge.gallery.audit import AuditLog
from edge.gallery.encryption.columns import Columns
from edge.gallery.encryption.keyring import add_key, key_ids
from edge.gallery.encryption.places import Places
from edge.gallery.encryption.sealing import Sealer
from edge.gallery.opening import open_any_gallery
from edge.gallery.records import Actor
from edge.gallery.rows import read_binding
from edge.gallery.store import Gallery

CHUNK_ROWS = 500
_IDENTITIES = "SELECT id, name, note, consent FROM identities WHERE id > ? ORDER BY id LIMIT ?"
_ENROLMENTS = "SELECT id, identity_id, source FROM enrolments WHERE id > ? ORDER BY id LIMIT ?"
_EMBEDDINGS = (
    "SELECT e.id, n.identity_id, r.embedder_id, e.vector, e.checksum FROM embeddings e"
    " JOIN enrolments n ON n.id = e.enrolment_id JOIN embedders r ON r.number = e.embedder"
    " WHERE e.id > ? ORDER BY e.id LIMIT ?"
)
_FACES = (
    "SELECT f.enrolment_id, n.identity_id, f.template, f.png FROM faces f JOIN enrolments n ON n.id = f.enrolment_id "
    "WHERE f.enrolment_id > ? ORDER BY f.enrolment_id LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """What `rekey_gallery` did."""

    before: tuple[str, ...]
    """Ids of the keys that opened it; empty when it was not encrypted."""
    after: str
    """Id of the one key that does now; empty when it is not encrypted any more."""
    identities: int
    embeddings: int
    is_scrubbed: bool
    """False while a reader of another process keeps old pages of the file alive: do it again later."""


def rekey_gallery(
    path: Path,
    sealer: Sealer | None,
    *,
    to_plain: bool = False,
    actor: Actor | None = None,
    connect: database.Connect = sqlite3.connect,
) -> Rekeyed:
    """Seal everything again with the first key of `sealer`, or with none; in one transaction, then rewrite the file.

    A crash leaves the gallery as it was, or as it is to be with old pages in the file: doing it again clears those.
    """
    if sealer is None and not to_plain:
        raise UsageError("no key is configured", expected="privacy.key_file", hint="See docs/privacy.md.")
    with _opened(path, sealer, connect) as gallery, gallery.acting(actor or gallery.actor):
        before = tuple(gallery.read(key_ids))
        with gallery.change() as connection:
            change = _Change(connection, gallery.columns, Columns(None if to_plain else sealer))
            identities, embeddings = change.run()
            # Under the new keys, the log included.
            AuditLog(change.new).append(connection, "rekeyed", embeddings=embeddings, actor=gallery.actor)
        gallery.columns.sealer = change.new.sealer
        is_scrubbed = gallery.scrub()
    after = "" if change.new.sealer is None else change.new.sealer.key_ids[0]
    return Rekeyed(before, after, identities, embeddings, is_scrubbed)


def _opened(path: Path, sealer: Sealer | None, connect: database.Connect) -> Gallery:
    """As it is now: encrypted or not."""
    if sealer is not None and not _is_encrypted(path, connect):
        return open_any_gallery(path, connect=connect)
    return open_any_gallery(path, sealer=sealer, connect=connect)


def _is_encrypted(path: Path, connect: database.Connect) -> bool:
    connection = database.connect_database(path, connect, read_only=False, busy_s=database.BUSY_S)
    try:
        with database.translated(path):
            return bool(key_ids(connection))
    finally:
        connection.close()


class _Change:
    """Every personal value of one gallery from old columns to new ones. DatabaseError for what is damaged."""

    def __init__(self, connection: sqlite3.Connection, old: Columns, new: Columns) -> None:
        self._connection = connection
        self._old = old
        self._places = Places(read_binding(connection)[0])
        self.new = new

    def run(self) -> tuple[int, int]:
        """How many identities and embeddings there are."""
        ends = AuditLog(self._old).ends(self._connection)
        identities = self._each(_IDENTITIES, "", self._identity)
        self._each(_ENROLMENTS, 0, self._enrolment)
        embeddings = self._each(_EMBEDDINGS, 0, self._embedding)
        self._each(_FACES, 0, self._face)
        self._connection.execute("DELETE FROM keys")
        add_key(self._connection, self.new.sealer)
        AuditLog(self.new).put_ends(self._connection, ends)
        return identities, embeddings

    def _each(self, asked: str, after: str | int, change: Callable[..., None]) -> int:
        """In chunks: no cursor walks over rows that are being changed, and not all faces are in memory at once."""
        count = 0
        while rows := self._connection.execute(asked, (after, CHUNK_ROWS)).fetchall():
            for row in rows:
                change(*row)
            after, count = rows[-1][0], count + len(rows)
        return count

    def _text(self, stored: object, *place: str | int) -> str | bytes:
        return self.new.put_text(self._old.get_text(stored, *place), *place)

    def _bytes(self, stored: object, *place: str | int) -> bytes:
        return self.new.put_bytes(self._old.get_bytes(stored, *place), *place)

    def _identity(self, identity_id: str, name: object, note: object, consent: object) -> None:
        values = [
            self._text(stored, "identities", column, identity_id)
            for column, stored in (("name", name), ("note", note), ("consent", consent))
        ]
        self._connection.execute(
            "UPDATE identities SET name = ?, note = ?, consent = ? WHERE id = ?", (*values, identity_id)
        )

    def _enrolment(self, enrolment_id: int, identity_id: str, source: object) -> None:
        text = self._text(source, *self._places.source(identity_id, enrolment_id))
        self._connection.execute("UPDATE enrolments SET source = ? WHERE id = ?", (text, enrolment_id))

    def _embedding(self, row_id: int, identity_id: str, embedder_id: str, vector: bytes, checksum: int) -> None:
        if zlib.crc32(vector) != checksum:
            raise sqlite3.DatabaseError(f"an embedding of {identity_id} has changed on disk")
        stored = self._bytes(vector, *self._places.vector(identity_id, row_id, embedder_id))
        values = (stored, zlib.crc32(stored), row_id)
        self._connection.execute("UPDATE embeddings SET vector = ?, checksum = ? WHERE id = ?", values)

    def _face(self, enrolment_id: int, identity_id: str, template: str, png: object) -> None:
        stored = self._bytes(png, *self._places.face(identity_id, enrolment_id, template))
        self._connection.execute("UPDATE faces SET png = ? WHERE enrolment_id = ?", (stored, enrolment_id))
