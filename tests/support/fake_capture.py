"""A cv2.VideoCapture that needs no device."""

from __future__ import annotations

import threading
import time
from typing import Any

from edge.datatypes import Image
from tests.support.clips import numbered_picture


class FakeCaptures:
    """Pass the object itself as the factory; every capture it made is in `made`."""

    def __init__(self, *, fps: float = 50.0, width: int = 160, height: int = 120) -> None:
        self.fps = fps
        self.size = (width, height)
        self.opens = True
        self.present = threading.Event()
        self.present.set()
        self.flowing = threading.Event()
        """Cleared: a read never returns."""
        self.flowing.set()
        self.frozen = False
        self.dark = False
        self.made: list[FakeCapture] = []

    def __call__(self, target: str, backend: int, parameters: list[int] | None = None) -> FakeCapture:
        self.made.append(FakeCapture(self, (target, backend, parameters)))
        return self.made[-1]


class FakeCapture:
    """Numbered pictures at the camera's pace until `present` is cleared."""

    def __init__(self, owner: FakeCaptures, arguments: tuple[Any, ...]) -> None:
        self.owner = owner
        self.arguments = arguments
        self.wishes: list[tuple[int, float]] = []
        self.released = 0
        self._number = -1

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self.owner.opens and self.owner.present.is_set()

    def set(self, name: int, value: float) -> bool:
        self.wishes.append((name, value))
        return False

    def grab(self) -> bool:
        assert not self.released, "used after release"
        time.sleep(1 / self.owner.fps)
        self.owner.flowing.wait()
        self._number += not (self.owner.frozen and self._number >= 0)
        return self.owner.present.is_set()

    def retrieve(self) -> tuple[bool, Image]:
        picture = numbered_picture(self._number % 256, *self.owner.size)
        return True, picture // 255 if self.owner.dark else picture

    def release(self) -> None:
        self.released += 1
