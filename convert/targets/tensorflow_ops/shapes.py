"""Operators that move values and compute none. What the source counts in its own order keeps that order."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from convert.network import Array, Node
from convert.targets.tensorflow_ops.emission import Emission, Emitter, Held, lying, narrow
from convert.targets.tensorflow_ops.layout import around_reshape, source_order, without
from edge.errors import ModelError

FAR = 2**31 - 1
"""A bound of a Slice beyond any size: to the end."""


def numbers(emission: Emission, node: Node, index: int, name: str) -> list[int] | None:
    """Whole numbers given as a constant input, or as an attribute as before opset 13; None where left out."""
    values = emission.optional(node, index)
    if values is not None:
        return [int(value) for value in values.reshape(-1)]
    found = node.attributes.get(name)
    return None if found is None else [int(value) for value in found]


def reshaped(emission: Emission, held: Held, target: Sequence[int | None]) -> Held:
    """The values, in the source's order, in another shape; None is the one size that is open."""
    before, axes = around_reshape(held.axes, held.shape, target)
    sizes = [-1 if target[axis] is None else target[axis] for axis in axes]
    if sizes.count(-1) > 1:
        raise ModelError(f"shape {list(target)}", expected="at most one size that is open")
    return Held(emission.reshape(emission.turned(held, before), sizes), axes)


def _reshaped_for(emission: Emission, node: Node, held: Held, target: list[int | None]) -> Held:
    """As `reshaped`; but what only dense layers read lies as it did, and they get their weights in that order."""
    is_matrix = len(target) == 2 and target[0] == held.shape[0] and held.axes[0] == 0
    if not is_matrix or not all(held.shape[1:]) or not emission.feeds_dense_only(node.output):
        return reshaped(emission, held, target)
    if around_reshape(held.axes, held.shape, target)[0] == held.axes:
        return reshaped(emission, held, target)
    sizes = [size or 0 for size in held.shape[1:]]
    columns = np.arange(prod(sizes)).reshape(sizes).transpose([axis - 1 for axis in held.axes[1:]]).reshape(-1)
    emission.columns[node.output] = columns
    return reshaped(emission, Held(held.tensor, source_order(held.rank)), target)


def _reshape(emission: Emission, node: Node) -> Held:
    held, wanted = emission.input(node), numbers(emission, node, 1, "shape")
    if wanted is None:
        raise ModelError("no shape", expected="a constant")
    copies = not node.attributes.get("allowzero", 0)
    target = [held.shape[index] if size == 0 and copies else size for index, size in enumerate(wanted)]
    return _reshaped_for(emission, node, held, _resolved(held.shape, target))


def _resolved(source: tuple[int | None, ...], target: list[int | None]) -> list[int | None]:
    """The target with -1 computed, where enough is known for that; else None."""
    if target.count(-1) != 1:
        return target
    index, before, after = target.index(-1), source, [size for size in target if size != -1]
    if before and after and before[0] is None and target[0] is None:
        # Both begin with the open batch: the others are counted for one picture.
        before, after = before[1:], after[1:]
    total, known = _joined(before), _joined(after)
    made = [*target]
    made[index] = total // known if total is not None and known else None
    return made


def _flatten(emission: Emission, node: Node) -> Held:
    held = emission.input(node)
    axis = int(node.attributes.get("axis", 1))
    cut = held.rank if axis == held.rank else held.axis(axis)
    return _reshaped_for(emission, node, held, [_joined(held.shape[:cut]), _joined(held.shape[cut:])])


def _joined(sizes: Sequence[int | None]) -> int | None:
    return None if None in sizes else prod(size or 0 for size in sizes)


def _transpose(emission: Emission, node: Node) -> Held:
    """Only the names of the axes change; the tensor stays as it lies."""
    held = emission.input(node)
    order = [int(axis) for axis in node.attributes.get("perm") or range(held.rank)[::-1]]
    if sorted(order) != list(range(held.rank)):
        raise ModelError(f"perm {order}", expected=f"all of 0 to {held.rank - 1}")
    return Held(held.tensor, tuple(order.index(axis) for axis in held.axes))


def _squeeze(emission: Emission, node: Node) -> Held:
    held, wanted = emission.input(node), numbers(emission, node, 1, "axes")
    removed = (
        [axis for axis, size in enumerate(held.shape) if size == 1] if wanted is None else [*map(held.axis, wanted)]
    )
    if any(held.shape[axis] not in {1, None} for axis in removed):
        raise ModelError(f"axes {removed} of shape {list(held.shape)}", expected="axes of size 1")
    made = emission.tf.squeeze(held.tensor, [held.axes.index(axis) for axis in removed]) if removed else held.tensor
    return Held(made, without(held.axes, removed))


def _unsqueeze(emission: Emission, node: Node) -> Held:
    held, wanted = emission.input(node), numbers(emission, node, 1, "axes")
    rank = held.rank + len(wanted or ())
    added = {axis + rank if axis < 0 else axis for axis in wanted or ()}
    if len(added) + held.rank != rank or not added <= set(range(rank)):
        raise ModelError(f"axes {wanted} for {held.rank} axes", expected="different ones that exist")
    kept = [axis for axis in range(rank) if axis not in added]
    target: list[int | None] = [1] * rank
    for axis, size in zip(kept, held.shape, strict=True):
        target[axis] = size
    if target.count(None) <= 1:
        return reshaped(emission, held, target)
    made, axes = held.tensor, tuple(kept[axis] for axis in held.axes)
    for axis in sorted(added, reverse=True):
        made, axes = emission.tf.expand_dims(made, 0), (axis, *axes)
    return Held(made, axes)


