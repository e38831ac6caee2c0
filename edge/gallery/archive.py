"""A gallery as one file: for backup, and to enrol at one door and open at another."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from edge.errors import GalleryError, UsageError
from edge.gallery.archive_format import LineReader, ReadFace, encode_face, encode_line
from edge.gallery.archive_lines import SCHEMA_VERSION
from edge.gallery.embedders import read_embedders
from edge.gallery.embeddings import encode_vector
from edge.gallery.private import write_privately
from edge.gallery.records import IdentityRecord
from edge.gallery.store import Gallery
from edge.gallery.synced import Synced
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

    def write(handle: IO[bytes]) -> int:
        count = gallery.read(lambda connection: _write(gallery, connection, handle, include_faces=include_faces))
        with gallery.transaction() as connection:
            gallery.note(connection, "exported")
        return count

    return write_privately(path, write, what="export")


def _write(gallery: Gallery, connection: sqlite3.Connection, handle: IO[bytes], *, include_faces: bool) -> int:
    records = gallery.identities.read_all(connection)
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
    embedders = {one.embedder_id: one.embedding_length for one in read_embedders(connection)}
    words = gallery.synced.read_all(connection)
    yield encode_line(
        "gallery", schema=SCHEMA_VERSION, embedder_id=gallery.embedder_id, embedding_length=gallery.embedding_length,
        embedders=embedders, identities=len(records), embeddings=sum(record.enrolments for record in records),
        synced=len(words), has_faces=include_faces, exported_at=wall_clock(),
    )  # fmt: skip
    for word in words:
        yield encode_line("synced", **dataclasses.asdict(word))
    for record in records:
        values = dataclasses.asdict(record)
        for count in ("embeddings", "faces", "enrolments", "stored"):
            del values[count]
        yield encode_line("identity", **values)
        for face, added_at in gallery.embeddings.read(connection, record.id):
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
                return _Import(gallery, connection, on_conflict).run(reader)
    except OSError as error:
        raise GalleryError(
            f"cannot be read ({error.strerror})", where=str(path), expected="a gallery exported by ostiary"
        ) from error


def _check_embedder(gallery: Gallery, reader: LineReader) -> None:
    header = reader.header
    if header.lengths.get(gallery.embedder_id) != gallery.embedding_length:
        raise reader.fault(
            f"export of embedder {header.embedder_id!r} ({header.embedding_length} values)",
            f"one of {gallery.embedder_id!r} ({gallery.embedding_length} values)",
            f"Nothing was imported. Use the bundle of {header.embedder_id!r}, or enrol everyone again.",
        )


class _Import:
    """One import inside one transaction."""

    def __init__(self, gallery: Gallery, connection: sqlite3.Connection, on_conflict: OnConflict) -> None:
        self._gallery = gallery
        self._connection = connection
        self._on_conflict = on_conflict
        self._seen: set[str] = set()
        self._known: dict[bytes, int] | None = None
        """Embeddings of the present identity and their enrolments, not to be added again; None when all stay out."""
        self._changed: set[str] = set()
        self._added: set[str] = set()
        self._embeddings: Counter[str] = Counter()

    def run(self, reader: LineReader) -> ImportReport:
        current = ""
        for item in reader.items():
            if isinstance(item, ReadFace):
                self._add_face(current, item)
                continue
            if isinstance(item, Synced):
                self._hear(item)
                continue
            if item.id in self._seen:
                raise reader.fault(f"identity {item.id} again", "each identity once")
            self._seen.add(item.id)
            current = item.id
            self._known = self._begin(item)
        for identity_id in sorted(self._added | self._changed):
            self._gallery.note(self._connection, "imported", identity_id, self._embeddings[identity_id])
        unchanged = len(self._seen) - len(self._added) - len(self._changed)
        return ImportReport(len(self._added), len(self._changed), unchanged, self._embeddings.total())

    def _hear(self, word: Synced) -> None:
        """What the other box remembered of a group, unless this one has the person, and so knows better."""
        if self._gallery.identities.read(self._connection, word.identity_id) is None:
            self._gallery.synced.put(self._connection, word)

    def _begin(self, record: IdentityRecord) -> dict[bytes, int] | None:
        """Make or meet the identity; gives what `_known` says."""
        identities = self._gallery.identities
        present = identities.read(self._connection, record.id)
        if self._is_left_alone(present, record):
            return None
        if present is not None and self._on_conflict == "merge":
            self._gallery.check_consent(present.consent)
            return self._gallery.embeddings.known(self._connection, record.id)
        self._gallery.check_consent(record.consent)
        if present is None:
            self._added.add(record.id)
        else:
            self._changed.add(record.id)
            self._connection.execute("DELETE FROM identities WHERE id = ?", (record.id,))
        identities.insert(self._connection, record)
        return {}

    def _is_left_alone(self, present: IdentityRecord | None, record: IdentityRecord) -> bool:
        """Also whom a group publishes, and whom it removed or this box refuses: an old copy brings nobody back."""
        if present is not None:
            return bool(present.origin) or self._on_conflict == "keep"
        word = self._gallery.synced.read(self._connection, record.origin, record.id)
        return word is not None and word.state != "published"

    def _add_face(self, identity_id: str, item: ReadFace) -> None:
        if self._known is None:
            return
        rows, face = self._gallery.embeddings, item.face
        enrolment_id = next(
            (self._known[blob] for blob in map(encode_vector, face.embeddings) if blob in self._known), None
        )
        if enrolment_id is None:
            rows.insert(self._connection, identity_id, [face], item.added_at)
            count = len(face.embeddings)
        else:
            count = rows.add_missing(self._connection, identity_id, enrolment_id, face.embeddings)
        self._embeddings[identity_id] += count
        if count and identity_id not in self._added:
            self._changed.add(identity_id)
