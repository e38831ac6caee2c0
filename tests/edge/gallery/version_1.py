"""A gallery as version 1 of the schema had it, made without any of today's code."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

from tests.edge.gallery.support import EMBEDDER, LENGTH, vectors

SCHEMA = """
CREATE TABLE gallery (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  embedder_id TEXT NOT NULL CHECK (typeof(embedder_id) = 'text'),
  embedding_length INTEGER NOT NULL CHECK (typeof(embedding_length) = 'integer'),
  revision INTEGER NOT NULL CHECK (typeof(revision) = 'integer')
);
CREATE TABLE identities (
  id TEXT NOT NULL PRIMARY KEY CHECK (typeof(id) = 'text'),
  name TEXT NOT NULL CHECK (typeof(name) = 'text'),
  note TEXT NOT NULL CHECK (typeof(note) = 'text'),
  enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
  valid_from REAL CHECK (typeof(valid_from) IN ('real', 'null')),
  valid_until REAL CHECK (typeof(valid_until) IN ('real', 'null')),
  created_at REAL NOT NULL CHECK (typeof(created_at) = 'real'),
  updated_at REAL NOT NULL CHECK (typeof(updated_at) = 'real')
);
CREATE TABLE embeddings (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  identity_id TEXT NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
  vector BLOB NOT NULL CHECK (typeof(vector) = 'blob'),
  checksum INTEGER NOT NULL CHECK (typeof(checksum) = 'integer'),
  quality REAL NOT NULL CHECK (typeof(quality) = 'real'),
  source TEXT NOT NULL CHECK (typeof(source) = 'text'),
  added_at REAL NOT NULL CHECK (typeof(added_at) = 'real')
);
CREATE INDEX embeddings_by_identity ON embeddings (identity_id);
CREATE TABLE faces (
  embedding_id INTEGER PRIMARY KEY REFERENCES embeddings (id) ON DELETE CASCADE,
  png BLOB NOT NULL CHECK (typeof(png) = 'blob')
);
"""
PNG = b"\x89PNG\r\n\x1a\n" + b"a kept face" * 20
IDS = [f"01HZXW3J9Q8V6T5R4S3D2F1G{number:02d}" for number in range(3)]
PER_PERSON = 2


def make_version_1(path: Path) -> None:
    """Three people with two embeddings each, of which one has its face; one embedding more was removed."""
    made = sqlite3.connect(path, isolation_level=None)
    made.execute("PRAGMA journal_mode = WAL")
    made.executescript(SCHEMA)
    made.execute("INSERT INTO gallery VALUES (1, ?, ?, 7)", (EMBEDDER, LENGTH))
    for number, identity_id in enumerate(IDS):
        values = (
            identity_id,
            f"Person {number}",
            f"note {number}",
            number != 1,
            None,
            4e9 if number else None,
            1e9,
            2e9,
        )
        made.execute("INSERT INTO identities VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        for vector in vectors(PER_PERSON, number):
            blob = vector.astype("<f4").tobytes()
            asked = "INSERT INTO embeddings (identity_id, vector, checksum, quality, source, added_at) VALUES (?, ?, ?, ?, ?, ?)"
            made.execute(asked, (identity_id, blob, zlib.crc32(blob), 0.5, f"{number}.jpg", 1e9))
        made.execute("INSERT INTO faces VALUES ((SELECT max(id) FROM embeddings), ?)", (PNG,))
    made.execute("INSERT INTO embeddings VALUES (99, ?, x'00', 0, 0.5, '', 1e9)", (IDS[0],))
    made.execute("DELETE FROM embeddings WHERE id = 99")
    made.execute("PRAGMA application_id = 0x4F535459")
    made.execute("PRAGMA user_version = 1")
    made.close()
    path.chmod(0o600)
