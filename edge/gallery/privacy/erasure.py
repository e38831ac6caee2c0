"""Erasing somebody so that it can be shown: removed, the file rewritten, and then looked for byte by byte."""

from __future__ import annotations

import base64
import json
import logging
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.gallery.embeddings import encode_vector
from edge.gallery.records import Erased
from edge.gallery.store import Gallery
from edge.timebase import rfc3339, wall_clock

log = logging.getLogger(__name__)

PIECE_BYTES = 32
PIECES = 200
"""Of vectors and faces at most so many pieces are looked for."""
SHORTEST_TEXT = 6
"""Shorter names are in any file by chance; they are looked for behind the id, where the database has them."""
SCAN_S = 120.0
NOT_COVERED = (
    "exports and copies of the gallery in other places",
    "what the broker and its subscribers have kept of events",
    "events in the outbox, until the daemon has noticed (within seconds; at its next start where it does not run)",
    "the system's log, which names whom the daemon recognized",
    "what is left in freed blocks of the disk or flash below the file system",
    "the audit log, and what this box remembers of a group that published the person: they keep the id and never a name",
)
_COLUMNS = (
    ("identities", "name"), ("identities", "note"), ("identities", "consent"),
    ("enrolments", "source"), ("embeddings", "vector"), ("faces", "png"),
    # What is in there whoever is enrolled: a note may be one of these words. The last is in its table's index as well.
    ("identities", "groups"), ("identities", "zones"), ("identities", "schedule"), ("identities", "origin"),
    ("audit", "action"), ("audit", "actor_kind"), ("audit", "actor_name"), ("audit", "request_id"),
    ("synced", "origin"), ("synced", "state"), ("faces", "template"), ("gallery", "embedder_id"),
    ("sqlite_master", "name"), ("sqlite_master", "tbl_name"), ("sqlite_master", "sql"), ("sqlite_master", "type"),
    ("sqlite_sequence", "name"), ("embedders", "embedder_id"), ("embedders", "embedder_id"),
)  # fmt: skip


_STORED_VECTORS = (
    "SELECT e.vector FROM embeddings e JOIN enrolments n ON n.id = e.enrolment_id WHERE n.identity_id = ? ORDER BY e.id"
)
_STORED_FACES = (
    "SELECT f.png FROM faces f JOIN enrolments n ON n.id = f.enrolment_id WHERE n.identity_id = ? ORDER BY n.id"
)


@dataclass(frozen=True, slots=True)
class Trace:
    """Bytes that must be nowhere any more."""

    what: str
    """`id`, `name`, `note`, `consent`, `source`, `vector` or `face`."""
    needle: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """A trace that is still somewhere."""

    file: str
    what: str
    count: int
    """Of pieces, where it was looked for by pieces."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was erased, what was looked for afterwards, and what that does not cover."""

    erased: Erased
    erased_at: float
    gallery: Path
    checked: tuple[str, ...]
    """Files that were read through."""
    searched: int
    """How many byte strings were looked for in each."""
    found: tuple[Finding, ...]
    problem: str = ""
    """Why nothing could be looked for."""

    @property
    def is_verified(self) -> bool:
        """Nothing of the person is in any file that was checked."""
        return self.erased.is_scrubbed and not self.found and not self.problem and bool(self.checked)

    def as_json(self) -> dict[str, Any]:
        """For programs, and for the person who asked."""
        who = self.erased
        return {
            "id": who.identity.id, "name": who.identity.name, "embeddings": who.embeddings, "faces": who.faces,
            "scrubbed": who.is_scrubbed, "verified": self.is_verified, "erased_at": rfc3339(self.erased_at),
            "gallery": str(self.gallery), "checked": list(self.checked), "searched": self.searched,
            "found": [{"file": one.file, "what": one.what, "count": one.count} for one in self.found],
            "problem": self.problem, "not_covered": list(NOT_COVERED),
        }  # fmt: skip


def erase(gallery: Gallery, who: str) -> Receipt:
    """Remove somebody and look for what is left. UsageError when nobody or several people are meant.

    Runs another process to look; what it finds is told and never repaired.
    """
    record = gallery.get(who)
    traces = gallery.read(lambda connection: traces_of(gallery, connection, record.id))
    erased = gallery.remove(record.id)
    look = look_for(gallery, traces)
    return Receipt(erased, wall_clock(), gallery.path, look.checked, look.searched, look.found, look.problem)


@dataclass(frozen=True, slots=True)
class Look:
    """What was found of people who were erased; fields as in Receipt."""

    checked: tuple[str, ...]
    searched: int
    found: tuple[Finding, ...]
    problem: str = ""


def look_for(gallery: Gallery, traces: Sequence[Trace]) -> Look:
    """Whether anything of them is still in a file of the gallery."""
    files = [str(path) for path in files_of(gallery.path)]
    try:
        counts = _scan(files, [trace.needle for trace in traces])
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        log.warning("%s: what is left of the erased could not be looked for: %s", gallery.path, error)
        return Look((), 0, (), problem=str(error))
    found = gallery.read(lambda connection: _found(gallery, connection, traces, counts))
    return Look(tuple(counts), len(traces), tuple(found))


