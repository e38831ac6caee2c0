"""PReLU of operators that integer accelerators have: a depthwise 1x1 convolution with a fused ReLU, and one addition.

With slope a <= 1 below 0 (He et al. 2015), prelu(x) = x + relu((a - 1) x): right of 0 the second term is 0, left of it (a - 1) x.
A slope above 1 would have to be taken away; but prelu_a(x) = -prelu_1/a(-a x), and the factors -a and -1 go into the layers before
and behind, which costs nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convert.network import Array, Network, Node
from convert.passes.fold import fold_batch_norms, take_out_normalisation
from convert.passes.rewriting import Rewriting, rewritten
from convert.quantise.channels import rescaled_layers
from edge.errors import ModelError

PRELU = "PRelu"


def with_accelerated_prelus(network: Network) -> Network:
    """The same function without PRelu. Names of what the PRelus make stay, the sign of some channels of it may not.

    Batch norms and normalisation are folded first: a slope above 1 is turned round in the layer before. ModelError that names every
    PRelu whose slopes are not constant, one for all or one a channel.
    """
    if not any(node.op == PRELU for node in network.nodes):
        return network
    network = turned(fold_batch_norms(take_out_normalisation(network)))
    made = rewritten(network, {PRELU: _accelerated})
    left = [str(node) for node in made.nodes if node.op == PRELU]
    if left:
        raise ModelError(
            f"{len(left)} PRelu with slopes that are not one a channel: {', '.join(left)}",
            expected="a constant slope, one for all or one for each channel",
            hint="Choose a float32 target, or quantise it as it is (--quantise plain).",
        )
    return made


def turned(network: Network) -> Network:
    """The same function with no PRelu slope above 1 where only layers with constant weights are around it."""
    rows: dict[str, Array] = {}
    columns: dict[str, Array] = {}
    slopes: dict[str, Array] = {}
    nodes = []
    for node in network.nodes:
        slope = slope_of(network, node) if node.op == PRELU else None
        if slope is None or slope.max() <= 1 or not _stands_between_layers(network, node):
            nodes.append(node)
            continue
        steep = slope > 1
        maker = network.maker(node.inputs[0])
        rows[maker.output if maker else ""] = np.where(steep, -slope, 1.0)
        columns |= {reader.output: np.where(steep, -1.0, 1.0) for reader in network.readers(node.output)}
        name = f"{node.output}/turned"
        slopes[name] = np.where(steep, 1 / np.where(steep, slope, 1.0), slope).astype(np.float32).reshape(-1, 1, 1)
        nodes.append(replace(node, inputs=(node.inputs[0], name)))
    return rescaled_layers(replace(network, nodes=tuple(nodes)).with_constants(slopes), rows, columns)


def slope_of(network: Network, node: Node) -> Array | None:
    """Slopes of a PRelu, float64, one or one a channel; None for slopes of another form, or that are computed."""
    value = network.constants.get(node.inputs[1])
    if value is None or value.ndim == 2 or (value.ndim > 1 and value.shape[-2:] != (1, 1)):
        return None
    flat = value.astype(np.float64).reshape(-1)
    is_whole = np.all(np.isfinite(flat)) and flat.size == max(
        value.shape[-3:] if value.ndim > 2 else value.shape or (1,)
    )
    return flat if is_whole else None


def _stands_between_layers(network: Network, node: Node) -> bool:
    maker, readers = network.maker(node.inputs[0]), network.readers(node.output)
    slope = network.constants[node.inputs[1]]
    is_picture = slope.ndim in {3, 4} and maker is not None and maker.op == "Conv"
    alone = len(network.readers(node.inputs[0])) == 1 and not {node.inputs[0], node.output} & set(network.outputs)
    return is_picture and alone and bool(readers) and all(
        reader.op == "Conv" and reader.inputs[0] == node.output for reader in readers
    ) and all(_has_constant_weights(network, layer) for layer in (maker, *readers) if layer is not None)  # fmt: skip


def _has_constant_weights(network: Network, layer: Node) -> bool:
    return all(name in network.constants for name in layer.inputs[1:] if name)


def _accelerated(made: Rewriting, node: Node) -> bool:
    slope, port = slope_of(made.network, node), made.ports.get(node.inputs[0])
    if slope is None or port is None or len(port.shape) < 2:
        return False
    if np.all(slope == slope[0]):
        return _with_one_slope(made, node, float(slope[0]))
    # A depthwise convolution needs a picture.
    return len(port.shape) == 4 and slope.size == port.shape[1] and _with_slopes(made, node, slope)


def _with_one_slope(made: Rewriting, node: Node, slope: float) -> bool:
    if slope == 0:
        return made.last(node, "Relu", node.inputs[:1])
    return made.last(node, "LeakyRelu", node.inputs[:1], alpha=float(np.float32(slope)))


def _with_slopes(made: Rewriting, node: Node, slope: Array) -> bool:
    source = node.inputs[0]
    # Of what is left of 0, as a positive number: (a - 1) x, or (1 - a) x to be taken away again.
    bent = made.step(node, "bent", "Relu", (_depthwise(made, node, "line", source, -np.abs(slope - 1)),))
    if np.all(slope <= 1):
        return made.last(node, "Add", (source, bent))
    if np.all(slope >= 1):
        return made.last(node, "Sub", (source, bent))
    return made.last(node, "Add", (source, _depthwise(made, node, "signed", bent, np.sign(1 - slope))))


def _depthwise(made: Rewriting, node: Node, what: str, source: str, factors: Array) -> str:
    weights = made.constant(node, f"{what}/w", factors.reshape(-1, 1, 1, 1))
    bias = made.constant(node, f"{what}/b", np.zeros(factors.size))
    return made.step(node, what, "Conv", (source, weights, bias), group=factors.size, kernel_shape=(1, 1))
