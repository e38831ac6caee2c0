from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.timebase import Clock, boot_id, clock_synced, now_ns, rfc3339, wall_clock


@pytest.mark.parametrize(
    ("unix_s", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_769_903_999.123, "2026-01-31T23:59:59.123Z"),
        (1_709_164_800.0, "2024-02-29T00:00:00.000Z"),
        (0.9999999, "1970-01-01T00:00:01.000Z"),
    ],
)
def test_times_as_subscribers_read_them(unix_s: float, text: str) -> None:
    assert rfc3339(unix_s) == text


@given(st.floats(0, 4e9))
def test_a_time_is_read_back_within_a_millisecond(unix_s: float) -> None:
    text = rfc3339(unix_s)
    assert len(text) == 24
    back = dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=dt.UTC).timestamp()
    assert -1e-6 <= unix_s - back < 0.001 + 1e-6


def test_both_clocks_run() -> None:
    clock = Clock()
    assert clock.monotonic_ns() <= now_ns()
    assert abs(clock.unix_s() - wall_clock()) < 60
    assert abs(wall_clock() - dt.datetime.now(dt.UTC).timestamp()) < 60


def test_the_kernel_is_asked() -> None:
    assert isinstance(clock_synced(), bool)
    assert boot_id() == boot_id()
    assert len(boot_id()) == 36
