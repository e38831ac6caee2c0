"""What a search for the best integers chose, what it tried, and how it is told."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from convert.quantise.form import IntegerNetwork


@dataclass(frozen=True, slots=True)
class Choice:
    """How the integers of a network are made: everything that a search may change."""

    balance: float | None = None
    """Whose ranges equalising makes alike, 1 the activations', 0 the weights'; None leaves the channels as they are."""
    magnitude: str = "extremes"
    """Of convert.quantise.equalise.MAGNITUDES."""
    clip: str = "extremes"
    """Of convert.quantise.clip.CLIPS."""
    feedback: bool = False
    """Weights rounded with error feedback (convert.quantise.rounding)."""
    correction: bool = False
    """Biases corrected (convert.quantise.correct)."""
    islands: tuple[str, ...] = ()
    """Units (convert.quantise.units) that are computed in float32."""

    def __str__(self) -> str:
        parts = ["as they are" if self.balance is None else f"balance {self.balance:g} by {self.magnitude}", self.clip]
        parts += ["error feedback"] if self.feedback else []
        parts += ["corrected biases"] if self.correction else []
        parts += [f"float32: {', '.join(self.islands)}"] if self.islands else []
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Trial:
    """One choice, made and run."""

    choice: Choice
    cosine: float
    """Mean over the held-out pictures, to the float network."""
    worst: float
    score: float
    """The mean cosine less the price of float32 islands."""
    bytes: int
    """Of the file."""
    step: str
    """Which part of the search tried it."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        numbers = {"cosine": round(self.cosine, 6), "worst": round(self.worst, 6), "score": round(self.score, 6)}
        return {"step": self.step, "choice": str(self.choice), **numbers, "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What one unit costs: how much nearer the network comes to its source when this unit alone is computed in float32."""

    unit: str
    gain: float
    """Of the mean cosine."""
    share: float
    """Of the network's multiply-accumulates."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The integers chosen, and how they were found."""

    integer: IntegerNetwork
    chosen: Trial
    tried: tuple[Trial, ...]
    sensitivity: tuple[Sensitivity, ...]
    """Of each unit, in the network's order; empty where the budget ended before."""
    calibration: int
    """Pictures."""
    held_out: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: the recipe, and the table of all that was tried."""
        return {
            "recipe": asdict(self.chosen.choice) | {"islands": list(self.chosen.choice.islands)},
            "cosine": round(self.chosen.cosine, 6),
            "worst": round(self.chosen.worst, 6),
            "bytes": self.chosen.bytes,
            "pictures": {"calibration": self.calibration, "held_out": self.held_out, "seed": self.seed},
            "tried": [trial.as_dict() for trial in self.tried],
            "sensitivity": [
                {"unit": one.unit, "gain": round(one.gain, 7), "share": round(one.share, 5)} for one in self.sensitivity
            ],
        }
