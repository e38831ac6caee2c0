"""What carrying out a command may need, and what one that takes several frames looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from edge.commands.journal import Journal
from edge.commands.request import Request
from edge.config.settings import Settings
from edge.gallery import Gallery
from edge.gallery.records import Actor
from edge.pipeline import FrameResult
from edge.publish import Publisher
from edge.reader import Models
from edge.timebase import Clock

Result = Mapping[str, Any]
"""`result` of a reply."""


class Job(Protocol):
    """A command that takes its time. Both methods give the result once it is there, and raise when there is none."""

    def seen(self, result: FrameResult) -> Result | None:
        """A frame went through all stages."""

    def tick(self) -> Result | None:
        """Called often, with frames and without."""


@dataclass(frozen=True, slots=True)
class Work:
    """The daemon, as far as commands reach. Used by the main loop's thread alone."""

    settings: Settings
    publisher: Publisher
    models: Models
    journal: Journal
    gallery: Callable[[], Gallery]
    """Opens it; the caller closes it."""
    restart: Callable[[], None]
    """Ask the daemon to end and to begin again."""
    refresh: Callable[[], object] = lambda: None
    """Look at the gallery anew, at once."""
    clock: Clock = Clock()

    @contextmanager
    def changing(self, request: Request) -> Iterator[Gallery]:
        """The gallery, with whoever has signed in its audit log; the door knows of every change when this is left.

        Nobody may be told "removed" of a person for whom the door still opens.
        """
        try:
            with self.gallery() as gallery, gallery.acting(Actor("mqtt", request.signer, request.request_id)):
                yield gallery
        finally:
            self.refresh()
