"""What is seen of tensors, how channels are made alike, and where ranges are cut."""

from __future__ import annotations

import numpy as np
import pytest

from convert.quantise.channels import rescaled, ties_of
from convert.quantise.clip import CLIPS, clipped_ranges, squared_error
from convert.quantise.equalise import MAGNITUDES, column_sizes, equalising_factors
from convert.quantise.observe import Observation, as_input, observe, rescaled_observations
from edge.errors import ModelError, UsageError
from tests.convert.networks import RELU, conv, network
from tests.convert.quantise.integers import SAME, float_values
from tests.convert.quantise.prelus import pictures, prelu_embedder, uneven

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")


def _seen(values: list[list[float]]) -> Observation:
    samples = np.array(values, np.float32)
    return Observation(samples.min(1), samples.max(1), samples)


def test_extremes_are_those_of_every_place_and_samples_are_of_the_channel() -> None:
    made = network(conv(4, 3, **SAME), RELU, conv(3, 4), size=8)
    shown = pictures(made, 5)
    found, values = observe(made, shown), float_values(made, shown)
    # The convolution's own sum is never rounded where its ReLU is fused: it has no grid to be seen for.
    assert list(found) == ["t1", "t2"]
    for name, seen in found.items():
        np.testing.assert_array_equal(seen.low, values[name].min((0, 2, 3)))
        np.testing.assert_array_equal(seen.high, values[name].max((0, 2, 3)))
        assert seen.samples.shape[1] >= 5 * 36
        for channel, row in enumerate(seen.samples):
            assert set(row) <= set(values[name][:, channel].reshape(-1))


def test_what_is_seen_depends_on_the_seed_alone() -> None:
    made = network(conv(4, 3), size=16)
    shown = pictures(made, 4)
    first, again, other = (observe(made, shown, seed=seed)["t0"].samples for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_tensor_that_is_not_finite_is_refused() -> None:
    made = network(conv(4, 3), size=8)
    broken = made.with_constants({"c0_2": np.full(4, np.inf, np.float32)})
    with pytest.raises(ModelError, match="tensor t0 is not finite"):
        observe(broken, pictures(made, 2))


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (2, 8, 9, 3), (2, 3, 8, 8), (8, 8, 3)])
def test_pictures_of_another_form_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"uint8 \(N, 8, 8, 3\)"):
        as_input(network(conv(4, 3), size=8), np.zeros(shape, np.uint8))


def test_scaled_observations_are_what_would_be_seen() -> None:
    made = uneven(network(conv(8, 3, **SAME), RELU, conv(4, 8, **SAME), RELU, conv(3, 4), size=8))
    shown, ties = pictures(made), ties_of(made)
    factors = [np.random.default_rng(width).uniform(0.1, 9, width) for width in (8, 4)]
    expected = observe(rescaled(made, ties, factors), shown)
    for name, seen in rescaled_observations(observe(made, shown), ties, factors).items():
        np.testing.assert_allclose(seen.high, expected[name].high, rtol=1e-4)
        np.testing.assert_allclose(seen.samples, expected[name].samples, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_whole_balance_makes_the_channels_alike(magnitude: str) -> None:
    made = uneven(network(conv(8, 3, **SAME), RELU, conv(3, 8), size=8))
    shown, ties = pictures(made), ties_of(made)
    before = observe(made, shown)
    factors = equalising_factors(made, ties, before, balance=1.0, magnitude=magnitude)
    after = MAGNITUDES[magnitude](observe(rescaled(made, ties, factors), shown)["t1"])
    sizes = MAGNITUDES[magnitude](before["t1"])
    assert sizes.max() / sizes[sizes > 0].min() > 20
    alive = sizes > 1e-3 * sizes.max()
    assert after[alive].max() / after[alive].min() < 1.01
    assert np.exp(np.mean(np.log(factors[0]))) == pytest.approx(1)


def test_no_balance_makes_the_columns_alike() -> None:
    made = uneven(network(conv(8, 3, **SAME), RELU, conv(3, 8), size=8))
    ties = ties_of(made)
    factors = equalising_factors(made, ties, observe(made, pictures(made)), balance=0.0, magnitude="extremes")
    columns = column_sizes(made, made.nodes[2])
    assert columns is not None
    np.testing.assert_allclose(factors[0] / factors[0][0], columns / columns[0], rtol=1e-6)


def test_a_depthwise_layer_has_no_columns_to_be_spared() -> None:
    made = network(conv(4, 3), conv(4, 1, group=4), size=8)
    assert column_sizes(made, made.nodes[1]) is None


def test_a_dead_channel_is_not_blown_up() -> None:
    made = network(conv(4, 3), RELU, conv(3, 4), size=8)
    seen = {name: _seen([[0, 8], [0, 0], [0, 4], [0, 2]]) for name in ("t0", "t1")}
    (factor,) = equalising_factors(made, ties_of(made), seen, balance=1.0, magnitude="extremes")
    np.testing.assert_allclose(factor / factor[0], [1, 1000, 2, 4])


CUTS = {
    "extremes": (-2.0, 100.0),
    "99.9 %": (-2.0, 1.0),
    # 1 in 10,000 lies beyond the upper end: half of them is none of ten thousand.
    "99.99 %": (-2.0, 50.0),
}


@pytest.mark.parametrize("clip", CUTS)
def test_percentiles_cut_the_rarest_values(clip: str) -> None:
    values = np.concatenate([np.linspace(-2, 1, 10_000), [100.0]])
    low, high = clipped_ranges({"x": _seen([values.tolist()])}, clip)["x"]
    assert low == pytest.approx(CUTS[clip][0], abs=0.01)
    assert high <= CUTS["extremes"][1]
    assert high == pytest.approx(CUTS[clip][1], rel=0.02, abs=0.01)


def test_least_squares_is_no_worse_than_any_range_of_the_same_form() -> None:
    values = np.append(np.random.default_rng(0).normal(0, 1, 400_000), 20.0)
    seen = _seen([values.tolist()])
    low, high = clipped_ranges({"x": seen}, "least squares")["x"]
    best = squared_error(values, low, high)
    for part in (1.0, 0.8, 0.6, 0.4):
        assert best <= squared_error(values, part * values.min(), part * values.max())
    assert high < 0.8 * values.max()


@pytest.mark.parametrize("clip", CLIPS)
def test_a_tensor_of_zeros_has_a_range(clip: str) -> None:
    assert clipped_ranges({"x": _seen([[0.0, 0.0]])}, clip)["x"] == (0.0, 0.0)


def test_an_embedder_is_seen_whole() -> None:
    made = prelu_embedder()
    with pytest.raises(UsageError):
        observe(made, pictures(made)[:, :4])
    assert set(observe(made, pictures(made))) == set(made.tensors())
