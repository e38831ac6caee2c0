"""Small TensorFlow 1 graphs, one for each operator or form that a network may hold; seeded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# ruff: noqa: ARG005  every case takes TensorFlow and the input, whether it needs both or not

Build = Callable[[Any, Any], Any]
"""TensorFlow, the input -> the output or outputs."""


@dataclass(frozen=True, slots=True)
class Case:
    """One graph, and what must become of it."""

    build: Build
    shape: tuple[int | None, ...] = (2, 7, 6, 4)
    holds: dict[str, int] = field(default_factory=dict)
    """Operators of the network that are counted; others may be there too."""
    fed: tuple[int, ...] = ()
    """Shape of what is fed, where `shape` is open."""
    positive: bool = False


def numbers(*shape: int, seed: int = 0) -> Any:
    """float32, about -1 to 1."""
    return np.random.default_rng([seed, *shape]).normal(0, 0.5, shape).astype(np.float32)


def graph_of(tf: Any, case: Case) -> Any:
    """The GraphDef; its input is called x and its outputs y, y1, ..."""
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, case.shape, name="x")
        made = case.build(tf, x)
        for index, tensor in enumerate(made if isinstance(made, list | tuple) else [made]):
            tf.identity(tensor, name=f"y{index or ''}")
    return graph.as_graph_def()


def _conv(tf: Any, x: Any, kernel: tuple[int, int, int, int] = (3, 3, 4, 5), **how: Any) -> Any:
    return tf.raw_ops.Conv2D(input=x, filter=numbers(*kernel), **{"strides": [1, 1, 1, 1], "padding": "SAME", **how})


def _nchw(tf: Any, x: Any) -> Any:
    """A part in NCHW, as an exporter for a GPU writes it. TensorFlow's CPU kernels have no such convolution."""
    turned = tf.transpose(x, [0, 3, 1, 2])
    biased = tf.raw_ops.BiasAdd(value=turned, bias=numbers(4), data_format="NCHW")
    return tf.transpose(tf.nn.relu(biased), [0, 2, 3, 1])


def _batch_norm(tf: Any, x: Any, version: str = "V3") -> Any:
    made = getattr(tf.raw_ops, f"FusedBatchNorm{version}")(
        x=x, scale=numbers(4, seed=1), offset=numbers(4, seed=2), mean=numbers(4, seed=3),
        variance=np.abs(numbers(4, seed=4)) + 0.1, epsilon=1e-3, is_training=False,
    )  # fmt: skip
    return made[0]


def _old_batch_norm(tf: Any, x: Any) -> Any:
    variance, gamma = np.abs(numbers(5, seed=1)) + 0.1, numbers(5, seed=2)
    factor = tf.math.rsqrt(tf.constant(variance) + 1e-3) * gamma
    return _conv(tf, x) * factor + (numbers(5, seed=3) - numbers(5, seed=4) * factor)


def _prelu(form: str) -> Build:
    alpha = np.abs(numbers(4))

    def build(tf: Any, x: Any) -> Any:
        forms: dict[str, Callable[[], Any]] = {
            "halves": lambda: tf.nn.relu(x) + alpha * (x - tf.abs(x)) * 0.5,
            "halves, other order": lambda: tf.multiply(0.5 * alpha, x - tf.abs(x)) + tf.nn.relu(x),
            "minus": lambda: tf.nn.relu(x) - alpha * tf.nn.relu(-x),
            "neg": lambda: tf.nn.relu(x) + tf.negative(alpha * tf.nn.relu(tf.negative(x))),
            "neg alpha": lambda: tf.nn.relu(x) + tf.constant(-alpha) * tf.nn.relu(-x),
            "mul neg": lambda: tf.add(tf.multiply(alpha, -tf.nn.relu(-x)), tf.nn.relu(x)),
            "min": lambda: tf.maximum(x, 0.0) + alpha * tf.minimum(x, 0.0),
            "where": lambda: tf.where(x > 0, x, alpha * x),
            "where less": lambda: tf.where(tf.less(x, 0), alpha * x, x),
            "v1 where": lambda: tf.compat.v1.where(tf.greater(x, 0), x, x * alpha),
            "max": lambda: tf.maximum(x, 0.5 * np.minimum(alpha, 1) * x),
        }
        return forms[form]()

    return build


