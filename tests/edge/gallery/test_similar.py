from __future__ import annotations

import numpy as np
import pytest

from edge.datatypes import Floats
from edge.gallery.search import Index
from edge.gallery.similar import likenesses
from tests.edge.gallery.support import members

THRESHOLD = 0.5


def at(similarity: float, axis: int) -> Floats:
    """A unit vector that has `similarity` to the first axis."""
    made = np.zeros(8, np.float32)
    made[0], made[axis] = similarity, np.sqrt(1 - similarity**2)
    return made


PROBE = at(1.0, 1)


@pytest.mark.parametrize(
    ("enrolled", "own_id", "expected"),
    [
        ([], "id0", []),
        ([0.3], None, []),
        ([0.7], "id0", []),
        ([0.99], "id0", ["duplicate"]),
        ([1.0], "id0", ["duplicate"]),
        ([0.3], "id0", ["unlike"]),
        ([0.7], None, ["look_alike"]),
        ([0.5], None, ["look_alike"]),
        ([1.0], None, ["look_alike"]),
        ([0.7, 0.8], "id0", ["look_alike"]),
        ([0.99, 0.8], "id0", ["duplicate", "look_alike"]),
        ([0.1, 0.8], "id0", ["unlike", "look_alike"]),
        ([0.6, 0.7, 0.8, 0.9], None, ["look_alike"] * 3),
    ],
)
def test_whom_a_picture_resembles(enrolled: list[float], own_id: str | None, expected: list[str]) -> None:
    rows = [at(similarity, 1 + number) for number, similarity in enumerate(enrolled)]
    index = Index(members(len(rows)), np.arange(len(rows)), np.array(rows, np.float32).reshape(-1, 8))
    found = likenesses(index, PROBE, own_id=own_id, threshold=THRESHOLD)
    assert [likeness.kind for likeness in found] == expected
    alike = [likeness.similarity for likeness in found if likeness.kind == "look_alike"]
    assert alike == sorted(alike, reverse=True)


def test_the_other_pictures_of_the_same_enrolment_count_as_the_persons_own() -> None:
    index = Index([], np.empty(0, np.int64), np.empty((0, 8), np.float32))
    kinds = [
        [one.kind for one in likenesses(index, PROBE, own_id=None, own=[at(similarity, 2)], threshold=THRESHOLD)]
        for similarity in (0.99, 0.7, 0.2)
    ]
    assert kinds == [["duplicate"], [], ["unlike"]]


def test_a_look_alike_is_told_by_name_and_figure() -> None:
    index = Index(members(1), np.array([0]), at(0.7, 1)[None])
    (likeness,) = likenesses(index, PROBE, own_id=None, threshold=THRESHOLD)
    assert likeness.message == (
        "looks like Name 0 (similarity 0.700 >= 0.500): may be the same person, or a look-alike: margins will be narrow"
    )
    assert likeness.identity == index.identities[0]
