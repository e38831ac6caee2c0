"""The gallery as a daemon sees it: always ready for search, and aware of what other processes change."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge.datatypes import Access, Floats, Match
from edge.errors import GalleryError
from edge.gallery.search import Index
from edge.gallery.store import Gallery
from edge.timebase import now_ns

log = logging.getLogger(__name__)

INTERVAL_S = 0.5
FULL_DISK_S = 30.0
"""Between two looks where each has to open the file anew."""


class LiveIndex:
    """The newest Index of a gallery. Searching never waits; `refresh`, called often from any one thread, looks for changes.

    While the gallery cannot be read the last index serves on, and `problem` says why. When its file is gone nobody is
    matched. A file put in the place of the old one is opened.
    """

    def __init__(
        self,
        open_it: Callable[[], Gallery],
        *,
        interval_s: float = INTERVAL_S,
        now_ns: Callable[[], int] = now_ns,
    ) -> None:
        """`open_it` opens the gallery; GalleryError when that fails now, at the start."""
        self._open = open_it
        self._interval_ns = int(interval_s * 1e9)
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._gallery = open_it()
        self._file = _file_of(self._gallery.path)
        self._next_ns = now_ns() + self._interval_ns
        self._is_closed = False
        self._lacking = 0
        self._load()
        self.problem = ""

    @property
    def index(self) -> Index:
        """The snapshot in use; keep it to ask several questions of one revision."""
        return self._index

    @property
    def revision(self) -> int:
        """Of the snapshot in use."""
        return self._index.revision

    @property
    def known(self) -> frozenset[str]:
        """Ids of everybody in the gallery when it was last read, disabled or not: who is missing was erased."""
        return self._known

    def search(self, probe: Floats) -> Match:
        """As Index.search."""
        return self._index.search(probe)

    def access(self, identity_id: str) -> Access | None:
        """As Index.access."""
        return self._index.access(identity_id)

    def refresh(self, *, at_once: bool = False) -> bool:
        """Look for a change, at most once in `interval_s` unless `at_once`; True when another index is in use now.

        Takes microseconds when nothing changed, else as long as reading everything: 0.4 s for 100,000 embeddings, 0.8 s
        where they are encrypted.
        """
        with self._lock:
            now = self._now_ns()
            if now < self._next_ns and not at_once:
                return False
            self._next_ns = now + self._interval_ns
            try:
                changed = self._reload()
            except GalleryError as error:
                return self._fail(error)
            self.problem = ""
            return changed

    def close(self) -> None:
        """Release the file; the index serves on."""
        with self._lock:
            self._gallery.close()

    def _reload(self) -> bool:
        file = _file_of(self._gallery.path)
        if file != self._file or self._is_closed:
            fresh = self._open()
            self._gallery.close()
            self._gallery, self._is_closed = fresh, False
        if file == self._file and self._gallery.revision == self._index.revision:
            self._let_others_in()
            return False
        self._file = file
        self._load()
        log.info("gallery revision %d: %d embeddings", self._index.revision, len(self._index))
        return True

    def _load(self) -> None:
        self._index = self._gallery.load_index()
        self._known = self._gallery.ids()
        self._warn_of_lacking()
        self._let_others_in()

    def _warn_of_lacking(self) -> None:
        lacking = self._index.lacking
        if lacking and lacking != self._lacking:
            log.warning(
                "%s: %d of those enrolled have no embedding of %s and are not recognized: `ostiary gallery list` names them",
                self._gallery.path, lacking, self._gallery.embedder_id,
            )  # fmt: skip
        self._lacking = lacking

    def _let_others_in(self) -> None:
        """On a full disk an open gallery is ours alone, and somebody may want to make room by removing people."""
        if self._gallery.is_held_alone:
            self._gallery.close()
            self._is_closed = True
            self._next_ns = self._now_ns() + int(FULL_DISK_S * 1e9)

    def _fail(self, error: GalleryError) -> bool:
        if str(error) != self.problem:
            self.problem = str(error)
            log.error("the gallery cannot be read: %s", error)
        if _file_of(self._gallery.path) is not None or not len(self._index):
            return False
        length = self._gallery.embedding_length
        self._index = Index([], np.empty(0, np.int64), np.empty((0, length), np.float32))
        return True


def _file_of(path: Path) -> tuple[int, int] | None:
    """What tells one file from another of the same name; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
