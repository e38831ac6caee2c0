"""Publishing people of a local gallery to a group. What was published before is read back from the broker and verified.

The broker keeps the group; a publisher keeps its key, its gallery, and in that the revision of the newest head that it
has seen, so that a broker which comes back with an older one is found out. A publisher that lost its disk goes on with the
key alone. Revisions only grow, and are never below the Unix time in seconds: a group that is begun anew after everything
was lost is newer than whatever a box remembers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge.commands.refusal import RefusedError
from edge.errors import BrokerError, GalleryError, UsageError
from edge.gallery.encryption.sealing import Sealer
from edge.signing import PrivateKey
from edge.sync.content import opened
from edge.sync.digest import count_of, shard_digest
from edge.sync.group import Word
from edge.sync.keys import signed_payload
from edge.sync.link import Link, SignedHead
from edge.sync.message import MAX_BYTES, SCHEMA, Content, Head, Said, text_of
from edge.sync.names import SHARDS, GroupTopics, shard_of
from edge.sync.secrets import seal
from edge.timebase import Clock, rfc3339

CHUNK = 200
"""Identities between two heads, so that boxes enrol them while others are still on their way."""
TRIES = 5
"""Another publisher may write at the same moment; then everything is read again."""

Track = Callable[..., Iterable[Any]]
"""Shows progress over a sequence: (items, description)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """What a group shall say."""

    topics: GroupTopics
    key: PrivateKey
    sealer: Sealer | None
    people: Mapping[str, Content]
    """By id."""
    removals: Sequence[str] = ()
    """Ids."""
    is_new: bool = False
    """Begin the group anew: who is not among these people is in it no more."""
    is_forced: bool = False
    """Publish also what has not changed, such as after a key was changed."""


@dataclass(slots=True)
class Report:
    """What was done, or would be."""

    published: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    not_there: list[str] = field(default_factory=list)
    """Were to be removed and are not in the group."""
    cleared: int = 0
    """Messages of before the group began anew that were taken back."""
    revision: int = 0
    count: int = 0


class _State:
    """The group as it will be; only the shards that were read are known by id."""

    def __init__(self, head: Head | None) -> None:
        self.shards = dict(head.shards) if head is not None else {}
        self.since = head.since if head is not None else 0
        self.revision = head.revision if head is not None else 0
        self._old: dict[str, int] = {}
        self._living: dict[str, dict[str, int]] = {}

    def read(self, shard: str, old: Mapping[str, int], words: Iterable[Word]) -> None:
        """A shard: `old` is what the head counts. What a publisher that was cut off has said counts from now on."""
        living = self._living[shard] = {}
        for word in words:
            self.revision = max(self.revision, word.said.revision)
            if not word.said.removed and word.said.revision >= self.since:
                living[word.said.id] = word.said.revision
        self._old |= old
        self._digest(shard)

    def before(self, identity_id: str) -> int:
        """What the head counts of somebody; 0 for nothing."""
        return self._old.get(identity_id, 0)

    def put(self, said: Said) -> None:
        shard = self._living.setdefault(shard_of(said.id), {})
        shard.pop(said.id, None)
        if not said.removed:
            shard[said.id] = said.revision

    def digest(self, identity_ids: Iterable[str]) -> None:
        """Of their shards, anew."""
        for shard in {shard_of(one) for one in identity_ids}:
            self._digest(shard)

    @property
    def count(self) -> int:
        """Identities of the group."""
        return sum(map(count_of, self.shards.values()))

    def _digest(self, shard: str) -> None:
        found = shard_digest(self._living[shard].items())
        self.shards.pop(shard, None)
        if found:
            self.shards[shard] = found


