"""Operators value by value."""

from __future__ import annotations

from convert.importers.nhwc import axes as nhwc_axes
from convert.importers.nhwc import ops as nhwc_ops
from convert.importers.tflite.operators.call import ACTIVATIONS, Activation, Call, Emitter, fused, scalar
from convert.importers.tflite.reading import DTYPES
from convert.importers.tflite.schema import names_of


def _unary(op: str) -> Emitter:
    def emit(call: Call) -> None:
        nhwc_ops.unary(call.builder, call.output, call.input(0), op)

    return emit


def _chain(*ops: str) -> Emitter:
    def emit(call: Call) -> None:
        nhwc_ops.chain(call.builder, call.output, call.input(0), *ops)

    return emit


def _activation(write: Activation) -> Emitter:
    def emit(call: Call) -> None:
        write(call.builder, call.output, call.input(0))

    return emit


def _binary(op: str) -> Emitter:
    def emit(call: Call) -> None:
        fused(call, lambda name: nhwc_ops.binary(call.builder, name, op, call.input(0), call.input(1)))

    return emit


def _negated(op: str) -> Emitter:
    def emit(call: Call) -> None:
        nhwc_ops.negated(call.builder, call.output, op, call.input(0), call.input(1))

    return emit


def _zero_to_one(call: Call) -> None:
    nhwc_ops.clip(call.builder, call.output, call.input(0), 0, 1)


def _square(call: Call) -> None:
    nhwc_ops.squared(call.builder, call.output, call.input(0))


def _squared_difference(call: Call) -> None:
    nhwc_ops.squared_difference(call.builder, call.output, call.input(0), call.input(1))


def _leaky(call: Call) -> None:
    nhwc_ops.unary(call.builder, call.output, call.input(0), "LeakyRelu", alpha=float(call.option("Alpha", 0.0)))


def _elu(call: Call) -> None:
    nhwc_ops.unary(call.builder, call.output, call.input(0), "Elu", alpha=1.0)


def _prelu(call: Call) -> None:
    nhwc_ops.prelu(call.builder, call.output, call.input(0), call.known(1))


def _hard_swish(call: Call) -> None:
    """Times relu6(x + 3) / 6 (Howard et al. 2019)."""
    builder, held = call.builder, call.builder.held(call.input(0))
    gate = builder.helper("HardSigmoid", f"{call.output}/gate", (held.name,), alpha=1 / 6, beta=0.5)
    builder.emit("Mul", call.output, (held.name, gate), held)


def _gelu(call: Call) -> None:
    """Half of x (1 + erf(x / sqrt 2)); the other form is an approximation by tanh, which is spelled out too."""
    builder, held, output = call.builder, call.builder.held(call.input(0)), call.output

    def step(op: str, name: str, left: str, right: str | float) -> str:
        other = right if isinstance(right, str) else builder.add_constant(f"{output}/{name}/by", scalar(right))
        return builder.helper(op, f"{output}/{name}", (left, other))

    if call.option("Approximate"):
        cube = step("Mul", "cube", step("Mul", "square", held.name, held.name), held.name)
        inner = step("Mul", "inner", step("Add", "sum", held.name, step("Mul", "part", cube, 0.044715)), 0.7978845608)
        bent = builder.helper("Tanh", f"{output}/bent", (inner,))
    else:
        bent = builder.helper("Erf", f"{output}/bent", (step("Mul", "inner", held.name, 0.5**0.5),))
    half = step("Mul", "half", held.name, 0.5)
    builder.emit("Mul", output, (half, step("Add", "lifted", bent, 1.0)), held)


def _softmax(call: Call) -> None:
    builder, x, beta = call.builder, call.input(0), float(call.option("Beta", 1.0))
    if beta != 1.0:
        held, scaled = builder.held(x), builder.fresh(f"{call.output}/scaled")
        factor = builder.add_constant(f"{call.output}/beta", scalar(beta))
        builder.emit("Mul", scaled, (held.name, factor), held)
        x = scaled
    nhwc_axes.along(builder, call.output, x, "Softmax", -1)


def _log_softmax(call: Call) -> None:
    inner = call.builder.fresh(f"{call.output}/softmax")
    nhwc_axes.along(call.builder, inner, call.input(0), "Softmax", -1)
    nhwc_ops.unary(call.builder, call.output, inner, "Log")


def _cast(call: Call) -> None:
    """To what the output tensor is; a quantised one stands for real numbers already."""
    made = call.graph.tensors[call.operator.outputs[0]]
    kind = names_of("TensorType").get(call.option("OutDataType"), "")
    dtype = made.dtype if not call.operator.options else DTYPES.get(kind, made.dtype)
    if dtype not in nhwc_ops.NUMBERS:
        raise call.refuse(f"to {dtype}", ", ".join(nhwc_ops.NUMBERS))
    nhwc_ops.cast(call.builder, call.output, call.input(0), dtype)


def _same(call: Call) -> None:
    """Between integers with a scale and real numbers: all are real numbers here."""
    call.builder.alias(call.output, call.input(0))


def _select(call: Call) -> None:
    nhwc_ops.where(call.builder, call.output, call.input(0), call.input(1), call.input(2))


def _added(call: Call) -> None:
    nhwc_ops.added(call.builder, call.output, call.inputs)


ARITHMETIC: dict[str, Emitter] = {
    **{op: _activation(write) for op, write in ACTIVATIONS.items()},
    "RELU_0_TO_1": _zero_to_one,
    "LEAKY_RELU": _leaky,
    "ELU": _elu,
    "PRELU": _prelu,
    "GELU": _gelu,
    "HARD_SWISH": _hard_swish,
    "TANH": _unary("Tanh"),
    "LOGISTIC": _unary("Sigmoid"),
    "SOFTMAX": _softmax,
    "LOG_SOFTMAX": _log_softmax,
    "EXP": _unary("Exp"),
    "LOG": _unary("Log"),
    "SQRT": _unary("Sqrt"),
    "RSQRT": _chain("Sqrt", "Reciprocal"),
    "NEG": _unary("Neg"),
    "ABS": _unary("Abs"),
    "FLOOR": _unary("Floor"),
    "CEIL": _unary("Ceil"),
    "ROUND": _unary("Round"),
    "LOGICAL_NOT": _unary("Not"),
    "SQUARE": _square,
    "ADD": _binary("Add"),
    "SUB": _binary("Sub"),
    "MUL": _binary("Mul"),
    "DIV": _binary("Div"),
    "POW": _binary("Pow"),
    "MAXIMUM": _binary("Max"),
    "MINIMUM": _binary("Min"),
    "SQUARED_DIFFERENCE": _squared_difference,
    "ADD_N": _added,
    "EQUAL": _binary("Equal"),
    "GREATER": _binary("Greater"),
    "LESS": _binary("Less"),
    "NOT_EQUAL": _negated("Equal"),
    "GREATER_EQUAL": _negated("Less"),
    "LESS_EQUAL": _negated("Greater"),
    "LOGICAL_AND": _binary("And"),
    "LOGICAL_OR": _binary("Or"),
    "SELECT": _select,
    "SELECT_V2": _select,
    "CAST": _cast,
    "QUANTIZE": _same,
    "DEQUANTIZE": _same,
}
