from __future__ import annotations

import numpy as np
import pytest

from convert.accuracy.faces import stacked
from convert.calibrate import examples_of, pick_names
from convert.pictures import person_of
from edge.bundle.manifest import Normalisation
from edge.datatypes import AlignedFace
from edge.errors import UsageError

NAMES = [f"P{person}/P{person}_{number:04d}.jpg" for person in range(20) for number in range(1, 4)]
PEOPLE = frozenset(f"P{person}" for person in range(15))


def test_one_picture_a_person_and_only_of_people_listed() -> None:
    names = pick_names(NAMES, PEOPLE, 15, seed=0)
    assert {person_of(name) for name in names} == PEOPLE


def test_the_seed_decides() -> None:
    assert pick_names(NAMES, PEOPLE, 8, seed=1) == pick_names(NAMES, PEOPLE, 8, seed=1)
    assert pick_names(NAMES, PEOPLE, 8, seed=1) != pick_names(NAMES, PEOPLE, 8, seed=2)


def test_too_few_people_is_told() -> None:
    with pytest.raises(UsageError, match="pictures of 15 of the people listed; expected at least 16"):
        pick_names(NAMES, PEOPLE, 16, seed=0)


def test_examples_span_every_byte_and_leave_the_pictures_alone() -> None:
    pictures = np.full((3, 4, 4, 3), 100, np.uint8)
    examples = examples_of(pictures, Normalisation(mean=128, std=128))
    assert examples.dtype == np.float32
    assert (examples.min(), examples.max()) == (-1.0, 127 / 128)
    assert np.count_nonzero(examples != np.float32((100 - 128) / 128)) == 6
    assert (pictures == 100).all()


def test_colours_are_turned_for_networks_that_want_rgb() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[..., 0] = 200
    faces = [AlignedFace(image, "any")]
    assert stacked(faces, "BGR")[0, 0, 0].tolist() == [200, 0, 0]
    assert stacked(faces, "RGB")[0, 0, 0].tolist() == [0, 0, 200]
