"""A map flattened with its channels last is flattened in its own order, with the same results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from convert.network import Network, Port
from edge.errors import ModelError
from tests.convert.networks import FLATTEN, RELU, conv, ints, network, number, step

pytest.importorskip("onnx", reason="the onnx package is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")

from convert.passes.flatten import flattened_in_order, with_features_moved
from convert.runners.onnx_runtime import OnnxRuntimeRunner

CHANNELS, HEIGHT, WIDTH = 4, 7, 5
FEATURES = CHANNELS * HEIGHT * WIDTH
HEAD = conv(CHANNELS, 3, (3, 5))
"""Of a picture of 9x9 it makes a map of 7x5, no two sizes alike."""
TO_NHWC = step("Transpose", perm=(0, 2, 3, 1))
WEIGHTS = np.random.default_rng(0).normal(0, 0.02, (FEATURES, 6)).astype(np.float32)
BIAS = np.linspace(-1, 1, 6).astype(np.float32)

FLATTENING: dict[str, Any] = {
    "Flatten": FLATTEN,
    "Flatten, from behind": step("Flatten", axis=-3),
    "Reshape (1, -1)": step("Reshape", ints(1, -1)),
    "Reshape (0, -1)": step("Reshape", ints(0, -1)),
    "Reshape (-1, F)": step("Reshape", ints(-1, FEATURES)),
    "Reshape (1, F)": step("Reshape", ints(1, FEATURES)),
}
DENSE: dict[str, Any] = {
    "Gemm": step("Gemm", WEIGHTS, BIAS),
    "Gemm, turned": step("Gemm", WEIGHTS.T, BIAS, transB=1),
    "Gemm without bias": step("Gemm", WEIGHTS, alpha=0.5),
    "MatMul": step("MatMul", WEIGHTS),
}
BETWEEN: dict[str, Any] = {
    "Identity": step("Identity"),
    "Relu": RELU,
    "LeakyRelu": step("LeakyRelu", alpha=0.1),
    "Sigmoid": step("Sigmoid"),
    "Clip": step("Clip", number(-0.5), number(0.5)),
}


def difference(made: Network, changed: Network, pictures: int = 1) -> float:
    """Greatest difference of all outputs."""
    values = np.random.default_rng(1).normal(0, 1, (pictures, 3, 9, 9)).astype(np.float32)
    found, expected = (OnnxRuntimeRunner(each).run({"image": values}) for each in (changed, made))
    assert all(np.ptp(expected[name]) > 0.1 for name in made.outputs)
    return max(float(np.abs(found[name] - expected[name]).max()) for name in made.outputs)


def operators(made: Network) -> list[str]:
    return [node.op for node in made.nodes]


@pytest.mark.parametrize("dense", DENSE)
@pytest.mark.parametrize("flattening", FLATTENING)
def test_the_matrix_is_turned_instead_of_the_map(flattening: str, dense: str) -> None:
    made = network(HEAD, TO_NHWC, FLATTENING[flattening], DENSE[dense])

    changed = flattened_in_order(made)

    assert operators(changed) == ["Conv", made.nodes[2].op, made.nodes[3].op]
    assert changed.nodes[1].inputs[0] == "t0"
    assert changed.nodes[2].inputs[2:] == made.nodes[3].inputs[2:]
    assert difference(made, changed) <= 1e-6


@pytest.mark.parametrize("perm", [(0, 2, 3, 1), (0, 3, 2, 1), (0, 1, 3, 2), (0, 3, 1, 2), (0, 2, 1, 3)])
def test_every_order_of_axes(perm: tuple[int, ...]) -> None:
    made = network(HEAD, step("Transpose", perm=perm), FLATTEN, DENSE["MatMul"])

    changed = flattened_in_order(made)

    assert operators(changed) == ["Conv", "Flatten", "MatMul"]
    assert difference(made, changed) <= 1e-6


@pytest.mark.parametrize("between", BETWEEN)
def test_what_treats_every_value_alike_may_stand_between(between: str) -> None:
    node = BETWEEN[between]
    made = network(HEAD, TO_NHWC, node, FLATTEN, node, DENSE["Gemm"])

    changed = flattened_in_order(made)

    assert operators(changed) == ["Conv", node[0], "Flatten", node[0], "Gemm"]
    assert difference(made, changed) <= 1e-6


def test_any_number_of_pictures() -> None:
    made = network(HEAD, TO_NHWC, FLATTENING["Reshape (-1, F)"], DENSE["MatMul"])
    made = replace(made, inputs=(Port("image", (None, 3, 9, 9)),))

    changed = flattened_in_order(made)

    assert operators(changed) == ["Conv", "Reshape", "MatMul"]
    assert difference(made, changed, pictures=3) <= 1e-6


def test_several_dense_layers_with_one_matrix() -> None:
    made = network(HEAD, TO_NHWC, FLATTEN, DENSE["MatMul"], ("Gemm", ["t2", "c3_1"], {}))

    changed = flattened_in_order(made.with_outputs(("t3", "t4")))

    assert operators(changed) == ["Conv", "Flatten", "MatMul", "Gemm"]
    assert difference(made.with_outputs(("t3", "t4")), changed) <= 1e-6


def test_a_transpose_that_others_read_stays_for_them() -> None:
    made = network(HEAD, TO_NHWC, FLATTEN, DENSE["Gemm"]).with_outputs(("t3", "t1"))

    changed = flattened_in_order(made)

    assert operators(changed) == ["Conv", "Transpose", "Flatten", "Gemm"]
    assert changed.nodes[2].inputs == ("t0",)
    assert difference(made, changed) <= 1e-6


@pytest.mark.parametrize("flattening", [FLATTEN, step("Reshape", ints(1, 4))])
def test_one_place_has_one_order(flattening: Any) -> None:
    """Whoever reads it."""
    made = network(conv(4, 3, (9, 9)), TO_NHWC, flattening, step("Softmax", axis=1))

    changed = flattened_in_order(made)

    assert operators(changed) == ["Conv", flattening[0], "Softmax"]
    assert difference(made, changed) <= 1e-6


COMPUTED = ("Transpose", ["t2"], {"perm": (1, 0)})
UNCHANGED: dict[str, tuple[Any, ...]] = {
    "the batch is turned": (step("Transpose", perm=(1, 2, 3, 0)), step("Reshape", ints(1, -1)), DENSE["MatMul"]),
    "flattened from the second axis": (TO_NHWC, step("Flatten", axis=2), step("MatMul", WEIGHTS[: WIDTH * CHANNELS])),
    "three axes": (TO_NHWC, step("Reshape", ints(1, 1, -1)), DENSE["MatMul"]),
    "rows of places": (TO_NHWC, step("Reshape", ints(-1, CHANNELS)), step("MatMul", WEIGHTS[:CHANNELS])),
    "softmax between": (TO_NHWC, FLATTEN, step("Softmax", axis=1), DENSE["Gemm"]),
    "numbers of features between": (TO_NHWC, FLATTEN, step("Mul", WEIGHTS[:, 0]), DENSE["Gemm"]),
    "numbers of columns between": (TO_NHWC, step("PRelu", WEIGHTS[:CHANNELS, 0]), FLATTEN, DENSE["Gemm"]),
    "nothing behind": (TO_NHWC, FLATTEN),
    "another reader": (TO_NHWC, FLATTEN, DENSE["MatMul"], ("ReduceMax", ["t2"], {"axes": (1,)}), ("Add", ["t3", "t4"], {})),
    "another reader before": (TO_NHWC, RELU, FLATTEN, DENSE["MatMul"], ("ReduceMax", ["t2"], {"axes": (1, 2, 3), "keepdims": 0}), ("Add", ["t4", "t5"], {})),
    "a computed matrix": (TO_NHWC, FLATTEN, COMPUTED, ("MatMul", ["t2", "t3"], {})),
    "the matrix first": (TO_NHWC, FLATTEN, COMPUTED, ("MatMul", [WEIGHTS.T, "t3"], {})),
    "turned for the product": (TO_NHWC, FLATTEN, step("Gemm", np.ones((1, 3), np.float32), transA=1)),
}  # fmt: skip


@pytest.mark.parametrize("name", UNCHANGED)
def test_what_depends_on_the_order_stays(name: str) -> None:
    made = network(HEAD, *UNCHANGED[name])
    OnnxRuntimeRunner(made)

    assert flattened_in_order(made) is made


def test_an_output_stays() -> None:
    made = network(HEAD, TO_NHWC, FLATTEN, DENSE["Gemm"]).with_outputs(("t3", "t2"))

    assert flattened_in_order(made) is made


def test_a_map_of_open_size_stays() -> None:
    made = network(HEAD, TO_NHWC, FLATTEN, DENSE["Gemm"])
    made = replace(made, inputs=(Port("image", (1, 3, None, None)),))

    assert flattened_in_order(made) is made


def test_features_that_others_read_are_not_moved() -> None:
    made = network(HEAD, FLATTEN, step("Softmax", axis=1))

    with pytest.raises(ModelError, match=r"Softmax 'node2' reads Flatten 'node1'"):
        with_features_moved(made, made.nodes[1], np.arange(FEATURES)[::-1])
    flat = network(HEAD, FLATTEN)
    with pytest.raises(ModelError, match=r"Flatten 'node1' is an output"):
        with_features_moved(flat, flat.nodes[1], np.arange(FEATURES)[::-1])
