"""Cameras and streams through cv2.VideoCapture: V4L2, and whatever FFmpeg understands."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from edge import timebase
from edge.capture.device import OPEN_S, Shot
from edge.config.settings import Camera
from edge.datatypes import Image
from edge.errors import SourceError
from edge.pictures import quiet_opencv

CaptureFactory = Callable[..., Any]
"""cv2.VideoCapture, or something that behaves like it."""
DECODER_THREADS = 1
"""Each more costs a set of decoded pictures: 13 MB at 1080p, for no shorter wait on one core."""
_RAW_PIXELS = 640 * 480
"""USB 2 carries 30 raw frames a second of this size; larger ones are asked for as Motion JPEG."""
_READ_SHARE = 0.9
"""Libraries give up this much earlier than we would, so that a stalled device is closed rather than abandoned."""
_NEARLY = 0.8
_V4L2_LIMIT = "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"
"""Whole seconds that OpenCV waits for a V4L2 camera, 10 otherwise; it reads this once, with its first camera."""


def stream_parameters(*, open_s: float, read_s: float) -> list[int]:
    """Time limits and decoder threads for FFmpeg.

    RTSP goes over TCP: OpenCV prefers it as long as nobody sets OPENCV_FFMPEG_CAPTURE_OPTIONS, and who does is obeyed.
    """
    return [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, max(1, int(open_s * 1000)),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, max(1, int(read_s * 1000)),
        *decoder_parameters(),
    ]  # fmt: skip


def decoder_parameters(library: Any = cv2) -> list[int]:
    """Threads for FFmpeg. OpenCV 4.6, which Debian 12 has for 32-bit ARM, knows no such parameter and refuses what it does not know."""
    return [library.CAP_PROP_N_THREADS, DECODER_THREADS] if hasattr(library, "CAP_PROP_N_THREADS") else []


class CaptureDevice:
    """An opened cv2.VideoCapture as a live Device."""

    def __init__(self, capture: Any, where: str, *, read_s: float = 0.0, first_until_s: float = 0.0) -> None:
        """`where` names it without a password.

        `read_s` is the library's own time limit of a read; until the moment `first_until_s` (monotonic) it may run out
        without a picture, because many cameras need longer for their first one.
        """
        self._capture = capture
        self._where = where
        self._read_s = read_s
        self._first_until_s = first_until_s
        self._grabbed_ns = 0

    def advance(self) -> None:
        """Wait for the next picture."""
        started_s = time.monotonic()
        while not self._capture.grab():
            now_s = time.monotonic()
            if not self._may_wait_on(started_s, now_s):
                waited_s = now_s - started_s
                problem = f"no frame for {waited_s:.1f} s" if waited_s > 0.1 else "it stopped giving frames"
                raise SourceError(problem, where=self._where)
        self._grabbed_ns = timebase.now_ns()

    def _may_wait_on(self, started_s: float, now_s: float) -> bool:
        """Whether the first picture is merely late; a connection that broke ends a read before its time limit."""
        ran_out = now_s - started_s >= _NEARLY * self._read_s > 0
        return not self._grabbed_ns and ran_out and now_s + self._read_s < self._first_until_s

    def picture(self) -> Shot:
        """Convert it to BGR."""
        done, image = self._capture.retrieve()
        if not done or image is None:
            raise SourceError("a frame that cannot be decoded", where=self._where)
        return Shot(as_bgr(image), self._grabbed_ns)

    def close(self) -> None:
        """Release it."""
        self._capture.release()


class StreamOpener:
    """Opens an RTSP or HTTP address with FFmpeg.

    OpenCV opens the streams of one process one after the other: an opening that was left behind holds up the next one until
    it ends, which its time limit sees to before ours does.
    """

    def __init__(self, url: str, shown: str, *, stall_s: float, factory: CaptureFactory) -> None:
        self._url = url
        self._shown = shown
        self._read_s = stall_s * _READ_SHARE
        self._factory = factory

    def __call__(self, limit_s: float = OPEN_S) -> CaptureDevice:
        """SourceError when nobody answers, or with something that is no stream."""
        quiet_opencv()
        started_s = time.monotonic()
        open_s = limit_s * _READ_SHARE
        capture = self._factory(self._url, cv2.CAP_FFMPEG, stream_parameters(open_s=open_s, read_s=self._read_s))
        if not capture.isOpened():
            waited_s = time.monotonic() - started_s
            hint = "Check address, user and password with another player, for example ffplay or VLC."
            raise SourceError(
                f"cannot be opened (gave up after {waited_s:.1f} s)", where=self._shown, expected="a stream", hint=hint
            )
        return CaptureDevice(capture, self._shown, read_s=self._read_s, first_until_s=started_s + open_s)


class V4l2Opener:
    """Opens a USB or other V4L2 camera."""

    def __init__(self, node: str, camera: Camera, *, factory: CaptureFactory) -> None:
        """`node` may be a link, as those in /dev/v4l/by-id, which lead to the camera whatever its number is now."""
        self._node = Path(node)
        self._camera = camera
        self._factory = factory
        self._read_s = float(max(1, int(camera.stall_s * _READ_SHARE)))

    def __call__(self, limit_s: float = OPEN_S) -> CaptureDevice:
        """SourceError when the camera is absent, forbidden or used by another program."""
        quiet_opencv()
        os.environ.setdefault(_V4L2_LIMIT, f"{self._read_s:.0f}")
        started_s = time.monotonic()
        self._check_node()
        capture = self._factory(str(self._node), cv2.CAP_V4L2)
        if not capture.isOpened():
            hint = f"`fuser -v {self._node}` tells who uses it; `v4l2-ctl --list-devices` which nodes give pictures."
            raise SourceError("cannot be opened", where=str(self._node), expected="a free camera", hint=hint)
        for name, value in self._wishes():
            capture.set(name, value)
        first_until_s = started_s + limit_s * _READ_SHARE
        return CaptureDevice(capture, str(self._node), read_s=self._read_s, first_until_s=first_until_s)

    def _wishes(self) -> list[tuple[int, float]]:
        """Properties in the order that V4L2 wants them: pixel format, size, rate. A camera may refuse each."""
        camera = self._camera
        wishes: list[tuple[int, float]] = [(cv2.CAP_PROP_BUFFERSIZE, 1)]
        if camera.width_px is not None and camera.height_px is not None:
            if camera.width_px * camera.height_px > _RAW_PIXELS:
                wishes.append((cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")))
            wishes += [(cv2.CAP_PROP_FRAME_WIDTH, camera.width_px), (cv2.CAP_PROP_FRAME_HEIGHT, camera.height_px)]
        if camera.rate_fps is not None:
            wishes.append((cv2.CAP_PROP_FPS, camera.rate_fps))
        return wishes

    def _check_node(self) -> None:
        where = str(self._node)
        if not self._node.exists():
            there = sorted(map(str, (*Path("/dev").glob("video*"), *Path("/dev/v4l/by-id").glob("*-index0"))))
            found = f"found {', '.join(there)}" if there else "this machine has no camera now"
            raise SourceError("no such device", where=where, expected="a camera", hint=f"Plug it in; {found}.")
        if not os.access(self._node, os.R_OK | os.W_OK):
            hint = "Add the user to the group video (`sudo usermod -aG video $USER`) and log in again."
            raise SourceError("not allowed to open it", where=where, expected="read and write access", hint=hint)


def as_bgr(image: Image) -> Image:
    """Uint8 HxWx3 from what a backend gave: grey cameras give HxW, some backends four channels."""
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)  # type: ignore[return-value]
    if image.shape[2] == 4:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)  # type: ignore[return-value]
    return image
