from __future__ import annotations

import numpy as np
import pytest

from convert.network import Network
from convert.passes.fold import centre_on_a_byte, fold_batch_norms, take_out_normalisation
from tests.convert import reference
from tests.convert.networks import CASES, batch_norm, conv, network, picture


@pytest.mark.parametrize("name", CASES)
def test_folding_batch_norms_changes_no_output(name: str) -> None:
    made = CASES[name]()
    image = picture(made)
    np.testing.assert_allclose(reference.run(fold_batch_norms(made), image), reference.run(made, image), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "left"),
    [("batch norm behind conv", 0), ("batch norm alone", 1), ("batch norm, conv read twice", 1)],
)
def test_which_batch_norms_fold(name: str, left: int) -> None:
    folded = fold_batch_norms(CASES[name]())
    assert sum(node.op == "BatchNormalization" for node in folded.nodes) == left


def test_two_batch_norms_in_a_row_both_fold() -> None:
    made = network(conv(4, 3), batch_norm(4), batch_norm(4))
    folded = fold_batch_norms(made)
    image = picture(made)
    assert [node.op for node in folded.nodes] == ["Conv"]
    np.testing.assert_allclose(reference.run(folded, image), reference.run(made, image), atol=1e-5)


@pytest.mark.parametrize(
    ("steps", "mean", "std"),
    [
        ([("Sub", [None, np.float32(127.5)], {}), ("Div", [None, np.float32(128)], {})], 127.5, 128),
        ([("Mul", [None, np.float32(1 / 128)], {}), ("Add", [None, np.float32(-1)], {})], 128, 128),
        ([("Sub", [None, np.full((1, 1, 1), 100, np.float32)], {})], 100, 1),
        ([("Div", [None, np.float32(255)], {})], 0, 255),
        ([], 0, 1),
        # Neither of these is (pixel - mean) / std with one mean and a positive std.
        ([("Sub", [None, np.array([1, 2, 3], np.float32).reshape(3, 1, 1)], {})], 0, 1),
        ([("Sub", [np.float32(255), None], {})], 0, 1),
        ([("Mul", [None, np.float32(0)], {})], 0, 1),
    ],
)
def test_normalisation_becomes_mean_and_std(steps: list[tuple[object, ...]], mean: float, std: float) -> None:
    made = network(*steps, conv(4, 3, pads=(1, 1, 1, 1)))
    taken = take_out_normalisation(made)
    assert taken.mean == pytest.approx(mean, abs=1e-4)
    assert taken.std == pytest.approx(std, abs=1e-4)
    pixels = picture(made) * 255
    np.testing.assert_allclose(
        reference.run(taken, (pixels - taken.mean) / taken.std), reference.run(made, pixels), atol=1e-4
    )


def normalised(steps: int) -> Network:
    parts = [conv(4, 3, pads=(1, 1, 1, 1)), conv(4, 4)][:steps]
    made = network(("Sub", [None, np.float32(127.5)], {}), ("Div", [None, np.float32(128)], {}), *parts)
    return take_out_normalisation(made)


def test_centred_on_a_byte_but_for_the_rim() -> None:
    before = normalised(1)
    after = centre_on_a_byte(before)
    assert (after.mean, after.std) == (128.0, 128.0)
    pixels = np.random.default_rng(1).integers(0, 256, before.input_shape).astype(np.float64)
    old = reference.run(before, (pixels - 127.5) / 128)
    new = reference.run(after, (pixels - 128) / 128)
    np.testing.assert_allclose(new[:, :, 1:-1, 1:-1], old[:, :, 1:-1, 1:-1], atol=1e-5)
    weights = before.constants[before.nodes[0].inputs[1]]
    half_a_level = 0.5 / 128 * np.abs(weights).sum(axis=(1, 2, 3)).max()
    assert np.abs(new - old).max() <= half_a_level


def test_a_whole_mean_is_left_alone() -> None:
    made = network(("Sub", [None, np.float32(128)], {}), conv(4, 3))
    taken = take_out_normalisation(made)
    assert centre_on_a_byte(taken) is taken
