"""A broker in memory, boxes of a group, and a publisher; everything but the network is real."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.config.settings import Mqtt
from edge.gallery.encryption.sealing import Sealer
from edge.gallery.replica import Replica
from edge.gallery.store import Gallery
from edge.publish.client import Listener, Message, Received
from edge.publish.feeds import Wish
from edge.signing import PrivateKey
from edge.sync.attendant import Sync
from edge.sync.content import content_of
from edge.sync.feed import SyncFeed
from edge.sync.keys import PublisherKey, PublisherRing, publisher_key
from edge.sync.link import Link
from edge.sync.names import GroupTopics
from edge.sync.publishing import Job, Publishing, Report
from edge.sync.pulls import Pace
from edge.timebase import Clock
from tests.edge.gallery.support import opened

BASE, GROUP = "ostiary", "staff"
TOPICS = GroupTopics(BASE, GROUP)
KEY = PrivateKey("office", bytes(range(32)))
OTHER = PrivateKey("annexe", bytes(range(1, 33)))
SECRET = bytes(range(40, 72))
PACE = Pace(grace_s=0.2, spread_s=0.2, silence_s=2.0, retry_s=4.0, retry_cap_s=32.0)


def ring(*keys: PublisherKey) -> PublisherRing:
    return PublisherRing(keys or [publisher_key(KEY, [GROUP])])


def fits(topic_filter: str, topic: str) -> bool:
    """As MQTT has it (section 4.7)."""
    pattern = re.escape(topic_filter).replace(r"\+", "[^/]+").replace(r"/\#", "(/.*)?")
    return re.fullmatch(pattern, topic) is not None


class Board:
    """A broker: what lies retained, and who listens."""

    def __init__(self) -> None:
        self.retained: dict[str, bytes] = {}
        self.listeners: list[Callable[[str, bytes], None]] = []
        self.sent = 0
        """Messages handed out."""

    def publish(self, topic: str, payload: bytes) -> None:
        self.retained[topic] = payload
        if not payload:
            del self.retained[topic]
        for listener in list(self.listeners):
            listener(topic, payload)

    def matching(self, topic_filter: str) -> list[tuple[str, bytes]]:
        return [(topic, payload) for topic, payload in self.retained.items() if fits(topic_filter, topic)]

    def identities(self) -> list[str]:
        return [topic for topic in self.retained if "/identity/" in topic]


class FakeConnection:
    """Of a publisher."""

    def __init__(self, board: Board, listener: Listener) -> None:
        self._board = board
        self._listener = listener
        self._subscribed: list[str] = []
        self._due: list[Callable[[], None]] = []
        self._mid = 0

    def open(self) -> None:
        self._board.listeners.append(self._heard)

    def close(self) -> None:
        self._board.listeners.remove(self._heard)

    def _heard(self, topic: str, payload: bytes) -> None:
        if any(fits(one, topic) for one in self._subscribed):
            self._due.append(lambda: self._listener.on_message(Received(topic, payload, retained=False)))

    def subscribe(self, topic: str) -> None:
        self._subscribed.append(topic)
        for found, payload in self._board.matching(topic):
            received = Received(found, payload, retained=True)
            self._due.append(lambda received=received: self._listener.on_message(received))  # type: ignore[misc]

    def unsubscribe(self, topic: str) -> None:
        self._subscribed.remove(topic)

    def publish(self, message: Message) -> int:
        assert message.retain
        assert message.qos == 1
        self._board.publish(message.topic, message.payload)
        self._mid += 1
        mid = self._mid
        self._due.append(lambda: self._listener.on_acknowledged(mid))
        return mid

    def ask(self, topic: str) -> int:
        assert topic
        self._mid += 1
        mid = self._mid
        self._due.append(lambda: self._listener.on_answered(mid))
        return mid

    def step(self, timeout_s: float) -> None:
        assert timeout_s > 0
        due, self._due = self._due, []
        for call in due:
            call()


class Publisher:
    """Somebody with a gallery and a key."""

    def __init__(self, board: Board, path: Path, key: PrivateKey = KEY, keys: PublisherRing | None = None) -> None:
        self.board = board
        self.gallery = opened(path)
        self.key = key
        self.ring = keys or ring(publisher_key(key, [GROUP]))
        self.now = 1_000_000.0

    def link(self, topics: GroupTopics = TOPICS, kind: type[Link] = Link) -> Link:
        def connect(_mqtt: Mqtt, _name: str, *, listener: Listener) -> Any:
            return FakeConnection(self.board, listener)

        return kind(Mqtt(), topics, self.ring, quiet_s=0.0, connect=connect)

    def job(
        self,
        people: Iterable[str] | None = None,
        *,
        secret: bytes | None = None,
        topics: GroupTopics = TOPICS,
        **fields: Any,
    ) -> Job:
        records = [record for record in self.gallery.list_identities() if people is None or record.id in set(people)]
        contents = {record.id: content_of(record, self.gallery.faces(record.id)) for record in records}
        return Job(topics, self.key, Sealer([secret]) if secret else None, contents, **fields)

    def publish(self, people: Iterable[str] | None = None, *, dry_run: bool = False, **fields: Any) -> Report:
        """Everybody of the gallery unless `people` are named."""
        return self.run(self.job(people, **fields), dry_run=dry_run)

    def run(self, job: Job, *, dry_run: bool = False) -> Report:
        replica = Replica(self.gallery, job.topics.group)
        clock = Clock(unix_s=lambda: self.now)
        with self.link(job.topics) as link:
            publishing = Publishing(link, job, remembered=replica.words().head, clock=clock)
            report = publishing.run(lambda items, _: items, dry_run=dry_run)
        if not dry_run:
            replica.apply([], [], head=report.revision)
        return report

    def remove(self, *ids: str) -> Report:
        return self.publish([], removals=ids)


class Box:
    """A box of some groups, on a clock of its own."""

    def __init__(
        self,
        board: Board,
        path: Path,
        *,
        groups: Sequence[str] = (GROUP,),
        keys: PublisherRing | None = None,
        secrets: Mapping[str, bytes] | None = None,
        is_v5: bool = True,
        **limits: int,
    ) -> None:
        self.board = board
        self.path = path
        self.gallery = opened(path)
        self.topics = [GroupTopics(BASE, group) for group in groups]
        sealers = {group: Sealer([secret]) for group, secret in (secrets or {}).items()}
        self.feed = SyncFeed(self.topics, **limits)
        self.now_s = 1.0
        self.require_consent = False
        self.is_v5 = is_v5
        self._subscribed: set[str] = set()
        self._connection = 1
        self.sync = Sync(
            self.feed, {one: sealers.get(one.group) for one in self.topics}, keys or ring(), self._open,
            revision=lambda: self.gallery.revision, pace=PACE, clock=Clock(lambda: int(self.now_s * 1e9)),
            rng=random.Random(1),  # noqa: S311 - nothing secret hangs on it
        )  # fmt: skip
        board.listeners.append(self.hear)

    def _open(self) -> Gallery:
        gallery = opened(self.path)
        gallery.require_consent = self.require_consent
        return gallery

    def hear(self, topic: str, payload: bytes) -> None:
        if any(fits(one, topic) for one in self._subscribed):
            self.board.sent += 1
            self.feed.heard(Received(topic, payload, retained=False))

    def go_offline(self) -> None:
        self.board.listeners.remove(self.hear)
        self._subscribed.clear()

    def come_back(self) -> None:
        self._connection += 1
        self.board.listeners.append(self.hear)

    def _wish(self, wish: Wish) -> None:
        if not wish.is_on:
            self._subscribed.discard(wish.topic)
            return
        self._subscribed.add(wish.topic)
        if wish.wants_retained or not self.is_v5:
            for topic, payload in self.board.matching(wish.topic):
                self.board.sent += 1
                self.feed.heard(Received(topic, payload, retained=True))

    def run(self, seconds: float = 6.0) -> None:
        """So much time of its clock goes by."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            for wish in self.feed.wishes(self._connection, is_v5=self.is_v5):
                self._wish(wish)
            self.sync.tick()
            self.now_s += 0.25
        self.sync.close()

    @property
    def ids(self) -> set[str]:
        return {record.id for record in self.gallery.list_identities() if record.origin}

    def state(self, group: str = GROUP) -> dict[str, Any]:
        found: dict[str, Any] = self.sync.describe()[group]
        return found

    def count(self, reason: str) -> int:
        return self.sync.counters()[f"sync_{reason}"]
