from __future__ import annotations

import calendar
import datetime as dt
import time
from collections.abc import Iterator

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from edge.policy.schedule import (
    ALWAYS,
    DAYS,
    FULL_NAMES,
    MAX_LENGTH,
    NEVER,
    WEEK_MINUTES,
    check_timezone,
    parse_schedule,
    union,
    wall_clock_in,
)

Hours = tuple[int, int]
Part = tuple[list[Hours], list[Hours]]
"""Ranges of days, and hours as minutes."""


def minutes_of(text: str) -> set[int]:
    return {minute for begin, end in parse_schedule(text).ranges for minute in range(begin, end)}


def naive(parts: list[Part]) -> set[int]:
    """Every minute of the week that is meant, by walking through it from each beginning, minute by minute."""
    found = set()
    for ranges, all_hours in parts:
        days = []
        for first, last in ranges:
            day = first
            days.append(day)
            while day != last:
                day = 0 if day == 6 else day + 1
                days.append(day)
        for day in days:
            for begin, end in all_hours:
                today, minute = day, begin
                while True:
                    found.add(today * 1440 + minute)
                    minute += 1
                    if minute == end:
                        break
                    if minute == 1440:
                        today, minute = (today + 1) % 7, 0
                        if end == 0:
                            break
    return found


@st.composite
def written(draw: st.DrawFn) -> tuple[str, list[Part]]:
    """A schedule in somebody's hand, and what it means."""

    def blanks() -> str:
        return draw(st.sampled_from(["", " ", "  ", "\t"]))

    def day(number: int) -> str:
        name = draw(st.sampled_from([DAYS, FULL_NAMES]))[number]
        return draw(st.sampled_from([name, name.upper(), name.capitalize()]))

    def clock(minute: int) -> str:
        hour = f"{minute // 60:02d}" if draw(st.booleans()) else str(minute // 60)
        return f"{hour}:{minute % 60:02d}"

    parts, texts = [], []
    for _ in range(draw(st.integers(1, 4))):
        ranges = draw(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=3))
        hours = draw(
            st.lists(
                st.tuples(st.integers(0, 1439), st.integers(0, 1440)).filter(lambda pair: pair[0] != pair[1]),
                min_size=1,
                max_size=3,
            )
        )
        days_text = f"{blanks()},{blanks()}".join(
            day(first) if first == last else f"{day(first)}{blanks()}-{blanks()}{day(last)}" for first, last in ranges
        )
        hours_text = f"{blanks()},{blanks()}".join(
            f"{clock(begin)}{blanks()}-{blanks()}{clock(end)}" for begin, end in hours
        )
        parts.append((ranges, hours))
        texts.append(f"{blanks()}{days_text} {hours_text}{blanks()}")
    assume(len(text := ";".join(texts)) <= MAX_LENGTH)
    return text, parts


