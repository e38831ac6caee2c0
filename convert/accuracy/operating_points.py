"""Similarity thresholds at false match rates, from all comparisons between labelled embeddings.

FMR and FNMR as ISO/IEC 19795-1 defines them: of comparisons, not of attempts; pictures without a face are counted apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from convert.accuracy.comparisons import Comparisons
from convert.accuracy.confidence import Interval
from convert.accuracy.person_bootstrap import LEAST_PEOPLE, draw_people, measured, middle
from edge.bundle.manifest import Confidence, OperatingPoint
from edge.datatypes import Floats
from edge.errors import UsageError

FALSE_MATCH_RATES = {"fmr-1e-2": 1e-2, "fmr-1e-3": 1e-3, "fmr-1e-4": 1e-4, "fmr-1e-5": 1e-5}
LEAST_FALSE_MATCHES = 30
"""Rule of thirty (Doddington et al. 2000): with 30 errors the true rate is within 30 % of the measured one, at 90 % confidence."""
_STEPS = 10_000
"""Thresholds are written with four digits."""


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


def supported_rates(impostor_pairs: int) -> dict[str, float]:
    """Those of FALSE_MATCH_RATES with at least LEAST_FALSE_MATCHES comparisons above their threshold."""
    return {name: rate for name, rate in FALSE_MATCH_RATES.items() if rate * impostor_pairs >= LEAST_FALSE_MATCHES}


def operating_points(comparisons: Comparisons, measured_on: str) -> dict[str, OperatingPoint]:
    """One for each false match rate that the number of comparisons supports, with 95 % intervals where there are people enough.

    Thresholds are rounded up to four digits; `fmr` and `fnmr` are what holds at the rounded one.
    """
    impostor, genuine = comparisons.impostor_pairs, len(comparisons.genuine)
    refuse_too_few(impostor, genuine)
    rates = supported_rates(impostor)
    exact = measured(comparisons, tuple(rates.values()), ()).thresholds
    thresholds = [_rounded_up(threshold) for threshold in exact]
    found = measured(comparisons, (), thresholds)
    intervals = _intervals(comparisons, tuple(rates.values()), thresholds)
    points: dict[str, OperatingPoint] = {}
    for number, name in enumerate(rates):
        fmr, fnmr = four_digits(found.fmr[number]), four_digits(found.fnmr[number])
        points[name] = OperatingPoint(thresholds[number], fmr, fnmr, impostor, genuine, measured_on, intervals[number])
    return points


def _intervals(
    comparisons: Comparisons, rates: Sequence[float], thresholds: Sequence[float]
) -> Sequence[Confidence | None]:
    if comparisons.people < LEAST_PEOPLE:
        return [None] * len(rates)
    drawn = draw_people(comparisons, rates, thresholds)
    tables = (drawn.thresholds, drawn.fmr, drawn.fnmr)
    columns = zip(*([_rounded(ends) for ends in middle(table)] for table in tables), strict=True)
    return [Confidence(threshold, fmr, fnmr, comparisons.people) for threshold, fmr, fnmr in columns]


def _rounded(ends: Interval) -> Interval:
    return four_digits(ends[0]), four_digits(ends[1])


def four_digits(value: float) -> float:
    """Rounded to four significant digits, as figures are written."""
    return float(f"{value:.4g}")


def refuse_too_few(impostor: int, genuine: int) -> None:
    """UsageError where so many comparisons of two people and of one support no operating point."""
    least = int(LEAST_FALSE_MATCHES / max(FALSE_MATCH_RATES.values()))
    if impostor < least or not genuine:
        found = f"{impostor} comparisons of two people and {genuine} of one"
        raise UsageError(f"{found} are too few for an operating point", expected=f"at least {least} and 1")


def _rounded_up(threshold: float) -> float:
    return min(1.0, math.ceil(threshold * _STEPS) / _STEPS)
