"""Medians and percentiles of repeated runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds of one thing done many times."""

    p50_ms: float
    p95_ms: float
    count: int

    @classmethod
    def of(cls, milliseconds: list[float]) -> Spread:
        """From single times; ValueError for none."""
        if not milliseconds:
            raise ValueError("nothing was timed")
        p50, p95 = np.percentile(milliseconds, (50, 95))
        return cls(round(float(p50), 3), round(float(p95), 3), len(milliseconds))


def timed(action: Callable[[], object], *, repeat: int, warm_up: int = 3) -> Spread:
    """Wall time of each of `repeat` calls after `warm_up` that do not count."""
    for _ in range(warm_up):
        action()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        action()
        times.append((time.perf_counter() - start) * 1e3)
    return Spread.of(times)
