"""Which shards of a group to ask the broker for, and when: few at once, patiently, and not in step with other boxes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.publish.feeds import Wish
from edge.sync.group import Group
from edge.sync.names import SHARDS, GroupTopics


@dataclass(frozen=True, slots=True)
class Pace:
    """How patiently."""

    grace_s: float = 0.5
    """What is missing may be on its way: identities come before the head that counts them."""
    spread_s: float = 1.5
    """Boxes that hear of something at the same moment ask within so much time of each other."""
    silence_s: float = 30.0
    """What was asked for is given up for now when nothing at all of it comes for so long; twice as long each time.

    A broker at which a thousand boxes ask at once is slow, and would be slower still if they asked again.
    """
    silence_cap_s: float = 480.0
    retry_s: float = 30.0
    """And asked for again after so long, twice as long each time."""
    retry_cap_s: float = 3600.0
    messages: int = 200
    """On their way at once, about: what a broker keeps for each of many boxes, and a slow line for a live event. mosquitto
    drops what is more than 1000 for one client."""
    most: int = 16
    """Shards asked for at once."""


@dataclass(slots=True)
class _Pause:
    until_s: float
    tries: int


class Pulls:
    """Those of one group."""

    def __init__(
        self, group: Group, topics: GroupTopics, send: Callable[[Wish], None], pace: Pace, rng: random.Random
    ) -> None:
        """`send` takes what to ask of the broker."""
        self._group = group
        self._topics = topics
        self._send = send
        self._pace = pace
        self._rng = rng
        self._asked: set[str] = set()
        self._news_s = 0.0
        """When something that was asked for came last: on a slow line one shard waits for the others."""
        self._pauses: dict[str, _Pause] = {}
        self._silence_s = pace.silence_s
        self._not_before_s = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether something was asked for that has not come."""
        return bool(self._asked)

    def connected(self) -> None:
        """Another connection: nothing of before was asked on it."""
        for shard in self._asked:
            self._group.give_up(shard)
        self._asked.clear()
        self._pauses.clear()

    def head_came(self, now_s: float) -> None:
        """Another head; what was in vain before may be there now."""
        self._pauses.clear()
        self._not_before_s = now_s + self._pace.grace_s + self._rng.uniform(0, self._pace.spread_s)

    def heard(self, shard: str, now_s: float) -> None:
        """Something of that shard came."""
        if shard in self._asked:
            self._news_s = now_s
        else:
            self._not_before_s = max(self._not_before_s, now_s + self._pace.grace_s)

    def tick(self, now_s: float) -> bool:
        """End what is over, begin what is due; whether anything was begun. Call it when nothing waits to be heard."""
        lacking, is_silent = self._group.lacking(), False
        for shard in list(self._asked):
            if shard not in lacking:
                self._end(shard)
                self._silence_s = self._pace.silence_s
            elif now_s - self._news_s > self._silence_s:
                self._end(shard)
                self._pause(shard, now_s)
                is_silent = True
        if is_silent:
            self._silence_s = min(self._pace.silence_cap_s, 2 * self._silence_s)
        return now_s >= self._not_before_s and self._begin(lacking, now_s)

    def _begin(self, lacking: Sequence[str], now_s: float) -> bool:
        has_begun = False
        for shard in lacking:
            if len(self._asked) >= self._window():
                break
            pause = self._pauses.get(shard)
            if shard not in self._asked and (pause is None or now_s >= pause.until_s):
                self._asked.add(shard)
                self._news_s = now_s
                self._group.begin(shard)
                self._send(Wish(self._topics.shard(shard)))
                has_begun = True
        return has_begun

    def _window(self) -> int:
        head = self._group.head
        each = 1 if head is None else -(-head.count // SHARDS)
        return max(1, min(self._pace.most, self._pace.messages // max(1, each)))

    def _end(self, shard: str) -> None:
        self._asked.discard(shard)
        self._group.give_up(shard)
        self._send(Wish(self._topics.shard(shard), is_on=False))

    def _pause(self, shard: str, now_s: float) -> None:
        pause = self._pauses.setdefault(shard, _Pause(0.0, 0))
        wait_s = min(self._pace.retry_cap_s, self._pace.retry_s * 2**pause.tries)
        pause.until_s = now_s + wait_s * self._rng.uniform(0.5, 1.0)
        pause.tries = min(pause.tries + 1, 20)
