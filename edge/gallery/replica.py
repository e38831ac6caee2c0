"""People of a group, whom its publisher enrols, changes and removes: the gallery's side of edge.sync.

Who was enrolled here is never touched, nor who belongs to another group; who was erased here by hand stays away
(edge.gallery.synced). Everything of one call is one transaction, with a line in the audit log for each identity.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from edge.datatypes import Embedding
from edge.gallery.embedders import length_of
from edge.gallery.privacy.erasure import Trace, traces_of
from edge.gallery.records import Actor, EnrolledFace, IdentityRecord
from edge.gallery.store import Gallery
from edge.gallery.synced import Synced
from edge.timebase import wall_clock

log = logging.getLogger(__name__)

ACTOR_KIND = "sync"
HEAD = ""
"""Under this id the revision of the newest head of a group is kept, which is nobody's."""
MAX_TRACES = 400
"""So many byte strings are looked for after an erasure, however many people it was of."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """An identity as its publisher has it; times are Unix seconds."""

    name: str
    faces: tuple[EnrolledFace, ...]
    note: str = ""
    has_consent: bool = False
    enabled: bool = True
    groups: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    schedule: str = ""
    valid_from: float | None = None
    valid_until: float | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """What becomes of one identity. Without `enrolled` it cannot be read: who is here already is matched no more."""

    identity_id: str
    revision: int
    signer: str
    enrolled: Enrolled | None


@dataclass(frozen=True, slots=True)
class Removal:
    """Somebody to be erased; without a revision because the head of the group does not vouch for the identity."""

    identity_id: str
    revision: int | None
    signer: str


@dataclass(frozen=True, slots=True)
class Words:
    """What a gallery remembers of a group."""

    head: int
    """Revision of the newest head that was obeyed; 0 for none."""
    known: dict[str, int]
    """Id -> revision of everybody who was taken, whether the identity is here still or not."""
    gone: dict[str, int]
    """Removed by the publisher."""


@dataclass(slots=True)
class Applied:
    """What a call did."""

    synced: int = 0
    erased: int = 0
    not_taken: dict[str, str] = field(default_factory=dict)
    """Id -> `conflict`, `refused_here`, `no_consent` or `malformed`."""
    traces: list[Trace] = field(default_factory=list)
    """Of who was erased: what must be found in no file any more (edge.gallery.privacy.erasure)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """People of a group in the gallery."""

    identities: int
    waiting: int
    """Of these without any embedding of the embedder in use."""


