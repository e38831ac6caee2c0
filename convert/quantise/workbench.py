"""Where choices are tried: what does not depend on them is computed once, and every trial runs the file that would be written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from convert.network import Floats, Network
from convert.proof.fidelity import cosine_rows
from convert.quantise.channels import Tie, rescaled, ties_of
from convert.quantise.clip import clipped_ranges
from convert.quantise.correct import channel_means, corrected
from convert.quantise.equalise import equalising_factors
from convert.quantise.form import IntegerNetwork
from convert.quantise.grids import integer_network
from convert.quantise.observe import Observation, observe, rescaled_observations, run_float
from convert.quantise.outcome import Choice, Trial
from convert.quantise.prelu import with_accelerated_prelus
from convert.quantise.prepare import prepared
from convert.quantise.rounding import with_error_feedback
from convert.quantise.running import run_integer
from convert.quantise.units import Unit, units_of
from convert.targets.tflite.integer import integer_bytes
from edge.datatypes import Image
from edge.errors import UsageError

HELD_OUT = 64
"""At most so many pictures judge, and never more than a third of all; the others calibrate."""
LEAST_PICTURES = 3
CORRECTING = 24
"""Pictures that biases are corrected on: each layer runs them once."""
ISLAND_STEP, ISLAND_WORK, ISLAND_WEIGHTS = 1e-4, 0.05, 0.02
"""Price, as mean cosine, of a float32 step (each boundary is a conversion), of the whole network's arithmetic in float32 (it takes
three times the time) and of all its weights (four times the bytes)."""


class Workbench:
    """A network, its pictures, and what both give."""

    def __init__(self, network: Network, pictures: Image, *, seed: int = 0) -> None:
        """`pictures` are uint8 (N, H, W, 3) in the network's colour order. ModelError where the network cannot be quantised."""
        if len(pictures) < LEAST_PICTURES:
            raise UsageError(
                f"{len(pictures)} pictures", expected="some hundred faces; two in three calibrate, the others judge"
            )
        self.network = prepared(with_accelerated_prelus(network))
        self.seed = seed
        count = min(HELD_OUT, len(pictures) // 3)
        self.calibration, self.held_out = pictures[:-count], pictures[-count:]
        self.expected = _stacked(run_float(self.network, self.held_out)[self.network.output_name])
        self._made: tuple[tuple[float | None, str], Network, dict[str, Observation]] | None = None

    @cached_property
    def observations(self) -> dict[str, Observation]:
        """What the float network's tensors hold on the calibration pictures."""
        return observe(self.network, self.calibration, seed=self.seed)

    @cached_property
    def ties(self) -> tuple[Tie, ...]:
        """Channels that belong together."""
        return ties_of(self.network)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """Its layers."""
        return units_of(self.network)

    def made(self, choice: Choice) -> IntegerNetwork:
        """The integers of a choice."""
        network, observations = self._equalised(choice)
        floats = frozenset(name for unit in self._chosen(choice.islands) for name in unit.tensors)
        integer = integer_network(network, clipped_ranges(observations, choice.clip), floats=floats)
        if choice.feedback:
            integer = with_error_feedback(integer, observations)
        if choice.correction:
            some = self.calibration[:CORRECTING]
            integer = corrected(integer, some, channel_means(integer, some))
        return integer

    def trial(self, choice: Choice, step: str, *, most: int | None = None) -> Trial:
        """Make and run a choice, on the first `most` held-out pictures."""
        return self.judged(self.made(choice), choice, step, most=most)

    def judged(self, integer: IntegerNetwork, choice: Choice, step: str, *, most: int | None = None) -> Trial:
        """Run integers that were made of a choice."""
        found = run_integer(integer, self.held_out[:most])[self.network.output_name]
        cosines = cosine_rows(self.expected[:most], found.reshape(len(found), -1))
        mean, size = float(np.mean(cosines)), len(integer_bytes(integer, description=""))
        return Trial(choice, mean, float(np.min(cosines)), mean - self.price(choice), size, step)

    def price(self, choice: Choice) -> float:
        """Of the float32 islands, in mean cosine."""
        work, weights = (
            max(sum(column), 1) for column in zip(*((one.work, one.weights) for one in self.units), strict=True)
        )
        return math.fsum(
            ISLAND_STEP * len(unit.tensors) + ISLAND_WORK * unit.work / work + ISLAND_WEIGHTS * unit.weights / weights
            for unit in self._chosen(choice.islands)
        )

    def _chosen(self, names: Sequence[str]) -> list[Unit]:
        unknown = set(names) - {unit.name for unit in self.units}
        if unknown:
            raise UsageError(
                f"no layer {', '.join(sorted(unknown))}", expected=", ".join(unit.name for unit in self.units)
            )
        return [unit for unit in self.units if unit.name in names]

    def _equalised(self, choice: Choice) -> tuple[Network, dict[str, Observation]]:
        key = choice.balance, choice.magnitude
        if self._made is None or self._made[0] != key:
            self._made = (key, *self._scaled(choice))
        return self._made[1], self._made[2]

    def _scaled(self, choice: Choice) -> tuple[Network, dict[str, Observation]]:
        if choice.balance is None:
            return self.network, self.observations
        factors = equalising_factors(
            self.network, self.ties, self.observations, balance=choice.balance, magnitude=choice.magnitude
        )
        # One number serves every channel of a tie that stays as it is.
        whole = [np.broadcast_to(factor, self._channels(tie)) for tie, factor in zip(self.ties, factors, strict=True)]
        scaled = rescaled_observations(self.observations, self.ties, whole)
        return rescaled(self.network, self.ties, whole), scaled

    def _channels(self, tie: Tie) -> int:
        return next(len(self.observations[name].low) for name in tie.tensors if name in self.observations)


def _stacked(values: Sequence[Floats]) -> Floats:
    return np.concatenate([value.reshape(1, -1) for value in values])


def with_islands(choice: Choice, units: Sequence[Unit]) -> Choice:
    """The same choice with these units in float32 too."""
    return replace(choice, islands=tuple(dict.fromkeys((*choice.islands, *(unit.name for unit in units)))))
