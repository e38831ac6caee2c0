"""A network in the words that integer hardware has: see convert.quantise.form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from convert.network import Array, Network, Node, Shape
from convert.passes.affine import ARITHMETIC, BATCH_NORM, bias_of, fold_affine
from convert.passes.explicit import with_explicit_windows
from convert.passes.fold import centre_on_a_byte, take_out_normalisation
from convert.passes.rewriting import Rewriting, rewritten
from convert.passes.tidy import tidy
from convert.quantise.form import OPERATORS, limits
from convert.shapes import infer_shapes
from convert.targets.tensorflow_ops.windows import pair, window
from edge.errors import ModelError


def prepared(network: Network) -> Network:
    """The same function as a Network of OPERATORS alone, for one picture; tensors keep their names.

    Normalisation goes to `mean` and `std`, `mean` made a whole number; batch norms into their layers, or into a depthwise
    convolution of their own; average pools and factors of a channel become depthwise convolutions. Layers get explicit
    windows and biases. PRelu is for convert.quantise.prelu. ModelError where there are several inputs or the picture's size is
    open, and, with all of them, where nodes remain that have no integers.
    """
    _, *sizes = network.input_shape
    port = replace(network.inputs[0], shape=(1, *sizes))
    network = tidy(replace(network, inputs=(port,)))
    network = rewritten(take_out_normalisation(network), {"MatMul": _matmul})
    network = rewritten(fold_affine(network, {BATCH_NORM, *ARITHMETIC}), _REWRITES)
    network = centre_on_a_byte(_with_biases(with_explicit_windows(network)))
    refuse(network, faults(network, infer_shapes(network)))
    return network


def refuse(network: Network, found: list[str]) -> None:
    """ModelError with all faults, where there are any."""
    if found:
        raise ModelError(
            f"{len(found)} of {len(network.nodes)} nodes have no integers: {'; '.join(found)}",
            expected=", ".join(sorted(OPERATORS)),
            hint="Choose a float32 target, or rewrite the network.",
        )


def _with_biases(network: Network) -> Network:
    """Every Conv and Gemm with a bias; of a Gemm the weights as (out, in), without alpha and beta."""
    nodes, added = [], dict[str, Array]()
    for node in network.nodes:
        weights = network.constants.get(node.inputs[1]) if node.op in {"Conv", "Gemm"} else None
        is_plain = len(node.inputs) > 2 and bool(node.inputs[2]) and (node.op == "Conv" or _is_plain_gemm(node))
        if weights is None or is_plain or any(name and name not in network.constants for name in node.inputs[2:]):
            nodes.append(node)
            continue
        names = node.inputs[1], f"{node.output}/bias"
        added[names[1]] = bias_of(network, node)
        attributes = dict(node.attributes)
        if node.op == "Gemm":
            turned = weights if attributes.get("transB", 0) else weights.T
            names = f"{node.output}/weights", names[1]
            added[names[0]] = np.ascontiguousarray(turned * np.float32(attributes.get("alpha", 1.0)), np.float32)
            attributes = {"transB": 1, **({"transA": 1} if attributes.get("transA", 0) else {})}
        nodes.append(replace(node, inputs=(node.inputs[0], *names), attributes=attributes))
    return replace(network, nodes=tuple(nodes)).with_constants(added)


def _is_plain_gemm(node: Node) -> bool:
    values = {"alpha": 1.0, "beta": 1.0, "transB": 0} | dict(node.attributes)
    return bool(values["transB"]) and values["alpha"] == values["beta"] == 1


def _depthwise(made: Rewriting, node: Node, source: str, values: tuple[Array, Array], **attributes: object) -> bool:
    weights, bias = values
    names = made.constant(node, "weights", weights), made.constant(node, "bias", bias)
    return made.last(node, "Conv", (source, *names), group=len(weights), kernel_shape=weights.shape[2:], **attributes)


def _picture(made: Rewriting, name: str) -> tuple[int, ...] | None:
    """Sizes of a picture without the batch; None for another tensor."""
    port = made.ports.get(name)
    if port is None or len(port.shape) != 4 or None in port.shape[1:]:
        return None
    return tuple(int(size or 0) for size in port.shape[1:])


def _matmul(made: Rewriting, node: Node) -> bool:
    weights, port = made.value(node, 1), made.ports.get(node.inputs[0])
    if weights is None or weights.ndim != 2 or port is None or len(port.shape) != 2:
        return False
    turned = made.constant(node, "weights", np.ascontiguousarray(weights.T))
    bias = made.constant(node, "bias", np.zeros(weights.shape[1]))
    return made.last(node, "Gemm", (node.inputs[0], turned, bias), transB=1)


def _batch_norm(made: Rewriting, node: Node) -> bool:
    shape, parts = _picture(made, node.inputs[0]), [made.value(node, place) for place in range(1, 5)]
    if shape is None or any(part is None for part in parts):
        return False
    gamma, beta, mean, variance = (np.asarray(part, np.float64) for part in parts)
    factor = gamma / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    return _depthwise(made, node, node.inputs[0], (factor.reshape(-1, 1, 1, 1), beta - mean * factor))


def _average(made: Rewriting, node: Node) -> bool:
    """Weights of 1 / k, where nothing is padded: what lies outside does not count in ONNX's average."""
    shape = _picture(made, node.inputs[0])
    if shape is None or node.attributes.get("ceil_mode", 0):
        return False
    channels, height, width = shape
    attributes = node.attributes if node.op == "AveragePool" else {"kernel_shape": (height, width)}
    how = window(attributes, pair(attributes["kernel_shape"], "kernel"), (height, width))
    if how.is_padded and not attributes.get("count_include_pad", 0):
        return False
    weights = np.full((channels, 1, *how.kernel), 1 / np.prod(how.kernel))
    pads = tuple(before for before, _ in how.pads) + tuple(after for _, after in how.pads)
    return _depthwise(made, node, node.inputs[0], (weights, np.zeros(channels)), strides=how.strides, pads=pads)


