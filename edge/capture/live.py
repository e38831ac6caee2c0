"""A live source: keeps only the newest frame, survives a device that stalls or vanishes, and tells of it once.

All decisions are made by the thread that calls `read()`, under one lock; the worker's thread only fills the mailbox.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import NoReturn

from edge import timebase
from edge.capture.content import Content, Picture
from edge.capture.counters import Counters
from edge.capture.device import Opener, Shot
from edge.capture.geometry import Geometry, shape, turn
from edge.capture.ladder import Ladder, LiveOptions
from edge.capture.pace import Pace
from edge.capture.uri import redact
from edge.capture.worker import Worker
from edge.config.settings import Camera
from edge.datatypes import Frame
from edge.errors import OstiaryError, SourceError, SourceStuckError

OnState = Callable[[bool, str], None]
"""Called with (online, reason), once for each change, in the thread that calls `read()`."""
_log = logging.getLogger(__name__)
_NEARLY = 0.75
_HINT = "`ostiary check` looks at the camera; it is tried again by itself."
_STUCK_HINT = (
    "Only a new process frees the camera; a service manager starts one by itself. "
    "Where it comes back: power supply, cable and driver (`dmesg`)."
)
_BLACK = "the picture is black: lens cap, no light, or a dead sensor"


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
        self._ladder = Ladder(self._options, give_up_s=camera.give_up_s, rng=rng)
        self._content = Content(frozen_s=camera.frozen_s, black_s=camera.black_s)
        self._mailbox: tuple[int, Shot] | None = None
        self._taken = 0
        self._judged = -1
        self._withheld = 0
        self._last_s = _now_s()
        self._online: bool | None = None
        self._reason = "not opened yet"
        self._changes: deque[tuple[bool, str]] = deque()
        self._fatal: OstiaryError | None = None
        self._closed = False
        self._worker: Worker | None = self._started()

    @property
    def counters(self) -> Mapping[str, int]:
        """See edge.capture.counters.NAMES."""
        with self._condition:
            return self._counters.snapshot()

    @property
    def picture(self) -> Picture:
        """What the newest picture says about the camera."""
        with self._condition:
            return self._content.picture

    @property
    def progress(self) -> int:
        """Grows as long as a source without frames is attended to: tries to open it that ended, frozen pictures withheld."""
        with self._condition:
            return self._ladder.steps + self._withheld

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
        """With the lock: what is in the mailbox, unless it tells nothing new."""
        newest = self._mailbox
        if newest is None:
            return None
        late = timebase.now_ns() - newest[1].captured_ns > self._camera.stall_s * 1e9
        # Nobody asked for it in time, and a late name is worse than none; or it is the frozen one once more.
        if late or not self._is_news(*newest):
            self._mailbox = None
            self._counters.add("dropped")
            return None
        if take:
            self._mailbox = None
        return newest

    def _is_news(self, index: int, shot: Shot) -> bool:
        if index == self._judged:
            return True
        self._judged = index
        now_s = self._last_s = _now_s()
        before = self._content.picture
        picture = self._content.feed(shot.image, now_s)
        if picture == "frozen":
            self._withhold(now_s)
            return False
        self._change(online=True, reason="")
        if picture != before and "black" in {picture, before}:
            told = (logging.WARNING, _BLACK) if picture == "black" else (logging.INFO, "the picture has content again")
            _log.log(told[0], "%s: %s", self._shown, told[1])
        return True

    def _withhold(self, now_s: float) -> None:
        self._withheld += 1
        if self._online:
            self._change(online=False, reason=f"the picture has not changed for {self._content.same_s(now_s):.1f} s")
        if self._worker is not None and self._content.wants_reopening(now_s):
            self._counters.add("frozen")
            self._leave(self._worker, now_s)

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
            open_limit_s=self._ladder.open_limit_s,
        )

    def _deliver(self, shot: Shot) -> None:
        """Called by the worker's thread, with the lock."""
        if self._mailbox is not None:
            self._counters.add("dropped")
        self._mailbox = self._taken, shot
        self._taken += 1

    def _supervise(self, now_s: float) -> None:
        """With the lock: start, give up or replace the worker, as the moment asks."""
        self._check_hope(now_s)
        worker = self._worker
        if worker is None:
            self._restart(now_s)
        elif worker.ended:
            self._replace(worker, now_s)
        elif now_s >= self._limit_s(worker):
            silent = "opening took" if worker.opened_s is None else "no frame for"
            self._counters.add("stalled")
            self._change(online=False, reason=f"{silent} {now_s - worker.since_s:.1f} s")
            self._leave(worker, now_s)
        elif worker.error is not None:
            self._note_failure(worker)

    def _check_hope(self, now_s: float) -> None:
        stuck_s = self._ladder.stuck_s(now_s, self._last_s)
        if stuck_s is not None and self._fatal is None:
            problem = f"a call to the camera has not come back for {stuck_s:.0f} s, and no frame came meanwhile"
            self._fatal = SourceStuckError(problem, where=self._shown, hint=_STUCK_HINT)

    def _leave(self, worker: Worker, now_s: float) -> None:
        """Let its thread end when it can, and go on without it."""
        worker.unwanted = True
        self._ladder.leave(worker, now_s)
        self._replace(worker, now_s)

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
        if worker.first_s is not None:
            self._ladder.opened(worker.first_s - worker.started_s)
        self._ladder.ended(now_s, up_s=None if worker.opened_s is None else worker.since_s - worker.opened_s)
        self._content.interrupted()
        self._worker = None

    def _restart(self, now_s: float) -> None:
        if self._fatal is None and self._ladder.may_try(now_s):
            self._counters.add("reopened")
            self._worker = self._started()

    def _limit_s(self, worker: Worker) -> float:
        """When the worker counts as stalled."""
        if worker.first_s is None:
            return worker.started_s + max(worker.open_limit_s, self._camera.stall_s)
        return worker.since_s + self._camera.stall_s

    def _next_check_s(self) -> float:
        # A thread that ends wakes us by its notification.
        return self._ladder.next_try_s if self._worker is None else self._limit_s(self._worker)

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
