"""How near an artifact comes to its reference: pure arithmetic on what both have computed from the same inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.network import Array
from convert.proof.matching import as_reference, match_layers
from convert.runners.base import Feeds, Outputs, Runner
from edge.errors import ModelError


@dataclass(frozen=True, slots=True)
class Fidelity:
    """One output over a batch. Differences are absolute values, element by element, artifact against reference."""

    output: str
    """Its name in the reference."""
    artifact_output: str
    samples: int
    cosine_mean: float
    """Of the cosines of single samples."""
    cosine_p1: float
    """1 % of the samples are worse."""
    cosine_worst: float
    difference_mean: float
    difference_std: float
    difference_max: float
    reference_peak: float
    """Largest magnitude in the reference."""
    snr_db: float
    """10 log10(sum of reference^2 / sum of difference^2) over all samples; infinite where nothing differs."""
    not_finite: int
    """Values of the artifact that are no numbers where the reference has some."""

    @property
    def difference_relative(self) -> float:
        """Largest difference as a part of the reference's largest magnitude; 0 where nothing differs."""
        return as_part(self.difference_max, self.reference_peak)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: no infinities; `snr_db` is None where nothing differs, and differences where they have no end."""
        shown = {name: getattr(self, name) for name in self.__dataclass_fields__}
        shown["difference_relative"] = self.difference_relative
        return {name: plain(value) for name, value in shown.items()}


def compare_outputs(reference: Outputs, artifact: Outputs) -> tuple[Fidelity, ...]:
    """Compare batches (N, ...) of outputs under the same names. ModelError where one is missing or of another shape."""
    missing = [name for name in reference if name not in artifact]
    if missing or not reference:
        raise ModelError(f"no output {', '.join(missing)}", expected=", ".join(reference) or "at least one output")
    return tuple(fidelity(name, value, artifact[name]) for name, value in reference.items())


def as_part(difference: float, peak: float) -> float:
    """Difference / peak; 0 where there is no difference, infinite where all of the reference is 0."""
    if difference == 0:
        return 0.0
    return difference / peak if peak > 0 else math.inf


def plain(value: Any) -> Any:
    """A number for JSON: seven significant digits, None for what JSON has no number for."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.7g}") if math.isfinite(value) else None


def fidelity(output: str, reference: Array, artifact: Array, artifact_output: str = "") -> Fidelity:
    """Compare two batches (N, ...) of one output. ModelError where their shapes differ by more than axes of length 1."""
    if significant(reference.shape) != significant(artifact.shape) or len(reference) != len(artifact):
        raise ModelError(
            f"output {artifact_output or output} of shape {list(artifact.shape)}", expected=f"{list(reference.shape)}"
        )
    if not reference.size:
        raise ModelError(f"output {output} is empty", expected="at least one value")
    count = len(reference)
    wanted = reference.astype(np.float64).reshape(count, -1)
    found = artifact.astype(np.float64).reshape(count, -1)
    difference = differences(wanted, found)
    cosines = cosine_rows(wanted, found)
    peak = np.abs(wanted[np.isfinite(wanted)])
    return Fidelity(
        output=output,
        artifact_output=artifact_output or output,
        samples=count,
        cosine_mean=float(np.mean(cosines)),
        cosine_p1=float(np.percentile(cosines, 1)),
        cosine_worst=float(np.min(cosines)),
        **_spread(difference),
        reference_peak=float(peak.max(initial=0.0)),
        snr_db=decibels(_energy(wanted[np.isfinite(wanted)]), _energy(difference)),
        not_finite=int(np.count_nonzero(~np.isfinite(found) & np.isfinite(wanted))),
    )


def _spread(difference: Array) -> dict[str, float]:
    if not np.isfinite(difference).all():
        return dict.fromkeys(("difference_mean", "difference_std", "difference_max"), math.inf)
    return {
        "difference_mean": float(np.mean(difference)),
        "difference_std": float(np.std(difference)),
        "difference_max": float(np.max(difference)),
    }


def differences(reference: Array, artifact: Array) -> Array:
    """|reference - artifact|, float64; 0 where both are the same infinity or both no number, infinite where one alone is."""
    same = (reference == artifact) | (np.isnan(reference) & np.isnan(artifact))
    with np.errstate(invalid="ignore"):
        apart = np.abs(reference - artifact)
    return np.where(same, 0.0, np.where(np.isnan(apart), math.inf, apart))


def cosine_rows(reference: Array, artifact: Array) -> Array:
    """Cosine of each row (N, D) -> (N,): 1 for two rows of zeros, 0 where one alone is zero or not finite."""
    cosines = np.zeros(len(reference))
    for index, (wanted, found) in enumerate(zip(reference, artifact, strict=True)):
        if np.array_equal(wanted, found):
            cosines[index] = 1.0
        elif np.isfinite(wanted).all() and np.isfinite(found).all() and wanted.any() and found.any():
            # Scaled first: the square of a large or a tiny number leaves what a float can hold.
            first, second = wanted / np.abs(wanted).max(), found / np.abs(found).max()
            cosines[index] = np.clip(first @ second / np.linalg.norm(first) / np.linalg.norm(second), -1, 1)
    return cosines


