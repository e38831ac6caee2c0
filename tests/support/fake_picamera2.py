"""What Ostiary uses of the module picamera2 (0.3.12 and later), on a board that exists only here.

As in the real one, an event loop in a thread of its own serves jobs in order, and `stop` is such a job: it waits behind
a capture that never ends, unless that was cancelled, which versions before 0.3.25 cannot.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any

import cv2
import numpy as np

from edge.datatypes import Image
from tests.support.clips import numbered_picture

_ALIGNMENT = 64


class FakeBoard:
    """Stands in for the module: has `Picamera2`.

    Switches: `cameras`, `flowing` (cleared: requests never come), `broken`, `frozen` (the same picture again and again),
    `dark`.
    """

    def __init__(self, *, cameras: int = 1, fps: float = 50.0, can_cancel: bool = True) -> None:
        self.cameras = cameras
        self.can_cancel = can_cancel
        self.frozen = False
        self.dark = False
        self.fps = fps
        self.flowing = threading.Event()
        self.flowing.set()
        self.broken = False
        self.acquired: set[int] = set()
        self.opened: list[OldPicamera2] = []

    def Picamera2(self, camera_num: int = 0) -> OldPicamera2:  # noqa: N802 - its name
        """Open a camera."""
        return (Picamera2 if self.can_cancel else OldPicamera2)(self, camera_num)


class Job:
    """Something that the event loop shall do with the next frame."""

    def __init__(self, work: Callable[[], Any], signal_function: Callable[[Job], None] | None) -> None:
        self.work = work
        self.signal_function = signal_function
        self.future: Future[Any] = Future()

    def get_result(self) -> Any:
        """Waits without limit."""
        return self.future.result()

    def finish(self) -> None:
        try:
            self.future.set_result(self.work())
        except RuntimeError as error:
            self.future.set_exception(error)
        if self.signal_function is not None:
            self.signal_function(self)


class OldPicamera2:
    """The camera object, as of version 0.3.12."""

    def __init__(self, board: FakeBoard, camera_num: int) -> None:
        if camera_num >= board.cameras:
            raise IndexError("list index out of range")
        if camera_num in board.acquired:
            raise RuntimeError("Failed to acquire camera: Device or resource busy")
        board.acquired.add(camera_num)
        board.opened.append(self)
        self.board = board
        self.number = camera_num
        self.config: dict[str, Any] | None = None
        self.running = False
        self.jobs: list[Job] = []
        self.stopping = False
        self.free_buffers = 0
        self.taken = 0

    def create_video_configuration(
        self,
        main: dict[str, Any] | None = None,
        lores: dict[str, Any] | None = None,
        *,
        buffer_count: int = 6,
        controls: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        main = {"size": (1280, 720), "format": "XBGR8888", **(main or {})}
        if lores is not None and any(a > b for a, b in zip(lores["size"], main["size"], strict=True)):
            raise RuntimeError("lores stream dimensions may not exceed main stream")
        return {"main": main, "lores": lores, "buffer_count": buffer_count, "controls": controls or {}}

    def configure(self, config: dict[str, Any]) -> None:
        assert not self.running, "Camera must be stopped before configuring"
        self.config = config
        self.free_buffers = config["buffer_count"]

    def camera_configuration(self) -> dict[str, Any]:
        assert self.config is not None
        return self.config

    def start(self) -> None:
        self.running = True
        threading.Thread(target=self._serve, daemon=True).start()

    def capture_request(
        self, wait: Any = None, signal_function: Callable[[Job], None] | None = None
    ) -> CompletedRequest | Job:
        """Waits without limit when it waits."""
        job = Job(self._complete, signal_function)
        self.jobs.append(job)
        return job.get_result() if wait or (wait is None and signal_function is None) else job

    def stop(self) -> None:
        if self.running:
            job = Job(lambda: None, None)
            self.jobs.append(job)
            self.stopping = True
            job.get_result()
            self.running = False

    def close(self) -> None:
        self.stop()
        self.board.acquired.discard(self.number)

    def _serve(self) -> None:
        while self.running:
            time.sleep(1 / self.board.fps)
            # Stopping is prompt only where nothing waits before it.
            if self.jobs and (self.board.flowing.is_set() or (self.stopping and len(self.jobs) == 1)):
                self.jobs.pop(0).finish()

    def _complete(self) -> CompletedRequest:
        # The real one would wait for ever for a buffer; a test should not.
        assert self.free_buffers, "every buffer is taken and none was released"
        if self.board.broken:
            raise RuntimeError("Camera frontend has timed out!")
        self.free_buffers -= 1
        if not self.board.frozen:
            self.taken += 1
        return CompletedRequest(self, max(0, self.taken - 1))


class Picamera2(OldPicamera2):
    """As of version 0.3.25: for closing a camera whose frames have stopped."""

    def cancel_all_and_flush(self) -> None:
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            job.future.set_exception(CancelledError())


class CompletedRequest:
    """One set of buffers, lent by the camera."""

    def __init__(self, camera: OldPicamera2, number: int) -> None:
        self._camera = camera
        self._number = number
        self._stamp_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 3_000_000
        self._released = False

    def get_metadata(self) -> dict[str, Any]:
        return {"SensorTimestamp": self._stamp_ns, "ExposureTime": 3000}

    def make_array(self, name: str) -> Image:
        assert not self._released, "used after release"
        stream = self._camera.camera_configuration()[name]
        picture = numbered_picture(self._number % 256, *stream["size"])
        if self._camera.board.dark:
            picture = picture // 255
        if stream["format"] == "RGB888":
            return picture
        if stream["format"] == "BGR888":
            return picture[:, :, ::-1].copy()
        assert stream["format"] == "YUV420", stream
        return _yuv420(picture)

    def release(self) -> None:
        assert not self._released, "released twice"
        self._released = True
        self._camera.free_buffers += 1


def _yuv420(picture: Image) -> Image:
    """Rows of Y, U, V with the padding on the right that the hardware's stride makes."""
    width = picture.shape[1]
    stride = -(-width // _ALIGNMENT) * _ALIGNMENT
    padded = cv2.copyMakeBorder(picture, 0, 0, 0, stride - width, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    return np.asarray(cv2.cvtColor(padded, cv2.COLOR_BGR2YUV_I420))
