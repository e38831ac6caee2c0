"""ONNX file -> a ModelProto that is sound: checked before anything in it is believed, without functions or data elsewhere."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from convert.importers.base import refuse_unknown
from convert.importers.onnx.order import sort_nodes
from convert.importers.onnx.wire import check_wire
from convert.network import Array
from convert.onnx_model import import_onnx_package
from edge.errors import ModelError

LARGEST_FILE_BYTES = 1 << 30
LARGEST_TENSOR = 1 << 28
"""Elements; 1 GiB of float32."""
MOST_NODES = 50_000
OLDEST_OPSET = 7
_HINT = "Copy the file again, or export it again."
_DTYPES = (
    "FLOAT",
    "DOUBLE",
    "FLOAT16",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "BOOL",
)


def read_bytes(path: Path) -> bytes:
    """The file's content. ModelError where it is no regular file, or larger than any face network."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise ModelError("not a file", where=str(path), expected="an ONNX file")
        if about.st_size > LARGEST_FILE_BYTES:
            raise ModelError(f"{about.st_size} bytes", where=str(path), expected=f"at most {LARGEST_FILE_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"cannot be read ({error.strerror})", where=str(path), expected="an ONNX file", hint=_HINT
        ) from error


def load(data: bytes, path: Path) -> Any:
    """A checked ModelProto of opset 7 or later: nodes in order, functions inlined, data beside the file read in."""
    onnx = import_onnx_package("reading an ONNX file")
    where = str(path)
    model = _parsed(onnx, data, where)
    _check_opset(onnx, model, where)
    for tensor in tensors_of(onnx, model):
        _read_external(onnx, tensor, path)
        _check_tensor(onnx, tensor, where)
    _check_names(model.graph, where)
    sort_nodes(model.graph, where)
    _refuse_absent(onnx, model, where)
    _check(onnx, model, where)
    return _without_functions(onnx, model, where)


def _parsed(onnx: Any, data: bytes, where: str) -> Any:
    from google.protobuf.message import DecodeError

    check_wire(data, onnx.ModelProto.DESCRIPTOR, where)
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as error:
        raise ModelError(f"not a sound ONNX file ({_line(error)})", where=where, hint=_HINT) from error
    if not model.HasField("graph") or not model.opset_import:
        raise ModelError("not a sound ONNX file (no graph)", where=where, hint=_HINT)
    return model


def opset_of(model: Any) -> int:
    """The version of the plain ONNX operators; 0 where the file names none."""
    return max((int(each.version) for each in model.opset_import if each.domain in {"", "ai.onnx"}), default=0)


def _check_opset(onnx: Any, model: Any, where: str) -> None:
    opset, newest = opset_of(model), onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        hint = "Install a newer onnx." if opset > newest else "Export it again with a newer opset."
        raise ModelError(f"opset {opset}", where=where, expected=f"{OLDEST_OPSET} to {newest}", hint=hint)


def tensors_of(onnx: Any, model: Any) -> Iterator[Any]:
    """Every TensorProto of a model: weights, and values of attributes, in functions and inner graphs too."""
    pending = [*model.functions, model.graph]
    while pending:
        graph = pending.pop()
        if isinstance(graph, onnx.GraphProto):
            if graph.sparse_initializer:
                raise ModelError("sparse weights", expected="dense ones", hint="Export it again without sparsity.")
            yield from graph.initializer
        for node in graph.node:
            for attribute in node.attribute:
                yield from attribute.tensors
                if attribute.HasField("t"):
                    yield attribute.t
                pending.extend(attribute.graphs)
                if attribute.HasField("g"):
                    pending.append(attribute.g)


def _check_tensor(onnx: Any, tensor: Any, where: str) -> None:
    place = f"{where}: tensor {tensor.name!r}"
    known = {onnx.TensorProto.DataType.Value(name) for name in _DTYPES}
    if tensor.data_type not in known:
        names = {value: name for name, value in onnx.TensorProto.DataType.items()}
        found = names.get(tensor.data_type, str(tensor.data_type))
        raise ModelError(f"values of type {found}", where=place, expected="float, float16, double, bool or integers")
    if any(size < 0 for size in tensor.dims) or elements(tensor.dims) > LARGEST_TENSOR:
        raise ModelError(f"shape {list(tensor.dims)}", where=place, expected=f"at most {LARGEST_TENSOR} elements")
    if tensor.HasField("raw_data"):
        width = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        if len(tensor.raw_data) != elements(tensor.dims) * width:
            raise ModelError(f"{len(tensor.raw_data)} bytes for shape {list(tensor.dims)}", where=place, hint=_HINT)


def elements(shape: Any) -> int:
    """How many numbers a shape has, without overflow."""
    count = 1
    for size in shape:
        count *= int(size)
    return count


