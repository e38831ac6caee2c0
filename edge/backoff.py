"""How long to wait before the next try: growing, capped, and jittered so that a houseful of boxes does not come at once."""

from __future__ import annotations

import random


class Backoff:
    """Delays of `first_s * factor ** n`, at most `cap_s`, each shortened at random by up to the share `jitter`."""

    def __init__(
        self,
        first_s: float = 0.5,
        cap_s: float = 15.0,
        factor: float = 2.0,
        jitter: float = 0.3,
        rng: random.Random | None = None,
    ) -> None:
        """Seconds; `jitter` is 0 to 1; `rng` makes tests repeatable."""
        if not 0 < first_s <= cap_s or factor < 1 or not 0 <= jitter <= 1:
            raise ValueError(f"backoff: first_s {first_s}, cap_s {cap_s}, factor {factor}, jitter {jitter}")
        self._first_s = first_s
        self._cap_s = cap_s
        self._factor = factor
        self._jitter = jitter
        self._rng = rng or random.Random()  # noqa: S311 - jitter is no secret
        self._base_s = first_s

    def next_delay(self) -> float:
        """Seconds to wait before the next try; never above `cap_s`."""
        base = self._base_s
        self._base_s = min(self._cap_s, base * self._factor)
        return base * (1.0 - self._jitter * self._rng.random())

    def reset(self) -> None:
        """Something worked: begin again with `first_s`."""
        self._base_s = self._first_s
