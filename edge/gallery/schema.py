"""Tables of the gallery, and how those of an older version become today's.

Version 2 added consent, groups, zones and schedule of an identity, the audit log and the keys of an encrypted gallery.
Version 3 added embeddings of several embedders side by side, and people who were enrolled elsewhere.

`identities`   who. `origin` is '' for who was enrolled here, else the group whose publisher enrolled the person: then only
               the publisher's word changes the row (edge.gallery.synced).
`enrolments`   a picture that somebody was enrolled from.
`embedders`    the networks whose embeddings are in here. A gallery may be opened for one of these, and for any as long as
               nobody is in it.
`embeddings`   of one enrolment by one embedder.
`faces`        the aligned face of an enrolment, where it is kept; whatever the embedder, it is the same.
`synced`       what the publisher of a group has said of an identity: the highest `revision` ever taken, and `state`:
               `published`; `removed` by the publisher's tombstone; or `refused`, that is erased on this box by hand, which
               holds until it is admitted again here. A row outlives its identity: without it a retained message, or one
               that somebody kept, would bring the person back. edge.gallery.synced reads and writes it.
`gallery`      one row. `embedder_id` and `embedding_length` are of the embedder that it was made for, to which the proofs
               of the keys are bound; which one is in use follows from the bundle.

What is personal (name, note, consent, source, vector, png) is text or float32 as it is, or a sealed blob bound to its
place: see edge.gallery.encryption.columns and edge.gallery.embeddings. Erasing the row of `identities` erases all but
`synced` and `audit`, which keep the id.
"""

from __future__ import annotations

import sqlite3

SCHEMA_VERSION = 3

_GALLERY = """
CREATE TABLE {new}gallery (
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
CREATE TABLE {new}identities (
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
  updated_at REAL NOT NULL CHECK (typeof(updated_at) = 'real'),
  origin TEXT NOT NULL CHECK (typeof(origin) = 'text')
);
CREATE TABLE {new}embeddings (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  enrolment_id INTEGER NOT NULL REFERENCES enrolments (id) ON DELETE CASCADE,
  embedder INTEGER NOT NULL REFERENCES embedders (number),
  checksum INTEGER NOT NULL CHECK (typeof(checksum) = 'integer'),
  vector BLOB NOT NULL CHECK (typeof(vector) = 'blob'),
  UNIQUE (enrolment_id, embedder)
);
CREATE TABLE {new}faces (
  enrolment_id INTEGER PRIMARY KEY REFERENCES enrolments (id) ON DELETE CASCADE,
  template TEXT NOT NULL CHECK (typeof(template) = 'text'),
  png BLOB NOT NULL CHECK (typeof(png) = 'blob')
);
"""
_SINCE_3 = """
CREATE TABLE embedders (
  number INTEGER PRIMARY KEY,
  embedder_id TEXT NOT NULL UNIQUE CHECK (typeof(embedder_id) = 'text'),
  embedding_length INTEGER NOT NULL CHECK (typeof(embedding_length) = 'integer')
);
CREATE TABLE enrolments (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  identity_id TEXT NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
  quality REAL NOT NULL CHECK (typeof(quality) = 'real'),
  source TEXT NOT NULL CHECK (typeof(source) IN ('text', 'blob')),
  added_at REAL NOT NULL CHECK (typeof(added_at) = 'real')
);
CREATE TABLE synced (
  origin TEXT NOT NULL CHECK (typeof(origin) = 'text'),
  identity_id TEXT NOT NULL CHECK (typeof(identity_id) = 'text'),
  revision INTEGER NOT NULL CHECK (typeof(revision) = 'integer'),
  state TEXT NOT NULL CHECK (state IN ('published', 'removed', 'refused')),
  PRIMARY KEY (origin, identity_id)
) WITHOUT ROWID;
"""
_INDEX = "CREATE INDEX enrolments_by_identity ON enrolments (identity_id);"
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
_REMADE = ("gallery", "identities", "embeddings", "faces")
"""SQLite changes no CHECK: made anew, filled, and given the old name (sqlite.org/lang_altertable.html, section 7)."""
_OLD_GALLERY = {
    1: "one, embedder_id, embedding_length, revision, 1, zeroblob(32), zeroblob(32)",
    2: "one, embedder_id, embedding_length, revision, audit_start, audit_before, audit_head",
}
_OLD_IDENTITIES = {
    1: "id, name, note, '', enabled, valid_from, valid_until, '', '', '', created_at, updated_at, ''",
    2: "id, name, note, consent, enabled, valid_from, valid_until, groups, zones, schedule, created_at, updated_at, ''",
}


def write_schema(connection: sqlite3.Connection, embedder_id: str, embedding_length: int) -> None:
    """All tables, empty. Inside a transaction of the caller."""
    _execute_all(connection, _GALLERY.format(new="") + _PEOPLE.format(new="") + _SINCE_3 + _INDEX + _BOOKS)
    values = (embedder_id, embedding_length)
    connection.execute("INSERT INTO gallery VALUES (1, ?, ?, 0, 1, zeroblob(32), zeroblob(32))", values)
    connection.execute("INSERT INTO embedders VALUES (1, ?, ?)", values)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """From `version` to today's. Inside a transaction of the caller, with foreign keys off, and without any key.

    So what is sealed stays as it is: an enrolment gets the number of its embedding, for which its source and its face
    were sealed.
    """
    asked = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'embeddings'").fetchone()
    _execute_all(connection, _GALLERY.format(new="new_") + _PEOPLE.format(new="new_") + _SINCE_3)
    _execute_all(
        connection,
        f"INSERT INTO new_gallery SELECT {_OLD_GALLERY[version]} FROM gallery;"  # noqa: S608 - constants
        f"INSERT INTO new_identities SELECT {_OLD_IDENTITIES[version]} FROM identities;"
        "INSERT INTO embedders SELECT 1, embedder_id, embedding_length FROM gallery;"
        "INSERT INTO enrolments SELECT id, identity_id, quality, source, added_at FROM embeddings;"
        "INSERT INTO new_embeddings SELECT id, id, 1, checksum, vector FROM embeddings;"
        "INSERT INTO new_faces SELECT embedding_id, '', png FROM faces;",
    )
    for table in _REMADE:
        connection.execute(f"DROP TABLE {table}")
        connection.execute(f"ALTER TABLE new_{table} RENAME TO {table}")
    _execute_all(connection, _INDEX + (_BOOKS if version < 2 else ""))
    if asked is not None:
        _continue_numbers(connection, asked[0])
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _continue_numbers(connection: sqlite3.Connection, last: int) -> None:
    """No id is used again, not even one of before."""
    for table in ("embeddings", "enrolments"):
        connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        connection.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, last))


def _execute_all(connection: sqlite3.Connection, script: str) -> None:
    """As executescript, which would commit what has been begun."""
    for statement in script.split(";"):
        if statement.strip():
            connection.execute(statement)
