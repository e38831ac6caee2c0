"""Range of each tensor's grid: all that was seen, or less of it where finer steps are worth more than rare values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convert.network import Array
from convert.quantise.form import HIGH, LOW
from convert.quantise.observe import Observation, Observations

Range = tuple[float, float]

_SHRINKS = np.linspace(1.0, 0.3, 29)
"""Parts of the full range that are tried."""


def _extremes(seen: Observation) -> Range:
    return float(seen.low.min()), float(seen.high.max())


def _percentile(share: float) -> Callable[[Observation], Range]:
    """`share` of all values lie within; half of the others beyond each end."""

    def ends(seen: Observation) -> Range:
        low, high = np.quantile(seen.samples, ((1 - share) / 2, (1 + share) / 2))
        return float(low), float(high)

    return ends


def _least_square(seen: Observation) -> Range:
    """The part of the full range on which rounding and saturating together do the least squared error to the samples."""
    low, high = min(float(seen.low.min()), 0.0), max(float(seen.high.max()), 0.0)
    if high <= low:
        return low, high
    values = seen.samples.astype(np.float64).reshape(-1)
    errors = [squared_error(values, low * part, high * part) for part in _SHRINKS]
    part = float(_SHRINKS[int(np.argmin(errors))])
    return low * part, high * part


def squared_error(values: Array, low: float, high: float) -> float:
    """Mean squared error of values on the int8 grid of low..high."""
    step = (high - low) / (HIGH - LOW)
    rounded = np.clip(np.rint(values / step), np.rint(low / step), np.rint(high / step)) * step
    return float(np.mean(np.square(rounded - values)))


CLIPS: dict[str, Callable[[Observation], Range]] = {
    "extremes": _extremes,
    "99.999 %": _percentile(0.99999),
    "99.99 %": _percentile(0.9999),
    "99.9 %": _percentile(0.999),
    "least squares": _least_square,
}
"""Name -> range of a tensor from what was seen of it."""


def clipped_ranges(observations: Observations, clip: str) -> dict[str, Range]:
    """Ranges for `convert.quantise.grids.integer_network`."""
    ends = CLIPS[clip]
    return {name: ends(seen) for name, seen in observations.items()}
