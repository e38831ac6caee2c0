"""One artifact: written, run beside its source on real pictures, looked at, and described."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.build.models import INTEGER_TARGETS, Model, normalisation_of, prepared
from convert.build.plan import Plan
from convert.build.quantising import takes_faithful, write_faithful
from convert.build.sample import Sample, feed
from convert.calibrate import spanning
from convert.network import Array, Floats
from convert.passes.ssd import detection_head
from convert.proof.fidelity import Fidelity, compare_outputs, fidelity
from convert.runners import open_runner
from convert.runners.base import Outputs, Runner
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from convert.targets import SUFFIXES, write_target
from convert.targets.base import DetectionHead, Options
from edge.bundle.manifest import Normalisation
from edge.datatypes import Image
from edge.errors import ModelError, UsageError

TOLERANCES = {
    "onnx": ("relative", 1e-4),
    "opencv-pb": ("relative", 1e-4),
    "saved-model": ("relative", 1e-4),
    "tflite-float32": ("relative", 1e-4),
    "tflite-float16": ("cosine", 0.999),
    "tflite-dynamic": ("cosine", 0.95),
    "tflite-int8": ("cosine", 0.7),
    "tflite-uint8": ("cosine", 0.7),
}
"""Target -> (figure, limit): greatest difference in parts of the reference's greatest value, or least mean cosine.

Integer ones are let through far from their source, and told: networks with PReLU come to 0.83, and are of use all the same.
Below 0.7 something else is wrong.
"""
PROOF_RUNS = 32
"""Pictures that an artifact and its reference are compared on."""
IMPORT_RUNS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """An artifact and what was found out about it."""

    part: str
    target: str
    path: Path
    """The artifact; of a SavedModel its folder."""
    files: tuple[Path, ...]
    """All that was written."""
    normalisation: Normalisation
    """What it expects of a pixel."""
    fidelity: tuple[Fidelity, ...]
    """Of each output."""
    reference: str
    runner: str
    facts: dict[str, Any]
    """Delegated nodes, what the oldest runtime objects to, tensors: as far as the kind of artifact has them."""

    @property
    def difference(self) -> float:
        """Greatest difference of any output, in parts of the reference's greatest value."""
        return max(one.difference_relative for one in self.fidelity)

    @property
    def cosine(self) -> float:
        """Mean cosine of the output that fares worst."""
        return min(one.cosine_mean for one in self.fidelity)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        path = self.path
        return {
            "part": self.part,
            "target": self.target,
            "file": path.name,
            "bytes": sum(_sizes(path)),
            "sha256": digest_of(path),
            "inaccurate": _inaccurate(self.target),
            "reference": self.reference,
            "runner": self.runner,
            "fidelity": [one.as_dict() for one in self.fidelity],
            **self.facts,
        }


def build_artifact(plan: Plan, model: Model, target: str, sample: Sample, path: Path) -> Built:
    """Write one artifact at `path` and prove it. ModelError (exit code 4) when it is further from its source than it may be."""
    head = None
    if plan.post_process and target.startswith("tflite-"):
        model, head = _with_head(plan, model)
    network = prepared(model, target)
    normalisation = normalisation_of(model, network, target)
    options = _options(plan, model, target, sample, normalisation)
    how = write_faithful(plan, model, network, sample, path) if takes_faithful(plan, model, target) else {}
    files = (path,) if how else tuple(write_target(target, network, path, options))
    compared, reference, runner = _proof(model, target, sample, path, normalisation)
    if head is not None:
        # The raw outputs are proved; what TFLite_Detection_PostProcess makes of them has no like in the source.
        files = tuple(write_target(target, network, path, replace(options, head=head)))
    built = Built(
        model.part, target, path, files, normalisation, compared, reference, runner, _facts(path, target) | how
    )
    if plan.check_tolerance:
        refuse_unfaithful(built)
    return built


def _with_head(plan: Plan, model: Model) -> tuple[Model, DetectionHead]:
    use = plan.recipe.detector
    if use is None or use.ssd is None:
        raise UsageError(
            f"--post-process for {plan.name}", expected="a single-shot detector with a section ssd in its recipe"
        )
    network, head = detection_head(model.source, use.ssd, confidence=use.confidence, nms_iou=use.nms_iou)
    return replace(model, network=network), head


def _proof(
    model: Model, target: str, sample: Sample, path: Path, normalisation: Normalisation
) -> tuple[tuple[Fidelity, ...], str, str]:
    """(each output beside the reference's, what ran the reference, what ran the artifact)."""
    runner = open_runner(path, runtime="opencv") if target in {"onnx", "opencv-pb"} else open_runner(path)
    expected, reference = _expected(model, sample)
    found = run_all(model, runner, sample.held_out[:PROOF_RUNS], normalisation)
    compared = tuple(fidelity(name, expected[name], *other) for name, other in _in_order(found, expected).items())
    return compared, reference, runner.label


@functools.lru_cache(maxsize=1)
def _expected(model: Model, sample: Sample) -> tuple[Outputs, str]:
    """What the reference gives, and what ran it; kept for the next target of the same model."""
    reference = reference_of(model)
    return run_all(model, reference, sample.held_out[:PROOF_RUNS], model.normalisation), reference.label


def prove_import(model: Model, sample: Sample) -> tuple[Fidelity, ...]:
    """The source as it was read, in ONNX Runtime, beside the source itself."""
    read = OnnxRuntimeRunner(model.imported.network)
    pictures = sample.held_out[:IMPORT_RUNS]
    expected, found = (run_all(model, each, pictures, model.normalisation) for each in (model.imported.reference, read))
    return compare_outputs(expected, found)


