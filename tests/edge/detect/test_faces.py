from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.datatypes import Box
from edge.detect.faces import Faces, joined, suppressed, without_parts

NAN, INF = float("nan"), float("inf")


def faces_of(*rows: tuple[float, ...], landmarks: bool = False) -> Faces:
    """Rows of x1, y1, x2, y2, score; each face's landmarks are its upper left corner."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    points = np.repeat(table[:, None, :2], 5, axis=1) if landmarks else None
    return Faces(table[:, :4], table[:, 4], points)


def slow_suppression(rows: list[tuple[float, ...]], most: float) -> list[int]:
    kept: list[int] = []
    for index in sorted(range(len(rows)), key=lambda i: -rows[i][4]):
        if all(Box(*rows[index][:4]).iou(Box(*rows[other][:4])) <= most for other in kept):
            kept.append(index)
    return kept


corner = st.integers(0, 40)
length = st.integers(1, 30)
row = st.tuples(corner, corner, length, length, st.integers(0, 20)).map(
    lambda r: (r[0], r[1], r[0] + r[2], r[1] + r[3], r[4] / 20)
)


# Fractions with odd denominators: no IoU of integer boxes this small comes within rounding of them.
@given(st.lists(row, max_size=25), st.sampled_from([0.0, 0.30001, 0.50001, 1.0]))
def test_suppression_is_that_of_the_slow_reference(rows: list[tuple[float, ...]], most: float) -> None:
    kept = suppressed(faces_of(*rows), most)

    wanted = faces_of(*rows).take(np.array(slow_suppression(rows, most), np.intp))
    np.testing.assert_array_equal(kept.boxes, wanted.boxes)
    np.testing.assert_array_equal(kept.scores, wanted.scores)


def test_suppression_obeys_ranks_before_scores() -> None:
    faces = faces_of((0, 0, 10, 10, 0.9), (1, 0, 11, 10, 0.5))

    kept = suppressed(faces, 0.3, ranks=np.array([0, 1], np.float32))

    assert kept.scores.tolist() == [0.5]


@pytest.mark.parametrize(
    ("small", "large", "left"),
    [
        pytest.param((2, 2, 4, 4, 0.5), (0, 0, 10, 10, 0.9), 1, id="inside a surer one"),
        pytest.param((2, 2, 4, 4, 0.9), (0, 0, 10, 10, 0.5), 2, id="surer than the one around it"),
        pytest.param((9, 2, 11, 4, 0.5), (0, 0, 10, 10, 0.9), 2, id="half inside"),
        pytest.param((20, 2, 24, 4, 0.5), (0, 0, 10, 10, 0.9), 2, id="apart"),
        pytest.param((0, 0, 10, 10, 0.9), (0, 0, 10, 10, 0.9), 2, id="equal: not a part"),
    ],
)
def test_parts_of_a_face_are_left_out(small: tuple[float, ...], large: tuple[float, ...], left: int) -> None:
    for rows in ((small, large), (large, small)):
        assert len(without_parts(faces_of(*rows), 0.6)) == left


@pytest.mark.parametrize(
    ("bad", "column"), [*((bad, column) for bad in (NAN, INF, -INF) for column in range(5)), (1e30, 2), (-1e30, 1)]
)
def test_rows_that_are_no_numbers_are_dropped_and_counted(bad: float, column: int) -> None:
    rows = [[0.0, 0.0, 9.0, 9.0, 0.5], [20.0, 20.0, 29.0, 29.0, 0.6]]
    rows[0][column] = bad

    left = faces_of(*(tuple(row) for row in rows)).finite()

    assert left.scores.tolist() == pytest.approx([0.6])
    assert left.dropped == 1


def test_landmarks_that_are_no_numbers_are_dropped_too() -> None:
    faces = faces_of((0, 0, 9, 9, 0.5), (20, 20, 29, 29, 0.6), landmarks=True)
    assert faces.landmarks is not None
    faces.landmarks[1, 4, 1] = NAN

    assert faces.finite().scores.tolist() == [0.5]
    assert faces.finite().dropped == 1


def test_joining_adds_up_faces_landmarks_and_dropped_ones() -> None:
    first, second = faces_of((0, 0, 9, 9, 0.5), landmarks=True), faces_of((1, 1, 9, 9, NAN), landmarks=True).finite()

    whole = joined([first, second, first])

    assert (len(whole), whole.dropped) == (2, 1)
    assert whole.landmarks is not None
    assert whole.landmarks.shape == (2, 5, 2)


def test_detections_keep_order_types_and_scale() -> None:
    found = faces_of((1, 2, 3, 4, 0.5), (5, 6, 7, 8, 0.75), landmarks=True).scaled(2, 10).detections()

    assert [(item.box, item.confidence) for item in found] == [((2, 20, 6, 40), 0.5), ((10, 60, 14, 80), 0.75)]
    assert found[1].landmarks is not None
    assert found[1].landmarks.tolist() == [[10, 60]] * 5
    assert type(found[0].box) is Box
    assert type(found[0].box.x1) is type(found[0].confidence) is float


@pytest.mark.parametrize(("most", "scores"), [(0, []), (1, [0.75]), (2, [0.75, 0.5]), (9, [0.75, 0.5, 0.5])])
def test_best_are_the_surest(most: int, scores: list[float]) -> None:
    faces = faces_of((0, 0, 9, 9, 0.5), (1, 2, 3, 4, 0.75), (5, 6, 7, 8, 0.5))

    assert faces.best(most).scores.tolist() == scores
