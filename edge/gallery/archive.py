"""A gallery as one file: for backup, and to enrol at one door and open at another."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edge.errors import GalleryError, UsageError
from edge.gallery import rows
from edge.gallery.archive_format import SCHEMA_VERSION, LineReader, ReadFace, encode_face, encode_line
from edge.gallery.database import sync_folder
from edge.gallery.records import IdentityRecord
from edge.gallery.store import Gallery
from edge.timebase import wall_clock

OnConflict = Literal["merge", "replace", "keep"]
ON_CONFLICT: tuple[OnConflict, ...] = ("merge", "replace", "keep")
"""An identity with that id is here already: add embeddings that are new; make it as the file has it; leave it alone."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How many identities were new, changed or left as they were, and how many embeddings were added."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    embeddings: int = 0


def export_gallery(gallery: Gallery, path: Path, *, include_faces: bool = False) -> int:
    """Write everyone to `path` (gzip, mode 0600), whole or not at all; gives the number of identities.

    Who can read the file can read the embeddings, and with `include_faces` the pictures: keep it as a key.
    """
    if path.exists() and path.samefile(gallery.path):
        raise UsageError("that is the gallery itself", where=str(path), expected="another file")
    draft = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.new")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as handle:
                os.fchmod(descriptor, 0o600)
                count = gallery.read(
                    lambda connection: _write(gallery, connection, handle, include_faces=include_faces)
                )
                handle.flush()
                os.fsync(descriptor)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        hint = "Choose another place for the export."
        raise GalleryError(f"cannot be written ({error.strerror})", where=str(path), hint=hint) from error
    return count


def _write(gallery: Gallery, connection: sqlite3.Connection, handle: Any, *, include_faces: bool) -> int:
    records = rows.read_records(connection)
    digest = hashlib.sha256()
    with gzip.GzipFile(filename="", mode="wb", fileobj=handle, mtime=0) as stream:
        for line in _lines(gallery, connection, records, include_faces=include_faces):
            digest.update(line)
            stream.write(line)
        stream.write(encode_line("end", sha256=digest.hexdigest()))
    return len(records)


def _lines(
    gallery: Gallery, connection: sqlite3.Connection, records: list[IdentityRecord], *, include_faces: bool
) -> Iterator[bytes]:
    yield encode_line(
        "gallery", schema=SCHEMA_VERSION, embedder_id=gallery.embedder_id, embedding_length=gallery.embedding_length,
        identities=len(records), embeddings=sum(record.embeddings for record in records),
        has_faces=include_faces, exported_at=wall_clock(),
    )  # fmt: skip
    for record in records:
        values = dataclasses.asdict(record)
        del values["embeddings"], values["faces"]
        yield encode_line("identity", **values)
        for face, added_at in rows.read_faces(connection, record.id, gallery.embedder_id):
            yield encode_face(face, added_at, include_face=include_faces)


def import_gallery(gallery: Gallery, path: Path, *, on_conflict: OnConflict = "merge") -> ImportReport:
    """Take in everyone from an export, all or none; doing it again changes nothing.

    Identities are the same when their ids are. GalleryError names the line of a file that is damaged, hostile, from a
    newer version or of another embedder.
    """
    if on_conflict not in ON_CONFLICT:
        raise UsageError(f"on_conflict {on_conflict!r}", expected=f"one of {', '.join(ON_CONFLICT)}")
    try:
        with path.open("rb") as handle:
            reader = LineReader(path, handle)
            _check_embedder(gallery, reader)
            with gallery.change() as connection:
                return _Import(connection, on_conflict).run(reader)
    except OSError as error:
        raise GalleryError(
            f"cannot be read ({error.strerror})", where=str(path), expected="a gallery exported by ostiary"
        ) from error


def _check_embedder(gallery: Gallery, reader: LineReader) -> None:
    header = reader.header
    if (header.embedder_id, header.embedding_length) != (gallery.embedder_id, gallery.embedding_length):
        raise reader.fault(
            f"export of embedder {header.embedder_id!r} ({header.embedding_length} values)",
            f"one of {gallery.embedder_id!r} ({gallery.embedding_length} values)",
            f"Nothing was imported. Use the bundle of {header.embedder_id!r}, or enrol everyone again.",
        )


class _Import:
    """One import inside one transaction."""

    def __init__(self, connection: sqlite3.Connection, on_conflict: OnConflict) -> None:
        self._connection = connection
        self._on_conflict = on_conflict
        self._seen: set[str] = set()
        self._known: set[bytes] | None = None
        """Embeddings of the present identity that must not be added again; None when all of them stay out."""
        self._changed: set[str] = set()
        self._added: set[str] = set()
        self._embeddings = 0

    def run(self, reader: LineReader) -> ImportReport:
        current = ""
        for item in reader.items():
            if isinstance(item, ReadFace):
                self._add_face(current, item)
                continue
            if item.id in self._seen:
                raise reader.fault(f"identity {item.id} again", "each identity once")
            self._seen.add(item.id)
            current = item.id
            self._known = self._begin(item)
        unchanged = len(self._seen) - len(self._added) - len(self._changed)
        return ImportReport(len(self._added), len(self._changed), unchanged, self._embeddings)

    def _begin(self, record: IdentityRecord) -> set[bytes] | None:
        """Make or meet the identity; gives what `_known` says."""
        present = rows.read_record(self._connection, record.id)
        if present is None:
            self._added.add(record.id)
            rows.insert_identity(self._connection, record)
            return set()
        if self._on_conflict == "replace":
            self._changed.add(record.id)
            self._connection.execute("DELETE FROM identities WHERE id = ?", (record.id,))
            rows.insert_identity(self._connection, record)
            return set()
        if self._on_conflict == "keep":
            return None
        stored = self._connection.execute("SELECT vector FROM embeddings WHERE identity_id = ?", (record.id,))
        return {row[0] for row in stored}

    def _add_face(self, identity_id: str, item: ReadFace) -> None:
        blob = item.face.embedding.vector.astype(rows.LITTLE_ENDIAN).tobytes()
        if self._known is None or blob in self._known:
            return
        rows.insert_faces(self._connection, identity_id, [item.face], item.added_at)
        self._embeddings += 1
        if identity_id not in self._added:
            self._changed.add(identity_id)
