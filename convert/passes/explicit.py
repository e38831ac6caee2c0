"""What ONNX lets a node leave out, written out: some runtimes do not work it out for themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from convert.network import Network, Node, Shape
from convert.shapes import infer_shapes

_WINDOWS = frozenset({"Conv", "ConvTranspose", "MaxPool", "AveragePool"})


def with_explicit_windows(network: Network) -> Network:
    """Give every convolution and pooling its kernel_shape, and paddings in numbers instead of auto_pad.

    OpenCV needs the first, and takes SAME_LOWER for SAME_UPPER. A node of open size keeps its auto_pad.
    """
    if not any(node.op in _WINDOWS for node in network.nodes):
        return network
    shapes = infer_shapes(network)
    return replace(network, nodes=tuple(_explicit(node, shapes) for node in network.nodes))


def _explicit(node: Node, shapes: Mapping[str, Shape]) -> Node:
    if node.op not in _WINDOWS:
        return node
    attributes = dict(node.attributes)
    if "kernel_shape" not in attributes and len(node.inputs) > 1:
        attributes["kernel_shape"] = shapes[node.inputs[1]][2:]
    if attributes.get("auto_pad", "NOTSET") == "NOTSET":
        attributes.pop("auto_pad", None)
    elif attributes["auto_pad"] == "VALID":
        del attributes["auto_pad"]
        attributes["pads"] = (0,) * (2 * len(attributes["kernel_shape"]))
    elif node.op != "ConvTranspose":
        attributes |= _padded(attributes, shapes.get(node.inputs[0], ()))
    if node.op == "ConvTranspose" and ("output_shape" in attributes or "auto_pad" in attributes):
        attributes = _transposed(attributes, shapes.get(node.inputs[0], ()))
    return replace(node, attributes={name: value for name, value in attributes.items() if value is not None})


def _padded(attributes: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    places = shape[2:]
    if not places or None in places:
        return {}
    kernel = attributes["kernel_shape"]
    ones = (1,) * len(kernel)
    strides, dilations = attributes.get("strides", ones), attributes.get("dilations", ones)
    totals = []
    for size, width, stride, dilation in zip(places, kernel, strides, dilations, strict=True):
        reach = (width - 1) * dilation + 1
        totals.append(max(0, (-(-(size or 0) // stride) - 1) * stride + reach - (size or 0)))
    return {"auto_pad": None, "pads": _halved(totals, lower=attributes["auto_pad"] == "SAME_LOWER")}


def _halved(totals: list[int], *, lower: bool) -> tuple[int, ...]:
    """Begins, then ends; the odd one goes to the end, or to the beginning where `lower`."""
    fewer, more = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return (*more, *fewer) if lower else (*fewer, *more)


def _transposed(attributes: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """Paddings from the size asked for: https://onnx.ai/onnx/operators/onnx__ConvTranspose.html."""
    places, kernel = shape[2:], attributes["kernel_shape"]
    if not places or None in places:
        return attributes
    ones = (1,) * len(kernel)
    strides, dilations = attributes.get("strides", ones), attributes.get("dilations", ones)
    extra = attributes.get("output_padding", (0,) * len(kernel))
    sizes = [size or 0 for size in places]
    wanted = attributes.get("output_shape", tuple(size * stride for size, stride in zip(sizes, strides, strict=True)))[
        -len(kernel) :
    ]
    full = [
        stride * (size - 1) + more + (width - 1) * dilation + 1
        for size, stride, more, width, dilation in zip(sizes, strides, extra, kernel, dilations, strict=True)
    ]
    totals = [have - want for have, want in zip(full, wanted, strict=True)]
    if min(totals) < 0:
        return attributes
    # Of an odd padding SAME_UPPER has the larger half at the end, every other mode at the beginning.
    pads = _halved(totals, lower=attributes.get("auto_pad") != "SAME_UPPER")
    return {**attributes, "auto_pad": None, "output_shape": None, "pads": pads}
