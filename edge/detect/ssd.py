"""Single-shot detectors with boxes and no landmarks: the layout of Linzaer's Ultra-Light-Fast-Generic-Face-Detector.

Outputs: `scores` (1, N, 2), softmax, 1 is a face, and `boxes` (1, N, 4). The boxes are corners already, as parts of the
input's width and height, or offsets from priors (Liu et al. 2016, "SSD", equation 2) that are decoded here; the manifest
says which, and the first run proves it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.bundle.manifest import Detector
from edge.datatypes import Floats, Image
from edge.detect.faces import Faces, suppressed
from edge.detect.finder import Limits
from edge.detect.network import Network, to_blob
from edge.detect.scaling import padded, shrunk
from edge.errors import ModelError

STRIDES_AND_SIDES = ((8, (10, 16, 24)), (16, (32, 48)), (32, (64, 96)), (64, (128, 192, 256)))
"""Of each feature map: about how many pixels its cells lie apart, and sides of its square priors in pixels."""
CENTRE_VARIANCE = 0.1
SIZE_VARIANCE = 0.2

MOST_STRETCHED = 4 / 3
"""16:9 on 4:3: these were trained on stretched faces and find more when the input is full. A portrait picture on a
landscape input is stretched no further than this, and padded."""

_MOST_CANDIDATES = 1000
_IN_ORDER = 0.95
"""Share of rows with x1 < x2 and y1 < y2: all when they are corners, about a quarter when they are offsets."""


class SingleShot:
    """Runs at the one input size that the manifest gives."""

    gives_landmarks = False
    any_size = False

    def __init__(self, path: Path, manifest: Detector, limits: Limits) -> None:
        """Load and run once. ModelError when the file is no such network, or its boxes are not as declared."""
        self._manifest, self._limits = manifest, limits
        self._size = _declared_size(path, manifest)
        self._priors = priors(*self._size)
        self._network = Network(path, ("scores", "boxes"))
        # Corners come from whatever priors a network has; offsets are decoded with ours.
        rows = len(self._priors) if manifest.box_form == "offsets" else None
        shapes = [(1, rows, values) for values in (2, 4)]
        scores, boxes = self._network.probe(np.zeros((1, 3, self._size[1], self._size[0]), np.float32), shapes)
        _check_form(path, boxes.reshape(-1, 4), manifest.box_form)
        if scores.size * 2 != boxes.size:
            problem = f"output boxes of shape {boxes.shape} beside scores of shape {scores.shape}"
            hint = "Set the input size in the manifest to that which the network was exported for."
            raise ModelError(problem, where=str(path), expected="as many boxes as scores", hint=hint)

    @property
    def largest_px(self) -> float:
        """Largest face that it finds, of its input's pixels."""
        return self._manifest.largest_px

    def find(self, image: Image, smallest_px: float) -> Faces:  # noqa: ARG002 (leaving small ones out saves nothing)
        """Faces in `image`, overlaps removed."""
        width, height = fitted(image.shape[1], image.shape[0], *self._size)
        picture = padded(shrunk(image, width, height), *self._size, grey=self._manifest.normalisation.mean)
        blob = to_blob([picture], self._manifest.normalisation, self._manifest.colour_order)
        scores, boxes = self._network.run(blob)
        faces = self._decode(scores.reshape(-1, 2)[:, 1], boxes.reshape(-1, 4))
        faces = faces.scaled(image.shape[1] * self._size[0] / width, image.shape[0] * self._size[1] / height)
        return suppressed(faces.best(_MOST_CANDIDATES), self._limits.nms_iou)

    def _decode(self, scores: Floats, rows: Floats) -> Faces:
        """Boxes as parts of the input's size."""
        # "not less" instead of "at least": NaN passes here, to be counted by finite().
        chosen = np.flatnonzero(~(scores < self._limits.confidence))
        boxes = rows[chosen]
        if self._manifest.box_form == "offsets":
            boxes = corners(boxes, self._priors[chosen])
        return Faces(boxes, scores[chosen]).finite()


def fitted(width: int, height: int, input_width: int, input_height: int) -> tuple[int, int]:
    """How much of the input a picture of that size fills: all of it, unless it would be stretched too far."""
    stretch = width / height / (input_width / input_height)
    used_width = input_width * min(1.0, stretch * MOST_STRETCHED)
    used_height = input_height * min(1.0, MOST_STRETCHED / stretch)
    return max(1, round(used_width)), max(1, round(used_height))


def priors(width: int, height: int) -> Floats:
    """(N, 4) centre x, centre y, width, height of every prior, as parts of the input's size, in the network's order."""
    parts = []
    for stride, sides in STRIDES_AND_SIDES:
        # As in training: the cells share the side evenly even where `stride` does not divide it.
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, side = np.meshgrid(
            (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, sides, indexing="ij"
        )
        cells = np.stack([x, y, side / width, side / height], axis=-1)
        parts.append(cells.reshape(-1, 4))
    clipped: Floats = np.clip(np.concatenate(parts), 0, 1).astype(np.float32)
    return clipped


def corners(offsets: Floats, chosen: Floats) -> Floats:
    """Offsets from priors, both (N, 4) -> x1, y1, x2, y2 as parts of the input's size."""
    with np.errstate(over="ignore", invalid="ignore"):
        centres = chosen[:, :2] + offsets[:, :2] * CENTRE_VARIANCE * chosen[:, 2:]
        halves = np.exp(offsets[:, 2:] * SIZE_VARIANCE) * chosen[:, 2:] / 2
    decoded: Floats = np.concatenate([centres - halves, centres + halves], axis=1)
    return decoded


def _declared_size(path: Path, manifest: Detector) -> tuple[int, int]:
    width, height = manifest.input_width_px, manifest.input_height_px
    if width is None or height is None:
        hint = "Set detector.input_width_px and detector.input_height_px in the manifest."
        problem = "a single-shot detector without an input size"
        raise ModelError(problem, where=str(path), expected="the size that it was exported for", hint=hint)
    return width, height


def _check_form(path: Path, rows: Floats, declared: str) -> None:
    in_order = float(np.mean((rows[:, 0] < rows[:, 2]) & (rows[:, 1] < rows[:, 3])))
    found = "corners" if in_order > _IN_ORDER else "offsets"
    if found != declared:
        hint = f"Set detector.box_form to {found!r} in the manifest."
        raise ModelError(f"boxes are {found}", where=str(path), expected=f"{declared}, as declared", hint=hint)
