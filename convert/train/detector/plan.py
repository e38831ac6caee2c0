"""How long a detector is trained, and how fast it learns."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps, and what each of them weighs.

    The rate of learning rises, stays, and falls at the end: a run that has not begun to fall goes on under a plan of any other
    number of steps, longer or shorter, as if it had been begun with that.
    """

    steps: int = 30000
    normed: int = 600
    """First steps, in which batch norms take the statistics of the batch. Afterwards they keep those that they have: a batch holds
    few views, and what differs from batch to batch is noise to a student that shall agree with its teacher."""
    apart: int = 2400
    """First steps, in which every stage is fed what the teacher's stage is fed, and learns by itself."""
    hinted: int = 5000
    """Steps after those in which the teacher's stages are still looked at, less and less."""
    rate_normed: float = 2e-2
    rate: float = 2e-3
    falling: float = 0.45
    """Share of the steps, the last ones, in which the rate falls to nothing."""
    exact: float = 0.1
    """Share of the steps, the last ones, in which all numbers are float32."""
    averaged: float = 0.999
    """What is kept each step of the running average of the weights, which is what is written in the end."""

    def settings(self) -> dict[str, Any]:
        """All but the number of steps."""
        return {name: value for name, value in asdict(self).items() if name != "steps"}

    def is_apart(self, number: int) -> bool:
        """Whether the stages learn by themselves."""
        return number < self.apart

    def is_normed(self, number: int) -> bool:
        """Whether batch norms take the statistics of the batch."""
        return number < self.normed

    def is_exact(self, number: int) -> bool:
        """Whether numbers are float32, no shorter."""
        return number >= round(self.steps * (1 - self.exact))

    def hints_at(self, number: int) -> float:
        """Weight of the teacher's stages in the loss."""
        return 1.0 if self.is_apart(number) else max(0.0, 1 - (number - self.apart) / max(1, self.hinted))

    def rate_at(self, number: int) -> float:
        """Of learning; it rises anew wherever the task has changed."""
        since = number - max((begin for begin in (0, self.normed, self.apart) if begin <= number), default=0)
        highest = self.rate_normed if self.is_normed(number) else self.rate
        left = (self.steps - number) / max(1.0, self.falling * self.steps)
        return highest * min(1.0, (since + 1) / 50) * min(1.0, left)

    def kept_at(self, number: int) -> float:
        """Of the running average: less in the beginning, when the weights are soon out of date."""
        since = max(0, number - self.apart)
        return min(self.averaged, (1 + since) / (10 + since))
