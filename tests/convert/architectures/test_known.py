"""Each architecture, with its published weights, against the same network written in PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from convert.architectures import ARCHITECTURES
from convert.importers.base import Request
from convert.importers.pytorch import import_pytorch
from edge.align import align, template_named
from edge.datatypes import Box, Detection
from tests.support.data import test_data

torch = pytest.importorskip("torch", reason="PyTorch is the reference")
pytest.importorskip("onnxruntime", reason="runs the network that was built")
torch_modules = pytest.importorskip("tests.convert.torch_modules")


@dataclass(frozen=True)
class Known:
    architecture: str
    parts: tuple[str, ...]
    module: Any
    prefix: str = ""
    nested: str = ""
    pixels: tuple[float, float] = (0.0, 255.0)
    outputs: int = 3


KNOWN = (
    Known(
        "mobilefacenet-112x96", ("mobilefacenet-pytorch", "068.ckpt"), lambda _: torch_modules.MobileFaceNet(),
        nested="net_state_dict", pixels=(-1.0, 1.0), outputs=128,
    ),
    Known("minifasnet-v2", ("minifasnet", "2.7_80x80_MiniFASNetV2.pth"), torch_modules.MiniFASNet, prefix="module."),
    Known("minifasnet-v1se", ("minifasnet", "4_0_0_80x80_MiniFASNetV1SE.pth"), torch_modules.MiniFASNet, prefix="module."),
)  # fmt: skip


def _in_torch(known: Known, path: Path) -> Any:
    weights = torch.load(path, weights_only=True, map_location="cpu")
    weights = weights[known.nested] if known.nested else weights
    weights = {name.removeprefix(known.prefix): value for name, value in weights.items()}
    module = known.module(weights)
    module.load_state_dict(weights, strict=True)
    return module.eval()


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.architecture)
def test_computes_what_torch_computes(known: Known) -> None:
    path = test_data("models", *known.parts)
    module = _in_torch(known, path)
    made = import_pytorch(Request((path,), architecture=known.architecture))
    low, high = known.pixels
    shape = (3, *made.network.inputs[0].shape[1:])
    image = np.random.default_rng(1).uniform(low, high, shape).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(image)).numpy()
    found = made.reference.run({made.network.input_name: image})[made.network.output_name]
    assert found.shape == (3, known.outputs)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.architecture)
def test_parameters_are_all_those_of_the_module(known: Known) -> None:
    path = test_data("models", *known.parts)
    module = _in_torch(known, path)
    expected = sum(value.numel() for name, value in module.state_dict().items() if not name.endswith("tracked"))
    made = import_pytorch(Request((path,)))
    assert made.network.parameters() == expected
    assert any(known.architecture in note for note in made.notes), "recognised by the weights"


def test_no_architecture_is_taken_for_another() -> None:
    keys = [known.keys for known in ARCHITECTURES.values()]
    assert all(first is second or first != second for first in keys for second in keys)


# ---- on faces ----


def _detector() -> Any:
    return cv2.FaceDetectorYN.create(str(test_data("models", "yunet", "yunet_n_320_320.onnx")), "", (320, 320), 0.5)


def _face(detector: Any, image: Any) -> Detection:
    """The largest."""
    detector.setInputSize(image.shape[1::-1])
    rows = detector.detect(image)[1]
    row = max(rows, key=lambda each: each[2] * each[3])
    box = Box(row[0], row[1], row[0] + row[2], row[1] + row[3])
    return Detection(box, float(row[14]), row[4:14].reshape(5, 2).astype(np.float32))


def _lfw(name: str, number: int) -> Any:
    """One picture out of the archive."""
    import tarfile

    wanted = f"{name}/{name}_{number:04d}.jpg"
    with tarfile.open(test_data("data", "lfw", "lfw-deepfunneled.tar")) as archive:
        member = next(each for each in archive if each.name.endswith(wanted))
        held = archive.extractfile(member)
        assert held is not None
        return cv2.imdecode(np.frombuffer(held.read(), np.uint8), cv2.IMREAD_COLOR)


PEOPLE = (("Abdullah_Gul", 13), ("Abdullah_Gul", 14), ("Abel_Pacheco", 1), ("Abel_Pacheco", 4))


def test_mobilefacenet_tells_people_apart() -> None:
    made = import_pytorch(Request((test_data("models", "mobilefacenet-pytorch", "068.ckpt"),)))
    detector, template = _detector(), template_named("sphereface-112x96")
    faces = []
    for name, number in PEOPLE:
        image = _lfw(name, number)
        faces.append(align(image, _face(detector, image), template).image[..., ::-1])
    blob = ((np.stack(faces).astype(np.float32) - 127.5) / 128).transpose(0, 3, 1, 2)
    embeddings = made.reference.run({"image": blob})["embedding"]
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    similarity = embeddings @ embeddings.T
    assert min(similarity[0, 1], similarity[2, 3]) > 0.4
    assert similarity[:2, 2:].max() < 0.25


def _patch(image: Any, box: Box, scale: float) -> Any:
    """80x80 around a box widened `scale` times, as far as the picture allows, shifted into it."""
    height, width = image.shape[:2]
    scale = min(scale, (height - 1) / box.height, (width - 1) / box.width)
    wide, high = box.width * scale, box.height * scale
    x, y = box.centre
    left, top = np.clip(x - wide / 2, 0, width - wide), np.clip(y - high / 2, 0, height - high)
    part = image[int(top) : int(top + high) + 1, int(left) : int(left + wide) + 1]
    return cv2.resize(part, (80, 80))


@pytest.mark.parametrize(
    ("name", "is_live"), [("image_T1.jpg", True), ("image_F1.jpg", False), ("image_F2.jpg", False)]
)
def test_minifasnet_knows_a_live_face(name: str, is_live: bool) -> None:  # noqa: FBT001 (a column of the table)
    image = cv2.imread(str(test_data("data", "spoof", name)))
    box = _face(_detector(), image).box
    live = []
    for file, scale in (("2.7_80x80_MiniFASNetV2.pth", 2.7), ("4_0_0_80x80_MiniFASNetV1SE.pth", 4.0)):
        made = import_pytorch(Request((test_data("models", "minifasnet", file),)))
        blob = _patch(image, box, scale).transpose(2, 0, 1)[None].astype(np.float32)
        probabilities = made.reference.run({"image": blob})["probabilities"][0]
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)
        live.append(probabilities[1])
    assert (np.mean(live) > 0.5) == is_live
