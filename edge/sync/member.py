"""One group of this box, as the attendant keeps it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from edge.gallery.encryption.sealing import Sealer
from edge.sync.group import Group
from edge.sync.names import GroupTopics
from edge.sync.pulls import Pulls


class Member:
    """One group, and what goes with it."""

    def __init__(self, topics: GroupTopics, pulls: Callable[[Group], Pulls], sealer: Sealer | None) -> None:
        self.topics = topics
        self.group = Group(topics.group)
        self.pulls = pulls(self.group)
        self.sealer = sealer
        self.refused = 0
        self.has_news = False
        self.not_taken: dict[str, str] = {}
        self.identities = self.waiting = 0
        self.complete = 0
        """Revision of the newest head with which this box agreed."""

    def describe(self) -> dict[str, Any]:
        """For /health."""
        group, head = self.group, self.group.head
        missing = None
        if head is not None:
            missing = group.missing
        return {
            "revision": self.complete,
            "head": group.floor if head is None else head.revision,
            "issued_at": None if head is None else head.issued_at,
            "identities": self.identities,
            "waiting": self.waiting,
            "missing": missing,
            "not_taken": dict(Counter(self.not_taken.values())),
            "refused": self.refused,
        }
