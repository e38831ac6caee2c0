"""Everything that is stored about one person, for that person: a zip with readable JSON, faces as PNG and an explanation."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edge.errors import UsageError
from edge.gallery.audit import AuditRow
from edge.gallery.private import write_privately
from edge.gallery.records import EnrolledFace, IdentityRecord
from edge.gallery.store import Gallery
from edge.timebase import rfc3339, wall_clock

_README = """What this box has stored about you
==================================

Made {made_at} from the gallery {gallery}
for {name} (id {id}).

person.json       your name, the note and the consent kept with it, from when until when and where you may enter, when
                  you were enrolled and when that was last changed.
embeddings.json   {embeddings} embedding(s). An embedding is some hundred numbers that a neural network made from a picture of
                  your face ("embedder" says which; now in use: {embedder_id}, {length} numbers); the box compares
                  them with the face at the door. It is biometric data.
                  "source" says which picture each was made from; the picture itself is not kept by the box.
faces/            {faces} small picture(s) of your face, where the box was told to keep them. They allow embeddings to be
                  made again for another network.
audit.json        {rows} entries of the log: when you were enrolled and changed, and by whom.

What is not in here, because the gallery does not have it: events that were sent over MQTT (who was recognized, when) are
kept by whoever received them; pictures that somebody enrolled you from; exports and copies of the gallery.

Keep this file to yourself: with the embeddings, and more so with the faces, somebody could try to pass for you.
"""


@dataclass(frozen=True, slots=True)
class PersonExport:
    """What was written."""

    id: str
    name: str
    embeddings: int
    faces: int
    audit_rows: int


def export_person(gallery: Gallery, who: str, path: Path) -> PersonExport:
    """Write the zip (mode 0600), whole or not at all. UsageError when nobody is meant, GalleryError."""
    if path.exists() and path.samefile(gallery.path):
        raise UsageError("that is the gallery itself", where=str(path), expected="another file")

    def write(handle: IO[bytes]) -> PersonExport:
        with gallery.transaction() as connection:
            record = gallery.identities.require(connection, who)
            gallery.note(connection, "exported", record.id, record.stored)
            return _write(gallery, connection, record, handle)

    return write_privately(path, write, what="export")


def _write(gallery: Gallery, connection: sqlite3.Connection, record: IdentityRecord, handle: IO[bytes]) -> PersonExport:
    faces = gallery.embeddings.read(connection, record.id)
    log = gallery.log.read(connection, identity_id=record.id)
    kept = sum(face.face_png is not None for face, _ in faces)
    done = PersonExport(record.id, record.name, record.stored, kept, len(log))
    with zipfile.ZipFile(handle, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "README.txt", _readme(gallery, done).encode())
        _add(archive, "person.json", _json(person_json(record)))
        rows = [row for number, one in enumerate(faces, start=1) for row in _embeddings_json(number, *one)]
        _add(archive, "embeddings.json", _json(rows))
        _add(archive, "audit.json", _json([audit_json(row) for row in log]))
        for number, (face, _) in enumerate(faces, start=1):
            if face.face_png is not None:
                _add(archive, _face_name(number), face.face_png)
    return done


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    # A zip knows no time before 1980, where a box without a clock lives.
    now = max(dt.datetime.fromtimestamp(wall_clock(), dt.UTC), dt.datetime(1980, 1, 1, tzinfo=dt.UTC))
    info = zipfile.ZipInfo(f"ostiary-person/{name}", now.timetuple()[:6])
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    archive.writestr(info, data)


def _readme(gallery: Gallery, done: PersonExport) -> str:
    return _README.format(
        made_at=rfc3339(wall_clock()), gallery=gallery.path.name, name=done.name, id=done.id,
        embeddings=done.embeddings, length=gallery.embedding_length, embedder_id=gallery.embedder_id,
        faces=done.faces, rows=done.audit_rows,
    )  # fmt: skip


def person_json(record: IdentityRecord) -> dict[str, Any]:
    """One identity for programs; moments as RFC 3339 or null."""
    return {
        "id": record.id, "name": record.name, "note": record.note, "consent": record.consent,
        "enabled": record.enabled, "groups": list(record.groups), "zones": list(record.zones),
        "schedule": record.schedule, "valid_from": moment(record.valid_from), "valid_until": moment(record.valid_until),
        "created_at": moment(record.created_at), "updated_at": moment(record.updated_at),
        "embeddings": record.embeddings, "faces": record.faces, "origin": record.origin or None,
        "enrolments": record.enrolments, "stored": record.stored, "matched": not record.is_lacking,
    }  # fmt: skip


def audit_json(row: AuditRow) -> dict[str, Any]:
    """One row of the log for programs."""
    return {
        "seq": row.seq, "at": rfc3339(row.at), "action": row.action, "id": row.identity_id or None,
        "embeddings": row.embeddings, "actor": {"kind": row.actor.kind, "name": row.actor.name},
        "request_id": row.actor.request_id or None, "previous": row.previous.hex(),
    }  # fmt: skip


def moment(unix_s: float | None) -> str | None:
    """RFC 3339 in whole seconds."""
    return None if unix_s is None else dt.datetime.fromtimestamp(unix_s, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _embeddings_json(number: int, face: EnrolledFace, added_at: float) -> list[dict[str, Any]]:
    """Of one enrolment, by each embedder."""
    shared = {
        "number": number, "source": face.source, "quality": round(face.quality, 3), "added_at": moment(added_at),
        "face": None if face.face_png is None else _face_name(number),
    }  # fmt: skip
    return [
        {**shared, "embedder": one.embedder_id, "vector": [round(float(value), 7) for value in one.vector]}
        for one in face.embeddings
    ]


def _face_name(number: int) -> str:
    return f"faces/{number}.png"


def _json(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, indent=1).encode()
