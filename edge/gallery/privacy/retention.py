"""Nobody is kept longer than was said: identities whose validity has long ended, and old rows of the audit log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge.config.settings import Privacy
from edge.errors import GalleryError
from edge.gallery.records import Actor, IdentityRecord
from edge.gallery.store import Gallery
from edge.timebase import Clock

log = logging.getLogger(__name__)

DAY_S = 86_400.0
RETRY_S = 3600.0
"""After a failure, such as a locked file, and while the clock cannot be believed."""
DAEMON = Actor("daemon", "retention")


@dataclass(frozen=True, slots=True)
class Retained:
    """What a round took away, or would take away."""

    expired: tuple[str, ...]
    """Ids of identities that were erased."""
    embeddings: int
    audit_rows: int
    is_scrubbed: bool = True


def retain(gallery: Gallery, privacy: Privacy, now: float, *, dry_run: bool = False) -> Retained:
    """Erase who has been expired for longer than the settings allow at `now` (Unix seconds, of a clock that is right)."""
    if dry_run:
        expired = [one for one in gallery.list_identities() if is_overdue(one, privacy, now)]
        rows = sum(row.at < now - privacy.audit_d * DAY_S for row in gallery.audit())
        return Retained(tuple(record.id for record in expired), sum(one.stored for one in expired), rows)
    expired = [] if privacy.erase_expired_after_d is None else _erase_expired(gallery, privacy, now)
    with gallery.transaction() as connection:
        rows = gallery.log.prune(connection, now - privacy.audit_d * DAY_S, actor=gallery.actor)
    # Also what could not be finished when somebody was removed.
    is_scrubbed = gallery.scrub(is_whole=bool(expired))
    return Retained(tuple(one.id for one in expired), sum(one.stored for one in expired), rows, is_scrubbed)


def _erase_expired(gallery: Gallery, privacy: Privacy, now: float) -> list[IdentityRecord]:
    with gallery.change() as connection:
        # Read inside: somebody may just have been given more time.
        expired = [one for one in gallery.identities.read_all(connection) if is_overdue(one, privacy, now)]
        for record in expired:
            connection.execute("DELETE FROM identities WHERE id = ?", (record.id,))
            gallery.note(connection, "erased_by_retention", record.id, record.stored)
    return expired


def is_overdue(record: IdentityRecord, privacy: Privacy, now: float) -> bool:
    """Whether its validity ended longer ago than privacy.erase_expired_after_d."""
    days = privacy.erase_expired_after_d
    return days is not None and record.valid_until is not None and record.valid_until + days * DAY_S <= now


class Retention:
    """An attendant of the loop: a round at the start and once a day, as long as the clock can be believed."""

    def __init__(self, open_it: Callable[[], Gallery], privacy: Privacy, clock: Clock | None = None) -> None:
        """`open_it` opens the gallery for each round."""
        self._open = open_it
        self._privacy = privacy
        self._clock = clock or Clock()
        self._due_ns = self._clock.monotonic_ns()

    def seen(self, result: object) -> None:
        """Frames do not matter."""

    def tick(self) -> None:
        """Do a round when one is due."""
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + int((DAY_S if self._round() else RETRY_S) * 1e9)

    def _round(self) -> bool:
        """False when it has to be tried again soon."""
        # A clock that is ahead would erase people before their time.
        if not self._clock.is_synced():
            return False
        try:
            with self._open() as gallery, gallery.acting(DAEMON):
                done = retain(gallery, self._privacy, self._clock.unix_s())
        except GalleryError as error:
            log.warning("who has expired was not erased: %s", error)
            return False
        if done.expired or done.audit_rows:
            log.info(
                "retention: identities erased: %d (%s), rows of the audit log: %d",
                len(done.expired), ", ".join(done.expired[:20]), done.audit_rows,
            )  # fmt: skip
        return done.is_scrubbed
