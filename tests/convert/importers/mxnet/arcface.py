"""A small network of the operators of the ArcFace ResNets (LResNetE-IR with squeeze and excitation), and what it computes."""

from __future__ import annotations

import numpy as np

from convert.network import Array
from tests.convert.importers.mxnet import plain
from tests.convert.importers.mxnet.cases import random
from tests.convert.mxnet_files import SymbolWriter

SIZE = 16
WIDTH = 6


class ArcFace(SymbolWriter):
    """data -> fc1, as InsightFace's `fresnet` writes it: version_input 1, version_output E, version_unit 3, version_se 1."""

    def conv(self, name: str, source: int, inside: int, out: int, side: int, *, stride: int = 1) -> int:
        weight = self.variable(f"{name}_weight", random(out, inside, side, side, seed=len(self.nodes)))
        how = {"kernel": (side, side), "stride": (stride, stride), "pad": (side // 2, side // 2), "workspace": 256}
        return self.call("Convolution", name, [source, weight], num_filter=out, no_bias=True, **how)

    def norm(self, name: str, source: int, channels: int, *, fixed: bool = False) -> int:
        seed = len(self.nodes)
        parts = [random(channels, seed=seed + place) for place in range(4)]
        parts[3] = np.abs(parts[3]) + np.float32(0.2)
        kinds = ("gamma", "beta", "moving_mean", "moving_var")
        read = [self.variable(f"{name}_{kind}", part) for kind, part in zip(kinds, parts, strict=True)]
        return self.call("BatchNorm", name, [source, *read], eps=2e-05, fix_gamma=fixed, momentum=0.9)

    def prelu(self, name: str, source: int, channels: int) -> int:
        slope = self.variable(f"{name}_gamma", np.abs(random(channels, seed=len(self.nodes))))
        return self.call("LeakyReLU", name, [source, slope], act_type="prelu")

    def unit(self, name: str, source: int, inside: int, out: int) -> int:
        body = self.norm(f"{name}_bn1", source, inside)
        body = self.prelu(
            f"{name}_relu1", self.norm(f"{name}_bn2", self.conv(f"{name}_conv1", body, inside, out, 3), out), out
        )
        body = self.norm(f"{name}_bn3", self.conv(f"{name}_conv2", body, out, out, 3, stride=2), out)
        pooled = self.call("Pooling", f"{name}_se_pool1", [body], global_pool=True, kernel=(7, 7), pool_type="avg")
        gate = self.prelu(f"{name}_se_relu1", self.biased(f"{name}_se_conv1", pooled, out, 2), 2)
        gate = self.call(
            "Activation", f"{name}_se_sigmoid", [self.biased(f"{name}_se_conv2", gate, 2, out)], act_type="sigmoid"
        )
        body = self.call("broadcast_mul", f"{name}_mul", [body, gate])
        shortcut = self.norm(f"{name}_sc", self.conv(f"{name}_conv1sc", source, inside, out, 1, stride=2), out)
        return self.call("elemwise_add", f"{name}_plus", [body, shortcut])

    def biased(self, name: str, source: int, inside: int, out: int) -> int:
        seed = len(self.nodes)
        weight = self.variable(f"{name}_weight", random(out, inside, 1, 1, seed=seed))
        bias = self.variable(f"{name}_bias", random(out, seed=seed))
        return self.call("Convolution", name, [source, weight, bias], kernel=(1, 1), num_filter=out, no_bias=False)


def written() -> tuple[ArcFace, int]:
    """The writer, and the index of `fc1`."""
    net = ArcFace()
    source = net.call("identity", "id", [net.variable("data")])
    source = net.call("_minus_scalar", "_minusscalar0", [source], scalar=127.5)
    source = net.call("_mul_scalar", "_mulscalar0", [source], scalar=0.0078125)
    source = net.prelu("relu0", net.norm("bn0", net.conv("conv0", source, 3, 4, 3), 4), 4)
    source = net.unit("stage1_unit1", source, 4, WIDTH)
    source = net.call("Dropout", "dropout0", [net.norm("bn1", source, WIDTH)], p=0.4)
    size = WIDTH * (SIZE // 2) ** 2
    weight, bias = net.variable("pre_fc1_weight", random(8, size) / 5), net.variable("pre_fc1_bias", random(8))
    source = net.call("FullyConnected", "pre_fc1", [source, weight, bias], num_hidden=8)
    return net, net.norm("fc1", source, 8, fixed=True)


def expected(net: ArcFace, image: Array) -> Array:
    """float64 embedding."""
    values = {name.split(":")[1]: value.astype(np.float64) for name, value in net.parameters.items()}

    def norm(name: str, x: Array, *, fixed: bool = False) -> Array:
        parts = [values[f"{name}_{kind}"] for kind in ("gamma", "beta", "moving_mean", "moving_var")]
        parts[0] = np.ones_like(parts[0]) if fixed else parts[0]
        return plain.batch_norm(x, (parts[0], parts[1], parts[2], parts[3]), 2e-5)

    def prelu(name: str, x: Array) -> Array:
        return np.where(x > 0, x, x * values[f"{name}_gamma"].reshape(1, -1, 1, 1))

    def conv(name: str, x: Array, stride: int = 1) -> Array:
        weights = values[f"{name}_weight"]
        bias = values.get(f"{name}_bias", np.zeros(len(weights)))
        return plain.conv(x, weights, stride, weights.shape[2] // 2) + bias.reshape(1, -1, 1, 1)

    x = prelu("relu0", norm("bn0", conv("conv0", (image.astype(np.float64) - 127.5) * 0.0078125)))
    unit = "stage1_unit1"
    body = prelu(f"{unit}_relu1", norm(f"{unit}_bn2", conv(f"{unit}_conv1", norm(f"{unit}_bn1", x))))
    body = norm(f"{unit}_bn3", conv(f"{unit}_conv2", body, 2))
    gate = conv(
        f"{unit}_se_conv2", prelu(f"{unit}_se_relu1", conv(f"{unit}_se_conv1", body.mean((2, 3), keepdims=True)))
    )
    x = body / (1 + np.exp(-gate)) + norm(f"{unit}_sc", conv(f"{unit}_conv1sc", x, 2))
    flat = norm("bn1", x).reshape(len(x), -1)
    return norm("fc1", flat @ values["pre_fc1_weight"].T + values["pre_fc1_bias"], fixed=True)


def with_margin(net: ArcFace, embedding: int) -> list[tuple[int, int]]:
    """The training head of ArcFace behind it; returns the heads of InsightFace's `train.py`."""
    label = net.variable("softmax_label")
    weight = net.call("L2Normalization", "fc7_l2", [net.variable("fc7_weight")], mode="instance")
    normal = net.call("L2Normalization", "fc1n", [embedding], mode="instance")
    cosine = net.call("FullyConnected", "fc7", [normal, weight], num_hidden=100, no_bias=True)
    angle = net.call("arccos", "angle", [net.call("pick", "pick0", [cosine, label], axis=1)])
    chosen = net.call("one_hot", "gt_one_hot", [label], depth=100)
    moved = net.call("broadcast_mul", "moved", [chosen, net.call("cos", "cos0", [angle])])
    softmax = net.call("SoftmaxOutput", "softmax", [net.call("_plus", "sum", [cosine, moved]), label])
    kept = net.call("BlockGrad", "blockgrad0", [embedding])
    return [(kept, 0), (softmax, 0)]
