"""What the emulated box runs, and this machine as well: embeddings and detections of given pictures, by a bundle.

    python measure.py BUNDLE GIVEN.npz TAKEN.npz [RUNTIME]

Started by its path in the box, where the package's own Python runs it: it knows `edge` and nothing of the tests.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.align import align, template_named
from edge.bundle import load_bundle
from edge.config.settings import Detect, Runtime
from edge.datatypes import AlignedFace
from edge.detect import make_detector
from edge.embed import make_embedder

NUMBERS = 15
"""Of one detection: box, confidence, landmarks."""


def measure(folder: Path, pictures: dict[str, Any], faces: Any, runtime: str = "auto") -> dict[str, Any]:
    """`pictures` BGR uint8, `faces` uint8 (n, height, width, 3) aligned as the bundle wants them.

    Returns `embeddings`, float32 (n, length), and a float32 (faces, 15) for each picture.
    """
    cv2.setNumThreads(1)
    bundle = load_bundle(folder)
    embedder = make_embedder(bundle, Runtime(tflite=runtime))
    given = [AlignedFace(face, embedder.template) for face in faces]
    taken = {"embeddings": np.stack([one.vector for one in embedder.embed(given)])}
    detector = make_detector(bundle, Detect()) if pictures else None
    for name, picture in pictures.items():
        found = sorted(detector.detect(picture), key=lambda one: -one.box.area)
        rows = [[*_corners(one.box), one.confidence, *one.landmarks.ravel()] for one in found]
        taken[name] = np.array(rows, np.float32).reshape(-1, NUMBERS)
    return taken


def aligned(folder: Path, pictures: list[Any]) -> Any:
    """The largest face of each picture, as the bundle's embedder wants it."""
    bundle = load_bundle(folder)
    detector = make_detector(bundle, Detect())
    template = template_named(bundle.manifest.embedder.alignment_template)
    faces = []
    for picture in pictures:
        largest = max(detector.detect(picture), key=lambda one: one.box.area)
        faces.append(align(picture, largest, template).image)
    return np.stack(faces)


def _corners(box: Any) -> tuple[float, float, float, float]:
    return box.x1, box.y1, box.x2, box.y2


def main(folder: str, given: str, taken: str, runtime: str = "auto") -> None:
    """Read, measure, write."""
    with np.load(given) as arrays:
        pictures = {name: arrays[name] for name in arrays.files if name != "faces"}
        np.savez(taken, **measure(Path(folder), pictures, arrays["faces"], runtime))


if __name__ == "__main__":
    main(*sys.argv[1:])
