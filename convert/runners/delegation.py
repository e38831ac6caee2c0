"""How many nodes of a TFLite network the XNNPACK delegate takes, and which it leaves to reference kernels.

A network that the delegate takes whole is several times faster than one that it takes in pieces: each node that is left runs on a
slow kernel and cuts the graph in two. The runtime does not say which it took; it appends one DELEGATE node for each piece, with
the tensors that the piece reads and makes, and a piece is what lies between.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import MissingDependencyError, ModelError
from edge.interpreter import RUNTIMES, caught_stderr

_DELEGATE = "DELEGATE"
_NO_TENSOR = -1
"""An optional input that is left out."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """Of the main graph."""

    delegated: int
    total: int
    partitions: int
    """Pieces that the delegate runs; 1 where it runs everything."""
    left: tuple[tuple[str, int], ...]
    """(operator, how many) that the delegate does not take, the most frequent first."""

    @property
    def complete(self) -> bool:
        """Whether the delegate takes every node."""
        return self.delegated == self.total

    def __str__(self) -> str:
        pieces = f"in {self.partitions} piece{'' if self.partitions == 1 else 's'}"
        rest = ", ".join(f"{count} {name}" for name, count in self.left)
        return f"{self.delegated} of {self.total} nodes {pieces}" + (f"; left: {rest}" if rest else "")


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def delegated_nodes(model: Path | bytes, *, runtime: str = "ai-edge-litert") -> Delegation:
    """Load a TFLite file with the runtime's default delegates and count. ModelError where the runtime refuses the file."""
    steps = _steps(_loaded(model, runtime))
    nodes = [step for step in steps if step.name != _DELEGATE]
    pieces = [step for step in steps if step.name == _DELEGATE]
    taken = set().union(*(_piece(nodes, piece) for piece in pieces))
    left = Counter(node.name for place, node in enumerate(nodes) if place not in taken)
    ordered = tuple(sorted(left.items(), key=lambda item: (-item[1], item[0])))
    return Delegation(len(taken), len(nodes), len(pieces), ordered)


def _loaded(model: Path | bytes, runtime: str) -> Any:
    try:
        module = importlib.import_module(RUNTIMES[runtime])
    except ImportError as error:
        raise MissingDependencyError(runtime, extra="litert", purpose="counting delegated nodes") from error
    source = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
    log: list[str] = []
    try:
        with caught_stderr(log):
            interpreter = module.Interpreter(**source, num_threads=1)
            # Delegates are applied when memory is planned.
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        where = "" if isinstance(model, bytes) else str(model)
        reason = " ".join(f"{error} {' '.join(log)}".split())[:400]
        raise ModelError(f"{runtime} refuses it: {reason}", where=where) from error
    return interpreter


def _steps(interpreter: Any) -> list[_Step]:
    # No public call lists the nodes after delegation.
    details: Sequence[Mapping[str, Any]] = interpreter._get_ops_details()  # noqa: SLF001
    return [
        _Step(
            str(detail["op_name"]),
            tuple(int(index) for index in detail["inputs"]),
            tuple(int(index) for index in detail["outputs"]),
        )
        for detail in details
    ]


def _piece(nodes: Sequence[_Step], piece: _Step) -> set[int]:
    """Places of the nodes that one DELEGATE node stands for: from its outputs backwards as far as its inputs."""
    makers = {tensor: place for place, node in enumerate(nodes) for tensor in node.outputs}
    outside = {*piece.inputs, _NO_TENSOR}
    found: set[int] = set()
    waiting = [tensor for tensor in piece.outputs if tensor in makers]
    while waiting:
        place = makers[waiting.pop()]
        if place in found:
            continue
        found.add(place)
        waiting += [tensor for tensor in nodes[place].inputs if tensor not in outside and tensor in makers]
    return found
