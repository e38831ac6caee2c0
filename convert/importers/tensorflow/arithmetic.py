"""TensorFlow's element-by-element operators, reductions and products of matrices."""

from __future__ import annotations

import numpy as np

from convert.importers.nhwc import axes as nhwc_axes
from convert.importers.nhwc import ops as nhwc_ops
from convert.importers.tensorflow import patterns
from convert.importers.tensorflow.graph import Op
from convert.importers.tensorflow.reading import Reading, Writer, is_channels_last, whole_numbers


def _same(reading: Reading, op: Op) -> None:
    reading.builder.alias(op.name, op.inputs[0])


def _same_each(reading: Reading, op: Op) -> None:
    for index, tensor in enumerate(op.inputs):
        reading.builder.alias(op.name if index == 0 else f"{op.name}:{index}", tensor)


def _unary(kind: str, **attributes: object) -> Writer:
    def write(reading: Reading, op: Op) -> None:
        nhwc_ops.unary(reading.builder, op.name, op.inputs[0], kind, **attributes)

    return write


def _chain(*kinds: str) -> Writer:
    def write(reading: Reading, op: Op) -> None:
        nhwc_ops.chain(reading.builder, op.name, op.inputs[0], *kinds)

    return write


_NEUTRAL = {"Mul": 1.0, "Div": 1.0, "Add": 0.0, "Sub": 0.0}


def _binary(kind: str) -> Writer:
    def write(reading: Reading, op: Op) -> None:
        left, right = op.inputs[:2]
        if _is_neutral(reading, kind, right, left):
            reading.builder.alias(op.name, left)
        elif kind in {"Mul", "Add"} and _is_neutral(reading, kind, left, right):
            reading.builder.alias(op.name, right)
        elif kind not in {"Mul", "Div"} or not patterns.is_unit_length(reading, op):
            nhwc_ops.binary(reading.builder, op.name, kind, left, right)

    return write


def _is_neutral(reading: Reading, kind: str, number: str, other: str) -> bool:
    value = reading.builder.value(number)
    if value is None or value.size != 1 or kind not in _NEUTRAL or value.dtype.kind != "f":
        return False
    return float(value.reshape(())) == _NEUTRAL[kind] and value.ndim <= len(reading.builder.shape(other))


def _extreme(kind: str) -> Writer:
    def write(reading: Reading, op: Op) -> None:
        """Maximum or Minimum; by one number it is a Clip, which every runtime has."""
        builder = reading.builder
        for number, tensor in (op.inputs, op.inputs[::-1]):
            value = builder.value(number)
            if value is not None and value.size == 1 and value.ndim == 0 and value.dtype.kind == "f":
                end = float(value)
                low, high = (end, None) if kind == "Max" else (None, end)
                nhwc_ops.clip(builder, op.name, tensor, low, high)
                return
        nhwc_ops.binary(builder, op.name, kind, *op.inputs[:2])

    return write


def _negated(kind: str) -> Writer:
    def write(reading: Reading, op: Op) -> None:
        nhwc_ops.negated(reading.builder, op.name, kind, *op.inputs[:2])

    return write


def _bias(reading: Reading, op: Op) -> None:
    builder = reading.builder
    tensor, bias = op.inputs[:2]
    if not is_channels_last(op):
        # One number for each index along the second axis.
        value = builder.known(bias, str(op))
        bias = builder.fresh(f"{op.name}/bias")
        builder.add_value(bias, value.reshape(-1, *(1,) * (len(builder.shape(tensor)) - 2)))
    nhwc_ops.binary(builder, op.name, "Add", tensor, bias)


def _relu6(reading: Reading, op: Op) -> None:
    nhwc_ops.clip(reading.builder, op.name, op.inputs[0], 0.0, 6.0)


def _clip(reading: Reading, op: Op) -> None:
    low, high = (float(reading.builder.known(each, str(op)).reshape(())) for each in op.inputs[1:3])
    nhwc_ops.clip(reading.builder, op.name, op.inputs[0], low, high)


def _leaky(reading: Reading, op: Op) -> None:
    nhwc_ops.unary(reading.builder, op.name, op.inputs[0], "LeakyRelu", alpha=float(op.attribute("alpha", 0.2)))


def _cast(reading: Reading, op: Op) -> None:
    nhwc_ops.cast(reading.builder, op.name, op.inputs[0], str(op.attribute("DstT")))


def _square(reading: Reading, op: Op) -> None:
    nhwc_ops.squared(reading.builder, op.name, op.inputs[0])


def _squared_difference(reading: Reading, op: Op) -> None:
    nhwc_ops.squared_difference(reading.builder, op.name, *op.inputs[:2])


def _floor_div(reading: Reading, op: Op) -> None:
    builder = reading.builder
    quotient = builder.fresh(f"{op.name}/quotient")
    nhwc_ops.binary(builder, quotient, "Div", *op.inputs[:2])
    nhwc_ops.unary(builder, op.name, quotient, "Floor")


def _log_softmax(reading: Reading, op: Op) -> None:
    builder = reading.builder
    parts = builder.fresh(f"{op.name}/softmax")
    nhwc_axes.along(builder, parts, op.inputs[0], "Softmax", -1)
    nhwc_ops.unary(builder, op.name, parts, "Log")


def _softmax(reading: Reading, op: Op) -> None:
    nhwc_axes.along(reading.builder, op.name, op.inputs[0], "Softmax", -1)


