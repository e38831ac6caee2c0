"""`TFLite_Detection_PostProcess`, the custom operator behind single-shot detectors: what it was told, and the network before it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.importers.tflite.graph import Graph, Operator
from convert.importers.tflite.reading import read_graph
from convert.importers.tflite.values import Constants
from convert.targets.base import DetectionHead
from edge.errors import ModelError

OPERATOR = "TFLite_Detection_PostProcess"
_FROM_YX_TO_XY = (1, 0, 3, 2)
_MOST_DETECTIONS = 10_000
_NUMBERS = (
    "max_detections", "max_classes_per_detection", "num_classes", "y_scale", "x_scale", "h_scale", "w_scale",
    "nms_score_threshold", "nms_iou_threshold",
)  # fmt: skip
_FAULTS = (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, UnicodeDecodeError)


def read_detection_head(path: Path) -> DetectionHead | None:
    """The head of a detector with post-processing, for writing it again; None where the file has none.

    `offsets` names the imported network's own output, whose columns are centre y, centre x, height, width: where the file
    turned them in front of the operator, it is the tensor before, and `priors` and offsets are centre x first.
    """
    graph = read_graph(path)
    operator = _operator(graph)
    return _head(graph, operator) if operator else None


def cut_post_process(graph: Graph) -> Graph:
    """The graph that ends before the operator, with a note that tells its options; the same graph where it has none."""
    operator = _operator(graph)
    if operator is None or not set(graph.outputs) & set(operator.outputs):
        return graph
    offsets, scores = _raw(graph, operator)
    kept = [index for index in graph.outputs if index not in operator.outputs]
    outputs = tuple(dict.fromkeys([offsets, scores, *kept]))
    said = ", ".join(f"{name} {value:g}" for name, value in _told(graph, operator).items())
    names = f"{graph.name(offsets)!r} and {graph.name(scores)!r}"
    note = f"{OPERATOR} is cut off: the network gives {names}, from which it made boxes ({said})."
    operators = tuple(each for each in graph.operators if each is not operator)
    return replace(graph, outputs=outputs, operators=operators, notes=(*graph.notes, note))


def _operator(graph: Graph) -> Operator | None:
    found = [each for each in graph.operators if each.op == OPERATOR]
    if not found:
        return None
    if len(found) > 1 or len(found[0].inputs) != 3 or -1 in found[0].inputs:
        raise ModelError(f"{len(found)} times {OPERATOR}", where=graph.where, expected="one, with three inputs")
    return found[0]


def _raw(graph: Graph, operator: Operator) -> tuple[int, int]:
    """Tensors of offsets and scores: of the former the one before its columns were turned, where they were."""
    offsets, scores = operator.inputs[:2]
    maker = graph.maker(offsets)
    return (maker.inputs[0] if maker is not None and _is_turning(graph, maker) else offsets), scores


def _is_turning(graph: Graph, maker: Operator) -> bool:
    if maker.op != "GATHER" or len(maker.inputs) != 2 or maker.options.get("Axis") != 2 or -1 in maker.inputs:
        return False
    order = Constants(graph).value(graph.tensors[maker.inputs[1]])
    return order is not None and np.array_equal(order, _FROM_YX_TO_XY)


def _told(graph: Graph, operator: Operator) -> dict[str, float]:
    """The numbers of the operator's flexbuffer, finite all."""
    from flatbuffers import flexbuffers

    try:
        options: Any = flexbuffers.GetRoot(bytearray(operator.custom)).AsMap
        told = {name: _number(options, name) for name in _NUMBERS}
    except _FAULTS as error:
        raise ModelError(
            f"{OPERATOR} has options that cannot be read ({type(error).__name__})", where=graph.where
        ) from error
    if not all(math.isfinite(value) for value in told.values()):
        raise ModelError(f"{OPERATOR} has options that are no numbers", where=graph.where)
    return told


def _number(options: Any, name: str) -> float:
    value = options[name]
    return float(value.AsInt) if value.IsInt else float(value.AsFloat)


def _head(graph: Graph, operator: Operator) -> DetectionHead:
    told = _told(graph, operator)
    priors = Constants(graph).value(graph.tensors[operator.inputs[2]])
    if priors is None or priors.ndim != 2 or priors.shape[1] != 4:
        raise ModelError(f"{OPERATOR} without constant priors", where=graph.where, expected="(N, 4)")
    scales = [told[name] for name in ("y_scale", "x_scale", "h_scale", "w_scale")]
    if min(scales) <= 0 or scales[0] != scales[1] or scales[2] != scales[3]:
        raise ModelError(f"{OPERATOR} with scales {scales}", where=graph.where, expected="y as x, and h as w")
    if not 1 <= told["max_detections"] <= _MOST_DETECTIONS:
        raise ModelError(f"{OPERATOR} with {told['max_detections']:g} detections", where=graph.where)
    offsets, scores = _raw(graph, operator)
    is_turned = offsets != operator.inputs[0]
    return DetectionHead(
        graph.name(offsets),
        graph.name(scores),
        np.ascontiguousarray(priors[:, _FROM_YX_TO_XY] if is_turned else priors, np.float32),
        (1 / scales[0], 1 / scales[2]),
        told["nms_score_threshold"],
        told["nms_iou_threshold"],
        int(told["max_detections"]),
    )
