"""Arithmetic that a convolution can take over: batch normalisation behind it, scaling of the pixels before the first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from convert.network import Floats, Network, Node


def fold_batch_norms(network: Network) -> Network:
    """Fold each BatchNormalization into the convolution right before it (Ioffe and Szegedy 2015, inference form).

    gamma (conv(x) - mean) / sqrt(var + epsilon) + beta is the convolution with weights gamma / sqrt(var + epsilon) * w.
    One that no convolution precedes, or whose convolution others read too, stays.
    """
    made_by = {node.output: node for node in network.nodes}
    for norm in [node for node in network.nodes if node.op == "BatchNormalization"]:
        conv = made_by.get(norm.inputs[0])
        if conv is None or conv.op != "Conv" or not _is_foldable(network, conv):
            continue
        weights, bias = _folded(network, conv, norm)
        merged = replace(conv, inputs=(conv.inputs[0], f"{conv.output}/w", f"{conv.output}/b"), outputs=norm.outputs)
        nodes = tuple(merged if node is conv else node for node in network.nodes if node is not norm)
        network = replace(network, nodes=nodes).with_constants({merged.inputs[1]: weights, merged.inputs[2]: bias})
        made_by[norm.output] = merged
    return network


def _is_foldable(network: Network, conv: Node) -> bool:
    only_reader = len(network.readers(conv.output)) == 1 and not network.is_output(conv.output)
    return only_reader and all(name in network.constants for name in conv.inputs[1:] if name)


def _folded(network: Network, conv: Node, norm: Node) -> tuple[Floats, Floats]:
    gamma, beta, mean, variance = (network.constants[name].astype(np.float64) for name in norm.inputs[1:5])
    factor = gamma / np.sqrt(variance + norm.attributes.get("epsilon", 1e-5))
    weights = network.constants[conv.inputs[1]] * factor.reshape(-1, 1, 1, 1)
    bias = (bias_of(network, conv) - mean) * factor + beta
    return weights.astype(np.float32), bias.astype(np.float32)


def bias_of(network: Network, conv: Node) -> Floats:
    """Bias of a convolution, float32 (O,); zeros where it has none."""
    if len(conv.inputs) > 2 and conv.inputs[2]:
        return network.constants[conv.inputs[2]].astype(np.float32)
    return np.zeros(len(network.constants[conv.inputs[1]]), np.float32)


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
