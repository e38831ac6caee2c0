"""What a source counts, in the same words whatever it is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

NAMES = ("frames", "dropped", "reopened", "stalled", "failed", "frozen", "unreadable")
"""frames: given to the reader. dropped: taken by the source, but a newer one replaced it or it got too old.
reopened: tries to open it after the first. stalled: times it fell silent. failed: times it broke or could not be opened.
frozen: times it was opened anew because its picture had not changed. unreadable: pictures of a folder that were skipped. Frames left out for `rate_fps` are not counted."""


class Counters:
    """Numbers that only grow. The owner's lock guards them."""

    def __init__(self) -> None:
        self._values = dict.fromkeys(NAMES, 0)

    def add(self, name: str) -> None:
        """One more."""
        self._values[name] += 1

    def __getitem__(self, name: str) -> int:
        return self._values[name]

    def snapshot(self) -> Mapping[str, int]:
        """A copy that nobody can change."""
        return MappingProxyType(dict(self._values))
