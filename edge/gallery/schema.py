"""Tables of the gallery, and how those of an older version become today's.

Version 2 added consent, groups, zones and schedule of an identity, the audit log and the keys of an encrypted gallery.
What is personal (name, note, consent, source, vector, face) is text or float32 as it is, or a sealed blob: see
edge.gallery.encryption.columns.
"""

from __future__ import annotations

import sqlite3

SCHEMA_VERSION = 2

_GALLERY = """
CREATE TABLE {gallery} (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  embedder_id TEXT NOT NULL CHECK (typeof(embedder_id) = 'text'),
  embedding_length INTEGER NOT NULL CHECK (typeof(embedding_length) = 'integer'),
  revision INTEGER NOT NULL CHECK (typeof(revision) = 'integer'),
  audit_start INTEGER NOT NULL CHECK (typeof(audit_start) = 'integer'),
  audit_before BLOB NOT NULL CHECK (typeof(audit_before) = 'blob'),
  audit_head BLOB NOT NULL CHECK (typeof(audit_head) = 'blob')
);
"""
_PEOPLE = """
CREATE TABLE {identities} (
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
CREATE TABLE {embeddings} (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  identity_id TEXT NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
  vector BLOB NOT NULL CHECK (typeof(vector) = 'blob'),
  checksum INTEGER NOT NULL CHECK (typeof(checksum) = 'integer'),
  quality REAL NOT NULL CHECK (typeof(quality) = 'real'),
  source TEXT NOT NULL CHECK (typeof(source) IN ('text', 'blob')),
  added_at REAL NOT NULL CHECK (typeof(added_at) = 'real')
);
"""
_INDEX = "CREATE INDEX embeddings_by_identity ON embeddings (identity_id);"
_FACES = """
CREATE TABLE faces (
  embedding_id INTEGER PRIMARY KEY REFERENCES embeddings (id) ON DELETE CASCADE,
  png BLOB NOT NULL CHECK (typeof(png) = 'blob')
);
"""
_BOOKS = """
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


def write_schema(connection: sqlite3.Connection, embedder_id: str, embedding_length: int) -> None:
    """All tables, empty. Inside a transaction of the caller."""
    for table in (_GALLERY.format(gallery="gallery"), _people("identities", "embeddings"), _INDEX, _FACES, _BOOKS):
        _execute_all(connection, table)
    values = (embedder_id, embedding_length)
    connection.execute("INSERT INTO gallery VALUES (1, ?, ?, 0, 1, zeroblob(32), zeroblob(32))", values)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """From `version` to today's. Inside a transaction of the caller, with foreign keys off."""
    if version < 2:
        _to_version_2(connection)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _to_version_2(connection: sqlite3.Connection) -> None:
    """SQLite changes no CHECK: made anew, filled, and given the old name (sqlite.org/lang_altertable.html, section 7)."""
    asked = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'embeddings'").fetchone()
    _execute_all(connection, _GALLERY.format(gallery="new_gallery"))
    _execute_all(connection, _people("new_identities", "new_embeddings"))
    _execute_all(
        connection,
        "INSERT INTO new_gallery SELECT one, embedder_id, embedding_length, revision, 1, zeroblob(32), zeroblob(32)"
        " FROM gallery;"
        "INSERT INTO new_identities SELECT id, name, note, '', enabled, valid_from, valid_until, '', '', '', created_at,"
        " updated_at FROM identities;"
        "INSERT INTO new_embeddings SELECT id, identity_id, vector, checksum, quality, source, added_at FROM embeddings;",
    )
    for table in ("gallery", "identities", "embeddings"):
        connection.execute(f"DROP TABLE {table}")
        connection.execute(f"ALTER TABLE new_{table} RENAME TO {table}")
    _execute_all(connection, _INDEX + _BOOKS)
    if asked is not None:
        # No id is used again, not even one of before.
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'embeddings'")
        connection.execute("INSERT INTO sqlite_sequence VALUES ('embeddings', ?)", asked)


def _people(identities: str, embeddings: str) -> str:
    return _PEOPLE.format(identities=identities, embeddings=embeddings)


def _execute_all(connection: sqlite3.Connection, script: str) -> None:
    """As executescript, which would commit what has been begun."""
    for statement in script.split(";"):
        if statement.strip():
            connection.execute(statement)