class Publishing:
    """One run."""

    def __init__(self, link: Link, job: Job, *, remembered: int = 0, clock: Clock | None = None) -> None:
        """`remembered` is the revision of the newest head that this publisher has ever seen."""
        self._link = link
        self._job = job
        self._remembered = remembered
        self._clock = clock or Clock()

    def run(self, track: Track, *, dry_run: bool = False) -> Report:
        """BrokerError, GalleryError (what the broker has cannot be believed), UsageError."""
        base = self._link.read_head()
        for _ in range(TRIES):
            report = self._try(base, track, dry_run=dry_run)
            if report is not None:
                return report
            # Ours may have taken the place of theirs: go on from theirs, in which ours may not be counted.
            base = self._link.newest_other or base
            log.warning("group %s: somebody else publishes at the same time; reading again", self._job.topics.group)
        hint = "Publish from one place at a time."
        raise BrokerError("another publisher writes at the same time", where=self._job.topics.root, hint=hint)

    def _try(self, base: SignedHead | None, track: Track, *, dry_run: bool) -> Report | None:
        seen = self._link.newest_head
        head = self._checked(base)
        ids = [*self._job.people, *self._job.removals]
        if self._job.is_new:
            words: Mapping[str, Word] = self._link.read_shards(_all_shards(), None, track)
            state = _State(None)
            state.revision = max(self._remembered, self._link.newest_revision, *_revisions(words))
            state.since = self._next(state)
        else:
            state = _State(head)
            words = self._read(ids, head, state, track)
            state.revision = max(state.revision, self._remembered, self._link.newest_revision)
        report = Report()
        said = self._planned(state, words, report)
        report.revision, report.count = state.revision, state.count
        if dry_run:
            for one in said:
                state.put(one)
            state.digest(one.id for one in said)
            report.count = state.count
            return report
        return self._publish(said, state, report, seen, track)

    def _checked(self, signed: SignedHead | None) -> Head | None:
        """What the group was until now; None where it begins."""
        root, job = self._job.topics.root, self._job
        if job.is_new:
            return None
        again = "`--new --all` begins the group anew, with everybody of this gallery and nobody else."
        if signed is None and self._link.foreign:
            hint = f"Its publisher's key belongs into --keys FILE. {again}"
            raise GalleryError(f"a head that cannot be believed ({self._link.foreign})", where=root, hint=hint)
        if signed is None:
            raise UsageError(
                f"the broker knows no group {job.topics.group!r}", where=root, hint=f"Is that its name? {again}"
            )
        if signed.head.revision < self._remembered:
            problem = (
                f"the broker has head {signed.head.revision}, older than {self._remembered} which was there before"
            )
            raise GalleryError(problem, where=root, hint=f"It lost messages, or somebody brings back old ones. {again}")
        return signed.head

    def _read(self, ids: Sequence[str], head: Head | None, state: _State, track: Track) -> Mapping[str, Word]:
        assert head is not None  # noqa: S101 - _checked has seen to it
        shards = sorted({shard_of(one) for one in ids})
        words = self._link.read_shards(shards, head, track)
        for shard in shards:
            old = self._link.counted(shard)
            if old is None:
                hint = "It lost messages, or somebody brings back old ones. `--new --all` begins the group anew."
                problem = f"what the broker has is not what the head of the group says (shard {shard})"
                raise GalleryError(problem, where=self._job.topics.root, hint=hint)
            state.read(shard, old, self._link.words_of(shard))
        return words

    def _planned(self, state: _State, words: Mapping[str, Word], report: Report) -> list[Said]:
        """What has to be said, with its revisions."""
        made = []
        for identity_id, content in self._job.people.items():
            if not self._job.is_new and not self._job.is_forced and self._is_said(words.get(identity_id), content):
                report.unchanged.append(identity_id)
                continue
            report.published.append(identity_id)
            made.append(self._said(identity_id, content, state))
        for identity_id in self._job.removals:
            if state.before(identity_id) or identity_id in words:
                report.removed.append(identity_id)
            else:
                report.not_there.append(identity_id)
            # A removal is said even of somebody unknown: what is held back of the group may bring that identity.
            revision = self._next(state)
            made.append(Said(SCHEMA, identity_id, revision, removed=True, before=state.before(identity_id)))
        return made

    def _is_said(self, word: Word | None, content: Content) -> bool:
        if word is None or word.said.removed or (word.said.sealed is not None) != (self._job.sealer is not None):
            return False
        try:
            return opened(word.said, self._job.topics.identity(word.said.id), self._job.sealer) == content
        except RefusedError:
            return False

    def _said(self, identity_id: str, content: Content, state: _State) -> Said:
        revision, before = self._next(state), state.before(identity_id)
        if self._job.sealer is None:
            return Said(SCHEMA, identity_id, revision, content=content, before=before)
        sealed = seal(self._job.sealer, self._job.topics.identity(identity_id), revision, text_of(content))
        return Said(SCHEMA, identity_id, revision, sealed=sealed, before=before)

    def _next(self, state: _State) -> int:
        state.revision = max(state.revision + 1, int(self._clock.unix_s()))
        return state.revision

    def _publish(
        self, said: Sequence[Said], state: _State, report: Report, seen: SignedHead | None, track: Track
    ) -> Report | None:
        """None where somebody else has published meanwhile."""
        # A group that begins anew must not be short of those who come last.
        chunk = max(1, len(said)) if self._job.is_new else CHUNK
        payloads = [self._payload(one) for one in said]
        starts = list(range(0, max(1, len(said)), chunk))
        for start in starts:
            rows = list(zip(said, payloads, strict=True))[start : start + chunk]
            self._link.publish(track([payload for _, payload in rows], "publishing") if rows else ())
            if self._link.newest_head is not seen:
                return None
            for one, _ in rows:
                state.put(one)
            state.digest(one.id for one, _ in rows)
            if not self._link.publish_head(self._head(state, rows), seen):
                return None
            seen = self._link.newest_head
        report.revision, report.count = state.revision, state.count
        if self._job.is_new:
            report.cleared = self._clear(said)
        return report

    def _payload(self, said: Said) -> tuple[str, bytes]:
        topic = self._job.topics.identity(said.id)
        payload = signed_payload(self._job.key, topic, text_of(said))
        if len(payload) > MAX_BYTES:
            hint = "Enrol the person from fewer pictures."
            raise UsageError(f"{said.id} takes {len(payload):,} bytes", expected=f"at most {MAX_BYTES:,}", hint=hint)
        return topic, payload

    def _head(self, state: _State, rows: Sequence[tuple[Said, Any]]) -> bytes:
        revision = max((one.revision for one, _ in rows), default=0) or self._next(state)
        head = Head(
            SCHEMA,
            revision,
            state.since,
            rfc3339(self._clock.unix_s()),
            dict(sorted(state.shards.items())),
        )
        return signed_payload(self._job.key, self._job.topics.head, text_of(head))

    def _clear(self, said: Sequence[Said]) -> int:
        """What lies retained of before means nothing any more, and may be biometric data."""
        kept = {self._job.topics.identity(one.id) for one in said}
        old = sorted(self._link.topics_seen - kept)
        self._link.publish((topic, b"") for topic in old)
        return len(old)


def _all_shards() -> list[str]:
    return [f"{number:02x}" for number in range(SHARDS)]


def _revisions(words: Mapping[str, Word]) -> list[int]:
    return [word.said.revision for word in words.values()]
