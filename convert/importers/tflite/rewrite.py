"""Rewrites of a Graph before it is converted: what several operators of TFLite spell out and one of ONNX says."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from convert.importers.tflite.graph import Graph, Operator
from convert.importers.tflite.values import Constants
from convert.network import Array

_CONVOLUTIONS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D"})


@dataclass(frozen=True, slots=True)
class _Dilated:
    """SPACE_TO_BATCH_ND, a convolution and BATCH_TO_SPACE_ND."""

    before: Operator
    conv: Operator
    after: Operator


def join_dilations(graph: Graph) -> Graph:
    """A convolution between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND is one with dilation (Yu and Koltun 2016).

    The blocks are the dilations. Rows that are cut off at the end need as many rows less of padding, because the
    convolution between has stride 1 and no padding of its own.
    """
    readers: dict[int, list[Operator]] = {}
    for operator in graph.operators:
        for index in operator.inputs:
            readers.setdefault(index, []).append(operator)
    constants = Constants(graph)
    joined: dict[int, Operator] = {}
    gone: set[int] = set()
    for before in graph.operators:
        found = _pattern(graph, before, readers)
        merged = _merged(graph, constants, found) if found else None
        if found and merged:
            joined[id(found.after)] = merged
            gone |= {id(found.before), id(found.conv)}
    operators = tuple(joined.get(id(each), each) for each in graph.operators if id(each) not in gone)
    return replace(graph, operators=operators)


def _pattern(graph: Graph, before: Operator, readers: dict[int, list[Operator]]) -> _Dilated | None:
    if before.op != "SPACE_TO_BATCH_ND":
        return None
    conv = _only_reader(graph, before, readers)
    after = _only_reader(graph, conv, readers) if conv is not None and conv.op in _CONVOLUTIONS else None
    if conv is None or after is None or after.op != "BATCH_TO_SPACE_ND":
        return None
    options = conv.options
    is_plain = (
        options.get("Padding", 0) == 1
        and options.get("StrideH", 0) == options.get("StrideW", 0) == 1
        and options.get("DilationHFactor", 1) == options.get("DilationWFactor", 1) == 1
    )
    return _Dilated(before, conv, after) if is_plain and conv.inputs[0] == before.outputs[0] else None


def _only_reader(graph: Graph, operator: Operator, readers: dict[int, list[Operator]]) -> Operator | None:
    made = operator.outputs[0]
    found = readers.get(made, [])
    return found[0] if len(found) == 1 and made not in graph.outputs else None


def _merged(graph: Graph, constants: Constants, found: _Dilated) -> Operator | None:
    block, same = (_whole(graph, constants, each, 1, (2,)) for each in (found.before, found.after))
    pads = _whole(graph, constants, found.before, 2, (2, 2))
    crops = _whole(graph, constants, found.after, 2, (2, 2))
    if pads is None or crops is None or block is None or same is None:
        return None
    left = pads - crops
    if left.min() < 0 or block.min() < 1 or not np.array_equal(block, same):
        return None
    options = {
        **found.conv.options,
        "DilationHFactor": int(block[0]),
        "DilationWFactor": int(block[1]),
        "Pads": tuple((int(before), int(after)) for before, after in left),
    }
    inputs = (found.before.inputs[0], *found.conv.inputs[1:])
    return Operator(found.conv.op, inputs, found.after.outputs, options)


def _whole(graph: Graph, constants: Constants, operator: Operator, place: int, shape: tuple[int, ...]) -> Array | None:
    if place >= len(operator.inputs) or operator.inputs[place] == -1:
        return None
    value = constants.value(graph.tensors[operator.inputs[place]])
    return value.astype(np.int64) if value is not None and value.shape == shape else None
