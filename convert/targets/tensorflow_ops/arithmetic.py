"""Operators on single values: one in and one out, or two that broadcast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convert.network import Node
from convert.targets.tensorflow_ops.emission import Emission, Emitter, Held, Tensor
from edge.errors import ModelError

Unary = Callable[[Any, Tensor, dict[str, Any]], Tensor]
"""(TensorFlow, values, attributes) -> values of the same shape."""

DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float32",
    11: "float32",
}
"""ONNX TensorProto.DataType -> dtype; all floats are computed in float32 here."""


def _each(compute: Unary) -> Emitter:
    def emit(emission: Emission, node: Node) -> Held:
        held = emission.input(node)
        return Held(compute(emission.tf, held.tensor, dict(node.attributes)), held.axes)

    return emit


def _elu(tf: Any, values: Tensor, attributes: dict[str, Any]) -> Tensor:
    alpha = float(attributes.get("alpha", 1.0))
    return tf.nn.elu(values) if alpha == 1 else _scaled_elu(tf, values, alpha, 1.0)


def _selu(tf: Any, values: Tensor, attributes: dict[str, Any]) -> Tensor:
    # Klambauer et al. 2017; the numbers are ONNX's defaults. Not tf.nn.selu, which TFLite does not have.
    alpha, gamma = (
        float(attributes.get("alpha", 1.67326319217681884765625)),
        attributes.get("gamma", 1.05070102214813232421875),
    )
    return _scaled_elu(tf, values, alpha, float(gamma))


def _scaled_elu(tf: Any, values: Tensor, alpha: float, gamma: float) -> Tensor:
    below = tf.exp(tf.minimum(values, 0.0)) - 1.0
    made = tf.nn.relu(values) + np.float32(alpha) * below
    return made if gamma == 1 else made * np.float32(gamma)


def _hard_sigmoid(tf: Any, values: Tensor, attributes: dict[str, Any]) -> Tensor:
    line = values * np.float32(attributes.get("alpha", 0.2)) + np.float32(attributes.get("beta", 0.5))
    return tf.minimum(tf.maximum(line, 0.0), 1.0)


def _softplus(tf: Any, values: Tensor, _: dict[str, Any]) -> Tensor:
    # log(1 + e^x) without overflow; TFLite has no operator of that name.
    return tf.nn.relu(values) + tf.math.log(tf.exp(-tf.abs(values)) + 1.0)


def _cast(tf: Any, values: Tensor, attributes: dict[str, Any]) -> Tensor:
    to = attributes["to"]
    name = to if isinstance(to, str) else DTYPES.get(int(to), "")
    if name not in DTYPES.values():
        raise ModelError(f"Cast to {to!r}", expected=", ".join(sorted(set(DTYPES.values()))))
    return values if values.dtype.name == name else tf.cast(values, name)


def erf_by_series(emission: Emission, node: Node) -> Held:
    """Erf for runtimes without it, by powers and an exponential (Abramowitz and Stegun 7.1.26): 1.5e-7 off at most."""
    tf, held = emission.tf, emission.input(node)
    size = tf.abs(held.tensor)
    t = 1.0 / (size * 0.3275911 + 1.0)
    series = t * 1.061405429 - 1.453152027
    for factor in (1.421413741, -0.284496736, 0.254829592):
        series = series * t + factor
    above = 1.0 - series * t * tf.exp(-(size * size))
    # x / |x|, and 0 at 0: not tf.sign, which older runtimes lack.
    sign = tf.maximum(tf.minimum(held.tensor * 1e30, 1.0), -1.0)
    return Held(above * sign, held.axes)


def _clip(emission: Emission, node: Node) -> Held:
    tf, held = emission.tf, emission.input(node)
    low, high = bounds(emission, node)
    if (low, high) == (0.0, 6.0) and held.tensor.dtype == tf.float32:
        return Held(tf.nn.relu6(held.tensor), held.axes)
    made = held.tensor
    if low is not None:
        made = tf.nn.relu(made) if low == 0 else tf.maximum(made, tf.cast(low, made.dtype))
    if high is not None:
        made = tf.minimum(made, tf.cast(high, made.dtype))
    return Held(made if low is not None or high is not None else tf.identity(made), held.axes)


def bounds(emission: Emission, node: Node) -> tuple[float | None, float | None]:
    """Lower and upper bound of a Clip; None where it has none."""
    return _bound(emission, node, 1, "min"), _bound(emission, node, 2, "max")


def _bound(emission: Emission, node: Node, index: int, name: str) -> float | None:
    values = emission.optional(node, index)
    if values is None:
        return None if node.attributes.get(name) is None else float(node.attributes[name])
    if values.size != 1:
        raise ModelError(f"{values.size} bounds", expected="one number")
    bound = float(values.reshape(()))
    is_open = abs(bound) >= float(np.finfo(np.float32).max)
    return None if is_open else bound


def _prelu(emission: Emission, node: Node) -> Held:
    tf = emission.tf
    if emission.is_constant(node.inputs[1]) and emission.constant(node, 1).size == 1:
        held = emission.input(node)
        return Held(leaky(tf, held.tensor, float(emission.constant(node, 1).reshape(()))), held.axes)
    (values, slope), axes = emission.aligned(node.inputs[:2])
    if slope.ndim == len(axes) > 1 and slope.shape[0] == 1:
        slope = slope[0]
    # The form that the TFLite converter knows as PRELU, where the slope has one axis less than the values.
    return Held(tf.nn.relu(values) + (-slope * tf.nn.relu(-values)), axes)


def leaky(tf: Any, values: Tensor, alpha: float) -> Tensor:
    """Leaky ReLU: below 0, alpha x. TFLite's own operator is exact for alpha up to 1 and for none above."""
    if 0 <= alpha <= 1:
        return tf.nn.leaky_relu(values, alpha)
    return tf.nn.relu(values) - np.float32(alpha) * tf.nn.relu(-values)


