"""How much an outbox keeps, and how old an event is when clocks cannot be believed.

Boxes boot without a clock, and clocks jump. So age is counted in time that this box is known to have run since: the monotonic
clock within a boot, carried over from boot to boot by what the file remembers. That never counts too much. Where the wall
clock was synchronised when an event was stored in an earlier boot, and is again, the difference counts when it is larger;
within one boot the wall clock has no say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from edge.timebase import Clock

NS_PER_H = 3_600_000_000_000

TOO_MANY = "dropped_too_many"
TOO_LARGE = "dropped_too_large"
TOO_OLD = "dropped_too_old"
UNSTORED = "dropped_unstored"
REFUSED = "dropped_refused"
REASONS = {
    TOO_MANY: "above outbox.max_events",
    TOO_LARGE: "above outbox.max_bytes",
    TOO_OLD: "older than outbox.max_age_h",
    UNSTORED: "could not be stored, and memory had no more room",
    REFUSED: "refused by the broker again and again",
}
"""Counter of a kind of drop -> the words for the log."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Above these the oldest events are dropped. `max_bytes` is the sum of what is stored of each event."""

    max_events: int = 10_000
    max_bytes: int = 67_108_864
    max_age_h: float = 168.0

    @property
    def max_age_ns(self) -> int:
        """Of `max_age_h`."""
        return int(self.max_age_h * NS_PER_H)


@dataclass(frozen=True, slots=True)
class Cut:
    """What is too old: accepted before `ran_ns`, or in a boot before `boot_ran_ns` and before the Unix time `at`."""

    ran_ns: int
    boot_ran_ns: int
    at: float | None
    """None while the wall clock cannot be believed."""


class RunningClock:
    """Nanoseconds that this box is known to have run since its outbox was made. Never goes back."""

    def __init__(self, clock: Clock, boot_id: str) -> None:
        self._clock = clock
        # The file's counters are numbers; nobody wants to count on a boot without a name being the same one.
        digest = hashlib.sha256(boot_id.encode()).digest()
        self._boot = 0 if boot_id == "unknown" else int.from_bytes(digest[:7], "big") + 1
        self._base_ns = -clock.monotonic_ns()
        self._boot_ran_ns = 0

    def resume(self, counters: Mapping[str, int]) -> None:
        """Go on from what a file remembers."""
        if self._boot and counters.get("boot") == self._boot:
            self._base_ns = counters.get("base_ns", 0)
            self._boot_ran_ns = counters.get("boot_ran_ns", 0)
        else:
            self._boot_ran_ns = counters.get("ran_ns", 0) + 1
            self._base_ns = self._boot_ran_ns - self._clock.monotonic_ns()

    def state(self) -> dict[str, int]:
        """What the file has to remember."""
        return {
            "boot": self._boot,
            "base_ns": self._base_ns,
            "boot_ran_ns": self._boot_ran_ns,
            "ran_ns": self.ran_ns(),
        }

    def ran_ns(self) -> int:
        """Now."""
        return self._base_ns + self._clock.monotonic_ns()

    def cut(self, bounds: Bounds) -> Cut:
        """Where old begins."""
        at = self._clock.unix_s() - bounds.max_age_h * 3600 if self._clock.is_synced() else None
        return Cut(self.ran_ns() - bounds.max_age_ns, self._boot_ran_ns, at)
