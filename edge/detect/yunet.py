"""YuNet (Wu, Peng, Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector") and networks with its twelve outputs.

The outputs are decoded here, as `FaceDetectorYNImpl::postProcess` of OpenCV 4.8 and later does it, rather than by
cv2.FaceDetectorYN: that costs the same, is one path for every OpenCV (4.6 of Debian bookworm expects another layout of
outputs), shows values that are no numbers, and does not write to stderr in OpenCV 5. The tests compare the two.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.bundle.manifest import Detector
from edge.datatypes import Floats, Image
from edge.detect.faces import Faces, joined, suppressed
from edge.detect.finder import Limits
from edge.detect.network import Network, to_blob
from edge.detect.scaling import padded

STRIDES = (8, 16, 32)
VALUES = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
"""Output name without its stride -> values in each cell: face or not, quality of the box, box, landmarks."""
OUTPUTS = tuple(f"{kind}_{stride}" for kind in VALUES for stride in STRIDES)

LEAST_PX = 64
"""OpenCV 4.6 to 4.14 read memory that is not theirs when a map is one pixel wide or high, which it is for a side of 32:
the outputs are then anything, and other ones each time."""

_MOST_CANDIDATES = 5000
"""As FaceDetectorYN's top_k: bounds the work on a picture made to have faces everywhere."""


class YuNet:
    """Takes any picture size: the picture is padded on the right and below to a multiple of 32, at least 64."""

    gives_landmarks = True
    any_size = True

    def __init__(self, path: Path, manifest: Detector, limits: Limits) -> None:
        """Load and run once. ModelError when the file is not such a network."""
        self._manifest, self._limits = manifest, limits
        self._network = Network(path, OUTPUTS)
        shapes = [(1, (LEAST_PX // stride) ** 2, values) for values in VALUES.values() for stride in STRIDES]
        self._network.probe(np.zeros((1, 3, LEAST_PX, LEAST_PX), np.float32), shapes)

    @property
    def largest_px(self) -> float:
        """Largest face that it finds."""
        return self._manifest.largest_px

    def find(self, image: Image, smallest_px: float) -> Faces:  # noqa: ARG002 (leaving small ones out saves nothing)
        """Faces in `image`, overlaps removed."""
        height, width = (_rounded_up(size) for size in image.shape[:2])
        blob = to_blob([padded(image, width, height)], self._manifest.normalisation, self._manifest.colour_order)
        outputs = dict(zip(OUTPUTS, self._network.run(blob), strict=True))
        faces = decode(outputs, width, self._limits.confidence)
        return suppressed(faces.best(_MOST_CANDIDATES), self._limits.nms_iou)


def decode(outputs: dict[str, Floats], width: int, confidence: float) -> Faces:
    """The twelve outputs for a padded picture of that width -> every cell that is at least that sure of a face."""
    return joined([_decode_stride(outputs, stride, width // stride, confidence) for stride in STRIDES])


def _decode_stride(outputs: dict[str, Floats], stride: int, columns: int, confidence: float) -> Faces:
    squared = np.clip(outputs[f"cls_{stride}"].reshape(-1), 0, 1) * np.clip(outputs[f"obj_{stride}"].reshape(-1), 0, 1)
    # "not less" instead of "at least": NaN passes here, to be counted by finite().
    chosen = np.flatnonzero(~(squared < np.float32(confidence) ** 2))
    cells = np.stack([chosen % columns, chosen // columns], axis=1).astype(np.float32)
    offsets = outputs[f"bbox_{stride}"].reshape(-1, 4)[chosen]
    points = outputs[f"kps_{stride}"].reshape(-1, 5, 2)[chosen]
    with np.errstate(over="ignore", invalid="ignore"):
        centres = (cells + offsets[:, :2]) * stride
        halves = np.exp(offsets[:, 2:]) * (stride / 2)
        boxes = np.concatenate([centres - halves, centres + halves], axis=1)
        landmarks = (points + cells[:, None]) * stride
    return Faces(boxes.astype(np.float32), np.sqrt(squared[chosen]), landmarks.astype(np.float32)).finite()


def _rounded_up(size: int) -> int:
    return max(LEAST_PX, -(-size // STRIDES[-1]) * STRIDES[-1])
