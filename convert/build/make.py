"""One build from beginning to end: a bundle, or a folder of artifacts. Nothing is left half-written."""

from __future__ import annotations

import dataclasses
import errno
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from convert.build.artifacts import (
    PROOF_RUNS,
    Built,
    build_artifact,
    file_name,
    prove_import,
    refuse_misread,
)
from convert.build.halves import (
    DetectorHalf,
    EmbedderHalf,
    detector_half,
    embedder_of_bundle,
    find_detector,
    sized,
)
from convert.build.models import INTEGER_TARGETS, Model, read_models
from convert.build.plan import EMBEDDERS, LEGACY, Plan, check_plan
from convert.build.report import REPORT_NAME, report_of, write_report
from convert.build.sample import Sample, take_sample
from convert.build.steps import Log, Steps
from convert.bundle import Artifact, replaced_folder, write_bundle
from convert.provenance import quantisation_of, tool_versions
from edge.align import template_named
from edge.bundle import Bundle, default_bundle_folder, load_bundle
from edge.bundle.manifest import SCHEMA_VERSION, Embedder, OperatingPoint
from edge.config.settings import Settings
from edge.errors import ModelError, OstiaryError, UsageError
from edge.reader import load_models

UNMEASURED = "unmeasured"
_NO_POINT = OperatingPoint(
    1.0, 0.0, 1.0, 0, 0, "nothing: `ostiary-convert evaluate --write-operating-points` measures thresholds"
)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FLOATS = frozenset({"onnx", "tflite-float32", "tflite-float16"})


@dataclass(frozen=True, slots=True)
class Halves:
    """What a bundle is put together from, and the artifacts that were built for it."""

    detector: DetectorHalf
    embedder: EmbedderHalf
    built: list[Built]


def build(plan: Plan, output: Path, log: Log) -> dict[str, Any]:
    """Make what the plan says at `output`; returns the report. `log` is told of each step."""
    cv2.setNumThreads(1)
    check_plan(plan)
    try:
        with replaced_folder(output, marks=(REPORT_NAME,)) as folder:
            report = _build(plan, folder, Steps(log))
    except OSError as error:
        if error.errno not in _FULL:
            raise
        hint = "Nothing was written, and what stood there before is as it was."
        raise OstiaryError(f"cannot be written ({error.strerror})", where=str(output), hint=hint) from error
    log(f"written to {output}")
    return report


def _build(plan: Plan, folder: Path, steps: Steps) -> dict[str, Any]:
    with steps.step(f"read {plan.recipe.title}"):
        models = read_models(plan)
        for model in models.values():
            for note in model.imported.notes:
                steps.note(note)
    if plan.targets:
        return _build_artifacts(plan, models, folder, steps)
    return _build_bundle(plan, models, folder, steps)


def _build_artifacts(plan: Plan, models: dict[str, Model], folder: Path, steps: Steps) -> dict[str, Any]:
    built = [one for model in models.values() for one in _targets(plan, model, folder, steps, plan.targets)]
    if not built:
        rows = "\n".join(f"  {what}: {why}" for what, why in steps.left_out.items())
        raise ModelError(f"no target can take {plan.recipe.title}\n{rows}")
    report = report_of(plan, models, built, steps)
    write_report(report, folder)
    return report


def _targets(plan: Plan, model: Model, folder: Path, steps: Steps, targets: tuple[str, ...]) -> list[Built]:
    with steps.step(f"pictures for {model.part}: {model.view.kind}, {model.view.width}x{model.view.height}"):
        is_integer = not INTEGER_TARGETS.isdisjoint(targets)
        sample = take_sample(plan.wish if is_integer else dataclasses.replace(plan.wish, calibration=0), model.view)
        _tell_sample(sample, steps, is_integer=is_integer)
    if model.is_adapted:
        with steps.step(f"{model.part} as it was read, beside its source"):
            read = prove_import(model, sample)
            steps.note(
                f"{model.imported.reference.label}: greatest difference {max(one.difference_relative for one in read):.1e}"
            )
            if plan.check_tolerance:
                refuse_misread(read, model.part)
    stem = plan.name if len(plan.recipe.parts) == 1 else f"{plan.name}.{model.part}"
    if plan.only_possible and plan.default_ranges is None and LEGACY in targets:
        targets = tuple(target for target in targets if target != LEGACY)
        steps.leave_out(f"{model.part} as {LEGACY}", "no --default-ranges")
    made = (_target(plan, model, sample, folder / file_name(stem, target), (target, steps)) for target in targets)
    return [one for one in made if one is not None]


