from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.targets.base import Options
from convert.targets.onnx import write_onnx
from convert.train.detector.judge import face_detector_yn
from convert.train.detector.network import STRIDES
from edge.detect.yunet import OUTPUTS, VALUES, decode
from tests.convert.train.detector.made import changed_student, pixels, written

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

MOST_BYTES = 350_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("written") / "detector.onnx"
    write_onnx(written(changed_student(3)), made, Options())
    return made


@pytest.mark.parametrize(("height", "width"), [(320, 320), (96, 224)])
def test_opencv_computes_what_the_student_does(path: Path, height: int, width: int) -> None:
    given = pixels(1, height, width)
    with torch.no_grad():
        heads = changed_student(3)(given).heads
    network = cv2.dnn.readNet(str(path))
    network.setInput(given.numpy())
    made = dict(zip(OUTPUTS, network.forward(list(OUTPUTS)), strict=True))
    for stride in STRIDES:
        rows = heads[stride].flatten(2).transpose(1, 2).numpy()
        rows[..., :2] = 1 / (1 + np.exp(-rows[..., :2]))
        begin = 0
        for kind, count in VALUES.items():
            expected = rows[..., begin : begin + count]
            found = made[f"{kind}_{stride}"]
            assert found.shape == expected.shape
            assert np.abs(found - expected).max() < 1e-3
            begin += count


def test_it_is_small_and_made_of_what_every_opencv_reads(path: Path) -> None:
    network = written(changed_student(3))
    counts = Counter(node.op for node in network.nodes)
    units, heads = 11 + 3 + 3, 3
    assert counts["Conv"] == 1 + 2 * (units + heads)
    assert counts["Relu"] == 1 + units
    assert (counts["MaxPool"], counts["Resize"], counts["Add"], counts["Sigmoid"]) == (4, 2, 2, 6)
    assert "BatchNormalization" not in counts
    assert network.outputs == OUTPUTS
    assert path.stat().st_size <= MOST_BYTES


def test_face_detector_yn_decodes_it_as_the_device_does(path: Path) -> None:
    picture = pixels(1, 128, 160)[0].permute(1, 2, 0).numpy().astype(np.uint8)
    network = cv2.dnn.readNet(str(path))
    network.setInput(picture.transpose(2, 0, 1)[None].astype(np.float32))
    decoded = decode(dict(zip(OUTPUTS, network.forward(list(OUTPUTS)), strict=True)), 160, 0.0).best(1)
    found = face_detector_yn(path, 0.0)(picture).best(1)
    assert found.scores[0] == pytest.approx(decoded.scores[0], abs=1e-4)
    assert np.abs(found.boxes[0] - decoded.boxes[0]).max() < 0.1
    assert found.landmarks is not None
    assert decoded.landmarks is not None
    assert np.abs(found.landmarks[0] - decoded.landmarks[0]).max() < 0.1
