"""Small functions of TensorFlow, each written by tf.lite into one file; grouped, because every conversion takes its time."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convert.network import Array
from edge.interpreter import caught_stderr

SHAPE = (1, 8, 6, 4)
Function = Callable[[Any, Any], list[Any]]
"""(the TensorFlow module, the input) -> outputs."""


def random(*shape: int, seed: int = 0) -> Array:
    """Seeded float32 around 0."""
    return np.random.default_rng([seed, *shape]).normal(0, 0.5, shape).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """A function, the shape of its input in NHWC, and operators that the file must have for the case to mean something."""

    function: Function
    operators: frozenset[str]
    shape: tuple[int, ...] = SHAPE
    more: dict[str, Any] = field(default_factory=dict)
    """Settings of the converter."""


def written(tf: Any, case: Case, path: Path) -> Path:
    """Convert and write."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    spec = tf.TensorSpec(case.shape, tf.float32, name="image")
    module = tf.Module()
    module.run = tf.function(lambda image: case.function(tf, image), input_signature=[spec], autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.run.get_concrete_function()], module)
    for name, value in case.more.items():
        setattr(converter, name, value)
    with caught_stderr([]):
        path.write_bytes(converter.convert())
    return path


def _convolutions(tf: Any, x: Any) -> list[Any]:
    bias = random(5)
    return [
        tf.nn.relu6(tf.nn.conv2d(x, random(3, 3, 4, 5), 2, "SAME") + bias),
        tf.nn.conv2d(x, random(3, 2, 4, 5), 1, "VALID"),
        tf.nn.conv2d(x, random(3, 3, 4, 5), 1, "SAME", dilations=2),
        tf.nn.conv2d(x, random(3, 3, 2, 6), 1, "SAME"),
        tf.nn.depthwise_conv2d(x, random(3, 3, 4, 2), (1, 2, 2, 1), "SAME") + random(8),
        tf.nn.relu(tf.nn.depthwise_conv2d(x, random(3, 3, 4, 1), (1, 1, 1, 1), "VALID")),
        tf.nn.conv2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), random(3, 3, 4, 5), 2, "VALID"),
    ]


def _transposed(tf: Any, x: Any) -> list[Any]:
    return [
        tf.nn.conv2d_transpose(x, random(4, 4, 3, 4), (1, 16, 12, 3), 2, "SAME"),
        tf.nn.conv2d_transpose(x, random(3, 3, 3, 4), (1, 17, 13, 3), 2, "VALID") + random(3),
        tf.nn.conv2d_transpose(x, random(3, 3, 3, 4), (1, 15, 11, 3), 2, "SAME"),
    ]


def _dense(tf: Any, x: Any) -> list[Any]:
    flat, rows = tf.reshape(x, (1, -1)), tf.reshape(x, (1, 48, 4))
    return [
        tf.nn.relu(tf.matmul(flat, random(192, 5)) + random(5)),
        tf.tensordot(rows, random(4, 3), 1),
        tf.matmul(rows, rows, transpose_b=True),
    ]


def _activations(tf: Any, x: Any) -> list[Any]:
    positive = tf.abs(x) + np.float32(0.1)
    slope, other = random(1, 1, 4), x * np.float32(1.5)
    return [
        tf.nn.relu(x), tf.nn.relu6(4 * x), tf.clip_by_value(3 * x, -1.0, 1.0), tf.nn.leaky_relu(x, 0.3), tf.nn.elu(x),
        tf.nn.sigmoid(x), tf.tanh(x), tf.nn.softmax(x), tf.nn.log_softmax(x), tf.exp(x), tf.math.log(positive),
        tf.sqrt(positive), tf.math.rsqrt(positive), -x, tf.abs(x), tf.square(x), tf.floor(4 * x), tf.math.ceil(4 * x),
        x * tf.nn.relu6(x + np.float32(3)) * np.float32(1 / 6), tf.nn.gelu(x, approximate=True),
        tf.nn.relu(other) + (-slope * tf.nn.relu(-other)), tf.math.l2_normalize(x, -1), tf.nn.local_response_normalization(x, 2, 1.5, 0.3, 0.6),
    ]  # fmt: skip


def _pairs(tf: Any, x: Any) -> list[Any]:
    column, other = random(4), tf.reverse(x, [1])
    total = tf.reduce_mean(x, (1, 2), keepdims=True)
    return [
        x + column, column - x, x * total, x / (tf.abs(total) + np.float32(1)), tf.maximum(x, other), tf.minimum(x, column),
        tf.pow(tf.abs(x) + np.float32(0.1), np.float32(1.5)), tf.math.squared_difference(x, column), tf.nn.relu(x + other),
        x + random(6, 1), tf.where(x > other, x, column), tf.cast(x >= column, tf.float32), tf.cast(x != other, tf.float32),
    ]  # fmt: skip


def _pools(tf: Any, x: Any) -> list[Any]:
    return [
        tf.nn.max_pool2d(x, 2, 2, "VALID"), tf.nn.max_pool2d(x, 3, 2, "SAME"), tf.nn.avg_pool2d(x, (3, 2), 2, "SAME"),
        tf.nn.avg_pool2d(x, 3, 1, "VALID"),
    ]  # fmt: skip


