"""A newly activated bundle on trial in the running daemon: slow, faulty or not loading at all, and the one before it comes back.

A bundle that crashes or hangs the whole process needs no eye on it: the trial has begun then, and the next start goes back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edge.bundle.slots import Slots, Standing
from edge.bundle.store import OWN, BundleStore
from edge.bundle.trial import CONFIRMED, ROLLED_BACK, this_run
from edge.config.settings import Settings
from edge.errors import OstiaryError
from edge.health import Health
from edge.pipeline import FrameResult
from edge.timebase import Clock, rfc3339

POLL_S = 1.0
LEAST_FRAMES = 10
"""Of fewer frames the median says little: the first ones of a run are slow."""
MOST_FAULTS = 3
STAGES = ("detect", "align", "embed", "match", "decide")

log = logging.getLogger(__name__)


class Probation:
    """An Attendant of the loop; without a folder of bundles, or `is_kept` off, it does nothing."""

    def __init__(self, settings: Settings, *, is_kept: bool = True, clock: Clock = Clock()) -> None:  # noqa: B008 - frozen
        """Applies the rules of a start: see Slots.enter."""
        self._settings = settings
        self._clock = clock
        self._health: Health | None = None
        self._restart: Callable[[], None] = lambda: None
        self._frames = 0
        self._started_s = self._now_s()
        self._due_s = 0.0
        self._is_proved = False
        self.is_over = False
        """What was on trial has been rolled back: this run has to end, and another to begin."""
        folder = settings.bundles if settings.bundle is None else None
        self._slots = None if folder is None or not folder.is_dir() else Slots(BundleStore(folder))
        self._standing = Standing(None, None, CONFIRMED)
        if self._slots is not None:
            before = self._slots.standing()
            self._standing = self._entered(self._slots) if is_kept else before
            self._is_kept = is_kept and self._standing.is_on_trial
            _tell(self._standing, is_news=before.state != ROLLED_BACK)
        else:
            self._is_kept = False

    def watch(self, health: Health, restart: Callable[[], None]) -> Probation:
        """From now on frames count; `restart` ends the run, to be followed by another."""
        self._health, self._restart = health, restart
        self._started_s = self._now_s()
        return self

    @contextmanager
    def loading(self) -> Iterator[None]:
        """What is on trial and fails in here is rolled back; the error goes on."""
        try:
            yield
        except OstiaryError as error:
            self._roll_back(f"it could not be used: {error.problem}")
            raise

    def seen(self, result: FrameResult) -> None:  # noqa: ARG002 - the signature is Attendant's
        """See Attendant."""
        self._frames += 1

    def tick(self) -> None:
        """See Attendant."""
        if self._slots is None or not self._is_kept or self.is_over:
            return
        if (fault := self._fault()) is not None:
            self._roll_back(fault)
        elif (now_s := self._now_s()) >= self._due_s:
            self._due_s = now_s + POLL_S
            self._look(self._slots, now_s)

    def described(self) -> dict[str, Any]:
        """`bundle` of /health, but for what the manifest tells."""
        now = self._standing
        return {
            "version": now.version,
            "state": now.state,
            "previous": now.previous,
            "reason": now.reason,
            "since": None if now.since is None else rfc3339(now.since),
        }

    def _entered(self, slots: Slots) -> Standing:
        try:
            return slots.enter(self._settings.device.name, this_run())
        except OstiaryError as error:
            log.warning("the trial of a bundle is not kept: %s", error)
            return slots.standing()

    def _look(self, slots: Slots, now_s: float) -> None:
        """Have others gone back, or is it proved?"""
        limits = self._settings.updates
        now = slots.standing()
        if now.active != self._standing.active:
            self._end(now)
            return
        is_due = now_s - self._started_s >= limits.trial_s and self._frames >= limits.trial_frames
        if is_due and not self._is_proved:
            now = self._prove(slots) or now
        if not now.is_on_trial:
            self._is_kept = False
            log.info("bundle %s has proved itself: %d frames", now.active, self._frames)
        self._standing = now

    def _prove(self, slots: Slots) -> Standing | None:
        try:
            now = slots.prove(self._settings.device.name)
        except OstiaryError as error:
            log.warning("that a bundle has proved itself could not be noted: %s", error)
            self._is_kept = False
            return None
        self._is_proved = True
        if now.is_on_trial:
            log.info("bundle %s has proved itself here; other daemons have still to", now.active)
        return now

    def _fault(self) -> str | None:
        if self._health is None:
            return None
        if (failed := self._health.counters["frames_failed"]) > MOST_FAULTS:
            return f"{failed} frames failed"
        if self._frames < min(LEAST_FRAMES, self._settings.updates.trial_frames):
            return None
        took_ms, most_ms = frame_ms(self._health), self._settings.updates.budget_ms
        return (
            f"it takes {took_ms:.0f} ms for a frame, and updates.budget_ms is {most_ms:g}"
            if took_ms > most_ms
            else None
        )

    def _roll_back(self, reason: str) -> None:
        if not self._is_kept or self._slots is None:
            return
        log.warning("bundle %s fails on trial: %s", self._standing.active, reason)
        try:
            now = self._slots.fail(self._standing.active, reason)
        except OstiaryError as error:
            log.warning("it cannot be rolled back: %s", error)
            self._is_kept = False
            return
        self._end(now)

    def _end(self, now: Standing) -> None:
        log.warning("bundle %s is in use no more: beginning again with %s", self._standing.active, now.active or OWN)
        self._standing = now
        self.is_over = True
        self._restart()

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9


def frame_ms(health: Health) -> float:
    """A frame with one face: the medians of what a bundle can make slow, each over the frames in which it was done."""
    stages = health.timings.summary()
    return sum(stages[name]["p50"] for name in STAGES if name in stages)


def _tell(now: Standing, *, is_news: bool) -> None:
    if now.problem:
        log.warning("%s", now.problem)
    if now.is_on_trial:
        log.info("bundle %s is on trial; without proof %s comes back", now.active, now.previous or OWN)
    elif now.state == ROLLED_BACK:
        level = logging.WARNING if is_news else logging.INFO
        log.log(level, "bundle %s was rolled back to %s: %s", now.candidate, now.active or OWN, now.reason)
