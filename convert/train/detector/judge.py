"""A detector beside a reference: which of its faces are found, what is found besides, how far the landmarks are apart.

Both run as they are used, in cv2.FaceDetectorYN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge.datatypes import Image
from edge.detect.faces import Faces, areas_of, shared_areas
from edge.errors import ModelError, SourceError

Finder = Callable[[Image], Faces]

NMS_IOU = 0.3
"""As FaceDetectorYN has it unless told otherwise."""
_MOST = 5000


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of a detector with a reference, over some pictures. Landmarks as shares of the distance between the reference's eyes."""

    pictures: int
    faces: int
    found: int
    extra: int
    landmark_error: float
    landmark_error_p95: float

    @property
    def recall(self) -> float:
        """Share of the reference's faces that were found."""
        return self.found / self.faces if self.faces else float("nan")

    @property
    def extra_per_picture(self) -> float:
        """Faces that the reference has not."""
        return self.extra / self.pictures if self.pictures else float("nan")

    def __str__(self) -> str:
        return (
            f"recall {self.recall:.2%} of {self.faces} faces, {self.extra_per_picture:.3f} extra a picture, landmarks "
            f"{self.landmark_error:.2%} of the eye distance (p95 {self.landmark_error_p95:.2%}), {self.pictures} pictures"
        )


def face_detector_yn(path: Path, confidence: float) -> Finder:
    """cv2.FaceDetectorYN, set to the size of each picture. ModelError where it cannot read the file."""
    try:
        detector = cv2.FaceDetectorYN.create(str(path), "", (320, 320), confidence, NMS_IOU, _MOST)
    except cv2.error as error:
        raise ModelError(
            f"OpenCV cannot read it ({error.err})", where=str(path), expected="YuNet's twelve outputs"
        ) from error

    def find(image: Image) -> Faces:
        detector.setInputSize((image.shape[1], image.shape[0]))
        _, rows = detector.detect(image)
        table = np.zeros((0, 15), np.float32) if rows is None else np.asarray(rows, np.float32)
        boxes = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], 1)
        return Faces(boxes, table[:, 14], table[:, 4:14].reshape(-1, 5, 2)).finite()

    return find


def agreement(
    reference: Sequence[Faces], found: Sequence[Faces], *, smallest_px: float = 0.0, least_iou: float = 0.5
) -> Agreement:
    """Faces picture by picture. Of the reference those count whose longer side has at least `smallest_px`.

    Each face is paired at most once, the surest first. A face that lies on one of the reference's that is too small to count is
    not an extra one.
    """
    if len(reference) != len(found):
        raise ValueError(f"{len(reference)} pictures and {len(found)}")
    counted = hits = extra = 0
    errors: list[float] = []
    for theirs, mine in zip(reference, found, strict=True):
        pairs = _paired(theirs, mine, least_iou)
        large = theirs.sides >= smallest_px
        counted += int(large.sum())
        hits += sum(bool(large[place]) for place in pairs)
        left = np.setdiff1d(np.arange(len(mine)), list(pairs.values()))
        extra += int((mine.sides[left] >= smallest_px).sum())
        errors += [_apart(theirs, place, mine, other) for place, other in pairs.items() if large[place]]
    error, high = (float(np.mean(errors)), float(np.quantile(errors, 0.95))) if errors else (float("nan"),) * 2
    return Agreement(len(reference), counted, hits, extra, error, high)


def _paired(theirs: Faces, mine: Faces, least_iou: float) -> dict[int, int]:
    """Place among `theirs` -> place among `mine`."""
    pairs: dict[int, int] = {}
    free = np.ones(len(mine), np.bool_)
    for place in np.argsort(-theirs.scores, kind="stable"):
        shared = shared_areas(theirs.boxes[place], mine.boxes)
        united = areas_of(mine.boxes) + areas_of(theirs.boxes[place : place + 1]) - shared
        overlap = np.where(free, shared / np.maximum(united, 1e-6), 0)
        if len(mine) and overlap.max() >= least_iou:
            pairs[int(place)] = int(overlap.argmax())
            free[pairs[int(place)]] = False
    return pairs


def _apart(theirs: Faces, place: int, mine: Faces, other: int) -> float:
    """Mean distance of the five landmarks, in eye distances of the reference."""
    if theirs.landmarks is None or mine.landmarks is None:
        return float("nan")
    points = theirs.landmarks[place]
    eyes = float(np.linalg.norm(points[0] - points[1]))
    return float(np.linalg.norm(points - mine.landmarks[other], axis=1).mean()) / max(eyes, 1e-6)


def compared(reference: Finder, candidate: Finder, pictures: Iterable[Image], *, smallest_px: float = 0.0) -> Agreement:
    """Both detectors over the same pictures."""
    both = [(reference(picture), candidate(picture)) for picture in pictures]
    return agreement([one for one, _ in both], [other for _, other in both], smallest_px=smallest_px)


def frames_of(path: Path, *, width: int | None = None, every: int = 1) -> Iterator[Image]:
    """Frames of a clip, every so many, made `width` wide. SourceError where it cannot be opened."""
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise SourceError("cannot be opened as a clip", where=str(path), expected="a video file that OpenCV reads")
        index = 0
        while (taken := capture.read())[0]:
            if index % every == 0:
                frame = np.asarray(taken[1], np.uint8)
                yield frame if width is None else _wide(frame, width)
            index += 1
    finally:
        capture.release()


def _wide(frame: Image, width: int) -> Image:
    height = round(frame.shape[0] * width / frame.shape[1])
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
