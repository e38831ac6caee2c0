"""Small ONNX files with named layers, whole and with one weight changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.network import Network, Node
from tests.convert.networks import FLATTEN, RELU, conv, network

LAYERS = ("t0", "t1", "t2", "t3", "t4", "t5")


def five_layers() -> Network:
    """Two convolutions with activations, a sum, and a row; tensors t0 to t5."""
    return network(
        conv(4, 3, pads=(1, 1, 1, 1)),
        RELU,
        conv(4, 4, pads=(1, 1, 1, 1)),
        ("Add", [None, "t1"], {}),
        RELU,
        FLATTEN,
        size=8,
    )


def with_changed_weight(made: Network, constant: str, added: float = 5.0) -> Network:
    """The same network with the last number of a constant changed."""
    value = np.array(made.constants[constant])
    value.reshape(-1)[-1] += added
    return made.with_constants({constant: value})


def two_inputs_two_outputs() -> Network:
    """`left` + `right` as `sum`, and `left` - `right` as `difference`; pictures of 2x3."""
    made = network(("Add", [None, "right"], {}), size=3)
    port = replace(made.inputs[0], name="left", shape=(1, 3, 2, 3))
    nodes = (
        Node("Add", "plus", ("left", "right"), ("sum",)),
        Node("Sub", "minus", ("left", "right"), ("difference",)),
    )
    return Network((port, replace(port, name="right")), ("sum", "difference"), nodes, {})


def write(made: Network, path: Path) -> Path:
    """As an ONNX file, by the onnx package alone."""
    onnx = pytest.importorskip("onnx", reason="the onnx package is not installed")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [_node(helper, node, made) for node in made.nodes],
        "made by a test",
        [helper.make_tensor_value_info(port.name, kind, port.shape) for port in made.inputs],
        [helper.make_empty_tensor_value_info(name) for name in made.outputs],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in made.constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model)
    path.write_bytes(model.SerializeToString())
    return path


def _node(helper: Any, node: Node, made: Network) -> Any:
    attributes = dict(node.attributes)
    if node.op == "Conv":
        # ONNX takes it from the weights; OpenCV 4 does not.
        attributes.setdefault("kernel_shape", made.constants[node.inputs[1]].shape[2:])
    return helper.make_node(node.op, node.inputs, node.outputs, node.name, **attributes)


def expected(path: Path, feeds: Mapping[str, Any], wanted: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the operators mean, by onnx's own reference implementation; inner tensors too."""
    onnx = pytest.importorskip("onnx", reason="the onnx package is not installed")
    from onnx.reference import ReferenceEvaluator

    model = onnx.load(str(path))
    names = list(wanted) or [value.name for value in model.graph.output]
    for name in names:
        if name not in {value.name for value in model.graph.output}:
            model.graph.output.append(helper_value(onnx, name))
    return dict(zip(names, ReferenceEvaluator(model).run(names, dict(feeds)), strict=True))


def helper_value(onnx: Any, name: str) -> Any:
    """An output whose shape nobody needs."""
    return onnx.helper.make_empty_tensor_value_info(name)
