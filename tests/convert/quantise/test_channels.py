"""Channels that belong together, and factors on them that change nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from convert.network import Network
from convert.quantise.channels import rescaled, ties_of
from convert.quantise.prelu import with_accelerated_prelus
from convert.quantise.prepare import prepared
from tests.convert.networks import FLATTEN, RELU, conv, network, step
from tests.convert.quantise.integers import CLIP, POOL, SAME, leaky
from tests.convert.quantise.prelus import output_of, pictures, prelu_embedder

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")

GEMM = step("Gemm", np.ones((3, 4), np.float32), np.zeros(3, np.float32), transB=1)
TIES: dict[str, tuple[Callable[[], Network], list[tuple[str, ...]]]] = {
    "relu": (lambda: network(conv(4, 3), RELU, conv(3, 4)), [("t0", "t1")]),
    "leaky, pooled": (lambda: network(conv(4, 3), leaky(0.2), step("MaxPool", **POOL), conv(3, 4)), [("t0", "t1", "t2")]),
    "a shortcut": (
        lambda: network(conv(4, 3, **SAME), conv(4, 4, **SAME), step("Add", "t0"), conv(3, 4)), [("t0", "t1", "t2")],
    ),
    "depthwise": (lambda: network(conv(4, 3), conv(4, 1, group=4), conv(3, 4)), [("t0",), ("t1",)]),
    "flattened picture of one place": (lambda: network(conv(4, 3, (9, 9)), FLATTEN, GEMM), [("t0", "t1")]),
    "flattened picture": (lambda: network(conv(1, 3, (8, 8)), FLATTEN, GEMM), []),
    "relu6": (lambda: network(conv(4, 3), CLIP, conv(3, 4)), []),
    "multiplied with itself": (lambda: network(conv(4, 3), ("Mul", ["t0", "t0"], {}), conv(3, 4)), []),
    "groups of two": (lambda: network(conv(4, 3), conv(6, 2, group=2), conv(3, 6)), []),
    "an output": (lambda: network(conv(4, 3), RELU), []),
}  # fmt: skip


@pytest.mark.parametrize("name", TIES)
def test_what_belongs_together(name: str) -> None:
    make, expected = TIES[name]
    assert [tie.tensors for tie in ties_of(make())] == expected


def test_layers_around_a_tie() -> None:
    (tie,) = ties_of(network(conv(4, 3, **SAME), conv(4, 4, **SAME), step("Add", "t0"), conv(3, 4)))
    assert [node.output for node in tie.makers] == ["t0", "t1"]
    assert [node.output for node in tie.readers] == ["t1", "t3"]


@pytest.mark.parametrize("name", [name for name, (_, ties) in TIES.items() if ties])
def test_factors_scale_the_channels_and_nothing_else(name: str) -> None:
    made = TIES[name][0]()
    ties, shown = ties_of(made), pictures(made)
    factors = [np.random.default_rng(place).uniform(0.1, 10, 4) for place, _ in enumerate(ties)]
    found = rescaled(made, ties, factors)
    expected = output_of(made, shown)
    np.testing.assert_allclose(output_of(found, shown), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    inner = ties[0].tensors[0]
    before, after = (output_of(each.with_outputs((inner,)), shown) for each in (made, found))
    np.testing.assert_allclose(
        after, before * factors[0].reshape(1, 4, *(1,) * (before.ndim - 2)), rtol=1e-4, atol=1e-3
    )


def test_a_whole_embedder_may_be_scaled_everywhere_at_once() -> None:
    made = prepared(with_accelerated_prelus(prelu_embedder()))
    ties, shown = ties_of(made), pictures(made)
    widths = [made.constants[tie.makers[0].inputs[1]].shape[0] for tie in ties]
    found = rescaled(made, ties, [np.random.default_rng(width).uniform(0.2, 5, width) for width in widths])
    # The stem with its shortcut, what is bent of it, the bottleneck's inner tensors, the wide one, the row before the dense layer.
    assert widths == [8, 8, 16, 16, 24, 24]
    expected = output_of(made, shown)
    np.testing.assert_allclose(output_of(found, shown), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
