"""Every operator of the dialect in every opset that has it, and the forms that only one opset has.

The independent side is ONNX Runtime, which runs the original file as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.importers.base import Request
from convert.network import OPERATORS
from tests.convert.networks import CASES, NEW_CASES, picture

onnx = pytest.importorskip("onnx", reason="onnx is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")

from convert.importers.onnx import import_onnx  # noqa: E402  needs onnx
from convert.onnx_model import model_of  # noqa: E402
from convert.runners.onnx_runtime import OnnxRuntimeRunner  # noqa: E402
from tests.convert.importers.onnx.older import at_opset  # noqa: E402

ALL = {**CASES, **NEW_CASES}
NEWEST_PROVED = min(onnx.defs.onnx_opset_version(), 23)
"""ONNX Runtime is some opsets behind onnx."""
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
helper = onnx.helper
Build = Callable[[], Any]


def assert_same(model: Any, folder: Path, *, tolerance: float = 1e-5) -> list[str]:
    """Import, run both, compare; the operators of what was imported."""
    path = folder / "tiny.onnx"
    path.write_bytes(model.SerializeToString())
    imported = import_onnx(Request((path,)))
    random = np.random.default_rng(0)
    feeds = {
        port.name: random.normal(0, 1, [size or 1 for size in port.shape]).astype(port.dtype)
        for port in imported.network.inputs
    }
    expected = imported.reference.run(feeds)
    found = OnnxRuntimeRunner(imported.network).run(feeds)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].shape == value.shape
        assert np.abs(found[name] - value).max(initial=0) <= tolerance * max(1.0, np.abs(value).max(initial=0))
    ops = [node.op for node in imported.network.nodes]
    assert set(ops) <= OPERATORS
    return ops


def test_the_cases_hold_every_operator_of_the_dialect() -> None:
    assert {node.op for made in ALL.values() for node in made().nodes} == OPERATORS


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("opset", [7, 9, 11, 12, 13, 15, 18, NEWEST_PROVED])
def test_what_is_imported_computes_what_the_file_computes(name: str, opset: int, tmp_path: Path) -> None:
    model = at_opset(model_of(ALL[name]()), opset)
    if model is None:
        pytest.skip(f"opset {opset} has no such form")
    assert_same(model, tmp_path)


def test_few_cases_have_no_older_form() -> None:
    missing = [name for name, made in ALL.items() if at_opset(model_of(made()), 7) is None]
    assert len(missing) <= 18, missing


def test_onnx_itself_means_the_same(tmp_path: Path) -> None:
    """A third opinion, where onnx.reference is right: its LRN and its BatchNormalization before opset 14 are not."""
    from onnx.reference import ReferenceEvaluator

    for name, made in ALL.items():
        network = made()
        if {node.op for node in network.nodes} & {"LRN", "BatchNormalization"}:
            continue
        image = picture(network)
        with np.errstate(all="ignore"):
            expected = ReferenceEvaluator(model_of(network)).run(None, {"image": image})[0]
        found = OnnxRuntimeRunner(network).run({"image": image})[network.output_name]
        assert np.abs(found - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max()), name


def build(
    opset: int, nodes: list[Any], *, shape: tuple[Any, ...] = (1, 4, 6, 6), constants: dict[str, Any] | None = None
) -> Any:
    """x -> y."""
    values = {name: np.asarray(value) for name, value in (constants or {}).items()}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8 if opset < 22 else 10)


def one(opset: int, op: str, *constants: Any, shape: tuple[Any, ...] = (1, 4, 6, 6), **attributes: Any) -> Build:
    """One node of x and constants; None is left out."""
    names = ["" if value is None else f"c{index}" for index, value in enumerate(constants)]
    given = {name: value for name, value in zip(names, constants, strict=True) if name}
    return lambda: build(
        opset, [helper.make_node(op, ["x", *names], ["y"], **attributes)], shape=shape, constants=given
    )


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


def floats(*values: float) -> Any:
    return np.array(values, np.float32)


FORMS: dict[str, tuple[Build, list[str]]] = {
    # attributes that became inputs
    "clip 6": (one(7, "Clip", min=-0.5, max=0.5), ["Clip"]),
    "clip 6, nothing given": (one(7, "Clip"), ["Identity"]),
    "clip 11, one end": (one(11, "Clip", None, np.float32(0.5)), ["Clip"]),
    "clip 13, computed": (
        lambda: build(
            13,
            [
                helper.make_node("ReduceMin", ["x"], ["low"], keepdims=0),
                helper.make_node("ReduceMean", ["x"], ["high"], keepdims=0),
                helper.make_node("Clip", ["x", "low", "high"], ["y"]),
            ],
        ),
        ["ReduceMin", "ReduceMean", "Max", "Min"],
    ),
    "a constant cast like a tensor": (
        lambda: build(
            15,
            [helper.make_node("CastLike", ["c", "x"], ["f"]), helper.make_node("Add", ["x", "f"], ["y"])],
            constants={"c": ints(3)},
        ),
        ["Add"],
    ),
    "pad 2": (one(7, "Pad", pads=[0, 0, 1, 2, 0, 0, 3, 0], value=0.5), ["Pad"]),
    "pad 18, some axes": (one(18, "Pad", ints(1, 2, 3, 0), np.float32(0), ints(2, -1)), ["Pad"]),
    "slice 1": (one(7, "Slice", starts=[1, 0], ends=[3, 1000], axes=[1, 2]), ["Slice"]),
    "slice 10, backwards": (one(10, "Slice", ints(-1), ints(-1000), ints(3), ints(-1)), ["Slice"]),
    "squeeze 1, axes not named": (one(7, "Squeeze", shape=(1, 4, 1, 3)), ["Squeeze"]),
    "unsqueeze 1": (one(7, "Unsqueeze", axes=[0, 5]), ["Unsqueeze"]),
    "unsqueeze 13, from the end": (one(13, "Unsqueeze", ints(-1)), ["Unsqueeze"]),
    "sum 18": (one(18, "ReduceSum", ints(-1), keepdims=0), ["ReduceSum"]),
    "mean 18": (one(18, "ReduceMean", ints(2, 3)), ["ReduceMean"]),
    "mean 18 of everything": (one(18, "ReduceMean", keepdims=0), ["ReduceMean"]),
    "mean 18 of nothing": (one(18, "ReduceMean", noop_with_empty_axes=1), ["Identity"]),
    "max 11": (one(11, "ReduceMax", axes=[-1]), ["ReduceMax"]),
    "argmin": (lambda: build(11, [helper.make_node("ArgMin", ["x"], ["i"], axis=1), helper.make_node("Cast", ["i"], ["y"], to=1)]), ["Neg", "ArgMax", "Cast"]),
    "reshape 14": (one(14, "Reshape", ints(0, -1), allowzero=0), ["Reshape"]),
    # resizing
    "upsample 7": (one(7, "Upsample", scales=[1.0, 1.0, 2.0, 2.0], mode="nearest"), ["Resize"]),
    "upsample 9, linear": (one(9, "Upsample", floats(1, 1, 2, 2), mode="linear"), ["Resize"]),
    "resize 10": (one(10, "Resize", floats(1, 1, 1.5, 1.5), mode="nearest"), ["Resize"]),
    "resize 11, empty roi": (
        one(11, "Resize", floats(), floats(1, 1, 2, 2), mode="linear", coordinate_transformation_mode="half_pixel"), ["Resize"]
    ),
    "resize 13, cubic": (one(13, "Resize", None, floats(1, 1, 2, 2), mode="cubic"), ["Resize"]),
    "resize 18, some axes": (
        one(18, "Resize", None, None, ints(9, 3), mode="linear", axes=[2, 3]), ["Resize"]
    ),
    "resize 18, antialias upwards": (
        one(18, "Resize", None, floats(1, 1, 2, 2), mode="linear", antialias=1), ["Resize"]
    ),
    "resize 19, symmetric": (
        one(19, "Resize", None, floats(1, 1, 2, 2), mode="linear", coordinate_transformation_mode="half_pixel_symmetric"), ["Resize"]
    ),
    # meanings that changed
    "softmax 1, all places": (one(11, "Softmax", axis=1), ["Flatten", "Softmax", "Reshape"]),
    "softmax 1, no axis given": (one(7, "Softmax", shape=(2, 5)), ["Softmax"]),
    "softmax 13, no axis given": (one(13, "Softmax"), ["Softmax"]),
    "log softmax 11": (one(11, "LogSoftmax", axis=2), ["Flatten", "Softmax", "Reshape", "Log"]),
    "batch norm of every place": (
        one(7, "BatchNormalization", *(np.random.default_rng(seed).random((4, 6, 6), np.float32) + 0.5 for seed in range(4)), spatial=0),
        ["Mul", "Add"],
    ),
    "batch norm 15": (one(15, "BatchNormalization", *(floats(1, 2, 3, 4) for _ in range(4)), training_mode=0), ["BatchNormalization"]),
    "dropout 7": (one(7, "Dropout", ratio=0.5), ["Identity"]),
    "dropout 12": (one(12, "Dropout", np.float32(0.5), np.bool_(0)), ["Identity"]),
    "cast to half and back": (
        lambda: build(13, [helper.make_node("Cast", ["x"], ["h"], to=1), helper.make_node("Relu", ["h"], ["y"])]), ["Cast", "Relu"]
    ),
    "flatten from the end": (one(11, "Flatten", axis=-1), ["Flatten"]),
    "gemm 11 without bias": (one(11, "Gemm", np.ones((5, 3), np.float32), shape=(2, 5)), ["Gemm"]),
    # several inputs
    "sum of three": (one(8, "Sum", floats(1), floats(2)), ["Add", "Add"]),
    "sum of one": (one(8, "Sum"), ["Identity"]),
    "max of three": (one(8, "Max", floats(-0.5), floats(0.1)), ["Max", "Max"]),
    "mean of two": (one(8, "Mean", floats(3)), ["Add", "Div"]),
    # not in the dialect
    "hard swish": (one(14, "HardSwish"), ["HardSigmoid", "Mul"]),
    "mish": (one(18, "Mish"), ["Softplus", "Tanh", "Mul"]),
    "gelu": (one(20, "Gelu"), ["Mul", "Erf", "Add", "Mul", "Mul"]),
    "gelu by tanh": (one(20, "Gelu", approximate="tanh"), ["Mul"] * 3 + ["Add", "Mul", "Tanh", "Add", "Mul", "Mul"]),
    "softsign": (one(7, "Softsign"), ["Abs", "Add", "Div"]),
    "thresholded relu": (one(10, "ThresholdedRelu", alpha=0.3), ["Greater", "Where"]),
    "celu": (one(12, "Celu", alpha=2.0), ["Div", "Elu", "Mul"]),
    "sign": (one(9, "Sign"), ["Less", "Where", "Greater", "Where"]),
    "sum of sizes": (one(11, "ReduceL1", axes=[1]), ["Abs", "ReduceSum"]),
    "sum of squares": (one(18, "ReduceSumSquare", ints(1)), ["Mul", "ReduceSum"]),
    "log of sum of exp": (one(13, "ReduceLogSumExp", axes=[1], keepdims=0), ["ReduceMax", "Sub", "Exp", "ReduceSum", "Log", "ReduceMax", "Add"]),
    "layer norm": (
        one(17, "LayerNormalization", floats(1, 2, 3, 4, 5, 6), floats(0, 1, 0, 1, 0, 1), axis=-1),
        ["ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Div", "Mul", "Add"],
    ),
    "group norm 21": (
        one(21, "GroupNormalization", floats(1, 2, 3, 4), floats(0, 1, 0, 1), num_groups=2),
        ["Reshape", "InstanceNormalization", "Reshape", "Mul", "Add"],
    ),
}  # fmt: skip
"""The model, and the operators that it becomes."""


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_one_opset(name: str, tmp_path: Path) -> None:
    made, ops = FORMS[name]
    assert assert_same(made(), tmp_path) == ops


def test_split_of_unequal_parts(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2),
        helper.make_node("Concat", ["b", "a"], ["y"], axis=1),
    ]
    assert assert_same(build(18, nodes, shape=(1, 5, 2, 2)), tmp_path) == ["Split", "Concat"]


@pytest.mark.parametrize(
    ("nodes", "named"),
    [
        ([("MaxPool", ["x"], ["y", "places"], {"kernel_shape": [2, 2]}), ("Cast", ["places"], ["z"], {"to": FLOAT})], "output places is read"),
        ([("Pad", ["x", "pads"], ["y"], {"mode": "wrap"})], "mode wrap"),
        ([("Resize", ["x", "", "down"], ["y"], {"antialias": 1, "mode": "linear"})], "antialias"),
        ([("ReduceProd", ["x"], ["y"], {})], "ReduceProd"),
        ([("Reshape", ["x", "shape"], ["y"], {"allowzero": 1})], "allowzero"),
        ([("AveragePool", ["x"], ["y"], {"kernel_shape": [2, 2], "dilations": [2, 2]})], "dilations"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_with_its_reason(nodes: list[Any], named: str, tmp_path: Path) -> None:
    made = [
        helper.make_node(op, inputs, outputs, name=f"n{index}", **about)
        for index, (op, inputs, outputs, about) in enumerate(nodes)
    ]
    constants = {"pads": ints(0, 0, 1, 1, 0, 0, 1, 1), "down": floats(1, 1, 0.5, 0.5), "shape": ints(1, 0)}
    model = build(19, made, constants=constants)
    if any("z" in node.output for node in made):
        model.graph.output.append(helper.make_tensor_value_info("z", FLOAT, None))
    path = tmp_path / "tiny.onnx"
    path.write_bytes(model.SerializeToString())
    from edge.errors import ModelError

    with pytest.raises(ModelError, match=named) as caught:
        import_onnx(Request((path,)))
    assert "operator(s) that cannot be converted" in str(caught.value)
