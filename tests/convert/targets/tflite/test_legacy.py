"""The old per-tensor uint8: its arithmetic, its label, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed (pip install 'ostiary[convert]')")

from convert.network import Network
from convert.targets.base import Options
from convert.targets.tflite import INACCURATE, LEGACY, TARGETS, describe_tflite, oldest_runtime_faults
from convert.targets.tflite.legacy import input_statistics, without_prelu
from edge.errors import ModelError, UsageError
from tests.convert import reference
from tests.convert.networks import CASES, FLATTEN, RELU, conv, network, picture, step
from tests.convert.other_runtimes import RUNTIMES, run_tflite

# TensorFlow and its dependencies warn about themselves.
pytestmark = pytest.mark.filterwarnings("ignore")

PIXELS = {"mean": 0.0, "std": 255.0}
"""A byte b at the input means b / 255."""


def written(made: Network, folder: Path, **options: Any) -> Path:
    path = folder / "old.tflite"
    TARGETS[LEGACY](made, path, Options(**{**PIXELS, "default_ranges": (-6.0, 6.0), **options}))
    return path


def bytes_of(made: Network) -> Any:
    return np.random.default_rng(0).integers(0, 256, made.input_shape, np.uint8)


@pytest.mark.parametrize("python", RUNTIMES)
@pytest.mark.parametrize("name", [name for name in CASES if name not in {"constant first", "normalised inside"}])
def test_uint8_throughout_one_scale_a_tensor(name: str, python: Path, tmp_path: Path) -> None:
    made = CASES[name]()
    path = written(made, tmp_path, default_ranges=(-8.0, 8.0))
    view = describe_tflite(path.read_bytes())
    assert set(view.dtypes) <= {"uint8", "int32"}
    assert all(len(tensor.scales) <= 1 for tensor in view.tensors)
    assert oldest_runtime_faults(path.read_bytes()) == []
    image = bytes_of(made)
    found = run_tflite(python, path, {"image": image.transpose(0, 2, 3, 1)})[made.output_name]
    expected = np.clip(reference.run(made, image / 255), -8, 8)
    found = found.transpose(0, 3, 1, 2) if found.ndim == 4 else found
    # A step is 16 / 255, and every tensor on the way is rounded to it.
    np.testing.assert_allclose(found, expected, atol=0.4)


def test_says_that_it_is_inaccurate(tmp_path: Path) -> None:
    assert INACCURATE.startswith("inaccurate")
    assert INACCURATE in describe_tflite(written(network(conv(4, 3)), tmp_path).read_bytes()).description


def test_ranges_are_the_invented_ones(tmp_path: Path) -> None:
    made = network(conv(4, 3), RELU, conv(4, 4))
    view = describe_tflite(written(made, tmp_path, default_ranges=(0.0, 6.0)).read_bytes())
    assert view.inputs[0].dtype == view.outputs[0].dtype == "uint8"
    assert view.inputs[0].scales == pytest.approx([1 / 255])
    assert view.outputs[0].scales == pytest.approx([6 / 255])
    assert view.outputs[0].zero_points == (0,)


def test_ranges_of_the_source_come_before_the_invented_ones(tmp_path: Path) -> None:
    made = network(conv(4, 3), RELU, conv(4, 4))
    path = written(made, tmp_path, ranges={"t1": (0.0, 2.0), "t2": (-1.0, 3.0)})
    view = describe_tflite(path.read_bytes())
    scales = {round(tensor.scales[0] * 255, 2) for tensor in view.tensors if tensor.dtype == "uint8" and tensor.scales}
    assert {2.0, 4.0} <= scales
    assert 12.0 not in scales
    assert view.outputs[0].scales == pytest.approx([4 / 255], rel=1e-5)


def test_statistics_are_the_options_or_the_networks() -> None:
    made = network(conv(4, 3))
    normalised = Network(made.inputs, made.outputs, made.nodes, made.constants, 127.5, 128.0)
    assert input_statistics(normalised, Options()) == (127.5, 128.0)
    assert input_statistics(normalised, Options(mean=1.0, std=2.0)) == (1.0, 2.0)


def test_prelu_is_written_with_what_has_a_uint8_kernel() -> None:
    made = CASES["prelu"]()
    rewritten = without_prelu(made)
    assert [node.op for node in rewritten.nodes] == ["Conv", "Relu", "Sub", "Mul", "Add"]
    image = picture(made)
    np.testing.assert_allclose(reference.run(rewritten, image), reference.run(made, image), atol=1e-12)
    single_slope = CASES["prelu, one slope"]()
    assert without_prelu(single_slope).nodes == single_slope.nodes


@pytest.mark.parametrize(
    ("options", "kind", "found"),
    [
        ({"default_ranges": None}, UsageError, "no default ranges"),
        ({"default_ranges": (1.0, 6.0)}, UsageError, "default ranges 1 to 6"),
        ({"default_ranges": (0.0, 0.0)}, UsageError, "default ranges 0 to 0"),
        ({"batch": None}, ModelError, "an open batch"),
    ],
)
def test_what_it_cannot_take_is_refused(options: Any, kind: Any, found: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=found):
        written(network(conv(4, 3), FLATTEN), tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_an_operator_without_uint8_kernel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"without a uint8 kernel .*Abs"):
        written(network(conv(4, 3), step("Abs")), tmp_path)
