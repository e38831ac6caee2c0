"""What a detector looks like to the pyramid: one network (or cascade) that looks at one picture at one scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edge.datatypes import Image
from edge.detect.faces import Faces


@dataclass(frozen=True, slots=True)
class Limits:
    """What counts as a face: the configuration's values, or the manifest's where it has none."""

    confidence: float
    nms_iou: float


class Finder(Protocol):
    """Finds faces in one picture as it is. Boxes and landmarks in that picture's pixels."""

    @property
    def gives_landmarks(self) -> bool:
        """Whether its faces carry the five landmarks that alignment needs."""

    @property
    def any_size(self) -> bool:
        """Whether it looks at a picture in the size that it is given; else it resizes pictures to its own."""

    @property
    def largest_px(self) -> float:
        """Largest face that it finds; larger ones need a smaller picture."""

    def find(self, image: Image, smallest_px: float) -> Faces:
        """Faces at or above the confidence limit, overlaps removed. Those under `smallest_px` need not be looked for."""
