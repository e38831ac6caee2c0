"""PReLU, however it is written out: relu(x) + a (x - |x|) / 2, relu(x) - a relu(-x), max(x, a x), where(x > 0, x, a x), ...

Each of these is a tensor that is one number a channel times x above 0, and another below. Such slopes are followed from
operator to operator; where they become 1 above 0, PRelu is written in place of what led there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convert.importers.nhwc import Held
from convert.importers.nhwc_ops import prelu, unary
from convert.importers.tensorflow.graph import Op
from convert.importers.tensorflow.reading import Reading, Slopes
from convert.network import Array

_MOST_BASES = 6
_ONE = np.ones((), np.float32)
_ZERO = np.zeros((), np.float32)
_SUMS = {"Add": np.add, "AddV2": np.add, "Sub": np.subtract}
_CHOICES = {"Maximum": (np.maximum, np.minimum), "Minimum": (np.minimum, np.maximum)}
_COMPARED = {"Greater": True, "GreaterEqual": True, "Less": False, "LessEqual": False}
ENDS = frozenset({*_SUMS, "Maximum", "Select", "SelectV2"})
"""What may end such a form."""


def is_written(reading: Reading, op: Op) -> bool:
    """Follow the slopes through an operator; True where it ended a PReLU, which is then in the network."""
    found = _followed(reading, op)
    if not found:
        return False
    reading.slopes[op.name] = found
    if op.kind in ENDS:
        for base, slopes in found.items():
            if np.all(slopes.above == 1):
                _write(reading, op, base, slopes.below)
                return True
    return False


def _write(reading: Reading, op: Op, base: Held, below: Array) -> None:
    builder = reading.builder
    name = builder.fresh(f"{op.name}/input")
    builder.view(name, base)
    if np.all(below == 1):
        builder.alias(op.name, name)
    elif np.all(below == 0):
        unary(builder, op.name, name, "Relu")
    else:
        prelu(builder, op.name, name, below)


def _followed(reading: Reading, op: Op) -> dict[Held, Slopes]:
    if op.kind in {"Relu", "Neg", "Abs"}:
        return _each(_bases(reading, op.inputs[0]), _ALONE[op.kind])
    if op.kind == "Mul":
        return _scaled(reading, op)
    if op.kind in _SUMS or op.kind in _CHOICES:
        return _combined(reading, op)
    if op.kind in _COMPARED:
        _compare(reading, op)
    if op.kind in {"Select", "SelectV2"}:
        return _selected(reading, op)
    return {}


_ALONE: dict[str, Callable[[Slopes], Slopes]] = {
    # For a negative base b * base is positive where b is negative.
    "Relu": lambda of: Slopes(np.maximum(of.above, 0), np.minimum(of.below, 0)),
    "Neg": lambda of: Slopes(-of.above, -of.below),
    "Abs": lambda of: Slopes(np.abs(of.above), -np.abs(of.below)),
}


def _each(bases: dict[Held, Slopes], change: Callable[[Slopes], Slopes]) -> dict[Held, Slopes]:
    return {base: change(slopes) for base, slopes in bases.items()}


def _bases(reading: Reading, tensor: str) -> dict[Held, Slopes]:
    """The tensor in terms of itself, and of what it was made of."""
    builder = reading.builder
    if reading.is_unread(tensor) or builder.value(tensor) is not None:
        return {}
    held = builder.held(tensor)
    if held.dtype != "float32":
        return {}
    found = {held: Slopes(_ONE, _ONE), **reading.slopes.get(_origin(reading, tensor), {})}
    return dict(list(found.items())[:_MOST_BASES])


def _origin(reading: Reading, tensor: str) -> str:
    op = reading.maker(tensor, "Relu", "Neg", "Abs", "Mul", *_SUMS, *_CHOICES, "Select", "SelectV2")
    return op.name if op is not None else tensor


def _numbers(reading: Reading, tensor: str, channels: object) -> Array | None:
    """A constant with one number, or one a channel of the source's last axis, or (C, 1, 1) where that comes second."""
    value = reading.builder.value(tensor)
    if value is None or value.dtype.kind not in "fiu":
        return None
    if value.size == 1:
        return value.reshape(()).astype(np.float32)
    return value.astype(np.float32) if value.size in {*value.shape} and value.size in _flat(channels) else None


def _flat(shape: object) -> set[object]:
    return set(shape) if isinstance(shape, tuple) else set()


def _scaled(reading: Reading, op: Op) -> dict[Held, Slopes]:
    for number, tensor in (op.inputs, op.inputs[::-1]):
        bases = _bases(reading, tensor)
        if not bases:
            continue
        factor = _numbers(reading, number, reading.builder.shape(tensor))
        if factor is not None and factor.ndim <= len(reading.builder.shape(tensor)):
            return _each(bases, lambda of, by=factor: Slopes(of.above * by, of.below * by))  # type: ignore[misc]
    return {}


def _combined(reading: Reading, op: Op) -> dict[Held, Slopes]:
    left, right = (_operand(reading, each) for each in op.inputs[:2])
    if left is None or right is None or not (left or right):
        return {}
    # A constant 0 is 0 times any base.
    common = [base for base in {**left, **right} if (base in left or not left) and (base in right or not right)]
    nothing = Slopes(_ZERO, _ZERO)
    above, below = _CHOICES.get(op.kind) or (_SUMS[op.kind], _SUMS[op.kind])
    made = {}
    for base in common:
        one, other = left.get(base, nothing), right.get(base, nothing)
        made[base] = Slopes(above(one.above, other.above), below(one.below, other.below))
    return made


def _operand(reading: Reading, tensor: str) -> dict[Held, Slopes] | None:
    """Slopes by base; none for a constant 0; None where nothing is known."""
    value = reading.builder.value(tensor)
    if value is None:
        return _bases(reading, tensor) or None
    return {} if value.size == 1 and value.dtype != object and float(value.reshape(())) == 0 else None


def _compare(reading: Reading, op: Op) -> None:
    left, right = op.inputs[:2]
    is_first = _operand(reading, right) == {}
    zero, tensor = (right, left) if is_first else (left, right)
    if _operand(reading, zero) == {} and _bases(reading, tensor):
        reading.signs[op.name] = reading.builder.held(tensor), _COMPARED[op.kind] == is_first


def _selected(reading: Reading, op: Op) -> dict[Held, Slopes]:
    condition = reading.maker(op.inputs[0], *_COMPARED)
    if condition is None or condition.name not in reading.signs:
        return {}
    base, is_positive = reading.signs[condition.name]
    yes, no = (_operand(reading, each) for each in op.inputs[1:3])
    if yes is None or no is None:
        return {}
    zero = Slopes(_ZERO, _ZERO)
    sides = [side.get(base, zero if not side else None) for side in (yes, no)]
    one, other = sides if is_positive else sides[::-1]
    return {base: Slopes(one.above, other.below)} if one is not None and other is not None else {}
