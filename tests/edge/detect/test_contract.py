"""What holds for every kind of detector, on every kind of picture."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge.datatypes import Box, Detection, Image
from edge.interfaces import Detector
from tests.edge.detect.conftest import SECTIONS, DetectorOf

HOPPER = Box(177, 120, 356, 336)
COLLINS = Box(176, 61, 268, 186)


def as_grey(image: Image) -> Image:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)


def sized(image: Image, width: int, height: int) -> Image:
    return np.asarray(cv2.resize(image, (width, height)), np.uint8)


def noise(width: int, height: int) -> Image:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


Portraits = tuple[Image, Image, Image]
PICTURES: dict[str, tuple[Callable[[Portraits], Image], list[Box] | None]] = {
    # What to show, and the faces in it: None where anything goes, as long as it is well formed.
    "one face": (lambda p: p[0], [HOPPER]),
    "another face": (lambda p: p[1], [COLLINS]),
    "two faces": (lambda p: p[2], [HOPPER.scaled(1, 1), COLLINS.shifted(512, 0)]),
    "grey": (lambda p: as_grey(p[0]), [HOPPER]),
    "mirrored view": (lambda p: p[0][:, ::-1], [Box(512 - 356, 120, 512 - 177, 336)]),
    "every second pixel": (lambda p: p[0][::2, ::2], [HOPPER.scaled(0.5, 0.5)]),
    "odd size": (lambda p: sized(p[0], 333, 391), [HOPPER.scaled(333 / 512, 391 / 600)]),
    "huge": (lambda p: sized(p[2], 4000, 2000), [HOPPER.scaled(3.9, 3.9), COLLINS.shifted(512, 0).scaled(3.9, 3.9)]),
    "black": (lambda _: np.zeros((480, 640, 3), np.uint8), []),
    "white": (lambda _: np.full((480, 640, 3), 255, np.uint8), []),
    "gradient": (lambda _: sized(np.arange(48, dtype=np.uint8).reshape(4, 4, 3), 640, 480), []),
    "noise": (lambda _: noise(640, 480), None),
    "one pixel": (lambda p: p[0][:1, :1], []),
    "16x9": (lambda p: sized(p[0], 16, 9), []),
    "very wide": (lambda _: noise(4000, 20), None),
    "very high": (lambda _: noise(20, 4000), None),
    "one row": (lambda _: noise(2000, 1), None),
}


def check(faces: list[Detection], image: Image, *, gives_landmarks: bool) -> None:
    height, width = image.shape[:2]
    assert [face.confidence for face in faces] == sorted((face.confidence for face in faces), reverse=True)
    for face in faces:
        assert 0.6 <= face.confidence <= 1.0
        assert all(type(value) is float for value in (*face.box, face.confidence))
        assert face.box.side >= 24
        assert Box(0, 0, width, height).contains(*face.box.centre)
        assert face.box.side <= 2 * max(width, height)
        assert (face.landmarks is not None) == gives_landmarks
        assert face.landmarks is None or np.isfinite(face.landmarks).all()
    pairs = [(one, other) for number, one in enumerate(faces) for other in faces[:number]]
    assert all(one.box.iou(other.box) <= 0.3 + 1e-6 for one, other in pairs)


@pytest.fixture(scope="module")
def portraits(hopper: Image, collins: Image, both: Image) -> Portraits:
    return hopper, collins, both


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("kind", SECTIONS)
def test_every_detector_on_every_picture(kind: str, name: str, detector_of: DetectorOf, portraits: Portraits) -> None:
    make, wanted = PICTURES[name]
    image = make(portraits)
    before = image.copy()
    detector = detector_of(kind)

    faces = detector.detect(image)

    check(faces, image, gives_landmarks=detector.gives_landmarks)
    for box in wanted or []:
        assert max((face.box.iou(box) for face in faces), default=0) > 0.5
    # The project's own first detector takes some hands and patches for faces, at 0.62 to 0.75.
    assert wanted is None or len(faces) == len(wanted) or (kind == "own" and wanted)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("kind", SECTIONS)
def test_the_same_picture_gives_the_same_faces_whatever_came_between(
    kind: str, detector_of: DetectorOf, both: Image, hopper: Image
) -> None:
    detector: Detector = detector_of(kind)
    first = detector.detect(both)
    detector.detect(hopper[:100, :333])

    for one, other in zip(first, detector.detect(both), strict=True):
        assert (one.box, one.confidence) == (other.box, other.confidence)
        assert one.landmarks is None or np.array_equal(one.landmarks, other.landmarks)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", SECTIONS)
def test_landmarks_lie_in_the_face(kind: str, detector_of: DetectorOf, both: Image) -> None:
    for face in detector_of(kind).detect(both):
        for point in [] if face.landmarks is None else face.landmarks.tolist():
            assert face.box.contains(*point)
