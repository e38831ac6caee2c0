from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config.settings import Group, Policy
from edge.datatypes import Access
from edge.policy.schedule import parse_schedule
from edge.policy.verdict import Circumstances, Rules, validity_at
from tests.support.schemas import validator

TUESDAY_NOON = 1_700_000_000.0 - 37 * 60 - 20 - 9 * 3600
"""Unix seconds of Tuesday 14 November 2023, 12:36 UTC."""
NOW = Circumstances(TUESDAY_NOON)
OFFICE = "mon-fri 08:00-18:00"
NIGHT = "22:00-06:00"


def door(**fields: Any) -> Rules:
    return Rules(Policy(timezone="UTC", **fields))


GROUPS = {
    "staff": Group(zones=("office",), schedule=OFFICE),
    "night": Group(zones=("office",), schedule=NIGHT),
    "guards": Group(),
    "yard": Group(zones=("yard",)),
}
OFFICE_DOOR: dict[str, Any] = {"zone": "office", "groups": GROUPS}


@pytest.mark.parametrize(
    ("policy", "access", "now", "reason"),
    [
        # Nothing is configured, nothing is limited.
        ({}, Access(), {}, "allowed"),
        ({}, Access(), {"is_clock_synced": False}, "allowed"),
        ({}, None, {}, "not_recognized"),
        ({}, Access(), {"is_unlocking_on": False}, "unlocking_disabled"),
        # Validity.
        ({}, Access(valid_until=TUESDAY_NOON), {}, "expired"),
        ({}, Access(valid_until=TUESDAY_NOON + 1), {}, "allowed"),
        ({}, Access(valid_from=TUESDAY_NOON + 1), {}, "not_yet_valid"),
        ({}, Access(valid_from=TUESDAY_NOON), {}, "allowed"),
        ({}, Access(valid_until=TUESDAY_NOON + 9e9), {"is_clock_synced": False}, "clock_unsynced"),
        ({}, Access(valid_until=TUESDAY_NOON - 9e9), {"is_clock_synced": False}, "clock_unsynced"),
        ({"trust_unsynced_clock": True}, Access(valid_until=TUESDAY_NOON), {"is_clock_synced": False}, "expired"),
        ({"trust_unsynced_clock": True}, Access(valid_until=9e9), {"is_clock_synced": False}, "allowed"),
        # Limits of the identity alone.
        ({}, Access(groups=("staff",)), {}, "allowed"),
        ({}, Access(zones=("office",)), {}, "zone"),
        ({"zone": "yard"}, Access(zones=("office",)), {}, "zone"),
        ({"zone": "yard"}, Access(zones=("office", "yard")), {}, "allowed"),
        ({}, Access(schedule=OFFICE), {}, "allowed"),
        ({}, Access(schedule=NIGHT), {}, "schedule"),
        ({}, Access(schedule=OFFICE), {"is_clock_synced": False}, "clock_unsynced"),
        ({}, Access(schedule="0:00-24:00"), {"is_clock_synced": False}, "allowed"),
        ({}, Access(schedule="what?"), {}, "schedule"),
        # Groups.
        (OFFICE_DOOR, Access(), {}, "group"),
        (OFFICE_DOOR, Access(groups=("Staff",)), {}, "group"),
        (OFFICE_DOOR, Access(groups=("yard",)), {}, "zone"),
        (OFFICE_DOOR, Access(groups=("staff",)), {}, "allowed"),
        (OFFICE_DOOR, Access(groups=("night",)), {}, "schedule"),
        (OFFICE_DOOR, Access(groups=("yard", "night", "staff")), {}, "allowed"),
        (OFFICE_DOOR, Access(groups=("staff",), zones=("yard",)), {}, "zone"),
        (OFFICE_DOOR, Access(groups=("staff",), schedule=NIGHT), {}, "schedule"),
        (OFFICE_DOOR, Access(groups=("staff",)), {"is_clock_synced": False}, "clock_unsynced"),
        (OFFICE_DOOR, Access(groups=("staff", "guards")), {"is_clock_synced": False}, "allowed"),
        (OFFICE_DOOR, Access(groups=("guards",), schedule=OFFICE), {"is_clock_synced": False}, "clock_unsynced"),
        # Company.
        ({}, Access(), {"company": "strangers"}, "allowed"),
        ({}, Access(), {"company": "stranger_in_front"}, "stranger_in_front"),
        ({"company": "no_strangers"}, Access(), {"company": "strangers"}, "stranger_present"),
        ({"company": "no_strangers"}, Access(), {"company": "stranger_in_front"}, "stranger_in_front"),
        ({"company": "no_strangers"}, Access(), {}, "allowed"),
        ({"company": "anybody"}, Access(), {"company": "stranger_in_front"}, "allowed"),
    ],
)  # fmt: skip
def test_verdicts(policy: dict[str, Any], access: Access | None, now: dict[str, Any], reason: str) -> None:
    made = door(**policy).verdict(access, replace(NOW, **now))
    assert (made.reason, made.allowed) == (reason, reason == "allowed")


