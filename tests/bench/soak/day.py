"""What was heard of the daemon of the soak and seen of its process, and what is wrong with it."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np

from tests.support.asyncapi import channel_of
from tests.support.mosquitto import HOST, Heard, Subscriber

GROWTH_BYTES = 2_000_000
"""What a day may add."""
TEMPORARY = 8
"""So many threads or descriptors more than usual may be there for a moment: a camera given up, a database beside its log."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one moment."""

    wall_s: float
    sim_h: float
    rss_bytes: int
    own_bytes: int
    """Of these, what is no file's: nobody shares it, so other processes do not change it."""
    threads: int
    fds: int
    outbox_depth: int
    outbox_dropped: int
    events_heard: int


@dataclass(slots=True)
class Day:
    """Everything that was heard, counted."""

    max_events: int
    event_ids: dict[int, str] = field(default_factory=dict)
    """By `seq`."""
    messages: Counter[str] = field(default_factory=Counter)
    """By channel."""
    kinds: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    faults: list[str] = field(default_factory=list)
    health: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    _heard: int = 0

    def hear(self, listening: Subscriber) -> None:
        """What came since the last time."""
        while self._heard < len(listening.heard):
            self._take(listening.heard[self._heard])
            self._heard += 1

    def _take(self, one: Heard) -> None:
        channel = channel_of(one.topic)
        if channel.action == "receive":
            return
        self.messages[channel.name] += 1
        if channel.content_type == "image/jpeg":
            return
        data = json.loads(one.payload) if channel.content_type == "application/json" else one.payload.decode()
        self.faults += [f"{one.topic}: {problem}" for problem in channel.problems(data)]
        if channel.name in ("event", "history"):
            self._take_event(one, data)
        elif channel.name == "health":
            self.health = data

    def _take_event(self, one: Heard, data: dict[str, Any]) -> None:
        if one.retained or data["replayed"] is not one.topic.endswith("/history"):
            self.faults.append(f"{one.topic}: event {data['seq']} replayed {data['replayed']}, retained {one.retained}")
        known = self.event_ids.get(data["seq"])
        if known is None:
            self.event_ids[data["seq"]] = data["event_id"]
            self.kinds[data["event_type"]] += 1
        elif known == data["event_id"]:
            self.repeated += 1
        else:
            self.faults.append(f"two events have the number {data['seq']}")

    @property
    def outbox(self) -> dict[str, int]:
        """As the newest health report has it."""
        return dict(self.health.get("outbox", {}))


class Watcher:
    """Looks at the process from outside."""

    def __init__(self, pid: int, day: Day, port: int, *, every_s: float) -> None:
        """`port` serves the daemon's metrics: what waits in its outbox is told there also while no broker hears of it."""
        self._folder = Path(f"/proc/{pid}")
        self._day = day
        self._port = port
        self._every_s = every_s
        self._started_s = time.monotonic()
        self._next_s = 0.0
        self.samples: list[Sample] = []

    def look(self, minute: float) -> None:
        """One sample, when it is time for it; none before the first frame, when the process is still being put together."""
        wall_s = time.monotonic() - self._started_s
        if wall_s < self._next_s or minute == 0:
            return
        self._next_s = wall_s + self._every_s
        try:
            pages = int((self._folder / "statm").read_text(encoding="ascii").split()[1])
            rollup = (self._folder / "smaps_rollup").read_text(encoding="ascii").splitlines()
            own_kib = next(int(line.split()[1]) for line in rollup if line.startswith("Anonymous:"))
            threads, fds = (len(list((self._folder / kind).iterdir())) for kind in ("task", "fd"))
            depth, dropped = self._outbox()
        except OSError:
            # It has just ended, or is about to.
            return
        self.samples.append(
            Sample(
                round(wall_s, 1), round(minute / 60, 4), pages * os.sysconf("SC_PAGE_SIZE"), own_kib * 1024,
                threads, fds, depth, dropped, len(self._day.event_ids),
            )
        )  # fmt: skip

    def _outbox(self) -> tuple[int, int]:
        """Events that wait, and those that were dropped, by the daemon's own metrics."""
        with urlopen(f"http://{HOST}:{self._port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        pairs = [line.rpartition(" ") for line in lines if line.startswith("ostiary_outbox_")]
        depth = sum(float(value) for name, _, value in pairs if name == "ostiary_outbox_events")
        dropped = sum(float(value) for name, _, value in pairs if name.startswith("ostiary_outbox_dropped_total"))
        return int(depth), int(dropped)


@dataclass(frozen=True, slots=True)
class Growth:
    """Medians of a tenth of the samples after the warm-up, and of the last tenth."""

    rss_bytes: tuple[float, float]
    own_bytes: tuple[float, float]
    threads: tuple[float, float]
    fds: tuple[float, float]

    @classmethod
    def of(cls, samples: list[Sample]) -> Growth:
        """ValueError for too few."""
        tenth = len(samples) // 10
        if tenth == 0:
            raise ValueError(f"{len(samples)} samples; expected ten and more")
        parts = samples[tenth : 2 * tenth], samples[-tenth:]

        def ends(name: str) -> tuple[float, float]:
            first, last = (float(np.median([getattr(one, name) for one in part])) for part in parts)
            return first, last

        return cls(ends("rss_bytes"), ends("own_bytes"), ends("threads"), ends("fds"))


def missing(day: Day) -> int:
    """Events that were numbered, and neither heard nor told as dropped or waiting."""
    newest = max(day.event_ids, default=0)
    return newest - len(day.event_ids) - day.outbox.get("dropped", 0)


def problems(day: Day, samples: list[Sample], *, growth_bytes: int = GROWTH_BYTES) -> list[str]:
    """What must not be, in sentences; empty when all is well."""
    growth = Growth.of(samples)
    warm = samples[len(samples) // 10 :]
    found = list(dict.fromkeys(day.faults))[:10]
    if day.exit_code != 0:
        found.append(f"the daemon ended with {day.exit_code}")
    if not day.kinds["recognized"] or not day.kinds["unknown"]:
        found.append(f"events: {dict(day.kinds)}; expected both kinds")
    if missing(day) != 0:
        found.append(f"{missing(day)} events were neither heard nor dropped")
    for name in ("rss_bytes", "own_bytes"):
        first, last = getattr(growth, name)
        if last - first > growth_bytes:
            found.append(f"{name} grew by {last - first:,.0f}")
    for name in ("threads", "fds"):
        first, last = getattr(growth, name)
        most = max(getattr(one, name) for one in warm)
        if last > first or most > first + TEMPORARY:
            found.append(f"{name}: {first:g} at first, {last:g} in the end, {most} at most")
    deepest = max(one.outbox_depth for one in samples)
    if deepest > day.max_events:
        found.append(f"the outbox held {deepest} events; expected {day.max_events} at most")
    return found
