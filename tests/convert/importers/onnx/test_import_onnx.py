"""Inputs, outputs, shapes and everything in a file that is no operator; real detectors, and the folding of their shapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.importers.base import Request
from convert.network import Network, Shape
from edge.errors import ModelError, UsageError
from tests.convert import reference
from tests.convert.networks import CASES, RELU, conv, network, picture
from tests.support.data import needs_test_data, test_data

onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")

from convert.importers.onnx import import_onnx, read_onnx  # noqa: E402  needs onnx
from convert.onnx_model import model_of  # noqa: E402
from convert.passes.tidy import tidy  # noqa: E402
from convert.runners.onnx_runtime import OnnxRuntimeRunner  # noqa: E402
from convert.targets.onnx import to_onnx  # noqa: E402

helper = onnx.helper
FLOAT = onnx.TensorProto.FLOAT


def save(model: Any, folder: Path) -> Path:
    path = folder / "tiny.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return path


def saved(made: Network, folder: Path, *, shape: Shape | None = None) -> Path:
    if shape is not None:
        made = replace(made, inputs=(replace(made.inputs[0], shape=shape),))
    return save(model_of(made), folder)


@pytest.mark.parametrize("name", CASES)
def test_what_is_read_computes_what_was_written(name: str, tmp_path: Path) -> None:
    made = CASES[name]()
    read = tidy(read_onnx(saved(made, tmp_path)))
    image = picture(made)
    assert read.input_shape == made.input_shape
    # ONNX keeps attributes such as epsilon in float32.
    np.testing.assert_allclose(reference.run(read, image), reference.run(made, image), atol=1e-6)


def test_all_unknown_operators_are_named_at_once(tmp_path: Path) -> None:
    made = network(conv(4, 3), ("Sin", [None], {}), RELU, ("Cosh", [None], {}))
    with pytest.raises(ModelError, match=r"2 operator\(s\).* Sin 'node1', Cosh 'node3'"):
        import_onnx(Request((saved(made, tmp_path),)))


def test_an_operator_of_another_domain_is_named_with_it(tmp_path: Path) -> None:
    model = model_of(network(conv(4, 3), RELU))
    model.graph.node[1].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(ModelError, match=r"com\.example\.Relu 'node1'"):
        import_onnx(Request((save(model, tmp_path),)))


@pytest.mark.parametrize("op", ["QuantizeLinear", "DynamicQuantizeLinear"])
def test_a_quantised_network_is_refused(op: str, tmp_path: Path) -> None:
    scale, zero = np.float32(0.1), np.uint8(3)
    inputs = {"QuantizeLinear": ["x", "s", "z"], "DynamicQuantizeLinear": ["x"]}[op]
    outputs = {"QuantizeLinear": ["y"], "DynamicQuantizeLinear": ["y", "ys", "yz"]}[op]
    graph = helper.make_graph(
        [helper.make_node(op, inputs, outputs, name="q")],
        "tiny",
        [helper.make_tensor_value_info("x", FLOAT, (1, 3))],
        [helper.make_tensor_value_info("y", onnx.TensorProto.UINT8, (1, 3))],
        [onnx.numpy_helper.from_array(scale, "s"), onnx.numpy_helper.from_array(zero, "z")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    with pytest.raises(ModelError, match=r"a quantised network: .*float"):
        import_onnx(Request((save(model, tmp_path),)))


def shape_arithmetic() -> Any:
    """As torch exports view(x.size(0), -1, x.size(2) * x.size(3)): Shape, Gather, Mul, Unsqueeze, Concat."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Constant", [], ["two"], value_ints=[2, 3]),
        helper.make_node("Gather", ["s", "two"], ["places"]),
        helper.make_node("ReduceProd", ["places"], ["area"], keepdims=1),
        helper.make_node("Constant", [], ["zero"], value_int=0),
        helper.make_node("Gather", ["s", "zero"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "front"], ["batch1"]),
        helper.make_node("Constant", [], ["rest"], value_ints=[-1]),
        helper.make_node("Concat", ["batch1", "rest", "area"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["r"]),
        helper.make_node("Relu", ["r"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", FLOAT, ("batch", 3, "height", "width"))],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [onnx.numpy_helper.from_array(np.array([0]), "front")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_sizes_given_make_shape_arithmetic_vanish(tmp_path: Path) -> None:
    made = import_onnx(Request((save(shape_arithmetic(), tmp_path),), shapes={"": (None, 3, 4, 5)}))
    assert [node.op for node in made.network.nodes] == ["Reshape", "Relu"]
    assert made.network.inputs[0].shape == (1, 3, 4, 5)
    image = picture(made.network)
    np.testing.assert_array_equal(
        made.reference.run({"x": image})["y"], OnnxRuntimeRunner(made.network).run({"x": image})["y"]
    )
    assert any("fixed as [1, 3, 4, 5]" in note for note in made.notes)


def test_open_sizes_that_matter_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"open sizes of x.*(\n.*)*--shape x=1,3,SIZE,SIZE"):
        import_onnx(Request((save(shape_arithmetic(), tmp_path),)))


def test_open_sizes_that_do_not_matter_stay_open(tmp_path: Path) -> None:
    made = import_onnx(Request((saved(network(conv(4, 3), RELU), tmp_path, shape=(None, 3, None, None)),)))
    assert made.network.inputs[0].shape == (1, 3, None, None)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"other": (1, 3, 9, 9)}, "no input other"),
        ({"image": (1, 3, 8, 8)}, r"shape \[1, 3, 8, 8\]"),
        ({"": (1, 3, 9)}, r"shape \[1, 3, 9\]"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(shapes: dict[str, Shape], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        import_onnx(Request((saved(CASES["residual"](), tmp_path),), shapes=shapes))


def test_a_graph_is_cut_where_it_is_asked_for(tmp_path: Path) -> None:
    made = network(conv(4, 3), RELU, conv(2, 4, (1, 1)), RELU)
    part = import_onnx(Request((saved(made, tmp_path),), inputs=("t1",), outputs=("t2",)))
    assert [str(node) for node in part.network.nodes] == ["Conv 'node2'"]
    assert part.network.inputs[0].shape == (1, 4, 7, 7)
    values = np.random.default_rng(0).random((1, 4, 7, 7), np.float32)
    expected = part.reference.run({"t1": values})
    assert list(expected) == ["t2"]
    np.testing.assert_allclose(OnnxRuntimeRunner(part.network).run({"t1": values})["t2"], expected["t2"], atol=1e-6)


def test_an_inner_output_is_computed_as_in_the_whole(tmp_path: Path) -> None:
    made = network(conv(4, 3), RELU, conv(2, 4, (1, 1)))
    part = import_onnx(Request((saved(made, tmp_path),), outputs=("t2", "t0")))
    image = picture(made)
    whole = OnnxRuntimeRunner(made).run({"image": image}, ["t0", "t2"])
    found = OnnxRuntimeRunner(part.network).run({"image": image})
    assert list(found) == ["t2", "t0"]
    np.testing.assert_allclose(found["t0"], whole["t0"], atol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [((), ("t9",), "no output t9"), (("t9",), (), "no input t9"), (("t1",), ("t3",), "depend on the input image too")],
)
def test_a_cut_that_cannot_be_is_refused(inputs: Any, outputs: Any, message: str, tmp_path: Path) -> None:
    made = network(conv(4, 3), RELU, conv(4, 4, (1, 1)), ("Add", [None, "t0"], {}))
    with pytest.raises(UsageError, match=message):
        import_onnx(Request((saved(made, tmp_path),), inputs=inputs, outputs=outputs))


def test_a_constant_is_bound_to_an_input_and_decides_an_if(tmp_path: Path) -> None:
    def branch(op: str) -> Any:
        return helper.make_graph(
            [helper.make_node(op, ["x"], [f"{op}_out"])],
            op,
            [],
            [helper.make_tensor_value_info(f"{op}_out", FLOAT, None)],
        )

    graph = helper.make_graph(
        [helper.make_node("If", ["train"], ["y"], name="mode", then_branch=branch("Neg"), else_branch=branch("Relu"))],
        "tiny",
        [
            helper.make_tensor_value_info("x", FLOAT, (1, 3)),
            helper.make_tensor_value_info("train", onnx.TensorProto.BOOL, ()),
        ],
        [helper.make_tensor_value_info("y", FLOAT, (1, 3))],
    )
    path = save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path)
    for value, op in ((True, "Neg"), (False, "Relu")):
        made = import_onnx(Request((path,), constants={"train": value}))
        assert [node.op for node in tidy(made.network).nodes] == [op]
        assert [port.name for port in made.reference.inputs] == ["x"]
    with pytest.raises(ModelError, match="If 'mode'"):
        import_onnx(Request((path,)))


def test_local_functions_are_inlined(tmp_path: Path) -> None:
    nodes = [helper.make_node("Sigmoid", ["a"], ["s"]), helper.make_node("Mul", ["a", "s"], ["b"])]
    function = helper.make_function("here", "Silu", ["a"], ["b"], nodes, [helper.make_opsetid("", 18)])
    graph = helper.make_graph(
        [helper.make_node("Silu", ["x"], ["t"], domain="here"), helper.make_node("Silu", ["t"], ["y"], domain="here")],
        "tiny",
        [helper.make_tensor_value_info("x", FLOAT, (1, 3))],
        [helper.make_tensor_value_info("y", FLOAT, (1, 3))],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("here", 1)]
    model = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=8)
    made = import_onnx(Request((save(model, tmp_path),)))
    assert [node.op for node in made.network.nodes] == ["Sigmoid", "Mul"] * 2
    values = np.array([[-1.0, 0.5, 2.0]], np.float32)
    np.testing.assert_allclose(
        OnnxRuntimeRunner(made.network).run({"x": values})["y"], made.reference.run({"x": values})["y"]
    )


