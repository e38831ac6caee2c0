"""An artifact beside its reference: the same inputs through both, output by output and, where asked for, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convert.network import Array
from convert.proof.feeds import Pixels, Wish, feeds_of, picture_port, size_of, take_pictures
from convert.proof.fidelity import Fidelity, LayerReport, fidelity, layer_fidelity
from convert.proof.matching import as_reference, match_ports
from convert.runners import open_runner, runtimes_of
from convert.runners.base import Feeds, Outputs, Runner
from edge.errors import ModelError

FLOAT_TOLERANCE = 1e-4
"""Largest difference, as a part of the reference's largest magnitude, for an artifact of float32."""
LAYER_TOLERANCE = 1e-3
"""What one layer may differ: rounding adds up on the way, and ReLUs and sums make it larger in the middle than at the end."""
_MOST_FOR_LAYERS = 8
"""Pictures on which layers are compared; every tensor of both networks is kept for one picture at a time."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two networks."""

    path: Path
    runtime: str = ""
    """One of convert.runners.RUNTIMES; the usual one of its format when empty."""
    pixels: Pixels = field(default_factory=Pixels)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came out."""

    reference: str
    reference_runner: str
    artifact: str
    artifact_runner: str
    precision: str
    """Of the artifact: float32, or what it holds instead."""
    pictures: str
    outputs: tuple[Fidelity, ...]
    left_out: tuple[str, ...]
    """Outputs of the reference that the artifact has not got."""
    layers: LayerReport | None
    tolerance: float | None
    """None: an artifact of integers, and no tolerance given; nothing is judged."""

    @property
    def passed(self) -> bool | None:
        """Whether every output is within the tolerance; None where nothing is judged."""
        if self.tolerance is None:
            return None
        return all(one.difference_relative <= self.tolerance for one in self.outputs)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "reference": self.reference,
            "reference_runner": self.reference_runner,
            "artifact": self.artifact,
            "artifact_runner": self.artifact_runner,
            "precision": self.precision,
            "pictures": self.pictures,
            "tolerance": self.tolerance,
            "passed": self.passed,
            "outputs": [one.as_dict() for one in self.outputs],
            "outputs_left_out": list(self.left_out),
            "layers": self.layers.as_dict() if self.layers else None,
        }


def compare_files(
    reference: Side, artifact: Side, wish: Wish, *, tolerance: float | None = None, with_layers: bool = False
) -> Comparison:
    """Run both on the same inputs. UsageError or ModelError where a file, a picture or a shape does not fit."""
    sides = (reference, artifact)
    runners = [open_any(side.path, side.runtime, with_layers=with_layers) for side in sides]
    ports = [picture_port(runner, wish.values) for runner in runners]
    pictures, label = take_pictures(wish, size_of(ports, wish))
    feeds = [feeds_of(runner, pictures, side.pixels, wish) for side, runner in zip(sides, runners, strict=True)]
    outputs, left_out = compare_runners(runners[0], runners[1], list(zip(*feeds, strict=True)))
    layers = None
    if with_layers:
        some = list(zip(*(each[:_MOST_FOR_LAYERS] for each in feeds), strict=True))
        layers = layer_fidelity(runners[0], runners[1], some, tolerance=tolerance or LAYER_TOLERANCE)
    precision = str(getattr(runners[1], "precision", "float32"))
    judged = FLOAT_TOLERANCE if tolerance is None and precision == "float32" else tolerance
    return Comparison(
        reference=reference.path.name,
        reference_runner=runners[0].label,
        artifact=artifact.path.name,
        artifact_runner=runners[1].label,
        precision=precision,
        pictures=label,
        outputs=outputs,
        left_out=left_out,
        layers=layers,
        tolerance=judged,
    )


def open_any(path: Path, runtime: str = "", *, threads: int = 1, with_layers: bool = False) -> Runner:
    """A runner of the file as it is; where no runtime takes it, the importer's, which runs it in its own framework.

    A graph of TensorFlow run as it is shows its outputs alone; `with_layers` has it imported for that, where it can be.
    """
    if runtime or runtimes_of(path):
        runner = open_runner(path, threads=threads, runtime=runtime)
        if runtime or not with_layers or set(runner.tensors) > set(runner.outputs):
            return runner
    from convert.importers import open_file

    return open_file(path).reference


def compare_runners(
    reference: Runner, artifact: Runner, feeds: Sequence[tuple[Feeds, Feeds]]
) -> tuple[tuple[Fidelity, ...], tuple[str, ...]]:
    """Each output that both have, over all feeds, and the reference's outputs that the artifact lacks.

    Outputs belong together by name, by the names in a TFLite signature, by shape, and at last by their order. ModelError
    where none do.
    """
    wanted = run_all(reference, [given for given, _ in feeds])
    found = run_all(artifact, [given for _, given in feeds])
    matched = matched_outputs(wanted, found, artifact)
    rows = []
    for name, other in matched.items():
        values = [as_reference(one.shape, two) for one, two in zip(wanted[name], found[other], strict=True)]
        if any(value is None for value in values):
            raise ModelError(
                f"output {other} of shape {list(found[other].shape[1:])}",
                where=artifact.label,
                expected=f"{list(wanted[name].shape[1:])}, as {name} has",
            )
        rows.append(fidelity(name, wanted[name], np.stack([value for value in values if value is not None]), other))
    if not rows:
        raise ModelError(f"outputs {', '.join(found)}", where=artifact.label, expected=f"some of {', '.join(wanted)}")
    return tuple(rows), tuple(name for name in wanted if name not in matched)


def matched_outputs(wanted: Outputs, found: Outputs, artifact: Runner) -> dict[str, str]:
    """Reference's output -> artifact's, both stacked by `run_all`."""
    aliases: Mapping[str, str] = getattr(artifact, "aliases", {})
    shapes = [{name: value.shape[1:] for name, value in outputs.items()} for outputs in (wanted, found)]
    return match_ports(shapes[0], shapes[1], aliases)


def run_all(runner: Runner, feeds: Sequence[Feeds]) -> Outputs:
    """Outputs of one run a feed, stacked along a new first axis. ModelError where shapes change from run to run."""
    made: dict[str, list[Array]] = {}
    for given in feeds:
        for name, value in runner.run(given).items():
            made.setdefault(name, []).append(value)
    stacked: Outputs = {}
    for name, values in made.items():
        if len({value.shape for value in values}) > 1:
            raise ModelError(
                f"output {name} has another shape for each picture", where=runner.label, expected="one shape",
                hint="It is found by the network how many things there are to see; choose an output before that.",
            )  # fmt: skip
        stacked[name] = np.stack(values)
    return stacked
