"""Operators over axes: sums, means, norms, softmax, the place of the largest."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.network import Node
from convert.targets.tensorflow_ops.emission import Emission, Emitter, Held, Tensor
from convert.targets.tensorflow_ops.layout import without
from convert.targets.tensorflow_ops.shapes import numbers
from edge.errors import ModelError

SMALLEST = 1e-30
"""Under the root of a norm, so that a vector of zeros stays one."""


def _reduced(compute: Any) -> Emitter:
    def emit(emission: Emission, node: Node) -> Held:
        held, given = emission.input(node), numbers(emission, node, 1, "axes")
        if not given and node.attributes.get("noop_with_empty_axes", 0):
            return held
        over = [held.axis(axis) for axis in given or range(held.rank)]
        keeps = bool(node.attributes.get("keepdims", 1))
        made = compute(emission.tf, held.tensor, [held.axes.index(axis) for axis in over], keeps)
        return Held(made, held.axes if keeps else without(held.axes, over))

    return emit


def _named(name: str) -> Emitter:
    return _reduced(lambda tf, values, over, keeps: getattr(tf, name)(values, over, keepdims=keeps))


def _length(tf: Any, values: Tensor, over: list[int], keeps: bool) -> Tensor:  # noqa: FBT001  called by _reduced alone
    return tf.sqrt(tf.reduce_sum(tf.square(values), over, keepdims=keeps))


def _normalised(emission: Emission, node: Node) -> Held:
    tf, held = emission.tf, emission.input(node)
    over, power = held.place(int(node.attributes.get("axis", -1))), int(node.attributes.get("p", 2))
    if power == 2:
        # The form that the TFLite converter knows as L2_NORMALIZATION.
        return Held(tf.math.l2_normalize(held.tensor, over, epsilon=SMALLEST), held.axes)
    if power != 1:
        raise ModelError(f"p {power}", expected="1 or 2")
    length = tf.reduce_sum(tf.abs(held.tensor), over, keepdims=True)
    return Held(held.tensor / tf.maximum(length, np.float32(SMALLEST)), held.axes)


def _softmax(emission: Emission, node: Node) -> Held:
    """Along the last axis in memory, which is what TensorFlow has: of a picture in NHWC that is the channels."""
    held = emission.input(node)
    axis = held.axis(int(node.attributes.get("axis", -1)))
    axes = (*(other for other in held.axes if other != axis), axis)
    return Held(emission.tf.nn.softmax(emission.turned(held, axes)), axes)


def _arg_max(emission: Emission, node: Node) -> Held:
    held = emission.input(node)
    if node.attributes.get("select_last_index", 0):
        raise ModelError("select_last_index 1", expected="0")
    axis = held.axis(int(node.attributes.get("axis", 0)))
    made = emission.tf.argmax(held.tensor, held.axes.index(axis))
    if not node.attributes.get("keepdims", 1):
        return Held(made, without(held.axes, [axis]))
    return Held(emission.tf.expand_dims(made, held.axes.index(axis)), held.axes)


AXES: dict[str, Emitter] = {
    "ReduceMean": _named("reduce_mean"),
    "ReduceSum": _named("reduce_sum"),
    "ReduceMax": _named("reduce_max"),
    "ReduceMin": _named("reduce_min"),
    "ReduceL2": _reduced(_length),
    "LpNormalization": _normalised,
    "Softmax": _softmax,
    "ArgMax": _arg_max,
}
