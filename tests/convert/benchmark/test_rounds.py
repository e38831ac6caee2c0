"""Taking turns, with contenders that only note that they were at turn."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import pytest

from convert.benchmark.contenders import Contender, random_input
from convert.benchmark.rounds import Limit, take_turns
from convert.network import Port
from edge.errors import UsageError


def contender(name: str, action: Callable[[], object], *, is_bare: bool = True) -> Contender:
    return Contender(name, "test 1.0", "float32", ((1, 3, 4, 4),), action, is_bare)


def test_everybody_runs_once_a_round_and_not_always_in_one_order() -> None:
    turns: list[str] = []
    contenders = [contender(name, functools.partial(turns.append, name)) for name in "abc"]
    results = take_turns(contenders, Limit(rounds=6))
    assert [result.spread.count for result in results] == [6, 6, 6]
    rounds = ["".join(turns[-18:][start : start + 3]) for start in range(0, 18, 3)]
    assert all(sorted(each) == ["a", "b", "c"] for each in rounds)
    assert set(rounds) == {"abc", "bca", "cab"}
    # And a few that do not count.
    assert len(turns) > 18


class Clock:
    """Time passes only where somebody works."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def worker(self, name: str, *milliseconds: float) -> Contender:
        """Takes these times in turn."""
        times = itertools.cycle(milliseconds)

        def act() -> None:
            self.now += next(times) / 1e3

        return contender(name, act)


def test_medians_percentiles_and_ratios() -> None:
    clock = Clock()
    contenders = [clock.worker("fast", 2.0), clock.worker("slow", 6.0, 8.0, 100.0)]
    fast, slow = take_turns(contenders, Limit(rounds=9), clock=clock)
    assert (fast.spread.p50_ms, fast.ratio) == (2.0, 1.0)
    assert (slow.spread.p50_ms, slow.spread.p95_ms, slow.ratio) == (8.0, 100.0, 4.0)
    fast, slow = take_turns(contenders, Limit(rounds=9), "slow", clock)
    assert (fast.ratio, slow.ratio) == (0.25, 1.0)
    assert slow.as_dict()["median_ms"] == 8.0


def test_seconds_end_it_and_a_few_rounds_are_always_run() -> None:
    clock = Clock()
    assert take_turns([clock.worker("a", 10.0)], Limit(seconds=0.195), clock=clock)[0].spread.count == 20
    assert take_turns([clock.worker("a", 10.0)], Limit(seconds=1e-9), clock=clock)[0].spread.count == 5


def test_a_baseline_that_does_not_run_is_told() -> None:
    with pytest.raises(UsageError, match="no file x to measure against; expected one of a"):
        take_turns([contender("a", lambda: None)], Limit(rounds=1), "x")


def test_inputs() -> None:
    made = random_input(Port("x", (None, 3, None, 8)), (6, 7))
    assert (made.shape, made.dtype.name) == ((1, 3, 6, 8), "float32")
    assert 0 <= made.min() < made.max() <= 255
    assert random_input(Port("n", (4,), "int32"), None).dtype.name == "int32"
    with pytest.raises(UsageError, match="--size HEIGHTxWIDTH"):
        random_input(Port("x", (None, 3, None, None)), None)
    with pytest.raises(UsageError, match="at most"):
        random_input(Port("x", (1, 3, 100_000, 100_000)), None)
