"""The TFLite file of an integer network: its ports, its structure, and what the runtimes make of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'ostiary[torch]')")
pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed (pip install 'ostiary[litert]')")

from convert.importers.base import Request
from convert.importers.mxnet import import_mxnet
from convert.quantise.arithmetic import IntegerSimulator
from convert.quantise.form import IntegerNetwork
from convert.quantise.grids import integer_network
from convert.quantise.prelu import with_accelerated_prelus
from convert.quantise.prepare import prepared
from convert.runners.delegation import delegated_nodes
from convert.targets.tflite import describe_tflite, oldest_runtime_faults
from convert.targets.tflite.integer import integer_bytes
from edge.bundle.manifest import Quantisation
from edge.errors import ModelError
from edge.interpreter import TfliteModel
from edge.quant import dequantise
from tests.convert.networks import FLATTEN, RELU, conv, network
from tests.convert.other_runtimes import RUNTIMES, run_tflite
from tests.convert.quantise.integers import (
    SAME,
    bytes_in,
    embedder,
    float_values,
    integers_of,
    leaky,
    pixels_for,
    ranges_of,
    results,
    written,
)  # fmt: skip
from tests.support.data import test_data

# TensorFlow and its dependencies warn about themselves.
pytestmark = pytest.mark.filterwarnings("ignore")


def embedder_with(floats: frozenset[str] = frozenset()) -> IntegerNetwork:
    made = prepared(bytes_in(embedder()))
    return integer_network(made, ranges_of(made, pixels_for(made, 6, seed=5)), floats=floats)


def test_ports_are_bytes_with_the_networks_names() -> None:
    integer = embedder_with()
    data = integer_bytes(integer, description="tflite-uint8: by test")
    view = describe_tflite(data)
    (given,), (returned,) = view.inputs, view.outputs
    assert (given.name, given.dtype, given.shape) == ("image", "uint8", (1, 16, 16, 3))
    assert (given.scales, given.zero_points) == ((1 / 128,), (128,))
    assert (returned.name, returned.dtype, returned.shape) == (integer.network.output_name, "uint8", (1, 12))
    grid = integer.grids[integer.network.output_name]
    assert (returned.scales, returned.zero_points) == ((grid.scale,), (grid.zero_point + 128,))
    assert view.signature == (("image",), (integer.network.output_name,))
    assert view.description == "tflite-uint8: by test"


def test_no_operator_is_written_that_was_not_asked_for() -> None:
    data = integer_bytes(embedder_with(), description="")
    assert describe_tflite(data).counts == {
        # Both ends; where the stride is 2 the padding is unlike SAME; the dense layer is the last convolution.
        "DEQUANTIZE": 2, "QUANTIZE": 2, "PAD": 2, "CONV_2D": 9, "DEPTHWISE_CONV_2D": 4, "LEAKY_RELU": 4, "ADD": 2,
        "RESHAPE": 1,
    }  # fmt: skip
    assert describe_tflite(data).dtypes["float32"] == 2


def test_weights_have_a_scale_for_each_channel_and_biases_their_product() -> None:
    integer = integers_of("depthwise, two outputs a channel")
    tensors = {tensor.name: tensor for tensor in describe_tflite(integer_bytes(integer, description="")).tensors}
    weights, bias, layer = tensors["t0/weights"], tensors["t0/bias"], integer.layers["t0"]
    assert (weights.dtype, weights.shape, weights.axis) == ("int8", (1, 3, 3, 6), 3)
    np.testing.assert_array_equal(np.float32(weights.scales), layer.scales)
    assert (bias.dtype, bias.shape, set(bias.zero_points)) == ("int32", (6,), {0})
    np.testing.assert_array_equal(np.float32(bias.scales), layer.scales * np.float32(1 / 128))


def test_the_same_network_gives_the_same_bytes() -> None:
    assert integer_bytes(embedder_with(), description="x") == integer_bytes(embedder_with(), description="x")


def test_float32_may_be_returned(tmp_path: Path) -> None:
    integer = embedder_with()
    path = tmp_path / "float.tflite"
    path.write_bytes(integer_bytes(integer, description="", outputs="float32"))
    model = TfliteModel(path)
    assert model.outputs[0].quantisation.dtype == "float32"
    pixels = pixels_for(integer.network, 1, seed=5)
    np.testing.assert_array_equal(model.run(pixels), IntegerSimulator(integer).outputs(pixels))
    assert delegated_nodes(path).complete


@pytest.mark.slow
def test_a_real_embedder_to_the_last_bit(tmp_path: Path) -> None:
    folder = test_data("models", "mobilefacenet-mxnet")
    request = Request((folder / "model-symbol.json", folder / "model-0000.params"), shapes={"": (1, 3, 112, 112)})
    made = prepared(with_accelerated_prelus(import_mxnet(request).network))
    pixels = pixels_for(made, 4, seed=2)
    integer = integer_network(made, ranges_of(made, pixels))
    path = written(integer, tmp_path)
    model = TfliteModel(path)
    found = np.concatenate([dequantise(model.run(each), model.outputs[0].quantisation) for each in np.split(pixels, 4)])
    np.testing.assert_array_equal(np.float32(found), IntegerSimulator(integer).outputs(pixels))
    assert (delegated_nodes(path).complete, delegated_nodes(path).partitions) == (True, 1)


def test_other_outputs_are_refused() -> None:
    with pytest.raises(ModelError, match="outputs of float16"):
        integer_bytes(embedder_with(), description="", outputs="float16")


ISLANDS = {
    "nothing": frozenset[str](),
    "one convolution": frozenset({"t6"}),
    "with its activation": frozenset({"t9"}),
    "named by the layer": frozenset({"t8"}),
    "the sum": frozenset({"t7"}),
    "the first layer": frozenset({"t1"}),
    "the dense layer": frozenset({"t23"}),
    "everything": frozenset(results(prepared(bytes_in(embedder())))),
}


@pytest.mark.parametrize("name", ISLANDS)
def test_float32_islands(name: str, tmp_path: Path) -> None:
    integer = embedder_with(ISLANDS[name])
    pixels = pixels_for(integer.network, 6, seed=5)
    path = written(integer, tmp_path)
    model, output = TfliteModel(path), integer.network.output_name
    found = np.concatenate([dequantise(model.run(each), model.outputs[0].quantisation) for each in np.split(pixels, 6)])
    simulated = IntegerSimulator(integer).outputs(pixels)
    # float32 sums may fall on the other side of a half: rarely, and then by a step.
    step = integer.grids[output].scale
    assert np.abs(found - simulated).max() <= (step * 1.01 if integer.floats else 1e-6)
    expected = float_values(integer.network, pixels)[output]
    assert np.abs(found - expected).max() <= (0.51 * step if name == "everything" else 0.15 * np.ptp(expected))
    assert (delegated_nodes(path).complete, delegated_nodes(path).partitions) == (True, 1)
    assert oldest_runtime_faults(path.read_bytes()) == []
    assert describe_tflite(path.read_bytes()).dtypes["float32"] >= 2 + len(ISLANDS[name])


def test_an_island_is_more_exact_than_integers() -> None:
    expected = float_values(embedder_with().network, pixels_for(embedder(), 6, seed=5))
    output = embedder_with().network.output_name

    def fault(floats: frozenset[str]) -> float:
        integer = embedder_with(floats)
        made = IntegerSimulator(integer).outputs(pixels_for(integer.network, 6, seed=5))
        return float(np.abs(made - expected[output]).mean())

    assert fault(ISLANDS["everything"]) < fault(ISLANDS["nothing"]) / 2


@pytest.mark.parametrize("python", RUNTIMES)
def test_every_promised_runtime_computes_it(python: Path, tmp_path: Path) -> None:
    integer = integers_of("embedder")
    path, pixels = written(integer, tmp_path), pixels_for(integer.network, 1, seed=9)
    real = Quantisation("uint8", 1 / 128, 128)
    found = run_tflite(python, path, {"image": dequantise(pixels, real)})
    simulated = IntegerSimulator(integer).run(pixels)
    for name in integer.network.outputs:
        grid, values = integer.grids[name], found[name]
        values = values.transpose(0, 3, 1, 2) if values.ndim == 4 else values
        steps = np.abs(np.rint(values / grid.scale) + grid.zero_point - simulated[name])
        # Kernels of their own round otherwise; what one layer leaves, the next one widens.
        assert steps.max() <= (1 if name == integer.network.outputs[0] else 16)
        assert steps.mean() < 3


def test_black_and_white_come_through_exactly(tmp_path: Path) -> None:
    made = replace(prepared(bytes_in(network(conv(3, 3, (1, 1))))), mean=7.0, std=50.0)
    integer = integer_network(made, {"t0": (-5.0, 5.0)})
    pixels = np.arange(243, dtype=np.uint8).reshape(1, 9, 9, 3)
    simulated = IntegerSimulator(integer).run(pixels)
    np.testing.assert_array_equal(simulated["image"], (pixels.astype(int) - 128).transpose(0, 3, 1, 2))
    model = TfliteModel(written(integer, tmp_path))
    np.testing.assert_array_equal(model.run(pixels).transpose(0, 3, 1, 2) - 128.0, simulated["t0"])


@pytest.mark.parametrize(
    "pixels", [np.zeros((1, 16, 16, 3), np.int8), np.zeros((16, 16, 3), np.uint8), np.zeros((1, 3, 16, 16), np.uint8)]
)
def test_the_simulation_takes_bytes_of_the_networks_size(pixels: Any) -> None:
    with pytest.raises(ModelError, match=r"expected uint8 \(N, 16, 16, 3\)"):
        IntegerSimulator(embedder_with()).run(pixels)


def test_the_simulation_gives_what_is_asked_for() -> None:
    integer = embedder_with()
    simulator, pixels = IntegerSimulator(integer), pixels_for(integer.network, 3)
    every = simulator.run(pixels)
    assert set(every) == {"image", *results(integer.network)}
    some = simulator.run(pixels, ("t7", "t1"))
    assert set(some) == {"t7", "t1"}
    np.testing.assert_array_equal(some["t7"], every["t7"])
    one = simulator.run(pixels[1:2], ("t7",))["t7"]
    np.testing.assert_array_equal(one, every["t7"][1:2])
    with pytest.raises(ModelError, match="no tensor t0"):
        simulator.run(pixels, ("t0",))


def test_names_that_a_file_needs_are_not_taken_twice(tmp_path: Path) -> None:
    made = prepared(bytes_in(network(conv(4, 3, **SAME), RELU, conv(4, 4, (9, 9)), leaky(0.2), FLATTEN)))
    made = made.with_outputs(("t1", "t4"))
    view = describe_tflite(integer_bytes(integer_network(made, ranges_of(made, pixels_for(made))), description=""))
    names = [tensor.name for tensor in view.tensors]
    assert len(set(names)) == len(names)
    assert view.signature == (("image",), ("t1", "t4"))
