"""A gallery for another embedder: everybody is embedded again from the aligned faces that were kept.

    plan(settings, manifest) -> Plan                       who would be, who cannot; writes nothing
    apply(settings, models, *, leave_out=False) -> Done    does it; cheap when there is nothing to do
    prune(settings, keep) -> Pruned                        takes embedders away that no bundle needs (edge.gallery.pruning)

The new embeddings are written beside the old ones in one transaction, before the link `active` is turned: which of them
are used follows from the bundle that runs, so that turning the link, and turning it back, is all that switches the
gallery. A run that was killed has changed nothing; done again, only what is missing is made. Thresholds are the
bundle's own: its operating points were measured with its embedder.

Whoever was enrolled after the switch has embeddings of the new embedder alone, and is not matched after a rollback until
`apply` is run again with the old bundle, which needs the kept face, too: `Index.lacking` counts them, `ostiary gallery list`
names them, and the daemon warns.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.align import template_named
from edge.config.settings import Settings
from edge.datatypes import AlignedFace, Embedding
from edge.errors import GalleryError, PictureError
from edge.gallery.embedders import check_length, ensure_embedder
from edge.gallery.kept_faces import face_from, template_of
from edge.gallery.opening import gallery_of
from edge.gallery.records import Actor
from edge.gallery.reembedding_plan import REASONS, Enrolment, Plan, Reason, Somebody, enrolments_of, plan, planned
from edge.gallery.store import Gallery
from edge.paths import gallery_file

if TYPE_CHECKING:
    from edge.reader import Models

__all__ = ["REASONS", "Done", "Plan", "Reason", "Somebody", "apply", "plan"]

log = logging.getLogger(__name__)

CHUNK = 64
"""Faces in memory at a time."""
ROUNDS = 3
"""Somebody may be enrolled while others are embedded; after so many rounds the last few wait for the next run."""
NAMED = 5
"""So many people are named in a message."""


@dataclass(frozen=True, slots=True)
class Done:
    """What `apply` did."""

    embedder_id: str
    embeddings: int
    """Made and written."""
    identities: int
    """Of so many people."""
    left_out: tuple[Somebody, ...]
    """Are not matched with this embedder."""


def apply(settings: Settings, models: Models, *, leave_out: bool = False, actor: Actor | None = None) -> Done:
    """Embed every kept face with the embedder of `models`, and write that in one transaction; `actor` is for the audit log.

    GalleryError (exit code 4), and nothing was written, where updates.re_embed does not allow it, and where somebody would
    not be matched any more, unless `leave_out`.
    """
    spec = models.bundle.manifest.embedder
    if not gallery_file(settings).exists():
        return Done(spec.embedder_id, 0, 0, ())
    with gallery_of(settings) as gallery, gallery.acting(actor or gallery.actor):
        return apply_to(gallery, settings, models, leave_out=leave_out)


def apply_to(gallery: Gallery, settings: Settings, models: Models, *, leave_out: bool = False) -> Done:
    """The same for an open gallery, of whichever embedder."""
    return _Work(settings, gallery, models, leave_out=leave_out).run()


class _Work:
    """One run."""

    def __init__(self, settings: Settings, gallery: Gallery, models: Models, *, leave_out: bool) -> None:
        self._settings = settings
        self._gallery = gallery
        self._embedder = models.embedder
        self._spec = models.bundle.manifest.embedder
        self._leave_out = leave_out
        self._made: dict[int, Embedding] = {}
        """Enrolment -> its new embedding."""
        self._damaged: set[int] = set()

    def run(self) -> Done:
        """See `apply`."""
        first = self._gallery.read(self._plan)
        self._check(first)
        if first.is_done or not first.is_allowed:
            return Done(self._spec.embedder_id, 0, 0, first.unmatched)
        for _ in range(ROUNDS):
            wanted = self._gallery.read(self._wanted)
            if not wanted:
                break
            for begin in range(0, len(wanted), CHUNK):
                self._embed(wanted[begin : begin + CHUNK])
        with self._gallery.change() as connection:
            # Once more, inside: a kept face may have been damaged, and somebody enrolled or removed meanwhile.
            last = self._plan(connection)
            self._check(last)
            people = self._write(connection)
        log.info(
            "%s: %d embeddings of %s for %d people",
            self._gallery.path,
            len(self._made),
            self._spec.embedder_id,
            len(people),
        )
        return Done(self._spec.embedder_id, len(self._made), len(people), last.lost)

    def _plan(self, connection: sqlite3.Connection) -> Plan:
        check_length(connection, self._gallery.path, self._spec.embedder_id, self._spec.embedding_length)
        return planned(self._gallery, connection, self._settings, self._spec, frozenset(self._damaged))

    def _check(self, found: Plan) -> None:
        where = str(self._gallery.path)
        if not found.is_allowed and found.unmatched and (found.is_required or not self._leave_out):
            hint = "Set updates.re_embed: true, or use a bundle of an embedder that the gallery has."
            raise GalleryError(
                f"{len(found.unmatched)} of {found.identities} people have no embedding of {found.embedder_id!r}",
                where=where, expected="leave to embed everybody again", hint=hint,
            )  # fmt: skip
        if found.lost and not self._leave_out:
            names = ", ".join(one.name for one in found.lost[:NAMED]) + (", ..." if len(found.lost) > NAMED else "")
            why = "; ".join(REASONS[reason] for reason in dict.fromkeys(one.reason for one in found.lost) if reason)
            hint = "`ostiary gallery re-embed --bundle FOLDER --dry-run` lists them; --leave-out goes on without them."
            raise GalleryError(
                f"{len(found.lost)} of {found.identities} people would not be recognized any more ({names}): {why}",
                where=where, expected="an aligned face of everybody", hint=hint,
            )  # fmt: skip

    def _wanted(self, connection: sqlite3.Connection) -> list[Enrolment]:
        """What can be embedded and has not been tried yet."""
        found = enrolments_of(self._gallery, connection, self._spec, frozenset(self._damaged))
        return [one for one in found if not one.is_present and one.reason is None and one.id not in self._made]

    def _embed(self, wanted: Sequence[Enrolment]) -> None:
        faces: dict[int, AlignedFace] = {}
        for enrolment in wanted:
            try:
                face = self._gallery.read(lambda connection, one=enrolment: self._face(connection, one))  # type: ignore[misc]
            except PictureError as error:
                log.warning("a kept face of %s is of no use: %s", enrolment.identity_id, error)
                self._damaged.add(enrolment.id)
                continue
            if face is not None:
                faces[enrolment.id] = face
        self._made.update(zip(faces, self._embedder.embed(list(faces.values())), strict=True))

    def _face(self, connection: sqlite3.Connection, one: Enrolment) -> AlignedFace | None:
        """None for who was removed meanwhile."""
        wanted = template_named(self._spec.alignment_template)
        try:
            png, told = self._gallery.embeddings.kept_face(connection, one.identity_id, one.id)
        except LookupError:
            return None
        kept = template_of(png, told)
        return None if kept is None else face_from(png, kept, wanted, f"{self._gallery.path}, enrolment {one.id}")

    def _write(self, connection: sqlite3.Connection) -> set[str]:
        """What was made and is still wanted; ids of whose it is."""
        rows = self._gallery.embeddings
        ensure_embedder(connection, self._spec.embedder_id, self._spec.embedding_length, str(self._gallery.path))
        people, written = set(), {}
        for one in enrolments_of(self._gallery, connection, self._spec):
            if not one.is_present and one.id in self._made:
                written[one.id] = self._made[one.id]
                rows.add(connection, one.identity_id, one.id, self._made[one.id])
                people.add(one.identity_id)
        self._made = written
        self._gallery.note(connection, "re_embedded", embeddings=len(written))
        return people
