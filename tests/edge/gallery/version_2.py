"""A gallery as version 2 of the schema had it, plain or sealed, made without any of today's code but that which seals."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

from edge.gallery.encryption.sealing import Sealer
from tests.edge.gallery.support import EMBEDDER, LENGTH, vectors
from tests.edge.gallery.version_1 import IDS, PER_PERSON, PNG

SCHEMA = """
CREATE TABLE gallery (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  embedder_id TEXT NOT NULL CHECK (typeof(embedder_id) = 'text'),
  embedding_length INTEGER NOT NULL CHECK (typeof(embedding_length) = 'integer'),
  revision INTEGER NOT NULL CHECK (typeof(revision) = 'integer'),
  audit_start INTEGER NOT NULL CHECK (typeof(audit_start) = 'integer'),
  audit_before BLOB NOT NULL CHECK (typeof(audit_before) = 'blob'),
  audit_head BLOB NOT NULL CHECK (typeof(audit_head) = 'blob')
);

CREATE TABLE identities (
  id TEXT NOT NULL PRIMARY KEY CHECK (typeof(id) = 'text'),
  name TEXT NOT NULL CHECK (typeof(name) IN ('text', 'blob')),
  note TEXT NOT NULL CHECK (typeof(note) IN ('text', 'blob')),
  consent TEXT NOT NULL CHECK (typeof(consent) IN ('text', 'blob')),
  enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
  valid_from REAL CHECK (typeof(valid_from) IN ('real', 'null')),
  valid_until REAL CHECK (typeof(valid_until) IN ('real', 'null')),
  groups TEXT NOT NULL CHECK (typeof(groups) = 'text'),
  zones TEXT NOT NULL CHECK (typeof(zones) = 'text'),
  schedule TEXT NOT NULL CHECK (typeof(schedule) = 'text'),
  created_at REAL NOT NULL CHECK (typeof(created_at) = 'real'),
  updated_at REAL NOT NULL CHECK (typeof(updated_at) = 'real')
);
CREATE TABLE embeddings (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  identity_id TEXT NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
  vector BLOB NOT NULL CHECK (typeof(vector) = 'blob'),
  checksum INTEGER NOT NULL CHECK (typeof(checksum) = 'integer'),
  quality REAL NOT NULL CHECK (typeof(quality) = 'real'),
  source TEXT NOT NULL CHECK (typeof(source) IN ('text', 'blob')),
  added_at REAL NOT NULL CHECK (typeof(added_at) = 'real')
);
CREATE INDEX embeddings_by_identity ON embeddings (identity_id);
CREATE TABLE faces (
  embedding_id INTEGER PRIMARY KEY REFERENCES embeddings (id) ON DELETE CASCADE,
  png BLOB NOT NULL CHECK (typeof(png) = 'blob')
);

CREATE TABLE keys (
  id TEXT NOT NULL PRIMARY KEY CHECK (typeof(id) = 'text'),
  proof BLOB NOT NULL CHECK (typeof(proof) = 'blob')
);
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at REAL NOT NULL CHECK (typeof(at) = 'real'),
  action TEXT NOT NULL CHECK (typeof(action) = 'text'),
  identity_id TEXT NOT NULL CHECK (typeof(identity_id) = 'text'),
  embeddings INTEGER NOT NULL CHECK (typeof(embeddings) = 'integer'),
  actor_kind TEXT NOT NULL CHECK (typeof(actor_kind) = 'text'),
  actor_name TEXT NOT NULL CHECK (typeof(actor_name) = 'text'),
  request_id TEXT NOT NULL CHECK (typeof(request_id) = 'text'),
  previous BLOB NOT NULL CHECK (typeof(previous) = 'blob')
);
"""
HEAD = bytes(32)


def make_version_2(path: Path, sealer: Sealer | None = None) -> None:
    """As `make_version_1`, with an empty audit log."""

    def put(data: bytes, *place: str | int) -> bytes:
        context = b"ostiary-sealed-v1\0" + "\0".join(map(str, place)).encode()
        return data if sealer is None else sealer.seal(data, context)

    def text(value: str, *place: str | int) -> str | bytes:
        return value if sealer is None else put(value.encode(), *place)

    made = sqlite3.connect(path, isolation_level=None)
    made.execute("PRAGMA journal_mode = WAL")
    made.executescript(SCHEMA)
    ends = (put(HEAD, "gallery", "audit_before", 1), put(HEAD, "gallery", "audit_head"))
    made.execute("INSERT INTO gallery VALUES (1, ?, ?, 7, 1, ?, ?)", (EMBEDDER, LENGTH, *ends))
    if sealer is not None:
        key_id = sealer.key_ids[0]
        made.execute("INSERT INTO keys VALUES (?, ?)", (key_id, put(b"", "keys", "proof", key_id, EMBEDDER, LENGTH)))
    for number, identity_id in enumerate(IDS):
        texts = [
            text(value, "identities", column, identity_id)
            for column, value in (("name", f"Person {number}"), ("note", f"note {number}"), ("consent", "in writing"))
        ]
        values = (number != 1, None, 4e9 if number else None, "staff", "", "", 1e9, 2e9)
        made.execute(
            "INSERT INTO identities VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (identity_id, *texts, *values)
        )
        for row_id, vector in enumerate(vectors(PER_PERSON, number), start=PER_PERSON * number + 1):
            blob = put(vector.astype("<f4").tobytes(), "embeddings", "vector", identity_id, row_id)
            source = text(f"{number}.jpg", "embeddings", "source", identity_id, row_id)
            row = (row_id, identity_id, blob, zlib.crc32(blob), 0.5, source, 1e9)
            made.execute("INSERT INTO embeddings VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        made.execute("INSERT INTO faces VALUES (?, ?)", (row_id, put(PNG, "faces", "png", identity_id, row_id)))
    made.execute("INSERT INTO embeddings VALUES (99, ?, x'00', 0, 0.5, '', 1e9)", (IDS[0],))
    made.execute("DELETE FROM embeddings WHERE id = 99")
    made.execute("PRAGMA application_id = 0x4F535459")
    made.execute("PRAGMA user_version = 2")
    made.close()
    path.chmod(0o600)
