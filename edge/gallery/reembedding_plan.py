"""Who would be embedded again for another embedder, and who cannot be. Reads the gallery and writes nothing."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.align import template_named
from edge.bundle.manifest import Embedder, Manifest
from edge.config.settings import Settings
from edge.gallery.embedders import is_empty, length_of
from edge.gallery.kept_faces import place_in, template_of
from edge.gallery.opening import gallery_of
from edge.gallery.store import Gallery
from edge.paths import gallery_file

Reason = Literal["no_face", "other_template", "damaged"]
REASONS: dict[Reason, str] = {
    "no_face": "no aligned face was kept (enrol.keep_aligned)",
    "other_template": "the kept face is aligned otherwise than this embedder wants it",
    "damaged": "the kept face is damaged",
}


@dataclass(frozen=True, slots=True)
class Somebody:
    """An identity with embeddings of other embedders only, or with too few of this one."""

    id: str
    name: str
    origin: str
    enrolments: int
    """Pictures that the identity was enrolled from."""
    present: int
    """Of these have an embedding of the new embedder already."""
    possible: int
    """Can get one from the kept face."""
    reason: Reason | None = None
    """Why the others cannot; None where all can."""

    @property
    def is_lost(self) -> bool:
        """Would not be matched at all."""
        return not self.present + self.possible


@dataclass(frozen=True, slots=True)
class Plan:
    """What `apply` would do."""

    gallery: Path
    embedder_id: str
    template: str
    """Alignment template of that embedder."""
    is_required: bool
    """The gallery has people and knows nothing of the embedder: a bundle with it is refused until `apply` has run."""
    is_allowed: bool
    """updates.re_embed."""
    identities: int
    """Everybody."""
    people: tuple[Somebody, ...]
    """Who lacks something."""

    @property
    def again(self) -> tuple[Somebody, ...]:
        """Would be embedded again."""
        return tuple(one for one in self.people if one.possible)

    @property
    def unmatched(self) -> tuple[Somebody, ...]:
        """Are not matched as it is."""
        return tuple(one for one in self.people if not one.present)

    @property
    def lost(self) -> tuple[Somebody, ...]:
        """Would not be matched any more."""
        return tuple(one for one in self.people if one.is_lost)

    @property
    def faces(self) -> int:
        """Embeddings that would be made."""
        return sum(one.possible for one in self.people)

    @property
    def is_done(self) -> bool:
        """There is nothing that `apply` would do."""
        return not (self.is_required or self.again)


def plan(settings: Settings, manifest: Manifest) -> Plan:
    """What it takes for the gallery of `settings` to serve the embedder of `manifest`. GalleryError as `gallery_of`."""
    spec, path = manifest.embedder, gallery_file(settings)
    if not path.exists():
        return Plan(
            path, spec.embedder_id, spec.alignment_template, is_required=False, is_allowed=settings.updates.re_embed,
            identities=0, people=(),
        )  # fmt: skip
    with gallery_of(settings) as gallery:
        return gallery.read(lambda connection: planned(gallery, connection, settings, spec))


def planned(
    gallery: Gallery,
    connection: sqlite3.Connection,
    settings: Settings,
    spec: Embedder,
    damaged: frozenset[int] = frozenset(),
) -> Plan:
    """The same inside a transaction; `damaged` are enrolments whose kept face turned out to be of no use."""
    by_identity: dict[str, list[Enrolment]] = defaultdict(list)
    for enrolment in enrolments_of(gallery, connection, spec, damaged):
        by_identity[enrolment.identity_id].append(enrolment)
    records = gallery.identities.read_all(connection)
    people = [
        _somebody(record.id, record.name, record.origin, by_identity[record.id])
        for record in records
        if any(not one.is_present for one in by_identity[record.id])
    ]
    is_known = length_of(connection, spec.embedder_id) is not None
    return Plan(
        gallery.path, spec.embedder_id, spec.alignment_template,
        is_required=not is_known and not is_empty(connection), is_allowed=settings.updates.re_embed,
        identities=len(records), people=tuple(people),
    )  # fmt: skip


def _somebody(identity_id: str, name: str, origin: str, enrolments: list[Enrolment]) -> Somebody:
    present = sum(one.is_present for one in enrolments)
    missing = [one for one in enrolments if not one.is_present]
    reasons = [one.reason for one in missing if one.reason is not None]
    possible = len(missing) - len(reasons)
    return Somebody(identity_id, name, origin, len(enrolments), present, possible, reasons[0] if reasons else None)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One picture that somebody was enrolled from, as an embedder sees it."""

    id: int
    identity_id: str
    is_present: bool
    """It has an embedding of that embedder."""
    reason: Reason | None
    """Why it cannot get one."""
    template: str
    """Of the kept face, as it was told when that was kept."""


_ENROLMENTS = (
    "SELECT n.id, n.identity_id, f.template, e.id IS NOT NULL FROM enrolments n"
    " LEFT JOIN faces f ON f.enrolment_id = n.id"
    " LEFT JOIN embeddings e ON e.enrolment_id = n.id"
    " AND e.embedder = (SELECT number FROM embedders WHERE embedder_id = ?) ORDER BY n.id"
)


def enrolments_of(
    gallery: Gallery, connection: sqlite3.Connection, spec: Embedder, damaged: frozenset[int] = frozenset()
) -> list[Enrolment]:
    """All of them, oldest first."""
    found = []
    for enrolment_id, identity_id, template, is_present in connection.execute(
        _ENROLMENTS, (spec.embedder_id,)
    ).fetchall():
        reason: Reason | None = None
        if not is_present:
            reason = "no_face" if template is None else _reason(gallery, connection, spec, identity_id, enrolment_id)
            reason = "damaged" if enrolment_id in damaged else reason
        found.append(Enrolment(enrolment_id, identity_id, bool(is_present), reason, template or ""))
    return found


def _reason(
    gallery: Gallery, connection: sqlite3.Connection, spec: Embedder, identity_id: str, enrolment_id: int
) -> Reason | None:
    """Why a kept face does not serve; None where it does."""
    try:
        png, told = gallery.embeddings.kept_face(connection, identity_id, enrolment_id)
    except sqlite3.DatabaseError:
        return "damaged"
    kept = template_of(png, told)
    wanted = template_named(spec.alignment_template)
    return None if kept is not None and place_in(kept, wanted) is not None else "other_template"
