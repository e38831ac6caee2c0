"""The text graph (.pbtxt) beside a frozen graph: operators as OpenCV names them, weights by reference to the .pb.

OpenCV recognises PReLU and normalisation in a .pb by their parts; in a text graph it takes everything as written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_NAMES = {"AddV2": "Add"}


def text_graph(graph_def: Any, outputs: Sequence[str]) -> str:
    """Of a graph that `opencv_ops` made, for readNetFromTensorflow(model.pb, model.pbtxt)."""
    from google.protobuf import text_format

    made = type(graph_def)()
    made.CopyFrom(graph_def)
    nodes = {node.name: node for node in made.node}
    for node in made.node:
        fused = _prelu(node, nodes) or _l2_norm(node, nodes)
        if fused:
            node.op, node.input[:] = fused[0], fused[1:]
            node.attr.clear()
        node.op = _NAMES.get(node.op, node.op)
    kept = _needed(made, outputs)
    for place in reversed(range(len(made.node))):
        if made.node[place].op == "Const" or made.node[place].name not in kept:
            del made.node[place]
    return str(text_format.MessageToString(made))


def _parts(name: str, nodes: dict[str, Any], op: str) -> list[str] | None:
    """Inputs of the node of that name, if it is this operator."""
    node = nodes.get(name)
    return list(node.input) if node is not None and node.op == op else None


def _prelu(node: Any, nodes: dict[str, Any]) -> list[str] | None:
    """From relu(x) + (-slope) relu(-x) to PReLU(x, slope)."""
    if node.op != "AddV2":
        return None
    above, below = _parts(node.input[0], nodes, "Relu"), _parts(node.input[1], nodes, "Mul")
    if not above or not below:
        return None
    slope, mirrored = _parts(below[0], nodes, "Neg"), _parts(below[1], nodes, "Relu")
    negative = _parts(mirrored[0], nodes, "Neg") if mirrored else None
    if not slope or nodes[slope[0]].op != "Const" or negative != above:
        return None
    return ["PReLU", above[0], slope[0]]


def _l2_norm(node: Any, nodes: dict[str, Any]) -> list[str] | None:
    """From x rsqrt(max(sum(x x), small)) to L2Normalize(x, axes)."""
    if node.op != "Mul":
        return None
    root = _parts(node.input[1], nodes, "Rsqrt")
    largest = _parts(root[0], nodes, "Maximum") if root else None
    total = _parts(largest[0], nodes, "Sum") if largest else None
    square = _parts(total[0], nodes, "Square") if total else None
    if not total or square != [node.input[0]]:
        return None
    return ["L2Normalize", node.input[0], total[1]]


def _needed(graph_def: Any, outputs: Sequence[str]) -> set[str]:
    """What is left of the parts of fused operators is read by nothing."""
    inputs = {node.name: [name.partition(":")[0] for name in node.input] for node in graph_def.node}
    waiting, found = list(outputs), {node.name for node in graph_def.node if node.op == "Placeholder"}
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(inputs[name])
    return found
