"""What a box knows of one group, and what follows from it. Pure: neither broker, nor clock, nor gallery.

An identity counts when its shard, with it, is what the newest head says; until then it waits. So nobody is enrolled by a
message that the publisher has taken back, however genuine it was: an old identity, sent again, is part of no shard of
today's head. A removal is obeyed at once, for it can open no door. And who is enrolled here, but is in no shard that the
head vouches for, is erased even where the removal itself never came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.commands.refusal import RefusedError
from edge.sync.digest import Late, count_of, counted, shard_digest
from edge.sync.message import Head, Said
from edge.sync.names import shard_of

MAX_PENDING = 4096
"""Identities that wait for a head. What is dropped is asked for again when it comes."""


@dataclass(frozen=True, slots=True)
class Word:
    """Something that was said, and whose key signed it."""

    said: Said
    signer: str


@dataclass(slots=True)
class Settled:
    """What has to be done in the gallery for some shards to be as the head has them."""

    put: list[Word] = field(default_factory=list)
    removed: list[Word] = field(default_factory=list)
    """By the publisher's own word."""
    void: list[str] = field(default_factory=list)
    """Ids that the head does not vouch for."""
    late: dict[str, int] = field(default_factory=dict)
    """Id -> revision that the head counts of whom something newer was said that it does not count yet."""

    def __bool__(self) -> bool:
        return bool(self.put or self.removed or self.void or self.late)

    def __len__(self) -> int:
        return len(self.put) + len(self.removed) + len(self.void)


