"""A video file: every frame in order, or played at its own pace."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2

from edge import timebase
from edge.capture.counters import Counters
from edge.capture.geometry import Geometry, shape
from edge.capture.opencv import CaptureFactory, as_bgr, decoder_parameters
from edge.capture.pace import Pace
from edge.config.settings import Camera
from edge.datatypes import Frame
from edge.errors import SourceError
from edge.pictures import quiet_opencv

_log = logging.getLogger(__name__)
_USUAL_FPS = 25.0
_SHORT = 0.02
"""The number of frames in a header is often an estimate; a clip that misses more than this share was cut off."""
_HINT = "Play it with another program; a recording that was cut off may need to be repaired or recorded as .mkv."


class VideoSource:
    """Frames of a file, held one at a time. `read()` in one thread; `close()` from any."""

    is_live = False
    progress = 0

    def __init__(
        self,
        path: Path,
        camera: Camera,
        *,
        factory: CaptureFactory = cv2.VideoCapture,
        clock: Callable[[], int] = timebase.now_ns,
    ) -> None:
        """SourceError when the file is missing, empty, or not a video. `clock` gives monotonic nanoseconds."""
        self._path = path
        self._geometry = Geometry.of(camera)
        self._pace = Pace(camera.rate_fps)
        self._realtime = camera.realtime
        self._clock = clock
        self._counters = Counters()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._capture: Any = _opened(path, factory)
        self._fps = _positive(self._capture.get(cv2.CAP_PROP_FPS)) or _USUAL_FPS
        self._promised = int(_positive(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self._grabbed = 0
        self._time_s = 0.0
        self._started_ns: int | None = None
        self._ahead = self._grab()
        if not self._ahead:
            self.close()
            raise SourceError("a video without a frame that can be decoded", where=str(path), hint=_HINT)

    @property
    def counters(self) -> Mapping[str, int]:
        """See edge.capture.counters.NAMES."""
        return self._counters.snapshot()

    def read(self) -> Frame | None:
        """The next frame; None at the end, and once closed."""
        while self._next_taken():
            if self._realtime and not self._wait_until_due():
                continue
            with self._lock:
                if self._capture is None:
                    return None
                self._ahead = False
                done, image = self._capture.retrieve()
            if done and image is not None:
                self._counters.add("frames")
                moment = timebase.now_ns(), timebase.wall_clock()
                timeline_ns = None if self._realtime else int(self._time_s * 1e9)
                shaped = shape(as_bgr(image), self._geometry)
                return Frame(shaped, self._grabbed - 1, *moment, timeline_ns=timeline_ns)
            self._counters.add("dropped")
        self.close()
        return None

    def close(self) -> None:
        """Release the file."""
        self._closing.set()
        with self._lock:
            if self._capture is not None:
                self._capture.release()
                self._capture = None

    def _next_taken(self) -> bool:
        """Go to the next frame that the rate limit lets through; False at the end."""
        while self._ahead or self._grab():
            self._ahead = True
            if self._pace.takes(self._time_s):
                return True
            self._ahead = False
        return False

    def _grab(self) -> bool:
        with self._lock:
            if self._capture is None:
                return False
            done = bool(self._capture.grab())
            stamp_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if not done:
            self._note_end()
            return False
        # Some containers have no timestamps, or nonsense in them.
        usable = self._time_s < stamp_s < self._time_s + 3600
        self._time_s = stamp_s if usable else (self._time_s + 1 / self._fps if self._grabbed else 0.0)
        self._grabbed += 1
        return True

    def _note_end(self) -> None:
        missing = self._promised - self._grabbed
        if self._grabbed and missing > max(1, _SHORT * self._promised):
            _log.warning(
                "%s: ended after %d of %d frames; the file is cut off", self._path, self._grabbed, self._promised
            )

    def _wait_until_due(self) -> bool:
        """Sleep until the frame's moment; False when that has passed so long ago that a live camera had the next one."""
        now_ns = self._clock()
        if self._started_ns is None:
            self._started_ns = now_ns - int(self._time_s * 1e9)
        late_s = (now_ns - self._started_ns) / 1e9 - self._time_s
        if late_s > 1.0:
            # Decoding alone is slower than the clip: show what there is rather than drop for ever.
            self._started_ns += int(late_s * 1e9)
        elif late_s > 1 / self._fps:
            self._counters.add("dropped")
            self._ahead = False
            return False
        if late_s < 0:
            self._closing.wait(-late_s)
        return True


def _opened(path: Path, factory: CaptureFactory) -> Any:
    where = str(path)
    if not path.exists():
        raise SourceError("no such file or folder", where=where, expected="a video", hint="Check camera.uri.")
    if not path.is_file():
        raise SourceError("not a file", where=where, expected="a video or a folder of pictures")
    if path.stat().st_size == 0:
        raise SourceError("an empty file", where=where, expected="a video", hint="Copy it again.")
    quiet_opencv()
    # An absolute path cannot be taken for a protocol of FFmpeg, whatever the name is.
    capture = factory(str(path.resolve()), cv2.CAP_FFMPEG, decoder_parameters())
    if not capture.isOpened():
        capture.release()
        raise SourceError("not a video that FFmpeg can read", where=where, expected="a whole video file", hint=_HINT)
    return capture


def _positive(value: float) -> float:
    """`value`, or 0 where a container has none."""
    return float(value) if math.isfinite(value) and 0 < value < 1e9 else 0.0