def _softsign(reading: Reading, op: Op) -> None:
    builder = reading.builder
    size, one, below = (builder.fresh(f"{op.name}/{part}") for part in ("size", "one", "below"))
    nhwc_ops.unary(builder, size, op.inputs[0], "Abs")
    builder.add_value(one, np.ones((), np.float32))
    nhwc_ops.binary(builder, below, "Add", size, one)
    nhwc_ops.binary(builder, op.name, "Div", op.inputs[0], below)


def _add_n(reading: Reading, op: Op) -> None:
    nhwc_ops.added(reading.builder, op.name, op.inputs)


def _select(reading: Reading, op: Op) -> None:
    builder = reading.builder
    condition, yes, no = op.inputs[:3]
    value = builder.value(condition)
    if value is None or value.size != 1:
        nhwc_ops.where(builder, op.name, condition, yes, no)
        return
    builder.alias(op.name, yes if bool(value.reshape(())) else no)


def _reduce(kind: str) -> Writer:
    def write(reading: Reading, op: Op) -> None:
        keep = bool(op.attribute("keep_dims", op.attribute("keepdims", default=False)))
        axes = whole_numbers(reading, op, 1)
        if axes:
            nhwc_axes.reduce(reading.builder, op.name, op.inputs[0], kind, axes, keep=keep)
        else:
            reading.builder.alias(op.name, op.inputs[0])

    return write


def _arg_max(reading: Reading, op: Op) -> None:
    nhwc_axes.arg_max(reading.builder, op.name, op.inputs[0], whole_numbers(reading, op, 1)[0])


def _matmul(reading: Reading, op: Op) -> None:
    turn = bool(op.attribute("transpose_a", default=False)), bool(op.attribute("transpose_b", default=False))
    nhwc_ops.matmul(reading.builder, op.name, *op.inputs[:2], turn=turn)


def _batch_matmul(reading: Reading, op: Op) -> None:
    turn = bool(op.attribute("adj_x", default=False)), bool(op.attribute("adj_y", default=False))
    nhwc_ops.matmul(reading.builder, op.name, *op.inputs[:2], turn=turn)


def _fake_quantised(reading: Reading, op: Op) -> None:
    reading.note(f"{op} only imitates the rounding of a quantised network, and was left out.")
    reading.builder.alias(op.name, op.inputs[0])
    if op.kind.endswith("PerChannel") or reading.builder.value(op.inputs[0]) is not None:
        return
    if op.kind.endswith("Args"):
        low, high = float(op.attribute("min", default=-6.0)), float(op.attribute("max", default=6.0))
    else:
        low, high = (float(reading.builder.known(name, str(op)).reshape(())) for name in op.inputs[1:3])
    reading.ranges[reading.builder.held(op.inputs[0]).name] = (low, high)


WRITERS: dict[str, Writer] = {
    "Identity": _same, "StopGradient": _same, "Snapshot": _same, "PreventGradient": _same, "CheckNumerics": _same,
    "EnsureShape": _same, "PlaceholderWithDefault": _same, "ReadVariableOp": _same, "IdentityN": _same_each,
    "FakeQuantWithMinMaxVars": _fake_quantised, "FakeQuantWithMinMaxArgs": _fake_quantised,
    "FakeQuantWithMinMaxVarsPerChannel": _fake_quantised,
    "Relu": _unary("Relu"), "Relu6": _relu6, "LeakyRelu": _leaky, "Elu": _unary("Elu", alpha=1.0),
    "Selu": _unary("Selu", alpha=1.6732632423543772, gamma=1.0507009873554805), "Sigmoid": _unary("Sigmoid"),
    "Tanh": _unary("Tanh"), "Softplus": _unary("Softplus"), "Softsign": _softsign, "Softmax": _softmax,
    "LogSoftmax": _log_softmax, "Exp": _unary("Exp"), "Log": _unary("Log"), "Abs": _unary("Abs"), "Neg": _unary("Neg"),
    "Sqrt": _unary("Sqrt"), "Rsqrt": _chain("Sqrt", "Reciprocal"), "Reciprocal": _unary("Reciprocal"),
    "Inv": _unary("Reciprocal"), "Floor": _unary("Floor"), "Ceil": _unary("Ceil"), "Round": _unary("Round"),
    "Rint": _unary("Round"), "Erf": _unary("Erf"), "LogicalNot": _unary("Not"), "Square": _square, "Cast": _cast,
    "ClipByValue": _clip,
    "Add": _binary("Add"), "AddV2": _binary("Add"), "Sub": _binary("Sub"), "Mul": _binary("Mul"),
    "RealDiv": _binary("Div"), "Div": _binary("Div"), "Pow": _binary("Pow"), "FloorDiv": _floor_div,
    "Maximum": _extreme("Max"), "Minimum": _extreme("Min"), "BiasAdd": _bias, "BiasAddV1": _bias, "AddN": _add_n,
    "SquaredDifference": _squared_difference,
    "Greater": _binary("Greater"), "Less": _binary("Less"), "Equal": _binary("Equal"), "NotEqual": _negated("Equal"),
    "GreaterEqual": _negated("Less"), "LessEqual": _negated("Greater"), "LogicalAnd": _binary("And"),
    "LogicalOr": _binary("Or"), "Select": _select, "SelectV2": _select,
    "Mean": _reduce("ReduceMean"), "Sum": _reduce("ReduceSum"), "Max": _reduce("ReduceMax"),
    "Min": _reduce("ReduceMin"), "ArgMax": _arg_max,
    "MatMul": _matmul, "BatchMatMul": _batch_matmul, "BatchMatMulV2": _batch_matmul, "BatchMatMulV3": _batch_matmul,
}  # fmt: skip
"""Operator -> what writes it."""
