"""What a file computes of shapes, once all sizes are known.

Shape, Gather, Concat and their like become constants, and an If on a known condition becomes its branch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from convert.importers.onnx.load import LARGEST_TENSOR, array_of, elements
from convert.network import Array, Port
from convert.onnx_model import import_onnx_package
from convert.shapes import inferred, port_of
from edge.errors import ModelError

LARGEST_FOLDED = 1 << 22
"""Elements of a constant computed here: shapes, grids and priors, no pictures."""
MOST_ROUNDS = 200
_SMALL = 4096

FOLDABLE = frozenset({
    "Abs", "Add", "And", "Cast", "Ceil", "Clip", "Concat", "ConstantOfShape", "CumSum", "Div", "Equal", "Exp",
    "Expand", "EyeLike", "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Greater", "GreaterOrEqual", "Identity",
    "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mod", "Mul", "Neg", "NonZero", "Not", "OneHot", "Or", "Pow", "Range",
    "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape", "Round", "ScatterElements",
    "ScatterND", "Sign", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tile", "Transpose", "Trilu", "Unsqueeze", "Where",
    "Xor",
})  # fmt: skip
"""Arithmetic that exporters do with shapes, and with constants of no great size."""
_FAULTS = (
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    RuntimeError,
    ArithmeticError,
    AttributeError,
    NotImplementedError,
)
"""What onnx.reference raises for an operator it cannot evaluate: the node stays, and is judged by its own operator."""


class Static:
    """A graph whose constants are computed as far as they can be."""

    def __init__(self, model: Any, where: str) -> None:
        """Takes `model` over and changes it."""
        self.onnx = import_onnx_package("reading an ONNX file")
        self.where = where
        self.model = model
        self.values: dict[str, Array] = {}
        self.ports: dict[str, Port] = {}
        # Up to version 3 weights are inputs too, and ONNX infers no shape from one that is not; here they are none.
        model.ir_version = max(model.ir_version, 4)
        self._take_initializers(model.graph)

    def resolve(self) -> None:
        """Compute until nothing more can be; `values` and `ports` are complete then."""
        for _ in range(MOST_ROUNDS):
            self.ports = self._inferred()
            if not self._round():
                return
        raise ModelError(f"shapes not settled after {MOST_ROUNDS} rounds", where=self.where)

    def _take_initializers(self, graph: Any) -> None:
        for tensor in graph.initializer:
            self.values[tensor.name] = array_of(self.onnx, tensor, self.where)
        kept = [each for each in graph.input if each.name not in self.values]
        del graph.initializer[:], graph.input[:], graph.value_info[:]
        graph.input.extend(kept)

    def _inferred(self) -> dict[str, Port]:
        """Shapes of all tensors. Weights are left out of the copy that is inferred: their shape is enough."""
        onnx, model = self.onnx, self.onnx.ModelProto()
        model.CopyFrom(self.model)
        for name, value in self.values.items():
            if value.size <= _SMALL:
                model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
            else:
                kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
                model.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, value.shape))
        outputs = [each.name for each in model.graph.output]
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
        made = inferred(model, self.where).graph
        known = [port_of(onnx, each) for each in (*made.input, *made.value_info, *made.output)]
        ports = {port.name: port for port in known if port is not None}
        ports |= {name: Port(name, value.shape, str(value.dtype)) for name, value in self.values.items()}
        self._refuse_huge(ports)
        return ports

    def _refuse_huge(self, ports: Mapping[str, Port]) -> None:
        for port in ports.values():
            if elements(size for size in port.shape if size is not None) > LARGEST_TENSOR:
                raise ModelError(
                    f"tensor {port.name!r} of shape {list(port.shape)}",
                    where=self.where,
                    expected=f"at most {LARGEST_TENSOR} elements",
                )

    def _round(self) -> bool:
        """Compute what can be computed now; whether anything was."""
        kept: list[Any] = []
        changed = False
        for node in self.model.graph.node:
            branch = self._branch(node)
            made = None if branch is not None else self._evaluated(node)
            if branch is not None:
                kept += branch
            elif made is not None:
                self.values.update(zip(node.output, made, strict=False))
            else:
                kept.append(node)
            changed = changed or branch is not None or made is not None
        if changed:
            copies = [type(node).FromString(node.SerializeToString()) for node in kept]
            del self.model.graph.node[:]
            self.model.graph.node.extend(copies)
        return changed

    def _evaluated(self, node: Any) -> list[Array] | None:
        if node.domain not in {"", "ai.onnx"}:
            return None
        if node.op_type in _FROM_PORT:
            port = self.ports.get(node.input[0])
            return None if port is None else _FROM_PORT[node.op_type](node, port)
        if node.op_type == "CastLike" and node.input[0] in self.values and node.input[1] in self.ports:
            # Of the second input only the dtype matters.
            return [self.values[node.input[0]].astype(self.ports[node.input[1]].dtype)]
        if node.op_type == "Constant":
            return [self._constant(node)]
        if node.op_type not in FOLDABLE or not all(name in self.values for name in node.input if name):
            return None
        return self._computed(node)

    def _constant(self, node: Any) -> Array:
        attribute = node.attribute[0]
        if attribute.name == "value":
            return array_of(self.onnx, attribute.t, self.where)
        dtype = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
        if attribute.name not in dtype:
            raise ModelError(
                f"Constant {node.name or node.output[0]!r} holds {attribute.name}",
                where=self.where,
                expected="a dense tensor or numbers",
            )
        return np.asarray(self.onnx.helper.get_attribute_value(attribute), dtype[attribute.name])

    def _computed(self, node: Any) -> list[Array] | None:
        """Outputs of a node whose inputs are all known; None where they would be large, or it cannot be evaluated."""
        from onnx.reference import ReferenceEvaluator

        onnx = self.onnx
        given = {name: self.values[name] for name in node.input if name}
        if any(value.size > LARGEST_FOLDED for value in given.values()):
            return None
        tensors = [onnx.numpy_helper.from_array(value, name) for name, value in given.items()]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        model = onnx.helper.make_model(
            onnx.helper.make_graph([node], "constant", [], outputs, tensors),
            opset_imports=list(self.model.opset_import),
            ir_version=self.model.ir_version,
        )
        try:
            made = inferred(model).graph.output
            ports = [port_of(onnx, each) for each in made]
            if node.op_type != "NonZero" and not all(_is_small(port) for port in ports):
                return None
            with np.errstate(all="ignore"):
                values = ReferenceEvaluator(model).run(None, {})
        except (*_FAULTS, ModelError):
            return None
        by_name = dict(zip([each.name for each in outputs], values, strict=True))
        return [np.asarray(by_name.get(name, 0)) for name in node.output]

    def _branch(self, node: Any) -> list[Any] | None:
        """The nodes of the branch that an If takes; None for another node, or a condition that is not known."""
        if node.op_type != "If" or node.domain not in {"", "ai.onnx"} or node.input[0] not in self.values:
            return None
        name = "then_branch" if bool(np.all(self.values[node.input[0]])) else "else_branch"
        graph = next((each.g for each in node.attribute if each.name == name), None)
        if graph is None or len(graph.output) != len(node.output):
            raise ModelError(f"If {node.name!r} without {name}", where=self.where)
        for tensor in graph.initializer:
            self.values[tensor.name] = array_of(self.onnx, tensor, self.where)
        pairs = zip(graph.output, node.output, strict=True)
        ends = [self.onnx.helper.make_node("Identity", [inner.name], [outer]) for inner, outer in pairs]
        return [*graph.node, *ends]


def _is_small(port: Port | None) -> bool:
    return port is not None and None not in port.shape and elements(port.shape) <= LARGEST_FOLDED


def _shape(node: Any, port: Port) -> list[Array] | None:
    # Opset 15 can ask for a part of the axes.
    about = {each.name: each.i for each in node.attribute}
    part = port.shape[about.get("start") : about.get("end")]
    return None if None in part else [np.array(part, np.int64)]


def _size(_node: Any, port: Port) -> list[Array] | None:
    return None if None in port.shape else [np.array(elements(port.shape), np.int64)]


_FROM_PORT = {"Shape": _shape, "Size": _size}
