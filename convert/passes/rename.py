"""Other names for tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from convert.network import Network
from edge.errors import ModelError


def renamed(network: Network, names: Mapping[str, str]) -> Network:
    """The same network with other names for some of its computed tensors, outputs among them.

    ModelError where a tensor is not computed by the network, or a new name is taken.
    """
    computed = set(network.tensors())
    missing = [name for name in names if name not in computed]
    if missing:
        raise ModelError(f"no output {', '.join(missing)}", expected=f"some of {', '.join(network.outputs)}")
    taken = (computed | set(network.constants) | {port.name for port in network.inputs}) - names.keys()
    twice = [name for name in names.values() if name in taken or list(names.values()).count(name) > 1]
    if twice:
        raise ModelError(f"{', '.join(sorted(set(twice)))} would name two tensors", expected="a name for each")

    def new(each: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(names.get(name, name) for name in each)

    nodes = tuple(replace(node, inputs=new(node.inputs), outputs=new(node.outputs)) for node in network.nodes)
    return replace(network, nodes=nodes, outputs=new(network.outputs))
