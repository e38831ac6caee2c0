"""Operators that the dialect has not, written in those that it has."""

from __future__ import annotations

import math

import numpy as np

from convert.importers.onnx.translate import Adapter, CannotTranslateError, Translation
from convert.importers.onnx.versions import reduce
from convert.network import Node


def _number(made: Translation, node: Node, name: str, value: float) -> str:
    return made.constant(node, name, np.float32(value))


def _hard_swish(made: Translation, node: Node) -> None:
    """`x * max(0, min(1, x / 6 + 1 / 2))`, Howard et al. 2019, MobileNetV3."""
    gate = made.step(node, "HardSigmoid", node.inputs, alpha=1 / 6, beta=0.5)
    made.last(node, "Mul", (node.inputs[0], gate))


def _mish(made: Translation, node: Node) -> None:
    """`x * tanh(ln(1 + e^x))`, Misra 2019."""
    gate = made.step(node, "Tanh", (made.step(node, "Softplus", node.inputs),))
    made.last(node, "Mul", (node.inputs[0], gate))


def _swish(made: Translation, node: Node) -> None:
    alpha, name = float(node.attributes.get("alpha", 1.0)), node.inputs[0]
    inner = name if alpha == 1 else made.step(node, "Mul", (name, _number(made, node, "alpha", alpha)))
    made.last(node, "Mul", (name, made.step(node, "Sigmoid", (inner,))))


def _gelu(made: Translation, node: Node) -> None:
    """`x / 2 * (1 + erf(x / sqrt 2))`, or its approximation by tanh (Hendrycks and Gimpel 2016)."""
    x = node.inputs[0]
    if node.attributes.get("approximate", "none") == "tanh":
        cube = made.step(node, "Mul", (made.step(node, "Mul", (x, x)), x))
        cube = made.step(node, "Mul", (cube, _number(made, node, "cubic", 0.044715)))
        inner = made.step(node, "Add", (x, cube))
        inner = made.step(node, "Mul", (inner, _number(made, node, "factor", math.sqrt(2 / math.pi))))
        gate = made.step(node, "Tanh", (inner,))
    else:
        inner = made.step(node, "Mul", (x, _number(made, node, "factor", math.sqrt(0.5))))
        gate = made.step(node, "Erf", (inner,))
    gate = made.step(node, "Add", (gate, _number(made, node, "one", 1.0)))
    half = made.step(node, "Mul", (x, _number(made, node, "half", 0.5)))
    made.last(node, "Mul", (half, gate))


def _softsign(made: Translation, node: Node) -> None:
    below = made.step(node, "Add", (made.step(node, "Abs", node.inputs), _number(made, node, "one", 1.0)))
    made.last(node, "Div", (node.inputs[0], below))


def _thresholded_relu(made: Translation, node: Node) -> None:
    limit = _number(made, node, "alpha", float(node.attributes.get("alpha", 1.0)))
    is_above = made.step(node, "Greater", (node.inputs[0], limit))
    made.last(node, "Where", (is_above, node.inputs[0], _number(made, node, "zero", 0.0)))


def _celu(made: Translation, node: Node) -> None:
    """`max(0, x) + min(0, a (e^(x / a) - 1))` is `a elu(x / a)`, Barron 2017."""
    alpha = float(node.attributes.get("alpha", 1.0))
    if alpha == 1:
        made.last(node, "Elu", node.inputs, alpha=1.0)
        return
    inner = made.step(
        node, "Elu", (made.step(node, "Div", (node.inputs[0], _number(made, node, "alpha", alpha))),), alpha=1.0
    )
    made.last(node, "Mul", (inner, _number(made, node, "alpha", alpha)))


def _not(op: str) -> Adapter:
    def adapt(made: Translation, node: Node) -> None:
        made.last(node, "Not", (made.step(node, op, node.inputs),))

    return adapt


def _mean(made: Translation, node: Node) -> None:
    total = node.inputs[0]
    for name in node.inputs[1:]:
        total = made.step(node, "Add", (total, name))
    made.last(node, "Div", (total, _number(made, node, "count", len(node.inputs))))


def _reduce_l1(made: Translation, node: Node) -> None:
    reduce(made, node, "ReduceSum", made.step(node, "Abs", node.inputs[:1]))


def _reduce_sum_square(made: Translation, node: Node) -> None:
    reduce(made, node, "ReduceSum", made.step(node, "Mul", (node.inputs[0], node.inputs[0])))


def _reduce_log_sum(made: Translation, node: Node) -> None:
    made.last(node, "Log", (reduce(made, node, "ReduceSum", node.inputs[0], inner="sum"),))


