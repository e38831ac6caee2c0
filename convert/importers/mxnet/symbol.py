"""MXNet symbol JSON -> its nodes, whatever version of MXNet wrote it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.importers.mxnet.attributes import Attributes
from edge.errors import ModelError

_LARGEST_BYTES = 64 * 1024 * 1024
_HINT = "It is the -symbol.json file that mx.model.save_checkpoint writes beside the parameters."
_ATTRIBUTE_KEYS = ("attr", "param", "attrs")
"""Up to 0.9 `param` held the operator's own and `attr` the user's; then `attr` held both; since 1.0 `attrs` does."""
_SLICES = {"SliceChannel", "split"}


@dataclass(frozen=True, slots=True)
class SymbolNode:
    """One node; `inputs` are pairs of a node's index, always smaller than its own, and which of that node's outputs."""

    op: str
    """`null` is a variable."""
    name: str
    attributes: Attributes
    inputs: tuple[tuple[int, int], ...]

    @property
    def is_variable(self) -> bool:
        """An input, a parameter or a label."""
        return self.op == "null"

    def __str__(self) -> str:
        return f"{self.op} {self.name!r}"

    def output(self, index: int = 0) -> str:
        """Name of an output, as MXNet's `get_internals` lists it."""
        if self.is_variable:
            return self.name
        return f"{self.name}_output{index}" if self.op in _SLICES else f"{self.name}_output"


@dataclass(frozen=True, slots=True)
class Symbol:
    """The whole graph, in an order in which it can run."""

    nodes: tuple[SymbolNode, ...]
    heads: tuple[tuple[int, int], ...]

    def name_of(self, edge: tuple[int, int]) -> str:
        """Name of the tensor at an edge."""
        return self.nodes[edge[0]].output(edge[1])


def read_symbol(path: Path) -> Symbol:
    """Read a `-symbol.json`. ModelError where it is none, or where a node reads one that comes after it."""
    raw = _parsed(path)
    entries = raw.get("nodes") if isinstance(raw, dict) else None
    if not isinstance(entries, list) or not entries:
        raise _broken(path, "it has no list of nodes")
    nodes = tuple(_node(entry, index, path) for index, entry in enumerate(entries))
    heads = raw.get("heads") or [[len(nodes) - 1, 0]]
    if not isinstance(heads, list):
        raise _broken(path, "its heads are no list")
    return Symbol(nodes, tuple(_edge(head, len(nodes), path) for head in heads))


def _parsed(path: Path) -> Any:
    try:
        size = path.stat().st_size
        if size > _LARGEST_BYTES:
            raise _broken(path, f"{size} bytes are more than any symbol has")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"cannot be read ({error.strerror})", where=str(path), expected="an MXNet symbol", hint=_HINT
        ) from error
    except (ValueError, RecursionError) as error:
        raise _broken(path, str(error).splitlines()[0]) from error


def _broken(path: Path, problem: str) -> ModelError:
    return ModelError(f"not a sound MXNet symbol ({problem})", where=str(path), hint=_HINT)


def _node(entry: Any, index: int, path: Path) -> SymbolNode:
    if not isinstance(entry, dict):
        raise _broken(path, f"node {index} is no object")
    op, name, inputs = entry.get("op"), entry.get("name"), entry.get("inputs")
    if not isinstance(op, str) or not isinstance(name, str) or not isinstance(inputs, list):
        raise _broken(path, f"node {index} lacks op, name or inputs")
    if entry.get("subgraphs"):
        raise _broken(path, f"node {name!r} holds a graph of its own (control flow)")
    edges = tuple(_edge(edge, index, path) for edge in inputs)
    values = {key: str(value) for part in _ATTRIBUTE_KEYS for key, value in _mapping(entry.get(part)).items()}
    return SymbolNode(op, name, Attributes(f"{op} {name!r}", values), edges)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _edge(edge: Any, limit: int, path: Path) -> tuple[int, int]:
    numbers = edge if isinstance(edge, list) else []
    if len(numbers) < 2 or not all(isinstance(number, int) for number in numbers):
        raise _broken(path, f"an edge is {str(edge)[:40]}, and should be two or three whole numbers")
    node, output = int(numbers[0]), int(numbers[1])
    if not 0 <= node < limit or output < 0:
        raise _broken(path, f"an edge leads to node {node}, and only those before {limit} are there")
    return node, output