class Group:
    """One group. `settle` says what to do, `done` that it was done."""

    def __init__(self, name: str, *, revision: int = 0) -> None:
        """`revision` is that of the newest head that was ever obeyed here."""
        self.name = name
        self.head: Head | None = None
        self.floor = revision
        """No head below it is taken."""
        self._known: dict[str, dict[str, int]] = {}
        """By shard: id -> revision of everybody who counts."""
        self._gone: dict[str, int] = {}
        self._late_removals: dict[str, dict[str, Late]] = {}
        """By shard: what removals have taken away, as long as this runs."""
        self._pending: dict[str, dict[str, Word]] = {}
        self._pending_count = 0
        self._removals: dict[str, Word] = {}
        self._stale: set[str] = set()
        """Shards with somebody of whom the head cannot know."""
        self._heard: dict[str, dict[str, int]] = {}
        """By shard that is being asked for: what came since."""
        self._digests: dict[str, str] = {}
        self.dropped = 0

    def remember(self, known: Mapping[str, int], gone: Mapping[str, int], floor: int = 0) -> None:
        """What the gallery says of it, in place of what was known before; `floor` is the newest head that was obeyed."""
        self.floor = max(self.floor, floor)
        if self.head is not None and self.head.revision < self.floor:
            # Another daemon that shares the gallery has heard of a newer one, which will come here, too.
            self.head = None
        self._known.clear()
        self._digests.clear()
        for identity_id, revision in known.items():
            self._known.setdefault(shard_of(identity_id), {})[identity_id] = revision
        self._gone = dict(gone)
        self._find_stale()

    @property
    def count(self) -> int:
        """Identities that count."""
        return sum(map(len, self._known.values()))

    @property
    def missing(self) -> int:
        """At least so many of whom the head tells have not come, in the newest revision or at all."""
        shards = self.head.shards if self.head is not None else {}
        return sum(max(1, count_of(shards.get(name, "")) - len(self._known.get(name, {}))) for name in self.lacking())

    def hear_head(self, head: Head) -> bool:
        """Whether it says anything new; RefusedError `older`, or `clash` for two heads of one revision."""
        floor = max(self.floor, self.head.revision if self.head else 0)
        if head.revision < floor:
            raise RefusedError("older", f"head {head.revision}; {floor} was seen before")
        if self.head is not None and head.revision == self.head.revision:
            if head.shards != self.head.shards or head.since != self.head.since:
                raise RefusedError("clash", f"two heads of revision {head.revision}: do two publishers write at once?")
            if head.issued_at == self.head.issued_at:
                return False
        self._digests.clear()
        self.head = head
        self._find_stale()
        return True

    def _find_stale(self) -> None:
        if self.head is None:
            return
        since, shards = self.head.since, self.head.shards
        self._stale = {
            shard for shard, ids in self._known.items()
            if ids and (shard not in shards or any(revision < since for revision in ids.values()))
        }  # fmt: skip

    def hear(self, word: Word) -> bool:
        """Whether it says anything new; RefusedError `older` when something newer was said before."""
        said, shard = word.said, shard_of(word.said.id)
        if shard in self._heard:
            self._heard[shard][said.id] = 0 if said.removed else said.revision
        waiting = self._pending.get(shard, {}).get(said.id)
        known = self._known.get(shard, {}).get(said.id, 0)
        seen = max(known, self._gone.get(said.id, 0), waiting.said.revision if waiting else 0)
        if said.revision < seen:
            raise RefusedError("older", f"{said.id} with revision {said.revision}; {seen} was seen before")
        if said.revision == seen:
            return False
        self._take_back(shard, said.id)
        if said.removed:
            self._removals[said.id] = word
            self._gone[said.id] = said.revision
            self._late_removals.setdefault(shard, {})[said.id] = Late(said.revision, said.id, said.before)
            return True
        if self._pending_count >= MAX_PENDING:
            self.dropped += 1
            return False
        self._pending.setdefault(shard, {})[said.id] = word
        self._pending_count += 1
        return True

    def _take_back(self, shard: str, identity_id: str) -> None:
        if self._pending.get(shard, {}).pop(identity_id, None) is not None:
            self._pending_count -= 1

    # Asking for shards.

    def lacking(self) -> list[str]:
        """Shards that are not as the head has them."""
        if self.head is None:
            return []
        names = {*self.head.shards, *self._known, *self._pending}
        return sorted(name for name in names if self._digest(name) != self.head.shards.get(name, ""))

    def begin(self, shard: str) -> None:
        """It is asked for: what comes from now on is all that there is of it."""
        self._heard[shard] = {}

    def give_up(self, shard: str) -> None:
        """It is asked for no more; what waited of it is let go."""
        self._heard.pop(shard, None)
        self._pending_count -= len(self._pending.pop(shard, {}))

    # Settling.

    def settle(self, limit: int = MAX_PENDING) -> Settled:
        """Removals, and shards that would be as the head has them; no more of these once there are `limit` identities."""
        made = Settled(removed=list(self._removals.values()))
        if self.head is None:
            return made
        for shard in sorted({*self._pending, *self._heard, *self._stale}):
            if len(made) < limit:
                self._settle_shard(shard, self.head, made)
        return made

    def _settle_shard(self, shard: str, head: Head, made: Settled) -> None:
        wanted, known, waiting = head.shards.get(shard, ""), self._known.get(shard, {}), self._pending.get(shard, {})
        current = {
            one: revision for one, revision in known.items() if revision >= head.since and one not in self._removals
        }
        new = {one: word.said.revision for one, word in waiting.items() if word.said.revision >= head.since}
        late = [Late(word.said.revision, one, word.said.before) for one, word in waiting.items()]
        late += self._late_removals.get(shard, {}).values()
        found = counted(current | new, late, since=head.since, wanted=wanted)
        if found is None and shard in self._heard:
            # All that the broker has: is that what the head means? Then who else is here is no longer of the group.
            came = {one: revision for one, revision in self._heard[shard].items() if revision}
            if came.items() <= (current | new).items():
                found = counted(came, late, since=head.since, wanted=wanted)
        if found is None:
            return
        made.put += [waiting[one] for one, revision in new.items() if found.get(one) == revision]
        made.void += [one for one in known if one not in found and one not in self._removals]
        made.late |= {
            one: revision for one, revision in found.items() if revision not in (new.get(one), known.get(one))
        }

    def done(self, settled: Settled) -> None:
        """It is in the gallery."""
        for word in settled.put:
            said, shard = word.said, shard_of(word.said.id)
            self._take_back(shard, said.id)
            self._known.setdefault(shard, {})[said.id] = said.revision
            self._gone.pop(said.id, None)
            self._late_removals.get(shard, {}).pop(said.id, None)
            self._digests.pop(shard, None)
        for identity_id in [*(word.said.id for word in settled.removed), *settled.void]:
            shard = shard_of(identity_id)
            self._known.get(shard, {}).pop(identity_id, None)
            self._digests.pop(shard, None)
        for identity_id, revision in settled.late.items():
            shard = shard_of(identity_id)
            self._known.setdefault(shard, {})[identity_id] = revision
            self._digests.pop(shard, None)
        for word in settled.removed:
            if self._removals.get(word.said.id) is word:
                del self._removals[word.said.id]
        for shard in [one for one in self._pending if not self._pending[one]]:
            del self._pending[shard]

    def _digest(self, shard: str) -> str:
        if shard not in self._digests:
            since = self.head.since if self.head else 0
            held = self._known.get(shard, {})
            # Who is void counts as somebody too many.
            self._digests[shard] = (
                ""
                if not held
                else shard_digest((one, revision if revision >= since else 0) for one, revision in held.items())
            )
        return self._digests[shard]