@given(written())
@settings(deadline=None, max_examples=60)
@example(("sun 23:59-00:01", [([(6, 6)], [(1439, 1)])]))
@example(("fri-mon 22:00-06:00", [([(4, 0)], [(1320, 360)])]))
@example(("sun-sat 00:00-24:00", [([(6, 5)], [(0, 1440)])]))
def test_every_minute_of_the_week_is_as_written(given_schedule: tuple[str, list[Part]]) -> None:
    text, parts = given_schedule
    schedule, expected = parse_schedule(text), naive(parts)
    assert minutes_of(text) == expected
    edges = {edge for one in schedule.ranges for edge in one}
    for minute in {(edge + step) % WEEK_MINUTES for edge in edges for step in (-1, 0, 1)}:
        assert schedule.is_open(minute // 1440, minute % 1440) is (minute in expected)
    for (_, end), (begin, _) in zip(schedule.ranges, schedule.ranges[1:], strict=False):
        assert end < begin


@pytest.mark.parametrize(
    ("text", "open_at", "shut_at"),
    [
        ("mon-fri 08:00-18:00; sat 09:00-13:00", ["mon 8:00", "fri 17:59", "sat 9:00"], ["mon 7:59", "fri 18:00", "sun 9:00"]),
        ("mon,wed 8:00-12:00,13:00-17:00", ["mon 8:00", "wed 16:59"], ["mon 12:30", "tue 9:00"]),
        ("FRI-Mon 0:00-24:00", ["fri 0:00", "mon 23:59"], ["tue 0:00", "thu 23:59"]),
        # Over midnight: of the day on which it begins.
        ("fri 22:00-06:00", ["fri 22:00", "sat 5:59"], ["fri 5:00", "sat 6:00", "sat 22:00"]),
        ("sun 22:00-06:00", ["sun 23:00", "mon 5:59"], ["sun 5:00", "mon 6:00"]),
        ("mon 22:00-00:00", ["mon 23:59"], ["tue 0:00"]),
        ("tue 00:00-24:00", ["tue 0:00", "tue 23:59"], ["mon 23:59", "wed 0:00"]),
        # Without days: every day.
        ("22:00-6:00", ["mon 22:00", "sun 5:59", "wed 0:00"], ["mon 6:00", "sun 21:59"]),
    ],
)  # fmt: skip
def test_schedules_people_write(text: str, open_at: list[str], shut_at: list[str]) -> None:
    schedule = parse_schedule(text)
    for moments, expected in ((open_at, True), (shut_at, False)):
        for moment in moments:
            day, clock = moment.split()
            hour, minute = map(int, clock.split(":"))
            assert schedule.is_open(DAYS.index(day), hour * 60 + minute) is expected, moment


@pytest.mark.parametrize("text", ["", "  ", "\n", "0:00-24:00", "mon-sun 00:00-24:00", "0:00-12:00, 12:00-0:00"])
def test_what_is_always(text: str) -> None:
    assert parse_schedule(text) == ALWAYS
    assert parse_schedule(text).is_always


@pytest.mark.parametrize(
    ("text", "found", "expected"),
    [
        ("mon", "'mon' without hours", "hours such as 08:00-18:00, or 00:00-24:00 for the whole day"),
        ("always", "'always' in 'always'", "a day: mon, tue, wed, thu, fri, sat, sun"),
        ("tues 8:00-9:00", "'tues' in", "a day"),
        ("mon-8:00-9:00", "'8:00' in", "a day"),
        ("mon,8:00-9:00", "'8:00' in", "a day"),
        ("mon-", "'mon-' breaks off", "a day"),
        ("mon 8-9", "'8' in 'mon 8-9'", "a time from 00:00 to 24:00"),
        ("mon :-9:00", "':' in", "a time"),
        ("mon 8:00-24:01", "'24:01' in", "a time"),
        ("mon 8:00-9:60", "'9:60' in", "a time"),
        ("mon 08:000-9:00", "'0' in", "a time"),
        ("mon 8:00-", "'mon 8:00-' breaks off", "a time"),
        ("mon 8:00-9:00,", "'mon 8:00-9:00,' breaks off", "a time"),
        ("mon tue 8:00-9:00", "'tue' in", "a time"),
        ("8:00 - 9:00, tue 8:00-9:00", "'tue' in", "a time"),
        ("mon 8:00", "one time alone in 'mon 8:00'", "a beginning and an end"),
        ("mon 8:00–9:00", "one time alone", "a beginning and an end"),
        ("mon 8:00-8:00", "hours without length", "00:00-24:00"),
        ("mon 0:00-0:00", "hours without length", "00:00-24:00"),
        ("mon 24:00-6:00", "hours from 24:00", "00:00 of the next day"),
        ("mon 8:00-9:00 10:00-11:00", "'10:00' in", "a comma or a semicolon before more"),
        ("mon 8:00-9:00;", "nothing beside a semicolon", "hours like"),
        (";", "nothing beside a semicolon", "hours like"),
        ("x" * (MAX_LENGTH + 1), f"schedule of {MAX_LENGTH + 1} characters", f"at most {MAX_LENGTH}"),
    ],
)
def test_what_is_no_schedule(text: str, found: str, expected: str) -> None:
    with pytest.raises(ValueError, match="schedule") as caught:
        parse_schedule(text)
    said, _, wanted = str(caught.value).partition("; expected ")
    assert found in said
    assert wanted.startswith(expected)
    assert len(said) < 150


@given(st.text(st.sampled_from("0123456789:-,; montuewdhfrisaMON\tä²\x00"), max_size=40) | st.text(max_size=40))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        ranges = parse_schedule(text).ranges
    except ValueError as error:
        assert str(error).startswith("schedule")  # noqa: PT017
        assert "; expected " in str(error)  # noqa: PT017
        assert str(error).isprintable()  # noqa: PT017
    else:
        assert all(0 <= begin < end <= WEEK_MINUTES for begin, end in ranges)


def test_a_union_is_open_where_any_is() -> None:
    texts = ["mon 8:00-12:00", "mon 11:00-13:00; sun 23:00-1:00", "tue 0:00-1:00"]
    made = union(parse_schedule(text) for text in texts)
    expected = set().union(*(minutes_of(text) for text in texts))
    assert {minute for begin, end in made.ranges for minute in range(begin, end)} == expected
    assert union([]) == NEVER
    assert union([NEVER, ALWAYS]).is_always
    assert union([parse_schedule("0:00-12:00"), parse_schedule("12:00-24:00")]).is_always


def utc(text: str) -> int:
    return calendar.timegm(dt.datetime.fromisoformat(text).timetuple())


SPRING, AUTUMN = utc("2026-03-29T01:00"), utc("2026-10-25T01:00")
"""In Berlin 2:00 becomes 3:00, and 3:00 becomes 2:00."""


def berlin(unix_s: int) -> tuple[int, int]:
    """By the rule of the law, without zoneinfo; for 2026."""
    local = unix_s + (7200 if SPRING <= unix_s < AUTUMN else 3600)
    days, seconds = divmod(local, 86_400)
    # 1 January 1970 was a Thursday.
    return (days + 3) % 7, seconds // 60


@pytest.mark.parametrize("change", [SPRING, AUTUMN])
def test_the_wall_clock_around_a_change(change: int) -> None:
    clock = wall_clock_in("Europe/Berlin")
    for minute in range(-24 * 60, 24 * 60, 7):
        for second in (0.0, 59.9):
            assert clock(change + minute * 60 + second) == berlin(change + minute * 60)


@pytest.mark.parametrize(
    ("text", "in_spring", "in_autumn"),
    [
        # Both changes are on a Sunday. The hour that is missing is nobody's; the one that comes twice counts twice.
        ("sun 2:00-3:00", 0, 120),
        ("sun 2:15-2:45", 0, 60),
        ("sun 1:30-2:30", 30, 90),
        ("sun 2:30-3:30", 30, 90),
        ("sun 3:00-4:00", 60, 60),
        ("sat 22:00-6:00", 7 * 60, 9 * 60),
        ("sun 0:00-24:00", 23 * 60, 25 * 60),
    ],
)
def test_nights_in_which_the_clock_is_set(text: str, in_spring: int, in_autumn: int) -> None:
    schedule, clock = parse_schedule(text), wall_clock_in("Europe/Berlin")
    for change, expected in ((SPRING, in_spring), (AUTUMN, in_autumn)):
        moments = range(change - 40 * 3600, change + 40 * 3600, 60)
        assert sum(schedule.is_open(*clock(moment)) for moment in moments) == expected


@pytest.mark.parametrize(
    ("zone", "shown"),
    [("UTC", (1, 22 * 60 + 13)), ("Asia/Kolkata", (2, 3 * 60 + 43)), ("America/Los_Angeles", (1, 14 * 60 + 13))],
)
def test_zones(zone: str, shown: tuple[int, int]) -> None:
    # Tuesday 14 November 2023, 22:13:20 UTC.
    check_timezone(zone)
    assert wall_clock_in(zone)(1_700_000_000.0) == shown


@pytest.fixture
def _in_honolulu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Pacific/Honolulu")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_in_honolulu")
def test_the_systems_zone_where_none_is_named() -> None:
    assert wall_clock_in(None)(1_700_000_000.0) == (1, 12 * 60 + 13)


@pytest.mark.parametrize(
    "name",
    ["", "Mars/Olympus", "Europe", "../UTC", "/etc/localtime", "Europe/Berlin\0", "zone.tab", "x" * 5000, "\udcff"],
)
def test_what_is_no_time_zone(name: str) -> None:
    with pytest.raises(ValueError, match=r"^timezone .* is not known to this box; expected a name like Europe/Berlin"):
        check_timezone(name)