def _arithmetic(made: Rewriting, node: Node) -> bool:
    """A constant number, or one a channel, added to a picture or multiplied with it."""
    constants = [made.network.constants.get(name) for name in node.inputs]
    place = next((place for place, value in enumerate(constants) if value is not None), None)
    if place is None or len(node.inputs) != 2 or (node.op == "Div" and place == 0):
        return False
    source, value = node.inputs[1 - place], np.asarray(constants[place], np.float64)
    shape = _picture(made, source)
    if shape is None or (value.size > 1 and value.shape[-3:] != (value.size, 1, 1)) or value.size not in {1, shape[0]}:
        return False
    flat = np.broadcast_to(value.reshape(-1), shape[:1])
    ones = np.ones(shape[:1])
    factor, offset = {
        "Add": (ones, flat),
        "Sub": (ones, -flat) if place == 1 else (-ones, flat),
        "Mul": (flat, 0 * ones),
        "Div": (1 / flat if np.all(flat) else flat, 0 * ones),
    }[node.op]
    return _depthwise(made, node, source, (factor.reshape(-1, 1, 1, 1), offset))


def _from_zero_up(made: Rewriting, node: Node) -> bool:
    low, is_open = made.value(node, 1), len(node.inputs) < 3 or not node.inputs[2]
    if low is None or low.size != 1 or np.any(low) or not is_open:
        return False
    return made.last(node, "Relu", node.inputs[:1])


_REWRITES: Mapping[str, Callable[[Rewriting, Node], bool]] = {
    BATCH_NORM: _batch_norm,
    "AveragePool": _average,
    "GlobalAveragePool": _average,
    **dict.fromkeys(sorted(ARITHMETIC), _arithmetic),
    "Clip": _from_zero_up,
}


def faults(network: Network, shapes: Mapping[str, Shape]) -> list[str]:
    """What an integer network cannot hold, a phrase for each node."""
    return [f"{node} ({fault})" for node in network.nodes if (fault := _fault(network, node, shapes))]


def _fault(network: Network, node: Node, shapes: Mapping[str, Shape]) -> str:
    if node.op not in OPERATORS:
        return "no such operator"
    computed = [name for name in node.inputs if name and name not in network.constants]
    unknown = [name for name in (*computed, node.output) if None in shapes.get(name, (None,))]
    if unknown:
        return "a shape that is not known"
    check = _CHECKS.get(node.op)
    return "" if check is None else check(network, node, shapes)


def _conv_fault(network: Network, node: Node, shapes: Mapping[str, Shape]) -> str:
    weights = network.constants.get(node.inputs[1])
    if weights is None or weights.ndim != 4 or any(name not in network.constants for name in node.inputs[2:]):
        return "no constant weights of a picture's filter"
    group = int(node.attributes.get("group", 1))
    return "groups of several channels" if group not in {1, shapes[node.inputs[0]][1]} else ""


def _gemm_fault(network: Network, node: Node, _: Mapping[str, Shape]) -> str:
    if any(name not in network.constants for name in node.inputs[1:]) or node.attributes.get("transA", 0):
        return "weights that are not constant, or rows that are turned"
    return ""


def _two_fault(network: Network, node: Node, shapes: Mapping[str, Shape]) -> str:
    if any(name in network.constants for name in node.inputs) or len({shapes[name] for name in node.inputs}) != 1:
        return "two computed tensors of one shape expected"
    return ""


def _clip_fault(network: Network, node: Node, _: Mapping[str, Shape]) -> str:
    return "" if limits(network, node) else "limits other than 0 and 6"


def _concat_fault(network: Network, node: Node, shapes: Mapping[str, Shape]) -> str:
    is_batch = int(node.attributes["axis"]) % len(shapes[node.output]) == 0
    return "constants, or pictures put together" if is_batch or any(n in network.constants for n in node.inputs) else ""


def _pool_fault(_: Network, node: Node, shapes: Mapping[str, Shape]) -> str:
    if len(node.outputs) > 1 or node.attributes.get("ceil_mode", 0) or node.attributes.get("storage_order", 0):
        return "indices or ceil_mode"
    size = tuple(shapes[node.inputs[0]][2:])
    how = window(node.attributes, pair(node.attributes["kernel_shape"], "kernel"), (size[0], size[1]))
    return "dilations, or padding unlike SAME" if how.dilations != (1, 1) or (how.is_padded and not how.same) else ""


def _reshape_fault(_: Network, node: Node, shapes: Mapping[str, Shape]) -> str:
    made = [size or 0 for size in shapes[node.output]]
    if len(made) == 4 and made[2] * made[3] > 1 and made[1] > 1:
        return "a row that becomes a picture"
    return ""


_CHECKS: Mapping[str, Callable[[Network, Node, Mapping[str, Shape]], str]] = {
    "Conv": _conv_fault,
    "Gemm": _gemm_fault,
    **dict.fromkeys(("Add", "Sub", "Mul"), _two_fault),
    "Clip": _clip_fault,
    "Concat": _concat_fault,
    "MaxPool": _pool_fault,
    **dict.fromkeys(("Flatten", "Reshape"), _reshape_fault),
}
