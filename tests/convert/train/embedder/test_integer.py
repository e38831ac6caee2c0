"""What is trained with integers is what the interpreter computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convert.network import Network
from convert.quantise.form import IntegerNetwork
from convert.quantise.grids import integer_network
from convert.quantise.prepare import prepared
from convert.targets.tflite.integer import integer_bytes
from convert.train.embedder.faces import Faces
from convert.train.embedder.integer import IntegerTuning, TrainableIntegers, differing_steps
from convert.train.embedder.phase import Phase
from convert.train.embedder.student import network_of, parts_of, student

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
observe = pytest.importorskip("convert.quantise.observe", reason="ONNX Runtime is not installed")
clip = pytest.importorskip("convert.quantise.clip")

PICTURES = np.random.default_rng(2).integers(0, 256, (4, 112, 112, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(2)
    parts = parts_of()
    return network_of(student(parts).eval(), parts, input_name="face", output_name="embedding")


@pytest.fixture(scope="module")
def integer(network: Network) -> IntegerNetwork:
    ready = prepared(network)
    return integer_network(ready, clip.clipped_ranges(observe.observe(ready, PICTURES), "extremes"))


@pytest.fixture(scope="module")
def faces() -> Faces:
    pictures = np.random.default_rng(4).integers(0, 256, (64, 144, 144, 3), dtype=np.uint8)
    return Faces(pictures, tuple(f"P{place}/P{place}_0001.jpg" for place in range(64)))


def test_before_training_the_integers_are_those_it_began_with(integer: IntegerNetwork) -> None:
    trained = TrainableIntegers(integer).trained()
    for name, layer in integer.layers.items():
        assert np.array_equal(trained.layers[name].weights, layer.weights)
        assert np.array_equal(trained.layers[name].bias, layer.bias)


def test_corrected_integers_are_kept_too(integer: IntegerNetwork) -> None:
    """Those that another rule than rounding to the nearest has chosen."""
    import dataclasses

    name, layer = next(iter(integer.layers.items()))
    moved = np.clip(layer.weights + 1, -127, 127).astype(np.int8)
    corrected = dataclasses.replace(layer, weights=moved, bias=layer.bias + 40)
    changed = dataclasses.replace(integer, layers={**integer.layers, name: corrected})
    kept = TrainableIntegers(changed).trained().layers[name]
    assert np.array_equal(kept.weights, moved)
    assert np.array_equal(kept.bias, layer.bias + 40)


@pytest.mark.slow
def test_the_interpreter_computes_what_was_trained(
    tmp_path: Path, network: Network, integer: IntegerNetwork, faces: Faces
) -> None:
    """The teacher is the float network itself: what integers lost can be learnt back."""
    tuning = IntegerTuning(integer, network, faces, Phase("integer", 6, 8, 0.5), seed=1)
    figures = [tuning.step(number) for number in range(6)]
    assert all(np.isfinite(list(step.values())).all() for step in figures)
    trained = tuning.student.trained()
    assert any(
        not np.array_equal(trained.layers[name].weights, layer.weights) for name, layer in integer.layers.items()
    )
    path = tmp_path / "student.tflite"
    path.write_bytes(integer_bytes(trained, description="a test"))
    assert differing_steps(trained, path, PICTURES) == 0


def test_its_state_restores_it(network: Network, integer: IntegerNetwork, faces: Faces) -> None:
    first, second = (IntegerTuning(integer, network, faces, Phase("integer", 6, 4, 0.05), seed=1) for _ in range(2))
    first.step(0)
    second.restore(first.state())
    for name, value in first.student.parameters.items():
        assert torch.equal(value, second.student.parameters[name])
    assert first.step(1)["one_minus_cosine"] == pytest.approx(second.step(1)["one_minus_cosine"])
