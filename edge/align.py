"""Faces onto alignment templates. Pure; `convert` calibrates and proves with this very code."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.datatypes import AlignedFace, Detection, Floats, Image

Matrix = NDArray[np.float64]
"""2x3 affine: source pixel (x, y, 1) -> template pixel."""


_LEAST_SCALE = 1e-6
_LARGEST_WARP_PX = 32766
"""OpenCV 4's warpAffine takes no larger picture: it counts source pixels in 16 bits."""


@dataclass(frozen=True, slots=True)
class AlignmentTemplate:
    """Where a face lies in the embedder's input.

    With `points` (five landmarks in template pixels) faces are warped by a similarity transform; without, the
    detector's box is widened by `margin` of the template's width and squeezed onto it.
    """

    name: str
    width: int
    height: int
    points: tuple[tuple[float, float], ...] | None = None
    margin: float = 0.0


_ARCFACE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))

TEMPLATES = {
    template.name: template
    for template in (
        # Deng et al. 2019 (ArcFace): the SphereFace points moved 8 px to the right.
        AlignmentTemplate("arcface-112x112", 112, 112, _ARCFACE),
        # Liu et al. 2017 (SphereFace): 112 high, 96 wide.
        AlignmentTemplate("sphereface-112x96", 96, 112, tuple((x - 8.0, y) for x, y in _ARCFACE)),
        # davidsandberg/facenet: the detector's box with 32 px of 160 as margin; no landmarks.
        AlignmentTemplate("facenet-160x160", 160, 160, None, margin=32 / 160),
    )
}


def template_named(name: str) -> AlignmentTemplate:
    """By name; ValueError lists the known ones."""
    if name not in TEMPLATES:
        raise ValueError(f"alignment template {name!r}; expected one of {', '.join(TEMPLATES)}")
    return TEMPLATES[name]


def similarity_transform(source: Floats | Matrix, target: Floats | Matrix) -> Matrix:
    """Rotation, scale and shift that bring `source` (N x 2 points) nearest to `target` in least squares; 2x3 float64.

    As complex numbers w = a z + b with a = sum(conj(z') w') / sum(|z'|^2) over centred points: the solution of Umeyama
    1991 for two dimensions without reflection. ValueError when all source points are one, or so unlike the target that nothing of them is left.
    """
    if not np.isfinite(source).all():
        raise ValueError("landmarks are not finite; expected pixels")
    z = source.astype(np.float64) @ np.array([1, 1j])
    w = target.astype(np.float64) @ np.array([1, 1j])
    centred = z - z.mean()
    spread = float(np.sum(np.abs(centred) ** 2))
    if spread < 1e-6:
        raise ValueError("landmarks coincide; expected five different points")
    a = np.sum(np.conj(centred) * (w - w.mean())) / spread
    if abs(a) < _LEAST_SCALE:
        raise ValueError("landmarks are nothing like a face; expected eyes, nose and mouth corners")
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def align(image: Image, detection: Detection, template: AlignmentTemplate) -> AlignedFace:
    """Warp one detected face of a BGR uint8 frame onto a template. ValueError when the template needs landmarks and there are none."""
    matrix = alignment_matrix(detection, template)
    return AlignedFace(_warp(image, matrix, template), template.name)


def alignment_matrix(detection: Detection, template: AlignmentTemplate) -> Matrix:
    """The 2x3 map from frame pixels to template pixels."""
    if template.points is None:
        return _box_matrix(detection, template)
    if detection.landmarks is None:
        raise ValueError(f"{template.name} aligns by landmarks, and this detector gives none")
    return similarity_transform(detection.landmarks, np.array(template.points, np.float32))


def _box_matrix(detection: Detection, template: AlignmentTemplate) -> Matrix:
    box = detection.box
    inner_width, inner_height = template.width * (1 - template.margin), template.height * (1 - template.margin)
    scale_x, scale_y = inner_width / max(box.width, 1.0), inner_height / max(box.height, 1.0)
    centre_x, centre_y = box.centre
    return np.array(
        [[scale_x, 0, template.width / 2 - scale_x * centre_x], [0, scale_y, template.height / 2 - scale_y * centre_y]]
    )


def _warp(image: Image, matrix: Matrix, template: AlignmentTemplate) -> Image:
    """Bilinear, after halving the picture while the face is more than twice too large, lest it alias."""
    size = (template.width, template.height)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    factor = int(1 / scale + 1e-6) if scale < 0.5 else 1
    if factor > 1 or max(image.shape) > _LARGEST_WARP_PX:
        image, matrix = _shrunk(image, matrix, size, factor)
    warped = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(warped, np.uint8)


def _shrunk(image: Image, matrix: Matrix, size: tuple[int, int], factor: int) -> tuple[Image, Matrix]:
    """The part of the picture that the template covers, averaged over `factor` x `factor` pixels, and its new matrix."""
    corners = np.array([[0, 0], [size[0], 0], [0, size[1]], size], np.float64)
    inverse = np.linalg.inv(matrix[:, :2])
    source = (corners - matrix[:, 2]) @ inverse.T
    height, width = image.shape[:2]
    x1, y1 = np.clip(np.floor(source.min(0)) - factor, 0, [width, height]).astype(int)
    x2, y2 = np.clip(np.ceil(source.max(0)) + factor, 0, [width, height]).astype(int)
    columns, rows = (x2 - x1) // factor, (y2 - y1) // factor
    if columns < 1 or rows < 1:
        # Nothing of the picture lies in the template: black, as everything around a picture.
        return np.zeros((1, 1, 3), np.uint8), matrix
    part = image[y1 : y1 + rows * factor, x1 : x1 + columns * factor]
    small = cv2.resize(part, (int(columns), int(rows)), interpolation=cv2.INTER_AREA)
    # A small pixel's centre u lies at x = factor * u + (factor - 1) / 2 + x1.
    shift = np.array([x1, y1]) + (factor - 1) / 2
    moved = np.column_stack([matrix[:, :2] * factor, matrix[:, :2] @ shift + matrix[:, 2]])
    return np.asarray(small, np.uint8), moved
