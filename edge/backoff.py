"""How long to wait before trying again: longer each time, up to a cap, and never in step with others. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackoffPlan:
    """The n-th delay is drawn evenly from `jitter` below min(cap_s, first_s * factor**n) up to it."""

    first_s: float = 0.5
    cap_s: float = 15.0
    factor: float = 2.0
    jitter: float = 0.5
    """Share of the delay that is left to chance, 0 to 1, so that many boxes do not return to one broker at once."""

    def __post_init__(self) -> None:
        if not (0 < self.first_s <= self.cap_s and self.factor >= 1 and 0 <= self.jitter <= 1):
            raise ValueError(f"backoff {self}; expected 0 < first_s <= cap_s, factor >= 1, jitter from 0 to 1")


class Backoff:
    """The delays of one connection."""

    def __init__(self, plan: BackoffPlan, rng: random.Random | None = None) -> None:
        """`rng` makes the delays repeatable."""
        self._plan = plan
        self._rng = rng or random.Random()  # noqa: S311 - nothing secret hangs on it
        self._base_s = plan.first_s
        self._last_s = 0.0

    def next_s(self) -> float:
        """Seconds to wait before the next try."""
        plan = self._plan
        self._last_s = self._base_s * (1 - plan.jitter * self._rng.random())
        self._base_s = min(plan.cap_s, self._base_s * plan.factor)
        return self._last_s

    def settle(self, up_s: float) -> None:
        """Tell how long a connection held: one that outlived the wait for it starts the delays over.

        A shorter one, as of a camera that gives one frame and dies, does not.
        """
        if up_s > self._last_s:
            self.reset()

    def reset(self) -> None:
        """Start over with the first delay."""
        self._base_s = self._plan.first_s
        self._last_s = 0.0
