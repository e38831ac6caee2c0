"""A publisher's connection: reads back what a broker has of a group, verified, and publishes with every acknowledgement."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from edge.commands.refusal import RefusedError
from edge.config.settings import Mqtt
from edge.errors import BrokerError
from edge.publish.client import Connection, Listener, Message, Received
from edge.publish.reasons import address_of
from edge.sync.digest import Late, counted
from edge.sync.group import Word
from edge.sync.keys import PublisherRing
from edge.sync.message import MAX_BYTES, Head, parse_head, parse_said
from edge.sync.names import SHARDS, GroupTopics, shard_of

QUIET_S = 0.7
"""Retained messages follow a subscription at once; when none comes for so long, there are no more."""
PATIENCE_S = 15.0
WINDOW = 20
"""Messages without an acknowledgement: what mosquitto takes from one client unless it is told otherwise."""
SHARDS_AT_ONCE = 32
MESSAGES_AT_ONCE = 800
"""Of shards that are being read: mosquitto drops what is more than 1000 for one client."""
SHORT_QUIET_S = 0.1
"""When what came is what the head says, and the broker has answered."""


class PublishRefusedError(BrokerError):
    """The broker does not let this user publish; trying again changes nothing."""

    retryable = False


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head, and the payload in which it came."""

    head: Head
    signer: str
    payload: bytes


@dataclass(slots=True)
class _Heard:
    heads: list[SignedHead] = field(default_factory=list)
    words: dict[str, dict[str, Word]] = field(default_factory=dict)
    """By shard: the newest on everybody."""
    topics: set[str] = field(default_factory=set)
    foreign: str = ""
    """Why a head was not believed."""
    last_s: float = 0.0