def traces_of(gallery: Gallery, connection: sqlite3.Connection, identity_id: str) -> list[Trace]:
    """What has to be looked for when that identity is gone; before it is. Inside a transaction of the caller."""
    return list(_traces(gallery, connection, identity_id))


def files_of(path: Path) -> list[Path]:
    """The database, its logs, and whatever beside it bears its name: half-made files and copies."""
    return sorted(one for one in path.parent.glob(f"*{_literal(path.name)}*") if one.is_file())


def _literal(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _traces(gallery: Gallery, connection: sqlite3.Connection, identity_id: str) -> Iterator[Trace]:
    """Everything of one identity, as it is stored and, of an encrypted gallery, as it would be without encryption."""
    yield Trace("id", identity_id.encode())
    record = gallery.identities.read(connection, identity_id)
    assert record is not None  # noqa: S101 - the caller has just found it
    (stored,) = connection.execute("SELECT name FROM identities WHERE id = ?", (identity_id,)).fetchone()
    yield Trace("name", identity_id.encode() + _bytes(stored))
    for what in ("name", "note", "consent"):
        yield from _text(what, getattr(record, what))
    yield from _embedding_traces(gallery, connection, identity_id)


def _embedding_traces(gallery: Gallery, connection: sqlite3.Connection, identity_id: str) -> Iterator[Trace]:
    blobs = [
        (what, row[0])
        for what, asked in (("vector", _STORED_VECTORS), ("face", _STORED_FACES))
        for row in connection.execute(asked, (identity_id,))
    ]
    sources = set()
    try:
        faces = [face for face, _ in gallery.embeddings.read(connection, identity_id)]
    except sqlite3.DatabaseError:
        # What is damaged is looked for as it is stored.
        faces = []
    for face in faces:
        sources.add(face.source)
        blobs += [("vector", encode_vector(embedding)) for embedding in face.embeddings]
        if face.face_png is not None:
            blobs.append(("face", face.face_png))
    for source in sorted(sources):
        yield from _text("source", source)
    yield from dict.fromkeys(_pieces(blobs))


def _text(what: str, text: str) -> Iterator[Trace]:
    if len(text.encode()) >= SHORTEST_TEXT:
        yield Trace(what, text.encode())


def _pieces(blobs: Sequence[tuple[str, bytes]]) -> Iterator[Trace]:
    """Beginning, middle and end of each: long ones lie in several pages, and the beginning of all PNG is alike."""
    each = max(1, PIECES // max(1, len(blobs)))
    for what, blob in blobs[:PIECES]:
        count = min(each, max(1, len(blob) // PIECE_BYTES))
        step = max(1, (len(blob) - PIECE_BYTES) // max(1, count))
        for number in range(count):
            end = len(blob) - number * step
            yield Trace(what, blob[max(0, end - PIECE_BYTES) : end])


def _bytes(stored: str | bytes) -> bytes:
    return stored.encode() if isinstance(stored, str) else stored


def _scan(files: list[str], needles: list[bytes]) -> dict[str, list[int]]:
    """How often each needle is in each file that is there."""
    asked = {"files": files, "needles": [base64.b64encode(needle).decode() for needle in needles]}
    # By its path: the package would take longer to import than the files to read.
    program = [sys.executable, "-I", str(Path(__file__).with_name("scan.py"))]
    done = subprocess.run(  # noqa: S603 - our own program
        program, input=json.dumps(asked).encode(), stdout=subprocess.PIPE, check=True, timeout=SCAN_S
    )
    return {name: counts for name, counts in json.loads(done.stdout) if counts is not None}


def _found(
    gallery: Gallery, connection: sqlite3.Connection, traces: Sequence[Trace], counts: dict[str, list[int]]
) -> list[Finding]:
    """What is there more often than those still enrolled and the audit log account for."""
    total: Counter[tuple[str, str]] = Counter()
    for name, row in counts.items():
        for trace, count in zip(traces, row, strict=True):
            if count:
                due = _due(connection, trace) if name == str(gallery.path) else 0
                total[name, trace.what] += max(0, count - due)
    return [Finding(name, what, count) for (name, what), count in total.items() if count]


def _due(connection: sqlite3.Connection, trace: Trace) -> int:
    """How often the database itself has these bytes: others may have the same name, and the audit log keeps ids."""
    if trace.what == "id":
        # A synced row has its id once in the table, which is its own index.
        asked = "SELECT sum(number) FROM (SELECT count(*) AS number FROM audit WHERE identity_id = :id"
        asked += " UNION ALL SELECT count(*) FROM synced WHERE identity_id = :id)"
        return int(connection.execute(asked, {"id": trace.needle.decode()}).fetchone()[0])
    total = 0
    for table, column in _COLUMNS:
        asked = f"SELECT {column} FROM {table} WHERE instr(CAST({column} AS BLOB), ?)"  # noqa: S608 - constants
        total += sum(_overlapping(_bytes(row[0]), trace.needle) for row in connection.execute(asked, (trace.needle,)))
    return total


def _overlapping(data: bytes, needle: bytes) -> int:
    return sum(data.startswith(needle, place) for place in range(len(data)))
