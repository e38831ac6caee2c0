"""Every precision of every tiny network, in the runtime that a device would use, against the NumPy reference."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed (pip install 'ostiary[convert]')")

from convert.calibrate import examples_of
from convert.network import Network, Node, Port
from convert.passes.fold import centre_on_a_byte, fold_batch_norms, take_out_normalisation
from convert.targets.base import Options
from convert.targets.tflite import LEGACY, TARGETS, describe_tflite, oldest_runtime_faults, tflite_target
from edge.bundle.manifest import Normalisation, Quantisation
from edge.errors import ModelError, UsageError
from edge.interpreter import TfliteModel
from edge.quant import dequantise, is_identity, pixel_table, quantise
from tests.convert import reference
from tests.convert.networks import CASES, FLATTEN, RELU, conv, network, picture, step
from tests.convert.other_runtimes import RUNTIMES, run_tflite

# TensorFlow and its dependencies warn about themselves.
pytestmark = pytest.mark.filterwarnings("ignore")

PRECISIONS = {
    # name: (greatest difference as part of the output's range, dtype in and out, dtypes of weights)
    "tflite-float32": (1e-5, "float32", {"float32"}),
    "tflite-float16": (2e-3, "float32", {"float16"}),
    "tflite-dynamic": (0.08, "float32", {"int8", "float32"}),
    "tflite-int8": (0.08, "int8", {"int8"}),
    "tflite-uint8": (0.08, "uint8", {"int8"}),
}


def written(name: str, made: Network, folder: Path, **options: Any) -> Path:
    path = folder / f"{name}.tflite"
    assert TARGETS[name](made, path, Options(**options)) == [path]
    return path


def source_order(values: Any) -> Any:
    """NHWC -> NCHW."""
    return values.transpose(0, 3, 1, 2) if values.ndim == 4 else values


def nhwc(values: Any) -> Any:
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1))


def examples(made: Network, count: int = 12) -> dict[str, Any]:
    return {port.name: np.concatenate([picture(made, seed) for seed in range(count)]) for port in made.inputs}


# Those in between share their graph with one of these, or their kernels with the other.
ALL_PRECISIONS = [
    name if name in {"tflite-float32", "tflite-uint8"} else pytest.param(name, marks=pytest.mark.slow)
    for name in PRECISIONS
]


@pytest.mark.parametrize("precision", ALL_PRECISIONS)
@pytest.mark.parametrize("name", CASES)
def test_computes_what_the_source_computes(name: str, precision: str, tmp_path: Path) -> None:
    tolerance, dtype, _ = PRECISIONS[precision]
    made = CASES[name]()
    path = written(precision, made, tmp_path, examples=examples(made))
    model = TfliteModel(path)
    assert model.inputs[0].quantisation.dtype == model.outputs[0].quantisation.dtype == dtype
    image = picture(made)
    found = dequantise(model.run(quantise(nhwc(image), model.inputs[0].quantisation)), model.outputs[0].quantisation)
    expected = reference.run(made, image)
    assert source_order(found).shape == expected.shape
    np.testing.assert_allclose(source_order(found), expected, atol=tolerance * max(1.0, np.ptp(expected)))
    assert oldest_runtime_faults(path.read_bytes()) == []


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_are_what_the_precision_says(precision: str, tmp_path: Path) -> None:
    made = network(conv(64, 3), RELU)
    view = describe_tflite(written(precision, made, tmp_path, examples=examples(made)).read_bytes())
    weights = [tensor for tensor in view.tensors if tensor.shape == (64, 3, 3, 3)]
    assert {tensor.dtype for tensor in weights} & PRECISIONS[precision][2]
    if precision in {"tflite-int8", "tflite-uint8"}:
        assert [len(tensor.scales) for tensor in weights] == [64]
        assert set(view.dtypes) <= {"int8", "int32", "uint8"}
    assert view.description.startswith(f"{precision}: ")


def embedder() -> Network:
    """Shaped like a real one: normalised inside, padded stem, residual, depthwise over the whole picture."""
    made = network(
        ("Sub", [None, np.float32(127.5)], {}),
        ("Div", [None, np.float32(128)], {}),
        conv(8, 3, (5, 5), pads=(2, 2, 2, 2), strides=(4, 4)),
        RELU,
        conv(8, 8, (1, 1)),
        ("Add", [None, "t3"], {}),
        conv(8, 1, (8, 8), group=8),
        conv(16, 8, (1, 1)),
        FLATTEN,
        size=32,
    )
    return centre_on_a_byte(take_out_normalisation(fold_batch_norms(made)))


def faces(count: int, seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


def test_integers_take_pixels_as_they_are_and_stay_close(tmp_path: Path) -> None:
    made = embedder()
    normalisation = Normalisation(mean=made.mean, std=made.std)
    examples = {made.input_name: examples_of(faces(50, 0), normalisation).transpose(0, 3, 1, 2)}
    model = TfliteModel(written("tflite-uint8", made, tmp_path, examples=examples))
    source, result = model.inputs[0].quantisation, model.outputs[0].quantisation
    assert source == Quantisation("uint8", 1 / 128, 128)
    assert result.dtype == "uint8"
    assert is_identity(pixel_table(normalisation, source))
    for face in faces(20, 1):
        found = dequantise(model.run(face[np.newaxis]), result).reshape(-1)
        expected = reference.run(made, (face[np.newaxis].transpose(0, 3, 1, 2) - made.mean) / made.std).reshape(-1)
        cosine = found @ expected / np.linalg.norm(found) / np.linalg.norm(expected)
        assert cosine > 0.99


@pytest.mark.parametrize("name", TARGETS)
def test_the_same_input_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    made = embedder()
    options = {"examples": {"image": faces(10, 0).transpose(0, 3, 1, 2) / 128 - 1}, "default_ranges": (-6.0, 6.0)}
    first, again = (written(name, made, tmp_path, **options).read_bytes() for _ in range(2))
    assert first == again


def several() -> Network:
    """Inputs and outputs whose order is neither that of their names nor that of the nodes."""
    nodes = (
        Node("Add", "node0", ("b/second", "a first:0"), ("inner",), {}),
        Node("Relu", "node1", ("inner",), ("z",), {}),
        Node("Mul", "node2", ("inner", "half"), ("a/out",), {}),
        Node("Flatten", "node3", ("b/second",), ("m",), {"axis": 1}),
    )
    ports = (Port("b/second", (1, 3, 4, 5)), Port("a first:0", (1, 3, 4, 5)))
    return Network(ports, ("z", "m", "a/out"), nodes, {"half": np.float32(0.5)})


@pytest.mark.parametrize("python", RUNTIMES)
@pytest.mark.parametrize("precision", [*PRECISIONS, LEGACY])
def test_names_and_order_are_the_networks(precision: str, python: Path, tmp_path: Path) -> None:
    made = several()
    generator = np.random.default_rng(0)
    values = {port.name: generator.uniform(-1, 1, (8, *port.shape[1:])).astype(np.float32) for port in made.inputs}
    values["a first:0"] *= 3
    statistics = {"mean": 128.0, "std": 42.0, "default_ranges": (-4.0, 4.0)}
    path = written(precision, made, tmp_path, examples=values, **statistics)
    view = describe_tflite(path.read_bytes())
    assert [tensor.name for tensor in view.inputs] == ["b/second", "a first:0"]
    assert [tensor.name for tensor in view.outputs] == ["z", "m", "a/out"]
    assert view.signature == (("b/second", "a first:0"), ("z", "m", "a/out"))
    feeds = {name: value[:1] for name, value in values.items()}
    total = feeds["b/second"] + feeds["a first:0"]
    expected = {"z": np.maximum(total, 0), "m": feeds["b/second"].reshape(1, -1), "a/out": total / 2}
    found = run_tflite(python, path, {name: nhwc(value) for name, value in feeds.items()})
    atol = 1e-5 if precision == "tflite-float32" else 0.1
    for name, value in expected.items():
        np.testing.assert_allclose(source_order(found[name]), value, atol=atol)


@pytest.mark.parametrize("python", RUNTIMES)
@pytest.mark.parametrize("precision", ["tflite-float32", "tflite-uint8"])
@pytest.mark.parametrize("batch", [3, None])
def test_several_pictures_in_one_run(precision: str, batch: int | None, python: Path, tmp_path: Path) -> None:
    made = embedder()
    pictures = (faces(7, 0).transpose(0, 3, 1, 2) / 128 - 1).astype(np.float32)
    path = written(precision, made, tmp_path, batch=batch, examples={"image": pictures})
    view = describe_tflite(path.read_bytes())
    assert view.inputs[0].shape == (batch, 32, 32, 3)
    assert view.outputs[0].shape == (batch, 16)
    found = run_tflite(python, path, {"image": nhwc(pictures[:3])})[made.output_name]
    expected = np.concatenate([reference.run(made, image[np.newaxis]) for image in pictures[:3]])
    atol = 1e-4 if precision == "tflite-float32" else 0.05 * np.ptp(expected)
    np.testing.assert_allclose(found, expected, atol=atol)


def test_prelu_is_one_operator(tmp_path: Path) -> None:
    made = CASES["prelu"]()
    for precision in PRECISIONS:
        path = written(precision, made, tmp_path, examples=examples(made))
        counts = describe_tflite(path.read_bytes()).counts
        assert counts["PRELU"] == counts["CONV_2D"] == 1
        assert not set(counts) & {"NEG", "RELU", "MUL", "ADD"}


@pytest.mark.parametrize(("op", "attributes"), [("Elu", {"alpha": 0.5}), ("Elu", {"alpha": 1.0}), ("Selu", {})])
def test_integers_do_not_cut_an_exponential_at_zero(op: str, attributes: Any, tmp_path: Path) -> None:
    made = network(conv(4, 3), step(op, **attributes))
    path = written("tflite-int8", made, tmp_path, examples=examples(made))
    model = TfliteModel(path)
    image = picture(made)
    found = dequantise(model.run(quantise(nhwc(image), model.inputs[0].quantisation)), model.outputs[0].quantisation)
    below = reference.run(network(conv(4, 3)), image)
    gamma, alpha = (1.0507009873554805, 1.6732632423543772) if op == "Selu" else (1.0, attributes["alpha"])
    expected = gamma * np.where(below > 0, below, alpha * (np.exp(below) - 1))
    assert expected.max() > 0.3
    np.testing.assert_allclose(source_order(found), expected, atol=0.04 * np.ptp(expected))


@pytest.mark.parametrize(("op", "choose"), [("Max", np.maximum), ("Min", np.minimum)])
def test_the_greater_of_two_integers_leaves_both_whole(op: str, choose: Any, tmp_path: Path) -> None:
    made = network(conv(4, 3), conv(4, 4, (1, 1)), (op, [None, "t0"], {}))
    path = written("tflite-uint8", made, tmp_path, examples=examples(made))
    assert not set(describe_tflite(path.read_bytes()).counts) & {"MAXIMUM", "MINIMUM"}
    model, image = TfliteModel(path), picture(made)
    found = dequantise(model.run(quantise(nhwc(image), model.inputs[0].quantisation)), model.outputs[0].quantisation)
    parts = [reference.run(network(*steps), image) for steps in ([conv(4, 3)], [conv(4, 3), conv(4, 4, (1, 1))])]
    expected = choose(*parts)
    np.testing.assert_allclose(source_order(found), expected, atol=0.03 * np.ptp(expected))


def test_erf_is_approximated(tmp_path: Path) -> None:
    made = network(step("Erf"))
    path = written("tflite-float32", made, tmp_path)
    values = np.linspace(-4, 4, 3 * 81, dtype=np.float32).reshape(1, 9, 9, 3)
    expected = np.vectorize(math.erf)(values)
    np.testing.assert_allclose(TfliteModel(path).run(values), expected, atol=1e-6)


@pytest.mark.parametrize("python", RUNTIMES)
def test_a_logarithm_of_integers_runs_in_the_oldest_runtime(python: Path, tmp_path: Path) -> None:
    made = network(step("Add", np.float32(0.5)), step("Log"), conv(4, 3))
    path = written("tflite-uint8", made, tmp_path, examples=examples(made))
    view = describe_tflite(path.read_bytes())
    assert view.operators["LOG", 1] == 1
    assert oldest_runtime_faults(path.read_bytes()) == []
    image = picture(made)
    found = run_tflite(python, path, {"image": nhwc(image)})[made.output_name]
    expected = reference.run(network(conv(4, 3)), np.log(image + 0.5))
    np.testing.assert_allclose(source_order(found), expected, atol=0.05 * np.ptp(expected))


def test_progress_is_told_of_every_example(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    made = network(conv(4, 3))
    target = tflite_target("tflite-uint8", progress=lambda done, total: told.append((done, total)))
    target(made, tmp_path / "a.tflite", Options(batch=2, examples=examples(made, 5)))
    assert [done for done, _ in told][-3:] == [2, 4, 5]
    assert {total for _, total in told} == {5}


IMAGE = (4, 3, 9, 9)


@pytest.mark.parametrize(
    ("given", "kind", "found"),
    [
        ({}, UsageError, "no calibration examples for image"),
        ({"image": np.zeros((0, 3, 9, 9))}, UsageError, "no calibration examples"),
        ({"image": np.zeros((4, 9, 9, 3))}, ModelError, r"examples of shape \(4, 9, 9, 3\)"),
        ({"image": np.zeros((4, 3))}, ModelError, "examples of shape"),
        ({"image": np.full(IMAGE, np.nan)}, ModelError, "not finite"),
    ],
)
def test_examples_that_do_not_fit_are_refused(given: Any, kind: Any, found: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=found):
        written("tflite-uint8", network(conv(4, 3)), tmp_path, examples=given)
    assert not list(tmp_path.iterdir())


def test_inputs_want_as_many_examples_each(tmp_path: Path) -> None:
    given = {"b/second": np.zeros((2, 3, 4, 5)), "a first:0": np.zeros((3, 3, 4, 5))}
    with pytest.raises(ModelError, match="2 for b/second, 3 for a first:0"):
        written("tflite-int8", several(), tmp_path, examples=given)


def test_examples_of_another_size_are_refused(tmp_path: Path) -> None:
    made = embedder()
    with pytest.raises(ModelError, match="examples of shape"):
        written("tflite-uint8", made, tmp_path, examples={made.input_name: np.zeros((3, 3, 16, 16), np.float32)})


def test_an_open_picture_size_is_refused(tmp_path: Path) -> None:
    open_size = Network((Port("image", (1, 3, None, 9)),), ("t0",), (Node("Relu", "a", ("image",), ("t0",)),), {})
    with pytest.raises(ModelError, match=r"input 'image' of shape \[1, 3, None, 9\]"):
        written("tflite-float32", open_size, tmp_path)


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (network(conv(4, 2)), "channels"),
        (network(conv(4, 3), ("Add", [None, np.zeros((5, 1, 1), np.float32)], {})), "cannot be written"),
    ],
)
def test_what_does_not_fit_names_its_node(made: Network, found: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=found) as caught:
        written("tflite-float32", made, tmp_path)
    assert "'node" in str(caught.value)
