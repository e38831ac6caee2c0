"""Priors of single-shot detectors (Liu et al. 2016, "SSD: Single Shot MultiBox Detector", section 2.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from convert.network import Floats
from edge.errors import ModelError

MOST_PRIORS = 1 << 20
"""Of one map; SSD512 has 24564 in all."""


@dataclass(frozen=True, slots=True)
class PriorBoxes:
    """The boxes that lie about the middle of every cell of a map; sides in pixels of the picture."""

    min_sizes: tuple[float, ...]
    max_sizes: tuple[float, ...] = ()
    """One for each of min_sizes, for a square of side sqrt(min * max); or none."""
    ratios: tuple[float, ...] = ()
    """Width over height of further boxes; 1 is there already."""
    flip: bool = True
    """1/ratio as well."""
    clip: bool = False
    """What reaches over the picture's edge is cut."""
    step: tuple[float, float] = (0.0, 0.0)
    """Pixels from cell to cell, x and y; 0: the cells share the picture's side."""
    offset: float = 0.5
    """Of the first cell's middle, in steps."""


def prior_boxes(described: PriorBoxes, cells: tuple[int, int], picture: tuple[int, int], where: str = "") -> Floats:
    """(N, 4) float32 corners x1, y1, x2, y2 as parts of the picture's size, row by row, the boxes of one cell together.

    `cells` and `picture` are (width, height). The order in a cell is that of Caffe's PriorBox: for each min size the square
    of that side, the one with the max size, then the ratios. ModelError where sizes do not fit or there are too many boxes.
    """
    sides = _sides(described, where)
    count = cells[0] * cells[1] * len(sides)
    if not 1 <= count <= MOST_PRIORS or min(picture) < 1:
        raise ModelError(f"{count} priors", where=where, expected=f"1 to {MOST_PRIORS}")
    step_x, step_y = (step or side / number for step, side, number in zip(described.step, picture, cells, strict=True))
    y, x = np.meshgrid(np.arange(cells[1]), np.arange(cells[0]), indexing="ij")
    middle = np.stack([(x + described.offset) * step_x, (y + described.offset) * step_y], axis=-1)[:, :, None]
    halves = np.asarray(sides)[None, None] / 2
    corners = np.concatenate([middle - halves, middle + halves], axis=-1) / np.tile(picture, 2)
    made: Floats = (np.clip(corners, 0, 1) if described.clip else corners).reshape(-1, 4).astype(np.float32)
    return made


def _sides(described: PriorBoxes, where: str) -> list[tuple[float, float]]:
    """(width, height) of the boxes of one cell."""
    smallest, largest = described.min_sizes, described.max_sizes
    numbers = (*smallest, *largest, *described.ratios)
    if not smallest or not all(math.isfinite(number) and number > 0 for number in numbers):
        raise ModelError(f"priors of sizes {list(numbers)[:8]}", where=where, expected="numbers more than 0")
    if largest and len(largest) != len(smallest):
        problem = f"{len(smallest)} min sizes and {len(largest)} max sizes"
        raise ModelError(problem, where=where, expected="as many, or no max size")
    ratios = _ratios(described)
    sides = []
    for index, side in enumerate(smallest):
        sides.append((side, side))
        if largest:
            sides.append((math.sqrt(side * largest[index]),) * 2)
        sides += [(side * math.sqrt(ratio), side / math.sqrt(ratio)) for ratio in ratios]
    return sides


def _ratios(described: PriorBoxes) -> list[float]:
    """Without 1, without repetitions, and turned where that is asked for."""
    found = [1.0]
    for ratio in described.ratios:
        if any(abs(ratio - known) < 1e-6 for known in found):
            continue
        found += [ratio, 1.0 / ratio] if described.flip else [ratio]
    return found[1:]


def centres(corners: Floats) -> Floats:
    """(N, 4) x1, y1, x2, y2 -> centre x, centre y, width, height."""
    middle = (corners[:, :2] + corners[:, 2:]) / 2
    return np.concatenate([middle, corners[:, 2:] - corners[:, :2]], axis=1)
