"""Any MTCNN as the device runs it (edge.detect.mtcnn): upright pictures, outputs `prob`, `box` and `landmarks`.

Colours, mean and deviation are not rewritten: a manifest says them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from convert.network import Array, Network, Node, Port
from convert.passes.flatten import flattened_in_order, with_features_moved
from convert.passes.prelu import recognise_prelus
from convert.passes.rename import renamed
from convert.shapes import infer_shapes
from edge.errors import ModelError
from edge.validation import setting

BOX = ("x1", "y1", "x2", "y2")
LANDMARKS = ("x1", "x2", "x3", "x4", "x5", "y1", "y2", "y3", "y4", "y5")
OUTPUTS = {"pnet": ("prob", "box"), "rnet": ("prob", "box"), "onet": ("prob", "box", "landmarks")}
"""Part of the cascade -> what it must give."""


@dataclass(frozen=True, slots=True)
class MtcnnForm:
    """How a source differs from the form that the device runs."""

    swap_axes: bool = setting(
        default=False, doc="it was trained on pictures with x and y swapped, as MATLAB stores them: turn its kernels"
    )
    box_order: tuple[str, ...] = setting(BOX, doc="what the four values of `box` are")
    landmark_order: tuple[str, ...] = setting(LANDMARKS, doc="what the ten values of `landmarks` are")

    def __post_init__(self) -> None:
        for name, found, known in (
            ("box_order", self.box_order, BOX),
            ("landmark_order", self.landmark_order, LANDMARKS),
        ):
            if sorted(found) != sorted(known):
                raise ValueError(f"{name} is {', '.join(found)}; expected {', '.join(known)} in some order")


def to_device_form(network: Network, part: str, form: MtcnnForm) -> Network:
    """One network of the cascade (`part`: pnet, rnet or onet), rewritten. ModelError where its outputs or nodes are others."""
    wanted = OUTPUTS.get(part)
    if wanted is None:
        raise ModelError(f"a part {part!r}", expected=", ".join(OUTPUTS))
    if sorted(network.outputs) != sorted(wanted):
        hint = "Say in `names` of the recipe which of its outputs are which."
        found = f"outputs {', '.join(network.outputs)} of {part}"
        raise ModelError(found, expected=f"exactly {', '.join(wanted)}", hint=hint)
    network = flattened_in_order(recognise_prelus(network))
    if part == "pnet":
        network = with_pools_rounded_up(network)
    if form.swap_axes:
        network = with_axes_swapped(network)
    network = with_channels(network, "box", [form.box_order.index(name) for name in BOX])
    if "landmarks" in wanted:
        network = with_channels(network, "landmarks", [form.landmark_order.index(name) for name in LANDMARKS])
    return with_softmax(network, "prob").with_outputs(wanted)


def with_pools_rounded_up(network: Network) -> Network:
    """Unpadded maxima look at the last row and column too, as Caffe's do.

    On the 12x12 pixels of training nothing is left over, and no source differs. P-Net runs on larger pictures, where sources
    that round down are blind for faces at the right and lower edge.
    """
    return replace(network, nodes=tuple(_rounded_up(node) if node.op == "MaxPool" else node for node in network.nodes))


def _rounded_up(pool: Node) -> Node:
    is_padded = any(pool.attributes.get("pads", ())) or pool.attributes.get("auto_pad", "NOTSET") not in {
        "NOTSET",
        "VALID",
    }
    if is_padded:
        return pool
    kept = {name: value for name, value in pool.attributes.items() if name not in {"pads", "auto_pad"}}
    return replace(pool, attributes={**kept, "ceil_mode": 1})


def with_axes_swapped(network: Network) -> Network:
    """The network that gives for a picture what this one gives for the picture with x and y swapped.

    Every kernel is turned, and the matrix behind a flattened map reads it in the turned order. Maps that are outputs come
    out turned as well. ModelError where a node knows of places in a way that is not turned here.
    """
    shapes = infer_shapes(network)
    refused = [str(node) for node in network.nodes if node.op not in _TURNED]
    if refused:
        raise ModelError(f"{len(refused)} operator(s) whose axes cannot be swapped: {', '.join(refused)}")
    for node in network.nodes:
        if node.op == "Flatten":
            sizes = [size or 1 for size in shapes[node.inputs[0]][1:]]
            if len(sizes) == 3 and sizes[1] * sizes[2] > 1:
                order = np.arange(np.prod(sizes)).reshape(sizes).transpose(0, 2, 1).reshape(-1)
                network = with_features_moved(network, node, order)
    kernels = {name for node in network.nodes if node.op in _CONVOLUTIONS for name in node.inputs[1:2]}
    swapped = {
        name: np.ascontiguousarray(value.swapaxes(2, 3)) if name in kernels else value
        for name, value in network.constants.items()
    }
    ports = tuple(_swapped_port(port) for port in network.inputs)
    return replace(
        network, inputs=ports, nodes=tuple(_TURNED[node.op](node) for node in network.nodes), constants=swapped
    )


def _swapped_port(port: Port) -> Port:
    return replace(port, shape=(*port.shape[:2], port.shape[3], port.shape[2])) if len(port.shape) == 4 else port


def _same(node: Node) -> Node:
    return node


def _window(node: Node) -> Node:
    """Kernel, strides and dilations are (y, x), pads (top, left, bottom, right)."""
    swapped = dict(node.attributes)
    for name in ("kernel_shape", "strides", "dilations", "output_padding", "output_shape"):
        if name in swapped:
            swapped[name] = tuple(swapped[name])[::-1]
    if "pads" in swapped:
        top, left, bottom, right = swapped["pads"]
        swapped["pads"] = (left, top, right, bottom)
    return replace(node, attributes=swapped)


_CONVOLUTIONS = {"Conv", "ConvTranspose"}
_ANY_PLACE = (
    "PRelu", "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "Identity", "Add", "Sub", "Mul", "Div", "BatchNormalization", "Softmax",
    "Flatten", "Gemm", "MatMul", "GlobalAveragePool", "GlobalMaxPool",
)  # fmt: skip
"""Operators that do the same at every place, and Flatten, of which the matrix behind it takes care."""
_TURNED: dict[str, Callable[[Node], Node]] = {
    **dict.fromkeys(_ANY_PLACE, _same),
    **dict.fromkeys(("Conv", "ConvTranspose", "MaxPool", "AveragePool"), _window),
}


def with_channels(network: Network, output: str, order: Sequence[int]) -> Network:
    """`output` with channel order[i] of before at place i: its last weights change places, so that it costs nothing."""
    if list(order) == sorted(order):
        return network
    name = output
    for _ in range(len(network.nodes)):
        node = network.maker(name)
        if node is None or (name != output and (len(network.readers(name)) != 1 or network.is_output(name))):
            break
        network, is_done = _reordered(network, node, list(order))
        if is_done:
            return network
        name = next((each for each in node.inputs if each and each not in network.constants), "")
    raise ModelError(
        f"{output!r} is not made by a convolution or a matrix alone", expected="one, with constants behind it"
    )


def _reordered(network: Network, node: Node, order: list[int]) -> tuple[Network, bool]:
    """With the constants of one node in the new order, and whether that was the last one to change."""
    if node.op in {"Identity", "Flatten", "Reshape", "Squeeze"}:
        return network, False
    if node.op not in {"Conv", "Gemm", "MatMul", "Add"}:
        raise ModelError(f"{node} makes values whose order has to change", expected="a convolution or a matrix")
    is_column = node.op == "MatMul" or (node.op == "Gemm" and not node.attributes.get("transB", 0))
    moved, inputs = {}, list(node.inputs)
    for place, name in enumerate(node.inputs):
        if name not in network.constants:
            continue
        value = network.constants[name]
        axis = (
            1
            if is_column and place == 1
            else _channel_axis(value, len(order), is_weights=place == 1 and node.op != "Add")
        )
        if axis is None:
            continue
        inputs[place] = f"{node.output}/ordered{place}"
        moved[inputs[place]] = np.ascontiguousarray(np.take(value, order, axis))
    changed = replace(node, inputs=tuple(inputs))
    nodes = tuple(changed if each is node else each for each in network.nodes)
    return replace(network, nodes=nodes).with_constants(moved), node.op != "Add"


def _channel_axis(value: Array, channels: int, *, is_weights: bool) -> int | None:
    """Which axis of a constant runs over the channels; None where one number serves all."""
    if is_weights:
        return 0
    return next((axis for axis, size in enumerate(value.shape) if size == channels), None)


def with_softmax(network: Network, output: str) -> Network:
    """`output` as probabilities, where the source leaves it at what softmax takes."""
    name = output
    while (node := network.maker(name)) is not None:
        if node.op == "Softmax":
            return network
        if node.op not in {"Identity", "Flatten", "Reshape", "Squeeze", "Transpose"}:
            break
        name = node.inputs[0]
    raw = f"{output}/raw"
    made = renamed(network, {output: raw})
    return replace(
        made, nodes=(*made.nodes, Node("Softmax", f"{output}/softmax", (raw,), (output,), {"axis": 1}))
    ).with_outputs(network.outputs)
