"""Several pictures at once give what one after the other gives, or an error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convert.network import Network, Node, Port, Shape, single
from edge.errors import ModelError
from tests.convert.networks import CASES, NEW_CASES, RELU, conv, ints, network, picture, step

pytest.importorskip("onnx", reason="onnx is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")

from convert.passes.batch import with_batch
from convert.runners.onnx_runtime import OnnxRuntimeRunner


@pytest.mark.parametrize("batch", [3, None])
@pytest.mark.parametrize("name", [*CASES, *NEW_CASES])
def test_every_picture_gives_its_own_result(name: str, batch: int | None) -> None:
    made = {**CASES, **NEW_CASES}[name]()
    pictures = [picture(made, seed) for seed in range(3)]
    several = with_batch(made, batch)
    assert several.inputs[0].shape[0] == batch
    found = OnnxRuntimeRunner(several).run({"image": np.concatenate(pictures)})[made.output_name]
    alone = OnnxRuntimeRunner(made)
    expected = np.concatenate([alone.run({"image": each})[made.output_name] for each in pictures])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_network_for_four_becomes_one_for_one() -> None:
    made = network(conv(4, 3, (8, 8)), step("Reshape", ints(4, -1)))
    four = replace(made, inputs=(Port("image", (4, 3, 9, 9)),))
    one = with_batch(four, 1)
    assert one.inputs[0].shape == (1, 3, 9, 9)
    assert OnnxRuntimeRunner(one).run({"image": picture(made)})["t1"].shape == (1, 16)


def test_the_same_batch_is_the_same_network() -> None:
    made = network(conv(4, 3))
    assert with_batch(made, 1) is made


def test_thresholds_beside_the_picture_have_no_batch() -> None:
    nodes = (Node("Greater", "g", ("x", "limit"), ("g",)), Node("Cast", "y", ("g",), ("y",), {"to": 1}))
    made = Network((Port("x", (1, 3)), Port("limit", (3,))), ("y",), nodes, {})
    several = with_batch(made, 5)
    assert [port.shape for port in several.inputs] == [(5, 3), (3,)]


@pytest.mark.parametrize(
    "mixing",
    [
        step("ReduceMean", axes=(0,), keepdims=1),
        step("Softmax", axis=0),
        step("Reshape", ints(3, 1, 9, 9)),
        step("Transpose", perm=(1, 0, 2, 3)),
    ],
)
def test_pictures_that_would_be_mixed_are_refused(mixing: tuple) -> None:  # type: ignore[type-arg]
    with pytest.raises(ModelError, match=r"of several pictures at once|do not fit|cannot run"):
        with_batch(network(RELU, mixing), 2)


def test_rows_of_all_pictures_are_put_together_again() -> None:
    """As single-shot detectors do: all priors of all pictures through one softmax."""
    made = network(conv(4, 3), step("Reshape", ints(-1, 2)), step("Softmax", axis=-1), step("Reshape", ints(1, -1, 2)))
    shape: Shape = (2, 98, 2)
    pictures = np.concatenate([picture(made, seed) for seed in range(2)])
    for batch in (2, None):
        assert OnnxRuntimeRunner(with_batch(made, batch)).run({"image": pictures})["t3"].shape == shape


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ModelError, match="a batch of 0"):
        with_batch(single("x", (1, 3), "y", (Node("Relu", "y", ("x",), ("y",)),), {}), 0)
