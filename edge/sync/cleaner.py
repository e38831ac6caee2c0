"""After an erasure: the gallery's file is rewritten, and then looked through for what is left, while the door goes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from edge.errors import GalleryError
from edge.gallery.privacy.erasure import Trace, look_for
from edge.gallery.replica import sampled
from edge.gallery.store import Gallery
from edge.timebase import now_ns

RETRY_S = 60.0
TRIES = 30
CLOSE_S = 5.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Work:
    groups: set[str] = field(default_factory=set)
    people: int = 0
    traces: list[Trace] = field(default_factory=list)
    tries: int = 0


class Cleaner:
    """One at a time, in a thread of its own and on a connection of its own. `clean` and `tick` are for one thread."""

    def __init__(self, open_it: Callable[[], Gallery], *, now_ns: Callable[[], int] = now_ns) -> None:
        self._open = open_it
        self._now_ns = now_ns
        self._due = _Work()
        self._not_before_ns = 0
        self._thread: threading.Thread | None = None
        self.verified = self.unverified = 0
        """People who were erased: of whom nothing was found, and of whom something was or nobody could look."""

    @property
    def is_busy(self) -> bool:
        """Whether the file is being rewritten or looked through now."""
        return self._thread is not None and self._thread.is_alive()

    def clean(self, group: str, people: int, traces: list[Trace]) -> None:
        """So many were erased; these byte strings must be nowhere any more."""
        self._due.groups.add(group)
        self._due.people += people
        self._due.traces += traces

    def tick(self) -> None:
        """Begin what is due."""
        if self.is_busy or not self._due.people or self._now_ns() < self._not_before_ns:
            return
        work, self._due = self._due, _Work()
        self._thread = threading.Thread(target=self._run, args=(work,), name="erasure", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for what has begun; what had not is done by the next round of retention."""
        if self._thread is not None:
            self._thread.join(CLOSE_S)

    def _run(self, work: _Work) -> None:
        try:
            with self._open() as gallery:
                is_done = clean_now(gallery, ", ".join(sorted(work.groups)), work.people, work.traces)
        except GalleryError as error:
            log.warning("what is left of %d erased could not be looked for: %s", work.people, error)
            is_done = False
        work.tries += 1
        if is_done or work.tries >= TRIES:
            self.verified += work.people if is_done else 0
            self.unverified += 0 if is_done else work.people
            return
        # A reader of another process may hold old pages for a while. Only read once this thread has ended.
        self._not_before_ns = self._now_ns() + int(RETRY_S * 1e9)
        work.people += self._due.people
        work.traces += self._due.traces
        work.groups |= self._due.groups
        self._due = work


def clean_now(gallery: Gallery, groups: str, people: int, traces: list[Trace]) -> bool:
    """Rewrite the file and look; whether nothing is left."""
    is_scrubbed = gallery.scrub()
    look = look_for(gallery, sampled(traces))
    if is_scrubbed and not look.found and not look.problem:
        log.info(
            "group %s: %d erased; nothing of them is left in %s (%d byte strings looked for)",
            groups, people, ", ".join(look.checked), look.searched,
        )  # fmt: skip
        return True
    found = ", ".join(f"{one.what} in {one.file}" for one in look.found)
    log.warning(
        "group %s: %d erased, but %s", groups, people,
        f"found {found}" if found else look.problem or "another program keeps old pages of the file",
    )  # fmt: skip
    return False
