"""Views for training: pictures of faces at every size, turned, cut off, small beside large, dark, blurred, or none at all.

The teacher says what is in a view, so a view may be anything; what it shows often is what the student learns well. Everything
is drawn from the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from convert.train.detector.camera import Rng, as_taken, noise_field
from edge.datatypes import Image

Places = NDArray[Any]
_FACE = 0.38
"""Width of a face in a picture of Labeled Faces in the Wild, as a share of the picture's width."""
_USUAL_PX = 250
_SMALLEST_PX = 9.0
_BORDERS = (cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101, cv2.BORDER_REFLECT_101)


class Views:
    """Makes square views of pictures, each with a face in the middle and at least 64 pixels a side."""

    def __init__(self, pictures: Sequence[Image]) -> None:
        """`pictures`: BGR uint8."""
        self._pyramids = [_pyramid(picture) for picture in pictures]
        self._noise = noise_field()
        self._kinds: tuple[tuple[float, Callable[[Rng, int], Image]], ...] = (
            (0.22, self._scene),
            (0.18, self._mosaic),
            (0.27, self._close),
            (0.28, self._plain),
            (0.05, self._texture),
        )

    def batch(self, generator: Rng, count: int, side: int) -> Image:
        """(count, side, side, 3) uint8."""
        return np.stack([self.view(generator, side) for _ in range(count)])

    def view(self, generator: Rng, side: int) -> Image:
        """(side, side, 3) BGR uint8."""
        choice = generator.random()
        limits = np.cumsum([share for share, _ in self._kinds])
        _, make = self._kinds[min(int((choice >= limits).sum()), len(self._kinds) - 1)]
        return as_taken(make(generator, side), generator, self._noise)

    def _picture(self, generator: Rng, scale: float = 1.0) -> Image:
        """Any of the pictures, mirrored or not; already made smaller where it will be shown at less than half its size."""
        pyramid = self._pyramids[generator.integers(len(self._pyramids))]
        level = sum(scale < 0.5**halved for halved in range(1, len(pyramid)))
        picture = pyramid[level]
        return picture[:, ::-1] if generator.random() < 0.5 else picture

    def _plain(self, generator: Rng, side: int) -> Image:
        """One picture in the upper left corner, black beside it, as a detector pads a picture."""
        picture = self._picture(generator)
        width = side if generator.random() < 0.3 else int(side * generator.uniform(0.6, 1))
        view = np.zeros((side, side, 3), np.uint8)
        view[:width, :width] = _resized(picture, (width, width), _shrinking(width, picture))
        return view

    def _close(self, generator: Rng, side: int) -> Image:
        """One picture; its face anything from a fifth of the view to more than all of it, and often cut off."""
        width = side * np.exp(generator.uniform(np.log(0.2), np.log(1.3)))
        middle = generator.uniform(0.15, 0.85, 2) if generator.random() < 0.5 else generator.uniform(0.35, 0.65, 2)
        picture = self._picture(generator)
        turn = _placed(picture, width / (_FACE * picture.shape[1]), generator.normal(0, 14), middle * side)
        border = _BORDERS[generator.integers(len(_BORDERS))]
        colour = generator.integers(0, 256, 3).tolist()
        return _warped(picture, turn, side, border, colour)

    def _scene(self, generator: Rng, side: int) -> Image:
        """Several pictures, turned, on a background without faces."""
        view = self._texture(generator, side)
        taken: list[tuple[float, float, float]] = []
        for _ in range(generator.integers(1, 8)):
            width = np.exp(generator.uniform(np.log(_SMALLEST_PX), np.log(0.35 * side)))
            middle = generator.uniform(0.02, 0.98, 2) * side
            reach = width * 0.9
            if all(np.hypot(middle[0] - x, middle[1] - y) > 0.8 * (reach + other) for x, y, other in taken):
                taken.append((middle[0], middle[1], reach))
                self._paste(view, generator, width, middle)
        return view

    def _paste(self, view: Image, generator: Rng, width: float, middle: Places) -> None:
        picture = self._picture(generator, width / (_FACE * _USUAL_PX))
        share = generator.uniform(0.45, 1)
        high, wide = (int(size * share) for size in picture.shape[:2])
        top, left = (picture.shape[0] - high) // 2, (picture.shape[1] - wide) // 2
        part = picture[top : top + high, left : left + wide]
        scale = width / (_FACE * picture.shape[1])
        side = int(np.hypot(high, wide) * scale) + 2
        turn = _placed(part, scale, generator.normal(0, 12), np.full(2, side / 2))
        shown = _warped(part, turn, side, cv2.BORDER_CONSTANT, [0, 0, 0])
        mask = _warped(np.full(part.shape[:2], 255, np.uint8), turn, side, cv2.BORDER_CONSTANT, [0])
        _put(view, shown, (middle - side / 2).astype(int), mask > 127)

    def _mosaic(self, generator: Rng, side: int) -> Image:
        """As many pictures as fit at one size, each a little closer or farther."""
        cell = np.exp(generator.uniform(np.log(_SMALLEST_PX / _FACE), np.log(side * 0.55)))
        view = self._texture(generator, side)
        begin = -generator.uniform(0, cell, 2)
        size = max(8, round(cell))
        for top in np.arange(begin[0], side, cell):
            for left in np.arange(begin[1], side, cell):
                if generator.random() < 0.92:
                    self._tile(view, generator, np.array([left, top], int), size)
        return view

    def _tile(self, view: Image, generator: Rng, corner: Places, size: int) -> None:
        picture = self._picture(generator, size / _USUAL_PX)
        high = min(picture.shape[:2])
        part = int(high * generator.uniform(0.5, 1))
        low = (high - part) // 2
        top, left = (min(max(0, low + int(move)), high - part) for move in generator.normal(0, high / 30, 2))
        shown = picture[top : top + part, left : left + part]
        _put(view, _resized(shown, (size, size), _shrinking(size, shown)), corner, None)

    def _texture(self, generator: Rng, side: int) -> Image:
        """No face, or none that is easily seen: the corner of a picture, enlarged, or patches of colour."""
        if generator.random() < 0.6:
            picture = self._picture(generator)
            part = int(generator.integers(30, 64))
            top, left = (0 if generator.random() < 0.5 else size - part for size in picture.shape[:2])
            patch = picture[top : top + part, left : left + part]
        else:
            patch = generator.integers(0, 256, (*generator.integers(1, 12, 2), 3), dtype=np.uint8)
        way = (cv2.INTER_LINEAR, cv2.INTER_NEAREST, cv2.INTER_CUBIC)[generator.integers(3)]
        return _resized(patch, (side, side), way)