def test_half_precision_is_computed_in_float32(tmp_path: Path) -> None:
    half = onnx.TensorProto.FLOAT16
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", half, (1, 3))],
        [helper.make_tensor_value_info("y", half, (1, 3))],
        [onnx.numpy_helper.from_array(np.array([0.1, 2, 3], np.float16), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    made = import_onnx(Request((save(model, tmp_path),)))
    assert made.network.inputs[0].dtype == "float32"
    assert made.network.constants["w"].dtype == np.float32
    assert any("float16" in note for note in made.notes)


def test_licence_and_normalisation_are_read_from_the_metadata(tmp_path: Path) -> None:
    model = to_onnx(replace(CASES["residual"](), mean=127.5, std=128.0))
    model.metadata_props.append(onnx.StringStringEntryProto(key="License", value="Apache-2.0"))
    made = import_onnx(Request((save(model, tmp_path),)))
    assert made.licence == "Apache-2.0"
    assert (made.network.mean, made.network.std) == (127.5, 128.0)


def test_weights_beside_the_file_are_read(tmp_path: Path) -> None:
    made = network(conv(8, 3), RELU)
    path = tmp_path / "tiny.onnx"
    onnx.save(model_of(made), str(path), save_as_external_data=True, location="tiny.data", size_threshold=0)
    read = import_onnx(Request((path,)))
    image = picture(made)
    expected = reference.run(made, image)
    np.testing.assert_allclose(OnnxRuntimeRunner(read.network).run({"image": image})["t1"], expected, atol=1e-5)
    np.testing.assert_allclose(read.reference.run({"image": image})["t1"], expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 3, None, None), (1, 27)])
