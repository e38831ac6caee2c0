"""Applies what publishers say of the groups of this box, beside the stages and in their thread."""

from __future__ import annotations

import contextlib
import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from edge.commands.bucket import Bucket
from edge.commands.refusal import RefusedError
from edge.errors import GalleryError
from edge.gallery.encryption.sealing import Sealer
from edge.gallery.replica import Put, Removal, Replica
from edge.gallery.store import Gallery
from edge.pipeline import FrameResult
from edge.publish.client import Received
from edge.sync.cleaner import Cleaner
from edge.sync.content import enrolled_of, opened
from edge.sync.feed import SyncFeed
from edge.sync.group import Settled, Word
from edge.sync.keys import PublisherRing
from edge.sync.member import Member
from edge.sync.message import parse_head, parse_said
from edge.sync.names import GroupTopics, shard_of
from edge.sync.pulls import Pace, Pulls
from edge.timebase import Clock

IDLE_BUDGET_S = 0.15
"""Time for checking signatures between two frames while nobody is before the door."""
BUSY_BUDGET_S = 0.02
BATCH = 256
"""Identities of one transaction, about."""
BATCH_S = 0.5
RETRY_S = 30.0
"""After the gallery could not be written."""
LOGGED_PER_MINUTE = 30
REASONS = (
    "malformed", "bad_signature", "not_allowed", "newer", "older", "clash", "unknown", "dropped", "oversized", "failed",
)  # fmt: skip

log = logging.getLogger(__name__)


