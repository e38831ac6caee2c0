"""One stretch of training, and its learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

_WARM_UP_STEPS = 100
_WARM_UP_SHARE = 10


@dataclass(frozen=True, slots=True)
class Phase:
    """So many steps of so many faces."""

    name: str
    steps: int
    batch: int
    rate: float
    """Of learning, at its highest; it rises over the first steps and falls to nothing as a cosine."""
    hints: float = 0.0
    """Weight of the inner tensors beside the embedding."""

    def rate_at(self, number: int) -> float:
        """Loshchilov & Hutter 2017, without restarts."""
        rising = min(_WARM_UP_STEPS, max(1, self.steps // _WARM_UP_SHARE))
        return self.rate * min(1.0, (number + 1) / rising) * 0.5 * (1 + math.cos(math.pi * number / self.steps))
