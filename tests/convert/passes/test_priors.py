from __future__ import annotations

import math

import numpy as np
import pytest

from convert.passes.priors import PriorBoxes, centres, prior_boxes
from edge.errors import ModelError


def one_by_one(described: PriorBoxes, cells: tuple[int, int], picture: tuple[int, int]) -> list[list[float]]:
    """The loops of Caffe's PriorBox."""
    rows = []
    for y in range(cells[1]):
        for x in range(cells[0]):
            step = [described.step[axis] or picture[axis] / cells[axis] for axis in (0, 1)]
            middle = ((x + described.offset) * step[0], (y + described.offset) * step[1])
            for index, smallest in enumerate(described.min_sizes):
                sides = [(smallest, smallest)]
                if described.max_sizes:
                    sides.append((math.sqrt(smallest * described.max_sizes[index]),) * 2)
                for ratio in described.ratios:
                    sides.append((smallest * math.sqrt(ratio), smallest / math.sqrt(ratio)))
                    if described.flip:
                        sides.append((smallest / math.sqrt(ratio), smallest * math.sqrt(ratio)))
                for width, height in sides:
                    row = [middle[0] - width / 2, middle[1] - height / 2, middle[0] + width / 2, middle[1] + height / 2]
                    row = [value / picture[place % 2] for place, value in enumerate(row)]
                    rows.append([min(max(value, 0), 1) for value in row] if described.clip else row)
    return rows


@pytest.mark.parametrize(
    "described",
    [
        PriorBoxes((16.0, 32.0), step=(8, 8)),
        PriorBoxes((30.0,), (60.0,), (2.0, 3.0), clip=True),
        PriorBoxes((30.0, 50.0), (60.0, 90.0), (2.0,), flip=False, step=(10, 20), offset=0.25),
    ],
)
def test_priors_lie_where_caffe_puts_them(described: PriorBoxes) -> None:
    found = prior_boxes(described, (5, 3), (64, 48))

    assert found.dtype == np.float32
    assert np.abs(found - np.array(one_by_one(described, (5, 3), (64, 48)))).max() < 1e-6


def test_ratios_given_twice_and_one_count_once() -> None:
    assert len(prior_boxes(PriorBoxes((8.0,), (), (1.0, 2.0, 0.5, 2.0)), (1, 1), (10, 10))) == 3


def test_centres_and_sizes() -> None:
    assert centres(np.array([[0.1, 0.2, 0.5, 0.4]], np.float32))[0] == pytest.approx([0.3, 0.3, 0.4, 0.2])


@pytest.mark.parametrize(
    ("described", "cells"),
    [
        (PriorBoxes(()), (2, 2)),
        (PriorBoxes((0.0,)), (2, 2)),
        (PriorBoxes((float("nan"),)), (2, 2)),
        (PriorBoxes((4.0,), (8.0, 9.0)), (2, 2)),
        (PriorBoxes((4.0,), (), (-1.0,)), (2, 2)),
        (PriorBoxes((4.0,)), (1 << 20, 1 << 20)),
        (PriorBoxes((4.0,)), (0, 2)),
    ],
)
def test_what_gives_no_priors_is_refused(described: PriorBoxes, cells: tuple[int, int]) -> None:
    with pytest.raises(ModelError, match="here"):
        prior_boxes(described, cells, (10, 10), "here")
