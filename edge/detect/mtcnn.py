"""MTCNN (Zhang et al. 2016, "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks").

P-Net proposes on a pyramid of pictures, R-Net refines crops of 24x24, O-Net decides on crops of 48x48 and adds landmarks.

The networks take upright pictures. The original weights (MATLAB, Caffe, and what was made from them) want x and y
swapped: whoever makes a bundle turns the kernels. Outputs have fixed names: `prob` (softmax; 1 is a face), `box` (offsets
of x1, y1, x2, y2 in parts of the box) and `landmarks` (five x, then five y, in parts of the box; left to right as seen,
which is right to left of the subject, and so in our order).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.bundle.manifest import Detector
from edge.datatypes import Floats, Image
from edge.detect.faces import Faces, joined, suppressed, without_parts
from edge.detect.finder import Limits
from edge.detect.network import Network, to_blob
from edge.detect.scaling import padded, stretched, tallest_face
from edge.errors import ModelError

CELL_PX = 12
"""Side of P-Net's receptive field: the face that it finds."""
CELL_STRIDE_PX = 2
REFINE_PX = 24
OUTPUT_PX = 48
SCALE_STEP = 0.709
"""About the square root of one half: each picture of the pyramid has half the area of the one before."""
DEFAULT_THRESHOLDS = (0.6, 0.7, 0.7)

_NMS_IN_SCALE = 0.5
_NMS_STAGE = 0.7
_MOST_CANDIDATES = 1000
_BATCH = 16
"""Larger batches are not faster, and need more memory."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A network of the cascade, the side of its input, and the confidence that lets a face through."""

    network: Network
    size_px: int
    threshold: float


