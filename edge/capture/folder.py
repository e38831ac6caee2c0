"""A folder of pictures, or one picture, as a source."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from pathlib import Path

from edge import timebase
from edge.capture.counters import Counters
from edge.capture.geometry import Geometry, shape
from edge.config.settings import Camera
from edge.datatypes import Frame, Image
from edge.errors import PictureError, SourceError
from edge.pictures import PICTURE_SUFFIXES, read_picture

_log = logging.getLogger(__name__)
USUAL_FPS = 5.0
"""Pictures a second on the folder's own timeline, where camera.rate_fps is left out: slow enough that each one counts."""
_DIGITS = re.compile(r"(\d+)")


class FolderSource:
    """Every picture once, in natural order; each may have another size. What cannot be read is logged, counted, skipped."""

    is_live = False
    progress = 0

    def __init__(self, path: Path, camera: Camera) -> None:
        """`path` is a folder, or a picture. SourceError for a folder without pictures."""
        self._paths = pictures_in(path) if path.is_dir() else [path]
        if not self._paths:
            expected = f"files named {' '.join(sorted(PICTURE_SUFFIXES))}"
            raise SourceError(
                "no pictures", where=str(path), expected=expected, hint="Folders inside are not searched."
            )
        self._geometry = Geometry.of(camera)
        self._counters = Counters()
        self._step_ns = int(1e9 / (camera.rate_fps or USUAL_FPS))
        self._next = 0
        self._lock = threading.Lock()

    @property
    def counters(self) -> Mapping[str, int]:
        """See edge.capture.counters.NAMES."""
        return self._counters.snapshot()

    def read(self) -> Frame | None:
        """The next picture that can be read; None behind the last, and once closed."""
        while True:
            with self._lock:
                index, self._next = self._next, self._next + 1
                if index >= len(self._paths):
                    return None
                path = self._paths[index]
            image = self._picture(path)
            if image is not None:
                self._counters.add("frames")
                moment = timebase.now_ns(), timebase.wall_clock()
                shaped, timeline_ns = shape(image, self._geometry), index * self._step_ns
                return Frame(shaped, index, *moment, name=path.name, timeline_ns=timeline_ns)

    def close(self) -> None:
        """No more pictures."""
        with self._lock:
            self._paths = []

    def _picture(self, path: Path) -> Image | None:
        try:
            return read_picture(path)
        except PictureError as error:
            self._counters.add("unreadable")
            _log.warning("skipped (%d so far): %s", self._counters["unreadable"], error)
            return None


def pictures_in(folder: Path) -> list[Path]:
    """Files with a picture's suffix, hidden ones left out, naturally sorted: 2.jpg before 10.jpg."""
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise SourceError(f"cannot be read ({error.strerror})", where=str(folder), expected="a folder") from error
    found = [path for path in entries if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")]
    return sorted((path for path in found if path.is_file()), key=lambda path: natural_key(path.name))


def natural_key(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sorts digits by their value and letters without case; equal names by the characters themselves."""
    # A split by a group puts text at even and digits at odd places, so that like is compared with like.
    parts = _DIGITS.split(name.casefold())
    return [(int(part), "") if at % 2 else (0, part) for at, part in enumerate(parts)], name