def _unit(tf: Any, x: Any) -> Any:
    return tf.nn.l2_normalize(tf.reshape(x, [-1, 168]), 1, epsilon=1e-10)


def _soft_4d(tf: Any, x: Any) -> Any:
    shape = tf.shape(x)
    flat = tf.reshape(x, tf.concat([[-1], shape[3:]], 0))
    return tf.reshape(tf.nn.softmax(flat), shape)


def _dilated(tf: Any, x: Any) -> Any:
    spread = tf.raw_ops.SpaceToBatchND(input=x, block_shape=[2, 2], paddings=[[2, 3], [2, 2]])
    made = _conv(tf, spread, padding="VALID")
    return tf.raw_ops.BatchToSpaceND(input=made, block_shape=[2, 2], crops=[[0, 1], [0, 0]])


def _flat_dense(tf: Any, x: Any) -> Any:
    flat = tf.reshape(x, [tf.shape(x)[0], -1])
    return tf.nn.bias_add(tf.matmul(flat, numbers(168, 5)), numbers(5))


def _squeeze_excite(tf: Any, x: Any) -> Any:
    mean = tf.reduce_mean(x, [1, 2])
    gate = tf.sigmoid(tf.reshape(tf.matmul(mean, numbers(4, 4)), [-1, 1, 1, 4]))
    return x * gate


def _old_dropout(tf: Any, x: Any) -> Any:
    keep = tf.compat.v1.placeholder(tf.float32, (), name="keep_prob")
    u = tf.raw_ops.RandomUniform(shape=tf.shape(x), dtype=tf.float32)
    u = u * (1.0 - tf.constant(0.0)) + 0.0
    return tf.math.divide(x, keep) * tf.floor(keep + u)


def _new_dropout(tf: Any, x: Any) -> Any:
    rate = tf.constant(0.0)
    u = tf.raw_ops.RandomUniform(shape=tf.shape(x), dtype=tf.float32)
    return tf.raw_ops.SelectV2(condition=u >= rate, t=x * (1.0 / (1.0 - rate)), e=tf.constant(0.0))


def _cast_dropout(tf: Any, x: Any) -> Any:
    u = tf.raw_ops.RandomUniform(shape=tf.shape(x), dtype=tf.float32)
    return x * 1.0 * tf.cast(u >= 0.0, tf.float32)


def _resized(kind: str, size: tuple[int, int], **how: bool) -> Build:
    return lambda tf, x: getattr(tf.raw_ops, f"Resize{kind}")(images=x, size=size, **how)


def _twice(kind: str) -> Build:
    """To twice the size, whatever that is."""
    return lambda tf, x: getattr(tf.raw_ops, f"Resize{kind}")(images=x, size=tf.shape(x)[1:3] * 2)


def _transposed(tf: Any, x: Any, size: tuple[int, int], how: tuple[int, int, str]) -> Any:
    kernel, stride, padding = how
    weights = numbers(kernel, kernel, 3, 4)
    strides = [1, stride, stride, 1]
    shape = tf.stack([tf.shape(x)[0], *size, 3])
    return tf.raw_ops.Conv2DBackpropInput(
        input_sizes=shape, filter=weights, out_backprop=x, strides=strides, padding=padding
    )


def _of_bytes(tf: Any, x: Any, dtype: str = "quint8", mode: str = "MIN_COMBINED") -> Any:
    """Weights as TensorFlow 1's `quantize_weights` stores them."""
    record = np.dtype(getattr(tf, dtype).as_numpy_dtype)
    stored = np.random.default_rng(3).integers(0, 256, (3, 3, 4, 5), np.uint8).view(record)
    weights = tf.raw_ops.Dequantize(input=tf.constant(stored), min_range=-1.5, max_range=1.4, mode=mode)
    return tf.nn.conv2d(x, weights, 1, "SAME")


def _one(function: str, **how: Any) -> Build:
    return lambda tf, x: getattr(tf.raw_ops, function)(**{**how, _ARGUMENT.get(function, "x"): x})


