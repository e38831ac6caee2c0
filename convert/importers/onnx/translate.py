"""Nodes of any opset -> nodes of the dialect of convert.network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convert.importers.base import refuse_unknown
from convert.importers.onnx.load import opset_of
from convert.importers.onnx.static import Static
from convert.network import OPERATORS, OPSET, Array, Node, Shape
from convert.onnx_model import as_dialect
from edge.errors import ModelError


class CannotTranslateError(Exception):
    """Why one node cannot be written in the dialect; all of them are told at once."""


@dataclass(slots=True)
class Translation:
    """What has been translated so far, and what is known of the source's tensors."""

    static: Static
    opset: int
    nodes: list[Node] = field(default_factory=list)
    added: dict[str, Array] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def emit(self, source: Node, op: str, inputs: tuple[str, ...], outputs: tuple[str, ...], **attributes: Any) -> str:
        """Add a node in the place of `source`; its first output."""
        name = (
            source.name
            if outputs[0] == source.output
            else f"{source.name or source.output}/{outputs[0].split('/')[-1]}"
        )
        self.nodes.append(Node(op, name, inputs, outputs, attributes))
        return outputs[0]

    def step(self, source: Node, op: str, inputs: tuple[str, ...], **attributes: Any) -> str:
        """Add a node with an inner result; its output."""
        return self.emit(source, op, inputs, (self.new(source, op.lower()),), **attributes)

    def last(self, source: Node, op: str, inputs: tuple[str, ...], **attributes: Any) -> None:
        """Add the node that gives what `source` gives."""
        self.emit(source, op, inputs, source.outputs[:1], **attributes)

    def new(self, source: Node, what: str) -> str:
        """A name that no tensor has."""
        name, count = f"{source.output}/{what}", 1
        while name in self.taken or name in self.static.ports:
            count += 1
            name = f"{source.output}/{what}{count}"
        self.taken.add(name)
        return name

    def constant(self, source: Node, what: str, value: Any, dtype: Any = np.float32) -> str:
        """Add a constant; its name."""
        name = self.new(source, what)
        self.added[name] = np.asarray(value, dtype)
        return name

    def value(self, node: Node, place: int) -> Array | None:
        """The value of an input; None where it is left out. CannotTranslateError where it is computed."""
        name = node.inputs[place] if len(node.inputs) > place else ""
        if not name:
            return None
        if name not in self.static.values:
            raise CannotTranslateError(f"input {name!r} is computed")
        return self.static.values[name]

    def shape(self, name: str) -> Shape | None:
        """Shape of a tensor of the source; None where not even its rank is known."""
        port = self.static.ports.get(name)
        return port.shape if port else None

    def rank(self, name: str) -> int:
        """Axes of a tensor; CannotTranslateError where that is not known."""
        shape = self.shape(name)
        if shape is None:
            raise CannotTranslateError(f"rank of {name!r} is not known")
        return len(shape)

    def fixed_shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor; CannotTranslateError where a size is open."""
        shape = self.shape(name)
        if shape is None or None in shape:
            raise CannotTranslateError(f"size of {name!r} is open")
        return tuple(size or 0 for size in shape)


Adapter = Callable[[Translation, Node], None]
QUANTISED = frozenset({
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger",
})  # fmt: skip
_SIZES = frozenset({"Shape", "Size", "ConstantOfShape", "Range", "If", "NonZero"})
"""Operators that vanish once all sizes are known."""


def translate(static: Static, adapters: Mapping[str, Adapter]) -> tuple[tuple[Node, ...], dict[str, Array]]:
    """Nodes and constants in the dialect. ModelError names every node that cannot be translated, at once."""
    _refuse_quantised(static)
    made = Translation(static, opset_of(static.model))
    unknown: list[str] = []
    for raw in static.model.graph.node:
        node = plain_node(static.onnx, raw)
        try:
            adapters.get(node.op, _pass_on)(made, node)
        except CannotTranslateError as error:
            unknown.append(f"{node} ({error})" if str(error) else str(node))
        except (IndexError, TypeError, ValueError) as error:
            unknown.append(f"{node} ({error})")
    if unknown:
        _refuse_open(static, unknown)
        refuse_unknown(unknown, static.where)
    _return_constants(static, made)
    values = {name: as_dialect(value) for name, value in {**static.values, **made.added}.items()}
    return tuple(made.nodes), values


def plain_node(onnx: Any, raw: Any) -> Node:
    """A NodeProto as a Node; an operator of another domain than ONNX's own keeps the domain before its name."""
    own = raw.domain in {"", "ai.onnx"}
    attributes = {}
    for item in raw.attribute:
        value = onnx.helper.get_attribute_value(item)
        value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        attributes[item.name] = tuple(value) if isinstance(value, list) else value
    # Outputs at the end that are left out.
    outputs = list(raw.output)
    while len(outputs) > 1 and not outputs[-1]:
        outputs.pop()
    return Node(
        raw.op_type if own else f"{raw.domain}.{raw.op_type}", raw.name, tuple(raw.input), tuple(outputs), attributes
    )


def _pass_on(made: Translation, node: Node) -> None:
    """An operator that means the same in every opset."""
    if node.op not in OPERATORS:
        raise CannotTranslateError
    pass_on(made, node)


def pass_on(made: Translation, node: Node, inputs: tuple[str, ...] | None = None, **attributes: Any) -> None:
    """Write `node` as it is, or with other inputs and attributes; CannotTranslateError for what opset 13 has not."""
    attributes = attributes or dict(node.attributes)
    known = made.static.onnx.defs.get_schema(node.op, OPSET).attributes
    strange = sorted(set(attributes) - set(known))
    if strange:
        raise CannotTranslateError(f"attribute {', '.join(strange)}")
    made.nodes.append(Node(node.op, node.name, inputs or node.inputs, node.outputs, attributes))


def _refuse_quantised(static: Static) -> None:
    found = [
        f"{raw.op_type} {raw.name or raw.output[0]!r}"
        for raw in static.model.graph.node
        if raw.op_type in QUANTISED or raw.op_type.startswith("QLinear")
    ]
    if found:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise ModelError(
            f"a quantised network: {', '.join(found[:5])}{more}",
            where=static.where,
            expected="a float network",
            hint="Convert the float network that it was made from; the targets quantise it anew.",
        )


def _refuse_open(static: Static, unknown: list[str]) -> None:
    """Where sizes are open, that is why shapes are still computed: say so instead."""
    open_inputs = [each.name for each in static.model.graph.input if None in static.ports[each.name].shape]
    if open_inputs and any(
        each.split(" ")[0] in _SIZES or " is computed" in each or " is open" in each for each in unknown
    ):
        first = open_inputs[0]
        shape = ",".join("SIZE" if size is None else str(size) for size in static.ports[first].shape)
        raise ModelError(
            f"shapes are computed from open sizes of {', '.join(open_inputs)}: {', '.join(unknown[:5])}",
            where=static.where,
            hint=f"Give the sizes: --shape {first}={shape}.",
        )


def _return_constants(static: Static, made: Translation) -> None:
    """What a network returns is made by a node, also where its value is known."""
    for each in static.model.graph.output:
        if each.name in static.values:
            name = f"{each.name}/value"
            made.added[name] = static.values.pop(each.name)
            made.nodes.append(Node("Identity", each.name, (name,), (each.name,)))
