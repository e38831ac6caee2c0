from __future__ import annotations

import numpy as np
import pytest

from convert.importers.nhwc.axes import expand_dims, reshape, resolved, transpose
from convert.importers.nhwc.builder import TURNED, NhwcBuilder
from convert.importers.nhwc.ops import binary, unary
from convert.importers.nhwc.sizes import (
    Size,
    Unknown,
    as_array,
    broadcast,
    named,
    product,
    quotient,
    same_pads,
    windows,
)
from edge.errors import ModelError

N, H = Unknown("n"), Unknown("h")


def builder(shape: tuple[int | None, ...] = (2, 5, 6, 3)) -> NhwcBuilder:
    made = NhwcBuilder("tiny", ("x", "y", "z"))
    made.add_input("x", shape)
    return made


def test_a_picture_is_turned_and_other_inputs_are_not() -> None:
    made = NhwcBuilder("tiny")
    made.add_input("picture", (1, 5, 6, 3))
    made.add_input("vector", (1, 7))
    made.add_input("turned already", (1, 3, 5, 6), is_picture=False)
    assert [port.shape for port in made.finish(()).inputs] == [(1, 3, 5, 6), (1, 7), (1, 3, 5, 6)]


def test_a_transpose_is_written_only_where_the_order_matters() -> None:
    made = builder()
    transpose(made, "y", "x", [0, 3, 1, 2])
    assert made.held("y").name == "x"
    assert made.plain("y") == "x"
    assert made.finish(("y",)).nodes[0].op == "Identity"
    assert made.plain("x") == "x/plain"
    assert [(node.op, node.attributes.get("perm")) for node in made.finish(("y",)).nodes] == [("Identity", None)]


def test_axes_of_one_element_move_by_a_reshape() -> None:
    made = builder((None, 1, 1, 3))
    reshape(made, "y", "x", [-1, 3])
    expand_dims(made, "z", "y", [1])
    nodes = made.finish(("y",)).nodes
    assert [node.op for node in nodes] == ["Reshape"]
    assert made.held("z").shape[1:] == (1, 3)


def test_a_helper_takes_no_name_of_the_source() -> None:
    made = NhwcBuilder("tiny", ("x", "x/plain", "y"))
    made.add_input("x", (1, 5, 6, 3))
    assert made.plain("x") == "x/plain_2"
    assert made.plain("x") == "x/plain_2"
    unary(made, "x/plain", "x", "Relu")
    assert made.held("x/plain").axes == TURNED


@pytest.mark.parametrize(
    ("shape", "becomes"),
    [((3,), (3, 1, 1)), ((6, 1), (1, 6)), ((5, 6, 3), (3, 5, 6)), ((2, 1, 1, 3), (2, 3, 1, 1)), ((1,), (1,))],
)
def test_a_constant_broadcasts_over_nchw_as_it_did_over_nhwc(shape: tuple[int, ...], becomes: tuple[int, ...]) -> None:
    made = builder()
    made.add_value("factor", np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    binary(made, "y", "Mul", "x", "factor")
    network = made.finish(("y",))
    constant = network.constants[network.nodes[0].inputs[1]]
    assert constant.shape == becomes
    picture = np.random.default_rng(0).random((2, 3, 5, 6), np.float32)
    factor = np.arange(np.prod(shape)).reshape(shape)
    wanted = (picture.transpose(0, 2, 3, 1) * factor).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(picture * constant, wanted, rtol=1e-6)


def test_an_output_has_the_name_that_was_asked_for() -> None:
    made = builder((5, 6, 3))
    unary(made, "y", "x", "Relu")
    transpose(made, "z", "y", [2, 0, 1])
    network = made.finish(("z", "y"))
    assert network.outputs == ("z", "y")
    assert [node.op for node in network.nodes] == ["Relu", "Transpose", "Identity"]


def test_what_is_no_output_is_told() -> None:
    made = builder()
    made.add_value("constant", np.ones(3))
    with pytest.raises(ModelError, match="does not depend on the input"):
        made.finish(("constant",))
    with pytest.raises(ModelError, match="read before it is made"):
        made.finish(("nothing",))
    with pytest.raises(ModelError, match="is an input and an output"):
        made.finish(("x",))


def test_an_open_size_is_no_constant() -> None:
    made = builder((None, 5, 6, 3))
    made.add_value("shape", as_array(made.shape("x")))
    with pytest.raises(ModelError, match="a size that is open"):
        made.known("shape", "Tile")


@pytest.mark.parametrize(
    ("source", "wanted", "made"),
    [
        ((2, 3, 4), (-1, 12), (2, 12)),
        ((N, 3, 4), (N, -1), (N, 12)),
        ((N, 3, 4), (-1, 12), (N, 12)),
        ((N, H, 4), (N, -1, 2), (N, H * 2, 2)),
        ((2, 3), (4,), None),
        ((2, 3), (-1, -1), None),
    ],
)
def test_sizes_after_a_reshape(source: tuple[Size, ...], wanted: tuple[Size, ...], made: object) -> None:
    assert resolved(source, wanted) == made


def test_arithmetic_on_open_sizes() -> None:
    assert named("x", (None, 3)) == (Unknown("x[0]"), 3)
    assert N * 1 == N
    assert N * 0 == 0
    assert N - N == 0
    assert (N + 0, N // 1, N // N, N % 1) == (N, N, 1, 0)
    assert product([2, N, 3]) == Unknown("(n*6)")
    assert quotient([N, H, 4], [N, 2]) == H * 2
    assert quotient([N, H], [N]) == H
    assert broadcast((N, 1), (5,)) == (N, 5)
    with pytest.raises(ValueError, match="do not fit"):
        broadcast((2, 3), (4,))
    with pytest.raises(TypeError):
        assert N > 1  # type: ignore[operator]


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (2, 2), (5, 3), (1, 2)])
def test_same_padding_gives_as_many_windows_as_strides_fit(size: int, kernel: int, stride: int) -> None:
    before, after = same_pads(size, kernel, stride)
    assert windows(size, kernel, stride, "SAME") == windows(size, kernel, stride, (before, after))
    assert after - before in {0, 1}