ORDER = [
    ("unlocking_disabled", {"is_unlocking_on": False}, {}),
    ("expired", {}, {"valid_until": 0.0}),
    ("group", {}, {"groups": ()}),
    ("zone", {}, {"zones": ("yard",)}),
    ("schedule", {}, {"schedule": NIGHT}),
    ("stranger_in_front", {"company": "stranger_in_front"}, {}),
]
"""Reason, and what makes it: of the circumstances, and of the identity."""


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_first_reason_of_several_is_told(first: int) -> None:
    now, access = NOW, Access(groups=("staff",))
    for _, circumstances, limits in ORDER[first:]:
        now, access = replace(now, **circumstances), replace(access, **limits)  # type: ignore[arg-type]
    assert door(**OFFICE_DOOR).verdict(access, now).reason == ORDER[first][0]


def test_every_reason_is_in_the_contract() -> None:
    reasons = set(validator("event").schema["properties"]["reason"]["enum"])
    elsewhere = {
        "allowed",
        "not_recognized",
        "spoof",
        "replayed",
        "not_yet_valid",
        "clock_unsynced",
        "stranger_present",
    }
    assert reasons == {reason for reason, _, _ in ORDER} | elsewhere


@pytest.mark.parametrize(
    ("access", "now", "expected"),
    [
        (Access(), {}, True),
        (None, {}, False),
        (Access(valid_until=0.0), {}, False),
        (Access(valid_from=math.inf), {}, False),
        (Access(valid_until=9e9), {}, True),
        (Access(valid_until=9e9), {"is_clock_synced": False}, False),
        # Known people who may not enter themselves are no strangers.
        (Access(groups=("nobody",), zones=("moon",), schedule=NIGHT), {"is_unlocking_on": False}, True),
    ],
)
def test_who_is_no_stranger(access: Access | None, now: dict[str, Any], expected: bool) -> None:  # noqa: FBT001
    assert door(**OFFICE_DOOR).vouches_for(access, replace(NOW, **now)) is expected


def test_a_schedule_that_is_none_is_told_once_and_lets_nobody_in(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    rules = door()
    for _ in range(3):
        assert rules.verdict(Access(schedule="mon to fri"), NOW).reason == "schedule"
    assert caplog.text.count("a schedule in the gallery is of no use") == 1


@pytest.mark.parametrize(
    ("unix_s", "expected"), [(9.9, "not_yet_valid"), (10.0, "valid"), (19.9, "valid"), (20.0, "expired")]
)
def test_validity(unix_s: float, expected: str) -> None:
    assert validity_at(Access(valid_from=10.0, valid_until=20.0), unix_s) == expected


SCHEDULES = st.sampled_from(["", OFFICE, NIGHT, "sat,sun 0:00-24:00", "0:00-24:00"])
ZONES = st.lists(st.sampled_from(["office", "yard"]), max_size=2).map(tuple)
NAMES = ["a", "b", "c"]
MOMENTS = st.floats(TUESDAY_NOON, TUESDAY_NOON + 14 * 86_400)
POLICIES = st.builds(
    Policy,
    zone=st.sampled_from(["office", "yard"]),
    timezone=st.just("UTC"),
    groups=st.dictionaries(st.sampled_from(NAMES), st.builds(Group, zones=ZONES, schedule=SCHEDULES)),
    company=st.sampled_from(["anybody", "no_stranger_in_front", "no_strangers"]),
    trust_unsynced_clock=st.booleans(),
)
LIMITS = st.builds(
    Access,
    groups=st.lists(st.sampled_from(NAMES), max_size=2).map(tuple),
    zones=ZONES,
    schedule=SCHEDULES,
    valid_from=st.just(-math.inf) | MOMENTS,
    valid_until=st.just(math.inf) | MOMENTS,
)
MEETINGS = st.builds(
    Circumstances,
    unix_s=MOMENTS,
    is_clock_synced=st.just(value=True),
    is_unlocking_on=st.booleans(),
    company=st.sampled_from(["none", "strangers", "stranger_in_front"]),
)


def lets_in(policy: Policy, access: Access, now: Circumstances) -> bool:
    """Everything that must hold, in one sentence; the time is known."""
    minute = int((now.unix_s // 60) % 1440)
    weekday = int(now.unix_s // 86_400 + 3) % 7

    def is_open(zones: tuple[str, ...], schedule: str) -> bool:
        return (zones == () or policy.zone in zones) and parse_schedule(schedule).is_open(weekday, minute)

    bad_company = {"anybody": (), "no_stranger_in_front": ("stranger_in_front",)}
    return (
        now.is_unlocking_on
        and access.valid_from <= now.unix_s < access.valid_until
        and is_open(access.zones, access.schedule)
        and (
            not policy.groups
            or any(
                is_open(group.zones, group.schedule) for name, group in policy.groups.items() if name in access.groups
            )
        )
        and now.company not in bad_company.get(policy.company, ("strangers", "stranger_in_front"))
    )


@given(POLICIES, LIMITS, MEETINGS)
def test_everything_must_hold(policy: Policy, access: Access, now: Circumstances) -> None:
    made = Rules(policy).verdict(access, now)
    assert made.allowed is lets_in(policy, access, now)
    assert (made.reason == "allowed") is made.allowed


@given(POLICIES, LIMITS, MEETINGS, MOMENTS)
def test_a_clock_that_nobody_keeps_opens_nothing_that_any_time_would_not(
    policy: Policy, access: Access, now: Circumstances, truth: float
) -> None:
    """Whatever the box believes, and whatever time it is."""
    policy = replace(policy, trust_unsynced_clock=False)
    if Rules(policy).verdict(access, replace(now, is_clock_synced=False)).allowed:
        assert lets_in(policy, access, replace(now, unix_s=truth))
