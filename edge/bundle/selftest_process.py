"""The self-test's own process: loads a bundle as the daemon does, runs it on a drawn face, and says what came out.

A file that is wrong in the right way can crash OpenCV or the TFLite runtime, or keep it busy for ever: that must not happen to the
daemon. What to do comes as JSON on standard input, the result goes as JSON to standard output; `edge.bundle.selftest` judges it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge.bundle.drawn_face import scene
from edge.config.settings import Decide, Detect, Runtime, Settings
from edge.datatypes import ReadFace
from edge.errors import OstiaryError
from edge.pipeline import thresholds_of
from edge.reader import Models, PictureReader, load_models
from edge.validation import build

ROUNDS = 7
SMALLER = 0.5


def main() -> int:
    """One order, one answer; exit 0 when there is an answer."""
    # No core dump to fill the card with. The sandbox of ostiary.service refuses the call, and has the limit already.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer = _answer(json.load(sys.stdin))
    # What libraries print goes elsewhere: this is the last line.
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    sys.stdout.flush()
    # Some runtimes crash in their destructors, when all is done.
    os._exit(0)


def _answer(order: Mapping[str, Any]) -> dict[str, Any]:
    try:
        settings = _settings(order)
        models = load_models(settings)
        thresholds_of(models.bundle, settings.decide.operating_point)
        return measured(models)
    except OstiaryError as error:
        return {
            "error": {"problem": error.problem, "where": error.where, "expected": error.expected, "hint": error.hint}
        }


def _settings(order: Mapping[str, Any]) -> Settings:
    sections: dict[str, Any] = {}
    for name, kind in (("detect", Detect), ("decide", Decide), ("runtime", Runtime)):
        sections[name], faults = build(kind, order[name])
        if faults:
            raise OstiaryError(f"the self-test was ordered wrongly: {faults[0]}")
    return Settings(bundle=Path(order["folder"]), **sections)


def measured(models: Models) -> dict[str, Any]:
    """What the judge needs: faces found, similarities, and the median time of a frame."""
    reader = PictureReader(models)
    picture, box = scene()
    found = reader.faces(picture)
    smaller = reader.faces(scene(SMALLER, mirrored=True)[0])
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        reader.faces(picture)
        times.append((time.perf_counter() - start) * 1e3)
    made: dict[str, Any] = {"faces": len(found), "faces_smaller": len(smaller), "frame_ms": float(np.median(times))}
    if found and smaller:
        made["overlap"] = found[0].detection.box.iou(box)
        made["similarity"] = found[0].embedding.similarity(smaller[0].embedding)
        made["noise_similarity"] = _noise_similarity(models, found[0])
    return made


def _noise_similarity(models: Models, face: ReadFace) -> float:
    noise = np.random.default_rng(0).integers(0, 256, face.aligned.image.shape, dtype=np.uint8)
    other = models.embedder.embed([dataclasses.replace(face.aligned, image=noise)])[0]
    return face.embedding.similarity(other)


if __name__ == "__main__":
    sys.exit(main())