_ARGUMENT = {
    "Relu": "features", "Relu6": "features", "LeakyRelu": "features", "Elu": "features", "Selu": "features",
    "Softplus": "features", "Softsign": "features", "Softmax": "logits", "LogSoftmax": "logits", "MaxPool": "input",
    "AvgPool": "value", "DepthToSpace": "input", "SpaceToDepth": "input", "MirrorPad": "input", "LRN": "input",
    "StopGradient": "input", "Identity": "input", "Snapshot": "input", "CheckNumerics": "tensor",
    "FakeQuantWithMinMaxVars": "inputs", "Unpack": "value",
}  # fmt: skip
_SAME = {"ksize": [1, 3, 3, 1], "strides": [1, 2, 2, 1], "padding": "SAME"}
_VALID = {**_SAME, "padding": "VALID"}
_TURN = {"Transpose": 0}

CASES: dict[str, Case] = {
    # Layers
    "conv SAME": Case(_conv, holds={"Conv": 1, **_TURN}),
    "conv SAME, stride 2": Case(lambda tf, x: _conv(tf, x, strides=[1, 2, 2, 1]), holds={"Conv": 1, **_TURN}),
    "conv VALID": Case(lambda tf, x: _conv(tf, x, padding="VALID", strides=[1, 2, 1, 1])),
    "conv EXPLICIT": Case(lambda tf, x: _conv(tf, x, padding="EXPLICIT", explicit_paddings=[0, 0, 1, 2, 0, 1, 0, 0])),
    "conv dilated": Case(lambda tf, x: _conv(tf, x, dilations=[1, 2, 2, 1]), holds={"Conv": 1}),
    "conv in groups": Case(lambda tf, x: _conv(tf, x, (3, 3, 2, 6))),
    "conv of any size, stride 2": Case(
        lambda tf, x: _conv(tf, x, strides=[1, 2, 2, 1]), (None, None, None, 4), fed=(1, 8, 5, 4)
    ),
    "conv around batches": Case(_dilated, holds={"Conv": 1}),
    "depthwise": Case(
        lambda tf, x: tf.nn.depthwise_conv2d(x, numbers(3, 3, 4, 2), [1, 2, 2, 1], "SAME"), holds={"Conv": 1}
    ),
    "transposed SAME": Case(lambda tf, x: _transposed(tf, x, (14, 12), (3, 2, "SAME")), holds={"ConvTranspose": 1}),
    "transposed SAME, odd": Case(lambda tf, x: _transposed(tf, x, (13, 11), (4, 2, "SAME"))),
    "transposed VALID": Case(lambda tf, x: _transposed(tf, x, (15, 13), (3, 2, "VALID"))),
    "transposed, kernel below stride": Case(lambda tf, x: _transposed(tf, x, (21, 18), (2, 3, "SAME"))),
    "max SAME": Case(_one("MaxPool", **_SAME), holds={"MaxPool": 1, **_TURN}),
    "max of any size": Case(_one("MaxPool", **_SAME), (None, None, None, 4), fed=(1, 8, 5, 4)),
    "max VALID": Case(_one("MaxPool", **_VALID)),
    "average SAME": Case(_one("AvgPool", **_SAME), holds={"AveragePool": 1}),
    "average VALID": Case(_one("AvgPool", **_VALID)),
    "batch norm": Case(_batch_norm, holds={"BatchNormalization": 1, **_TURN}),
    "batch norm 1": Case(lambda tf, x: _batch_norm(tf, x, ""), holds={"BatchNormalization": 1}),
    "batch norm 2": Case(lambda tf, x: _batch_norm(tf, x, "V2"), holds={"BatchNormalization": 1}),
    "batch norm written out": Case(_old_batch_norm, holds={"Conv": 1, "Mul": 1, "Add": 1, **_TURN}),
    "bias": Case(lambda tf, x: tf.nn.bias_add(x, numbers(4)), holds={"Add": 1}),
    "NCHW inside": Case(_nchw, holds={"Add": 1, "Relu": 1, **_TURN}),
    "local response": Case(_one("LRN", depth_radius=1, bias=2.0, alpha=0.3, beta=0.7), holds={"LRN": 1}),
    "depth to space": Case(_one("DepthToSpace", block_size=2), (2, 3, 4, 12), holds=_TURN),
    "space to depth": Case(_one("SpaceToDepth", block_size=2), (2, 6, 4, 3), holds=_TURN),
    "nearest x2": Case(_resized("NearestNeighbor", (14, 12)), holds={"Resize": 1, **_TURN}),
    "nearest x2, half pixels": Case(_resized("NearestNeighbor", (14, 12), half_pixel_centers=True)),
    "nearest, corners": Case(_resized("NearestNeighbor", (13, 11), align_corners=True)),
    "nearest, smaller": Case(_resized("NearestNeighbor", (4, 5))),
    "nearest, smaller, half pixels": Case(_resized("NearestNeighbor", (5, 4), half_pixel_centers=True)),
    "nearest, twice any size": Case(_twice("NearestNeighbor"), (None, None, None, 4), fed=(1, 3, 5, 4)),
    "bilinear": Case(_resized("Bilinear", (10, 9)), holds={"Resize": 1}),
    "bilinear, half pixels": Case(_resized("Bilinear", (14, 5), half_pixel_centers=True)),
    "bilinear, corners": Case(_resized("Bilinear", (13, 3), align_corners=True)),
    "bilinear, twice any size": Case(_twice("Bilinear"), (None, None, None, 4), fed=(1, 3, 5, 4)),
    # One value in, one out
    **{name: Case(_one(name), holds=_TURN) for name in (
        "Relu", "Relu6", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Exp", "Abs", "Neg", "Square",
        "Floor", "Ceil", "Reciprocal", "StopGradient", "Snapshot",
    )},
    **{name: Case(_one(name), positive=True, holds=_TURN) for name in ("Log", "Sqrt", "Rsqrt", "Erf")},
    "LeakyRelu": Case(_one("LeakyRelu", alpha=0.3), holds={"LeakyRelu": 1}),
    "Softmax": Case(_one("Softmax"), holds={"Softmax": 1, **_TURN}),
    "LogSoftmax": Case(_one("LogSoftmax")),
    "Softmax as TensorFlow 1 writes it": Case(_soft_4d, holds={"Softmax": 1, "Reshape": 0, **_TURN}),
    "Softmax of any size": Case(_soft_4d, (1, None, None, 4), fed=(1, 3, 5, 4), holds={"Softmax": 1, "Reshape": 0}),
    "CheckNumerics": Case(_one("CheckNumerics", message="")),
    "clip": Case(lambda tf, x: tf.raw_ops.ClipByValue(t=x, clip_value_min=-0.2, clip_value_max=0.3), holds={"Clip": 1}),
    "clip by two": Case(lambda tf, x: tf.minimum(tf.maximum(x, -0.2), 0.3), holds={"Clip": 2}),
    **{f"prelu, {form}": Case(_prelu(form), holds={"PRelu": 1, "Add": 0, "Mul": 0, **_TURN}) for form in (
        "halves", "halves, other order", "minus", "neg", "neg alpha", "mul neg", "min", "where", "where less",
        "v1 where", "max",
    )},
    "leaky by max": Case(lambda tf, x: tf.maximum(0.1 * x, x), holds={"LeakyRelu": 1, "Max": 0}),
    "relu by max": Case(lambda tf, x: tf.maximum(x, 0.0), holds={"Relu": 1}),
    "no prelu": Case(lambda tf, x: tf.nn.relu(x) + 0.5 * tf.abs(x), holds={"PRelu": 0, "LeakyRelu": 0, "Add": 1}),
    "max of steep": Case(lambda tf, x: tf.maximum(x, 2.0 * x), holds={"PRelu": 0, "LeakyRelu": 0}),
    # Pairs
    "add": Case(lambda tf, x: x + tf.nn.relu(x), holds={"Add": 1}),
    "add constant map": Case(lambda tf, x: x + numbers(7, 6, 4), holds=_TURN),
    "add column": Case(lambda tf, x: x + numbers(6, 1), holds=_TURN),
    "sub": Case(lambda tf, x: 1.5 - x),
    "mul by channel": Case(lambda tf, x: numbers(4) * x, holds={"Mul": 1}),
    "divide": Case(lambda tf, x: x / (tf.abs(x) + 1.0)),
    "power": Case(lambda tf, x: tf.pow(x, 2.0)),
    "max of two": Case(lambda tf, x: tf.maximum(x, tf.square(x)), holds={"Max": 1}),
    "min of two": Case(lambda tf, x: tf.minimum(x, numbers(4)), holds={"Min": 1}),
    "squared difference": Case(lambda tf, x: tf.math.squared_difference(x, numbers(4))),
    "floor of division": Case(lambda tf, x: tf.math.floordiv(x, 0.3)),
    "sum of three": Case(lambda tf, x: tf.add_n([x, tf.nn.relu(x), tf.abs(x)]), holds={"Add": 2}),
    "by its own mean": Case(lambda tf, x: x - tf.reduce_mean(x, [1, 2], keepdims=True), holds=_TURN),
    "by a vector": Case(lambda tf, x: x * tf.reduce_mean(x, [0, 1, 2])),
    "where": Case(lambda tf, x: tf.where(x >= 0.1, x, tf.square(x)), holds={"Where": 1}),
    "where both": Case(
        lambda tf, x: tf.where(tf.logical_and(x > -0.3, tf.logical_not(x > 0.3)), x, tf.zeros_like(x))
    ),
    "weights as bytes": Case(_of_bytes, holds={"Conv": 1, "Cast": 0}),
    "weights as signed bytes": Case(lambda tf, x: _of_bytes(tf, x, "qint8"), holds={"Conv": 1}),
    "weights as bytes, from the least": Case(lambda tf, x: _of_bytes(tf, x, "quint8", "MIN_FIRST"), holds={"Conv": 1}),
    # Axes
    "mean over pixels": Case(lambda tf, x: tf.reduce_mean(x, [1, 2]), holds={"ReduceMean": 1, **_TURN}),
    "mean over channels": Case(lambda tf, x: tf.reduce_mean(x, 3, keepdims=True), holds=_TURN),
    "mean over rows": Case(lambda tf, x: tf.reduce_mean(x, 1), holds={"Transpose": 1}),
    "sum": Case(lambda tf, x: tf.reduce_sum(x, [-1, 1])),
    "max over pixels": Case(lambda tf, x: tf.reduce_max(x, [1, 2], keepdims=True), holds=_TURN),
    "min over all": Case(lambda tf, x: tf.reduce_min(x, [0, 1, 2, 3], keepdims=True)),
    "largest": Case(lambda tf, x: tf.cast(tf.argmax(x, 3), tf.float32), holds={"ArgMax": 1}),
    "concat channels": Case(lambda tf, x: tf.concat([x, tf.nn.relu(x)], 3), holds={"Concat": 1, **_TURN}),
    "concat rows": Case(lambda tf, x: tf.concat([x, tf.nn.relu(x), x], 1), holds=_TURN),
    "concat constant": Case(lambda tf, x: tf.concat([x, numbers(2, 7, 6, 1)], -1), holds=_TURN),
    "pad": Case(lambda tf, x: tf.pad(x, [[0, 0], [1, 2], [0, 3], [0, 0]]), holds={"Pad": 1, **_TURN}),
    "pad by number": Case(lambda tf, x: tf.pad(x, [[0, 0], [1, 2], [0, 3], [1, 0]], constant_values=0.5)),
    "pad as mirror": Case(_one("MirrorPad", paddings=[[0, 0], [1, 2], [0, 3], [0, 0]], mode="REFLECT")),
    "pad as mirror with the rim": Case(_one("MirrorPad", paddings=[[0, 0], [1, 1], [0, 1], [0, 0]], mode="SYMMETRIC")),
    "transposed": Case(lambda tf, x: tf.transpose(x, [0, 2, 1, 3]), holds={"Transpose": 1}),
    "transposed twice": Case(lambda tf, x: tf.transpose(tf.transpose(x, [3, 0, 1, 2]), [1, 2, 3, 0]), holds=_TURN),
    "flat and dense": Case(_flat_dense, (None, 7, 6, 4), fed=(2, 7, 6, 4), holds={"Transpose": 1, "MatMul": 1}),
    "flat, one pixel": Case(lambda tf, x: tf.reshape(x, [-1, 4]), (2, 1, 1, 4), holds={"Reshape": 1, **_TURN}),
    "boxes of a map": Case(lambda tf, x: tf.reshape(x, [2, -1, 2]), holds={"Transpose": 1, "Reshape": 1}),
    "a map of boxes": Case(lambda tf, x: _conv(tf, tf.reshape(x, [2, 6, 7, 4])), holds={"Transpose": 2}),
    "squeeze and excite": Case(_squeeze_excite, (None, 7, 6, 4), fed=(2, 7, 6, 4), holds=_TURN),
    "squeezed": Case(lambda tf, x: tf.squeeze(tf.reduce_mean(x, [1, 2], keepdims=True), [1, 2]), holds=_TURN),
    "squeezed all": Case(lambda tf, x: tf.squeeze(x), (2, 1, 6, 1)),
    "expanded": Case(
        lambda tf, x: _conv(tf, tf.expand_dims(tf.expand_dims(tf.reduce_mean(x, [1, 2]), 1), 1)), holds=_TURN
    ),
    "picture without batch": Case(lambda tf, x: _conv(tf, tf.expand_dims(x, 0)), (7, 6, 4), holds={"Transpose": 1}),
    "slices": Case(lambda tf, x: x[:, 1:-1, ::2, 1:], holds={"Slice": 1, **_TURN}),
    "slices, other ways": Case(lambda tf, x: [x[..., 2], x[0], x[:, tf.newaxis, -1, 2:, :3], x[:, ::-1]]),
    "slice": Case(lambda tf, x: tf.slice(x, [0, 2, 0, 1], [-1, 3, -1, 2]), holds={"Slice": 1, **_TURN}),
    "slices of any size": Case(lambda tf, x: x[:, 1:, :-2, 1:3], (None, None, None, 4), fed=(1, 5, 6, 4)),
    "split": Case(lambda tf, x: tf.split(x, 2, 3), holds={"Split": 1, **_TURN}),
    "split in parts": Case(lambda tf, x: tf.split(x, [1, -1, 2], 1), holds={"Split": 1, **_TURN}),
    "unpacked": Case(lambda tf, x: tf.unstack(x, axis=3)),
    "packed": Case(lambda tf, x: tf.stack([tf.reduce_mean(x, [1, 2]), tf.reduce_max(x, [1, 2])], 1)),
    "tiled": Case(lambda tf, x: tf.tile(x, [1, 2, 1, 3]), holds={"Tile": 1, **_TURN}),
    "gathered": Case(lambda tf, x: tf.gather(x, [3, 0], axis=3), holds={"Gather": 1, **_TURN}),
    "gathered one": Case(lambda tf, x: tf.gather(x, 2, axis=2)),
    "unit length": Case(_unit, holds={"LpNormalization": 1}),
    "unit length a pixel": Case(lambda tf, x: tf.nn.l2_normalize(x, 3), holds={"LpNormalization": 1, **_TURN}),
    "products of matrices": Case(lambda tf, x: tf.matmul(x, x, transpose_b=True), (2, 3, 4)),
    "product, turned weights": Case(lambda tf, x: tf.matmul(x, numbers(5, 4), transpose_b=True), (3, 4)),
    "shape arithmetic": Case(
        lambda tf, x: tf.reshape(x, tf.stack([tf.shape(x)[0], tf.reduce_prod(tf.shape(x)[1:3]), 4])),
        (None, 7, 6, 4), fed=(2, 7, 6, 4),
    ),
    "filled": Case(lambda tf, x: x + tf.fill(tf.shape(x), 0.5)),
    "range": Case(lambda tf, x: x * tf.cast(tf.range(4), tf.float32)),
    # What does nothing when a network is used
    "dropout, old": Case(_old_dropout, holds={"Mul": 0, "Div": 0}),
    "dropout, new": Case(_new_dropout, holds={"Mul": 0, "Where": 0}),
    "dropout, cast": Case(_cast_dropout, holds={"Mul": 0}),
}  # fmt: skip
