"""`TFLite_Detection_PostProcess` behind a single-shot detector: raw outputs -> boxes, classes, scores, count.

A custom operator that every TFLite runtime carries: tensorflow/lite/kernels/detection_postprocess.cc. It decodes offsets from
priors (Liu et al. 2016, SSD), and suppresses overlapping boxes. Its options are a flexbuffer map.
"""

from __future__ import annotations

import numpy as np

from convert.network import Floats, Network
from convert.targets.base import DetectionHead
from convert.targets.tflite.flatbuffer import (
    Model,
    added_constant,
    added_custom_operator,
    added_operator,
    added_tensor,
    schema,
)
from edge.errors import ModelError, UsageError

OPERATOR = "TFLite_Detection_PostProcess"
OUTPUTS = ("boxes", "classes", "scores", "count")
"""(1, most, 4) ymin, xmin, ymax, xmax as parts of the picture; (1, most) class, 0 the first behind the background; (1, most); (1,)."""

_FROM_XY_TO_YX = np.array([1, 0, 3, 2], np.int32)
"""Centre x, centre y, width, height -> centre y, centre x, height, width, as the operator wants them."""


def raw_outputs(network: Network, head: DetectionHead, batch: int | None) -> Network:
    """The network, returning offsets and scores alone. UsageError where it lacks one, ModelError where the head does not fit."""
    missing = [name for name in (head.offsets, head.scores) if name not in network.outputs]
    if missing:
        raise UsageError(
            f"no output {', '.join(missing)} for post-processing", expected=f"two of: {', '.join(network.outputs)}"
        )
    if batch != 1:
        raise ModelError(f"batch {batch or 'open'} with {OPERATOR}", expected="1: the operator takes one picture")
    if head.priors.ndim != 2 or head.priors.shape[1] != 4:
        raise ModelError(f"priors of shape {head.priors.shape}", expected="(N, 4)")
    return network.with_outputs((head.offsets, head.scores))


def append_post_process(model: Model, head: DetectionHead) -> None:
    """Append the operator to a model whose two outputs are offsets and scores, both float32 or uint8."""
    graph = model.subgraphs[0]
    offsets, scores = (_real(model, int(index)) for index in graph.outputs)
    classes = _check(model, head, offsets, scores)
    shape = tuple(int(size) for size in graph.tensors[offsets].shape)
    turned = added_tensor(model, "offsets_yx", shape, "float32")
    order = added_constant(model, "offsets_yx/order", _FROM_XY_TO_YX)
    _gather(model, (offsets, order), turned)
    priors = added_constant(model, "priors", np.ascontiguousarray(head.priors[:, _FROM_XY_TO_YX], np.float32))
    most = head.most
    shapes = ((1, most, 4), (1, most), (1, most), (1,))
    outputs = [added_tensor(model, name, shape, "float32") for name, shape in zip(OUTPUTS, shapes, strict=True)]
    added_custom_operator(model, OPERATOR, [turned, scores, priors], outputs, _options(head, classes))
    graph.outputs = outputs


def _real(model: Model, index: int) -> int:
    """The tensor, or a float32 copy where it holds integers."""
    generated = schema()
    tensor = model.subgraphs[0].tensors[index]
    if tensor.type == generated.TensorType.FLOAT32:
        return index
    shape = tuple(int(size) for size in tensor.shape)
    copy = added_tensor(model, f"{tensor.name.decode()}/real", shape, "float32")
    added_operator(model, generated.BuiltinOperator.DEQUANTIZE, [index], [copy])
    return copy


def _check(model: Model, head: DetectionHead, offsets: int, scores: int) -> int:
    """Number of classes without the background; ModelError where shapes do not belong together."""
    tensors = model.subgraphs[0].tensors
    found = [tuple(int(size) for size in tensors[index].shape) for index in (offsets, scores)]
    count = len(head.priors)
    if found[0] != (1, count, 4) or found[1][:2] != (1, count) or len(found[1]) != 3 or found[1][2] < 2:
        expected = f"offsets (1, {count}, 4) and scores (1, {count}, 2 or more) for {count} priors"
        raise ModelError(f"outputs of shapes {found[0]} and {found[1]}", expected=expected)
    return found[1][2] - 1


def _gather(model: Model, inputs: tuple[int, int], output: int) -> None:
    generated = schema()
    operator = added_operator(model, generated.BuiltinOperator.GATHER, list(inputs), [output])
    operator.builtinOptionsType = generated.BuiltinOptions.GatherOptions
    operator.builtinOptions = generated.GatherOptionsT()
    operator.builtinOptions.axis = 2


def _options(head: DetectionHead, classes: int) -> bytes:
    """Variances are the inverse of the operator's scales. Several classes are suppressed each for itself."""
    from flatbuffers import flexbuffers

    builder = flexbuffers.Builder()
    with builder.Map():
        for key, number in (
            ("max_detections", head.most),
            ("max_classes_per_detection", 1),
            ("detections_per_class", head.most),
            ("num_classes", classes),
        ):
            builder.Int(key, number)
        for key, value in zip(
            ("y_scale", "x_scale", "h_scale", "w_scale"), np.repeat(1 / np.array(head.variances), 2), strict=True
        ):
            builder.Float(key, float(value))
        builder.Float("nms_score_threshold", head.confidence)
        builder.Float("nms_iou_threshold", head.nms_iou)
        builder.Bool("use_regular_nms", classes > 1)
    return bytes(builder.Finish())


def decoded(offsets: Floats, head: DetectionHead) -> Floats:
    """Boxes (N, 4) ymin, xmin, ymax, xmax of offsets (N, 4), as the operator decodes them; the reference for tests and reports."""
    centres = offsets[:, :2] * head.variances[0] * head.priors[:, 2:] + head.priors[:, :2]
    halves = np.exp(offsets[:, 2:] * head.variances[1]) * head.priors[:, 2:] / 2
    return np.concatenate([(centres - halves)[:, ::-1], (centres + halves)[:, ::-1]], axis=1).astype(np.float32)
