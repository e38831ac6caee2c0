"""Embeddings and detections of the emulated box beside those of this machine, on the same pixels."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from convert.default_bundle.recipe import FLOAT_EMBEDDER
from edge.bundle import default_bundle_folder
from tests.arm import measure
from tests.arm.box import LIBRARY, PYTHON, Box
from tests.support.bundles import make_bundle
from tests.support.data import ROOT

PLAIN: dict[str, Any] = {"dtype": "float32"}
PACKAGES = LIBRARY / "lib/python3.11/site-packages"
CONVERTER = ROOT / ".venv-convert/bin/python"
OLDEST = ROOT / ".venv-oldest/bin/python"


@dataclass(frozen=True, slots=True)
class Sample:
    """What both machines are given."""

    pictures: dict[str, Any]
    faces: Any

    def write(self, path: Path) -> None:
        np.savez(path, faces=self.faces, **self.pictures)


@pytest.fixture(scope="session")
def sample(busts: dict[str, Path]) -> Sample:
    """Two people: as they are, mirrored, and darker; aligned on this machine."""
    pictures = {}
    for name, path in busts.items():
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert picture is not None
        pictures |= {
            name: picture,
            f"{name}, mirrored": np.ascontiguousarray(picture[:, ::-1]),
            f"{name}, darker": picture // 2,
        }
    return Sample(pictures, measure.aligned(default_bundle_folder(), list(pictures.values())))


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The default bundle, and the weights that its embedder was quantised from, in float32, for OpenCV and (where the converter's
    environment is there) for TFLite."""
    folder = tmp_path_factory.mktemp("bundles")
    made = {
        "uint8": default_bundle_folder(),
        "float32, OpenCV": _float_bundle(folder / "opencv", FLOAT_EMBEDDER, "opencv"),
    }
    if CONVERTER.exists():
        network = folder / "float32.tflite"
        subprocess.run(
            [CONVERTER, "-m", "tests.arm.float_embedder", network], check=True, cwd=ROOT, capture_output=True
        )
        made["float32, TFLite"] = _float_bundle(folder / "tflite", network, "tflite")
    return made


def _float_bundle(folder: Path, embedder: Path, runtime: str) -> Path:
    manifest = json.loads((default_bundle_folder() / "manifest.json").read_text(encoding="utf-8"))
    section = {**manifest["embedder"], "runtime": runtime, "input": PLAIN, "output": PLAIN}
    del section["artifact"]
    changes = {"embedder": section}
    return make_bundle(
        folder, detector_file=default_bundle_folder() / "detector.onnx", embedder_file=embedder, overrides=changes
    )


def in_box(box: Box, bundle: Path, sample: Sample, runtime: str) -> dict[str, Any]:
    """What the box makes of it, with the package's own Python, or with the wheels of the oldest lock."""
    place = box.root / "srv/measure"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(bundle, place / "bundle")
    sample.write(place / "given.npz")
    script = box.put(Path(measure.__file__), "/srv/measure/measure.py")
    python = [PYTHON]
    if runtime == "tflite-runtime" and not (box.root / PACKAGES / "tflite_runtime").is_dir():
        (place / "code").mkdir()
        (place / "code/edge").symlink_to(f"/{PACKAGES}/edge")
        python = ["env", "PYTHONPATH=/opt/oldest:/srv/measure/code", "python3"]
    box.run(*python, script, "/srv/measure/bundle", "/srv/measure/given.npz", "/srv/measure/taken.npz", runtime)
    with np.load(place / "taken.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def skip_unless_there(box: Box, runtime: str) -> None:
    """The package brings one runtime; for arm64 scripts/arm64-root has the other."""
    module = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}.get(runtime, "cv2")
    places = [PACKAGES, Path("usr/lib/python3/dist-packages")]
    if runtime == "tflite-runtime":
        places.append(Path("opt/oldest"))
    if not any(list((box.root / place).glob(f"{module}*")) for place in places):
        pytest.skip(f"no {runtime} in this ARM system")