class Sync:
    """An Attendant of the loop. `close` it."""

    def __init__(
        self,
        feed: SyncFeed,
        groups: Mapping[GroupTopics, Sealer | None],
        ring: PublisherRing,
        open_it: Callable[[], Gallery],
        *,
        revision: Callable[[], int],
        pace: Pace | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """`groups` are those of the box, each with what opens its sealed people. GalleryError.

        `revision` tells which of the gallery was looked at last.
        """
        self._feed = feed
        self._ring = ring
        self._open = open_it
        self._revision_now = revision
        self._clock = clock or Clock()
        self._told = Bucket(LOGGED_PER_MINUTE)
        self._counters: Counter[str] = Counter({f"sync_{one}": 0 for one in (*REASONS, "applied", "erased")})
        rng = rng or random.Random()  # noqa: S311 - nothing secret hangs on it
        self._members = {
            topics.group: Member(topics, lambda group, topics=topics: Pulls(group, topics, self._ask, pace or Pace(), rng), sealer)  # type: ignore[misc]
            for topics, sealer in groups.items()
        }  # fmt: skip
        self._connection = feed.connection
        self._gallery: Gallery | None = None
        self._revision = -1
        self._applied_s = self._not_before_s = 0.0
        self._is_busy = False
        self._cleaner = Cleaner(open_it)
        # Before anything is heard: what was seen once is the floor of all that follows.
        self._remember(self._held())
        self._let_go()

    # Attendant.

    def seen(self, result: FrameResult) -> None:
        """See Attendant. Somebody before the door has the time for himself."""
        self._is_busy = bool(result.tracks)

    def tick(self) -> None:
        """See Attendant."""
        now_s = self._now_s()
        if self._feed.connection != self._connection:
            self._connection = self._feed.connection
            for member in self._members.values():
                member.pulls.connected()
        self._hear(now_s)
        if now_s >= self._not_before_s and not self._cleaner.is_busy:
            self._apply(now_s)
        if self._feed.is_empty:
            for member in self._members.values():
                # That nothing came of a shard may be all that the head says of it.
                member.has_news = member.pulls.tick(now_s) or member.has_news
        self._cleaner.tick()

    def describe(self) -> dict[str, Any]:
        """For /health: each group."""
        return {name: member.describe() for name, member in self._members.items()}

    def counters(self) -> dict[str, int]:
        """For /health."""
        dropped = sum(member.group.dropped for member in self._members.values())
        feed = self._feed.counters()
        return {
            **self._counters, **feed, "sync_dropped": feed["sync_dropped"] + dropped,
            "sync_erasures_verified": self._cleaner.verified, "sync_erasures_unverified": self._cleaner.unverified,
        }  # fmt: skip

    def close(self) -> None:
        """Let go of the gallery; what was not applied comes again at the next start."""
        self._cleaner.close()
        self._let_go()

    # What comes.

    def _hear(self, now_s: float) -> None:
        until_s = now_s + (BUSY_BUDGET_S if self._is_busy else IDLE_BUDGET_S)
        while (received := self._feed.take()) is not None:
            self._hear_one(received, now_s)
            if self._now_s() > until_s:
                return

    def _hear_one(self, received: Received, now_s: float) -> None:
        member = self._member_of(received.topic)
        try:
            if member is None:
                raise RefusedError("unknown", "no topic of a group of this box")  # noqa: TRY301 - told in one place
            self._take(member, received, now_s)
        except RefusedError as refusal:
            self._refuse(member, received.topic, refusal)
        except Exception:
            # Whatever somebody publishes must not stop the door.
            log.exception("message on %s failed", received.topic)
            self._refuse(member, received.topic, RefusedError("failed", "failed"))

    def _member_of(self, topic: str) -> Member | None:
        return next((one for one in self._members.values() if topic.startswith(f"{one.topics.root}/")), None)

    def _take(self, member: Member, received: Received, now_s: float) -> None:
        topic, group = received.topic, member.group
        identity_id = member.topics.id_of(topic)
        if identity_id is None and topic != member.topics.head:
            raise RefusedError("unknown", "no topic of a head or an identity")
        signer, text = self._ring.verify(group.name, topic, received.payload)
        if identity_id is None:
            if group.hear_head(parse_head(text)):
                member.pulls.head_came(now_s)
                member.has_news = True
            return
        said = parse_said(text)
        if said.id != identity_id:
            raise RefusedError("malformed", "said of another identity than its topic names")
        member.pulls.heard(shard_of(identity_id), now_s)
        if group.hear(Word(said, signer)) or member.pulls.is_busy:
            member.has_news = True

    def _refuse(self, member: Member | None, topic: str, refusal: RefusedError) -> None:
        self._counters[f"sync_{refusal.code}"] += 1
        if member is not None:
            member.refused += 1
        log.log(
            logging.WARNING if self._told.take() else logging.DEBUG,
            "message on %s refused: %s", topic, refusal.message[:200].encode("unicode_escape").decode(),
        )  # fmt: skip

    # What is done.

    def _apply(self, now_s: float) -> None:
        """Everything that has settled; what has come only in part waits for the rest of a batch."""
        is_due = self._feed.is_empty or now_s - self._applied_s > BATCH_S
        for member in self._members.values():
            if not (member.has_news and is_due):
                continue
            try:
                self._apply_group(member, now_s)
            except GalleryError as error:
                log.error("people of group %s are not enrolled: %s", member.group.name, error)  # noqa: TRY400
                self._let_go()
                self._not_before_s = now_s + RETRY_S
                return
        if self._feed.is_empty and not any(member.pulls.is_busy for member in self._members.values()):
            self._follow_others(now_s)
            self._let_go()

    def _apply_group(self, member: Member, now_s: float) -> None:
        group = member.group
        settled = group.settle(BATCH)
        is_complete = group.head is not None and group.head.revision > group.floor
        if settled or is_complete:
            self._write(member, settled)
            self._applied_s = now_s
        member.has_news = len(settled) >= BATCH
        if group.head is not None and not group.lacking():
            member.complete = group.head.revision

    def _write(self, member: Member, settled: Settled) -> None:
        group = member.group
        gallery = self._held()
        head = group.head.revision if group.head is not None else None
        puts = [self._put(member, word, gallery.embedder_id) for word in settled.put]
        removals = [Removal(word.said.id, word.said.revision, word.signer) for word in settled.removed]
        removals += [Removal(one, None, "head") for one in settled.void]
        replica = Replica(gallery, group.name)
        applied = replica.apply(puts, removals, head=head)
        group.done(settled)
        group.floor = max(group.floor, head or 0)
        self._revision = gallery.revision
        for put in puts:
            self._note_not_taken(member, put.identity_id, applied.not_taken.get(put.identity_id))
        for removal in removals:
            member.not_taken.pop(removal.identity_id, None)
        standing = replica.standing()
        member.identities, member.waiting = standing.identities, standing.waiting
        self._counters["sync_applied"] += applied.synced
        self._counters["sync_erased"] += applied.erased
        if applied.erased:
            self._cleaner.clean(group.name, applied.erased, applied.traces)
        if settled:
            log.info(
                "group %s: %d enrolled or changed, %d erased; revision %s, %d identities",
                group.name, applied.synced, applied.erased, head, standing.identities,
            )  # fmt: skip

    def _put(self, member: Member, word: Word, embedder_id: str) -> Put:
        said = word.said
        try:
            content = opened(said, member.topics.identity(said.id), member.sealer)
            return Put(said.id, said.revision, word.signer, enrolled_of(content, embedder_id))
        except RefusedError as refusal:
            member.not_taken[said.id] = refusal.code
            return Put(said.id, said.revision, word.signer, None)

    def _note_not_taken(self, member: Member, identity_id: str, problem: str | None) -> None:
        if problem is None:
            member.not_taken.pop(identity_id, None)
            return
        if problem != "unreadable":
            member.not_taken[identity_id] = problem
        problem = member.not_taken.get(identity_id, "malformed")
        if self._told.take():
            log.warning("%s of group %s is not enrolled here: %s", identity_id, member.group.name, problem)

    # The gallery.

    def _held(self) -> Gallery:
        if self._gallery is None:
            self._gallery = self._open()
        return self._gallery

    def _let_go(self) -> None:
        gallery, self._gallery = self._gallery, None
        if gallery is not None:
            with contextlib.suppress(GalleryError):
                gallery.close()

    def _remember(self, gallery: Gallery) -> None:
        self._revision = gallery.revision
        for member in self._members.values():
            replica = Replica(gallery, member.group.name)
            words = replica.words()
            member.group.remember(words.known, words.gone, words.head)
            standing = replica.standing()
            member.identities, member.waiting = standing.identities, standing.waiting
            member.has_news = True

    def _follow_others(self, now_s: float) -> None:
        """Somebody else may have changed the gallery, and another daemon of this box may share it."""
        # Ours is ahead of what was looked at for a moment after each change.
        if self._revision_now() <= self._revision:
            return
        try:
            self._remember(self._held())
        except GalleryError as error:
            log.warning("%s", error)
            self._let_go()
            self._not_before_s = now_s + RETRY_S

    def _ask(self, wish: Any) -> None:
        self._feed.ask(self._connection, wish)

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9
