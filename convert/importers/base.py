"""What every importer takes and returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from convert.network import Network, Shape
from convert.runners.base import Runner
from edge.errors import ModelError, UsageError


@dataclass(frozen=True, slots=True)
class Request:
    """What a user or a recipe says of a source; all of it may be left out where the source says it itself."""

    files: tuple[Path, ...]
    """One path, or what belongs together: symbol and params, prototxt and caffemodel."""
    inputs: tuple[str, ...] = ()
    """Names of the inputs; found when empty. Several candidates are an error that lists them."""
    outputs: tuple[str, ...] = ()
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    """Input name ("" for the only one) -> shape in the SOURCE's own layout, where the file leaves sizes open."""
    signature: str = ""
    """Of a SavedModel; the only one, or `serving_default`, when empty."""
    architecture: str = ""
    """Of files that hold weights alone: a name in convert.architectures."""
    constants: Mapping[str, bool | float] = field(default_factory=dict)
    """Placeholders bound to a value: {"phase_train": False}."""


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """One source, read."""

    format: str
    """onnx, frozen-graph, tf1-checkpoint, saved-model, keras, pytorch, mxnet, caffe, tflite or numpy."""
    network: Network
    """The source's own arithmetic: nothing folded or rewritten that changes a result."""
    reference: Runner
    """The source itself, run by its own framework where it is installed. Its inputs and outputs have the network's names."""
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    """What was repaired or removed on the way, a sentence each, for the report."""
    licence: str = ""
    """As recorded in the file; most formats record none."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Tensor -> (least, greatest) that FakeQuant nodes learnt, for the target `tflite-uint8-legacy`."""


def chosen(kind: str, candidates: list[str], wanted: tuple[str, ...], where: str) -> tuple[str, ...]:
    """The inputs or outputs asked for, or the only candidate.

    UsageError where a name is not there; ModelError where several could be meant and none was asked for. Both list all.
    """
    listed = ", ".join(candidates) or "none"
    missing = [name for name in wanted if name not in candidates]
    if missing:
        raise UsageError(f"no {kind} {', '.join(missing)}", where=where, expected=f"some of: {listed}")
    if wanted:
        return wanted
    if len(candidates) != 1:
        hint = f"Choose with --{kind} NAME; it may be given several times."
        raise ModelError(f"{len(candidates)} candidates for the {kind}: {listed}", where=where, hint=hint)
    return tuple(candidates)


def refuse_unknown(unknown: list[str], where: str) -> None:
    """ModelError that names every operator that cannot be converted, with its node, at once."""
    if unknown:
        raise ModelError(
            f"{len(unknown)} operator(s) that cannot be converted: {', '.join(unknown)}",
            where=where,
            hint="Export the network without them, or choose outputs before them.",
        )
