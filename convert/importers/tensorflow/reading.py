"""What is known of a TensorFlow graph while its operators are read one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from convert.importers.nhwc.builder import NhwcBuilder
from convert.importers.tensorflow.graph import Op, index_of, node_of

IDENTITIES = frozenset({
    "Identity", "IdentityN", "StopGradient", "Snapshot", "PreventGradient", "CheckNumerics", "PlaceholderWithDefault",
    "EnsureShape", "ReadVariableOp",
})  # fmt: skip
"""What gives its input on."""


@dataclass(slots=True)
class Reading:
    """One graph, the Network that it becomes, and what patterns need to remember."""

    builder: NhwcBuilder
    ops: dict[str, Op] = field(default_factory=dict)
    """By name, those read so far."""
    notes: list[str] = field(default_factory=list)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Random tensors: the numbers they lie between, the last one excluded."""
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Tensors of the network -> the range that FakeQuant learnt for them."""
    unknown: dict[str, str] = field(default_factory=dict)
    """Nodes that cannot be converted, as the error will name them; told only if an output needs them."""

    def maker(self, tensor: str, *kinds: str) -> Op | None:
        """The operator behind a tensor, whatever only hands it on in between; None where it is of none of these kinds."""
        op = self.ops.get(node_of(tensor))
        while op is not None and op.kind in IDENTITIES and op.inputs:
            tensor = op.inputs[index_of(tensor)] if op.kind == "IdentityN" else op.inputs[0]
            op = self.ops.get(node_of(tensor))
        return op if op is not None and op.kind in kinds and index_of(tensor) == 0 else None

    def is_unread(self, tensor: str) -> bool:
        """Whether the tensor is neither known nor computed."""
        return not self.builder.has(tensor)

    def is_same(self, one: str, other: str) -> bool:
        """Whether two source tensors are one tensor, computed and in the same order."""
        builder = self.builder
        if self.is_unread(one) or self.is_unread(other):
            return False
        return builder.value(one) is None and builder.value(other) is None and builder.held(one) == builder.held(other)

    def give_up(self, op: Op, reason: str = "") -> None:
        """Remember an operator that cannot be converted."""
        self.unknown[op.name] = f"{op} ({reason})" if reason else str(op)

    def note(self, text: str) -> None:
        """Tell something once."""
        if text not in self.notes:
            self.notes.append(text)


Writer = Callable[[Reading, Op], None]


def outputs_of(op: Op, count: int) -> list[str]:
    """The tensors that a node makes."""
    return [op.name if index == 0 else f"{op.name}:{index}" for index in range(count)]


def whole_numbers(reading: Reading, op: Op, place: int) -> list[int]:
    """A constant input as whole numbers."""
    return [int(value) for value in reading.builder.known(op.inputs[place], str(op)).reshape(-1)]


def picked(values: Sequence[int], op: Op) -> tuple[int, int]:
    """Rows and columns of an attribute with one number for each of four axes, which must be 1 for the other two."""
    height, width = (1, 2) if is_channels_last(op) else (2, 3)
    if len(values) != 4 or any(values[axis] != 1 for axis in range(4) if axis not in {height, width}):
        raise ValueError(f"{list(values)} for the axes {op.attribute('data_format', 'NHWC')}")
    return int(values[height]), int(values[width])


def is_channels_last(op: Op) -> bool:
    """By the attribute data_format; ValueError where it is neither NHWC nor NCHW."""
    data_format = op.attribute("data_format", "NHWC")
    if data_format not in {"NHWC", "NCHW"}:
        raise ValueError(f"data_format {data_format}")
    return bool(data_format == "NHWC")
