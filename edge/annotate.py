"""Boxes and names drawn into frames, for people who want to see what the daemon saw."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.datatypes import Box, Image
from edge.errors import OstiaryError

Colour = tuple[int, int, int]
KNOWN: Colour = (96, 200, 64)
UNKNOWN: Colour = (64, 64, 230)
REFUSED: Colour = (40, 150, 240)
UNDECIDED: Colour = (210, 190, 60)


@dataclass(frozen=True, slots=True)
class Mark:
    """One box with a few words; BGR colour."""

    box: Box
    text: str
    colour: Colour


def annotated(image: Image, marks: Sequence[Mark]) -> Image:
    """A copy of a BGR uint8 picture with the marks drawn in; line width follows the picture's size."""
    canvas = image.copy()
    scale = max(image.shape[:2]) / 1000
    width = max(1, round(2 * scale))
    for mark in marks:
        x1, y1, x2, y2 = (round(value) for value in mark.box)
        cv2.rectangle(canvas, (x1, y1), (x2, y2), mark.colour, width, cv2.LINE_AA)
    for mark in marks:
        _write(canvas, mark, (round(mark.box.x1), round(mark.box.y1)), max(0.35, 0.55 * scale))
    return canvas


def _write(canvas: Image, mark: Mark, corner: tuple[int, int], size: float) -> None:
    text, thickness = plain_ascii(mark.text), max(1, round(size * 1.6))
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, size, thickness)
    x = min(max(0, corner[0]), max(0, canvas.shape[1] - width))
    y = corner[1] - base if corner[1] - height - 2 * base > 0 else max(0, corner[1]) + height + base
    cv2.rectangle(canvas, (x, y - height - base // 2), (x + width, y + base), mark.colour, cv2.FILLED)
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_DUPLEX, size, (20, 20, 20), thickness, cv2.LINE_AA)


def plain_ascii(text: str) -> str:
    """OpenCV's fonts have no other letters: accents go, the rest becomes a question mark."""
    letters = [char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char)]
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in letters)[:60] or "?"


class VideoWriter:
    """Writes annotated frames to an MP4 or AVI file; the size is that of the first frame."""

    def __init__(self, path: Path, *, fps: float = 25.0, max_side_px: int = 1280) -> None:
        self._path = path
        self._fps = fps
        self._max_side_px = max_side_px
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, image: Image) -> None:
        """Add a BGR uint8 frame, scaled down where it is too large."""
        if self._writer is None:
            self._writer = self._open(image)
        if (image.shape[1], image.shape[0]) != self._size:
            image = np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        self._writer.write(image)

    def _open(self, image: Image) -> cv2.VideoWriter:
        scale = min(1.0, self._max_side_px / max(image.shape[:2]))
        # Most codecs want even sides.
        self._size = (int(image.shape[1] * scale) // 2 * 2, int(image.shape[0] * scale) // 2 * 2)
        code = "MJPG" if self._path.suffix.lower() == ".avi" else "mp4v"
        writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*code), self._fps, self._size)
        if not writer.isOpened():
            hint = "Choose a file in a folder that exists and may be written."
            raise OstiaryError("cannot be written", where=str(self._path), expected="a .mp4 or .avi file", hint=hint)
        return writer

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None
