"""The network in the formats that need no framework to be written: ONNX, MXNet, Caffe, pickled NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.convert import caffe_files
from tests.convert.caffe_files import headed, layer
from tests.convert.every_format.design import EPSILON, NORMS, SHAPE, Weights
from tests.convert.mxnet_files import SymbolWriter

_IR_OF = {7: 3, 11: 6, 13: 7, 17: 8}
"""Opset -> version of the container when it was new. Up to 3, weights are listed among the inputs."""


def onnx_file(folder: Path, held: Weights, opset: int) -> tuple[Path]:
    kind = onnx.TensorProto.FLOAT
    arrays = {name: value.reshape(-1, 1, 1) if "prelu" in name else value for name, value in held.items()}
    inputs = [helper.make_tensor_value_info("image", kind, SHAPE)]
    if _IR_OF[opset] == 3:
        inputs += [helper.make_tensor_value_info(name, kind, value.shape) for name, value in arrays.items()]
    graph = helper.make_graph(
        _onnx_nodes(),
        "small",
        inputs,
        [helper.make_tensor_value_info("embedding", kind, (1, 16))],
        [numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=_IR_OF[opset])
    onnx.checker.check_model(model)
    path = folder / f"small-{opset}.onnx"
    path.write_bytes(model.SerializeToString())
    return (path,)


def _onnx_nodes() -> list[Any]:
    def norm(name: str) -> Any:
        parts = [f"{name}_norm.{part}" for part in NORMS]
        return helper.make_node("BatchNormalization", [name, *parts], [f"{name}_norm"], epsilon=EPSILON)

    def prelu(name: str) -> Any:
        return helper.make_node("PRelu", [f"{name}_norm", f"{name}_prelu.weight"], [f"{name}_prelu"])

    return [
        helper.make_node("Conv", ["image", "stem.weight"], ["stem"], kernel_shape=[3, 3], strides=[2, 2]),
        norm("stem"),
        prelu("stem"),
        helper.make_node(
            "Conv", ["stem_prelu", "depth.weight"], ["depth"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=8
        ),
        norm("depth"),
        prelu("depth"),
        helper.make_node("Conv", ["depth_prelu", "point.weight", "point.bias"], ["point"], kernel_shape=[1, 1]),
        helper.make_node("Add", ["point", "stem_prelu"], ["sum"]),
        helper.make_node("MaxPool", ["sum"], ["pool"], kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("Conv", ["pool", "last.weight", "last.bias"], ["last"], kernel_shape=[3, 3]),
        helper.make_node("Flatten", ["last"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "dense.weight", "dense.bias"], ["embedding"], transB=1),
    ]


def mxnet_files(folder: Path, held: Weights) -> tuple[Path, Path]:
    writer = SymbolWriter()

    def conv(name: str, source: int, *, biased: bool, **how: Any) -> int:
        kinds = ("weight", "bias") if biased else ("weight",)
        inputs = [source, *(writer.variable(f"{name}_{kind}", held[f"{name}.{kind}"]) for kind in kinds)]
        shape = held[f"{name}.weight"].shape
        sizes = {"kernel": shape[2:], "num_filter": shape[0], "no_bias": not biased}
        return writer.call("Convolution", name, list(inputs), **sizes, **how)

    def activated(name: str, source: int) -> int:
        ends = ("gamma", "beta", "moving_mean", "moving_var")
        parts = [
            writer.variable(f"{name}_norm_{end}", held[f"{name}_norm.{part}"])
            for end, part in zip(ends, NORMS, strict=True)
        ]
        normal = writer.call("BatchNorm", f"{name}_norm", [source, *parts], eps=EPSILON, fix_gamma=False)
        slopes = writer.variable(f"{name}_prelu_gamma", held[f"{name}_prelu.weight"])
        return writer.call("LeakyReLU", f"{name}_prelu", [normal, slopes], act_type="prelu")

    stem = activated("stem", conv("stem", writer.variable("data"), biased=False, stride=(2, 2)))
    depth = activated("depth", conv("depth", stem, biased=False, pad=(1, 1), num_group=8))
    total = writer.call("elemwise_add", "sum", [conv("point", depth, biased=True), stem])
    pool = writer.call("Pooling", "pool", [total], kernel=(3, 3), stride=(2, 2), pool_type="max")
    flat = writer.call("Flatten", "flat", [conv("last", pool, biased=True)])
    dense = [writer.variable(f"dense_{kind}", held[f"dense.{kind}"]) for kind in ("weight", "bias")]
    writer.call("FullyConnected", "dense", [flat, *dense], num_hidden=16)
    return writer.save(folder, name="small")


_CONV = "convolution_param {{ num_output: {} kernel_size: {} {} }}"
_NORMAL = f"batch_norm_param {{ eps: {EPSILON} }}"
_SCALE = "scale_param { bias_term: true }"


def caffe_text() -> str:
    """Activations and norms in place, as Caffe's users write them."""

    def activated(name: str) -> str:
        norm = layer("BatchNorm", f"{name}_norm", bottom=name, top=name, more=_NORMAL)
        scale = layer("Scale", f"{name}_scale", bottom=name, top=name, more=_SCALE)
        return norm + scale + layer("PReLU", f"{name}_prelu", bottom=name, top=name)

    def conv(name: str, bottom: str, *how: Any) -> str:
        return layer("Convolution", name, bottom=bottom, top=name, more=_CONV.format(*how))

    return headed(
        conv("stem", "data", 8, 3, "stride: 2 bias_term: false")
        + activated("stem")
        + conv("depth", "stem", 8, 3, "pad: 1 group: 8 bias_term: false")
        + activated("depth")
        + conv("point", "depth", 8, 1, "")
        + layer("Eltwise", "sum", bottom=["point", "stem"], top="sum")
        + layer(
            "Pooling", "pool", bottom="sum", top="pool", more="pooling_param { pool: MAX kernel_size: 3 stride: 2 }"
        )
        + conv("last", "pool", 16, 3, "")
        + layer("InnerProduct", "dense", bottom="last", top="embedding", more="inner_product_param { num_output: 16 }"),
        SHAPE,
    )


def caffe_weights(held: Weights) -> dict[str, list[Any]]:
    """Caffe keeps sums of means and variances, and by what to divide them."""
    blobs = {name: [held[f"{name}.weight"]] for name in ("stem", "depth")}
    blobs |= {name: [held[f"{name}.weight"], held[f"{name}.bias"]] for name in ("point", "last", "dense")}
    for name in ("stem", "depth"):
        gamma, beta, mean, variance = (held[f"{name}_norm.{part}"] for part in NORMS)
        blobs |= {f"{name}_norm": [mean * 4, variance * 4, [4.0]], f"{name}_scale": [gamma, beta]}
        blobs[f"{name}_prelu"] = [held[f"{name}_prelu.weight"]]
    return blobs


def caffe_model(folder: Path, held: Weights) -> tuple[Path, Path]:
    return caffe_files.files(folder, caffe_text(), caffe_weights(held))


def numpy_file(folder: Path, held: Weights) -> tuple[Path]:
    """Layer -> kind -> array, pickled; kernels as (x, y, in, out), matrices as (in, out)."""
    layers: dict[str, dict[str, Any]] = {}
    for name, value in held.items():
        of, _, kind = name.partition(".")
        shown = kind
        if "norm" not in of:
            shown = "alpha" if "prelu" in of else {"weight": "weights", "bias": "biases"}[kind]
        layers.setdefault(of, {})[shown] = np.ascontiguousarray(value.T)
    path = folder / "small.npy"
    np.save(path, np.array(layers, dtype=object), allow_pickle=True)
    return (path,)
