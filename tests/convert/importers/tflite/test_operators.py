from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.importers.base import Request
from convert.importers.tflite import import_tflite
from convert.importers.tflite.reading import read_graph
from convert.network import OPERATORS as DIALECT
from convert.network import Array
from convert.runners.layout import to_nchw
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from edge.errors import ModelError
from tests.convert.importers.tflite.cases import CASES, random, written
from tests.convert.importers.tflite.handmade import Handmade

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed (pip install 'ostiary[litert]')")


def both(path: Path, *images: Array) -> tuple[Any, dict[str, Array], dict[str, Array]]:
    """The import, what the network computes, and what the TFLite runtime computes."""
    imported = import_tflite(Request((path,)))
    feeds = {port.name: to_nchw(image) for port, image in zip(imported.network.inputs, images, strict=True)}
    return imported, OnnxRuntimeRunner(imported.network).run(feeds), imported.reference.run(feeds)


@pytest.mark.parametrize("name", CASES)
def test_operators_compute_what_the_runtime_computes(name: str, tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed (pip install 'ostiary[convert]')")
    case = CASES[name]
    path = written(tf, case, tmp_path / "tiny.tflite")
    assert case.operators <= {operator.op for operator in read_graph(path).operators}
    imported, made, expected = both(path, random(*case.shape, seed=5))
    assert {node.op for node in imported.network.nodes} <= DIALECT
    assert made.keys() == expected.keys()
    for output, value in expected.items():
        assert made[output].shape == value.shape
        np.testing.assert_allclose(made[output], value, atol=1e-5, err_msg=f"{output}")


def _dilated(hand: Handmade, x: int) -> int:
    block, pads = hand.constant(np.array([2, 3], np.int32)), hand.constant(np.array([[2, 2], [3, 6]], np.int32))
    spread = hand.call("SPACE_TO_BATCH_ND", [x, block, pads], hand.tensor((6, 6, 5, 4)))
    weights, bias = hand.constant(random(5, 3, 3, 4)), hand.constant(random(5))
    how = {"padding": 1, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    conv = hand.call(
        "CONV_2D", [spread, weights, bias], hand.tensor((6, 4, 3, 5)), "Conv2DOptions", **how, fusedActivationFunction=1
    )
    crops = hand.constant(np.array([[0, 0], [0, 3]], np.int32))
    return hand.call("BATCH_TO_SPACE_ND", [conv, block, crops], hand.tensor((1, 8, 6, 5)))


def _fused(number: int) -> Any:
    def build(hand: Handmade, x: int) -> int:
        double = hand.constant(np.array([3.0], np.float32))
        return hand.call("MUL", [x, double], hand.tensor((1, 8, 6, 4)), "MulOptions", fusedActivationFunction=number)

    return build


def _plain(op: str, kind: str = "", **options: Any) -> Any:
    return lambda hand, x: hand.call(op, [x], hand.tensor((1, 8, 6, 4)), kind, **options)


def _kept(hand: Handmade, x: int) -> int:
    read = [x, hand.constant(random(3, 4)), hand.constant(random(3))]
    return hand.call("FULLY_CONNECTED", read, hand.tensor((1, 8, 6, 3)), "FullyConnectedOptions", keepNumDims=True)


def _rows(hand: Handmade, x: int) -> int:
    read = [x, hand.constant(random(3, 24)), -1]
    return hand.call("FULLY_CONNECTED", read, hand.tensor((8, 3)), "FullyConnectedOptions")


def _pooled(hand: Handmade, x: int) -> int:
    how = {"padding": 0, "strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2}
    return hand.call(
        "AVERAGE_POOL_2D", [x], hand.tensor((1, 4, 3, 4)), "Pool2DOptions", **how, fusedActivationFunction=1
    )


def _half_weights(hand: Handmade, x: int) -> int:
    half = hand.constant(random(3, 3, 3, 4).astype(np.float16))
    weights = hand.call("DEQUANTIZE", [half], hand.tensor((3, 3, 3, 4)))
    how = {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    return hand.call(
        "CONV_2D", [x, weights, hand.constant(random(3))], hand.tensor((1, 8, 6, 3)), "Conv2DOptions", **how
    )


HANDMADE = {
    "dilation by blocks": (_dilated, ["Conv", "Relu"]),
    "relu within": (_fused(1), ["Mul", "Relu"]),
    "-1 to 1 within": (_fused(2), ["Mul", "Clip"]),
    "relu6 within": (_fused(3), ["Mul", "Clip"]),
    "0 to 1": (_plain("RELU_0_TO_1"), ["Clip"]),
    "hard swish": (_plain("HARD_SWISH"), ["HardSigmoid", "Mul"]),
    "gelu": (_plain("GELU", "GeluOptions", approximate=False), ["Mul", "Erf", "Mul", "Add", "Mul"]),
    "a softer softmax": (_plain("SOFTMAX", "SoftmaxOptions", beta=0.5), ["Mul", "Softmax"]),
    "fully connected, axes kept": (_kept, ["Transpose", "Reshape", "Gemm", "Reshape"]),
    "fully connected, axes joined": (_rows, ["Transpose", "Reshape", "Gemm"]),
    "average with relu": (_pooled, ["AveragePool", "Relu"]),
    "float16 weights": (_half_weights, ["Conv"]),
}


@pytest.mark.parametrize("name", HANDMADE)
def test_what_converters_no_longer_write_is_read_too(name: str, tmp_path: Path) -> None:
    build, operators = HANDMADE[name]
    hand = Handmade()
    path = hand.save(tmp_path / "tiny.tflite", build(hand, hand.input((1, 8, 6, 4))))
    imported, made, expected = both(path, random(1, 8, 6, 4, seed=5))
    found = [node.op for node in imported.network.nodes if node.op != "Identity"]
    assert sorted(set(found)) == sorted(set(operators)), found
    for output, value in expected.items():
        assert made[output].shape == value.shape
        np.testing.assert_allclose(made[output], value, atol=1e-5)


def test_a_convolution_between_blocks_becomes_one_with_dilation(tmp_path: Path) -> None:
    hand = Handmade()
    path = hand.save(tmp_path / "tiny.tflite", _dilated(hand, hand.input((1, 8, 6, 4))))
    conv = import_tflite(Request((path,))).network.nodes[0]
    assert conv.op == "Conv"
    assert conv.attributes["dilations"] == (2, 3)
    assert conv.attributes["pads"] == (2, 3, 2, 3)


def test_shapes_that_are_computed_are_known(tmp_path: Path) -> None:
    hand = Handmade()
    x = hand.input((1, 8, 6, 4))
    shape = hand.call("SHAPE", [x], hand.tensor((4,), "int32"), "ShapeOptions", outType=2)
    ends = [hand.constant(np.array([value], np.int32)) for value in (0, 1, 1)]
    cut = hand.call("STRIDED_SLICE", [shape, *ends], hand.tensor((), "int32"), "StridedSliceOptions", shrinkAxisMask=1)
    rest = hand.constant(np.array(-1, np.int32))
    four = hand.constant(np.array(4, np.int32))
    packed = hand.call("PACK", [cut, rest, four], hand.tensor((3,), "int32"), "PackOptions", valuesCount=3, axis=0)
    path = hand.save(tmp_path / "tiny.tflite", hand.call("RESHAPE", [x, packed], hand.tensor((1, 48, 4))))
    imported = import_tflite(Request((path,)))
    assert [node.op for node in imported.network.nodes] == ["Transpose", "Reshape"]
    image = random(1, 8, 6, 4)
    made = OnnxRuntimeRunner(imported.network).run({"t0": to_nchw(image)})
    np.testing.assert_array_equal(made[imported.network.output_name], image.reshape(1, 48, 4))


def _bad_stride(hand: Handmade, x: int) -> int:
    weights = hand.constant(random(5, 3, 3, 4))
    return hand.call("CONV_2D", [x, weights], hand.tensor((1, 8, 6, 5)), "Conv2DOptions", strideH=0, strideW=1)


def _bad_weights(hand: Handmade, x: int) -> int:
    how = {"strideH": 1, "strideW": 1}
    return hand.call("CONV_2D", [x, hand.constant(random(5, 3))], hand.tensor((1, 8, 6, 5)), "Conv2DOptions", **how)


def _computed_weights(hand: Handmade, x: int) -> int:
    how = {"strideH": 1, "strideW": 1}
    return hand.call("CONV_2D", [x, x], hand.tensor((1, 8, 6, 5)), "Conv2DOptions", **how)


def _numbers(op: str, *values: Any, kind: str = "", **options: Any) -> Any:
    def build(hand: Handmade, x: int) -> int:
        read = [hand.constant(np.asarray(value, np.int32)) for value in values]
        return hand.call(op, [x, *read], hand.tensor((1, 8, 6, 4)), kind, **options)

    return build


BAD = {
    "a stride of 0": (_bad_stride, "StrideH 0"),
    "flat weights": (_bad_weights, "weights of shape"),
    "computed weights": (_computed_weights, "depends on the input"),
    "too many values": (_numbers("RESHAPE", [1, 8, 6, 5]), "as many values"),
    "an axis that is not there": (_numbers("MEAN", [7], kind="ReducerOptions"), "-4 to 3"),
    "a huge tile": (_numbers("TILE", [1, 2**30, 1, 1]), "multiples"),
    "negative padding": (_numbers("PAD", [[0, 0], [-3, 0], [0, 0], [0, 0]]), "paddings"),
    "an order that is none": (_numbers("TRANSPOSE", [0, 0, 1, 2]), "orders axes"),
    "a part outside": (_numbers("SLICE", [0, 5, 0, 0], [1, 9, 6, 4]), "a part"),
    "steps of 0": (_numbers("STRIDED_SLICE", [0], [1], [0], kind="StridedSliceOptions"), "no 0"),
    "an index outside": (_numbers("GATHER", [99], kind="GatherOptions", axis=1), "indices outside"),
    "no size": (_numbers("RESIZE_BILINEAR", [0, 4], kind="ResizeBilinearOptions"), "a size of"),
    "a huge size": (_numbers("RESIZE_BILINEAR", [2**30, 4], kind="ResizeBilinearOptions"), "a size of"),
    "a block that does not divide": (_plain("DEPTH_TO_SPACE", "DepthToSpaceOptions", blockSize=3), "a divisor"),
    "an unknown activation": (_fused(5), "activation SIGN_BIT"),
    "one that no kernel has": (_fused(4), "activation TANH"),
    "symmetric padding": (
        _numbers("MIRROR_PAD", [[0, 0], [2, 2], [0, 0], [0, 0]], kind="MirrorPadOptions", mode=1),
        "SYMMETRIC",
    ),
    "one input too few": (_plain("ADD", "AddOptions"), "no input 1"),
    "options of another": (_plain("ADD", "MulOptions"), "options of another operator"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_operator_that_cannot_be_meant_is_named(name: str, tmp_path: Path) -> None:
    build, found = BAD[name]
    hand = Handmade()
    path = hand.save(tmp_path / "tiny.tflite", build(hand, hand.input((1, 8, 6, 4))))
    with pytest.raises(ModelError, match=found) as caught:
        import_tflite(Request((path,)))
    assert str(path) in str(caught.value)