def file_name(stem: str, target: str) -> str:
    """Name of an artifact."""
    return f"{stem}{SUFFIXES[target]}"


def reference_of(model: Model) -> Runner:
    """The source itself, or, where it was adapted to the device, the adapted network in ONNX Runtime.

    That reading and adapting lose nothing is proved apart: by `prove_import`, and by the passes' tests.
    """
    return OnnxRuntimeRunner(model.network) if model.is_adapted else model.imported.reference


def run_all(model: Model, runner: Runner, pictures: Image, normalisation: Normalisation) -> Outputs:
    """Outputs for each picture, stacked along a new first axis. A network of a fixed batch is fed that many at once."""
    port = runner.inputs[0]
    values = feed(pictures, model.colour_order, normalisation)
    size = port.shape[0] or 1
    # The last run is filled up with the last picture.
    rows = np.minimum(np.arange(-(-len(values) // size) * size), len(values) - 1).reshape(-1, size)
    made = [runner.run({port.name: values[row]}) for row in rows]
    return {name: _by_picture([run[name] for run in made], size)[: len(values)] for name in made[0]}


def _by_picture(runs: Sequence[Array], size: int) -> Array:
    """Results of `size` pictures a run -> one row a picture, each as a run of it alone would give it."""
    if size == 1:
        return np.stack(runs)
    shape = runs[0].shape
    if not shape or shape[0] % size:
        raise ModelError(f"an output of shape {shape} for a batch of {size}", expected="a multiple of it first")
    return np.concatenate([run.reshape(size, shape[0] // size, *shape[1:]) for run in runs])


def _in_order(found: Outputs, expected: Outputs) -> dict[str, tuple[Array, str]]:
    """Reference's output -> the artifact's values and name for it: by name, else in the file's order."""
    if set(found) == set(expected):
        return {name: (found[name], name) for name in expected}
    if len(found) != len(expected):
        raise ModelError(f"outputs {', '.join(found)}", expected=", ".join(expected))
    return {name: (values, other) for name, (other, values) in zip(expected, found.items(), strict=True)}


def _options(plan: Plan, model: Model, target: str, sample: Sample, normalisation: Normalisation) -> Options:
    options = Options(
        batch=plan.batch,
        mean=normalisation.mean,
        std=normalisation.std,
        colour_order=model.colour_order,
        with_text=plan.with_text,
        default_ranges=plan.default_ranges,
        ranges=model.imported.ranges,
    )
    if target not in INTEGER_TARGETS:
        return options
    name = model.network.inputs[0].name
    few = replace(sample, calibration=sample.calibration[: plan.plain_calibration])
    return replace(options, examples={name: examples_of(model, few, normalisation)})


def examples_of(model: Model, sample: Sample, normalisation: Normalisation) -> Floats:
    """Calibration values, float32 NCHW, that span a byte."""
    pictures = sample.calibration
    return feed(spanning(pictures) if normalisation.kind == "fixed" else pictures, model.colour_order, normalisation)


def refuse_unfaithful(built: Built) -> None:
    """ModelError when the artifact is beyond its target's tolerance."""
    if built.target not in TOLERANCES:
        return
    figure, limit = TOLERANCES[built.target]
    found = built.difference if figure == "relative" else built.cosine
    # So written, NaN is refused.
    if not (found <= limit if figure == "relative" else found >= limit):
        hint = "`ostiary-convert compare --layers` names the first layer that differs; --any-fidelity writes it all the same."
        bound = f"at most {limit:g}" if figure == "relative" else f"at least {limit:g}"
        problem = f"{figure} difference" if figure == "relative" else "mean cosine"
        raise ModelError(
            f"{problem} of {found:.3g} to its source",
            where=f"{built.part} as {built.target}",
            expected=bound,
            hint=hint,
        )


def refuse_misread(read: Sequence[Fidelity], part: str) -> None:
    """ModelError when a source computes something else than what was read of it."""
    found = max(one.difference_relative for one in read)
    if not found <= TOLERANCES["onnx"][1]:
        hint = (
            "This is a fault of the importer: `ostiary-convert compare SOURCE ARTIFACT --layers` shows where it begins."
        )
        raise ModelError(
            f"relative difference of {found:.3g} as it was read",
            where=part,
            expected=f"at most {TOLERANCES['onnx'][1]:g}",
            hint=hint,
        )


def _facts(path: Path, target: str) -> dict[str, Any]:
    if not target.startswith("tflite"):
        return {}
    from convert.runners.delegation import delegated_nodes
    from convert.targets.tflite import oldest_runtime_faults

    data = path.read_bytes()
    delegation = delegated_nodes(data)
    return {
        "nodes": delegation.total,
        "delegated_nodes": delegation.delegated,
        "partitions": delegation.partitions,
        "left_to_reference_kernels": dict(delegation.left),
        "oldest_runtime_faults": oldest_runtime_faults(data),
    }


def _inaccurate(target: str) -> str:
    """Why nobody should use it; empty for the others."""
    if target != "tflite-uint8-legacy":
        return ""
    from convert.targets.tflite import INACCURATE

    return INACCURATE


def _sizes(path: Path) -> list[int]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [file.stat().st_size for file in files if file.is_file()]


def digest_of(path: Path) -> str:
    """SHA-256 of a file; of a folder, of its files' names and bytes in order."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        if path.is_dir():
            digest.update(str(file.relative_to(path)).encode() + b"\0")
        digest.update(file.read_bytes())
    return digest.hexdigest()
