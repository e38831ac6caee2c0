"""What comes behind a convolution or a dense layer and only scales and shifts its channels, taken into its weights."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np

from convert.network import Array, Floats, Network, Node

LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""With constant weights. A MatMul has no bias: it keeps one Add behind it."""
ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div"})
BATCH_NORM = "BatchNormalization"


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """Channel c becomes scale[c] * it + offset[c]; float64, one number or one a channel."""

    scale: Array
    offset: Array

    def then(self, after: Affine) -> Affine:
        """This one, and then `after`."""
        return Affine(self.scale * after.scale, self.offset * after.scale + after.offset)


Step = tuple[Node, Affine | None]
"""A node behind a layer, and what it does to the channels; None for a Reshape that only adds or takes axes of one element."""


def fold_affine(network: Network, kinds: Collection[str]) -> Network:
    """Take every run of nodes of these kinds, each the only reader of the one before, into the layer that it follows."""
    readers: dict[str, list[Node]] = {}
    for node in network.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    gone: set[int] = set()
    made: list[Node] = []
    constants: dict[str, Array] = {}
    for layer in network.nodes:
        if id(layer) in gone:
            continue
        run = _run(network, readers, layer, kinds) if _is_layer(network, layer) else []
        if not run or (layer.op == "MatMul" and len(run) == 1 and run[0][0].op in {"Add", "Sub"}):
            made.append(layer)
            continue
        gone.update(id(node) for node, _ in run)
        nodes, added = _merged(network, layer, run)
        made += nodes
        constants |= added
    return replace(network, nodes=tuple(made)).with_constants(constants)


def _is_layer(network: Network, node: Node) -> bool:
    if node.op not in LAYERS or any(name and name not in network.constants for name in node.inputs[1:]):
        return False
    weights = network.constants[node.inputs[1]]
    return weights.ndim == (2 if node.op in {"Gemm", "MatMul"} else weights.ndim) and weights.ndim >= 2


def _run(network: Network, readers: dict[str, list[Node]], layer: Node, kinds: Collection[str]) -> list[Step]:
    """What follows the layer, up to the last place where its result has the layer's own axes again."""
    channels, own = channels_of(network, layer), _axes_behind(network, layer)
    name, behind, steps, whole = layer.output, own, list[Step](), 0
    while not network.is_output(name) and len(readers.get(name, [])) == 1:
        node = readers[name][0]
        after = _axes_after(network, node, channels) if own == 0 else None
        affine = _affine(network, node, name, (channels, behind)) if node.op in kinds else None
        if after is None and affine is None:
            break
        behind = behind if after is None else after
        steps.append((node, affine))
        name = node.output
        whole = len(steps) if behind == own else whole
    return steps[:whole] if any(affine is not None for _, affine in steps[:whole]) else []


def _axes_after(network: Network, node: Node, channels: int) -> int | None:
    """Axes of one element behind the channels after a Reshape of (N, C); TensorFlow normalises a dense layer as a picture."""
    target = network.constants.get(node.inputs[1]) if node.op == "Reshape" else None
    if target is None or target.ndim != 1 or target.size < 2:
        return None
    rest = [int(size) for size in target[1:]]
    return len(rest) - 1 if rest == [channels] + [1] * (len(rest) - 1) else None


def channels_of(network: Network, layer: Node) -> int:
    """How many channels a layer makes."""
    weights = network.constants[layer.inputs[1]]
    if layer.op == "Conv" or (layer.op == "Gemm" and layer.attributes.get("transB", 0)):
        return int(weights.shape[0])
    return int(weights.shape[1]) * int(layer.attributes.get("group", 1))


def _axes_behind(network: Network, layer: Node) -> int:
    """Axes behind the channels of what the layer makes: none of a dense layer, two of a picture."""
    return network.constants[layer.inputs[1]].ndim - 2


