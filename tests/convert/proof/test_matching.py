from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convert.proof.matching import as_reference, match_layers, match_ports, sanitised, spellings


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("face", "face"),
        ("Face:0", "face"),
        ("model/conv.1:1", "model_conv_1"),
        ("_plus9", "_plus9"),
        ("458", "458"),
    ],
)
def test_names_as_every_format_could_hold_them(name: str, expected: str) -> None:
    assert sanitised(name) == expected


def test_pieces_and_scopes() -> None:
    found = spellings("model/relu1;model/conv1/BiasAdd;out")
    assert found[1:4] == ["model_relu1", "model_conv1_biasadd", "out"]
    assert set(found[4:]) == {"relu1", "conv1_biasadd", "biasadd"}
    # A convolution without its bias is not yet the tensor conv1.
    assert "model_conv1" not in found
    assert "conv1" not in found


def picture(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


def test_a_fused_tensor_is_the_last_of_its_pieces() -> None:
    reference = {"conv1": picture(1, 4, 8, 8), "relu1": picture(1, 4, 8, 8), "conv2": picture(1, 6, 8, 8)}
    artifact = {"relu1;conv1": picture(1, 4, 8, 8), "conv2": picture(1, 6, 8, 8)}
    assert match_layers(reference, artifact) == {"relu1": "relu1;conv1", "conv2": "conv2"}


def test_a_piece_of_another_shape_is_no_match() -> None:
    reference = {"conv1": picture(1, 4, 8, 8), "pool": picture(1, 4, 4, 4)}
    assert match_layers(reference, {"pool;conv1": picture(1, 4, 8, 8)}) == {"conv1": "pool;conv1"}


def test_the_whole_name_goes_before_a_part_of_it() -> None:
    reference = {"relu": picture(1, 4)}
    artifact = {"relu": picture(1, 4), "other/relu": picture(1, 4)}
    assert match_layers(reference, artifact) == {"relu": "relu"}


def test_what_is_computed_later_goes_before_what_leads_to_it() -> None:
    reference = {"prelu": picture(1, 4)}
    artifact = {"a/prelu": picture(1, 4), "b/prelu": picture(1, 4)}
    assert match_layers(reference, artifact) == {"prelu": "b/prelu"}


@pytest.mark.parametrize(
    ("shape", "value", "expected"),
    [
        ((1, 4), (1, 4, 1, 1), (1, 4)),
        ((1, 2, 3, 4), (1, 3, 4, 2), (1, 2, 3, 4)),
        ((1, 3, 4, 2), (1, 2, 3, 4), (1, 3, 4, 2)),
        ((1, 2, 3, 4), (1, 2, 4, 3), None),
        ((1, 12), (1, 3, 4), None),
    ],
)
def test_layouts(shape: tuple[int, ...], value: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    found = as_reference(shape, np.arange(np.prod(value)).reshape(value))
    assert (None if found is None else found.shape) == expected


def test_nhwc_becomes_nchw_by_value() -> None:
    nchw = np.arange(24).reshape(1, 2, 3, 4)
    found = as_reference(nchw.shape, nchw.transpose(0, 2, 3, 1))
    assert found is not None
    np.testing.assert_array_equal(found, nchw)


@pytest.mark.parametrize(
    ("reference", "artifact", "aliases", "expected"),
    [
        pytest.param({"a": (1,), "b": (1,)}, {"b:0": (1,), "a:0": (1,)}, {}, {"a": "a:0", "b": "b:0"}, id="names"),
        pytest.param(
            {"a": (1,), "b": (1,)}, {"call:0": (1,), "call:1": (1,)}, {"call:1": "a", "call:0": "b"},
            {"a": "call:1", "b": "call:0"}, id="names in a signature",
        ),
        pytest.param(
            {"scores": (1, 5, 2), "boxes": (1, 5, 4)}, {"Identity": (1, 5, 4), "Identity_1": (1, 5, 2)}, {},
            {"scores": "Identity_1", "boxes": "Identity"}, id="shapes",
        ),
        pytest.param(
            {"a": (1, 4), "b": (1, 4)}, {"x": (1, 4), "y": (1, 4)}, {}, {"a": "x", "b": "y"}, id="the file's order"
        ),
        pytest.param({"a": (1, 4), "b": (1, 4)}, {"b": (1, 4)}, {}, {"b": "b"}, id="one is missing"),
        pytest.param({"a": (1, 4)}, {"model/a;model/conv": (1, 4)}, {}, {"a": "model/a;model/conv"}, id="pieces"),
        pytest.param({"a": (None, 4)}, {"x": (1, 9), "y": (1, 4)}, {}, {"a": "y"}, id="an open size"),
    ],
)  # fmt: skip
def test_inputs_and_outputs(reference: Any, artifact: Any, aliases: Any, expected: dict[str, str]) -> None:
    assert match_ports(reference, artifact, aliases) == expected