def _leaky_relu(emission: Emission, node: Node) -> Held:
    held = emission.input(node)
    return Held(leaky(emission.tf, held.tensor, float(node.attributes.get("alpha", 0.01))), held.axes)


def _broadcast(name: str) -> Emitter:
    def emit(emission: Emission, node: Node) -> Held:
        values, axes = emission.aligned(node.inputs)
        compute = getattr(emission.tf, name)
        if len(values) == 1:
            return Held(emission.tf.identity(values[0]), axes)
        made = compute(values[0], values[1])
        for value in values[2:]:
            made = compute(made, value)
        return Held(made, axes)

    return emit


def _divide(emission: Emission, node: Node) -> Held:
    tf = emission.tf
    (first, second), axes = emission.aligned(node.inputs)
    is_whole = next(value for value in (first, second) if hasattr(value, "graph")).dtype.is_integer
    return Held((tf.truncatediv if is_whole else tf.divide)(first, second), axes)


def _where(emission: Emission, node: Node) -> Held:
    (which, first, second), axes = emission.aligned(node.inputs)
    return Held(emission.tf.where(which, first, second), axes)


ONE: dict[str, Emitter] = {
    "Relu": _each(lambda tf, values, _: tf.nn.relu(values)),
    "PRelu": _prelu,
    "LeakyRelu": _leaky_relu,
    "Elu": _each(_elu),
    "Selu": _each(_selu),
    "Sigmoid": _each(lambda tf, values, _: tf.sigmoid(values)),
    "HardSigmoid": _each(_hard_sigmoid),
    "Tanh": _each(lambda tf, values, _: tf.tanh(values)),
    "Softplus": _each(_softplus),
    "Clip": _clip,
    "Erf": _each(lambda tf, values, _: tf.math.erf(values)),
    "Abs": _each(lambda tf, values, _: tf.abs(values)),
    "Neg": _each(lambda tf, values, _: tf.negative(values)),
    "Sqrt": _each(lambda tf, values, _: tf.sqrt(values)),
    "Exp": _each(lambda tf, values, _: tf.exp(values)),
    "Log": _each(lambda tf, values, _: tf.math.log(values)),
    "Reciprocal": _each(lambda tf, values, _: tf.divide(1.0, values)),
    "Floor": _each(lambda tf, values, _: tf.floor(values)),
    "Ceil": _each(lambda tf, values, _: tf.math.ceil(values)),
    "Round": _each(lambda tf, values, _: tf.round(values)),
    "Cast": _each(_cast),
    "Not": _each(lambda tf, values, _: tf.logical_not(values)),
    "Identity": _each(lambda _, values, __: values),
}
TWO: dict[str, Emitter] = {
    "Add": _broadcast("add"),
    "Sub": _broadcast("subtract"),
    "Mul": _broadcast("multiply"),
    "Div": _divide,
    "Pow": _broadcast("pow"),
    "Min": _broadcast("minimum"),
    "Max": _broadcast("maximum"),
    "Equal": _broadcast("equal"),
    "Greater": _broadcast("greater"),
    "Less": _broadcast("less"),
    "And": _broadcast("logical_and"),
    "Or": _broadcast("logical_or"),
    "Where": _where,
}
