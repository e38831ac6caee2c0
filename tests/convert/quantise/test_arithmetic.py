"""The simulation against the runtime: the same integers, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'ostiary[torch]')")
pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed (pip install 'ostiary[litert]')")

from convert.quantise.arithmetic import IntegerSimulator
from convert.runners.delegation import delegated_nodes
from convert.targets.tflite import oldest_runtime_faults
from tests.convert.quantise.integers import NETWORKS, integers_of, pixels_for, runtime_integers, written

# TensorFlow and its dependencies warn about themselves.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("part", [1.0, 0.3], ids=["calibrated", "saturated"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_integer_is_that_of_the_runtime(name: str, part: float, tmp_path: Path) -> None:
    integer = integers_of(name, part=part)
    pixels = pixels_for(integer.network, 3, seed=7)
    path = written(integer, tmp_path)
    found = runtime_integers(path, integer, pixels)
    simulated = IntegerSimulator(integer).run(pixels)
    assert set(found) == set(simulated) - {integer.network.input_name}
    for tensor, values in found.items():
        np.testing.assert_array_equal(simulated[tensor], values, err_msg=tensor)
    assert max(len(np.unique(values)) for values in found.values()) > 2
    taken = delegated_nodes(path)
    assert (taken.complete, taken.partitions) == (True, 1), str(taken)
    assert oldest_runtime_faults(path.read_bytes()) == []
