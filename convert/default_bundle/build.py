"""Builds the bundle that the package carries, from what `ostiary-convert train` made. The same bytes every time.

The networks are taken as they were trained. Each step runs what a device runs: the detector finds the faces, `edge.align` warps
them, and `edge.embed` embeds with the very artifact that is shipped.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from convert.accuracy.comparisons import compare_all
from convert.accuracy.evaluate import check_pairs, verification
from convert.accuracy.faces import align_pictures, embed_faces
from convert.accuracy.operating_points import operating_points
from convert.bundle import Artifact, replaced_folder, write_bundle
from convert.calibrate import pick_names
from convert.default_bundle.describe import about_bundle, artifact_sources
from convert.default_bundle.model_card import model_card
from convert.default_bundle.recipe import (
    CARD_FILE,
    DETECTOR_FILE,
    DETECTOR_SOURCE,
    EMBEDDER_FILE,
    EMBEDDER_FLOAT_SOURCE,
    EMBEDDER_SOURCE,
    Recipe,
    Sources,
)
from convert.importers.onnx import read_onnx
from convert.network import Network
from convert.passes.fold import centre_on_a_byte, fold_batch_norms, take_out_normalisation
from convert.pictures import person_of
from convert.targets.tflite import import_tensorflow, to_float
from edge.align import template_named
from edge.bundle import Bundle
from edge.bundle.manifest import OperatingPoint
from edge.config.settings import Detect, Runtime
from edge.datatypes import AlignedFace, Floats
from edge.detect import make_detector
from edge.embed import make_embedder
from edge.errors import ModelError, UsageError
from edge.quant import is_identity, pixel_table

Log = Callable[[str], None]
Embeddings = Mapping[str, Floats]
Faces = dict[str, AlignedFace]


@dataclass(frozen=True, slots=True)
class Job:
    """What every step needs."""

    sources: Sources
    recipe: Recipe
    network: Network


def build_default_bundle(sources: Sources, output: Path, recipe: Recipe, log: Log) -> Bundle:
    """Build, measure and write the bundle; `log` is told of each step. A step that fails leaves nothing behind."""
    cv2.setNumThreads(1)
    import_tensorflow()
    source = read_onnx(sources.model(EMBEDDER_FLOAT_SOURCE))
    sources.model(DETECTOR_SOURCE)
    data = sources.model(EMBEDDER_SOURCE).read_bytes()
    if sources.pairs is not None:
        check_pairs(sources.pairs, sources.images)
    network = centre_on_a_byte(take_out_normalisation(fold_batch_norms(source)))
    job = Job(sources, recipe, network)
    with tempfile.TemporaryDirectory() as scratch, replaced_folder(output) as folder:
        log("1/5 the float network beside which it is measured")
        reference = _draft(job, to_float(network), Path(scratch))
        bundle = _build(job, reference, data, folder, log)
    log(f"written to {output}")
    return dataclasses.replace(bundle, folder=output)


def _build(job: Job, reference: Bundle, data: bytes, folder: Path, log: Log) -> Bundle:
    recipe = job.recipe
    draft = _draft(job, data, folder)
    _refuse_arithmetic(draft)
    log(f"2/5 {recipe.compared_faces} training faces: uint8 beside float32")
    fidelity = _fidelity(reference, draft, _training_faces(job, reference))
    names = job.sources.measuring_names()
    log(f"3/5 faces in {len(names)} pictures of other people")
    faces = _aligned(job, draft, names)
    log(f"4/5 embeddings of {len(faces)} faces: float32 and uint8, with and without the mirrored face")
    variants = _embedded(reference, draft, faces)
    log("5/5 operating points, manifest, model card")
    measured = {**_measured(job.sources, names, variants), "fidelity": fidelity}
    chosen = variants[_variant("uint8", mirrored=recipe.add_mirrored)]
    points = _operating_points(job.sources, names, chosen)
    return _write(job, data, folder, points, measured)


def _draft(job: Job, data: bytes, folder: Path) -> Bundle:
    """A bundle with this network and no operating point worth the name, so that `edge` can run it."""
    points = {"none-yet": OperatingPoint(1.0, 0.0, 1.0, 0, 0, "nothing")}
    return _write(job, data, folder, points, {})


def _write(
    job: Job, data: bytes, folder: Path, points: Mapping[str, OperatingPoint], measured: Mapping[str, Any]
) -> Bundle:
    detector = job.sources.model(DETECTOR_SOURCE).read_bytes()
    (folder / EMBEDDER_FILE).write_bytes(data)
    about = about_bundle(job.sources, job.recipe, job.network, folder / EMBEDDER_FILE)
    about |= {"operating_points": dict(points), "measured": dict(measured)}
    card = model_card(about, sizes={DETECTOR_FILE: len(detector), EMBEDDER_FILE: len(data)}) if measured else ""
    made_from = artifact_sources(job.recipe)
    artifacts = {
        DETECTOR_FILE: Artifact(detector, "detector", *made_from[DETECTOR_FILE]),
        EMBEDDER_FILE: Artifact(data, "embedder", *made_from[EMBEDDER_FILE]),
        CARD_FILE: Artifact(card.encode(), "document"),
    }
    return write_bundle(folder, artifacts, about)


def _training_faces(job: Job, bundle: Bundle) -> list[AlignedFace]:
    sources, recipe = job.sources, job.recipe
    wanted = recipe.compared_faces
    # A few more: in some pictures no face is found.
    names = pick_names(sources.images.names, sources.people, wanted + wanted // 20, recipe.seed)
    found = _aligned(job, bundle, names)
    if len(found) < wanted:
        raise UsageError(f"faces in {len(found)} of {len(names)} training pictures", expected=f"at least {wanted}")
    return list(found.values())[:wanted]


def _aligned(job: Job, bundle: Bundle, names: list[str]) -> Faces:
    template = template_named(job.recipe.alignment_template)
    return align_pictures(job.sources.images, names, make_detector(bundle, Detect()), template)


def _refuse_arithmetic(bundle: Bundle) -> None:
    """The bytes of a picture must be the bytes of the network's input: anything else costs time on every face."""
    spec = bundle.manifest.embedder
    if not is_identity(pixel_table(spec.normalisation, spec.input)):
        raise ModelError(f"input quantisation {spec.input}", expected="one that takes pixels as they are")


