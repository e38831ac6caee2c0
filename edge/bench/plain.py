"""What most set-ups do with every frame: find faces in the full frame, embed each, look each up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from edge.align import align, template_named
from edge.bundle import load_bundle
from edge.config.settings import Settings
from edge.datatypes import Box, Detection, Image
from edge.detect.network import opencv_silenced
from edge.embed import make_embedder
from edge.errors import UsageError
from edge.gallery import Index
from edge.pipeline import thresholds_of
from edge.quality import assess
from edge.reader import bundle_folder

MIN_SIGHTINGS = 3
"""So many frames must name somebody, as the pipeline wants as many to agree."""
MAX_FACES = 5000
SURE = 0.85
"""A face that the detector itself doubts is nobody to enrol: half hidden, or no face at all."""
SAME_PLACE = 0.3
"""Overlap (IoU) of one face's boxes, found at two sizes of the picture."""


class PlainLoop:
    """YuNet by `cv2.FaceDetectorYN` on the full frame, and the bundle's embedder on every face of every frame."""

    def __init__(self, settings: Settings, bundle: Path | None) -> None:
        """UsageError for a bundle whose detector is no YuNet."""
        loaded = load_bundle(bundle or bundle_folder(settings))
        spec = loaded.manifest.detector
        if spec.kind != "yunet":
            raise UsageError(f"the plain loop's detector is {spec.kind}", where=str(loaded.folder), expected="yunet")
        with opencv_silenced():
            self._detector = cv2.FaceDetectorYN.create(
                str(loaded.path(spec.artifacts["model"])), "", (320, 320), spec.confidence, spec.nms_iou, MAX_FACES
            )
        self.embedder = make_embedder(loaded, settings.runtime)
        self._template = template_named(self.embedder.template)
        self._threshold = thresholds_of(loaded, settings.decide.operating_point).recognized
        self._index: Index | None = None
        self._named: Counter[str] = Counter()
        self.faces = 0
        self.nearest: list[tuple[Box, str]] = []
        """Of the newest frame: each face's place, and whom it is nearest to."""

    def enrol(self, index: Index) -> None:
        """Whom to look for."""
        self._index = index

    def take(self, image: Image) -> None:
        """One BGR uint8 frame."""
        found = self.detect(image)
        faces = [align(image, detection, self._template) for detection in found]
        self.nearest = []
        for detection, embedding in zip(found, self.embedder.embed(faces), strict=True):
            match = self._index.search(embedding.vector) if self._index is not None else None
            if match is None or match.identity is None:
                continue
            self.nearest.append((detection.box, match.identity.name))
            if match.similarity >= self._threshold:
                self._named[match.identity.name] += 1
        self.faces += len(found)

    def would_say(self, box: Box, name: str) -> bool:
        """Whether the face at this place of the newest frame is nearest to that person for the plain loop, too."""
        return any(place.iou(box) > SAME_PLACE and who == name for place, who in self.nearest)

    def detect(self, image: Image) -> list[Detection]:
        """Faces in the frame at its own size."""
        self._detector.setInputSize((image.shape[1], image.shape[0]))
        rows = self._detector.detect(image)[1]
        return [] if rows is None else [_detection(np.asarray(row, np.float32)) for row in rows]

    def enrollable(self, image: Image, min_quality: float) -> list[Detection]:
        """Faces good enough to decide by; of boxes that touch only the surest, lest one person is enrolled as two."""
        kept: list[Detection] = []
        for face in self.detect(image):
            quality = assess(face, align(image, face, self._template))
            is_good = quality.score >= min_quality and quality.confidence >= SURE
            if is_good and all(face.box.iou(other.box) < 0.05 for other in kept):
                kept.append(face)
        return kept

    @property
    def people(self) -> list[str]:
        """Who was named in enough frames."""
        return sorted(name for name, count in self._named.items() if count >= MIN_SIGHTINGS)


def _detection(row: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Detection:
    """x, y, width, height, five landmarks, score: a row of cv2.FaceDetectorYN."""
    x, y, width, height = (float(value) for value in row[:4])
    return Detection(Box(x, y, x + width, y + height), float(row[14]), row[4:14].reshape(5, 2))
