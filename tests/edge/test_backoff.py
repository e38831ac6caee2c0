from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.backoff import Backoff, BackoffPlan


def test_doubles_to_the_cap() -> None:
    backoff = Backoff(BackoffPlan(first_s=0.5, cap_s=3.0, factor=2.0, jitter=0.0))
    assert [backoff.next_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


_plans = st.builds(
    lambda first, times, factor, jitter: BackoffPlan(first, first * times, factor, jitter),
    st.floats(0.01, 5), st.floats(1, 20), st.floats(1, 4), st.floats(0, 1),
)  # fmt: skip


@given(_plans, st.integers(0, 2**32), st.integers(1, 40))
def test_stays_between_jitter_and_cap(plan: BackoffPlan, seed: int, n: int) -> None:
    backoff = Backoff(plan, random.Random(seed))  # noqa: S311 - a test repeats itself
    for count in range(n):
        base = min(plan.cap_s, plan.first_s * plan.factor**count)
        assert base * (1 - plan.jitter) - 1e-9 <= backoff.next_s() <= base * (1 + 1e-9)


def test_same_seed_same_delays_and_other_seed_others() -> None:
    def delays(seed: int) -> list[float]:
        backoff = Backoff(BackoffPlan(), random.Random(seed))  # noqa: S311 - a test repeats itself
        return [backoff.next_s() for _ in range(6)]

    assert delays(1) == delays(1)
    assert delays(1) != delays(2)


@pytest.mark.parametrize(("up_s", "expected"), [(0.0, 4.0), (1.9, 4.0), (2.1, 1.0)])
def test_only_a_connection_that_outlived_the_wait_starts_over(up_s: float, expected: float) -> None:
    backoff = Backoff(BackoffPlan(first_s=1.0, cap_s=60.0, jitter=0.0))
    assert [backoff.next_s(), backoff.next_s()] == [1.0, 2.0]
    backoff.settle(up_s)
    assert backoff.next_s() == expected


@pytest.mark.parametrize("wrong", [{"first_s": 0}, {"first_s": 2, "cap_s": 1}, {"factor": 0.5}, {"jitter": 1.5}])
def test_refuses_nonsense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected 0 < first_s"):
        BackoffPlan(**wrong)
