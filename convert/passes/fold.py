"""Arithmetic that a convolution can take over: batch normalisation behind it, scaling of the pixels before the first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from convert.network import Network, Node
from convert.passes.affine import BATCH_NORM, bias_of, fold_affine


def fold_batch_norms(network: Network) -> Network:
    """Fold each BatchNormalization into the layer right before it (Ioffe and Szegedy 2015, inference form).

    gamma (conv(x) - mean) / sqrt(var + epsilon) + beta is the convolution with weights gamma / sqrt(var + epsilon) * w.
    One that no convolution or dense layer precedes, or whose layer others read too, stays.
    """
    return fold_affine(network, {BATCH_NORM})


def take_out_normalisation(network: Network) -> Network:
    """Take additions and multiplications by one number off the front, and remember them as `mean` and `std`.

    They become part of how bytes are quantised. They are not folded into the convolution: its zero padding means 0
    after normalisation, not before.
    """
    scale, offset = 1.0, 0.0
    name, nodes = network.input_name, list(network.nodes)
    while (node := _only_reader(network, name)) is not None and not network.is_output(node.output):
        number = _number(network, node, name)
        if number is None:
            break
        step_scale, step_offset = number
        scale, offset = scale * step_scale, offset * step_scale + step_offset
        nodes.remove(node)
        name = node.output
    if scale <= 0:
        return network
    renamed = tuple(_renamed(node, name, network.input_name) for node in nodes)
    std = network.std / scale
    return replace(network, nodes=renamed, mean=network.mean - offset * std, std=std)


def _only_reader(network: Network, name: str) -> Node | None:
    readers = network.readers(name)
    return readers[0] if len(readers) == 1 else None


def _number(network: Network, node: Node, name: str) -> tuple[float, float] | None:
    """(scale, offset) of a node that only scales or shifts `name` by one number, else None."""
    if node.op not in {"Add", "Sub", "Mul", "Div"} or len(node.inputs) != 2:
        return None
    other: Any = network.constants.get(node.inputs[1] if node.inputs[0] == name else node.inputs[0])
    is_first = node.inputs[0] == name
    if other is None or other.size != 1 or (node.op == "Div" and not is_first):
        return None
    value = float(other.reshape(()))
    return {
        "Add": (1.0, value),
        "Sub": (1.0, -value) if is_first else (-1.0, value),
        "Mul": (value, 0.0),
        "Div": (1.0 / value if value else 0.0, 0.0),
    }[node.op]


def _renamed(node: Node, old: str, new: str) -> Node:
    return replace(node, inputs=tuple(new if name == old else name for name in node.inputs))


def centre_on_a_byte(network: Network) -> Network:
    """Make `mean` a whole number, so that a byte of the picture is a byte of the quantised input, without arithmetic.

    With m the mean rounded up, (p - mean) / std = (p - m) / std + d where d = (m - mean) / std. Every convolution that
    reads the input gets d * sum(w) in its bias. At the rim the padding then means pixel m instead of `mean`, half
    a grey level apart.
    """
    whole = float(np.ceil(network.mean))
    shift = (whole - network.mean) / network.std
    readers = network.readers(network.input_name)
    if not shift or any(node.op != "Conv" or not _has_constant_weights(network, node) for node in readers):
        return network
    for conv in readers:
        weights = network.constants[conv.inputs[1]]
        bias = bias_of(network, conv) + shift * weights.sum(axis=(1, 2, 3), dtype=np.float64)
        named = replace(conv, inputs=(*conv.inputs[:2], f"{conv.output}/centred"))
        nodes = tuple(named if node is conv else node for node in network.nodes)
        network = replace(network, nodes=nodes).with_constants({named.inputs[2]: bias.astype(np.float32)})
    return replace(network, mean=whole)


def _has_constant_weights(network: Network, conv: Node) -> bool:
    return all(name in network.constants for name in conv.inputs[1:] if name)
