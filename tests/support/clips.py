"""Pictures that carry a number and show which way up they are, and clips made of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from edge.datatypes import Image

BITS = 8
CORNERS = {
    "upper_left": (255, 0, 0),
    "upper_right": (0, 255, 0),
    "lower_left": (0, 0, 255),
    "lower_right": (0, 255, 255),
}
"""BGR of each quarter: blue, green, red, yellow."""


def numbered_picture(number: int, width: int = 160, height: int = 120) -> Image:
    """Four coloured quarters and, in the middle row, the eight bits of `number` as black and white blocks."""
    image: Image = np.zeros((height, width, 3), np.uint8)
    half_x, half_y = width // 2, height // 2
    image[:half_y, :half_x] = CORNERS["upper_left"]
    image[:half_y, half_x:] = CORNERS["upper_right"]
    image[half_y:, :half_x] = CORNERS["lower_left"]
    image[half_y:, half_x:] = CORNERS["lower_right"]
    top, bottom = height * 3 // 8, height * 5 // 8
    for bit in range(BITS):
        value = 255 if number >> bit & 1 else 0
        image[top:bottom, width * bit // BITS : width * (bit + 1) // BITS] = value
    return image


def number_of(image: Image) -> int:
    """The number in a picture that may have been through a lossy codec."""
    height, width = image.shape[:2]
    row = image[height // 2].mean(axis=1)
    return sum(int(row[width * (2 * bit + 1) // (2 * BITS)] > 127) << bit for bit in range(BITS))


def corner_colours(image: Image) -> dict[str, tuple[int, int, int]]:
    """Median colour near each corner, every channel rounded to 0 or 255."""
    height, width = image.shape[:2]
    y, x = height // 5, width // 5
    parts = {
        "upper_left": image[:y, :x], "upper_right": image[:y, -x:],
        "lower_left": image[-y:, :x], "lower_right": image[-y:, -x:],
    }  # fmt: skip
    return {name: _rounded(np.median(part.reshape(-1, 3), axis=0)) for name, part in parts.items()}


def _rounded(colour: np.ndarray) -> tuple[int, int, int]:
    blue, green, red = (255 if value > 127 else 0 for value in colour)
    return blue, green, red


def write_clip(path: Path, numbers: Iterable[int], *, fps: float = 25.0, width: int = 160, height: int = 120) -> Path:
    """A clip of numbered pictures: Motion JPEG in .avi, MPEG-4 part 2 in .mp4."""
    codec = {".avi": "MJPG", ".mp4": "mp4v"}[path.suffix]
    fourcc = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, fps, (width, height))
    assert writer.isOpened(), f"this OpenCV cannot write {codec}"
    for number in numbers:
        writer.write(numbered_picture(number, width, height))
    writer.release()
    return path


def jpeg(image: Image, quality: int = 90) -> bytes:
    """A baseline JPEG with the standard Huffman tables."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()
