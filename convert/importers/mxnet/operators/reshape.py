"""Reshape with the codes of MXNet."""

from __future__ import annotations

from convert.importers.mxnet.maker import Call
from convert.network import Shape


def reshape(call: Call) -> None:
    """0 keeps a size and -1 is what is left, as in ONNX; -2, -3 and -4 are worked out from the sizes of the input."""
    wanted = call.attributes.integers("shape") or call.attributes.integers("target_shape")
    if not wanted or min(wanted) < -4:
        raise call.refuse(f"shape {wanted}", "whole numbers from -4")
    if call.attributes.truth("reverse", default=False):
        if -4 in wanted:
            raise call.refuse(f"shape {wanted} in reverse", "no -4")
        # Counted from the back, 0 would mean another axis to ONNX.
        wanted = _spelled_out(call, wanted[::-1], call.known_shape()[::-1], zeros=False)[::-1]
    elif min(wanted) < -1:
        wanted = _spelled_out(call, wanted, call.known_shape(), zeros=True)
    call.finish("Reshape", (call.input(0), call.integers("shape", wanted)))


def _spelled_out(call: Call, wanted: tuple[int, ...], sizes: Shape, *, zeros: bool) -> tuple[int, ...]:
    """The same shape with sizes and -1 alone, and 0 for an axis that stays (matrix_op-inl.h, InferReshapeShape)."""
    made: list[int] = []
    codes, at = list(wanted), 0
    while codes:
        code = codes.pop(0)
        if code in {0, -2}:
            for axis in range(at, len(sizes) if code else at + 1):
                made.append(0 if zeros and len(made) == axis else _known(call, sizes[axis]))
            at = len(sizes) if code else at + 1
        elif code == -3:
            made.append(_known(call, sizes[at]) * _known(call, sizes[at + 1]))
            at += 2
        elif code == -4:
            made += _divided(call, sizes[at], (codes.pop(0), codes.pop(0)))
            at += 1
        else:
            made.append(code)
            at += 1
    return tuple(made)


def _known(call: Call, size: int | None) -> int:
    if size is None:
        raise call.needs_sizes()
    return size


def _divided(call: Call, size: int | None, parts: tuple[int, int]) -> list[int]:
    first, second = parts
    if -1 in parts:
        whole = _known(call, size)
        first = whole // second if first == -1 else first
        second = whole // first if second == -1 else second
    return [first, second]