def array_of(onnx: Any, tensor: Any, where: str) -> Array:
    """A tensor's values. ModelError where they are fewer or more than its shape says."""
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    except (ValueError, TypeError) as error:
        raise ModelError(f"tensor {tensor.name!r}: {_line(error)}", where=where, hint=_HINT) from error


def _read_external(onnx: Any, tensor: Any, path: Path) -> None:
    """Weights from a file right beside the model; no other folder, no link."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return
    about = {each.key: each.value for each in tensor.external_data}
    name, where = about.get("location", ""), f"{path}: tensor {tensor.name!r}"
    if not name or name != Path(name).name or "\\" in name:
        raise ModelError(f"weights in {name!r}", where=where, expected="a file beside the model")
    source = path.parent / name
    if source.is_symlink() or not source.is_file():
        raise ModelError(f"no file {source}", where=where, hint="Put it beside the model.")
    try:
        offset, length = int(about.get("offset", "0")), int(about.get("length", "-1"))
        length = source.stat().st_size - offset if length < 0 else length
        if offset < 0 or not 0 <= length <= LARGEST_TENSOR * 8 or offset + length > source.stat().st_size:
            raise ModelError(f"bytes {offset} to {offset + length} of {source}", where=where, hint=_HINT)
        with source.open("rb") as file:
            file.seek(offset)
            tensor.raw_data = file.read(length)
    except (OSError, ValueError) as error:
        raise ModelError(f"weights in {source} cannot be read ({_line(error)})", where=where, hint=_HINT) from error
    del tensor.external_data[:]
    tensor.data_location = onnx.TensorProto.DEFAULT


def _check_names(graph: Any, where: str) -> None:
    if len(graph.node) > MOST_NODES:
        raise ModelError(f"{len(graph.node)} nodes", where=where, expected=f"at most {MOST_NODES}")
    for kind, names in (
        ("inputs", [each.name for each in graph.input]),
        ("weights", [each.name for each in graph.initializer]),
        ("outputs", [each.name for each in graph.output]),
        ("tensors", [name for node in graph.node for name in node.output if name]),
    ):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise ModelError(f"several {kind} named {', '.join(twice[:5])}", where=where, hint=_HINT)
    if not graph.output:
        raise ModelError("no outputs", where=where, expected="at least one")


def _refuse_absent(onnx: Any, model: Any, where: str) -> None:
    """Operators that ONNX has not, all of them: its checker would name the first, and call the file unsound."""
    opset, own = opset_of(model), {each.name for each in model.functions}
    absent = [
        f"{node.op_type} {node.name or next(iter(node.output), '')!r}"
        for node in model.graph.node
        if node.domain in {"", "ai.onnx"} and node.op_type not in own and not onnx.defs.has(node.op_type, opset, "")
    ]
    refuse_unknown(absent, where)


def _check(onnx: Any, model: Any, where: str) -> None:
    # An output without a type is no harm: all are inferred anew. The checker wants one, if only of no axes.
    untyped = [each for each in model.graph.output if not each.type.tensor_type.HasField("shape")]
    was = [each.SerializeToString() for each in untyped]
    for each in untyped:
        kind = each.type.tensor_type
        kind.shape.SetInParent()
        kind.elem_type = kind.elem_type or onnx.TensorProto.FLOAT
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        raise ModelError(f"not a sound ONNX file ({_line(error)})", where=where, hint=_HINT) from error
    finally:
        for each, data in zip(untyped, was, strict=True):
            each.ParseFromString(data)


def _without_functions(onnx: Any, model: Any, where: str) -> Any:
    if not model.functions:
        return model
    from onnx import inliner

    _check_growth(model, where)
    try:
        inlined = inliner.inline_local_functions(model)
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        raise ModelError(f"functions that cannot be inlined ({_line(error)})", where=where) from error
    return inlined


def _check_growth(model: Any, where: str) -> None:
    """ModelError where functions call themselves, or each other so often that no memory would hold the result."""
    functions = {(each.domain, each.name): each for each in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size_of(nodes: Any, above: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in above or len(above) > MOST_CALLS:
                raise ModelError(f"function {node.op_type!r} calls itself", where=where, hint=_HINT)
            if key in functions and key not in sizes:
                sizes[key] = size_of(functions[key].node, (*above, key))
            total += sizes.get(key, 1)
            for attribute in node.attribute:
                total += size_of(attribute.g.node, above) if attribute.HasField("g") else 0
        return total

    total = size_of(model.graph.node, ())
    if total > MOST_NODES:
        raise ModelError(f"functions of {total} nodes", where=where, expected=f"at most {MOST_NODES}")


MOST_CALLS = 100
"""Functions within functions."""


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
