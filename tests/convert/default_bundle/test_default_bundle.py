"""The bundle that the package carries: whole, honest about itself, and able to tell two people apart."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.accuracy.operating_points import FALSE_MATCH_RATES
from convert.cli import main
from convert.default_bundle.recipe import (
    DETECTOR_SOURCE,
    EMBEDDER_FLOAT_SOURCE,
    EMBEDDER_SOURCE,
    FLOAT_EMBEDDER,
    Sources,
)
from convert.pictures import PictureFolder
from edge.bundle import default_bundle_folder, load_bundle, sha256_of
from edge.config import Settings
from edge.config.settings import Decide, Runtime
from edge.datatypes import Embedding, Image
from edge.errors import EXIT_OK, UsageError
from edge.interpreter import TfliteModel, installed_runtimes
from edge.quant import is_identity, pixel_table
from edge.reader import PictureReader, load_models
from tests.support.data import test_data

MAX_BYTES = 2_000_000


def rotated(image: Image, degrees: float) -> Image:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def read_one(image: Image, runtime: str = "auto") -> Embedding:
    models = load_models(Settings(runtime=Runtime(tflite=runtime)))
    faces = PictureReader(models).faces(image)
    return max(faces, key=lambda face: face.detection.confidence).embedding


def test_every_file_is_listed_and_it_is_small() -> None:
    folder = default_bundle_folder()
    bundle = load_bundle()
    there = {path.name for path in folder.iterdir()}
    assert there == {file.path for file in bundle.manifest.files} | {"manifest.json"}
    assert sum(path.stat().st_size for path in folder.iterdir()) < MAX_BYTES
    assert {file.role for file in bundle.manifest.files} == {"detector", "embedder", "document"}


def test_the_manifest_tells_what_it_was_measured_at() -> None:
    manifest = load_bundle().manifest
    assert list(manifest.operating_points) == list(FALSE_MATCH_RATES)
    for name, point in manifest.operating_points.items():
        assert 0.5 * FALSE_MATCH_RATES[name] < point.fmr <= FALSE_MATCH_RATES[name]
        assert point.impostor_pairs > 3_000_000
    thresholds = [point.threshold for point in manifest.operating_points.values()]
    assert thresholds == sorted(thresholds)
    assert manifest.measured["verification"]["uint8_mirrored"]["accuracy_mean"] > 0.95
    assert manifest.measured["fidelity"]["cosine_mean"] > 0.99
    assert manifest.recipe["training"].keys() == {"detector", "embedder"}


def test_the_card_tells_the_same_figures() -> None:
    bundle = load_bundle()
    card = bundle.path("README.md").read_text(encoding="utf-8")
    for name, point in bundle.manifest.operating_points.items():
        assert f"| `{name}` | {point.threshold:.4f} |" in card
    assert "must not be used" in card
    assert "non-commercial" in card


def test_pixels_are_the_networks_input_as_they_are() -> None:
    spec = load_bundle().manifest.embedder
    assert is_identity(pixel_table(spec.normalisation, spec.input))
    assert spec.output.dtype == "uint8"


@pytest.mark.parametrize("runtime", ["ai-edge-litert", "tflite-runtime"])
def test_both_runtimes_load_it(runtime: str) -> None:
    if runtime not in installed_runtimes():
        pytest.skip(f"{runtime} is not installed")
    bundle = load_bundle()
    model = TfliteModel(bundle.path(bundle.manifest.embedder.artifact), runtime=runtime)
    assert model.run(np.zeros((1, 112, 112, 3), np.uint8)).shape == (1, 128)


def test_it_knows_a_person_again_and_tells_two_apart(hopper: Image, collins: Image) -> None:
    threshold = load_bundle().operating_point(Decide().operating_point).threshold
    probe = read_one(hopper)
    assert probe.similarity(read_one(rotated(hopper, 8))) > threshold
    assert probe.similarity(read_one(cv2.convertScaleAbs(hopper, alpha=0.7))) > threshold  # type: ignore[arg-type]
    assert probe.similarity(read_one(collins)) < load_bundle().operating_point("fmr-1e-3").threshold < threshold


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """What the carried bundle was made from: its own networks, their records from its manifest, and the float embedder."""
    carried, folder = load_bundle(), tmp_path / "sources"
    folder.mkdir()
    shutil.copy(carried.path("detector.onnx"), folder)
    shutil.copy(carried.path("embedder.tflite"), folder)
    shutil.copy(FLOAT_EMBEDDER, folder)
    for name, record in carried.manifest.recipe["training"].items():
        (folder / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_the_float_embedder_kept_is_the_one_it_was_made_from() -> None:
    assert sha256_of(FLOAT_EMBEDDER) == load_bundle().manifest.recipe["sources_sha256"]["embedder.onnx"]


@pytest.mark.parametrize(
    "name", ["detector.onnx", "embedder.tflite", "embedder.onnx", "detector.json", "embedder.json"]
)
def test_a_missing_source_is_named(sources: Path, name: str) -> None:
    (sources / name).unlink()
    with pytest.raises(UsageError, match=name):
        _models_and_records(sources)


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_a_record_that_is_no_json_object_is_refused(sources: Path, text: str) -> None:
    (sources / "embedder.json").write_text(text)
    with pytest.raises(UsageError, match="no JSON"):
        _models_and_records(sources)


def _models_and_records(folder: Path) -> None:
    given = Sources(folder, PictureFolder(folder), frozenset())
    for name in (DETECTOR_SOURCE, EMBEDDER_SOURCE, EMBEDDER_FLOAT_SOURCE):
        given.model(name)
    given.training()


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None,
    reason="TensorFlow is not installed (pip install 'ostiary[convert]')",
)
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_command_makes_the_same_bundle_again(tmp_path: Path, sources: Path) -> None:
    lfw = test_data("data", "lfw")
    places = {
        "--source": sources,
        "--images": lfw / "lfw-deepfunneled.tar",
        "--identities": lfw / "identities-train.txt",
        "--pairs": lfw / "pairs-evaluate.txt",
        "-o": tmp_path / "made",
    }
    assert main(["default-bundle", *(str(word) for pair in places.items() for word in pair)]) == EXIT_OK
    made, carried = load_bundle(tmp_path / "made"), load_bundle()
    if made.manifest.tools == carried.manifest.tools:
        assert sha256_of(made.folder / "manifest.json") == sha256_of(carried.folder / "manifest.json")
    for name, point in carried.manifest.operating_points.items():
        assert abs(made.manifest.operating_points[name].threshold - point.threshold) < 0.01
