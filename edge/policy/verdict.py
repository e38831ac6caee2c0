"""May this person in now? Pure: settings, limits of the identity and circumstances -> Verdict.

Checks come in this order, and the first that fails gives the reason:

    not_recognized, spoof     the decision itself (`edge.policy.doorkeeper`)
    unlocking_disabled        this box opens nothing at present
    not_recognized            the gallery has nobody of that id any more
    not_yet_valid, expired    validity of the identity
    group                     no group of the identity is one of this door
    zone                      none of those groups, or not the identity itself, may enter this zone
    schedule                  none of those groups is let in now, or not the identity itself
    stranger_in_front, stranger_present   who else is there

What needs the time is `clock_unsynced` in its place where the time cannot be believed.
"""

from __future__ import annotations

import functools
import logging
import math
from dataclasses import dataclass
from typing import Literal

from edge.config.settings import Group, Policy
from edge.datatypes import Access, Verdict
from edge.policy.schedule import NEVER, Schedule, parse_schedule, union, wall_clock_in

Company = Literal["none", "strangers", "stranger_in_front"]
"""Who else is before the camera; the gravest there is."""

_EVERYBODY = Group()
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """All that a verdict hangs on beside the identity and the settings."""

    unix_s: float
    is_clock_synced: bool = True
    is_unlocking_on: bool = True
    company: Company = "none"


def validity_at(access: Access, unix_s: float) -> Literal["valid", "not_yet_valid", "expired"]:
    """Valid while valid_from <= now < valid_until."""
    if unix_s < access.valid_from:
        return "not_yet_valid"
    return "valid" if unix_s < access.valid_until else "expired"


class Rules:
    """The settings of one door, made ready. Immutable."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._wall_clock = wall_clock_in(policy.timezone)

    def verdict(self, access: Access | None, now: Circumstances) -> Verdict:
        """For somebody recognized; `access` is what the gallery says of the identity, None when it has nobody such."""
        reason = self._refusal(access, now)
        return Verdict(allowed=True, reason="allowed") if reason is None else Verdict(allowed=False, reason=reason)

    def vouches_for(self, access: Access | None, now: Circumstances) -> bool:
        """Whether that identity is no stranger as somebody's company: enrolled, and within its validity."""
        return access is not None and self._invalidity(access, now) is None

    def _refusal(self, access: Access | None, now: Circumstances) -> str | None:
        if not now.is_unlocking_on:
            return "unlocking_disabled"
        if access is None:
            return "not_recognized"
        return self._invalidity(access, now) or self._exclusion(access, now) or self._isolation(now)

    def _can_tell_time(self, now: Circumstances) -> bool:
        return now.is_clock_synced or self._policy.trust_unsynced_clock

    def _invalidity(self, access: Access, now: Circumstances) -> str | None:
        if access.valid_from == -math.inf and access.valid_until == math.inf:
            return None
        if not self._can_tell_time(now):
            return "clock_unsynced"
        found = validity_at(access, now.unix_s)
        return None if found == "valid" else found

    def _exclusion(self, access: Access, now: Circumstances) -> str | None:
        """Groups, zones and schedules: one group must let the identity in here and now, and its own limits must, too."""
        groups = self._groups_of(access)
        if not groups:
            return "group"
        groups = [group for group in groups if self._is_for_here(group.zones)]
        if not groups or not self._is_for_here(access.zones):
            return "zone"
        hours = (union(_hours(group.schedule) for group in groups), _hours(access.schedule))
        if all(one.is_always for one in hours):
            return None
        if not self._can_tell_time(now):
            return "clock_unsynced"
        weekday, minute = self._wall_clock(now.unix_s)
        return None if all(one.is_open(weekday, minute) for one in hours) else "schedule"

    def _groups_of(self, access: Access) -> list[Group]:
        if not self._policy.groups:
            return [_EVERYBODY]
        return [self._policy.groups[name] for name in access.groups if name in self._policy.groups]

    def _is_for_here(self, zones: tuple[str, ...]) -> bool:
        return not zones or self._policy.zone in zones

    def _isolation(self, now: Circumstances) -> str | None:
        wanted = self._policy.company
        if wanted == "anybody" or now.company == "none":
            return None
        if now.company == "stranger_in_front":
            return "stranger_in_front"
        return "stranger_present" if wanted == "no_strangers" else None


@functools.lru_cache(maxsize=256)
def _hours(text: str) -> Schedule:
    """Never, for what another program has written into the gallery and is no schedule: a door stays shut."""
    try:
        return parse_schedule(text)
    except ValueError as error:
        log.warning("a schedule in the gallery is of no use, and lets nobody in: %s", error)
        return NEVER
