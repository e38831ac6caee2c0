"""Who was erased from the gallery is taken out of the events that still wait for the broker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from edge.errors import OutboxError
from edge.outbox.record import ERASED
from edge.timebase import now_ns

log = logging.getLogger(__name__)

RETRY_S = 60.0


class Enrolled(Protocol):
    """The gallery as the daemon sees it."""

    @property
    def revision(self) -> int:
        """Grows with every change."""

    @property
    def known(self) -> frozenset[str]:
        """Ids of everybody in it."""


class Waiting(Protocol):
    """The outbox, through the publisher."""

    def waiting_identities(self) -> set[str]:
        """Ids of everybody whom a waiting event names."""

    def forget(self, identity_id: str) -> int:
        """Take one out; OutboxError."""


class Forgetting:
    """An attendant of the loop: at the start, as somebody may have been erased meanwhile, and after every change."""

    def __init__(self, gallery: Enrolled, outbox: Waiting, *, now_ns: Callable[[], int] = now_ns) -> None:
        self._gallery = gallery
        self._outbox = outbox
        self._now_ns = now_ns
        self._known = gallery.known
        self._revision = -1
        self._due_ns = now_ns()

    def seen(self, result: object) -> None:
        """Frames do not matter."""

    def tick(self) -> None:
        """Look whether somebody is missing."""
        revision, known = self._gallery.revision, self._gallery.known
        if revision == self._revision or self._now_ns() < self._due_ns:
            return
        # Also whom no event names any more: the outbox clears what is left of those that have gone.
        gone = (self._known - known) | (self._outbox.waiting_identities() - known - {ERASED.id})
        try:
            for identity_id in sorted(gone):
                count = self._outbox.forget(identity_id)
                log.info("%s was erased, and taken out of %d waiting event(s)", identity_id, count)
        except OutboxError as error:
            log.warning("who was erased is still named in waiting events: %s", error)
            self._due_ns = self._now_ns() + int(RETRY_S * 1e9)
        else:
            self._revision, self._known = revision, known
