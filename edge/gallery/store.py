"""The gallery: who is enrolled, kept in one SQLite file; an open one is of one embedder."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.datatypes import Identity
from edge.errors import GalleryError, UsageError
from edge.gallery import database, rows
from edge.gallery.audit import Action, AuditCheck, AuditRow
from edge.gallery.embedders import StoredEmbedder, read_embedders
from edge.gallery.embeddings import EmbeddingRows
from edge.gallery.encryption.columns import Columns
from edge.gallery.ledger import Ledger
from edge.gallery.records import (
    EnrolledFace,
    Erased,
    IdentityRecord,
    check_validity,
    clean_name,
    clean_note,
    clean_schedule,
    clean_slugs,
)
from edge.gallery.search import Index
from edge.gallery.synced import Synced, SyncedRows, check_local
from edge.timebase import wall_clock

log = logging.getLogger(__name__)


class Gallery(Ledger):
    """An open gallery. Safe to use from several threads; other processes may write at the same time.

    `who` is an id or a name, in any case of letters; UsageError when nobody or several people are meant. Every change
    is one transaction, on disk and in the audit log when the method returns, and raises `revision` by one.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, columns: Columns, embedder: StoredEmbedder) -> None:
        """Made by `edge.gallery.open_gallery`; `embedder` is the one in use."""
        super().__init__(path, connection, columns)
        self.require_consent = False
        """Enrol nobody without a note of consent."""
        self.embedder_id, self.embedding_length = embedder.embedder_id, embedder.embedding_length
        first_id, _ = rows.read_binding(connection)
        self.identities = rows.IdentityRows(columns, path, self.embedder_id)
        self.embeddings = EmbeddingRows(columns, path, self.embedder_id, self.embedding_length, first_id)
        self.synced = SyncedRows()

    def load_index(self, *, everyone: bool = False) -> Index:
        """Everyone who is enabled, ready for search; what limits each of them is for the policy to judge.

        With `everyone` the disabled are matched too: to look for look-alikes, never at a door.
        """

        def ask(connection: sqlite3.Connection) -> Index:
            return self.embeddings.read_index(connection, self.identities.members(connection, everyone=everyone))

        return self.read(ask)

    def list_identities(self) -> list[IdentityRecord]:
        """All of them by name."""
        return self.read(self.identities.read_all)

    def ids(self) -> frozenset[str]:
        """Of all of them."""
        asked = "SELECT id FROM identities"
        return self.read(lambda connection: frozenset(row[0] for row in connection.execute(asked)))

    def embedders(self) -> list[StoredEmbedder]:
        """Whose embeddings are in here, oldest first."""
        return self.read(read_embedders)

    def get(self, who: str) -> IdentityRecord:
        """One of them."""
        return self.read(lambda connection: self.identities.require(connection, who))

    def find(self, who: str) -> IdentityRecord | None:
        """As `get`, but None when nobody is meant."""
        return self.read(lambda connection: self.identities.find(connection, who))

    def faces(self, who: str) -> list[EnrolledFace]:
        """Embeddings of one identity, oldest first, with the aligned faces that were kept."""

        def ask(connection: sqlite3.Connection) -> list[EnrolledFace]:
            record = self.identities.require(connection, who)
            return [face for face, _ in self.embeddings.read(connection, record.id)]

        return self.read(ask)

    def audit(self, *, limit: int | None = None, who: str | None = None) -> list[AuditRow]:
        """Changes, the newest first. `who` may also be the id of somebody who was removed."""

        def ask(connection: sqlite3.Connection) -> list[AuditRow]:
            known = None if who is None else self.identities.find(connection, who)
            identity_id = who if known is None else known.id
            return self.log.read(connection, limit=limit, identity_id=identity_id)

        return self.read(ask)

    def verify_audit(self, *, anchor: str = "") -> AuditCheck:
        """Whether the audit log is whole; `anchor` is a digest that was noted elsewhere."""
        return self.read(lambda connection: self.log.verify(connection, anchor=anchor))

    def add_identity(
        self,
        name: str,
        *,
        note: str = "",
        consent: str = "",
        valid_from: float | None = None,
        valid_until: float | None = None,
    ) -> Identity:
        """A new identity without embeddings, also when another has that name. Times are Unix seconds."""
        record = rows.new_record(name, note, valid_from, valid_until, consent=consent)
        self.check_consent(record.consent)
        with self.change() as connection:
            self.identities.insert(connection, record)
            self.note(connection, "enrolled", record.id)
        return record.identity

    def add_embeddings(self, who: str, faces: Sequence[EnrolledFace]) -> None:
        """All of them or none, to an existing identity. ValueError for none, or for those of another embedder."""
        self._check_faces(faces)
        with self.change() as connection:
            known = self._require_local(connection, who)
            self.check_consent(known.consent)
            self.identities.touch(connection, known.id)
            self.embeddings.insert(connection, known.id, faces, wall_clock())
            self.note(connection, "embeddings_added", known.id, len(faces))

    def enrol(
        self, who: str, faces: Sequence[EnrolledFace], *, note: str | None = None, consent: str | None = None
    ) -> IdentityRecord:
        """As `add_embeddings`, but makes a new identity of that name when nobody has it; one transaction.

        UsageError when consent is required, not given here and not noted before.
        """
        self._check_faces(faces)
        with self.change() as connection:
            known = self.identities.find(connection, who)
            if known is None:
                known = rows.new_record(who, note or "", None, None, consent=consent or "")
                self.check_consent(known.consent)
                self.identities.insert(connection, known)
                self.note(connection, "enrolled", known.id, len(faces))
            else:
                check_local(known, self.path)
                self.check_consent(known.consent if consent is None else consent)
                self._set_texts(connection, known, note=note, consent=consent)
                self.identities.touch(connection, known.id)
                self.note(connection, "embeddings_added", known.id, len(faces))
            self.embeddings.insert(connection, known.id, faces, wall_clock())
            return self.identities.require(connection, known.id)

    def check_consent(self, consent: str) -> None:
        """UsageError for an empty one where it is required."""
        if self.require_consent and not consent.strip():
            raise UsageError(
                "no note of consent",
                expected="how and when the person agreed",
                hint="privacy.require_consent asks for it: --consent TEXT.",
            )

    def rename(self, who: str, name: str) -> None:
        """The id stays."""
        self._touch(who, "renamed", name=clean_name(name))

    def set_enabled(self, who: str, *, enabled: bool) -> None:
        """The disabled are kept but not matched."""
        self._touch(who, "enabled" if enabled else "disabled", enabled=int(enabled))

    def set_note(self, who: str, note: str) -> None:
        """Free text, such as a telephone number."""
        self._touch(who, "note_changed", note=clean_note(note))

    def set_consent(self, who: str, consent: str) -> None:
        """How and when the person agreed; free text."""
        self.check_consent(consent)
        self._touch(who, "consent_changed", consent=clean_note(consent, "consent"))

    def set_validity(self, who: str, *, valid_from: float | None, valid_until: float | None) -> None:
        """Match only while valid_from <= now < valid_until (Unix seconds; None for no limit)."""
        check_validity(valid_from, valid_until)
        self._touch(who, "access_changed", valid_from=valid_from, valid_until=valid_until)

    def set_access(
        self,
        who: str,
        *,
        groups: Sequence[str] | None = None,
        zones: Sequence[str] | None = None,
        schedule: str | None = None,
    ) -> None:
        """What limits the identity beside its validity; None leaves a limit as it is, an empty one takes it away."""
        values: dict[str, str] = {}
        if groups is not None:
            values["groups"] = " ".join(clean_slugs(groups, "group"))
        if zones is not None:
            values["zones"] = " ".join(clean_slugs(zones, "zone"))
        if schedule is not None:
            values["schedule"] = clean_schedule(schedule)
        self._touch(who, "access_changed", **values)

    def remove(self, who: str) -> Erased:
        """Erase an identity and everything of it, of every embedder, and make sure that its bytes leave the file.

        Who was published by a group is not taken from it again: edge.gallery.synced.
        """
        with self.change() as connection:
            record = self.identities.require(connection, who)
            connection.execute("DELETE FROM identities WHERE id = ?", (record.id,))
            if record.origin:
                self.synced.refuse(connection, record.origin, record.id)
            self.note(connection, "removed", record.id, record.stored)
        return Erased(record.identity, record.stored, record.faces, is_scrubbed=self.scrub(), origin=record.origin)

    def readmit(self, identity_id: str) -> list[Synced]:
        """Take somebody who was erased here from the group again; the refusals that ended. UsageError when there is none."""
        with self.change() as connection:
            ended = self.synced.readmit(connection, identity_id)
            if not ended:
                hint = "`ostiary gallery list --refused` shows whom this box takes from no group any more."
                raise UsageError(f"{identity_id[:80]!r} is not refused", where=str(self.path), hint=hint)
            self.note(connection, "readmitted", identity_id)
        return ended

    def scrub(self, *, is_whole: bool = True) -> bool:
        """Rewrite the file without what was deleted; False when another program kept that from being finished.

        Without `is_whole` only as far as an earlier call was not finished.
        """
        with self._lock:
            try:
                with database.translated(self.path):
                    return database.scrub(self._connection, is_whole=is_whole)
            except GalleryError as error:
                log.warning("deleted rows are zeroed, but the file was not rewritten: %s", error)
                return False

    def _touch(self, who: str, action: Action, **values: Any) -> None:
        with self.change() as connection:
            known = self._require_local(connection, who)
            self.identities.touch(connection, known.id, **values)
            self.note(connection, action, known.id)

    def _require_local(self, connection: sqlite3.Connection, who: str) -> IdentityRecord:
        known = self.identities.require(connection, who)
        check_local(known, self.path)
        return known

    def _set_texts(self, connection: sqlite3.Connection, known: IdentityRecord, **texts: str | None) -> None:
        for column, action in (("note", "note_changed"), ("consent", "consent_changed")):
            text = texts[column]
            if text is not None and text != getattr(known, column):
                self.identities.touch(connection, known.id, **{column: clean_note(text, column)})
                self.note(connection, action, known.id)  # type: ignore[arg-type]

    def _check_faces(self, faces: Sequence[EnrolledFace]) -> None:
        if not faces:
            raise ValueError("faces: expected at least one, got none")
        wanted = (self.embedder_id, (self.embedding_length,))
        for face in faces:
            found = (face.embedding.embedder_id, face.embedding.vector.shape)
            if found != wanted:
                raise ValueError(f"embedding: expected {wanted}, got {found}")
