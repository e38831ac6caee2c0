"""From ranges to grids, from weights to integers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from convert.network import Network
from convert.quantise.form import Grid, Layer, fused
from convert.quantise.grids import bias_scales, grid_of, input_grid, integer_network, quantised_layer
from edge.errors import ModelError
from tests.convert.networks import FLATTEN, RELU, conv, network, number, step

pytest.importorskip("onnx", reason="ONNX is not installed (pip install 'ostiary[convert]')")

from convert.quantise.prepare import prepared
from tests.convert.quantise.integers import CLIP, SAME, bytes_in, leaky, results


def made_of(*steps: Any, **options: Any) -> Network:
    return prepared(bytes_in(network(*steps, **options)))


def ranged(made: Network, **own: tuple[float, float]) -> dict[str, tuple[float, float]]:
    return {name: own.get(name, (-1.0, 3.0)) for name in results(made)}


@pytest.mark.parametrize(
    ("low", "high", "zero_point"),
    [
        (-1.0, 1.0, 0),
        (0.0, 6.0, -128),
        (2.0, 5.0, -128),
        (-5.0, -2.0, 127),
        (-1.0, 3.0, -64),
        (0.0, 0.0, -128),
        (-1e-9, 1e9, -128),
    ],
)
def test_a_grid_spans_its_range_and_holds_zero(low: float, high: float, zero_point: int) -> None:
    made = grid_of(low, high)
    assert made.zero_point == zero_point
    assert made.low - made.scale <= min(low, 0) <= made.low + made.scale
    assert high <= made.high + made.scale / 2
    assert made.scale == np.float32(made.scale)


@pytest.mark.parametrize(("low", "high"), [(-np.inf, 1.0), (0.0, np.nan), (-1e308, 1e308)])
def test_a_range_that_is_none_is_refused(low: float, high: float) -> None:
    with pytest.raises(ModelError):
        grid_of(low, high)


@pytest.mark.parametrize(
    ("scale", "zero_point"), [(0.0, 0), (-1.0, 0), (np.nan, 0), (1e-60, 0), (1.0, 128), (1.0, -129)]
)
def test_a_grid_that_cannot_be_is_refused(scale: float, zero_point: int) -> None:
    with pytest.raises(ModelError, match="expected a positive scale"):
        Grid(scale, zero_point)


def test_a_byte_of_the_picture_is_a_step_of_the_input() -> None:
    made = replace(network(conv(4, 3)), mean=128.0, std=64.0)
    assert input_grid(made) == Grid(1 / 64, 0)
    assert input_grid(replace(made, mean=0.0, std=255.0)) == Grid(1 / 255, -128)
    for mean in (127.5, -1.0, 256.0):
        with pytest.raises(ModelError, match="expected a whole pixel value"):
            input_grid(replace(made, mean=mean))


def test_half_a_grey_level_is_moved_into_the_first_layer() -> None:
    made = prepared(replace(network(conv(4, 3)), mean=127.5, std=128.0))
    assert made.mean == 128
    assert integer_network(made, ranged(made)).grids["image"] == Grid(1 / 128, 0)


def test_a_fused_activation_has_one_grid_and_no_room_below_zero() -> None:
    made = made_of(conv(4, 3), RELU, conv(4, 4, (1, 1)), CLIP)
    integer = integer_network(made, ranged(made, t1=(-2.0, 3.0), t3=(-1.0, 9.0)))
    assert set(integer.grids) == {"image", "t1", "t3"}
    assert integer.grids["t1"] == grid_of(0.0, 3.0)
    assert integer.grids["t3"] == grid_of(0.0, 6.0)


def test_what_takes_values_as_they_are_shares_their_grid() -> None:
    pool = step("MaxPool", kernel_shape=(2, 2), strides=(2, 2))
    made = made_of(conv(4, 3), pool, FLATTEN)
    grids = integer_network(made, ranged(made, t0=(-1.0, 2.0), t1=(-0.5, 2.5), t2=(-0.5, 2.5))).grids
    assert grids["t0"] == grids["t1"] == grids["t2"] == grid_of(-1.0, 2.5)


def test_what_is_put_together_lies_on_one_grid() -> None:
    made = made_of(conv(4, 3), RELU, conv(2, 4, **SAME), ("Concat", [None, "t1"], {"axis": 1}))
    grids = integer_network(made, ranged(made, t1=(0.0, 5.0), t2=(-2.0, 1.0))).grids
    assert grids["t1"] == grids["t2"] == grids["t3"] == grid_of(-2.0, 5.0)


def test_what_lies_on_the_inputs_grid_needs_no_range() -> None:
    made = made_of(step("MaxPool", kernel_shape=(2, 2), strides=(2, 2)), conv(4, 3))
    grids = integer_network(made, {"t1": (-1.0, 1.0)}).grids
    assert grids["t0"] == grids["image"] == Grid(1 / 128, 0)


def test_a_sum_is_never_too_fine_for_what_is_added() -> None:
    made = made_of(conv(4, 3, **SAME), conv(4, 4, **SAME), ("Add", [None, "t0"], {}))
    for own in ({"t1": (0.0, 1e-6)}, {"t2": (-1e-6, 0.0)}, {"t0": (0.0, 0.0)}):
        grids = integer_network(made, ranged(made, **own)).grids
        for name in ("t0", "t1"):
            assert 2**-10 <= grids[name].scale / grids["t2"].scale < 2**8


def test_all_missing_ranges_are_named() -> None:
    made = made_of(conv(4, 3), RELU, conv(4, 4))
    with pytest.raises(ModelError, match=r"no range of t1, t2"):
        integer_network(made, {})


@pytest.mark.parametrize("span", [(1.0, -1.0), (np.nan, 1.0), (0.0, np.inf)])
def test_a_wrong_range_is_named(span: tuple[float, float]) -> None:
    made = made_of(conv(4, 3))
    with pytest.raises(ModelError, match="t0: a range from"):
        integer_network(made, {"t0": span})


@pytest.mark.parametrize(
    "options", [{"floats": frozenset({"nothing"})}, {"weight_clip": {"nothing": np.ones(4, np.float32)}}]
)
def test_a_tensor_that_is_not_there_is_named(options: dict[str, Any]) -> None:
    made = made_of(conv(4, 3))
    with pytest.raises(ModelError, match="no tensor nothing"):
        integer_network(made, ranged(made), **options)


def test_a_slope_next_to_zero_is_refused() -> None:
    made = made_of(conv(4, 3), leaky(1e-4))
    with pytest.raises(ModelError, match="scales too far apart: LeakyRelu 'node1'"):
        integer_network(made, ranged(made))


def test_weights_are_symmetric_with_a_scale_for_each_channel() -> None:
    weights = np.random.default_rng(0).normal(0, [[0.1], [10.0]], (2, 50)).astype(np.float32)
    layer = quantised_layer(weights, np.array([1.0, -2.0]), (Grid(0.1, 5), Grid(0.2, 0)))
    assert np.abs(layer.weights.astype(int)).max(axis=1).tolist() == [127, 127]
    np.testing.assert_allclose(layer.real_weights, weights, atol=float(layer.scales.max()) / 2)
    np.testing.assert_allclose(layer.bias * bias_scales(Grid(0.1), layer.scales), [1.0, -2.0], atol=1.0)


def test_clipped_weights_saturate() -> None:
    weights = np.array([[0.1, -0.2, 4.0, -5.0]], np.float32)
    layer = quantised_layer(weights, np.zeros(1), (Grid(0.1), Grid(0.2)), np.array([0.25]))
    assert layer.weights.tolist() == [[51, -102, 127, -127]]


@pytest.mark.parametrize("bias", [0.0, 3.0, -1e4])
def test_a_dead_channel_gives_its_bias(bias: float) -> None:
    grids = Grid(1e-3, 5), Grid(0.5, -128)
    layer = quantised_layer(np.zeros((1, 9), np.float32), np.array([bias]), grids)
    assert not layer.weights.any()
    assert abs(float(layer.bias[0]) * float(bias_scales(grids[0], layer.scales)[0]) - bias) <= 1e-6 * abs(bias)


def test_an_output_too_narrow_for_its_weights_is_refused() -> None:
    made = made_of(conv(4, 3))
    with pytest.raises(ModelError, match=r"Conv 'node0'.*one step of a sum is"):
        integer_network(made, {"t0": (0.0, 1e-9)})


def test_sums_beyond_32_bits_are_refused() -> None:
    weights = np.ones((1, 70_000), np.float32)
    with pytest.raises(ModelError, match="do not fit 32 bits"):
        quantised_layer(weights, np.zeros(1), (Grid(1.0), Grid(100.0)))


@pytest.mark.parametrize(
    "change",
    [
        {"weights": np.zeros((4, 3), np.int16)},
        {"scales": np.ones(3, np.float32)},
        {"scales": np.ones(4, np.float64)},
        {"scales": np.zeros(4, np.float32)},
        {"scales": np.full(4, np.nan, np.float32)},
        {"bias": np.zeros(4, np.int64)},
        {"bias": np.zeros((4, 1), np.int32)},
    ],
)
def test_a_layer_checks_what_it_holds(change: dict[str, Any]) -> None:
    parts: dict[str, Any] = {
        "weights": np.zeros((4, 3), np.int8), "scales": np.ones(4, np.float32), "bias": np.zeros(4, np.int32),
    }  # fmt: skip
    assert Layer(**parts).real_weights.shape == (4, 3)
    with pytest.raises(ModelError):
        Layer(**(parts | change))


def test_only_what_alone_reads_a_layer_is_fused() -> None:
    assert set(fused(network(conv(4, 3), RELU))) == {"t0"}
    assert set(fused(network(conv(4, 3), CLIP))) == {"t0"}
    assert not fused(network(conv(4, 3), step("Clip", number(0), number(5))))
    assert not fused(network(conv(4, 3), RELU, ("Add", [None, "t0"], {})))
    assert not fused(network(conv(4, 3), RELU).with_outputs(("t0", "t1")))
    assert not fused(network(conv(4, 3), leaky(0.1), RELU))
