"""One operator at a time, over every integer that there is and grids as far apart as the runtime takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'ostiary[torch]')")
pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed (pip install 'ostiary[litert]')")

import torch

from convert.quantise import formulas
from convert.quantise.form import Grid
from convert.runners.delegation import delegated_nodes
from convert.targets.tflite.flatbuffer import packed
from convert.targets.tflite.integer_file import IntegerFile
from edge.interpreter import open_interpreter

# TensorFlow and its dependencies warn about themselves.
pytestmark = pytest.mark.filterwarnings("ignore")

EVERY = np.arange(-128, 128, dtype=np.int8)
SEEDS = range(6)
PLAIN = {"fusedActivationFunction": 0}


def grid(generator: Any, *, beside: float | None = None, ends: tuple[float, float] = (0.1, 10.0)) -> Grid:
    """A random grid; its scale lies between `ends` times that `beside` it."""
    low, high = np.log(ends)
    scale = np.exp(generator.uniform(low, high)) * (0.02 if beside is None else beside)
    return Grid(float(scale), int(generator.integers(-128, 128)))


def of_runtime(
    folder: Path, name: str, options: str, grids: tuple[Grid | None, ...], *inputs: Any, **values: Any
) -> Any:
    """What one operator makes of these arrays, (256,) or (256, 256); grids of the inputs, and last of the result."""
    file = IntegerFile()
    shape = (1, *inputs[0].shape, 1) if inputs[0].ndim == 2 else (1, 16, 16, 1)
    tensors = [file.tensor(f"t{place}", shape, each) for place, each in enumerate(grids)]
    file.graph.inputs, file.graph.outputs = tensors[:-1], tensors[-1:]
    file.operator(name, tensors[:-1], tensors[-1], options, **values)
    file.model.description = b"by test"
    path = folder / "one.tflite"
    path.write_bytes(packed(file.model))
    assert delegated_nodes(path).complete
    _, interpreter = open_interpreter(path, runtime="ai-edge-litert")
    for detail, given in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], given.reshape(shape))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).reshape(inputs[0].shape)


def floats(values: Any) -> Any:
    return torch.from_numpy(values.astype(np.float32))


@pytest.mark.parametrize("seed", SEEDS)
def test_leaky_relu(seed: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(seed)
    result = grid(generator)
    source = grid(generator, beside=result.scale, ends=(2.0**-7.9, 2.0**6.9))
    ratio = source.scale / result.scale
    # As steep and as flat as the runtime's fixed point holds, on either side of 0.
    alpha = float(np.exp(generator.uniform(np.log(2.0**-7.9), np.log(2.0**6.9))) / ratio * generator.choice([-1, 1]))
    found = of_runtime(tmp_path, "LEAKY_RELU", "LeakyReluOptions", (source, result), EVERY, alpha=alpha)
    np.testing.assert_array_equal(formulas.leaky_relu(floats(EVERY), alpha, source, result), found)


@pytest.mark.parametrize("seed", SEEDS)
def test_rescale(seed: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(seed)
    result = grid(generator)
    source = grid(generator, beside=result.scale, ends=(2.0**-7.9, 2.0**6.9))
    found = of_runtime(tmp_path, "QUANTIZE", "", (source, result), EVERY)
    np.testing.assert_array_equal(formulas.rescale(floats(EVERY), source, result), found)


@pytest.mark.parametrize("seed", SEEDS)
def test_to_real_and_back(seed: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(seed)
    source = grid(generator)
    real = of_runtime(tmp_path, "DEQUANTIZE", "", (source, None), EVERY)
    np.testing.assert_array_equal(formulas.to_real(floats(EVERY), source), real)
    result = grid(generator, beside=source.scale)
    values = (generator.normal(0, 100, 256) * result.scale).astype(np.float32)
    found = of_runtime(tmp_path, "QUANTIZE", "", (None, result), values)
    np.testing.assert_array_equal(formulas.to_integer(floats(values), result), found)


Combine = Callable[[Any, Any], Any]
COMBINED: dict[str, tuple[str, tuple[float, float], Combine]] = {
    "ADD": ("AddOptions", (2.0**-9.9, 2.0**7.9), formulas.add),
    "SUB": ("SubOptions", (2.0**-9.9, 2.0**7.9), lambda pair, grids: formulas.add(pair, grids, sign=-1)),
    "MUL": ("MulOptions", (0.1, 10.0), formulas.multiply),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", COMBINED)
def test_two_tensors(name: str, seed: int, tmp_path: Path) -> None:
    options, ends, combine = COMBINED[name]
    generator = np.random.default_rng(seed)
    result = grid(generator)
    first, second = (grid(generator, beside=result.scale, ends=ends) for _ in range(2))
    if name == "MUL":
        result = grid(generator, beside=first.scale * second.scale, ends=(2.0**-7.9, 2.0**15.9))
    one, other = (np.ascontiguousarray(each) for each in np.meshgrid(EVERY, EVERY))
    grids = first, second, result
    found = of_runtime(tmp_path, name, options, grids, one, other, **PLAIN)
    np.testing.assert_array_equal(combine((floats(one), floats(other)), grids), found)


def test_ties_of_a_layer_go_to_the_even_step() -> None:
    sums = torch.tensor([1.0, 3.0, 5.0, -1.0, -3.0, 1000.0, -1000.0])
    made = formulas.requantise(sums, torch.tensor(0.5), 3)
    assert made.tolist() == [3, 5, 5, 3, 1, 127, -128]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [(None, (-128, 127)), ((0.0, np.inf), (-100, 127)), ((0.0, 6.0), (-100, 20))],
    ids=["none", "relu", "relu6"],
)
def test_limits_of_a_fused_activation(ends: Any, expected: tuple[int, int]) -> None:
    assert formulas.activated(Grid(0.05, -100), ends) == expected


FORMULAS: dict[str, Callable[[Any, Any], Any]] = {
    "requantise": lambda values, step: formulas.requantise(values * 7, torch.tensor(0.13), 5, step=step),
    "add": lambda values, step: formulas.add(
        (values, values + 1), (Grid(0.1, 3), Grid(0.2, -4), Grid(0.4, 9)), step=step
    ),
    "multiply": lambda values, step: formulas.multiply(
        (values, values), (Grid(0.1, 3), Grid(0.1, -4), Grid(1.0, 9)), step=step
    ),
    "leaky relu": lambda values, step: formulas.leaky_relu(values, 0.3, Grid(0.1, 7), Grid(0.15, -20), step=step),
    "to integer": lambda values, step: formulas.to_integer(values, Grid(1.7, 9), step=step),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_training_computes_the_same_and_passes_gradients(name: str) -> None:
    values = torch.arange(-90.0, 90.0, 2.0, requires_grad=True)
    trained = FORMULAS[name](values, formulas.straight_through)
    assert torch.equal(trained, FORMULAS[name](values, formulas.plain))
    (gradient,) = torch.autograd.grad(trained.sum(), values)
    # The mean slope over many steps is that of the arithmetic without rounding.
    inside = (trained.detach() > -128) & (trained.detach() < 127)
    places = torch.nonzero(inside & inside.roll(1) & inside.roll(-1)).flatten()[1:-1]
    slopes = (trained[places + 1] - trained[places - 1]).detach() / 4
    assert len(places) > 20
    np.testing.assert_allclose(gradient[places].mean(), slopes.mean(), atol=0.05)
    assert not gradient[~inside].any()