def _target(plan: Plan, model: Model, sample: Sample, path: Path, how: tuple[str, Steps]) -> Built | None:
    """One artifact; None where the target cannot take the network and need not."""
    target, steps = how
    with steps.step(f"{model.part} as {target}"):
        try:
            built = build_artifact(plan, model, target, sample, path)
        except ModelError as error:
            if not plan.only_possible:
                raise
            steps.leave_out(f"{model.part} as {target}", error.problem)
            _removed(path)
            return None
        for line in _found(built):
            steps.note(line)
    return built


def _removed(path: Path) -> None:
    """What a target has left at `path` is taken away."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _tell_sample(sample: Sample, steps: Steps, *, is_integer: bool) -> None:
    proof = min(len(sample.held_out), PROOF_RUNS)
    steps.note(f"{len(sample.calibration)} for calibration, {proof} for proof" if is_integer else f"{proof} for proof")
    if sample.is_stand_in and is_integer:
        steps.note(f"no --calibration: activation ranges come from {sample.label}; give real faces for better accuracy")


def _found(built: Built) -> list[str]:
    """What a person wants to know of an artifact at once."""
    facts = built.facts
    size = sum(file.stat().st_size for file in built.files if file.is_file())
    cosine = f"mean {built.cosine:.6f}, worst {min(one.cosine_worst for one in built.fidelity):.6f}"
    lines = [f"{size / 1e6:.2f} MB; cosine to {built.reference}: {cosine}; greatest difference {built.difference:.1e}"]
    if "quantised" in facts:
        lines.append(f"quantised {facts['quantised']}: {facts['trials']} trials, {facts['chosen']}")
    if "nodes" in facts:
        left = ", ".join(f"{count} {name}" for name, count in facts["left_to_reference_kernels"].items())
        lines.append(
            f"XNNPACK takes {facts['delegated_nodes']} of {facts['nodes']} nodes{f'; left: {left}' if left else ''}"
        )
        lines += [
            f"the oldest runtime (tflite-runtime 2.14) objects: {fault}" for fault in facts["oldest_runtime_faults"]
        ]
    return lines


def _build_bundle(plan: Plan, models: dict[str, Model], folder: Path, steps: Steps) -> dict[str, Any]:
    scratch = folder.parent / "artifacts"
    scratch.mkdir()
    if plan.recipe.role == "embedder":
        halves = _embedder_bundle(plan, models, scratch, steps)
    else:
        halves = _detector_bundle(plan, models, scratch, steps)
    with steps.step("bundle, loaded as a device loads it"):
        report = report_of(plan, models, halves.built, steps)
        bundle = _write(plan, halves, report, folder)
        load_models(Settings(bundle=bundle.folder))
    return report


def _embedder_bundle(plan: Plan, models: dict[str, Model], scratch: Path, steps: Steps) -> Halves:
    if set(models) != {"model"}:
        raise UsageError(f"an embedder of {len(models)} networks", expected="one, named model")
    with steps.step(f"detector {plan.detector or 'of the package'}"):
        detector = find_detector(plan.detector, scratch, beside=plan.folder)
    (built,) = _targets(plan, models["model"], scratch, steps, (EMBEDDERS[plan.embedder],))
    return Halves(detector, _embedder_half(plan, models["model"], built), [built])


def _embedder_half(plan: Plan, model: Model, built: Built) -> EmbedderHalf:
    use = plan.recipe.embedder
    if use is None:
        raise UsageError("no section embedder in the recipe", where=plan.name)
    path = built.files[0]
    tflite = path.suffix == ".tflite"
    name = "embedder.tflite" if tflite else "embedder.onnx"
    inside, outside, length = quantisation_of(path, model.network)
    spec = Embedder(
        artifact=name,
        runtime="tflite" if tflite else "opencv",
        embedder_id=f"{use.embedder_id}-{plan.embedder}",
        alignment_template=use.alignment_template,
        embedding_length=length,
        colour_order=use.colour_order,
        normalisation=built.normalisation,
        input=inside,
        output=outside,
        output_name="" if tflite else model.network.output_name,
        add_mirrored=use.add_mirrored,
    )
    artifact = Artifact(path.read_bytes(), "embedder", plan.recipe.provenance, plan.recipe.licence)
    points = plan.recipe.operating_points
    # Thresholds belong to the integers that they were measured with.
    how = f"{built.target}-faithful" if "quantised" in built.facts else built.target
    known = points.get(how) or (points.get("float32") if built.target in _FLOATS else None)
    return EmbedderHalf(spec, {name: artifact}, known or {UNMEASURED: _NO_POINT})


def _detector_bundle(plan: Plan, models: dict[str, Model], scratch: Path, steps: Steps) -> Halves:
    use = plan.recipe.detector
    if use is None:
        raise UsageError("no section detector in the recipe", where=plan.name)
    base = load_bundle(plan.base or default_bundle_folder())
    template = template_named(base.manifest.embedder.alignment_template)
    if use.kind == "ssd" and template.points is not None:
        problem = f"{plan.name} gives no landmarks, and {base.manifest.embedder.embedder_id} is aligned by them"
        hint = "Or --target onnx for the detector alone."
        raise UsageError(problem, expected="--base BUNDLE with an embedder aligned by the box", hint=hint)
    if use.kind == "mtcnn":
        # The second and third network are run on all candidates of a frame at once.
        plan = dataclasses.replace(plan, batch=None)
    built = [one for model in models.values() for one in _targets(plan, model, scratch, steps, ("onnx",))]
    files = {one.part: one.files[0] for one in built}
    network = next(iter(models.values())).network
    half = detector_half(sized(use, network), files, plan.recipe.provenance, plan.recipe.licence)
    return Halves(half, embedder_of_bundle(base), built)


def _write(plan: Plan, halves: Halves, report: dict[str, Any], folder: Path) -> Bundle:
    inaccurate = "".join(f" Inaccurate: {why}." for one in halves.built if (why := one.as_dict()["inaccurate"]))
    about = {
        "schema": SCHEMA_VERSION,
        "bundle_id": f"{plan.name}-{plan.embedder if plan.recipe.role == 'embedder' else 'detector'}"[:64],
        "description": f"{plan.recipe.title}. Licence of the weights: {plan.recipe.licence}.{inaccurate}",
        "detector": halves.detector.spec,
        "embedder": halves.embedder.spec,
        "operating_points": dict(halves.embedder.operating_points),
        "tools": tool_versions(),
        "recipe": _recipe(plan, report),
        "measured": {
            "fidelity": [
                {"artifact": one.target, "part": one.part, **output.as_dict()}
                for one in halves.built
                for output in one.fidelity
            ],
            **halves.embedder.measured,
        },
    }
    data = Artifact(write_report(report, folder).read_bytes(), "document")
    return write_bundle(folder, {**halves.detector.artifacts, **halves.embedder.artifacts, REPORT_NAME: data}, about)


def _recipe(plan: Plan, report: dict[str, Any]) -> dict[str, Any]:
    return {
        "command": "ostiary-convert build",
        "name": plan.name,
        "sources": report["source"]["files"],
        "embedder": plan.embedder if plan.recipe.role == "embedder" else "of another bundle",
        "detector": plan.detector or "of the package",
        "calibration": report["calibration"],
        "seed": plan.wish.seed,
        "use": dataclasses.asdict(plan.recipe.embedder) if plan.recipe.embedder else {},
    }
