"""A network in units that a person knows: each convolution or dense layer with what only refines it, such as its PReLU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from convert.network import Network, Node, Shape
from convert.quantise.form import LAYERS, SHARING, steps
from convert.shapes import infer_shapes


@dataclass(frozen=True, slots=True)
class Unit:
    """What is quantised, or left in float32, together."""

    name: str
    """Of the layer that it begins with."""
    tensors: tuple[str, ...]
    """What its steps make."""
    work: int
    """Multiply-accumulates for one picture."""
    weights: int


def units_of(network: Network) -> tuple[Unit, ...]:
    """Every layer, in order, with the steps behind it up to the next layer; depthwise 1x1 convolutions begin no unit."""
    shapes = infer_shapes(network)
    groups: list[list[tuple[Node, str]]] = []
    for node, last in steps(network):
        if node.op in SHARING:
            continue
        if not groups or (node.op in LAYERS and not _is_factor(network, node)):
            groups.append([])
        groups[-1].append((node, (last or node).output))
    return tuple(_unit(network, group, shapes) for group in groups)


def _is_factor(network: Network, node: Node) -> bool:
    """Whether a layer only multiplies channels by numbers: it is part of something else."""
    weights = network.constants[node.inputs[1]]
    return weights.ndim == 4 and weights.shape[1:] == (1, 1, 1) and int(node.attributes.get("group", 1)) > 1


def _unit(network: Network, group: Sequence[tuple[Node, str]], shapes: Mapping[str, Shape]) -> Unit:
    first = group[0][0]
    work = sum(_work(network, node, shapes) for node, _ in group)
    weights = sum(network.constants[node.inputs[1]].size for node, _ in group if node.op in LAYERS)
    return Unit(first.name or first.output, tuple(name for _, name in group), work, weights)


def _work(network: Network, node: Node, shapes: Mapping[str, Shape]) -> int:
    if node.op not in LAYERS:
        return 0
    places = [size or 1 for size in shapes[node.output][2:]]
    return int(network.constants[node.inputs[1]].size * np.prod(places, dtype=np.int64))
