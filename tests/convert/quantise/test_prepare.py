"""The same function in the words that integer hardware has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")

from convert.network import Port
from convert.quantise.form import OPERATORS
from convert.quantise.prepare import prepared
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from edge.errors import ModelError
from tests.convert.networks import CASES, FLATTEN, RELU, conv, network, number, step
from tests.convert.quantise.integers import NETWORKS, bytes_in, pixels_for, reals

UNLIKE = {"normalised inside": 0.02, "constant first": 0.02}
"""Zero padding stands for another grey level, by less than one, where a constant is moved."""


@pytest.mark.parametrize("name", NETWORKS)
def test_computes_what_the_source_computes(name: str) -> None:
    source = bytes_in(NETWORKS[name]())
    made = prepared(source)
    assert {node.op for node in made.nodes} <= OPERATORS
    assert made.outputs == source.outputs
    pixels = pixels_for(source, 1, seed=3)
    # A network that normalises inside gets the pixels as it expects them; `mean` and `std` then hold both.
    expected = OnnxRuntimeRunner(source).run({source.input_name: reals(source, pixels)})[source.output_name]
    found = OnnxRuntimeRunner(made).run({made.input_name: reals(made, pixels)})[made.output_name]
    np.testing.assert_allclose(found, expected, atol=UNLIKE.get(name, 1e-5) * max(1.0, float(np.ptp(expected))))


@pytest.mark.parametrize("name", ["embedder", "average pool", "normalised inside", "gemm"])
def test_what_is_prepared_stays_as_it_is(name: str) -> None:
    made = prepared(bytes_in(NETWORKS[name]()))
    again = prepared(made)
    assert [(node.op, node.output) for node in again.nodes] == [(node.op, node.output) for node in made.nodes]
    assert (again.mean, again.std) == (made.mean, made.std)


def test_all_that_has_no_integers_is_named_at_once() -> None:
    slope = np.full((4, 1, 1), 0.2, np.float32)
    made = network(conv(4, 3), step("PRelu", slope), step("Sigmoid"), RELU)
    with pytest.raises(ModelError, match=r"2 of 4 nodes have no integers: PRelu 'node1'.*; Sigmoid 'node2'"):
        prepared(made)


REFUSED = {
    "groups of several channels": network(conv(4, 3, (1, 1)), conv(6, 2, group=2)),
    "limits other than 0 and 6": network(conv(4, 3), step("Clip", number(-1), number(1))),
    "a row that becomes a picture": CASES["reshape to a picture"](),
    "no constant weights": network(conv(4, 3, (9, 9)), ("Conv", ["image", "t0"], {})),
    "padding unlike SAME": network(conv(4, 3), step("MaxPool", kernel_shape=(2, 2), strides=(2, 2), pads=(1, 1, 1, 1))),
    "two computed tensors": network(conv(4, 3), FLATTEN, step("Add", np.ones((1, 196), np.float32))),
    "pictures put together": network(conv(4, 3), step("Concat", "t0", axis=0)),
    "expected \\[N, C, H, W\\]": replace(network(conv(4, 3)), inputs=(Port("image", (1, 3, None, None)),)),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_integers_cannot_hold_is_told(fault: str) -> None:
    with pytest.raises(ModelError, match=fault):
        prepared(REFUSED[fault])
