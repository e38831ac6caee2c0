"""How long an embedder is trained, and how fast it learns."""

from __future__ import annotations

from dataclasses import dataclass

from convert.train.embedder.phase import Phase


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps of each phase; the rest was found by trial on two cores: docs/training.md."""

    parts: int = 1600
    joined: int = 1500
    rounds: int = 1
    """Joined phases one after another, each beginning with a high rate anew: more of them go on where an earlier run ended."""
    search: int = 15
    """Trials in the search for the integers to begin the last phase with."""
    integer: int = 200

    def float_phases(self) -> tuple[Phase, ...]:
        """The first one alone is without the whole."""
        rounds = range(1, self.rounds + 1)
        joined = [Phase(f"joined-{number}", self.joined, 32, 6e-4, hints=0.5) for number in rounds]
        return (Phase("parts", self.parts, 32, 5e-3), *joined)

    def integer_phase(self) -> Phase:
        """The last one, anew after each round. Its rate is in steps of integers."""
        return Phase(f"integer-{self.rounds}", self.integer, 32, 0.02)
