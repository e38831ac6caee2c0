"""A map that is flattened in another order than channel, y, x: the matrix behind it is read in the map's own order instead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convert.network import Array, Network, Node
from convert.shapes import infer_shapes
from edge.errors import ModelError

_ONE_BY_ONE = frozenset({
    "Identity", "Relu", "LeakyRelu", "Elu", "Selu", "Sigmoid", "HardSigmoid", "Tanh", "Softplus", "Clip", "Erf", "Abs", "Neg",
    "Sqrt", "Exp", "Log", "Reciprocal", "Floor", "Ceil", "Round",
})  # fmt: skip
"""Do the same with every value, wherever it lies."""


def flattened_in_order(network: Network) -> Network:
    """Take out a Transpose before Flatten or Reshape and a dense layer: the rows of the matrix change places instead.

    Sources that keep channels last leave it behind; on a device it costs a copy. It stays where anything but
    dense layers with constant weights reads what is flattened.
    """
    if all(node.op != "Transpose" for node in network.nodes):
        return network
    shapes = infer_shapes(network)
    for flat in [node for node in network.nodes if node.op in {"Flatten", "Reshape"}]:
        turn, first = _turn_before(network, flat)
        shape = shapes.get(turn.inputs[0], ()) if turn is not None else ()
        if turn is None or len(shape) != 4 or None in shape[1:]:
            continue
        sizes = [size or 0 for size in shape[1:]]
        places = np.arange(np.prod(sizes)).reshape(sizes)
        order = places.transpose([axis - 1 for axis in turn.attributes["perm"][1:]]).reshape(-1)
        is_kept = bool(np.all(order == np.arange(order.size)))
        if not _is_flattening(network, flat, order.size) or not (is_kept or _may_move(network, flat, order)):
            continue
        network = network if is_kept else with_features_moved(network, flat, np.argsort(order))
        network = _reading(network, first, turn)
    return network


def _turn_before(network: Network, flat: Node) -> tuple[Node | None, str]:
    """The Transpose that keeps the batch first, and the output of the node that reads it; what lies between is read by no other."""
    reader = flat
    while (node := network.maker(reader.inputs[0])) is not None:
        if node.op == "Transpose":
            axes = tuple(node.attributes.get("perm", ()))
            return (node if len(axes) == 4 and axes[0] == 0 else None), reader.output
        if node.op not in _ONE_BY_ONE or len(network.readers(node.output)) > 1 or network.is_output(node.output):
            break
        reader = node
    return None, ""


def _is_flattening(network: Network, flat: Node, features: int) -> bool:
    """Whether the result has a row a picture, whatever the order of the axes."""
    if flat.op == "Flatten":
        return flat.attributes.get("axis", 1) in {1, -3}
    target = network.constants.get(flat.inputs[1])
    return target is not None and target.size == 2 and int(target.flat[1]) in {-1, features}


def _may_move(network: Network, flat: Node, order: Array) -> bool:
    """Whether dense layers with a row for each feature, and nothing else, read what is flattened."""
    layers, others = _behind(network, flat)
    if others or network.is_output(flat.output) or not layers:
        return False
    return all(_rows(network, layer) == order.size for layer in layers)


def _behind(network: Network, flat: Node) -> tuple[list[Node], list[Node]]:
    """The dense layers that read what is flattened, and nodes that read it otherwise; whatever treats every value alike between."""
    layers: list[Node] = []
    others: list[Node] = []
    waiting = [flat]
    while waiting:
        source = waiting.pop()
        for reader in network.readers(source.output):
            if reader.op in _ONE_BY_ONE and reader.inputs[0] == source.output and not network.is_output(reader.output):
                waiting.append(reader)
            else:
                (layers if _is_dense(network, reader, source.output) else others).append(reader)
    return layers, others


def _is_dense(network: Network, node: Node, name: str) -> bool:
    is_matrix = node.op in {"Gemm", "MatMul"} and node.inputs[0] == name and name not in node.inputs[1:]
    weights = network.constants.get(node.inputs[1]) if is_matrix else None
    return weights is not None and weights.ndim == 2 and not node.attributes.get("transA", 0)


def _rows(network: Network, layer: Node) -> int:
    weights = network.constants[layer.inputs[1]]
    return int(weights.shape[1 if layer.attributes.get("transB", 0) else 0])


def with_features_moved(network: Network, flat: Node, order: Array) -> Network:
    """The dense layers behind `flat` for features of which number `order[i]` of before comes at place i.

    ModelError where anything else reads them.
    """
    layers, others = _behind(network, flat)
    if others or network.is_output(flat.output):
        found = f"{others[0]} reads {flat}" if others else f"{flat} is an output"
        raise ModelError(found, expected="a matrix of constants that reads the flattened map")
    changed, moved = {}, {}
    for layer in layers:
        weights, name = network.constants[layer.inputs[1]], f"{layer.output}/moved"
        rows = weights[:, order] if layer.attributes.get("transB", 0) else weights[order]
        moved[name] = np.ascontiguousarray(rows)
        changed[layer.output] = replace(layer, inputs=(layer.inputs[0], name, *layer.inputs[2:]))
    nodes = tuple(changed.get(node.output, node) for node in network.nodes)
    return replace(network, nodes=nodes).with_constants(moved)


def _reading(network: Network, reader: str, turn: Node) -> Network:
    """The node that makes `reader` reads the map itself; the Transpose goes with its last reader."""
    nodes = tuple(
        replace(node, inputs=(turn.inputs[0], *node.inputs[1:])) if node.output == reader else node
        for node in network.nodes
    )
    network = replace(network, nodes=nodes)
    if network.readers(turn.output) or network.is_output(turn.output):
        return network
    return replace(network, nodes=tuple(node for node in network.nodes if node is not turn))