def test_an_embedder_has_an_input_of_fixed_size(shape: Shape, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="input 'image' of shape"):
        read_onnx(saved(network(RELU), tmp_path, shape=shape))


def test_a_dynamic_batch_becomes_one(tmp_path: Path) -> None:
    assert read_onnx(saved(CASES["residual"](), tmp_path, shape=(None, 3, 9, 9))).input_shape == (1, 3, 9, 9)


REAL = [
    ("yunet/yunet_n_320_320.onnx", {}, 115),
    ("yunet/yunet_n_640_640.onnx", {}, 115),
    ("yunet/yunet_s_320_320.onnx", {}, 106),
    ("yunet/yunet_n_dynamic.onnx", {"input": (1, 3, 160, 224)}, 115),
    ("ultralight/version-RFB-320.onnx", {}, 163),
    ("ultralight/version-slim-320.onnx", {}, 138),
    ("ultralight/version-RFB-320_without_postprocessing.onnx", {}, 145),
]


@needs_test_data
@pytest.mark.parametrize(("name", "shapes", "most_nodes"), REAL)
def test_real_detectors(name: str, shapes: dict[str, Shape], most_nodes: int) -> None:
    made = import_onnx(Request((test_data("models", *name.split("/")),), shapes=shapes))
    small = tidy(made.network)
    assert len(small.nodes) <= most_nodes
    image = picture(small) * (255 if "yunet" in name else 1)
    expected = made.reference.run({"input": image})
    for batch in (1, 2):
        pictures = np.concatenate([image] * batch)
        found = OnnxRuntimeRunner(to_onnx(small, batch).SerializeToString()).run({"input": pictures})
        assert list(found) == list(expected)
        for output, value in expected.items():
            assert np.abs(found[output][-1] - value[0]).max() <= 1e-5 * np.abs(value).max(), output
