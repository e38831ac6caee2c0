"""Operators value by value."""

from __future__ import annotations

from convert.importers.mxnet.maker import Call
from convert.importers.mxnet.operators.kinds import Emitter

_TWO = {
    "Add": ("elemwise_add", "_plus", "_Plus", "_add", "_grad_add", "broadcast_add", "broadcast_plus"),
    "Sub": ("elemwise_sub", "_minus", "_Minus", "_sub", "broadcast_sub", "broadcast_minus"),
    "Mul": ("elemwise_mul", "_mul", "_Mul", "broadcast_mul"),
    "Div": ("elemwise_div", "_div", "_Div", "broadcast_div"),
    "Pow": ("_power", "_Power", "broadcast_power"),
    "Max": ("_maximum", "_Maximum", "broadcast_maximum"),
    "Min": ("_minimum", "_Minimum", "broadcast_minimum"),
}
_WITH_A_NUMBER = {
    "Add": ("_plus_scalar", "_PlusScalar"),
    "Sub": ("_minus_scalar", "_MinusScalar"),
    "Mul": ("_mul_scalar", "_MulScalar"),
    "Div": ("_div_scalar", "_DivScalar"),
    "Pow": ("_power_scalar", "_PowerScalar"),
    "Max": ("_maximum_scalar", "_MaximumScalar"),
    "Min": ("_minimum_scalar", "_MinimumScalar"),
}
_WITH_A_NUMBER_FIRST = {
    "Sub": ("_rminus_scalar", "_RMinusScalar"),
    "Div": ("_rdiv_scalar", "_RDivScalar"),
    "Pow": ("_rpower_scalar", "_RPowerScalar"),
}
_ONE = {
    "Abs": "abs",
    "Neg": "negative",
    "Sqrt": "sqrt",
    "Exp": "exp",
    "Log": "log",
    "Reciprocal": "reciprocal",
    "Floor": "floor",
    "Ceil": "ceil",
}


def _two(op: str) -> Emitter:
    def emit(call: Call) -> None:
        call.finish(op, (call.input(0), call.input(1)))

    return emit


def _with_a_number(op: str, *, first: bool = False) -> Emitter:
    def emit(call: Call) -> None:
        number = call.number("scalar", call.attributes.number("scalar", 1.0))
        call.finish(op, (number, call.input(0)) if first else (call.input(0), number))

    return emit


def _one(op: str) -> Emitter:
    def emit(call: Call) -> None:
        call.finish(op, (call.input(0),))

    return emit


def _sum_of_all(call: Call) -> None:
    total = call.input(0)
    for index, name in enumerate(call.inputs[1:-1]):
        total = call.step("Add", f"sum{index}", (total, name))
    if len(call.inputs) == 1:
        call.finish("Identity", (total,))
        return
    call.finish("Add", (total, call.inputs[-1]))


def _square(call: Call) -> None:
    call.finish("Mul", (call.input(0), call.input(0)))


def _reciprocal_root(call: Call) -> None:
    call.finish("Reciprocal", (call.step("Sqrt", "root", (call.input(0),)),))


def _clip(call: Call) -> None:
    if not call.attributes.has("a_min") or not call.attributes.has("a_max"):
        raise call.refuse("no a_min or a_max", "both")
    low, high = call.attributes.number("a_min", 0), call.attributes.number("a_max", 0)
    call.finish("Clip", (call.input(0), call.number("min", low), call.number("max", high)))


def _cast(call: Call) -> None:
    """Between floating-point types only, which are all computed in float32 here."""
    dtype = call.attributes.text("dtype", "float32")
    if dtype not in {"float32", "float16", "float64"}:
        raise call.refuse(f"dtype {dtype}", "a floating-point one")
    call.finish("Identity", (call.input(0),))


ARITHMETIC: dict[str, Emitter] = {
    **{name: _two(op) for op, names in _TWO.items() for name in names},
    **{name: _with_a_number(op) for op, names in _WITH_A_NUMBER.items() for name in names},
    **{name: _with_a_number(op, first=True) for op, names in _WITH_A_NUMBER_FIRST.items() for name in names},
    **{name: _one(op) for op, name in _ONE.items()},
    **dict.fromkeys(("add_n", "ElementWiseSum", "_sum"), _sum_of_all),
    "square": _square,
    "rsqrt": _reciprocal_root,
    "clip": _clip,
    "Cast": _cast,
    "cast": _cast,
    "amp_cast": _cast,
}
