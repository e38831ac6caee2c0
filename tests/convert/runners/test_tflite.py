"""TFLite files in this interpreter's runtime: real numbers and NCHW outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.runners.tflite import TfliteRunner, real_values
from edge.bundle import default_bundle_folder
from edge.errors import ModelError
from edge.interpreter import TfliteModel
from edge.quant import dequantise, quantise
from tests.support.data import ROOT, test_data

MODELS = ROOT / "tests" / "support" / "models"
WEIGHTS = np.array([[1.0, -0.5, 0.25, 0.5], [-0.25, 1.0, -0.5, 0.25], [0.5, 0.25, 1.0, -0.75]])
"""Of tests/support/models/make.py: the mean of each channel times these."""


def channels(*levels: float) -> Any:
    """float32 NCHW whose channels have these means, and are not flat."""
    ramp = np.linspace(-0.1, 0.1, 112 * 112, dtype=np.float32).reshape(112, 112)
    return np.stack([level + ramp for level in levels])[np.newaxis].astype(np.float32)


@pytest.mark.parametrize(("name", "tolerance"), [("float32", 1e-5), ("uint8", 0.03), ("int8", 0.03)])
def test_real_numbers_in_and_out_whatever_is_inside(name: str, tolerance: float) -> None:
    runner = TfliteRunner(MODELS / f"{name}.tflite")
    assert [(port.shape, port.dtype) for port in runner.inputs] == [((1, 3, 112, 112), "float32")]
    assert runner.precision == name
    levels = (0.5, -0.25, 0.125)
    found = runner.run({runner.inputs[0].name: channels(*levels)})
    np.testing.assert_allclose(found[runner.outputs[0]], [np.array(levels) @ WEIGHTS], atol=tolerance)


def test_the_same_as_the_device_computes() -> None:
    path = MODELS / "uint8.tflite"
    model, runner = TfliteModel(path), TfliteRunner(path)
    image = channels(0.3, 0.1, -0.7)
    given = quantise(image.transpose(0, 2, 3, 1), model.inputs[0].quantisation)
    expected = dequantise(model.run(given), model.outputs[0].quantisation)
    np.testing.assert_array_equal(runner.run({runner.inputs[0].name: image})[runner.outputs[0]], expected)


def test_several_outputs() -> None:
    runner = TfliteRunner(MODELS / "two-outputs.tflite")
    assert runner.outputs == ("Identity", "Identity_1")
    found = runner.run({runner.inputs[0].name: channels(0.5, 0.2, 0.1)})
    np.testing.assert_allclose(found["Identity"], -found["Identity_1"], atol=1e-6)


@pytest.mark.parametrize("name", ["float32", "uint8"])
def test_inner_tensors_are_real_numbers(name: str) -> None:
    runner = TfliteRunner(MODELS / f"{name}.tflite")
    found = runner.run({runner.inputs[0].name: channels(0.5, -0.25, 0.125)}, runner.tensors)
    assert list(found) == list(runner.tensors)
    pooled = next(value for tensor, value in found.items() if "AvgPool" in tensor)
    np.testing.assert_allclose(pooled.reshape(-1), [0.5, -0.25, 0.125], atol=0.01)


def test_every_layer_of_a_real_network() -> None:
    runner = TfliteRunner(default_bundle_folder() / "embedder.tflite")
    feeds = {runner.inputs[0].name: np.random.default_rng(0).uniform(-1, 1, (1, 3, 112, 112)).astype(np.float32)}
    found = runner.run(feeds, runner.tensors)
    assert len(found) > 50
    assert all(value.dtype == np.float32 and np.isfinite(value).all() for value in found.values())
    # The delegate and the runtime's own kernels round a little differently.
    name = runner.outputs[0]
    plain, inner = runner.run(feeds)[name].reshape(-1), found[name].reshape(-1)
    assert plain @ inner / np.linalg.norm(plain) / np.linalg.norm(inner) > 0.9


def test_the_names_of_a_signature() -> None:
    runner = TfliteRunner(default_bundle_folder() / "embedder.tflite")
    assert set(runner.aliases) == {runner.inputs[0].name, *runner.outputs}
    assert TfliteRunner(MODELS / "float32.tflite").aliases == {}


def test_a_batch_that_the_file_leaves_open() -> None:
    runner = TfliteRunner(test_data("models", "ultralight", "version-RFB-320_without_postprocessing.tflite"))
    assert runner.inputs[0].shape == (None, 3, 240, 320)
    name = runner.inputs[0].name
    for batch in (1, 2, 1):
        found = runner.run({name: np.zeros((batch, 3, 240, 320), np.float32)})
        assert {value.shape for value in found.values()} == {(batch, 4420, 4), (batch, 4420, 2)}


def test_prepared_runs_again_and_again() -> None:
    runner = TfliteRunner(MODELS / "uint8.tflite")
    act = runner.prepared({runner.inputs[0].name: channels(0.5, 0.5, 0.5)})
    act()
    act()


@pytest.mark.parametrize(
    ("feeds", "found"),
    [
        ({"other": channels(0, 0, 0)}, "fed with other; expected picture"),
        ({}, "fed with nothing"),
        ({"picture": np.zeros((1, 3, 56, 56), np.float32)}, "takes no input of this shape"),
        ({"picture": np.zeros((2, 3), np.float32)}, "takes no input of this shape"),
    ],
)
def test_what_does_not_fit_is_told(feeds: dict[str, Any], found: str) -> None:
    with pytest.raises(ModelError, match=found):
        TfliteRunner(MODELS / "float32.tflite").run(feeds)


def test_a_tensor_that_does_not_exist_is_told() -> None:
    runner = TfliteRunner(MODELS / "float32.tflite")
    with pytest.raises(ModelError, match="no tensor nowhere"):
        runner.run({"picture": channels(0, 0, 0)}, ["nowhere"])


def test_one_scale_for_each_channel() -> None:
    detail = {"quantization_parameters": {"scales": np.array([0.5, 2.0]), "zero_points": np.array([1, 0]), "quantized_dimension": 1}}  # fmt: skip
    found = real_values(np.array([[3, 3], [5, 5]], np.int8), detail)
    np.testing.assert_array_equal(found, [[1.0, 6.0], [2.0, 10.0]])


def test_damaged_files_are_refused_and_never_end_the_process(tmp_path: Path) -> None:
    data = (MODELS / "uint8.tflite").read_bytes()
    generator = np.random.default_rng(1)
    refused = 0
    for seed in range(24):
        changed = bytearray(data if seed % 2 else data[: int(generator.uniform(0, 1) * len(data))])
        for _ in range(3 * (seed % 2)):
            changed[8 + int(generator.uniform(0, 1) * (len(changed) - 8))] = int(generator.integers(256))
        (tmp_path / "damaged.tflite").write_bytes(bytes(changed))
        try:
            runner = TfliteRunner(tmp_path / "damaged.tflite")
            runner.run({port.name: np.zeros([size or 1 for size in port.shape], np.float32) for port in runner.inputs})
        except ModelError:
            refused += 1
    assert refused >= 12
