from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convert.network import Network
from convert.passes.fold import fold_batch_norms
from convert.passes.old_batch_norm import fold_old_batch_norms
from tests.convert.networks import CASES, FLATTEN, RELU, Step, batch_norm, conv, network, picture

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")


def numbers(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).normal(0.3, 1, shape).astype(np.float32)


def by_channel(op: str, channels: int = 4, *, first: bool = True, seed: int = 1) -> Step:
    value = numbers(channels, 1, 1, seed=seed)
    return op, [None, value] if first else [value, None], {}


def dense(*steps: Step) -> Network:
    return network(conv(4, 3, (8, 8)), FLATTEN, *steps)


def transposed(groups: int = 1) -> Step:
    return "ConvTranspose", [None, numbers(4, 6 // groups, 3, 3)], {"strides": (2, 2), "group": groups}


MATMUL: Step = ("MatMul", [None, numbers(16, 5)], {})
AFFINE = [("Mul", [None, numbers(5)], {}), ("Add", [None, numbers(1, 5)], {})]
AS_PICTURE: Step = ("Reshape", [None, np.array([-1, 5, 1, 1])], {})
BACK: Step = ("Reshape", [None, np.array([0, 5])], {})

FOLDED: dict[str, tuple[Callable[[], Network], list[str]]] = {
    "mul and add": (lambda: network(conv(4, 3), by_channel("Mul"), by_channel("Add"), RELU), ["Conv", "Relu"]),
    "sub and div": (lambda: network(conv(4, 3), by_channel("Sub"), by_channel("Div"), RELU), ["Conv", "Relu"]),
    "constant minus it": (lambda: network(conv(4, 3), by_channel("Sub", first=False), RELU), ["Conv", "Relu"]),
    "constant over it": (lambda: network(conv(4, 3), by_channel("Div", first=False)), ["Conv", "Div"]),
    "one number": (lambda: network(conv(4, 3), ("Mul", [None, np.float32(0.5)], {}), RELU), ["Conv", "Relu"]),
    "bias and batch norm": (lambda: network(conv(4, 3), by_channel("Add"), batch_norm(4), RELU), ["Conv", "Relu"]),
    "depthwise": (lambda: network(conv(3, 1, group=3), by_channel("Mul", 3), RELU), ["Conv", "Relu"]),
    "a constant along rows": (
        lambda: network(conv(4, 3), ("Add", [None, numbers(4, 7, 1)], {}), RELU), ["Conv", "Add", "Relu"]
    ),
    "a constant of columns as many as channels": (
        lambda: network(conv(7, 3), ("Add", [None, numbers(7)], {}), RELU), ["Conv", "Add", "Relu"]
    ),
    "read twice": (
        lambda: network(conv(4, 3), by_channel("Mul"), ("Add", [None, "t0"], {})), ["Conv", "Mul", "Add"]
    ),
    "multiplied by itself": (lambda: network(conv(4, 3), ("Mul", [None, "t0"], {})), ["Conv", "Mul"]),
    "the last one is the output": (lambda: network(conv(4, 3), by_channel("Mul")), ["Conv"]),
    "transposed": (
        lambda: network(conv(4, 3), transposed(), by_channel("Mul", 6), by_channel("Add", 6)), ["Conv", "ConvTranspose"]
    ),
    "transposed in groups": (
        lambda: network(conv(4, 3), transposed(2), by_channel("Mul", 6), by_channel("Add", 6)), ["Conv", "ConvTranspose"]
    ),
    "gemm": (
        lambda: dense(("Gemm", [None, numbers(5, 16), numbers(5)], {"transB": 1, "alpha": 0.5, "beta": 2.0}), *AFFINE),
        ["Conv", "Flatten", "Gemm"],
    ),
    "gemm, one number as bias": (
        lambda: dense(("Gemm", [None, numbers(16, 5), numbers(1)], {}), *AFFINE), ["Conv", "Flatten", "Gemm"]
    ),
    "matmul": (lambda: dense(MATMUL, *AFFINE), ["Conv", "Flatten", "MatMul", "Add"]),
    "matmul, scaled only": (lambda: dense(MATMUL, AFFINE[0]), ["Conv", "Flatten", "MatMul"]),
    "matmul, shifted only": (lambda: dense(MATMUL, AFFINE[1]), ["Conv", "Flatten", "MatMul", "Add"]),
    "matmul, normalised as a picture": (
        lambda: dense(MATMUL, AS_PICTURE, batch_norm(5), BACK), ["Conv", "Flatten", "MatMul", "Add"]
    ),
    "matmul, a picture from then on": (
        lambda: dense(MATMUL, AS_PICTURE, batch_norm(5)), ["Conv", "Flatten", "MatMul", "Reshape", "BatchNormalization"]
    ),
}  # fmt: skip


def assert_same(one: Network, other: Network) -> None:
    from convert.runners.onnx_runtime import OnnxRuntimeRunner

    feeds = {"image": picture(one)}
    expected = OnnxRuntimeRunner(one).run(feeds)[one.output_name]
    np.testing.assert_allclose(OnnxRuntimeRunner(other).run(feeds)[one.output_name], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", FOLDED)
def test_what_scales_and_shifts_channels_is_folded(name: str) -> None:
    build, left = FOLDED[name]
    folded = fold_old_batch_norms(build())
    assert [node.op for node in folded.nodes] == left
    assert_same(build(), folded)


@pytest.mark.parametrize("name", CASES)
def test_folding_changes_no_output(name: str) -> None:
    assert_same(CASES[name](), fold_old_batch_norms(CASES[name]()))


@pytest.mark.parametrize(
    ("build", "left"),
    [
        (lambda: network(conv(4, 3), transposed(2), batch_norm(6)), ["Conv", "ConvTranspose"]),
        (lambda: network(conv(4, 3), by_channel("Mul"), batch_norm(4)), ["Conv", "Mul", "BatchNormalization"]),
        (lambda: dense(MATMUL, AS_PICTURE, batch_norm(5), BACK), ["Conv", "Flatten", "MatMul", "Add"]),
    ],
)
def test_batch_norms_alone_fold_into_other_layers_too(build: Callable[[], Network], left: list[str]) -> None:
    folded = fold_batch_norms(build())
    assert [node.op for node in folded.nodes] == left
    assert_same(build(), folded)


def test_weights_that_others_read_stay_as_they_are() -> None:
    weights = numbers(4, 3, 3, 3)
    made = network(("Conv", [None, weights], {}), by_channel("Mul"), RELU)
    name = made.nodes[0].inputs[1]
    np.testing.assert_array_equal(fold_old_batch_norms(made).constants[name], weights)