class Replica:
    """The people of one group in an open gallery."""

    def __init__(self, gallery: Gallery, group: str) -> None:
        self._gallery = gallery
        self._group = group

    def words(self) -> Words:
        """What was heard of the group before."""
        found = self._gallery.read(lambda connection: self._gallery.synced.read_all(connection, self._group))
        return Words(
            next((one.revision for one in found if one.identity_id == HEAD), 0),
            {one.identity_id: one.revision for one in found if one.state == "published" and one.identity_id != HEAD},
            {one.identity_id: one.revision for one in found if one.state == "removed"},
        )

    def standing(self) -> Standing:
        """How many they are."""

        def ask(connection: sqlite3.Connection) -> Standing:
            ids = _ids(connection, self._group)
            return Standing(len(ids), len(ids & self._gallery.embeddings.lacking(connection)))

        return self._gallery.read(ask)

    def apply(self, puts: Sequence[Put], removals: Sequence[Removal], *, head: int | None = None) -> Applied:
        """All of it or none; `head` is the revision that the group has then. GalleryError."""
        applied = Applied()
        with self._gallery.change() as connection:
            for removal in removals:
                self._remove(connection, removal, applied)
            for put in puts:
                self._put(connection, put, applied)
        if head is not None:
            # No change of the gallery: nobody has to load it again.
            with self._gallery.transaction() as connection:
                self._gallery.synced.put(connection, Synced(self._group, HEAD, head, "published"))
        return applied

    def _put(self, connection: sqlite3.Connection, put: Put, applied: Applied) -> None:
        gallery = self._gallery
        present = gallery.identities.read(connection, put.identity_id)
        word = gallery.synced.read(connection, self._group, put.identity_id)
        if word is not None and not word.takes(put.revision) and word.state != "refused":
            return
        problem = self._problem(connection, put, present, word)
        if problem:
            applied.not_taken[put.identity_id] = problem
            if present is not None and present.origin == self._group and present.enabled:
                gallery.identities.touch(connection, present.id, enabled=0)
                self._note(connection, put.signer, put.revision, present.id, 0)
            return
        assert put.enrolled is not None  # noqa: S101 - without it there is a problem
        if present is not None:
            connection.execute("DELETE FROM identities WHERE id = ?", (present.id,))
        gallery.identities.insert(connection, self._record(put.identity_id, put.enrolled, present))
        gallery.embeddings.insert(connection, put.identity_id, put.enrolled.faces, wall_clock())
        gallery.synced.put(connection, Synced(self._group, put.identity_id, put.revision, "published"))
        count = sum(len(face.embeddings) for face in put.enrolled.faces)
        self._note(connection, put.signer, put.revision, put.identity_id, count)
        applied.synced += 1

    def _problem(
        self, connection: sqlite3.Connection, put: Put, present: IdentityRecord | None, word: Synced | None
    ) -> str:
        """Why it is not taken; empty where it is."""
        if present is not None and present.origin != self._group:
            return "conflict"
        if word is not None and word.state == "refused":
            self._gallery.synced.put(connection, Synced(self._group, put.identity_id, put.revision, "refused"))
            return "refused_here"
        if put.enrolled is None:
            return "unreadable"
        if self._gallery.require_consent and not put.enrolled.has_consent:
            return "no_consent"
        embeddings = [one for face in put.enrolled.faces for one in face.embeddings]
        return "" if all(_is_of_length(connection, one) for one in embeddings) else "malformed"

    def _record(self, identity_id: str, enrolled: Enrolled, present: IdentityRecord | None) -> IdentityRecord:
        now = wall_clock()
        return IdentityRecord(
            identity_id, enrolled.name, enrolled.note, enrolled.enabled, enrolled.valid_from, enrolled.valid_until,
            now if present is None else present.created_at, now,
            consent=f"noted by the publisher of {self._group}" if enrolled.has_consent else "",
            groups=enrolled.groups, zones=enrolled.zones, schedule=enrolled.schedule, origin=self._group,
        )  # fmt: skip

    def _remove(self, connection: sqlite3.Connection, removal: Removal, applied: Applied) -> None:
        gallery, identity_id = self._gallery, removal.identity_id
        present = gallery.identities.read(connection, identity_id)
        if present is not None and present.origin == self._group:
            applied.traces += traces_of(gallery, connection, identity_id)
            connection.execute("DELETE FROM identities WHERE id = ?", (identity_id,))
            self._note(connection, removal.signer, removal.revision, identity_id, present.stored, is_removal=True)
            applied.erased += 1
        if removal.revision is not None:
            gallery.synced.put(connection, Synced(self._group, identity_id, removal.revision, "removed"))
        else:
            connection.execute(
                "DELETE FROM synced WHERE origin = ? AND identity_id = ? AND state = 'published'",
                (self._group, identity_id),
            )

    def _note(
        self, connection: sqlite3.Connection, signer: str, revision: int | None, identity_id: str, embeddings: int,
        *, is_removal: bool = False,
    ) -> None:  # fmt: skip
        actor = Actor(ACTOR_KIND, signer, self._group if revision is None else f"{self._group}:{revision}")
        with self._gallery.acting(actor):
            self._gallery.note(connection, "unsynced" if is_removal else "synced", identity_id, embeddings)


def leave(gallery: Gallery, groups: Iterable[str]) -> Applied:
    """Erase everybody of groups that are not among these; what was erased here by hand stays refused."""
    applied = Applied()
    kept = set(groups)
    # Nothing is written where nothing is to be done: a box must also start on a full disk.
    if gallery.read(_groups) <= kept:
        return applied
    with gallery.change() as connection:
        for group in sorted(_groups(connection) - kept):
            replica = Replica(gallery, group)
            for identity_id in sorted(_ids(connection, group)):
                replica._remove(connection, Removal(identity_id, None, "left"), applied)  # noqa: SLF001 - our own class
            # Whoever comes back to the group has to hear of everybody again, but obeys no older head.
            connection.execute(
                "DELETE FROM synced WHERE origin = ? AND state = 'published' AND identity_id <> ?", (group, HEAD)
            )
            log.warning("this box has left group %s: its people are erased", group)
    return applied


def _groups(connection: sqlite3.Connection) -> set[str]:
    """Of whom anybody is here, or was taken."""
    asked = "SELECT origin FROM identities WHERE origin <> '' UNION SELECT origin FROM synced"
    asked += " WHERE state = 'published' AND identity_id <> ''"
    return {row[0] for row in connection.execute(asked)}


def sampled(traces: Sequence[Trace]) -> list[Trace]:
    """At most MAX_TRACES of them, of everybody alike."""
    step = max(1, -(-len(traces) // MAX_TRACES))
    return list(traces[::step])


def _ids(connection: sqlite3.Connection, group: str) -> frozenset[str]:
    return frozenset(row[0] for row in connection.execute("SELECT id FROM identities WHERE origin = ?", (group,)))


def _is_of_length(connection: sqlite3.Connection, embedding: Embedding) -> bool:
    known = length_of(connection, embedding.embedder_id)
    return known is None or known == len(embedding.vector)
