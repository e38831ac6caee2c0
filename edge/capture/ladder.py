"""How a source that gives no frames is tried again: open it anew, in another thread, and at last in another process. Pure.

A call into a camera's library that never returns keeps the device: its thread is left behind, others are tried beside
it, and when none of that brings a frame only a new process can. Times are monotonic seconds and come from the caller.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

from edge.backoff import Backoff, BackoffPlan


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """Patience, in seconds. How long a frame may take is `camera.stall_s`.

    A source that returns is found after what is left of a try that began before (`known_open_s`), the wait behind it
    (`backoff.cap_s`) and its own time to open: 10 s for one that opens within 3 s. Tries end every `open_s` and
    `backoff.cap_s` at the latest, well within the watchdog's time.
    """

    open_s: float = 7.5
    """From opening to the first frame, for a camera that has not been seen yet: it may send its first key frame late."""
    known_open_s: float = 5.0
    """The same for one that has been seen; more, up to `open_s`, when twice its quickest opening so far is more.

    The quickest, because one that began before the camera was back took longer than the camera needs.
    """
    wait_s: float | None = None
    """After so long without a frame `read()` gives control back with SourceError; camera.stall_s when None."""
    close_s: float = 0.2
    """`close()` waits so long for the device to be released."""
    backoff: BackoffPlan = BackoffPlan(first_s=0.5, cap_s=2.0)
    max_stuck: int = 3
    """Threads left behind that never returned; with so many the device is not opened again until one of them ends."""


class Call(Protocol):
    """A worker that was left behind, as far as it matters here."""

    @property
    def ended(self) -> bool:
        """Whether its call came back after all."""


class Ladder:
    """When to try next, how long a try may take, and when to give up."""

    def __init__(self, options: LiveOptions, *, give_up_s: float, rng: random.Random | None = None) -> None:
        """`give_up_s` as camera.give_up_s: 0 never gives up."""
        self._options = options
        self._give_up_s = give_up_s
        self._backoff = Backoff(options.backoff, rng)
        self._quickest_s: float | None = None
        self._left: list[tuple[float, Call]] = []
        self.next_try_s = 0.0
        """Not before this moment."""
        self.steps = 0
        """Tries that have ended, well or badly, and tries that were due but not made because too many hang."""

    @property
    def open_limit_s(self) -> float:
        """How long the next opening may take, up to its first frame."""
        options = self._options
        if self._quickest_s is None:
            return options.open_s
        return min(options.open_s, max(options.known_open_s, 2 * self._quickest_s))

    @property
    def is_full(self) -> bool:
        """Whether too many calls hang for another one."""
        return len(self._left) >= self._options.max_stuck

    def opened(self, took_s: float) -> None:
        """A try gave its first frame after so long."""
        self._quickest_s = took_s if self._quickest_s is None else min(took_s, self._quickest_s)

    def ended(self, now_s: float, *, up_s: float | None = None) -> None:
        """A try is over; it had been open for `up_s`, None for one that never opened."""
        if up_s is not None:
            self._backoff.settle(up_s)
        self._step(now_s)

    def leave(self, call: Call, now_s: float) -> None:
        """Its thread is left behind."""
        self._left.append((now_s, call))

    def may_try(self, now_s: float) -> bool:
        """Whether to open now."""
        self._left = [(since_s, call) for since_s, call in self._left if not call.ended]
        if now_s < self.next_try_s:
            return False
        if self.is_full:
            self._step(now_s)
            return False
        return True

    def stuck_s(self, now_s: float, last_frame_s: float) -> float | None:
        """How long a call has hung, when it and the lack of frames both reached the limit: then only a new process helps.

        Calls that end late, as those of a library with a time limit of its own, never come to this; nor does a camera
        that is merely away.
        """
        oldest = min((since_s for since_s, call in self._left if not call.ended), default=None)
        if oldest is None or not self._give_up_s or now_s - max(oldest, last_frame_s) < self._give_up_s:
            return None
        return now_s - oldest

    def _step(self, now_s: float) -> None:
        self.steps += 1
        self.next_try_s = now_s + self._backoff.next_s()
