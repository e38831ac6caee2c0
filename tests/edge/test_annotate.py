from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.annotate import KNOWN, UNKNOWN, Mark, VideoWriter, annotated, plain_ascii
from edge.datatypes import Box
from edge.errors import OstiaryError


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Ada 0.61", "Ada 0.61"),
        ("Jos\u00e9 \u00c5ngstr\u00f6m", "Jose Angstrom"),
        ("J\u00f8rgen", "J?rgen"),
        ("\u674e\u5c0f\u9f99 0.61", "??? 0.61"),
        ("who?", "who?"),
        ("a\nb", "a?b"),
        ("", "?"),
        ("x" * 99, "x" * 60),
    ],
)
def test_what_opencvs_fonts_can_write(text: str, plain: str) -> None:
    assert plain_ascii(text) == plain


@pytest.mark.parametrize("size", [(64, 48), (640, 480), (1920, 1080)])
@pytest.mark.parametrize(
    "box", [Box(10.4, 12.5, 40, 44), Box(-20, -20, 30, 30), Box(600, 400, 700, 500), Box(5, 0, 40, 8), Box(9, 9, 9, 9)]
)
def test_a_mark_is_drawn_on_a_copy(size: tuple[int, int], box: Box) -> None:
    image = np.full((size[1], size[0], 3), 30, np.uint8)
    made = annotated(image, [Mark(box, "Ada 0.61", KNOWN), Mark(box.shifted(3, 3), "unknown", UNKNOWN)])
    assert made.shape == image.shape
    assert (image == 30).all()
    if box.intersection(Box(0, 0, *size)) > 0:
        assert (made == np.array(UNKNOWN, np.uint8)).all(-1).any()


def test_labels_lie_over_boxes() -> None:
    # The second box crosses the first one's label.
    image = np.zeros((480, 640, 3), np.uint8)
    marks = [Mark(Box(100, 100, 200, 200), "Ada", KNOWN), Mark(Box(110, 20, 300, 300), "", UNKNOWN)]
    alone, both = annotated(image, marks[:1]), annotated(image, marks)
    label = alone.any(-1)
    label[99:] = False
    assert label.sum() > 100
    assert np.array_equal(both[label], alone[label])


@pytest.mark.parametrize("name", ["out.mp4", "out.avi"])
def test_a_video_has_every_frame(name: str, tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / name, fps=10, max_side_px=64)
    for level in range(0, 250, 25):
        writer.write(np.full((75, 101, 3), level, np.uint8))
    writer.write(np.zeros((200, 100, 3), np.uint8))
    writer.close()
    writer.close()
    capture = cv2.VideoCapture(str(tmp_path / name))
    frames = []
    while (row := capture.read())[0]:
        frames.append(row[1])
    capture.release()
    assert [frame.shape for frame in frames] == [(46, 64, 3)] * 11
    assert [round(float(frame.mean()), -1) for frame in frames[:3]] == pytest.approx([0, 25, 50], abs=10)


def test_a_video_that_cannot_be_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    writer = VideoWriter(tmp_path / "missing" / "out.mp4")
    with pytest.raises(OstiaryError, match=r"cannot be written; expected a .mp4 or .avi file"):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.close()
    capfd.readouterr()
