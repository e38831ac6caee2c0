from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra convert)")

import cv2

from convert.importers.base import Imported
from convert.network import Array
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from edge.errors import ModelError
from tests.convert.caffe_files import SIZES, Weights, headed, imported, layer, random


@dataclass(frozen=True)
class Case:
    """Layers, their weights, the operators that they become, and where OpenCV is no reference a function that is one."""

    text: str
    ops: tuple[str, ...]
    weights: Weights = field(default_factory=dict)
    expected: Any = None
    sizes: Sequence[int] = SIZES
    positive: bool = False


def conv(kind: str, more: str) -> str:
    return layer(kind, more=f"convolution_param {{ {more} }}")


X = "data"
MIXED = conv("Convolution", "num_output: 6 kernel_h: 3 kernel_w: 5 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 2 group: 2")
BN = [random(4), np.abs(random(4, seed=1)) + 0.1, [2.5]]
FLAT = layer("Flatten", "flat", top="flat")


def nchw(values: Array) -> Array:
    return values.reshape(1, -1, 1, 1)


CASES: dict[str, Case] = {
    "convolution": Case(conv("Convolution", "num_output: 3 kernel_size: 3 pad: 1 stride: 2"), ("Conv",), {"it": [random(3, 4, 3, 3), random(3)]}),
    "convolution, one setting an axis, groups": Case(MIXED, ("Conv",), {"it": [random(6, 2, 3, 5), random(6)]}),
    "convolution, kernel given twice": Case(
        conv("Convolution", "num_output: 3 kernel_size: 3 kernel_size: 1 bias_term: false"), ("Conv",), {"it": [random(3, 4, 3, 1)]}
    ),
    "convolution, dilated": Case(conv("Convolution", "num_output: 3 kernel_size: 3 dilation: 2"), ("Conv",), {"it": [random(3, 4, 3, 3), random(3)]}),
    "deconvolution": Case(
        conv("Deconvolution", "num_output: 3 kernel_size: 3 stride: 2 pad: 1"), ("ConvTranspose",), {"it": [random(4, 3, 3, 3), random(3)]}
    ),
    "inner product": Case(
        layer("InnerProduct", more="inner_product_param { num_output: 5 }"), ("Flatten", "Gemm"), {"it": [random(5, 396), random(5)]}
    ),
    "inner product of a vector, no bias": Case(
        FLAT + layer("InnerProduct", bottom="flat", more="inner_product_param { num_output: 5 bias_term: false }"),
        ("Flatten", "Gemm"), {"it": [random(5, 396)]},
    ),
    "inner product, transposed": Case(
        layer("InnerProduct", more="inner_product_param { num_output: 5 transpose: true }"), ("Flatten", "Gemm"),
        {"it": [random(396, 5), random(5)]}, lambda x: x.reshape(1, -1) @ random(396, 5) + random(5),
    ),
    "inner product, last axis": Case(
        layer("InnerProduct", more="inner_product_param { num_output: 5 axis: 3 }"), ("MatMul", "Add"),
        {"it": [random(5, 11), random(5)]}, lambda x: x @ random(5, 11).T + random(5),
    ),
    "batch norm": Case(layer("BatchNorm", more="batch_norm_param { eps: 0.001 }"), ("BatchNormalization",), {"it": BN}),
    "batch norm whose factor is 0": Case(
        layer("BatchNorm"), ("BatchNormalization",), {"it": [*BN[:2], [0.0]]}, lambda x: x / np.sqrt(1e-5)
    ),
    "scale with bias": Case(layer("Scale", more="scale_param { bias_term: true }"), ("BatchNormalization",), {"it": [random(4), random(4, seed=1)]}),
    "scale along two axes": Case(
        layer("Scale", more="scale_param { axis: 2 num_axes: 2 bias_term: true }"), ("Mul", "Add"),
        {"it": [random(9, 11), random(9, 11, seed=1)]}, lambda x: x * random(9, 11) + random(9, 11, seed=1),
    ),
    "scale by a second input": Case(
        layer("Pooling", "pool", top="pool", more="pooling_param { pool: AVE global_pooling: true }")
        + layer("Flatten", "flat", bottom="pool", top="flat")
        + layer("Scale", bottom=["data", "flat"], more="scale_param { axis: 0 }"),
        ("GlobalAveragePool", "Flatten", "Unsqueeze", "Mul"), expected=lambda x: x * x.mean((2, 3), keepdims=True),
    ),
    "bias": Case(layer("Bias"), ("Add",), {"it": [random(4)]}, lambda x: x + nchw(random(4))),
    "ReLU": Case(layer("ReLU"), ("Relu",)),
    "ReLU with a slope": Case(layer("ReLU", more="relu_param { negative_slope: 0.1 }"), ("LeakyRelu",)),
    "ReLU6": Case(layer("ReLU6"), ("Clip",), expected=lambda x: np.clip(x, 0, 6)),
    "PReLU": Case(layer("PReLU"), ("PRelu",), {"it": [random(4)]}),
    "PReLU of a vector": Case(
        FLAT + layer("PReLU", bottom="flat"), ("Flatten", "PRelu"), {"it": [random(396)]},
        lambda x: np.where(x < 0, x * random(396).reshape(x.shape), x).reshape(1, -1),
    ),
    "PReLU, one slope": Case(layer("PReLU", more="prelu_param { channel_shared: true }"), ("LeakyRelu",), {"it": [[0.2]]}),
    "ELU": Case(layer("ELU"), ("Elu",)),
    "sigmoid": Case(layer("Sigmoid"), ("Sigmoid",)),
    "tanh": Case(layer("TanH"), ("Tanh",)),
    "absolute value": Case(layer("AbsVal"), ("Abs",)),
    "BNLL": Case(layer("BNLL"), ("Softplus",)),
    "softmax": Case(layer("Softmax"), ("Softmax",)),
    "softmax, last axis": Case(layer("Softmax", more="softmax_param { axis: -1 }"), ("Softmax",)),
    "dropout": Case(layer("Dropout"), ("Identity",)),
    "dropout that scales when used": Case(
        layer("Dropout", more="dropout_param { scale_train: false dropout_ratio: 0.2 }"), ("Mul",), expected=lambda x: x * 0.8
    ),
    "power": Case(layer("Power", more="power_param { power: 2 scale: 0.5 shift: 3 }"), ("Mul", "Add", "Pow"), positive=True),
    "power that does nothing": Case(layer("Power"), ("Identity",)),
    "exp": Case(
        layer("Exp", more="exp_param { base: 2 scale: 0.5 shift: 1 }"), ("Mul", "Add", "Exp"), expected=lambda x: 2 ** (1 + 0.5 * x)
    ),
    "log": Case(
        layer("Log", more="log_param { base: 10 scale: 2 shift: 1 }"), ("Mul", "Add", "Log", "Mul"),
        expected=lambda x: np.log10(1 + 2 * x), positive=True,
    ),
    # OpenCV 4.11 leaves k out.
    "LRN across channels": Case(
        layer("LRN", more="lrn_param { local_size: 3 alpha: 0.5 beta: 0.7 k: 2 }"), ("LRN",),
        expected=lambda x: across_channels(x, 3, 0.5, 0.7, 2),
    ),
    "LRN within a channel": Case(
        layer("LRN", more="lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }"),
        ("Mul", "AveragePool", "Mul", "Add", "Pow", "Mul"), expected=lambda x: within_channel(x, 3, 0.5, 0.75),
    ),
    "sum with factors": Case(
        layer("ReLU", "relu", top="relu") + layer("Eltwise", bottom=["data", "relu", "data"], more="eltwise_param { coeff: 1 coeff: -2 coeff: 0.5 }"),
        ("Relu", "Mul", "Mul", "Add", "Add"),
    ),
    "product": Case(
        layer("Sigmoid", "s", top="s") + layer("Eltwise", bottom=["data", "s"], more="eltwise_param { operation: PROD }"), ("Sigmoid", "Mul")
    ),
    "maximum": Case(
        layer("TanH", "t", top="t") + layer("Eltwise", bottom=["data", "t"], more="eltwise_param { operation: MAX }"), ("Tanh", "Max")
    ),
    "concat": Case(layer("TanH", "t", top="t") + layer("Concat", bottom=["data", "t"], more="concat_param { axis: 2 }"), ("Tanh", "Concat")),
    "slice": Case(
        'layer { name: "it" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { slice_point: 1 } }\n'
        + layer("TanH", "t", bottom="a"), ("Split", "Tanh"), expected=lambda x: {"out": np.tanh(x[:, :1]), "b": x[:, 1:]},
    ),
    "slice in equal parts": Case(
        'layer { name: "it" type: "Slice" bottom: "data" top: "a" top: "b" }\n' + layer("TanH", "t", bottom="b"),
        ("Split", "Tanh"), expected=lambda x: {"out": np.tanh(x[:, 2:]), "a": x[:, :2]},
    ),
    "split": Case(
        'layer { name: "it" type: "Split" bottom: "data" top: "a" top: "b" }\n'
        + layer("TanH", "t", bottom="a", top="c") + layer("Eltwise", "sum", bottom=["b", "c"]),
        ("Identity", "Identity", "Tanh", "Add"), expected=lambda x: x + np.tanh(x),
    ),
    "flatten": Case(layer("Flatten"), ("Flatten",)),
    "flatten two axes": Case(layer("Flatten", more="flatten_param { axis: 1 end_axis: 2 }"), ("Reshape",)),
    "reshape": Case(layer("Reshape", more="reshape_param { shape { dim: 0 dim: -1 dim: 2 } }"), ("Reshape",)),
    "reshape of a part": Case(
        layer("Reshape", more="reshape_param { axis: 1 num_axes: 1 shape { dim: 2 dim: 2 } }"), ("Reshape",),
        expected=lambda x: x.reshape(-1, 2, 2, 9, 11),
    ),
    "permute": Case(layer("Permute", more="permute_param { order: 0 order: 2 order: 3 order: 1 }"), ("Transpose",)),
    "permute, the rest follows": Case(
        layer("Permute", more="permute_param { order: 2 }"), ("Transpose",), expected=lambda x: x.transpose(2, 0, 1, 3)
    ),
    "crop": Case(
        layer("Pooling", "small", top="small", more="pooling_param { kernel_size: 2 }")
        + layer("Crop", bottom=["data", "small"], more="crop_param { offset: 1 offset: 0 }"),
        ("MaxPool", "Slice"), expected=lambda x: x[:, :, 1:9, :10],
    ),
    "axpy": Case(
        layer("Pooling", "pool", top="pool", more="pooling_param { pool: AVE global_pooling: true }")
        + layer("Axpy", bottom=["pool", "data", "data"]),
        ("GlobalAveragePool", "Mul", "Add"), expected=lambda x: x * x.mean((2, 3), keepdims=True) + x,
    ),
    "normalize over channels": Case(
        layer("Normalize", more="norm_param { across_spatial: false channel_shared: false }"),
        ("Mul", "ReduceSum", "Add", "Sqrt", "Div", "Mul"), {"it": [random(4)]},
    ),
    "normalize over all": Case(
        layer("Normalize"), ("Mul", "ReduceSum", "Add", "Sqrt", "Div", "Mul"), {"it": [[3.0]]},
        lambda x: 3 * x / np.sqrt((x * x).sum((1, 2, 3), keepdims=True) + 1e-10),
    ),
    "upsample": Case(
        layer("Upsample", more="upsample_param { scale: 2 }"), ("Resize",), expected=lambda x: x.repeat(2, 2).repeat(2, 3)
    ),
    "interp": Case(layer("Interp", more="interp_param { height: 17 width: 21 }"), ("Resize",)),
    "interp by a factor": Case(
        layer("Interp", more="interp_param { zoom_factor: 2 }"), ("Resize",), expected=lambda x: bilinear(x, 17, 21)
    ),
}  # fmt: skip


