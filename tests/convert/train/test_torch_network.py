"""A teacher in PyTorch computes what ONNX Runtime does, and hands its inner tensors over."""

from __future__ import annotations

import numpy as np
import pytest

from convert.network import Node, single
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from convert.train.torch_network import torch_network
from edge.errors import ModelError
from tests.convert.networks import CASES

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

TAUGHT = [
    "conv, stride 2, padding unlike SAME",
    "conv, lopsided padding",
    "conv, dilated",
    "depthwise, two outputs a channel",
    "batch norm behind conv",
    "prelu",
    "prelu, one slope",
    "residual",
    "channel factors",
    "reshape",
]


@pytest.mark.parametrize("name", TAUGHT)
def test_it_computes_what_onnx_runtime_does(name: str) -> None:
    network = CASES[name]()
    shape = [size or 1 for size in network.inputs[0].shape]
    values = np.random.default_rng(6).normal(0, 1, shape).astype(np.float32)
    (expected,) = OnnxRuntimeRunner(network).run({network.input_name: values}).values()
    found = torch_network(network)(torch.from_numpy(values)).numpy()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5 * max(1.0, float(np.abs(expected).max()))


def test_inner_tensors_are_given_and_the_rest_is_left_out() -> None:
    network = CASES["residual"]()
    first = network.nodes[0].output
    values = torch.ones([size or 1 for size in network.inputs[0].shape])
    (inner,) = torch_network(network).inner(values, (first,))
    assert inner.shape[1] == 3
    assert float(inner.min()) < 0


def test_gradients_reach_the_input() -> None:
    network = CASES["prelu"]()
    values = torch.randn([size or 1 for size in network.inputs[0].shape], requires_grad=True)
    torch_network(network)(values).square().sum().backward()
    assert values.grad is not None
    assert float(values.grad.abs().sum()) > 0


def test_what_it_lacks_is_named() -> None:
    node = Node("Elu", "bent", ("image",), ("out",))
    with pytest.raises(ModelError, match="Elu 'bent'"):
        torch_network(single("image", (1, 3, 4, 4), "out", (node,), {}))
