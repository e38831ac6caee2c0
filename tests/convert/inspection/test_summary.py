from __future__ import annotations

import numpy as np
import pytest

from convert.network import Port
from tests.convert.networks import FLATTEN, RELU, Step, conv, network

pytest.importorskip("onnx", reason="onnx is not installed (pip install 'ostiary[convert]')")

from convert.inspection.summary import summarise

DENSE: Step = ("Gemm", [None, np.ones((5, 16), np.float32), np.zeros(5, np.float32)], {"transB": 1})


@pytest.mark.parametrize(
    ("steps", "macs", "parameters"),
    [
        ([conv(4, 3)], 7 * 7 * 4 * 3 * 9, 4 * 3 * 9 + 4),
        ([conv(3, 1, group=3, pads=(1, 1, 1, 1))], 9 * 9 * 3 * 9, 3 * 9 + 3),
        ([conv(4, 3, (8, 8)), RELU, FLATTEN, DENSE], 2 * 2 * 4 * 3 * 64 + 16 * 5, 4 * 3 * 64 + 4 + 80 + 5),
    ],
)
def test_counts_by_hand(steps: list[Step], macs: int, parameters: int) -> None:
    found = summarise(network(*steps))
    assert (found.macs, found.parameters) == (macs, parameters)


def test_operators_and_shapes() -> None:
    found = summarise(network(conv(4, 3), RELU, conv(2, 4), RELU)).as_dict()
    assert found["operators"] == {"Conv": 2, "Relu": 2}
    assert found["inputs"] == {"image": [1, 3, 9, 9]}
    assert found["outputs"] == {"t3": [1, 2, 5, 5]}


def test_open_sizes_have_no_count() -> None:
    made = network(conv(4, 3))
    open_size = type(made)((Port("image", (None, 3, None, None)),), made.outputs, made.nodes, made.constants)
    assert summarise(open_size).macs is None
