"""What a TFLite file holds, once it has been read and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from convert.network import Array


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One tensor; axes are the file's own, pictures NHWC."""

    name: str
    """Unique: a name that comes twice has `#index` behind it."""
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    """The shape with -1 for a size that is open; empty where it is the same."""
    dtype: str
    raw: Array | None = None
    """uint8 bytes of a constant, a view of the file."""
    scales: Array | None = None
    zeros: Array | None = None
    axis: int = 0
    """Which axis the scales belong to, where there are several."""

    @property
    def is_scaled(self) -> bool:
        """Whether its integers stand for real numbers."""
        return self.scales is not None and self.dtype not in {"float32", "float16", "float64", "bfloat16"}

    @property
    def size(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """One operator; inputs and outputs are indices of tensors, -1 for one that is left out."""

    op: str
    """As in BuiltinOperator: CONV_2D; of a custom one its own name."""
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    custom: bytes = b""
    """Options of a custom operator, undecoded."""


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """The first subgraph of a file."""

    where: str
    tensors: Mapping[int, Tensor]
    """Those that something reads or makes."""
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    file_bytes: int
    notes: tuple[str, ...] = ()

    def name(self, index: int) -> str:
        """Name of a tensor."""
        return self.tensors[index].name

    def shown(self, operator: Operator) -> str:
        """An operator for a message."""
        return f"{operator.op} {self.name(operator.outputs[0])!r}" if operator.outputs else operator.op

    def maker(self, index: int) -> Operator | None:
        """The operator that makes a tensor."""
        return next((each for each in self.operators if index in each.outputs), None)

    def readers(self, index: int) -> list[Operator]:
        """The operators that read a tensor."""
        return [each for each in self.operators if index in each.inputs]
