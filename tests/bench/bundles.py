"""Makes the two bundles that docs/results.md compares on walkers.mp4, from models that are not part of the project.

    python -m tests.bench.bundles MOBILEFACENET.onnx FOLDER

writes FOLDER/plain (YuNet n, and MobileFaceNet in float32 through cv2.dnn: what a plain loop would use) and FOLDER/small
(YuNet n, and the default bundle's uint8 embedder). Operating points are measured on every pair of the LFW people who
were used for no training, through `edge`, as those of the default bundle are. The ONNX file comes from
`teacher_to_onnx.py` in the test data's `default-model` folder.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from convert.accuracy.comparisons import compare_all
from convert.accuracy.faces import align_pictures, embed_faces
from convert.accuracy.operating_points import operating_points
from convert.accuracy.pairs import read_people
from convert.pictures import open_pictures, person_of
from edge.align import template_named
from edge.bundle import MANIFEST_NAME, default_bundle_folder, load_bundle
from edge.config.settings import Detect, Runtime
from edge.detect import make_detector
from edge.embed import make_embedder
from tests.support.bundles import make_bundle
from tests.support.data import TEST_DATA

LFW = TEST_DATA / "data" / "lfw"
YUNET_N = TEST_DATA / "models" / "yunet" / "yunet_n_320_320.onnx"


def main(mobilefacenet: Path, folder: Path) -> None:
    """Both bundles."""
    own = load_bundle(default_bundle_folder())
    float_spec = {"runtime": "opencv", "embedder_id": "mobilefacenet-y1"}
    write(folder / "plain", mobilefacenet, {"embedder": float_spec})
    spec = dataclasses.asdict(own.manifest.embedder)
    del spec["artifact"]
    write(folder / "small", own.path(own.manifest.embedder.artifact), {"embedder": spec})


def write(folder: Path, embedder: Path, overrides: dict[str, Any]) -> None:
    """One bundle, measured."""
    make_bundle(
        folder, detector_file=YUNET_N, embedder_file=embedder, overrides={"bundle_id": folder.name, **overrides}
    )
    points = {name: dataclasses.asdict(point) for name, point in measured(folder).items()}
    manifest = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    manifest["operating_points"] = points
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    print(folder, {name: point["threshold"] for name, point in points.items()})


def measured(folder: Path) -> dict[str, Any]:
    """Operating points of a bundle on the people of LFW who are in no training list."""
    bundle = load_bundle(folder)
    store = open_pictures(LFW / "lfw-deepfunneled.tar")
    trained = read_people(LFW / "identities-train.txt")
    names = [name for name in store.names if person_of(name) not in trained]
    template = template_named(bundle.manifest.embedder.alignment_template)
    faces = align_pictures(store, names, make_detector(bundle, Detect()), template)
    embeddings = embed_faces(faces, make_embedder(bundle, Runtime()))
    comparisons = compare_all(embeddings, {name: person_of(name) for name in embeddings})
    return operating_points(comparisons, "LFW, every pair of the people used for no training")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
