"""Pictures made smaller or padded, as detectors need them."""

from __future__ import annotations

import cv2
import numpy as np

from edge.datatypes import Image


def shrunk(image: Image, width: int, height: int) -> Image:
    """`image` at exactly that size; the picture itself when it has it already.

    It is halved as long as it can be, and then resized bilinearly. Halving averages 2x2 pixels and is fast; bilinear
    resizing alone skips pixels. Together they find as many faces as area averaging, in a third of its time.
    """
    while image.shape[0] >= 2 * height and image.shape[1] >= 2 * width:
        image = stretched(image, image.shape[1] // 2, image.shape[0] // 2)
    return stretched(image, width, height)


def scaled(image: Image, factor: float) -> Image:
    """Both sides times `factor`, at least 1x1."""
    height, width = (max(1, round(size * factor)) for size in image.shape[:2])
    return shrunk(image, width, height)


def stretched(image: Image, width: int, height: int, *, interpolation: int = cv2.INTER_LINEAR) -> Image:
    """`image` at exactly that size; the picture itself when it has it already."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)


def padded(image: Image, width: int, height: int, *, above: int = 0, left: int = 0, grey: float = 0.0) -> Image:
    """`image` in a grey picture of that size, so many pixels from its upper left corner."""
    below, right = height - above - image.shape[0], width - left - image.shape[1]
    if above == below == left == right == 0:
        return image
    bordered = cv2.copyMakeBorder(image, above, below, left, right, cv2.BORDER_CONSTANT, value=(grey,) * 3)
    return np.asarray(bordered, np.uint8)


def tallest_face(image: Image) -> float:
    """Longer side of the largest face that can be seen whole: a face is at most a third higher than wide."""
    height, width = (float(size) for size in image.shape[:2])
    return min(max(height, width), 4 / 3 * min(height, width))