def _reductions(tf: Any, x: Any) -> list[Any]:
    return [
        tf.reduce_mean(x, (1, 2)), tf.reduce_mean(x, (1, 2), keepdims=True), tf.reduce_sum(x, 3), tf.reduce_max(x, (1,)),
        tf.reduce_min(x, -1, keepdims=True), tf.reduce_sum(x), tf.cast(tf.argmax(x, -1, output_type=tf.int32), tf.float32),
    ]  # fmt: skip


def _shapes(tf: Any, x: Any) -> list[Any]:
    turned = tf.transpose(x, (0, 3, 1, 2))
    return [
        tf.reshape(x, (1, -1, 2)), tf.reshape(x, (2, 4, 6, 4)), tf.squeeze(tf.reduce_mean(x, (1, 2), keepdims=True), (1, 2)),
        tf.expand_dims(x, 1), turned, tf.transpose(x, (0, 2, 1, 3)) + np.float32(1), tf.reshape(turned, (1, 4, 48)),
        tf.tile(x, (1, 2, 1, 3)), tf.gather(x, [3, 0, 1], axis=3), tf.gather(x, 2, axis=1),
        tf.reshape(tf.reduce_mean(x, (1, 2)), (1, 1, 1, 4)) * x,
    ]  # fmt: skip


def _parts(tf: Any, x: Any) -> list[Any]:
    split, uneven, rows = tf.split(x, 2, 3), tf.split(x, [1, 3], 3), tf.unstack(x, axis=2)
    return [
        tf.concat([x, x * 2], 3), tf.concat([split[1], split[0]], 1), uneven[1], uneven[0] + x, tf.stack([rows[1], rows[4]], 1),
        tf.stack(rows[:2], 3), x[:, 1:5, ::2], x[:, -3, :, 1:], x[..., 2], x[:, ::-1], tf.slice(x, (0, 2, 0, 1), (1, -1, 3, 2)),
        rows[5],
    ]  # fmt: skip


def _paddings(tf: Any, x: Any) -> list[Any]:
    around = [[0, 0], [1, 2], [3, 0], [0, 1]]
    return [
        tf.pad(x, around),
        tf.pad(x, around, constant_values=0.7),
        tf.pad(x, around, "REFLECT"),
        tf.pad(x, [[0, 0], [1, 1], [0, 1], [0, 0]], "SYMMETRIC"),
    ]


def _sizes(tf: Any, x: Any) -> list[Any]:
    resize, image = tf.compat.v1.image, tf.raw_ops
    nearest = image.ResizeNearestNeighbor
    return [
        resize.resize_bilinear(x, (16, 12)), resize.resize_bilinear(x, (5, 11)), resize.resize_bilinear(x, (16, 12), align_corners=True),
        resize.resize_bilinear(x, (13, 4), half_pixel_centers=True), nearest(images=x, size=(16, 18)), nearest(images=x, size=(5, 4)),
        nearest(images=x, size=(13, 9), align_corners=True), nearest(images=x, size=(16, 12), half_pixel_centers=True),
        nearest(images=x, size=(5, 9), half_pixel_centers=True), tf.nn.depth_to_space(x, 2), tf.nn.space_to_depth(x, 2),
    ]  # fmt: skip


CASES = {
    "convolutions": Case(_convolutions, frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "PAD"})),
    "transposed convolutions": Case(_transposed, frozenset({"TRANSPOSE_CONV"})),
    "dense layers": Case(_dense, frozenset({"FULLY_CONNECTED", "BATCH_MATMUL"})),
    "activations": Case(
        _activations,
        frozenset({
            "RELU", "RELU6", "LEAKY_RELU", "ELU", "LOGISTIC", "TANH", "SOFTMAX", "LOG_SOFTMAX", "EXP", "LOG", "SQRT", "RSQRT",
            "NEG", "ABS", "SQUARE", "FLOOR", "CEIL", "HARD_SWISH", "PRELU", "L2_NORMALIZATION",
            "LOCAL_RESPONSE_NORMALIZATION",
        }),
    ),
    "pairs": Case(
        _pairs,
        frozenset({"ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE", "SELECT_V2", "CAST", "REVERSE_V2"}),
    ),
    "pools": Case(_pools, frozenset({"MAX_POOL_2D", "AVERAGE_POOL_2D"})),
    "reductions": Case(_reductions, frozenset({"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "ARG_MAX"})),
    "shapes": Case(_shapes, frozenset({"RESHAPE", "TRANSPOSE", "TILE", "GATHER"})),
    "parts": Case(
        _parts, frozenset({"CONCATENATION", "SPLIT", "SPLIT_V", "PACK", "UNPACK", "STRIDED_SLICE", "SLICE"})
    ),
    "paddings": Case(_paddings, frozenset({"PAD", "PADV2", "MIRROR_PAD"})),
    "sizes": Case(
        _sizes, frozenset({"RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH"})
    ),
}  # fmt: skip
