"""The same network as exporters of other years wrote it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
from onnx import helper, numpy_helper

from convert.shapes import inferred
from edge.errors import ModelError

Values = dict[str, Any]


def at_opset(model: Any, opset: int) -> Any | None:
    """A model of opset 13 as one of another opset; None where an operator, or its dtype, did not exist in that form."""
    made = inferred(model)
    if opset > 13:
        made = onnx.version_converter.convert_version(made, opset)
        made.ir_version = 10 if opset > 20 else 8
        return made
    values = {each.name: numpy_helper.to_array(each) for each in made.graph.initializer}
    for index, node in enumerate(made.graph.node):
        older = OLDER.get(node.op_type)
        if older and opset < older[0]:
            changed = older[1](node, values, opset)
            if changed is None:
                return None
            made.graph.node[index].CopyFrom(changed)
    made.opset_import[0].version = opset
    try:
        inferred(made)
        onnx.checker.check_model(made)
    except (ModelError, onnx.checker.ValidationError):
        return None
    return made


Older = Callable[[Any, Values, int], Any | None]


def _plain(node: Any) -> Values:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _remade(node: Any, op: str, **attributes: Any) -> Any:
    return helper.make_node(op, [node.input[0]], list(node.output), name=node.name, **attributes)


def _input_as_attribute(name: str) -> Older:
    def older(node: Any, values: Values, opset: int) -> Any:
        given = [int(each) for each in values[node.input[1]]] if len(node.input) > 1 else None
        return _remade(node, node.op_type, **_plain(node), **({name: given} if given is not None else {}))

    return older


def _clip(node: Any, values: Values, opset: int) -> Any:
    ends = {name: float(values[given]) for name, given in zip(("min", "max"), node.input[1:], strict=False) if given}
    return _remade(node, "Clip", **ends)


def _pad(node: Any, values: Values, opset: int) -> Any:
    value = {"value": float(values[node.input[2]])} if len(node.input) > 2 else {}
    return _remade(node, "Pad", **_plain(node), pads=values[node.input[1]].tolist(), **value)


def _slice(node: Any, values: Values, opset: int) -> Any | None:
    starts, ends, axes, steps = (values[name].tolist() for name in node.input[1:])
    return _remade(node, "Slice", starts=starts, ends=ends, axes=axes) if set(steps) == {1} else None


def _resize(node: Any, values: Values, opset: int) -> Any | None:
    about = _plain(node)
    if len(node.input) != 3 or about["coordinate_transformation_mode"] != b"asymmetric":
        return None
    mode = about["mode"].decode()
    if opset == 10:
        return helper.make_node("Resize", [node.input[0], node.input[2]], list(node.output), mode=mode)
    if opset == 9:
        return helper.make_node("Upsample", [node.input[0], node.input[2]], list(node.output), mode=mode)
    return _remade(node, "Upsample", mode=mode, scales=values[node.input[2]].tolist())


def _same_shapes(node: Any, values: Values, opset: int) -> None:
    # Opset 7 does not broadcast, and these cases do.
    return None


def _softmax(node: Any, values: Values, opset: int) -> Any | None:
    # Over the last axis alone both mean the same.
    return node if _plain(node).get("axis") == -1 else None


OLDER: dict[str, tuple[int, Older]] = {
    "Clip": (11, _clip),
    "Max": (8, _same_shapes),
    "Min": (8, _same_shapes),
    "Pad": (11, _pad),
    "ReduceSum": (13, _input_as_attribute("axes")),
    "Resize": (11, _resize),
    "Slice": (10, _slice),
    "Softmax": (13, _softmax),
    "Split": (13, _input_as_attribute("split")),
    "Squeeze": (13, _input_as_attribute("axes")),
    "Unsqueeze": (13, _input_as_attribute("axes")),
}
"""Operator -> the opset that changed it, and how it was written before."""
