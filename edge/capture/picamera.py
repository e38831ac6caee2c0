"""Raspberry Pi cameras through picamera2: a main stream and, for the detector, a low-resolution one for free."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import cv2

from edge import timebase
from edge.capture.device import OPEN_S, Shot
from edge.config.settings import Camera
from edge.datatypes import Image
from edge.errors import MissingDependencyError, SourceError

_DEFAULT_SIZE = (1280, 720)
_MAIN_FORMAT = "RGB888"
"""libcamera names formats by their bits in a word, so "RGB888" lies in memory as B, G, R: what OpenCV calls BGR."""
_SMALL_FORMAT = "YUV420"
"""The only low-resolution format that boards before the Raspberry Pi 5 can give."""
_BUFFERS = 4
_LEAST_SENSOR_FPS = 5.0
"""Below this the rate is kept by leaving frames out: the sensor itself would expose for too long."""
_OLDEST_NS = 2_000_000_000
"""An exposure said to be older than this, or in the future, was stamped by another clock."""
_SHARE = 0.9
"""We stop waiting for a request this much earlier than the reader would, so that the camera is closed, not abandoned."""
_HINT = "`rpicam-hello --list-cameras` (libcamera-hello on older systems) shows what the board sees; only one program may use a camera."


class PicameraOpener:
    """Opens camera `number`. The library is imported here, once, in the thread that makes this object."""

    def __init__(self, number: int, camera: Camera, *, small_px: int | None = None, library: Any = None) -> None:
        """`small_px` is the longer side of the low-resolution stream, None leaves it out.

        `library` stands in for the module picamera2; MissingDependencyError without either.
        """
        self._number = number
        self._camera = camera
        self._small_px = small_px
        self._library = _import() if library is None else library

    def __call__(self, limit_s: float = OPEN_S) -> PicameraDevice:
        """SourceError when the camera is absent, used by another program, or refuses the configuration."""
        first_until_s = time.monotonic() + limit_s * _SHARE
        where = f"picamera2:{self._number}"
        camera: Any = None
        try:
            camera = self._library.Picamera2(self._number)
            camera.configure(camera.create_video_configuration(**self._wishes()))
            camera.start()
        except (RuntimeError, IndexError, ValueError, OSError) as error:
            if camera is not None:
                with contextlib.suppress(RuntimeError, OSError):
                    camera.close()
            problem = f"cannot be opened ({type(error).__name__}: {error})"
            raise SourceError(problem, where=where, expected="a free camera", hint=_HINT) from error
        return PicameraDevice(
            camera, where, has_small="lores" in self._wishes(),
            read_s=self._camera.stall_s * _SHARE, first_until_s=first_until_s,
        )  # fmt: skip

    def _wishes(self) -> dict[str, Any]:
        """Arguments of Picamera2.create_video_configuration."""
        camera = self._camera
        size = _DEFAULT_SIZE
        if camera.width_px is not None and camera.height_px is not None:
            size = (camera.width_px, camera.height_px)
        wishes: dict[str, Any] = {"main": {"size": size, "format": _MAIN_FORMAT}, "buffer_count": _BUFFERS}
        small = None if self._small_px is None else _small_size(size, self._small_px)
        if small is not None:
            wishes["lores"] = {"size": small, "format": _SMALL_FORMAT}
        if camera.rate_fps is not None and camera.rate_fps >= _LEAST_SENSOR_FPS:
            wishes["controls"] = {"FrameRate": camera.rate_fps}
        return wishes


class PicameraDevice:
    """A started Picamera2 as a live Device."""

    def __init__(self, camera: Any, where: str, *, has_small: bool, read_s: float, first_until_s: float) -> None:
        """`read_s` limits the wait for a frame; the first one may come until the moment `first_until_s` (monotonic)."""
        self._read_s = read_s
        self._first_until_s = first_until_s
        self._camera = camera
        self._where = where
        self._small_size: tuple[int, int] | None = (
            tuple(camera.camera_configuration()["lores"]["size"]) if has_small else None
        )
        self._request: Any = None

    def advance(self) -> None:
        """Wait for the next request of the camera, within a limit that the library itself does not know."""
        self._drop()
        limit_s = max(self._read_s, self._first_until_s - time.monotonic())
        self._first_until_s = 0.0
        came = threading.Event()
        job = self._camera.capture_request(wait=False, signal_function=lambda _: came.set())
        if not came.wait(limit_s):
            self._cancel()
            raise SourceError(f"no frame for {limit_s:.1f} s", where=self._where)
        self._request = job.get_result()

    def _cancel(self) -> None:
        """Before 0.3.25 the library cannot: closing waits behind the request then, and is left behind if it never comes."""
        cancel = getattr(self._camera, "cancel_all_and_flush", None)
        if cancel is not None:
            cancel()

    def picture(self) -> Shot:
        """Copy its pictures, and give its buffers back to the camera at once."""
        with self._taken() as request:
            captured_ns = _captured_ns(request.get_metadata())
            small = None
            if self._small_size is not None:
                small = _from_yuv420(request.make_array("lores"), *self._small_size)
            return Shot(request.make_array("main")[:, :, :3], captured_ns, small)

    def close(self) -> None:
        """Release the buffers and the camera."""
        self._drop()
        try:
            self._camera.stop()
        finally:
            self._camera.close()

    @contextlib.contextmanager
    def _taken(self) -> Iterator[Any]:
        request, self._request = self._request, None
        if request is None:
            raise SourceError("no frame was captured", where=self._where)
        try:
            yield request
        finally:
            request.release()

    def _drop(self) -> None:
        """A request nobody looked at; with all buffers taken the camera would stop for good."""
        if self._request is not None:
            with self._taken():
                pass


def _import() -> Any:
    try:
        import picamera2
    except ImportError as error:
        missing = MissingDependencyError("picamera2", extra="picamera2", purpose="camera.uri picamera2:")
        missing.hint = (
            "sudo apt install python3-picamera2, and make the virtual environment with --system-site-packages."
        )
        raise missing from error
    return picamera2


def _small_size(size: tuple[int, int], longer_px: int) -> tuple[int, int] | None:
    """Even, with the aspect ratio of `size`; None where the main stream is small enough itself."""
    factor = longer_px / max(size)
    if factor >= 1:
        return None
    return max(2, round(size[0] * factor / 2) * 2), max(2, round(size[1] * factor / 2) * 2)


def _from_yuv420(planes: Image, width: int, height: int) -> Image:
    """BGR uint8 height x width from picamera2's array: rows of Y, then of U and V, padded on the right to the stride."""
    whole: Image = cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)  # type: ignore[assignment]
    return whole[:height, :width]


def _captured_ns(metadata: dict[str, Any]) -> int:
    """Monotonic time of the exposure. SensorTimestamp counts from boot, suspended time included."""
    stamp = metadata.get("SensorTimestamp")
    age_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - int(stamp) if stamp else 0
    return timebase.now_ns() - (age_ns if 0 <= age_ns <= _OLDEST_NS else 0)
