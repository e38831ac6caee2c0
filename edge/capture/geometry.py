"""Size, rotation, mirror and region of interest: what happens to a picture before anything looks at it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from edge.config.settings import Camera, Rectangle
from edge.datatypes import Image

_TURNS: dict[tuple[int, bool], Callable[[Any], Any]] = {
    (0, True): lambda image: cv2.flip(image, 1),
    (90, False): lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    # A quarter turn clockwise, mirrored left to right, takes (x, y) to (y, x).
    (90, True): cv2.transpose,
    (180, False): lambda image: cv2.flip(image, -1),
    (180, True): lambda image: cv2.flip(image, 0),
    (270, False): lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
    (270, True): lambda image: cv2.flip(cv2.transpose(image), -1),
}
"""(clockwise degrees, then mirrored left to right) -> one pass over the pixels."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Scale down to fit, turn, mirror, cut out: in this order."""

    fit_px: tuple[int, int] | None = None
    """Width and height that a picture must fit into, before it is turned; the aspect ratio stays."""
    rotate_deg: int = 0
    mirror: bool = False
    region: Rectangle | None = None

    @staticmethod
    def of(camera: Camera) -> Geometry:
        """What the configuration asks for."""
        fit = None if camera.width_px is None or camera.height_px is None else (camera.width_px, camera.height_px)
        return Geometry(fit, camera.rotate_deg, camera.mirror, camera.region)


def shape(image: Image, geometry: Geometry) -> Image:
    """The picture as the stages see it; contiguous, and `image` itself when there is nothing to do."""
    if geometry.fit_px is not None:
        image = fitted(image, *geometry.fit_px)
    return turn(image, geometry)


def turn(image: Image, geometry: Geometry) -> Image:
    """Rotate, mirror and cut, but leave the scale; for the camera's low-resolution stream too."""
    if geometry.region is not None:
        image = _cut(image, geometry, geometry.region)
    turned = _TURNS.get((geometry.rotate_deg, geometry.mirror))
    return np.ascontiguousarray(image if turned is None else turned(image))


def fitted(image: Image, width: int, height: int) -> Image:
    """Scaled down, never up, to lie within width x height pixels with the same aspect ratio."""
    factor = min(width / image.shape[1], height / image.shape[0])
    if factor >= 1:
        return image
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _cut(image: Image, geometry: Geometry, region: Rectangle) -> Image:
    """A view of what the region will show, found before turning so that only its pixels are turned."""
    rows, columns = image.shape[:2]
    sideways = geometry.rotate_deg in {90, 270}
    width, height = (rows, columns) if sideways else (columns, rows)
    x1, x2 = _span(region[0], region[2], width)
    y1, y2 = _span(region[1], region[3], height)
    if geometry.mirror:
        x1, x2 = width - x2, width - x1
    if geometry.rotate_deg in {90, 180}:
        x1, x2 = width - x2, width - x1
    if geometry.rotate_deg in {180, 270}:
        y1, y2 = height - y2, height - y1
    return image[x1:x2, y1:y2] if sideways else image[y1:y2, x1:x2]


def _span(low: float, high: float, size: int) -> tuple[int, int]:
    """Pixels from the fraction `low` to `high`; at least one."""
    start = min(round(low * size), size - 1)
    return start, max(start + 1, round(high * size))
