"""The figures against formulae written another way, and layers against networks whose faults are known."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from convert.network import Port
from convert.proof.fidelity import compare_outputs, fidelity, layer_fidelity
from edge.errors import ModelError

BATCHES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 8)),
    elements=st.floats(-1000, 1000, width=32).filter(lambda value: value == 0 or abs(value) > 1e-3),
)


def plainly(reference: Any, artifact: Any) -> dict[str, float]:
    """Every figure, value by value, with exact sums."""
    pairs = [
        ([float(value) for value in one], [float(value) for value in two])
        for one, two in zip(reference, artifact, strict=True)
    ]
    cosines = sorted(cosine(one, two) for one, two in pairs)
    apart = [abs(one - two) for row in pairs for one, two in zip(*row, strict=True)]
    mean = math.fsum(apart) / len(apart)
    signal = math.fsum(value * value for one, _ in pairs for value in one)
    noise = math.fsum(value * value for value in apart)
    return {
        "cosine_mean": math.fsum(cosines) / len(cosines),
        "cosine_worst": cosines[0],
        "cosine_p1": percentile(cosines, 0.01),
        "difference_mean": mean,
        "difference_std": math.sqrt(math.fsum((value - mean) ** 2 for value in apart) / len(apart)),
        "difference_max": max(apart),
        "reference_peak": max(abs(value) for one, _ in pairs for value in one),
        "snr_db": math.inf if noise == 0 else -math.inf if signal == 0 else 10 * math.log10(signal / noise),
    }


def cosine(one: Sequence[float], two: Sequence[float]) -> float:
    if list(one) == list(two):
        return 1.0
    if not any(one) or not any(two):
        return 0.0
    product = math.fsum(first * second for first, second in zip(one, two, strict=True))
    return product / math.hypot(*one) / math.hypot(*two)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Between two values, in proportion."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


@given(reference=BATCHES, seed=st.integers(0, 1000), noise=st.sampled_from([0.0, 1e-4, 0.1, 10.0, 1000.0]))
def test_every_figure_as_its_formula_says(reference: Any, seed: int, noise: float) -> None:
    added = np.random.default_rng(seed).normal(0, 1, reference.shape) * noise
    artifact = (reference + added).astype(np.float32)
    found = fidelity("out", reference, artifact)
    for name, value in plainly(reference, artifact).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-6, abs=1e-9), name
    assert found.samples == len(reference)
    assert found.not_finite == 0


def test_figures_that_one_can_work_out_by_hand() -> None:
    found = fidelity("out", np.array([[3.0, 4.0], [1.0, 0.0]]), np.array([[3.0, 5.0], [0.0, 1.0]]))
    assert found.cosine_worst == 0.0
    assert found.cosine_mean == pytest.approx((29 / 5 / math.sqrt(34)) / 2)
    assert (found.difference_mean, found.difference_max, found.difference_relative) == (0.75, 1.0, 0.25)
    assert found.difference_std == pytest.approx(math.sqrt(3) / 4)
    assert found.snr_db == pytest.approx(10 * math.log10(26 / 3))


def test_nothing_differs() -> None:
    found = fidelity("out", np.zeros((2, 3)), np.zeros((2, 3)))
    assert (found.cosine_worst, found.difference_relative, found.snr_db) == (1.0, 0.0, math.inf)
    assert found.as_dict()["snr_db"] is None


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_large_and_tiny_numbers_have_a_cosine(scale: float) -> None:
    found = fidelity("out", np.array([[3.0, 4.0]]) * scale, np.array([[4.0, 3.0]]) * scale)
    assert found.cosine_mean == pytest.approx(24 / 25)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_counted_and_fail(value: float) -> None:
    found = fidelity("out", np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, value], [3.0, 4.0]]))
    assert found.not_finite == 1
    assert (found.cosine_worst, found.difference_relative, found.snr_db) == (0.0, math.inf, -math.inf)
    json.dumps(found.as_dict(), allow_nan=False)


def test_the_same_infinity_is_no_difference() -> None:
    found = fidelity("out", np.array([[-np.inf, 2.0]]), np.array([[-np.inf, 2.0]]))
    assert (found.cosine_mean, found.difference_max, found.not_finite) == (1.0, 0.0, 0)


@pytest.mark.parametrize(
    ("reference", "artifact"),
    [((2, 3), (2, 4)), ((2, 3), (3, 3)), ((1, 3), (3, 1)), ((2, 3, 4), (2, 4, 3)), ((0, 3), (0, 3))],
)
def test_shapes_that_do_not_fit_are_refused(reference: tuple[int, ...], artifact: tuple[int, ...]) -> None:
    with pytest.raises(ModelError):
        fidelity("out", np.zeros(reference), np.zeros(artifact))


def test_outputs_are_compared_by_name() -> None:
    one, two = np.ones((2, 3)), np.full((2, 3), 2.0)
    found = compare_outputs({"a": one, "b": two}, {"b": two, "a": two})
    assert [(each.output, each.difference_max) for each in found] == [("a", 1.0), ("b", 0.0)]
    with pytest.raises(ModelError, match="no output b"):
        compare_outputs({"b": one}, {"a": one})


class Canned:
    """A runner whose tensors are multiples of its input."""

    label = "canned 1.0"
    inputs = (Port("x", (1, 4)),)

    def __init__(self, factors: Mapping[str, float]) -> None:
        self.factors = dict(factors)
        self.outputs = tuple(factors)[-1:]
        self.tensors = tuple(factors)

    def run(self, feeds: Mapping[str, Any], wanted: Sequence[str] = ()) -> dict[str, Any]:
        return {name: np.float32(feeds["x"] * self.factors[name]) for name in wanted or self.outputs}


def ramps(count: int = 3) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    feeds = [{"x": np.array([[1.0, 2.0, 3.0, 4.0]]) * (index + 1)} for index in range(count)]
    return [(each, each) for each in feeds]


def test_the_first_layer_beyond_the_tolerance_is_named() -> None:
    reference = Canned({"conv": 1, "relu": 2, "conv2": 3, "out": 4})
    artifact = Canned({"conv": 1, "relu": 2.0001, "conv2": 3.3, "out": 8})
    report = layer_fidelity(reference, artifact, ramps(), tolerance=0.01)
    first = report.first_beyond
    assert first is not None
    assert (first.layer, first.shape) == ("conv2", (1, 4))
    assert first.difference_relative == pytest.approx(0.1, rel=1e-4)
    assert first.snr_db == pytest.approx(20.0, abs=1e-3)
    assert [layer.layer for layer in report.worst(2)] == ["out", "conv2"]
    assert [layer.layer for layer in report.layers] == ["conv", "relu", "conv2", "out"]
    json.dumps(report.as_dict(), allow_nan=False)


def test_nothing_is_named_where_nothing_differs() -> None:
    network = Canned({"conv": 1, "out": 4})
    assert layer_fidelity(network, network, ramps(), tolerance=1e-6).first_beyond is None


def test_a_difference_in_any_picture_counts() -> None:
    class Late(Canned):
        def run(self, feeds: Mapping[str, Any], wanted: Sequence[str] = ()) -> dict[str, Any]:
            found = super().run(feeds, wanted)
            return {name: value + (feeds["x"][0, 0] > 2) for name, value in found.items()}

    report = layer_fidelity(Canned({"out": 1}), Late({"out": 1}), ramps(), tolerance=1e-3)
    assert report.first_beyond is not None
    assert report.first_beyond.difference_max == 1.0


def test_at_most_ten_of_the_worst() -> None:
    factors = {f"t{index}": float(index + 1) for index in range(30)}
    changed = {name: value * (1 + place / 1000) for place, (name, value) in enumerate(factors.items())}
    worst = layer_fidelity(Canned(factors), Canned(changed), ramps()).worst()
    assert [layer.layer for layer in worst] == [f"t{index}" for index in range(29, 19, -1)]


def test_networks_without_a_common_tensor_are_refused() -> None:
    with pytest.raises(ModelError, match="none of 1 tensors"):
        layer_fidelity(Canned({"a": 1}), Canned({"b": 1}), ramps())
    with pytest.raises(ModelError, match="nothing to feed"):
        layer_fidelity(Canned({"a": 1}), Canned({"a": 1}), [])
