"""One detector over several sizes of a picture, so that faces larger than its working range are found too.

The first level is the picture at the configured width. Each further one has a quarter of the width of the one before
(and so costs a sixteenth); there are as many as it takes for a face that fills the frame to come within the range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from edge.config.settings import Detect
from edge.datatypes import Detection, Floats, Image, check_image
from edge.detect.faces import Faces, joined, suppressed, without_parts
from edge.detect.finder import Finder
from edge.detect.scaling import scaled, tallest_face

LEVEL_STEP = 4
COMFORTABLE = 0.75
"""Share of the largest size up to which a level is as good as any. Measured with YuNet n and the project's own detector:
the error of landmarks is flat from 60 px to there, and grows beyond; a quarter of it is still above 50 px."""
INSIDE = 0.6
"""Share of a face inside a larger, surer one that makes it a part of it."""


class Pyramid:
    """A `Detector` (edge.interfaces). For one thread at a time."""

    def __init__(self, make_finder: Callable[[], Finder], settings: Detect, nms_iou: float) -> None:
        """`make_finder` is called once a level: a network keeps the memory plan of one picture size only."""
        self._settings, self._nms_iou = settings, nms_iou
        self._finders = [make_finder()]
        longest, count = float(settings.width_px), 1
        while self._finders[0].any_size and longest > COMFORTABLE * self._finders[0].largest_px:
            longest, count = longest / LEVEL_STEP, count + 1
        self._finders += [make_finder() for _ in range(count - 1)]
        self._dropped = 0

    @property
    def gives_landmarks(self) -> bool:
        """Whether detections carry landmarks; without them a face cannot be aligned by points."""
        return self._finders[0].gives_landmarks

    @property
    def dropped(self) -> int:
        """How many faces were left out so far because the network gave values that are no finite numbers."""
        return self._dropped

    def detect(self, image: Image, *, frame_scale: float = 1.0) -> list[Detection]:
        """Faces in BGR uint8 `image`, in its own pixels, surest first.

        `frame_scale` says how many pixels of the frame one pixel of `image` is, when the camera delivered a small
        picture of its own: `min_face_px` is counted in the frame's. ValueError when `image` is no such picture,
        ModelError when the network fails on it.
        """
        check_image(image)
        smallest_px = self._settings.min_face_px / frame_scale
        parts, ranks = [], []
        for level, picture in enumerate(self._pictures(image)):
            scale_x, scale_y = image.shape[1] / picture.shape[1], image.shape[0] / picture.shape[0]
            faces = self._finders[level].find(picture, smallest_px / max(scale_x, scale_y))
            ranks.append(self._ranks(faces, level))
            parts.append(faces.scaled(scale_x, scale_y))
        faces = suppressed(joined(parts), self._nms_iou, ranks=np.concatenate(ranks))
        self._dropped += faces.dropped
        faces = _centred_inside(without_parts(faces, INSIDE), image)
        return self._chosen(faces, smallest_px).detections()

    def _pictures(self, image: Image) -> Iterator[Image]:
        """One picture a level, never larger than the one before."""
        picture = image
        if self._finders[0].any_size:
            picture = scaled(image, min(1.0, self._settings.width_px / max(image.shape[:2])))
        yield picture
        for _ in self._finders[1:]:
            if tallest_face(picture) <= COMFORTABLE * self._finders[0].largest_px:
                return
            picture = scaled(picture, 1 / LEVEL_STEP)
            yield picture

    def _ranks(self, faces: Faces, level: int) -> Floats:
        """Who stays of two levels' boxes of one face: the finer one, unless the face is too large for it."""
        too_large_before = faces.sides * LEVEL_STEP > COMFORTABLE * self._finders[0].largest_px
        levels = np.where(too_large_before, level, -level).astype(np.float32)
        return levels + faces.scores * np.float32(0.5)

    def _chosen(self, faces: Faces, smallest_px: float) -> Faces:
        faces = faces.take(faces.sides >= smallest_px)
        largest = np.argsort(-faces.sides, kind="stable")[: self._settings.max_faces]
        return faces.take(np.sort(largest)).best(self._settings.max_faces)


def _centred_inside(faces: Faces, image: Image) -> Faces:
    """Without those found in the padding, or of which less than half could be in the picture."""
    centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    size = np.array([image.shape[1], image.shape[0]], np.float32)
    inside = np.logical_and(centres >= 0, centres <= size).all(axis=1)
    return faces.take(np.flatnonzero(inside))
