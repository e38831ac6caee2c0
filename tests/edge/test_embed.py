from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bundle import Bundle, load_bundle
from edge.bundle.manifest import Normalisation, Quantisation
from edge.config.settings import Runtime
from edge.datatypes import AlignedFace, Floats, Image
from edge.embed import FaceEmbedder, OpenCvNetwork, TfliteNetwork, make_embedder, prewhiten
from edge.errors import ModelError
from edge.interpreter import TfliteModel
from tests.support.bundles import make_bundle
from tests.support.tiny import MODELS, QUANTISATIONS, expected_embedding, spec_of, write_onnx

DTYPE = pytest.mark.parametrize("dtype", QUANTISATIONS)
NAN = float("nan")


def picture(seed: int, side: int = 112) -> Image:
    """Noise around a colour that differs from seed to seed."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(-20, 21, (side, side, 3))
    return np.clip(rng.integers(0, 256, 3) + noise, 0, 255).astype(np.uint8)


def aligned(image: Image) -> AlignedFace:
    return AlignedFace(image, "arcface-112x112")


def normalised(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def embedder_of(dtype: str, **changes: Any) -> FaceEmbedder:
    spec = spec_of(f"{dtype}.tflite", dtype, **changes)
    return FaceEmbedder(TfliteNetwork(TfliteModel(MODELS / spec.artifact), spec), spec)


class Recorder:
    """A network that keeps what it is given, and answers with the mean of each channel."""

    def __init__(self, answers: Sequence[Sequence[float]] = ()) -> None:
        self.answers = list(answers)
        self.given: list[Image] = []

    def run(self, pictures: list[Image]) -> Floats:
        self.given += pictures
        rows = [self.answers.pop(0) if self.answers else one.reshape(-1, 3).mean(0) for one in pictures]
        return np.array(rows, np.float32)


@DTYPE
@pytest.mark.parametrize("seed", range(4))
def test_an_embedding_is_what_the_network_says(dtype: str, seed: int) -> None:
    face = picture(seed)
    (made,) = embedder_of(dtype).embed([aligned(face)])
    assert made.embedder_id == "tiny-1"
    expected = expected_embedding(face, dtype)
    # One step of the output, for pooling rounds once more inside an integer network.
    step = QUANTISATIONS[dtype][1].scale / float(np.linalg.norm(expected))
    assert np.abs(made.vector - normalised(expected)).max() <= 2 * step + 1e-4


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_integers_agree_with_floats_within_a_step(dtype: str) -> None:
    faces = [aligned(picture(seed)) for seed in range(6)]
    spec, float_spec = spec_of(f"{dtype}.tflite", dtype), spec_of("float32.tflite")
    integer = TfliteNetwork(TfliteModel(MODELS / spec.artifact), spec).run([face.image for face in faces])
    exact = TfliteNetwork(TfliteModel(MODELS / float_spec.artifact), float_spec).run([face.image for face in faces])
    assert np.abs(integer - exact).max() <= 2 * spec.output.scale


@DTYPE
def test_a_batch_keeps_its_order(dtype: str) -> None:
    faces = [aligned(picture(seed)) for seed in range(5)]
    embedder = embedder_of(dtype)
    together = embedder.embed(faces)
    assert len(together) == 5
    for face, made in zip(faces, together, strict=True):
        assert np.array_equal(made.vector, embedder.embed([face])[0].vector)
    assert embedder.embed([]) == []


@pytest.mark.parametrize(("order", "expected"), [("RGB", (3, 2, 1)), ("BGR", (1, 2, 3))])
def test_the_colour_order_is_the_manifests(order: str, expected: tuple[int, int, int]) -> None:
    network = Recorder()
    FaceEmbedder(network, spec_of("x", colour_order=order)).embed(
        [aligned(np.full((112, 112, 3), (1, 2, 3), np.uint8))]
    )
    assert tuple(network.given[0][0, 0]) == expected


@DTYPE
def test_the_wrong_colour_order_gives_another_embedding(dtype: str) -> None:
    face = aligned(np.full((112, 112, 3), (250, 128, 10), np.uint8))
    (right,), (wrong,) = embedder_of(dtype).embed([face]), embedder_of(dtype, colour_order="BGR").embed([face])
    assert right.similarity(wrong) < 0.5


def test_the_mirrored_face_is_added() -> None:
    network = Recorder([(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 3.0), (0.0, 1.0, 0.0)])
    left = np.zeros((112, 112, 3), np.uint8)
    left[:, :56] = 200
    embedder = FaceEmbedder(network, spec_of("x", add_mirrored=True))
    first, second = embedder.embed([aligned(left), aligned(left[:, ::-1].copy())])
    # Straight ones first, in order, then the mirrored ones in the same order.
    assert np.abs(first.vector - normalised(np.float32([1, 0, 3]))).max() < 1e-6
    assert np.abs(second.vector - normalised(np.float32([0, 2, 0]))).max() < 1e-6
    assert np.array_equal(network.given[2], left[:, ::-1])
    assert np.array_equal(network.given[3], left)
    assert all(given.flags.c_contiguous for given in network.given)


@pytest.mark.parametrize("answer", [(0.0, 0.0, 0.0), (NAN, 1.0, 0.0), (float("inf"), 0.0, 0.0)])
def test_an_embedding_that_says_nothing_is_refused(answer: tuple[float, ...]) -> None:
    embedder = FaceEmbedder(Recorder([answer]), spec_of("e.tflite"))
    with pytest.raises(ModelError, match=r"e\.tflite: embedding of length .*; expected finite numbers, not all 0"):
        embedder.embed([aligned(picture(0))])


def test_a_face_of_another_template_is_refused() -> None:
    with pytest.raises(ValueError, match="face aligned onto facenet-160x160; expected arcface-112x112"):
        embedder_of("float32").embed([AlignedFace(picture(0, 160), "facenet-160x160")])


@pytest.mark.parametrize(
    ("name", "changes", "problem"),
    [
        (
            "float32",
            {"alignment_template": "sphereface-112x96"},
            "input shape (1, 112, 112, 3); expected (1, 112, 96, 3)",
        ),
        ("float32", {"embedding_length": 8}, "output shape (1, 4); expected (1, 8)"),
        ("float32", {"input": QUANTISATIONS["uint8"][0]}, "input quantisation Quantisation(dtype='float32'"),
        ("uint8", {}, "input quantisation Quantisation(dtype='uint8'"),
        ("int8", {"input": Quantisation("int8", 0.0078, -1)}, "input quantisation Quantisation(dtype='int8'"),
        ("int8", {"input": Quantisation("int8", 0.007843137718737125, 0)}, "input quantisation"),
        ("int8", {"input": QUANTISATIONS["int8"][0], "output": Quantisation("float32")}, "output quantisation"),
        ("float32", {"output_name": "other"}, "outputs Identity; expected one named 'other'"),
        ("two-outputs", {}, "outputs Identity, Identity_1; expected one named ''"),
    ],
)
def test_an_artifact_that_is_not_the_manifests(name: str, changes: dict[str, Any], problem: str) -> None:
    path = MODELS / f"{name}.tflite"
    with pytest.raises(ModelError) as caught:
        TfliteNetwork(TfliteModel(path), spec_of(path.name, **changes))
    assert str(caught.value).startswith(f"{path}: {problem}")
    assert "manifest" in caught.value.hint.lower()


@pytest.mark.parametrize(("name", "sign"), [("Identity", 1), ("Identity_1", -1)])
def test_the_output_is_chosen_by_name(name: str, sign: int) -> None:
    spec = spec_of("two-outputs.tflite", output_name=name)
    face = picture(3)
    made = TfliteNetwork(TfliteModel(MODELS / spec.artifact), spec).run([face[..., ::-1]])
    assert np.abs(made[0] - sign * expected_embedding(face)).max() < 1e-4


def naive_prewhiten(image: Image) -> np.ndarray:
    """davidsandberg/facenet, facenet.py, prewhiten()."""
    deviation = max(np.std(image), 1.0 / np.sqrt(image.size))
    return np.multiply(np.subtract(image, np.mean(image)), 1 / deviation)


@given(st.integers(0, 1000), st.integers(0, 255), st.integers(0, 255))
def test_prewhitening(seed: int, low: int, width: int) -> None:
    high = min(255, low + width)
    image = np.random.default_rng(seed).integers(low, high + 1, (8, 8, 3), np.uint8)
    made = prewhiten(image)
    assert made.dtype == np.float32
    assert np.abs(made - naive_prewhiten(image)).max() < 1e-3


@pytest.mark.parametrize("dtype", QUANTISATIONS)
def test_a_prewhitened_picture_is_quantised_too(dtype: str) -> None:
    embedder = embedder_of(dtype, normalisation=Normalisation("prewhiten"))
    image = picture(5)
    image[..., 1] //= 2
    (made,) = embedder.embed([aligned(image)])
    wide = np.clip(prewhiten(image), -1, 1) if dtype != "float32" else prewhiten(image)
    means = wide[..., ::-1].reshape(-1, 3).mean(0)
    expected = means @ np.float32([[1.0, -0.5, 0.25, 0.5], [-0.25, 1.0, -0.5, 0.25], [0.5, 0.25, 1.0, -0.75]])
    assert np.abs(made.vector - normalised(expected)).max() < 0.04


def test_opencv_gives_the_same_embedding(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "tiny.onnx")
    spec = spec_of("tiny.onnx", runtime="opencv")
    faces = [picture(seed) for seed in range(4)]
    embedder = FaceEmbedder(OpenCvNetwork(path, spec), spec)
    for face, made in zip(faces, embedder.embed([aligned(face) for face in faces]), strict=True):
        assert np.abs(made.vector - normalised(expected_embedding(face))).max() < 1e-4


def test_opencv_prewhitens(tmp_path: Path) -> None:
    spec = spec_of("tiny.onnx", runtime="opencv", normalisation=Normalisation("prewhiten"))
    found = OpenCvNetwork(write_onnx(tmp_path / "tiny.onnx"), spec).run([picture(5)[..., ::-1].copy()])
    (expected,) = embedder_of("float32", normalisation=Normalisation("prewhiten")).embed([aligned(picture(5))])
    assert np.abs(normalised(found[0]) - expected.vector).max() < 1e-4


def test_opencv_checks_the_length(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "tiny.onnx", length=8)
    with pytest.raises(ModelError, match=r"output shape \(1, 8\); expected \(1, 4\)"):
        OpenCvNetwork(path, spec_of("tiny.onnx", runtime="opencv"))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_opencv_refuses_a_truncated_file(tmp_path: Path, share: float) -> None:
    path = write_onnx(tmp_path / "tiny.onnx")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ModelError, match=r"cv2.dnn cannot"):
        OpenCvNetwork(path, spec_of("tiny.onnx", runtime="opencv"))


def test_opencv_refuses_an_unknown_output(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "tiny.onnx")
    with pytest.raises(ModelError, match=r"cv2.dnn cannot run it"):
        OpenCvNetwork(path, spec_of("tiny.onnx", runtime="opencv", output_name="other"))


@pytest.mark.parametrize("kind", ["tflite", "opencv"])
def test_a_bundles_embedder(kind: str, tmp_path: Path) -> None:
    file = MODELS / "float32.tflite" if kind == "tflite" else write_onnx(tmp_path / "tiny.onnx")
    bundle = _bundle(tmp_path, file, runtime=kind)
    embedder = make_embedder(bundle, Runtime())
    assert (embedder.embedder_id, embedder.template) == ("test-embedder", "arcface-112x112")
    (made,) = embedder.embed([aligned(picture(1))])
    assert np.abs(made.vector - normalised(expected_embedding(picture(1)))).max() < 1e-4


def _bundle(folder: Path, file: Path, **changes: Any) -> Bundle:
    detector = folder / "detector.bin"
    detector.write_bytes(b"none")
    section = {"embedding_length": 4, "normalisation": {"kind": "fixed", "mean": 127.5, "std": 127.5}, **changes}
    made = make_bundle(folder / "bundle", detector_file=detector, embedder_file=file, overrides={"embedder": section})
    return load_bundle(made)
