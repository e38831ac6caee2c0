from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.capture.pace import Pace


def test_none_takes_all() -> None:
    pace = Pace(None)
    assert all(pace.takes(time_s) for time_s in (0.0, 0.0, 0.001, 5.0))


@pytest.mark.parametrize(("source_fps", "rate_fps", "expected"), [
    (25, 25, 100), (25, 10, 40), (30, 10, 34), (25, 5, 20), (25, 240, 100), (10, 1, 10),
])  # fmt: skip
def test_takes_the_asked_share(source_fps: int, rate_fps: int, expected: int) -> None:
    pace = Pace(rate_fps)
    assert sum(pace.takes(number / source_fps) for number in range(100)) == expected


@given(st.integers(0, 2**32))
def test_a_jittery_camera_at_its_own_rate_loses_nothing(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a test repeats itself
    pace = Pace(30)
    assert all(pace.takes((number + rng.uniform(-0.1, 0.1)) / 30) for number in range(200))


@given(st.floats(0.1, 60), st.lists(st.floats(0, 0.5), min_size=2, max_size=200))
def test_never_over_the_rate(rate_fps: float, gaps: list[float]) -> None:
    pace, now_s, taken = Pace(rate_fps), 0.0, []
    for gap in gaps:
        now_s += gap
        if pace.takes(now_s):
            taken.append(now_s)
    # Any stretch of time holds at most one frame more than the rate allows, and the tolerance.
    for first in range(len(taken)):
        for last in range(first + 1, len(taken)):
            assert last - first <= (taken[last] - taken[first]) * rate_fps + 0.5 + 1e-6


def test_after_a_pause_nothing_is_caught_up() -> None:
    pace = Pace(10)
    assert pace.takes(0.0)
    assert pace.takes(100.0)
    assert not pace.takes(100.04)
