"""Which faces a step sees: a function of the seed and the step's number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.datatypes import Image


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """Every face once an epoch, each epoch in an order of its own."""

    faces: Image
    """uint8 (N, H, W, 3)"""
    size: int
    seed: int

    def batch(self, number: int) -> Image:
        """uint8 (size, H, W, 3) of step `number`."""
        count = len(self.faces)
        places = range(number * self.size, (number + 1) * self.size)
        orders = {epoch: self._order(epoch) for epoch in {place // count for place in places}}
        chosen = np.array(sorted(int(orders[place // count][place % count]) for place in places))
        return np.asarray(self.faces[chosen], np.uint8)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.faces))
