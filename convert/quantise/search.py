"""The best choice within a budget: one knob after the other, then float32 islands where they pay.

Greedy and deterministic: the same network, pictures and budget of evaluations give the same integers. A budget of minutes may end
it earlier on a slower machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from convert.quantise.clip import CLIPS
from convert.quantise.equalise import MAGNITUDES
from convert.quantise.outcome import Choice, Sensitivity, Trial
from convert.quantise.workbench import Workbench, with_islands

Progress = Callable[[str], None]

KNOBS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("balance", (0.5, 0.25, 0.75, 0.0, 1.0)),
    ("clip", tuple(CLIPS)),
    ("magnitude", tuple(MAGNITUDES)),
    ("feedback", (True,)),
)
"""Fields of Choice in the order in which they are searched, and their values: the ones that matter most come first."""
WORTH = 2e-5
"""A change must gain so much of the score: less is an accident of the held-out pictures."""
_FEW = 16
"""Held-out pictures for the sensitivity of a layer: many layers, and only their order matters."""
_TAILS = (1, 2, 3)
"""Last units that are tried in float32 together: one conversion serves them all."""
_MOST_ISLANDS = 4


@dataclass(frozen=True, slots=True)
class Budget:
    """When a search ends."""

    evaluations: int = 120
    minutes: float = 60.0
    islands: bool = True
    """Whether layers may be left in float32."""


@dataclass(slots=True)
class Search:
    """A search under way."""

    bench: Workbench
    budget: Budget
    progress: Progress
    tried: list[Trial] = field(default_factory=list)
    sensitivity: list[Sensitivity] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)
    _spent: int = 0

    def run(self) -> Trial:
        """The best trial. The first two are made whatever the budget is."""
        plain = self._tried(Choice(), "as it is")
        best = max(plain, self._tried(Choice(balance=0.5), "balance"), key=_score)
        for name, values in KNOBS:
            best = self._turned(best, name, values)
        if self.budget.islands:
            best = self._with_tail(best)
        self._measure(best)
        if self.budget.islands:
            best = self._with_units(best)
        return self._turned(best, "correction", (True,))

    def is_over(self) -> bool:
        """Whether the budget is spent."""
        return self._spent >= self.budget.evaluations or time.monotonic() - self._started > self.budget.minutes * 60

    def _turned(self, best: Trial, name: str, values: Sequence[Any]) -> Trial:
        """The best with one knob at each value."""
        return self._best_of(best, (replace(best.choice, **{name: value}) for value in values), name)

    def _new(self, choices: Iterator[Choice]) -> Iterator[Choice]:
        known = {trial.choice for trial in self.tried}
        for choice in choices:
            if self.is_over():
                return
            if choice not in known:
                yield choice

    def _tried(self, choice: Choice, step: str) -> Trial:
        trial = self.bench.trial(choice, step)
        self._spent += 1
        self.tried.append(trial)
        self.progress(f"{len(self.tried):>3}  cosine {trial.cosine:.5f}, worst {trial.worst:.4f}  {choice}")
        return trial

    def _measure(self, best: Trial) -> None:
        """How sensitive each unit is, as far as the budget goes."""
        # A bias is right for the integers it was measured with; here only units are compared.
        choice = replace(best.choice, correction=False)
        if self.is_over():
            return
        base = self.bench.trial(choice, "sensitivity", most=_FEW)
        self._spent += 1
        whole = max(sum(unit.work for unit in self.bench.units), 1)
        for unit in self.bench.units:
            if self.is_over():
                # Half a picture would look as if the other layers did not matter.
                self.sensitivity.clear()
                return
            found = self.bench.trial(with_islands(choice, [unit]), "sensitivity", most=_FEW)
            self._spent += 1
            self.sensitivity.append(Sensitivity(unit.name, found.cosine - base.cosine, unit.work / whole))
            self.progress(f"     {unit.name} in float32: {found.cosine - base.cosine:+.6f}")

    def _with_tail(self, best: Trial) -> Trial:
        """The best with the last units in float32, as long as that is worth its price."""
        units = self.bench.units
        tails = (with_islands(best.choice, units[-count:]) for count in _TAILS if count < len(units))
        return self._best_of(best, tails, "tail in float32")

    def _with_units(self, best: Trial) -> Trial:
        """The best with the most sensitive units in float32 as well."""
        by_name = {unit.name: unit for unit in self.bench.units}
        for one in sorted(self.sensitivity, key=lambda one: -one.gain)[:_MOST_ISLANDS]:
            wider = with_islands(best.choice, [by_name[one.unit]])
            best = self._best_of(best, iter([wider]), "layer in float32")
        return best

    def _best_of(self, best: Trial, choices: Iterator[Choice], step: str) -> Trial:
        for choice in self._new(choices):
            trial = self._tried(choice, step)
            best = trial if trial.score > best.score + WORTH else best
        return best


def _score(trial: Trial) -> float:
    return trial.score
