"""PReLU in the words of integer accelerators: the same function, by few operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convert.network import Network
from convert.quantise.form import OPERATORS
from convert.quantise.prelu import slope_of, turned, with_accelerated_prelus
from convert.quantise.prepare import prepared
from edge.errors import ModelError
from tests.convert.networks import FLATTEN, batch_norm, conv, network, step
from tests.convert.quantise.prelus import STEEP, output_of, pictures, prelu, prelu_embedder, spread

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")


def _between(slopes: tuple[float, ...]) -> Network:
    channels = len(slopes)
    return network(conv(channels, 3), prelu(*slopes), conv(4, channels), size=8)


NETWORKS: dict[str, tuple[Callable[[], Network], dict[str, int]]] = {
    "all below 1": (lambda: _between((-1.0, 0.5, 0.99)), {"Conv": 3, "Relu": 1, "Add": 1}),
    "steep, between layers": (lambda: _between(STEEP), {"Conv": 3, "Relu": 1, "Add": 1}),
    "steep, an output": (lambda: network(conv(8, 3), prelu(*STEEP), size=8), {"Conv": 3, "Relu": 1, "Add": 1}),
    "all steep, an output": (lambda: network(conv(2, 3), prelu(1.5, 3.0), size=8), {"Conv": 2, "Relu": 1, "Sub": 1}),
    "steep, read by a sum": (
        lambda: network(conv(8, 3), prelu(*STEEP), step("Add", "t0"), size=8), {"Conv": 3, "Relu": 1, "Add": 2},
    ),
    "one slope": (lambda: _between((0.25, 0.25)), {"Conv": 2, "LeakyRelu": 1}),
    "slope 0": (lambda: _between((0.0, 0.0)), {"Conv": 2, "Relu": 1}),
    "one slope of a row": (
        lambda: network(conv(4, 3, (8, 8)), FLATTEN, step("PRelu", np.array([0.3], np.float32)), size=8),
        {"Conv": 1, "Flatten": 1, "LeakyRelu": 1},
    ),
    "behind a batch norm": (
        lambda: network(conv(4, 3), batch_norm(4), prelu(-0.5, 0.5, 1.5, 2.0), conv(3, 4), size=8),
        {"Conv": 3, "Relu": 1, "Add": 1},
    ),
    "before a depthwise layer": (
        lambda: network(conv(8, 3), prelu(*STEEP), conv(8, 1, group=8), size=8), {"Conv": 3, "Relu": 1, "Add": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_the_same_function_by_these_operators(name: str) -> None:
    make, operators = NETWORKS[name]
    made, shown = make(), pictures(make())
    found = with_accelerated_prelus(made)
    assert Counter(node.op for node in found.nodes) == operators
    expected = output_of(made, shown)
    np.testing.assert_allclose(output_of(found, shown), expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_a_whole_embedder_is_left_to_the_operators_of_integers() -> None:
    made, shown = prelu_embedder(), pictures(prelu_embedder())
    found = prepared(with_accelerated_prelus(made))
    assert {node.op for node in found.nodes} <= OPERATORS
    # Two operators for each PReLU: its additions, beside the one of the shortcut.
    assert Counter(node.op for node in found.nodes)["Add"] == 4 + 1
    np.testing.assert_allclose(output_of(found, shown), output_of(made, shown), rtol=1e-4, atol=1e-4)


def test_turning_leaves_slopes_of_at_most_one() -> None:
    made = turned(_between(STEEP))
    slope = slope_of(made, next(node for node in made.nodes if node.op == "PRelu"))
    assert slope is not None
    np.testing.assert_allclose(slope, [-1.5, -1.0, -0.3, 0.0, 0.2, 0.9, 1.0, 0.4], rtol=1e-6)


def test_without_prelu_nothing_changes() -> None:
    made = network(conv(4, 3), size=8)
    assert with_accelerated_prelus(made) is made


REFUSED: dict[str, Callable[[], Any]] = {
    "slopes that are computed": lambda: network(conv(4, 3), step("PRelu", "t0"), size=8),
    "a slope for each place": lambda: network(conv(4, 3), step("PRelu", np.full((4, 6, 6), 0.5, np.float32)), size=8),
    "slopes along the width": lambda: network(conv(4, 3), step("PRelu", np.linspace(0, 0.5, 6, dtype=np.float32)), size=8),
    "a row with a slope for each": lambda: network(
        conv(4, 3, (8, 8)), FLATTEN, step("PRelu", np.linspace(0, 0.5, 4, dtype=np.float32)), size=8
    ),
    "no numbers": lambda: network(conv(4, 3), prelu(0.1, np.nan, 0.2, 0.3), size=8),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_other_slopes_are_refused_by_name(name: str) -> None:
    made = REFUSED[name]()
    with pytest.raises(ModelError, match="1 PRelu with slopes that are not one a channel: PRelu 'node") as refused:
        with_accelerated_prelus(made)
    assert "--quantise plain" in str(refused.value)


def test_every_faulty_prelu_is_named() -> None:
    uneven = step("PRelu", np.full((4, 6, 6), 0.5, np.float32))
    made = network(conv(4, 3), uneven, spread(4), uneven, size=8)
    with pytest.raises(ModelError, match=r"2 PRelu .* PRelu 'node1', PRelu 'node3'"):
        with_accelerated_prelus(made)
