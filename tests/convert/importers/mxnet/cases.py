"""One symbol an operator, and what it computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.network import Array
from tests.convert.importers.mxnet import plain
from tests.convert.mxnet_files import SymbolWriter

SHAPE = (2, 4, 7, 6)


def random(*shape: int, seed: int = 0) -> Array:
    """Seeded float32 around 0."""
    return np.random.default_rng([seed, *shape]).normal(0, 0.5, shape).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """An operator with its attributes and parameters, the shape of its input, and its formula."""

    op: str
    attributes: dict[str, Any]
    expected: Callable[[Array], Array]
    parameters: tuple[Array, ...] = ()
    shape: tuple[int, ...] = SHAPE
    positive: bool = False
    """Feed with numbers above 0: of roots and logarithms."""
    again: int = 0
    """How often the input is read besides, behind itself."""

    def written(self) -> SymbolWriter:
        """data -> op_output."""
        writer = SymbolWriter()
        data = writer.variable("data")
        kinds = (
            ("_gamma", "_beta", "_moving_mean", "_moving_var") if self.op == "BatchNorm" else ("_a", "_b", "_c", "_d")
        )
        named = zip(kinds, self.parameters, strict=False)
        inputs = [writer.variable(f"op{kind}", value) for kind, value in named]
        writer.call(self.op, "op", [data, *[data] * self.again, *inputs], **self.attributes)
        return writer

    def image(self) -> Array:
        """Seeded input."""
        values = random(*self.shape, seed=9)
        return np.abs(values) + np.float32(0.1) if self.positive else values


WEIGHTS, BIAS, GROUPED = random(5, 4, 3, 3), random(5), random(6, 2, 3, 3)
TURNED = random(4, 3, 4, 4)
NORM = (random(4, seed=1), random(4, seed=2), random(4, seed=3), np.abs(random(4, seed=4)) + np.float32(0.1))
ONES = (np.ones(4, np.float32), *NORM[1:])
LAST = tuple(part[[0, 1, 2, 3, 0, 1]] for part in NORM)
DENSE = random(3, 4 * 7 * 6)
SLOPES = random(4)


def _channels(values: Array) -> Array:
    return values.reshape(1, -1, 1, 1)


def _l2(x: Array, axes: tuple[int, ...], eps: float = 1e-10) -> Array:
    return x / np.sqrt((x**2).sum(axes, keepdims=True) + eps)


LAYERS = {
    "convolution": Case(
        "Convolution", {"kernel": (3, 3), "num_filter": 5}, lambda x: plain.conv(x, WEIGHTS) + _channels(BIAS), (WEIGHTS, BIAS)
    ),
    "convolution, stride, pad, dilate": Case(
        "Convolution",
        {"kernel": "(3L, 3L)", "num_filter": 5, "stride": (2, 2), "pad": (2, 2), "dilate": (2, 2), "no_bias": True},
        lambda x: plain.conv(x, WEIGHTS, 2, 2, 2),
        (WEIGHTS,),
    ),
    "convolution in groups": Case(
        "Convolution",
        {"kernel": (3, 3), "num_filter": 6, "num_group": 2, "no_bias": "1", "layout": "None"},
        lambda x: plain.conv(x, GROUPED, groups=2),
        (GROUPED,),
    ),
    "deconvolution": Case(
        "Deconvolution",
        {"kernel": (4, 4), "num_filter": 3, "stride": (2, 2), "pad": (1, 1)},
        lambda x: plain.deconv(x, TURNED, 2, 1),
        (TURNED,),
    ),
    "deconvolution, adj and bias": Case(
        "Deconvolution",
        {"kernel": (4, 4), "num_filter": 3, "stride": (2, 2), "pad": (1, 1), "adj": (1, 1), "no_bias": False},
        lambda x: plain.deconv(x, TURNED, 2, 1, 1) + _channels(BIAS[:3]),
        (TURNED, BIAS[:3]),
    ),
    "deconvolution, target_shape": Case(
        "Deconvolution",
        {"kernel": (4, 4), "num_filter": 6, "stride": (2, 2), "target_shape": (13, 11), "num_group": 2},
        lambda x: plain.deconv(x, TURNED, 2, 2, 1, groups=2),
        (TURNED,),
    ),
    "fully connected": Case(
        "FullyConnected",
        {"num_hidden": 3},
        lambda x: x.reshape(len(x), -1) @ DENSE.T + BIAS[:3],
        (DENSE, BIAS[:3]),
    ),
    "fully connected, no flatten": Case(
        "FullyConnected",
        {"num_hidden": 3, "flatten": False},
        lambda x: x @ DENSE[:, :6].T + BIAS[:3],
        (DENSE[:, :6].copy(), BIAS[:3]),
    ),
    "fully connected, no bias": Case(
        "FullyConnected", {"num_hidden": 3, "no_bias": True}, lambda x: x @ DENSE[:, :6].T, (DENSE[:, :6].copy(),), (2, 6)
    ),
    "max pooling": Case("Pooling", {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1)}, lambda x: plain.pool(x, "max", 3, 2, 1)),
    "max pooling, full": Case(
        "Pooling",
        {"kernel": (2, 2), "stride": (2, 2), "pooling_convention": "full", "pool_type": "max"},
        lambda x: plain.pool(x, "max", 2, 2, full=True),
    ),
    "max pooling, full, padded": Case(
        "Pooling",
        {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "pooling_convention": "full"},
        lambda x: plain.pool(x, "max", 3, 2, 1, full=True),
    ),
    "average pooling": Case(
        "Pooling", {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "pool_type": "avg"}, lambda x: plain.pool(x, "avg", 3, 2, 1)
    ),
    "average pooling without padding": Case(
        "Pooling",
        {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1), "pool_type": "avg", "count_include_pad": False},
        lambda x: plain.pool(x, "avg", 3, 2, 1, counted=False),
    ),
    "average pooling, full": Case(
        "Pooling",
        {"kernel": (2, 2), "stride": (2, 2), "pool_type": "avg", "pooling_convention": "full"},
        lambda x: plain.pool(x, "avg", 2, 2, full=True),
    ),
    "average pooling, full, padded": Case(
        "Pooling",
        {"kernel": (3, 3), "stride": (3, 3), "pad": (1, 1), "pool_type": "avg", "pooling_convention": "full"},
        lambda x: plain.pool(x, "avg", 3, 3, 1, full=True),
    ),
    "average pooling, full, padding not counted": Case(
        "Pooling",
        {
            "kernel": (3, 3), "stride": (3, 3), "pad": (1, 1), "pool_type": "avg", "pooling_convention": "full",
            "count_include_pad": False,
        },
        lambda x: plain.pool(x, "avg", 3, 3, 1, full=True, counted=False),
    ),
    "sum pooling, full": Case(
        "Pooling",
        {"kernel": (3, 3), "stride": (3, 3), "pad": (1, 1), "pool_type": "sum", "pooling_convention": "full"},
        lambda x: plain.pool(x, "sum", 3, 3, 1, full=True),
    ),
    "global average": Case("Pooling", {"kernel": (1, 1), "global_pool": True, "pool_type": "avg"}, lambda x: x.mean((2, 3), keepdims=True)),
    "global maximum": Case("Pooling", {"kernel": (1, 1), "global_pool": True}, lambda x: x.max((2, 3), keepdims=True)),
    "global sum": Case("Pooling", {"kernel": (1, 1), "global_pool": True, "pool_type": "sum"}, lambda x: x.sum((2, 3), keepdims=True)),
    "up-sampling, nearest": Case(
        "UpSampling", {"scale": 2, "sample_type": "nearest", "num_args": 1}, lambda x: x.repeat(2, 2).repeat(2, 3)
    ),
    "up-sampling, bilinear": Case(
        "UpSampling",
        {"scale": 2, "sample_type": "bilinear", "num_args": 2, "num_filter": 4},
        lambda x: plain.deconv(x, TURNED[:, :1], 2, 1, groups=4),
        (TURNED[:, :1].copy(),),
    ),
}  # fmt: skip

NORMALISATION = {
    "batch norm, fixed gamma": Case("BatchNorm", {}, lambda x: plain.batch_norm(x, ONES, 1e-3), NORM),
    "batch norm": Case("BatchNorm", {"fix_gamma": "False", "eps": "2e-05"}, lambda x: plain.batch_norm(x, NORM, 2e-5), NORM),
    "batch norm of vectors": Case("BatchNorm", {"fix_gamma": "0"}, lambda x: plain.batch_norm(x, NORM, 1e-3), NORM, (3, 4)),
    "batch norm, last axis": Case(
        "BatchNorm", {"axis": -1, "fix_gamma": False}, lambda x: plain.batch_norm(x, LAST, 1e-3, axis=3), LAST
    ),
    "instance norm": Case("InstanceNorm", {"eps": 0.01}, lambda x: plain.instance_norm(x, NORM[0], NORM[1], 0.01), NORM[:2]),
    "L2, instance": Case("L2Normalization", {}, lambda x: _l2(x, (1, 2, 3))),
    "L2 of vectors": Case("L2Normalization", {"mode": "instance"}, lambda x: _l2(x, (1,)), shape=(2, 5)),
    "L2, channel": Case("L2Normalization", {"mode": "channel", "eps": 0.1}, lambda x: _l2(x, (1,), 0.1)),
    "L2, spatial": Case("L2Normalization", {"mode": "spatial"}, lambda x: _l2(x, (2, 3))),
    "LRN": Case("LRN", {"nsize": 3, "alpha": 0.5, "knorm": 1.5}, lambda x: plain.local_response(x, 3, 0.5, 0.75, 1.5)),
}  # fmt: skip

ACTIVATIONS = {
    "relu": Case("Activation", {"act_type": "relu"}, lambda x: np.maximum(x, 0)),
    "sigmoid": Case("Activation", {"act_type": "sigmoid"}, lambda x: 1 / (1 + np.exp(-x))),
    "tanh": Case("Activation", {"act_type": "tanh"}, np.tanh),
    "softrelu": Case("Activation", {"act_type": "softrelu"}, lambda x: np.log1p(np.exp(x))),
    "softsign": Case("Activation", {"act_type": "softsign"}, lambda x: x / (1 + np.abs(x))),
    "relu by its own name": Case("relu", {}, lambda x: np.maximum(x, 0)),
    "hard sigmoid": Case("hard_sigmoid", {}, lambda x: np.clip(0.2 * x + 0.5, 0, 1)),
    "leaky": Case("LeakyReLU", {"act_type": "leaky", "slope": 0.1}, lambda x: np.where(x > 0, x, 0.1 * x)),
    "leaky by default": Case("LeakyReLU", {}, lambda x: np.where(x > 0, x, 0.25 * x)),
    "prelu": Case("LeakyReLU", {"act_type": "prelu"}, lambda x: np.where(x > 0, x, _channels(SLOPES) * x), (SLOPES,)),
    "prelu of vectors": Case("LeakyReLU", {"act_type": "prelu"}, lambda x: np.where(x > 0, x, SLOPES * x), (SLOPES,), (3, 4)),
    "prelu, one slope": Case("LeakyReLU", {"act_type": "prelu"}, lambda x: np.where(x > 0, x, SLOPES[0] * x), (SLOPES[:1],)),
    "elu": Case("LeakyReLU", {"act_type": "elu", "slope": 0.5}, lambda x: np.where(x > 0, x, 0.5 * np.expm1(x))),
    "selu": Case(
        "LeakyReLU", {"act_type": "selu"}, lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))
    ),
    "gelu": Case("LeakyReLU", {"act_type": "gelu"}, lambda x: x / 2 * (1 + plain.erf(x / np.sqrt(2)))),
    "softmax": Case("softmax", {"axis": 1, "temperature": 2.0}, lambda x: plain.softmax(x / 2, 1)),
    "log softmax": Case("log_softmax", {}, lambda x: np.log(plain.softmax(x))),
    "softmax activation, channel": Case("SoftmaxActivation", {"mode": "channel"}, lambda x: plain.softmax(x, 1)),
    "softmax activation": Case("SoftmaxActivation", {}, plain.softmax),
    "dropout": Case("Dropout", {"p": 0.4}, lambda x: x),
    "block gradient": Case("BlockGrad", {}, lambda x: x),
    "make loss": Case("MakeLoss", {}, lambda x: x),
}  # fmt: skip

ARITHMETIC = {
    "add": Case("elemwise_add", {}, lambda x: x + x, again=1),
    "old add": Case("_Plus", {}, lambda x: x + x, again=1),
    "sub": Case("broadcast_sub", {}, lambda x: x - random(1, 4, 1, 1), (random(1, 4, 1, 1),)),
    "mul": Case("broadcast_mul", {}, lambda x: x * random(2, 4, 1, 1), (random(2, 4, 1, 1),)),
    "div": Case("elemwise_div", {}, lambda x: x / x, again=1),
    "maximum": Case("broadcast_maximum", {}, lambda x: np.maximum(x, random(1, 4, 1, 1)), (random(1, 4, 1, 1),)),
    "sum of three": Case("add_n", {"num_args": 3}, lambda x: 3 * x, again=2),
    "plus a number": Case("_plus_scalar", {"scalar": "1.5"}, lambda x: x + 1.5),
    "minus a number": Case("_minus_scalar", {"scalar": "127.5"}, lambda x: x - 127.5),
    "times a number": Case("_MulScalar", {"scalar": "0.0078125"}, lambda x: x * 0.0078125),
    "by a number": Case("_div_scalar", {"scalar": "3"}, lambda x: x / 3),
    "number minus": Case("_rminus_scalar", {"scalar": "2"}, lambda x: 2 - x),
    "number by": Case("_RDivScalar", {"scalar": "2"}, lambda x: 2 / x, positive=True),
    "power of a number": Case("_power_scalar", {"scalar": "1.5"}, lambda x: x**1.5, positive=True),
    "at least a number": Case("_maximum_scalar", {"scalar": "0.1"}, lambda x: np.maximum(x, 0.1)),
    "square": Case("square", {}, np.square),
    "root": Case("sqrt", {}, np.sqrt, positive=True),
    "one by root": Case("rsqrt", {}, lambda x: 1 / np.sqrt(x), positive=True),
    "exp": Case("exp", {}, np.exp),
    "log": Case("log", {}, np.log, positive=True),
    "negative": Case("negative", {}, np.negative),
    "clip": Case("clip", {"a_min": "-0.2", "a_max": "0.3"}, lambda x: np.clip(x, -0.2, 0.3)),
    "mean": Case("mean", {"axis": "(2, 3)", "keepdims": True}, lambda x: x.mean((2, 3), keepdims=True)),
    "mean, one axis": Case("mean", {"axis": 1}, lambda x: x.mean(1)),
    "sum, all but": Case("sum", {"axis": (0, 1), "exclude": True}, lambda x: x.sum((2, 3))),
    "max": Case("max", {"axis": "-1"}, lambda x: x.max(-1)),
}  # fmt: skip

SHAPING = {
    "flatten": Case("Flatten", {}, lambda x: x.reshape(2, -1)),
    "reshape, 0 and -1": Case("Reshape", {"shape": (0, 2, -1)}, lambda x: x.reshape(2, 2, 84)),
    "reshape, -2": Case("Reshape", {"shape": (0, 0, -2)}, lambda x: x),
    "reshape, -3": Case("reshape", {"shape": (0, -3, 0)}, lambda x: x.reshape(2, 28, 6)),
    "reshape, -4": Case("Reshape", {"shape": (0, -4, 2, -1, -2)}, lambda x: x.reshape(2, 2, 2, 7, 6)),
    "reshape, reversed": Case("Reshape", {"shape": (-1, 0, 0), "reverse": True}, lambda x: x.reshape(8, 7, 6)),
    "transpose": Case("transpose", {"axes": (0, 2, 3, 1)}, lambda x: x.transpose(0, 2, 3, 1)),
    "transpose all": Case("transpose", {}, lambda x: x.transpose()),
    "swap": Case("SwapAxis", {"dim1": 1, "dim2": 3}, lambda x: x.swapaxes(1, 3)),
    "concat": Case("Concat", {"dim": 1, "num_args": 2}, lambda x: np.concatenate([x, x], 1), again=1),
    "slice": Case("slice", {"begin": (None, 1, 2), "end": (None, 3, -1)}, lambda x: x[:, 1:3, 2:-1]),
    "slice, steps": Case(
        "slice", {"begin": (0, None), "end": (2, None), "step": (1, -1)}, lambda x: x[:, ::-1]
    ),
    "slice axis": Case("slice_axis", {"axis": 1, "begin": 1, "end": "None"}, lambda x: x[:, 1:]),
    "slice axis from the end": Case("slice_axis", {"axis": -1, "begin": -3, "end": -1}, lambda x: x[..., -3:-1]),
    "pad": Case(
        "Pad", {"mode": "constant", "pad_width": (0, 0, 0, 0, 1, 2, 3, 0), "constant_value": 0.5},
        lambda x: np.pad(x, ((0, 0), (0, 0), (1, 2), (3, 0)), constant_values=0.5),
    ),
    "pad, edge": Case(
        "pad", {"mode": "edge", "pad_width": (0, 0, 0, 0, 1, 2, 3, 0)}, lambda x: np.pad(x, ((0, 0), (0, 0), (1, 2), (3, 0)), "edge")
    ),
    "pad, reflect": Case(
        "pad", {"mode": "reflect", "pad_width": (0, 0, 0, 0, 1, 2, 3, 0)},
        lambda x: np.pad(x, ((0, 0), (0, 0), (1, 2), (3, 0)), "reflect"),
    ),
    "expand": Case("expand_dims", {"axis": 1}, lambda x: x[:, None]),
    "squeeze": Case("squeeze", {"axis": 1}, lambda x: x[:, 0], shape=(2, 1, 3)),
    "crop": Case("Crop", {"num_args": 1, "h_w": (3, 2), "offset": (1, 2)}, lambda x: x[:, :, 1:4, 2:4]),
}  # fmt: skip

CASES = {**LAYERS, **NORMALISATION, **ACTIVATIONS, **ARITHMETIC, **SHAPING}
