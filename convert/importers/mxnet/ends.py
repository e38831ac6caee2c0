"""Inputs and outputs of a symbol: which variables are fed, which heads are worth having, and what lies between."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from convert.importers.base import Request, chosen
from convert.importers.mxnet.operators import LOSSES
from convert.importers.mxnet.symbol import Symbol, SymbolNode
from convert.network import Array, Port, Shape
from edge.errors import ModelError, UsageError

_MOST_LISTED = 12


@dataclass(frozen=True, slots=True)
class Ends:
    """What is imported."""

    inputs: tuple[Port, ...]
    outputs: tuple[str, ...]
    needed: tuple[int, ...]
    """Indices of the nodes that the outputs depend on, in an order in which they run."""
    notes: tuple[str, ...]


def find_ends(symbol: Symbol, parameters: Mapping[str, Array], request: Request, path: Path) -> Ends:
    """Choose inputs and outputs, as the request says or as the files show."""
    heads, notes = _heads(symbol, parameters, request, path)
    needed = _needed(symbol, heads)
    variables = [symbol.nodes[index] for index in needed if symbol.nodes[index].is_variable]
    open_ones = [node.name for node in variables if node.name not in parameters]
    names = chosen("input", open_ones, request.inputs, str(path))
    missing = [name for name in open_ones if name not in names]
    if missing:
        hint = "Give the .params file that was saved with this symbol, or name them as inputs too."
        raise ModelError(f"no parameter for {', '.join(missing[:_MOST_LISTED])}", where=str(path), hint=hint)
    shapes = _requested_shapes(request, names, path)
    ports = tuple(Port(name, shapes.get(name) or _shape(symbol, parameters, name)) for name in names)
    return Ends(ports, tuple(symbol.name_of(head) for head in heads), needed, notes)


def _heads(
    symbol: Symbol, parameters: Mapping[str, Array], request: Request, path: Path
) -> tuple[list[tuple[int, int]], tuple[str, ...]]:
    if request.outputs:
        return [_found(symbol, name, path) for name in request.outputs], ()
    kept, notes = [], []
    for head in dict.fromkeys(symbol.heads):
        label = _label(symbol, parameters, head)
        if label:
            notes.append(
                f"The output {symbol.name_of(head)!r} is left out: it depends on {label!r}, for training only."
            )
        else:
            kept.append(head)
    if not kept:
        candidates = ", ".join(symbol.name_of((index, 0)) for index in _last_computed(symbol))
        raise ModelError(
            "every output depends on a label", where=str(path), hint=f"Choose with --output; the last: {candidates}"
        )
    return kept, tuple(notes)


def _last_computed(symbol: Symbol) -> list[int]:
    computed = [index for index, node in enumerate(symbol.nodes) if not node.is_variable]
    return computed[-_MOST_LISTED:]


def _found(symbol: Symbol, wanted: str, path: Path) -> tuple[int, int]:
    """The edge of an output's name, `fc1_output`, or of its node's, `fc1`."""
    computed = [(index, node) for index, node in enumerate(symbol.nodes) if not node.is_variable]
    for index, node in computed:
        if wanted in {node.output(), node.name}:
            return index, 0
        if node.op in {"SliceChannel", "split"} and wanted.startswith(f"{node.name}_output"):
            number = wanted.removeprefix(f"{node.name}_output")
            if number.isascii() and number.isdigit() and len(number) < 5:
                return index, int(number)
    listed = ", ".join(node.output() for _, node in computed[-_MOST_LISTED:])
    raise UsageError(f"no output {wanted}", where=str(path), expected=f"a node's name; the last ones are {listed}")


def _needed(symbol: Symbol, heads: list[tuple[int, int]]) -> tuple[int, ...]:
    """All that the heads depend on, labels of losses left out. A node's inputs come before it, so one pass will do."""
    wanted = {index for index, _ in heads}
    for index in range(len(symbol.nodes) - 1, -1, -1):
        if index in wanted:
            wanted.update(source for source, _ in _read(symbol.nodes[index]))
    return tuple(sorted(wanted))


def _read(node: SymbolNode) -> tuple[tuple[int, int], ...]:
    return node.inputs[:1] if node.op in LOSSES else node.inputs


def _label(symbol: Symbol, parameters: Collection[str], head: tuple[int, int]) -> str:
    """Name of a label that a head depends on other than as a loss: the margin of ArcFace reads one. Empty where none."""
    names = (symbol.nodes[index].name for index in _needed(symbol, [head]) if symbol.nodes[index].is_variable)
    return next((name for name in names if name.endswith("label") and name not in parameters), "")


def _requested_shapes(request: Request, names: tuple[str, ...], path: Path) -> dict[str, Shape]:
    shapes = dict(request.shapes)
    if "" in shapes and len(names) == 1:
        shapes[names[0]] = shapes.pop("")
    unknown = [name for name in shapes if name not in names]
    if unknown:
        raise UsageError(f"a shape for {', '.join(unknown)}", where=str(path), expected=f"inputs: {', '.join(names)}")
    return shapes


_KEEPS_CHANNELS = frozenset({
    "BatchNorm", "identity", "_copy", "Cast", "cast", "Pooling", "Dropout", "Activation", "LeakyReLU",
    "_minus_scalar", "_MinusScalar", "_plus_scalar", "_PlusScalar", "_mul_scalar", "_MulScalar", "_div_scalar", "_DivScalar",
})  # fmt: skip


def _shape(symbol: Symbol, parameters: Mapping[str, Array], name: str) -> Shape:
    """The shape that the symbol records, or as much of it as the first layer's weights tell; other sizes are open."""
    index = next(place for place, node in enumerate(symbol.nodes) if node.name == name and node.is_variable)
    recorded = symbol.nodes[index].attributes.integers("__shape__")
    if recorded:
        return tuple(size if size > 0 else None for size in recorded)
    same = {index}
    for place, node in enumerate(symbol.nodes):
        if not node.inputs or node.inputs[0][0] not in same:
            continue
        if node.op in _KEEPS_CHANNELS:
            same.add(place)
        weights = parameters.get(symbol.nodes[node.inputs[1][0]].name) if len(node.inputs) > 1 else None
        if node.op == "Convolution" and weights is not None and weights.ndim == 4:
            return None, weights.shape[1] * node.attributes.integer("num_group", 1), None, None
    raise ModelError(f"input {name!r} has no shape", hint=f"Give the shape of {name}: the symbol does not record it.")