def _pyramid(picture: Image) -> list[Image]:
    """The picture, and made half and a quarter as large."""
    levels = [picture]
    for _ in range(2):
        high, wide = levels[-1].shape[:2]
        levels.append(_resized(levels[-1], (wide // 2, high // 2), cv2.INTER_AREA))
    return levels


def _put(view: Image, shown: Image, corner: Places, mask: Places | None) -> None:
    """`shown` into the view with its upper left pixel at `corner` (x, y); what is outside is left out."""
    left, top = (int(place) for place in corner)
    rows = slice(max(0, top), min(len(view), top + len(shown)))
    columns = slice(max(0, left), min(view.shape[1], left + shown.shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    inner = np.s_[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    if mask is None:
        view[rows, columns] = shown[inner]
    else:
        view[rows, columns][mask[inner]] = shown[inner][mask[inner]]


def _shrinking(width: float, picture: Image) -> int:
    return cv2.INTER_AREA if width < picture.shape[1] else cv2.INTER_LINEAR


def _placed(picture: Image, scale: float, degrees: float, middle: Places) -> Places:
    """2x3: turns and scales a picture about its middle, and puts that at `middle` (x, y)."""
    half = (picture.shape[1] / 2, picture.shape[0] / 2)
    turn = cv2.getRotationMatrix2D(half, degrees, scale)
    turn[:, 2] += middle - half
    return turn


def _warped(picture: Image, turn: Places, side: int, border: int, colour: list[int]) -> Image:
    scale = float(np.hypot(turn[0, 0], turn[0, 1]))
    if scale < 0.6:
        # warpAffine reads four pixels, however many a pixel of the view covers.
        fewer = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        picture = np.asarray(fewer, np.uint8)
        turn = turn.copy()
        turn[:, :2] /= scale
    shown = cv2.warpAffine(picture, turn, (side, side), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=colour)
    return np.asarray(shown, np.uint8)


def _resized(picture: Image, size: tuple[int, int], way: int) -> Image:
    """`size`: width and height."""
    return np.asarray(cv2.resize(picture, size, interpolation=way), np.uint8)
