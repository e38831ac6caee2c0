"""What nobody needs taken out: constants computed once, nodes that do nothing, nodes and constants that nobody reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from convert.network import Array, Network, Node, Port
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from convert.shapes import infer_ports
from edge.errors import ModelError

Ports = Mapping[str, Port]

_LARGEST_CONSTANT = 1 << 24
"""Elements. A larger one is left to be computed: it would make the artifact larger than the network's own weights."""


def tidy(network: Network) -> Network:
    """The same results from fewer nodes. Names of the inputs and outputs stay."""
    network = without_unread(network)
    ports = infer_ports(network)
    network = _with_constants_computed(network, ports)
    return without_unread(_without_idle(network, ports))


def without_unread(network: Network) -> Network:
    """Without the nodes and constants that no output depends on."""
    needed, nodes = set(network.outputs), []
    for node in reversed(network.nodes):
        if needed.intersection(node.outputs):
            nodes.append(node)
            needed.update(node.inputs)
    kept = {name: value for name, value in network.constants.items() if name in needed}
    return replace(network, nodes=tuple(reversed(nodes)), constants=kept)


def _with_constants_computed(network: Network, ports: Ports) -> Network:
    known, nodes = set(network.constants), []
    for node in network.nodes:
        if all(name in known for name in node.inputs if name) and all(
            _is_small(ports.get(name)) for name in node.outputs
        ):
            nodes.append(node)
            known.update(node.outputs)
    if not nodes:
        return network
    wanted = _read_elsewhere(network, nodes)
    try:
        values = OnnxRuntimeRunner(Network((), wanted, tuple(nodes), network.constants)).run_as_is({})
    except ModelError:
        # An operator that ONNX Runtime has not for this dtype: the targets will say whether they have it.
        return network
    rest = tuple(node for node in network.nodes if node not in nodes)
    returned = [name for name in wanted if network.is_output(name)]
    named = {name: f"{name}/value" for name in returned}
    # What a network returns is made by a node: not every runtime returns a constant.
    made = tuple(Node("Identity", name, (named[name],), (name,)) for name in returned)
    return replace(network, nodes=rest + made).with_constants({named.get(name, name): values[name] for name in wanted})


def _is_small(port: Port | None) -> bool:
    if port is None or None in port.shape:
        return False
    return int(np.prod([size or 0 for size in port.shape], dtype=object)) <= _LARGEST_CONSTANT


def _read_elsewhere(network: Network, nodes: list[Node]) -> tuple[str, ...]:
    inside = set(map(id, nodes))
    read = {name for node in network.nodes if id(node) not in inside for name in node.inputs} | set(network.outputs)
    return tuple(name for node in nodes for name in node.outputs if name in read)


def _without_idle(network: Network, ports: Ports) -> Network:
    """Readers of a node that does nothing read its source instead."""
    source: dict[str, str] = {}
    nodes: list[Node] = []
    for old in network.nodes:
        node = replace(old, inputs=tuple(source.get(name, name) for name in old.inputs))
        is_idle = IDLE.get(node.op)
        if is_idle is None or not is_idle(_Place(network, old, ports)):
            nodes.append(node)
        elif not network.is_output(node.output):
            source[node.output] = node.inputs[0]
        elif _hand_over(network, nodes, node):
            source = {name: node.output if value == node.inputs[0] else value for name, value in source.items()}
            source[node.inputs[0]] = node.output
        else:
            nodes.append(replace(node, op="Identity", inputs=node.inputs[:1], attributes={}))
    return replace(network, nodes=tuple(nodes))


def _hand_over(network: Network, nodes: list[Node], idle: Node) -> bool:
    """Give the name of an output to the node that makes it; False where that is an input, a constant or an output too."""
    name = idle.inputs[0]
    place = next((index for index, node in enumerate(nodes) if name in node.outputs), None)
    if place is None or network.is_output(name):
        return False

    def renamed(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(idle.output if each == name else each for each in names)

    for index in range(place, len(nodes)):
        node = nodes[index]
        nodes[index] = replace(node, inputs=renamed(node.inputs), outputs=renamed(node.outputs))
    return True


@dataclass(frozen=True, slots=True)
class _Place:
    """One node, and what is known of the tensors around it."""

    network: Network
    node: Node
    ports: Ports

    @property
    def before(self) -> Port | None:
        return self.ports.get(self.node.inputs[0])

    @property
    def after(self) -> Port | None:
        return self.ports.get(self.node.output)

    def constant(self, place: int) -> Array | None:
        inputs = self.node.inputs
        return self.network.constants.get(inputs[place]) if len(inputs) > place else None


def _keeps_shape(place: _Place) -> bool:
    if place.before is None or place.after is None or place.before.shape != place.after.shape:
        return False
    # One open size is given by the number of elements; two may change places.
    return place.before.shape.count(None) <= 1


def _keeps_dtype(place: _Place) -> bool:
    return place.before is not None and place.after is not None and place.before.dtype == place.after.dtype


def _keeps_order(place: _Place) -> bool:
    axes = tuple(place.node.attributes.get("perm", ()))
    return bool(axes) and axes == tuple(range(len(axes)))


def _adds_nothing(place: _Place) -> bool:
    pads = place.constant(1)
    return pads is not None and not np.any(pads)


def _repeats_once(place: _Place) -> bool:
    repeats = place.constant(1)
    return repeats is not None and bool(np.all(repeats == 1))


def _takes_all(place: _Place) -> bool:
    steps, inputs = place.constant(4), place.node.inputs
    is_forward = len(inputs) < 5 or not inputs[4] or (steps is not None and bool(np.all(steps == 1)))
    before = place.before
    return is_forward and before is not None and None not in before.shape and _keeps_shape(place)


IDLE: dict[str, Callable[[_Place], bool]] = {
    "Identity": lambda _: True,
    "Reshape": _keeps_shape,
    "Flatten": _keeps_shape,
    "Expand": _keeps_shape,
    "Cast": _keeps_dtype,
    "Transpose": _keeps_order,
    "Concat": lambda place: len(place.node.inputs) == 1,
    "Pad": _adds_nothing,
    "Tile": _repeats_once,
    "Slice": _takes_all,
}
"""Operator -> whether a node of it does nothing."""
