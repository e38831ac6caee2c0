"""Cameras and streams through cv2.VideoCapture: V4L2, and whatever FFmpeg understands."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from edge import timebase
from edge.capture.device import Shot
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
"""FFmpeg gives up this much earlier than we would, so that a stalled stream is closed rather than abandoned."""


def stream_parameters(*, open_s: float, read_s: float) -> list[int]:
    """Time limits and decoder threads for FFmpeg.

    RTSP goes over TCP: OpenCV prefers it as long as nobody sets OPENCV_FFMPEG_CAPTURE_OPTIONS, and who does is obeyed.
    """
    return [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, max(1, int(open_s * 1000)),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, max(1, int(read_s * 1000)),
        cv2.CAP_PROP_N_THREADS, DECODER_THREADS,
    ]  # fmt: skip


class CaptureDevice:
    """An opened cv2.VideoCapture as a live Device."""

    def __init__(self, capture: Any, where: str) -> None:
        """`where` names it without a password."""
        self._capture = capture
        self._where = where
        self._grabbed_ns = 0

    def advance(self) -> None:
        """Wait for the next picture."""
        started = time.monotonic()
        if not self._capture.grab():
            waited = time.monotonic() - started
            problem = f"no frame for {waited:.1f} s" if waited > 0.1 else "it stopped giving frames"
            raise SourceError(problem, where=self._where)
        self._grabbed_ns = timebase.now_ns()

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
    """Opens an RTSP or HTTP address with FFmpeg."""

    def __init__(self, url: str, shown: str, *, open_s: float, stall_s: float, factory: CaptureFactory) -> None:
        self._url = url
        self._shown = shown
        self._parameters = stream_parameters(open_s=open_s * _READ_SHARE, read_s=stall_s * _READ_SHARE)
        self._factory = factory

    def __call__(self) -> CaptureDevice:
        """SourceError when nobody answers, or with something that is no stream."""
        quiet_opencv()
        started = time.monotonic()
        capture = self._factory(self._url, cv2.CAP_FFMPEG, self._parameters)
        if not capture.isOpened():
            waited = time.monotonic() - started
            hint = "Check address, user and password with another player, for example ffplay or VLC."
            raise SourceError(
                f"cannot be opened (gave up after {waited:.1f} s)", where=self._shown, expected="a stream", hint=hint
            )
        return CaptureDevice(capture, self._shown)


class V4l2Opener:
    """Opens a USB or other V4L2 camera."""

    def __init__(self, node: str, camera: Camera, *, factory: CaptureFactory) -> None:
        self._node = Path(node)
        self._camera = camera
        self._factory = factory

    def __call__(self) -> CaptureDevice:
        """SourceError when the camera is absent, forbidden or used by another program."""
        quiet_opencv()
        self._check_node()
        capture = self._factory(str(self._node), cv2.CAP_V4L2)
        if not capture.isOpened():
            hint = f"`fuser -v {self._node}` tells who uses it; `v4l2-ctl --list-devices` which nodes give pictures."
            raise SourceError("cannot be opened", where=str(self._node), expected="a free camera", hint=hint)
        for name, value in self._wishes():
            capture.set(name, value)
        return CaptureDevice(capture, str(self._node))

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
            there = sorted(str(node) for node in Path("/dev").glob("video*"))
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