class Link:
    """One group at one broker; a context. BrokerError when the broker is away or refuses."""

    def __init__(
        self,
        mqtt: Mqtt,
        topics: GroupTopics,
        ring: PublisherRing,
        *,
        quiet_s: float = QUIET_S,
        patience_s: float = PATIENCE_S,
        connect: Callable[..., Connection] = Connection,
    ) -> None:
        self._mqtt = mqtt
        self._quiet_s = quiet_s
        self._patience_s = patience_s
        self._topics = topics
        self._ring = ring
        self._heard = _Heard()
        self._awaited: dict[int, str] = {}
        self._refused: dict[str, str] = {}
        self._answered: set[int] = set()
        self._own: set[bytes] = set()
        listener = Listener(self._on_message, self._on_acknowledged, self._on_refused, self._answered.add)
        self._connection = connect(mqtt, f"ostiary-gallery-{secrets.token_hex(4)}", listener=listener)

    def __enter__(self) -> Self:
        self._connection.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    # Reading.

    @property
    def foreign(self) -> str:
        """Why the head of the group was not believed; empty where there was none such."""
        return self._heard.foreign

    def read_head(self) -> SignedHead | None:
        """The head that the broker has; heads that come later are seen by `newest_head`."""
        self._connection.subscribe(self._topics.head)
        self._until_quiet(lambda: False)
        return self.newest_head

    @property
    def newest_head(self) -> SignedHead | None:
        """Whoever published it."""
        return self._heard.heads[-1] if self._heard.heads else None

    @property
    def newest_other(self) -> SignedHead | None:
        """The newest that was not published on this connection."""
        return next((one for one in reversed(self._heard.heads) if one.payload not in self._own), None)

    @property
    def newest_revision(self) -> int:
        """Of all heads that came."""
        return max((one.head.revision for one in self._heard.heads), default=0)

    def read_shards(
        self, shards: Sequence[str], head: Head | None, track: Callable[..., Iterable[Sequence[str]]]
    ) -> dict[str, Word]:
        """The newest word on everybody of these shards, removals too."""
        if head is None and not self._is_anything_there():
            return {}
        each = 8 if head is None else max(1, -(-head.count // SHARDS))
        step = max(1, min(SHARDS_AT_ONCE, MESSAGES_AT_ONCE // each))
        windows = [shards[start : start + step] for start in range(0, len(shards), step)]
        for window in track(windows, "reading"):
            self._read_window(window, head)
        return {one: word for shard in shards for one, word in self._heard.words.get(shard, {}).items()}

    def _is_anything_there(self) -> bool:
        self._connection.subscribe(self._topics.identities)
        self._until_quiet(lambda: False)
        self._connection.unsubscribe(self._topics.identities)
        return bool(self._heard.topics)

    def _read_window(self, window: Sequence[str], head: Head | None) -> None:
        for shard in window:
            self._connection.subscribe(self._topics.shard(shard))
        self._until_quiet(lambda: head is not None and all(self.counted(one) is not None for one in window))
        for shard in window:
            self._connection.unsubscribe(self._topics.shard(shard))

    def words_of(self, shard: str) -> Iterable[Word]:
        """The newest word on everybody of a shard that was read."""
        return self._heard.words.get(shard, {}).values()

    def counted(self, shard: str) -> dict[str, int] | None:
        """Id -> revision of whom a head counts, of what came of a shard; None where that is not what any of them says.

        Of several heads that came while others publish, too, the newest goes first.
        """
        found = (self._counted(shard, one.head) for one in reversed(self._heard.heads))
        return next((one for one in found if one is not None), None)

    def _counted(self, shard: str, head: Head) -> dict[str, int] | None:
        said = [word.said for word in self._heard.words.get(shard, {}).values()]
        living = {one.id: one.revision for one in said if not one.removed and one.revision >= head.since}
        late = [Late(one.revision, one.id, one.before) for one in said]
        return counted(living, late, since=head.since, wanted=head.shards.get(shard, ""))

    @property
    def topics_seen(self) -> frozenset[str]:
        """Where anything lies retained, believed or not, of what was read."""
        return frozenset(self._heard.topics)

    def _until_quiet(self, is_enough: Callable[[], bool]) -> None:
        mid = self._connection.ask(f"{self._topics.root}/question")
        began = self._heard.last_s = time.monotonic()
        while True:
            self._connection.step(0.05)
            now = time.monotonic()
            quiet_s = now - self._heard.last_s
            if mid not in self._answered:
                if now - began > self._patience_s and quiet_s > self._patience_s:
                    raise BrokerError("says nothing", where=address_of(self._mqtt), expected="an answer")
            elif quiet_s > self._quiet_s or (quiet_s > min(SHORT_QUIET_S, self._quiet_s) and is_enough()):
                return

    def _on_message(self, received: Received) -> None:
        heard = self._heard
        heard.last_s = time.monotonic()
        if not received.payload or len(received.payload) > MAX_BYTES:
            return
        try:
            if received.topic == self._topics.head:
                signer, text = self._ring.verify(self._topics.group, received.topic, received.payload)
                heard.heads.append(SignedHead(parse_head(text), signer, received.payload))
                return
            heard.topics.add(received.topic)
            signer, text = self._ring.verify(self._topics.group, received.topic, received.payload)
            said = parse_said(text)
        except RefusedError as refusal:
            if received.topic == self._topics.head:
                heard.foreign = refusal.message
            return
        shard = heard.words.setdefault(shard_of(said.id), {})
        known = shard.get(said.id)
        if said.id == self._topics.id_of(received.topic) and (known is None or known.said.revision < said.revision):
            shard[said.id] = Word(said, signer)

    # Writing.

    def publish(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Retained, each of them acknowledged when this returns. PublishRefusedError names the first that was refused."""
        for topic, payload in items:
            self._wait(lambda: len(self._awaited) < WINDOW)
            message = Message(topic, payload, retain=True, content_type="application/json" if payload else "")
            self._awaited[self._connection.publish(message)] = topic
        self._wait(lambda: not self._awaited)

    def publish_head(self, payload: bytes, after: SignedHead | None) -> bool:
        """Whether it is what the broker has now, and followed that one; False where somebody else has published meanwhile."""
        self._own.add(payload)
        self.publish([(self._topics.head, payload)])
        until = time.monotonic() + self._patience_s
        while not any(one.payload == payload for one in self._heard.heads):
            if time.monotonic() > until:
                hint = f"May this user write to {self._topics.root}/# and read it? An MQTT 3.1.1 broker says nothing of it."
                raise PublishRefusedError("the head did not come back", where=address_of(self._mqtt), hint=hint)
            self._connection.step(0.1)
        # What was acknowledged is on the broker's disk when it answers.
        mid = self._connection.ask(f"{self._topics.root}/question")
        self._wait(lambda: mid in self._answered)
        *_, last, newest = (None, *self._heard.heads)
        return newest is not None and newest.payload == payload and last is after

    def _wait(self, is_done: Callable[[], bool]) -> None:
        until = time.monotonic() + self._patience_s
        while not is_done():
            before = len(self._awaited)
            self._connection.step(0.1)
            if len(self._awaited) != before:
                until = time.monotonic() + self._patience_s
            if time.monotonic() > until:
                raise BrokerError("does not acknowledge", where=address_of(self._mqtt))
        if self._refused:
            topic, reason = next(iter(self._refused.items()))
            hint = f"Let this user write to {self._topics.root}/# in the access rules of the broker."
            raise PublishRefusedError(f"the broker refuses {topic} ({reason})", where=address_of(self._mqtt), hint=hint)

    def _on_acknowledged(self, mid: int) -> None:
        self._awaited.pop(mid, None)

    def _on_refused(self, mid: int, reason: str) -> None:
        self._refused[self._awaited.pop(mid, "a message")] = reason
