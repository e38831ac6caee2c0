"""Operators that reduce axes."""

from __future__ import annotations

from convert.importers.mxnet.maker import Call
from convert.importers.mxnet.operators.kinds import Emitter


def _axes(call: Call) -> tuple[int, ...]:
    """Those reduced; all of them where none is named."""
    named = call.attributes.integers("axis")
    if not named:
        return tuple(range(call.rank()))
    if call.attributes.truth("exclude", default=False):
        kept = {call.axis(axis) for axis in named}
        return tuple(axis for axis in range(call.rank()) if axis not in kept)
    return named


def _reduction(op: str) -> Emitter:
    def emit(call: Call) -> None:
        keeps = int(call.attributes.truth("keepdims", default=False))
        axes = _axes(call)
        if op == "ReduceSum":
            # Opset 13 has the axes of this one as an input.
            call.finish(op, (call.input(0), call.integers("axes", axes)), keepdims=keeps)
            return
        call.finish(op, (call.input(0),), axes=axes, keepdims=keeps)

    return emit


def _norm(call: Call) -> None:
    order = call.attributes.integer("ord", 2)
    if order != 2:
        raise call.refuse(f"ord {order}", "2")
    _reduction("ReduceL2")(call)


REDUCTIONS: dict[str, Emitter] = {
    "mean": _reduction("ReduceMean"),
    **dict.fromkeys(("sum", "sum_axis"), _reduction("ReduceSum")),
    **dict.fromkeys(("max", "max_axis"), _reduction("ReduceMax")),
    **dict.fromkeys(("min", "min_axis"), _reduction("ReduceMin")),
    "norm": _norm,
}
