"""Everything that the page shows, as plain data: what the build found, and what is measured now."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from convert.accuracy.evaluate import Evaluation
from convert.accuracy.operating_points import FALSE_MATCH_RATES
from convert.build.report import read_report
from convert.build.sample import portrait
from edge.align import align, template_named
from edge.bundle import MANIFEST_NAME, load_bundle
from edge.config.settings import Settings
from edge.datatypes import Image
from edge.errors import ModelError
from edge.reader import Models, load_models

_RUNS = 40
_WARM_UP = 5


def gather(folder: Path) -> dict[str, Any]:
    """The report in `folder`, with latencies measured here and now."""
    report = read_report(folder)
    report["folder"] = folder.absolute().name
    if (folder / MANIFEST_NAME).exists():
        report["bundle"] = _bundle(folder)
        report["latency_ms"] = stage_latency(load_models(Settings(bundle=folder)), [portrait()])
    return report


def evaluation_figures(evaluation: Evaluation, data: str) -> dict[str, Any]:
    """What the page shows of an evaluation on `data`."""
    return {"data": data, **evaluation.verification.as_dict(), **histograms(evaluation)}


def _bundle(folder: Path) -> dict[str, Any]:
    manifest = load_bundle(folder).manifest
    points = {
        name: {"similarity": point.threshold, **dataclasses.asdict(point)}
        for name, point in manifest.operating_points.items()
    }
    return {
        "bundle_id": manifest.bundle_id,
        "description": manifest.description,
        "embedder_id": manifest.embedder.embedder_id,
        "alignment_template": manifest.embedder.alignment_template,
        "detector": manifest.detector.kind,
        "operating_points": points,
        "files": [
            {"path": file.path, "role": file.role, "bytes": file.bytes, "sha256": file.sha256, "licence": file.licence}
            for file in manifest.files
        ],
    }


def stage_latency(models: Models, pictures: Sequence[Image]) -> dict[str, dict[str, float]]:
    """Stage -> p50 and p95 in ms on one thread, on pictures with a face each. ModelError where none is found."""
    cv2.setNumThreads(1)
    template = template_named(models.embedder.template)
    found = [(image, models.detector.detect(image)) for image in pictures]
    seen = [(image, faces[0]) for image, faces in found if faces]
    if not seen:
        raise ModelError("the detector finds no face in the picture that latency is measured on", expected="one face")
    image, detection = seen[0]
    face = align(image, detection, template)
    stages: dict[str, Callable[[], object]] = {
        "detect": lambda: models.detector.detect(image),
        "align": lambda: align(image, detection, template),
        "embed": lambda: models.embedder.embed([face]),
    }
    return {name: _timed(stage) for name, stage in stages.items()}


def _timed(stage: Callable[[], object]) -> dict[str, float]:
    taken = []
    for run in range(_WARM_UP + _RUNS):
        started = time.perf_counter()
        stage()
        if run >= _WARM_UP:
            taken.append((time.perf_counter() - started) * 1000)
    return {"p50": round(float(np.median(taken)), 3), "p95": round(float(np.percentile(taken, 95)), 3)}


def histograms(evaluation: Evaluation) -> dict[str, Any]:
    """Counts of similarities by bins of 0.02, and the ROC at the usual false match rates."""
    scores = evaluation.scores
    edges = np.linspace(-1, 1, 101)
    impostor = np.sort(scores.similarities[~scores.same])
    genuine = scores.similarities[scores.same]
    roc = {}
    for name, rate in FALSE_MATCH_RATES.items():
        allowed = int(rate * len(impostor))
        if allowed:
            threshold = float(impostor[-allowed])
            roc[name] = {"threshold": round(threshold, 4), "tar": round(float(np.mean(genuine >= threshold)), 4)}
    return {
        "histogram": {
            "edges": [round(float(edge), 2) for edge in edges],
            "genuine": np.histogram(genuine, edges)[0].tolist(),
            "impostor": np.histogram(impostor, edges)[0].tolist(),
        },
        "roc": roc,
    }
