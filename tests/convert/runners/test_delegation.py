"""Which nodes XNNPACK takes, on networks whose answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed (pip install 'ostiary[litert]')")

from convert.network import Network
from convert.runners.delegation import Delegation, delegated_nodes
from convert.targets.base import Options
from convert.targets.tflite import TARGETS
from edge.errors import ModelError
from tests.convert.networks import CASES, FLATTEN, RELU, conv, network, picture

# TensorFlow and its dependencies warn about themselves.
pytestmark = pytest.mark.filterwarnings("ignore")

PRELU = ("PRelu", [None, np.linspace(0.1, 0.4, 4, dtype=np.float32).reshape(4, 1, 1)], {})


def written(precision: str, made: Network, folder: Path) -> Path:
    path = folder / "tiny.tflite"
    examples = np.concatenate([picture(made, seed) for seed in range(4)])
    TARGETS[precision](made, path, Options(examples={"image": examples}))
    return path


def test_a_float_network_is_taken_whole(tmp_path: Path) -> None:
    made = network(conv(4, 3), RELU, conv(4, 1, group=4), PRELU, conv(2, 4, (1, 1)), FLATTEN)
    found = delegated_nodes(written("tflite-float32", made, tmp_path))
    # ReLU is part of its convolution; flattening turns the axes and reshapes.
    assert found == Delegation(6, 6, 1, ())
    assert found.complete
    assert str(found) == "6 of 6 nodes in 1 piece"


def test_float16_weights_are_taken_with_their_conversions(tmp_path: Path) -> None:
    made = network(conv(64, 3), RELU, conv(64, 64))
    found = delegated_nodes(written("tflite-float16", made, tmp_path))
    # Both biases are the same numbers, and one constant.
    assert found == Delegation(5, 5, 1, ())


def test_an_integer_prelu_is_left_and_cuts_the_network(tmp_path: Path) -> None:
    made = network(conv(4, 3), PRELU, conv(4, 4), PRELU, conv(4, 4, (1, 1)))
    path = written("tflite-int8", made, tmp_path)
    found = delegated_nodes(path)
    assert found == Delegation(3, 5, 3, (("PRELU", 2),))
    assert not found.complete
    assert str(found) == "3 of 5 nodes in 3 pieces; left: 2 PRELU"
    assert delegated_nodes(path.read_bytes()) == found


def test_an_integer_network_of_relu_is_taken_but_for_its_bytes(tmp_path: Path) -> None:
    made = network(conv(4, 3, pads=(1, 1, 1, 1)), RELU, conv(4, 4, pads=(1, 1, 1, 1)), ("Add", [None, "t1"], {}))
    found = delegated_nodes(written("tflite-uint8", made, tmp_path))
    assert found == Delegation(3, 5, 1, (("QUANTIZE", 2),))


@pytest.mark.parametrize("damage", [b"", b"TFL", b"\x1c\0\0\0TFL3" + b"\xff" * 64])
def test_a_file_that_the_runtime_refuses(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "damaged.tflite"
    path.write_bytes(damage)
    for model in (path, damage):
        with pytest.raises(ModelError, match="ai-edge-litert refuses it"):
            delegated_nodes(model)


def test_it_counts_what_the_case_table_has(tmp_path: Path) -> None:
    totals: dict[str, Any] = {
        name: delegated_nodes(written("tflite-float32", CASES[name](), tmp_path))
        for name in ("conv, no padding", "depthwise", "gemm")
    }
    assert {name: (found.delegated, found.total) for name, found in totals.items()} == {
        "conv, no padding": (1, 1),
        "depthwise": (1, 1),
        "gemm": (3, 3),
    }
