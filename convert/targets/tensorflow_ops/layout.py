"""In which order a tensor's axes lie in memory; pure.

TensorFlow computes pictures NHWC and the network counts NCHW. A tensor is held in any order of axes, and is turned only
when an operator needs another: a Transpose in the source is then a change of names, and a picture whose source turns it to
NHWC and flattens it, as SSD heads do, is never moved at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

Axes = tuple[int, ...]
"""Axes of the source in the order in which they lie: of a picture in NHWC (0, 2, 3, 1)."""
Sizes = Sequence[int | None]

NHWC: Axes = (0, 2, 3, 1)


def source_order(rank: int) -> Axes:
    """Axes as the source counts them."""
    return tuple(range(rank))


def preferred(rank: int) -> Axes:
    """How inputs and outputs with this many axes lie: four are NHWC, others as in the source."""
    return NHWC if rank == 4 else source_order(rank)


def without(axes: Axes, removed: Sequence[int]) -> Axes:
    """What is left when source axes are removed, counted anew."""
    kept = [axis for axis in axes if axis not in removed]
    ranks = {axis: index for index, axis in enumerate(sorted(kept))}
    return tuple(ranks[axis] for axis in kept)


def is_same_memory(old: Axes, new: Axes, shape: Sizes) -> bool:
    """Whether a tensor with this shape IN THE SOURCE's order lies in memory alike in both: only axes of size 1 move."""
    return _long(old, shape) == _long(new, shape)


def _long(axes: Axes, shape: Sizes) -> list[int]:
    return [axis for axis in axes if shape[axis] != 1]


def around_reshape(axes: Axes, source: Sizes, target: Sizes) -> tuple[Axes, Axes]:
    """How a tensor must lie before a Reshape of the source, and how it lies after; `axes` is how it lies now.

    A Reshape joins and splits neighbouring axes. Each such group may stay where it is in memory if its own axes are
    neighbours there too and in the source's order. If one is torn apart, all is turned once, so that the result lies as
    callers like it best.
    """
    groups = _groups(source, target)
    if groups is None:
        return source_order(len(source)), source_order(len(target))
    long = _long(axes, source)
    places = [_place(long, [axis for axis in joined if source[axis] != 1]) for joined, _ in groups]
    wanted = preferred(len(target))
    is_kept = None not in places
    if not is_kept:
        places = [min(map(wanted.index, made), default=-1) for _, made in groups]
    ordered = [group for _, group in sorted(zip(places, groups, strict=True), key=lambda each: each[0] or 0)]
    found = tuple(axis for _, made in ordered for axis in made)
    after = wanted if is_same_memory(found, wanted, target) else found
    return (axes if is_kept else tuple(axis for joined, _ in ordered for axis in joined)), after


def _place(long: list[int], members: list[int]) -> int | None:
    """Where a group begins in memory; None where its members are not neighbours in order. One of size 1 is anywhere."""
    first = long.index(members[0]) if members else -1
    return None if members and long[first : first + len(members)] != members else first


def _groups(source: Sizes, target: Sizes) -> list[tuple[list[int], list[int]]] | None:
    """Smallest runs of source axes that hold as many values as a run of target axes; None where sizes are open or 0.

    The one size that may be open is that of the batch, the first on both sides.
    """
    start = 1 if source and target and source[0] == target[0] else 0
    if not all((*source[start:], *target[start:])):
        return None
    if prod(_known(source[start:])) != prod(_known(target[start:])):
        return None
    made: list[tuple[list[int], list[int]]] = [([0], [0])] if start else []
    made.extend(_runs(_known(source[start:]), _known(target[start:]), start))
    return made


def _known(sizes: Sizes) -> list[int]:
    return [size for size in sizes if size is not None]


def _runs(source: list[int], target: list[int], offset: int) -> Iterator[tuple[list[int], list[int]]]:
    left = right = 0
    while left < len(source) or right < len(target):
        joined, made = [left] if left < len(source) else [], [right] if right < len(target) else []
        while (have := prod(source[axis] for axis in joined)) != (want := prod(target[axis] for axis in made)):
            if have < want:
                joined.append(left + len(joined))
            else:
                made.append(right + len(made))
        left, right = left + len(joined), right + len(made)
        yield [axis + offset for axis in joined], [axis + offset for axis in made]
