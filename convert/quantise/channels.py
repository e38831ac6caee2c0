"""Channels of different tensors that belong together, and factors on them that change no result.

Everything between two layers that maps a positive multiple to the same multiple (ReLU and its kin, sums, pools) ties the channels
of what it reads to those of what it makes. Such a channel may be scaled at will: the layers that make it take the factor into their
rows, those that read it its inverse into their columns (Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and
Bias Correction, section 4.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from convert.network import Array, Network, Node, Shape
from convert.shapes import infer_shapes

LAYERS = frozenset({"Conv", "Gemm"})
HOMOGENEOUS = frozenset({
    "Relu", "PRelu", "LeakyRelu", "Add", "Sub", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize", "Identity",
})  # fmt: skip
"""f(k x) = k f(x) for every k > 0, channel by channel."""


@dataclass(frozen=True, slots=True)
class Tie:
    """Tensors whose channels have one factor, and the layers around them."""

    tensors: tuple[str, ...]
    makers: tuple[Node, ...]
    """Layers whose rows (output channels) they are."""
    readers: tuple[Node, ...]
    """Layers whose columns (input channels) they are."""


def ties_of(network: Network) -> tuple[Tie, ...]:
    """Every group of tensors that may be scaled, in the order of the nodes.

    Those that hold an input or output of the network are not among them, nor those that anything else reads or makes.
    """
    shapes = infer_shapes(network)
    groups = _Groups({name: name for name in (network.input_name, *network.tensors())})
    fixed = {network.input_name, *network.outputs}
    for node in network.nodes:
        computed = [name for name in node.inputs if name and name not in network.constants]
        if is_scalable_layer(network, node, shapes):
            continue
        if _keeps_channels(network, node, shapes):
            groups.join([*computed, node.output])
        else:
            fixed |= {*computed, *node.outputs}
    fixed_roots = {groups.root(name) for name in fixed if name in groups.parents}
    return tuple(_tie(network, tensors) for root, tensors in groups.members().items() if root not in fixed_roots)


def is_scalable_layer(network: Network, node: Node, shapes: Mapping[str, Shape]) -> bool:
    """Whether a layer's rows and columns may have factors: constant weights, and one group or as many as channels."""
    if node.op not in LAYERS or any(name and name not in network.constants for name in node.inputs[1:]):
        return False
    return node.op == "Gemm" or int(node.attributes.get("group", 1)) in {1, shapes.get(node.inputs[0], (0, 0))[1]}


def _keeps_channels(network: Network, node: Node, shapes: Mapping[str, Shape]) -> bool:
    if node.op in HOMOGENEOUS:
        return not any(name in network.constants for name in node.inputs) or node.op in {"PRelu", "Resize"}
    if node.op not in {"Flatten", "Reshape"}:
        return False
    before, after = shapes.get(node.inputs[0], ()), shapes.get(node.output, ())
    # Of a picture of one place every element of the row is a channel.
    return len(before) == 4 and tuple(before[2:]) == (1, 1) and tuple(after[1:]) == (before[1],)


@dataclass(frozen=True, slots=True)
class _Groups:
    parents: dict[str, str]

    def root(self, name: str) -> str:
        while self.parents[name] != name:
            name = self.parents[name]
        return name

    def join(self, names: Sequence[str]) -> None:
        first = self.root(names[0])
        for name in names[1:]:
            self.parents[self.root(name)] = first

    def members(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.parents:
            found.setdefault(self.root(name), []).append(name)
        return found


def _tie(network: Network, tensors: Sequence[str]) -> Tie:
    inside = set(tensors)
    layers = [node for node in network.nodes if node.op in LAYERS]
    makers = tuple(node for node in layers if node.output in inside)
    return Tie(tuple(tensors), makers, tuple(node for node in layers if node.inputs[0] in inside))


def rescaled(network: Network, ties: Sequence[Tie], factors: Sequence[Array]) -> Network:
    """The same function with channel c of every tensor of a tie multiplied by its factor[c] > 0."""
    rows = {node.output: factor for tie, factor in zip(ties, factors, strict=True) for node in tie.makers}
    columns = {node.output: 1 / factor for tie, factor in zip(ties, factors, strict=True) for node in tie.readers}
    return rescaled_layers(network, rows, columns)


def rescaled_layers(network: Network, rows: Mapping[str, Array], columns: Mapping[str, Array]) -> Network:
    """Layers with factors on their rows (weights and bias) and columns (weights), by the layer's output; constants of their own."""
    nodes, added = [], dict[str, Array]()
    for node in network.nodes:
        if node.output not in rows and node.output not in columns:
            nodes.append(node)
            continue
        row, column = rows.get(node.output), columns.get(node.output)
        weights = f"{node.output}/w"
        added[weights] = _scaled(network.constants[node.inputs[1]], node, row, column)
        inputs = (node.inputs[0], weights, *node.inputs[2:3])
        if row is not None and len(node.inputs) > 2 and node.inputs[2]:
            inputs = (*inputs[:2], f"{node.output}/b")
            bias = network.constants[node.inputs[2]].astype(np.float64).reshape(-1)
            added[inputs[2]] = (bias * row).astype(np.float32)
        nodes.append(replace(node, inputs=inputs))
    return replace(network, nodes=tuple(nodes)).with_constants(added)


def _scaled(weights: Array, node: Node, row: Array | None, column: Array | None) -> Array:
    """Weights OIHW, or of a Gemm as it has them, in float32."""
    made = weights.astype(np.float64)
    outside, inside = 0, 1
    if node.op == "Gemm" and not node.attributes.get("transB", 0):
        outside, inside = 1, 0
    elif node.op == "Conv" and int(node.attributes.get("group", 1)) > 1:
        # One input channel for each output channel.
        inside = 0
    for factor, axis in ((row, outside), (column, inside)):
        if factor is not None:
            shape = [1] * made.ndim
            shape[axis] = -1
            made = made * np.asarray(factor, np.float64).reshape(shape)
    return made.astype(np.float32)
