from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest

from edge.config.settings import Detect
from edge.datatypes import Box, Image
from edge.detect.faces import Faces
from edge.detect.pyramid import Pyramid
from tests.edge.detect.conftest import DetectorOf

NOBODY = Faces(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))


@dataclass
class FakeFinder:
    """Gives the faces that it is told, in parts of the picture's width, and remembers what it was shown."""

    rows: list[tuple[float, ...]] = field(default_factory=list)
    any_size: bool = True
    gives_landmarks: bool = True
    largest_px: float = 300.0
    dropped: int = 0
    seen: list[tuple[int, int]] = field(default_factory=list)
    smallest: list[float] = field(default_factory=list)

    def find(self, image: Image, smallest_px: float) -> Faces:
        height, width = image.shape[:2]
        self.seen.append((width, height))
        self.smallest.append(smallest_px)
        table = np.array(self.rows, np.float32).reshape(-1, 5)
        boxes = table[:, :4] * width
        landmarks = np.repeat(boxes[:, None, :2], 5, axis=1)
        return Faces(boxes, table[:, 4], landmarks, self.dropped)


def pyramid_of(*finders: FakeFinder, **settings: float) -> Pyramid:
    left = iter(finders)
    return Pyramid(lambda: next(left), Detect(**settings), nms_iou=0.3)  # type: ignore[arg-type]


def picture(width: int, height: int) -> Image:
    return np.zeros((height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("size", "width_px", "largest_px", "levels"),
    [
        ((1920, 1080), 640, 300, [(640, 360), (160, 90)]),
        ((1080, 1920), 640, 300, [(360, 640), (90, 160)]),
        ((1920, 1080), 1280, 300, [(1280, 720), (320, 180), (80, 45)]),
        ((640, 480), 640, 300, [(640, 480), (160, 120)]),
        ((500, 400), 640, 300, [(500, 400), (125, 100)]),
        ((250, 160), 640, 300, [(250, 160)]),
        ((1920, 1080), 640, 1000, [(640, 360)]),
        ((4000, 20), 640, 300, [(640, 3)]),
        ((20, 4000), 640, 300, [(3, 640)]),
        ((1, 1), 640, 300, [(1, 1)]),
    ],
)
def test_levels_reach_a_face_that_fills_the_frame(
    size: tuple[int, int], width_px: int, largest_px: float, levels: list[tuple[int, int]]
) -> None:
    finders = [FakeFinder(largest_px=largest_px) for _ in range(4)]

    assert pyramid_of(*finders, width_px=width_px).detect(picture(*size)) == []

    assert [shown for finder in finders for shown in finder.seen] == levels


def test_a_detector_with_a_size_of_its_own_gets_the_picture_as_it_is() -> None:
    finder = FakeFinder(any_size=False)

    pyramid_of(finder).detect(picture(1920, 1080))

    assert finder.seen == [(1920, 1080)]


SMALL, LARGE = (0.4, 0.1, 0.5, 0.2, 0.7), (0.2, 0.0, 0.7, 0.5, 0.8)
"""64 and 320 px of 640: one that the first level finds as well as any, and one too large for it."""


def shifted(row: tuple[float, ...], by: float, confidence: float) -> tuple[float, ...]:
    return (row[0] + by, row[1], row[2] + by, row[3], confidence)


@pytest.mark.parametrize(
    ("row", "winner"), [pytest.param(SMALL, 0, id="finer level"), pytest.param(LARGE, 1, id="coarser level")]
)
@pytest.mark.parametrize("confidences", [(0.9, 0.7), (0.7, 0.9)])
def test_of_two_levels_the_one_whose_range_fits_gives_the_box(
    row: tuple[float, ...], winner: int, confidences: tuple[float, float]
) -> None:
    rows = [shifted(row, by, confidence) for by, confidence in zip((0.0, 0.01), confidences, strict=True)]
    detector = pyramid_of(*(FakeFinder([item]) for item in rows))

    (found,) = detector.detect(picture(1280, 720))

    assert found.confidence == pytest.approx(confidences[winner])
    assert found.box == pytest.approx([value * 1280 for value in rows[winner][:4]], abs=0.01)
    assert found.landmarks is not None
    assert found.landmarks[0] == pytest.approx(found.box[:2])


def test_faces_of_either_level_alone_are_kept_and_sorted() -> None:
    detector = pyramid_of(FakeFinder([SMALL]), FakeFinder([(0.6, 0.3, 0.95, 0.55, 0.9)]))

    assert [face.confidence for face in detector.detect(picture(1280, 720))] == pytest.approx([0.9, 0.7])


def test_a_mouth_in_a_large_face_is_no_face() -> None:
    mouth = (0.4, 0.3, 0.5, 0.4, 0.75)
    detector = pyramid_of(FakeFinder([mouth]), FakeFinder([LARGE]))

    assert [face.confidence for face in detector.detect(picture(1280, 720))] == pytest.approx([0.8])


ROW_OF_FOUR = [(0.2 * n, 0.1, 0.2 * n + 0.02 * (n + 1), 0.12, 0.9 - 0.1 * n) for n in range(4)]
"""25.6, 51.2, 76.8 and 102.4 px of 1280; the larger, the less sure."""


@pytest.mark.parametrize(
    ("settings", "frame_scale", "confidences"),
    [
        ({"min_face_px": 24}, 1, [0.9, 0.8, 0.7, 0.6]),
        ({"min_face_px": 26}, 1, [0.8, 0.7, 0.6]),
        ({"min_face_px": 24, "max_faces": 2}, 1, [0.7, 0.6]),
        ({"min_face_px": 24, "max_faces": 1}, 1, [0.6]),
        ({"min_face_px": 200}, 1, []),
        ({"min_face_px": 100}, 2, [0.8, 0.7, 0.6]),
    ],
)
def test_small_faces_are_dropped_and_the_largest_kept_surest_first(
    settings: dict[str, float], frame_scale: float, confidences: list[float]
) -> None:
    detector = pyramid_of(FakeFinder(ROW_OF_FOUR), FakeFinder(), **settings)

    found = detector.detect(picture(1280, 720), frame_scale=frame_scale)

    assert [face.confidence for face in found] == pytest.approx(confidences)


@pytest.mark.parametrize(
    ("row", "faces"),
    [
        pytest.param((-0.04, 0.1, 0.05, 0.2), 1, id="reaches over the left edge"),
        pytest.param((-0.06, 0.1, 0.05, 0.2), 0, id="centre beyond the left edge"),
        pytest.param((0.4, 0.5, 0.5, 0.61), 1, id="reaches over the lower edge"),
        pytest.param((0.4, 0.53, 0.5, 0.62), 0, id="centre below the lower edge"),
    ],
)
def test_a_face_centred_outside_the_picture_is_dropped(row: tuple[float, ...], faces: int) -> None:
    detector = pyramid_of(FakeFinder([(*row, 0.9)]), FakeFinder())

    assert len(detector.detect(picture(1280, 720))) == faces


def test_the_smallest_face_is_told_in_pixels_of_each_level() -> None:
    finders = [FakeFinder(), FakeFinder()]

    pyramid_of(*finders, min_face_px=48).detect(picture(1280, 720))

    assert [finder.smallest for finder in finders] == [[24], [6]]


def test_dropped_outputs_of_all_levels_and_frames_are_added_up() -> None:
    detector = pyramid_of(FakeFinder(dropped=2), FakeFinder(dropped=1))

    for _ in range(3):
        detector.detect(picture(640, 480))

    assert detector.dropped == 9


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3))])
def test_what_is_no_picture_is_refused(image: Image) -> None:
    with pytest.raises(ValueError, match="expected uint8 HxWx3"):
        pyramid_of(FakeFinder(), FakeFinder()).detect(image)


