"""Confidence intervals by the bootstrap (Efron 1979): the figures again and again, from pairs drawn with replacement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]
Indices = NDArray[np.int64]

_DRAWS = 500
_SEED = 0


def bootstrap(strata: Sequence[Indices], figures: Callable[[Indices], Mapping[str, float]]) -> dict[str, Interval]:
    """The middle 95 % of each figure over 500 draws; from every stratum as many as it has.

    Pairs that share a person are not independent of each other: the true intervals are somewhat wider.
    """
    generator = np.random.default_rng(_SEED)
    rows = []
    for _ in range(_DRAWS):
        chosen = np.concatenate([generator.choice(stratum, len(stratum)) for stratum in strata if len(stratum)])
        rows.append(figures(chosen))
    return {name: _middle([row[name] for row in rows]) for name in rows[0]}


def _middle(values: list[float]) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
