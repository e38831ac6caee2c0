"""ONNX files: sound, self-describing, the same bytes every time, and read by cv2.dnn."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.network import Network, Node, Port
from convert.targets.base import Options
from edge.errors import ModelError
from tests.convert.networks import CASES, NEW_CASES, RELU, conv, network, number, picture, step

onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")

from convert.runners.onnx_runtime import OnnxRuntimeRunner  # noqa: E402  needs onnx
from convert.targets.onnx import to_onnx, write_onnx  # noqa: E402

ALL = {**CASES, **NEW_CASES}
OPENCV = tuple(int(part) for part in cv2.__version__.split(".")[:2])
NOT_IN_OPENCV_4_8 = {"depth to space", "depth to space, CRD", "space to depth"}
"""With an open batch: its importer wants the sizes."""


def opencv(data: bytes, images: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
    net.setInput(images)
    return net.forward()  # type: ignore[no-any-return]


@pytest.mark.parametrize("batch", [1, 3, None])
@pytest.mark.parametrize("name", ALL)
def test_opencv_and_onnx_runtime_compute_the_same(name: str, batch: int | None) -> None:
    if batch is None and OPENCV < (4, 9) and name in NOT_IN_OPENCV_4_8:
        pytest.skip("OpenCV 4.8 cannot leave the batch open here")
    made = ALL[name]()
    images = np.concatenate([picture(made, seed) for seed in range(batch or 2)])
    data = to_onnx(made, batch).SerializeToString()
    alone = OnnxRuntimeRunner(made)
    expected = np.concatenate([alone.run({"image": each[np.newaxis]})[made.output_name] for each in images])
    found = OnnxRuntimeRunner(data).run({"image": images})[made.output_name]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    read = opencv(data, images)
    assert read.shape == expected.shape
    np.testing.assert_allclose(read, expected, atol=1e-4)


def test_the_file_says_what_it_is() -> None:
    model = to_onnx(replace(network(conv(4, 3), RELU), mean=127.5, std=128.0))
    assert model.producer_name == "ostiary"
    assert model.ir_version <= 8
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 13)]
    properties = {each.key: each.value for each in model.metadata_props}
    assert properties == {"ostiary.mean": "127.5", "ostiary.std": "128.0"}
    assert "t0" in [each.name for each in model.graph.value_info]
    assert [size.dim_value for size in model.graph.output[0].type.tensor_type.shape.dim] == [1, 4, 7, 7]
    # The normalisation describes the input; it is no part of the graph.
    assert Counter(node.op_type for node in model.graph.node) == {"Conv": 1, "Relu": 1}


def test_an_open_batch_has_a_name() -> None:
    model = to_onnx(network(conv(4, 3)), None)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_the_same_network_is_the_same_bytes(tmp_path: Path) -> None:
    written = [write_onnx(CASES["gemm"](), tmp_path / f"{index}.onnx", Options()) for index in range(2)]
    first, second = (paths[0].read_bytes() for paths in written)
    assert first == second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.onnx", "1.onnx"]


def test_constants_nobody_reads_are_left_out() -> None:
    made = network(conv(4, 3)).with_constants({"spare": np.zeros((1000, 1000), np.float32)})
    assert to_onnx(made).ByteSize() < 10_000


def test_every_float_is_written_as_float32() -> None:
    made = network(("Mul", [None, np.float64(2.0)], {}))
    assert to_onnx(made).graph.initializer[0].data_type == onnx.TensorProto.FLOAT


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: network(("Sine", [None], {})), "shapes that do not fit|cannot be written"),
        (lambda: network(step("Add", np.zeros((2, 7), np.float32))), "shapes that do not fit"),
        (lambda: network(("Relu", [None], {"shade": object()})), "attribute shade"),
        (lambda: network(("Add", [None, np.array("text")], {})), "a constant of"),
        (lambda: network(("Add", [None, "nowhere"], {})), "cannot be written|do not fit"),
    ],
)
def test_what_cannot_be_written_is_refused(made: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    with pytest.raises(ModelError, match=message):
        write_onnx(made(), path, Options())  # type: ignore[operator]
    assert not list(tmp_path.iterdir())


def test_reductions_of_many_channels() -> None:
    """The Reduce layer of OpenCV 4.8 gave a third of 512 channels another channel's mean."""
    random = np.random.default_rng(0).normal(size=(1, 512, 7, 7)).astype(np.float32)
    for op in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2"):
        for axes in ((2, 3), (1,), (3,)):
            for keepdims in (0, 1):
                node = Node(op, "n", ("x",), ("y",), {"axes": axes, "keepdims": keepdims})
                made = Network((Port("x", random.shape),), ("y",), (node,), {})
                expected = OnnxRuntimeRunner(made).run({"x": random})["y"]
                found = opencv(to_onnx(made).SerializeToString(), random)
                assert np.abs(found.reshape(expected.shape) - expected).max() < 1e-4, (op, axes, keepdims)


def test_a_vector_of_zeros_has_no_direction() -> None:
    made = network(step("Mul", number(0.0)), step("Flatten"), step("LpNormalization", axis=1, p=2))
    found = OnnxRuntimeRunner(to_onnx(made).SerializeToString()).run({"image": picture(made)})["t2"]
    assert not found.any()