def close_up(image: Image, face: Box, size: tuple[int, int], fill: float) -> tuple[Image, Box]:
    """The picture as a camera sees it when the face takes `fill` of the frame's height or width."""
    scale = fill * min(size[0] / face.width, size[1] / face.height)
    move = np.array(size) / 2 - scale * np.array(face.centre)
    matrix = np.array([[scale, 0, move[0]], [0, scale, move[1]]])
    frame = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(frame, np.uint8), face.scaled(scale, scale).shifted(*move)


PORTRAITS = {"hopper": Box(177, 123, 356, 336), "collins": Box(178, 65, 269, 176)}


@pytest.mark.parametrize("portrait", PORTRAITS)
@pytest.mark.parametrize("fill", [0.8, 1.0, 1.15])
@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (720, 1280)])
@pytest.mark.parametrize("kind", ["own", "yunet", "mtcnn"])
def test_a_face_that_fills_the_frame_is_found(  # noqa: PLR0917
    kind: str,
    size: tuple[int, int],
    fill: float,
    portrait: str,
    detector_of: DetectorOf,
    request: pytest.FixtureRequest,
) -> None:
    frame, face = close_up(request.getfixturevalue(portrait), PORTRAITS[portrait], size, fill)

    best = max(detector_of(kind, width_px=640).detect(frame), key=lambda found: found.box.iou(face))

    assert best.box.iou(face) > 0.6
    assert best.landmarks is not None


@pytest.mark.parametrize("portrait", PORTRAITS)
@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
def test_without_further_levels_the_own_detector_loses_or_misplaces_it(
    size: tuple[int, int], portrait: str, detector_of: DetectorOf, request: pytest.FixtureRequest
) -> None:
    frame, face = close_up(request.getfixturevalue(portrait), PORTRAITS[portrait], size, 1.15)
    detector = detector_of("own", width_px=1280)
    single = Pyramid(lambda: detector._finders[0], Detect(width_px=1280), 0.3)
    single._finders = single._finders[:1]

    assert max((found.box.iou(face) for found in single.detect(frame)), default=0) < 0.6