def across_channels(x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    squares = np.pad(x.astype(np.float64) ** 2, ((0, 0), (size // 2, size // 2), (0, 0), (0, 0)))
    total = sum(squares[:, i : i + x.shape[1]] for i in range(size))
    return np.asarray(x * (k + alpha / size * total) ** -beta)


def within_channel(x: Array, size: int, alpha: float, beta: float) -> Array:
    half = size // 2
    squares = np.pad(x.astype(np.float64) ** 2, ((0, 0), (0, 0), (half, half), (half, half)))
    total = sum(squares[:, :, i : i + x.shape[2], j : j + x.shape[3]] for i in range(size) for j in range(size))
    return np.asarray(x * (1 + alpha * total / size**2) ** -beta)


def bilinear(x: Array, height: int, width: int) -> Array:
    """Corners on corners."""
    rows = [
        np.interp(np.linspace(0, x.shape[2] - 1, height), np.arange(x.shape[2]), column)
        for column in x[0].transpose(0, 2, 1).reshape(-1, x.shape[2])
    ]
    tall = np.array(rows).reshape(x.shape[1], x.shape[3], height).transpose(0, 2, 1).reshape(-1, x.shape[3])
    wide = [np.interp(np.linspace(0, x.shape[3] - 1, width), np.arange(x.shape[3]), row) for row in tall]
    return np.array(wide).reshape(1, x.shape[1], height, width)


def feed(case: Case) -> Array:
    values = random(*case.sizes, seed=9) * 3
    return np.abs(values) if case.positive else values


@pytest.mark.parametrize("name", CASES)
def test_a_layer_gives_what_caffe_says(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    made = imported(tmp_path, headed(case.text, case.sizes), case.weights)
    values = feed(case)

    found = OnnxRuntimeRunner(made.network).run({"data": values})
    expected = reference(made, case, values)

    assert tuple(node.op for node in made.network.nodes) == case.ops
    assert found.keys() == expected.keys()
    for output, wanted in expected.items():
        assert found[output].shape == wanted.shape
        assert np.abs(found[output] - wanted).max() <= 2e-5 * max(1.0, np.abs(wanted).max())


def reference(made: Imported, case: Case, values: Array) -> dict[str, Array]:
    if case.expected is None:
        if not made.reference.label.startswith("cv2.dnn"):
            pytest.skip("this OpenCV does not read Caffe files")
        return dict(made.reference.run({"data": values}))
    wanted = case.expected(values)
    return wanted if isinstance(wanted, dict) else {"out": wanted}


@pytest.mark.skipif(not hasattr(cv2.dnn, "readNetFromCaffe"), reason="OpenCV 5 does not read Caffe files")
def test_opencv_is_the_reference_of_what_it_knows_and_onnx_runtime_of_the_rest(tmp_path: Path) -> None:
    known = imported(tmp_path / "a", headed(CASES["softmax"].text), {})
    unknown = imported(tmp_path / "b", headed(CASES["bias"].text), CASES["bias"].weights)

    assert known.reference.label == f"cv2.dnn {cv2.__version__}, Caffe files"
    assert unknown.reference.label.startswith("onnxruntime ")


@pytest.mark.parametrize(
    ("text", "weights", "words"),
    [
        (conv("Convolution", "num_output: 3 kernel_size: 3"), {"it": [random(3, 4, 3, 3)]}, "1 set"),
        (conv("Convolution", "num_output: 3 kernel_size: 3"), {}, "0 set"),
        (conv("Convolution", "num_output: 3 kernel_size: 3"), {"it": [random(3, 5, 3, 3), random(3)]}, "weights of shape"),
        (conv("Convolution", "num_output: 3 kernel_size: 3 group: 3"), {"it": [random(3, 4, 3, 3)]}, "in 3 group"),
        (conv("Convolution", "num_output: 3 kernel_size: 99999"), {"it": [random(3, 4, 3, 3)]}, "kernel"),
        (conv("Convolution", "num_output: 3 kernel_size: 50"), {"it": [random(3, 4, 50, 50), random(3)]}, "output of shape"),
        (conv("Convolution", "num_output: 3 kernel_size: 0"), {"it": [random(3, 4, 3, 3)]}, "kernel"),
        (conv("Convolution", "num_output: -3 kernel_size: 3"), {"it": [random(3, 4, 3, 3)]}, "-3 outputs"),
        (layer("BatchNorm"), {"it": BN[:2]}, "2 sets"),
        (layer("BatchNorm", more="batch_norm_param { use_global_stats: false }"), {"it": BN}, "use_global_stats"),
        (layer("Scale", more="scale_param { axis: 9 }"), {"it": [random(4)]}, "axis 9"),
        (layer("Pooling", more="pooling_param { pool: STOCHASTIC kernel_size: 2 }"), {}, "stochastic"),
        (layer("Pooling", more="pooling_param { kernel_size: 2 pad: 2 }"), {}, "pad"),
        (layer("Pooling"), {}, "kernel"),
        (layer("Reshape", more="reshape_param { shape { dim: 7 } }"), {}, "the same number"),
        (layer("Reshape", more="reshape_param { shape { dim: -1 dim: -1 } }"), {}, "one -1"),
        (layer("Reshape", more="reshape_param { shape { dim: 0 dim: -1 dim: 5 } }"), {}, "the same number"),
        (layer("Permute", more="permute_param { order: 7 }"), {}, "every axis once"),
        (layer("Eltwise"), {}, "two inputs"),
        (layer("Upsample", more="upsample_param { scale: 4096 }"), {}, "scale"),
        (layer("Interp", more="interp_param { height: 999999 width: 999999 }"), {}, "output of shape"),
        (layer("Crop"), {}, "input"),
        (layer("PriorBox", bottom=["data", "data"], more="prior_box_param { min_size: -4 }"), {}, "priors"),
        (layer("Slice", more="slice_param { slice_point: 9 }"), {}, "a part for each"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_the_layers_name(
    text: str, weights: Weights, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        imported(tmp_path, headed(text), weights)

    assert words in str(caught.value)
    assert "net.prototxt" in caught.value.where
    assert "'it'" in caught.value.where
    assert caught.value.expected or caught.value.hint
