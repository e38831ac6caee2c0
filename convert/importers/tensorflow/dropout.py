"""Dropout that keeps everything: its mask is random, but all ones.

Of u in [0, 1): floor(keep + u) is 1 when keep is 1, and u >= rate holds when rate is 0. Random tensors are followed as
intervals until such an operator makes a constant of them.
"""

from __future__ import annotations

import math

import numpy as np

from convert.importers.tensorflow.graph import Op
from convert.importers.tensorflow.reading import Reading

RANDOM = frozenset({"RandomUniform", "StatelessRandomUniform", "StatelessRandomUniformV2"})
_REST = "Dropout does nothing when a network is used, and was removed."


def is_settled(reading: Reading, op: Op) -> bool:
    """Whether the operator is of a random mask: then what is known of it has been remembered."""
    if op.kind in RANDOM:
        reading.intervals[op.name] = (0.0, 1.0)
        reading.give_up(op)
        return True
    if not any(each in reading.intervals for each in op.inputs):
        return False
    if op.kind in {"Floor", "GreaterEqual", "Less"}:
        return _is_decided(reading, op)
    moved = _moved(reading, op)
    if moved is not None:
        reading.intervals[op.name] = moved
    return moved is not None


def _is_decided(reading: Reading, op: Op) -> bool:
    low, high = reading.intervals[next(each for each in op.inputs if each in reading.intervals)]
    if op.kind == "Floor":
        # The upper end itself is never reached.
        if math.floor(low) != math.ceil(high) - 1:
            return False
        reading.builder.add_value(op.name, np.array(math.floor(low), np.float32))
    else:
        limit = reading.builder.value(op.inputs[1])
        if limit is None or limit.size != 1 or low < float(limit.reshape(())) < high:
            return False
        holds = low >= float(limit.reshape(()))
        reading.builder.add_value(op.name, np.asarray(holds == (op.kind == "GreaterEqual")))
    reading.note(_REST)
    return True


def _moved(reading: Reading, op: Op) -> tuple[float, float] | None:
    """The interval after scaling or shifting by one number."""
    if op.kind in {"Identity", "StopGradient"}:
        return reading.intervals[op.inputs[0]]
    if op.kind not in {"Add", "AddV2", "Sub", "Mul"} or len(op.inputs) != 2:
        return None
    first, second = op.inputs
    number = reading.builder.value(second if first in reading.intervals else first)
    if number is None or number.size != 1 or (op.kind == "Sub" and first not in reading.intervals):
        return None
    value = float(number.reshape(()))
    low, high = reading.intervals[first if first in reading.intervals else second]
    if op.kind == "Mul":
        return (low * value, high * value) if value > 0 else None
    value = -value if op.kind == "Sub" else value
    return low + value, high + value
