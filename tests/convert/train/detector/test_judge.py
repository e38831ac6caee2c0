from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.train.detector.judge import Agreement, agreement, compared, face_detector_yn, frames_of
from edge.datatypes import Image
from edge.detect.faces import Faces
from edge.errors import ModelError, SourceError

EYES_APART = 10.0


def faces(*corners: tuple[float, float], side: float = 30.0, moved: float = 0.0) -> Faces:
    """Square faces with eyes ten pixels apart, each landmark `moved` down."""
    boxes = np.array([[x, y, x + side, y + side] for x, y in corners], np.float32).reshape(-1, 4)
    points = np.array([[10, 10], [20, 10], [15, 17], [11, 22], [19, 22]], np.float32)
    points[:, 1] += moved
    landmarks = np.array([points + corner for corner in corners], np.float32).reshape(-1, 5, 2)
    return Faces(boxes, np.linspace(0.9, 0.8, len(corners), dtype=np.float32), landmarks)


@pytest.mark.parametrize(
    ("theirs", "mine", "smallest_px", "expected"),
    [
        ([faces((0, 0), (50, 0))], [faces((0, 0), (50, 0))], 0, (2, 2, 0, 0.0)),
        ([faces((0, 0))], [faces((0, 0), moved=0.5)], 0, (1, 1, 0, 0.05)),
        ([faces((0, 0))], [faces()], 0, (1, 0, 0, None)),
        ([faces()], [faces((0, 0))], 0, (0, 0, 1, None)),
        # 10 of 30 pixels aside: a third less, an overlap of exactly a half; 11 are too many.
        ([faces((0, 0))], [faces((10, 0))], 0, (1, 1, 0, 1.0)),
        ([faces((0, 0))], [faces((11, 0))], 0, (1, 0, 1, None)),
        # One found face does not answer two of the reference's.
        ([faces((0, 0), (1, 0))], [faces((0, 0))], 0, (2, 1, 0, 0.0)),
        ([faces((0, 0), side=20), faces((0, 0))], [faces((0, 0), side=20), faces((0, 0))], 24, (1, 1, 0, 0.0)),
        ([faces((0, 0), side=23)], [faces((0, 0), side=25)], 24, (0, 0, 0, None)),
    ],
)
def test_what_agrees(
    theirs: list[Faces], mine: list[Faces], smallest_px: float, expected: tuple[int, int, int, float | None]
) -> None:
    found = agreement(theirs, mine, smallest_px=smallest_px)
    assert (found.faces, found.found, found.extra) == expected[:3]
    if expected[3] is None:
        assert np.isnan(found.landmark_error)
    else:
        assert found.landmark_error == pytest.approx(expected[3], abs=1e-6)


def test_shares_of_a_whole() -> None:
    found = Agreement(pictures=4, faces=8, found=6, extra=1, landmark_error=0.02, landmark_error_p95=0.05)
    assert (found.recall, found.extra_per_picture) == (0.75, 0.25)
    assert str(found).startswith("recall 75.00% of 8 faces, 0.250 extra a picture, landmarks 2.00% of the eye distance")
    nothing = agreement([], [])
    assert np.isnan(nothing.recall)
    assert np.isnan(nothing.extra_per_picture)


def test_as_many_pictures_on_both_sides() -> None:
    with pytest.raises(ValueError, match="1 pictures and 2"):
        agreement([faces()], [faces(), faces()])


def test_both_see_every_picture() -> None:
    seen: list[int] = []

    def reference(image: Image) -> Faces:
        seen.append(int(image[0, 0, 0]))
        return faces((0, 0))

    found = compared(reference, lambda _: faces((2, 0)), [np.full((8, 8, 3), level, np.uint8) for level in (1, 2)])
    assert seen == [1, 2]
    assert (found.pictures, found.recall) == (2, 1.0)
    assert found.landmark_error == pytest.approx(2 / EYES_APART)


@pytest.mark.parametrize("data", [b"", b"no network", b"\x08\x08\x12\x00"])
def test_a_file_that_is_no_detector_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"damaged\.onnx"):
        face_detector_yn(path, 0.7)


def test_frames_of_a_clip(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for level in range(6):
        writer.write(np.full((48, 64, 3), 40 * level, np.uint8))
    writer.release()
    frames = list(frames_of(path, width=32, every=2))
    assert [frame.shape for frame in frames] == [(24, 32, 3)] * 3
    assert [round(float(frame.mean()) / 40) for frame in frames] == [0, 2, 4]


def test_a_clip_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be opened as a clip"):
        list(frames_of(tmp_path / "missing.mp4"))
