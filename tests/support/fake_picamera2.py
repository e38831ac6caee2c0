"""What Ostiary uses of the module picamera2 (0.3.12 and later), on a board that exists only here."""

from __future__ import annotations

import threading
import time
from typing import Any

import cv2
import numpy as np

from edge.datatypes import Image
from tests.support.clips import numbered_picture

_ALIGNMENT = 64


class FakeBoard:
    """Stands in for the module: has `Picamera2`. Switches: `cameras`, `flowing` (cleared: requests never come), `broken`."""

    def __init__(self, *, cameras: int = 1, fps: float = 50.0) -> None:
        self.cameras = cameras
        self.fps = fps
        self.flowing = threading.Event()
        self.flowing.set()
        self.broken = False
        self.acquired: set[int] = set()
        self.opened: list[Picamera2] = []

    def Picamera2(self, camera_num: int = 0) -> Picamera2:  # noqa: N802 - its name
        """Open a camera."""
        return Picamera2(self, camera_num)


class Picamera2:
    """The camera object."""

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

    def capture_request(self) -> CompletedRequest:
        """Waits without limit, as the real one does."""
        time.sleep(1 / self.board.fps)
        # The real one would wait for ever for a buffer; a test should not.
        assert self.free_buffers, "every buffer is taken and none was released"
        while not self.board.flowing.wait(0.05):
            if not self.running:
                raise RuntimeError("Camera stopped while waiting")
        if self.board.broken:
            raise RuntimeError("Camera frontend has timed out!")
        self.free_buffers -= 1
        self.taken += 1
        return CompletedRequest(self, self.taken - 1)

    def stop(self) -> None:
        self.running = False

    def close(self) -> None:
        self.running = False
        self.board.acquired.discard(self.number)


class CompletedRequest:
    """One set of buffers, lent by the camera."""

    def __init__(self, camera: Picamera2, number: int) -> None:
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
