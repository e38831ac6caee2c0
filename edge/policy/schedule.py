"""Weekly schedules: `mon-fri 08:00-18:00; sat 09:00-13:00`. Pure, and free of everything but the standard library.

    schedule = part {";" part}
    part     = [days] hours {"," hours}         without days: every day
    days     = range {"," range}                range = day | day "-" day; `fri-mon` goes over the weekend
    hours    = time "-" time                    time = 0:00 to 24:00; the end itself lies outside

Hours whose end is not later than their beginning go over midnight and belong to the day on which they begin:
`fri 22:00-06:00` ends on Saturday. Hours are what a clock on the wall by the door shows. So where it is set forward, the
missing hour is nobody's; where it is set back, the hour that comes twice counts twice.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FULL_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
MAX_LENGTH = 500
SHOWN = 60
EXAMPLE = "hours like mon-fri 08:00-18:00; sat 09:00-13:00"

WallClock = Callable[[float], tuple[int, int]]
"""Unix seconds to what the wall clock shows: weekday (Monday is 0) and minute of the day."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Minutes of a week (Monday 0:00 is 0), as ranges [begin, end) in order that neither touch nor leave the week."""

    ranges: tuple[tuple[int, int], ...]

    @property
    def is_always(self) -> bool:
        """Whether no clock is needed to say that it is open."""
        return self.ranges == ((0, WEEK_MINUTES),)

    def is_open(self, weekday: int, minute: int) -> bool:
        """Whether it covers that minute (0 to 1439) of that day (Monday is 0)."""
        moment = weekday * DAY_MINUTES + minute
        return any(begin <= moment < end for begin, end in self.ranges)


ALWAYS = Schedule(((0, WEEK_MINUTES),))
NEVER = Schedule(())


def union(schedules: Iterable[Schedule]) -> Schedule:
    """Open where any of them is."""
    return Schedule(_merged([span for one in schedules for span in one.ranges]))


@functools.lru_cache(maxsize=1024)
def parse_schedule(text: str) -> Schedule:
    """ValueError("found; expected ...") for what is no schedule. An empty text, or nothing but blanks, is always open."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"schedule of {len(text)} characters; expected at most {MAX_LENGTH}")
    if not text.strip():
        return ALWAYS
    try:
        spans = [span for part in text.split(";") for span in _Part(part).spans()]
    except _PartError as wrong:
        raise ValueError(f"schedule: {wrong}") from None
    return Schedule(_merged(spans))


class _PartError(Exception):
    """What is wrong with a part, in the words of the message."""

    def __init__(self, found: str, expected: str = EXAMPLE) -> None:
        super().__init__(f"{found}; expected {expected}")


_TOKEN = re.compile(r"\s*(?:([0-9]{1,2}:[0-9]{2})(?![0-9])|([a-z]+)|([-,])|(\S))", re.ASCII)


class _Part:
    """One part of a schedule, read from left to right."""

    def __init__(self, text: str) -> None:
        text = text.strip()
        if not text:
            raise _PartError("nothing beside a semicolon")
        self._shown = repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")
        self._left = [match.group().strip() for match in _TOKEN.finditer(text.lower())]

    def spans(self) -> Iterator[tuple[int, int]]:
        """Ranges in minutes of the week; those of Sunday night may end after it."""
        days = self._days() if self._left[0].isalpha() else list(range(7))
        for begin, end in self._all_hours():
            yield from ((day * DAY_MINUTES + begin, day * DAY_MINUTES + end) for day in days)

    def _days(self) -> list[int]:
        days: list[int] = []
        while True:
            first = last = self._day()
            if self._next_is("-"):
                last = self._day()
            days += [(first + step) % 7 for step in range((last - first) % 7 + 1)]
            # A comma goes on with days; hours follow without one.
            if not self._next_is(","):
                return days

    def _day(self) -> int:
        word = self._take()
        for names in (DAYS, FULL_NAMES):
            if word in names:
                return names.index(word)
        raise _PartError(self._place(word), f"a day: {', '.join(DAYS)}")

    def _all_hours(self) -> Iterator[tuple[int, int]]:
        if not self._left:
            raise _PartError(
                f"{self._shown} without hours", "hours such as 08:00-18:00, or 00:00-24:00 for the whole day"
            )
        yield self._hours()
        while self._next_is(","):
            yield self._hours()
        if self._left:
            raise _PartError(self._place(self._left[0]), "a comma or a semicolon before more")

    def _hours(self) -> tuple[int, int]:
        begin = self._time()
        if not self._next_is("-"):
            raise _PartError(f"one time alone in {self._shown}", "a beginning and an end: 08:00-18:00")
        end = self._time()
        if begin == end:
            raise _PartError(f"hours without length in {self._shown}", "00:00-24:00 for the whole day")
        if begin == DAY_MINUTES:
            raise _PartError(f"hours from 24:00 in {self._shown}", "00:00 of the next day")
        return begin, end if end > begin else end + DAY_MINUTES

    def _time(self) -> int:
        word = self._take()
        hour, colon, minute = word.partition(":")
        if not (hour and colon and int(hour) * 60 + int(minute) <= DAY_MINUTES and int(minute) < 60):
            raise _PartError(self._place(word), "a time from 00:00 to 24:00")
        return int(hour) * 60 + int(minute)

    def _place(self, word: str) -> str:
        return f"{word!r} in {self._shown}" if word else f"{self._shown} breaks off"

    def _take(self) -> str:
        return self._left.pop(0) if self._left else ""

    def _next_is(self, mark: str) -> bool:
        if self._left and self._left[0] == mark:
            del self._left[0]
            return True
        return False


def _merged(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Sorted, overlaps and neighbours joined, and what leaves the week brought back to its beginning."""
    inside = [(begin, min(end, WEEK_MINUTES)) for begin, end in spans]
    inside += [(0, end - WEEK_MINUTES) for _, end in spans if end > WEEK_MINUTES]
    made: list[tuple[int, int]] = []
    for begin, end in sorted(inside):
        if made and begin <= made[-1][1]:
            made[-1] = (made[-1][0], max(made[-1][1], end))
        else:
            made.append((begin, end))
    return tuple(made)


def check_timezone(name: str) -> None:
    """ValueError("found; expected ...") unless the box knows a time zone of that name."""
    _zone(name)


def wall_clock_in(timezone: str | None) -> WallClock:
    """What a clock on the wall of that time zone shows; of the system's when None. ValueError for an unknown one."""
    if timezone is None:
        return _system_wall_clock
    zone = _zone(timezone)

    def shown(unix_s: float) -> tuple[int, int]:
        moment = dt.datetime.fromtimestamp(unix_s, zone)
        return moment.weekday(), moment.hour * 60 + moment.minute

    return shown


def _system_wall_clock(unix_s: float) -> tuple[int, int]:
    moment = time.localtime(unix_s)
    return moment.tm_wday, moment.tm_hour * 60 + moment.tm_min


def _zone(name: str) -> dt.tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    # Odd names become paths that zoneinfo refuses, or that are folders, or no time zone files.
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"timezone {name!r} is not known to this box; expected a name like Europe/Berlin (package tzdata has them)"
        ) from error
