"""Clocks: monotonic for intervals, wall clock only for what is published, and whether the wall clock can be believed."""

from __future__ import annotations

import ctypes
import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_TIME_ERROR = 5
"""adjtimex(2) returns this state while nobody keeps the clock right."""
_TIMESYNCD_MARK = Path("/run/systemd/timesync/synchronized")
_TIMEX_BYTES = 256
"""struct timex is 208 bytes on 64-bit and 128 on 32-bit Linux; `modes` is its first field, 0 only reads."""


def now_ns() -> int:
    """Monotonic nanoseconds."""
    return time.monotonic_ns()


def wall_clock() -> float:
    """Unix seconds."""
    return time.time()


def rfc3339(unix_s: float) -> str:
    """UTC with milliseconds: 2026-01-31T23:59:59.123Z."""
    moment = dt.datetime.fromtimestamp(unix_s, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def clock_synced(mark: Path = _TIMESYNCD_MARK) -> bool:
    """Whether a time service keeps the wall clock right (boxes boot without one).

    The kernel knows. In a sandbox that refuses the question, as ostiary.service does, `mark` tells: systemd-timesyncd
    makes that file when it has set the clock.
    """
    try:
        state = int(ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))
    except (OSError, AttributeError):
        return mark.exists()
    return mark.exists() if state < 0 else state < _TIME_ERROR


@dataclass(frozen=True, slots=True)
class Clock:
    """Both clocks, for what takes its time from outside; tests pass their own."""

    monotonic_ns: Callable[[], int] = now_ns
    unix_s: Callable[[], float] = wall_clock
    is_synced: Callable[[], bool] = clock_synced
    """Whether `unix_s` can be believed."""


def boot_id() -> str:
    """The kernel's random id of this boot, so that a subscriber can tell a restart of the box; "unknown" elsewhere."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