class Mtcnn:
    """Takes any picture size and finds faces of any size from `smallest_px` up."""

    gives_landmarks = True
    any_size = True
    largest_px = float("inf")

    def __init__(self, paths: Mapping[str, Path], manifest: Detector, limits: Limits) -> None:
        """Load three files and run each once. ModelError when one is not the network that it should be."""
        thresholds = manifest.thresholds or DEFAULT_THRESHOLDS
        if len(thresholds) != 3:
            hint = "Set detector.thresholds in the manifest, or leave it out."
            expected = "three, for P-, R- and O-Net"
            raise ModelError(f"{len(thresholds)} thresholds", where=str(paths["onet"]), expected=expected, hint=hint)
        self._manifest, self._limits = manifest, limits
        self._pnet = _loaded_pnet(paths["pnet"], thresholds[0])
        self._rnet = _loaded(paths["rnet"], REFINE_PX, thresholds[1], prob=2, box=4)
        self._onet = _loaded(paths["onet"], OUTPUT_PX, limits.confidence, prob=2, box=4, landmarks=10)

    def find(self, image: Image, smallest_px: float) -> Faces:
        """Faces in `image`, overlaps removed."""
        faces = self._proposed(image, max(smallest_px, self._manifest.smallest_px))
        faces = suppressed(self._judged(image, faces, self._rnet), _NMS_STAGE)
        faces = self._judged(image, faces, self._onet)
        return suppressed(without_parts(faces, _NMS_STAGE), self._limits.nms_iou)

    def _proposed(self, image: Image, smallest_px: float) -> Faces:
        """What P-Net takes for faces, on every scale."""
        parts = [Faces(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))]
        for scale in _scales(image, smallest_px):
            height, width = (max(1, round(size * scale)) for size in image.shape[:2])
            found = self._cells(stretched(image, width, height, interpolation=cv2.INTER_AREA))
            parts.append(found.scaled(image.shape[1] / width, image.shape[0] / height))
        return suppressed(joined(parts).best(_MOST_CANDIDATES), _NMS_STAGE)

    def _cells(self, picture: Image) -> Faces:
        """P-Net on one picture of the pyramid; boxes in its pixels."""
        above, left = (max(0, CELL_PX - size) // 2 for size in picture.shape[:2])
        whole = padded(picture, max(picture.shape[1], CELL_PX), max(picture.shape[0], CELL_PX), above=above, left=left)
        prob, box = self._pnet.network.run(self._blob([whole]))
        scores = prob[0, 1].reshape(-1)
        # "not less" instead of "at least", here and below: NaN passes, to be counted by finite().
        chosen = np.flatnonzero(~(scores < self._pnet.threshold))
        columns = prob.shape[3]
        corner = np.stack([chosen % columns, chosen // columns], axis=1) * CELL_STRIDE_PX - (left, above)
        cells = np.concatenate([corner, corner + CELL_PX], axis=1).astype(np.float32)
        boxes = _corrected(cells, box[0].reshape(4, -1).T[chosen])
        faces = Faces(boxes, scores[chosen]).finite()
        return suppressed(faces.best(_MOST_CANDIDATES), _NMS_IN_SCALE)

    def _judged(self, image: Image, faces: Faces, stage: Stage) -> Faces:
        """Those that a later network lets through, with its boxes and, if it has them, its landmarks."""
        squares = _squares(faces.boxes, reach=2 * max(image.shape[:2]))
        parts = [Faces(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), dropped=faces.dropped)]
        for start in range(0, len(squares), _BATCH):
            rows = squares[start : start + _BATCH]
            crops = [_crop(image, row, stage.size_px) for row in np.rint(rows).astype(int).tolist()]
            parts.append(_passed(rows, stage.network.run(self._blob(crops)), stage.threshold))
        return joined(parts)

    def _blob(self, images: list[Image]) -> Floats:
        return to_blob(images, self._manifest.normalisation, self._manifest.colour_order)


def _loaded_pnet(path: Path, threshold: float) -> Stage:
    network = Network(path, ("prob", "box"))
    # Large enough that neither R-Net nor O-Net in its place runs out of pixels: OpenCV 5 ends the process then.
    cells = 1 + (OUTPUT_PX - CELL_PX) // CELL_STRIDE_PX
    network.probe(np.zeros((1, 3, OUTPUT_PX, OUTPUT_PX), np.float32), [(1, 2, cells, cells), (1, 4, cells, cells)])
    return Stage(network, CELL_PX, threshold)


def _loaded(path: Path, size_px: int, threshold: float, **outputs: int) -> Stage:
    network = Network(path, tuple(outputs))
    shapes = [(1, values) for values in outputs.values()]
    network.probe(np.zeros((1, 3, size_px, size_px), np.float32), shapes)
    return Stage(network, size_px, threshold)


def _scales(image: Image, smallest_px: float) -> Iterator[float]:
    """Factors that make faces from `smallest_px` up to the whole picture as large as P-Net's cell."""
    scale = CELL_PX / max(smallest_px, CELL_PX)
    while tallest_face(image) * scale >= CELL_PX:
        yield scale
        scale *= SCALE_STEP


def _corrected(boxes: Floats, offsets: Floats) -> Floats:
    """Boxes (N, 4) moved by offsets (N, 4) in parts of their width and height."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    with np.errstate(over="ignore", invalid="ignore"):
        return boxes + offsets * np.tile(sizes, 2)


def _squares(boxes: Floats, reach: float) -> Floats:
    """Boxes as squares of their longer side about the same centre, at most `reach` pixels long and away."""
    centres = np.clip((boxes[:, :2] + boxes[:, 2:]) / 2, -reach, reach)
    halves = np.clip((boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True), 1, reach) / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)


def _crop(image: Image, box: list[int], size_px: int) -> Image:
    """What lies in the box, black where it reaches over the edge, as a square picture."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box[0], box[1], max(box[2], box[0] + 1), max(box[3], box[1] + 1)
    inside = image[min(max(y1, 0), height) : max(min(y2, height), 0), min(max(x1, 0), width) : max(min(x2, width), 0)]
    if inside.shape[:2] != (y2 - y1, x2 - x1):
        whole = np.zeros((y2 - y1, x2 - x1, 3), np.uint8)
        top, left = max(-y1, 0), max(-x1, 0)
        whole[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        inside = whole
    return stretched(inside, size_px, size_px, interpolation=cv2.INTER_AREA)


def _passed(boxes: Floats, outputs: list[Floats], threshold: float) -> Faces:
    """Faces of one batch. `outputs` are prob (N, 2), box (N, 4) and perhaps landmarks (N, 10) for boxes (N, 4)."""
    scores = outputs[0][:, 1]
    chosen = np.flatnonzero(~(scores < threshold))
    boxes = boxes[chosen]
    landmarks = None
    if len(outputs) == 3:
        corner, size = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2]
        landmarks = corner + outputs[2][chosen].reshape(-1, 2, 5).transpose(0, 2, 1) * size
    return Faces(_corrected(boxes, outputs[1][chosen]), scores[chosen], landmarks).finite()