def _reduce_log_sum_exp(made: Translation, node: Node) -> None:
    """Less the maximum, so that nothing overflows."""
    peak = reduce(made, node, "ReduceMax", node.inputs[0], inner="peak", keepdims=True)
    inner = made.step(node, "Exp", (made.step(node, "Sub", (node.inputs[0], peak)),))
    total = made.step(node, "Log", (reduce(made, node, "ReduceSum", inner, inner="sum"),))
    peak = reduce(made, node, "ReduceMax", node.inputs[0], inner="peak")
    made.last(node, "Add", (total, peak))


def _arg_min(made: Translation, node: Node) -> None:
    if node.attributes.get("select_last_index", 0):
        raise CannotTranslateError("select_last_index")
    about = {name: value for name, value in node.attributes.items() if name in {"axis", "keepdims"}}
    made.last(node, "ArgMax", (made.step(node, "Neg", node.inputs),), **about)


def _sign(made: Translation, node: Node) -> None:
    zero, one, minus = (_number(made, node, name, value) for name, value in (("zero", 0), ("one", 1), ("minus", -1)))
    below = made.step(node, "Where", (made.step(node, "Less", (node.inputs[0], zero)), minus, zero))
    made.last(node, "Where", (made.step(node, "Greater", (node.inputs[0], zero)), one, below))


def _layer_norm(made: Translation, node: Node) -> None:
    """Ba, Kiros and Hinton 2016; over all axes from `axis` on."""
    if len(node.outputs) > 1:
        raise CannotTranslateError("mean or deviation is read")
    rank = made.rank(node.inputs[0])
    first = int(node.attributes.get("axis", -1)) % rank
    axes = tuple(range(first, rank))
    mean = made.step(node, "ReduceMean", node.inputs[:1], axes=axes, keepdims=1)
    centred = made.step(node, "Sub", (node.inputs[0], mean))
    variance = made.step(node, "ReduceMean", (made.step(node, "Mul", (centred, centred)),), axes=axes, keepdims=1)
    epsilon = _number(made, node, "epsilon", float(node.attributes.get("epsilon", 1e-5)))
    deviation = made.step(node, "Sqrt", (made.step(node, "Add", (variance, epsilon)),))
    has_bias = len(node.inputs) > 2 and bool(node.inputs[2])
    normal = made.step(node, "Div", (centred, deviation))
    if not has_bias:
        made.last(node, "Mul", (normal, node.inputs[1]))
        return
    made.last(node, "Add", (made.step(node, "Mul", (normal, node.inputs[1])), node.inputs[2]))


def _group_norm(made: Translation, node: Node) -> None:
    """Wu and He 2018: every group of channels is one instance. Opset 18 has a factor a group, 21 one a channel."""
    shape = made.fixed_shape(node.inputs[0])
    groups = int(node.attributes["num_groups"])
    parts = [made.value(node, place) for place in (1, 2)]
    scale, bias = (np.asarray(part, np.float32) for part in parts)
    if len(scale) != shape[1]:
        scale, bias = (np.repeat(part, shape[1] // groups) for part in (scale, bias))
    folded = made.constant(node, "groups", (shape[0], groups, -1), np.int64)
    unfolded = made.constant(node, "shape", shape, np.int64)
    ones, zeros = made.constant(node, "ones", np.ones(groups)), made.constant(node, "zeros", np.zeros(groups))
    values = made.step(node, "Reshape", (node.inputs[0], folded))
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    values = made.step(node, "InstanceNormalization", (values, ones, zeros), epsilon=epsilon)
    values = made.step(node, "Reshape", (values, unfolded))
    places = (-1, *(1,) * (len(shape) - 2))
    values = made.step(node, "Mul", (values, made.constant(node, "scale", scale.reshape(places))))
    made.last(node, "Add", (values, made.constant(node, "bias", bias.reshape(places))))


DECOMPOSED: dict[str, Adapter] = {
    "ArgMin": _arg_min,
    "Celu": _celu,
    "Gelu": _gelu,
    "GreaterOrEqual": _not("Less"),
    "GroupNormalization": _group_norm,
    "HardSwish": _hard_swish,
    "LayerNormalization": _layer_norm,
    "LessOrEqual": _not("Greater"),
    "Mean": _mean,
    "Mish": _mish,
    "ReduceL1": _reduce_l1,
    "ReduceLogSum": _reduce_log_sum,
    "ReduceLogSumExp": _reduce_log_sum_exp,
    "ReduceSumSquare": _reduce_sum_square,
    "Sign": _sign,
    "Softsign": _softsign,
    "Swish": _swish,
    "ThresholdedRelu": _thresholded_relu,
}
"""Operator of the source -> what writes it in several nodes."""
