"""Files that are damaged or made to do harm: ModelError, never a traceback, and never much memory."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convert.importers.base import Request
from edge.errors import EXIT_REJECTED, ModelError, UsageError
from tests.convert.networks import RELU, conv, network

onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")

from convert.importers.onnx import import_onnx  # noqa: E402  needs onnx
from convert.importers.onnx.wire import check_wire  # noqa: E402
from convert.onnx_model import model_of  # noqa: E402

helper = onnx.helper
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def tiny() -> Any:
    model = model_of(network(conv(4, 3), RELU))
    return onnx.shape_inference.infer_shapes(model)


def whole(nodes: list[Any], *, inputs: Any = (1, 3), constants: dict[str, Any] | None = None, **about: Any) -> Any:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", FLOAT, inputs)],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, **{"opset_imports": [helper.make_opsetid("", 13)], "ir_version": 8, **about})


def changed(change: Callable[[Any], object]) -> Any:
    model = tiny()
    change(model)
    return model


def calls(count: int, depth: int, *, itself: bool = False) -> Any:
    """Functions that call the next one `count` times each."""
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("here", 1)]
    functions = []
    for level in range(depth):
        target = f"f{level + 1}" if level + 1 < depth else ("f0" if itself else "Relu")
        domain = "" if target == "Relu" else "here"
        names = ["a", *(f"t{index}" for index in range(count - 1)), "b"]
        nodes = [helper.make_node(target, [names[index]], [names[index + 1]], domain=domain) for index in range(count)]
        functions.append(helper.make_function("here", f"f{level}", ["a"], ["b"], nodes, opsets))
    return whole([helper.make_node("f0", ["x"], ["y"], domain="here")], functions=functions, opset_imports=opsets)


def external(location: str) -> Any:
    def change(model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    return changed(change)


def two_nodes(first: tuple[str, str], second: tuple[str, str]) -> Any:
    return whole([helper.make_node("Relu", [source], [target]) for source, target in (first, second)])


HOSTILE: dict[str, tuple[Callable[[], Any], str]] = {
    "empty": (lambda: b"", "no graph"),
    "text": (lambda: b"no network at all", "not a sound ONNX file"),
    "another format": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(64), "not a sound ONNX file"),
    "zip": (lambda: b"PK\x03\x04" + bytes(100), "not a sound ONNX file"),
    "cycle": (lambda: two_nodes(("y", "t"), ("t", "y")), "nodes that wait for each other"),
    "dangling input": (lambda: two_nodes(("nowhere", "t"), ("t", "y")), "nothing makes: nowhere"),
    "dangling output": (lambda: two_nodes(("x", "t"), ("t", "z")), "nothing makes: y"),
    "made twice": (lambda: two_nodes(("x", "y"), ("x", "y")), "several tensors named y"),
    "weights named twice": (lambda: changed(lambda m: m.graph.initializer.append(m.graph.initializer[0])), "several weights"),
    "no outputs": (lambda: changed(lambda m: m.graph.ClearField("output")), "no outputs"),
    "opset 6": (lambda: changed(lambda m: setattr(m.opset_import[0], "version", 6)), "opset 6; expected 7 to"),
    "opset of the future": (lambda: changed(lambda m: setattr(m.opset_import[0], "version", 999)), "opset 999.*(\n.*)newer onnx"),
    "negative size": (lambda: changed(lambda m: m.graph.initializer[0].dims.__setitem__(0, -4)), "shape"),
    "huge weights": (lambda: changed(lambda m: m.graph.initializer[0].dims.extend([2**40, 2**40])), "at most"),
    "more weights than bytes": (lambda: changed(lambda m: m.graph.initializer[0].dims.append(2)), "bytes for shape"),
    "text weights": (lambda: changed(lambda m: setattr(m.graph.initializer[0], "data_type", 8)), "values of type STRING"),
    "unknown dtype": (lambda: changed(lambda m: setattr(m.graph.initializer[0], "data_type", 77)), "values of type 77"),
    "sparse weights": (lambda: changed(lambda m: m.graph.sparse_initializer.add()), "sparse weights"),
    "huge input": (lambda: whole([helper.make_node("Relu", ["x"], ["y"])], inputs=(1, 2**40, 2**40)), "at most"),
    "huge expand": (
        lambda: whole([helper.make_node("Expand", ["x", "s"], ["y"])], constants={"s": np.array([2**40, 3])}), "at most"
    ),
    "huge constant": (
        lambda: whole(
            [helper.make_node("ConstantOfShape", ["s"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])],
            constants={"s": np.array([2**40, 3])},
        ),
        "at most",
    ),
    "huge range": (
        lambda: whole(
            [
                helper.make_node("Range", ["a", "b", "c"], ["r"]),
                helper.make_node("Cast", ["r"], ["f"], to=FLOAT),
                helper.make_node("ReduceMax", ["f"], ["m"], keepdims=0),
                helper.make_node("Add", ["x", "m"], ["y"]),
            ],
            constants={"a": np.int64(0), "b": np.int64(2**50), "c": np.int64(1)},
        ),
        "at most|cannot be converted",
    ),
    "padded without end": (
        lambda: whole([helper.make_node("Pad", ["x", "p"], ["y"])], constants={"p": np.array([0, 0, 0, 2**45])}), "at most"
    ),
    "shapes that do not fit": (
        lambda: whole([helper.make_node("Add", ["x", "s"], ["y"])], constants={"s": np.zeros((1, 4), np.float32)}), "do not fit each other"
    ),
    "unknown attribute": (lambda: whole([helper.make_node("Relu", ["x"], ["y"], strange=1)]), "strange"),
    "too few inputs": (lambda: whole([helper.make_node("Conv", ["x"], ["y"])]), "not a sound ONNX file"),
    "functions that call themselves": (lambda: calls(2, 3, itself=True), "calls itself|not a sound ONNX file"),
    "functions that multiply": (lambda: calls(10, 20), "nodes; expected at most"),
    "weights in another folder": (lambda: external("../secret"), "weights in '../secret'; expected a file beside"),
    "weights at a path": (lambda: external("/etc/passwd"), "weights in '/etc/passwd'; expected a file beside"),
    "weights that are not there": (lambda: external("missing.data"), "no file .*missing.data"),
    "loop": (
        lambda: whole(
            [
                helper.make_node(
                    "Loop", ["n", "go", "x"], ["y"], name="again",
                    body=helper.make_graph(
                        [
                            helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Relu", ["v"], ["v2"]),
                        ],
                        "body",
                        [
                            helper.make_tensor_value_info("i", INT64, ()), helper.make_tensor_value_info("c", 9, ()),
                            helper.make_tensor_value_info("v", FLOAT, (1, 3)),
                        ],
                        [helper.make_tensor_value_info("c2", 9, ()), helper.make_tensor_value_info("v2", FLOAT, (1, 3))],
                    ),
                )
            ],
            constants={"n": np.int64(2**60), "go": np.bool_(1)},
        ),
        "Loop 'again'",
    ),
}  # fmt: skip


def refused(content: Any, folder: Path) -> ModelError:
    path = folder / "tiny.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    with pytest.raises(ModelError) as caught:
        import_onnx(Request((path,)))
    assert caught.value.exit_code == EXIT_REJECTED
    return caught.value


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_wrong_is_said(name: str, tmp_path: Path) -> None:
    content, message = HOSTILE[name]
    error = refused(content(), tmp_path)
    assert re.search(message, str(error)), str(error)


def test_a_linked_weights_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(bytes(432))
    (tmp_path / "linked.data").symlink_to(tmp_path / "elsewhere")
    assert "no file" in str(refused(external("linked.data"), tmp_path))


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    for path, message in ((tmp_path, "not a file"), (tmp_path / "missing.onnx", "cannot be read")):
        with pytest.raises(ModelError, match=message):
            import_onnx(Request((path,)))
    with pytest.raises(UsageError, match="2 files"):
        import_onnx(Request((tmp_path, tmp_path)))


def test_a_bomb_of_empty_messages_is_refused_before_it_is_parsed() -> None:
    # 7 GraphProto { 1 NodeProto {} ... }: two bytes a node.
    nodes = b"\x0a\x00" * 200_000
    size = len(nodes)
    varint = bytes([(size & 127) | 128, (size >> 7 & 127) | 128, size >> 14])
    with pytest.raises(ModelError, match="more than 100000 fields"):
        check_wire(b"\x3a" + varint + nodes, onnx.ModelProto.DESCRIPTOR, "bomb", most_fields=100_000)


def test_messages_nested_without_end_are_refused() -> None:
    data = b""
    for _ in range(300):
        # GraphProto in AttributeProto (6) in NodeProto (5) in GraphProto (1).
        for tag in (0x32, 0x2A, 0x0A):
            size = len(data)
            data = bytes([tag, (size & 127) | 128, size >> 7]) + data
        if len(data) > 15000:
            break
    head = bytes([0x3A, (len(data) & 127) | 128, len(data) >> 7])
    with pytest.raises(ModelError, match="nested deeper"):
        check_wire(head + data, onnx.ModelProto.DESCRIPTOR, "nested")


def test_a_long_chain_in_the_wrong_order_is_sorted(tmp_path: Path) -> None:
    count = 3000
    names = ["x", *(f"t{index}" for index in range(count - 1)), "y"]
    nodes = [helper.make_node("Neg", [names[index]], [names[index + 1]]) for index in range(count)]
    path = tmp_path / "tiny.onnx"
    path.write_bytes(whole(nodes[::-1]).SerializeToString())
    assert len(import_onnx(Request((path,))).network.nodes) == count


@pytest.mark.parametrize("kept", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_truncated_file_is_refused(kept: float, tmp_path: Path) -> None:
    data = tiny().SerializeToString()
    refused(data[: int(len(data) * kept)], tmp_path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 2000), value=st.integers(0, 255))
def test_a_changed_byte_gives_a_network_or_an_error(place: int, value: int, tmp_path: Path) -> None:
    data = bytearray(tiny().SerializeToString())
    data[place % len(data)] = value
    path = tmp_path / "tiny.onnx"
    path.write_bytes(data)
    try:
        made = import_onnx(Request((path,))).network
    except ModelError:
        return
    assert made.nodes


def test_an_element_type_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    model = tiny()
    model.graph.input[0].type.tensor_type.elem_type = 27
    assert "values of kind 27" in str(refused(model.SerializeToString(), tmp_path))
