"""Functions of a GraphDef's library, written out in place of the node that calls them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from convert.importers.tensorflow.graph import Op, operator_of, tensor_name
from edge.errors import ModelError

CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})


class Library:
    """The functions by name."""

    def __init__(self, graph_def: Any, where: str) -> None:
        self.where = where
        self._functions: dict[str, Any] = {each.signature.name: each for each in graph_def.library.function}

    def __contains__(self, name: object) -> bool:
        return name in self._functions

    def called_by(self, op: Op) -> str:
        """The function that a node calls, "" where it calls none."""
        if op.kind in CALLS:
            return str(op.attribute("f", ""))
        return op.kind if op.kind in self._functions else ""

    def written_out(self, name: str, prefix: str, inputs: tuple[str, ...]) -> tuple[dict[str, Op], list[str]]:
        """The function's nodes, their names behind `prefix/`, reading `inputs`; and the tensors that it returns."""
        function = self._functions.get(name)
        if function is None:
            raise ModelError(f"{prefix!r} calls function {name!r}, which is not in the file", where=self.where)
        arguments = [argument.name for argument in function.signature.input_arg]
        if len(arguments) != len(inputs):
            raise ModelError(f"{prefix!r} calls {name!r} with {len(inputs)} tensors", expected=str(len(arguments)))
        tensors: dict[str, str] = dict(zip(arguments, inputs, strict=True))
        outputs = {node.name: self._output_places(node) for node in function.node_def}

        def flat(reference: str) -> str:
            node, _, rest = reference.partition(":")
            if node in tensors and not rest:
                return tensors[node]
            argument, _, index = rest.partition(":")
            place = outputs.get(node, {}).get(argument, 0) + (int(index) if index.isdigit() else 0)
            return tensor_name(f"{prefix}/{node}:{place}")

        made = {}
        for node in function.node_def:
            op = operator_of(node)
            read = tuple(flat(each) for each in node.input if not each.startswith("^"))
            controls = tuple(f"{prefix}/{each}" for each in op.controls if each not in tensors)
            made[f"{prefix}/{node.name}"] = replace(op, name=f"{prefix}/{node.name}", inputs=read, controls=controls)
        return made, [flat(function.ret[argument.name]) for argument in function.signature.output_arg]

    def _output_places(self, node: Any) -> Mapping[str, int]:
        """Of a node in a function, whose outputs have names: name -> index of its first tensor."""
        from tensorflow.python.framework import op_def_registry

        called = self._functions.get(node.op)
        definition = called.signature if called is not None else op_def_registry.get(node.op)
        places: dict[str, int] = {}
        place = 0
        for argument in definition.output_arg if definition is not None else ():
            places[argument.name] = place
            if argument.number_attr:
                place += int(node.attr[argument.number_attr].i)
            elif argument.type_list_attr:
                place += len(node.attr[argument.type_list_attr].list.type)
            else:
                place += 1
        return places