def on_this_machine(bundle: Path, faces: Any, runtime: str, folder: Path) -> Any:
    """Embeddings by the same runtime as in the box: two runtimes do not round alike, on any machine."""
    if runtime != "tflite-runtime":
        return measure.measure(bundle, {}, faces)["embeddings"]
    if not OLDEST.exists():
        pytest.skip("no .venv-oldest, which has tflite-runtime for x86-64 (./scripts/test makes it)")
    Sample({}, faces).write(folder / "given.npz")
    command = [OLDEST, measure.__file__, bundle, folder / "given.npz", folder / "taken.npz", runtime]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, env={"PYTHONPATH": str(ROOT)})
    return np.load(folder / "taken.npz")["embeddings"]


@dataclass(frozen=True, slots=True)
class Case:
    """An embedder in a runtime, and how alike its embeddings have to be."""

    form: str
    runtime: str
    least: float

    def __str__(self) -> str:
        return f"{self.form}, {self.runtime}"


CASES = (
    Case("uint8", "ai-edge-litert", 0.999),
    # Its kernels for ARM do not round as its others do. No release for arm64 has it; scripts/arm64-root does.
    Case("uint8", "tflite-runtime", 0.998),
    Case("float32, TFLite", "ai-edge-litert", 0.9999),
    Case("float32, TFLite", "tflite-runtime", 0.9999),
    Case("float32, OpenCV", "auto", 0.9999),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_embeddings(  # noqa: PLR0917 - fixtures
    installed: Box,
    bundles: Mapping[str, Path],
    sample: Sample,
    case: Case,
    tmp_path: Path,
    measured: Callable[[str], None],
) -> None:
    if case.form not in bundles:
        pytest.skip("no .venv-convert, whose TensorFlow writes TFLite files (./scripts/test makes it)")
    skip_unless_there(installed, case.runtime)
    # A float network takes an emulated box seconds a face.
    faces = sample.faces if case.form == "uint8" else sample.faces[::3]
    here = on_this_machine(bundles[case.form], faces, case.runtime, tmp_path)
    there = in_box(installed, bundles[case.form], Sample({}, faces), case.runtime)["embeddings"]
    cosines = (here * there).sum(axis=1)
    measured(f"embeddings, {case}: cosine {cosines.min():.7f} or more with x86-64, {len(cosines)} faces")
    assert there.shape == here.shape
    assert cosines.min() >= case.least
    # Faces of two people: numbers that are alike whatever one looks at would be no proof.
    assert here[0] @ here[-1] < 0.5


def test_detections(installed: Box, sample: Sample, measured: Callable[[str], None]) -> None:
    pictures = {name: picture for name, picture in sample.pictures.items() if "," not in name}
    asked = Sample(pictures, sample.faces[:1])
    here = measure.measure(default_bundle_folder(), pictures, asked.faces)
    there = in_box(installed, default_bundle_folder(), asked, "auto")
    overlaps, distances = [], []
    for name in pictures:
        assert here[name].shape == there[name].shape, name
        assert len(here[name]) > 0
        overlaps += [_iou(*pair) for pair in zip(here[name], there[name], strict=True)]
        distances.append(np.abs(here[name][:, 5:] - there[name][:, 5:]).max())
    measured(
        f"detections: IoU {min(overlaps):.6f} or more with x86-64, landmarks {max(distances):.4f} px apart at most, "
        f"{len(overlaps)} faces"
    )
    assert min(overlaps) > 0.99
    assert max(distances) < 0.5


def _iou(left: Any, right: Any) -> float:
    upper, lower = np.maximum(left[:2], right[:2]), np.minimum(left[2:4], right[2:4])
    shared = float(np.prod(np.clip(lower - upper, 0, None)))
    areas = [float(np.prod(box[2:4] - box[:2])) for box in (left, right)]
    return shared / (sum(areas) - shared)
