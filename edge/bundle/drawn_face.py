"""A face for self-tests, drawn: nobody's, so that every box may have it. YuNet, MTCNN and single-shot detectors all take it for one.

Measured with the package's bundle and ten others (two YuNets, MTCNN from Caffe and from TensorFlow, three embedders in six precisions): confidence
0.92 to 0.99, similarity to itself in half the size 0.89 to 0.99, to noise at most 0.16.
"""

from __future__ import annotations

import cv2
import numpy as np

from edge.datatypes import Box, Image

SIDE_PX = 480
WIDTH_PX, HEIGHT_PX = 640, 480
_FACE = (0.31, 0.24, 0.69, 0.74)
"""Forehead to chin, cheek to cheek: x1, y1, x2, y2 as shares of the drawing."""

_Ellipse = tuple[float, float, float, float, tuple[int, int, int]]
_ELLIPSES: tuple[_Ellipse, ...] = (
    # centre x, centre y, half width, half height (shares of the side), colour BGR
    (0.500, 1.050, 0.380, 0.250, (90, 70, 60)),  # shoulders
    (0.500, 0.800, 0.090, 0.150, (120, 150, 195)),  # neck
    (0.500, 0.430, 0.235, 0.290, (25, 35, 50)),  # hair
    (0.500, 0.480, 0.190, 0.260, (145, 175, 220)),  # face, and its lighter middle
    (0.500, 0.500, 0.150, 0.220, (155, 185, 230)),
    (0.300, 0.490, 0.025, 0.050, (130, 160, 205)),  # ears
    (0.700, 0.490, 0.025, 0.050, (130, 160, 205)),
    *(
        (x + 0.0, y, width, height, colour)
        for x in (0.42, 0.58)
        for y, width, height, colour in (
            (0.440, 0.042, 0.022, (110, 135, 180)),  # socket, white, iris, brow
            (0.445, 0.034, 0.014, (235, 235, 235)),
            (0.445, 0.014, 0.014, (50, 40, 30)),
            (0.396, 0.045, 0.007, (35, 45, 60)),
        )
    ),
    (0.500, 0.500, 0.018, 0.060, (165, 195, 240)),  # nose, nostrils
    (0.485, 0.555, 0.012, 0.008, (90, 115, 160)),
    (0.515, 0.555, 0.012, 0.008, (90, 115, 160)),
    (0.500, 0.635, 0.065, 0.016, (85, 85, 175)),  # lips, and the line between them
    (0.500, 0.632, 0.062, 0.004, (50, 50, 110)),
)


def drawn_face(side: int = SIDE_PX) -> Image:
    """Head and shoulders, BGR uint8, `side` pixels square."""
    light = np.linspace(165, 118, side, dtype=np.float32)[:, None, None]
    picture: Image = np.broadcast_to(light, (side, side, 3)).astype(np.uint8)
    for x, y, width, height, colour in _ELLIPSES:
        axes = (max(1, int(width * side)), max(1, int(height * side)))
        cv2.ellipse(picture, (int(x * side), int(y * side)), axes, 0, 0, 360, colour, cv2.FILLED, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), side / 220), np.uint8)


def scene(share: float = 1.0, *, mirrored: bool = False) -> tuple[Image, Box]:
    """A camera's picture (640x480, BGR uint8) with the face in it, `share` of the height high, and where it is."""
    side = round(HEIGHT_PX * share)
    person = drawn_face(SIDE_PX)
    person = np.asarray(cv2.resize(person, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    picture: Image = np.full((HEIGHT_PX, WIDTH_PX, 3), 140, np.uint8)
    left, top = (WIDTH_PX - side) // 2, HEIGHT_PX - side
    picture[top:, left : left + side] = person[:, ::-1] if mirrored else person
    x1, y1, x2, y2 = (value * side for value in _FACE)
    return picture, Box(left + x1, top + y1, left + x2, top + y2)
