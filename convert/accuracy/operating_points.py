"""Similarity thresholds at false match rates, from all comparisons between labelled embeddings.

FMR and FNMR as ISO/IEC 19795-1 defines them: of comparisons, not of attempts; pictures without a face are counted apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge.datatypes import Floats
from edge.errors import UsageError
from edge.manifest import OperatingPoint

FALSE_MATCH_RATES = {"fmr-1e-2": 1e-2, "fmr-1e-3": 1e-3, "fmr-1e-4": 1e-4, "fmr-1e-5": 1e-5}
LEAST_FALSE_MATCHES = 30
"""Rule of thirty (Doddington et al. 2000): with 30 errors the true rate is within 30 % of the measured one, at 90 % confidence."""
_STEPS = 10_000
"""Thresholds are written with four digits."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """Similarities of every two embeddings: of one person (genuine) and of two (impostor), float32, sorted upwards."""

    genuine: Floats
    impostor: Floats


def compare_all(embeddings: Mapping[str, Floats], people: Mapping[str, str]) -> Comparisons:
    """Every unordered pair once; `people` gives the person of each name."""
    names = list(embeddings)
    matrix = np.stack([embeddings[name] for name in names])
    numbers = {person: number for number, person in enumerate(sorted(set(people.values())))}
    labels = np.array([numbers[people[name]] for name in names])
    genuine, impostor = [], []
    for index in range(len(names) - 1):
        similarities = matrix[index + 1 :] @ matrix[index]
        same = labels[index + 1 :] == labels[index]
        genuine.append(similarities[same])
        impostor.append(similarities[~same])
    return Comparisons(_joined(genuine), _joined(impostor))


def _joined(parts: Sequence[Floats]) -> Floats:
    return np.sort(np.concatenate([*parts, np.zeros(0, np.float32)]))


def share_reaching(similarities: Floats, threshold: float) -> float:
    """Share of upwards sorted similarities at or above the threshold; 0 where there are none."""
    if not len(similarities):
        return 0.0
    # Compared in float64: NumPy 2 would round the threshold to float32 first.
    below = int(np.searchsorted(similarities.astype(np.float64), threshold, side="left"))
    return (len(similarities) - below) / len(similarities)


def lowest_threshold(impostor: Floats, rate: float) -> float:
    """The lowest float that at most `rate` of the upwards sorted impostor similarities reach."""
    allowed = int(rate * len(impostor) + 1e-9)
    if allowed >= len(impostor):
        return -1.0
    # One more than allowed would reach the threshold if it were no higher than this one.
    first_refused = float(impostor[len(impostor) - 1 - allowed])
    return float(np.nextafter(first_refused, np.inf))


def operating_points(comparisons: Comparisons, measured_on: str) -> dict[str, OperatingPoint]:
    """One for each false match rate that the number of comparisons supports (LEAST_FALSE_MATCHES).

    Thresholds are rounded up to four digits; `fmr` and `fnmr` are what holds at the rounded one.
    """
    impostor, genuine = comparisons.impostor, comparisons.genuine
    refuse_too_few(len(impostor), len(genuine))
    supported = {name: rate for name, rate in FALSE_MATCH_RATES.items() if rate * len(impostor) >= LEAST_FALSE_MATCHES}
    points: dict[str, OperatingPoint] = {}
    for name, rate in supported.items():
        threshold = _rounded_up(lowest_threshold(impostor, rate))
        fmr, fnmr = share_reaching(impostor, threshold), 1.0 - share_reaching(genuine, threshold)
        points[name] = OperatingPoint(
            threshold, float(f"{fmr:.4g}"), float(f"{fnmr:.4g}"), len(impostor), len(genuine), measured_on
        )
    return points


def refuse_too_few(impostor: int, genuine: int) -> None:
    """UsageError where so many comparisons of two people and of one support no operating point."""
    least = int(LEAST_FALSE_MATCHES / max(FALSE_MATCH_RATES.values()))
    if impostor < least or not genuine:
        found = f"{impostor} comparisons of two people and {genuine} of one"
        raise UsageError(f"{found} are too few for an operating point", expected=f"at least {least} and 1")


def _rounded_up(threshold: float) -> float:
    return min(1.0, math.ceil(threshold * _STEPS) / _STEPS)
