"""Faces of one picture as arrays: what the networks' outputs are turned into before they become Detections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.datatypes import Box, Detection, Floats

FARTHEST_PX = 1e6
"""No picture is so large; areas up to its square are exact enough in float32 and never overflow."""


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """N candidates: `boxes` float32 (N, 4) xyxy pixels, `scores` (N,), `landmarks` (N, 5, 2) or None.

    `dropped` counts outputs of the network that were no numbers, or no place in a picture, and were left out.
    """

    boxes: Floats
    scores: Floats
    landmarks: Floats | None = None
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def sides(self) -> Floats:
        """The longer side of each box in pixels."""
        sides: Floats = (self.boxes[:, 2:] - self.boxes[:, :2]).max(axis=1)
        return sides

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Faces:
        """Those that `index` selects, in its order."""
        landmarks = None if self.landmarks is None else self.landmarks[index]
        return Faces(self.boxes[index], self.scores[index], landmarks, self.dropped)

    def best(self, most: int) -> Faces:
        """At most so many, the surest first; equals keep their order."""
        return self.take(np.argsort(-self.scores, kind="stable")[:most])

    def finite(self) -> Faces:
        """Without the rows that hold NaN, infinity or a place beyond FARTHEST_PX; those are counted in `dropped`."""
        good = np.isfinite(self.scores) & (np.abs(self.boxes) < FARTHEST_PX).all(axis=1)
        if self.landmarks is not None:
            good &= (np.abs(self.landmarks) < FARTHEST_PX).all(axis=(1, 2))
        kept = self.take(good)
        return Faces(kept.boxes, kept.scores, kept.landmarks, self.dropped + int(np.count_nonzero(~good)))

    def scaled(self, x: float, y: float) -> Faces:
        """The same faces in a picture that is `x` times as wide and `y` times as high."""
        factor = np.array([x, y], np.float32)
        landmarks = None if self.landmarks is None else self.landmarks * factor
        return Faces(self.boxes * np.tile(factor, 2), self.scores, landmarks, self.dropped)

    def detections(self) -> list[Detection]:
        """One Detection each, in order."""
        rows = self.boxes.tolist()
        points = [None] * len(self) if self.landmarks is None else list(self.landmarks)
        return [
            Detection(Box(*row), score, point)
            for row, score, point in zip(rows, self.scores.tolist(), points, strict=True)
        ]


def joined(parts: list[Faces]) -> Faces:
    """All faces of several parts, in order; at least one part, and either all or none with landmarks."""
    landmarks = [part.landmarks for part in parts if part.landmarks is not None]
    return Faces(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate(landmarks) if landmarks else None,
        sum(part.dropped for part in parts),
    )


def suppressed(faces: Faces, most: float, *, ranks: Floats | None = None) -> Faces:
    """Greedy non-maximum suppression: the faces that stay, highest rank (score when None) first.

    A face falls when its intersection over union with one that stays is more than `most`. Ties keep their order.
    """
    order = np.argsort(-(faces.scores if ranks is None else ranks), kind="stable")
    kept: list[int] = []
    while order.size:
        first, rest = int(order[0]), order[1:]
        kept.append(first)
        shared, areas = shared_areas(faces.boxes[first], faces.boxes[rest]), areas_of(faces.boxes[rest])
        order = rest[shared <= most * (areas + areas_of(faces.boxes[first : first + 1]) - shared)]
    return faces.take(np.array(kept, np.intp))


def without_parts(faces: Faces, most: float) -> Faces:
    """Without those of which more than the share `most` lies inside a larger face that is at least as sure.

    A mouth or an eye in a large face can look like a small face.
    """
    areas = areas_of(faces.boxes)
    good = np.ones(len(faces), np.bool_)
    for box, area, score in zip(faces.boxes, areas, faces.scores, strict=True):
        good &= ~((areas < area) & (faces.scores <= score) & (shared_areas(box, faces.boxes) > most * areas))
    return faces.take(good)


def areas_of(boxes: Floats) -> Floats:
    """Square pixels of each (N, 4) box; never negative."""
    areas: Floats = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
    return areas


def shared_areas(box: Floats, boxes: Floats) -> Floats:
    """Square pixels that one box has in common with each of (N, 4) others."""
    upper_left = np.maximum(box[:2], boxes[:, :2])
    shared: Floats = np.maximum(np.minimum(box[2:], boxes[:, 2:]) - upper_left, 0).prod(axis=1)
    return shared
