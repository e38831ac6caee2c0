"""`ostiary-convert build` where it succeeds: bundles that load, artifacts, reports."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from convert.network import Node
from convert.runners import open_runner
from edge.bundle import default_bundle_folder, load_bundle, sha256_of
from edge.config.settings import Settings
from edge.datatypes import Image
from edge.errors import EXIT_OK, EXIT_USAGE
from edge.pictures import read_picture
from edge.reader import PictureReader, load_models
from tests.convert import onnx_files
from tests.convert.cli.commands import AS_EMBEDDER, LENGTH, built_bundle, run
from tests.convert.networks import FLATTEN, RELU, conv, network
from tests.support.data import grace_hopper

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")
# TensorFlow 2.19 announces what its next version drops.
pytestmark = pytest.mark.filterwarnings("ignore")
CENTRED = {"kind": "fixed", "mean": 128.0, "std": 128.0}


def needs_tensorflow() -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed", exc_type=ImportError)


def embedding_of(bundle: Path, image: Image) -> Any:
    """As `ostiary identify` takes it."""
    (face,) = PictureReader(load_models(Settings(bundle=bundle))).faces(image)
    return face.embedding.vector


EMBEDDERS = {
    "opencv-float32": ("embedder.onnx", "float32"),
    "tflite-float32": ("embedder.tflite", "float32"),
    "tflite-uint8": ("embedder.tflite", "uint8"),
}


@pytest.mark.parametrize("embedder", EMBEDDERS)
def test_a_file_becomes_a_bundle(embedder: str, model: Path, faces: Path, opencv_bundle: Path, tmp_path: Path) -> None:
    artifact, dtype = EMBEDDERS[embedder]
    if artifact.endswith(".tflite"):
        needs_tensorflow()
    folder = built_bundle(tmp_path / "bundle", model, faces, embedder)
    bundle = load_bundle(folder)
    spec = bundle.manifest.embedder
    assert (spec.artifact, spec.input.dtype, spec.output.dtype) == (artifact, dtype, dtype)
    assert (spec.embedding_length, spec.embedder_id) == (LENGTH, f"face-net-{embedder}")
    assert (spec.normalisation.mean, spec.normalisation.std) == ((128.0 if dtype == "uint8" else 127.5), 128.0)
    assert list(bundle.manifest.operating_points) == ["unmeasured"]
    assert bundle.manifest.operating_points["unmeasured"].fnmr == 1.0
    assert bundle.manifest.recipe["calibration"]["pictures"] == faces.name
    assert bundle.manifest.recipe["sources"][model.name]["sha256"] == sha256_of(model)
    roles = {file.path: file.role for file in bundle.manifest.files}
    assert roles == {"report.json": "document", "detector.onnx": "detector", artifact: "embedder"}
    image = read_picture(grace_hopper())
    found, expected = embedding_of(folder, image), embedding_of(opencv_bundle, image)
    assert float(np.linalg.norm(found)) == pytest.approx(1, abs=1e-5)
    assert float(found @ expected) > (0.9999 if dtype == "float32" else 0.98)


def test_steps_go_to_standard_error_and_json_to_standard_output(
    model: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--embedder", "opencv-float32", "--calibration", faces, "--json", "-o", tmp_path / "bundle"]
    said = run(capsys, "build", model, *AS_EMBEDDER, *asked)
    assert said.code == EXIT_OK
    report = json.loads(said.out)
    assert report == json.loads((tmp_path / "bundle" / "report.json").read_text())
    assert [step["name"].split()[0] for step in report["steps"]] == ["read", "detector", "pictures", "model"]
    lines = said.err.splitlines()
    assert lines[0] == f" 1  read {model.name} ..."
    assert "    8 for proof" in lines
    assert lines[-1] == f"written to {tmp_path / 'bundle'}"
    (artifact,) = report["artifacts"]
    assert artifact["target"] == "onnx"
    assert artifact["sha256"] == sha256_of(tmp_path / "bundle" / "embedder.onnx")
    assert artifact["fidelity"][0]["difference_relative"] <= 1e-4


def test_every_target_and_what_was_left_out(
    model: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs_tensorflow()
    said = run(
        capsys, "build", model, "--target", "all", "--calibration", faces, "--count", "6", "-o", tmp_path / "all"
    )
    assert said.code == EXIT_OK, said.err
    assert said.out == ""
    report = json.loads((tmp_path / "all" / "report.json").read_text())
    made = {one["target"]: one["file"] for one in report["artifacts"]}
    assert set(made) == {
        "onnx", "opencv-pb", "saved-model", "tflite-float32", "tflite-float16", "tflite-dynamic", "tflite-int8", "tflite-uint8",
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "all").iterdir()} == {"report.json", *made.values()}
    assert report["left_out"] == {"model as tflite-uint8-legacy": "no --default-ranges"}
    assert "left out, model as tflite-uint8-legacy: no --default-ranges" in said.err
    assert report["calibration"]["count"] == 6
    sizes = {one["target"]: one["bytes"] for one in report["artifacts"]}
    assert sizes["tflite-uint8"] < 0.5 * sizes["tflite-float32"]


def test_what_only_one_target_can_take(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs_tensorflow()
    made = network(conv(4, 3), RELU)
    port = replace(made.inputs[0], shape=(1, 3, None, None))
    path = onnx_files.write(replace(made, inputs=(port,)), tmp_path / "open.onnx")
    said = run(capsys, "build", path, "--target", "all", "--calibration", faces, "-o", tmp_path / "all")
    assert said.code == EXIT_OK, said.err
    report = json.loads((tmp_path / "all" / "report.json").read_text())
    assert "onnx" in {one["target"] for one in report["artifacts"]}
    assert "of shape [1, 3, None, None]" in report["left_out"]["model as tflite-float32"]
    assert not (tmp_path / "all" / "open.float32.tflite").exists()


@pytest.mark.parametrize("batch", ["2", "dynamic"])
def test_another_batch(
    batch: str, model: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs_tensorflow()
    targets = ["--target", "onnx", "--target", "tflite-float32"]
    said = run(capsys, "build", model, *targets, "--batch", batch, "--calibration", faces, "-o", tmp_path / "two")
    assert said.code == EXIT_OK, said.err
    for path in ("face-net.onnx", "face-net.float32.tflite"):
        runner = open_runner(tmp_path / "two" / path)
        (port,) = runner.inputs
        assert port.shape == (2 if batch == "2" else None, 3, 112, 112)
        pictures = np.random.default_rng(0).normal(0, 1, (2, 3, 112, 112)).astype(np.float32)
        (result,) = runner.run({port.name: pictures}).values()
        assert result.shape == (2, LENGTH)
        assert np.abs(result[0] - result[1]).max() > 0.01


def recipe_of(model: Path, **changes: Any) -> dict[str, Any]:
    said: dict[str, Any] = {
        "title": "Small one", "role": "embedder", "source": "a test", "licence": "CC0-1.0",
        "files": [{"name": model.name, "sha256": sha256_of(model), "bytes": model.stat().st_size}],
        "parts": {"model": {"files": [model.name], "format": "onnx"}},
        "embedder": {
            "embedder_id": "small", "alignment_template": "arcface-112x112", "colour_order": "BGR", "normalisation": CENTRED,
        },
    }  # fmt: skip
    return said | changes


def test_a_recipe_of_ones_own(model: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump(recipe_of(model)))
    asked = [
        "--source",
        model.parent,
        "--embedder",
        "opencv-float32",
        "--calibration",
        faces,
        "-o",
        tmp_path / "bundle",
    ]
    said = run(capsys, "build", recipe, *asked)
    assert said.code == EXIT_OK, said.err
    manifest = load_bundle(tmp_path / "bundle").manifest
    assert manifest.bundle_id == "small-opencv-float32"
    assert manifest.embedder.colour_order == "BGR"
    assert {file.licence for file in manifest.files if file.role == "embedder"} == {"CC0-1.0"}
    assert {file.source for file in manifest.files if file.role == "embedder"} == {"Small one, a test"}
    said = run(capsys, "build", recipe, *asked, "--mean", "3", "--input", "image")
    assert said.code == EXIT_USAGE
    assert "--input, --mean with the recipe" in said.err


def test_another_files_digest(model: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump(recipe_of(model, files=[{"name": model.name, "sha256": "0" * 64}])))
    asked = ["--source", model.parent, "--target", "onnx", "--calibration", faces, "-o", tmp_path / "out"]
    said = run(capsys, "build", recipe, *asked)
    assert (said.code, "--any-digest" in said.err) == (4, True)
    assert not (tmp_path / "out").exists()
    assert run(capsys, "build", recipe, *asked, "--any-digest").code == EXIT_OK


def test_the_detector_of_another_bundle(model: Path, faces: Path, opencv_bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(opencv_bundle, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["detector"]["confidence"] = 0.55
    (other / "manifest.json").write_text(json.dumps(manifest))
    folder = built_bundle(tmp_path / "bundle", model, faces, "opencv-float32", "--detector", str(other))
    made = load_bundle(folder).manifest
    assert made.detector.confidence == 0.55
    assert made.recipe["detector"] == str(other)


PRIORS = 235
"""Of Ultra-Light for a picture of 64x64: 8x8 cells of three, 4x4 and 2x2 of two, one of three."""


def ssd(path: Path) -> Path:
    """A single-shot detector that leaves decoding its boxes to the device."""
    random = np.random.default_rng(0)

    def row(values: int) -> Any:
        return random.normal(0, 0.5, (48, values * PRIORS)).astype(np.float32)

    made = network(("MaxPool", [None], {"kernel_shape": [16, 16], "strides": [16, 16]}), FLATTEN, size=64)
    ends = {"scores": 2, "boxes": 4}
    constants = {f"w_{name}": row(values) for name, values in ends.items()}
    constants |= {f"s_{name}": np.array([1, PRIORS, values]) for name, values in ends.items()}
    nodes = [Node("MatMul", f"dense_{name}", ("t1", f"w_{name}"), (f"r_{name}",)) for name in ends]
    nodes += [Node("Reshape", f"cells_{name}", (f"r_{name}", f"s_{name}"), (f"c_{name}",)) for name in ends]
    nodes += [
        Node("Softmax", "classes", ("c_scores",), ("scores",), {"axis": 2}),
        Node("Identity", "raw", ("c_boxes",), ("boxes",)),
    ]
    both = replace(made, nodes=(*made.nodes, *nodes), outputs=tuple(ends), constants=constants)
    return onnx_files.write(both, path)


def ssd_recipe(model: Path) -> dict[str, Any]:
    part = {"files": [model.name], "format": "onnx"}
    form = {"offsets": "boxes", "scores": "scores", "priors": "ultralight"}
    detector = {"kind": "ssd", "colour_order": "RGB", "normalisation": CENTRED, "ssd": form}
    made = recipe_of(model, role="detector", parts={"model": part}, detector=detector)
    del made["embedder"]
    return made


def test_a_detector_without_landmarks_needs_another_base(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, recipe = ssd(tmp_path / "ssd.onnx"), tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump(ssd_recipe(model)))
    asked = ["--source", tmp_path, "--calibration", faces, "-o", tmp_path / "bundle"]
    said = run(capsys, "build", recipe, *asked)
    assert said.code == EXIT_USAGE
    assert "--base BUNDLE" in said.err
    assert not (tmp_path / "bundle").exists()


def test_post_processing_appended(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs_tensorflow()
    model, recipe = ssd(tmp_path / "ssd.onnx"), tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump(ssd_recipe(model)))
    target = ["--target", "tflite-float32", "--post-process", "--calibration", faces]
    said = run(capsys, "build", recipe, "--source", tmp_path, *target, "-o", tmp_path / "out")
    assert said.code == EXIT_OK, said.err
    inside = run(capsys, "inspect", tmp_path / "out" / "small.float32.tflite", "--json")
    runner = open_runner(tmp_path / "out" / "small.float32.tflite")
    assert len(runner.outputs) == 4, inside.out
    (port,) = runner.inputs
    boxes, classes, scores, count = runner.run({port.name: np.zeros((1, 3, 64, 64), np.float32)}).values()
    assert boxes.shape[::2] == (1, 4)
    assert classes.shape == scores.shape == boxes.shape[:2]
    assert count.shape == (1,)


def test_a_detectors_bundle_keeps_the_embedder_of_its_base(
    model: Path, faces: Path, opencv_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detector = tmp_path / "detector.onnx"
    shutil.copy(default_bundle_folder() / "detector.onnx", detector)
    part = {"files": [detector.name], "format": "onnx"}
    made = recipe_of(detector, role="detector", parts={"model": part}, detector={"kind": "yunet", "smallest_px": 20})
    del made["embedder"]
    recipe = tmp_path / "finder.yaml"
    recipe.write_text(yaml.safe_dump(made))
    said = run(
        capsys,
        "build",
        recipe,
        "--source",
        tmp_path,
        "--base",
        opencv_bundle,
        "--calibration",
        faces,
        "-o",
        tmp_path / "b",
    )
    assert said.code == EXIT_OK, said.err
    found, base = load_bundle(tmp_path / "b").manifest, load_bundle(opencv_bundle).manifest
    assert found.embedder == base.embedder
    assert found.detector.smallest_px == 20
    assert found.bundle_id == "finder-detector"


def test_an_older_bundle_is_replaced_whole(
    model: Path, faces: Path, opencv_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(opencv_bundle, folder)
    (folder / "stale.txt").write_text("of the older one")
    said = run(capsys, "build", model, "--target", "onnx", "--calibration", faces, "-o", folder)
    assert said.code == EXIT_OK, said.err
    assert {path.name for path in folder.iterdir()} == {"face-net.onnx", "report.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
