"""Views, and what the teacher makes of them: made a round at a time, each view learned from a few times.

The teacher and the making of views cost as much as learning from them once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convert.train.detector.network import Maps
from convert.train.detector.teacher import Teacher
from convert.train.detector.views import Views
from convert.train.torch_network import import_torch

if TYPE_CHECKING:
    from torch import Tensor

BATCHES = 24
"""Of each round."""
REPEATS = 3
"""How often a view is learned from."""
STEPS = BATCHES * REPEATS
"""Of each round."""
Sizes = tuple[tuple[float, int, int], ...]
SIZES: Sizes = ((0.3, 192, 10), (0.4, 256, 6), (0.3, 320, 4))
"""Share of the rounds, side of a view, views a batch: about as many pixels in each batch."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A batch: `pixels` float32 B x 3 x H x W, BGR 0..255, and the teacher's maps."""

    pixels: Tensor
    maps: Maps


class Lessons:
    """Batches by the number of a step: the same for the same seed, whatever was asked for before."""

    def __init__(self, views: Views, teacher: Teacher, seed: int, device: str, *, sizes: Sizes = SIZES) -> None:
        """Of these views, seen by this teacher."""
        self._views, self._teacher, self._seed, self._device = views, teacher, seed, device
        self._sizes = sizes
        self._round = -1
        self._lessons: list[Lesson] = []

    def lesson(self, step: int) -> Lesson:
        """What is learned from in step number `step`, from 0."""
        torch = import_torch()
        index, within = divmod(step, STEPS)
        if index != self._round:
            self._lessons = self._made(index)
            self._round = index
        repeat, batch = divmod(within, BATCHES)
        # Other views come together each time.
        order = np.random.default_rng([self._seed, 2, index, repeat]).permutation(
            BATCHES * len(self._lessons[0].pixels)
        )
        count = len(order) // BATCHES
        chosen = np.sort(order[batch * count : (batch + 1) * count])
        one = [(self._lessons[place // count], int(place % count)) for place in chosen]
        pixels = torch.stack([lesson.pixels[place] for lesson, place in one]).permute(0, 3, 1, 2)
        stages = {
            name: _stacked([lesson.maps.stages[name][place] for lesson, place in one]) for name in one[0][0].maps.stages
        }
        heads = {
            stride: _stacked([lesson.maps.heads[stride][place] for lesson, place in one])
            for stride in one[0][0].maps.heads
        }
        return Lesson(pixels.to(self._device).float(), Maps(stages, heads))

    def _made(self, index: int) -> list[Lesson]:
        generator = np.random.default_rng([self._seed, 1, index])
        _, side, count = self._sizes[generator.choice(len(self._sizes), p=[share for share, _, _ in self._sizes])]
        return [self._seen(generator, side, count) for _ in range(BATCHES)]

    def _seen(self, generator: np.random.Generator, side: int, count: int) -> Lesson:
        torch = import_torch()
        pixels = torch.from_numpy(self._views.batch(generator, count, side)).to(self._device)
        maps = self._teacher(pixels.permute(0, 3, 1, 2).float())
        # Half the memory; hints are no more exact than the student's own arithmetic.
        stages = {name: values.to(torch.bfloat16) for name, values in maps.stages.items()}
        return Lesson(pixels, Maps(stages, maps.heads))


def _stacked(parts: list[Tensor]) -> Tensor:
    """With the channels last in memory, as convolutions are quickest on a CPU."""
    torch = import_torch()
    stacked: Tensor = torch.stack(parts).contiguous(memory_format=torch.channels_last)
    return stacked
