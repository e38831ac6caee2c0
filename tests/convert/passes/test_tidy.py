"""Fewer nodes, the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from convert.network import Network, Node, Port, single
from tests.convert.networks import CASES, FLOAT, NEW_CASES, RELU, conv, ints, network, number, picture, step

pytest.importorskip("onnx", reason="onnx is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")

from convert.passes.tidy import tidy, without_unread
from convert.runners.onnx_runtime import OnnxRuntimeRunner


@pytest.mark.parametrize("name", [*CASES, *NEW_CASES])
def test_results_stay(name: str) -> None:
    made = {**CASES, **NEW_CASES}[name]()
    small, image = tidy(made), picture(made)
    assert (small.inputs, small.outputs) == (made.inputs, made.outputs)
    assert len(small.nodes) <= len(made.nodes)
    found = OnnxRuntimeRunner(small).run({"image": image})[made.output_name]
    expected = OnnxRuntimeRunner(made).run({"image": image})[made.output_name]
    np.testing.assert_allclose(found, expected, atol=1e-5)


IDLE = {
    "identity": (step("Identity"),),
    "several": (step("Identity"), step("Identity")),
    "cast to the same": (step("Cast", to=FLOAT),),
    "reshape to the same": (step("Reshape", ints(1, 3, 9, 9)),),
    "flatten of what is flat": (step("Flatten"), step("Flatten")),
    "transpose of nothing": (step("Transpose", perm=(0, 1, 2, 3)),),
    "no padding": (step("Pad", ints(*[0] * 8)),),
    "one copy": (step("Tile", ints(1, 1, 1, 1)),),
    "the whole slice": (step("Slice", ints(0), ints(1000), ints(2), ints(1)),),
    "concat of one": (("Concat", [None], {"axis": 1}),),
    "expand to the same": (step("Expand", ints(1, 1, 9, 9)),),
}


@pytest.mark.parametrize("name", IDLE)
def test_nodes_that_do_nothing_go(name: str) -> None:
    small = tidy(network(*IDLE[name], RELU))
    assert [node.op for node in small.nodes] == (["Flatten", "Relu"] if "flat" in name else ["Relu"])
    last = tidy(network(RELU, *IDLE[name]))
    assert [node.op for node in last.nodes] == (["Relu", "Flatten"] if "flat" in name else ["Relu"])
    assert last.nodes[-1].output == last.output_name


@pytest.mark.parametrize(
    "kept",
    [
        step("Slice", ints(-1), ints(-1000), ints(2), ints(-1)),
        step("Transpose", perm=(0, 1, 3, 2)),
        step("Reshape", ints(1, 9, 9, 3)),
        step("Cast", to=10),
    ],
)
def test_nodes_that_do_something_stay(kept: tuple) -> None:  # type: ignore[type-arg]
    assert len(tidy(network(kept)).nodes) == 1


def test_constants_are_computed_once() -> None:
    made = network(
        ("Add", [number(1.0), number(2.0)], {}),
        ("Mul", [None, number(2.0)], {}),
        ("Add", ["image", None], {}),
    )
    small = tidy(made)
    assert [node.op for node in small.nodes] == ["Add"]
    assert small.constants[small.nodes[0].inputs[1]] == np.float32(6.0)
    assert len(small.constants) == 1


def test_a_large_constant_is_not_written_out() -> None:
    made = network(
        ("Expand", [number(1.0), ints(1, 3, 4096, 4096)], {}),
        step("ReduceMax", axes=(2, 3)),
        ("Add", ["image", None], {}),
    )
    assert "Expand" in [node.op for node in tidy(made).nodes]


def test_an_output_that_is_constant_is_made_by_a_node() -> None:
    made = network(("Add", [number(1.0), number(2.0)], {}))
    small = tidy(made)
    assert [node.op for node in small.nodes] == ["Identity"]
    assert OnnxRuntimeRunner(small).run({"image": picture(made)})["t0"] == np.float32(3.0)


def test_an_output_that_is_the_input_keeps_its_node() -> None:
    small = tidy(network(step("Identity")))
    assert [str(node) for node in small.nodes] == ["Identity 'node0'"]


def test_a_name_handed_over_reaches_other_readers() -> None:
    nodes = (
        Node("Relu", "a", ("x",), ("a",)),
        Node("Identity", "b", ("a",), ("b",)),
        Node("Identity", "y", ("b",), ("y",)),
        Node("Neg", "c", ("a",), ("c",)),
        Node("Add", "z", ("b", "c"), ("z",)),
    )
    made = Network((Port("x", (1, 3)),), ("y", "z"), nodes, {})
    small = tidy(made)
    assert [node.op for node in small.nodes] == ["Relu", "Neg", "Add"]
    values = np.array([[-1.0, 2.0, 3.0]], np.float32)
    found = OnnxRuntimeRunner(small).run({"x": values})
    np.testing.assert_array_equal(found["y"], [[0, 2, 3]])
    np.testing.assert_array_equal(found["z"], [[0, 0, 0]])


def test_what_nobody_reads_goes() -> None:
    nodes = (Node("Relu", "a", ("x",), ("a",)), Node("Neg", "b", ("x",), ("b",)))
    made = single("x", (1, 3), "a", nodes, {"spare": np.zeros(3, np.float32)})
    small = without_unread(made)
    assert [node.name for node in small.nodes] == ["a"]
    assert not small.constants


def test_a_network_of_open_size_can_be_tidied() -> None:
    made = network(conv(4, 3), step("Identity"), RELU)
    small = tidy(Network((Port("image", (None, 3, None, None)),), made.outputs, made.nodes, made.constants))
    assert [node.op for node in small.nodes] == ["Conv", "Relu"]
