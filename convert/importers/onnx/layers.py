"""Layers whose form or meaning changed between opset 7 and today.

https://onnx.ai/onnx/operators/ has every version of each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.importers.onnx.translate import Adapter, CannotTranslateError, Translation, pass_on
from convert.importers.onnx.versions import axes_of, integers
from convert.network import Array, Node


def _only_first_output(made: Translation, node: Node) -> Node:
    read = {name for raw in made.static.model.graph.node for name in raw.input}
    read |= {each.name for each in made.static.model.graph.output}
    used = [name for name in node.outputs[1:] if name in read]
    if used:
        raise CannotTranslateError(f"output {', '.join(used)} is read")
    return Node(node.op, node.name, node.inputs, node.outputs[:1], node.attributes)


def _without(node: Node, **defaults: Any) -> Node:
    """Without attributes that have their default; CannotTranslateError for any other value."""
    attributes = dict(node.attributes)
    for name, default in defaults.items():
        value = attributes.pop(name, default)
        if value != default:
            raise CannotTranslateError(f"{name} {value}")
    return Node(node.op, node.name, node.inputs, node.outputs, attributes)


def _clip(made: Translation, node: Node) -> None:
    computed = [name for name in node.inputs[1:] if name and name not in made.static.values]
    if computed:
        _clip_to_computed(made, node)
        return
    ends = [_end(made, node, place, name) for place, name in ((1, "min"), (2, "max"))]
    inputs = (node.inputs[0], *ends) if ends[1] else (node.inputs[0], *ends[:1])
    if not any(ends):
        made.last(node, "Identity", node.inputs[:1])
    else:
        made.last(node, "Clip", inputs)


def _clip_to_computed(made: Translation, node: Node) -> None:
    last, ends = node.inputs[0], dict(zip(("Max", "Min"), node.inputs[1:], strict=False))
    given = {op: name for op, name in ends.items() if name}
    if len(given) == 2:
        last = made.step(node, "Max", (last, given.pop("Max")))
    for op, name in given.items():
        made.last(node, op, (last, name))


def _end(made: Translation, node: Node, place: int, name: str) -> str:
    if name in node.attributes:
        return made.constant(node, name, np.float32(node.attributes[name]))
    value = made.value(node, place)
    return "" if value is None else made.constant(node, name, np.reshape(value, ()), value.dtype)


def _pad(made: Translation, node: Node) -> None:
    mode = node.attributes.get("mode", "constant")
    if mode not in {"constant", "reflect", "edge"}:
        raise CannotTranslateError(f"mode {mode}")
    rank = made.rank(node.inputs[0])
    pads = integers(made, node, 1, "pads") or []
    axes = axes_of(made, node, 3) if len(node.inputs) > 3 and node.inputs[3] else list(range(rank))
    if axes is None or len(pads) != 2 * len(axes):
        raise CannotTranslateError(f"pads {pads}")
    full = [0] * (2 * rank)
    for index, axis in enumerate(axes):
        full[axis], full[axis + rank] = pads[index], pads[index + len(axes)]
    inputs = [node.inputs[0], made.constant(node, "pads", full, np.int64)]
    value = made.value(node, 2) if made.opset >= 11 else np.float32(node.attributes.get("value", 0.0))
    if mode == "constant" and value is not None and np.size(value):
        inputs.append(made.constant(node, "fill", np.reshape(value, ()), np.asarray(value).dtype))
    made.last(node, "Pad", tuple(inputs), mode=mode)


def _upsample(made: Translation, node: Node) -> None:
    """Upsample, and Resize of opset 10, take the pixel at or before x / scale: asymmetric, floor."""
    scales = node.attributes.get("scales") or made.value(node, 1)
    if scales is None:
        raise CannotTranslateError("no scales")
    mode = str(node.attributes.get("mode", "nearest"))
    mode = {"bilinear": "linear", "trilinear": "linear"}.get(mode, mode)
    about = {"mode": mode, "coordinate_transformation_mode": "asymmetric"}
    if mode == "nearest":
        about["nearest_mode"] = "floor"
    made.last(node, "Resize", (node.inputs[0], "", made.constant(node, "scales", scales)), **about)


def _resize(made: Translation, node: Node) -> None:
    if made.opset < 11:
        _upsample(made, node)
        return
    scales, sizes = _resize_sizes(made, node)
    ratio = _ratio(made, node)
    factors = scales if scales is not None else ratio
    attributes = {
        name: value for name, value in node.attributes.items() if name not in {"axes", "keep_aspect_ratio_policy"}
    }
    if attributes.pop("antialias", 0) and (factors is None or np.any(factors < 1)):
        raise CannotTranslateError("antialias")
    mode = attributes.get("coordinate_transformation_mode", "half_pixel")
    if mode == "half_pixel_symmetric" and ratio is not None and factors is not None and np.array_equal(ratio, factors):
        # The same where the size of the result is a whole number.
        mode = attributes["coordinate_transformation_mode"] = "half_pixel"
    if mode not in {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"}:
        raise CannotTranslateError(str(mode))
    inputs = [node.inputs[0], ""]
    if scales is not None:
        inputs += [made.constant(node, "scales", scales)]
    else:
        inputs += ["", made.constant(node, "sizes", sizes, np.int64)]
    made.last(node, "Resize", tuple(inputs), **attributes)


def _resize_sizes(made: Translation, node: Node) -> tuple[Array | None, Array | None]:
    """Factors, or sizes, of all axes: opset 18 may name a few only, or ask to keep the aspect ratio."""
    scales, sizes = made.value(node, 2), made.value(node, 3)
    axes = node.attributes.get("axes")
    if scales is not None and scales.size:
        full = np.ones(made.rank(node.inputs[0]), np.float32)
        full[list(axes) if axes is not None else slice(None)] = scales
        return full, None
    if sizes is None or axes is not None or node.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        return None, np.array(made.fixed_shape(node.output))
    return None, sizes


def _ratio(made: Translation, node: Node) -> Array | None:
    before, after = made.shape(node.inputs[0]), made.shape(node.output)
    if before is None or after is None or None in before or None in after or 0 in before:
        return None
    return np.array([(new or 0) / (old or 1) for new, old in zip(after, before, strict=True)], np.float32)


def _softmax(made: Translation, node: Node) -> None:
    _emit_softmax(made, node, node.output)


def _log_softmax(made: Translation, node: Node) -> None:
    inner = made.new(node, "softmax")
    _emit_softmax(made, node, inner)
    made.last(node, "Log", (inner,))


def _emit_softmax(made: Translation, node: Node, output: str) -> None:
    """Before opset 13 all axes from `axis` on are one: the picture is flattened, and shaped back."""
    rank = made.rank(node.inputs[0])
    axis = int(node.attributes.get("axis", -1 if made.opset >= 13 else 1)) % rank
    shape = made.shape(node.inputs[0]) or ()
    if made.opset >= 13 or all(size == 1 for size in shape[axis + 1 :]):
        made.emit(node, "Softmax", node.inputs[:1], (output,), axis=axis)
        return
    sizes = made.constant(node, "shape", made.fixed_shape(node.inputs[0]), np.int64)
    flat = made.step(node, "Flatten", node.inputs[:1], axis=axis)
    flat = made.step(node, "Softmax", (flat,), axis=1)
    made.emit(node, "Reshape", (flat, sizes), (output,))


def _batch_norm(made: Translation, node: Node) -> None:
    node = _only_first_output(made, node)
    if node.attributes.get("training_mode", 0):
        raise CannotTranslateError("training_mode")
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    if node.attributes.get("spatial", 1):
        made.last(node, "BatchNormalization", node.inputs, epsilon=epsilon)
        return
    # Opset 7: statistics of every place of the picture.
    parts = [made.value(node, place) for place in range(1, 5)]
    gamma, beta, mean, variance = (np.asarray(part, np.float64) for part in parts)
    factor = gamma / np.sqrt(variance + epsilon)
    scaled = made.step(node, "Mul", (node.inputs[0], made.constant(node, "factor", factor)))
    made.last(node, "Add", (scaled, made.constant(node, "shift", beta - mean * factor)))


def _dropout(made: Translation, node: Node) -> None:
    node = _only_first_output(made, node)
    training = made.value(node, 2) if made.opset >= 12 else None
    if training is not None and np.any(training):
        raise CannotTranslateError("training_mode")
    made.last(node, "Identity", node.inputs[:1])


def _max_pool(made: Translation, node: Node) -> None:
    pass_on(made, _without(_only_first_output(made, node), storage_order=0))


def _average_pool(made: Translation, node: Node) -> None:
    dilations = tuple(node.attributes.get("dilations", ()))
    attributes = {name: value for name, value in node.attributes.items() if name != "dilations"}
    if any(step != 1 for step in dilations):
        raise CannotTranslateError(f"dilations {list(dilations)}")
    pass_on(made, Node(node.op, node.name, node.inputs, node.outputs, attributes))


def _instance_norm(made: Translation, node: Node) -> None:
    made.last(node, "InstanceNormalization", node.inputs, epsilon=float(node.attributes.get("epsilon", 1e-5)))


def _gemm(made: Translation, node: Node) -> None:
    # A bias that is left out, as opset 11 and later allow.
    inputs = node.inputs[:2] if len(node.inputs) > 2 and not node.inputs[2] else node.inputs
    pass_on(made, node, inputs)


def _arg_max(made: Translation, node: Node) -> None:
    pass_on(made, _without(node, select_last_index=0))


LAYERS: dict[str, Adapter] = {
    "ArgMax": _arg_max,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Dropout": _dropout,
    "Gemm": _gemm,
    "InstanceNormalization": _instance_norm,
    "LogSoftmax": _log_softmax,
    "MaxPool": _max_pool,
    "Pad": _pad,
    "Resize": _resize,
    "Softmax": _softmax,
    "Upsample": _upsample,
}
"""Operator of the source -> what writes it in opset 13."""
