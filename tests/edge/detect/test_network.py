from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.bundle.manifest import Normalisation
from edge.config.settings import Detect
from edge.detect import make_detector
from edge.detect.network import Network, opencv_silenced, to_blob
from edge.detect.yunet import OUTPUTS, STRIDES
from edge.errors import ModelError
from tests.edge.detect.conftest import onnx_file
from tests.support.bundles import SSD, YUNET, detector_bundle

onnx = pytest.importorskip("onnx", reason="onnx is not installed (dev dependency)")

VALUES = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def write_tiny(
    path: Path, *, outputs: tuple[str, ...] = OUTPUTS, bias: float = 1.0, extra: int = 0, kind: str = "AveragePool"
) -> Path:
    """A network with YuNet's outputs that gives `bias` everywhere, in a few hundred bytes.

    `extra` adds that many values to every cell; `kind` is the first operator of every output.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []
    for name in outputs:
        part, stride = name.split("_")
        values = VALUES[part] + extra
        constants += [
            numpy_helper.from_array(np.zeros((values, 3, 1, 1), np.float32), f"{name}_w"),
            numpy_helper.from_array(np.full(values, bias, np.float32), f"{name}_b"),
            numpy_helper.from_array(np.array([1, -1, values], np.int64), f"{name}_s"),
        ]
        size = {"kernel_shape": [int(stride)] * 2, "strides": [int(stride)] * 2} if kind == "AveragePool" else {}
        nodes += [
            helper.make_node(kind, ["input"], [f"{name}_0"], **size),
            helper.make_node("Conv", [f"{name}_0", f"{name}_w", f"{name}_b"], [f"{name}_1"], kernel_shape=[1, 1]),
            helper.make_node("Transpose", [f"{name}_1"], [f"{name}_2"], perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", [f"{name}_2", f"{name}_s"], [name]),
        ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, None]) for name in outputs]
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 64, 64])
    graph = helper.make_graph(nodes, "tiny", [picture], ends, initializer=constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), str(path))
    return path


def test_the_tiny_network_is_a_detector(tmp_path: Path) -> None:
    bundle = detector_bundle(tmp_path / "bundle", write_tiny(tmp_path / "tiny.onnx"), YUNET)

    faces = make_detector(bundle, Detect(width_px=64, min_face_px=1)).detect(np.zeros((64, 64, 3), np.uint8))

    assert faces
    assert {face.confidence for face in faces} == {1.0}


def test_outputs_that_are_no_numbers_are_dropped_and_counted(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.onnx", bias=float("nan"))
    detector = make_detector(detector_bundle(tmp_path / "bundle", path, YUNET), Detect(width_px=64))

    assert detector.detect(np.zeros((64, 64, 3), np.uint8)) == []
    assert detector.dropped == sum((64 // stride) ** 2 for stride in STRIDES)


BROKEN = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"hello world\n" * 50),
    "zeros": lambda path: path.write_bytes(bytes(1000)),
    "half": lambda path: path.write_bytes(write_tiny(path).read_bytes()[: path.stat().st_size // 2]),
    "less one byte": lambda path: path.write_bytes(write_tiny(path).read_bytes()[:-1]),
    "unknown operator": lambda path: write_tiny(path, kind="NoSuchOperator"),
    "no kps_32": lambda path: write_tiny(path, outputs=OUTPUTS[:-1]),
    "one value too many": lambda path: write_tiny(path, extra=1),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_files_are_refused_when_the_detector_is_made(
    fault: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    BROKEN[fault](tmp_path / "broken.onnx")
    bundle = detector_bundle(tmp_path / "bundle", tmp_path / "broken.onnx", YUNET)

    with pytest.raises(ModelError) as caught:
        make_detector(bundle, Detect())

    assert caught.value.exit_code == 4
    assert caught.value.where == str(bundle.path("detector-model.onnx"))
    assert caught.value.expected
    assert "manifest" in caught.value.hint
    assert capfd.readouterr().err == ""


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        Network(tmp_path / "none.onnx", ["out"])


def test_what_is_missing_is_named_beside_what_is_there(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.onnx", outputs=OUTPUTS[:3])

    with pytest.raises(ModelError, match=r"outputs are cls_16, cls_32, cls_8; expected exactly scores, cls_8"):
        Network(path, ["scores", "cls_8"])


@pytest.mark.parametrize(("file", "section"), [("rfb", YUNET), ("yunet", SSD)])
def test_a_network_of_another_kind_is_refused(file: str, section: dict[str, Any], tmp_path: Path) -> None:
    bundle = detector_bundle(tmp_path, onnx_file(file), section)

    with pytest.raises(ModelError, match=r"outputs are .*; expected exactly"):
        make_detector(bundle, Detect())


@pytest.mark.parametrize("shape", [(1, 3, 64), (64, 64)])
def test_an_input_that_it_cannot_take_is_a_model_error(shape: tuple[int, ...], tmp_path: Path) -> None:
    network = Network(write_tiny(tmp_path / "tiny.onnx"), OUTPUTS)

    with pytest.raises(ModelError, match="cannot be run on an input of shape"), opencv_silenced():
        network.run(np.zeros(shape, np.float32))


def test_outputs_come_in_the_order_asked_for(tmp_path: Path) -> None:
    names = ("kps_8", "cls_32", "bbox_16")
    network = Network(write_tiny(tmp_path / "tiny.onnx", outputs=names[::-1]), names)

    shapes = [output.shape for output in network.run(np.zeros((1, 3, 64, 96), np.float32))]

    assert shapes == [(1, 96, 10), (1, 6, 1), (1, 24, 4)]


def test_opencv_is_as_talkative_afterwards_as_before() -> None:
    log = getattr(cv2.utils, "logging", cv2)
    before = log.getLogLevel()

    with contextlib.suppress(RuntimeError), opencv_silenced():
        inside = log.getLogLevel()
        raise RuntimeError

    assert (inside, log.getLogLevel()) == (0, before)


@pytest.mark.parametrize(("order", "channels"), [("BGR", [0, 1, 2]), ("RGB", [2, 1, 0])])
def test_blobs_are_normalised_planes_in_the_declared_order(order: str, channels: list[int]) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (4, 6, 3), np.uint8) for _ in range(2)]

    blob = to_blob(images, Normalisation("fixed", 127.5, 128.0), order)

    wanted = (np.stack(images)[..., channels].transpose(0, 3, 1, 2) - 127.5) / 128
    assert blob.dtype == np.float32
    np.testing.assert_allclose(blob, wanted, atol=1e-6)
