"""A live source: keeps only the newest frame, survives a device that stalls or vanishes, and tells of it once.

All decisions are made by the thread that calls `read()`, under one lock; the worker's thread only fills the mailbox.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from edge import timebase
from edge.backoff import Backoff, BackoffPlan
from edge.capture.counters import Counters
from edge.capture.device import Opener, Shot
from edge.capture.geometry import Geometry, shape, turn
from edge.capture.pace import Pace
from edge.capture.uri import redact
from edge.capture.worker import Worker
from edge.config.settings import Camera
from edge.datatypes import Frame
from edge.errors import OstiaryError, SourceError

OnState = Callable[[bool, str], None]
"""Called with (online, reason), once for each change, in the thread that calls `read()`."""
_log = logging.getLogger(__name__)
_NEARLY = 0.75
_HINT = "`ostiary check` looks at the camera; it is tried again by itself."


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """Patience, in seconds. How long a frame may take is `camera.stall_s`."""

    open_s: float = 15.0
    """Opening takes longer than a frame: a network camera may send its first key frame late."""
    wait_s: float | None = None
    """After so long without a frame `read()` gives control back with SourceError; camera.stall_s when None."""
    close_s: float = 0.2
    """`close()` waits so long for the device to be released."""
    backoff: BackoffPlan = BackoffPlan()
    max_stuck: int = 3
    """Threads given up that never returned; with so many the device is not tried again until one of them ends."""


class LiveSource:
    """Frames of an `Opener`'s device. `read()` in one thread; `close()` from any, also from a signal handler."""

    is_live = True

    def __init__(
        self,
        opener: Opener,
        camera: Camera,
        *,
        shown: str,
        on_state: OnState | None = None,
        options: LiveOptions | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """Begins to open the device at once. `shown` names it in logs and errors, without a password."""
        self._opener = opener
        self._camera = camera
        self._shown = shown
        self._on_state = on_state
        self._options = options or LiveOptions()
        self._geometry = Geometry.of(camera)
        self._condition = threading.Condition()
        self._counters = Counters()
        self._backoff = Backoff(self._options.backoff, rng)
        self._mailbox: tuple[int, Shot] | None = None
        self._taken = 0
        self._online: bool | None = None
        self._reason = "not opened yet"
        self._changes: deque[tuple[bool, str]] = deque()
        self._fatal: OstiaryError | None = None
        self._closed = False
        self._retry_s = 0.0
        self._stuck: list[Worker] = []
        self._worker: Worker | None = self._started()

    @property
    def counters(self) -> Mapping[str, int]:
        """See edge.capture.counters.NAMES."""
        with self._condition:
            return self._counters.snapshot()

    def read(self) -> Frame | None:
        """The newest frame, waiting for one. None once closed. SourceError when there was none for `wait_s`: call again."""
        wait_s = self._camera.stall_s if self._options.wait_s is None else self._options.wait_s
        newest = self._wait(_now_s() + wait_s, take=True)
        return None if newest is None else self._frame(*newest)

    def require_first(self, timeout_s: float) -> None:
        """Wait for the first frame, which the next `read()` gives. SourceError, and closed, at the first failure."""
        try:
            self._wait(_now_s() + timeout_s, take=False, patient=False)
        except OstiaryError:
            self.close()
            raise

    def close(self) -> None:
        """Release the device; a `read()` in another thread returns None at once."""
        with self._condition:
            worker, self._worker = self._worker, None
            self._closed = True
            self._mailbox = None
            if worker is not None:
                worker.unwanted = True
            self._condition.notify_all()
        if worker is not None:
            worker.join(self._options.close_s)

    def _wait(self, deadline_s: float, *, take: bool, patient: bool = True) -> tuple[int, Shot] | None:
        """The newest shot and its index; None once closed. Supervises the worker and tells of changes meanwhile."""
        while True:
            with self._condition:
                now_s = _now_s()
                newest = None if self._closed else self._newest(take=take)
                if newest is None and not self._closed:
                    self._supervise(now_s)
                done = self._closed or newest is not None
                fatal = self._fatal
                late = now_s >= deadline_s or (not patient and self._online is False)
                if not (done or fatal or late or self._changes):
                    self._condition.wait(max(0.001, min(deadline_s, self._next_check_s()) - now_s))
            self._tell()
            if done:
                return newest
            if fatal is not None:
                raise fatal
            if late:
                self._raise_late()

    def _newest(self, *, take: bool) -> tuple[int, Shot] | None:
        newest = self._mailbox
        if newest is not None and timebase.now_ns() - newest[1].captured_ns > self._camera.stall_s * 1e9:
            # Nobody asked for it in time; a late name is worse than none.
            self._mailbox = None
            self._counters.add("dropped")
            return None
        if take:
            self._mailbox = None
        return newest

    def _frame(self, index: int, shot: Shot) -> Frame:
        with self._condition:
            self._counters.add("frames")
        age_s = (timebase.now_ns() - shot.captured_ns) / 1e9
        small = None if shot.small is None else turn(shot.small, self._geometry)
        image = shape(shot.image, self._geometry)
        return Frame(image, index, shot.captured_ns, timebase.wall_clock() - age_s, small)

    def _started(self) -> Worker:
        return Worker(
            self._opener,
            self._deliver,
            condition=self._condition,
            pace=Pace(self._camera.rate_fps),
            clock=_now_s,
        )

    def _deliver(self, shot: Shot) -> None:
        """Called by the worker's thread, with the lock."""
        if self._mailbox is not None:
            self._counters.add("dropped")
        self._mailbox = self._taken, shot
        self._taken += 1
        self._change(online=True, reason="")

    def _supervise(self, now_s: float) -> None:
        """With the lock: start, give up or replace the worker, as the moment asks."""
        worker = self._worker
        if worker is None:
            self._restart(now_s)
        elif worker.ended:
            self._replace(worker, now_s)
        elif now_s >= self._limit_s(worker):
            silent = "opening took" if worker.opened_s is None else "no frame for"
            self._counters.add("stalled")
            worker.unwanted = True
            self._stuck.append(worker)
            self._change(online=False, reason=f"{silent} {now_s - worker.since_s:.1f} s")
            self._replace(worker, now_s)
        elif worker.error is not None:
            self._note_failure(worker)

    def _note_failure(self, worker: Worker) -> None:
        error = worker.error
        if isinstance(error, OstiaryError) and not error.retryable:
            self._fatal = error
        text = error.problem if isinstance(error, OstiaryError) else f"{type(error).__name__}: {error}"
        self._change(online=False, reason=redact(text))

    def _replace(self, worker: Worker, now_s: float) -> None:
        if worker.error is not None:
            # A device with a time limit of its own gives up shortly before we would.
            silent = worker.opened_s is not None and worker.silent_s > _NEARLY * self._camera.stall_s
            self._counters.add("stalled" if silent else "failed")
            self._note_failure(worker)
        if worker.opened_s is not None:
            self._backoff.settle(worker.since_s - worker.opened_s)
        self._retry_s = now_s + self._backoff.next_s()
        self._worker = None

    def _restart(self, now_s: float) -> None:
        self._stuck = [worker for worker in self._stuck if not worker.ended]
        if now_s >= self._retry_s and len(self._stuck) < self._options.max_stuck and self._fatal is None:
            self._counters.add("reopened")
            self._worker = self._started()

    def _limit_s(self, worker: Worker) -> float:
        """When the worker counts as stalled."""
        return worker.since_s + (self._options.open_s if worker.opened_s is None else self._camera.stall_s)

    def _next_check_s(self) -> float:
        if self._worker is not None:
            return self._limit_s(self._worker)
        # A stuck thread that ends wakes us by its notification.
        full = len(self._stuck) >= self._options.max_stuck
        return _now_s() + 1.0 if full else self._retry_s

    def _change(self, *, online: bool, reason: str) -> None:
        if not online:
            self._reason = reason
        if self._online is not online:
            self._online = online
            self._changes.append((online, reason))
        elif not online:
            _log.debug("%s: still offline: %s", self._shown, reason)

    def _tell(self) -> None:
        """Without the lock, so that whoever is told may close us."""
        while self._changes:
            online, reason = self._changes.popleft()
            if online:
                _log.info("%s: frames arrive", self._shown)
            else:
                _log.warning("%s: offline: %s", self._shown, reason)
            if self._on_state is not None:
                self._on_state(online, reason)

    def _raise_late(self) -> NoReturn:
        problem = "no frame yet" if self._online else f"no frame ({self._reason})"
        raise SourceError(problem, where=self._shown, expected=f"one within {self._camera.stall_s:g} s", hint=_HINT)


def _now_s() -> float:
    return timebase.now_ns() / 1e9
