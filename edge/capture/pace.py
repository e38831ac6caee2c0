"""At most so many frames a second. Pure: time comes from the caller."""

from __future__ import annotations

_EARLY = 0.25
"""A frame may be so many periods early or late at most: a camera of 30 frames a second never keeps to 33.3 ms exactly."""


class Pace:
    """Says which frames to take, so that their mean rate stays at or under `rate_fps`; None takes all."""

    def __init__(self, rate_fps: float | None) -> None:
        self._period_s = 0.0 if rate_fps is None else 1.0 / rate_fps
        self._next_s: float | None = None
        self._last_s = 0.0

    def takes(self, time_s: float) -> bool:
        """Whether to take the frame of this moment. Moments must not decrease."""
        if self._next_s is None:
            self._next_s = self._last_s = time_s
        # Half a gap: of the two frames around a due moment the nearer one is taken.
        early_s = min((time_s - self._last_s) / 2, _EARLY * self._period_s)
        self._last_s = time_s
        if time_s < self._next_s - early_s:
            return False
        # After a pause there is nothing to catch up on.
        self._next_s = max(self._next_s, time_s - _EARLY * self._period_s) + self._period_s
        return True
