"""One try at a device, from opening to closing, in a thread of its own that can be given up.

Cameras hang where no time limit reaches: picamera2 waits without limit, `read()` of an RTSP stream can block for ever.
Such a thread is left behind; it closes its device and ends if it ever wakes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from edge.capture.device import Device, Opener, Shot
from edge.capture.pace import Pace


class Worker:
    """Runs `opener`, hands every picture to `deliver`, and notes how it is doing. Fields are guarded by `condition`."""

    def __init__(
        self,
        opener: Opener,
        deliver: Callable[[Shot], None],
        *,
        condition: threading.Condition,
        pace: Pace,
        clock: Callable[[], float],
        open_limit_s: float,
    ) -> None:
        """`deliver` is called with the condition held. `clock` gives monotonic seconds."""
        self._opener = opener
        self._deliver = deliver
        self._condition = condition
        self._pace = pace
        self._clock = clock
        self.open_limit_s = open_limit_s
        self.started_s = self.since_s = clock()
        """When it began, and when it last got anywhere."""
        self.opened_s: float | None = None
        self.first_s: float | None = None
        """When its first picture came."""
        self.silent_s = 0.0
        """How long it had got nowhere when it failed."""
        self.error: Exception | None = None
        self.ended = False
        self.unwanted = False
        """Set to make it stop at its next step; what it still delivers is dropped."""
        self._thread = threading.Thread(target=self._run, name="ostiary-capture", daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for its end, but not for ever."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        device: Device | None = None
        try:
            device = self._opener(self.open_limit_s)
            self._progress(opened=True)
            while not self.unwanted:
                device.advance()
                self._take(device)
        except Exception as error:  # noqa: BLE001 - camera libraries raise anything; a dead thread would be a silent camera
            with self._condition:
                self.error = error
                now_s = self._clock()
                self.silent_s, self.since_s = now_s - self.since_s, now_s
                self._condition.notify_all()
        if device is not None:
            with contextlib.suppress(Exception):
                device.close()
        with self._condition:
            self.ended = True
            self._condition.notify_all()

    def _progress(self, *, opened: bool = False) -> None:
        with self._condition:
            self.since_s = self._clock()
            if opened:
                self.opened_s = self.since_s
            elif self.first_s is None:
                self.first_s = self.since_s
                # So that a reader waits for the stall limit from here, not for what is left of the opening limit.
                self._condition.notify_all()

    def _take(self, device: Device) -> None:
        self._progress()
        if not self._pace.takes(self._clock()):
            return
        shot = device.picture()
        with self._condition:
            if not self.unwanted:
                self._deliver(shot)
                self._condition.notify_all()