def _affine(network: Network, node: Node, name: str, form: tuple[int, int]) -> Affine | None:
    channels, behind = form
    if node.op == BATCH_NORM:
        return _of_batch_norm(network, node) if node.inputs[0] == name else None
    is_first = node.inputs[0] == name
    other = network.constants.get(node.inputs[1 if is_first else 0])
    if other is None or node.inputs[0] == node.inputs[1] or (node.op == "Div" and not is_first):
        return None
    value = _a_channel(other, channels, behind)
    if value is None or (node.op == "Div" and not np.all(value)):
        return None
    one, zero = np.ones(1), np.zeros(1)
    by_kind: dict[str, Callable[[Array], Affine]] = {
        "Add": lambda of: Affine(one, of),
        "Sub": lambda of: Affine(one, -of) if is_first else Affine(-one, of),
        "Mul": lambda of: Affine(of, zero),
        "Div": lambda of: Affine(1 / of, zero),
    }
    return by_kind[node.op](value)


def _a_channel(value: Array, channels: int, behind: int) -> Array | None:
    """A constant that is one number, or one a channel, in float64; None for any other."""
    if value.dtype.kind != "f":
        return None
    if value.size == 1 and value.ndim <= behind + 2:
        return value.astype(np.float64).reshape(1)
    shape = (1,) * (behind + 2 - value.ndim) + value.shape
    if shape != (1, channels) + (1,) * behind:
        return None
    return value.astype(np.float64).reshape(-1)


def _of_batch_norm(network: Network, node: Node) -> Affine | None:
    """Ioffe and Szegedy 2015, inference form: gamma (x - mean) / sqrt(var + epsilon) + beta."""
    parts = [network.constants.get(name) for name in node.inputs[1:5]]
    gamma, beta, mean, variance = (None if part is None else part.astype(np.float64) for part in parts)
    if gamma is None or beta is None or mean is None or variance is None:
        return None
    factor = gamma / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    return Affine(factor, beta - mean * factor)


def _merged(network: Network, layer: Node, run: list[Step]) -> tuple[list[Node], dict[str, Array]]:
    """The layer with the run in its weights, and the new constants."""
    total = Affine(np.ones(1), np.zeros(1))
    for _, affine in run:
        total = total if affine is None else total.then(affine)
    channels, outputs = channels_of(network, layer), run[-1][0].outputs[:1]
    scale, offset = (np.broadcast_to(each, channels) for each in (total.scale, total.offset))
    weights = _scaled(network, layer, scale)
    names = f"{layer.output}/w", f"{layer.output}/b"
    constants = {names[0]: weights.astype(np.float32)}
    inputs = (layer.inputs[0], names[0])
    if layer.op != "MatMul":
        constants[names[1]] = (bias_of(network, layer) * scale + offset).astype(np.float32)
        attributes = {name: value for name, value in layer.attributes.items() if name != "beta"}
        return [replace(layer, inputs=(*inputs, names[1]), outputs=outputs, attributes=attributes)], constants
    if not np.any(offset):
        return [replace(layer, inputs=inputs, outputs=outputs)], constants
    constants[names[1]] = offset.astype(np.float32)
    last = Node("Add", run[-1][0].name, (layer.output, names[1]), outputs)
    return [replace(layer, inputs=inputs), last], constants


def _scaled(network: Network, layer: Node, scale: Array) -> Array:
    weights = network.constants[layer.inputs[1]].astype(np.float64)
    if layer.op == "Conv" or (layer.op == "Gemm" and layer.attributes.get("transB", 0)):
        return np.asarray(weights * scale.reshape(-1, *(1,) * (weights.ndim - 1)))
    if layer.op != "ConvTranspose":
        return np.asarray(weights * scale)
    # (inputs, outputs / groups, ...): the inputs of a group lie together, and so do its outputs.
    groups = int(layer.attributes.get("group", 1))
    inside, outside, *kernel = weights.shape
    grouped = weights.reshape(groups, inside // groups, outside, *kernel)
    factors = scale.reshape(groups, 1, outside, *(1,) * len(kernel))
    return np.asarray((grouped * factors).reshape(weights.shape))


def bias_of(network: Network, layer: Node) -> Floats:
    """Bias of a layer, float32, one number a channel; zeros where it has none."""
    channels = channels_of(network, layer)
    if len(layer.inputs) > 2 and layer.inputs[2]:
        bias = network.constants[layer.inputs[2]].astype(np.float32) * np.float32(layer.attributes.get("beta", 1.0))
        return np.broadcast_to(bias.reshape(-1), channels).astype(np.float32)
    return np.zeros(channels, np.float32)
