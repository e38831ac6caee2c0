from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from edge.backoff import BackoffPlan
from edge.capture.ladder import Ladder, LiveOptions

GIVE_UP_S = 60.0


@dataclass
class Call:
    ended: bool = False


def ladder(*, give_up_s: float = GIVE_UP_S, **options: object) -> Ladder:
    return Ladder(LiveOptions(**options), give_up_s=give_up_s, rng=random.Random(1))  # type: ignore[arg-type]  # noqa: S311


def test_a_camera_never_seen_is_given_time_and_a_known_one_as_much_as_it_needs() -> None:
    made = ladder()
    assert made.open_limit_s == 7.5
    limits = []
    # The first one waited for a camera that was away; what it needs itself shows later.
    for took_s in (30.0, 2.9, 3.1, 0.4, 30.0):
        made.opened(took_s)
        limits.append(made.open_limit_s)
    assert limits == pytest.approx([7.5, 5.8, 5.8, 5.0, 5.0])


def test_the_next_try_comes_within_the_cap_however_long_it_is_away() -> None:
    made = ladder()
    now_s, waits = 0.0, []
    for _ in range(30):
        made.ended(now_s)
        waits.append(made.next_try_s - now_s)
        assert not made.may_try(made.next_try_s - 0.001)
        now_s = made.next_try_s
        assert made.may_try(now_s)
    assert waits[0] <= 0.5
    assert min(waits[5:]) >= 1.0
    assert max(waits) <= 2.0
    assert made.steps == 30


def test_what_was_promised_holds_for_the_defaults() -> None:
    options = LiveOptions()
    # Found again within 10 s of its return by one that opens within 3 s; tries end well within a watchdog of 20 s.
    assert options.known_open_s + options.backoff.cap_s + 3.0 <= 10.0
    assert options.open_s + options.backoff.cap_s < 10.0


def test_too_many_hanging_calls_stop_new_ones_but_not_the_count_of_steps() -> None:
    made = ladder(max_stuck=2, backoff=BackoffPlan(first_s=1.0, cap_s=1.0, jitter=0.0))
    calls = [Call(), Call()]
    for call in calls:
        made.leave(call, 0.0)
        made.ended(0.0)
    assert made.is_full
    assert [made.may_try(now_s) for now_s in (0.5, 1.0, 1.5, 2.0)] == [False] * 4
    assert made.steps == 4
    calls[0].ended = True
    assert made.may_try(3.0)
    assert not made.is_full


@pytest.mark.parametrize(("left_s", "last_frame_s", "now_s", "expected"), [
    (10.0, 7.0, 69.9, None),
    (10.0, 7.0, 70.0, 60.0),
    # A frame came from another thread meanwhile.
    (10.0, 40.0, 99.9, None),
    (10.0, 40.0, 100.0, 90.0),
])  # fmt: skip
def test_gives_up_on_a_call_that_never_comes_back(
    left_s: float, last_frame_s: float, now_s: float, expected: float | None
) -> None:
    made = ladder()
    made.leave(Call(), left_s)
    made.leave(Call(), left_s + 20)
    assert made.stuck_s(now_s, last_frame_s) == expected


def test_never_gives_up_on_a_camera_that_is_merely_away() -> None:
    made = ladder()
    assert made.stuck_s(1e6, 0.0) is None
    # Each try hangs, but only until its library's own limit.
    for number in range(100):
        call = Call()
        made.leave(call, number * 10.0)
        assert made.stuck_s(number * 10.0 + 9.0, 0.0) is None
        call.ended = True
    assert made.stuck_s(1e6, 0.0) is None


def test_zero_never_gives_up() -> None:
    made = ladder(give_up_s=0.0)
    made.leave(Call(), 0.0)
    assert made.stuck_s(1e9, 0.0) is None