def _concat(emission: Emission, node: Node) -> Held:
    names = [name for name in node.inputs if name]
    computed = [emission.values[name] for name in names if name in emission.values]
    first = computed[0] if computed else emission.value(names[0])
    axis = first.axis(int(node.attributes["axis"]))
    parts = [
        emission.turned(emission.values[name], first.axes)
        if name in emission.values
        else lying(narrow(emission.network.constants[name]), first.axes)
        for name in names
    ]
    made = emission.tf.concat(parts, first.axes.index(axis)) if len(parts) > 1 else emission.tf.identity(parts[0])
    return Held(made, first.axes)


def _split(emission: Emission, node: Node) -> tuple[Held, ...]:
    held, sizes = emission.input(node), numbers(emission, node, 1, "split")
    axis = held.place(int(node.attributes.get("axis", 0)))
    parts = emission.tf.split(held.tensor, sizes if sizes is not None else len(node.outputs), axis)
    return tuple(Held(part, held.axes) for part in parts)


def _slice(emission: Emission, node: Node) -> Held:
    held = emission.input(node)
    found = cuts(emission, node, held)
    return held if all(cut == slice(None) for cut in found) else Held(held.tensor[tuple(found)], held.axes)


def cuts(emission: Emission, node: Node, held: Held) -> list[slice]:
    """What a Slice takes of each axis, as they lie; slice(None) is all."""
    starts, ends = (numbers(emission, node, index, name) for index, name in ((1, "starts"), (2, "ends")))
    axes, steps = numbers(emission, node, 3, "axes"), numbers(emission, node, 4, "steps")
    if starts is None or ends is None:
        raise ModelError("no starts or ends", expected="constants")
    found = [slice(None)] * held.rank
    chosen = range(len(starts)) if axes is None else axes
    for start, end, axis, step in zip(starts, ends, chosen, steps or [1] * len(starts), strict=True):
        if step == 0:
            raise ModelError("step 0", expected="a step forwards or backwards")
        found[held.place(axis)] = _cut(start, end, step, held.shape[held.axis(axis)])
    return found


def _cut(start: int, end: int, step: int, size: int | None) -> slice:
    if size is not None:
        first, last, step = slice(start, end, step).indices(size)
        if (first, last, step) == (0, size, 1):
            return slice(None)
        return slice(first, None if last < 0 else last, None if step == 1 else step)
    return slice(None if abs(start) >= FAR else start, None if abs(end) >= FAR else end, step)


def _gather(emission: Emission, node: Node) -> Held:
    held = emission.input(node)
    axis = held.axis(int(node.attributes.get("axis", 0)))
    if not emission.is_constant(node.inputs[1]):
        made = emission.tf.gather(emission.plain(node), emission.plain(node, 1), axis=axis)
        return Held(made, source_order(len(made.shape)))
    chosen = gathered(emission.constant(node, 1), held.shape[axis])
    place = held.axes.index(axis)
    if chosen.ndim == 1:
        return Held(emission.tf.gather(held.tensor, chosen, axis=place), held.axes)
    if chosen.ndim == 0:
        return Held(emission.tf.gather(held.tensor, chosen, axis=place), without(held.axes, [axis]))
    made = emission.tf.gather(emission.plain(node), chosen, axis=axis)
    return Held(made, source_order(len(made.shape)))


def gathered(chosen: Array, size: int | None) -> Array:
    """Counted from the front, int32."""
    if size is None and np.any(chosen < 0):
        raise ModelError("places counted from the end of an axis whose size is open")
    if size is not None and np.any((chosen < -size) | (chosen >= size)):
        raise ModelError(f"a place beyond the {size} of the axis")
    return np.asarray(np.where(chosen < 0, chosen + (size or 0), chosen), np.int32)


def _repeated(emission: Emission, node: Node) -> Held:
    held, counts = times(emission, node)
    if all(count == 1 for count in counts):
        return held
    return Held(emission.tf.tile(held.tensor, [counts[axis] for axis in held.axes]), held.axes)


def times(emission: Emission, node: Node) -> tuple[Held, list[int]]:
    """What a Tile or Expand repeats, and how often along each axis of the source."""
    held, given = emission.input(node), numbers(emission, node, 1, "repeats" if node.op == "Tile" else "shape")
    if given is None or (node.op == "Tile" and len(given) != held.rank):
        raise ModelError(f"repeats or shape {given}", expected="constants")
    if node.op == "Tile":
        return held, given
    held = emission.widened(held, max(len(given), held.rank))
    wanted = [1] * (held.rank - len(given)) + given
    counts = [1 if size in {1, have} else size for size, have in zip(wanted, held.shape, strict=True)]
    if any(count != 1 and have != 1 for count, have in zip(counts, held.shape, strict=True)):
        raise ModelError(f"shape {list(held.shape)} to {given}", expected="sizes that are 1 or alike")
    return held, counts


SHAPES: dict[str, Emitter] = {
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Expand": _repeated,
    "Tile": _repeated,
}
