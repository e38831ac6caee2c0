"""TensorFlow's operators, one after the other, into a Network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from convert.importers.base import refuse_unknown
from convert.importers.nhwc.builder import NhwcBuilder
from convert.importers.tensorflow import arithmetic, arrays, dropout, layers
from convert.importers.tensorflow.folding import folded
from convert.importers.tensorflow.graph import Op, node_of
from convert.importers.tensorflow.reading import Reading, Writer, outputs_of
from convert.network import Network
from convert.passes.prelu import recognise_prelus
from edge.errors import ModelError

WRITERS: dict[str, Writer] = {**arithmetic.WRITERS, **layers.WRITERS, **arrays.WRITERS}
"""Operator -> what writes it."""
_LOOK_BEHIND = frozenset({"BatchToSpaceND", "SelectV2", "Select"})
"""May be written although an input of theirs cannot be."""


def read_operators(
    builder: NhwcBuilder, ops: Iterable[Op], bound: Mapping[str, bool | float], notes: list[str]
) -> Reading:
    """Write operators, in an order in which they can be computed, with the builder, which has the inputs already."""
    reading = Reading(builder, notes=notes)
    for op in ops:
        reading.ops[op.name] = op
        try:
            _read(reading, op, bound)
        except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, ArithmeticError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(f"{op} cannot be read ({reason})", where=builder.where) from error
    return reading


def _read(reading: Reading, op: Op, bound: Mapping[str, bool | float]) -> None:
    builder = reading.builder
    if builder.has(op.name):
        return
    if op.name in bound:
        value = np.asarray(bound[op.name])
        builder.add_value(op.name, value.astype(np.float32) if value.dtype.kind == "f" else value)
    elif op.kind == "Const":
        _constant(reading, op)
    elif not _is_known(reading, op) and not dropout.is_settled(reading, op):
        _write(reading, op)


def _constant(reading: Reading, op: Op) -> None:
    if op.attribute("dtype") in {"string", "resource"}:
        reading.give_up(op, "text")
        return
    reading.builder.add_value(op.name, op.value())


def _is_known(reading: Reading, op: Op) -> bool:
    """Whether all that it reads is known, and so what it makes."""
    found = [reading.builder.value(each) for each in op.inputs]
    values = [value for value in found if value is not None]
    if not values or len(values) != len(found):
        return False
    made = folded(op, values)
    if made is None:
        return False
    for name, value in zip(outputs_of(op, len(made)), made, strict=True):
        reading.builder.add_value(name, value)
    return True


def _write(reading: Reading, op: Op) -> None:
    writer = WRITERS.get(op.kind)
    if writer is None:
        reading.give_up(op)
        return
    unread = [each for each in op.inputs if reading.is_unread(each)]
    if unread and op.kind not in _LOOK_BEHIND:
        return
    if unread and op.kind == "BatchToSpaceND":
        writer(reading, op)
    elif unread:
        _chosen(reading, op)
    else:
        writer(reading, op)


def _chosen(reading: Reading, op: Op) -> None:
    """A Select whose condition is known needs only one of the two."""
    condition = reading.builder.value(op.inputs[0])
    if condition is not None and condition.size == 1:
        taken = op.inputs[1 if bool(condition.reshape(())) else 2]
        if not reading.is_unread(taken):
            reading.builder.alias(op.name, taken)


def finished(reading: Reading, outputs: Sequence[str]) -> Network:
    """The network of these outputs; ModelError names every operator in its way at once."""
    _refuse_unread(reading, outputs)
    return recognise_prelus(reading.builder.finish(outputs))


def _refuse_unread(reading: Reading, outputs: Sequence[str]) -> None:
    found: dict[str, None] = {}
    waiting = [name for name in outputs if reading.is_unread(name)]
    seen = set(waiting)
    while waiting:
        op = reading.ops.get(node_of(waiting.pop()))
        if op is None:
            continue
        if op.name in reading.unknown:
            found[reading.unknown[op.name]] = None
        more = [each for each in op.inputs if reading.is_unread(each) and each not in seen]
        seen.update(more)
        waiting.extend(more)
    refuse_unknown(sorted(found), reading.builder.where)
    missing = [name for name in outputs if reading.is_unread(name)]
    if missing:
        raise ModelError(f"output {', '.join(missing)} is not computed by the network", where=reading.builder.where)
