from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convert.network import Port
from edge.errors import ModelError
from tests.convert.networks import CASES, NEW_CASES, RELU, conv, network, number, picture, step

pytest.importorskip("onnx", reason="onnx is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")

from convert.runners.onnx_runtime import OnnxRuntimeRunner
from convert.shapes import infer_ports, infer_shapes


@pytest.mark.parametrize("name", [*CASES, *NEW_CASES])
def test_shapes_and_dtypes_are_what_a_run_gives(name: str) -> None:
    made = {**CASES, **NEW_CASES}[name]()
    runner = OnnxRuntimeRunner(made)
    found = runner.run_as_is({"image": picture(made)}, runner.tensors)
    ports = infer_ports(made)
    for tensor, value in found.items():
        assert (ports[tensor].shape, ports[tensor].dtype) == (value.shape, str(value.dtype)), tensor


def test_inputs_and_constants_are_there_too() -> None:
    shapes = infer_shapes(network(conv(4, 3)))
    assert shapes == {"image": (1, 3, 9, 9), "c0_1": (4, 3, 3, 3), "c0_2": (4,), "t0": (1, 4, 7, 7)}


def test_open_sizes_are_none() -> None:
    made = replace(network(conv(4, 3), RELU), inputs=(Port("image", (None, 3, None, 9)),))
    assert infer_shapes(made)["t1"] == (None, 4, None, 7)


def test_large_weights_need_not_be_looked_at() -> None:
    made = network(step("Flatten"), step("MatMul", np.broadcast_to(np.float32(1), (243, 100_000))))
    assert infer_shapes(made)["t1"] == (1, 100_000)


def test_nodes_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ModelError, match="shapes that do not fit each other"):
        infer_shapes(network(step("Add", number(0) * np.ones((2, 7), np.float32))))
