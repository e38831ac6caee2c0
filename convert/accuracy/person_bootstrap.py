"""Confidence intervals of error rates, by drawing people again: comparisons that share a person are not independent.

The subsets bootstrap (Bolle, Ratha and Pankanti 2004, "Error analysis of pattern recognition systems: the subsets
bootstrap", Computer Vision and Image Understanding 93) draws whole people with replacement, each with all comparisons of
that person. An impostor comparison belongs to two people; as in the bootstrap of data in two crossed ways (Owen and Eckles
2012, "Bootstrapping data arrays of arbitrary order", Annals of Applied Statistics 6; for networks Snijders and Borgatti
1999) it is in a draw as often as the product of how often its two people are. A person is never an impostor to a
copy of himself. So one draw is a weight w for each person; a genuine comparison weighs w[i], an impostor one w[i] w[j].

No draw touches the comparisons themselves: they stay sorted, and sums of weights along them give the rates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.accuracy.comparisons import Comparisons, Weights
from convert.accuracy.confidence import Interval

DRAWS = 1000
SEED = 0
LEAST_PEOPLE = 20
"""With fewer the draws are too much alike to say anything."""
_EPSILON = 1e-9
Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rates:
    """What a set of weights makes of comparisons."""

    thresholds: tuple[float, ...]
    """For each rate asked for, the lowest similarity that keeps it."""
    fnmr_there: tuple[float, ...]
    """FNMR at each of these."""
    fmr: tuple[float, ...]
    """At each threshold asked for."""
    fnmr: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """The same of every draw: float64 (draws, rates) and (draws, thresholds)."""

    thresholds: Table
    fnmr_there: Table
    fmr: Table
    fnmr: Table


class Weighing:
    """Rates of comparisons under any weights of their people."""

    def __init__(self, comparisons: Comparisons, rates: Sequence[float], thresholds: Sequence[float]) -> None:
        """ValueError for a threshold below which impostors were not kept, or without any genuine comparison."""
        self._comparisons = comparisons
        self._rates = rates
        impostor, self._genuine = comparisons.impostor.astype(np.float64), comparisons.genuine.astype(np.float64)
        if not len(self._genuine) or not comparisons.impostor_pairs:
            raise ValueError("no comparison of one person, or none of two")
        self._is_whole = len(impostor) == comparisons.impostor_pairs
        if not self._is_whole and any(threshold < impostor[-1] for threshold in thresholds):
            raise ValueError(
                f"threshold {min(thresholds)}: expected at least {impostor[-1]}, impostors below were not kept"
            )
        # How many reach each threshold, and how many genuine ones do not.
        self._reaching = [int(np.searchsorted(-impostor, -threshold, side="right")) for threshold in thresholds]
        self._missing = [self._refused(threshold) for threshold in thresholds]

    def rates(self, weights: Weights) -> Rates:
        """`weights` (P,), one for each person."""
        comparisons = self._comparisons
        first, second = comparisons.impostor_people
        reached = np.cumsum(weights[first] * weights[second])
        refused = np.concatenate([[0.0], np.cumsum(weights[comparisons.genuine_person])])
        impostors = comparisons.impostor_weight(weights)
        found = [self._threshold(reached, rate * impostors) for rate in self._rates]
        return Rates(
            tuple(found),
            tuple(float(refused[self._refused(threshold)] / refused[-1]) for threshold in found),
            tuple(float(reached[count - 1] / impostors) if count else 0.0 for count in self._reaching),
            tuple(float(refused[count] / refused[-1]) for count in self._missing),
        )

    def can_be_drawn(self, weights: Weights) -> bool:
        """Whether any comparison of either kind is left."""
        is_genuine = bool((weights[self._comparisons.genuine_person] > 0).any())
        return is_genuine and self._comparisons.impostor_weight(weights) > 0

    def _refused(self, threshold: float) -> int:
        return int(np.searchsorted(self._genuine, threshold, side="left"))

    def _threshold(self, reached: Weights, allowed: float) -> float:
        """Just above the most similar comparison that would make it too many."""
        impostor = self._comparisons.impostor
        position = int(np.searchsorted(reached, allowed + _EPSILON, side="right"))
        if position < len(impostor):
            return float(np.nextafter(impostor[position], np.float32(np.inf)))
        return -1.0 if self._is_whole else float(impostor[-1])


def measured(comparisons: Comparisons, rates: Sequence[float], thresholds: Sequence[float]) -> Rates:
    """What the comparisons themselves say: every person counts once."""
    return Weighing(comparisons, rates, thresholds).rates(np.ones(comparisons.people))


def draw_people(
    comparisons: Comparisons,
    rates: Sequence[float],
    thresholds: Sequence[float],
    *,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Draws:
    """The rates of `draws` draws of as many people as there are. Equal numbers of people get equal draws."""
    weighing = Weighing(comparisons, rates, thresholds)
    rows = [weighing.rates(weights) for weights in _weights(weighing, comparisons.people, draws, seed)]
    columns = ([getattr(row, name) for row in rows] for name in ("thresholds", "fnmr_there", "fmr", "fnmr"))
    return Draws(*(np.array(column, np.float64) for column in columns))


def _weights(weighing: Weighing, people: int, draws: int, seed: int) -> Iterator[Weights]:
    generator = np.random.default_rng(seed)
    made = 0
    while made < draws:
        weights = generator.multinomial(people, np.full(people, 1 / people)).astype(np.float64)
        if weighing.can_be_drawn(weights):
            made += 1
            yield weights


def middle(table: Table) -> list[Interval]:
    """The middle 95 % of each column."""
    low, high = np.percentile(table, [2.5, 97.5], axis=0)
    return [(float(least), float(most)) for least, most in zip(low, high, strict=True)]
