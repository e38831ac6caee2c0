from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convert.network import Network, Node, Port
from edge.errors import ModelError
from tests.convert import reference
from tests.convert.networks import CASES, RELU, conv, network, picture

onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")

from convert.runners.base import Timed  # noqa: E402
from convert.runners.onnx_runtime import OnnxRuntimeRunner  # noqa: E402  needs onnx
from convert.targets.onnx import to_onnx  # noqa: E402


@pytest.mark.parametrize("name", CASES)
def test_onnx_runtime_means_what_the_reference_means(name: str) -> None:
    made = CASES[name]()
    image = picture(made)
    found = OnnxRuntimeRunner(made).run({"image": image})[made.output_name]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference.run(made, image), atol=1e-4)


def test_a_network_a_file_and_bytes_are_the_same(tmp_path: Path) -> None:
    made = network(conv(4, 3), RELU)
    data = to_onnx(made).SerializeToString()
    path = tmp_path / "tiny.onnx"
    path.write_bytes(data)
    image = picture(made)
    runners = [OnnxRuntimeRunner(source) for source in (made, path, data)]
    results = [runner.run({"image": image})["t1"] for runner in runners]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    for runner in runners:
        assert runner.label.startswith("onnxruntime ")
        assert runner.inputs == (Port("image", (1, 3, 9, 9)),)
        assert (runner.outputs, runner.tensors) == (("t1",), ("t0", "t1"))


def test_inner_tensors_can_be_asked_for() -> None:
    made = network(conv(4, 3), RELU)
    runner, image = OnnxRuntimeRunner(made), picture(made)
    inner = runner.run({"image": image}, ["t0"])
    assert list(inner) == ["t0"]
    assert inner["t0"].min() < 0
    np.testing.assert_allclose(np.maximum(inner["t0"], 0), runner.run({"image": image})["t1"], atol=1e-6)
    both = runner.run({"image": image}, ["t1", "t0"])
    assert list(both) == ["t1", "t0"]


def test_results_are_float32_whatever_the_file_holds() -> None:
    nodes = (
        Node("Greater", "g", ("x", "zero"), ("g",)),
        Node("ArgMax", "a", ("x",), ("a",), {"axis": 1, "keepdims": 0}),
    )
    made = Network((Port("x", (1, 3)),), ("g", "a"), nodes, {"zero": np.float32(0)})
    values = np.array([[-1.0, 3.0, 2.0]], np.float32)
    found = OnnxRuntimeRunner(made).run({"x": values})
    assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(found["g"], [[0, 1, 1]])
    assert OnnxRuntimeRunner(made).run_as_is({"x": values})["a"].dtype == np.int64


def test_it_can_be_timed() -> None:
    made = network(conv(4, 3))
    runner = OnnxRuntimeRunner(made, threads=2)
    assert isinstance(runner, Timed)
    assert runner.prepared({"image": picture(made)})() is not None


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "fed with nothing; expected image"),
        ({"other": np.zeros(3)}, "fed with other; expected image"),
        ({"image": np.zeros((1, 3, 5, 5))}, "cannot run it"),
        ({"image": np.zeros((3,))}, "cannot run it"),
    ],
)
def test_wrong_feeds_are_refused(feeds: dict[str, np.ndarray], message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ModelError, match=message):
        OnnxRuntimeRunner(network(conv(4, 3))).run(feeds)


def test_an_unknown_tensor_is_refused() -> None:
    made = network(conv(4, 3))
    with pytest.raises(ModelError, match="no tensor t9"):
        OnnxRuntimeRunner(made).run({"image": picture(made)}, ["t9"])


@pytest.mark.parametrize("content", [b"", b"no network", None])
def test_what_is_no_network_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match="cannot be read" if content is None else "not a sound ONNX file"):
        OnnxRuntimeRunner(path)


def test_what_the_runtime_cannot_load_is_refused() -> None:
    model = to_onnx(network(conv(4, 3), RELU))
    model.graph.node[1].op_type = "NoSuchOperator"
    with pytest.raises(ModelError, match="cannot load it"):
        OnnxRuntimeRunner(model.SerializeToString()).run({"image": np.zeros((1, 3, 9, 9))})
