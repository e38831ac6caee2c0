from __future__ import annotations

from math import prod
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.targets.tensorflow_ops.layout import NHWC, Axes, Sizes, around_reshape, is_same_memory, without


@pytest.mark.parametrize(
    ("axes", "source", "target", "before", "after"),
    [
        # A single-shot detector's head: nothing moves.
        ((0, 1, 2, 3), (1, 5, 5, 8), (1, 50, 4), (0, 1, 2, 3), (0, 1, 2)),
        # One pixel: nothing moves.
        (NHWC, (1, 8, 1, 1), (1, 8), NHWC, (0, 1)),
        ((0, 1), (1, 8), (1, 8, 1, 1), (0, 1), NHWC),
        # Places joined behind the channels: the groups stay where they are.
        (NHWC, (None, 4, 5, 5), (None, 4, 25), NHWC, (0, 2, 1)),
        # Channel shuffle splits the channels in place ...
        (NHWC, (1, 6, 7, 7), (1, 2, 3, 7, 7), NHWC, (0, 3, 4, 1, 2)),
        # ... and joins them again behind one turn.
        ((0, 3, 4, 2, 1), (1, 3, 2, 7, 7), (1, 6, 7, 7), (0, 3, 4, 1, 2), NHWC),
        # All joined: the source's order.
        (NHWC, (2, 4, 5, 5), (2, 100), (0, 1, 2, 3), (0, 1)),
        # Sizes that are not known: the source's order.
        (NHWC, (1, 4, None, 5), (1, 4, None), (0, 1, 2, 3), (0, 1, 2)),
    ],
)
def test_around_reshape(axes: Axes, source: Sizes, target: Sizes, before: Axes, after: Axes) -> None:
    assert around_reshape(axes, source, target) == (before, after)


SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=5)


@given(SIZES, st.randoms(use_true_random=False))
def test_a_reshape_in_memory_is_the_reshape_of_the_source(source: list[int], random: Random) -> None:
    axes = tuple(random.sample(range(len(source)), len(source)))
    target = _another_shape(prod(source), random)
    values = np.arange(prod(source)).reshape(source)
    before, after = around_reshape(axes, source, target)
    lying = values.transpose(before).reshape([target[axis] for axis in after])
    inverse = [after.index(axis) for axis in range(len(after))]
    np.testing.assert_array_equal(lying.transpose(inverse), values.reshape(target))


def _another_shape(total: int, random: Random) -> list[int]:
    shape = []
    while total > 1 and len(shape) < 4:
        size = random.choice([size for size in range(1, total + 1) if total % size == 0])
        shape.append(size)
        total //= size
    return [*shape, total]


def test_axes_of_size_1_move_for_nothing() -> None:
    assert is_same_memory(NHWC, (0, 1, 2, 3), (1, 8, 1, 1))
    assert is_same_memory(NHWC, (0, 1, 2, 3), (None, 1, 5, 5))
    assert not is_same_memory(NHWC, (0, 1, 2, 3), (1, 8, 1, 2))


def test_what_is_left_is_counted_anew() -> None:
    assert without(NHWC, [2, 3]) == (0, 1)
    assert without(NHWC, [1]) == (0, 1, 2)
    assert without((0, 2, 1), [0]) == (1, 0)
