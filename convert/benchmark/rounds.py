"""Taking turns: in each round everybody runs once, so that a machine that slows down slows all alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from convert.benchmark.contenders import Contender
from edge.bench.timing import Spread
from edge.errors import UsageError

_WARM_UP = 3
_FEWEST_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Limit:
    """When to stop: after so many rounds, or so many seconds (but never before a few rounds)."""

    rounds: int | None = None
    seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Result:
    """One contender's times."""

    file: str
    runner: str
    precision: str
    spread: Spread
    ratio: float
    """Its median over that of the baseline: 0.5 is twice as fast."""
    is_bare: bool

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "file": self.file,
            "runner": self.runner,
            "precision": self.precision,
            "median_ms": self.spread.p50_ms,
            "p95_ms": self.spread.p95_ms,
            "runs": self.spread.count,
            "ratio": round(self.ratio, 4),
            "includes_layout": not self.is_bare,
        }


def take_turns(
    contenders: Sequence[Contender],
    limit: Limit,
    baseline: str = "",
    clock: Callable[[], float] = time.perf_counter,
) -> list[Result]:
    """Time all of them. `baseline` is a file's name, its first runtime counting; the first file when empty."""
    base = _baseline(contenders, baseline)
    for contender in contenders:
        for _ in range(_WARM_UP):
            contender.action()
    times: list[list[float]] = [[] for _ in contenders]
    # A collection would hit whoever is at turn.
    gc.collect()
    gc.disable()
    try:
        for number in _rounds(limit, clock):
            # Who follows whom changes, as each finds the caches that the one before it leaves.
            first = number % len(contenders)
            for place in (*range(first, len(contenders)), *range(first)):
                start = clock()
                contenders[place].action()
                times[place].append((clock() - start) * 1e3)
    finally:
        gc.enable()
    spreads = [Spread.of(each) for each in times]
    return [
        Result(
            one.file, one.runner, one.precision, spread, spread.p50_ms / max(spreads[base].p50_ms, 1e-9), one.is_bare
        )
        for one, spread in zip(contenders, spreads, strict=True)
    ]


def _rounds(limit: Limit, clock: Callable[[], float]) -> Iterator[int]:
    end = clock() + limit.seconds
    number = 0
    while number < (limit.rounds if limit.rounds is not None else _FEWEST_ROUNDS) or (
        limit.rounds is None and clock() < end
    ):
        yield number
        number += 1


def _baseline(contenders: Sequence[Contender], name: str) -> int:
    names = [contender.file for contender in contenders]
    if name and name not in names:
        raise UsageError(f"no file {name} to measure against", expected=f"one of {', '.join(dict.fromkeys(names))}")
    return names.index(name) if name else 0
