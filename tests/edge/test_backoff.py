from __future__ import annotations

import random

import pytest

from edge.backoff import Backoff


def test_delays_grow_to_the_cap_and_begin_again_after_a_success() -> None:
    backoff = Backoff(first_s=0.5, cap_s=3.0, factor=2.0, jitter=0.0)
    assert [backoff.next_delay() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.next_delay() == 0.5


def test_jitter_shortens_by_at_most_its_share_and_differs_between_boxes() -> None:
    delays = []
    for seed in range(50):
        backoff = Backoff(first_s=2.0, cap_s=2.0, jitter=0.3, rng=random.Random(seed))  # noqa: S311
        delays.append(backoff.next_delay())
    assert all(1.4 <= delay <= 2.0 for delay in delays)
    assert max(delays) - min(delays) > 0.3


@pytest.mark.parametrize("limits", [{"first_s": 0.0}, {"first_s": 5.0, "cap_s": 1.0}, {"factor": 0.5}, {"jitter": 1.5}])
def test_limits_that_make_no_sense_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="backoff"):
        Backoff(**limits)
