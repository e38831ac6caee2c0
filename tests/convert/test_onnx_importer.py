from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.importers.onnx import OPERATORS, read_onnx
from convert.network import Network
from convert.targets.tensorflow_ops import EMITTERS
from edge.errors import EXIT_REJECTED, ModelError
from tests.convert import reference
from tests.convert.networks import CASES, conv, network, picture

onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install 'ostiary[convert]')")


def save(made: Network, path: Path, *, shape: list[Any] | None = None, extra: list[Any] | None = None) -> Path:
    """Write a Network as an ONNX file."""
    helper = onnx.helper
    known = all(node.op in OPERATORS for node in made.nodes)
    axes = reference.run(made, picture(made)).ndim if known else 4
    nodes = [
        helper.make_node(node.op, list(node.inputs), [node.output], name=node.name, **node.attributes)
        for node in made.nodes
    ]
    graph = helper.make_graph(
        [*nodes, *(extra or [])],
        "tiny",
        [helper.make_tensor_value_info(made.input_name, onnx.TensorProto.FLOAT, shape or list(made.input_shape))],
        [helper.make_tensor_value_info(made.output_name, onnx.TensorProto.FLOAT, ["size"] * axes)],
        [onnx.numpy_helper.from_array(value, name) for name, value in made.constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("name", CASES)
def test_what_is_read_computes_what_was_written(name: str, tmp_path: Path) -> None:
    made = CASES[name]()
    read = read_onnx(save(made, tmp_path / "tiny.onnx"))
    image = picture(made)
    assert read.input_shape == made.input_shape
    # ONNX keeps attributes such as epsilon in float32.
    np.testing.assert_allclose(reference.run(read, image), reference.run(made, image), atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_the_reference_means_what_onnx_means(name: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    made = CASES[name]()
    session = runtime.InferenceSession(str(save(made, tmp_path / "tiny.onnx")), providers=["CPUExecutionProvider"])
    image = picture(made)
    np.testing.assert_allclose(reference.run(made, image), session.run(None, {"image": image})[0], atol=1e-4)


def test_every_operator_that_is_read_can_be_written() -> None:
    assert set(EMITTERS) == OPERATORS
    assert reference.PLAIN.keys() | reference.WITH_ATTRIBUTES.keys() == OPERATORS


def test_all_unknown_operators_are_named_at_once(tmp_path: Path) -> None:
    made = network(conv(4, 3), ("Tanh", [None], {}), ("Relu", [None], {}), ("Softplus", [None], {}))
    with pytest.raises(ModelError) as caught:
        read_onnx(save(made, tmp_path / "tiny.onnx"))
    assert caught.value.exit_code == EXIT_REJECTED
    assert "2 operator(s)" in str(caught.value)
    assert "Tanh 'node1'" in str(caught.value)
    assert "Softplus 'node3'" in str(caught.value)


def test_constant_nodes_and_dropout_are_resolved(tmp_path: Path) -> None:
    made = network(conv(4, 3), ("Dropout", [None], {}), ("Mul", [None, "factor"], {}))
    path = save(made, tmp_path / "tiny.onnx")
    model = onnx.load(str(path))
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["factor"], value_float=2.0))
    onnx.save(model, str(path))
    read = read_onnx(path)
    assert [node.op for node in read.nodes] == ["Conv", "Mul"]
    assert read.constants["factor"] == np.float32(2.0)


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "not a sound ONNX file"), (b"no network at all", "not a sound ONNX file"), (None, "cannot be read")],
)
def test_what_is_no_network_is_refused(content: bytes | None, found: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=found):
        read_onnx(path)


def test_a_truncated_network_is_refused(tmp_path: Path) -> None:
    path = save(CASES["residual"](), tmp_path / "tiny.onnx")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelError, match="not a sound ONNX file"):
        read_onnx(path)


@pytest.mark.parametrize("shape", [[1, 3, "height", "width"], [1, 27]])
def test_an_input_of_no_fixed_size_is_refused(shape: list[Any], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="input 'image' of shape"):
        read_onnx(save(CASES["residual"](), tmp_path / "tiny.onnx", shape=shape))


def test_a_dynamic_batch_becomes_one(tmp_path: Path) -> None:
    read = read_onnx(save(CASES["residual"](), tmp_path / "tiny.onnx", shape=["batch", 3, 9, 9]))
    assert read.input_shape == (1, 3, 9, 9)
