"""Weights rounded with error feedback, and biases that are corrected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convert.quantise.clip import clipped_ranges
from convert.quantise.correct import channel_means, correctable, corrected
from convert.quantise.form import IntegerNetwork
from convert.quantise.grids import integer_network
from convert.quantise.observe import observe
from convert.quantise.prelu import with_accelerated_prelus
from convert.quantise.prepare import prepared
from convert.quantise.rounding import rounded_with_feedback, with_error_feedback
from convert.quantise.running import run_integer
from tests.convert.networks import RELU, conv, network
from tests.convert.quantise.integers import SAME, bytes_in
from tests.convert.quantise.prelus import pictures, prelu_embedder

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")


def _correlated(channels: int, count: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """(C, S) inputs that go together, as neighbouring channels of a network do."""
    generator = np.random.default_rng(seed)
    mixing = generator.normal(0, 1, (channels, channels // 4))
    return mixing @ generator.normal(0, 1, (channels // 4, count)) + 0.1 * generator.normal(0, 1, (channels, count))


@pytest.mark.parametrize("steps", [3, 15, 127])
def test_feedback_errs_less_on_inputs_that_go_together(steps: int) -> None:
    generator = np.random.default_rng(1)
    weights, inputs = generator.normal(0, 1, (16, 32)), _correlated(32, 500)
    scales = np.abs(weights).max(axis=1) / steps
    nearest = np.clip(np.rint(weights / scales[:, np.newaxis]), -127, 127)
    found = rounded_with_feedback(weights, scales, inputs)
    unseen = _correlated(32, 500, seed=0)[:, 250:]
    error, plain = (np.mean(np.square((each * scales[:, np.newaxis] - weights) @ unseen)) for each in (found, nearest))
    assert error < 0.5 * plain
    assert np.array_equal(found, np.rint(found))
    assert np.abs(found).max() <= 127


def test_inputs_that_have_nothing_in_common_are_rounded_to_the_nearest() -> None:
    weights, scales = np.random.default_rng(2).normal(0, 1, (4, 8)), np.full(4, 0.05)
    found = rounded_with_feedback(weights, scales, np.eye(8) * 3)
    np.testing.assert_array_equal(found, np.rint(weights / scales[:, np.newaxis]))


def test_inputs_that_are_always_zero_do_no_harm() -> None:
    weights, scales = np.random.default_rng(3).normal(0, 1, (4, 8)), np.full(4, 0.05)
    found = rounded_with_feedback(weights, scales, np.zeros((8, 10)))
    np.testing.assert_array_equal(found, np.rint(weights / scales[:, np.newaxis]))


def _integers() -> tuple[IntegerNetwork, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    made = prepared(with_accelerated_prelus(prelu_embedder()))
    shown = pictures(made, 8)
    return integer_network(made, clipped_ranges(observe(made, shown), "extremes")), shown


def test_dense_layers_alone_get_other_integers() -> None:
    integer, shown = _integers()
    found = with_error_feedback(integer, observe(integer.network, shown))
    changed = {
        name for name, layer in found.layers.items() if not np.array_equal(layer.weights, integer.layers[name].weights)
    }
    dense = {
        node.output
        for node in integer.network.nodes
        if node.op == "Gemm" or (node.op == "Conv" and integer.layers[node.output].weights.shape[1:] in {(8, 1, 1), (16, 1, 1)})
    }  # fmt: skip
    assert changed == dense
    for name, layer in found.layers.items():
        np.testing.assert_array_equal(layer.scales, integer.layers[name].scales)
        assert np.abs(layer.weights.astype(int) - integer.layers[name].weights).max() <= 20


def test_biases_that_are_wrong_are_put_right() -> None:
    made = prepared(bytes_in(network(conv(6, 3, **SAME), RELU, conv(5, 6, **SAME), conv(4, 5, **SAME), size=8)))
    shown = pictures(made, 6)
    integer = integer_network(made, clipped_ranges(observe(made, shown), "extremes"))
    spoilt = replace(
        integer,
        layers={
            name: replace(layer, bias=layer.bias + 3000) if name == "t2" else layer
            for name, layer in integer.layers.items()
        },
    )
    means = channel_means(spoilt, shown)
    assert correctable(spoilt) == ("t2", "t3")
    # The bias of the first layer stays: its sum is not seen behind a ReLU.
    errors = []
    for each in (spoilt, corrected(spoilt, shown, means)):
        found = run_integer(each, shown, ("t2", "t3"))
        np.testing.assert_array_equal(each.layers["t0"].bias, integer.layers["t0"].bias)
        errors.append([np.abs(found[name].mean((0, 1, 2)) - means[name]).max() for name in ("t2", "t3")])
    steps = [integer.grids[name].scale for name in ("t2", "t3")]
    assert min(np.array(errors[0]) / steps) > 2
    assert max(np.array(errors[1]) / steps) < 0.3


def test_tensors_of_the_file_are_near_the_float_network() -> None:
    integer, shown = _integers()
    names = [name for name in integer.network.tensors() if name in integer.grids][:2]
    found = run_integer(integer, shown[:2], names)
    expected = observe(integer.network, shown[:2])
    for name, values in found.items():
        error = np.abs(values.max((0, 1, 2)) - expected[name].high).max()
        assert error < 2 * integer.grids[name].scale
