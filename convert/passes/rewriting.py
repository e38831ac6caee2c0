"""A pass that writes some nodes in other words: a table of operators, and what each rewrite needs to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from convert.network import Array, Network, Node, Port
from convert.shapes import infer_ports


@dataclass(slots=True)
class Rewriting:
    """What has been written so far, and what is known of the tensors."""

    network: Network
    ports: Mapping[str, Port]
    nodes: list[Node] = field(default_factory=list)
    added: dict[str, Array] = field(default_factory=dict)

    def value(self, node: Node, place: int) -> Array | None:
        """The value of an input; None where it is left out or computed."""
        name = node.inputs[place] if len(node.inputs) > place else ""
        return self.network.constants.get(name)

    def constant(self, node: Node, what: str, value: Any, dtype: Any = np.float32) -> str:
        """Add a constant; its name."""
        name = f"{node.output}/{what}"
        self.added[name] = np.asarray(value, dtype)
        return name

    def step(self, node: Node, what: str, op: str, inputs: tuple[str, ...], **attributes: Any) -> str:
        """A node with an inner result; its name."""
        output = f"{node.output}/{what}"
        self.nodes.append(Node(op, f"{node.name or node.output}/{what}", inputs, (output,), attributes))
        return output

    def last(self, node: Node, op: str, inputs: tuple[str, ...], **attributes: Any) -> bool:
        """The node that gives what `node` gives."""
        self.nodes.append(Node(op, node.name, inputs, node.outputs[:1], attributes))
        return True

    def has_one_picture(self, name: str) -> bool:
        """Whether the first axis of a tensor is 1."""
        port = self.ports.get(name)
        return port is not None and bool(port.shape) and port.shape[0] == 1

    def is_float(self, name: str) -> bool:
        """Whether a tensor holds float32."""
        port = self.ports.get(name)
        return port is not None and port.dtype == "float32"


Rewrite = Callable[[Rewriting, Node], bool]
"""Writes one node in other words, by `step` and `last`; False, with nothing written, where it may stay."""


def rewritten(network: Network, rewrites: Mapping[str, Rewrite]) -> Network:
    """The network with every node that `rewrites` has other words for written in them."""
    if not any(node.op in rewrites for node in network.nodes):
        return network
    made = Rewriting(network, infer_ports(network))
    for node in network.nodes:
        rewrite = rewrites.get(node.op)
        if rewrite is None or not rewrite(made, node):
            made.nodes.append(node)
    return replace(network, nodes=tuple(made.nodes), constants={**network.constants, **made.added})
