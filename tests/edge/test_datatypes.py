from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.datatypes import AlignedFace, Box, Detection, Embedding, Frame, check_image
from tests.support.events import ADA, make_event
from tests.support.fakes import face, unit
from tests.support.schemas import validator

EDGE = st.integers(-1000, 1000).map(float)
BOXES = st.tuples(EDGE, EDGE, EDGE, EDGE).map(lambda row: Box(*row))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_pictures_are_checked_where_they_are_made(image: Any) -> None:
    good = np.zeros((4, 4, 3), np.uint8)
    check_image(good)
    for make in (
        lambda: check_image(image), lambda: AlignedFace(image, "t"), lambda: Frame(image, 0, 0, 0.0),
        lambda: Frame(good, 0, 0, 0.0, small=image),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="expected uint8 HxWx3, got"):
            make()


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.zeros((4, 2), np.float32), np.zeros(10, np.float32)])
def test_landmarks_are_checked(points: Any) -> None:
    with pytest.raises(ValueError, match=r"expected float32 \(5, 2\), got"):
        Detection(Box(0, 0, 1, 1), 1.0, points)


@pytest.mark.parametrize(
    ("vector", "problem"),
    [
        (np.array([1.0, 0.0]), "expected float32"),
        (np.ones((1, 1), np.float32), "expected float32"),
        (np.array([1.0, 1.0], np.float32), "expected length 1, got 1.4142"),
        (np.array([0.0, 0.0], np.float32), "expected length 1, got 0.0000"),
        (np.array([np.nan, 1.0], np.float32), "expected length 1, got nan"),
    ],
)
def test_embeddings_are_checked(vector: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Embedding(vector, "e")


def test_similarity_is_the_cosine_within_one_embedder() -> None:
    first, second = Embedding(unit(1, 0), "e"), Embedding(unit(1, 1), "e")
    assert first.similarity(second) == pytest.approx(0.5**0.5)
    with pytest.raises(ValueError, match="'e' and 'other' cannot be compared"):
        first.similarity(Embedding(unit(1, 0), "other"))


@given(BOXES, BOXES)
def test_overlap_by_counting_pixels(first: Box, second: Box) -> None:
    def pixels(box: Box) -> tuple[range, range]:
        return range(int(box.x1), int(box.x2)), range(int(box.y1), int(box.y2))

    def area(columns: range, rows: range) -> int:
        return len(columns) * len(rows)

    def shared(one: range, other: range) -> range:
        return range(max(one.start, other.start), min(one.stop, other.stop))

    (a, b), (c, d) = pixels(first), pixels(second)
    both = area(shared(a, c), shared(b, d)) if area(a, b) and area(c, d) else 0
    union = area(a, b) + area(c, d) - both
    if first.x1 <= first.x2 and first.y1 <= first.y2 and second.x1 <= second.x2 and second.y1 <= second.y2:
        assert first.iou(second) == pytest.approx(both / union if union else 0.0)
    assert 0.0 <= first.iou(second) <= 1.0 + 1e-9 or first.width * first.height == 0 or second.area == 0
    assert first.iou(second) == pytest.approx(second.iou(first))


@given(BOXES)
def test_a_clipped_box_lies_inside(box: Box) -> None:
    clipped = box.clipped(640, 480)
    assert 0 <= clipped.x1 <= 640
    assert 0 <= clipped.x2 <= 640
    assert 0 <= clipped.y1 <= 480
    assert 0 <= clipped.y2 <= 480
    assert clipped.area <= max(box.area, 0.0)


def test_a_detection_is_mapped_with_its_landmarks() -> None:
    found = face(10, 20, 30)
    mapped = found.mapped(2.0, 3.0, 5.0, 7.0)
    assert mapped.box == Box(25.0, 67.0, 85.0, 157.0)
    assert found.landmarks is not None
    assert mapped.landmarks is not None
    assert mapped.landmarks.dtype == np.float32
    assert np.abs(mapped.landmarks - (found.landmarks * [2, 3] + [5, 7])).max() < 1e-4
    assert Detection(Box(0, 0, 1, 1), 0.5).mapped(2, 2).landmarks is None


def test_intervals_are_measured_on_the_clips_timeline_where_there_is_one() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    assert Frame(image, 0, 77, 0.0).moment_ns == 77
    assert Frame(image, 0, 77, 0.0, timeline_ns=0).moment_ns == 0
    assert (Frame(image, 0, 0, 0.0).width, Frame(image, 0, 0, 0.0).height) == (6, 4)


@pytest.mark.parametrize("identity", [ADA, None])
@pytest.mark.parametrize("replayed", [True, False])
def test_the_payload_is_the_contract(identity: Any, replayed: bool) -> None:  # noqa: FBT001
    import dataclasses

    event = dataclasses.replace(make_event(identity=identity), seq=3, latency_ms={"publish": 0.123456, "detect": 1.0})
    payload = event.payload(age_ms=12.3456, replayed=replayed)
    problems = [error.message for error in validator("event").iter_errors(payload)]
    assert not problems
    assert payload["age_ms"] == 12.3
    assert payload["latency_ms"] == {"publish": 0.12, "detect": 1.0}
    assert payload["replayed"] is replayed
    assert payload["identity"] == (None if identity is None else {"id": ADA.id, "name": ADA.name})