def decibels(signal: float, noise: float) -> float:
    """10 log10(signal / noise) of two energies; infinite without noise, minus infinite where noise is all there is."""
    if noise == 0:
        return math.inf
    if signal == 0 or not math.isfinite(noise):
        return -math.inf
    return 10 * (math.log10(signal) - math.log10(noise))


def significant(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without the axes of length 1."""
    return tuple(size for size in shape if size != 1)


def _energy(values: Array) -> float:
    with np.errstate(over="ignore"):
        return float(np.sum(np.square(values)))


@dataclass(frozen=True, slots=True)
class LayerFidelity:
    """One inner tensor over all feeds."""

    layer: str
    """Its name in the reference."""
    artifact_layer: str
    shape: tuple[int, ...]
    snr_db: float
    difference_max: float
    reference_peak: float

    @property
    def difference_relative(self) -> float:
        """Largest difference as a part of the layer's largest magnitude."""
        return as_part(self.difference_max, self.reference_peak)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, as Fidelity.as_dict."""
        shown = {name: getattr(self, name) for name in self.__dataclass_fields__}
        shown |= {"shape": list(self.shape), "difference_relative": self.difference_relative}
        return {name: plain(value) for name, value in shown.items()}


@dataclass(frozen=True, slots=True)
class LayerReport:
    """All inner tensors that both sides have, in the reference's order of computation."""

    layers: tuple[LayerFidelity, ...]
    tolerance: float
    """Largest difference that is let pass, as a part of each layer's largest magnitude."""
    reference_tensors: int
    artifact_tensors: int

    @property
    def first_beyond(self) -> LayerFidelity | None:
        """Where the artifact begins to differ; what comes behind only carries it on."""
        return next((layer for layer in self.layers if layer.difference_relative > self.tolerance), None)

    def worst(self, count: int = 10) -> list[LayerFidelity]:
        """Those of the lowest SNR, the lowest first."""
        return sorted(self.layers, key=lambda layer: layer.snr_db)[:count]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        first = self.first_beyond
        return {
            "compared": len(self.layers),
            "reference_tensors": self.reference_tensors,
            "artifact_tensors": self.artifact_tensors,
            "tolerance": self.tolerance,
            "first_beyond": first.as_dict() if first else None,
            "worst": [layer.as_dict() for layer in self.worst()],
            "layers": [layer.as_dict() for layer in self.layers],
        }


@dataclass(slots=True)
class _Sums:
    signal: float = 0.0
    noise: float = 0.0
    largest: float = 0.0
    peak: float = 0.0

    def add(self, reference: Array, artifact: Array) -> None:
        wanted, apart = reference.astype(np.float64), differences(reference, artifact)
        finite = np.abs(wanted[np.isfinite(wanted)])
        self.signal += _energy(finite)
        self.noise += _energy(apart)
        self.largest = max(self.largest, float(apart.max(initial=0.0)))
        self.peak = max(self.peak, float(finite.max(initial=0.0)))


def layer_fidelity(
    reference: Runner, artifact: Runner, feeds: Sequence[tuple[Feeds, Feeds]], *, tolerance: float = 1e-4
) -> LayerReport:
    """Compare inner tensors; each of `feeds` is what reference and artifact get for one picture, under their own names.

    Tensors belong together by name and shape (convert.proof.matching). ModelError where no two do.
    """
    if not feeds:
        raise ModelError("nothing to feed", expected="at least one input")
    sums: dict[str, _Sums] = {}
    matched: dict[str, str] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for number, (given, artifact_given) in enumerate(feeds):
        wanted = reference.run(given, tuple(matched) or reference.tensors)
        found = artifact.run(artifact_given, tuple(matched.values()) or artifact.tensors)
        if not number:
            matched = match_layers(wanted, found)
            shapes = {name: wanted[name].shape for name in matched}
        for name, other in matched.items():
            value = as_reference(wanted[name].shape, found[other])
            if value is not None:
                sums.setdefault(name, _Sums()).add(wanted[name], value)
    if not matched:
        problem = f"none of {len(reference.tensors)} tensors is among the artifact's {len(artifact.tensors)}"
        raise ModelError(problem, expected="tensors of like names", hint="Compare the outputs alone, without --layers.")
    layers = tuple(
        LayerFidelity(name, matched[name], shapes[name], decibels(one.signal, one.noise), one.largest, one.peak)
        for name, one in sums.items()
    )
    return LayerReport(layers, tolerance, len(reference.tensors), len(artifact.tensors))
