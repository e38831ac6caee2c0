"""Other words for what OpenCV 4.8 to 4.11 cannot read, or computes wrongly; OpenCV 5 reads both.

Each was found by running every operator of the dialect in cv2.dnn 4.8.1, 4.11 and 5.0, for one picture, three, and an open
batch, against ONNX Runtime. The results are the same numbers.
"""

from __future__ import annotations

import numpy as np

from convert.network import Network, Node
from convert.passes.opencv_reduce import REDUCTIONS
from convert.passes.rewriting import Rewrite, Rewriting, rewritten

_FLOAT = 1
_MOST_COPIES = 64
_SMALLEST_LENGTH = 1e-12


def readable_by_opencv(network: Network) -> Network:
    """The same network without what OpenCV 4 is known to refuse or to compute wrongly."""
    # Some of the first are written with what the second write anew.
    return rewritten(rewritten(network, REWRITES), REDUCTIONS)


def _gemm(made: Rewriting, node: Node) -> bool:
    """4.8 ignores alpha and beta."""
    alpha, beta = (float(node.attributes.get(name, 1.0)) for name in ("alpha", "beta"))
    weights, bias = made.value(node, 1), made.value(node, 2)
    has_bias = len(node.inputs) > 2 and bool(node.inputs[2])
    if (alpha == 1 and beta == 1) or weights is None or (has_bias and bias is None):
        return False
    inputs = [node.inputs[0], made.constant(node, "weights", np.float64(alpha) * weights)]
    if bias is not None:
        inputs.append(made.constant(node, "bias", np.float64(beta) * bias))
    rest = {name: value for name, value in node.attributes.items() if name not in {"alpha", "beta"}}
    return made.last(node, "Gemm", tuple(inputs), **rest)


def _logic(op: str) -> Rewrite:
    """And is a product of 0 and 1, Or a sum: 4 has neither."""

    def rewrite(made: Rewriting, node: Node) -> bool:
        numbers = [
            made.step(node, f"number{place}", "Cast", (name,), to=_FLOAT) for place, name in enumerate(node.inputs)
        ]
        both = made.step(node, op.lower(), op, tuple(numbers))
        return made.last(node, "Greater", (both, made.constant(node, "half", 0.5)))

    return rewrite


def _average_pool(made: Rewriting, node: Node) -> bool:
    """4 never counts the padding: pad first."""
    pads = tuple(node.attributes.get("pads", ()))
    if not node.attributes.get("count_include_pad", 0) or not any(pads) or node.attributes.get("ceil_mode", 0):
        return False
    half = len(pads) // 2
    full = (0, 0, *pads[:half], 0, 0, *pads[half:])
    padded = made.step(node, "padded", "Pad", (node.inputs[0], made.constant(node, "pads", full, np.int64)))
    rest = {name: value for name, value in node.attributes.items() if name not in {"pads", "count_include_pad"}}
    return made.last(node, "AveragePool", (padded,), **rest)


def _length_one(made: Rewriting, node: Node) -> bool:
    """4 has no LpNormalization. A vector of zeros stays one."""
    if int(node.attributes.get("p", 2)) != 2:
        return False
    axis = int(node.attributes.get("axis", -1))
    port = made.ports.get(node.inputs[0])
    axes = (axis % len(port.shape),) if port is not None else (axis,)
    length = made.step(node, "length", "ReduceL2", node.inputs, axes=axes, keepdims=1)
    length = made.step(node, "above0", "Max", (length, made.constant(node, "smallest", _SMALLEST_LENGTH)))
    return made.last(node, "Div", (node.inputs[0], length))


def _instance_norm(made: Rewriting, node: Node) -> bool:
    """4.8 takes the statistics over the whole batch (Ulyanov et al. 2016: of each picture and channel)."""
    port = made.ports.get(node.inputs[0])
    scale, bias = made.value(node, 1), made.value(node, 2)
    if port is None or made.has_one_picture(node.inputs[0]) or scale is None or bias is None:
        return False
    axes = tuple(range(2, len(port.shape)))
    places = (-1, *(1,) * len(axes))
    mean = made.step(node, "mean", "ReduceMean", node.inputs[:1], axes=axes, keepdims=1)
    centred = made.step(node, "centred", "Sub", (node.inputs[0], mean))
    squares = made.step(node, "squares", "Mul", (centred, centred))
    variance = made.step(node, "variance", "ReduceMean", (squares,), axes=axes, keepdims=1)
    epsilon = made.constant(node, "epsilon", node.attributes.get("epsilon", 1e-5))
    deviation = made.step(node, "deviation", "Sqrt", (made.step(node, "above0", "Add", (variance, epsilon)),))
    normal = made.step(node, "normal", "Div", (centred, deviation))
    scaled = made.step(node, "scaled", "Mul", (normal, made.constant(node, "scale", scale.reshape(places))))
    return made.last(node, "Add", (scaled, made.constant(node, "bias", bias.reshape(places))))


def _other_axes(made: Rewriting, node: Node) -> bool:
    """4 puts in one axis at a time, and takes them out wrongly where the batch is open: both are a Reshape."""
    axes, after = made.value(node, 1), made.ports.get(node.output)
    if axes is None or after is None or (node.op == "Squeeze" and made.has_one_picture(node.inputs[0])):
        return False
    is_single = axes.size == 1 and node.op == "Unsqueeze"
    before = made.ports.get(node.inputs[0])
    if is_single or before is None or None in after.shape[1:]:
        return False
    if not after.shape or (after.shape[0] is None and (not before.shape or before.shape[0] is not None)):
        return False
    sizes = [0 if size is None else size for size in after.shape]
    return made.last(node, "Reshape", (node.inputs[0], made.constant(node, "shape", sizes, np.int64)))


def _expand(made: Rewriting, node: Node) -> bool:
    """4.8 forgets the batch: a product with ones of that shape."""
    shape = made.value(node, 1)
    if shape is None or made.has_one_picture(node.inputs[0]) or not made.is_float(node.inputs[0]):
        return False
    return made.last(node, "Mul", (node.inputs[0], made.constant(node, "ones", np.ones([int(size) for size in shape]))))


def _tile(made: Rewriting, node: Node) -> bool:
    """4 takes the numbers of repeats for another thing: each axis is a Concat of the same tensor."""
    repeats = made.value(node, 1)
    if repeats is None or int(repeats.max(initial=1)) > _MOST_COPIES or int(repeats.min(initial=1)) < 1:
        return False
    last, places = node.inputs[0], [axis for axis, count in enumerate(repeats) if count > 1]
    for axis in places[:-1]:
        last = made.step(node, f"axis{axis}", "Concat", (last,) * int(repeats[axis]), axis=axis)
    if not places:
        return made.last(node, "Identity", (last,))
    return made.last(node, "Concat", (last,) * int(repeats[places[-1]]), axis=places[-1])


REWRITES: dict[str, Rewrite] = {
    "And": _logic("Mul"),
    "AveragePool": _average_pool,
    "Expand": _expand,
    "Gemm": _gemm,
    "InstanceNormalization": _instance_norm,
    "LpNormalization": _length_one,
    "Or": _logic("Add"),
    "Squeeze": _other_axes,
    "Tile": _tile,
    "Unsqueeze": _other_axes,
}
"""Operator -> what writes it in other words; False where it may stay."""