def _embedded(reference: Bundle, draft: Bundle, faces: Faces) -> dict[str, dict[str, Floats]]:
    made = {}
    for precision, bundle in (("float32", reference), ("uint8", draft)):
        for mirrored in (False, True):
            spec = dataclasses.replace(bundle.manifest.embedder, add_mirrored=mirrored)
            variant = dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, embedder=spec))
            made[_variant(precision, mirrored=mirrored)] = embed_faces(faces, make_embedder(variant, Runtime()))
    return made


def _variant(precision: str, *, mirrored: bool) -> str:
    return f"{precision}_mirrored" if mirrored else precision


def _fidelity(reference: Bundle, draft: Bundle, training: list[AlignedFace]) -> dict[str, Any]:
    """Cosine between what the float and the integer network make of one face."""
    faces = {str(index): face for index, face in enumerate(training)}
    variants = _embedded(reference, draft, faces)
    cosines = np.array([variants["float32"][name] @ variants["uint8"][name] for name in faces])
    return {
        "data": f"{len(faces)} training faces",
        "cosine_mean": round(float(cosines.mean()), 5),
        "cosine_min": round(float(cosines.min()), 5),
    }


def _measured(sources: Sources, names: list[str], variants: Mapping[str, Embeddings]) -> dict[str, Any]:
    found = len(next(iter(variants.values())))
    measured: dict[str, Any] = {
        "pictures": {"data": _data(sources, names), "pictures": len(names), "failures_to_acquire": len(names) - found},
        "tar_all_pairs": {name: _tar(sources, names, made) for name, made in variants.items()},
    }
    if sources.pairs is not None:
        pairs = sources.pairs
        results = {name: verification(pairs, made).as_dict() for name, made in variants.items()}
        measured["verification"] = {"data": f"{sources.pairs_label} on {sources.images.label}", **results}
    return measured


def _tar(sources: Sources, names: list[str], embeddings: Embeddings) -> dict[str, float]:
    points = _operating_points(sources, names, embeddings)
    return {name: round(1.0 - point.fnmr, 4) for name, point in points.items()}


def _operating_points(sources: Sources, names: list[str], embeddings: Embeddings) -> dict[str, OperatingPoint]:
    people = {name: person_of(name) for name in names}
    return operating_points(compare_all(embeddings, people), _data(sources, names))


def _data(sources: Sources, names: list[str]) -> str:
    people = len({person_of(name) for name in names})
    return f"every pair of {len(names)} pictures of {people} people not used in training ({sources.images.label})"
